// Encryption and decryption (PKCS#11 2.40 §5.8, §5.9).
#include "entry.h"

#include <openssl/crypto.h>
#include <string.h>

static CK_RV check_input(const uint8_t *in, CK_ULONG len, const CK_ULONG *out_len)
{
	if ((in == NULL && len > 0) || out_len == NULL)
		return CKR_ARGUMENTS_BAD;
	return len > LIMIT_INPUT ? CKR_DATA_LEN_RANGE : CKR_OK;
}

// finish gives the operation back when the result did not fit, else ends it.
static CK_RV finish(CK_SESSION_HANDLE handle, struct operation *operation, CK_RV rv)
{
	if (rv == CKR_BUFFER_TOO_SMALL) {
		CK_RV put = session_put(handle, operation);
		return put == CKR_OK ? rv : put;
	}
	operation_free(operation);
	return rv;
}

static CK_RV whole(CK_SESSION_HANDLE handle, enum direction direction, const uint8_t *in, CK_ULONG len, uint8_t *out, CK_ULONG *out_len)
{
	struct module *module;
	struct session *session;
	uint8_t *result = NULL;
	size_t result_len = 0;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session->active[direction];
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	rv = operation->started ? CKR_OPERATION_ACTIVE : check_input(in, len, out_len);
	if (rv == CKR_OK && out == NULL) {
		*out_len = operation_cipher_max(operation, len);
		return module_leave(CKR_OK);
	}
	session_take(session, direction);
	if (rv == CKR_OK) {
		unsigned delay = direction == DIRECTION_DECRYPT ? module->fault.delay_ms : 0;
		module_work();
		fault_delay(delay);
		rv = operation_cipher(operation, in, len, &result, &result_len);
		module_done();
	}
	if (rv == CKR_OK) {
		if (*out_len < result_len)
			rv = CKR_BUFFER_TOO_SMALL;
		else
			memcpy(out, result, result_len);
		*out_len = result_len;
	}
	OPENSSL_clear_free(result, result_len);
	return module_leave(finish(handle, operation, rv));
}

static CK_RV part(CK_SESSION_HANDLE handle, enum direction direction, const uint8_t *in, CK_ULONG len, uint8_t *out, CK_ULONG *out_len)
{
	struct module *module;
	struct session *session;
	size_t written = 0;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session->active[direction];
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	rv = operation_is_streaming(operation) ? check_input(in, len, out_len) : CKR_FUNCTION_NOT_SUPPORTED;
	if (rv == CKR_OK) {
		CK_ULONG room = *out_len;
		*out_len = operation_part_len(operation, len);
		if (out == NULL || room < *out_len)
			return module_leave(out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL);
	}
	session_take(session, direction);
	if (rv == CKR_OK) {
		module_work();
		rv = operation_part(operation, in, len, out, &written);
		module_done();
	}
	if (rv == CKR_OK) {
		*out_len = written;
		return module_leave(session_put(handle, operation));
	}
	operation_free(operation);
	return module_leave(rv);
}

static CK_RV last(CK_SESSION_HANDLE handle, enum direction direction, uint8_t *out, CK_ULONG *out_len)
{
	struct module *module;
	struct session *session;
	uint8_t block[16];
	size_t block_len = 0;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct operation *operation = session->active[direction];
	if (operation == NULL)
		return module_leave(CKR_OPERATION_NOT_INITIALIZED);
	rv = operation_is_streaming(operation) ? check_input(NULL, 0, out_len) : CKR_FUNCTION_NOT_SUPPORTED;
	if (rv == CKR_OK && out == NULL && operation->padded) {
		*out_len = sizeof block;
		return module_leave(CKR_OK);
	}
	session_take(session, direction);
	if (rv == CKR_OK)
		rv = operation_last(operation, block, &block_len);
	if (rv == CKR_OK && out == NULL) {
		// Nothing is left to be written, whole blocks are certain: say so, and stay.
		*out_len = 0;
		return module_leave(session_put(handle, operation));
	}
	if (rv == CKR_OK) {
		if (*out_len < block_len)
			rv = CKR_BUFFER_TOO_SMALL;
		else
			memcpy(out, block, block_len);
		*out_len = block_len;
	}
	OPENSSL_cleanse(block, sizeof block);
	return module_leave(finish(handle, operation, rv));
}

CK_RV C_EncryptInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	return entry_begin(handle, DIRECTION_ENCRYPT, mechanism, key);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE handle, unsigned char *in, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
	return whole(handle, DIRECTION_ENCRYPT, in, len, out, out_len);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE handle, unsigned char *in, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
	return part(handle, DIRECTION_ENCRYPT, in, len, out, out_len);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE handle, unsigned char *out, CK_ULONG *out_len)
{
	return last(handle, DIRECTION_ENCRYPT, out, out_len);
}

CK_RV C_DecryptInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	return entry_begin(handle, DIRECTION_DECRYPT, mechanism, key);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE handle, unsigned char *in, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
	return whole(handle, DIRECTION_DECRYPT, in, len, out, out_len);
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE handle, unsigned char *in, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
	return part(handle, DIRECTION_DECRYPT, in, len, out, out_len);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE handle, unsigned char *out, CK_ULONG *out_len)
{
	return last(handle, DIRECTION_DECRYPT, out, out_len);
}
