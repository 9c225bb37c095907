//go:build cgo

package pkcs11

import (
	"errors"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/device"
)

func TestInitToken(t *testing.T) {
	token := newToken(t, tokenOptions{})
	soPIN, userPIN := []byte("officer-pin"), []byte("user-pin")
	for name, tc := range map[string]struct {
		slot  int64
		label string
		want  string
	}{
		"negative slot":   {-1, "dev", "negative"},
		"no label":        {1, "", "label"},
		"long label":      {1, strings.Repeat("x", 33), "33 bytes"},
		"another's token": {0, "dev", `holds token "` + token.Label},
		"no such slot":    {999, "dev", "CKR_SLOT_ID_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			err := InitToken(token.ModulePath, tc.slot, tc.label, soPIN, userPIN)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("InitToken: %v, want an error with %q", err, tc.want)
			}
		})
	}

	if err := InitToken(token.ModulePath, 1, "dev", soPIN, userPIN); err != nil {
		t.Fatal(err)
	}
	open := func(pin []byte) *Device {
		return openToken(t, token, func(c *Config) { c.TokenLabel, c.PIN = "dev", pin })
	}
	mustSign(t, mustKey(t, open(userPIN), "ca"))

	// Again, also from another slot and with other PINs: nothing changes.
	for _, slot := range []int64{1, 2} {
		if err := InitToken(token.ModulePath, slot, "dev", []byte("other-officer"), []byte("other-user")); err != nil {
			t.Fatalf("InitToken again in slot %d: %v", slot, err)
		}
	}
	key, err := open(userPIN).Key(t.Context(), "ca")
	if err != nil {
		t.Fatalf("the key after InitToken again: %v", err)
	}
	mustSign(t, key)
	var pinErr *device.PINError
	if _, err := open([]byte("other-user")).Info(t.Context()); !errors.As(err, &pinErr) {
		t.Errorf("Info with the PIN of the repeated call: %v, want *device.PINError", err)
	}
}
