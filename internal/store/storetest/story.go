// Package storetest tampers with ledgers in SQL and sees that audit finds it. Only tests import it.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

// Database is a fresh ledger and what one can do to it who owns the database.
type Database struct {
	// Store has taken the ledger over; Shared opens it without that.
	Store  *sqlstore.Store
	Shared func(t *testing.T) *sqlstore.Store
	// Unprotect drops the triggers that keep audit records as they are.
	Unprotect func(t *testing.T)
	// Exec runs a statement and returns the number of rows; parameters are $1, $2, in this order.
	Exec func(t *testing.T, statement string, args ...any) int64
}

// story is a ledger in which something happened.
type story struct {
	Database
	service *authority.Service
	log     *authority.AuditLog
	device  device.Device
	serials []pki.Serial
	witness audit.Signed // the checkpoint in the middle
	last    audit.Signed
	auditor *sm2.PrivateKey
	officer *sm2.PrivateKey
	started time.Time
	ends    time.Time // of certificates
}

var ca = authority.IssuerKey{Authority: "BusinessCA/tier/people", Generation: 1}

const hsm = "tier/hsm"

// tell makes the story: certificates, acts of every kind, lists, keys, specs, a
// decision, two checkpoints and a mark.
func tell(t *testing.T, d Database, dev device.Device) *story {
	t.Helper()
	s := &story{Database: d, device: dev, auditor: newKey(t), officer: newKey(t), started: time.Now(), ends: time.Now().AddDate(1, 0, 0)}
	keys := device.NewRegistry()
	must(t, keys.Put(hsm, s.device))
	s.service = authority.New(authority.Config{Store: d.Store, Keys: keys})
	s.log = authority.NewAuditLog(s.service, hsm, logr.Discard())
	ctx := t.Context()
	_, _, err := s.service.EnsureKey(ctx, ca.Authority, 1, hsm)
	must(t, err)
	must(t, d.Store.Accept(ctx, authority.Accepted{Name: ca.Authority, Spec: []byte(`{"shards":1}`)}))
	s.issue(t, "a", 3)
	s.perform(t, "leave", authority.VerbRevoke, 0)
	s.perform(t, "wait", authority.VerbHold, 1)
	s.perform(t, "wait-again", authority.VerbHold, 1)
	must(t, s.log.Step(ctx))
	s.witness, err = d.Store.AuditCheckpoint(ctx)
	must(t, err)

	s.issue(t, "b", 2)
	lost := s.begin(t, "lost", 1)
	must(t, d.Store.RecordIntent(ctx, ca, s.intents(lost)))
	must(t, d.Store.Abandon(ctx, ca, lost[0].Serial))
	s.perform(t, "back", authority.VerbRelease, 1)
	now := time.Now()
	number, err := d.Store.ReserveCRLNumber(ctx, ca, 0, now)
	must(t, err)
	must(t, d.Store.SaveCRL(ctx, authority.CRL{Issuer: ca, Number: number, ThisUpdate: now, NextUpdate: now.Add(time.Hour), DER: element("list")}))
	s.decide(t)
	must(t, s.log.Step(ctx))
	newest, err := d.Store.AuditCheckpoint(ctx)
	must(t, err)
	mark, err := audit.Mark{Auditor: "auditor-1", From: 1, To: newest.Size, Tree: newest.Tree, Size: newest.Size, Root: newest.Root, At: now, Note: "first quarter"}.Sign(s.auditor)
	must(t, err)
	_, err = d.Shared(t).Mark(ctx, mark) // beside the process that issues
	must(t, err)
	must(t, s.log.Step(ctx))
	s.last, err = d.Store.AuditCheckpoint(ctx)
	must(t, err)
	return s
}

func (s *story) begin(t *testing.T, prefix string, n int) []authority.Begun {
	t.Helper()
	ids := make([]authority.Identity, n)
	for i := range ids {
		name := fmt.Sprintf("%s-%d", prefix, i)
		ids[i] = authority.Identity{Kind: "CertificateRequest", Namespace: "people", Name: name, Digest: sha256.Sum256([]byte(name))}
	}
	begun, err := s.Store.Begin(t.Context(), ca, 1, ids)
	must(t, err)
	return begun
}

func (s *story) intents(begun []authority.Begun) []authority.Intent {
	all := make([]authority.Intent, len(begun))
	for i, b := range begun {
		all[i] = authority.Intent{Identity: b.Identity, Serial: b.Serial, Shard: b.Shard, Attempt: b.Attempt, TBS: element("tbs " + string(b.Serial)), NotAfter: s.ends}
	}
	return all
}

func (s *story) issue(t *testing.T, prefix string, n int) {
	t.Helper()
	begun := s.begin(t, prefix, n)
	intents := s.intents(begun)
	must(t, s.Store.RecordIntent(t.Context(), ca, intents))
	issued := make([]authority.Issued, n)
	for i, in := range intents {
		issued[i] = authority.Issued{Serial: in.Serial, Certificate: pki.JoinCertificate(in.TBS, element("signature of "+string(in.Serial)))}
		s.serials = append(s.serials, in.Serial)
	}
	must(t, s.Store.RecordIssued(t.Context(), ca, issued))
}

func (s *story) perform(t *testing.T, name string, verb authority.Verb, serial int) {
	t.Helper()
	_, err := s.service.Perform(t.Context(), authority.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: name, Digest: sha256.Sum256([]byte(name))},
		Issuer: ca, Serial: s.serials[serial], Verb: verb, Reason: pki.ReasonSuperseded, At: time.Now(), Operator: "li@ministry"})
	must(t, err)
}

func (s *story) decide(t *testing.T) {
	t.Helper()
	message := []byte("an officer's message that ends with Approve")
	sig, err := s.officer.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	must(t, err)
	spki, err := pki.MarshalSPKI(&s.officer.PublicKey)
	must(t, err)
	_, err = s.service.RecordDecision(t.Context(), sha256.Sum256(message), authority.Decision{Officer: "officer-1", Signature: sig, Message: message, PublicKey: spki})
	must(t, err)
}

// openDevice opens a keystore that all stories of a test share: it costs a second.
func openDevice(t *testing.T) device.Device {
	t.Helper()
	dev, err := software.Open(software.Config{Dir: filepath.Join(t.TempDir(), "keystore"), Password: []byte("a password of the test")})
	must(t, err)
	t.Cleanup(func() { _ = dev.Close() })
	return dev
}

// verify looks at the ledger beside the process that issues.
func (s *story) verify(t *testing.T, o audit.Options) audit.Report {
	t.Helper()
	r, err := check(t.Context(), s.Shared(t), o)
	must(t, err)
	return r
}

func check(ctx context.Context, store *sqlstore.Store, o audit.Options) (audit.Report, error) {
	n, err := store.Snapshot(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	defer func() { _ = n.Close() }()
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return audit.Verify(ctx, n, o)
}

// element is a SEQUENCE of anything.
func element(content string) []byte { return pki.JoinCertificate([]byte(content), nil) }

func octets(t *testing.T, s pki.Serial) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(s))
	must(t, err)
	return bytes.Clone(b)
}

func newKey(t *testing.T) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
