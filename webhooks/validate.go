// Package webhooks refuses at admission what CEL cannot judge, so that kubectl
// says at once what is wrong; writes who asks; and asks the API server whether
// a person may decide.
package webhooks

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/profile"
	"github.com/terrace-pki/terrace/internal/pki"
)

var spec = field.NewPath("spec")

// certificateRequest judges the signing request by itself (GM/T 0092-2020).
func certificateRequest(r *pkiv1.CertificateRequest) (errs field.ErrorList) {
	path := spec.Child("request")
	req, err := pki.ParseRequest(r.Spec.Request)
	if err != nil {
		return append(errs, refuse(path, err))
	}
	if err := req.IsSM2(); err != nil {
		return append(errs, refuse(path, err))
	}
	if err := req.VerifyPossession(); err != nil {
		return append(errs, refuse(path, err))
	}
	return nil
}

// ignoredExtensions tells the applicant what the certificate will not have.
func ignoredExtensions(r *pkiv1.CertificateRequest) (warnings admission.Warnings) {
	req, err := pki.ParseRequest(r.Spec.Request)
	if err != nil {
		return nil
	}
	for _, oid := range req.IgnoredExtensions[:min(len(req.IgnoredExtensions), maxWarnings)] {
		warnings = append(warnings, fmt.Sprintf("spec.request: asks for extension %s, which is ignored: what a certificate has is for its profile to say", oid))
	}
	return warnings
}

// maxWarnings bounds the warnings about one object.
const maxWarnings = 8

func certificateProfile(p *pkiv1.CertificateProfile) field.ErrorList {
	if _, err := profile.FromSpec(p.Name, p.Spec); err != nil {
		return field.ErrorList{refuse(spec, err)}
	}
	return nil
}

func registrationAuthority(r *pkiv1.RegistrationAuthority) field.ErrorList {
	var errs field.ErrorList
	if _, err := policy.NameRules(r.Spec.AllowedNames); err != nil {
		errs = append(errs, refuse(spec.Child("allowedNames"), err))
	}
	path := spec.Child("approvals")
	if len(r.Spec.Approvals) > 0 && r.Spec.ApprovalPolicy != pkiv1.ApprovalReviewed {
		errs = append(errs, field.Forbidden(path, "approvalPolicy None asks nobody; write approvalPolicy: Reviewed, or leave this out"))
	}
	for i, a := range r.Spec.Approvals {
		if !slices.Contains(r.Spec.AllowedProfiles, a.Profile) {
			errs = append(errs, field.Invalid(path.Index(i).Child("profile"), a.Profile, "is not one of spec.allowedProfiles, so that no request could use it; correct the name"))
		}
	}
	return errs
}

func industryCA(ca *pkiv1.IndustryCA) field.ErrorList {
	errs := common(&ca.Spec.CACommon)
	if len(ca.Spec.RootCertificate) > 0 {
		path := spec.Child("rootCertificate")
		root, err := pki.ParseCertificatePEM(ca.Spec.RootCertificate)
		switch {
		case err != nil:
			errs = append(errs, refuse(path, err))
		case !pki.IsSM2Certificate(root):
			errs = append(errs, refuse(path, errNotSM2))
		case !root.IsCA || !bytes.Equal(root.RawSubject, root.RawIssuer):
			errs = append(errs, refuse(path, fmt.Errorf("is no root: want a self-issued CA certificate")))
		case root.CheckSignatureFrom(root) != nil:
			errs = append(errs, refuse(path, fmt.Errorf("its own key did not sign it")))
		}
	}
	return append(errs, caCertificate(spec.Child("certificate"), ca.Spec.Certificate)...)
}

func businessCA(ca *pkiv1.BusinessCA) field.ErrorList {
	errs := common(&ca.Spec.CACommon)
	ext := ca.Spec.Issuer.External
	if ext == nil {
		return errs
	}
	path := spec.Child("issuer", "external")
	errs = append(errs, caCertificate(path.Child("certificate"), ext.Certificate)...)
	if len(ext.Chain) > 0 {
		if _, err := pki.ParseCertificatesPEM(ext.Chain, maxChain); err != nil {
			errs = append(errs, refuse(path.Child("chain"), err))
		}
	}
	return errs
}

// errNotSM2: a tier has SM2 certificates alone.
var errNotSM2 = errors.New("is not an SM2 certificate: its key must be on the SM2 curve and its signature SM2 with SM3")

// validationService checks what the CRD's pattern lets through: ports and dot segments.
func validationService(v *pkiv1.ValidationService) field.ErrorList {
	path := spec.Child("baseURL")
	u, err := url.Parse(v.Spec.BaseURL)
	if err != nil {
		return field.ErrorList{refuse(path, err)}
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return field.ErrorList{refuse(path, fmt.Errorf("port %s: want 1 to 65535", p))}
		}
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return field.ErrorList{refuse(path, errors.New("path must have no dot segments"))}
		}
	}
	return nil
}

// maxChain bounds the certificates above a CA.
const maxChain = 8

func common(c *pkiv1.CACommon) (errs field.ErrorList) {
	if _, err := pki.ParseName(c.Subject); err != nil {
		errs = append(errs, refuse(spec.Child("subject"), err))
	}
	return errs
}

func caCertificate(path *field.Path, pem []byte) field.ErrorList {
	if len(pem) == 0 {
		return nil
	}
	cert, err := pki.ParseCertificatePEM(pem)
	if err == nil && !pki.IsSM2Certificate(cert) {
		err = errNotSM2
	}
	if err == nil && !cert.IsCA {
		err = fmt.Errorf("is not a CA certificate: basicConstraints must say CA:TRUE")
	}
	if err != nil {
		return field.ErrorList{refuse(path, err)}
	}
	return nil
}

// refuse leaves the value out: it is long, or nobody else's business.
func refuse(path *field.Path, err error) *field.Error {
	return field.Invalid(path, field.OmitValueType{}, err.Error())
}
