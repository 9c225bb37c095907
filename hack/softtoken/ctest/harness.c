#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern const char *program_path, *module_path;

void fail(const char *file, int line, const char *format, ...)
{
	va_list args;
	fprintf(stderr, "FAIL %s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void check_rv(const char *file, int line, const char *call, CK_RV want, CK_RV got)
{
	if (got != want)
		fail(file, line, "%s: want 0x%lX, got 0x%lX", call, want, got);
}

void write_file(const char *name, const char *content)
{
	// By rename, so that the module never reads half of it.
	char path[512], temp[512];
	snprintf(path, sizeof path, "%s/%s", token_dir, name);
	snprintf(temp, sizeof temp, "%s/.%s.test", token_dir, name);
	FILE *f = fopen(temp, "w");
	CHECK(f != NULL && fputs(content, f) >= 0 && fclose(f) == 0 && rename(temp, path) == 0);
}

void remove_file(const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", token_dir, name);
	CHECK(unlink(path) == 0);
}

void start(void)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	OK(p11->C_Initialize(&args));
}

void stop(void)
{
	OK(p11->C_Finalize(NULL));
}

void restart(void)
{
	stop();
	start();
}

void init_token(CK_SLOT_ID slot, const char *label)
{
	unsigned char padded[32];
	memset(padded, ' ', sizeof padded);
	memcpy(padded, label, strlen(label));
	OK(p11->C_InitToken(slot, SO_PIN, SO_PIN_LEN, padded));
	CK_SESSION_HANDLE session = open_session(slot, true);
	OK(p11->C_Login(session, CKU_SO, SO_PIN, SO_PIN_LEN));
	OK(p11->C_InitPIN(session, USER_PIN, USER_PIN_LEN));
	OK(p11->C_CloseSession(session));
}

CK_SESSION_HANDLE open_session(CK_SLOT_ID slot, bool writable)
{
	CK_SESSION_HANDLE session;
	OK(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0), NULL, NULL, &session));
	return session;
}

CK_SESSION_HANDLE login(CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = open_session(slot, true);
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	return session;
}

CK_FLAGS token_info_flags(CK_SLOT_ID slot)
{
	CK_TOKEN_INFO info;
	OK(p11->C_GetTokenInfo(slot, &info));
	return info.flags;
}

struct pair generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, bool token, const char *label)
{
	static unsigned char oid[] = { 0x06, 0x08, 0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x82, 0x2D };
	CK_BBOOL on_token = token;
	CK_MECHANISM m = { mechanism, NULL, 0 };
	CK_ATTRIBUTE public[] = {
		{ CKA_TOKEN, &on_token, 1 },
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, (void *)label, strlen(label) },
		{ CKA_EC_PARAMS, oid, sizeof oid },
	};
	CK_ATTRIBUTE private[] = {
		{ CKA_TOKEN, &on_token, 1 },
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, (void *)label, strlen(label) },
	};
	struct pair pair;
	OK(p11->C_GenerateKeyPair(session, &m, public, 4, private, 3, &pair.public, &pair.private));
	return pair;
}

CK_ULONG find_all(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *out, CK_ULONG max)
{
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof class },
		{ CKA_LABEL, (void *)label, label == NULL ? 0 : strlen(label) },
	};
	CK_ULONG total = 0, n;
	OK(p11->C_FindObjectsInit(session, template, label == NULL ? 1 : 2));
	do { // in small steps, as a client with a small buffer
		CK_OBJECT_HANDLE some[3];
		OK(p11->C_FindObjects(session, some, 3, &n));
		for (CK_ULONG i = 0; i < n && total + i < max; i++)
			out[total + i] = some[i];
		total += n;
	} while (n > 0);
	OK(p11->C_FindObjectsFinal(session));
	return total;
}

CK_OBJECT_HANDLE find_one(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label)
{
	CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
	CHECK(find_all(session, class, label, &object, 1) == 1);
	return object;
}

void get_point(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE public, uint8_t point[65])
{
	uint8_t value[67];
	CK_ATTRIBUTE attribute = { CKA_EC_POINT, value, sizeof value };
	OK(p11->C_GetAttributeValue(session, public, &attribute, 1));
	CHECK(attribute.ulValueLen == 67 || attribute.ulValueLen == 65);
	memcpy(point, value + attribute.ulValueLen - 65, 65);
	CHECK(point[0] == 4);
}

size_t sign(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, const void *in, size_t len, uint8_t out[72])
{
	CK_MECHANISM m = { mechanism, NULL, 0 };
	CK_ULONG out_len = 72;
	OK(p11->C_SignInit(session, &m, key));
	OK(p11->C_Sign(session, (void *)in, len, out, &out_len));
	return out_len;
}

CK_RV verify(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, const void *in, size_t len,
	     const uint8_t *signature, size_t signature_len)
{
	CK_MECHANISM m = { mechanism, NULL, 0 };
	OK(p11->C_VerifyInit(session, &m, key));
	return p11->C_Verify(session, (void *)in, len, (void *)signature, signature_len);
}

pid_t spawn(const char *name, const char *argument)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	execl(program_path, program_path, module_path, "--child", name, token_dir, argument, (char *)NULL);
	_exit(127);
}

int child_wait(pid_t pid)
{
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}
