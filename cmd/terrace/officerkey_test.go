package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOfficerKeysOfOpenSSL: officers make their keys as docs/approval.md says.
func TestOfficerKeysOfOpenSSL(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string // what the error says; empty: the key is read
	}{
		"SM2":            {[]string{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"}, ""},
		"SM2, algorithm": {[]string{"genpkey", "-algorithm", "SM2"}, ""},
		"P-256":          {[]string{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, "is not an SM2 key"},
		"encrypted":      {[]string{"genpkey", "-algorithm", "SM2", "-aes-128-cbc", "-pass", "pass:only for this test"}, "not encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "officer.key") // openssl makes it 0600
			if out, err := exec.Command("openssl", append(tc.args, "-out", file)...).CombinedOutput(); err != nil {
				t.Fatalf("openssl: %v\n%s", err, out)
			}
			_, err := readOfficerKey(file)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want an error that says %q", err, tc.want)
			}
		})
	}
}
