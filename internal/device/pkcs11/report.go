package pkcs11

import (
	"fmt"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/internal/device"
)

// Verdict of a Finding.
type Verdict string

const (
	// Good: as it should be.
	Good Verdict = "OK"
	// Warn: the device works, with a limit that somebody should know of.
	Warn Verdict = "WARN"
	// Fail: Terrace cannot use the device like this.
	Fail Verdict = "FAIL"
)

// Finding is one thing that Examine looked at.
type Finding struct {
	// Check is its short name, e.g. "login".
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	// Detail is what was seen, Cure what to do about it; no Cure when it is Good.
	Detail string `json:"detail"`
	Cure   string `json:"cure,omitempty"`
}

// Report is what Examine found out about a token.
type Report struct {
	Module   string      `json:"module"`
	Slot     uint        `json:"slot"`
	Token    device.Info `json:"token"`
	Findings []Finding   `json:"findings"`
	// Profile is the name of the profile that fits, empty if none does.
	Profile string `json:"profile,omitempty"`
	// Sessions were open at once, at most those asked for; Rate is what they sign
	// together each second, Rate1 what one of them does.
	Sessions int     `json:"sessions,omitempty"`
	Rate     float64 `json:"rate,omitempty"`
	Rate1    float64 `json:"rate1,omitempty"`

	bySlot bool // the label would not tell it from another token
}

// Failed says whether something must be mended first.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Verdict == Fail {
			return true
		}
	}
	return false
}

func (r *Report) add(check string, verdict Verdict, cure, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, Verdict: verdict, Detail: fmt.Sprintf(format, args...), Cure: cure})
}

// Manifest proposes the CryptoDevice of the token as YAML, empty when no profile fits.
func (r *Report) Manifest() string {
	if r.Profile == "" {
		return ""
	}
	which := fmt.Sprintf("slot: %d", r.Slot)
	if r.Token.Label != "" && !r.bySlot {
		which = fmt.Sprintf("tokenLabel: %q", r.Token.Label)
	}
	return fmt.Sprintf(`apiVersion: pki.terrace.dev/v1alpha1
kind: CryptoDevice
metadata:
  name: hsm
spec:
  pkcs11:
    modulePath: %q
    %s
    pinSecretRef:
      name: hsm-pin
      key: pin
    mechanismProfile: %s
    maxSessions: %d
`, r.Module, which, r.Profile, max(r.Sessions, 1))
}

// String is a table for people, and the proposed CryptoDevice.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "module  %s\ntoken   %q in slot %d, serial number %s, model %s\n\n", r.Module, r.Token.Label, r.Slot, r.Token.SerialNumber, r.Token.Model)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-4s  %-22s  %s\n", f.Verdict, f.Check, f.Detail)
		if f.Cure != "" {
			fmt.Fprintf(&b, "%-4s  %-22s  -> %s\n", "", "", f.Cure)
		}
	}
	if m := r.Manifest(); m != "" {
		fmt.Fprintf(&b, "\n%s", m)
	}
	return b.String()
}

// Examination says what Examine looks at.
type Examination struct {
	// ModulePath is the absolute path of the module's shared library.
	ModulePath string
	// TokenLabel or Slot select the token; none is needed when one is there.
	TokenLabel string
	Slot       *int64
	// PIN is asked for once, when the token is ready for a login. Examine zeroes
	// what it returns.
	PIN func() ([]byte, error)
	// Profiles are tried, the preferred one first; nil means the built-in ones.
	Profiles []Profile
	// Sessions is how many are opened at most; 0 means DefaultMaxSessions.
	Sessions int
	// RateTime is how long signatures are counted, twice; 0 means a second.
	RateTime time.Duration
}

// candidates are the profiles in the order in which they are preferred: by digest
// before by message, since then the device's idea of Z does not matter.
func (e Examination) candidates() []Profile {
	if e.Profiles != nil {
		return e.Profiles
	}
	all := Profiles()
	var list []Profile
	for _, suffix := range []string{"", messageSuffix} {
		for _, maker := range []string{"Sansec", "TASS", "IBM", "Luna"} {
			list = append(list, all[maker+suffix])
		}
	}
	return list
}
