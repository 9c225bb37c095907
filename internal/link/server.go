package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// Defaults of ServerConfig and ClientConfig.
const (
	DefaultMaxBody        = 8 << 20 // bytes
	DefaultMaxConcurrent  = 32
	DefaultHandlerTimeout = time.Minute
	DefaultStopTimeout    = 30 * time.Second
)

// ServerConfig is what a receiver of calls needs. Zero numbers stand for the defaults.
type ServerConfig struct {
	// Self is this process's name: messages must be addressed to it.
	Self  string
	Key   *Key
	Peers Directory
	Codes Codes
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// MaxRequest and MaxResponse bound the bodies, in bytes.
	MaxRequest, MaxResponse int
	// MaxConcurrent calls are worked on at a time; each may hold MaxRequest and
	// MaxResponse bytes. More are refused, and the client comes again.
	MaxConcurrent int
	// HandlerTimeout ends a handler's context.
	HandlerTimeout time.Duration
	// StopTimeout is how long Serve waits for calls that are under way.
	StopTimeout time.Duration
	Log         logr.Logger
	Metrics     *Metrics // unregistered when nil
}

// Handler answers one call. Its error crosses the link by Codes.
type Handler func(ctx context.Context, peer Peer, body []byte) ([]byte, error)

// Server receives the calls of peers.
type Server struct {
	cfg      ServerConfig
	epoch    id
	codes    Codes
	slots    chan struct{}
	stopping atomic.Bool
	maxAge   time.Duration

	mu       sync.Mutex
	handlers map[string]Handler
	windows  map[string]*window
}

var methodForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([-./][A-Za-z0-9]+)*$`)

// NewServer checks the configuration and draws this incarnation's epoch.
func NewServer(cfg ServerConfig) (*Server, error) {
	if !peerName.MatchString(cfg.Self) || cfg.Key == nil || cfg.Peers == nil {
		return nil, errors.New("link server: Self, Key and Peers are required")
	}
	if err := cfg.Codes.Validate(); err != nil {
		return nil, fmt.Errorf("link server: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	positive(&cfg.MaxRequest, DefaultMaxBody)
	positive(&cfg.MaxResponse, DefaultMaxBody)
	positive(&cfg.MaxConcurrent, DefaultMaxConcurrent)
	positive(&cfg.HandlerTimeout, DefaultHandlerTimeout)
	positive(&cfg.StopTimeout, DefaultStopTimeout)
	return &Server{
		cfg: cfg, epoch: newID(), slots: make(chan struct{}, cfg.MaxConcurrent),
		codes:    append(append(Codes{}, cfg.Codes...), handlerCodes...),
		handlers: map[string]Handler{}, windows: map[string]*window{}, maxAge: maxConnectionAge,
	}, nil
}

func positive[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

func newID() id {
	var v id
	_, _ = rand.Read(v[:]) // never fails: it ends the process instead
	return v
}

// Handle sets the handler of a method, before Serve. It panics when the name is
// malformed or taken, which only a wrong program can bring about.
func (s *Server) Handle(method string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !methodForm.MatchString(method) || len(method) > maxMethod || s.handlers[method] != nil {
		panic(fmt.Sprintf("link: method %q is malformed or has a handler", method))
	}
	s.handlers[method] = h
}

// answer judges one message of the process tlsName and returns the sealed
// response; an error when it could not be signed.
func (s *Server) answer(ctx context.Context, tlsName string, message []byte) ([]byte, error) {
	resp := response{From: s.cfg.Self, To: tlsName, InReplyTo: digest(message), Epoch: s.epoch}
	req, peer, err := s.receive(tlsName, message)
	if err != nil {
		code, _ := receiverCodes.find(err)
		s.cfg.Metrics.reject(code.Code)
		if !errors.Is(err, ErrEpoch) { // each restart makes one; no news
			s.cfg.Log.Info("message refused", "peer", tlsName, "id", fmt.Sprintf("%x", req.ID), "cause", err.Error())
		}
		resp.Code, resp.Retryable, resp.Text = code.Code, code.Retryable, bounded(err.Error())
		return seal(s.cfg.Key, resp.encode())
	}
	start := time.Now()
	body, err := s.handle(ctx, req, peer)
	if err == nil {
		resp.Body = body
	} else {
		code, ok := s.codes.find(err)
		if !ok {
			code, _ = s.codes.byCode(codeInternal)
			s.cfg.Log.Error(err, "call failed", "callerLeft", ctx.Err() != nil, "peer", peer.Name, "method", req.Method, "id", fmt.Sprintf("%x", req.ID))
		} else if code.Code != codeInternal {
			resp.Text = bounded(err.Error())
		}
		resp.Code, resp.Retryable = code.Code, code.Retryable
	}
	s.cfg.Metrics.handled(peer.Name, req.Method, resultOf(resp.Code), time.Since(start))
	return seal(s.cfg.Key, resp.encode())
}

func resultOf(code string) string {
	if code == "" {
		return "ok"
	}
	return code
}

// receive returns the request when all that the package comment lists holds.
// What needs no arithmetic is looked at first; the window and the epoch last,
// for only verified messages may touch them.
func (s *Server) receive(tlsName string, message []byte) (request, Peer, error) {
	req, sig, err := parseRequest(message)
	if err != nil {
		return req, Peer{}, err
	}
	if req.To != s.cfg.Self {
		return req, Peer{}, fmt.Errorf("%w: it is for %.64q, this is %q; check the address", ErrWrongRecipient, req.To, s.cfg.Self)
	}
	if req.From != tlsName {
		return req, Peer{}, fmt.Errorf("%w: it is from %.64q, the certificate is of %q", ErrWrongSender, req.From, tlsName)
	}
	peer, ok := s.cfg.Peers.Peer(req.From)
	if !ok {
		return req, Peer{}, fmt.Errorf("%w of %q: %q; add its name and public key", ErrUnknownPeer, s.cfg.Self, req.From)
	}
	now := s.cfg.Now()
	if err := fresh(now, req.At); err != nil {
		return req, Peer{}, err
	}
	if !sig.verify(peer.PublicKey) {
		return req, Peer{}, fmt.Errorf("%w under the key that the peers file of %q has for %q", ErrSignature, s.cfg.Self, peer.Name)
	}
	if req.Epoch != s.epoch {
		return req, Peer{}, ErrEpoch
	}
	if s.handler(req.Method) == nil {
		return req, Peer{}, fmt.Errorf("%w: %.64q", ErrUnknownMethod, req.Method)
	}
	return req, peer, s.window(peer.Name).admit(now, req.At, req.ID)
}

func (s *Server) handler(method string) Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handlers[method]
}

func (s *Server) window(peer string) *window {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.windows[peer]
	if w == nil { // bounded by the peers file
		w = newWindow(maxSeen)
		s.windows[peer] = w
	}
	return w
}

func (s *Server) handle(ctx context.Context, req request, peer Peer) (body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HandlerTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			// The value may hold what must not be logged; where it happened may.
			s.cfg.Log.Error(nil, "handler panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			body, err = nil, fmt.Errorf("handler panicked with a %T", v)
		}
	}()
	body, err = s.handler(req.Method)(ctx, peer, req.Body)
	if err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %s took more than %s", ErrTimeout, req.Method, s.cfg.HandlerTimeout)
	}
	if err == nil && len(body) > s.cfg.MaxResponse {
		return nil, fmt.Errorf("%w: the result of %s has %d bytes, at most %d are allowed; ask for less", ErrTooLarge, req.Method, len(body), s.cfg.MaxResponse)
	}
	return body, err
}
