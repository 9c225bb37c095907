package registration

import "github.com/emmansun/gmsm/sm3"

// ActContent is what a revocation, hold or release asks for: the fields that
// make it the same act as another one. When a list shows it is no part of the
// act, and neither is who asked.
type ActContent struct {
	// Exactly one of Request, Serial and CertificateAuthority is not empty. The
	// serial number is as pki.Serial writes it; the names are in the object's
	// namespace, which is part of its identity. The signer of an IndustryCA's trust
	// list is the CertificateAuthority "TrustListSigner/" and the CA's name.
	Request, Serial, CertificateAuthority string
	// RegistrationNamespace as resolved; empty for a CA, as RegistrationName is.
	RegistrationNamespace, RegistrationName string
	// Action is Revoke, Hold or Release; Reason is empty but for Revoke.
	Action, Reason string
}

const actDomain = "terrace/certificaterevocation/v1"

// ActDigest identifies an act, together with its namespace and name, for ever.
// It is SM3 over
//
//	field("terrace/certificaterevocation/v1")
//	field(request name) field(serial number) field(CA name)
//	field(RA namespace) field(RA name)
//	field(action) field(reason)
//
// with field as in Digest; what is absent is the empty string.
func ActDigest(c ActContent) [32]byte {
	var e encoder
	for _, s := range []string{actDomain, c.Request, c.Serial, c.CertificateAuthority,
		c.RegistrationNamespace, c.RegistrationName, c.Action, c.Reason} {
		e.field(s)
	}
	return sm3.Sum(e)
}
