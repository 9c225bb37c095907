// The state of the library in this process, and the way in and out of it.
#ifndef SOFTTOKEN_MODULE_H
#define SOFTTOKEN_MODULE_H

#include "fault.h"
#include "session.h"

struct module {
	struct config config;
	struct slot slots[LIMIT_SLOTS];
	struct fault fault;
};

// module_start reads the configuration and opens the slots (C_Initialize).
CK_RV module_start(void);
// module_stop waits for work outside the mutex, then wipes (C_Finalize).
CK_RV module_stop(void);

// module_enter takes the mutex and applies the test hooks; CKR_CRYPTOKI_NOT_INITIALIZED.
CK_RV module_enter(struct module **module);
// module_enter_slot refuses an unknown slot; the device may be removed.
CK_RV module_enter_slot(CK_SLOT_ID id, struct module **module, struct slot **slot);
// module_enter_token also refuses a removed device (CKR_TOKEN_NOT_PRESENT).
CK_RV module_enter_token(CK_SLOT_ID id, struct module **module, struct slot **slot);
// module_enter_session also refuses a handle that is not open.
CK_RV module_enter_session(CK_SESSION_HANDLE handle, struct module **module, struct session **session);
// module_leave releases the mutex and returns rv.
CK_RV module_leave(CK_RV rv);

// module_settle ends the sessions of a token that another process replaced.
void module_settle(struct slot *slot);

// Between module_work and module_done the mutex is free: nothing of the module may
// be touched, and sessions and objects may go. That is where the arithmetic is done.
void module_work(void);
void module_done(void);

#endif
