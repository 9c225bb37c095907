// Signing and verifying (PKCS#11 2.40 §5.11, §5.12). The arithmetic runs without
// the module's mutex, so sessions sign in parallel.
#include "entry.h"

#include <openssl/crypto.h>
#include <string.h>

// update is C_SignUpdate and C_VerifyUpdate.
static CK_RV update(CK_SESSION_HANDLE handle, enum direction direction, const uint8_t *in, CK_ULONG len)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session_take(session, direction);
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	if (!operation_is_message(operation))
		rv = CKR_FUNCTION_NOT_SUPPORTED; // a digest has one part
	else if (in == NULL && len > 0)
		rv = CKR_ARGUMENTS_BAD;
	else if (len > LIMIT_INPUT)
		rv = CKR_DATA_LEN_RANGE;
	if (rv == CKR_OK) {
		module_work();
		rv = operation_update(operation, in, len);
		module_done();
	}
	if (rv == CKR_OK)
		return module_leave(session_put(handle, operation));
	operation_free(operation); // any failure ends the operation
	return module_leave(rv);
}

// check_end checks what ends an operation: whole is C_Sign and C_Verify, which no
// Update may precede; else C_SignFinal and C_VerifyFinal.
static CK_RV check_end(const struct operation *operation, bool whole, const uint8_t *in, CK_ULONG len)
{
	if (whole && operation->started)
		return CKR_OPERATION_ACTIVE;
	if (!whole && !operation_is_message(operation))
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (in == NULL && len > 0)
		return CKR_ARGUMENTS_BAD;
	return len > LIMIT_INPUT ? CKR_DATA_LEN_RANGE : CKR_OK;
}

static CK_RV sign(CK_SESSION_HANDLE handle, bool whole, const uint8_t *in, CK_ULONG len, uint8_t *out, CK_ULONG *out_len)
{
	struct module *module;
	struct session *session;
	uint8_t signature[SM2_SIGNATURE_MAX];
	size_t signature_len = 0;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session->active[DIRECTION_SIGN];
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	rv = out_len == NULL ? CKR_ARGUMENTS_BAD : check_end(operation, whole, in, len);
	if (rv == CKR_OK) {
		CK_ULONG room = *out_len;
		*out_len = operation_signature_max(operation);
		if (out == NULL || room < *out_len)
			return module_leave(out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL); // it stays active
	}
	session_take(session, DIRECTION_SIGN);
	if (rv == CKR_OK) {
		bool corrupt = module->fault.bad_signature;
		unsigned delay = module->fault.delay_ms, each = module->config.sign_delay_us;
		module_work();
		fault_delay(delay);
		delay_us(each);
		if (whole && operation_is_message(operation))
			rv = operation_update(operation, in, len);
		if (rv == CKR_OK)
			rv = operation_sign(operation, in, len, signature, &signature_len);
		if (rv == CKR_OK && corrupt)
			signature[signature_len - 1] ^= 1;
		module_done();
	}
	if (rv == CKR_OK) {
		memcpy(out, signature, signature_len);
		*out_len = signature_len;
	}
	operation_free(operation);
	return module_leave(rv);
}

static CK_RV verify(CK_SESSION_HANDLE handle, bool whole, const uint8_t *in, CK_ULONG len, const uint8_t *signature,
		    CK_ULONG signature_len)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session_take(session, DIRECTION_VERIFY);
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	rv = check_end(operation, whole, in, len);
	if (rv == CKR_OK && signature == NULL)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK && signature_len > operation_signature_max(operation))
		rv = CKR_SIGNATURE_LEN_RANGE;
	if (rv == CKR_OK) {
		module_work();
		if (whole && operation_is_message(operation))
			rv = operation_update(operation, in, len);
		if (rv == CKR_OK)
			rv = operation_verify(operation, in, len, signature, signature_len);
		module_done();
	}
	operation_free(operation);
	return module_leave(rv);
}

CK_RV C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	return entry_begin(handle, DIRECTION_SIGN, mechanism, key);
}

CK_RV C_Sign(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG len, unsigned char *signature, CK_ULONG *signature_len)
{
	return sign(handle, true, data, len, signature, signature_len);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG len)
{
	return update(handle, DIRECTION_SIGN, part, len);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE handle, unsigned char *signature, CK_ULONG *signature_len)
{
	return sign(handle, false, NULL, 0, signature, signature_len);
}

CK_RV C_VerifyInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	return entry_begin(handle, DIRECTION_VERIFY, mechanism, key);
}

CK_RV C_Verify(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG len, unsigned char *signature, CK_ULONG signature_len)
{
	return verify(handle, true, data, len, signature, signature_len);
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG len)
{
	return update(handle, DIRECTION_VERIFY, part, len);
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE handle, unsigned char *signature, CK_ULONG signature_len)
{
	return verify(handle, false, NULL, 0, signature, signature_len);
}
