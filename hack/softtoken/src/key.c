#include "key.h"

#include <openssl/crypto.h>
#include <string.h>

// What a template may say of an attribute.
enum rule {
	RULE_FREE,    // stored as given
	RULE_USAGE,   // a CK_BBOOL with a default that depends on the kind
	RULE_TRUE,    // a CK_BBOOL that may only be true
	RULE_FALSE,   // a CK_BBOOL that may only be false
	RULE_CHECKED, // compared with what the key is, not stored
	RULE_BOOL,    // a CK_BBOOL, true unless said otherwise
};

enum { PRIVATE = 1 << KIND_SM2_PRIVATE, PUBLIC = 1 << KIND_SM2_PUBLIC, SECRET = 1 << KIND_SM4, ALL = PRIVATE | PUBLIC | SECRET };

static const struct {
	CK_ATTRIBUTE_TYPE type;
	unsigned kinds;
	enum rule rule;
	unsigned usage_default; // kinds for which a RULE_USAGE is true without a template
} rules[] = {
	{ CKA_LABEL, ALL, RULE_FREE, 0 },
	{ CKA_ID, ALL, RULE_FREE, 0 },
	{ CKA_SUBJECT, PRIVATE | PUBLIC, RULE_FREE, 0 },
	{ CKA_START_DATE, ALL, RULE_FREE, 0 },
	{ CKA_END_DATE, ALL, RULE_FREE, 0 },
	{ CKA_CLASS, ALL, RULE_CHECKED, 0 },
	{ CKA_KEY_TYPE, ALL, RULE_CHECKED, 0 },
	{ CKA_TOKEN, ALL, RULE_CHECKED, 0 },
	{ CKA_PRIVATE, ALL, RULE_CHECKED, 0 },
	{ CKA_EC_PARAMS, PRIVATE | PUBLIC, RULE_CHECKED, 0 },
	{ CKA_EC_POINT, PUBLIC, RULE_CHECKED, 0 },
	{ CKA_VALUE, SECRET, RULE_CHECKED, 0 },
	{ CKA_VALUE_LEN, SECRET, RULE_CHECKED, 0 },
	{ CKA_SIGN, PRIVATE, RULE_USAGE, PRIVATE },
	{ CKA_VERIFY, PUBLIC, RULE_USAGE, PUBLIC },
	{ CKA_ENCRYPT, PUBLIC | SECRET, RULE_USAGE, PUBLIC | SECRET },
	{ CKA_DECRYPT, PRIVATE | SECRET, RULE_USAGE, PRIVATE | SECRET },
	{ CKA_DERIVE, ALL, RULE_FALSE, 0 },
	{ CKA_WRAP, PUBLIC | SECRET, RULE_FALSE, 0 },
	{ CKA_UNWRAP, PRIVATE | SECRET, RULE_FALSE, 0 },
	{ CKA_SIGN_RECOVER, PRIVATE, RULE_FALSE, 0 },
	{ CKA_VERIFY_RECOVER, PUBLIC, RULE_FALSE, 0 },
	{ CKA_SIGN, SECRET, RULE_FALSE, 0 },
	{ CKA_VERIFY, SECRET, RULE_FALSE, 0 },
	{ CKA_SENSITIVE, PRIVATE | SECRET, RULE_TRUE, 0 },
	{ CKA_EXTRACTABLE, PRIVATE | SECRET, RULE_FALSE, 0 },
	{ CKA_ALWAYS_AUTHENTICATE, PRIVATE, RULE_FALSE, 0 },
	{ CKA_WRAP_WITH_TRUSTED, PRIVATE | SECRET, RULE_FALSE, 0 },
	{ CKA_TRUSTED, PUBLIC | SECRET, RULE_FALSE, 0 },
	{ CKA_COPYABLE, ALL, RULE_FALSE, 0 },
	{ CKA_MODIFIABLE, ALL, RULE_BOOL, 0 },
	{ CKA_DESTROYABLE, ALL, RULE_BOOL, 0 },
};

enum { RULES = sizeof rules / sizeof rules[0] };

static bool is_known(unsigned kind_bit, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].type == type && (rules[i].kinds & kind_bit))
			return true;
	return false;
}

static CK_RV apply_rule(struct object *object, size_t i, unsigned kind_bit, const CK_ATTRIBUTE *template, CK_ULONG count)
{
	const CK_ATTRIBUTE *given = template_find(template, count, rules[i].type);
	bool value;
	CK_RV rv;
	switch (rules[i].rule) {
	case RULE_CHECKED:
		return CKR_OK;
	case RULE_FREE:
		if (given == NULL)
			return attributes_set(&object->attributes, rules[i].type, NULL, 0);
		return attributes_set(&object->attributes, rules[i].type, given->pValue, given->ulValueLen);
	case RULE_USAGE:
		rv = template_bool(template, count, rules[i].type, (rules[i].usage_default & kind_bit) != 0, &value);
		break;
	case RULE_BOOL:
	case RULE_TRUE:
		rv = template_bool(template, count, rules[i].type, true, &value);
		if (rv == CKR_OK && rules[i].rule == RULE_TRUE && !value)
			rv = CKR_TEMPLATE_INCONSISTENT;
		break;
	default:
		rv = template_bool(template, count, rules[i].type, false, &value);
		// CKA_COPYABLE is true by the standard's default, so clients state it
		// without meaning it; everything else that cannot be granted is refused.
		if (rv == CKR_OK && value && rules[i].type != CKA_COPYABLE)
			rv = CKR_TEMPLATE_INCONSISTENT;
		value = false;
		break;
	}
	return rv == CKR_OK ? attributes_set_bool(&object->attributes, rules[i].type, value) : rv;
}

static CK_RV check_ulong(const CK_ATTRIBUTE *template, CK_ULONG count, CK_ATTRIBUTE_TYPE type, CK_ULONG want)
{
	CK_ULONG value;
	const CK_ATTRIBUTE *given = template_find(template, count, type);
	if (given == NULL)
		return CKR_OK;
	if (given->ulValueLen != sizeof value)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	memcpy(&value, given->pValue, sizeof value);
	return value == want ? CKR_OK : CKR_TEMPLATE_INCONSISTENT;
}

static CK_RV check_key(const struct config *config, enum key_kind kind, const CK_ATTRIBUTE *template, CK_ULONG count)
{
	static const CK_OBJECT_CLASS classes[] = {
		[KIND_SM2_PRIVATE] = CKO_PRIVATE_KEY, [KIND_SM2_PUBLIC] = CKO_PUBLIC_KEY, [KIND_SM4] = CKO_SECRET_KEY
	};
	const struct profile *profile = &config->profile;
	CK_RV rv = check_ulong(template, count, CKA_CLASS, classes[kind]);
	if (rv == CKR_OK)
		rv = check_ulong(template, count, CKA_KEY_TYPE, kind == KIND_SM4 ? profile->sm4_key_type : profile->sm2_key_type);
	if (rv == CKR_OK && kind == KIND_SM4)
		rv = check_ulong(template, count, CKA_VALUE_LEN, SM4_KEY);
	const CK_ATTRIBUTE *params = template_find(template, count, CKA_EC_PARAMS);
	if (rv == CKR_OK && params != NULL &&
	    (params->ulValueLen != SM2_OID || memcmp(params->pValue, sm2_oid, SM2_OID) != 0))
		rv = CKR_CURVE_NOT_SUPPORTED;
	if (rv == CKR_OK && params == NULL && kind == KIND_SM2_PUBLIC && profile->require_ec_params)
		rv = CKR_TEMPLATE_INCOMPLETE;
	return rv;
}

CK_RV key_new(const struct config *config, enum key_kind kind, bool local, const CK_ATTRIBUTE *template, CK_ULONG count,
	      struct object **out)
{
	unsigned kind_bit = 1U << kind;
	CK_RV rv = template_check(template, count);
	for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
		if (!is_known(kind_bit, template[i].type) || (kind == KIND_SM2_PRIVATE && config_refuses(config, template[i].type)))
			rv = CKR_ATTRIBUTE_TYPE_INVALID;
	if (rv == CKR_OK)
		rv = check_key(config, kind, template, count);
	if (rv != CKR_OK)
		return rv;
	struct object *object = OPENSSL_zalloc(sizeof *object);
	if (object == NULL)
		return CKR_HOST_MEMORY;
	object->kind = kind;
	object->local = local;
	rv = template_bool(template, count, CKA_TOKEN, false, &object->token);
	if (rv == CKR_OK)
		rv = template_bool(template, count, CKA_PRIVATE, kind != KIND_SM2_PUBLIC, &object->private);
	if (rv == CKR_OK && kind != KIND_SM2_PUBLIC && !object->private)
		rv = CKR_TEMPLATE_INCONSISTENT; // a secret at rest is always sealed
	for (size_t i = 0; rv == CKR_OK && i < RULES; i++)
		if (rules[i].kinds & kind_bit)
			rv = apply_rule(object, i, kind_bit, template, count);
	if (rv == CKR_OK && kind != KIND_SM2_PUBLIC)
		rv = attributes_set_bool(&object->attributes, CKA_ALWAYS_SENSITIVE, local);
	if (rv == CKR_OK && kind != KIND_SM2_PUBLIC)
		rv = attributes_set_bool(&object->attributes, CKA_NEVER_EXTRACTABLE, local);
	if (rv != CKR_OK) {
		object_free(object);
		return rv;
	}
	*out = object;
	return CKR_OK;
}
