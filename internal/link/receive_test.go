package link

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/go-logr/logr"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) *Key {
	t.Helper()
	priv, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ends is a server "ca", its peer "ra" and the client of it, without a wire.
type ends struct {
	now    time.Time
	ra, ca *Key
	server *Server
	client *Client
	acts   int
}

func newEnds(t testing.TB) *ends {
	t.Helper()
	e := &ends{now: noon, ra: newKey(t), ca: newKey(t)}
	e.server = e.incarnate(t)
	e.client = &Client{cfg: ClientConfig{Self: "ra", Server: "ca", Peers: StaticPeers{"ca": {Name: "ca", PublicKey: e.ca.Public()}}}}
	return e
}

func (e *ends) incarnate(t testing.TB) *Server {
	t.Helper()
	s, err := NewServer(ServerConfig{Self: "ca", Key: e.ca, Log: logr.Discard(), Now: func() time.Time { return e.now },
		Peers: StaticPeers{"ra": {Name: "ra", PublicKey: e.ra.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("Act", func(_ context.Context, _ Peer, b []byte) ([]byte, error) { e.acts++; return b, nil })
	return s
}

// request is one that is in order, but for change.
func (e *ends) request(t testing.TB, change func(*request)) []byte {
	t.Helper()
	r := request{From: "ra", To: "ca", Method: "Act", ID: newID(), Epoch: e.server.epoch, At: e.now, Body: []byte("body")}
	if change != nil {
		change(&r)
	}
	b, err := seal(e.ra, r.encode())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deliver gives a message to the server and returns what the client makes of the answer.
func (e *ends) deliver(t testing.TB, tlsName string, message []byte) error {
	t.Helper()
	answer, err := e.server.answer(t.Context(), tlsName, message)
	if err != nil {
		t.Fatal(err)
	}
	resp, sig, err := parseResponse(answer)
	if err != nil {
		t.Fatal(err)
	}
	if !sig.verify(e.ca.Public()) || resp.InReplyTo != digest(message) || resp.To != tlsName || resp.Epoch != e.server.epoch {
		t.Error("the answer is not signed, or not the answer to this message")
	}
	if resp.Code == "" {
		if string(resp.Body) != "body" {
			t.Errorf("body: got %q", resp.Body)
		}
		return nil
	}
	code, ok := append(append(Codes{}, receiverCodes...), handlerCodes...).byCode(resp.Code)
	if !ok || code.Retryable != resp.Retryable || resp.Text == "" {
		t.Errorf("answer: got code %q, retryable %v, text %q", resp.Code, resp.Retryable, resp.Text)
	}
	return code.Err
}

func TestRefusals(t *testing.T) {
	flip := func(b []byte, fromEnd int) []byte { b[len(b)-fromEnd] ^= 1; return b }
	const tail = 4 + 80 // at most, behind the body
	for name, tc := range map[string]struct {
		tlsName string
		message func(e *ends) []byte
		want    error
	}{
		"in order":       {"ra", func(e *ends) []byte { return e.request(t, nil) }, nil},
		"as old as may":  {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.At = noon.Add(-Tolerance) }) }, nil},
		"as early as":    {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.At = noon.Add(Tolerance) }) }, nil},
		"stale":          {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.At = noon.Add(-Tolerance - 1e6) }) }, ErrStale},
		"future":         {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.At = noon.Add(Tolerance + 1e6) }) }, ErrFuture},
		"unknown peer":   {"manager", func(e *ends) []byte { return e.request(t, func(r *request) { r.From = "manager" }) }, ErrUnknownPeer},
		"wrong CN":       {"manager", func(e *ends) []byte { return e.request(t, nil) }, ErrWrongSender},
		"wrong to":       {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.To = "kmc" }) }, ErrWrongRecipient},
		"unknown method": {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.Method = "Delete" }) }, ErrUnknownMethod},
		"other epoch":    {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.Epoch = newID() }) }, ErrEpoch},
		"no epoch":       {"ra", func(e *ends) []byte { return e.request(t, func(r *request) { r.Epoch = id{} }) }, ErrEpoch},
		"tampered body": {"ra", func(e *ends) []byte {
			b := e.request(t, func(r *request) { r.Body = make([]byte, 200) })
			return flip(b, tail+50)
		}, ErrSignature},
		"tampered signature": {"ra", func(e *ends) []byte { return flip(e.request(t, nil), 1) }, ErrSignature},
		"no signature": {"ra", func(e *ends) []byte {
			return appendField(request{From: "ra", To: "ca", Method: "Act", At: noon, Epoch: e.server.epoch}.encode(), "")
		}, ErrSignature},
		"signed by another": {"ra", func(e *ends) []byte {
			b, _ := seal(e.ca, request{From: "ra", To: "ca", Method: "Act", At: noon, Epoch: e.server.epoch}.encode())
			return b
		}, ErrSignature},
		"a response as request": {"ra", func(e *ends) []byte {
			b, _ := seal(e.ra, response{From: "ra", To: "ca"}.encode())
			return b
		}, ErrMalformed},
		"empty":         {"ra", func(*ends) []byte { return nil }, ErrMalformed},
		"cut":           {"ra", func(e *ends) []byte { b := e.request(t, nil); return b[:len(b)-1] }, ErrMalformed},
		"more after it": {"ra", func(e *ends) []byte { return append(e.request(t, nil), 0) }, ErrMalformed},
		"replay": {"ra", func(e *ends) []byte {
			b := e.request(t, nil)
			if err := e.deliver(t, "ra", b); err != nil {
				t.Fatal(err)
			}
			e.acts--
			return b
		}, ErrReplay},
		// The message is dated after the restart, by a clock that is ahead.
		"replay after a restart": {"ra", func(e *ends) []byte {
			b := e.request(t, func(r *request) { r.At = noon.Add(time.Minute) })
			if err := e.deliver(t, "ra", b); err != nil {
				t.Fatal(err)
			}
			e.acts--
			e.server = e.incarnate(t)
			return b
		}, ErrEpoch},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnds(t)
			if err := e.deliver(t, tc.tlsName, tc.message(e)); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			want := 0
			if tc.want == nil {
				want = 1
			}
			if e.acts != want {
				t.Errorf("the handler acted %d times, want %d", e.acts, want)
			}
		})
	}
}

func TestResponsesAreJudged(t *testing.T) {
	e := newEnds(t)
	message := e.request(t, nil)
	good := response{From: "ca", To: "ra", InReplyTo: digest(message), Body: []byte("yes")}
	sealed := func(key *Key, change func(*response)) []byte {
		r := good
		change(&r)
		b, err := seal(key, r.encode())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tampered := sealed(e.ca, func(r *response) { r.Body = make([]byte, 200) })
	tampered[len(tampered)-150] ^= 1
	for name, tc := range map[string]struct {
		answer []byte
		want   error
	}{
		"in order":              {sealed(e.ca, func(*response) {}), nil},
		"of another request":    {sealed(e.ca, func(r *response) { r.InReplyTo = digest([]byte("other")) }), ErrWrongReply},
		"of another server":     {sealed(e.ca, func(r *response) { r.From = "kmc" }), ErrWrongSender},
		"for another client":    {sealed(e.ca, func(r *response) { r.To = "manager" }), ErrWrongRecipient},
		"signed by another key": {sealed(e.ra, func(*response) {}), ErrSignature},
		"tampered body":         {tampered, ErrSignature},
		"the request itself":    {message, ErrMalformed},
		"empty":                 {nil, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := e.client.judge(message, tc.answer)
			if !errors.Is(err, tc.want) || (err == nil) != (string(resp.Body) == "yes") {
				t.Errorf("got %q, %v; want %v", resp.Body, err, tc.want)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	w := newWindow(2)
	a, b, c := id{1}, id{2}, id{3}
	later := noon.Add(2*Tolerance + time.Second)
	for _, step := range []struct {
		name    string
		now, at time.Time
		message id
		want    error
	}{
		{"first", noon, noon.Add(Tolerance), a, nil},
		{"again", noon, noon.Add(Tolerance), a, ErrReplay},
		{"second", noon, noon, b, nil},
		{"full", noon, noon, c, ErrBusy},
		{"again at the last moment", noon.Add(2 * Tolerance), noon.Add(Tolerance), a, ErrReplay},
		{"too old to be a replay", later, noon.Add(Tolerance), a, ErrStale},
		{"room again", later, later, c, nil},
		// a and b are forgotten, and the clock is set back to when they were fresh.
		{"clock set back", noon.Add(time.Second), noon.Add(Tolerance), a, ErrStale},
	} {
		if err := w.admit(step.now, step.at, step.message); !errors.Is(err, step.want) {
			t.Errorf("%s: got %v, want %v", step.name, err, step.want)
		}
	}
	if len(w.seen) != 1 || len(w.queue) != 1 {
		t.Errorf("remembered: %d, queued: %d; want 1", len(w.seen), len(w.queue))
	}
}

func TestNewServerRefuses(t *testing.T) {
	key := newKey(t)
	some := errors.New("some")
	for name, cfg := range map[string]ServerConfig{
		"no key":         {Self: "ca", Peers: StaticPeers{}},
		"no peers":       {Self: "ca", Key: key},
		"bad name":       {Self: "CA", Key: key, Peers: StaticPeers{}},
		"own code":       {Self: "ca", Key: key, Peers: StaticPeers{}, Codes: Codes{{Code: "link/busy", Err: some}}},
		"internal":       {Self: "ca", Key: key, Peers: StaticPeers{}, Codes: Codes{{Code: "internal", Err: some}}},
		"no error":       {Self: "ca", Key: key, Peers: StaticPeers{}, Codes: Codes{{Code: "a"}}},
		"no code":        {Self: "ca", Key: key, Peers: StaticPeers{}, Codes: Codes{{Err: some}}},
		"the same twice": {Self: "ca", Key: key, Peers: StaticPeers{}, Codes: Codes{{Code: "a", Err: some}, {Code: "a", Err: some}}},
	} {
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, url := range []string{"", "http://ca:1", "https://", "https://ca:1/x", "https://u:p@ca:1", "https://ca:1?a=b", "ca:1"} {
		_, err := NewClient(ClientConfig{Self: "ra", Server: "ca", URL: url, Key: newKey(t), Peers: StaticPeers{}, TLS: &tls.Config{}})
		if err == nil {
			t.Errorf("%q: was taken", url)
		}
	}
}
