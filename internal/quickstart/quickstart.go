package quickstart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/device/pkcs11"
)

// namespace of the sample tier.
const namespace = "ministry"

// tokenLabel of the sample tier's software token.
const tokenLabel = "ministry"

// Options of a quick start.
type Options struct {
	// StateDir holds everything that is kept; ConfigDir is the project's config folder.
	StateDir, ConfigDir string
	// TokenModule is the software token's shared object.
	TokenModule string
	// PKCS11Modules and SDFLibraries are the absolute paths of what CryptoDevices
	// besides the sample tier's may name.
	PKCS11Modules, SDFLibraries []string
	// Kubectl and Kubeconfig are used to apply, as context admin.
	Kubectl, Kubeconfig string
	Kube                *rest.Config
	Out                 io.Writer
	Log                 logr.Logger
}

// Run applies the kinds and the sample tier, runs every controller and
// service, shows progress until all is Ready, and goes on until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	s := state{dir: o.StateDir}
	ports, err := s.ports()
	if err != nil {
		return err
	}
	pin, err := s.prepareToken(o.TokenModule)
	if err != nil {
		return err
	}
	if err := s.ensureTransport(ports); err != nil {
		return err
	}
	caBundle, err := os.ReadFile(s.transportCA())
	if err != nil {
		return err
	}
	a := applier{Options: o, state: s}
	for _, dir := range []string{"crd", "rbac"} {
		if err := a.kustomization(ctx, o.ConfigDir+"/"+dir); err != nil {
			return err
		}
	}
	say(o.Out, "kinds and roles are installed")
	stopDirectory, err := s.startDirectory(ctx, ports)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopDirectory()) }()
	say(o.Out, "an LDAP master and two slaves are running")

	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- app.Run(running, o.Kube, s.appConfig(o, ports), o.Log) }()
	err = bringUp(running, o, s, a, ports, pin, caBundle, done)
	if err == nil {
		err = <-done // until ctx ends, or the process fails
		done = nil
	}
	stop()
	if done != nil {
		err = errors.Join(err, <-done)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped on demand
	}
	return err
}

// bringUp applies the tier while the controllers run, and watches it become Ready.
func bringUp(ctx context.Context, o Options, s state, a applier, ports Ports, pin, caBundle []byte, died chan error) error {
	if err := waitReady(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", ports.Health), died); err != nil {
		return err
	}
	scheme, err := app.Scheme()
	if err != nil {
		return err
	}
	c, err := client.New(o.Kube, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	if err := a.webhooks(ctx, caBundle, ports.Webhook); err != nil {
		return err
	}
	if err := ensureNamespace(ctx, c); err != nil {
		return err
	}
	if err := ensureSecret(ctx, c, "hsm-pin", corev1.SecretTypeOpaque, "pin", pin); err != nil {
		return err
	}
	for _, name := range directorySecrets(ports) {
		password, err := s.secret(name)
		if err != nil {
			return err
		}
		if err := ensureSecret(ctx, c, name, pkiv1.SecretTypeBindPassword, "password", password); err != nil {
			return err
		}
	}
	if err := a.tier(ctx, ports, o.TokenModule); err != nil {
		return err
	}
	say(o.Out, "config/tiers/ministry is applied")
	if err := watch(ctx, o, s, c, died); err != nil {
		return err
	}
	return a.printNext(ports)
}

func (s state) appConfig(o Options, p Ports) app.Config {
	local := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	return app.Config{
		Core: app.Core{LedgerDSN: "sqlite:" + s.path("ledger", "ledger.db"), KeystoreDir: s.path("keystores"),
			PKCS11Modules: append([]string{o.TokenModule}, o.PKCS11Modules...), SDFLibraries: o.SDFLibraries, AuditDevice: namespace + "/hsm"},
		Process:           app.Process{MetricsAddress: local(p.Metrics), HealthAddress: local(p.Health)},
		Webhooks:          app.Webhooks{WebhookAddress: local(p.Webhook), WebhookCertDir: s.transportFolder(webhookProcess)},
		RegistrationDSN:   "sqlite:" + s.path("ledger", "registration.db"),
		ValidationAddress: local(p.Validation),
		DirectoryCAFile:   s.transportCA(),
		StateDir:          s.path("pusher"),
	}
}

// prepareToken initialises the software token on first use and returns its PIN.
func (s state) prepareToken(module string) (pin []byte, err error) {
	if pin, err = s.secret("pin"); err != nil {
		return nil, err
	}
	soPIN, err := s.secret("so-pin")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.path("token"), 0o700); err != nil {
		return nil, err
	}
	if err := os.Setenv("TERRACE_SOFTTOKEN_DIR", s.path("token")); err != nil {
		return nil, err
	}
	return pin, pkcs11.InitToken(module, 0, tokenLabel, soPIN, pin)
}

func ensureNamespace(ctx context.Context, c client.Client) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	return client.IgnoreAlreadyExists(c.Create(ctx, ns))
}

// ensureSecret creates a Secret of one entry, or corrects it: a cluster may know
// that of a state folder that was removed. A type cannot be changed.
func ensureSecret(ctx context.Context, c client.Client, name string, typ corev1.SecretType, key string, value []byte) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Type: typ, Data: map[string][]byte{key: value}}
	wanted := secret.DeepCopy()
	if err := c.Create(ctx, secret); !apierrors.IsAlreadyExists(err) {
		return err
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
		return err
	}
	if secret.Type != typ {
		if err := client.IgnoreNotFound(c.Delete(ctx, secret)); err != nil {
			return err
		}
		return c.Create(ctx, wanted)
	}
	if bytes.Equal(secret.Data[key], value) {
		return nil
	}
	secret.Data = map[string][]byte{key: value}
	return c.Update(ctx, secret)
}

func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, strings.TrimSuffix(format, "\n")+"\n", args...)
}
