// What every test of the module uses. The module is loaded by dlopen, as a client
// would, so only what it exports can be tested.
#ifndef SOFTTOKEN_HARNESS_H
#define SOFTTOKEN_HARNESS_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

extern CK_FUNCTION_LIST *p11;
extern char token_dir[256]; // of the running test
extern const char *module_path;

void fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, "not true: %s", #condition))
#define RV(want, call) check_rv(__FILE__, __LINE__, #call, want, call)
#define OK(call) RV(CKR_OK, call)
void check_rv(const char *file, int line, const char *call, CK_RV want, CK_RV got);

enum { USER_PIN_LEN = 8, SO_PIN_LEN = 8 };
#define USER_PIN ((unsigned char *)"12345678")
#define SO_PIN ((unsigned char *)"so-12345")

// The numbers of the default profile.
enum {
	SANSEC_KEY_PAIR_GEN = 0x80008001,
	SANSEC_DIGEST_DER = 0x80008104,
	SANSEC_DIGEST_RAW = 0x80008105,
	SANSEC_MESSAGE_RAW = 0x80008102,
	SANSEC_MESSAGE_DER = 0x80008103,
	SANSEC_ENCRYPT_RAW = 0x80008200,
	SANSEC_ENCRYPT_DER = 0x80008201,
	SANSEC_SM3 = 0x80009001,
	SANSEC_SM4_KEY_GEN = 0x80000107,
	SANSEC_SM4_ECB = 0x80000108,
	SANSEC_SM4_CBC = 0x80000109,
	SANSEC_SM4_CBC_PAD = 0x8000A201,
};

// set and file choose what the module reads at its next C_Initialize; the harness
// clears both between tests.
void set_env(const char *key, const char *value);
void write_file(const char *name, const char *content);
void remove_file(const char *name);

void start(void); // C_Initialize with OS locking
void stop(void);
void restart(void);
void init_token(CK_SLOT_ID slot, const char *label); // with both PINs
CK_SESSION_HANDLE open_session(CK_SLOT_ID slot, bool writable);
CK_SESSION_HANDLE login(CK_SLOT_ID slot); // an RW session, logged in
CK_FLAGS token_info_flags(CK_SLOT_ID slot);

struct pair {
	CK_OBJECT_HANDLE public, private;
};
struct pair generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, bool token, const char *label);
// find_all returns how many objects have this class and label (NULL: any label).
CK_ULONG find_all(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *out, CK_ULONG max);
CK_OBJECT_HANDLE find_one(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label);
void get_point(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE public, uint8_t point[65]);
size_t sign(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, const void *in, size_t len, uint8_t out[72]);
CK_RV verify(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, const void *in, size_t len,
	     const uint8_t *signature, size_t signature_len);

// spawn runs this program again as the child called name; child_wait returns its status.
pid_t spawn(const char *name, const char *argument);
int child_wait(pid_t pid);

#endif
