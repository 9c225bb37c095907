package interop

import (
	"encoding/pem"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"
)

// requireVerdict: want "" is acceptance, else a refusal that says want.
func requireVerdict(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want a refusal that says %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("error %q does not say %q", err, want)
	}
}

func TestOpenSSLJudgesChains(t *testing.T) {
	tr := newTree(t)
	imposter := issue(t, &tr.root, "CA", caTemplate()) // the CA's name, another key
	expired := leafTemplate()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-3*time.Hour), time.Now().Add(-time.Hour)
	late := issue(t, &tr.ca, "Late", expired)
	tampered := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: flip(tr.leaf.cert.Raw, 3)})
	below := issue(t, &tr.leaf, "Below a leaf", leafTemplate())
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"good chain":            {VerifyChain(tr.root.pem(), tr.ca.pem(), tr.leaf.pem()), ""},
		"expired, when it held": {VerifyLinkAt(tr.ca.pem(), late.pem(), time.Now().Add(-2*time.Hour)), ""},
		"expired":               {VerifyLink(tr.ca.pem(), late.pem()), "expired"},
		"tampered":              {VerifyLink(tr.ca.pem(), tampered), "verif"},
		"wrong issuer":          {VerifyLink(tr.root.pem(), tr.leaf.pem()), "issuer"},
		"imposter":              {VerifyChain(tr.root.pem(), imposter.pem(), tr.leaf.pem()), "link 2"},
		"issuer is no CA":       {VerifyLink(tr.leaf.pem(), below.pem()), "CA"},
		"root not self-signed":  {VerifyChain(tr.ca.pem(), tr.leaf.pem()), "root"},
		"one certificate":       {VerifyChain(tr.root.pem()), "at least one"},
	} {
		t.Run(name, func(t *testing.T) { requireVerdict(t, c.err, c.want) })
	}
}

func TestOpenSSLJudgesLists(t *testing.T) {
	tr := newTree(t)
	imposter := issue(t, &tr.root, "CA", caTemplate())
	der := list(t, tr.ca, 0, tr.revoked)
	changes := delta(t, tr.ca, tr.revoked, tr.leaf)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"CRL":                 {VerifyCRL(tr.ca.pem(), der), ""},
		"ARL":                 {VerifyCRL(tr.root.pem(), list(t, tr.root, 0, tr.ca)), ""},
		"tampered signature":  {VerifyCRL(tr.ca.pem(), flip(der, 3)), "Verification failure"},
		"another issuer":      {VerifyCRL(tr.root.pem(), der), "issuer is"},
		"imposter":            {VerifyCRL(imposter.pem(), der), "Verification failure"},
		"signature alone":     {VerifyDERSignature(tr.ca.pem(), der), ""},
		"signature, imposter": {VerifyDERSignature(imposter.pem(), der), "Verification failure"},
		"no structure":        {VerifyDERSignature(tr.ca.pem(), []byte{0x30, 3, 2, 1, 1}), "BIT STRING"},
		"delta":               {VerifyCRL(tr.ca.pem(), changes), ""},
		"tampered delta":      {VerifyCRL(tr.ca.pem(), flip(changes, 3)), "Verification failure"},
	} {
		t.Run(name, func(t *testing.T) { requireVerdict(t, c.err, c.want) })
	}
	w := workspace(t.TempDir())
	if err := w.write("delta.der", changes); err != nil {
		t.Fatal(err)
	}
	text, err := w.openssl("crl", "-inform", "DER", "-in", "delta.der", "-noout", "-text")
	for _, want := range []string{"X509v3 Delta CRL Indicator: critical", "X509v3 Issuing Distribution Point: critical", "Remove From CRL", "Key Compromise"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("openssl crl -text does not show %q of the delta: %v\n%s", want, err, text)
		}
	}
}

func TestOpenSSLJudgesOCSP(t *testing.T) {
	tr := newTree(t)
	responder := issue(t, &tr.ca, "OCSP", responderTemplate())
	foreign := issue(t, &tr.root, "Foreign OCSP", responderTemplate())
	noPurpose := issue(t, &tr.ca, "Leaf as responder", leafTemplate())
	stranger := issue(t, &tr.ca, "Stranger", leafTemplate())
	valid, revoked := []entity{tr.leaf}, []entity{tr.revoked}
	for name, c := range map[string]struct {
		about, by  entity
		hash       string
		flip       int // a byte from the end; 0: none
		want, fail string
	}{
		"good, sha1":                       {about: tr.leaf, by: responder, hash: "sha1", want: "good"},
		"good, sha256":                     {about: tr.leaf, by: responder, hash: "sha256", want: "good"},
		"good, sm3":                        {about: tr.leaf, by: responder, hash: "sm3", want: "good"},
		"revoked":                          {about: tr.revoked, by: responder, hash: "sm3", want: "revoked"},
		"unknown":                          {about: stranger, by: responder, hash: "sha1", want: "unknown"},
		"foreign responder":                {about: tr.leaf, by: foreign, hash: "sha1", fail: "responder"},
		"no purpose":                       {about: tr.leaf, by: noPurpose, hash: "sha1", fail: "OCSPSigning"},
		"tampered":                         {about: tr.leaf, by: responder, hash: "sha1", flip: len(responder.cert.Raw) + 20, fail: "Verification failure"},
		"responder's certificate tampered": {about: tr.leaf, by: responder, hash: "sha1", flip: 3, fail: "responder"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := OCSPRequest(tr.ca.pem(), c.about.pem(), c.hash, true)
			if err != nil {
				t.Fatal(err)
			}
			resp := respond(t, tr.ca, c.by, req, valid, revoked)
			if c.flip > 0 {
				resp = flip(resp, c.flip)
			}
			got, err := VerifyOCSP(tr.ca.pem(), c.about.pem(), resp, c.hash)
			requireVerdict(t, err, c.fail)
			if got != c.want {
				t.Errorf("status %q, want %q", got, c.want)
			}
		})
	}
	t.Run("answer to another CertID", func(t *testing.T) {
		req, err := OCSPRequestForSerial(tr.ca.pem(), big.NewInt(4711), "sm3", false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = VerifyOCSP(tr.ca.pem(), tr.leaf.pem(), respond(t, tr.ca, responder, req, valid, revoked), "sm3")
		requireVerdict(t, err, "no status")
	})
	t.Run("expired", func(t *testing.T) {
		req, err := OCSPRequest(tr.ca.pem(), tr.leaf.pem(), "sm3", false)
		if err != nil {
			t.Fatal(err)
		}
		resp := respond(t, tr.ca, responder, req, valid, revoked)
		// OpenSSL looks at the times before the signature, which this breaks.
		past := regexp.MustCompile(`20\d{12}Z`).ReplaceAll(resp, []byte("20200101000000Z"))
		_, err = VerifyOCSP(tr.ca.pem(), tr.leaf.pem(), past, "sm3")
		requireVerdict(t, err, "expired")
	})
	t.Run("error response", func(t *testing.T) {
		_, err := VerifyOCSP(tr.ca.pem(), tr.leaf.pem(), []byte{0x30, 3, 0x0a, 1, 1}, "sm3")
		requireVerdict(t, err, "malformedrequest")
	})
	t.Run("unknown hash", func(t *testing.T) {
		_, err := OCSPRequest(tr.ca.pem(), tr.leaf.pem(), "md5", false)
		requireVerdict(t, err, "sha256")
	})
}

func TestOpenSSLMakesAndJudgesRequests(t *testing.T) {
	dir := t.TempDir()
	const subject = "/C=CN/O=Ministry/CN=张三"
	_, good, err := MakeKeyAndCSR(dir, subject, CSROptions{DNSNames: []string{"a.example.test"}})
	if err != nil {
		t.Fatal(err)
	}
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	oversized := must(MakeOversizedCSR(dir, subject, 40_000))
	if block, _ := pem.Decode(oversized); block == nil || len(block.Bytes) <= 40_000 {
		t.Errorf("oversized request has only %d bytes of PEM", len(oversized))
	}
	nullParameters := must(WithNullParameters(good))
	if block, _ := pem.Decode(nullParameters); !strings.Contains(string(block.Bytes), string(sm2WithSM3Null)) {
		t.Error("WithNullParameters wrote no NULL")
	}
	text, err := opensslOver(map[string][]byte{"c": good}, "req", "-in", "c", "-noout", "-text", "-nameopt", "utf8")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CN=张三", "DNS:a.example.test", "SM2", "SM2-with-SM3"} {
		if !strings.Contains(text, want) {
			t.Errorf("request lacks %q:\n%s", want, text)
		}
	}
	for name, c := range map[string]struct {
		csr  []byte
		want string
	}{
		"good":             {good, ""},
		"oversized":        {oversized, ""},
		"NULL parameters":  {nullParameters, ""},
		"P-256":            {must(MakeP256CSR(dir, subject)), "verif"},
		"RSA":              {must(MakeRSACSR(dir, subject)), "verif"},
		"empty ID":         {must(MakeEmptyIDCSR(dir, subject)), "verif"},
		"broken signature": {must(WithBrokenSignature(good)), "verif"},
		"trailing byte":    {must(WithTrailingByte(good)), ""}, // OpenSSL reads on: Terrace must not
		"truncated":        {must(Truncated(good)), "Unable to load"},
	} {
		t.Run(name, func(t *testing.T) { requireVerdict(t, VerifyCSR(c.csr), c.want) })
	}
}

func TestMissingToolNamesItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	tr := newTree(t)
	requireVerdict(t, VerifyLink(tr.ca.pem(), tr.leaf.pem()), "install Debian's package openssl")
	_, err := runTool(t.TempDir(), nil, "java", "-version")
	requireVerdict(t, err, "install Debian's package default-jdk-headless")
}
