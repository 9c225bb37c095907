package directory_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

func TestPublishAndPush(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	batch := []directory.Publication{ca.Authority(nil)}
	for i := 1; i <= 300; i++ {
		batch = append(batch, ca.Publication(t, i, directory.StateIssued))
	}
	if diff := cmp.Diff(directory.Published{Added: 301, Base: true}, f.publish(t, batch...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(directory.Published{Unchanged: 301}, f.publish(t, batch...)); diff != "" {
		t.Errorf("the same again: %s", diff)
	}
	f.push(t)
	f.same(t)
	dn := "serialNumber=" + string(directorytest.Serial(7)) + ",ou=" + ca.Name + "," + base
	for _, s := range []*slapdtest.Server{f.master, f.slaves[0], f.slaves[1]} {
		got, err := ldapsearch(t, s, slapdtest.Reader, dn)
		if err != nil || !bytes.Equal(got, batch[7].Certificate.DER) {
			t.Errorf("ldapsearch on %s: other DER, %v", s.Config.Role, err)
		}
	}
	// Revoked and held ones go, a released one comes back, an earlier CA entry grows.
	revoked, held := *batch[1].Certificate, *batch[2].Certificate
	revoked.State, held.State = directory.StateRevoked, directory.StateHeld
	n := f.publish(t, directory.Publication{CA: ca.Name, Certificate: &revoked}, directory.Publication{CA: ca.Name, Certificate: &held},
		ca.Authority(signCRL(t, ca, 1)), ca.Publication(t, 301, directory.StateIssued))
	if diff := cmp.Diff(directory.Published{Added: 1, Modified: 1, Deleted: 2}, n); diff != "" {
		t.Error(diff)
	}
	f.push(t)
	f.same(t)
	if n := f.publish(t, batch[2]); n.Added != 1 {
		t.Errorf("release: got %+v", n)
	}
	f.push(t)
	f.same(t)
	for _, s := range f.pusher.Status() {
		s.Name = ""
		want := directory.SlaveStatus{InSync: true}
		if diff := cmp.Diff(want, s, cmpopts.IgnoreFields(directory.SlaveStatus{}, "Pushed", "LastPush", "LastCompare")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestCertificateBeforeItsCA(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Publication(t, 1, directory.StateIssued))
	if n := f.publish(t, ca.Authority(nil)); n.Modified != 1 {
		t.Errorf("the CA after its certificate: got %+v, want one modification", n)
	}
	f.push(t)
	f.same(t)
}

func TestDriftIsRepairedAndCounted(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	var ledger []directory.Publication
	for i := range 50 {
		ledger = append(ledger, ca.Publication(t, i+1, directory.StateIssued))
	}
	ledger = append([]directory.Publication{ca.Authority(nil)}, ledger...)
	desired := func(_ context.Context, yield func(directory.Publication) error) error {
		for _, p := range ledger {
			if err := yield(p); err != nil {
				return err
			}
		}
		return nil
	}
	f.publish(t, ledger...)
	f.push(t)
	under := ",ou=" + ca.Name + "," + base
	serial := func(i int) string { return "serialNumber=" + string(directorytest.Serial(i)) + under }
	evil := []directory.Change{
		{Kind: directory.Delete, DN: serial(1)},
		{Kind: directory.Delete, DN: serial(2)},
		{Kind: directory.Modify, DN: serial(3), Attributes: []directory.Attribute{{Type: "cn", Values: [][]byte{[]byte("Mallory")}}}},
		{Kind: directory.Modify, DN: serial(4), Attributes: []directory.Attribute{{Type: "userCertificate;binary", Values: [][]byte{ledger[5].Certificate.DER}}}},
		{Kind: directory.Modify, DN: serial(5), Attributes: []directory.Attribute{{Type: "l", Values: [][]byte{[]byte("added")}}}},
		{Kind: directory.Add, DN: "ou=x" + under, Attributes: []directory.Attribute{
			{Type: "objectClass", Values: [][]byte{[]byte("organizationalUnit")}}, {Type: "ou", Values: [][]byte{[]byte("x")}}}},
		{Kind: directory.Add, DN: "cn=y,ou=x" + under, Attributes: []directory.Attribute{
			{Type: "objectClass", Values: [][]byte{[]byte("device")}}, {Type: "cn", Values: [][]byte{[]byte("y")}}}},
	}
	want := directory.Drift{Missing: 2, Changed: 3, Extra: 2}

	if err := f.edit[0].Apply(t.Context(), evil); err != nil {
		t.Fatal(err)
	}
	f.compare(t)
	f.same(t)
	status := f.pusher.Status()
	if diff := cmp.Diff([]directory.Drift{want, {}}, []directory.Drift{status[0].Drift, status[1].Drift}); diff != "" {
		t.Errorf("slaves: %s", diff)
	}

	before := dump(t, f.operator)
	if err := f.operator.Apply(t.Context(), evil); err != nil {
		t.Fatal(err)
	}
	f.push(t) // the slaves follow the master, right or wrong
	f.same(t)
	drift, err := f.publisher.Audit(t.Context(), desired)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, drift); diff != "" {
		t.Errorf("master: %s", diff)
	}
	if diff := cmp.Diff(before, dump(t, f.operator)); diff != "" {
		t.Errorf("master after the repair: %s", diff)
	}
	if drift, err = f.publisher.Audit(t.Context(), desired); err != nil || drift.Total() != 0 {
		t.Errorf("audit of a repaired master: %+v, %v", drift, err)
	}
	f.push(t)
	f.compare(t)
	f.same(t)
	if got := f.pusher.Status()[1].Drift; got.Total() != 0 {
		t.Errorf("changes of the master counted as drift of a slave: %+v", got)
	}

	// All of a slave's tree, and all of the master's.
	wipe := func(s directory.Server) {
		var changes []directory.Change
		for name := range dump(t, s) {
			if name != base { // that one belongs to the database
				changes = append(changes, directory.Change{Kind: directory.Delete, DN: name})
			}
		}
		for depth := 10; depth > 0; depth-- {
			for _, c := range changes {
				if c.Depth() == depth {
					if err := s.Apply(t.Context(), []directory.Change{c}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	wipe(f.edit[1])
	f.compare(t)
	f.same(t)
	if got, want := f.pusher.Status()[1].Drift, (directory.Drift{Missing: 51}); got != want {
		t.Errorf("wiped slave: got %+v, want %+v", got, want)
	}
	wipe(f.operator)
	if drift, err = f.publisher.Audit(t.Context(), desired); err != nil || drift != (directory.Drift{Missing: 51}) {
		t.Errorf("audit of a wiped master: %+v, %v", drift, err)
	}
	if diff := cmp.Diff(before, dump(t, f.operator)); diff != "" {
		t.Errorf("wiped master after the repair: %s", diff)
	}
}

func TestAuditLeavesWhatIsPublishedMeanwhile(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	issued := ca.Publication(t, 1, directory.StateIssued)
	f.publish(t, ca.Authority(nil), issued)
	revoked := *issued.Certificate
	revoked.State = directory.StateRevoked
	// The audit reads "issued" and "not there"; then both change.
	late := ca.Publication(t, 2, directory.StateIssued)
	reads := 0
	drift, err := f.publisher.Audit(t.Context(), func(_ context.Context, yield func(directory.Publication) error) error {
		if err := errors.Join(yield(ca.Authority(nil)), yield(issued)); err != nil {
			return err
		}
		if reads++; reads == 1 {
			f.publish(t, directory.Publication{CA: ca.Name, Certificate: &revoked}, late)
		}
		return nil
	})
	if err != nil || drift.Total() != 0 {
		t.Errorf("got %+v, %v; want no drift", drift, err)
	}
	if n := f.publish(t, directory.Publication{CA: ca.Name, Certificate: &revoked}, late); n.Unchanged != 2 {
		t.Errorf("the audit undid what was published: %+v", n)
	}
}

func TestSlaveDownCatchesUp(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued), ca.Publication(t, 2, directory.StateIssued))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.pusher.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	until := func(what string, ok func([]directory.SlaveStatus) bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(f.pusher.Status()); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in time: %+v", what, f.pusher.Status())
			}
		}
	}
	until("first push", func(s []directory.SlaveStatus) bool { return s[0].InSync && s[1].InSync })
	f.slaves[1].Stop(t)
	revoked := *ca.Publication(t, 2, directory.StateRevoked).Certificate
	batch := []directory.Publication{{CA: ca.Name, Certificate: &revoked}}
	for i := 3; i < 103; i++ {
		batch = append(batch, ca.Publication(t, i, directory.StateIssued))
	}
	f.publish(t, batch...)
	until("the slave that is up", func(s []directory.SlaveStatus) bool {
		return s[0].InSync && s[0].Backlog == 0 && len(dump(t, f.edit[0])) == 103
	})
	until("the slave that is down", func(s []directory.SlaveStatus) bool {
		return !s[1].InSync && s[1].Backlog == 101 && s[1].Lag > 0 && errors.Is(s[1].LastError, directory.ErrUnavailable)
	})
	f.slaves[1].Restart(t)
	until("catch-up", func(s []directory.SlaveStatus) bool { return s[1].InSync && s[1].Backlog == 0 && s[1].LastError == nil })
	f.same(t)
	for _, s := range f.pusher.Status() {
		if s.Drift.Total() != 0 || s.Lag != 0 {
			t.Errorf("%s: got %+v, want neither drift nor lag", s.Name, s)
		}
	}
}

func TestPusherStartsAgainFromItsCursor(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	f.push(t)
	f.publish(t, ca.Publication(t, 2, directory.StateIssued)) // lag
	if err := f.edit[0].Apply(t.Context(), []directory.Change{{Kind: directory.Delete, DN: "serialNumber=" + string(directorytest.Serial(1)) + ",ou=" + ca.Name + "," + base}}); err != nil {
		t.Fatal(err)
	} // drift
	f.newPusher(t)
	f.push(t)
	f.same(t)
	status := f.pusher.Status()
	if status[0].Drift != (directory.Drift{Missing: 1}) || status[1].Drift.Total() != 0 {
		t.Errorf("got %+v and %+v, want one missing on slave-1 alone", status[0].Drift, status[1].Drift)
	}
}

func TestLargeCRL(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	list := signCRL(t, ca, 100_000)
	f.publish(t, ca.Authority(list), directory.Publication{CA: ca.Name, Shard: &directory.Shard{Number: 3, CRL: list}})
	f.push(t)
	for i, s := range f.edit {
		got, err := s.Get(t.Context(), []string{"ou=" + ca.Name + "," + base, "cn=crl3,ou=" + ca.Name + "," + base})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got {
			if v := e.Values("certificateRevocationList;binary"); len(v) != 1 || !bytes.Equal(v[0], list) {
				t.Errorf("slave-%d %s: other list, want one of %d bytes", i+1, e.DN, len(list))
			}
		}
	}
}
