package flowtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/progdefs"
)

// Names in the folder of a test case; flow and test are documents, the others are folders.
const (
	flowFile    = "flow"
	testFile    = "test"
	inputsDir   = "inputs"
	outputsDir  = "outputs"
	progdefsDir = "progdefs"
)

func caseWords() []string { return []string{flowFile, testFile, inputsDir, outputsDir} }

// documentEndings are the file name extensions of JSON and YAML.
func documentEndings() []string { return []string{".yaml", ".yml", ".json"} }

// A Suite is the test cases to run.
type Suite struct {
	// Cases are sorted by name.
	Cases []Case
	// Progdefs are applied before the first test case, sorted by file.
	Progdefs []progdefs.Progdef
}

// Find reads all test cases in the folders and below. If only is not nil, it skips those whose name does not
// match. All problems are returned as one error of type Faults.
func Find(dirs []string, only *regexp.Regexp) (Suite, error) {
	var s Suite
	var faults Faults
	folders, err := walk(dirs, &faults)
	if err != nil {
		return s, err
	}
	for _, dir := range folders {
		c := readCase(dir, &faults)
		if only == nil || only.MatchString(c.Name) {
			s.Cases = append(s.Cases, c)
		}
	}
	if len(s.Cases) == 0 && len(faults) == 0 {
		faults.say(strings.Join(dirs, ", "), noCases, "no test cases found",
			"a test case is a folder with a flow.yaml or a test.yaml; --run REGEXP matches its path")
	}
	s.Progdefs = gatherProgdefs(s.Cases, &faults)
	return s, faults.Err()
}

// walk lists the folders of all test cases, each once. It skips folders that start with a dot or an
// underscore, and folders inside test cases and progdefs.
func walk(dirs []string, faults *Faults) ([]string, error) {
	var out []string
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Clean(dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return err
			}
			if path != filepath.Clean(dir) && passedOver(e.Name()) {
				return fs.SkipDir
			}
			found, err := isCase(path, faults)
			if found {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func passedOver(dir string) bool {
	hidden := strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_")
	return hidden || dir == progdefsDir || dir == inputsDir || dir == outputsDir
}

// isCase reports whether a folder is a test case. A document with a similar name is a fault: it would
// never be used.
func isCase(dir string, faults *Faults) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	var near []string
	for _, e := range entries {
		switch stem, known := documentStem(e.Name()); {
		case known && (stem == flowFile || stem == testFile):
			return true, nil
		case known && document.Suggest(stem, []string{flowFile, testFile}) != "":
			near = append(near, e.Name())
		}
	}
	for _, name := range near {
		stem, _ := documentStem(name)
		faults.say(filepath.Join(dir, name), unknownFile, "not the name of a flow or a test",
			document.DidYouMean(document.Suggest(stem, []string{flowFile, testFile})+filepath.Ext(name)))
	}
	return false, nil
}

// documentStem removes the extension from the name of a JSON or YAML file.
func documentStem(name string) (stem string, known bool) {
	ending := filepath.Ext(name)
	return strings.TrimSuffix(name, ending), slices.Contains(documentEndings(), ending)
}
