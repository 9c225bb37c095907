#include "text.h"

#include <string.h>

void text_pad(unsigned char *field, size_t len, const char *text)
{
	size_t have = strlen(text);
	memset(field, ' ', len);
	memcpy(field, text, have < len ? have : len);
}
