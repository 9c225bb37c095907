package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/controllers/tier"
)

// Run runs every controller and service in this process until ctx ends. The
// services that keep facts (CRLs, OCSP, responder certificates, directories)
// start from the ledger and do not stop when the API server does.
func Run(ctx context.Context, kube *rest.Config, c Config, log logr.Logger) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := registerWebhookExpiry(metrics.Registry, c.Webhooks); err != nil {
		return err
	}
	k, err := openCore(ctx, c.Core, log)
	if err != nil {
		return err
	}
	defer k.close(log)
	store, err := openRegistration(ctx, c.RegistrationDSN)
	if err != nil {
		return fmt.Errorf("open registration database: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	validation, err := newValidation(c.ValidationAddress, k.store, k.authorities, k.responders, log)
	if err != nil {
		return err
	}
	directories := newDirectoryServers(c.DirectoryCAFile, "")
	publishing := newPublishing(ctx, k, directories)
	if err := publishing.load(); err != nil {
		return err
	}
	pushing, err := newPushing(c.StateDir, directories, true)
	if err != nil {
		return err
	}
	h := newHealth()
	h.need("ledger", k.store.Ping)
	h.need("registration", store.Ping)
	servers, err := h.serve(c.Process)
	if err != nil {
		return err
	}
	people, tiers := newOffice(k.desk, store), tier.NewMetrics(metrics.Registry)
	manage := func(ctx context.Context) error {
		mgr, err := newManager(kube, managerOptions{webhooks: c.Webhooks, secretNamespaces: c.TierNamespaces}, log)
		if err != nil {
			return err
		}
		controllersRun(h, mgr, c.WebhookAddress != "")
		if err := errors.Join(k.setup(mgr, nil), people.setup(mgr), publishing.setup(mgr), pushing.setup(mgr),
			(&tier.Reconciler{Client: mgr.GetClient(), Metrics: tiers}).SetupWithManager(mgr)); err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	services := slices.Concat(servers, k.services(log, publishing.service.Consumers), k.reconciled(log, publishing.services(log)), pushing.services(log), []func(context.Context) error{validation.run})
	return runUntil(ctx, func(ctx context.Context) error { return again(ctx, manage, log) }, k.authorities.Fenced(), services...)
}
