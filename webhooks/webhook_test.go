package webhooks_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/apiserver"
	"github.com/terrace-pki/terrace/webhooks"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	os.Exit(apiserver.Main(m, func(s *apiserver.Server) error {
		server = s
		return apiserver.InstallCRDs(s.Config, "../config/crd")
	}))
}

// serve runs the webhooks until the test ends, and returns a client once the
// API server asks them.
func serve(t *testing.T) (client.Client, string) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), pkiv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	hooks, err := apiserver.InstallWebhooks(server.Config, "../config/webhook")
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(server.Config, ctrl.Options{Scheme: scheme, WebhookServer: hooks.Server(), Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := webhooks.SetupAll(mgr); err != nil {
		t.Fatal(err)
	}
	hooks.Run(t, mgr)
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	ns := server.Namespace(t)
	// Before the API server knows of the webhooks it takes the object; before
	// they listen it refuses it with other words.
	var last error
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		last = c.Create(ctx, request(ns, "probe", []byte("nothing")), client.DryRunAll)
		return apierrors.IsInvalid(last) && strings.Contains(last.Error(), "spec.request"), nil
	})
	if err != nil {
		t.Fatalf("webhooks do not answer: %v, last: %v", err, last)
	}
	return c, ns
}

func TestRefusals(t *testing.T) {
	c, ns := serve(t)
	csr := newRequestDER(t)
	root, foreign := newRoot(t)
	for name, tc := range map[string]struct {
		obj  client.Object
		want []string // what the message says, the field among it; none: it is taken
	}{
		"good request":               {request(ns, "good", armour(csr)), nil},
		"request without armour":     {request(ns, "r", csr), []string{"spec.request", "PEM"}},
		"request of another type":    {request(ns, "r", pki.EncodePEM("PUBLIC KEY", csr)), []string{"spec.request", "PUBLIC KEY"}},
		"request cut off":            {request(ns, "r", armour(csr[:len(csr)-1])), []string{"spec.request", "SEQUENCE"}},
		"two requests":               {request(ns, "r", append(armour(csr), armour(csr)...)), []string{"spec.request"}},
		"request with a P-256 key":   {request(ns, "r", armour(p256Request(t))), []string{"spec.request", "SM2"}},
		"request changed afterwards": {request(ns, "r", armour(bytes.Replace(csr, []byte("Gauge"), []byte("Gauze"), 1))), []string{"spec.request", "signature does not verify", "1234567812345678"}},
		"good profile":               {profile(ns, "DigitalSignature"), nil},
		"profile with mixed usages":  {profile(ns, "DigitalSignature", "KeyEncipherment"), []string{"spec", "ncipher"}},
		"good RA":                    {registrationAuthority(ns, "O=Ministry,C=CN"), nil},
		"RA with a bad base":         {registrationAuthority(ns, "Ministry"), []string{"spec.allowedNames", "[0]"}},
		"RA with reviewers":          {reviewed(ns, pkiv1.ApprovalReviewed, "p"), nil},
		"approvals that nobody asks": {reviewed(ns, pkiv1.ApprovalNone, "p"), []string{"spec.approvals", "Reviewed"}},
		"approvals for no profile":   {reviewed(ns, pkiv1.ApprovalReviewed, "q"), []string{"spec.approvals[0].profile", "allowedProfiles"}},
		"good IndustryCA":            {industryCA(ns, "CN=CA,C=CN", root, foreign), nil},
		"IndustryCA with a bad name": {industryCA(ns, "nobody", nil, nil), []string{"spec.subject"}},
		"root that is issued":        {industryCA(ns, "CN=CA,C=CN", foreign, nil), []string{"spec.rootCertificate", "no root"}},
		"root that is damaged":       {industryCA(ns, "CN=CA,C=CN", []byte("root"), nil), []string{"spec.rootCertificate", "PEM"}},
		"root that is P-256":         {industryCA(ns, "CN=CA,C=CN", p256Root(t), nil), []string{"spec.rootCertificate", "SM2"}},
		"certificate that is P-256":  {industryCA(ns, "CN=CA,C=CN", nil, p256Root(t)), []string{"spec.certificate", "SM2"}},
		"request that is too large":  {request(ns, "r", armour(make([]byte, 16200+400))), []string{"spec.request"}},
		"text after the request":     {request(ns, "r", append(armour(csr), []byte("x")...)), []string{"spec.request"}},
		"good ValidationService":     {validationService(ns, "http://pki.example:8080/a"), nil},
		"port out of range":          {validationService(ns, "http://pki.example:99999/a"), []string{"spec.baseURL", "port"}},
		"path with a dot segment":    {validationService(ns, "http://pki.example/a/../b"), []string{"spec.baseURL", "dot"}},
		"two faults at once":         {industryCA(ns, "nobody", nil, []byte("x")), []string{"spec.subject", "spec.certificate"}},
		"BusinessCA's bad chain":     {businessCA(ns, foreign, []byte("chain")), []string{"spec.issuer.external.chain", "PEM"}},
		"good BusinessCA":            {businessCA(ns, foreign, root), nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Create(t.Context(), tc.obj, client.DryRunAll)
			if tc.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !apierrors.IsInvalid(err) {
				t.Fatalf("got %v, want Invalid", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message %q does not say %q", err, want)
				}
			}
		})
	}
}

func meta(ns, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }

func request(ns, name string, pem []byte) *pkiv1.CertificateRequest {
	return &pkiv1.CertificateRequest{ObjectMeta: meta(ns, name), Spec: pkiv1.CertificateRequestSpec{Request: pem,
		ProfileRef: pkiv1.LocalObjectReference{Name: "p"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
}

func profile(ns string, usages ...pkiv1.KeyUsage) *pkiv1.CertificateProfile {
	return &pkiv1.CertificateProfile{ObjectMeta: meta(ns, "p"), Spec: pkiv1.CertificateProfileSpec{
		Subject: []pkiv1.SubjectAttributeRule{{Type: "CN"}}, KeyUsages: usages, Validity: metav1.Duration{Duration: time.Hour}}}
}

func registrationAuthority(ns, base string) *pkiv1.RegistrationAuthority {
	return &pkiv1.RegistrationAuthority{ObjectMeta: meta(ns, "ra"), Spec: pkiv1.RegistrationAuthoritySpec{
		BusinessCARef: pkiv1.LocalObjectReference{Name: "ca"}, AllowedProfiles: []string{"p"}, ApprovalPolicy: pkiv1.ApprovalNone,
		AllowedNames: []pkiv1.NameRule{{SubjectBase: base}}}}
}

func reviewed(ns string, policy pkiv1.ApprovalPolicy, profile string) *pkiv1.RegistrationAuthority {
	ra := registrationAuthority(ns, "O=Ministry,C=CN")
	ra.Spec.ApprovalPolicy, ra.Spec.Approvals = policy, []pkiv1.ProfileApprovals{{Profile: profile, Required: 2}}
	return ra
}

func caCommon(subject string) pkiv1.CACommon {
	return pkiv1.CACommon{Subject: subject, DeviceRef: pkiv1.LocalObjectReference{Name: "hsm"},
		CRL: pkiv1.CRLSpec{Interval: metav1.Duration{Duration: time.Hour}, Overlap: metav1.Duration{Duration: time.Hour}}}
}

func industryCA(ns, subject string, root, cert []byte) *pkiv1.IndustryCA {
	return &pkiv1.IndustryCA{ObjectMeta: meta(ns, "ca"),
		Spec: pkiv1.IndustryCASpec{CACommon: caCommon(subject), RootCertificate: root, Certificate: cert}}
}

func businessCA(ns string, cert, chain []byte) *pkiv1.BusinessCA {
	return &pkiv1.BusinessCA{ObjectMeta: meta(ns, "ca"), Spec: pkiv1.BusinessCASpec{CACommon: caCommon("CN=CA,C=CN"), Validity: metav1.Duration{Duration: time.Hour},
		Issuer: pkiv1.BusinessCAIssuer{External: &pkiv1.ExternalIssuer{Certificate: cert, Chain: chain}}}}
}

func armour(der []byte) []byte { return pki.EncodePEM("CERTIFICATE REQUEST", der) }

// newRequestDER is an SM2 request for CN=Gauge.
func newRequestDER(t *testing.T) []byte {
	t.Helper()
	dev, err := software.Open(software.Config{Dir: filepath.Join(t.TempDir(), "keystore"), Password: []byte("only for this test")})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	key, err := dev.GenerateKey(t.Context(), "gauge")
	if err != nil {
		t.Fatal(err)
	}
	name, err := pki.ParseName("CN=Gauge,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.CreateRequest(key, name)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func p256Request(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// newRoot returns a root's certificate and a CA certificate that it issued.
func newRoot(t *testing.T) (root, issued []byte) {
	t.Helper()
	r, err := nationalroot.Open(t.Context(), t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := r.Certify(armour(newRequestDER(t)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r.CertificatePEM(), cert
}

func validationService(ns, baseURL string) *pkiv1.ValidationService {
	return &pkiv1.ValidationService{ObjectMeta: meta(ns, "v"), Spec: pkiv1.ValidationServiceSpec{BaseURL: baseURL,
		DeviceRef:         &pkiv1.LocalObjectReference{Name: "d"},
		ResponderValidity: metav1.Duration{Duration: time.Hour}, ResponseValidity: metav1.Duration{Duration: time.Hour}}}
}

// p256Root is a CA certificate on another curve.
func p256Root(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "P-256 root"}, NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pki.EncodePEM("CERTIFICATE", der)
}
