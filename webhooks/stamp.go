package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// stampPath is where config/webhook/mutating.yaml sends what is stamped.
const stampPath = "/mutate-pki-terrace-dev-v1alpha1-person"

// stamped names the field of each resource that says who it was.
var stamped = map[string]string{
	"certificaterequests":    "applicant",
	"approvals":              "approver",
	"certificaterevocations": "requester",
}

// stamp writes the authenticated user into a new object, whatever it says, and
// keeps what was written then: Git applies the same YAML for ever, mostly as
// somebody else, and must neither change nor drop it.
type stamp struct{}

// Handle patches the one field, so that nothing else of the object is touched.
func (stamp) Handle(_ context.Context, req admission.Request) admission.Response {
	name, ok := stamped[req.Resource.Resource]
	if !ok {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("resource %q has no field to stamp", req.Resource.Resource))
	}
	given, err := person(req.Object.Raw, name)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	want := &pkiv1.Person{Username: req.UserInfo.Username}
	if req.Operation == admissionv1.Update {
		// Nothing when the old object has nothing: a person whom nobody
		// authenticated must not come in by an update.
		if want, err = person(req.OldObject.Raw, name); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
	}
	if want == nil && given == nil || want != nil && given != nil && *want == *given {
		return admission.Allowed("")
	}
	changed, err := withPerson(req.Object.Raw, name, want)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, changed)
}

// isUser is nil when an object names the authenticated user. Whoever could
// write another person would decide, or ask, in that person's name: so the
// validating webhooks look again at what came through the mutating ones.
func isUser(name string, given *pkiv1.Person, user string) *field.Error {
	path := spec.Child(name)
	switch {
	case given == nil:
		return field.Required(path, "admission writes it and did not: apply config/webhook with its MutatingWebhookConfiguration")
	case given.Username != user:
		return field.Invalid(path, given.Username, fmt.Sprintf("is not the authenticated user %q: another mutating webhook changed what admission had written", user))
	}
	return nil
}

// withPerson is the object with spec.<name> as wanted, all else as it was.
func withPerson(raw []byte, name string, want *pkiv1.Person) ([]byte, error) {
	var obj, fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &obj); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(obj["spec"], &fields); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	delete(fields, name)
	if want != nil {
		value, err := json.Marshal(want)
		if err != nil {
			return nil, err
		}
		fields[name] = value
	}
	var err error
	if obj["spec"], err = json.Marshal(fields); err != nil {
		return nil, err
	}
	return json.Marshal(obj)
}

// person reads spec.<name> of an object; nil when it is absent.
func person(raw []byte, name string) (*pkiv1.Person, error) {
	var obj struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(raw, &obj); err != nil {
		return nil, fmt.Errorf("read spec.%s: %w", name, err)
	}
	value, ok := obj.Spec[name]
	if !ok {
		return nil, nil
	}
	var p pkiv1.Person
	if err := json.Unmarshal(value, &p); err != nil {
		return nil, fmt.Errorf("read spec.%s: %w", name, err)
	}
	return &p, nil
}
