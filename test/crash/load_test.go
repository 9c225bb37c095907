package crash

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
)

// load is what a child carries: so many requests, in an order of its own, by
// many callers through the pipeline.
type load struct {
	Instance string
	Requests int
}

// silence is short, so that a process that is gone is soon taken over from.
const silence = 5 * time.Second

// carry has the requests issued until all are, and writes "name serial" for each.
func carry(ctx context.Context, j job, out io.Writer) error {
	store, devices, err := open(ctx, j.Dir, j.DSN, j.Load.Instance)
	if err != nil {
		return err
	}
	s := authority.New(authority.Config{Store: store, Keys: devices, Silence: silence})
	if err := s.Load(ctx); err != nil {
		return err
	}
	if _, err := authoritytest.DeclareCA(ctx, s, filepath.Join(j.Dir, "root"), time.Now(), authority.Settings{Key: caKey, Device: "crash/device"}); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = s.WatchLedger(watch, logr.Discard()) }() // it ends with the process
	template, err := order(j, "template")
	if err != nil {
		return err
	}
	p := authority.NewPipeline(s, authority.PipelineConfig{})
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(64)
	for _, n := range rand.Perm(j.Load.Requests) {
		g.Go(func() error {
			o := template
			o.Identity.Name = fmt.Sprintf("request-%d", n)
			o.Identity.Digest = sm3.Sum([]byte(o.Identity.Name))
			for {
				outcomes, err := p.Issue(ctx, caKey, []authority.Order{o})
				if err == nil {
					err = outcomes[0].Err
				}
				switch {
				case errors.Is(err, authority.ErrFenced):
					return err
				case errors.Is(err, authority.ErrBusy), errors.Is(err, authority.ErrElsewhere):
					time.Sleep(50 * time.Millisecond) // another process has it in hand
					continue
				case err != nil:
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				_, err = fmt.Fprintln(out, o.Identity.Name, outcomes[0].Record.Serial)
				return err
			}
		})
	}
	return g.Wait()
}

// One process under group commit, killed again and again.
func TestKilledUnderLoadOnSQLite(t *testing.T) {
	underLoad(t, "sqlite:"+filepath.Join(t.TempDir(), "ledger.db"), 4000, 4, "ca")
}

// Three processes share a ledger and get the same requests; they are killed at
// random, and one is never started again.
func TestKilledUnderLoadOnPostgreSQL(t *testing.T) {
	underLoad(t, postgrestest.Start(t), 4000, 6, "ca-0", "ca-1", "ca-2")
}

func underLoad(t *testing.T, dsn string, requests, kills int, instances ...string) {
	j := job{Dir: t.TempDir(), DSN: dsn}
	if err := run(t, j, nil); err != nil { // makes the CA
		t.Fatal(err)
	}
	told := map[string]string{} // what processes said is issued, by name
	var mu sync.Mutex
	start := func(instance string) (*exec.Cmd, chan error) {
		l := j
		l.Load = &load{instance, requests}
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+string(b)), os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				name, serial, ok := strings.Cut(lines.Text(), " ")
				mu.Lock()
				if before, known := told[name]; ok && known && before != serial {
					t.Errorf("%s has serials %s and %s", name, before, serial)
				}
				if ok && len(serial) == 40 { // a line may be cut off
					told[name] = serial
				}
				mu.Unlock()
			}
			done <- cmd.Wait()
		}()
		return cmd, done
	}
	running, ends := map[string]*exec.Cmd{}, map[string]chan error{}
	for _, instance := range instances {
		running[instance], ends[instance] = start(instance)
	}
	killedOnes := 0
	for n := range kills {
		progress := func() bool { // each kill meets a load that is under way
			mu.Lock()
			defer mu.Unlock()
			return len(told) >= (n+1)*requests/(kills+2)
		}
		for deadline := time.Now().Add(time.Minute); !progress(); time.Sleep(time.Duration(1+rand.IntN(20)) * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no progress before kill %d", n)
			}
		}
		instance := instances[n%len(instances)]
		_ = running[instance].Process.Kill() // one that is done already is not there
		if killed(<-ends[instance]) {
			killedOnes++
		}
		if last := n == kills-1; !last || len(instances) == 1 {
			running[instance], ends[instance] = start(instance)
		} else {
			delete(running, instance) // the others take over from it
		}
	}
	for instance := range running {
		if err := <-ends[instance]; err != nil {
			t.Errorf("%s: %v", instance, err)
		}
	}
	if killedOnes == 0 {
		t.Error("every process was done before it was killed: the load is too small")
	}
	t.Logf("%d of %d kills met a process at work", killedOnes, kills)
	checkLoad(t, j, requests, told)
}

// checkLoad proves that each request has one certificate, the one that was told
// of, that no serial was signed twice, and that none is unknown.
func checkLoad(t *testing.T, j job, requests int, told map[string]string) {
	ctx := context.Background()
	store, err := openStore(ctx, j.DSN, "")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if len(told) != requests {
		t.Errorf("%d of %d requests were answered", len(told), requests)
	}
	for name, serial := range told {
		r, err := store.Find(ctx, "CertificateRequest", "crash", name)
		if err != nil || r.State != authority.StateIssued || string(r.Serial) != serial {
			t.Errorf("%s: the ledger has serial %s, %s, %v; a process told of %s", name, r.Serial, r.State, err, serial)
		}
	}
	listed := map[pki.Serial]bool{}
	if err := store.Revoked(ctx, caKey, 0, time.Time{}, func(r authority.Record) error { listed[r.Serial] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	signed, abandoned := map[pki.Serial]bool{}, 0
	for _, tbs := range signatures(t, j) {
		serial, err := serialOf(tbs)
		if err != nil {
			t.Fatal(err)
		}
		if signed[serial] {
			t.Errorf("serial %s was signed twice", serial)
		}
		signed[serial] = true
		r, err := store.Status(ctx, caKey, serial)
		switch {
		case err != nil:
			t.Errorf("the ledger does not know serial %s, which was signed: %v", serial, err)
		case r.State == authority.StateAbandoned:
			if abandoned++; !listed[serial] {
				t.Errorf("abandoned serial %s is not among the revoked", serial)
			}
		case r.State != authority.StateIssued || r.Identity.Name != "first" && told[r.Identity.Name] != string(serial):
			t.Errorf("serial %s of %s was signed and is %s; a process told of %s", serial, r.Identity.Name, r.State, told[r.Identity.Name])
		}
	}
	if n, err := store.Count(ctx, caKey); err != nil || n != int64(requests)+1 {
		t.Errorf("the ledger counts %d certificates, %v; want %d", n, err, requests+1)
	}
	heads, err := store.Heads(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for after := int64(0); after < heads.Feed; {
		changes, next, err := store.Changes(ctx, after, authority.MaxChanges)
		if err != nil || next == after {
			t.Fatalf("the feed ends at %d of %d: %v", after, heads.Feed, err)
		}
		for _, c := range changes {
			// Of several changes of one thing the last is shown.
			if c.Seq <= after || c.Seq > next {
				t.Errorf("change %d between %d and %d", c.Seq, after, next)
			}
		}
		after = next
	}
	t.Logf("%d signatures, %d of them abandoned", len(signed), abandoned)
}
