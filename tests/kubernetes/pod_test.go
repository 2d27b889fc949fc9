//go:build kubernetes

package kubernetes

import (
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// The image is named by its digest, so its pull from the registry is also tested.
func TestLife(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	if _, err := client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "config"}, Data: map[string]string{"COLOUR": "green"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "secret"}, StringData: map[string]string{"WORD": "mum"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	spec := server()
	spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}}},
	}
	create(t, ns, "life", spec)
	pod := await(t, ns, "life", "ready", ready)
	if pod.Spec.NodeName != cluster.Real {
		t.Errorf("the pod is on node %s", pod.Spec.NodeName)
	}
	contains(t, "from the config map", eventually(t, at(pod, "/env/COLOUR")), "green")
	contains(t, "from the secret", eventually(t, at(pod, "/env/WORD")), "mum")

	log, err := client.CoreV1().Pods(ns).GetLogs("life", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := client.CoreV1().Pods(ns).Delete(t.Context(), "life", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(said)), " "); got != "serving stopping stopped" {
		t.Errorf("the pod logged %q: it had no time to stop", got)
	}
	awaitGone(t, ns, "life")
}

func TestRestrictedIsEnforced(t *testing.T) {
	t.Parallel()
	spec := podSpec("serve")
	spec.SecurityContext.RunAsNonRoot = nil
	_, err := client.CoreV1().Pods(namespace(t)).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "rooted"}, Spec: spec,
	}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a pod that may run as root: %v", err)
	}
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	spec := podSpec("eat")
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("24Mi")}
	create(t, ns, "eater", spec)
	pod := await(t, ns, "eater", "terminated", terminated)
	if end := state(pod).Terminated; end.Reason != "OOMKilled" || end.ExitCode != 137 {
		t.Errorf("the container exited with code %d, reason %s", end.ExitCode, end.Reason)
	}
}

func TestMissingImage(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	spec := podSpec()
	spec.Containers[0].Image = "docker.io/library/absent:1"
	create(t, ns, "absent", spec)
	await(t, ns, "absent", "waiting for its image", func(pod *corev1.Pod) bool {
		waiting := state(pod).Waiting
		return waiting != nil && waiting.Reason == "ImagePullBackOff"
	})
}

func TestCrash(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	create(t, ns, "crash", podSpec("no such command"))
	await(t, ns, "crash", "backing off", func(pod *corev1.Pod) bool {
		waiting := state(pod).Waiting
		return waiting != nil && waiting.Reason == "CrashLoopBackOff"
	})
}

// A pod that requests more than a node has stays pending, and the scheduler reports why.
func TestUnschedulable(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	spec := podSpec("serve")
	spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000")}
	create(t, ns, "large", spec)
	pod := await(t, ns, "large", "judged", func(pod *corev1.Pod) bool { return scheduled(pod).Reason != "" })
	contains(t, "the scheduler", scheduled(pod).Message, "Insufficient cpu")
}

// A claim gets a volume, which keeps the data of one pod for the next. An unprivileged pod may write to it if it has an
// fsGroup.
func TestVolume(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	if _, err := client.CoreV1().PersistentVolumeClaims(ns).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1", "2"} {
		spec := podSpec("count", "/data/number")
		spec.RestartPolicy = corev1.RestartPolicyNever
		group := int64(65532)
		spec.SecurityContext.FSGroup = &group
		spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}
		spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		create(t, ns, "count-"+name, spec)
		await(t, ns, "count-"+name, "terminated", terminated)
		said, err := client.CoreV1().Pods(ns).GetLogs("count-"+name, &corev1.PodLogOptions{}).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		contains(t, "the count", string(said), name)
	}
}

func scheduled(pod *corev1.Pod) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c
		}
	}
	return corev1.PodCondition{}
}

func terminated(pod *corev1.Pod) bool { return state(pod).Terminated != nil }
