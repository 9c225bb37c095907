package link

import (
	"crypto/ecdsa"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/pki"
)

// The first field of a message is its domain: what it is, and in which version.
// A signature over one sort of message is none over another.
const (
	requestDomain  = "terrace/link/request/v1"
	responseDomain = "terrace/link/response/v1"
)

// Bounds of the parts of a message, in bytes.
const (
	maxName      = 64
	maxMethod    = 64
	maxCode      = 64
	maxText      = 4 << 10
	maxSignature = 80 // DER of two numbers of 32 bytes has at most 72

	// overhead is how much longer a message is than its body, at most.
	overhead = 8 << 10
)

// id is 128 bits, random when it names a request or a server's incarnation.
type id [16]byte

// request is
//
//	field("terrace/link/request/v1")
//	field(from) field(to) field(method)
//	16 octets id
//	16 octets epoch
//	8 octets at, milliseconds since 1970, big-endian
//	field(body)
//
// and field(signature), SM2 over all before it; field(x) is the length of x in
// bytes as 4 octets, big-endian, and x. Each part says how long it is, so no two
// requests have one encoding.
type request struct {
	From, To, Method string
	ID               id
	// Epoch is the incarnation of the receiving process that the sender means.
	Epoch id
	At    time.Time
	Body  []byte
}

// response is
//
//	field("terrace/link/response/v1")
//	field(from) field(to)
//	32 octets inReplyTo: SM3 of the request with its signature, as it was received
//	16 octets epoch of the answering process
//	field(code): empty when the call succeeded
//	1 octet: 1 when the call may be repeated
//	field(text): of the error, UTF-8
//	field(body): empty when the call failed
//
// and field(signature).
type response struct {
	From, To  string
	InReplyTo [32]byte
	Epoch     id
	Code      string
	Retryable bool
	Text      string
	Body      []byte
}

func appendField[T string | []byte](b []byte, v T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func (r request) encode() []byte {
	b := make([]byte, 0, len(r.Body)+512)
	for _, s := range []string{requestDomain, r.From, r.To, r.Method} {
		b = appendField(b, s)
	}
	b = append(b, r.ID[:]...)
	b = append(b, r.Epoch[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.At.UnixMilli()))
	return appendField(b, r.Body)
}

func (r response) encode() []byte {
	b := make([]byte, 0, len(r.Body)+len(r.Text)+512)
	for _, s := range []string{responseDomain, r.From, r.To} {
		b = appendField(b, s)
	}
	b = append(b, r.InReplyTo[:]...)
	b = append(b, r.Epoch[:]...)
	b = appendField(b, r.Code)
	retryable := byte(0)
	if r.Retryable {
		retryable = 1
	}
	b = append(b, retryable)
	b = appendField(b, r.Text)
	return appendField(b, r.Body)
}

// seal signs an encoding and appends the signature.
func seal(k *Key, encoded []byte) ([]byte, error) {
	sig, err := k.sign(encoded)
	if err != nil {
		return nil, err
	}
	return appendField(encoded, sig), nil
}

// signed is a message as received: what was signed, and the signature. It says
// nothing until verify has.
type signed struct {
	content, signature []byte
}

func (s signed) verify(key *ecdsa.PublicKey) bool {
	return pki.VerifySignature(key, s.content, s.signature)
}

func digest(message []byte) [32]byte { return sm3.Sum(message) }

// parseRequest reads one request that fills b. The body is a part of b.
func parseRequest(b []byte) (request, signed, error) {
	p := parser{rest: b}
	p.domain(requestDomain)
	var r request
	r.From = string(p.field("from", maxName))
	r.To = string(p.field("to", maxName))
	r.Method = string(p.field("method", maxMethod))
	copy(r.ID[:], p.octets("id", len(r.ID)))
	copy(r.Epoch[:], p.octets("epoch", len(r.Epoch)))
	if at := p.octets("at", 8); len(at) == 8 {
		ms := int64(binary.BigEndian.Uint64(at))
		if ms < 0 || ms > maxAt {
			p.fail("at is no time between 1970 and 9999")
		}
		r.At = time.UnixMilli(ms)
	}
	r.Body = p.field("body", len(b))
	s, err := p.end(b)
	return r, s, err
}

// maxAt is the end of the year 9999 in Unix milliseconds.
const maxAt = 253402300799999

// parseResponse reads one response that fills b. The body is a part of b.
func parseResponse(b []byte) (response, signed, error) {
	p := parser{rest: b}
	p.domain(responseDomain)
	var r response
	r.From = string(p.field("from", maxName))
	r.To = string(p.field("to", maxName))
	copy(r.InReplyTo[:], p.octets("inReplyTo", len(r.InReplyTo)))
	copy(r.Epoch[:], p.octets("epoch", len(r.Epoch)))
	r.Code = string(p.field("code", maxCode))
	if flag := p.octets("retryable", 1); len(flag) == 1 {
		if flag[0] > 1 {
			p.fail("retryable is %d, want 0 or 1", flag[0])
		}
		r.Retryable = flag[0] == 1
	}
	r.Text = string(p.field("text", maxText))
	r.Body = p.field("body", len(b))
	s, err := p.end(b)
	return r, s, err
}

// parser keeps the first error; after one, all it reads is empty.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	p.rest = nil
}

func (p *parser) octets(name string, n int) []byte {
	if p.err != nil || len(p.rest) < n {
		p.fail("ends within %s", name)
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) field(name string, most int) []byte {
	head := p.octets(name, 4)
	if p.err != nil {
		return nil
	}
	n := binary.BigEndian.Uint32(head)
	if uint64(n) > uint64(most) {
		p.fail("%s has %d bytes, at most %d are allowed", name, n, most)
		return nil
	}
	return p.octets(name, int(n))
}

func (p *parser) domain(want string) {
	if got := p.field("domain", maxName); p.err == nil && string(got) != want {
		p.fail("is a %.64q, want %q; both sides must speak one version", got, want)
	}
}

func (p *parser) end(all []byte) (signed, error) {
	content := all[:len(all)-len(p.rest)]
	s := signed{content: content, signature: p.field("signature", maxSignature)}
	if p.err == nil && len(p.rest) > 0 {
		p.fail("has %d bytes after its end", len(p.rest))
	}
	if p.err != nil {
		return signed{}, p.err
	}
	return s, nil
}
