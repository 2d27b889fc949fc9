//go:build kubernetes

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/tests/harness"
)

// A user submits flows and receives all events.
type user struct {
	*harness.Client
	dagyo *client.Client
}

func newUser(t *testing.T) *user {
	t.Helper()
	c, err := client.Connect(t.Context(), client.Options{URL: queue, Access: operator, Source: "/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &user{harness.ConnectAs(t, queue, operator), c}
}

// A document is a progdef or a flow that a test changes before it is used.
type document map[string]any

func (d document) with(field string, value any) document {
	d[field] = value
	return d
}

func (d document) json(t *testing.T) string {
	t.Helper()
	body, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// program is a progdef that runs a misbehaving program, under its own name.
func program(name, what string, ports ...string) document {
	d := document{
		"name": name, "image": faultyImg, "command": []string{"/faulty", what},
		"scaling": map[string]any{"jobsPerExecutor": 2, "maxExecutors": 4, "idleTimeout": "1s"},
		"drain":   map[string]any{"gracePeriod": "1m"},
	}
	for _, port := range ports {
		field := map[string]string{"in": "inputs", "out": "outputs"}[port]
		d[field] = map[string]string{port: "utf8-string"}
	}
	return d
}

// greeter is the standard progdef greet as an image, under its own name.
func greeter(name string) document {
	return document{
		"name": name, "image": dagyoImage, "command": []string{"dagyo", "executor", "greet"},
		"inputs":  map[string]string{"name": "utf8-string"},
		"outputs": map[string]string{"greeting": "utf8-string"},
		"scaling": map[string]any{"jobsPerExecutor": 2, "maxExecutors": 4, "idleTimeout": "1s"},
		"drain":   map[string]any{"gracePeriod": "1m"},
	}
}

// through is a flow of one node, from an input to an output of the flow.
func through(progdef, in, out string) document {
	return document{
		"nodes":   map[string]any{"node": map[string]string{"progdef": progdef}},
		"inputs":  map[string]string{"in": "node." + in},
		"outputs": map[string]string{"out": "node." + out},
	}
}

// only is a flow of one node with an output.
func only(progdef string) document {
	return document{
		"nodes":   map[string]any{"node": map[string]string{"progdef": progdef}},
		"outputs": map[string]string{"out": "node.out"},
	}
}

// An open flow is a flow whose input the test holds open: its job runs until the test closes the input.
type open struct {
	id     string
	in     *stream.Writer
	out    *stream.Reader
	user   *user
	onNode string // the pod of its job
}

// open submits a flow of one node, and returns when a first record has passed through it.
func (u *user) open(t *testing.T, id string, flow document) *open {
	t.Helper()
	u.Submit(t, id, flow.json(t))
	planned := u.planned(t, id)
	in, err := stream.NewWriter(u.JS, planned.Inputs["in"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Abort)
	out, err := stream.NewReader(u.JS, planned.Outputs["out"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Abort)
	f := &open{id: id, in: in, out: out, user: u}
	f.echo(t, "first", "hello first")
	started := u.Await(t, "job.started of "+id, func(e contract.Event) bool {
		return e.Type == contract.TypeJobStarted && e.Subject == id
	})
	f.onNode = started.Data.(*contract.JobStarted).Executor
	return f
}

// echo sends a record through the flow.
func (f *open) echo(t *testing.T, record, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	if err := f.in.Send(ctx, []byte(record)); err != nil {
		t.Fatalf("send to %s: %v", f.id, err)
	}
	got, err := f.out.Recv(ctx)
	if err != nil {
		t.Fatalf("receive from %s: %v", f.id, err)
	}
	if string(got) != want {
		t.Errorf("%s answers %q, want %q", f.id, got, want)
	}
}

// end ends the flow's input; the flow must complete.
func (f *open) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- f.in.Close(ctx) }()
	if got, err := f.out.Recv(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("%s: %q, %v after its last record", f.id, got, err)
	}
	if err := <-closed; err != nil {
		t.Errorf("end the input of %s: %v", f.id, err)
	}
	f.user.completes(t, f.id)
}

func (u *user) planned(t *testing.T, id string) *contract.FlowPlanned {
	t.Helper()
	e := u.Await(t, "flow.planned or the end of "+id, func(e contract.Event) bool {
		return harness.Is(contract.TypeFlowPlanned, id)(e) || harness.Ended(id)(e)
	})
	planned, ok := e.Data.(*contract.FlowPlanned)
	if !ok {
		t.Fatalf("%s ended with %s: %+v", id, e.Type, e.Data)
	}
	return planned
}

func (u *user) completes(t *testing.T, id string) {
	t.Helper()
	if e := u.AwaitEnd(t, id); e.Type != contract.TypeFlowCompleted {
		t.Errorf("%s ended with %s: %+v", id, e.Type, e.Data)
	}
}

// panics awaits the flow's panic, and checks its message.
func (u *user) panics(t *testing.T, id string, kind contract.Kind, words ...string) contract.Failure {
	t.Helper()
	e := u.AwaitEnd(t, id)
	d, ok := e.Data.(*contract.FlowPanic)
	if !ok {
		t.Fatalf("%s ended with %s: %+v", id, e.Type, e.Data)
	}
	f := d.Cause.Failure
	if f.Kind != kind {
		t.Errorf("%s panicked with kind %s: %s", id, f.Kind, f.Message)
	}
	for _, want := range words {
		if !strings.Contains(f.Message+"\n"+f.Detail, want) {
			t.Errorf("%s: got message %q, detail %q; want %q in it", id, f.Message, f.Detail, want)
		}
	}
	return f
}

// all reads an output to its end.
func (u *user) all(t *testing.T, id string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	var got []string
	_, err := u.dagyo.Read(ctx, ctx, u.planned(t, id).Outputs["out"], func(record []byte) error {
		got = append(got, string(record))
		return nil
	})
	if err != nil {
		t.Fatalf("read %s: %v (%q so far)", id, err, got)
	}
	return got
}

// eventually polls until a condition holds, for conditions without notifications.
func eventually(t *testing.T, what string, look func() (string, bool)) {
	t.Helper()
	late := time.After(harness.Patience)
	for {
		last, ok := look()
		if ok {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-late:
			t.Fatalf("waited in vain for %s: %s", what, last)
		}
	}
}

// capacity waits for the counts of a progdef's revisions in `dagyo progdef show`.
func (u *user) capacity(t *testing.T, progdef, what string, is func([]contract.Capacity) bool) {
	t.Helper()
	eventually(t, what, func() (string, bool) {
		all, err := u.dagyo.Capacity(t.Context(), progdef)
		return fmt.Sprintf("%+v %v", all, err), err == nil && is(all)
	})
}

// pods lists the executors of a progdef.
func pods(t *testing.T, progdef string) []corev1.Pod {
	t.Helper()
	list, err := api.CoreV1().Pods(executors).List(t.Context(), metav1.ListOptions{
		LabelSelector: "dagyo.dev/progdef=" + progdef,
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// podOf finds the pod of an executor.
func podOf(t *testing.T, progdef, executor string) corev1.Pod {
	t.Helper()
	all := pods(t, progdef)
	i := slices.IndexFunc(all, func(p corev1.Pod) bool { return p.Labels["dagyo.dev/executor"] == executor })
	if i < 0 {
		t.Fatalf("executor %s has no pod among %d", executor, len(all))
	}
	return all[i]
}

// none waits until no pod, no Deployment and no credentials of a progdef are left.
func none(t *testing.T, progdef string) {
	t.Helper()
	eventually(t, "the removal of "+progdef, func() (string, bool) {
		selector := metav1.ListOptions{LabelSelector: "dagyo.dev/progdef=" + progdef}
		sets, err := api.AppsV1().Deployments(executors).List(t.Context(), selector)
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := api.CoreV1().Secrets(executors).List(t.Context(), selector)
		if err != nil {
			t.Fatal(err)
		}
		left := pods(t, progdef)
		return fmt.Sprintf("%d pods, %d deployments, %d secrets", len(left), len(sets.Items), len(secrets.Items)),
			len(left)+len(sets.Items)+len(secrets.Items) == 0
	})
}
