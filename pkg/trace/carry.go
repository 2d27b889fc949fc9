package trace

import "context"

// The names of the headers, attributes of events and, in capitals, variables that carry a context.
const (
	headerParent = "traceparent"
	headerState  = "tracestate"
	envParent    = "TRACEPARENT"
	envState     = "TRACESTATE"
)

// FromMap returns the context in a map with the names of W3C's headers, such as a MapCarrier of OpenTelemetry.
func FromMap(m map[string]string) Context { return Parse(m[headerParent], m[headerState]) }

// Map returns the context as such a map, which is empty for the zero Context.
func (c Context) Map() map[string]string {
	m := make(map[string]string)
	if !c.IsZero() {
		m[headerParent] = c.Parent
	}
	if c.State != "" {
		m[headerState] = c.State
	}
	return m
}

// FromEnvironment returns the context in the variables of a process.
func FromEnvironment(env func(string) string) Context { return Parse(env(envParent), env(envState)) }

// IsVariable reports whether a variable of the environment carries a context.
func IsVariable(name string) bool { return name == envParent || name == envState }

// Environment returns the context as variables, none for the zero Context.
func (c Context) Environment() (variables []string) {
	if !c.IsZero() {
		variables = append(variables, envParent+"="+c.Parent)
	}
	if c.State != "" {
		variables = append(variables, envState+"="+c.State)
	}
	return variables
}

type key struct{}

// NewContext returns a Go context that carries a trace context.
func NewContext(ctx context.Context, c Context) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// FromContext returns the trace context that a Go context carries.
func FromContext(ctx context.Context) Context {
	c, _ := ctx.Value(key{}).(Context)
	return c
}
