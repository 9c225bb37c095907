// A cryptographic operation between its Init and its end. It owns what it needs of
// the key, so it runs without the module's mutex and outlives the object.
#ifndef SOFTTOKEN_OPERATION_H
#define SOFTTOKEN_OPERATION_H

#include "config.h"
#include "object.h"

enum direction { DIRECTION_SIGN, DIRECTION_VERIFY, DIRECTION_ENCRYPT, DIRECTION_DECRYPT, DIRECTION_DIGEST, DIRECTIONS };

struct operation {
	enum direction direction;
	enum role role;
	bool der;          // form of signature or ciphertext
	bool uses_private; // ends with the login
	bool started;      // an Update was seen: only Update and Final may follow
	EVP_PKEY *key;
	EVP_MD_CTX *digest;
	EVP_CIPHER_CTX *cipher;
	bool padded;
	size_t pending; // bytes that cipher holds back
};

// operation_new checks mechanism, parameter and key; object is NULL for a digest.
CK_RV operation_new(const struct config *config, enum direction direction, const CK_MECHANISM *mechanism,
		    struct object *object, struct operation **out);
// operation_free wipes; NULL is fine.
void operation_free(struct operation *operation);

// Signatures. operation_update feeds the message of a message mechanism or digest.
bool operation_is_message(const struct operation *operation);
CK_RV operation_update(struct operation *operation, const uint8_t *in, size_t len);
size_t operation_signature_max(const struct operation *operation);
// For these three, in is the digest e of a digest mechanism, and NULL for a
// message mechanism, whose message was fed before.
CK_RV operation_sign(struct operation *operation, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len);
CK_RV operation_verify(struct operation *operation, const uint8_t *in, size_t len, const uint8_t *signature, size_t signature_len);
CK_RV operation_digest(struct operation *operation, uint8_t out[SM2_DIGEST]);

// Ciphers. operation_cipher does a whole text at once and allocates *out, for
// OPENSSL_clear_free. It and operation_last leave the operation as it was, for a
// caller whose buffer turns out too small.
CK_RV operation_cipher(const struct operation *operation, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len);
// operation_cipher_max bounds what operation_cipher returns for len bytes.
size_t operation_cipher_max(const struct operation *operation, size_t len);
// operation_part_len is exactly what operation_part writes for len bytes.
size_t operation_part_len(const struct operation *operation, size_t len);
CK_RV operation_part(struct operation *operation, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len);
// operation_last writes at most 16 bytes.
CK_RV operation_last(const struct operation *operation, uint8_t out[16], size_t *out_len);
// operation_is_streaming: Update and Final are possible (SM4, not SM2).
bool operation_is_streaming(const struct operation *operation);

#endif
