// softtoken-test MODULE [TEST...]: runs the tests, each with a token directory of
// its own. As MODULE --child NAME DIR ARGUMENT it is the other process of a test.
#include "harness.h"

#include <dlfcn.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

CK_FUNCTION_LIST *p11;
char token_dir[256];
const char *program_path, *module_path;

void test_general(void);
void test_token(void);
void test_lockout(void);
void test_sessions(void);
void test_objects(void);
void test_import(void);
void test_persistence(void);
void test_processes(void);
void test_crash(void);
void test_sign(void);
void test_cipher(void);
void test_profiles(void);
void test_config(void);
void test_quirks(void);
void test_faults(void);
void test_threads(void);
void test_parallel(void);

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "general", test_general }, { "token", test_token }, { "lockout", test_lockout },
	{ "sessions", test_sessions }, { "objects", test_objects }, { "import", test_import },
	{ "persistence", test_persistence }, { "processes", test_processes }, { "crash", test_crash },
	{ "sign", test_sign }, { "cipher", test_cipher }, { "profiles", test_profiles },
	{ "config", test_config }, { "quirks", test_quirks }, { "faults", test_faults }, { "threads", test_threads },
	{ "parallel", test_parallel },
};

int child_main(const char *name, const char *argument);

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

static char overrides[64][64];
static size_t override_count;

void set_env(const char *key, const char *value)
{
	CHECK(override_count < 64);
	snprintf(overrides[override_count++], 64, "%s", key);
	setenv(key, value, 1);
}

static void run(size_t i)
{
	const char *base = getenv("TMPDIR");
	snprintf(token_dir, sizeof token_dir, "%s/softtoken-test-XXXXXX", base == NULL ? "/tmp" : base);
	CHECK(mkdtemp(token_dir) != NULL);
	setenv("TERRACE_SOFTTOKEN_DIR", token_dir, 1);
	// Few iterations: what is tested is not how slow a PIN is.
	set_env("TERRACE_SOFTTOKEN_PIN_ITERATIONS", "1000");
	tests[i].run();
	while (override_count > 0)
		unsetenv(overrides[--override_count]);
	CHECK(nftw(token_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
	printf("ok %s\n", tests[i].name);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: softtoken-test MODULE [TEST...]\n");
		return 2;
	}
	program_path = "/proc/self/exe";
	module_path = argv[1];
	void *library = dlopen(module_path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		fprintf(stderr, "load module: %s\n", dlerror());
		return 1;
	}
	CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
	*(void **)&get_list = dlsym(library, "C_GetFunctionList");
	CHECK(get_list != NULL);
	OK(get_list(&p11));
	if (argc == 6 && strcmp(argv[2], "--child") == 0) {
		snprintf(token_dir, sizeof token_dir, "%s", argv[4]);
		return child_main(argv[3], argv[5]);
	}
	const size_t count = sizeof tests / sizeof tests[0];
	for (size_t i = 0; i < count && argc == 2; i++)
		run(i);
	for (int k = 2; k < argc; k++) {
		size_t i = 0;
		while (i < count && strcmp(tests[i].name, argv[k]) != 0)
			i++;
		CHECK(i < count);
		run(i);
	}
	dlclose(library);
	return 0;
}
