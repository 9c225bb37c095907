package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a ValidationService besides Ready.
const (
	// ConditionResponderReady: the OCSP key exists and every served CA has issued
	// it a responder certificate that is not about to expire.
	// Reasons: Succeeded, ReferenceNotFound, ReferenceNotReady,
	// DeviceUnavailable, KeyMissing, StoreUnavailable, Progressing.
	ConditionResponderReady = "ResponderReady"
	// ConditionNodesPushed: every node of spec.nodes holds what the ledger says.
	// Reasons: Succeeded, NotRequired, Progressing, NodeUnreachable.
	ConditionNodesPushed = "NodesPushed"
)

// ReasonNodeUnreachable: a node does not take pushes.
const ReasonNodeUnreachable = "NodeUnreachable"

// ValidationService (证书查验服务系统) answers OCSP and serves CRLs, ARLs and CA certificates.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.baseURL`
// +kubebuilder:printcolumn:name="CAs",type=integer,JSONPath=`.status.servedAuthorities`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ValidationService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec ValidationServiceSpec `json:"spec,omitempty"`
	// +optional
	Status ValidationServiceStatus `json:"status,omitempty"`
}

// ValidationServiceSpec declares a validation service. It serves every
// IndustryCA and BusinessCA whose validationServiceRef names it.
//
// +kubebuilder:validation:ExactlyOneOf=deviceRef;nodes
type ValidationServiceSpec struct {
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
	// baseURL is what certificates name: <baseURL>/ocsp,
	// <baseURL>/crl/<ca>-g<generation>-s<shard>.crl and <baseURL>/ca/<ca>-g<generation>.cer.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^http://[A-Za-z0-9.\-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~\-]+)*$`
	BaseURL string `json:"baseURL,omitempty"`
	// networks in which the service is reached: Business (业务专网), Public
	// (公共服务网), or both. baseURL is a logical name that holds in each.
	// +optional
	// +kubebuilder:default={"Business"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	Networks []Network `json:"networks,omitempty"`
	// deviceRef names the CryptoDevice that holds the OCSP responder's key, when
	// the process beside the CAs answers itself.
	// +optional
	DeviceRef *LocalObjectReference `json:"deviceRef,omitempty"`
	// nodes are the validation processes that answer, each with a device and a
	// key of its own. They are pushed to and never ask.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Nodes []ValidationNode `json:"nodes,omitempty"`
	// responderValidity of the certificates that the CAs issue to the responder.
	// A new one is issued each third of it.
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('2160h')",message="responderValidity must be between 1h and 2160h"
	ResponderValidity metav1.Duration `json:"responderValidity,omitempty"`
	// responseValidity is nextUpdate - thisUpdate of an OCSP response.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="responseValidity must be between 1m and 168h"
	ResponseValidity metav1.Duration `json:"responseValidity,omitempty"`
}

// ValidationServiceStatus is the state of a validation service.
type ValidationServiceStatus struct {
	ObjectStatus `json:",inline"`
	// servedAuthorities counts the CA key generations that it answers for.
	// +optional
	ServedAuthorities int32 `json:"servedAuthorities,omitempty"`
	// nodes are the states of spec.nodes.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Nodes []ValidationNodeStatus `json:"nodes,omitempty"`
}

// ValidationNodeStatus is the state of one node. Numbers are written at most
// every 30 seconds; the live ones are metrics.
type ValidationNodeStatus struct {
	// name of the node.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// state: InStep, CatchingUp or Unreachable.
	// +optional
	// +kubebuilder:validation:Enum=InStep;CatchingUp;Unreachable
	State string `json:"state,omitempty"`
	// backlog counts the changes that the node does not hold yet.
	// +optional
	Backlog int64 `json:"backlog,omitempty"`
	// pushedAt is when the node last confirmed a push.
	// +optional
	PushedAt *metav1.Time `json:"pushedAt,omitempty"`
	// lastError in words; empty when the last push went well.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	LastError string `json:"lastError,omitempty"`
}

// Network is where a service is reached.
// +kubebuilder:validation:Enum=Business;Public
type Network string

// Networks.
const (
	NetworkBusiness Network = "Business"
	NetworkPublic   Network = "Public"
)

// ValidationNode is one validation process.
type ValidationNode struct {
	// name is the process's name in its transport certificate and in the peers file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// url is https://host:port of its push endpoint.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https://[A-Za-z0-9.\-]+(:[0-9]{1,5})?$`
	URL string `json:"url,omitempty"`
}

// ValidationServiceList is a list of ValidationService.
//
// +kubebuilder:object:root=true
type ValidationServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ValidationService `json:"items"`
}
