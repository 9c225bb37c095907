// Package nationalroot plays the national root CA (国家根CA) on a developer's
// machine: a folder with a key, its certificate, what it issued, and a CRL. It
// is for development and tests; the real one is outside Terrace.
package nationalroot

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Lifetimes of what the root signs.
const (
	rootValidity = 30 * 365 * 24 * time.Hour
	caValidity   = 20 * 365 * 24 * time.Hour
	crlValidity  = 180 * 24 * time.Hour
	backdate     = 5 * time.Minute
)

const (
	keyLabel     = "national-root"
	rootFile     = "root.pem"
	crlFile      = "root.crl"
	passwordFile = "password"
	issuedDir    = "issued"
	subject      = "CN=Development National Root CA,O=For Development Only,C=CN"
)

// Root is a national root in a folder.
type Root struct {
	dir    string
	cert   *smx509.Certificate
	signer crypto.MessageSigner
}

// Open opens the root in dir, and makes it on first use. The folder is 0700;
// the keystore's password is drawn at random and kept in it, 0600.
func Open(ctx context.Context, dir string, now time.Time) (*Root, error) {
	if err := os.MkdirAll(filepath.Join(dir, issuedDir), 0o700); err != nil {
		return nil, fmt.Errorf("national root: %w", err)
	}
	password, err := ensurePassword(filepath.Join(dir, passwordFile))
	if err != nil {
		return nil, fmt.Errorf("national root: %w", err)
	}
	keystore, err := software.Open(software.Config{Dir: filepath.Join(dir, "keystore"), Password: password})
	if err != nil {
		return nil, fmt.Errorf("national root: %w", err)
	}
	r := &Root{dir: dir}
	if r.signer, err = keystore.Key(ctx, keyLabel); errors.Is(err, device.ErrKeyNotFound) {
		r.signer, err = keystore.GenerateKey(ctx, keyLabel)
	}
	if err != nil {
		return nil, fmt.Errorf("national root: %w", err)
	}
	if r.cert, err = r.ensureCertificate(now); err != nil {
		return nil, fmt.Errorf("national root: %w", err)
	}
	return r, nil
}

// CertificatePEM is the root's own certificate.
func (r *Root) CertificatePEM() []byte { return pki.EncodePEM("CERTIFICATE", r.cert.Raw) }

// Certify issues a CA certificate for a PEM signing request, once for each key:
// the same key gets the same certificate again.
func (r *Root) Certify(csr []byte, now time.Time) ([]byte, error) {
	req, err := pki.ParseRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	if err := errors.Join(req.IsSM2(), req.VerifyPossession()); err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	path := filepath.Join(r.dir, issuedDir, hex.EncodeToString(pki.KeyID(req.SPKI))+".pem")
	if old, err := os.ReadFile(path); err == nil {
		return old, nil
	}
	public, err := req.SM2PublicKey()
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	serial, err := pki.NewSerial(nil, time.Now())
	if err != nil {
		return nil, err
	}
	token, err := issuance.Prepare(issuance.Order{Profile: pki.CAProfile(2, caValidity, backdate), Subject: req.Subject, PublicKey: public,
		Serial: serial, Issuer: r.cert, Now: now})
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	der, err := issuance.Issue(r.signer, token)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	pem := pki.EncodePEM("CERTIFICATE", der)
	return pem, atomicfile.Write(path, pem, 0o644)
}

// CRL signs the root's revocation list, empty, valid for half a year, and keeps it in the folder.
func (r *Root) CRL(now time.Time) ([]byte, error) {
	der, err := crl.Sign(r.signer, crl.Template{Issuer: r.cert, Number: now.UnixNano(), ThisUpdate: now.Truncate(time.Second), NextUpdate: now.Add(crlValidity).Truncate(time.Second)})
	if err != nil {
		return nil, fmt.Errorf("national root CRL: %w", err)
	}
	return der, atomicfile.Write(filepath.Join(r.dir, crlFile), der, 0o644)
}

func (r *Root) ensureCertificate(now time.Time) (*smx509.Certificate, error) {
	path := filepath.Join(r.dir, rootFile)
	public, err := pki.SignerPublicKey(r.signer)
	if err != nil {
		return nil, err
	}
	spki, err := pki.MarshalSPKI(public)
	if err != nil {
		return nil, err
	}
	if old, err := os.ReadFile(path); err == nil {
		cert, err := pki.ParseCertificatePEM(old)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !bytes.Equal(cert.RawSubjectPublicKeyInfo, spki) {
			return nil, fmt.Errorf("%s is for another key than the keystore holds", path)
		}
		return cert, nil
	}
	name, err := pki.ParseName(subject)
	if err != nil {
		return nil, err
	}
	serial, err := pki.NewSerial(nil, time.Now())
	if err != nil {
		return nil, err
	}
	t := &smx509.Certificate{SerialNumber: serial.Int(), RawSubject: name.DER(), NotBefore: now.Add(-backdate), NotAfter: now.Add(rootValidity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign, SubjectKeyId: pki.KeyID(spki)}
	der, err := smx509.CreateCertificate(rand.Reader, t, t, r.signer.Public(), r.signer)
	if err != nil {
		return nil, fmt.Errorf("self-sign: %w", err)
	}
	if err := atomicfile.Write(path, pki.EncodePEM("CERTIFICATE", der), 0o644); err != nil {
		return nil, err
	}
	return smx509.ParseCertificate(der)
}

func ensurePassword(path string) ([]byte, error) {
	if b, err := os.ReadFile(path); err == nil {
		return b, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b := []byte(rand.Text())
	return b, atomicfile.Write(path, b, 0o600)
}
