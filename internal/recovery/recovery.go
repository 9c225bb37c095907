package recovery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Store is the restored ledger.
type Store interface {
	authority.Store
	authority.Recovery
}

// Config of a reconciliation.
type Config struct {
	Store   Store
	Sources []Source
	// Dry only looks: nothing is written.
	Dry bool
	// Without names the sorts of sources that the operator goes without, for the
	// audit leaf.
	Without []string
	// Tell, if not nil, is called for each item that was missing or that people
	// must look at.
	Tell func(Item)
}

// Item is one thing that the ledger had forgotten, or that does not fit.
type Item struct {
	Source   string    `json:"source"`
	What     string    `json:"what"` // a Finding, or Act, Unverified, Unreadable
	Issuer   string    `json:"issuer,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	Identity string    `json:"identity,omitempty"` // "kind/namespace/name"
	Revoked  string    `json:"revoked,omitempty"`  // reason
	NotAfter time.Time `json:"notAfter,omitzero"`
	Note     string    `json:"note,omitempty"`
}

// Report counts what was found.
type Report struct {
	// Read is how many things the sources told.
	Read int64 `json:"read"`
	// Certificates and Serials were missing: with, and without their content.
	Certificates int64 `json:"certificates"`
	Serials      int64 `json:"serials"`
	// Revocations were missing on serials that the ledger had; Acts are revocation objects'.
	Revocations int64 `json:"revocations"`
	Acts        int64 `json:"acts"`
	// Foreign are by CAs that this ledger does not know.
	Foreign int64 `json:"foreign"`
	// Problems are told as items; people must look at them.
	Problems int64 `json:"problems"`
	// Reconciled: the ledger may be used again.
	Reconciled bool `json:"reconciled"`
}

// Run reads the sources in their order, imports what the ledger lacks, and ends
// the reconciliation. Die anywhere, and the next Run goes on: what was imported is known then. An error of
// a source ends it before the ledger may be used again.
func Run(ctx context.Context, c Config) (Report, error) {
	heads, err := c.Store.Heads(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("reconcile ledger: %w", err)
	}
	if !heads.Restored && !c.Dry {
		return Report{}, errors.New("reconcile ledger: it was not restored from a backup, or is reconciled: there is nothing to do")
	}
	settings, err := authority.ReadSettings(ctx, c.Store)
	if err != nil {
		return Report{}, fmt.Errorf("reconcile ledger: %w", err)
	}
	known, err := newAuthorities(settings)
	if err != nil {
		return Report{}, fmt.Errorf("reconcile ledger: %w", err)
	}
	r := &run{Config: c, cas: known, told: map[string]struct{}{}}
	names := make([]string, 0, len(c.Sources))
	for _, s := range c.Sources {
		if err := r.source(ctx, s); err != nil {
			return r.report, fmt.Errorf("reconcile ledger: %s: %w", s.Name(), err)
		}
		names = append(names, s.Name())
	}
	if c.Dry {
		return r.report, nil
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	err = c.Store.Reconciled(ctx, map[string]string{"sources": strings.Join(names, ", "), "without": strings.Join(c.Without, ", "),
		"certificates": count(r.report.Certificates), "serials": count(r.report.Serials), "revocations": count(r.report.Revocations),
		"acts": count(r.report.Acts), "problems": count(r.report.Problems)})
	if err != nil {
		return r.report, fmt.Errorf("reconcile ledger: %w", err)
	}
	r.report.Reconciled = true
	return r.report, nil
}

// run is one reconciliation under way.
type run struct {
	Config
	cas    *authorities
	report Report
	name   string // of the source
	batch  []authority.Lost
	in     map[pki.Serial]struct{}
	// told are the items of a dry run, which meets them again in the next source.
	told map[string]struct{}
}

func (r *run) source(ctx context.Context, s Source) error {
	r.name, r.batch, r.in = s.Name(), nil, map[pki.Serial]struct{}{}
	err := s.Read(ctx, func(e Evidence) error {
		r.report.Read++
		return r.take(ctx, e)
	})
	if err != nil {
		return err
	}
	return r.flush(ctx)
}

func (r *run) take(ctx context.Context, e Evidence) error {
	switch {
	case e.Authority != nil:
		if err := r.cas.introduce(*e.Authority); err != nil && !errors.Is(err, errForeign) {
			r.problem(Item{What: "Unverified", Issuer: e.Authority.Key.Authority, Note: err.Error()})
		}
		return nil
	case e.Certificate != nil:
		l, err := r.cas.lost(e.Certificate, e.Identity)
		if err != nil {
			r.refuse(err, e.Identity)
			return nil
		}
		return r.add(ctx, l)
	case e.CRL != nil:
		return r.list(ctx, e.CRL)
	case e.Status != nil:
		s := e.Status
		issuer := r.cas.keys[s.Issuer]
		if issuer == nil {
			r.report.Foreign++
			return nil
		}
		return r.add(ctx, authority.Lost{Issuer: s.Issuer, Serial: s.Serial, Shard: issuer.shardOf(s.Serial, nil), NotAfter: s.NotAfter, Revocation: s.Revocation})
	case e.Act != nil:
		return r.act(ctx, *e.Act)
	}
	return nil
}

// refuse counts or tells what is not believed.
func (r *run) refuse(err error, identity authority.Identity) {
	switch {
	case errors.Is(err, errOwn):
	case errors.Is(err, errForeign):
		r.report.Foreign++
	case errors.Is(err, errUnverified):
		r.problem(Item{What: "Unverified", Identity: name(identity), Note: err.Error()})
	default:
		r.problem(Item{What: "Unreadable", Identity: name(identity), Note: err.Error()})
	}
}

func (r *run) list(ctx context.Context, der []byte) error {
	var failed error
	issuer, list, err := r.cas.entries(der, func(l authority.Lost) error {
		failed = r.add(ctx, l)
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		r.refuse(err, authority.Identity{})
		return nil
	case r.Dry || list.Number == nil || !list.Number.IsInt64():
		return nil
	}
	for shard := range issuer.shards { // whichever it is of: a number too high hurts nobody
		if err := r.Store.RaiseCRLNumber(ctx, issuer.key, shard, list.Number.Int64()); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) add(ctx context.Context, l authority.Lost) error {
	if _, twice := r.in[l.Serial]; twice || len(r.batch) == authority.MaxSlice {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.batch = append(r.batch, l)
	r.in[l.Serial] = struct{}{}
	return nil
}

func (r *run) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	found, err := r.Store.Import(ctx, r.name, r.batch, r.Dry)
	if err != nil {
		return err
	}
	for i, f := range found {
		l := r.batch[i]
		item := Item{What: string(f.Finding), Issuer: fmt.Sprintf("%s/g%d", l.Issuer.Authority, l.Issuer.Generation), Serial: string(l.Serial), Identity: name(f.Identity), NotAfter: l.NotAfter}
		if l.Revocation != nil {
			item.Revoked = l.Revocation.Reason.String()
		}
		switch f.Finding {
		case authority.FoundKnown:
		case authority.FoundMissing:
			if f.NameTaken {
				item.Note = name(l.Identity) + " has another certificate in this ledger"
				r.report.Problems++
			}
			if r.tell(item) {
				if l.Certificate != nil {
					r.report.Certificates++
				} else {
					r.report.Serials++
				}
			}
		case authority.FoundUnrevoked:
			if r.tell(item) {
				r.report.Revocations++
			}
		case authority.FoundAbandoned:
			item.Note = "others know it as issued, the ledger as abandoned: it stays on the CRL"
			r.problem(item)
		default:
			item.Note = "the ledger has the serial number under another issuer"
			r.problem(item)
		}
	}
	r.batch, r.in = r.batch[:0], map[pki.Serial]struct{}{}
	return nil
}

// act imports an act once its certificate is in.
func (r *run) act(ctx context.Context, done authority.Performed) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	if !r.cas.has(done.Issuer.Authority) {
		r.report.Foreign++
		return nil
	}
	item := Item{What: "Act", Issuer: done.Issuer.Authority, Serial: string(done.Serial), Identity: name(done.Identity), Note: string(done.Verb)}
	records, err := r.Store.FindSerial(ctx, done.Serial)
	if err != nil {
		return err
	}
	for _, record := range records {
		if record.Issuer.Authority == done.Issuer.Authority {
			done.Issuer = record.Issuer
		}
	}
	if done.Issuer.Generation == 0 {
		if r.Dry { // its certificate is not imported
			done.Issuer.Generation = 1
		} else {
			item.What, item.Note = string(authority.FoundMissing), "the act's certificate is in no source: give one that has it"
			r.problem(item)
			return nil
		}
	}
	missing, err := r.Store.ImportAct(ctx, r.name, done, r.Dry)
	switch {
	case errors.Is(err, authority.ErrNotFound):
		item.What, item.Note = string(authority.FoundMissing), "the act's certificate is in no source: give one that has it"
		r.problem(item)
		return nil
	case err != nil:
		return err
	case missing && r.tell(item):
		r.report.Acts++
	}
	return nil
}

func (r *run) problem(i Item) {
	if r.tell(i) {
		r.report.Problems++
	}
}

// tell says an item, once in a dry run.
func (r *run) tell(i Item) bool {
	if r.Dry {
		key := i.What + "/" + i.Serial + "/" + i.Identity + "/" + i.Note
		if _, twice := r.told[key]; twice {
			return false
		}
		r.told[key] = struct{}{}
	}
	i.Source = r.name
	if r.Tell != nil {
		r.Tell(i)
	}
	return true
}

func name(id authority.Identity) string {
	if id.Kind == "" {
		return ""
	}
	return id.Kind + "/" + id.Namespace + "/" + id.Name
}
