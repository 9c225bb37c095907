package authority_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// Many callers with one order each get what a slice would give them.
func TestPipelineIsTheCycle(t *testing.T) {
	s, key, _ := newAuthority(t)
	p := authority.NewPipeline(s, authority.PipelineConfig{})
	const callers = 700 // more than two slices
	outcomes := make([]authority.Outcome, callers)
	var g errgroup.Group
	for i := range callers {
		g.Go(func() error {
			out, err := p.Issue(t.Context(), key, []authority.Order{order(t, i)})
			if err == nil {
				outcomes[i], err = out[0], out[0].Err
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	serials := map[string]bool{}
	all := make([]authority.Order, 0, authority.MaxSlice)
	for i, o := range outcomes {
		if o.Record.State != authority.StateIssued || o.Record.Identity != order(t, i).Identity {
			t.Fatalf("caller %d got %+v", i, o.Record)
		}
		serials[string(o.Record.Serial)] = true
		if i < authority.MaxSlice {
			all = append(all, order(t, i))
		}
	}
	if len(serials) != callers {
		t.Errorf("%d serials for %d orders", len(serials), callers)
	}
	// In bulk, the same orders find the same certificates.
	again, err := s.Issue(t.Context(), key, all)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range again {
		if !o.Adopted || o.Record.Serial != outcomes[i].Record.Serial {
			t.Errorf("order %d: bulk gives serial %s, adopted %t; single gave %s", i, o.Record.Serial, o.Adopted, outcomes[i].Record.Serial)
		}
	}
	if n, err := s.Count(t.Context(), key); err != nil || n != callers {
		t.Errorf("the ledger counts %d, %v; want %d", n, err, callers)
	}
}

// The same order from many callers is one certificate; another digest under the
// name is refused while the first is on its way, and after.
func TestPipelineSharesOneOrder(t *testing.T) {
	s, key, _ := newAuthority(t)
	p := authority.NewPipeline(s, authority.PipelineConfig{})
	var mu sync.Mutex
	serials := map[string]int{}
	var g errgroup.Group
	for range 50 {
		g.Go(func() error {
			out, err := p.Issue(t.Context(), key, []authority.Order{order(t, 1)})
			if err != nil {
				return err
			}
			mu.Lock()
			serials[string(out[0].Record.Serial)]++
			mu.Unlock()
			return out[0].Err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(serials) != 1 {
		t.Errorf("one order got %d serials: %v", len(serials), serials)
	}
	changed := order(t, 1)
	changed.Identity.Digest = sm3.Sum([]byte("other"))
	out, err := p.Issue(t.Context(), key, []authority.Order{changed})
	if err != nil || !errors.Is(out[0].Err, authority.ErrConflict) {
		t.Errorf("another order under the name: %v, %v", out, err)
	}
}

// slowStore holds every intent until it is told to go on.
type slowStore struct {
	authority.Store
	hold chan struct{}
}

func (s slowStore) RecordIntent(ctx context.Context, key authority.IssuerKey, in []authority.Intent) error {
	<-s.hold
	return s.Store.RecordIntent(ctx, key, in)
}

// A full pipeline makes callers wait, and lets them give up.
func TestPipelineHoldsBack(t *testing.T) {
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("bench")})
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("bench/device", keys); err != nil {
		t.Fatal(err)
	}
	slow := slowStore{store, make(chan struct{})}
	s := authority.New(authority.Config{Store: slow, Keys: devices})
	key := authority.IssuerKey{Authority: "IndustryCA/bench/ca", Generation: 1}
	if _, err := authoritytest.DeclareCA(t.Context(), s, filepath.Join(dir, "root"), time.Now(), authority.Settings{Key: key, Device: "bench/device"}); err != nil {
		t.Fatal(err)
	}
	const room = 8
	p := authority.NewPipeline(s, authority.PipelineConfig{Slices: 1, Waiting: room})
	var g errgroup.Group
	for i := range room {
		g.Go(func() error {
			out, err := p.Issue(t.Context(), key, []authority.Order{order(t, i)})
			if err == nil {
				err = out[0].Err
			}
			return err
		})
	}
	impatient, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for deadline := time.Now().Add(5 * time.Second); ; {
		_, err := p.Issue(impatient, key, []authority.Order{order(t, 1000)})
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a full pipeline took an order: %v", err)
		}
	}
	close(slow.hold)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	out, err := p.Issue(t.Context(), key, []authority.Order{order(t, 2000)})
	if err != nil || out[0].Err != nil {
		t.Errorf("after it emptied: %v, %v", out, err)
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer end()
	if _, err := p.Issue(gone, key, []authority.Order{order(t, 2001)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a drained pipeline took an order: %v", err)
	}
}

// Under more load than the ledger takes, callers wait and memory stays as it is.
func TestPipelineHoldsMemoryFlat(t *testing.T) {
	s, key, _ := newAuthority(t)
	p := authority.NewPipeline(s, authority.PipelineConfig{Waiting: 4 * authority.MaxSlice})
	const orders, callers = 9000, 3000 // so that callers wait for room all the time
	var early, late atomic.Uint64      // the largest heap while the first and the last third are issued
	var done atomic.Int64
	var g errgroup.Group
	g.SetLimit(callers)
	for i := range orders {
		g.Go(func() error {
			out, err := p.Issue(t.Context(), key, []authority.Order{order(t, i)})
			if err == nil {
				err = out[0].Err
			}
			n := done.Add(1)
			if n%200 != 0 || n > orders/3 && n <= orders*2/3 {
				return err
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			third := &early
			if n > orders/3 {
				third = &late
			}
			for old := third.Load(); m.HeapInuse > old && !third.CompareAndSwap(old, m.HeapInuse); old = third.Load() {
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("heap %d MiB, then %d MiB", early.Load()>>20, late.Load()>>20)
	if late.Load() > early.Load()+early.Load()/2+(8<<20) {
		t.Errorf("the heap grew from %d to %d bytes", early.Load(), late.Load())
	}
}

func BenchmarkPipeline(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, key, _ := newAuthority(b)
			p := authority.NewPipeline(s, authority.PipelineConfig{})
			orders := make([]authority.Order, b.N)
			for i := range orders {
				orders[i] = order(b, i)
			}
			var g errgroup.Group
			g.SetLimit(callers)
			b.ResetTimer()
			for i := range b.N {
				g.Go(func() error {
					out, err := p.Issue(context.Background(), key, orders[i:i+1])
					if err == nil {
						err = out[0].Err
					}
					return err
				})
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/certificate")
		})
	}
}
