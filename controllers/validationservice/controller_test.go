package validationservice_test

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/validationservice"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

func newService(tier *controllertest.Tier) *pkiv1.ValidationService {
	return &pkiv1.ValidationService{ObjectMeta: tier.Meta("validation"), Spec: pkiv1.ValidationServiceSpec{
		BaseURL: "http://validation.test", DeviceRef: &pkiv1.LocalObjectReference{Name: controllertest.DeviceName},
		ResponderValidity: metav1.Duration{Duration: 72 * time.Hour}, ResponseValidity: metav1.Duration{Duration: time.Hour}}}
}

func reconciler(tier *controllertest.Tier) *validationservice.Reconciler {
	return &validationservice.Reconciler{Client: tier.Client, Authorities: tier.Authorities,
		Responders: responder.New(tier.Store, tier.Authorities, time.Now)}
}

func TestServesReadyCA(t *testing.T) {
	tier := controllertest.New(t)
	v := newService(tier)
	tier.Create(t, v)
	tier.ReadyIndustryCA(t)
	ca := tier.ReadyBusinessCA(t)

	r := reconciler(tier)
	result, err := controllertest.Reconcile(t, tier.Client, r, v)
	if err != nil || result.RequeueAfter <= 0 {
		t.Errorf("without a CA: got %v, error %v, want to be looked at again without one", result, err)
	}
	if got := controllertest.Reason(v, pkiv1.ConditionSpecAccepted); got != "True/Succeeded" {
		t.Errorf("SpecAccepted: got %s, want True/Succeeded", got)
	}
	if got := controllertest.Reason(v, pkiv1.ConditionResponderReady); got != "False/ReferenceNotReady" {
		t.Errorf("without a CA: ResponderReady: got %s, want False/ReferenceNotReady", got)
	}

	ca.Spec.ValidationServiceRef = &pkiv1.LocalObjectReference{Name: v.Name}
	tier.Update(t, ca)
	if _, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca); err != nil {
		t.Fatal(err)
	}
	if _, err := controllertest.Reconcile(t, tier.Client, r, v); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(v, pkiv1.ConditionReady); got != "True/Succeeded" || v.Status.ServedAuthorities != 1 {
		t.Errorf("with a CA: Ready %s, %d authorities served, want True/Succeeded and 1: %s", got, v.Status.ServedAuthorities,
			controllertest.Message(v, pkiv1.ConditionReady))
	}
}

func TestNotReady(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(*testing.T, *controllertest.Tier)
		want      string
		wantError bool
	}{
		"no CryptoDevice": {func(t *testing.T, tier *controllertest.Tier) { tier.Wipe(t) }, "False/ReferenceNotFound", false},
		"store closed": {func(t *testing.T, tier *controllertest.Tier) {
			if err := tier.Store.Close(); err != nil {
				t.Fatal(err)
			}
		}, "False/StoreUnavailable", true},
	} {
		t.Run(name, func(t *testing.T) {
			tier := controllertest.New(t)
			c.prepare(t, tier)
			v := newService(tier)
			tier.Create(t, v)
			if _, err := controllertest.Reconcile(t, tier.Client, reconciler(tier), v); (err != nil) != c.wantError {
				t.Errorf("got error %v, want one: %t", err, c.wantError)
			}
			if got := controllertest.Reason(v, pkiv1.ConditionSpecAccepted); got != c.want {
				t.Errorf("SpecAccepted: got %s, want %s", got, c.want)
			}
		})
	}
}
