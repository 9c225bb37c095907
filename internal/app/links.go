package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/transport"
)

// Links is how a process knows itself and its peers, all in files of its host.
type Links struct {
	// Name of the process, which is the common name of its transport certificate.
	Name string
	// TransportDir holds tls.crt, tls.key and ca.crt.
	TransportDir string
	// MessageKeyFile holds the SM2 key that signs this process's messages.
	MessageKeyFile string
	// PeersFile lists whose messages are believed, and for what.
	PeersFile string
}

func (l Links) validate() error {
	for flag, value := range map[string]string{"--name": l.Name, "--transport-dir": l.TransportDir, "--message-key": l.MessageKeyFile, "--peers": l.PeersFile} {
		if value == "" {
			return fmt.Errorf("%s: required", flag)
		}
	}
	return nil
}

// links are opened Links.
type links struct {
	name   string
	folder *transport.Folder
	key    *link.Key
	peers  *link.PeersFile
}

func (l Links) open() (*links, error) {
	folder, err := transport.OpenFolder(l.TransportDir)
	if err != nil {
		return nil, fmt.Errorf("--transport-dir: %w", err)
	}
	if folder.Name() != l.Name {
		return nil, fmt.Errorf("--name %q: the certificate in --transport-dir is for %q; they must be the same", l.Name, folder.Name())
	}
	key, err := link.LoadKey(l.MessageKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--message-key: %w", err)
	}
	peers, err := link.OpenPeers(l.PeersFile)
	if err != nil {
		return nil, fmt.Errorf("--peers: %w", err)
	}
	if err := registerExpiry(metrics.Registry, folder); err != nil {
		return nil, err
	}
	return &links{l.Name, folder, key, peers}, nil
}

// registerExpiry has a metric tell when the transport certificate that is in use ends.
func registerExpiry(registry prometheus.Registerer, folder *transport.Folder) error {
	return registerNotAfter(registry, folder.NotAfter)
}

func registerNotAfter(registry prometheus.Registerer, notAfter func() time.Time) error {
	err := registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrace_transport_certificate_not_after_timestamp_seconds",
		Help: "Time at which this process's transport certificate ends, in Unix seconds; 0 when it cannot be read.",
	}, func() float64 { return float64(notAfter().Unix()) }))
	if err != nil {
		return fmt.Errorf("metric of the transport certificate: %w", err)
	}
	return nil
}

// check says whether the files can be used now.
func (l *links) check() error { return errors.Join(l.folder.Check(), l.peers.Check()) }

// isPeer says whether the peers file knows a process.
func (l *links) isPeer(name string) bool {
	_, ok := l.peers.Peer(name)
	return ok
}

// mayOrder says whether the peers file lets a process ask any CA for anything. Who
// is in it only to be called, as validation nodes are, has no business to connect.
func (l *links) mayOrder(name string) bool {
	p, ok := l.peers.Peer(name)
	return ok && len(p.Authorities) > 0
}
