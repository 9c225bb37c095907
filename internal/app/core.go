package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/controllers/businessca"
	"github.com/terrace-pki/terrace/controllers/certificateprofile"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/controllers/deletion"
	"github.com/terrace-pki/terrace/controllers/industryca"
	"github.com/terrace-pki/terrace/controllers/validationservice"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/limits"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

// core is the keys and the ledger of a process with what works on them. It
// starts from the ledger and does not stop when the API server does.
type core struct {
	config      Core
	store       authority.Store
	devices     *device.Registry
	authorities *authority.Service
	responders  *responder.Service
	trustLists  *trustsigner.Service
	desk        *issuing.Desk
	limits      *limits.Limits // nil: only the profiles bound what is issued
	audit       *authority.AuditLog

	deviceMetrics *cryptodevice.Metrics
}

// drainTimeout bounds the wait for what is being issued when the process stops.
const drainTimeout = 10 * time.Second

func openCore(ctx context.Context, c Core, log logr.Logger) (*core, error) {
	k := &core{config: c, devices: device.NewRegistry()}
	options := authority.Config{Keys: k.devices, Metrics: authority.NewMetrics(metrics.Registry)}
	if c.LimitsFile != "" {
		l, err := limits.Load(c.LimitsFile)
		if err != nil {
			return nil, fmt.Errorf("--limits: %w", err)
		}
		k.limits, options.Limits = l, l.Check
	}
	var err error
	if k.store, err = c.openLedger(ctx); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	options.Store = k.store
	k.authorities = authority.New(options)
	k.responders = responder.New(k.store, k.authorities, time.Now)
	k.trustLists = trustsigner.New(trustsigner.Config{Store: k.store, Authorities: k.authorities, Metrics: trustsigner.NewMetrics(metrics.Registry)})
	if err := errors.Join(k.authorities.Load(ctx), k.responders.Load(ctx)); err != nil {
		return nil, errors.Join(err, k.store.Close())
	}
	k.audit = authority.NewAuditLog(k.authorities, c.AuditDevice, log.WithName("audit"))
	k.desk = issuing.NewDesk(k.authorities)
	k.deviceMetrics = cryptodevice.NewMetrics(metrics.Registry)
	metrics.Registry.MustRegister(cryptodevice.Collector{Devices: k.devices}, authority.NewStateMetrics(k.authorities), responder.NewMetrics(k.responders))
	return k, nil
}

// close ends sessions and connections, after the services have stopped.
func (k *core) close(log logr.Logger) {
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := k.desk.Drain(drain); err != nil {
		log.Error(err, "some orders are not finished; what was signed and not recorded will be abandoned")
	}
	if err := errors.Join(k.devices.Close(), k.store.Close()); err != nil {
		log.Error(err, "close devices and ledger")
	}
}

// setup registers the controllers of the kinds that need keys or the ledger.
// nodes is who pushes to validation nodes, nil where nobody does.
func (k *core) setup(mgr ctrl.Manager, nodes validationservice.Nodes) error {
	client := mgr.GetClient()
	inUse := func(name string) deletion.InUse {
		if name == k.config.AuditDevice {
			return func(context.Context) (string, error) {
				return "it signs the audit log's checkpoints (--audit-device)", nil
			}
		}
		return deletion.Device(k.authorities, k.responders, time.Now, name)
	}
	devices := k.openDevices(client)
	devices.InUse = inUse
	return setupAll(mgr, map[string]setupFunc{
		"CryptoDevice":       devices.SetupWithManager,
		"IndustryCA":         (&industryca.Reconciler{Client: client, Authorities: k.authorities, TrustLists: k.trustLists, Now: time.Now}).SetupWithManager,
		"BusinessCA":         (&businessca.Reconciler{Client: client, Authorities: k.authorities, Limits: k.limits, Now: time.Now}).SetupWithManager,
		"CertificateProfile": (&certificateprofile.Reconciler{Client: client}).SetupWithManager,
		"ValidationService":  (&validationservice.Reconciler{Client: client, Responders: k.responders, Authorities: k.authorities, Nodes: nodes}).SetupWithManager,
	})
}

func (k *core) openDevices(client client.Client) *cryptodevice.Reconciler {
	return &cryptodevice.Reconciler{Client: client, Devices: k.devices, Open: k.config.opener(), Metrics: k.deviceMetrics}
}

// follow registers what a process needs that does not lead: its devices.
func (k *core) follow(mgr ctrl.Manager) error {
	return (&cryptodevice.Follower{Reconciler: k.openDevices(mgr.GetClient())}).SetupWithManager(mgr)
}

// services are what goes on without the API server. consumers name those who
// read the feed, for the metrics.
func (k *core) services(log logr.Logger, consumers ...func() []string) []service {
	watch := newLedgerWatch(k.store, metrics.Registry, time.Now, consumers...)
	return append([]service{
		func(ctx context.Context) error { return k.authorities.WatchLedger(ctx, log.WithName("ledger")) },
		func(ctx context.Context) error { return watch.run(ctx, log.WithName("ledger-watch")) },
	},
		k.whenLeading(
			func(ctx context.Context) error { return k.authorities.RunCRLs(ctx, log.WithName("crl")) },
			func(ctx context.Context) error { return k.trustLists.Run(ctx, log.WithName("trustlist")) },
			k.audit.Run,
			func(ctx context.Context) error {
				// What another process accepted before this one led.
				if err := k.responders.Load(ctx); err != nil {
					return err
				}
				return k.responders.Run(ctx, log.WithName("responder"))
			},
		)...)
}

// service runs until its context ends.
type service = func(context.Context) error

// whenLeading are services of which one runs among the processes that share a ledger.
func (k *core) whenLeading(services ...service) []service {
	waiting := make([]service, len(services))
	for i, run := range services {
		waiting[i] = func(ctx context.Context) error {
			select {
			case <-k.authorities.Leads():
				return run(ctx)
			case <-ctx.Done():
				return nil
			}
		}
	}
	return waiting
}

// leadSoon is how long a process waits whether it leads before it follows.
const leadSoon = 2 * time.Second

// untilLeading runs follow until this process leads those that share its ledger.
func (k *core) untilLeading(ctx context.Context, follow service) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	select { // who is alone leads at once
	case <-k.authorities.Leads():
		return nil
	case <-ctx.Done():
		return nil
	case <-time.After(leadSoon):
	}
	go func() {
		select {
		case <-k.authorities.Leads():
			stop()
		case <-following.Done():
		}
	}()
	if err := follow(following); following.Err() == nil {
		return err // it failed by itself
	}
	return nil
}

// reconciled holds services back that make others follow the ledger while it is
// restored and not reconciled: what it forgot, they still hold.
func (k *core) reconciled(log logr.Logger, services []func(context.Context) error) []func(context.Context) error {
	if k.authorities.Restored() {
		log.Error(authority.ErrRestored, "nothing is issued, revoked, listed or pushed")
	}
	held := make([]func(context.Context) error, len(services))
	for i, run := range services {
		held[i] = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-k.authorities.Reconciled():
				return run(ctx)
			}
		}
	}
	return held
}

type setupFunc = func(ctrl.Manager) error

func setupAll(mgr ctrl.Manager, kinds map[string]setupFunc) error {
	for kind, setup := range kinds {
		if err := setup(mgr); err != nil {
			return fmt.Errorf("set up controller of %s: %w", kind, err)
		}
	}
	return nil
}
