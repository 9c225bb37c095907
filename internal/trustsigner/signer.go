package trustsigner

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// signerValidity of the signer's certificate. One is issued each third of it,
	// so that it outlives every list: api/v1alpha1 bounds interval and overlap.
	signerValidity = 720 * 24 * time.Hour
	windows        = 3
	// maxKeyGenerations of a signer, each after the one before was revoked.
	maxKeyGenerations = 1000
)

// signerState is what the ledger keeps of a CA's signer.
type signerState struct {
	// KeyGeneration counts the signer's keys, from 1: whoever revokes the signer's
	// certificate has another key made, for the one before may be known to others.
	KeyGeneration int32 `json:"keyGeneration"`
}

// owner of the signer's keys, "TrustListSigner/namespace/name".
func owner(key authority.IssuerKey) string {
	_, name, _ := strings.Cut(key.Authority, "/")
	return authority.KindTrustListSigner + "/" + name
}

func stateName(key authority.IssuerKey) string {
	return fmt.Sprintf("%s/g%d", owner(key), key.Generation)
}

// signer returns the signer's key and a certificate of it that is good.
func (s *Service) signer(ctx context.Context, ca *authority.CA) (crypto.MessageSigner, *smx509.Certificate, error) {
	state, err := s.state(ctx, ca.Key)
	if err != nil {
		return nil, nil, err
	}
	for state.KeyGeneration <= maxKeyGenerations {
		// First, for the key of a revoked certificate may be lost.
		kept, err := s.kept(ctx, ca, state)
		if errors.Is(err, errSignerRevoked) {
			if state, err = s.nextKey(ctx, ca.Key, state); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		signer, key, err := s.c.Authorities.EnsureKey(ctx, owner(ca.Key), state.KeyGeneration, ca.TrustList.Device)
		if err != nil {
			return nil, nil, err
		}
		certificate, err := s.issue(ctx, ca, state, key.PublicKey)
		if err != nil && kept != nil && bytes.Equal(kept.RawSubjectPublicKeyInfo, key.PublicKey) {
			certificate, err = kept, nil // the CA cannot issue now; an earlier one serves
		}
		return signer, certificate, err
	}
	return nil, nil, fmt.Errorf("key generation %d: at most %d are made", state.KeyGeneration, maxKeyGenerations)
}

func (s *Service) state(ctx context.Context, key authority.IssuerKey) (signerState, error) {
	state := signerState{KeyGeneration: 1}
	all, err := s.c.Store.AllAccepted(ctx, stateName(key))
	if err != nil {
		return state, fmt.Errorf("read state of signer: %w", err)
	}
	for _, a := range all {
		if a.Name == stateName(key) {
			if err := json.Unmarshal(a.Spec, &state); err != nil {
				return state, fmt.Errorf("read state of signer: %w", err)
			}
		}
	}
	return state, nil
}

// nextKey notes that the present key is not to be used any more.
func (s *Service) nextKey(ctx context.Context, key authority.IssuerKey, state signerState) (signerState, error) {
	state.KeyGeneration++
	b, err := json.Marshal(state)
	if err != nil {
		return state, fmt.Errorf("encode state of signer: %w", err)
	}
	if err := s.c.Store.Accept(ctx, authority.Accepted{Name: stateName(key), Spec: b}); err != nil {
		return state, fmt.Errorf("keep state of signer: %w", err)
	}
	return state, nil
}

// errSignerRevoked: a certificate of the present key is revoked or on hold.
var errSignerRevoked = errors.New("the signer's certificate is revoked or on hold")

// window is the number of the present third of signerValidity. Within it a
// restart or a lost API server returns the same certificate.
func (s *Service) window() int64 {
	return s.c.Authorities.Now().Unix() / int64(signerValidity/windows/time.Second)
}

// kept looks through the certificates of a key generation that are not expired. It returns
// the newest that is good, nil for none, or errSignerRevoked when one is not.
func (s *Service) kept(ctx context.Context, ca *authority.CA, state signerState) (good *smx509.Certificate, err error) {
	for w := s.window(); w >= s.window()-windows; w-- {
		r, err := s.c.Authorities.Find(ctx, identity(ca, state, nil, w))
		if errors.Is(err, authority.ErrNotFound) || err == nil && (r.State != authority.StateIssued || r.Issuer != ca.Key || !s.c.Authorities.Now().Before(r.NotAfter)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for the signer's certificate: %w", err)
		}
		if r.Revocation != nil {
			return nil, errSignerRevoked
		}
		if good == nil {
			if good, err = pki.ParseCertificate(r.Certificate); err != nil {
				return nil, fmt.Errorf("read the signer's certificate: %w", err)
			}
		}
	}
	return good, nil
}

// identity names the CA's key generation, the signer's key and the window. To
// find it, no public key is needed.
func identity(ca *authority.CA, state signerState, spki []byte, window int64) authority.Identity {
	parts := strings.SplitN(ca.Key.Authority, "/", 3)
	name := fmt.Sprintf("%s.k%d.%d", ca.Key.FileName(), state.KeyGeneration, window)
	if len(name) > maxIdentity {
		name = fmt.Sprintf("k%d.%d.%x", state.KeyGeneration, window, sm3.Sum([]byte(name)))
	}
	return authority.Identity{Kind: authority.KindTrustListSigner, Namespace: parts[1], Name: name,
		Digest: sm3.Sum(append([]byte("terrace/trustlistsigner/v1"), spki...))}
}

// maxIdentity is the longest name of an identity in bytes.
const maxIdentity = 253

// issue returns the certificate of this window.
func (s *Service) issue(ctx context.Context, ca *authority.CA, state signerState, spki []byte) (*smx509.Certificate, error) {
	public, err := pki.ParseSM2SPKI(spki)
	if err != nil {
		return nil, err
	}
	subject, err := signerName(ca, state, s.window())
	if err != nil {
		return nil, err
	}
	out, err := s.c.Authorities.Issue(ctx, ca.Key, []authority.Order{{Identity: identity(ca, state, spki, s.window()),
		Profile: pki.TrustListSignerProfile(signerValidity), Subject: subject, PublicKey: public}})
	if err == nil {
		err = out[0].Err
	}
	if err != nil {
		return nil, err
	}
	return parseFor(out[0].Record, spki)
}

// parseFor parses the certificate of a record, which must be the key's.
func parseFor(r authority.Record, spki []byte) (*smx509.Certificate, error) {
	certificate, err := pki.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(certificate.RawSubjectPublicKeyInfo, spki) {
		return nil, fmt.Errorf("certificate %s is for another key", r.Serial)
	}
	return certificate, nil
}

// revoked says whether a signer's certificate is revoked or on hold in the ledger.
func (s *Service) revoked(ctx context.Context, ca *authority.CA, certificate *smx509.Certificate) (bool, error) {
	r, err := s.c.Authorities.Status(ctx, ca.Key, pki.SerialFromInt(certificate.SerialNumber))
	if errors.Is(err, authority.ErrNotFound) {
		return true, nil // of a ledger that was restored from an older backup: sign under what it knows
	}
	if err != nil {
		return false, fmt.Errorf("look for the signer's certificate: %w", err)
	}
	return r.Revocation != nil, nil
}

// signerName is the CA's country and organisation, with the signer below them.
func signerName(ca *authority.CA, state signerState, window int64) (pki.Name, error) {
	return ca.NameBelow(
		pki.Attribute{Type: "CN", Value: fmt.Sprintf("Trust list %.50s", ca.Key.FileName())},
		pki.Attribute{Type: "SERIALNUMBER", Value: fmt.Sprintf("%d-%d", state.KeyGeneration, window)})
}
