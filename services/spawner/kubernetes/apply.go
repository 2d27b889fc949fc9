package kubernetes

import (
	"context"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dagyo/dagyo/services/spawner/kubernetes/kube"
)

// deployment returns the Deployment for a book.
func (b *Backend) deployment(name string, of book, replicas int32) (*appsv1.Deployment, error) {
	t, err := of.Template.decode()
	if err != nil {
		return nil, err
	}
	hash := map[string]string{annotationTemplate: of.Template.hash()}
	t.Annotations = hash
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: b.cfg.Namespace, Labels: b.labels(name, of), Annotations: hash, OwnerReferences: b.owners,
		},
		Spec: appsv1.DeploymentSpec{
			Replicas:             &replicas,
			RevisionHistoryLimit: new(int32(0)),
			// An executor may wait for a machine for an unlimited time.
			ProgressDeadlineSeconds: new(int32(noDeadline)),
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{
					MaxUnavailable: new(intstr.FromInt32(1)), MaxSurge: new(intstr.FromInt32(0)),
				},
			},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{labelSet: name}},
			Template: t,
		},
	}, nil
}

// noDeadline is the value for a Deployment that may take forever.
const noDeadline = 1<<31 - 1

func (b *Backend) labels(name string, of book) map[string]string {
	out := placeLabels(b.cfg.Place)
	maps.Copy(out, map[string]string{labelSet: name, labelProgdef: of.Progdef, labelRevision: of.Revision})
	return out
}

// settled reports whether a Deployment is in the desired state.
func (b *Backend) settled(d *appsv1.Deployment, of book, replicas int32) bool {
	return d != nil && d.Spec.Replicas != nil && *d.Spec.Replicas == replicas &&
		d.Annotations[annotationTemplate] == of.Template.hash() && b.owns(d)
}

// owns reports whether a Deployment belongs to the Backend's owner.
func (b *Backend) owns(d *appsv1.Deployment) bool {
	for _, owner := range b.owners {
		if !slices.ContainsFunc(d.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == owner.UID }) {
			return false
		}
	}
	return true
}

// apply applies a Deployment; with try, as a dry run.
func (b *Backend) apply(
	ctx context.Context, name string, of book, replicas int32, try bool,
) (*appsv1.Deployment, error) {
	d, err := b.deployment(name, of, replicas)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	return kube.Apply(ctx, b.in.Deployments, d, fieldManager, try)
}

// try makes a dry run of a template that the API server has not seen, before anything is stored. Faults of
// the progdef are a *backend.StartError.
func (b *Backend) try(ctx context.Context, name string, of book) error {
	b.mu.Lock()
	s := b.sets[name]
	known := s != nil && s.tried == of.Template
	b.mu.Unlock()
	if known {
		return nil
	}
	if _, err := b.apply(ctx, name, of, 1, true); err != nil {
		return refusal(err, of.Template)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(name).tried = of.Template
	return nil
}

// write stores a book in its record if it differs, and returns the record. A conflict means that the record
// has changed since the view was taken.
func (b *Backend) write(ctx context.Context, name string, v view, of book) (*corev1.ConfigMap, error) {
	data, err := of.encode()
	if err != nil {
		return nil, err
	}
	if v.record != nil && maps.Equal(v.record.Data, data) || v.record == nil && len(of.Entries) == 0 {
		return v.record, nil
	}
	if len(of.Entries) > len(v.book.Entries) && full(data) {
		return nil, errFull
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	written, err := b.put(ctx, name, v.record, of, data)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.set(name).see(written) {
		b.tellNews()
	}
	return written, nil
}

// put creates or replaces a record.
func (b *Backend) put(
	ctx context.Context, name string, before *corev1.ConfigMap, of book, data map[string]string,
) (*corev1.ConfigMap, error) {
	if before != nil {
		next := before.DeepCopy()
		next.Data = data
		return b.in.ConfigMaps.Update(ctx, next, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	next := &corev1.ConfigMap{Data: data}
	next.Name, next.Namespace, next.Labels = name, b.cfg.Namespace, b.labels(name, of)
	next.OwnerReferences = b.owners
	return b.in.ConfigMaps.Create(ctx, next, metav1.CreateOptions{FieldManager: fieldManager})
}

// refresh reads a record again. If the record is gone and no watch has reported that yet, it returns an error:
// the record's last content is unknown.
func (b *Backend) refresh(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	m, err := b.in.ConfigMaps.Get(ctx, name, metav1.GetOptions{})
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.set(name)
	if apierrors.IsNotFound(err) && s.record == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if s.see(m) {
		b.tellNews()
	}
	return nil
}

// applyBudget keeps the cluster from evicting executors with jobs.
func (b *Backend) applyBudget(ctx context.Context) error {
	busy := placeLabels(b.cfg.Place)
	busy[labelBusy] = "true"
	_, err := kube.Apply(ctx, b.in.Budgets, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{
			Name: budgetName(b.cfg.Place), Namespace: b.cfg.Namespace, Labels: placeLabels(b.cfg.Place), OwnerReferences: b.owners,
		},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(0)), Selector: &metav1.LabelSelector{MatchLabels: busy},
		},
	}, fieldManager, false)
	return err
}
