package slapd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	startTimeout = 20 * time.Second
	// maxLog is when slapd.log is put aside at a start; one older one is kept.
	maxLog = 16 << 20
)

// Process is a running slapd. It ends with this process, however that ends.
type Process struct {
	config Config
	cmd    *exec.Cmd
	done   chan struct{}
	err    error // of Wait, once done is closed
}

// Start starts a server and returns when it answers. ctx bounds the start only.
func Start(ctx context.Context, c Config) (*Process, error) {
	p, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start slapd on %s: %w", c.Address, err)
	}
	return p, nil
}

func start(ctx context.Context, c Config) (*Process, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	unlock, err := prepare(c)
	if err != nil {
		return nil, err
	}
	p, err := launch(ctx, c, unlock)
	if err != nil {
		unlock()
		return nil, err
	}
	if err := p.answers(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return nil, errors.Join(err, p.Stop(stopCtx))
	}
	return p, nil
}

// prepare makes the folders and locks Dir: two slapds on one database would
// destroy it.
func prepare(c Config) (unlock func(), err error) {
	if _, err := os.Stat(slapdPath); err != nil {
		return nil, errNotInstalled
	}
	for _, d := range []string{"", dataDir, logDir, accountsDir} {
		if err := os.MkdirAll(filepath.Join(c.Dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(c.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("dir %s: is in use by another slapd", c.Dir)
	}
	return func() { lock.Close() }, nil
}

// launch starts slapd in the foreground; unlock is called when it ended.
func launch(ctx context.Context, c Config, unlock func()) (*Process, error) {
	conf := filepath.Join(c.Dir, "slapd.conf")
	if err := os.WriteFile(conf, []byte(c.conf(c.path(dataDir))), 0o600); err != nil {
		return nil, err
	}
	if err := loadAccounts(ctx, c, conf); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	logFile := filepath.Join(c.Dir, "slapd.log")
	if info, err := os.Stat(logFile); err == nil && info.Size() > maxLog {
		if err := os.Rename(logFile, logFile+".1"); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(slapdPath, "-f", conf, "-h", "ldaps://"+c.Address+"/", "-d", "none")
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LDAPNOINIT=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p := &Process{config: c, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that forked ends, so it stays ours.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		unlock()
		close(p.done)
	}()
	return p, <-started
}

// answers waits until the listener takes TLS connections, which slapd does once
// its databases are open.
func (p *Process) answers(ctx context.Context) error {
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(p.config.CAFile)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(ca) {
		return fmt.Errorf("CA file %s: has no certificate", p.config.CAFile)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", p.config.Address)
		if err == nil {
			return conn.Close()
		}
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) {
			return err
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended: %w: %s", p.err, p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w: %s", err, p.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *Process) logTail() string {
	b, err := os.ReadFile(filepath.Join(p.config.Dir, "slapd.log"))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b))
}

// URL of the listener, for a slave's MasterURL.
func (p *Process) URL() string {
	host, port, _ := net.SplitHostPort(p.config.Address)
	return "ldaps://" + net.JoinHostPort(host, port) + "/"
}

// Done is closed when slapd ended, by Stop or by itself.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends slapd gracefully, and hard when ctx ends before it did. It returns
// once the process is gone; stopping twice is no error.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop slapd: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill slapd: %w", err)
	}
	<-p.done
	return fmt.Errorf("stop slapd: did not end in time and was killed: %w", ctx.Err())
}
