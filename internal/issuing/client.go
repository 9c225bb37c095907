package issuing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Client is the CA at the other end of a link.
type Client struct {
	link *link.Client
}

var _ registration.Issuer = (*Client)(nil)

// NewClient returns the CA that a link leads to.
func NewClient(l *link.Client) *Client { return &Client{l} }

func call[Req, Resp any](ctx context.Context, c *Client, method string, req Req) (Resp, error) {
	resp, err := link.Call[Req, Resp](ctx, c.link, method, req)
	return resp, unavailable(err)
}

// unavailable marks what is no answer of the CA to what was asked: the link, its
// keys and clocks, or a failure inside of the CA, which its own log explains.
func unavailable(err error) error {
	if err == nil || slices.ContainsFunc(codes, func(c link.Code) bool { return errors.Is(err, c.Err) }) {
		return err
	}
	return fmt.Errorf("%w: %w", registration.ErrIssuerUnavailable, err)
}

// Find asks for what was issued under a name.
func (c *Client) Find(ctx context.Context, kind, namespace, name string) (registration.Known, error) {
	k, err := call[findRequest, known](ctx, c, methodFind, findRequest{kind, namespace, name})
	return registration.Known{Digest: k.Digest, Issued: k.issued()}, err
}

// Issue sends the orders in one message.
func (c *Client) Issue(ctx context.Context, ca string, orders []registration.Order) ([]registration.Issued, error) {
	resp, err := call[issueRequest, issueResponse](ctx, c, methodIssue, issueRequest{ca, orders})
	if err != nil {
		return nil, err
	}
	if len(resp.Items) != len(orders) {
		return nil, unavailable(fmt.Errorf("issue: the CA answered %d of %d orders", len(resp.Items), len(orders)))
	}
	issued := make([]registration.Issued, len(orders))
	for i, one := range resp.Items {
		issued[i] = one.issued()
	}
	return issued, nil
}

// Perform sends an act.
func (c *Client) Perform(ctx context.Context, act registration.Act) (authority.Performed, error) {
	return call[registration.Act, authority.Performed](ctx, c, methodPerform, act)
}

// Publish asks for a list that shows the certificate's present state.
func (c *Client) Publish(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (int64, error) {
	resp, err := call[publishRequest, publishResponse](ctx, c, methodPublish, publishRequest{issuer, serial})
	return resp.Number, err
}

// Ready asks whether a CA can issue now.
func (c *Client) Ready(ctx context.Context, ca string) error {
	_, err := call[readyRequest, empty](ctx, c, methodReady, readyRequest{ca})
	return err
}
