// What the library plays (softsdf.conf) and the faults that a test asks for.
#ifndef SOFTSDF_CONFIG_H
#define SOFTSDF_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct config {
	unsigned max_bytes;      // ECCref_MAX_LEN: 64, or 32 in early headers
	bool trailing;           // numbers stand at the start of their field, padded behind
	unsigned sign_algorithm; // SGD_SM2_1
	unsigned devices;        // devices that may be open at once; 0: any number
	unsigned password_tries; // wrong passwords in a row that lock an index
};

// config_read reads dir/softsdf.conf, which may be absent. When it returns false
// it has said why on standard error.
bool config_read(const char *dir, struct config *config);

enum fault_kind { FAULT_NONE, FAULT_DEVICE_LOST, FAULT_DEVICE_ERROR, FAULT_RIGHTS_LOST, FAULT_BAD_SIGNATURE };

struct fault {
	enum fault_kind kind;
	unsigned delay_ms;
	uint64_t version; // of the file; 0 when there is none
};

// fault_read reads dir/fault.
struct fault fault_read(const char *dir);

#endif
