package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a CertificateRevocation besides Ready.
const (
	// ConditionPerformed: the act is recorded in the CA's ledger, once ever.
	// Reasons: Succeeded, Adopted, Refused, InvalidSpec, NotEntitled, ReferenceNotFound,
	// ReferenceNotReady, IdentityConflict, IssuerUnavailable, LedgerRestored, StoreUnavailable.
	ConditionPerformed = "Performed"
	// ConditionPublished: a CRL that shows the act is signed, with spec.publish
	// Immediate; with Scheduled, True at once, and the next list shows it.
	// Reasons: Succeeded, Scheduled, NotEntitled, ReferenceNotReady,
	// IssuerUnavailable, DeviceUnavailable, LedgerRestored, StoreUnavailable.
	ConditionPublished = "Published"
)

// Reasons of a CertificateRevocation.
const (
	// ReasonRefused: the act does not fit the certificate's state, e.g. a
	// Release of what is not on hold. It is recorded and never tried again.
	ReasonRefused   = "Refused"
	ReasonScheduled = "Scheduled"
)

// CertificateRevocation (撤销, 冻结, 解冻) revokes, holds or releases one
// certificate, once ever. Deleting it takes nothing back; creating it again
// shows what was recorded.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace,shortName=certrev
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Serial",type=string,JSONPath=`.status.serialNumber`
// +kubebuilder:printcolumn:name="At",type=string,JSONPath=`.status.performedAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CertificateRevocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec CertificateRevocationSpec `json:"spec,omitempty"`
	// +optional
	Status CertificateRevocationStatus `json:"status,omitempty"`
}

// CertificateRevocationSpec says which certificate, and what happens to it.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: another act is another CertificateRevocation"
// +kubebuilder:validation:XValidation:rule="self.action == 'Revoke' ? has(self.reason) : !has(self.reason)",message="reason: Revoke needs one, Hold and Release have none"
// +kubebuilder:validation:XValidation:rule="has(self.target.certificateAuthorityRef) || has(self.target.trustListSignerRef) ? !has(self.registrationAuthorityRef) : has(self.registrationAuthorityRef)",message="registrationAuthorityRef: required for requestRef and serialNumber, absent for a CA and for the signer of trust lists"
// +kubebuilder:validation:XValidation:rule="!has(self.target.trustListSignerRef) || self.action == 'Revoke'",message="action: the signer of trust lists can only be revoked"
type CertificateRevocationSpec struct {
	// target says which certificate.
	// +required
	Target RevocationTarget `json:"target,omitempty"`
	// registrationAuthorityRef names the RegistrationAuthority in whose name the
	// act is asked for; its business CA must have issued the certificate.
	// +optional
	RegistrationAuthorityRef *NamespacedReference `json:"registrationAuthorityRef,omitempty"`
	// action: Revoke for ever, Hold, or Release what is on hold.
	// +required
	// +kubebuilder:validation:Enum=Revoke;Hold;Release
	Action RevocationAction `json:"action,omitempty"`
	// reason of a revocation (RFC 5280 §5.3.1).
	// +optional
	// +kubebuilder:validation:Enum=Unspecified;KeyCompromise;CACompromise;AffiliationChanged;Superseded;CessationOfOperation;PrivilegeWithdrawn
	Reason RevocationReason `json:"reason,omitempty"`
	// publish: Immediate signs a CRL at once; Scheduled leaves it to the next
	// list. OCSP answers at once in either case.
	// +optional
	// +kubebuilder:default=Scheduled
	// +kubebuilder:validation:Enum=Scheduled;Immediate
	Publish PublishMode `json:"publish,omitempty"`
	// requester is the authenticated user; admission writes it, whatever is given.
	// +optional
	Requester *Person `json:"requester,omitempty"`
}

// RevocationTarget names one certificate: exactly one member.
//
// +kubebuilder:validation:ExactlyOneOf=requestRef;serialNumber;certificateAuthorityRef;trustListSignerRef
type RevocationTarget struct {
	// requestRef names the CertificateRequest, in the namespace of this object,
	// that the certificate was issued for. The request itself may be gone.
	// +optional
	RequestRef *LocalObjectReference `json:"requestRef,omitempty"`
	// serialNumber of the certificate, hexadecimal.
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-fA-F]{1,40}$`
	SerialNumber string `json:"serialNumber,omitempty"`
	// certificateAuthorityRef names a BusinessCA of this namespace, whose own certificate is meant.
	// +optional
	CertificateAuthorityRef *LocalObjectReference `json:"certificateAuthorityRef,omitempty"`
	// trustListSignerRef names an IndustryCA of this namespace: the certificate of
	// the signer of its current trust list is meant. Another key is made for the next.
	// +optional
	TrustListSignerRef *LocalObjectReference `json:"trustListSignerRef,omitempty"`
}

// RevocationAction is what happens to a certificate.
type RevocationAction string

// Actions.
const (
	ActionRevoke  RevocationAction = "Revoke"
	ActionHold    RevocationAction = "Hold"
	ActionRelease RevocationAction = "Release"
)

// RevocationReason is a reason of RFC 5280 §5.3.1.
type RevocationReason string

// PublishMode says when a CRL shows an act.
type PublishMode string

// Publish modes.
const (
	PublishScheduled PublishMode = "Scheduled"
	PublishImmediate PublishMode = "Immediate"
)

// CertificateRevocationStatus is the recorded result.
type CertificateRevocationStatus struct {
	ObjectStatus `json:",inline"`
	// requestDigest identifies the act together with its namespace and name.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RequestDigest string `json:"requestDigest,omitempty"`
	// serialNumber of the certificate, hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=40
	SerialNumber string `json:"serialNumber,omitempty"`
	// issuer is "kind/namespace/name" of the CA that issued it.
	// +optional
	// +kubebuilder:validation:MaxLength=400
	Issuer string `json:"issuer,omitempty"`
	// performedAt is when the ledger recorded the act.
	// +optional
	PerformedAt *metav1.Time `json:"performedAt,omitempty"`
	// crlNumber of the first list that shows the act, when it was asked for at once.
	// +optional
	CRLNumber int64 `json:"crlNumber,omitempty"`
}

// CertificateRevocationList is a list of CertificateRevocation.
//
// +kubebuilder:object:root=true
type CertificateRevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CertificateRevocation `json:"items"`
}
