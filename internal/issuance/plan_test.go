package issuance

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func selfSigned(t *testing.T) (Order, *sm2.PrivateKey) {
	t.Helper()
	key, err := sm2.NewPrivateKeyFromInt(big.NewInt(4711))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=CA,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	return Order{
		Profile: pki.CAProfile(1, 1000*time.Hour, 0), Subject: subject, PublicKey: &key.PublicKey,
		Serial: "01", Now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
	}, key
}

// TestNobodysSignature: a certificate under it verifies under no key, so that
// one that leaked would be worth nothing.
func TestNobodysSignature(t *testing.T) {
	in := cryptobyte.String(lint.NobodysSignature())
	var r, s big.Int
	if !in.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1Integer(&r) || !in.ReadASN1Integer(&s) || !in.Empty() {
		t.Fatal("is not SEQUENCE { r, s }")
	}
	// Verification ends at its first steps, whatever key and message are.
	if order := sm2.P256().Params().N; r.Cmp(order) < 0 || s.Cmp(order) < 0 {
		t.Error("r or s is below the order of the curve: some key and message could fit")
	}
	o, key := selfSigned(t)
	token, err := Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.AssembleSigned(token.TBS(), lint.NobodysSignature())
	if err != nil {
		t.Fatal(err)
	}
	if found := lint.Certificate(der, lint.Context{}); len(found) != 0 {
		t.Errorf("the linter does not take its form: %v", found)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if cert.CheckSignatureFrom(cert) == nil || pki.VerifyChain(cert, nil, o.Now) == nil || pki.VerifySignature(&key.PublicKey, token.TBS(), lint.NobodysSignature()) {
		t.Error("the certificate verifies")
	}
	if _, err := Issue(nobody{key}, token); err == nil {
		t.Error("Issue let it out")
	}
}

// nobody returns nobody's signature.
type nobody struct{ *sm2.PrivateKey }

func (nobody) SignMessage(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return lint.NobodysSignature(), nil
}

// TestSameProfile changes each field of a profile, also those that are to come.
func TestSameProfile(t *testing.T) {
	full := func() pki.Profile {
		return pki.Profile{
			Subject: []pki.SubjectRule{{Type: "CN"}}, ExtKeyUsage: []string{"1.2.3"}, SANTypes: []pki.SANType{pki.SANDNS},
			IdentityExtensions: []pki.IdentityExtension{{Name: "a"}}, CA: &pki.CAConstraints{},
		}
	}
	if !sameProfile(full(), full()) || !sameProfile(full(), copyProfile(full())) {
		t.Fatal("equal profiles are not the same")
	}
	fields := 0
	var visit func(path string, at func(*pki.Profile) reflect.Value)
	visit = func(path string, at func(*pki.Profile) reflect.Value) {
		p := full()
		original := copyProfile(p)
		v := at(&p)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				visit(path+"."+v.Type().Field(i).Name, func(p *pki.Profile) reflect.Value { return at(p).Field(i) })
			}
			return
		case reflect.Slice:
			visit(path+"[0]", func(p *pki.Profile) reflect.Value { return at(p).Index(0) })
			v.Set(v.Slice(0, 0))
		case reflect.Pointer:
			if v.Type() == reflect.TypeFor[*regexp.Regexp]() {
				v.Set(reflect.ValueOf(regexp.MustCompile("a")))
				break
			}
			visit("*"+path, func(p *pki.Profile) reflect.Value { return at(p).Elem() })
			v.SetZero()
		case reflect.String:
			v.SetString("changed")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint16:
			v.SetUint(v.Uint() + 1)
		default:
			t.Fatalf("%s: teach this test kind %s", path, v.Kind())
		}
		fields++
		if sameProfile(original, p) || sameProfile(p, original) {
			t.Errorf("%s: a change goes unseen", path)
		}
	}
	visit("Profile", func(p *pki.Profile) reflect.Value { return reflect.ValueOf(p).Elem() })
	if fields < 20 {
		t.Errorf("visited %d fields", fields)
	}
}

// TestPreparerSeesChanges: a profile that its owner changes in place is another one.
func TestPreparerSeesChanges(t *testing.T) {
	o, _ := selfSigned(t)
	var p Preparer
	for depth := range 3 {
		o.Profile.CA.PathLen = depth
		token, err := p.Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := Prepare(o)
		if err != nil || !bytes.Equal(token.TBS(), fresh.TBS()) {
			t.Fatalf("path length %d: a remembered plan gives other bytes, or error %v", depth, err)
		}
	}
	o.Profile.CA.PathLen = -1
	if _, err := p.Prepare(o); err == nil || !strings.Contains(err.Error(), "ca.pathLen") {
		t.Errorf("changed to a bad one: got %v", err)
	}
}

func TestPreparerIsBoundedAndConcurrent(t *testing.T) {
	o, _ := selfSigned(t)
	var p Preparer
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 3 * maxPlans {
				mine := o
				mine.Profile.Name = fmt.Sprint("profile ", i)
				if _, err := p.Prepare(mine); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(p.plans) != maxPlans {
		t.Errorf("remembers %d plans, want %d", len(p.plans), maxPlans)
	}
}

// TestPlanIsOfOneIssuer: certificates of two issuers never share a plan.
func TestPlanIsOfOneIssuer(t *testing.T) {
	o, key := selfSigned(t)
	var issuers []*smx509.Certificate
	for _, serial := range []pki.Serial{"01", "02"} {
		o.Serial = serial
		token, err := Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		der, err := Issue(key, token)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := pki.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		issuers = append(issuers, cert)
	}
	p, err := newPlan(issuers[0], o.Profile)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pki.ParseCertificate(issuers[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		issuer *smx509.Certificate
		want   bool
	}{
		"the same": {issuers[0], true}, "parsed again": {again, true}, "another": {issuers[1], false}, "none": {nil, false}, "not parsed": {&smx509.Certificate{}, false},
	}
	for desc, tt := range tests {
		if got := p.isFor(tt.issuer, o.Profile); got != tt.want {
			t.Errorf("%s: got %v, want %v", desc, got, tt.want)
		}
	}
}
