//go:build kubernetes

package backend

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/connrotation"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/kubernetes"
	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// patience is how long a test waits for something before it fails.
const patience = time.Minute

// A place is a namespace, accessed with the rights of the administrator.
type place struct {
	namespace string
	rest      *rest.Config
	client    clientset.Interface
	patience  time.Duration
}

// newPlace creates a namespace that admits only pods of the restricted standard, and removes it at the end of the test.
func newPlace(t *testing.T) *place {
	t.Helper()
	admin, err := clientcmd.BuildConfigFromFlags("", os.Getenv(clientcmd.RecommendedConfigPathEnvVar))
	if err != nil {
		t.Fatal(err)
	}
	admin.QPS = -1
	admin.WarningHandlerWithContext = rest.NoWarnings{}
	connections := connrotation.NewDialer((&net.Dialer{}).DialContext)
	t.Cleanup(connections.CloseAll)
	admin.Dial = connections.DialContext
	client, err := clientset.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "backend-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{namespace: made.Name, rest: admin, client: client, patience: patience}
	t.Cleanup(func() { p.remove(t) })
	// Without it no pod is admitted.
	p.eventually(t, "the default service account", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(p.namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil
	})
	return p
}

// remove kills all pods without grace, and removes the namespace.
func (p *place) remove(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if t.Failed() {
		p.dump(ctx, t)
	}
	if err := p.client.CoreV1().Namespaces().Delete(ctx, p.namespace, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	err := p.client.CoreV1().Pods(p.namespace).DeleteCollection(ctx,
		metav1.DeleteOptions{GracePeriodSeconds: new(int64(1))}, metav1.ListOptions{})
	if err != nil {
		t.Error(err)
	}
}

// dump logs information that may explain a failure.
func (p *place) dump(ctx context.Context, t *testing.T) {
	pods, err := p.client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, pod := range pods.Items {
		t.Logf("pod %s %v deleted %v on %q: %s %s %+v", pod.Name, pod.Labels, pod.DeletionTimestamp,
			pod.Spec.NodeName, pod.Status.Phase, pod.Status.Reason, pod.Status.ContainerStatuses)
	}
	events, err := p.client.CoreV1().Events(p.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, e := range events.Items {
		t.Logf("event %s %s: %s: %s", e.LastTimestamp.Format("04:05"), e.InvolvedObject.Name, e.Reason, e.Message)
	}
}

// config is the configuration of a backend in the place.
func (p *place) config(t *testing.T) kubernetes.Config {
	return kubernetes.Config{
		REST: p.rest, Namespace: p.namespace, PullTimeout: 2 * time.Second, StartTimeout: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func (p *place) open(t *testing.T, change ...func(*kubernetes.Config)) backend.Backend {
	t.Helper()
	cfg := p.config(t)
	for _, f := range change {
		f(&cfg)
	}
	b, err := kubernetes.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runnable returns a progdef that runs the suite's program.
func runnable() progdef.Document { return progdef.Document{Image: image} }

// listen returns the address at which pods reach the test.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", cluster.Address+":0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().String()
}

// remains waits until objects without an executor are removed, which takes Kubernetes some seconds, and lists the
// executors that have objects in the place.
func (p *place) remains(t *testing.T) []string {
	t.Helper()
	var executors []string
	p.eventually(t, "the removal of objects without an executor", func(ctx context.Context) (bool, error) {
		found, strays, err := p.look(ctx)
		executors = found
		return len(strays) == 0, err
	})
	return executors
}

// look returns the executors in records and pods, and the objects without an executor.
func (p *place) look(ctx context.Context) (executors, strays []string, err error) {
	ours := metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=dagyo-spawner"}
	records, err := p.client.CoreV1().ConfigMaps(p.namespace).List(ctx, ours)
	if err != nil {
		return nil, nil, err
	}
	found, sets := map[string]bool{}, map[string]bool{}
	for _, r := range records.Items {
		for _, id := range idsIn(r.Data["executors"]) {
			found[id], sets[r.Name] = true, true
		}
		if !sets[r.Name] {
			strays = append(strays, "record "+r.Name)
		}
	}
	others, err := p.others(ctx, ours)
	for object, set := range others {
		if !sets[set] {
			strays = append(strays, object)
		}
	}
	pods, podErr := p.client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
	if podErr != nil {
		return nil, nil, podErr
	}
	for _, pod := range pods.Items {
		id := pod.Labels["dagyo.dev/executor"]
		switch {
		case id == "" || pod.DeletionTimestamp != nil && !found[id]:
			strays = append(strays, "pod "+pod.Name)
		default:
			found[id] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), strays, err
}

// others lists Deployments, ReplicaSets and Secrets, each with the name of its set.
func (p *place) others(ctx context.Context, ours metav1.ListOptions) (map[string]string, error) {
	out := map[string]string{}
	deployments, err := p.client.AppsV1().Deployments(p.namespace).List(ctx, ours)
	if err != nil {
		return nil, err
	}
	for _, d := range deployments.Items {
		out["deployment "+d.Name] = d.Name
	}
	sets, err := p.client.AppsV1().ReplicaSets(p.namespace).List(ctx, ours)
	if err != nil {
		return nil, err
	}
	for _, s := range sets.Items {
		out["replica set "+s.Name] = s.Labels["app.kubernetes.io/instance"]
	}
	secrets, err := p.client.CoreV1().Secrets(p.namespace).List(ctx, ours)
	if err != nil {
		return nil, err
	}
	for _, s := range secrets.Items {
		out["secret "+s.Name] = s.Name
	}
	return out, nil
}

// idsIn reads the executors of a record with as little knowledge of its format as possible.
func idsIn(list string) []string {
	var out []string
	for _, part := range strings.Split(list, `{"executor":"`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		out = append(out, id)
	}
	return out
}

// eventually polls until a condition holds, since conditions depend on many objects and on the memory of a backend.
func (p *place) eventually(t *testing.T, what string, holds func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	for {
		ok, err := holds(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("waited %s in vain for %s", p.patience, what)
		}
	}
}

func describe(pods []corev1.Pod) string {
	var out []string
	for _, p := range pods {
		out = append(out, fmt.Sprintf("%s (%s)", p.Name, p.Labels["dagyo.dev/executor"]))
	}
	return strings.Join(out, ", ")
}
