package registration

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/emmansun/gmsm/sm3"
)

// Content is what a certificate request asks for: the fields that make it the
// same request as another one. Labels, annotations and whatever a server stamps
// on an object are not among them.
type Content struct {
	// RequestDER and not its PEM: armour and line ends are no content.
	RequestDER []byte
	Profile    string
	// RegistrationNamespace as resolved: the requester's when the reference has none.
	RegistrationNamespace string
	RegistrationName      string
	Certificates          []string
	Identity              []IdentityField
}

// IdentityField is one identity value of a request: the value, or the entry of
// the Secret that it stands in.
//
// The digest covers the reference and never what it refers to. It is public, and
// identity numbers are few: whoever has it could try them all. Nor may the digest
// change when the Secret is gone, for Git applies the request for ever.
type IdentityField struct {
	Name, Value, SecretName, SecretKey string
}

const digestDomain = "terrace/certificaterequest/v1"

// Digest identifies a request, together with its namespace and name, for ever.
// It is SM3 over
//
//	field("terrace/certificaterequest/v1")
//	field(request DER)
//	field(profile)
//	field(RA namespace) field(RA name)
//	count(certificates) field(...) for each, sorted by bytes
//	count(identity) field(name) field(value) field(secret name) field(secret key) for each, sorted in this order
//
// where field(x) is the length of x in bytes as 4 octets, big-endian, and x;
// count(n) is n as 4 octets; strings are UTF-8. Each part says how long it is, so
// no two contents have one encoding. Another list of fields is another version.
func Digest(c Content) [32]byte { return sm3.Sum(c.encode()) }

func (c Content) encode() []byte {
	var e encoder
	e.field(digestDomain)
	e.field(string(c.RequestDER))
	e.field(c.Profile)
	e.field(c.RegistrationNamespace)
	e.field(c.RegistrationName)
	e.count(len(c.Certificates))
	for _, s := range slices.Sorted(slices.Values(c.Certificates)) {
		e.field(s)
	}
	e.count(len(c.Identity))
	for _, v := range slices.SortedFunc(slices.Values(c.Identity), IdentityField.compare) {
		e.field(v.Name)
		e.field(v.Value)
		e.field(v.SecretName)
		e.field(v.SecretKey)
	}
	return e
}

// encoder builds what is digested or signed: fields that say how long they are.
type encoder []byte

func (e *encoder) count(n int) { *e = binary.BigEndian.AppendUint32(*e, uint32(n)) }

func (e *encoder) field(s string) {
	e.count(len(s))
	*e = append(*e, s...)
}

func (v IdentityField) compare(w IdentityField) int {
	return cmp.Or(cmp.Compare(v.Name, w.Name), cmp.Compare(v.Value, w.Value),
		cmp.Compare(v.SecretName, w.SecretName), cmp.Compare(v.SecretKey, w.SecretKey))
}
