package issuance_test

import (
	"crypto"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

func TestIssueChain(t *testing.T) {
	rootCert, caCert, caKey := chain(t)
	cert := issue(t, caKey, subscriberOrder(t, caCert, &newKey(t).PublicKey))
	if err := pki.VerifyChain(cert, []*smx509.Certificate{caCert, rootCert}, now); err != nil {
		t.Fatal(err)
	}
	if got, want := cert.NotBefore, now.Add(-5*time.Minute); want.After(caCert.NotBefore) && !got.Equal(want) {
		t.Errorf("notBefore %s, want %s", got, want)
	}
	var oids []string
	for _, e := range cert.Extensions {
		if e.Critical {
			oids = append(oids, e.Id.String())
		}
	}
	if diff := cmp.Diff([]string{pki.OIDKeyUsage}, oids); diff != "" {
		t.Errorf("critical extensions (-want +got):\n%s", diff)
	}
	if !cmp.Equal(cert.AuthorityKeyId, caCert.SubjectKeyId) || !pki.IsSM2Certificate(cert) {
		t.Error("AKI or key is wrong")
	}
}

func TestNotAfterIsClamped(t *testing.T) {
	_, caCert, _ := chain(t)
	o := subscriberOrder(t, caCert, &newKey(t).PublicKey)
	o.Now = caCert.NotAfter.Add(-time.Hour)
	token, err := issuance.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	if !token.NotAfter().Equal(caCert.NotAfter) {
		t.Errorf("notAfter %s, want the issuer's %s", token.NotAfter(), caCert.NotAfter)
	}
}

func TestResponder(t *testing.T) {
	rootCert, caCert, caKey := chain(t)
	o := issuance.Order{
		Profile: pki.ResponderProfile(24 * time.Hour), Subject: name(t, "CN=OCSP,O=Ministry,C=CN"),
		PublicKey: &newKey(t).PublicKey, Serial: "05", Issuer: caCert, Now: now,
	}
	if err := pki.VerifyChain(issue(t, caKey, o), []*smx509.Certificate{caCert, rootCert}, now); err != nil {
		t.Fatal(err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	rootCert, caCert, _ := chain(t)
	key := newKey(t)
	tests := map[string]struct {
		breakIt func(*issuance.Order)
		want    string
	}{
		"no serial":               {func(o *issuance.Order) { o.Serial = "" }, "serial: is missing"},
		"no time":                 {func(o *issuance.Order) { o.Now = time.Time{} }, "now: is zero"},
		"no issuer":               {func(o *issuance.Order) { o.Issuer = nil }, "only a CA certificate is self-signed"},
		"expired issuer":          {func(o *issuance.Order) { o.Now = caCert.NotAfter.Add(time.Second) }, "renew the CA certificate"},
		"missing identity":        {func(o *issuance.Order) { o.Identity = nil }, "identity insuranceNumber: is missing"},
		"unknown identity":        {func(o *issuance.Order) { o.Identity["x"] = "1" }, `identity "x": is not one of the profile`},
		"names not allowed":       {func(o *issuance.Order) { o.SubjectAltNames.URI = []string{"http://a/"} }, "does not allow names of kind URI"},
		"subject not allowed":     {func(o *issuance.Order) { o.Subject = name(t, "CN=a,O=b,L=c,C=CN") }, "attribute L: is not one of the profile"},
		"bad URL":                 {func(o *issuance.Order) { o.IssuerURLs.CRL = []string{"crl"} }, "issuer URLs: crl"},
		"mixed usages":            {func(o *issuance.Order) { o.Profile.KeyUsage |= pki.KeyUsageKeyAgreement }, "issue two certificates"},
		"no key":                  {func(o *issuance.Order) { o.PublicKey = nil }, "is not an SM2 key"},
		"path length as issuer's": {func(o *issuance.Order) { *o = caOrder(t, rootCert, &key.PublicKey); o.Profile.CA.PathLen = 1 }, "path-length-within-issuer"},
		"long serial":             {func(o *issuance.Order) { o.Serial = pki.Serial(strings.Repeat("7F", 21)) }, "serial-length"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			o := subscriberOrder(t, caCert, &key.PublicKey)
			tt.breakIt(&o)
			_, err := issuance.Prepare(o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if strings.Count(err.Error(), "prepare certificate") != 1 {
				t.Errorf("operation is not there once: %v", err)
			}
			var found *issuance.LintError
			if lint := strings.Contains(tt.want, "-"); errors.As(err, &found) && !lint {
				t.Errorf("reached lint: %v", err)
			}
		})
	}
}

func TestTokenIsRedeemedOnce(t *testing.T) {
	_, caCert, caKey := chain(t)
	token, err := issuance.Prepare(subscriberOrder(t, caCert, &newKey(t).PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issuance.Issue(newKey(t), token); err == nil || errors.Is(err, issuance.ErrRedeemed) {
		t.Fatalf("another key: got %v", err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = issuance.Issue(caKey, token) })
	}
	wg.Wait()
	issued := 0
	for _, err := range errs {
		if err == nil {
			issued++
		} else if !errors.Is(err, issuance.ErrRedeemed) {
			t.Error(err)
		}
	}
	if issued != 1 {
		t.Errorf("issued %d times, want once", issued)
	}
}

// faultySigner is a device whose signatures are not what they should be.
type faultySigner struct {
	*sm2.PrivateKey
	sign func(message []byte) ([]byte, error)
}

func (f faultySigner) SignMessage(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	return f.sign(message)
}

func TestFaultySignerSpendsTheToken(t *testing.T) {
	_, caCert, caKey := chain(t)
	other := newKey(t)
	tests := map[string]func([]byte) ([]byte, error){
		"error":         func([]byte) ([]byte, error) { return nil, errors.New("device is gone") },
		"garbage":       func([]byte) ([]byte, error) { return []byte{1, 2, 3}, nil },
		"other key":     func(m []byte) ([]byte, error) { return other.SignMessage(nil, m, sm2.DefaultSM2SignerOpts) },
		"other message": func([]byte) ([]byte, error) { return caKey.SignMessage(nil, []byte("x"), sm2.DefaultSM2SignerOpts) },
		"changes its copy and signs that": func(m []byte) ([]byte, error) {
			m[len(m)-1] ^= 1
			return caKey.SignMessage(nil, m, sm2.DefaultSM2SignerOpts)
		},
		"changes its copy after signing": func(m []byte) ([]byte, error) {
			sig, err := caKey.SignMessage(nil, m, sm2.DefaultSM2SignerOpts)
			m[len(m)-1] ^= 1
			return sig, err
		},
		"other ID": func(m []byte) ([]byte, error) {
			return caKey.Sign(nil, m, sm2.NewSM2SignerOption(true, []byte("other")))
		},
	}
	for desc, sign := range tests {
		t.Run(desc, func(t *testing.T) {
			token, err := issuance.Prepare(subscriberOrder(t, caCert, &newKey(t).PublicKey))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := issuance.Issue(faultySigner{caKey, sign}, token); err == nil {
				t.Fatal("a faulty signature was taken")
			}
			// The device may have signed all the same.
			if _, err := issuance.Issue(caKey, token); !errors.Is(err, issuance.ErrRedeemed) {
				t.Errorf("second call: got %v, want ErrRedeemed", err)
			}
		})
	}
}
