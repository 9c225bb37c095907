package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/terrace-pki/terrace/internal/quickstart"
)

// manage brings the sample tier up on an API server and runs it until ctx ends.
// Its log goes to terrace.log of the data directory.
func manage(ctx context.Context, o options, kube *rest.Config, kubeconfig string, out io.Writer) error {
	dataDir, err := filepath.Abs(o.dataDir)
	if err != nil {
		return err
	}
	configDir, err := filepath.Abs(o.configDir)
	if err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Dir(executable)
	logFile, err := os.OpenFile(filepath.Join(dataDir, "terrace.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer logFile.Close()
	logger := zap.New(zap.WriteTo(logFile))
	log.SetLogger(logger)
	return quickstart.Run(ctx, quickstart.Options{
		StateDir: dataDir, ConfigDir: configDir, TokenModule: filepath.Join(filepath.Dir(bin), "softtoken", "libterrace-softtoken.so"),
		PKCS11Modules: o.modules, SDFLibraries: o.libraries,
		Kubectl: filepath.Join(bin, "kubectl"), Kubeconfig: kubeconfig, Kube: kube, Out: out, Log: logger,
	})
}
