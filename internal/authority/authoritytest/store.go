// Package authoritytest holds the conformance suite of [authority.Store] and a
// store that fails on demand. Only tests import it.
package authoritytest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Database is a fresh, empty database and the ways to open it.
type Database struct {
	// Store has taken the ledger over.
	Store authority.Store
	// Reopen takes it over again, as the next process would.
	Reopen func(t *testing.T) authority.Store
	// Shared opens it without taking it over.
	Shared func(t *testing.T) authority.Store
	// Beside opens it as another instance, beside Store; nil where only one process may write.
	Beside func(t *testing.T) authority.Store
	// RefuseLeaves makes the database refuse audit leaves from now on.
	RefuseLeaves func(t *testing.T)
	// Count returns the number that a query on the database itself yields.
	Count func(t *testing.T, query string) int64
}

// Store runs the suite. open is called once for each test of it and closes
// what it opened when the test ends.
func Store(t *testing.T, open func(t *testing.T) Database) {
	t.Helper()
	tests := map[string]func(*testing.T, Database){
		"begin draws and repeats":            beginDraws,
		"begin conflict":                     beginConflict,
		"begin under another issuer":         beginOtherIssuer,
		"one of many gets the attempt":       intentConcurrently,
		"slices that overlap":                intentOverlapping,
		"bulk and single are the same":       bulkAsSingle,
		"begin spreads over shards":          beginShards,
		"begin refuses":                      beginRefuses,
		"cycle":                              cycle,
		"cycle of a full slice":              cycleFullSlice,
		"states all or none":                 statesAllOrNone,
		"slices have limits":                 sliceLimits,
		"abandon":                            abandon,
		"takeover abandons what is intended": takeoverAbandons,
		"takeover fences every write":        takeoverFences,
		"takeover during writes":             takeoverDuringWrites,
		"shared writes nothing":              sharedWritesNothing,
		"processes beside each other":        besideEachOther,
		"acts are done once":                 actsOnce,
		"acts that do not fit are refused":   actsRefused,
		"acts refuse":                        actsRefuse,
		"a hold becomes a revocation":        heldThenRevoked,
		"a refusal stays one":                refusalStays,
		"acts at the same time":              actsConcurrently,
		"acts that share a commit":           actsTogether,
		"feed numbers without a gap":         feedNumbers,
		"feed tells the present state":       feedPresent,
		"feed tells of each change":          feedEach,
		"feed is cut where it is large":      feedLarge,
		"feed at the same time":              feedConcurrently,
		"feed positions":                     feedPositions,
		"feed anchors":                       feedAnchors,
		"revoked in order and by notAfter":   revokedOrder,
		"good ones in pages":                 goodPages,
		"serials are found under any issuer": findSerial,
		"CRL numbers rise":                   crlNumbers,
		"CRL after the one that was seen":    crlCurrent,
		"CRL and its deltas":                 crlDeltas,
		"CRLs made at the same time":         crlConcurrently,
		"revocations that changed":           revocationChanges,
		"keys are kept once":                 keys,
		"accepted specs":                     accepted,
		"cancelled context":                  cancelled,
		"audit leaf for each act":            auditLeaves,
		"audit tree":                         auditTree,
		"acts stop without leaves":           actsStopWithoutLeaves,
		"closed":                             closed,
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

var (
	issuer      = authority.IssuerKey{Authority: "BusinessCA/tier/people", Generation: 1}
	otherIssuer = authority.IssuerKey{Authority: "BusinessCA/tier/people", Generation: 2}
	// expiry is beyond what nanoseconds in 64 bits can hold.
	expiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func identity(name string) authority.Identity {
	return authority.Identity{Kind: "CertificateRequest", Namespace: "people", Name: name, Digest: sha256.Sum256([]byte(name))}
}

func identities(prefix string, n int) []authority.Identity {
	ids := make([]authority.Identity, n)
	for i := range ids {
		ids[i] = identity(fmt.Sprintf("%s-%03d", prefix, i))
	}
	return ids
}

// tbs and cert have the outer form of a certificate, and nothing in them.
func tbs(s pki.Serial) []byte  { return element("to be signed " + string(s)) }
func cert(s pki.Serial) []byte { return pki.JoinCertificate(tbs(s), element("signature "+string(s))) }

// element is a SEQUENCE of anything.
func element(content string) []byte { return pki.JoinCertificate([]byte(content), nil) }

// drawn is what Begin returned for a serial, of all tests.
var drawn sync.Map

func keepDrawn(begun []authority.Begun) {
	for _, b := range begun {
		drawn.Store(b.Serial, b)
	}
}

// begin reserves for names, one serial each.
func begin(t *testing.T, s authority.Store, ids ...authority.Identity) []authority.Begun {
	t.Helper()
	begun, err := s.Begin(t.Context(), issuer, 1, ids)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	if len(begun) != len(ids) {
		t.Fatalf("begin returned %d for %d identities", len(begun), len(ids))
	}
	keepDrawn(begun)
	return begun
}

func serialsOf(begun []authority.Begun) []pki.Serial {
	out := make([]pki.Serial, len(begun))
	for i, b := range begun {
		out[i] = b.Serial
	}
	return out
}

func intents(notAfter time.Time, serials ...pki.Serial) []authority.Intent {
	out := make([]authority.Intent, len(serials))
	for i, s := range serials {
		b := authority.Begun{Record: authority.Record{Identity: identity("of-" + string(s))}, Attempt: 1}
		if known, ok := drawn.Load(s); ok {
			b = known.(authority.Begun)
		}
		out[i] = authority.Intent{Identity: b.Identity, Serial: s, Shard: b.Shard, Attempt: b.Attempt, TBS: tbs(s), NotAfter: notAfter}
	}
	return out
}

func issueds(serials ...pki.Serial) []authority.Issued {
	out := make([]authority.Issued, len(serials))
	for i, s := range serials {
		out[i] = authority.Issued{Serial: s, Certificate: cert(s)}
	}
	return out
}

// issue takes identities through the cycle.
func issue(t *testing.T, s authority.Store, notAfter time.Time, ids ...authority.Identity) []pki.Serial {
	t.Helper()
	serials := serialsOf(begin(t, s, ids...))
	must(t, s.RecordIntent(t.Context(), issuer, intents(notAfter, serials...)))
	must(t, s.RecordIssued(t.Context(), issuer, issueds(serials...)))
	return serials
}

func status(t *testing.T, s authority.Store, k authority.IssuerKey, serial pki.Serial) authority.Record {
	t.Helper()
	r, err := s.Status(t.Context(), k, serial)
	if err != nil {
		t.Fatalf("status of %s: %v", serial, err)
	}
	return r
}

func revoked(t *testing.T, s authority.Store, shard int32, notAfter time.Time) []authority.Record {
	t.Helper()
	var all []authority.Record
	must(t, s.Revoked(t.Context(), issuer, shard, notAfter, func(r authority.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// fencedWrites are one call of each fenced method, each of which would succeed
// for a store in whose epoch the serials are what they say.
func fencedWrites(drawn, intended, abandonable, issued pki.Serial) map[string]func(context.Context, authority.Store) error {
	return map[string]func(context.Context, authority.Store) error{
		"RecordIntent": func(ctx context.Context, s authority.Store) error {
			return s.RecordIntent(ctx, issuer, intents(expiry, drawn))
		},
		"RecordIssued": func(ctx context.Context, s authority.Store) error {
			return s.RecordIssued(ctx, issuer, issueds(intended))
		},
		"Abandon": func(ctx context.Context, s authority.Store) error { return s.Abandon(ctx, issuer, abandonable) },
		"ReserveCRLNumber": func(ctx context.Context, s authority.Store) error {
			_, err := s.ReserveCRLNumber(ctx, issuer, 0, time.Now())
			return err
		},
		"SaveCRL": func(ctx context.Context, s authority.Store) error { return s.SaveCRL(ctx, crlOf(7, "fenced")) },
		"RecordKey": func(ctx context.Context, s authority.Store) error {
			return s.RecordKey(ctx, authority.Key{Owner: "BusinessCA/tier/fenced", Generation: 1, Device: "tier/hsm", Label: "l", PublicKey: []byte("spki")})
		},
		"Perform": func(ctx context.Context, s authority.Store) error {
			_, err := s.Perform(ctx, act("fenced", authority.VerbRevoke, issued))
			return err
		},
		"Renew": func(ctx context.Context, s authority.Store) error {
			_, err := s.Renew(ctx, time.Hour)
			return err
		},
		"ExtendAudit": func(ctx context.Context, s authority.Store) error {
			return s.ExtendAudit(ctx, []audit.Node{{Level: 62, Number: 0}}, nil)
		},
		"SetPosition": func(ctx context.Context, s authority.Store) error { return s.SetPosition(ctx, "fenced", 1) },
		"Accept": func(ctx context.Context, s authority.Store) error {
			return s.Accept(ctx, authority.Accepted{Name: "BusinessCA/tier/fenced", Spec: []byte(`{}`)})
		},
	}
}
