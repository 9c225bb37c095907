package authority

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Settings is the accepted spec of one CA: what signing certificates and CRLs
// needs to know when the API server is away. The ledger keeps it as JSON.
type Settings struct {
	Key IssuerKey `json:"key"`
	// Device is "namespace/name" of the CryptoDevice, Label the key's label in it.
	Device string `json:"device"`
	Label  string `json:"label"`
	// Certificate is the CA's own, DER; Chain stands above it, issuer first, root last.
	Certificate []byte   `json:"certificate"`
	Chain       [][]byte `json:"chain"`
	// BaseURL of the ValidationService that answers for this CA; empty: the
	// certificates carry no URLs.
	BaseURL string `json:"baseURL,omitempty"`
	// Validation is "namespace/name" of that ValidationService.
	Validation string `json:"validation,omitempty"`
	// Directories are the "namespace/name" of the Directories that show the CA's
	// certificates and lists.
	Directories []string `json:"directories,omitempty"`
	// CRLInterval and CRLOverlap: a list is made each interval and is valid for interval + overlap.
	CRLInterval time.Duration `json:"crlInterval"`
	CRLOverlap  time.Duration `json:"crlOverlap"`
	// DeltaInterval: a delta is made each such interval, shorter than CRLInterval, and
	// is valid for two of them. 0: there are none.
	DeltaInterval time.Duration `json:"deltaInterval,omitempty"`
	// Shards among which new certificates are spread; MaxShards is the largest
	// number that was ever accepted, since older certificates name those lists.
	Shards    int32 `json:"shards"`
	MaxShards int32 `json:"maxShards"`
	// Paused: no certificate is signed; CRLs are.
	Paused bool `json:"paused,omitempty"`
	// OnlyCACertificates: the lists are ARLs (RFC 5280 §5.2.5 onlyContainsCACerts).
	OnlyCACertificates bool `json:"onlyCACertificates,omitempty"`
	// TrustList says how an industry CA's trust list is made; nil: none is.
	TrustList *TrustListSettings `json:"trustList,omitempty"`
}

// CA is one key generation of a certificate authority, parsed and checked.
type CA struct {
	Settings
	Cert *smx509.Certificate
}

// NewCA checks settings and parses the certificate.
func NewCA(s Settings) (*CA, error) {
	switch {
	case s.Key.Authority == "" || s.Key.Generation < 1:
		return nil, fmt.Errorf("settings of CA: key %q generation %d: want a name and a generation from 1", s.Key.Authority, s.Key.Generation)
	case s.Device == "" || s.Label == "":
		return nil, fmt.Errorf("settings of CA %s: device and label are required", s.Key.Authority)
	case s.CRLInterval <= 0 || s.CRLOverlap <= 0:
		return nil, fmt.Errorf("settings of CA %s: CRL interval %s and overlap %s must be positive", s.Key.Authority, s.CRLInterval, s.CRLOverlap)
	case s.DeltaInterval < 0 || s.DeltaInterval >= s.CRLInterval:
		return nil, fmt.Errorf("settings of CA %s: delta interval %s: want one shorter than the CRL interval %s, or 0 for no deltas", s.Key.Authority, s.DeltaInterval, s.CRLInterval)
	case s.Shards < 1 || s.MaxShards < s.Shards:
		return nil, fmt.Errorf("settings of CA %s: shards %d of at most %d: want 1 or more", s.Key.Authority, s.Shards, s.MaxShards)
	}
	if err := s.TrustList.check(); err != nil {
		return nil, fmt.Errorf("settings of CA %s: %w", s.Key.Authority, err)
	}
	cert, err := smx509.ParseCertificate(s.Certificate)
	if err != nil {
		return nil, fmt.Errorf("settings of CA %s: parse certificate: %w", s.Key.Authority, err)
	}
	return &CA{Settings: s, Cert: cert}, nil
}

// acceptedName is the name under which the ledger keeps the settings of a key generation.
func acceptedName(k IssuerKey) string { return fmt.Sprintf("%s/g%d", k.Authority, k.Generation) }

func (s Settings) encode() (Accepted, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return Accepted{}, fmt.Errorf("encode settings of CA %s: %w", s.Key.Authority, err)
	}
	return Accepted{Name: acceptedName(s.Key), Spec: b}, nil
}

func decodeSettings(a Accepted) (Settings, error) {
	var s Settings
	if err := json.Unmarshal(a.Spec, &s); err != nil {
		return s, fmt.Errorf("decode accepted settings %s: %w", a.Name, err)
	}
	return s, nil
}

// ReadSettings reads the accepted settings of every CA from the ledger, by name.
// Unlike a Service it sees a change no later than the feed does.
func ReadSettings(ctx context.Context, book Book) ([]Settings, error) {
	var all []Settings
	for _, prefix := range []string{"BusinessCA/", "IndustryCA/"} {
		accepted, err := book.AllAccepted(ctx, prefix)
		if err != nil {
			return nil, fmt.Errorf("read settings of CAs: %w", err)
		}
		for _, a := range accepted {
			s, err := decodeSettings(a)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// FileName is the CA's part of the names of its files, e.g. "businessca-province-g1".
func (k IssuerKey) FileName() string {
	kind, rest, _ := strings.Cut(k.Authority, "/")
	_, name, _ := strings.Cut(rest, "/")
	return fmt.Sprintf("%s-%s-g%d", strings.ToLower(kind), name, k.Generation)
}

// CRLFileName is the name of a revocation list below <baseURL>/crl/.
func (k IssuerKey) CRLFileName(shard int32) string {
	return fmt.Sprintf("%s-s%d.crl", k.FileName(), shard)
}

// DeltaFileName is the name of a shard's delta beside its list.
func (k IssuerKey) DeltaFileName(shard int32) string {
	return fmt.Sprintf("%s-s%d-delta.crl", k.FileName(), shard)
}

// DeltaURL is where the delta of a shard is found, empty without deltas or a base URL.
func (s Settings) DeltaURL(shard int32) string {
	if s.BaseURL == "" || s.DeltaInterval == 0 {
		return ""
	}
	return s.BaseURL + "/crl/" + s.Key.DeltaFileName(shard)
}

// CRLURL is where the list of a shard is found, empty without a base URL.
func (s Settings) CRLURL(shard int32) string {
	if s.BaseURL == "" {
		return ""
	}
	return s.BaseURL + "/crl/" + s.Key.CRLFileName(shard)
}

// NameBelow is the subject of a signer that works for the CA: the CA's country and
// organisation, and below them attributes.
func (c *CA) NameBelow(attributes ...pki.Attribute) (pki.Name, error) {
	issuer, err := pki.ParseNameDER(c.Cert.RawSubject)
	if err != nil {
		return pki.Name{}, err
	}
	var all []pki.Attribute
	for _, a := range issuer.Attributes() {
		if a.Type == "C" || a.Type == "O" {
			all = append(all, a)
		}
	}
	return pki.NewName(append(all, attributes...)...)
}
