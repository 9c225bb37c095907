// How secrets are kept at rest: AES-256-GCM, and a key derived from a PIN.
#ifndef SOFTTOKEN_SEAL_H
#define SOFTTOKEN_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SEAL_KEY = 32,
	SEAL_SALT = 16,
	SEAL_NONCE = 12,
	SEAL_TAG = 16,
	SEAL_OVERHEAD = SEAL_NONCE + SEAL_TAG,
};

// seal writes nonce, ciphertext and tag: len + SEAL_OVERHEAD bytes. context is
// authenticated, so that a sealed value opens only where it belongs.
bool seal(const uint8_t key[SEAL_KEY], const void *context, size_t context_len,
	  const void *in, size_t len, uint8_t *out);
// unseal writes len - SEAL_OVERHEAD bytes; false, and out wiped, when key,
// context or bytes are not those of seal.
bool unseal(const uint8_t key[SEAL_KEY], const void *context, size_t context_len,
	    const uint8_t *in, size_t len, void *out);
// seal_derive is PBKDF2-HMAC-SHA256 (RFC 8018 §5.2).
bool seal_derive(const void *pin, size_t pin_len, const uint8_t salt[SEAL_SALT],
		 unsigned iterations, uint8_t key[SEAL_KEY]);

#endif
