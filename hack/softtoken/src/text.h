// What the module says of itself: blank-padded fields, never NUL-terminated.
#ifndef SOFTTOKEN_TEXT_H
#define SOFTTOKEN_TEXT_H

#include <stddef.h>

#define TEXT_MANUFACTURER "Terrace (FOR DEV AND TEST ONLY)"
#define TEXT_DESCRIPTION "DEV/TEST soft token, uncertified"
#define TEXT_MODEL "softtoken DEV"

enum { TEXT_VERSION_MAJOR = 1, TEXT_VERSION_MINOR = 0 };

// text_pad cuts text at len bytes.
void text_pad(unsigned char *field, size_t len, const char *text);

#endif
