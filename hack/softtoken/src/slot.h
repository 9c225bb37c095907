// A slot in this process: its login state and its copy of the token's objects.
// The module's mutex guards all of it.
#ifndef SOFTTOKEN_SLOT_H
#define SOFTTOKEN_SLOT_H

#include "object.h"
#include "token.h"

struct slot {
	CK_SLOT_ID id;
	const struct config *config;
	char dir[LIMIT_PATH - 400];

	uint8_t instance[TOKEN_INSTANCE]; // of the token that was last seen
	bool present;                     // that token is initialized
	uint64_t generation;              // of the copy below
	bool fresh;                       // the copy is that of generation
	bool replaced;                    // by another process: the sessions are void

	bool logged_in;
	CK_USER_TYPE user;
	uint8_t master[MASTER_KEY]; // while logged in

	struct object **objects; // by ascending handle
	size_t count;
	size_t capacity;
};

CK_RV slot_open(struct slot *slot, const struct config *config, CK_SLOT_ID id);
void slot_close(struct slot *slot);

// slot_refresh takes over what other processes changed.
CK_RV slot_refresh(struct slot *slot);
// slot_reset re-initializes the token (C_InitToken).
CK_RV slot_reset(struct slot *slot, const uint8_t label[TOKEN_LABEL], const uint8_t *pin, size_t pin_len);
CK_RV slot_token(struct slot *slot, struct token *token);

CK_RV slot_login(struct slot *slot, CK_USER_TYPE user, const uint8_t *pin, size_t pin_len);
// slot_prove checks the PIN of a user who is logged in already.
CK_RV slot_prove(struct slot *slot, CK_USER_TYPE user, const uint8_t *pin, size_t pin_len);
// slot_logout drops the master key and every private object.
void slot_logout(struct slot *slot);
CK_RV slot_init_pin(struct slot *slot, const uint8_t *pin, size_t pin_len);
CK_RV slot_change_pin(struct slot *slot, CK_USER_TYPE user, const uint8_t *old_pin, size_t old_len,
		      const uint8_t *new_pin, size_t new_len);

// slot_find returns NULL for an unknown handle and for a private object that the
// login state hides.
struct object *slot_find(struct slot *slot, CK_OBJECT_HANDLE handle);
bool slot_sees(const struct slot *slot, const struct object *object);
// slot_add makes 1 or 2 objects real, token objects in one file; on success the
// slot owns them.
CK_RV slot_add(struct slot *slot, struct object *const *objects, size_t count);
// slot_withdraw takes a session object out again and gives it back to the caller.
void slot_withdraw(struct slot *slot, const struct object *object);
// slot_modify sets attributes that the caller has checked. A token object's file
// is wholly changed or, on failure, as before.
CK_RV slot_modify(struct slot *slot, CK_OBJECT_HANDLE handle, const CK_ATTRIBUTE *template, CK_ULONG count);
CK_RV slot_destroy(struct slot *slot, CK_OBJECT_HANDLE handle);
// slot_drop_session_objects forgets the objects of a session that ends.
void slot_drop_session_objects(struct slot *slot, CK_SESSION_HANDLE owner);

#endif
