package cryptodevice

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/device"
)

// group is the device of an object, own or why it could not be opened, with the
// standby that the object names.
func (r *Reconciler) group(name string, obj *pkiv1.CryptoDevice, own device.Device, openErr error) *device.Group {
	first := device.Member{Name: name, Get: func() (device.Device, error) { return own, openErr }}
	if obj.Spec.StandbyRef == nil {
		return device.NewGroup(first, nil)
	}
	standby := obj.Namespace + "/" + obj.Spec.StandbyRef.Name
	return device.NewGroup(first, &device.Member{Name: standby, Get: func() (device.Device, error) { return r.Devices.Own(standby) }})
}

// infoOf is Info. Of two that fail, the error is the first one's, as it is: a
// refused PIN must be known for one, or it is tried again and again.
func infoOf(ctx context.Context, dev device.Device) (device.Info, error) {
	info, err := dev.Info(ctx)
	if g, ok := dev.(*device.Group); ok && err != nil && ctx.Err() == nil {
		if first := g.Members()[0].Err; first != nil {
			err = first
		}
	}
	return info, err
}

// whoWorks is the outcome of a device that answers: itself, or its standby.
func (r *Reconciler) whoWorks(name string, obj *pkiv1.CryptoDevice, secretVersion string) error {
	members := r.Devices.Members()[name]
	if len(members) < 2 || members[0].Err == nil {
		obj.Status.RefusedPINResourceVersion = ""
		return nil
	}
	var pin *device.PINError
	if errors.As(members[0].Err, &pin) && !pin.LastTry {
		obj.Status.RefusedPINResourceVersion = secretVersion
	}
	return &step.Succeeded{Reason: pkiv1.ReasonStandbyActive, Message: fmt.Sprintf("the standby %s works in its place: %v", members[1].Name, members[0].Err)}
}

// checkRedundant says in a condition whether the standby could step in now. It does
// not touch Ready: the device works without.
func (r *Reconciler) checkRedundant(ctx context.Context, name string, obj *pkiv1.CryptoDevice) {
	dev, err := r.Devices.Get(name)
	group, ok := dev.(*device.Group)
	if err != nil || !ok {
		setRedundant(obj, metav1.ConditionFalse, pkiv1.ReasonDeviceUnavailable, "the device is not open in this process")
		return
	}
	keys, err := group.CheckRedundant(ctx)
	switch {
	case err == nil && keys == 0:
		setRedundant(obj, metav1.ConditionTrue, pkiv1.ReasonSucceeded, "both devices work; no key is in use yet")
	case err == nil:
		setRedundant(obj, metav1.ConditionTrue, pkiv1.ReasonSucceeded, fmt.Sprintf("both devices work; %d keys in use are the same in both", keys))
	case errors.Is(err, device.ErrKeyNotFound):
		setRedundant(obj, metav1.ConditionFalse, pkiv1.ReasonKeyMissing, err.Error()+"; copy it by the maker's tool")
	case errors.Is(err, device.ErrKeyDiffers):
		setRedundant(obj, metav1.ConditionFalse, pkiv1.ReasonKeyDiffers, err.Error())
	default:
		setRedundant(obj, metav1.ConditionFalse, pkiv1.ReasonDeviceUnavailable, err.Error())
	}
}

// setRedundant writes the condition of an object that names a standby; another one has none.
func setRedundant(obj *pkiv1.CryptoDevice, status metav1.ConditionStatus, reason, message string) {
	if obj.Spec.StandbyRef == nil {
		meta.RemoveStatusCondition(&obj.Status.Conditions, pkiv1.ConditionRedundant)
		return
	}
	meta.SetStatusCondition(&obj.Status.Conditions, metav1.Condition{Type: pkiv1.ConditionRedundant, Status: status, Reason: reason,
		Message: step.Shorten(message), ObservedGeneration: obj.Generation})
}

// Collector tells Prometheus what the members of each open device did.
type Collector struct{ Devices *device.Registry }

var (
	memberWorking = prometheus.NewDesc("terrace_crypto_device_member_working",
		"1 when this member of the crypto device works, 0 while it is left out.", []string{"device", "member"}, nil)
	memberSignatures = prometheus.NewDesc("terrace_crypto_device_signatures_total",
		"Signatures that this member of the crypto device was asked for, by result.", []string{"device", "member", "result"}, nil)
)

// Describe implements prometheus.Collector.
func (c Collector) Describe(to chan<- *prometheus.Desc) {
	to <- memberWorking
	to <- memberSignatures
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(to chan<- prometheus.Metric) {
	for name, members := range c.Devices.Members() {
		for _, m := range members {
			working := 1.0
			if m.Err != nil {
				working = 0
			}
			to <- prometheus.MustNewConstMetric(memberWorking, prometheus.GaugeValue, working, name, m.Name)
			to <- prometheus.MustNewConstMetric(memberSignatures, prometheus.CounterValue, float64(m.Signed), name, m.Name, "made")
			to <- prometheus.MustNewConstMetric(memberSignatures, prometheus.CounterValue, float64(m.Failed), name, m.Name, "failed")
		}
	}
}

// firstWorks says whether a device is open whose own member works.
func (r *Reconciler) firstWorks(name string) bool {
	members := r.Devices.Members()[name]
	return len(members) > 0 && members[0].Err == nil
}
