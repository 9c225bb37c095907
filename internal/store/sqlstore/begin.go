package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxShards bounds the shards of a CA's CRL.
const maxShards = 1 << 16

// lookup finds identities by name with their newest serial, if any.
var lookup = bulk{
	before: `SELECT v.column1, i.id, s.id, ` + identityColumns + `, ` + serialColumns + `, ` + contentColumns + ` FROM (`,
	after: `) AS v JOIN identities i ON i.kind = v.column2 AND i.namespace = v.column3 AND i.name = v.column4
		LEFT JOIN serials s ON s.id = (SELECT n.id FROM serials n WHERE n.identity = i.id AND n.withdrawn_at IS NULL ORDER BY n.id DESC LIMIT 1)`,
	columns: []string{"BIGINT", "TEXT", "TEXT", "TEXT"},
}

// lockIdentities adds the names that are new and locks all of them until the
// transaction ends: the empty update is what locks.
var lockIdentities = bulk{
	before:  `INSERT INTO identities (kind, namespace, name, digest) `,
	after:   ` ON CONFLICT (kind, namespace, name) DO UPDATE SET kind = excluded.kind`,
	columns: []string{"TEXT", "TEXT", "TEXT", "BYTES"},
}

// insertSerials leaves out a serial that was drawn before.
var insertSerials = bulk{
	before:  `INSERT INTO serials (serial, identity, authority, generation, shard, state, epoch, reserved_at) `,
	after:   ` ON CONFLICT (serial) DO NOTHING`,
	columns: []string{"TEXT", "BIGINT", "TEXT", "BIGINT", "BIGINT", "TEXT", "BIGINT", "BIGINT"},
}

// withdraw closes a reservation under another issuer: nothing was signed under it.
var withdraw = bulk{
	before:  `UPDATE serials SET withdrawn_at = $1, epoch = $2 WHERE state = 'Reserved' AND withdrawn_at IS NULL AND id IN (`,
	after:   `)`,
	fixed:   2,
	columns: []string{"BIGINT"},
}

// found is what the ledger holds of one identity of a call.
type found struct {
	record           authority.Record
	identity, serial int64 // row ids; 0 when there is none
}

// settled says that nothing is to be reserved.
func (f found) settled(issuer authority.IssuerKey, wanted authority.Identity) bool {
	if f.identity == 0 {
		return false
	}
	if f.record.Identity.Digest != wanted.Digest {
		return true // a conflict
	}
	switch {
	case f.serial == 0, f.record.State == authority.StateAbandoned:
		return false
	case f.record.State == authority.StateReserved:
		return f.record.Issuer == issuer
	}
	return true
}

// Begin returns one Begun for each identity; see [authority.Ledger].
func (s *Store) Begin(ctx context.Context, issuer authority.IssuerKey, shards int32, identities []authority.Identity) ([]authority.Begun, error) {
	const operation = "begin"
	if err := checkBegin(issuer, shards, identities); err != nil {
		return nil, s.failed(operation, err)
	}
	out := make([]authority.Begun, len(identities))
	err := s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		known, err := s.lookup(ctx, tx, identities)
		if err != nil {
			return err
		}
		var open []int
		for i, f := range known {
			if !f.settled(issuer, identities[i]) {
				open = append(open, i)
			}
		}
		if len(open) > 0 {
			if err := s.reserve(ctx, tx, issuer, shards, identities, open, known); err != nil {
				return err
			}
		}
		for i, f := range known {
			out[i] = authority.Begun{Record: f.record, Conflict: f.record.Identity.Digest != identities[i].Digest}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// lookup returns what is known, in the order of the identities.
func (s *Store) lookup(ctx context.Context, tx *sql.Tx, identities []authority.Identity) ([]found, error) {
	known := make([]found, len(identities))
	err := s.query(ctx, tx, &lookup, len(identities), func(args []any, i int) []any {
		return append(args, int64(i), identities[i].Kind, identities[i].Namespace, identities[i].Name)
	}, func(rows *sql.Rows) error {
		var r recordRow
		var i, identity int64
		var serial sql.NullInt64
		fields := append([]any{&i, &identity, &serial}, r.identityFields()...)
		if err := rows.Scan(append(append(fields, r.serialFields()...), r.contentFields()...)...); err != nil {
			return err
		}
		record, err := r.record()
		known[i] = found{record, identity, serial.Int64}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up identities: %w", err)
	}
	return known, nil
}

// reserve draws a serial for each open identity that still needs one once its
// row is locked, and completes known.
func (s *Store) reserve(ctx context.Context, tx *sql.Tx, issuer authority.IssuerKey, shards int32, identities []authority.Identity, open []int, known []found) error {
	// Always in the same order, so that two calls do not lock each other out.
	slices.SortFunc(open, func(a, b int) int { return compareNames(identities[a], identities[b]) })
	wanted := make([]authority.Identity, len(open))
	for i, o := range open {
		wanted[i] = identities[o]
	}
	_, err := s.exec(ctx, tx, &lockIdentities, len(wanted), func(args []any, i int) []any {
		return append(args, wanted[i].Kind, wanted[i].Namespace, wanted[i].Name, wanted[i].Digest[:])
	})
	if err != nil {
		return fmt.Errorf("lock identities: %w", err)
	}
	locked, err := s.lookup(ctx, tx, wanted) // another call may have been faster
	if err != nil {
		return err
	}
	var fresh []int // in locked
	var leaves []leaf
	var withdrawn []int64
	for i, f := range locked {
		if f.settled(issuer, wanted[i]) {
			continue
		}
		if f.record.State == authority.StateReserved {
			withdrawn = append(withdrawn, f.serial)
			leaves = append(leaves, leaf{actWithdraw, serialSubject(string(f.record.Serial)), nil})
		}
		record, err := s.draw(issuer, shards, wanted[i])
		if err != nil {
			return err
		}
		locked[i].record = record
		fresh = append(fresh, i)
		leaves = append(leaves, leaf{actBegin, serialSubject(string(record.Serial)), detail{
			"issuer": issuerName(issuer), "identity": identityName(wanted[i]), "digest": hex.EncodeToString(wanted[i].Digest[:])}})
	}
	for i, o := range open {
		known[o] = locked[i]
	}
	return s.insertFresh(ctx, tx, locked, fresh, withdrawn, leaves)
}

// insertFresh writes the drawn serials. Die before the commit: the next Begin
// draws others. Die after: it returns these.
func (s *Store) insertFresh(ctx context.Context, tx *sql.Tx, locked []found, fresh []int, withdrawn []int64, leaves []leaf) error {
	now := s.now()
	n, err := s.exec(ctx, tx, &withdraw, len(withdrawn), func(args []any, i int) []any { return append(args, withdrawn[i]) }, now, s.epoch)
	if err != nil {
		return fmt.Errorf("withdraw reservations: %w", err)
	}
	if n != int64(len(withdrawn)) {
		return fmt.Errorf("withdraw reservations: %w", errAgain) // one of them was intended meanwhile
	}
	n, err = s.exec(ctx, tx, &insertSerials, len(fresh), func(args []any, i int) []any {
		f := locked[fresh[i]]
		return append(args, string(f.record.Serial), f.identity, f.record.Issuer.Authority, f.record.Issuer.Generation, f.record.Shard,
			string(authority.StateReserved), s.epoch, now)
	})
	if err != nil {
		return fmt.Errorf("reserve serials: %w", err)
	}
	if n != int64(len(fresh)) {
		return fmt.Errorf("reserve serials: a serial was drawn twice; is the random source broken? %w", errAgain)
	}
	return s.audit(ctx, tx, now, leaves)
}

// draw makes a new serial. Its last bytes are random, so its shard is uniform
// (to within shards / 2^64) and a function of the serial alone.
func (s *Store) draw(issuer authority.IssuerKey, shards int32, id authority.Identity) (authority.Record, error) {
	serial, err := pki.NewSerial(s.c.Random)
	if err != nil {
		return authority.Record{}, err
	}
	low, err := strconv.ParseUint(string(serial[len(serial)-16:]), 16, 64)
	if err != nil {
		return authority.Record{}, fmt.Errorf("shard of serial %s: %w", serial, err)
	}
	return authority.Record{Issuer: issuer, Serial: serial, Shard: int32(low % uint64(shards)), Identity: id, State: authority.StateReserved}, nil
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
	seen := make(map[[3]string]struct{}, len(identities))
	for _, id := range identities {
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

func compareNames(a, b authority.Identity) int {
	if c := strings.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func identityName(id authority.Identity) string { return id.Kind + "/" + id.Namespace + "/" + id.Name }

func issuerName(k authority.IssuerKey) string {
	return fmt.Sprintf("%s/g%d", k.Authority, k.Generation)
}
