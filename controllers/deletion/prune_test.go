package deletion_test

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/controllers/deletion"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/controllers/validationservice"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/responder"
)

const pin = "only for this test"

// process is the controllers of one process, with a keystore that outlives it.
type process struct {
	*controllertest.Tier
	keystore   string
	devices    *cryptodevice.Reconciler
	validation *validationservice.Reconciler
}

func newProcess(t *testing.T) *process {
	p := &process{Tier: controllertest.New(t), keystore: filepath.Join(t.TempDir(), "keystore")}
	p.start(t)
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	responders := responder.New(p.Store, p.Authorities, time.Now)
	if err := responders.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.devices = &cryptodevice.Reconciler{Client: p.Client, Devices: p.Devices,
		Open: func(_ context.Context, _ string, _ pkiv1.CryptoDeviceSpec, secret []byte) (device.Device, error) {
			return software.Open(software.Config{Dir: p.keystore, Password: secret})
		},
		InUse: func(name string) deletion.InUse {
			return deletion.Device(p.Authorities, responders, time.Now, name)
		}}
	p.validation = &validationservice.Reconciler{Client: p.Client, Authorities: p.Authorities, Responders: responders}
}

// restart ends the process, its devices with it, and starts another one.
func (p *process) restart(t *testing.T) {
	t.Helper()
	if err := p.Devices.Remove(p.Namespace + "/token"); err != nil {
		t.Fatal(err)
	}
	p.Restart(t)
	p.start(t)
}

// declared is what Git has; issued is what the national root gave for it.
func (p *process) declared(issued *pkiv1.IndustryCASpec) []client.Object {
	token, validation := pkiv1.LocalObjectReference{Name: "token"}, &pkiv1.LocalObjectReference{Name: "validation"}
	industry, business := p.NewIndustryCA(), p.NewBusinessCA()
	industry.Spec.DeviceRef, industry.Spec.ValidationServiceRef = token, validation
	industry.Spec.RootCertificate, industry.Spec.Certificate = issued.RootCertificate, issued.Certificate
	business.Spec.DeviceRef, business.Spec.ValidationServiceRef = token, validation
	return []client.Object{
		&corev1.Secret{ObjectMeta: p.Meta("token"), Data: map[string][]byte{"pin": []byte(pin)}},
		&pkiv1.CryptoDevice{ObjectMeta: p.Meta("token"), Spec: pkiv1.CryptoDeviceSpec{
			Software: &pkiv1.SoftwareDevice{PasswordSecretRef: pkiv1.SecretKeyReference{Name: "token", Key: "pin"}}}},
		&pkiv1.ValidationService{ObjectMeta: p.Meta("validation"), Spec: pkiv1.ValidationServiceSpec{BaseURL: "http://validation.test", DeviceRef: &token,
			ResponderValidity: metav1.Duration{Duration: 72 * time.Hour}, ResponseValidity: metav1.Duration{Duration: time.Hour}}},
		industry, business,
	}
}

// pass lets every reconciler look at its object, and returns what is there.
func (p *process) pass(t *testing.T) map[string]step.Object {
	t.Helper()
	there := map[string]step.Object{}
	d, v, i, b := &pkiv1.CryptoDevice{}, &pkiv1.ValidationService{}, &pkiv1.IndustryCA{}, &pkiv1.BusinessCA{}
	for _, x := range []struct {
		kind, name string
		obj        step.Object
		reconcile  func() error
	}{
		{"CryptoDevice", "token", d, func() error { _, err := p.devices.Reconcile(t.Context(), d); return err }},
		{"IndustryCA", controllertest.IndustryName, i, func() error { _, err := p.Industry(p.Now).Reconcile(t.Context(), i); return err }},
		{"BusinessCA", controllertest.BusinessName, b, func() error { _, err := p.Business().Reconcile(t.Context(), b); return err }},
		{"ValidationService", "validation", v, func() error { _, err := p.validation.Reconcile(t.Context(), v); return err }},
	} {
		key := client.ObjectKey{Namespace: p.Namespace, Name: x.name}
		err := p.Client.Get(t.Context(), key, x.obj)
		if err == nil {
			if failure := x.reconcile(); failure != nil {
				t.Logf("%s: %v", x.kind, failure) // what it means is in its conditions
			}
			err = p.Client.Get(t.Context(), key, x.obj)
		}
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if err == nil {
			there[x.kind] = x.obj
		}
	}
	return there
}

// apply creates everything and brings it to Ready.
func (p *process) apply(t *testing.T, issued *pkiv1.IndustryCASpec) {
	t.Helper()
	for _, obj := range p.declared(issued) {
		p.Create(t, obj)
	}
	for range 3 {
		there := p.pass(t)
		if i := there["IndustryCA"].(*pkiv1.IndustryCA); len(i.Spec.Certificate) == 0 {
			issued.RootCertificate, issued.Certificate = p.Root.CertificatePEM(), p.Certify(t, i.Status.CertificateSigningRequest)
			i.Spec.RootCertificate, i.Spec.Certificate = issued.RootCertificate, issued.Certificate
			p.Update(t, i)
		}
	}
	for kind, obj := range p.pass(t) {
		if !step.IsReady(obj) {
			t.Fatalf("%s is %s: %s", kind, controllertest.Reason(obj, pkiv1.ConditionReady), controllertest.Message(obj, pkiv1.ConditionReady))
		}
	}
}

// facts are what must never change: certificates, and how many there are.
type facts struct {
	Industry, Business     string
	ByIndustry, ByBusiness int64
}

func (p *process) facts(t *testing.T) (f facts) {
	t.Helper()
	there := p.pass(t)
	f.Industry = string(there["IndustryCA"].(*pkiv1.IndustryCA).Status.Certificate)
	f.Business = string(there["BusinessCA"].(*pkiv1.BusinessCA).Status.Certificate)
	f.ByIndustry, f.ByBusiness = p.count(t, p.industryKey()), p.count(t, p.businessKey())
	return f
}

func (p *process) industryKey() authority.IssuerKey {
	return authority.IssuerKey{Authority: "IndustryCA/" + p.Namespace + "/" + controllertest.IndustryName, Generation: 1}
}

func (p *process) businessKey() authority.IssuerKey {
	return authority.IssuerKey{Authority: "BusinessCA/" + p.Namespace + "/" + controllertest.BusinessName, Generation: 1}
}

func (p *process) count(t *testing.T, key authority.IssuerKey) int64 {
	t.Helper()
	n, err := p.Authorities.Count(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// signsCRLs asks both CAs for a new list.
func (p *process) signsCRLs(t *testing.T) {
	t.Helper()
	for _, key := range []authority.IssuerKey{p.industryKey(), p.businessKey()} {
		before, _ := p.Authorities.CurrentCRL(t.Context(), key, 0) // absent at first
		crl, err := p.Authorities.Publish(t.Context(), key, 0)
		if err != nil || crl.Number <= before.Number {
			t.Errorf("CRL of %s: number %d after %d, error %v", key.Authority, crl.Number, before.Number, err)
		}
	}
}

// stays checks that every guarded object is Terminating and says why.
func (p *process) stays(t *testing.T) {
	t.Helper()
	there := p.pass(t)
	if got, want := slices.Sorted(maps.Keys(there)), []string{"BusinessCA", "CryptoDevice", "IndustryCA", "ValidationService"}; !slices.Equal(got, want) {
		t.Fatalf("there is %q, want %q", got, want)
	}
	for kind, obj := range there {
		if obj.GetDeletionTimestamp().IsZero() {
			t.Errorf("%s is not Terminating", kind)
		}
		if got := controllertest.Reason(obj, pkiv1.ConditionDeletable); got != "False/InUse" {
			t.Errorf("%s: Deletable: got %s, want False/InUse", kind, got)
		}
		if step.IsReady(obj) {
			t.Errorf("%s is Ready although it is Terminating", kind)
		}
	}
}

// orphan sets the policy on everything, by which it must go.
func (p *process) orphan(t *testing.T) {
	t.Helper()
	for _, obj := range p.pass(t) {
		if err := p.Client.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, withPolicy)); err != nil {
			t.Fatal(err)
		}
	}
	p.pass(t)
	if left := p.pass(t); len(left) != 0 {
		t.Fatalf("after Orphan there is still %q", slices.Sorted(maps.Keys(left)))
	}
}

// comesBack applies the same again, in a new process, and compares the facts.
func (p *process) comesBack(t *testing.T, issued *pkiv1.IndustryCASpec, before facts) {
	t.Helper()
	p.restart(t)
	p.apply(t, issued)
	if diff := cmp.Diff(before, p.facts(t)); diff != "" {
		t.Errorf("facts (-before +after):\n%s", diff)
	}
	var b pkiv1.BusinessCA
	if err := p.Client.Get(t.Context(), client.ObjectKey{Namespace: p.Namespace, Name: controllertest.BusinessName}, &b); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(&b, pkiv1.ConditionCertificateReady); got != "True/Adopted" {
		t.Errorf("CertificateReady: got %s, want True/Adopted", got)
	}
	p.signsCRLs(t)
}

// A prune without the webhook, in any order, loses nothing.
func TestPruneLosesNothing(t *testing.T) {
	for name, order := range map[string][]int{
		"as declared": {0, 1, 2, 3, 4}, "backwards": {4, 3, 2, 1, 0}, "mixed": {3, 1, 4, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t)
			var issued pkiv1.IndustryCASpec
			p.apply(t, &issued)
			before := p.facts(t)
			p.signsCRLs(t)

			objs := p.declared(&issued)
			for _, i := range order {
				if err := p.Client.Delete(t.Context(), objs[i]); err != nil {
					t.Fatal(err)
				}
				p.pass(t)
			}
			p.stays(t)
			p.signsCRLs(t)

			// Nobody guards the Secret here; its custodian brings it back. The next
			// process opens the device although its object is Terminating.
			p.Create(t, objs[0])
			p.restart(t)
			p.stays(t)
			p.signsCRLs(t)

			if err := p.Client.Create(t.Context(), objs[3]); !apierrors.IsAlreadyExists(err) {
				t.Errorf("apply while Terminating: got %v, want AlreadyExists", err)
			}
			p.orphan(t)
			p.signsCRLs(t) // the process holds the device until it ends
			if err := p.Client.Delete(t.Context(), objs[0]); err != nil {
				t.Fatal(err)
			}
			p.comesBack(t, &issued, before)
		})
	}
}

// The same for the namespace, which the API server takes apart by itself.
func TestNamespaceLosesNothing(t *testing.T) {
	p := newProcess(t)
	var issued pkiv1.IndustryCASpec
	p.apply(t, &issued)
	before := p.facts(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}}
	if err := p.Client.Delete(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	eventually := func(what string, is func(context.Context) bool) {
		t.Helper()
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) { return is(ctx), nil })
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	eventually("everything is Terminating", func(context.Context) bool {
		for _, obj := range p.pass(t) {
			if obj.GetDeletionTimestamp().IsZero() {
				return false
			}
		}
		return true
	})
	p.stays(t)
	p.signsCRLs(t)
	p.orphan(t)
	eventually("the namespace goes", func(ctx context.Context) bool {
		return apierrors.IsNotFound(p.Client.Get(ctx, client.ObjectKeyFromObject(ns), &corev1.Namespace{}))
	})
	p.Create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}})
	p.comesBack(t, &issued, before)
}

// What never delivered anything, and what has expired, goes at once.
func TestUnusedGoes(t *testing.T) {
	for name, tc := range map[string]struct {
		use   func(*testing.T, *controllertest.Tier)
		later time.Duration
		want  bool // is held
	}{
		"not issued to":  {func(*testing.T, *controllertest.Tier) {}, 0, false},
		"issued":         {func(t *testing.T, tier *controllertest.Tier) { tier.ReadyBusinessCA(t) }, 0, true},
		"issued, expiry": {func(t *testing.T, tier *controllertest.Tier) { tier.ReadyBusinessCA(t) }, 100 * 365 * 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			tier := controllertest.New(t)
			ca := tier.ReadyIndustryCA(t)
			tc.use(t, tier)
			if err := tier.Client.Delete(t.Context(), ca); err != nil {
				t.Fatal(err)
			}
			if err := tier.Client.Get(t.Context(), client.ObjectKeyFromObject(ca), ca); err != nil {
				t.Fatal(err)
			}
			if _, err := tier.Industry(tier.Now.Add(tc.later)).Reconcile(t.Context(), ca); err != nil {
				t.Fatal(err)
			}
			if err := tier.Client.Get(t.Context(), client.ObjectKeyFromObject(ca), ca); (err == nil) != tc.want {
				t.Errorf("held: %t (%v), want %t", err == nil, err, tc.want)
			}
		})
	}
}

// TestDeviceOfTrustListsIsHeld: the signer's key may be in another device than the CA's.
func TestDeviceOfTrustListsIsHeld(t *testing.T) {
	tier := controllertest.New(t)
	ca := tier.ReadyIndustryCA(t)
	tier.ReadyBusinessCA(t) // issued by it
	inUse := deletion.Device(tier.Authorities, responder.New(tier.Store, tier.Authorities, time.Now), time.Now, tier.Namespace+"/lists")
	for name, list := range map[string]*pkiv1.TrustListSpec{"none": nil, "declared": {Interval: metav1.Duration{Duration: time.Hour},
		Overlap: metav1.Duration{Duration: time.Hour}, DeviceRef: &pkiv1.LocalObjectReference{Name: "lists"}}} {
		ca.Spec.TrustList = list
		tier.Update(t, ca)
		if _, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
			t.Fatal(err)
		}
		why, err := inUse(t.Context())
		if err != nil || (why != "") != (list != nil) {
			t.Errorf("%s: in use because %q, %v", name, why, err)
		}
	}
}
