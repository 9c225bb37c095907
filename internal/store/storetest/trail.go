package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
)

// marksBeside: auditors mark while the process that issues goes on, and neither
// hinders the other.
func marksBeside(t *testing.T, s *story) {
	shared := s.Shared(t)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			mark, err := audit.Mark{Auditor: "auditor-1", From: 1, To: 2, Tree: s.last.Tree, Size: s.last.Size, Root: s.last.Root, At: time.Now()}.Sign(s.auditor)
			if err == nil {
				_, err = shared.Mark(t.Context(), mark)
			}
			errs[i] = err
		})
	}
	for i := range 8 {
		s.issue(t, fmt.Sprintf("beside-%d", i), 4)
	}
	all.Wait()
	must(t, errors.Join(errs...))
	must(t, s.log.Step(t.Context()))
	if r := s.verify(t, audit.Options{}); !r.OK() || r.Marks != 9 || r.Leaves != r.Signed {
		t.Errorf("%+v, want nine marks and nothing found", r)
	}
	if _, err := shared.Mark(t.Context(), audit.Mark{Auditor: "auditor-1", From: 1, To: 2, Size: 2, PublicKey: []byte("x"), Signature: []byte("y")}); !errors.Is(err, audit.ErrMark) {
		t.Errorf("a mark that nobody signed: %v", err)
	}
}

// goesOn: a write that failed, and one that failed and was persisted all the same,
// and a process that begins anew, give the tree of one that nothing befell.
func goesOn(t *testing.T, s *story) {
	faulty := authoritytest.NewFaulty(s.Store)
	keys := device.NewRegistry()
	service := authority.New(authority.Config{Store: faulty, Keys: keys})
	log := authority.NewAuditLog(service, hsm, logr.Discard())
	boom := errors.New("boom")
	for name, fail := range map[string]func(string, error){"before": faulty.FailBefore, "after": faulty.FailAfter} {
		s.issue(t, name, 2)
		fail("ExtendAudit", boom)
		if err := log.Step(t.Context()); !errors.Is(err, boom) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := log.Step(t.Context()); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("without the device: %v", err)
	}
	if size, err := s.Store.AuditSize(t.Context()); err != nil || size <= s.last.Size {
		t.Errorf("the tree does not grow while the device is away: %d, %v", size, err)
	}
	must(t, keys.Put(hsm, s.device))
	must(t, log.Step(t.Context()))
	if r := s.verify(t, audit.Options{Witnesses: []audit.Witness{{From: "last", Signed: s.last}}}); !r.OK() || r.Leaves != r.Signed {
		t.Errorf("%+v", r)
	}
	next, _, proof, err := log.Proof(t.Context(), s.last.Size)
	must(t, err)
	if err := audit.VerifyConsistency(s.last.Size, next.Size, s.last.Root, next.Root, proof); err != nil {
		t.Error(err)
	}
	s.Unprotect(t)
	s.Exec(t, `DELETE FROM audit_leaves WHERE seq > 3`)
	s.Exec(t, `UPDATE heads SET audit = 3`)
	if err := log.Step(t.Context()); err == nil {
		t.Error("a cut tail is not seen by the process that issues")
	}
}

// search finds leaves by what they tell.
func search(t *testing.T, s *story) {
	n, err := s.Shared(t).Snapshot(t.Context())
	must(t, err)
	defer n.Close()
	for name, tc := range map[string]struct {
		query audit.Query
		want  []string
	}{
		"a serial":            {audit.Query{Serial: string(s.serials[1])}, []string{"intent", "issue", "hold", "act-refused", "release"}},
		"a serial and an act": {audit.Query{Serial: string(s.serials[1]), Act: "hold"}, []string{"hold"}},
		"no such serial":      {audit.Query{Serial: "0102"}, nil},
		"an act":              {audit.Query{Act: "revoke"}, []string{"revoke"}},
		"a subject":           {audit.Query{Subject: "accepted/BusinessCA/tier/people"}, []string{"accept"}},
		"after":               {audit.Query{After: 7, Limit: 2}, []string{"act-refused", "key"}},
		"before all":          {audit.Query{Until: s.started.Add(-time.Hour)}, nil},
		"since the future":    {audit.Query{Since: time.Now().Add(time.Hour)}, nil},
		"a time":              {audit.Query{Since: s.started.Add(-time.Hour), Until: time.Now().Add(time.Hour), Act: "mark"}, []string{"mark"}},
	} {
		if tc.query.Limit == 0 {
			tc.query.Limit = audit.MaxPage
		}
		all, err := n.Leaves(t.Context(), tc.query)
		must(t, err)
		var acts []string
		for _, l := range all {
			acts = append(acts, l.Act)
			if l.Act == "hold" && (l.Operator() != "li@ministry" || l.Result() != audit.ResultDone) || l.Act == "act-refused" && l.Result() != audit.ResultRefused {
				t.Errorf("%s: operator %q, result %s", l, l.Operator(), l.Result())
			}
		}
		if d := cmp.Diff(tc.want, acts); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if _, err := n.Leaves(t.Context(), audit.Query{Limit: audit.MaxPage + 1}); err == nil {
		t.Error("a page without a bound is read")
	}
}
