package pki

import (
	"errors"
	"fmt"
	"regexp"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxIdentityValue is the longest value of an identity extension, in characters.
const MaxIdentityValue = 256

// Encodings of an identity extension, as in the API. The ...ChoiceN forms are
// the alternatives of IdentifyCode in GB/T 20518, explicitly tagged [N].
const (
	EncodingPrintableString     = "PrintableString"
	EncodingUTF8String          = "UTF8String"
	EncodingIA5String           = "IA5String"
	EncodingResidentCardChoice0 = "ResidentCardChoice0"
	EncodingMilitaryCardChoice1 = "MilitaryCardChoice1"
	EncodingPassportChoice2     = "PassportChoice2"
)

// IdentityExtension is a non-critical extension that holds an identity number
// (GB/T 20518, GM/T 0015-2012 §5.2.4.2).
type IdentityExtension struct {
	// Name is how a request gives the value, e.g. insuranceNumber.
	Name string
	// OID is dotted.
	OID string
	// Encoding is one of the Encoding constants.
	Encoding string
	// Required: a certificate without it is refused.
	Required bool
	// Pattern must match the value as a whole; nil allows any.
	Pattern *regexp.Regexp
}

type identityForm struct {
	choice int // -1: no CHOICE
	tag    cbasn1.Tag
}

func lookupEncoding(encoding string) (identityForm, error) {
	switch encoding {
	case EncodingPrintableString:
		return identityForm{-1, tagPrintableString}, nil
	case EncodingUTF8String:
		return identityForm{-1, tagUTF8String}, nil
	case EncodingIA5String:
		return identityForm{-1, tagIA5String}, nil
	case EncodingResidentCardChoice0:
		return identityForm{0, tagPrintableString}, nil
	case EncodingMilitaryCardChoice1:
		return identityForm{1, tagUTF8String}, nil
	case EncodingPassportChoice2:
		return identityForm{2, tagPrintableString}, nil
	}
	return identityForm{}, fmt.Errorf("encoding %.32q: want PrintableString, UTF8String, IA5String, ResidentCardChoice0, MilitaryCardChoice1 or PassportChoice2", encoding)
}

// Check says whether the extension can hold value. The value, which is personal
// data, is not part of the error.
func (e IdentityExtension) Check(value string) error {
	form, err := lookupEncoding(e.Encoding)
	if err != nil {
		return fmt.Errorf("identity %s: %w", e.Name, err)
	}
	var fail error
	switch {
	case checkText(value, MaxIdentityValue) != nil:
		fail = fmt.Errorf("value is blank, longer than %d characters, not UTF-8, or has control characters", MaxIdentityValue)
	case form.tag == tagPrintableString && !isPrintable(value):
		fail = errors.New("value has a character outside PrintableString (letters, digits, space and '()+,-./:=?)")
	case form.tag == tagIA5String && !isASCII(value):
		fail = errors.New("value has a character outside ASCII")
	case e.Pattern != nil && !matchesWhole(e.Pattern, value):
		fail = fmt.Errorf("value does not match the profile's pattern %s", e.Pattern)
	}
	if fail != nil {
		return fmt.Errorf("identity %s: %w", e.Name, fail)
	}
	return nil
}

// matchesWhole: leftmost-longest, or an alternation could stop short of the end.
// When the preferred match is the whole already there is no longer one to look for.
func matchesWhole(re *regexp.Regexp, s string) bool {
	if loc := re.FindStringIndex(s); loc == nil || loc[0] == 0 && loc[1] == len(s) {
		return loc != nil
	}
	//lint:ignore SA1019 a copy with another Longest setting is what Copy is still for
	longest := re.Copy()
	longest.Longest()
	loc := longest.FindStringIndex(s)
	return loc != nil && loc[0] == 0 && loc[1] == len(s)
}

// DER is the extnValue for a value that Check allows.
func (e IdentityExtension) DER(value string) ([]byte, error) {
	if err := e.Check(value); err != nil {
		return nil, err
	}
	enc := NewEncoder(len(value) + 8)
	enc.Identity(e, value)
	return enc.Bytes()
}

// Identity writes the extnValue of an identity extension for a value that
// IdentityExtension.Check allows, without checking it again.
func (e *Encoder) Identity(i IdentityExtension, value string) {
	form, err := lookupEncoding(i.Encoding)
	if err != nil {
		e.Fail(err)
		return
	}
	if form.choice < 0 {
		e.Text(form.tag, value)
		return
	}
	e.Nest(cbasn1.Tag(form.choice).ContextSpecific().Constructed(), func() { e.Text(form.tag, value) })
}

// CheckDER says whether an extnValue has the form of the encoding; a CHOICE
// must be tagged explicitly.
func (e IdentityExtension) CheckDER(der []byte) error {
	form, err := lookupEncoding(e.Encoding)
	if err != nil {
		return err
	}
	in := cryptobyte.String(der)
	if form.choice >= 0 {
		var inner cryptobyte.String
		tag := cbasn1.Tag(form.choice).ContextSpecific().Constructed()
		if !in.ReadASN1(&inner, tag) || !in.Empty() {
			return fmt.Errorf("identity %s: is not explicitly tagged [%d]", e.Name, form.choice)
		}
		in = inner
	}
	var text cryptobyte.String
	if !in.ReadASN1(&text, form.tag) || !in.Empty() {
		return fmt.Errorf("identity %s: does not hold one %s", e.Name, e.Encoding)
	}
	return nil
}
