package interop

import (
	"errors"
	"fmt"
	"time"
)

// PathQuery is a certification path to build and validate, RFC 5280 section 6.
type PathQuery struct {
	Root          []byte   // trust anchor, PEM
	Intermediates [][]byte // PEM, in any order
	Leaf          []byte   // PEM
	// CRLs, DER, must hold a current list of each issuer of the path: revocation
	// is judged by them alone.
	CRLs [][]byte
	At   time.Time // zero: now
}

// PathResult is a valid path.
type PathResult struct {
	// Subjects are those of the path, leaf first, without the trust anchor, RFC 2253.
	Subjects []string `json:"subjects"`
}

// Path queues a path. The answer's error is a *RevokedError if a certificate is
// revoked, another one if the path is not valid for another reason.
func (b *Batch) Path(q PathQuery) *Answer[PathResult] {
	args := []argument{{"root", q.Root}, {"leaf", q.Leaf}, {"at", q.At}}
	for _, c := range q.Intermediates {
		args = append(args, argument{"intermediate", c})
	}
	for _, l := range q.CRLs {
		args = append(args, argument{"crl", l})
	}
	return add[PathResult](b, "path", args...)
}

// VerifyPath has BouncyCastle validate a path now, revocation checking on.
// above is PEM, issuer first, root last; crls are DER, one of each issuer.
func VerifyPath(leaf []byte, above, crls [][]byte) error {
	if len(above) == 0 {
		return errors.New("verify path: no root")
	}
	last := len(above) - 1
	_, err := one(func(b *Batch) *Answer[PathResult] {
		return b.Path(PathQuery{Root: above[last], Intermediates: above[:last], Leaf: leaf, CRLs: crls})
	})
	return err
}

// RequireRevoked turns a path's error round: nil if the certificate at index of
// the path, 0 the leaf, is revoked and that is all that is wrong.
func RequireRevoked(pathErr error, index int) error {
	var revoked *RevokedError
	switch {
	case pathErr == nil:
		return errors.New("the path is valid, want a revoked certificate")
	case !errors.As(pathErr, &revoked):
		return fmt.Errorf("want a revoked certificate: %w", pathErr)
	case revoked.Index != index:
		return fmt.Errorf("want certificate %d revoked: %w", index, pathErr)
	}
	return nil
}

// CRLQuery is a list to verify with its issuer's certificate.
type CRLQuery struct {
	Issuer []byte    // PEM
	CRL    []byte    // DER
	At     time.Time // zero: now
}

// CRL is what BouncyCastle reads in a list. Serial numbers are hexadecimal, in
// small letters and without leading zeros.
type CRL struct {
	Issuer            string             `json:"issuer"`     // RFC 2253
	Number            string             `json:"number"`     // decimal
	BaseNumber        string             `json:"baseNumber"` // of a delta CRL, else empty
	ThisUpdate        time.Time          `json:"thisUpdate"`
	NextUpdate        time.Time          `json:"nextUpdate"`
	DistributionPoint *DistributionPoint `json:"distributionPoint"` // nil: none
	Entries           []CRLEntry         `json:"entries"`
}

// DistributionPoint is the issuingDistributionPoint of a list, RFC 5280 section 5.2.5.
type DistributionPoint struct {
	Critical      bool     `json:"critical"`
	URLs          []string `json:"urls"`
	OnlyUserCerts bool     `json:"onlyUserCerts"`
	OnlyCACerts   bool     `json:"onlyCACerts"`
	Indirect      bool     `json:"indirect"`
}

// CRLEntry is a revoked certificate. Reason is the name in RFC 5280 section
// 5.3.1, empty if the entry has none.
type CRLEntry struct {
	Serial    string    `json:"serial"`
	RevokedAt time.Time `json:"revokedAt"`
	Reason    string    `json:"reason"`
}

// CRL queues a list: signature and its AlgorithmIdentifier, issuer, key
// identifier and usage, dates, number.
func (b *Batch) CRL(q CRLQuery) *Answer[CRL] {
	return add[CRL](b, "crl", argument{"issuer", q.Issuer}, argument{"crl", q.CRL}, argument{"at", q.At})
}

// OCSPQuery is a response to verify against the request that it answers.
type OCSPQuery struct {
	Issuer   []byte    // PEM
	Request  []byte    // DER
	Response []byte    // DER
	At       time.Time // zero: now
}

// OCSP is a response that BouncyCastle accepts.
type OCSP struct {
	Nonce      string       `json:"nonce"` // hexadecimal, empty: none
	ProducedAt time.Time    `json:"producedAt"`
	Responder  string       `json:"responder"` // RFC 2253
	Answers    []OCSPAnswer `json:"answers"`   // in the order of the request
}

// OCSPAnswer is the answer for one CertID.
type OCSPAnswer struct {
	Serial     string    `json:"serial"` // hexadecimal
	Hash       string    `json:"hash"`   // OID of the CertID's hash
	Status     string    `json:"status"` // good, revoked or unknown
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
	RevokedAt  time.Time `json:"revokedAt"`
	Reason     string    `json:"reason"`
}

// OCSP queues a response: the signature, the responder's delegation by the
// issuer, the nonce, the CertIDs, the dates. An error response is a
// *ResponseStatusError.
func (b *Batch) OCSP(q OCSPQuery) *Answer[OCSP] {
	return add[OCSP](b, "ocsp", argument{"issuer", q.Issuer}, argument{"request", q.Request}, argument{"response", q.Response}, argument{"at", q.At})
}

// BouncyOCSP verifies a DER response about one PEM certificate, now, and returns
// good, revoked or unknown.
func BouncyOCSP(issuer, cert, request, response []byte) (string, error) {
	var b Batch
	printed := b.Certificate(cert, nil)
	verified := b.OCSP(OCSPQuery{Issuer: issuer, Request: request, Response: response})
	if err := b.Run(); err != nil {
		return "", err
	}
	if err := errors.Join(printed.Err, verified.Err); err != nil {
		return "", err
	}
	for _, a := range verified.Value.Answers {
		if a.Serial == printed.Value.Serial {
			return a.Status, nil
		}
	}
	return "", fmt.Errorf("BouncyCastle ocsp: no answer for serial %s", printed.Value.Serial)
}
