// Sessions and what is active in them. The module's mutex guards all of it.
#ifndef SOFTTOKEN_SESSION_H
#define SOFTTOKEN_SESSION_H

#include "operation.h"
#include "slot.h"

struct session {
	CK_SESSION_HANDLE handle;
	struct slot *slot;
	bool writable;
	bool proven; // C_Login succeeded in it
	struct operation *active[DIRECTIONS];
	bool finding;
	CK_OBJECT_HANDLE *found; // what C_FindObjects has still to return
	size_t found_count;
	size_t found_next;
};

// session_open returns CKR_SESSION_COUNT at the limit.
CK_RV session_open(struct slot *slot, bool writable, unsigned limit, CK_SESSION_HANDLE *handle);
// session_get returns NULL for a handle that is not open.
struct session *session_get(CK_SESSION_HANDLE handle);
// session_close ends one session; the last one of a slot takes the login with it.
void session_close(struct session *session);
void session_close_slot(struct slot *slot);
void session_count(const struct slot *slot, CK_ULONG *all, CK_ULONG *writable);
// session_cancel_private ends what uses private objects: the login has ended.
void session_cancel_private(const struct slot *slot);
// session_user: the user is logged in, as far as this session is concerned.
bool session_user(const struct session *session);
// session_find returns NULL for an unknown handle and for a private object that
// the login state hides from this session.
struct object *session_find(struct session *session, CK_OBJECT_HANDLE handle);
CK_STATE session_state(const struct session *session);

// session_take hands the active operation to the caller, who runs it without the
// mutex; a second thread on the same session meanwhile sees none. NULL: none.
struct operation *session_take(struct session *session, enum direction direction);
// session_put gives it back to go on; when the session has gone it is freed and
// CKR_SESSION_HANDLE_INVALID comes back.
CK_RV session_put(CK_SESSION_HANDLE handle, struct operation *operation);
void session_end_find(struct session *session);

#endif
