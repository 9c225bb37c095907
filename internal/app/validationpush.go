package app

import (
	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/responder"
)

// newPushSender pushes to the nodes of every accepted validation service. It
// dials out: nothing dials into the core for it.
func newPushSender(l *links, authorities *authority.Service, responders *responder.Service, m *link.Metrics, log logr.Logger) *replica.Sender {
	return replica.NewSender(replica.SenderConfig{Feed: authorities.Feed(), Changed: authorities.Changed, Source: responders,
		Metrics: replica.NewSenderMetrics(metrics.Registry), Log: log.WithName("push"),
		Dial: func(t replica.Target) (replica.Remote, error) {
			return replica.NewRemote(link.ClientConfig{Self: l.name, Server: t.Name, URL: t.URL, Key: l.key, Peers: l.peers, TLS: l.folder.ClientTLS(t.Name), Metrics: m})
		}})
}
