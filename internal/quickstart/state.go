// Package quickstart brings a whole tier up on one machine for `make run`:
// ports, PINs, the software token, the API's kinds, the sample tier, and the
// part that the national root plays. What it makes is kept in the state folder,
// so that a later run carries on.
package quickstart

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// Ports of the services on this machine, chosen once: certificates name them.
type Ports struct {
	Validation int `json:"validation"`
	Metrics    int `json:"metrics"`
	Health     int `json:"health"`
	Webhook    int `json:"webhook"`
	Master     int `json:"ldapMaster"`
	Slave1     int `json:"ldapSlave1"`
	Slave2     int `json:"ldapSlave2"`
}

// state is the folder that everything is kept in.
type state struct{ dir string }

func (s state) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// ports returns the kept ports, and chooses free ones for what has none yet.
func (s state) ports() (Ports, error) {
	var p Ports
	file := s.path("ports.json")
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &p); err != nil {
			return p, fmt.Errorf("read %s: %w; remove the state folder to begin anew", file, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	before := p
	for _, port := range []*int{&p.Validation, &p.Metrics, &p.Health, &p.Webhook, &p.Master, &p.Slave1, &p.Slave2} {
		if *port != 0 {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return p, fmt.Errorf("choose a port: %w", err)
		}
		defer l.Close() // all are open at once, so that they differ
		*port = l.Addr().(*net.TCPAddr).Port
	}
	if p == before {
		return p, nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	return p, atomicfile.Write(file, b, 0o600)
}

// secret returns the kept secret of a name, or draws one of 80 random bits.
func (s state) secret(name string) ([]byte, error) {
	dir := s.path("secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name)
	if b, err := os.ReadFile(file); err == nil {
		return b, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b := []byte(rand.Text()[:16])
	return b, atomicfile.Write(file, b, 0o600)
}
