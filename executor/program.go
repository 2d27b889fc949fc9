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
	// TypeParams are the names that stand for any typename on the ports, as in the progdef's typeParams. Within one
	// job, each stands for one typename.
	TypeParams []string
	// Ports are all inputs and outputs, as declared in the progdef.
	Ports []Port
	// Dynamic is true if the program takes any ports. It declares none; [Job.Inputs] and [Job.Outputs]
	// return the ports of a job.
	Dynamic bool
	// Run serves one job. It is called concurrently for different jobs.
	Run func(ctx context.Context, job *Job) error
}

// check reports how a job differs from the program's declarations: its progdef and its code have
// diverged.
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
	return fmt.Errorf("progdef %s does not match its program: %s", j.Progdef, strings.Join(wrong, "; "))
}

// mismatches returns the declared ports that the job lacks, or has with another typename.
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

// undeclared reports whether the job has more ports than the program declares.
func (p Program) undeclared(j contract.Job) []string {
	var wrong []string
	declared := map[bool]int{}
	for _, port := range p.Ports {
		declared[port.isInput()]++
	}
	if _, wired := j.Inputs[progdef.StopPort]; wired {
		declared[true]++ // it belongs to the SDK, not to the program
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
