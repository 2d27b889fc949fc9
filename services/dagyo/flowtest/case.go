package flowtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// A Case is a test case: one flow to run, and its expected result.
type Case struct {
	// Name is the path of the case's folder, with slashes.
	Name string
	Dir  string
	Document
	// File is the path of the test document, "" if there is none.
	File string
	// Path is the path of the flow document, Flow its JSON. If the file has no valid document, Problems
	// contains the reasons: such a flow is rejected.
	Path     string
	Flow     []byte
	Problems problem.List
	source   docfile.Document
	// Inputs and Goldens are files, by the name of the flow's input or output.
	Inputs, Goldens map[string]string
	// Outputs are the names of the flow's outputs.
	Outputs []string
}

// readCase reads the test case in a folder.
func readCase(dir string, faults *Faults) Case {
	c := Case{Name: filepath.ToSlash(dir), Dir: dir}
	checkEntries(dir, faults)
	if c.File = oneOf(dir, testFile, faults); c.File != "" {
		var err error
		if c.Document, err = readDocument(c.File); err != nil {
			faults.add(c.File, err)
			return c
		}
	}
	if c.readFlow(faults) {
		c.readEnds(faults)
	}
	return c
}

// checkEntries reports unexpected files in a test case.
func checkEntries(dir string, faults *Faults) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		faults.add(dir, err)
	}
	for _, e := range entries {
		name, shown := e.Name(), filepath.Join(dir, e.Name())
		stem, known := documentStem(name)
		switch {
		case strings.HasPrefix(name, "."), strings.HasSuffix(name, ".md"):
		case !e.IsDir() && !(known && (stem == flowFile || stem == testFile)):
			faults.say(shown, unknownFile, "unexpected file in a test case",
				"a test case has flow.yaml, test.yaml, inputs/ and outputs/; programs belong in progdefs/")
		case e.IsDir() && !passedOver(name) && document.Suggest(name, caseWords()) != "":
			faults.say(shown, unknownFile, "unexpected folder in a test case",
				document.DidYouMean(document.Suggest(name, caseWords())+"/"))
		}
	}
}

// oneOf returns the path of a document in the folder, "" if there is none.
func oneOf(dir, stem string, faults *Faults) string {
	var found []string
	for _, ending := range documentEndings() {
		path := filepath.Join(dir, stem+ending)
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		}
	}
	switch len(found) {
	case 0:
		return ""
	case 1:
		return found[0]
	}
	faults.say(found[1], ambiguous, "the test case also has "+filepath.Base(found[0]), "keep one of them")
	return found[0]
}

// readFlow reads the flow and reports whether there is one.
func (c *Case) readFlow(faults *Faults) bool {
	own := oneOf(c.Dir, flowFile, faults)
	switch named := c.Document.Flow; {
	case named == "" && own == "":
		faults.say(c.Dir, missingFile, "the test case has no flow",
			`write flow.yaml, or name a flow in test.yaml: "flow": "../other/flow.yaml"`)
		return false
	case named != "" && own != "":
		faults.say(own, ambiguous, "test.yaml refers to a different flow, "+document.Quote(named),
			`keep the file, or the field "flow"`)
		return false
	case named != "":
		own = filepath.Join(c.Dir, filepath.FromSlash(named))
	}
	flow, err := docfile.ReadFile(own)
	if err != nil && !errors.As(err, &c.Problems) {
		faults.add(own, err)
		return false
	}
	c.Path, c.Flow, c.source = own, flow.JSON, flow
	return true
}

// readEnds finds the files of the flow's own inputs and outputs.
func (c *Case) readEnds(faults *Faults) {
	var ends struct{ Inputs, Outputs map[string]any }
	_ = json.Unmarshal(c.Flow, &ends) // the validator reports what is wrong with it
	c.Outputs = slices.Sorted(maps.Keys(ends.Outputs))
	c.Inputs = recordFiles(filepath.Join(c.Dir, inputsDir), "input", slices.Sorted(maps.Keys(ends.Inputs)), faults)
	c.Goldens = recordFiles(filepath.Join(c.Dir, outputsDir), "output", c.Outputs, faults)
	c.checkRules(faults)
	for name := range ends.Inputs {
		if c.Rejected == nil && c.Inputs[name] == "" {
			faults.say(c.Dir, missingFile, "no file for the flow's input "+document.Quote(name),
				fmt.Sprintf("write %s/%s.txt; an empty file feeds no records", inputsDir, name))
		}
	}
}

// checkRules reports rules and files for outputs that cannot be compared.
func (c *Case) checkRules(faults *Faults) {
	for _, name := range slices.Sorted(maps.Keys(c.Document.Outputs)) {
		if !slices.Contains(c.Outputs, name) {
			faults.add(c.File, c.Document.file.Locate(problem.List{
				unknownEnd("output", name, c.Outputs, problem.Pointer(outputsDir, name)),
			}))
		}
		if path := c.Goldens[name]; path != "" && c.Document.Outputs[name].Ignored {
			faults.say(path, unknownFile, "the output is ignored, so this file is not used",
				`remove the file, or "ignored" in test.yaml`)
		}
	}
	for _, files := range []map[string]string{c.Inputs, c.Goldens} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if c.Rejected != nil {
				faults.say(files[name], unknownFile, "a rejected flow has no records", "remove the file")
			}
		}
	}
}

func unknownEnd(what, name string, all []string, pointer string) problem.Problem {
	hint := document.DidYouMean(document.Suggest(name, all))
	if hint == "" && len(all) > 0 {
		hint = fmt.Sprintf("it has %s", strings.Join(all, ", "))
	}
	return problem.Problem{
		Code: problem.UnknownPort, Pointer: pointer, Hint: hint,
		Message: fmt.Sprintf("the flow has no %s %s", what, document.Quote(name)),
	}
}

// recordFiles lists the files in a folder of records, by the name of their input or output.
func recordFiles(dir, what string, ends []string, faults *Faults) map[string]string {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		faults.add(dir, err)
	}
	out := make(map[string]string)
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		f := formatOf(path)
		stem := strings.TrimSuffix(name, string(f))
		switch {
		case strings.HasPrefix(name, "."):
		case f != each && !slices.Contains(fileFormats(), f):
			faults.say(path, unknownFile, "unknown file name extension",
				"a .txt file has one record per line, a .jsonl file one JSON value per line, a .bin file is one "+
					"record; in a folder, each file is a record")
		case !slices.Contains(ends, stem):
			faults.add(path, problem.List{unknownEnd(what, stem, ends, "")})
		case out[stem] != "":
			faults.say(path, ambiguous, filepath.Base(out[stem])+" belongs to the same "+what, "keep one of them")
		default:
			out[stem] = path
		}
	}
	return out
}
