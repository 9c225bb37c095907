package app

import (
	"bytes"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/terrace-pki/terrace/internal/transport"
	"github.com/terrace-pki/terrace/test/apiserver"
)

// TestTransportSecrets: certificates of processes stand in Secrets, the API
// server is told whom to believe, and both follow when the CA is renewed.
func TestTransportSecrets(t *testing.T) {
	server := apiserver.Start(t)
	own, other := server.Namespace(t), server.Namespace(t)
	s, err := newTransportSecrets(server.Config, Transport{Namespace: own, Processes: []TransportProcess{
		{Process: transport.Process{Name: webhookProcess, Hosts: []string{"terrace.terrace-system.svc"}}, Namespace: own},
		{Process: transport.Process{Name: "ca", Hosts: []string{"ca"}}, Namespace: other}}})
	if err != nil {
		t.Fatal(err)
	}
	// Rules without resources: the configuration is only looked at here.
	path, url := "/x", "https://127.0.0.1:1/x"
	none := admissionv1.SideEffectClassNone
	hook := func(name string, c admissionv1.WebhookClientConfig) admissionv1.ValidatingWebhook {
		return admissionv1.ValidatingWebhook{Name: name, ClientConfig: c, SideEffects: &none, AdmissionReviewVersions: []string{"v1"}}
	}
	config := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "terrace"}, Webhooks: []admissionv1.ValidatingWebhook{
		hook("service.terrace.dev", admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "terrace-system", Name: "terrace", Path: &path}}),
		hook("url.terrace.dev", admissionv1.WebhookClientConfig{URL: &url})}}
	if err := s.client.Create(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	settle := func(at time.Time) (bundle []byte) {
		t.Helper()
		s.now = func() time.Time { return at }
		for range 3 {
			if changed, err := s.ensure(t.Context()); err != nil {
				t.Fatal(err)
			} else if !changed {
				break
			}
		}
		var leaf, ca corev1.Secret
		if err := s.client.Get(t.Context(), client.ObjectKey{Namespace: own, Name: "manager-transport"}, &leaf); err != nil {
			t.Fatal(err)
		}
		if err := s.client.Get(t.Context(), client.ObjectKey{Namespace: other, Name: "ca-transport"}, &ca); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(leaf.Data[transport.CAFile], ca.Data[transport.CAFile]) || len(ca.Data[transport.KeyFile]) == 0 {
			t.Errorf("Secrets hold %d and %d entries that do not belong together", len(leaf.Data), len(ca.Data))
		}
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(config), config); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(config.Webhooks[0].ClientConfig.CABundle, leaf.Data[transport.CAFile]) {
			t.Error("caBundle of the webhook is not the transport CA")
		}
		if len(config.Webhooks[1].ClientConfig.CABundle) != 0 {
			t.Error("a webhook that leads elsewhere got a caBundle")
		}
		return leaf.Data[transport.CAFile]
	}
	first := settle(start)
	if again := settle(start.Add(time.Hour)); !bytes.Equal(first, again) {
		t.Error("an hour later there is another CA")
	}
	const year = 365 * 24 * time.Hour
	if later := settle(start.Add(4 * year)); bytes.Equal(first, later) || !bytes.Contains(later, bytes.TrimSpace(first)) {
		t.Error("after 4 of 5 years the bundle does not hold the old CA and the next one")
	}
}
