package config

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// TestPodsHaveNoMoreThanTheyNeed checks what the level "restricted" asks for,
// and what it does not: no root file system to write to, time to stop, probes.
func TestPodsHaveNoMoreThanTheyNeed(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range build(t, root+"/default") {
		var w appsv1.Deployment // a StatefulSet has its template in the same place
		if d.kind.Kind != "Deployment" && d.kind.Kind != "StatefulSet" {
			continue
		}
		if err := yaml.Unmarshal(d.yaml, &w); err != nil {
			t.Fatal(err)
		}
		seen[w.Name] = true
		pod := w.Spec.Template.Spec
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: Pod security context %+v", w.Name, s)
		}
		if pod.TerminationGracePeriodSeconds == nil || *pod.TerminationGracePeriodSeconds <= 20 {
			t.Errorf("%s: a process stops within 20 s and needs more than that", w.Name)
		}
		for _, c := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			s := c.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
				s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, corev1.Capability("ALL")) {
				t.Errorf("%s: security context of container %s: %+v", w.Name, c.Name, s)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: container %s has no bounds", w.Name, c.Name)
			}
		}
		for _, c := range pod.Containers {
			if c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe == nil || c.LivenessProbe.HTTPGet.Path != "/healthz" {
				t.Errorf("%s: container %s lacks a probe", w.Name, c.Name)
			}
		}
	}
	for _, name := range []string{"manager", "ca", "ra", "validation-business", "validation-public", "pusher"} {
		if !seen[name] {
			t.Errorf("config/default has no %s", name)
		}
	}
}

// TestProcessesKnowTheirFlags asks the program itself about each argument of a
// Pod. An argument that it does not know ends it at the start.
func TestProcessesKnowTheirFlags(t *testing.T) {
	asked := 0
	for _, d := range build(t, root+"/default") {
		if d.kind.Kind != "Deployment" && d.kind.Kind != "StatefulSet" {
			continue
		}
		var w appsv1.Deployment
		if err := yaml.Unmarshal(d.yaml, &w); err != nil {
			t.Fatal(err)
		}
		for _, c := range append(slices.Clone(w.Spec.Template.Spec.InitContainers), w.Spec.Template.Spec.Containers...) {
			if len(c.Command) > 0 {
				continue // another program
			}
			help, err := exec.Command(filepath.Join(os.Getenv("TERRACE_BIN"), "terrace"), c.Args[0], "--help").CombinedOutput()
			if err != nil {
				t.Errorf("%s: terrace %s: %v: %s", w.Name, c.Args[0], err, help)
			}
			for _, arg := range c.Args[1:] {
				flag, _, _ := strings.Cut(arg, "=")
				if asked++; !bytes.Contains(help, []byte(" "+flag+" ")) {
					t.Errorf("%s: terrace %s does not know %s", w.Name, c.Args[0], flag)
				}
			}
		}
	}
	if asked < 20 {
		t.Errorf("found %d arguments; the check would pass without looking", asked)
	}
}

// TestSecretsAreReadWhereTheyMust lists who may read Secrets cluster-wide:
// nobody but the process that is everything in one.
func TestSecretsAreReadWhereTheyMust(t *testing.T) {
	roles, bound := map[string]rbacv1.ClusterRole{}, map[string][]string{}
	for _, d := range append(build(t, root+"/default"), build(t, root+"/tiers/ministry")...) {
		switch d.kind.Kind {
		case "ClusterRole":
			var r rbacv1.ClusterRole
			if err := yaml.Unmarshal(d.yaml, &r); err != nil {
				t.Fatal(err)
			}
			roles[r.Name] = r
		case "ClusterRoleBinding":
			var b rbacv1.ClusterRoleBinding
			if err := yaml.Unmarshal(d.yaml, &b); err != nil {
				t.Fatal(err)
			}
			for _, s := range b.Subjects {
				bound[b.RoleRef.Name] = append(bound[b.RoleRef.Name], s.Namespace+"/"+s.Name)
			}
		case "RoleBinding":
			var b rbacv1.RoleBinding
			if err := yaml.Unmarshal(d.yaml, &b); err != nil {
				t.Fatal(err)
			}
			for _, s := range b.Subjects {
				if b.Namespace == "ministry" && s.Kind == "ServiceAccount" && (s.Name == "ra" || s.Name == "manager") {
					t.Errorf("RoleBinding %s gives %s rights in a tier's namespace", b.Name, s.Name)
				}
			}
		}
	}
	for role, who := range bound {
		for _, rule := range roles[role].Rules {
			if role != "terrace-controller" && (slices.Contains(rule.Resources, "secrets") || slices.Contains(rule.APIGroups, "") && slices.Contains(rule.Resources, "*")) {
				t.Errorf("ClusterRole %s gives %v the Secrets of every namespace", role, who)
			}
		}
	}
	if len(bound) < 5 {
		t.Errorf("found %d ClusterRoleBindings; the check would pass without looking", len(bound))
	}
}
