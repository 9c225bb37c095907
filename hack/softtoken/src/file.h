// Durable files and the lock between processes.
#ifndef SOFTTOKEN_FILE_H
#define SOFTTOKEN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// All functions set errno when they fail.

// file_make_dir makes path with mode 0700; an existing directory is fine.
bool file_make_dir(const char *path);
// file_read reads at most max bytes (EFBIG beyond). The caller frees *data with
// OPENSSL_clear_free. The content is followed by a NUL that *len does not count.
bool file_read(const char *dir, const char *name, size_t max, unsigned char **data, size_t *len);
// file_write replaces dir/name as a whole, mode 0600. When it returns true the new
// content is durable; after a crash inside, the file is wholly old or wholly new.
bool file_write(const char *dir, const char *name, const void *data, size_t len);
// file_remove unlinks dir/name durably; a missing file is fine.
bool file_remove(const char *dir, const char *name);

// A lock is dir/lock under flock(2). The file also holds the generation: a number
// that grows with each change of the directory, for readers that keep a copy.
struct lock {
	int fd;
	uint64_t generation;
};

enum lock_kind { LOCK_SHARED, LOCK_EXCLUSIVE };

// lock_take waits at most LIMIT_LOCK_WAIT_MS (ETIMEDOUT).
bool lock_take(struct lock *lock, const char *dir, enum lock_kind kind);
// lock_bump stores generation + 1. It is called before the change that it
// announces: a crash in between costs readers one useless reload, the other
// order would hide the change from them.
bool lock_bump(struct lock *lock);
void lock_release(struct lock *lock);

#endif
