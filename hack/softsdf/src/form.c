#include "form.h"

#include <string.h>

static size_t start(const struct config *c)
{
	return c->trailing ? 0 : c->max_bytes - FORM_NUMBER;
}

static void put(const struct config *c, const uint8_t *number, uint8_t *field)
{
	memset(field, 0, c->max_bytes);
	memcpy(field + start(c), number, FORM_NUMBER);
}

static void get(const struct config *c, const uint8_t *field, uint8_t *number)
{
	memcpy(number, field + start(c), FORM_NUMBER);
}

void form_put_public(const struct config *c, const uint8_t point[FORM_POINT], void *out)
{
	uint32_t bits = 256;
	uint8_t *p = out;
	memcpy(p, &bits, sizeof bits);
	put(c, point + 1, p + sizeof bits);
	put(c, point + 1 + FORM_NUMBER, p + sizeof bits + c->max_bytes);
}

void form_get_public(const struct config *c, const void *in, uint8_t point[FORM_POINT])
{
	const uint8_t *p = (const uint8_t *)in + sizeof(uint32_t);
	point[0] = 4;
	get(c, p, point + 1);
	get(c, p + c->max_bytes, point + 1 + FORM_NUMBER);
}

void form_put_signature(const struct config *c, const uint8_t signature[FORM_SIGNATURE], void *out)
{
	put(c, signature, out);
	put(c, signature + FORM_NUMBER, (uint8_t *)out + c->max_bytes);
}

void form_get_signature(const struct config *c, const void *in, uint8_t signature[FORM_SIGNATURE])
{
	get(c, in, signature);
	get(c, (const uint8_t *)in + c->max_bytes, signature + FORM_NUMBER);
}

void form_put_info(const struct config *c, void *out)
{
	struct {
		char issuer[40], name[16], serial[16];
		uint32_t device_version, standard_version, asymmetric[2], symmetric, hash, buffer;
	} info = { .issuer = "Terrace (FOR DEV AND TEST ONLY)", .name = "softsdf DEV", .serial = "0000000000000001",
		   .device_version = 1, .standard_version = 1, .asymmetric = { c->sign_algorithm, 256 }, .hash = 1 };
	memcpy(out, &info, sizeof info);
}
