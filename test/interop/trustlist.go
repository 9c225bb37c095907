package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// TrustList is what BouncyCastle reads in a certificate trust list.
type TrustList struct {
	ContentType string    `json:"contentType"` // of the signedData's content, an OID
	Name        string    `json:"name"`
	Sequence    string    `json:"sequence"` // decimal
	ThisUpdate  time.Time `json:"thisUpdate"`
	NextUpdate  time.Time `json:"nextUpdate"`
	Signer      string    `json:"signer"`   // RFC 2253
	Subjects    []string  `json:"subjects"` // RFC 2253, in the order of the list
}

// TrustList queues a signed list in DER, of either form: the signature, its
// AlgorithmIdentifier, the signer's usage, and that each entry is the SM3 of a
// certificate that comes with it. Path judges the signer's path.
func (b *Batch) TrustList(der []byte) *Answer[TrustList] {
	return add[TrustList](b, "trustlist", argument{"list", der})
}

// BouncyTrustList is Batch.TrustList alone.
func BouncyTrustList(der []byte) (TrustList, error) {
	return one(func(b *Batch) *Answer[TrustList] { return b.TrustList(der) })
}

var (
	listContent    = regexp.MustCompile(`(?m)^ *(\d+):d=5  hl=(\d+) l= *\d+ (?:cons: SEQUENCE|prim: OCTET STRING)`)
	signedAttrs    = regexp.MustCompile(`(?m)^ *(\d+):d=5 .*cons: cont \[ 0 \]`)
	encryptedOctet = regexp.MustCompile(`(?m)^ *(\d+):d=5 .*prim: OCTET STRING`)
)

// VerifyTrustList has OpenSSL verify the signature of a trust list in DER with
// the signer's PEM certificate, and read the certificates in it, which it
// returns as PEM. Its own cms and smime cannot be given the ID, so that the
// parts are cut out.
func VerifyTrustList(signerPEM, der []byte) (certificates []byte, err error) {
	w, err := newWorkspace(map[string][]byte{"signer.pem": signerPEM, "list.der": der})
	if err != nil {
		return nil, err
	}
	defer w.remove()
	if err := w.verifyTrustList(); err != nil {
		return nil, fmt.Errorf("verify trust list: %w", err)
	}
	if _, err := w.openssl("pkcs7", "-inform", "DER", "-in", "list.der", "-print_certs", "-out", "certs.pem"); err != nil {
		return nil, fmt.Errorf("verify trust list: %w", err)
	}
	return os.ReadFile(w.path("certs.pem"))
}

func (w workspace) verifyTrustList() error {
	layout, err := w.openssl("asn1parse", "-inform", "DER", "-in", "list.der")
	if err != nil {
		return err
	}
	content := listContent.FindStringSubmatch(layout)
	// Those of the signer come after the certificates.
	attributes, signatures := signedAttrs.FindAllStringSubmatch(layout, -1), encryptedOctet.FindAllStringSubmatch(layout, -1)
	if content == nil || len(attributes) == 0 || len(signatures) == 0 {
		return errors.New("openssl asn1parse: no content, attributes and signature of a signedData")
	}
	for _, args := range [][]string{
		{"asn1parse", "-inform", "DER", "-in", "list.der", "-strparse", content[1], "-noout", "-out", "content"},
		{"asn1parse", "-inform", "DER", "-in", "list.der", "-strparse", attributes[len(attributes)-1][1], "-noout", "-out", "attributes"},
		{"asn1parse", "-inform", "DER", "-in", "list.der", "-strparse", signatures[len(signatures)-1][1], "-noout", "-out", "sig"},
		{"x509", "-in", "signer.pem", "-noout", "-pubkey", "-out", "signer.pub"},
	} {
		if _, err := w.openssl(args...); err != nil {
			return err
		}
	}
	if err := w.cutTrustList(content); err != nil {
		return err
	}
	digest, err := w.openssl("dgst", "-sm3", "-r", "content")
	if err != nil {
		return err
	}
	hash, _, _ := strings.Cut(digest, " ")
	printed, err := w.openssl("asn1parse", "-inform", "DER", "-in", "attributes")
	if err != nil {
		return err
	}
	if !strings.Contains(printed, "[HEX DUMP]:"+strings.ToUpper(hash)) {
		return fmt.Errorf("messageDigest is not %s, the SM3 of the content", hash)
	}
	out, err := w.openssl("dgst", "-sm3", "-verify", "signer.pub", "-sigopt", distID, "-signature", "sig", "attributes")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "Verified OK") {
		return fmt.Errorf("openssl dgst -verify: %s", strings.TrimSpace(out))
	}
	return nil
}

// cutTrustList makes of the parts what was digested and signed: the octets of the
// content without its header, and the attributes under the tag of SET OF.
func (w workspace) cutTrustList(content []string) error {
	octets, err := os.ReadFile(w.path("content"))
	if err != nil {
		return err
	}
	if bytes.HasPrefix(octets, []byte{0x30}) && !strings.Contains(content[0], "OCTET STRING") {
		header := int(content[2][0] - '0')
		if err := w.write("content", octets[header:]); err != nil {
			return err
		}
	}
	attributes, err := os.ReadFile(w.path("attributes"))
	if err != nil {
		return err
	}
	attributes[0] = 0x31
	return w.write("attributes", attributes)
}
