#include "harness.h"
#include "openssl_check.h"

#include <string.h>

static const char message[] = "message digest";

static void check_digest_mechanisms(CK_SESSION_HANDLE session, struct pair pair, const uint8_t point[65])
{
	uint8_t e[32], signature[72], der[72];
	openssl_e(point, message, sizeof message, e);
	size_t len = sign(session, SANSEC_DIGEST_DER, pair.private, e, 32, signature);
	CHECK(openssl_verify(point, message, sizeof message, signature, len));
	CHECK(!openssl_verify(point, message, sizeof message - 1, signature, len));
	OK(verify(session, SANSEC_DIGEST_DER, pair.public, e, 32, signature, len));
	signature[len - 1] ^= 1;
	RV(CKR_SIGNATURE_INVALID, verify(session, SANSEC_DIGEST_DER, pair.public, e, 32, signature, len));

	len = sign(session, SANSEC_DIGEST_RAW, pair.private, e, 32, signature);
	CHECK(len == 64);
	CHECK(openssl_verify(point, message, sizeof message, der, raw_to_der(signature, der)));
	OK(verify(session, SANSEC_DIGEST_RAW, pair.public, e, 32, signature, 64));
	RV(CKR_SIGNATURE_LEN_RANGE, verify(session, SANSEC_DIGEST_RAW, pair.public, e, 32, signature, 63));
	RV(CKR_DATA_LEN_RANGE, verify(session, SANSEC_DIGEST_RAW, pair.public, e, 31, signature, 64));
}

static void check_message_mechanisms(CK_SESSION_HANDLE session, struct pair pair, const uint8_t point[65])
{
	uint8_t signature[72], der[72];
	CK_ULONG signature_len = sizeof signature;
	size_t len = sign(session, SANSEC_MESSAGE_DER, pair.private, message, sizeof message, signature);
	CHECK(openssl_verify(point, message, sizeof message, signature, len));
	len = sign(session, SANSEC_MESSAGE_RAW, pair.private, message, sizeof message, signature);
	CHECK(len == 64 && openssl_verify(point, message, sizeof message, der, raw_to_der(signature, der)));
	OK(verify(session, SANSEC_MESSAGE_RAW, pair.public, message, sizeof message, signature, len));
	RV(CKR_SIGNATURE_INVALID, verify(session, SANSEC_MESSAGE_RAW, pair.public, message, 3, signature, len));
	len = sign(session, SANSEC_MESSAGE_DER, pair.private, NULL, 0, signature);
	CHECK(openssl_verify(point, "", 0, signature, len));

	CK_MECHANISM m = { SANSEC_MESSAGE_DER, NULL, 0 };
	OK(p11->C_SignInit(session, &m, pair.private));
	OK(p11->C_SignUpdate(session, (unsigned char *)message, 5));
	RV(CKR_OPERATION_ACTIVE, p11->C_SignInit(session, &m, pair.private));
	OK(p11->C_SignUpdate(session, (unsigned char *)message + 5, sizeof message - 5));
	OK(p11->C_SignFinal(session, NULL, &signature_len));
	CHECK(signature_len == 72);
	signature_len = 10;
	RV(CKR_BUFFER_TOO_SMALL, p11->C_SignFinal(session, signature, &signature_len));
	OK(p11->C_SignFinal(session, signature, &signature_len));
	CHECK(openssl_verify(point, message, sizeof message, signature, signature_len));
	RV(CKR_OPERATION_NOT_INITIALIZED, p11->C_SignFinal(session, signature, &signature_len));

	OK(p11->C_VerifyInit(session, &m, pair.public));
	OK(p11->C_VerifyUpdate(session, (unsigned char *)message, 1));
	OK(p11->C_VerifyUpdate(session, (unsigned char *)message + 1, sizeof message - 1));
	OK(p11->C_VerifyFinal(session, signature, signature_len));
}

static void check_sign_refusals(CK_SESSION_HANDLE session, struct pair pair)
{
	uint8_t e[32] = { 1 }, signature[72];
	CK_ULONG len = sizeof signature;
	CK_MECHANISM m = { SANSEC_DIGEST_DER, NULL, 0 }, with_parameter = { SANSEC_DIGEST_DER, e, 4 }, ecdsa = { CKM_ECDSA, NULL, 0 };
	RV(CKR_MECHANISM_INVALID, p11->C_SignInit(session, &ecdsa, pair.private));
	RV(CKR_MECHANISM_PARAM_INVALID, p11->C_SignInit(session, &with_parameter, pair.private));
	RV(CKR_KEY_TYPE_INCONSISTENT, p11->C_SignInit(session, &m, pair.public));
	RV(CKR_KEY_HANDLE_INVALID, p11->C_SignInit(session, &m, 999999));
	RV(CKR_OPERATION_NOT_INITIALIZED, p11->C_Sign(session, e, 32, signature, &len));
	OK(p11->C_SignInit(session, &m, pair.private));
	RV(CKR_FUNCTION_NOT_SUPPORTED, p11->C_SignUpdate(session, e, 32));
	OK(p11->C_SignInit(session, &m, pair.private)); // the failure ended the operation
	RV(CKR_DATA_LEN_RANGE, p11->C_Sign(session, e, 31, signature, &len));

	CK_BBOOL no = CK_FALSE;
	CK_ATTRIBUTE sign_off = { CKA_SIGN, &no, 1 };
	CK_MECHANISM generate = { SANSEC_KEY_PAIR_GEN, NULL, 0 };
	struct pair other;
	OK(p11->C_GenerateKeyPair(session, &generate, NULL, 0, &sign_off, 1, &other.public, &other.private));
	RV(CKR_KEY_FUNCTION_NOT_PERMITTED, p11->C_SignInit(session, &m, other.private));
}

void test_sign(void)
{
	uint8_t point[65];
	start();
	init_token(0, "sign");
	CK_SESSION_HANDLE session = login(0);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "sign");
	get_point(session, pair.public, point);
	for (int i = 0; i < 50; i++) // enough for short and long DER integers
		check_digest_mechanisms(session, pair, point);
	check_message_mechanisms(session, pair, point);
	check_sign_refusals(session, pair);
	stop();
}

static size_t crypt(CK_SESSION_HANDLE session, bool encrypt, CK_MECHANISM m, CK_OBJECT_HANDLE key, const void *in, size_t len,
		    uint8_t *out, size_t room)
{
	CK_ULONG n = room;
	OK((encrypt ? p11->C_EncryptInit : p11->C_DecryptInit)(session, &m, key));
	OK((encrypt ? p11->C_Encrypt : p11->C_Decrypt)(session, (void *)in, len, out, &n));
	return n;
}

static void check_sm2_cipher(CK_SESSION_HANDLE session)
{
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, false, "cipher");
	CK_MECHANISM der = { SANSEC_ENCRYPT_DER, NULL, 0 }, raw = { SANSEC_ENCRYPT_RAW, NULL, 0 };
	uint8_t point[65], cipher[1024], plain[1024], text[300];
	get_point(session, pair.public, point);
	memset(text, 0xA5, sizeof text);
	for (size_t len = 1; len <= sizeof text; len += 13) {
		size_t n = crypt(session, true, raw, pair.public, text, len, cipher, sizeof cipher);
		CHECK(n == 97 + len && cipher[0] == 4);
		CHECK(crypt(session, false, raw, pair.private, cipher, n, plain, sizeof plain) == len && memcmp(plain, text, len) == 0);
		n = crypt(session, true, der, pair.public, text, len, cipher, sizeof cipher);
		CHECK(cipher[0] == 0x30);
		CHECK(crypt(session, false, der, pair.private, cipher, n, plain, len) == len && memcmp(plain, text, len) == 0);
	}
	size_t n = openssl_encrypt(point, text, 32, cipher, sizeof cipher);
	CHECK(crypt(session, false, der, pair.private, cipher, n, plain, sizeof plain) == 32 && memcmp(plain, text, 32) == 0);
	CK_ULONG room = 31;
	OK(p11->C_DecryptInit(session, &der, pair.private));
	RV(CKR_BUFFER_TOO_SMALL, p11->C_Decrypt(session, cipher, n, plain, &room));
	CHECK(room == 32);
	OK(p11->C_Decrypt(session, cipher, n, plain, &room)); // the operation stayed
	cipher[n - 1] ^= 1;
	OK(p11->C_DecryptInit(session, &der, pair.private));
	room = sizeof plain;
	RV(CKR_ENCRYPTED_DATA_INVALID, p11->C_Decrypt(session, cipher, n, plain, &room));
	for (size_t len = 0; len < 100; len += 33) { // garbage and cut ciphertexts
		OK(p11->C_DecryptInit(session, &raw, pair.private));
		room = sizeof plain;
		CHECK(p11->C_Decrypt(session, cipher, len, plain, &room) != CKR_OK);
	}
	OK(p11->C_DecryptInit(session, &raw, pair.private));
	RV(CKR_FUNCTION_NOT_SUPPORTED, p11->C_DecryptUpdate(session, cipher, 10, plain, &room));
}

static CK_OBJECT_HANDLE import_sm4(CK_SESSION_HANDLE session, const uint8_t key[16])
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_VALUE, (void *)key, 16 } };
	CK_OBJECT_HANDLE handle;
	OK(p11->C_CreateObject(session, template, 2, &handle));
	CK_ATTRIBUTE value = { CKA_VALUE, NULL, 0 };
	RV(CKR_ATTRIBUTE_SENSITIVE, p11->C_GetAttributeValue(session, handle, &value, 1));
	return handle;
}

static void check_sm4(CK_SESSION_HANDLE session)
{
	// GB/T 32907-2016 A.1.
	static const uint8_t key[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10 };
	static const uint8_t want[16] = { 0x68, 0x1E, 0xDF, 0x34, 0xD2, 0x06, 0x96, 0x5E, 0x86, 0xB3, 0xE9, 0x4F, 0x53, 0x6E, 0x42, 0x46 };
	uint8_t iv[16] = { 0 }, text[100], cipher[128], plain[128];
	CK_MECHANISM ecb = { SANSEC_SM4_ECB, NULL, 0 }, cbc = { SANSEC_SM4_CBC, iv, 16 }, pad = { SANSEC_SM4_CBC_PAD, iv, 16 };
	CK_OBJECT_HANDLE sm4 = import_sm4(session, key);
	CHECK(crypt(session, true, ecb, sm4, key, 16, cipher, 16) == 16 && memcmp(cipher, want, 16) == 0);
	CHECK(crypt(session, true, cbc, sm4, key, 16, cipher, 16) == 16 && memcmp(cipher, want, 16) == 0);

	memset(text, 0x5A, sizeof text);
	for (size_t len = 0; len <= sizeof text; len++) {
		size_t n = crypt(session, true, pad, sm4, text, len, cipher, sizeof cipher);
		CHECK(n == (len / 16 + 1) * 16);
		CHECK(crypt(session, false, pad, sm4, cipher, n, plain, len) == len && memcmp(plain, text, len) == 0);
	}

	// In parts of every size, with exactly the room that the size query asks for.
	size_t whole = crypt(session, true, pad, sm4, text, sizeof text, cipher, sizeof cipher);
	for (size_t step = 1; step < 40; step++) {
		size_t done = 0;
		CK_ULONG n;
		OK(p11->C_DecryptInit(session, &pad, sm4));
		for (size_t at = 0; at < whole; at += step) {
			size_t take = whole - at < step ? whole - at : step;
			OK(p11->C_DecryptUpdate(session, cipher + at, take, NULL, &n));
			CK_ULONG promised = n;
			OK(p11->C_DecryptUpdate(session, cipher + at, take, plain + done, &n));
			CHECK(n == promised);
			done += n;
		}
		n = 16;
		OK(p11->C_DecryptFinal(session, plain + done, &n));
		CHECK(done + n == sizeof text && memcmp(plain, text, sizeof text) == 0);
	}

	CK_ULONG n = sizeof cipher;
	OK(p11->C_EncryptInit(session, &cbc, sm4));
	RV(CKR_DATA_LEN_RANGE, p11->C_Encrypt(session, text, 17, cipher, &n));
	OK(p11->C_EncryptInit(session, &cbc, sm4));
	OK(p11->C_EncryptUpdate(session, text, 32, cipher, &n));
	CHECK(n == 32);
	OK(p11->C_EncryptFinal(session, NULL, &n));
	CHECK(n == 0);
	OK(p11->C_EncryptFinal(session, cipher, &n));
	CK_MECHANISM no_iv = { SANSEC_SM4_CBC, NULL, 0 };
	RV(CKR_MECHANISM_PARAM_INVALID, p11->C_EncryptInit(session, &no_iv, sm4));
	cipher[0] ^= 1;
	OK(p11->C_DecryptInit(session, &pad, sm4));
	n = sizeof plain;
	RV(CKR_ENCRYPTED_DATA_INVALID, p11->C_Decrypt(session, cipher, 32, plain, &n));

	CK_MECHANISM generate = { SANSEC_SM4_KEY_GEN, NULL, 0 };
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE on_token[] = { { CKA_TOKEN, &yes, 1 }, { CKA_LABEL, "sm4", 3 } };
	CK_OBJECT_HANDLE generated;
	OK(p11->C_GenerateKey(session, &generate, on_token, 2, &generated));
	size_t len = crypt(session, true, pad, generated, text, 50, cipher, sizeof cipher);
	restart();
	session = login(0);
	generated = find_one(session, CKO_SECRET_KEY, "sm4");
	CHECK(crypt(session, false, pad, generated, cipher, len, plain, sizeof plain) == 50 && memcmp(plain, text, 50) == 0);
}

static void check_sm3(CK_SESSION_HANDLE session)
{
	// GB/T 32905-2016 A.1: "abc".
	static const uint8_t want[32] = { 0x66, 0xC7, 0xF0, 0xF4, 0x62, 0xEE, 0xED, 0xD9, 0xD1, 0xF2, 0xD4, 0x6B, 0xDC, 0x10, 0xE4, 0xE2,
					  0x41, 0x67, 0xC4, 0x87, 0x5C, 0xF2, 0xF7, 0xA2, 0x29, 0x7D, 0xA0, 0x2B, 0x8F, 0x4B, 0xA8, 0xE0 };
	uint8_t got[32];
	CK_ULONG n = sizeof got;
	CK_MECHANISM sm3 = { SANSEC_SM3, NULL, 0 };
	OK(p11->C_DigestInit(session, &sm3));
	OK(p11->C_Digest(session, (unsigned char *)"abc", 3, got, &n));
	CHECK(n == 32 && memcmp(got, want, 32) == 0);
	memset(got, 0, sizeof got);
	OK(p11->C_DigestInit(session, &sm3));
	OK(p11->C_DigestUpdate(session, (unsigned char *)"ab", 2));
	OK(p11->C_DigestUpdate(session, (unsigned char *)"c", 1));
	OK(p11->C_DigestFinal(session, got, &n));
	CHECK(memcmp(got, want, 32) == 0);
	RV(CKR_OPERATION_NOT_INITIALIZED, p11->C_DigestFinal(session, got, &n));
}

void test_cipher(void)
{
	start();
	init_token(0, "cipher");
	CK_SESSION_HANDLE session = login(0);
	check_sm3(session);
	check_sm2_cipher(session);
	check_sm4(session); // restarts the module
	stop();
}
