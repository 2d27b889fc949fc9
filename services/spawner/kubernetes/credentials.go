package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// ownEntries returns an executor's own files by their key in the Secret: its id for its credentials, and the name of a
// file that all have. An id contains no dot.
func ownEntries(spec backend.Spec) map[string][]byte {
	out := make(map[string][]byte)
	for _, f := range spec.OwnFiles() {
		key := f.Name
		if f.Variable == contract.EnvCreds {
			key = spec.Executor
		}
		out[key] = f.Content
	}
	return out
}

// storeCredentials stores the credentials of executors to start, unless they are in the book already: then their
// credentials were stored before.
func (b *Backend) storeCredentials(ctx context.Context, name string, requests []request) error {
	v, err := b.view(name, false)
	if err != nil {
		return err
	}
	data := make(map[string][]byte)
	var of book
	for _, r := range requests {
		if r.verb == start && v.book.find(r.executor) < 0 {
			maps.Copy(data, r.own)
			of = r.book
		}
	}
	if len(data) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	if _, err = b.patchCredentials(ctx, name, data); apierrors.IsNotFound(err) {
		err = b.createCredentials(ctx, name, of, data)
	}
	if apierrors.IsAlreadyExists(err) { // another Backend was faster
		_, err = b.patchCredentials(ctx, name, data)
	}
	if err != nil {
		return fmt.Errorf("storing the credentials: %w", err)
	}
	return nil
}

func (b *Backend) createCredentials(ctx context.Context, name string, of book, data map[string][]byte) error {
	s := &corev1.Secret{Data: data, Type: corev1.SecretTypeOpaque}
	s.Name, s.Namespace, s.Labels, s.OwnerReferences = name, b.cfg.Namespace, b.labels(name, of), b.owners
	_, err := b.in.Secrets.Create(ctx, s, metav1.CreateOptions{FieldManager: fieldManager})
	return err
}

// patchCredentials sets the credentials of executors, or removes them if they are nil. Without any, it changes nothing.
func (b *Backend) patchCredentials(ctx context.Context, name string, data map[string][]byte) (*corev1.Secret, error) {
	text, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return nil, err
	}
	return b.in.Secrets.Patch(ctx, name, types.MergePatchType, text,
		metav1.PatchOptions{FieldManager: fieldManager})
}

// dropCredentials removes the credentials of executors that a plan forgets.
func (b *Backend) dropCredentials(ctx context.Context, name string, p plan, requests []request) error {
	data := make(map[string][]byte)
	for i, r := range requests {
		if r.verb == forget && p.answers[i] == nil {
			data[r.executor] = nil
		}
	}
	if len(data) == 0 || !p.book.Template.hasCredentials() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	if _, err := b.patchCredentials(ctx, name, data); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing credentials: %w", err)
	}
	return nil
}

// credentialsOf returns the Secret of a revision, as far as it is needed to remove it unless it changes; nil for none.
// Without a record (template ""), there may be one.
func (b *Backend) credentialsOf(ctx context.Context, name string, t template) (*corev1.Secret, error) {
	if t != "" && !t.hasCredentials() {
		return nil, nil
	}
	s, err := b.patchCredentials(ctx, name, map[string][]byte{})
	if apierrors.IsNotFound(err) || t == "" && apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for credentials: %w", err)
	}
	return s, nil
}

// removeCredentials removes a Secret, unless an executor has been started since.
func (b *Backend) removeCredentials(ctx context.Context, s *corev1.Secret) error {
	if s == nil {
		return nil
	}
	err := b.in.Secrets.Delete(ctx, s.Name, unchanged(s))
	if err != nil && !gone(err) {
		return fmt.Errorf("removing the credentials: %w", err)
	}
	return nil
}
