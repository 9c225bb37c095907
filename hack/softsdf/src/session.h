// Open devices and sessions, and the check that comes before each call.
#ifndef SOFTSDF_SESSION_H
#define SOFTSDF_SESSION_H

#include "config.h"

#include <openssl/evp.h>

enum { SESSION_RIGHTS = 64 };

struct device {
	struct device *next;
	struct config config;
	uint64_t fault_seen; // version of the fault file when the device was opened
	char dir[4096];
};

struct right {
	unsigned index;
	EVP_PKEY *key; // NULL: a free place
};

// session belongs to one thread at a time, as the standard's callers must keep it.
struct session {
	struct session *next;
	struct device *device;
	uint64_t fault_seen; // version of the fault file when the rights were last sound
	struct right rights[SESSION_RIGHTS];
};

// session_enter finds an open session and applies the faults.
int session_enter(void *handle, struct session **session, struct fault *fault);
struct right *session_right(struct session *s, unsigned index);

#endif
