package authority

import (
	"context"
	"errors"
	"fmt"
)

// publisher makes the lists of one shard, one after the other.
type publisher struct {
	// turn has room for whoever makes a list.
	turn chan struct{}
	// next is the list that is wanted and not begun; guarded by Service.mu.
	next *publication
}

// publication is a list that callers of Publish wait for together. Its fields
// are guarded by the publisher's turn.
type publication struct {
	done bool
	crl  CRL
	err  error
}

func (s *Service) publisher(name crlName) *publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.publishers[name]
	if p == nil {
		p = &publisher{turn: make(chan struct{}, 1)}
		s.publishers[name] = p
	}
	return p
}

func (p *publisher) lock(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *publisher) unlock() { <-p.turn }

// Publish signs a list of a shard now, whatever its schedule, and returns it: a
// delta when the CA makes them and one can be made, else a full list. It was begun after the call, so it shows every act that was performed
// before. Calls at the same time share a list.
func (s *Service) Publish(ctx context.Context, key IssuerKey, shard int32) (CRL, error) {
	ca, err := s.CA(key)
	if err != nil {
		return CRL{}, err
	}
	if shard < 0 || shard >= ca.MaxShards {
		return CRL{}, fmt.Errorf("publish CRL of %s: shard %d: want 0 to %d", key.Authority, shard, ca.MaxShards-1)
	}
	p := s.publisher(crlName{key, shard})
	s.mu.Lock()
	if p.next == nil {
		p.next = &publication{}
	}
	wanted := p.next // a list that is being made was begun before this call
	s.mu.Unlock()
	if err := p.lock(ctx); err != nil {
		return CRL{}, fmt.Errorf("publish CRL of %s: %w", key.Authority, err)
	}
	defer p.unlock()
	if wanted.done { // by another caller of the same publication
		return wanted.crl, wanted.err
	}
	s.mu.Lock()
	if p.next == wanted {
		p.next = nil // later calls want a later list
	}
	s.mu.Unlock()
	wanted.crl, err = s.publish(ctx, ca, shard)
	if err != nil && ctx.Err() != nil {
		return CRL{}, err // this caller gave up; another one of the publication makes the list
	}
	wanted.done, wanted.err = true, err
	return wanted.crl, err
}

// publish makes the list, again when another process was faster: its list may
// have been begun before the act that this one is to show.
func (s *Service) publish(ctx context.Context, ca *CA, shard int32) (CRL, error) {
	for n := 1; ; n++ {
		lists, err := s.lists(ctx, ca, shard)
		if err != nil {
			return CRL{}, err
		}
		var base *CRL
		if !lists.fullDue(s.now()) {
			base = lists.base(s.now())
		}
		made, err := s.makeCRL(ctx, lists, base)
		if !errors.Is(err, ErrStaleCRL) || n == maxStale {
			return made, err
		}
	}
}
