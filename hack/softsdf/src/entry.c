// The functions that work in a session.
#include "form.h"
#include "key.h"
#include "sdf.h"
#include "session.h"

#include "provider.h"
#include "sm2.h"

#include <pthread.h>
#include <string.h>

// tries guards the counters of wrong passwords.
static pthread_mutex_t tries = PTHREAD_MUTEX_INITIALIZER;

int SDF_GetDeviceInfo(void *session, void *info)
{
	struct session *s;
	struct fault fault;
	int code = session_enter(session, &s, &fault);
	if (code != SDR_OK || info == NULL)
		return code != SDR_OK ? code : SDR_INARGERR;
	form_put_info(&s->device->config, info);
	return SDR_OK;
}

int SDF_GetPrivateKeyAccessRight(void *session, unsigned int index, unsigned char *password, unsigned int len)
{
	struct session *s;
	struct fault fault;
	int code = session_enter(session, &s, &fault);
	if (code != SDR_OK || password == NULL)
		return code != SDR_OK ? code : SDR_INARGERR;
	struct right *right = session_right(s, index);
	for (int i = 0; right == NULL && i < SESSION_RIGHTS; i++)
		if (s->rights[i].key == NULL)
			right = &s->rights[i];
	if (right == NULL)
		return SDR_NOBUFFER;
	EVP_PKEY *key = NULL;
	pthread_mutex_lock(&tries);
	code = key_private(s->device->dir, index, (const char *)password, len, s->device->config.password_tries, &key);
	pthread_mutex_unlock(&tries);
	if (code != SDR_OK)
		return code;
	EVP_PKEY_free(right->key);
	*right = (struct right){ index, key };
	return SDR_OK;
}

int SDF_ReleasePrivateKeyAccessRight(void *session, unsigned int index)
{
	struct session *s;
	struct fault fault;
	int code = session_enter(session, &s, &fault);
	if (code != SDR_OK)
		return code;
	struct right *right = session_right(s, index);
	if (right == NULL)
		return SDR_STEPERR;
	EVP_PKEY_free(right->key);
	*right = (struct right){ 0, NULL };
	return SDR_OK;
}

int SDF_ExportSignPublicKey_ECC(void *session, unsigned int index, void *public_key)
{
	struct session *s;
	struct fault fault;
	uint8_t point[FORM_POINT];
	int code = session_enter(session, &s, &fault);
	if (code != SDR_OK || public_key == NULL)
		return code != SDR_OK ? code : SDR_INARGERR;
	code = key_public(s->device->dir, index, point);
	if (code == SDR_OK)
		form_put_public(&s->device->config, point, public_key);
	return code;
}

int SDF_InternalSign_ECC(void *session, unsigned int index, unsigned char *e, unsigned int len, void *signature)
{
	struct session *s;
	struct fault fault;
	uint8_t raw[SM2_SIGNATURE_MAX];
	size_t raw_len;
	int code = session_enter(session, &s, &fault);
	if (code != SDR_OK)
		return code;
	if (e == NULL || len != SM2_DIGEST || signature == NULL)
		return SDR_INARGERR;
	struct right *right = session_right(s, index);
	if (right == NULL)
		return SDR_PARDENY;
	if (!sm2_sign(right->key, e, false, raw, &raw_len) || raw_len != FORM_SIGNATURE)
		return SDR_SIGNERR;
	if (fault.kind == FAULT_BAD_SIGNATURE)
		raw[FORM_SIGNATURE - 1] ^= 1;
	form_put_signature(&s->device->config, raw, signature);
	return SDR_OK;
}

// verify checks a signature under a point.
static int verify(const struct session *s, const uint8_t point[FORM_POINT], const unsigned char *e, unsigned int len,
		  const void *signature)
{
	uint8_t raw[FORM_SIGNATURE];
	if (e == NULL || len != SM2_DIGEST || signature == NULL)
		return SDR_INARGERR;
	EVP_PKEY *key = sm2_key(NULL, point);
	if (key == NULL)
		return SDR_INARGERR;
	form_get_signature(&s->device->config, signature, raw);
	bool ok = sm2_verify(key, e, false, raw, sizeof raw);
	EVP_PKEY_free(key);
	return ok ? SDR_OK : SDR_VERIFYERR;
}

int SDF_ExternalVerify_ECC(void *session, unsigned int algorithm, void *public_key, unsigned char *e, unsigned int len,
			   void *signature)
{
	struct session *s;
	struct fault fault;
	uint8_t point[FORM_POINT];
	int code = session_enter(session, &s, &fault);
	if (code != SDR_OK)
		return code;
	if (algorithm != s->device->config.sign_algorithm)
		return SDR_ALGNOTSUPPORT;
	if (public_key == NULL)
		return SDR_INARGERR;
	form_get_public(&s->device->config, public_key, point);
	return verify(s, point, e, len, signature);
}
