package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxOperator bounds the name of who asks for an act, in bytes.
const maxOperator = 253

// Perform carries an act out and records it, once ever; see [authority.Acts].
func (s *Store) Perform(ctx context.Context, act authority.Act) (authority.Performed, error) {
	const operation = "perform act"
	act, err := checkAct(act)
	if err != nil {
		return authority.Performed{}, s.failed(operation, err)
	}
	var done authority.Performed
	// Die before the commit: nothing happened. Die after: the next call returns
	// what this one recorded.
	err = s.actTogether(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		// First of all, as others may follow in the transaction: who waits for the
		// row of the numbers holds nothing that those before it want.
		var one int
		if err := tx.QueryRowContext(ctx, `SELECT one FROM heads WHERE one = 1`+s.c.Dialect.ForUpdate).Scan(&one); err != nil {
			return fmt.Errorf("lock numbers: %w", err)
		}
		known, err := findAct(ctx, tx, act.Identity.Kind, act.Identity.Namespace, act.Identity.Name)
		switch {
		case err == nil && known.Identity.Digest != act.Identity.Digest:
			return fmt.Errorf("%s: %w", identityName(act.Identity), authority.ErrActConflict)
		case err == nil:
			done, done.Adopted = known, true
			return nil
		case !errors.Is(err, authority.ErrNotFound):
			return err
		}
		now := s.now()
		done = authority.Performed{Act: act, RecordedAt: time.UnixMicro(now).UTC()}
		id, refusal, err := s.judge(ctx, tx, act)
		if err != nil {
			return err
		}
		done.Refusal = refusal
		if err := insertAct(ctx, tx, done); err != nil {
			return err
		}
		if refusal != "" {
			_, err := s.tell(ctx, tx, now, []leaf{actLeaf(done)})
			return err
		}
		seq, err := s.tell(ctx, tx, now, []leaf{actLeaf(done)}, about{serial: id})
		if err != nil {
			return err
		}
		return revoke(ctx, tx, id, act.At.UnixMicro(), listed(act), seq)
	})
	if err != nil {
		return authority.Performed{}, err
	}
	return done, nil
}

// checkAct returns the act as the ledger keeps it.
func checkAct(act authority.Act) (authority.Act, error) {
	at, err := micros("time of the act", act.At)
	if err := errors.Join(err, checkName("act", act.Identity.Kind, act.Identity.Namespace, act.Identity.Name), checkIssuer(act.Issuer)); err != nil {
		return act, err
	}
	if len(act.Operator) > maxOperator {
		return act, fmt.Errorf("operator: %d bytes: want at most %d", len(act.Operator), maxOperator)
	}
	act.At = time.UnixMicro(at).UTC()
	switch act.Verb {
	case authority.VerbRevoke:
		if !act.Reason.OnCRL() {
			return act, fmt.Errorf("reason: %s may not stand on a CRL (RFC 5280 section 5.3.1)", act.Reason)
		}
		if act.Reason == pki.ReasonCertificateHold {
			return act, fmt.Errorf("reason: a revocation is for ever, %s is not; use the verb %s", act.Reason, authority.VerbHold)
		}
	case authority.VerbHold, authority.VerbRelease:
		act.Reason = pki.ReasonUnspecified
	default:
		return act, fmt.Errorf("verb %.32q: want %s, %s or %s", act.Verb, authority.VerbRevoke, authority.VerbHold, authority.VerbRelease)
	}
	return act, nil
}

// judge locks the serial and returns the id of its row, or why the act does not fit it.
func (s *Store) judge(ctx context.Context, tx *sql.Tx, act authority.Act) (id int64, refusal authority.Refusal, err error) {
	err = tx.QueryRowContext(ctx, `SELECT s.id FROM serials s JOIN issuers a ON a.id = s.issuer
		WHERE s.serial = $1 AND a.authority = $2 AND a.generation = $3`+s.c.Dialect.ForUpdate+s.c.Dialect.Of("s"),
		octets(act.Serial), act.Issuer.Authority, act.Issuer.Generation).Scan(&id)
	if notFound(err) {
		return 0, "", fmt.Errorf("serial %.48q of %s: %w", act.Serial, issuerName(act.Issuer), authority.ErrNotFound)
	}
	if err != nil {
		return 0, "", fmt.Errorf("lock serial: %w", err)
	}
	// What became of it is read once it is locked.
	var issued bool
	var reason sql.NullInt32
	err = tx.QueryRowContext(ctx, `SELECT t.serial_id IS NOT NULL, r.reason FROM (SELECT CAST($1 AS BIGINT) AS id) AS s
		LEFT JOIN issued t ON t.serial_id = s.id LEFT JOIN revocations r ON r.serial_id = s.id`, id).Scan(&issued, &reason)
	switch {
	case err != nil:
		return 0, "", fmt.Errorf("read state of serial: %w", err)
	case !issued && reason.Valid:
		return id, authority.RefusedNotIssued, nil
	case !issued:
		return 0, "", fmt.Errorf("serial %s of %s is %s, not issued: %w", act.Serial, issuerName(act.Issuer), authority.StateIntended, authority.ErrNotFound)
	}
	return id, fits(act.Verb, reason.Valid && pki.Reason(reason.Int32) != pki.ReasonRemoveFromCRL, pki.Reason(reason.Int32)), nil
}

// listed is the reason that the ledger keeps for an act.
func listed(act authority.Act) pki.Reason {
	switch act.Verb {
	case authority.VerbHold:
		return pki.ReasonCertificateHold
	case authority.VerbRelease:
		return pki.ReasonRemoveFromCRL
	}
	return act.Reason
}

// fits says why a verb does not fit an issued certificate: revoked says
// whether it has a revocation now, and reason which.
func fits(verb authority.Verb, revoked bool, reason pki.Reason) authority.Refusal {
	held := revoked && reason == pki.ReasonCertificateHold
	switch {
	case revoked && !held:
		return authority.RefusedRevoked // whatever the verb: a revocation is for ever
	case verb == authority.VerbHold && held:
		return authority.RefusedHeld
	case verb == authority.VerbRelease && !held:
		return authority.RefusedNotHeld
	}
	return ""
}

func insertAct(ctx context.Context, tx *sql.Tx, p authority.Performed) error {
	id := p.Identity
	res, err := tx.ExecContext(ctx, `INSERT INTO acts (kind, namespace, name, digest, authority, generation, serial, verb, reason, at, refusal, recorded_at, operator)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (kind, namespace, name) DO NOTHING`,
		id.Kind, id.Namespace, id.Name, id.Digest[:], p.Issuer.Authority, p.Issuer.Generation, octets(p.Serial), string(p.Verb), int32(p.Reason),
		p.At.UnixMicro(), string(p.Refusal), p.RecordedAt.UnixMicro(), p.Operator)
	if err != nil {
		return fmt.Errorf("record act: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return fmt.Errorf("record act: %w", errAgain) // another call was faster: its act is found next time
	}
	return nil
}

func actLeaf(p authority.Performed) leaf {
	l := leaf{subject: serialSubject(string(p.Serial)), detail: detail{
		"act": identityName(p.Identity), "digest": hex.EncodeToString(p.Identity.Digest[:]), "at": p.At.Format(time.RFC3339Nano)}}
	switch p.Verb {
	case authority.VerbRevoke:
		l.act, l.detail["reason"] = actRevoke, p.Reason.String()
	case authority.VerbHold:
		l.act = actHold
	case authority.VerbRelease:
		l.act = actRelease
	}
	if p.Operator != "" {
		l.detail[audit.KeyOperator] = p.Operator
	}
	if p.Refusal != "" {
		l.act, l.detail["verb"], l.detail[audit.KeyRefusal] = actRefused, string(p.Verb), string(p.Refusal)
	}
	return l
}

// FindAct returns a recorded act, or [authority.ErrNotFound].
func (s *Store) FindAct(ctx context.Context, kind, namespace, name string) (authority.Performed, error) {
	p, err := findAct(ctx, s.c.Reader, kind, namespace, name)
	return p, s.failed("find act", err)
}

func findAct(ctx context.Context, q querier, kind, namespace, name string) (authority.Performed, error) {
	p := authority.Performed{Act: authority.Act{Identity: authority.Identity{Kind: kind, Namespace: namespace, Name: name}}}
	var digest, serial []byte
	var at, recorded int64
	err := q.QueryRowContext(ctx, `SELECT digest, authority, generation, serial, verb, reason, at, refusal, recorded_at, operator FROM acts
		WHERE kind = $1 AND namespace = $2 AND name = $3`, kind, namespace, name).
		Scan(&digest, &p.Issuer.Authority, &p.Issuer.Generation, &serial, &p.Verb, &p.Reason, &at, &p.Refusal, &recorded, &p.Operator)
	if notFound(err) {
		err = authority.ErrNotFound
	}
	if err != nil {
		return authority.Performed{}, err
	}
	p.Serial = serialOf(serial)
	copy(p.Identity.Digest[:], digest) // of 32 bytes, by the schema
	p.At, p.RecordedAt = time.UnixMicro(at).UTC(), time.UnixMicro(recorded).UTC()
	return p, nil
}
