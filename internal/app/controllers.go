package app

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/terrace-pki/terrace/controllers/businessca"
	"github.com/terrace-pki/terrace/controllers/certificateprofile"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/controllers/industryca"
	"github.com/terrace-pki/terrace/controllers/registrationauthority"
	"github.com/terrace-pki/terrace/controllers/validationservice"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/responder"
)

// setupControllers registers the controller of each kind.
func setupControllers(mgr ctrl.Manager, c Config, devices *device.Registry, reachable *prometheus.GaugeVec, authorities *authority.Service, responders *responder.Service) error {
	client := mgr.GetClient()
	for kind, setup := range map[string]func(ctrl.Manager) error{
		"CryptoDevice":          (&cryptodevice.Reconciler{Client: client, Devices: devices, Open: c.opener(), Reachable: reachable}).SetupWithManager,
		"IndustryCA":            (&industryca.Reconciler{Client: client, Authorities: authorities, Now: time.Now}).SetupWithManager,
		"BusinessCA":            (&businessca.Reconciler{Client: client, Authorities: authorities, Now: time.Now}).SetupWithManager,
		"CertificateProfile":    (&certificateprofile.Reconciler{Client: client}).SetupWithManager,
		"RegistrationAuthority": (&registrationauthority.Reconciler{Client: client}).SetupWithManager,
		"CertificateRequest":    (&certificaterequest.Reconciler{Client: client, Authorities: authorities}).SetupWithManager,
		"ValidationService":     (&validationservice.Reconciler{Client: client, Responders: responders, Authorities: authorities}).SetupWithManager,
	} {
		if err := setup(mgr); err != nil {
			return fmt.Errorf("set up controller of %s: %w", kind, err)
		}
	}
	return nil
}
