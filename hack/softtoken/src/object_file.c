#include "object_file.h"

#include "file.h"
#include "provider.h"
#include "report.h"

#include <errno.h>
#include <string.h>

// The file: "TSTO", version 1, instance, count of sections; each section its part,
// 1 when sealed, its length in 4 bytes big-endian, its bytes. A section that is
// not sealed ends with its SHA-256, against damage.
static const uint8_t magic[5] = { 'T', 'S', 'T', 'O', 1 };
enum { HEAD = sizeof magic + TOKEN_INSTANCE + 1, SECTION_HEAD = 6, CHECKSUM = 32 };

// A sealed section opens only in its token, its file and its place.
struct place {
	uint8_t instance[TOKEN_INSTANCE];
	char name[OBJECT_NAME];
	uint8_t part;
};

static struct place place_of(const struct object_file *file, const char *name, uint8_t part)
{
	struct place place = { .part = part };
	memcpy(place.instance, file->instance, TOKEN_INSTANCE);
	memcpy(place.name, name, OBJECT_NAME);
	return place;
}

void object_file_clear(struct object_file *file)
{
	for (unsigned i = 0; i < file->count; i++)
		OPENSSL_clear_free(file->section[i].bytes, file->section[i].len);
	file->count = 0;
}

static bool parse(const uint8_t *p, size_t len, struct object_file *file)
{
	if (len < HEAD || memcmp(p, magic, sizeof magic) != 0)
		return false;
	memcpy(file->instance, p + sizeof magic, TOKEN_INSTANCE);
	const uint8_t *end = p + len;
	unsigned count = p[HEAD - 1];
	if (count == 0 || count > SECTIONS)
		return false;
	for (p += HEAD; file->count < count;) {
		if (end - p < SECTION_HEAD)
			return false;
		struct section section = { .part = p[0], .sealed = p[1] == 1 };
		section.len = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
		p += SECTION_HEAD;
		if (section.len == 0 || (size_t)(end - p) < section.len)
			return false;
		section.bytes = OPENSSL_memdup(p, section.len);
		if (section.bytes == NULL)
			return false;
		file->section[file->count++] = section;
		p += section.len;
	}
	return p == end;
}

CK_RV object_file_read(const char *dir, const char *name, struct object_file *file)
{
	uint8_t *data = NULL;
	size_t len = 0;
	memset(file, 0, sizeof *file);
	if (!file_read(dir, name, LIMIT_OBJECT_FILE, &data, &len)) {
		report("read object %s/%s: %s", dir, name, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	bool ok = parse(data, len, file);
	OPENSSL_free(data);
	if (ok)
		return CKR_OK;
	object_file_clear(file);
	report("read object %s/%s: it is damaged", dir, name);
	return CKR_DEVICE_ERROR;
}

CK_RV object_file_write(const char *dir, const char *name, const struct object_file *file)
{
	size_t total = HEAD;
	for (unsigned i = 0; i < file->count; i++)
		total += SECTION_HEAD + file->section[i].len;
	if (total > LIMIT_OBJECT_FILE)
		return CKR_DEVICE_MEMORY;
	uint8_t *buf = OPENSSL_malloc(total);
	if (buf == NULL)
		return CKR_HOST_MEMORY;
	uint8_t *p = buf;
	memcpy(p, magic, sizeof magic);
	memcpy(p + sizeof magic, file->instance, TOKEN_INSTANCE);
	p[HEAD - 1] = (uint8_t)file->count;
	p += HEAD;
	for (unsigned i = 0; i < file->count; i++) {
		const struct section *section = &file->section[i];
		*p++ = section->part;
		*p++ = section->sealed ? 1 : 0;
		for (int shift = 24; shift >= 0; shift -= 8)
			*p++ = (uint8_t)(section->len >> shift);
		memcpy(p, section->bytes, section->len);
		p += section->len;
	}
	bool ok = file_write(dir, name, buf, total);
	OPENSSL_free(buf);
	if (ok)
		return CKR_OK;
	report("write object %s/%s: %s", dir, name, strerror(errno));
	return CKR_DEVICE_ERROR;
}

void object_file_drop(struct object_file *file, uint8_t part)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < file->count; i++) {
		if (file->section[i].part == part)
			OPENSSL_clear_free(file->section[i].bytes, file->section[i].len);
		else
			file->section[kept++] = file->section[i];
	}
	file->count = kept;
}

static bool checksum(const uint8_t *body, size_t len, uint8_t out[CHECKSUM])
{
	return EVP_Digest(body, len, out, NULL, provider_get()->sha256, NULL) == 1;
}

CK_RV object_file_put(struct object_file *file, const struct object *object, const uint8_t master[MASTER_KEY])
{
	uint8_t *body = NULL;
	size_t len = 0;
	struct section section = { .part = object->part, .sealed = object->private };
	struct place place = place_of(file, object->name, object->part);
	CK_RV rv = object_encode(object, &body, &len);
	if (rv != CKR_OK)
		return rv;
	section.len = len + (section.sealed ? (size_t)SEAL_OVERHEAD : (size_t)CHECKSUM);
	section.bytes = OPENSSL_malloc(section.len);
	bool ok = section.bytes != NULL;
	if (ok && section.sealed) {
		ok = seal(master, &place, sizeof place, body, len, section.bytes);
	} else if (ok) {
		memcpy(section.bytes, body, len);
		ok = checksum(body, len, section.bytes + len);
	}
	OPENSSL_clear_free(body, len);
	if (!ok) {
		OPENSSL_free(section.bytes);
		return CKR_FUNCTION_FAILED;
	}
	object_file_drop(file, object->part);
	if (file->count == SECTIONS) {
		OPENSSL_free(section.bytes);
		return CKR_FUNCTION_FAILED;
	}
	file->section[file->count++] = section;
	return CKR_OK;
}

struct object *object_file_get(const struct object_file *file, const char *name, const struct section *section,
			       const uint8_t master[MASTER_KEY])
{
	struct object *object = NULL;
	if (section->sealed) {
		struct place place = place_of(file, name, section->part);
		if (section->len <= SEAL_OVERHEAD)
			return NULL;
		size_t len = section->len - SEAL_OVERHEAD;
		uint8_t *body = OPENSSL_malloc(len);
		if (body != NULL && unseal(master, &place, sizeof place, section->bytes, section->len, body))
			object = object_decode(body, len);
		OPENSSL_clear_free(body, len);
	} else {
		uint8_t sum[CHECKSUM];
		if (section->len <= CHECKSUM)
			return NULL;
		size_t len = section->len - CHECKSUM;
		if (checksum(section->bytes, len, sum) && memcmp(sum, section->bytes + len, CHECKSUM) == 0)
			object = object_decode(section->bytes, len);
	}
	// A sealed object is private and the other way round: nothing else was written.
	if (object != NULL && object->private != section->sealed) {
		object_free(object);
		return NULL;
	}
	if (object != NULL) {
		memcpy(object->name, name, OBJECT_NAME);
		object->part = section->part;
	}
	return object;
}
