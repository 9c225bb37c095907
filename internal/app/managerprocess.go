package app

import (
	"context"
	"errors"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/controllers/tier"
)

// Election lets one of several processes run the controllers. The zero value: all do.
type Election struct {
	// LeaderElect says whether to elect.
	LeaderElect bool
	// ElectionNamespace holds the Lease.
	ElectionNamespace string
}

func (e Election) validate() error {
	if e.LeaderElect && e.ElectionNamespace == "" {
		return errors.New("--election-namespace: required with --leader-elect")
	}
	return nil
}

// ManagerConfig of the process of the management zone (管理区). Validate before use.
type ManagerConfig struct {
	Process
	Webhooks
	Election
	Transport
}

// Validate says which flag is wrong and how to mend it.
func (c ManagerConfig) Validate() error {
	if c.WebhookAddress == "" {
		return errors.New("--webhook-address: required: admission is this process's work")
	}
	return errors.Join(c.Process.validate(), c.Webhooks.validate(), c.Election.validate(), c.Transport.validate())
}

// RunManager runs admission and the tiers' health until ctx ends. It has
// neither a database nor a key.
func RunManager(ctx context.Context, kube *rest.Config, c ManagerConfig, log logr.Logger) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := registerWebhookExpiry(metrics.Registry, c.Webhooks); err != nil {
		return err
	}
	h := newHealth()
	servers, err := h.serve(c.Process)
	if err != nil {
		return err
	}
	tiers := tier.NewMetrics(metrics.Registry)
	manage := func(ctx context.Context) error {
		mgr, err := newManager(kube, managerOptions{name: "manager", webhooks: c.Webhooks, leader: c.Election}, log)
		if err != nil {
			return err
		}
		controllersRun(h, mgr, true)
		if err := (&tier.Reconciler{Client: mgr.GetClient(), Metrics: tiers}).SetupWithManager(mgr); err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	if len(c.Transport.Processes) > 0 {
		secrets, err := newTransportSecrets(kube, c.Transport)
		if err != nil {
			return err
		}
		servers = append(servers, func(ctx context.Context) error { return secrets.run(ctx, log.WithName("transport")) })
	}
	return runUntil(ctx, func(ctx context.Context) error { return again(ctx, manage, log) }, nil, servers...)
}
