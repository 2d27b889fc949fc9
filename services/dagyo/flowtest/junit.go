package flowtest

import (
	"encoding/xml"
	"fmt"
	"io"
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
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Error   *junitFailure `xml:"error,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junitSuiteName is the name of the suite, and the class of each test case.
const junitSuiteName = "dagyo"

// JUnit writes a JUnit report: a test for each result, and a test with an error for each invalid test file.
func JUnit(w io.Writer, results []Result, faults Faults, seconds float64) error {
	counts := junitCounts{Time: junitTime(seconds)}
	var cases []junitCase
	for _, r := range results {
		c := junitCase{Name: r.Case, Class: junitSuiteName, Time: junitTime(r.Seconds)}
		if len(r.Failures) > 0 {
			counts.Failures++
			c.Failure = junitFailureOf(r)
		}
		cases = append(cases, c)
	}
	for _, f := range faults {
		counts.Errors++
		cases = append(cases, junitCase{
			Name: f.File, Class: junitSuiteName, Time: junitTime(0),
			Error: &junitFailure{Message: printable(f.Problems[0].Message), Text: printable(f.Problems.Error())},
		})
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
	return &junitFailure{Message: printable(r.Failures[0].Message), Text: printable(b.String())}
}

func junitTime(seconds float64) string { return fmt.Sprintf("%.3f", seconds) }

// printable removes the characters that XML does not allow.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == '\ufffe' || r == '\uffff' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
