// SM2 (GB/T 32918) over OpenSSL. A point is 04 || X || Y, a raw signature r || s,
// a raw ciphertext 04 || X || Y || C3 || C2.
#ifndef SOFTTOKEN_SM2_H
#define SOFTTOKEN_SM2_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SM2_SCALAR = 32,
	SM2_POINT = 65,
	SM2_DIGEST = 32,
	SM2_OID = 10,
	SM2_SIGNATURE_RAW = 64,
	SM2_SIGNATURE_MAX = 72, // DER with two leading zeros
};

// sm2_oid is 1.2.156.10197.1.301 in DER, the value of CKA_EC_PARAMS.
extern const uint8_t sm2_oid[SM2_OID];

// sm2_generate makes a key pair and writes both halves.
bool sm2_generate(uint8_t scalar[SM2_SCALAR], uint8_t point[SM2_POINT]);
// sm2_key builds a key; scalar NULL makes a public key. NULL when the point is
// not on the curve. The caller frees it.
EVP_PKEY *sm2_key(const uint8_t scalar[SM2_SCALAR], const uint8_t point[SM2_POINT]);
// sm2_message_begin starts SM3 over Z for the default ID 1234567812345678 and point
// (GM/T 0009-2012 §10); what is added next is the message, and the result is e.
EVP_MD_CTX *sm2_message_begin(const uint8_t point[SM2_POINT]);
// sm2_sign writes at most SM2_SIGNATURE_MAX bytes.
bool sm2_sign(EVP_PKEY *key, const uint8_t e[SM2_DIGEST], bool der, uint8_t *out, size_t *len);
bool sm2_verify(EVP_PKEY *key, const uint8_t e[SM2_DIGEST], bool der, const uint8_t *signature, size_t len);
// sm2_encrypt and sm2_decrypt allocate *out, for OPENSSL_clear_free.
bool sm2_encrypt(EVP_PKEY *key, bool der, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len);
bool sm2_decrypt(EVP_PKEY *key, bool der, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len);
// sm2_cipher_max bounds the ciphertext of len bytes.
size_t sm2_cipher_max(size_t len, bool der);

#endif
