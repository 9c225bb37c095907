#include "openssl_check.h"

#include "harness.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

static const char id[] = "1234567812345678";

static EVP_PKEY *public_key(const uint8_t point[65])
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "SM2", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"SM2", 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, 65),
		OSSL_PARAM_construct_end(),
	};
	CHECK(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

bool openssl_verify(const uint8_t point[65], const void *message, size_t len, const uint8_t *der, size_t der_len)
{
	EVP_PKEY *key = public_key(point);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new(key, NULL);
	CHECK(EVP_PKEY_CTX_set1_id(pctx, id, sizeof id - 1) == 1);
	EVP_MD_CTX_set_pkey_ctx(ctx, pctx);
	CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sm3(), NULL, key) == 1);
	bool ok = EVP_DigestVerify(ctx, der, der_len, message, len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_CTX_free(pctx);
	EVP_PKEY_free(key);
	return ok;
}

void openssl_e(const uint8_t point[65], const void *message, size_t len, uint8_t e[32])
{
	// GM/T 0009-2012 §10: the curve's a, b, G stand between ID and public key.
	static const char curve[] = "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC"
				    "28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93"
				    "32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"
				    "BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0";
	uint8_t block[2 + 16 + 128 + 64] = { 0x00, 0x80 }, z[32];
	long curve_len = 0;
	unsigned char *bytes = OPENSSL_hexstr2buf(curve, &curve_len);
	memcpy(block + 2, id, 16);
	memcpy(block + 18, bytes, 128);
	memcpy(block + 146, point + 1, 64);
	OPENSSL_free(bytes);
	CHECK(curve_len == 128 && EVP_Digest(block, sizeof block, z, NULL, EVP_sm3(), NULL) == 1);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	CHECK(EVP_DigestInit_ex(ctx, EVP_sm3(), NULL) == 1 && EVP_DigestUpdate(ctx, z, 32) == 1 &&
	      EVP_DigestUpdate(ctx, message, len) == 1 && EVP_DigestFinal_ex(ctx, e, NULL) == 1);
	EVP_MD_CTX_free(ctx);
}

size_t raw_to_der(const uint8_t raw[64], uint8_t der[72])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	CHECK(ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL)) == 1);
	int n = i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	CHECK(n > 0);
	return (size_t)n;
}

size_t openssl_encrypt(const uint8_t point[65], const void *in, size_t len, uint8_t *out, size_t room)
{
	EVP_PKEY *key = public_key(point);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	CHECK(EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_encrypt(ctx, out, &room, in, len) == 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	return room;
}
