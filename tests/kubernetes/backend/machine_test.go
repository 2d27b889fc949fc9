//go:build kubernetes

package backend

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/dagyo/dagyo/pkg/progdef"
)

// machineLabel marks the nodes of a test.
const machineLabel = "dagyo.test/machine"

// machine creates a node with unlimited capacity that never reports again.
func (p *place) machine(t *testing.T, name string) {
	t.Helper()
	nodes := p.client.CoreV1().Nodes()
	_, err := nodes.Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{machineLabel: name}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: machineLabel, Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := nodes.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	status := fmt.Sprintf(`{"status": {
		"capacity": {"cpu": "1", "memory": "1Gi", "pods": "10"}, "allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"},
		"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": %[1]q, "lastTransitionTime": %[1]q}]
	}}`, time.Now().UTC().Format(time.RFC3339))
	_, err = nodes.Patch(t.Context(), name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
}

// run sets the status of a pod as its machine would.
func (b *bench) run(t *testing.T, pod corev1.Pod) {
	t.Helper()
	pod.Status.Phase = corev1.PodRunning
	for _, c := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue})
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "executor", Ready: true,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
	if _, err := b.client.CoreV1().Pods(b.namespace).UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// An executor on a silent machine does not count as dead until it is given up: the machine may have lost its
// connection, but not its jobs.
func TestLostMachine(t *testing.T) {
	b := setup(t)
	b.patience = 4 * time.Minute
	name := b.namespace // unique
	b.machine(t, name)
	b.begin(t, "one", progdef.Document{Image: image, Machine: progdef.Machine{
		NodeSelector: map[string]string{machineLabel: name},
		Tolerations:  []progdef.Toleration{{Key: machineLabel, Operator: "Exists"}},
	}})
	b.eventually(t, "a machine for the pod", func(ctx context.Context) (bool, error) {
		pods, err := b.client.CoreV1().Pods(b.namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 1 && pods.Items[0].Spec.NodeName == name, err
	})
	b.run(t, b.pod(t, "one"))
	b.eventually(t, "the cluster to detect the silent machine", func(ctx context.Context) (bool, error) {
		pod, err := b.client.CoreV1().Pods(b.namespace).Get(ctx, b.pod(t, "one").Name, metav1.GetOptions{})
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady {
				return c.Status == corev1.ConditionFalse, err
			}
		}
		return false, err
	})
	b.wantRunning(t, "one")
	if err := b.GiveUp(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(t, "one"); e.Code != -1 || !strings.Contains(e.Reason, "its machine "+name+" does not respond") {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "one")
	b.wantNothingLeft(t)
}
