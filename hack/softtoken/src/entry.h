// What the entry points of several operations have in common.
#ifndef SOFTTOKEN_ENTRY_H
#define SOFTTOKEN_ENTRY_H

#include "module.h"

// entry_begin is C_SignInit, C_VerifyInit, C_EncryptInit and C_DecryptInit.
CK_RV entry_begin(CK_SESSION_HANDLE handle, enum direction direction, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);

#endif
