package inventory_test

import (
	"bytes"
	"context"
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
	"github.com/terrace-pki/terrace/internal/inventory"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// town is a CA with two shards on a ledger of its own.
type town struct {
	*authority.Service
	key  authority.IssuerKey
	path string
	// ahead is how far the clock of the service is.
	ahead time.Duration
	keys  *sm2.PrivateKey
}

func (w *town) now() time.Time { return time.Now().Add(w.ahead) }

func newTown(t *testing.T) *town {
	t.Helper()
	dir := t.TempDir()
	w := &town{path: filepath.Join(dir, "ledger.db"), key: authority.IssuerKey{Authority: "BusinessCA/ministry/province", Generation: 1}}
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: w.path, TakeOver: true})
	check(t, err)
	t.Cleanup(func() { check(t, store.Close()) })
	keystore, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("inventory")})
	check(t, err)
	devices := device.NewRegistry()
	check(t, devices.Put("ministry/device", keystore))
	w.Service = authority.New(authority.Config{Store: store, Keys: devices, Now: w.now})
	_, err = authoritytest.DeclareCA(t.Context(), w.Service, filepath.Join(dir, "root"), time.Now(), authority.Settings{
		Key: w.key, Device: "ministry/device", Shards: 2, BaseURL: "http://pki.example"})
	check(t, err)
	w.keys, err = sm2.GenerateKey(rand.Reader)
	check(t, err)
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *town) issue(t *testing.T, n int) []authority.Record {
	t.Helper()
	var orders []authority.Order
	for i := range n {
		name, err := pki.ParseName(fmt.Sprintf("CN=Subscriber %d,C=CN", i))
		check(t, err)
		orders = append(orders, authority.Order{
			Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "ministry", Name: fmt.Sprint(i), Digest: sm3.Sum([]byte{byte(i)})},
			Profile:  pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute},
			Subject:  name, PublicKey: &w.keys.PublicKey})
	}
	out, err := w.Issue(t.Context(), w.key, orders)
	check(t, err)
	var records []authority.Record
	for _, o := range out {
		check(t, o.Err)
		records = append(records, o.Record)
	}
	return records
}

func (w *town) act(t *testing.T, r authority.Record, verb authority.Verb, reason pki.Reason, at time.Time) {
	t.Helper()
	name := string(verb) + string(r.Serial)
	done, err := w.Perform(t.Context(), authority.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "ministry", Name: name, Digest: sm3.Sum([]byte(name))},
		Issuer: r.Issuer, Serial: r.Serial, Verb: verb, Reason: reason, At: at})
	check(t, err)
	if done.Refusal != "" {
		t.Fatal(done.Refusal)
	}
}

func (w *town) publish(t *testing.T) {
	t.Helper()
	for shard := range int32(2) {
		_, err := w.Publish(t.Context(), w.key, shard)
		check(t, err)
	}
}

// ledger opens the ledger as the command does, beside the service.
func (w *town) ledger(t *testing.T) authority.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: w.path})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// settled is a town with certificates good, revoked, held, and released.
func settled(t *testing.T) (*town, []authority.Record) {
	w := newTown(t)
	records := w.issue(t, 12)
	early := time.Now().Add(-time.Hour)
	w.act(t, records[0], authority.VerbRevoke, pki.ReasonKeyCompromise, early)
	w.act(t, records[1], authority.VerbHold, 0, early)
	w.act(t, records[2], authority.VerbHold, 0, early)
	w.act(t, records[2], authority.VerbRelease, 0, early)
	w.publish(t)
	return w, records
}

// errorsOf are the findings of severity error by name.
func errorsOf(r inventory.Report) map[string]int64 {
	out := map[string]int64{}
	for _, c := range r.Counts {
		if c.Severity == 0 {
			out[c.Check] = c.Count
		}
	}
	return out
}

func run(t *testing.T, l inventory.Ledger, c inventory.Config) inventory.Report {
	t.Helper()
	c.Ledger = l
	if c.Now == nil {
		c.Now = time.Now
	}
	r, err := inventory.Run(t.Context(), c)
	check(t, err)
	return r
}

func TestGoodLedger(t *testing.T) {
	w, records := settled(t)
	r := run(t, w.ledger(t), inventory.Config{})
	if diff := cmp.Diff(map[string]int64{}, errorsOf(r)); diff != "" {
		t.Errorf("%s\n%+v", diff, r.Counts)
	}
	if r.CAs != 1 || r.Certificates != int64(len(records)) || r.CRLs != 2 || r.Entries != 2 || r.Errors() != 0 {
		t.Errorf("went through %+v", r)
	}
	// The service goes on: it was not fenced off.
	w.publish(t)
}

func TestChangesOfNowAreNoFindings(t *testing.T) {
	w, records := settled(t)
	w.act(t, records[1], authority.VerbRelease, 0, time.Now()) // still on the list
	w.act(t, records[3], authority.VerbRevoke, pki.ReasonSuperseded, time.Now())
	if r := run(t, w.ledger(t), inventory.Config{}); r.Errors() != 0 {
		t.Errorf("%+v", r.Counts)
	}
}

// bent is a ledger that lies.
type bent struct {
	authority.Store
	record  func(*authority.Record)
	revoked func(*authority.Record)
	list    func(*authority.CRL) error
}

func (b bent) Good(ctx context.Context, key authority.IssuerKey, after int64, limit int) ([]authority.Record, int64, error) {
	page, next, err := b.Store.Good(ctx, key, after, limit)
	if len(page) > 0 && b.record != nil {
		b.record(&page[0])
	}
	return page, next, err
}

func (b bent) Revoked(ctx context.Context, key authority.IssuerKey, shard int32, notAfter time.Time, yield func(authority.Record) error) error {
	return b.Store.Revoked(ctx, key, shard, notAfter, func(r authority.Record) error {
		if b.revoked != nil {
			b.revoked(&r)
		}
		return yield(r)
	})
}

func (b bent) CurrentCRL(ctx context.Context, key authority.IssuerKey, shard int32) (authority.CRL, error) {
	c, err := b.Store.CurrentCRL(ctx, key, shard)
	if err == nil && b.list != nil && shard == 0 {
		err = b.list(&c)
	}
	return c, err
}

func TestBentLedgers(t *testing.T) {
	w, records := settled(t)
	store := w.ledger(t)
	other := func(t *testing.T, shard int32) authority.CRL {
		c, err := store.CurrentCRL(t.Context(), w.key, shard)
		check(t, err)
		return c
	}
	for name, c := range map[string]struct {
		bent bent
		want map[string]int64
	}{
		"another certificate's bytes": {bent{record: func(r *authority.Record) { r.Certificate = records[0].Certificate }},
			map[string]int64{inventory.FindingSerial: 1, inventory.FindingShard: -1}},
		"a bit of the signature": {bent{record: func(r *authority.Record) {
			r.Certificate = bytes.Clone(r.Certificate)
			r.Certificate[len(r.Certificate)-1] ^= 1
		}}, map[string]int64{"signature-verifies": 1}},
		"no certificate": {bent{record: func(r *authority.Record) { r.Certificate = nil }},
			map[string]int64{"certificate-form": 1, inventory.FindingNoRecord: 1}},
		"another end":   {bent{record: func(r *authority.Record) { r.NotAfter = r.NotAfter.Add(time.Hour) }}, map[string]int64{inventory.FindingNotAfter: 1}},
		"another shard": {bent{record: func(r *authority.Record) { r.Shard = 1 - r.Shard }}, map[string]int64{inventory.FindingShard: 1}},
		"no such shard": {bent{record: func(r *authority.Record) { r.Shard = 7 }}, map[string]int64{inventory.FindingShard: 1}},
		"another reason": {bent{revoked: func(r *authority.Record) {
			if r.Serial == records[0].Serial {
				r.Revocation.Reason = pki.ReasonSuperseded
			}
		}}, map[string]int64{inventory.FindingCRLDiffers: 1}},
		"no list":        {bent{list: func(*authority.CRL) error { return authority.ErrNotFound }}, map[string]int64{inventory.FindingNoCRL: 1}},
		"a cut list":     {bent{list: func(c *authority.CRL) error { c.DER = c.DER[:9]; return nil }}, map[string]int64{"crl-form": 1, inventory.FindingCRLRecord: 1, inventory.FindingCRLMissing: -1}},
		"another number": {bent{list: func(c *authority.CRL) error { c.Number++; return nil }}, map[string]int64{inventory.FindingCRLRecord: 1}},
		"another shard's list": {bent{list: func(c *authority.CRL) error { c.DER = other(t, 1).DER; return nil }},
			map[string]int64{inventory.FindingCRLRecord: 1, inventory.FindingCRLMissing: -1, inventory.FindingCRLExtra: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			c.bent.Store = store
			got := errorsOf(run(t, c.bent, inventory.Config{}))
			for check, n := range c.want { // -1: as chance spread the serials over the shards
				if n < 0 {
					delete(c.want, check)
					delete(got, check)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestListThatMissesOne(t *testing.T) {
	w, records := settled(t)
	store := w.ledger(t)
	old, err := store.CurrentCRL(t.Context(), w.key, records[4].Shard)
	check(t, err)
	w.act(t, records[4], authority.VerbRevoke, pki.ReasonSuperseded, time.Now().Add(-30*time.Minute))
	got := errorsOf(run(t, store, inventory.Config{}))
	if diff := cmp.Diff(map[string]int64{inventory.FindingCRLMissing: 1}, got); diff != "" {
		t.Errorf("revoked before list %d:\n%s", old.Number, diff)
	}
	late := func() time.Time { return time.Now().Add(3 * time.Hour) }
	w.publish(t)
	if diff := cmp.Diff(map[string]int64{inventory.FindingOverdue: 2}, errorsOf(run(t, store, inventory.Config{Now: late}))); diff != "" {
		t.Errorf("three hours later:\n%s", diff)
	}
}

func TestWalkGoesOn(t *testing.T) {
	w := newTown(t)
	for range 3 {
		w.issueMore(t, 250)
	}
	w.publish(t)
	store := w.ledger(t)
	var places []inventory.Place
	all := run(t, store, inventory.Config{Every: time.Nanosecond, Progress: func(p inventory.Place) { places = append(places, p) }})
	if all.Certificates != 750 || len(places) < 2 {
		t.Fatalf("%d certificates, places %v", all.Certificates, places)
	}
	rest := run(t, store, inventory.Config{After: places[0].After})
	if rest.Certificates != 750-places[0].Certificates || rest.CRLs != 2 {
		t.Errorf("after %s: %d certificates", places[0].After, rest.Certificates)
	}
	for _, bad := range []string{"x", "x:y", "BusinessCA/a/b/g1:3", ":1", "BusinessCA/ministry/province/g1:-1"} {
		if _, err := inventory.Run(t.Context(), inventory.Config{Ledger: store, After: bad, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "place") {
			t.Errorf("place %q: %v", bad, err)
		}
	}
	broken := bentErr{store}
	if _, err := inventory.Run(t.Context(), inventory.Config{Ledger: broken, Now: time.Now}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a ledger that does not answer: %v", err)
	}
}

type bentErr struct{ authority.Store }

func (bentErr) Good(context.Context, authority.IssuerKey, int64, int) ([]authority.Record, int64, error) {
	return nil, 0, context.DeadlineExceeded
}

// issueMore issues under names that were not used.
func (w *town) issueMore(t *testing.T, n int) {
	t.Helper()
	var orders []authority.Order
	for range n {
		name := rand.Text()
		subject, err := pki.ParseName("CN=" + name + ",C=CN")
		check(t, err)
		orders = append(orders, authority.Order{
			Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "ministry", Name: name, Digest: sm3.Sum([]byte(name))},
			Profile:  pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute},
			Subject:  subject, PublicKey: &w.keys.PublicKey})
	}
	out, err := w.Issue(t.Context(), w.key, orders)
	check(t, err)
	for _, o := range out {
		check(t, o.Err)
	}
}

// What was archived is counted, and is no finding.
func TestArchivedContent(t *testing.T) {
	w, records := settled(t)
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: w.path, TakeOver: true}) // as terrace ca archive does
	check(t, err)
	defer store.Close()
	archiver, before := store.(authority.Archiver), time.Now().AddDate(100, 0, 0)
	page, _, err := archiver.Expired(t.Context(), before, 0, authority.MaxChanges)
	check(t, err)
	for _, gone := range page {
		if gone.Revocation == nil {
			_, err = archiver.DropContent(t.Context(), before, []int64{gone.Row})
			check(t, err)
			break
		}
	}
	for after, want := range map[time.Duration]int64{0: 0, 100 * 24 * time.Hour: 1} { // what is valid must have its content
		r := run(t, w.ledger(t), inventory.Config{Now: func() time.Time { return time.Now().Add(after) }})
		if missing := errorsOf(r)["ledger-record"]; r.WithoutContent != want || r.Certificates != int64(len(records))-want || missing != 1-want {
			t.Errorf("after %s: %d missing in %+v", after, missing, r)
		}
	}
}
