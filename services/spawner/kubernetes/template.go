package kubernetes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A template is the JSON of a pod template, which is the same for all executors of a revision.
type template string

// hash identifies a template.
func (t template) hash() string {
	sum := sha256.Sum256([]byte(t))
	return hex.EncodeToString(sum[:8])
}

func (t template) decode() (out corev1.PodTemplateSpec, err error) {
	if err := json.Unmarshal([]byte(t), &out); err != nil {
		return out, fmt.Errorf("cannot read the pod template in the record: %w", err)
	}
	return out, nil
}

// ownVolume is the name of the volume with the credentials of executors.
const ownVolume = "executor-credentials"

// hasCredentials reports whether the executors of a template have files of their own.
func (t template) hasCredentials() bool {
	pod, err := t.decode()
	return err == nil && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == ownVolume })
}

// render makes the pod template of an executor's revision. An error is a *backend.StartError.
func (c Config) render(spec backend.Spec) (template, error) {
	if spec.Document.Image == "" {
		return "", refused("/image", "the progdef has no image, which a pod needs",
			"set an image; `dagyo progdef build` makes one from the progdef's build")
	}
	resources, err := resources(spec.Document.Resources)
	if err != nil {
		return "", err
	}
	if err := foreign(spec.Document.EnvFrom); err != nil {
		return "", err
	}
	pod, err := c.pod(spec)
	if err != nil {
		return "", err
	}
	program := c.container(spec)
	program.Resources = resources
	pod.Containers = []corev1.Container{program}
	labels := placeLabels(c.Place)
	labels[labelSet] = setName(c.Place, spec.Progdef, spec.Revision)
	labels[labelProgdef], labels[labelRevision] = spec.Progdef, spec.Revision
	text, err := json.Marshal(corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod})
	return template(text), err
}

// refused is a problem of the progdef.
func refused(pointer, message, hint string) *backend.StartError {
	return &backend.StartError{Problem: problem.Problem{
		Code: problem.StartRefused, Pointer: pointer, Message: message, Hint: hint,
	}}
}

// resources parses quantities.
func resources(r progdef.Resources) (out corev1.ResourceRequirements, err error) {
	if out.Requests, err = quantities("requests", r.Requests); err == nil {
		out.Limits, err = quantities("limits", r.Limits)
	}
	return out, err
}

func quantities(section string, from map[string]string) (corev1.ResourceList, error) {
	out := make(corev1.ResourceList)
	for _, name := range slices.Sorted(maps.Keys(from)) {
		q, err := resource.ParseQuantity(from[name])
		if err != nil {
			return nil, refused(problem.Pointer("resources", section, name), fmt.Sprintf("%q is not a quantity", from[name]),
				`write a number and a unit, such as "100m", "64Mi" or "1"`)
		}
		out[corev1.ResourceName(name)] = q
	}
	return out, nil
}

// pod is everything except the container.
func (c Config) pod(spec backend.Spec) (corev1.PodSpec, error) {
	m := spec.Document.Machine
	affinity, err := affinity(m)
	if err != nil {
		return corev1.PodSpec{}, err
	}
	pod := corev1.PodSpec{
		SchedulingGates:               []corev1.PodSchedulingGate{{Name: gate}},
		TerminationGracePeriodSeconds: new(seconds(spec.Document.Drain.GracePeriod.D() + backend.GiveUpGrace)),
		// The program is not process 1, so signals work as they do elsewhere, and orphaned processes are
		// reaped.
		ShareProcessNamespace:        new(true),
		AutomountServiceAccountToken: new(false),
		EnableServiceLinks:           new(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: &c.RunAsUser, RunAsGroup: &c.RunAsUser,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes: []corev1.Volume{{
			Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &c.TmpLimit}},
		}},
		ServiceAccountName: c.ServiceAccount,
		NodeSelector:       m.NodeSelector,
		Tolerations:        tolerations(m),
		PriorityClassName:  m.PriorityClassName,
		Affinity:           affinity,
	}
	if m.RuntimeClassName != "" {
		pod.RuntimeClassName = &m.RuntimeClassName
	}
	if c.Credentials != "" {
		pod.Volumes = append(pod.Volumes, secretVolume("credentials", corev1.SecretVolumeSource{SecretName: c.Credentials}))
	}
	if len(spec.OwnFiles()) > 0 {
		pod.Volumes = append(pod.Volumes, secretVolume(ownVolume, corev1.SecretVolumeSource{
			SecretName: setName(c.Place, spec.Progdef, spec.Revision), DefaultMode: new(int32(0o444)),
		}))
	}
	for _, name := range c.ImagePullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return pod, nil
}

func secretVolume(name string, from corev1.SecretVolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &from}}
}

// seconds rounds up: Kubernetes counts in seconds.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func tolerations(m progdef.Machine) (out []corev1.Toleration) {
	for _, t := range m.Tolerations {
		out = append(out, corev1.Toleration{
			Key: t.Key, Operator: corev1.TolerationOperator(t.Operator), Value: t.Value, Effect: corev1.TaintEffect(t.Effect),
			TolerationSeconds: t.TolerationSeconds,
		})
	}
	return out
}

// affinity parses the progdef's affinity, which has Kubernetes' own form.
func affinity(m progdef.Machine) (*corev1.Affinity, error) {
	if len(m.Affinity) == 0 {
		return nil, nil
	}
	out := new(corev1.Affinity)
	text, err := json.Marshal(m.Affinity)
	if err == nil {
		strict := json.NewDecoder(bytes.NewReader(text))
		strict.DisallowUnknownFields()
		err = strict.Decode(out)
	}
	if err != nil {
		return nil, refused("/machine/affinity",
			"not an affinity: "+strings.TrimPrefix(err.Error(), "json: "),
			"write it as the `affinity` of a pod is written (kubectl explain pod.spec.affinity)")
	}
	return out, nil
}

// container is the program with its environment.
//
// It has no probes: an executor has no port to query, and a FROM scratch image contains nothing to run. Signs of
// life of jobs are published on health.<flow>.<job>, and a restart in place would start a program that may not
// take jobs anyway.
func (c Config) container(spec backend.Spec) corev1.Container {
	out := corev1.Container{
		Name:                     container,
		Image:                    spec.Document.Image,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
	}
	for _, arg := range spec.Document.Command {
		out.Command = append(out.Command, literal(arg))
	}
	for _, from := range spec.Document.EnvFrom {
		out.EnvFrom = append(out.EnvFrom, source(from))
	}
	env := maps.Clone(spec.Document.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, spec.Env)
	delete(env, contract.EnvExecutor)
	if secrets := secretsOf(spec); secrets != "" {
		env[contract.EnvSecrets] = secrets
	}
	if c.Credentials != "" {
		out.VolumeMounts = append(out.VolumeMounts, corev1.VolumeMount{Name: "credentials", MountPath: backend.CredentialsDir, ReadOnly: true})
	}
	for _, f := range spec.OwnFiles() {
		env[f.Variable] = backend.OwnDir + "/" + f.Name
		mount := corev1.VolumeMount{Name: ownVolume, MountPath: env[f.Variable], ReadOnly: true}
		if f.Variable == contract.EnvCreds { // of all credentials in the Secret, the container sees only those of its executor
			mount.SubPathExpr = "$(" + contract.EnvExecutor + ")"
		} else {
			mount.SubPath = f.Name
		}
		out.VolumeMounts = append(out.VolumeMounts, mount)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out.Env = append(out.Env, corev1.EnvVar{Name: name, Value: literal(env[name])})
	}
	out.Env = append(out.Env, corev1.EnvVar{Name: contract.EnvExecutor, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['" + labelExecutor + "']"},
	}})
	return out
}

// ordinary are variables of images and of Kubernetes that are in an executor's environment, and no secrets.
var ordinary = []string{
	"HOME", "HOSTNAME", "LANG", "PATH", "PWD", "SHLVL", "TERM", "TMPDIR", "TZ",
	"KUBERNETES_PORT", "KUBERNETES_PORT_443_TCP", "KUBERNETES_PORT_443_TCP_ADDR", "KUBERNETES_PORT_443_TCP_PORT",
	"KUBERNETES_PORT_443_TCP_PROTO", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS",
}

// secretsOf returns the executor's EnvSecrets. Which variables a set has is not known here: then all are secret but those
// that are known to be none.
func secretsOf(spec backend.Spec) string {
	if len(spec.Document.EnvFrom) == 0 {
		return strings.Join(spec.Secrets, ",")
	}
	names := slices.AppendSeq(slices.Clone(ordinary), maps.Keys(spec.Document.Env))
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(spec.Secrets, name) })
	slices.Sort(names)
	return "*," + strings.Join(slices.Compact(names), ",")
}

// foreign reports sets of variables that are the Backend's own: the books and credentials of executors, in the same
// namespace.
func foreign(sets []progdef.EnvSource) error {
	for i, from := range sets {
		if name := from.Secret + from.ConfigMap; isSetName(name) {
			return refused(problem.Pointer("envFrom", strconv.Itoa(i)),
				fmt.Sprintf("%q is reserved: Dagyo names its own records and credentials like that", name), "give the set another name")
		}
	}
	return nil
}

// literal keeps Kubernetes from expanding $(NAME).
func literal(s string) string { return strings.ReplaceAll(s, "$", "$$") }

func source(from progdef.EnvSource) corev1.EnvFromSource {
	if from.ConfigMap != "" {
		return corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: from.ConfigMap}}}
	}
	return corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: from.Secret}}}
}
