package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// described is a progdef document as describe prints it.
type described struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	TypeParams  []string          `json:"typeParams,omitempty"`
	Inputs      map[string]string `json:"inputs"`
	Outputs     map[string]string `json:"outputs"`
	Command     []string          `json:"command"`
	Code        string            `json:"code"`
}

// Describe returns the program's progdef document, JSON (schemas/progdef.json): its ports, the command that
// runs it, and a digest of the executable, which becomes a part of the revision. The error states what the document
// lacks, such as a Name.
func (p Program) Describe(command ...string) ([]byte, error) {
	if p.Dynamic {
		return nil, errors.New("the program declares no ports (Dynamic): write its progdef by hand")
	}
	code, err := digest()
	if err != nil {
		return nil, err
	}
	d := described{
		Name: p.Name, Description: p.Description, TypeParams: p.TypeParams,
		Inputs: map[string]string{}, Outputs: map[string]string{}, Command: command, Code: code,
	}
	for _, port := range p.Ports {
		ports := d.Outputs
		if port.isInput() {
			ports = d.Inputs
		}
		ports[port.portName()] = port.typename()
	}
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, problems := progdef.Check(raw, document.DefaultLimits()); len(problems) > 0 {
		return nil, fmt.Errorf("the program's progdef is not valid: %w", problems)
	}
	return append(raw, '\n'), nil
}

// digest is that of the running executable.
func digest() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this executable: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read this executable: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read this executable: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// asked handles arguments that request something other than serving jobs, and reports whether there were any.
func (p Program) asked(args []string, out, errs io.Writer) (code int, asked bool) {
	if len(args) < 2 {
		return 0, false
	}
	switch args[1] {
	case "describe":
		return p.describe(args[0], args[2:], out, errs), true
	case "--help", "-help", "-h":
		if len(args) == 2 {
			fmt.Fprint(out, p.usage(args[0]))
			return ExitOK, true
		}
	}
	return 0, false
}

// describe prints the document. The command is the executable's path, relative to the folder of the document if one is
// named, or to the current directory.
func (p Program) describe(program string, folder []string, out, errs io.Writer) int {
	if len(folder) > 1 {
		fmt.Fprintln(errs, "describe: name one folder, that of the document")
		return ExitBadUsage
	}
	path, err := os.Executable()
	if err != nil {
		path = program
	}
	if p.Name == "" {
		p.Name = nameOf(program)
	}
	path, err = relative(path, append(folder, ".")[0])
	var raw []byte
	if err == nil {
		raw, err = p.Describe(path)
	}
	if err == nil {
		_, err = out.Write(raw)
	}
	if err != nil {
		fmt.Fprintf(errs, "describe: %v\n", err)
		return ExitBadUsage
	}
	return ExitOK
}

// relative returns the path of a program as a document in a folder names it: relative, if the program is in the current
// directory, in the folder, or below one of them.
func relative(path, folder string) (string, error) {
	to, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if !within(path, here) && !within(path, to) {
		return path, nil
	}
	short, err := filepath.Rel(to, path)
	if err == nil && !strings.HasPrefix(short, "..") {
		short = "./" + filepath.ToSlash(short)
	}
	return filepath.ToSlash(short), err
}

// within reports whether a path is in a folder other than the root.
func within(path, folder string) bool {
	return folder != filepath.Dir(folder) && strings.HasPrefix(path, folder+string(filepath.Separator))
}

// nameOf derives the name of a progdef from a file's name; it returns "" if that is not possible.
func nameOf(path string) string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	if !document.ValidName(name) {
		return ""
	}
	return name
}

func (p Program) usage(program string) string {
	return fmt.Sprintf(`This program is an executor of Dagyo.

  %[1]s describe    print its progdef document; to put it into the catalogue:
  %[2]s             %[1]s describe | dagyo progdef apply -
  %[2]s             to save it in a folder DIR: %[1]s describe DIR > DIR/FILE.yaml
  %[1]s             serve jobs until SIGTERM; Dagyo starts it so, with DAGYO_QUEUE, DAGYO_JOBS
  %[2]s             and others in the environment (docs/protocol.md)
`, filepath.Base(program), strings.Repeat(" ", len(filepath.Base(program))))
}

// byHand reports whether a person started the program: every spawner sets these variables.
func byHand() bool {
	return !slices.ContainsFunc([]string{contract.EnvQueue, contract.EnvJobs}, func(name string) bool {
		return os.Getenv(name) != ""
	})
}
