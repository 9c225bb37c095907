package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/hack/softtoken/softtokentest"
	"github.com/terrace-pki/terrace/internal/device/pkcs11"
)

func TestDeviceDoctor(t *testing.T) {
	token := softtokentest.NewToken(t, softtokentest.Options{Config: map[string]string{"profile": "luna"}})
	file := func(pin string) string {
		path := filepath.Join(t.TempDir(), "pin")
		if err := os.WriteFile(path, []byte(pin+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tc := range map[string]struct {
		args []string
		code int // of the program
		want string
	}{
		"fits":            {[]string{"--pin-file", file(token.PIN)}, 0, "mechanismProfile: Luna"},
		"JSON":            {[]string{"--pin-file", file(token.PIN), "--json", "--sessions", "1"}, 0, `"profile":"Luna"`},
		"other profile":   {[]string{"--pin-file", file(token.PIN), "--profile", "TASS"}, exitFindings, "FAIL  mechanisms"},
		"wrong PIN":       {[]string{"--pin-file", file("not-the-pin"), "--json"}, exitFindings, `"verdict":"FAIL"`},
		"unknown profile": {[]string{"--profile", "tass"}, exitUnreadable, "known are"},
		"no PIN file":     {[]string{"--pin-file", "/no/such/file"}, exitUnreadable, "--pin-file"},
		"negative slot":   {[]string{"--slot", "-1"}, exitUnreadable, "--slot"},
	} {
		t.Run(name, func(t *testing.T) {
			root, out := command("terrace"), &bytes.Buffer{}
			root.SetOut(out)
			root.SetErr(out)
			root.SetArgs(append([]string{"device", "doctor", "--module", token.ModulePath}, tc.args...))
			err := root.ExecuteContext(t.Context())
			code := 0
			if err != nil {
				code = exitCode(err)
				out.WriteString(err.Error())
			}
			if code != tc.code || !strings.Contains(out.String(), tc.want) {
				t.Errorf("exit %d, want %d with %q:\n%s", code, tc.code, tc.want, out)
			}
			for _, pin := range []string{token.PIN, "not-the-pin"} {
				if strings.Contains(out.String(), pin) {
					t.Errorf("the output tells the PIN:\n%s", out)
				}
			}
			if name == "JSON" {
				var r pkcs11.Report
				if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Findings) < 8 || r.Sessions != 1 {
					t.Errorf("JSON: %v, %+v", err, r)
				}
			}
		})
	}
}
