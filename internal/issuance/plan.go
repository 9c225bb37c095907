package issuance

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxPlans bounds what a Preparer remembers: a CA has few profiles in use at a
// time, and building a plan anew costs less than one signature.
const maxPlans = 32

// Preparer is Prepare for many orders. It remembers what all certificates of
// one issuer and one profile have in common: the checked profile, the encoded
// extensions, the issuer's key. The zero Preparer is ready and safe for
// concurrent use.
type Preparer struct {
	mu    sync.RWMutex
	plans []*plan // newest last
}

// Prepare is the function Prepare.
func (p *Preparer) Prepare(o Order) (*Token, error) {
	t, err := p.prepare(o)
	if err != nil {
		var found *LintError
		if errors.As(err, &found) {
			return nil, err
		}
		return nil, fmt.Errorf("prepare certificate: %w", err)
	}
	return t, nil
}

func (p *Preparer) prepare(o Order) (*Token, error) {
	plan, err := p.plan(o.Issuer, o.Profile)
	if err != nil {
		return nil, err
	}
	return plan.prepare(o)
}

func (p *Preparer) plan(issuer *smx509.Certificate, profile pki.Profile) (*plan, error) {
	p.mu.RLock()
	i := slices.IndexFunc(p.plans, func(known *plan) bool { return known.isFor(issuer, profile) })
	if i >= 0 {
		defer p.mu.RUnlock()
		return p.plans[i], nil
	}
	p.mu.RUnlock()
	made, err := newPlan(issuer, profile)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.plans) == maxPlans {
		p.plans = slices.Delete(p.plans, 0, 1)
	}
	p.plans = append(p.plans, made)
	return made, nil
}

// plan is an issuer and a profile that were checked, with what they encode to.
type plan struct {
	profile pki.Profile // an own copy
	issuer  *smx509.Certificate
	// issuerKey and authorityKeyID, an Extension, are nil for self-signed
	// certificates, whose own they are.
	issuerKey      *pki.Verifier
	authorityKeyID []byte
	// fixed are the extensions from basicConstraints to extKeyUsage.
	fixed []byte
	// strict: see parses.
	strict bool
}

func newPlan(issuer *smx509.Certificate, profile pki.Profile) (*plan, error) {
	if err := profile.Validate(); err != nil {
		return nil, err
	}
	p := &plan{profile: copyProfile(profile), issuer: issuer, strict: len(profile.Subject) == 0}
	if err := p.setIssuer(); err != nil {
		return nil, err
	}
	e := pki.NewEncoder(128)
	p.addFixed(&e)
	var err error
	p.fixed, err = e.Bytes()
	return p, err
}

func (p *plan) setIssuer() error {
	if p.issuer == nil {
		if p.profile.CA == nil {
			return fmt.Errorf("issuer: is missing; only a CA certificate is self-signed, profile %q is none of a CA", p.profile.Name)
		}
		return nil
	}
	key, err := pki.ParseSM2SPKI(p.issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return fmt.Errorf("issuer certificate: %w", err)
	}
	if len(p.issuer.SubjectKeyId) == 0 {
		return errors.New("issuer certificate: has no subject key identifier")
	}
	if p.issuerKey, err = pki.NewVerifier(key); err != nil {
		return fmt.Errorf("issuer certificate: %w", err)
	}
	e := pki.NewEncoder(64)
	addAuthorityKeyID(&e, p.issuer.SubjectKeyId)
	p.authorityKeyID, err = e.Bytes()
	return err
}

// addFixed writes the extensions that are the same in every certificate and
// stand side by side.
func (p *plan) addFixed(e *pki.Encoder) {
	if p.profile.CA != nil {
		e.Extension(pki.OIDBasicConstraints, true, func() {
			e.Nest(cbasn1.SEQUENCE, func() {
				e.Octets(cbasn1.BOOLEAN, []byte{0xff})
				e.Octets(cbasn1.INTEGER, []byte{byte(p.profile.CA.PathLen)}) // at most pki.MaxPathLen
			})
		})
	}
	e.Extension(pki.OIDKeyUsage, true, func() { e.Octets(cbasn1.BIT_STRING, p.profile.KeyUsage.BitString()) })
	if len(p.profile.ExtKeyUsage) > 0 {
		e.Extension(pki.OIDExtKeyUsage, p.profile.ExtKeyUsageCritical, func() {
			e.Nest(cbasn1.SEQUENCE, func() {
				for _, usage := range p.profile.ExtKeyUsage {
					e.OID(usage)
				}
			})
		})
	}
}

func addAuthorityKeyID(e *pki.Encoder, keyID []byte) {
	e.Extension(pki.OIDAuthorityKeyID, false, func() {
		e.Nest(cbasn1.SEQUENCE, func() { e.Octets(cbasn1.Tag(0).ContextSpecific(), keyID) })
	})
}

// issuerOf returns the key that signs the certificate of pub.
func (p *plan) issuerOf(pub *ecdsa.PublicKey) (*pki.Verifier, error) {
	if p.issuerKey != nil {
		return p.issuerKey, nil
	}
	return pki.NewVerifier(pub)
}

// isFor compares contents: a caller may have changed a profile since. The
// certificate is known by its bytes; one that was not parsed from any is known
// to nobody.
func (p *plan) isFor(issuer *smx509.Certificate, profile pki.Profile) bool {
	if p.issuer == nil || issuer == nil {
		return p.issuer == issuer && sameProfile(p.profile, profile)
	}
	return len(issuer.Raw) > 0 && bytes.Equal(p.issuer.Raw, issuer.Raw) && sameProfile(p.profile, profile)
}

func copyProfile(p pki.Profile) pki.Profile {
	p.Subject = slices.Clone(p.Subject)
	p.ExtKeyUsage = slices.Clone(p.ExtKeyUsage)
	p.SANTypes = slices.Clone(p.SANTypes)
	p.IdentityExtensions = slices.Clone(p.IdentityExtensions)
	if p.CA != nil {
		constraints := *p.CA
		p.CA = &constraints
	}
	return p
}

// sameProfile compares every field; a pattern is known by its identity, for a
// compiled one does not change.
func sameProfile(a, b pki.Profile) bool {
	return a.Name == b.Name && a.KeyUsage == b.KeyUsage && a.ExtKeyUsageCritical == b.ExtKeyUsageCritical &&
		a.Validity == b.Validity && a.Backdate == b.Backdate && a.OCSPNoCheck == b.OCSPNoCheck &&
		(a.CA == nil) == (b.CA == nil) && (a.CA == nil || *a.CA == *b.CA) &&
		slices.Equal(a.Subject, b.Subject) && slices.Equal(a.ExtKeyUsage, b.ExtKeyUsage) &&
		slices.Equal(a.SANTypes, b.SANTypes) && slices.Equal(a.IdentityExtensions, b.IdentityExtensions)
}
