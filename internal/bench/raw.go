package bench

import (
	"crypto/rand"
	"runtime"
	"sync"
	"time"

	"github.com/emmansun/gmsm/sm2"
)

// rawTime is how long each raw operation is measured.
const rawTime = time.Second

// Raw is how long one SM2 operation keeps one core busy, in this run.
type Raw struct {
	Sign, Verify time.Duration
	cores        int
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

// rate that all cores reach together when one operation needs so much time of one.
func (r Raw) rate(each time.Duration) float64 {
	return float64(r.cores) * float64(time.Second) / float64(each)
}
