package zones

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"github.com/terrace-pki/terrace/test/zones/zone"
)

// TestDocumentHasTheTable compares the firewall with docs/zones.md, row by row.
func TestDocumentHasTheTable(t *testing.T) {
	rows := table(t, "| from | to | port | why |")
	var got []zone.Rule
	for _, cells := range rows {
		port, err := strconv.ParseUint(cells[2], 10, 16)
		if err != nil {
			t.Fatalf("row %v: %v", cells, err)
		}
		got = append(got, zone.Rule{From: cells[0], To: cells[1], Port: uint16(port), Why: cells[3]})
	}
	if diff := cmp.Diff(firewall, got); diff != "" {
		t.Errorf("docs/zones.md differs from the firewall (-code +document):\n%s", diff)
	}
}

// TestUsersAreTheSameEverywhere compares the users of docs/zones.md, of the
// hosts here, and of the Pods in config.
func TestUsersAreTheSameEverywhere(t *testing.T) {
	document := map[string]int64{}
	for _, cells := range table(t, "| process | user | files of its own (0700 folders, 0600 files) |") {
		uid, err := strconv.ParseInt(cells[1], 10, 32)
		if err != nil {
			t.Fatalf("row %v: %v", cells, err)
		}
		document[cells[0]] = uid
	}
	here := map[string]int64{}
	all, err := hosts()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		name, _, _ := strings.Cut(h.Name, "-")
		if _, ours := document[name]; ours {
			here[name] = int64(h.UID)
		}
	}
	pods := map[string]int64{}
	for _, object := range rendered(t) {
		var d appsv1.Deployment // a StatefulSet has its template in the same place
		if !strings.Contains(object, "\nkind: Deployment") && !strings.Contains(object, "\nkind: StatefulSet") {
			continue
		}
		if err := yaml.Unmarshal([]byte(object), &d); err != nil {
			t.Fatal(err)
		}
		if d.Spec.Template.Spec.SecurityContext == nil || d.Spec.Template.Spec.SecurityContext.RunAsUser == nil {
			t.Errorf("%s %s: no runAsUser", d.Kind, d.Name)
			continue
		}
		name, _, _ := strings.Cut(d.Name, "-")
		pods[name] = *d.Spec.Template.Spec.SecurityContext.RunAsUser
	}
	if diff := cmp.Diff(document, here); diff != "" {
		t.Errorf("docs/zones.md differs from the hosts here (-document +hosts):\n%s", diff)
	}
	if diff := cmp.Diff(document, pods); diff != "" {
		t.Errorf("docs/zones.md differs from config (-document +config):\n%s", diff)
	}
}

// TestPoliciesAreTheTable reads the links out of the NetworkPolicies, both as
// the side that dials and as the side that is dialled says it, and compares
// them with the firewall.
func TestPoliciesAreTheTable(t *testing.T) {
	type link struct {
		from, to string
		port     uint16
	}
	dials, accepts := sets.New[link](), sets.New[link]()
	denied := sets.New[string]()
	for _, object := range rendered(t) {
		if !strings.Contains(object, "\nkind: NetworkPolicy") {
			continue
		}
		var p networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(object), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Spec.PodSelector.MatchLabels) == 0 {
			if len(p.Spec.PolicyTypes) != 2 || len(p.Spec.Ingress)+len(p.Spec.Egress) != 0 {
				t.Errorf("%s/%s selects all Pods and does not deny all", p.Namespace, p.Name)
			}
			denied.Insert(p.Namespace)
			continue
		}
		self := name(p.Namespace, p.Spec.PodSelector.MatchLabels)
		for _, rule := range p.Spec.Egress {
			for _, to := range rule.To {
				for _, port := range rule.Ports {
					if other := peer(p.Namespace, to, "api"); other != "dns" && port.Port.IntValue() != 443 { // 443 is the Service of the API server
						dials.Insert(link{self, other, uint16(port.Port.IntValue())})
					}
				}
			}
		}
		for _, rule := range p.Spec.Ingress {
			from := rule.From
			if len(from) == 0 {
				from = []networkingv1.NetworkPolicyPeer{{}} // everybody
			}
			for _, f := range from {
				for _, port := range rule.Ports {
					accepts.Insert(link{peer(p.Namespace, f, "api"), self, uint16(port.Port.IntValue())})
				}
			}
		}
	}
	if want := sets.New("terrace-core", "terrace-system", "terrace-service", "terrace-public"); !denied.Equal(want) {
		t.Errorf("all is denied in %v, want %v", sets.List(denied), sets.List(want))
	}
	// Neither the API server nor what is outside is a Pod, and the slaves are of one role.
	slave := strings.NewReplacer("slave-1", "slave", "slave-2", "slave")
	wantDials, wantAccepts := sets.New[link](), sets.New[link]()
	for _, r := range firewall {
		l := link{slave.Replace(r.From), slave.Replace(r.To), r.Port}
		if r.From != "api" && r.From != "outside" && r.From != "people" {
			wantDials.Insert(l)
		}
		if r.To != "api" {
			wantAccepts.Insert(l)
		}
	}
	// The registration database, which is a file in the test.
	database := link{"ra", "ra-postgresql", 5432}
	wantDials.Insert(database)
	wantAccepts.Insert(database)
	// The port of a slave is open to everybody, the pusher among them.
	wantAccepts.Delete(link{"pusher", "slave", 636})
	if diff := cmp.Diff(wantDials, dials, cmp.AllowUnexported(link{})); diff != "" {
		t.Errorf("what may dial (-table +config/network):\n%s", diff)
	}
	if diff := cmp.Diff(wantAccepts, accepts, cmp.AllowUnexported(link{})); diff != "" {
		t.Errorf("what is accepted (-table +config/network):\n%s", diff)
	}
}

// name is the host of the table that Pods with these labels are.
func name(namespace string, labels map[string]string) string {
	n := labels["app.kubernetes.io/name"]
	if role := labels["terrace.dev/role"]; role != "" {
		n = strings.TrimPrefix(role, "directory-")
	}
	switch {
	case n == "postgresql":
		return "postgres"
	case n == "validation" && namespace == "terrace-public":
		return "validation-public"
	case n == "validation":
		return "validation-business"
	}
	return n
}

func peer(namespace string, p networkingv1.NetworkPolicyPeer, address string) string {
	if p.IPBlock != nil {
		return address
	}
	if p.PodSelector == nil {
		return "outside"
	}
	if p.PodSelector.MatchLabels["k8s-app"] == "kube-dns" {
		return "dns"
	}
	if p.NamespaceSelector != nil {
		namespace = "terrace-" + p.NamespaceSelector.MatchLabels["terrace.dev/zone"]
	}
	return name(namespace, p.PodSelector.MatchLabels)
}

// table returns the cells of the table with this head in docs/zones.md.
func table(t *testing.T, head string) [][]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/zones.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n"+head+"\n")
	if !ok {
		t.Fatalf("docs/zones.md has no table %s", head)
	}
	var rows [][]string
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.HasPrefix(line, "|---") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if len(cells) != strings.Count(head, "|")-1 {
			t.Fatalf("row %q has %d cells", line, len(cells))
		}
		rows = append(rows, cells)
	}
	return rows
}

// rendered returns the objects of config/default.
func rendered(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(binary(t, "kubectl"), "kustomize", "../../config/default").Output()
	if err != nil {
		t.Fatalf("kubectl kustomize config/default: %v", err)
	}
	var all []string
	for object := range strings.SplitSeq(string(out), "\n---\n") {
		all = append(all, "\n"+object)
	}
	return all
}

// binary is the path of what make build built.
func binary(t testing.TB, name string) string {
	t.Helper()
	bin := os.Getenv("TERRACE_BIN")
	if bin == "" {
		t.Fatal("TERRACE_BIN is not set: run make test, or make build and TERRACE_BIN=$PWD/.terrace/bin go test ./test/zones/...")
	}
	return filepath.Join(bin, name)
}
