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

// keptCRLs is how many lists of a shard stay.
const keptCRLs = 2

// ReserveCRLNumber returns max(last + 1, now); see [authority.CRLStore]. Die
// after its commit, and the number is never used, which RFC 5280 allows.
func (s *Store) ReserveCRLNumber(ctx context.Context, issuer authority.IssuerKey, shard int32, now time.Time) (int64, error) {
	const operation = "reserve CRL number"
	if err := errors.Join(checkIssuer(issuer), checkShard(shard)); err != nil {
		return 0, s.failed(operation, err)
	}
	var number int64
	err := s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
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

// SaveCRL keeps a list; the one with the highest number is current. The same
// list again is no error.
func (s *Store) SaveCRL(ctx context.Context, crl authority.CRL) error {
	const operation = "save CRL"
	this, thisErr := micros("thisUpdate", crl.ThisUpdate)
	next, nextErr := micros("nextUpdate", crl.NextUpdate)
	if err := errors.Join(checkIssuer(crl.Issuer), checkShard(crl.Shard), thisErr, nextErr, bounded("CRL", len(crl.DER), maxCRL)); err != nil {
		return s.failed(operation, err)
	}
	if crl.Number < 1 || next <= this {
		return s.failed(operation, fmt.Errorf("number %d, thisUpdate %s, nextUpdate %s: want a positive number and nextUpdate later than thisUpdate",
			crl.Number, crl.ThisUpdate.UTC().Format(time.RFC3339), crl.NextUpdate.UTC().Format(time.RFC3339)))
	}
	// Die before the commit: the list is signed anew under a higher number.
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		key := []any{crl.Issuer.Authority, crl.Issuer.Generation, crl.Shard}
		res, err := tx.ExecContext(ctx, `INSERT INTO crls (authority, generation, shard, number, this_update, next_update, der)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (authority, generation, shard, number) DO NOTHING`,
			append(key, crl.Number, this, next, crl.DER)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return sameCRL(ctx, tx, crl)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3 AND number NOT IN
			(SELECT k.number FROM crls k WHERE k.authority = $1 AND k.generation = $2 AND k.shard = $3 ORDER BY k.number DESC LIMIT `+strconv.Itoa(keptCRLs)+`)`, key...)
		if err != nil {
			return fmt.Errorf("drop old lists: %w", err)
		}
		var highest int64
		if err := tx.QueryRowContext(ctx, `SELECT MAX(number) FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3`, key...).Scan(&highest); err != nil {
			return fmt.Errorf("find the current list: %w", err)
		}
		var changes []about
		if highest == crl.Number { // it became current
			changes = []about{{crl: &crl}}
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actCRL, crlSubject(crl.Issuer, crl.Shard), detail{
			"number": strconv.FormatInt(crl.Number, 10), "crl": fingerprint(crl.DER)}}}, changes...)
		return err
	})
}

// sameCRL refuses another list under a number that is taken.
func sameCRL(ctx context.Context, tx *sql.Tx, crl authority.CRL) error {
	var der []byte
	err := tx.QueryRowContext(ctx, `SELECT der FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3 AND number = $4`,
		crl.Issuer.Authority, crl.Issuer.Generation, crl.Shard, crl.Number).Scan(&der)
	if err != nil {
		return err
	}
	if !bytes.Equal(der, crl.DER) {
		return fmt.Errorf("number %d of %s has another list already", crl.Number, crlSubject(crl.Issuer, crl.Shard))
	}
	return nil
}

// CurrentCRL returns the list with the highest number, or [authority.ErrNotFound].
func (s *Store) CurrentCRL(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error) {
	crl := authority.CRL{Issuer: issuer, Shard: shard}
	var this, next sql.NullInt64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT number, this_update, next_update, der FROM crls
		WHERE authority = $1 AND generation = $2 AND shard = $3 ORDER BY number DESC LIMIT 1`,
		issuer.Authority, issuer.Generation, shard).Scan(&crl.Number, &this, &next, &crl.DER)
	if notFound(err) {
		err = authority.ErrNotFound
	}
	if err != nil {
		return authority.CRL{}, s.failed("read current CRL", err)
	}
	crl.ThisUpdate, crl.NextUpdate = fromMicros(this), fromMicros(next)
	return crl, nil
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
