package lint

// gateEntry is what Lint says of a check of the gate. Before signing, each of
// them stops; the severity is for Examine.
type gateEntry struct {
	severity Severity
	kinds    Kinds
	gateOnly bool
	demands  string
}

var formSources = map[string]string{
	CheckCertificateForm: "RFC 5280 §4.1",
	CheckCRLForm:         "RFC 5280 §5.1",
	CheckResponseForm:    "RFC 6960 §4.2.1",
	CheckRequestForm:     "RFC 2986 §4, GM/T 0092-2020",
}

// gate is by name of check.
var gate = map[string]gateEntry{
	CheckCertificateForm: {SeverityError, kindsCertificate, false, "it can be taken apart as a Certificate, with nothing behind it"},
	CheckCRLForm:         {SeverityError, kindsCRL, false, "it can be taken apart as a CertificateList, with nothing behind it"},
	CheckResponseForm:    {SeverityError, KindOCSPResponse, false, "it can be taken apart as an OCSPResponse with a BasicOCSPResponse or none"},
	CheckRequestForm:     {SeverityError, KindRequest, false, "it can be taken apart as a CertificationRequest within the bounds of Terrace"},

	"version-3":              {SeverityError, kindsCertificate, false, "version is 3"},
	"serial-positive":        {SeverityError, kindsCertificate, false, "the serial number is above 0"},
	"serial-length":          {SeverityError, kindsCertificate, false, "the serial number has at most 20 octets"},
	"algorithm-same":         {SeverityError, kindsCertificate, false, "signature and signatureAlgorithm are the same bytes"},
	"algorithm-sm2-sm3":      {SeverityError, kindsCertificate, false, "the algorithm is 1.2.156.10197.1.501, parameters absent"},
	"issuer-name":            {SeverityError, kindsCertificate, false, "issuer is, byte for byte, the issuer's subject"},
	"issuer-is-ca":           {SeverityError, kindsCertificate, false, "the issuer's certificate is one of a CA with keyCertSign"},
	"time-encoding":          {SeverityError, kindsCertificate, false, "UTCTime to 2049, GeneralizedTime from 2050, whole seconds with Z"},
	"time-order":             {SeverityError, kindsCertificate, false, "notBefore is before notAfter"},
	"validity-within-issuer": {SeverityWarning, kindsCertificate, false, "it is valid within the issuer's validity"},
	"subject-present":        {SeverityError, kindsCertificate, false, "subject is not empty"},
	"subject-form":           {SeverityError, kindsCertificate, true, "subject has one attribute in each RDN, within bounds, C and serialNumber in PrintableString, e-mail and DC in IA5String"},
	"no-unique-identifiers":  {SeverityError, kindsCertificate, false, "no issuerUniqueID, no subjectUniqueID"},
	"signature-form":         {SeverityError, kindsCertificate, false, "the signature is SEQUENCE { r, s } of positive numbers of at most 256 bits"},

	"key-sm2":               {SeverityError, kindsCertificate, false, "id-ecPublicKey on 1.2.156.10197.1.301, an uncompressed point of the curve"},
	"authority-key-id":      {SeverityError, kindsCertificate, true, "authorityKeyIdentifier is the issuer's subjectKeyIdentifier and that alone"},
	"subject-key-id":        {SeverityError, kindsCertificate, false, "subjectKeyIdentifier is there"},
	"subject-key-id-method": {SeverityWarning, kindsCertificate, false, "subjectKeyIdentifier is SHA-1 over the public key's bits"},

	"key-usage-present":         {SeverityError, kindsCertificate, false, "keyUsage is there, in DER, with a bit"},
	"key-usage-critical":        {SeverityError, kindsCertificate, false, "keyUsage is critical"},
	"dual-usage":                {SeverityError, kindsCertificate, false, "keyUsage signs or encrypts, not both (双证书)"},
	"ca-key-usage":              {SeverityError, KindCA, false, "keyUsage is keyCertSign and cRLSign, no more and no less"},
	"ca-basic-constraints":      {SeverityError, kindsCertificate, false, "who may sign certificates or lists has critical basicConstraints with cA TRUE"},
	"basic-constraints-form":    {SeverityError, kindsCertificate, false, "basicConstraints is well-formed, with a path length for a CA alone"},
	"path-length-within-issuer": {SeverityError, KindCA, false, "the path length is below the issuer's"},
	"ext-key-usage-form":        {SeverityError, kindsCertificate, false, "extendedKeyUsage has usages, each once, none of them anyExtendedKeyUsage"},
	"ocsp-signing-no-check":     {SeverityError, kindsCertificate, false, "with OCSPSigning there is id-pkix-ocsp-nocheck of NULL"},
	"time-stamping-alone":       {SeverityError, kindsCertificate, false, "timeStamping is the only usage, and critical"},

	"no-duplicate-extensions":          {SeverityError, kindsCertificate, false, "each extension is there once"},
	"standard-extensions-non-critical": {SeverityError, kindsCertificate, false, "key identifiers, subjectAltName, CRL points, information access and nocheck are not critical"},
	"standard-extensions-known":        {SeverityError, kindsCertificate, true, "the extensions under 2.5.29 are those that a profile can ask for"},
	"subject-alt-name-form":            {SeverityError, kindsCertificate, true, "subjectAltName holds well-formed DNS names, addresses, mailboxes and URIs"},
	"crl-distribution-points-form":     {SeverityError, kindsCertificate, true, "points have a fullName of http(s) URIs, no reasons, no cRLIssuer"},
	"freshest-crl-form":                {SeverityError, kindsCertificate, false, "freshestCRL has points with a fullName of http(s) URIs, no reasons, no cRLIssuer"},
	"authority-info-access-form":       {SeverityError, kindsCertificate, true, "descriptions are OCSP or caIssuers with an http(s) URI"},
	"identity-non-critical":            {SeverityError, kindsCertificate, false, "extensions outside RFC 5280 are not critical"},
	"identity-explicit-tag":            {SeverityError, kindsCertificate, false, "identifyCode is one of its three choices, tagged explicitly"},
	"identity-form":                    {SeverityError, kindsCertificate, true, "identity extensions (身份扩展) are encoded as the profile says"},

	"crl-version-2":                  {SeverityError, kindsCRL, false, "version is 2"},
	"crl-algorithm-same":             {SeverityError, kindsCRL, false, "signature and signatureAlgorithm are the same bytes"},
	"crl-algorithm-sm2-sm3":          {SeverityError, kindsCRL, false, "the algorithm is 1.2.156.10197.1.501, parameters absent"},
	"crl-issuer-name":                {SeverityError, kindsCRL, false, "issuer is, byte for byte, the subject of the CA"},
	"crl-issuer-may-sign":            {SeverityError, kindsCRL, false, "the CA's keyUsage has cRLSign"},
	"crl-time-encoding":              {SeverityError, kindsCRL, false, "UTCTime to 2049, GeneralizedTime from 2050, whole seconds with Z"},
	"crl-next-update":                {SeverityError, kindsCRL, false, "nextUpdate is there, after thisUpdate"},
	"crl-no-duplicate-extensions":    {SeverityError, kindsCRL, false, "each extension is there once"},
	"crl-authority-key-id":           {SeverityError, kindsCRL, true, "authorityKeyIdentifier is the CA's subjectKeyIdentifier and that alone"},
	"crl-delta-indicator":            {SeverityError, kindsCRL, true, "deltaCRLIndicator is critical, with a base below cRLNumber"},
	"crl-freshest":                   {SeverityError, kindsCRL, true, "freshestCRL is in no delta, and well-formed"},
	"crl-number":                     {SeverityError, kindsCRL, false, "cRLNumber is a positive number of at most 20 octets"},
	"crl-issuing-distribution-point": {SeverityError, kindsCRL, true, "issuingDistributionPoint has a point and onlyContainsCACerts at most"},
	"crl-critical-extensions":        {SeverityError, kindsCRL, true, "no extension is critical but those that must be"},
	"crl-signature-form":             {SeverityError, kindsCRL, false, "the signature is SEQUENCE { r, s } of positive numbers of at most 256 bits"},
	"crl-entries-absent-when-empty":  {SeverityError, kindsCRL, false, "revokedCertificates is left out when it is empty"},
	"crl-entry-serial":               {SeverityError, kindsCRL, false, "serial numbers are above 0 and have at most 20 octets"},
	"crl-entry-order":                {SeverityWarning, kindsCRL, false, "entries are by serial number, each once"},
	"crl-entry-time-encoding":        {SeverityError, kindsCRL, false, "revocationDate is UTCTime to 2049, GeneralizedTime from 2050"},
	"crl-entry-reason":               {SeverityError, kindsCRL, true, "an entry has one reasonCode of a full list, or no extension"},
}
