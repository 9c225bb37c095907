package scenario

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tokenProfileEnv names the maker that the software token plays, as a CryptoDevice's
// mechanismProfile names it: Sansec (default), TASS, IBM, Luna, or one of them with
// "-Message" behind it for a token that takes no digest.
const tokenProfileEnv = "TERRACE_TOKEN_PROFILE"

// useTokenProfile has the scenario's token play the maker that the environment
// names, and the tier's CryptoDevice name its profile.
func (tr *terrace) useTokenProfile(t *testing.T) {
	t.Helper()
	profile := os.Getenv(tokenProfileEnv)
	if profile == "" {
		return
	}
	maker, messageOnly := strings.CutSuffix(profile, "-Message")
	tr.env = append(tr.env, "TERRACE_SOFTTOKEN_PROFILE="+strings.ToLower(maker))
	if messageOnly {
		tr.env = append(tr.env, "TERRACE_SOFTTOKEN_SIGN_INPUT=message")
	}
	config := filepath.Join(tr.state, "config")
	if err := os.CopyFS(config, os.DirFS(filepath.Join(root(), "config"))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(config, "tiers", "ministry", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		named := bytes.ReplaceAll(b, []byte("mechanismProfile: Sansec"), []byte("mechanismProfile: "+profile))
		if bytes.Equal(named, b) {
			continue
		}
		changed++
		if err := os.WriteFile(file, named, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if changed == 0 {
		t.Fatalf("%s=%s: no CryptoDevice of the tier names the profile Sansec", tokenProfileEnv, profile)
	}
	tr.args = append(tr.args, "--config-dir", config)
}
