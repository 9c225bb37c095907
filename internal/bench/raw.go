package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/device"
)

// rawTime is how long each raw operation is measured.
const rawTime = time.Second

// Raw is how long one SM2 operation keeps one core busy, in this run.
type Raw struct {
	Sign, Verify time.Duration
	cores        int
	// Device is what the device signs each second with nothing else to do, asked
	// by DeviceCallers at once; 0: it is this process's own arithmetic.
	Device        float64
	DeviceCallers int
}

// MeasureRaw times SM2 signatures and verifications of 512 bytes in software, on all cores at once.
func MeasureRaw() (Raw, error) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return Raw{}, err
	}
	message := make([]byte, 512)
	sig, err := key.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return Raw{}, err
	}
	r := Raw{cores: runtime.GOMAXPROCS(0)}
	r.Sign = r.each(func() bool {
		_, err := key.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
		return err == nil
	})
	r.Verify = r.each(func() bool { return sm2.VerifyASN1WithSM2(&key.PublicKey, nil, message, sig) })
	return r, nil
}

// each runs an operation on every core for rawTime.
func (r Raw) each(do func() bool) time.Duration {
	var total int
	var mu sync.Mutex
	var g sync.WaitGroup
	start := time.Now()
	for range r.cores {
		g.Go(func() {
			n := 0
			for time.Since(start) < rawTime && do() {
				n++
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	g.Wait()
	return time.Since(start) * time.Duration(r.cores) / time.Duration(max(total, 1))
}

// MeasureDevice times the signatures of the stage's key alone, unchecked, by as
// many callers as the device has use for: what a CA on it can at best reach.
func (s *Stage) MeasureDevice(ctx context.Context, r *Raw) error {
	signer, err := s.signer(ctx)
	if err != nil {
		return err
	}
	sign, ok := signer.(interface {
		SignUnverified(message []byte) ([]byte, error)
	})
	if !ok {
		return fmt.Errorf("measure the device: key of type %T signs only what it checks", signer)
	}
	r.DeviceCallers = max(device.Parallel(signer), r.cores)
	message := make([]byte, 512)
	var signed atomic.Int64
	g, running := errgroup.WithContext(ctx)
	start := time.Now()
	for range r.DeviceCallers {
		g.Go(func() error {
			for time.Since(start) < 2*rawTime && running.Err() == nil {
				if _, err := sign.SignUnverified(message); err != nil {
					return err
				}
				signed.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("measure the device: %w", err)
	}
	r.Device = float64(signed.Load()) / time.Since(start).Seconds()
	return nil
}

// signer is that of the stage's CA.
func (s *Stage) signer(ctx context.Context) (crypto.MessageSigner, error) {
	signer, _, err := s.Authorities.EnsureKey(ctx, caName, s.key.Generation, deviceName)
	return signer, err
}

// unavoidable returns the rate that a certificate's unavoidable operations allow:
// those of a device apart are its signatures, and what this machine checks
// meanwhile costs the device nothing.
func (r Raw) unavoidable() (rate float64, what string) {
	if r.Device > 0 {
		return r.Device, fmt.Sprintf("what the device signs alone, %d at once", r.DeviceCallers)
	}
	return r.rate(r.Sign + 2*r.Verify), "1 signature and 2 verifications"
}

// rate that all cores reach together when one operation needs so much time of one.
func (r Raw) rate(each time.Duration) float64 {
	return float64(r.cores) * float64(time.Second) / float64(each)
}
