//go:build !cgo

package pkcs11

import (
	"context"
	"errors"

	"github.com/terrace-pki/terrace/internal/device"
)

var errNoCgo = errors.New("this binary was built without cgo; PKCS#11 needs it: build with CGO_ENABLED=1 and a C compiler")

// Open fails in a build without cgo, once the config was found valid.
func Open(cfg Config) (device.Device, error) {
	if _, err := cfg.validate(); err != nil {
		return nil, err
	}
	return nil, errNoCgo
}

// InitToken fails in a build without cgo.
func InitToken(string, int64, string, []byte, []byte) error { return errNoCgo }

// Examine fails in a build without cgo.
func Examine(context.Context, Examination) (*Report, error) { return nil, errNoCgo }
