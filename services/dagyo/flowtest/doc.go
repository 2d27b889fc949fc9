// Package flowtest runs flows as tests: each case is a folder with a flow, what it is fed, and what
// is expected of it. docs/testing-flows.md is the page for those who write cases.
//
// [Find] reads and checks everything before anything runs, so that a slip of the pen is told at once
// and for all cases. [Runner] submits the flow of one case, feeds its inputs, keeps its outputs up to a
// bound, and hands what it saw to a pure comparison, which makes the [Result].
package flowtest
