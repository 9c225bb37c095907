package device

import (
	"context"
	"crypto"
	"fmt"
	"sync"
)

// Registry holds the open devices of this process by name ("namespace/name"
// of the CryptoDevice). The CryptoDevice controller fills it; signers are
// looked up by name on each use, so that a replaced device is taken up at once.
type Registry struct {
	mu      sync.RWMutex
	devices map[string]Device
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{devices: map[string]Device{}} }

// Put sets the device of a name and closes the one that it replaces.
func (r *Registry) Put(name string, d Device) error {
	r.mu.Lock()
	old := r.devices[name]
	r.devices[name] = d
	r.mu.Unlock()
	if old != nil && old != d {
		return old.Close()
	}
	return nil
}

// Remove closes and forgets the device of a name.
func (r *Registry) Remove(name string) error {
	r.mu.Lock()
	old := r.devices[name]
	delete(r.devices, name)
	r.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Get returns the device of a name, or an error that wraps ErrUnavailable.
func (r *Registry) Get(name string) (Device, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if d := r.devices[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("crypto device %s is not open in this process: %w", name, ErrUnavailable)
}

// Own returns the device of a name without the standby that a Group adds to it.
func (r *Registry) Own(name string) (Device, error) {
	d, err := r.Get(name)
	if g, ok := d.(*Group); ok {
		return g.Own()
	}
	return d, err
}

// Members says how the members of each device do that is a Group, by its name.
func (r *Registry) Members() map[string][]MemberState {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := map[string][]MemberState{}
	for name, d := range r.devices {
		if g, ok := d.(*Group); ok {
			all[name] = g.Members()
		}
	}
	return all
}

// Key returns the key under label in the device of a name.
func (r *Registry) Key(ctx context.Context, name, label string) (crypto.MessageSigner, error) {
	d, err := r.Get(name)
	if err != nil {
		return nil, err
	}
	return d.Key(ctx, label)
}

// Close closes every device.
func (r *Registry) Close() error {
	r.mu.Lock()
	devices := r.devices
	r.devices = map[string]Device{}
	r.mu.Unlock()
	var first error
	for _, d := range devices {
		if err := d.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
