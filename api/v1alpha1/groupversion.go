// Package v1alpha1 holds the kinds of the certificate authentication system of
// LD/T 02.1-2022, group pki.terrace.dev.
//
// +kubebuilder:object:generate=true
// +groupName=pki.terrace.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "pki.terrace.dev", Version: "v1alpha1"}

// AddToScheme registers every kind of this package with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&CryptoDevice{}, &CryptoDeviceList{},
		&IndustryCA{}, &IndustryCAList{},
		&BusinessCA{}, &BusinessCAList{},
		&CertificateProfile{}, &CertificateProfileList{},
		&RegistrationAuthority{}, &RegistrationAuthorityList{},
		&CertificateRequest{}, &CertificateRequestList{},
		&ValidationService{}, &ValidationServiceList{},
		&Tier{}, &TierList{},
		&Approval{}, &ApprovalList{},
		&CertificateRevocation{}, &CertificateRevocationList{},
		&Directory{}, &DirectoryList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
