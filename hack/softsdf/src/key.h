// Keys at indexes: dir/sign-<index>.pem, an encrypted PKCS#8 private key, and
// dir/sign-<index>.pub, its public key; both PEM, so that openssl is the maker's tool.
#ifndef SOFTSDF_KEY_H
#define SOFTSDF_KEY_H

#include "form.h"

#include <openssl/evp.h>

// key_public reads the point; SDR_OK, SDR_KEYNOTEXIST or SDR_HARDFAIL.
int key_public(const char *dir, unsigned index, uint8_t point[FORM_POINT]);
// key_private opens the private key; SDR_PRKRERR when the password is wrong,
// SDR_PARDENY when the index is locked: tries wrong ones in a row lock it, counted
// in dir/sign-<index>.failures before the password is looked at. The caller frees *key.
int key_private(const char *dir, unsigned index, const char *password, size_t len, unsigned tries, EVP_PKEY **key);

#endif
