package issuing_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

const below = "BusinessCA/tier/below"

// certify has the CA "business" certify one below it, and accepts that.
func certify(t *testing.T, s *authority.Service) {
	t.Helper()
	ctx := context.Background()
	signer, key, err := s.EnsureKey(ctx, below, 1, "tier/hsm")
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=Below,O=Test,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	issuer := authority.IssuerKey{Authority: business, Generation: 1}
	out, err := s.Issue(ctx, issuer, []authority.Order{{Identity: authority.Identity{Kind: "BusinessCA", Namespace: "tier", Name: "below", Digest: sm3.Sum([]byte(below))},
		Profile: pki.CAProfile(0, 24*time.Hour, time.Minute), Subject: subject, PublicKey: signer.Public().(*ecdsa.PublicKey)}})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out)
	}
	above, err := s.CA(issuer)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(ctx, authority.Settings{Key: authority.IssuerKey{Authority: below, Generation: 1}, Device: "tier/hsm", Label: key.Label,
		Certificate: out[0].Record.Certificate, Chain: [][]byte{above.Certificate}, CRLInterval: time.Hour, CRLOverlap: time.Hour, Shards: 1}); err != nil {
		t.Fatal(err)
	}
}

// TestRevokedCA: a CA whose own certificate is on hold or revoked issues
// nothing, and says so to RAs; what it issued stays adopted and answerable.
func TestRevokedCA(t *testing.T) {
	ctx := t.Context()
	s := newAuthorities(t)
	certify(t, s)
	desk := issuing.NewDesk(s)
	far := map[string]registration.Issuer{"in one process": desk, "over a link": overLinkFor(t, desk, below)}
	before := order(t, "before", "Before")
	if issued, err := desk.Issue(ctx, below, []registration.Order{before}); err != nil || issued[0].Err != nil {
		t.Fatal(err, issued)
	}
	act := func(name string, verb authority.Verb) {
		t.Helper()
		done, err := desk.Perform(ctx, registration.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "tier", Name: name, Digest: sm3.Sum([]byte(name))},
			CertificateAuthority: below, Verb: verb, Reason: pki.ReasonKeyCompromise})
		if err != nil || done.Refusal != "" {
			t.Fatalf("%s: %+v, %v", name, done, err)
		}
	}
	judge := func(state, suffix string, want error) {
		t.Helper()
		for name, issuer := range far {
			if err := issuer.Ready(ctx, below); !errors.Is(err, want) {
				t.Errorf("%s, %s: ready: got %v, want %v", state, name, err, want)
			}
			issued, err := issuer.Issue(ctx, below, []registration.Order{before, order(t, name+suffix, "After")})
			if err != nil {
				t.Fatal(err)
			}
			if issued[0].Err != nil || !issued[0].Adopted || !errors.Is(issued[1].Err, want) {
				t.Errorf("%s, %s: got %v and %v, want the first adopted and %v", state, name, issued[0].Err, issued[1].Err, want)
			}
		}
		if err := desk.Ready(ctx, business); err != nil {
			t.Errorf("%s: the CA above: %v", state, err)
		}
	}
	judge("good", "-1", nil)
	act("hold", authority.VerbHold)
	judge("on hold", "-2", authority.ErrCARevoked)
	act("release", authority.VerbRelease)
	judge("released", "-3", nil)
	act("revoke", authority.VerbRevoke)
	judge("revoked", "-4", authority.ErrCARevoked)

	key := authority.IssuerKey{Authority: below, Generation: 1}
	responderKey, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=Responder,O=Test,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	responder, err := s.Issue(ctx, key, []authority.Order{{Identity: authority.Identity{Kind: authority.KindOCSPResponder, Namespace: "tier", Name: "responder"},
		Profile: pki.ResponderProfile(time.Hour), Subject: subject, PublicKey: &responderKey.PublicKey}})
	if err != nil || responder[0].Err != nil {
		t.Errorf("OCSP responder of a revoked CA: %v, %v", err, responder)
	}
	if list, err := s.Publish(ctx, key, 0); err != nil || len(list.DER) == 0 {
		t.Errorf("list of a revoked CA: %v", err)
	}
}
