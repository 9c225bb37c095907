// Package inventory goes through a ledger and holds what it finds against the
// rules of package lint and against itself: certificates against their records
// and their CA, lists against what is revoked. It only reads.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/lint"
)

// Ledger is what is gone through. It may be in use meanwhile: what changes
// during the walk is seen in its old or its new state.
type Ledger interface {
	authority.Revocations
	authority.CRLStore
	authority.Book
}

// Names of the findings over the ledger itself; docs/lints.md has them.
const (
	FindingCA         = "ledger-ca"
	FindingSerial     = "ledger-serial"
	FindingNotAfter   = "ledger-not-after"
	FindingShard      = "ledger-shard"
	FindingNoCRL      = "ledger-crl-present"
	FindingOverdue    = "ledger-crl-current"
	FindingCRLRecord  = "ledger-crl-record"
	FindingCRLMissing = "ledger-crl-complete"
	FindingCRLExtra   = "ledger-crl-exact"
	FindingCRLDiffers = "ledger-crl-entry"
	FindingNoRecord   = "ledger-record"
)

const (
	pageSize     = 500
	maxExamples  = 5 // of a rule
	defaultEvery = 10 * time.Second
	maxRevoked   = 2_000_000 // of a shard, as many as a list may have
)

// Config of a walk.
type Config struct {
	Ledger Ledger
	// After goes on where an earlier walk's place was; empty: from the start.
	After string
	// Progress is told the place from time to time, nil: nobody is.
	Progress func(Place)
	// Every is how often; 0: every ten seconds.
	Every time.Duration
	Now   func() time.Time
}

// Place is how far a walk has come.
type Place struct {
	// After is what Config.After takes.
	After        string
	Certificates int64
	Findings     int64
}

// Count is how often one rule found something.
type Count struct {
	Check    string        `json:"lint"`
	Severity lint.Severity `json:"severity"`
	Count    int64         `json:"count"`
	// Examples are the first few, "CA serial: detail".
	Examples []string `json:"examples"`
}

// Report is what a walk found.
type Report struct {
	CAs int `json:"cas"`
	// WithoutContent were archived, or are known by their serial alone.
	WithoutContent int64   `json:"withoutContent,omitempty"`
	Certificates   int64   `json:"certificates"`
	CRLs           int     `json:"crls"`
	Entries        int64   `json:"entries"`
	Counts         []Count `json:"findings"`
}

// Errors is the number of findings of severity error.
func (r Report) Errors() int64 {
	var n int64
	for _, c := range r.Counts {
		if c.Severity == lint.SeverityError {
			n += c.Count
		}
	}
	return n
}

type walk struct {
	Config
	report   Report
	counts   map[string]int // index in report.Counts
	findings int64
	told     time.Time
}

// Run goes through the CAs in the order of their names: first the certificates
// that are good, then for each shard those that are revoked, and its list. It
// holds one page of certificates and the revoked serials of one shard.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	w := &walk{Config: c, report: Report{Counts: []Count{}}, counts: map[string]int{}, told: c.Now()}
	after, err := parsePlace(c.After)
	if err != nil {
		return w.report, err
	}
	all, err := authority.ReadSettings(ctx, c.Ledger)
	if err != nil {
		return w.report, fmt.Errorf("go through ledger: %w", err)
	}
	met := after.ca == ""
	for _, s := range all {
		cursor := int64(0)
		if !met {
			if placeName(s.Key) != after.ca {
				continue
			}
			met, cursor = true, after.cursor
		}
		if err := w.authority(ctx, s, cursor); err != nil {
			return w.report, fmt.Errorf("go through ledger: %s: %w", placeName(s.Key), err)
		}
	}
	if !met {
		return w.report, fmt.Errorf("go through ledger: place %q: there is no such CA; start without one", c.After)
	}
	return w.report, nil
}

func placeName(k authority.IssuerKey) string { return fmt.Sprintf("%s/g%d", k.Authority, k.Generation) }

type place struct {
	ca     string
	cursor int64
}

// parsePlace reads "kind/namespace/name/gN:cursor".
func parsePlace(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	ca, number, ok := strings.Cut(s, ":")
	cursor, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || ca == "" || cursor < 0 {
		return place{}, fmt.Errorf("place %.128q: want what an earlier walk printed, as in BusinessCA/ns/name/g1:4711", s)
	}
	return place{ca, cursor}, nil
}

func (w *walk) authority(ctx context.Context, s authority.Settings, cursor int64) error {
	cert, err := smx509.ParseCertificate(s.Certificate)
	if err != nil {
		w.add(placeName(s.Key), lint.Finding{Check: FindingCA, Detail: "the CA's own certificate cannot be read: " + err.Error()})
		return nil
	}
	w.report.CAs++
	ca := &ca{Settings: s, cert: cert, name: placeName(s.Key)}
	for {
		records, next, err := w.Ledger.Good(ctx, s.Key, cursor, pageSize)
		if err != nil {
			return err
		}
		for _, r := range records {
			w.certificate(ca, r)
		}
		if next == cursor {
			break
		}
		cursor = next
		w.tell(fmt.Sprintf("%s:%d", ca.name, cursor))
	}
	for shard := range s.MaxShards {
		if err := w.shard(ctx, ca, shard); err != nil {
			return fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	return nil
}

func (w *walk) tell(after string) {
	if now := w.Now(); w.Progress != nil && now.Sub(w.told) >= w.Every {
		w.told = now
		w.Progress(Place{after, w.report.Certificates, w.findings})
	}
}

func (w *walk) add(subject string, f lint.Finding) {
	w.findings++
	i, ok := w.counts[f.Check]
	if !ok {
		i = len(w.report.Counts)
		w.counts[f.Check] = i
		w.report.Counts = append(w.report.Counts, Count{Check: f.Check, Severity: f.Severity})
	}
	c := &w.report.Counts[i]
	c.Count++
	if len(c.Examples) < maxExamples {
		c.Examples = append(c.Examples, subject+": "+f.Detail)
	}
}

// notFound says whether the ledger knows nothing.
func notFound(err error) bool { return errors.Is(err, authority.ErrNotFound) }
