package interop

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"path/filepath"
	"time"
)

// Certificate is what BouncyCastle reads in a certificate. Byte values and
// serial numbers are hexadecimal.
type Certificate struct {
	Subject                string            `json:"subject"` // RFC 2253, as RFC 4514 writes it
	Issuer                 string            `json:"issuer"`
	Serial                 string            `json:"serial"`
	NotBefore              time.Time         `json:"notBefore"`
	NotAfter               time.Time         `json:"notAfter"`
	KeyAlgorithm           string            `json:"keyAlgorithm"`  // OID
	KeyParameters          string            `json:"keyParameters"` // OID of the curve
	PublicKey              string            `json:"publicKey"`
	IsCA                   bool              `json:"isCA"`
	PathLength             int               `json:"pathLength"` // -1: none
	KeyUsage               []string          `json:"keyUsage"`   // names of RFC 5280 section 4.2.1.3
	ExtendedKeyUsage       []string          `json:"extendedKeyUsage"`
	SubjectKeyIdentifier   string            `json:"subjectKeyIdentifier"`
	AuthorityKeyIdentifier string            `json:"authorityKeyIdentifier"`
	CRLDistributionPoints  []string          `json:"crlDistributionPoints"`
	OCSPServers            []string          `json:"ocspServers"`
	CAIssuers              []string          `json:"caIssuers"`
	Extensions             map[string]string `json:"extensions"` // OID to the content of extnValue
	Critical               []string          `json:"critical"`   // OIDs of the critical extensions
}

// Certificate queues a PEM certificate to be read. The AlgorithmIdentifier of its
// signature is checked, and the signature itself if issuerPEM is given.
func (b *Batch) Certificate(certPEM, issuerPEM []byte) *Answer[Certificate] {
	args := []argument{{"cert", certPEM}}
	if issuerPEM != nil {
		args = append(args, argument{"issuer", issuerPEM})
	}
	return add[Certificate](b, "cert", args...)
}

// BouncyCertificate is Batch.Certificate alone.
func BouncyCertificate(certPEM, issuerPEM []byte) (Certificate, error) {
	return one(func(b *Batch) *Answer[Certificate] { return b.Certificate(certPEM, issuerPEM) })
}

// BouncyOCSPRequest has BouncyCastle make a DER request for one or more serial
// numbers of an issuer. hash is that of the CertIDs: sha1, sha256 or sm3.
func BouncyOCSPRequest(issuerPEM []byte, hash string, nonce bool, serials ...*big.Int) ([]byte, error) {
	made, err := one(func(b *Batch) *Answer[madeRequest] {
		args := []argument{{"issuer", issuerPEM}, {"hash", hash}, {"nonce", nonce}}
		for _, s := range serials {
			args = append(args, argument{"serial", s.Text(16)})
		}
		return add[madeRequest](b, "ocsprequest", args...)
	})
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(made.DER)
}

// MakeBouncyKeyAndCSR has BouncyCastle make an SM2 key and a request. subject is
// as "C=CN,O=Ministry,CN=张三". The key stays in dir, in a file whose path is
// returned (PKCS#8 PEM, mode 0600). challengePassword becomes the PKCS#9
// attribute that GM/T 0092 allows; empty: none.
func MakeBouncyKeyAndCSR(dir, subject, challengePassword string) (keyFile string, csrPEM []byte, err error) {
	dir, err = filepath.Abs(dir) // the program runs in a folder of its own
	if err != nil {
		return "", nil, fmt.Errorf("make key and CSR: %w", err)
	}
	keyFile = filepath.Join(dir, "key-"+randomHex()+".pem")
	made, err := one(func(b *Batch) *Answer[madeCSR] {
		args := []argument{{"subject", subject}, {"key", keyFile}}
		if challengePassword != "" {
			args = append(args, argument{"password", challengePassword})
		}
		return add[madeCSR](b, "csr", args...)
	})
	return keyFile, []byte(made.PEM), err
}

type madeRequest struct {
	DER string `json:"der"`
}

type madeCSR struct {
	PEM string `json:"pem"`
}
