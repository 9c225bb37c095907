package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/directory"
)

const (
	// plainInFlight is how many plain adds are under way at once: more, and more
	// connections, gave slapd no more.
	plainInFlight = 32
	maxDirectory  = 1_000_000
	slaveName     = "slave"
)

// DirectoryServers are an empty master and an empty slave, which are filled.
type DirectoryServers struct {
	// Base is the suffix of both, of one attribute dc.
	Base string
	// Master is written, Reader reads it and its log of changes, Slave is written.
	Master, Reader, Slave directory.Server
}

// drain is a directory that is measured.
type drain struct {
	DirectoryServers
	base, plain  string // DNs: of what is published, and of what is added without us
	publications []directory.Publication
	publisher    *directory.Publisher
	pusher       *directory.Pusher
}

// Directory publishes n certificates in batches, as pages of the ledger's feed,
// pushes each batch to the slave, and compares the two. Beside each stands what
// slapd takes without us in the same run: as many plain adds to the same server
// after each batch, and reading both servers. The ledger is no part of it. A latency
// is that of a batch, or of the comparison.
func Directory(ctx context.Context, servers DirectoryServers, n, batch int) ([]Result, error) {
	if n < 1 || n > maxDirectory || batch < 1 {
		return nil, fmt.Errorf("directory: %d entries in batches of %d: want 1 to %d, and batches of at least 1", n, batch, maxDirectory)
	}
	d := &drain{DirectoryServers: servers, base: "ou=bench," + servers.Base, plain: "ou=plain," + servers.Base}
	if err := d.prepare(ctx, n); err != nil {
		return nil, fmt.Errorf("directory: prepare: %w", err)
	}
	results, err := d.fill(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	compared, err := d.compare(ctx)
	if err != nil {
		return nil, fmt.Errorf("directory: compare: %w", err)
	}
	return append(results, compared), nil
}

// prepare makes the certificates, and the entries above all others.
func (d *drain) prepare(ctx context.Context, n int) error {
	var err error
	if d.publications, err = directoryPublications(n); err != nil {
		return err
	}
	above, err := directory.NewLayout(directory.LayoutConfig{Base: d.Base, Naming: directory.NamingSerial, Audience: directory.Business})
	if err != nil {
		return err
	}
	for _, server := range []directory.Server{d.Master, d.Slave} {
		unit := directory.NewEntry(d.plain, directory.Attribute{Type: "objectClass", Values: [][]byte{[]byte("organizationalUnit")}},
			directory.Attribute{Type: "ou", Values: [][]byte{[]byte("plain")}})
		if err := server.Apply(ctx, []directory.Change{add(above.Root()), add(unit)}); err != nil {
			return err
		}
	}
	layout, err := directory.NewLayout(directory.LayoutConfig{Base: d.base, Naming: directory.NamingSerial, Audience: directory.Business})
	if err != nil {
		return err
	}
	d.publisher = directory.NewPublisher(layout, d.Master)
	if _, err := d.publisher.Publish(ctx, d.publications[:1]); err != nil { // the CA
		return err
	}
	d.publications = d.publications[1:]
	d.pusher, err = directory.NewPusher(directory.PusherConfig{Base: d.base, Master: d.Reader, Slaves: []directory.Slave{{Name: slaveName, Server: d.Slave}}})
	if err != nil {
		return err
	}
	return d.pusher.Push(ctx, slaveName)
}

// fill measures publishing and pushing.
func (d *drain) fill(ctx context.Context, batch int) ([]Result, error) {
	n := len(d.publications)
	publish, push := newMeter("publish", n), newMeter("push", n)
	var onMaster, onSlave time.Duration // of the plain adds
	for i := 0; i < n; i += batch {
		part := d.publications[i:min(n, i+batch)]
		for _, step := range []func() error{
			func() error {
				return only(publish, push, len(part), func() error { _, err := d.publisher.Publish(ctx, part); return err })
			},
			func() error {
				return neither(publish, push, func() error { return d.addPlain(ctx, d.Master, part, &onMaster) })
			},
			func() error {
				return only(push, publish, len(part), func() error { return d.pusher.Push(ctx, slaveName) })
			},
			func() error {
				return neither(publish, push, func() error { return d.addPlain(ctx, d.Slave, part, &onSlave) })
			},
		} {
			if err := step(); err != nil {
				return nil, err
			}
		}
	}
	var results []Result
	for _, one := range []struct {
		m     *meter
		alone time.Duration
	}{{publish, onMaster}, {push, onSlave}} {
		r := one.m.result()
		r.compare(float64(n)/one.alone.Seconds(), fmt.Sprintf("plain adds, %d under way; batches of %d", plainInFlight, batch))
		results = append(results, r)
	}
	return results, nil
}

// addPlain adds entries like those of publications, one request each and nothing else.
func (d *drain) addPlain(ctx context.Context, server directory.Server, part []directory.Publication, took *time.Duration) error {
	changes := make([]directory.Change, len(part))
	for i, p := range part {
		serial := []byte(p.Certificate.Serial)
		changes[i] = add(directory.NewEntry("serialNumber="+string(serial)+","+d.plain,
			directory.Attribute{Type: "objectClass", Values: [][]byte{[]byte("device"), []byte("pkiUser")}},
			directory.Attribute{Type: "serialNumber", Values: [][]byte{serial}}, directory.Attribute{Type: "cn", Values: [][]byte{serial}},
			directory.Attribute{Type: "userCertificate;binary", Values: [][]byte{p.Certificate.DER}}))
	}
	began := time.Now()
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(plainInFlight)
	for i := range changes {
		group.Go(func() error { return server.Apply(running, changes[i:i+1]) })
	}
	err := group.Wait()
	*took += time.Since(began)
	return err
}

// compare measures a comparison that finds nothing, beside reading both servers at once.
func (d *drain) compare(ctx context.Context) (Result, error) {
	n := len(d.publications)
	var alone time.Duration
	for range 2 { // the first brings what is read into memory
		began := time.Now()
		group, running := errgroup.WithContext(ctx)
		for _, server := range []directory.Server{d.Reader, d.Slave} {
			group.Go(func() error { return server.Walk(running, d.base, func(directory.Entry) error { return nil }) })
		}
		if err := group.Wait(); err != nil {
			return Result{}, err
		}
		alone = time.Since(began)
	}
	m := newMeter("compare", n)
	began := time.Now()
	if err := d.pusher.Compare(ctx, slaveName); err != nil {
		return Result{}, err
	}
	m.did(began, n)
	r := m.result()
	if s := d.pusher.Status()[0]; s.Drift.Total() != 0 {
		return r, fmt.Errorf("%d entries differ where all were just pushed", s.Drift.Total())
	}
	r.compare(float64(n)/alone.Seconds(), "reading master and slave at once")
	return r, nil
}

func add(e directory.Entry) directory.Change {
	return directory.Change{Kind: directory.Add, DN: e.DN, Attributes: e.Attributes}
}

// only measures n operations that are done together with one of two meters.
func only(m, other *meter, n int, do func() error) error {
	return other.except(func() error {
		began := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		m.did(began, n)
		return nil
	})
}

func neither(a, b *meter, do func() error) error {
	return a.except(func() error { return b.except(do) })
}
