// The part of the SDF interface (GB/T 36322) that this library exports. The
// structures are written field by field (form.h), since makers' headers differ.
#ifndef SOFTSDF_SDF_H
#define SOFTSDF_SDF_H

#include <stdint.h>

#define SDF_EXPORT __attribute__((visibility("default")))

enum {
	SDR_OK = 0,
	SDR_BASE = 0x01000000,
	SDR_COMMFAIL = SDR_BASE + 0x03,
	SDR_HARDFAIL = SDR_BASE + 0x04,
	SDR_OPENDEVICE = SDR_BASE + 0x05,
	SDR_OPENSESSION = SDR_BASE + 0x06,
	SDR_PARDENY = SDR_BASE + 0x07,
	SDR_KEYNOTEXIST = SDR_BASE + 0x08,
	SDR_ALGNOTSUPPORT = SDR_BASE + 0x09,
	SDR_SIGNERR = SDR_BASE + 0x0D,
	SDR_VERIFYERR = SDR_BASE + 0x0E,
	SDR_STEPERR = SDR_BASE + 0x10,
	SDR_PRKRERR = SDR_BASE + 0x18,
	SDR_NOBUFFER = SDR_BASE + 0x1C,
	SDR_INARGERR = SDR_BASE + 0x1D,
};

SDF_EXPORT int SDF_OpenDevice(void **device);
SDF_EXPORT int SDF_CloseDevice(void *device);
SDF_EXPORT int SDF_OpenSession(void *device, void **session);
SDF_EXPORT int SDF_CloseSession(void *session);
SDF_EXPORT int SDF_GetDeviceInfo(void *session, void *info);
SDF_EXPORT int SDF_GetPrivateKeyAccessRight(void *session, unsigned int index, unsigned char *password, unsigned int len);
SDF_EXPORT int SDF_ReleasePrivateKeyAccessRight(void *session, unsigned int index);
SDF_EXPORT int SDF_ExportSignPublicKey_ECC(void *session, unsigned int index, void *public_key);
SDF_EXPORT int SDF_InternalSign_ECC(void *session, unsigned int index, unsigned char *e, unsigned int len, void *signature);
SDF_EXPORT int SDF_ExternalVerify_ECC(void *session, unsigned int algorithm, void *public_key, unsigned char *e,
				      unsigned int len, void *signature);

#endif
