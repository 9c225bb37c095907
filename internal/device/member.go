package device

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"fmt"
	"sync"
	"time"
)

// How long a member that failed is left out: doubled by each failure in a row.
const (
	backOffMin = time.Second
	backOffMax = time.Minute
)

// memberKeyTimeout bounds the look-up of a key on behalf of a signature.
const memberKeyTimeout = 30 * time.Second

// member is a Member and what became of it.
type member struct {
	Member

	mu         sync.Mutex
	signed     uint64
	lost       uint64
	inARow     int   // failures since it last worked
	err        error // the last one, while inARow > 0
	leftOutTil time.Time
	// keys in dev, by label.
	dev  Device
	keys map[string]crypto.MessageSigner
}

func newMember(m Member) *member { return &member{Member: m} }

func (m *member) state() MemberState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return MemberState{Name: m.Name, Err: m.err, Signed: m.signed, Failed: m.lost}
}

// leftOut says whether the member is to be asked only if nobody else is there. When
// its time is over one caller is told no and tries it; the next ones wait for how
// that ends, or for another while.
func (m *member) leftOut(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inARow == 0 {
		return false
	}
	if now.Before(m.leftOutTil) {
		return true
	}
	m.leftOutTil = now.Add(backOff(m.inARow))
	return false
}

func backOff(inARow int) time.Duration {
	return min(backOffMax, backOffMin<<min(inARow-1, 6))
}

func (m *member) worked() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inARow, m.err = 0, nil
}

func (m *member) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inARow++
	m.err = err
	m.leftOutTil = time.Now().Add(backOff(m.inARow))
}

// sign counts. Whatever error comes is the member's: the request itself was
// checked before (Signer).
func (m *member) sign(label string, public *ecdsa.PublicKey, digest, message []byte) ([]byte, error) {
	m.mu.Lock()
	lost := m.lost
	m.mu.Unlock()
	der, err := m.signOnce(label, public, digest, message)
	if err != nil {
		m.failed(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.lost++
		return nil, err
	}
	m.signed++
	if m.lost == lost { // else it began before a failure, and says nothing of now
		m.inARow, m.err = 0, nil
	}
	return der, nil
}

func (m *member) signOnce(label string, public *ecdsa.PublicKey, digest, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), memberKeyTimeout)
	defer cancel()
	key, err := m.cachedKey(ctx, label, public)
	if err != nil {
		return nil, err
	}
	if s, ok := key.(*Signer); ok {
		return s.sign(digest, message) // e is computed and the signature checked once, above
	}
	return key.SignMessage(nil, message, nil)
}

// cachedKey is key, looked up once for each device that the member has been.
func (m *member) cachedKey(ctx context.Context, label string, public *ecdsa.PublicKey) (crypto.MessageSigner, error) {
	dev, err := m.Get()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.dev != dev {
		m.dev, m.keys = dev, map[string]crypto.MessageSigner{}
	}
	key := m.keys[label]
	m.mu.Unlock()
	if key != nil && public.Equal(key.Public()) {
		return key, nil
	}
	if key, err = m.key(ctx, label, public); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dev == dev && len(m.keys) < maxGroupLabels {
		m.keys[label] = key
	}
	return key, nil
}

// key asks the device for the key under label, which must be the one of public.
func (m *member) key(ctx context.Context, label string, public *ecdsa.PublicKey) (crypto.MessageSigner, error) {
	dev, err := m.Get()
	if err != nil {
		return nil, err
	}
	key, err := dev.Key(ctx, label)
	if err != nil {
		return nil, err
	}
	if !public.Equal(key.Public()) {
		return nil, fmt.Errorf("%w than in the other device; copy the key by the maker's tool", ErrKeyDiffers)
	}
	return key, nil
}
