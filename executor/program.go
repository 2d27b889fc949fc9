package executor

import (
	"context"
	"fmt"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A Program is the code of one progdef.
type Program struct {
	// Name and Description are those of the progdef that [Program.Describe] makes. Main describes a program without a
	// name by the name of its executable.
	Name, Description string
	// TypeParams are the names that stand for any typename on the ports, as the progdef's typeParams
	// has them. Within one job, each stands for the same one everywhere.
	TypeParams []string
	// Ports are all inputs and outputs, as the progdef declares them.
	Ports []Port
	// Dynamic says that the program bears any ports. It declares none, and learns from [Job.Inputs] and
	// [Job.Outputs] which ones a job has.
	Dynamic bool
	// Run serves one job; it is called concurrently for different jobs.
	Run func(ctx context.Context, job *Job) error
}

// check reports how a job differs from what the program declares: its progdef and its code have
// drifted apart.
func (p Program) check(j contract.Job) error {
	if p.Dynamic {
		return nil
	}
	wrong := p.mismatches(j)
	if len(wrong) == 0 {
		wrong = p.undeclared(j)
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("progdef %s does not fit its program: %s", j.Progdef, strings.Join(wrong, "; "))
}

// mismatches tells which declared ports the job does not have, or not with such a typename.
func (p Program) mismatches(j contract.Job) []string {
	var wrong []string
	s := solution{params: p.TypeParams, bound: make(map[string]binding)}
	for _, port := range p.Ports {
		name := fmt.Sprintf("%s %q", direction(port.isInput()), port.portName())
		a, ok := addresses(j, port.isInput())[port.portName()]
		if !ok {
			wrong = append(wrong, "the progdef has no "+name)
			continue
		}
		if err := s.port(name, port.typename(), a.Type); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// undeclared tells whether the job has more ports than the program declares.
func (p Program) undeclared(j contract.Job) []string {
	var wrong []string
	declared := map[bool]int{}
	for _, port := range p.Ports {
		declared[port.isInput()]++
	}
	if _, wired := j.Inputs[progdef.StopPort]; wired {
		declared[true]++ // it is ours, not the program's
	}
	for _, input := range []bool{true, false} {
		if has := len(addresses(j, input)); declared[input] < has {
			wrong = append(wrong, fmt.Sprintf("the progdef has %s, the program declares %d",
				document.Count(has, direction(input)), declared[input]))
		}
	}
	return wrong
}

func addresses(j contract.Job, input bool) map[string]contract.Address {
	if input {
		return j.Inputs
	}
	return j.Outputs
}

func direction(input bool) string {
	if input {
		return "input"
	}
	return "output"
}
