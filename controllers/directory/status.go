package directory

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/publishing"
)

// Field owners of the two parts of the status.
const (
	OwnerMaster = client.FieldOwner("terrace-ca")
	OwnerSlaves = client.FieldOwner("terrace-pusher")
)

// Roles in status.servers.
const (
	roleMaster = "Master"
	roleSlave  = "Slave"
)

// serverStatus is a server's state as the API shows it.
func serverStatus(role string, s publishing.ServerStatus) pkiv1.DirectoryServerStatus {
	out := pkiv1.DirectoryServerStatus{Name: s.Name, Role: role, State: string(s.State), LagSeconds: int64(s.Lag / time.Second),
		Backlog: s.Backlog, Drift: s.Drift, DriftTotal: s.DriftTotal}
	if !s.VerifiedAt.IsZero() {
		at := metav1.NewTime(s.VerifiedAt.Truncate(time.Second))
		out.VerifiedAt = &at
	}
	if s.LastError != nil {
		out.LastError = step.Shorten(s.LastError.Error())
	}
	return out
}

// notReady says in the API's words why a server is not in step; nil when it is.
func notReady(s publishing.ServerStatus) *step.NotReady {
	err := s.LastError
	switch {
	case s.State == publishing.InStep:
		return nil
	case err == nil:
		return step.Waiting(pkiv1.ReasonProgressing, "server %q: %d changes wait, for %s", s.Name, s.Backlog, s.Lag.Truncate(time.Second))
	case errors.Is(err, publishing.ErrNoPassword):
		return step.Waiting(pkiv1.ReasonReferenceNotFound, "server %q: %v", s.Name, err)
	case errors.Is(err, directory.ErrCredentials):
		return step.Waiting(pkiv1.ReasonCredentialsRefused, "server %q: %v", s.Name, err)
	case errors.Is(err, publishing.ErrLedger):
		return step.Waiting(pkiv1.ReasonStoreUnavailable, "server %q: %v", s.Name, err)
	case errors.Is(err, directory.ErrUnavailable):
		return step.Waiting(pkiv1.ReasonDirectoryUnavailable, "server %q: %v", s.Name, err)
	}
	return step.Waiting(pkiv1.ReasonProgressing, "server %q: %v", s.Name, err)
}

// conditionOf is the condition that a result makes; it keeps the transition
// time of the one before when the status is the same.
func conditionOf(d *pkiv1.Directory, typ string, blocked *step.NotReady) metav1.Condition {
	c := metav1.Condition{Type: typ, Status: metav1.ConditionTrue, Reason: pkiv1.ReasonSucceeded, ObservedGeneration: d.Generation}
	if blocked != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, blocked.Reason, step.Shorten(blocked.Message)
	}
	return keepTransition(d, c)
}

func keepTransition(d *pkiv1.Directory, c metav1.Condition) metav1.Condition {
	conditions := append([]metav1.Condition(nil), d.Status.Conditions...)
	meta.SetStatusCondition(&conditions, c)
	return *meta.FindStatusCondition(conditions, c.Type)
}

// writer applies one owner's part of the status of Directories.
type writer struct {
	client client.Client
	owner  client.FieldOwner
	now    func() time.Time

	mu    sync.Mutex
	wrote map[types.UID]time.Time
}

// write applies part if a state in it differs from what d shows, or a number
// does and the last one is old enough. owned says what of d is this owner's.
func (w *writer) write(ctx context.Context, d *pkiv1.Directory, part pkiv1.DirectoryStatus, owned func(pkiv1.DirectoryStatus) pkiv1.DirectoryStatus) error {
	before := owned(d.Status)
	if equality.Semantic.DeepEqual(before, part) || (equality.Semantic.DeepEqual(states(before), states(part)) && !w.due(d.UID)) {
		return nil
	}
	// Without a version: the other owner writes its part of the same object.
	if err := step.ApplyStatus(ctx, w.client, d, &part, w.owner, ""); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrote == nil {
		w.wrote = map[types.UID]time.Time{}
	}
	w.wrote[d.UID] = w.now()
	return nil
}

func (w *writer) due(uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now().Sub(w.wrote[uid]) >= numbersInterval
}

// states is a status without what is numbers and words.
func states(s pkiv1.DirectoryStatus) pkiv1.DirectoryStatus {
	out := pkiv1.DirectoryStatus{}
	out.ObservedGeneration = s.ObservedGeneration
	for _, c := range s.Conditions {
		out.Conditions = append(out.Conditions, metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason, ObservedGeneration: c.ObservedGeneration})
	}
	for _, server := range s.Servers {
		out.Servers = append(out.Servers, pkiv1.DirectoryServerStatus{Name: server.Name, Role: server.Role, State: server.State})
	}
	return out
}

// part is what of a status has these conditions and this role.
func part(s pkiv1.DirectoryStatus, role string, conditions ...string) pkiv1.DirectoryStatus {
	out := pkiv1.DirectoryStatus{}
	for _, typ := range conditions {
		if c := meta.FindStatusCondition(s.Conditions, typ); c != nil {
			out.Conditions = append(out.Conditions, *c)
		}
	}
	for _, server := range s.Servers {
		if server.Role == role {
			out.Servers = append(out.Servers, server)
		}
	}
	return out
}
