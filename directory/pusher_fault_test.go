package directory_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

// picky refuses one entry, as a server with a smaller limit does.
type picky struct {
	directory.Server
	part *string
}

func (p picky) Apply(ctx context.Context, changes []directory.Change) error {
	for i, c := range changes {
		if *p.part != "" && c.Kind != directory.Delete && strings.Contains(c.DN, *p.part) {
			return errors.Join(p.Server.Apply(ctx, changes[:i]), directory.ErrTooLarge)
		}
	}
	return p.Server.Apply(ctx, changes)
}

func shows(t *testing.T, s directory.Server, n int) bool {
	t.Helper()
	entries, err := s.Get(t.Context(), []string{"serialNumber=" + string(directorytest.Serial(n)) + ",ou=businessca-province-g1," + base})
	if err != nil {
		t.Fatal(err)
	}
	return entries[0] != nil
}

func TestRefusedEntryDoesNotHoldUpOthers(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	part := string(directorytest.Serial(2))
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: f.master.Client(t, slapdtest.Replicator),
		Slaves: []directory.Slave{{Name: "s", Server: picky{f.edit[0], &part}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Push(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for i := 2; i < 150; i++ { // more than a chunk
		f.publish(t, ca.Publication(t, i, directory.StateIssued))
	}
	f.publish(t, ca.Publication(t, 1, directory.StateRevoked))
	if err := p.Push(t.Context(), "s"); !errors.Is(err, directory.ErrTooLarge) || !strings.Contains(err.Error(), part) {
		t.Errorf("push: got %v, want the refusal of %s", err, part)
	}
	if shows(t, f.edit[0], 1) || !shows(t, f.edit[0], 149) || shows(t, f.edit[0], 2) {
		t.Error("want all but the refused entry on the slave, and the revoked one gone")
	}
	if s := p.Status()[0]; s.Refused != 1 || s.InSync || s.LastError == nil {
		t.Errorf("status %+v, want one refused", s)
	}

	// A comparison meets it again, and repairs the rest.
	if err := f.edit[0].Apply(t.Context(), []directory.Change{{Kind: directory.Delete, DN: "serialNumber=" + string(directorytest.Serial(149)) + ",ou=" + ca.Name + "," + base}}); err != nil {
		t.Fatal(err)
	}
	if err := p.Compare(t.Context(), "s"); !errors.Is(err, directory.ErrTooLarge) {
		t.Errorf("compare: got %v, want the refusal", err)
	}
	if s := p.Status()[0]; s.Refused != 1 || s.Drift.Missing != 1 || !shows(t, f.edit[0], 149) {
		t.Errorf("status %+v, want one refused and one repaired", s)
	}
	part = ""
	if err := p.Compare(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	if s := p.Status()[0]; s.Refused != 0 || !s.InSync || s.LastError != nil {
		t.Errorf("status %+v, want none refused", s)
	}
	if len(dump(t, f.edit[0])) != len(dump(t, f.operator)) {
		t.Error("the slave differs")
	}
}

func TestRefusedEntryDoesNotEndAnAudit(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	part := string(directorytest.Serial(1))
	p := directory.NewPublisher(newLayout(t, directory.NamingSerial, directory.Business), picky{f.master.Client(t, slapdtest.Writer), &part})
	publications := []directory.Publication{ca.Authority(nil)}
	for i := range 150 {
		publications = append(publications, ca.Publication(t, i+1, directory.StateIssued))
	}
	desired := func(_ context.Context, yield func(directory.Publication) error) error {
		for _, publication := range publications {
			if err := yield(publication); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := p.Audit(t.Context(), desired); !errors.Is(err, directory.ErrTooLarge) {
		t.Errorf("audit: got %v, want the refusal", err)
	}
	if n := len(dump(t, f.operator)); n != 151 {
		t.Errorf("master has %d entries, want all but one of 152", n)
	}
}

func TestEmptyMasterWipesNothing(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	f.push(t)
	before := len(dump(t, f.edit[0]))
	empty := slapdtest.Start(t, slapd.Master, nil).Client(t, slapdtest.Replicator)
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: empty, Cursors: f.cursors,
		Slaves: []directory.Slave{{Name: "slave-1", Server: f.edit[0]}}})
	if err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func(context.Context, string) error{"push": p.Push, "compare": p.Compare} {
		if err := do(t.Context(), "slave-1"); !errors.Is(err, directory.ErrNoBase) {
			t.Errorf("%s: got %v, want ErrNoBase", what, err)
		}
	}
	if got := len(dump(t, f.edit[0])); got != before {
		t.Errorf("slave has %d entries, want %d", got, before)
	}

	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := directory.SetHeader{Directory: directoryName, Base: base, To: 1, Created: time.Now()}
	if _, _, err := directory.Export(t.Context(), &bytes.Buffer{}, h, key, empty, ""); !errors.Is(err, directory.ErrNoBase) {
		t.Errorf("export: got %v, want ErrNoBase", err)
	}
}

// blind is a master whose account lost the right to read entries, but not the log.
type blind struct{ directory.Server }

func (blind) Get(_ context.Context, dns []string) ([]*directory.Entry, error) {
	return make([]*directory.Entry, len(dns)), nil
}

func TestUnreadableMasterDeletesNothingByItsLog(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	f.push(t)
	master := f.master.Client(t, slapdtest.Replicator)
	log, err := master.Changes(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	f.publish(t, ca.Authority(signCRL(t, ca, 1)))
	cursors := cursorMap{"s": log.Next}
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: blind{master}, Cursors: cursors, Slaves: []directory.Slave{{Name: "s", Server: f.edit[0]}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Push(t.Context(), "s"); !errors.Is(err, directory.ErrNoBase) {
		t.Errorf("push: got %v, want ErrNoBase", err)
	}
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := directory.SetHeader{Directory: directoryName, Base: base, From: 1, To: 2, Created: time.Now()}
	if _, _, err := directory.Export(t.Context(), &bytes.Buffer{}, h, key, blind{master}, log.Next); !errors.Is(err, directory.ErrNoBase) {
		t.Errorf("export: got %v, want ErrNoBase", err)
	}
}

// forgetful is a master whose log does not show what is changed, as after its
// clock was set back.
type forgetful struct{ directory.Server }

func (m forgetful) Changes(ctx context.Context, after directory.Cursor, limit int) (directory.Log, error) {
	if after == "" {
		return m.Server.Changes(ctx, after, limit)
	}
	return directory.Log{Next: after}, nil
}

func TestNewConnectionIsComparedSeldom(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	now := time.Now()
	var toMaster, toSlave int64 = 1, 1
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: forgetful{f.master.Client(t, slapdtest.Replicator)},
		MasterConnections: func() int64 { return toMaster }, CompareInterval: 100 * time.Hour, Now: func() time.Time { return now },
		Slaves: []directory.Slave{{Name: "s", Server: f.edit[0], Connections: func() int64 { return toSlave }}}})
	if err != nil {
		t.Fatal(err)
	}
	push := func(what string, n int, want bool) {
		t.Helper()
		if err := p.Push(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		if shows(t, f.edit[0], n) != want {
			t.Errorf("%s: certificate %d: shown %t, want %t", what, n, !want, want)
		}
	}
	push("at first", 1, true)
	f.publish(t, ca.Publication(t, 1, directory.StateRevoked))
	push("the log does not tell", 1, true)
	toMaster++
	push("master is connected to again", 1, false)
	if d := p.Status()[0].Drift; d.Total() != 0 {
		t.Errorf("drift %+v of a master that was connected to again", d)
	}
	f.publish(t, ca.Publication(t, 2, directory.StateIssued))
	toMaster++
	push("again at once", 2, false)
	now = now.Add(10 * time.Minute)
	push("again later", 2, true)

	now = now.Add(10 * time.Minute)
	if err := f.edit[0].Apply(t.Context(), []directory.Change{{Kind: directory.Delete, DN: "serialNumber=" + string(directorytest.Serial(2)) + ",ou=" + ca.Name + "," + base}}); err != nil {
		t.Fatal(err)
	}
	push("slave was changed", 2, false)
	toSlave++ // it was restored from a backup
	push("slave is connected to again", 2, true)
	if d := p.Status()[0].Drift; d.Missing != 1 {
		t.Errorf("drift %+v, want one missing", d)
	}
}

func TestTurnOfAnotherDoesNotHoldUpChanges(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil))
	now, turn := time.Now(), make(chan struct{}, 1)
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: f.master.Client(t, slapdtest.Replicator), Turn: turn,
		Now: func() time.Time { return now }, Slaves: []directory.Slave{{Name: "s", Server: f.edit[0]}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Push(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	compared := p.Status()[0].LastCompare
	turn <- struct{}{} // another slave is compared
	now = now.Add(time.Hour)
	f.publish(t, ca.Publication(t, 1, directory.StateIssued))
	if err := p.Push(t.Context(), "s"); err != nil || !shows(t, f.edit[0], 1) {
		t.Errorf("a change waits for the comparison of another slave: %v", err)
	}
	if got := p.Status()[0].LastCompare; !got.Equal(compared) {
		t.Error("compared out of turn")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Compare(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("compare: got %v, want to wait for its turn", err)
	}
	<-turn
	if err := p.Push(t.Context(), "s"); err != nil || !p.Status()[0].LastCompare.Equal(now) {
		t.Errorf("not compared in its turn: %v", err)
	}
}

func TestLagWithoutLogIsSinceTheComparison(t *testing.T) {
	f := newField(t)
	f.publish(t, directorytest.NewCA(t, "businessca-province-g1").Authority(nil))
	now := time.Now()
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: withoutLog{f.master.Client(t, slapdtest.Replicator)},
		Now: func() time.Time { return now }, Slaves: []directory.Slave{{Name: "s", Server: f.edit[0]}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []time.Duration{0, 30 * time.Minute, 0} {
		if err := p.Push(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		if got := p.Status()[0].Lag; got != want {
			t.Errorf("lag %s, want %s", got, want)
		}
		now = now.Add(30 * time.Minute)
	}
}
