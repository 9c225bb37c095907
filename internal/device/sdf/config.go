package sdf

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/terrace-pki/terrace/internal/device"
)

const (
	// DefaultMaxSessions is used when Config.MaxSessions is 0.
	DefaultMaxSessions = 8
	// MaxMaxSessions is the highest Config.MaxSessions.
	MaxMaxSessions = 256
	// DefaultWait is used when Config.Wait is 0.
	DefaultWait = 30 * time.Second
	// MaxPassword is the longest access password in bytes.
	MaxPassword = 255
	// MaxKeys is the highest number of keys of one Device.
	MaxKeys = 64
	// MaxIndex is the highest key index. Index 0 is the device's own key.
	MaxIndex = 65535
)

// Config says which library to use and how.
type Config struct {
	// LibraryPath is the absolute path of the maker's shared library.
	LibraryPath string
	// Password is the access password (私钥访问控制码) of every index in use: 1 to
	// MaxPassword bytes. Open copies it; Close zeroes the copy.
	Password []byte
	// Keys are the indexes of the signing key pairs by label, at most MaxKeys.
	Keys map[string]uint32
	// SelfTestIndex is the index of a key pair that is used for nothing else.
	SelfTestIndex uint32
	// Form is how the maker's header writes structures and numbers.
	Form Form
	// MaxSessions bounds the sessions that are open at once; 0 means DefaultMaxSessions.
	MaxSessions int
	// Wait bounds the time that a signature waits for a free session, and Close
	// for those under way; 0 means DefaultWait.
	Wait time.Duration
}

// validate returns the config with its defaults filled in.
func (c Config) validate() (Config, error) {
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	switch {
	case !filepath.IsAbs(c.LibraryPath):
		return Config{}, fmt.Errorf("library path %q is not absolute; a relative one would be searched in the library path", c.LibraryPath)
	case len(c.Password) == 0 || len(c.Password) > MaxPassword:
		return Config{}, fmt.Errorf("password has %d bytes, must have 1 to %d", len(c.Password), MaxPassword)
	case len(c.Keys) > MaxKeys:
		return Config{}, fmt.Errorf("%d keys are listed, at most %d may be", len(c.Keys), MaxKeys)
	case c.MaxSessions < 1 || c.MaxSessions > MaxMaxSessions:
		return Config{}, fmt.Errorf("MaxSessions is %d, must be 1 to %d", c.MaxSessions, MaxMaxSessions)
	case c.Wait < 0:
		return Config{}, fmt.Errorf("wait %v is negative", c.Wait)
	}
	if err := checkIndex(c.SelfTestIndex); err != nil {
		return Config{}, fmt.Errorf("self-test key: %w", err)
	}
	labels := map[uint32]string{c.SelfTestIndex: device.SelfTestLabel}
	for label, index := range c.Keys {
		if err := errors.Join(device.CheckLabel(label), checkIndex(index)); err != nil {
			return Config{}, fmt.Errorf("key %q: %w", label, err)
		}
		if other, taken := labels[index]; taken {
			return Config{}, fmt.Errorf("keys %q and %q have the same index %d; each key has one of its own", label, other, index)
		}
		labels[index] = label
	}
	return c, c.Form.validate()
}

func checkIndex(index uint32) error {
	if index < 1 || index > MaxIndex {
		return fmt.Errorf("key index %d is not in 1 to %d (0 is the device's own key)", index, MaxIndex)
	}
	return nil
}

// indexes are those in use, the self-test's first.
func (c Config) indexes() []uint32 {
	all := make([]uint32, 0, len(c.Keys)+1)
	for _, index := range c.Keys {
		all = append(all, index)
	}
	slices.Sort(all)
	return append([]uint32{c.SelfTestIndex}, all...)
}
