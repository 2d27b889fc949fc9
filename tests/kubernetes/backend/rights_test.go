//go:build kubernetes

package backend

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/dagyo/dagyo/services/spawner/kubernetes"
)

// access is the manifest with the rights of an installed spawner.
const access = "../../../deploy/kubernetes/executors/access.yaml"

// installedRules returns the rules of the Role spawner.
func installedRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	f, err := os.Open(access)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	documents := yaml.NewYAMLOrJSONDecoder(f, 4096)
	for {
		var r rbacv1.Role
		err := documents.Decode(&r)
		if errors.Is(err, io.EOF) {
			t.Fatalf("%s has no Role spawner", access)
		}
		if err != nil {
			t.Fatalf("%s: %v", access, err)
		}
		if r.Kind == "Role" && r.Name == "spawner" {
			return r.Rules
		}
	}
}

// spawner grants the rules to a service account, and returns a configuration that uses it.
func (p *place) spawner(t *testing.T, rules []rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	name := metav1.ObjectMeta{Name: "spawner"}
	_, accountErr := p.client.CoreV1().ServiceAccounts(p.namespace).Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{})
	_, roleErr := p.client.RbacV1().Roles(p.namespace).Create(t.Context(),
		&rbacv1.Role{ObjectMeta: name, Rules: rules}, metav1.CreateOptions{})
	_, bindingErr := p.client.RbacV1().RoleBindings(p.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "spawner"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "spawner", Namespace: p.namespace}},
	}, metav1.CreateOptions{})
	token, tokenErr := p.client.CoreV1().ServiceAccounts(p.namespace).CreateToken(t.Context(), "spawner",
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err := errors.Join(accountErr, roleErr, bindingErr, tokenErr); err != nil {
		t.Fatal(err)
	}
	as := rest.AnonymousClientConfig(p.rest)
	as.BearerToken = token.Status.Token
	return as
}

// own creates a Deployment without replicas that owns executors.
func (p *place) own(t *testing.T, name string) {
	t.Helper()
	label := map[string]string{"app": name}
	_, err := p.client.AppsV1().Deployments(p.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: label},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: label},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: image}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// The rights that deploy/kubernetes grants to the spawner suffice for the backend. It uses each of them, and has no
// others.
func TestRights(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.own(t, "owner")
	rules := installedRules(t)
	as := p.spawner(t, rules)
	client, err := clientset.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	used := &rights{used: map[string]bool{}}
	as.Wrap(used.listen)
	p.live(t, as)
	p.elect(t, as)
	if got, want := used.list(), granted(rules); !slices.Equal(got, want) {
		t.Errorf("rights that are used\n%s\nand granted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	for _, right := range []string{
		"get secrets", "list secrets", "watch secrets", "update secrets", "deletecollection secrets", "create pods", "update pods", "create pods/exec",
		"create pods/attach", "get pods/log", "patch pods/ephemeralcontainers", "create pods/eviction", "deletecollection pods",
		"create serviceaccounts/token", "impersonate serviceaccounts", "patch apps/statefulsets", "create batch/jobs",
		"create rbac.authorization.k8s.io/rolebindings", "patch rbac.authorization.k8s.io/roles",
		"delete policy/poddisruptionbudgets", "deletecollection configmaps", "deletecollection apps/deployments",
	} {
		wantRefused(t, client, p.namespace, right)
	}
	for _, namespace := range []string{"kube-system", metav1.NamespaceAll} {
		for _, right := range []string{"get pods", "list configmaps", "patch apps/deployments", "delete pods", "get nodes", "get namespaces"} {
			wantRefused(t, client, namespace, right)
		}
	}
	if _, err := client.CoreV1().Secrets(p.namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets: %v", err)
	}
	if _, err := client.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing pods elsewhere: %v", err)
	}
}

// wantRefused checks that a client lacks a right, such as "get apps/deployments".
func wantRefused(t *testing.T, client clientset.Interface, namespace, right string) {
	t.Helper()
	verb, resource, _ := strings.Cut(right, " ")
	attributes := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: resource}
	if first, rest, ok := strings.Cut(resource, "/"); ok && (strings.Contains(first, ".") || first == "apps" || first == "batch" || first == "policy") {
		attributes.Group, attributes.Resource = first, rest
	}
	attributes.Resource, attributes.Subresource, _ = strings.Cut(attributes.Resource, "/")
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if review.Status.Allowed {
		t.Errorf("the spawner may %s in %q", right, namespace)
	}
}

// elect elects a chief, and another one once that has resigned.
func (p *place) elect(t *testing.T, as *rest.Config) {
	t.Helper()
	begin := func(name string) (chief *kubernetes.Chief, resign func()) {
		chief, err := kubernetes.NewChief(kubernetes.Config{REST: as, Namespace: p.namespace, Place: "elected"}, name)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { chief.Run(ctx) })
		return chief, func() { cancel(); running.Wait() }
	}
	first, resign := begin("first")
	held, release, err := first.Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	second, end := begin("second")
	defer end()
	if held.Err() != nil {
		t.Error("the first chief is no longer elected")
	}
	resign()
	<-held.Done()
	if _, release, err := second.Await(t.Context()); err != nil {
		t.Error(err)
	} else {
		release()
	}
}

// live makes a backend do everything that it can do.
func (p *place) live(t *testing.T, as *rest.Config) {
	t.Helper()
	l, dial := listen(t)
	b := p.bench(t, l, dial, func(c *kubernetes.Config) { c.REST, c.Owner = as, "owner" })
	one, two := b.start(t, "one"), b.start(t, "two")
	if err := errors.Join(b.Protect(t.Context(), "one", false), b.Drain(t.Context(), "one")); err != nil {
		t.Fatal(err)
	}
	one.AwaitSigterm(t)
	// The record names a missing pod, and a pod belongs to an executor that is not in the record.
	pod := b.pod(t, "two")
	name := pod.Labels["app.kubernetes.io/instance"]
	record, err := p.client.CoreV1().ConfigMaps(p.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	record.Data["executors"] = strings.Replace(record.Data["executors"], `"two"`, `"three"`, 1)
	record.Data["executors"] = strings.Replace(record.Data["executors"], pod.Name, "no-such-pod", 1)
	if _, err := p.client.CoreV1().ConfigMaps(p.namespace).Update(t.Context(), record, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	two.AwaitSigterm(t)
	two.Tell(t, "exit 0")
	if e := b.exit(t, "three"); e.Reason != "its pod is gone, so its exit status is unknown" {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "three")
	b.end(t, one)
	b.wantNothingLeft(t)
}

// rights are the rights that requests have used.
type rights struct {
	mu   sync.Mutex
	used map[string]bool
}

// A roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// listen records the rights that requests use, such as "get apps/deployments".
func (u *rights) listen(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err == nil {
			u.mu.Lock()
			defer u.mu.Unlock()
			resource, named := resourceOf(r.URL.Path)
			u.used[verb(r, named)+" "+resource] = true
			if r.Method == http.MethodPatch && response.StatusCode == http.StatusCreated {
				u.used["create "+resource] = true // it was applied and did not exist
			}
		}
		return response, err
	})
}

// resourceOf returns the resource in a path such as /apis/apps/v1/namespaces/n/deployments/d.
func resourceOf(path string) (resource string, named bool) {
	head, tail, _ := strings.Cut(path, "/namespaces/")
	parts := strings.Split(tail, "/")
	resource = parts[1]
	if group := strings.Split(head, "/"); group[1] == "apis" {
		resource = group[2] + "/" + resource
	}
	return resource, len(parts) > 2
}

func verb(r *http.Request, named bool) string {
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		return "watch"
	case r.Method == http.MethodGet && named:
		return "get"
	case r.Method == http.MethodGet:
		return "list"
	case r.Method == http.MethodPost:
		return "create"
	case r.Method == http.MethodPut:
		return "update"
	}
	return strings.ToLower(r.Method)
}

func (u *rights) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.used))
}

// granted lists rules in the same form.
func granted(rules []rbacv1.PolicyRule) []string {
	out := map[string]bool{}
	for _, r := range rules {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					out[verb+" "+strings.TrimPrefix(group+"/"+resource, "/")] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// When the owning Deployment of executors is deleted, the cluster drains and removes them.
func TestOwner(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.own(t, "owner")
	l, dial := listen(t)
	b := p.bench(t, l, dial, func(c *kubernetes.Config) { c.Owner = "owner" })
	one := b.start(t, "one")
	if err := b.Close(); err != nil { // the spawner is deleted, too
		t.Fatal(err)
	}
	if err := p.client.AppsV1().Deployments(p.namespace).Delete(t.Context(), "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	one.AwaitSigterm(t)
	one.Tell(t, "exit 0")
	b.wantNothingLeft(t)
	if err := b.Start(t.Context(), b.spec("two", runnable())); !errors.Is(err, kubernetes.ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}
