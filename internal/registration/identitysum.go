package registration

import (
	"crypto/rand"
	"crypto/subtle"
	"maps"
	"slices"

	"github.com/emmansun/gmsm/sm3"
)

// IdentitySaltSize is the size of a salt, in bytes.
const IdentitySaltSize = 16

const identityDomain = "terrace/identity/v1"

// SumIdentity makes the salt and the sum by which the identity values of a
// request are known again: people approve a request whose values stand in a
// Secret, and the certificate must have the values that were there then. Both
// are nil when there are no values.
//
// Identity numbers are few, and the salt makes the sum no secret to who has
// both: they stay in the RA's database, and go into no status, log or digest.
func SumIdentity(values map[string]string) (salt, sum []byte) {
	if len(values) == 0 {
		return nil, nil
	}
	salt = make([]byte, IdentitySaltSize)
	_, _ = rand.Read(salt) // never fails
	return salt, identitySum(salt, values)
}

// SameIdentity says whether values are those that the request was opened with.
// Without a recorded sum only no values are.
func (o Opened) SameIdentity(values map[string]string) bool {
	if len(values) == 0 || len(o.IdentitySalt) == 0 {
		return len(values) == 0 && len(o.IdentitySalt) == 0
	}
	return subtle.ConstantTimeCompare(o.IdentitySum, identitySum(o.IdentitySalt, values)) == 1
}

// identitySum is SM3 over
//
//	field("terrace/identity/v1")
//	field(salt)
//	count(values) field(name) field(value) for each, sorted by name
//
// with field and count as in Digest.
func identitySum(salt []byte, values map[string]string) []byte {
	var e encoder
	e.field(identityDomain)
	e.field(string(salt))
	e.count(len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		e.field(name)
		e.field(values[name])
	}
	sum := sm3.Sum(e)
	return sum[:]
}
