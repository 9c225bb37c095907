package quickstart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// webhookConfiguration is what an overlay must know of one object of config/webhook.
type webhookConfiguration struct {
	kind, name string
	paths      []string // of the Service, for each webhook in order
}

// webhookConfigurations reads the objects of a folder, validating and mutating
// ones alike: those have the same fields as far as they are read here.
func webhookConfigurations(dir string) ([]webhookConfiguration, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []webhookConfiguration
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096); ; {
			var c admissionv1.ValidatingWebhookConfiguration
			if err := d.Decode(&c); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if c.Kind != "ValidatingWebhookConfiguration" && c.Kind != "MutatingWebhookConfiguration" {
				continue // the kustomization itself
			}
			w := webhookConfiguration{kind: c.Kind, name: c.Name}
			for _, hook := range c.Webhooks {
				if hook.ClientConfig.Service == nil || hook.ClientConfig.Service.Path == nil {
					return nil, fmt.Errorf("%s: webhook %s names no service path", file, hook.Name)
				}
				w.paths = append(w.paths, *hook.ClientConfig.Service.Path)
			}
			all = append(all, w)
		}
	}
	return all, nil
}
