package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/webhooks"
)

// stopTimeout bounds a graceful stop.
const stopTimeout = 20 * time.Second

// Run runs every controller and service of this process until ctx ends. The
// services that keep facts (CRLs, OCSP, responder certificates) start from the
// ledger and do not stop when the API server does.
func Run(ctx context.Context, kube *rest.Config, c Config, log logr.Logger) error {
	if err := c.Validate(); err != nil {
		return err
	}
	store, err := c.OpenLedger(ctx, true)
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	devices := device.NewRegistry()
	defer func() {
		if err := errors.Join(devices.Close(), store.Close()); err != nil {
			log.Error(err, "close devices and ledger")
		}
	}()
	authorities := authority.New(authority.Config{Store: store, Keys: devices, Metrics: authority.NewMetrics(metrics.Registry)})
	if err := authorities.Load(ctx); err != nil {
		return err
	}
	responders := responder.New(store, authorities, time.Now)
	if err := responders.Load(ctx); err != nil {
		return err
	}
	validationServer, err := newValidation(c.ValidationAddress, store, authorities, responders, log)
	if err != nil {
		return err
	}
	reachable := cryptodevice.NewReachable(metrics.Registry)
	manage := func(ctx context.Context) error {
		mgr, err := newManager(kube, c, log)
		if err != nil {
			return err
		}
		if err := mgr.AddReadyzCheck("ledger", func(r *http.Request) error { return store.Ping(r.Context()) }); err != nil {
			return err
		}
		if err := setupControllers(mgr, c, devices, reachable, authorities, responders); err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	return runUntil(ctx, func(ctx context.Context) error { return again(ctx, manage, log) }, authorities.Fenced(),
		func(ctx context.Context) error { return authorities.RunCRLs(ctx, log.WithName("crl")) },
		func(ctx context.Context) error { return responders.Run(ctx, log.WithName("responder")) },
		validationServer.run)
}

// errFenced ends a process whose ledger another one has taken over.
var errFenced = errors.New("another process has taken the ledger over; this one stops. Run one process for each ledger")

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

func newManager(kube *rest.Config, c Config, log logr.Logger) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	stop, anew := stopTimeout, true
	o := ctrl.Options{
		Scheme: scheme, Logger: log, GracefulShutdownTimeout: &stop,
		Metrics:                metricsserver.Options{BindAddress: orOff(c.MetricsAddress)},
		HealthProbeBindAddress: orOff(c.HealthAddress),
		Controller:             config.Controller{SkipNameValidation: &anew}, // a later manager has the same controllers
	}
	if c.WebhookAddress != "" {
		host, port, err := splitAddress(c.WebhookAddress)
		if err != nil {
			return nil, err
		}
		for _, f := range []string{"tls.crt", "tls.key"} {
			if _, err := os.Stat(filepath.Join(c.WebhookCertDir, f)); err != nil {
				return nil, fmt.Errorf("webhook certificate: %w", err)
			}
		}
		o.WebhookServer = webhook.NewServer(webhook.Options{Host: host, Port: port, CertDir: c.WebhookCertDir})
	}
	mgr, err := ctrl.NewManager(kube, o)
	if err != nil {
		return nil, fmt.Errorf("make controller manager: %w", err)
	}
	if c.WebhookAddress != "" {
		if err := webhooks.SetupAll(mgr); err != nil {
			return nil, fmt.Errorf("set up webhooks: %w", err)
		}
	}
	return mgr, mgr.AddHealthzCheck("process", healthz.Ping)
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

func orOff(addr string) string {
	if addr == "" {
		return "0"
	}
	return addr
}
