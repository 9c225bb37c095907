// Package audit keeps the record of what an authority did (审计) honest: a hash
// tree over the leaves that acts write, checkpoints of it that a key of its own
// signs, the proofs between them, and the check of a whole ledger against them.
package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"
)

// Leaf is one act as the ledger recorded it, in the act's own transaction.
type Leaf struct {
	// Seq numbers the leaves of a ledger from 1, without a gap, in the order of their commits.
	Seq int64
	// At is when the act was recorded, in microseconds since 1970, UTC.
	At int64
	// Act is what was done, such as "issue"; Subject what it was done to.
	Act, Subject string
	// Detail is canonical JSON; see [Detail.Canonical].
	Detail string
}

// leafDomain begins what is hashed of a leaf; another form gets another one.
const leafDomain = "terrace/audit-leaf/v1"

// Hash is SM3 over one octet 00 (RFC 6962 section 2.1) and
//
//	field("terrace/audit-leaf/v1")
//	seq, at: 8 octets each, big-endian
//	field(act) field(subject) field(detail)
//
// where field is the length in 4 octets, big-endian, and the octets themselves.
func (l Leaf) Hash() Hash {
	b := make([]byte, 0, 64+len(l.Act)+len(l.Subject)+len(l.Detail))
	b = append(b, 0)
	b = appendField(b, leafDomain)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(l.At))
	for _, s := range []string{l.Act, l.Subject, l.Detail} {
		b = appendField(b, s)
	}
	return sm3.Sum(b)
}

func appendField(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// Time is At as a time.
func (l Leaf) Time() time.Time { return time.UnixMicro(l.At).UTC() }

func (l Leaf) String() string { return fmt.Sprintf("leaf %d (%s %s)", l.Seq, l.Act, l.Subject) }

// Parse returns the detail; an error when it is not canonical, as every leaf of this system is.
func (l Leaf) Parse() (Detail, error) {
	var d Detail
	if err := json.Unmarshal([]byte(l.Detail), &d); err != nil {
		return nil, fmt.Errorf("detail of %s: %w", l, err)
	}
	if again, err := d.Canonical(); err != nil || again != l.Detail {
		return nil, fmt.Errorf("detail of %s: is not canonical JSON", l)
	}
	return d, nil
}

// Keys of a detail that say who and how.
const (
	// KeyOperator is the person who asked for the act, as the API server
	// authenticated them and the RA told it.
	KeyOperator = "operator"
	// KeyRefusal is why an act was not done.
	KeyRefusal = "refusal"
)

// Operator is who did the act or asked for it, empty when the leaf does not tell.
func (l Leaf) Operator() string {
	if rest, ok := strings.CutPrefix(l.Subject, "accepted/Decision/"); ok {
		return rest[strings.LastIndexByte(rest, '/')+1:] // an officer's decision
	}
	d, err := l.Parse()
	if err != nil {
		return ""
	}
	return d[KeyOperator]
}

// Results of acts.
const (
	ResultDone      = "done"
	ResultRefused   = "refused"
	ResultAbandoned = "abandoned"
)

// Names of the acts that have another result than done.
const (
	ActRefused = "act-refused"
	ActAbandon = "abandon"
)

// Result is how the act ended.
func (l Leaf) Result() string {
	switch l.Act {
	case ActRefused:
		return ResultRefused
	case ActAbandon:
		return ResultAbandoned
	}
	return ResultDone
}

// Detail says more of an act than its subject: an object of strings.
type Detail map[string]string

// Canonical is JSON with the keys in order, no spaces, and nothing escaped that
// JSON does not demand: the form in which a detail is kept and hashed.
func (d Detail) Canonical() (string, error) {
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
