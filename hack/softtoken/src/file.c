#include "file.h"

#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool join(char out[LIMIT_PATH], const char *dir, const char *name)
{
	int n = snprintf(out, LIMIT_PATH, "%s/%s", dir, name);
	if (n < 0 || n >= LIMIT_PATH) {
		errno = ENAMETOOLONG;
		return false;
	}
	return true;
}

static void close_keep_errno(int fd)
{
	int saved = errno;
	close(fd);
	errno = saved;
}

static bool sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = fsync(fd) == 0;
	close_keep_errno(fd);
	return ok;
}

bool file_make_dir(const char *path)
{
	if (mkdir(path, 0700) == 0)
		return true;
	struct stat st;
	if (errno != EEXIST || stat(path, &st) != 0)
		return false;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return false;
	}
	return true;
}

bool file_read(const char *dir, const char *name, size_t max, unsigned char **data, size_t *len)
{
	char path[LIMIT_PATH];
	if (!join(path, dir, name))
		return false;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	struct stat st;
	unsigned char *buf = NULL;
	size_t size = 0, have = 0;
	if (fstat(fd, &st) != 0)
		goto fail;
	if (!S_ISREG(st.st_mode) || (uintmax_t)st.st_size > max) {
		errno = EFBIG;
		goto fail;
	}
	size = (size_t)st.st_size;
	buf = OPENSSL_malloc(size + 1);
	if (buf == NULL) {
		errno = ENOMEM;
		goto fail;
	}
	while (have < size) {
		ssize_t n = read(fd, buf + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	buf[have] = 0;
	*data = buf;
	*len = have;
	return true;
fail:
	close_keep_errno(fd);
	OPENSSL_clear_free(buf, buf == NULL ? 0 : size + 1);
	return false;
}

static bool write_all(int fd, const unsigned char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

bool file_write(const char *dir, const char *name, const void *data, size_t len)
{
	char path[LIMIT_PATH], temp_name[300], temp[LIMIT_PATH];
	// One temporary name for each target: writers hold the exclusive lock, and
	// what a crash left behind is overwritten by the next write.
	int n = snprintf(temp_name, sizeof temp_name, ".%s.new", name);
	if (n < 0 || n >= (int)sizeof temp_name) {
		errno = ENAMETOOLONG;
		return false;
	}
	if (!join(path, dir, name) || !join(temp, dir, temp_name))
		return false;
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	if (!write_all(fd, data, len) || fsync(fd) != 0) {
		close_keep_errno(fd);
		return false;
	}
	if (close(fd) != 0)
		return false;
	if (rename(temp, path) != 0)
		return false;
	return sync_dir(dir);
}

bool file_remove(const char *dir, const char *name)
{
	char path[LIMIT_PATH];
	if (!join(path, dir, name))
		return false;
	if (unlink(path) != 0)
		return errno == ENOENT;
	return sync_dir(dir);
}

bool lock_take(struct lock *lock, const char *dir, enum lock_kind kind)
{
	char path[LIMIT_PATH];
	lock->fd = -1;
	lock->generation = 0;
	if (!join(path, dir, "lock"))
		return false;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	int operation = (kind == LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB;
	// Polling, because a blocking flock has no bound: a stopped process that
	// holds the lock must not hang every other one.
	for (int waited = 0; flock(fd, operation) != 0; waited++) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || waited >= LIMIT_LOCK_WAIT_MS) {
			if (errno == EWOULDBLOCK)
				errno = ETIMEDOUT;
			close_keep_errno(fd);
			return false;
		}
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	uint64_t generation = 0;
	if (pread(fd, &generation, sizeof generation, 0) != (ssize_t)sizeof generation)
		generation = 0; // a new file
	lock->fd = fd;
	lock->generation = generation;
	return true;
}

bool lock_bump(struct lock *lock)
{
	uint64_t next = lock->generation + 1;
	if (pwrite(lock->fd, &next, sizeof next, 0) != (ssize_t)sizeof next)
		return false;
	lock->generation = next;
	return true;
}

void lock_release(struct lock *lock)
{
	if (lock->fd >= 0)
		close_keep_errno(lock->fd);
	lock->fd = -1;
}
