// Package bench measures what an installation can do, on its own database and
// device, beside the raw cost of the cryptography in the same run. Rates depend on
// the machine; the ratios hold everywhere.
package bench

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Result of one measurement. Times are nanoseconds.
type Result struct {
	// Name of what was measured, e.g. "issue".
	Name string `json:"name"`
	// Operations that were done, in Elapsed.
	Operations int   `json:"operations"`
	Elapsed    int64 `json:"elapsed"`
	// Rate is operations for each second.
	Rate float64 `json:"rate"`
	// Latency of one operation, as its caller sees it.
	Latency Latency `json:"latency"`
	// CPU, Allocations and Allocated (bytes) are of one operation, load included.
	CPU         int64   `json:"cpu"`
	Allocations float64 `json:"allocations"`
	Allocated   float64 `json:"allocated"`
	// Resident is the process's largest memory so far, in bytes.
	Resident int64 `json:"resident"`
	// Commits of the ledger for one operation, each a synchronous write, and the
	// settings that make them durable.
	Commits    float64 `json:"commits,omitempty"`
	Durability string  `json:"durability,omitempty"`
	// Raw is the rate that the unavoidable operations allow on the same cores in
	// the same run, Ratio is Rate over Raw. 0 where there is nothing to compare with.
	Raw   float64 `json:"raw,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
	// Note says what was unavoidable, and other conditions.
	Note string `json:"note,omitempty"`
}

// Latency in nanoseconds.
type Latency struct {
	P50 int64 `json:"p50"`
	P90 int64 `json:"p90"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// compare fills in what raw operations would allow.
func (r *Result) compare(raw float64, note string) {
	r.Raw, r.Note = raw, note
	if raw > 0 {
		r.Ratio = r.Rate / raw
	}
}

// String is one line for people.
func (r Result) String() string {
	d := func(n int64) time.Duration { return time.Duration(n).Round(10 * time.Microsecond) }
	s := fmt.Sprintf("%-10s %9.0f/s  p50 %v p90 %v p99 %v max %v  cpu %v  %.0f allocations, %.1f KiB each  resident %d MiB",
		r.Name, r.Rate, d(r.Latency.P50), d(r.Latency.P90), d(r.Latency.P99), d(r.Latency.Max), time.Duration(r.CPU).Round(time.Microsecond),
		r.Allocations, r.Allocated/1024, r.Resident>>20)
	if r.Raw > 0 {
		s += fmt.Sprintf("  %.0f%% of %.0f/s", 100*r.Ratio, r.Raw)
	}
	if r.Durability != "" {
		s += fmt.Sprintf("  %.3f commits each (%s)", r.Commits, r.Durability)
	}
	if r.Note != "" {
		s += "  (" + r.Note + ")"
	}
	return s
}

// meter watches operations. did may be called concurrently.
type meter struct {
	name   string
	start  time.Time
	cpu    int64
	memory runtime.MemStats
	spent  spent

	mu        sync.Mutex
	latencies []int64
}

// spent is what the rounds of a meter took that have ended.
type spent struct {
	elapsed             time.Duration
	cpu                 int64
	allocations, memory uint64
}

func newMeter(name string, operations int) *meter {
	m := &meter{name: name, latencies: make([]int64, 0, operations)}
	m.resume()
	return m
}

// pausedMeter is for several rounds.
func pausedMeter(operations int) *meter {
	return &meter{latencies: make([]int64, 0, operations)}
}

// round measures do.
func (m *meter) round(do func() error) error {
	m.resume()
	defer m.pause()
	return do()
}

// resume begins a round.
func (m *meter) resume() {
	runtime.GC() // what was made before is not counted
	runtime.ReadMemStats(&m.memory)
	m.cpu, m.start = cpuTime(), time.Now()
}

// pause ends a round; what comes until resume is not counted.
func (m *meter) pause() {
	m.spent.elapsed += time.Since(m.start)
	m.spent.cpu += cpuTime() - m.cpu
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	m.spent.allocations += memory.Mallocs - m.memory.Mallocs
	m.spent.memory += memory.TotalAlloc - m.memory.TotalAlloc
}

// did notes n operations that were begun at a time and have just ended together.
func (m *meter) did(began time.Time, n int) {
	d := int64(time.Since(began))
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.latencies = append(m.latencies, d)
	}
}

// result ends the last round.
func (m *meter) result() Result {
	m.pause()
	return m.sum()
}

// sum is the result of the rounds that have ended.
func (m *meter) sum() Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.latencies)
	r := Result{Name: m.name, Operations: n, Elapsed: int64(m.spent.elapsed), Resident: resident()}
	if n == 0 {
		return r
	}
	slices.Sort(m.latencies)
	at := func(q float64) int64 { return m.latencies[min(n-1, int(math.Ceil(q*float64(n)))-1)] }
	r.Latency = Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: m.latencies[n-1]}
	r.Rate = float64(n) / m.spent.elapsed.Seconds()
	r.CPU = m.spent.cpu / int64(n)
	r.Allocations = float64(m.spent.allocations) / float64(n)
	r.Allocated = float64(m.spent.memory) / float64(n)
	return r
}

// cpuTime that this process has used, user and system, in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// resident is the largest resident memory of this process so far, in bytes.
func resident() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss << 10
}
