package ldap

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"
	"github.com/terrace-pki/terrace/directory"
	"golang.org/x/sync/errgroup"
)

// Get reads each entry by a search of its own; they are under way together.
func (s *Server) Get(ctx context.Context, dns []string) ([]*directory.Entry, error) {
	if len(dns) > directory.MaxGet {
		return nil, fmt.Errorf("LDAP server %s: get: %d entries, at most %d are allowed", s.config.Address, len(dns), directory.MaxGet)
	}
	if len(dns) == 0 {
		return nil, nil
	}
	conn, err := s.connection(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]*directory.Entry, len(dns))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(window)
	for i, name := range dns {
		group.Go(func() error {
			e, err := s.get(ctx, conn, name)
			entries[i] = e
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return entries, nil
}

func (s *Server) get(ctx context.Context, conn *ldap.Conn, name string) (*directory.Entry, error) {
	result, err := s.search(ctx, conn, ldap.NewSearchRequest(name, ldap.ScopeBaseObject, ldap.NeverDerefAliases,
		0, 0, false, "(objectClass=*)", []string{"*"}, nil))
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return nil, nil
	case err != nil:
		return nil, s.wrap("read "+name, err)
	case len(result.Entries) == 0:
		return nil, nil
	}
	e := entryOf(result.Entries[0])
	return &e, nil
}

// search returns what came also when there is an error.
func (s *Server) search(ctx context.Context, conn *ldap.Conn, request *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var result *ldap.SearchResult
	answers := make(chan *ldap.SearchResult, 1)
	err := s.do(ctx, func() error {
		r, err := conn.Search(request)
		answers <- r
		return err
	})
	select {
	case result = <-answers:
	default:
	}
	return result, err
}

func entryOf(e *ldap.Entry) directory.Entry {
	attributes := make([]directory.Attribute, len(e.Attributes))
	for i, a := range e.Attributes {
		attributes[i] = directory.Attribute{Type: a.Name, Values: a.ByteValues}
	}
	return directory.NewEntry(e.DN, attributes...)
}

// Walk reads pages (RFC 2696) on a connection of its own, since slapd keeps the
// place in one paged search for each connection. While yield has one page the
// next is on its way, so at most two are in memory.
func (s *Server) Walk(ctx context.Context, base string, yield func(directory.Entry) error) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	type page struct {
		entries []*ldap.Entry
		err     error
		last    bool
	}
	pages, stopped := make(chan page), make(chan struct{})
	defer close(stopped)
	go func() {
		paging := ldap.NewControlPaging(pageSize)
		for {
			var p page
			p.entries, p.last, p.err = s.page(ctx, conn, base, paging)
			select {
			case pages <- p:
			case <-stopped:
				return
			}
			if p.last || p.err != nil {
				return
			}
		}
	}()
	for {
		p := <-pages
		if p.err != nil {
			return p.err
		}
		for _, e := range p.entries {
			if err := yield(entryOf(e)); err != nil {
				return err
			}
		}
		if p.last {
			return nil
		}
	}
}

// page reads one, and sets paging for the next unless it is the last.
func (s *Server) page(ctx context.Context, conn *ldap.Conn, base string, paging *ldap.ControlPaging) (entries []*ldap.Entry, last bool, err error) {
	result, err := s.search(ctx, conn, ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		0, 0, false, "(objectClass=*)", []string{"*"}, []ldap.Control{paging}))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, s.wrap("list "+base, err)
	}
	next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	if !ok {
		return nil, false, fmt.Errorf("LDAP server %s: list %s: the server does not page (RFC 2696)", s.config.Address, base)
	}
	paging.SetCookie(next.Cookie)
	return result.Entries, len(next.Cookie) == 0, nil
}
