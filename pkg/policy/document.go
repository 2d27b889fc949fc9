package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/egress"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A Policy is a checked policy document. A rule that is nil refuses nothing. A nil Policy refuses nothing and adds no
// variables. It is never changed.
type Policy struct {
	Images      Images        `json:"images"`
	Commands    Commands      `json:"commands"`
	EnvFrom     []EnvRule     `json:"envFrom"`
	Machine     Machine       `json:"machine"`
	Limits      Limits        `json:"limits"`
	Environment []Environment `json:"environment"`
	// Standard are patterns of the names of the standard progdefs that are offered.
	Standard []string `json:"standard"`
	HTTPGet  HTTPGet  `json:"httpGet"`
	Webhooks Webhooks `json:"webhooks"`

	// onHost is true if executors run on the spawner's machine, where images are not used.
	onHost bool
}

// Images are the rules about images.
type Images struct {
	Allow  []string `json:"allow"`
	Digest bool     `json:"digest"`
}

// Commands are the rules about commands that run on the spawner's machine.
type Commands struct {
	Allow []string `json:"allow"`
}

// A Selector selects progdefs by name and, unless it is nil, by image.
type Selector struct {
	Progdefs []string `json:"progdefs"`
	Images   []string `json:"images"`
}

// An EnvRule allows sets of environment variables.
type EnvRule struct {
	Selector
	Secrets    []string `json:"secrets"`
	ConfigMaps []string `json:"configMaps"`
}

// Machine are the rules about classes of Kubernetes.
type Machine struct {
	PriorityClassNames []string `json:"priorityClassNames"`
	RuntimeClassNames  []string `json:"runtimeClassNames"`
}

// Limits are the highest values that a progdef may set.
type Limits struct {
	JobsPerExecutor *int              `json:"jobsPerExecutor"`
	MinExecutors    *int              `json:"minExecutors"`
	MaxExecutors    *int              `json:"maxExecutors"`
	Resources       map[string]string `json:"resources"`
	// Required are the resources for which a progdef must set a limit.
	Required []string `json:"required"`
}

// Environment are the operator's variables for some progdefs.
type Environment struct {
	Selector
	Variables map[string]string `json:"variables"`
	// Files holds the paths of files with values.
	Files   map[string]string   `json:"files"`
	EnvFrom []progdef.EnvSource `json:"envFrom"`
}

// HTTPGet are the rules about the standard progdefs http_get and http_post.
type HTTPGet struct {
	Allow []string `json:"allow"`
}

// Webhooks are the rules about the receivers of webhooks.
type Webhooks struct {
	Allow []string `json:"allow"`
}

// Check reads a policy document. It returns either the policy or every problem at once.
func Check(raw []byte) (*Policy, problem.List) {
	c := checker{}
	tree := document.CheckInto(&c.report, "policy", raw, document.DefaultLimits())
	c.faults = c.report.List()
	p := &Policy{}
	if _, object := tree.(map[string]any); object {
		for _, fault := range c.faults {
			blank(tree, strings.Split(fault.Pointer, "/")[1:])
		}
		text, err := json.Marshal(tree)
		if err == nil {
			err = json.Unmarshal(text, p)
		}
		if err != nil && len(c.faults) == 0 { // the schema accepted something invalid
			c.report.Add(problem.InternalFailure, "cannot decode the policy: "+err.Error(), "")
		}
		c.check(p)
	}
	if list := c.report.List(); len(list) > 0 {
		return nil, list
	}
	return p, nil
}

// blank removes the part of a tree that breaks the schema, so that the rest can be checked. An element of an array
// becomes null, so that the others keep their places.
func blank(tree any, at []string) {
	for i, token := range at {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		last := i == len(at)-1
		switch part := tree.(type) {
		case map[string]any:
			if tree = part[token]; last {
				delete(part, token)
			}
		case []any:
			n, err := strconv.Atoi(token)
			if err != nil || n < 0 || n >= len(part) {
				return
			}
			if tree = part[n]; last {
				part[n] = nil
			}
		}
	}
}

// OnHost returns the policy for executors that run on the spawner's machine, where images are not used.
func (p *Policy) OnHost() *Policy {
	out := *p
	out.onHost = true
	return &out
}

// Within returns the policy with its relative paths resolved to a folder.
func (p *Policy) Within(dir string) *Policy {
	out := *p
	out.Environment = slices.Clone(p.Environment)
	for i, e := range out.Environment {
		files := maps.Clone(e.Files)
		for name, path := range files {
			if !filepath.IsAbs(path) {
				files[name] = filepath.Join(dir, path)
			}
		}
		out.Environment[i].Files = files
	}
	return &out
}

// A checker checks what the schema cannot. It skips entries without text, which break the schema.
type checker struct {
	report document.Report
	faults problem.List
}

func (c *checker) check(p *Policy) {
	c.images(p.Images.Allow, "images", "allow")
	for i, pattern := range p.Commands.Allow {
		if why := badCommandPattern(pattern); pattern != "" && why != "" {
			c.bad(document.Quote(pattern)+" "+why, "commands", "allow", strconv.Itoa(i))
		}
	}
	for i, r := range p.EnvFrom {
		c.images(r.Images, "envFrom", strconv.Itoa(i), "images")
	}
	for i, e := range p.Environment {
		c.environment(e, "environment", strconv.Itoa(i))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Limits.Resources)) {
		if q := p.Limits.Resources[name]; !isQuantity(q) {
			c.report.Add(problem.BadResource, document.Quote(q)+` is not a quantity such as "500m", "16Gi" or "1"`, "",
				"limits", "resources", name)
		}
	}
	c.addresses(p.HTTPGet.Allow, "httpGet", "allow")
	c.addresses(p.Webhooks.Allow, "webhooks", "allow")
}

// addresses checks a list of addresses, networks and hosts.
func (c *checker) addresses(entries []string, at ...string) {
	for i, entry := range entries {
		if _, err := egress.Parse([]string{entry}); entry != "" && err != nil {
			c.bad(err.Error(), append(slices.Clip(at), strconv.Itoa(i))...)
		}
	}
}

// environment checks one rule of the operator's variables.
func (c *checker) environment(e Environment, at ...string) {
	at = slices.Clip(at)
	c.images(e.Images, append(at, "images")...)
	for _, section := range []struct {
		field string
		names map[string]string
	}{{"variables", e.Variables}, {"files", e.Files}} {
		for _, name := range slices.Sorted(maps.Keys(section.names)) {
			if why := progdef.BadVariable(name); why != "" {
				c.report.Add(problem.BadEnvironment, why, "", append(at, section.field, name)...)
			}
		}
	}
	for name := range e.Files {
		if _, twice := e.Variables[name]; twice {
			c.report.Add(problem.BadEnvironment, fmt.Sprintf("%s is also in variables", name), "",
				append(at, "files", name)...)
		}
	}
	for i, from := range e.EnvFrom {
		if (from.Secret == "") == (from.ConfigMap == "") && !c.faulty(append(at, "envFrom", strconv.Itoa(i))...) {
			c.report.Add(problem.BadEnvironment, "must name either a secret or a configMap", "",
				append(at, "envFrom", strconv.Itoa(i))...)
		}
	}
}

func (c *checker) images(patterns []string, at ...string) {
	for i, pattern := range patterns {
		if why := badImagePattern(pattern); pattern != "" && why != "" {
			c.bad(document.Quote(pattern)+" "+why, append(slices.Clip(at), strconv.Itoa(i))...)
		}
	}
}

func (c *checker) bad(message string, at ...string) {
	c.report.Add(problem.BadValue, message, "", at...)
}

// faulty reports whether the part of the document breaks the schema.
func (c *checker) faulty(at ...string) bool {
	return slices.ContainsFunc(c.faults, func(p problem.Problem) bool {
		return p.Pointer == problem.Pointer(at...) || strings.HasPrefix(p.Pointer, problem.Pointer(at...)+"/")
	})
}

func isQuantity(text string) bool {
	_, ok := progdef.ParseQuantity(text)
	return ok
}
