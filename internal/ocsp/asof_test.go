package ocsp_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/ocsp"
)

// second is the start in whole seconds, as responses tell time.
var second = start.Truncate(time.Second)

// TestResponseSaysSinceWhenItIsRight: a copy of the record answers as of when it
// was right, until nextUpdate and no longer (RFC 6960 §2.4, §4.2.2.1).
func TestResponseSaysSinceWhenItIsRight(t *testing.T) {
	for name, c := range map[string]struct {
		asOf       time.Duration // before now; zero: the record itself
		wantStatus ocsp.ResponseStatus
		wantThis   time.Duration // before now
		refresh    time.Duration // after now
	}{
		"the record itself":              {0, ocsp.Successful, 0, 30 * time.Minute},
		"a copy that is pushed to":       {10 * time.Second, ocsp.Successful, 10 * time.Second, 29*time.Minute + 55*time.Second},
		"a copy that nobody pushed to":   {50 * time.Minute, ocsp.Successful, 50 * time.Minute, 5 * time.Minute},
		"a copy just before nextUpdate":  {time.Hour - time.Second, ocsp.Successful, time.Hour - time.Second, time.Second / 2},
		"a copy at nextUpdate":           {time.Hour, ocsp.TryLater, 0, 0},
		"a copy that is older":           {20 * time.Hour, ocsp.TryLater, 0, 0},
		"a copy of before the clock was": {-time.Hour, ocsp.Successful, 0, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 0)
			w.now = second
			if c.asOf != 0 {
				w.source.SetAsOf(second.Add(-c.asOf))
			}
			der, meta := w.responder.Respond(t.Context(), w.ca.Request(t, ocsp.SM3, nil, issued))
			if meta.Status != c.wantStatus {
				t.Fatalf("status is %v, %v, want %v", meta.Status, meta.Err, c.wantStatus)
			}
			if meta.Status != ocsp.Successful {
				return
			}
			got, err := ocsp.ParseResponse(der, w.ca.Certificate, second)
			if err != nil {
				t.Fatal(err)
			}
			this := second.Add(-c.wantThis)
			if r := got.Responses[0]; !r.ThisUpdate.Equal(this) || !r.NextUpdate.Equal(this.Add(time.Hour)) || !got.ProducedAt.Equal(second) {
				t.Errorf("this update %s, next %s, produced at %s; want %s, an hour later, %s", r.ThisUpdate, r.NextUpdate, got.ProducedAt, this, second)
			}
			if !meta.RefreshAt.Equal(second.Add(c.refresh)) {
				t.Errorf("refresh at %s, want %s", meta.RefreshAt, second.Add(c.refresh))
			}
		})
	}
}

func TestCacheOutlivesTheTimeOfTheSource(t *testing.T) {
	w := newWorld(t, 0)
	w.now = second
	request := w.ca.Request(t, ocsp.SHA1, nil, issued)
	w.source.SetAsOf(second)
	first, _ := w.responder.Respond(t.Context(), request)
	w.now = second.Add(10 * time.Minute)
	w.source.SetAsOf(w.now) // a push came
	if again, meta := w.responder.Respond(t.Context(), request); !meta.Cached || !bytes.Equal(first, again) {
		t.Errorf("after a push that changed nothing: cached %t", meta.Cached)
	}
	// Nobody pushes any more: what is cached ends with its nextUpdate like what is signed.
	w.ca.Responder = w.ca.Issue(t, w.ca.ResponderKey, second.Add(-time.Minute), second.Add(24*time.Hour), smx509.ExtKeyUsageOCSPSigning)
	w.serve(t, w.ca.Authority(t))
	w.now = second.Add(60 * time.Minute)
	_, meta := w.responder.Respond(t.Context(), request)
	if want := second.Add(70 * time.Minute); meta.Cached || !meta.NextUpdate.Equal(want) {
		t.Errorf("next update %s, cached %t, want %s", meta.NextUpdate, meta.Cached, want)
	}
	w.now = meta.NextUpdate
	if _, meta := w.responder.Respond(t.Context(), request); meta.Status != ocsp.TryLater {
		t.Errorf("at nextUpdate: %v, want tryLater", meta.Status)
	}
}
