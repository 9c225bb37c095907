// The structures of SDF as bytes: ECCrefPublicKey, ECCSignature, DEVICEINFO.
#ifndef SOFTSDF_FORM_H
#define SOFTSDF_FORM_H

#include "config.h"

#include <stddef.h>

enum { FORM_NUMBER = 32, FORM_POINT = 65, FORM_SIGNATURE = 64 };

// Points are 04 || X || Y, signatures r || s, as in the software token's sm2.h.
void form_put_public(const struct config *c, const uint8_t point[FORM_POINT], void *out);
void form_get_public(const struct config *c, const void *in, uint8_t point[FORM_POINT]);
void form_put_signature(const struct config *c, const uint8_t signature[FORM_SIGNATURE], void *out);
void form_get_signature(const struct config *c, const void *in, uint8_t signature[FORM_SIGNATURE]);
void form_put_info(const struct config *c, void *out);

#endif
