package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a CertificateRequest besides Ready.
const (
	// ConditionPolicyPassed: every check of the RA's policy passed.
	// Reasons: Succeeded, Adopted, Denied, IdentityConflict, ReferenceNotFound,
	// ReferenceNotReady, IssuerUnavailable, Archived, StoreUnavailable.
	ConditionPolicyPassed = "PolicyPassed"
	// ConditionApproved: as many people approved as the RA asks for, and nobody denied.
	// Reasons: Succeeded, Adopted, NotRequired, AwaitingApproval, Denied,
	// IdentityConflict, InvalidSpec, StoreUnavailable.
	ConditionApproved = "Approved"
	// ConditionIssued: the certificate is in status.
	// Reasons: Succeeded, Adopted, IdentityConflict, IssuancePaused, IssuerRevoked, LintFailed,
	// OutsideLimits, NotEntitled, InvalidSpec, ReferenceNotReady,
	// IssuerUnavailable, DeviceUnavailable, LedgerRestored, StoreUnavailable.
	ConditionIssued = "Issued"
)

// Reasons of a CertificateRequest.
const (
	ReasonDenied           = "Denied"
	ReasonIdentityConflict = "IdentityConflict"
	ReasonLintFailed       = "LintFailed"
	ReasonNotRequired      = "NotRequired"
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonIssuerUnavailable: the CA cannot be reached; it is tried again.
	ReasonIssuerUnavailable = "IssuerUnavailable"
	// ReasonLedgerRestored: the CA's ledger came from a backup and is not reconciled.
	ReasonLedgerRestored = "LedgerRestored"
	// ReasonArchived: the certificate expired long ago, and its content was archived.
	ReasonArchived = "Archived"
	// ReasonIssuerRevoked: the CA's own certificate is revoked or on hold.
	ReasonIssuerRevoked = "IssuerRevoked"
	// ReasonOutsideLimits: the CA's own limits, which no object can widen, refuse.
	ReasonOutsideLimits = "OutsideLimits"
	// ReasonNotEntitled: the CA takes nothing from this RA's process for this RA.
	ReasonNotEntitled = "NotEntitled"
)

// CertificateRequest (证书申请) asks a registration authority for a
// subscriber's certificate. Deleting it revokes nothing; creating it again
// returns the same certificate.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace,shortName=certreq
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Serial",type=string,JSONPath=`.status.serialNumber`
// +kubebuilder:printcolumn:name="Approvals",type=string,JSONPath=`.status.approvals`
// +kubebuilder:printcolumn:name="RA",type=string,JSONPath=`.spec.registrationAuthorityRef.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CertificateRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec CertificateRequestSpec `json:"spec,omitempty"`
	// +optional
	Status CertificateRequestStatus `json:"status,omitempty"`
}

// CertificateRequestSpec is what is asked for.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: another request needs another name"
type CertificateRequestSpec struct {
	// request is a PEM PKCS#10 request with an SM2 key, signed with it (GM/T 0092-2020).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=21848
	Request []byte `json:"request,omitempty"`
	// profileRef names a CertificateProfile in the RA's namespace that the RA allows.
	// +required
	ProfileRef LocalObjectReference `json:"profileRef,omitempty"`
	// registrationAuthorityRef names the RegistrationAuthority.
	// +required
	RegistrationAuthorityRef NamespacedReference `json:"registrationAuthorityRef,omitempty"`
	// certificates says which of the subscriber's certificates are asked for.
	// +optional
	// +kubebuilder:default={"Signing"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1
	// +listType=set
	Certificates []CertificateUse `json:"certificates,omitempty"`
	// identity gives the values of the profile's identity extensions.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Identity []IdentityValue `json:"identity,omitempty"`
	// applicant is the authenticated user who created the request; admission
	// writes it, whatever is given. It is not part of the digest.
	// +optional
	Applicant *Person `json:"applicant,omitempty"`
}

// CertificateUse is one of a subscriber's two certificates.
// +kubebuilder:validation:Enum=Signing
type CertificateUse string

// CertificateSigning is the signing certificate (签名证书).
const CertificateSigning CertificateUse = "Signing"

// IdentitySecretType is the type of a Secret that holds identity values. What a
// request names goes into a certificate, which is public: no Secret that was
// made for something else, such as a PIN, may be named.
const IdentitySecretType = "pki.terrace.dev/identity"

// IdentityValue is the value of one identity extension.
//
// +kubebuilder:validation:ExactlyOneOf=value;secretRef
type IdentityValue struct {
	// name of the identity extension in the profile.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// value in clear, for what is not personal.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Value string `json:"value,omitempty"`
	// secretRef names a Secret of the request's namespace that holds the value,
	// for personal data. It has type pki.terrace.dev/identity, and the value must
	// stay as it is until the certificate is issued.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// CertificateRequestStatus is the outcome.
type CertificateRequestStatus struct {
	ObjectStatus `json:",inline"`
	// requestDigest is the hexadecimal SM3 digest that identifies this request
	// together with its namespace and name.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RequestDigest string `json:"requestDigest,omitempty"`
	// serialNumber of the certificate, hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=40
	SerialNumber string `json:"serialNumber,omitempty"`
	// certificate that was issued, PEM.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Certificate []byte `json:"certificate,omitempty"`
	// chain above it, issuer first, PEM.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	Chain []byte `json:"chain,omitempty"`
	// approvals as "given/required", absent when none are required.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Approvals string `json:"approvals,omitempty"`
	// verdicts of the policy's checks, in their order.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=check
	Verdicts []PolicyVerdict `json:"verdicts,omitempty"`
}

// PolicyVerdict is the result of one named check.
type PolicyVerdict struct {
	// check is its name.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Check string `json:"check,omitempty"`
	// result: Passed or Denied.
	// +required
	// +kubebuilder:validation:Enum=Passed;Denied
	Result VerdictResult `json:"result,omitempty"`
	// reason in words, without personal data.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
}

// VerdictResult is the outcome of a check.
type VerdictResult string

// Verdict results.
const (
	VerdictPassed VerdictResult = "Passed"
	VerdictDenied VerdictResult = "Denied"
)

// CertificateRequestList is a list of CertificateRequest.
//
// +kubebuilder:object:root=true
type CertificateRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CertificateRequest `json:"items"`
}
