// Every bound of the module in one place. Sizes are in bytes.
#ifndef SOFTTOKEN_LIMITS_H
#define SOFTTOKEN_LIMITS_H

enum {
	LIMIT_SLOTS = 64,
	LIMIT_SESSIONS = 4096,
	LIMIT_OBJECTS = 65536,          // per slot
	LIMIT_ATTRIBUTES = 64,          // per object and per template
	LIMIT_ATTRIBUTE = 4096,         // one attribute's value
	LIMIT_OBJECT_FILE = 256 * 1024,
	LIMIT_CONFIG_FILE = 64 * 1024,
	LIMIT_TOKEN_FILE = 4096,
	LIMIT_PIN_MIN = 4,
	LIMIT_PIN_MAX = 255,
	LIMIT_SM2_PLAINTEXT = 16 * 1024,
	LIMIT_INPUT = 64 * 1024 * 1024, // one call's data
	LIMIT_RANDOM = 1024 * 1024,
	LIMIT_PATH = 3072,
	LIMIT_LOCK_WAIT_MS = 10000,
	LIMIT_DELAY_MS = 60000,
	LIMIT_COPY_NAME = 32,           // X of libterrace-softtoken-X.so
};

#endif
