package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

const (
	// maxTogether is how many acts share a commit at most.
	maxTogether = 64
	// togetherTimeout bounds a transaction of several.
	togetherTimeout = 30 * time.Second
)

// together gathers acts of many callers: those that come while one transaction is
// committed share the next, so that a commit's wait for the disk is shared too.
type together struct {
	mu      sync.Mutex
	waiting []*member
	running bool
}

// member is one act that waits for its commit.
type member struct {
	ctx       context.Context
	operation string
	do        func(context.Context, *sql.Tx) error
	done      chan error
}

// actTogether is acting in a transaction that others may share. do may run several
// times, also after ctx has ended: it must find out what it did before.
func (s *Store) actTogether(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return s.failed(operation, err)
	}
	m := &member{ctx, operation, do, make(chan error, 1)}
	s.together.mu.Lock()
	s.together.waiting = append(s.together.waiting, m)
	if !s.together.running {
		s.together.running = true
		go s.runTogether()
	}
	s.together.mu.Unlock()
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return s.failed(operation, ctx.Err())
	}
}

// runTogether commits what waits until nothing does.
func (s *Store) runTogether() {
	for {
		t := &s.together
		t.mu.Lock()
		n := min(len(t.waiting), maxTogether)
		members := t.waiting[:n:n]
		t.waiting = t.waiting[n:]
		if n == 0 {
			t.waiting, t.running = nil, false
		}
		t.mu.Unlock()
		if n == 0 {
			return
		}
		s.commitTogether(members)
	}
}

// commitTogether answers each member. When the transaction of all fails, each
// has one of its own, so that nobody pays for another's failure.
func (s *Store) commitTogether(members []*member) {
	if len(members) > 1 {
		ctx, cancel := context.WithTimeout(context.Background(), togetherTimeout)
		defer cancel()
		err := s.acting(ctx, members[0].operation, func(ctx context.Context, tx *sql.Tx) error {
			for _, m := range members {
				if err := m.do(ctx, tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			for _, m := range members {
				m.done <- nil
			}
			return
		}
	}
	for _, m := range members {
		m.done <- s.acting(m.ctx, m.operation, m.do)
	}
}
