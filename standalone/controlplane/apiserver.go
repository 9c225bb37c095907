package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	"k8s.io/kubernetes/pkg/controlplane/apiserver/options"
	generic "k8s.io/kubernetes/pkg/controlplane/apiserver/samples/generic/server"
)

// apiServer is the running API server.
type apiServer struct {
	loopback *rest.Config // its own privileged client
	cancel   context.CancelFunc
	exited   chan struct{} // closed when it has ended
}

// startAPIServer returns when the server runs; it is not yet ready then. An end
// that was not asked for by stop is reported to fail.
func startAPIServer(ln net.Listener, files serverFiles, etcdEndpoint string, fail func(error)) (*apiServer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	server, err := newAPIServer(ctx, ln, files, etcdEndpoint)
	if err != nil {
		cancel()
		return nil, err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		cancel()
		return nil, err
	}
	a := &apiServer{
		loopback: server.GenericAPIServer.LoopbackClientConfig,
		cancel:   cancel,
		exited:   make(chan struct{}),
	}
	go func() {
		defer close(a.exited)
		err := prepared.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended without an error")
		}
		fail(fmt.Errorf("API server: %w", err))
	}()
	return a, nil
}

func (a *apiServer) stop() {
	a.cancel()
	<-a.exited
}

// newAPIServer puts the generic control plane together. This is the code that a
// new minor release of Kubernetes may ask to change: upstream calls it a sample.
func newAPIServer(ctx context.Context, ln net.Listener, files serverFiles, etcdEndpoint string) (*aggregatorapiserver.APIAggregator, error) {
	o := generic.NewOptions()
	setOptions(o, ln, files, etcdEndpoint)
	completed, err := o.Complete(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	conf, err := generic.NewConfig(completed)
	if err != nil {
		return nil, err
	}
	// The sample says three API servers; above one, a new CRD is Established
	// only after 5 s, when the others must have heard of it.
	conf.APIExtensions.ExtraConfig.MasterCount = 1
	complete, err := conf.Complete()
	if err != nil {
		return nil, err
	}
	return generic.CreateServerChain(complete)
}

func setOptions(o *options.Options, ln net.Listener, files serverFiles, etcdEndpoint string) {
	addr := ln.Addr().(*net.TCPAddr)
	o.SecureServing.Listener = ln
	o.SecureServing.BindAddress = addr.IP
	o.SecureServing.BindPort = addr.Port
	o.SecureServing.ExternalAddress = addr.IP
	o.SecureServing.ServerCert.CertKey.CertFile = files.cert
	o.SecureServing.ServerCert.CertKey.KeyFile = files.key
	o.GenericServerRunOptions.AdvertiseAddress = addr.IP

	o.Authentication.ClientCert.ClientCA = files.clientCA
	o.Authentication.ServiceAccounts.KeyFiles = []string{files.serviceAccountKey}
	o.Authentication.ServiceAccounts.Issuers = []string{"https://kubernetes.default.svc"}
	o.ServiceAccountSigningKeyFile = files.serviceAccountKey
	o.Authorization.Modes = []string{"RBAC"} // the default is AlwaysAllow

	o.Etcd.StorageConfig.Transport.ServerList = []string{etcdEndpoint}
	o.Etcd.EncryptionProviderConfigFilepath = files.encryption
}
