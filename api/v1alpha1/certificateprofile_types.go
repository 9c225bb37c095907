package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CertificateProfile (证书模板) says what a certificate of a sort contains.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Validity",type=string,JSONPath=`.spec.validity`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CertificateProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec CertificateProfileSpec `json:"spec,omitempty"`
	// +optional
	Status CertificateProfileStatus `json:"status,omitempty"`
}

// CertificateProfileSpec is the content of a profile. CA certificates have no
// profile here: their content is fixed and reachable through a BusinessCA only.
type CertificateProfileSpec struct {
	// deletionPolicy: Protect refuses the deletion of what is in use; Orphan
	// lets the object go: its keys stay in the device, its facts in the ledger,
	// and the same YAML finds them again.
	// +optional
	// +kubebuilder:default=Protect
	// +kubebuilder:validation:Enum=Protect;Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// subject lists the attributes of the distinguished name, most significant first (C before O before CN).
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	Subject []SubjectAttributeRule `json:"subject,omitempty"`
	// keyUsages of the signing certificate (RFC 5280 §4.2.1.3), always critical.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +listType=set
	KeyUsages []KeyUsage `json:"keyUsages,omitempty"`
	// extendedKeyUsages are object identifiers in dotted form (RFC 5280 §4.2.1.12).
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^[0-2](\.(0|[1-9][0-9]*))+$`
	// +listType=set
	ExtendedKeyUsages []string `json:"extendedKeyUsages,omitempty"`
	// extendedKeyUsageCriticality: a time stamp signer's is critical (RFC 3161 §2.3).
	// +optional
	// +kubebuilder:default=NonCritical
	// +kubebuilder:validation:Enum=NonCritical;Critical
	ExtendedKeyUsageCriticality Criticality `json:"extendedKeyUsageCriticality,omitempty"`
	// validity of the certificate; it never reaches beyond the issuer's.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('262800h')",message="validity must be between 1h and 262800h (30 years)"
	Validity metav1.Duration `json:"validity,omitempty"`
	// backdate moves notBefore into the past, for clients whose clock is late.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('48h')",message="backdate must be between 0s and 48h"
	Backdate metav1.Duration `json:"backdate,omitempty"`
	// subjectAlternativeNames lists the kinds of names that a request may carry.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	// +listType=set
	SubjectAlternativeNames []SubjectAlternativeNameType `json:"subjectAlternativeNames,omitempty"`
	// identityExtensions of GB/T 20518, as data: an object identifier is added without code.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	IdentityExtensions []IdentityExtension `json:"identityExtensions,omitempty"`
	// ocspNoCheck adds id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1), for OCSP signers.
	// +optional
	// +kubebuilder:default=Absent
	// +kubebuilder:validation:Enum=Absent;Present
	OCSPNoCheck Presence `json:"ocspNoCheck,omitempty"`
}

// SubjectAttributeRule is the rule of one attribute of the subject.
type SubjectAttributeRule struct {
	// type is a short name (C, ST, L, O, OU, CN, SERIALNUMBER, UID, DC, T, GN, SN, E) or a dotted object identifier.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Type string `json:"type,omitempty"`
	// presence: Required, Optional, or Fixed to value.
	// +optional
	// +kubebuilder:default=Required
	// +kubebuilder:validation:Enum=Required;Optional;Fixed
	Presence AttributePresence `json:"presence,omitempty"`
	// value of a Fixed attribute.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
	// maxLength in characters.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MaxLength int32 `json:"maxLength,omitempty"`
}

// AttributePresence says whether a subject attribute must be there.
type AttributePresence string

// Attribute presences.
const (
	AttributeRequired AttributePresence = "Required"
	AttributeOptional AttributePresence = "Optional"
	AttributeFixed    AttributePresence = "Fixed"
)

// KeyUsage is a bit of RFC 5280 §4.2.1.3 that a subscriber's certificate may have.
// +kubebuilder:validation:Enum=DigitalSignature;ContentCommitment;KeyEncipherment;DataEncipherment;KeyAgreement
type KeyUsage string

// Criticality of an extension.
type Criticality string

// Criticalities.
const (
	NonCritical Criticality = "NonCritical"
	Critical    Criticality = "Critical"
)

// Presence of an extension.
type Presence string

// Presences.
const (
	Absent  Presence = "Absent"
	Present Presence = "Present"
)

// SubjectAlternativeNameType is a kind of GeneralName.
// +kubebuilder:validation:Enum=DNS;IP;Email;URI
type SubjectAlternativeNameType string

// IdentityExtension is a non-critical extension that holds an identity number.
type IdentityExtension struct {
	// name by which requests give the value, e.g. insuranceNumber.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9]*$`
	Name string `json:"name,omitempty"`
	// oid of the extension, dotted.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-2](\.(0|[1-9][0-9]*))+$`
	OID string `json:"oid,omitempty"`
	// encoding of the value. The ...ChoiceN forms are IdentifyCode's CHOICE of
	// GB/T 20518, explicitly tagged [N].
	// +required
	// +kubebuilder:validation:Enum=PrintableString;UTF8String;IA5String;ResidentCardChoice0;MilitaryCardChoice1;PassportChoice2
	Encoding IdentityEncoding `json:"encoding,omitempty"`
	// presence: Required or Optional.
	// +optional
	// +kubebuilder:default=Optional
	// +kubebuilder:validation:Enum=Required;Optional
	Presence AttributePresence `json:"presence,omitempty"`
	// pattern that the value must match as a whole (RE2).
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Pattern string `json:"pattern,omitempty"`
}

// IdentityEncoding is the ASN.1 form of an identity extension's value.
type IdentityEncoding string

// Identity encodings.
const (
	EncodingPrintableString     IdentityEncoding = "PrintableString"
	EncodingUTF8String          IdentityEncoding = "UTF8String"
	EncodingIA5String           IdentityEncoding = "IA5String"
	EncodingResidentCardChoice0 IdentityEncoding = "ResidentCardChoice0"
	EncodingMilitaryCardChoice1 IdentityEncoding = "MilitaryCardChoice1"
	EncodingPassportChoice2     IdentityEncoding = "PassportChoice2"
)

// CertificateProfileStatus says whether the profile can be used.
type CertificateProfileStatus struct {
	ObjectStatus `json:",inline"`
}

// CertificateProfileList is a list of CertificateProfile.
//
// +kubebuilder:object:root=true
type CertificateProfileList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CertificateProfile `json:"items"`
}
