package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/ocsp"
)

// OCSPNode is a running validation node (证书查验节点) that answers for the stage's CA.
type OCSPNode struct {
	// Address is host:port of its HTTP server.
	Address string
	// Signer is its OCSP key.
	Signer crypto.MessageSigner
}

// OCSPMode is what a bench asks a node for.
type OCSPMode string

// Modes of a bench of OCSP.
const (
	// OCSPCached: what was signed before, beside a trivial HTTP handler that sends
	// as many bytes.
	OCSPCached OCSPMode = "cached"
	// OCSPLive: each certificate for the first time, beside signatures of the
	// node's key alone, each checked as all are that leave.
	OCSPLive OCSPMode = "live"
	// OCSPNonce: each with a nonce; compared like OCSPLive.
	OCSPNonce OCSPMode = "nonce"
	// OCSPRevoked: from the moment at which a revocation is durable until the node says so.
	OCSPRevoked OCSPMode = "revoked"
)

// OCSPModes are all of them.
var OCSPModes = []OCSPMode{OCSPCached, OCSPLive, OCSPNonce, OCSPRevoked}

const (
	// rounds alternate what is measured with what it is compared with, so that
	// both have the same share of a machine that others use too.
	rounds = 16
	// cachedSerials are asked for in turn by OCSPCached.
	cachedSerials = 1000
	// trivialSize is that of a response in bytes, about.
	trivialSize = 1000
)

// OCSP measures n requests by some callers at once, each on a connection of its
// own that stays open, over loopback: the load is on the same cores.
func (s *Stage) OCSP(ctx context.Context, node OCSPNode, mode OCSPMode, n, callers int) (Result, error) {
	if n < 1 || callers < 1 {
		return Result{}, fmt.Errorf("ocsp: %d operations by %d callers: want at least 1 each", n, callers)
	}
	ca, err := s.Authorities.CA(s.key)
	if err != nil {
		return Result{}, fmt.Errorf("ocsp: %w", err)
	}
	asker, err := newAsker(ca.Cert, node.Address)
	if err != nil {
		return Result{}, fmt.Errorf("ocsp: %w", err)
	}
	var r Result
	switch mode {
	case OCSPCached:
		r, err = s.ocspCached(ctx, asker, n, callers)
	case OCSPLive, OCSPNonce:
		r, err = s.ocspLive(ctx, asker, node.Signer, mode, n, callers)
	case OCSPRevoked:
		r, err = s.ocspRevoked(ctx, asker, n)
	default:
		var names []string
		for _, m := range OCSPModes {
			names = append(names, string(m))
		}
		err = fmt.Errorf("mode %q: want one of %s", mode, strings.Join(names, ", "))
	}
	if err != nil {
		return Result{}, fmt.Errorf("ocsp: %w", err)
	}
	r.Name = "ocsp-" + string(mode)
	return r, nil
}

// ocspCached asks for the same certificates again and again.
func (s *Stage) ocspCached(ctx context.Context, a *asker, n, callers int) (Result, error) {
	serials, err := s.serials(ctx, min(n, cachedSerials))
	if err != nil {
		return Result{}, err
	}
	requests := make([][]byte, len(serials))
	for i, serial := range serials {
		if requests[i], err = a.request(ocsp.SHA1, nil, serial); err != nil {
			return Result{}, err
		}
	}
	// Signed once, and the length is known.
	var size int
	warm := func(i int, response []byte) error {
		size = len(response)
		return a.verify(response, serials[i], ocsp.Good)
	}
	if err := a.all(ctx, nil, 1, len(requests), func(i int) []byte { return requests[i] }, warm); err != nil {
		return Result{}, err
	}
	stop, trivial, err := serveTrivial(size)
	if err != nil {
		return Result{}, err
	}
	defer stop()
	m, raw := pausedMeter(n), pausedMeter(n)
	for round := range rounds {
		share := (n + rounds - 1 - round) / rounds
		of := func(i int) []byte { return requests[i%len(requests)] }
		if err := raw.round(func() error { return trivial.all(ctx, raw, callers, share, of, nil) }); err != nil {
			return Result{}, fmt.Errorf("trivial handler: %w", err)
		}
		if err := m.round(func() error { return a.all(ctx, m, callers, share, of, nil) }); err != nil {
			return Result{}, err
		}
	}
	if err := a.all(ctx, nil, 1, 1, func(int) []byte { return requests[0] }, func(_ int, response []byte) error {
		return a.verify(response, serials[0], ocsp.Good)
	}); err != nil {
		return Result{}, err
	}
	r, t := m.sum(), raw.sum()
	r.compare(t.Rate, fmt.Sprintf("a trivial net/http handler that sends %d bytes: %.0f allocations, cpu %v a request, p99 %v, client included; %d callers",
		size, t.Allocations, time.Duration(t.CPU).Round(time.Microsecond), time.Duration(t.Latency.P99).Round(10*time.Microsecond), callers))
	return r, nil
}

// hashes by which a live bench asks for each serial: each is a response of its own.
var hashes = []ocsp.Hash{ocsp.SHA1, ocsp.SHA256, ocsp.SM3}

// ocspLive asks for what was never signed.
func (s *Stage) ocspLive(ctx context.Context, a *asker, signer crypto.MessageSigner, mode OCSPMode, n, callers int) (Result, error) {
	serials, err := s.serials(ctx, n)
	if err != nil {
		return Result{}, err
	}
	if most := len(hashes) * len(serials); mode == OCSPLive && n > most {
		return Result{}, fmt.Errorf("%d operations: the CA of the bench has certificates for %d; run terrace bench issue on this ledger first", n, most)
	}
	requests := make([][]byte, n)
	for i := range requests {
		var nonce []byte
		if mode == OCSPNonce {
			nonce = make([]byte, 16)
			_, _ = rand.Read(nonce) // it never fails
		}
		if requests[i], err = a.request(hashes[i/len(serials)%len(hashes)], nonce, serials[i%len(serials)]); err != nil {
			return Result{}, err
		}
	}
	stop, trivial, err := serveTrivial(trivialSize)
	if err != nil {
		return Result{}, err
	}
	defer stop()
	m, exchange := pausedMeter(n), pausedMeter(n)
	var checked, bare alone
	for round, first := 0, 0; round < rounds; round++ {
		share := (n + rounds - 1 - round) / rounds
		if err := checked.sign(callers, func(message []byte) ([]byte, error) {
			return signer.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
		}); err != nil {
			return Result{}, err
		}
		if u, ok := signer.(interface {
			SignUnverified(message []byte) ([]byte, error)
		}); ok {
			if err := bare.sign(callers, u.SignUnverified); err != nil {
				return Result{}, err
			}
		}
		of := func(i int) []byte { return requests[first+i] }
		if err := exchange.round(func() error { return trivial.all(ctx, exchange, callers, share, of, nil) }); err != nil {
			return Result{}, fmt.Errorf("trivial handler: %w", err)
		}
		if err := m.round(func() error { return a.all(ctx, m, callers, share, of, nil) }); err != nil {
			return Result{}, err
		}
		first += share
	}
	r, t := m.sum(), exchange.sum()
	both := 1 / (1/checked.rate() + 1/t.Rate)
	note := fmt.Sprintf("signatures of the same key, each checked, cpu %v each; %d callers; %.0f%% of %.0f/s with a trivial net/http exchange each",
		time.Duration(checked.cpu/int64(max(checked.signatures, 1))).Round(time.Microsecond), callers, 100*r.Rate/both, both)
	if rate := bare.rate(); rate > 0 {
		note += fmt.Sprintf("; %.0f%% of %.0f/s unchecked signatures", 100*r.Rate/rate, rate)
	}
	r.compare(checked.rate(), note)
	return r, nil
}

// alone is how fast a key signs when nothing else is done.
type alone struct {
	signatures int
	elapsed    time.Duration
	cpu        int64
}

// aloneTime of one round.
const aloneTime = 60 * time.Millisecond

func (a *alone) rate() float64 {
	if a.elapsed == 0 {
		return 0
	}
	return float64(a.signatures) / a.elapsed.Seconds()
}

// sign has as many callers sign for a while as ask the node: a token has several sessions.
func (a *alone) sign(callers int, signer func(message []byte) ([]byte, error)) error {
	message := make([]byte, 300) // about a ResponseData
	var g errgroup.Group
	var n atomic.Int64
	began, cpu := time.Now(), cpuTime()
	for range callers {
		g.Go(func() error {
			for time.Since(began) < aloneTime {
				if _, err := signer(message); err != nil {
					return err
				}
				n.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	a.signatures, a.elapsed = a.signatures+int(n.Load()), a.elapsed+time.Since(began)
	a.cpu += cpuTime() - cpu
	return err
}

var errNotRevoked = errors.New("the node does not say so within 10 s")

// ocspRevoked revokes n certificates one after the other.
func (s *Stage) ocspRevoked(ctx context.Context, a *asker, n int) (Result, error) {
	serials, err := s.serials(ctx, n)
	if err != nil {
		return Result{}, err
	}
	c, err := a.dial()
	if err != nil {
		return Result{}, err
	}
	defer c.close()
	m := newMeter("", len(serials))
	for i, serial := range serials {
		request, err := a.request(ocsp.SHA1, nil, serial)
		if err != nil {
			return Result{}, err
		}
		if response, err := c.ask(request); err != nil {
			return Result{}, err
		} else if err := a.verify(response, serial, ocsp.Good); err != nil {
			return Result{}, err
		}
		if err := s.revoke(ctx, i, serial); err != nil {
			return Result{}, err
		}
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			response, err := c.ask(request)
			if err != nil {
				return Result{}, err
			}
			if a.verify(response, serial, ocsp.Revoked) == nil {
				m.did(began, 1)
				break
			}
			if time.Since(began) > 10*time.Second || ctx.Err() != nil {
				return Result{}, errors.Join(fmt.Errorf("serial %s: %w", serial, errNotRevoked), ctx.Err())
			}
		}
	}
	r := m.result()
	r.Note = "from the durable revocation to the node's first answer with it, without the link between them"
	return r, nil
}
