package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Condition types that every kind has. Conditions are positive: True is well.
// Reconciling and Stalled follow kstatus and are present only when abnormal.
const (
	// ConditionReady sums up the conditions of the object's steps.
	// Reasons: Succeeded, and the reason of the first step that is not True.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the controller still works towards the spec.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when only a change of the spec, or of what it
	// refers to, can help.
	ConditionStalled = "Stalled"
)

// Reasons that more than one kind uses.
const (
	ReasonSucceeded           = "Succeeded"
	ReasonProgressing         = "Progressing"
	ReasonInvalidSpec         = "InvalidSpec"
	ReasonReferenceNotFound   = "ReferenceNotFound"
	ReasonReferenceNotReady   = "ReferenceNotReady"
	ReasonDeviceUnavailable   = "DeviceUnavailable"
	ReasonStoreUnavailable    = "StoreUnavailable"
	ReasonKeyMissing          = "KeyMissing"
	ReasonAdopted             = "Adopted"
	ReasonAwaitingCertificate = "AwaitingCertificate"
)

// LocalObjectReference names an object in the namespace of the object that refers to it.
type LocalObjectReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// NamespacedReference names an object, by default in the namespace of the object that refers to it.
type NamespacedReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// namespace of the object; the referring object's own when absent.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// SecretKeyReference names one entry of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// key of the entry in the Secret's data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// ObjectStatus is the part of the status that every kind has.
type ObjectStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, one per step, and Reconciling or Stalled when abnormal.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// CAStatus is the part of the status that IndustryCA and BusinessCA share.
type CAStatus struct {
	ObjectStatus `json:",inline"`
	// requestDigest identifies what is asked of the issuer, for Approvals.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RequestDigest string `json:"requestDigest,omitempty"`
	// certificateSigningRequest is the PEM PKCS#10 (GM/T 0092) of the CA key,
	// for an issuer outside this API.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	CertificateSigningRequest []byte `json:"certificateSigningRequest,omitempty"`
	// certificate is the CA's current certificate, PEM.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Certificate []byte `json:"certificate,omitempty"`
	// chain holds the certificates above certificate, issuer first, root last, PEM.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	Chain []byte `json:"chain,omitempty"`
	// keyGeneration counts the CA's keys, from 1.
	// +optional
	KeyGeneration int32 `json:"keyGeneration,omitempty"`
	// notAfter of certificate.
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
	// issuedCertificates counts the certificates that this CA delivered.
	// Written at most every 30 seconds; the live number is a metric.
	// +optional
	IssuedCertificates int64 `json:"issuedCertificates,omitempty"`
}

// ConditionValid of CertificateProfile and RegistrationAuthority: the spec, and
// what it refers to, can be used.
// Reasons: Succeeded, InvalidSpec, ReferenceNotFound, ReferenceNotReady.
const ConditionValid = "Valid"

// DeletionPolicy says what the deletion of an object may do.
type DeletionPolicy string

// Deletion policies.
const (
	// DeletionProtect refuses the deletion of what is in use.
	DeletionProtect DeletionPolicy = "Protect"
	// DeletionOrphan lets the object go and keeps keys and facts.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// ConditionDeletable of an object whose deletion is asked for: nothing needs it
// any more. False while the object is Terminating and its finalizer stays.
// Reasons: InUse, StoreUnavailable.
const ConditionDeletable = "Deletable"

// ReasonInUse: certificates that are still valid need the object.
const ReasonInUse = "InUse"
