// Package flowtest runs flows as tests. A test case is a folder with a flow, the records of its inputs,
// and the expected result. docs/testing-flows.md is the page for authors of test cases.
//
// [Find] reads and checks all files before anything runs, so that mistakes in all test cases are
// reported at once. [Runner] submits the flow of one test case, feeds its inputs, collects its outputs up
// to a limit, and passes its observations to a pure comparison, which returns the [Result].
package flowtest
