package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// maxCRL bounds one CRL: about a million entries.
const maxCRL = 64 << 20

// keptCRLs is how many lists of a shard and kind stay.
const keptCRLs = 2

// ReserveCRLNumber returns max(last + 1, now); see [authority.CRLStore]. Die
// after its commit, and the number is never used, which RFC 5280 allows.
func (s *Store) ReserveCRLNumber(ctx context.Context, issuer authority.IssuerKey, shard int32, now time.Time) (int64, error) {
	const operation = "reserve CRL number"
	if err := errors.Join(checkIssuer(issuer), checkShard(shard)); err != nil {
		return 0, s.failed(operation, err)
	}
	var number int64
	err := s.acting(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO crl_numbers (authority, generation, shard, last) VALUES ($1, $2, $3, $4)
			ON CONFLICT (authority, generation, shard) DO UPDATE
			SET last = CASE WHEN excluded.last > crl_numbers.last THEN excluded.last ELSE crl_numbers.last + 1 END
			RETURNING last`, issuer.Authority, issuer.Generation, shard, max(now.UnixNano(), 1)).Scan(&number)
		if err != nil {
			return err
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actCRLNumber, crlSubject(issuer, shard), detail{"number": strconv.FormatInt(number, 10)}}})
		return err
	})
	return number, err
}

// SaveCRL keeps a list in its place; see [authority.CRLStore]. Die before the
// commit: the list is signed anew under a higher number.
func (s *Store) SaveCRL(ctx context.Context, crl authority.CRL) error {
	const operation = "save CRL"
	this, thisErr := micros("thisUpdate", crl.ThisUpdate)
	next, nextErr := micros("nextUpdate", crl.NextUpdate)
	if err := errors.Join(checkIssuer(crl.Issuer), checkShard(crl.Shard), thisErr, nextErr, bounded("CRL", len(crl.DER), maxCRL)); err != nil {
		return s.failed(operation, err)
	}
	if crl.Number < 1 || next <= this || crl.Base < 0 || crl.Base >= crl.Number || crl.Seen < 0 {
		return s.failed(operation, fmt.Errorf("number %d, base %d, seen %d, thisUpdate %s, nextUpdate %s: want a positive number above the base, and nextUpdate later than thisUpdate",
			crl.Number, crl.Base, crl.Seen, crl.ThisUpdate.UTC().Format(time.RFC3339), crl.NextUpdate.UTC().Format(time.RFC3339)))
	}
	return s.acting(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		shard := []any{crl.Issuer.Authority, crl.Issuer.Generation, crl.Shard}
		// This locks the shard's row until the commit, so that no two see the same newest list.
		_, err := tx.ExecContext(ctx, `INSERT INTO crl_numbers (authority, generation, shard, last) VALUES ($1, $2, $3, $4)
			ON CONFLICT (authority, generation, shard) DO UPDATE
			SET last = CASE WHEN excluded.last > crl_numbers.last THEN excluded.last ELSE crl_numbers.last END`, append(shard, crl.Number)...)
		if err != nil {
			return fmt.Errorf("lock shard: %w", err)
		}
		var newest int64
		err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3`, shard...).Scan(&newest)
		if err != nil {
			return err
		}
		if newest != crl.After || newest >= crl.Number {
			if same, err := sameCRL(ctx, tx, crl); err != nil || same {
				return err
			}
			return fmt.Errorf("number %d of %s made after %d: %d is the newest: %w", crl.Number, crlSubject(crl.Issuer, crl.Shard), crl.After, newest, authority.ErrStaleCRL)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO crls (authority, generation, shard, number, base, seen, point, this_update, next_update, der)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, append(shard, crl.Number, crl.Base, crl.Seen, crl.DistributionPoint, this, next, crl.DER)...)
		if err != nil {
			return err
		}
		if err := dropOldCRLs(ctx, tx, crl.IsDelta(), shard); err != nil {
			return fmt.Errorf("drop old lists: %w", err)
		}
		what := detail{"number": strconv.FormatInt(crl.Number, 10), "crl": fingerprint(crl.DER)}
		if crl.IsDelta() {
			what["base"] = strconv.FormatInt(crl.Base, 10)
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actCRL, crlSubject(crl.Issuer, crl.Shard), what}}, about{crl: &crl})
		return err
	})
}

// ofKind are the conditions for full lists and deltas.
var ofKind = map[bool]string{false: "base = 0", true: "base > 0"}

// dropOldCRLs leaves the newest keptCRLs of a shard and kind.
func dropOldCRLs(ctx context.Context, tx *sql.Tx, delta bool, shard []any) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3 AND `+ofKind[delta]+` AND number NOT IN
		(SELECT k.number FROM crls k WHERE k.authority = $1 AND k.generation = $2 AND k.shard = $3 AND k.`+ofKind[delta]+` ORDER BY k.number DESC LIMIT `+strconv.Itoa(keptCRLs)+`)`, shard...)
	return err
}

// sameCRL says whether a list is kept already, as after a failure that was persisted.
func sameCRL(ctx context.Context, tx *sql.Tx, crl authority.CRL) (bool, error) {
	var der []byte
	err := tx.QueryRowContext(ctx, `SELECT der FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3 AND number = $4`,
		crl.Issuer.Authority, crl.Issuer.Generation, crl.Shard, crl.Number).Scan(&der)
	if notFound(err) {
		return false, nil
	}
	return err == nil && bytes.Equal(der, crl.DER), err
}

const crlHead = `number, base, seen, point, this_update, next_update`

// crlFields scans crlHead, and then more.
func crlFields(scan func(...any) error, crl *authority.CRL, more ...any) error {
	var this, next sql.NullInt64
	err := scan(append([]any{&crl.Number, &crl.Base, &crl.Seen, &crl.DistributionPoint, &this, &next}, more...)...)
	crl.ThisUpdate, crl.NextUpdate = fromMicros(this), fromMicros(next)
	return err
}

// CurrentCRL returns the full list with the highest number, or [authority.ErrNotFound].
func (s *Store) CurrentCRL(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error) {
	return s.currentCRL(ctx, issuer, shard, false)
}

// CurrentDelta returns the delta with the highest number, or [authority.ErrNotFound].
func (s *Store) CurrentDelta(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error) {
	return s.currentCRL(ctx, issuer, shard, true)
}

func (s *Store) currentCRL(ctx context.Context, issuer authority.IssuerKey, shard int32, delta bool) (authority.CRL, error) {
	crl := authority.CRL{Issuer: issuer, Shard: shard}
	row := s.c.Reader.QueryRowContext(ctx, `SELECT `+crlHead+`, der FROM crls
		WHERE authority = $1 AND generation = $2 AND shard = $3 AND `+ofKind[delta]+` ORDER BY number DESC LIMIT 1`, issuer.Authority, issuer.Generation, shard)
	err := crlFields(row.Scan, &crl, &crl.DER)
	if notFound(err) {
		err = authority.ErrNotFound
	}
	if err != nil {
		return authority.CRL{}, s.failed("read current CRL", err)
	}
	return crl, nil
}

// CRLHeads returns the kept lists of a shard without their DER; see [authority.CRLStore].
func (s *Store) CRLHeads(ctx context.Context, issuer authority.IssuerKey, shard int32) ([]authority.CRL, error) {
	const operation = "read CRLs"
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT `+crlHead+` FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3 ORDER BY number DESC`,
		issuer.Authority, issuer.Generation, shard)
	if err != nil {
		return nil, s.failed(operation, err)
	}
	all, err := scanAll(rows, func(rows *sql.Rows) (authority.CRL, error) {
		crl := authority.CRL{Issuer: issuer, Shard: shard}
		return crl, crlFields(rows.Scan, &crl)
	})
	return all, s.failed(operation, err)
}

func checkShard(shard int32) error {
	if shard < 0 || shard >= maxShards {
		return fmt.Errorf("shard: %d: want 0 to %d", shard, maxShards-1)
	}
	return nil
}

func crlSubject(k authority.IssuerKey, shard int32) string {
	return fmt.Sprintf("crl/%s/s%d", issuerName(k), shard)
}
