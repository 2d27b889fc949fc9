//go:build kubernetes

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

const (
	// space is the namespace of deploy/kubernetes with the services, executors that of the executors.
	space     = "dagyo"
	executors = "dagyo-executors"
	// queue is the URL of its NATS for users.
	queue = "nats://dagyo-nats." + space + ".svc." + cluster.Domain + ":4222"
)

// Shared by all tests: the cluster's API, and the images by digest.
var (
	api                   kubernetes.Interface
	dagyoImage, faultyImg string
	// operator has the files of the operator.
	operator broker.Access
)

func TestMain(m *testing.M) {
	if err := install(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "these tests run inside a cluster, by make kubernetes:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(filepath.Dir(operator.Creds)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if code != 0 {
		report(os.Stderr)
	}
	os.Exit(code)
}

// install pushes the images and applies the manifests, as an operator does.
func install(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	if api, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	nats, err := pushAll(ctx)
	if err != nil {
		return err
	}
	folder, err := overlay(nats)
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := kubectl("apply", "-k", folder); err != nil {
		return err
	}
	for _, what := range []string{
		"statefulset/dagyo-nats", "deployment/validator", "deployment/planner", "deployment/spawner",
		"deployment/panic-aggregator",
	} {
		if err := kubectl("-n", space, "rollout", "status", what, "--timeout=2m"); err != nil {
			return err
		}
	}
	return enter(ctx)
}

// enter fetches the files of the operator.
func enter(ctx context.Context) error {
	secret, err := api.CoreV1().Secrets(space).Get(ctx, "dagyo-operator", metav1.GetOptions{})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "operator-")
	if err != nil {
		return err
	}
	operator = broker.Access{Creds: filepath.Join(dir, "nats.creds"), CA: filepath.Join(dir, "ca.crt")}
	for _, path := range []string{operator.Creds, operator.CA} {
		if err := os.WriteFile(path, secret.Data[filepath.Base(path)], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pushAll pushes the images to the cluster's registry, and returns the image of NATS.
func pushAll(ctx context.Context) (nats string, err error) {
	dist := filepath.Join(root(), "dist")
	if dagyoImage, err = push(ctx, "dagyo", cluster.Image{
		Files:      map[string]string{"/usr/local/bin/dagyo": filepath.Join(dist, "dagyo")},
		Entrypoint: []string{"/usr/local/bin/dagyo"}, Env: []string{"PATH=/usr/local/bin"},
	}); err != nil {
		return "", err
	}
	if faultyImg, err = push(ctx, "faulty", cluster.Image{
		Files:      map[string]string{"/faulty": filepath.Join(self(), "faulty")},
		Entrypoint: []string{"/faulty"},
	}); err != nil {
		return "", err
	}
	return push(ctx, "nats", cluster.Image{
		Files:      map[string]string{"/nats-server": filepath.Join(dist, "nats-server")},
		Entrypoint: []string{"/nats-server"},
	})
}

func push(ctx context.Context, name string, image cluster.Image) (string, error) {
	built, err := image.Build()
	if err != nil {
		return "", err
	}
	return pushBuilt(ctx, name, built)
}

func pushBuilt(ctx context.Context, name string, image v1.Image) (string, error) {
	return cluster.Push(ctx, "registry.test/"+name+":1", image)
}

// overlay is an operator's kustomization: the base with images that this cluster can pull.
func overlay(nats string) (string, error) {
	folder, err := os.MkdirTemp(filepath.Join(root(), "bin"), "overlay-")
	if err != nil {
		return "", err
	}
	base, err := filepath.Rel(folder, filepath.Join(root(), "deploy", "kubernetes"))
	if err != nil {
		return "", err
	}
	image := func(name, reference string) string {
		repository, digest, _ := strings.Cut(reference, "@")
		return fmt.Sprintf("- {name: %s, newName: %s, digest: %q}\n", name, repository, digest)
	}
	content := "resources: [" + base + "]\nimages:\n" + image("dagyo", dagyoImage) + image("nats", nats) + impatient
	return folder, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o644)
}

// impatient makes the spawner give up sooner than in production.
const impatient = `patches:
- target: {kind: Deployment, name: spawner}
  patch: |-
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --image-timeout=15s}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --create-timeout=5s}
`

func kubectl(args ...string) error {
	out, err := exec.Command("kubectl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// self is the folder of this program, root that of the repository, two levels above.
func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return filepath.Dir(path)
}

func root() string { return filepath.Dir(filepath.Dir(self())) }

// report prints the state of the cluster if a test has failed.
func report(w *os.File) {
	for _, args := range [][]string{
		{"-n", space, "get", "pods,deployments,statefulsets,pdb", "-o", "wide"},
		{"-n", executors, "get", "pods,deployments,pdb", "-o", "wide"},
		{"-n", executors, "get", "events", "--sort-by=.lastTimestamp"},
		{"-n", space, "logs", "dagyo-nats-0", "--all-containers", "--tail=50"},
		{"-n", space, "get", "events", "--sort-by=.lastTimestamp"},
		{"-n", space, "logs", "-l", "app.kubernetes.io/name=spawner", "--tail=100", "--prefix"},
	} {
		cmd := exec.Command("kubectl", args...)
		cmd.Stdout, cmd.Stderr = w, w
		_ = cmd.Run()
	}
}
