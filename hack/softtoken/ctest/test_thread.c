#include "harness.h"
#include "openssl_check.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { THREADS = 8, ROUNDS = 40 };

struct job {
	CK_OBJECT_HANDLE private, public;
	uint8_t point[65];
	unsigned rounds;
	int number;
};

static void *sign_loop(void *argument)
{
	struct job *job = argument;
	CK_SESSION_HANDLE session = open_session(0, true);
	for (unsigned i = 0; i < job->rounds; i++) {
		char message[32];
		uint8_t signature[72];
		int n = snprintf(message, sizeof message, "%d-%u", job->number, i);
		size_t len = sign(session, SANSEC_MESSAGE_DER, job->private, message, (size_t)n, signature);
		OK(verify(session, SANSEC_MESSAGE_DER, job->public, message, (size_t)n, signature, len));
		if (i % 10 == 0) { // metadata changes while others sign
			struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, i % 20 == 0, message);
			CHECK(find_one(session, CKO_PRIVATE_KEY, message) == pair.private);
			OK(p11->C_DestroyObject(session, pair.private));
			OK(p11->C_DestroyObject(session, pair.public));
		}
	}
	OK(p11->C_CloseSession(session));
	return NULL;
}

static void *same_session(void *argument)
{
	// Misuse: several threads on one session. Any code may come, but no crash.
	CK_SESSION_HANDLE session = *(CK_SESSION_HANDLE *)argument;
	CK_OBJECT_HANDLE keys[2] = { 0, 0 };
	CK_MECHANISM m = { SANSEC_MESSAGE_DER, NULL, 0 };
	CK_ULONG n;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t signature[72];
		CK_ULONG len = sizeof signature;
		p11->C_FindObjectsInit(session, NULL, 0);
		p11->C_FindObjects(session, keys, 2, &n);
		p11->C_FindObjectsFinal(session);
		p11->C_SignInit(session, &m, keys[0]);
		p11->C_SignInit(session, &m, keys[1]);
		p11->C_SignUpdate(session, signature, 10);
		p11->C_SignFinal(session, signature, &len);
	}
	return NULL;
}

void test_threads(void)
{
	pthread_t threads[THREADS];
	struct job jobs[THREADS];
	start();
	init_token(0, "threads");
	CK_SESSION_HANDLE session = login(0);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "shared");
	for (int i = 0; i < THREADS; i++) {
		jobs[i] = (struct job){ .private = pair.private, .public = pair.public, .rounds = ROUNDS, .number = i };
		CHECK(pthread_create(&threads[i], NULL, sign_loop, &jobs[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(find_all(session, CKO_PRIVATE_KEY, NULL, NULL, 0) == 1);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, same_session, &session) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	stop();
}

static void *sign_only(void *argument)
{
	struct job *job = argument;
	uint8_t e[32] = { 1 }, signature[72];
	CK_SESSION_HANDLE session = open_session(0, false);
	for (unsigned i = 0; i < job->rounds; i++)
		sign(session, SANSEC_DIGEST_DER, job->private, e, 32, signature);
	OK(p11->C_CloseSession(session));
	return NULL;
}

static double seconds(unsigned threads, unsigned rounds, CK_OBJECT_HANDLE key)
{
	pthread_t thread[THREADS];
	struct job job = { .private = key, .rounds = rounds };
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (unsigned i = 0; i < threads; i++)
		CHECK(pthread_create(&thread[i], NULL, sign_only, &job) == 0);
	for (unsigned i = 0; i < threads; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
}

struct cost {
	double cpu;   // seconds
	long blocked; // times a thread had to wait
};

// cost_of shows what threads cost each other, which does not depend on how many
// cores are free: with no waiting and equal CPU time, two cores give twice the rate.
static struct cost cost_of(unsigned threads, unsigned rounds, CK_OBJECT_HANDLE key)
{
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	seconds(threads, rounds, key);
	getrusage(RUSAGE_SELF, &after);
	return (struct cost){
		.cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
		       (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6,
		.blocked = after.ru_nvcsw - before.ru_nvcsw,
	};
}

void test_parallel(void)
{
	start();
	init_token(0, "parallel");
	CK_SESSION_HANDLE session = login(0);
	struct pair pair = generate_pair(session, SANSEC_KEY_PAIR_GEN, true, "k");
	// The best of many short runs, one and two threads in turn: on a busy machine a
	// single long run measures the neighbours.
	double one = 1e9, two = 1e9;
	for (int i = 0; i < 60; i++) {
		double t1 = seconds(1, 12, pair.private), t2 = seconds(2, 12, pair.private);
		one = t1 < one ? t1 : one;
		two = t2 < two ? t2 : two;
	}
	struct cost alone = cost_of(1, 800, pair.private), together = cost_of(2, 400, pair.private);
	printf("  sign rate: 1 thread %.0f/s, 2 threads %.0f/s (x%.2f)\n", 12 / one, 24 / two, 2 * one / two);
	printf("  800 signatures: CPU %.3f s in 1 thread, %.3f s in 2, which blocked %ld times\n", alone.cpu, together.cpu,
	       together.blocked);
	// Hence no check of the rate. Waiting tells the same on any machine: eight signatures that
	// each wait 50 ms take far less than 400 ms only if they overlap.
	write_file("fault", "delay-ms 50\n");
	CHECK(seconds(8, 2, pair.private) < 0.5);
	stop();
}
