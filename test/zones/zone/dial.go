package zone

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dialer returns a function that connects from a host, for http.Transport and
// rest.Config. Addresses are IP addresses: there is no name server here.
func (n *Net) Dialer(host string) func(ctx context.Context, network, address string) (net.Conn, error) {
	namespace := filepath.Join("/run/netns", n.namespace(n.host(host).Name))
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		type result struct {
			conn net.Conn
			err  error
		}
		done := make(chan result, 1)
		go func() {
			conn, err := dialIn(ctx, namespace, network, address)
			done <- result{conn, err}
		}()
		r := <-done
		return r.conn, r.err
	}
}

// dialIn opens the socket in a namespace. A socket stays in the namespace where
// it was made, so that only this needs the thread.
func dialIn(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	defer own.Close()
	other, err := os.Open(namespace)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("dial %s: enter %s: %w", address, namespace, err)
	}
	conn, dialErr := (&net.Dialer{}).DialContext(ctx, network, address)
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, and so ends with this goroutine: nothing else
		// may run on it.
		return nil, fmt.Errorf("dial %s: leave %s: %w", address, namespace, err)
	}
	runtime.UnlockOSThread()
	return conn, dialErr
}
