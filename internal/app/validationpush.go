package app

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/replica"
)

// newPushSender pushes to the nodes of every accepted validation service. It
// dials out: nothing dials into the core for it.
func newPushSender(l *links, k *core, m *link.Metrics, log logr.Logger) *replica.Sender {
	return replica.NewSender(replica.SenderConfig{Feed: k.authorities.Feed(), Changed: k.authorities.Changed, Source: k.responders, Audit: auditPush(k.audit),
		Metrics: replica.NewSenderMetrics(metrics.Registry), Log: log.WithName("push"),
		Dial: func(t replica.Target) (replica.Remote, error) {
			return replica.NewRemote(link.ClientConfig{Self: l.name, Server: t.Name, URL: t.URL, Key: l.key, Peers: l.peers, TLS: l.folder.ClientTLS(t.Name), Metrics: m})
		}})
}

// auditPush brings the newest checkpoint of the audit log to validation nodes.
func auditPush(log *authority.AuditLog) func(context.Context, int64) (*replica.AuditPush, error) {
	return func(ctx context.Context, held int64) (*replica.AuditPush, error) {
		signed, key, proof, err := log.Proof(ctx, held)
		if err != nil {
			return nil, err
		}
		p := &replica.AuditPush{Text: signed.Text(), Key: key}
		for _, h := range proof {
			p.Proof = append(p.Proof, h[:])
		}
		return p, nil
	}
}
