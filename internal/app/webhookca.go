package app

import (
	"bytes"
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// webhookConfigurations are those of config/webhook.
var webhookConfigurations = []string{"terrace", "terrace-deletion"}

// trustWebhooks writes the transport CAs into the webhook configurations, so that the
// API server believes the manager, also after the transport CA was renewed. A
// configuration that leads elsewhere than to a Service is left alone.
func trustWebhooks(ctx context.Context, c client.Client, bundle []byte) error {
	for _, name := range webhookConfigurations {
		var v admissionv1.ValidatingWebhookConfiguration
		err := trust(ctx, c, name, &v, func() (configs []*admissionv1.WebhookClientConfig) {
			for i := range v.Webhooks {
				configs = append(configs, &v.Webhooks[i].ClientConfig)
			}
			return configs
		}, bundle)
		if err != nil {
			return err
		}
		var m admissionv1.MutatingWebhookConfiguration
		err = trust(ctx, c, name, &m, func() (configs []*admissionv1.WebhookClientConfig) {
			for i := range m.Webhooks {
				configs = append(configs, &m.Webhooks[i].ClientConfig)
			}
			return configs
		}, bundle)
		if err != nil {
			return err
		}
	}
	return nil
}

// trust updates one configuration, unless it is absent or says so already. The
// update carries the version that was read: a later change is not undone.
func trust(ctx context.Context, c client.Client, name string, o client.Object, configs func() []*admissionv1.WebhookClientConfig, bundle []byte) error {
	if err := c.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("read %T %s: %w", o, name, err)
	}
	changed := false
	for _, config := range configs() {
		if config.Service != nil && !bytes.Equal(config.CABundle, bundle) {
			config.CABundle, changed = bundle, true
		}
	}
	if !changed {
		return nil
	}
	if err := c.Update(ctx, o); err != nil {
		return fmt.Errorf("write caBundle of %T %s: %w", o, name, err)
	}
	return nil
}
