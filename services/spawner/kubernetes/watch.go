package kubernetes

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/dagyo/dagyo/services/spawner/kubernetes/kube"
)

// watch starts the informers, and waits for their initial lists. They end with ctx.
func (b *Backend) watch(ctx, opening context.Context) error {
	synced := make([]cache.InformerSynced, 0, 3)
	for _, w := range []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{kube.NewInformer(b.in.ConfigMaps, b.selector()), handler(b, (*set).see, (*set).lose)},
		{kube.NewInformer(b.in.Deployments, b.selector()), handler(b, (*set).seeDeployment, (*set).loseDeployment)},
		{kube.NewInformer(b.in.Pods, b.selector()), handler(b, (*set).seePod, (*set).losePod)},
	} {
		if err := w.informer.SetTransform(withoutManagers); err != nil {
			return err
		}
		registration, err := w.informer.AddEventHandler(w.handler)
		if err != nil {
			return err
		}
		synced = append(synced, registration.HasSynced)
		b.running.Go(func() { w.informer.RunWithContext(ctx) })
	}
	if !cache.WaitForCacheSync(opening.Done(), synced...) {
		return fmt.Errorf("reading the namespace %q took longer than %s", b.cfg.Namespace, b.cfg.CallTimeout)
	}
	return nil
}

// withoutManagers saves memory: the managers of fields are not used here.
func withoutManagers(object any) (any, error) {
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}

// handler passes an informer's events to the set of the object. lose gets whether the informer missed the last
// state of the object.
func handler[T metav1.Object](
	b *Backend, see func(*set, T) bool, lose func(s *set, o T, missed bool),
) cache.ResourceEventHandler {
	note := func(object any) {
		if o, ok := object.(T); ok {
			b.change(o, func(s *set) bool { return see(s, o) })
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    note,
		UpdateFunc: func(_, object any) { note(object) },
		DeleteFunc: func(object any) {
			last, missed := object.(cache.DeletedFinalStateUnknown)
			if missed {
				object = last.Obj
			}
			if o, ok := object.(T); ok {
				b.change(o, func(s *set) bool { lose(s, o, missed); return true })
			}
		},
	}
}

// change changes a set, and queues it if the change was new.
func (b *Backend) change(o metav1.Object, f func(*set) bool) {
	name := o.GetLabels()[labelSet]
	if name == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f(b.set(name)) {
		b.queue.Add(name)
		b.tellNews()
	}
}

// set returns a set, which may be new. The caller must hold mu.
func (b *Backend) set(name string) *set {
	s := b.sets[name]
	if s == nil {
		s = newSet()
		b.sets[name] = s
	}
	return s
}

func (s *set) seeDeployment(d *appsv1.Deployment) bool {
	if s.deployment != nil && !newer(d, s.deployment) {
		return false
	}
	s.deployment = d
	return true
}

func (s *set) loseDeployment(d *appsv1.Deployment, _ bool) {
	if s.deployment != nil && s.deployment.UID == d.UID {
		s.deployment = nil
	}
}

func (s *set) seePod(p *corev1.Pod) bool {
	s.pods[p.Name] = p
	return true
}

// losePod keeps the last state of a pod, if that determines its end.
func (s *set) losePod(p *corev1.Pod, missed bool) {
	delete(s.pods, p.Name)
	s.gone[p.Name] = p
	if _, told := ended(p); missed && !told {
		s.gone[p.Name] = nil
	}
}
