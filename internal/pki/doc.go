// Package pki holds what every part of Terrace says about certificates without
// signing any: serials, names, certificate requests, profiles, keys in DER and
// PEM, and the check of a chain.
//
// Only SM2 keys on the curve of GM/T 0003.5 and signatures SM2-with-SM3
// (1.2.156.10197.1.501) with the default ID of GM/T 0009-2012 §10 are issued;
// other keys are parsed, so that a policy can deny them by name.
package pki
