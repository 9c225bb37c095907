package app

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// registerWebhookExpiry has the metric of the transport certificate tell when the
// certificate of the webhook server ends, of a process that has no links.
func registerWebhookExpiry(registry prometheus.Registerer, w Webhooks) error {
	if w.WebhookAddress == "" {
		return nil
	}
	file := filepath.Join(w.WebhookCertDir, "tls.crt")
	return registerNotAfter(registry, func() time.Time { return fileNotAfter(file) })
}

// fileNotAfter is when the first certificate of a PEM file ends, 1970 when it
// cannot be read: the API server would not believe it either.
func fileNotAfter(file string) time.Time {
	b, err := os.ReadFile(file)
	if err != nil || len(b) > maxCAFile {
		return time.Unix(0, 0)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return time.Unix(0, 0)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Unix(0, 0)
	}
	return cert.NotAfter
}
