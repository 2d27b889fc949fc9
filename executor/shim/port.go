package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

// Names of the environment.
const (
	// EnvFraming holds framings in the syntax of ParseFramings; flags override it.
	EnvFraming = "EXEC_FRAMING"
	// envOwn is the prefix of Dagyo's own variables. A command sees only those that the shim sets.
	envOwn = "DAGYO_"
	envIn  = "DAGYO_IN_"
	envOut = "DAGYO_OUT_"
	// envFlow and envNode tell a command its flow and node.
	envFlow = "DAGYO_FLOW"
	envNode = "DAGYO_NODE"
)

// Names of the ports that are standard input and output if there are several.
const (
	stdinPort  = "in"
	stdoutPort = "out"
)

// firstExtra is the first file descriptor after the standard ones.
const firstExtra = 3

// A port is a port of a job and its place in the command's process.
type port struct {
	executor.PortInfo
	input   bool
	framing Framing
	fd      int
}

func (p port) direction() string {
	if p.input {
		return "in"
	}
	return "out"
}

// String names the port in errors.
func (p port) String() string {
	if p.input {
		return "input " + p.Name
	}
	return "output " + p.Name
}

// variable is the name of the environment variable with the port's path.
func (p port) variable() string {
	prefix := envOut
	if p.input {
		prefix = envIn
	}
	return prefix + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
}

// plan gives each port of a job a framing and a file descriptor.
func plan(job *executor.Job, fs Framings) ([]port, error) {
	next := firstExtra
	ports := place(nil, job.Inputs(), true, &next)
	ports = place(ports, job.Outputs(), false, &next)
	if strangers := fs.strangers(ports); len(strangers) > 0 {
		return nil, fmt.Errorf("a framing is set for %q, but the job has the ports %v", strangers, ports)
	}
	taken := make(map[string]port)
	for i, p := range ports {
		var err error
		if ports[i].framing, err = fs.of(p); err != nil {
			return nil, err
		}
		if other, ok := taken[p.variable()]; ok {
			return nil, fmt.Errorf("%s and %s would share the environment variable %s: rename one of them", other, p, p.variable())
		}
		taken[p.variable()] = p
	}
	return ports, nil
}

// place appends the ports of one direction.
func place(ports []port, infos []executor.PortInfo, input bool, next *int) []port {
	name, fd := stdoutPort, 1
	if input {
		name, fd = stdinPort, 0
	}
	for _, info := range infos {
		p := port{PortInfo: info, input: input, fd: fd}
		if len(infos) > 1 && info.Name != name {
			p.fd = *next
			*next++
		}
		ports = append(ports, p)
	}
	return ports
}

// checked is a codec for bytes that checks them against a typename.
type checked string

func (c checked) Typename() string { return string(c) }

func (c checked) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (c checked) View(v []byte) ([]byte, error) { return v, nil }

func (c checked) Decode(record []byte) ([]byte, error) {
	return append([]byte{}, record...), c.check(record)
}

func (c checked) DecodeStable(record []byte) ([]byte, error) { return record, c.check(record) }

// check reports bytes that are not valid for the typename.
func (c checked) check(record []byte) error {
	switch {
	case string(c) == text && !utf8.Valid(record):
		return errors.New("not valid UTF-8")
	case string(c) == jsonText && !json.Valid(record):
		return errors.New(document.WhyNotJSON(record))
	}
	return nil
}
