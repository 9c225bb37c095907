// The file of a token object. A key pair is one file with two sections, so that
// after a crash either both halves exist or neither does.
#ifndef SOFTTOKEN_OBJECT_FILE_H
#define SOFTTOKEN_OBJECT_FILE_H

#include "object.h"
#include "token.h"

enum { SECTIONS = 2 };

struct section {
	uint8_t part;
	bool sealed; // a private object, under the master key
	uint8_t *bytes;
	size_t len;
};

struct object_file {
	uint8_t instance[TOKEN_INSTANCE]; // the token that it belongs to
	struct section section[SECTIONS];
	unsigned count;
};

CK_RV object_file_read(const char *dir, const char *name, struct object_file *file);
CK_RV object_file_write(const char *dir, const char *name, const struct object_file *file);
void object_file_clear(struct object_file *file);
// object_file_put adds or replaces the section of object->part; master seals it
// when the object is private.
CK_RV object_file_put(struct object_file *file, const struct object *object, const uint8_t master[MASTER_KEY]);
// object_file_drop removes the section of part.
void object_file_drop(struct object_file *file, uint8_t part);
// object_file_get returns NULL when the section does not open or is damaged.
struct object *object_file_get(const struct object_file *file, const char *name, const struct section *section,
			       const uint8_t master[MASTER_KEY]);

#endif
