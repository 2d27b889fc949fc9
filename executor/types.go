package executor

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A solution holds the typenames of a program's type parameters in one job.
type solution struct {
	params []string
	bound  map[string]binding
}

// A binding is the typename of a type parameter, and the port that determined it.
type binding struct {
	typename progdef.Typename
	port     string
}

// port matches the typename of a port's edge against the one that the program declares.
func (s *solution) port(port, declared, carried string) error {
	pattern, err := progdef.ParseTypename(declared)
	if err != nil {
		return fmt.Errorf("%s: the program declares %q: %w", port, declared, err)
	}
	typename, err := progdef.ParseTypename(carried)
	if err != nil {
		return fmt.Errorf("%s carries %q: %w", port, carried, err)
	}
	fits, err := s.match(pattern, typename, port)
	if err == nil && !fits {
		err = fmt.Errorf("%s carries %s, the program expects %s", port, typename, pattern)
	}
	return err
}

// match reports whether the pattern matches the typename. The error is about a type parameter that
// would have to stand for two typenames.
func (s *solution) match(pattern, typename progdef.Typename, port string) (bool, error) {
	if len(pattern.Args) == 0 && slices.Contains(s.params, pattern.Name) {
		return true, s.bind(pattern.Name, binding{typename, port})
	}
	if pattern.Name != typename.Name || len(pattern.Args) != len(typename.Args) {
		return false, nil
	}
	for i, arg := range pattern.Args {
		if fits, err := s.match(arg, typename.Args[i], port); !fits || err != nil {
			return fits, err
		}
	}
	return true, nil
}

func (s *solution) bind(param string, b binding) error {
	first, known := s.bound[param]
	if !known {
		s.bound[param] = b
	}
	if known && !first.typename.Equal(b.typename) {
		return fmt.Errorf("%s is %s on %s, but %s on %s",
			param, first.typename, first.port, b.typename, b.port)
	}
	return nil
}

// A PortInfo is one port of a job.
type PortInfo struct {
	Name string
	// Typename is the typename of the port's edge, without type parameters.
	Typename string
}

// Inputs returns the job's inputs, ordered by name, without the stop port that a flow may have connected.
// A [Program] that is Dynamic uses it to find its ports, and makes them with [Input].
func (j *Job) Inputs() []PortInfo {
	return slices.DeleteFunc(portInfos(j.doc.Inputs), func(p PortInfo) bool {
		return p.Name == progdef.StopPort
	})
}

// Outputs returns the job's outputs, ordered by name; see [Job.Inputs].
func (j *Job) Outputs() []PortInfo { return portInfos(j.doc.Outputs) }

func portInfos(ports map[string]contract.Address) []PortInfo {
	infos := make([]PortInfo, 0, len(ports))
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		infos = append(infos, PortInfo{Name: name, Typename: ports[name].Type})
	}
	return infos
}
