package lint

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Tags of GeneralName (RFC 5280 §4.2.1.6).
var (
	nameOther     = explicit(0)
	nameMailbox   = cbasn1.Tag(1).ContextSpecific()
	nameDNS       = cbasn1.Tag(2).ContextSpecific()
	nameX400      = explicit(3)
	nameDirectory = explicit(4)
	nameEDI       = explicit(5)
	nameURI       = cbasn1.Tag(6).ContextSpecific()
	nameIP        = cbasn1.Tag(7).ContextSpecific()
	nameOID       = cbasn1.Tag(8).ContextSpecific()
)

// generalNames takes the content of GeneralNames apart.
func generalNames(in cryptobyte.String) ([]element, error) {
	if in.Empty() {
		return nil, errors.New("has no name")
	}
	var out []element
	for !in.Empty() {
		var e element
		if !in.ReadAnyASN1((*cryptobyte.String)(&e.content), &e.tag) {
			return nil, errors.New("has a malformed name")
		}
		switch e.tag {
		case nameOther, nameMailbox, nameDNS, nameX400, nameDirectory, nameEDI, nameURI, nameIP, nameOID:
		default:
			return nil, fmt.Errorf("has a name with tag %#x, which is no GeneralName", uint8(e.tag))
		}
		out = append(out, e)
	}
	return out, nil
}

// sequence returns the content of a value that is one SEQUENCE with something in it.
func sequence(value []byte) (cryptobyte.String, error) {
	in := cryptobyte.String(value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || seq.Empty() {
		return nil, errors.New("is not a SEQUENCE with something in it")
	}
	return seq, nil
}

// altNames are the names of an extension, none when it is missing or malformed.
func altNames(extensions []Extension, oid string) []element {
	e, ok := find(extensions, oid)
	if !ok {
		return nil
	}
	seq, err := sequence(e.Value)
	if err != nil {
		return nil
	}
	names, _ := generalNames(seq)
	return names
}

// points are the names of the distribution points of an extension.
type point struct {
	names    []element
	relative bool // nameRelativeToCRLIssuer
	bare     bool // no distributionPoint
	reasons  bool
	issuer   bool // cRLIssuer
}

// distributionPoints reads CRLDistributionPoints (RFC 5280 §4.2.1.13).
func distributionPoints(value []byte) ([]point, error) {
	seq, err := sequence(value)
	if err != nil {
		return nil, err
	}
	var out []point
	for !seq.Empty() {
		var in cryptobyte.String
		if !seq.ReadASN1(&in, cbasn1.SEQUENCE) {
			return nil, errors.New("has a malformed point")
		}
		p, err := readPoint(in)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func readPoint(in cryptobyte.String) (point, error) {
	var p point
	var name, reasons, issuer cryptobyte.String
	var named bool
	if !in.ReadOptionalASN1(&name, &named, explicit(0)) ||
		!in.ReadOptionalASN1(&reasons, &p.reasons, cbasn1.Tag(1).ContextSpecific()) ||
		!in.ReadOptionalASN1(&issuer, &p.issuer, explicit(2)) || !in.Empty() {
		return p, errors.New("has a malformed point")
	}
	p.bare = !named
	if !named {
		return p, nil
	}
	return p, p.readName(name)
}

// readName reads DistributionPointName.
func (p *point) readName(in cryptobyte.String) (err error) {
	var full cryptobyte.String
	switch {
	case in.PeekASN1Tag(explicit(1)):
		p.relative = true
		return nil
	case !in.ReadASN1(&full, explicit(0)) || !in.Empty():
		return errors.New("has a malformed distributionPoint")
	}
	p.names, err = generalNames(full)
	return err
}

// fetchable says whether a client can use a URI for lists or certificates.
func fetchable(uri []byte) error {
	u, err := url.Parse(string(uri))
	switch {
	case err != nil || u.Scheme == "" || bytes.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%.128q is no absolute URI", uri)
	case u.Scheme == "http" && u.Host != "", u.Scheme == "ldap":
		return nil
	case u.Scheme == "https", u.Scheme == "ldaps":
		return fmt.Errorf("%.128q: clients would have to check a certificate to check one", uri)
	}
	return fmt.Errorf("%.128q: scheme is neither http nor ldap", uri)
}

// ldapComplete wants a DN and one attribute description (RFC 5280 §4.2.1.13).
func ldapComplete(uri []byte) error {
	rest, ok := strings.CutPrefix(strings.ToLower(string(uri)), "ldap://")
	if !ok {
		return nil
	}
	_, path, _ := strings.Cut(rest, "/")
	dn, query, _ := strings.Cut(path, "?")
	attribute, _, _ := strings.Cut(query, "?")
	if dn == "" || attribute == "" {
		return fmt.Errorf("%.128q names no entry or no attribute", uri)
	}
	return nil
}

func eachURI(names []element, f func(uri []byte) error) error {
	for _, n := range names {
		if n.tag == nameURI {
			if err := f(n.content); err != nil {
				return err
			}
		}
	}
	return nil
}

// authorityKey is AuthorityKeyIdentifier.
type authorityKey struct {
	there          bool
	keyID          []byte
	issuer, serial bool
}

func readAuthorityKeyID(extensions []Extension) (authorityKey, error) {
	var a authorityKey
	e, ok := find(extensions, pki.OIDAuthorityKeyID)
	if !ok {
		return a, nil
	}
	a.there = true
	in := cryptobyte.String(e.Value)
	var seq, id, skip cryptobyte.String
	var there bool
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadOptionalASN1(&id, &there, cbasn1.Tag(0).ContextSpecific()) ||
		!seq.ReadOptionalASN1(&skip, &a.issuer, explicit(1)) ||
		!seq.ReadOptionalASN1(&skip, &a.serial, cbasn1.Tag(2).ContextSpecific()) || !seq.Empty() {
		return a, errors.New("authorityKeyIdentifier is malformed")
	}
	a.keyID = id
	return a, nil
}
