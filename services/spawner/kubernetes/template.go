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
	acorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A template is the JSON of a pod template's apply configuration, which is the same for all executors of a
// revision.
type template string

// hash identifies a template.
func (t template) hash() string {
	sum := sha256.Sum256([]byte(t))
	return hex.EncodeToString(sum[:8])
}

func (t template) decode() (*acorev1.PodTemplateSpecApplyConfiguration, error) {
	out := acorev1.PodTemplateSpec()
	if err := json.Unmarshal([]byte(t), out); err != nil {
		return nil, fmt.Errorf("cannot read the pod template in the record: %w", err)
	}
	return out, nil
}

// ownVolume is the name of the volume with the credentials of executors.
const ownVolume = "executor-credentials"

// hasCredentials reports whether the executors of a template have files of their own.
func (t template) hasCredentials() bool {
	pod, err := t.decode()
	return err == nil && pod.Spec != nil && slices.ContainsFunc(pod.Spec.Volumes, func(v acorev1.VolumeApplyConfiguration) bool {
		return v.Name != nil && *v.Name == ownVolume
	})
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
	pod.WithContainers(c.container(spec).WithResources(resources))
	text, err := json.Marshal(acorev1.PodTemplateSpec().
		WithLabels(placeLabels(c.Place)).
		WithLabels(map[string]string{
			labelSet:      setName(c.Place, spec.Progdef, spec.Revision),
			labelProgdef:  spec.Progdef,
			labelRevision: spec.Revision,
		}).
		WithSpec(pod))
	return template(text), err
}

// refused is a problem of the progdef.
func refused(pointer, message, hint string) *backend.StartError {
	return &backend.StartError{Problem: problem.Problem{
		Code: problem.StartRefused, Pointer: pointer, Message: message, Hint: hint,
	}}
}

// resources parses quantities.
func resources(r progdef.Resources) (*acorev1.ResourceRequirementsApplyConfiguration, error) {
	out := acorev1.ResourceRequirements()
	for _, section := range []struct {
		name string
		from map[string]string
		set  func(corev1.ResourceList) *acorev1.ResourceRequirementsApplyConfiguration
	}{
		{"requests", r.Requests, out.WithRequests},
		{"limits", r.Limits, out.WithLimits},
	} {
		list := corev1.ResourceList{}
		for _, name := range slices.Sorted(maps.Keys(section.from)) {
			q, err := resource.ParseQuantity(section.from[name])
			if err != nil {
				return nil, refused(problem.Pointer("resources", section.name, name),
					fmt.Sprintf("%q is not a quantity", section.from[name]),
					`write a number and a unit, such as "100m", "64Mi" or "1"`)
			}
			list[corev1.ResourceName(name)] = q
		}
		if len(list) > 0 {
			section.set(list)
		}
	}
	return out, nil
}

// pod is everything except the container.
func (c Config) pod(spec backend.Spec) (*acorev1.PodSpecApplyConfiguration, error) {
	affinity, err := affinity(spec.Document.Machine)
	if err != nil {
		return nil, err
	}
	pod := acorev1.PodSpec().
		WithSchedulingGates(acorev1.PodSchedulingGate().WithName(gate)).
		WithTerminationGracePeriodSeconds(seconds(spec.Document.Drain.GracePeriod.D() + backend.GiveUpGrace)).
		// The program is not process 1, so signals work as they do elsewhere, and orphaned processes are
		// reaped.
		WithShareProcessNamespace(true).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithSecurityContext(acorev1.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(c.RunAsUser).WithRunAsGroup(c.RunAsUser).
			WithSeccompProfile(acorev1.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithVolumes(acorev1.Volume().WithName("tmp").
			WithEmptyDir(acorev1.EmptyDirVolumeSource().WithSizeLimit(c.TmpLimit)))
	if c.Credentials != "" {
		pod.WithVolumes(acorev1.Volume().WithName("credentials").
			WithSecret(acorev1.SecretVolumeSource().WithSecretName(c.Credentials)))
	}
	if len(spec.OwnFiles()) > 0 {
		pod.WithVolumes(acorev1.Volume().WithName(ownVolume).WithSecret(acorev1.SecretVolumeSource().
			WithSecretName(setName(c.Place, spec.Progdef, spec.Revision)).WithDefaultMode(0o444)))
	}
	if c.ServiceAccount != "" {
		pod.WithServiceAccountName(c.ServiceAccount)
	}
	for _, name := range c.ImagePullSecrets {
		pod.WithImagePullSecrets(acorev1.LocalObjectReference().WithName(name))
	}
	place(pod, spec.Document.Machine)
	if affinity != nil {
		pod.WithAffinity(affinity)
	}
	return pod, nil
}

// seconds rounds up: Kubernetes counts in seconds.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// place sets the machines that may run the pod, except for the affinity.
func place(pod *acorev1.PodSpecApplyConfiguration, m progdef.Machine) {
	if len(m.NodeSelector) > 0 {
		pod.WithNodeSelector(m.NodeSelector)
	}
	for _, t := range m.Tolerations {
		out := acorev1.Toleration()
		if t.Key != "" {
			out.WithKey(t.Key)
		}
		if t.Operator != "" {
			out.WithOperator(corev1.TolerationOperator(t.Operator))
		}
		if t.Value != "" {
			out.WithValue(t.Value)
		}
		if t.Effect != "" {
			out.WithEffect(corev1.TaintEffect(t.Effect))
		}
		if t.TolerationSeconds != nil {
			out.WithTolerationSeconds(*t.TolerationSeconds)
		}
		pod.WithTolerations(out)
	}
	if m.PriorityClassName != "" {
		pod.WithPriorityClassName(m.PriorityClassName)
	}
	if m.RuntimeClassName != "" {
		pod.WithRuntimeClassName(m.RuntimeClassName)
	}
}

// affinity parses the progdef's affinity, which has Kubernetes' own form.
func affinity(m progdef.Machine) (*acorev1.AffinityApplyConfiguration, error) {
	if len(m.Affinity) == 0 {
		return nil, nil
	}
	out := acorev1.Affinity()
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
func (c Config) container(spec backend.Spec) *acorev1.ContainerApplyConfiguration {
	out := acorev1.Container().
		WithName(container).
		WithImage(spec.Document.Image).
		WithImagePullPolicy(corev1.PullIfNotPresent).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(acorev1.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(acorev1.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(acorev1.VolumeMount().WithName("tmp").WithMountPath("/tmp"))
	for _, arg := range spec.Document.Command {
		out.WithCommand(literal(arg))
	}
	for _, from := range spec.Document.EnvFrom {
		out.WithEnvFrom(source(from))
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
		out.WithVolumeMounts(acorev1.VolumeMount().WithName("credentials").
			WithMountPath(backend.CredentialsDir).WithReadOnly(true))
	}
	for _, f := range spec.OwnFiles() {
		env[f.Variable] = backend.OwnDir + "/" + f.Name
		mount := acorev1.VolumeMount().WithName(ownVolume).WithMountPath(env[f.Variable]).WithReadOnly(true)
		if f.Variable == contract.EnvCreds { // of all credentials in the Secret, the container sees only those of its executor
			mount.WithSubPathExpr("$(" + contract.EnvExecutor + ")")
		} else {
			mount.WithSubPath(f.Name)
		}
		out.WithVolumeMounts(mount)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out.WithEnv(acorev1.EnvVar().WithName(name).WithValue(literal(env[name])))
	}
	return out.WithEnv(acorev1.EnvVar().WithName(contract.EnvExecutor).
		WithValueFrom(acorev1.EnvVarSource().WithFieldRef(acorev1.ObjectFieldSelector().
			WithFieldPath("metadata.labels['" + labelExecutor + "']"))))
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

func source(from progdef.EnvSource) *acorev1.EnvFromSourceApplyConfiguration {
	if from.ConfigMap != "" {
		return acorev1.EnvFromSource().WithConfigMapRef(acorev1.ConfigMapEnvSource().WithName(from.ConfigMap))
	}
	return acorev1.EnvFromSource().WithSecretRef(acorev1.SecretEnvSource().WithName(from.Secret))
}
