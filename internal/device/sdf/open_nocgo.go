//go:build !cgo

package sdf

import (
	"errors"

	"github.com/terrace-pki/terrace/internal/device"
)

var errNoCgo = errors.New("this binary was built without cgo; SDF needs it: build with CGO_ENABLED=1 and a C compiler")

// Open fails in a build without cgo, once the config was found valid.
func Open(cfg Config) (device.Device, error) {
	if _, err := cfg.validate(); err != nil {
		return nil, err
	}
	return nil, errNoCgo
}
