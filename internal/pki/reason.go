package pki

import "fmt"

// Reason is a CRLReason of RFC 5280 §5.3.1.
type Reason int

// Reasons that Terrace uses.
const (
	ReasonUnspecified          Reason = 0
	ReasonKeyCompromise        Reason = 1
	ReasonCACompromise         Reason = 2
	ReasonAffiliationChanged   Reason = 3
	ReasonSuperseded           Reason = 4
	ReasonCessationOfOperation Reason = 5
	ReasonCertificateHold      Reason = 6
	// ReasonRemoveFromCRL takes a certificate off again, in a delta CRL alone.
	ReasonRemoveFromCRL      Reason = 8
	ReasonPrivilegeWithdrawn Reason = 9
)

var reasonNames = map[Reason]string{
	ReasonUnspecified: "unspecified", ReasonKeyCompromise: "keyCompromise", ReasonCACompromise: "cACompromise",
	ReasonAffiliationChanged: "affiliationChanged", ReasonSuperseded: "superseded",
	ReasonCessationOfOperation: "cessationOfOperation", ReasonCertificateHold: "certificateHold",
	ReasonPrivilegeWithdrawn: "privilegeWithdrawn",
}

// String is the name in RFC 5280.
func (r Reason) String() string {
	if n, ok := reasonNames[r]; ok {
		return n
	}
	if r == ReasonRemoveFromCRL {
		return "removeFromCRL"
	}
	return fmt.Sprintf("reason(%d)", int(r))
}

// OnCRL says whether the reason may stand on a full CRL: removeFromCRL (8) is
// for delta CRLs, and 7 is not used (RFC 5280 §5.3.1).
func (r Reason) OnCRL() bool {
	_, ok := reasonNames[r]
	return ok
}
