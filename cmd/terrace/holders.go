package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// right is a verb on one object of Terrace.
type right struct {
	verb, resource string
	on             client.ObjectKey
}

func (r right) String() string {
	return fmt.Sprintf("`%s` on %s %s in namespace %s", r.verb, r.resource, r.on.Name, r.on.Namespace)
}

// maxHolders bounds the subjects that explain lists.
const maxHolders = 20

// holders lists who has a right by RBAC, as "group g (RoleBinding b)". Service
// accounts are left out: no program decides. The error is that of reading.
func (s *session) holders(ctx context.Context, r right) ([]string, error) {
	var local rbacv1.RoleBindingList
	if err := s.List(ctx, &local, client.InNamespace(r.on.Namespace)); err != nil {
		return nil, err
	}
	var everywhere rbacv1.ClusterRoleBindingList
	if err := s.List(ctx, &everywhere); err != nil {
		return nil, err
	}
	roles := roleReader{session: s, namespace: r.on.Namespace, known: map[rbacv1.RoleRef]bool{}, right: r}
	var found []string
	add := func(kind, binding string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) error {
		gives, err := roles.gives(ctx, ref)
		if err != nil || !gives {
			return err
		}
		for _, subject := range subjects {
			if subject.Kind != rbacv1.ServiceAccountKind && len(found) < maxHolders {
				found = append(found, fmt.Sprintf("%s %s (%s %s)", strings.ToLower(subject.Kind), subject.Name, kind, binding))
			}
		}
		return nil
	}
	for _, b := range local.Items {
		if err := add("RoleBinding", b.Name, b.RoleRef, b.Subjects); err != nil {
			return nil, err
		}
	}
	for _, b := range everywhere.Items {
		if err := add("ClusterRoleBinding", b.Name, b.RoleRef, b.Subjects); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// roleReader remembers which roles give a right.
type roleReader struct {
	*session
	right     right
	namespace string
	known     map[rbacv1.RoleRef]bool
}

func (r *roleReader) gives(ctx context.Context, ref rbacv1.RoleRef) (bool, error) {
	if gives, ok := r.known[ref]; ok {
		return gives, nil
	}
	var rules []rbacv1.PolicyRule
	if ref.Kind == "ClusterRole" {
		var role rbacv1.ClusterRole
		if err := r.Get(ctx, client.ObjectKey{Name: ref.Name}, &role); client.IgnoreNotFound(err) != nil {
			return false, err
		}
		rules = role.Rules
	} else {
		var role rbacv1.Role
		if err := r.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: ref.Name}, &role); client.IgnoreNotFound(err) != nil {
			return false, err
		}
		rules = role.Rules
	}
	gives := slices.ContainsFunc(rules, r.right.isIn)
	r.known[ref] = gives
	return gives, nil
}

// isIn says whether a rule of RBAC gives the right.
func (r right) isIn(rule rbacv1.PolicyRule) bool {
	has := func(list []string, value string) bool {
		return slices.Contains(list, value) || slices.Contains(list, "*")
	}
	return has(rule.Verbs, r.verb) && has(rule.APIGroups, pkiv1.GroupVersion.Group) && has(rule.Resources, r.resource) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, r.on.Name))
}

// mayI asks the API server about the person.
func (s *session) mayI(ctx context.Context, r right) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Group: pkiv1.GroupVersion.Group, Resource: r.resource,
			Namespace: r.on.Namespace, Name: r.on.Name, Verb: r.verb}}}
	if err := s.Create(ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// authorityOf is the RA that a request names.
func authorityOf(req *pkiv1.CertificateRequest) client.ObjectKey {
	return referred(req.Spec.RegistrationAuthorityRef, req.Namespace)
}

func referred(ref pkiv1.NamespacedReference, namespace string) client.ObjectKey {
	if ref.Namespace == "" {
		ref.Namespace = namespace
	}
	return client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
}

// issuerOf names the CA that issues a BusinessCA, as resource and for people.
func issuerOf(ca *pkiv1.BusinessCA) (right, string) {
	r := right{on: client.ObjectKey{Namespace: ca.Namespace}}
	switch issuer := ca.Spec.Issuer; {
	case issuer.IndustryCARef != nil:
		r.resource, r.on.Name = "industrycas", issuer.IndustryCARef.Name
		return r, "IndustryCA " + r.on.Name
	case issuer.BusinessCARef != nil:
		r.resource, r.on.Name = "businesscas", issuer.BusinessCARef.Name
		return r, "BusinessCA " + r.on.Name
	}
	return r, "an issuer outside this API"
}
