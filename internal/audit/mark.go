package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Bounds of a Mark.
const (
	MaxAuditor = 63
	MaxNote    = 500
)

// ErrMark: a mark is not what its auditor signed, or breaks a bound.
var ErrMark = errors.New("mark does not hold")

// Mark is an auditor's word, in a record and a leaf of its own, that leaves were audited.
type Mark struct {
	// Seq is the number of the mark's own leaf; 0 until it is recorded.
	Seq int64
	// Auditor names who marks, at most 63 bytes.
	Auditor string
	// From and To are the first and the last leaf that were audited.
	From, To int64
	// Size and Root are those of the tree that the auditor looked at; To is at most Size.
	Tree Hash
	Size int64
	Root Hash
	// At is when the auditor signed, to the microsecond.
	At time.Time
	// Note says more, at most 500 bytes.
	Note string
	// PublicKey is the auditor's, DER SubjectPublicKeyInfo; Signature is over Message.
	PublicKey, Signature []byte
}

const markDomain = "terrace/audit-mark/v1"

// Message is what the auditor signs:
//
//	field("terrace/audit-mark/v1")
//	field(auditor) field(note)
//	from, to, size, at (microseconds since 1970): 8 octets each, big-endian
//	tree, root: 32 octets each
//
// with field as in [Leaf.Hash]. By the root it covers every leaf of the range.
func (m Mark) Message() []byte {
	b := appendField(nil, markDomain)
	b = appendField(appendField(b, m.Auditor), m.Note)
	for _, n := range []int64{m.From, m.To, m.Size, m.At.UnixMicro()} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(append(b, m.Tree[:]...), m.Root[:]...)
}

// Sign completes a mark with the auditor's key.
func (m Mark) Sign(signer crypto.MessageSigner) (Mark, error) {
	pub, err := pki.SignerPublicKey(signer)
	if err != nil {
		return Mark{}, fmt.Errorf("sign mark: %w", err)
	}
	if m.PublicKey, err = pki.MarshalSPKI(pub); err != nil {
		return Mark{}, fmt.Errorf("sign mark: %w", err)
	}
	m.At = m.At.UTC().Truncate(time.Microsecond)
	if m.Signature, err = signer.SignMessage(rand.Reader, m.Message(), sm2.DefaultSM2SignerOpts); err != nil {
		return Mark{}, fmt.Errorf("sign mark: %w", err)
	}
	return m, m.Check(nil)
}

// Check is nil when the mark keeps its bounds and its signature is by trusted or,
// when that is nil, by the key that stands in the mark.
func (m Mark) Check(trusted *ecdsa.PublicKey) error {
	switch {
	case m.Auditor == "" || len(m.Auditor) > MaxAuditor:
		return fmt.Errorf("auditor: %d bytes: want 1 to %d: %w", len(m.Auditor), MaxAuditor, ErrMark)
	case len(m.Note) > MaxNote:
		return fmt.Errorf("note: %d bytes: want at most %d: %w", len(m.Note), MaxNote, ErrMark)
	case m.From < 1 || m.To < m.From || m.Size < m.To:
		return fmt.Errorf("range: leaves %d to %d of %d: want 1 <= from <= to <= size: %w", m.From, m.To, m.Size, ErrMark)
	}
	pub := trusted
	if pub == nil {
		var err error
		if pub, err = pki.ParseSM2SPKI(m.PublicKey); err != nil {
			return fmt.Errorf("public key of auditor %s: %w: %w", m.Auditor, err, ErrMark)
		}
	}
	if !pki.VerifySignature(pub, m.Message(), m.Signature) {
		return fmt.Errorf("signature of auditor %s does not verify: %w", m.Auditor, ErrMark)
	}
	return nil
}
