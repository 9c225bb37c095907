#include "harness.h"

#include <stdlib.h>
#include <string.h>

void test_general(void)
{
	CK_INFO info;
	CK_ULONG count;
	RV(CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_GetInfo(&info));
	RV(CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_Finalize(NULL));

	char saved[256];
	strcpy(saved, token_dir);
	unsetenv("TERRACE_SOFTTOKEN_DIR");
	RV(CKR_ARGUMENTS_BAD, p11->C_Initialize(NULL));
	setenv("TERRACE_SOFTTOKEN_DIR", "relative", 1);
	RV(CKR_ARGUMENTS_BAD, p11->C_Initialize(NULL));
	setenv("TERRACE_SOFTTOKEN_DIR", "/proc/nowhere/at/all", 1);
	RV(CKR_DEVICE_ERROR, p11->C_Initialize(NULL));
	setenv("TERRACE_SOFTTOKEN_DIR", saved, 1);

	start();
	RV(CKR_CRYPTOKI_ALREADY_INITIALIZED, p11->C_Initialize(NULL));
	RV(CKR_ARGUMENTS_BAD, p11->C_Finalize(&info));
	OK(p11->C_GetInfo(&info));
	CHECK(info.cryptokiVersion.major == 2 && info.cryptokiVersion.minor == 40);
	CHECK(memcmp(info.libraryDescription, "DEV/TEST", 8) == 0);
	OK(p11->C_GetSlotList(CK_TRUE, NULL, &count));
	CHECK(count == 4);
	CK_SLOT_ID slots[4];
	count = 3;
	RV(CKR_BUFFER_TOO_SMALL, p11->C_GetSlotList(CK_TRUE, slots, &count));
	CHECK(count == 4);
	OK(p11->C_GetSlotList(CK_TRUE, slots, &count));
	CHECK(slots[3] == 3);
	CK_SLOT_INFO slot;
	OK(p11->C_GetSlotInfo(3, &slot));
	RV(CKR_SLOT_ID_INVALID, p11->C_GetSlotInfo(4, &slot));

	// Nothing in the list is NULL: the fields after the version are all pointers.
	void **functions = (void **)((char *)p11 + offsetof(CK_FUNCTION_LIST, C_Initialize));
	size_t n = (sizeof *p11 - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof *functions;
	CHECK(n == 68);
	for (size_t i = 0; i < n; i++)
		CHECK(functions[i] != NULL);
	RV(CKR_FUNCTION_NOT_SUPPORTED, p11->C_WrapKey(1, NULL, 1, 1, NULL, NULL));
	RV(CKR_FUNCTION_NOT_PARALLEL, p11->C_CancelFunction(1));
	stop();

	set_env("TERRACE_SOFTTOKEN_SLOTS", "7");
	start();
	OK(p11->C_GetSlotList(CK_FALSE, NULL, &count));
	CHECK(count == 7);
	stop();
}

void test_token(void)
{
	CK_TOKEN_INFO info, again;
	CK_SESSION_HANDLE session;
	unsigned char label[32] = "token one                       ";
	start();
	CHECK(!(token_info_flags(1) & CKF_TOKEN_INITIALIZED));
	RV(CKR_TOKEN_NOT_RECOGNIZED, p11->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session));
	RV(CKR_PIN_LEN_RANGE, p11->C_InitToken(1, SO_PIN, 3, label));
	OK(p11->C_InitToken(1, SO_PIN, SO_PIN_LEN, label));
	OK(p11->C_GetTokenInfo(1, &info));
	CHECK(memcmp(info.label, label, 32) == 0);
	CHECK(memcmp(info.manufacturerID, "Terrace (FOR DEV AND TEST ONLY) ", 32) == 0);
	CHECK(memcmp(info.model, "softtoken DEV   ", 16) == 0);
	CHECK((info.flags & (CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_RNG)) ==
	      (CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_RNG));
	CHECK(!(info.flags & CKF_USER_PIN_INITIALIZED));

	session = open_session(1, true);
	RV(CKR_USER_PIN_NOT_INITIALIZED, p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	RV(CKR_USER_NOT_LOGGED_IN, p11->C_InitPIN(session, USER_PIN, USER_PIN_LEN));
	RV(CKR_SESSION_EXISTS, p11->C_InitToken(1, SO_PIN, SO_PIN_LEN, label));
	OK(p11->C_Login(session, CKU_SO, SO_PIN, SO_PIN_LEN));
	RV(CKR_PIN_LEN_RANGE, p11->C_InitPIN(session, USER_PIN, 2));
	OK(p11->C_InitPIN(session, USER_PIN, USER_PIN_LEN));
	CHECK(token_info_flags(1) & CKF_USER_PIN_INITIALIZED);
	OK(p11->C_SetPIN(session, SO_PIN, SO_PIN_LEN, (unsigned char *)"other so", 8));
	OK(p11->C_Logout(session));
	RV(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_SO, SO_PIN, SO_PIN_LEN));
	OK(p11->C_Login(session, CKU_SO, (unsigned char *)"other so", 8));
	OK(p11->C_Logout(session));

	// A new user PIN opens the same keys.
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "kept");
	RV(CKR_PIN_INCORRECT, p11->C_SetPIN(session, (unsigned char *)"wrong", 5, (unsigned char *)"new pin", 7));
	OK(p11->C_SetPIN(session, USER_PIN, USER_PIN_LEN, (unsigned char *)"new pin", 7));
	OK(p11->C_Logout(session));
	RV(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	OK(p11->C_Login(session, CKU_USER, (unsigned char *)"new pin", 7));
	find_one(session, CKO_PRIVATE_KEY, "kept");
	CK_SESSION_HANDLE reader = open_session(1, false);
	RV(CKR_SESSION_READ_ONLY, p11->C_SetPIN(reader, (unsigned char *)"new pin", 7, USER_PIN, USER_PIN_LEN));
	OK(p11->C_CloseAllSessions(1));

	// Re-initialization asks for the SO PIN and destroys everything.
	RV(CKR_PIN_INCORRECT, p11->C_InitToken(1, SO_PIN, SO_PIN_LEN, label));
	OK(p11->C_InitToken(1, (unsigned char *)"other so", 8, label));
	OK(p11->C_GetTokenInfo(1, &again));
	CHECK(memcmp(info.serialNumber, again.serialNumber, 16) != 0);
	CHECK(!(again.flags & CKF_USER_PIN_INITIALIZED));
	session = open_session(1, false);
	CHECK(find_all(session, CKO_PUBLIC_KEY, NULL, NULL, 0) == 0);
	stop();
}

static void expect_user_flags(CK_FLAGS want)
{
	const CK_FLAGS mask = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
	CHECK((token_info_flags(0) & mask) == want);
}

void test_lockout(void)
{
	unsigned char *wrong = (unsigned char *)"00000000";
	set_env("TERRACE_SOFTTOKEN_PIN_TRIES", "3");
	start();
	init_token(0, "lock");
	expect_user_flags(0);
	CK_SESSION_HANDLE session = open_session(0, true);
	RV(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_USER, wrong, 8));
	expect_user_flags(CKF_USER_PIN_COUNT_LOW);
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	expect_user_flags(0);
	OK(p11->C_Logout(session));

	RV(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_USER, wrong, 8));
	stop(); // the count outlives the process
	start();
	expect_user_flags(CKF_USER_PIN_COUNT_LOW);
	session = open_session(0, true);
	RV(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_USER, wrong, 8));
	expect_user_flags(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
	RV(CKR_PIN_LOCKED, p11->C_Login(session, CKU_USER, wrong, 8));
	expect_user_flags(CKF_USER_PIN_LOCKED);
	RV(CKR_PIN_LOCKED, p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	RV(CKR_PIN_LOCKED, p11->C_SetPIN(session, USER_PIN, USER_PIN_LEN, wrong, 8));

	OK(p11->C_Login(session, CKU_SO, SO_PIN, SO_PIN_LEN));
	OK(p11->C_InitPIN(session, USER_PIN, USER_PIN_LEN));
	OK(p11->C_Logout(session));
	expect_user_flags(0);
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	OK(p11->C_Logout(session));

	for (int i = 0; i < 2; i++)
		RV(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_SO, wrong, 8));
	CHECK(token_info_flags(0) & CKF_SO_PIN_FINAL_TRY);
	RV(CKR_PIN_LOCKED, p11->C_Login(session, CKU_SO, wrong, 8));
	CHECK(token_info_flags(0) & CKF_SO_PIN_LOCKED);
	RV(CKR_PIN_LOCKED, p11->C_Login(session, CKU_SO, SO_PIN, SO_PIN_LEN));
	stop();
}
