package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
)

// ValidationConfig of a validation node (服务区). It has neither a kubeconfig
// nor a database of others. Validate before use.
type ValidationConfig struct {
	Process
	Links
	LocalDevice
	// DataDir holds the replica.
	DataDir string
	// PushAddress is host:port where the CA process pushes, ValidationAddress
	// that of OCSP, CRLs and CA certificates.
	PushAddress, ValidationAddress string
}

// replicaFile is the replica's name in the data folder.
const replicaFile = "replica.db"

// Validate says which flag is wrong and how to mend it.
func (c ValidationConfig) Validate() error {
	switch {
	case c.DataDir == "":
		return errors.New("--data-dir: required, the folder of the replica, on a local file system")
	case c.PushAddress == "":
		return errors.New("--push-address: required, host:port where the CA process pushes")
	case c.ValidationAddress == "":
		return errors.New("--validation-address: required, host:port for OCSP, CRLs and CA certificates")
	}
	return errors.Join(address("--push-address", c.PushAddress), address("--validation-address", c.ValidationAddress),
		c.Links.validate(), c.LocalDevice.validate(), c.Process.validate())
}

// RunValidation answers from the replica until ctx ends. It needs nobody for
// that: pushes only make the answers newer.
func RunValidation(ctx context.Context, c ValidationConfig, log logr.Logger) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	l, err := c.Links.open()
	if err != nil {
		return err
	}
	peer := solePeer{l.peers}
	if err := peer.check(); err != nil {
		return err
	}
	file, err := replicastore.Open(ctx, filepath.Join(c.DataDir, replicaFile))
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	store := watchReplica(file)
	dev, err := c.LocalDevice.open(replica.NodeKeyLabel(c.Name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()

	listener, err := net.Listen("tcp", c.PushAddress)
	if err != nil {
		return fmt.Errorf("--push-address: %w", err)
	}
	server, err := link.NewServer(replica.ServerBounds(link.ServerConfig{Self: l.name, Key: l.key, Peers: peer, Log: log.WithName("link"),
		Metrics: link.NewMetrics(metrics.Registry)}))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s, err := newReplicaServer(c.ValidationAddress, store, metrics.Registry, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	node, err := replica.OpenNode(ctx, replica.NodeConfig{Name: l.name, Store: store, Device: dev, Log: log.WithName("node"), OnChange: s.serve})
	if err != nil {
		return errors.Join(err, listener.Close(), s.listener.Close())
	}
	s.node = node
	replica.Register(server, node)
	metrics.Registry.MustRegister(replica.NewNodeMetrics(node, time.Now))
	h := newHealth()
	nodeHealth(h, node, l, time.Now)
	servers, err := h.serve(c.Process)
	if err != nil {
		return errors.Join(err, listener.Close(), s.listener.Close())
	}
	g, running := errgroup.WithContext(ctx)
	for _, service := range append(servers, s.run, node.Run,
		func(ctx context.Context) error {
			return server.Serve(ctx, listener, l.folder.ServerTLSFor(func(name string) bool { return peer.check() == nil && l.isPeer(name) }))
		}) {
		g.Go(func() error { return service(running) })
	}
	return g.Wait()
}

// nodeHealth is ready once there is something to answer from. How old it is
// decides nothing: an old answer says its age, and no answer helps nobody.
func nodeHealth(h *health, node *replica.Node, l *links, now func() time.Time) {
	h.need("replica", func(context.Context) error {
		switch s := node.Known(); {
		case s.PushedAt.IsZero():
			return errors.New("nothing was pushed yet: name this node in a ValidationService, and in the peers file of the CA process")
		case !s.Filled:
			return fmt.Errorf("is being filled for the first time: position %d of %d", s.Position, s.Head)
		}
		return nil
	})
	h.tell(func() string {
		s := node.Known()
		if s.PushedAt.IsZero() {
			return "never pushed"
		}
		text := fmt.Sprintf("last pushed %s ago, at %s; position %d of %d, %d serials", now().Sub(s.PushedAt).Truncate(time.Second),
			s.PushedAt.Format(time.RFC3339), s.Position, s.Head, s.Serials)
		if !s.AsOf.IsZero() {
			text += "; held everything at " + s.AsOf.Format(time.RFC3339)
		}
		if s.Refilling {
			text += "; is being filled anew, since the ledger was restored from an older backup"
		}
		return text
	})
	h.tell(func() string {
		if err := errors.Join(l.check(), solePeer{l.peers}.check()); err != nil {
			return "links: " + err.Error()
		}
		return "links: files are in order"
	})
}
