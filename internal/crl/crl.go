// Package crl builds and signs certificate revocation lists (证书撤销列表), X.509
// v2 as in RFC 5280 §5 and GM/T 0015: full ones and deltas (增量).
package crl

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

// MaxEntries bounds one list; shard above it.
const MaxEntries = 2_000_000

// Entry is one revoked certificate.
type Entry struct {
	Serial pki.Serial
	// At is when it was revoked.
	At time.Time
	// Reason removeFromCRL is for deltas alone (RFC 5280 §5.3.1).
	Reason pki.Reason
}

// Template is what one list is to be.
type Template struct {
	// Issuer is the certificate of the CA, whose subject and key identifier go raw into the list.
	Issuer *smx509.Certificate
	// Number is cRLNumber (RFC 5280 §5.2.3), positive; a Builder takes it later.
	Number int64
	// Base makes the list a delta (RFC 5280 §5.2.4): BaseCRLNumber, that of the
	// full list whose changes it shows. 0: a full list.
	Base int64
	// ThisUpdate and NextUpdate are written in whole seconds.
	ThisUpdate, NextUpdate time.Time
	// Entries in any order, each serial once, for Sign. They are not changed.
	Entries []Entry
	// DistributionPoint is the URL that is also in the certificates' CRLDP; it
	// goes into a critical issuingDistributionPoint, the same in a full list and
	// its deltas. Empty: none.
	DistributionPoint string
	// OnlyCACertificates makes the list one of CA certificates (an ARL).
	OnlyCACertificates bool
	// FreshestCRL is the URL of the deltas of a full list (RFC 5280 §5.2.6). Empty: none.
	FreshestCRL string
}

// Sign builds the list, lints it and has the signer sign it; see [Builder.Sign].
// For many entries use a Builder.
func Sign(signer crypto.MessageSigner, t Template) ([]byte, error) {
	if len(t.Entries) > MaxEntries {
		return nil, fmt.Errorf("sign CRL: %w", tooMany(len(t.Entries)))
	}
	b, err := NewBuilder(t)
	if err != nil {
		return nil, err
	}
	entries := slices.Clone(t.Entries)
	slices.SortFunc(entries, func(a, b Entry) int { return compareSerials(a.Serial, b.Serial) })
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			return nil, err
		}
	}
	return b.Sign(signer, t.Number)
}

// check refuses what no list can be made of.
func (t Template) check() error {
	switch {
	case t.Issuer == nil:
		return errors.New("issuer certificate: is missing")
	case len(t.Issuer.SubjectKeyId) == 0:
		return errors.New("issuer certificate: has no subject key identifier")
	case t.Base < 0:
		return fmt.Errorf("base: is %d, want the number of a full list, or 0", t.Base)
	case t.Base > 0 && t.FreshestCRL != "":
		return errors.New("freshest CRL: a delta names no delta")
	}
	for _, u := range []struct{ field, url string }{{"distribution point", t.DistributionPoint}, {"freshest CRL", t.FreshestCRL}} {
		if u.url == "" {
			continue
		}
		if err := pki.CheckURI(u.url); err != nil {
			return fmt.Errorf("%s: %w", u.field, err)
		}
	}
	return nil
}

// compareSerials orders by number, which needs no big integers: serials have no
// leading zeros.
func compareSerials(a, b pki.Serial) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(string(a), string(b))
}

func tooMany(n int) error {
	return fmt.Errorf("entries: has %d, at most %d are allowed; raise the number of shards", n, MaxEntries)
}
