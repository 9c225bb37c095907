package registration

import (
	"crypto/ecdsa"
	"errors"

	"github.com/terrace-pki/terrace/internal/pki"
)

const officerDomain = "terrace/approval/v1"

// ErrOfficerSignature: a decision does not carry the officer's signature.
var ErrOfficerSignature = errors.New("officer's signature does not verify: it must be SM2 with the ID 1234567812345678 over this target, digest and decision")

// OfficerMessage is what an officer signs who decides about a target whose key
// holder checks decisions itself (a subordinate CA):
//
//	field("terrace/approval/v1")
//	field(kind) field(namespace) field(name)
//	field(digest, 32 octets)
//	field(decision: "Approve" or "Deny")
//
// with field as in Digest. The namespace and the name are the target's.
func OfficerMessage(kind, namespace, name string, digest [32]byte, decision Decision) []byte {
	var e encoder
	for _, s := range []string{officerDomain, kind, namespace, name, string(digest[:]), string(decision)} {
		e.field(s)
	}
	return e
}

// VerifyOfficer is nil when sig is pub's SM2 signature (GM/T 0009-2012 §7.3,
// DER; §10, the default ID) over message, else ErrOfficerSignature.
func VerifyOfficer(pub *ecdsa.PublicKey, message, sig []byte) error {
	if !pki.VerifySignature(pub, message, sig) {
		return ErrOfficerSignature
	}
	return nil
}
