package issuing_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/link/linktest"
	"github.com/terrace-pki/terrace/internal/registration"
)

// TestLinkFailsAsACAOutOfReach: an RA waits and tries again, whatever is wrong
// with the link, and does not take it for the CA's answer.
func TestLinkFailsAsACAOutOfReach(t *testing.T) {
	other, err := link.EnsureKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	desk := newDesk(t)
	answer := func(err error) func(*link.Server) {
		return func(s *link.Server) {
			s.Handle("registration/ready", func(ctx context.Context, _ link.Peer, _ []byte) ([]byte, error) {
				if err == nil {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, err
			})
		}
	}
	for name, tc := range map[string]struct {
		register  func(*link.Server)
		configure func(*link.ServerConfig, *link.ClientConfig)
		want      error
	}{
		"the CA has another key":      {desk.Register, func(s *link.ServerConfig, _ *link.ClientConfig) { s.Key = other }, link.ErrBadResponse},
		"the RA has another key":      {desk.Register, func(_ *link.ServerConfig, c *link.ClientConfig) { c.Key = other }, link.ErrSignature},
		"the CA does not know the RA": {desk.Register, func(s *link.ServerConfig, _ *link.ClientConfig) { s.Peers = link.StaticPeers{} }, link.ErrUnknownPeer},
		"the RA does not know the CA": {desk.Register, func(_ *link.ServerConfig, c *link.ClientConfig) { c.Peers = link.StaticPeers{} }, link.ErrBadResponse},
		"the RA's clock is wrong": {desk.Register, func(_ *link.ServerConfig, c *link.ClientConfig) {
			c.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}, link.ErrStale},
		"the CA does not know the method": {func(*link.Server) {}, nil, link.ErrUnknownMethod},
		"the CA fails":                    {answer(errors.New("disk on fire")), nil, link.ErrInternal},
		"the CA takes too long":           {answer(nil), func(s *link.ServerConfig, _ *link.ClientConfig) { s.HandlerTimeout = 50 * time.Millisecond }, link.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			pair := linktest.New(t, linktest.Options{Authorities: []string{business}, Codes: issuing.Codes(), Register: tc.register,
				Configure: func(s *link.ServerConfig, c *link.ClientConfig) {
					c.Attempts = 1
					if tc.configure != nil {
						tc.configure(s, c)
					}
				}})
			if err := issuing.NewClient(pair.Client).Ready(t.Context(), business); !errors.Is(err, registration.ErrIssuerUnavailable) || !errors.Is(err, tc.want) {
				t.Errorf("got %v, want ErrIssuerUnavailable and %v", err, tc.want)
			}
		})
	}
	// What the CA answers is not that.
	if err := overLink(t, desk).Ready(t.Context(), foreign); errors.Is(err, registration.ErrIssuerUnavailable) || !errors.Is(err, registration.ErrNotEntitled) {
		t.Errorf("not entitled: got %v", err)
	}
	if _, err := overLink(t, desk).Find(t.Context(), "CertificateRequest", "people", "nobody"); errors.Is(err, registration.ErrIssuerUnavailable) || !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("not found: got %v", err)
	}
}
