//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// supervise runs a cluster in the caller's namespaces, and calls ready when the nodes are ready. It returns when a
// component has exited, with the reason.
func supervise(ctx context.Context, config Config, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	c := &components{group: group, distribution: config.Distribution, patience: config.Patience}
	group.Go(func() error {
		if err := c.bringUp(ctx, config); err != nil {
			return err
		}
		ready()
		return nil
	})
	return group.Wait()
}

func (c *components) bringUp(ctx context.Context, config Config) error {
	if err := settle(config); err != nil {
		return err
	}
	if err := writePKI(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	if err := c.serveRegistry(ctx); err != nil {
		return fmt.Errorf("serve the registry: %w", err)
	}
	if err := c.startAPI(ctx); err != nil {
		return err
	}
	client, err := connect()
	if err != nil {
		return err
	}
	if err := c.startControllers(ctx, client); err != nil {
		return err
	}
	if err := c.serveObjects(ctx, client); err != nil {
		return err
	}
	if config.Real {
		if err := c.startNode(ctx, cgroup(config.State)); err != nil {
			return err
		}
	}
	if config.Simulated > 0 {
		if err := c.startSimulation(ctx, client, config.Simulated); err != nil {
			return err
		}
	}
	return c.await(ctx, "the nodes", func(ctx context.Context) error { return nodesReady(ctx, client, config) })
}

func connect() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfig(config)
}

func (c *components) startAPI(ctx context.Context) error {
	if err := c.start(ctx, "etcd",
		"--data-dir", path("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://127.0.0.1:2380",
	); err != nil {
		return err
	}
	if err := c.await(ctx, "etcd", healthy(etcd+"/readyz")); err != nil {
		return err
	}
	if err := c.start(ctx, "kube-apiserver",
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
	// The rights of the other components exist only when it is ready.
	return c.await(ctx, "the API server", healthy(apiServer+"/readyz"))
}

func (c *components) startControllers(ctx context.Context, client kubernetes.Interface) error {
	manager := path("controller-manager.kubeconfig")
	if err := c.start(ctx, "kube-controller-manager",
		"--kubeconfig", manager, "--authentication-kubeconfig", manager, "--authorization-kubeconfig", manager,
		"--bind-address", "127.0.0.1", "--cert-dir", path("controller-manager"),
		"--leader-elect=false", "--kube-api-qps", "200", "--kube-api-burst", "400",
		"--use-service-account-credentials", "--root-ca-file", path("pki/ca.crt"),
		"--service-account-private-key-file", path("pki/service-accounts.key"),
	); err != nil {
		return err
	}
	scheduler := path("scheduler.kubeconfig")
	if err := c.start(ctx, "kube-scheduler", "--config", path("config/scheduler.yaml"),
		"--authentication-kubeconfig", scheduler, "--authorization-kubeconfig", scheduler,
		"--bind-address", "127.0.0.1", "--cert-dir", path("scheduler"),
	); err != nil {
		return err
	}
	return c.await(ctx, "the controllers", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *components) startNode(ctx context.Context, cgroup string) error {
	if err := c.pushPause(ctx); err != nil {
		return fmt.Errorf("build the pause image: %w", err)
	}
	if err := c.startProgram(ctx, "containerd", "containerd", "--config", path("config/containerd.toml")); err != nil {
		return err
	}
	if err := c.await(ctx, "containerd", func(context.Context) error {
		_, err := os.Stat("/run/containerd/containerd.sock")
		return err
	}); err != nil {
		return err
	}
	if err := c.start(ctx, "kubelet", "--config", path("config/kubelet.yaml"), "--kubeconfig", path("node.kubeconfig"),
		"--hostname-override", Real, "--node-ip", Address, "--node-labels", NodeLabel+"="+Real,
		"--root-dir", path("kubelet"), "--cert-dir", path("kubelet/pki"),
		"--cgroup-root", "/"+cgroup,
	); err != nil {
		return err
	}
	if err := c.start(ctx, "kube-proxy", "--config", path("config/proxy.yaml")); err != nil {
		return err
	}
	return c.await(ctx, "kube-proxy", healthy("http://127.0.0.1:10256/healthz"))
}

// pushPause pushes the pause image, which every pod needs.
func (c *components) pushPause(ctx context.Context) error {
	image, err := Image{
		Files:      map[string]string{"/pause": filepath.Join(c.distribution, "pause")},
		Entrypoint: []string{"/pause"},
	}.Build()
	if err != nil {
		return err
	}
	_, err = Push(ctx, Registry+"/pause", image)
	return err
}

func (c *components) startSimulation(ctx context.Context, client kubernetes.Interface, nodes int) error {
	for i := range nodes {
		if err := addSimulated(ctx, client, fmt.Sprintf("%s-%03d", Simulated, i)); err != nil {
			return err
		}
	}
	return c.start(ctx, "kwok", "--kubeconfig", Kubeconfig, "--config", path("config/kwok.yaml"),
		"--manage-all-nodes=false", "--manage-nodes-with-label-selector", NodeLabel+"="+Simulated,
		"--node-lease-duration-seconds", "40", "--node-ip", Address, "--cidr", "10.245.0.0/16",
		"--server-address", "127.0.0.1:10247",
	)
}

// addSimulated adds a simulated node, which kwok makes ready.
func addSimulated(ctx context.Context, client kubernetes.Interface, name string) error {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			NodeLabel: Simulated, corev1.LabelHostname: name,
			corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH,
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: NodeLabel, Value: Simulated, Effect: corev1.TaintEffectNoSchedule},
		}},
		Status: corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
	}, metav1.CreateOptions{})
	return err
}

// nodesReady reports which node is missing or not yet schedulable.
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
		return fmt.Errorf("%d of %d nodes are registered", len(list.Items), want)
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
