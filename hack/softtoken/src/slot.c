#include "slot.h"

#include "file.h"
#include "report.h"
#include "slot_objects.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

// Handles are unique over all slots and never used again in this process.
static CK_OBJECT_HANDLE last_handle;

CK_RV slot_open(struct slot *slot, const struct config *config, CK_SLOT_ID id)
{
	memset(slot, 0, sizeof *slot);
	slot->id = id;
	slot->config = config;
	int n = snprintf(slot->dir, sizeof slot->dir, "%s/slot-%lu", config->dir, id);
	if (n < 0 || n >= (int)sizeof slot->dir || !file_make_dir(slot->dir)) {
		report("open slot %lu: make directory %s: %s", id, slot->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	return slot_refresh(slot);
}

void slot_close(struct slot *slot)
{
	slot_remove_all(slot);
	OPENSSL_free(slot->objects);
	OPENSSL_cleanse(slot, sizeof *slot);
}

CK_RV slot_reserve(struct slot *slot, size_t more)
{
	if (slot->count + more > LIMIT_OBJECTS)
		return CKR_DEVICE_MEMORY;
	if (slot->count + more <= slot->capacity)
		return CKR_OK;
	size_t capacity = slot->capacity * 2 + more;
	struct object **grown = OPENSSL_realloc(slot->objects, capacity * sizeof *grown);
	if (grown == NULL)
		return CKR_HOST_MEMORY;
	slot->objects = grown;
	slot->capacity = capacity;
	return CKR_OK;
}

void slot_append(struct slot *slot, struct object *object)
{
	object->handle = ++last_handle;
	slot->objects[slot->count++] = object;
}

void slot_remove_if(struct slot *slot, bool (*match)(const struct object *, const void *), const void *argument)
{
	size_t kept = 0;
	for (size_t i = 0; i < slot->count; i++) {
		if (match(slot->objects[i], argument))
			object_free(slot->objects[i]);
		else
			slot->objects[kept++] = slot->objects[i];
	}
	slot->count = kept;
}

static bool any(const struct object *object, const void *argument)
{
	(void)object;
	(void)argument;
	return true;
}

void slot_remove_all(struct slot *slot)
{
	slot_remove_if(slot, any, NULL);
}

static bool is_private(const struct object *object, const void *argument)
{
	(void)argument;
	return object->private;
}

static bool is_owned_by(const struct object *object, const void *argument)
{
	return !object->token && object->owner == *(const CK_SESSION_HANDLE *)argument;
}

void slot_drop_session_objects(struct slot *slot, CK_SESSION_HANDLE owner)
{
	slot_remove_if(slot, is_owned_by, &owner);
}

void slot_withdraw(struct slot *slot, const struct object *object)
{
	size_t kept = 0;
	for (size_t i = 0; i < slot->count; i++)
		if (slot->objects[i] != object)
			slot->objects[kept++] = slot->objects[i];
	slot->count = kept;
}

CK_RV slot_token(struct slot *slot, struct token *token)
{
	struct lock lock;
	if (!lock_take(&lock, slot->dir, LOCK_SHARED)) {
		report("lock %s: %s", slot->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	CK_RV rv = token_read(slot->dir, token);
	lock_release(&lock);
	return rv;
}

// take_exclusive locks the directory for PIN changes, which readers do not copy.
static CK_RV take_exclusive(struct slot *slot, struct lock *lock)
{
	if (lock_take(lock, slot->dir, LOCK_EXCLUSIVE))
		return CKR_OK;
	report("lock %s: %s", slot->dir, strerror(errno));
	return CKR_DEVICE_ERROR;
}

CK_RV slot_login(struct slot *slot, CK_USER_TYPE user, const uint8_t *pin, size_t pin_len)
{
	struct lock lock;
	if (slot->logged_in)
		return slot->user == user ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
	CK_RV rv = take_exclusive(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	rv = token_unlock(slot->config, slot->dir, user, pin, pin_len, slot->master);
	lock_release(&lock);
	if (rv != CKR_OK)
		return rv;
	slot->logged_in = true;
	slot->user = user;
	slot->fresh = false; // the private objects are still to be read
	return CKR_OK;
}

CK_RV slot_prove(struct slot *slot, CK_USER_TYPE user, const uint8_t *pin, size_t pin_len)
{
	struct lock lock;
	uint8_t master[MASTER_KEY];
	CK_RV rv = take_exclusive(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	rv = token_unlock(slot->config, slot->dir, user, pin, pin_len, master);
	lock_release(&lock);
	OPENSSL_cleanse(master, sizeof master);
	return rv;
}

void slot_logout(struct slot *slot)
{
	slot_remove_if(slot, is_private, NULL);
	OPENSSL_cleanse(slot->master, sizeof slot->master);
	slot->logged_in = false;
}

CK_RV slot_init_pin(struct slot *slot, const uint8_t *pin, size_t pin_len)
{
	struct lock lock;
	CK_RV rv = take_exclusive(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	rv = token_set_pin(slot->config, slot->dir, CKU_USER, pin, pin_len, slot->master);
	lock_release(&lock);
	return rv;
}

CK_RV slot_change_pin(struct slot *slot, CK_USER_TYPE user, const uint8_t *old_pin, size_t old_len,
		      const uint8_t *new_pin, size_t new_len)
{
	struct lock lock;
	uint8_t master[MASTER_KEY];
	if (new_pin == NULL || new_len < LIMIT_PIN_MIN || new_len > LIMIT_PIN_MAX)
		return CKR_PIN_LEN_RANGE; // before a try is spent
	CK_RV rv = take_exclusive(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	rv = token_unlock(slot->config, slot->dir, user, old_pin, old_len, master);
	if (rv == CKR_OK)
		rv = token_set_pin(slot->config, slot->dir, user, new_pin, new_len, master);
	OPENSSL_cleanse(master, sizeof master);
	lock_release(&lock);
	return rv;
}

bool slot_sees(const struct slot *slot, const struct object *object)
{
	return !object->private || (slot->logged_in && slot->user == CKU_USER);
}

struct object *slot_find(struct slot *slot, CK_OBJECT_HANDLE handle)
{
	size_t low = 0, high = slot->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (slot->objects[middle]->handle < handle)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == slot->count || slot->objects[low]->handle != handle || !slot_sees(slot, slot->objects[low]))
		return NULL;
	return slot->objects[low];
}
