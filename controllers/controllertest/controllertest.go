// Package controllertest gives the tests of the controllers a tier to work on:
// a namespace of a real API server, a ledger, a software keystore, and a
// national root. Only tests import it.
package controllertest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/trustsigner"
	"github.com/terrace-pki/terrace/test/apiserver"
)

// DeviceName is the CryptoDevice of every Tier.
const DeviceName = "hsm"

// password of the keystores, which last as long as their test.
const password = "only for this test"

// What the tests of a package share; Main sets it.
var (
	server    *apiserver.Server
	openStore StoreOpener
)

// StoreOpener opens the ledger in a file and takes it over. The test names the
// adapter: no package below controllers may, this one included.
type StoreOpener func(ctx context.Context, path string) (authority.Store, error)

// Main runs the tests of a package below controllers with an API server that
// has Terrace's kinds.
func Main(m *testing.M, open StoreOpener) {
	openStore = open
	os.Exit(apiserver.Main(m, func(s *apiserver.Server) error {
		server = s
		return apiserver.InstallCRDs(s.Config, "../../config/crd")
	}))
}

// Tier is what the controllers of one process work with.
type Tier struct {
	Client      client.Client
	Namespace   string
	Store       authority.Store
	Devices     *device.Registry
	Device      device.Device
	Authorities *authority.Service
	TrustLists  *trustsigner.Service
	Root        *nationalroot.Root
	// Now is the root's first moment; the ledger and the authorities use time.Now.
	Now time.Time

	ledger string
}

// New returns a tier in a namespace of its own whose CryptoDevice is open.
func New(t testing.TB) *Tier {
	t.Helper()
	dir := t.TempDir()
	tier := &Tier{Client: NewClient(t), Namespace: server.Namespace(t), Devices: device.NewRegistry(), Now: time.Now(),
		ledger: filepath.Join(dir, "ledger.db")}
	t.Cleanup(func() { _ = tier.Devices.Close() })
	tier.Root = NewRoot(t, tier.Now)
	dev, err := software.Open(software.Config{Dir: filepath.Join(dir, "keystore"), Password: []byte(password)})
	if err != nil {
		t.Fatal(err)
	}
	tier.Device = dev
	if err := tier.Devices.Put(tier.Namespace+"/"+DeviceName, dev); err != nil {
		t.Fatal(err)
	}
	tier.DeclareDevice(t)
	tier.start(t)
	return tier
}

// DeclareDevice creates the CryptoDevice object.
func (tier *Tier) DeclareDevice(t testing.TB) {
	t.Helper()
	tier.Create(t, &pkiv1.CryptoDevice{ObjectMeta: tier.Meta(DeviceName), Spec: pkiv1.CryptoDeviceSpec{
		Software: &pkiv1.SoftwareDevice{PasswordSecretRef: pkiv1.SecretKeyReference{Name: DeviceName, Key: "password"}}}})
}

// Restart closes the ledger and brings a new process's authorities up on it.
func (tier *Tier) Restart(t testing.TB) {
	t.Helper()
	if err := tier.Store.Close(); err != nil {
		t.Fatal(err)
	}
	tier.start(t)
}

func (tier *Tier) start(t testing.TB) {
	t.Helper()
	store, err := openStore(t.Context(), tier.ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // a second Close is harmless
	tier.Store = store
	tier.Authorities = authority.New(authority.Config{Store: store, Keys: tier.Devices})
	tier.TrustLists = trustsigner.New(trustsigner.Config{Store: store, Authorities: tier.Authorities})
	if err := tier.Authorities.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Wipe deletes every object of Terrace in the namespace, as the loss of etcd would.
func (tier *Tier) Wipe(t testing.TB) {
	t.Helper()
	for _, list := range []client.ObjectList{&pkiv1.ApprovalList{}, &pkiv1.CertificateRevocationList{}, &pkiv1.CertificateRequestList{}, &pkiv1.RegistrationAuthorityList{}, &pkiv1.CertificateProfileList{},
		&pkiv1.BusinessCAList{}, &pkiv1.IndustryCAList{}, &pkiv1.ValidationServiceList{}, &pkiv1.CryptoDeviceList{}} {
		if err := tier.Client.List(t.Context(), list, client.InNamespace(tier.Namespace)); err != nil {
			t.Fatal(err)
		}
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			tier.Delete(t, o.(client.Object))
			return nil
		})
	}
}

// Meta is the metadata of a new object.
func (tier *Tier) Meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: tier.Namespace, Name: name}
}

// Create creates an object.
func (tier *Tier) Create(t testing.TB, obj client.Object) {
	t.Helper()
	if err := tier.Client.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// Update writes an object's spec.
func (tier *Tier) Update(t testing.TB, obj client.Object) {
	t.Helper()
	if err := tier.Client.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// Delete deletes an object at once, whatever finalizer holds it.
func (tier *Tier) Delete(t testing.TB, obj client.Object) {
	t.Helper()
	if err := tier.Client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	tier.letGo(t, obj)
}

// letGo takes the finalizers off an object that is Terminating.
func (tier *Tier) letGo(t testing.TB, obj client.Object) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	gone := obj.DeepCopyObject().(client.Object) // the caller's stays as it was
	if err := client.IgnoreNotFound(tier.Client.Patch(t.Context(), gone, patch)); err != nil {
		t.Fatal(err)
	}
}

// Secret creates a Secret with one entry.
func (tier *Tier) Secret(t testing.TB, name, key, value string) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: tier.Meta(name), Data: map[string][]byte{key: []byte(value)}}
	tier.Create(t, s)
	return s
}

// Reconcile reads obj, reconciles it, and reads it again, so that obj is what
// the API server has.
func Reconcile[T step.Object](t testing.TB, c client.Client, r reconcile.ObjectReconciler[T], obj T) (ctrl.Result, error) {
	t.Helper()
	key := client.ObjectKeyFromObject(obj)
	if err := c.Get(t.Context(), key, obj); err != nil {
		t.Fatal(err)
	}
	result, failure := r.Reconcile(t.Context(), obj)
	if err := c.Get(t.Context(), key, obj); err != nil {
		t.Fatal(err)
	}
	return result, failure
}

// Reason is an object's condition as "status/reason", e.g. "False/PINRefused".
func Reason(obj step.Object, condition string) string {
	c := meta.FindStatusCondition(obj.GetObjectStatus().Conditions, condition)
	if c == nil {
		return "absent"
	}
	return string(c.Status) + "/" + c.Reason
}

// Message is the message of an object's condition.
func Message(obj step.Object, condition string) string {
	if c := meta.FindStatusCondition(obj.GetObjectStatus().Conditions, condition); c != nil {
		return c.Message
	}
	return ""
}

// Config is a client configuration of the API server, for a manager.
func Config() *rest.Config { return rest.CopyConfig(server.Config) }

// NewClient returns a client that reads from the API server, not from a cache.
func NewClient(t testing.TB) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := pkiv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// NewRoot makes a national root with a key of its own. All have the same name.
func NewRoot(t testing.TB, now time.Time) *nationalroot.Root {
	t.Helper()
	root, err := nationalroot.Open(t.Context(), t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	return root
}
