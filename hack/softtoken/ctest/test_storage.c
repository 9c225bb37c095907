// What is on disk: restarts, other processes, kills.
#include "harness.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check_modes(const char *dir)
{
	DIR *d = opendir(dir);
	CHECK(d != NULL);
	for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
		char path[600];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		CHECK(stat(path, &st) == 0);
		if (S_ISREG(st.st_mode))
			CHECK((st.st_mode & 0777) == 0600);
		else if (strcmp(entry->d_name, "..") != 0)
			CHECK((st.st_mode & 0777) == 0700);
	}
	closedir(d);
}

// flip changes one byte in the middle of the file of the only object in slot 0.
static void flip_object(void)
{
	char dir[300], path[600] = "";
	snprintf(dir, sizeof dir, "%s/slot-0", token_dir);
	DIR *d = opendir(dir);
	for (struct dirent *entry; (entry = readdir(d)) != NULL;)
		if (strncmp(entry->d_name, "obj-", 4) == 0)
			snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
	closedir(d);
	FILE *f = fopen(path, "r+");
	CHECK(f != NULL && fseek(f, -20, SEEK_END) == 0);
	int c = fgetc(f);
	CHECK(c != EOF && fseek(f, -20, SEEK_END) == 0 && fputc(c ^ 1, f) != EOF && fclose(f) == 0);
}

void test_persistence(void)
{
	char dir[300];
	uint8_t e[32] = { 3 }, signature[72];
	start();
	init_token(0, "kept");
	CK_SESSION_HANDLE session = login(0);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "kept");
	size_t len = sign(session, SANSEC_DIGEST_DER, pair.private, e, 32, signature);
	restart();
	session = open_session(0, false); // a public key needs no login
	CK_OBJECT_HANDLE public = find_one(session, CKO_PUBLIC_KEY, "kept");
	OK(verify(session, SANSEC_DIGEST_DER, public, e, 32, signature, len));
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 0);
	OK(p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LEN));
	len = sign(session, SANSEC_DIGEST_DER, find_one(session, CKO_PRIVATE_KEY, "kept"), e, 32, signature);
	OK(verify(session, SANSEC_DIGEST_DER, public, e, 32, signature, len));
	snprintf(dir, sizeof dir, "%s/slot-0", token_dir);
	check_modes(dir);
	stop();

	// A damaged private half is left out; the other half and the token stay usable.
	flip_object();
	start();
	session = login(0);
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 0);
	find_one(session, CKO_PUBLIC_KEY, "kept");
	generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "next");
	stop();
}

static int child_generate(const char *label)
{
	start();
	CK_SESSION_HANDLE session = login(0);
	generate_pair(session, SANSEC_KEY_PAIR_GEN, true, label);
	stop();
	return 0;
}

static int child_destroy(const char *label)
{
	start();
	CK_SESSION_HANDLE session = login(0);
	OK(p11->C_DestroyObject(session, find_one(session, CKO_PRIVATE_KEY, label)));
	OK(p11->C_DestroyObject(session, find_one(session, CKO_PUBLIC_KEY, label)));
	stop();
	return 0;
}

static int child_rename(const char *label)
{
	CK_ATTRIBUTE name = { CKA_LABEL, "renamed elsewhere", 17 };
	start();
	CK_SESSION_HANDLE session = login(0);
	OK(p11->C_SetAttributeValue(session, find_one(session, CKO_PRIVATE_KEY, label), &name, 1));
	stop();
	return 0;
}

static int child_many(const char *prefix)
{
	start();
	CK_SESSION_HANDLE session = login(0);
	for (int i = 0; i < 20; i++) {
		char label[64];
		snprintf(label, sizeof label, "%s-%d", prefix, i);
		generate_pair(session, SANSEC_KEY_PAIR_GEN, true, label);
	}
	stop();
	return 0;
}

static int child_forever(const char *prefix)
{
	start();
	CK_SESSION_HANDLE session = login(0);
	for (unsigned i = 0; i < 100000; i++) { // until it is killed
		char label[64];
		snprintf(label, sizeof label, "%s-%u", prefix, i);
		struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, label);
		if (i % 3 == 0) {
			OK(p11->C_DestroyObject(session, pair.public));
			OK(p11->C_DestroyObject(session, pair.private));
		}
	}
	return 1;
}

static int child_wrong_pin(const char *unused)
{
	(void)unused;
	start();
	CK_SESSION_HANDLE session = open_session(0, false);
	p11->C_Login(session, CKU_USER, (unsigned char *)"00000000", 8);
	return 0;
}

static int child_reinit(const char *label)
{
	start();
	init_token(0, label);
	stop();
	return 0;
}

int child_main(const char *name, const char *argument);

int child_main(const char *name, const char *argument)
{
	static const struct {
		const char *name;
		int (*run)(const char *);
	} children[] = {
		{ "generate", child_generate }, { "destroy", child_destroy },     { "rename", child_rename },
		{ "many", child_many },         { "forever", child_forever },     { "wrong-pin", child_wrong_pin },
		{ "reinit", child_reinit },
	};
	for (size_t i = 0; i < sizeof children / sizeof children[0]; i++)
		if (strcmp(children[i].name, name) == 0)
			return children[i].run(argument);
	return 2;
}

void test_processes(void)
{
	uint8_t e[32] = { 5 }, signature[72];
	start();
	init_token(0, "shared");
	CK_SESSION_HANDLE session = login(0);
	struct pair mine = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "mine");
	CHECK(child_wait(spawn("generate", "theirs")) == 0);
	CK_OBJECT_HANDLE theirs = find_one(session, CKO_PRIVATE_KEY, "theirs");
	sign(session, SANSEC_DIGEST_DER, theirs, e, 32, signature);
	CHECK(child_wait(spawn("rename", "theirs")) == 0);
	CHECK(find_one(session, CKO_PRIVATE_KEY, "renamed elsewhere") == theirs); // the handle stays
	CHECK(child_wait(spawn("destroy", "mine")) == 0);
	CHECK(find_all(session, CKO_PRIVATE_KEY, "mine", NULL, 0) == 0);
	CK_MECHANISM m = { SANSEC_DIGEST_DER, NULL, 0 };
	RV(CKR_KEY_HANDLE_INVALID, p11->C_SignInit(session, &m, mine.private));

	// Three writers at once, this process among them: nothing is lost.
	pid_t a = spawn("many", "a"), b = spawn("many", "b");
	for (int i = 0; i < 20; i++)
		generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "c");
	CHECK(child_wait(a) == 0 && child_wait(b) == 0);
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 61);
	CHECK(find_all(session, CKO_PUBLIC_KEY, NULL, NULL, 0) == 61);

	// A wrong PIN of a process that died counts too.
	CHECK(child_wait(spawn("wrong-pin", "")) == 0);
	CHECK(token_info_flags(0) & CKF_USER_PIN_COUNT_LOW);

	// Another process puts in a new token: this one's sessions are void.
	CK_SESSION_INFO info;
	CHECK(child_wait(spawn("reinit", "new")) == 0);
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_FindObjectsInit(session, NULL, 0));
	RV(CKR_SESSION_HANDLE_INVALID, p11->C_GetSessionInfo(session, &info));
	session = login(0);
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 0);
	stop();
}

void test_crash(void)
{
	start();
	init_token(0, "crash");
	stop();
	for (int round = 0; round < 6; round++) {
		pid_t pid = spawn("forever", "k");
		nanosleep(&(struct timespec){ .tv_nsec = 150000000 + 37000000L * round }, NULL);
		CHECK(kill(pid, SIGKILL) == 0);
		int status = child_wait(pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		start();
		CK_SESSION_HANDLE session = login(0);
		CK_OBJECT_HANDLE keys[4096];
		CK_ULONG private = find_all(session, CKO_PRIVATE_KEY, NULL, keys, 4096);
		CK_ULONG public = find_all(session, CKO_PUBLIC_KEY, NULL, NULL, 0);
		// Only a destruction, which is two calls, may have been cut in half.
		CHECK(private >= public && private - public <= (CK_ULONG)round + 1);
		uint8_t e[32] = { 9 }, signature[72];
		for (CK_ULONG i = 0; i < private && i < 20; i++)
			sign(session, SANSEC_DIGEST_DER, keys[i], e, 32, signature);
		stop();
	}
}
