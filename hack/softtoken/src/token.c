#include "token.h"

#include "file.h"
#include "provider.h"
#include "report.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

static const char token_name[] = "token";

static void put_hex(char *out, const uint8_t *in, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", in[i]);
}

static bool get_hex(const char *in, uint8_t *out, size_t len)
{
	if (strlen(in) != 2 * len || strspn(in, "0123456789abcdef") != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned byte;
		sscanf(in + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
	return true;
}

static int print_pin(char *out, size_t cap, const char *name, const struct pin_record *pin)
{
	char salt[2 * SEAL_SALT + 1] = "", wrapped[2 * sizeof pin->wrapped + 1] = "";
	if (!pin->set)
		return 0;
	put_hex(salt, pin->salt, sizeof pin->salt);
	put_hex(wrapped, pin->wrapped, sizeof pin->wrapped);
	return snprintf(out, cap, "%s %u %u %s %s\n", name, pin->failures, pin->iterations, salt, wrapped);
}

static CK_RV token_write(const char *dir, const struct token *token)
{
	char text[1024], instance[2 * TOKEN_INSTANCE + 1] = "", label[2 * TOKEN_LABEL + 1] = "";
	put_hex(instance, token->instance, TOKEN_INSTANCE);
	put_hex(label, token->label, TOKEN_LABEL);
	int n = snprintf(text, sizeof text, "terrace-softtoken 1\ninstance %s\nlabel %s\n", instance, label);
	n += print_pin(text + n, sizeof text - (size_t)n, "so", &token->so);
	n += print_pin(text + n, sizeof text - (size_t)n, "user", &token->user);
	if (file_write(dir, token_name, text, (size_t)n))
		return CKR_OK;
	report("write token file in %s: %s", dir, strerror(errno));
	return CKR_DEVICE_ERROR;
}

static bool parse_pin(const char *line, struct pin_record *pin)
{
	char salt[2 * SEAL_SALT + 2], wrapped[2 * sizeof pin->wrapped + 2];
	if (sscanf(line, "%*s %u %u %33s %121s", &pin->failures, &pin->iterations, salt, wrapped) != 4)
		return false;
	pin->set = get_hex(salt, pin->salt, sizeof pin->salt) && get_hex(wrapped, pin->wrapped, sizeof pin->wrapped);
	return pin->set && pin->iterations > 0 && pin->iterations <= 10000000;
}
_Static_assert(2 * SEAL_SALT == 32 && 2 * (MASTER_KEY + SEAL_OVERHEAD) == 120, "widths in parse_pin");

static bool parse(char *text, struct token *token)
{
	bool version = false, instance = false, label = false, so = false;
	char hex[2 * TOKEN_LABEL + 2];
	for (char *line; (line = strsep(&text, "\n")) != NULL;) {
		if (strcmp(line, "terrace-softtoken 1") == 0)
			version = true;
		else if (sscanf(line, "instance %65s", hex) == 1)
			instance = get_hex(hex, token->instance, TOKEN_INSTANCE);
		else if (sscanf(line, "label %65s", hex) == 1)
			label = get_hex(hex, token->label, TOKEN_LABEL);
		else if (strncmp(line, "so ", 3) == 0)
			so = parse_pin(line, &token->so);
		else if (strncmp(line, "user ", 5) == 0 && !parse_pin(line, &token->user))
			return false;
	}
	return version && instance && label && so;
}

CK_RV token_read(const char *dir, struct token *token)
{
	unsigned char *data = NULL;
	size_t len = 0;
	memset(token, 0, sizeof *token);
	if (!file_read(dir, token_name, LIMIT_TOKEN_FILE, &data, &len)) {
		if (errno == ENOENT)
			return CKR_OK;
		report("read token file in %s: %s", dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	token->initialized = parse((char *)data, token);
	OPENSSL_free(data);
	if (token->initialized)
		return CKR_OK;
	report("read token file in %s: it is damaged", dir);
	return CKR_DEVICE_ERROR;
}

static struct pin_record *record_of(struct token *token, CK_USER_TYPE user)
{
	return user == CKU_SO ? &token->so : &token->user;
}

struct wrap_context {
	uint8_t user;
	uint8_t instance[TOKEN_INSTANCE];
};

static struct wrap_context wrap_context(const struct token *token, CK_USER_TYPE user)
{
	struct wrap_context context = { .user = (uint8_t)user };
	memcpy(context.instance, token->instance, TOKEN_INSTANCE);
	return context;
}

static bool length_is_fine(size_t pin_len)
{
	return pin_len >= LIMIT_PIN_MIN && pin_len <= LIMIT_PIN_MAX;
}

static CK_RV wrap(const struct config *config, struct token *token, CK_USER_TYPE user,
		  const uint8_t *pin, size_t pin_len, const uint8_t master[MASTER_KEY])
{
	uint8_t kek[SEAL_KEY];
	struct pin_record record = { .set = true, .iterations = config->pin_iterations };
	struct wrap_context context = wrap_context(token, user);
	if (pin == NULL || !length_is_fine(pin_len))
		return CKR_PIN_LEN_RANGE;
	bool ok = provider_random(record.salt, sizeof record.salt) &&
		  seal_derive(pin, pin_len, record.salt, record.iterations, kek) &&
		  seal(kek, &context, sizeof context, master, MASTER_KEY, record.wrapped);
	OPENSSL_cleanse(kek, sizeof kek);
	if (!ok)
		return CKR_FUNCTION_FAILED;
	*record_of(token, user) = record;
	return CKR_OK;
}

CK_RV token_init(const struct config *config, const char *dir, const uint8_t label[TOKEN_LABEL],
		 const uint8_t *pin, size_t pin_len)
{
	struct token token;
	uint8_t master[MASTER_KEY];
	CK_RV rv = token_read(dir, &token);
	if (rv == CKR_OK && token.initialized)
		rv = token_unlock(config, dir, CKU_SO, pin, pin_len, master);
	if (rv != CKR_OK)
		return rv;
	memset(&token, 0, sizeof token);
	memcpy(token.label, label, TOKEN_LABEL);
	if (!provider_random(token.instance, TOKEN_INSTANCE) || !provider_random(master, sizeof master))
		rv = CKR_FUNCTION_FAILED;
	if (rv == CKR_OK)
		rv = wrap(config, &token, CKU_SO, pin, pin_len, master);
	OPENSSL_cleanse(master, sizeof master);
	return rv == CKR_OK ? token_write(dir, &token) : rv;
}

CK_RV token_unlock(const struct config *config, const char *dir, CK_USER_TYPE user,
		   const uint8_t *pin, size_t pin_len, uint8_t master[MASTER_KEY])
{
	struct token token;
	uint8_t kek[SEAL_KEY];
	CK_RV rv = token_read(dir, &token);
	if (rv != CKR_OK)
		return rv;
	if (!token.initialized)
		return CKR_TOKEN_NOT_RECOGNIZED;
	struct pin_record *record = record_of(&token, user);
	if (!record->set)
		return CKR_USER_PIN_NOT_INITIALIZED;
	if (record->failures >= config->pin_tries)
		return CKR_PIN_LOCKED;
	if (pin == NULL)
		return CKR_ARGUMENTS_BAD;
	if (pin_len > LIMIT_PIN_MAX)
		return CKR_PIN_LEN_RANGE;
	record->failures++;
	rv = token_write(dir, &token);
	// A crash from here on leaves the try counted as wrong.
	if (rv != CKR_OK)
		return rv;
	struct wrap_context context = wrap_context(&token, user);
	if (!seal_derive(pin, pin_len, record->salt, record->iterations, kek))
		return CKR_FUNCTION_FAILED;
	bool right = unseal(kek, &context, sizeof context, record->wrapped, sizeof record->wrapped, master);
	OPENSSL_cleanse(kek, sizeof kek);
	if (!right)
		return record->failures >= config->pin_tries ? CKR_PIN_LOCKED : CKR_PIN_INCORRECT;
	record->failures = 0;
	rv = token_write(dir, &token);
	if (rv != CKR_OK)
		OPENSSL_cleanse(master, MASTER_KEY);
	return rv;
}

CK_RV token_set_pin(const struct config *config, const char *dir, CK_USER_TYPE user,
		    const uint8_t *pin, size_t pin_len, const uint8_t master[MASTER_KEY])
{
	struct token token;
	CK_RV rv = token_read(dir, &token);
	if (rv == CKR_OK && !token.initialized)
		rv = CKR_TOKEN_NOT_RECOGNIZED;
	if (rv == CKR_OK)
		rv = wrap(config, &token, user, pin, pin_len, master);
	return rv == CKR_OK ? token_write(dir, &token) : rv;
}

static CK_FLAGS try_flags(const struct pin_record *record, unsigned tries, CK_FLAGS low, CK_FLAGS final, CK_FLAGS locked)
{
	if (!record->set)
		return 0;
	if (record->failures >= tries)
		return locked;
	return (record->failures > 0 ? low : 0) | (record->failures + 1 == tries ? final : 0);
}

CK_FLAGS token_flags(const struct config *config, const struct token *token)
{
	CK_FLAGS flags = CKF_RNG | CKF_LOGIN_REQUIRED;
	if (!token->initialized)
		return flags;
	flags |= CKF_TOKEN_INITIALIZED | (token->user.set ? CKF_USER_PIN_INITIALIZED : 0);
	flags |= try_flags(&token->user, config->pin_tries, CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY,
			   CKF_USER_PIN_LOCKED);
	return flags | try_flags(&token->so, config->pin_tries, CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY,
				 CKF_SO_PIN_LOCKED);
}
