package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/records"
)

// recordsHelp is the text of `dagyo help records`; docs/records.md has the details.
const recordsHelp = `The inputs of a flow are fed from files. Its outputs are printed or written to
files. The typename of the input or output determines the format of the file:

                       utf8-string, json      any other typename
  --input NAME=FILE    one record per line    one record per line, in base64
  --input NAME=@FILE   one record per line    the file is one record
  --input NAME=@DIR    each file in the folder is a record, sorted by name
  --input NAME=@GLOB   each matching file is a record: pages=@scans/*.png

  --output NAME=FILE   one record per line    one record per line, in base64
  --output NAME=@FILE  one record per line    the bytes of all records
  --output NAME=@DIR/  one file per record: 00000000.bin, 00000001.bin, and so on
  --output NAME=@GLOB  one file per record: thumbs=@out/page-*.png writes
                       out/page-00000000.png, and so on

If FILE is -, it is standard input or standard output. Quote patterns to keep
the shell from expanding them. Hidden files and subfolders are skipped.

--input-format NAME=FORMAT and --output-format NAME=FORMAT select another
format:

  lines    one record per line, as it is
  jsonl    one JSON value per line; if the typename is not json, a string or
           {"base64": "…"}, as in a flow document
  base64   one record per line, in base64
  file     the file is one record

A line ends with a newline or with a carriage return and a newline; neither is
part of the record. A byte-order mark at the start of a text file is ignored.
Text that is not valid UTF-8 is an error, and so is invalid JSON.

A file cannot be both read and written, and two outputs cannot write to the
same file. An output file is truncated when the flow is planned. The folder of
an output must not contain files whose names its records could get.`

// fileOptions are the flags for the files of a flow's inputs and outputs.
type fileOptions struct {
	inputs, outputs             map[string]string
	inputFormats, outputFormats map[string]string
}

func newFileOptions() fileOptions {
	return fileOptions{
		make(map[string]string), make(map[string]string), make(map[string]string), make(map[string]string),
	}
}

func (o fileOptions) flags(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(namedFlag{o.inputs, "NAME=FILE"}, "input",
		"file with the records of an input; FILE can be @FILE, or - for standard input (see \"dagyo help records\")")
	f.Var(namedFlag{o.inputFormats, "NAME=FORMAT"}, "input-format",
		"format of an input's file: lines, jsonl, base64 or file")
	f.VarP(outputFlag{a, namedFlag{o.outputs, "text|json|NAME=FILE"}}, "output", "o",
		"output format: text or json; or the file that an output is written to; FILE can be @FILE, or - for standard output")
	f.Var(namedFlag{o.outputFormats, "NAME=FORMAT"}, "output-format",
		"format of an output's file: lines, jsonl, base64 or file")
}

// A namedFlag is a flag with the value NAME=VALUE that may be set once per NAME.
type namedFlag struct {
	values map[string]string
	kind   string
}

func (f namedFlag) String() string { return "" }
func (f namedFlag) Type() string   { return f.kind }

func (f namedFlag) Set(text string) error {
	name, value, named := strings.Cut(text, "=")
	switch _, twice := f.values[name]; {
	case !named || name == "" || value == "":
		return fmt.Errorf("must be %s", f.kind)
	case twice:
		return fmt.Errorf("%s is set twice", name)
	}
	f.values[name] = value
	return nil
}

// outputFlag is --output of run: the output format, or the file of one output.
type outputFlag struct {
	app *app
	namedFlag
}

func (o outputFlag) Set(text string) error {
	name, path, named := strings.Cut(text, "=")
	switch {
	case !named:
		o.app.output = text
		return nil
	case path == "":
		return fmt.Errorf("name a file: %s=FILE, or %s=- for standard output", name, name)
	}
	return o.namedFlag.Set(text)
}

// endNames are the names of a flow's inputs and outputs.
type endNames struct{ inputs, outputs []string }

// namesIn reads the names from a flow document; ok is false if it is not a flow document.
func namesIn(document []byte) (names endNames, ok bool) {
	var ends struct{ Inputs, Outputs map[string]json.RawMessage }
	err := json.Unmarshal(document, &ends)
	return endNames{slices.Sorted(maps.Keys(ends.Inputs)), slices.Sorted(maps.Keys(ends.Outputs))}, err == nil
}

// check reports flags for inputs and outputs that a flow does not have.
func (o fileOptions) check(names endNames) error {
	for _, given := range []struct {
		flag, what string
		values     map[string]string
		known      []string
	}{
		{"--input", "input", o.inputs, names.inputs},
		{"--input-format", "input", o.inputFormats, names.inputs},
		{"--output", "output", o.outputs, names.outputs},
		{"--output-format", "output", o.outputFormats, names.outputs},
	} {
		for _, name := range slices.Sorted(maps.Keys(given.values)) {
			if !slices.Contains(given.known, name) {
				return fmt.Errorf("%s: %w", given.flag, unknownEnd(given.what, name, given.known))
			}
		}
	}
	return nil
}

func unknownEnd(what, name string, known []string) error {
	text := fmt.Sprintf("the flow has no %s %s", what, document.Quote(name))
	switch hint := document.DidYouMean(document.Suggest(name, known)); {
	case len(known) == 0:
		text += fmt.Sprintf("; it has no %ss", what)
	case hint != "":
		text += fmt.Sprintf(": %s It has %s", hint, strings.Join(known, ", "))
	default:
		text += "; it has " + strings.Join(known, ", ")
	}
	return errors.New(text)
}

// files are the sources of a flow's inputs and the destinations of its outputs.
type files struct {
	inputs  map[string]*records.Input
	outputs map[string]*records.Output
}

// openFiles opens the files of the outputs with these names, and of the inputs that have a file. The flags must have
// been checked. Its errors are usage errors. The caller must discard the files. path is the path of the flow document,
// or "".
func (a *app) openFiles(o fileOptions, outputs []string, path string) (*files, error) {
	f := &files{make(map[string]*records.Input), make(map[string]*records.Output)}
	err := f.openInputs(a, o)
	if err == nil {
		err = f.openOutputs(a, o, outputs)
	}
	if err == nil {
		err = f.conflict(a, path)
	}
	if err != nil {
		f.discard()
		return nil, usage(err)
	}
	return f, nil
}

// specOf returns the file and format that the flags set for one input or output.
func specOf(name, value, format string) (records.Spec, error) {
	var chosen records.Format
	if format != "" {
		var err error
		if chosen, err = records.ParseFormat(format); err != nil {
			return records.Spec{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return records.ParseSpec(name, value, chosen), nil
}

func (f *files) openInputs(a *app, o fileOptions) error {
	for _, name := range slices.Sorted(maps.Keys(o.inputFormats)) {
		if o.inputs[name] == "" {
			return fmt.Errorf("--input-format %s=%s: set the file with --input %s=FILE", name,
				o.inputFormats[name], name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.inputs)) {
		spec, err := specOf(name, o.inputs[name], o.inputFormats[name])
		if err != nil {
			return fmt.Errorf("--input-format: %w", err)
		}
		if f.inputs[name], err = records.OpenInput(spec, a.In); err != nil {
			return err
		}
	}
	return nil
}

func (f *files) openOutputs(a *app, o fileOptions, names []string) error {
	for _, name := range slices.Sorted(maps.Keys(o.outputFormats)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("--output-format %s=%s: set the file with --output %s=FILE", name, o.outputFormats[name], name)
		}
	}
	var specs []records.Spec
	for _, name := range names {
		spec, err := specOf(name, cmp.Or(o.outputs[name], records.Stdio), o.outputFormats[name])
		if err != nil {
			return fmt.Errorf("--output-format: %w", err)
		}
		specs = append(specs, spec)
	}
	outputs, err := records.OpenOutputs(specs, fileOf(a.Out))
	for _, out := range outputs {
		f.outputs[out.Name] = out
	}
	if err == nil {
		err = f.checkPrinted(a.json())
	}
	return err
}

// checkPrinted reports an error if raw bytes would be mixed with other text on standard output.
func (f *files) checkPrinted(json bool) error {
	var printed []string
	var raw *records.Output
	for _, name := range slices.Sorted(maps.Keys(f.outputs)) {
		out := f.outputs[name]
		if !out.Stdout() {
			continue
		}
		printed = append(printed, name)
		if out.Raw || out.Format == records.Whole {
			raw = out
		}
		if json && out.Format != "" {
			return fmt.Errorf("--output-format %s=%s: --output json prints records as JSON", name, out.Format)
		}
	}
	switch {
	case raw != nil && json:
		return fmt.Errorf("--output %s: --output json prints records as JSON; write them to a file instead", raw)
	case raw != nil && len(printed) > 1:
		return fmt.Errorf("--output %s: only one output can be written to standard output as raw bytes, not %s", raw,
			strings.Join(printed, ", "))
	}
	return nil
}

// conflict reports standard input that is read twice, and written files that are used more than once.
func (f *files) conflict(a *app, path string) error {
	uses := []records.Use{
		records.StreamUse(fileOf(a.Out), "standard output", true),
	}
	taken := ""
	switch {
	case path == stdin:
		taken = "the flow document"
		uses = append(uses, records.StreamUse(a.In, taken, false))
	case path != "":
		info, _ := os.Stat(path) // nil if it was deleted after it was read
		uses = append(uses, records.Use{Who: "the flow document (" + path + ")", Info: info})
	}
	for _, name := range slices.Sorted(maps.Keys(f.inputs)) {
		in := f.inputs[name]
		if uses = append(uses, in.Uses()...); !in.Stdin() {
			continue
		}
		if taken != "" {
			return fmt.Errorf("--input %s=%s: standard input is already used as %s: use a file", name, stdin, taken)
		}
		taken = "input " + name
	}
	for _, name := range slices.Sorted(maps.Keys(f.outputs)) {
		uses = append(uses, f.outputs[name].Uses()...)
	}
	if err := records.Conflict(uses); err != nil {
		return err
	}
	return records.Conflict(append(uses[1:], records.StreamUse(fileOf(a.Err), "standard error", true)))
}

// output returns the destination of an output: standard output if no file was opened.
func (f *files) output(name string) *records.Output {
	if out := f.outputs[name]; out != nil {
		return out
	}
	return &records.Output{Spec: records.Spec{Name: name, Path: records.Stdio}}
}

// discard closes the files that were not used, and deletes those that it created.
func (f *files) discard() {
	records.Discard(slices.Collect(maps.Values(f.outputs)))
}

// checkFlow is check for a flow before its submission. It needs the validator's answer. If there is none, or the
// flow is not valid, nothing is checked: the submission reports it.
func (f *files) checkFlow(
	ctx context.Context, c *client.Client, document []byte, interrupted <-chan struct{},
) error {
	if len(f.inputs) == 0 {
		return nil
	}
	ctx, stop := until(ctx, interrupted)
	defer stop()
	valid, _, err := c.Validate(ctx, document)
	if err != nil || valid == nil {
		return context.Cause(ctx)
	}
	types := make(map[string]string)
	for _, e := range valid.Flow.Edges {
		types[e.Input] = e.Type
	}
	return f.check(ctx, types)
}

// check reports records in regular files that do not match their input's typename. Other records are
// checked when the input is fed.
func (f *files) check(ctx context.Context, types map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(f.inputs)) {
		err := f.inputs[name].Check(ctx, types[name])
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return usage(err)
		}
	}
	return nil
}

// reasonOf returns the error of a file operation without the path, for messages that already contain it.
func reasonOf(err error) error {
	var about *fs.PathError
	if errors.As(err, &about) {
		return about.Err
	}
	return err
}
