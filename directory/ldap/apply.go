package ldap

import (
	"context"
	"errors"
	"sync"

	"github.com/go-ldap/ldap/v3"
	"github.com/terrace-pki/terrace/directory"
	"golang.org/x/sync/errgroup"
)

// Apply has changes of one kind and depth, which do not depend on each other,
// under way together; the rest is in order.
func (s *Server) Apply(ctx context.Context, changes []directory.Change) error {
	for len(changes) > 0 {
		n, depth := 1, changes[0].Depth()
		for n < len(changes) && changes[n].Kind == changes[0].Kind && changes[n].Depth() == depth {
			n++
		}
		if err := s.applyTogether(ctx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

func (s *Server) applyTogether(ctx context.Context, changes []directory.Change) error {
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	// Those under way are not cancelled: which change was refused is to be known.
	var mu sync.Mutex
	var failures []error
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(failures) > 0
	}
	var group errgroup.Group
	group.SetLimit(window)
	for _, c := range changes {
		group.Go(func() error {
			if failed() {
				return nil
			}
			if err := s.apply(ctx, conn, c); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, err)
			}
			return nil
		})
	}
	_ = group.Wait() // failures has them
	return worst(failures)
}

// worst is the first that is not for want of a connection, which a request that
// is too large takes away from its neighbours; else the first.
func worst(failures []error) error {
	for _, err := range failures {
		if !errors.Is(err, directory.ErrUnavailable) {
			return err
		}
	}
	if len(failures) > 0 {
		return failures[0]
	}
	return nil
}

func (s *Server) apply(ctx context.Context, conn *ldap.Conn, c directory.Change) error {
	what := c.Kind.String() + " " + c.DN
	size := len(c.DN)
	err := s.do(ctx, func() error {
		switch c.Kind {
		case directory.Add:
			r := ldap.NewAddRequest(c.DN, nil)
			for _, a := range c.Attributes {
				r.Attribute(a.Type, valuesOf(a, &size))
			}
			return conn.Add(r)
		case directory.Modify:
			r := ldap.NewModifyRequest(c.DN, nil)
			for _, a := range c.Attributes {
				r.Replace(a.Type, valuesOf(a, &size))
			}
			return conn.Modify(r)
		default:
			err := conn.Del(ldap.NewDelRequest(c.DN, nil))
			if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
				return nil
			}
			return err
		}
	})
	if err == nil || ctx.Err() != nil {
		return s.wrap(what, err)
	}
	if _, ok := answerOf(err); !ok && size > slapdLimit {
		return s.tooLarge(what, size, err)
	}
	return s.wrap(what, err)
}

func valuesOf(a directory.Attribute, size *int) []string {
	values := make([]string, len(a.Values))
	for i, v := range a.Values {
		values[i] = string(v)
		*size += len(v)
	}
	return values
}
