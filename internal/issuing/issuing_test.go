package issuing_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/link/linktest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

const (
	business = "BusinessCA/tier/business"
	foreign  = "BusinessCA/other/business"
	ra       = "tier/ra"
)

// newDesk is the desk of two CAs on a real ledger.
func newDesk(t *testing.T) *issuing.Desk {
	t.Helper()
	return issuing.NewDesk(newAuthorities(t))
}

func newAuthorities(t *testing.T) *authority.Service {
	t.Helper()
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("only for this test")})
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("tier/hsm", keys); err != nil {
		t.Fatal(err)
	}
	s := authority.New(authority.Config{Store: store, Keys: devices, Limits: func(_ authority.IssuerKey, o authority.Order) error {
		if cn, _ := o.Subject.Value("CN"); cn == "Beyond" {
			return fmt.Errorf("%w: subject", registration.ErrOutsideLimits)
		}
		return nil
	}})
	for _, name := range []string{business, foreign} {
		key := authority.IssuerKey{Authority: name, Generation: 1}
		if _, err := authoritytest.DeclareCA(t.Context(), s, filepath.Join(dir, "root"), time.Now(), authority.Settings{Key: key, Device: "tier/hsm"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// overLink is the desk as an RA sees it that may act for the CA "business" alone.
func overLink(t *testing.T, desk *issuing.Desk) registration.Issuer {
	t.Helper()
	return overLinkFor(t, desk, business)
}

func overLinkFor(t *testing.T, desk *issuing.Desk, ca string) registration.Issuer {
	t.Helper()
	pair := linktest.New(t, linktest.Options{Authorities: []string{ca}, RegistrationAuthorities: []string{ra}, Namespaces: []string{"people"}, Codes: issuing.Codes(),
		Register: func(s *link.Server) { desk.Register(s) }})
	return issuing.NewClient(pair.Client)
}

func order(t *testing.T, name, cn string) registration.Order {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=" + cn + ",O=Ministry,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.CreateRequest(key, subject)
	if err != nil {
		t.Fatal(err)
	}
	return registration.Order{Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "people", Name: name, Digest: sm3.Sum(der)},
		RegistrationAuthority: ra, Request: der,
		Profile: pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute}}
}

// TestIssuer holds for the desk itself and for the desk at the end of a link.
func TestIssuer(t *testing.T) {
	for name, far := range map[string]bool{"in one process": false, "over a link": true} {
		t.Run(name, func(t *testing.T) {
			desk := newDesk(t)
			var issuer registration.Issuer = desk
			if far {
				issuer = overLink(t, desk)
			}
			testIssue(t, issuer)
			testAct(t, issuer)
		})
	}
}

func testIssue(t *testing.T, issuer registration.Issuer) {
	ctx := t.Context()
	if err := issuer.Ready(ctx, business); err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.Find(ctx, "CertificateRequest", "people", "zhang"); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("before issuance: got %v, want ErrNotFound", err)
	}
	zhang, beyond, broken := order(t, "zhang", "Zhang San"), order(t, "beyond", "Beyond"), order(t, "broken", "Li Si")
	broken.Request[len(broken.Request)-1] ^= 1 // possession is not proved
	issued, err := issuer.Issue(ctx, business, []registration.Order{zhang, beyond, broken})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, registration.ErrOutsideLimits, registration.ErrInvalidOrder} {
		if !errors.Is(issued[i].Err, want) {
			t.Errorf("order %d: got %v, want %v", i, issued[i].Err, want)
		}
	}
	cert, err := pki.ParseCertificate(issued[0].Certificate)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.ParseCertificate(issued[0].Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignatureFrom(ca); err != nil {
		t.Error(err)
	}
	again, err := issuer.Issue(ctx, business, []registration.Order{zhang})
	if err != nil {
		t.Fatal(err)
	}
	if !again[0].Adopted || !cmp.Equal(again[0].Certificate, issued[0].Certificate) {
		t.Error("the same order again was issued anew")
	}
	known, err := issuer.Find(ctx, "CertificateRequest", "people", "zhang")
	if err != nil || known.Digest != zhang.Identity.Digest || known.Serial != issued[0].Serial {
		t.Errorf("find: %+v, %v", known, err)
	}
	other := order(t, "zhang", "Zhang San")
	conflict, err := issuer.Issue(ctx, business, []registration.Order{other})
	if err != nil || !errors.Is(conflict[0].Err, authority.ErrConflict) {
		t.Errorf("another request under the name: %v, %v", err, conflict)
	}
	if _, err := issuer.Issue(ctx, "BusinessCA/tier/none", []registration.Order{zhang}); err == nil {
		t.Error("an unknown CA issued")
	}
}

func testAct(t *testing.T, issuer registration.Issuer) {
	ctx := t.Context()
	act := func(name string, verb authority.Verb, change func(*registration.Act)) registration.Act {
		a := registration.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: name, Digest: sm3.Sum([]byte(name))},
			RegistrationAuthority: ra, Authority: business, Request: "zhang", Verb: verb, Requester: "sun"}
		if change != nil {
			change(&a)
		}
		return a
	}
	held, err := issuer.Perform(ctx, act("hold", authority.VerbHold, nil))
	if err != nil || held.Refusal != "" || held.Adopted || held.Operator != "sun" {
		t.Fatalf("hold: %+v, %v", held, err)
	}
	if again, err := issuer.Perform(ctx, act("hold", authority.VerbHold, nil)); err != nil || !again.Adopted || !again.RecordedAt.Equal(held.RecordedAt) {
		t.Errorf("hold again: %+v, %v", again, err)
	}
	if second, err := issuer.Perform(ctx, act("hold-2", authority.VerbHold, nil)); err != nil || second.Refusal != authority.RefusedHeld {
		t.Errorf("a second hold: %+v, %v", second, err)
	}
	number, err := issuer.Publish(ctx, held.Issuer, held.Serial)
	if err != nil || number == 0 {
		t.Errorf("publish: %d, %v", number, err)
	}
	if same, err := issuer.Publish(ctx, held.Issuer, held.Serial); err != nil || same != number {
		t.Errorf("publish what is published: %d, %v, want %d", same, err, number)
	}
	bySerial := act("revoke", authority.VerbRevoke, func(a *registration.Act) {
		a.Request, a.Serial, a.Reason = "", held.Serial, pki.ReasonKeyCompromise
	})
	if done, err := issuer.Perform(ctx, bySerial); err != nil || done.Refusal != "" || done.Serial != held.Serial {
		t.Errorf("revoke by serial: %+v, %v", done, err)
	}
	if next, err := issuer.Publish(ctx, held.Issuer, held.Serial); err != nil || next <= number {
		t.Errorf("publish what the list says differently: %d, %v, want a number above %d", next, err, number)
	}
	if _, err := issuer.Perform(ctx, act("none", authority.VerbHold, func(a *registration.Act) { a.Request = "nobody" })); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("act on nothing: %v", err)
	}
	changed := act("hold", authority.VerbRelease, func(a *registration.Act) { a.Identity.Digest = sm3.Sum([]byte("other")) })
	if _, err := issuer.Perform(ctx, changed); !errors.Is(err, authority.ErrActConflict) {
		t.Errorf("another act under the name: %v", err)
	}
}

// TestPeerIsBounded: what the peers file does not grant is refused, and done to nobody.
func TestPeerIsBounded(t *testing.T) {
	desk := newDesk(t)
	far := overLink(t, desk)
	ctx := t.Context()
	mine, others := order(t, "mine", "Mine"), order(t, "others", "Others")
	if _, err := desk.Issue(ctx, foreign, []registration.Order{others}); err != nil {
		t.Fatal(err)
	}
	theirs, err := desk.Find(ctx, "CertificateRequest", "people", "others")
	if err != nil {
		t.Fatal(err)
	}
	stranger, intruder := mine, mine
	stranger.RegistrationAuthority = "other/ra"
	intruder.Identity.Namespace = "of-another-ra"
	identity := authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: "x", Digest: sm3.Sum([]byte("x"))}
	for name, call := range map[string]func() error{
		"issue with another CA": func() error { _, err := far.Issue(ctx, foreign, []registration.Order{mine}); return err },
		"issue for another RA":  func() error { _, err := far.Issue(ctx, business, []registration.Order{stranger}); return err },
		"use up another's name": func() error { _, err := far.Issue(ctx, business, []registration.Order{mine, intruder}); return err },
		"act in another's namespace": func() error {
			elsewhere := identity
			elsewhere.Namespace = "of-another-ra"
			_, err := far.Perform(ctx, registration.Act{Identity: elsewhere, RegistrationAuthority: ra, Authority: business, Serial: theirs.Serial, Verb: authority.VerbHold})
			return err
		},
		"find another CA's":         func() error { _, err := far.Find(ctx, "CertificateRequest", "people", "others"); return err },
		"publish another CA's list": func() error { _, err := far.Publish(ctx, theirs.Issuer, theirs.Serial); return err },
		"readiness of another CA":   func() error { return far.Ready(ctx, foreign) },
		"revoke with another CA": func() error {
			_, err := far.Perform(ctx, registration.Act{Identity: identity, RegistrationAuthority: ra, Authority: foreign, Request: "others", Verb: authority.VerbHold})
			return err
		},
		"revoke for another RA": func() error {
			_, err := far.Perform(ctx, registration.Act{Identity: identity, RegistrationAuthority: "other/ra", Authority: business, Request: "others", Verb: authority.VerbHold})
			return err
		},
	} {
		if err := call(); !errors.Is(err, registration.ErrNotEntitled) || !strings.Contains(err.Error(), "peers file") {
			t.Errorf("%s: got %v, want ErrNotEntitled with its cure", name, err)
		}
	}
	if _, err := desk.Find(ctx, "CertificateRequest", "people", "mine"); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("after the refusals: %v, want nothing issued", err)
	}
	// The same order was taken by another CA before: what that issued is not shown.
	taken, err := far.Issue(ctx, business, []registration.Order{others, mine})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(taken[0].Err, authority.ErrConflict) || taken[0].Certificate != nil || taken[0].Serial != "" || taken[1].Err != nil {
		t.Errorf("another CA's order again: got %+v and %v, want ErrConflict alone and no error", taken[0], taken[1].Err)
	}
	// Entitled, but the certificate is another CA's.
	if _, err := far.Perform(ctx, registration.Act{Identity: identity, RegistrationAuthority: ra, Authority: business, Serial: theirs.Serial, Verb: authority.VerbHold}); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("hold of another CA's certificate by serial: %v", err)
	}
	if _, err := far.Perform(ctx, registration.Act{Identity: identity, RegistrationAuthority: ra, Authority: business, Request: "others", Verb: authority.VerbHold}); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("hold of another CA's certificate by request: %v", err)
	}
}
