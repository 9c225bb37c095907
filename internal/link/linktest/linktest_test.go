package linktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/link/linktest"
)

type question struct {
	Authority string `json:"authority"`
	N         int    `json:"n"`
}

type answer struct {
	N int `json:"n"`
}

var (
	errConflict = errors.New("name was used before")
	errLost     = errors.New("database is away")
	codes       = link.Codes{{Code: "conflict", Err: errConflict}, {Code: "lost", Err: errLost, Retryable: true}}
)

func context10s(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCall(t *testing.T) {
	var asked atomic.Int32
	p := linktest.New(t, linktest.Options{Codes: codes, Authorities: []string{"BusinessCA/ministry/province"},
		Register: func(s *link.Server) {
			link.Handle(s, "Double", func(_ context.Context, peer link.Peer, q question) (answer, error) {
				asked.Add(1)
				if err := peer.MayAct(q.Authority); err != nil {
					return answer{}, err
				}
				switch q.N {
				case 1:
					return answer{}, fmt.Errorf("issue %d: %w", q.N, errConflict)
				case 2:
					return answer{}, errors.New("postgres://user:secret@host")
				case 3:
					panic("secret")
				case 4:
					return answer{}, errLost
				}
				return answer{N: 2 * q.N}, nil
			})
		}})
	for name, tc := range map[string]struct {
		q         question
		want      int
		wantErr   error
		wantText  string
		wantAsked int32
	}{
		"answered":     {question{"BusinessCA/ministry/province", 21}, 42, nil, "", 1},
		"of no right":  {question{"BusinessCA/ministry/city", 21}, 0, link.ErrForbidden, `"BusinessCA/ministry/city" is not among the authorities of "ra"`, 1},
		"listed error": {question{"BusinessCA/ministry/province", 1}, 0, errConflict, "ca answered Double with: issue 1: name was used before", 1},
		// These may pass; the client tries four times.
		"other error":         {question{"BusinessCA/ministry/province", 2}, 0, link.ErrInternal, "ca answered Double with internal", 4},
		"panic":               {question{"BusinessCA/ministry/province", 3}, 0, link.ErrInternal, "ca answered Double with internal", 4},
		"listed as retryable": {question{"BusinessCA/ministry/province", 4}, 0, errLost, "database is away", 4},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			got, err := link.Call[question, answer](context10s(t), p.Client, "Double", tc.q)
			if !errors.Is(err, tc.wantErr) || got.N != tc.want {
				t.Fatalf("got %d, %v; want %d, %v", got.N, err, tc.want, tc.wantErr)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.wantText) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("got %q, want it to hold %q and no secret", err, tc.wantText)
			}
			if asked.Load() != tc.wantAsked {
				t.Errorf("the handler was asked %d times, want %d", asked.Load(), tc.wantAsked)
			}
		})
	}
	if _, err := p.Client.Call(context10s(t), "Double", []byte(`{"authority":"","n":1,"unlessRevoked":true}`)); !errors.Is(err, link.ErrBadRequest) {
		t.Errorf("an unknown field: got %v, want %v", err, link.ErrBadRequest)
	}
	if _, err := p.Client.Call(context10s(t), "Double", []byte(`{} {}`)); !errors.Is(err, link.ErrBadRequest) {
		t.Errorf("two values: got %v, want %v", err, link.ErrBadRequest)
	}
}

func echo(s *link.Server) {
	s.Handle("Echo", func(_ context.Context, _ link.Peer, b []byte) ([]byte, error) { return b, nil })
}

// A restart is seen as a wait, and a peer that stays away as ErrUnavailable.
func TestRestart(t *testing.T) {
	p := linktest.New(t, linktest.Options{Register: echo, Configure: func(_ *link.ServerConfig, c *link.ClientConfig) {
		c.Attempts, c.Backoff, c.MaxBackoff = 20, 50*time.Millisecond, 100*time.Millisecond
	}})
	call := func() error {
		_, err := p.Client.Call(context10s(t), "Echo", []byte("a"))
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	done := make(chan error, 1)
	go func() { done <- call() }()
	time.Sleep(200 * time.Millisecond)
	p.Start()
	if err := <-done; err != nil {
		t.Errorf("a call during the restart: %v", err)
	}
	p.Stop()
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := p.Client.Call(short, "Echo", nil)
	if !errors.Is(err, link.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("until the deadline: got %v, want %v and %v", err, link.ErrUnavailable, context.DeadlineExceeded)
	}
	if err := call(); !errors.Is(err, link.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("all attempts: got %v, want %v", err, link.ErrUnavailable)
	}
}

// Calls under way end, new ones are refused, and Serve returns.
func TestGracefulStop(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	p := linktest.New(t, linktest.Options{
		Register: func(s *link.Server) {
			echo(s)
			s.Handle("Wait", func(ctx context.Context, _ link.Peer, b []byte) ([]byte, error) {
				close(started)
				select {
				case <-release:
					return b, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		},
		Configure: func(_ *link.ServerConfig, c *link.ClientConfig) { c.Attempts = 1 },
	})
	waiting := make(chan error, 1)
	go func() {
		_, err := p.Client.Call(context10s(t), "Wait", nil)
		waiting <- err
	}()
	<-started
	stopped := make(chan struct{})
	go func() { p.Stop(); close(stopped) }()
	deadline := time.Now().Add(5 * time.Second)
	for {
		_, err := p.Client.Call(context10s(t), "Echo", nil)
		if errors.Is(err, link.ErrUnavailable) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("a new call while stopping: got %v, want %v", err, link.ErrUnavailable)
		}
	}
	select {
	case <-stopped:
		t.Fatal("Serve returned while a call was under way")
	case err := <-waiting:
		t.Fatalf("the call under way ended with %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if err := <-waiting; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	<-stopped
}

func TestLimits(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{}, 2)
	p := linktest.New(t, linktest.Options{
		Register: func(s *link.Server) {
			echo(s)
			s.Handle("Much", func(context.Context, link.Peer, []byte) ([]byte, error) { return make([]byte, 2001), nil })
			s.Handle("Slow", func(ctx context.Context, _ link.Peer, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
			s.Handle("Wait", func(context.Context, link.Peer, []byte) ([]byte, error) {
				started <- struct{}{}
				<-release
				return nil, nil
			})
		},
		Configure: func(s *link.ServerConfig, c *link.ClientConfig) {
			s.MaxRequest, s.MaxResponse, s.MaxConcurrent, s.HandlerTimeout = 20<<10, 2000, 2, 2*time.Second
			c.Attempts = 1
		},
	})
	call := func(method string, n int) error {
		_, err := p.Client.Call(context10s(t), method, make([]byte, n))
		return err
	}
	for name, tc := range map[string]struct {
		err, want error
	}{
		"body of the largest size":   {call("Echo", 2000), nil},
		"body too large":             {call("Echo", 64<<10), link.ErrTooLarge},
		"body too large for us":      {call("Echo", 8<<20+1), link.ErrTooLarge},
		"result too large":           {call("Much", 0), link.ErrTooLarge},
		"handler takes too long":     {call("Slow", 0), link.ErrTimeout},
		"no such method":             {call("Delete", 0), link.ErrUnknownMethod},
		"a method of no possibility": {call("no method", 0), link.ErrUnknownMethod},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, tc.err, tc.want)
		}
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := call("Wait", 0); err != nil {
				t.Errorf("within the limit: %v", err)
			}
		})
		<-started
	}
	if err := call("Echo", 0); !errors.Is(err, link.ErrBusy) || !errors.Is(err, link.ErrUnavailable) {
		t.Errorf("a third call: got %v, want %v and %v", err, link.ErrBusy, link.ErrUnavailable)
	}
	close(release)
	wg.Wait()
	if err := call("Echo", 0); err != nil {
		t.Errorf("after the others: %v", err)
	}
}
