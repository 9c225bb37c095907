package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/internal/transport"
)

// nodeEnv makes the test binary a validation node; it holds the configuration in JSON.
const nodeEnv = "TERRACE_TEST_VALIDATION_NODE"

func TestMain(m *testing.M) {
	text := os.Getenv(nodeEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var c ValidationConfig
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = RunValidation(ctx, c, logr.Discard())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// nodeProcess is a `terrace validation` of its own.
type nodeProcess struct {
	config ValidationConfig
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (n *nodeProcess) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(n.config)
	if err != nil {
		t.Fatal(err)
	}
	n.stderr.Reset()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = []string{nodeEnv + "=" + string(text)} // no kubeconfig, no DSN, nothing else
	n.cmd.Stderr = &n.stderr
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := n.cmd
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func (n *nodeProcess) get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (n *nodeProcess) waitReady(t *testing.T, want int) string {
	t.Helper()
	var status int
	var text string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if status, text = n.get(t, n.config.HealthAddress, "/readyz"); status == want {
			return text
		}
	}
	t.Fatalf("/readyz answers %d: %s; want %d. The node says: %s", status, text, want, n.stderr.String())
	return ""
}

// validationWorld is a core with one CA, and a node that is not started yet.
type validationWorld struct {
	ledger      string
	store       authority.Store
	authorities *authority.Service
	responders  *responder.Service
	links       *links
	ca          *authority.CA
	node        *nodeProcess
}

// newNodeProcess makes the files of a node and of the core in dir.
func newNodeProcess(t *testing.T, dir string) (core Links, node *nodeProcess) {
	t.Helper()
	local := []string{"127.0.0.1"}
	if _, err := transport.EnsureFolders(filepath.Join(dir, "tls"), []transport.Process{{Name: "ca", Hosts: local}, {Name: "val-a", Hosts: local}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	files := func(name, peer string) Links {
		l := Links{Name: name, TransportDir: filepath.Join(dir, "tls", name), MessageKeyFile: filepath.Join(dir, name+".key"), PeersFile: filepath.Join(dir, name+".peers.yaml")}
		key, err := link.EnsureKey(filepath.Join(dir, peer+".key"))
		if err != nil {
			t.Fatal(err)
		}
		pem := strings.ReplaceAll(strings.TrimSpace(string(key.PublicPEM())), "\n", "\n    ")
		writeFile(t, l.PeersFile, "peers:\n- name: "+peer+"\n  publicKey: |\n    "+pem+"\n")
		return l
	}
	core, own := files("ca", "val-a"), files("val-a", "ca")
	writeFile(t, filepath.Join(dir, "password"), "only for this test\n")
	return core, &nodeProcess{config: ValidationConfig{Links: own, DataDir: filepath.Join(dir, "replica"),
		LocalDevice: LocalDevice{KeystoreDir: filepath.Join(dir, "keys"), PasswordFile: filepath.Join(dir, "password")},
		PushAddress: freeAddress(t), ValidationAddress: freeAddress(t), Process: Process{HealthAddress: freeAddress(t), MetricsAddress: freeAddress(t)}}}
}

func newValidationWorld(t *testing.T) *validationWorld {
	t.Helper()
	dir := t.TempDir()
	coreLinks, node := newNodeProcess(t, dir)
	process := metrics.Registry // each world is a process of its own
	metrics.Registry = prometheus.NewRegistry()
	t.Cleanup(func() { metrics.Registry = process })
	w := &validationWorld{node: node, ledger: filepath.Join(dir, "ledger.db")}
	var err error
	if w.links, err = coreLinks.open(); err != nil {
		t.Fatal(err)
	}
	if w.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: w.ledger, TakeOver: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "ca-keys"), Password: []byte("only for this test")})
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("ns/device", keys); err != nil {
		t.Fatal(err)
	}
	w.authorities = authority.New(authority.Config{Store: w.store, Keys: devices})
	w.responders = responder.New(w.store, w.authorities, time.Now)
	key := authority.IssuerKey{Authority: "BusinessCA/ns/province", Generation: 1}
	base := "http://" + w.node.config.ValidationAddress
	_, err = authoritytest.DeclareCA(t.Context(), w.authorities, filepath.Join(dir, "root"), time.Now(),
		authority.Settings{Key: key, Device: "ns/device", Validation: "ns/validation", BaseURL: base})
	if err := errors.Join(err, w.responders.Accept(t.Context(), responder.Spec{Namespace: "ns", Name: "validation", BaseURL: base, ResponderValidity: 72 * time.Hour,
		ResponseValidity: time.Hour, Nodes: []responder.Node{{Name: "val-a", URL: "https://" + w.node.config.PushAddress}}})); err != nil {
		t.Fatal(err)
	}
	if w.ca, err = w.authorities.CA(key); err != nil {
		t.Fatal(err)
	}
	return w
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runCore does what the ca process does for nodes, until stop.
func (w *validationWorld) runCore(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	trail := authority.NewAuditLog(w.authorities, "ns/device", testr.New(t))
	sender := newPushSender(w.links, &core{authorities: w.authorities, responders: w.responders, audit: trail}, nil, testr.New(t))
	done := make(chan error, 3)
	go func() { done <- w.authorities.WatchLedger(ctx, logr.Discard()) }()
	go func() { done <- sender.Run(ctx) }()
	go func() { done <- trail.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, <-done, <-done); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func (w *validationWorld) issue(t *testing.T, name string) pki.Serial {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=" + name + ",O=Test,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.authorities.Issue(t.Context(), w.ca.Key, []authority.Order{{
		Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "ns", Name: name, Digest: sm3.Sum([]byte(name))},
		Profile:  pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute}, Subject: subject, PublicKey: &key.PublicKey}})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out)
	}
	return out[0].Record.Serial
}

func (w *validationWorld) perform(t *testing.T, verb authority.Verb, serial pki.Serial) {
	t.Helper()
	name := strings.ToLower(string(verb))
	done, err := w.authorities.Perform(t.Context(), authority.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "ns", Name: name, Digest: sm3.Sum([]byte(name))},
		Issuer: w.ca.Key, Serial: serial, Verb: verb, Reason: pki.ReasonKeyCompromise, At: time.Now()})
	if err != nil || done.Refusal != "" {
		t.Fatalf("%s: %v, refusal %q", verb, err, done.Refusal)
	}
}

// ask returns what the node answers by OCSP for a serial: "good", "unknown",
// "revoked" with the reason, or what went wrong.
func (w *validationWorld) ask(t *testing.T, serial pki.Serial) string {
	t.Helper()
	issuer, err := ocsp.NewIssuer(w.ca.Cert)
	if err != nil {
		t.Fatal(err)
	}
	id, err := issuer.CertID(ocsp.SM3, serial)
	if err != nil {
		t.Fatal(err)
	}
	request, err := ocsp.MarshalRequest(nil, id)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+w.node.config.ValidationAddress+"/ocsp", "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ocsp.ParseResponse(der, w.ca.Cert, time.Now()) // verifies the signature and the delegation
	if err != nil {
		return err.Error()
	}
	if len(answer.Responses) != 1 {
		return fmt.Sprintf("%v", answer)
	}
	if s := answer.Responses[0]; s.State == ocsp.Revoked {
		return "revoked " + s.Reason.String()
	}
	return answer.Responses[0].State.String()
}

func (w *validationWorld) wait(t *testing.T, serial pki.Serial, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got = w.ask(t, serial); got == want {
			return
		}
	}
	t.Fatalf("OCSP says %q, want %q", got, want)
}

func TestValidationNodeAnswersWithTheCoreSwitchedOff(t *testing.T) {
	w := newValidationWorld(t)
	good, revoked, held := w.issue(t, "good"), w.issue(t, "revoked"), w.issue(t, "held")
	const never pki.Serial = "01AABBCC"
	root := w.declareIndustryCA(t)
	trustList := w.signTrustList(t)
	w.node.start(t)
	if text := w.node.waitReady(t, http.StatusServiceUnavailable); !strings.Contains(text, "never pushed") {
		t.Errorf("before the first push /readyz says:\n%s", text)
	}

	stop := w.runCore(t)
	w.wait(t, good, "good")
	w.perform(t, authority.VerbRevoke, revoked)
	begin := time.Now()
	w.wait(t, revoked, "revoked keyCompromise")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a revocation was answered after %s, want below one second", took)
	}
	w.perform(t, authority.VerbHold, held)
	w.wait(t, held, "revoked certificateHold")
	if _, err := w.authorities.EnsureCRL(t.Context(), w.ca.Key, 0); err != nil {
		t.Fatal(err)
	}
	list, err := w.store.CurrentCRL(t.Context(), w.ca.Key, 0)
	if err != nil {
		t.Fatal(err)
	}
	answers := func(t *testing.T) {
		t.Helper()
		for serial, want := range map[pki.Serial]string{good: "good", revoked: "revoked keyCompromise", held: "revoked certificateHold", never: "unknown"} {
			w.wait(t, serial, want)
		}
		for path, want := range map[string][]byte{"/crl/" + w.ca.Key.CRLFileName(0): list.DER, "/ca/" + w.ca.Key.FileName() + ".cer": w.ca.Certificate} {
			var status int
			var body string
			for deadline := time.Now().Add(10 * time.Second); body != string(want) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				status, body = w.node.get(t, w.node.config.ValidationAddress, path)
			}
			if body != string(want) {
				t.Errorf("%s: HTTP %d with %d bytes, want the %d bytes of the core", path, status, len(body), len(want))
			}
		}
		w.awaitTrustList(t, root, trustList)
	}
	answers(t)

	stop() // the core is switched off
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	answers(t)
	if err := w.node.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.node.cmd.Wait() // was killed
	w.node.start(t)
	if text := w.node.waitReady(t, http.StatusOK); !strings.Contains(text, "last pushed") {
		t.Errorf("/readyz does not say since when it was pushed:\n%s", text)
	}
	answers(t)
	if _, text := w.node.get(t, w.node.config.MetricsAddress, "/metrics"); !strings.Contains(text, "terrace_replica_push_age_seconds ") || !strings.Contains(text, "terrace_replica_as_of_age_seconds ") || !strings.Contains(text, "terrace_replica_serials 6\n") {
		t.Error("metrics lack the age of the last push or of the answers, or the six serials (three, those of the responder for two CAs and the list signer's)")
	}
	if err := w.node.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := w.node.cmd.Wait(); err != nil {
		t.Errorf("a graceful stop ended with %v: %s", err, w.node.stderr.String())
	}
}

func TestValidationConfig(t *testing.T) {
	valid := ValidationConfig{Links: Links{Name: "v", TransportDir: "t", MessageKeyFile: "k", PeersFile: "p"}, DataDir: "d", PushAddress: ":1", ValidationAddress: ":2",
		LocalDevice: LocalDevice{KeystoreDir: "k", PasswordFile: "f"}}
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*ValidationConfig){
		"--data-dir":               func(c *ValidationConfig) { c.DataDir = "" },
		"--push-address":           func(c *ValidationConfig) { c.PushAddress = "nowhere" },
		"--validation-address":     func(c *ValidationConfig) { c.ValidationAddress = "" },
		"--peers":                  func(c *ValidationConfig) { c.PeersFile = "" },
		"--keystore-password-file": func(c *ValidationConfig) { c.PasswordFile = "" },
		"one of the three":         func(c *ValidationConfig) { c.KeystoreDir = "" },
		"--token-label":            func(c *ValidationConfig) { c.LocalDevice = LocalDevice{PKCS11Module: "/lib/x.so", PINFile: "p"} },
		"--sdf-password-file":      func(c *ValidationConfig) { c.LocalDevice = LocalDevice{SDF: pkiv1.SDFDevice{LibraryPath: "/lib/x.so"}} },
		"--sdf-padding": func(c *ValidationConfig) {
			c.LocalDevice = LocalDevice{SDF: pkiv1.SDFDevice{LibraryPath: "/lib/x.so", Structures: "Bits512"}, SDFPasswordFile: "p"}
		},
		"index of its own": func(c *ValidationConfig) {
			c.LocalDevice = LocalDevice{SDF: pkiv1.SDFDevice{LibraryPath: "/lib/x.so", Structures: "Bits512", Padding: "Leading", Algorithms: "Early", SelfTestKeyIndex: 2},
				SDFPasswordFile: "p", SDFKeyIndex: 2}
		},
		"absolute": func(c *ValidationConfig) {
			c.LocalDevice = LocalDevice{PKCS11Module: "x.so", PINFile: "p", TokenLabel: "l"}
		},
	} {
		c := valid
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
}
