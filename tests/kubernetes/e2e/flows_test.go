//go:build kubernetes

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// The files that run on a laptop also run here, with the users' command.
func TestTheSameFlow(t *testing.T) {
	dagyo := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(root(), "dist", "dagyo"), append([]string{"--server", queue, "--creds", operator.Creds, "--tls-ca", operator.CA}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("dagyo %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	dagyo("health")
	dagyo("progdef", "apply", "--standard", dagyoImage)
	out := dagyo("run", filepath.Join(root(), "tests", "flows", "greetings.json"))
	if n := strings.Count(out, "hello "); n < 2 {
		t.Errorf("%d greetings in\n%s", n, out)
	}
	if show := dagyo("progdef", "show", "greet"); !strings.Contains(show, "current   1") {
		t.Errorf("progdef show lists no executor:\n%s", show)
	}
}

// The spawner may not read Secrets, nor change anything where the keys are.
func TestSpawnerCannotReachTheKeys(t *testing.T) {
	as := "--as=system:serviceaccount:" + space + ":spawner"
	for _, c := range []struct {
		in, verb, what string
		allowed        bool
	}{
		{executors, "create", "deployments", true}, // so that the others mean something
		{executors, "get", "secrets", false},
		{executors, "list", "secrets", false},
		{space, "get", "secrets", false},
		{space, "patch", "secrets", false},
		{space, "create", "deployments", false},
		{space, "create", "pods", false},
		{space, "patch", "statefulsets", false},
		{space, "get", "configmaps", false},
	} {
		err := kubectl("-n", c.in, "auth", "can-i", c.verb, c.what, as, "--quiet")
		if (err == nil) != c.allowed {
			t.Errorf("the spawner may %s %s in %s: %v", c.verb, c.what, c.in, err == nil)
		}
	}
}

// An executor has credentials of its own, which are in no object but the Secret of its revision, and nobody connects
// without any.
func TestCredentials(t *testing.T) {
	for what, c := range map[string]struct {
		option nats.Option
		want   error
	}{
		"credentials":   {nats.RootCAs(operator.CA), nats.ErrAuthorization},
		"the authority": {nats.UserCredentials(operator.Creds), nats.ErrTLS},
	} {
		nc, err := nats.Connect(queue, c.option)
		if err == nil {
			nc.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("connecting without %s: %v", what, err)
		}
	}
	u := newUser(t)
	u.Apply(t, greeter("trusted").with("scaling", map[string]any{"jobsPerExecutor": 1, "maxExecutors": 2, "idleTimeout": "1s"}).json(t))
	one, two := u.open(t, "trusted-1", through("trusted", "name", "greeting")), u.open(t, "trusted-2", through("trusted", "name", "greeting"))
	if one.onNode == two.onNode {
		t.Fatalf("both flows run on %s", one.onNode)
	}
	pod := podOf(t, "trusted", one.onNode)
	secret, err := api.CoreV1().Secrets(executors).Get(t.Context(), pod.Labels["app.kubernetes.io/instance"], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*open{one, two} {
		if holder, ok, err := access.Read(secret.Data[f.onNode]); !ok || err != nil || holder.Role != access.Executor || holder.Name != f.onNode {
			t.Errorf("the credentials of %s are for %+v, %v", f.onNode, holder, err)
		}
	}
	text, err := json.Marshal(pod)
	if err != nil || strings.Contains(string(text), "NATS USER JWT") {
		t.Errorf("the pod contains credentials, %v", err)
	}
	one.end(t)
	eventually(t, "the removal of the credentials of an executor that has exited", func() (string, bool) {
		left, err := api.CoreV1().Secrets(executors).Get(t.Context(), secret.Name, metav1.GetOptions{})
		return fmt.Sprint(len(left.Data), err), err == nil && left.Data[one.onNode] == nil && left.Data[two.onNode] != nil
	})
	two.echo(t, "again", "hello again")
	two.end(t)
	none(t, "trusted")
}

func TestEnvironmentOfConfigMapAndSecret(t *testing.T) {
	u := newUser(t)
	_, err := api.CoreV1().ConfigMaps(executors).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"},
		Data:       map[string]string{"PLAIN": "from the config map", "BOTH": "from the config map"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.CoreV1().Secrets(executors).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "keys"},
		StringData: map[string]string{"SECRET": "from the secret", "BOTH": "from the secret"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.Apply(t, program("variables", "environment", "in", "out").
		with("env", map[string]string{"OWN": "of $(HOSTNAME)"}).
		with("envFrom", []map[string]string{{"configMap": "settings"}, {"secret": "keys"}}).json(t))
	flow := only("variables").with("nodes", map[string]any{"node": map[string]any{
		"progdef": "variables", "with": map[string]any{"in": []string{"PLAIN", "SECRET", "BOTH", "OWN", "NONE"}},
	}})
	u.Submit(t, "variables", flow.json(t))
	want := []string{"from the config map", "from the secret", "from the secret", "of $(HOSTNAME)", ""}
	if got := u.all(t, "variables"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	u.completes(t, "variables")
	none(t, "variables") // to zero
}

// A missing Secret is reported; the flow does not hang.
func TestMissingSecret(t *testing.T) {
	u := newUser(t)
	u.Apply(t, program("keyless", "waits", "out").with("envFrom", []map[string]string{{"secret": "nowhere"}}).json(t))
	u.Submit(t, "keyless", only("keyless").json(t))
	u.panics(t, "keyless", contract.KindCrash, "nowhere")
	none(t, "keyless")
}

// An image that cannot be pulled is reported while the pull is retried, and finally ends the flow.
func TestMissingImage(t *testing.T) {
	u := newUser(t)
	u.Apply(t, program("unbuilt", "waits", "out").with("image", "registry.test/unbuilt:1").json(t))
	u.Submit(t, "unbuilt", only("unbuilt").json(t))
	queued := u.Await(t, "the reason why the flow is waiting", func(e contract.Event) bool {
		return e.Type == contract.TypeFlowQueued && e.Subject == "unbuilt"
	}).Data.(*contract.FlowQueued)
	if why := queued.Shortage[0].Reason; !strings.Contains(why, "image") || !strings.Contains(why, "registry.test/unbuilt:1") {
		t.Errorf("the flow is waiting because %q", why)
	}
	u.panics(t, "unbuilt", contract.KindCrash, "image", "registry.test/unbuilt:1")
	none(t, "unbuilt")
}

func TestOutOfMemory(t *testing.T) {
	u := newUser(t)
	u.Apply(t, program("glutton", "eats-memory", "out").
		with("resources", map[string]any{"limits": map[string]string{"memory": "64Mi"}}).json(t))
	u.Submit(t, "glutton", only("glutton").json(t))
	u.panics(t, "glutton", contract.KindCrash, "more memory", "64Mi")
	none(t, "glutton")
}

func TestCrash(t *testing.T) {
	u := newUser(t)
	u.Apply(t, program("clumsy", "exits-three", "out").json(t))
	u.Submit(t, "clumsy", only("clumsy").json(t))
	u.panics(t, "clumsy", contract.KindCrash, "exited with code 3", "out of memory")
	none(t, "clumsy")
}

// A program that always exits before it takes a job ends its flow after a few tries, and is not retried forever.
func TestCrashLoop(t *testing.T) {
	u := newUser(t)
	u.Apply(t, program("modelless", "never-starts", "out").json(t))
	u.Submit(t, "modelless", only("modelless").json(t))
	u.panics(t, "modelless", contract.KindCrash, "in a row", "no such model: faulty-7b")
	none(t, "modelless")
}

// An executor that fits on no machine waits, and the reason is reported to the user and in the flow's status.
func TestUnschedulable(t *testing.T) {
	u := newUser(t)
	u.Apply(t, program("whale", "waits", "out").
		with("resources", map[string]any{"requests": map[string]string{"cpu": "1000"}}).json(t))
	u.Submit(t, "whale", only("whale").json(t))
	queued := u.Await(t, "the reason why the flow is waiting", func(e contract.Event) bool {
		return e.Type == contract.TypeFlowQueued && e.Subject == "whale"
	}).Data.(*contract.FlowQueued)
	if queued.Place != 0 || !strings.Contains(queued.Shortage[0].Reason, "cpu") {
		t.Errorf("the flow is waiting for %+v", queued)
	}
	eventually(t, "the reason in the flow's status", func() (string, bool) {
		status, err := u.dagyo.Flow(t.Context(), "whale")
		return fmt.Sprintf("%+v %v", status.Queued, err), err == nil && status.Queued != nil &&
			strings.Contains(status.Queued.Shortage[0].Reason, "cpu")
	})
	u.Cancel(t, "whale")
	u.AwaitEnd(t, "whale")
	none(t, "whale")
}

// New flows use a new revision. A running flow keeps its executor, which is removed after its last job.
func TestRollingUpgrade(t *testing.T) {
	u := newUser(t)
	u.Apply(t, greeter("upgraded").json(t))
	old := u.open(t, "upgraded-1", through("upgraded", "name", "greeting"))
	u.Apply(t, greeter("upgraded").with("env", map[string]string{"VERSION": "2"}).json(t))
	fresh := u.open(t, "upgraded-2", through("upgraded", "name", "greeting"))
	if old.onNode == fresh.onNode {
		t.Errorf("both flows are running on %s", old.onNode)
	}
	u.capacity(t, "upgraded", "an executor of each revision", func(all []contract.Capacity) bool {
		return len(all) == 2 && all[0].Current && all[0].Running == 1 && !all[1].Current && all[1].Running == 1
	})
	old.echo(t, "again", "hello again")
	old.end(t)
	u.capacity(t, "upgraded", "the end of the old revision", func(all []contract.Capacity) bool {
		return len(all) == 1 && all[0].Current && all[0].Running == 1
	})
	fresh.echo(t, "again", "hello again")
	fresh.end(t)
	none(t, "upgraded")
}

// The deletion of a busy executor's pod waits for its jobs.
func TestDeletedPodDrains(t *testing.T) {
	u := newUser(t)
	u.Apply(t, greeter("deleted").json(t))
	f := u.open(t, "deleted", through("deleted", "name", "greeting"))
	pod := podOf(t, "deleted", f.onNode)
	if err := api.CoreV1().Pods(executors).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	u.Await(t, "executor.draining", harness.Is(contract.TypeExecutorDraining, f.onNode))
	f.echo(t, "again", "hello again")
	// New jobs go to other executors meanwhile.
	other := u.open(t, "deleted-2", through("deleted", "name", "greeting"))
	if other.onNode == f.onNode {
		t.Errorf("a draining executor took a job")
	}
	other.end(t)
	f.end(t)
	exited := u.Await(t, "executor.exited", harness.Is(contract.TypeExecutorExited, f.onNode)).Data.(*contract.ExecutorExited)
	if exited.Code != 0 {
		t.Errorf("the drained executor: %+v", exited)
	}
	none(t, "deleted")
}

// A busy executor is not evicted from its machine; an idle one may be.
func TestNodeDrain(t *testing.T) {
	u := newUser(t)
	u.Apply(t, greeter("settled").with("scaling", map[string]any{"idleTimeout": "5m"}).json(t))
	f := u.open(t, "settled", through("settled", "name", "greeting"))
	pod := podOf(t, "settled", f.onNode)
	// Until the kubelet reports that it is running, a pod is pending for the API server, and may be evicted.
	eventually(t, "the pod to be reported as running", func() (string, bool) {
		p := podOf(t, "settled", f.onNode)
		return string(p.Status.Phase), p.Status.Phase == corev1.PodRunning
	})
	evict := func() error {
		return api.PolicyV1().Evictions(executors).Evict(t.Context(), &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: executors},
		})
	}
	if err := evict(); !apierrors.IsTooManyRequests(err) {
		t.Errorf("evicting a busy executor: %v, want a temporary refusal", err)
	}
	f.echo(t, "again", "hello again")
	if err := kubectl("cordon", cluster.Real); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kubectl("uncordon", cluster.Real); err != nil {
			t.Error(err)
		}
	})
	drained := make(chan error, 1)
	go func() {
		drained <- kubectl("drain", cluster.Real, "--pod-selector=dagyo.dev/progdef=settled", "--delete-emptydir-data",
			"--timeout=1m")
	}()
	f.echo(t, "during", "hello during")
	f.end(t)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	exited := u.Await(t, "executor.exited", harness.Is(contract.TypeExecutorExited, f.onNode)).Data.(*contract.ExecutorExited)
	if exited.Code != 0 {
		t.Errorf("the evicted executor: %+v", exited)
	}
}

// The spawner's pods are replaced while a flow is running: its executor is adopted.
func TestSpawnerRestart(t *testing.T) {
	u := newUser(t)
	u.Apply(t, greeter("adopted").json(t))
	f := u.open(t, "adopted", through("adopted", "name", "greeting"))
	if err := kubectl("-n", space, "rollout", "restart", "deployment/spawner"); err != nil {
		t.Fatal(err)
	}
	if err := kubectl("-n", space, "rollout", "status", "deployment/spawner", "--timeout=1m"); err != nil {
		t.Fatal(err)
	}
	f.echo(t, "again", "hello again")
	second := u.open(t, "adopted-2", through("adopted", "name", "greeting"))
	if second.onNode != f.onNode {
		t.Errorf("the second flow runs on %s, the first on %s: a free slot was not used", second.onNode, f.onNode)
	}
	second.end(t)
	f.end(t)
	none(t, "adopted")
}

// Scaling down removes idle executors and waits for jobs.
func TestScaleDown(t *testing.T) {
	u := newUser(t)
	u.Apply(t, greeter("scaled").
		with("scaling", map[string]any{"jobsPerExecutor": 1, "maxExecutors": 3, "idleTimeout": "1s"}).json(t))
	var flows []*open
	for i := range 3 {
		flows = append(flows, u.open(t, fmt.Sprintf("scaled-%d", i), through("scaled", "name", "greeting")))
	}
	flows[0].end(t)
	flows[2].end(t)
	eventually(t, "one executor fewer", func() (string, bool) {
		left := pods(t, "scaled")
		return fmt.Sprint(len(left)), len(left) == 1
	})
	flows[1].echo(t, "still", "hello still")
	flows[1].end(t)
	none(t, "scaled")
}
