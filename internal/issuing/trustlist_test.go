package issuing_test

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

const industryCA = "IndustryCA/people/industry"

// newTrustLists is the desk of an industry CA that makes trust lists.
func newTrustLists(t *testing.T) (*issuing.Desk, *trustsigner.Service) {
	t.Helper()
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: dir + "/ledger.db", TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: dir + "/keys", Password: []byte("only for this test")})
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("people/hsm", keys); err != nil {
		t.Fatal(err)
	}
	s := authority.New(authority.Config{Store: store, Keys: devices})
	if _, err := authoritytest.DeclareCA(t.Context(), s, dir+"/root", time.Now(), authority.Settings{Key: authority.IssuerKey{Authority: industryCA, Generation: 1},
		Device: "people/hsm", TrustList: &authority.TrustListSettings{Device: "people/hsm", Interval: time.Hour, Overlap: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	return issuing.NewDesk(s), trustsigner.New(trustsigner.Config{Store: store, Authorities: s})
}

func revokeSigner(name string) registration.Act {
	return registration.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: name, Digest: sm3.Sum([]byte(name))},
		TrustListSigner: industryCA, Verb: authority.VerbRevoke, Reason: pki.ReasonKeyCompromise}
}

func TestTrustListSignerIsRevoked(t *testing.T) {
	desk, lists := newTrustLists(t)
	issuer := overLinkFor(t, desk, industryCA)
	if _, err := issuer.Perform(t.Context(), revokeSigner("early")); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("before the first list: %v, want ErrNotFound", err)
	}
	key := authority.IssuerKey{Authority: industryCA, Generation: 1}
	sign := func(want bool) {
		t.Helper()
		if made, err := lists.Ensure(t.Context(), key); err != nil || made != want {
			t.Fatalf("made %t, %v, want %t", made, err, want)
		}
	}
	sign(true)
	done, err := issuer.Perform(t.Context(), revokeSigner("stolen"))
	if err != nil || done.Refusal != "" || done.Issuer != key {
		t.Fatalf("%+v, %v, want it done by %s", done, err, industryCA)
	}
	sign(true) // under another key
	sign(false)
	// The act was for the signer of then: replayed, it revokes nobody else.
	again, err := issuer.Perform(t.Context(), revokeSigner("stolen"))
	if err != nil || !again.Adopted || again.Serial != done.Serial {
		t.Errorf("again: %+v, %v, want what was recorded", again, err)
	}
	sign(false)
}

func TestTrustListSignerOfAnotherIsRefused(t *testing.T) {
	desk, lists := newTrustLists(t)
	if _, err := lists.Ensure(t.Context(), authority.IssuerKey{Authority: industryCA, Generation: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := overLinkFor(t, desk, business).Perform(t.Context(), revokeSigner("foreign")); !errors.Is(err, registration.ErrNotEntitled) {
		t.Errorf("a peer that may not act for the CA: %v, want ErrNotEntitled", err)
	}
	act := revokeSigner("business")
	act.TrustListSigner = business
	if _, err := desk.Perform(t.Context(), act); !errors.Is(err, authority.ErrUnknownCA) {
		t.Errorf("a CA that is not here: %v, want ErrUnknownCA", err)
	}
}

// TestListSignersServeNoRequests: whoever may order for requests cannot have a
// trust list signer's certificate made.
func TestListSignersServeNoRequests(t *testing.T) {
	desk, _ := newTrustLists(t)
	issuer := overLinkFor(t, desk, industryCA)
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=Mine,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.CreateRequest(key, subject)
	if err != nil {
		t.Fatal(err)
	}
	o := registration.Order{Identity: authority.Identity{Kind: authority.KindTrustListSigner, Namespace: "people", Name: "mine", Digest: sm3.Sum(csr)},
		RegistrationAuthority: ra, Request: csr, Profile: pki.TrustListSignerProfile(24 * time.Hour)}
	out, err := issuer.Issue(t.Context(), industryCA, []registration.Order{o})
	if err == nil {
		err = out[0].Err
	}
	if err == nil {
		t.Error("an order of kind TrustListSigner was taken")
	}
}
