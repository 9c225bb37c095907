#include "object.h"

#include <openssl/crypto.h>
#include <string.h>

void object_free(struct object *object)
{
	if (object == NULL)
		return;
	EVP_PKEY_free(object->key);
	attributes_clear(&object->attributes);
	OPENSSL_clear_free(object, sizeof *object);
}

size_t object_secret_len(const struct object *object)
{
	switch (object->kind) {
	case KIND_SM2_PRIVATE:
		return SM2_SCALAR;
	case KIND_SM4:
		return SM4_KEY;
	case KIND_SM2_PUBLIC:
		break;
	}
	return 0;
}

static CK_RV complete_sm2(struct object *object, const struct profile *profile)
{
	struct attributes *list = &object->attributes;
	uint8_t octet[2 + SM2_POINT] = { 0x04, SM2_POINT };
	CK_RV rv = attributes_set(list, CKA_EC_PARAMS, sm2_oid, SM2_OID);
	if (rv != CKR_OK || (object->kind == KIND_SM2_PRIVATE && !profile->private_point))
		return rv;
	memcpy(octet + 2, object->point, SM2_POINT);
	return profile->point_octet ? attributes_set(list, CKA_EC_POINT, octet, sizeof octet)
				    : attributes_set(list, CKA_EC_POINT, object->point, SM2_POINT);
}

CK_RV object_complete(struct object *object, const struct config *config)
{
	const struct profile *profile = &config->profile;
	struct attributes *list = &object->attributes;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = profile->sm2_key_type;
	const struct role_numbers *generation = &profile->roles[ROLE_SM2_KEY_PAIR_GEN];
	if (object->kind == KIND_SM2_PRIVATE)
		class = CKO_PRIVATE_KEY;
	else if (object->kind == KIND_SM2_PUBLIC)
		class = CKO_PUBLIC_KEY;
	if (object->kind == KIND_SM4) {
		type = profile->sm4_key_type;
		generation = &profile->roles[ROLE_SM4_KEY_GEN];
	}
	CK_ULONG mechanism = object->local && generation->count > 0 ? generation->number[0] : CK_UNAVAILABLE_INFORMATION;
	CK_RV rv = attributes_set_ulong(list, CKA_CLASS, class);
	if (rv == CKR_OK)
		rv = attributes_set_ulong(list, CKA_KEY_TYPE, type);
	if (rv == CKR_OK)
		rv = attributes_set_ulong(list, CKA_KEY_GEN_MECHANISM, mechanism);
	if (rv == CKR_OK)
		rv = attributes_set_bool(list, CKA_LOCAL, object->local);
	if (rv == CKR_OK)
		rv = attributes_set_bool(list, CKA_TOKEN, object->token);
	if (rv == CKR_OK)
		rv = attributes_set_bool(list, CKA_PRIVATE, object->private);
	if (rv == CKR_OK && object->kind == KIND_SM4)
		rv = attributes_set_ulong(list, CKA_VALUE_LEN, SM4_KEY);
	if (rv == CKR_OK && object->kind != KIND_SM4)
		rv = complete_sm2(object, profile);
	return rv;
}

// is_computed: object_complete makes it.
static bool is_computed(CK_ATTRIBUTE_TYPE type)
{
	switch (type) {
	case CKA_CLASS:
	case CKA_KEY_TYPE:
	case CKA_KEY_GEN_MECHANISM:
	case CKA_LOCAL:
	case CKA_TOKEN:
	case CKA_PRIVATE:
	case CKA_VALUE_LEN:
	case CKA_EC_PARAMS:
	case CKA_EC_POINT:
		return true;
	default:
		return false;
	}
}

EVP_PKEY *object_key(struct object *object)
{
	if (object->key == NULL && object->kind == KIND_SM2_PRIVATE)
		object->key = sm2_key(object->secret, object->point);
	if (object->key == NULL && object->kind == KIND_SM2_PUBLIC)
		object->key = sm2_key(NULL, object->point);
	return object->key;
}

// The encoding, numbers big-endian: version 1, kind, flags (1 private, 2 local), point of
// the SM2 kinds, secret of private and SM4, then for each stored attribute its
// type in 4 bytes, length in 2, value.
enum { ENCODING_VERSION = 1, ENCODING_HEAD = 3, FLAG_PRIVATE = 1, FLAG_LOCAL = 2 };

static size_t point_len(const struct object *object)
{
	return object->kind == KIND_SM4 ? 0 : SM2_POINT;
}

CK_RV object_encode(const struct object *object, uint8_t **out, size_t *len)
{
	const struct attributes *list = &object->attributes;
	size_t total = ENCODING_HEAD + point_len(object) + object_secret_len(object);
	for (size_t i = 0; i < list->count; i++)
		total += is_computed(list->item[i].type) ? 0 : 6 + list->item[i].len;
	uint8_t *buf = OPENSSL_malloc(total);
	if (buf == NULL)
		return CKR_HOST_MEMORY;
	uint8_t *p = buf;
	*p++ = ENCODING_VERSION;
	*p++ = (uint8_t)object->kind;
	*p++ = (uint8_t)((object->private ? FLAG_PRIVATE : 0) | (object->local ? FLAG_LOCAL : 0));
	memcpy(p, object->point, point_len(object));
	p += point_len(object);
	memcpy(p, object->secret, object_secret_len(object));
	p += object_secret_len(object);
	for (size_t i = 0; i < list->count; i++) {
		const struct attribute *item = &list->item[i];
		if (is_computed(item->type))
			continue;
		for (int shift = 24; shift >= 0; shift -= 8)
			*p++ = (uint8_t)(item->type >> shift);
		*p++ = (uint8_t)(item->len >> 8);
		*p++ = (uint8_t)item->len;
		memcpy(p, item->value, item->len);
		p += item->len;
	}
	*out = buf;
	*len = total;
	return CKR_OK;
}

struct object *object_decode(const uint8_t *in, size_t len)
{
	if (len < ENCODING_HEAD || in[0] != ENCODING_VERSION || in[1] < KIND_SM2_PRIVATE || in[1] > KIND_SM4)
		return NULL;
	struct object *object = OPENSSL_zalloc(sizeof *object);
	if (object == NULL)
		return NULL;
	object->kind = (enum key_kind)in[1];
	object->private = in[2] & FLAG_PRIVATE;
	object->local = in[2] & FLAG_LOCAL;
	object->token = true;
	const uint8_t *p = in + ENCODING_HEAD, *end = in + len;
	if ((size_t)(end - p) < point_len(object) + object_secret_len(object))
		goto fail;
	memcpy(object->point, p, point_len(object));
	p += point_len(object);
	memcpy(object->secret, p, object_secret_len(object));
	p += object_secret_len(object);
	while (p < end) {
		if (end - p < 6)
			goto fail;
		CK_ATTRIBUTE_TYPE type = (CK_ATTRIBUTE_TYPE)p[0] << 24 | (CK_ATTRIBUTE_TYPE)p[1] << 16 |
					 (CK_ATTRIBUTE_TYPE)p[2] << 8 | p[3];
		size_t value_len = (size_t)p[4] << 8 | p[5];
		p += 6;
		if ((size_t)(end - p) < value_len || attributes_set(&object->attributes, type, p, value_len) != CKR_OK)
			goto fail;
		p += value_len;
	}
	return object;
fail:
	object_free(object);
	return NULL;
}
