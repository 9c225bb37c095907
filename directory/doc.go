// Package directory is the directory service (目录服务系统) of LD/T 02.1: what
// entries of CAs, subscribers and CRLs look like, how they get into the LDAP
// master (Publish, 发布) and from there to the slaves (Push, 下推).
//
// It knows no LDAP: a directory server is a [Server], which package
// directory/ldap implements.
//
// # Where entries stand
//
// Under the base of a [Layout], with <ca> the name of a CA's key generation in
// files and URLs, such as "businessca-province-g1":
//
//	<base>                                        dc, o, ou, c, l or st: made when it is missing
//	ou=<ca>,<base>                                CA: organizationalUnit + pkiCA
//	cn=crl<N>,ou=<ca>,<base>                      shard N of its CRL: cRLDistributionPoint
//	cn=trustlist.ctl,ou=<ca>,<base>               trust list of an IndustryCA: document; .p7b likewise
//	serialNumber=<hex>,ou=<ca>,<base>             subscriber, naming Serial
//	cn=<CN>+serialNumber=<hex>,ou=<ca>,<base>     subscriber, naming Subject
//
// People share names, so a subscriber's RDN always holds the serial number of
// the certificate, in upper-case hexadecimal, which is unique for a CA. With
// naming Subject, a certificate without CN, or whose RDN would be longer than
// MaxRDN bytes, is named as with Serial. DNs are written by RFC 4514.
//
// A subscriber is a device + pkiUser (RFC 4519 §3.4, RFC 4523 §3.1) with
// userCertificate;binary and cn; in a Business directory also with the o, ou
// and l of the subject. A CA has cACertificate;binary and, if its list is not
// sharded, certificateRevocationList;binary; the list of an IndustryCA is
// authorityRevocationList;binary. A delta stands beside its list as
// deltaRevocationList;binary, for which a CA is also a deltaCRL. A trust list is
// the userSMIMECertificate of its document, and its sequence number the
// documentVersion. All of it is in the schemas core, cosine and
// inetorgperson that every OpenLDAP has.
//
// # What is shown
//
// A certificate is in the directory while it is Issued: revoked and held ones
// are removed, released ones come back. An expired certificate stays, so that
// what is desired never depends on the clock. A Public directory withholds
// certificates that show an identity number; see [Layout.Want].
package directory
