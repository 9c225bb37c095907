package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
)

const (
	maxPublicKey = 4 << 10
	maxSpec      = 1 << 20
)

// RecordKey keeps a key once ever; see [authority.Book]. Of the same public key
// again, the device and label of the first time stay.
func (s *Store) RecordKey(ctx context.Context, k authority.Key) error {
	const operation = "record key"
	if k.Generation < 1 {
		return s.failed(operation, fmt.Errorf("generation: %d: counts from 1", k.Generation))
	}
	if err := errors.Join(bounded("owner", len(k.Owner), 400), bounded("device", len(k.Device), 400), bounded("label", len(k.Label), 500),
		bounded("public key", len(k.PublicKey), maxPublicKey)); err != nil {
		return s.failed(operation, err)
	}
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO device_keys (owner, generation, device, label, public_key) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (owner, generation) DO NOTHING`, k.Owner, k.Generation, k.Device, k.Label, k.PublicKey)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			known, err := findKey(ctx, tx, k.Owner, k.Generation)
			if err != nil {
				return err
			}
			if !bytes.Equal(known.PublicKey, k.PublicKey) {
				return fmt.Errorf("%s generation %d: %w", k.Owner, k.Generation, authority.ErrKeyMismatch)
			}
			return nil
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actKey, fmt.Sprintf("key/%s/g%d", k.Owner, k.Generation), detail{
			"device": k.Device, "label": k.Label, "publicKey": fingerprint(k.PublicKey)}}})
		return err
	})
}

// FindKey returns a key, or [authority.ErrNotFound].
func (s *Store) FindKey(ctx context.Context, owner string, generation int32) (authority.Key, error) {
	k, err := findKey(ctx, s.c.Reader, owner, generation)
	return k, s.failed("find key", err)
}

func findKey(ctx context.Context, q querier, owner string, generation int32) (authority.Key, error) {
	k := authority.Key{Owner: owner, Generation: generation}
	err := q.QueryRowContext(ctx, `SELECT device, label, public_key FROM device_keys WHERE owner = $1 AND generation = $2`,
		owner, generation).Scan(&k.Device, &k.Label, &k.PublicKey)
	if notFound(err) {
		err = authority.ErrNotFound
	}
	if err != nil {
		return authority.Key{}, err
	}
	return k, nil
}

// Accept keeps a spec in place of the one before; see [authority.Book]. The
// same spec again changes nothing and leaves no audit leaf.
func (s *Store) Accept(ctx context.Context, a authority.Accepted) error {
	const operation = "accept spec"
	if err := errors.Join(bounded("name", len(a.Name), 400), bounded("spec", len(a.Spec), maxSpec)); err != nil {
		return s.failed(operation, err)
	}
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO accepted (name, spec) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET spec = excluded.spec WHERE accepted.spec <> excluded.spec`, a.Name, a.Spec)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actAccept, "accepted/" + a.Name, detail{"spec": fingerprint(a.Spec)}}}, about{spec: a.Name})
		return err
	})
}

// AllAccepted returns the accepted specs whose name begins with prefix, by name.
func (s *Store) AllAccepted(ctx context.Context, prefix string) ([]authority.Accepted, error) {
	const operation = "read accepted specs"
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT name, spec FROM accepted WHERE substr(name, 1, length($1)) = $1 ORDER BY name`, prefix)
	if err != nil {
		return nil, s.failed(operation, err)
	}
	all, err := scanAll(rows, func(rows *sql.Rows) (a authority.Accepted, err error) { return a, rows.Scan(&a.Name, &a.Spec) })
	return all, s.failed(operation, err)
}
