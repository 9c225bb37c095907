#include "harness.h"
#include "openssl_check.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct make {
	const char *name;
	CK_KEY_TYPE key_type;
	CK_MECHANISM_TYPE generate, digest, message, encrypt;
	bool der, private_point;
	CK_ULONG point_len;
} makes[] = {
	{ "sansec", 0x80000004, 0x80008001, 0x80008104, 0x80008103, 0x80008201, true, false, 67 },
	{ "tass", 0x80000004, 0x80008001, 0x80008000, 0x80008100, 0x80008200, true, true, 65 },
	{ "ibm", 0x80050002, 0x8005000A, 0x8005000B, 0x8005000F, 0x8005000D, false, false, 67 },
	{ "luna", 0x80000016, 0x80000B20, 0x80000B21, 0x80000B22, 0, false, false, 67 },
};

static void check_make(const struct make *make, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE public, CK_OBJECT_HANDLE private)
{
	uint8_t point[67], e[32], signature[72], der[72], cipher[256], plain[256];
	CK_KEY_TYPE type;
	CK_ATTRIBUTE key_type = { CKA_KEY_TYPE, &type, sizeof type }, private_point = { CKA_EC_POINT, point, sizeof point };
	OK(p11->C_GetAttributeValue(session, private, &key_type, 1));
	CHECK(type == make->key_type);
	RV(make->private_point ? CKR_OK : CKR_ATTRIBUTE_TYPE_INVALID, p11->C_GetAttributeValue(session, private, &private_point, 1));
	CK_ATTRIBUTE public_point = { CKA_EC_POINT, point, sizeof point };
	OK(p11->C_GetAttributeValue(session, public, &public_point, 1));
	CHECK(public_point.ulValueLen == make->point_len);
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

// check_copy loads a copy of the module beside it: it reads a file of its own, and
// has a state of its own.
static void check_copy(void)
{
	char path[512], command[1400];
	snprintf(path, sizeof path, "%s/libterrace-softtoken-other.so", token_dir);
	snprintf(command, sizeof command, "cp '%.400s' '%s'", module_path, path);
	CHECK(system(command) == 0);
	write_file("softtoken-other.conf", "slots = 3\n");
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CHECK(library != NULL);
	CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
	*(void **)&get_list = dlsym(library, "C_GetFunctionList");
	CHECK(get_list != NULL);
	CK_FUNCTION_LIST *other = NULL;
	OK(get_list(&other));
	CHECK(other != p11);
	OK(other->C_Initialize(NULL));
	CK_ULONG count;
	OK(other->C_GetSlotList(CK_FALSE, NULL, &count));
	CHECK(count == 3);
	start(); // both at once
	OK(p11->C_GetSlotList(CK_FALSE, NULL, &count));
	CHECK(count == 2);
	OK(other->C_Finalize(NULL));
	stop();
	CHECK(dlclose(library) == 0);
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
	check_copy();
	set_env("TERRACE_SOFTTOKEN_SLOTS", "many");
	RV(CKR_ARGUMENTS_BAD, p11->C_Initialize(NULL));
}

static bool lists(CK_MECHANISM_TYPE wanted)
{
	CK_MECHANISM_TYPE list[64];
	CK_ULONG count = 64;
	OK(p11->C_GetMechanismList(0, list, &count));
	for (CK_ULONG i = 0; i < count; i++)
		if (list[i] == wanted)
			return true;
	return false;
}

// What a make may do besides its numbers.
void test_quirks(void)
{
	static const char *const refused[] = {
		"sign-input = digest\n", "login = once\n", "refused-attributes = value\n", "sign-delay-us = 60000001\n",
	};
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		write_file("softtoken.conf", refused[i]);
		RV(CKR_ARGUMENTS_BAD, p11->C_Initialize(NULL));
	}
	write_file("softtoken.conf", "sign-input = message\nlogin = session\nrefused-attributes = extractable, derive\nsign-delay-us = 20000\n");
	start();
	init_token(0, "quirks");
	CHECK(lists(SANSEC_MESSAGE_DER) && !lists(SANSEC_DIGEST_DER) && !lists(SANSEC_DIGEST_RAW));
	CK_SESSION_HANDLE session = login(0);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "a");
	CK_MECHANISM digest = { SANSEC_DIGEST_DER, NULL, 0 }, message = { SANSEC_MESSAGE_DER, NULL, 0 };
	RV(CKR_MECHANISM_INVALID, p11->C_SignInit(session, &digest, pair.private));

	uint8_t signature[72];
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	sign(session, SANSEC_MESSAGE_DER, pair.private, "x", 1, signature);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000 >= 20000);

	CK_BBOOL no = CK_FALSE;
	CK_ATTRIBUTE extractable = { CKA_EXTRACTABLE, &no, 1 };
	CK_MECHANISM generate = { SANSEC_KEY_PAIR_GEN, NULL, 0 };
	CK_OBJECT_HANDLE a, b;
	RV(CKR_ATTRIBUTE_TYPE_INVALID, p11->C_GenerateKeyPair(session, &generate, NULL, 0, &extractable, 1, &a, &b));

	// Another session of the same process has to log in for itself, by the right PIN.
	CK_SESSION_HANDLE second = open_session(0, true);
	CK_SESSION_INFO info;
	OK(p11->C_GetSessionInfo(second, &info));
	CHECK(info.state == CKS_RW_PUBLIC_SESSION);
	CHECK(find_all(second, CKO_PRIVATE_KEY, "a", NULL, 0) == 0);
	RV(CKR_KEY_HANDLE_INVALID, p11->C_SignInit(second, &message, pair.private));
	RV(CKR_USER_NOT_LOGGED_IN, p11->C_GenerateKeyPair(second, &generate, NULL, 0, NULL, 0, &a, &b));
	RV(CKR_PIN_INCORRECT, p11->C_Login(second, CKU_USER, (unsigned char *)"87654321", 8));
	OK(p11->C_Login(second, CKU_USER, USER_PIN, USER_PIN_LEN));
	RV(CKR_USER_ALREADY_LOGGED_IN, p11->C_Login(second, CKU_USER, USER_PIN, USER_PIN_LEN));
	sign(second, SANSEC_MESSAGE_DER, pair.private, "x", 1, signature);
	OK(p11->C_Logout(session));
	RV(CKR_KEY_HANDLE_INVALID, p11->C_SignInit(second, &message, pair.private));
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	CHECK(find_all(session, CKO_PRIVATE_KEY, "a", NULL, 0) == 1);
	CHECK(find_all(second, CKO_PRIVATE_KEY, "a", NULL, 0) == 0);
	stop();
}
