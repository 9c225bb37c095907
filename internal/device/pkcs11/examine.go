//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// examiner is an Examination under way.
type examiner struct {
	Examination
	*Report
	module     *module
	mechanisms map[uint]bool
	credential *credential
	conn       *connection
	sessions   []*session
	traces     []trace // what is in the token because of us
}

// Examine finds out what a token behind a module can do: it logs in once, makes
// throw-away keys, signs and decrypts by each mechanism that a profile knows,
// compares with our own SM2, and removes the keys again. What is wrong is in the
// report; the error is for what kept it from looking, such as a PIN that could not
// be read.
func Examine(ctx context.Context, e Examination) (*Report, error) {
	if e.Sessions == 0 {
		e.Sessions = DefaultMaxSessions
	}
	if e.RateTime == 0 {
		e.RateTime = time.Second
	}
	switch {
	case !filepath.IsAbs(e.ModulePath):
		return nil, fmt.Errorf("examine module %q: the path is not absolute", e.ModulePath)
	case e.Sessions < 1 || e.Sessions > MaxMaxSessions:
		return nil, fmt.Errorf("examine module %s: %d sessions, must be 1 to %d", e.ModulePath, e.Sessions, MaxMaxSessions)
	}
	x := &examiner{Examination: e, Report: &Report{Module: e.ModulePath}}
	err := x.run(ctx)
	return x.Report, err
}

// run goes on as long as there is something to look at.
func (x *examiner) run(ctx context.Context) (err error) {
	if !x.loads() {
		return nil
	}
	defer func() { err = errors.Join(err, x.module.release()) }()
	if !x.findsToken() || !x.takesPINs() {
		return nil
	}
	fitting := x.fitting()
	if len(fitting) == 0 {
		return nil // no need for the PIN
	}
	pin, err := x.PIN()
	if err != nil {
		return fmt.Errorf("read PIN: %w", err)
	}
	x.credential = newCredential(x.Token.Label, pin)
	clear(pin)
	defer x.credential.close()
	x.conn = &connection{module: x.module, slot: x.Report.Slot, token: x.module.token(x.Report.Slot), handles: map[string]pkcs11.ObjectHandle{}}
	defer x.closeSessions()
	if !x.logsIn() {
		return nil
	}
	defer x.leavesNothing()
	var chosen *Profile
	for i, p := range fitting {
		if err := ctx.Err(); err != nil {
			return err
		}
		if x.signs(p) && chosen == nil {
			chosen = &fitting[i]
		}
	}
	if chosen == nil {
		x.add("profile", Fail, "mend what failed above, then run this again", "no profile gives signatures that verify")
		return nil
	}
	x.settle(chosen.Name)
	x.decrypts(*chosen)
	x.parallel(ctx, *chosen)
	return ctx.Err()
}

// settle takes the profile, and turns the failures of others into remarks.
func (x *examiner) settle(profile string) {
	x.Profile = profile
	for i, f := range x.Findings {
		if strings.HasPrefix(f.Check, signCheck) && f.Verdict == Fail {
			x.Findings[i].Verdict, x.Findings[i].Cure = Warn, "do not use this profile; "+x.Profile+" works"
		}
	}
	x.add("profile", Good, "", "%s fits", x.Profile)
}

func (x *examiner) loads() bool {
	m, err := loadModule(x.ModulePath)
	if err != nil {
		x.add("module", Fail, "check the path, that the library is of this machine's architecture (file), that ldd finds all that it needs, and the settings that its maker asks for", "%v", err)
		return false
	}
	x.module = m
	info, err := m.ctx.GetInfo()
	if err != nil {
		x.add("module", Warn, "ask the maker", "C_GetInfo: %v", err)
		return true
	}
	x.add("module", Good, "", "%s, %s, version %d.%d, PKCS#11 %d.%d", trim(info.ManufacturerID, 32), trim(info.LibraryDescription, 32),
		info.LibraryVersion.Major, info.LibraryVersion.Minor, info.CryptokiVersion.Major, info.CryptokiVersion.Minor)
	return true
}

// findsToken selects the token, and lists those that are there.
func (x *examiner) findsToken() bool {
	slots, err := x.module.ctx.GetSlotList(true)
	if err != nil {
		x.add("token", Fail, "check that the device is connected and on", "list slots: %v", err)
		return false
	}
	var present []string
	var chosen []uint
	infos := map[uint]pkcs11.TokenInfo{}
	for _, slot := range slots {
		info, err := x.module.ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		label := trim(info.Label, maxTokenLabel)
		infos[slot] = info
		present = append(present, fmt.Sprintf("%q in slot %d", label, slot))
		if (x.TokenLabel == "" || x.TokenLabel == label) && (x.Examination.Slot == nil || uint(*x.Examination.Slot) == slot) {
			chosen = append(chosen, slot)
		}
	}
	switch {
	case len(present) == 0:
		x.add("token", Fail, "connect the device; initialise the token by its maker's tool", "%d slots hold no token that is initialised", len(slots))
		return false
	case len(chosen) == 0:
		x.add("token", Fail, "name one of these with --token-label or --slot", "not there; present are %s", strings.Join(present, ", "))
		return false
	case len(chosen) > 1:
		x.add("token", Fail, "choose one with --token-label or --slot", "several fit: %s", strings.Join(present, ", "))
		return false
	}
	x.Report.Slot, x.bySlot = chosen[0], x.Examination.Slot != nil && x.TokenLabel == ""
	info := infos[chosen[0]]
	x.Token = device.Info{Label: trim(info.Label, 64), SerialNumber: trim(info.SerialNumber, 64), Model: trim(info.Model, 64)}
	x.add("token", Good, "", "present are %s", strings.Join(present, ", "))
	return true
}

// takesPINs reads the token's flags before a try is spent.
func (x *examiner) takesPINs() bool {
	info, err := x.module.ctx.GetTokenInfo(x.Report.Slot)
	const check = "PIN"
	switch {
	case err != nil:
		x.add(check, Fail, "check that the device is connected and on", "read token flags: %v", err)
	case info.Flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
		x.add(check, Fail, "have the security officer set the user's PIN by the maker's tool", "the token has no user PIN yet")
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		x.add(check, Fail, "have the security officer set a new user PIN", "the user's PIN is locked")
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		x.add(check, Fail, "log in with the right PIN by the maker's tool first: Terrace never spends the last try", "one wrong PIN more locks the token")
	case info.Flags&pkcs11.CKF_USER_PIN_COUNT_LOW != 0:
		x.add(check, Warn, "find out who tries PINs", "wrong PINs were tried since the last login")
		return true
	default:
		x.add(check, Good, "", "is set, no wrong one was tried")
		return true
	}
	return false
}

// fitting are the candidates whose mechanisms the token lists.
func (x *examiner) fitting() []Profile {
	list, err := x.module.ctx.GetMechanismList(x.Report.Slot)
	if err != nil {
		x.add("mechanisms", Fail, "ask the maker", "C_GetMechanismList: %v", err)
		return nil
	}
	x.mechanisms = map[uint]bool{}
	var vendor []string
	for _, m := range list {
		x.mechanisms[m.Mechanism] = true
		if m.Mechanism >= pkcs11.CKM_VENDOR_DEFINED {
			vendor = append(vendor, fmt.Sprintf("%#x", m.Mechanism))
		}
	}
	slices.Sort(vendor)
	var names []string
	fitting := []Profile{}
	for _, p := range x.candidates() {
		if x.mechanisms[p.KeyPairGen] && x.mechanisms[p.Sign] {
			fitting, names = append(fitting, p), append(names, p.Name)
		}
	}
	if len(fitting) == 0 {
		x.add("mechanisms", Fail, "PKCS#11 has no SM2 of its own: check that SM2 is licensed and switched on in the device, then ask the maker for its numbers of key-pair generation and signature",
			"none of the profiles' pairs of numbers is there; the token has %d mechanisms, of its maker's own %s", len(list), strings.Join(vendor, " "))
		return fitting
	}
	x.add("mechanisms", Good, "", "%d of them, of its maker's own %s; they fit %s", len(list), strings.Join(vendor, " "), strings.Join(names, ", "))
	return fitting
}

func (x *examiner) logsIn() bool {
	s, err := x.openSession()
	var pin *device.PINError
	switch {
	case errors.As(err, &pin):
		x.add("login", Fail, "use the PIN of the token's user, not the security officer's; it was tried once and is not tried again", "%v", err)
		return false
	case err != nil:
		x.add("login", Fail, "look at the device's log; close other programs' sessions when it says CKR_SESSION_COUNT", "%v", err)
		return false
	}
	x.sessions = append(x.sessions, s)
	x.add("login", Good, "", "the PIN is right")
	return true
}

// openSession opens a session and logs in.
func (x *examiner) openSession() (*session, error) {
	h, err := x.module.ctx.OpenSession(x.Report.Slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if err := x.conn.token.logIn(x.module.ctx, x.Report.Slot, h, x.credential); err != nil {
		_ = x.module.ctx.CloseSession(h)
		return nil, err
	}
	return &session{conn: x.conn, handle: h}, nil
}

func (x *examiner) closeSessions() {
	for _, s := range x.sessions {
		_ = x.module.ctx.CloseSession(s.handle) // with the last one the login ends
	}
}
