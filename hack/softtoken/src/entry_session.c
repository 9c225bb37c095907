// Sessions and login (PKCS#11 2.40 §5.6).
#include "module.h"

#include <string.h>

CK_RV C_OpenSession(CK_SLOT_ID id, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *handle)
{
	struct module *module;
	struct slot *slot;
	bool writable = flags & CKF_RW_SESSION;
	(void)application;
	(void)notify; // no callback is ever made: CKN_SURRENDER is optional
	CK_RV rv = module_enter_token(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	if (handle == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	if (!(flags & CKF_SERIAL_SESSION))
		return module_leave(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
	rv = slot_refresh(slot);
	module_settle(slot);
	if (rv != CKR_OK)
		return module_leave(rv);
	if (!slot->present)
		return module_leave(CKR_TOKEN_NOT_RECOGNIZED);
	if (!writable && slot->logged_in && slot->user == CKU_SO)
		return module_leave(CKR_SESSION_READ_WRITE_SO_EXISTS);
	return module_leave(session_open(slot, writable, module->config.max_sessions, handle));
}

CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	session_close(session);
	return module_leave(CKR_OK);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID id)
{
	struct module *module;
	struct slot *slot;
	CK_RV rv = module_enter_token(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	session_close_slot(slot);
	return module_leave(CKR_OK);
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (info == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	memset(info, 0, sizeof *info);
	info->slotID = session->slot->id;
	info->state = session_state(session);
	info->flags = CKF_SERIAL_SESSION | (session->writable ? CKF_RW_SESSION : 0);
	return module_leave(CKR_OK);
}

CK_RV C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_len)
{
	struct module *module;
	struct session *session;
	CK_ULONG all, writable;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct slot *slot = session->slot;
	if (user == CKU_CONTEXT_SPECIFIC)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED); // no key has CKA_ALWAYS_AUTHENTICATE
	if (user != CKU_USER && user != CKU_SO)
		return module_leave(CKR_USER_TYPE_INVALID);
	// Another process may have put in another token, whose PIN this is not.
	rv = slot_refresh(slot);
	if (rv != CKR_OK)
		return module_leave(rv);
	if (slot->replaced) {
		module_settle(slot);
		return module_leave(CKR_SESSION_HANDLE_INVALID);
	}
	session_count(slot, &all, &writable);
	if (user == CKU_SO && all > writable)
		return module_leave(CKR_SESSION_READ_ONLY_EXISTS);
	// Where each session logs in, the PIN of a further one is checked as the first's was.
	bool again = module->config.profile.session_login && slot->logged_in && slot->user == user && !session->proven;
	rv = again ? slot_prove(slot, user, pin, pin_len) : slot_login(slot, user, pin, pin_len);
	if (rv == CKR_OK)
		session->proven = true;
	if (rv == CKR_OK && user == CKU_USER)
		rv = slot_refresh(slot); // reads the private objects
	return module_leave(rv);
}

CK_RV C_Logout(CK_SESSION_HANDLE handle)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct slot *slot = session->slot;
	if (!slot->logged_in)
		return module_leave(CKR_USER_NOT_LOGGED_IN);
	slot_logout(slot);
	session_cancel_private(slot);
	return module_leave(CKR_OK);
}
