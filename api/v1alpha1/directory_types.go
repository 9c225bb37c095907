package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a Directory besides Ready.
const (
	// ConditionMasterPublished: the master holds what the ledger says. Written by
	// the process beside the ledger.
	// Reasons: Succeeded, Progressing, ReferenceNotFound, DirectoryUnavailable,
	// CredentialsRefused, StoreUnavailable, InvalidSpec.
	ConditionMasterPublished = "MasterPublished"
	// ConditionSlavesPushed: every slave holds what the master holds. Written by the pusher.
	// Reasons: Succeeded, Progressing, ReferenceNotFound, DirectoryUnavailable, CredentialsRefused, InvalidSpec.
	ConditionSlavesPushed = "SlavesPushed"
)

// Reasons of a Directory.
const (
	ReasonDirectoryUnavailable = "DirectoryUnavailable"
	ReasonCredentialsRefused   = "CredentialsRefused"
)

// SecretTypeBindPassword is the type of a Secret that holds bind passwords. A
// Directory names the server that such a password is sent to: no Secret that was
// made for something else, such as a PIN, may be named.
const SecretTypeBindPassword = "pki.terrace.dev/bind-password"

// Directory (目录服务系统) is an LDAP master that the CAs publish to and the
// slaves that it is pushed to (下推, LD/T 02.1 §7.3.2).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Base",type=string,JSONPath=`.spec.baseDN`
// +kubebuilder:printcolumn:name="Visibility",type=string,JSONPath=`.spec.visibility`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Directory struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec DirectorySpec `json:"spec,omitempty"`
	// +optional
	Status DirectoryStatus `json:"status,omitempty"`
}

// DirectorySpec declares the servers. The CAs whose directoryRefs name this
// object publish to it.
type DirectorySpec struct {
	// tierRef names the Tier that this object belongs to.
	// +optional
	TierRef *LocalObjectReference `json:"tierRef,omitempty"`
	// deletionPolicy: Protect refuses the deletion of what is in use; Orphan
	// lets the object go and keeps the facts.
	// +optional
	// +kubebuilder:default=Protect
	// +kubebuilder:validation:Enum=Protect;Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// baseDN is the distinguished name (RFC 4514) below which all entries stand.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="baseDN is immutable: another base is another Directory"
	BaseDN string `json:"baseDN,omitempty"`
	// naming of subscribers' entries: SerialNumber, or SubjectAndSerialNumber
	// (common name and serial number together; people share names).
	// +optional
	// +kubebuilder:default=SerialNumber
	// +kubebuilder:validation:Enum=SerialNumber;SubjectAndSerialNumber
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="naming is immutable: another naming is another Directory"
	Naming EntryNaming `json:"naming,omitempty"`
	// visibility: Business shows what certificates show; Public shows no
	// certificate that carries an identity number.
	// +optional
	// +kubebuilder:default=Business
	// +kubebuilder:validation:Enum=Business;Public
	Visibility DirectoryVisibility `json:"visibility,omitempty"`
	// master that the CAs write to.
	// +required
	Master DirectoryServer `json:"master,omitempty"`
	// reader is the account with which the pusher reads the master and its log of
	// changes. It needs no right to write. Absent: the master's own account.
	// +optional
	Reader *DirectoryAccount `json:"reader,omitempty"`
	// slaves that the pusher writes to.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Slaves []DirectoryServer `json:"slaves,omitempty"`
	// verifyInterval between two full comparisons, which repair drift.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('720h')",message="verifyInterval must be between 10s and 720h"
	VerifyInterval metav1.Duration `json:"verifyInterval,omitempty"`
}

// EntryNaming says what a subscriber's entry is called.
type EntryNaming string

// Namings.
const (
	NamingSerialNumber           EntryNaming = "SerialNumber"
	NamingSubjectAndSerialNumber EntryNaming = "SubjectAndSerialNumber"
)

// DirectoryVisibility says who reads a directory.
type DirectoryVisibility string

// Visibilities.
const (
	VisibilityBusiness DirectoryVisibility = "Business"
	VisibilityPublic   DirectoryVisibility = "Public"
)

// DirectoryServer is one LDAP server.
type DirectoryServer struct {
	// name of the server in status and metrics.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// url is ldaps://host[:port].
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^ldaps://[A-Za-z0-9.\-]+(:[0-9]{1,5})?$`
	URL string `json:"url,omitempty"`
	// bindDN of the account that writes.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=512
	BindDN string `json:"bindDN,omitempty"`
	// passwordSecretRef names the Secret entry with that account's password; the
	// Secret's type is pki.terrace.dev/bind-password.
	// +required
	PasswordSecretRef SecretKeyReference `json:"passwordSecretRef,omitempty"`
	// caBundle holds the PEM certificates that the server's certificate is
	// verified against; absent: the transport CA of the process.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CABundle []byte `json:"caBundle,omitempty"`
}

// DirectoryAccount is one account of an LDAP server.
type DirectoryAccount struct {
	// bindDN of the account.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=512
	BindDN string `json:"bindDN,omitempty"`
	// passwordSecretRef names the Secret entry with the account's password; the
	// Secret's type is pki.terrace.dev/bind-password.
	// +required
	PasswordSecretRef SecretKeyReference `json:"passwordSecretRef,omitempty"`
}

// DirectoryStatus is the state of each server.
type DirectoryStatus struct {
	ObjectStatus `json:",inline"`
	// servers, master first.
	// +optional
	// +kubebuilder:validation:MaxItems=17
	// +listType=map
	// +listMapKey=name
	Servers []DirectoryServerStatus `json:"servers,omitempty"`
}

// DirectoryServerStatus is the state of one server. Numbers are written at most
// every 30 seconds; the live ones are metrics.
type DirectoryServerStatus struct {
	// name of the server.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// role: Master or Slave.
	// +required
	// +kubebuilder:validation:Enum=Master;Slave
	Role string `json:"role,omitempty"`
	// state: InStep, CatchingUp or Unreachable.
	// +optional
	// +kubebuilder:validation:Enum=InStep;CatchingUp;Unreachable
	State string `json:"state,omitempty"`
	// lagSeconds since the oldest change that the server does not hold yet.
	// +optional
	LagSeconds int64 `json:"lagSeconds,omitempty"`
	// backlog counts the changes that the server does not hold yet.
	// +optional
	Backlog int64 `json:"backlog,omitempty"`
	// drift counts the entries that the last comparison found changed behind
	// our back, and repaired.
	// +optional
	Drift int64 `json:"drift,omitempty"`
	// driftTotal counts them since the process started.
	// +optional
	DriftTotal int64 `json:"driftTotal,omitempty"`
	// verifiedAt is when the last full comparison ended.
	// +optional
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
	// lastError in words, without credentials; empty when the last attempt went well.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	LastError string `json:"lastError,omitempty"`
}

// DirectoryList is a list of Directory.
//
// +kubebuilder:object:root=true
type DirectoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Directory `json:"items"`
}
