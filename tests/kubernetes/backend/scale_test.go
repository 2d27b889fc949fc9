//go:build kubernetes

package backend

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// simulated returns a progdef that runs on simulated nodes.
func simulated() progdef.Document {
	return progdef.Document{Image: image, Machine: progdef.Machine{
		NodeSelector: map[string]string{cluster.NodeLabel: cluster.Simulated},
		Tolerations:  []progdef.Toleration{{Key: cluster.NodeLabel, Operator: "Exists"}},
	}}
}

// Five hundred executors of one revision are started at once, become idle, and are drained. The duration is printed,
// but not tested.
func TestFiveHundred(t *testing.T) {
	const n = 500
	p := newPlace(t)
	l, dial := listen(t)
	b := p.bench(t, l, dial)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("e-%d", i)
	}
	all := func(what string, f func(context.Context, string) error) {
		t.Helper()
		began := time.Now()
		var calls sync.WaitGroup
		for _, id := range ids {
			calls.Go(func() {
				if err := f(t.Context(), id); err != nil {
					t.Errorf("%s %s: %v", what, id, err)
				}
			})
		}
		calls.Wait()
		t.Logf("%s: %v", what, time.Since(began))
	}
	began := time.Now()
	all("Start", func(ctx context.Context, id string) error { return b.Start(ctx, b.spec(id, simulated())) })
	b.eventually(t, "500 running pods", func(ctx context.Context) (bool, error) {
		pods, err := b.client.CoreV1().Pods(b.namespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		return len(pods.Items) == n, err
	})
	t.Logf("all run: %v", time.Since(began))
	all("Protect", func(ctx context.Context, id string) error { return b.Protect(ctx, id, false) })
	began = time.Now()
	all("Drain", b.Drain)
	for _, id := range ids {
		b.exit(t, id)
	}
	t.Logf("all have exited: %v", time.Since(began))
	all("Forget", b.Forget)
	began = time.Now()
	b.wantNothingLeft(t)
	t.Logf("everything is removed: %v", time.Since(began))
}
