// Package apiserver gives tests a real Kubernetes API server, in a child
// process that ends with them.
//
// The server is the nested module's terrace-testapiserver: custom resources,
// Secrets, RBAC, admission and webhooks as in any cluster; no Pods. It starts
// empty within 3 s. A test package starts one and shares it:
//
//	var server *apiserver.Server
//
//	func TestMain(m *testing.M) {
//		os.Exit(apiserver.Main(m, func(s *apiserver.Server) error {
//			server = s
//			return apiserver.InstallCRDs(s.Config, "../../config/crd/bases")
//		}))
//	}
//
// A server that cannot be had is a failure of the tests, never a skip.
package apiserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// readyPrefix starts the line by which the server says that it is ready.
	readyPrefix = "KUBECONFIG="
	// A loaded machine needs far more than the usual 3 s.
	startTimeout = 2 * time.Minute
	stopTimeout  = 30 * time.Second
	// maxDiagnosis bounds what an error repeats of the server's own words.
	maxDiagnosis = 4 << 10
)

// Server is a running API server.
type Server struct {
	// Config is a client of a user who may do everything. It is not throttled.
	Config *rest.Config
	// Kubeconfig is the path of a file with the same, for kubectl.
	Kubeconfig string

	dir     string
	process *exec.Cmd
	stdin   io.Closer // the server stops when this closes, also by our death
}

// Start runs an API server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Main runs the tests of a package with one API server, which setup has made
// ready, and returns the exit code for TestMain.
func Main(m *testing.M, setup func(*Server) error) int {
	s, err := Open(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := 1
	if err := setup(s); err != nil {
		fmt.Fprintln(os.Stderr, "set up the API server:", err)
	} else {
		code = m.Run()
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Open starts an API server on an empty temporary directory. ctx bounds the
// start. The caller must Close the server.
func Open(ctx context.Context) (*Server, error) {
	binary, err := locate(ctx)
	if err != nil {
		return nil, fmt.Errorf("start API server: %w", err)
	}
	dir, err := os.MkdirTemp("", "terrace-apiserver-")
	if err != nil {
		return nil, fmt.Errorf("start API server: %w", err)
	}
	s := &Server{dir: dir}
	if err := s.start(ctx, binary); err != nil {
		err = fmt.Errorf("start API server: %s: %w%s", binary, err, s.diagnosis())
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stderr, err := os.Create(s.stderrPath())
	if err != nil {
		return err
	}
	defer stderr.Close() // the child has its own
	s.process = exec.Command(binary, "-dir", filepath.Join(s.dir, "data"))
	s.process.Stderr = stderr
	if s.stdin, err = s.process.StdinPipe(); err != nil {
		return err
	}
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	overdue := context.AfterFunc(ctx, func() { _ = s.process.Process.Kill() })
	err = s.connect(stdout)
	if !overdue() {
		err = errors.Join(fmt.Errorf("not ready: %w", context.Cause(ctx)), err)
	}
	if err != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait() // so that all of its words are in the file
	}
	return err
}

// connect waits for the line that says that the server is ready.
func (s *Server) connect(stdout io.Reader) error {
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return errors.New("ended before it was ready")
	}
	path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), readyPrefix)
	if !ok {
		return fmt.Errorf("printed %q, want %s<path>", line, readyPrefix)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return err
	}
	cfg.QPS = -1
	s.Config, s.Kubeconfig = cfg, path
	return nil
}

// Close stops the server and removes its data. It takes about a second.
func (s *Server) Close() error {
	overdue := time.AfterFunc(stopTimeout, func() { _ = s.process.Process.Kill() })
	defer overdue.Stop()
	err := s.stdin.Close()
	if exit := s.process.Wait(); exit != nil {
		err = errors.Join(err, fmt.Errorf("%w%s", exit, s.diagnosis()))
	}
	if err := errors.Join(err, os.RemoveAll(s.dir)); err != nil {
		return fmt.Errorf("stop API server: %w", err)
	}
	return nil
}

// As is a client of another user, by impersonation: the user has the rights
// that RBAC gives to the name and the groups, and webhooks see that user.
func (s *Server) As(user string, groups ...string) *rest.Config {
	cfg := rest.CopyConfig(s.Config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return cfg
}

// Namespace makes a namespace for one test and returns its name; the end of the
// test deletes it.
func (s *Server) Namespace(t testing.TB) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := client.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return ns.Name
}

func (s *Server) stderrPath() string { return filepath.Join(s.dir, "stderr") }

// diagnosis is the last part of what the server wrote to standard error.
func (s *Server) diagnosis() string {
	b, err := os.ReadFile(s.stderrPath())
	if err != nil || len(b) == 0 {
		return ""
	}
	if len(b) > maxDiagnosis {
		b = b[len(b)-maxDiagnosis:]
	}
	return "\n" + string(b)
}
