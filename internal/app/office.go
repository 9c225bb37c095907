package app

import (
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/terrace-pki/terrace/controllers/approval"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/certificaterevocation"
	"github.com/terrace-pki/terrace/controllers/registrationauthority"
	"github.com/terrace-pki/terrace/internal/registration"
)

// office is what registration authorities work with: a CA, in this process or
// at the other end of a link, and a database of their own.
type office struct {
	issuer  registration.Issuer
	store   registration.Store
	metrics *certificaterequest.Metrics
}

func newOffice(issuer registration.Issuer, store registration.Store) office {
	return office{issuer, store, certificaterequest.NewMetrics(metrics.Registry)}
}

// setup registers the controllers of the kinds that people write.
func (o office) setup(mgr ctrl.Manager) error {
	client := mgr.GetClient()
	return setupAll(mgr, map[string]setupFunc{
		"RegistrationAuthority": (&registrationauthority.Reconciler{Client: client}).SetupWithManager,
		"CertificateRequest":    (&certificaterequest.Reconciler{Client: client, Issuer: o.issuer, Store: o.store, Metrics: o.metrics}).SetupWithManager,
		"Approval":              (&approval.Reconciler{Client: client, Store: o.store}).SetupWithManager,
		"CertificateRevocation": (&certificaterevocation.Reconciler{Client: client, Issuer: o.issuer}).SetupWithManager,
	})
}
