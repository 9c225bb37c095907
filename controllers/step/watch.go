package step

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// EnqueueNeighbours reacts to a change of a watched object by enqueueing the
// objects of list's kind for which refers says that they depend on it.
func EnqueueNeighbours(c client.Client, list client.ObjectList, refers func(item, changed client.Object) bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, changed client.Object) []reconcile.Request {
		l := list.DeepCopyObject().(client.ObjectList)
		if err := c.List(ctx, l); err != nil {
			return nil // the object is looked at again on its own interval
		}
		var requests []reconcile.Request
		_ = meta.EachListItem(l, func(o runtime.Object) error {
			item, ok := o.(client.Object)
			if ok && refers(item, changed) {
				requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: item.GetNamespace(), Name: item.GetName()}})
			}
			return nil
		})
		return requests
	})
}
