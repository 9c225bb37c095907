package directory_test

import (
	"crypto/x509/pkix"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

// TestNamesThatSlapdTakes: what is written by a layout is found again under the
// same name, whatever the subject.
func TestNamesThatSlapdTakes(t *testing.T) {
	f := newField(t)
	layout := newLayout(t, directory.NamingSubject, directory.Business)
	p := directory.NewPublisher(layout, f.master.Client(t, slapdtest.Writer))
	rest := directory.MaxRDN - len("cn=+serialNumber=") - 40
	ca := directorytest.NewCA(t, strings.Repeat("a", directory.MaxRDN-len("ou=")))
	batch := []directory.Publication{ca.Authority(nil)}
	for i, cn := range []string{
		"张三", "张三", "", "  two  spaces ", "#number", `"quoted", a+b=c;<d>\`, "CaSe", "case", "Ünïcödé", "ligature ﬁ", "0x00",
		strings.Repeat("x", rest), strings.Repeat("x", rest+1), strings.Repeat("长", 64), "\u3000full width\u3000",
	} {
		serial := directorytest.Serial(i + 1)
		batch = append(batch, directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{Serial: serial, State: directory.StateIssued,
			DER: ca.Issue(t, serial, pkix.Name{CommonName: cn, Organization: []string{"O", cn + "o"}})}})
	}
	for _, want := range []directory.Published{{Added: len(batch), Base: true}, {Unchanged: len(batch)}} {
		got, err := p.Publish(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	f.push(t)
	f.compare(t)
	f.same(t)
	for _, s := range f.pusher.Status() {
		if s.Drift.Total() != 0 || s.Pushed != int64(len(batch)+1) {
			t.Errorf("got %+v, want %d pushed and no drift", s, len(batch)+1)
		}
	}
	for i := range batch[1:] {
		batch[i+1].Certificate.State = directory.StateRevoked
	}
	if got, err := p.Publish(t.Context(), batch); err != nil || got.Deleted != len(batch)-1 {
		t.Errorf("revoked: %+v, %v", got, err)
	}
	f.push(t)
	f.same(t)
}
