package audit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/pki"
)

// MaxCheckpoint is the longest text of a checkpoint in bytes.
const MaxCheckpoint = 1 << 10

// Checkpoint says what a ledger's audit tree was at a time.
type Checkpoint struct {
	// Tree tells one ledger's tree from another's: the hash of its first leaf.
	Tree Hash
	// Size is the number of leaves, from 1, and Root the root over them.
	Size int64
	Root Hash
	// At is when it was signed, to the microsecond.
	At time.Time
}

// Signed is a checkpoint with the signature of the ledger's audit key.
type Signed struct {
	Checkpoint
	// KeyHash tells keys apart; see [KeyHash].
	KeyHash [4]byte
	// Signature is SM2 with the default ID, DER (GM/T 0009-2012 §7.3), over the body.
	Signature []byte
}

// Errors of checkpoints.
var (
	// ErrCheckpointForm: the text is no checkpoint.
	ErrCheckpointForm = errors.New("is not a checkpoint of an audit log")
	// ErrCheckpointSignature: the signature is not by the key.
	ErrCheckpointSignature = errors.New("checkpoint's signature does not verify: it was changed, or another key signed it")
)

const (
	originPrefix = "terrace/audit/"
	timePrefix   = "time "
	timeLayout   = "2006-01-02T15:04:05.000000Z"
	// signaturePrefix begins a line of a signature in a signed note.
	signaturePrefix = "— "
)

func (c Checkpoint) origin() string { return originPrefix + c.Tree.String() }

// Body is what is signed: a checkpoint body of C2SP tlog-checkpoint with one
// line of its own,
//
//	terrace/audit/<tree, hexadecimal>
//	<size, decimal>
//	<root, base64>
//	time <UTC, as 2006-01-02T15:04:05.000000Z>
//
// each line with its newline.
func (c Checkpoint) Body() []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n%s%s\n", c.origin(), c.Size, c.Root.base64(), timePrefix, c.At.UTC().Format(timeLayout))
}

// Text is a C2SP signed-note: the body, an empty line, and one line of signature,
//
//	— <origin> <base64 of the key hash and the signature>
func (s Signed) Text() []byte {
	return fmt.Appendf(s.Body(), "\n%s%s %s\n", signaturePrefix, s.origin(), base64.StdEncoding.EncodeToString(append(s.KeyHash[:], s.Signature...)))
}

// KeyHash is the first four octets of SM3 over the origin, a newline and the DER
// SubjectPublicKeyInfo: a hint which key to try, no proof of anything.
func KeyHash(tree Hash, spki []byte) [4]byte {
	sum := sm3.Sum(append([]byte(Checkpoint{Tree: tree}.origin()+"\n"), spki...))
	return [4]byte(sum[:4])
}

// Sign signs a checkpoint; its time is cut to microseconds.
func Sign(signer crypto.MessageSigner, c Checkpoint) (Signed, error) {
	pub, err := pki.SignerPublicKey(signer)
	if err != nil {
		return Signed{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	spki, err := pki.MarshalSPKI(pub)
	if err != nil {
		return Signed{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	c.At = c.At.UTC().Truncate(time.Microsecond)
	sig, err := signer.SignMessage(rand.Reader, c.Body(), sm2.DefaultSM2SignerOpts)
	if err != nil {
		return Signed{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	return Signed{Checkpoint: c, KeyHash: KeyHash(c.Tree, spki), Signature: sig}, nil
}

// Verify is nil when pub made the signature, else ErrCheckpointSignature.
func (s Signed) Verify(pub *ecdsa.PublicKey) error {
	if !pki.VerifySignature(pub, s.Body(), s.Signature) {
		return ErrCheckpointSignature
	}
	return nil
}

// ParseSigned reads the text of a checkpoint, which has one form for each
// content. It does not verify the signature.
func ParseSigned(text []byte) (Signed, error) {
	fail := func(why string) (Signed, error) { return Signed{}, fmt.Errorf("%s: %w", why, ErrCheckpointForm) }
	if len(text) > MaxCheckpoint {
		return fail(fmt.Sprintf("%d bytes, more than %d", len(text), MaxCheckpoint))
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 7 {
		return fail(fmt.Sprintf("%d lines, want 6 that end with a newline", len(lines)-1))
	}
	var s Signed
	tree, ok := strings.CutPrefix(lines[0], originPrefix)
	if n, err := hex.Decode(s.Tree[:], trim(tree, 2*len(s.Tree))); !ok || err != nil || n != len(s.Tree) {
		return fail("first line: want " + originPrefix + " and 64 hexadecimal digits")
	}
	var err error
	if s.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || s.Size < 1 || s.Size > 1<<maxLevel {
		return fail("second line: want a number of leaves")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(s.Root) {
		return fail("third line: want 32 octets in base64")
	}
	copy(s.Root[:], root)
	at, ok := strings.CutPrefix(lines[3], timePrefix)
	if s.At, err = time.Parse(timeLayout, at); !ok || err != nil {
		return fail("fourth line: want time and " + timeLayout)
	}
	signature, ok := strings.CutPrefix(lines[5], signaturePrefix+lines[0]+" ")
	raw, err := base64.StdEncoding.DecodeString(signature)
	if !ok || err != nil || len(raw) <= len(s.KeyHash) {
		return fail("sixth line: want a signature of " + originPrefix)
	}
	copy(s.KeyHash[:], raw)
	s.Signature = raw[len(s.KeyHash):]
	if !bytes.Equal(s.Text(), text) {
		return fail("is not written in the one form")
	}
	return s, nil
}

// trim keeps hex.Decode from writing past its target.
func trim(s string, most int) []byte {
	if len(s) != most {
		return nil
	}
	return []byte(s)
}
