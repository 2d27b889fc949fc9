package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// writeAttempts is how often a book is read again because another Backend was faster.
	writeAttempts = 10
	// podCalls is how many pods of a revision are changed at the same time.
	podCalls = 32
	// firstRetry and lastRetry are the pauses after the first and after many failures in a row.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// ask submits a request and waits until it is carried out.
func (b *Backend) ask(ctx context.Context, name string, r request) error {
	c := &call{request: r, done: make(chan error, 1)}
	b.mu.Lock()
	s := b.set(name)
	s.requests = append(s.requests, c)
	b.mu.Unlock()
	b.queue.Add(name)
	select {
	case err := <-c.done:
		return err
	case <-b.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setOf returns the set of an executor, or "" if no book contains it.
func (b *Backend) setOf(executor string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, s := range b.sets {
		if s.book.find(executor) >= 0 {
			return name
		}
	}
	return ""
}

// work handles sets from the queue, until the queue is shut down.
func (b *Backend) work(ctx context.Context) {
	for {
		name, shutdown := b.queue.Get()
		if shutdown {
			return
		}
		b.lookAfter(ctx, name)
		b.queue.Done(name)
	}
}

// lookAfter makes a pass over a set, and another one later if that fails.
func (b *Backend) lookAfter(ctx context.Context, name string) {
	calls := b.take(name)
	answers, err := b.pass(ctx, name, calls)
	for i, c := range calls {
		if err != nil {
			c.done <- err
		} else {
			c.done <- answers[i]
		}
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		b.cfg.Logger.Warn("cannot reconcile a revision; trying again", "deployment", name, "error", err)
		b.queue.AddRateLimited(name)
	default:
		b.queue.Forget(name)
	}
}

// take takes the pending requests.
func (b *Backend) take(name string) []*call {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.set(name)
	calls := s.requests
	s.requests = nil
	return calls
}

// pass decides what to do for a set, and does it.
func (b *Backend) pass(ctx context.Context, name string, calls []*call) ([]error, error) {
	requests := make([]request, len(calls))
	for i, c := range calls {
		requests[i] = c.request
	}
	if err := b.storeCredentials(ctx, name, requests); err != nil {
		return nil, err
	}
	v, p, err := b.decideAndWrite(ctx, name, requests)
	if err != nil {
		return nil, err
	}
	if p.wake > 0 {
		b.queue.AddAfter(name, p.wake)
	}
	if p.remove {
		err = b.remove(ctx, name, v)
	} else {
		err = errors.Join(b.scale(ctx, name, v, p), b.changePods(ctx, name, v, p), b.dropCredentials(ctx, name, p, requests))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.set(name).empty() {
		delete(b.sets, name)
	}
	return p.answers, err
}

// decideAndWrite decides, and stores the decision in the record before anything is done about it. The view
// that it returns contains the stored record.
func (b *Backend) decideAndWrite(ctx context.Context, name string, requests []request) (view, plan, error) {
	fresh := false
	for range writeAttempts {
		v, err := b.view(name, fresh)
		if err != nil {
			return v, plan{}, err
		}
		p := b.cfg.decide(v, requests, time.Now())
		if !p.refresh {
			v.record, err = b.write(ctx, name, v, p.book)
		}
		switch {
		case err == nil && !p.refresh:
			b.settle(name, p)
			return v, p, nil
		case err != nil && !gone(err) && !apierrors.IsAlreadyExists(err):
			return v, p, fmt.Errorf("writing the record: %w", err)
		}
		if err := b.refresh(ctx, name); err != nil {
			return v, p, fmt.Errorf("reading the record: %w", err)
		}
		fresh = true
	}
	return view{}, plan{}, fmt.Errorf("writing the record: others changed it %d times in a row", writeAttempts)
}

// view returns the known state of a set.
func (b *Backend) view(name string, fresh bool) (view, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.set(name)
	return s.view(fresh), s.broken
}

func (b *Backend) settle(name string, p plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(name).settle(p)
}

// scale makes the Deployment match the plan.
func (b *Backend) scale(ctx context.Context, name string, v view, p plan) error {
	if p.book.Template == "" || b.settled(v.deployment, p.book, p.replicas) {
		return nil
	}
	applied, err := b.apply(ctx, name, p.book, p.replicas, false)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(name).refused = ""
	if err == nil {
		b.set(name).seeDeployment(applied) // the watch reports it later, and pods of the old count may be seen until then
	}
	if err != nil {
		b.set(name).refused = sentence(err.Error())
		return fmt.Errorf("applying the Deployment: %w", err)
	}
	return nil
}

// remove deletes the record, the credentials and the Deployment, unless they have changed since: then the watches report it,
// and a new decision is made.
func (b *Backend) remove(ctx context.Context, name string, v view) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	secret, err := b.credentialsOf(ctx, name, v.book.Template)
	if err != nil {
		return err
	}
	if v.record != nil {
		err := b.in.ConfigMaps.Delete(ctx, name, unchanged(v.record))
		if apierrors.IsConflict(err) {
			return nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("removing the record: %w", err)
		}
		b.mu.Lock()
		b.set(name).lose(v.record, false)
		b.mu.Unlock()
	}
	if err := b.removeCredentials(ctx, secret); err != nil {
		return err
	}
	if v.deployment == nil {
		return nil
	}
	err = b.in.Deployments.Delete(ctx, name, unchanged(v.deployment))
	if err != nil && !gone(err) {
		return fmt.Errorf("removing the Deployment: %w", err)
	}
	return nil
}

// unchanged makes a deletion fail if its object has changed.
func unchanged(o metav1.Object) metav1.DeleteOptions {
	uid, version := o.GetUID(), o.GetResourceVersion()
	background := metav1.DeletePropagationBackground
	return metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		PropagationPolicy: &background,
	}
}

// gone reports whether a call failed only because its object no longer exists, or has changed: then the
// watches report it, and a new decision is made.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// changePods makes the plan's changes to pods, and waits for all of them.
func (b *Backend) changePods(ctx context.Context, name string, v view, p plan) error {
	var todo []func(context.Context) error
	do := func(pod string, f func(context.Context, *corev1.Pod) error) {
		todo = append(todo, func(ctx context.Context) error { return f(ctx, v.pods[pod]) })
	}
	for pod, executor := range p.bind {
		do(pod, func(ctx context.Context, seen *corev1.Pod) error { return b.bind(ctx, seen, executor) })
	}
	for pod, busy := range p.mark {
		do(pod, func(ctx context.Context, seen *corev1.Pod) error { return b.patch(ctx, seen, marks(busy)) })
	}
	for pod, g := range p.end {
		do(pod, func(ctx context.Context, seen *corev1.Pod) error { return b.end(ctx, seen, g) })
	}
	for _, pod := range p.look {
		todo = append(todo, func(ctx context.Context) error { return b.look(ctx, name, pod) })
	}
	return b.all(ctx, todo)
}

// all makes calls, some at the same time, and waits for them.
func (b *Backend) all(ctx context.Context, todo []func(context.Context) error) error {
	var running sync.WaitGroup
	errs := make([]error, len(todo))
	room := make(chan struct{}, podCalls)
	for i, f := range todo {
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
			defer cancel()
			errs[i] = f(ctx)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// A merge is a JSON merge patch of a pod.
type merge struct {
	Metadata struct {
		UID             types.UID         `json:"uid"`
		ResourceVersion string            `json:"resourceVersion,omitempty"`
		Labels          map[string]string `json:"labels,omitempty"`
		Annotations     map[string]string `json:"annotations,omitempty"`
	} `json:"metadata"`
	Spec *ungated `json:"spec,omitempty"`
}

type ungated struct {
	SchedulingGates []corev1.PodSchedulingGate `json:"schedulingGates"`
}

// Costs of deleting a pod, for a ReplicaSet: pods without an executor have none.
const (
	costBusy = "1000"
	costIdle = "1"
)

// marks mark whether an executor has jobs.
func marks(busy bool) merge {
	var m merge
	m.Metadata.Labels = map[string]string{labelBusy: "false"}
	m.Metadata.Annotations = map[string]string{annotationEvict: "true", annotationCost: costIdle}
	if busy {
		m.Metadata.Labels = map[string]string{labelBusy: "true"}
		m.Metadata.Annotations = map[string]string{annotationEvict: "false", annotationCost: costBusy}
	}
	return m
}

// bind allows an executor's pod to be scheduled. The pod must be unchanged: the gates of others stay.
func (b *Backend) bind(ctx context.Context, p *corev1.Pod, executor string) error {
	m := marks(true)
	m.Metadata.ResourceVersion = p.ResourceVersion
	m.Metadata.Labels[labelExecutor] = executor
	m.Spec = &ungated{SchedulingGates: otherGates(p)}
	return b.patch(ctx, p, m)
}

func (b *Backend) patch(ctx context.Context, p *corev1.Pod, m merge) error {
	m.Metadata.UID = p.UID
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = b.in.Pods.Patch(ctx, p.Name, types.MergePatchType, text,
		metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil && !gone(err) {
		return fmt.Errorf("changing the pod %s: %w", p.Name, err)
	}
	return nil
}

// end deletes a pod.
func (b *Backend) end(ctx context.Context, p *corev1.Pod, g grace) error {
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}}
	if g != ownGrace {
		options.GracePeriodSeconds = (*int64)(&g)
	}
	err := b.in.Pods.Delete(ctx, p.Name, options)
	if err != nil && !gone(err) {
		return fmt.Errorf("deleting the pod %s: %w", p.Name, err)
	}
	return nil
}

// look finds out whether a pod that no watch reports exists.
func (b *Backend) look(ctx context.Context, name, pod string) error {
	_, err := b.in.Pods.Get(ctx, pod, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("looking for the pod %s: %w", pod, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.set(name); s.pods[pod] == nil {
		if _, known := s.gone[pod]; !known {
			s.gone[pod] = nil
		}
		b.queue.Add(name)
	}
	return nil
}
