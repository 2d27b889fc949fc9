package flowtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
)

// A Fault is the problems of one test file.
type Fault struct {
	File     string       `json:"file"`
	Problems problem.List `json:"problems"`
}

// Faults are an error that prevents all test cases from running.
type Faults []Fault

func (f Faults) Error() string {
	var b strings.Builder
	for _, fault := range f {
		fmt.Fprintf(&b, "%s: %v\n", fault.File, fault.Problems)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Err returns the faults as an error, sorted by file, or nil if there are none.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return Faults(slices.SortedStableFunc(slices.Values(f), func(a, b Fault) int {
		return strings.Compare(a.File, b.File)
	}))
}

// NoCases reports whether an error of [Find] says only that there is no test case.
func NoCases(err error) bool {
	var f Faults
	return errors.As(err, &f) && len(f) == 1 && len(f[0].Problems) == 1 && f[0].Problems[0].Code == noCases
}

// add adds an error of a file. A problem.List is added problem by problem.
func (f *Faults) add(file string, err error) {
	var problems problem.List
	if !errors.As(err, &problems) {
		problems = problem.List{{Code: unreadable, Message: err.Error()}}
	}
	if i := slices.IndexFunc(*f, func(known Fault) bool { return known.File == file }); i >= 0 {
		(*f)[i].Problems = append((*f)[i].Problems, problems...)
		return
	}
	*f = append(*f, Fault{file, problems})
}

// say adds one problem of a file.
func (f *Faults) say(file string, code problem.Code, message, hint string) {
	f.add(file, problem.List{{Code: code, Message: message, Hint: hint}})
}

// Codes of faults that services do not report.
const (
	unreadable  problem.Code = "unreadable"   // the file cannot be read
	unknownFile problem.Code = "unknown-file" // not part of a test case, or not used by it
	missingFile problem.Code = "missing-file" // a required file of a test case is missing
	ambiguous   problem.Code = "ambiguous"    // two files for the same purpose
	noCases     problem.Code = "no-cases"     // nothing to run
)
