#include "operation.h"

#include "provider.h"

#include <openssl/crypto.h>
#include <string.h>

enum { BLOCK = 16 };

void operation_free(struct operation *operation)
{
	if (operation == NULL)
		return;
	EVP_PKEY_free(operation->key);
	EVP_MD_CTX_free(operation->digest);
	EVP_CIPHER_CTX_free(operation->cipher);
	OPENSSL_clear_free(operation, sizeof *operation);
}

// needs is the kind of key and the usage that a role asks for in a direction.
struct need {
	enum key_kind kind;
	CK_ATTRIBUTE_TYPE usage;
};

static bool needs(enum direction direction, enum role role, struct need *need)
{
	bool signs = role >= ROLE_SM2_SIGN_DIGEST && role <= ROLE_SM2_SIGN_MESSAGE_DER;
	bool sm2 = role >= ROLE_SM2_ENCRYPT && role <= ROLE_SM2_ENCRYPT_DER;
	bool sm4 = role >= ROLE_SM4_ECB && role <= ROLE_SM4_CBC_PAD;
	switch (direction) {
	case DIRECTION_SIGN:
		*need = (struct need){ KIND_SM2_PRIVATE, CKA_SIGN };
		return signs;
	case DIRECTION_VERIFY:
		*need = (struct need){ KIND_SM2_PUBLIC, CKA_VERIFY };
		return signs;
	case DIRECTION_ENCRYPT:
		*need = (struct need){ sm4 ? KIND_SM4 : KIND_SM2_PUBLIC, CKA_ENCRYPT };
		return sm2 || sm4;
	case DIRECTION_DECRYPT:
		*need = (struct need){ sm4 ? KIND_SM4 : KIND_SM2_PRIVATE, CKA_DECRYPT };
		return sm2 || sm4;
	case DIRECTION_DIGEST:
	case DIRECTIONS:
		break;
	}
	return false;
}

static bool is_der(const struct config *config, enum role role)
{
	switch (role) {
	case ROLE_SM2_SIGN_DIGEST_DER:
	case ROLE_SM2_SIGN_MESSAGE_DER:
	case ROLE_SM2_ENCRYPT_DER:
		return true;
	case ROLE_SM2_SIGN_DIGEST:
	case ROLE_SM2_SIGN_MESSAGE:
		return config->profile.signature_der;
	case ROLE_SM2_ENCRYPT:
		return config->profile.cipher_der;
	default:
		return false;
	}
}

bool operation_is_message(const struct operation *operation)
{
	return operation->role >= ROLE_SM2_SIGN_MESSAGE && operation->role <= ROLE_SM2_SIGN_MESSAGE_DER;
}

bool operation_is_streaming(const struct operation *operation)
{
	return operation->cipher != NULL;
}

static CK_RV start_sm4(struct operation *operation, const CK_MECHANISM *mechanism, const struct object *object)
{
	bool cbc = operation->role == ROLE_SM4_CBC || operation->role == ROLE_SM4_CBC_PAD;
	const EVP_CIPHER *cipher = cbc ? provider_get()->sm4_cbc : provider_get()->sm4_ecb;
	if (mechanism->ulParameterLen != (cbc ? BLOCK : 0) || (cbc && mechanism->pParameter == NULL))
		return CKR_MECHANISM_PARAM_INVALID;
	operation->padded = operation->role == ROLE_SM4_ECB_PAD || operation->role == ROLE_SM4_CBC_PAD;
	operation->cipher = EVP_CIPHER_CTX_new();
	if (operation->cipher == NULL)
		return CKR_HOST_MEMORY;
	int encrypt = operation->direction == DIRECTION_ENCRYPT;
	if (EVP_CipherInit_ex2(operation->cipher, cipher, object->secret, cbc ? mechanism->pParameter : NULL, encrypt, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(operation->cipher, operation->padded) != 1)
		return CKR_FUNCTION_FAILED;
	return CKR_OK;
}

static CK_RV start(struct operation *operation, const CK_MECHANISM *mechanism, struct object *object)
{
	if (operation->role >= ROLE_SM4_ECB && operation->role <= ROLE_SM4_CBC_PAD)
		return start_sm4(operation, mechanism, object);
	if (mechanism->ulParameterLen != 0)
		return CKR_MECHANISM_PARAM_INVALID; // no maker's ID parameter is played
	if (operation->role == ROLE_SM3) {
		operation->digest = EVP_MD_CTX_new();
		bool ok = operation->digest != NULL && EVP_DigestInit_ex2(operation->digest, provider_get()->sm3, NULL) == 1;
		return ok ? CKR_OK : CKR_FUNCTION_FAILED;
	}
	EVP_PKEY *key = object_key(object);
	if (key == NULL || EVP_PKEY_up_ref(key) != 1)
		return CKR_FUNCTION_FAILED;
	operation->key = key;
	if (operation_is_message(operation)) {
		operation->digest = sm2_message_begin(object->point);
		if (operation->digest == NULL)
			return CKR_FUNCTION_FAILED;
	}
	return CKR_OK;
}

CK_RV operation_new(const struct config *config, enum direction direction, const CK_MECHANISM *mechanism,
		    struct object *object, struct operation **out)
{
	enum role role = config_role(config, mechanism->mechanism);
	struct need need;
	if (direction == DIRECTION_DIGEST ? role != ROLE_SM3 : !needs(direction, role, &need))
		return CKR_MECHANISM_INVALID;
	if (direction != DIRECTION_DIGEST) {
		if (object->kind != need.kind)
			return CKR_KEY_TYPE_INCONSISTENT;
		if (!attributes_bool(&object->attributes, need.usage))
			return CKR_KEY_FUNCTION_NOT_PERMITTED;
	}
	struct operation *operation = OPENSSL_zalloc(sizeof *operation);
	if (operation == NULL)
		return CKR_HOST_MEMORY;
	operation->direction = direction;
	operation->role = role;
	operation->der = is_der(config, role);
	operation->uses_private = object != NULL && object->private;
	CK_RV rv = start(operation, mechanism, object);
	if (rv != CKR_OK) {
		operation_free(operation);
		return rv;
	}
	*out = operation;
	return CKR_OK;
}

CK_RV operation_update(struct operation *operation, const uint8_t *in, size_t len)
{
	operation->started = true;
	return EVP_DigestUpdate(operation->digest, in, len) == 1 ? CKR_OK : CKR_FUNCTION_FAILED;
}

size_t operation_signature_max(const struct operation *operation)
{
	return operation->der ? SM2_SIGNATURE_MAX : SM2_SIGNATURE_RAW;
}

// digest_of returns e in both cases.
static CK_RV digest_of(struct operation *operation, const uint8_t *in, size_t len, uint8_t e[SM2_DIGEST])
{
	if (operation_is_message(operation))
		return operation_digest(operation, e);
	if (len != SM2_DIGEST)
		return CKR_DATA_LEN_RANGE;
	memcpy(e, in, SM2_DIGEST);
	return CKR_OK;
}

CK_RV operation_sign(struct operation *operation, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
	uint8_t e[SM2_DIGEST];
	CK_RV rv = digest_of(operation, in, len, e);
	if (rv != CKR_OK)
		return rv;
	return sm2_sign(operation->key, e, operation->der, out, out_len) ? CKR_OK : CKR_FUNCTION_FAILED;
}

CK_RV operation_verify(struct operation *operation, const uint8_t *in, size_t len, const uint8_t *signature, size_t signature_len)
{
	uint8_t e[SM2_DIGEST];
	CK_RV rv = digest_of(operation, in, len, e);
	if (rv != CKR_OK)
		return rv;
	if (!operation->der && signature_len != SM2_SIGNATURE_RAW)
		return CKR_SIGNATURE_LEN_RANGE;
	return sm2_verify(operation->key, e, operation->der, signature, signature_len) ? CKR_OK : CKR_SIGNATURE_INVALID;
}

CK_RV operation_digest(struct operation *operation, uint8_t out[SM2_DIGEST])
{
	return EVP_DigestFinal_ex(operation->digest, out, NULL) == 1 ? CKR_OK : CKR_FUNCTION_FAILED;
}

static CK_RV cipher_sm2(const struct operation *operation, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	if (operation->direction == DIRECTION_ENCRYPT) {
		if (len == 0 || len > LIMIT_SM2_PLAINTEXT)
			return CKR_DATA_LEN_RANGE;
		return sm2_encrypt(operation->key, operation->der, in, len, out, out_len) ? CKR_OK : CKR_FUNCTION_FAILED;
	}
	if (len == 0 || len > sm2_cipher_max(LIMIT_SM2_PLAINTEXT, true))
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	// One code for every failure: what is wrong with a ciphertext is no caller's business.
	return sm2_decrypt(operation->key, operation->der, in, len, out, out_len) ? CKR_OK : CKR_ENCRYPTED_DATA_INVALID;
}

// copy_of duplicates the cipher's state, so that a call whose result does not fit
// can be made again with a larger buffer.
static struct operation *copy_of(const struct operation *operation)
{
	struct operation *copy = OPENSSL_zalloc(sizeof *copy);
	if (copy == NULL)
		return NULL;
	copy->direction = operation->direction;
	copy->padded = operation->padded;
	copy->pending = operation->pending;
	copy->cipher = EVP_CIPHER_CTX_new();
	if (copy->cipher != NULL && EVP_CIPHER_CTX_copy(copy->cipher, operation->cipher) == 1)
		return copy;
	operation_free(copy);
	return NULL;
}

static CK_RV last_of(struct operation *operation, uint8_t *out, size_t *out_len)
{
	bool encrypt = operation->direction == DIRECTION_ENCRYPT;
	int n = 0;
	if (!operation->padded && operation->pending != 0)
		return encrypt ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
	if (operation->padded && !encrypt && operation->pending != BLOCK)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	if (EVP_CipherFinal_ex(operation->cipher, out, &n) != 1)
		return encrypt ? CKR_FUNCTION_FAILED : CKR_ENCRYPTED_DATA_INVALID;
	*out_len = (size_t)n;
	return CKR_OK;
}

CK_RV operation_cipher(const struct operation *operation, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	if (operation->cipher == NULL)
		return cipher_sm2(operation, in, len, out, out_len);
	size_t capacity = operation_cipher_max(operation, len) + BLOCK, part = 0, last = 0;
	uint8_t *buf = OPENSSL_malloc(capacity);
	struct operation *copy = copy_of(operation);
	CK_RV rv = buf == NULL || copy == NULL ? CKR_HOST_MEMORY : operation_part(copy, in, len, buf, &part);
	if (rv == CKR_OK)
		rv = last_of(copy, buf + part, &last);
	operation_free(copy);
	if (rv != CKR_OK) {
		OPENSSL_clear_free(buf, buf == NULL ? 0 : capacity);
		return rv;
	}
	*out = buf;
	*out_len = part + last;
	return CKR_OK;
}

CK_RV operation_last(const struct operation *operation, uint8_t out[BLOCK], size_t *out_len)
{
	struct operation *copy = copy_of(operation);
	CK_RV rv = copy == NULL ? CKR_HOST_MEMORY : last_of(copy, out, out_len);
	operation_free(copy);
	return rv;
}

size_t operation_cipher_max(const struct operation *operation, size_t len)
{
	bool encrypt = operation->direction == DIRECTION_ENCRYPT;
	if (operation->cipher != NULL)
		return encrypt && operation->padded ? (len / BLOCK + 1) * BLOCK : len;
	return encrypt ? sm2_cipher_max(len, operation->der) : len;
}

size_t operation_part_len(const struct operation *operation, size_t len)
{
	size_t total = operation->pending + len;
	// Unpadding needs the last block, so a whole one is held back.
	if (operation->padded && operation->direction == DIRECTION_DECRYPT && total > 0)
		total--;
	return total / BLOCK * BLOCK;
}

CK_RV operation_part(struct operation *operation, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
	int n = 0;
	size_t total = operation->pending + len;
	operation->started = true;
	if (len > 0 && EVP_CipherUpdate(operation->cipher, out, &n, in, (int)len) != 1)
		return CKR_FUNCTION_FAILED;
	operation->pending = total - (size_t)n;
	*out_len = (size_t)n;
	return CKR_OK;
}
