package pkcs11

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

const (
	// DefaultMaxSessions is used when Config.MaxSessions is 0.
	DefaultMaxSessions = 8
	// MaxMaxSessions is the highest Config.MaxSessions.
	MaxMaxSessions = 256
	// DefaultWait is used when Config.Wait is 0.
	DefaultWait = 30 * time.Second
	// MaxPIN is the longest PIN in bytes.
	MaxPIN = 255
	// maxTokenLabel is the size of CK_TOKEN_INFO.label.
	maxTokenLabel = 32
)

// Config says which token to use and how.
type Config struct {
	// ModulePath is the absolute path of the module's shared library.
	ModulePath string
	// TokenLabel selects the token by its label, Slot by its slot number. At
	// least one is set; with both the token in the slot must carry the label.
	TokenLabel string
	Slot       *int64
	// PIN is the user's PIN: 1 to MaxPIN bytes. Open copies it; Close zeroes the copy.
	PIN []byte
	// Profile is one of Profiles or a maker's own.
	Profile Profile
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
	case !filepath.IsAbs(c.ModulePath):
		return Config{}, fmt.Errorf("module path %q is not absolute; a relative one would be searched in the library path", c.ModulePath)
	case c.TokenLabel == "" && c.Slot == nil:
		return Config{}, errors.New("neither token label nor slot is set")
	case len(c.TokenLabel) > maxTokenLabel:
		return Config{}, fmt.Errorf("token label %q has %d bytes; a token has at most %d", c.TokenLabel, len(c.TokenLabel), maxTokenLabel)
	case c.Slot != nil && *c.Slot < 0:
		return Config{}, fmt.Errorf("slot %d is negative", *c.Slot)
	case len(c.PIN) == 0 || len(c.PIN) > MaxPIN:
		return Config{}, fmt.Errorf("PIN has %d bytes, must have 1 to %d", len(c.PIN), MaxPIN)
	case c.MaxSessions < 1 || c.MaxSessions > MaxMaxSessions:
		return Config{}, fmt.Errorf("MaxSessions is %d, must be 1 to %d", c.MaxSessions, MaxMaxSessions)
	case c.Wait < 0:
		return Config{}, fmt.Errorf("wait %v is negative", c.Wait)
	}
	return c, c.Profile.Validate()
}

// tokenName is how errors call the token.
func (c Config) tokenName() string {
	if c.TokenLabel != "" {
		return c.TokenLabel
	}
	return fmt.Sprintf("slot %d", *c.Slot)
}
