package directory

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
)

// MaxCACertificates bounds the certificates of one CA entry.
const MaxCACertificates = 16

// State of a certificate at the time of publication.
type State string

// States. A certificate is in the directory while it is StateIssued.
const (
	StateIssued    State = "Issued"
	StateHeld      State = "Held"
	StateRevoked   State = "Revoked"
	StateAbandoned State = "Abandoned"
)

// Publication is the present state of one thing that a directory may show.
// Exactly one of Authority, Shard, TrustList and Certificate is set.
type Publication struct {
	// CA names a key generation of a CA as in files and URLs, e.g. "businessca-province-g1".
	CA          string
	Authority   *Authority
	Shard       *Shard
	TrustList   *TrustList
	Certificate *Certificate
}

// Authority is the entry of a CA. What is left empty is not in the entry.
type Authority struct {
	// Certificates in DER, at most MaxCACertificates.
	Certificates [][]byte
	// CRL in DER, of a CA whose list is not sharded; ARL of an IndustryCA.
	CRL, ARL []byte
	// Delta of either, in DER; empty when the CA makes none.
	Delta []byte
}

// Shard is one part of a sharded CRL.
type Shard struct {
	Number int32 // from 0
	CRL    []byte
	Delta  []byte // empty when the CA makes none
}

// TrustList is one form of the trust list (证书信任列表) of an industry CA.
type TrustList struct {
	// Extension of the form's files: "ctl" or "p7b".
	Extension string
	// Number is the list's sequence number, positive.
	Number int64
	DER    []byte
}

// Certificate is the entry of a subscriber.
type Certificate struct {
	Serial pki.Serial
	State  State
	// DER is needed for Issued and, to know the entry's name, with NamingSubject
	// for Held and Revoked. An Abandoned serial never was in the directory.
	DER []byte
}

// Want is what a directory is to hold under one DN.
type Want struct {
	DN string
	// Entry is nil when there is to be none.
	Entry *Entry
	// Withheld: the certificate is valid, but this directory may not show it.
	Withheld bool
}

// Want says what a publication asks of the directory.
//
// In a Public directory a certificate is withheld when it has an extension other
// than those of harmlessExtensions, as identity extensions are (GB/T 20518, or
// under any OID that a profile names), a subject attribute serialNumber, UID or
// uniqueIdentifier, or what looks like an identity number in the subject or in
// subjectAltName: 15 or more digits in a row, between which spaces, hyphens, dots,
// slashes and NULs do not count, as resident identity numbers (GB 11643) are put
// into names; or a word of 8 or more letters A to Z and digits with 6 or more
// digits, as passports are numbered. This is a heuristic: it withholds dates and
// telephone numbers too, and does not know a number that is written in words or
// spread over several attributes. What must not be shown is not to be put into
// the subject of a certificate that is published.
func (l *Layout) Want(p Publication) (Want, error) {
	w, err := l.want(p)
	if err != nil {
		return Want{}, fmt.Errorf("publication of CA %.100q: %w", p.CA, err)
	}
	if len(w.DN) > MaxDN {
		return Want{}, fmt.Errorf("publication of CA %.100q: DN has %d bytes, at most %d are allowed; use a shorter base", p.CA, len(w.DN), MaxDN)
	}
	return w, nil
}

func (l *Layout) want(p Publication) (Want, error) {
	ca, err := l.ca(p.CA)
	if err != nil {
		return Want{}, err
	}
	set := 0
	for _, is := range []bool{p.Authority != nil, p.Shard != nil, p.TrustList != nil, p.Certificate != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
	case p.Authority != nil:
		return wantAuthority(ca, *p.Authority)
	case p.Shard != nil:
		return l.wantShard(ca, *p.Shard)
	case p.TrustList != nil:
		return wantTrustList(ca, *p.TrustList)
	default:
		w, err := l.wantCertificate(ca, *p.Certificate)
		if err != nil {
			return Want{}, fmt.Errorf("serial %.40s: %w", p.Certificate.Serial, err)
		}
		return w, nil
	}
	return Want{}, errors.New("set exactly one of Authority, Shard, TrustList and Certificate")
}

func present(e Entry) (Want, error) {
	if err := e.check(); err != nil {
		return Want{}, err
	}
	return Want{DN: e.DN, Entry: &e}, nil
}

func wantAuthority(ca dn, a Authority) (Want, error) {
	if len(a.Certificates) > MaxCACertificates {
		return Want{}, fmt.Errorf("certificates: has %d, at most %d are allowed", len(a.Certificates), MaxCACertificates)
	}
	classes := []string{"organizationalUnit", "pkiCA"}
	if len(a.Delta) > 0 {
		classes = append(classes, "deltaCRL") // pkiCA has no room for it (RFC 4523 §3.4)
	}
	attributes := []Attribute{
		text("objectClass", classes...),
		text("ou", ca[0][0].value),
		{"cACertificate;binary", a.Certificates},
	}
	if len(a.CRL) > 0 {
		attributes = append(attributes, Attribute{"certificateRevocationList;binary", [][]byte{a.CRL}})
	}
	if len(a.ARL) > 0 {
		attributes = append(attributes, Attribute{"authorityRevocationList;binary", [][]byte{a.ARL}})
	}
	if len(a.Delta) > 0 {
		attributes = append(attributes, Attribute{"deltaRevocationList;binary", [][]byte{a.Delta}})
	}
	return present(NewEntry(ca.String(), attributes...))
}

func (l *Layout) wantShard(ca dn, s Shard) (Want, error) {
	if s.Number < 0 || len(s.CRL) == 0 {
		return Want{}, fmt.Errorf("shard %d: want a number from 0 and a CRL", s.Number)
	}
	name := l.shard(ca, s.Number)
	attributes := []Attribute{
		text("objectClass", "cRLDistributionPoint"),
		text("cn", name[0][0].value),
		{"certificateRevocationList;binary", [][]byte{s.CRL}},
	}
	if len(s.Delta) > 0 {
		attributes = append(attributes, Attribute{"deltaRevocationList;binary", [][]byte{s.Delta}})
	}
	return present(NewEntry(name.String(), attributes...))
}

// wantTrustList uses a document (RFC 4524 §3.3) that is also an extensibleObject
// (RFC 4512 §4.3), for no standard class has an attribute for trust lists, and
// userSMIMECertificate (RFC 2798 §2.8), which holds PKCS#7 signedData. OpenLDAP
// refuses the option binary for it, although the RFC wants it.
func wantTrustList(ca dn, t TrustList) (Want, error) {
	if t.Extension != "ctl" && t.Extension != "p7b" || t.Number < 1 || len(t.DER) == 0 {
		return Want{}, fmt.Errorf("trust list %q number %d of %d bytes: want ctl or p7b, a positive number and a list", t.Extension, t.Number, len(t.DER))
	}
	name := ca.child(ava{"cn", "trustlist." + t.Extension})
	return present(NewEntry(name.String(),
		text("objectClass", "document", "extensibleObject"),
		text("cn", name[0][0].value),
		text("documentIdentifier", ca[0][0].value+"."+t.Extension),
		text("documentVersion", strconv.FormatInt(t.Number, 10)),
		Attribute{"userSMIMECertificate", [][]byte{t.DER}}))
}

func (l *Layout) wantCertificate(ca dn, c Certificate) (Want, error) {
	serial, err := pki.ParseSerial(string(c.Serial))
	if err != nil {
		return Want{}, err
	}
	switch c.State {
	case StateIssued, StateHeld, StateRevoked:
	case StateAbandoned:
		return Want{DN: l.subscriber(ca, serial, "").String()}, nil
	default:
		return Want{}, fmt.Errorf("state %q: is unknown", c.State)
	}
	if c.State != StateIssued && l.naming == NamingSerial {
		return Want{DN: l.subscriber(ca, serial, "").String()}, nil
	}
	cert, err := pki.ParseCertificate(c.DER)
	if err != nil {
		return Want{}, fmt.Errorf("certificate: %w", err)
	}
	if got := pki.SerialFromInt(cert.SerialNumber); got != serial {
		return Want{}, fmt.Errorf("certificate: has serial number %s", got)
	}
	subject := subjectText(cert)
	name := l.subscriber(ca, serial, subject.cn)
	w := Want{DN: name.String()}
	if c.State != StateIssued {
		return w, nil
	}
	if l.audience == Public && showsIdentity(cert) {
		w.Withheld = true
		return w, nil
	}
	attributes := []Attribute{
		text("objectClass", "device", "pkiUser"),
		text("serialNumber", string(serial)),
		{"userCertificate;binary", [][]byte{c.DER}},
	}
	if subject.cn == "" { // device requires one
		subject.cn = string(serial)
	}
	attributes = append(attributes, text("cn", subject.cn))
	if l.audience == Business {
		attributes = append(attributes, text("o", subject.o...), text("ou", subject.ou...), text("l", subject.l...))
	}
	return present(NewEntry(w.DN, attributes...))
}

type subject struct {
	cn       string // the most specific one
	o, ou, l []string
}

// subjectText takes from the subject what a DirectoryString can hold.
func subjectText(cert *smx509.Certificate) subject {
	var s subject
	add := func(values *[]string, v string) {
		if !slices.ContainsFunc(*values, func(have string) bool { return strings.EqualFold(have, v) }) {
			*values = append(*values, v)
		}
	}
	for _, a := range cert.Subject.Names {
		v, ok := a.Value.(string)
		v = strings.Join(strings.Fields(v), " ")
		if !ok || v == "" || len(v) > 4*pki.MaxNameValue || strings.ContainsFunc(v, unicode.IsControl) {
			continue
		}
		switch a.Type.String() {
		case "2.5.4.3":
			s.cn = v
		case "2.5.4.10":
			add(&s.o, v)
		case "2.5.4.11":
			add(&s.ou, v)
		case "2.5.4.7":
			add(&s.l, v)
		}
	}
	return s
}

// harmlessExtensions say nothing of who the subject is; subjectAltName is looked
// into. What is not among them may be an identity number: the extensions of
// profiles can have any OID.
var harmlessExtensions = []string{
	pki.OIDSubjectKeyID, pki.OIDAuthorityKeyID, pki.OIDKeyUsage, pki.OIDExtKeyUsage, pki.OIDBasicConstraints,
	pki.OIDSubjectAltName, pki.OIDCRLDistributionPoints, pki.OIDFreshestCRL, pki.OIDAuthorityInfoAccess, pki.OIDOCSPNoCheck,
}

func showsIdentity(cert *smx509.Certificate) bool {
	for _, e := range cert.Extensions {
		oid := e.Id.String()
		if !slices.Contains(harmlessExtensions, oid) {
			return true
		}
		if oid == pki.OIDSubjectAltName && hasLongNumber(string(e.Value)) {
			return true
		}
	}
	for _, a := range cert.Subject.Names {
		switch a.Type.String() {
		case "2.5.4.5", "0.9.2342.19200300.100.1.1", "2.5.4.45":
			return true
		}
		v, ok := a.Value.(string)
		if !ok || hasLongNumber(v) { // what cannot be read cannot be shown to be harmless
			return true
		}
	}
	return false
}

// Lengths of what hasLongNumber takes for an identity number.
const (
	longNumber  = 15 // digits of a first-generation resident identity number
	documentLen = 8  // characters of a document's number, such as a passport's
	documentMin = 6  // digits among them
)

// hasLongNumber says whether an identity number may stand in a text; see
// [Layout.Want]. NULs are in a BMPString whose octets are read as they are.
func hasLongNumber(s string) bool {
	digits := 0             // in a row, separators aside
	length, numeric := 0, 0 // of the word, and its digits
	for _, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		switch {
		case unicode.IsDigit(r):
			digits++
			length++
			numeric++
		case letter:
			digits = 0
			length++
		case r == 0:
		case strings.ContainsRune(" -./", r):
			length, numeric = 0, 0
		default:
			digits, length, numeric = 0, 0, 0
		}
		if digits >= longNumber || length >= documentLen && numeric >= documentMin {
			return true
		}
	}
	return false
}
