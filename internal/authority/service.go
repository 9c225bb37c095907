// Package authority runs the certificate authorities of a process: the
// issuance cycle, keys, revocation lists and revocation, on a ledger that
// remembers every serial. It owns the ledger's interfaces.
package authority

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

// KindOCSPResponder is the kind of identity of an OCSP responder's
// certificates. A paused CA goes on issuing them: what it issued must stay answerable.
const KindOCSPResponder = "OCSPResponder"

// KeySource finds and makes keys in the devices of this process; its one
// implementation outside tests is device.Registry.
type KeySource interface {
	Get(name string) (device.Device, error)
}

// Errors of the service.
var (
	// ErrUnknownCA: no settings were accepted for this CA.
	ErrUnknownCA = errors.New("no accepted settings for this CA")
	// ErrPaused: the CA's issuance is paused.
	ErrPaused = errors.New("issuance is paused")
	// ErrCARevoked: the CA's own certificate is revoked or on hold in this ledger.
	ErrCARevoked = errors.New("the CA's own certificate is revoked or on hold")
	// ErrConflict: the name was used with other content before.
	ErrConflict = errors.New("this name was used before for a request with other content; a new certificate needs a new name")
	// ErrKeyMissing: the ledger knows a key that the device does not hold.
	ErrKeyMissing = errors.New("key is known to the ledger, but its device does not hold it")
	// ErrBusy: the same identity is in the cycle already.
	ErrBusy = errors.New("the same request is being issued already")
)

// CommitPoint names a place in the cycle at which a crash must lose nothing.
type CommitPoint string

// The commit points, in their order.
const (
	AfterKeyGenerated CommitPoint = "after-key-generated"
	AfterBegin        CommitPoint = "after-begin"
	AfterPrepare      CommitPoint = "after-prepare"
	AfterIntent       CommitPoint = "after-intent"
	AfterSignature    CommitPoint = "after-signature"
	AfterIssued       CommitPoint = "after-issued"
	AfterCRLNumber    CommitPoint = "after-crl-number"
	AfterCRLSignature CommitPoint = "after-crl-signature"
	AfterCRLSaved     CommitPoint = "after-crl-saved"
	BeforeAct         CommitPoint = "before-act"
	AfterAct          CommitPoint = "after-act"
)

// Config of a Service. Store and Keys are required.
type Config struct {
	Store   Store
	Keys    KeySource
	Now     func() time.Time // default time.Now
	Metrics *Metrics         // default: not registered anywhere
	// Limits refuses orders that go beyond what this process may issue; nil:
	// the profiles alone bound them. It is asked before an intent is recorded.
	Limits func(IssuerKey, Order) error
	// Silence is how long a process that shares the ledger may say nothing before
	// this one takes over from it; each says that it is alive four times as often. Default 20 s.
	Silence time.Duration
	// AtCommitPoint is called at each commit point; crash tests end the process in it.
	AtCommitPoint func(CommitPoint)
}

// Service is the authorities of a process. All methods may be used concurrently.
type Service struct {
	store   Store
	keys    KeySource
	now     func() time.Time
	metrics *Metrics
	limits  func(IssuerKey, Order) error
	reached func(CommitPoint)
	silence time.Duration
	// preparer remembers what certificates of one CA and profile share.
	preparer issuance.Preparer

	mu       sync.RWMutex
	cas      map[IssuerKey]*CA
	inFlight map[string]struct{}
	// crlMade is what was last seen of each shard's lists, so that the ledger is
	// not asked on every look.
	crlMade    map[crlName]madeAt
	publishers map[crlName]*publisher

	// wrote has a token once this process wrote something that the feed tells of.
	wrote chan struct{}
	// changed is closed, and replaced, when the feed has further changes; under mu.
	changed chan struct{}

	fencedOnce, leadsOnce, reconciledOnce sync.Once
	fenced, leads, reconciled             chan struct{}
	restored                              atomic.Bool
}

// New returns a service without authorities; Load brings the accepted ones.
func New(c Config) *Service {
	s := &Service{keys: c.Keys, now: c.Now, metrics: c.Metrics, limits: c.Limits, reached: c.AtCommitPoint, silence: c.Silence,
		cas: map[IssuerKey]*CA{}, inFlight: map[string]struct{}{}, crlMade: map[crlName]madeAt{}, publishers: map[crlName]*publisher{},
		wrote: make(chan struct{}, 1), changed: make(chan struct{}), fenced: make(chan struct{}), leads: make(chan struct{}), reconciled: make(chan struct{})}
	s.store = telling{c.Store, s.wrote}
	if s.now == nil {
		s.now = time.Now
	}
	if s.silence == 0 {
		s.silence = DefaultSilence
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	if s.limits == nil {
		s.limits = func(IssuerKey, Order) error { return nil }
	}
	if s.reached == nil {
		s.reached = func(CommitPoint) {}
	}
	return s
}

// Now is the time as this service sees it.
func (s *Service) Now() time.Time { return s.now() }

// Fenced is closed once another process has taken the ledger over: this one
// must end.
func (s *Service) Fenced() <-chan struct{} { return s.fenced }

// seen returns err, after it looked whether the ledger was taken over.
func (s *Service) seen(err error) error {
	if errors.Is(err, ErrFenced) {
		s.fencedOnce.Do(func() { close(s.fenced) })
	}
	return err
}

// Load takes up the settings that the ledger keeps, so that the authorities
// work before, and without, the API server.
func (s *Service) Load(ctx context.Context) error {
	heads, err := s.store.Heads(ctx)
	if s.seen(err) != nil {
		return fmt.Errorf("load accepted CAs: %w", err)
	}
	s.noteRestored(heads)
	for _, prefix := range []string{"IndustryCA/", "BusinessCA/"} {
		all, err := s.store.AllAccepted(ctx, prefix)
		if err != nil {
			return fmt.Errorf("load accepted CAs: %w", err)
		}
		for _, a := range all {
			settings, err := decodeSettings(a)
			if err != nil {
				return err
			}
			ca, err := NewCA(settings)
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.cas[ca.Key] = ca
			s.mu.Unlock()
		}
	}
	return nil
}

// Accept makes settings those of the CA, durably. The same settings again
// write nothing. MaxShards is kept by the service.
func (s *Service) Accept(ctx context.Context, settings Settings) error {
	settings.MaxShards = settings.Shards
	s.mu.RLock()
	old := s.cas[settings.Key]
	s.mu.RUnlock()
	if old != nil {
		settings.MaxShards = max(settings.Shards, old.MaxShards)
	}
	ca, err := NewCA(settings)
	if err != nil {
		return err
	}
	next, err := settings.encode()
	if err != nil {
		return err
	}
	if old != nil {
		if before, err := old.encode(); err == nil && bytes.Equal(before.Spec, next.Spec) {
			return nil
		}
	}
	if err := s.seen(s.store.Accept(ctx, next)); err != nil {
		return fmt.Errorf("accept settings of CA %s: %w", settings.Key.Authority, err)
	}
	s.mu.Lock()
	s.cas[ca.Key] = ca
	s.mu.Unlock()
	return nil
}

// CA returns the accepted CA of a key generation, or ErrUnknownCA.
func (s *Service) CA(key IssuerKey) (*CA, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if ca := s.cas[key]; ca != nil {
		return ca, nil
	}
	return nil, fmt.Errorf("CA %s generation %d: %w", key.Authority, key.Generation, ErrUnknownCA)
}

// Newest returns the accepted CA of the highest key generation of an authority.
func (s *Service) Newest(authority string) (*CA, error) {
	var newest *CA
	for _, ca := range s.All() {
		if ca.Key.Authority == authority && (newest == nil || ca.Key.Generation > newest.Key.Generation) {
			newest = ca
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("CA %s: %w", authority, ErrUnknownCA)
	}
	return newest, nil
}

// All returns every accepted CA, by name and generation.
func (s *Service) All() []*CA {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*CA, 0, len(s.cas))
	for _, ca := range s.cas {
		all = append(all, ca)
	}
	sort.Slice(all, func(i, j int) bool {
		if c := strings.Compare(all[i].Key.Authority, all[j].Key.Authority); c != 0 {
			return c < 0
		}
		return all[i].Key.Generation < all[j].Key.Generation
	})
	return all
}

// EnsureKey returns the key of an owner's generation and makes it when neither
// the ledger nor the device knows it. A key that the ledger knows is never made
// again: when its device does not hold it, ErrKeyMissing.
func (s *Service) EnsureKey(ctx context.Context, owner string, generation int32, deviceName string) (crypto.MessageSigner, Key, error) {
	label := KeyLabel(owner, generation)
	dev, err := s.keys.Get(deviceName)
	if err != nil {
		return nil, Key{}, fmt.Errorf("key of %s: %w", owner, err)
	}
	known, err := s.store.FindKey(ctx, owner, generation)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, Key{}, fmt.Errorf("key of %s: %w", owner, err)
	}
	inLedger := err == nil
	if inLedger && known.Device != deviceName {
		return nil, Key{}, fmt.Errorf("key of %s: the ledger knows it in device %s, not %s: %w", owner, known.Device, deviceName, ErrKeyMismatch)
	}
	signer, err := dev.Key(ctx, label)
	if errors.Is(err, device.ErrKeyNotFound) {
		if inLedger {
			return nil, known, fmt.Errorf("key %q of %s in device %s: %w; bring back the device or restore its backup", label, owner, deviceName, ErrKeyMissing)
		}
		signer, err = dev.GenerateKey(ctx, label)
		s.reached(AfterKeyGenerated) // die here: the next start finds the key by its label
	}
	if err != nil {
		return nil, Key{}, fmt.Errorf("key of %s: %w", owner, err)
	}
	public, err := PublicKey(signer)
	if err != nil {
		return nil, Key{}, fmt.Errorf("key of %s: %w", owner, err)
	}
	k := Key{Owner: owner, Generation: generation, Device: deviceName, Label: label, PublicKey: public}
	if err := s.seen(s.store.RecordKey(ctx, k)); err != nil {
		return nil, Key{}, fmt.Errorf("key of %s: %w", owner, err)
	}
	return signer, k, nil
}

// EnsureRequest returns the signing request (GM/T 0092) of an owner's key for a
// subject, DER. It is signed once and kept: the same owner, key and name get the
// same request again, also after the API server's database was lost.
func (s *Service) EnsureRequest(ctx context.Context, signer crypto.MessageSigner, owner string, generation int32, subject pki.Name) ([]byte, error) {
	public, err := PublicKey(signer)
	if err != nil {
		return nil, fmt.Errorf("signing request of %s: %w", owner, err)
	}
	name := fmt.Sprintf("CertificationRequest/%s/g%d", owner, generation)
	kept, err := s.store.AllAccepted(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("signing request of %s: %w", owner, err)
	}
	for _, a := range kept {
		if old, err := pki.ParseRequestDER(a.Spec); a.Name == name && err == nil && old.Subject.Equal(subject) && bytes.Equal(old.SPKI, public) {
			return a.Spec, nil
		}
	}
	der, err := pki.CreateRequest(signer, subject)
	if err != nil {
		return nil, fmt.Errorf("signing request of %s: %w", owner, err)
	}
	if err := s.store.Accept(ctx, Accepted{Name: name, Spec: der}); err != nil {
		return nil, fmt.Errorf("signing request of %s: %w", owner, err)
	}
	return der, nil
}

// KeyLabel is the label of a key in its device: a function of names alone, so
// that the key is found again after everything else was lost.
func KeyLabel(owner string, generation int32) string {
	return fmt.Sprintf("terrace/%s/g%d", owner, generation)
}

// PublicKey is the DER SubjectPublicKeyInfo of a signer's key.
func PublicKey(signer crypto.Signer) ([]byte, error) {
	pub, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key is %T, want an SM2 key", signer.Public())
	}
	return pki.MarshalSPKI(pub)
}

// signer returns the CA's key in its device.
func (s *Service) signer(ctx context.Context, ca *CA) (crypto.MessageSigner, error) {
	dev, err := s.keys.Get(ca.Device)
	if err != nil {
		return nil, err
	}
	return dev.Key(ctx, ca.Label)
}
