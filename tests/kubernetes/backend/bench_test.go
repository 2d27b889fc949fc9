//go:build kubernetes

package backend

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/services/spawner/kubernetes"
)

// A bench is a place with one backend and its programs.
type bench struct {
	*place
	backend.Backend
	control *backendtest.Control
	dial    string
	env     map[string]string // added to the environment of executors

	reading sync.WaitGroup
	mu      sync.Mutex
	exits   map[string]backend.Exit
	changed chan struct{}
}

func setup(t *testing.T, change ...func(*kubernetes.Config)) *bench {
	t.Helper()
	t.Parallel()
	p := newPlace(t)
	l, dial := listen(t)
	return p.bench(t, l, dial, change...)
}

// bench opens a backend whose exits are read until the end of the test.
func (p *place) bench(t *testing.T, l net.Listener, dial string, change ...func(*kubernetes.Config)) *bench {
	t.Helper()
	b := &bench{
		place: p, Backend: p.open(t, change...), control: backendtest.NewControl(t, l, true), dial: dial,
		exits: map[string]backend.Exit{}, changed: make(chan struct{}),
	}
	b.reading.Go(func() {
		for e := range b.Exits() {
			b.mu.Lock()
			b.exits[e.Executor] = e
			close(b.changed)
			b.changed = make(chan struct{})
			b.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		b.reading.Wait()
	})
	return b
}

func (b *bench) spec(id string, d progdef.Document) backend.Spec {
	if d.Drain.GracePeriod == 0 {
		d.Drain.GracePeriod = document.Duration(time.Hour)
	}
	env := map[string]string{backendtest.EnvDial: b.dial, contract.EnvExecutor: id}
	maps.Copy(env, b.env)
	return backend.Spec{
		Executor: id, Progdef: "tester", Revision: "0123456789ab", Document: d, Env: env, Credentials: []byte("the credentials of " + id),
	}
}

// begin starts an executor without waiting for its program.
func (b *bench) begin(t *testing.T, id string, d progdef.Document) {
	t.Helper()
	if err := b.Start(t.Context(), b.spec(id, d)); err != nil {
		t.Fatalf("Start: %v", err)
	}
}

func (b *bench) start(t *testing.T, id string) *backendtest.Running {
	t.Helper()
	b.begin(t, id, runnable())
	return b.control.Program(t, id)
}

// exit waits for an executor's exit.
func (b *bench) exit(t *testing.T, id string) backend.Exit {
	t.Helper()
	late := time.After(b.patience)
	for {
		b.mu.Lock()
		e, ok := b.exits[id]
		changed := b.changed
		b.mu.Unlock()
		if ok {
			return e
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the exit of executor %q was never reported", id)
		}
	}
}

// wantPermanent waits for an exit which reports that no executor can run, and the reason.
func (b *bench) wantPermanent(t *testing.T, id, words string) {
	t.Helper()
	if e := b.exit(t, id); !e.Permanent || !strings.Contains(e.Reason, words) {
		t.Errorf("exit is %+v, want a permanent one because %q", e, words)
	}
}

// wantWaiting waits until List reports why an executor is waiting.
func (b *bench) wantWaiting(t *testing.T, id, words string) {
	t.Helper()
	b.eventually(t, "the words "+words, func(ctx context.Context) (bool, error) {
		list, err := b.List(ctx)
		i := slices.IndexFunc(list, func(s backend.Status) bool { return s.Executor == id })
		return i >= 0 && strings.Contains(list[i].Waiting, words), err
	})
}

func (b *bench) wantRunning(t *testing.T, ids ...string) {
	t.Helper()
	list, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.Executor)
	}
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		t.Errorf("running are %v, want %v", got, ids)
	}
}

// pod returns the pod of an executor.
func (b *bench) pod(t *testing.T, id string) corev1.Pod {
	t.Helper()
	pods, err := b.client.CoreV1().Pods(b.namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: "dagyo.dev/executor=" + id})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("pods of %s are: %s", id, describe(pods.Items))
	}
	return pods.Items[0]
}

// end makes a program exit and removes it from the list.
func (b *bench) end(t *testing.T, p *backendtest.Running) {
	t.Helper()
	p.Tell(t, "exit 0")
	if e := b.exit(t, p.Executor); e.Code != 0 {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, p.Executor)
}

func (b *bench) forget(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Forget(t.Context(), id); err != nil {
			t.Fatalf("Forget: %v", err)
		}
	}
}

func (b *bench) wantNothingLeft(t *testing.T) {
	t.Helper()
	if left := b.remains(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
