// Making keys and random bytes (PKCS#11 2.40 §5.7, §5.13, §5.14).
#include "key.h"
#include "module.h"
#include "provider.h"

#include <openssl/crypto.h>
#include <string.h>

// may_create checks session and login against what the object is.
static CK_RV may_create(const struct session *session, const struct object *object)
{
	if (object->token && !session->writable)
		return CKR_SESSION_READ_ONLY;
	return !object->private || session_user(session) ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
}

static CK_RV add(struct session *session, struct object *const *objects, size_t count)
{
	for (size_t i = 0; i < count; i++)
		objects[i]->owner = session->handle;
	return slot_add(session->slot, objects, count);
}

CK_RV C_CreateObject(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object_handle)
{
	struct module *module;
	struct session *session;
	struct object *object = NULL;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	rv = object_handle == NULL ? CKR_ARGUMENTS_BAD : template_check(template, count);
	const CK_ATTRIBUTE *class = template_find(template, rv == CKR_OK ? count : 0, CKA_CLASS);
	if (rv == CKR_OK && (class == NULL || class->ulValueLen != sizeof(CK_OBJECT_CLASS)))
		rv = CKR_TEMPLATE_INCOMPLETE;
	if (rv != CKR_OK)
		return module_leave(rv);
	CK_OBJECT_CLASS wanted;
	memcpy(&wanted, class->pValue, sizeof wanted);
	const CK_ATTRIBUTE *value = NULL;
	if (wanted == CKO_SECRET_KEY) {
		value = template_find(template, count, CKA_VALUE);
		rv = value == NULL || value->ulValueLen != SM4_KEY ? CKR_ATTRIBUTE_VALUE_INVALID
								  : key_new(&module->config, KIND_SM4, false, template, count, &object);
		if (rv == CKR_OK)
			memcpy(object->secret, value->pValue, SM4_KEY);
	} else if (wanted == CKO_PUBLIC_KEY) {
		value = template_find(template, count, CKA_EC_POINT);
		const uint8_t *bytes = value == NULL ? NULL : value->pValue;
		// Both forms are taken, whichever of them the profile gives out.
		size_t skip = value != NULL && value->ulValueLen == SM2_POINT + 2 && bytes[0] == 0x04 && bytes[1] == SM2_POINT ? 2 : 0;
		rv = value == NULL || value->ulValueLen - skip != SM2_POINT
			     ? CKR_ATTRIBUTE_VALUE_INVALID
			     : key_new(&module->config, KIND_SM2_PUBLIC, false, template, count, &object);
		if (rv == CKR_OK) {
			memcpy(object->point, bytes + skip, SM2_POINT);
			if (object->point[0] != 4 || object_key(object) == NULL)
				rv = CKR_ATTRIBUTE_VALUE_INVALID; // not on the curve
		}
	} else {
		rv = CKR_TEMPLATE_INCONSISTENT; // private keys are born here or not at all
	}
	if (rv == CKR_OK)
		rv = may_create(session, object);
	if (rv == CKR_OK)
		rv = object_complete(object, &module->config);
	if (rv == CKR_OK)
		rv = add(session, &object, 1);
	if (rv == CKR_OK)
		*object_handle = object->handle;
	else
		object_free(object);
	return module_leave(rv);
}

static CK_RV check_mechanism(const struct module *module, const CK_MECHANISM *mechanism, enum role role)
{
	if (mechanism == NULL)
		return CKR_ARGUMENTS_BAD;
	if (config_role(&module->config, mechanism->mechanism) != role)
		return CKR_MECHANISM_INVALID;
	return mechanism->ulParameterLen == 0 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template, CK_ULONG count,
		    CK_OBJECT_HANDLE *key)
{
	struct module *module;
	struct session *session;
	struct object *object = NULL;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	rv = key == NULL ? CKR_ARGUMENTS_BAD : check_mechanism(module, mechanism, ROLE_SM4_KEY_GEN);
	if (rv == CKR_OK && template_check(template, count) == CKR_OK && template_find(template, count, CKA_VALUE) != NULL)
		rv = CKR_TEMPLATE_INCONSISTENT;
	if (rv == CKR_OK)
		rv = key_new(&module->config, KIND_SM4, true, template, count, &object);
	if (rv == CKR_OK)
		rv = may_create(session, object);
	if (rv == CKR_OK && !provider_random(object->secret, SM4_KEY))
		rv = CKR_FUNCTION_FAILED;
	if (rv == CKR_OK)
		rv = object_complete(object, &module->config);
	if (rv == CKR_OK)
		rv = add(session, &object, 1);
	if (rv == CKR_OK)
		*key = object->handle;
	else
		object_free(object);
	return module_leave(rv);
}

// add_pair puts both halves in one file when both are token objects. Of a mixed
// pair the session half goes first: it can be taken back without a trace.
static CK_RV add_pair(struct session *session, struct object *public, struct object *private)
{
	if (public->token == private->token)
		return add(session, (struct object *[]){ public, private }, 2);
	struct object *kept = public->token ? public : private, *passing = public->token ? private : public;
	CK_RV rv = add(session, &passing, 1);
	if (rv != CKR_OK)
		return rv;
	rv = add(session, &kept, 1);
	if (rv != CKR_OK)
		slot_withdraw(session->slot, passing);
	return rv;
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_template,
			CK_ULONG public_count, CK_ATTRIBUTE *private_template, CK_ULONG private_count,
			CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	struct module *module;
	struct session *session;
	struct object *public = NULL, *private = NULL;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	rv = public_key == NULL || private_key == NULL ? CKR_ARGUMENTS_BAD
						       : check_mechanism(module, mechanism, ROLE_SM2_KEY_PAIR_GEN);
	if (rv == CKR_OK && template_check(public_template, public_count) == CKR_OK &&
	    template_find(public_template, public_count, CKA_EC_POINT) != NULL)
		rv = CKR_TEMPLATE_INCONSISTENT;
	if (rv == CKR_OK)
		rv = key_new(&module->config, KIND_SM2_PUBLIC, true, public_template, public_count, &public);
	if (rv == CKR_OK)
		rv = key_new(&module->config, KIND_SM2_PRIVATE, true, private_template, private_count, &private);
	if (rv == CKR_OK)
		rv = may_create(session, public);
	if (rv == CKR_OK)
		rv = may_create(session, private);
	if (rv == CKR_OK) {
		module_work();
		if (!sm2_generate(private->secret, private->point))
			rv = CKR_FUNCTION_FAILED;
		memcpy(public->point, private->point, SM2_POINT);
		module_done();
		// The session or its login may have ended meanwhile.
		session = session_get(handle);
		if (rv == CKR_OK && session == NULL)
			rv = CKR_SESSION_HANDLE_INVALID;
		if (rv == CKR_OK)
			rv = may_create(session, private);
	}
	if (rv == CKR_OK)
		rv = object_complete(public, &module->config);
	if (rv == CKR_OK)
		rv = object_complete(private, &module->config);
	if (rv == CKR_OK)
		rv = add_pair(session, public, private);
	if (rv == CKR_OK) {
		*public_key = public->handle;
		*private_key = private->handle;
	} else {
		object_free(public);
		object_free(private);
	}
	return module_leave(rv);
}

CK_RV C_SeedRandom(CK_SESSION_HANDLE handle, unsigned char *seed, CK_ULONG len)
{
	struct module *module;
	struct session *session;
	(void)seed;
	(void)len;
	CK_RV rv = module_enter_session(handle, &module, &session);
	return rv == CKR_OK ? module_leave(CKR_RANDOM_SEED_NOT_SUPPORTED) : rv;
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE handle, unsigned char *out, CK_ULONG len)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (out == NULL || len > LIMIT_RANDOM)
		return module_leave(CKR_ARGUMENTS_BAD);
	module_work();
	rv = provider_random(out, len) ? CKR_OK : CKR_FUNCTION_FAILED;
	module_done();
	return module_leave(rv);
}
