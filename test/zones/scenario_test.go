package zones

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/pki"
)

// validationHosts answer OCSP, slaveHosts hold the entries; none of them starts anything.
var (
	validationHosts = []string{"validation-business", "validation-public"}
	slaveHosts      = []string{"slave-1", "slave-2"}
)

// TestTierInZones brings a ministry up as it would stand in a computer room and
// walks from the root ceremony to a revocation; then it takes the core away.
func TestTierInZones(t *testing.T) {
	ctrllog.SetLogger(logr.Discard()) // of the clients here; the processes keep theirs
	tr := newTier(t)
	tr.bringUp()
	t.Run("each process has its own user", func(t *testing.T) { tr.checkUsers(t) })

	tr.request("first")
	tr.approve("first", "reviewer-1")
	t.Run("one reviewer is not enough", func(t *testing.T) { tr.checkOneOfTwo(t, "first") })
	tr.approve("first", "reviewer-2")
	leaf, issuer := tr.issued("first")
	t.Run("the certificate is in the master and both slaves", func(t *testing.T) { tr.checkDirectory(t, leaf) })
	t.Run("both nodes answer good", func(t *testing.T) { tr.checkOCSP(t, leaf, issuer, "good") })
	t.Run("manager keeps transport Secrets in every zone", func(t *testing.T) { tr.checkTransportSecrets(t) })
	t.Run("ra cannot read a PIN", func(t *testing.T) { tr.checkPIN(t) })

	tr.revoke("first", leaf)
	t.Run("both nodes answer revoked and have the list", func(t *testing.T) {
		tr.checkOCSP(t, leaf, issuer, "revoked")
		tr.checkCRL(t, leaf, issuer)
	})
	tr.request("second")
	tr.approve("second", "reviewer-1")
	tr.approve("second", "reviewer-2")
	second, _ := tr.issued("second")
	tr.checkDirectory(t, second)
	tr.checkOCSP(t, second, issuer, "good")

	tr.processes["ca"].Kill()
	tr.net.Cut("ca")
	t.Run("with the core switched off", func(t *testing.T) {
		tr.checkOCSP(t, leaf, issuer, "revoked")
		tr.checkOCSP(t, second, issuer, "good")
		tr.checkCRL(t, leaf, issuer)
		for _, slave := range slaveHosts {
			if err := tr.holds("outside", slave, second); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a validation node that starts with the core switched off", func(t *testing.T) {
		tr.processes["validation-public"].Kill()
		tr.startValidation("validation-public")
		tr.checkOCSP(t, leaf, issuer, "revoked")
		tr.checkOCSP(t, second, issuer, "good")
	})
	t.Run("nobody tried what the table does not have", func(t *testing.T) { tr.checkTries(t) })
	t.Run("nobody asked for more than its rights", func(t *testing.T) { tr.checkRights(t) })
	t.Run("all stop when they are asked to", func(t *testing.T) { tr.stopAll() })
	t.Run("what starts nothing cannot start anything", func(t *testing.T) { tr.probe(t) })
}

// request asks for a person's certificate.
func (tr *tier) request(name string) {
	tr.t.Helper()
	tr.createAs("applicant", "ministry-applicants", &pkiv1.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ministry},
		Spec: pkiv1.CertificateRequestSpec{Request: signingRequest(tr.t, "/C=CN/O=Ministry/CN="+name), ProfileRef: pkiv1.LocalObjectReference{Name: "person"},
			RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}})
}

// approve decides for a reviewer, about what the request is now.
func (tr *tier) approve(name, reviewer string) {
	tr.t.Helper()
	var r pkiv1.CertificateRequest
	tr.eventually("digest of request "+name, func() error {
		if err := tr.admin.Get(tr.t.Context(), client.ObjectKey{Namespace: ministry, Name: name}, &r); err != nil {
			return err
		}
		if r.Status.RequestDigest == "" {
			return fmt.Errorf("none yet; %s", conditions(&r))
		}
		return nil
	})
	tr.createAs(reviewer, "ministry-reviewers", &pkiv1.Approval{ObjectMeta: metav1.ObjectMeta{Name: name + "-" + reviewer, Namespace: ministry},
		Spec: pkiv1.ApprovalSpec{TargetRef: pkiv1.ApprovalTarget{Kind: "CertificateRequest", Name: name}, RequestDigest: r.Status.RequestDigest, Decision: pkiv1.DecisionApprove}})
}

// checkOneOfTwo waits until one approval is counted, and no certificate given.
func (tr *tier) checkOneOfTwo(t *testing.T, name string) {
	tr.eventually("one approval is counted", func() error {
		var r pkiv1.CertificateRequest
		if err := tr.admin.Get(t.Context(), client.ObjectKey{Namespace: ministry, Name: name}, &r); err != nil {
			return err
		}
		if len(r.Status.Certificate) > 0 {
			t.Fatalf("request %s is issued after one of two approvals", name)
		}
		if r.Status.Approvals != "1/2" {
			return fmt.Errorf("approvals %q, want 1/2; %s", r.Status.Approvals, conditions(&r))
		}
		return nil
	})
}

func (tr *tier) createAs(user, group string, object client.Object) {
	tr.t.Helper()
	if err := tr.as(user, group).Create(tr.t.Context(), object); err != nil {
		tr.t.Fatalf("%s creates %T %s: %v", user, object, object.GetName(), err)
	}
}

// issued waits for a request's certificate and returns it with its issuer's, PEM.
func (tr *tier) issued(name string) (leaf, issuer []byte) {
	tr.t.Helper()
	var r pkiv1.CertificateRequest
	tr.becomes("request "+name, client.ObjectKey{Namespace: ministry, Name: name}, &r)
	chain, err := pki.ParseCertificatesPEM(r.Status.Chain, 8)
	if err != nil || len(chain) != 3 {
		tr.t.Fatalf("chain of %s: %d certificates, %v; want business CA, industry CA, root", name, len(chain), err)
	}
	return r.Status.Certificate, pki.EncodePEM("CERTIFICATE", chain[0].Raw)
}

// becomes waits until an object is Ready.
func (tr *tier) becomes(what string, key client.ObjectKey, o interface {
	client.Object
	step.Object
}) {
	tr.t.Helper()
	tr.eventually(what, func() error {
		if err := tr.admin.Get(tr.t.Context(), key, o); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(o.GetObjectStatus().Conditions, pkiv1.ConditionReady) {
			return errors.New(conditions(o))
		}
		return nil
	})
}

// revoke does it by object, and waits until the CRL is signed.
func (tr *tier) revoke(name string, leaf []byte) {
	tr.t.Helper()
	act := &pkiv1.CertificateRevocation{ObjectMeta: metav1.ObjectMeta{Name: "revoke-" + name, Namespace: ministry},
		Spec: pkiv1.CertificateRevocationSpec{Target: pkiv1.RevocationTarget{RequestRef: &pkiv1.LocalObjectReference{Name: name}},
			RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}, Action: pkiv1.ActionRevoke, Reason: "KeyCompromise", Publish: pkiv1.PublishImmediate}}
	tr.createAs("revoker", "ministry-revokers", act)
	tr.becomes("revocation of "+name, client.ObjectKeyFromObject(act), act)
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		tr.t.Fatal(err)
	}
	if got, want := act.Status.SerialNumber, string(pki.SerialFromInt(cert.SerialNumber)); !strings.EqualFold(got, want) {
		tr.t.Errorf("serial %s is revoked, want %s", got, want)
	}
}

func (tr *tier) checkUsers(t *testing.T) {
	seen := map[int]string{}
	for host, p := range tr.processes {
		uid, err := p.User()
		if err != nil {
			t.Error(err)
		}
		kind, _, _ := strings.Cut(host, "-")
		if other, taken := seen[uid]; uid == 0 || taken && other != kind {
			t.Errorf("%s runs as user %d, like %q; want a user of its own that is not root", host, uid, other)
		}
		seen[uid] = kind
	}
}

// checkPIN asks the API server whether each identity may read the PIN, and
// tries it.
func (tr *tier) checkPIN(t *testing.T) {
	for process, namespace := range map[string]string{"ra": "terrace-service", "pusher": "terrace-service", "manager": "terrace-system"} {
		c := tr.asProcess(namespace, process)
		for _, verb := range []string{"get", "list", "watch"} {
			review, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ministry, Verb: verb, Resource: "secrets", Name: "hsm-pin"}}}, metav1.CreateOptions{})
			if err != nil || review.Status.Allowed {
				t.Errorf("%s may %s the PIN: %+v, %v; want no", process, verb, review.Status, err)
			}
		}
		if s, err := c.CoreV1().Secrets(ministry).Get(t.Context(), "hsm-pin", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s reads the PIN Secret: %d entries, %v; want Forbidden", process, len(s.Data), err)
		}
	}
	// The check can fail: the ca reads it.
	if _, err := tr.asProcess("terrace-core", "ca").CoreV1().Secrets(ministry).Get(t.Context(), "hsm-pin", metav1.GetOptions{}); err != nil {
		t.Errorf("ca cannot read the PIN Secret: %v", err)
	}
}

// checkTransportSecrets waits for what the manager makes in the namespaces of
// the zones, and sees that it cannot read their other Secrets.
func (tr *tier) checkTransportSecrets(t *testing.T) {
	for namespace, name := range map[string]string{"terrace-system": "manager", "terrace-core": "ca", "terrace-service": "ra", "terrace-public": "directory-slave-1"} {
		tr.eventually("transport Secret of "+name, func() error {
			s, err := tr.kube.CoreV1().Secrets(namespace).Get(t.Context(), name+"-transport", metav1.GetOptions{})
			if err == nil && (len(s.Data["tls.crt"]) == 0 || len(s.Data["tls.key"]) == 0 || len(s.Data["ca.crt"]) == 0) {
				err = fmt.Errorf("it has %d entries, want tls.crt, tls.key and ca.crt", len(s.Data))
			}
			return err
		})
	}
	if _, err := tr.asProcess("terrace-system", "manager").CoreV1().Secrets("terrace-core").Get(t.Context(), "ca-message-key", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("manager asks for the ca's message key: %v, want Forbidden", err)
	}
}

// checkTries reads the firewall's counters: nobody was refused, and whoever is
// in no row of the table as the one who dials started nothing.
func (tr *tier) checkTries(t *testing.T) {
	may := starters()
	for host, tries := range tr.net.Tries() {
		if tries.Refused != 0 {
			t.Errorf("%s tried %d packets that the table does not have", host, tries.Refused)
		}
		if !may[host] && tries.Started != 0 {
			t.Errorf("%s started %d packets; it may start nothing", host, tries.Started)
		}
		if may[host] && tries.Started == 0 {
			t.Errorf("%s started nothing, though the scenario needs it: the counter does not count", host)
		}
	}
}

// checkRights reads the logs: no request of a process was forbidden.
func (tr *tier) checkRights(t *testing.T) {
	for host, p := range tr.processes {
		for line := range strings.Lines(p.Log()) {
			if strings.Contains(line, "is forbidden") {
				t.Errorf("%s was refused by the API server: %.600s", host, line)
			}
		}
	}
}

// stopAll stops the processes that run on, as a service manager does.
func (tr *tier) stopAll() {
	for _, host := range []string{"pusher", "ra", "validation-business", "validation-public", "manager"} {
		tr.processes[host].Stop()
	}
}

// probe tries every port of the table from the hosts that may start nothing.
func (tr *tier) probe(t *testing.T) {
	may := starters()
	for _, from := range append(append([]string{"master", "postgres"}, slaveHosts...), validationHosts...) {
		if may[from] {
			t.Fatalf("%s is in the table as one who dials", from)
		}
		dial := tr.net.Dialer(from)
		before, tried := tr.net.Tries()[from], map[string]bool{}
		for _, r := range firewall {
			address := net.JoinHostPort(tr.net.Address(r.To), strconv.Itoa(int(r.Port)))
			if r.To == from || tried[address] {
				continue
			}
			tried[address] = true
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			conn, err := dial(ctx, "tcp", address)
			cancel()
			if err == nil {
				conn.Close()
				t.Errorf("%s connected to %s %s", from, r.To, address)
			}
		}
		// Each try is seen; what would go to the core has no route any more.
		after := tr.net.Tries()[from]
		if after.Started-before.Started < len(tried) || after.Refused == before.Refused {
			t.Errorf("%s: %d tries, the firewall saw %+v before and %+v after", from, len(tried), before, after)
		}
	}
}
