//go:build linux

package cluster

import (
	"context"
	"fmt"
	"log"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// serveObjects does the work of a cluster's add-ons: it serves DNS for services and provisions volumes until the
// context ends.
func (c *components) serveObjects(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	names := newNames(factory)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	react := func(object any) {
		if err := provision(ctx, client, object.(*corev1.PersistentVolumeClaim)); err != nil {
			log.Print(err)
		}
	}
	if _, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    react,
		UpdateFunc: func(_, object any) { react(object) },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	c.group.Go(func() error {
		<-ctx.Done()
		factory.Shutdown()
		return nil
	})
	factory.WaitForCacheSync(ctx.Done())

	if err := addStorageClass(ctx, client); err != nil {
		return fmt.Errorf("add the storage class: %w", err)
	}
	if err := c.serveNames(ctx, names); err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	return nil
}
