package link

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestEnsureKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "message.key")
	var wg sync.WaitGroup
	keys := make([]*Key, 4)
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = EnsureKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	again, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !k.Public().Equal(again.Public()) || k.Fingerprint() != again.Fingerprint() {
			t.Error("of several at once, one went on with a key that is not in the file")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %o, %v; want 600", info.Mode().Perm(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	public, err := parsePublicKey(string(again.PublicPEM()))
	if err != nil || !public.Equal(again.Public()) {
		t.Errorf("public key as peers read it: %v", err)
	}
	content, _ := os.ReadFile(path)
	sig, err := again.sign([]byte("m"))
	if err != nil || !(signed{[]byte("m"), sig}).verify(public) {
		t.Errorf("signature does not verify: %v", err)
	}
	if block, rest := pem.Decode(content); block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		t.Error("file: want one PEM block PRIVATE KEY")
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(t.TempDir(), "good")
	if _, err := EnsureKey(good); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		content []byte
		mode    os.FileMode
		want    string
	}{
		"group may read": {content, 0o640, "chmod 600"},
		"all may read":   {content, 0o604, "chmod 600"},
		"empty":          {nil, 0o600, "holds no PEM block"},
		"another curve":  {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600, "want an SM2 key"},
		"damaged":        {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der[1:]}), 0o600, "is no PKCS#8 key"},
		"public key":     {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600, "holds no PEM block"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "k")
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tc.mode); err != nil {
				t.Fatal(err)
			}
			// What is there is never replaced.
			if _, err := EnsureKey(path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, tc.content) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}
