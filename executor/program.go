package executor

import (
	"context"
	"fmt"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A Program is the code of one progdef.
type Program struct {
	// Ports are all inputs and outputs, as the progdef declares them.
	Ports []Port
	// Run serves one job; it is called concurrently for different jobs.
	Run func(ctx context.Context, job *Job) error
}

// check reports how a job differs from what the program declares: its progdef and its code have
// drifted apart.
func (p Program) check(j contract.Job) error {
	var wrong []string
	ports := map[bool]map[string]contract.Address{true: j.Inputs, false: j.Outputs}
	declared := map[bool]int{}
	for _, port := range p.Ports {
		a, ok := ports[port.isInput()][port.portName()]
		declared[port.isInput()]++
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("the progdef has no %s %q", direction(port.isInput()), port.portName()))
		case a.Type != port.typename():
			wrong = append(wrong, fmt.Sprintf("%s %q carries %s, the program expects %s",
				direction(port.isInput()), port.portName(), a.Type, port.typename()))
		}
	}
	if _, wired := j.Inputs[progdef.StopPort]; wired {
		declared[true]++ // it is ours, not the program's
	}
	for input, addresses := range ports {
		if len(wrong) == 0 && declared[input] < len(addresses) {
			wrong = append(wrong, fmt.Sprintf("the progdef has %d %ss, the program declares %d",
				len(addresses), direction(input), declared[input]))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("progdef %s does not fit its program: %s", j.Progdef, strings.Join(wrong, "; "))
}

func direction(input bool) string {
	if input {
		return "input"
	}
	return "output"
}
