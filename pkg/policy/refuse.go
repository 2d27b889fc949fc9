package policy

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Refuses returns a problem for each rule that a progdef breaks, with a pointer into its document: the rule, and what is
// allowed.
func (p *Policy) Refuses(d progdef.Document) problem.List {
	if p == nil {
		return nil
	}
	j := judge{policy: p, doc: d, image: d.Image}
	if d.Flow != nil { // it runs nothing itself: its nodes are judged by their own progdefs
		j.standard()
		return j.report.List()
	}
	if p.onHost {
		j.image = ""
	}
	j.images()
	j.commands()
	j.standard()
	j.envFrom()
	j.machine()
	j.scaling()
	j.resources()
	return j.report.List()
}

// Refused reports whether the policy is the only reason for a rejection.
func Refused(problems problem.List) bool {
	other := func(p problem.Problem) bool { return p.Code != problem.PolicyRefused }
	return len(problems) > 0 && !slices.ContainsFunc(problems, other)
}

// Offers reports whether a standard progdef is offered.
func (p *Policy) Offers(name string) bool {
	return p == nil || p.Standard == nil || matchesName(p.Standard, name)
}

// Fit returns the scaling of a standard progdef within the policy's limits.
func (p *Policy) Fit(s progdef.Scaling) progdef.Scaling {
	if p == nil {
		return s
	}
	for limit, value := range map[*int]*int{
		p.Limits.JobsPerExecutor: &s.JobsPerExecutor, p.Limits.MinExecutors: &s.MinExecutors,
		p.Limits.MaxExecutors: &s.MaxExecutors,
	} {
		if limit != nil {
			*value = min(*value, *limit)
		}
	}
	return s
}

// A judge compares a progdef with a policy.
type judge struct {
	policy *Policy
	doc    progdef.Document
	// image is the image that is run; "" if there is none.
	image  string
	report document.Report
}

// refuse reports a broken rule.
func (j *judge) refuse(rule, message, allowed string, at ...string) {
	j.report.Add(problem.PolicyRefused,
		fmt.Sprintf("refused by the policy (%s): %s", rule, message), allowed, at...)
}

// allowed lists what a rule allows.
func allowed(patterns []string) string {
	const most = 20
	if len(patterns) == 0 {
		return "nothing is allowed"
	}
	text := "allowed: " + strings.Join(patterns[:min(len(patterns), most)], ", ")
	if n := len(patterns) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func (j *judge) images() {
	rules := j.policy.Images
	if j.image == "" || rules.Allow == nil && !rules.Digest {
		return
	}
	i, ok := parseImage(j.image)
	if rules.Allow != nil && (!ok || !matchesPath(rules.Allow, i.repository)) {
		what := document.Quote(j.image) + " is not an image reference that can be checked"
		if ok {
			what = "the repository " + i.repository + " is not allowed"
		}
		j.refuse("images.allow", what, allowed(rules.Allow), "image")
	}
	if rules.Digest && i.digest == "" {
		j.refuse("images.digest", "the image has no digest", "write it as NAME@sha256:…", "image")
	}
}

func (j *judge) commands() {
	rule := j.policy.Commands.Allow
	if rule == nil || j.image != "" || len(j.doc.Command) == 0 || standardName(j.doc) != "" {
		return
	}
	program, at := executable(j.doc.Command)
	if path.Clean(program) != program || !matchesPath(rule, program) {
		j.refuse("commands.allow", "the program "+document.Quote(program)+" is not allowed", allowed(rule),
			"command", strconv.Itoa(at))
	}
	for _, name := range slices.Sorted(maps.Keys(j.doc.Env)) {
		if name == "PATH" || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_") {
			j.refuse("commands.allow", name+" could replace the allowed programs by others", "remove it", "env", name)
		}
	}
}

// executable returns the program that a command runs, and its place in the command. Dagyo's own wrapper does not count
// if nothing but its flags is before the "--": without one, or after another word, the wrapper runs that word.
func executable(command []string) (program string, at int) {
	at = 1
	switch {
	case command[0] == "dagyo-exec":
	case command[0] == dagyo && len(command) > 1 && command[1] == "exec":
		at = 2
	default:
		return command[0], 0
	}
	for at < len(command)-1 && command[at] != "--" {
		name, _, hasValue := strings.Cut(command[at], "=")
		if !slices.Contains(wrapperFlags, name) {
			return command[0], 0
		}
		if at++; !hasValue {
			at++
		}
	}
	if at >= len(command)-1 {
		return command[0], 0
	}
	return command[at+1], at + 1
}

// wrapperFlags are the flags of dagyo exec and dagyo-exec. All have a value.
var wrapperFlags = []string{"--exit-ok", "--framing", "--stop-grace"}

// The command of a standard progdef is dagyo executor NAME.
const (
	dagyo        = "dagyo"
	dagyoCommand = "executor"
	httpGetName  = "http_get"
	httpPostName = "http_post"
)

// standardName returns the name of the standard progdef whose program a document runs, or "".
func standardName(d progdef.Document) string {
	if c := d.Command; len(c) == 3 && c[0] == dagyo && c[1] == dagyoCommand {
		return c[2]
	}
	return ""
}

func (j *judge) standard() {
	rule := j.policy.Standard
	if rule == nil {
		return
	}
	c := j.doc.Command
	name := standardName(j.doc)
	switch {
	case name != "" && !matchesName(rule, name):
		j.refuse("standard", "the standard progdef "+name+" is not offered", allowed(rule), "command")
	case name == "" && len(c) > 0 && path.Base(c[0]) == dagyo && slices.Contains(c[1:], dagyoCommand):
		j.refuse("standard", "the command may run a standard progdef", "write it as dagyo executor NAME", "command")
	}
}

// selects reports whether a rule is for a progdef with an image.
func (s Selector) selects(name, imageText string) bool {
	if !matchesName(s.Progdefs, name) {
		return false
	}
	if s.Images == nil {
		return true
	}
	i, ok := parseImage(imageText)
	return ok && matchesPath(s.Images, i.repository)
}

func (j *judge) envFrom() {
	if j.policy.EnvFrom == nil {
		return
	}
	var secrets, configMaps []string
	for _, r := range j.policy.EnvFrom {
		if r.selects(j.doc.Name, j.image) {
			secrets, configMaps = append(secrets, r.Secrets...), append(configMaps, r.ConfigMaps...)
		}
	}
	for i, from := range j.doc.EnvFrom {
		if from.Secret != "" && !matchesName(secrets, from.Secret) {
			j.refuse("envFrom", fmt.Sprintf("%s may not use the secret %s", j.doc.Name, document.Quote(from.Secret)),
				allowed(secrets), "envFrom", strconv.Itoa(i), "secret")
		}
		if from.ConfigMap != "" && !matchesName(configMaps, from.ConfigMap) {
			j.refuse("envFrom", fmt.Sprintf("%s may not use the config map %s", j.doc.Name, document.Quote(from.ConfigMap)),
				allowed(configMaps), "envFrom", strconv.Itoa(i), "configMap")
		}
	}
}

func (j *judge) machine() {
	for _, class := range []struct {
		field, value string
		rule         []string
	}{
		{"priorityClassName", j.doc.Machine.PriorityClassName, j.policy.Machine.PriorityClassNames},
		{"runtimeClassName", j.doc.Machine.RuntimeClassName, j.policy.Machine.RuntimeClassNames},
	} {
		if class.rule != nil && class.value != "" && !matchesName(class.rule, class.value) {
			j.refuse("machine."+class.field+"s", document.Quote(class.value)+" is not allowed", allowed(class.rule),
				"machine", class.field)
		}
	}
}

func (j *judge) scaling() {
	s, l := j.doc.Scaling, j.policy.Limits
	for _, value := range []struct {
		field string
		got   int
		limit *int
	}{
		{"jobsPerExecutor", s.JobsPerExecutor, l.JobsPerExecutor},
		{"minExecutors", s.MinExecutors, l.MinExecutors},
		{"maxExecutors", s.MaxExecutors, l.MaxExecutors},
	} {
		if value.limit != nil && value.got > *value.limit {
			j.refuse("limits."+value.field, fmt.Sprintf("%s is %d", value.field, value.got),
				fmt.Sprintf("at most %d", *value.limit), "scaling", value.field)
		}
	}
}

func (j *judge) resources() {
	r := j.doc.Resources
	j.quantities("requests", r.Requests)
	j.quantities("limits", r.Limits)
	if standardName(j.doc) != "" && j.image == "" {
		return
	}
	for _, name := range j.policy.Limits.Required {
		if _, set := r.Limits[name]; !set {
			j.refuse("limits.required", "no limit is set for "+document.Quote(name),
				"set it in resources.limits", "resources", "limits")
		}
	}
}

func (j *judge) quantities(section string, all map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rule, limit := name, ""
		if limit = j.policy.Limits.Resources[name]; limit == "" {
			rule, limit = "*", j.policy.Limits.Resources["*"]
		}
		if limit == "" {
			continue
		}
		got, ok := progdef.ParseQuantity(all[name])
		most, known := progdef.ParseQuantity(limit)
		if !ok || !known || got.Cmp(most) > 0 {
			j.refuse("limits.resources."+rule, fmt.Sprintf("%s is %s", name, document.Quote(all[name])), "at most "+limit,
				"resources", section, name)
		}
	}
}
