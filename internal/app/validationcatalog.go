package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/trustlist"
	"github.com/terrace-pki/terrace/internal/validation"
)

// ledgerSource answers for the OCSP responder from the ledger.
type ledgerSource struct {
	store authority.Store
	// restored: the ledger may have forgotten certificates and revocations.
	restored func() bool
}

// AsOf implements ocsp.Source: the ledger is the record itself.
func (ledgerSource) AsOf(now time.Time) (time.Time, error) { return now, nil }

// Version implements ocsp.Source: other processes write the ledger too, so that
// it is asked on each request.
func (ledgerSource) Version(pki.Serial) (uint64, bool) { return 0, false }

// Status implements ocsp.Source.
func (s ledgerSource) Status(ctx context.Context, issuer ocsp.IssuerKey, serial pki.Serial) (ocsp.Status, error) {
	if s.restored() { // neither good nor unknown may be true
		return ocsp.Status{}, authority.ErrRestored
	}
	r, err := s.store.Status(ctx, authority.IssuerKey(issuer), serial)
	switch {
	case errors.Is(err, authority.ErrNotFound):
		return ocsp.Status{}, nil
	case err != nil:
		return ocsp.Status{}, err
	case r.Revocation != nil:
		return revokedStatus(r.Revocation), nil
	case r.State == authority.StateIssued:
		return ocsp.Status{State: ocsp.Good}, nil
	}
	return ocsp.Status{}, nil // reserved, or being signed: unknown
}

func revokedStatus(r *authority.Revocation) ocsp.Status {
	return ocsp.Status{State: ocsp.Revoked, RevokedAt: r.At, Reason: r.Reason}
}

// caFile is a CA key generation and its certificate in DER.
type caFile struct {
	key         authority.IssuerKey
	certificate []byte
}

// catalog serves the files of the CAs of one validation service.
type catalog struct {
	cas        func() []caFile
	crl, delta func(ctx context.Context, key authority.IssuerKey, shard int32) (authority.CRL, error)
}

func ledgerCatalog(id string, store authority.Store, authorities *authority.Service) catalog {
	type read = func(context.Context, authority.IssuerKey, int32) (authority.CRL, error)
	unlessRestored := func(list read) read {
		return func(ctx context.Context, key authority.IssuerKey, shard int32) (authority.CRL, error) {
			if authorities.Restored() { // a newer list may be out
				return authority.CRL{}, authority.ErrRestored
			}
			return list(ctx, key, shard)
		}
	}
	return catalog{crl: unlessRestored(store.CurrentCRL), delta: unlessRestored(store.CurrentDelta), cas: func() []caFile {
		var files []caFile
		for _, ca := range authorities.All() {
			if ca.Validation == id {
				files = append(files, caFile{ca.Key, ca.Certificate})
			}
		}
		return files
	}}
}

func replicaCatalog(id string, store replica.Store, config func() replica.Config) catalog {
	return catalog{crl: store.CRL, delta: store.Delta, cas: func() []caFile {
		service, _ := config().Find(id) // none: no files
		files := make([]caFile, 0, len(service.Authorities))
		for _, a := range service.Authorities {
			files = append(files, caFile{a.Key, a.Certificate})
		}
		return files
	}}
}

func (c catalog) find(name validation.CAName) (caFile, error) {
	for _, ca := range c.cas() {
		if ca.key.FileName() == name.String() {
			return ca, nil
		}
	}
	return caFile{}, fmt.Errorf("CA %s: %w", name, validation.ErrNotFound)
}

// CRL implements validation.Catalog.
func (c catalog) CRL(ctx context.Context, name validation.CAName, shard int32) (validation.CRL, error) {
	return c.list(ctx, c.crl, "CRL", name, shard)
}

// Delta implements validation.Catalog.
func (c catalog) Delta(ctx context.Context, name validation.CAName, shard int32) (validation.CRL, error) {
	return c.list(ctx, c.delta, "delta CRL", name, shard)
}

// TrustList implements validation.Catalog.
func (c catalog) TrustList(ctx context.Context, name validation.CAName, form trustlist.Form) (validation.CRL, error) {
	read := func(ctx context.Context, ca authority.IssuerKey, shard int32) (authority.CRL, error) {
		return c.crl(ctx, ca.TrustList(), shard)
	}
	return c.list(ctx, read, "trust list", name, int32(form))
}

func (c catalog) list(ctx context.Context, read func(context.Context, authority.IssuerKey, int32) (authority.CRL, error),
	what string, name validation.CAName, shard int32) (validation.CRL, error) {
	ca, err := c.find(name)
	if err != nil {
		return validation.CRL{}, err
	}
	current, err := read(ctx, ca.key, shard)
	if errors.Is(err, authority.ErrNotFound) || errors.Is(err, replica.ErrNotFound) {
		return validation.CRL{}, fmt.Errorf("%s %s shard %d: %w", what, name, shard, validation.ErrNotFound)
	}
	if err != nil {
		return validation.CRL{}, err
	}
	return validation.CRL{DER: current.DER, Number: current.Number, ThisUpdate: current.ThisUpdate, NextUpdate: current.NextUpdate}, nil
}

// CACertificate implements validation.Catalog.
func (c catalog) CACertificate(_ context.Context, name validation.CAName) ([]byte, error) {
	ca, err := c.find(name)
	return ca.certificate, err
}
