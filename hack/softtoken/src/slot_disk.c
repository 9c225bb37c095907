// The token objects of a slot on disk, shared with other processes.
#include "file.h"
#include "object_file.h"
#include "provider.h"
#include "report.h"
#include "slot_objects.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

static bool is_object_name(const char *name)
{
	return strlen(name) == OBJECT_NAME && strncmp(name, "obj-", 4) == 0 &&
	       strspn(name + 4, "0123456789abcdef") == OBJECT_NAME - 4;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static struct object *find_part(struct slot *slot, const char *name, uint8_t part)
{
	for (size_t i = 0; i < slot->count; i++)
		if (slot->objects[i]->part == part && strcmp(slot->objects[i]->name, name) == 0)
			return slot->objects[i];
	return NULL;
}

// adopt puts a freshly read object in the place of the older copy, which keeps its
// handle, or appends it.
static CK_RV adopt(struct slot *slot, struct object *object)
{
	struct object *old = find_part(slot, object->name, object->part);
	CK_RV rv = object_complete(object, slot->config);
	if (rv == CKR_OK && old == NULL)
		rv = slot_reserve(slot, 1);
	if (rv != CKR_OK) {
		object_free(object);
		return rv;
	}
	if (old == NULL) {
		slot_append(slot, object);
		return CKR_OK;
	}
	object->handle = old->handle;
	struct object swap = *old;
	*old = *object;
	*object = swap;
	OPENSSL_cleanse(&swap, sizeof swap);
	object_free(object);
	return CKR_OK;
}

static CK_RV read_object_file(struct slot *slot, const char *name, const struct stat *st)
{
	struct object_file file;
	CK_RV rv = CKR_OK;
	if (object_file_read(slot->dir, name, &file) != CKR_OK)
		return CKR_OK; // reported; the other objects stay usable
	// A file of an older instance is what a crash inside C_InitToken left.
	bool ours = memcmp(file.instance, slot->instance, TOKEN_INSTANCE) == 0;
	bool user = slot->logged_in && slot->user == CKU_USER;
	for (unsigned i = 0; ours && rv == CKR_OK && i < file.count; i++) {
		const struct section *section = &file.section[i];
		if (section->sealed && !user)
			continue;
		struct object *object = object_file_get(&file, name, section, slot->master);
		if (object == NULL) {
			report("read object %s/%s: section %u is damaged", slot->dir, name, section->part);
			continue;
		}
		object->seen = *st;
		rv = adopt(slot, object);
	}
	object_file_clear(&file);
	return rv;
}

// needs_reading: some half of the file is unknown, hidden so far, or older.
static bool needs_reading(struct slot *slot, const char *name, const struct stat *st)
{
	unsigned known = 0;
	for (size_t i = 0; i < slot->count; i++) {
		if (strcmp(slot->objects[i]->name, name) != 0)
			continue;
		if (!same_file(&slot->objects[i]->seen, st))
			return true;
		known++;
	}
	return known < SECTIONS;
}

static bool is_gone(const struct object *object, const void *argument)
{
	const struct slot *slot = argument;
	char path[LIMIT_PATH];
	struct stat st;
	if (!object->token)
		return false;
	snprintf(path, sizeof path, "%s/%s", slot->dir, object->name);
	// A half that was destroyed leaves a file that the copy here was not read from.
	return stat(path, &st) != 0 || !same_file(&st, &object->seen);
}

static CK_RV scan(struct slot *slot)
{
	DIR *dir = opendir(slot->dir);
	CK_RV rv = CKR_OK;
	if (dir == NULL) {
		report("list %s: %s", slot->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	for (struct dirent *entry; rv == CKR_OK && (entry = readdir(dir)) != NULL;) {
		char path[LIMIT_PATH];
		struct stat st;
		if (!is_object_name(entry->d_name))
			continue;
		snprintf(path, sizeof path, "%s/%s", slot->dir, entry->d_name);
		if (stat(path, &st) == 0 && needs_reading(slot, entry->d_name, &st))
			rv = read_object_file(slot, entry->d_name, &st);
	}
	closedir(dir);
	slot_remove_if(slot, is_gone, slot);
	return rv;
}

static CK_RV refresh_locked(struct slot *slot, const struct lock *lock)
{
	struct token token;
	if (slot->fresh && slot->generation == lock->generation)
		return CKR_OK;
	CK_RV rv = token_read(slot->dir, &token);
	if (rv != CKR_OK)
		return rv;
	if (token.initialized != slot->present || memcmp(token.instance, slot->instance, TOKEN_INSTANCE) != 0) {
		slot->replaced = slot->replaced || slot->present;
		slot_logout(slot);
		slot_remove_all(slot);
		slot->present = token.initialized;
		memcpy(slot->instance, token.instance, TOKEN_INSTANCE);
	}
	rv = slot->present ? scan(slot) : CKR_OK;
	slot->fresh = rv == CKR_OK;
	slot->generation = lock->generation;
	return rv;
}

CK_RV slot_refresh(struct slot *slot)
{
	struct lock lock;
	if (!lock_take(&lock, slot->dir, LOCK_SHARED)) {
		report("lock %s: %s", slot->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	CK_RV rv = refresh_locked(slot, &lock);
	lock_release(&lock);
	return rv;
}

// begin_change locks, brings the copy up to date and announces a change. The copy
// then counts as fresh for the new generation, since the change is ours.
static CK_RV begin_change(struct slot *slot, struct lock *lock)
{
	if (!lock_take(lock, slot->dir, LOCK_EXCLUSIVE)) {
		report("lock %s: %s", slot->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	CK_RV rv = refresh_locked(slot, lock);
	if (rv == CKR_OK && (slot->replaced || !slot->present))
		rv = CKR_DEVICE_REMOVED; // another process put in a new token meanwhile
	if (rv == CKR_OK && !lock_bump(lock)) {
		report("announce a change of %s: %s", slot->dir, strerror(errno));
		rv = CKR_DEVICE_ERROR;
	}
	if (rv != CKR_OK)
		lock_release(lock);
	else
		slot->generation = lock->generation;
	return rv;
}

static CK_RV stat_object(struct slot *slot, const char *name, struct stat *st)
{
	char path[LIMIT_PATH];
	snprintf(path, sizeof path, "%s/%s", slot->dir, name);
	return stat(path, st) == 0 ? CKR_OK : CKR_DEVICE_ERROR;
}

// mark_seen notes that the copies here are those of the file as it now is.
static void mark_seen(struct slot *slot, const char *name)
{
	struct stat st;
	if (stat_object(slot, name, &st) != CKR_OK) {
		slot->fresh = false;
		return;
	}
	for (size_t i = 0; i < slot->count; i++)
		if (slot->objects[i]->token && strcmp(slot->objects[i]->name, name) == 0)
			slot->objects[i]->seen = st;
}

static CK_RV add_on_disk(struct slot *slot, struct object *const *objects, size_t count)
{
	struct lock lock;
	struct object_file file = { .count = 0 };
	uint8_t random[(OBJECT_NAME - 4) / 2];
	char name[OBJECT_NAME + 1] = "obj-";
	if (!provider_random(random, sizeof random))
		return CKR_FUNCTION_FAILED;
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(name + 4 + 2 * i, 3, "%02x", random[i]);
	CK_RV rv = begin_change(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	// begin_change may have reloaded: only now is the room certain.
	rv = slot_reserve(slot, count);
	memcpy(file.instance, slot->instance, TOKEN_INSTANCE);
	for (size_t i = 0; rv == CKR_OK && i < count; i++) {
		memcpy(objects[i]->name, name, sizeof name);
		objects[i]->part = (uint8_t)i;
		rv = object_file_put(&file, objects[i], slot->master);
	}
	if (rv == CKR_OK)
		rv = object_file_write(slot->dir, name, &file);
	if (rv == CKR_OK) {
		for (size_t i = 0; i < count; i++)
			slot_append(slot, objects[i]);
		mark_seen(slot, name);
	}
	object_file_clear(&file);
	lock_release(&lock);
	return rv;
}

CK_RV slot_add(struct slot *slot, struct object *const *objects, size_t count)
{
	if (objects[0]->token)
		return add_on_disk(slot, objects, count);
	CK_RV rv = slot_reserve(slot, count);
	for (size_t i = 0; rv == CKR_OK && i < count; i++)
		slot_append(slot, objects[i]);
	return rv;
}

static CK_RV change_file(struct slot *slot, const struct object *object, bool keep)
{
	struct object_file file;
	CK_RV rv = object_file_read(slot->dir, object->name, &file);
	if (rv != CKR_OK)
		return rv;
	if (keep)
		rv = object_file_put(&file, object, slot->master);
	else
		object_file_drop(&file, object->part);
	if (rv == CKR_OK && file.count > 0) {
		rv = object_file_write(slot->dir, object->name, &file);
	} else if (rv == CKR_OK && !file_remove(slot->dir, object->name)) {
		report("remove object %s/%s: %s", slot->dir, object->name, strerror(errno));
		rv = CKR_DEVICE_ERROR;
	}
	object_file_clear(&file);
	return rv;
}

static CK_RV set_all(struct object *object, const CK_ATTRIBUTE *template, CK_ULONG count)
{
	CK_RV rv = CKR_OK;
	for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
		rv = attributes_set(&object->attributes, template[i].type, template[i].pValue, template[i].ulValueLen);
	return rv;
}

CK_RV slot_modify(struct slot *slot, CK_OBJECT_HANDLE handle, const CK_ATTRIBUTE *template, CK_ULONG count)
{
	struct lock lock;
	struct object *object = slot_find(slot, handle);
	if (object == NULL)
		return CKR_OBJECT_HANDLE_INVALID;
	if (!object->token)
		return set_all(object, template, count);
	CK_RV rv = begin_change(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	object = slot_find(slot, handle); // begin_change may have reloaded
	if (object == NULL) {
		lock_release(&lock);
		return CKR_OBJECT_HANDLE_INVALID;
	}
	rv = set_all(object, template, count);
	if (rv == CKR_OK)
		rv = change_file(slot, object, true);
	if (rv == CKR_OK) {
		mark_seen(slot, object->name);
	} else {
		memset(&object->seen, 0, sizeof object->seen); // read it again from disk
		slot->fresh = false;
	}
	lock_release(&lock);
	return rv;
}

static bool is_same(const struct object *object, const void *argument)
{
	return object->handle == *(const CK_OBJECT_HANDLE *)argument;
}

CK_RV slot_destroy(struct slot *slot, CK_OBJECT_HANDLE handle)
{
	struct lock lock;
	struct stat st;
	struct object *object = slot_find(slot, handle);
	if (object == NULL)
		return CKR_OBJECT_HANDLE_INVALID;
	if (!object->token) {
		slot_remove_if(slot, is_same, &handle);
		return CKR_OK;
	}
	CK_RV rv = begin_change(slot, &lock);
	if (rv != CKR_OK)
		return rv;
	object = slot_find(slot, handle); // begin_change may have reloaded
	rv = object == NULL ? CKR_OBJECT_HANDLE_INVALID : change_file(slot, object, false);
	if (rv == CKR_OK) {
		char name[OBJECT_NAME + 1];
		memcpy(name, object->name, sizeof name);
		slot_remove_if(slot, is_same, &handle);
		if (stat_object(slot, name, &st) == CKR_OK)
			mark_seen(slot, name); // of the other half
	}
	lock_release(&lock);
	return rv;
}

CK_RV slot_reset(struct slot *slot, const uint8_t label[TOKEN_LABEL], const uint8_t *pin, size_t pin_len)
{
	struct lock lock;
	if (!lock_take(&lock, slot->dir, LOCK_EXCLUSIVE)) {
		report("lock %s: %s", slot->dir, strerror(errno));
		return CKR_DEVICE_ERROR;
	}
	CK_RV rv = lock_bump(&lock) ? token_init(slot->config, slot->dir, label, pin, pin_len) : CKR_DEVICE_ERROR;
	if (rv == CKR_OK) {
		// The old objects are lost already: their master key is gone. If we die
		// here their files stay, of an older instance, and are ignored.
		slot_logout(slot);
		slot_remove_all(slot);
		slot->present = false;
		slot->fresh = false;
		DIR *dir = opendir(slot->dir);
		for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
			if (is_object_name(entry->d_name))
				file_remove(slot->dir, entry->d_name);
		if (dir != NULL)
			closedir(dir);
	}
	if (rv == CKR_OK)
		rv = refresh_locked(slot, &lock);
	lock_release(&lock);
	return rv;
}
