// Package replica is what a validation node (证书查验节点) knows, so that it answers
// with the core switched off, and how it comes to know it: the sender beside the
// ledger pushes, the node never asks. A node holds statuses, lists and CA
// certificates; it never holds a subscriber's certificate or name.
package replica

import (
	"errors"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Bounds of one push.
const (
	// MaxChanges of serials. With names of the longest sort they stay below 1 MiB.
	MaxChanges = 1000
	// MaxCRL is the longest list in bytes: about half a million entries. Longer
	// ones are not pushed; more shards make them shorter.
	MaxCRL = 20 << 20
	// MaxMessage is the longest encoded push in bytes, base64 included. The link
	// must let it through.
	MaxMessage = 32 << 20
	// MaxServices and MaxAuthorities bound a configuration.
	MaxServices    = 64
	MaxAuthorities = 1024
	// maxAnchor is the length of the digests that tell ledgers apart, in bytes.
	maxAnchor = 64
	// maxChain is the number of certificates above a CA's own.
	maxChain = 8
)

// Errors of nodes and stores.
var (
	// ErrGap: the push begins after what the node holds.
	ErrGap = errors.New("push begins after the node's position")
	// ErrInvalid: the push breaks a bound or cannot be read. Sending it again
	// does not help.
	ErrInvalid = errors.New("push is not valid")
	// ErrNotFound: the replica does not hold it.
	ErrNotFound = errors.New("not in the replica")
)

// Config is everything that a node serves, as one value.
type Config struct {
	// Revision grows with each change. A lower one never replaces a higher one.
	Revision int64 `json:"revision"`
	// Digest is SM3 of the services, by which the sender sees that a node holds them.
	Digest   []byte    `json:"digest"`
	Services []Service `json:"services"`
}

// Service is one ValidationService.
type Service struct {
	// ID is "namespace/name".
	ID string `json:"id"`
	// BaseURL is what certificates name.
	BaseURL string `json:"baseURL"`
	// ResponseValidity is nextUpdate - thisUpdate of an OCSP response.
	ResponseValidity time.Duration `json:"responseValidity"`
	Authorities      []Authority   `json:"authorities"`
}

// Authority is one CA key generation that a service answers for.
type Authority struct {
	Key authority.IssuerKey `json:"key"`
	// Certificate is the CA's own, DER; Chain stands above it, issuer first, root last.
	Certificate []byte   `json:"certificate"`
	Chain       [][]byte `json:"chain,omitempty"`
	// Responder is the certificate of the node's OCSP key, DER; empty until the
	// CA has issued one.
	Responder []byte `json:"responder,omitempty"`
}

// Status is what is known of one serial.
type Status struct {
	Issuer   authority.IssuerKey `json:"issuer"`
	Serial   pki.Serial          `json:"serial"`
	NotAfter time.Time           `json:"notAfter"`
	// Revocation is nil while the certificate is good. A hold has reason
	// certificateHold; an abandoned serial is revoked for cessationOfOperation.
	Revocation *authority.Revocation `json:"revocation,omitempty"`
}

// Change is the present state of a serial that changed.
type Change struct {
	// Seq is its number in the ledger's feed.
	Seq int64 `json:"seq"`
	Status
}

// Push is an ordered batch of what changed after a number.
type Push struct {
	// After is the number that the batch begins after, Next the one to go on from.
	After int64 `json:"after"`
	Next  int64 `json:"next"`
	// Head is the ledger's highest number, so that the node knows its backlog.
	Head int64 `json:"head"`
	// Anchor is that of the change with the number Next (see authority.Feed), which
	// the node keeps with its position and tells; Ledger is that of the first
	// change of all, which tells one ledger from another. Both are empty at 0.
	Anchor []byte `json:"anchor,omitempty"`
	Ledger []byte `json:"ledger,omitempty"`
	// Refill has a node whose position is After read the ledger again from 0: its
	// ledger was restored from an older backup. It goes alone, with Next == After.
	Refill bool `json:"refill,omitempty"`
	// Config is sent when the node holds another one.
	Config  *Config  `json:"config,omitempty"`
	Changes []Change `json:"changes,omitempty"`
	// CRL, full or delta, is sent alone: a list may have some MiB.
	CRL *authority.CRL `json:"crl,omitempty"`
	// Audit is sent when the node holds an older checkpoint.
	Audit *AuditPush `json:"audit,omitempty"`
}

// State is how far a replica has come.
type State struct {
	// Position is the number up to which it holds every change.
	Position int64 `json:"position"`
	// Head is the ledger's highest number as the last push told it.
	Head int64 `json:"head"`
	// Anchor and Ledger came with the push that made Position; empty at 0, and in
	// a replica that an earlier release filled.
	Anchor []byte `json:"anchor,omitempty"`
	Ledger []byte `json:"ledger,omitempty"`
	// Filled: it has held every change once. Before that, a serial that it does
	// not hold may have been issued all the same.
	Filled bool `json:"filled"`
	// Refilling: it reads the ledger again from 0. Until it has come to the head
	// and has dropped what was not confirmed, it keeps the statuses from before, and
	// what it does not hold may have been issued all the same.
	Refilling bool `json:"refilling,omitempty"`
	// Revision and Digest of the configuration, zero when there is none.
	Revision int64  `json:"revision"`
	Digest   []byte `json:"digest,omitempty"`
	// Serials counts those that it holds.
	Serials int64 `json:"serials"`
	// PushedAt is when the last push was applied, zero when none ever was.
	PushedAt time.Time `json:"pushedAt"`
	// AsOf is when the replica last held everything that the ledger had, by the
	// node's clock; zero when it never did. Its statuses were right then.
	AsOf time.Time `json:"asOf"`
	// AuditSize is the number of leaves of the audit checkpoint that it holds, 0 for
	// none; AuditRefused is why it did not take another one, empty when there is none such.
	AuditSize    int64  `json:"auditSize,omitempty"`
	AuditRefused string `json:"auditRefused,omitempty"`
}

// Pushed is a node's answer.
type Pushed struct {
	State
	// Request asks for responder certificates for the node's OCSP key; nil while
	// its device is away.
	Request *ResponderRequest `json:"request,omitempty"`
}

// ResponderRequest asks every CA that the node answers for to certify one key.
type ResponderRequest struct {
	// CSR is the PKCS#10 (GM/T 0092) of the key, DER. It proves possession; that
	// the key is the node's is proved by the signature of the message.
	CSR []byte `json:"csr"`
}

// Find returns the service of an ID.
func (c Config) Find(id string) (Service, bool) {
	for _, s := range c.Services {
		if s.ID == id {
			return s, true
		}
	}
	return Service{}, false
}

// Parse returns the certificates of an authority; responder is nil when there is none.
func (a Authority) Parse() (ca, responder *smx509.Certificate, err error) {
	if ca, err = pki.ParseCertificate(a.Certificate); err != nil {
		return nil, nil, err
	}
	if len(a.Responder) > 0 {
		responder, err = pki.ParseCertificate(a.Responder)
	}
	return ca, responder, err
}
