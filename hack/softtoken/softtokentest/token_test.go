package softtokentest

import (
	"crypto/ecdsa"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/pkcs11"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

func TestNewTokenSignsForGMSM(t *testing.T) {
	// Two tokens one after the other: the environment of the second must reach
	// the module's getenv although the library is loaded already.
	for _, tc := range []struct {
		profile                string
		generate, message, sm3 uint
		raw                    bool
	}{
		{"sansec", 0x80008001, 0x80008103, 0x80009001, false},
		{"ibm", 0x8005000A, 0x8005000C, 0x8005000E, true},
	} {
		t.Run(tc.profile, func(t *testing.T) {
			token := NewToken(t, Options{Label: tc.profile, Slot: 1, Config: map[string]string{"profile": tc.profile}})
			module, session := open(t, token)
			public, private, err := module.GenerateKeyPair(session, mechanism(tc.generate),
				[]*pkcs11.Attribute{
					pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
					pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{0x06, 0x08, 0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x82, 0x2D}),
				},
				[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)})
			if err != nil {
				t.Fatalf("generate key pair: %v", err)
			}
			message := []byte("signed in C, verified in Go")
			if err := module.SignInit(session, mechanism(tc.message), private); err != nil {
				t.Fatalf("sign init: %v", err)
			}
			signature, err := module.Sign(session, message)
			if err != nil {
				t.Fatalf("sign: %v", err)
			}
			key := publicKey(t, module, session, public)
			if !verify(t, key, message, signature, tc.raw) {
				t.Error("gmsm does not verify the token's signature")
			}
			if verify(t, key, message[1:], signature, tc.raw) {
				t.Error("gmsm verifies the token's signature over another message")
			}

			if err := module.DigestInit(session, mechanism(tc.sm3)); err != nil {
				t.Fatalf("digest init: %v", err)
			}
			digest, err := module.Digest(session, message)
			if err != nil {
				t.Fatalf("digest: %v", err)
			}
			want := sm3.Sum(message)
			if diff := cmp.Diff(want[:], digest); diff != "" {
				t.Errorf("SM3 (-want +got):\n%s", diff)
			}

			token.SetFault(t, "session-lost")
			_, err = module.GetSessionInfo(session)
			if !errors.Is(err, pkcs11.Error(pkcs11.CKR_SESSION_HANDLE_INVALID)) {
				t.Errorf("session after session-lost: %v, want CKR_SESSION_HANDLE_INVALID", err)
			}
			token.SetFault(t)
		})
	}
}

func TestNewTokenAddsToADirectory(t *testing.T) {
	first := NewToken(t, Options{Label: "root"})
	second := NewToken(t, Options{Label: "ca", Slot: 1, Dir: first.Dir})
	module, _ := open(t, second)
	var labels []string
	for _, slot := range []uint{0, 1} {
		info, err := module.GetTokenInfo(slot)
		if err != nil {
			t.Fatalf("token info of slot %d: %v", slot, err)
		}
		labels = append(labels, strings.TrimSpace(info.Label))
	}
	if diff := cmp.Diff([]string{"root", "ca"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

// The documented configuration must be accepted as it stands, and with every
// default uncommented.
func TestShippedConfigurationIsTheDefault(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(sourceDir(), "softtoken.conf"))
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]string{}
	for line := range strings.Lines(string(content)) {
		setting, isDefault := strings.CutPrefix(strings.TrimSpace(line), "#")
		key, value, found := strings.Cut(setting, " = ")
		if isDefault && found && !strings.HasPrefix(setting, " ") {
			config[key] = value
		}
	}
	if len(config) != 32 {
		t.Errorf("softtoken.conf documents %d keys, want 32", len(config))
	}
	var lists [][]uint
	for _, c := range []map[string]string{nil, config} {
		token := NewToken(t, Options{Config: c})
		module, _ := open(t, token)
		list, err := module.GetMechanismList(0)
		if err != nil {
			t.Fatalf("mechanism list: %v", err)
		}
		var numbers []uint
		for _, m := range list {
			numbers = append(numbers, m.Mechanism)
		}
		lists = append(lists, numbers)
		if err := module.Finalize(); err != nil { // before the next NewToken
			t.Fatalf("finalize: %v", err)
		}
	}
	if diff := cmp.Diff(lists[0], lists[1]); diff != "" {
		t.Errorf("mechanisms of the built-in (-) and the documented (+) default:\n%s", diff)
	}
}

func TestBuildIsConcurrent(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var group sync.WaitGroup
	paths := make([]string, 2)
	errs := make([]error, 2)
	for i := range paths {
		group.Go(func() { paths[i], errs[i] = build(sourceDir()) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if paths[0] != paths[1] {
		t.Errorf("paths differ: %v", paths)
	}
	entries, err := os.ReadDir(filepath.Dir(paths[0]))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("cache holds %v, want the module alone", entries)
	}
}

func mechanism(number uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(number, nil)}
}

func open(t *testing.T, token Token) (*pkcs11.Ctx, pkcs11.SessionHandle) {
	t.Helper()
	module := pkcs11.New(token.ModulePath)
	if module == nil {
		t.Fatalf("load %s", token.ModulePath)
	}
	if err := module.Initialize(); err != nil {
		t.Fatalf("initialize: %v", err)
	}
	t.Cleanup(func() {
		module.Finalize()
		module.Destroy()
	})
	session, err := module.OpenSession(token.Slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatalf("open session: %v", err)
	}
	if err := module.Login(session, pkcs11.CKU_USER, token.PIN); err != nil {
		t.Fatalf("log in: %v", err)
	}
	return module, session
}

func publicKey(t *testing.T, module *pkcs11.Ctx, session pkcs11.SessionHandle, handle pkcs11.ObjectHandle) *ecdsa.PublicKey {
	t.Helper()
	attributes, err := module.GetAttributeValue(session, handle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		t.Fatalf("read public key: %v", err)
	}
	key, err := sm2.NewPublicKey(attributes[0].Value[2:]) // after the OCTET STRING's header
	if err != nil {
		t.Fatalf("public key: %v", err)
	}
	return key
}

func verify(t *testing.T, key *ecdsa.PublicKey, message, signature []byte, raw bool) bool {
	t.Helper()
	if !raw {
		return sm2.VerifyASN1WithSM2(key, nil, message, signature)
	}
	if len(signature) != 64 {
		t.Fatalf("raw signature of %d bytes", len(signature))
	}
	var der cryptobyte.Builder
	der.AddASN1(asn1.SEQUENCE, func(child *cryptobyte.Builder) {
		child.AddASN1BigInt(new(big.Int).SetBytes(signature[:32]))
		child.AddASN1BigInt(new(big.Int).SetBytes(signature[32:]))
	})
	return sm2.VerifyASN1WithSM2(key, nil, message, der.BytesOrPanic())
}
