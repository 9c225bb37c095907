// Test hooks: the file "fault" in the token directory makes the module fail from
// outside. Each line is one fault; README.md lists them.
#ifndef SOFTTOKEN_FAULT_H
#define SOFTTOKEN_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct fault {
	bool session_lost; // true in one call only for each version of the file
	bool device_removed;
	bool device_error;
	bool bad_signature;
	unsigned delay_ms; // before each signature and decryption

	bool fired; // session_lost fired for the version in last
	struct stat last;
};

// fault_check costs one stat while there is no such file.
void fault_check(struct fault *fault, const char *dir);
void fault_delay(unsigned ms);
// delay_us rests: what a slow device does.
void delay_us(uint64_t us);

#endif
