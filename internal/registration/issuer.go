package registration

import (
	"context"
	"errors"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Order asks a CA for one certificate. The CA reads key, subject and alternative
// names from the request itself, and proves possession again.
type Order struct {
	Identity authority.Identity `json:"identity"`
	// RegistrationAuthority is "namespace/name" of the RA that asks.
	RegistrationAuthority string `json:"registrationAuthority"`
	// Request is the PKCS #10, DER.
	Request []byte      `json:"request"`
	Profile pki.Profile `json:"profile"`
	// IdentityValues are the values of the profile's identity extensions, by
	// name. They are personal data.
	IdentityValues map[string]string `json:"identityValues,omitempty"`
}

// Issued is what became of an Order. Certificate and Chain are empty when Err is not nil.
type Issued struct {
	Issuer authority.IssuerKey
	Serial pki.Serial
	// Certificate is DER; Chain stands above it, issuer first, root last.
	Certificate []byte
	Chain       [][]byte
	// Adopted: the certificate was issued before, for the same identity.
	Adopted bool
	Err     error
}

// Known is what a CA's ledger holds under an identity's name.
type Known struct {
	Digest [32]byte
	Issued
}

// Act asks for a revocation, hold or release: exactly one of Request, Serial,
// CertificateAuthority and TrustListSigner names the certificate.
type Act struct {
	Identity authority.Identity `json:"identity"`
	// RegistrationAuthority is "namespace/name" of the RA that asks; empty with the latter two.
	RegistrationAuthority string `json:"registrationAuthority,omitempty"`
	// Authority is "BusinessCA/namespace/name" of the RA's business CA; the
	// certificate must be one of its own. Empty with the latter two.
	Authority string `json:"authority,omitempty"`
	// Request is the name of the CertificateRequest, in the act's namespace.
	Request string `json:"request,omitempty"`
	// Serial of the certificate.
	Serial pki.Serial `json:"serial,omitempty"`
	// CertificateAuthority is "BusinessCA/namespace/name", whose own certificate is meant.
	CertificateAuthority string `json:"certificateAuthority,omitempty"`
	// TrustListSigner is "IndustryCA/namespace/name": the certificate of the signer
	// of its current trust list is meant.
	TrustListSigner string         `json:"trustListSigner,omitempty"`
	Verb            authority.Verb `json:"verb"`
	Reason          pki.Reason     `json:"reason"`
	// Requester is who asks, as the API server authenticated them. The RA's signature
	// vouches for it; it is for the audit, and no part of the act's digest.
	Requester string `json:"requester,omitempty"`
}

// Errors of an Issuer besides those of package authority.
var (
	// ErrIssuerUnavailable: the CA cannot be reached now; what was asked may have been done.
	ErrIssuerUnavailable = errors.New("the CA cannot be reached")
	// ErrOutsideLimits: the CA's own limits, which the API cannot widen, refuse.
	ErrOutsideLimits = errors.New("the CA's own limits refuse")
	// ErrLint: a check of what would be signed refuses; a corrected profile, or a
	// renewed CA, can help.
	ErrLint = errors.New("lint refuses")
	// ErrInvalidOrder: the order contradicts itself or its request.
	ErrInvalidOrder = errors.New("the order is not valid")
	// ErrNotEntitled: the CA does not take orders for this RA or CA from this process.
	ErrNotEntitled = errors.New("the CA does not take this from this process")
)

// Issuer is the CA as an RA knows it: in the same process, or over a link. Every
// call may be repeated: identities make it once ever.
type Issuer interface {
	// Find returns what was issued under kind, namespace and name, or authority.ErrNotFound.
	Find(ctx context.Context, kind, namespace, name string) (Known, error)
	// Issue has a CA ("BusinessCA/namespace/name") issue at most authority.MaxSlice
	// orders. The error is of all of them; each Issued has its own.
	Issue(ctx context.Context, ca string, orders []Order) ([]Issued, error)
	// Perform carries an act out once ever. authority.ErrNotFound when there is no such certificate.
	Perform(ctx context.Context, act Act) (authority.Performed, error)
	// Publish returns the number of a CRL that shows the certificate's present
	// state, and signs one when the current one does not.
	Publish(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (int64, error)
	// Ready says whether a CA can issue now; the error says why not.
	Ready(ctx context.Context, ca string) error
}
