package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/standalone/controlplane"
)

type options struct {
	dataDir   string
	address   string
	cluster   string // kubeconfig context of a cluster to use in place of the API server in this process
	configDir string
	modules   []string // PKCS#11 modules that CryptoDevices may name, besides the software token
	libraries []string // SDF libraries that CryptoDevices may name
}

// The namespace and the groups are those of config/tiers/ministry. The people are
// examples: applicant and reviewers are distinct, so that four eyes can be tried.
const (
	tierNamespace   = "ministry"
	applicantsGroup = "ministry-applicants"
	reviewersGroup  = "ministry-reviewers"
	revokersGroup   = "ministry-revokers"
	officersGroup   = "ministry-officers"
)

var people = []controlplane.Context{
	{Name: "admin", User: "admin", Groups: []string{controlplane.MastersGroup}, Namespace: tierNamespace},
	{Name: "applicant", User: "applicant", Groups: []string{applicantsGroup}, Namespace: tierNamespace},
	{Name: "reviewer-1", User: "reviewer-1", Groups: []string{reviewersGroup}, Namespace: tierNamespace},
	{Name: "reviewer-2", User: "reviewer-2", Groups: []string{reviewersGroup}, Namespace: tierNamespace},
	{Name: "revoker", User: "revoker", Groups: []string{revokersGroup}, Namespace: tierNamespace},
	{Name: "officer", User: "officer", Groups: []string{officersGroup}, Namespace: tierNamespace},
}

// managerUser is the process itself when it uses the API.
const managerUser = "terrace-standalone"

// user is what uses the API server until its context ends.
type user func(ctx context.Context, o options, kube *rest.Config, kubeconfig string, out io.Writer) error

// run brings everything up, tells out about it, and takes it down in the
// reverse order when ctx ends or a part fails.
func run(ctx context.Context, o options, out io.Writer) error { return runFor(ctx, o, out, manage) }

// runFor runs the API server for a user.
func runFor(ctx context.Context, o options, out io.Writer, use user) error {
	began := time.Now()
	progress := func(format string, args ...any) {
		fmt.Fprintf(out, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}

	progress("starting the API server in %s", o.dataDir)
	cp, err := controlplane.Start(ctx, controlplane.Config{DataDir: o.dataDir, Address: o.address})
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while starting
		}
		return err
	}
	defer func() {
		progress("stopping the API server")
		cp.Stop()
		progress("stopped")
	}()
	progress("API server ready at %s", cp.URL())

	kubeconfig := filepath.Join(o.dataDir, "kubeconfig")
	if err := cp.WriteKubeconfig(kubeconfig, people); err != nil {
		return err
	}
	if err := writeEndpoints(o.dataDir, map[string]string{"kubernetes": cp.URL()}); err != nil {
		return err
	}
	progress("kubeconfig written to %s", kubeconfig)

	cfg, err := cp.ClientConfig(managerUser, []string{controlplane.MastersGroup})
	if err != nil {
		return err
	}
	return supervise(ctx, cp.Failed(), func(ctx context.Context) error {
		return use(ctx, o, cfg, kubeconfig, out)
	})
}

// supervise runs user until ctx ends or failed delivers an error, and returns
// when user has ended: only then may the API server stop.
func supervise(ctx context.Context, failed <-chan error, user func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- user(ctx) }()
	select {
	case err := <-done:
		return err
	case err := <-failed:
		cancel()
		return errors.Join(err, <-done)
	}
}

// writeEndpoints says in endpoints.json of the data directory where each
// service is: name to URL. Whoever reads it sees all of them or the old file.
func writeEndpoints(dataDir string, endpoints map[string]string) error {
	text, err := json.MarshalIndent(endpoints, "", "  ")
	if err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dataDir, "endpoints.json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	return nil
}
