package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/terrace-pki/terrace/internal/authority"
)

// names remembers the row ids of issuers and scopes. They are few: CAs, and
// kinds in namespaces.
type names struct {
	mu  sync.RWMutex
	ids map[name]int64
}

// name is the key of a row of issuers or scopes.
type name struct {
	of     *naming
	first  string
	second any // comparable
}

// naming is how rows of a table are found and made by their key.
type naming struct{ find, insert string }

var (
	issuerNaming = naming{
		find:   `SELECT id FROM issuers WHERE authority = $1 AND generation = $2`,
		insert: `INSERT INTO issuers (authority, generation, issued) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING`,
	}
	scopeNaming = naming{
		find:   `SELECT id FROM scopes WHERE kind = $1 AND namespace = $2`,
		insert: `INSERT INTO scopes (kind, namespace) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
	}
)

func issuerRow(k authority.IssuerKey) name { return name{&issuerNaming, k.Authority, k.Generation} }
func scopeRow(identity authority.Identity) name {
	return name{&scopeNaming, identity.Kind, identity.Namespace}
}

// idOf returns the id of a row, 0 when there is none.
func (s *Store) idOf(ctx context.Context, n name) (id int64, err error) {
	s.names.mu.RLock()
	id = s.names.ids[n]
	s.names.mu.RUnlock()
	if id != 0 {
		return id, nil
	}
	err = s.c.Reader.QueryRowContext(ctx, n.of.find, n.first, n.second).Scan(&id)
	if notFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find %s %v: %w", n.first, n.second, err)
	}
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	if s.names.ids == nil {
		s.names.ids = map[name]int64{}
	}
	s.names.ids[n] = id
	return id, nil
}

// makeID is idOf a row that is made when there is none, in a transaction of its
// own: an id is remembered only when it is there to stay.
func (s *Store) makeID(ctx context.Context, n name) (int64, error) {
	id, err := s.idOf(ctx, n)
	if err != nil || id != 0 {
		return id, err
	}
	err = s.inEpoch(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, n.of.insert, n.first, n.second)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("name %s %v: %w", n.first, n.second, err)
	}
	return s.idOf(ctx, n)
}
