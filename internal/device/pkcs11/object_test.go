//go:build cgo

package pkcs11

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

func TestOneKeyPerLabel(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{}), nil)
	key := mustKey(t, d, "ca")

	// Another process made "ca" after we found the label free.
	err := d.with(t.Context(), func(s *session) error {
		_, err := d.generate(s, "ca", []byte("another identifier.."))
		return err
	})
	if !errors.Is(err, device.ErrKeyExists) {
		t.Errorf("generate under a taken label: %v, want ErrKeyExists", err)
	}
	again, err := d.Key(t.Context(), "ca")
	if err != nil {
		t.Fatalf("Key: %v; the key that came second was to be destroyed", err)
	}
	if !again.Public().(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Error("the first key was destroyed instead of the second")
	}

	// Another tool made a second key for good.
	m, slot := raw(t, d)
	h := rawSession(t, m, slot)
	defer m.CloseSession(h)
	_, _, err = m.GenerateKeyPair(h, []*pkcs11.Mechanism{pkcs11.NewMechanism(d.cfg.Profile.KeyPairGen, nil)},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, "ca"),
			pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, sm2Params),
		},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, "ca"),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		})
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Key":         func() error { _, err := d.Key(t.Context(), "ca"); return err },
		"GenerateKey": func() error { _, err := d.GenerateKey(t.Context(), "ca"); return err },
	} {
		err := call()
		if err == nil || errors.Is(err, device.ErrKeyNotFound) || !strings.Contains(err.Error(), "more than one private key") {
			t.Errorf("%s with two keys under the label: %v, want an error that says so", name, err)
		}
	}
}

// TestLostAnswer: the token made the key, but its answer did not arrive, and the
// attempt is repeated.
func TestLostAnswer(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{}), nil)
	once := func(id string) (pair keyPair, err error) {
		err = d.with(t.Context(), func(s *session) error {
			pair, err = d.generateOnce(s, "ca", []byte(id))
			return err
		})
		return pair, err
	}
	first, err := once("first identifier....")
	if err != nil {
		t.Fatal(err)
	}
	again, err := once("first identifier....")
	if err != nil || !again.public.Equal(first.public) {
		t.Errorf("the repeated attempt: %v, want the key of the first one", err)
	}
	if _, err := once("another identifier.."); !errors.Is(err, device.ErrKeyExists) {
		t.Errorf("somebody else's attempt: %v, want ErrKeyExists", err)
	}
}

func TestKeyAttributes(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{}), nil)
	mustKey(t, d, "ca")
	err := d.with(t.Context(), func(s *session) error {
		pair, err := d.find(s, "ca")
		if err != nil {
			return err
		}
		for name, tc := range map[string]struct {
			attribute uint
			want      byte
		}{
			"CKA_TOKEN":       {pkcs11.CKA_TOKEN, 1},
			"CKA_PRIVATE":     {pkcs11.CKA_PRIVATE, 1},
			"CKA_SENSITIVE":   {pkcs11.CKA_SENSITIVE, 1},
			"CKA_EXTRACTABLE": {pkcs11.CKA_EXTRACTABLE, 0},
			"CKA_SIGN":        {pkcs11.CKA_SIGN, 1},
			"CKA_DECRYPT":     {pkcs11.CKA_DECRYPT, 0},
		} {
			got, err := s.conn.module.ctx.GetAttributeValue(s.handle, pair.private, []*pkcs11.Attribute{pkcs11.NewAttribute(tc.attribute, nil)})
			if err != nil || len(got[0].Value) != 1 || got[0].Value[0] != tc.want {
				t.Errorf("%s = %v (err %v), want %d", name, got, err, tc.want)
			}
		}
		if _, err := s.conn.module.ctx.GetAttributeValue(s.handle, pair.private, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); err == nil {
			t.Error("the token gave the private key away")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const childToken = "TERRACE_TEST_CHILD_TOKEN" // "module\nlabel\nPIN"

// TestTwoProcesses lets two processes make the same keys at once, which no lock
// of ours keeps apart.
func TestTwoProcesses(t *testing.T) {
	const labels = 6
	if child := os.Getenv(childToken); child != "" {
		field := strings.Split(child, "\n")
		d := openToken(t, testToken{ModulePath: field[0], Label: field[1], PIN: field[2]}, nil)
		for i := range labels {
			if _, err := d.GenerateKey(t.Context(), fmt.Sprint("shared-", i)); err == nil {
				fmt.Printf("made shared-%d\n", i)
			} else if !errors.Is(err, device.ErrKeyExists) {
				t.Error(err)
			}
		}
		return
	}

	token := newToken(t, tokenOptions{})
	run := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$", "-test.v")
		cmd.Env = append(os.Environ(), childToken+"="+strings.Join([]string{token.ModulePath, token.Label, token.PIN}, "\n"))
		return cmd
	}
	outputs := make(chan string, 2)
	for range 2 {
		go func() {
			out, err := run().CombinedOutput()
			if err != nil {
				t.Errorf("child: %v\n%s", err, out)
			}
			outputs <- string(out)
		}()
	}
	all := <-outputs + <-outputs

	d := openToken(t, token, nil)
	for i := range labels {
		label := fmt.Sprint("shared-", i)
		made := strings.Count(all, "made "+label+"\n")
		_, err := d.Key(t.Context(), label)
		switch {
		case made == 1 && err != nil:
			t.Errorf("%s was made, but Key says: %v", label, err)
		case made == 0 && !errors.Is(err, device.ErrKeyNotFound):
			t.Errorf("%s: both processes withdrew theirs, but Key says: %v", label, err)
		case made > 1:
			t.Errorf("%s was made %d times", label, made)
		}
	}
}

// TestPlainTemplate: a module that refuses what a template says of a private key
// gets a shorter one, and the key is as well protected.
func TestPlainTemplate(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{refused: "extractable, derive"}), nil)
	mustSign(t, mustKey(t, d, "ca"))
	err := d.with(t.Context(), func(s *session) error {
		pair, err := d.find(s, "ca")
		if err == nil && s.givesAway(pair.private) {
			t.Error("the key can be read out")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
