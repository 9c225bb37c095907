// The second opinion: OpenSSL's own SM2 on its default library context.
#ifndef SOFTTOKEN_OPENSSL_CHECK_H
#define SOFTTOKEN_OPENSSL_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// openssl_verify checks a DER signature over message by EVP_DigestVerify with the
// ID 1234567812345678.
bool openssl_verify(const uint8_t point[65], const void *message, size_t len, const uint8_t *der, size_t der_len);
// openssl_e computes e = SM3(Z || message).
void openssl_e(const uint8_t point[65], const void *message, size_t len, uint8_t e[32]);
// raw_to_der turns r || s into DER.
size_t raw_to_der(const uint8_t raw[64], uint8_t der[72]);
// openssl_encrypt makes a DER SM2Cipher.
size_t openssl_encrypt(const uint8_t point[65], const void *in, size_t len, uint8_t *out, size_t room);

#endif
