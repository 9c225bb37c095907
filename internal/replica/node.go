package replica

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/pki"
)

// keyInterval is how often a node looks for its key while its device is away.
const keyInterval = 5 * time.Second

// NodeConfig of a Node. Name, Store and Device are required.
type NodeConfig struct {
	// Name is the node's, as in its transport certificate.
	Name  string
	Store Store
	// Device holds the node's OCSP key.
	Device device.Device
	Now    func() time.Time // default time.Now
	Log    logr.Logger
	// OnChange hears what is to be served: at the start, after each push that
	// changed the configuration, and when the key was found. signer is nil while
	// the device is away.
	OnChange func(c Config, signer crypto.MessageSigner)
}

// Node takes pushes in. All methods may be used concurrently.
type Node struct {
	c     NodeConfig
	label string

	known atomic.Pointer[State] // as state, for those who do not wait for a push

	mu      sync.Mutex // serialises pushes, and guards what follows
	config  Config
	state   State
	signer  crypto.MessageSigner
	request []byte
}

// NodeKeyLabel is the label of a node's OCSP key in its device.
func NodeKeyLabel(node string) string { return authority.KeyLabel("ValidationNode/"+node, 1) }

// OpenNode returns a node that serves what its store holds.
func OpenNode(ctx context.Context, c NodeConfig) (*Node, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnChange == nil {
		c.OnChange = func(Config, crypto.MessageSigner) {}
	}
	n := &Node{c: c, label: NodeKeyLabel(c.Name)}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.reload(ctx); err != nil {
		return nil, err
	}
	if err := n.ensureKey(ctx); err != nil {
		c.Log.Error(err, "OCSP key is away; CRLs and CA certificates are served all the same, trying on")
	}
	c.OnChange(n.config, n.signer)
	return n, nil
}

// reload reads what the store holds. The store, not this memory, is the truth:
// a write that failed may have been persisted.
func (n *Node) reload(ctx context.Context) error {
	state, err := n.c.Store.State(ctx)
	if err != nil {
		return err
	}
	if state.Revision != n.config.Revision {
		if n.config, err = n.c.Store.Config(ctx); err != nil {
			return err
		}
	}
	n.state = state
	n.known.Store(&state)
	return nil
}

// ensureKey finds the node's key in its device, or makes it, once. A device that
// was replaced has a new key, which the CAs certify like the first.
func (n *Node) ensureKey(ctx context.Context) error {
	if n.signer != nil {
		return nil
	}
	signer, err := n.c.Device.Key(ctx, n.label)
	if errors.Is(err, device.ErrKeyNotFound) {
		signer, err = n.c.Device.GenerateKey(ctx, n.label)
	}
	if err != nil {
		return fmt.Errorf("OCSP key %q: %w", n.label, err)
	}
	name, err := pki.NewName(pki.Attribute{Type: "CN", Value: n.c.Name})
	if err != nil {
		return fmt.Errorf("OCSP key %q: %w", n.label, err)
	}
	request, err := pki.CreateRequest(signer, name)
	if err != nil {
		return fmt.Errorf("OCSP key %q: %w", n.label, err)
	}
	n.signer, n.request = signer, request
	return nil
}

// Run looks for the key while it is missing, until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	for {
		n.mu.Lock()
		if n.signer == nil && n.ensureKey(ctx) == nil {
			n.c.Log.Info("OCSP key is there again")
			n.c.OnChange(n.config, n.signer)
		}
		found := n.signer != nil
		n.mu.Unlock()
		if found { // it stays: a device that goes away fails each signature, not the key
			<-ctx.Done()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(keyInterval):
		}
	}
}

// State answers the sender, who asks before it pushes.
func (n *Node) State(ctx context.Context) (Pushed, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.refresh(ctx); err != nil {
		return Pushed{}, fmt.Errorf("tell state: %w", err)
	}
	return n.answer(), nil
}

// Push takes one batch in, durably, and serves it. A push that begins after the
// node's position changes nothing: the answer has the position to go back to.
// It returns ErrInvalid for what sending again cannot mend.
func (n *Node) Push(ctx context.Context, p Push) (Pushed, error) {
	if err := p.Check(); err != nil {
		return Pushed{}, err
	}
	at := n.c.Now() // before it waits for another push: what it brings was right then or later
	n.mu.Lock()
	defer n.mu.Unlock()
	refilling, refused := n.state.Refilling, n.state.AuditRefused
	_, err := n.c.Store.Apply(ctx, p, at)
	if err != nil && !errors.Is(err, ErrGap) {
		return Pushed{}, errors.Join(err, n.refresh(ctx)) // it may have been persisted
	}
	if err := n.refresh(ctx); err != nil {
		return Pushed{}, fmt.Errorf("take push: %w", err)
	}
	if n.state.AuditRefused != "" && n.state.AuditRefused != refused {
		n.c.Log.Error(errors.New(n.state.AuditRefused), "an audit checkpoint is refused: the ledger does not show that it is the one that was known before")
	}
	switch {
	case !refilling && n.state.Refilling:
		n.c.Log.Info("the ledger was restored from an older backup, or this replica is of an earlier release: it is filled anew; the statuses that it holds are served meanwhile")
	case refilling && !n.state.Refilling:
		n.c.Log.Info("the replica is filled anew", "position", n.state.Position, "serials", n.state.Serials)
	}
	return n.answer(), nil
}

// refresh reloads and tells OnChange when the configuration is another one.
func (n *Node) refresh(ctx context.Context) error {
	before := n.config.Revision
	if err := n.reload(ctx); err != nil {
		return err
	}
	if n.config.Revision != before {
		n.c.Log.Info("configuration changed", "revision", n.config.Revision, "services", len(n.config.Services))
		n.c.OnChange(n.config, n.signer)
	}
	return nil
}

func (n *Node) answer() Pushed {
	p := Pushed{State: n.state}
	if n.request != nil {
		p.Request = &ResponderRequest{CSR: n.request}
	}
	return p
}

// Known returns how far the node has come, without waiting for a push under way.
func (n *Node) Known() State { return *n.known.Load() }

// Audit returns what the node holds of the audit log.
func (n *Node) Audit(ctx context.Context) (Audit, error) { return n.c.Store.Audit(ctx) }
