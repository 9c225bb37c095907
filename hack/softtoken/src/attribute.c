#include "attribute.h"

#include <openssl/crypto.h>
#include <string.h>

static struct attribute *find(struct attributes *list, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->item[i].type == type)
			return &list->item[i];
	return NULL;
}

CK_RV attributes_set(struct attributes *list, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
	if (len > LIMIT_ATTRIBUTE)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	struct attribute *item = find(list, type);
	if (item == NULL && list->count == LIMIT_ATTRIBUTES)
		return CKR_TEMPLATE_INCONSISTENT;
	// One byte more, so that an empty value has an address.
	unsigned char *copy = OPENSSL_malloc(len + 1);
	if (copy == NULL)
		return CKR_HOST_MEMORY;
	if (len > 0)
		memcpy(copy, value, len);
	if (item == NULL)
		item = &list->item[list->count++];
	else
		OPENSSL_clear_free(item->value, item->len);
	*item = (struct attribute){ .type = type, .value = copy, .len = len };
	return CKR_OK;
}

CK_RV attributes_set_bool(struct attributes *list, CK_ATTRIBUTE_TYPE type, bool value)
{
	CK_BBOOL byte = value ? CK_TRUE : CK_FALSE;
	return attributes_set(list, type, &byte, sizeof byte);
}

CK_RV attributes_set_ulong(struct attributes *list, CK_ATTRIBUTE_TYPE type, CK_ULONG value)
{
	return attributes_set(list, type, &value, sizeof value);
}

const struct attribute *attributes_get(const struct attributes *list, CK_ATTRIBUTE_TYPE type)
{
	return find((struct attributes *)list, type);
}

bool attributes_bool(const struct attributes *list, CK_ATTRIBUTE_TYPE type)
{
	const struct attribute *item = attributes_get(list, type);
	return item != NULL && item->len == sizeof(CK_BBOOL) && item->value[0] == CK_TRUE;
}

void attributes_clear(struct attributes *list)
{
	for (size_t i = 0; i < list->count; i++)
		OPENSSL_clear_free(list->item[i].value, list->item[i].len);
	list->count = 0;
}

CK_RV template_check(const CK_ATTRIBUTE *template, CK_ULONG count)
{
	if (count > 0 && template == NULL)
		return CKR_ARGUMENTS_BAD;
	if (count > LIMIT_ATTRIBUTES)
		return CKR_TEMPLATE_INCONSISTENT;
	for (CK_ULONG i = 0; i < count; i++) {
		if (template[i].ulValueLen > LIMIT_ATTRIBUTE || (template[i].pValue == NULL && template[i].ulValueLen > 0))
			return CKR_ATTRIBUTE_VALUE_INVALID;
		for (CK_ULONG k = 0; k < i; k++)
			if (template[k].type == template[i].type)
				return CKR_TEMPLATE_INCONSISTENT;
	}
	return CKR_OK;
}

const CK_ATTRIBUTE *template_find(const CK_ATTRIBUTE *template, CK_ULONG count, CK_ATTRIBUTE_TYPE type)
{
	for (CK_ULONG i = 0; i < count; i++)
		if (template[i].type == type)
			return &template[i];
	return NULL;
}

CK_RV template_bool(const CK_ATTRIBUTE *template, CK_ULONG count, CK_ATTRIBUTE_TYPE type, bool fallback, bool *out)
{
	const CK_ATTRIBUTE *found = template_find(template, count, type);
	*out = fallback;
	if (found == NULL)
		return CKR_OK;
	if (found->ulValueLen != sizeof(CK_BBOOL))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	*out = *(const CK_BBOOL *)found->pValue != CK_FALSE;
	return CKR_OK;
}
