#include "entry.h"

CK_RV entry_begin(CK_SESSION_HANDLE handle, enum direction direction, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (mechanism == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	if (session->active[direction] != NULL)
		return module_leave(CKR_OPERATION_ACTIVE);
	struct object *object = session_find(session, key);
	if (object == NULL)
		return module_leave(CKR_KEY_HANDLE_INVALID);
	return module_leave(operation_new(&module->config, direction, mechanism, object, &session->active[direction]));
}
