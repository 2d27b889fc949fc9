package flowtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dagyo/dagyo/services/dagyo/progdefs"
)

// gatherProgdefs reads the progdefs of the test cases. All test cases of a run share one catalogue, so
// a name must have the same definition everywhere.
func gatherProgdefs(cases []Case, faults *Faults) []progdefs.Progdef {
	var out []progdefs.Progdef
	first := make(map[string]progdefs.Progdef)
	for _, dir := range progdefDirs(cases) {
		for _, p := range readProgdefs(dir, faults) {
			switch other, known := first[p.Name]; {
			case !known:
				first[p.Name] = p
				out = append(out, p)
			case !bytes.Equal(other.Document, p.Document):
				faults.say(p.File, ambiguous, fmt.Sprintf("%s defines the progdef %q differently", other.File,
					p.Name), "all test cases of a run share one catalogue: rename one, or test the folders one by one")
			}
		}
	}
	return out
}

// progdefDirs lists the folders of progdefs beside each test case and above it in its path.
func progdefDirs(cases []Case) []string {
	var out []string
	for _, c := range cases {
		for dir := c.Dir; ; dir = filepath.Dir(dir) {
			out = append(out, filepath.Join(dir, progdefsDir))
			if parent := filepath.Dir(dir); parent == dir || filepath.Base(dir) == ".." {
				break
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(dir string) bool {
		info, err := os.Stat(dir)
		return err != nil || !info.IsDir()
	})
}

// readProgdefs reads the documents in one folder.
func readProgdefs(dir string, faults *Faults) (out []progdefs.Progdef) {
	files, err := progdefs.Find(dir)
	if err != nil {
		faults.add(dir, err)
	}
	for _, path := range files {
		all, err := progdefs.ReadFile(path)
		if err != nil {
			faults.add(path, err)
		}
		out = append(out, all...)
	}
	return out
}
