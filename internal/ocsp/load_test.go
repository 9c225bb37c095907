package ocsp_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
)

// TestNoAnswerFromBeforeAChange: while serials are revoked and released, and
// asked for all the time by many, no response is of an older state than the one
// that was there when the request came.
func TestNoAnswerFromBeforeAChange(t *testing.T) {
	for name, changes := range map[string]*ocsp.Changes{"settled source": ocsp.NewChanges(), "source that others write": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOn(t, &ocsptest.Source{Changes: changes}, ocsp.SharedConfig{})
			const serials, turns, askers = 4, 60, 8
			// done[i] counts the changes of a serial that can be read; the n-th makes it
			// revoked at start - hour + n seconds, so that a response tells its state.
			var done [serials]atomic.Int64
			var requests [serials][]byte
			for i := range serials {
				serial := pki.Serial(fmt.Sprintf("03%02X", i))
				requests[i] = w.ca.Request(t, ocsp.SM3, nil, serial)
				w.source.Set(w.ca.Key, serial, ocsp.Status{State: ocsp.Revoked, RevokedAt: start.Add(-time.Hour)})
			}
			ctx, stop := context.WithCancel(t.Context())
			var asking, cached atomic.Int64
			var g sync.WaitGroup
			for range askers {
				g.Go(func() {
					for ctx.Err() == nil {
						i := rand.IntN(serials)
						atLeast := done[i].Load()
						der, meta := w.responder.Respond(context.Background(), requests[i])
						got, err := ocsp.ParseResponse(der, w.ca.Certificate, w.now)
						if err != nil || len(got.Responses) != 1 {
							t.Errorf("serial %d: %v, %v", i, err, meta.Err)
							return
						}
						said := int64(got.Responses[0].RevokedAt.Sub(start.Add(-time.Hour).Truncate(time.Second)) / time.Second)
						if said < atLeast {
							t.Errorf("serial %d: the response is of state %d, and %d was there when it was asked for", i, said, atLeast)
							return
						}
						asking.Add(1)
						if meta.Cached {
							cached.Add(1)
						}
					}
				})
			}
			for n := int64(1); n <= turns; n++ {
				for i := range serials {
					w.source.Set(w.ca.Key, pki.Serial(fmt.Sprintf("03%02X", i)), ocsp.Status{State: ocsp.Revoked, RevokedAt: start.Add(-time.Hour + time.Duration(n)*time.Second)})
					done[i].Store(n)
				}
				time.Sleep(time.Millisecond)
			}
			stop()
			g.Wait()
			if asking.Load() < turns || cached.Load() == 0 {
				t.Errorf("%d responses, %d of them cached: the test shows nothing", asking.Load(), cached.Load())
			}
		})
	}
}

// slowKey is a device that signs when it is told to.
type slowKey struct {
	*sm2.PrivateKey
	entered, release chan struct{}
	signatures       *atomic.Int64
}

func (k slowKey) SignMessage(r io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.signatures.Add(1)
	k.entered <- struct{}{}
	<-k.release
	return k.PrivateKey.SignMessage(r, msg, opts)
}

// slow makes the device of the world's first CA slow.
func (w *world) slow(t *testing.T) slowKey {
	k := slowKey{w.ca.ResponderKey, make(chan struct{}, 1024), make(chan struct{}), &atomic.Int64{}}
	a, err := ocsp.NewAuthority(w.ca.Key, w.ca.Certificate, w.ca.Responder, k)
	if err != nil {
		t.Fatal(err)
	}
	w.serve(t, a)
	return k
}

// await waits for what the responders use.
func (w *world) await(t *testing.T, what string, reached func(ocsp.Usage) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !reached(w.shared.Usage()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v", what, w.shared.Usage())
		}
	}
}

func TestOverloadIsShed(t *testing.T) {
	lanes := ocsp.SharedConfig{Reusable: ocsp.Lane{Concurrency: 2, Queue: 3, Wait: 10 * time.Second}, Single: ocsp.Lane{Concurrency: 1, Queue: 1, Wait: 10 * time.Second}}
	w := newWorldOn(t, &ocsptest.Source{Changes: ocsp.NewChanges()}, lanes)
	var g sync.WaitGroup
	var answered atomic.Int64
	ask := func(request []byte) {
		g.Go(func() {
			if der, meta := w.responder.Respond(t.Context(), request); meta.Status != ocsp.Successful {
				t.Errorf("one that waited: %v, %v", meta.Status, meta.Err)
			} else if _, err := ocsp.ParseResponse(der, w.ca.Certificate, w.now); err != nil {
				t.Error(err)
			}
			answered.Add(1)
		})
	}
	known := func(n int) []byte {
		serial := pki.Serial(fmt.Sprintf("04%02X", n))
		w.source.Set(w.ca.Key, serial, ocsp.Status{State: ocsp.Good})
		return w.ca.Request(t, ocsp.SHA1, nil, serial)
	}
	warm := known(99)
	first := known(0)
	if _, meta := w.responder.Respond(t.Context(), warm); !meta.Reusable {
		t.Fatal(meta.Err)
	}
	a := w.slow(t)
	ask(first)
	for n := range 4 {
		ask(known(n + 1))
	}
	ask(w.ca.Request(t, ocsp.SHA1, []byte{1}, issued))
	ask(w.ca.Request(t, ocsp.SHA1, []byte{2}, issued))
	w.await(t, "lanes are not full", func(u ocsp.Usage) bool {
		return u.Reusable.Active == 2 && u.Reusable.Waiting == 3 && u.Single.Active == 1 && u.Single.Waiting == 1
	})
	shed := func(name string, request []byte) {
		t.Helper()
		der, meta := w.responder.Respond(t.Context(), request)
		if got, err := ocsp.ParseResponse(der, w.ca.Certificate, w.now); err != nil || got.Status != ocsp.TryLater || meta.Status != ocsp.TryLater || !errors.Is(meta.Err, ocsp.ErrOverload) {
			t.Errorf("%s while all is full: %+v, %v, %v; want tryLater for overload", name, got, meta.Err, err)
		}
	}
	shed("another", known(6))
	shed("another with a nonce", w.ca.Request(t, ocsp.SHA1, []byte{3}, issued))
	shed("two", w.ca.Request(t, ocsp.SHA1, nil, issued, revoked))
	if _, meta := w.responder.Respond(t.Context(), warm); !meta.Cached {
		t.Errorf("what was signed before, while all is full: %v, %v; want it from the cache", meta.Status, meta.Err)
	}
	// The same as one that is under way or waits takes no place.
	for range 20 {
		ask(first)
	}
	time.Sleep(10 * time.Millisecond) // most of them wait by now; those that come later find it cached
	close(a.release)
	g.Wait()
	if answered.Load() != 27 {
		t.Errorf("%d of 27 that had a place were answered", answered.Load())
	}
	if u := w.shared.Usage(); u.Reusable.Shed < 1 || u.Single.Shed != 2 || u.Reusable.Active+u.Reusable.Waiting+u.Single.Active+u.Single.Waiting != 0 {
		t.Errorf("usage afterwards: %+v", u)
	}
	if n := a.signatures.Load(); n != 7 {
		t.Errorf("%d signatures, want 7: one for all that asked for the same", n)
	}
}

// TestOneSignatureForAll: also where each looks the status up for itself.
func TestOneSignatureForAll(t *testing.T) {
	for name, changes := range map[string]*ocsp.Changes{"settled source": ocsp.NewChanges(), "source that others write": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOn(t, &ocsptest.Source{Changes: changes}, ocsp.SharedConfig{})
			a := w.slow(t)
			request := w.ca.Request(t, ocsp.SHA1, nil, issued)
			var g sync.WaitGroup
			for range 30 {
				g.Go(func() {
					if _, meta := w.responder.Respond(t.Context(), request); meta.Status != ocsp.Successful || !meta.Reusable {
						t.Errorf("%v, %v", meta.Status, meta.Err)
					}
				})
			}
			<-a.entered
			close(a.release)
			g.Wait()
			if n := a.signatures.Load(); n != 1 {
				t.Errorf("%d signatures, want 1", n)
			}
		})
	}
}

func TestWaitEnds(t *testing.T) {
	w := newWorldOn(t, &ocsptest.Source{Changes: ocsp.NewChanges()}, ocsp.SharedConfig{Single: ocsp.Lane{Concurrency: 1, Queue: 8, Wait: 20 * time.Millisecond}})
	a := w.slow(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.responder.Respond(context.Background(), w.ca.Request(t, ocsp.SHA1, []byte{1}, issued))
	}()
	<-a.entered
	if _, meta := w.responder.Respond(t.Context(), w.ca.Request(t, ocsp.SHA1, []byte{2}, issued)); !errors.Is(meta.Err, ocsp.ErrOverload) {
		t.Errorf("after the wait: %v, want overload", meta.Err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, meta := w.responder.Respond(gone, w.ca.Request(t, ocsp.SHA1, []byte{2}, issued)); !errors.Is(meta.Err, context.Canceled) || meta.Status != ocsp.TryLater {
		t.Errorf("a client that is gone: %v, want canceled", meta.Err)
	}
	close(a.release)
	<-done
}

// TestFloodLeavesOthers: a flood of requests that are signed for one client alone
// does not keep the others waiting for more than their share.
func TestFloodLeavesOthers(t *testing.T) {
	for name, flood := range map[string]func(*world, int) []byte{
		"nonce": func(w *world, n int) []byte { return w.ca.Request(t, ocsp.SHA1, fmt.Append(nil, n), issued) },
		"unknown": func(w *world, n int) []byte {
			return w.ca.Request(t, ocsp.SHA1, nil, pki.Serial(fmt.Sprintf("0F%08X", n)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOn(t, &ocsptest.Source{Changes: ocsp.NewChanges()}, ocsp.SharedConfig{})
			ctx, stop := context.WithCancel(t.Context())
			var g sync.WaitGroup
			var n atomic.Int64
			for range 200 {
				g.Go(func() {
					for ctx.Err() == nil {
						w.responder.Respond(context.Background(), flood(w, int(n.Add(1))))
						runtime.Gosched()
					}
				})
			}
			w.await(t, "no flood", func(u ocsp.Usage) bool { return u.Single.Shed > 1000 })
			for i := range 200 {
				serial := pki.Serial(fmt.Sprintf("05%04X", i))
				w.source.Set(w.ca.Key, serial, ocsp.Status{State: ocsp.Good})
				request := w.ca.Request(t, ocsp.SHA1, nil, serial)
				for range 2 {
					if _, meta := w.responder.Respond(t.Context(), request); meta.Status != ocsp.Successful || meta.States[0] != ocsp.Good {
						t.Errorf("during the flood: %v, %v", meta.Status, meta.Err)
					}
				}
			}
			stop()
			g.Wait()
			u := w.shared.Usage()
			if u.Reusable.Shed != 0 || u.Hits < 200 {
				t.Errorf("usage: %+v, want nothing shed but of the flood", u)
			}
		})
	}
}

// TestMemoryIsBounded: however many serials are asked for, the cache keeps to its bytes.
func TestMemoryIsBounded(t *testing.T) {
	const most = 1 << 20
	w := newWorldOn(t, &ocsptest.Source{Changes: ocsp.NewChanges()}, ocsp.SharedConfig{CacheBytes: most})
	const serials = 3000
	for i := range serials {
		serial := pki.Serial(fmt.Sprintf("06%04X", i))
		w.source.Set(w.ca.Key, serial, ocsp.Status{State: ocsp.Good})
		if _, meta := w.responder.Respond(t.Context(), w.ca.Request(t, ocsp.SHA1, nil, serial)); !meta.Reusable {
			t.Fatal(meta.Err)
		}
	}
	u := w.shared.Usage()
	if u.Bytes > most || u.Bytes < most/2 || u.Entries >= serials/2 || u.Entries < most/4096 {
		t.Errorf("usage after %d serials: %+v, want nearly %d bytes and no more", serials, u, most)
	}
}

func TestNewSharedRefuses(t *testing.T) {
	for name, c := range map[string]ocsp.SharedConfig{
		"entries": {CacheEntries: 1 << 30},
		"bytes":   {CacheBytes: -1},
		"lane":    {Single: ocsp.Lane{Queue: 5}},
		"wait":    {Reusable: ocsp.Lane{Concurrency: 1, Wait: time.Hour}},
	} {
		if _, err := ocsp.NewShared(c); err == nil {
			t.Errorf("%s: %+v is taken", name, c)
		}
	}
}
