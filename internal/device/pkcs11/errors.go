//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// reaction is what an error code of the module means for the connection.
type reaction int

const (
	// lost: the session, login or handle is gone; connect anew and try once more.
	lost reaction = iota + 1
	// unavailable: the device is in trouble; the caller may come back later.
	unavailable
)

// reactions lists the codes that do not come from a wrong profile or request.
var reactions = map[pkcs11.Error]reaction{
	pkcs11.CKR_SESSION_HANDLE_INVALID: lost,
	pkcs11.CKR_SESSION_CLOSED:         lost,
	pkcs11.CKR_USER_NOT_LOGGED_IN:     lost,
	pkcs11.CKR_DEVICE_REMOVED:         lost,
	pkcs11.CKR_TOKEN_NOT_PRESENT:      lost,
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED:   lost,
	// Handles go stale when another Device of this process logs out and in.
	pkcs11.CKR_KEY_HANDLE_INVALID:        lost,
	pkcs11.CKR_OBJECT_HANDLE_INVALID:     lost,
	pkcs11.CKR_OPERATION_NOT_INITIALIZED: lost,

	pkcs11.CKR_SLOT_ID_INVALID:          unavailable,
	pkcs11.CKR_DEVICE_ERROR:             unavailable,
	pkcs11.CKR_DEVICE_MEMORY:            unavailable,
	pkcs11.CKR_HOST_MEMORY:              unavailable,
	pkcs11.CKR_GENERAL_ERROR:            unavailable,
	pkcs11.CKR_FUNCTION_FAILED:          unavailable,
	pkcs11.CKR_FUNCTION_CANCELED:        unavailable,
	pkcs11.CKR_SESSION_COUNT:            unavailable,
	pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED: unavailable,
	pkcs11.CKR_RANDOM_NO_RNG:            unavailable,
}

func reactionTo(err error) reaction {
	var code pkcs11.Error
	if errors.As(err, &code) {
		return reactions[code]
	}
	return 0
}

func isLost(err error) bool { return reactionTo(err) == lost }

// classify names the token and says whether a later try may succeed.
func (d *Device) classify(err error) error {
	var pinErr *device.PINError
	switch {
	case err == nil || errors.As(err, &pinErr):
		return err
	case reactionTo(err) != 0 && !errors.Is(err, device.ErrUnavailable):
		return fmt.Errorf("token %q: %w: %w", d.cfg.tokenName(), device.ErrUnavailable, err)
	default:
		return fmt.Errorf("token %q: %w", d.cfg.tokenName(), err)
	}
}

// errClosed is what a closed Device returns: a replacement may be on its way.
var errClosed = fmt.Errorf("%w: this device was closed", device.ErrUnavailable)

// trim cleans a fixed-size field of the module: padding, NULs and at most n bytes.
func trim(s string, n int) string {
	s = strings.ToValidUTF8(strings.Trim(s, " \x00\t\r\n"), "?")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
