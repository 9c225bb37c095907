package app

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/validation"
)

// replicaServer answers for the services of a node from its replica.
type replicaServer struct {
	*validationServer
	node   *replica.Node // set before run
	config atomic.Pointer[replica.Config]
}

func newReplicaServer(address string, store watchedReplica, registry prometheus.Registerer, log logr.Logger) (*replicaServer, error) {
	s := &replicaServer{}
	s.config.Store(&replica.Config{})
	v, err := newValidationServer(address, replicaSource{store, func() replica.State { return s.node.Known() }}, func(id string) validation.Catalog {
		return replicaCatalog(id, store, func() replica.Config { return *s.config.Load() })
	}, replicaCheckpoints(store), registry, log)
	s.validationServer = v
	return s, err
}

// serve makes the server answer for what was pushed. A service or a CA that
// cannot be served is logged, and the others are served.
func (s *replicaServer) serve(c replica.Config, signer crypto.MessageSigner) {
	before := s.config.Swap(&c)
	for _, old := range before.Services {
		if _, stays := c.Find(old.ID); !stays {
			s.remove(old.ID)
		}
	}
	var failures []error
	for _, service := range c.Services {
		cas, err := servedCAs(service, signer)
		failures = append(failures, err, s.update(serviceSpec{service.ID, service.BaseURL, service.ResponseValidity}, cas))
	}
	if err := errors.Join(failures...); err != nil {
		s.log.Error(err, "some of what was pushed cannot be served")
	}
}

// servedCAs are those that gave this node a certificate. Without a signer its
// device is away: OCSP says tryLater until it is back.
func servedCAs(service replica.Service, signer crypto.MessageSigner) ([]servedCA, error) {
	var cas []servedCA
	var failures []error
	for _, a := range service.Authorities {
		ca, certificate, err := a.Parse()
		if err != nil {
			failures = append(failures, fmt.Errorf("certificates of %s: %w", a.Key.Authority, err))
			continue
		}
		if certificate == nil {
			continue
		}
		use := signer
		if use == nil {
			use = awaySigner{certificate.PublicKey}
		}
		cas = append(cas, servedCA{a.Key, ca, certificate, use})
	}
	return cas, errors.Join(failures...)
}

// awaySigner stands for a key whose device is away.
type awaySigner struct{ public crypto.PublicKey }

func (s awaySigner) Public() crypto.PublicKey { return s.public }

func (awaySigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, fmt.Errorf("sign with the OCSP key: %w", device.ErrUnavailable)
}

func (awaySigner) SignMessage(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, fmt.Errorf("sign with the OCSP key: %w", device.ErrUnavailable)
}
