// SM3 digests (PKCS#11 2.40 §5.10).
#include "module.h"

#include <openssl/crypto.h>
#include <string.h>

CK_RV C_DigestInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	if (mechanism == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	if (session->active[DIRECTION_DIGEST] != NULL)
		return module_leave(CKR_OPERATION_ACTIVE);
	return module_leave(operation_new(&module->config, DIRECTION_DIGEST, mechanism, NULL, &session->active[DIRECTION_DIGEST]));
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG len)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session_take(session, DIRECTION_DIGEST);
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	if ((part == NULL && len > 0) || len > LIMIT_INPUT) {
		operation_free(operation);
		return module_leave(CKR_ARGUMENTS_BAD);
	}
	module_work();
	rv = operation_update(operation, part, len);
	module_done();
	if (rv == CKR_OK)
		return module_leave(session_put(handle, operation));
	operation_free(operation);
	return module_leave(rv);
}

// digest is C_Digest, with whole, and C_DigestFinal.
static CK_RV digest(CK_SESSION_HANDLE handle, bool whole, const uint8_t *in, CK_ULONG len, uint8_t *out, CK_ULONG *out_len)
{
	struct module *module;
	struct session *session;
	uint8_t result[SM2_DIGEST];
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session->active[DIRECTION_DIGEST];
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	if (whole && operation->started)
		rv = CKR_OPERATION_ACTIVE;
	else if (out_len == NULL || (in == NULL && len > 0) || len > LIMIT_INPUT)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK) {
		CK_ULONG room = *out_len;
		*out_len = sizeof result;
		if (out == NULL || room < sizeof result)
			return module_leave(out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL);
	}
	session_take(session, DIRECTION_DIGEST);
	if (rv == CKR_OK) {
		module_work();
		if (whole)
			rv = operation_update(operation, in, len);
		if (rv == CKR_OK)
			rv = operation_digest(operation, result);
		module_done();
	}
	if (rv == CKR_OK)
		memcpy(out, result, sizeof result);
	operation_free(operation);
	return module_leave(rv);
}

CK_RV C_Digest(CK_SESSION_HANDLE handle, unsigned char *in, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
	return digest(handle, true, in, len, out, out_len);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE handle, unsigned char *out, CK_ULONG *out_len)
{
	return digest(handle, false, NULL, 0, out, out_len);
}
