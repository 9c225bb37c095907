package lint

import (
	"slices"

	"github.com/terrace-pki/terrace/internal/pki"
)

var certificateRules = slices.Concat(signatureRules, nameRules, purposeRules, keyIDRules, extensionRules, altNameRules, pointRules, accessRules, policyRules, identityRules)

// ExamineCertificate runs the gate's checks and the wider set over a certificate
// that was signed. kind is what it is meant to be; 0: what it looks like.
func ExamineCertificate(der []byte, ctx Context, kind Kinds) []Finding {
	c, err := parseCertificate(der, ctx)
	if err != nil {
		return []Finding{{CheckCertificateForm, SeverityError, err.Error()}}
	}
	c.raw, c.kind = der, kind
	if kind == 0 {
		c.kind = c.detect()
	}
	known := ctx.Issuer != nil || c.selfIssued()
	findings := examineGate(certificateChecks, c, c.kind, known)
	findings = append(findings, examine(derRules, document{der, c.Extensions}, c.kind)...)
	return append(findings, examine(certificateRules, c, c.kind)...)
}

// detect tells the kind by basicConstraints and the usages.
func (c *CertificateInput) detect() Kinds {
	u := c.read.keyUsage
	switch {
	case c.read.constraints.ca || u&pki.KeyUsagesCA != 0:
		return KindCA
	case c.hasUsage(pki.OIDExtKeyUsageTimeStamping):
		return KindTSA
	case c.hasUsage(pki.OIDExtKeyUsageOCSPSigning):
		return KindOCSPSigner
	case u&pki.KeyUsagesEncryption != 0 && u&pki.KeyUsagesSigning == 0:
		return KindEncryption
	}
	return KindSigning
}

// ExamineCRL is ExamineCertificate for a list.
func ExamineCRL(der []byte, ctx Context, kind Kinds) []Finding {
	c, err := parseCRL(der, ctx)
	if err != nil {
		return []Finding{{CheckCRLForm, SeverityError, err.Error()}}
	}
	c.raw, c.kind = der, kind
	if kind == 0 {
		c.kind = c.detect()
	}
	findings := examineGate(CRLChecks(), c, c.kind, ctx.Issuer != nil)
	findings = append(findings, examine(derRules, document{der, c.Extensions}, c.kind)...)
	return append(findings, examine(crlRules, c, c.kind)...)
}

func (c *CRLInput) detect() Kinds {
	kind := KindCRL
	if s, err := c.scope(); err == nil && s.ca {
		kind = KindARL
	}
	if _, delta := c.Find(oidDeltaCRLIndicator); delta {
		kind |= KindDeltaCRL
	}
	return kind
}

// needIssuer are the checks of the gate that cannot be run without the issuer.
var needIssuer = []string{"issuer-name", "crl-issuer-name"}

func examineGate[In any](checks []Check[In], in In, kind Kinds, issuerKnown bool) []Finding {
	var findings []Finding
	for _, c := range checks {
		g := gate[c.Name]
		if g.gateOnly || g.kinds&kind == 0 || !issuerKnown && slices.Contains(needIssuer, c.Name) {
			continue
		}
		if err := c.Run(in); err != nil {
			findings = append(findings, Finding{c.Name, g.severity, err.Error()})
		}
	}
	return findings
}

func examine[In any](rules []rule[In], in In, kind Kinds) []Finding {
	var findings []Finding
	for _, r := range rules {
		if r.Kinds&kind == 0 {
			continue
		}
		if err := r.Run(in); err != nil {
			findings = append(findings, Finding{r.Name, r.Severity, err.Error()})
		}
	}
	return findings
}
