#include "sm2_cipher.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <string.h>

enum { COORDINATE = 32, HASH = 32, RAW_HEAD = 1 + 2 * COORDINATE + HASH };

static bool take_coordinate(const uint8_t **p, const uint8_t *end, uint8_t out[COORDINATE])
{
	ASN1_INTEGER *n = d2i_ASN1_INTEGER(NULL, p, end - *p);
	BIGNUM *bn = n == NULL ? NULL : ASN1_INTEGER_to_BN(n, NULL);
	bool ok = bn != NULL && !BN_is_negative(bn) && BN_bn2binpad(bn, out, COORDINATE) == COORDINATE;
	BN_free(bn);
	ASN1_INTEGER_free(n);
	return ok;
}

bool sm2_cipher_to_raw(const uint8_t *der, size_t len, uint8_t **out, size_t *out_len)
{
	const uint8_t *p = der;
	long body = 0;
	int tag = 0, class = 0;
	uint8_t head[RAW_HEAD] = { 4 };
	int form = ASN1_get_object(&p, &body, &tag, &class, (long)len);
	if (form != V_ASN1_CONSTRUCTED || tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL || p + body != der + len)
		return false;
	const uint8_t *end = der + len;
	if (!take_coordinate(&p, end, head + 1) || !take_coordinate(&p, end, head + 1 + COORDINATE))
		return false;
	ASN1_OCTET_STRING *hash = d2i_ASN1_OCTET_STRING(NULL, &p, end - p);
	ASN1_OCTET_STRING *text = hash == NULL ? NULL : d2i_ASN1_OCTET_STRING(NULL, &p, end - p);
	uint8_t *raw = NULL;
	if (text != NULL && p == end && ASN1_STRING_length(hash) == HASH) {
		size_t text_len = (size_t)ASN1_STRING_length(text);
		raw = OPENSSL_malloc(RAW_HEAD + text_len);
		if (raw != NULL) {
			memcpy(head + 1 + 2 * COORDINATE, ASN1_STRING_get0_data(hash), HASH);
			memcpy(raw, head, RAW_HEAD);
			memcpy(raw + RAW_HEAD, ASN1_STRING_get0_data(text), text_len);
			*out = raw;
			*out_len = RAW_HEAD + text_len;
		}
	}
	ASN1_OCTET_STRING_free(hash);
	ASN1_OCTET_STRING_free(text);
	return raw != NULL;
}

static size_t length_size(size_t len)
{
	size_t n = 1;
	if (len >= 128)
		for (; len > 0; len >>= 8)
			n++;
	return n;
}

static uint8_t *put_header(uint8_t *p, uint8_t tag, size_t len)
{
	*p++ = tag;
	size_t n = length_size(len);
	if (n == 1) {
		*p++ = (uint8_t)len;
		return p;
	}
	*p++ = (uint8_t)(0x80 | (n - 1));
	for (size_t i = n - 1; i-- > 0;)
		*p++ = (uint8_t)(len >> (8 * i));
	return p;
}

// integer_size is the content length of the minimal INTEGER; *skip counts the
// leading zeros of the fixed-width form that it leaves out.
static size_t integer_size(const uint8_t value[COORDINATE], size_t *skip)
{
	size_t i = 0;
	while (i < COORDINATE - 1 && value[i] == 0)
		i++;
	*skip = i;
	return COORDINATE - i + (value[i] >> 7);
}

static uint8_t *put_integer(uint8_t *p, const uint8_t value[COORDINATE])
{
	size_t skip, size = integer_size(value, &skip);
	p = put_header(p, 0x02, size);
	if (value[skip] & 0x80)
		*p++ = 0;
	memcpy(p, value + skip, COORDINATE - skip);
	return p + COORDINATE - skip;
}

bool sm2_cipher_to_der(const uint8_t *raw, size_t len, uint8_t **out, size_t *out_len)
{
	if (len <= RAW_HEAD || raw[0] != 4)
		return false;
	const uint8_t *x = raw + 1, *y = x + COORDINATE, *hash = y + COORDINATE, *text = hash + HASH;
	size_t text_len = len - RAW_HEAD, skip;
	size_t body = 2 + integer_size(x, &skip) + 2 + integer_size(y, &skip) + 2 + HASH + 1 + length_size(text_len) + text_len;
	size_t total = 1 + length_size(body) + body;
	uint8_t *der = OPENSSL_malloc(total);
	if (der == NULL)
		return false;
	uint8_t *p = put_header(der, 0x30, body);
	p = put_integer(p, x);
	p = put_integer(p, y);
	p = put_header(p, 0x04, HASH);
	memcpy(p, hash, HASH);
	p = put_header(p + HASH, 0x04, text_len);
	memcpy(p, text, text_len);
	*out = der;
	*out_len = total;
	return true;
}
