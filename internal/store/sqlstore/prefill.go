package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// prefillRun is how many rows one transaction adds.
const prefillRun = 200_000

var _ authority.Filler = (*Store)(nil)

// Prefill makes the ledger large; see [authority.Filler].
func (s *Store) Prefill(ctx context.Context, f authority.Filling) error {
	const operation = "prefill"
	tbs, tail, err := pki.SplitCertificate(f.Template)
	if err != nil {
		return s.failed(operation, err)
	}
	issuer, err := s.makeID(ctx, issuerRow(f.Issuer))
	if err != nil {
		return s.failed(operation, err)
	}
	scope, err := s.makeID(ctx, scopeRow(authority.Identity{Kind: "CertificateRequest", Namespace: "prefill"}))
	if err != nil {
		return s.failed(operation, err)
	}
	began := s.c.Now().Add(-time.Duration(f.Certificates) * time.Second / 5000)
	for done := int64(0); done < f.Certificates; {
		n := min(prefillRun, f.Certificates-done)
		err := s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
			return s.prefill(ctx, tx, f, done, n, began, issuer, scope, tbs, tail)
		})
		if err != nil {
			return err
		}
		if done += n; f.Progress != nil {
			f.Progress(done)
		}
	}
	return nil
}

func (s *Store) prefill(ctx context.Context, tx *sql.Tx, f authority.Filling, done, n int64, began time.Time, issuer, scope int64, tbs, tail []byte) error {
	series := `(WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n) AS n`
	serial, digest := `unhex(printf('%08X', $3 + n.i / 10000) || hex(randomblob(16)))`, `randomblob(32)`
	if s.c.Dialect.Unnest {
		series = `generate_series(CAST($1 AS BIGINT), $2) AS n(i)`
		serial = `decode(lpad(to_hex($3 + n.i / 10000), 8, '0') || md5(random()::text || n.i), 'hex')`
		digest = `decode(md5(random()::text) || md5(random()::text), 'hex')`
	}
	at := began.Unix() / 2
	var before int64
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(id), 0) FROM serials`).Scan(&before); err != nil {
		return err
	}
	run := strconv.FormatInt(began.UnixNano(), 36)
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO serials (serial, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs)
			SELECT ` + serial + `, CAST($4 AS BIGINT), n.i % $5, CAST($6 AS BIGINT), CAST($7 AS TEXT) || '-' || n.i, ` + digest + `, 1, CAST($8 AS BIGINT), CAST($9 AS BIGINT), $10 FROM ` + series,
			[]any{done, done + n - 1, at, issuer, int64(f.Shards), scope, run, began.AddDate(3, 0, 0).UnixMicro(), began.UnixMicro(), tbs}},
		{`INSERT INTO issued (serial_id, issued_at, tail) SELECT id, $1, $2 FROM serials WHERE id > $3`, []any{began.UnixMicro(), tail, before}},
		{`INSERT INTO feed (seq, kind, serial_id, created_at) SELECT (SELECT feed FROM heads) + ROW_NUMBER() OVER (ORDER BY id), 'Serial', id, $1 FROM serials WHERE id > $2`,
			[]any{began.UnixMicro(), before}},
		{`UPDATE heads SET feed = feed + $1`, []any{n}},
		{`UPDATE issuers SET issued = issued + $1 WHERE id = $2`, []any{n, issuer}},
	} {
		text := statement.sql
		if s.c.Dialect.QuestionMark {
			text = strings.ReplaceAll(text, "$", "?") // they do not come in their order
		}
		if _, err := tx.ExecContext(ctx, text, statement.args...); err != nil {
			return err
		}
	}
	if every := f.Certificates / max(f.Revoked, 1); f.Revoked > 0 {
		_, err := tx.ExecContext(ctx, `INSERT INTO revocations (serial_id, issuer, shard, serial, not_after, revoked_at, reason, seq)
			SELECT id, issuer, shard, serial, not_after, $1, 4, (SELECT feed FROM heads) FROM serials WHERE id > $2 AND id % $3 = 0`, began.UnixMicro(), before, every)
		if err != nil {
			return err
		}
	}
	return s.prefillLeaves(ctx, tx, n, f.Issuer)
}

// prefillLeaves adds the leaves of so many certificates, in slices.
func (s *Store) prefillLeaves(ctx context.Context, tx *sql.Tx, certificates int64, issuer authority.IssuerKey) error {
	told := detail{}
	for i := range authority.MaxSlice {
		told[fmt.Sprintf("%040X", i)] = fingerprint([]byte{byte(i)})
	}
	name := issuerName(issuer)
	for range (certificates + authority.MaxSlice - 1) / authority.MaxSlice {
		if _, err := s.tell(ctx, tx, s.now(), []leaf{{actIntent, name, told}, {actIssue, name, told}}); err != nil {
			return err
		}
	}
	return nil
}
