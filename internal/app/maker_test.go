package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/hack/softtoken/softtokentest"
	"github.com/terrace-pki/terrace/internal/bench"
)

// TestIssueOnEveryMakersToken goes from requests to certificates and a revocation
// list on the token of every maker, by digest and by message: CA key and signing
// request, possession, intent, signature, check and record, on a real ledger.
func TestIssueOnEveryMakersToken(t *testing.T) {
	for _, maker := range []string{"Sansec", "TASS", "IBM", "Luna"} {
		for suffix, input := range map[string]string{"": "any", "-Message": "message"} {
			t.Run(maker+suffix, func(t *testing.T) {
				token := softtokentest.NewToken(t, softtokentest.Options{Config: map[string]string{"profile": strings.ToLower(maker), "sign-input": input}})
				dir := t.TempDir()
				pinFile := filepath.Join(dir, "pin")
				if err := os.WriteFile(pinFile, []byte(token.PIN+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				stage, closeAll, err := OpenBench(t.Context(), BenchConfig{LedgerDSN: "sqlite:" + filepath.Join(dir, "ledger.db"), LocalDevice: LocalDevice{
					PKCS11Module: token.ModulePath, TokenLabel: token.Label, PINFile: pinFile, MechanismProfile: maker + suffix}}, filepath.Join(dir, "root"), 1)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := closeAll(); err != nil {
						t.Error(err)
					}
				}()
				// Nothing is measured here: 1 in place of the device's own rate.
				if r, err := stage.Issue(t.Context(), 6, 3, 2, bench.Raw{Device: 1}); err != nil || r.Operations != 6 {
					t.Errorf("issue: %v, %d certificates, want 6", err, r.Operations)
				}
				if _, err := stage.CRL(t.Context(), false); err != nil {
					t.Errorf("sign the revocation list: %v", err)
				}
			})
		}
	}
}
