// Finding, reading, changing and destroying objects (PKCS#11 2.40 §5.7).
#include "module.h"

#include <openssl/crypto.h>
#include <string.h>

CK_RV C_DestroyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object_handle)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct object *object = session_find(session, object_handle);
	if (object == NULL)
		return module_leave(CKR_OBJECT_HANDLE_INVALID);
	if (object->token && !session->writable)
		return module_leave(CKR_SESSION_READ_ONLY);
	if (!attributes_bool(&object->attributes, CKA_DESTROYABLE))
		return module_leave(CKR_ACTION_PROHIBITED);
	return module_leave(slot_destroy(session->slot, object_handle));
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object_handle, CK_ULONG *size)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	const struct object *object = session_find(session, object_handle);
	if (object == NULL)
		return module_leave(CKR_OBJECT_HANDLE_INVALID);
	if (size == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	*size = object_secret_len(object);
	for (size_t i = 0; i < object->attributes.count; i++)
		*size += object->attributes.item[i].len;
	return module_leave(CKR_OK);
}

// read_attribute fills one entry of C_GetAttributeValue's template.
static CK_RV read_attribute(const struct object *object, CK_ATTRIBUTE *wanted)
{
	const struct attribute *have = attributes_get(&object->attributes, wanted->type);
	CK_ULONG room = wanted->ulValueLen;
	wanted->ulValueLen = CK_UNAVAILABLE_INFORMATION;
	if (have == NULL) {
		// The secret is in no list of attributes, so no path can return it.
		bool secret = wanted->type == CKA_VALUE && object_secret_len(object) > 0;
		return secret ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
	}
	if (wanted->pValue != NULL && room < have->len)
		return CKR_BUFFER_TOO_SMALL;
	if (wanted->pValue != NULL)
		memcpy(wanted->pValue, have->value, have->len);
	wanted->ulValueLen = have->len;
	return CKR_OK;
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object_handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	const struct object *object = session_find(session, object_handle);
	if (object == NULL)
		return module_leave(CKR_OBJECT_HANDLE_INVALID);
	if (template == NULL || count == 0)
		return module_leave(CKR_ARGUMENTS_BAD);
	// Every entry is answered, whatever happens to the others.
	for (CK_ULONG i = 0; i < count; i++) {
		CK_RV one = read_attribute(object, &template[i]);
		if (one != CKR_OK)
			rv = one;
	}
	return module_leave(rv);
}

static bool is_changeable(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_LABEL || type == CKA_ID || type == CKA_SUBJECT;
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object_handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	const struct object *object = session_find(session, object_handle);
	if (object == NULL)
		return module_leave(CKR_OBJECT_HANDLE_INVALID);
	if (object->token && !session->writable)
		return module_leave(CKR_SESSION_READ_ONLY);
	if (!attributes_bool(&object->attributes, CKA_MODIFIABLE))
		return module_leave(CKR_ACTION_PROHIBITED);
	rv = template_check(template, count);
	for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
		if (!is_changeable(template[i].type))
			rv = CKR_ATTRIBUTE_READ_ONLY;
	if (rv == CKR_OK)
		rv = slot_modify(session->slot, object_handle, template, count);
	return module_leave(rv);
}

static bool matches(const struct object *object, const CK_ATTRIBUTE *template, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		const struct attribute *have = attributes_get(&object->attributes, template[i].type);
		if (have == NULL || have->len != template[i].ulValueLen ||
		    (have->len > 0 && memcmp(have->value, template[i].pValue, have->len) != 0))
			return false;
	}
	return true;
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (session->finding)
		return module_leave(CKR_OPERATION_ACTIVE);
	rv = template_check(template, count);
	if (rv != CKR_OK)
		return module_leave(rv);
	struct slot *slot = session->slot;
	rv = slot_refresh(slot);
	if (rv != CKR_OK)
		return module_leave(rv);
	if (slot->replaced) {
		module_settle(slot);
		return module_leave(CKR_SESSION_HANDLE_INVALID);
	}
	CK_OBJECT_HANDLE *found = OPENSSL_malloc((slot->count + 1) * sizeof *found);
	if (found == NULL)
		return module_leave(CKR_HOST_MEMORY);
	session->found = found;
	session->finding = true;
	for (size_t i = 0; i < slot->count; i++)
		if ((!slot->objects[i]->private || session_user(session)) && matches(slot->objects[i], template, count))
			found[session->found_count++] = slot->objects[i]->handle;
	return module_leave(CKR_OK);
}

CK_RV C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (!session->finding)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	if (count == NULL || (objects == NULL && max > 0))
		return module_leave(CKR_ARGUMENTS_BAD);
	CK_ULONG n = 0;
	while (n < max && session->found_next < session->found_count)
		objects[n++] = session->found[session->found_next++];
	*count = n;
	return module_leave(CKR_OK);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (!session->finding)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	session_end_find(session);
	return module_leave(CKR_OK);
}
