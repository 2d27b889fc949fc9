//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// The client of all tests, and the digest of the image of cmd/probe.
var (
	client clientset.Interface
	image  string
)

func TestMain(m *testing.M) {
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "these tests run inside a cluster, by make kubernetes:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func setUp() error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	if client, err = clientset.NewForConfig(config); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	probe, err := cluster.Image{
		Files:      map[string]string{"/probe": filepath.Join(filepath.Dir(self), "probe")},
		Entrypoint: []string{"/probe"},
	}.Build()
	if err != nil {
		return err
	}
	image, err = cluster.Push(context.Background(), "registry.test/probe:1", probe)
	return err
}

// namespace creates a namespace that enforces the restricted profile, and removes it after the test.
func namespace(t *testing.T) string {
	t.Helper()
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "test-",
			Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	awaitKind(t, client.CoreV1().RESTClient(), "serviceaccounts", &corev1.ServiceAccount{}, ns.Name, "default", "there",
		func(*corev1.ServiceAccount) bool { return true })
	return ns.Name
}

// podSpec runs cmd/probe as required by the restricted profile.
func podSpec(args ...string) corev1.PodSpec {
	yes, no := true, false
	var grace int64 = 10
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		AutomountServiceAccountToken:  &no,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   &yes,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "probe", Image: image, Args: args,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no,
				ReadOnlyRootFilesystem:   &yes,
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
}

// server is the pod of a serving probe, which becomes ready when it serves.
func server() corev1.PodSpec {
	spec := podSpec("serve")
	spec.Containers[0].ReadinessProbe = &corev1.Probe{
		PeriodSeconds: 1,
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}},
	}
	return spec
}

// simulated moves a pod to the simulated nodes.
func simulated(spec corev1.PodSpec) corev1.PodSpec {
	spec.NodeSelector = map[string]string{cluster.NodeLabel: cluster.Simulated}
	spec.Tolerations = []corev1.Toleration{{Key: cluster.NodeLabel, Value: cluster.Simulated}}
	return spec
}

// create creates a pod with a label app that holds its name.
func create(t *testing.T, ns, name string, spec corev1.PodSpec) *corev1.Pod {
	t.Helper()
	pod, err := client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec:       spec,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

const patience = time.Minute

// await watches a pod until it meets a condition.
func await(t *testing.T, ns, name, what string, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	return awaitKind(t, client.CoreV1().RESTClient(), "pods", &corev1.Pod{}, ns, name, what, is)
}

// awaitKind watches an object of any kind until it meets a condition.
func awaitKind[T runtime.Object](
	t *testing.T, api rest.Interface, resource string, kind T, ns, name, what string, is func(T) bool,
) (last T) {
	t.Helper()
	until(t, api, resource, kind, ns, name, what, nil, func(e watch.Event) (bool, error) {
		object, ok := e.Object.(T)
		if !ok || e.Type == watch.Deleted {
			return false, fmt.Errorf("the watch returned %s %+v", e.Type, e.Object)
		}
		last = object
		return is(object), nil
	})
	return last
}

// awaitGone watches a pod until it is deleted.
func awaitGone(t *testing.T, ns, name string) {
	t.Helper()
	absent := func(s cache.Store) (bool, error) { return len(s.ListKeys()) == 0, nil }
	until(t, client.CoreV1().RESTClient(), "pods", &corev1.Pod{}, ns, name, "gone", absent,
		func(e watch.Event) (bool, error) { return e.Type == watch.Deleted, nil })
}

func until(
	t *testing.T, api rest.Interface, resource string, kind runtime.Object, ns, name, what string,
	already watchtools.PreconditionFunc, is watchtools.ConditionFunc,
) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lw := cache.NewListWatchFromClient(api, resource, ns, fields.OneTermEqualSelector(metav1.ObjectNameField, name))
	if event, err := watchtools.UntilWithSync(ctx, lw, kind, already, is); err != nil {
		t.Fatalf("wait for %s %s to be %s: %v; last %+v", resource, name, what, err, event)
	}
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// state is the state of the pod's container, if it already exists.
func state(pod *corev1.Pod) corev1.ContainerState {
	if len(pod.Status.ContainerStatuses) == 0 {
		return corev1.ContainerState{}
	}
	return pod.Status.ContainerStatuses[0].State
}

// eventually polls url and returns its first response: kube-proxy does not report when the rules of a service are in
// place.
func eventually(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fetch returns the response of url to the pod.
func fetch(t *testing.T, pod *corev1.Pod, address string) string {
	t.Helper()
	return eventually(t, at(pod, "/fetch?url="+url.QueryEscape(address)))
}

func at(pod *corev1.Pod, path string) string { return "http://" + pod.Status.PodIP + ":8080" + path }

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %q, want %q in it", what, got, want)
	}
}
