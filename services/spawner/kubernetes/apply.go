package kubernetes

import (
	"context"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	aappsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	ametav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	apolicyv1 "k8s.io/client-go/applyconfigurations/policy/v1"
)

// deployment returns the Deployment for a book.
func (b *Backend) deployment(name string, of book, replicas int32) (*aappsv1.DeploymentApplyConfiguration, error) {
	t, err := of.Template.decode()
	if err != nil {
		return nil, err
	}
	hash := map[string]string{annotationTemplate: of.Template.hash()}
	d := aappsv1.Deployment(name, b.cfg.Namespace).
		WithLabels(b.labels(name, of)).
		WithAnnotations(hash).
		WithSpec(aappsv1.DeploymentSpec().
			WithReplicas(replicas).
			WithRevisionHistoryLimit(0).
			// An executor may wait for a machine for an unlimited time.
			WithProgressDeadlineSeconds(noDeadline).
			WithStrategy(aappsv1.DeploymentStrategy().
				WithType(appsv1.RollingUpdateDeploymentStrategyType).
				WithRollingUpdate(aappsv1.RollingUpdateDeployment().
					WithMaxUnavailable(intstr.FromInt32(1)).WithMaxSurge(intstr.FromInt32(0)))).
			WithSelector(ametav1.LabelSelector().WithMatchLabels(map[string]string{labelSet: name})).
			WithTemplate(t.WithAnnotations(hash)))
	if b.owner != nil {
		d.WithOwnerReferences(b.owner)
	}
	return d, nil
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
	if b.owner == nil {
		return true
	}
	for _, o := range d.OwnerReferences {
		if o.UID == *b.owner.UID {
			return true
		}
	}
	return false
}

// apply applies a Deployment; with try, as a dry run.
func (b *Backend) apply(
	ctx context.Context, name string, of book, replicas int32, try bool,
) (*appsv1.Deployment, error) {
	d, err := b.deployment(name, of, replicas)
	if err != nil {
		return nil, err
	}
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	if try {
		options.DryRun = []string{metav1.DryRunAll}
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	return b.client.AppsV1().Deployments(b.cfg.Namespace).Apply(ctx, d, options)
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
	records := b.client.CoreV1().ConfigMaps(b.cfg.Namespace)
	if before != nil {
		next := before.DeepCopy()
		next.Data = data
		return records.Update(ctx, next, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	next := &corev1.ConfigMap{Data: data}
	next.Name, next.Namespace, next.Labels = name, b.cfg.Namespace, b.labels(name, of)
	next.OwnerReferences = b.owners()
	return records.Create(ctx, next, metav1.CreateOptions{FieldManager: fieldManager})
}

// owners returns the owner of executors, if there is one.
func (b *Backend) owners() []metav1.OwnerReference {
	if b.owner == nil {
		return nil
	}
	return []metav1.OwnerReference{{
		APIVersion: *b.owner.APIVersion, Kind: *b.owner.Kind, Name: *b.owner.Name, UID: *b.owner.UID,
	}}
}

// refresh reads a record again. If the record is gone and no watch has reported that yet, it returns an error:
// the record's last content is unknown.
func (b *Backend) refresh(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	m, err := b.client.CoreV1().ConfigMaps(b.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
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
	name := budgetName(b.cfg.Place)
	budget := apolicyv1.PodDisruptionBudget(name, b.cfg.Namespace).
		WithLabels(placeLabels(b.cfg.Place)).
		WithSpec(apolicyv1.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(0)).
			WithSelector(ametav1.LabelSelector().WithMatchLabels(busy)))
	if b.owner != nil {
		budget.WithOwnerReferences(b.owner)
	}
	_, err := b.client.PolicyV1().PodDisruptionBudgets(b.cfg.Namespace).
		Apply(ctx, budget, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}
