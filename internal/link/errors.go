package link

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Errors with which a receiver refuses a message. They cross the link: the
// caller finds them with errors.Is in the *RemoteError.
var (
	ErrMalformed      = errors.New("message is malformed")
	ErrUnknownPeer    = errors.New("sender is not in the peers file")
	ErrWrongSender    = errors.New("sender is not the process that the TLS certificate names")
	ErrWrongRecipient = errors.New("message is for another process")
	ErrSignature      = errors.New("message signature does not verify")
	ErrStale          = errors.New("message is too old")
	ErrFuture         = errors.New("message is from the future")
	ErrReplay         = errors.New("message was received before")
	ErrEpoch          = errors.New("message is for another incarnation of this process")
	ErrUnknownMethod  = errors.New("method is unknown")
	ErrBadRequest     = errors.New("request body cannot be read")
	ErrTooLarge       = errors.New("message is too large")
	ErrForbidden      = errors.New("peer may not ask for this")
	ErrBusy           = errors.New("too many requests")
	ErrTimeout        = errors.New("handler ran out of time")
	// ErrInternal stands for an error whose text must not leave the process; its
	// log has it, under the message's id.
	ErrInternal = errors.New("internal error")
)

// Errors of the calling side alone.
var (
	// ErrUnavailable: the peer could not be reached, or would not talk. Whether
	// it carried the call out is unknown.
	ErrUnavailable = errors.New("peer is unavailable")
	// ErrBadResponse: an answer came that is not the peer's to this call. It is
	// not believed, and whether the call was carried out is unknown.
	ErrBadResponse = errors.New("response is refused")
	// ErrWrongReply: the response is one to another request.
	ErrWrongReply = errors.New("response is to another request")
)

// Code names an error on the wire.
type Code struct {
	// Code is at most 64 characters of lower case words: "authority-conflict".
	Code string
	// Err is the error that it stands for, on both sides of the link.
	Err error
	// Retryable makes the client repeat the call by itself.
	Retryable bool
}

// Codes is what the two sides of a link agree on. The first entry that an error
// wraps names it. An error that is not listed crosses as "internal", without its text.
type Codes []Code

const codeInternal = "internal"

// receiverCodes are the refusals before a handler is asked.
var receiverCodes = Codes{
	{"link/malformed", ErrMalformed, false},
	{"link/unknown-peer", ErrUnknownPeer, false},
	{"link/wrong-sender", ErrWrongSender, false},
	{"link/wrong-recipient", ErrWrongRecipient, false},
	{"link/signature", ErrSignature, false},
	{"link/stale", ErrStale, false},
	{"link/future", ErrFuture, false},
	{"link/replay", ErrReplay, true}, // a repetition has a new id
	{"link/epoch", ErrEpoch, true},
	{"link/unknown-method", ErrUnknownMethod, false},
	{"link/busy", ErrBusy, true},
}

// handlerCodes are those that handlers may return beside their own. The
// refusals above are not among them: from a handler they tell of another link.
var handlerCodes = Codes{
	{"link/forbidden", ErrForbidden, false},
	{"link/bad-request", ErrBadRequest, false},
	{"link/too-large", ErrTooLarge, false},
	{"link/handler-busy", ErrBusy, true},
	{"link/timeout", ErrTimeout, true},
	// Most are of the moment: a database that restarts, a device that is away.
	{codeInternal, ErrInternal, true},
}

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9]*([-/][a-z0-9]+)*$`)

// Validate says which entry cannot be used.
func (c Codes) Validate() error {
	seen := map[string]bool{}
	for _, e := range c {
		switch {
		case !codeForm.MatchString(e.Code) || len(e.Code) > maxCode:
			return fmt.Errorf("code %.80q: want at most %d characters of lower case words joined by - or /", e.Code, maxCode)
		case strings.HasPrefix(e.Code, "link/") || e.Code == codeInternal:
			return fmt.Errorf("code %q: is one of this package's own", e.Code)
		case e.Err == nil:
			return fmt.Errorf("code %q: has no error", e.Code)
		case seen[e.Code]:
			return fmt.Errorf("code %q: is listed twice", e.Code)
		}
		seen[e.Code] = true
	}
	return nil
}

func (c Codes) find(err error) (Code, bool) {
	for _, e := range c {
		if errors.Is(err, e.Err) {
			return e, true
		}
	}
	return Code{}, false
}

func (c Codes) byCode(code string) (Code, bool) {
	for _, e := range c {
		if e.Code == code {
			return e, true
		}
	}
	return Code{}, false
}

// RemoteError is what the peer answered instead of a result. Unwrap gives the
// error that its code stands for, if this side knows the code.
type RemoteError struct {
	Peer, Method string
	// Code is "internal", one of Codes, or "link/" and a refusal of this package.
	Code string
	// Message is the error's text at the peer; empty when it is internal.
	Message string
	// Retryable: the same call may succeed later.
	Retryable bool

	known error
}

func (e *RemoteError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s answered %s with %s", e.Peer, e.Method, e.Code)
	}
	return fmt.Sprintf("%s answered %s with: %s", e.Peer, e.Method, e.Message)
}

func (e *RemoteError) Unwrap() error { return e.known }

// bounded cuts a text to what fits in a message.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for !utf8.ValidString(s) { // a rune was cut
		s = s[:len(s)-1]
	}
	return s
}
