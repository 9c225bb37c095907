// The array of objects of a slot, for slot.c and slot_disk.c alone.
#ifndef SOFTTOKEN_SLOT_OBJECTS_H
#define SOFTTOKEN_SLOT_OBJECTS_H

#include "slot.h"

// slot_reserve makes room, so that slot_append cannot fail.
CK_RV slot_reserve(struct slot *slot, size_t more);
// slot_append gives the object a new handle.
void slot_append(struct slot *slot, struct object *object);
// slot_remove_if frees every object for which match is true.
void slot_remove_if(struct slot *slot, bool (*match)(const struct object *, const void *), const void *argument);
void slot_remove_all(struct slot *slot);

#endif
