package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm3"
)

// MaxEntry bounds the values of one entry together, in bytes. slapd must take
// requests of that size (sockbuf_max_incoming_auth).
const MaxEntry = 64 << 20

// Entry is an entry of a directory with its user attributes.
type Entry struct {
	// DN is by RFC 4514. DNs are compared in the form of NormalizeDN.
	DN string
	// Attributes, each type once; NewEntry sorts them.
	Attributes []Attribute
}

// Attribute of an entry.
type Attribute struct {
	// Type with its options, such as "userCertificate;binary". Types are
	// compared without case.
	Type string
	// Values are a set. They are compared byte by byte.
	Values [][]byte
}

// NewEntry sorts attributes by type and their values, and drops attributes
// without values, so that equal entries look alike.
func NewEntry(dn string, attributes ...Attribute) Entry {
	e := Entry{DN: dn}
	for _, a := range attributes {
		if len(a.Values) == 0 {
			continue
		}
		values := slices.Clone(a.Values)
		slices.SortFunc(values, bytes.Compare)
		e.Attributes = append(e.Attributes, Attribute{a.Type, values})
	}
	slices.SortFunc(e.Attributes, func(a, b Attribute) int { return strings.Compare(strings.ToLower(a.Type), strings.ToLower(b.Type)) })
	return e
}

// Values returns the values of an attribute, nil when there is none.
func (e Entry) Values(typ string) [][]byte {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Type, typ) {
			return a.Values
		}
	}
	return nil
}

// Equal says whether two entries, made by NewEntry, have the same DN and attributes.
func (e Entry) Equal(other Entry) bool {
	if e.DN != other.DN {
		a, errA := NormalizeDN(e.DN)
		b, errB := NormalizeDN(other.DN)
		if errA != nil || errB != nil || a != b {
			return false
		}
	}
	return slices.EqualFunc(e.Attributes, other.Attributes, func(a, b Attribute) bool {
		return strings.EqualFold(a.Type, b.Type) && equalValues(a.Values, b.Values)
	})
}

func equalValues(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// digest is SM3 over a salt, the normalized DN and the attributes, each field
// with its length before it.
func (e Entry) digest(salt []byte, key string) [32]byte {
	h := sm3.New()
	var n [4]byte
	add := func(b []byte) {
		binary.BigEndian.PutUint32(n[:], uint32(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	add(salt)
	add([]byte(key))
	for _, a := range e.Attributes {
		add([]byte(strings.ToLower(a.Type)))
		binary.BigEndian.PutUint32(n[:], uint32(len(a.Values)))
		h.Write(n[:])
		for _, v := range a.Values {
			add(v)
		}
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// check bounds what came from outside.
func (e Entry) check() error {
	size := len(e.DN)
	for _, a := range e.Attributes {
		typ, _, _ := strings.Cut(a.Type, ";")
		if !isAttributeType(typ) || len(a.Type) > 128 || strings.ContainsAny(a.Type, " :\r\n") {
			return fmt.Errorf("attribute type %.64q: is malformed", a.Type)
		}
		for _, v := range a.Values {
			size += len(v)
		}
	}
	if size > MaxEntry {
		return fmt.Errorf("entry %.200q: has %d bytes, at most %d are allowed; shard the CRL", e.DN, size, MaxEntry)
	}
	return nil
}
