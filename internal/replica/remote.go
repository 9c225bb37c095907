package replica

import (
	"context"
	"time"

	"github.com/terrace-pki/terrace/internal/link"
)

// Methods of the link between sender and node.
const (
	methodState = "validation.state"
	methodPush  = "validation.push"
)

// What a call may take. The sender itself waits and comes again, so few attempts
// are enough: one to learn the node's epoch, one that counts, one to spare.
const (
	callAttempts = 3
	callTimeout  = time.Minute // a list of some MiB over a slow line
)

// Codes are the errors that cross the link.
func Codes() link.Codes {
	return link.Codes{{Code: "validation/invalid", Err: ErrInvalid}}
}

// Register sets a node's handlers. Whoever is in the node's peers file may push:
// it names the one CA process that the node belongs to.
func Register(s *link.Server, n *Node) {
	link.Handle(s, methodState, func(ctx context.Context, _ link.Peer, _ struct{}) (Pushed, error) { return n.State(ctx) })
	link.Handle(s, methodPush, func(ctx context.Context, _ link.Peer, p Push) (Pushed, error) { return n.Push(ctx, p) })
}

// ServerBounds gives a node's server the room that pushes need. One sender
// pushes one batch at a time.
func ServerBounds(c link.ServerConfig) link.ServerConfig {
	c.MaxRequest, c.MaxConcurrent, c.Codes = MaxMessage, 4, Codes()
	return c
}

// linked is a Remote over a link.
type linked struct{ client *link.Client }

// NewRemote returns the node that c.Server names. It does not connect.
func NewRemote(c link.ClientConfig) (Remote, error) {
	c.Codes, c.MaxRequest = Codes(), MaxMessage
	if c.Attempts == 0 {
		c.Attempts = callAttempts
	}
	if c.Timeout == 0 {
		c.Timeout = callTimeout
	}
	client, err := link.NewClient(c)
	if err != nil {
		return nil, err
	}
	return linked{client}, nil
}

func (l linked) State(ctx context.Context) (Pushed, error) {
	return link.Call[struct{}, Pushed](ctx, l.client, methodState, struct{}{})
}

func (l linked) Push(ctx context.Context, p Push) (Pushed, error) {
	return link.Call[Push, Pushed](ctx, l.client, methodPush, p)
}
