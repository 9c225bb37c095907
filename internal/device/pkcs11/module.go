//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// modules is the one global of this package: C_Initialize is per process, not
// per caller, and a second one fails (PKCS#11 v2.40 §5.4), so that all Devices
// on one library must share it.
var modules = struct {
	sync.Mutex
	byPath map[string]*module
}{byPath: map[string]*module{}}

// module is a loaded shared library.
type module struct {
	path string
	ctx  *pkcs11.Ctx

	// guarded by modules
	users int
	owned bool // we initialised it, so we finalise it

	mu     sync.Mutex
	tokens map[uint]*token
}

// loadModule loads and initialises the library, or joins its other users.
func loadModule(path string) (*module, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("load PKCS#11 module: %w: %w", device.ErrUnavailable, err)
	}
	modules.Lock()
	defer modules.Unlock()
	m := modules.byPath[resolved]
	if m == nil {
		if info, err := os.Stat(resolved); err != nil || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("load PKCS#11 module %s: %w: not a regular file", path, device.ErrUnavailable)
		}
		ctx := pkcs11.New(resolved)
		if ctx == nil {
			return nil, fmt.Errorf("load PKCS#11 module %s: %w: not a loadable library with C_GetFunctionList (another architecture, or a library that it needs is missing: see ldd)", path, device.ErrUnavailable)
		}
		m = &module{path: path, ctx: ctx, tokens: map[uint]*token{}}
		modules.byPath[resolved] = m
	}
	if m.users == 0 {
		err := m.ctx.Initialize() // with CKF_OS_LOCKING_OK
		if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
			return nil, fmt.Errorf("initialise PKCS#11 module %s: %w: %w", path, device.ErrUnavailable, err)
		}
		m.owned = err == nil
	}
	m.users++
	return m, nil
}

// release finalises the library when its last user goes. It stays mapped:
// makers' libraries leave threads and exit handlers behind, which crash the
// process when their code is unmapped.
func (m *module) release() error {
	modules.Lock()
	defer modules.Unlock()
	m.users--
	if m.users > 0 || !m.owned {
		return nil
	}
	m.mu.Lock()
	clear(m.tokens)
	m.mu.Unlock()
	if err := m.ctx.Finalize(); err != nil {
		return fmt.Errorf("finalise PKCS#11 module %s: %w", m.path, err)
	}
	return nil
}

// token returns what the process shares of the token in a slot.
func (m *module) token(slot uint) *token {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[slot]
	if t == nil {
		t = &token{}
		m.tokens[slot] = t
	}
	return t
}

// findSlot returns the slot of the token that cfg selects.
func (m *module) findSlot(cfg Config) (uint, pkcs11.TokenInfo, error) {
	if cfg.Slot != nil {
		slot := uint(*cfg.Slot)
		info, err := m.ctx.GetTokenInfo(slot)
		if err != nil {
			return 0, info, fmt.Errorf("read token in slot %d: %w", slot, err)
		}
		if got := trim(info.Label, maxTokenLabel); cfg.TokenLabel != "" && got != cfg.TokenLabel {
			return 0, info, fmt.Errorf("token in slot %d is %q: %w: expected %q", slot, got, device.ErrUnavailable, cfg.TokenLabel)
		}
		return slot, info, nil
	}
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		return 0, pkcs11.TokenInfo{}, fmt.Errorf("list slots: %w", err)
	}
	var found []uint
	var match pkcs11.TokenInfo
	for _, slot := range slots {
		info, err := m.ctx.GetTokenInfo(slot)
		if err != nil { // another token's trouble, or ours: then it is not found
			continue
		}
		if trim(info.Label, maxTokenLabel) == cfg.TokenLabel {
			found, match = append(found, slot), info
		}
	}
	switch len(found) {
	case 1:
		return found[0], match, nil
	case 0:
		return 0, match, fmt.Errorf("%w: none of the %d tokens present carries the label; check the label, or that the device is connected", device.ErrUnavailable, len(slots))
	default:
		return 0, match, fmt.Errorf("%d tokens carry the label, in slots %v: set the slot", len(found), found)
	}
}

// withString passes secret bytes as a string without a copy on the Go heap. The
// binding's copy in C memory is freed at once, but not zeroed.
func withString(secret []byte, fn func(string) error) error {
	return fn(unsafe.String(unsafe.SliceData(secret), len(secret)))
}
