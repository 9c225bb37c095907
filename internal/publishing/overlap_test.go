package publishing_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
)

// A Directory that gets another name takes the place of the one before, which
// is retired, and no valid certificate goes.
func TestRenamedDirectory(t *testing.T) {
	f := newFixture(t, nil)
	a := f.Issue(t, "CN=A,C=CN")[0]
	pt.Holds(t, f.reader, pt.CertificateEntry(a), userCertificate, a.Certificate)
	f.await(t, "compared", verifiedAfter(time.Time{}))
	renamed := f.spec
	renamed.Name = "renamed"
	f.Declare(t, authority.Settings{Key: pt.Key, Directories: []string{renamed.ID()}})
	f.await(t, "the CA left the old one", func(publishing.ServerStatus) bool {
		return pt.Values(t, f.reader, pt.CertificateEntry(a), userCertificate) == nil
	})
	var overlap *publishing.OverlapError
	if err := f.svc.Accept(t.Context(), renamed); !errors.As(err, &overlap) || overlap.Namespace+"/"+overlap.Name != id {
		t.Fatalf("accept: got %v, want an overlap with %s", err, id)
	}
	if err := f.svc.Retire(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := f.svc.Accept(t.Context(), renamed); err != nil {
		t.Fatal(err)
	}
	pt.Holds(t, f.reader, pt.CertificateEntry(a), userCertificate, a.Certificate)
	if _, ok := f.svc.Status(id); ok {
		t.Error("the retired directory is still published")
	}
	if _, err := publishing.Entries(t.Context(), f.Store, id); err == nil || !strings.Contains(err.Error(), "retired") {
		t.Errorf("entries of a retired directory: %v", err)
	}
	if err := f.svc.Accept(t.Context(), f.spec); !errors.As(err, &overlap) {
		t.Errorf("accept the old one again: got %v, want an overlap", err)
	}

	// It stays retired in a process that starts anew.
	f.stop()
	f.run(t)
	pt.Eventually(t, 20*time.Second, "is published after the restart", func() error {
		if s, ok := f.svc.Status(renamed.ID()); !ok || s.VerifiedAt.IsZero() {
			return errors.New("not compared")
		}
		return nil
	})
	if _, ok := f.svc.Status(id); ok || pt.Values(t, f.reader, pt.CertificateEntry(a), userCertificate) == nil {
		t.Error("the retired directory works again")
	}
}

func TestOverlap(t *testing.T) {
	spec := func(name, base, url string) publishing.Spec {
		return publishing.Spec{Namespace: "ns", Name: name, Base: base, Master: publishing.Server{Name: "master", URL: url}}
	}
	retired := spec("b", "dc=cn", "ldaps://a")
	retired.Retired = true
	for name, test := range map[string]struct {
		other publishing.Spec
		want  bool
	}{
		"the same object":      {spec("a", "dc=cn", "ldaps://a"), false},
		"the same place":       {spec("b", "DC=cn", "ldaps://A:636"), true},
		"a base below":         {spec("b", "ou=x,dc=cn", "ldaps://a"), true},
		"another server":       {spec("b", "dc=cn", "ldaps://b"), false},
		"another port":         {spec("b", "dc=cn", "ldaps://a:1636"), false},
		"another base":         {spec("b", "dc=com", "ldaps://a"), false},
		"the other is retired": {retired, false},
	} {
		a := spec("a", "dc=cn", "ldaps://a")
		err := publishing.Overlap(a, []publishing.Server{a.Master}, test.other, []publishing.Server{test.other.Master})
		if (err != nil) != test.want {
			t.Errorf("%s: got %v, want an error: %t", name, err, test.want)
		}
	}
}

// A master that comes back empty is filled again by the next change, not by the
// next comparison an hour later.
func TestEmptiedMasterIsFilledAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	records := f.Issue(t, "CN=A,C=CN", "CN=B,C=CN")
	pt.Holds(t, f.reader, pt.CertificateEntry(records[1]), userCertificate, records[1].Certificate)
	f.await(t, "compared", verifiedAfter(time.Time{}))
	f.master.Empty(t)
	c := f.Issue(t, "CN=C,C=CN")[0]
	pt.Holds(t, f.reader, pt.CertificateEntry(c), userCertificate, c.Certificate)
	for _, r := range records {
		pt.Holds(t, f.reader, pt.CertificateEntry(r), userCertificate, r.Certificate)
	}
	filled := func() bool {
		entries, err := f.reader.Get(t.Context(), []string{slapdtest.Base})
		return err == nil && directory.IsFilled(entries[0])
	}
	pt.Eventually(t, 20*time.Second, "marked as filled", func() error {
		if !filled() {
			return errors.New("no mark")
		}
		return nil
	})
}
