package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// What a data directory holds.
const (
	lockFile       = "lock"            // locked by the process that uses the directory; its pid
	portFile       = "port"            // the serving port, decimal
	logFile        = "apiserver.log"   // rotated
	pkiDir         = "pki"             // authority, serving certificate, service account key
	encryptionFile = "encryption.yaml" // the key of the Secrets in etcd
	etcdDir        = "etcd"
	socketFile     = "etcd.sock"
)

// InUseError says that another process uses the data directory.
type InUseError struct {
	DataDir string
	PID     int // 0 when the process has not said
}

func (e *InUseError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s: %s is using it; stop that one first or choose another directory", e.DataDir, holder)
}

// dirLock is the claim of this process on a data directory. The kernel drops it
// when the process ends in whatever way, so that it is never left behind.
type dirLock struct{ file *os.File }

func lockDataDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	// The directory holds private keys; it may have been made by other hands.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	l := &dirLock{file: f}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer l.release()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &InUseError{DataDir: dir, PID: l.holder()}
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		l.release()
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return l, nil
}

// holder reads the pid in the lock file, 0 when there is none.
func (l *dirLock) holder() int {
	buf := make([]byte, 16)
	n, _ := l.file.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(string(bytes.TrimSpace(buf[:n])))
	return pid
}

// release closes the file, which drops the lock. The file stays: removing it
// would let two processes lock two files of one name.
func (l *dirLock) release() { _ = l.file.Close() }

// The first start on a directory chooses its port from this range. It lies
// below the range from which the kernel takes the ports of outgoing connections
// (32768 and up): a port out of that one may be busy when it is needed again.
const (
	firstPort   = 20000
	lastPort    = 31999
	portChoices = 64 // tries before giving up
)

// listen opens the serving port: the wanted one, else the one that the data
// directory has, else a free one, which the directory then has.
func listen(s settings) (net.Listener, error) {
	path := s.path(portFile)
	kept, err := readPort(path)
	if err != nil {
		return nil, err
	}
	port := s.port
	if port == 0 {
		port = kept
	}
	if port == 0 {
		ln, chosen, err := listenAnywhere(s.ip)
		if err != nil {
			return nil, err
		}
		// If we die before this write, the next start chooses another port;
		// nothing can have named this one yet.
		if err := writePort(path, chosen); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
		return ln, nil
	}
	ln, err := net.Listen("tcp", netip.AddrPortFrom(s.ip, port).String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("serving port %d: another program listens on it: end that one, "+
			"or remove %s to have another port chosen (kubeconfigs and certificates name the old one)", port, path)
	}
	if err != nil {
		return nil, fmt.Errorf("serving port: %w", err)
	}
	if port != kept {
		if err := writePort(path, port); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	return ln, nil
}

func listenAnywhere(ip netip.Addr) (net.Listener, uint16, error) {
	for range portChoices {
		port := uint16(firstPort + rand.IntN(lastPort-firstPort+1))
		ln, err := net.Listen("tcp", netip.AddrPortFrom(ip, port).String())
		if err == nil {
			return ln, port, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, 0, fmt.Errorf("serving port: %w", err)
		}
	}
	return nil, 0, fmt.Errorf("serving port: %d ports in %d..%d were all taken", portChoices, firstPort, lastPort)
}

func readPort(path string) (uint16, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("serving port: %w", err)
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("serving port: %s does not hold a port number; remove it to have one chosen", path)
	}
	return uint16(n), nil
}

func writePort(path string, port uint16) error {
	return atomicfile.Write(path, []byte(strconv.Itoa(int(port))+"\n"), 0o600)
}
