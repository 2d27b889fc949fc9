package kubernetes

import (
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A set is everything known about one revision. Backend.mu guards it; the objects in it are shared with the
// watches and never modified.
type set struct {
	record     *corev1.ConfigMap // the newest seen; nil for none
	book       book              // its content, or last content
	broken     error             // why it cannot be read
	deployment *appsv1.Deployment
	pods       map[string]*corev1.Pod
	gone       map[string]*corev1.Pod

	drained map[string]bool
	busy    map[string]bool
	failing map[types.UID]time.Time

	requests []*call
	// tried is the last template that the API server accepted.
	tried template
	// refused is why it last rejected the Deployment.
	refused string
	// reported are the executors whose exits were delivered, or are about to be.
	reported map[string]bool
}

// A call is a request with a waiting caller.
type call struct {
	request
	done chan error // has room for the answer
}

func newSet() *set {
	return &set{
		pods: map[string]*corev1.Pod{}, gone: map[string]*corev1.Pod{}, reported: map[string]bool{},
	}
}

// see records a record, if it is new.
func (s *set) see(m *corev1.ConfigMap) bool {
	if s.record != nil && !newer(m, s.record) {
		return false
	}
	s.record = m
	s.read(m)
	return true
}

// read takes over the content of a record.
func (s *set) read(m *corev1.ConfigMap) {
	b, err := decodeBook(m)
	s.broken = err
	if err == nil {
		s.book = b
	}
}

// lose records the deletion of a record. Its last content still counts: if it contains executors, the record was
// deleted by someone else, and is created again.
func (s *set) lose(m *corev1.ConfigMap, _ bool) {
	if s.record == nil || s.record.UID != m.UID {
		return
	}
	if newer(m, s.record) {
		s.read(m)
	}
	s.record = nil
}

func newer(a, b metav1.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err != nil || order > 0
}

// view returns a copy to decide on.
func (s *set) view(fresh bool) view {
	return view{
		record: s.record, book: s.book, fresh: fresh, deployment: s.deployment,
		pods: maps.Clone(s.pods), gone: maps.Clone(s.gone),
		drained: s.drained, busy: s.busy, failing: s.failing,
	}
}

// settle keeps the state that a plan wants to keep.
func (s *set) settle(p plan) {
	s.drained, s.busy, s.failing = p.drained, p.busy, p.failing
	given := map[string]bool{}
	for _, e := range s.book.Entries {
		given[e.Pod] = true
	}
	maps.DeleteFunc(s.gone, func(pod string, _ *corev1.Pod) bool { return !given[pod] })
}

// empty reports whether the set contains no information.
func (s *set) empty() bool {
	return s.record == nil && len(s.book.Entries) == 0 && s.deployment == nil && len(s.pods) == 0 &&
		len(s.requests) == 0
}

// list returns the executors of a set that have not exited.
func (c Config) list(s *set) []backend.Status {
	var out []backend.Status
	for _, e := range s.book.Entries {
		if e.Exit == nil {
			out = append(out, backend.Status{
				Instance: s.book.instance(e.Executor), Waiting: c.waiting(s, e),
			})
		}
	}
	return out
}

// waiting explains what keeps an executor from running.
func (c Config) waiting(s *set, e entry) string {
	if p := s.pods[e.Pod]; p != nil {
		return c.trouble(p).words
	}
	if s.refused != "" {
		return "waiting for its pod: " + s.refused
	}
	if s.deployment == nil {
		return ""
	}
	for _, cond := range s.deployment.Status.Conditions {
		if cond.Type == appsv1.DeploymentReplicaFailure && cond.Status == corev1.ConditionTrue {
			return "waiting for its pod: " + sentence(cond.Message)
		}
	}
	return ""
}
