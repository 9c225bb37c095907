package publishing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

// source is what the ledger says about one directory.
type source struct {
	store authority.Store
	id    string // "namespace/name"
}

// Entries returns the listing of everything that an accepted directory is to
// hold by the ledger, parents first, and its base: what slapadd takes for a new
// master. The feed then brings what changed since. It only reads the ledger.
func Entries(ctx context.Context, store authority.Store, id string) (directory.Listing, error) {
	accepted, err := store.AllAccepted(ctx, kind+"/"+id)
	if err != nil {
		return nil, fmt.Errorf("entries of directory %s: %w", id, err)
	}
	for _, a := range accepted {
		var spec Spec
		if a.Name != kind+"/"+id {
			continue
		}
		if err := json.Unmarshal(a.Spec, &spec); err != nil {
			return nil, fmt.Errorf("entries of directory %s: decode its accepted spec: %w", id, err)
		}
		if spec.Retired {
			return nil, fmt.Errorf("entries of directory %s: is retired; name the Directory that took its place", id)
		}
		layout, err := spec.Layout()
		if err != nil {
			return nil, fmt.Errorf("entries of directory %s: %w", id, err)
		}
		return layout.Entries(source{store, id}.all), nil
	}
	return nil, fmt.Errorf("entries of directory %s: %w; the ledger knows it once terrace ca accepted the object", id, authority.ErrNotFound)
}

// all is everything that the directory is to show, a page at a time.
func (s source) all(ctx context.Context, yield func(directory.Publication) error) error {
	members, err := s.members(ctx)
	if err != nil {
		return err
	}
	for _, ca := range members {
		if err := s.authority(ctx, ca, yield); err != nil {
			return err
		}
		if err := s.trustLists(ctx, ca, yield); err != nil {
			return err
		}
		if err := s.good(ctx, ca.Key, yield); err != nil {
			return err
		}
	}
	return nil
}

// members are the CAs that publish in this directory, as the ledger has them now.
func (s source) members(ctx context.Context) (map[authority.IssuerKey]authority.Settings, error) {
	all, err := authority.ReadSettings(ctx, s.store)
	if err != nil {
		return nil, err
	}
	members := map[authority.IssuerKey]authority.Settings{}
	for _, ca := range all {
		if slices.Contains(ca.Directories, s.id) {
			members[ca.Key] = ca
		}
	}
	return members, nil
}

// publicationOf says what a serial means for a directory. Only subscribers and
// subordinate CAs are shown: an OCSP responder's certificates come with its answers.
func publicationOf(r *authority.Record) (directory.Publication, bool) {
	if len(r.Certificate) == 0 { // archived, long after it expired
		return directory.Publication{}, false
	}
	if r.State != authority.StateIssued || !shown(r) {
		return directory.Publication{}, false
	}
	c := &directory.Certificate{Serial: r.Serial, State: directory.StateIssued, DER: r.Certificate}
	if r.Revocation != nil {
		c.State = directory.StateRevoked // a hold as well: both are not to be found
	}
	return directory.Publication{CA: r.Issuer.FileName(), Certificate: c}, true
}

// shown says whether a directory shows what was issued. Of a recovered
// certificate only its content tells what it is.
func shown(r *authority.Record) bool {
	switch r.Identity.Kind {
	case "CertificateRequest", "BusinessCA":
		return true
	case authority.KindRecovered:
		cert, err := pki.ParseCertificate(r.Certificate)
		return err == nil && !slices.Contains(cert.ExtKeyUsage, smx509.ExtKeyUsageOCSPSigning)
	}
	return false
}

// authority yields a CA and its lists as they are now.
func (s source) authority(ctx context.Context, ca authority.Settings, yield func(directory.Publication) error) error {
	a := &directory.Authority{Certificates: [][]byte{ca.Certificate}}
	if ca.MaxShards <= 1 {
		crl, delta, err := s.lists(ctx, ca, 0)
		if err != nil {
			return err
		}
		if ca.OnlyCACertificates {
			a.ARL = crl
		} else {
			a.CRL = crl
		}
		a.Delta = delta
		return yield(directory.Publication{CA: ca.Key.FileName(), Authority: a})
	}
	if err := yield(directory.Publication{CA: ca.Key.FileName(), Authority: a}); err != nil {
		return err
	}
	for shard := range ca.MaxShards {
		p, err := s.shard(ctx, ca, shard)
		if err != nil {
			return err
		}
		if p.Shard == nil {
			continue
		}
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}

// shard is the publication of a shard's lists; its Shard is nil when there is none.
func (s source) shard(ctx context.Context, ca authority.Settings, shard int32) (directory.Publication, error) {
	crl, delta, err := s.lists(ctx, ca, shard)
	if err != nil || crl == nil {
		return directory.Publication{}, err
	}
	return directory.Publication{CA: ca.Key.FileName(), Shard: &directory.Shard{Number: shard, CRL: crl, Delta: delta}}, nil
}

// lists are the current list and delta of a shard, nil when there is none. What
// a CA made before its deltas were switched off is not shown.
func (s source) lists(ctx context.Context, ca authority.Settings, shard int32) (crl, delta []byte, err error) {
	full, err := s.store.CurrentCRL(ctx, ca.Key, shard)
	if err != nil && !errors.Is(err, authority.ErrNotFound) || ca.DeltaInterval == 0 {
		return full.DER, nil, ignoreNotFound(err)
	}
	newest, err := s.store.CurrentDelta(ctx, ca.Key, shard)
	return full.DER, newest.DER, ignoreNotFound(err)
}

func ignoreNotFound(err error) error {
	if errors.Is(err, authority.ErrNotFound) {
		return nil
	}
	return err
}

// trustLists yields both forms of the list that an industry CA made last, also
// when it makes none any more.
func (s source) trustLists(ctx context.Context, ca authority.Settings, yield func(directory.Publication) error) error {
	key := ca.Key.TrustList()
	if key == (authority.IssuerKey{}) {
		return nil
	}
	for _, form := range trustlist.Forms {
		list, err := s.store.CurrentCRL(ctx, key, int32(form))
		if errors.Is(err, authority.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := yield(trustListOf(ca, list)); err != nil {
			return err
		}
	}
	return nil
}

func trustListOf(ca authority.Settings, list authority.CRL) directory.Publication {
	return directory.Publication{CA: ca.Key.FileName(), TrustList: &directory.TrustList{
		Extension: strings.TrimPrefix(trustlist.Form(list.Shard).Extension(), "."), Number: list.Number, DER: list.DER}}
}

func (s source) good(ctx context.Context, key authority.IssuerKey, yield func(directory.Publication) error) error {
	for after := int64(0); ; {
		page, next, err := s.store.Good(ctx, key, after, pageSize)
		if err != nil {
			return err
		}
		if next == after {
			return nil
		}
		after = next
		for i := range page {
			if p, ok := publicationOf(&page[i]); ok {
				if err := yield(p); err != nil {
					return err
				}
			}
		}
	}
}
