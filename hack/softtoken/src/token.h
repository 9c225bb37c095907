// The token file of a slot: label, PIN records, and the master key that each PIN
// wraps. Objects are sealed under the master key, so a new PIN rewrites one file.
#ifndef SOFTTOKEN_TOKEN_H
#define SOFTTOKEN_TOKEN_H

#include "config.h"
#include "cryptoki.h"
#include "seal.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_INSTANCE = 16, TOKEN_LABEL = 32, MASTER_KEY = SEAL_KEY };

struct pin_record {
	bool set;
	unsigned failures; // wrong tries since the last right one
	unsigned iterations;
	uint8_t salt[SEAL_SALT];
	uint8_t wrapped[MASTER_KEY + SEAL_OVERHEAD];
};

struct token {
	bool initialized;
	uint8_t instance[TOKEN_INSTANCE]; // random, new with each C_InitToken
	uint8_t label[TOKEN_LABEL];       // padded with blanks
	struct pin_record so;
	struct pin_record user;
};

// The functions below read and write dir/token; the caller holds the lock of dir,
// the exclusive one where the file may change.

// token_read: a missing file is a token that is not initialized.
CK_RV token_read(const char *dir, struct token *token);
// token_init replaces the token: a new instance, a new master key, no user PIN.
// On an initialized token pin must be its SO PIN.
CK_RV token_init(const struct config *config, const char *dir, const uint8_t label[TOKEN_LABEL],
		 const uint8_t *pin, size_t pin_len);
// token_unlock checks a PIN and returns the master key. The failure is counted on
// disk before the PIN is looked at and taken back after success, so a killed
// process never gives a free try.
CK_RV token_unlock(const struct config *config, const char *dir, CK_USER_TYPE user,
		   const uint8_t *pin, size_t pin_len, uint8_t master[MASTER_KEY]);
// token_set_pin wraps master under a new PIN and clears its failures.
CK_RV token_set_pin(const struct config *config, const char *dir, CK_USER_TYPE user,
		    const uint8_t *pin, size_t pin_len, const uint8_t master[MASTER_KEY]);
// token_flags are the flags of CK_TOKEN_INFO.
CK_FLAGS token_flags(const struct config *config, const struct token *token);

#endif
