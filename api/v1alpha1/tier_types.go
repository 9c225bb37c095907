package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a Tier besides Ready.
const (
	// ConditionComposed: the members that LD/T 02.1 asks of the level and mode are declared.
	// Reasons: Succeeded, MemberMissing, MemberNotAllowed, ReferenceNotFound, InvalidSpec.
	ConditionComposed = "Composed"
	// ConditionMembersReady: every member is Ready.
	// Reasons: Succeeded, MemberNotReady.
	ConditionMembersReady = "MembersReady"
)

// Reasons of a Tier.
const (
	ReasonMemberMissing    = "MemberMissing"
	ReasonMemberNotAllowed = "MemberNotAllowed"
	ReasonMemberNotReady   = "MemberNotReady"
)

// LabelTier marks a namespace that holds a tier: its Secrets, and itself, are
// guarded against deletion. Its value is the tier's name, for people alone.
const LabelTier = "pki.terrace.dev/tier"

// Tier (电子认证系统) is one level of the sector's certificate authentication
// system, LD/T 02.1 §7.3 (ministry), §7.4 (province), §7.5 (city). Other objects
// of its namespace join by spec.tierRef.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Level",type=string,JSONPath=`.spec.level`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Health",type=string,JSONPath=`.status.health`
// +kubebuilder:printcolumn:name="Members",type=string,JSONPath=`.status.members`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Tier struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec TierSpec `json:"spec,omitempty"`
	// +optional
	Status TierStatus `json:"status,omitempty"`
}

// TierSpec says which system of the standard this is.
//
// +kubebuilder:validation:XValidation:rule="self.level == 'Ministry' ? !has(self.mode) : has(self.mode)",message="mode: a Province or City needs one (LD/T 02.1 7.4.1, 7.5.1), a Ministry has none"
// +kubebuilder:validation:XValidation:rule="self.level == 'Ministry' ? !has(self.upstream) : has(self.upstream)",message="upstream: a Province or City names the tier above it, a Ministry has none"
type TierSpec struct {
	// level: Ministry (部级), Province (省级) or City (市级).
	// +required
	// +kubebuilder:validation:Enum=Ministry;Province;City
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="level is immutable"
	Level TierLevel `json:"level,omitempty"`
	// mode of a province or a city: Registration (模式一: it registers, the tier
	// above issues) or Authority (模式二: a system of its own).
	// +optional
	// +kubebuilder:validation:Enum=Registration;Authority
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="mode is immutable"
	Mode TierMode `json:"mode,omitempty"`
	// upstream is the tier above: an object of this API, or the name of one elsewhere.
	// +optional
	Upstream *TierUpstream `json:"upstream,omitempty"`
}

// TierLevel is a level of LD/T 02.1.
type TierLevel string

// Levels.
const (
	LevelMinistry TierLevel = "Ministry"
	LevelProvince TierLevel = "Province"
	LevelCity     TierLevel = "City"
)

// TierMode is how a province or a city is built.
type TierMode string

// Modes.
const (
	ModeRegistration TierMode = "Registration"
	ModeAuthority    TierMode = "Authority"
)

// TierUpstream names the tier above: exactly one member.
//
// +kubebuilder:validation:ExactlyOneOf=tierRef;external
type TierUpstream struct {
	// tierRef names a Tier of this API.
	// +optional
	TierRef *NamespacedReference `json:"tierRef,omitempty"`
	// external names a tier that another API holds.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	External string `json:"external,omitempty"`
}

// TierStatus answers whether the tier is well, and if not, why.
type TierStatus struct {
	ObjectStatus `json:",inline"`
	// health in one line, e.g. "9 of 9 members are Ready", or the first reason why not.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Health string `json:"health,omitempty"`
	// members as "ready/all".
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Members string `json:"members,omitempty"`
	// kinds counts the members of each kind.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=kind
	Kinds []TierMembers `json:"kinds,omitempty"`
}

// TierMembers counts the members of one kind.
type TierMembers struct {
	// kind of the members.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// ready members.
	// +optional
	Ready int32 `json:"ready"`
	// all members.
	// +optional
	All int32 `json:"all"`
}

// TierList is a list of Tier.
//
// +kubebuilder:object:root=true
type TierList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Tier `json:"items"`
}
