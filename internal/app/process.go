package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/webhooks"
)

// stopTimeout bounds a graceful stop.
const stopTimeout = 20 * time.Second

// errFenced ends a process whose ledger another one has taken over.
var errFenced = errors.New("another process has taken the ledger over; this one stops. Each process of a ledger needs an --instance of its own")

// runUntil runs the manager and the services until ctx ends, one of them fails,
// or the ledger is taken over. It stops the manager first, so that no controller
// meets a stopped service.
func runUntil(ctx context.Context, manage func(context.Context) error, fenced <-chan struct{}, services ...func(context.Context) error) error {
	serve, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	g, failed := errgroup.WithContext(serve)
	for _, s := range services {
		g.Go(func() error { return s(failed) })
	}
	g.Go(func() error {
		select {
		case <-fenced:
			return errFenced
		case <-failed.Done():
			return nil
		}
	})
	managed, stopManager := context.WithCancel(ctx)
	defer stopManager()
	context.AfterFunc(failed, stopManager)
	err := manage(managed)
	stopServices()
	return errors.Join(err, g.Wait())
}

// managerRetry is how long a manager that failed is left alone.
const managerRetry = 5 * time.Second

// again runs the manager anew each time it fails, until ctx ends: an API
// server that is away at the start must not take the services down.
func again(ctx context.Context, manage func(context.Context) error, log logr.Logger) error {
	for {
		err := manage(ctx)
		if ctx.Err() != nil {
			return err
		}
		log.Error(err, "controllers stopped; starting them anew")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(managerRetry):
		}
	}
}

// Scheme has the kinds of Terrace and of Kubernetes that it uses.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return nil, err
	}
	return s, pkiv1.AddToScheme(s)
}

// managerOptions are what the managers of the processes differ in.
type managerOptions struct {
	// name of the process, for its Lease.
	name     string
	webhooks Webhooks
	leader   Election
	// secretNamespaces are those whose Secrets are watched; nil: every one.
	secretNamespaces []string
}

func newManager(kube *rest.Config, m managerOptions, log logr.Logger) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	stop, anew := stopTimeout, true
	o := ctrl.Options{
		Scheme: scheme, Logger: log, GracefulShutdownTimeout: &stop,
		// health serves these two, also while the API server is away.
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: &anew}, // a later manager has the same controllers
	}
	if m.leader.LeaderElect {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace, o.LeaderElectionReleaseOnCancel = true, m.name+".terrace.dev", m.leader.ElectionNamespace, true
	}
	if len(m.secretNamespaces) > 0 {
		of := map[string]cache.Config{}
		for _, n := range m.secretNamespaces {
			of[n] = cache.Config{}
		}
		o.Cache.ByObject = map[client.Object]cache.ByObject{&corev1.Secret{}: {Namespaces: of}}
	}
	// Secrets are read one by one, also outside the namespaces where they are
	// watched: no process needs the right to list them in order to read one.
	o.Client.Cache = &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}
	if w := m.webhooks; w.WebhookAddress != "" {
		host, port, err := splitAddress(w.WebhookAddress)
		if err != nil {
			return nil, err
		}
		for _, f := range []string{"tls.crt", "tls.key"} {
			if _, err := os.Stat(filepath.Join(w.WebhookCertDir, f)); err != nil {
				return nil, fmt.Errorf("webhook certificate: %w", err)
			}
		}
		o.WebhookServer = webhook.NewServer(webhook.Options{Host: host, Port: port, CertDir: w.WebhookCertDir})
	}
	mgr, err := ctrl.NewManager(kube, o)
	if err != nil {
		return nil, fmt.Errorf("make controller manager: %w", err)
	}
	if m.webhooks.WebhookAddress != "" {
		if err := webhooks.SetupAll(mgr); err != nil {
			return nil, fmt.Errorf("set up webhooks: %w", err)
		}
	}
	return mgr, nil
}

// controllersRun makes readiness wait for the manager's caches and webhooks.
func controllersRun(h *health, mgr manager.Manager, webhooks bool) {
	h.need("controllers", func(ctx context.Context) error {
		// Only with the API server in reach do caches fill; do not wait for it long.
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the API server has not answered yet")
		}
		if webhooks {
			return mgr.GetWebhookServer().StartedChecker()(nil)
		}
		return nil
	})
}

func splitAddress(addr string) (string, int, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(p)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: port must be 1 to 65535", addr)
	}
	return host, port, nil
}
