package sdf

import (
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/device"
)

// Code is what an SDF function returned: SDR_BASE and a number of GB/T 36322, or
// a number of the maker's own. 0 is success and never an error.
type Code uint32

const base Code = 0x01000000

// Codes of GB/T 36322 (gm-formats §5.4).
const (
	codeUnknown       = base + 0x01
	codeNotSupported  = base + 0x02
	codeCommFail      = base + 0x03
	codeHardFail      = base + 0x04
	codeOpenDevice    = base + 0x05
	codeOpenSession   = base + 0x06
	codeAccessDenied  = base + 0x07
	codeKeyNotExist   = base + 0x08
	codeAlgorithm     = base + 0x09
	codeAlgorithmMode = base + 0x0A
	codePublicKey     = base + 0x0B
	codePrivateKey    = base + 0x0C
	codeSign          = base + 0x0D
	codeVerify        = base + 0x0E
	codeStep          = base + 0x10
	codeKeyType       = base + 0x14
	codeKey           = base + 0x15
	codeRandom        = base + 0x17
	codeKeyRight      = base + 0x18
	codeNoBuffer      = base + 0x1C
	codeInArgument    = base + 0x1D
	codeOutArgument   = base + 0x1E
)

var codeNames = map[Code]string{
	codeUnknown: "SDR_UNKNOWERR", codeNotSupported: "SDR_NOTSUPPORT", codeCommFail: "SDR_COMMFAIL", codeHardFail: "SDR_HARDFAIL",
	codeOpenDevice: "SDR_OPENDEVICE", codeOpenSession: "SDR_OPENSESSION", codeAccessDenied: "SDR_PARDENY",
	codeKeyNotExist: "SDR_KEYNOTEXIST", codeAlgorithm: "SDR_ALGNOTSUPPORT", codeAlgorithmMode: "SDR_ALGMODNOTSUPPORT",
	codePublicKey: "SDR_PKOPERR", codePrivateKey: "SDR_SKOPERR", codeSign: "SDR_SIGNERR", codeVerify: "SDR_VERIFYERR",
	codeStep: "SDR_STEPERR", codeKeyType: "SDR_KEYTYPEERR", codeKey: "SDR_KEYERR", codeRandom: "SDR_RANDERR",
	codeKeyRight: "SDR_PRKRERR", codeNoBuffer: "SDR_NOBUFFER", codeInArgument: "SDR_INARGERR", codeOutArgument: "SDR_OUTARGERR",
}

// Error names the code.
func (c Code) Error() string {
	if name, ok := codeNames[c]; ok {
		return fmt.Sprintf("%s (%#08x)", name, uint32(c))
	}
	return fmt.Sprintf("%#08x (see the maker's list of errors)", uint32(c))
}

// reaction is what an error of the library means for what is open.
type reaction int

const (
	// final: the device answered; asking again changes nothing.
	final reaction = iota
	// sessionLost: open a session anew, with its access rights, and try once more.
	sessionLost
	// deviceLost: open the device anew and try once more.
	deviceLost
)

// reactions lists the codes of the standard. What is not here, and every code of
// the maker's own, may be anything: then the device is opened anew.
var reactions = map[Code]reaction{
	codeNotSupported: final, codeKeyNotExist: final, codeAlgorithm: final, codeAlgorithmMode: final, codeVerify: final,
	codeKeyType: final, codeKey: final,
	// A device that restarted behind a library that reconnects has forgotten the rights.
	codeAccessDenied: sessionLost, codeKeyRight: sessionLost,
	codePublicKey: sessionLost, codePrivateKey: sessionLost, codeSign: sessionLost, codeRandom: sessionLost, codeNoBuffer: sessionLost,
}

func reactionTo(err error) reaction {
	var code Code
	if !errors.As(err, &code) {
		return final
	}
	if r, ok := reactions[code]; ok {
		return r
	}
	return deviceLost
}

// refusesPassword says whether the code that SDF_GetPrivateKeyAccessRight returned
// is about the password. The standard has no code for a wrong one, and makers use
// several; before a password was ever taken every doubt counts against it, since a
// second try may be the one that locks the index.
func refusesPassword(code Code, proven bool) bool {
	switch code {
	case codeKeyRight, codeAccessDenied:
		return true
	case codeCommFail, codeHardFail, codeOpenDevice, codeOpenSession, codeStep, codeNoBuffer, codeNotSupported, codeKeyNotExist:
		return false
	}
	return !proven
}

// classify names the device and says whether a later try may succeed.
func classify(library string, err error) error {
	var pinErr *device.PINError
	switch {
	case err == nil || errors.As(err, &pinErr):
		return err
	case reactionTo(err) != final && !errors.Is(err, device.ErrUnavailable):
		return fmt.Errorf("SDF library %s: %w: %w", library, device.ErrUnavailable, err)
	default:
		return fmt.Errorf("SDF library %s: %w", library, err)
	}
}

// errClosed is what a closed Device returns: a replacement may be on its way.
var errClosed = fmt.Errorf("%w: this device was closed", device.ErrUnavailable)
