package webhooks_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

func local(name string) *pkiv1.LocalObjectReference { return &pkiv1.LocalObjectReference{Name: name} }

func named[T client.Object](obj T, name string) T {
	obj.SetName(name)
	return obj
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func secret(ns, name string, typ corev1.SecretType) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(ns, name), Type: typ, Data: map[string][]byte{"value": []byte("only for this test")}}
}

func secretKey(name string) pkiv1.SecretKeyReference {
	return pkiv1.SecretKeyReference{Name: name, Key: "value"}
}

// tier is a ministry, or, with a tier above it, a province.
func tier(ns, name string, above *pkiv1.NamespacedReference) *pkiv1.Tier {
	t := &pkiv1.Tier{ObjectMeta: meta(ns, name), Spec: pkiv1.TierSpec{Level: pkiv1.LevelMinistry}}
	if above != nil {
		t.Spec = pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeAuthority, Upstream: &pkiv1.TierUpstream{TierRef: above}}
	}
	return t
}

// standbyOf gives a device a standby.
func standbyOf(d *pkiv1.CryptoDevice, name string) *pkiv1.CryptoDevice {
	d.Spec.StandbyRef = &pkiv1.LocalObjectReference{Name: name}
	return d
}

func device(ns, name, pin, tier string) *pkiv1.CryptoDevice {
	d := &pkiv1.CryptoDevice{ObjectMeta: meta(ns, name), Spec: pkiv1.CryptoDeviceSpec{Software: &pkiv1.SoftwareDevice{PasswordSecretRef: secretKey(pin)}}}
	if tier != "" {
		d.Spec.TierRef = local(tier)
	}
	return d
}

func sdfDevice(ns, name, password string) *pkiv1.CryptoDevice {
	return &pkiv1.CryptoDevice{ObjectMeta: meta(ns, name), Spec: pkiv1.CryptoDeviceSpec{SDF: &pkiv1.SDFDevice{
		LibraryPath: "/opt/hsm/libsdf.so", PasswordSecretRef: secretKey(password), SelfTestKeyIndex: 1}}}
}

func directory(ns, name, bind, slaveBind string) *pkiv1.Directory {
	server := func(name, bind string) pkiv1.DirectoryServer {
		return pkiv1.DirectoryServer{Name: name, URL: "ldaps://ldap.example", BindDN: "cn=terrace,c=cn", PasswordSecretRef: secretKey(bind)}
	}
	d := &pkiv1.Directory{ObjectMeta: meta(ns, name), Spec: pkiv1.DirectorySpec{BaseDN: "o=ministry,c=cn", Master: server("master", bind),
		VerifyInterval: metav1.Duration{Duration: time.Hour}}}
	if slaveBind != "" {
		d.Spec.Slaves = []pkiv1.DirectoryServer{server("slave", slaveBind)}
		d.Spec.Reader = &pkiv1.DirectoryAccount{BindDN: "cn=reader,c=cn", PasswordSecretRef: secretKey("reader")}
	}
	return d
}

func service(ns, name, dev string) *pkiv1.ValidationService {
	v := validationService(ns, "http://pki.example")
	v.Name, v.Spec.DeviceRef = name, local(dev)
	return v
}

// The CAs use device "hsm", ValidationService "validation" and Directory "ldap".
func industry(ns, name string) *pkiv1.IndustryCA {
	ca := &pkiv1.IndustryCA{ObjectMeta: meta(ns, name), Spec: pkiv1.IndustryCASpec{CACommon: caCommon("CN=CA,C=CN")}}
	ca.Spec.ValidationServiceRef, ca.Spec.DirectoryRefs = local("validation"), []pkiv1.LocalObjectReference{{Name: "ldap"}}
	return ca
}

// signsLists has a CA's trust lists signed in a device.
func signsLists(ca *pkiv1.IndustryCA, device string) *pkiv1.IndustryCA {
	hour := metav1.Duration{Duration: time.Hour}
	ca.Spec.TrustList = &pkiv1.TrustListSpec{Interval: hour, Overlap: hour, DeviceRef: local(device)}
	return ca
}

func business(ns, name string, issuer pkiv1.BusinessCAIssuer) *pkiv1.BusinessCA {
	ca := &pkiv1.BusinessCA{ObjectMeta: meta(ns, name), Spec: pkiv1.BusinessCASpec{CACommon: caCommon("CN=CA,C=CN"), Validity: metav1.Duration{Duration: time.Hour}, Issuer: issuer}}
	ca.Spec.ValidationServiceRef = local("validation")
	return ca
}

// ra allows profile "allowed".
func ra(ns, name, ca string) *pkiv1.RegistrationAuthority {
	r := registrationAuthority(ns, "C=CN")
	r.Name, r.Spec.BusinessCARef.Name, r.Spec.AllowedProfiles = name, ca, []string{"allowed"}
	return r
}

// asks has a request ask an RA of a namespace for profile "asked".
func asks(r *pkiv1.CertificateRequest, ra, raNamespace, identity string, st *metav1.Condition) *pkiv1.CertificateRequest {
	r.Spec.ProfileRef.Name = "asked"
	r.Spec.RegistrationAuthorityRef = pkiv1.NamespacedReference{Name: ra, Namespace: raNamespace}
	if identity != "" {
		ref := secretKey(identity)
		r.Spec.Identity = []pkiv1.IdentityValue{{Name: "number", SecretRef: &ref}}
	}
	if st != nil {
		r.Status.Conditions = []metav1.Condition{*st}
	}
	return r
}

func ready(status metav1.ConditionStatus, reason string) *metav1.Condition {
	return &metav1.Condition{Type: pkiv1.ConditionReady, Status: status, Reason: reason, LastTransitionTime: metav1.Now()}
}

// revocation waits for an RA of another namespace.
func revocation(ns, name, raNamespace, ra string) *pkiv1.CertificateRevocation {
	return &pkiv1.CertificateRevocation{ObjectMeta: meta(ns, name), Spec: pkiv1.CertificateRevocationSpec{
		Target: pkiv1.RevocationTarget{SerialNumber: "1f"}, Action: pkiv1.ActionRevoke, Reason: "KeyCompromise",
		RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: ra, Namespace: raNamespace}}}
}
