package industryca_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/authority"
)

func trustList(device string) *pkiv1.TrustListSpec {
	s := &pkiv1.TrustListSpec{Interval: metav1.Duration{Duration: 24 * time.Hour}, Overlap: metav1.Duration{Duration: 24 * time.Hour}}
	if device != "" {
		s.DeviceRef = &pkiv1.LocalObjectReference{Name: device}
	}
	return s
}

func TestTrustListIsShown(t *testing.T) {
	tier := controllertest.New(t)
	ca := tier.ReadyIndustryCA(t)
	key := authority.IssuerKey{Authority: "IndustryCA/" + ca.Namespace + "/" + ca.Name, Generation: 1}
	reconcile := func(want, message string) {
		t.Helper()
		if _, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
			t.Fatal(err)
		}
		if got := controllertest.Reason(ca, pkiv1.ConditionTrustListPublished); got != want {
			t.Errorf("TrustListPublished is %s, want %s", got, want)
		}
		if got := controllertest.Message(ca, pkiv1.ConditionTrustListPublished); !strings.Contains(got, message) {
			t.Errorf("message %q, want %q", got, message)
		}
		if got := controllertest.Reason(ca, pkiv1.ConditionReady); got != "True/Succeeded" {
			t.Errorf("Ready is %s: a trust list must stop nothing", got)
		}
	}
	ca.Spec.TrustList = trustList("")
	tier.Update(t, ca)
	reconcile("False/Progressing", "first list")
	if _, err := tier.TrustLists.Ensure(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	reconcile("True/Succeeded", "")
	shown := ca.Status.TrustList
	if shown == nil || shown.Entries != 2 || shown.SequenceNumber < 1 || !shown.NextUpdate.Equal(&metav1.Time{Time: shown.ThisUpdate.Add(48 * time.Hour)}) {
		t.Fatalf("status shows %+v, want root and CA for 48 hours", shown)
	}

	// The set of CAs changed, and the signer's device is away.
	tier.ReadyBusinessCA(t)
	if err := tier.Devices.Remove(ca.Namespace + "/" + controllertest.DeviceName); err != nil {
		t.Fatal(err)
	}
	if _, err := tier.TrustLists.Ensure(t.Context(), key); err == nil {
		t.Fatal("a list was signed without a device")
	}
	if _, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(ca, pkiv1.ConditionTrustListPublished); got != "Unknown/Progressing" {
		t.Errorf("TrustListPublished is %s while the key is away", got)
	}
}

// A signer's device that is away stops no CA.
func TestTrustListOfADeviceThatIsAway(t *testing.T) {
	tier := controllertest.New(t)
	ca := tier.ReadyIndustryCA(t)
	ca.Spec.TrustList = trustList("lists")
	tier.Update(t, ca)
	reconcile := func(want, message string) {
		t.Helper()
		result, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca)
		if err != nil || result.RequeueAfter != 10*time.Second && ca.Spec.TrustList != nil {
			t.Errorf("got %v, %v, want to be looked at again soon", result, err)
		}
		if got := controllertest.Reason(ca, pkiv1.ConditionTrustListPublished); got != want {
			t.Errorf("TrustListPublished is %s, want %s", got, want)
		}
		if got := controllertest.Message(ca, pkiv1.ConditionTrustListPublished); !strings.Contains(got, message) {
			t.Errorf("message %q, want %q", got, message)
		}
		if got := controllertest.Reason(ca, pkiv1.ConditionReady); got != "True/Succeeded" {
			t.Errorf("Ready is %s: a trust list must stop nothing", got)
		}
	}
	reconcile("False/Progressing", "first list")
	key := authority.IssuerKey{Authority: "IndustryCA/" + ca.Namespace + "/" + ca.Name, Generation: 1}
	if _, err := tier.TrustLists.Ensure(t.Context(), key); err == nil {
		t.Fatal("a list was signed without a device")
	}
	reconcile("False/DeviceUnavailable", "there is none")
	ca.Spec.TrustList = nil
	tier.Update(t, ca)
	reconcile("absent", "")
	if ca.Status.TrustList != nil {
		t.Errorf("status still shows %+v", ca.Status.TrustList)
	}
}

func TestTrustListDeviceIsImmutable(t *testing.T) {
	tier := controllertest.New(t)
	ca := tier.NewIndustryCA()
	ca.Spec.TrustList = trustList("lists")
	tier.Create(t, ca)
	for name, change := range map[string]func(*pkiv1.TrustListSpec){
		"another":   func(s *pkiv1.TrustListSpec) { s.DeviceRef = &pkiv1.LocalObjectReference{Name: "other"} },
		"none":      func(s *pkiv1.TrustListSpec) { s.DeviceRef = nil },
		"too often": func(s *pkiv1.TrustListSpec) { s.Interval = metav1.Duration{Duration: time.Second} },
		"too long":  func(s *pkiv1.TrustListSpec) { s.Overlap = metav1.Duration{Duration: 4321 * time.Hour} },
	} {
		changed := ca.DeepCopy()
		change(changed.Spec.TrustList)
		if err := tier.Client.Update(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "trustList.") {
			t.Errorf("%s: got %v, want a refusal that names the field", name, err)
		}
	}
}
