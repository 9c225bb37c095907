package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Defaults of ClientConfig.
const (
	DefaultAttempts   = 4
	DefaultTimeout    = 90 * time.Second
	DefaultBackoff    = 200 * time.Millisecond
	DefaultMaxBackoff = 5 * time.Second
)

// ClientConfig is what a caller of one peer needs. Zero numbers stand for the defaults.
type ClientConfig struct {
	// Self is this process's name, Server the peer's.
	Self, Server string
	// URL is where the peer is: "https://host:port", nothing after it.
	URL string
	Key *Key
	// Peers must know Server's public key.
	Peers Directory
	// TLS is transport's ClientTLS(Server).
	TLS   *tls.Config
	Codes Codes
	// Now is the clock that messages are dated by, time.Now when nil.
	Now func() time.Time
	// MaxRequest and MaxResponse bound the bodies, in bytes.
	MaxRequest, MaxResponse int
	// Attempts is how often a call is tried in all; Timeout is for each.
	Attempts int
	Timeout  time.Duration
	// Backoff is the wait before the second attempt; it doubles up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	Metrics             *Metrics // unregistered when nil
}

// Client calls one peer over a pool of connections. It may be used concurrently.
type Client struct {
	cfg   ClientConfig
	url   string
	codes Codes
	http  *http.Client
	// epoch is the peer's incarnation as it last said. It is zero at first, which
	// no process has.
	epoch atomic.Pointer[id]
}

// NewClient checks the configuration. It does not connect.
func NewClient(cfg ClientConfig) (*Client, error) {
	if !peerName.MatchString(cfg.Self) || !peerName.MatchString(cfg.Server) || cfg.Key == nil || cfg.Peers == nil || cfg.TLS == nil {
		return nil, errors.New("link client: Self, Server, Key, Peers and TLS are required")
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("link client: address of %s %.200q: want https://host:port", cfg.Server, cfg.URL)
	}
	if err := cfg.Codes.Validate(); err != nil {
		return nil, fmt.Errorf("link client: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	positive(&cfg.MaxRequest, DefaultMaxBody)
	positive(&cfg.MaxResponse, DefaultMaxBody)
	positive(&cfg.Attempts, DefaultAttempts)
	positive(&cfg.Timeout, DefaultTimeout)
	positive(&cfg.Backoff, DefaultBackoff)
	positive(&cfg.MaxBackoff, DefaultMaxBackoff)
	c := &Client{
		cfg: cfg, url: "https://" + u.Host + path,
		codes: append(append(append(Codes{}, cfg.Codes...), receiverCodes...), handlerCodes...),
		http: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:     cfg.TLS,
				ForceAttemptHTTP2:   true,
				TLSHandshakeTimeout: 10 * time.Second,
				IdleConnTimeout:     90 * time.Second,
				MaxIdleConnsPerHost: 8,
				MaxConnsPerHost:     32,
				// A peer that vanished without a word would hold the connection, and with
				// it all calls, until the kernel gives up after a quarter of an hour.
				HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
				// No proxy from the environment: zones are connected as declared.
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.epoch.Store(&id{})
	return c, nil
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call sends body to a method of the peer and returns its answer.
//
// It repeats what may not have arrived and what the peer says may be repeated,
// until ctx ends or the attempts are used up. The error wraps the peer's
// *RemoteError, ErrUnavailable, ErrBadResponse or ctx's; it names the last
// attempt's when there were several.
func (c *Client) Call(ctx context.Context, method string, body []byte) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("call %s of %s: %w", method, c.cfg.Server, err)
	}
	if !methodForm.MatchString(method) || len(method) > maxMethod {
		return fail(ErrUnknownMethod)
	}
	if len(body) > c.cfg.MaxRequest {
		return fail(fmt.Errorf("%w: has %d bytes, at most %d are allowed", ErrTooLarge, len(body), c.cfg.MaxRequest))
	}
	backoff := c.cfg.Backoff
	for attempt, introductions := 1, 0; ; attempt++ {
		answer, err := c.attempt(ctx, method, body)
		if err == nil {
			return answer, nil
		}
		// The peer told its epoch; that was an introduction and no attempt. Behind a
		// balancer several replicas may need one.
		if errors.Is(err, ErrEpoch) && introductions < 3 && ctx.Err() == nil {
			introductions++
			attempt--
			continue
		}
		wait, again := retry(err)
		if !again || attempt >= c.cfg.Attempts {
			return fail(err)
		}
		// Half of it is random: the clients of a peer that restarts do not come at once.
		wait = max(wait, backoff/2+rand.N(backoff/2+1))
		if backoff *= 2; backoff > c.cfg.MaxBackoff {
			backoff = c.cfg.MaxBackoff
		}
		select {
		case <-ctx.Done():
			return fail(fmt.Errorf("%w after %d attempts; the last: %w", ctx.Err(), attempt, err))
		case <-time.After(wait):
		}
	}
}

// transient is an error after which the call may be repeated, not before wait.
type transient struct {
	error
	wait time.Duration
}

func (t transient) Unwrap() error { return t.error }

func retry(err error) (wait time.Duration, again bool) {
	if t := (transient{}); errors.As(err, &t) {
		return t.wait, true
	}
	remote := (*RemoteError)(nil)
	return 0, errors.As(err, &remote) && remote.Retryable
}

func (c *Client) attempt(ctx context.Context, method string, body []byte) ([]byte, error) {
	start := time.Now()
	answer, err := c.exchange(ctx, method, body)
	c.cfg.Metrics.called(c.cfg.Server, method, c.result(ctx, err), time.Since(start))
	return answer, err
}

func (c *Client) result(ctx context.Context, err error) string {
	remote := (*RemoteError)(nil)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &remote):
		if _, ok := c.codes.byCode(remote.Code); !ok {
			return "other" // the label's values are those of this side's tables
		}
		return remote.Code
	case errors.Is(err, ErrBadResponse):
		return "bad-response"
	case ctx.Err() != nil:
		return "cancelled"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	}
	return "failed"
}

// exchange sends one newly signed message and judges what comes back.
func (c *Client) exchange(ctx context.Context, method string, body []byte) ([]byte, error) {
	req := request{From: c.cfg.Self, To: c.cfg.Server, Method: method, ID: newID(), Epoch: *c.epoch.Load(), At: c.cfg.Now(), Body: body}
	message, err := seal(c.cfg.Key, req.encode())
	if err != nil {
		return nil, err
	}
	answer, err := c.post(ctx, message)
	if err != nil {
		return nil, err
	}
	resp, err := c.judge(message, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadResponse, err)
	}
	c.epoch.Store(&resp.Epoch)
	if resp.Code == "" {
		return resp.Body, nil
	}
	known, _ := c.codes.byCode(resp.Code)
	return nil, &RemoteError{Peer: c.cfg.Server, Method: method, Code: resp.Code, Message: resp.Text, Retryable: resp.Retryable, known: known.Err}
}

func (c *Client) judge(message, answer []byte) (response, error) {
	resp, sig, err := parseResponse(answer)
	if err != nil {
		return response{}, err
	}
	peer, ok := c.cfg.Peers.Peer(c.cfg.Server)
	switch {
	case !ok:
		return response{}, fmt.Errorf("%w: %q; add its name and public key", ErrUnknownPeer, c.cfg.Server)
	case resp.From != c.cfg.Server:
		return response{}, fmt.Errorf("%w: it is from %.64q, want %q", ErrWrongSender, resp.From, c.cfg.Server)
	case resp.To != c.cfg.Self:
		return response{}, fmt.Errorf("%w: it is for %.64q, this is %q", ErrWrongRecipient, resp.To, c.cfg.Self)
	case resp.InReplyTo != digest(message):
		return response{}, ErrWrongReply
	case !sig.verify(peer.PublicKey):
		return response{}, fmt.Errorf("%w under the key that the peers file of %q has for %q", ErrSignature, c.cfg.Self, peer.Name)
	}
	return resp, nil
}

// post returns the answer's bytes, unjudged.
func (c *Client) post(ctx context.Context, message []byte) ([]byte, error) {
	attempt, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(attempt, http.MethodPost, c.url, bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", contentType)
	unavailable := func(err error) error {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, ctx.Err(), err)
		}
		return transient{error: fmt.Errorf("%w: %w", ErrUnavailable, explain(err))}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, unavailable(err)
	}
	defer resp.Body.Close()
	most := int64(c.cfg.MaxResponse) + overhead
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != contentType {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return nil, refused(resp, strings.TrimSpace(string(text)))
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, unavailable(err)
	}
	if int64(len(answer)) > most {
		return nil, fmt.Errorf("%w: %w: more than %d bytes", ErrBadResponse, ErrTooLarge, most)
	}
	return answer, nil
}

// refused judges an answer in plain HTTP: of the peer before it read the
// message, or of something in between.
func refused(resp *http.Response, text string) error {
	err := fmt.Errorf("%w: HTTP status %d: %q", ErrUnavailable, resp.StatusCode, text)
	switch code := resp.StatusCode; {
	case code == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %q", ErrTooLarge, text)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		wait := time.Duration(min(max(seconds, 0), 10)) * time.Second
		return transient{error: fmt.Errorf("%w: %w", err, ErrBusy), wait: wait}
	case code >= 500:
		return transient{error: err}
	}
	return err
}

// explain says what an alert of the other side is about; the alert itself has
// no words for it.
func explain(err error) error {
	if alert := tls.AlertError(0); errors.As(err, &alert) {
		return fmt.Errorf("%w (the peer refused this process's transport certificate or name; its log says why)", err)
	}
	return err
}
