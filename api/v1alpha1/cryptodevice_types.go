package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a CryptoDevice besides Ready.
const (
	// ConditionReachable: the token or keystore could be opened and logged in to, or
	// its standby works in its place. Reasons: Succeeded, StandbyActive,
	// ModuleNotAllowed, ReferenceNotFound, DeviceUnavailable, PINRefused, PINLastTry,
	// ProfileUnknown.
	ConditionReachable = "Reachable"
	// ConditionSelfTestPassed: a signature of a test key verified.
	// Reasons: Succeeded, SelfTestFailed.
	ConditionSelfTestPassed = "SelfTestPassed"
	// ConditionRedundant: spec.standbyRef is set, both devices work, and each key in
	// use is the same in both. Without it the device works, but one failure stops
	// it; Ready does not wait for it. Reasons: Succeeded, DeviceUnavailable,
	// KeyMissing, KeyDiffers.
	ConditionRedundant = "Redundant"
)

// Reasons of a CryptoDevice.
const (
	ReasonModuleNotAllowed = "ModuleNotAllowed"
	ReasonPINRefused       = "PINRefused"
	ReasonPINLastTry       = "PINLastTry"
	ReasonProfileUnknown   = "ProfileUnknown"
	ReasonSelfTestFailed   = "SelfTestFailed"
	ReasonStandbyActive    = "StandbyActive"
	ReasonKeyDiffers       = "KeyDiffers"
)

// CryptoDevice (密码机) is a crypto device that makes and holds SM2 keys.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Label",type=string,JSONPath=`.status.label`
// +kubebuilder:printcolumn:name="Redundant",type=string,JSONPath=`.status.conditions[?(@.type=="Redundant")].status`
// +kubebuilder:printcolumn:name="Serial",type=string,JSONPath=`.status.serialNumber`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.standbyRef) || self.spec.standbyRef.name != self.metadata.name",message="standbyRef names this device itself; name the other device that holds the same keys"
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
// +kubebuilder:validation:ExactlyOneOf=software;pkcs11;sdf
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
	// standbyRef names the CryptoDevice of this namespace that holds the same keys
	// under the same labels, brought there by the maker's tools (cloning, backup and
	// restore), and signs when this one cannot. Keys are made in this one alone, and
	// only while the standby answers. Each of the two may be the other's.
	// +optional
	StandbyRef *LocalObjectReference `json:"standbyRef,omitempty"`
	// software is a keystore file of the process, for development.
	// +optional
	Software *SoftwareDevice `json:"software,omitempty"`
	// pkcs11 is a token behind a PKCS#11 module.
	// +optional
	PKCS11 *PKCS11Device `json:"pkcs11,omitempty"`
	// sdf is a device behind a library of the SDF interface (GB/T 36322).
	// +optional
	SDF *SDFDevice `json:"sdf,omitempty"`
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

// SDFStructures is ECCref_MAX_BITS of a maker's header.
type SDFStructures string

const (
	SDFStructuresBits512 SDFStructures = "Bits512"
	SDFStructuresBits256 SDFStructures = "Bits256"
)

// SDFPadding says where the zeros stand in a field that is longer than its number.
type SDFPadding string

const (
	SDFPaddingLeading  SDFPadding = "Leading"
	SDFPaddingTrailing SDFPadding = "Trailing"
)

// SDFAlgorithms names a set of algorithm numbers.
type SDFAlgorithms string

const (
	SDFAlgorithmsGBT33560 SDFAlgorithms = "GBT33560"
	SDFAlgorithmsEarly    SDFAlgorithms = "Early"
)

// SDFDevice is a crypto card or machine behind a library of the SDF interface
// (GB/T 36322-2018). SDF knows keys by index, and only the maker's tool makes them:
// keys says which key stands where.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || self.keys.all(k, self.keys.exists_one(o, o.index == k.index))",message="each key has an index of its own: two entries of keys have the same one"
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || self.keys.all(k, k.index != self.selfTestKeyIndex)",message="selfTestKeyIndex is the index of a key that nothing else uses: it is in keys too"
type SDFDevice struct {
	// libraryPath is the absolute path of the maker's library on the host of the
	// process. The process loads only libraries that its own flag --sdf-library allows.
	// +required
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`^/[^\x00]+$`
	LibraryPath string `json:"libraryPath,omitempty"`
	// passwordSecretRef names the access password of the private keys, which is one
	// for all indexes that are used here. A password that the device refused is not
	// tried again until the Secret changes.
	// +required
	PasswordSecretRef SecretKeyReference `json:"passwordSecretRef,omitempty"`
	// keys gives key labels the index where the maker's tool made their signing key
	// pair. The CA that misses a key shows its label in status.
	// +optional
	// +listType=map
	// +listMapKey=label
	// +kubebuilder:validation:MaxItems=64
	Keys []SDFKey `json:"keys,omitempty"`
	// selfTestKeyIndex is the index of a key pair that is used for the self-test alone.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	SelfTestKeyIndex int32 `json:"selfTestKeyIndex,omitempty"`
	// structures is ECCref_MAX_BITS of the maker's header.
	// +optional
	// +kubebuilder:default=Bits512
	// +kubebuilder:validation:Enum=Bits512;Bits256
	Structures SDFStructures `json:"structures,omitempty"`
	// padding says where the zeros stand in a field that is longer than its number.
	// +optional
	// +kubebuilder:default=Leading
	// +kubebuilder:validation:Enum=Leading;Trailing
	Padding SDFPadding `json:"padding,omitempty"`
	// algorithms names the algorithm numbers of the maker's header: GBT33560 when its
	// SGD_SM2_1 is 0x20200, Early when it is 0x20100.
	// +optional
	// +kubebuilder:default=GBT33560
	// +kubebuilder:validation:Enum=GBT33560;Early
	Algorithms SDFAlgorithms `json:"algorithms,omitempty"`
	// maxSessions bounds the session pool.
	// +optional
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MaxSessions int32 `json:"maxSessions,omitempty"`
}

// SDFKey is one key of an SDF device.
type SDFKey struct {
	// label of the key: terrace/KIND/NAMESPACE/NAME/g1 of the IndustryCA, BusinessCA
	// or ValidationService that signs with it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Label string `json:"label,omitempty"`
	// index of the key pair in the device. A CA takes the public key that it finds
	// there first for good: another key under the index is refused later.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Index int32 `json:"index,omitempty"`
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
