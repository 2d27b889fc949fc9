package progdef

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// ReservedEnv is the prefix of the environment variables that Dagyo sets.
const ReservedEnv = "DAGYO_"

// quantityLength bounds a resource quantity, in bytes.
const quantityLength = 32

// quantityPattern is Kubernetes' grammar of a resource quantity, without a sign.
var quantityPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(
		`^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$`)
})

func (c *checker) scaling() {
	if c.faulty("scaling", "minExecutors") || c.faulty("scaling", "maxExecutors") {
		return
	}
	s := c.doc.Scaling
	if s.MinExecutors > s.MaxExecutors {
		c.report.Add(problem.BadScaling, fmt.Sprintf("minExecutors is %d, more than maxExecutors, %d%s",
			s.MinExecutors, s.MaxExecutors, c.byDefault("scaling", "maxExecutors")), "", "scaling")
	}
}

func (c *checker) health() {
	if c.faulty("health", "interval") || c.faulty("health", "timeout") {
		return
	}
	h := c.doc.Health
	if h.Interval.D() < MinHealthInterval {
		c.report.Add(problem.BadDuration, fmt.Sprintf("the interval is %s; it must be at least %s",
			h.Interval, MinHealthInterval), "", "health", "interval")
	}
	if h.Timeout.D()/2 < h.Interval.D() {
		path := []string{"health", "timeout"}
		left := c.byDefault("health", "timeout")
		if left != "" {
			path = path[:1]
		}
		c.report.Add(problem.BadDuration, fmt.Sprintf(
			"the timeout is %s%s; it must be at least twice the interval, %s",
			h.Timeout, left, h.Interval), "", path...)
	}
}

// byDefault is a remark for messages about a value that the document does not contain.
func (c *checker) byDefault(section, field string) string {
	if _, written := c.object(section)[field]; written {
		return ""
	}
	return " by default"
}

func (c *checker) environment() {
	for _, name := range slices.Sorted(maps.Keys(c.object("env"))) {
		if message := BadVariable(name); message != "" {
			c.report.Add(problem.BadEnvironment, message, "", "env", name)
		}
	}
}

func (c *checker) sources() {
	list, _ := c.fields["envFrom"].([]any)
	for i, entry := range list {
		from, ok := entry.(map[string]any)
		_, secret := from["secret"]
		_, configMap := from["configMap"]
		if ok && secret == configMap && !c.faulty("envFrom", strconv.Itoa(i)) {
			c.report.Add(problem.BadEnvironment, "must name either a secret or a configMap", "",
				"envFrom", strconv.Itoa(i))
		}
	}
}

// BadVariable explains what is wrong with the name of an environment variable that a user or operator sets, or returns
// "".
func BadVariable(name string) string {
	if strings.HasPrefix(name, ReservedEnv) {
		return document.Quote(name) + " begins with " + ReservedEnv +
			", which is reserved for variables that Dagyo sets"
	}
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			name = ""
			break
		}
	}
	if name == "" {
		return "the name of an environment variable consists of letters, digits and underscores " +
			"and does not start with a digit"
	}
	return ""
}

func (c *checker) quantities(section string) {
	object, _ := c.object("resources")[section].(map[string]any)
	for _, resource := range slices.Sorted(maps.Keys(object)) {
		q, ok := object[resource].(string)
		if ok && (len(q) > quantityLength || !quantityPattern().MatchString(q)) {
			c.report.Add(problem.BadResource, document.Quote(q)+` is not a quantity such as "100m", `+
				`"64Mi" or "1.5"`, "", "resources", section, resource)
		}
	}
}
