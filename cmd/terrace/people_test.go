package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/approval"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/test/apiserver"
	"github.com/terrace-pki/terrace/webhooks"
)

// desk is a namespace with an RA whose CA is not there yet: requests go as far
// as people can take them.
type desk struct {
	client.Client
	server *apiserver.Server
	ns     string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	server := apiserver.Start(t)
	if err := apiserver.InstallCRDs(server.Config, "../../config/crd"); err != nil {
		t.Fatal(err)
	}
	scheme, err := app.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{Client: c, server: server, ns: server.Namespace(t)}
	d.start(t)
	apiserver.BindRoles(t, d.server.Config, "../../config/rbac/people.yaml", d.ns)
	for _, obj := range []client.Object{
		&pkiv1.Tier{ObjectMeta: d.meta("ministry"), Spec: pkiv1.TierSpec{Level: pkiv1.LevelMinistry}},
		&pkiv1.IndustryCA{ObjectMeta: d.meta("industry"), Spec: pkiv1.IndustryCASpec{CACommon: caCommon("CN=Industry CA,C=CN")}},
		&pkiv1.BusinessCA{ObjectMeta: d.meta("business"), Spec: pkiv1.BusinessCASpec{CACommon: caCommon("CN=Business CA,C=CN"), Validity: metav1.Duration{Duration: 24 * time.Hour},
			Issuer: pkiv1.BusinessCAIssuer{IndustryCARef: &pkiv1.LocalObjectReference{Name: "industry"}}}},
		&pkiv1.CertificateProfile{ObjectMeta: d.meta("device"), Spec: pkiv1.CertificateProfileSpec{Subject: []pkiv1.SubjectAttributeRule{{Type: "CN"}},
			KeyUsages: []pkiv1.KeyUsage{"DigitalSignature"}, Validity: metav1.Duration{Duration: time.Hour}}},
		&pkiv1.RegistrationAuthority{ObjectMeta: d.meta("ra"), Spec: pkiv1.RegistrationAuthoritySpec{BusinessCARef: pkiv1.LocalObjectReference{Name: "business"},
			AllowedProfiles: []string{"device"}, AllowedNames: []pkiv1.NameRule{{SubjectBase: "CN=Gauge"}}, ApprovalPolicy: pkiv1.ApprovalReviewed,
			Approvals: []pkiv1.ProfileApprovals{{Profile: "device", Required: 2}}}},
	} {
		if err := c.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *desk) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: d.ns, Name: name}
}

func caCommon(subject string) pkiv1.CACommon {
	return pkiv1.CACommon{Subject: subject, TierRef: &pkiv1.LocalObjectReference{Name: "ministry"}, DeviceRef: pkiv1.LocalObjectReference{Name: "hsm"},
		CRL: pkiv1.CRLSpec{Interval: metav1.Duration{Duration: time.Hour}, Overlap: metav1.Duration{Duration: time.Hour}}}
}

// start runs the webhooks and the RA's controllers.
func (d *desk) start(t *testing.T) {
	t.Helper()
	ledger, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ledger.Close() })
	store, err := sqlite.OpenRegistration(t.Context(), filepath.Join(t.TempDir(), "registration.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	issuer := issuing.NewDesk(authority.New(authority.Config{Store: ledger, Keys: device.NewRegistry()}))
	hooks, err := apiserver.InstallWebhooks(d.server.Config, "../../config/webhook")
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(d.server.Config, ctrl.Options{Scheme: d.Scheme(), WebhookServer: hooks.Server(), Metrics: metricsserver.Options{BindAddress: "0"}, Logger: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(webhooks.SetupAll(mgr),
		(&certificaterequest.Reconciler{Client: mgr.GetClient(), Issuer: issuer, Store: store}).SetupWithManager(mgr),
		(&approval.Reconciler{Client: mgr.GetClient(), Store: store}).SetupWithManager(mgr)); err != nil {
		t.Fatal(err)
	}
	hooks.Run(t, mgr)
	d.eventually(t, "the webhooks answer", func(ctx context.Context) bool {
		probe := &pkiv1.CertificateRequest{ObjectMeta: d.meta("probe"), Spec: pkiv1.CertificateRequestSpec{Request: []byte("nothing"),
			ProfileRef: pkiv1.LocalObjectReference{Name: "p"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
		err := d.Create(ctx, probe, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "spec.request")
	})
}

func (d *desk) eventually(t *testing.T, what string, is func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) { return is(ctx), nil })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// kubectl runs kubectl terrace as a person with roles and returns what it prints.
func (d *desk) kubectl(t *testing.T, person string, roles []string, args ...string) (string, error) {
	t.Helper()
	root := command("kubectl-terrace")
	var out bytes.Buffer
	root.SetOut(&out)
	args = append(slices.Clone(args), "--kubeconfig", d.server.Kubeconfig, "-n", d.ns)
	if person != "" {
		args = append(args, "--as", person)
	}
	for _, r := range roles {
		args = append(args, "--as-group", r)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// says runs a command that must succeed and compares what it prints.
func (d *desk) says(t *testing.T, person string, roles []string, args []string, want ...string) string {
	t.Helper()
	out, err := d.kubectl(t, person, roles, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("%v as %s does not say %q:\n%s", args, person, w, out)
		}
	}
	return out
}

// fails runs a command that must fail.
func (d *desk) fails(t *testing.T, person string, roles []string, args []string, want ...string) {
	t.Helper()
	out, err := d.kubectl(t, person, roles, args...)
	if err == nil {
		t.Fatalf("%v as %s succeeded:\n%s", args, person, out)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v as %s: error %q does not say %q", args, person, err, w)
		}
	}
}

// apply creates a request as zhang and waits until people can decide.
func (d *desk) apply(t *testing.T, name, subject string) {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n, err := pki.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.CreateRequest(key, n)
	if err != nil {
		t.Fatal(err)
	}
	req := &pkiv1.CertificateRequest{ObjectMeta: d.meta(name), Spec: pkiv1.CertificateRequestSpec{Request: pki.EncodePEM("CERTIFICATE REQUEST", der),
		ProfileRef: pkiv1.LocalObjectReference{Name: "device"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
	c, err := client.New(d.server.As("zhang", "terrace-applicant"), client.Options{Scheme: d.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	d.eventually(t, name+" is looked at", func(ctx context.Context) bool {
		return d.Get(ctx, client.ObjectKeyFromObject(req), req) == nil && len(req.Status.Conditions) > 0
	})
}

func TestPeople(t *testing.T) {
	d := newDesk(t)
	reviewer, officer := []string{"terrace-reviewer"}, []string{"terrace-officer"}
	d.apply(t, "first", "CN=Gauge")
	d.apply(t, "outside", "CN=Somebody")

	// Who could give what is missing: by name where bindings can be read.
	d.says(t, "", nil, []string{"explain", "first"}, "not Ready, AwaitingApproval", "Passed  subjectIsWithinRA", "approvals 0/2",
		"those who may `approve` on registrationauthorities ra", "but not by zhang", "group terrace-reviewer (RoleBinding terrace-reviewer)")
	d.says(t, "li", reviewer, []string{"explain", "certreq/first"}, "whoever may `approve`", "cannot be read", "you may: you are li")
	if out := d.says(t, "zhang", []string{"terrace-applicant"}, []string{"explain", "first"}, "cannot be read"); strings.Contains(out, "you may") {
		t.Errorf("the applicant is told that they may:\n%s", out)
	}
	d.says(t, "", nil, []string{"explain", "outside"}, "Denied  subjectIsWithinRA", "waits    Approved", "approvals are asked for once every check has passed")

	// A dry run changes nothing; asking twice is asking once.
	d.says(t, "li", reviewer, []string{"approve", "first", "--dry-run"}, "subject    CN=Gauge", "profile    device", "applicant  zhang", "approvals  0/2", "would take Approve")
	d.says(t, "li", reviewer, []string{"approve", "first", "--comment", "seen"}, "Approve given as approval "+d.ns+"/first-")
	d.says(t, "li", reviewer, []string{"approve", "first"}, "was given before")
	d.fails(t, "li", reviewer, []string{"deny", "first"}, "you decided Approve before", "which stands")
	d.fails(t, "zhang", []string{"terrace-applicant", "terrace-reviewer"}, []string{"approve", "first"}, "asked for this certificate")
	d.fails(t, "sun", []string{"terrace-revoker"}, []string{"approve", "first"}, "forbidden")
	d.fails(t, "li", reviewer, []string{"approve", "nobody"}, "nobody", "-n names another")
	d.fails(t, "li", reviewer, []string{"approve", "outside"}, "denied already")
	d.fails(t, "li", reviewer, []string{"approve", "tier/first"}, "KIND/NAME")
	d.eventually(t, "one approval is counted", func(ctx context.Context) bool {
		req := &pkiv1.CertificateRequest{}
		return d.Get(ctx, client.ObjectKey{Namespace: d.ns, Name: "first"}, req) == nil && req.Status.Approvals == "1/2"
	})
	d.says(t, "", nil, []string{"explain", "first"}, "approvals 1/2", "Approve by li (first-", "taken in", "but not by li, zhang")
	d.says(t, "wang", reviewer, []string{"deny", "first"}, "Deny given")
	d.eventually(t, "the request is denied", func(ctx context.Context) bool {
		out, err := d.kubectl(t, "wang", reviewer, "explain", "first")
		return err == nil && strings.Contains(out, "not Ready, Denied")
	})

	d.tooLate(t, reviewer)
	d.officers(t, officer)
	d.trees(t)
	d.revocations(t)
}

// tooLate: whoever decides about what is decided hears of it, and no Approval is made.
func (d *desk) tooLate(t *testing.T, reviewer []string) {
	t.Helper()
	count := func() int {
		var all pkiv1.ApprovalList
		if err := d.List(t.Context(), &all, client.InNamespace(d.ns)); err != nil {
			t.Fatal(err)
		}
		return len(all.Items)
	}
	before := count()
	for _, args := range [][]string{{"approve", "first"}, {"deny", "first"}, {"approve", "first", "--dry-run"}, {"approve", "outside"}} {
		d.fails(t, "zhou", reviewer, args, "nothing was decided", "denied already", "another name")
	}
	d.says(t, "li", reviewer, []string{"approve", "first"}, "was given before") // what they did stays what they did
	req := &pkiv1.CertificateRequest{}
	if err := d.Get(t.Context(), client.ObjectKey{Namespace: d.ns, Name: "first"}, req); err != nil {
		t.Fatal(err)
	}
	denied := req.Status.DeepCopy()
	req.Status.SerialNumber = "4A11"
	req.Status.Conditions = []metav1.Condition{{Type: pkiv1.ConditionIssued, Status: metav1.ConditionTrue, Reason: pkiv1.ReasonSucceeded, LastTransitionTime: metav1.Now()}}
	if err := d.Status().Update(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	d.fails(t, "zhou", reviewer, []string{"approve", "first"}, "nothing was decided", "issued already", "4A11", "CertificateRevocation")
	req.Status = *denied
	if err := d.Status().Update(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before {
		t.Errorf("%d Approvals, there were %d", after, before)
	}
}

// officers decide about a CA with their own keys.
func (d *desk) officers(t *testing.T, officer []string) {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "officer.key")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	signed := []string{"approve", "businessca/business", "--officer", "officer-1", "--key", file}
	d.fails(t, "wu", officer, signed, "status.requestDigest", "none yet")
	ca := &pkiv1.BusinessCA{}
	if err := d.Get(t.Context(), client.ObjectKey{Namespace: d.ns, Name: "business"}, ca); err != nil {
		t.Fatal(err)
	}
	digest := [32]byte{1, 2, 3}
	ca.Status.RequestDigest = hex.EncodeToString(digest[:])
	if err := d.Status().Update(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	d.fails(t, "wu", officer, signed, "0644", "chmod 600")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	d.fails(t, "wu", officer, signed[:2], "--officer", "--key")
	d.fails(t, "li", []string{"terrace-reviewer"}, signed, "forbidden", "industrycas")
	d.says(t, "wu", officer, signed, "subject   CN=Business CA,C=CN", "issuer    IndustryCA industry", "Approve given")
	var all pkiv1.ApprovalList
	if err := d.List(t.Context(), &all, client.InNamespace(d.ns)); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, a := range all.Items {
		if a.Spec.TargetRef.Kind == "BusinessCA" {
			found = true
			message := registration.OfficerMessage("BusinessCA", d.ns, "business", digest, registration.Approve)
			if err := registration.VerifyOfficer(&key.PublicKey, message, a.Spec.Signature.Value); err != nil {
				t.Error(err)
			}
		}
	}
	if !found {
		t.Error("there is no Approval of the CA")
	}
	d.says(t, "wu", officer, []string{"explain", "businessca", "business"}, "issued by IndustryCA industry", "Approve by wu as officer officer-1")
}

func (d *desk) trees(t *testing.T) {
	t.Helper()
	out := d.says(t, "", nil, []string{"tree"}, "Tier  ministry  Ministry", "└─ IndustryCA  industry", "   └─ BusinessCA  business",
		"      └─ RegistrationAuthority  ra", "         └─ requests  2 Denied")
	if strings.Contains(out, "could not be read") {
		t.Errorf("the administrator cannot read something:\n%s", out)
	}
	d.says(t, "", nil, []string{"tree", "-A"}, "Tier  "+d.ns+"/ministry")
	// With partial rights: what can be read, and what could not.
	d.says(t, "zhang", []string{"terrace-applicant"}, []string{"tree"}, "RegistrationAuthority  ra", "2 Denied", "could not be read: tiers", "could not be read: industry CAs")
}

func (d *desk) revocations(t *testing.T) {
	t.Helper()
	rev := &pkiv1.CertificateRevocation{ObjectMeta: d.meta("lost"), Spec: pkiv1.CertificateRevocationSpec{Action: pkiv1.ActionHold,
		Target: pkiv1.RevocationTarget{SerialNumber: "4A11"}, RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}}}
	if err := d.Create(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	d.says(t, "", nil, []string{"explain", "certificaterevocation", "lost"}, "no controller has looked at it yet", "action      Hold", "asked by    terrace-test-admin")
}

func TestHelpHasExamples(t *testing.T) {
	for _, name := range []string{"approve", "deny", "explain", "tree", "inspect"} {
		root := command("kubectl-terrace")
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{name, "--help"})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "Examples:\n") || !strings.Contains(out.String(), "kubectl terrace "+name) {
			t.Errorf("help of %s has no example:\n%s", name, out.String())
		}
	}
}
