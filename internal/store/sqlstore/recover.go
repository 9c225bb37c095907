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

// Acts of a reconciliation. An import tells of new serials as an intent does,
// an import-issue of those that count as issued now, also when they were intended before.
const (
	actImport           = "import"
	actImportIssue      = "import-issue"
	actImportRevocation = "import-revocation"
	actImportAct        = "import-act"
	actReconcile        = "reconcile"
)

var _ authority.Recovery = (*Store)(nil)

// recovering is fenced for what only a restored ledger takes.
func (s *Store) recovering(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	return s.failed(operation, s.asProcess(ctx, func(ctx context.Context, tx *sql.Tx, restored bool) error {
		if !restored {
			return fmt.Errorf("the ledger is not restored, or was reconciled: %w", authority.ErrState)
		}
		return do(ctx, tx)
	}))
}

// Import adds what a restored ledger forgot; see [authority.Recovery].
func (s *Store) Import(ctx context.Context, source string, all []authority.Lost, dry bool) ([]authority.Found, error) {
	const operation = "import certificates"
	slice, err := checkLost(all)
	if err == nil {
		err = bounded("source", len(source), 400)
	}
	if err == nil {
		err = s.look(ctx, s.c.Reader, slice)
	}
	if err != nil {
		return nil, s.failed(operation, err)
	}
	if dry {
		return founds(slice), nil
	}
	issuers, scopes, any, err := s.idsOf(ctx, slice)
	if err != nil {
		return nil, s.failed(operation, err)
	}
	if !any { // all of it is known
		return founds(slice), nil
	}
	// Die before the commit, and nothing is imported. Die after, and the next
	// Import finds it known.
	err = s.recovering(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.look(ctx, tx, slice); err != nil {
			return err
		}
		return s.importAll(ctx, tx, source, slice, issuers, scopes)
	})
	if err != nil {
		return nil, err
	}
	return founds(slice), nil
}

func founds(slice []lost) []authority.Found {
	out := make([]authority.Found, len(slice))
	for i := range slice {
		out[i] = slice[i].found
	}
	return out
}

// idsOf makes the rows that those of missing serials refer to, each in a
// transaction of its own. any: something is to be imported.
func (s *Store) idsOf(ctx context.Context, slice []lost) (issuers map[authority.IssuerKey]int64, scopes map[name]int64, any bool, err error) {
	issuers, scopes = map[authority.IssuerKey]int64{}, map[name]int64{}
	for i := range slice {
		l := &slice[i]
		any = any || l.found.Finding == authority.FoundMissing || l.found.Finding == authority.FoundUnrevoked
		if l.found.Finding != authority.FoundMissing || l.id != 0 {
			continue
		}
		if issuers[l.Issuer], err = s.makeID(ctx, issuerRow(l.Issuer)); err != nil {
			return nil, nil, false, err
		}
		for _, row := range []name{scopeRow(l.found.Identity), scopeRow(authority.Identity{Kind: authority.KindRecovered})} {
			if scopes[row], err = s.makeID(ctx, row); err != nil {
				return nil, nil, false, err
			}
		}
	}
	return issuers, scopes, any, nil
}

func (s *Store) importAll(ctx context.Context, tx *sql.Tx, source string, slice []lost, issuers map[authority.IssuerKey]int64, scopes map[name]int64) error {
	now := s.now()
	imported := map[[2]string]detail{} // by act and issuer
	note := func(act string, l *lost, digest string) {
		key := [2]string{act, issuerName(l.Issuer)}
		if imported[key] == nil {
			imported[key] = detail{"source": source}
		}
		imported[key][string(l.Serial)] = digest
	}
	var leaves []leaf
	var changed []*lost
	var changes []about
	for i := range slice {
		l := &slice[i]
		switch l.found.Finding {
		case authority.FoundMissing:
			if l.id == 0 {
				note(actImport, l, intentSum(authority.Intent{Identity: l.found.Identity, Serial: l.Serial, Shard: l.Shard, NotAfter: l.NotAfter, TBS: l.tbs}))
			}
			if !abandonedElsewhere(&l.Lost) {
				note(actImportIssue, l, contentSum(l.tbs, l.tail))
			}
			if err := s.importOne(ctx, tx, l, now, issuers[l.Issuer], scopes[scopeRow(l.found.Identity)]); err != nil {
				return fmt.Errorf("serial %s: %w", l.Serial, err)
			}
		case authority.FoundUnrevoked:
		default:
			continue
		}
		if l.Revocation != nil {
			leaves = append(leaves, leaf{actImportRevocation, serialSubject(string(l.Serial)), detail{"source": source,
				"reason": l.Revocation.Reason.String(), "at": l.Revocation.At.UTC().Format(time.RFC3339Nano)}})
		}
		changed, changes = append(changed, l), append(changes, about{serial: l.id})
	}
	if len(changed) == 0 { // somebody imported it meanwhile
		return nil
	}
	for key, told := range imported {
		leaves = append(leaves, leaf{key[0], key[1], told})
	}
	seq, err := s.tell(ctx, tx, now, leaves, changes...)
	if err != nil {
		return err
	}
	for i, l := range changed {
		if l.Revocation == nil {
			continue
		}
		if err := revoke(ctx, tx, l.id, l.Revocation.At.UnixMicro(), l.Revocation.Reason, seq+int64(i)); err != nil {
			return fmt.Errorf("revoke serial %s: %w", l.Serial, err)
		}
	}
	return nil
}

// importOne writes the rows of a serial that is missing, or issues what is Intended.
func (s *Store) importOne(ctx context.Context, tx *sql.Tx, l *lost, now, issuer, scope int64) error {
	if l.id == 0 {
		if issuer == 0 || scope == 0 {
			return errAgain // its name was taken meanwhile
		}
		id := l.found.Identity
		err := tx.QueryRowContext(ctx, `INSERT INTO serials (serial, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`,
			octets(l.Serial), issuer, l.Shard, scope, id.Name, id.Digest[:], l.attempt, l.NotAfter.UnixMicro(), now, l.tbs).Scan(&l.id)
		if err != nil {
			return err
		}
	} else if err := s.takeIntended(ctx, tx, l); err != nil {
		return err
	}
	if abandonedElsewhere(&l.Lost) {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO issued (serial_id, issued_at, tail) VALUES ($1, $2, $3)`, l.id, now, l.tail); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE issuers SET issued = issued + 1 WHERE authority = $1 AND generation = $2`, l.Issuer.Authority, l.Issuer.Generation)
	return err
}

// takeIntended ends the attempt that was recorded before the backup and signed after it.
func (s *Store) takeIntended(ctx context.Context, tx *sql.Tx, l *lost) error {
	var tbs []byte
	if err := tx.QueryRowContext(ctx, `SELECT tbs FROM serials WHERE id = $1`, l.id).Scan(&tbs); err != nil {
		return err
	}
	if l.Certificate != nil && !bytes.Equal(tbs, l.tbs) {
		return errors.New("the certificate is not over what was intended")
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM attempts WHERE serial_id = $1`, l.id)
	return err
}

// ImportAct records an act that a restored ledger forgot; see [authority.Recovery].
func (s *Store) ImportAct(ctx context.Context, source string, done authority.Performed, dry bool) (missing bool, err error) {
	const operation = "import act"
	if done.Act, err = checkAct(done.Act); err == nil {
		_, err = micros("time of the record", done.RecordedAt)
	}
	if err != nil {
		return false, s.failed(operation, err)
	}
	known := func(ctx context.Context, q querier) (bool, error) {
		_, err := findAct(ctx, q, done.Identity.Kind, done.Identity.Namespace, done.Identity.Name)
		if errors.Is(err, authority.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	if there, err := known(ctx, s.c.Reader); err != nil || there || dry {
		return !there && err == nil, s.failed(operation, err)
	}
	err = s.recovering(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		if there, err := known(ctx, tx); err != nil || there {
			return err
		}
		id, misfit, err := s.judge(ctx, tx, done.Act)
		if err != nil {
			return err
		}
		if err := insertAct(ctx, tx, done); err != nil {
			return err
		}
		l := importedActLeaf(done, source, misfit)
		if done.Refusal != "" || misfit != "" { // what it did is there already
			_, err := s.tell(ctx, tx, s.now(), []leaf{l})
			return err
		}
		seq, err := s.tell(ctx, tx, s.now(), []leaf{l}, about{serial: id})
		if err != nil {
			return err
		}
		return revoke(ctx, tx, id, done.At.UnixMicro(), listed(done.Act), seq)
	})
	return err == nil, err
}

// importedActLeaf tells of an act that others recorded. A misfit: it changed nothing here.
func importedActLeaf(done authority.Performed, source string, misfit authority.Refusal) leaf {
	l := actLeaf(done)
	l.detail["done"], l.detail["source"] = l.act, source
	l.detail["recordedAt"] = time.UnixMicro(done.RecordedAt.UnixMicro()).UTC().Format(time.RFC3339Nano)
	if misfit != "" {
		l.detail["misfit"] = string(misfit)
	}
	l.act = actImportAct
	return l
}

// RaiseCRLNumber keeps later numbers above one that was seen; see [authority.Recovery].
func (s *Store) RaiseCRLNumber(ctx context.Context, issuer authority.IssuerKey, shard int32, seen int64) error {
	const operation = "raise CRL number"
	if err := errors.Join(checkIssuer(issuer), checkShard(shard)); err != nil {
		return s.failed(operation, err)
	}
	return s.recovering(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		var last int64
		err := tx.QueryRowContext(ctx, `INSERT INTO crl_numbers (authority, generation, shard, last) VALUES ($1, $2, $3, $4)
			ON CONFLICT (authority, generation, shard) DO UPDATE SET last = excluded.last WHERE crl_numbers.last < excluded.last RETURNING last`,
			issuer.Authority, issuer.Generation, shard, max(seen, 1)).Scan(&last)
		if notFound(err) { // it is that high already
			return nil
		}
		if err != nil {
			return err
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actCRLNumber, crlSubject(issuer, shard), detail{"number": strconv.FormatInt(last, 10)}}})
		return err
	})
}

// Reconciled lets a restored ledger be used again; see [authority.Recovery].
func (s *Store) Reconciled(ctx context.Context, note map[string]string) error {
	// Die before the commit, and the ledger waits on.
	return s.recovering(ctx, "end reconciliation", func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT DISTINCT a.process FROM attempts a JOIN processes p ON p.id = a.process WHERE p.fenced <> 0 ORDER BY a.process`)
		if err != nil {
			return err
		}
		ended, err := scanAll(rows, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) })
		if err != nil {
			return err
		}
		for _, process := range ended {
			if err := s.closeAttempts(ctx, tx, process, "restore"); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE heads SET restore = '' WHERE one = 1`); err != nil {
			return err
		}
		_, err = s.tell(ctx, tx, s.now(), []leaf{{actReconcile, "ledger", detail(note)}})
		return err
	})
}
