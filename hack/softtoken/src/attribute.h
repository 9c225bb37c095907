// A bounded list of attributes that owns its values.
#ifndef SOFTTOKEN_ATTRIBUTE_H
#define SOFTTOKEN_ATTRIBUTE_H

#include "cryptoki.h"
#include "limits.h"

#include <stdbool.h>
#include <stddef.h>

struct attribute {
	CK_ATTRIBUTE_TYPE type;
	unsigned char *value;
	size_t len;
};

struct attributes {
	struct attribute item[LIMIT_ATTRIBUTES];
	size_t count;
};

// attributes_set copies the value and replaces an older one; CKR_TEMPLATE_INCONSISTENT
// when the list is full, CKR_ATTRIBUTE_VALUE_INVALID above LIMIT_ATTRIBUTE.
CK_RV attributes_set(struct attributes *list, CK_ATTRIBUTE_TYPE type, const void *value, size_t len);
CK_RV attributes_set_bool(struct attributes *list, CK_ATTRIBUTE_TYPE type, bool value);
CK_RV attributes_set_ulong(struct attributes *list, CK_ATTRIBUTE_TYPE type, CK_ULONG value);
const struct attribute *attributes_get(const struct attributes *list, CK_ATTRIBUTE_TYPE type);
bool attributes_bool(const struct attributes *list, CK_ATTRIBUTE_TYPE type);
// attributes_clear wipes and frees the values.
void attributes_clear(struct attributes *list);

// template_check bounds a caller's template and refuses null values and repeats.
CK_RV template_check(const CK_ATTRIBUTE *template, CK_ULONG count);
// template_find is NULL when the template, once checked, has no such attribute.
const CK_ATTRIBUTE *template_find(const CK_ATTRIBUTE *template, CK_ULONG count, CK_ATTRIBUTE_TYPE type);
// template_bool reads a CK_BBOOL or leaves fallback; CKR_ATTRIBUTE_VALUE_INVALID
// when the value is none.
CK_RV template_bool(const CK_ATTRIBUTE *template, CK_ULONG count, CK_ATTRIBUTE_TYPE type, bool fallback, bool *out);

#endif
