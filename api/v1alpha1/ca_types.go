package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of IndustryCA and BusinessCA besides Ready.
const (
	// ConditionKeyReady: the CA's key exists in its device.
	// Reasons: Succeeded, ReferenceNotFound, ReferenceNotReady,
	// DeviceUnavailable, KeyMissing, StoreUnavailable.
	ConditionKeyReady = "KeyReady"
	// ConditionCertificateReady: a certificate for the key is present and its chain holds.
	// Reasons: Succeeded, AwaitingCertificate, CertificateInvalid,
	// RootInvalid, AwaitingApproval, Denied, ReferenceNotFound, ReferenceNotReady, IssuancePaused,
	// IssuerRevoked, LedgerRestored, StoreUnavailable.
	ConditionCertificateReady = "CertificateReady"
	// ConditionSpecAccepted: the ledger keeps this spec, so that CRLs and
	// issuance go on without the API server.
	// Reasons: Succeeded, StoreUnavailable, InvalidSpec.
	ConditionSpecAccepted = "SpecAccepted"
	// ConditionTrustListPublished of an IndustryCA with spec.trustList: the list of
	// the CAs that are trusted now is signed, and on its way to the directories and
	// validation nodes. Ready does not wait for it: a late list stops no issuance.
	// Reasons: Succeeded, Progressing, IssuancePaused, IssuerRevoked, KeyMissing,
	// DeviceUnavailable, StoreUnavailable.
	ConditionTrustListPublished = "TrustListPublished"
)

// Reasons of a CA.
const (
	ReasonCertificateInvalid = "CertificateInvalid"
	ReasonRootInvalid        = "RootInvalid"
	ReasonIssuancePaused     = "IssuancePaused"
)

// IndustryCA (行业CA) is the CA of the whole sector under the national root
// (LD/T 02.1 §7.3): it issues business CAs and an ARL.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Issued",type=integer,JSONPath=`.status.issuedCertificates`
// +kubebuilder:printcolumn:name="NotAfter",type=string,JSONPath=`.status.notAfter`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IndustryCA struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec IndustryCASpec `json:"spec,omitempty"`
	// +optional
	Status IndustryCAStatus `json:"status,omitempty"`
}

// IndustryCASpec declares an industry CA.
type IndustryCASpec struct {
	CACommon `json:",inline"`
	// rootCertificate is the national root's certificate, PEM. It is the trust
	// anchor: whoever can write this field decides what the tier trusts.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	RootCertificate []byte `json:"rootCertificate,omitempty"`
	// certificate is what the national root issued for status.certificateSigningRequest, PEM.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Certificate []byte `json:"certificate,omitempty"`
	// trustList has the certificate trust list (证书信任列表) made: the certificates
	// of this CA, of those above it, and of the CAs below it that are in force.
	// Without it none is made, and the last one runs out.
	// +optional
	TrustList *TrustListSpec `json:"trustList,omitempty"`
}

// TrustListSpec says how trust lists are made and signed.
//
// +kubebuilder:validation:XValidation:rule="has(self.deviceRef) == has(oldSelf.deviceRef) && (!has(self.deviceRef) || self.deviceRef == oldSelf.deviceRef)",message="trustList.deviceRef is immutable: the signer's key cannot leave its device"
type TrustListSpec struct {
	// interval between two lists; one is also made when the set of CAs changes.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('4320h')",message="trustList.interval must be between 1m and 4320h (180 days)"
	Interval metav1.Duration `json:"interval,omitempty"`
	// overlap is how long a list stays valid after the next one is due.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('4320h')",message="trustList.overlap must be between 1m and 4320h (180 days)"
	Overlap metav1.Duration `json:"overlap,omitempty"`
	// deviceRef names the CryptoDevice that holds the key of the lists' signer,
	// which signs nothing else; by default the CA's own device.
	// +optional
	DeviceRef *LocalObjectReference `json:"deviceRef,omitempty"`
}

// IndustryCAStatus is what is known of an industry CA.
type IndustryCAStatus struct {
	CAStatus `json:",inline"`
	// trustList is the current one.
	// +optional
	TrustList *TrustListStatus `json:"trustList,omitempty"`
}

// TrustListStatus describes a signed trust list.
type TrustListStatus struct {
	// sequenceNumber grows from list to list.
	// +required
	SequenceNumber int64 `json:"sequenceNumber,omitempty"`
	// thisUpdate is when the list was made.
	// +required
	ThisUpdate metav1.Time `json:"thisUpdate,omitempty"`
	// nextUpdate is when the list stops being valid.
	// +required
	NextUpdate metav1.Time `json:"nextUpdate,omitempty"`
	// entries is the number of CA certificates on it.
	// +required
	Entries int32 `json:"entries,omitempty"`
}

// CACommon is the part of the spec that IndustryCA and BusinessCA share.
type CACommon struct {
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
	// subject is the CA's distinguished name, RFC 4514, most specific part first.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="subject is immutable: a CA of another name is another CA"
	Subject string `json:"subject,omitempty"`
	// deviceRef names the CryptoDevice that holds the CA's key.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="deviceRef is immutable: the key cannot leave its device"
	DeviceRef LocalObjectReference `json:"deviceRef,omitempty"`
	// validationServiceRef names the ValidationService whose URLs the issued
	// certificates carry, and which answers for them.
	// +optional
	ValidationServiceRef *LocalObjectReference `json:"validationServiceRef,omitempty"`
	// directoryRefs name the Directories that this CA's certificates and lists are published in.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	// +listType=map
	// +listMapKey=name
	DirectoryRefs []LocalObjectReference `json:"directoryRefs,omitempty"`
	// crl says how revocation lists are made.
	// +optional
	// +kubebuilder:default={}
	CRL CRLSpec `json:"crl,omitempty"`
	// issuance is Enabled or Paused. A paused CA signs no
	// certificate but those of its OCSP responder; it goes on signing CRLs.
	// +optional
	// +kubebuilder:default=Enabled
	// +kubebuilder:validation:Enum=Enabled;Paused
	Issuance IssuanceMode `json:"issuance,omitempty"`
}

// IssuanceMode says whether a CA issues.
type IssuanceMode string

// Issuance modes.
const (
	IssuanceEnabled IssuanceMode = "Enabled"
	IssuancePaused  IssuanceMode = "Paused"
)

// CRLSpec says how a CA's revocation lists are made (RFC 5280 §5).
//
// +kubebuilder:validation:XValidation:rule="!has(self.deltaInterval) || duration(self.deltaInterval) < duration(self.interval)",message="crl.deltaInterval must be shorter than crl.interval"
type CRLSpec struct {
	// interval between two lists.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="crl.interval must be between 1m and 8760h"
	Interval metav1.Duration `json:"interval,omitempty"`
	// overlap is how long a list stays valid after the next one is due:
	// nextUpdate = thisUpdate + interval + overlap.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="crl.overlap must be between 1m and 8760h"
	Overlap metav1.Duration `json:"overlap,omitempty"`
	// deltaInterval between two delta lists (RFC 5280 §5.2.4), which show what
	// changed since a full one; each is valid for two intervals. While it is set,
	// a revocation is published in a delta at once and in the next full list by
	// its interval, and new certificates name the delta. Unset: no deltas, and a
	// revocation is published in a full list at once.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="crl.deltaInterval must be between 1m and 8760h"
	DeltaInterval *metav1.Duration `json:"deltaInterval,omitempty"`
	// shards is the number of lists among which new certificates are spread.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Shards int32 `json:"shards,omitempty"`
}

// IndustryCAList is a list of IndustryCA.
//
// +kubebuilder:object:root=true
type IndustryCAList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IndustryCA `json:"items"`
}

// BusinessCA (业务CA) issues certificates to subscribers, or to further
// business CAs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=terrace
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Issued",type=integer,JSONPath=`.status.issuedCertificates`
// +kubebuilder:printcolumn:name="NotAfter",type=string,JSONPath=`.status.notAfter`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BusinessCA struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec BusinessCASpec `json:"spec,omitempty"`
	// +optional
	Status CAStatus `json:"status,omitempty"`
}

// BusinessCASpec declares a business CA.
type BusinessCASpec struct {
	CACommon `json:",inline"`
	// issuer says who issues this CA's certificate.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf || (has(self.external) && has(oldSelf.external))",message="issuer is immutable, but for the certificate of an external issuer"
	Issuer BusinessCAIssuer `json:"issuer,omitempty"`
	// validity of the CA certificate, when issued by a CA of this API. It never
	// reaches beyond the issuer's.
	// +optional
	// +kubebuilder:default="87600h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('438000h')",message="validity must be between 1h and 438000h (50 years)"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="validity is immutable: a longer one is a new certificate, hence a new BusinessCA"
	Validity metav1.Duration `json:"validity,omitempty"`
	// pathLength is the number of CAs that may stand below this one.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="pathLength is immutable: it stands in the certificate"
	PathLength int32 `json:"pathLength"`
}

// BusinessCAIssuer says who issues a BusinessCA: exactly one member.
//
// +kubebuilder:validation:ExactlyOneOf=industryCARef;businessCARef;external
type BusinessCAIssuer struct {
	// industryCARef names the IndustryCA that issues.
	// +optional
	IndustryCARef *LocalObjectReference `json:"industryCARef,omitempty"`
	// businessCARef names another BusinessCA that issues.
	// +optional
	BusinessCARef *LocalObjectReference `json:"businessCARef,omitempty"`
	// external: an issuer outside this API answers status.certificateSigningRequest.
	// +optional
	External *ExternalIssuer `json:"external,omitempty"`
}

// ExternalIssuer carries what an issuer outside this API gave.
type ExternalIssuer struct {
	// certificate issued for status.certificateSigningRequest, PEM. Empty while waiting for it.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Certificate []byte `json:"certificate,omitempty"`
	// chain above it, issuer first, root last, PEM. The root is the trust anchor.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	Chain []byte `json:"chain,omitempty"`
}

// BusinessCAList is a list of BusinessCA.
//
// +kubebuilder:object:root=true
type BusinessCAList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BusinessCA `json:"items"`
}
