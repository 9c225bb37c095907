// Package trustsigner signs the trust lists (证书信任列表, LD/T 02.1 §7.3.2) of
// industry CAs with keys that do nothing else, under certificates that the CAs
// issue to them. It runs from the settings and the certificates that the ledger
// keeps, not from the API server.
package trustsigner

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

const (
	// tick is how often the service looks for lists that are due.
	tick = 5 * time.Second
	// maxWait between two attempts that fail: each may cost a serial or a number.
	maxWait = 10 * time.Minute
)

// CommitPoint names a place at which a crash must lose nothing.
type CommitPoint string

// The commit points, in their order.
const (
	AfterSigner    CommitPoint = "after-signer"
	AfterNumber    CommitPoint = "after-number"
	AfterFirstForm CommitPoint = "after-first-form"
	AfterList      CommitPoint = "after-list"
)

// Config of a Service. Store and Authorities are required.
type Config struct {
	Store       authority.Store
	Authorities *authority.Service
	Metrics     *Metrics // default: not registered anywhere
	// AtCommitPoint is called at each commit point; an error ends the attempt
	// there, as a crash would.
	AtCommitPoint func(CommitPoint) error
}

// Status says how the trust list of a CA stands.
type Status struct {
	// Sequence is 0 while there is no list.
	Sequence               int64
	ThisUpdate, NextUpdate time.Time
	Entries                int
	// Err is why the list that is due is not made; nil when none is due.
	Err error
}

// Service signs the trust lists of a process. All methods may be used concurrently.
type Service struct {
	c Config

	making sync.Mutex // one list at a time; guards what follows
	// known is what the ledger has of each CA, so that it is not asked on every
	// look: the process that leads makes the lists alone.
	known map[authority.IssuerKey]*known

	mu     sync.RWMutex
	status map[authority.IssuerKey]Status
}

// known is what the ledger has of a CA's lists.
type known struct {
	current *trustlist.Signed // nil when both forms are to be made anew
	newest  map[trustlist.Form]int64
}

// New returns a service; Run starts it.
func New(c Config) *Service {
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.AtCommitPoint == nil {
		c.AtCommitPoint = func(CommitPoint) error { return nil }
	}
	return &Service{c: c, known: map[authority.IssuerKey]*known{}, status: map[authority.IssuerKey]Status{}}
}

// Status returns how the list of a CA stands; false before the first look, and
// for a CA that makes none.
func (s *Service) Status(key authority.IssuerKey) (Status, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, ok := s.status[key]
	return st, ok
}

// Run signs the lists that are due until ctx ends. It needs the ledger and the
// devices, not the API server.
func (s *Service) Run(ctx context.Context, log logr.Logger) error {
	failed := map[authority.IssuerKey]bool{} // a failure is said once, and its end once
	retry := map[authority.IssuerKey]backoff{}
	for {
		wanted := map[authority.IssuerKey]bool{}
		for _, ca := range s.c.Authorities.All() {
			if ca.TrustList == nil {
				continue
			}
			wanted[ca.Key] = true
			if time.Now().Before(retry[ca.Key].until) {
				continue
			}
			made, err := s.Ensure(ctx, ca.Key)
			retry[ca.Key] = retry[ca.Key].next(err)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && !failed[ca.Key]:
				log.Error(err, "trust list is not made; trying on", "ca", ca.Key.Authority)
			case err == nil && failed[ca.Key]:
				log.Info("trust list is made again", "ca", ca.Key.Authority)
			case made:
				log.Info("trust list signed", "ca", ca.Key.Authority)
			}
			failed[ca.Key] = err != nil
		}
		s.forget(wanted)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tick):
		}
	}
}

type backoff struct {
	wait  time.Duration
	until time.Time
}

func (b backoff) next(err error) backoff {
	if err == nil {
		return backoff{}
	}
	wait := min(max(2*b.wait, tick), maxWait)
	return backoff{wait: wait, until: time.Now().Add(wait)}
}

// forget drops what is shown of CAs that make no lists any more. Their last list
// stays where it was published and runs out.
func (s *Service) forget(wanted map[authority.IssuerKey]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.status {
		if !wanted[key] {
			delete(s.status, key)
			s.c.Metrics.forget(key)
		}
	}
}

// Ensure signs the list of a CA when none is current, the next is due, the CAs
// that are trusted are others, or the signer of the current one is revoked.
func (s *Service) Ensure(ctx context.Context, key authority.IssuerKey) (made bool, err error) {
	ca, err := s.c.Authorities.CA(key)
	if err != nil {
		return false, err
	}
	if ca.TrustList == nil {
		return false, fmt.Errorf("trust list of %s: none is declared", key.Authority)
	}
	s.making.Lock()
	defer s.making.Unlock()
	made, err = s.ensure(ctx, ca)
	if err != nil {
		err = fmt.Errorf("trust list of %s: %w", key.Authority, err)
		s.c.Metrics.failed(key)
	}
	s.note(key, err)
	return made, err
}

// note keeps what Status and the metrics show. It is called under making.
func (s *Service) note(key authority.IssuerKey, err error) {
	st := Status{Err: err}
	if k := s.known[key]; k != nil && k.current != nil {
		l := k.current
		st.Sequence, st.ThisUpdate, st.NextUpdate, st.Entries = l.Sequence, l.ThisUpdate, l.NextUpdate, len(l.Certificates)
		s.c.Metrics.current(key, st)
	}
	s.mu.Lock()
	s.status[key] = st
	s.mu.Unlock()
}

func (s *Service) ensure(ctx context.Context, ca *authority.CA) (made bool, err error) {
	if s.known[ca.Key] == nil {
		last, err := s.last(ctx, ca.Key)
		if err != nil {
			return false, err
		}
		s.known[ca.Key] = last
	}
	trusted, err := s.trusted(ctx, ca)
	if err != nil {
		return false, err
	}
	due, err := s.due(ctx, ca, trusted)
	if err != nil || !due {
		return false, err
	}
	signer, certificate, err := s.signer(ctx, ca)
	if err != nil {
		return false, fmt.Errorf("signer: %w", err)
	}
	if err := s.c.AtCommitPoint(AfterSigner); err != nil { // die here: the next look finds the certificate
		return false, err
	}
	return true, s.make(ctx, ca, trusted, signer, certificate)
}

// last reads what the ledger has. No list is current when there is none, when a
// crash came between its two forms, or when another release wrote it in another
// format.
func (s *Service) last(ctx context.Context, key authority.IssuerKey) (*known, error) {
	k := &known{newest: map[trustlist.Form]int64{}}
	var lists []*trustlist.Signed
	for _, form := range trustlist.Forms {
		kept, err := s.c.Store.CurrentCRL(ctx, key.TrustList(), int32(form))
		if errors.Is(err, authority.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read current list: %w", err)
		}
		k.newest[form] = kept.Number
		if l, err := trustlist.Parse(kept.DER); err == nil {
			lists = append(lists, l)
		}
	}
	if len(lists) == len(trustlist.Forms) && lists[0].Sequence == lists[1].Sequence {
		k.current = lists[1]
	}
	return k, nil
}

// due says whether a list must be made now.
func (s *Service) due(ctx context.Context, ca *authority.CA, trusted []*smx509.Certificate) (bool, error) {
	last := s.known[ca.Key].current
	if last == nil {
		return true, nil
	}
	now := s.c.Authorities.Now()
	if !now.Before(last.ThisUpdate.Add(ca.TrustList.Interval)) || !now.Before(last.NextUpdate) || !sameSet(last.Certificates, trusted) {
		return true, nil
	}
	return s.revoked(ctx, ca, last.Signer)
}

func sameSet(a, b []*smx509.Certificate) bool { return maps.Equal(identifiers(a), identifiers(b)) }

func identifiers(certificates []*smx509.Certificate) map[trustlist.Identifier]bool {
	set := make(map[trustlist.Identifier]bool, len(certificates))
	for _, c := range certificates {
		set[trustlist.Identify(c)] = true
	}
	return set
}

// make signs both forms under one number and saves them. The form that is saved
// last decides: see last.
func (s *Service) make(ctx context.Context, ca *authority.CA, trusted []*smx509.Certificate, signer crypto.MessageSigner, certificate *smx509.Certificate) error {
	now := s.c.Authorities.Now()
	key := ca.Key.TrustList()
	number, err := s.c.Store.ReserveCRLNumber(ctx, key, int32(trustlist.FormCTL), now)
	if err != nil {
		return fmt.Errorf("reserve sequence number: %w", err)
	}
	if err := s.c.AtCommitPoint(AfterNumber); err != nil { // die here: the number stays unused
		return err
	}
	l := trustlist.List{Name: ca.Key.FileName(), Sequence: number, Certificates: trusted,
		ThisUpdate: now.UTC().Truncate(time.Second), NextUpdate: now.UTC().Add(ca.TrustList.Interval + ca.TrustList.Overlap).Truncate(time.Second)}
	if l.NextUpdate.After(certificate.NotAfter) { // near the end of the CA
		l.NextUpdate = certificate.NotAfter.UTC()
	}
	newest := s.known[ca.Key].newest
	for i, form := range trustlist.Forms {
		der, err := trustlist.Sign(signer, certificate, l, form)
		if err != nil {
			return err
		}
		err = s.c.Store.SaveCRL(ctx, authority.CRL{Issuer: key, Shard: int32(form), Number: number, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate,
			After: newest[form], DER: der})
		if err != nil {
			// It may have been persisted: what the ledger has is read again.
			delete(s.known, ca.Key)
			return fmt.Errorf("save list: %w", err)
		}
		if err := s.c.AtCommitPoint([]CommitPoint{AfterFirstForm, AfterList}[i]); err != nil { // die after the first: both are made anew
			delete(s.known, ca.Key)
			return err
		}
		newest[form] = number
	}
	s.known[ca.Key].current = &trustlist.Signed{Form: trustlist.FormCTL, List: l, Signer: certificate}
	return nil
}
