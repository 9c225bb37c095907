package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxShards bounds the shards of a CA's CRL.
const maxShards = 1 << 16

// lookup finds names with the record of their newest attempt.
var lookup = bulk{
	before: `SELECT v.column1, s.attempt, ` + recordColumns + `, ` + contentColumns + ` FROM (`,
	after: `) AS v JOIN serials s ON s.id = (SELECT n.id FROM serials n WHERE n.scope = v.column2 AND n.name = v.column3 ORDER BY n.attempt DESC LIMIT 1)` +
		joinRecord,
	columns: []string{"BIGINT", "BIGINT", "TEXT"},
}

// Begin returns one Begun for each identity; see [authority.Ledger]. It writes
// nothing about a new one: RecordIntent does, and finds out whether somebody was faster.
func (s *Store) Begin(ctx context.Context, issuer authority.IssuerKey, shards int32, identities []authority.Identity) ([]authority.Begun, error) {
	const operation = "begin"
	if err := checkBegin(issuer, shards, identities); err != nil {
		return nil, s.failed(operation, err)
	}
	begun, err := s.lookup(ctx, identities)
	if err != nil {
		return nil, s.failed(operation, err)
	}
	for i, id := range identities {
		known := &begun[i]
		switch {
		case known.Attempt == 0:
			known.Attempt = 1
		case known.Identity.Digest != id.Digest:
			known.Conflict = true
			continue
		case known.State == authority.StateAbandoned:
			known.Attempt++
		default:
			continue
		}
		if known.Record, err = s.draw(issuer, shards, id); err != nil {
			return nil, s.failed(operation, err)
		}
	}
	return begun, nil
}

// lookup returns what is known, in the order of the identities; the attempt of
// what is not is 0.
func (s *Store) lookup(ctx context.Context, identities []authority.Identity) ([]authority.Begun, error) {
	scopes := make([]int64, len(identities))
	for i, id := range identities {
		var err error
		if scopes[i], err = s.idOf(ctx, scopeRow(id)); err != nil {
			return nil, err
		}
	}
	known := make([]authority.Begun, len(identities))
	err := s.query(ctx, s.c.Reader, &lookup, len(identities), func(args []any, i int) []any {
		return append(args, int64(i), scopes[i], identities[i].Name)
	}, func(rows *sql.Rows) error {
		var r recordRow
		var i int64
		var attempt int32
		if err := rows.Scan(append(append([]any{&i, &attempt}, r.fields()...), r.contentFields()...)...); err != nil {
			return err
		}
		record, err := r.record()
		known[i] = authority.Begun{Record: record, Attempt: attempt}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up identities: %w", err)
	}
	return known, nil
}

// draw makes a new serial, which decides the shard.
func (s *Store) draw(issuer authority.IssuerKey, shards int32, id authority.Identity) (authority.Record, error) {
	serial, err := pki.NewSerial(s.c.Random, s.c.Now())
	if err != nil {
		return authority.Record{}, err
	}
	return authority.Record{Issuer: issuer, Serial: serial, Shard: authority.ShardOf(serial, shards), Identity: id, State: authority.StateDrawn}, nil
}

func checkBegin(issuer authority.IssuerKey, shards int32, identities []authority.Identity) error {
	if err := checkSlice("identities", len(identities)); err != nil {
		return err
	}
	if err := checkIssuer(issuer); err != nil {
		return err
	}
	if shards < 1 || shards > maxShards {
		return fmt.Errorf("shards: %d: want 1 to %d", shards, maxShards)
	}
	return checkIdentities(len(identities), func(i int) authority.Identity { return identities[i] })
}

// checkIdentities refuses names that do not fit or stand twice in a slice.
func checkIdentities(n int, identity func(int) authority.Identity) error {
	seen := make(map[[3]string]struct{}, n)
	for i := range n {
		id := identity(i)
		if err := checkName("identity", id.Kind, id.Namespace, id.Name); err != nil {
			return err
		}
		name := [3]string{id.Kind, id.Namespace, id.Name}
		if _, twice := seen[name]; twice {
			return fmt.Errorf("identity %s: stands twice in one slice", identityName(id))
		}
		seen[name] = struct{}{}
	}
	return nil
}

func checkSlice(field string, n int) error {
	if n < 1 || n > authority.MaxSlice {
		return fmt.Errorf("%s: slice of %d: want 1 to %d", field, n, authority.MaxSlice)
	}
	return nil
}

func checkIssuer(k authority.IssuerKey) error {
	if k.Generation < 1 {
		return fmt.Errorf("issuer generation: %d: counts from 1", k.Generation)
	}
	return bounded("issuer authority", len(k.Authority), 400)
}

func identityName(id authority.Identity) string { return id.Kind + "/" + id.Namespace + "/" + id.Name }

func issuerName(k authority.IssuerKey) string {
	return fmt.Sprintf("%s/g%d", k.Authority, k.Generation)
}
