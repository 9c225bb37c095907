package lint

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/pki"
)

func TestParseObjects(t *testing.T) {
	cert, list := certificateDER(t, subscriber(t)), crlDER(t, deltaList(t))
	response, request := responseDER(t, answer(t)), requestDER(t, asked(t))
	noVersion := list2(t)
	for desc, tc := range map[string]struct {
		in   []byte
		want []Family
	}{
		"certificate":   {cert, []Family{FamilyCertificate}},
		"list":          {list, []Family{FamilyCRL}},
		"list of v1":    {noVersion, []Family{FamilyCRL}},
		"response":      {response, []Family{FamilyResponse}},
		"request":       {request, []Family{FamilyRequest}},
		"chain in text": {append([]byte("subject=x\n"), append(pki.EncodePEM(pki.PEMCertificate, cert, cert), pki.EncodePEM(pki.PEMCRL, list)...)...), []Family{FamilyCertificate, FamilyCertificate, FamilyCRL}},
	} {
		got, err := ParseObjects(tc.in)
		var families []Family
		for _, o := range got {
			families = append(families, o.Family)
		}
		if diff := cmp.Diff(tc.want, families); err != nil || diff != "" {
			t.Errorf("%s: %v %s", desc, err, diff)
		}
	}
	key := pki.EncodePEM("PRIVATE KEY", []byte{1})
	for desc, in := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "a key": key, "SEQUENCE": {0x30, 0}, "half a block": pki.EncodePEM(pki.PEMCRL, list)[:100],
		"a bad block before a good one": append([]byte("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), pki.EncodePEM(pki.PEMCRL, list)...),
		"too many":                      bytes.Repeat(pki.EncodePEM(pki.PEMCRL, []byte{1}), maxObjects+1),
	} {
		if got, err := ParseObjects(in); err == nil {
			t.Errorf("%s: got %d objects", desc, len(got))
		}
	}
}

func list2(t *testing.T) []byte {
	c := list(t)
	c.Version = 1
	return crlDER(t, c)
}

func TestExamineObject(t *testing.T) {
	issuer := issuerFixture(t)
	issuers := Issuers{another(t, issuer), issuer}
	issuers[0].RawSubject = nameDER(t, "CN=other")
	for desc, o := range map[string]Object{
		"certificate": {FamilyCertificate, sign(t, certificateDER(t, subscriber(t)), issuerD)},
		"list":        {FamilyCRL, sign(t, crlDER(t, list(t)), issuerD)},
		"response":    {FamilyResponse, responseDER(t, answer(t))},
	} {
		got := issuers.Of(o)
		if got != issuer {
			t.Errorf("%s: issuer is not found", desc)
		}
		if found, err := Examine(o, got, 0); err != nil || len(found) > 0 {
			t.Errorf("%s: %v, %v", desc, found, err)
		}
	}
	if _, err := Examine(Object{FamilyCRL, nil}, nil, KindTSA); err == nil || !strings.Contains(err.Error(), "tsa") {
		t.Errorf("a list as a TSA: %v", err)
	}
}

func TestCRLEntries(t *testing.T) {
	var got []string
	number, err := CRLEntries(crlDER(t, deltaList(t)), func(e CRLEntry) error {
		got = append(got, string(e.Serial)+" "+e.Reason.String())
		return nil
	})
	if diff := cmp.Diff([]string{"05 unspecified", "0102 keyCompromise", "0103 removeFromCRL"}, got); err != nil || number != 7 || diff != "" {
		t.Errorf("number %d, %v\n%s", number, err, diff)
	}
}

func FuzzParseObjects(f *testing.F) {
	t := &testing.T{}
	cert, list := certificateDER(t, subscriber(t)), crlDER(t, deltaList(t))
	for _, seed := range [][]byte{cert, list, responseDER(t, answer(t)), requestDER(t, asked(t)), pki.EncodePEM(pki.PEMCertificate, cert, cert)} {
		f.Add(seed)
	}
	issuer := issuerFixture(t)
	f.Fuzz(func(t *testing.T, in []byte) {
		objects, err := ParseObjects(in)
		if err != nil {
			return
		}
		issuers := Issuers{issuer}
		issuers.AddAll(objects)
		for _, o := range objects {
			for _, i := range []Issuers{nil, issuers} {
				if _, err := Examine(o, i.Of(o), 0); err != nil {
					t.Error(err)
				}
			}
			// Entries that can be read are ones of a list that can be taken apart.
			if _, err := CRLEntries(o.DER, func(CRLEntry) error { return nil }); err == nil && slices.ContainsFunc(ExamineCRL(o.DER, Context{}, 0), func(f Finding) bool { return f.Check == CheckCRLForm }) {
				t.Error("entries of what is no list")
			}
		}
	})
}
