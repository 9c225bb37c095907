package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Acts that leave an audit leaf.
const (
	actTakeover  = "takeover"
	actIntent    = "intent"
	actIssue     = "issue"
	actAbandon   = audit.ActAbandon
	actRevoke    = "revoke"
	actHold      = "hold"
	actRelease   = "release"
	actRefused   = audit.ActRefused
	actCRLNumber = "crl-number"
	actCRL       = "crl"
	actKey       = "key"
	actAccept    = "accept"
	actMark      = "mark"
)

// detail is what a leaf says besides its subject.
type detail = audit.Detail

// leaf tells of one act. That of a slice (intent, issue) names the issuer as its
// subject, and in its detail a digest under each serial.
type leaf struct {
	act, subject string
	detail       detail
}

var insertLeaves = bulk{
	before:  `INSERT INTO audit_leaves (seq, at, act, subject, detail) `,
	columns: []string{"BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT"},
}

// audit writes leaves under the numbers after before.
func (s *Store) audit(ctx context.Context, tx *sql.Tx, at, before int64, leaves []leaf) error {
	details := make([]string, len(leaves))
	for i, l := range leaves {
		var err error
		if details[i], err = l.detail.Canonical(); err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, tx, &insertLeaves, len(leaves), func(args []any, i int) []any {
		return append(args, before+int64(i)+1, at, leaves[i].act, leaves[i].subject, details[i])
	})
	if err != nil {
		return fmt.Errorf("write audit leaves: %w", err)
	}
	return nil
}

func serialSubject(serial string) string { return "serial/" + serial }

// contentSum is the fingerprint of a certificate, "" of one that the ledger does not have.
func contentSum(tbs, tail []byte) string {
	if len(tail) == 0 {
		return ""
	}
	return fingerprint(pki.JoinCertificate(tbs, tail))
}

// fingerprint is the SM3 of content, which an audit leaf names in its place.
func fingerprint(content []byte) string {
	sum := sm3.Sum(content)
	return hex.EncodeToString(sum[:])
}
