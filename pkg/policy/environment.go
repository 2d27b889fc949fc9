package policy

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// valueLimit bounds the value of a variable that is read from a file, in bytes: Linux passes no longer ones to a program.
const valueLimit = 128<<10 - 1

// Variables returns what the operator adds to the environment of a progdef's executors: variables, which take precedence
// over those of the progdef, and sets of variables. read reads a file; no error contains a value.
func (p *Policy) Variables(
	d progdef.Document, read func(path string) ([]byte, error),
) (vars map[string]string, from []progdef.EnvSource, err error) {
	if p == nil {
		p = &Policy{}
	}
	image := d.Image
	if p.onHost {
		image = ""
	}
	vars = make(map[string]string)
	var errs []error
	for _, e := range p.Environment {
		if !e.selects(d.Name, image) {
			continue
		}
		maps.Copy(vars, e.Variables)
		for _, name := range slices.Sorted(maps.Keys(e.Files)) {
			value, err := readValue(e.Files[name], read)
			if err != nil {
				errs = append(errs, fmt.Errorf("the variable %s: %w", name, err))
			}
			vars[name] = value
		}
		from = append(from, e.EnvFrom...)
	}
	switch standardName(d) {
	case httpGetName, httpPostName: // also if it is empty: a set of envFrom must not set it
		vars[contract.EnvHTTPGetAllow] = strings.Join(p.HTTPGet.Allow, ",")
	}
	return vars, from, errors.Join(errs...)
}

// readValue reads the value of a variable, without a newline at its end.
func readValue(path string, read func(string) ([]byte, error)) (string, error) {
	raw, err := read(path)
	if err != nil {
		return "", err
	}
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	switch {
	case len(raw) > valueLimit:
		return "", fmt.Errorf("the file %s is larger than %d bytes", path, valueLimit)
	case bytes.IndexByte(raw, 0) >= 0:
		return "", fmt.Errorf("the file %s contains a zero byte", path)
	}
	return string(raw), nil
}
