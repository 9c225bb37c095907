package interop

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// CSROptions are what a request may hold beside its subject. OpenSSL writes no
// challengePassword together with -subj; MakeBouncyKeyAndCSR does.
type CSROptions struct {
	// DNSNames become a subjectAltName in the extensionRequest attribute.
	DNSNames []string
}

// keyKind is how openssl genpkey makes a key.
type keyKind []string

var (
	sm2Key  = keyKind{"-algorithm", "SM2"}
	p256Key = keyKind{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"}
	rsaKey  = keyKind{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}
)

// MakeKeyAndCSR has OpenSSL make an SM2 key and a request signed under the
// default ID. subject has OpenSSL's form, "/C=CN/O=Ministry/CN=张三". The key
// stays in dir, in a file whose path is returned (PKCS#8 PEM, mode 0600).
func MakeKeyAndCSR(dir, subject string, o CSROptions) (keyFile string, csrPEM []byte, err error) {
	key, csr, err := makeRequest(dir, sm2Key, subject, o, "-sm3", "-sigopt", distID)
	if err != nil {
		return "", nil, fmt.Errorf("make key and CSR: %w", err)
	}
	return key, csr, nil
}

// MakeP256CSR makes a sound request for a key on NIST P-256, which a CA for SM2
// must refuse.
func MakeP256CSR(dir, subject string) ([]byte, error) {
	_, csr, err := makeRequest(dir, p256Key, subject, CSROptions{}, "-sha256")
	return csr, err
}

// MakeRSACSR makes a sound request for an RSA key of 2048 bits.
func MakeRSACSR(dir, subject string) ([]byte, error) {
	_, csr, err := makeRequest(dir, rsaKey, subject, CSROptions{}, "-sha256")
	return csr, err
}

// MakeEmptyIDCSR makes a request as OpenSSL does when nobody tells it the ID:
// the signature is right under the empty ID and wrong under that of GM/T 0009.
func MakeEmptyIDCSR(dir, subject string) ([]byte, error) {
	_, csr, err := makeRequest(dir, sm2Key, subject, CSROptions{}, "-sm3")
	return csr, err
}

// MakeOversizedCSR makes a sound request of more than size bytes of DER.
func MakeOversizedCSR(dir, subject string, size int) ([]byte, error) {
	const nameBytes = 64
	var o CSROptions
	for n := 0; n <= size; n += nameBytes {
		o.DNSNames = append(o.DNSNames, fmt.Sprintf("%052d.example.test", n))
	}
	_, csr, err := makeRequest(dir, sm2Key, subject, o, "-sm3", "-sigopt", distID)
	return csr, err
}

func makeRequest(dir string, kind keyKind, subject string, o CSROptions, sign ...string) (string, []byte, error) {
	w := workspace(dir)
	name := "key-" + randomHex()
	key, csr, config := name+".pem", name+".csr", name+".cnf"
	if err := w.write(config, []byte(requestConfig(o))); err != nil {
		return "", nil, err
	}
	if err := w.write(key, nil); err != nil { // 0600 before the key is in it
		return "", nil, err
	}
	if _, err := w.openssl(append(append([]string{"genpkey"}, kind...), "-out", key)...); err != nil {
		return "", nil, err
	}
	args := []string{"req", "-new", "-utf8", "-config", config, "-subj", subject, "-key", key, "-out", csr}
	if _, err := w.openssl(append(args, sign...)...); err != nil {
		return "", nil, err
	}
	encoded, err := os.ReadFile(w.path(csr))
	return w.path(key), encoded, err
}

func randomHex() string {
	b := make([]byte, 8)
	rand.Read(b) //nolint:errcheck // never fails since Go 1.24
	return hex.EncodeToString(b)
}

func requestConfig(o CSROptions) string {
	var c strings.Builder
	c.WriteString("[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\ndistinguished_name = dn\n")
	if len(o.DNSNames) > 0 {
		c.WriteString("req_extensions = ext\n")
	}
	c.WriteString("[dn]\n") // empty: -subj gives the name
	if len(o.DNSNames) > 0 {
		c.WriteString("[ext]\nsubjectAltName = @names\n[names]\n")
	}
	for i, n := range o.DNSNames {
		fmt.Fprintf(&c, "DNS.%d = %s\n", i+1, n)
	}
	return c.String()
}
