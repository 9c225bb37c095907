// Package controlplane runs a real Kubernetes API server with its etcd inside
// this process, for a machine without a cluster.
//
// It is the generic control plane of Kubernetes: custom resources, namespaces,
// Secrets, ConfigMaps, Events, Leases, RBAC, service account tokens, CEL
// admission, admission webhooks, server-side apply. There are no Pods and no
// Services, so a webhook must name its server by URL. The namespace,
// garbage-collector and role-aggregation controllers run too; the rest of
// kube-controller-manager does not, so that a namespace gets no "default"
// ServiceAccount by itself.
//
// All state is in one data directory: etcd's files, the certificate authority
// that clients and server trust, the key that encrypts Secrets, the port.
// A process that starts on the same directory carries on where an earlier one
// stopped or was killed: same URL, same authority, every acknowledged object.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// readyTimeout bounds a start. An idle machine needs 3 s, and 5 s with 100,000
// objects; the rest is for a loaded one.
const readyTimeout = 2 * time.Minute

// Config says where a control plane keeps its state and where it serves.
type Config struct {
	// DataDir is the directory of all state, created 0700 when it is missing.
	// One process at a time may use it. Required.
	DataDir string
	// Address is the IP address to serve on. Empty means 127.0.0.1.
	Address string
	// Port is the TCP port to serve on. 0 means the port that DataDir already
	// has; the first start on a directory chooses one and writes it there.
	Port int
	// NoFsync lets etcd acknowledge a write before it is on disk. A power cut
	// then loses objects; tests gain speed.
	NoFsync bool
}

// settings is a Config that has been checked and completed.
type settings struct {
	dir     string // absolute
	ip      netip.Addr
	port    uint16
	noFsync bool
}

func (c Config) settings() (settings, error) {
	if c.DataDir == "" {
		return settings{}, errors.New("data directory: must be given")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return settings{}, fmt.Errorf("data directory: %w", err)
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(c.Address)
	if err != nil {
		return settings{}, fmt.Errorf("address: must be an IP address: %w", err)
	}
	if c.Port < 0 || c.Port > 65535 {
		return settings{}, fmt.Errorf("port: %d is not in 0..65535", c.Port)
	}
	return settings{dir: dir, ip: ip, port: uint16(c.Port), noFsync: c.NoFsync}, nil
}

func (s settings) path(name string) string { return filepath.Join(s.dir, name) }

// ControlPlane is a running control plane. Its methods may be used concurrently.
type ControlPlane struct {
	url       string
	authority *authority

	failed chan error // buffered: the first failure is kept, later ones follow from it

	stopOnce sync.Once
	stopping []func() // undoes the steps of Start; run from the last to the first
}

// Start brings up etcd, the API server and the controllers, and returns once
// the API server says that it is ready. ctx bounds the start alone: a running
// control plane ends by Stop, because its users must have ended before it.
//
// A directory that another process uses is refused with *InUseError.
//
// The log of the API server and of etcd goes to apiserver.log in the data
// directory. The logger is klog's, which the process has one of, so that
// everything else that logs by klog (client-go) goes there too.
func Start(ctx context.Context, cfg Config) (*ControlPlane, error) {
	s, err := cfg.settings()
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	cp := &ControlPlane{failed: make(chan error, 1)}
	if err := cp.start(ctx, s); err != nil {
		cp.Stop()
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context, s settings) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout,
		fmt.Errorf("not ready within %s; see %s", readyTimeout, s.path(logFile)))
	defer cancel()

	lock, err := lockDataDir(s.dir)
	if err != nil {
		return err
	}
	cp.onStop(lock.release)

	log, err := openLog(s.path(logFile))
	if err != nil {
		return err
	}
	cp.onStop(log.close)

	ln, err := listen(s)
	if err != nil {
		return err
	}
	cp.onStop(func() { _ = ln.Close() }) // the API server has closed it, if there is one by then
	cp.url = "https://" + ln.Addr().String()

	if cp.authority, err = loadAuthority(s.path(pkiDir)); err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	files, err := writeServerFiles(s, cp.authority)
	if err != nil {
		return err
	}

	etcd, err := startEtcd(ctx, s, log)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	cp.onStop(etcd.stop)
	go etcd.watch(cp.fail)

	api, err := startAPIServer(ln, files, etcd.endpoint, cp.fail)
	if err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	cp.onStop(api.stop)
	if err := api.waitReady(ctx); err != nil {
		return fmt.Errorf("API server: %w", err)
	}

	stopControllers, err := startControllers(api.loopback)
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	cp.onStop(stopControllers)
	return nil
}

// URL is where the API server serves, https://address:port.
func (cp *ControlPlane) URL() string { return cp.url }

// Failed delivers one error if the control plane breaks down without having
// been asked to stop. It delivers nothing after Stop. The owner then ends the
// users of the API and calls Stop, as it would without a failure.
func (cp *ControlPlane) Failed() <-chan error { return cp.failed }

// Stop ends the controllers, the API server and etcd, in this order, and frees
// the data directory. It takes about a second. Stop the users of the API first,
// or they report a lost server. Later calls wait for the first one.
func (cp *ControlPlane) Stop() {
	cp.stopOnce.Do(func() {
		for _, stop := range slices.Backward(cp.stopping) {
			stop()
		}
	})
}

func (cp *ControlPlane) onStop(f func()) { cp.stopping = append(cp.stopping, f) }

func (cp *ControlPlane) fail(err error) {
	select {
	case cp.failed <- err:
	default:
	}
}

// waitReady polls /readyz, which answers 200 after etcd was reached, the
// default RBAC roles are there and the caches are filled.
func (a *apiServer) waitReady(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(rest.CopyConfig(a.loopback))
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var status int
		client.RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status)
		if status == http.StatusOK {
			return nil
		}
		select {
		case <-a.exited:
			return errors.New("ended during the start")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
