package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// lost is an authority.Lost with what the ledger makes of it.
type lost struct {
	authority.Lost
	tbs, tail []byte // of the certificate
	found     authority.Found
	id        int64 // of its row, 0 for none
	attempt   int32 // of a row to be made
	intended  bool  // by a process of before the restore
}

// findLost reads what the ledger has under serials.
var findLost = bulk{
	before: `SELECT v.column1, s.id, a.authority, a.generation, o.kind, o.namespace, s.name, s.digest, t.issued_at, r.revoked_at, r.reason, p.process FROM (`,
	after: `) AS v JOIN serials s ON s.serial = v.column2 JOIN issuers a ON a.id = s.issuer JOIN scopes o ON o.id = s.scope
		LEFT JOIN issued t ON t.serial_id = s.id LEFT JOIN revocations r ON r.serial_id = s.id LEFT JOIN attempts p ON p.serial_id = s.id`,
	columns: []string{"BIGINT", "BYTES"},
}

func checkLost(all []authority.Lost) ([]lost, error) {
	if err := checkSlice("serials", len(all)); err != nil {
		return nil, err
	}
	out := make([]lost, len(all))
	seen := make(map[pki.Serial]struct{}, len(all))
	for i, l := range all {
		_, err := micros("notAfter", l.NotAfter)
		err = errors.Join(err, checkIssuer(l.Issuer), checkShard(l.Shard), bounded("serial", len(octets(l.Serial)), 20))
		if l.Identity != (authority.Identity{}) {
			err = errors.Join(err, checkName("identity", l.Identity.Kind, l.Identity.Namespace, l.Identity.Name))
		}
		if l.Revocation != nil {
			_, at := micros("revocation time", l.Revocation.At)
			err = errors.Join(err, at)
			if !l.Revocation.Reason.OnCRL() || l.Revocation.Reason == pki.ReasonRemoveFromCRL {
				err = errors.Join(err, fmt.Errorf("revocation reason: %s may not stand on a CRL", l.Revocation.Reason))
			}
		}
		out[i].Lost = l
		if l.Certificate != nil && err == nil {
			if err = bounded("certificate", len(l.Certificate), maxDER); err == nil {
				out[i].tbs, out[i].tail, err = pki.SplitCertificate(l.Certificate)
			}
		}
		if _, twice := seen[l.Serial]; twice {
			err = errors.Join(err, errors.New("stands twice in one slice"))
		}
		if err != nil {
			return nil, fmt.Errorf("serial %.48q: %w", l.Serial, err)
		}
		seen[l.Serial] = struct{}{}
	}
	return out, nil
}

// reader is a database, or a transaction of it.
type reader interface {
	querier
	rowsQuerier
}

// look fills in what the ledger makes of each.
func (s *Store) look(ctx context.Context, q reader, all []lost) error {
	for i := range all {
		all[i].found = authority.Found{Finding: authority.FoundMissing}
		all[i].id, all[i].intended = 0, false
	}
	err := s.query(ctx, q, &findLost, len(all), func(args []any, i int) []any {
		return append(args, int64(i), octets(all[i].Serial))
	}, func(rows *sql.Rows) error {
		var i, id int64
		var issuer authority.IssuerKey
		var identity authority.Identity
		var digest []byte
		var issued, revoked, process sql.NullInt64
		var reason sql.NullInt32
		if err := rows.Scan(&i, &id, &issuer.Authority, &issuer.Generation, &identity.Kind, &identity.Namespace, &identity.Name, &digest, &issued, &revoked, &reason, &process); err != nil {
			return err
		}
		copy(identity.Digest[:], digest) // of 32 bytes, by the schema
		l := &all[i]
		l.id, l.intended = id, process.Valid && !issued.Valid
		l.found = authority.Found{Identity: identity, Finding: finding(&l.Lost, issuer, issued.Valid, l.intended, revoked, reason)}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for serials: %w", err)
	}
	for i := range all {
		if l := &all[i]; l.id == 0 {
			if err := s.place(ctx, q, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func finding(l *authority.Lost, issuer authority.IssuerKey, issued, intended bool, revoked sql.NullInt64, reason sql.NullInt32) authority.Finding {
	r := pki.Reason(reason.Int32)
	switch {
	case issuer != l.Issuer:
		return authority.FoundElsewhere
	case intended && abandonedElsewhere(l):
		return authority.FoundKnown // it is closed so in the end
	case intended:
		return authority.FoundMissing
	case !issued && (l.Certificate != nil || l.Revocation == nil):
		return authority.FoundAbandoned
	case !issued, l.Revocation == nil:
		return authority.FoundKnown
	case !revoked.Valid:
		return authority.FoundUnrevoked
	case r == pki.ReasonRemoveFromCRL && l.Revocation.At.UnixMicro() > revoked.Int64:
		return authority.FoundUnrevoked
	case r == pki.ReasonCertificateHold && l.Revocation.Reason != pki.ReasonCertificateHold:
		return authority.FoundUnrevoked
	}
	return authority.FoundKnown
}

// abandonedElsewhere: others know no more of a serial than a list says of one
// that was abandoned.
func abandonedElsewhere(l *authority.Lost) bool {
	return l.Certificate == nil && l.Revocation != nil && l.Revocation.Reason == pki.ReasonCessationOfOperation
}

// place says under which identity and attempt a missing serial comes. That of its
// object, unless another certificate has it; then the next Begin of the object adopts it.
func (s *Store) place(ctx context.Context, q reader, l *lost) error {
	id := l.Identity
	if id != (authority.Identity{}) {
		var attempt int32
		var digest []byte
		var issued bool
		err := q.QueryRowContext(ctx, `SELECT s.attempt, s.digest, t.serial_id IS NOT NULL FROM serials s JOIN scopes o ON o.id = s.scope LEFT JOIN issued t ON t.serial_id = s.id
			WHERE o.kind = $1 AND o.namespace = $2 AND s.name = $3 ORDER BY s.attempt DESC LIMIT 1`, id.Kind, id.Namespace, id.Name).Scan(&attempt, &digest, &issued)
		if err != nil && !notFound(err) {
			return fmt.Errorf("look for %s: %w", identityName(id), err)
		}
		if err != nil || (!issued && string(digest) == string(id.Digest[:])) {
			l.found.Identity, l.attempt = id, attempt+1
			return nil
		}
		l.found.NameTaken = true
	}
	l.attempt = 1
	l.found.Identity = authority.Identity{Kind: authority.KindRecovered, Name: string(l.Serial), Digest: sm3.Sum(append([]byte("terrace/recovered/v1"), l.Certificate...))}
	return nil
}
