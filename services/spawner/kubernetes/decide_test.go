package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const testTemplate = template(`{"spec":{}}`)

// A podOption modifies a test pod.
type podOption func(*corev1.Pod)

// free is a pod as a ReplicaSet creates it, not assigned to an executor.
func free(name string, options ...podOption) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID("uid of " + name), Labels: map[string]string{},
			Annotations: map[string]string{annotationTemplate: testTemplate.hash()},
		},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: gate}},
			Containers:      []corev1.Container{{Name: container, Image: "registry.example/tester:1"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, o := range options {
		o(p)
	}
	return p
}

// waits is a pod that is assigned to an executor and has no machine yet.
func waits(name, executor string, options ...podOption) *corev1.Pod {
	return free(name, append([]podOption{func(p *corev1.Pod) {
		p.Spec.SchedulingGates = nil
		p.Labels[labelExecutor], p.Labels[labelBusy] = executor, "true"
	}}, options...)...)
}

// runs is a pod whose program is running.
func runs(name, executor string, options ...podOption) *corev1.Pod {
	return waits(name, executor, append([]podOption{func(p *corev1.Pod) {
		p.Spec.NodeName = "m1"
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: container, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}
	}}, options...)...)
}

func deleted(at time.Time) podOption {
	return func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: at} }
}

func idle(p *corev1.Pod) { p.Labels[labelBusy] = "false" }

func phase(phase corev1.PodPhase) podOption {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func terminatedWith(code int32, reason, message string) podOption {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, Message: message,
		}}
	}
}

// restarted is a container that exited and was restarted.
func restarted(code int32) podOption {
	return func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.RestartCount = 1
		s.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
	}
}

func waiting(reason, message string) podOption {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodPending
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: reason, Message: message,
		}}
	}
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) podOption {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: kind, Status: status, Reason: reason, Message: message,
		})
	}
}

func imageID(id string) podOption {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses[0].ImageID = id }
}

// An entry is written as "one", "one=pod" or, once it has exited, "one=pod!".
func a(text string) entry {
	text, exited := strings.CutSuffix(text, "!")
	executor, pod, _ := strings.Cut(text, "=")
	e := entry{Executor: executor, Pod: pod}
	if exited {
		e.Exit = &backend.Exit{Code: 3, Reason: "it exited with code 3"}
	}
	return e
}

func bookOf(entries ...string) book {
	b := book{Progdef: "tester", Revision: "0123", Template: testTemplate}
	for _, e := range entries {
		b.Entries = append(b.Entries, a(e))
	}
	return b
}

func podsOf(pods ...*corev1.Pod) map[string]*corev1.Pod {
	out := map[string]*corev1.Pod{}
	for _, p := range pods {
		out[p.Name] = p
	}
	return out
}

// recorded is a view whose book is stored in a record.
func recorded(b book, pods ...*corev1.Pod) view {
	return view{record: &corev1.ConfigMap{}, book: b, pods: podsOf(pods...)}
}

func (v view) with(change func(*view)) view {
	change(&v)
	return v
}

// String formats a plan, one action per line.
func (p plan) String() string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, e := range p.book.Entries {
		line := e.Executor + " has " + e.Pod
		if e.Exit != nil {
			line += fmt.Sprintf(" exited %d%s: %s", e.Exit.Code, e.Exit.Signal, e.Exit.Reason)
			if e.Exit.Permanent {
				line += " (permanent)"
			}
		}
		add("%s", line)
	}
	for _, pod := range slices.Sorted(maps.Keys(p.bind)) {
		add("bind %s to %s", pod, p.bind[pod])
	}
	for _, pod := range slices.Sorted(maps.Keys(p.mark)) {
		add("mark %s busy %v", pod, p.mark[pod])
	}
	for _, pod := range slices.Sorted(maps.Keys(p.end)) {
		add("end %s in %d", pod, p.end[pod])
	}
	for _, pod := range p.look {
		add("look for %s", pod)
	}
	for i, err := range p.answers {
		if err != nil {
			add("answer %d: %v", i, err)
		}
	}
	if p.refresh {
		add("refresh")
	}
	if p.remove {
		add("remove")
	}
	if p.wake > 0 {
		add("wake in %s", p.wake)
	}
	add("replicas %d", p.replicas)
	return strings.Join(out, "\n")
}

func TestDecide(t *testing.T) {
	starting := request{verb: start, executor: "one", book: bookOf()}
	for _, c := range []struct {
		name     string
		view     view
		requests []request
		want     string
	}{
		{"the first start writes a book", view{}, []request{starting}, `
			one has
			replicas 1`},
		{"an executor that is in the book is not started again", recorded(bookOf("one=p"), runs("p", "one")), []request{starting}, `
			one has p
			replicas 1`},
		{"an exited executor is not started again", recorded(bookOf("one=p!")), []request{starting}, `
			one has p exited 3: it exited with code 3
			replicas 0`},
		{"free pods are assigned to waiting executors in order", recorded(bookOf("two", "one", "three"), free("p"), free("q")), nil, `
			two has p
			one has q
			three has
			bind p to two
			bind q to one
			replicas 3`},
		{"pods of another template, deleted pods and assigned pods are not free",
			recorded(bookOf("one", "two=s"),
				free("p", func(p *corev1.Pod) { p.Annotations[annotationTemplate] = "old" }),
				free("q", deleted(now)), waits("r", "zero", deleted(now)), free("s")), nil, `
			one has
			two has s
			bind s to two
			wake in 1m0s
			replicas 2`},
		{"a drain deletes the pod, and counts it until it is deleted", recorded(bookOf("one=p", "two=q"), runs("p", "one"), runs("q", "two")),
			[]request{{verb: drain, executor: "one"}}, `
			one has p
			two has q
			end p in -1
			replicas 2`},
		{"a pod that is being deleted is not counted", recorded(bookOf("one=p", "two=q"), runs("p", "one", deleted(now.Add(time.Hour))), runs("q", "two")),
			[]request{{verb: drain, executor: "one"}}, `
			one has p
			two has q
			wake in 1h1m0s
			replicas 1`},
		{"GiveUp shortens the grace period", recorded(bookOf("one=p"), runs("p", "one", deleted(now.Add(time.Hour)))),
			[]request{{verb: giveUp, executor: "one"}}, `
			one has p
			end p in 5
			wake in 1h1m0s
			replicas 0`},
		{"the shorter grace period of two requests is used", recorded(bookOf("one=p"), runs("p", "one")),
			[]request{{verb: giveUp, executor: "one"}, {verb: drain, executor: "one"}}, `
			one has p
			end p in 5
			replicas 1`},
		{"an executor without a pod has exited when drained", recorded(bookOf("one")), []request{{verb: drain, executor: "one"}}, `
			one has  exited -1: it was drained before it ran
			replicas 0`},
		{"an executor whose pod was lost before it ran gets another pod", recorded(bookOf("one=p"), free("q")).with(func(v *view) {
			v.gone = podsOf(waits("p", "one"))
		}), nil, `
			one has q
			bind q to one
			replicas 1`},
		{"a drained executor does not get another pod", recorded(bookOf("one=p"), free("q")).with(func(v *view) {
			v.gone = podsOf(waits("p", "one"))
			v.drained = map[string]bool{"one": true}
		}), nil, `
			one has p exited -1: it was drained before it ran
			replicas 0`},
		{"a pod that was never seen is looked up", recorded(bookOf("one=p")), nil, `
			one has p
			look for p
			wake in 30s
			replicas 1`},
		{"the executor of a pod that is not found has exited", recorded(bookOf("one=p")).with(func(v *view) {
			v.gone = map[string]*corev1.Pod{"p": nil}
		}), nil, `
			one has p exited -1: its pod is gone, so its exit status is unknown
			replicas 0`},
		{"the exit is read from the last state of a deleted pod", recorded(bookOf("one=p")).with(func(v *view) {
			v.gone = podsOf(runs("p", "one", terminatedWith(0, "Completed", "")))
		}), nil, `
			one has p exited 0: it exited with code 0
			replicas 0`},
		{"an exit is recorded, and the pod is deleted", recorded(bookOf("one=p"), runs("p", "one", terminatedWith(3, "Error", ""))), nil, `
			one has p exited 3: it exited with code 3
			end p in 5
			replicas 1`},
		{"the executor of a restarted program has exited", recorded(bookOf("one=p"), runs("p", "one", restarted(137))), nil, `
			one has p exited -1SIGKILL: it was killed by SIGKILL
			end p in 5
			replicas 1`},
		{"the executor of an evicted pod has exited, and the pod is not counted", recorded(bookOf("one=p"), runs("p", "one", phase(corev1.PodFailed), func(p *corev1.Pod) {
			p.Status.Reason, p.Status.Message = "Evicted", "The node was low on resource: memory."
		})), nil, `
			one has p exited -1: its machine evicted it: The node was low on resource: memory
			end p in 5
			replicas 0`},
		{"a running executor cannot be forgotten", recorded(bookOf("one=p"), runs("p", "one")), []request{{verb: forget, executor: "one"}}, `
			one has p
			answer 0: it is still running
			replicas 1`},
		{"Forget removes the executor and deletes its pod", recorded(bookOf("one=p!"), runs("p", "one")),
			[]request{{verb: forget, executor: "one"}}, `
			end p in 5
			replicas 1`},
		{"the book is removed after the last pod", recorded(bookOf("one=p!")), []request{{verb: forget, executor: "one"}}, `
			remove
			replicas 0`},
		{"the book is not removed before the last pod", recorded(bookOf(), runs("p", "one", deleted(now.Add(time.Second)))), nil, `
			wake in 1m1s
			replicas 0`},
		{"requests about unknown executors do nothing", recorded(bookOf()), []request{
			{verb: drain, executor: "x"}, {verb: giveUp, executor: "x"}, {verb: forget, executor: "x"}, {verb: protect, executor: "x"},
		}, `
			remove
			replicas 0`},
		{"a drain is remembered until the pod is seen", recorded(bookOf("one=p"), free("p")).with(func(v *view) {
			v.drained = map[string]bool{"one": true}
		}), nil, `
			one has p
			end p in -1
			replicas 1`},
		{"the replica count is not lowered on stale information", recorded(bookOf("one=p"), runs("p", "one")).with(func(v *view) {
			v.deployment = &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}}
		}), nil, `
			one has p
			refresh
			replicas 1`},
		{"a free pod is not assigned while the ReplicaSet has too many", recorded(bookOf("one"), free("p")).with(func(v *view) {
			v.deployment = &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(0))}}
		}), nil, `
			one has
			replicas 1`},
		{"nor before the Deployment's last change is carried out", recorded(bookOf("one"), free("p")).with(func(v *view) {
			v.deployment = &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(1))}}
			v.deployment.Generation, v.deployment.Status.ObservedGeneration = 3, 2
		}), nil, `
			one has
			replicas 1`},
		{"it is assigned then", recorded(bookOf("one"), free("p")).with(func(v *view) {
			v.deployment = &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(1))}}
			v.deployment.Generation, v.deployment.Status.ObservedGeneration = 3, 3
		}), nil, `
			one has p
			bind p to one
			replicas 1`},
		{"a pod with the label of an executor that has another pod is a stray", recorded(bookOf("one=p"), runs("p", "one"), runs("q", "one")).with(func(v *view) {
			v.fresh = true
		}), nil, `
			one has p
			end q in -1
			replicas 2`},
		{"idle executors are marked", recorded(bookOf("one=p"), runs("p", "one")),
			[]request{{verb: protect, executor: "one", busy: false}}, `
			one has p
			mark p busy false
			replicas 1`},
		{"marked executors are not marked again", recorded(bookOf("one=p"), runs("p", "one", idle)),
			[]request{{verb: protect, executor: "one", busy: false}}, `
			one has p
			replicas 1`},
		{"a mark waits for the pod", recorded(bookOf("one=p"), runs("p", "one")).with(func(v *view) {
			v.busy = map[string]bool{"one": false}
		}), nil, `
			one has p
			mark p busy false
			replicas 1`},
		{"a pod that is not in the book is not ended on stale information", recorded(bookOf(), runs("p", "one")), nil, `
			refresh
			replicas 1`},
		{"a pod that is not in a fresh book is ended", recorded(bookOf(), runs("p", "one")).with(func(v *view) { v.fresh = true }), nil, `
			end p in -1
			replicas 1`},
		{"a pod that lost its gate is ended", recorded(bookOf("one"), free("p", func(p *corev1.Pod) { p.Spec.SchedulingGates = nil })).with(func(v *view) { v.fresh = true }), nil, `
			one has
			end p in -1
			replicas 1`},
		{"a lost machine is given up long after the pod should have been deleted", recorded(bookOf("one=p"), runs("p", "one",
			deleted(now.Add(-lostAfter)),
			condition(corev1.PodReady, corev1.ConditionFalse, "", ""),
			condition(corev1.ContainersReady, corev1.ConditionTrue, "", ""))), nil, `
			one has p exited -1: its machine m1 does not respond: its pod should have been gone by 2026-01-02T03:03:05Z
			end p in 0
			replicas 0`},
		{"an idle executor on a lost machine has no grace period", recorded(bookOf("one=p"), runs("p", "one", idle,
			deleted(now.Add(time.Hour-lostAfter)), func(p *corev1.Pod) { p.DeletionGracePeriodSeconds = new(int64(3600)) },
			condition(corev1.PodReady, corev1.ConditionFalse, "", ""),
			condition(corev1.ContainersReady, corev1.ConditionTrue, "", ""))), nil, `
			one has p exited -1: its machine m1 does not respond: its pod should have been gone by 2026-01-02T04:03:05Z
			end p in 0
			replicas 0`},
		{"a machine that responds is not given up", recorded(bookOf("one=p"), runs("p", "one", deleted(now.Add(-lostAfter)))), nil, `
			one has p
			replicas 0`},
		{"a Deployment without a record is checked twice", view{deployment: &appsv1.Deployment{}}, nil, `
			refresh
			replicas 0`},
		{"and removed", view{deployment: &appsv1.Deployment{}, fresh: true}, nil, `
			remove
			replicas 0`},
		{"a removed record is recreated", view{book: bookOf("one=p"), pods: podsOf(runs("p", "one"))}, nil, `
			one has p
			replicas 1`},
		{"an executor with another image of the same tag is drained", recorded(bookOf("one=p", "two=q"),
			runs("p", "one", imageID("registry.example/tester@sha256:aaa")),
			runs("q", "two", imageID("registry.example/tester@sha256:bbb"))), nil, `
			one has p
			two has q
			end q in -1
			replicas 2`},
		{"and permanent", recorded(bookOf("two=q"), runs("q", "two", imageID("x@sha256:bbb"), terminatedWith(0, "", ""))).with(func(v *view) {
			v.book.Image = "sha256:aaa"
		}), nil, `
			two has q exited 0: the image registry.example/tester:1 now refers to another image: sha256:bbb, not sha256:aaa as for the first executors of this revision; apply the progdef with the image's digest (permanent)
			end q in 5
			replicas 1`},
		{"pulling an image is retried for a while", recorded(bookOf("one=p"), runs("p", "one", waiting("ErrImagePull", "no such host"))), nil, `
			one has p
			wake in 2m0s
			replicas 1`},
		{"pulling an image is not retried forever", recorded(bookOf("one=p"), runs("p", "one", waiting("ImagePullBackOff", "no such host"))).with(func(v *view) {
			v.failing = map[types.UID]time.Time{"uid of p": now.Add(-DefaultPullTimeout)}
		}), nil, `
			one has p exited -1: its image cannot be pulled: no such host; check the progdef's image, and whether the cluster may read it from its registry (permanent)
			end p in 5
			replicas 1`},
		{"an invalid image name is not retried", recorded(bookOf("one=p"), runs("p", "one", waiting("InvalidImageName", "bad"))), nil, `
			one has p exited -1: its image cannot be used: bad; check the progdef's image, and whether the cluster may read it from its registry (permanent)
			end p in 5
			replicas 1`},
		{"an executor may wait for a machine without limit", recorded(bookOf("one=p"), waits("p", "one",
			condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", "0/1 nodes"))), nil, `
			one has p
			replicas 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Config{}.withDefaults().decide(c.view, c.requests, now)
			if got, want := trim(p.String()), trim(c.want); got != want {
				t.Errorf("plan is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func trim(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// decide does not modify the view, so a decision can be repeated.
func TestDecideChangesNoView(t *testing.T) {
	v := recorded(bookOf("one"), free("p"))
	first := Config{}.withDefaults().decide(v, nil, now)
	if v.book.Entries[0].Pod != "" {
		t.Fatal("the view's book was changed")
	}
	if again := (Config{}).withDefaults().decide(v, nil, now); first.String() != again.String() {
		t.Errorf("first\n%s\nthen\n%s", first, again)
	}
}

// The state of executors is removed with them.
func TestDecideForgets(t *testing.T) {
	v := recorded(bookOf("one=p"), runs("p", "one")).with(func(v *view) {
		v.drained = map[string]bool{"one": true, "gone": true}
		v.busy = map[string]bool{"one": true, "gone": true}
		v.failing = map[types.UID]time.Time{"uid of gone": now}
	})
	p := Config{}.withDefaults().decide(v, nil, now)
	if len(p.drained) != 1 || len(p.busy) != 1 || len(p.failing) != 0 {
		t.Errorf("remembered: %v %v %v", p.drained, p.busy, p.failing)
	}
}
