package authoritytest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Faulty is a store whose calls fail on demand, either before the call is made
// (failed, and not persisted) or after it (failed, but persisted).
type Faulty struct {
	authority.Store

	mu     sync.Mutex
	faults map[string]fault
}

type fault struct {
	before, after error
}

// NewFaulty wraps a store that works.
func NewFaulty(s authority.Store) *Faulty { return &Faulty{Store: s, faults: map[string]fault{}} }

// FailBefore makes the next call of a method of [authority.Store] fail without being made.
func (f *Faulty) FailBefore(method string, err error) { f.set(method, fault{before: err}) }

// FailAfter makes the next call of a method of [authority.Store] fail although
// it was made and succeeded.
func (f *Faulty) FailAfter(method string, err error) { f.set(method, fault{after: err}) }

// Pending returns the number of faults that no call has met yet.
func (f *Faulty) Pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.faults)
}

func (f *Faulty) set(method string, x fault) {
	if _, ok := reflect.TypeFor[authority.Store]().MethodByName(method); !ok || method == "Close" {
		panic(fmt.Sprintf("authoritytest: a store has no method %q that can fail", method))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[method] = x
}

// call uses up the fault of a method. An error of the inner call comes before
// that of the fault.
func (f *Faulty) call(method string, inner func() error) error {
	f.mu.Lock()
	x := f.faults[method]
	delete(f.faults, method)
	f.mu.Unlock()
	if x.before != nil {
		return x.before
	}
	if err := inner(); err != nil {
		return err
	}
	return x.after
}

// answer is call for a method with a result, which a fault takes away.
func answer[T any](f *Faulty, method string, inner func() (T, error)) (T, error) {
	var out, none T
	err := f.call(method, func() (err error) { out, err = inner(); return err })
	if err != nil {
		return none, err
	}
	return out, nil
}

// Begin may fail on demand.
func (f *Faulty) Begin(ctx context.Context, k authority.IssuerKey, shards int32, ids []authority.Identity) ([]authority.Begun, error) {
	return answer(f, "Begin", func() ([]authority.Begun, error) { return f.Store.Begin(ctx, k, shards, ids) })
}

// RecordIntent may fail on demand.
func (f *Faulty) RecordIntent(ctx context.Context, k authority.IssuerKey, in []authority.Intent) error {
	return f.call("RecordIntent", func() error { return f.Store.RecordIntent(ctx, k, in) })
}

// RecordIssued may fail on demand.
func (f *Faulty) RecordIssued(ctx context.Context, k authority.IssuerKey, is []authority.Issued) error {
	return f.call("RecordIssued", func() error { return f.Store.RecordIssued(ctx, k, is) })
}

// Abandon may fail on demand.
func (f *Faulty) Abandon(ctx context.Context, k authority.IssuerKey, s pki.Serial) error {
	return f.call("Abandon", func() error { return f.Store.Abandon(ctx, k, s) })
}

// Find may fail on demand.
func (f *Faulty) Find(ctx context.Context, kind, namespace, name string) (authority.Record, error) {
	return answer(f, "Find", func() (authority.Record, error) { return f.Store.Find(ctx, kind, namespace, name) })
}

// Status may fail on demand.
func (f *Faulty) Status(ctx context.Context, k authority.IssuerKey, s pki.Serial) (authority.Record, error) {
	return answer(f, "Status", func() (authority.Record, error) { return f.Store.Status(ctx, k, s) })
}

// FindSerial may fail on demand.
func (f *Faulty) FindSerial(ctx context.Context, s pki.Serial) ([]authority.Record, error) {
	return answer(f, "FindSerial", func() ([]authority.Record, error) { return f.Store.FindSerial(ctx, s) })
}

// Revoked may fail on demand.
func (f *Faulty) Revoked(ctx context.Context, k authority.IssuerKey, shard int32, notAfter time.Time, yield func(authority.Record) error) error {
	return f.call("Revoked", func() error { return f.Store.Revoked(ctx, k, shard, notAfter, yield) })
}

// RevocationChanges may fail on demand.
func (f *Faulty) RevocationChanges(ctx context.Context, k authority.IssuerKey, shard int32, after int64, yield func(authority.Record) error) error {
	return f.call("RevocationChanges", func() error { return f.Store.RevocationChanges(ctx, k, shard, after, yield) })
}

// Good may fail on demand.
func (f *Faulty) Good(ctx context.Context, k authority.IssuerKey, after int64, limit int) (records []authority.Record, next int64, err error) {
	err = f.call("Good", func() (err error) { records, next, err = f.Store.Good(ctx, k, after, limit); return err })
	return records, next, err
}

// Count may fail on demand.
func (f *Faulty) Count(ctx context.Context, k authority.IssuerKey) (int64, error) {
	return answer(f, "Count", func() (int64, error) { return f.Store.Count(ctx, k) })
}

// ReserveCRLNumber may fail on demand.
func (f *Faulty) ReserveCRLNumber(ctx context.Context, k authority.IssuerKey, shard int32, now time.Time) (int64, error) {
	return answer(f, "ReserveCRLNumber", func() (int64, error) { return f.Store.ReserveCRLNumber(ctx, k, shard, now) })
}

// SaveCRL may fail on demand.
func (f *Faulty) SaveCRL(ctx context.Context, c authority.CRL) error {
	return f.call("SaveCRL", func() error { return f.Store.SaveCRL(ctx, c) })
}

// CurrentCRL may fail on demand.
func (f *Faulty) CurrentCRL(ctx context.Context, k authority.IssuerKey, shard int32) (authority.CRL, error) {
	return answer(f, "CurrentCRL", func() (authority.CRL, error) { return f.Store.CurrentCRL(ctx, k, shard) })
}

// CurrentDelta may fail on demand.
func (f *Faulty) CurrentDelta(ctx context.Context, k authority.IssuerKey, shard int32) (authority.CRL, error) {
	return answer(f, "CurrentDelta", func() (authority.CRL, error) { return f.Store.CurrentDelta(ctx, k, shard) })
}

// CRLHeads may fail on demand.
func (f *Faulty) CRLHeads(ctx context.Context, k authority.IssuerKey, shard int32) ([]authority.CRL, error) {
	return answer(f, "CRLHeads", func() ([]authority.CRL, error) { return f.Store.CRLHeads(ctx, k, shard) })
}

// RecordKey may fail on demand.
func (f *Faulty) RecordKey(ctx context.Context, k authority.Key) error {
	return f.call("RecordKey", func() error { return f.Store.RecordKey(ctx, k) })
}

// FindKey may fail on demand.
func (f *Faulty) FindKey(ctx context.Context, owner string, generation int32) (authority.Key, error) {
	return answer(f, "FindKey", func() (authority.Key, error) { return f.Store.FindKey(ctx, owner, generation) })
}

// Accept may fail on demand.
func (f *Faulty) Accept(ctx context.Context, a authority.Accepted) error {
	return f.call("Accept", func() error { return f.Store.Accept(ctx, a) })
}

// AllAccepted may fail on demand.
func (f *Faulty) AllAccepted(ctx context.Context, prefix string) ([]authority.Accepted, error) {
	return answer(f, "AllAccepted", func() ([]authority.Accepted, error) { return f.Store.AllAccepted(ctx, prefix) })
}

// Ping may fail on demand.
func (f *Faulty) Ping(ctx context.Context) error {
	return f.call("Ping", func() error { return f.Store.Ping(ctx) })
}
