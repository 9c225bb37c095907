#include "fault.h"

#include "file.h"
#include "limits.h"
#include "report.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char fault_name[] = "fault";

static bool same_version(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       memcmp(&a->st_mtim, &b->st_mtim, sizeof a->st_mtim) == 0 &&
	       memcmp(&a->st_ctim, &b->st_ctim, sizeof a->st_ctim) == 0;
}

static void clear(struct fault *fault)
{
	fault->session_lost = fault->device_removed = fault->device_error = fault->bad_signature = false;
	fault->delay_ms = 0;
}

static void parse(struct fault *fault, char *text)
{
	unsigned ms;
	for (char *line; (line = strsep(&text, "\n")) != NULL;) {
		if (strcmp(line, "session-lost") == 0)
			fault->session_lost = true;
		else if (strcmp(line, "device-removed") == 0)
			fault->device_removed = true;
		else if (strcmp(line, "device-error") == 0)
			fault->device_error = true;
		else if (strcmp(line, "bad-signature") == 0)
			fault->bad_signature = true;
		else if (sscanf(line, "delay-ms %u", &ms) == 1 && ms <= LIMIT_DELAY_MS)
			fault->delay_ms = ms;
		else if (line[0] != 0)
			report("fault file: unknown fault \"%.40s\"", line);
	}
}

void fault_check(struct fault *fault, const char *dir)
{
	char path[LIMIT_PATH];
	struct stat st;
	unsigned char *data = NULL;
	size_t len = 0;
	clear(fault);
	snprintf(path, sizeof path, "%s/%s", dir, fault_name);
	if (stat(path, &st) != 0) {
		fault->fired = false;
		return;
	}
	if (!file_read(dir, fault_name, LIMIT_TOKEN_FILE, &data, &len))
		return;
	parse(fault, (char *)data);
	OPENSSL_free(data);
	if (!fault->session_lost)
		return;
	if (fault->fired && same_version(&fault->last, &st))
		fault->session_lost = false;
	fault->fired = true;
	fault->last = st;
}

void fault_delay(unsigned ms)
{
	delay_us((uint64_t)ms * 1000);
}

void delay_us(uint64_t us)
{
	struct timespec rest = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
	if (us > 0)
		nanosleep(&rest, NULL);
}
