package directory_test

import (
	"context"
	"io"
	"testing"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

func publications(b *testing.B, ca *directorytest.CA, n int) []directory.Publication {
	b.Helper()
	batch := make([]directory.Publication, n)
	for i := range batch {
		batch[i] = ca.Publication(b, i+1, directory.StateIssued)
	}
	return batch
}

func perSecond(b *testing.B, n int) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkPublish publishes new certificates to a master, in batches of 256.
func BenchmarkPublish(b *testing.B) {
	ca := directorytest.NewCA(b, "businessca-province-g1")
	batch := publications(b, ca, b.N)
	p := directory.NewPublisher(newLayout(b, directory.NamingSerial, directory.Business), slapdtest.Start(b, slapd.Master, nil).Client(b, slapdtest.Writer))
	if _, err := p.Publish(b.Context(), []directory.Publication{ca.Authority(nil)}); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	if _, err := p.Publish(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	perSecond(b, b.N)
}

// BenchmarkPush pushes new certificates from the master's log to a slave.
func BenchmarkPush(b *testing.B) {
	ca := directorytest.NewCA(b, "businessca-province-g1")
	master, slave := slapdtest.Start(b, slapd.Master, nil), slapdtest.Start(b, slapd.Slave, nil)
	p := directory.NewPublisher(newLayout(b, directory.NamingSerial, directory.Business), master.Client(b, slapdtest.Writer))
	pusher, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: master.Client(b, slapdtest.Replicator),
		Slaves: []directory.Slave{{Name: "s", Server: slave.Client(b, slapdtest.Writer)}}})
	if err != nil {
		b.Fatal(err)
	}
	for _, batch := range [][]directory.Publication{{ca.Authority(nil)}, publications(b, ca, b.N)} {
		if _, err := p.Publish(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		if err := pusher.Push(b.Context(), "s"); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, b.N)
}

// BenchmarkCompare compares a master with a slave that holds the same.
func BenchmarkCompare(b *testing.B) {
	ca := directorytest.NewCA(b, "businessca-province-g1")
	batch := publications(b, ca, b.N)
	s := slapdtest.New(b, slapd.Master, nil)
	layout := newLayout(b, directory.NamingSerial, directory.Business)
	list := layout.Entries(func(_ context.Context, yield func(directory.Publication) error) error {
		err := yield(ca.Authority(nil))
		for _, p := range batch {
			if err != nil {
				return err
			}
			err = yield(p)
		}
		return err
	})
	r, w := io.Pipe()
	go func() {
		_, err := directory.WriteLDIF(b.Context(), w, list)
		w.CloseWithError(err)
	}()
	if err := slapd.Load(b.Context(), s.Config, r); err != nil {
		b.Fatal(err)
	}
	s.Restart(b)
	client := s.Client(b, slapdtest.Replicator)
	walk := func(ctx context.Context, yield func(directory.Entry) error) error {
		return client.Walk(ctx, base, yield)
	}
	b.ResetTimer()
	if err := directory.Compare(b.Context(), walk, walk, func([]directory.Difference) error { b.Fatal("a difference"); return nil }); err != nil {
		b.Fatal(err)
	}
	perSecond(b, b.N)
}

// BenchmarkLDIF writes what slapadd loads.
func BenchmarkLDIF(b *testing.B) {
	ca := directorytest.NewCA(b, "businessca-province-g1")
	p := ca.Publication(b, 1, directory.StateIssued)
	list := newLayout(b, directory.NamingSerial, directory.Business).Entries(func(_ context.Context, yield func(directory.Publication) error) error {
		for range b.N {
			if err := yield(p); err != nil {
				return err
			}
		}
		return nil
	})
	b.ResetTimer()
	if _, err := directory.WriteLDIF(b.Context(), io.Discard, list); err != nil {
		b.Fatal(err)
	}
	perSecond(b, b.N)
}
