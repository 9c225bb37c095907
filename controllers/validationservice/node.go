package validationservice

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/replica"
)

const (
	// numberInterval is how often the numbers of a node that goes on as it did
	// are written.
	numberInterval = checkInterval
)

// nodesPushed says whether every node holds what the ledger says.
func (r *Reconciler) nodesPushed(v *pkiv1.ValidationService) error {
	if len(v.Spec.Nodes) == 0 {
		v.Status.Nodes = nil
		return &step.Succeeded{Reason: pkiv1.ReasonNotRequired, Message: "the process beside the CAs answers itself"}
	}
	next := make([]pkiv1.ValidationNodeStatus, 0, len(v.Spec.Nodes))
	var unreachable, behind []string
	for _, n := range v.Spec.Nodes {
		status, known := r.nodeStatus(n.Name)
		next = append(next, nodeStatus(n.Name, status, find(v.Status.Nodes, n.Name)))
		switch {
		case status.State == replica.Unreachable:
			unreachable = append(unreachable, n.Name+" at "+n.URL+": "+status.LastError)
		case !known || status.State != replica.InStep:
			behind = append(behind, n.Name)
		}
	}
	v.Status.Nodes = next
	switch {
	case len(unreachable) > 0:
		return step.Waiting(pkiv1.ReasonNodeUnreachable, "%s", strings.Join(unreachable, "; "))
	case len(behind) > 0:
		return step.Waiting(pkiv1.ReasonProgressing, "not in step yet: %s", strings.Join(behind, ", "))
	}
	return nil
}

func (r *Reconciler) nodeStatus(name string) (replica.NodeStatus, bool) {
	if r.Nodes == nil {
		return replica.NodeStatus{State: replica.Unreachable, LastError: "this process pushes to no nodes; run terrace ca"}, true
	}
	return r.Nodes.Status(name)
}

// nodeStatus is what the API shows of a node. While a node goes on as it did,
// its numbers are written once in a while only: the live ones are metrics.
func nodeStatus(name string, s replica.NodeStatus, before *pkiv1.ValidationNodeStatus) pkiv1.ValidationNodeStatus {
	out := pkiv1.ValidationNodeStatus{Name: name, State: string(s.State), Backlog: s.Backlog, LastError: step.Shorten(s.LastError)}
	if !s.PushedAt.IsZero() {
		at := metav1.NewTime(s.PushedAt.Truncate(time.Second))
		out.PushedAt = &at
	}
	if before == nil || before.State != out.State || before.LastError != out.LastError || before.PushedAt == nil || out.PushedAt == nil {
		return out
	}
	if out.PushedAt.Sub(before.PushedAt.Time) < numberInterval {
		return *before
	}
	return out
}

func find(all []pkiv1.ValidationNodeStatus, name string) *pkiv1.ValidationNodeStatus {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}
