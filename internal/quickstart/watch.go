package quickstart

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/nationalroot"
)

// bringUpTimeout bounds the wait for a tier whose keys are made in software.
const bringUpTimeout = 3 * time.Minute

// watch says each change of an object's Ready until all are, and plays the
// national root for the industry CA meanwhile.
//
// What is not Ready by then is said and left: it may wait for a person, as a CA
// that is certified outside does.
func watch(ctx context.Context, o Options, s state, c client.Client, died chan error) error {
	deadline := time.After(bringUpTimeout)
	said := map[string]string{}
	for {
		waiting, err := progress(ctx, o, c, said)
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			say(o.Out, "\nEverything is Ready.")
			return nil
		}
		if err := playNationalRoot(ctx, o, s, c); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-died:
			died <- err
			return fmt.Errorf("controllers stopped: %w", err)
		case <-deadline:
			say(o.Out, "\nNot Ready after %s, and left running:\n  %s", bringUpTimeout, strings.Join(waiting, "\n  "))
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func progress(ctx context.Context, o Options, c client.Client, said map[string]string) (waiting []string, err error) {
	for kind, list := range map[string]client.ObjectList{
		"CryptoDevice": &pkiv1.CryptoDeviceList{}, "IndustryCA": &pkiv1.IndustryCAList{}, "BusinessCA": &pkiv1.BusinessCAList{},
		"CertificateProfile": &pkiv1.CertificateProfileList{}, "RegistrationAuthority": &pkiv1.RegistrationAuthorityList{},
		"ValidationService": &pkiv1.ValidationServiceList{}, "Directory": &pkiv1.DirectoryList{}, "Tier": &pkiv1.TierList{},
	} {
		if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			obj := item.(step.Object)
			name, state := kind+" "+obj.GetName(), "waits for its controller"
			if cond := meta.FindStatusCondition(obj.GetObjectStatus().Conditions, pkiv1.ConditionReady); cond != nil {
				state = strings.TrimSpace(cond.Reason + " " + cond.Message)
			}
			if step.IsReady(obj) {
				state = "is Ready"
			} else {
				waiting = append(waiting, name+": "+state)
			}
			if said[name] != state {
				said[name] = state
				say(o.Out, "  %-36s %s", name, state)
			}
		}
	}
	return waiting, nil
}

// playNationalRoot certifies the industry CA's key and sets its spec, as the
// infra team would in Git.
func playNationalRoot(ctx context.Context, o Options, s state, c client.Client) error {
	var all pkiv1.IndustryCAList
	if err := c.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range all.Items {
		ca := &all.Items[i]
		if len(ca.Status.CertificateSigningRequest) == 0 || len(ca.Spec.Certificate) > 0 {
			continue
		}
		root, err := nationalroot.Open(ctx, s.path("national-root"), time.Now())
		if err != nil {
			return err
		}
		cert, err := root.Certify(ca.Status.CertificateSigningRequest, time.Now())
		if err != nil {
			return err
		}
		if _, err := root.CRL(time.Now()); err != nil {
			return err
		}
		before := ca.DeepCopy()
		ca.Spec.RootCertificate, ca.Spec.Certificate = root.CertificatePEM(), cert
		if err := c.Patch(ctx, ca, client.MergeFrom(before), client.FieldOwner("national-root")); err != nil {
			return fmt.Errorf("set certificate of IndustryCA %s: %w", ca.Name, err)
		}
		say(o.Out, "  the development national root certified IndustryCA %s", ca.Name)
	}
	return nil
}

// waitReady waits for a readiness address, or for the process to fail.
func waitReady(ctx context.Context, url string, died chan error) error {
	client := &http.Client{Timeout: 2 * time.Second}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if resp, err := client.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-died:
			died <- err
			return fmt.Errorf("controllers stopped: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("controllers are not ready after a minute: %s", url)
}
