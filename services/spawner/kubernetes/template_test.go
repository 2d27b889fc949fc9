package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

var update = flag.Bool("update", false, "rewrite testdata")

func specOf(d progdef.Document) backend.Spec {
	return backend.Spec{
		Executor: "greet-1", Progdef: "greet", Revision: "0123456789abcdef", Document: d,
		Env: map[string]string{
			contract.EnvExecutor: "greet-1", contract.EnvJobs: "greet.0123456789abcdef",
			contract.EnvQueue: "nats://nats:4222", contract.EnvCreds: backend.CredentialsDir + "/nats.creds",
		},
	}
}

// everything is a progdef that sets every field.
func everything() progdef.Document {
	return progdef.Document{
		Image:   "registry.example/greet@sha256:0123",
		Command: []string{"/greet", "--greeting", "$(HOME) and $$"},
		Resources: progdef.Resources{
			Requests: map[string]string{"cpu": "100m", "memory": "64Mi"},
			Limits:   map[string]string{"memory": "64Mi", "nvidia.com/gpu": "1"},
		},
		Machine: progdef.Machine{
			NodeSelector: map[string]string{"gpu": "h100"},
			Tolerations: []progdef.Toleration{
				{Key: "gpu", Operator: "Exists", Effect: "NoSchedule"},
				{Key: "spot", Value: "yes", Effect: "NoExecute", TolerationSeconds: new(int64(60))},
			},
			Affinity: map[string]any{"podAntiAffinity": map[string]any{
				"preferredDuringSchedulingIgnoredDuringExecution": []any{map[string]any{
					"weight": 1, "podAffinityTerm": map[string]any{"topologyKey": "kubernetes.io/hostname"},
				}},
			}},
			PriorityClassName: "batch", RuntimeClassName: "nvidia",
		},
		Env:     map[string]string{"MODEL": "small", "PRICE": "$5", contract.EnvJobs: "overridden by Dagyo"},
		EnvFrom: []progdef.EnvSource{{Secret: "greet-secrets"}, {ConfigMap: "greet-config"}},
		Drain:   progdef.Drain{GracePeriod: document.Duration(1500 * time.Millisecond)},
	}
}

func TestSecretsOfEnvironment(t *testing.T) {
	spec := backend.Spec{Secrets: []string{"TOKEN"}}
	if got := secretsOf(spec); got != "TOKEN" {
		t.Errorf("the operator's variables: %q", got)
	}
	// Which variables a set has is not known.
	spec.Document.EnvFrom = []progdef.EnvSource{{Secret: "s"}}
	spec.Document.Env = map[string]string{"MODEL": "small", "TOKEN": "the operator's takes precedence"}
	got := strings.Split(secretsOf(spec), ",")
	for name, known := range map[string]bool{"*": true, "PATH": true, "MODEL": true, "TOKEN": false, "KEY": false} {
		if slices.Contains(got, name) != known || got[0] != "*" {
			t.Errorf("a set: %q", got)
		}
	}
}

func TestTemplate(t *testing.T) {
	for name, c := range map[string]struct {
		config      Config
		document    progdef.Document
		credentials string
	}{
		"credentials": {document: progdef.Document{Image: "greet:1"}, credentials: "hush"},
		"least":       {document: progdef.Document{Image: "greet:1", Drain: progdef.Drain{GracePeriod: document.Duration(24 * time.Hour)}}},
		"everything": {document: everything(), config: Config{
			Place: "east", Credentials: "nats", ImagePullSecrets: []string{"registry"}, ServiceAccount: "executors",
			RunAsUser: 1000,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(c.document)
			if c.credentials != "" {
				spec.Credentials, spec.CA = []byte(c.credentials), []byte("public")
			}
			got, err := c.config.withDefaults().render(spec)
			if err != nil {
				t.Fatal(err)
			}
			if got.hasCredentials() != (c.credentials != "") {
				t.Errorf("hasCredentials is %v", got.hasCredentials())
			}
			compare(t, filepath.Join("testdata", name+".json"), string(got))
		})
	}
}

// compare compares JSON with a file.
func compare(t *testing.T, file, got string) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(got), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if pretty.String() != string(want) {
		t.Errorf("%s differs; -update rewrites it:\n%s", file, pretty.String())
	}
}

// All executors of a revision have one template.
func TestTemplateHasNoExecutor(t *testing.T) {
	c := Config{}.withDefaults()
	one, err := c.render(specOf(everything()))
	if err != nil {
		t.Fatal(err)
	}
	spec := specOf(everything())
	spec.Executor, spec.Env[contract.EnvExecutor] = "greet-2", "greet-2"
	two, err := c.render(spec)
	if err != nil || one != two || one.hash() != two.hash() {
		t.Errorf("%v: templates of two executors differ:\n%s\n%s", err, one, two)
	}
	spec.Env[contract.EnvQueue] = "nats://elsewhere:4222"
	if three, err := c.render(spec); err != nil || three.hash() == two.hash() {
		t.Errorf("%v: the template does not depend on the queue", err)
	}
}

func TestInvalidTemplates(t *testing.T) {
	with := func(change func(*progdef.Document)) progdef.Document {
		d := everything()
		change(&d)
		return d
	}
	for _, c := range []struct {
		document progdef.Document
		pointer  string
	}{
		{with(func(d *progdef.Document) { d.Image = "" }), "/image"},
		{with(func(d *progdef.Document) { d.Resources.Limits["nvidia.com/gpu"] = "one" }), "/resources/limits/nvidia.com~1gpu"},
		{with(func(d *progdef.Document) { d.Resources.Requests["cpu"] = "much" }), "/resources/requests/cpu"},
		{with(func(d *progdef.Document) { d.Machine.Affinity = map[string]any{"nodeAffinty": map[string]any{}} }), "/machine/affinity"},
		{with(func(d *progdef.Document) { d.Machine.Affinity["podAntiAffinity"] = "none" }), "/machine/affinity"},
		{with(func(d *progdef.Document) {
			d.EnvFrom = []progdef.EnvSource{{Secret: "dagyo-mine"}, {Secret: setName("dagyo", "greet", "0")}}
		}), "/envFrom/1"},
		{with(func(d *progdef.Document) {
			d.EnvFrom = []progdef.EnvSource{{ConfigMap: setName("east", "a_b", "0")}}
		}), "/envFrom/0"},
	} {
		_, err := Config{}.withDefaults().render(specOf(c.document))
		var refused *backend.StartError
		if !errors.As(err, &refused) || refused.Problem.Pointer != c.pointer ||
			refused.Problem.Message == "" || refused.Problem.Hint == "" {
			t.Errorf("for %s: %v", c.pointer, err)
		}
	}
}

func TestBlame(t *testing.T) {
	rendered, err := Config{}.withDefaults().render(specOf(everything()))
	if err != nil {
		t.Fatal(err)
	}
	const spec = "spec.template.spec."
	for at, want := range map[string]string{
		spec + "containers[0].resources.limits[nvidia.com/gpu]":        "/resources/limits/nvidia.com~1gpu",
		spec + "containers[0].resources.requests":                      "/resources/requests",
		spec + "containers[0].image":                                   "/image",
		spec + "containers[0].command[1]":                              "/command/1",
		spec + "containers[0].env[4].name":                             "/env/MODEL",
		spec + "containers[0].env[99].name":                            "/env/99",
		spec + "containers[0].envFrom[1].configMapRef.name":            "/envFrom/1",
		spec + "affinity.nodeAffinity.required[0].matchExpressions[2]": "/machine/affinity/nodeAffinity/required/0/matchExpressions/2",
		spec + "nodeSelector":                                          "/machine/nodeSelector",
		spec + "tolerations[0].operator":                               "/machine/tolerations/0/operator",
		spec + "priorityClassName":                                     "/machine/priorityClassName",
		spec + "terminationGracePeriodSeconds":                         "/drain/gracePeriod",
		spec + "volumes[0]":                                            "",
		"metadata.name":                                                "",
	} {
		if got := blame(at, rendered); got != want {
			t.Errorf("blame of %s is %q, want %q", at, got, want)
		}
	}
}

func TestRefusalOfTheAPIServer(t *testing.T) {
	err := refusal(apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "x", field.ErrorList{
		field.Invalid(field.NewPath("spec", "template", "spec", "tolerations").Index(0).Child("effect"), "Never", "unsupported"),
	}), "{}")
	var refused *backend.StartError
	if !errors.As(err, &refused) || refused.Problem.Pointer != "/machine/tolerations/0/effect" {
		t.Errorf("refusal is %v", err)
	}
	passing := apierrors.NewServiceUnavailable("later")
	if got := refusal(passing, "{}"); got != error(passing) {
		t.Errorf("a transient error became %v", got)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	long := strings.Repeat("a", 63)
	for _, of := range [][3]string{
		{"default", "greet", "0123456789abcdef"}, {"east", "greet", "0123456789abcdef"},
		{"default", "greet", "0123456789abcde0"}, {"default", "a_b", "0"}, {"default", "a-b", "0"},
		{long, long, long}, {"default", strings.Repeat("a", 23) + "_b", "0"}, {"default", "4", "0"},
	} {
		name := setName(of[0], of[1], of[2])
		// A ReplicaSet appends 11 characters, and a pod truncates the result to 58 before it appends 5.
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 || len(name) > 58-11 {
			t.Errorf("name of %v is %q: %v", of, name, problems)
		}
		if !isSetName(name) {
			t.Errorf("%q is not known as a name of ours", name)
		}
		if problems := validation.IsDNS1123Label(budgetName(of[0])); len(problems) > 0 {
			t.Errorf("budget of %v is %q: %v", of[0], budgetName(of[0]), problems)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q is the name of %s and of %v", name, other, of)
		}
		seen[name] = strings.Join(of[:], "/")
	}
}

func TestConfigReportsEverything(t *testing.T) {
	err := Config{Place: "No Place", RunAsUser: -1, PullTimeout: -1, StartTimeout: -1, CallTimeout: -1, QPS: -1}.Validate()
	for _, word := range []string{"place", "RunAsUser", "PullTimeout", "StartTimeout", "CallTimeout", "QPS"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not in %v", word, err)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	_, err = New(Config{})
	if err == nil || !strings.Contains(err.Error(), "not running in a cluster") {
		t.Errorf("outside of a cluster: %v", err)
	}
}
