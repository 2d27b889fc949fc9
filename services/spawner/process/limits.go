package process

import (
	"errors"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// Limits bound one executor, with all processes that it starts. A zero field is its default.
type Limits struct {
	// Memory is in bytes, without files that are mapped into memory; default three quarters of the machine's memory. A
	// progdef's resources.limits.memory replaces it.
	Memory int64
	// Processes counts processes and threads; default DefaultProcesses.
	Processes int
	// Files bounds the open files of each process; default DefaultFiles.
	Files int
}

// Defaults of Limits. Programs for machine learning start a thread for each processor in several pools.
const (
	DefaultProcesses = 4096
	DefaultFiles     = 65536
)

func (l Limits) validate() error {
	var errs []error
	if l.Memory < 0 || l.Memory > 0 && l.Memory < minMemory {
		errs = append(errs, fmt.Errorf("the memory of an executor (--executor-memory) is %d bytes: at least %d are needed",
			l.Memory, int64(minMemory)))
	}
	if l.Processes < 0 || l.Processes > 0 && l.Processes < minProcesses {
		errs = append(errs, fmt.Errorf("the processes of an executor (--executor-processes) are %d: at least %d are needed",
			l.Processes, minProcesses))
	}
	if l.Files < 0 || l.Files > 0 && l.Files < minFiles {
		errs = append(errs, fmt.Errorf("the open files of an executor (--executor-files) are %d: at least %d are needed",
			l.Files, minFiles))
	}
	return errors.Join(errs...)
}

// Less than this starts no program at all.
const (
	minMemory    = 6 << 20
	minProcesses = 32
	minFiles     = 64
	minMilliCPU  = 10
)

func (l Limits) withDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = machineMemory() / 4 * 3
	}
	if l.Processes == 0 {
		l.Processes = DefaultProcesses
	}
	if l.Files == 0 {
		l.Files = DefaultFiles
	}
	return l
}

// bounds are the limits of one executor, and who has set the memory.
type bounds struct {
	Limits
	MemoryFrom string
	// MilliCPU are thousandths of a processor; 0 for no limit. Only cgroups keep it.
	MilliCPU int64
}

// bound returns the limits of an executor. An error is a *backend.StartError.
func (l Limits) bound(spec backend.Spec) (bounds, error) {
	b := bounds{Limits: l, MemoryFrom: "--executor-memory"}
	if cpu, err := resource.ParseQuantity(spec.Document.Resources.Limits["cpu"]); err == nil {
		b.MilliCPU = max(cpu.MilliValue(), minMilliCPU)
	}
	text, ok := spec.Document.Resources.Limits["memory"]
	if !ok {
		return b, nil
	}
	b.MemoryFrom = "resources.limits.memory"
	q, err := resource.ParseQuantity(text)
	p := problem.Problem{Pointer: problem.Pointer("resources", "limits", "memory")}
	switch {
	case err != nil:
		p.Message, p.Hint = fmt.Sprintf("%q is not a quantity", text), `write it like "64Mi" or "2Gi"`
		return b, refused(p)
	case q.CmpInt64(minMemory) < 0:
		p.Message = fmt.Sprintf("a process needs more memory than %s", text)
		p.Hint = fmt.Sprintf("set %s or more", binary(minMemory))
		return b, refused(p)
	}
	b.Memory = q.Value()
	if q.CmpInt64(math.MaxInt64) >= 0 {
		b.Memory = math.MaxInt64
	}
	return b, nil
}

// binary writes a number of bytes as progdefs do, such as "64Mi".
func binary(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }

// use is what an executor uses of its limits.
type use struct {
	memory    int64
	processes int
}

// exceeded says which limit the use exceeds, or "".
func (b bounds) exceeded(u use) string {
	switch {
	case b.Memory > 0 && u.memory > b.Memory:
		return b.noMemory()
	case b.Processes > 0 && u.processes >= b.Processes:
		return b.noProcesses()
	}
	return ""
}

func (b bounds) noMemory() string {
	return fmt.Sprintf("it used more memory than its limit of %s (%s)", binary(b.Memory), b.MemoryFrom)
}

func (b bounds) noProcesses() string {
	return fmt.Sprintf("it reached its limit of %d processes and threads (--executor-processes)", b.Processes)
}

const (
	// fastest is how many bytes a second a program may start to use.
	fastest = 4 << 30
	// minPause and maxPause bound the time between two measurements.
	minPause, maxPause = 200 * time.Millisecond, time.Second
)

// pause is the time until the next measurement: the longer, the more memory is left.
func (b bounds) pause(u use) time.Duration {
	left := min(max(b.Memory-u.memory, 0), fastest)
	return min(max(time.Duration(left)*time.Second/fastest, minPause), maxPause)
}
