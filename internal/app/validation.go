package app

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/validation"
)

// validationServer serves several validation services on one listener.
type validationServer struct {
	server   *validation.Server
	listener net.Listener
	metrics  *validation.Metrics
	log      logr.Logger
	source   ocsp.Source
	shared   *ocsp.Shared
	catalog  func(id string) validation.Catalog

	mu       sync.Mutex
	services map[string]*servedService
}

// serviceSpec is what the server needs to know of a service.
type serviceSpec struct {
	id, baseURL string
	validity    time.Duration // of a response
}

// servedCA is a CA key generation with the certificate it issued to the responder.
type servedCA struct {
	key                authority.IssuerKey
	certificate, ocsps *smx509.Certificate
	signer             crypto.MessageSigner
}

type servedService struct {
	spec      serviceSpec
	responder *ocsp.Responder
}

func newValidationServer(address string, source ocsp.Source, catalog func(id string) validation.Catalog, checkpoints validation.Checkpoints, registry prometheus.Registerer, log logr.Logger) (*validationServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--validation-address: %w", err)
	}
	shared, err := ocsp.NewShared(ocsp.SharedConfig{})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	m := validation.NewMetrics(registry)
	registry.MustRegister(validation.NewOCSPMetrics(shared))
	log = log.WithName("validation")
	return &validationServer{server: validation.NewServer(validation.ServerConfig{Metrics: m, Checkpoints: checkpoints, Log: log}), listener: l, metrics: m, log: log,
		source: source, shared: shared, catalog: catalog, services: map[string]*servedService{}}, nil
}

// newValidation answers beside the ledger, for the services with a device of this process.
func newValidation(address string, store authority.Store, authorities *authority.Service, responders *responder.Service, log logr.Logger) (*validationServer, error) {
	v, err := newValidationServer(address, ledgerSource{store, authorities.Restored}, func(id string) validation.Catalog { return ledgerCatalog(id, store, authorities) }, ledgerCheckpoints(store), metrics.Registry, log)
	if err != nil {
		return nil, err
	}
	responders.OnChange = func(spec responder.Spec, served []*responder.Served) error {
		if len(spec.Nodes) > 0 {
			v.remove(spec.ID()) // its nodes answer
			return nil
		}
		cas := make([]servedCA, 0, len(served))
		for _, s := range served {
			cas = append(cas, servedCA{s.CA.Key, s.CA.Cert, s.Certificate, s.Signer})
		}
		return v.update(serviceSpec{spec.ID(), spec.BaseURL, spec.ResponseValidity}, cas)
	}
	return v, nil
}

func (v *validationServer) run(ctx context.Context) error { return v.server.Serve(ctx, v.listener) }

// update makes the server answer for what a service serves now.
func (v *validationServer) update(spec serviceSpec, served []servedCA) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.services[spec.id]
	if s == nil || s.spec != spec {
		var err error
		if s, err = v.add(spec); err != nil {
			return err
		}
	}
	authorities := make([]*ocsp.Authority, 0, len(served))
	var failures []error // of one CA; the others are served all the same
	for _, a := range served {
		o, err := ocsp.NewAuthority(ocsp.IssuerKey(a.key), a.certificate, a.ocsps, a.signer)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		authorities = append(authorities, o)
	}
	return errors.Join(append(failures, s.responder.Replace(authorities))...)
}

// remove ends the answers for a service.
func (v *validationServer) remove(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.services[id] != nil {
		v.server.Remove(id)
		delete(v.services, id)
	}
}

func (v *validationServer) add(spec serviceSpec) (*servedService, error) {
	base, err := validation.BasePath(spec.baseURL)
	if err != nil {
		return nil, err
	}
	r, err := ocsp.NewResponder(ocsp.Config{Source: v.source, Validity: spec.validity, Shared: v.shared})
	if err != nil {
		return nil, err
	}
	h, err := validation.NewHandler(validation.Config{Base: base, Catalog: v.catalog(spec.id), Responder: r, Metrics: v.metrics,
		Log: v.log.WithValues("validationService", spec.id)})
	if err != nil {
		return nil, err
	}
	if err := v.server.Set(spec.id, h); err != nil {
		return nil, err
	}
	s := &servedService{spec: spec, responder: r}
	v.services[spec.id] = s
	return s, nil
}
