package authority

import (
	"context"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// KindRecovered is the kind of identity of certificates that came back into a
// restored ledger without the object that they were issued for: the name is the serial.
const KindRecovered = "Recovered"

// Lost is what somebody else knows of a serial, which a restored ledger may have forgotten.
type Lost struct {
	Issuer IssuerKey
	Serial pki.Serial
	// Shard is the list that the certificate names.
	Shard    int32
	NotAfter time.Time
	// Certificate is DER, verified under the issuer's key; nil when only the serial
	// is known.
	Certificate []byte
	// Identity that it was issued for, zero when it is not known.
	Identity Identity
	// Revocation as the other one knows it, nil for none.
	Revocation *Revocation
}

// Finding is what a ledger makes of something lost.
type Finding string

// Findings.
const (
	// FoundKnown: the ledger has it, and nothing is to be done.
	FoundKnown Finding = "Known"
	// FoundMissing: the ledger had no such serial, or had it Intended only.
	FoundMissing Finding = "Missing"
	// FoundUnrevoked: the ledger had it, without the revocation or hold.
	FoundUnrevoked Finding = "RevocationMissing"
	// FoundAbandoned: the ledger has the serial Abandoned, which it stays; that
	// there is a certificate is for people to explain.
	FoundAbandoned Finding = "Abandoned"
	// FoundElsewhere: the ledger has the serial under another issuer.
	FoundElsewhere Finding = "OtherIssuer"
)

// Found is the answer for one Lost.
type Found struct {
	Finding Finding
	// Identity under which the ledger has it now, or would import it.
	Identity Identity
	// NameTaken: the identity that it was issued for has another certificate, or
	// another digest, in this ledger: it is under KindRecovered.
	NameTaken bool
}

// Recovery brings back into a restored ledger what it forgot. Until Reconciled is
// called on it, RecordIntent, Perform, ReserveCRLNumber and SaveCRL fail with
// ErrRestored. Restoring closes no attempt: what is Intended may have been issued.
type Recovery interface {
	// Import looks for each of at most MaxSlice serials and, unless dry, adds what
	// is missing: rows, feed entries and an audit leaf that names the source, all or none. Again, it finds
	// everything known. What the ledger has revoked stays revoked. Fenced unless dry;
	// not dry on a ledger that is not restored it is ErrState.
	Import(ctx context.Context, source string, lost []Lost, dry bool) ([]Found, error)
	// ImportAct records an act that was performed, and what it did, unless its
	// identity is there already: then missing is false. ErrNotFound when the ledger has no such serial. Fenced unless dry.
	ImportAct(ctx context.Context, source string, done Performed, dry bool) (missing bool, err error)
	// RaiseCRLNumber has the next list of a shard get a number above one that was
	// seen on a list. Fenced.
	RaiseCRLNumber(ctx context.Context, issuer IssuerKey, shard int32, seen int64) error
	// Reconciled closes what is still Intended as Abandoned and lets the ledger be
	// used again; note says how it was reconciled, for the audit leaf. Fenced.
	Reconciled(ctx context.Context, note map[string]string) error
}

// noteRestored keeps whether the ledger waits to be reconciled.
func (s *Service) noteRestored(h Heads) {
	s.restored.Store(h.Restored)
	s.metrics.setRestored(h.Restored)
	if !h.Restored {
		s.reconciledOnce.Do(func() { close(s.reconciled) })
	}
}

// Restored says whether the ledger was restored from a backup and is not
// reconciled yet, as Load and WatchLedger saw it last. What it says of a serial may be wrong then: it is
// told to nobody.
func (s *Service) Restored() bool { return s.restored.Load() }

// Reconciled is closed once Load or WatchLedger saw a ledger that needs no
// reconciling. What makes others follow the ledger (directories, validation nodes) waits for it: they
// hold what the ledger forgot.
func (s *Service) Reconciled() <-chan struct{} { return s.reconciled }
