package softtokentest

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// Options choose what NewToken makes. The zero value is a token "test" in slot 0
// under the default profile.
type Options struct {
	// Label of the token, at most 32 bytes; default "test".
	Label string
	// PIN of the user, 4 to 255 bytes; default "12345678".
	PIN string
	// SOPIN of the security officer; default "so-12345".
	SOPIN string
	// Slot that holds the token.
	Slot uint
	// Dir is an existing token directory to add the token to; default a new one.
	Dir string
	// Config are lines of softtoken.conf, such as "profile": "ibm". It is written
	// only for a new directory. pin-iterations is 1000 unless it is given.
	Config map[string]string
}

// Token is an initialized token.
type Token struct {
	ModulePath string
	Dir        string
	Label      string
	PIN        string
	SOPIN      string
	Slot       uint
}

// NewToken builds the module, makes a token directory, sets TERRACE_SOFTTOKEN_DIR
// for the test and initializes a token with both PINs. The module is left
// finalized. It keeps one state for the process and reads its environment at
// C_Initialize: a test that has it open must close it before it calls NewToken.
func NewToken(t testing.TB, options Options) Token {
	t.Helper()
	token := Token{
		ModulePath: Build(t),
		Dir:        options.Dir,
		Label:      orDefault(options.Label, "test"),
		PIN:        orDefault(options.PIN, "12345678"),
		SOPIN:      orDefault(options.SOPIN, "so-12345"),
		Slot:       options.Slot,
	}
	if token.Dir == "" {
		token.Dir = t.TempDir()
		if err := writeConfig(token.Dir, options.Config); err != nil {
			t.Fatalf("make software token: %v", err)
		}
	}
	// With cgo, os.Setenv also calls C's setenv, which the module's getenv sees.
	t.Setenv("TERRACE_SOFTTOKEN_DIR", token.Dir)
	if err := initialize(token); err != nil {
		t.Fatalf("make software token: %v", err)
	}
	return token
}

// SetFault writes the token directory's fault file, or removes it for no lines.
// The faults are listed in the README of hack/softtoken.
func (tok Token) SetFault(t testing.TB, lines ...string) {
	t.Helper()
	path := filepath.Join(tok.Dir, "fault")
	var err error
	if len(lines) == 0 {
		err = os.Remove(path)
	} else if err = os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err == nil {
		err = os.Rename(path+".new", path) // the module never reads half of it
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatalf("set fault: %v", err)
	}
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func writeConfig(dir string, config map[string]string) error {
	lines := []string{}
	if _, given := config["pin-iterations"]; !given {
		lines = append(lines, "pin-iterations = 1000") // tests log in often
	}
	for key, value := range config {
		lines = append(lines, key+" = "+value)
	}
	sort.Strings(lines)
	return os.WriteFile(filepath.Join(dir, "softtoken.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

func initialize(token Token) error {
	module := pkcs11.New(token.ModulePath)
	if module == nil {
		return fmt.Errorf("load module %s: dlopen failed", token.ModulePath)
	}
	defer module.Destroy()
	if err := module.Initialize(); err != nil {
		return fmt.Errorf("C_Initialize: %w", err)
	}
	defer module.Finalize()
	if err := module.InitToken(token.Slot, token.SOPIN, token.Label); err != nil {
		return fmt.Errorf("C_InitToken in slot %d: %w", token.Slot, err)
	}
	session, err := module.OpenSession(token.Slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("C_OpenSession: %w", err)
	}
	if err := module.Login(session, pkcs11.CKU_SO, token.SOPIN); err != nil {
		return fmt.Errorf("C_Login as security officer: %w", err)
	}
	if err := module.InitPIN(session, token.PIN); err != nil {
		return fmt.Errorf("C_InitPIN: %w", err)
	}
	return nil
}
