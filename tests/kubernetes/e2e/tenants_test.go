//go:build kubernetes

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// asOperator runs the dagyo command with the keys in the cluster.
func asOperator(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(root(), "dist", "dagyo"), append(args, "--secrets", space, "--server", queue)...)
	cmd.Dir = t.TempDir()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dagyo %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return string(out)
}

// asTenant connects as a publisher of a tenant.
func asTenant(t *testing.T, tenant string) *user {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.creds")
	creds := asOperator(t, "user", "add", "ada", "--tenant", tenant, "--role", "publisher", "--out", "-")
	if err := os.WriteFile(file, []byte(creds), 0o600); err != nil {
		t.Fatal(err)
	}
	access := broker.Access{Creds: file, CA: operator.CA}
	c, err := client.Connect(t.Context(), client.Options{URL: queue, Access: access, Source: "/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &user{harness.ConnectAs(t, queue, access), c}
}

// podsIn returns the pods of a namespace with executors of a progdef.
func podsIn(t *testing.T, namespace, progdef string) (names []string) {
	t.Helper()
	list, err := api.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "dagyo.dev/progdef=" + progdef})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	return names
}

// Tenants come and go while everything runs. One has a namespace of its own, another shares that of all, where its progdefs
// cannot use what others have put there. Keys are replaced meanwhile.
func TestTenants(t *testing.T) {
	folder, err := os.MkdirTemp(filepath.Join(root(), "bin"), "tenant-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	base, err := filepath.Rel(folder, filepath.Join(root(), "deploy", "kubernetes", "tenant"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte("namespace: acme-executors\nresources: ["+base+"]\n"), 0o600)
	}
	if err == nil {
		err = kubectl("apply", "-k", folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kubectl("delete", "-k", folder, "--wait=false") }()

	asOperator(t, "tenant", "add", "acme", "--namespace", "acme-executors")
	asOperator(t, "tenant", "add", "basic")
	acme, basic := asTenant(t, "acme"), asTenant(t, "basic")
	acme.Apply(t, greeter("own").json(t))
	basic.Apply(t, greeter("own").json(t))
	flow := acme.open(t, "same-id", through("own", "name", "greeting"))
	other := basic.open(t, "same-id", through("own", "name", "greeting"))
	if a, b := podsIn(t, "acme-executors", "own"), podsIn(t, executors, "own"); len(a) != 1 || len(b) != 1 {
		t.Errorf("pods are %v and %v", a, b)
	}
	asOperator(t, "keys", "rotate")
	flow.echo(t, "again", "hello again")
	other.echo(t, "again", "hello again")
	flow.end(t)
	other.end(t)

	if err := kubectl("-n", executors, "create", "secret", "generic", "not-theirs", "--from-literal=KEY=value"); err != nil {
		t.Fatal(err)
	}
	basic.Apply(t, greeter("thief").with("envFrom", []map[string]string{{"secret": "not-theirs"}}).json(t))
	basic.Submit(t, "theft", document{
		"nodes":   map[string]any{"node": map[string]any{"progdef": "thief", "with": map[string]any{"name": []string{"x"}}}},
		"outputs": map[string]string{"out": "node.greeting"},
	}.json(t))
	basic.panics(t, "theft", contract.KindCrash, "this tenant has no sets of variables")

	asOperator(t, "tenant", "rm", "acme", "--yes")
	asOperator(t, "tenant", "rm", "basic", "--yes")
	for _, namespace := range []string{"acme-executors", executors} {
		eventually(t, "the end of a removed tenant's pods", func() (string, bool) {
			left := podsIn(t, namespace, "own")
			return fmt.Sprint(left), len(left) == 0
		})
	}
	u := newUser(t)
	u.Apply(t, greeter("after").json(t))
	f := u.open(t, "after-tenants", through("after", "name", "greeting"))
	f.end(t)
	none(t, "after")
}
