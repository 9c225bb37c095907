package quickstart

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/terrace-pki/terrace/internal/transport"
)

// webhookProcess is who the webhook server is to the transport CA.
const webhookProcess = "webhook"

// ensureTransport makes the TLS certificates of this machine's servers, or
// renews them: of the webhooks, which the API server asks, and of the directory.
func (s state) ensureTransport(p Ports) error {
	local := []string{"127.0.0.1", "localhost"}
	processes := []transport.Process{{Name: webhookProcess, Hosts: local}}
	for _, l := range ldapServers(p) {
		processes = append(processes, transport.Process{Name: "ldap-" + l.name, Hosts: local})
	}
	if _, err := transport.EnsureFolders(s.path("transport"), processes, time.Now()); err != nil {
		return fmt.Errorf("certificates of the servers: %w", err)
	}
	return nil
}

// transportFolder holds tls.crt, tls.key and ca.crt of a server.
func (s state) transportFolder(process string) string { return s.path("transport", process) }

// transportCA is the file that every one of them is verified against.
func (s state) transportCA() string {
	return filepath.Join(s.transportFolder(webhookProcess), transport.CAFile)
}
