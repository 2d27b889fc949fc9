// Package report is how Dagyo's events and documents look to a person: lines, tables, verdicts. It
// is pure; where the text goes and when is the caller's business.
//
// Texts that come from programs and documents may hold anything, so control characters are taken out
// of them: a program's last words must not move the reader's cursor.
package report
