package publishing_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
	"github.com/terrace-pki/terrace/internal/trustlist"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

func TestTrustListIsPublished(t *testing.T) {
	f := newFixture(t, func(s *publishing.Spec) { s.VerifyInterval = time.Second })
	key := authority.IssuerKey{Authority: "IndustryCA/ns/industry", Generation: 1}
	settings := authority.Settings{Key: key, Directories: []string{id}, OnlyCACertificates: true,
		TrustList: &authority.TrustListSettings{Device: "ns/device", Interval: time.Hour, Overlap: time.Hour}}
	f.Declare(t, settings)
	lists := trustsigner.New(trustsigner.Config{Store: f.Store, Authorities: f.Authorities})
	published := func() {
		t.Helper()
		if made, err := lists.Ensure(t.Context(), key); err != nil || !made {
			t.Fatal(made, err)
		}
		for _, form := range trustlist.Forms {
			list, err := f.Store.CurrentCRL(t.Context(), key.TrustList(), int32(form))
			if err != nil {
				t.Fatal(err)
			}
			entry := "cn=trustlist" + form.Extension() + ",ou=" + key.FileName() + "," + slapdtest.Base
			pt.Holds(t, f.reader, entry, "userSMIMECertificate", list.DER)
			pt.Holds(t, f.reader, entry, "documentVersion", []byte(strconv.FormatInt(list.Number, 10)))
		}
	}
	published()
	often := *settings.TrustList
	often.Interval = time.Nanosecond
	settings.TrustList = &often
	f.Declare(t, settings)
	published()
	// A comparison with the ledger finds nothing amiss, nor takes the lists away.
	f.Declare(t, authority.Settings{Key: key, Directories: []string{id}, OnlyCACertificates: true})
	begin := time.Now()
	if s := f.await(t, "comparison", verifiedAfter(begin.Add(time.Second))); s.DriftTotal != 0 || s.LastError != nil {
		t.Errorf("after work of our own: %+v", s)
	}
	for _, form := range trustlist.Forms {
		if pt.Values(t, f.reader, "cn=trustlist"+form.Extension()+",ou="+key.FileName()+","+slapdtest.Base, "userSMIMECertificate") == nil {
			t.Errorf("the last list is gone: %s", form.Extension())
		}
	}
}
