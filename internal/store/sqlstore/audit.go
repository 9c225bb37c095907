package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/emmansun/gmsm/sm3"
)

// Acts that leave an audit leaf.
const (
	actTakeover  = "takeover"
	actIntent    = "intent"
	actIssue     = "issue"
	actAbandon   = "abandon"
	actRevoke    = "revoke"
	actHold      = "hold"
	actRelease   = "release"
	actRefused   = "act-refused"
	actCRLNumber = "crl-number"
	actCRL       = "crl"
	actKey       = "key"
	actAccept    = "accept"
)

// detail is an object of strings: its canonical JSON has the keys in order,
// no spaces, and nothing escaped that JSON does not demand.
type detail map[string]string

func (d detail) canonical() (string, error) {
	if len(d) == 0 {
		return "{}", nil
	}
	var w bytes.Buffer
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]string(d)); err != nil { // encoding/json sorts the keys
		return "", fmt.Errorf("encode audit detail: %w", err)
	}
	return string(bytes.TrimSuffix(w.Bytes(), []byte("\n"))), nil
}

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
		if details[i], err = l.detail.canonical(); err != nil {
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

// fingerprint is the SM3 of content, which an audit leaf names in its place.
func fingerprint(content []byte) string {
	sum := sm3.Sum(content)
	return hex.EncodeToString(sum[:])
}
