package bench

import (
	"runtime"
	"time"
)

// except does what is not to be measured, from the goroutine that measures.
func (m *meter) except(do func() error) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := cpuTime(), time.Now()
	err := do()
	m.start = m.start.Add(time.Since(began))
	m.cpu += cpuTime() - cpu
	runtime.ReadMemStats(&after)
	m.memory.Mallocs += after.Mallocs - before.Mallocs
	m.memory.TotalAlloc += after.TotalAlloc - before.TotalAlloc
	return err
}
