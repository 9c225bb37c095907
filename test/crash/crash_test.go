// Package crash kills a real process with SIGKILL at each commit point of the
// issuance cycle, of revocation and of the CRLs, on both stores, and checks what
// the next process finds.
package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(runChild(os.Getenv(childEnv), os.Stdout))
	}
	os.Exit(m.Run())
}

// point is where the process dies.
type point struct {
	at   authority.CommitPoint
	skip int
}

var points = map[string]point{
	"key generated": {at: authority.AfterKeyGenerated},
	"begin":         {at: authority.AfterBegin},
	"prepare":       {at: authority.AfterPrepare},
	"intent":        {at: authority.AfterIntent},
	"signature":     {at: authority.AfterSignature},
	"issued":        {at: authority.AfterIssued},
	"CRL number":    {at: authority.AfterCRLNumber},
	"CRL signature": {at: authority.AfterCRLSignature},
	"CRL saved":     {at: authority.AfterCRLSaved},
	"before act":    {at: authority.BeforeAct},
	"after act":     {at: authority.AfterAct},
	// The second list is the one that is published after the act.
	"number of the published CRL":    {at: authority.AfterCRLNumber, skip: 1},
	"signature of the published CRL": {at: authority.AfterCRLSignature, skip: 1},
	"published CRL saved":            {at: authority.AfterCRLSaved, skip: 1},
}

func TestKilledAtEachCommitPointOnSQLite(t *testing.T) {
	eachPoint(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ledger.db") })
}

func TestKilledAtEachCommitPointOnPostgreSQL(t *testing.T) {
	eachPoint(t, func(t *testing.T) string { return postgrestest.Start(t) })
}

func eachPoint(t *testing.T, dsn func(*testing.T) string) {
	for name, point := range points {
		t.Run(name, func(t *testing.T) {
			j := job{Dir: t.TempDir(), DSN: dsn(t), KillAt: point.at, Skip: point.skip}
			if err := run(t, j, nil); !killed(err) {
				t.Fatalf("process that kills itself at %s ended with %v, want SIGKILL", point.at, err)
			}
			afterCrash := signatures(t, j)

			j.KillAt = ""
			var first, second result
			if err := run(t, j, &first); err != nil {
				t.Fatalf("next process: %v", err)
			}
			if err := run(t, j, &second); err != nil {
				t.Fatalf("process after that: %v", err)
			}
			if first.Serial == "" || first.Serial != second.Serial || !second.Adopted {
				t.Errorf("serials of two later processes: %q, then %q (adopted: %t), want the same, adopted", first.Serial, second.Serial, second.Adopted)
			}
			if first.Key != second.Key {
				t.Errorf("CA key changed: %s, then %s", first.Key, second.Key)
			}
			checkLedger(t, j, first)
			checkAct(t, j, first)
			if want := point.at == authority.AfterAct || point.skip > 0; first.ActAdopted != want || !second.ActAdopted {
				t.Errorf("act was adopted by the next process: %t, want %t; by the one after: %t, want true", first.ActAdopted, want, second.ActAdopted)
			}
			all := signatures(t, j)
			wantAttempts := 1
			if point.at == authority.AfterSignature {
				wantAttempts = 2 // the one that was cut off, and the one that was delivered
			}
			if len(all) != wantAttempts {
				t.Errorf("device signed %d certificates, want %d (before the crash: %d)", len(all), wantAttempts, len(afterCrash))
			}
		})
	}
}

// checkLedger proves that no serial was signed twice and no signature is unknown.
func checkLedger(t *testing.T, j job, delivered result) {
	t.Helper()
	store, err := openStore(context.Background(), j.DSN, "")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	signed := map[pki.Serial]int{}
	for _, tbs := range signatures(t, j) {
		serial, err := serialOf(tbs)
		if err != nil {
			t.Fatal(err)
		}
		if signed[serial]++; signed[serial] > 1 {
			t.Errorf("serial %s was signed %d times", serial, signed[serial])
		}
		r, err := store.Status(context.Background(), caKey, serial)
		if err != nil {
			t.Errorf("the ledger does not know serial %s, which was signed: %v", serial, err)
			continue
		}
		switch r.State {
		case authority.StateIssued:
			if string(serial) != delivered.Serial || !bytes.Contains(r.Certificate, tbs) {
				t.Errorf("serial %s is Issued, but is not the delivered certificate over the signed bytes", serial)
			}
		case authority.StateAbandoned:
			if !bytes.Equal(r.TBS, tbs) {
				t.Errorf("serial %s is Abandoned with other bytes than were signed", serial)
			}
			if !onCRL(t, store, serial) {
				t.Errorf("abandoned serial %s is not among the revoked", serial)
			}
		default:
			t.Errorf("serial %s was signed and is %s", serial, r.State)
		}
	}
}

// checkAct proves that the certificate was revoked once, that the signed list
// says so, and that the feed tells of it.
func checkAct(t *testing.T, j job, delivered result) {
	t.Helper()
	ctx := context.Background()
	store, err := openStore(ctx, j.DSN, "ca")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	list, err := store.CurrentCRL(ctx, caKey, 0)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := smx509.ParseRevocationList(list.DER)
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for _, e := range parsed.RevokedCertificateEntries {
		if string(pki.SerialFromInt(e.SerialNumber)) == delivered.Serial {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("the current list has %d entries of the revoked certificate", entries)
	}
	head, err := store.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	of, revokedCount := 0, 0
	for after := int64(0); after < head; after++ {
		changes, next, err := store.Changes(ctx, after, 1)
		if err != nil || len(changes) != 1 || next != after+1 {
			t.Fatalf("change %d of %d: %v, next %d, %v", after+1, head, changes, next, err)
		}
		if r := changes[0].Record; r != nil && string(r.Serial) == delivered.Serial {
			of++
			if r.Revocation != nil {
				revokedCount++
			}
		}
	}
	if of != 2 || revokedCount != 2 {
		t.Errorf("the feed tells %d times of the certificate, %d times as revoked, want 2: issued and revoked once", of, revokedCount)
	}
}

func onCRL(t *testing.T, store authority.Store, serial pki.Serial) (found bool) {
	t.Helper()
	err := store.Revoked(context.Background(), caKey, 0, time.Now(), func(r authority.Record) error {
		found = found || r.Serial == serial
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func run(t *testing.T, j job, out *result) error {
	t.Helper()
	b, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if !killed(err) {
			t.Log(stderr.String())
		}
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(stdout.Bytes(), out)
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// signatures returns the certificates' TBS that the device signed, in order.
func signatures(t *testing.T, j job) (all [][]byte) {
	t.Helper()
	f, err := os.Open(j.journal())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		tbs, err := hex.DecodeString(sc.Text())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := serialOf(tbs); err == nil {
			all = append(all, tbs)
		}
	}
	return all
}

// openStore takes the ledger over as an instance, or, without one, only reads it.
func openStore(ctx context.Context, dsn, instance string) (authority.Store, error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: instance != ""})
	}
	return postgres.Open(ctx, postgres.Config{DSN: dsn, TakeOver: instance != "", Instance: instance})
}
