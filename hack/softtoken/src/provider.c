#include "provider.h"

#include <openssl/rand.h>
#include <string.h>

static struct provider current;

bool provider_open(void)
{
	OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
	if (context == NULL)
		return false;
	current.context = context;
	current.sm3 = EVP_MD_fetch(context, "SM3", NULL);
	current.sha256 = EVP_MD_fetch(context, "SHA2-256", NULL);
	current.sm4_ecb = EVP_CIPHER_fetch(context, "SM4-ECB", NULL);
	current.sm4_cbc = EVP_CIPHER_fetch(context, "SM4-CBC", NULL);
	current.aes256_gcm = EVP_CIPHER_fetch(context, "AES-256-GCM", NULL);
	if (current.sm3 == NULL || current.sha256 == NULL || current.sm4_ecb == NULL ||
	    current.sm4_cbc == NULL || current.aes256_gcm == NULL) {
		provider_close();
		return false;
	}
	return true;
}

void provider_close(void)
{
	EVP_MD_free(current.sm3);
	EVP_MD_free(current.sha256);
	EVP_CIPHER_free(current.sm4_ecb);
	EVP_CIPHER_free(current.sm4_cbc);
	EVP_CIPHER_free(current.aes256_gcm);
	OSSL_LIB_CTX_free(current.context);
	memset(&current, 0, sizeof current);
}

const struct provider *provider_get(void)
{
	return &current;
}

bool provider_random(void *buf, size_t len)
{
	return RAND_bytes_ex(current.context, buf, len, 0) == 1;
}
