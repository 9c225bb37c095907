package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// push is one round: changes from the log, and a comparison if it is due. What a
// slave refuses is no error of the round, but of the status.
func (w *worker) push(ctx context.Context, compareNow bool) error {
	w.round.Lock()
	defer w.round.Unlock()
	err := w.pushRound(ctx, compareNow)
	if err != nil {
		err = fmt.Errorf("push to %q: %w", w.slave.Name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.status
	s.LastError, s.Refused = err, w.refused.count
	switch {
	case err != nil:
	case w.refused.last != nil:
		s.LastError = fmt.Errorf("push to %q: %w", w.slave.Name, w.refused.last)
	case w.unfilled:
		s.LastError = fmt.Errorf("push to %q: %w; what it lacks stays on the slave until then", w.slave.Name, ErrFilling)
	}
	if s.LastError != nil {
		s.InSync = false
	}
	return err
}

func (w *worker) pushRound(ctx context.Context, compareNow bool) error {
	if w.cursor == "" && !w.loaded && w.config.Cursors != nil {
		c, err := w.config.Cursors.Load(w.slave.Name)
		if err != nil {
			return fmt.Errorf("load cursor: %w", err)
		}
		w.cursor, w.loaded = c, true
	}
	now := w.config.Now()
	due := compareNow || now.Sub(w.currentStatus().LastCompare) >= w.config.CompareInterval
	if w.unfilled && !due { // to be compared again as soon as the master is filled
		mark, err := readMark(ctx, w.config.Master, w.config.Base)
		if err != nil {
			return err
		}
		due = mark != ""
	}
	if w.cursor == "" {
		return w.load(ctx, due)
	}
	again, err := w.catchUp(ctx)
	w.links.look(w.config.MasterConnections, w.slave.Connections)
	switch {
	case errors.Is(err, ErrCursorLost), errors.Is(err, ErrNoLog):
		w.cursor = ""
		return w.load(ctx, true)
	case err != nil:
		return err
	}
	suspect := (w.links.master || w.links.slave || w.refused.count > 0) && now.Sub(w.suspectAt) >= suspectInterval
	if suspect && w.links.master {
		w.cursor, w.suspectAt = "", now
		return w.load(ctx, true)
	}
	if !due && !again && !suspect {
		return nil
	}
	if ended, err := w.compare(ctx, true, compareNow); !ended {
		return err
	}
	if suspect {
		w.suspectAt = now
	}
	_, err = w.catchUp(ctx)
	return err
}

// links knows whether a server was connected to again since the last comparison.
type links struct {
	known                 bool
	masterSeen, slaveSeen int64
	master, slave         bool
}

func (l *links) look(master, slave func() int64) {
	count := func(f func() int64) int64 {
		if f == nil {
			return 0
		}
		return f()
	}
	m, s := count(master), count(slave)
	if l.known {
		// The first connection is none again: a slave that nothing was written to has none yet.
		l.master = l.master || (l.masterSeen > 0 && m > l.masterSeen)
		l.slave = l.slave || (l.slaveSeen > 0 && s > l.slaveSeen)
	}
	l.known, l.masterSeen, l.slaveSeen = true, m, s
}

// load compares without a cursor: what differs is backlog, not drift.
func (w *worker) load(ctx context.Context, due bool) error {
	began := w.config.Now()
	cursor, err := w.config.Master.Changes(ctx, "", 1)
	switch {
	case errors.Is(err, ErrNoLog):
		if !due {
			return nil
		}
		if _, err := w.compare(ctx, false, true); err != nil {
			return err
		}
		w.inSync()
		w.mu.Lock()
		w.pendingSince = began // what is changed from now on waits for the next one
		w.mu.Unlock()
		return nil
	case err != nil:
		return fmt.Errorf("read log of master: %w", err)
	}
	if _, err := w.compare(ctx, false, true); err != nil {
		return err
	}
	// If we die here the slave is compared again, which writes nothing.
	if err := w.advance(cursor.Next); err != nil {
		return err
	}
	_, err = w.catchUp(ctx)
	return err
}

// catchUp pushes what the log has after the cursor. Again says that an entry
// could not be placed: one around it differs, which only a comparison tells.
func (w *worker) catchUp(ctx context.Context) (again bool, err error) {
	for {
		log, err := w.config.Master.Changes(ctx, w.cursor, maxPage)
		if err != nil {
			return again, fmt.Errorf("read log of master: %w", err)
		}
		w.mu.Lock()
		w.pendingSince = log.Oldest
		w.status.Backlog = len(log.DNs)
		w.mu.Unlock()
		err = readAhead(ctx, slices.Collect(slices.Chunk(log.DNs, chunk)), w.read, func(part []string, r *reading) error {
			_, misplaced, err := w.bring(ctx, r, nil)
			if again = again || misplaced; err == nil {
				w.update(func(s *SlaveStatus) { s.Backlog -= len(part) })
			}
			return err
		})
		if err != nil {
			return again, err
		}
		// Die before this: the page is pushed again, which writes nothing.
		if log.Next != w.cursor {
			if err := w.advance(log.Next); err != nil {
				return again, err
			}
		}
		if !log.More {
			w.inSync()
			return again, nil
		}
	}
}

func (w *worker) advance(c Cursor) error {
	if w.config.Cursors != nil {
		if err := w.config.Cursors.Save(w.slave.Name, c); err != nil {
			return fmt.Errorf("save cursor: %w", err)
		}
	}
	w.cursor = c
	return nil
}

func (w *worker) inSync() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pendingSince = time.Time{}
	w.status.Backlog, w.status.InSync, w.status.LastPush = 0, true, w.config.Now()
}
