package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a ValidationService besides Ready.
const (
	// ConditionResponderReady: the OCSP key exists and every served CA has issued
	// it a responder certificate that is not about to expire.
	// Reasons: Succeeded, ReferenceNotFound, ReferenceNotReady,
	// DeviceUnavailable, KeyMissing, StoreUnavailable, Progressing.
	ConditionResponderReady = "ResponderReady"
)

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
type ValidationServiceSpec struct {
	// baseURL is what certificates name: <baseURL>/ocsp,
	// <baseURL>/crl/<ca>-g<generation>-s<shard>.crl and <baseURL>/ca/<ca>-g<generation>.cer.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^http://[A-Za-z0-9.\-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~\-]+)*$`
	BaseURL string `json:"baseURL,omitempty"`
	// deviceRef names the CryptoDevice that holds the OCSP responder's key.
	// +required
	DeviceRef LocalObjectReference `json:"deviceRef,omitempty"`
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
}

// ValidationServiceList is a list of ValidationService.
//
// +kubebuilder:object:root=true
type ValidationServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ValidationService `json:"items"`
}
