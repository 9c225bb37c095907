package controlplane

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

const (
	controllerWorkers = 2
	namespaceResync   = 5 * time.Minute
	collectorSync     = 30 * time.Second // how long the collector waits for its caches
	collectorDiscover = 5 * time.Second  // how often it looks for new kinds
)

// startControllers runs the controllers of kube-controller-manager without which
// a deleted namespace stays Terminating, ownerReferences do nothing, and the
// roles view, edit and admin are empty. stop returns when they have ended.
func startControllers(loopback *rest.Config) (stop func(), err error) {
	cfg := rest.CopyConfig(loopback)
	cfg.QPS = -1 // within one process, the server's own fairness is the limit
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	shared := informers.NewSharedInformerFactory(client, 0)
	metaShared := metadatainformer.NewSharedInformerFactory(meta, 0)
	started := make(chan struct{})

	namespaces := namespace.NewNamespaceController(ctx, client, meta,
		client.Discovery().ServerPreferredNamespacedResources,
		shared.Core().V1().Namespaces(), namespaceResync, corev1.FinalizerKubernetes)

	roles := clusterroleaggregation.NewClusterRoleAggregation(
		shared.Rbac().V1().ClusterRoles(), client.RbacV1())

	ignored := map[schema.GroupResource]struct{}{}
	for resource := range garbagecollector.DefaultIgnoredResources() {
		ignored[resource] = struct{}{}
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	collector, err := garbagecollector.NewGarbageCollector(ctx, client, meta, mapper, ignored,
		informerfactory.NewInformerFactory(shared, metaShared), started)
	if err != nil {
		cancel()
		return nil, err
	}

	shared.Start(ctx.Done())
	metaShared.Start(ctx.Done())
	close(started)
	var running sync.WaitGroup
	running.Go(func() { namespaces.Run(ctx, controllerWorkers) })
	running.Go(func() { roles.Run(ctx, controllerWorkers) })
	running.Go(func() { collector.Run(ctx, controllerWorkers, collectorSync) })
	running.Go(func() { collector.Sync(ctx, client.Discovery(), collectorDiscover) })
	return func() {
		cancel()
		running.Wait()
		shared.Shutdown()
		metaShared.Shutdown()
	}, nil
}
