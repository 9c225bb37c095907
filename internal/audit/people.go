package audit

import (
	"crypto/ecdsa"
	"fmt"
)

// People are the public keys of officers and auditors by their names, as who
// verifies knows them. Those who are not in it are believed by the key that stands beside their
// signature, which shows that nobody changed it since, not whose it is.
type People map[string]*ecdsa.PublicKey

// Key returns the key to verify a signature of somebody with: theirs, or own.
func (p People) Key(name string, own *ecdsa.PublicKey) (*ecdsa.PublicKey, error) {
	known := p[name]
	switch {
	case known == nil && own == nil:
		return nil, fmt.Errorf("no public key of %q is known", name)
	case known == nil:
		return own, nil
	case own != nil && !known.Equal(own):
		return nil, fmt.Errorf("signed with another key than that of %q", name)
	}
	return known, nil
}
