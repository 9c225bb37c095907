// Slots, tokens and mechanisms (PKCS#11 2.40 §5.5).
#include "module.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

CK_RV C_GetSlotList(unsigned char token_present, CK_SLOT_ID *list, CK_ULONG *count)
{
	struct module *module;
	CK_RV rv = module_enter(&module);
	if (rv != CKR_OK)
		return rv;
	if (count == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	CK_ULONG have = token_present && module->fault.device_removed ? 0 : module->config.slots;
	CK_ULONG room = *count;
	*count = have;
	if (list == NULL)
		return module_leave(CKR_OK);
	if (room < have)
		return module_leave(CKR_BUFFER_TOO_SMALL);
	for (CK_ULONG i = 0; i < have; i++)
		list[i] = i;
	return module_leave(CKR_OK);
}

CK_RV C_GetSlotInfo(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
	struct module *module;
	struct slot *slot;
	char text[64];
	CK_RV rv = module_enter_slot(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	if (info == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	memset(info, 0, sizeof *info);
	snprintf(text, sizeof text, "Terrace software slot %lu (development and tests)", id);
	text_pad(info->slotDescription, sizeof info->slotDescription, text);
	text_pad(info->manufacturerID, sizeof info->manufacturerID, TEXT_MANUFACTURER);
	info->flags = CKF_REMOVABLE_DEVICE | (module->fault.device_removed ? 0 : CKF_TOKEN_PRESENT);
	info->firmwareVersion = (CK_VERSION){ TEXT_VERSION_MAJOR, TEXT_VERSION_MINOR };
	return module_leave(CKR_OK);
}

CK_RV C_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
	struct module *module;
	struct slot *slot;
	struct token token;
	CK_RV rv = module_enter_token(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	rv = info == NULL ? CKR_ARGUMENTS_BAD : slot_token(slot, &token);
	if (rv != CKR_OK)
		return module_leave(rv);
	memset(info, 0, sizeof *info);
	memset(info->label, ' ', sizeof info->label);
	memset(info->serialNumber, ' ', sizeof info->serialNumber);
	if (token.initialized) {
		char serial[2 * 8 + 1];
		memcpy(info->label, token.label, sizeof info->label);
		for (int i = 0; i < 8; i++)
			snprintf(serial + 2 * i, 3, "%02X", token.instance[i]);
		text_pad(info->serialNumber, sizeof info->serialNumber, serial);
	}
	text_pad(info->manufacturerID, sizeof info->manufacturerID, TEXT_MANUFACTURER);
	text_pad(info->model, sizeof info->model, TEXT_MODEL);
	info->flags = token_flags(&module->config, &token);
	info->ulMaxSessionCount = info->ulMaxRwSessionCount = module->config.max_sessions;
	session_count(slot, &info->ulSessionCount, &info->ulRwSessionCount);
	info->ulMinPinLen = LIMIT_PIN_MIN;
	info->ulMaxPinLen = LIMIT_PIN_MAX;
	info->ulTotalPublicMemory = info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
	info->ulTotalPrivateMemory = info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
	info->firmwareVersion = (CK_VERSION){ TEXT_VERSION_MAJOR, TEXT_VERSION_MINOR };
	memset(info->utcTime, ' ', sizeof info->utcTime);
	return module_leave(CKR_OK);
}

CK_RV C_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
	struct module *module;
	struct slot *slot;
	CK_RV rv = module_enter_token(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	if (count == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	const struct role_numbers *roles = module->config.profile.roles;
	CK_ULONG room = *count, have = 0;
	for (int role = 0; role < ROLE_COUNT; role++)
		have += roles[role].count;
	*count = have;
	if (list == NULL)
		return module_leave(CKR_OK);
	if (room < have)
		return module_leave(CKR_BUFFER_TOO_SMALL);
	for (int role = 0; role < ROLE_COUNT; role++)
		for (unsigned i = 0; i < roles[role].count; i++)
			*list++ = roles[role].number[i];
	return module_leave(CKR_OK);
}

static void describe(enum role role, CK_MECHANISM_INFO *info)
{
	const CK_FLAGS curve = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
	switch (role) {
	case ROLE_SM2_KEY_PAIR_GEN:
		*info = (CK_MECHANISM_INFO){ 256, 256, CKF_GENERATE_KEY_PAIR | curve };
		break;
	case ROLE_SM2_SIGN_DIGEST:
	case ROLE_SM2_SIGN_DIGEST_RAW:
	case ROLE_SM2_SIGN_DIGEST_DER:
	case ROLE_SM2_SIGN_MESSAGE:
	case ROLE_SM2_SIGN_MESSAGE_RAW:
	case ROLE_SM2_SIGN_MESSAGE_DER:
		*info = (CK_MECHANISM_INFO){ 256, 256, CKF_SIGN | CKF_VERIFY | curve };
		break;
	case ROLE_SM2_ENCRYPT:
	case ROLE_SM2_ENCRYPT_RAW:
	case ROLE_SM2_ENCRYPT_DER:
		*info = (CK_MECHANISM_INFO){ 256, 256, CKF_ENCRYPT | CKF_DECRYPT | curve };
		break;
	case ROLE_SM3:
		*info = (CK_MECHANISM_INFO){ 0, 0, CKF_DIGEST };
		break;
	case ROLE_SM4_KEY_GEN:
		*info = (CK_MECHANISM_INFO){ SM4_KEY, SM4_KEY, CKF_GENERATE };
		break;
	case ROLE_SM4_ECB:
	case ROLE_SM4_ECB_PAD:
	case ROLE_SM4_CBC:
	case ROLE_SM4_CBC_PAD:
		*info = (CK_MECHANISM_INFO){ SM4_KEY, SM4_KEY, CKF_ENCRYPT | CKF_DECRYPT };
		break;
	case ROLE_NONE:
		break;
	}
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
	struct module *module;
	struct slot *slot;
	CK_RV rv = module_enter_token(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	enum role role = config_role(&module->config, type);
	if (info == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	if (role == ROLE_NONE)
		return module_leave(CKR_MECHANISM_INVALID);
	describe(role, info);
	return module_leave(CKR_OK);
}

CK_RV C_InitToken(CK_SLOT_ID id, unsigned char *pin, CK_ULONG pin_len, unsigned char *label)
{
	struct module *module;
	struct slot *slot;
	CK_ULONG all, writable;
	CK_RV rv = module_enter_token(id, &module, &slot);
	if (rv != CKR_OK)
		return rv;
	module_settle(slot);
	session_count(slot, &all, &writable);
	if (label == NULL || pin == NULL)
		return module_leave(CKR_ARGUMENTS_BAD);
	if (all > 0)
		return module_leave(CKR_SESSION_EXISTS);
	rv = slot_reset(slot, label, pin, pin_len);
	slot->replaced = false; // by ourselves, without sessions
	return module_leave(rv);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE handle, unsigned char *pin, CK_ULONG pin_len)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct slot *slot = session->slot;
	if (!slot->logged_in || slot->user != CKU_SO)
		return module_leave(CKR_USER_NOT_LOGGED_IN);
	return module_leave(slot_init_pin(slot, pin, pin_len));
}

CK_RV C_SetPIN(CK_SESSION_HANDLE handle, unsigned char *old_pin, CK_ULONG old_len, unsigned char *new_pin, CK_ULONG new_len)
{
	struct module *module;
	struct session *session;
	CK_RV rv = module_enter_session(handle, &module, &session);
	if (rv != CKR_OK)
		return rv;
	struct slot *slot = session->slot;
	if (!session->writable)
		return module_leave(CKR_SESSION_READ_ONLY);
	CK_USER_TYPE user = slot->logged_in ? slot->user : CKU_USER;
	return module_leave(slot_change_pin(slot, user, old_pin, old_len, new_pin, new_len));
}
