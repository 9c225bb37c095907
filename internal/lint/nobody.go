package lint

import "bytes"

// NobodysSignature has the form of an SM2 signature (GM/T 0009-2012 §7.3), and
// r = s = 2^256-1. It stands where the checks expect one, in what is linted
// before it is signed.
//
// That is as safe as a signature by a key made for the purpose. The checks read
// the to-be-signed part, the outer algorithm and the form of the signature; they
// verify none, for they have no key to verify under. A copy that leaked would have
// to be trusted by nobody: this one verifies under no key at all, because r and s
// are not below the order of the curve (GB/T 32918.2-2016 §7.1 steps B1 and B2).
// Whoever lints with it has the real signature verified under the issuer's key
// over the very bytes that were linted.
func NobodysSignature() []byte { return bytes.Clone(nobodysSignature) }

var nobodysSignature = append([]byte{0x30, 0x46}, bytes.Repeat(append([]byte{0x02, 0x21, 0x00}, bytes.Repeat([]byte{0xff}, 32)...), 2)...)
