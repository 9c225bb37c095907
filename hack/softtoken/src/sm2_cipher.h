// The two forms of an SM2 ciphertext: DER SM2Cipher (GM/T 0009-2012 §7.2) and raw
// 04 || X || Y || C3 || C2.
#ifndef SOFTTOKEN_SM2_CIPHER_H
#define SOFTTOKEN_SM2_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Both allocate *out for OPENSSL_free and refuse anything malformed.
bool sm2_cipher_to_raw(const uint8_t *der, size_t len, uint8_t **out, size_t *out_len);
bool sm2_cipher_to_der(const uint8_t *raw, size_t len, uint8_t **out, size_t *out_len);

#endif
