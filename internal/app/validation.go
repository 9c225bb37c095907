package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/validation"
)

// validationServer serves every accepted ValidationService on one listener.
type validationServer struct {
	server   *validation.Server
	listener net.Listener
	metrics  *validation.Metrics
	log      logr.Logger
	source   statusSource
	catalog  func(id string) validation.Catalog

	mu       sync.Mutex
	services map[string]*servedService
}

type servedService struct {
	spec      responder.Spec
	responder *ocsp.Responder
}

func newValidation(address string, store authority.Store, authorities *authority.Service, responders *responder.Service, log logr.Logger) (*validationServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--validation-address: %w", err)
	}
	m := validation.NewMetrics(metrics.Registry)
	log = log.WithName("validation")
	v := &validationServer{
		server: validation.NewServer(validation.ServerConfig{Metrics: m, Log: log}), listener: l, metrics: m, log: log,
		source:   statusSource{store},
		catalog:  func(id string) validation.Catalog { return catalog{id, store, authorities} },
		services: map[string]*servedService{},
	}
	responders.OnChange = v.update
	return v, nil
}

func (v *validationServer) run(ctx context.Context) error { return v.server.Serve(ctx, v.listener) }

// update makes the server answer for what a service serves now.
func (v *validationServer) update(spec responder.Spec, served []*responder.Served) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.services[spec.ID()]
	if s == nil || s.spec != spec {
		var err error
		if s, err = v.add(spec); err != nil {
			return err
		}
	}
	authorities := make([]*ocsp.Authority, 0, len(served))
	var failures []error // of one CA; the others are served all the same
	for _, a := range served {
		o, err := ocsp.NewAuthority(ocsp.IssuerKey(a.CA.Key), a.CA.Cert, a.Certificate, a.Signer)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		authorities = append(authorities, o)
	}
	return errors.Join(append(failures, s.responder.Replace(authorities))...)
}

func (v *validationServer) add(spec responder.Spec) (*servedService, error) {
	base, err := validation.BasePath(spec.BaseURL)
	if err != nil {
		return nil, err
	}
	r, err := ocsp.NewResponder(ocsp.Config{Source: v.source, Validity: spec.ResponseValidity})
	if err != nil {
		return nil, err
	}
	h, err := validation.NewHandler(validation.Config{Base: base, Catalog: v.catalog(spec.ID()), Responder: r, Metrics: v.metrics,
		Log: v.log.WithValues("validationService", spec.ID())})
	if err != nil {
		return nil, err
	}
	if err := v.server.Set(spec.ID(), h); err != nil {
		return nil, err
	}
	s := &servedService{spec: spec, responder: r}
	v.services[spec.ID()] = s
	return s, nil
}

// statusSource answers for the OCSP responder from the ledger.
type statusSource struct{ store authority.Store }

func (s statusSource) Status(ctx context.Context, issuer ocsp.IssuerKey, serial pki.Serial) (ocsp.Status, error) {
	r, err := s.store.Status(ctx, authority.IssuerKey(issuer), serial)
	switch {
	case errors.Is(err, authority.ErrNotFound):
		return ocsp.Status{}, nil
	case err != nil:
		return ocsp.Status{}, err
	case r.Revocation != nil:
		return ocsp.Status{State: ocsp.Revoked, RevokedAt: r.Revocation.At, Reason: r.Revocation.Reason}, nil
	case r.State == authority.StateIssued:
		return ocsp.Status{State: ocsp.Good}, nil
	}
	return ocsp.Status{}, nil // reserved, or being signed: unknown
}

// catalog serves the files of the CAs that name one validation service.
type catalog struct {
	validation  string // "namespace/name"
	store       authority.Store
	authorities *authority.Service
}

func (c catalog) find(name validation.CAName) (*authority.CA, error) {
	for _, ca := range c.authorities.All() {
		if ca.Validation == c.validation && ca.Key.FileName() == name.String() {
			return ca, nil
		}
	}
	return nil, fmt.Errorf("CA %s: %w", name, validation.ErrNotFound)
}

// CRL implements validation.Catalog.
func (c catalog) CRL(ctx context.Context, name validation.CAName, shard int32) (validation.CRL, error) {
	ca, err := c.find(name)
	if err != nil {
		return validation.CRL{}, err
	}
	current, err := c.store.CurrentCRL(ctx, ca.Key, shard)
	if errors.Is(err, authority.ErrNotFound) {
		return validation.CRL{}, fmt.Errorf("CRL %s shard %d: %w", name, shard, validation.ErrNotFound)
	}
	if err != nil {
		return validation.CRL{}, err
	}
	return validation.CRL{DER: current.DER, Number: current.Number, ThisUpdate: current.ThisUpdate, NextUpdate: current.NextUpdate}, nil
}

// CACertificate implements validation.Catalog.
func (c catalog) CACertificate(_ context.Context, name validation.CAName) ([]byte, error) {
	ca, err := c.find(name)
	if err != nil {
		return nil, err
	}
	return ca.Certificate, nil
}
