//go:build kubernetes

package backend

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
)

func TestNoMachine(t *testing.T) {
	b := setup(t)
	b.begin(t, "one", progdef.Document{Image: image, Machine: progdef.Machine{
		NodeSelector: map[string]string{"gpu": "h100"},
	}})
	b.wantWaiting(t, "one", "no machine has room for it: 0/")
	b.wantRunning(t, "one")
	if err := b.Drain(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(t, "one"); e.Code != -1 || !strings.Contains(e.Reason, "drained before it ran") {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "one")
	b.wantNothingLeft(t)
}

func TestSets(t *testing.T) {
	b := setup(t)
	_, err := b.client.CoreV1().Secrets(b.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "secret"}, StringData: map[string]string{"TOKEN": "t0ken", "BOTH": "secret"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"BOTH": "config map", "MODEL": "large"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := progdef.Document{
		Image: image, Env: map[string]string{"MODEL": "small", "PRICE": "$(TOKEN) $$"},
		EnvFrom: []progdef.EnvSource{{Secret: "secret"}, {ConfigMap: "settings"}},
	}
	b.begin(t, "one", d)
	p := b.control.Program(t, "one")
	for name, want := range map[string]string{
		"TOKEN": "t0ken", "BOTH": "config map", "MODEL": "small", "PRICE": "$(TOKEN) $$", "DAGYO_EXECUTOR": "one",
	} {
		if got := p.Ask(t, "env %s", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	b.end(t, p)
	b.wantNothingLeft(t)
}

func TestMissingSet(t *testing.T) {
	b := setup(t)
	b.begin(t, "one", progdef.Document{Image: image, EnvFrom: []progdef.EnvSource{{Secret: "missing"}}})
	b.wantWaiting(t, "one", `secret "missing" not found`)
	b.wantPermanent(t, "one", `secret "missing" not found`)
}

func TestNoSuchCommand(t *testing.T) {
	b := setup(t)
	b.begin(t, "one", progdef.Document{Image: image, Command: []string{"/nope"}})
	b.wantPermanent(t, "one", "cannot run its command")
}

func TestOutOfMemory(t *testing.T) {
	b := setup(t)
	d := runnable()
	d.Env = map[string]string{envRole: "hog"}
	d.Resources.Limits = map[string]string{"memory": "64Mi"}
	b.begin(t, "one", d)
	e := b.exit(t, "one")
	if e.Code != -1 || e.Signal != "SIGKILL" || e.Reason != "it used more memory than its limit of 64Mi" || e.Permanent {
		t.Errorf("exit is %+v", e)
	}
}

// The API server rejects invalid documents that the backend accepts.
func TestRejectionsByTheAPIServer(t *testing.T) {
	b := setup(t)
	for pointer, d := range map[string]progdef.Document{
		"/machine/tolerations/0/effect": {Image: image, Machine: progdef.Machine{
			Tolerations: []progdef.Toleration{{Key: "a", Effect: "Never"}},
		}},
		"/resources/requests": {Image: image, Resources: progdef.Resources{
			Requests: map[string]string{"cpu": "2"}, Limits: map[string]string{"cpu": "1"},
		}},
		"/machine/nodeSelector": {Image: image, Machine: progdef.Machine{NodeSelector: map[string]string{"a": "no good"}}},
		"/env/a=b":              {Image: image, Env: map[string]string{"a=b": "c"}},
	} {
		err := b.Start(t.Context(), b.spec("one", d))
		var refused *backend.StartError
		if !errors.As(err, &refused) || refused.Problem.Pointer != pointer {
			t.Errorf("for %s: %v", pointer, err)
		}
	}
	b.wantRunning(t)
	b.wantNothingLeft(t)
}

func TestQuota(t *testing.T) {
	b := setup(t)
	_, err := b.client.CoreV1().ResourceQuotas(b.namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "few"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.eventually(t, "the quota", func(ctx context.Context) (bool, error) {
		q, err := b.client.CoreV1().ResourceQuotas(b.namespace).Get(ctx, "few", metav1.GetOptions{})
		return err == nil && len(q.Status.Hard) > 0, err
	})
	one := b.start(t, "one")
	b.begin(t, "two", runnable())
	b.wantWaiting(t, "two", "exceeded quota: few")
	b.end(t, one)
	b.end(t, b.control.Program(t, "two"))
	b.wantNothingLeft(t)
}

// evict requests the eviction of an executor, as the drain of a node does.
func (b *bench) evict(ctx context.Context, pod string) error {
	return b.client.PolicyV1().Evictions(b.namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: b.namespace},
	})
}

func TestEviction(t *testing.T) {
	b := setup(t)
	p := b.start(t, "one")
	pod := b.pod(t, "one")
	if pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "false" {
		t.Errorf("annotations are %v", pod.Annotations)
	}
	// Until the kubelet reports that it is running, a pod is pending for the API server, and may be evicted.
	b.eventually(t, "the report that the pod is running", func(context.Context) (bool, error) {
		return b.pod(t, "one").Status.Phase == corev1.PodRunning, nil
	})
	if err := b.evict(t.Context(), pod.Name); !apierrors.IsTooManyRequests(err) {
		t.Fatalf("eviction of a busy executor: %v", err)
	}
	if err := b.Protect(t.Context(), "one", false); err != nil {
		t.Fatal(err)
	}
	if at := b.pod(t, "one").Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"]; at != "true" {
		t.Errorf("safe-to-evict is %q", at)
	}
	// The disruption controller may take a moment to see that the budget no longer covers the pod.
	b.eventually(t, "the eviction of an idle executor", func(ctx context.Context) (bool, error) {
		err := b.evict(ctx, pod.Name)
		if apierrors.IsTooManyRequests(err) {
			return false, nil
		}
		return err == nil, err
	})
	p.AwaitSigterm(t)
	b.wantRunning(t, "one")
	p.Tell(t, "exit 0")
	if e := b.exit(t, "one"); e.Code != 0 || !strings.Contains(e.Reason, "the cluster deleted it") {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "one")
	b.wantNothingLeft(t)
}

// A drained executor is not replaced: the spawner decides whether another one is needed.
func TestDeletedPodDrains(t *testing.T) {
	b := setup(t)
	p := b.start(t, "one")
	if err := b.client.CoreV1().Pods(b.namespace).Delete(t.Context(), b.pod(t, "one").Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.AwaitSigterm(t)
	b.wantRunning(t, "one")
	b.end(t, p)
	b.wantNothingLeft(t)
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// A change of the template removes the executors with the old template, and no others.
func TestRollingUpdate(t *testing.T) {
	b := setup(t)
	one, two := b.start(t, "one"), b.start(t, "two")
	b.env = map[string]string{"DAGYO_SLOTS": "7"}
	three := b.start(t, "three")
	one.AwaitSigterm(t)
	two.AwaitSigterm(t)
	if got := three.Ask(t, "env DAGYO_SLOTS"); got != "7" {
		t.Errorf("the new template's DAGYO_SLOTS is %q", got)
	}
	// A ReplicaSet that is about to delete a pod does so even if the pod was meanwhile assigned to an executor. The
	// exit is reported, and a spawner would start another executor. That is not tested here.
	name := b.pod(t, "three").Labels["app.kubernetes.io/instance"]
	b.eventually(t, "the end of the update", func(ctx context.Context) (bool, error) {
		d, err := b.client.AppsV1().Deployments(b.namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && *d.Spec.Replicas == 1 && d.Status.ObservedGeneration == d.Generation &&
			d.Status.Replicas == 1 && d.Status.UpdatedReplicas == 1, err
	})
	four := b.start(t, "four")
	b.wantRunning(t, "four", "one", "three", "two")
	for _, p := range []*backendtest.Running{one, two, three, four} {
		b.end(t, p)
	}
	b.wantNothingLeft(t)
}

// Scaling the Deployment by hand drains idle executors first.
func TestIdleGoFirst(t *testing.T) {
	b := setup(t)
	programs := map[string]*backendtest.Running{}
	for _, id := range []string{"one", "two", "three"} {
		programs[id] = b.start(t, id)
	}
	if err := b.Protect(t.Context(), "two", false); err != nil {
		t.Fatal(err)
	}
	name := b.pod(t, "one").Labels["app.kubernetes.io/instance"]
	b.eventually(t, "readiness", func(ctx context.Context) (bool, error) {
		d, err := b.client.AppsV1().Deployments(b.namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 3, err
	})
	_, err := b.client.AppsV1().Deployments(b.namespace).UpdateScale(t.Context(), name, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: b.namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: 2},
	}, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	programs["two"].AwaitSigterm(t)
	for _, id := range []string{"two", "one", "three"} {
		b.end(t, programs[id])
	}
	b.wantNothingLeft(t)
}

// Deleting the Deployment drains its executors; their exits are still reported.
func TestDeletedDeployment(t *testing.T) {
	b := setup(t)
	p := b.start(t, "one")
	name := b.pod(t, "one").Labels["app.kubernetes.io/instance"]
	if err := b.client.AppsV1().Deployments(b.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.AwaitSigterm(t)
	b.wantRunning(t, "one")
	two := b.start(t, "two")
	b.end(t, p)
	b.end(t, two)
	b.wantNothingLeft(t)
}

func TestDeletedRecord(t *testing.T) {
	b := setup(t)
	p := b.start(t, "one")
	name := b.pod(t, "one").Labels["app.kubernetes.io/instance"]
	if err := b.client.CoreV1().ConfigMaps(b.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(t, "a new record", func(ctx context.Context) (bool, error) {
		m, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && slices.Contains(idsIn(m.Data["executors"]), "one"), err
	})
	b.wantRunning(t, "one")
	b.end(t, p)
	b.wantNothingLeft(t)
}
