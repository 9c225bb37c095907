package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/terrace-pki/terrace/internal/transport"
)

// transportInterval is how often the transport certificates are looked at.
const transportInterval = time.Minute

// authoritySecret holds the transport CA. Only the manager reads it.
const authoritySecret = "transport-authority"

// webhookProcess is the process whose certificate serves the webhooks.
const webhookProcess = "manager"

// Transport says for which processes the manager keeps transport certificates.
// The zero value: for none.
type Transport struct {
	// Processes by name, with the namespace that each process's Secret
	// <name>-transport stands in.
	Processes []TransportProcess
	// Namespace holds the transport CA.
	Namespace string
}

// TransportProcess is one process with a certificate.
type TransportProcess struct {
	transport.Process
	Namespace string
}

func (t Transport) validate() error {
	if len(t.Processes) > 0 && t.Namespace == "" {
		return errors.New("--transport-namespace: required with --transport-process")
	}
	return nil
}

// transportSecrets keeps the transport CA and the certificates of the processes
// in Secrets, which the processes see as files.
type transportSecrets struct {
	Transport
	client client.Client
	now    func() time.Time
}

func newTransportSecrets(kube *rest.Config, t Transport) (*transportSecrets, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("client for transport Secrets: %w", err)
	}
	return &transportSecrets{t, c, time.Now}, nil
}

// run renews what is due until ctx ends. Several managers may run: a Secret
// that another one wrote meanwhile is read again.
func (t *transportSecrets) run(ctx context.Context, log logr.Logger) error {
	for {
		wait := transportInterval
		changed, err := t.ensure(ctx)
		if changed {
			wait = 0 // the webhook configurations follow what is written
		}
		if err != nil && ctx.Err() == nil {
			log.Error(err, "transport certificates are not kept; trying on")
			wait = 5 * time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// ensure brings Secrets and webhook configurations up to date. changed: Secrets were written.
func (t *transportSecrets) ensure(ctx context.Context) (changed bool, err error) {
	authority, err := t.read(ctx, t.Namespace, authoritySecret)
	if err != nil {
		return false, err
	}
	state := transport.State{Authority: authority.Data, Leaves: map[string]transport.Material{}}
	leaves := map[string]*corev1.Secret{}
	var processes []transport.Process
	for _, p := range t.Processes {
		s, err := t.read(ctx, p.Namespace, p.Name+"-transport")
		if err != nil {
			return false, err
		}
		leaves[p.Name], state.Leaves[p.Name] = s, s.Data
		processes = append(processes, p.Process)
	}
	next, changed, err := transport.Ensure(t.now(), state, processes)
	if err != nil {
		return false, err
	}
	if !changed {
		// Only what is in the Secrets already: a bundle that a crash loses must not be believed.
		if own, ok := next.Leaves[webhookProcess]; ok {
			return false, trustWebhooks(ctx, t.client, own[transport.CAFile])
		}
		return false, nil
	}
	// The CA first: a leaf of a CA that nobody keeps would be worth nothing.
	if err := t.write(ctx, authority, next.Authority); err != nil {
		return false, err
	}
	for name, s := range leaves {
		if err := t.write(ctx, s, next.Leaves[name]); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (t *transportSecrets) read(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := t.client.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}
	return s, nil
}

// write creates the Secret, or replaces the one that was read and no later one.
func (t *transportSecrets) write(ctx context.Context, s *corev1.Secret, m transport.Material) error {
	if reflect.DeepEqual(transport.Material(s.Data), m) {
		return nil
	}
	s.Data = m
	var err error
	if s.ResourceVersion == "" {
		err = t.client.Create(ctx, s)
	} else {
		err = t.client.Update(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}
