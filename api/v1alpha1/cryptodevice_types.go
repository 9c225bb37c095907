package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a CryptoDevice besides Ready.
const (
	// ConditionReachable: the token or keystore could be opened and logged in to.
	// Reasons: Succeeded, ModuleNotAllowed, ReferenceNotFound, DeviceUnavailable,
	// PINRefused, PINLastTry, ProfileUnknown.
	ConditionReachable = "Reachable"
	// ConditionSelfTestPassed: a signature of a test key verified.
	// Reasons: Succeeded, SelfTestFailed.
	ConditionSelfTestPassed = "SelfTestPassed"
)

// Reasons of a CryptoDevice.
const (
	ReasonModuleNotAllowed = "ModuleNotAllowed"
	ReasonPINRefused       = "PINRefused"
	ReasonPINLastTry       = "PINLastTry"
	ReasonProfileUnknown   = "ProfileUnknown"
	ReasonSelfTestFailed   = "SelfTestFailed"
)

// CryptoDevice (密码机) is a crypto device that makes and holds SM2 keys.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Label",type=string,JSONPath=`.status.label`
// +kubebuilder:printcolumn:name="Serial",type=string,JSONPath=`.status.serialNumber`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CryptoDevice struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec CryptoDeviceSpec `json:"spec,omitempty"`
	// +optional
	Status CryptoDeviceStatus `json:"status,omitempty"`
}

// CryptoDeviceSpec says which device and how to reach it: exactly one member.
//
// +kubebuilder:validation:ExactlyOneOf=software;pkcs11
type CryptoDeviceSpec struct {
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
	// software is a keystore file of the process, for development.
	// +optional
	Software *SoftwareDevice `json:"software,omitempty"`
	// pkcs11 is a token behind a PKCS#11 module.
	// +optional
	PKCS11 *PKCS11Device `json:"pkcs11,omitempty"`
}

// SoftwareDevice is a keystore of encrypted PKCS#8 files (PBES2 with SM4) in the
// process's keystore folder. It is for development.
type SoftwareDevice struct {
	// passwordSecretRef names the password that encrypts the keystore.
	// +required
	PasswordSecretRef SecretKeyReference `json:"passwordSecretRef,omitempty"`
}

// PKCS11Device is a token behind a PKCS#11 module.
//
// +kubebuilder:validation:ExactlyOneOf=tokenLabel;slot
type PKCS11Device struct {
	// modulePath is the absolute path of the PKCS#11 module on the host of the
	// process. The process loads only modules that its own flag
	// --pkcs11-module allows.
	// +required
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`^/[^\x00]+$`
	ModulePath string `json:"modulePath,omitempty"`
	// tokenLabel selects the token by its label.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	TokenLabel string `json:"tokenLabel,omitempty"`
	// slot selects the token by its slot number.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Slot *int64 `json:"slot,omitempty"`
	// pinSecretRef names the user PIN. A PIN that the token refused is not tried
	// again until the Secret changes.
	// +required
	PINSecretRef SecretKeyReference `json:"pinSecretRef,omitempty"`
	// mechanismProfile names the numbers and forms that this make of token uses.
	// +optional
	// +kubebuilder:default=Sansec
	// +kubebuilder:validation:MaxLength=63
	MechanismProfile string `json:"mechanismProfile,omitempty"`
	// maxSessions bounds the session pool.
	// +optional
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MaxSessions int32 `json:"maxSessions,omitempty"`
}

// CryptoDeviceStatus is what was last seen of the device.
type CryptoDeviceStatus struct {
	ObjectStatus `json:",inline"`
	// label of the token or keystore.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Label string `json:"label,omitempty"`
	// serialNumber of the token.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SerialNumber string `json:"serialNumber,omitempty"`
	// model of the token.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Model string `json:"model,omitempty"`
	// refusedPINResourceVersion is the resourceVersion of the PIN Secret whose
	// PIN the token refused; it is not tried again.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RefusedPINResourceVersion string `json:"refusedPINResourceVersion,omitempty"`
}

// CryptoDeviceList is a list of CryptoDevice.
//
// +kubebuilder:object:root=true
type CryptoDeviceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CryptoDevice `json:"items"`
}
