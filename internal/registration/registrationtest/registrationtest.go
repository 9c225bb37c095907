// Package registrationtest holds the conformance suite of [registration.Store].
// Only tests import it.
package registrationtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/registration"
)

// Open opens a store of one database, each time as another process would, and
// closes it when the test ends.
type Open func(t *testing.T) registration.Store

// Store runs the suite. database is called once for each test of it.
func Store(t *testing.T, database func(t *testing.T) Open) {
	t.Helper()
	tests := map[string]func(*testing.T, Open){
		"first applicant stays":       firstApplicant,
		"first identity sum stays":    firstIdentity,
		"open by several processes":   openConcurrently,
		"open refuses":                openRefuses,
		"take once":                   takeOnce,
		"checks in their order":       checkOrder,
		"take by several processes":   takeConcurrently,
		"take refuses":                takeRefuses,
		"approvals in order, bounded": approvalsInOrder,
		"cancelled context":           cancelled,
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(t, database(t)) })
	}
}

// at has microseconds, which a store keeps.
var at = time.Date(2026, 6, 1, 8, 0, 0, 987654000, time.UTC)

func target(name string) registration.Target {
	return registration.Target{Kind: "CertificateRequest", Namespace: "people", Name: name, Digest: sha256.Sum256([]byte(name))}
}

func request(name string) registration.Opened {
	return registration.Opened{Target: target(name), Applicant: "applicant", At: at}
}

func approval(name, approver string, t registration.Target) registration.Approval {
	return registration.Approval{Namespace: "people", Name: name, Target: t, Approver: approver, Decision: registration.Approve, At: at}
}

func open(t *testing.T, s registration.Store, o registration.Opened) {
	t.Helper()
	if _, err := s.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, s registration.Store, a registration.Approval) {
	t.Helper()
	got, err := s.Take(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "taken", got, a)
}

func approvals(t *testing.T, s registration.Store, of registration.Target) []registration.Approval {
	t.Helper()
	all, err := s.Approvals(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func firstApplicant(t *testing.T, database Open) {
	s := database(t)
	first := request("first")
	open(t, s, first)
	again := first
	again.Applicant, again.At = "somebody else", at.Add(time.Hour)
	for name, s := range map[string]registration.Store{"same process": s, "next process": database(t)} {
		got, err := s.Open(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "opened again, "+name, got, first)
	}
	other := first
	other.Digest[0]++
	_, err := s.Open(t.Context(), other)
	wantError(t, "another digest", err, registration.ErrTargetConflict)
	cluster := registration.Opened{Target: registration.Target{Kind: "IndustryCA", Name: strings.Repeat("x", 253)}, Applicant: "a", At: at}
	open(t, s, cluster)
}

// firstIdentity: a salt and a sum are kept as they are, and so is their absence.
func firstIdentity(t *testing.T, database Open) {
	s := database(t)
	with := request("with")
	with.IdentitySalt, with.IdentitySum = registration.SumIdentity(map[string]string{"identityCard": "11010519491231002X"})
	without := request("without")
	open(t, s, with)
	open(t, s, without)
	for _, first := range []registration.Opened{with, without} {
		again := first
		again.IdentitySalt, again.IdentitySum = registration.SumIdentity(map[string]string{"identityCard": "another"})
		for name, s := range map[string]registration.Store{"same process": s, "next process": database(t)} {
			got, err := s.Open(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, first.Name+" opened again, "+name, got, first)
		}
	}
}

func openConcurrently(t *testing.T, database Open) {
	const processes = 4
	var wg sync.WaitGroup
	got, errs := make([]registration.Opened, processes), make([]error, processes)
	for i := range processes {
		s := database(t)
		o := request("same")
		o.Applicant = fmt.Sprint("applicant ", i)
		wg.Go(func() { got[i], errs[i] = s.Open(t.Context(), o) })
	}
	wg.Wait()
	for i := range processes {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		equal(t, "opened at the same time", got[i], got[0])
	}
}

func openRefuses(t *testing.T, database Open) {
	s := database(t)
	for name, change := range map[string]func(*registration.Opened){
		"kind":      func(o *registration.Opened) { o.Kind = "" },
		"namespace": func(o *registration.Opened) { o.Namespace = strings.Repeat("x", 64) },
		"name":      func(o *registration.Opened) { o.Name = strings.Repeat("x", 254) },
		"applicant": func(o *registration.Opened) { o.Applicant = "" },
		"time":      func(o *registration.Opened) { o.At = time.Time{} },
		"salt":      func(o *registration.Opened) { o.IdentitySum = make([]byte, 32) },
		"sum":       func(o *registration.Opened) { o.IdentitySalt, o.IdentitySum = make([]byte, 16), make([]byte, 31) },
	} {
		o := request("refused")
		change(&o)
		if _, err := s.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one about %q", err, name)
		}
	}
}

func takeOnce(t *testing.T, database Open) {
	s := database(t)
	open(t, s, request("first"))
	first := approval("yes", "officer", target("first"))
	take(t, s, first)
	again := first
	again.At = at.Add(time.Hour)
	for name, s := range map[string]registration.Store{"same process": s, "next process": database(t)} {
		got, err := s.Take(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "taken again, "+name, got, first)
		equal(t, "approvals, "+name, approvals(t, s, target("first")), []registration.Approval{first})
	}
	denied := approval("no", "second officer", target("first"))
	denied.Decision = registration.Deny
	take(t, s, denied)
	equal(t, "approvals", approvals(t, s, target("first")), []registration.Approval{first, denied})
	other := target("first")
	other.Digest[0]++
	equal(t, "approvals of another digest", approvals(t, s, other), []registration.Approval(nil))
}

// checkOrder: each bad approval breaks its own rule and all that are checked later.
func checkOrder(t *testing.T, database Open) {
	s := database(t)
	open(t, s, request("first"))
	take(t, s, approval("taken", "officer", target("first")))
	byApplicant := approval("by-applicant", "applicant", target("first"))
	changed := target("first")
	changed.Digest[0]++
	denied := approval("taken", "officer", target("first"))
	denied.Decision = registration.Deny
	for name, tc := range map[string]struct {
		approval registration.Approval
		want     error
	}{
		"name used for another target":   {approval("taken", "applicant", target("never")), registration.ErrApprovalConflict},
		"name used by another person":    {approval("taken", "applicant", target("first")), registration.ErrApprovalConflict},
		"name used for another decision": {denied, registration.ErrApprovalConflict},
		"never opened":                   {approval("x", "applicant", target("never")), registration.ErrNotOpened},
		"opened with another digest":     {approval("x", "applicant", changed), registration.ErrNotOpened},
		"by the applicant":               {byApplicant, registration.ErrApproverIsApplicant},
		"second decision of a person":    {approval("x", "officer", target("first")), registration.ErrAlreadyDecided},
	} {
		_, err := s.Take(t.Context(), tc.approval)
		wantError(t, name, err, tc.want)
	}
	if n := len(approvals(t, s, target("first"))); n != 1 {
		t.Errorf("%d approvals, want 1: the others were refused", n)
	}
	take(t, s, approval("x", "second officer", target("first"))) // the name was not used up
}

func takeConcurrently(t *testing.T, database Open) {
	const processes = 4
	stores := make([]registration.Store, processes)
	for i := range stores {
		stores[i] = database(t)
	}
	for _, name := range []string{"same", "person", "one", "two", "three", "four"} {
		open(t, stores[0], request(name))
	}
	race := func(do func(i int) registration.Approval) (won int, errs []error) {
		var wg sync.WaitGroup
		all := make([]error, processes)
		for i, s := range stores {
			wg.Go(func() { _, all[i] = s.Take(t.Context(), do(i)) })
		}
		wg.Wait()
		for _, err := range all {
			if err == nil {
				won++
			} else {
				errs = append(errs, err)
			}
		}
		return won, errs
	}
	if won, errs := race(func(int) registration.Approval { return approval("same", "officer", target("same")) }); won != processes {
		t.Errorf("the same approval: %v", errs)
	}
	won, errs := race(func(i int) registration.Approval { return approval(fmt.Sprint("p", i), "officer", target("person")) })
	if won != 1 {
		t.Errorf("one person decided %d times", won)
	}
	for _, err := range errs {
		wantError(t, "one person, several approvals", err, registration.ErrAlreadyDecided)
	}
	names := []string{"one", "two", "three", "four"}
	won, errs = race(func(i int) registration.Approval { return approval("name", "officer", target(names[i])) })
	if won != 1 {
		t.Errorf("one name was used %d times", won)
	}
	for _, err := range errs {
		wantError(t, "one name, several targets", err, registration.ErrApprovalConflict)
	}
}

func takeRefuses(t *testing.T, database Open) {
	s := database(t)
	open(t, s, request("first"))
	for name, change := range map[string]func(*registration.Approval){
		"approval name":      func(a *registration.Approval) { a.Name = "" },
		"approval namespace": func(a *registration.Approval) { a.Namespace = strings.Repeat("x", 64) },
		"approver":           func(a *registration.Approval) { a.Approver = strings.Repeat("x", 254) },
		"target name":        func(a *registration.Approval) { a.Target.Name = "" },
		"decision":           func(a *registration.Approval) { a.Decision = "Perhaps" },
		"time":               func(a *registration.Approval) { a.At = time.Time{} },
	} {
		a := approval("refused", "officer", target("first"))
		change(&a)
		if _, err := s.Take(t.Context(), a); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one about %q", err, name)
		}
	}
}

func approvalsInOrder(t *testing.T, database Open) {
	s := database(t)
	open(t, s, request("busy"))
	var want []registration.Approval
	for i := range 66 {
		a := approval(fmt.Sprintf("z%02d", 99-i), fmt.Sprintf("officer %02d", i), target("busy"))
		a.At = at.Add(-time.Duration(i) * time.Minute) // the order is that of taking
		take(t, s, a)
		want = append(want, a)
	}
	equal(t, "approvals", approvals(t, s, target("busy")), want[:64])
}

func cancelled(t *testing.T, database Open) {
	s := database(t)
	open(t, s, request("first"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Open(ctx, request("second"))
	wantError(t, "open", err, context.Canceled)
	_, err = s.Take(ctx, approval("yes", "officer", target("first")))
	wantError(t, "take", err, context.Canceled)
	_, err = s.Approvals(ctx, target("first"))
	wantError(t, "approvals", err, context.Canceled)
	take(t, s, approval("yes", "officer", target("first")))
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
