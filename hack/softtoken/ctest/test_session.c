#include "harness.h"

static void expect_state(CK_SESSION_HANDLE session, CK_STATE want)
{
	CK_SESSION_INFO info;
	OK(p11->C_GetSessionInfo(session, &info));
	CHECK(info.state == want);
}

void test_sessions(void)
{
	CK_SESSION_HANDLE bad;
	CK_SESSION_INFO info;
	start();
	init_token(0, "sessions");
	init_token(2, "other");
	RV(CKR_SESSION_PARALLEL_NOT_SUPPORTED, p11->C_OpenSession(0, 0, NULL, NULL, &bad));
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(0, &info));
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(~0UL, &info));

	// The login is of the application: it shows in every session of the token.
	CK_SESSION_HANDLE reader = open_session(0, false), writer = open_session(0, true), other = open_session(2, true);
	expect_state(reader, CKS_RO_PUBLIC_SESSION);
	expect_state(writer, CKS_RW_PUBLIC_SESSION);
	RV(CKR_SESSION_READ_ONLY_EXISTS, p11->C_Login(writer, CKU_SO, SO_PIN, SO_PIN_LEN));
	RV(CKR_USER_TYPE_INVALID, p11->C_Login(writer, 9, USER_PIN, USER_PIN_LEN));
	RV(CKR_OPERATION_NOT_INITIALIZED, p11->C_Login(writer, CKU_CONTEXT_SPECIFIC, USER_PIN, USER_PIN_LEN));
	RV(CKR_USER_NOT_LOGGED_IN, p11->C_Logout(writer));
	OK(p11->C_Login(reader, CKU_USER, USER_PIN, USER_PIN_LEN));
	expect_state(reader, CKS_RO_USER_FUNCTIONS);
	expect_state(writer, CKS_RW_USER_FUNCTIONS);
	expect_state(other, CKS_RW_PUBLIC_SESSION);
	RV(CKR_USER_ALREADY_LOGGED_IN, p11->C_Login(writer, CKU_USER, USER_PIN, USER_PIN_LEN));
	RV(CKR_SESSION_READ_ONLY_EXISTS, p11->C_Login(writer, CKU_SO, SO_PIN, SO_PIN_LEN));
	OK(p11->C_CloseSession(reader));
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_CloseSession(reader));
	RV(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, p11->C_Login(writer, CKU_SO, SO_PIN, SO_PIN_LEN));

	// A private session object goes with the login, its handle with it.
	struct pair pair = generate_pair(writer, SANSEC_KEY_PAIR_GEN, false, "passing");
	CK_MECHANISM m = { SANSEC_DIGEST_DER, NULL, 0 };
	OK(p11->C_SignInit(writer, &m, pair.private));
	OK(p11->C_Logout(writer));
	uint8_t e[32] = { 1 }, signature[72];
	CK_ULONG len = sizeof signature;
	RV(CKR_OPERATION_NOT_INITIALIZED, p11->C_Sign(writer, e, sizeof e, signature, &len));
	RV(CKR_KEY_HANDLE_INVALID, p11->C_SignInit(writer, &m, pair.private));
	CHECK(find_all(writer, CKO_PUBLIC_KEY, "passing", NULL, 0) == 1);

	// The last session takes the login and its session objects with it.
	OK(p11->C_Login(writer, CKU_USER, USER_PIN, USER_PIN_LEN));
	CK_SESSION_HANDLE second = open_session(0, true);
	OK(p11->C_CloseSession(writer));
	expect_state(second, CKS_RW_USER_FUNCTIONS);
	CHECK(find_all(second, CKO_PUBLIC_KEY, "passing", NULL, 0) == 0);
	OK(p11->C_CloseSession(second));
	second = open_session(0, true);
	expect_state(second, CKS_RW_PUBLIC_SESSION);

	OK(p11->C_Login(second, CKU_SO, SO_PIN, SO_PIN_LEN));
	expect_state(second, CKS_RW_SO_FUNCTIONS);
	RV(CKR_SESSION_READ_WRITE_SO_EXISTS, p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &bad));
	OK(p11->C_CloseAllSessions(0));
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(second, &info));
	expect_state(other, CKS_RW_PUBLIC_SESSION);
	stop();

	set_env("TERRACE_SOFTTOKEN_MAX_SESSIONS", "2");
	start();
	open_session(0, false);
	open_session(0, false);
	RV(CKR_SESSION_COUNT, p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &bad));
	stop();
}
