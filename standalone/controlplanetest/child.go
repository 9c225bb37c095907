package controlplanetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/terrace-pki/terrace/standalone/controlplane"
)

// childDirVariable holds the data directory, and says to RunChild that this
// process is the child.
const childDirVariable = "TERRACE_CONTROLPLANE_CHILD_DIR"

// exitTimeout bounds the wait for a child that was told to stop.
const exitTimeout = 30 * time.Second

// RunChild is for TestMain: in the process that StartChild started, it serves
// and returns true; the caller then returns. Otherwise it returns false at once.
func RunChild() (bool, error) {
	dir := os.Getenv(childDirVariable)
	if dir == "" {
		return false, nil
	}
	return true, Serve(context.Background(), controlplane.Config{DataDir: dir}, os.Stdin, os.Stdout)
}

// Child is a control plane in a process of its own, with fsync, on which the
// test holds the lifeline.
type Child struct {
	Client  *kubernetes.Clientset // may do everything
	process *exec.Cmd
	stdin   io.Closer
}

// StartChild starts this test binary again, as a control plane on the data
// directory dir, and returns when it is ready. TestMain must call RunChild. The
// end of the test kills what is then left of the child.
func StartChild(t testing.TB, dir string) *Child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDirVariable+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // not waited for
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("child ended before it was ready: %v", err)
	}
	path, ok := kubeconfigPath(line)
	if !ok {
		t.Fatalf("child printed %q, want %s...", line, ReadyPrefix)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &Child{Client: client, process: cmd, stdin: stdin}
}

// PID is the process id of the child.
func (c *Child) PID() int { return c.process.Process.Pid }

// Kill ends the child at once, by SIGKILL.
func (c *Child) Kill() error {
	if err := c.process.Process.Kill(); err != nil {
		return fmt.Errorf("kill child: %w", err)
	}
	_ = c.process.Wait() // "signal: killed"
	return nil
}

// Abandon closes the child's standard input, as the death of its parent does,
// and waits for its end.
func (c *Child) Abandon() error {
	if err := c.stdin.Close(); err != nil {
		return fmt.Errorf("abandon child: %w", err)
	}
	overdue := time.AfterFunc(exitTimeout, func() { _ = c.process.Process.Kill() })
	defer overdue.Stop()
	if err := c.process.Wait(); err != nil {
		return fmt.Errorf("abandon child: it did not stop by itself within %s: %w", exitTimeout, err)
	}
	return nil
}
