//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// keyIDBytes is the length of CKA_ID, that of a SHA-1 key identifier, which some
// makers' tools expect.
const keyIDBytes = 20

// keyPair is what find and generate know of a pair in the token.
type keyPair struct {
	private pkcs11.ObjectHandle
	id      []byte
	public  *ecdsa.PublicKey
}

// handle returns the private key's handle, found once per connection.
func (d *Device) handle(s *session, label string, public *ecdsa.PublicKey) (pkcs11.ObjectHandle, error) {
	s.conn.mu.Lock()
	h, ok := s.conn.handles[label]
	s.conn.mu.Unlock()
	if ok {
		return h, nil
	}
	pair, err := d.find(s, label)
	if err != nil {
		return 0, err
	}
	if !pair.public.Equal(public) {
		return 0, fmt.Errorf("another key lies under label %q now than when it was first found", label)
	}
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if !s.conn.dropped {
		s.conn.handles[label] = pair.private
	}
	return pair.private, nil
}

// find looks the pair up by label, or returns ErrKeyNotFound. Several keys under
// one label are an error, since picking one would be a guess.
func (d *Device) find(s *session, label string) (keyPair, error) {
	private, err := s.one("private", privateKeys(label))
	if errors.Is(err, device.ErrKeyNotFound) {
		private, err = s.oneLoggedIn("private", privateKeys(label))
	}
	if err != nil {
		return keyPair{}, err
	}
	attrs, err := s.conn.module.ctx.GetAttributeValue(s.handle, private, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_ID, nil),
	})
	if err != nil {
		return keyPair{}, fmt.Errorf("read private key: %w", err)
	}
	if got, ok := ulong(attrs[0].Value); !ok || got != uint64(d.cfg.Profile.KeyType) {
		return keyPair{}, fmt.Errorf("key has type %#x, profile %s expects %#x", got, d.cfg.Profile.Name, d.cfg.Profile.KeyType)
	}
	// The pair is tied by CKA_ID; a key of another tool may have none.
	tie := pkcs11.NewAttribute(pkcs11.CKA_ID, attrs[1].Value)
	if len(attrs[1].Value) == 0 {
		tie = pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)
	}
	handle, err := s.one("public", []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		tie,
	})
	if errors.Is(err, device.ErrKeyNotFound) { // not "not found": the label is taken
		return keyPair{}, errors.New("the private key has no public key beside it; import it by the maker's tool")
	}
	if err != nil {
		return keyPair{}, err
	}
	public, err := d.public(s, handle)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{private: private, id: attrs[1].Value, public: public}, nil
}

func (d *Device) public(s *session, handle pkcs11.ObjectHandle) (*ecdsa.PublicKey, error) {
	attrs, err := s.conn.module.ctx.GetAttributeValue(s.handle, handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil),
	})
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return parsePoint(attrs[0].Value, d.cfg.Profile.Point)
}

// generateOnce makes the pair unless the label is taken. When the key under it
// carries id, an earlier attempt made it and its answer was lost.
func (d *Device) generateOnce(s *session, label string, id []byte) (keyPair, error) {
	s.conn.token.generating.Lock()
	defer s.conn.token.generating.Unlock()
	found, err := d.find(s, label)
	switch {
	case err == nil && bytes.Equal(found.id, id):
		return found, nil
	case err == nil:
		return keyPair{}, device.ErrKeyExists
	case !errors.Is(err, device.ErrKeyNotFound):
		return keyPair{}, err
	}
	return d.generate(s, label, id)
}

// generate makes the pair. The caller holds token.generating and found the label free.
//
// Another process may do the same at the same moment, and no call of PKCS#11
// excludes it. So we look again: when the label has two keys now, ours, which
// nobody has seen, is destroyed. Both processes may do so; neither returned a key.
// If we die before that, Key reports the two until an operator removes one.
func (d *Device) generate(s *session, label string, id []byte) (keyPair, error) {
	m := s.conn.module.ctx
	public, private, err := s.generatePair(d.cfg.Profile, keyTemplate{label: label, id: id, token: true, sign: true})
	if err != nil {
		return keyPair{}, err
	}
	handles, err := s.search(privateKeys(label))
	if err != nil {
		return keyPair{}, err
	}
	if len(handles) > 1 {
		for _, h := range []pkcs11.ObjectHandle{private, public} {
			if err := m.DestroyObject(s.handle, h); err != nil {
				return keyPair{}, fmt.Errorf("another process made a key under this label at the same moment, and ours (CKA_ID %x) could not be removed: %w", id, err)
			}
		}
		return keyPair{}, device.ErrKeyExists
	}
	pub, err := d.public(s, public)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{private: private, id: id, public: pub}, nil
}

func privateKeys(label string) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
}

// oneLoggedIn is one while nobody of this process logs in or out. A session that
// was logged out sees no private objects and reports no error, and "not found"
// must never mean that: a new key would be made.
func (s *session) oneLoggedIn(what string, template []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	s.conn.token.mu.Lock()
	defer s.conn.token.mu.Unlock()
	info, err := s.conn.module.ctx.GetSessionInfo(s.handle)
	if err != nil {
		return 0, fmt.Errorf("read session state: %w", err)
	}
	if !isUser(info) {
		return 0, pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN) // connects anew
	}
	return s.one(what, template)
}

// one returns the only token object that matches, or ErrKeyNotFound.
func (s *session) one(what string, template []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	handles, err := s.search(template)
	switch {
	case err != nil:
		return 0, err
	case len(handles) == 0:
		return 0, device.ErrKeyNotFound
	case len(handles) > 1:
		return 0, fmt.Errorf("more than one %s key lies under this label; remove or rename the others by the maker's tool", what)
	}
	return handles[0], nil
}

// search returns at most two matches.
func (s *session) search(template []*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	m := s.conn.module.ctx
	if err := m.FindObjectsInit(s.handle, template); err != nil {
		return nil, fmt.Errorf("C_FindObjectsInit: %w", err)
	}
	var found []pkcs11.ObjectHandle
	for len(found) < 2 { // a module may return fewer than asked for
		handles, _, err := m.FindObjects(s.handle, 2)
		if err != nil {
			return nil, fmt.Errorf("C_FindObjects: %w", err)
		}
		if len(handles) == 0 {
			break
		}
		found = append(found, handles...)
	}
	if err := m.FindObjectsFinal(s.handle); err != nil {
		return nil, fmt.Errorf("C_FindObjectsFinal: %w", err)
	}
	return found, nil
}

// ulong reads a CK_ULONG attribute, which has the machine's size and order.
func ulong(b []byte) (uint64, bool) {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b)), true
	case 8:
		return binary.NativeEndian.Uint64(b), true
	default:
		return 0, false
	}
}
