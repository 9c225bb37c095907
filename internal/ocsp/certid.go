// Package ocsp reads requests and signs responses of the Online Certificate
// Status Protocol (在线证书状态协议, RFC 6960, GB/T 19713) with SM2. It knows
// neither HTTP nor where statuses are kept.
package ocsp

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	encodingasn1 "encoding/asn1"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Hash is the algorithm by which a CertID names its issuer.
type Hash int

// Hashes of CertIDs. HashUnknown, the zero value, matches no issuer.
const (
	HashUnknown Hash = iota
	SHA1             // 1.3.14.3.2.26, what most clients send; an identifier, not a security measure
	SHA256           // 2.16.840.1.101.3.4.2.1
	SM3              // 1.2.156.10197.1.401, what GM clients send
)

// hashes is indexed by Hash.
var hashes = [...]struct {
	oid  encodingasn1.ObjectIdentifier
	der  []byte // of the OID, without tag and length
	size int
	sum  func([]byte) []byte
}{
	SHA1: {encodingasn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, []byte{0x2b, 14, 3, 2, 26}, sha1.Size,
		func(b []byte) []byte { s := sha1.Sum(b); return s[:] }},
	SHA256: {encodingasn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}, sha256.Size,
		func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
	SM3: {encodingasn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}, []byte{0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x11}, sm3.Size,
		func(b []byte) []byte { s := sm3.Sum(b); return s[:] }},
}

// readHash reads the OBJECT IDENTIFIER of a hash, those that are known without
// making anything.
func readHash(in *cryptobyte.String) (h Hash, ok bool) {
	whole := *in
	var content cryptobyte.String
	if !in.ReadASN1(&content, cbasn1.OBJECT_IDENTIFIER) {
		return HashUnknown, false
	}
	for h := SHA1; h <= SM3; h++ {
		if bytes.Equal(content, hashes[h].der) {
			return h, true
		}
	}
	var oid encodingasn1.ObjectIdentifier
	return HashUnknown, whole.ReadASN1ObjectIdentifier(&oid)
}

// CertID names a certificate by its issuer and serial number (RFC 6960 §4.1.1).
type CertID struct {
	// Raw is the DER as it came, which a response repeats byte for byte.
	Raw []byte
	// Hash is HashUnknown for other algorithms than those of this package.
	Hash     Hash
	NameHash []byte
	KeyHash  []byte
	// Serial is empty when the number is not positive or has more than 20
	// octets, so that no CA can have issued it (RFC 5280 §4.1.2.2).
	Serial pki.Serial
}

// Issuer is how CertIDs name one CA. Values may be used concurrently.
type Issuer struct {
	// nameHash and keyHash are indexed by Hash.
	nameHash, keyHash [len(hashes)][]byte
}

// NewIssuer hashes the raw subject and the key of a CA's certificate, the
// latter without tag, length and unused bits (RFC 6960 §4.1.1).
func NewIssuer(ca *smx509.Certificate) (*Issuer, error) {
	if ca == nil {
		return nil, errors.New("OCSP issuer: CA certificate is missing")
	}
	key, err := publicKeyBits(ca.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("OCSP issuer: CA certificate: %w", err)
	}
	i := &Issuer{}
	for h := SHA1; h <= SM3; h++ {
		i.nameHash[h], i.keyHash[h] = hashes[h].sum(ca.RawSubject), hashes[h].sum(key)
	}
	return i, nil
}

// Match says whether id names a certificate of this issuer.
func (i *Issuer) Match(id CertID) bool {
	return id.Hash >= SHA1 && id.Hash <= SM3 &&
		bytes.Equal(id.NameHash, i.nameHash[id.Hash]) && bytes.Equal(id.KeyHash, i.keyHash[id.Hash])
}

// issuerName is how CertIDs of one hash name an issuer; shorter hashes end in zeros.
type issuerName struct {
	hash      Hash
	name, key [sha256.Size]byte
}

// nameOf is false for hashes that are not known, or not of their length.
func nameOf(h Hash, name, key []byte) (n issuerName, ok bool) {
	if h < SHA1 || h > SM3 || len(name) != hashes[h].size || len(key) != hashes[h].size {
		return n, false
	}
	n.hash = h
	copy(n.name[:], name)
	copy(n.key[:], key)
	return n, true
}

// CertID names the certificate with this serial, for requests. The algorithm
// is written with NULL parameters, as OpenSSL and BouncyCastle do.
func (i *Issuer) CertID(h Hash, serial pki.Serial) (CertID, error) {
	if h < SHA1 || h > SM3 {
		return CertID{}, fmt.Errorf("OCSP CertID: hash %d is none of SHA1, SHA256, SM3", h)
	}
	if serial == "" {
		return CertID{}, errors.New("OCSP CertID: serial number is missing")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(hashes[h].oid)
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(i.nameHash[h])
		b.AddASN1OctetString(i.keyHash[h])
		b.AddASN1BigInt(serial.Int())
	})
	raw, err := b.Bytes()
	if err != nil {
		return CertID{}, fmt.Errorf("OCSP CertID: %w", err)
	}
	return CertID{Raw: raw, Hash: h, NameHash: i.nameHash[h], KeyHash: i.keyHash[h], Serial: serial}, nil
}

// publicKeyBits returns the content of the BIT STRING of a SubjectPublicKeyInfo.
func publicKeyBits(spki []byte) ([]byte, error) {
	in := cryptobyte.String(spki)
	var seq cryptobyte.String
	var bits []byte
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.SkipASN1(cbasn1.SEQUENCE) ||
		!seq.ReadASN1BitStringAsBytes(&bits) || !seq.Empty() {
		return nil, errors.New("public key is no SubjectPublicKeyInfo")
	}
	return bits, nil
}

// readCertID reads one CertID from in.
func readCertID(in *cryptobyte.String) (CertID, error) {
	var raw, body, algorithm cryptobyte.String
	if !in.ReadASN1Element(&raw, cbasn1.SEQUENCE) {
		return CertID{}, errors.New("is no SEQUENCE")
	}
	id := CertID{Raw: raw}
	if outer := raw; !outer.ReadASN1(&body, cbasn1.SEQUENCE) {
		return CertID{}, errors.New("is no SEQUENCE")
	}
	var ok bool
	if !body.ReadASN1(&algorithm, cbasn1.SEQUENCE) {
		return CertID{}, errors.New("hashAlgorithm is no AlgorithmIdentifier")
	}
	if id.Hash, ok = readHash(&algorithm); !ok {
		return CertID{}, errors.New("hashAlgorithm is no AlgorithmIdentifier")
	}
	// Absent and NULL parameters are both in use; anything else is another algorithm.
	if !algorithm.Empty() && !bytes.Equal(algorithm, []byte{byte(cbasn1.NULL), 0}) {
		id.Hash = HashUnknown
		if !skipAny(&algorithm) || !algorithm.Empty() {
			return CertID{}, errors.New("hashAlgorithm has malformed parameters")
		}
	}
	if !body.ReadASN1((*cryptobyte.String)(&id.NameHash), cbasn1.OCTET_STRING) {
		return CertID{}, errors.New("issuerNameHash is no OCTET STRING")
	}
	if !body.ReadASN1((*cryptobyte.String)(&id.KeyHash), cbasn1.OCTET_STRING) {
		return CertID{}, errors.New("issuerKeyHash is no OCTET STRING")
	}
	if id.Serial, ok = readSerial(&body); !ok || !body.Empty() {
		return CertID{}, errors.New("serialNumber is no INTEGER in DER at the end")
	}
	return id, nil
}

// readSerial reads an INTEGER of any size; those that RFC 5280 does not allow
// come back empty.
func readSerial(in *cryptobyte.String) (serial pki.Serial, ok bool) {
	var n cryptobyte.String
	if !in.ReadASN1(&n, cbasn1.INTEGER) || len(n) == 0 {
		return "", false
	}
	if len(n) > 1 && (n[0] == 0 && n[1] < 0x80 || n[0] == 0xff && n[1] >= 0x80) {
		return "", false // not the shortest form, X.690 §8.3.2
	}
	if n[0] >= 0x80 || len(n) > 20 || len(n) == 1 && n[0] == 0 {
		return "", true
	}
	if n[0] == 0 {
		n = n[1:]
	}
	const digits = "0123456789ABCDEF"
	var text [40]byte // as pki.SerialFromInt
	for i, octet := range n {
		text[2*i], text[2*i+1] = digits[octet>>4], digits[octet&15]
	}
	return pki.Serial(text[:2*len(n)]), true
}

// skipAny skips one element of whatever tag.
func skipAny(in *cryptobyte.String) bool {
	var element cryptobyte.String
	var tag cbasn1.Tag
	return in.ReadAnyASN1Element(&element, &tag)
}
