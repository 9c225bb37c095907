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

func explainCommand() *cobra.Command {
	var flags kubeFlags
	cmd := &cobra.Command{Use: "explain [KIND] NAME", Args: cobra.RangeArgs(1, 2),
		Short: "Say what passed, what is missing, and who could give it",
		Long: `Say for each check and approval of an object what passed, what is missing, and
who could give it. KIND is certificaterequest (the default), businessca or
certificaterevocation. People are found by the role bindings, where you may read
them; where not, the right that they need is named.`,
		Example: `  kubectl terrace explain first -n ministry
  kubectl terrace explain businessca province -n ministry
  kubectl terrace explain certrev/first-stolen -n ministry`,
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, name, err := parseObject(args, "CertificateRequest", "BusinessCA", "CertificateRevocation")
			if err != nil {
				return err
			}
			s, err := flags.connect()
			if err != nil {
				return err
			}
			e := explainer{session: s, out: cmd.OutOrStdout()}
			explain := map[string]func(context.Context, client.ObjectKey) error{
				"CertificateRequest": e.request, "BusinessCA": e.businessCA, "CertificateRevocation": e.revocation}[kind]
			return explain(cmd.Context(), client.ObjectKey{Namespace: s.namespace, Name: name})
		}}
	flags.bind(cmd)
	return cmd
}

// explainer writes about one object.
type explainer struct {
	*session
	out io.Writer
}

func (e explainer) sayf(format string, args ...any) { fmt.Fprintf(e.out, format+"\n", args...) }

func (e explainer) request(ctx context.Context, key client.ObjectKey) error {
	var req pkiv1.CertificateRequest
	if err := e.Get(ctx, key, &req); err != nil {
		return err
	}
	e.conditions("CertificateRequest", &req, &req.Status.ObjectStatus)
	ra := authorityOf(&req)
	e.sayf("\nchecks of the RA %s", ra)
	if len(req.Status.Verdicts) == 0 {
		e.sayf("  none is judged yet")
	}
	for _, v := range req.Status.Verdicts {
		e.sayf("  %s", strings.TrimRight(fmt.Sprintf("%-7s %s  %s", v.Result, v.Check, v.Reason), " "))
	}
	approved := meta.FindStatusCondition(req.Status.Conditions, pkiv1.ConditionApproved)
	switch {
	case approved == nil || approved.Status == metav1.ConditionUnknown:
		e.sayf("\napprovals are asked for once every check has passed")
		return nil
	case approved.Status == metav1.ConditionTrue && req.Status.Approvals == "":
		return nil // none were needed
	}
	e.sayf("\napprovals %s", req.Status.Approvals)
	gave := e.approvals(ctx, ra.Namespace, "CertificateRequest", key)
	if approved.Reason != pkiv1.ReasonAwaitingApproval {
		return nil
	}
	if req.Spec.Applicant != nil {
		gave = append(gave, req.Spec.Applicant.Username)
	}
	e.who(ctx, right{"approve", "registrationauthorities", ra}, gave)
	return nil
}

func (e explainer) businessCA(ctx context.Context, key client.ObjectKey) error {
	var ca pkiv1.BusinessCA
	if err := e.Get(ctx, key, &ca); err != nil {
		return err
	}
	e.conditions("BusinessCA", &ca, &ca.Status.ObjectStatus)
	r, issuer := issuerOf(&ca)
	e.sayf("\nissued by %s", issuer)
	if r.resource == "" {
		return nil
	}
	e.sayf("\napprovals by officers")
	gave := e.approvals(ctx, key.Namespace, "BusinessCA", key)
	if c := meta.FindStatusCondition(ca.Status.Conditions, pkiv1.ConditionCertificateReady); c != nil && c.Reason == pkiv1.ReasonAwaitingApproval {
		r.verb = "approve"
		e.who(ctx, r, gave)
		e.sayf("  each also needs the SM2 key of an officer whom the process beside the issuing key knows")
	}
	return nil
}

func (e explainer) revocation(ctx context.Context, key client.ObjectKey) error {
	var rev pkiv1.CertificateRevocation
	if err := e.Get(ctx, key, &rev); err != nil {
		return err
	}
	e.conditions("CertificateRevocation", &rev, &rev.Status.ObjectStatus)
	requester, number := "unknown", ""
	if rev.Spec.Requester != nil {
		requester = rev.Spec.Requester.Username
	}
	if rev.Status.CRLNumber > 0 {
		number = fmt.Sprint(rev.Status.CRLNumber)
	}
	at := ""
	if rev.Status.PerformedAt != nil {
		at = rev.Status.PerformedAt.UTC().Format("2006-01-02 15:04:05Z")
	}
	e.sayf("")
	printPairs(e.out, [][2]string{{"action", string(rev.Spec.Action)}, {"reason", string(rev.Spec.Reason)}, {"asked by", requester},
		{"serial", rev.Status.SerialNumber}, {"issuer", rev.Status.Issuer}, {"performed", at}, {"CRL number", number}})
	return nil
}

// conditionWords tell how far a step is.
var conditionWords = map[metav1.ConditionStatus]string{metav1.ConditionTrue: "passed", metav1.ConditionFalse: "missing", metav1.ConditionUnknown: "waits"}

// conditions writes the steps of an object in their order.
func (e explainer) conditions(kind string, obj client.Object, st *pkiv1.ObjectStatus) {
	ready := meta.FindStatusCondition(st.Conditions, pkiv1.ConditionReady)
	if ready == nil {
		e.sayf("%s %s/%s: no controller has looked at it yet", kind, obj.GetNamespace(), obj.GetName())
		return
	}
	state := "not Ready"
	if ready.Status == metav1.ConditionTrue {
		state = "Ready"
	}
	e.sayf("%s %s/%s: %s, %s", kind, obj.GetNamespace(), obj.GetName(), state, ready.Reason)
	for _, c := range st.Conditions {
		if slices.Contains([]string{pkiv1.ConditionReady, pkiv1.ConditionReconciling, pkiv1.ConditionStalled}, c.Type) {
			continue
		}
		line := fmt.Sprintf("%-7s  %s  %s", conditionWords[c.Status], c.Type, c.Reason)
		if c.Message != "" {
			line += ": " + c.Message
		}
		e.sayf("  %s", line)
	}
}

// approvals writes the decisions about an object that stand in a namespace, and
// returns who gave them.
func (e explainer) approvals(ctx context.Context, namespace, kind string, about client.ObjectKey) (gave []string) {
	var all pkiv1.ApprovalList
	if err := e.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		e.sayf("  Approvals in namespace %s cannot be read: %v", namespace, err)
		return nil
	}
	for _, a := range all.Items {
		if t := a.Spec.TargetRef; t.Kind != kind || referred(pkiv1.NamespacedReference{Name: t.Name, Namespace: t.Namespace}, a.Namespace) != about {
			continue
		}
		by := "nobody"
		if a.Spec.Approver != nil {
			by = a.Spec.Approver.Username
			gave = append(gave, by)
		}
		if a.Spec.Signature != nil {
			by += " as officer " + a.Spec.Signature.Officer
		}
		state := "waits to be taken in"
		if c := meta.FindStatusCondition(a.Status.Conditions, pkiv1.ConditionTaken); c != nil {
			state = "taken in"
			if c.Status != metav1.ConditionTrue {
				state = "not taken in: " + c.Reason + ": " + c.Message
			}
		}
		e.sayf("  %s by %s (%s): %s", a.Spec.Decision, by, a.Name, state)
	}
	return gave
}

// who writes who could give what is missing.
func (e explainer) who(ctx context.Context, r right, gave []string) {
	except := ""
	if len(gave) > 0 {
		slices.Sort(gave)
		except = ", but not by " + strings.Join(slices.Compact(gave), ", ")
	}
	people, err := e.holders(ctx, r)
	switch {
	case err != nil:
		e.sayf("  could be given by whoever may %s%s (who that is cannot be read: %v)", r, except, err)
	case len(people) == 0:
		e.sayf("  nobody may %s: bind a role with that verb to those who should", r)
	default:
		e.sayf("  could be given by those who may %s%s:", r, except)
		for _, p := range people {
			e.sayf("    %s", p)
		}
	}
	user, err := e.user(ctx)
	if err != nil || slices.Contains(gave, user) {
		return
	}
	if may, err := e.mayI(ctx, r); err == nil && may {
		e.sayf("  you may: you are %s", user)
	}
}
