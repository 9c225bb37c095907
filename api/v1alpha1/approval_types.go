package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionTaken of an Approval: it is taken in, once ever.
// Reasons: Succeeded, Adopted, InvalidSpec, ReferenceNotFound, ReferenceNotReady, DigestMismatch,
// ApproverIsApplicant, AlreadyDecided, SignatureInvalid, StoreUnavailable, IdentityConflict.
const ConditionTaken = "Taken"

// Reasons of an Approval.
const (
	ReasonDigestMismatch      = "DigestMismatch"
	ReasonApproverIsApplicant = "ApproverIsApplicant"
	ReasonAlreadyDecided      = "AlreadyDecided"
	ReasonSignatureInvalid    = "SignatureInvalid"
)

// Approval (审核) is one person's decision about one request, bound to its
// digest. It stands in the namespace of the RegistrationAuthority, or of the
// CA to be issued. Deleting it takes nothing back; creating it again changes nothing.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Taken",type=string,JSONPath=`.status.conditions[?(@.type=="Taken")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Taken")].reason`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.targetRef.kind`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Approver",type=string,JSONPath=`.spec.approver.username`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Approval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec ApprovalSpec `json:"spec,omitempty"`
	// +optional
	Status ApprovalStatus `json:"status,omitempty"`
}

// ApprovalSpec is the decision.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: another decision is another Approval"
// +kubebuilder:validation:XValidation:rule="self.targetRef.kind != 'BusinessCA' || has(self.signature)",message="signature: the decision about a CA carries the officer's SM2 signature (kubectl terrace approve --officer --key)"
type ApprovalSpec struct {
	// targetRef names what is decided.
	// +required
	TargetRef ApprovalTarget `json:"targetRef,omitempty"`
	// requestDigest is the target's status.requestDigest: the decision is about this content alone.
	// +required
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	RequestDigest string `json:"requestDigest,omitempty"`
	// decision: Approve or Deny. One Deny ends the request.
	// +required
	// +kubebuilder:validation:Enum=Approve;Deny
	Decision Decision `json:"decision,omitempty"`
	// comment for the record, without personal data.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Comment string `json:"comment,omitempty"`
	// approver is the authenticated user; admission writes it, whatever is given.
	// +optional
	Approver *Person `json:"approver,omitempty"`
	// signature is the officer's over the target's kind, namespace, name, digest
	// and the decision (docs/approval.md), which the process beside the key verifies itself.
	// +optional
	Signature *OfficerSignature `json:"signature,omitempty"`
}

// ApprovalTarget names what an Approval decides.
type ApprovalTarget struct {
	// kind: CertificateRequest or BusinessCA.
	// +required
	// +kubebuilder:validation:Enum=CertificateRequest;BusinessCA
	Kind string `json:"kind,omitempty"`
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// namespace of the object; the Approval's own when absent.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// Decision about a request.
type Decision string

// Decisions.
const (
	DecisionApprove Decision = "Approve"
	DecisionDeny    Decision = "Deny"
)

// Person is an authenticated user of the API.
type Person struct {
	// username as the API server authenticated it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Username string `json:"username,omitempty"`
}

// OfficerSignature is an officer's SM2 signature.
type OfficerSignature struct {
	// officer is the name under which the process beside the key knows the officer's public key.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Officer string `json:"officer,omitempty"`
	// value is the DER signature (GM/T 0009), base64.
	// +required
	// +kubebuilder:validation:Format=base64
	// +kubebuilder:validation:MinLength=4
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9+/]+={0,2}$`
	Value []byte `json:"value,omitempty"`
	// Not the format byte: CEL's rules cannot compare such a value that holds "+" or
	// "/", and then refuse every change of the object, of its status too.
}

// ApprovalStatus says whether the decision was taken in.
type ApprovalStatus struct {
	ObjectStatus `json:",inline"`
}

// ApprovalList is a list of Approval.
//
// +kubebuilder:object:root=true
type ApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Approval `json:"items"`
}
