//go:build cgo

package sdf

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sdf {
	int (*OpenDevice)(void **);
	int (*CloseDevice)(void *);
	int (*OpenSession)(void *, void **);
	int (*CloseSession)(void *);
	int (*GetDeviceInfo)(void *, void *);
	int (*GetPrivateKeyAccessRight)(void *, unsigned int, unsigned char *, unsigned int);
	int (*ReleasePrivateKeyAccessRight)(void *, unsigned int);
	int (*ExportSignPublicKey_ECC)(void *, unsigned int, void *);
	int (*InternalSign_ECC)(void *, unsigned int, unsigned char *, unsigned int, void *);
	int (*ExternalVerify_ECC)(void *, unsigned int, void *, unsigned char *, unsigned int, void *);
};

// sdf_load returns NULL, or what is wrong as text for free().
static char *sdf_load(const char *path, struct sdf *f)
{
	static const char *names[] = {
		"SDF_OpenDevice", "SDF_CloseDevice", "SDF_OpenSession", "SDF_CloseSession", "SDF_GetDeviceInfo",
		"SDF_GetPrivateKeyAccessRight", "SDF_ReleasePrivateKeyAccessRight", "SDF_ExportSignPublicKey_ECC",
		"SDF_InternalSign_ECC", "SDF_ExternalVerify_ECC",
	};
	_Static_assert(sizeof names / sizeof *names == sizeof *f / sizeof(void *), "a name for each function");
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		const char *why = dlerror();
		return strdup(why == NULL ? "no reason given" : why);
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		void *function = dlsym(library, names[i]);
		if (function == NULL) {
			char text[128];
			snprintf(text, sizeof text, "it has no function %s", names[i]);
			dlclose(library); // nothing of it has run but its constructors
			return strdup(text);
		}
		memcpy((char *)f + i * sizeof function, &function, sizeof function);
	}
	return NULL;
}

// Handles pass through Go as numbers: what a library calls a pointer may be none,
// and the garbage collector stops at such values.
static int sdf_open_device(struct sdf *f, uintptr_t *device)
{
	void *p = NULL;
	int code = f->OpenDevice(&p);
	*device = (uintptr_t)p;
	return code;
}
static int sdf_close_device(struct sdf *f, uintptr_t device) { return f->CloseDevice((void *)device); }
static int sdf_open_session(struct sdf *f, uintptr_t device, uintptr_t *session)
{
	void *p = NULL;
	int code = f->OpenSession((void *)device, &p);
	*session = (uintptr_t)p;
	return code;
}
static int sdf_close_session(struct sdf *f, uintptr_t session) { return f->CloseSession((void *)session); }
static int sdf_info(struct sdf *f, uintptr_t session, void *info) { return f->GetDeviceInfo((void *)session, info); }
static int sdf_right(struct sdf *f, uintptr_t session, unsigned int index, void *password, unsigned int len)
{
	return f->GetPrivateKeyAccessRight((void *)session, index, password, len);
}
static int sdf_release(struct sdf *f, uintptr_t session, unsigned int index)
{
	return f->ReleasePrivateKeyAccessRight((void *)session, index);
}
static int sdf_export(struct sdf *f, uintptr_t session, unsigned int index, void *key)
{
	return f->ExportSignPublicKey_ECC((void *)session, index, key);
}
static int sdf_sign(struct sdf *f, uintptr_t session, unsigned int index, void *e, unsigned int len, void *signature)
{
	return f->InternalSign_ECC((void *)session, index, e, len, signature);
}
static int sdf_verify(struct sdf *f, uintptr_t session, unsigned int algorithm, void *key, void *e, unsigned int len, void *signature)
{
	return f->ExternalVerify_ECC((void *)session, algorithm, key, e, len, signature);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// functions are those of one loaded library. It stays loaded for the life of the
// process: makers' libraries leave threads and exit handlers behind, which crash
// the process when their code is unmapped.
type functions struct{ c *C.struct_sdf }

func load(path string) (functions, error) {
	c := (*C.struct_sdf)(C.calloc(1, C.sizeof_struct_sdf))
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if text := C.sdf_load(name, c); text != nil {
		defer C.free(unsafe.Pointer(text))
		C.free(unsafe.Pointer(c))
		return functions{}, errors.New(C.GoString(text))
	}
	return functions{c}, nil
}

// result names the function in an error that wraps its Code.
func result(function string, code C.int) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("SDF_%s: %w", function, Code(uint32(code)))
}

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func (f functions) openDevice() (uintptr, error) {
	var device C.uintptr_t
	err := result("OpenDevice", C.sdf_open_device(f.c, &device))
	return uintptr(device), err
}

func (f functions) closeDevice(device uintptr) error {
	return result("CloseDevice", C.sdf_close_device(f.c, C.uintptr_t(device)))
}

func (f functions) openSession(device uintptr) (uintptr, error) {
	var session C.uintptr_t
	err := result("OpenSession", C.sdf_open_session(f.c, C.uintptr_t(device), &session))
	return uintptr(session), err
}

func (f functions) closeSession(session uintptr) error {
	return result("CloseSession", C.sdf_close_session(f.c, C.uintptr_t(session)))
}

// deviceInfo, exportPublicKey and sign return a structure in a buffer of structBytes.
func (f functions) deviceInfo(session uintptr) ([]byte, error) {
	info := make([]byte, structBytes)
	err := result("GetDeviceInfo", C.sdf_info(f.c, C.uintptr_t(session), pointer(info)))
	return info, err
}

func (f functions) accessRight(session uintptr, index uint32, password []byte) error {
	return result("GetPrivateKeyAccessRight", C.sdf_right(f.c, C.uintptr_t(session), C.uint(index), pointer(password), C.uint(len(password))))
}

func (f functions) releaseRight(session uintptr, index uint32) error {
	return result("ReleasePrivateKeyAccessRight", C.sdf_release(f.c, C.uintptr_t(session), C.uint(index)))
}

func (f functions) exportPublicKey(session uintptr, index uint32) ([]byte, error) {
	key := make([]byte, structBytes)
	err := result("ExportSignPublicKey_ECC", C.sdf_export(f.c, C.uintptr_t(session), C.uint(index), pointer(key)))
	return key, err
}

func (f functions) sign(session uintptr, index uint32, e []byte) ([]byte, error) {
	signature := make([]byte, structBytes)
	err := result("InternalSign_ECC", C.sdf_sign(f.c, C.uintptr_t(session), C.uint(index), pointer(e), C.uint(len(e)), pointer(signature)))
	return signature, err
}

func (f functions) verify(session uintptr, algorithm uint32, key, e, signature []byte) error {
	return result("ExternalVerify_ECC", C.sdf_verify(f.c, C.uintptr_t(session), C.uint(algorithm), pointer(key), pointer(e), C.uint(len(e)), pointer(signature)))
}
