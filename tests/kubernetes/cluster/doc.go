// Package cluster runs a real Kubernetes on this machine for tests: etcd, the API server, the
// controller manager, the scheduler, kube-proxy, a kubelet with containerd on one real node, and any number of
// simulated nodes. It includes cluster DNS and an image registry.
//
// The cluster runs in separate network, mount and process namespaces; process 1 is part of this package. Nothing inside
// can reach beyond the machine, because the network namespace has no external route. Nothing outside is changed,
// because what Kubernetes writes to /run, /var and /proc/sys stays in the mount namespace. When process 1 is killed,
// the kernel ends everything else. [Down] then removes a directory and a few cgroups.
//
// [Up], [Down] and [Exec] are called from outside. A test is compiled outside and runs inside, by Exec. Inside, every
// address is a constant of this package, since clusters do not share a network.
package cluster

import "path/filepath"

// The addresses inside. Pods reach listeners of a test at [Address], on any port.
const (
	// Address is the address of the real node, and of everything that runs next to the pods.
	Address = "10.250.0.1"
	// Registry is the registry to which [Push] pushes images.
	Registry = Address + ":5000"
	// Domain is the suffix of the names of services: NAME.NAMESPACE.svc.cluster.local.
	Domain = "cluster.local"

	apiServer = "https://" + Address + ":6443"
	etcd      = "http://127.0.0.1:2379"
)

// The nodes. A pod runs on a real node unless it tolerates the taint of the simulated ones.
const (
	// NodeLabel distinguishes real nodes from simulated ones, as a label of each and a taint of the latter.
	NodeLabel = "dagyo.test/node"
	// Real is the label's value on the node with a kubelet, and that node's name.
	Real = "real"
	// Simulated is the label's and the taint's value on simulated nodes.
	Simulated = "simulated"
)

// inside is the path of the state directory inside, so that no file depends on its location outside.
const inside = "/run/cluster"

// Kubeconfig is the administrator's configuration; inside, $KUBECONFIG is set to it.
const Kubeconfig = inside + "/admin.kubeconfig"

func path(name ...string) string { return filepath.Join(append([]string{inside}, name...)...) }
