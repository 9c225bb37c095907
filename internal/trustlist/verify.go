package trustlist

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Verify says whether the list is to be relied upon at a time by someone who
// trusts root and has seen the list with the sequence number seen, 0 for none.
// It checks the signature, the signer's right to sign lists and its path through
// the list's own certificates to root, and the times. Errors wrap ErrSignature,
// ErrSigner, ErrTime or ErrOlder; of several the first in this order.
//
// Revocation of the signer is not checked: its certificate is short-lived, and
// whoever can ask OCSP for it may.
func (s *Signed) Verify(root *smx509.Certificate, at time.Time, seen int64) error {
	if err := s.verify(root, at, seen); err != nil {
		return fmt.Errorf("verify trust list %s number %d: %w", s.Name, s.Sequence, err)
	}
	return nil
}

func (s *Signed) verify(root *smx509.Certificate, at time.Time, seen int64) error {
	if root == nil {
		return fmt.Errorf("%w: no root is given", ErrSigner)
	}
	if digest := digestOf(s.content, s.Form); !bytes.Equal(digest[:], s.digest) {
		return fmt.Errorf("%w: the content was changed after it was signed", ErrSignature)
	}
	key, err := pki.ParseSM2SPKI(s.Signer.RawSubjectPublicKeyInfo)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSigner, err)
	}
	if !pki.VerifySignature(key, s.attributes, s.signature) {
		return fmt.Errorf("%w under the key of %s", ErrSignature, s.Signer.Subject)
	}
	if err := checkSigner(s.Signer); err != nil {
		return fmt.Errorf("%w: %w", ErrSigner, err)
	}
	chain, err := s.chain(root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSigner, err)
	}
	// A list that ran out is told from a signer that did: the path is checked at
	// the time when the list was made, and now.
	for _, when := range []time.Time{s.ThisUpdate, at} {
		if err := pki.VerifyChain(s.Signer, chain, when); err != nil {
			return fmt.Errorf("%w: %w", ErrSigner, err)
		}
	}
	switch {
	case at.Before(s.ThisUpdate):
		return fmt.Errorf("%w: it begins at %s; is the clock right", ErrTime, s.ThisUpdate.UTC().Format(time.RFC3339))
	case at.After(s.NextUpdate):
		return fmt.Errorf("%w: the next one was due at %s; fetch it", ErrTime, s.NextUpdate.UTC().Format(time.RFC3339))
	case s.Sequence < seen:
		return fmt.Errorf("%w: number %d was seen", ErrOlder, seen)
	}
	return nil
}

// checkSigner says whether a certificate is that of a trust list signer, who
// does nothing else.
func checkSigner(c *smx509.Certificate) error {
	switch {
	case c == nil:
		return errors.New("is missing")
	case c.IsCA:
		return fmt.Errorf("%s is a CA; a list has a signer of its own", c.Subject)
	case c.KeyUsage != smx509.KeyUsageDigitalSignature:
		return fmt.Errorf("%s has another key usage than digitalSignature", c.Subject)
	case len(c.ExtKeyUsage) != 0 || len(c.UnknownExtKeyUsage) != 1 || c.UnknownExtKeyUsage[0].String() != pki.OIDExtKeyUsageTrustListSigning:
		return fmt.Errorf("%s has another extended key usage than trust list signing (%s)", c.Subject, pki.OIDExtKeyUsageTrustListSigning)
	}
	return nil
}

// chain finds the certificates from the signer's issuer up to root among those of
// the list; VerifyChain judges them.
func (s *Signed) chain(root *smx509.Certificate) ([]*smx509.Certificate, error) {
	var chain []*smx509.Certificate
	for c := s.Signer; len(chain) <= pki.MaxChain; {
		issues := func(candidate *smx509.Certificate) bool {
			return bytes.Equal(candidate.RawSubject, c.RawIssuer) && bytes.Equal(candidate.SubjectKeyId, c.AuthorityKeyId)
		}
		if issues(root) {
			return append(chain, root), nil
		}
		i := slices.IndexFunc(s.Certificates, issues)
		if i < 0 || bytes.Equal(s.Certificates[i].Raw, c.Raw) {
			return nil, fmt.Errorf("the path of %s does not lead to the given root %s", s.Signer.Subject, root.Subject)
		}
		c = s.Certificates[i]
		chain = append(chain, c)
	}
	return nil, fmt.Errorf("the path of %s is longer than %d", s.Signer.Subject, pki.MaxChain)
}
