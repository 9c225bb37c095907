package app

import (
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/validation"
)

// The checkpoint at the node is of the ledger's present, and what is found there
// serves as a witness against the ledger.
func TestAuditCheckpointReachesTheNode(t *testing.T) {
	w := newValidationWorld(t)
	w.node.start(t)
	w.runCore(t)
	var held audit.Signed
	reach := func(size int64) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			status, text := w.node.get(t, w.node.config.ValidationAddress, validation.CheckpointPath)
			if status != 200 {
				continue
			}
			var err error
			if held, err = audit.ParseSigned([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if held.Size >= size {
				return
			}
		}
		t.Fatalf("the node holds a checkpoint over %d leaves, want %d; it says: %s", held.Size, size, w.node.stderr.String())
	}
	reach(1)
	w.issue(t, "li")
	heads, err := w.store.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	reach(heads.Audit)
	t.Logf("%d leaves were covered at the node after %s", heads.Audit, time.Since(began))

	l, err := OpenAudit(t.Context(), "sqlite:"+w.ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = l.Read(t.Context(), func(n audit.Ledger) error {
		r, err := audit.Verify(t.Context(), n, audit.Options{Now: time.Now(), Witnesses: []audit.Witness{{From: "node", Signed: held}}})
		if err == nil && (!r.OK() || r.Witnesses != 1) {
			t.Errorf("%+v", r)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, metrics := w.node.get(t, w.node.config.MetricsAddress, "/metrics"); !strings.Contains(metrics, "terrace_replica_audit_refused 0") {
		t.Error("the node does not say that it refused no checkpoint")
	}
}
