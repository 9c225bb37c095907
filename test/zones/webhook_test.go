package zones

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// withURLs gives each webhook of a configuration a URL in place of its Service,
// and the authority that the API server believes.
func withURLs(object, base string, ca []byte) (string, error) {
	var o map[string]any
	if err := yaml.Unmarshal([]byte(object), &o); err != nil {
		return "", err
	}
	hooks, _ := o["webhooks"].([]any)
	if len(hooks) == 0 {
		return "", fmt.Errorf("an object without webhooks in config/webhook: %.200s", object)
	}
	for _, h := range hooks {
		hook, _ := h.(map[string]any)
		client, _ := hook["clientConfig"].(map[string]any)
		service, _ := client["service"].(map[string]any)
		path, _ := service["path"].(string)
		if !strings.HasPrefix(path, "/") {
			return "", fmt.Errorf("webhook %v names no path of a Service", hook["name"])
		}
		hook["clientConfig"] = map[string]any{"url": base + path, "caBundle": encode(ca)}
	}
	b, err := yaml.Marshal(o)
	return string(b), err
}

// readTransportCA reads the certificates that processes believe from the
// folder of any of them.
func readTransportCA(links string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(links, "manager", "ca.crt"))
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: terrace transport ensure did not write it", err)
	}
	return b, err
}
