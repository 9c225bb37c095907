// Package pkcs11 is the crypto device behind a PKCS#11 module: a hardware
// security module (密码机) of any maker, told apart by its [Profile].
//
// PKCS#11 itself has no SM2 (gm-formats §6.1), so every maker's mechanism
// numbers and byte forms differ; they are data here. The digest e is computed in
// this process, where the profile lets it, and every signature is verified
// before it is returned ([device.Signer]).
//
// A lost session, a logged-out token or a token that was pulled and put back
// costs one repeated signature and nothing else. A refused PIN is never tried
// twice, because a token locks itself after a few wrong ones.
//
// Calls into the module cannot be interrupted. One that hangs holds its session
// for good; others wait for a free session no longer than Config.Wait.
package pkcs11
