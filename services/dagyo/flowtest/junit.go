package flowtest

import (
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
)

// The elements of JUnit reports that CI servers read.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		junitCounts
		Suite junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Cases []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Error   *junitFailure `xml:"error,omitempty"`
		Skipped *junitFailure `xml:"skipped,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junitSuiteName is the name of the suite, and begins the class of each test case.
const junitSuiteName = "dagyo"

// junitCaseOf returns a test. CI servers group tests by class: it is that of the folder.
func junitCaseOf(name string, seconds float64) junitCase {
	class := junitSuiteName
	if dir := path.Dir(filepath.ToSlash(name)); dir != "." && dir != "/" {
		class += "." + strings.ReplaceAll(strings.Trim(dir, "/"), "/", ".")
	}
	return junitCase{Name: name, Class: class, Time: junitTime(seconds)}
}

// A Report is what a JUnit report is about. Its texts may come from programs: encoding/xml escapes them, and replaces the
// characters that XML does not allow.
type Report struct {
	// Cases are the names of all test cases; those without a result were not run.
	Cases   []string
	Results []Result
	Faults  Faults
	Seconds float64
	// Why says why test cases were not run.
	Why string
}

// JUnit writes a JUnit report: a test for each test case, and a test with an error for each invalid test file.
func (r Report) JUnit(w io.Writer) error {
	counts := junitCounts{Time: junitTime(r.Seconds)}
	var cases []junitCase
	ran := make(map[string]bool)
	for _, one := range r.Results {
		c := junitCaseOf(one.Case, one.Seconds)
		if len(one.Failures) > 0 {
			counts.Failures++
			c.Failure = junitFailureOf(one)
		}
		ran[one.Case] = true
		cases = append(cases, c)
	}
	for _, name := range r.Cases {
		if !ran[name] {
			counts.Skipped++
			c := junitCaseOf(name, 0)
			c.Skipped = &junitFailure{Message: r.Why}
			cases = append(cases, c)
		}
	}
	for _, f := range r.Faults {
		counts.Errors++
		c := junitCaseOf(f.File, 0)
		c.Error = &junitFailure{Message: f.Problems[0].Message, Text: f.Problems.Error()}
		cases = append(cases, c)
	}
	counts.Tests = len(cases)
	out, err := xml.MarshalIndent(junitSuites{
		junitCounts: counts, Suite: junitSuite{Name: junitSuiteName, junitCounts: counts, Cases: cases},
	}, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, out)
	}
	return err
}

func junitFailureOf(r Result) *junitFailure {
	var b strings.Builder
	_ = r.Text(&b) // writing to a Builder cannot fail
	return &junitFailure{Message: r.Failures[0].Message, Text: b.String()}
}

func junitTime(seconds float64) string { return fmt.Sprintf("%.3f", seconds) }
