package directory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Naming is how the RDN of a subscriber's entry is formed.
type Naming string

// Namings; the package comment shows them.
const (
	NamingSerial  Naming = "Serial"
	NamingSubject Naming = "Subject"
)

// Audience says who reads a directory.
type Audience string

// Audiences.
const (
	// Business: the business network (业务网). Subject attributes are shown.
	Business Audience = "Business"
	// Public: everyone. Certificates with identity numbers are withheld.
	Public Audience = "Public"
)

// LayoutConfig is what a Layout is made of.
type LayoutConfig struct {
	// Base is the DN under which all entries stand. Its first RDN has one
	// attribute of dc, o, ou, c, l and st.
	Base     string
	Naming   Naming
	Audience Audience
}

// Layout turns publications into the entries that a directory is to hold.
type Layout struct {
	base     dn
	root     Entry
	naming   Naming
	audience Audience
}

// NewLayout checks a configuration.
func NewLayout(c LayoutConfig) (*Layout, error) {
	base, err := parseDN(c.Base)
	if err != nil {
		return nil, fmt.Errorf("directory layout: base: %w", err)
	}
	root, err := rootEntry(base)
	if err != nil {
		return nil, fmt.Errorf("directory layout: base %q: %w", c.Base, err)
	}
	if len(c.Base) > MaxDN/2 {
		return nil, fmt.Errorf("directory layout: base: has %d bytes, at most %d are allowed", len(c.Base), MaxDN/2)
	}
	if c.Naming != NamingSerial && c.Naming != NamingSubject {
		return nil, fmt.Errorf("directory layout: naming %q: want %s or %s", c.Naming, NamingSerial, NamingSubject)
	}
	if c.Audience != Business && c.Audience != Public {
		return nil, fmt.Errorf("directory layout: audience %q: want %s or %s", c.Audience, Business, Public)
	}
	return &Layout{base: base, root: root, naming: c.Naming, audience: c.Audience}, nil
}

// Base is the DN under which all entries stand.
func (l *Layout) Base() string { return l.base.String() }

// Root is the entry of the base.
func (l *Layout) Root() Entry { return l.root }

// rootEntry gives a base its entry, so that a new server needs no preparation.
func rootEntry(base dn) (Entry, error) {
	if len(base[0]) != 1 {
		return Entry{}, errors.New("the first RDN has more than one attribute")
	}
	typ, value := strings.ToLower(base[0][0].typ), base[0][0].value
	class, ok := map[string]string{
		"dc": "domain", "o": "organization", "ou": "organizationalUnit",
		"c": "country", "l": "locality", "st": "locality",
	}[typ]
	if !ok {
		return Entry{}, fmt.Errorf("the first attribute is %q, want dc, o, ou, c, l or st", base[0][0].typ)
	}
	return NewEntry(base.String(), text("objectClass", class), text(typ, value)), nil
}

// maxCAName leaves room for "ou=" in MaxRDN.
const maxCAName = MaxRDN - 3

// ca is the DN of a CA's entry.
func (l *Layout) ca(name string) (dn, error) {
	if name == "" || len(name) > maxCAName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return nil, fmt.Errorf("CA name %.100q: want 1 to %d of a-z, 0-9, dot and hyphen, e.g. businessca-province-g1", name, maxCAName)
	}
	return l.base.child(ava{"ou", name}), nil
}

func (l *Layout) shard(ca dn, shard int32) dn {
	return ca.child(ava{"cn", "crl" + strconv.Itoa(int(shard))})
}

// subscriber is the DN of the entry of a certificate; cn may be empty.
func (l *Layout) subscriber(ca dn, serial pki.Serial, cn string) dn {
	unique := ava{"serialNumber", string(serial)}
	if l.naming == NamingSubject && cn != "" {
		if rdn := (dn{{{"cn", cn}, unique}}); len(rdn.String()) <= MaxRDN {
			return ca.child(rdn[0]...)
		}
	}
	return ca.child(unique)
}

func text(typ string, values ...string) Attribute {
	a := Attribute{Type: typ}
	for _, v := range values {
		a.Values = append(a.Values, []byte(v))
	}
	return a
}
