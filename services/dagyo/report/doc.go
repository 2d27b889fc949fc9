// Package report formats Dagyo's events and documents for people: lines, tables and verdicts. It is
// pure: the caller decides where and when the text is written.
//
// Texts from programs and documents are not trusted: control characters are removed from them, so that
// they cannot control the terminal.
package report
