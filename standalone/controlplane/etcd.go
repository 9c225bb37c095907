package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

const (
	etcdMember = "standalone"
	// etcd stops accepting writes when its file reaches this size.
	etcdQuotaBytes = 8 << 30
	// The WAL is kept from the last snapshot on: small enough for a quick start.
	etcdSnapshotCount = 10_000
	// The longest path that a unix socket address can hold on Linux, less one
	// for the final zero byte.
	maxSocketPath = 107
)

// etcd is the running store. It listens on one unix socket in the data
// directory, which is 0700: no other user of the machine can read Secrets out
// of it, and nothing is left elsewhere when the process is killed.
type etcd struct {
	endpoint string
	server   *embed.Etcd
	dir      *os.File // held open while the socket is reached through it; nil otherwise
}

func startEtcd(ctx context.Context, s settings, log *logSink) (_ *etcd, err error) {
	e := &etcd{}
	defer func() {
		if err != nil {
			e.stop()
		}
	}()
	socket, err := e.socketPath(s.dir)
	if err != nil {
		return nil, err
	}
	client := url.URL{Scheme: "unix", Path: socket}
	e.endpoint = client.String()
	// There is no peer listener: etcd takes a unix peer URL for an empty host and
	// binds an abstract socket that every local user reaches. The peer URL is
	// only the name by which a later start finds its own member again.
	peer := url.URL{Scheme: "http", Host: etcdMember + ".invalid:2380"}

	c := embed.NewConfig()
	c.Name = etcdMember
	c.Dir = s.path(etcdDir)
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = nil, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log.zap())
	c.UnsafeNoFsync = s.noFsync
	c.QuotaBackendBytes = etcdQuotaBytes
	c.SnapshotCount = etcdSnapshotCount
	if e.server, err = embed.StartEtcd(c); err != nil {
		return nil, err
	}
	select {
	case <-e.server.Server.ReadyNotify():
		return e, nil
	case err := <-e.server.Err():
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// socketPath is where the client socket goes: into the data directory. A path
// that is too long for a socket address is shortened by naming the directory
// through a descriptor of this process; client and server are the same one.
func (e *etcd) socketPath(dir string) (string, error) {
	path := filepath.Join(dir, socketFile)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", fmt.Errorf("socket: %w", err)
	}
	e.dir = d
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketFile), nil
}

// watch reports the failure of a running etcd. It returns after stop.
func (e *etcd) watch(fail func(error)) {
	if err, open := <-e.server.Err(); open {
		fail(fmt.Errorf("etcd: %w", err))
	}
}

func (e *etcd) stop() {
	if e.server != nil {
		e.server.Close()
	}
	if e.dir != nil {
		_ = e.dir.Close()
	}
}

// hasObjects tells whether an earlier start has created the store.
func hasObjects(s settings) (bool, error) {
	_, err := os.Stat(filepath.Join(s.path(etcdDir), "member"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
