#include "harness.h"
#include "openssl_check.h"

#include <stdlib.h>
#include <string.h>

static const struct make {
	const char *name;
	CK_KEY_TYPE key_type;
	CK_MECHANISM_TYPE generate, digest, message, encrypt;
	bool der, private_point;
} makes[] = {
	{ "sansec", 0x80000004, 0x80008001, 0x80008104, 0x80008103, 0x80008201, true, false },
	{ "tass", 0x80000004, 0x80008001, 0x80008000, 0x80008100, 0x80008200, true, true },
	{ "ibm", 0x80050002, 0x8005000A, 0x8005000B, 0x8005000F, 0x8005000D, false, false },
	{ "luna", 0x80000016, 0x80000B20, 0x80000B21, 0x80000B22, 0, false, false },
};

static void check_make(const struct make *make, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE public, CK_OBJECT_HANDLE private)
{
	uint8_t point[67], e[32], signature[72], der[72], cipher[256], plain[256];
	CK_KEY_TYPE type;
	CK_ATTRIBUTE key_type = { CKA_KEY_TYPE, &type, sizeof type }, private_point = { CKA_EC_POINT, point, sizeof point };
	OK(p11->C_GetAttributeValue(session, private, &key_type, 1));
	CHECK(type == make->key_type);
	RV(make->private_point ? CKR_OK : CKR_ATTRIBUTE_TYPE_INVALID, p11->C_GetAttributeValue(session, private, &private_point, 1));
	get_point(session, public, point);
	openssl_e(point, "x", 1, e);
	for (int by_message = 0; by_message < 2; by_message++) {
		size_t len = by_message ? sign(session, make->message, private, "x", 1, signature)
					: sign(session, make->digest, private, e, 32, signature);
		CHECK(make->der ? signature[0] == 0x30 : len == 64);
		if (!make->der) {
			len = raw_to_der(signature, der);
			memcpy(signature, der, len);
		}
		CHECK(openssl_verify(point, "x", 1, signature, len));
	}
	CK_MECHANISM m = { make->encrypt, NULL, 0 };
	if (make->encrypt == 0)
		return;
	CK_ULONG n = sizeof cipher, plain_len = sizeof plain;
	OK(p11->C_EncryptInit(session, &m, public));
	OK(p11->C_Encrypt(session, e, 32, cipher, &n));
	OK(p11->C_DecryptInit(session, &m, private));
	OK(p11->C_Decrypt(session, cipher, n, plain, &plain_len));
	CHECK(plain_len == 32 && memcmp(plain, e, 32) == 0);
}

// One token is played under every make in turn: keys are not bound to numbers.
void test_profiles(void)
{
	start();
	init_token(0, "makes");
	stop();
	for (size_t i = 0; i < 4; i++) {
		char conf[64] = "profile = ";
		strcat(conf, makes[i].name);
		write_file("softtoken.conf", conf);
		start();
		CK_SESSION_HANDLE session = login(0);
		generate_pair(session, makes[i].generate, true, makes[i].name);
		for (size_t k = 0; k <= i; k++)
			check_make(&makes[i], session, find_one(session, CKO_PUBLIC_KEY, makes[k].name),
				   find_one(session, CKO_PRIVATE_KEY, makes[k].name));
		CK_MECHANISM_TYPE list[64];
		CK_MECHANISM_INFO info;
		CK_ULONG count = 64;
		OK(p11->C_GetMechanismList(0, list, &count));
		for (CK_ULONG n = 0; n < count; n++)
			OK(p11->C_GetMechanismInfo(0, list[n], &info));
		RV(CKR_MECHANISM_INVALID, p11->C_GetMechanismInfo(0, CKM_ECDSA, &info));
		CK_MECHANISM generate = { makes[i].generate, NULL, 0 };
		CK_OBJECT_HANDLE a, b;
		RV(strcmp(makes[i].name, "luna") == 0 ? CKR_TEMPLATE_INCOMPLETE : CKR_OK,
		   p11->C_GenerateKeyPair(session, &generate, NULL, 0, NULL, 0, &a, &b));
		stop();
	}
}

void test_config(void)
{
	static const char *const refused[] = {
		"profil = ibm\n",
		"profile = acme\n",
		"slots = 0\n",
		"slots = 65\n",
		"slots = four\n",
		"slots\n",
		"signature-form = asn1\n",
		"mechanism.sm3 = 0x80008000, 1, 2, 3, 4\n",
		"mechanism.sm3 = 0x80008001\n", // the number of the key-pair generation
		"mechanism.sm3 = -1\n",
	};
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		write_file("softtoken.conf", refused[i]);
		RV(CKR_ARGUMENTS_BAD, p11->C_Initialize(NULL));
	}

	// The file over the profile, wherever the profile stands; the environment over both.
	write_file("softtoken.conf", "# ours\nec-point-form = bare # not DER\nslots=2\nmechanism.sm2-key-pair-gen = 0x80001234, 0x80001235\n"
				     "pin-tries = 5\nprofile = ibm\nmechanism.sm3 = none\n");
	set_env("TERRACE_SOFTTOKEN_SIGNATURE_FORM", "der");
	set_env("TERRACE_SOFTTOKEN_MECHANISM_SM2_SIGN_DIGEST", "0x80009999");
	start();
	CK_ULONG count;
	OK(p11->C_GetSlotList(CK_TRUE, NULL, &count));
	CHECK(count == 2);
	init_token(0, "ours");
	CK_SESSION_HANDLE session = login(0);
	generate_pair(session, 0x80001234, false, "a");
	struct pair pair = generate_pair(session, 0x80001235, false, "b");
	uint8_t e[32] = { 2 }, signature[72], point[67];
	CK_ATTRIBUTE value = { CKA_EC_POINT, point, sizeof point };
	OK(p11->C_GetAttributeValue(session, pair.public, &value, 1));
	CHECK(value.ulValueLen == 65 && point[0] == 4);
	CHECK(sign(session, 0x80009999, pair.private, e, 32, signature) > 64 && signature[0] == 0x30);
	CK_MECHANISM sm3 = { 0x8005000E, NULL, 0 };
	RV(CKR_MECHANISM_INVALID, p11->C_DigestInit(session, &sm3));
	stop();
	set_env("TERRACE_SOFTTOKEN_SLOTS", "many");
	RV(CKR_ARGUMENTS_BAD, p11->C_Initialize(NULL));
}
