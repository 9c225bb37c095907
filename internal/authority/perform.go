package authority

import (
	"context"
	"fmt"
)

// Perform revokes, holds or releases a certificate, once ever; see [Acts]. The
// certificate's list is made by its schedule, or at once by [Service.Publish].
func (s *Service) Perform(ctx context.Context, act Act) (Performed, error) {
	s.reached(BeforeAct) // die here: nothing is recorded; the object asks again
	done, err := s.store.Perform(ctx, act)
	if s.seen(err) != nil {
		return Performed{}, fmt.Errorf("%s certificate: %w", act.Verb, err)
	}
	s.reached(AfterAct) // die here: the next Perform returns what was recorded
	s.metrics.performed(done)
	return done, nil
}

// FindAct returns the act that an object asked for, or ErrNotFound.
func (s *Service) FindAct(ctx context.Context, kind, namespace, name string) (Performed, error) {
	return s.store.FindAct(ctx, kind, namespace, name)
}
