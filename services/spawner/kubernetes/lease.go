package kubernetes

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/services/spawner/kubernetes/kube"
)

// A candidacy is one process's view of a Lease that processes hold in turn, by the rules of client-go's leader election.
// Clocks of machines are not compared: a holder is gone if its Lease has not changed for its duration, by the clock of
// the one who looks.
type candidacy struct {
	in             *kube.Namespace
	name, identity string

	seen    *coordinationv1.Lease // the latest
	changed time.Time             // when it was first seen
}

// try takes the Lease, or renews it, and reports whether this process holds it.
func (c *candidacy) try(ctx context.Context) (bool, error) {
	now := time.Now()
	l, err := c.in.Leases.Get(ctx, c.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		l = &coordinationv1.Lease{}
		l.Name = c.name
		l.Spec = take(l.Spec, c.identity, now)
		l, err = c.in.Leases.Create(ctx, l, metav1.CreateOptions{FieldManager: fieldManager})
		return c.took(l, err)
	}
	if err != nil {
		return false, err
	}
	c.see(l, now)
	if !vacant(l.Spec, c.identity, now.Sub(c.changed)) {
		return false, nil
	}
	next := l.DeepCopy()
	next.Spec = take(l.Spec, c.identity, now)
	next, err = c.in.Leases.Update(ctx, next, metav1.UpdateOptions{FieldManager: fieldManager}) // unless it has changed
	return c.took(next, err)
}

// took records what was written. If another process was faster, there is no error.
func (c *candidacy) took(l *coordinationv1.Lease, err error) (bool, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.see(l, time.Now())
	return true, nil
}

func (c *candidacy) see(l *coordinationv1.Lease, now time.Time) {
	if c.seen == nil || c.seen.UID != l.UID || c.seen.ResourceVersion != l.ResourceVersion {
		c.seen, c.changed = l, now
	}
}

// release lets another process take the Lease at once.
func (c *candidacy) release(ctx context.Context) error {
	if !c.holds() {
		return nil
	}
	next := c.seen.DeepCopy()
	next.Spec = take(next.Spec, "", time.Now())
	next.Spec.LeaseDurationSeconds = new(int32(1))
	_, err := c.in.Leases.Update(ctx, next, metav1.UpdateOptions{FieldManager: fieldManager})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // somebody else has it
	}
	return err
}

// holds reports whether this process held the Lease when it last saw it.
func (c *candidacy) holds() bool { return c.seen != nil && holder(c.seen.Spec) == c.identity }

func holder(s coordinationv1.LeaseSpec) string {
	if s.HolderIdentity == nil {
		return ""
	}
	return *s.HolderIdentity
}

// vacant reports whether a process may take a Lease that has not changed for some time.
func vacant(s coordinationv1.LeaseSpec, identity string, unchanged time.Duration) bool {
	switch holder(s) {
	case "", identity:
		return true
	}
	lasts := electionLease
	if s.LeaseDurationSeconds != nil {
		lasts = time.Duration(*s.LeaseDurationSeconds) * time.Second
	}
	return unchanged > lasts
}

// take returns a Lease after a process has taken or renewed it.
func take(s coordinationv1.LeaseSpec, identity string, now time.Time) coordinationv1.LeaseSpec {
	if before := holder(s); before != identity || s.AcquireTime == nil {
		s.AcquireTime = &metav1.MicroTime{Time: now}
		transitions := int32(0)
		if s.LeaseTransitions != nil {
			transitions = *s.LeaseTransitions
			if identity != "" {
				transitions++
			}
		}
		s.LeaseTransitions = &transitions
	}
	s.HolderIdentity, s.RenewTime = &identity, &metav1.MicroTime{Time: now}
	s.LeaseDurationSeconds = new(int32(electionLease / time.Second))
	return s
}
