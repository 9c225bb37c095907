// Package limits is what the process beside the keys allows at most, whatever
// the API says. It is read from a file of that process's host, so that whoever
// owns the cluster cannot widen it.
package limits

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// maxFile bounds the file, maxEntries each of its lists.
const (
	maxFile    = 1 << 20
	maxEntries = 256
)

// ErrRefused is wrapped by every refusal.
var ErrRefused = registration.ErrOutsideLimits

// file is the YAML form.
type file struct {
	Authorities  []authorityText   `json:"authorities"`
	Subordinates []subordinateText `json:"subordinates"`
	Officers     []officerText     `json:"officers"`
}

type authorityText struct {
	Authority          string                      `json:"authority"`
	Validity           duration                    `json:"validity"`
	KeyUsages          []string                    `json:"keyUsages"`
	ExtendedKeyUsages  []string                    `json:"extendedKeyUsages"`
	AnyPurpose         bool                        `json:"anyPurpose"`
	IdentityExtensions []string                    `json:"identityExtensions"`
	Names              []registration.NameRuleText `json:"names"`
}

type subordinateText struct {
	Issuer        string                      `json:"issuer"`
	MaxPathLength int                         `json:"maxPathLength"`
	Validity      duration                    `json:"validity"`
	Names         []registration.NameRuleText `json:"names"`
	Approvals     int                         `json:"approvals"`
}

type officerText struct {
	Name      string `json:"name"`
	PublicKey string `json:"publicKey"`
}

// duration is written like 43800h.
type duration time.Duration

// UnmarshalText reads a Go duration.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Subscribers bounds what one CA may issue to subscribers.
type Subscribers struct {
	Validity          time.Duration
	KeyUsages         pki.KeyUsage
	ExtendedKeyUsages []string // dotted OIDs
	// AnyPurpose: a profile may have no extended key usage at all, which restricts
	// the key to no purpose (RFC 5280 §4.2.1.12): a server's is among them.
	AnyPurpose bool
	// IdentityExtensions are the dotted OIDs of the extensions that may say who
	// somebody is (GB/T 20518).
	IdentityExtensions []string
	Names              []registration.NameRule
}

// Subordinates bounds the CAs that one CA may issue, and says how many officers must sign.
type Subordinates struct {
	MaxPathLength int
	Validity      time.Duration
	Names         []registration.NameRule
	// Approvals is the number of distinct officers; 0 asks for none.
	Approvals int
}

// Limits are those of one process. An authority that is not listed may issue nothing.
type Limits struct {
	subscribers  map[string]Subscribers  // by authority
	subordinates map[string]Subordinates // by issuer
	officers     map[string]*ecdsa.PublicKey
}

// Load reads a file; an error names the field, what is wrong and the cure.
func Load(path string) (*Limits, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read limits %s: %d bytes, at most %d are allowed", path, info.Size(), maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	l, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("limits %s: %w", path, err)
	}
	return l, nil
}

// Parse reads the YAML form; unknown fields are refused.
func Parse(b []byte) (*Limits, error) {
	var f file
	if err := yaml.UnmarshalStrict(b, &f); err != nil {
		return nil, err
	}
	if n := max(len(f.Authorities), len(f.Subordinates), len(f.Officers)); n > maxEntries {
		return nil, fmt.Errorf("a list has %d entries, at most %d are allowed", n, maxEntries)
	}
	l := &Limits{subscribers: map[string]Subscribers{}, subordinates: map[string]Subordinates{}, officers: map[string]*ecdsa.PublicKey{}}
	for i, a := range f.Authorities {
		if err := l.addAuthority(a); err != nil {
			return nil, fmt.Errorf("authorities[%d]%w", i, err)
		}
	}
	for i, o := range f.Officers {
		if err := l.addOfficer(o); err != nil {
			return nil, fmt.Errorf("officers[%d]%w", i, err)
		}
	}
	for i, s := range f.Subordinates {
		if err := l.addSubordinates(s); err != nil {
			return nil, fmt.Errorf("subordinates[%d]%w", i, err)
		}
	}
	return l, nil
}

func (l *Limits) addAuthority(a authorityText) error {
	if _, twice := l.subscribers[a.Authority]; twice || a.Authority == "" {
		return fmt.Errorf(".authority %q: want one entry for each CA, as BusinessCA/namespace/name", a.Authority)
	}
	if a.Validity <= 0 {
		return errors.New(".validity: required, the longest of a certificate, like 43800h")
	}
	usage, err := pki.ParseKeyUsage(a.KeyUsages...)
	if err != nil {
		return fmt.Errorf(".keyUsages: %w", err)
	}
	if usage&pki.KeyUsagesCA != 0 {
		return errors.New(".keyUsages: those of a CA are bounded by subordinates")
	}
	if err := errors.Join(checkOIDs("extendedKeyUsages", a.ExtendedKeyUsages), checkOIDs("identityExtensions", a.IdentityExtensions)); err != nil {
		return err
	}
	names, err := registration.ParseNameRules(a.Names)
	if err != nil {
		return fmt.Errorf(".names%w", err)
	}
	l.subscribers[a.Authority] = Subscribers{Validity: time.Duration(a.Validity), KeyUsages: usage, ExtendedKeyUsages: a.ExtendedKeyUsages,
		AnyPurpose: a.AnyPurpose, IdentityExtensions: a.IdentityExtensions, Names: names}
	return nil
}

func checkOIDs(field string, oids []string) error {
	if len(oids) > maxEntries {
		return fmt.Errorf(".%s: has %d entries, at most %d are allowed", field, len(oids), maxEntries)
	}
	for i, oid := range oids {
		if _, err := pki.ParseOID(oid); err != nil {
			return fmt.Errorf(".%s[%d]: %w", field, i, err)
		}
	}
	return nil
}

func (l *Limits) addSubordinates(s subordinateText) error {
	if _, twice := l.subordinates[s.Issuer]; twice || s.Issuer == "" {
		return fmt.Errorf(".issuer %q: want one entry for each CA, as IndustryCA/namespace/name", s.Issuer)
	}
	switch {
	case s.MaxPathLength < 0 || s.MaxPathLength > pki.MaxPathLen:
		return fmt.Errorf(".maxPathLength %d: want 0 to %d", s.MaxPathLength, pki.MaxPathLen)
	case s.Validity <= 0:
		return errors.New(".validity: required, the longest of a CA certificate, like 87600h")
	case s.Approvals < 0 || s.Approvals > len(l.officers):
		return fmt.Errorf(".approvals %d: want 0 to the number of officers, which is %d", s.Approvals, len(l.officers))
	}
	names, err := registration.ParseNameRules(s.Names)
	if err != nil {
		return fmt.Errorf(".names%w", err)
	}
	l.subordinates[s.Issuer] = Subordinates{MaxPathLength: s.MaxPathLength, Validity: time.Duration(s.Validity), Names: names, Approvals: s.Approvals}
	return nil
}

func (l *Limits) addOfficer(o officerText) error {
	if _, twice := l.officers[o.Name]; twice || o.Name == "" {
		return fmt.Errorf(".name %q: want a name of its own for each officer", o.Name)
	}
	pub, err := pki.ParsePublicKeyPEM([]byte(o.PublicKey))
	if err != nil {
		return fmt.Errorf(".publicKey: %w", err)
	}
	// One key, one officer: else one signature would count for two.
	for name, other := range l.officers {
		if other.Equal(pub) {
			return fmt.Errorf(".publicKey: is also that of %q; each officer has a key of their own", name)
		}
	}
	l.officers[o.Name] = pub
	return nil
}

// Check refuses an order that goes beyond the limits of the CA.
func (l *Limits) Check(issuer authority.IssuerKey, o authority.Order) error {
	if err := l.check(issuer.Authority, o); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRefused, issuer.Authority, err)
	}
	return nil
}

func (l *Limits) check(name string, o authority.Order) error {
	switch o.Identity.Kind {
	case authority.KindOCSPResponder, authority.KindTrustListSigner:
		return nil // a built-in profile, made here
	}
	if o.Profile.CA != nil {
		return l.checkCA(name, o)
	}
	s, ok := l.subscribers[name]
	if !ok {
		return errors.New("no entry in authorities: it issues to no subscriber")
	}
	p := o.Profile
	switch {
	case p.Validity > s.Validity:
		return fmt.Errorf("validity %s of profile %q: at most %s", p.Validity, p.Name, s.Validity)
	case p.KeyUsage&^s.KeyUsages != 0:
		return fmt.Errorf("key usages %s of profile %q: allowed are %s", p.KeyUsage, p.Name, s.KeyUsages)
	}
	switch {
	case p.OCSPNoCheck:
		return fmt.Errorf("profile %q has OCSP no-check, which only the responders have that this process certifies by itself; make it Absent", p.Name)
	case len(p.ExtKeyUsage) == 0 && !s.AnyPurpose:
		return fmt.Errorf("profile %q has no extended key usage, which allows any purpose (RFC 5280 §4.2.1.12); name its purposes, or set anyPurpose in the limits", p.Name)
	}
	for _, oid := range p.ExtKeyUsage {
		if !slices.Contains(s.ExtendedKeyUsages, oid) {
			return fmt.Errorf("extended key usage %s of profile %q is not allowed", oid, p.Name)
		}
	}
	for _, e := range p.IdentityExtensions {
		if !slices.Contains(s.IdentityExtensions, e.OID) {
			return fmt.Errorf("identity extension %s of profile %q is not allowed", e.OID, p.Name)
		}
	}
	return registration.Within(s.Names, o.Subject, o.SubjectAltNames)
}

func (l *Limits) checkCA(name string, o authority.Order) error {
	s, ok := l.subordinates[name]
	switch {
	case !ok:
		return errors.New("no entry in subordinates: it issues to no CA")
	case o.Profile.CA.PathLen > s.MaxPathLength:
		return fmt.Errorf("path length %d: at most %d", o.Profile.CA.PathLen, s.MaxPathLength)
	case o.Profile.Validity > s.Validity:
		return fmt.Errorf("validity %s: at most %s", o.Profile.Validity, s.Validity)
	}
	return registration.Within(s.Names, o.Subject, o.SubjectAltNames)
}

// Subordinates returns what bounds the CAs below an issuer.
func (l *Limits) Subordinates(issuer string) (Subordinates, bool) {
	s, ok := l.subordinates[issuer]
	return s, ok
}

// Officer returns an officer's public key.
func (l *Limits) Officer(name string) (*ecdsa.PublicKey, bool) {
	pub, ok := l.officers[name]
	return pub, ok
}
