#include "sm2.h"

#include "provider.h"
#include "sm2_cipher.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <string.h>

const uint8_t sm2_oid[SM2_OID] = { 0x06, 0x08, 0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x82, 0x2D };

bool sm2_generate(uint8_t scalar[SM2_SCALAR], uint8_t point[SM2_POINT])
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(provider_get()->context, NULL, "SM2");
	BIGNUM *d = NULL;
	size_t len = 0;
	bool ok = key != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
		  BN_bn2binpad(d, scalar, SM2_SCALAR) == SM2_SCALAR &&
		  EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, SM2_POINT, &len) == 1 &&
		  len == SM2_POINT && point[0] == 4;
	BN_clear_free(d);
	EVP_PKEY_free(key);
	return ok;
}

EVP_PKEY *sm2_key(const uint8_t scalar[SM2_SCALAR], const uint8_t point[SM2_POINT])
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = NULL, *check = NULL;
	OSSL_PARAM *params = NULL;
	BIGNUM *d = NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	bool ok = build != NULL &&
		  OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "SM2", 0) == 1 &&
		  OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, SM2_POINT) == 1;
	if (ok && scalar != NULL) {
		// Secure: the parameter block is then wiped when it is freed.
		d = BN_secure_new();
		ok = d != NULL && BN_bin2bn(scalar, SM2_SCALAR, d) != NULL;
		if (ok) {
			BN_set_flags(d, BN_FLG_CONSTTIME);
			ok = OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, d, SM2_SCALAR) == 1;
		}
	}
	if (ok) {
		params = OSSL_PARAM_BLD_to_param(build);
		ctx = EVP_PKEY_CTX_new_from_name(provider_get()->context, "SM2", NULL);
		ok = params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
		     EVP_PKEY_fromdata(ctx, &key, scalar == NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR, params) == 1;
	}
	if (ok) {
		check = EVP_PKEY_CTX_new_from_pkey(provider_get()->context, key, NULL);
		ok = check != NULL && EVP_PKEY_public_check_quick(check) == 1;
	}
	if (!ok) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (params != NULL && scalar != NULL) {
		OSSL_PARAM *priv = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY);
		if (priv != NULL)
			OPENSSL_cleanse(priv->data, priv->data_size);
	}
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	BN_clear_free(d);
	OSSL_PARAM_BLD_free(build);
	return key;
}

// a, b, xG, yG of GB/T 32918.5-2017.
static const uint8_t curve[4][32] = {
	{ 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	  0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFC },
	{ 0x28, 0xE9, 0xFA, 0x9E, 0x9D, 0x9F, 0x5E, 0x34, 0x4D, 0x5A, 0x9E, 0x4B, 0xCF, 0x65, 0x09, 0xA7,
	  0xF3, 0x97, 0x89, 0xF5, 0x15, 0xAB, 0x8F, 0x92, 0xDD, 0xBC, 0xBD, 0x41, 0x4D, 0x94, 0x0E, 0x93 },
	{ 0x32, 0xC4, 0xAE, 0x2C, 0x1F, 0x19, 0x81, 0x19, 0x5F, 0x99, 0x04, 0x46, 0x6A, 0x39, 0xC9, 0x94,
	  0x8F, 0xE3, 0x0B, 0xBF, 0xF2, 0x66, 0x0B, 0xE1, 0x71, 0x5A, 0x45, 0x89, 0x33, 0x4C, 0x74, 0xC7 },
	{ 0xBC, 0x37, 0x36, 0xA2, 0xF4, 0xF6, 0x77, 0x9C, 0x59, 0xBD, 0xCE, 0xE3, 0x6B, 0x69, 0x21, 0x53,
	  0xD0, 0xA9, 0x87, 0x7C, 0xC6, 0x2A, 0x47, 0x40, 0x02, 0xDF, 0x32, 0xE5, 0x21, 0x39, 0xF0, 0xA0 },
};

EVP_MD_CTX *sm2_message_begin(const uint8_t point[SM2_POINT])
{
	static const uint8_t id[18] = "\x00\x80" "1234567812345678"; // length in bits, ID
	const EVP_MD *sm3 = provider_get()->sm3;
	uint8_t z[SM2_DIGEST];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex2(ctx, sm3, NULL) == 1 &&
		  EVP_DigestUpdate(ctx, id, sizeof id) == 1 && EVP_DigestUpdate(ctx, curve, sizeof curve) == 1 &&
		  EVP_DigestUpdate(ctx, point + 1, SM2_POINT - 1) == 1 && EVP_DigestFinal_ex(ctx, z, NULL) == 1 &&
		  EVP_DigestInit_ex2(ctx, sm3, NULL) == 1 && EVP_DigestUpdate(ctx, z, sizeof z) == 1;
	if (ok)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

bool sm2_sign(EVP_PKEY *key, const uint8_t e[SM2_DIGEST], bool der, uint8_t *out, size_t *len)
{
	// EVP_PKEY_sign on an SM2 key without a digest signs the 32 bytes as e.
	uint8_t encoded[SM2_SIGNATURE_MAX];
	size_t encoded_len = sizeof encoded;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(provider_get()->context, key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_sign(ctx, encoded, &encoded_len, e, SM2_DIGEST) == 1;
	EVP_PKEY_CTX_free(ctx);
	if (!ok)
		return false;
	if (der) {
		memcpy(out, encoded, encoded_len);
		*len = encoded_len;
		return true;
	}
	const uint8_t *p = encoded;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)encoded_len);
	ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32 &&
	     BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;
	ECDSA_SIG_free(sig);
	*len = SM2_SIGNATURE_RAW;
	return ok;
}

// raw_to_der writes the one DER form of r || s.
static bool raw_to_der(const uint8_t raw[SM2_SIGNATURE_RAW], uint8_t der[SM2_SIGNATURE_MAX], size_t *len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return false;
	}
	uint8_t *p = der;
	int n = i2d_ECDSA_SIG(sig, &p);
	ECDSA_SIG_free(sig);
	*len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

bool sm2_verify(EVP_PKEY *key, const uint8_t e[SM2_DIGEST], bool der, const uint8_t *signature, size_t len)
{
	uint8_t encoded[SM2_SIGNATURE_MAX];
	if (!der) {
		if (len != SM2_SIGNATURE_RAW || !raw_to_der(signature, encoded, &len))
			return false;
		signature = encoded;
	}
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(provider_get()->context, key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
		  EVP_PKEY_verify(ctx, signature, len, e, SM2_DIGEST) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

bool sm2_encrypt(EVP_PKEY *key, bool der, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(provider_get()->context, key, NULL);
	uint8_t *buf = NULL;
	size_t cap = 0, n = 0;
	bool ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_encrypt(ctx, NULL, &cap, in, len) == 1 &&
		  (buf = OPENSSL_malloc(cap)) != NULL && (n = cap, EVP_PKEY_encrypt(ctx, buf, &n, in, len) == 1);
	EVP_PKEY_CTX_free(ctx);
	if (ok && !der) {
		uint8_t *raw = NULL;
		size_t raw_len = 0;
		ok = sm2_cipher_to_raw(buf, n, &raw, &raw_len);
		OPENSSL_free(buf);
		buf = raw;
		n = raw_len;
	}
	if (!ok) {
		OPENSSL_free(buf);
		return false;
	}
	*out = buf;
	*out_len = n;
	return true;
}

bool sm2_decrypt(EVP_PKEY *key, bool der, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	uint8_t *encoded = NULL, *buf = NULL;
	if (!der) {
		if (!sm2_cipher_to_der(in, len, &encoded, &len))
			return false;
		in = encoded;
	}
	// The plaintext is shorter than any form of its ciphertext.
	size_t n = len;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(provider_get()->context, key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 && (buf = OPENSSL_zalloc(len + 1)) != NULL &&
		  EVP_PKEY_decrypt(ctx, buf, &n, in, len) == 1 && n <= len;
	EVP_PKEY_CTX_free(ctx);
	OPENSSL_free(encoded);
	if (!ok) {
		OPENSSL_clear_free(buf, buf == NULL ? 0 : len + 1);
		return false;
	}
	*out = buf;
	*out_len = n;
	return true;
}

size_t sm2_cipher_max(size_t len, bool der)
{
	// DER: two INTEGERs of at most 35, one OCTET STRING of 34, headers of at most 6.
	return der ? 2 * 35 + 34 + 6 + len + 6 : SM2_POINT + SM2_DIGEST + len;
}
