package replica

import (
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// AuditPush is the newest checkpoint of the ledger's audit log, so that a cut
// tail is seen from outside. It may come with any push but a list or a refill.
type AuditPush struct {
	// Text is the checkpoint; see audit.Signed.
	Text []byte `json:"text"`
	// Key is the DER SubjectPublicKeyInfo that signed it.
	Key []byte `json:"key"`
	// Proof shows that the checkpoint that the node holds is of its past; hashes
	// of 32 octets, see audit.Consistency.
	Proof [][]byte `json:"proof,omitempty"`
}

// Audit is what a node holds of the audit log.
type Audit struct {
	// Text and Key are those of the newest checkpoint that was taken; empty: none was.
	Text, Key []byte
	// Refused is the text of a checkpoint that was not taken, for Reason; empty: every one was.
	Refused []byte
	Reason  string
	// Forked: what was refused contradicts what is held, for ever. Otherwise the next that is
	// taken ends the refusal.
	Forked bool
}

// Take judges a pushed checkpoint beside what is held, and returns what is to be
// held then. A checkpoint never takes the place of one that it does not prove to be its past.
func (a Audit) Take(p AuditPush) Audit {
	refuse := func(forked bool, format string, args ...any) Audit {
		if !a.Forked { // the first contradiction is kept
			a.Refused, a.Reason, a.Forked = p.Text, fmt.Sprintf(format, args...), forked
		}
		return a
	}
	next, err := p.signed()
	if err != nil {
		return refuse(false, "%v", err)
	}
	if len(a.Text) > 0 {
		held, err := audit.ParseSigned(a.Text)
		if err != nil {
			return refuse(false, "the checkpoint that is held cannot be read: %v", err)
		}
		proof := make([]audit.Hash, len(p.Proof))
		for i, h := range p.Proof {
			copy(proof[i][:], h)
		}
		switch {
		case next.Tree != held.Tree:
			return refuse(true, "is of another tree, %s, than the one that is held, %s", next.Tree, held.Tree)
		case next.Size < held.Size:
			return refuse(false, "is over %d leaves, and one over %d is held: the ledger's tail was cut, or it was restored from an older backup", next.Size, held.Size)
		case audit.VerifyConsistency(held.Size, next.Size, held.Root, next.Root, proof) != nil:
			return refuse(true, "is over %d leaves that do not begin with the %d of the one that is held: the ledger was rewritten", next.Size, held.Size)
		}
	}
	a.Text, a.Key = p.Text, p.Key
	if !a.Forked {
		a.Refused, a.Reason = nil, ""
	}
	return a
}

// signed is the checkpoint, its signature verified.
func (p AuditPush) signed() (audit.Signed, error) {
	s, err := audit.ParseSigned(p.Text)
	if err != nil {
		return s, err
	}
	pub, err := pki.ParseSM2SPKI(p.Key)
	if err != nil {
		return s, fmt.Errorf("key of the checkpoint: %w", err)
	}
	return s, s.Verify(pub)
}

// Size is the number of leaves of what is held, 0 when it is nothing.
func (a Audit) Size() int64 {
	s, err := audit.ParseSigned(a.Text)
	if err != nil {
		return 0
	}
	return s.Size
}

// check bounds a push; what it says is judged by Take, as statuses must not wait for it.
func (p AuditPush) check() error {
	if len(p.Text) > audit.MaxCheckpoint || len(p.Key) > maxAuditKey || len(p.Proof) > audit.MaxProof {
		return invalid("audit checkpoint: %d bytes, key of %d, %d hashes: at most %d, %d and %d are allowed",
			len(p.Text), len(p.Key), len(p.Proof), audit.MaxCheckpoint, maxAuditKey, audit.MaxProof)
	}
	for i, h := range p.Proof {
		if len(h) != len(audit.Hash{}) {
			return invalid("audit checkpoint: proof[%d]: %v", i, errors.New("is not a hash of 32 octets"))
		}
	}
	return nil
}

// maxAuditKey bounds a public key in bytes.
const maxAuditKey = 512
