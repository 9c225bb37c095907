// The OpenSSL library context of this module. It is our own, so that neither the
// host program's OpenSSL configuration nor its engines reach into the token.
#ifndef SOFTTOKEN_PROVIDER_H
#define SOFTTOKEN_PROVIDER_H

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

struct provider {
	OSSL_LIB_CTX *context;
	EVP_MD *sm3;
	EVP_MD *sha256;
	EVP_CIPHER *sm4_ecb;
	EVP_CIPHER *sm4_cbc;
	EVP_CIPHER *aes256_gcm;
};

// provider_open fetches every algorithm once; false when this OpenSSL lacks one.
bool provider_open(void);
void provider_close(void);
// provider_get is valid between provider_open and provider_close.
const struct provider *provider_get(void);
// provider_random fills buf from the context's DRBG.
bool provider_random(void *buf, size_t len);

#endif
