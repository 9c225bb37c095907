// The numbers of each make. They come from the makers' headers as other projects
// carry them; where a source gives none the mechanism is not offered.
#include "config.h"

#include <string.h>

#define NUMBERS1(a) { .number = { a }, .count = 1 }
#define NUMBERS2(a, b) { .number = { a, b }, .count = 2 }

static const struct profile profiles[] = {
	{
		.name = "sansec",
		.sm2_key_type = 0x80000004,
		.sm4_key_type = 0x80000106,
		.roles = {
			[ROLE_SM2_KEY_PAIR_GEN] = NUMBERS1(0x80008001),
			[ROLE_SM2_SIGN_DIGEST_DER] = NUMBERS1(0x80008104),
			[ROLE_SM2_SIGN_DIGEST_RAW] = NUMBERS1(0x80008105),
			// 8100/8101 do not state the ID, 8102/8103 are "default ID": both use it.
			[ROLE_SM2_SIGN_MESSAGE_RAW] = NUMBERS2(0x80008100, 0x80008102),
			[ROLE_SM2_SIGN_MESSAGE_DER] = NUMBERS2(0x80008101, 0x80008103),
			[ROLE_SM2_ENCRYPT_RAW] = NUMBERS1(0x80008200),
			[ROLE_SM2_ENCRYPT_DER] = NUMBERS1(0x80008201),
			[ROLE_SM3] = NUMBERS1(0x80009001),
			[ROLE_SM4_KEY_GEN] = NUMBERS1(0x80000107),
			[ROLE_SM4_ECB] = NUMBERS1(0x80000108),
			[ROLE_SM4_CBC] = NUMBERS1(0x80000109),
			// The header says A101 where XiPKI says A102; both are free, so both work.
			[ROLE_SM4_ECB_PAD] = NUMBERS2(0x8000A101, 0x8000A102),
			[ROLE_SM4_CBC_PAD] = NUMBERS1(0x8000A201),
		},
		.signature_der = true,
		.cipher_der = true,
		.point_octet = true,
	},
	{
		.name = "tass",
		.sm2_key_type = 0x80000004,
		.sm4_key_type = 0x80000002,
		.roles = {
			[ROLE_SM2_KEY_PAIR_GEN] = NUMBERS1(0x80008001),
			[ROLE_SM2_SIGN_DIGEST] = NUMBERS1(0x80008000),
			[ROLE_SM2_SIGN_MESSAGE] = NUMBERS2(0x80008100, 0x80008101),
			[ROLE_SM2_ENCRYPT] = NUMBERS1(0x80008200),
			[ROLE_SM3] = NUMBERS1(0x80000005),
			[ROLE_SM4_KEY_GEN] = NUMBERS1(0x80000107),
			[ROLE_SM4_ECB] = NUMBERS1(0x80000108),
			[ROLE_SM4_CBC] = NUMBERS1(0x80000109),
			[ROLE_SM4_CBC_PAD] = NUMBERS1(0x8000010C),
		},
		.signature_der = true,
		.private_point = true, // both points bare: see README.md
	},
	{
		.name = "ibm",
		.sm2_key_type = 0x80050002,
		.sm4_key_type = 0x80050001,
		.roles = {
			[ROLE_SM2_KEY_PAIR_GEN] = NUMBERS1(0x8005000A),
			[ROLE_SM2_SIGN_DIGEST] = NUMBERS1(0x8005000B),
			[ROLE_SM2_SIGN_MESSAGE] = NUMBERS2(0x8005000C, 0x8005000F),
			[ROLE_SM2_ENCRYPT] = NUMBERS1(0x8005000D),
			[ROLE_SM3] = NUMBERS1(0x8005000E),
			[ROLE_SM4_KEY_GEN] = NUMBERS1(0x80050001),
			[ROLE_SM4_CBC] = NUMBERS1(0x80050002),
			[ROLE_SM4_ECB] = NUMBERS1(0x80050004),
		},
		.point_octet = true,
	},
	{
		.name = "luna",
		.sm2_key_type = 0x80000016,
		.sm4_key_type = 0x80000015,
		.roles = {
			[ROLE_SM2_KEY_PAIR_GEN] = NUMBERS1(0x80000B20),
			[ROLE_SM2_SIGN_DIGEST] = NUMBERS1(0x80000B21),
			[ROLE_SM2_SIGN_MESSAGE] = NUMBERS1(0x80000B22),
			[ROLE_SM3] = NUMBERS1(0x80000B01),
			[ROLE_SM4_KEY_GEN] = NUMBERS1(0x80000B10),
			[ROLE_SM4_ECB] = NUMBERS1(0x80000B11),
			[ROLE_SM4_CBC] = NUMBERS1(0x80000B12),
			[ROLE_SM4_CBC_PAD] = NUMBERS1(0x80000B13),
		},
		.point_octet = true,
		.require_ec_params = true,
	},
};

static const char *const role_keys[ROLE_COUNT] = {
	[ROLE_SM2_KEY_PAIR_GEN] = "mechanism.sm2-key-pair-gen",
	[ROLE_SM2_SIGN_DIGEST] = "mechanism.sm2-sign-digest",
	[ROLE_SM2_SIGN_DIGEST_RAW] = "mechanism.sm2-sign-digest-raw",
	[ROLE_SM2_SIGN_DIGEST_DER] = "mechanism.sm2-sign-digest-der",
	[ROLE_SM2_SIGN_MESSAGE] = "mechanism.sm2-sign-message",
	[ROLE_SM2_SIGN_MESSAGE_RAW] = "mechanism.sm2-sign-message-raw",
	[ROLE_SM2_SIGN_MESSAGE_DER] = "mechanism.sm2-sign-message-der",
	[ROLE_SM2_ENCRYPT] = "mechanism.sm2-encrypt",
	[ROLE_SM2_ENCRYPT_RAW] = "mechanism.sm2-encrypt-raw",
	[ROLE_SM2_ENCRYPT_DER] = "mechanism.sm2-encrypt-der",
	[ROLE_SM3] = "mechanism.sm3",
	[ROLE_SM4_KEY_GEN] = "mechanism.sm4-key-gen",
	[ROLE_SM4_ECB] = "mechanism.sm4-ecb",
	[ROLE_SM4_ECB_PAD] = "mechanism.sm4-ecb-pad",
	[ROLE_SM4_CBC] = "mechanism.sm4-cbc",
	[ROLE_SM4_CBC_PAD] = "mechanism.sm4-cbc-pad",
};

const struct profile *profile_find(const char *name)
{
	for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}

const char *profile_role_key(enum role role)
{
	return role_keys[role];
}
