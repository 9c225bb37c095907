package ocsp_test

import (
	"bytes"
	"context"
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

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Serials of the world's CA.
const (
	issued    pki.Serial = "01AA"
	revoked   pki.Serial = "01BB"
	abandoned pki.Serial = "01CC"
	never     pki.Serial = "01DD"
)

type world struct {
	ca, other *ocsptest.CA
	source    *ocsptest.Source
	shared    *ocsp.Shared
	responder *ocsp.Responder
	now       time.Time
}

func newWorld(t testing.TB, cacheSize int) *world {
	t.Helper()
	return newWorldOn(t, &ocsptest.Source{}, ocsp.SharedConfig{CacheEntries: cacheSize})
}

func newWorldOn(t testing.TB, source *ocsptest.Source, c ocsp.SharedConfig) *world {
	t.Helper()
	w := &world{ca: ocsptest.NewCA(t, "a", start), other: ocsptest.NewCA(t, "b", start), source: source, now: start}
	w.source.Set(w.ca.Key, issued, ocsp.Status{State: ocsp.Good})
	w.source.Set(w.other.Key, issued, ocsp.Status{State: ocsp.Good})
	w.source.Set(w.ca.Key, revoked, ocsp.Status{State: ocsp.Revoked, RevokedAt: start.Add(-time.Hour), Reason: pki.ReasonKeyCompromise})
	w.source.Set(w.ca.Key, abandoned, ocsp.Status{State: ocsp.Revoked, RevokedAt: start.Add(-time.Hour), Reason: pki.ReasonCessationOfOperation})
	var err error
	if w.shared, err = ocsp.NewShared(c); err != nil {
		t.Fatal(err)
	}
	w.responder, err = ocsp.NewResponder(ocsp.Config{Source: w.source, Validity: time.Hour, Shared: w.shared, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.serve(t, w.ca.Authority(t), w.other.Authority(t))
	return w
}

func (w *world) serve(t testing.TB, authorities ...*ocsp.Authority) {
	t.Helper()
	if err := w.responder.Replace(authorities); err != nil {
		t.Fatal(err)
	}
}

func (w *world) states(t testing.TB, request []byte) []ocsp.State {
	t.Helper()
	der, meta := w.responder.Respond(t.Context(), request)
	if meta.Status != ocsp.Successful {
		t.Fatalf("response is %v: %v", meta.Status, meta.Err)
	}
	got, err := ocsp.ParseResponse(der, w.ca.Certificate, w.now)
	if err != nil {
		t.Fatal(err)
	}
	var states []ocsp.State
	for _, r := range got.Responses {
		states = append(states, r.State)
	}
	if diff := cmp.Diff(meta.States, states); diff != "" {
		t.Errorf("Meta.States and the response differ (-meta +response):\n%s", diff)
	}
	return states
}

func TestRespond(t *testing.T) {
	w := newWorld(t, 0)
	for _, hash := range []ocsp.Hash{ocsp.SHA1, ocsp.SHA256, ocsp.SM3} {
		nonce := bytes.Repeat([]byte{7}, 32)
		request := w.ca.Request(t, hash, nonce, issued, revoked, abandoned, never)
		der, meta := w.responder.Respond(t.Context(), request)
		if meta.Status != ocsp.Successful || meta.Reusable || meta.Cached {
			t.Fatalf("meta is %+v", meta)
		}
		got, err := ocsp.ParseResponse(der, w.ca.Certificate, start)
		if err != nil {
			t.Fatal(err)
		}
		sec := start.Truncate(time.Second)
		single := func(serial pki.Serial, s ocsp.Status) ocsp.SingleResponse {
			s.RevokedAt = s.RevokedAt.Truncate(time.Second)
			return ocsp.SingleResponse{CertID: w.ca.CertID(t, hash, serial), Status: s, ThisUpdate: sec, NextUpdate: sec.Add(time.Hour)}
		}
		want := &ocsp.Response{Status: ocsp.Successful, ProducedAt: sec, Nonce: nonce, Certificate: w.ca.Responder, Responses: []ocsp.SingleResponse{
			single(issued, ocsp.Status{State: ocsp.Good}),
			single(revoked, ocsp.Status{State: ocsp.Revoked, RevokedAt: start.Add(-time.Hour), Reason: pki.ReasonKeyCompromise}),
			single(abandoned, ocsp.Status{State: ocsp.Revoked, RevokedAt: start.Add(-time.Hour), Reason: pki.ReasonCessationOfOperation}),
			single(never, ocsp.Status{State: ocsp.Unknown}),
		}}
		equal := cmp.Comparer(func(a, b *smx509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Errorf("response (-want +got):\n%s", diff)
		}
	}
}

func TestRespondAcrossCAs(t *testing.T) {
	w := newWorld(t, 0)
	mine, others := w.ca.CertID(t, ocsp.SM3, issued), w.other.CertID(t, ocsp.SHA1, issued)
	if diff := cmp.Diff([]ocsp.State{ocsp.Good, ocsp.Unknown}, w.states(t, ocsptest.Marshal(t, nil, mine, others))); diff != "" {
		t.Errorf("two CAs (-want +got):\n%s", diff)
	}
	stranger := ocsptest.NewCA(t, "c", start)
	foreign := stranger.CertID(t, ocsp.SHA1, issued)
	if diff := cmp.Diff([]ocsp.State{ocsp.Unknown, ocsp.Good}, w.states(t, ocsptest.Marshal(t, nil, foreign, mine))); diff != "" {
		t.Errorf("first CA is not served (-want +got):\n%s", diff)
	}
}

// badSigner signs nothing, or something else.
type badSigner struct {
	*sm2.PrivateKey
	err error
}

func (b badSigner) SignMessage(r io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.PrivateKey.SignMessage(r, append([]byte{0}, msg...), opts)
}

func TestRespondErrors(t *testing.T) {
	broken := errors.New("is away")
	with := func(t *testing.T, w *world, signer crypto.MessageSigner) {
		a, err := ocsp.NewAuthority(w.ca.Key, w.ca.Certificate, w.ca.Responder, signer)
		if err != nil {
			t.Fatal(err)
		}
		w.serve(t, a)
	}
	tests := map[string]struct {
		prepare func(*testing.T, *world)
		request []byte
		want    ocsp.ResponseStatus
	}{
		"garbage":              {request: []byte("hello"), want: ocsp.MalformedRequest},
		"CA is not served":     {prepare: func(t *testing.T, w *world) { w.serve(t) }, want: ocsp.Unauthorized},
		"source is away":       {prepare: func(_ *testing.T, w *world) { w.source.Fail(broken) }, want: ocsp.TryLater},
		"device is away":       {prepare: func(t *testing.T, w *world) { with(t, w, badSigner{w.ca.ResponderKey, broken}) }, want: ocsp.TryLater},
		"device is faulty":     {prepare: func(t *testing.T, w *world) { with(t, w, badSigner{w.ca.ResponderKey, nil}) }, want: ocsp.InternalError},
		"certificate is over":  {prepare: func(_ *testing.T, w *world) { w.now = start.Add(25 * time.Hour) }, want: ocsp.TryLater},
		"certificate is early": {prepare: func(_ *testing.T, w *world) { w.now = start.Add(-2 * time.Hour) }, want: ocsp.TryLater},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 0)
			if test.prepare != nil {
				test.prepare(t, w)
			}
			request := test.request
			if request == nil {
				request = w.ca.Request(t, ocsp.SHA1, nil, issued)
			}
			der, meta := w.responder.Respond(t.Context(), request)
			if meta.Status != test.want || meta.Err == nil || meta.Reusable {
				t.Errorf("meta is %+v, want status %v with an error", meta, test.want)
			}
			got, err := ocsp.ParseResponse(der, w.ca.Certificate, start)
			if err != nil || got.Status != test.want || got.Responses != nil {
				t.Errorf("response is %+v, %v", got, err)
			}
		})
	}
}

func TestCache(t *testing.T) {
	w := newWorld(t, 0)
	request := w.ca.Request(t, ocsp.SHA1, nil, issued)
	respond := func(request []byte) ([]byte, ocsp.Meta) { return w.responder.Respond(t.Context(), request) }
	first, meta := respond(request)
	if !meta.Reusable || meta.Cached {
		t.Fatalf("first: meta is %+v", meta)
	}
	w.now = start.Add(20 * time.Minute)
	if again, meta := respond(request); !meta.Cached || !bytes.Equal(first, again) {
		t.Errorf("within half of the validity: cached %t", meta.Cached)
	}
	w.source.Set(w.ca.Key, issued, ocsp.Status{State: ocsp.Revoked, RevokedAt: w.now})
	if _, meta := respond(request); meta.Cached || meta.States[0] != ocsp.Revoked {
		t.Errorf("after revocation: meta is %+v", meta)
	}
	w.source.Fail(errors.New("is away"))
	if _, meta := respond(request); meta.Status != ocsp.TryLater {
		t.Errorf("source is away: status is %v, want tryLater although a response is cached", meta.Status)
	}
	w.source.Fail(nil)
	w.now = start.Add(50*time.Minute + time.Second)
	if _, meta := respond(request); meta.Cached {
		t.Error("half of the validity later: cached")
	}
	for name, request := range map[string][]byte{
		"nonce":   w.ca.Request(t, ocsp.SHA1, []byte{1}, issued),
		"two":     w.ca.Request(t, ocsp.SHA1, nil, issued, revoked),
		"unknown": w.ca.Request(t, ocsp.SHA1, nil, never),
	} {
		respond(request)
		if _, meta := respond(request); meta.Cached || meta.Reusable || meta.Status != ocsp.Successful {
			t.Errorf("%s: meta is %+v, want a fresh response", name, meta)
		}
	}
	sm3 := w.ca.Request(t, ocsp.SM3, nil, issued)
	if _, meta := respond(sm3); meta.Cached {
		t.Error("other CertID hash: cached")
	}
}

func TestCacheFollowsTheCertificate(t *testing.T) {
	w := newWorld(t, 0)
	request := w.ca.Request(t, ocsp.SHA1, nil, issued)
	w.responder.Respond(t.Context(), request)
	w.serve(t, w.ca.Authority(t)) // the same certificate again
	if _, meta := w.responder.Respond(t.Context(), request); !meta.Cached {
		t.Error("same certificate: not cached")
	}
	w.ca.Responder = w.ca.Issue(t, w.ca.ResponderKey, start.Add(-time.Minute), start.Add(10*time.Minute), smx509.ExtKeyUsageOCSPSigning)
	w.serve(t, w.ca.Authority(t))
	der, meta := w.responder.Respond(t.Context(), request)
	if meta.Cached || !meta.NextUpdate.Equal(w.ca.Responder.NotAfter) {
		t.Errorf("new certificate: cached %t, next update %s, want the certificate's end %s", meta.Cached, meta.NextUpdate, w.ca.Responder.NotAfter)
	}
	if got, err := ocsp.ParseResponse(der, w.ca.Certificate, start); err != nil || !bytes.Equal(got.Certificate.Raw, w.ca.Responder.Raw) {
		t.Errorf("new certificate is not in the response: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t, 2)
	ask := func(serial pki.Serial) bool {
		_, meta := w.responder.Respond(t.Context(), w.ca.Request(t, ocsp.SHA1, nil, serial))
		return meta.Cached
	}
	ask(issued)
	ask(revoked)
	if !ask(issued) {
		t.Error("one of two is not cached")
	}
	ask(abandoned) // puts out revoked, which was used longest ago
	if !ask(issued) || !ask(abandoned) {
		t.Error("what was used last is not cached")
	}
	if ask(revoked) {
		t.Error("a third response is cached; the bound is 2")
	}
	if w := newWorld(t, -1); true {
		request := w.ca.Request(t, ocsp.SHA1, nil, issued)
		w.responder.Respond(t.Context(), request)
		if _, meta := w.responder.Respond(t.Context(), request); meta.Cached {
			t.Error("cached without a cache")
		}
	}
}

func TestRespondConcurrently(t *testing.T) {
	w := newWorld(t, 2)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				serial := []pki.Serial{issued, revoked, abandoned, never}[(i+j)%4]
				der, meta := w.responder.Respond(context.Background(), w.ca.Request(t, ocsp.SM3, nil, serial))
				got, err := ocsp.ParseResponse(der, w.ca.Certificate, start)
				if err != nil || got.Responses[0].CertID.Serial != serial || got.Responses[0].State != meta.States[0] {
					t.Errorf("serial %s: %+v, %v", serial, got, err)
				}
				if j == 10 {
					if err := w.responder.Replace([]*ocsp.Authority{w.ca.Authority(t)}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestNewAuthority(t *testing.T) {
	a, b := ocsptest.NewCA(t, "a", start), ocsptest.NewCA(t, "b", start)
	twin := ocsptest.NewCA(t, "a", start) // same name, other key
	end := start.Add(time.Hour)
	tests := map[string]struct {
		certificate *smx509.Certificate
		signer      crypto.MessageSigner
		wantErr     string
	}{
		"right":              {certificate: a.Responder, signer: a.ResponderKey},
		"of another CA":      {certificate: b.Responder, signer: b.ResponderKey, wantErr: "issuer is not the subject"},
		"of a namesake":      {certificate: twin.Responder, signer: twin.ResponderKey, wantErr: "signature does not verify"},
		"not for OCSP":       {certificate: a.Issue(t, a.ResponderKey, start, end, smx509.ExtKeyUsageServerAuth), signer: a.ResponderKey, wantErr: "id-kp-OCSPSigning"},
		"another key":        {certificate: a.Responder, signer: b.ResponderKey, wantErr: "another key"},
		"no signer":          {certificate: a.Responder, wantErr: "are needed"},
		"the CA certificate": {certificate: a.Certificate, signer: a.PrivateKey, wantErr: "id-kp-OCSPSigning"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ocsp.NewAuthority(a.Key, a.Certificate, test.certificate, test.signer)
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("error is %v, want %q", err, test.wantErr)
			}
		})
	}
	r, err := ocsp.NewResponder(ocsp.Config{Source: &ocsptest.Source{}, Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Replace([]*ocsp.Authority{a.Authority(t), a.Authority(t)}); err == nil {
		t.Error("two authorities of one CA key are taken")
	}
}

func TestParseResponseRefuses(t *testing.T) {
	w := newWorld(t, 0)
	der, _ := w.responder.Respond(t.Context(), w.ca.Request(t, ocsp.SHA1, []byte{1, 2, 3}, issued))
	if _, err := ocsp.ParseResponse(der, w.other.Certificate, start); err == nil {
		t.Error("taken for another CA")
	}
	if _, err := ocsp.ParseResponse(der, w.ca.Certificate, start.Add(48*time.Hour)); err == nil {
		t.Error("taken after the end of the responder certificate")
	}
	refused := 0
	for i := range der {
		bad := bytes.Clone(der)
		bad[i] ^= 1
		if got, err := ocsp.ParseResponse(bad, w.ca.Certificate, start); err != nil {
			refused++
		} else if got.Status == ocsp.Successful {
			t.Errorf("a changed byte %d of %d is not seen", i, len(der))
		}
	}
	if refused < len(der)-1 {
		t.Errorf("%d of %d changes are refused", refused, len(der))
	}
}

func TestResponseAsOpenSSLSeesIt(t *testing.T) {
	w := newWorld(t, 0)
	for _, hash := range []ocsp.Hash{ocsp.SHA1, ocsp.SHA256, ocsp.SM3} {
		der, _ := w.responder.Respond(t.Context(), w.ca.Request(t, hash, bytes.Repeat([]byte{0xab}, 16), issued, revoked, never))
		text := ocsptest.ResponseText(t, der)
		for _, want := range []string{
			"OCSP Response Status: successful (0x0)", "Hash Algorithm: " + map[ocsp.Hash]string{ocsp.SHA1: "sha1", ocsp.SHA256: "sha256", ocsp.SM3: "sm3"}[hash],
			"Serial Number: 01AA\n    Cert Status: good", "Serial Number: 01BB\n    Cert Status: revoked", "Reason: keyCompromise (0x1)",
			"Revocation Time: Mar  1 07:00:00 2026 GMT", "Serial Number: 01DD\n    Cert Status: unknown", "This Update: Mar  1 08:00:00 2026 GMT",
			"Next Update: Mar  1 09:00:00 2026 GMT", "OCSP Nonce", "0410ABABAB", "Signature Algorithm: SM2-with-SM3", "OCSP Signing",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("openssl ocsp -resp_text does not say %q:\n%s", want, text)
			}
		}
		ocsptest.VerifySignature(t, der, w.ca.Responder)
	}
	der, _ := w.responder.Respond(t.Context(), []byte("hello"))
	if text := ocsptest.OpenSSL(t, "asn1parse", "-inform", "DER", "-in", writeTemp(t, der)); !strings.Contains(text, "ENUMERATED        :01") {
		t.Errorf("error response:\n%s", text)
	}
}
