package kubernetes

import (
	"strings"
	"testing"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

func limited(p *corev1.Pod) {
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
}

func TestExits(t *testing.T) {
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		want backend.Exit
	}{
		{"an exit code", runs("p", "one", terminatedWith(3, "Error", "boom\n")),
			backend.Exit{Code: 3, Reason: "it exited with code 3", Detail: "boom\n"}},
		{"a signal", runs("p", "one", terminatedWith(143, "Error", "")),
			backend.Exit{Code: -1, Signal: "SIGTERM", Reason: "it was killed by SIGTERM"}},
		{"a code that only looks like a signal", runs("p", "one", terminatedWith(255, "Error", "")),
			backend.Exit{Code: 255, Reason: "it exited with code 255"}},
		{"too late", runs("p", "one", deleted(now), terminatedWith(137, "Error", "")),
			backend.Exit{Code: -1, Signal: "SIGKILL", Reason: "it was killed: it did not exit when told to"}},
		{"too much memory", runs("p", "one", limited, terminatedWith(137, "OOMKilled", "")),
			backend.Exit{Code: -1, Signal: "SIGKILL", Reason: "it used more memory than its limit of 64Mi"}},
		{"too little memory", runs("p", "one", terminatedWith(137, "OOMKilled", "")),
			backend.Exit{Code: -1, Signal: "SIGKILL", Reason: "its machine ran out of memory; it has no limit of its own"}},
		{"no such command", runs("p", "one", terminatedWith(128, "StartError",
			`exec: "/nope": stat /nope: no such file or directory: unknown`)),
			backend.Exit{Code: -1, Permanent: true, Detail: `exec: "/nope": stat /nope: no such file or directory: unknown`,
				Reason: `cannot run its command: exec: "/nope": stat /nope: no such file or directory: unknown`}},
		{"a preemption", runs("p", "one", deleted(now), terminatedWith(0, "Completed", ""),
			condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler", "preempting to accommodate a higher priority pod")),
			backend.Exit{Reason: "it exited with code 0; the cluster deleted it: preempting to accommodate a higher priority pod"}},
		{"a shutdown", runs("p", "one", phase(corev1.PodFailed), terminatedWith(0, "Completed", ""), func(p *corev1.Pod) {
			p.Status.Reason, p.Status.Message = "Terminated", "Pod was terminated in response to imminent node shutdown."
		}), backend.Exit{Reason: "its machine is shutting down: Pod was terminated in response to imminent node shutdown"}},
		{"a machine that rejects it", runs("p", "one", phase(corev1.PodFailed), func(p *corev1.Pod) {
			p.Status.ContainerStatuses = nil
			p.Status.Reason, p.Status.Message = "OutOfcpu", "Node didn't have enough resource: cpu"
		}), backend.Exit{Code: -1, Reason: "its machine rejected or ended it: OutOfcpu: Node didn't have enough resource: cpu"}},
		{"an unknown reason", runs("p", "one", phase(corev1.PodFailed), terminatedWith(137, reasonUnknown, "lost")),
			backend.Exit{Code: -1, Reason: "its machine did not report its exit status"}},
		{"the first end counts", runs("p", "one", restarted(3), terminatedWith(0, "Completed", "")),
			backend.Exit{Code: 3, Reason: "it exited with code 3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ended(c.pod)
			if !ok || got != c.want {
				t.Errorf("exit is %v %+v\nwant %+v", ok, got, c.want)
			}
		})
	}
}

func TestNotExited(t *testing.T) {
	for _, p := range []*corev1.Pod{
		free("p"), waits("p", "one"), runs("p", "one"), runs("p", "one", deleted(now)),
		runs("p", "one", waiting("ContainerCreating", "")),
	} {
		if got, ok := ended(p); ok {
			t.Errorf("%+v has ended: %+v", p.Status, got)
		}
	}
}

func TestDetailIsBoundedText(t *testing.T) {
	got, _ := ended(runs("p", "one", terminatedWith(1, "Error", "\xff"+strings.Repeat("é", contract.DetailLimit)+"end")))
	if len(got.Detail) > contract.DetailLimit || !utf8.ValidString(got.Detail) || !strings.HasSuffix(got.Detail, "éend") {
		t.Errorf("detail of %d bytes: %q", len(got.Detail), got.Detail)
	}
}

func TestWaiting(t *testing.T) {
	refused := &appsv1.Deployment{}
	refused.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue,
		Message: `pods "x" is forbidden: exceeded quota: few`,
	}}
	for _, c := range []struct {
		name string
		set  set
		want string
	}{
		{"nothing known", set{}, ""},
		{"it runs", set{pods: podsOf(runs("p", "one"))}, ""},
		{"it is being created", set{pods: podsOf(runs("p", "one", waiting("ContainerCreating", "")))}, ""},
		{"no room", set{pods: podsOf(waits("p", "one", condition(corev1.PodScheduled, corev1.ConditionFalse,
			corev1.PodReasonUnschedulable, "0/3 nodes are available: 3 Insufficient cpu.")))},
			"no machine has room for it: 0/3 nodes are available: 3 Insufficient cpu"},
		{"a gate", set{pods: podsOf(waits("p", "one", func(p *corev1.Pod) {
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/queue"}}
		}))}, "its pod is held back by the scheduling gate example.com/queue"},
		{"no image", set{pods: podsOf(runs("p", "one", waiting("ImagePullBackOff", "Back-off pulling image\n\"x\"")))},
			`its image cannot be pulled: Back-off pulling image "x"`},
		{"no secret", set{pods: podsOf(runs("p", "one", waiting("CreateContainerConfigError", `secret "s" not found`)))},
			`its container cannot be created: secret "s" not found`},
		{"no quota", set{deployment: refused}, `waiting for its pod: pods "x" is forbidden: exceeded quota: few`},
		{"no Deployment", set{refused: "the API server is unavailable"}, "waiting for its pod: the API server is unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (Config{}).withDefaults().waiting(&c.set, a("one=p")); got != c.want {
				t.Errorf("waiting is %q, want %q", got, c.want)
			}
		})
	}
}
