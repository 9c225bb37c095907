package zone

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTimeout bounds the wait for a process that was asked to stop.
const stopTimeout = 30 * time.Second

// Command is a program to run on a host.
type Command struct {
	// Name of the process in messages.
	Name string
	// Args begin with the program's absolute path.
	Args []string
	// Env is added to a minimal environment, which holds nothing of the test's.
	Env []string
	// Stdin of a command that Run runs.
	Stdin io.Reader
}

// Process is a running program.
type Process struct {
	n       *Net
	host    string
	command Command
	name    string
	cmd     *exec.Cmd
	// stdin stays open: some servers stop when theirs ends.
	stdin io.Closer
	log   *log
	done  chan struct{}
	err   error // valid once done is closed
}

// command is c on host, by the host's user, without any capability, and killed
// when this process dies: ip and setpriv become the program itself, so that its
// process id is the one we hold.
func (n *Net) command(ctx context.Context, host string, c Command) *exec.Cmd {
	h := n.host(host)
	args := append([]string{"netns", "exec", n.namespace(host), "setpriv", "--reuid", strconv.Itoa(h.UID), "--regid", strconv.Itoa(h.GID), "--clear-groups",
		"--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--pdeathsig", "KILL", "--"}, c.Args...)
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Dir, cmd.Stdin = n.Dir(host), c.Stdin
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + n.Dir(host), "TMPDIR=" + n.Dir(host), "LC_ALL=C"}, c.Env...)
	return cmd
}

// Start runs a program until it ends, is stopped or killed, or the test ends.
// Command.Stdin is not used.
func (n *Net) Start(host string, c Command) *Process {
	n.t.Helper()
	p := &Process{n: n, host: host, command: c, name: c.Name + " on " + host, cmd: n.command(context.Background(), host, c), log: &log{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = time.Second
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		n.t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	n.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if n.t.Failed() {
			n.t.Logf("last words of %s:\n%s", p.name, p.log.tail(6<<10))
		}
	})
	return p
}

// Run runs a program to its end and returns what it printed on standard output.
// The error holds what it printed on standard error.
func (n *Net) Run(host string, c Command) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := n.command(ctx, host, c)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s on %s: %w: %s", c.Name, host, err, strings.TrimSpace(stderr.String()))
	}
	return out, err
}

// Kill is kill -9.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to stop, as a service manager does, and fails the test
// unless it then ends well within 30 s.
func (p *Process) Stop() {
	p.n.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			p.n.t.Errorf("%s was asked to stop and ended with %v:\n%s", p.name, p.err, p.log.tail(4<<10))
		}
	case <-time.After(stopTimeout):
		p.n.t.Errorf("%s did not stop within %s:\n%s", p.name, stopTimeout, p.log.tail(4<<10))
		p.Kill()
	}
}

// Again starts the same program anew on the same host, once this one has ended.
func (p *Process) Again() *Process {
	p.n.t.Helper()
	<-p.done
	return p.n.Start(p.host, p.command)
}

// Ended tells whether the process has ended by itself.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Log is what the process printed, its last MiB.
func (p *Process) Log() string { return p.log.tail(maxLog) }

// User returns the user that the process really runs as.
func (p *Process) User() (uid int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 5 && fields[0] == "Uid:" {
			return strconv.Atoi(fields[2]) // the effective one
		}
	}
	return 0, fmt.Errorf("/proc/%d/status names no user", p.cmd.Process.Pid)
}

func (p *Process) signal(s syscall.Signal) {
	if !p.Ended() {
		_ = p.cmd.Process.Signal(s) // it may end at this moment
	}
}

// maxLog bounds what is kept of a process's words.
const maxLog = 1 << 20

type log struct {
	mu sync.Mutex
	b  []byte
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > maxLog {
		l.b = append([]byte(nil), l.b[len(l.b)-maxLog:]...)
	}
	return len(p), nil
}

func (l *log) tail(size int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b[max(0, len(l.b)-size):])
}
