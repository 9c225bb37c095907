package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/transport"
)

// CAConfig of the process beside the keys (核心区). Validate before use.
type CAConfig struct {
	Process
	Core
	Links
	// LinkAddress is host:port where registration authorities call.
	LinkAddress string
	// BindPasswordDir holds passwords of LDAP masters for when the API server is
	// away; may be empty.
	BindPasswordDir string
}

// Validate says which flag is wrong and how to mend it.
func (c CAConfig) Validate() error {
	if c.LimitsFile == "" {
		return errors.New("--limits: required: the file that bounds what the CAs may issue, whatever the API says (docs/zones.md)")
	}
	if c.LinkAddress == "" {
		return errors.New("--link-address: required, host:port where registration authorities call")
	}
	return errors.Join(c.Core.validate(), c.Process.validate(), c.Links.validate(), address("--link-address", c.LinkAddress))
}

// RunCA runs the CAs until ctx ends: keys, ledger, CRLs, the desk for
// registration authorities, and the pushes to directories and validation nodes.
func RunCA(ctx context.Context, kube *rest.Config, c CAConfig, log logr.Logger) error {
	if err := c.Validate(); err != nil {
		return err
	}
	l, err := c.Links.open()
	if err != nil {
		return err
	}
	k, err := openCore(ctx, c.Core, log)
	if err != nil {
		return err
	}
	defer k.close(log)
	listener, err := net.Listen("tcp", c.LinkAddress)
	if err != nil {
		return fmt.Errorf("--link-address: %w", err)
	}
	m := link.NewMetrics(metrics.Registry)
	server, err := link.NewServer(link.ServerConfig{Self: l.name, Key: l.key, Peers: l.peers, Codes: issuing.Codes(), Log: log.WithName("link"), Metrics: m})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	k.desk.Register(server)
	directories := newDirectoryServers(filepath.Join(c.TransportDir, transport.CAFile), c.BindPasswordDir)
	publishing := newPublishing(ctx, k, directories)
	nodes := newPushSender(l, k, m, log)
	h := newHealth()
	h.need("ledger", k.store.Ping)
	h.need("links", func(context.Context) error { return l.check() })
	servers, err := h.serve(c.Process)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	manage := func(ctx context.Context, setup func(ctrl.Manager) error) error {
		mgr, err := newManager(kube, managerOptions{name: "ca", secretNamespaces: c.TierNamespaces}, log)
		if err != nil {
			return err
		}
		if err := setup(mgr); err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	lead := func(mgr ctrl.Manager) error { return errors.Join(k.setup(mgr, nodes), publishing.setup(mgr)) }
	followAndLead := func(ctx context.Context) error {
		err := k.untilLeading(ctx, func(ctx context.Context) error { return manage(ctx, k.follow) })
		if err != nil || ctx.Err() != nil {
			return err
		}
		if err := publishing.load(); err != nil {
			return err
		}
		return manage(ctx, lead)
	}
	serve := func(ctx context.Context) error { return server.Serve(ctx, listener, l.folder.ServerTLSFor(l.mayOrder)) }
	services := slices.Concat(servers, k.services(log, publishing.service.Consumers, nodes.Consumers), k.whenLeading(k.reconciled(log, append(publishing.services(log), nodes.Run))...), []service{serve})
	return runUntil(ctx, func(ctx context.Context) error { return again(ctx, followAndLead, log) }, k.authorities.Fenced(), services...)
}
