// Package scenario walks whole flows on terrace-standalone as a person would,
// with kubectl and openssl, and checks the results with software that is not ours.
package scenario

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binEnv names the folder that make build fills; make test sets it.
const binEnv = "TERRACE_BIN"

// terrace is a running terrace-standalone.
type terrace struct {
	t     *testing.T
	bin   string
	state string
	args  []string // further arguments of terrace-standalone
	env   []string // further settings in its environment
	cmd   *exec.Cmd
	out   *output
}

// output keeps what a process printed.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func newTerrace(t *testing.T) *terrace {
	t.Helper()
	bin := os.Getenv(binEnv)
	if bin == "" {
		t.Fatalf("%s is not set: run make test, or make build and %s=$PWD/.terrace/bin go test ./test/scenario", binEnv, binEnv)
	}
	state, err := os.MkdirTemp("", "tsc-")
	if err != nil {
		t.Fatal(err)
	}
	tr := &terrace{t: t, bin: bin, state: state}
	t.Cleanup(func() {
		tr.stop(syscall.SIGKILL)
		_ = os.RemoveAll(state)
	})
	tr.useTokenProfile(t)
	return tr
}

// start runs the binary and waits until it says that everything is Ready.
func (tr *terrace) start() {
	tr.t.Helper()
	tr.out = &output{}
	tr.cmd = exec.Command(filepath.Join(tr.bin, "terrace-standalone"), append([]string{"--data-dir", tr.state, "--until-stdin-closes"}, tr.args...)...)
	tr.cmd.Dir = root()
	tr.cmd.Env = append(os.Environ(), tr.env...)
	tr.cmd.Stdout, tr.cmd.Stderr = tr.out, tr.out
	stdin, err := tr.cmd.StdinPipe()
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.t.Cleanup(func() { _ = stdin.Close() })
	if err := tr.cmd.Start(); err != nil {
		tr.t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func(c *exec.Cmd) { exited <- c.Wait() }(tr.cmd)
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if strings.Contains(tr.out.String(), "Everything is Ready") {
			return
		}
		select {
		case err := <-exited:
			tr.cmd = nil
			tr.t.Fatalf("terrace-standalone ended (%v):\n%s", err, tr.out)
		default:
		}
		if time.Now().After(deadline) {
			tr.t.Fatalf("not Ready in three minutes:\n%s", tr.out)
		}
	}
}

// stop ends the process by a signal and waits for its end.
func (tr *terrace) stop(sig syscall.Signal) {
	if tr.cmd == nil {
		return
	}
	_ = tr.cmd.Process.Signal(sig)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := tr.cmd.Process.Signal(syscall.Signal(0)); errors.Is(err, os.ErrProcessDone) {
			tr.cmd = nil
			return
		}
	}
	tr.t.Errorf("terrace-standalone did not end within 30 s of %s:\n%s", sig, tr.out)
	_ = tr.cmd.Process.Kill()
	tr.cmd = nil
}

// kubectl runs it in a context and returns what it printed.
func (tr *terrace) kubectl(kubecontext, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tr.bin, "kubectl"), append([]string{"--kubeconfig", filepath.Join(tr.state, "kubeconfig"), "--context", kubecontext, "-n", "ministry"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// plugin runs kubectl terrace as a person.
func (tr *terrace) plugin(kubecontext string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tr.bin, "kubectl-terrace"), append(args, "--kubeconfig", filepath.Join(tr.state, "kubeconfig"), "--context", kubecontext, "-n", "ministry")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// approve has people approve a request.
func (tr *terrace) approve(request string, people ...string) {
	tr.t.Helper()
	for _, who := range people {
		if out, err := tr.plugin(who, "approve", request); err != nil {
			tr.t.Fatalf("%s approves %s: %v\n%s", who, request, err, out)
		}
	}
}

func (tr *terrace) mustKubectl(kubecontext, stdin string, args ...string) string {
	tr.t.Helper()
	out, err := tr.kubectl(kubecontext, stdin, args...)
	if err != nil {
		tr.t.Fatalf("kubectl --context %s %s: %v\n%s", kubecontext, strings.Join(args, " "), err, out)
	}
	return out
}

// field returns a base64 field of an object, decoded.
func (tr *terrace) field(object, path string) []byte {
	tr.t.Helper()
	out := tr.mustKubectl("admin", "", "get", object, "-o", "jsonpath={"+path+"}")
	b, err := base64.StdEncoding.DecodeString(out)
	if err != nil || len(b) == 0 {
		tr.t.Fatalf("%s of %s: %v: %q", path, object, err, out)
	}
	return b
}

func (tr *terrace) text(object, path string) string {
	tr.t.Helper()
	return tr.mustKubectl("admin", "", "get", object, "-o", "jsonpath={"+path+"}")
}

// request returns a CertificateRequest for a CSR, from the sample in config.
func request(t *testing.T, name, profile string, csr []byte) string {
	t.Helper()
	return fmt.Sprintf(`apiVersion: pki.terrace.dev/v1alpha1
kind: CertificateRequest
metadata: {name: %s, namespace: ministry}
spec:
  request: %s
  profileRef: {name: %s}
  registrationAuthorityRef: {name: ra}
`, name, base64.StdEncoding.EncodeToString(csr), profile)
}

func openssl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// csr makes a key and a signing request with openssl.
func csr(t *testing.T, subject string) []byte {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key.pem")
	openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", key)
	return openssl(t, nil, "req", "-new", "-key", key, "-sm3", "-sigopt", "distid:1234567812345678", "-utf8", "-subj", subject)
}

func root() string {
	wd, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Dir(filepath.Dir(wd))
}

func readAll(t *testing.T, r io.ReadCloser) []byte {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, 16<<20))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
