package trustlist

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

func TestBouncyCastleAndOpenSSLTakeBothForms(t *testing.T) {
	tr := newTree(t)
	l := tr.list()
	for _, form := range Forms {
		t.Run(form.Extension(), func(t *testing.T) {
			der := tr.sign(t, l, form)
			s, err := Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			want := interop.TrustList{ContentType: form.contentType(), Name: l.Name, Sequence: strconv.FormatInt(l.Sequence, 10),
				ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, Signer: "CN=Trust list,O=测试,C=CN"}
			for _, c := range s.Certificates {
				want.Subjects = append(want.Subjects, "CN="+c.Subject.CommonName+",O=测试,C=CN")
			}
			got, err := interop.BouncyTrustList(der)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("BouncyCastle (-want +got):\n%s", diff)
			}
			changed := bytes.Clone(der)
			changed[bytes.Index(changed, []byte("ministry"))]++
			if _, err := interop.BouncyTrustList(changed); err == nil {
				t.Error("BouncyCastle takes a list of another name under the signature")
			}
			signer := pki.EncodePEM(pki.PEMCertificate, tr.signer.cert.Raw)
			if _, err := interop.VerifyTrustList(signer, der); err != nil {
				t.Error(err)
			}
			if err := interop.VerifyLinkAt(pki.EncodePEM(pki.PEMCertificate, tr.industry.cert.Raw), signer, made); err != nil {
				t.Error(err)
			}
			if _, err := interop.VerifyTrustList(pki.EncodePEM(pki.PEMCertificate, tr.one.cert.Raw), der); err == nil {
				t.Error("openssl verifies the signature under another key")
			}
		})
	}
}
