package webhooks

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// Cures that more than one kind has.
const (
	cureUsers = "delete those first, or have them name another one"
	cureHeld  = "set spec.deletionPolicy: Orphan to let the object go; keys and facts stay, and the same YAML finds them again"
)

func checkCryptoDevice(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: "delete those first; their keys stay in the device, whatever is deleted here"}
	err := d.eachCA(ctx, obj.GetNamespace(), func(kind string, ca client.Object, spec *pkiv1.CACommon) bool {
		return (spec.DeviceRef.Name == obj.GetName() || signsLists(ca, obj.GetName())) && o.add(named(kind, ca))
	})
	if err != nil {
		return o, err
	}
	err = d.eachValidationService(ctx, obj.GetNamespace(), func(v *pkiv1.ValidationService) bool {
		return v.Spec.DeviceRef != nil && v.Spec.DeviceRef.Name == obj.GetName() && o.add(named("ValidationService", v))
	})
	if err != nil {
		return o, err
	}
	// Of two that stand by for each other either may go first, or none could.
	own := obj.(*pkiv1.CryptoDevice).Spec.StandbyRef
	return o, d.eachDevice(ctx, obj.GetNamespace(), func(other *pkiv1.CryptoDevice) bool {
		standby := other.Spec.StandbyRef
		mutual := own != nil && own.Name == other.Name
		return standby != nil && standby.Name == obj.GetName() && !mutual && o.add(named("CryptoDevice", other))
	})
}

// signsLists says whether a CA's trust lists are signed in a device.
func signsLists(ca client.Object, device string) bool {
	i, ok := ca.(*pkiv1.IndustryCA)
	return ok && i.Spec.TrustList != nil && i.Spec.TrustList.DeviceRef != nil && i.Spec.TrustList.DeviceRef.Name == device
}

func checkIndustryCA(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	ca := obj.(*pkiv1.IndustryCA)
	o := objection{cure: cureUsers}
	err := d.eachBusinessCA(ctx, ca.Namespace, func(b *pkiv1.BusinessCA) bool {
		ref := b.Spec.Issuer.IndustryCARef
		return ref != nil && ref.Name == ca.Name && o.add(named("BusinessCA", b))
	})
	if err != nil || len(o.users) > 0 {
		return o, err
	}
	return liveCertificates(&ca.Spec.CACommon, &ca.Status.CAStatus, d.now()), nil
}

func checkBusinessCA(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	ca := obj.(*pkiv1.BusinessCA)
	o := objection{cure: cureUsers}
	err := d.eachBusinessCA(ctx, ca.Namespace, func(b *pkiv1.BusinessCA) bool {
		ref := b.Spec.Issuer.BusinessCARef
		return ref != nil && ref.Name == ca.Name && o.add(named("BusinessCA", b))
	})
	if err != nil {
		return o, err
	}
	err = d.eachRA(ctx, ca.Namespace, func(ra *pkiv1.RegistrationAuthority) bool {
		return ra.Spec.BusinessCARef.Name == ca.Name && o.add(named("RegistrationAuthority", ra))
	})
	if err != nil || len(o.users) > 0 {
		return o, err
	}
	return liveCertificates(&ca.Spec.CACommon, &ca.Status, d.now()), nil
}

// liveCertificates judges by status, which may be 30 s old; the finalizer
// judges by the ledger.
func liveCertificates(spec *pkiv1.CACommon, st *pkiv1.CAStatus, now time.Time) objection {
	expired := st.NotAfter != nil && !st.NotAfter.After(now)
	if spec.DeletionPolicy == pkiv1.DeletionOrphan || st.IssuedCertificates == 0 || expired {
		return objection{}
	}
	held := fmt.Sprintf("delivered %d certificates, which may be valid", st.IssuedCertificates)
	if st.NotAfter != nil {
		held += " until " + st.NotAfter.UTC().Format(time.RFC3339)
	}
	return objection{held: held, cure: cureHeld}
}

func checkValidationService(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: cureUsers}
	return o, d.eachCA(ctx, obj.GetNamespace(), func(kind string, ca client.Object, spec *pkiv1.CACommon) bool {
		return spec.ValidationServiceRef != nil && spec.ValidationServiceRef.Name == obj.GetName() && o.add(named(kind, ca))
	})
}

func checkDirectory(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: cureUsers}
	return o, d.eachCA(ctx, obj.GetNamespace(), func(kind string, ca client.Object, spec *pkiv1.CACommon) bool {
		for _, ref := range spec.DirectoryRefs {
			if ref.Name == obj.GetName() {
				return o.add(named(kind, ca))
			}
		}
		return false
	})
}

func checkRegistrationAuthority(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: "wait until they are finished, or delete them"}
	names := func(from client.Object, ref pkiv1.NamespacedReference) bool { return refersTo(from, ref, obj) }
	err := d.eachRequest(ctx, func(r *pkiv1.CertificateRequest) bool {
		return !isFinished(r) && names(r, r.Spec.RegistrationAuthorityRef) && o.add(elsewhere("CertificateRequest", r, obj))
	})
	if err != nil {
		return o, err
	}
	return o, d.eachRevocation(ctx, func(r *pkiv1.CertificateRevocation) bool {
		ref := r.Spec.RegistrationAuthorityRef
		return !isPerformed(r) && ref != nil && names(r, *ref) && o.add(elsewhere("CertificateRevocation", r, obj))
	})
}

func checkCertificateProfile(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: "take it out of spec.allowedProfiles there, and have the requests finished or deleted"}
	err := d.eachRA(ctx, obj.GetNamespace(), func(ra *pkiv1.RegistrationAuthority) bool {
		for _, name := range ra.Spec.AllowedProfiles {
			if name == obj.GetName() {
				return o.add(named("RegistrationAuthority", ra))
			}
		}
		return false
	})
	if err != nil {
		return o, err
	}
	return o, d.eachRequest(ctx, func(r *pkiv1.CertificateRequest) bool {
		ref := pkiv1.NamespacedReference{Name: r.Spec.ProfileRef.Name, Namespace: r.Spec.RegistrationAuthorityRef.Namespace}
		return !isFinished(r) && refersTo(r, ref, obj) && o.add(elsewhere("CertificateRequest", r, obj))
	})
}

func checkSecret(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: "delete those first, or have them name another Secret"}
	is := func(ref *pkiv1.SecretKeyReference) bool { return ref != nil && ref.Name == obj.GetName() }
	err := d.eachDevice(ctx, obj.GetNamespace(), func(dev *pkiv1.CryptoDevice) bool {
		used := dev.Spec.PKCS11 != nil && is(&dev.Spec.PKCS11.PINSecretRef) || dev.Spec.Software != nil && is(&dev.Spec.Software.PasswordSecretRef) ||
			dev.Spec.SDF != nil && is(&dev.Spec.SDF.PasswordSecretRef)
		return used && o.add(named("CryptoDevice", dev))
	})
	if err != nil {
		return o, err
	}
	err = d.eachDirectory(ctx, obj.GetNamespace(), func(dir *pkiv1.Directory) bool {
		used := is(&dir.Spec.Master.PasswordSecretRef) || dir.Spec.Reader != nil && is(&dir.Spec.Reader.PasswordSecretRef)
		for i := range dir.Spec.Slaves {
			used = used || is(&dir.Spec.Slaves[i].PasswordSecretRef)
		}
		return used && o.add(named("Directory", dir))
	})
	if err != nil {
		return o, err
	}
	return o, d.eachRequest(ctx, func(r *pkiv1.CertificateRequest) bool {
		used := false
		for i := range r.Spec.Identity {
			used = used || is(r.Spec.Identity[i].SecretRef)
		}
		return used && !isFinished(r) && o.add(named("CertificateRequest", r))
	}, client.InNamespace(obj.GetNamespace()))
}

// checkTier counts what joined the tier, and the tiers below it.
func checkTier(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: "delete those first, or take spec.tierRef or spec.upstream out of them"}
	err := d.eachOwned(ctx, obj.GetNamespace(), func(kind string, m owned) bool {
		ref := m.GetTierRef()
		return ref != nil && ref.Name == obj.GetName() && o.add(named(kind, m))
	})
	if err != nil {
		return o, err
	}
	return o, d.eachTier(ctx, func(t *pkiv1.Tier) bool {
		up := t.Spec.Upstream
		return up != nil && up.TierRef != nil && refersTo(t, *up.TierRef, obj) && o.add(elsewhere("Tier", t, obj))
	})
}

// checkNamespace looks once for everything in it that is protected: what has
// deletionPolicy Protect, and RAs that requests elsewhere wait for.
func checkNamespace(ctx context.Context, d *deletion, obj client.Object) (objection, error) {
	o := objection{cure: "delete the objects first, each says what it waits for; or set spec.deletionPolicy: Orphan on each, so that the namespace may go: " +
		"keys and facts stay, and the same YAML finds them again"}
	var ras []*pkiv1.RegistrationAuthority
	err := d.eachOwned(ctx, obj.GetName(), func(kind string, m owned) bool {
		if ra, ok := m.(*pkiv1.RegistrationAuthority); ok {
			ras = append(ras, ra)
		}
		return m.GetDeletionPolicy() != pkiv1.DeletionOrphan && o.add(named(kind, m))
	})
	if err == nil && len(o.users) > 0 {
		o.held = "holds what is protected (" + o.list() + ")"
		return o, nil
	}
	for _, ra := range ras {
		if err != nil {
			break
		}
		var waiting objection
		waiting, err = checkRegistrationAuthority(ctx, d, ra)
		if len(waiting.users) > 0 {
			return objection{held: fmt.Sprintf("holds RegistrationAuthority %q, which %s waits for", ra.Name, waiting.list()), cure: waiting.cure}, nil
		}
	}
	return objection{}, err
}

// isFinished says that nothing will be done for a request any more.
func isFinished(r *pkiv1.CertificateRequest) bool {
	ready := meta.FindStatusCondition(r.Status.Conditions, pkiv1.ConditionReady)
	return ready != nil && (ready.Status == "True" || ready.Reason == pkiv1.ReasonDenied || ready.Reason == pkiv1.ReasonIdentityConflict)
}

// isPerformed says that an act is recorded, also as refused.
func isPerformed(r *pkiv1.CertificateRevocation) bool {
	c := meta.FindStatusCondition(r.Status.Conditions, pkiv1.ConditionPerformed)
	return c != nil && (c.Status == "True" || c.Reason == pkiv1.ReasonRefused || c.Reason == pkiv1.ReasonIdentityConflict)
}

func named(kind string, obj client.Object) string { return fmt.Sprintf("%s %q", kind, obj.GetName()) }

// elsewhere is named, with the namespace where it is another one than of's.
func elsewhere(kind string, obj, of client.Object) string {
	if obj.GetNamespace() == of.GetNamespace() {
		return named(kind, obj)
	}
	return fmt.Sprintf("%s %q of namespace %q", kind, obj.GetName(), obj.GetNamespace())
}

func refersTo(from client.Object, ref pkiv1.NamespacedReference, to client.Object) bool {
	if ref.Namespace == "" {
		ref.Namespace = from.GetNamespace()
	}
	return ref.Name == to.GetName() && ref.Namespace == to.GetNamespace()
}
