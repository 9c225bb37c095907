//go:build cgo

package pkcs11

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"
	"sigs.k8s.io/yaml"
)

// examine examines the token with changes to what is asked.
func examine(t *testing.T, token testToken, change func(*Examination)) *Report {
	t.Helper()
	e := Examination{ModulePath: token.ModulePath, PIN: func() ([]byte, error) { return []byte(token.PIN), nil }, Sessions: 2, RateTime: 50 * time.Millisecond}
	if change != nil {
		change(&e)
	}
	before := objects(t, token)
	r, err := Examine(t.Context(), e)
	if err != nil {
		t.Fatalf("Examine: %v", err)
	}
	if after := objects(t, token); after != before {
		t.Errorf("the token held %d objects before and %d after", before, after)
	}
	asJSON, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.String()+string(asJSON), token.PIN) {
		t.Error("the report tells the PIN")
	}
	for _, f := range r.Findings {
		if (f.Verdict == Good) != (f.Cure == "") || f.Detail == "" {
			t.Errorf("finding %+v: one that is not good has a cure, and each a detail", f)
		}
	}
	return r
}

func objects(t *testing.T, token testToken) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(token.Dir, "slot-*", "obj-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func find(r *Report, check string) Finding {
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	return Finding{}
}

// TestExamineMakers: each maker's token is known for what it is, and the proposed
// CryptoDevice works.
func TestExamineMakers(t *testing.T) {
	decrypt := map[string]Verdict{"Luna": Warn}
	for _, maker := range []string{"Sansec", "TASS", "IBM", "Luna"} {
		for _, input := range []string{"any", "message"} {
			t.Run(maker+" "+input, func(t *testing.T) {
				token := newToken(t, tokenOptions{profile: strings.ToLower(maker), signInput: input})
				r := examine(t, token, nil)
				want := maker
				if input == "message" {
					want += messageSuffix
				}
				if r.Profile != want || r.Failed() {
					t.Fatalf("profile %q, failed %v; want %q and no failure\n%s", r.Profile, r.Failed(), want, r)
				}
				wantDecrypt := decrypt[maker]
				if wantDecrypt == "" {
					wantDecrypt = Good
				}
				if got := find(r, "decrypt"); got.Verdict != wantDecrypt {
					t.Errorf("decrypt: %+v, want %s", got, wantDecrypt)
				}
				if params := strings.Contains(find(r, signCheck+want).Detail, "CKA_EC_PARAMS required"); params != (maker == "Luna") {
					t.Errorf("sign: %+v; only Luna requires CKA_EC_PARAMS", find(r, signCheck+want))
				}
				if bare := strings.Contains(find(r, signCheck+want).Detail, "point bare"); bare != (maker == "TASS") {
					t.Errorf("sign: %+v; only TASS has the bare point", find(r, signCheck+want))
				}
				if r.Sessions != 2 || r.Rate <= 0 || r.Rate1 <= 0 {
					t.Errorf("%d sessions, rates %f and %f", r.Sessions, r.Rate1, r.Rate)
				}
				var manifest struct {
					Spec struct {
						PKCS11 struct {
							TokenLabel, MechanismProfile string
							MaxSessions                  int
						}
					}
				}
				if err := yaml.Unmarshal([]byte(r.Manifest()), &manifest); err != nil {
					t.Fatalf("%v\n%s", err, r.Manifest())
				}
				d := openToken(t, token, func(c *Config) {
					c.TokenLabel, c.MaxSessions = manifest.Spec.PKCS11.TokenLabel, manifest.Spec.PKCS11.MaxSessions
					c.Profile = Profiles()[manifest.Spec.PKCS11.MechanismProfile]
				})
				mustSign(t, mustKey(t, d, "ca"))
			})
		}
	}
}

// TestExamineTroubles: what is wrong is named, with a cure.
func TestExamineTroubles(t *testing.T) {
	slot := func(n int64) *int64 { return &n }
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	noPIN := func(e *Examination) {
		e.PIN = func() ([]byte, error) { return nil, errors.New("the PIN was asked for") }
	}
	hashes := Profiles()["Sansec"]
	hashes.Sign = 0x80008103
	for name, tc := range map[string]struct {
		options tokenOptions
		prepare func(t *testing.T, token testToken)
		change  func(*Examination)
		check   string
		verdict Verdict
		want    string // in detail or cure
		profile string
	}{
		"no module":         {change: func(e *Examination) { e.ModulePath = "/no/such.so"; noPIN(e) }, check: "module", verdict: Fail, want: "no such file"},
		"not a library":     {change: func(e *Examination) { e.ModulePath = text; noPIN(e) }, check: "module", verdict: Fail, want: "ldd"},
		"unknown label":     {change: func(e *Examination) { e.TokenLabel = "another"; noPIN(e) }, check: "token", verdict: Fail, want: `"test-token" in slot 0`},
		"unknown slot":      {change: func(e *Examination) { e.Slot = slot(3); noPIN(e) }, check: "token", verdict: Fail, want: "--slot"},
		"pulled out":        {prepare: func(t *testing.T, token testToken) { setFault(t, token, "device-removed") }, change: noPIN, check: "token", verdict: Fail, want: "connect the device"},
		"several tokens":    {prepare: second, change: noPIN, check: "token", verdict: Fail, want: "choose one"},
		"one of several":    {prepare: second, change: func(e *Examination) { e.TokenLabel = "test-token" }, check: "token", verdict: Good, want: "bare", profile: "Sansec"},
		"no user PIN":       {prepare: second, change: func(e *Examination) { e.TokenLabel = "bare"; noPIN(e) }, check: "PIN", verdict: Fail, want: "security officer"},
		"wrong PIN":         {change: func(e *Examination) { e.PIN = func() ([]byte, error) { return []byte("wrong"), nil } }, check: "login", verdict: Fail, want: "not tried again"},
		"last try":          {options: tokenOptions{pinTries: "2"}, prepare: wrongOnce, change: noPIN, check: "PIN", verdict: Fail, want: "never spends the last try"},
		"locked":            {options: tokenOptions{pinTries: "1"}, prepare: wrongOnce, change: noPIN, check: "PIN", verdict: Fail, want: "locked"},
		"a wrong PIN":       {options: tokenOptions{pinTries: "5"}, prepare: wrongOnce, check: "PIN", verdict: Warn, want: "find out who", profile: "Sansec"},
		"another maker's":   {options: tokenOptions{profile: "ibm"}, change: func(e *Examination) { e.Profiles = []Profile{Profiles()["Luna"]}; noPIN(e) }, check: "mechanisms", verdict: Fail, want: "0x8005000a"},
		"hashes again":      {change: func(e *Examination) { e.Profiles = []Profile{hashes} }, check: signCheck + "Sansec", verdict: Fail, want: "hashes what it is given"},
		"broken":            {prepare: func(t *testing.T, token testToken) { setFault(t, token, "bad-signature") }, check: "profile", verdict: Fail, want: "no profile"},
		"one profile fails": {change: func(e *Examination) { e.Profiles = []Profile{hashes, Profiles()["Sansec-Message"]} }, check: signCheck + "Sansec", verdict: Warn, want: "Sansec-Message works", profile: "Sansec-Message"},
		"few sessions":      {options: tokenOptions{maxSessions: "1"}, check: "sessions", verdict: Warn, want: "maxSessions: 1", profile: "Sansec"},
		"refuses":           {options: tokenOptions{refused: "extractable, unwrap"}, check: "template", verdict: Warn, want: "leaves them out", profile: "Sansec"},
		"each logs in":      {options: tokenOptions{login: "session"}, check: "login", verdict: Good, want: "right", profile: "Sansec"},
	} {
		t.Run(name, func(t *testing.T) {
			token := newToken(t, tc.options)
			if tc.prepare != nil {
				tc.prepare(t, token)
			}
			r := examine(t, token, tc.change)
			got := find(r, tc.check)
			if got.Verdict != tc.verdict || !strings.Contains(got.Detail+got.Cure, tc.want) {
				t.Errorf("%s: %+v, want %s with %q\n%s", tc.check, got, tc.verdict, tc.want, r)
			}
			if r.Profile != tc.profile || (r.Manifest() == "") != (tc.profile == "") {
				t.Errorf("profile %q, want %q", r.Profile, tc.profile)
			}
			if r.Failed() != (tc.verdict == Fail) {
				t.Errorf("Failed() = %v\n%s", r.Failed(), r)
			}
		})
	}
}

// second makes a token beside the first one, without a user PIN.
func second(t *testing.T, token testToken) {
	t.Helper()
	withModule(t, token, func(m *pkcs11.Ctx) error { return m.InitToken(1, "officer-pin", "bare") })
}

// wrongOnce spends one try.
func wrongOnce(t *testing.T, token testToken) {
	t.Helper()
	withModule(t, token, func(m *pkcs11.Ctx) error {
		s, err := m.OpenSession(0, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			return err
		}
		if err := m.Login(s, pkcs11.CKU_USER, "wrong"); err == nil {
			return errors.New("a wrong PIN was taken")
		}
		return nil
	})
}

func withModule(t *testing.T, token testToken, do func(*pkcs11.Ctx) error) {
	t.Helper()
	m, err := loadModule(token.ModulePath)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(m.ctx), m.release()); err != nil {
		t.Fatal(err)
	}
}

// TestExamineTriesAPINOnce: one wrong PIN costs one try, also with many sessions.
func TestExamineTriesAPINOnce(t *testing.T) {
	token := newToken(t, tokenOptions{pinTries: "3", login: "session"})
	r := examine(t, token, func(e *Examination) {
		e.Sessions = 8
		e.PIN = func() ([]byte, error) { return []byte("wrong"), nil }
	})
	if find(r, "login").Verdict != Fail {
		t.Fatalf("a wrong PIN was taken\n%s", r)
	}
	wrongOnce(t, token) // a second try, of three
	mustKey(t, openRight(t, token), "ca")
}

// openRight opens the token after its last try was unlocked by hand.
func openRight(t *testing.T, token testToken) *Device {
	t.Helper()
	withModule(t, token, func(m *pkcs11.Ctx) error {
		s, err := m.OpenSession(0, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			return err
		}
		return m.Login(s, pkcs11.CKU_USER, token.PIN) // fails when two tries were spent on one wrong PIN
	})
	return openToken(t, token, nil)
}
