// What can be chosen: the token directory, limits, and the numbers and forms of
// the make of token that is played.
#ifndef SOFTTOKEN_CONFIG_H
#define SOFTTOKEN_CONFIG_H

#include "cryptoki.h"
#include "limits.h"

#include <stdbool.h>

// A role is what a mechanism number means here. For roles without _RAW or _DER
// the form is that of signature-form or cipher-form.
enum role {
	ROLE_SM2_KEY_PAIR_GEN,
	ROLE_SM2_SIGN_DIGEST, // input: the 32 bytes of e = SM3(Z || M)
	ROLE_SM2_SIGN_DIGEST_RAW,
	ROLE_SM2_SIGN_DIGEST_DER,
	ROLE_SM2_SIGN_MESSAGE, // input: M; Z with the default ID is added here
	ROLE_SM2_SIGN_MESSAGE_RAW,
	ROLE_SM2_SIGN_MESSAGE_DER,
	ROLE_SM2_ENCRYPT,
	ROLE_SM2_ENCRYPT_RAW,
	ROLE_SM2_ENCRYPT_DER,
	ROLE_SM3,
	ROLE_SM4_KEY_GEN,
	ROLE_SM4_ECB,
	ROLE_SM4_ECB_PAD,
	ROLE_SM4_CBC,
	ROLE_SM4_CBC_PAD,
	ROLE_COUNT,
	ROLE_NONE = ROLE_COUNT,
};

enum { CONFIG_NUMBERS = 4 }; // a role may answer to several numbers

struct role_numbers {
	CK_MECHANISM_TYPE number[CONFIG_NUMBERS];
	unsigned count;
};

// A profile is the part that differs between makers (PKCS#11 itself names no SM2).
struct profile {
	const char *name;
	CK_KEY_TYPE sm2_key_type;
	CK_KEY_TYPE sm4_key_type;
	struct role_numbers roles[ROLE_COUNT];
	bool signature_der;     // else raw r || s
	bool cipher_der;        // SM2Cipher of GM/T 0009-2012, else 04 || X || Y || C3 || C2
	bool point_octet;       // CKA_EC_POINT as DER OCTET STRING, else 65 bare bytes
	bool private_point;     // the private key has CKA_EC_POINT too
	bool require_ec_params; // C_GenerateKeyPair refuses a template without them
	bool message_only;      // no mechanism takes a digest, whatever the roles say
	bool session_login;     // each session must log in, not only one of the process
	unsigned refused;       // attributes that no template of a private key may hold, by their bits
};

struct config {
	char dir[LIMIT_PATH - 512]; // leaves room for the names below it
	char file[LIMIT_COPY_NAME + 24]; // of the configuration in dir
	unsigned slots;
	unsigned pin_tries;
	unsigned pin_iterations;
	unsigned max_sessions;
	unsigned sign_delay_us; // that each signature takes, beside its arithmetic
	struct profile profile;
};

// config_load reads TERRACE_SOFTTOKEN_DIR, softtoken.conf in it (softtoken-X.conf
// for a module by the name libterrace-softtoken-X.so), and the environment's overrides. A refusal has been reported in one line.
CK_RV config_load(struct config *config);
// config_refuses says whether a private key's template may not hold an attribute.
bool config_refuses(const struct config *config, CK_ATTRIBUTE_TYPE type);
// config_role returns ROLE_NONE for a number that the profile does not know.
enum role config_role(const struct config *config, CK_MECHANISM_TYPE number);

// profile_find returns NULL for an unknown name.
const struct profile *profile_find(const char *name);
// profile_role_key is the role's key in softtoken.conf.
const char *profile_role_key(enum role role);

#endif
