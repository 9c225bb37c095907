#include "session.h"

#include <openssl/crypto.h>
#include <string.h>

// A handle is the place in the table in its low bits and a running number above,
// so that an old handle never means a new session.
enum { PLACE_BITS = 12 };
_Static_assert(LIMIT_SESSIONS <= 1 << PLACE_BITS, "every place fits");

static struct session *table[LIMIT_SESSIONS];
static CK_SESSION_HANDLE last_number;

CK_RV session_open(struct slot *slot, bool writable, unsigned limit, CK_SESSION_HANDLE *handle)
{
	size_t place = 0;
	while (place < limit && table[place] != NULL)
		place++;
	if (place == limit)
		return CKR_SESSION_COUNT;
	struct session *session = OPENSSL_zalloc(sizeof *session);
	if (session == NULL)
		return CKR_HOST_MEMORY;
	session->handle = ++last_number << PLACE_BITS | place;
	session->slot = slot;
	session->writable = writable;
	table[place] = session;
	*handle = session->handle;
	return CKR_OK;
}

struct session *session_get(CK_SESSION_HANDLE handle)
{
	struct session *session = table[handle & (LIMIT_SESSIONS - 1)];
	return session != NULL && session->handle == handle ? session : NULL;
}

void session_end_find(struct session *session)
{
	OPENSSL_free(session->found);
	session->found = NULL;
	session->found_count = session->found_next = 0;
	session->finding = false;
}

static void destroy(struct session *session)
{
	for (int i = 0; i < DIRECTIONS; i++)
		operation_free(session->active[i]);
	session_end_find(session);
	slot_drop_session_objects(session->slot, session->handle);
	table[session->handle & (LIMIT_SESSIONS - 1)] = NULL;
	OPENSSL_free(session);
}

void session_count(const struct slot *slot, CK_ULONG *all, CK_ULONG *writable)
{
	*all = *writable = 0;
	for (size_t i = 0; i < LIMIT_SESSIONS; i++)
		if (table[i] != NULL && table[i]->slot == slot) {
			(*all)++;
			*writable += table[i]->writable;
		}
}

void session_close(struct session *session)
{
	struct slot *slot = session->slot;
	CK_ULONG all, writable;
	destroy(session);
	session_count(slot, &all, &writable);
	if (all == 0)
		slot_logout(slot);
}

void session_close_slot(struct slot *slot)
{
	for (size_t i = 0; i < LIMIT_SESSIONS; i++)
		if (table[i] != NULL && table[i]->slot == slot)
			destroy(table[i]);
	slot_logout(slot);
}

void session_cancel_private(const struct slot *slot)
{
	for (size_t i = 0; i < LIMIT_SESSIONS; i++) {
		struct session *session = table[i];
		if (session == NULL || session->slot != slot)
			continue;
		session->proven = false;
		for (int k = 0; k < DIRECTIONS; k++)
			if (session->active[k] != NULL && session->active[k]->uses_private) {
				operation_free(session->active[k]);
				session->active[k] = NULL;
			}
		if (session->finding)
			session_end_find(session);
	}
}

bool session_user(const struct session *session)
{
	const struct slot *slot = session->slot;
	return slot->logged_in && slot->user == CKU_USER && (session->proven || !slot->config->profile.session_login);
}

struct object *session_find(struct session *session, CK_OBJECT_HANDLE handle)
{
	struct object *object = slot_find(session->slot, handle);
	return object != NULL && object->private && !session_user(session) ? NULL : object;
}

CK_STATE session_state(const struct session *session)
{
	const struct slot *slot = session->slot;
	if (!slot->logged_in || (slot->user == CKU_USER && !session_user(session)))
		return session->writable ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
	if (slot->user == CKU_SO)
		return CKS_RW_SO_FUNCTIONS;
	return session->writable ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
}

struct operation *session_take(struct session *session, enum direction direction)
{
	struct operation *operation = session->active[direction];
	session->active[direction] = NULL;
	return operation;
}

CK_RV session_put(CK_SESSION_HANDLE handle, struct operation *operation)
{
	struct session *session = session_get(handle);
	if (session == NULL) {
		operation_free(operation);
		return CKR_SESSION_HANDLE_INVALID;
	}
	if (operation->uses_private && !session->slot->logged_in) {
		operation_free(operation);
		return CKR_USER_NOT_LOGGED_IN;
	}
	// A caller that misuses one session from two threads may have begun another.
	operation_free(session->active[operation->direction]);
	session->active[operation->direction] = operation;
	return CKR_OK;
}
