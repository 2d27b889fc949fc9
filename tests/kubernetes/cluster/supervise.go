//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// supervise runs a cluster in the namespaces that it is called in, and calls ready when the nodes
// are. It returns when a component has ended, with the reason, or when the context has.
func supervise(ctx context.Context, config Config, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	until, cancel := context.WithTimeout(ctx, config.Patience)
	defer cancel()
	c := &components{ctx: ctx, starting: until, group: group, distribution: config.Distribution}
	group.Go(func() error {
		if err := c.bringUp(config); err != nil {
			return err
		}
		ready()
		return nil
	})
	return group.Wait()
}

func (c *components) bringUp(config Config) error {
	if err := settle(config); err != nil {
		return err
	}
	if err := writePKI(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	if err := serveRegistry(c); err != nil {
		return fmt.Errorf("serve the registry: %w", err)
	}
	if err := c.startAPI(); err != nil {
		return err
	}
	client, err := connect()
	if err != nil {
		return err
	}
	if err := c.startControllers(client); err != nil {
		return err
	}
	if err := serveNames(c, client); err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	if config.Real {
		if err := c.startNode(config); err != nil {
			return err
		}
	}
	if config.Simulated > 0 {
		if err := c.startSimulation(client, config.Simulated); err != nil {
			return err
		}
	}
	return c.await("the nodes", func(ctx context.Context) error { return nodesReady(ctx, client, config) })
}

func connect() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfig(config)
}

func (c *components) startAPI() error {
	if err := c.start("etcd",
		"--data-dir", path("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://127.0.0.1:2380",
	); err != nil {
		return err
	}
	if err := c.await("etcd", healthy(etcd+"/readyz")); err != nil {
		return err
	}
	if err := c.start("kube-apiserver",
		"--etcd-servers", etcd,
		"--bind-address", Address, "--advertise-address", Address, "--secure-port", "6443",
		"--tls-cert-file", path("pki/apiserver.crt"), "--tls-private-key-file", path("pki/apiserver.key"),
		"--client-ca-file", path("pki/ca.crt"),
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--service-cluster-ip-range", "10.96.0.0/16",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", path("pki/service-accounts.pub"),
		"--service-account-signing-key-file", path("pki/service-accounts.key"),
		"--kubelet-certificate-authority", path("pki/ca.crt"),
		"--kubelet-client-certificate", path("pki/apiserver-kubelet.crt"),
		"--kubelet-client-key", path("pki/apiserver-kubelet.key"),
		"--kubelet-preferred-address-types", "InternalIP",
		"--allow-privileged",
	); err != nil {
		return err
	}
	// Before it is ready, the rights of the other components are not there yet.
	return c.await("the API server", healthy(apiServer+"/readyz"))
}

func (c *components) startControllers(client kubernetes.Interface) error {
	manager := path("controller-manager.kubeconfig")
	if err := c.start("kube-controller-manager",
		"--kubeconfig", manager, "--authentication-kubeconfig", manager, "--authorization-kubeconfig", manager,
		"--bind-address", "127.0.0.1", "--cert-dir", path("controller-manager"),
		"--leader-elect=false", "--kube-api-qps", "200", "--kube-api-burst", "400",
		"--use-service-account-credentials", "--root-ca-file", path("pki/ca.crt"),
		"--service-account-private-key-file", path("pki/service-accounts.key"),
	); err != nil {
		return err
	}
	scheduler := path("scheduler.kubeconfig")
	if err := c.start("kube-scheduler", "--config", path("config/scheduler.yaml"),
		"--authentication-kubeconfig", scheduler, "--authorization-kubeconfig", scheduler,
		"--bind-address", "127.0.0.1", "--cert-dir", path("scheduler"),
	); err != nil {
		return err
	}
	return c.await("the controllers", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *components) startNode(config Config) error {
	pause := Image{Files: map[string]string{"/pause": filepath.Join(config.Distribution, "pause")}, Entrypoint: []string{"/pause"}}
	image, err := pause.Build()
	if err != nil {
		return fmt.Errorf("make the pause image: %w", err)
	}
	if _, err := Push(c.ctx, Registry+"/pause", image); err != nil {
		return err
	}
	if err := c.startProgram("containerd", "containerd", "--config", path("config/containerd.toml")); err != nil {
		return err
	}
	if err := c.await("containerd", func(context.Context) error {
		_, err := os.Stat("/run/containerd/containerd.sock")
		return err
	}); err != nil {
		return err
	}
	if err := c.start("kubelet", "--config", path("config/kubelet.yaml"), "--kubeconfig", path("node.kubeconfig"),
		"--hostname-override", Real, "--node-ip", Address, "--node-labels", NodeLabel+"="+Real,
		"--root-dir", path("kubelet"), "--cert-dir", path("kubelet/pki"),
		"--cgroup-root", "/"+cgroup(config.State),
	); err != nil {
		return err
	}
	if err := c.start("kube-proxy", "--config", path("config/proxy.yaml")); err != nil {
		return err
	}
	return c.await("kube-proxy", healthy("http://127.0.0.1:10256/healthz"))
}

func (c *components) startSimulation(client kubernetes.Interface, nodes int) error {
	for i := range nodes {
		if err := addSimulated(c.ctx, client, fmt.Sprintf("%s-%03d", Simulated, i)); err != nil {
			return err
		}
	}
	return c.start("kwok", "--kubeconfig", Kubeconfig, "--config", path("config/kwok.yaml"),
		"--manage-all-nodes=false", "--manage-nodes-with-label-selector", NodeLabel+"="+Simulated,
		"--node-lease-duration-seconds", "40", "--node-ip", Address, "--cidr", "10.245.0.0/16",
		"--server-address", "127.0.0.1:10247",
	)
}

// addSimulated adds a node that is ready, and stays so while kwok renews its lease.
func addSimulated(ctx context.Context, client kubernetes.Interface, name string) error {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	now := metav1.Now()
	_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			NodeLabel: Simulated, corev1.LabelHostname: name,
			corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: NodeLabel, Value: Simulated, Effect: corev1.TaintEffectNoSchedule},
		}},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated",
				LastHeartbeatTime: now, LastTransitionTime: now,
			}},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// nodesReady says which node is missing or may not be scheduled to yet.
func nodesReady(ctx context.Context, client kubernetes.Interface, config Config) error {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	want := config.Simulated
	if config.Real {
		want++
	}
	if len(list.Items) != want {
		return fmt.Errorf("%d of %d nodes are known", len(list.Items), want)
	}
	for _, node := range list.Items {
		if !isReady(node) {
			return fmt.Errorf("node %s is not ready", node.Name)
		}
	}
	return nil
}

func isReady(node corev1.Node) bool {
	for _, t := range node.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
