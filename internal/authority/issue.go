package authority

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Order asks for one certificate.
type Order struct {
	Identity        Identity
	Profile         pki.Profile
	Subject         pki.Name
	PublicKey       *ecdsa.PublicKey
	SubjectAltNames pki.SubjectAltNames
	// IdentityValues are the values of the profile's identity extensions, by name.
	IdentityValues map[string]string
}

// Outcome is what became of one Order.
type Outcome struct {
	// Record has the certificate when Err is nil.
	Record Record
	// Adopted: the certificate was issued before, for the same identity.
	Adopted bool
	Err     error
}

// attempt is one order on its way through the cycle.
type attempt struct {
	order   int // index in the slice
	begun   Begun
	token   *issuance.Token
	signed  []byte
	failure error
}

// Issue takes at most MaxSlice orders of one CA through the issuance cycle:
// begin, prepare, record the intent, sign, record what was signed. The error
// is of the whole slice (store or device unavailable: try again); each Outcome
// has its own.
func (s *Service) Issue(ctx context.Context, key IssuerKey, orders []Order) ([]Outcome, error) {
	if len(orders) == 0 || len(orders) > MaxSlice {
		return nil, fmt.Errorf("issue: slice of %d orders: want 1 to %d", len(orders), MaxSlice)
	}
	ca, err := s.CA(key)
	if err != nil {
		return nil, err
	}
	release, err := s.claim(orders)
	if err != nil {
		return nil, err
	}
	defer release()
	start := s.now()
	outcomes := make([]Outcome, len(orders))
	attempts, err := s.begin(ctx, ca, orders, outcomes)
	if err != nil || len(attempts) == 0 {
		return outcomes, err
	}
	s.reached(AfterBegin) // die here: the ledger knows nothing; the next Begin draws other serials
	// The device is asked for its key before the intent is recorded: while it
	// is away nothing is intended, and no serial is abandoned.
	signer, err := s.signer(ctx, ca)
	if err != nil {
		return outcomes, fmt.Errorf("issue with CA %s: %w", key.Authority, err)
	}
	attempts = s.prepare(ca, orders, attempts, outcomes)
	if len(attempts) == 0 {
		return outcomes, nil
	}
	s.reached(AfterPrepare) // die here: as after begin
	intending, cancel := context.WithTimeout(ctx, recordTimeout)
	err = s.seen(s.store.RecordIntent(intending, key, intents(attempts)))
	cancel()
	if errors.Is(err, ErrElsewhere) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return outcomes, fmt.Errorf("record intent: %w", err)
	}
	s.reached(AfterIntent) // die here: the next start abandons the serials, although nothing was signed
	sign(signer, attempts)
	s.reached(AfterSignature) // die here: the next start abandons the serials; the ledger knows the TBS
	// What was signed is recorded even when the caller gives up meanwhile.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := s.record(ctx, ca, attempts, outcomes); err != nil {
		return outcomes, err
	}
	s.reached(AfterIssued) // die here: the next Begin returns the certificates
	s.metrics.observeSlice(key, signed(attempts), s.now().Sub(start))
	return outcomes, nil
}

// begin fills the outcomes that are known already and returns the attempts to make.
func (s *Service) begin(ctx context.Context, ca *CA, orders []Order, outcomes []Outcome) ([]attempt, error) {
	ids := make([]Identity, len(orders))
	for i, o := range orders {
		ids[i] = o.Identity
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	begun, err := s.store.Begin(ctx, ca.Key, ca.Shards, ids)
	if s.seen(err) != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	var again []int
	for i, b := range begun {
		if b.State == StateIntended && !b.Conflict {
			// An earlier pass of this process failed between intent and record.
			err := s.store.Abandon(ctx, b.Issuer, b.Serial)
			switch {
			case errors.Is(err, ErrElsewhere):
				outcomes[i].Err = fmt.Errorf("%w: %w", ErrBusy, err)
				continue
			case errors.Is(err, ErrState): // another process has just recorded or abandoned it
				again = append(again, i)
				continue
			case s.seen(err) != nil:
				return nil, fmt.Errorf("abandon serial %s: %w", b.Serial, err)
			}
			s.metrics.abandoned(b.Issuer)
			again = append(again, i)
		}
	}
	if len(again) > 0 {
		if begun, err = s.store.Begin(ctx, ca.Key, ca.Shards, ids); err != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
	}
	// Once for the slice, and after Begin: what was issued before is adopted.
	refusal := s.CheckCA(ctx, ca)
	if refusal != nil && !errors.Is(refusal, ErrCARevoked) {
		return nil, refusal
	}
	var attempts []attempt
	for i, b := range begun {
		outcomes[i].Record = b.Record
		switch {
		case outcomes[i].Err != nil:
		case b.Conflict:
			outcomes[i].Err = ErrConflict
		case b.State == StateIssued && len(b.Certificate) == 0:
			outcomes[i].Err = fmt.Errorf("serial %s: %w", b.Serial, ErrArchived)
		case b.State == StateIssued:
			outcomes[i].Adopted = true
		case s.Restored(): // the ledger may have forgotten its certificate
			outcomes[i].Err = ErrRestored
		case b.State != StateDrawn:
			outcomes[i].Err = fmt.Errorf("serial %s is %s: %w", b.Serial, b.State, ErrState)
		case refusal != nil && orders[i].Identity.Kind != KindOCSPResponder:
			outcomes[i].Err = refusal
		case ca.Paused && orders[i].Identity.Kind != KindOCSPResponder:
			outcomes[i].Err = fmt.Errorf("CA %s: %w", ca.Key.Authority, ErrPaused)
		default:
			attempts = append(attempts, attempt{order: i, begun: b})
		}
	}
	return attempts, nil
}

// CheckCA returns an error that wraps ErrCARevoked when this ledger issued the
// CA's own certificate and has it revoked or on hold. Its lists, and the
// certificates of its OCSP responders, go on: what it issued stays answerable.
func (s *Service) CheckCA(ctx context.Context, ca *CA) error {
	found, err := s.store.FindSerial(ctx, pki.SerialFromInt(ca.Cert.SerialNumber))
	if err != nil {
		return fmt.Errorf("CA %s: look for its own certificate: %w", ca.Key.Authority, err)
	}
	for _, r := range found {
		// A serial is of an issuer: that of a CA from outside may be here somebody
		// else's. Where the content is gone, what is revoked is taken for the CA's.
		if r.Revocation != nil && (len(r.Certificate) == 0 || bytes.Equal(r.Certificate, ca.Certificate)) {
			return fmt.Errorf("CA %s: %w: %s since %s", ca.Key.Authority, ErrCARevoked, r.Revocation.Reason, r.Revocation.At.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// prepare builds and lints, as many at once as there are cores; an order that
// fails leaves the slice.
func (s *Service) prepare(ca *CA, orders []Order, attempts []attempt, outcomes []Outcome) []attempt {
	now := s.now()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range attempts {
		g.Go(func() error {
			a := &attempts[i]
			a.token, a.failure = s.prepareOne(ca, orders[a.order], a.begun.Serial, a.begun.Shard, now)
			return nil
		})
	}
	_ = g.Wait() // failures are kept with their attempts
	kept := attempts[:0]
	for _, a := range attempts {
		if a.failure != nil {
			outcomes[a.order].Err = a.failure
			continue
		}
		kept = append(kept, a)
	}
	return kept
}

func (s *Service) prepareOne(ca *CA, o Order, serial pki.Serial, shard int32, now time.Time) (*issuance.Token, error) {
	if err := s.limits(ca.Key, o); err != nil {
		return nil, err
	}
	return s.preparer.Prepare(issuance.Order{
		Profile: o.Profile, Subject: o.Subject, PublicKey: o.PublicKey, SubjectAltNames: o.SubjectAltNames,
		Identity: o.IdentityValues, Serial: serial, Issuer: ca.Cert, Now: now, IssuerURLs: ca.urls(shard),
	})
}

func (c *CA) urls(shard int32) pki.URLs {
	if c.BaseURL == "" {
		return pki.URLs{}
	}
	urls := pki.URLs{
		CRL:       []string{c.CRLURL(shard)},
		OCSP:      []string{c.BaseURL + "/ocsp"},
		CAIssuers: []string{c.BaseURL + "/ca/" + c.Key.FileName() + ".cer"},
	}
	if delta := c.DeltaURL(shard); delta != "" {
		urls.FreshestCRL = []string{delta}
	}
	return urls
}

func intents(attempts []attempt) []Intent {
	out := make([]Intent, len(attempts))
	for i, a := range attempts {
		b := a.begun
		out[i] = Intent{Identity: b.Identity, Serial: b.Serial, Shard: b.Shard, Attempt: b.Attempt, TBS: a.token.TBS(), NotAfter: a.token.NotAfter()}
	}
	return out
}

// sign asks the device for each attempt, as many at once as there are cores, or
// as the device signs.
func sign(signer crypto.MessageSigner, attempts []attempt) {
	var g errgroup.Group
	g.SetLimit(max(runtime.GOMAXPROCS(0), device.Parallel(signer)))
	for i := range attempts {
		g.Go(func() error {
			attempts[i].signed, attempts[i].failure = issuance.Issue(signer, attempts[i].token)
			return nil
		})
	}
	_ = g.Wait() // failures are kept with their attempts
}

func signed(attempts []attempt) (n int) {
	for _, a := range attempts {
		if a.failure == nil {
			n++
		}
	}
	return n
}

// recordTimeout bounds each write and look-up of the cycle, also while the process stops.
const recordTimeout = 10 * time.Second

// record makes the signed attempts Issued in one transaction and abandons the others.
func (s *Service) record(ctx context.Context, ca *CA, attempts []attempt, outcomes []Outcome) error {
	var issued []Issued
	var failures []error
	for _, a := range attempts {
		if a.failure != nil {
			outcomes[a.order].Err = fmt.Errorf("sign certificate: %w", a.failure)
			if err := s.store.Abandon(ctx, ca.Key, a.begun.Serial); err != nil {
				failures = append(failures, fmt.Errorf("abandon serial %s: %w", a.begun.Serial, err))
			}
			s.metrics.abandoned(ca.Key)
			continue
		}
		issued = append(issued, Issued{Serial: a.begun.Serial, Certificate: a.signed})
	}
	if len(issued) > 0 {
		if err := s.seen(s.store.RecordIssued(ctx, ca.Key, issued)); err != nil {
			// It may have been persisted all the same: the next Begin tells.
			return errors.Join(append(failures, fmt.Errorf("record issued certificates: %w", err))...)
		}
	}
	now := s.now()
	for _, a := range attempts {
		if a.failure == nil {
			r := &outcomes[a.order].Record
			r.State, r.Certificate, r.NotAfter, r.IssuedAt = StateIssued, a.signed, a.token.NotAfter(), now
		}
	}
	return errors.Join(failures...)
}

// claim keeps two passes of one process off the same identity.
func (s *Service) claim(orders []Order) (release func(), err error) {
	names := make([]string, len(orders))
	for i, o := range orders {
		names[i] = o.Identity.Kind + "/" + o.Identity.Namespace + "/" + o.Identity.Name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range names {
		if _, taken := s.inFlight[n]; taken {
			for _, m := range names[:i] {
				delete(s.inFlight, m)
			}
			return nil, fmt.Errorf("issue %s: %w", n, ErrBusy)
		}
		s.inFlight[n] = struct{}{}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, n := range names {
			delete(s.inFlight, n)
		}
	}, nil
}

// Find returns the newest record of an identity's name, or ErrNotFound.
func (s *Service) Find(ctx context.Context, id Identity) (Record, error) {
	return s.store.Find(ctx, id.Kind, id.Namespace, id.Name)
}

// FindSerial returns the records with this serial under any issuer.
func (s *Service) FindSerial(ctx context.Context, serial pki.Serial) ([]Record, error) {
	return s.store.FindSerial(ctx, serial)
}

// Status returns the record of a serial, or ErrNotFound.
func (s *Service) Status(ctx context.Context, key IssuerKey, serial pki.Serial) (Record, error) {
	return s.store.Status(ctx, key, serial)
}

// Good returns pages of the valid certificates of a CA; see [Revocations].
func (s *Service) Good(ctx context.Context, key IssuerKey, after int64, limit int) ([]Record, int64, error) {
	return s.store.Good(ctx, key, after, limit)
}

// CurrentDelta returns the newest delta of a shard, or ErrNotFound.
func (s *Service) CurrentDelta(ctx context.Context, key IssuerKey, shard int32) (CRL, error) {
	return s.store.CurrentDelta(ctx, key, shard)
}

// CurrentCRL returns the current full list of a shard, or ErrNotFound.
func (s *Service) CurrentCRL(ctx context.Context, key IssuerKey, shard int32) (CRL, error) {
	return s.store.CurrentCRL(ctx, key, shard)
}

// Count returns the number of certificates that a CA delivered.
func (s *Service) Count(ctx context.Context, key IssuerKey) (int64, error) {
	return s.store.Count(ctx, key)
}
