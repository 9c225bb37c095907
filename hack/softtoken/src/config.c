#include "config.h"

#include "file.h"
#include "report.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// name_file chooses the configuration file by the name that the module was loaded
// under: libterrace-softtoken-X.so reads softtoken-X.conf, any other softtoken.conf.
// So one process can meet several makes at once, each as a copy of the module: a
// link would be the same module to the loader.
static void name_file(struct config *config)
{
	static const char prefix[] = "libterrace-softtoken-", ending[] = ".so";
	snprintf(config->file, sizeof config->file, "softtoken.conf");
	Dl_info info;
	if (dladdr(prefix, &info) == 0 || info.dli_fname == NULL)
		return;
	const char *slash = strrchr(info.dli_fname, '/');
	const char *base = slash == NULL ? info.dli_fname : slash + 1;
	size_t len = strlen(base), around = strlen(prefix) + strlen(ending);
	if (len <= around || len - around > LIMIT_COPY_NAME || strncmp(base, prefix, strlen(prefix)) != 0 ||
	    strcmp(base + len - strlen(ending), ending) != 0)
		return;
	snprintf(config->file, sizeof config->file, "softtoken-%.*s.conf", (int)(len - around), base + strlen(prefix));
}

static bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
	char *end = NULL;
	if (!isdigit((unsigned char)text[0]))
		return false; // strtoul would take "-1" and blanks
	errno = 0;
	unsigned long n = strtoul(text, &end, 0);
	if (errno != 0 || *end != 0 || n < min || n > max)
		return false;
	*out = n;
	return true;
}

static bool parse_count(const char *text, unsigned min, unsigned max, unsigned *out)
{
	unsigned long n;
	if (!parse_number(text, min, max, &n))
		return false;
	*out = (unsigned)n;
	return true;
}

static bool parse_choice(const char *text, const char *yes, const char *no, bool *out)
{
	if (strcmp(text, yes) != 0 && strcmp(text, no) != 0)
		return false;
	*out = strcmp(text, yes) == 0;
	return true;
}

// parse_numbers reads "none" or up to CONFIG_NUMBERS numbers with commas between.
static bool parse_numbers(const char *text, struct role_numbers *out)
{
	struct role_numbers found = { .count = 0 };
	char copy[256];
	if (strlen(text) >= sizeof copy)
		return false;
	strcpy(copy, text);
	if (strcmp(copy, "none") != 0) {
		char *rest = NULL;
		for (char *word = strtok_r(copy, ", \t", &rest); word != NULL; word = strtok_r(NULL, ", \t", &rest)) {
			unsigned long n;
			if (found.count == CONFIG_NUMBERS || !parse_number(word, 1, 0xFFFFFFFF, &n))
				return false;
			found.number[found.count++] = n;
		}
		if (found.count == 0)
			return false;
	}
	*out = found;
	return true;
}

// What the template of a private key can be made to refuse.
static const struct {
	const char *name;
	CK_ATTRIBUTE_TYPE type;
} refusable[] = {
	{ "class", CKA_CLASS },           { "private", CKA_PRIVATE }, { "sensitive", CKA_SENSITIVE },
	{ "extractable", CKA_EXTRACTABLE }, { "decrypt", CKA_DECRYPT }, { "unwrap", CKA_UNWRAP },
	{ "derive", CKA_DERIVE },
};

enum { REFUSABLE = sizeof refusable / sizeof refusable[0] };

// parse_refused reads "none" or names with commas between.
static bool parse_refused(const char *text, unsigned *out)
{
	unsigned bits = 0;
	char copy[256];
	if (strlen(text) >= sizeof copy)
		return false;
	strcpy(copy, text);
	if (strcmp(copy, "none") != 0) {
		char *rest = NULL;
		for (char *word = strtok_r(copy, ", \t", &rest); word != NULL; word = strtok_r(NULL, ", \t", &rest)) {
			size_t i = 0;
			while (i < REFUSABLE && strcmp(refusable[i].name, word) != 0)
				i++;
			if (i == REFUSABLE)
				return false;
			bits |= 1U << i;
		}
		if (bits == 0)
			return false;
	}
	*out = bits;
	return true;
}

bool config_refuses(const struct config *config, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < REFUSABLE; i++)
		if (refusable[i].type == type)
			return config->profile.refused & 1U << i;
	return false;
}

enum outcome { TAKEN, UNKNOWN_KEY, BAD_VALUE };

static enum outcome set(struct config *config, const char *key, const char *value)
{
	struct profile *profile = &config->profile;
	bool ok;
	unsigned long n;
	if (strcmp(key, "slots") == 0)
		ok = parse_count(value, 1, LIMIT_SLOTS, &config->slots);
	else if (strcmp(key, "pin-tries") == 0)
		ok = parse_count(value, 1, 255, &config->pin_tries);
	else if (strcmp(key, "pin-iterations") == 0)
		ok = parse_count(value, 1000, 10000000, &config->pin_iterations);
	else if (strcmp(key, "max-sessions") == 0)
		ok = parse_count(value, 1, LIMIT_SESSIONS, &config->max_sessions);
	else if (strcmp(key, "signature-form") == 0)
		ok = parse_choice(value, "der", "raw", &profile->signature_der);
	else if (strcmp(key, "cipher-form") == 0)
		ok = parse_choice(value, "der", "raw", &profile->cipher_der);
	else if (strcmp(key, "ec-point-form") == 0)
		ok = parse_choice(value, "octet-string", "bare", &profile->point_octet);
	else if (strcmp(key, "private-key-ec-point") == 0)
		ok = parse_choice(value, "true", "false", &profile->private_point);
	else if (strcmp(key, "require-ec-params") == 0)
		ok = parse_choice(value, "true", "false", &profile->require_ec_params);
	else if (strcmp(key, "sign-input") == 0)
		ok = parse_choice(value, "message", "any", &profile->message_only);
	else if (strcmp(key, "login") == 0)
		ok = parse_choice(value, "session", "token", &profile->session_login);
	else if (strcmp(key, "refused-attributes") == 0)
		ok = parse_refused(value, &profile->refused);
	else if (strcmp(key, "sign-delay-us") == 0)
		ok = parse_count(value, 0, LIMIT_DELAY_MS * 1000, &config->sign_delay_us);
	else if (strcmp(key, "key-type.sm2") == 0) {
		ok = parse_number(value, 1, 0xFFFFFFFF, &n);
		if (ok)
			profile->sm2_key_type = n;
	} else if (strcmp(key, "key-type.sm4") == 0) {
		ok = parse_number(value, 1, 0xFFFFFFFF, &n);
		if (ok)
			profile->sm4_key_type = n;
	} else {
		for (int role = 0; role < ROLE_COUNT; role++)
			if (strcmp(key, profile_role_key(role)) == 0)
				return parse_numbers(value, &profile->roles[role]) ? TAKEN : BAD_VALUE;
		return UNKNOWN_KEY;
	}
	return ok ? TAKEN : BAD_VALUE;
}

static const char *const plain_keys[] = {
	"slots", "pin-tries", "pin-iterations", "max-sessions", "signature-form", "cipher-form",
	"ec-point-form", "private-key-ec-point", "require-ec-params", "key-type.sm2", "key-type.sm4",
	"sign-input", "login", "refused-attributes", "sign-delay-us",
};

// environment returns the override of key: TERRACE_SOFTTOKEN_ and the key in
// capitals, with _ for each dot and hyphen.
static const char *environment(const char *key, char name[128])
{
	snprintf(name, 128, "TERRACE_SOFTTOKEN_%s", key);
	for (char *p = name; *p != 0; p++)
		*p = *p == '-' || *p == '.' ? '_' : (char)toupper((unsigned char)*p);
	const char *value = getenv(name);
	return value == NULL || value[0] == 0 ? NULL : value;
}

static bool set_from_environment(struct config *config, const char *key)
{
	char name[128];
	const char *value = environment(key, name);
	if (value == NULL || set(config, key, value) == TAKEN)
		return true;
	report("load configuration: %s: value is out of range or not of its kind; see softtoken.conf", name);
	return false;
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = 0;
	return text;
}

// next_setting cuts the next "key = value" out of *cursor. It returns 1, 0 at the
// end, -1 for a line that is neither a setting nor a comment.
static int next_setting(char **cursor, unsigned *line, char **key, char **value)
{
	while (*cursor != NULL && **cursor != 0) {
		char *text = strsep(cursor, "\n");
		(*line)++;
		char *comment = strchr(text, '#');
		if (comment != NULL)
			*comment = 0;
		text = trim(text);
		if (*text == 0)
			continue;
		char *equals = strchr(text, '=');
		if (equals == NULL)
			return -1;
		*equals = 0;
		*key = trim(text);
		*value = trim(equals + 1);
		return 1;
	}
	return 0;
}

// apply_file goes over the settings: first for the profile alone, since the others
// override it wherever they stand, then for the rest.
static bool apply_file(struct config *config, const unsigned char *data, size_t len, bool profile_pass)
{
	char *copy = OPENSSL_memdup(data, len + 1), *cursor = copy, *key = NULL, *value = NULL;
	unsigned line = 0;
	bool ok = copy != NULL;
	int got;
	while (ok && (got = next_setting(&cursor, &line, &key, &value)) != 0) {
		const char *reason = NULL;
		if (got < 0) {
			reason = "want \"key = value\"";
		} else if (strcmp(key, "profile") == 0) {
			const struct profile *profile = profile_find(value);
			if (profile == NULL)
				reason = "want sansec, tass, ibm or luna";
			else if (profile_pass)
				config->profile = *profile;
		} else if (!profile_pass) {
			enum outcome outcome = set(config, key, value);
			if (outcome == UNKNOWN_KEY)
				reason = "unknown key";
			else if (outcome == BAD_VALUE)
				reason = "value is out of range or not of its kind";
		}
		if (reason != NULL) {
			report("load configuration: %s/%s:%u: %s", config->dir, config->file, line, reason);
			ok = false;
		}
	}
	OPENSSL_free(copy);
	return ok;
}

static bool apply_environment(struct config *config)
{
	for (size_t i = 0; i < sizeof plain_keys / sizeof plain_keys[0]; i++)
		if (!set_from_environment(config, plain_keys[i]))
			return false;
	for (int role = 0; role < ROLE_COUNT; role++)
		if (!set_from_environment(config, profile_role_key(role)))
			return false;
	return true;
}

static bool numbers_are_distinct(const struct config *config)
{
	for (int role = 0; role < ROLE_COUNT; role++)
		for (unsigned i = 0; i < config->profile.roles[role].count; i++) {
			CK_MECHANISM_TYPE number = config->profile.roles[role].number[i];
			enum role first = config_role(config, number);
			if (first != (enum role)role) {
				report("load configuration: mechanism 0x%lX stands for both %s and %s", number,
				       profile_role_key(first), profile_role_key(role));
				return false;
			}
		}
	return true;
}

CK_RV config_load(struct config *config)
{
	memset(config, 0, sizeof *config);
	config->slots = 4;
	config->pin_tries = 10;
	config->pin_iterations = 100000;
	config->max_sessions = 1024;
	config->profile = *profile_find("sansec");

	const char *dir = getenv("TERRACE_SOFTTOKEN_DIR");
	if (dir == NULL || dir[0] != '/') {
		report("load configuration: TERRACE_SOFTTOKEN_DIR is not set to an absolute path; "
		       "set it to the directory that holds the tokens");
		return CKR_ARGUMENTS_BAD;
	}
	if (strlen(dir) >= sizeof config->dir) {
		report("load configuration: TERRACE_SOFTTOKEN_DIR is longer than %zu bytes", sizeof config->dir - 1);
		return CKR_ARGUMENTS_BAD;
	}
	strcpy(config->dir, dir);
	name_file(config);
	if (!file_make_dir(config->dir)) {
		report("load configuration: make directory %s: %s", config->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}

	unsigned char *data = NULL;
	size_t len = 0;
	if (!file_read(config->dir, config->file, LIMIT_CONFIG_FILE, &data, &len) && errno != ENOENT) {
		report("load configuration: read %s/%s: %s", config->dir, config->file, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	bool ok = data == NULL || apply_file(config, data, len, true);
	char name[128];
	const char *chosen = environment("profile", name);
	if (ok && chosen != NULL) {
		const struct profile *profile = profile_find(chosen);
		if (profile == NULL) {
			report("load configuration: %s: want sansec, tass, ibm or luna", name);
			ok = false;
		} else {
			config->profile = *profile;
		}
	}
	ok = ok && (data == NULL || apply_file(config, data, len, false)) && apply_environment(config) &&
	     numbers_are_distinct(config);
	OPENSSL_free(data);
	if (config->profile.message_only)
		for (int role = ROLE_SM2_SIGN_DIGEST; role <= ROLE_SM2_SIGN_DIGEST_DER; role++)
			config->profile.roles[role].count = 0; // neither listed nor taken
	return ok ? CKR_OK : CKR_ARGUMENTS_BAD;
}

enum role config_role(const struct config *config, CK_MECHANISM_TYPE number)
{
	for (int role = 0; role < ROLE_COUNT; role++)
		for (unsigned i = 0; i < config->profile.roles[role].count; i++)
			if (config->profile.roles[role].number[i] == number)
				return role;
	return ROLE_NONE;
}
