package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// DefaultPlace is the place of a spawner without a configured one.
	DefaultPlace = "dagyo"
	// DefaultPullTimeout is how long pulling an image may fail before its executor is given up.
	DefaultPullTimeout = 2 * time.Minute
	// DefaultStartTimeout is how long creating a container may fail (for instance, for a missing secret)
	// before its executor is given up.
	DefaultStartTimeout = 30 * time.Second
	// DefaultCallTimeout limits each call of the API server.
	DefaultCallTimeout = 30 * time.Second
	// DefaultQPS limits the calls per second, DefaultBurst the calls in a burst.
	DefaultQPS   = 200
	DefaultBurst = 400
	// DefaultRunAsUser is the user and group of executors.
	DefaultRunAsUser = 65532
	// longestLabel is how long the value of a label can be, in characters.
	longestLabel = 63
	// DefaultTmpLimit limits the size of an executor's /tmp.
	DefaultTmpLimit = "1Gi"
)

// A Config configures executors as pods. Inside a cluster everything is optional.
type Config struct {
	// Kubeconfig is the path of a kubeconfig file, and Context one of its contexts. Without both, the
	// spawner uses the cluster in which it runs.
	Kubeconfig string
	Context    string
	// REST overrides Kubeconfig and Context if set.
	REST *rest.Config
	// Namespace is where executors run. Default: the spawner's own in a cluster, else the context's.
	Namespace string
	// Place separates the executors of several installations in one namespace; default DefaultPlace.
	Place string
	// Tenant separates tenants of an installation, as a part of the place; "" for the first one.
	Tenant string
	// Owner is the name of a Deployment in the namespace, such as the spawner's own: when it is deleted, the
	// cluster removes the executors. "" for none.
	Owner string

	// ImagePullSecrets are the names of Secrets for registries.
	ImagePullSecrets []string
	// ServiceAccount is the account of executors; they get no token. Default: the namespace's.
	ServiceAccount string
	// Credentials is the name of a Secret that is mounted into executors at backend.CredentialsDir; "" for none.
	Credentials string
	// RunAsUser is the numeric user and group of executors; default DefaultRunAsUser.
	RunAsUser int64
	// TmpLimit limits /tmp, the only place that an executor can write to; default DefaultTmpLimit.
	TmpLimit resource.Quantity

	// PullTimeout, StartTimeout and CallTimeout default to DefaultPullTimeout and so on.
	PullTimeout  time.Duration
	StartTimeout time.Duration
	CallTimeout  time.Duration
	// QPS and Burst limit the calls of the API server; default DefaultQPS and DefaultBurst.
	QPS   float32
	Burst int
	// Logger logs failures that no call can return. Default: no log.
	Logger *slog.Logger
}

// Validate reports every error in the configuration.
func (c Config) Validate() error {
	var errs []error
	for what, name := range map[string]string{"place": c.Place, "tenant": c.Tenant} {
		if name != "" && !document.ValidName(name) {
			errs = append(errs, fmt.Errorf("%s %q is not a name (%s)", what, name, document.NamePattern))
		}
	}
	if n := len(c.Place) + 1 + len(c.Tenant); n > longestLabel {
		errs = append(errs, fmt.Errorf("place %q and tenant %q have %d characters together, and a label can have %d", c.Place, c.Tenant, n, longestLabel))
	}
	if c.RunAsUser < 0 {
		errs = append(errs, fmt.Errorf("negative RunAsUser %d", c.RunAsUser))
	}
	if c.TmpLimit.Sign() < 0 {
		errs = append(errs, fmt.Errorf("negative TmpLimit %s", c.TmpLimit.String()))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"PullTimeout", c.PullTimeout}, {"StartTimeout", c.StartTimeout}, {"CallTimeout", c.CallTimeout}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("negative %s %s", d.name, d.value))
		}
	}
	if c.QPS < 0 || c.Burst < 0 {
		errs = append(errs, errors.New("negative QPS or Burst"))
	}
	return errors.Join(errs...)
}

// withDefaults fills in defaults; connect sets Namespace.
func (c Config) withDefaults() Config {
	if c.Place = cmp.Or(c.Place, DefaultPlace); c.Tenant != "" {
		c.Place += "-" + c.Tenant
	}
	c.PullTimeout = cmp.Or(c.PullTimeout, DefaultPullTimeout)
	c.StartTimeout = cmp.Or(c.StartTimeout, DefaultStartTimeout)
	c.CallTimeout = cmp.Or(c.CallTimeout, DefaultCallTimeout)
	c.QPS = cmp.Or(c.QPS, DefaultQPS)
	c.Burst = cmp.Or(c.Burst, DefaultBurst)
	c.RunAsUser = cmp.Or(c.RunAsUser, DefaultRunAsUser)
	if c.TmpLimit.IsZero() {
		c.TmpLimit = resource.MustParse(DefaultTmpLimit)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// connect finds the cluster, and the namespace if none was configured.
func (c Config) connect() (Config, error) {
	var namespace string
	var err error
	switch {
	case c.REST != nil:
		c.REST = rest.CopyConfig(c.REST)
	case c.Kubeconfig != "" || c.Context != "":
		c.REST, namespace, err = fromKubeconfig(c.Kubeconfig, c.Context)
	default:
		c.REST, namespace, err = fromCluster()
	}
	if err != nil {
		return c, err
	}
	c.Namespace = cmp.Or(c.Namespace, namespace)
	if c.Namespace == "" {
		return c, errors.New("no namespace is set (Namespace), and none was found")
	}
	if c.REST.Dial == nil {
		c.REST.Dial = (&net.Dialer{Timeout: c.CallTimeout}).DialContext
	}
	c.REST.QPS, c.REST.Burst = c.QPS, c.Burst
	c.REST.UserAgent = fieldManager
	return c, nil
}

// fromKubeconfig reads a kubeconfig file as kubectl does.
func fromKubeconfig(path, context string) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: context})
	cluster, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return cluster, namespace, nil
}

// namespaceFile is where a pod finds its own namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func fromCluster() (*rest.Config, string, error) {
	cluster, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, "", errors.New("this process is not running in a cluster: set a kubeconfig or a context")
	}
	if err != nil {
		return nil, "", err
	}
	namespace, err := os.ReadFile(namespaceFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, "", err
	}
	return cluster, strings.TrimSpace(string(namespace)), nil
}
