#include "key.h"

#include "sdf.h"

#include "provider.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *open_key(const char *dir, unsigned index, const char *ending, int *code)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/sign-%u.%s", dir, index, ending);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		*code = errno == ENOENT ? SDR_KEYNOTEXIST : SDR_HARDFAIL;
	return f;
}

int key_public(const char *dir, unsigned index, uint8_t point[FORM_POINT])
{
	int code = SDR_HARDFAIL;
	FILE *f = open_key(dir, index, "pub", &code);
	if (f == NULL)
		return code;
	EVP_PKEY *key = PEM_read_PUBKEY_ex(f, NULL, NULL, NULL, provider_get()->context, NULL);
	size_t len = 0;
	if (key != NULL && EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, FORM_POINT, &len) == 1 &&
	    len == FORM_POINT)
		code = SDR_OK;
	EVP_PKEY_free(key);
	fclose(f);
	return code;
}

static unsigned failures_read(const char *path)
{
	unsigned n = 0;
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%u", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static bool failures_write(const char *path, unsigned n)
{
	if (n == 0)
		return unlink(path) == 0 || errno == ENOENT;
	FILE *f = fopen(path, "we");
	if (f == NULL)
		return false;
	bool ok = fprintf(f, "%u\n", n) > 0;
	return fclose(f) == 0 && ok;
}

struct secret {
	const char *bytes;
	size_t len;
};

static int give(char *buf, int size, int writing, void *arg)
{
	const struct secret *s = arg;
	(void)writing;
	if (size < 0 || s->len > (size_t)size)
		return -1;
	memcpy(buf, s->bytes, s->len);
	return (int)s->len;
}

int key_private(const char *dir, unsigned index, const char *password, size_t len, unsigned tries, EVP_PKEY **key)
{
	int code = SDR_HARDFAIL;
	char failures[4096];
	snprintf(failures, sizeof failures, "%s/sign-%u.failures", dir, index);
	FILE *f = open_key(dir, index, "pem", &code);
	if (f == NULL)
		return code;
	unsigned failed = failures_read(failures);
	if (failed >= tries) {
		fclose(f);
		return SDR_PARDENY;
	}
	code = SDR_HARDFAIL;
	if (failures_write(failures, failed + 1)) {
		struct secret secret = { password, len };
		*key = PEM_read_PrivateKey_ex(f, NULL, give, &secret, provider_get()->context, NULL);
		code = *key == NULL ? SDR_PRKRERR : SDR_OK;
	}
	fclose(f);
	if (code == SDR_OK && !failures_write(failures, 0)) {
		EVP_PKEY_free(*key);
		return SDR_HARDFAIL;
	}
	return code;
}
