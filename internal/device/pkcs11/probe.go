//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/miekg/pkcs11"
)

const (
	// doctorLabel starts the labels of the keys that Examine makes.
	doctorLabel = "terrace.doctor."
	signCheck   = "sign by "
)

// trace is a key that Examine made.
type trace struct {
	handle pkcs11.ObjectHandle
	label  string
}

// pairFor makes a throw-away pair: a session object, which goes with its session,
// or, where the module makes none, a token object that is removed at the end.
func (x *examiner) pairFor(p Profile, sign bool) (public, private pkcs11.ObjectHandle, err error) {
	id := make([]byte, keyIDBytes)
	if _, err := rand.Read(id); err != nil {
		return 0, 0, err
	}
	t := keyTemplate{label: fmt.Sprintf("%s%x", doctorLabel, id[:8]), id: id, sign: sign}
	public, private, err = x.sessions[0].generatePair(p, t)
	if err != nil {
		t.token = true
		var tokenErr error
		if public, private, tokenErr = x.sessions[0].generatePair(p, t); tokenErr != nil {
			return 0, 0, tokenErr
		}
	}
	x.traces = append(x.traces, trace{private, t.label}, trace{public, t.label})
	return public, private, nil
}

// leavesNothing removes what was made, and looks.
func (x *examiner) leavesNothing() {
	m, s := x.module.ctx, x.sessions[0]
	kept := 0
	for _, made := range x.traces {
		_ = m.DestroyObject(s.handle, made.handle) // the search below tells
	}
	for _, made := range x.traces {
		found, err := s.search([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, made.label)})
		if err != nil || len(found) > 0 {
			kept++
		}
	}
	if kept > 0 {
		x.add("traces", Fail, "remove the keys whose labels begin with "+doctorLabel+" by the maker's tool", "%d of our throw-away keys could not be removed", kept)
		return
	}
	x.add("traces", Good, "", "the %d throw-away keys are gone", len(x.traces)/2)
}

// signs makes a key by a profile, has it sign, and compares with our own SM2.
func (x *examiner) signs(p Profile) bool {
	check := signCheck + p.Name
	public, private, err := x.pairFor(p, true)
	if err != nil {
		x.add(check, Fail, templateCure(err), "%v", err)
		return false
	}
	attrs, err := x.module.ctx.GetAttributeValue(x.sessions[0].handle, public, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		x.add(check, Fail, "ask the maker how a public key is read", "read CKA_EC_POINT: %v", err)
		return false
	}
	pub, err := parsePoint(attrs[0].Value, AutoPoint)
	if err != nil {
		x.add(check, Fail, "ask the maker for the form of CKA_EC_POINT; the bare 65 bytes and the OCTET STRING are known", "%v", err)
		return false
	}
	message := []byte("terrace device doctor")
	digest := sm2Digest(pub, message)
	input := digest
	if p.Input == Message {
		input = message
	}
	sig, err := x.signOnce(x.sessions[0], p, private, input)
	if err != nil {
		x.add(check, Fail, "the mechanism is listed and does not work: is SM2 licensed, is the input right (digest or message)?", "%v", err)
		return false
	}
	der, err := toDER(sig, AutoSignature)
	if err != nil {
		x.add(check, Fail, "ask the maker for the form of signatures; r || s and DER are known", "%v", err)
		return false
	}
	if !sm2.VerifyASN1(pub, digest, der) {
		why, cure := misread(pub, message, input, der)
		x.add(check, Fail, cure, "the signature does not verify: %s", why)
		return false
	}
	if x.sessions[0].givesAway(private) {
		x.add(check, Fail, "set the token's policy so that private keys are sensitive and not extractable", "the private key can be read out")
		return false
	}
	if x.refusesWhole(p) {
		x.add("template", Warn, "nothing: Terrace leaves them out, and refuses a key that could be read out; see that the token's policy sets them",
			"the module refuses attributes of our template for a private key")
	}
	x.add(check, Good, "", "%s in, %s out, public point %s%s", p.Input, formOf(sig), pointOf(attrs[0].Value), x.paramsNeeded(p))
	return true
}

// misread tries the readings that devices are known for.
func misread(pub *ecdsa.PublicKey, message, input, der []byte) (why, cure string) {
	bare := sm3.Sum(message)
	switch {
	case sm2.VerifyASN1(pub, sm2Digest(pub, input), der):
		return "the mechanism hashes what it is given", "it takes whole messages: use the maker's profile with " + messageSuffix
	case sm2.VerifyASN1(pub, bare[:], der):
		return "the device hashes the message without Z", "its message mechanism cannot be used; use the one that takes a digest"
	default:
		return "over no input that is known", "check the device by its maker's own test: broken, or another ID than 1234567812345678"
	}
}

func sm2Digest(pub *ecdsa.PublicKey, message []byte) []byte {
	e, err := sm2.CalculateSM2Hash(pub, message, nil) // nil: the default ID
	if err != nil {
		return nil // the point was checked to lie on the curve
	}
	return e
}

func (x *examiner) signOnce(s *session, p Profile, key pkcs11.ObjectHandle, input []byte) ([]byte, error) {
	m := x.module.ctx
	if err := m.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(p.Sign, nil)}, key); err != nil {
		return nil, fmt.Errorf("C_SignInit by mechanism %#x: %w", p.Sign, err)
	}
	sig, err := m.Sign(s.handle, input)
	if err != nil {
		return nil, fmt.Errorf("C_Sign: %w", err)
	}
	return sig, nil
}

func formOf(sig []byte) string {
	if len(sig) == rawBytes {
		return "r || s"
	}
	return "DER"
}

func pointOf(value []byte) string {
	if len(value) == pointBytes {
		return "bare"
	}
	return "in an OCTET STRING"
}

// paramsNeeded tries the key-pair generation without CKA_EC_PARAMS.
func (x *examiner) paramsNeeded(p Profile) string {
	t := keyTemplate{label: doctorLabel + "params", id: []byte(doctorLabel), sign: true, noParams: true}
	public, private, err := x.sessions[0].generatePair(p, t)
	if err != nil {
		return ", CKA_EC_PARAMS required"
	}
	x.traces = append(x.traces, trace{private, t.label}, trace{public, t.label})
	return ""
}

// refusesWhole says whether the module bears only the plain template.
func (x *examiner) refusesWhole(p Profile) bool {
	t := keyTemplate{label: doctorLabel + "whole", id: []byte(doctorLabel), sign: true}
	public, private, err := x.module.ctx.GenerateKeyPair(x.sessions[0].handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(p.KeyPairGen, nil)},
		t.public(p), t.private(p, false))
	if err == nil {
		x.traces = append(x.traces, trace{private, t.label}, trace{public, t.label})
	}
	return isTemplateRefusal(err)
}

func templateCure(err error) string {
	if errors.Is(err, errGivesAway) {
		return "set the token's policy so that private keys are sensitive and not extractable"
	}
	if isTemplateRefusal(err) || errors.Is(err, pkcs11.Error(pkcs11.CKR_TEMPLATE_INCOMPLETE)) {
		return "ask the maker which attributes an SM2 key pair needs; ours are CKA_EC_PARAMS, CKA_TOKEN, CKA_LABEL, CKA_ID, CKA_SIGN, CKA_VERIFY"
	}
	return "check that the user may make keys, and that SM2 is licensed and switched on"
}

// decrypts has the token open what our own SM2 encrypted to it.
func (x *examiner) decrypts(p Profile) {
	const check, cure = "decrypt", "nothing for a CA or a responder; a key management center needs another device"
	if p.Decrypt == 0 || !x.mechanisms[p.Decrypt] {
		x.add(check, Warn, cure, "the token has no SM2 decryption")
		return
	}
	err := func() error {
		public, private, err := x.pairFor(p, false)
		if err != nil {
			return err
		}
		attrs, err := x.module.ctx.GetAttributeValue(x.sessions[0].handle, public, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
		if err != nil {
			return fmt.Errorf("read CKA_EC_POINT: %w", err)
		}
		pub, err := parsePoint(attrs[0].Value, AutoPoint)
		if err != nil {
			return err
		}
		want := []byte("terrace device doctor")
		var opts *sm2.EncrypterOpts // DER
		if p.Cipher == RawCipher {
			opts = sm2.NewPlainEncrypterOpts(sm2.MarshalUncompressed, sm2.C1C3C2)
		} else {
			opts = sm2.ASN1EncrypterOpts
		}
		sealed, err := sm2.Encrypt(rand.Reader, pub, want, opts)
		if err != nil {
			return err
		}
		m, s := x.module.ctx, x.sessions[0]
		if err := m.DecryptInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(p.Decrypt, nil)}, private); err != nil {
			return fmt.Errorf("C_DecryptInit by mechanism %#x: %w", p.Decrypt, err)
		}
		got, err := m.Decrypt(s.handle, sealed)
		if err != nil {
			return fmt.Errorf("C_Decrypt: %w", err)
		}
		if !bytes.Equal(got, want) {
			return errors.New("another text came out than went in")
		}
		return nil
	}()
	if err != nil {
		x.add(check, Warn, cure, "the mechanism is listed and does not work: %v", err)
		return
	}
	x.add(check, Good, "", "%s ciphertexts", p.Cipher)
}

// parallel opens more sessions and counts signatures by one and by all of them.
func (x *examiner) parallel(ctx context.Context, p Profile) {
	const check = "sessions"
	var why error
	for len(x.sessions) < x.Examination.Sessions && why == nil {
		var s *session
		if s, why = x.openSession(); why == nil {
			x.sessions = append(x.sessions, s)
		}
	}
	_, private, err := x.pairFor(p, true)
	if err == nil {
		if x.Rate1, err = x.rate(ctx, p, private, x.sessions[:1]); err == nil {
			x.Rate, err = x.rate(ctx, p, private, x.sessions)
		}
	}
	if err != nil {
		x.add(check, Fail, "try with --sessions 1; if that works, set maxSessions: 1", "%d sessions at once: %v", len(x.sessions), err)
		return
	}
	x.Report.Sessions = len(x.sessions)
	rates := fmt.Sprintf("%.0f signatures/s by one, %.0f/s by %d at once", x.Rate1, x.Rate, len(x.sessions))
	if why != nil {
		x.add(check, Warn, fmt.Sprintf("set maxSessions: %d, or close other programs' sessions", len(x.sessions)), "%d could be opened of %d: %v; %s", len(x.sessions), x.Examination.Sessions, why, rates)
		return
	}
	x.add(check, Good, "", "%s", rates)
}

// rate counts signatures by sessions that sign at once.
func (x *examiner) rate(ctx context.Context, p Profile, key pkcs11.ObjectHandle, sessions []*session) (float64, error) {
	input := make([]byte, sm3.Size)
	var signed atomic.Int64
	errs := make([]error, len(sessions))
	start := time.Now()
	var wg sync.WaitGroup
	for i, s := range sessions {
		wg.Go(func() {
			for time.Since(start) < x.RateTime && ctx.Err() == nil {
				if _, errs[i] = x.signOnce(s, p, key, input); errs[i] != nil {
					return
				}
				signed.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(signed.Load()) / time.Since(start).Seconds(), errors.Join(append(errs, ctx.Err())...)
}
