#include "harness.h"

#include <string.h>
#include <time.h>

void test_faults(void)
{
	uint8_t e[32] = { 4 }, signature[72];
	CK_ULONG count = 0;
	CK_SESSION_INFO info;
	CK_TOKEN_INFO token;
	CK_SLOT_INFO slot;
	start();
	init_token(0, "faults");
	CK_SESSION_HANDLE session = login(0), second = open_session(0, false);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "key");

	// Lost once for each version of the file; then all is as after a reconnect.
	for (int i = 0; i < 2; i++) {
		write_file("fault", "session-lost\n");
		RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(session, &info));
		RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(second, &info));
		session = open_session(0, true);
		CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 0); // the login went too
		OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
		pair.private = find_one(session, CKO_PRIVATE_KEY, "key");
		pair.public = find_one(session, CKO_PUBLIC_KEY, "key");
		sign(session, SANSEC_DIGEST_DER, pair.private, e, 32, signature);
	}
	restart(); // a file from before the start does nothing
	session = login(0);
	OK(p11->C_GetSessionInfo(session, &info));

	write_file("fault", "device-removed\n");
	RV(CKR_DEVICE_REMOVED, p11->C_GetSessionInfo(session, &info));
	RV(CKR_TOKEN_NOT_PRESENT, p11->C_GetTokenInfo(0, &token));
	RV(CKR_TOKEN_NOT_PRESENT, p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &second));
	OK(p11->C_GetSlotInfo(0, &slot));
	CHECK(!(slot.flags & CKF_TOKEN_PRESENT));
	OK(p11->C_GetSlotList(CK_TRUE, NULL, &count));
	CHECK(count == 0);
	OK(p11->C_GetSlotList(CK_FALSE, NULL, &count));
	CHECK(count == 4);
	remove_file("fault");
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(session, &info));
	session = login(0);
	pair.private = find_one(session, CKO_PRIVATE_KEY, "key");
	pair.public = find_one(session, CKO_PUBLIC_KEY, "key");

	write_file("fault", "device-error\n");
	RV(CKR_DEVICE_ERROR, p11->C_GetSessionInfo(session, &info));
	write_file("fault", "bad-signature\n");
	size_t len = sign(session, SANSEC_DIGEST_DER, pair.private, e, 32, signature);
	RV(CKR_SIGNATURE_INVALID, verify(session, SANSEC_DIGEST_DER, pair.public, e, 32, signature, len));
	len = sign(session, SANSEC_MESSAGE_RAW, pair.private, e, 32, signature);
	RV(CKR_SIGNATURE_INVALID, verify(session, SANSEC_MESSAGE_RAW, pair.public, e, 32, signature, len));

	struct timespec before, after;
	write_file("fault", "delay-ms 120\n");
	clock_gettime(CLOCK_MONOTONIC, &before);
	len = sign(session, SANSEC_DIGEST_DER, pair.private, e, 32, signature);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 119);
	remove_file("fault");
	OK(verify(session, SANSEC_DIGEST_DER, pair.public, e, 32, signature, len));
	stop();
}
