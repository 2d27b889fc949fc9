//go:build kubernetes

package kubernetes

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// A serving pod can be reached by its service's name from the test and from any pod, including itself. It can reach
// listeners of the test.
func TestService(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	spec := server()
	spec.Containers[0].Env = []corev1.EnvVar{{Name: "WHO", Value: "it is me"}}
	create(t, ns, "web", spec)
	service(t, ns, "site", "web", "")
	pod := await(t, ns, "web", "ready", ready)
	url := fmt.Sprintf("http://site.%s.svc.%s/env/WHO", ns, cluster.Domain)
	contains(t, "the service", eventually(t, url), "it is me")
	contains(t, "the pod's service, by its short name", fetch(t, pod, "http://site/env/WHO"), "it is me")

	listener, err := net.Listen("tcp", cluster.Address+":0")
	if err != nil {
		t.Fatal(err)
	}
	mine := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the test")
	}))
	mine.Listener.Close()
	mine.Listener = listener
	mine.Start()
	t.Cleanup(mine.Close)
	contains(t, "the test's listener", fetch(t, pod, mine.URL), "the test")
}

// A headless service has its pods' addresses, and a name for each pod with a host name.
func TestHeadlessService(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	spec := server()
	spec.Hostname, spec.Subdomain = "first", "peers"
	create(t, ns, "peers", spec)
	service(t, ns, "peers", "peers", corev1.ClusterIPNone)
	pod := await(t, ns, "peers", "ready", ready)
	eventually(t, fmt.Sprintf("http://first.peers.%s.svc.%s:8080/ready", ns, cluster.Domain))
	for _, name := range []string{"peers", "first.peers"} {
		addresses, err := net.LookupHost(fmt.Sprintf("%s.%s.svc.%s", name, ns, cluster.Domain))
		if err != nil || len(addresses) != 1 || addresses[0] != pod.Status.PodIP {
			t.Errorf("%s is at %v, %v; want %s", name, addresses, err, pod.Status.PodIP)
		}
	}
	_, records, err := net.LookupSRV("http", "tcp", fmt.Sprintf("peers.%s.svc.%s", ns, cluster.Domain))
	if err != nil || len(records) != 1 || records[0].Port != 8080 {
		t.Errorf("the service's records are %v, %v", records, err)
	}
}

// Nothing leaves the machine: external addresses and names are rejected at once.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	create(t, ns, "prisoner", server())
	pod := await(t, ns, "prisoner", "ready", ready)
	for address, want := range map[string]string{
		"http://10.96.200.200":   "connection refused",
		"http://192.0.2.1":       "network is unreachable",
		"http://outside.example": "no such host",
		"http://absent.default":  "no such host",
		"http://10.244.0.254":    "unreachable",
		"http://10.245.0.1":      "network is unreachable",
		"http://169.254.169.254": "network is unreachable",
	} {
		contains(t, address+" from a pod", fetch(t, pod, address), want)
		if _, err := http.Get(address); err == nil {
			t.Errorf("%s can be reached from the test", address)
		} else {
			contains(t, address+" from the test", err.Error(), want)
		}
	}
}

// A pod with a service account can use the API with that account's rights.
func TestServiceAccount(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	if _, err := client.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "view"},
		RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "default", Namespace: ns}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	spec := server()
	spec.AutomountServiceAccountToken = nil
	create(t, ns, "caller", spec)
	pod := await(t, ns, "caller", "ready", ready)
	const api = "https://kubernetes.default.svc/api/v1/namespaces/"
	contains(t, "its own namespace", fetch(t, pod, api+ns+"/pods"), `"name":"caller"`)
	contains(t, "another's", fetch(t, pod, api+"default/pods"), "forbidden")
}

// service creates a service for the pods with a label app.
func service(t *testing.T, ns, name, app, ip string) {
	t.Helper()
	if _, err := client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: ip,
			Selector:  map[string]string{"app": app},
			Ports:     []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
