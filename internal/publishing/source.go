package publishing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/authority"
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
	if r.State != authority.StateIssued || (r.Identity.Kind != "CertificateRequest" && r.Identity.Kind != "BusinessCA") {
		return directory.Publication{}, false
	}
	c := &directory.Certificate{Serial: r.Serial, State: directory.StateIssued, DER: r.Certificate}
	if r.Revocation != nil {
		c.State = directory.StateRevoked // a hold as well: both are not to be found
	}
	return directory.Publication{CA: r.Issuer.FileName(), Certificate: c}, true
}

// authority yields a CA and its lists as they are now.
func (s source) authority(ctx context.Context, ca authority.Settings, yield func(directory.Publication) error) error {
	a := &directory.Authority{Certificates: [][]byte{ca.Certificate}}
	if ca.MaxShards <= 1 {
		switch crl, err := s.store.CurrentCRL(ctx, ca.Key, 0); {
		case errors.Is(err, authority.ErrNotFound):
		case err != nil:
			return err
		case ca.OnlyCACertificates:
			a.ARL = crl.DER
		default:
			a.CRL = crl.DER
		}
		return yield(directory.Publication{CA: ca.Key.FileName(), Authority: a})
	}
	if err := yield(directory.Publication{CA: ca.Key.FileName(), Authority: a}); err != nil {
		return err
	}
	for shard := range ca.MaxShards {
		crl, err := s.store.CurrentCRL(ctx, ca.Key, shard)
		if errors.Is(err, authority.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := yield(directory.Publication{CA: ca.Key.FileName(), Shard: &directory.Shard{Number: shard, CRL: crl.DER}}); err != nil {
			return err
		}
	}
	return nil
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
