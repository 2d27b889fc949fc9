//go:build kubernetes

package kubernetes

import (
	"os/exec"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestHundredPods(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	deploy(t, ns, "crowd", 100)
}

// A pod with a scheduling gate is not scheduled before the gate is removed.
func TestSchedulingGate(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	spec := simulated(podSpec())
	spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "dagyo.test/wait"}}
	create(t, ns, "gated", spec)
	await(t, ns, "gated", "held back", func(pod *corev1.Pod) bool {
		return scheduled(pod).Reason == corev1.PodReasonSchedulingGated
	})
	open := []byte(`{"spec": {"schedulingGates": null}}`)
	if _, err := client.CoreV1().Pods(ns).Patch(
		t.Context(), "gated", types.MergePatchType, open, metav1.PatchOptions{},
	); err != nil {
		t.Fatal(err)
	}
	await(t, ns, "gated", "ready", ready)
}

// A simulated pod takes as long to stop as its annotation specifies.
func TestStopsAfter(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	create(t, ns, "slow", simulated(podSpec()))
	await(t, ns, "slow", "ready", ready)
	note := []byte(`{"metadata": {"annotations": {"dagyo.test/stops-after": "2s"}}}`)
	if _, err := client.CoreV1().Pods(ns).Patch(
		t.Context(), "slow", types.MergePatchType, note, metav1.PatchOptions{},
	); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Pods(ns).Delete(t.Context(), "slow", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if pod, err := client.CoreV1().Pods(ns).Get(t.Context(), "slow", metav1.GetOptions{}); err != nil {
		t.Errorf("right after its deletion: %v", err)
	} else if pod.DeletionTimestamp == nil {
		t.Error("the pod is not terminating")
	}
	awaitGone(t, ns, "slow")
}

// The drain of a node evicts only as many pods at once as their disruption budget allows.
func TestDrain(t *testing.T) {
	ns := namespace(t)
	deploy(t, ns, "guarded", 2)
	two := intstr.FromInt32(2)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "guarded"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &two,
			Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": "guarded"}},
		},
	}
	if _, err := client.PolicyV1().PodDisruptionBudgets(ns).Create(t.Context(), budget, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitKind(t, client.PolicyV1().RESTClient(), "poddisruptionbudgets", budget, ns, "guarded", "counted",
		func(b *policyv1.PodDisruptionBudget) bool { return b.Status.CurrentHealthy == 2 })
	pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := pods.Items[0].Spec.NodeName
	t.Cleanup(func() { kubectl(t, "uncordon", node) })

	if out, ok := kubectl(t, "drain", node, "--pod-selector", "app=guarded", "--timeout", "1s"); ok {
		t.Errorf("the node was drained despite the budget: %s", out)
	} else {
		contains(t, "drain", out, "would violate the pod's disruption budget")
	}
	if err := client.PolicyV1().PodDisruptionBudgets(ns).Delete(t.Context(), "guarded", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if out, ok := kubectl(t, "drain", node, "--pod-selector", "app=guarded"); !ok {
		t.Errorf("drain: %s", out)
	}
	awaitGone(t, ns, pods.Items[0].Name)
}

// deploy starts a number of simulated pods, and returns when they are ready.
func deploy(t *testing.T, ns, name string, replicas int32) {
	t.Helper()
	label := map[string]string{"app": name}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: label},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: label},
				Spec:       simulated(podSpec()),
			},
		},
	}
	if _, err := client.AppsV1().Deployments(ns).Create(t.Context(), deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitKind(t, client.AppsV1().RESTClient(), "deployments", deployment, ns, name, "ready",
		func(d *appsv1.Deployment) bool { return d.Status.ReadyReplicas == replicas })
}

func kubectl(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	out, err := exec.Command("kubectl", args...).CombinedOutput()
	return string(out), err == nil
}
