package interop

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
)

func runBatch(t *testing.T, b *Batch) {
	t.Helper()
	if err := b.Run(); err != nil {
		t.Fatal(err)
	}
}

func TestBouncyCastleJudgesPaths(t *testing.T) {
	tr := newTree(t)
	imposter := issue(t, &tr.root, "CA", caTemplate())
	short := caTemplate()
	short.MaxPathLen, short.MaxPathLenZero = 0, true
	narrow := issue(t, &tr.root, "No CA below", short)
	tooDeep := issue(t, &narrow, "Too deep", caTemplate())
	deepLeaf := issue(t, &tooDeep, "Deep leaf", leafTemplate())
	arl := list(t, tr.root, 0)
	crl := list(t, tr.ca, 0, tr.revoked)
	mid := [][]byte{tr.ca.pem()}
	var b Batch
	cases := map[string]struct {
		q    PathQuery
		want string // "": valid
	}{
		"valid":                   {PathQuery{CRLs: [][]byte{crl, arl}}, ""},
		"revoked leaf":            {PathQuery{Leaf: tr.revoked.pem(), CRLs: [][]byte{crl, arl}}, "is revoked"},
		"revoked CA":              {PathQuery{CRLs: [][]byte{crl, list(t, tr.root, 0, tr.ca)}}, "is revoked"},
		"no CRL of the CA":        {PathQuery{CRLs: [][]byte{arl}}, "CRL"},
		"no ARL of the root":      {PathQuery{CRLs: [][]byte{crl}}, "CRL"},
		"tampered CRL":            {PathQuery{CRLs: [][]byte{flip(crl, 3), arl}}, "CRL"},
		"CRL of an imposter":      {PathQuery{CRLs: [][]byte{list(t, imposter, 0), arl}}, "CRL"},
		"expired CRL":             {PathQuery{CRLs: [][]byte{list(t, tr.ca, -3*time.Hour), arl}}, "CRL"},
		"expired CRL, when valid": {PathQuery{CRLs: [][]byte{list(t, tr.ca, -3*time.Hour), list(t, tr.root, -3*time.Hour)}, At: time.Now().Add(-3 * time.Hour)}, ""},
		"after the leaf":          {PathQuery{CRLs: [][]byte{crl, arl}, At: time.Now().Add(100 * time.Hour)}, "path"},
		"imposter above":          {PathQuery{Intermediates: [][]byte{imposter.pem()}, CRLs: [][]byte{crl, arl}}, "path"},
		"another root":            {PathQuery{Root: issue(t, nil, "Root", caTemplate()).pem(), CRLs: [][]byte{crl, arl}}, "path"},
		"path length": {PathQuery{
			Leaf: deepLeaf.pem(), Intermediates: [][]byte{narrow.pem(), tooDeep.pem()},
			CRLs: [][]byte{arl, list(t, narrow, 0), list(t, tooDeep, 0)},
		}, "path length"},
		"no certificate": {PathQuery{Leaf: []byte("nothing"), CRLs: [][]byte{crl, arl}}, "parsing issue"},
	}
	answers := map[string]*Answer[PathResult]{}
	for name, c := range cases {
		q := c.q
		if q.Root == nil {
			q.Root = tr.root.pem()
		}
		if q.Leaf == nil {
			q.Leaf = tr.leaf.pem()
		}
		if q.Intermediates == nil {
			q.Intermediates = mid
		}
		answers[name] = b.Path(q)
	}
	runBatch(t, &b)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { requireVerdict(t, answers[name].Err, c.want) })
	}
	if diff := cmp.Diff([]string{"CN=Leaf,O=Interop,C=CN", "CN=CA,O=Interop,C=CN"}, answers["valid"].Value.Subjects); diff != "" {
		t.Errorf("path (-want +got):\n%s", diff)
	}
	for name, index := range map[string]int{"revoked leaf": 0, "revoked CA": 1} {
		if err := RequireRevoked(answers[name].Err, index); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var revoked *RevokedError
	if errors.As(answers["revoked leaf"].Err, &revoked) && revoked.Serial != tr.revoked.cert.SerialNumber.Text(16) {
		t.Errorf("revoked serial %s, want %x", revoked.Serial, tr.revoked.cert.SerialNumber)
	}
	for name, index := range map[string]int{"valid": 0, "expired CRL": 0, "revoked CA": 0} {
		if RequireRevoked(answers[name].Err, index) == nil {
			t.Errorf("%s: RequireRevoked accepts it at %d", name, index)
		}
	}
	if err := VerifyPath(tr.revoked.pem(), [][]byte{tr.ca.pem(), tr.root.pem()}, [][]byte{crl, arl}); RequireRevoked(err, 0) != nil {
		t.Errorf("VerifyPath: %v, want revoked", err)
	}
}

func TestBouncyCastleJudgesLists(t *testing.T) {
	tr := newTree(t)
	noSign := caTemplate()
	noSign.KeyUsage = smx509.KeyUsageCertSign
	mute := issue(t, &tr.root, "CA without cRLSign", noSign)
	muteList := list(t, entity{mute.key, withUsage(mute.cert)}, 0)
	der := list(t, tr.ca, 0, tr.revoked)
	imposter := issue(t, &tr.root, "CA", caTemplate())
	var b Batch
	cases := map[string]struct {
		q    CRLQuery
		want string
	}{
		"good":         {CRLQuery{tr.ca.pem(), der, time.Time{}}, ""},
		"empty":        {CRLQuery{tr.ca.pem(), list(t, tr.ca, 0), time.Time{}}, ""},
		"tampered":     {CRLQuery{tr.ca.pem(), flip(der, 3), time.Time{}}, "crl"},
		"wrong issuer": {CRLQuery{tr.root.pem(), der, time.Time{}}, "crl"},
		"imposter":     {CRLQuery{imposter.pem(), der, time.Time{}}, "crl"},
		"expired":      {CRLQuery{tr.ca.pem(), list(t, tr.ca, -3*time.Hour), time.Time{}}, "expired"},
		"too early":    {CRLQuery{tr.ca.pem(), der, time.Now().Add(-5 * time.Hour)}, "not yet valid"},
		"no cRLSign":   {CRLQuery{mute.pem(), muteList, time.Time{}}, "cRLSign"},
		"delta":        {CRLQuery{tr.ca.pem(), delta(t, tr.ca, tr.revoked, tr.leaf), time.Time{}}, ""},
		"garbage":      {CRLQuery{tr.ca.pem(), []byte{0x30, 0}, time.Time{}}, "crl"},
	}
	answers := map[string]*Answer[CRL]{}
	for name, c := range cases {
		answers[name] = b.CRL(c.q)
	}
	runBatch(t, &b)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { requireVerdict(t, answers[name].Err, c.want) })
	}
	got := answers["good"].Value
	if len(got.Entries) != 1 || got.Entries[0].Serial != tr.revoked.cert.SerialNumber.Text(16) || got.Entries[0].Reason != "keyCompromise" {
		t.Errorf("entries %+v, want %x for keyCompromise", got.Entries, tr.revoked.cert.SerialNumber)
	}
	if got.Number != "7" || got.Issuer != "CN=CA,O=Interop,C=CN" || got.NextUpdate.Sub(got.ThisUpdate) != 2*time.Hour || got.DistributionPoint != nil {
		t.Errorf("list %+v", got)
	}
	changes := answers["delta"].Value
	reasons := map[string]string{}
	for _, e := range changes.Entries {
		reasons[e.Serial] = e.Reason
	}
	want := map[string]string{tr.revoked.cert.SerialNumber.Text(16): "removeFromCRL", tr.leaf.cert.SerialNumber.Text(16): "keyCompromise"}
	point := &DistributionPoint{Critical: true, URLs: []string{"http://pki.example/crl/ca-s0.crl"}}
	if changes.Number != "9" || changes.BaseNumber != "7" || !cmp.Equal(reasons, want) || !cmp.Equal(changes.DistributionPoint, point) {
		t.Errorf("delta %+v", changes)
	}
}

// withUsage lets gmsm sign a list for a certificate that may not.
func withUsage(c *smx509.Certificate) *smx509.Certificate {
	changed := *c
	changed.KeyUsage |= smx509.KeyUsageCRLSign
	return &changed
}

func TestBouncyCastleJudgesOCSP(t *testing.T) {
	tr := newTree(t)
	responder := issue(t, &tr.ca, "OCSP", responderTemplate())
	foreign := issue(t, &tr.root, "Foreign OCSP", responderTemplate())
	noPurpose := issue(t, &tr.ca, "Leaf as responder", leafTemplate())
	checked := responderTemplate()
	checked.ExtraExtensions = nil
	noNoCheck := issue(t, &tr.ca, "No nocheck", checked)
	old := responderTemplate()
	old.NotBefore, old.NotAfter = time.Now().Add(-3*time.Hour), time.Now().Add(-time.Hour)
	expired := issue(t, &tr.ca, "Expired OCSP", old)
	serials := []*big.Int{tr.leaf.cert.SerialNumber, tr.revoked.cert.SerialNumber, big.NewInt(4711)}
	request := func(hash string, nonce bool, serials ...*big.Int) []byte {
		der, err := BouncyOCSPRequest(tr.ca.pem(), hash, nonce, serials...)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	answer := func(by entity, req []byte, options ...string) []byte {
		return respond(t, tr.ca, by, req, []entity{tr.leaf}, []entity{tr.revoked}, options...)
	}
	sm3, sm3Again, bare := request("sm3", true, serials...), request("sm3", true, serials...), request("sm3", false, serials...)
	sha1, sha256 := request("sha1", true, serials...), request("sha256", true, serials...)
	good := answer(responder, sm3)
	var b Batch
	cases := map[string]struct {
		request, response []byte
		at                time.Time
		want              string
	}{
		"sm3":                 {sm3, good, time.Time{}, ""},
		"sha1":                {sha1, answer(responder, sha1), time.Time{}, ""},
		"sha256":              {sha256, answer(responder, sha256), time.Time{}, ""},
		"no nonce":            {bare, answer(responder, bare), time.Time{}, ""},
		"wrong nonce":         {sm3Again, good, time.Time{}, "nonce"},
		"nonce not answered":  {sm3, answer(responder, bare), time.Time{}, "nonce"},
		"wrong hash":          {bare, answer(responder, request("sha1", false, serials...)), time.Time{}, "CertID"},
		"wrong serial":        {bare, answer(responder, request("sm3", false, serials[0])), time.Time{}, "CertID"},
		"tampered":            {sm3, flip(good, len(responder.cert.Raw)+20), time.Time{}, "signature"},
		"responder's cert":    {sm3, flip(good, 3), time.Time{}, "did not sign"},
		"foreign responder":   {sm3, answer(foreign, sm3), time.Time{}, "not by the CA"},
		"no purpose":          {sm3, answer(noPurpose, sm3), time.Time{}, "OCSPSigning"},
		"no nocheck":          {sm3, answer(noNoCheck, sm3), time.Time{}, "nocheck"},
		"responder expired":   {sm3, answer(expired, sm3), time.Time{}, "expired"},
		"answer expired":      {sm3, good, time.Now().Add(30 * time.Hour), "expired"},
		"answer not yet":      {sm3, good, time.Now().Add(-time.Hour), "not yet valid"},
		"no certificate":      {sm3, answer(responder, sm3, "-ndays", "1", "-resp_no_certs"), time.Time{}, "no responder certificate"},
		"responder by key":    {sm3, answer(responder, sm3, "-ndays", "1", "-resp_key_id"), time.Time{}, ""},
		"no nextUpdate":       {sm3, answer(responder, sm3, "-resp_key_id"), time.Time{}, "no nextUpdate"},
		"error response":      {sm3, []byte{0x30, 3, 0x0a, 1, 1}, time.Time{}, "malformedRequest"},
		"not an OCSPResponse": {sm3, []byte("garbage"), time.Time{}, "ocsp"},
	}
	answers := map[string]*Answer[OCSP]{}
	for name, c := range cases {
		answers[name] = b.OCSP(OCSPQuery{tr.ca.pem(), c.request, c.response, c.at})
	}
	runBatch(t, &b)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { requireVerdict(t, answers[name].Err, c.want) })
	}
	for hash, oid := range map[string]string{"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1", "sm3": "1.2.156.10197.1.401"} {
		var got []string
		for _, a := range answers[hash].Value.Answers {
			got = append(got, a.Status+" "+a.Hash+" "+a.Reason)
		}
		want := []string{"good " + oid + " ", "revoked " + oid + " keyCompromise", "unknown " + oid + " "}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", hash, diff)
		}
	}
	if len(answers["sm3"].Value.Nonce) != 64 || answers["no nonce"].Value.Nonce != "" {
		t.Errorf("nonces %q and %q, want 32 bytes and none", answers["sm3"].Value.Nonce, answers["no nonce"].Value.Nonce)
	}
	var status *ResponseStatusError
	if !errors.As(answers["error response"].Err, &status) || status.Status != 1 {
		t.Errorf("error response: %v, want a ResponseStatusError of 1", answers["error response"].Err)
	}
	if got, err := BouncyOCSP(tr.ca.pem(), tr.revoked.pem(), sm3, good); got != "revoked" || err != nil {
		t.Errorf("BouncyOCSP: %q, %v, want revoked", got, err)
	}
	if _, err := BouncyOCSP(tr.ca.pem(), tr.root.pem(), sm3, good); err == nil {
		t.Error("BouncyOCSP finds an answer for a certificate that was not asked for")
	}
}
