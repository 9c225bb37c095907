// Package recovery loses a ledger in use, restores it from an older backup, and
// reconciles it with what the API server, directories and validation nodes know.
package recovery

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/recovery"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
)

func TestRestoredLedger(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, database)
			a := o.request(t, "a", nil)
			o.reconcile(t, a)
			first, err := o.Authorities.Publish(t.Context(), o.key(t), 0)
			if err != nil {
				t.Fatal(err)
			}
			file := save(t)

			b := o.request(t, "b", nil)
			if got := o.reconcile(t, b); got != "True/Succeeded" {
				t.Fatalf("b is %s", got)
			}
			rev := o.revocation(t, "revoke-a", "a")
			if got := o.perform(t, rev); got != "True/Succeeded" {
				t.Fatalf("revocation is %s", got)
			}
			list, err := o.Authorities.Publish(t.Context(), o.key(t), 0)
			if err != nil {
				t.Fatal(err)
			}
			o.lose(t, file, database)

			// It waits: nothing is issued, revoked or listed.
			c := o.request(t, "c", nil)
			if got := o.reconcile(t, c); got != "False/LedgerRestored" || !strings.Contains(controllertest.Message(c, pkiv1.ConditionIssued), "terrace ca reconcile") {
				t.Errorf("c is %s: %s", got, controllertest.Message(c, pkiv1.ConditionIssued))
			}
			if _, err := o.Authorities.Publish(t.Context(), o.key(t), 0); !errors.Is(err, authority.ErrRestored) {
				t.Errorf("a list is made: %v", err)
			}
			if got := o.perform(t, o.revocation(t, "revoke-a-again", "a")); got != "False/LedgerRestored" {
				t.Errorf("another revocation is %s", got)
			}

			service := o.Authorities
			watch, stop := context.WithCancel(t.Context())
			watched := make(chan error, 1)
			go func() { watched <- service.WatchLedger(watch, logr.Discard()) }()
			defer stop()
			select {
			case <-service.Reconciled():
				t.Error("directories and validation nodes would follow the ledger")
			case <-time.After(300 * time.Millisecond):
			}

			r := reconcile(t, app.APISource{Client: o.Client}, recovery.List{Path: write(t, list.DER)})
			if r.Certificates != 1 || r.Acts != 1 || r.Problems != 0 {
				t.Errorf("report %+v", r)
			}
			if name == "sqlite" { // reconcile took the ledger over
				stop()
				o.Restart(t)
			} else {
				select {
				case <-service.Reconciled():
				case <-time.After(20 * time.Second):
					t.Fatal("the process beside does not see that the ledger is reconciled")
				}
				stop()
			}
			if err := <-watched; err != nil || o.Authorities.Restored() {
				t.Errorf("watch: %v, restored %t", err, o.Authorities.Restored())
			}
			was := serialOf(t, b)
			for _, again := range []*pkiv1.CertificateRequest{a, b} {
				o.Delete(t, again)
				fresh := o.request(t, again.Name, again.Spec.Request)
				if got := o.reconcile(t, fresh); got != "True/Adopted" || !bytes.Equal(fresh.Status.Certificate, again.Status.Certificate) {
					t.Errorf("%s is %s, with another certificate: %t", again.Name, got, !bytes.Equal(fresh.Status.Certificate, again.Status.Certificate))
				}
			}
			status, err := o.Store.Status(t.Context(), o.key(t), serialOf(t, a))
			if err != nil || status.Revocation == nil || status.Revocation.Reason != pki.ReasonKeyCompromise {
				t.Errorf("a after all: %+v, %v", status.Revocation, err)
			}
			o.Delete(t, rev)
			rev = o.revocation(t, rev.Name, "a")
			if got := o.perform(t, rev); got != "True/Adopted" {
				t.Errorf("the revocation is %s: %s", got, controllertest.Message(rev, pkiv1.ConditionPerformed))
			}
			if got := o.reconcile(t, c); got != "True/Succeeded" || serialOf(t, c) == was {
				t.Errorf("c is %s", got)
			}
			next, err := o.Authorities.Publish(t.Context(), o.key(t), 0)
			if err != nil || next.Number <= list.Number || list.Number <= first.Number {
				t.Errorf("list %d after %d and %d, %v", next.Number, list.Number, first.Number, err)
			}
			if n, err := o.Store.Count(t.Context(), o.key(t)); err != nil || n != 3 {
				t.Errorf("%d certificates, %v", n, err)
			}
		})
	}
}

// With the API server lost as well, directories and validation nodes tell what they know.
func TestRestoredLedgerWithoutObjects(t *testing.T) {
	o := newOffice(t, databases["sqlite"])
	a, held := o.request(t, "a", nil), o.request(t, "held", nil)
	o.reconcile(t, a)
	o.reconcile(t, held)
	file := save(t)
	b, c := o.request(t, "b", nil), o.request(t, "c", nil)
	o.reconcile(t, b)
	o.reconcile(t, c)
	o.perform(t, o.revocation(t, "revoke-a", "a"))
	o.perform(t, o.revocation(t, "revoke-c", "c"))
	list, err := o.Authorities.Publish(t.Context(), o.key(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	key, serials := o.key(t), map[string]pki.Serial{"a": serialOf(t, a), "b": serialOf(t, b), "c": serialOf(t, c)}
	cert, err := pki.ParseCertificatePEM(b.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	ldif := fmt.Sprintf("version: 1\n\ndn: o=Ministry,c=CN\nobjectClass: organization\no: Ministry\n\ndn: cn=b,o=Ministry,c=CN\nobjectClass: pkiUser\ncn: b\nuserCertificate;binary:: %s\n",
		base64.StdEncoding.EncodeToString(cert.Raw))
	node := filepath.Join(t.TempDir(), "replica.db")
	fillReplica(t, node, key, serials["b"], serials["c"], list)
	o.lose(t, file, databases["sqlite"])
	r := reconcile(t, recovery.LDIF{Path: write(t, []byte(ldif))}, app.ReplicaSource{Path: node})
	if r.Certificates != 1 || r.Serials != 1 || r.Revocations != 1 || r.Problems != 0 {
		t.Errorf("report %+v", r)
	}
	o.Restart(t)
	for name, want := range map[string]struct{ content, revoked bool }{"a": {true, true}, "b": {true, false}, "c": {false, true}} {
		got, err := o.Store.Status(t.Context(), key, serials[name])
		if err != nil || got.State != authority.StateIssued || (len(got.Certificate) > 0) != want.content || (got.Revocation != nil) != want.revoked {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if kind := got.Identity.Kind; (kind == authority.KindRecovered) != (name != "a") {
			t.Errorf("%s is of kind %s", name, kind)
		}
	}
	if got := o.perform(t, o.bySerial(t, "revoke-b", serials["b"])); got != "True/Succeeded" {
		t.Errorf("a recovered certificate is not revoked: %s", got)
	}
}

// Nobody without a CA's key has something imported.
func TestForgedEvidence(t *testing.T) {
	o, other := newOffice(t, databases["sqlite"]), (*office)(nil)
	file, own := save(t), ledger
	other = newOffice(t, databases["sqlite"]) // CAs of the same names, with other keys
	foreign := other.request(t, "x", nil)
	other.reconcile(t, foreign)
	cert, err := pki.ParseCertificatePEM(foreign.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	list, err := other.Authorities.Publish(t.Context(), other.key(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	ledger = own
	o.lose(t, file, databases["sqlite"])
	changed := bytes.Clone(cert.Raw)
	changed[len(changed)-1] ^= 1
	r := reconcile(t, recovery.Certificates{Path: write(t, append(pki.EncodePEM("CERTIFICATE", cert.Raw), pki.EncodePEM("CERTIFICATE", changed)...))},
		recovery.List{Path: write(t, list.DER)}, recovery.List{Path: write(t, []byte("no list"))})
	if r.Certificates != 0 || r.Serials != 0 || r.Revocations != 0 || r.Foreign+r.Problems != 4 {
		t.Errorf("report %+v", r)
	}
}

// A node that is being filled from the restored ledger has forgotten as well.
func TestNodeThatIsRefilledIsNoSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.db")
	fillReplica(t, path, authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}, "0101", "0102",
		authority.CRL{Issuer: authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}, Number: 1, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour), DER: []byte{0x30, 0}})
	node, err := replicastore.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Apply(t.Context(), replica.Push{After: 3, Next: 3, Head: 3, Anchor: []byte{3}, Ledger: []byte{1}, Refill: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	err = app.ReplicaSource{Path: path}.Read(t.Context(), func(recovery.Evidence) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("read: %v", err)
	}
}
