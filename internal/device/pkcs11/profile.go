package pkcs11

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SignInput says what C_Sign takes.
type SignInput string

const (
	// Digest: the 32 bytes of e = SM3(Z || message), computed here. Preferred,
	// since the device's idea of Z and ID does not matter then.
	Digest SignInput = "Digest"
	// Message: the whole message; the device hashes it with Z under the default ID.
	Message SignInput = "Message"
)

// SignatureForm says what C_Sign returns.
type SignatureForm string

const (
	// AutoSignature: told by the bytes; 64 of them are raw, else DER.
	AutoSignature SignatureForm = "Auto"
	// RawSignature: r || s, 32 bytes each, big-endian.
	RawSignature SignatureForm = "Raw"
	// DERSignature: SEQUENCE of INTEGER r and s (GM/T 0009-2012 §7.3).
	DERSignature SignatureForm = "DER"
)

// PointForm says what CKA_EC_POINT holds.
type PointForm string

const (
	// AutoPoint: told by the length.
	AutoPoint PointForm = "Auto"
	// OctetStringPoint: a DER OCTET STRING around 04 || X || Y, as PKCS#11 2.30 and later say.
	OctetStringPoint PointForm = "OctetString"
	// BarePoint: the 65 bytes of 04 || X || Y.
	BarePoint PointForm = "Bare"
)

// CipherForm says what C_Decrypt takes.
type CipherForm string

const (
	// RawCipher: C1 || C3 || C2.
	RawCipher CipherForm = "Raw"
	// DERCipher: SM2Cipher of GM/T 0009-2012 §7.2.
	DERCipher CipherForm = "DER"
)

// Profile is what distinguishes one maker's module from another's. All
// mechanisms take no parameter.
type Profile struct {
	// Name is what Lookup knows the profile by.
	Name string
	// KeyType is the CKA_KEY_TYPE of SM2 keys.
	KeyType uint
	// KeyPairGen is the mechanism of C_GenerateKeyPair.
	KeyPairGen uint
	// Sign is the mechanism of C_SignInit, which takes Input and returns Signature.
	Sign      uint
	Input     SignInput
	Signature SignatureForm
	// Point is the form of CKA_EC_POINT.
	Point PointForm
	// Decrypt is the mechanism of C_DecryptInit, which takes Cipher; 0 when the
	// module has none. Keys of a device.Device only sign; those of a key
	// management center decrypt.
	Decrypt uint
	Cipher  CipherForm
}

// Validate says whether every field holds a value that the adapter knows.
func (p Profile) Validate() error {
	switch {
	case p.KeyPairGen == 0:
		return fmt.Errorf("profile %q: no key-pair generation mechanism", p.Name)
	case p.Sign == 0:
		return fmt.Errorf("profile %q: no sign mechanism", p.Name)
	case !slices.Contains([]SignInput{Digest, Message}, p.Input):
		return fmt.Errorf("profile %q: sign input %q is neither Digest nor Message", p.Name, p.Input)
	case !slices.Contains([]SignatureForm{AutoSignature, RawSignature, DERSignature}, p.Signature):
		return fmt.Errorf("profile %q: signature form %q is not Auto, Raw or DER", p.Name, p.Signature)
	case !slices.Contains([]PointForm{AutoPoint, OctetStringPoint, BarePoint}, p.Point):
		return fmt.Errorf("profile %q: point form %q is not Auto, OctetString or Bare", p.Name, p.Point)
	case p.Decrypt != 0 && !slices.Contains([]CipherForm{RawCipher, DERCipher}, p.Cipher):
		return fmt.Errorf("profile %q: cipher form %q is neither Raw nor DER", p.Name, p.Cipher)
	}
	return nil
}

// messageSuffix marks the variant of a maker's profile that signs whole messages.
const messageSuffix = "-Message"

// Profiles returns the built-in profiles by name, numbers as in gm-formats §6.2:
// each of the four makers as it is preferred, and with "-Message" behind its name
// for a module whose digest mechanism is missing or switched off. The tests prove
// each against the software token that plays it; the makers' own devices were not
// at hand. A profile that differs is a value of the caller's.
func Profiles() map[string]Profile {
	profiles := map[string]Profile{}
	for _, p := range []struct {
		Profile
		message uint // takes whole messages, Z under the default ID
	}{
		{Profile{ // 三未信安, numbers of its swpkcs11.h
			Name:       "Sansec",
			KeyType:    0x80000004,
			KeyPairGen: 0x80008001,
			Sign:       0x80008104,
			Input:      Digest,
			Signature:  AutoSignature,
			Point:      AutoPoint,
			Decrypt:    0x80008201,
			Cipher:     DERCipher,
		}, 0x80008103},
		{Profile{ // 江南天安
			Name:       "TASS",
			KeyType:    0x80000004,
			KeyPairGen: 0x80008001,
			Sign:       0x80008000,
			Input:      Digest,
			Signature:  AutoSignature,
			Point:      AutoPoint,
			Decrypt:    0x80008200,
			Cipher:     RawCipher,
		}, 0x80008100},
		{Profile{ // EP11 and ICSF, also as other makers imitate them
			Name:       "IBM",
			KeyType:    0x80050002,
			KeyPairGen: 0x8005000a,
			Sign:       0x8005000b,
			Input:      Digest,
			Signature:  AutoSignature,
			Point:      AutoPoint,
			Decrypt:    0x8005000d,
			Cipher:     RawCipher,
		}, 0x8005000c},
		{Profile{ // Thales; no SM2 decryption
			Name:       "Luna",
			KeyType:    0x80000016,
			KeyPairGen: 0x80000b20,
			Sign:       0x80000b21,
			Input:      Digest,
			Signature:  AutoSignature,
			Point:      AutoPoint,
		}, 0x80000b22},
	} {
		profiles[p.Name] = p.Profile
		variant := p.Profile
		variant.Name += messageSuffix
		variant.Sign, variant.Input = p.message, Message
		profiles[variant.Name] = variant
	}
	return profiles
}

// Lookup returns the built-in profile of a name.
func Lookup(name string) (Profile, error) {
	profiles := Profiles()
	if p, ok := profiles[name]; ok {
		return p, nil
	}
	known := slices.Sorted(maps.Keys(profiles))
	return Profile{}, fmt.Errorf("look up PKCS#11 profile %q: unknown; known are %s", name, strings.Join(known, ", "))
}
