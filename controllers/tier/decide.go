package tier

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// order of the kinds: what others need stands first, so that the first member
// that is not Ready is likely the cause of the rest.
var order = []string{"CryptoDevice", "IndustryCA", "BusinessCA", "ValidationService", "RegistrationAuthority", "Directory"}

// member is what was seen of one object that names the tier.
type member struct {
	kind string
	// networks of a ValidationService.
	networks []pkiv1.Network
	name     string
	ready    bool
	// reason and message of a member that is not Ready.
	reason, message string
}

func memberOf(kind string, obj step.Object) member {
	m := member{kind: kind, name: obj.GetName(), ready: step.IsReady(obj)}
	if v, ok := obj.(*pkiv1.ValidationService); ok {
		m.networks = v.Spec.Networks
	}
	if m.ready {
		return m
	}
	st := obj.GetObjectStatus()
	switch c := meta.FindStatusCondition(st.Conditions, pkiv1.ConditionReady); {
	case c == nil:
		m.reason, m.message = pkiv1.ReasonProgressing, "no process has reported on it yet"
	case st.ObservedGeneration != obj.GetGeneration():
		m.reason, m.message = pkiv1.ReasonProgressing, "its process has not taken up the last change yet"
	default:
		m.reason, m.message = c.Reason, c.Message
	}
	return m
}

// observation is what a decision rests on.
type observation struct {
	members []member
	// upstream is the tier that spec.upstream.tierRef names, nil when it is not there.
	upstream *pkiv1.TierSpec
}

// decision is what the status says.
type decision struct {
	composed, membersReady *step.NotReady // nil: True
	health, members        string
	kinds                  []pkiv1.TierMembers
}

// decide is pure: all that it knows is what was observed.
func decide(t *pkiv1.Tier, obs observation) decision {
	slices.SortFunc(obs.members, byDependency)
	var d decision
	d.composed = composition(t, obs)
	var waiting []member
	for _, m := range obs.members {
		if !m.ready {
			waiting = append(waiting, m)
		}
	}
	all := len(obs.members)
	d.members = fmt.Sprintf("%d/%d", all-len(waiting), all)
	d.kinds = count(obs.members)
	if len(waiting) > 0 {
		d.membersReady = &step.NotReady{Reason: pkiv1.ReasonMemberNotReady, Message: first(waiting), RequeueAfter: lookAgain}
	}
	d.health = health(d, all)
	return d
}

func health(d decision, all int) string {
	var why []string
	for _, n := range []*step.NotReady{d.composed, d.membersReady} {
		if n != nil {
			why = append(why, n.Message)
		}
	}
	switch {
	case len(why) > 0:
		return shorten(strings.Join(why, "; "), maxHealth)
	case all == 0:
		return "well; it has no members of its own"
	case all == 1:
		return "its one member is Ready"
	}
	return fmt.Sprintf("all %d members are Ready", all)
}

// Bounds in bytes: of status.health, and of a member's own words in it, so
// that what comes after them is seen too.
const (
	maxHealth = 1024
	maxWords  = 512
)

// first tells of the first member, and how many more there are.
func first(waiting []member) string {
	m := waiting[0]
	text := fmt.Sprintf("%s/%s: %s", m.kind, m.name, m.reason)
	if m.message != "" {
		text += ": " + shorten(oneLine(m.message), maxWords)
	}
	if more := len(waiting) - 1; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}

// byDependency puts causes before consequences: by kind, and within a kind
// those that only wait for another object last.
func byDependency(a, b member) int {
	return cmp.Or(cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind)),
		cmp.Compare(waits(a), waits(b)), cmp.Compare(a.name, b.name))
}

func waits(m member) int {
	if m.reason == pkiv1.ReasonReferenceNotReady {
		return 1
	}
	return 0
}

// composition is nil when what LD/T 02.1 asks of the tier is declared.
func composition(t *pkiv1.Tier, obs observation) *step.NotReady {
	sys := system{t.Spec.Level, t.Spec.Mode}
	var missing, extra []string
	for _, r := range requirements[sys] {
		found := matching(obs.members, r.part)
		switch {
		case r.demand == needed && len(found) == 0:
			missing = append(missing, fmt.Sprintf("%s (%s)", r.part, r.clause))
		case r.demand == forbidden && len(found) > 0:
			extra = append(extra, fmt.Sprintf("%s/%s does not belong to a %s: %s (LD/T 02.1 %s)", found[0].kind, found[0].name, sys, r.why, r.clause))
		}
	}
	reason, message := upstream(t, sys, obs.upstream)
	if len(extra) > 0 {
		reason, message = pkiv1.ReasonMemberNotAllowed, join(message, strings.Join(extra, "; "))
	}
	if len(missing) > 0 {
		reason, message = pkiv1.ReasonMemberMissing, join(message, "missing for LD/T 02.1: "+strings.Join(missing, ", "))
	}
	if reason == "" {
		return nil
	}
	// Only a change of what is declared can help; the watches tell of it.
	return &step.NotReady{Reason: reason, Message: message, Stalled: true, RequeueAfter: lookAgain}
}

// upstream judges the tier above; external ones are beyond this API.
func upstream(t *pkiv1.Tier, sys system, up *pkiv1.TierSpec) (reason, message string) {
	want, has := above[sys]
	if !has || t.Spec.Upstream == nil || t.Spec.Upstream.TierRef == nil {
		return "", ""
	}
	ref := upstreamKey(t)
	if up == nil {
		return pkiv1.ReasonReferenceNotFound, fmt.Sprintf("spec.upstream: Tier %q of namespace %q is not there", ref.Name, ref.Namespace)
	}
	if is := (system{up.Level, up.Mode}); is != (system{want.level, want.mode}) {
		return pkiv1.ReasonInvalidSpec, fmt.Sprintf("spec.upstream: Tier %q is a %s; above a %s stands a %s (LD/T 02.1 %s)",
			ref.Name, is, sys, system{want.level, want.mode}, want.clause)
	}
	return "", ""
}

func matching(members []member, p part) (found []member) {
	for _, m := range members {
		if m.kind == p.kind && (p.network == "" || slices.Contains(m.networks, p.network)) {
			found = append(found, m)
		}
	}
	return found
}

// count is by kind, in the order of members.
func count(members []member) (kinds []pkiv1.TierMembers) {
	for _, m := range members {
		if n := len(kinds); n == 0 || kinds[n-1].Kind != m.kind {
			kinds = append(kinds, pkiv1.TierMembers{Kind: m.kind})
		}
		k := &kinds[len(kinds)-1]
		k.All++
		if m.ready {
			k.Ready++
		}
	}
	return kinds
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}
