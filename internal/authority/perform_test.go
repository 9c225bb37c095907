package authority_test

import (
	"context"
	"crypto"
	"errors"
	"io"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func act(name string, verb authority.Verb, of authority.Record) authority.Act {
	a := authority.Act{
		Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "bench", Name: name, Digest: sm3.Sum([]byte(name))},
		Issuer:   of.Issuer, Serial: of.Serial, Verb: verb, At: time.Now(),
	}
	if verb == authority.VerbRevoke {
		a.Reason = pki.ReasonKeyCompromise
	}
	return a
}

// fixture is a service on a store that fails on demand, with a device that may
// be held up in its signatures.
type fixture struct {
	*authority.Service
	key   authority.IssuerKey
	store *authoritytest.Faulty
	keys  *device.Registry
	// signing is called before each signature; it may be nil.
	signing *atomic.Pointer[func()]
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	store, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("bench")})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{key: authority.IssuerKey{Authority: "IndustryCA/bench/ca", Generation: 1}, store: authoritytest.NewFaulty(store), signing: &atomic.Pointer[func()]{}}
	devices := device.NewRegistry()
	if err := devices.Put("bench/device", heldUp{keys, f.signing}); err != nil {
		t.Fatal(err)
	}
	f.keys = devices
	f.Service = authority.New(authority.Config{Store: f.store, Keys: devices})
	if _, err := authoritytest.DeclareCA(ctx, f.Service, filepath.Join(dir, "root"), time.Now(), authority.Settings{Key: f.key, Device: "bench/device"}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fixture) issue(t *testing.T, n int) authority.Record {
	t.Helper()
	out, err := f.Issue(context.Background(), f.key, []authority.Order{order(t, n)})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out[0].Err)
	}
	return out[0].Record
}

// reasons are the entries of a list, by serial.
func reasons(t *testing.T, c authority.CRL) map[pki.Serial]int {
	t.Helper()
	list, err := smx509.ParseRevocationList(c.DER)
	if err != nil {
		t.Fatal(err)
	}
	all := map[pki.Serial]int{}
	for _, e := range list.RevokedCertificateEntries {
		all[pki.SerialFromInt(e.SerialNumber)] = e.ReasonCode
	}
	return all
}

type heldUp struct {
	device.Device
	signing *atomic.Pointer[func()]
}

func (d heldUp) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	k, err := d.Device.Key(ctx, label)
	return heldUpKey{k, d.signing}, err
}

type heldUpKey struct {
	crypto.MessageSigner
	signing *atomic.Pointer[func()]
}

func (k heldUpKey) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if wait := k.signing.Load(); wait != nil {
		(*wait)()
	}
	return k.MessageSigner.SignMessage(random, message, opts)
}

// A failed act is tried again and is done once, whether or not the failure was persisted.
func TestActFails(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		fail        func(*authoritytest.Faulty)
		wantAdopted bool
	}{
		"not persisted": {func(f *authoritytest.Faulty) { f.FailBefore("Perform", boom) }, false},
		"persisted":     {func(f *authoritytest.Faulty) { f.FailAfter("Perform", boom) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			a := act("revoke", authority.VerbRevoke, f.issue(t, 1))
			tc.fail(f.store)
			if _, err := f.Perform(t.Context(), a); !errors.Is(err, boom) {
				t.Fatalf("error %v", err)
			}
			done, err := f.Perform(t.Context(), a)
			if err != nil || done.Adopted != tc.wantAdopted || done.Refusal != "" {
				t.Errorf("again: %+v, %v, want it done, adopted %t", done, err, tc.wantAdopted)
			}
			found, err := f.FindAct(t.Context(), a.Identity.Kind, a.Identity.Namespace, a.Identity.Name)
			if err != nil || found.Serial != a.Serial {
				t.Errorf("found: %+v, %v", found, err)
			}
		})
	}
}

// A list that failed is made again, under a number of its own.
func TestPublishFails(t *testing.T) {
	boom := errors.New("boom")
	for _, method := range []string{"ReserveCRLNumber", "SaveCRL"} {
		for name, fail := range map[string]func(*authoritytest.Faulty){
			"not persisted": func(f *authoritytest.Faulty) { f.FailBefore(method, boom) },
			"persisted":     func(f *authoritytest.Faulty) { f.FailAfter(method, boom) },
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				f := newFixture(t)
				record := f.issue(t, 1)
				if _, err := f.Perform(t.Context(), act("revoke", authority.VerbRevoke, record)); err != nil {
					t.Fatal(err)
				}
				fail(f.store)
				if _, err := f.Publish(t.Context(), f.key, 0); !errors.Is(err, boom) {
					t.Fatalf("error %v", err)
				}
				made, err := f.Publish(t.Context(), f.key, 0)
				if err != nil {
					t.Fatal(err)
				}
				current, err := f.store.CurrentCRL(t.Context(), f.key, 0)
				if err != nil || current.Number != made.Number {
					t.Errorf("current list has number %d, %v, want %d", current.Number, err, made.Number)
				}
				if _, listed := reasons(t, made)[record.Serial]; !listed {
					t.Error("the list does not show the act")
				}
			})
		}
	}
}

func TestPublishShowsHoldAndRelease(t *testing.T) {
	f := newFixture(t)
	record := f.issue(t, 1)
	publish := func() map[pki.Serial]int {
		t.Helper()
		c, err := f.Publish(t.Context(), f.key, 0)
		if err != nil {
			t.Fatal(err)
		}
		return reasons(t, c)
	}
	for _, step := range []struct {
		verb       authority.Verb
		wantListed bool
		wantReason int
	}{{authority.VerbHold, true, 6}, {authority.VerbRelease, false, 0}, {authority.VerbRevoke, true, 1}} {
		if _, err := f.Perform(t.Context(), act(string(step.verb), step.verb, record)); err != nil {
			t.Fatal(err)
		}
		reason, listed := publish()[record.Serial]
		if listed != step.wantListed || reason != step.wantReason {
			t.Errorf("after %s: listed %t with reason %d, want %t with %d", step.verb, listed, reason, step.wantListed, step.wantReason)
		}
	}
	if made, err := f.EnsureCRL(t.Context(), f.key, 0); err != nil || made {
		t.Errorf("a list was just published, and one is made by schedule: %t, %v", made, err)
	}
	if _, err := f.Publish(t.Context(), f.key, 1); err == nil {
		t.Error("a shard that the CA does not have is published")
	}
}

// Calls that come while a list is made do not get that list, but share the next.
func TestPublishShares(t *testing.T) {
	f := newFixture(t)
	record := f.issue(t, 1)
	signing, carryOn := make(chan struct{}, 8), make(chan struct{})
	hold := func() { signing <- struct{}{}; <-carryOn }
	f.signing.Store(&hold)
	type published struct {
		crl authority.CRL
		err error
	}
	results := make(chan published, 8)
	publish := func() {
		c, err := f.Publish(context.Background(), f.key, 0)
		results <- published{c, err}
	}
	go publish()
	<-signing // the first list has its entries and is being signed
	if _, err := f.Perform(t.Context(), act("revoke", authority.VerbRevoke, record)); err != nil {
		t.Fatal(err)
	}
	var started sync.WaitGroup
	for range 6 {
		started.Add(1)
		go func() { started.Done(); publish() }()
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Publish(impatient, f.key, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up: %v", err)
	}
	started.Wait()
	time.Sleep(100 * time.Millisecond) // whoever is later than this may need one more list
	close(carryOn)
	lists := map[int64]authority.CRL{}
	calls := map[int64]int{}
	first := int64(math.MaxInt64)
	for range 7 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		lists[r.crl.Number] = r.crl
		calls[r.crl.Number]++
		first = min(first, r.crl.Number)
	}
	if calls[first] != 1 || len(lists) < 2 || len(lists) > 3 {
		t.Errorf("calls by list: %v, want 1 of the first, the others sharing the next", calls)
	}
	for number, c := range lists {
		if _, listed := reasons(t, c)[record.Serial]; listed != (number != first) {
			t.Errorf("list %d (the first is %d) shows the act: %t", number, first, listed)
		}
	}
}
