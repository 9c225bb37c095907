//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// keyTemplate says what C_GenerateKeyPair is to make.
type keyTemplate struct {
	label string
	id    []byte
	token bool // kept in the token; else gone with its session
	sign  bool // else it decrypts
	// noParams leaves CKA_EC_PARAMS out, to see whether the module needs them.
	noParams bool
}

func (t keyTemplate) public(p Profile) []*pkcs11.Attribute {
	attrs := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, p.KeyType),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, t.token),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, t.label),
		pkcs11.NewAttribute(pkcs11.CKA_ID, t.id),
	}
	if t.sign {
		attrs = append(attrs, pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true))
	}
	if !t.noParams { // Luna requires them, the others bear them
		attrs = append(attrs, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, sm2Params))
	}
	return attrs
}

// private is the template of the private key: the whole one says what the key may
// do; the plain one leaves to the module what modules are known to refuse.
func (t keyTemplate) private(p Profile, plain bool) []*pkcs11.Attribute {
	attrs := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, p.KeyType),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, t.token),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, t.label),
		pkcs11.NewAttribute(pkcs11.CKA_ID, t.id),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, t.sign),
	}
	if plain {
		return attrs
	}
	return append(attrs,
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, !t.sign),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
	)
}

// errGivesAway: a key that the module would hand out is no CA's key.
var errGivesAway = errors.New("the module made a private key that can be read out, and it was destroyed again; set the token's policy so that keys are sensitive and not extractable")

// generatePair calls C_GenerateKeyPair with the whole template and, when the
// module refuses an attribute of it, with the plain one. A refused call made
// nothing, so that a second one is safe. What a plain template leaves open is
// looked at: a key that can be read out is destroyed.
func (s *session) generatePair(p Profile, t keyTemplate) (public, private pkcs11.ObjectHandle, err error) {
	m := s.conn.module.ctx
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(p.KeyPairGen, nil)}
	public, private, err = m.GenerateKeyPair(s.handle, mechanism, t.public(p), t.private(p, false))
	if err == nil {
		return public, private, nil
	}
	if isTemplateRefusal(err) {
		if public, private, plainErr := m.GenerateKeyPair(s.handle, mechanism, t.public(p), t.private(p, true)); plainErr == nil {
			if !s.givesAway(private) {
				return public, private, nil
			}
			for _, h := range []pkcs11.ObjectHandle{private, public} {
				if err := m.DestroyObject(s.handle, h); err != nil {
					return 0, 0, fmt.Errorf("the module made a private key that can be read out (CKA_ID %x), and it could not be removed; remove it by the maker's tool: %w", t.id, err)
				}
			}
			return 0, 0, errGivesAway
		}
	}
	return 0, 0, fmt.Errorf("C_GenerateKeyPair by mechanism %#x: %w", p.KeyPairGen, err)
}

func isTemplateRefusal(err error) bool {
	for _, code := range []pkcs11.Error{pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID,
		pkcs11.CKR_ATTRIBUTE_READ_ONLY, pkcs11.CKR_TEMPLATE_INCONSISTENT} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// givesAway says whether the module hands the private key out, by what it says of
// the key and by asking for it.
func (s *session) givesAway(private pkcs11.ObjectHandle) bool {
	read := func(attribute uint) ([]byte, bool) {
		got, err := s.conn.module.ctx.GetAttributeValue(s.handle, private, []*pkcs11.Attribute{pkcs11.NewAttribute(attribute, nil)})
		if err != nil || len(got) != 1 {
			return nil, false // one that the module does not know says nothing
		}
		return got[0].Value, true
	}
	if v, ok := read(pkcs11.CKA_EXTRACTABLE); ok && (len(v) != 1 || v[0] != 0) {
		return true
	}
	if v, ok := read(pkcs11.CKA_SENSITIVE); ok && (len(v) != 1 || v[0] == 0) {
		return true
	}
	v, ok := read(pkcs11.CKA_VALUE)
	clear(v)
	return ok && len(v) > 0
}
