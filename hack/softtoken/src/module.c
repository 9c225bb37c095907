#include "module.h"

#include "provider.h"
#include "report.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct module state;
static bool started;
static pid_t owner;      // a forked child has to call C_Initialize itself
static unsigned working; // threads between module_work and module_done

static void stop_locked(void)
{
	for (unsigned i = 0; i < state.config.slots; i++)
		if (state.slots[i].config != NULL) {
			session_close_slot(&state.slots[i]);
			slot_close(&state.slots[i]);
		}
	provider_close();
	OPENSSL_cleanse(&state, sizeof state);
	started = false;
}

CK_RV module_start(void)
{
	pthread_mutex_lock(&mutex);
	if (started && owner == getpid()) {
		pthread_mutex_unlock(&mutex);
		return CKR_CRYPTOKI_ALREADY_INITIALIZED;
	}
	if (started) {
		working = 0; // the parent's threads do not exist here
		stop_locked();
	}
	CK_RV rv = config_load(&state.config);
	if (rv == CKR_OK && !provider_open()) {
		report("start: this OpenSSL lacks SM2, SM3, SM4 or AES-256-GCM");
		rv = CKR_FUNCTION_FAILED;
	}
	for (unsigned i = 0; rv == CKR_OK && i < state.config.slots; i++)
		rv = slot_open(&state.slots[i], &state.config, i);
	if (rv == CKR_OK) {
		fault_check(&state.fault, state.config.dir); // one that is there already has fired
		started = true;
		owner = getpid();
	} else {
		stop_locked();
	}
	pthread_mutex_unlock(&mutex);
	return rv;
}

CK_RV module_stop(void)
{
	pthread_mutex_lock(&mutex);
	if (!started || owner != getpid()) {
		pthread_mutex_unlock(&mutex);
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
	while (working > 0)
		pthread_cond_wait(&idle, &mutex);
	CK_RV rv = started ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED; // another thread was first
	if (started)
		stop_locked();
	pthread_mutex_unlock(&mutex);
	return rv;
}

CK_RV module_enter(struct module **module)
{
	pthread_mutex_lock(&mutex);
	if (!started || owner != getpid()) {
		pthread_mutex_unlock(&mutex);
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
	fault_check(&state.fault, state.config.dir);
	if (state.fault.session_lost || state.fault.device_removed)
		for (unsigned i = 0; i < state.config.slots; i++)
			session_close_slot(&state.slots[i]);
	*module = &state;
	return CKR_OK;
}

CK_RV module_leave(CK_RV rv)
{
	pthread_mutex_unlock(&mutex);
	return rv;
}

CK_RV module_enter_slot(CK_SLOT_ID id, struct module **module, struct slot **slot)
{
	CK_RV rv = module_enter(module);
	if (rv != CKR_OK)
		return rv;
	if (id >= (*module)->config.slots)
		return module_leave(CKR_SLOT_ID_INVALID);
	*slot = &(*module)->slots[id];
	return CKR_OK;
}

CK_RV module_enter_token(CK_SLOT_ID id, struct module **module, struct slot **slot)
{
	CK_RV rv = module_enter_slot(id, module, slot);
	if (rv != CKR_OK)
		return rv;
	if ((*module)->fault.device_removed)
		return module_leave(CKR_TOKEN_NOT_PRESENT);
	if ((*module)->fault.device_error)
		return module_leave(CKR_DEVICE_ERROR);
	return CKR_OK;
}

void module_settle(struct slot *slot)
{
	if (!slot->replaced)
		return;
	session_close_slot(slot);
	slot->replaced = false;
}

CK_RV module_enter_session(CK_SESSION_HANDLE handle, struct module **module, struct session **session)
{
	CK_RV rv = module_enter(module);
	if (rv != CKR_OK)
		return rv;
	if ((*module)->fault.device_removed)
		return module_leave(CKR_DEVICE_REMOVED);
	if ((*module)->fault.device_error)
		return module_leave(CKR_DEVICE_ERROR);
	*session = session_get(handle);
	if (*session != NULL && (*session)->slot->replaced) {
		module_settle((*session)->slot);
		*session = NULL;
	}
	return *session == NULL ? module_leave(CKR_SESSION_HANDLE_INVALID) : CKR_OK;
}

void module_work(void)
{
	working++;
	pthread_mutex_unlock(&mutex);
}

void module_done(void)
{
	pthread_mutex_lock(&mutex);
	working--;
	if (working == 0)
		pthread_cond_broadcast(&idle);
}
