// The PKCS#11 2.40 declarations, with the functions exported from this module:
// everything else is compiled with hidden visibility.
#ifndef SOFTTOKEN_CRYPTOKI_H
#define SOFTTOKEN_CRYPTOKI_H

#pragma GCC visibility push(default)
#include <p11-kit/pkcs11.h>
#pragma GCC visibility pop

#endif
