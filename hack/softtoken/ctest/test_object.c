#include "harness.h"

#include <string.h>

static CK_ULONG read_ulong(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	CK_ULONG value = 0;
	CK_ATTRIBUTE attribute = { type, &value, sizeof value };
	OK(p11->C_GetAttributeValue(session, object, &attribute, 1));
	return value;
}

static bool read_bool(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	CK_BBOOL value = 9;
	CK_ATTRIBUTE attribute = { type, &value, sizeof value };
	OK(p11->C_GetAttributeValue(session, object, &attribute, 1));
	return value;
}

static void check_refusals(CK_SESSION_HANDLE session)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	unsigned char p256[] = { 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07 };
	CK_MECHANISM m = { SANSEC_KEY_PAIR_GEN, NULL, 0 }, other = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	CK_OBJECT_HANDLE a, b;
	CK_ATTRIBUTE bad_curve = { CKA_EC_PARAMS, p256, sizeof p256 };
	CK_ATTRIBUTE extractable = { CKA_EXTRACTABLE, &yes, 1 }, open = { CKA_SENSITIVE, &no, 1 };
	CK_ATTRIBUTE clear = { CKA_PRIVATE, &no, 1 }, unknown = { CKA_MODULUS, &no, 1 }, odd = { CKA_TOKEN, p256, 3 };
	CK_ATTRIBUTE twice[] = { { CKA_LABEL, p256, 1 }, { CKA_LABEL, p256, 1 } };
	RV(CKR_MECHANISM_INVALID, p11->C_GenerateKeyPair(session, &other, NULL, 0, NULL, 0, &a, &b));
	RV(CKR_CURVE_NOT_SUPPORTED, p11->C_GenerateKeyPair(session, &m, &bad_curve, 1, NULL, 0, &a, &b));
	RV(CKR_TEMPLATE_INCONSISTENT, p11->C_GenerateKeyPair(session, &m, NULL, 0, &extractable, 1, &a, &b));
	RV(CKR_TEMPLATE_INCONSISTENT, p11->C_GenerateKeyPair(session, &m, NULL, 0, &open, 1, &a, &b));
	RV(CKR_TEMPLATE_INCONSISTENT, p11->C_GenerateKeyPair(session, &m, NULL, 0, &clear, 1, &a, &b));
	RV(CKR_ATTRIBUTE_TYPE_INVALID, p11->C_GenerateKeyPair(session, &m, NULL, 0, &unknown, 1, &a, &b));
	RV(CKR_ATTRIBUTE_VALUE_INVALID, p11->C_GenerateKeyPair(session, &m, &odd, 1, NULL, 0, &a, &b));
	RV(CKR_TEMPLATE_INCONSISTENT, p11->C_GenerateKeyPair(session, &m, twice, 2, NULL, 0, &a, &b));
	RV(CKR_ARGUMENTS_BAD, p11->C_GenerateKeyPair(session, &m, NULL, 0, NULL, 0, NULL, &b));
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 1); // the one of the caller
}

void test_objects(void)
{
	static const unsigned char oid[] = { 0x06, 0x08, 0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x82, 0x2D };
	uint8_t buf[128];
	start();
	init_token(0, "objects");
	CK_SESSION_HANDLE session = login(0), reader = open_session(0, false);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "key");
	check_refusals(session);

	CHECK(read_ulong(session, pair.private, CKA_CLASS) == CKO_PRIVATE_KEY);
	CHECK(read_ulong(session, pair.private, CKA_KEY_TYPE) == 0x80000004);
	CHECK(read_ulong(session, pair.private, CKA_KEY_GEN_MECHANISM) == SANSEC_KEY_PAIR_GEN);
	CHECK(read_bool(session, pair.private, CKA_SENSITIVE) && read_bool(session, pair.private, CKA_ALWAYS_SENSITIVE));
	CHECK(!read_bool(session, pair.private, CKA_EXTRACTABLE) && read_bool(session, pair.private, CKA_NEVER_EXTRACTABLE));
	CHECK(read_bool(session, pair.private, CKA_PRIVATE) && !read_bool(session, pair.public, CKA_PRIVATE));
	CHECK(read_bool(session, pair.private, CKA_LOCAL) && read_bool(session, pair.private, CKA_SIGN));

	// Size query, small buffer, secret and unknown attribute in one template: all answered.
	CK_ATTRIBUTE mixed[] = {
		{ CKA_VALUE, buf, sizeof buf },   { CKA_EC_PARAMS, NULL, 0 }, { CKA_LABEL, buf, 1 },
		{ CKA_MODULUS, buf, sizeof buf }, { CKA_ID, buf, sizeof buf },
	};
	CHECK(p11->C_GetAttributeValue(session, pair.private, mixed, 5) != CKR_OK);
	CHECK(mixed[0].ulValueLen == CK_UNAVAILABLE_INFORMATION && mixed[1].ulValueLen == sizeof oid);
	CHECK(mixed[2].ulValueLen == CK_UNAVAILABLE_INFORMATION && mixed[3].ulValueLen == CK_UNAVAILABLE_INFORMATION);
	CHECK(mixed[4].ulValueLen == 3 && memcmp(buf, "key", 3) == 0);
	CK_ATTRIBUTE value = { CKA_VALUE, buf, sizeof buf }, params = { CKA_EC_PARAMS, buf, sizeof buf };
	CK_ATTRIBUTE point = { CKA_EC_POINT, buf, sizeof buf };
	RV(CKR_ATTRIBUTE_SENSITIVE, p11->C_GetAttributeValue(session, pair.private, &value, 1));
	OK(p11->C_GetAttributeValue(session, pair.public, &params, 1));
	CHECK(params.ulValueLen == sizeof oid && memcmp(buf, oid, sizeof oid) == 0);
	OK(p11->C_GetAttributeValue(session, pair.public, &point, 1));
	CHECK(point.ulValueLen == 67 && buf[0] == 0x04 && buf[1] == 0x41 && buf[2] == 0x04);

	// Finding: by id, by nothing, and not by another label.
	CK_ATTRIBUTE by_id[] = { { CKA_ID, "key", 3 } };
	CK_OBJECT_HANDLE some[10];
	CK_ULONG n;
	RV(CKR_OPERATION_NOT_INITIALIZED, p11->C_FindObjects(session, some, 10, &n));
	OK(p11->C_FindObjectsInit(session, by_id, 1));
	RV(CKR_OPERATION_ACTIVE, p11->C_FindObjectsInit(session, by_id, 1));
	OK(p11->C_FindObjects(session, some, 10, &n));
	CHECK(n == 2);
	OK(p11->C_FindObjectsFinal(session));
	OK(p11->C_FindObjectsInit(session, NULL, 0));
	OK(p11->C_FindObjects(session, some, 10, &n));
	CHECK(n == 2);
	OK(p11->C_FindObjectsFinal(session));
	CHECK(find_all(session, CKO_PRIVATE_KEY, "ke", NULL, 0) == 0);

	// Renaming, read-only sessions, no login.
	CK_ATTRIBUTE label = { CKA_LABEL, "renamed", 7 }, fixed = { CKA_SIGN, buf, 1 };
	RV(CKR_SESSION_READ_ONLY, p11->C_SetAttributeValue(reader, pair.private, &label, 1));
	RV(CKR_ATTRIBUTE_READ_ONLY, p11->C_SetAttributeValue(session, pair.private, &fixed, 1));
	OK(p11->C_SetAttributeValue(session, pair.private, &label, 1));
	CHECK(find_one(session, CKO_PRIVATE_KEY, "renamed") == pair.private);
	CK_MECHANISM m = { SANSEC_KEY_PAIR_GEN, NULL, 0 };
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE on_token = { CKA_TOKEN, &yes, 1 };
	RV(CKR_SESSION_READ_ONLY, p11->C_GenerateKeyPair(reader, &m, &on_token, 1, &on_token, 1, &some[0], &some[1]));
	RV(CKR_SESSION_READ_ONLY, p11->C_DestroyObject(reader, pair.private));
	OK(p11->C_Logout(session));
	RV(CKR_USER_NOT_LOGGED_IN, p11->C_GenerateKeyPair(session, &m, &on_token, 1, &on_token, 1, &some[0], &some[1]));
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 0);
	RV(CKR_OBJECT_HANDLE_INVALID, p11->C_DestroyObject(session, pair.private));

	// One half goes without the other, also without the login that the other needs.
	OK(p11->C_DestroyObject(session, pair.public));
	CHECK(find_all(session, CKO_PUBLIC_KEY, NULL, NULL, 0) == 0);
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	pair.private = find_one(session, CKO_PRIVATE_KEY, "renamed");
	OK(p11->C_DestroyObject(session, pair.private));
	RV(CKR_OBJECT_HANDLE_INVALID, p11->C_DestroyObject(session, pair.private));

	// Halves of which one is a session object.
	OK(p11->C_GenerateKeyPair(session, &m, NULL, 0, &on_token, 1, &some[0], &some[1]));
	OK(p11->C_GenerateRandom(session, buf, sizeof buf));
	RV(CKR_RANDOM_SEED_NOT_SUPPORTED, p11->C_SeedRandom(session, buf, 1));
	restart();
	session = login(0);
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 1 && find_all(session, CKO_PUBLIC_KEY, NULL, NULL, 0) == 0);
	stop();
}

void test_import(void)
{
	CK_OBJECT_CLASS public = CKO_PUBLIC_KEY, private = CKO_PRIVATE_KEY;
	uint8_t point[67], signature[72], e[32] = { 7 };
	CK_OBJECT_HANDLE imported;
	start();
	init_token(0, "import");
	CK_SESSION_HANDLE session = login(0);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, false, "a");
	size_t len = sign(session, SANSEC_DIGEST_DER, pair.private, e, 32, signature);
	get_point(session, pair.public, point);
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &public, sizeof public }, { CKA_EC_POINT, point, 65 } };
	OK(p11->C_CreateObject(session, template, 2, &imported));
	OK(verify(session, SANSEC_DIGEST_DER, imported, e, 32, signature, len));
	point[64] ^= 1;
	RV(CKR_ATTRIBUTE_VALUE_INVALID, p11->C_CreateObject(session, template, 2, &imported));
	template[0].pValue = &private;
	RV(CKR_TEMPLATE_INCONSISTENT, p11->C_CreateObject(session, template, 2, &imported));
	RV(CKR_TEMPLATE_INCOMPLETE, p11->C_CreateObject(session, template + 1, 1, &imported));
	stop();
}
