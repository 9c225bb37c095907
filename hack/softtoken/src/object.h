// One key object in memory, and its bytes at rest.
#ifndef SOFTTOKEN_OBJECT_H
#define SOFTTOKEN_OBJECT_H

#include "attribute.h"
#include "config.h"
#include "sm2.h"

#include <sys/stat.h>

enum key_kind { KIND_SM2_PRIVATE = 1, KIND_SM2_PUBLIC = 2, KIND_SM4 = 3 };

enum { OBJECT_NAME = 20, SM4_KEY = 16 }; // "obj-" and 16 hex digits

struct object {
	CK_OBJECT_HANDLE handle;
	enum key_kind kind;
	bool token;
	bool private;
	bool local;              // generated here, not imported
	CK_SESSION_HANDLE owner; // of a session object

	char name[OBJECT_NAME + 1]; // the file of a token object
	uint8_t part;               // which section of that file
	struct stat seen;           // the file when it was read

	struct attributes attributes;
	uint8_t point[SM2_POINT]; // SM2 kinds
	uint8_t secret[SM2_SCALAR]; // d of SM2, 16 bytes of SM4
	EVP_PKEY *key;            // made at first use
};

// object_free wipes; NULL is fine.
void object_free(struct object *object);
// object_complete adds the attributes that follow from kind, key and profile. They
// are never stored, so one token can be played under several profiles.
CK_RV object_complete(struct object *object, const struct config *config);
// object_key is the OpenSSL key of an SM2 object, or NULL. The object keeps it.
EVP_PKEY *object_key(struct object *object);
size_t object_secret_len(const struct object *object);

// object_encode allocates *out, for OPENSSL_clear_free; it holds the secret.
CK_RV object_encode(const struct object *object, uint8_t **out, size_t *len);
// object_decode returns NULL for bytes that object_encode cannot have written.
struct object *object_decode(const uint8_t *in, size_t len);

#endif
