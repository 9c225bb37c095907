package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// treePage is how many requests are read at a time.
const treePage = 500

func treeCommand() *cobra.Command {
	var flags kubeFlags
	var everywhere bool
	cmd := &cobra.Command{Use: "tree", Args: cobra.NoArgs, Short: "Show tiers, CAs and RAs as a tree, with the number of requests",
		Long: `Show the tiers, the CAs in them, the RAs below each CA, and how many requests each
RA has. What you may not read is left out and named at the end.`,
		Example: `  kubectl terrace tree -n ministry
  kubectl terrace tree -A`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.connect()
			if err != nil {
				return err
			}
			if everywhere {
				s.namespace = ""
			}
			return s.tree(cmd.Context(), cmd.OutOrStdout())
		}}
	flags.bind(cmd)
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "all namespaces")
	return cmd
}

// node is one line of the tree, known by kind, namespace and name.
type node struct {
	label    string
	parent   string
	children []string
}

// forest is what was read, in the order in which it is shown.
type forest struct {
	*session
	nodes  map[string]*node
	order  []string
	unread []string
}

func (s *session) tree(ctx context.Context, out io.Writer) error {
	f := &forest{session: s, nodes: map[string]*node{}}
	f.read(ctx)
	if len(f.order) == 0 && len(f.unread) == 0 {
		fmt.Fprintf(out, "nothing of Terrace stands in namespace %q; -n names another, -A shows all\n", s.namespace)
	}
	var roots []string
	for _, id := range f.order {
		if parent := f.nodes[f.nodes[id].parent]; parent != nil {
			parent.children = append(parent.children, id)
		} else {
			roots = append(roots, id)
		}
	}
	for _, id := range roots {
		fmt.Fprintln(out, f.nodes[id].label)
		f.print(out, id, "")
	}
	for _, u := range f.unread {
		fmt.Fprintln(out, "could not be read:", u)
	}
	return nil
}

func (f *forest) print(out io.Writer, id, indent string) {
	children := f.nodes[id].children
	for i, child := range children {
		branch, below := "├─ ", "│  "
		if i == len(children)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintln(out, indent+branch+f.nodes[child].label)
		f.print(out, child, indent+below)
	}
}

func id(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// add makes a line; the parent is the first of those given that is there. What
// is above is read first, but for tiers and BusinessCAs, whose own kind may be above.
func (f *forest) add(kind string, obj client.Object, st pkiv1.ObjectStatus, parent string, more ...string) {
	own := id(kind, obj.GetNamespace(), obj.GetName())
	name := obj.GetName()
	if f.namespace == "" {
		name = obj.GetNamespace() + "/" + name
	}
	f.nodes[own] = &node{label: strings.Join(append([]string{kind, name}, append(more, health(st))...), "  "), parent: parent}
	f.order = append(f.order, own)
}

// health is Ready, or why not.
func health(st pkiv1.ObjectStatus) string {
	c := meta.FindStatusCondition(st.Conditions, pkiv1.ConditionReady)
	switch {
	case c == nil:
		return "not looked at yet"
	case c.Status == metav1.ConditionTrue:
		return "Ready"
	}
	return strings.TrimSuffix("not Ready: "+c.Reason+": "+c.Message, ": ")
}

func (f *forest) list(ctx context.Context, what string, list client.ObjectList) bool {
	err := f.List(ctx, list, client.InNamespace(f.namespace))
	if err != nil {
		f.unread = append(f.unread, fmt.Sprintf("%s: %v", what, err))
	}
	return err == nil
}

func (f *forest) read(ctx context.Context) {
	tierOf := func(namespace string, ref *pkiv1.LocalObjectReference) string {
		if ref == nil {
			return ""
		}
		return id("Tier", namespace, ref.Name)
	}
	var tiers pkiv1.TierList
	f.list(ctx, "tiers", &tiers)
	for _, t := range tiers.Items {
		parent := ""
		if up := t.Spec.Upstream; up != nil && up.TierRef != nil {
			key := referred(*up.TierRef, t.Namespace)
			parent = id("Tier", key.Namespace, key.Name)
		}
		f.add("Tier", &t, t.Status.ObjectStatus, parent, string(t.Spec.Level))
	}
	var industry pkiv1.IndustryCAList
	f.list(ctx, "industry CAs", &industry)
	for _, ca := range industry.Items {
		f.add("IndustryCA", &ca, ca.Status.ObjectStatus, tierOf(ca.Namespace, ca.Spec.TierRef))
	}
	var business pkiv1.BusinessCAList
	f.list(ctx, "business CAs", &business)
	for _, ca := range business.Items {
		parent := tierOf(ca.Namespace, ca.Spec.TierRef)
		switch issuer := ca.Spec.Issuer; {
		case issuer.IndustryCARef != nil && f.nodes[id("IndustryCA", ca.Namespace, issuer.IndustryCARef.Name)] != nil:
			parent = id("IndustryCA", ca.Namespace, issuer.IndustryCARef.Name)
		case issuer.BusinessCARef != nil:
			parent = id("BusinessCA", ca.Namespace, issuer.BusinessCARef.Name)
		}
		f.add("BusinessCA", &ca, ca.Status.ObjectStatus, parent)
	}
	var ras pkiv1.RegistrationAuthorityList
	f.list(ctx, "registration authorities", &ras)
	counts := f.requests(ctx)
	for _, ra := range ras.Items {
		parent := id("BusinessCA", ra.Namespace, ra.Spec.BusinessCARef.Name)
		if f.nodes[parent] == nil {
			parent = tierOf(ra.Namespace, ra.Spec.TierRef)
		}
		f.add("RegistrationAuthority", &ra, ra.Status.ObjectStatus, parent)
		f.addCounts(id("RegistrationAuthority", ra.Namespace, ra.Name), counts[client.ObjectKeyFromObject(&ra)])
	}
}

// addCounts makes one line of an RA's requests.
func (f *forest) addCounts(ra string, counts map[string]int) {
	if len(counts) == 0 {
		return
	}
	reasons := make([]string, 0, len(counts))
	for reason, n := range counts {
		reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
	}
	slices.SortFunc(reasons, func(a, b string) int {
		return strings.Compare(a[strings.IndexByte(a, ' '):], b[strings.IndexByte(b, ' '):])
	})
	own := ra + "/requests"
	f.nodes[own] = &node{label: "requests  " + strings.Join(reasons, ", "), parent: ra}
	f.order = append(f.order, own)
}

// requests counts the requests of each RA, in all namespaces when they may be
// read and else in the one that is shown, by "issued" or the reason why not.
func (f *forest) requests(ctx context.Context) map[client.ObjectKey]map[string]int {
	counts := map[client.ObjectKey]map[string]int{}
	namespace := ""
	for page := (client.ListOptions{Limit: treePage}); ; {
		var list pkiv1.CertificateRequestList
		err := f.List(ctx, &list, &page, client.InNamespace(namespace))
		if err != nil && namespace == "" && f.namespace != "" {
			namespace = f.namespace
			f.unread = append(f.unread, "requests of other namespaces: "+err.Error())
			continue
		}
		if err != nil {
			f.unread = append(f.unread, "requests: "+err.Error())
			return counts
		}
		for i := range list.Items {
			count(counts, &list.Items[i])
		}
		if page.Continue = list.Continue; page.Continue == "" {
			return counts
		}
	}
}

func count(counts map[client.ObjectKey]map[string]int, req *pkiv1.CertificateRequest) {
	ra := authorityOf(req)
	if counts[ra] == nil {
		counts[ra] = map[string]int{}
	}
	reason := "not looked at"
	if c := meta.FindStatusCondition(req.Status.Conditions, pkiv1.ConditionReady); c != nil {
		reason = c.Reason
		if c.Status == metav1.ConditionTrue {
			reason = "issued"
		}
	}
	counts[ra][reason]++
}
