// New key objects from a caller's template.
#ifndef SOFTTOKEN_KEY_H
#define SOFTTOKEN_KEY_H

#include "config.h"
#include "object.h"

// key_new makes an object of kind with the template's attributes and the fixed
// ones (a secret is sensitive and never leaves). The caller then fills in the key
// itself and calls object_complete.
CK_RV key_new(const struct config *config, enum key_kind kind, bool local, const CK_ATTRIBUTE *template, CK_ULONG count,
	      struct object **out);

#endif
