package replica

import "time"

// NodeState says how a node stands.
type NodeState string

// States of nodes.
const (
	// InStep: it held every change within the last half minute.
	InStep NodeState = "InStep"
	// CatchingUp: it takes pushes and misses changes.
	CatchingUp NodeState = "CatchingUp"
	// Unreachable: it does not take pushes.
	Unreachable NodeState = "Unreachable"
)

// inStepFor is how long a node counts as in step after it was: under a load of
// requests there is always some change on its way.
const inStepFor = 30 * time.Second

// NodeStatus is how the sender sees a node.
type NodeStatus struct {
	// State is empty until the node was tried for the first time.
	State NodeState
	// Backlog counts the changes that the node does not hold yet, as far as is known.
	Backlog int64
	// PushedAt is when the node last confirmed a push, by the sender's clock;
	// zero when it has not since the process began.
	PushedAt time.Time
	// LastError in words; empty when the last push went well.
	LastError string
}
