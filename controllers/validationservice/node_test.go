package validationservice_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// nodes is what a sender would say; the sender's own tests prove that it does.
type nodes map[string]replica.NodeStatus

func (n nodes) Status(node string) (replica.NodeStatus, bool) { s, ok := n[node]; return s, ok }

func newNodeService(tier *controllertest.Tier, names ...string) *pkiv1.ValidationService {
	v := newService(tier)
	v.Spec.DeviceRef = nil
	for _, n := range names {
		v.Spec.Nodes = append(v.Spec.Nodes, pkiv1.ValidationNode{Name: n, URL: "https://" + n + ".test:9445"})
	}
	return v
}

func nodeRequest(t *testing.T) *replica.ResponderRequest {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name, err := pki.ParseName("CN=node")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.CreateRequest(key, name)
	if err != nil {
		t.Fatal(err)
	}
	return &replica.ResponderRequest{CSR: csr}
}

func TestNodes(t *testing.T) {
	tier := controllertest.New(t)
	v := newNodeService(tier, "val-a", "val-b")
	tier.Create(t, v)
	tier.ReadyIndustryCA(t)
	ca := tier.ReadyBusinessCA(t)
	ca.Spec.ValidationServiceRef = &pkiv1.LocalObjectReference{Name: v.Name}
	tier.Update(t, ca)
	if _, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca); err != nil {
		t.Fatal(err)
	}
	r, pushedAt := reconciler(tier), time.Now().Truncate(time.Second)
	reconcile := func() {
		t.Helper()
		if _, err := controllertest.Reconcile(t, tier.Client, r, v); err != nil {
			t.Fatal(err)
		}
	}
	want := func(pushed, responder string) {
		t.Helper()
		if got := controllertest.Reason(v, pkiv1.ConditionNodesPushed); got != pushed {
			t.Errorf("NodesPushed: got %s, want %s: %s", got, pushed, controllertest.Message(v, pkiv1.ConditionNodesPushed))
		}
		if got := controllertest.Reason(v, pkiv1.ConditionResponderReady); got != responder {
			t.Errorf("ResponderReady: got %s, want %s: %s", got, responder, controllertest.Message(v, pkiv1.ConditionResponderReady))
		}
	}

	reconcile() // in a process that pushes to none
	want("False/NodeUnreachable", "Unknown/Progressing")
	if got := controllertest.Reason(v, pkiv1.ConditionSpecAccepted); got != "True/Succeeded" {
		t.Errorf("SpecAccepted: got %s", got)
	}
	if targets := r.Responders.Targets(); len(targets) != 2 || targets[1].URL != "https://val-b.test:9445" {
		t.Errorf("accepted nodes are %+v", targets)
	}

	inStep := replica.NodeStatus{State: replica.InStep, PushedAt: pushedAt}
	r.Nodes = nodes{"val-a": inStep}
	reconcile() // the sender has not looked at val-b yet
	want("False/Progressing", "Unknown/Progressing")

	down := replica.NodeStatus{State: replica.Unreachable, Backlog: 7, LastError: "connection refused " + strings.Repeat("x", 2000)}
	r.Nodes = nodes{"val-a": inStep, "val-b": down}
	reconcile()
	want("False/NodeUnreachable", "Unknown/Progressing")
	if m := controllertest.Message(v, pkiv1.ConditionNodesPushed); !strings.Contains(m, "val-b at https://val-b.test:9445: connection refused") || strings.Contains(m, "val-a") {
		t.Errorf("message is %.200s, want one that names val-b, its URL and the error", m)
	}
	if n := v.Status.Nodes; len(n) != 2 || n[0].State != "InStep" || n[1].State != "Unreachable" || n[1].Backlog != 7 || len(n[1].LastError) != 1024 {
		t.Errorf("status.nodes is %+v", n)
	}

	r.Nodes = nodes{"val-a": inStep, "val-b": inStep}
	reconcile()
	want("True/Succeeded", "False/Progressing") // the nodes' keys are not known
	for _, n := range []string{"val-a", "val-b"} {
		if _, err := r.Responders.Configure(t.Context(), n, nodeRequest(t)); err != nil {
			t.Fatal(err)
		}
	}
	reconcile()
	want("True/Succeeded", "True/Succeeded")
	if got := controllertest.Reason(v, pkiv1.ConditionReady); got != "True/Succeeded" || v.Status.ServedAuthorities != 1 {
		t.Errorf("Ready %s, %d authorities served, want True/Succeeded and 1", got, v.Status.ServedAuthorities)
	}

	// Numbers of a node that goes on as it did are not written each time.
	version := v.ResourceVersion
	soon := inStep
	soon.PushedAt, soon.Backlog = pushedAt.Add(10*time.Second), 3
	r.Nodes = nodes{"val-a": soon, "val-b": soon}
	if reconcile(); v.ResourceVersion != version {
		t.Error("the status was written for numbers of ten seconds later")
	}
	soon.PushedAt = pushedAt.Add(31 * time.Second)
	r.Nodes = nodes{"val-a": soon, "val-b": inStep}
	if reconcile(); !v.Status.Nodes[0].PushedAt.Equal(&metav1.Time{Time: soon.PushedAt}) || v.Status.Nodes[0].Backlog != 3 {
		t.Errorf("after half a minute the status is %+v", v.Status.Nodes[0])
	}
}

func TestDeviceNeedsNoNodes(t *testing.T) {
	tier := controllertest.New(t)
	v := newService(tier)
	tier.Create(t, v)
	if _, err := controllertest.Reconcile(t, tier.Client, reconciler(tier), v); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(v, pkiv1.ConditionNodesPushed); got != "True/NotRequired" {
		t.Errorf("NodesPushed: got %s, want True/NotRequired", got)
	}
}
