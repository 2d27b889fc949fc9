package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/kubernetes/kube"
)

// workers is how many revisions are handled at the same time.
const workers = 8

// ErrClosed is returned by methods of a Backend after Close.
var ErrClosed = errors.New("the Kubernetes backend is closed")

// A Backend runs executors as pods; see the package comment. Its methods may be called concurrently.
type Backend struct {
	cfg    Config
	in     *kube.Namespace
	hangUp func()                  // closes idle connections
	owners []metav1.OwnerReference // of executors: the owner, or none

	queue workqueue.TypedRateLimitingInterface[string]
	exits chan backend.Exit
	news  chan struct{} // a book has changed

	stop    context.CancelFunc
	closing <-chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	sets map[string]*set // by name
}

var _ backend.Backend = (*Backend)(nil)

// New connects to the cluster, and starts to watch the place. The caller must receive from Exits, and
// Close the backend.
func New(cfg Config) (*Backend, error) {
	b, err := newBackend(cfg)
	if err != nil {
		return nil, fmt.Errorf("kubernetes backend: %w", err)
	}
	return b, nil
}

func newBackend(cfg Config) (*Backend, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withDefaults().connect()
	if err != nil {
		return nil, err
	}
	connections := connrotation.NewDialer(cfg.REST.Dial)
	cfg.REST.Dial = connections.DialContext
	in, err := kube.In(cfg.Namespace, cfg.REST)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(klog.NewContext(context.Background(),
		logr.FromSlogHandler(cfg.Logger.Handler())))
	b := &Backend{
		cfg: cfg, in: in, hangUp: connections.CloseAll,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry)),
		exits: make(chan backend.Exit), news: make(chan struct{}, 1),
		stop: stop, closing: ctx.Done(), sets: map[string]*set{},
	}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for range workers {
		b.running.Go(func() { b.work(ctx) })
	}
	b.running.Go(b.deliver)
	return b, nil
}

// open checks that the place can be used, and reads its current state.
func (b *Backend) open(ctx context.Context) error {
	opening, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	if err := b.tryReading(opening); err != nil {
		return err
	}
	if err := b.findOwner(opening); err != nil {
		return err
	}
	if err := b.applyBudget(opening); err != nil {
		return err
	}
	return b.watch(ctx, opening)
}

// tryReading reports at once, with a clear error, what an informer would retry forever.
func (b *Backend) tryReading(ctx context.Context) error {
	one := metav1.ListOptions{Limit: 1, LabelSelector: b.selector()}
	_, pods := b.in.Pods.List(ctx, one)
	_, records := b.in.ConfigMaps.List(ctx, one)
	_, deployments := b.in.Deployments.List(ctx, one)
	for _, err := range []error{pods, records, deployments} {
		if err != nil {
			return fmt.Errorf("reading the namespace %q: %w", b.cfg.Namespace, err)
		}
	}
	return nil
}

func (b *Backend) selector() string {
	return labels.SelectorFromSet(placeLabels(b.cfg.Place)).String()
}

// findOwner looks up the Deployment that owns the executors.
func (b *Backend) findOwner(ctx context.Context) error {
	if b.cfg.Owner == "" {
		return nil
	}
	d, err := b.in.Deployments.Get(ctx, b.cfg.Owner, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("looking up the owner of executors: %w", err)
	}
	b.owners = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID}}
	return nil
}

// Start implements [backend.Backend]. It returns once the executor is in the book; its pod may have to wait
// for a machine.
func (b *Backend) Start(ctx context.Context, spec backend.Spec) error {
	if err := b.start(ctx, spec); err != nil {
		return fmt.Errorf("starting executor %s: %w", spec.Executor, err)
	}
	return nil
}

func (b *Backend) start(ctx context.Context, spec backend.Spec) error {
	if b.isClosed() {
		return ErrClosed
	}
	for _, name := range []string{spec.Executor, spec.Progdef, spec.Revision} {
		if !document.ValidName(name) {
			return fmt.Errorf("%q is not a name (%s)", name, document.NamePattern)
		}
	}
	if told, ok := spec.Env[contract.EnvExecutor]; ok && told != spec.Executor {
		return fmt.Errorf("its name in the environment is %q", told)
	}
	t, err := b.cfg.render(spec)
	if err != nil {
		return err
	}
	name := setName(b.cfg.Place, spec.Progdef, spec.Revision)
	first := book{Progdef: spec.Progdef, Revision: spec.Revision, Template: t}
	if err := b.try(ctx, name, first); err != nil {
		return err
	}
	return b.ask(ctx, name, request{verb: start, executor: spec.Executor, book: first, own: ownEntries(spec)})
}

// Drain implements [backend.Backend].
func (b *Backend) Drain(ctx context.Context, executor string) error {
	return b.tell(ctx, request{verb: drain, executor: executor}, "draining")
}

// GiveUp implements [backend.Backend]. It ends an executor that is not draining yet. A draining one continues
// until the end of its own grace period, because kubelets ignore the change (see the package comment).
func (b *Backend) GiveUp(ctx context.Context, executor string) error {
	return b.tell(ctx, request{verb: giveUp, executor: executor}, "giving up")
}

// Protect implements [backend.Backend]: the pods of executors with jobs are not evicted (a
// PodDisruptionBudget), keep the cluster's autoscaler from removing their machine, and are the last that a
// ReplicaSet deletes. Pods without jobs may be moved.
func (b *Backend) Protect(ctx context.Context, executor string, busy bool) error {
	return b.tell(ctx, request{verb: protect, executor: executor, busy: busy}, "protecting")
}

// Renew implements [backend.Backend]. A container sees the new credentials when it is started again: a file that is mounted
// by its path in a volume does not follow the volume.
func (b *Backend) Renew(ctx context.Context, executor string, credentials []byte) error {
	name := b.setOf(executor)
	if name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	_, err := b.patchCredentials(ctx, name, map[string][]byte{executor: credentials})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("renewing the credentials of executor %s: %w", executor, err)
	}
	return nil
}

// Forget implements [backend.Backend]. What is left of the executor's pod, and the Deployment if it was the
// last executor of its revision, are deleted within seconds.
func (b *Backend) Forget(ctx context.Context, executor string) error {
	return b.tell(ctx, request{verb: forget, executor: executor}, "forgetting")
}

// tell makes a request about an executor that may be gone.
func (b *Backend) tell(ctx context.Context, r request, doing string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := b.setOf(r.executor)
	if name == "" {
		return nil
	}
	if err := b.ask(ctx, name, r); err != nil {
		return fmt.Errorf("%s executor %s: %w", doing, r.executor, err)
	}
	return nil
}

// Exits implements [backend.Backend]. A Backend delivers each exit once. Exits that are not received
// wait, and the next Backend on the place delivers them again until Forget.
func (b *Backend) Exits() <-chan backend.Exit { return b.exits }

// List implements [backend.Backend].
func (b *Backend) List(ctx context.Context) ([]backend.Status, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []backend.Status{}
	for _, name := range slices.Sorted(maps.Keys(b.sets)) {
		if err := b.sets[name].broken; err != nil {
			return nil, fmt.Errorf("listing executors: %w", err)
		}
		out = append(out, b.cfg.list(b.sets[name])...)
	}
	return out, nil
}

func (b *Backend) isClosed() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

// Close implements [backend.Backend].
func (b *Backend) Close() error {
	b.stop()
	b.queue.ShutDown()
	b.running.Wait()
	b.hangUp()
	return nil
}
