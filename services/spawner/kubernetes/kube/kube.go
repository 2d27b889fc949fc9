// Package kube calls the API of Kubernetes, for the kinds of objects that Dagyo has to do with. client-go's own clientset,
// informers and apply configurations compile the 55 groups of the API, which was a third of the time of a build.
package kube

import (
	"context"
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
)

// A Namespace has the objects of one namespace.
type Namespace struct {
	ConfigMaps  *gentype.ClientWithList[*corev1.ConfigMap, *corev1.ConfigMapList]
	Pods        *gentype.ClientWithList[*corev1.Pod, *corev1.PodList]
	Secrets     *gentype.ClientWithList[*corev1.Secret, *corev1.SecretList]
	Deployments *gentype.ClientWithList[*appsv1.Deployment, *appsv1.DeploymentList]
	Budgets     *gentype.ClientWithList[*policyv1.PodDisruptionBudget, *policyv1.PodDisruptionBudgetList]
	Leases      *gentype.ClientWithList[*coordinationv1.Lease, *coordinationv1.LeaseList]
}

var (
	scheme     = newScheme()
	codecs     = serializer.NewCodecFactory(scheme)
	parameters = runtime.NewParameterCodec(scheme)
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme, coordinationv1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}

// In returns the namespace of that name, in the cluster of a configuration. All its calls share the connections and the
// limits of the configuration.
func In(namespace string, config *rest.Config) (*Namespace, error) {
	config = rest.CopyConfig(config)
	if config.RateLimiter == nil && config.QPS > 0 {
		config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(config.QPS, config.Burst)
	}
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	config.NegotiatedSerializer = codecs.WithoutConversion()
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	clients := make(map[schema.GroupVersion]rest.Interface)
	for _, group := range []schema.GroupVersion{
		corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, policyv1.SchemeGroupVersion, coordinationv1.SchemeGroupVersion,
	} {
		c := rest.CopyConfig(config)
		c.GroupVersion, c.APIPath = &group, "/apis"
		if group.Group == "" {
			c.APIPath = "/api"
		}
		if clients[group], err = rest.RESTClientForConfigAndClient(c, transport); err != nil {
			return nil, err
		}
	}
	core := clients[corev1.SchemeGroupVersion]
	return &Namespace{
		ConfigMaps:  objects[corev1.ConfigMap, corev1.ConfigMapList](core, "configmaps", namespace),
		Pods:        objects[corev1.Pod, corev1.PodList](core, "pods", namespace),
		Secrets:     objects[corev1.Secret, corev1.SecretList](core, "secrets", namespace),
		Deployments: objects[appsv1.Deployment, appsv1.DeploymentList](clients[appsv1.SchemeGroupVersion], "deployments", namespace),
		Budgets: objects[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList](
			clients[policyv1.SchemeGroupVersion], "poddisruptionbudgets", namespace),
		Leases: objects[coordinationv1.Lease, coordinationv1.LeaseList](clients[coordinationv1.SchemeGroupVersion], "leases", namespace),
	}, nil
}

// object and list are the constraints of objects and of their lists.
type object[T any] interface {
	*T
	runtime.Object
	metav1.Object
}

type list[L any] interface {
	*L
	runtime.Object
}

func objects[T, L any, O object[T], OL list[L]](client rest.Interface, resource, namespace string) *gentype.ClientWithList[O, OL] {
	return gentype.NewClientWithList(resource, client, parameters, namespace,
		func() O { return new(T) }, func() OL { return new(L) }, gentype.PrefersProtobuf[O]())
}

// A Patcher patches objects of one kind.
type Patcher[O any] interface {
	Patch(ctx context.Context, name string, how types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (O, error)
}

// Apply applies an object (server-side apply), and takes over fields that others manage. What the JSON of the object
// contains is what the manager wants: its kind and version are set here, and its status should be empty.
func Apply[O metav1.Object](ctx context.Context, client Patcher[O], o O, manager string, dryRun bool) (applied O, err error) {
	kinds, _, err := scheme.ObjectKinds(any(o).(runtime.Object))
	if err != nil {
		return applied, err
	}
	any(o).(runtime.Object).GetObjectKind().SetGroupVersionKind(kinds[0])
	text, err := json.Marshal(o)
	if err != nil {
		return applied, err
	}
	force := true
	options := metav1.PatchOptions{FieldManager: manager, Force: &force}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return client.Patch(ctx, o.GetName(), types.ApplyPatchType, text, options)
}

// NewInformer returns an informer of the objects with a label. It does not list them again without a reason.
func NewInformer[T, L any, O object[T], OL list[L]](client *gentype.ClientWithList[O, OL], selector string) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return client.Watch(ctx, o)
		},
	}, O(new(T)), 0, cache.Indexers{})
}
