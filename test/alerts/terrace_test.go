package alerts

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shorter are the times of the sample tier and the least that the API allows,
// brought down so that what takes hours there takes seconds here.
var shorter = []struct{ file, from, to string }{
	{"crd/pki.terrace.dev_businesscas.yaml", "duration('1m')", "duration('5s')"},
	{"crd/pki.terrace.dev_directories.yaml", "duration('10s')", "duration('2s')"},
	{"crd/pki.terrace.dev_industrycas.yaml", "duration('1m')", "duration('5s')"},
	{"tiers/ministry/businessca.yaml", "interval: 1h", "interval: 6s"},
	{"tiers/ministry/businessca.yaml", "overlap: 24h", "overlap: 12s"},
	{"tiers/ministry/industryca.yaml", "trustList:\n    interval: 24h\n    overlap: 168h", "trustList:\n    interval: 6s\n    overlap: 12s"},
	{"tiers/ministry/directory.yaml", "verifyInterval: 1h", "verifyInterval: 3s"},
}

// terrace is a running terrace-standalone with the sample tier and shorter times.
type terrace struct {
	t          *testing.T
	bin, state string
	cmd        *exec.Cmd
	out        *output
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

// startTerrace returns once everything is Ready, and it has said where.
func startTerrace(t *testing.T) *terrace {
	t.Helper()
	bin := os.Getenv("TERRACE_BIN")
	if bin == "" {
		t.Fatal("TERRACE_BIN is not set: run make test, or make build and TERRACE_BIN=$PWD/.terrace/bin go test ./test/alerts")
	}
	state, err := os.MkdirTemp("", "tal-") // short: the API server's sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	config := filepath.Join(state, "config")
	if err := os.CopyFS(config, os.DirFS(filepath.Join(root, "config"))); err != nil {
		t.Fatal(err)
	}
	for _, s := range shorter {
		file := filepath.Join(config, s.file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(s.from)) {
			t.Fatalf("%s has no %q by now; correct the test", s.file, s.from)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(b, []byte(s.from), []byte(s.to)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr := &terrace{t: t, bin: bin, state: state, out: &output{}}
	tr.cmd = exec.Command(filepath.Join(bin, "terrace-standalone"), "--data-dir", filepath.Join(state, "data"), "--config-dir", config, "--until-stdin-closes")
	tr.cmd.Stdout, tr.cmd.Stderr = tr.out, tr.out
	stdin, err := tr.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = tr.cmd.Wait() // how it ended does not matter
		close(ended)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		tr.kill()
		<-ended
	})
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(tr.out.String(), "Endpoints are in"); time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("terrace-standalone ended:\n%s", tr.out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not Ready in two minutes:\n%s", tr.out)
		}
	}
	return tr
}

func (tr *terrace) kill() { _ = tr.cmd.Process.Kill() }

func (tr *terrace) path(names ...string) string {
	return filepath.Join(append([]string{tr.state, "data"}, names...)...)
}

// endpoint is a URL of endpoints.json.
func (tr *terrace) endpoint(name string) string {
	tr.t.Helper()
	b, err := os.ReadFile(tr.path("endpoints.json"))
	if err != nil {
		tr.t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(b, &all); err != nil {
		tr.t.Fatal(err)
	}
	return all[name]
}

// kubectl runs it as a person, with stdin.
func (tr *terrace) kubectl(person, stdin string, args ...string) string {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tr.bin, "kubectl"), append([]string{"--kubeconfig", tr.path("kubeconfig"), "--context", person, "-n", "ministry"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tr.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// field is a base64 field of an object, decoded.
func (tr *terrace) field(object, path string) []byte {
	tr.t.Helper()
	text := tr.kubectl("admin", "", "get", object, "-o", "jsonpath={"+path+"}")
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		tr.t.Fatalf("%s of %s: %v: %q", path, object, err, text)
	}
	return b
}

// slapd sends a signal to one of the tier's LDAP servers.
func (tr *terrace) slapd(name string, signal syscall.Signal) {
	tr.t.Helper()
	b, err := os.ReadFile(tr.path("ldap", name, "slapd.pid"))
	if err != nil {
		tr.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		tr.t.Fatal(err)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		tr.t.Fatalf("signal %s to slapd %s: %v", signal, name, err)
	}
	if signal == syscall.SIGSTOP { // one that is stopped would not hear that its parent ended
		tr.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	}
}

// token sets what is wrong with the software token; nothing when fault is empty.
func (tr *terrace) token(fault string) {
	tr.t.Helper()
	file := tr.path("token", "fault")
	if fault == "" {
		if err := os.Remove(file); err != nil {
			tr.t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(file+".new", []byte(fault+"\n"), 0o600); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		tr.t.Fatal(err)
	}
}
