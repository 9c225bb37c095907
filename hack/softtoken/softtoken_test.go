// Package softtoken_test builds the software token and runs its C tests: plain,
// with Address- and UndefinedBehaviorSanitizer, and the threads with ThreadSanitizer.
package softtoken_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestModule(t *testing.T) {
	for _, target := range []string{"test", "asan-test", "tsan-test"} {
		t.Run(target, func(t *testing.T) {
			runMake(t, target)
		})
	}
}

// runMake runs one target with everything built in a temporary directory, so the
// checkout stays clean and two runs do not meet.
func runMake(t *testing.T, target string) {
	t.Helper()
	out := t.TempDir()
	command := exec.CommandContext(t.Context(), "make", "-j2", "OUT="+filepath.Join(out, "build"), target)
	command.Env = append(os.Environ(), "TMPDIR="+out)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, output)
	}
	t.Logf("make %s:\n%s", target, output)
}
