// Package cryptodevice opens the crypto devices of the process and watches over them.
package cryptodevice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/deletion"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/device"
)

// checkInterval is how often an open device is looked at.
const checkInterval = 30 * time.Second

// ErrModuleNotAllowed: the process's own flags do not allow this module, library or keystore.
var ErrModuleNotAllowed = errors.New("not allowed on this host")

// ErrProfileUnknown: no mechanism profile of this name.
var ErrProfileUnknown = errors.New("unknown mechanism profile")

// Opener opens the device that a spec names. It keeps no copy of the secret.
type Opener func(ctx context.Context, name string, spec pkiv1.CryptoDeviceSpec, secret []byte) (device.Device, error)

// Reconciler reconciles CryptoDevice.
type Reconciler struct {
	Client  client.Client
	Devices *device.Registry
	Open    Opener
	// Metrics that show the devices; nil shows them nowhere.
	Metrics *Metrics
	// InUse says whether a device ("namespace/name") is needed; nil: none is
	// held when it is deleted.
	InUse func(name string) deletion.InUse

	mu   sync.Mutex
	open map[string]string // name → what the open device was opened from
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return r.controller(mgr).Named("cryptodevice").Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func (r *Reconciler) controller(mgr ctrl.Manager) *ctrl.Builder {
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.CryptoDevice{}).
		Watches(&corev1.Secret{}, step.EnqueueNeighbours(r.Client, &pkiv1.CryptoDeviceList{}, func(item, changed client.Object) bool {
			return item.GetNamespace() == changed.GetNamespace() && secretRef(&item.(*pkiv1.CryptoDevice).Spec).Name == changed.GetName()
		}))
}

// Reconcile opens the device, remembers a refused PIN, and runs the self-test.
func (r *Reconciler) Reconcile(ctx context.Context, obj *pkiv1.CryptoDevice) (ctrl.Result, error) {
	name := obj.Namespace + "/" + obj.Name
	var inUse deletion.InUse
	if r.InUse != nil {
		inUse = r.InUse(name)
	}
	guarded, err := deletion.Guard(ctx, r.Client, obj, obj.Spec.DeletionPolicy, inUse)
	if guarded.Gone {
		r.Metrics.forget(name)
	}
	if err != nil || guarded.Gone {
		return ctrl.Result{}, err // the keys stay in the device, and the services go on with it
	}
	// One that is held is opened all the same: after a restart the CRLs need it.
	result, err := step.Run(ctx, r.Client, obj, checkInterval, append([]step.Step{
		{Condition: pkiv1.ConditionReachable, Do: func(ctx context.Context) error {
			err := r.ensureOpen(ctx, name, obj)
			if why := (*step.Succeeded)(nil); err != nil && !errors.As(err, &why) {
				setRedundant(obj, metav1.ConditionFalse, pkiv1.ReasonDeviceUnavailable, "neither device works")
			}
			return err
		}},
		{Condition: pkiv1.ConditionSelfTestPassed, Do: func(ctx context.Context) error {
			err := r.selfTest(ctx, name)
			r.checkRedundant(ctx, name, obj)
			return err
		}}}, guarded.Held...)...)
	r.Metrics.show(name, obj)
	return result, err
}

func (r *Reconciler) ensureOpen(ctx context.Context, name string, obj *pkiv1.CryptoDevice) error {
	ref := secretRef(&obj.Spec)
	var secret corev1.Secret
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: ref.Name}, &secret); err != nil {
		if apierrors.IsNotFound(err) {
			return step.Waiting(pkiv1.ReasonReferenceNotFound, "Secret %q is not there; create it with key %q", ref.Name, ref.Key)
		}
		return err
	}
	value, ok := secret.Data[ref.Key]
	if !ok || len(value) == 0 {
		return step.Waiting(pkiv1.ReasonReferenceNotFound, "Secret %q has no key %q", ref.Name, ref.Key)
	}
	open := func() (device.Device, error) { return r.Open(ctx, name, obj.Spec, value) }
	if obj.Status.RefusedPINResourceVersion == secret.ResourceVersion {
		if obj.Spec.StandbyRef == nil {
			return step.Stalled(pkiv1.ReasonPINRefused, "the device refused the PIN of Secret %q; it is not tried again until the Secret changes", ref.Name)
		}
		// Another process knows of it, and the standby does not need that PIN.
		open = func() (device.Device, error) { return nil, &device.PINError{Device: name} }
	}
	info, err := r.openOnce(ctx, name, obj, fmt.Sprintf("%s/%d/%s", obj.UID, obj.Generation, secret.ResourceVersion), open)
	if err == nil {
		obj.Status.Label, obj.Status.SerialNumber, obj.Status.Model = info.Label, info.SerialNumber, info.Model
		return r.whoWorks(name, obj, secret.ResourceVersion)
	}
	var pin *device.PINError
	switch {
	case errors.As(err, &pin) && pin.LastTry:
		// Only the token's flags are read: no try is spent by looking again.
		return &step.NotReady{Reason: pkiv1.ReasonPINLastTry, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.As(err, &pin):
		obj.Status.RefusedPINResourceVersion = secret.ResourceVersion
		return step.Stalled(pkiv1.ReasonPINRefused, "%v", err)
	case errors.Is(err, ErrModuleNotAllowed):
		return step.Stalled(pkiv1.ReasonModuleNotAllowed, "%v", err)
	case errors.Is(err, ErrProfileUnknown):
		return step.Stalled(pkiv1.ReasonProfileUnknown, "%v", err)
	}
	return step.Failed(pkiv1.ReasonDeviceUnavailable, err)
}

// openOnce opens the device unless it is open from the same object and secret.
// A device that works is replaced only by one that was reached: a mistyped PIN
// must not take the CA down.
func (r *Reconciler) openOnce(ctx context.Context, name string, obj *pkiv1.CryptoDevice, version string, open func() (device.Device, error)) (device.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[name] == version {
		dev, err := r.Devices.Get(name)
		if err != nil {
			return device.Info{}, err
		}
		return infoOf(ctx, dev)
	}
	own, openErr := open()
	if openErr != nil && obj.Spec.StandbyRef == nil {
		return device.Info{}, openErr
	}
	group := r.group(name, obj, own, openErr)
	info, err := infoOf(ctx, group)
	if first := group.Members()[0].Err; err == nil && first != nil && r.firstWorks(name) {
		err = first // a standby that answers is no reason to give up the first one
	}
	if err != nil {
		return info, errors.Join(err, group.Close())
	}
	if r.open == nil {
		r.open = map[string]string{}
	}
	delete(r.open, name) // what could not be opened is opened again next time, unless its PIN is to blame
	if pin := (*device.PINError)(nil); openErr == nil || errors.As(openErr, &pin) {
		r.open[name] = version
	}
	if err := r.Devices.Put(name, group); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "close the device that was replaced")
	}
	return info, nil
}

func (r *Reconciler) selfTest(ctx context.Context, name string) error {
	dev, err := r.Devices.Get(name)
	if err != nil {
		return step.Failed(pkiv1.ReasonDeviceUnavailable, err)
	}
	if err := dev.SelfTest(ctx); err != nil {
		return step.Failed(pkiv1.ReasonSelfTestFailed, err)
	}
	return nil
}

func secretRef(s *pkiv1.CryptoDeviceSpec) pkiv1.SecretKeyReference {
	switch {
	case s.PKCS11 != nil:
		return s.PKCS11.PINSecretRef
	case s.SDF != nil:
		return s.SDF.PasswordSecretRef
	case s.Software != nil:
		return s.Software.PasswordSecretRef
	}
	return pkiv1.SecretKeyReference{}
}
