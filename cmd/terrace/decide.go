package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/emmansun/gmsm/sm2"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// decisionFlags are what approve and deny take.
type decisionFlags struct {
	kubeFlags
	comment, officer, key string
	dryRun                bool
}

// decisionCommand completes the command for one decision.
func decisionCommand(decision pkiv1.Decision, cmd *cobra.Command) *cobra.Command {
	var flags decisionFlags
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, name, err := parseObject(args, "CertificateRequest", "BusinessCA")
		if err != nil {
			return err
		}
		return flags.decide(cmd.Context(), cmd.OutOrStdout(), decision, kind, name)
	}
	flags.bind(cmd)
	cmd.Flags().StringVar(&flags.comment, "comment", "", "for the record, without personal data")
	cmd.Flags().StringVar(&flags.officer, "officer", "", "your name as the process beside the issuing key knows it; for a BusinessCA")
	cmd.Flags().StringVar(&flags.key, "key", "", "file with your SM2 key, PKCS#8 PEM, mode 0600; for a BusinessCA")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "ask the API server whether it would take the decision, and change nothing")
	return cmd
}

// question is what a person decides about.
type question struct {
	target registration.Target
	// namespace where the Approval stands.
	namespace string
	summary   [][2]string
	// closed says why a decision would change nothing; empty while one does.
	closed string
}

func (f *decisionFlags) decide(ctx context.Context, out io.Writer, decision pkiv1.Decision, kind, name string) error {
	s, err := f.connect()
	if err != nil {
		return err
	}
	ask := s.aboutRequest
	if kind == "BusinessCA" {
		ask = s.aboutCA
	}
	if err := f.checkOfficer(kind); err != nil {
		return err
	}
	q, err := ask(ctx, name)
	if err != nil {
		return err
	}
	printPairs(out, q.summary)
	user, err := s.user(ctx)
	if err != nil {
		return err
	}
	a := &pkiv1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: q.namespace, Name: registration.ApprovalName(q.target, user)},
		Spec: pkiv1.ApprovalSpec{TargetRef: pkiv1.ApprovalTarget{Kind: kind, Name: name}, Decision: decision, Comment: f.comment,
			RequestDigest: hex.EncodeToString(q.target.Digest[:])}}
	if q.target.Namespace != q.namespace {
		a.Spec.TargetRef.Namespace = q.target.Namespace
	}
	if f.key != "" {
		if a.Spec.Signature, err = f.sign(q.target, decision); err != nil {
			return err
		}
	}
	return s.give(ctx, out, a, q.closed, f.dryRun)
}

func (f *decisionFlags) checkOfficer(kind string) error {
	switch given := f.officer != "" && f.key != ""; {
	case kind == "BusinessCA" && !given:
		return errors.New("a decision about a BusinessCA carries an officer's signature: give --officer NAME and --key FILE")
	case kind != "BusinessCA" && (f.officer != "" || f.key != ""):
		return errors.New("--officer and --key are for a BusinessCA: leave them out")
	}
	return nil
}

func (f *decisionFlags) sign(target registration.Target, decision pkiv1.Decision) (*pkiv1.OfficerSignature, error) {
	key, err := readOfficerKey(f.key)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	message := registration.OfficerMessage(target.Kind, target.Namespace, target.Name, target.Digest, registration.Decision(decision))
	value, err := key.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, fmt.Errorf("sign the decision: %w", err)
	}
	return &pkiv1.OfficerSignature{Officer: f.officer, Value: value}, nil
}

// give creates the Approval, once: its name is a function of the target and the
// person. The API server lets one in that comes too late, for what comes back
// from a backup; a person at a terminal must hear of it.
func (s *session) give(ctx context.Context, out io.Writer, a *pkiv1.Approval, closed string, dryRun bool) error {
	known := &pkiv1.Approval{}
	if err := s.Get(ctx, client.ObjectKeyFromObject(a), known); err == nil {
		return given(out, a, known)
	}
	if closed != "" {
		return fmt.Errorf("nothing was decided: %s", closed)
	}
	var options []client.CreateOption
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	err := s.Create(ctx, a, options...)
	switch {
	case apierrors.IsAlreadyExists(err):
		if err := s.Get(ctx, client.ObjectKeyFromObject(a), known); err != nil {
			return fmt.Errorf("you have decided already; read your Approval %s: %w", client.ObjectKeyFromObject(a), err)
		}
		return given(out, a, known)
	case err != nil:
		return fmt.Errorf("create approval: %w", err)
	case dryRun:
		fmt.Fprintf(out, "\nthe API server would take %s; nothing was changed (--dry-run)\n", a.Spec.Decision)
		return nil
	}
	fmt.Fprintf(out, "\n%s given as approval %s/%s\n", a.Spec.Decision, a.Namespace, a.Name)
	return nil
}

// given says what the person decided before.
func given(out io.Writer, wanted, known *pkiv1.Approval) error {
	if known.Spec.Decision != wanted.Spec.Decision {
		return fmt.Errorf("you decided %s before, in approval %s/%s, which stands", known.Spec.Decision, known.Namespace, known.Name)
	}
	fmt.Fprintf(out, "\n%s was given before, as approval %s/%s\n", known.Spec.Decision, known.Namespace, known.Name)
	return nil
}

func (s *session) aboutRequest(ctx context.Context, name string) (question, error) {
	var req pkiv1.CertificateRequest
	if err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &req); err != nil {
		return question{}, fmt.Errorf("read request: %w (namespace %s; -n names another)", err, s.namespace)
	}
	digest, err := readDigest(req.Status.RequestDigest)
	if err != nil {
		return question{}, err
	}
	parsed, err := pki.ParseRequest(req.Spec.Request)
	if err != nil {
		return question{}, fmt.Errorf("spec.request: %w", err)
	}
	ra := authorityOf(&req)
	q := question{namespace: ra.Namespace, closed: closed(&req), target: registration.Target{Kind: "CertificateRequest", Namespace: req.Namespace, Name: req.Name, Digest: digest}}
	applicant := "unknown"
	if req.Spec.Applicant != nil {
		applicant = req.Spec.Applicant.Username
	}
	q.summary = [][2]string{{"request", req.Namespace + "/" + req.Name}, {"subject", parsed.Subject.String()}}
	for _, names := range [][]string{parsed.SubjectAltNames.DNS, parsed.SubjectAltNames.Email, parsed.SubjectAltNames.URI} {
		for _, n := range names {
			q.summary = append(q.summary, [2]string{"name", n})
		}
	}
	for _, ip := range parsed.SubjectAltNames.IP {
		q.summary = append(q.summary, [2]string{"name", ip.String()})
	}
	for _, v := range req.Spec.Identity {
		value := v.Value
		if v.SecretRef != nil {
			value = "in Secret " + v.SecretRef.Name
		}
		q.summary = append(q.summary, [2]string{v.Name, value})
	}
	q.summary = append(q.summary, [][2]string{{"profile", req.Spec.ProfileRef.Name}, {"RA", ra.String()},
		{"applicant", applicant}, {"digest", req.Status.RequestDigest}, {"approvals", req.Status.Approvals}}...)
	return q, nil
}

// closed says why nothing about a request can be decided any more.
func closed(req *pkiv1.CertificateRequest) string {
	for _, condition := range []string{pkiv1.ConditionPolicyPassed, pkiv1.ConditionApproved} {
		if c := meta.FindStatusCondition(req.Status.Conditions, condition); c != nil && c.Reason == pkiv1.ReasonDenied {
			return fmt.Sprintf("the request is denied already (%s); the applicant can ask again under another name", c.Message)
		}
	}
	if meta.IsStatusConditionTrue(req.Status.Conditions, pkiv1.ConditionIssued) {
		return fmt.Sprintf("the certificate is issued already (serial number %s); a CertificateRevocation can revoke it", req.Status.SerialNumber)
	}
	return ""
}

func (s *session) aboutCA(ctx context.Context, name string) (question, error) {
	var ca pkiv1.BusinessCA
	if err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &ca); err != nil {
		return question{}, fmt.Errorf("read CA: %w (namespace %s; -n names another)", err, s.namespace)
	}
	digest, err := readDigest(ca.Status.RequestDigest)
	if err != nil {
		return question{}, err
	}
	_, issuer := issuerOf(&ca)
	return question{namespace: ca.Namespace, target: registration.Target{Kind: "BusinessCA", Namespace: ca.Namespace, Name: ca.Name, Digest: digest},
		summary: [][2]string{{"CA", ca.Namespace + "/" + ca.Name}, {"subject", ca.Spec.Subject}, {"issuer", issuer},
			{"validity", ca.Spec.Validity.Duration.String()}, {"digest", ca.Status.RequestDigest}}}, nil
}

func readDigest(s string) ([32]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return [32]byte{}, errors.New("status.requestDigest: there is none yet, so nothing can be decided; wait until the controller has looked at the object")
	}
	return [32]byte(b), nil
}

// printPairs prints names and values in two columns, those that have a value.
func printPairs(out io.Writer, pairs [][2]string) {
	width := 0
	for _, p := range pairs {
		width = max(width, len(p[0]))
	}
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(out, "%-*s  %s\n", width, p[0], p[1])
		}
	}
}
