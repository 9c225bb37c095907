package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RegistrationAuthority (注册机构, RA) takes requests for one business CA.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="CA",type=string,JSONPath=`.spec.businessCARef.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RegistrationAuthority struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec RegistrationAuthoritySpec `json:"spec,omitempty"`
	// +optional
	Status RegistrationAuthorityStatus `json:"status,omitempty"`
}

// RegistrationAuthoritySpec declares what an RA may ask for.
type RegistrationAuthoritySpec struct {
	// tierRef names the Tier that this object belongs to.
	// +optional
	TierRef *LocalObjectReference `json:"tierRef,omitempty"`
	// deletionPolicy: Protect refuses the deletion of what is in use; Orphan
	// lets the object go: its keys stay in the device, its facts in the ledger,
	// and the same YAML finds them again.
	// +optional
	// +kubebuilder:default=Protect
	// +kubebuilder:validation:Enum=Protect;Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// businessCARef names the BusinessCA that issues. It is immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="businessCARef is immutable: another CA is another RA: certificates of the former CA could no longer be revoked here"
	BusinessCARef LocalObjectReference `json:"businessCARef,omitempty"`
	// allowedProfiles names the CertificateProfiles, in the RA's namespace, that requests may use.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	AllowedProfiles []string `json:"allowedProfiles,omitempty"`
	// allowedNames lists the names that this RA owns; a subject must fall within one.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	AllowedNames []NameRule `json:"allowedNames,omitempty"`
	// allowedNamespaces lists further namespaces whose requests this RA takes;
	// "*" is every one. Its own is always allowed.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	AllowedNamespaces []string `json:"allowedNamespaces,omitempty"`
	// approvalPolicy: None issues without a reviewer; Reviewed asks for the
	// approvals that spec.approvals says.
	// +required
	// +kubebuilder:validation:Enum=None;Reviewed
	ApprovalPolicy ApprovalPolicy `json:"approvalPolicy,omitempty"`
	// approvals says how many distinct people must approve, by profile; a
	// profile that is not listed needs one, and what a service account asked for
	// needs two at least. Only with approvalPolicy Reviewed.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=profile
	Approvals []ProfileApprovals `json:"approvals,omitempty"`
}

// ProfileApprovals says how many people must approve requests for a profile.
type ProfileApprovals struct {
	// profile is one of allowedProfiles.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Profile string `json:"profile,omitempty"`
	// required is the number of distinct people, none of them the applicant.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	Required int32 `json:"required,omitempty"`
}

// NameRule is a set of names. Grammar of each member, with an example each, in docs/registrationauthority.md.
//
// +kubebuilder:validation:MinProperties=1
type NameRule struct {
	// subjectBase is a distinguished name (RFC 4514): subjects at or below it are
	// allowed. Example: "O=Ministry,C=CN".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	SubjectBase string `json:"subjectBase,omitempty"`
	// dnsSuffix allows the name itself and every name below it. Example: "mohrss.example".
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DNSSuffix string `json:"dnsSuffix,omitempty"`
	// ipRange is a CIDR block. Example: "10.1.0.0/16".
	// +optional
	// +kubebuilder:validation:MaxLength=64
	IPRange string `json:"ipRange,omitempty"`
	// emailDomain allows addresses in exactly this domain. Example: "mohrss.example".
	// +optional
	// +kubebuilder:validation:MaxLength=253
	EmailDomain string `json:"emailDomain,omitempty"`
	// uriPrefix allows URIs with this scheme and host and a path below it. Example: "https://app.example/users/".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	URIPrefix string `json:"uriPrefix,omitempty"`
}

// ApprovalPolicy says who must approve a request.
type ApprovalPolicy string

// Approval policies.
const (
	// ApprovalNone issues without a reviewer.
	ApprovalNone ApprovalPolicy = "None"
	// ApprovalReviewed asks for distinct people's approvals.
	ApprovalReviewed ApprovalPolicy = "Reviewed"
)

// RegistrationAuthorityStatus says whether the RA can work.
type RegistrationAuthorityStatus struct {
	ObjectStatus `json:",inline"`
}

// RegistrationAuthorityList is a list of RegistrationAuthority.
//
// +kubebuilder:object:root=true
type RegistrationAuthorityList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RegistrationAuthority `json:"items"`
}
