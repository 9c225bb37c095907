package pki

import (
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"
)

// Object identifiers in dotted form.
const (
	OIDSM2Curve   = "1.2.156.10197.1.301" // GB/T 33560-2017 Annex A
	OIDSM2WithSM3 = "1.2.156.10197.1.501"
	OIDPublicKey  = "1.2.840.10045.2.1" // id-ecPublicKey, RFC 5480 §2.1.1

	OIDSubjectKeyID          = "2.5.29.14"
	OIDKeyUsage              = "2.5.29.15"
	OIDSubjectAltName        = "2.5.29.17"
	OIDBasicConstraints      = "2.5.29.19"
	OIDCRLNumber             = "2.5.29.20"
	OIDReasonCode            = "2.5.29.21"
	OIDDeltaCRLIndicator     = "2.5.29.27"
	OIDIssuingDistribution   = "2.5.29.28"
	OIDCRLDistributionPoints = "2.5.29.31"
	OIDAuthorityKeyID        = "2.5.29.35"
	OIDExtKeyUsage           = "2.5.29.37"
	OIDFreshestCRL           = "2.5.29.46"
	OIDAuthorityInfoAccess   = "1.3.6.1.5.5.7.1.1"
	OIDOCSPNoCheck           = "1.3.6.1.5.5.7.48.1.5"

	OIDAccessOCSP      = "1.3.6.1.5.5.7.48.1"
	OIDAccessCAIssuers = "1.3.6.1.5.5.7.48.2"

	OIDExtKeyUsageTimeStamping = "1.3.6.1.5.5.7.3.8"
	OIDExtKeyUsageOCSPSigning  = "1.3.6.1.5.5.7.3.9"
	// OIDExtKeyUsageTrustListSigning is Microsoft's szOID_KP_CTL_USAGE_SIGNING.
	OIDExtKeyUsageTrustListSigning = "1.3.6.1.4.1.311.10.3.1"

	OIDExtensionRequest = "1.2.840.113549.1.9.14"
)

// MaxOIDText is the longest object identifier in dotted form, in bytes.
const MaxOIDText = 64

// maxArc leaves room for the 80 that DER adds to the second arc under 2.
const maxArc = 1<<31 - 1 - 80

// ParseOID reads an object identifier in dotted form: 2 to 32 arcs without
// leading zeros, each below 2^31 - 80, and at most MaxOIDText bytes.
func ParseOID(s string) (asn1.ObjectIdentifier, error) {
	fail := func(why string) (asn1.ObjectIdentifier, error) {
		return nil, fmt.Errorf("object identifier %.64q: %s; write it as dotted numbers, e.g. 1.2.156.10260.4.1.2", s, why)
	}
	if len(s) > MaxOIDText {
		return fail(fmt.Sprintf("has more than %d bytes", MaxOIDText))
	}
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 32 {
		return fail("does not have 2 to 32 arcs")
	}
	oid := make(asn1.ObjectIdentifier, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 31)
		if err != nil || n > maxArc || strconv.FormatUint(n, 10) != p {
			return fail(fmt.Sprintf("arc %d is not a plain number", i+1))
		}
		oid[i] = int(n)
	}
	if oid[0] > 2 || (oid[0] < 2 && oid[1] > 39) {
		return fail("has no such root")
	}
	return oid, nil
}

// isStandardExtension tells the extensions that Terrace writes from a profile's
// own fields, or never, from the ones that a profile may add.
func isStandardExtension(oid string) bool {
	return oid == OIDOCSPNoCheck || strings.HasPrefix(oid, "2.5.29.") || strings.HasPrefix(oid, "1.3.6.1.5.5.7.1.")
}
