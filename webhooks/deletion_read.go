package webhooks

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// owned is an object that belongs to a tier and has a deletionPolicy.
type owned interface {
	client.Object
	GetTierRef() *pkiv1.LocalObjectReference
	GetDeletionPolicy() pkiv1.DeletionPolicy
}

// eachOwned goes through the objects of a namespace that may belong to a tier,
// users before what they use.
func (d *deletion) eachOwned(ctx context.Context, namespace string, use func(kind string, obj owned) bool) error {
	enough := false
	see := func(kind string, obj owned) bool {
		enough = use(kind, obj)
		return enough
	}
	for _, read := range []func() error{
		func() error {
			return d.eachRA(ctx, namespace, func(o *pkiv1.RegistrationAuthority) bool { return see("RegistrationAuthority", o) })
		},
		func() error {
			return d.eachBusinessCA(ctx, namespace, func(o *pkiv1.BusinessCA) bool { return see("BusinessCA", o) })
		},
		func() error {
			return d.eachIndustryCA(ctx, namespace, func(o *pkiv1.IndustryCA) bool { return see("IndustryCA", o) })
		},
		func() error {
			return d.eachValidationService(ctx, namespace, func(o *pkiv1.ValidationService) bool { return see("ValidationService", o) })
		},
		func() error {
			return d.eachDirectory(ctx, namespace, func(o *pkiv1.Directory) bool { return see("Directory", o) })
		},
		func() error {
			return d.eachDevice(ctx, namespace, func(o *pkiv1.CryptoDevice) bool { return see("CryptoDevice", o) })
		},
	} {
		if err := read(); err != nil || enough {
			return err
		}
	}
	return nil
}

// eachCA goes through the CAs of both kinds of a namespace.
func (d *deletion) eachCA(ctx context.Context, namespace string, use func(kind string, obj client.Object, spec *pkiv1.CACommon) bool) error {
	enough := false
	err := d.eachIndustryCA(ctx, namespace, func(o *pkiv1.IndustryCA) bool {
		enough = use("IndustryCA", o, &o.Spec.CACommon)
		return enough
	})
	if err != nil || enough {
		return err
	}
	return d.eachBusinessCA(ctx, namespace, func(o *pkiv1.BusinessCA) bool { return use("BusinessCA", o, &o.Spec.CACommon) })
}

func (d *deletion) eachIndustryCA(ctx context.Context, namespace string, use func(*pkiv1.IndustryCA) bool) error {
	return each(ctx, d, &pkiv1.IndustryCAList{}, use, client.InNamespace(namespace))
}

func (d *deletion) eachBusinessCA(ctx context.Context, namespace string, use func(*pkiv1.BusinessCA) bool) error {
	return each(ctx, d, &pkiv1.BusinessCAList{}, use, client.InNamespace(namespace))
}

func (d *deletion) eachRA(ctx context.Context, namespace string, use func(*pkiv1.RegistrationAuthority) bool) error {
	return each(ctx, d, &pkiv1.RegistrationAuthorityList{}, use, client.InNamespace(namespace))
}

func (d *deletion) eachValidationService(ctx context.Context, namespace string, use func(*pkiv1.ValidationService) bool) error {
	return each(ctx, d, &pkiv1.ValidationServiceList{}, use, client.InNamespace(namespace))
}

func (d *deletion) eachDirectory(ctx context.Context, namespace string, use func(*pkiv1.Directory) bool) error {
	return each(ctx, d, &pkiv1.DirectoryList{}, use, client.InNamespace(namespace))
}

func (d *deletion) eachDevice(ctx context.Context, namespace string, use func(*pkiv1.CryptoDevice) bool) error {
	return each(ctx, d, &pkiv1.CryptoDeviceList{}, use, client.InNamespace(namespace))
}

// The kinds below refer across namespaces, so all namespaces are read.

func (d *deletion) eachRequest(ctx context.Context, use func(*pkiv1.CertificateRequest) bool, opts ...client.ListOption) error {
	return each(ctx, d, &pkiv1.CertificateRequestList{}, use, opts...)
}

func (d *deletion) eachRevocation(ctx context.Context, use func(*pkiv1.CertificateRevocation) bool) error {
	return each(ctx, d, &pkiv1.CertificateRevocationList{}, use)
}

func (d *deletion) eachTier(ctx context.Context, use func(*pkiv1.Tier) bool) error {
	return each(ctx, d, &pkiv1.TierList{}, use)
}
