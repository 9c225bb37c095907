package device

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrKeyDiffers: two devices hold different keys under one label.
var ErrKeyDiffers = errors.New("another key lies under this label")

// Member is one device of a Group.
type Member struct {
	// Name is what people call it: the CryptoDevice's "namespace/name".
	Name string
	// Get returns the device, or why there is none now. It is asked at each use,
	// so that a device that was replaced is taken up at once.
	Get func() (Device, error)
}

// MemberState is how a member of a Group does.
type MemberState struct {
	Name string
	// Err is why the member is left out at present; nil: it works.
	Err error
	// Signed and Failed count its signatures, and the attempts that gave none.
	Signed, Failed uint64
}

// maxGroupLabels bounds the labels that a Group remembers: those of the keys in use.
const maxGroupLabels = 1024

// Group is a Device of one or two members. Two hold the same keys, which their
// maker's tools bring from one into the other: the first member does the work, the
// standby steps in when the first one cannot, and nothing is ever made in the
// standby. A member that failed is left out for a while that grows from backOffMin
// to backOffMax, and then one signature tries it.
//
// Why a signature may be asked of the second device after the first gave none:
// what is signed is one and the same e, of a TBS whose intent is durable under its
// serial (the issuance cycle, step 3). A signature that the first device made and
// whose answer was lost has left nobody's hands; were it found, it would say what
// the other one says, under the same serial. One of the two is recorded, and the
// attempt is still closed as abandoned when neither is. Each device draws its own
// random k, and so do two signatures of one device.
//
// It is safe only while both hold the same key. So a member signs under a label
// only with the public key that the Group's caller was given for it.
type Group struct {
	members []*member

	mu     sync.Mutex
	closed bool
	labels map[string]*ecdsa.PublicKey // of the keys in use
}

var _ Device = (*Group)(nil)

// NewGroup returns the group of a first device and, unless it is nil, its standby.
// Close closes the first one; the standby is somebody else's.
func NewGroup(first Member, standby *Member) *Group {
	g := &Group{members: []*member{newMember(first)}, labels: map[string]*ecdsa.PublicKey{}}
	if standby != nil {
		g.members = append(g.members, newMember(*standby))
	}
	return g
}

// Own is the first device without its standby.
func (g *Group) Own() (Device, error) { return g.members[0].Get() }

// Members says how each member does, the first one first.
func (g *Group) Members() []MemberState {
	states := make([]MemberState, len(g.members))
	for i, m := range g.members {
		states[i] = m.state()
	}
	return states
}

// Info describes the first member that answers. One that does not is left out.
func (g *Group) Info(ctx context.Context) (Info, error) {
	var info Info
	err := g.each(ctx, func(d Device) (err error) {
		info, err = d.Info(ctx)
		return err
	})
	return info, err
}

// SelfTest has each member sign with a key of its own, and leaves out one that
// fails, before it is asked for something that matters. It fails when all do.
func (g *Group) SelfTest(ctx context.Context) error {
	if g.isClosed() {
		return errGroupClosed
	}
	var failures []failure
	for _, m := range g.members {
		d, err := m.Get()
		if err == nil {
			err = d.SelfTest(ctx)
		}
		if err == nil {
			m.worked()
			continue
		}
		if ctx.Err() != nil { // the caller's doing, not the member's
			return err
		}
		m.failed(err)
		failures = append(failures, failure{m, err})
	}
	if len(failures) < len(g.members) {
		return nil
	}
	return g.sum(failures)
}

// Key returns the key under label from the first member that has it. It is not
// found only when every member says so: one that is away may hold it, and a new
// key would be made.
func (g *Group) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	var key crypto.MessageSigner
	err := g.each(ctx, func(d Device) (err error) {
		key, err = d.Key(ctx, label)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g.signer(label, key)
}

// GenerateKey makes the key in the first member, unless the standby has one under
// the label. While the standby cannot be asked no key is made.
func (g *Group) GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	if g.isClosed() {
		return nil, errGroupClosed
	}
	for _, m := range g.members[1:] {
		d, err := m.Get()
		if err == nil {
			_, err = d.Key(ctx, label)
		}
		switch {
		case err == nil:
			return nil, fmt.Errorf("generate key %q: the standby %s has it: %w", label, m.Name, ErrKeyExists)
		case !errors.Is(err, ErrKeyNotFound):
			return nil, fmt.Errorf("generate key %q: the standby %s may have it: %w", label, m.Name, err)
		}
	}
	d, err := g.members[0].Get()
	if err != nil {
		return nil, err
	}
	key, err := d.GenerateKey(ctx, label)
	if err != nil {
		return nil, err
	}
	return g.signer(label, key)
}

// CheckRedundant says whether each key in use is the same in all members now, and
// how many there are. The error wraps ErrKeyNotFound, ErrKeyDiffers, or what keeps
// a member away.
func (g *Group) CheckRedundant(ctx context.Context) (keys int, err error) {
	g.mu.Lock()
	labels := make(map[string]*ecdsa.PublicKey, len(g.labels))
	for label, public := range g.labels {
		labels[label] = public
	}
	g.mu.Unlock()
	for _, m := range g.members {
		if _, err := m.Get(); err != nil {
			return 0, fmt.Errorf("device %s: %w", m.Name, err)
		}
		if err := m.state().Err; err != nil {
			return 0, fmt.Errorf("device %s does not work: %w", m.Name, err)
		}
		for label, public := range labels {
			if _, err := m.key(ctx, label, public); err != nil {
				return 0, fmt.Errorf("key %q in device %s: %w", label, m.Name, err)
			}
		}
	}
	return len(labels), nil
}

// Close closes the first member. Keys of this Group fail afterwards.
func (g *Group) Close() error {
	g.mu.Lock()
	closed := g.closed
	g.closed = true
	g.mu.Unlock()
	if closed {
		return nil
	}
	if d, err := g.Own(); err == nil {
		return d.Close()
	}
	return nil
}

// errGroupClosed is what a closed Group returns: a replacement may be on its way.
var errGroupClosed = fmt.Errorf("%w: this device was closed", ErrUnavailable)

func (g *Group) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// signer is the key that callers hold: it asks the members in turn.
func (g *Group) signer(label string, key crypto.MessageSigner) (crypto.MessageSigner, error) {
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key %q: public key of type %T is no SM2 key", label, key.Public())
	}
	g.mu.Lock()
	if len(g.labels) < maxGroupLabels {
		g.labels[label] = public
	}
	g.mu.Unlock()
	signer, err := NewSigner(label, public, func(digest, message []byte) ([]byte, error) { return g.sign(label, public, digest, message) })
	if err != nil {
		return nil, err
	}
	return signer.WithParallel(Parallel(key)), nil
}

func (g *Group) sign(label string, public *ecdsa.PublicKey, digest, message []byte) ([]byte, error) {
	if g.isClosed() {
		return nil, errGroupClosed
	}
	var failures []failure
	for _, m := range g.order() {
		der, err := m.sign(label, public, digest, message)
		if err == nil {
			return der, nil
		}
		failures = append(failures, failure{m, err})
	}
	return nil, g.sum(failures)
}

// each asks the members in turn until one answers well.
func (g *Group) each(ctx context.Context, ask func(Device) error) error {
	if g.isClosed() {
		return errGroupClosed
	}
	var failures []failure
	for _, m := range g.order() {
		d, err := m.Get()
		if err == nil {
			err = ask(d)
		}
		if err == nil || ctx.Err() != nil { // then it is the caller's doing, not the member's
			return err
		}
		if isAway(err) {
			m.failed(err)
		}
		failures = append(failures, failure{m, err})
	}
	return g.sum(failures)
}

// order is in which order the members are asked: those that are left out come last,
// for when nobody else is there.
func (g *Group) order() []*member {
	if len(g.members) == 1 {
		return g.members
	}
	var now, later []*member
	for _, m := range g.members {
		if m.leftOut(time.Now()) {
			later = append(later, m)
		} else {
			now = append(now, m)
		}
	}
	return append(now, later...)
}

// failure is why a member did not do it.
type failure struct {
	*member
	err error
}

// sum makes one error of the members'. Of two it is an outage while one is away,
// for that one may know better; and "not found" only when both say so.
func (g *Group) sum(failures []failure) error {
	first := failures[0]
	if len(failures) == 1 {
		return first.err
	}
	second := failures[1]
	if isAway(first.err) || isAway(second.err) {
		return fmt.Errorf("%w: %s: %v; %s: %v", ErrUnavailable, first.Name, first.err, second.Name, second.err)
	}
	if errors.Is(first.err, ErrKeyNotFound) {
		first, second = second, first
	}
	return fmt.Errorf("%w; %s: %v", first.err, second.Name, second.err)
}

// isAway tells a member that cannot do anything from one that answers no.
func isAway(err error) bool {
	var pin *PINError
	return errors.Is(err, ErrUnavailable) || errors.As(err, &pin)
}
