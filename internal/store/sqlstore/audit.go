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
	actBegin     = "begin"
	actWithdraw  = "withdraw"
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

type leaf struct {
	act, subject string
	detail       detail
}

var insertLeaves = bulk{
	before:  `INSERT INTO audit_leaves (at, act, subject, detail) `,
	columns: []string{"BIGINT", "TEXT", "TEXT", "TEXT"},
}

// audit writes leaves in the transaction of the acts that they tell of.
func (s *Store) audit(ctx context.Context, tx *sql.Tx, at int64, leaves []leaf) error {
	details := make([]string, len(leaves))
	for i, l := range leaves {
		var err error
		if details[i], err = l.detail.canonical(); err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, tx, &insertLeaves, len(leaves), func(args []any, i int) []any {
		return append(args, at, leaves[i].act, leaves[i].subject, details[i])
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
