// Package lint checks certificates, CRLs, OCSP responses and requests by named
// rules, each with the clause that asks for it. docs/lints.md lists them.
//
// Certificate and CRL are the gate before an issuer signs: whatever they find,
// nothing is signed. There, signatures are not verified, only their form is
// looked at, for what is linted is a copy that the issuer has not signed.
//
// Examine is for what was signed, by Terrace or by others: the rules of the
// gate, except for those that only say what Terrace itself writes, and a wider
// set that the gate need not repeat, since the encoder cannot break it.
//
// DER is read with a parser of its own that is more lenient than the one for
// foreign certificates, so that what is wrong is named and not merely refused.
package lint

import (
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Context is what a certificate or CRL is compared with.
type Context struct {
	// Issuer is nil for a self-signed certificate. For Examine it is also nil
	// when it is not known, and what needs it is left out.
	Issuer *smx509.Certificate
	// Identity are the identity extensions of the profile; those of GB/T 20518
	// are known anyway.
	Identity []pki.IdentityExtension
}

// Finding is a check that failed.
type Finding struct {
	// Check is the name.
	Check string `json:"lint"`
	// Severity is SeverityError for whatever the gate finds.
	Severity Severity `json:"severity"`
	// Detail says what is wrong.
	Detail string `json:"detail"`
}

// String is "check: detail".
func (f Finding) String() string { return f.Check + ": " + f.Detail }

// Check is one rule over parsed input In.
type Check[In any] struct {
	// Name in lower case with hyphens.
	Name string
	// Source is the clause.
	Source string
	// Run returns what is wrong, or nil.
	Run func(In) error
}

// Names of the findings of input that cannot be taken apart.
const (
	CheckCertificateForm = "certificate-form"
	CheckCRLForm         = "crl-form"
)

// Certificate runs every check over a certificate and returns what failed, in
// the order of CertificateChecks. None: the certificate may be signed.
func Certificate(der []byte, ctx Context) []Finding {
	in, err := parseCertificate(der, ctx)
	if err != nil {
		return []Finding{{CheckCertificateForm, SeverityError, err.Error()}}
	}
	return run(certificateChecks, in)
}

// CRL runs every check over a CRL, like Certificate.
func CRL(der []byte, ctx Context) []Finding {
	in, err := parseCRL(der, ctx)
	if err != nil {
		return []Finding{{CheckCRLForm, SeverityError, err.Error()}}
	}
	return run(CRLChecks(), in)
}

func run[In any](checks []Check[In], in In) []Finding {
	var findings []Finding
	for _, c := range checks {
		if err := c.Run(in); err != nil {
			findings = append(findings, Finding{c.Name, SeverityError, err.Error()})
		}
	}
	return findings
}

// Error is findings as an error.
type Error struct {
	// What was linted: "certificate" or "CRL".
	What     string
	Findings []Finding
}

func (e *Error) Error() string {
	errs := make([]error, len(e.Findings))
	for i, f := range e.Findings {
		errs[i] = errors.New(f.String())
	}
	return fmt.Sprintf("lint %s: not signed: %v", e.What, errors.Join(errs...))
}
