#include "session.h"

#include "sdf.h"

#include "provider.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards what follows
static struct device *devices;
static struct session *sessions;
static bool provider_ready;

static void drop_rights(struct session *s)
{
	for (int i = 0; i < SESSION_RIGHTS; i++)
		EVP_PKEY_free(s->rights[i].key);
	memset(s->rights, 0, sizeof s->rights);
}

// device_of and session_of are called with the lock held.
static struct device *device_of(void *handle)
{
	for (struct device *d = devices; d != NULL; d = d->next)
		if (d == handle)
			return d;
	return NULL;
}

static struct session *session_of(void *handle)
{
	for (struct session *s = sessions; s != NULL; s = s->next)
		if (s == handle)
			return s;
	return NULL;
}

static int fault_code(const struct device *d, const struct fault *fault)
{
	if (fault->kind == FAULT_DEVICE_ERROR)
		return SDR_HARDFAIL;
	if (fault->kind == FAULT_DEVICE_LOST && fault->version != d->fault_seen)
		return SDR_COMMFAIL;
	return SDR_OK;
}

static int open_device(void **handle)
{
	const char *dir = getenv("TERRACE_SOFTSDF_DIR");
	struct device *d = calloc(1, sizeof *d);
	if (d == NULL)
		return SDR_NOBUFFER;
	if (dir == NULL || dir[0] != '/' || strlen(dir) >= sizeof d->dir / 2) {
		fprintf(stderr, "softsdf: TERRACE_SOFTSDF_DIR must name a directory by an absolute path\n");
		free(d);
		return SDR_OPENDEVICE;
	}
	strcpy(d->dir, dir);
	struct fault fault = fault_read(dir);
	d->fault_seen = fault.version;
	unsigned open = 0;
	for (struct device *other = devices; other != NULL; other = other->next)
		open++;
	int code = fault_code(d, &fault);
	if (code == SDR_OK && !config_read(dir, &d->config))
		code = SDR_OPENDEVICE;
	else if (code == SDR_OK && d->config.devices != 0 && open >= d->config.devices)
		code = SDR_STEPERR;
	if (code != SDR_OK) {
		free(d);
		return code;
	}
	d->next = devices;
	devices = d;
	*handle = d;
	return SDR_OK;
}

int SDF_OpenDevice(void **handle)
{
	if (handle == NULL)
		return SDR_INARGERR;
	pthread_mutex_lock(&lock);
	provider_ready = provider_ready || provider_open();
	int code = provider_ready ? open_device(handle) : SDR_HARDFAIL;
	pthread_mutex_unlock(&lock);
	return code;
}

int SDF_CloseDevice(void *handle)
{
	pthread_mutex_lock(&lock);
	struct device *d = device_of(handle);
	if (d != NULL) {
		for (struct session **at = &sessions; *at != NULL;) {
			struct session *s = *at;
			if (s->device != d) {
				at = &s->next;
				continue;
			}
			*at = s->next;
			drop_rights(s);
			free(s);
		}
		struct device **at = &devices;
		while (*at != d)
			at = &(*at)->next;
		*at = d->next;
		free(d);
	}
	pthread_mutex_unlock(&lock);
	return d == NULL ? SDR_INARGERR : SDR_OK;
}

int SDF_OpenSession(void *handle, void **session)
{
	if (session == NULL)
		return SDR_INARGERR;
	pthread_mutex_lock(&lock);
	struct device *d = device_of(handle);
	int code = SDR_INARGERR;
	if (d != NULL) {
		struct fault fault = fault_read(d->dir);
		struct session *s = NULL;
		code = fault_code(d, &fault);
		if (code == SDR_OK && (s = calloc(1, sizeof *s)) == NULL)
			code = SDR_NOBUFFER;
		if (s != NULL) {
			s->device = d;
			s->fault_seen = fault.version;
			s->next = sessions;
			sessions = s;
			*session = s;
		}
	}
	pthread_mutex_unlock(&lock);
	return code;
}

int SDF_CloseSession(void *handle)
{
	pthread_mutex_lock(&lock);
	struct session *s = session_of(handle);
	if (s != NULL) {
		struct session **at = &sessions;
		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
		drop_rights(s);
		free(s);
	}
	pthread_mutex_unlock(&lock);
	return s == NULL ? SDR_INARGERR : SDR_OK;
}

int session_enter(void *handle, struct session **session, struct fault *fault)
{
	pthread_mutex_lock(&lock);
	struct session *s = session_of(handle);
	pthread_mutex_unlock(&lock);
	if (s == NULL)
		return SDR_INARGERR;
	*session = s;
	*fault = fault_read(s->device->dir);
	if (fault->kind == FAULT_RIGHTS_LOST && fault->version != s->fault_seen)
		drop_rights(s);
	s->fault_seen = fault->version;
	if (fault->delay_ms > 0) {
		struct timespec wait = { fault->delay_ms / 1000, (long)(fault->delay_ms % 1000) * 1000000 };
		nanosleep(&wait, NULL);
	}
	return fault_code(s->device, fault);
}

struct right *session_right(struct session *s, unsigned index)
{
	for (int i = 0; i < SESSION_RIGHTS; i++)
		if (s->rights[i].key != NULL && s->rights[i].index == index)
			return &s->rights[i];
	return NULL;
}
