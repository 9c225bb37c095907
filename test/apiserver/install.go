package apiserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const (
	establishTimeout = 30 * time.Second
	establishPoll    = 20 * time.Millisecond
	removeTimeout    = 10 * time.Second
)

// InstallCRDs installs the CustomResourceDefinitions in the YAML files of dir
// and waits until they are served. An API server delays the first object of a
// kind by up to 2 s after that, so install all of them early and once.
func InstallCRDs(cfg *rest.Config, dir string) error {
	crds, err := envtest.InstallCRDs(cfg, envtest.CRDInstallOptions{
		Paths:              []string{dir},
		ErrorIfPathMissing: true,
		MaxTime:            establishTimeout,
		PollInterval:       establishPoll,
	})
	if err != nil {
		return fmt.Errorf("install CRDs: %w", err)
	}
	if len(crds) == 0 {
		return fmt.Errorf("install CRDs: %s has none", dir)
	}
	return nil
}

// Webhooks are installed webhook configurations whose server is on this machine.
type Webhooks struct {
	cfg     *rest.Config
	options *envtest.WebhookInstallOptions
}

// InstallWebhooks installs the webhook configurations in the YAML file or
// directory at path. Where they name a Service, they get the URL of a port of
// this machine and the authority of a new serving certificate. The requests
// arrive once the test serves on Server. The caller must Close the result.
func InstallWebhooks(cfg *rest.Config, path string) (*Webhooks, error) {
	w := &Webhooks{cfg: cfg, options: &envtest.WebhookInstallOptions{Paths: []string{path}}}
	err := w.options.Install(cfg)
	if err == nil && len(w.configurations()) == 0 {
		err = fmt.Errorf("%s has none", path)
	}
	if err != nil {
		return nil, fmt.Errorf("install webhooks: %w", errors.Join(err, w.options.Cleanup()))
	}
	return w, nil
}

// Server is a new webhook server where the configurations expect it: for
// ctrl.Options, or to be registered on and started directly.
func (w *Webhooks) Server() webhook.Server {
	return webhook.NewServer(webhook.Options{
		Host:    w.options.LocalServingHost,
		Port:    w.options.LocalServingPort,
		CertDir: w.options.LocalServingCertDir,
	})
}

// Close removes the configurations from the API server, so that it does not
// ask a server that has ended, and the serving certificate from the disk.
func (w *Webhooks) Close() error {
	errs := []error{w.options.Cleanup()}
	c, err := client.New(w.cfg, client.Options{})
	if err != nil {
		return fmt.Errorf("remove webhooks: %w", errors.Join(append(errs, err)...))
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	for _, object := range w.configurations() {
		errs = append(errs, c.Delete(ctx, object))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove webhooks: %w", err)
	}
	return nil
}

func (w *Webhooks) configurations() []client.Object {
	var all []client.Object
	for _, c := range w.options.ValidatingWebhooks {
		all = append(all, c)
	}
	for _, c := range w.options.MutatingWebhooks {
		all = append(all, c)
	}
	return all
}
