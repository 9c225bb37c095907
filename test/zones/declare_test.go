package zones

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/test/zones/zone"
)

// startProcesses runs each process of the tier on its host, by its own user and
// with its own identity.
func (tr *tier) startProcesses() {
	tr.t.Helper()
	tr.start("manager", nil, "manager", "--kubeconfig", tr.kubeconfig("manager", "terrace-system"), "--leader-elect", "--election-namespace", "terrace-system",
		"--webhook-address", tr.net.Address("manager")+":9443", "--webhook-cert-dir", tr.dir("manager", "transport"),
		// Its rights to keep Secrets of a cluster's processes are tried on one of each zone.
		"--transport-process", "terrace-system/manager=manager", "--transport-process", "terrace-core/ca=ca",
		"--transport-process", "terrace-service/ra=ra", "--transport-process", "terrace-public/directory-slave-1=directory-slave-1")
	tr.installWebhooks()
	tr.startCA()
	for _, host := range validationHosts {
		tr.net.Put(host, "keystore-password", []byte(rand.Text()))
		tr.folder(host, "data")
		tr.startValidation(host)
	}
	tr.start("ra", nil, append([]string{"ra", "--kubeconfig", tr.kubeconfig("ra", "terrace-service"), "--leader-elect", "--election-namespace", "terrace-service",
		"--registration-store", "sqlite:" + tr.dir("ra", "registration.db"), "--ca-url", "https://" + tr.net.Address("ca") + ":9444", "--ca-name", "ca"}, tr.linkFlags("ra")...)...)
	tr.start("pusher", nil, "pusher", "--kubeconfig", tr.kubeconfig("pusher", "terrace-service"), "--name", "pusher",
		"--state-dir", tr.folder("pusher", "state"), "--transport-dir", tr.dir("pusher", "transport"))
}

// startValidation runs a node from what its folder holds. It needs nobody's answer.
func (tr *tier) startValidation(host string) {
	tr.t.Helper()
	tr.begin(host, nil, append([]string{"validation", "--data-dir", tr.dir(host, "data"), "--keystore-dir", tr.dir(host, "keystore"),
		"--keystore-password-file", tr.dir(host, "keystore-password"), "--push-address", tr.net.Address(host) + ":9445",
		"--validation-address", tr.net.Address(host) + ":8080"}, tr.linkFlags(host)...)...)
}

// bindProcesses gives the processes their rights in the tier's namespace before
// they start, so that whatever is forbidden later is a mistake.
func (tr *tier) bindProcesses() {
	tr.t.Helper()
	b, err := os.ReadFile("../../config/tiers/ministry/processes.yaml")
	if err != nil {
		tr.t.Fatal(err)
	}
	if _, err := tr.kubectl(string(b), "apply", "--server-side", "-n", ministry, "-f", "-"); err != nil {
		tr.t.Fatal(err)
	}
}

// folder makes an empty folder of a host's user.
func (tr *tier) folder(host, name string) string {
	tr.net.Put(host, name+"/.keep", nil)
	return tr.dir(host, name)
}

// startCA runs the ca beside its token, which is initialised on first use.
func (tr *tier) startCA() {
	tr.t.Helper()
	pin := []byte(rand.Text()[:16])
	pinFile, soFile := tr.net.Put("ca", "pin", pin), tr.net.Put("ca", "so-pin", []byte(rand.Text()[:16]))
	token := []string{"TERRACE_SOFTTOKEN_DIR=" + tr.folder("ca", "token")}
	softtoken := tr.shared("libterrace-softtoken.so")
	tr.terrace("ca", token, "dev", "token-init", "--module", softtoken, "--label", "ministry", "--pin-file", pinFile, "--so-pin-file", soFile)
	tr.secret("hsm-pin", "pin", pin)
	tr.start("ca", token, append([]string{"ca", "--kubeconfig", tr.kubeconfig("ca", "terrace-core"), "--ledger-file", tr.dir("ca", "ledger.dsn"), "--limits", tr.dir("ca", "limits.yaml"),
		"--pkcs11-module", softtoken, "--link-address", tr.net.Address("ca") + ":9444", "--tier-namespace", ministry, "--audit-device", ministry + "/hsm"}, tr.linkFlags("ca")...)...)
}

// installWebhooks applies config/webhook with the manager's address in place of a Service.
func (tr *tier) installWebhooks() {
	tr.t.Helper()
	ca, err := readTransportCA(tr.links)
	if err != nil {
		tr.t.Fatal(err)
	}
	var out []string
	for object := range strings.SplitSeq(tr.build("../../config/webhook"), "\n---\n") {
		changed, err := withURLs(object, "https://"+tr.net.Address("manager")+":9443", ca)
		if err != nil {
			tr.t.Fatal(err)
		}
		out = append(out, changed)
	}
	tr.apply(strings.Join(out, "\n---\n"))
}

// declare applies config/tiers/ministry with what only this room knows: its addresses.
func (tr *tier) declare() {
	tr.t.Helper()
	ldaps := func(host string) string { return "ldaps://" + tr.net.Address(host) + ":636" }
	tr.apply(tr.overlay("../../config/tiers/ministry", fmt.Sprintf(`patches:
  - target: {kind: CryptoDevice}
    patch: '[{"op": "replace", "path": "/spec/pkcs11/modulePath", "value": %q}]'
  - target: {kind: ValidationService}
    patch: |
      - {op: remove, path: /spec/deviceRef}
      - op: add
        path: /spec/nodes
        value:
          - {name: validation-business, url: "https://%s:9445"}
          - {name: validation-public, url: "https://%s:9445"}
  - target: {kind: Directory}
    patch: |
      - {op: replace, path: /spec/verifyInterval, value: 10s}
      - {op: replace, path: /spec/master/url, value: %q}
      - {op: replace, path: /spec/slaves/0/url, value: %q}
      - {op: replace, path: /spec/slaves/1/url, value: %q}
`, tr.shared("libterrace-softtoken.so"), tr.net.Address("validation-business"), tr.net.Address("validation-public"), ldaps("master"), ldaps("slave-1"), ldaps("slave-2"))))
}

// certifyByRoot plays the national root's ceremony for the industry CA, as the
// people of the tier would: the request goes out, the certificate comes back by Git.
func (tr *tier) certifyByRoot() {
	tr.t.Helper()
	var ca pkiv1.IndustryCA
	key := client.ObjectKey{Namespace: ministry, Name: "industry"}
	tr.eventually("signing request of the industry CA", func() error {
		if err := tr.admin.Get(tr.t.Context(), key, &ca); err != nil {
			return err
		}
		if len(ca.Status.CertificateSigningRequest) == 0 {
			return fmt.Errorf("none yet; %s", conditions(&ca))
		}
		return nil
	})
	root, err := nationalroot.Open(tr.t.Context(), tr.t.TempDir(), time.Now())
	if err != nil {
		tr.t.Fatal(err)
	}
	certificate, err := root.Certify(ca.Status.CertificateSigningRequest, time.Now())
	if err != nil {
		tr.t.Fatal(err)
	}
	before := ca.DeepCopy()
	ca.Spec.RootCertificate, ca.Spec.Certificate = root.CertificatePEM(), certificate
	if err := tr.admin.Patch(tr.t.Context(), &ca, client.MergeFrom(before)); err != nil {
		tr.t.Fatal(err)
	}
}

// approveByOfficer has an officer sign for the business CA, with kubectl terrace and
// a key that no process has. Before that the CA has no certificate.
func (tr *tier) approveByOfficer() {
	tr.t.Helper()
	var ca pkiv1.BusinessCA
	tr.eventually("the business CA waits for an officer", func() error {
		if err := tr.admin.Get(tr.t.Context(), client.ObjectKey{Namespace: ministry, Name: "business"}, &ca); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(ca.Status.Conditions, pkiv1.ConditionCertificateReady); c == nil || c.Reason != pkiv1.ReasonAwaitingApproval {
			return errors.New(conditions(&ca))
		}
		return nil
	})
	if len(ca.Status.Certificate) > 0 {
		tr.t.Fatal("the business CA has a certificate that no officer signed for")
	}
	if _, err := tr.net.Run("people", zone.Command{Name: "kubectl terrace approve", Args: []string{tr.shared("kubectl-terrace"), "approve", "businessca/business",
		"--officer", "zhang", "--key", tr.dir("people", "officer.key"), "--kubeconfig", tr.dir("people", "admin.kubeconfig"), "-n", ministry,
		"--as", "zhang", "--as-group", "ministry-officers"}}); err != nil {
		tr.t.Fatal(err)
	}
}

// allReady waits until every object of the tier is Ready, the Tier included.
func (tr *tier) allReady() {
	tr.t.Helper()
	tr.eventually("the tier is Ready", func() error {
		var waiting []string
		for _, list := range []client.ObjectList{&pkiv1.CryptoDeviceList{}, &pkiv1.IndustryCAList{}, &pkiv1.BusinessCAList{}, &pkiv1.CertificateProfileList{},
			&pkiv1.RegistrationAuthorityList{}, &pkiv1.ValidationServiceList{}, &pkiv1.DirectoryList{}, &pkiv1.TierList{}} {
			if err := tr.admin.List(tr.t.Context(), list, client.InNamespace(ministry)); err != nil {
				return err
			}
			items, err := meta.ExtractList(list)
			if err != nil {
				return err
			}
			if len(items) == 0 {
				return fmt.Errorf("there is no object in %T", list)
			}
			for _, item := range items {
				if o := item.(step.Object); !step.IsReady(o) {
					waiting = append(waiting, fmt.Sprintf("%T %s: %s", o, o.GetName(), conditions(o)))
				}
			}
		}
		if len(waiting) > 0 {
			return fmt.Errorf("%d are not:\n  %s", len(waiting), strings.Join(waiting, "\n  "))
		}
		return nil
	})
}

// conditions of an object in one line.
func conditions(o step.Object) string {
	var all []string
	for _, c := range o.GetObjectStatus().Conditions {
		all = append(all, fmt.Sprintf("%s=%s %s %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(all, "; ")
}
