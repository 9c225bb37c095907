#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LINE = 128, MAX_DELAY_MS = 60000 };

static bool number(const char *value, unsigned max, unsigned *out)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(value, &end, 0);
	if (errno != 0 || end == value || *end != 0 || n > max)
		return false;
	*out = (unsigned)n;
	return true;
}

static bool set(struct config *c, const char *key, const char *value)
{
	if (strcmp(key, "max-bits") == 0) {
		unsigned bits;
		if (!number(value, 512, &bits) || (bits != 256 && bits != 512))
			return false;
		c->max_bytes = bits / 8;
		return true;
	}
	if (strcmp(key, "padding") == 0) {
		c->trailing = strcmp(value, "trailing") == 0;
		return c->trailing || strcmp(value, "leading") == 0;
	}
	if (strcmp(key, "sign-algorithm") == 0)
		return number(value, 0x7fffffff, &c->sign_algorithm);
	if (strcmp(key, "devices") == 0)
		return number(value, 1024, &c->devices);
	if (strcmp(key, "password-tries") == 0)
		return number(value, 1000, &c->password_tries) && c->password_tries > 0;
	return false;
}

bool config_read(const char *dir, struct config *config)
{
	*config = (struct config){ .max_bytes = 64, .sign_algorithm = 0x20200, .password_tries = 8 };
	char path[4096], line[LINE], key[LINE], value[LINE];
	snprintf(path, sizeof path, "%s/softsdf.conf", dir);
	FILE *f = fopen(path, "re");
	if (f == NULL && errno == ENOENT)
		return true;
	if (f == NULL) {
		fprintf(stderr, "softsdf: open %s: %s\n", path, strerror(errno));
		return false;
	}
	bool ok = true;
	for (unsigned n = 1; ok && fgets(line, sizeof line, f) != NULL; n++) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		ok = sscanf(line, " %127[a-z-] = %127s", key, value) == 2 && set(config, key, value);
		if (!ok)
			fprintf(stderr, "softsdf: %s line %u: unknown key or bad value\n", path, n);
	}
	fclose(f);
	return ok;
}

struct fault fault_read(const char *dir)
{
	struct fault fault = { FAULT_NONE, 0, 0 };
	char path[4096], line[LINE];
	snprintf(path, sizeof path, "%s/fault", dir);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return fault;
	struct stat st;
	if (fstat(fileno(f), &st) == 0)
		fault.version = (uint64_t)st.st_ino ^ (uint64_t)st.st_mtim.tv_sec * 1000000000u ^ (uint64_t)st.st_mtim.tv_nsec;
	if (fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = 0;
		if (strcmp(line, "device-lost") == 0)
			fault.kind = FAULT_DEVICE_LOST;
		else if (strcmp(line, "device-error") == 0)
			fault.kind = FAULT_DEVICE_ERROR;
		else if (strcmp(line, "rights-lost") == 0)
			fault.kind = FAULT_RIGHTS_LOST;
		else if (strcmp(line, "bad-signature") == 0)
			fault.kind = FAULT_BAD_SIGNATURE;
		else if (strncmp(line, "delay-ms ", 9) == 0 && !number(line + 9, MAX_DELAY_MS, &fault.delay_ms))
			fault.delay_ms = 0;
	}
	fclose(f);
	return fault;
}
