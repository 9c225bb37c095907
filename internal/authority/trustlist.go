package authority

import (
	"fmt"
	"strings"
	"time"
)

// KindTrustListSigner is the kind of identity of the certificates of those who
// sign trust lists.
const KindTrustListSigner = "TrustListSigner"

// Prefixes of names in the ledger.
const (
	industryCAPrefix = "IndustryCA/"
	trustListPrefix  = "TrustList/"
)

// TrustListSettings say how the trust list (证书信任列表) of an industry CA is made.
type TrustListSettings struct {
	// Device is "namespace/name" of the CryptoDevice that holds the signer's key.
	Device string `json:"device"`
	// Interval and Overlap: a list is made each interval, and when the set of CAs
	// changes; it is valid for interval + overlap.
	Interval time.Duration `json:"interval"`
	Overlap  time.Duration `json:"overlap"`
}

func (t *TrustListSettings) check() error {
	if t == nil {
		return nil
	}
	if t.Device == "" || t.Interval <= 0 || t.Overlap <= 0 {
		return fmt.Errorf("trust list: device %q, interval %s and overlap %s: want a device and positive times", t.Device, t.Interval, t.Overlap)
	}
	return nil
}

// TrustList is the key under which a CRLStore keeps the trust lists of an
// industry CA's key generation: a trust list is a signed list with a number like
// a CRL, and its two forms are the shards 0 (.ctl) and 1 (.p7b). It takes the
// same way to validation nodes, where a lower number never replaces a higher
// one. The zero key for a CA of another kind.
func (k IssuerKey) TrustList() IssuerKey {
	name, ok := strings.CutPrefix(k.Authority, industryCAPrefix)
	if !ok {
		return IssuerKey{}
	}
	return IssuerKey{Authority: trustListPrefix + name, Generation: k.Generation}
}

// OfTrustList is the industry CA's key whose trust lists stand under k; false
// when k is of something else.
func (k IssuerKey) OfTrustList() (IssuerKey, bool) {
	name, ok := strings.CutPrefix(k.Authority, trustListPrefix)
	return IssuerKey{Authority: industryCAPrefix + name, Generation: k.Generation}, ok
}
