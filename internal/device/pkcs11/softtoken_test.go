//go:build cgo

package pkcs11

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// tokenOptions are settings of hack/softtoken; empty ones keep its defaults.
type tokenOptions struct {
	profile, pointForm, pinTries string
	signInput, login, refused    string
	maxSessions, signDelay       string
}

type testToken struct{ ModulePath, Dir, Label, PIN string }

var buildDir string // of this process, removed by TestMain

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// buildModule builds the software token once in this process.
var buildModule = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "softtoken-")
	if err != nil {
		return "", err
	}
	buildDir = dir
	out, err := exec.Command("make", "-s", "-C", "../../../hack/softtoken", "all", "OUT="+dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make in hack/softtoken: %w\n%s", err, out)
	}
	return filepath.Join(dir, "libterrace-softtoken.so"), nil
})

// newToken initialises a token in a directory of its own. The module reads its
// settings from the environment when it is initialised, which is when the test's
// first Device uses it: tests with tokens must not run in parallel.
func newToken(t testing.TB, o tokenOptions) testToken {
	t.Helper()
	module, err := buildModule()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "token")
	for name, value := range map[string]string{
		"DIR":           dir,
		"PROFILE":       o.profile,
		"EC_POINT_FORM": o.pointForm,
		"PIN_TRIES":     o.pinTries,
		"SIGN_INPUT":    o.signInput,
		"LOGIN":         o.login,
		"MAX_SESSIONS":  o.maxSessions,
		"SIGN_DELAY_US": o.signDelay,

		"REFUSED_ATTRIBUTES": o.refused,
		"PIN_ITERATIONS":     "1000", // the least that it takes
	} {
		t.Setenv("TERRACE_SOFTTOKEN_"+name, value) // an empty one counts as not set
	}
	token := testToken{ModulePath: module, Dir: dir, Label: "test-token", PIN: "user-pin"}
	if err := InitToken(module, 0, token.Label, []byte("officer-pin"), []byte(token.PIN)); err != nil {
		t.Fatal(err)
	}
	return token
}
