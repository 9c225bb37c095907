package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/terrace-pki/terrace/directory"
)

func TestAnswersAreBounded(t *testing.T) {
	_, err := New(Config{Address: "ldap.example.cn:636", TLS: &tls.Config{}, Credentials: func(context.Context) (string, string, error) { return "", "", nil }})
	if err != nil || ber.MaxPacketLengthBytes != 128<<20 {
		t.Errorf("a message may have %d bytes, %v; want 128 MiB", ber.MaxPacketLengthBytes, err)
	}
}

// A request that is too large breaks the connection of those beside it: the
// cause is what counts.
func TestWorst(t *testing.T) {
	down, large := directory.ErrUnavailable, directory.ErrTooLarge
	for _, test := range []struct {
		failures []error
		want     error
	}{{nil, nil}, {[]error{down, down}, down}, {[]error{down, large, down}, large}} {
		if got := worst(test.failures); !errors.Is(got, test.want) {
			t.Errorf("of %v: got %v, want %v", test.failures, got, test.want)
		}
	}
}

// Having no password is trouble with the server as a whole, not with one entry.
func TestNoPasswordIsAnErrorOfCredentials(t *testing.T) {
	none := errors.New("password is not known")
	s, err := New(Config{Address: "127.0.0.1:1", TLS: &tls.Config{}, Credentials: func(context.Context) (string, string, error) { return "", "", none }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), []string{"dc=cn"}); !errors.Is(err, directory.ErrCredentials) || !errors.Is(err, none) {
		t.Errorf("got %v, want ErrCredentials with the reason", err)
	}
}
