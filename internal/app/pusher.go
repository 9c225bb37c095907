package app

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/internal/transport"
)

// PusherConfig of the process beside the LDAP master (服务区). Validate before use.
type PusherConfig struct {
	Process
	// Name of the process.
	Name string
	// StateDir keeps the accepted specs and how far each slave is.
	StateDir string
	// TransportDir holds ca.crt, which servers without a caBundle are verified against.
	TransportDir string
	// BindPasswordDir holds passwords for when the API server is away; may be empty.
	BindPasswordDir string
}

// Validate says which flag is wrong and how to mend it.
func (c PusherConfig) Validate() error {
	switch {
	case c.Name == "":
		return errors.New("--name: required")
	case c.StateDir == "":
		return errors.New("--state-dir: required: what the pusher goes on from when the API server is away")
	case c.TransportDir == "":
		return errors.New("--transport-dir: required: its ca.crt verifies the directory servers")
	}
	return c.Process.validate()
}

// RunPusher pushes what LDAP masters hold to their slaves until ctx ends. It
// goes on, and starts again, without the API server.
func RunPusher(ctx context.Context, kube *rest.Config, c PusherConfig, log logr.Logger) error {
	if err := c.Validate(); err != nil {
		return err
	}
	directories := newDirectoryServers(filepath.Join(c.TransportDir, transport.CAFile), c.BindPasswordDir)
	p, err := newPushing(c.StateDir, directories, false)
	if err != nil {
		return err
	}
	h := newHealth()
	h.need("directory CA", directories.check)
	servers, err := h.serve(c.Process)
	if err != nil {
		return err
	}
	manage := func(ctx context.Context) error {
		mgr, err := newManager(kube, managerOptions{name: c.Name}, log)
		if err != nil {
			return err
		}
		if err := p.setup(mgr); err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	return runUntil(ctx, func(ctx context.Context) error { return again(ctx, manage, log) }, nil, append(servers, p.services(log)...)...)
}
