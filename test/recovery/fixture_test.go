package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/certificaterevocation"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/recovery"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// ledger is the one that the next start of a tier opens.
var ledger string

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, _ string) (authority.Store, error) {
		if path, ok := strings.CutPrefix(ledger, "sqlite:"); ok {
			return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
		}
		return postgres.Open(ctx, postgres.Config{DSN: ledger, TakeOver: true})
	})
}

// databases are where a ledger may be: each call names a new one.
var databases = map[string]func(*testing.T) string{
	"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ledger.db") },
	"postgres": func(t *testing.T) string { return postgrestest.Start(t) },
}

// office is a tier with an RA.
type office struct{ *controllertest.Tier }

func newOffice(t *testing.T, database func(*testing.T) string) *office {
	t.Helper()
	ledger = database(t)
	o := &office{controllertest.New(t)}
	o.ReadyIndustryCA(t)
	ca := o.ReadyBusinessCA(t)
	o.Create(t, &pkiv1.CertificateProfile{ObjectMeta: o.Meta("device"), Spec: pkiv1.CertificateProfileSpec{
		Subject:   []pkiv1.SubjectAttributeRule{{Type: "C", Presence: pkiv1.AttributeFixed, Value: "CN"}, {Type: "CN"}},
		KeyUsages: []pkiv1.KeyUsage{"DigitalSignature"}, Validity: metav1.Duration{Duration: 365 * 24 * time.Hour}}})
	o.Create(t, &pkiv1.RegistrationAuthority{ObjectMeta: o.Meta("ra"), Spec: pkiv1.RegistrationAuthoritySpec{
		BusinessCARef: pkiv1.LocalObjectReference{Name: ca.Name}, AllowedProfiles: []string{"device"}, ApprovalPolicy: pkiv1.ApprovalNone,
		AllowedNames: []pkiv1.NameRule{{SubjectBase: "C=CN"}}}})
	return o
}

func (o *office) request(t *testing.T, name string, csr []byte) *pkiv1.CertificateRequest {
	t.Helper()
	if csr == nil {
		csr = o.Request(t, name, "CN=Gauge,C=CN")
	}
	req := &pkiv1.CertificateRequest{ObjectMeta: o.Meta(name), Spec: pkiv1.CertificateRequestSpec{Request: csr,
		ProfileRef: pkiv1.LocalObjectReference{Name: "device"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
	o.Create(t, req)
	return req
}

func (o *office) reconcile(t *testing.T, req *pkiv1.CertificateRequest) string {
	t.Helper()
	_, _ = controllertest.Reconcile(t, o.Client, &certificaterequest.Reconciler{Client: o.Client, Issuer: o.Issuer()}, req) // the condition says it
	return controllertest.Reason(req, pkiv1.ConditionIssued)
}

func (o *office) revocation(t *testing.T, name, request string) *pkiv1.CertificateRevocation {
	t.Helper()
	rev := &pkiv1.CertificateRevocation{ObjectMeta: o.Meta(name), Spec: pkiv1.CertificateRevocationSpec{
		Target:                   pkiv1.RevocationTarget{RequestRef: &pkiv1.LocalObjectReference{Name: request}},
		RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}, Action: pkiv1.ActionRevoke, Reason: "KeyCompromise", Requester: &pkiv1.Person{Username: "sun"}}}
	o.Create(t, rev)
	return rev
}

func (o *office) perform(t *testing.T, rev *pkiv1.CertificateRevocation) string {
	t.Helper()
	_, _ = controllertest.Reconcile(t, o.Client, &certificaterevocation.Reconciler{Client: o.Client, Issuer: o.Issuer()}, rev) // the condition says it
	return controllertest.Reason(rev, pkiv1.ConditionPerformed)
}

func (o *office) key(t *testing.T) authority.IssuerKey {
	t.Helper()
	ca, err := o.Authorities.Newest("BusinessCA/" + o.Namespace + "/" + controllertest.BusinessName)
	if err != nil {
		t.Fatal(err)
	}
	return ca.Key
}

// lose puts a restored backup in the place of the ledger.
func (o *office) lose(t *testing.T, file string, database func(*testing.T) string) {
	t.Helper()
	ledger = database(t)
	if _, err := app.RestoreLedger(t.Context(), ledger, file, "", true, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := app.RestoreLedger(t.Context(), ledger, file, "", false, nil); err != nil {
		t.Fatal(err)
	}
	o.Restart(t)
}

func save(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backup")
	saved, err := app.BackUpLedger(t.Context(), ledger, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || len(saved.Digest) != 64 {
		t.Fatalf("backup %+v, file %v, %v", saved, info, err)
	}
	if _, err := app.BackUpLedger(t.Context(), ledger, file, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("a backup is written over: %v", err)
	}
	return file
}

// reconcile runs it dry and for good, and a second time, as an operator would.
func reconcile(t *testing.T, sources ...recovery.Source) recovery.Report {
	t.Helper()
	dry, err := app.ReconcileLedger(t.Context(), ledger, recovery.Config{Sources: sources, Dry: true})
	if err != nil {
		t.Fatal(err)
	}
	var items []string
	report, err := app.ReconcileLedger(t.Context(), ledger, recovery.Config{Sources: sources, Tell: func(i recovery.Item) { items = append(items, fmt.Sprint(i)) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("dry %+v\n%s", dry, strings.Join(items, "\n"))
	if dry.Certificates != report.Certificates || dry.Reconciled || !report.Reconciled {
		t.Errorf("dry %+v, then %+v", dry, report)
	}
	if _, err := app.ReconcileLedger(t.Context(), ledger, recovery.Config{Sources: sources}); err == nil || !strings.Contains(err.Error(), "nothing to do") {
		t.Errorf("reconciled twice: %v", err)
	}
	verify(t)
	return report
}

// verify sees that the rows are what audit leaves tell.
func verify(t *testing.T) {
	t.Helper()
	open := postgres.OpenAudit
	where := ledger
	if path, ok := strings.CutPrefix(ledger, "sqlite:"); ok {
		open, where = sqlite.OpenAudit, path
	}
	store, err := open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	n, err := store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r, err := audit.Verify(t.Context(), n, audit.Options{Now: time.Now()})
	if err != nil || !r.OK() {
		t.Errorf("audit: %v, %v", r.Findings, err)
	}
}

func serialOf(t *testing.T, req *pkiv1.CertificateRequest) pki.Serial {
	t.Helper()
	serial, err := pki.ParseSerial(req.Status.SerialNumber)
	if err != nil {
		t.Fatalf("%s: %v: %s", req.Name, err, controllertest.Message(req, pkiv1.ConditionReady))
	}
	return serial
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bySerial is a revocation of what no request stands for.
func (o *office) bySerial(t *testing.T, name string, serial pki.Serial) *pkiv1.CertificateRevocation {
	t.Helper()
	rev := &pkiv1.CertificateRevocation{ObjectMeta: o.Meta(name), Spec: pkiv1.CertificateRevocationSpec{
		Target: pkiv1.RevocationTarget{SerialNumber: string(serial)}, RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"},
		Action: pkiv1.ActionRevoke, Reason: "Superseded", Requester: &pkiv1.Person{Username: "sun"}}}
	o.Create(t, rev)
	return rev
}

// fillReplica makes the file of a node that knows b, c and the list.
func fillReplica(t *testing.T, path string, key authority.IssuerKey, b, c pki.Serial, list authority.CRL) {
	t.Helper()
	node, err := replicastore.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	end := time.Now().AddDate(1, 0, 0).Truncate(time.Second)
	for _, p := range []replica.Push{
		{Next: 2, Head: 3, Anchor: []byte{2}, Ledger: []byte{1}, Changes: []replica.Change{
			{Seq: 1, Status: replica.Status{Issuer: key, Serial: b, NotAfter: end}},
			{Seq: 2, Status: replica.Status{Issuer: key, Serial: c, NotAfter: end, Revocation: &authority.Revocation{At: time.Now(), Reason: pki.ReasonKeyCompromise}}}}},
		{After: 2, Next: 3, Head: 3, Anchor: []byte{3}, Ledger: []byte{1}, CRL: &list},
	} {
		if _, err := node.Apply(t.Context(), p, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}
