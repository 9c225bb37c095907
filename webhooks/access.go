package webhooks

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// Verbs that RBAC gives to people, besides those of the API.
const (
	verbApprove = "approve"
	verbRevoke  = "revoke"
)

// access asks the API server what a person may do.
type access struct {
	reader client.Reader // without a cache
	client client.Client
}

// may is nil when the user may do verb on one object of Terrace, or on all of a
// namespace when the name is empty. The user's groups and extra go with the
// question, as the API server authenticated them.
func (a access) may(ctx context.Context, user authenticationv1.UserInfo, verb, resource string, on types.NamespacedName) error {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Group: pkiv1.GroupVersion.Group, Version: pkiv1.GroupVersion.Version,
			Resource: resource, Namespace: on.Namespace, Name: on.Name, Verb: verb}}}
	if err := a.client.Create(ctx, review); err != nil {
		return apierrors.NewInternalError(fmt.Errorf("ask whether %q may %s %s %s: %w", user.Username, verb, resource, on, err))
	}
	if review.Status.Allowed && !review.Status.Denied {
		return nil
	}
	which := "all " + resource
	if on.Name != "" {
		which = fmt.Sprintf("%s %q", resource, on.Name)
	}
	return fmt.Errorf("user %q may not `%s` %s in namespace %q; a Role there with verb %s on %s, bound to the user or a group, gives the right",
		user.Username, verb, which, on.Namespace, verb, resource)
}

// forbidden refuses who may not, as the API server would.
func forbidden(resource, name string, err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: pkiv1.GroupVersion.Group, Resource: resource}, name, err)
}
