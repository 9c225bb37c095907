package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/link"
)

// RAConfig of the process of the registration authorities (服务区). Validate before use.
type RAConfig struct {
	Process
	Links
	Election
	// RegistrationDSN of the RA's own database, as Core.LedgerDSN.
	RegistrationDSN string
	// CAURL is https://host:port of the CA's link, CAName its name.
	CAURL, CAName string
}

// Validate says which flag is wrong and how to mend it.
func (c RAConfig) Validate() error {
	if _, _, err := dsn("--registration-store", c.RegistrationDSN, "TERRACE_REGISTRATION_STORE"); err != nil {
		return err
	}
	switch {
	case c.CAURL == "":
		return errors.New("--ca-url: required, https://host:port of the CA's link")
	case c.CAName == "":
		return errors.New("--ca-name: required, the CA's name in its transport certificate and in --peers")
	}
	return errors.Join(c.Process.validate(), c.Links.validate(), c.Election.validate())
}

// RunRA runs the registration authorities until ctx ends. Several processes may
// run; one of them works, and every act is once ever by its identity in any case.
func RunRA(ctx context.Context, kube *rest.Config, c RAConfig, log logr.Logger) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	l, err := c.Links.open()
	if err != nil {
		return err
	}
	client, err := link.NewClient(link.ClientConfig{Self: l.name, Server: c.CAName, URL: c.CAURL, Key: l.key, Peers: l.peers,
		TLS: l.folder.ClientTLS(c.CAName), Codes: issuing.Codes(), Metrics: link.NewMetrics(metrics.Registry)})
	if err != nil {
		return fmt.Errorf("--ca-url: %w", err)
	}
	store, err := openRegistration(ctx, c.RegistrationDSN)
	if err != nil {
		return fmt.Errorf("open registration database: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	h := newHealth()
	h.need("registration", store.Ping)
	h.need("links", func(context.Context) error { return l.check() })
	servers, err := h.serve(c.Process)
	if err != nil {
		return err
	}
	people := newOffice(issuing.NewClient(client), store)
	manage := func(ctx context.Context) error {
		mgr, err := newManager(kube, managerOptions{name: "ra", leader: c.Election}, log)
		if err != nil {
			return err
		}
		controllersRun(h, mgr, false)
		if err := people.setup(mgr); err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	return runUntil(ctx, func(ctx context.Context) error { return again(ctx, manage, log) }, nil, servers...)
}
