package certificaterequest

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
)

// countInterval is how often the requests are counted: a list of the cache, but
// of every request that there is.
const countInterval = 30 * time.Second

// Metrics of the requests of a process.
type Metrics struct {
	awaiting *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{awaiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_requests_awaiting_approval",
		Help: "Requests that wait for people, by RA (namespace/name)."}, []string{"registration_authority"})}
	if r != nil {
		r.MustRegister(m.awaiting)
	}
	return m
}

// counter counts the requests that wait for people. A manager runs it on its
// leader alone, and the series of one that leads no more go with it.
type counter struct {
	client  client.Client
	metrics *Metrics
	every   time.Duration
	shown   map[string]bool // RAs that have a series
}

// Start counts until ctx ends; a list that fails leaves the last count.
func (c *counter) Start(ctx context.Context) error {
	defer c.show(nil)
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		if counts, err := c.count(ctx); err == nil {
			c.show(counts)
		} else if ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "count the requests that wait for approval")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// count is by RA; one for which nothing waits has 0.
func (c *counter) count(ctx context.Context) (map[string]int, error) {
	var authorities pkiv1.RegistrationAuthorityList
	if err := c.client.List(ctx, &authorities); err != nil {
		return nil, fmt.Errorf("list RegistrationAuthorities: %w", err)
	}
	var requests pkiv1.CertificateRequestList
	if err := c.client.List(ctx, &requests, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list CertificateRequests: %w", err)
	}
	counts := map[string]int{}
	for i := range authorities.Items {
		counts[client.ObjectKeyFromObject(&authorities.Items[i]).String()] = 0
	}
	for i := range requests.Items {
		r := &requests.Items[i]
		ra := policy.AuthorityKey(r.Spec.RegistrationAuthorityRef, r.Namespace).String()
		// Only an RA that is there has a series: a requester can name any.
		if _, there := counts[ra]; there && awaitsApproval(r) {
			counts[ra]++
		}
	}
	return counts, nil
}

func awaitsApproval(r *pkiv1.CertificateRequest) bool {
	c := meta.FindStatusCondition(r.Status.Conditions, pkiv1.ConditionApproved)
	return c != nil && c.Reason == pkiv1.ReasonAwaitingApproval && r.DeletionTimestamp.IsZero()
}

// show writes the counts, and drops the series of RAs that are gone.
func (c *counter) show(counts map[string]int) {
	for ra := range c.shown {
		if _, there := counts[ra]; !there {
			c.metrics.awaiting.DeleteLabelValues(ra)
		}
	}
	c.shown = map[string]bool{}
	for ra, n := range counts {
		c.metrics.awaiting.WithLabelValues(ra).Set(float64(n))
		c.shown[ra] = true
	}
}
