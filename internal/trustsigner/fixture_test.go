package trustsigner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/internal/trustlist"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

var industry = authority.IssuerKey{Authority: "IndustryCA/tier/ministry", Generation: 1}

// fixture is a ledger in a file with an industry CA that makes trust lists.
type fixture struct {
	t           *testing.T
	path        string
	devices     *device.Registry
	root        *smx509.Certificate
	now         time.Time
	reached     func(trustsigner.CommitPoint) error
	store       *authoritytest.Faulty
	authorities *authority.Service
	*trustsigner.Service
}

// shared is the folder of what all tests use: devices and root take seconds to make.
var shared string

var devices = sync.OnceValues(func() (*device.Registry, error) {
	registry := device.NewRegistry()
	for _, name := range []string{"tier/device", "tier/lists"} {
		keys, err := software.Open(software.Config{Dir: filepath.Join(shared, filepath.Base(name)), Password: []byte("test")})
		if err != nil {
			return nil, err
		}
		if err := registry.Put(name, keys); err != nil {
			return nil, err
		}
	}
	return registry, nil
})

// replaced returns devices of which that of the lists is a new one.
func replaced(t *testing.T, old *device.Registry) *device.Registry {
	t.Helper()
	keys, err := software.Open(software.Config{Dir: filepath.Join(t.TempDir(), "keys"), Password: []byte("test")})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := old.Get("tier/device")
	if err != nil {
		t.Fatal(err)
	}
	registry := device.NewRegistry()
	if err := errors.Join(registry.Put("tier/device", kept), registry.Put("tier/lists", keys)); err != nil {
		t.Fatal(err)
	}
	return registry
}

func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "trustsigner"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(shared); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "ledger.db"), now: time.Now().Truncate(time.Second)}
	var err error
	if f.devices, err = devices(); err != nil {
		t.Fatal(err)
	}
	f.start()
	rootDir := filepath.Join(shared, "root")
	root, err := nationalroot.Open(t.Context(), rootDir, f.now)
	if err != nil {
		t.Fatal(err)
	}
	if f.root, err = pki.ParseCertificatePEM(root.CertificatePEM()); err != nil {
		t.Fatal(err)
	}
	_, err = authoritytest.DeclareCA(t.Context(), f.authorities, rootDir, f.now, authority.Settings{Key: industry, Device: "tier/device",
		Chain: [][]byte{f.root.Raw}, TrustList: &authority.TrustListSettings{Device: "tier/lists", Interval: time.Hour, Overlap: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// start begins as a process does: it takes the ledger over.
func (f *fixture) start() {
	f.t.Helper()
	store, err := sqlite.Open(f.t.Context(), sqlite.Config{Path: f.path, TakeOver: true})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = store.Close() })
	f.store = authoritytest.NewFaulty(store)
	f.authorities = authority.New(authority.Config{Store: f.store, Keys: f.devices, Now: func() time.Time { return f.now }})
	if err := f.authorities.Load(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.Service = trustsigner.New(trustsigner.Config{Store: f.store, Authorities: f.authorities, AtCommitPoint: func(p trustsigner.CommitPoint) error {
		if f.reached != nil {
			return f.reached(p)
		}
		return nil
	}})
}

// businessCA issues and accepts a CA below another one.
func (f *fixture) businessCA(issuer authority.IssuerKey, name string, pathLen int, validity time.Duration) authority.Record {
	f.t.Helper()
	ctx := f.t.Context()
	key := authority.IssuerKey{Authority: "BusinessCA/tier/" + name, Generation: 1}
	signer, k, err := f.authorities.EnsureKey(ctx, key.Authority, 1, "tier/device")
	if err != nil {
		f.t.Fatal(err)
	}
	public, err := pki.SignerPublicKey(signer)
	if err != nil {
		f.t.Fatal(err)
	}
	subject, err := pki.ParseName(fmt.Sprintf("CN=%s,O=Test,C=CN", name))
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := f.authorities.Issue(ctx, issuer, []authority.Order{{Identity: authority.Identity{Kind: "BusinessCA", Namespace: "tier", Name: name, Digest: sm3.Sum([]byte(name))},
		Profile: pki.CAProfile(pathLen, validity, time.Minute), Subject: subject, PublicKey: public}})
	if err != nil || out[0].Err != nil {
		f.t.Fatal(err, out[0].Err)
	}
	above, err := f.authorities.CA(issuer)
	if err != nil {
		f.t.Fatal(err)
	}
	err = f.authorities.Accept(ctx, authority.Settings{Key: key, Device: "tier/device", Label: k.Label, Certificate: out[0].Record.Certificate,
		Chain: append([][]byte{above.Certificate}, above.Chain...), CRLInterval: time.Hour, CRLOverlap: time.Hour, Shards: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	return out[0].Record
}

func (f *fixture) perform(verb authority.Verb, name string, of authority.Record) {
	f.t.Helper()
	a := authority.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "tier", Name: name, Digest: sm3.Sum([]byte(name))},
		Issuer: of.Issuer, Serial: of.Serial, Verb: verb, At: f.now}
	if verb == authority.VerbRevoke {
		a.Reason = pki.ReasonKeyCompromise
	}
	if p, err := f.authorities.Perform(f.t.Context(), a); err != nil || p.Refusal != "" {
		f.t.Fatal(err, p.Refusal)
	}
}

// ensure has a list made, or not, and returns the current one, verified in both forms.
func (f *fixture) ensure(wantMade bool) *trustlist.Signed {
	f.t.Helper()
	if made, err := f.Ensure(f.t.Context(), industry); err != nil || made != wantMade {
		f.t.Fatalf("ensure: made %t, %v, want %t", made, err, wantMade)
	}
	return f.current()
}

func (f *fixture) current() *trustlist.Signed {
	f.t.Helper()
	var lists []*trustlist.Signed
	for _, form := range trustlist.Forms {
		kept, err := f.store.CurrentCRL(context.Background(), industry.TrustList(), int32(form))
		if err != nil {
			f.t.Fatal(err)
		}
		l, err := trustlist.Parse(kept.DER)
		if err != nil {
			f.t.Fatal(err)
		}
		if err := l.Verify(f.root, f.now, 0); err != nil {
			f.t.Fatal(err)
		}
		if l.Form != form || l.Sequence != kept.Number || !l.NextUpdate.Equal(kept.NextUpdate) || !l.ThisUpdate.Equal(kept.ThisUpdate) {
			f.t.Fatalf("form %d number %d until %s is kept as %d, %d, %s", l.Form, l.Sequence, l.NextUpdate, form, kept.Number, kept.NextUpdate)
		}
		lists = append(lists, l)
	}
	if lists[0].Sequence != lists[1].Sequence {
		f.t.Fatalf("the forms have numbers %d and %d", lists[0].Sequence, lists[1].Sequence)
	}
	return lists[1]
}
