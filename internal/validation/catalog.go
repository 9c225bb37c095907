// Package validation serves a ValidationService (证书查验服务系统) over HTTP:
// OCSP (RFC 6960 Appendix A, RFC 5019), CRLs, ARLs and CA certificates
// (RFC 5280 §4.2.1.13, §4.2.2.1), and trust lists (LD/T 02.1 §7.3.2). Everything that it serves is signed, so HTTP
// without TLS is right (RFC 5280 §8).
package validation

import (
	"context"
	"errors"
	"time"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

// ErrNotFound: a catalog does not have what was asked for.
var ErrNotFound = errors.New("is not served here")

// CRL is a signed list as it is served.
type CRL struct {
	DER []byte
	// Number is cRLNumber, or the sequence number of a trust list; with the path it
	// names the bytes.
	Number                 int64
	ThisUpdate, NextUpdate time.Time
}

// Catalog is what one validation service has to serve.
//
// An error that wraps ErrNotFound says that the service does not serve this
// CA, or that there is no such file yet; any other means that it cannot be read
// now, and that a client may try again. The slices are not changed by the
// handler, nor by the catalog after it has returned them. All methods may be
// used concurrently and return soon after ctx ends.
type Catalog interface {
	// CRL returns the current full list of a shard.
	CRL(ctx context.Context, ca CAName, shard int32) (CRL, error)
	// Delta returns its current delta (RFC 5280 §5.2.4).
	Delta(ctx context.Context, ca CAName, shard int32) (CRL, error)
	// TrustList returns the current trust list of an industry CA in a form.
	TrustList(ctx context.Context, ca CAName, form trustlist.Form) (CRL, error)
	// CACertificate returns the certificate of a CA in DER.
	CACertificate(ctx context.Context, ca CAName) ([]byte, error)
}

// Responder answers OCSP requests; its one implementation is *ocsp.Responder.
type Responder interface {
	Respond(ctx context.Context, request []byte) ([]byte, ocsp.Meta)
}

var _ Responder = (*ocsp.Responder)(nil)
