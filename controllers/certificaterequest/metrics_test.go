package certificaterequest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// cached is what a manager's cache answers with.
type cached struct {
	client.Client
	authorities []pkiv1.RegistrationAuthority
	requests    []pkiv1.CertificateRequest
	err         error
}

func (c *cached) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch l := list.(type) {
	case *pkiv1.RegistrationAuthorityList:
		l.Items = c.authorities
	case *pkiv1.CertificateRequestList:
		l.Items = c.requests
	}
	return c.err
}

func TestAwaitingIsCounted(t *testing.T) {
	authority := func(name string) pkiv1.RegistrationAuthority {
		return pkiv1.RegistrationAuthority{ObjectMeta: metav1.ObjectMeta{Namespace: "ministry", Name: name}}
	}
	request := func(namespace string, ra pkiv1.NamespacedReference, reason string) pkiv1.CertificateRequest {
		r := pkiv1.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: pkiv1.CertificateRequestSpec{RegistrationAuthorityRef: ra}}
		r.Status.Conditions = []metav1.Condition{{Type: pkiv1.ConditionApproved, Reason: reason}}
		return r
	}
	here := pkiv1.NamespacedReference{Name: "ra"}
	there := pkiv1.NamespacedReference{Name: "ra", Namespace: "ministry"}
	cache := &cached{authorities: []pkiv1.RegistrationAuthority{authority("ra"), authority("idle")}, requests: []pkiv1.CertificateRequest{
		request("ministry", here, pkiv1.ReasonAwaitingApproval),
		request("offices", there, pkiv1.ReasonAwaitingApproval),
		request("ministry", here, pkiv1.ReasonDenied),
		request("ministry", here, pkiv1.ReasonSucceeded),
		request("offices", here, pkiv1.ReasonAwaitingApproval), // its RA went
		{ObjectMeta: metav1.ObjectMeta{Namespace: "ministry"}, Spec: pkiv1.CertificateRequestSpec{RegistrationAuthorityRef: here}},
	}}
	registry := prometheus.NewRegistry()
	c := &counter{client: cache, metrics: NewMetrics(registry), every: time.Hour}
	look := func(when string, want map[string]float64) {
		t.Helper()
		if counts, err := c.count(t.Context()); err == nil {
			c.show(counts)
		}
		if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	look("at first", map[string]float64{"ministry/ra": 2, "ministry/idle": 0})
	cache.err = errors.New("no cache")
	look("when it cannot be counted", map[string]float64{"ministry/ra": 2, "ministry/idle": 0})
	cache.err, cache.authorities, cache.requests = nil, cache.authorities[:1], cache.requests[1:]
	look("when one is decided and an RA gone", map[string]float64{"ministry/ra": 1})
	// Whoever leads no more shows nothing: another process counts.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got := gathered(t, registry); len(got) != 0 {
		t.Errorf("after it stopped: %v", got)
	}
}

func gathered(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			values[m.Label[0].GetValue()] = m.Gauge.GetValue()
		}
	}
	return values
}
