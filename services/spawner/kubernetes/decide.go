package kubernetes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// errRuns means that an executor cannot be forgotten.
var errRuns = errors.New("it is still running")

const (
	// lostAfter is how long after the end of its grace period a pod counts as lost.
	lostAfter = time.Minute
	// lookAgain is when to look up a pod again that exists but was not reported by the watch.
	lookAgain = 30 * time.Second
)

// A verb is an operation on an executor.
type verb int

const (
	start verb = iota
	drain
	giveUp
	protect
	forget
)

// A request is one call of the Backend.
type request struct {
	verb     verb
	executor string
	// book, for start, has no entries and the latest template.
	book book
	// own, for start, are the executor's own files, by their key in the Secret.
	own map[string][]byte
	// busy, for protect, is whether the executor has jobs.
	busy bool
}

// A view is the known state of one revision. Deciding does not change it.
type view struct {
	// book is the content of the record. Without a record (yet, or any more), it is the last known content.
	// It may lag behind the pods unless it is fresh.
	record *corev1.ConfigMap
	book   book
	fresh  bool
	// deployment is nil if there is none.
	deployment *appsv1.Deployment
	pods       map[string]*corev1.Pod
	// gone is the last known state of pods that no longer exist: nil for a pod that was not found when it was
	// looked up.
	gone map[string]*corev1.Pod
	// drained are executors that were told to exit, possibly before they ran.
	drained map[string]bool
	// busy are the executors with jobs, as reported to Protect.
	busy map[string]bool
	// failing is when pods got into a trouble that may be fatal.
	failing map[types.UID]time.Time
}

// A plan is what to do for a view.
type plan struct {
	// answers are the replies to the requests, in order; nil means success once the plan is carried out.
	answers []error
	// book is the new content of the record, to be written first.
	book book
	// replicas is the number of pods that the Deployment is to have.
	replicas int32
	// remove is true if no executor is left, so that the record and the Deployment are to be deleted.
	remove bool
	// refresh is true if a fresh book would allow more to be done.
	refresh bool
	// bind are pods to assign to their executors in the book, by pod.
	bind map[string]string
	// end are pods to delete, with their grace periods.
	end map[string]grace
	// mark are pods to mark as busy (true) or idle.
	mark map[string]bool
	// look are pods that should exist and were not seen.
	look []string
	// drained, busy and failing replace the view's.
	drained map[string]bool
	busy    map[string]bool
	failing map[types.UID]time.Time
	// wake is when to decide again although nothing has changed; 0 for never.
	wake time.Duration
}

// A grace is the time from a pod's SIGTERM to its SIGKILL, in seconds.
type grace int64

const (
	ownGrace    grace = -1 // that of the pod itself
	giveUpGrace       = grace(backend.GiveUpGrace / time.Second)
	noGrace     grace = 0 // the pod is removed, whatever its machine does
)

// longer reports whether g is longer than another grace.
func (g grace) longer(than grace) bool {
	return g != than && (g == ownGrace || than != ownGrace && g > than)
}

// decide returns what to do for a revision.
func (c Config) decide(v view, requests []request, now time.Time) plan {
	d := &decision{Config: c, view: v, now: now, plan: plan{
		book: v.book.clone(), bind: map[string]string{}, end: map[string]grace{},
		mark: map[string]bool{}, drained: map[string]bool{}, busy: map[string]bool{},
		failing: map[types.UID]time.Time{},
	}}
	for _, r := range requests {
		d.plan.answers = append(d.plan.answers, d.obey(r))
	}
	for i := range d.plan.book.Entries {
		d.follow(&d.plan.book.Entries[i])
	}
	d.assign()
	d.endStrays()
	d.scale()
	d.plan.remove = d.nothingLeft()
	return d.plan
}

// A decision is a plan in progress.
type decision struct {
	Config
	view
	now  time.Time
	plan plan
}

func (d *decision) obey(r request) error {
	i := d.plan.book.find(r.executor)
	switch {
	case r.verb == start && i < 0:
		d.start(r)
	case r.verb == start || i < 0: // it was already started, or it is gone
	case r.verb == forget:
		return d.forget(i)
	case r.verb == protect:
		d.plan.busy[r.executor] = r.busy
	default:
		d.dismiss(&d.plan.book.Entries[i], r.verb)
	}
	return nil
}

func (d *decision) start(r request) {
	b := &d.plan.book
	b.Progdef, b.Revision, b.Template = r.book.Progdef, r.book.Revision, r.book.Template
	b.Entries = append(b.Entries, entry{Executor: r.executor})
}

// forget removes an executor that has exited.
func (d *decision) forget(i int) error {
	e := d.plan.book.Entries[i]
	if e.Exit == nil {
		return errRuns
	}
	d.end(e.Pod, giveUpGrace)
	d.plan.book.Entries = slices.Delete(d.plan.book.Entries, i, i+1)
	return nil
}

// dismiss ends an executor. An executor without a pod has then exited.
func (d *decision) dismiss(e *entry, how verb) {
	d.plan.drained[e.Executor] = true
	if e.Exit == nil && e.Pod == "" {
		d.exit(e, drainedEarly())
	}
	if e.Exit == nil && how == giveUp {
		d.end(e.Pod, giveUpGrace)
	}
}

func drainedEarly() backend.Exit {
	return backend.Exit{Code: -1, Reason: "it was drained before it ran"}
}

// end deletes a pod, if it exists. Of two graces the shorter one counts.
func (d *decision) end(pod string, g grace) {
	if _, there := d.pods[pod]; !there {
		return
	}
	if before, planned := d.plan.end[pod]; !planned || before.longer(g) {
		d.plan.end[pod] = g
	}
}

// clear deletes a pod that is no longer needed, by force if it should have been gone long ago.
func (d *decision) clear(p *corev1.Pod, g grace) {
	switch {
	case p.DeletionTimestamp == nil:
		d.end(p.Name, g)
	case d.overdue(p):
		d.end(p.Name, noGrace)
	}
}

// overdue reports whether a pod that is being deleted should have been gone long ago, so that its machine is
// lost. On a live machine it may take longer: a kubelet ignores a grace period that is shortened while it waits
// for the end of a container (kubernetes/kubernetes#83916). An executor without a job when its machine was lost
// has nothing to finish, and so no grace period.
func (d *decision) overdue(p *corev1.Pod) bool {
	due := p.DeletionTimestamp.Time
	if g := p.DeletionGracePeriodSeconds; g != nil && !isBusy(p) && machineLost(p) {
		due = due.Add(-time.Duration(*g) * time.Second)
	}
	left := due.Add(lostAfter).Sub(d.now)
	if left > 0 {
		d.wakeIn(left)
		return false
	}
	return machineLost(p)
}

// exit records how an executor ended.
func (d *decision) exit(e *entry, x backend.Exit) {
	x.Instance = d.plan.book.instance(e.Executor)
	e.Exit = &x
}

// follow handles one executor: it records its end, and then removes what is left of it.
func (d *decision) follow(e *entry) {
	d.remember(e.Executor)
	p := d.pods[e.Pod]
	switch {
	case e.Pod == "":
	case p == nil:
		d.missing(e)
	case e.Exit == nil:
		d.watch(e, p)
	}
	if p != nil && e.Exit != nil {
		d.clear(p, giveUpGrace)
	}
}

// remember keeps the state of an executor for the next decision.
func (d *decision) remember(executor string) {
	if d.drained[executor] {
		d.plan.drained[executor] = true
	}
	busy, told := d.busy[executor]
	if _, now := d.plan.busy[executor]; told && !now {
		d.plan.busy[executor] = busy
	}
}

// missing handles an executor whose pod does not exist.
func (d *decision) missing(e *entry) {
	last, known := d.gone[e.Pod]
	switch {
	case e.Exit != nil:
	case !known:
		d.plan.look = append(d.plan.look, e.Pod)
		d.wakeIn(lookAgain)
	case last != nil && !scheduled(last) && !d.plan.drained[e.Executor]:
		e.Pod = "" // it has not run, so it may get another pod
	case last != nil && !scheduled(last):
		d.exit(e, drainedEarly())
	default:
		d.exit(e, vanished(last))
	}
}

// watch checks the pod of an executor that has not exited.
func (d *decision) watch(e *entry, p *corev1.Pod) {
	if x, ok := ended(p); ok {
		d.exit(e, d.judge(x, p))
		return
	}
	if p.DeletionTimestamp != nil {
		if d.overdue(p) {
			d.exit(e, lost(p))
		}
		return
	}
	if d.plan.drained[e.Executor] {
		d.end(p.Name, ownGrace)
		return
	}
	if gated(p) {
		d.plan.bind[p.Name] = e.Executor
		return
	}
	if busy, told := d.plan.busy[e.Executor]; told && busy != isBusy(p) {
		d.plan.mark[p.Name] = busy
	}
	if d.otherImage(p) {
		d.end(p.Name, ownGrace)
	}
	d.watchTrouble(e, p)
}

// watchTrouble ends an executor that will never run.
func (d *decision) watchTrouble(e *entry, p *corev1.Pod) {
	t := d.trouble(p)
	if t.advice == "" {
		return
	}
	since, known := d.failing[p.UID]
	if !known {
		since = d.now
	}
	d.plan.failing[p.UID] = since
	if left := since.Add(t.patience).Sub(d.now); left > 0 {
		d.wakeIn(left)
		return
	}
	d.exit(e, t.exit())
}

// judge adds what the exit itself does not contain. The first image that the revision ran is the one that its
// tag stands for.
func (d *decision) judge(x backend.Exit, p *corev1.Pod) backend.Exit {
	if d.otherImage(p) {
		x.Permanent = true
		x.Reason = fmt.Sprintf("the image %s now refers to another image: %s, not %s as for the first executors"+
			" of this revision; apply the progdef with the image's digest", imageOf(p), digest(p), d.plan.book.Image)
	}
	return x
}

// otherImage reports whether a pod runs another image than earlier pods with the same tag.
func (d *decision) otherImage(p *corev1.Pod) bool {
	found := digest(p)
	if found == "" || strings.Contains(imageOf(p), "@") {
		return false
	}
	if d.plan.book.Image == "" {
		d.plan.book.Image = found
	}
	return found != d.plan.book.Image
}

// assign assigns free pods to executors without a pod.
func (d *decision) assign() {
	if d.shrinking() {
		return
	}
	free := d.free()
	for i := range d.plan.book.Entries {
		e := &d.plan.book.Entries[i]
		if len(free) == 0 {
			return
		}
		if e.Pod == "" && e.Exit == nil {
			e.Pod, free = free[0], free[1:]
			d.plan.bind[e.Pod] = e.Executor
		}
	}
}

// shrinking reports whether the ReplicaSet may be about to delete pods: it chooses those that have not been scheduled,
// which an executor could have been given in the meantime. The Deployment is seen again when its controller has followed.
func (d *decision) shrinking() bool {
	if d.deployment == nil || d.deployment.Spec.Replicas == nil {
		return false
	}
	var pods int32
	for _, p := range d.pods {
		if active(p) {
			pods++
		}
	}
	return pods > *d.deployment.Spec.Replicas || d.deployment.Status.ObservedGeneration < d.deployment.Generation
}

// free returns the pods that are not assigned and were made from the latest template.
func (d *decision) free() []string {
	given := map[string]bool{}
	for _, b := range []book{d.book, d.plan.book} {
		for _, e := range b.Entries {
			given[e.Pod] = true
		}
	}
	hash := d.plan.book.Template.hash()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(d.pods)) {
		p := d.pods[name]
		if active(p) && gated(p) && !bound(p) && !given[name] && p.Annotations[annotationTemplate] == hash {
			out = append(out, name)
		}
	}
	return out
}

// bound reports whether a pod is assigned to an executor.
func bound(p *corev1.Pod) bool { return p.Labels[labelExecutor] != "" }

func isBusy(p *corev1.Pod) bool { return p.Labels[labelBusy] == "true" }

// endStrays drains the pods of executors that the book does not know, and pods that lost their gate before they
// were assigned.
func (d *decision) endStrays() {
	owner := map[string]string{}
	for _, e := range d.plan.book.Entries {
		owner[e.Pod] = e.Executor
	}
	for _, p := range d.pods {
		_, ending := d.plan.end[p.Name]
		mine := bound(p) && owner[p.Name] == p.Labels[labelExecutor]
		if ending || mine || !bound(p) && gated(p) {
			continue
		}
		if !d.fresh && p.DeletionTimestamp == nil {
			d.plan.refresh = true // another Backend may have started it just now
			continue
		}
		d.clear(p, ownGrace)
	}
}

// nothingLeft reports whether the record and the Deployment can be deleted. The pods of a Deployment without a
// record are deleted with it.
func (d *decision) nothingLeft() bool {
	if len(d.plan.book.Entries) > 0 {
		return false
	}
	if d.record != nil {
		return len(d.pods) == 0
	}
	d.plan.refresh = d.plan.refresh || !d.fresh && d.deployment != nil
	return d.fresh
}

// scale sets the number of pods. The replica count is never lowered on stale information.
func (d *decision) scale() {
	d.plan.replicas = d.replicas()
	if d.deployment != nil && d.deployment.Spec.Replicas != nil && d.plan.replicas < *d.deployment.Spec.Replicas {
		d.plan.refresh = d.plan.refresh || !d.fresh
	}
}

// replicas counts the pods that belong to executors and are not being deleted, and those still to be created or
// seen. It counts a pod that this plan ends: the ReplicaSet's count may be lowered only after the pod is seen to
// be deleted, or it might choose another pod.
func (d *decision) replicas() int32 {
	given := map[string]bool{}
	var n int32
	for _, e := range d.plan.book.Entries {
		given[e.Pod] = true
		if d.pods[e.Pod] == nil && e.Exit == nil {
			n++
		}
	}
	for name, p := range d.pods {
		if active(p) && (bound(p) || given[name]) {
			n++
		}
	}
	return n
}

func (d *decision) wakeIn(after time.Duration) {
	if d.plan.wake == 0 || after < d.plan.wake {
		d.plan.wake = after
	}
}

func imageOf(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}
