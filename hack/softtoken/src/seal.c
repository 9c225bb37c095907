#include "seal.h"

#include "limits.h"
#include "provider.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

bool seal(const uint8_t key[SEAL_KEY], const void *context, size_t context_len,
	  const void *in, size_t len, uint8_t *out)
{
	if (len > LIMIT_OBJECT_FILE || context_len > LIMIT_OBJECT_FILE)
		return false;
	uint8_t *nonce = out, *body = out + SEAL_NONCE, *tag = body + len;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = ctx != NULL && provider_random(nonce, SEAL_NONCE) &&
		  EVP_EncryptInit_ex2(ctx, provider_get()->aes256_gcm, key, nonce, NULL) == 1 &&
		  EVP_EncryptUpdate(ctx, NULL, &n, context, (int)context_len) == 1 &&
		  EVP_EncryptUpdate(ctx, body, &n, in, (int)len) == 1 &&
		  EVP_EncryptFinal_ex(ctx, tag, &n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

bool unseal(const uint8_t key[SEAL_KEY], const void *context, size_t context_len,
	    const uint8_t *in, size_t len, void *out)
{
	if (len < SEAL_OVERHEAD || len > LIMIT_OBJECT_FILE || context_len > LIMIT_OBJECT_FILE)
		return false;
	size_t body_len = len - SEAL_OVERHEAD;
	const uint8_t *nonce = in, *body = in + SEAL_NONCE, *tag = body + body_len;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t rest[16];
	int n = 0;
	bool ok = ctx != NULL &&
		  EVP_DecryptInit_ex2(ctx, provider_get()->aes256_gcm, key, nonce, NULL) == 1 &&
		  EVP_DecryptUpdate(ctx, NULL, &n, context, (int)context_len) == 1 &&
		  EVP_DecryptUpdate(ctx, out, &n, body, (int)body_len) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, (void *)tag) == 1 &&
		  EVP_DecryptFinal_ex(ctx, rest, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok)
		OPENSSL_cleanse(out, body_len);
	return ok;
}

bool seal_derive(const void *pin, size_t pin_len, const uint8_t salt[SEAL_SALT],
		 unsigned iterations, uint8_t key[SEAL_KEY])
{
	EVP_KDF *kdf = EVP_KDF_fetch(provider_get()->context, "PBKDF2", NULL);
	EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)pin, pin_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, SEAL_SALT),
		OSSL_PARAM_construct_uint(OSSL_KDF_PARAM_ITER, &iterations),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA2-256", 0),
		OSSL_PARAM_construct_end(),
	};
	bool ok = ctx != NULL && EVP_KDF_derive(ctx, key, SEAL_KEY, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}
