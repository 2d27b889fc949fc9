package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/atomicwriter"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/spawner/kubernetes/kube"
)

// Secrets are the Secrets of an installation in a namespace, each named dagyo-READER.
type Secrets struct {
	in        *kube.Namespace
	namespace string // its name
}

const (
	secretPrefix = "dagyo-"
	// keysEntry is the key in the Secret of the keys: a JSON object with their files.
	keysEntry = "keys.json"
	manager   = "dagyo-init"
)

// Cluster connects to the cluster of a kubeconfig file; if there is none, to the one in which this program runs.
func Cluster(kubeconfig, namespace string) (Secrets, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return Secrets{}, fmt.Errorf("connect to Kubernetes: %w", err)
	}
	in, err := kube.In(namespace, config)
	if err != nil {
		return Secrets{}, fmt.Errorf("connect to Kubernetes: %w", err)
	}
	return Secrets{in: in, namespace: namespace}, nil
}

// secretReaders are the folders of which there is a Secret, besides the keys.
func secretReaders() (out []string) {
	for _, r := range slices.Concat(access.Services(), persons) {
		out = append(out, string(r))
	}
	return append(out, platform, gateway)
}

// gateway is the folder of the gateway.
const gateway = "gateway"

// A Version tells whether the keys were changed since they were read.
type Version string

// Fetch writes what is in the Secrets into a folder, nothing for those that do not exist.
func (s Secrets) Fetch(ctx context.Context, dir string) (v Version, err error) {
	stored, v, err := s.get(ctx, keyring.Dir)
	if err != nil {
		return v, err
	}
	if stored != nil {
		var files map[string][]byte
		if err := json.Unmarshal(stored[keysEntry], &files); err != nil {
			return v, fmt.Errorf("the Secret %s in the namespace %s is not what `dagyo init auth` has stored: %w", secretPrefix+keyring.Dir, s.namespace, err)
		}
		if err := restore(keyring.In(dir), files); err != nil {
			return v, err
		}
	}
	for _, reader := range secretReaders() {
		files, _, err := s.get(ctx, reader)
		if err == nil {
			err = restore(filepath.Join(dir, reader), files)
		}
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

// restore writes files into a folder.
func restore(dir string, files map[string][]byte) error {
	for _, name := range sorted(files) {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("a Secret contains a file with the name %q", name)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		err := private(filepath.Dir(path))
		if err == nil {
			err = atomicwriter.WriteFile(path, files[name], 0o600)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// get returns the content of a reader's Secret, nothing if there is no such Secret.
func (s Secrets) get(ctx context.Context, reader string) (map[string][]byte, Version, error) {
	found, err := s.in.Secrets.Get(ctx, secretPrefix+reader, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the Secret %s: %w", secretPrefix+reader, err)
	}
	return found.Data, Version(found.ResourceVersion), nil
}

// ErrChanged is returned if the keys were changed by somebody else since they were read. Nothing was stored.
var ErrChanged = errors.New("the keys were changed by somebody else at the same time: run the command again")

// StoreKeys writes the Secret of the keys from a folder. since is the version that Fetch has read; the new one is returned.
func (s Secrets) StoreKeys(ctx context.Context, dir string, since Version) (Version, error) {
	keys, err := read(keyring.In(dir))
	if err != nil {
		return since, err
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return since, err
	}
	if len(text) > mostKeys {
		return since, fmt.Errorf("the keys have %d bytes, and a Secret can hold %d: revoke credentials of users that are not needed, "+
			"or replace the keys, which forgets them", len(text), mostKeys)
	}
	now, err := s.apply(ctx, keyring.Dir, map[string][]byte{keysEntry: text}, since)
	if apierrors.IsConflict(err) {
		err = ErrChanged
	}
	if err != nil {
		return since, err
	}
	return now, nil
}

// Store writes all Secrets from a folder. The keys come first: what they have signed is useless without them.
func (s Secrets) Store(ctx context.Context, dir string, since Version) (Version, error) {
	now, err := s.StoreKeys(ctx, dir, since)
	if err != nil {
		return since, err
	}
	for _, reader := range secretReaders() {
		files, err := read(filepath.Join(dir, reader))
		if err == nil {
			_, err = s.apply(ctx, reader, files, "")
		}
		if err != nil {
			return now, err
		}
	}
	return now, nil
}

// read returns the files below a folder, by their path in it.
func read(dir string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".new-") {
			return err
		}
		out[path], err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		return err
	})
	return out, err
}

// mostKeys is what fits into a Secret, in bytes, with some space for its labels.
const mostKeys = 1000 << 10

// apply stores a Secret, if it has not changed since a version, and returns the new one.
func (s Secrets) apply(ctx context.Context, reader string, data map[string][]byte, since Version) (Version, error) {
	stored, err := kube.Apply(ctx, s.in.Secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: secretPrefix + reader, Namespace: s.namespace, ResourceVersion: string(since),
			Labels: map[string]string{"app.kubernetes.io/part-of": "dagyo", "app.kubernetes.io/managed-by": manager},
		},
		Type: corev1.SecretTypeOpaque, Data: maps.Clone(data),
	}, manager, false)
	if err != nil {
		return "", fmt.Errorf("store the Secret %s: %w", secretPrefix+reader, err)
	}
	return Version(stored.ResourceVersion), nil
}
