//go:build kubernetes

package backend

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
)

// An executor finds its credentials, although its machine already knows the Secret without them, from executors that it
// has run before. Those of an executor that was forgotten are gone.
func TestCredentials(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	l, dial := listen(t)
	b := p.bench(t, l, dial)
	var all []*backendtest.Running
	for i := range 12 {
		id := fmt.Sprintf("e%d", i)
		all = append(all, b.start(t, id))
		if got := all[i].Ask(t, "file %s", contract.EnvCreds); got != "the credentials of "+id {
			t.Errorf("executor %s has %q", id, got)
		}
	}
	name := b.pod(t, "e0").Labels["app.kubernetes.io/instance"]
	b.end(t, all[0])
	secret, err := p.client.CoreV1().Secrets(p.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(secret.Data) != 11 || secret.Data["e0"] != nil {
		t.Errorf("the Secret has %d entries", len(secret.Data))
	}
	for _, program := range all[1:] {
		b.end(t, program)
	}
	b.wantNothingLeft(t)
}
