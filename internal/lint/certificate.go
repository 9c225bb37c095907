package lint

import "slices"

// CertificateChecks lists the checks of a certificate, in the order of the
// fields and extensions that they look at.
func CertificateChecks() []Check[*CertificateInput] { return slices.Clone(certificateChecks) }

var certificateChecks = slices.Concat(fieldChecks, keyChecks, usageChecks, extensionChecks)
