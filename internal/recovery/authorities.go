package recovery

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// ca is a CA whose signatures are believed.
type ca struct {
	key    authority.IssuerKey
	cert   *smx509.Certificate
	shards int32
}

// authorities are the CAs of the ledger, by their subjects.
type authorities struct {
	bySubject map[string][]*ca
	keys      map[authority.IssuerKey]*ca
}

// Why a signature is not believed.
var (
	errForeign    = errors.New("no CA of this ledger has the issuer's name and key")
	errUnverified = errors.New("the signature does not verify under the key of the CA that it names")
)

func newAuthorities(all []authority.Settings) (*authorities, error) {
	a := &authorities{map[string][]*ca{}, map[authority.IssuerKey]*ca{}}
	for _, s := range all {
		cert, err := pki.ParseCertificate(s.Certificate)
		if err != nil {
			return nil, fmt.Errorf("certificate of CA %s: %w", s.Key.Authority, err)
		}
		a.add(&ca{s.Key, cert, max(s.Shards, 1)})
	}
	return a, nil
}

func (a *authorities) add(c *ca) {
	a.keys[c.key] = c
	subject := string(c.cert.RawSubject)
	a.bySubject[subject] = append(a.bySubject[subject], c)
}

// has says whether any key generation of a CA is known.
func (a *authorities) has(name string) bool {
	for k := range a.keys {
		if k.Authority == name {
			return true
		}
	}
	return false
}

// introduce takes up a CA that the ledger forgot: its own certificate must be by a known one.
func (a *authorities) introduce(n Authority) error {
	if a.keys[n.Key] != nil {
		return nil // the ledger's own word goes first
	}
	cert, err := pki.ParseCertificate(n.Certificate)
	if err != nil {
		return err
	}
	if !cert.IsCA {
		return fmt.Errorf("CA %s: its certificate is none of a CA", n.Key.Authority)
	}
	if _, err := a.issuerOf(cert); err != nil {
		return err
	}
	a.add(&ca{n.Key, cert, 1})
	return nil
}

// issuerOf returns the CA under whose key a certificate verifies.
func (a *authorities) issuerOf(cert *smx509.Certificate) (*ca, error) {
	return a.signer(cert.RawIssuer, cert.AuthorityKeyId, cert.RawTBSCertificate, cert.Signature)
}

func (a *authorities) signer(issuer, keyID, signed, signature []byte) (*ca, error) {
	err := errForeign
	for _, c := range a.bySubject[string(issuer)] {
		if len(keyID) > 0 && len(c.cert.SubjectKeyId) > 0 && !bytes.Equal(keyID, c.cert.SubjectKeyId) {
			continue
		}
		public, bad := pki.ParseSM2SPKI(c.cert.RawSubjectPublicKeyInfo)
		if bad != nil {
			return nil, bad
		}
		if pki.VerifySignature(public, signed, signature) {
			return c, nil
		}
		err = errUnverified
	}
	return nil, err
}

// isCA says whether a certificate is one of the CAs' own.
func (a *authorities) isCA(cert *smx509.Certificate) bool {
	for _, c := range a.bySubject[string(cert.RawSubject)] {
		if bytes.Equal(c.cert.Raw, cert.Raw) {
			return true
		}
	}
	return false
}

// listName is how the URL of a shard's list ends; see authority.IssuerKey.CRLFileName.
var listName = regexp.MustCompile(`-s([0-9]{1,5})\.crl$`)

// shardOf is the list that a certificate names, or the one that its serial would
// be drawn for where it names none.
func (c *ca) shardOf(serial pki.Serial, distributionPoints []string) int32 {
	for _, url := range distributionPoints {
		if m := listName.FindStringSubmatch(url); m != nil && strings.HasSuffix(url, "/"+c.key.FileName()+m[0]) {
			if n, err := strconv.ParseInt(m[1], 10, 32); err == nil && n < 1<<16 {
				return int32(n)
			}
		}
	}
	return authority.ShardOf(serial, c.shards)
}

// lost makes a certificate what the ledger is asked about.
func (a *authorities) lost(der []byte, identity authority.Identity) (authority.Lost, error) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return authority.Lost{}, err
	}
	issuer, err := a.issuerOf(cert)
	if err != nil {
		if a.isCA(cert) {
			err = errOwn
		}
		return authority.Lost{}, err
	}
	serial := pki.SerialFromInt(cert.SerialNumber)
	return authority.Lost{Issuer: issuer.key, Serial: serial, Shard: issuer.shardOf(serial, cert.CRLDistributionPoints), NotAfter: cert.NotAfter.UTC(),
		Certificate: der, Identity: identity}, nil
}

// errOwn: a CA's own certificate that somebody outside issued. The ledger has it in its settings.
var errOwn = errors.New("certificate of a CA of this ledger, from outside")

// entries calls yield for each entry of a list.
func (a *authorities) entries(der []byte, yield func(authority.Lost) error) (*ca, *smx509.RevocationList, error) {
	list, err := smx509.ParseRevocationList(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parse CRL: %w", err)
	}
	issuer, err := a.signer(list.RawIssuer, list.AuthorityKeyId, list.RawTBSRevocationList, list.Signature)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range list.RevokedCertificateEntries {
		serial := pki.SerialFromInt(e.SerialNumber)
		reason := pki.Reason(e.ReasonCode)
		if reason == pki.ReasonRemoveFromCRL {
			continue // of a delta list: it is no longer revoked
		}
		l := authority.Lost{Issuer: issuer.key, Serial: serial, Shard: issuer.shardOf(serial, nil), NotAfter: issuer.cert.NotAfter.UTC(),
			Revocation: &authority.Revocation{At: e.RevocationTime.UTC().Truncate(time.Second), Reason: reason}}
		if err := yield(l); err != nil {
			return nil, nil, err
		}
	}
	return issuer, list, nil
}
