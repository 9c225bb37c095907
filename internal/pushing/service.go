// Package pushing brings what a directory's master holds to its slaves (下推,
// LD/T 02.1 §7.3.2). It stands beside the master and runs from specs that it
// keeps as files, not from the API server.
package pushing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/publishing"
)

// Bounds of what is kept.
const (
	maxSpecFile    = 2 << 20
	maxDirectories = 256
)

// Config of a Service. Dir and Open are required.
type Config struct {
	// Dir keeps the accepted specs, without passwords, and how far each slave is.
	Dir string
	// Open makes the connection to a server.
	Open    publishing.Opener
	Metrics *publishing.Metrics // default: not registered anywhere
	// Interval between looks at a master's log; default 1 s.
	Interval time.Duration
}

// Service pushes all accepted directories. All methods may be used concurrently.
type Service struct {
	config  Config
	changed chan struct{} // one element when Run is to look at the specs again
	// turn holds an element while a slave is compared in full: one at a time, since
	// each comparison holds many names in memory.
	turn chan struct{}

	mu    sync.RWMutex
	specs map[string]publishing.Spec // by ID
	runs  map[string]*run            // by ID
	again map[string]bool            // IDs to be started anew
}

// Open makes the folders and takes up the specs in them.
func Open(c Config) (*Service, error) {
	if !filepath.IsAbs(c.Dir) {
		return nil, fmt.Errorf("open state of the pusher: folder %q: want an absolute path", c.Dir)
	}
	if c.Metrics == nil {
		c.Metrics = publishing.NewMetrics(nil)
	}
	s := &Service{config: c, changed: make(chan struct{}, 1), turn: make(chan struct{}, 1), specs: map[string]publishing.Spec{}, runs: map[string]*run{}, again: map[string]bool{}}
	for _, dir := range []string{s.specDir(), s.cursorDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open state of the pusher: %w", err)
		}
	}
	files, err := os.ReadDir(s.specDir())
	if err != nil {
		return nil, fmt.Errorf("open state of the pusher: %w", err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") || filepath.Ext(f.Name()) != ".json" {
			continue // one that was being written when the process died
		}
		spec, err := readSpec(filepath.Join(s.specDir(), f.Name()))
		if err != nil {
			return nil, fmt.Errorf("open state of the pusher: %w; the API server has the original: remove the file", err)
		}
		s.specs[spec.ID()] = spec
	}
	return s, nil
}

func (s *Service) specDir() string   { return filepath.Join(s.config.Dir, "directories") }
func (s *Service) cursorDir() string { return filepath.Join(s.config.Dir, "cursors") }

func readSpec(path string) (publishing.Spec, error) {
	var spec publishing.Spec
	info, err := os.Stat(path)
	if err != nil {
		return spec, err
	}
	if info.Size() > maxSpecFile {
		return spec, fmt.Errorf("%s: has %d bytes, at most %d are allowed", path, info.Size(), maxSpecFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return spec, err
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	if err := spec.Validate(); err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// Accept makes spec that of its directory, durably; the same again writes nothing.
// A publishing.OverlapError says that another one has its entries on a slave.
func (s *Service) Accept(spec publishing.Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	next, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode directory %s: %w", spec.ID(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.specs {
		if err := publishing.Overlap(spec, spec.Slaves, other, other.Slaves); err != nil {
			return fmt.Errorf("accept directory %s: %w", spec.ID(), err)
		}
	}
	old, known := s.specs[spec.ID()]
	if known {
		if before, err := json.Marshal(old); err == nil && bytes.Equal(before, next) {
			return nil
		}
	} else if len(s.specs) >= maxDirectories {
		return fmt.Errorf("accept directory %s: %d are accepted already, the most that one process pushes; run another", spec.ID(), maxDirectories)
	}
	if err := atomicfile.Write(filepath.Join(s.specDir(), fileName(spec.ID())+".json"), next, 0o600); err != nil {
		return fmt.Errorf("accept directory %s: %w", spec.ID(), err)
	}
	s.specs[spec.ID()] = spec
	s.lookAgain()
	return nil
}

// Retire ends the work for a directory whose object is gone, durably. What was
// pushed stays.
func (s *Service) Retire(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.specs[id]; !known {
		return nil
	}
	if err := os.Remove(filepath.Join(s.specDir(), fileName(id)+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("retire directory %s: %w", id, err)
	}
	delete(s.specs, id)
	s.lookAgain()
	return nil
}

// fileName of a directory: neither of its names has an underscore.
func fileName(id string) string { return strings.ReplaceAll(id, "/", "_") }

func (s *Service) lookAgain() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Status says how the slaves of a directory stand, in the spec's order; ok is
// false when Run does not push it.
func (s *Service) Status(id string) (status []publishing.ServerStatus, ok bool) {
	s.mu.RLock()
	r := s.runs[id]
	s.mu.RUnlock()
	if r == nil {
		return nil, false
	}
	return r.currentStatus(), true
}

// Wake has a directory connect anew and try at once, as after a password was changed.
func (s *Service) Wake(id string) {
	s.mu.Lock()
	s.again[id] = true
	s.mu.Unlock()
	s.lookAgain()
}

// Run pushes until ctx ends.
func (s *Service) Run(ctx context.Context, log logr.Logger) error {
	stops := map[string]func(){} // by ID
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for {
		outdated, retired := s.outdated()
		for _, id := range slices.AppendSeq(retired, maps.Keys(outdated)) {
			if stop := stops[id]; stop != nil {
				stop() // first: one writer for each slave, of another directory too
				delete(stops, id)
			}
		}
		for _, id := range retired {
			s.mu.Lock()
			s.runs[id].forget(publishing.Spec{})
			delete(s.runs, id)
			s.mu.Unlock()
		}
		for id, spec := range outdated {
			if err := s.start(ctx, spec, stops, log.WithValues("directory", id)); err != nil {
				log.Error(err, "directory is not pushed", "directory", id)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
	}
}

// outdated returns the specs that Run does not run yet, or is to run anew, and
// the IDs of those that it runs and that are retired.
func (s *Service) outdated() (out map[string]publishing.Spec, retired []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out = map[string]publishing.Spec{}
	for id, spec := range s.specs {
		if r := s.runs[id]; r == nil || !r.runs(spec) || s.again[id] {
			out[id] = spec
		}
	}
	for id := range s.runs {
		if _, known := s.specs[id]; !known {
			retired = append(retired, id)
		}
	}
	clear(s.again)
	return out, retired
}

func (s *Service) start(ctx context.Context, spec publishing.Spec, stops map[string]func(), log logr.Logger) error {
	s.mu.RLock()
	before := s.runs[spec.ID()]
	s.mu.RUnlock()
	r, err := newRun(spec, s.config, s.turn, s.cursorDir(), before, log)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.runs[spec.ID()] = r
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { r.pusher.Run(ctx) })
	group.Go(func() { r.watch(ctx) })
	stops[spec.ID()] = func() {
		cancel()
		group.Wait()
		if err := r.close(); err != nil && !errors.Is(err, context.Canceled) {
			log.Info("connections were not closed in order", "reason", err.Error())
		}
	}
	return nil
}
