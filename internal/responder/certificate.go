package responder

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// holder of responder certificates: the service itself, or one of its nodes.
type holder struct {
	spec   Spec
	node   string // empty for the service itself
	public *ecdsa.PublicKey
	signer crypto.MessageSigner // nil for a node, whose key is elsewhere
}

func (h holder) id() string { return holderID(h.spec.ID(), h.node) }

func holderID(service, node string) string {
	if node == "" {
		return service
	}
	return service + "/" + node
}

// ensureAll has every CA that names the service issue the holder a certificate,
// unless the present one is of this window. It goes on to the next CA after an error.
func (s *Service) ensureAll(ctx context.Context, h holder) error {
	var failures []error
	next := map[authority.IssuerKey]*Served{}
	for _, ca := range s.authorities.All() {
		if ca.Validation != h.spec.ID() {
			continue
		}
		served, err := s.ensureCertificate(ctx, h, ca)
		if err != nil {
			failures = append(failures, fmt.Errorf("responder certificate from CA %s: %w", ca.Key.Authority, err))
			served = s.stillValid(ctx, h, ca)
		}
		if served != nil {
			next[ca.Key] = served
		}
	}
	s.mu.Lock()
	s.served[h.id()] = next
	s.mu.Unlock()
	return errors.Join(failures...)
}

// windows that a certificate lives: one is issued each third of its validity.
const windows = 3

// stillValid returns the certificate of an earlier window that the ledger has,
// for a CA that cannot issue now.
func (s *Service) stillValid(ctx context.Context, h holder, ca *authority.CA) *Served {
	public, err := pki.MarshalSPKI(h.public)
	if err != nil {
		return nil
	}
	window := s.window(h.spec)
	for w := window; w > window-windows; w-- {
		name := certificateName(h, public, ca, w)
		r, err := s.authorities.Find(ctx, authority.Identity{Kind: authority.KindOCSPResponder, Namespace: h.spec.Namespace, Name: name})
		if err != nil || r.State != authority.StateIssued || r.Issuer != ca.Key || r.Revocation != nil || !s.now().Before(r.NotAfter) {
			continue
		}
		cert, err := smx509.ParseCertificate(r.Certificate)
		if err == nil && bytes.Equal(cert.RawSubjectPublicKeyInfo, public) {
			return &Served{CA: ca, Certificate: cert, Signer: h.signer}
		}
	}
	return nil
}

func (s *Service) window(spec Spec) int64 {
	return s.now().Unix() / int64(spec.ResponderValidity/windows/time.Second)
}

// maxIdentity is the longest name of an identity in bytes.
const maxIdentity = 253

// certificateName of a holder's certificate of one window. That of a node names
// its key as well: a node whose device was replaced must not wait for the next window.
func certificateName(h holder, spki []byte, ca *authority.CA, window int64) string {
	if h.node == "" {
		return fmt.Sprintf("%s.%s.%d", h.spec.Name, ca.Key.FileName(), window)
	}
	key := sm3.Sum(spki)
	name := fmt.Sprintf("%s.%s.%s.%d.%x", h.spec.Name, h.node, ca.Key.FileName(), window, key[:8])
	if len(name) > maxIdentity {
		name = fmt.Sprintf("%s.%x", h.node, sm3.Sum([]byte(name)))
	}
	return name
}

// ensureCertificate issues under an identity that is a function of the time
// window: within it, a restart or a lost API server returns the same certificate.
func (s *Service) ensureCertificate(ctx context.Context, h holder, ca *authority.CA) (*Served, error) {
	spki, err := pki.MarshalSPKI(h.public)
	if err != nil {
		return nil, err
	}
	window := s.window(h.spec)
	if v := s.current(h.id(), ca.Key); v != nil && v.Certificate.Subject.SerialNumber == strconv.FormatInt(window, 10) &&
		bytes.Equal(v.CA.Certificate, ca.Certificate) && bytes.Equal(v.Certificate.RawSubjectPublicKeyInfo, spki) {
		return &Served{CA: ca, Certificate: v.Certificate, Signer: h.signer}, nil
	}
	subject, err := responderName(ca, h, window)
	if err != nil {
		return nil, err
	}
	out, err := s.authorities.Issue(ctx, ca.Key, []authority.Order{{
		Identity: authority.Identity{Kind: authority.KindOCSPResponder, Namespace: h.spec.Namespace, Name: certificateName(h, spki, ca, window),
			Digest: sm3.Sum(append([]byte("terrace/ocspresponder/v1"), spki...))},
		Profile: pki.ResponderProfile(h.spec.ResponderValidity), Subject: subject, PublicKey: h.public,
	}})
	if err == nil {
		err = out[0].Err
	}
	if err != nil {
		return nil, err
	}
	cert, err := smx509.ParseCertificate(out[0].Record.Certificate)
	if err != nil {
		return nil, err
	}
	return &Served{CA: ca, Certificate: cert, Signer: h.signer}, nil
}

func (s *Service) current(holder string, key authority.IssuerKey) *Served {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.served[holder][key]
}

// responderName is the CA's country and organisation, with the holder and the
// window below them.
func responderName(ca *authority.CA, h holder, window int64) (pki.Name, error) {
	common := "OCSP " + h.spec.Name
	if h.node != "" {
		// A name for people, cut where it is too long: the window and the key tell apart.
		common = fmt.Sprintf("OCSP %.28s %.30s", h.spec.Name, h.node)
	}
	return ca.NameBelow(
		pki.Attribute{Type: "CN", Value: common},
		pki.Attribute{Type: "SERIALNUMBER", Value: strconv.FormatInt(window, 10)})
}
