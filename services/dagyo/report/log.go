package report

import (
	"strings"

	"github.com/dagyo/dagyo/pkg/client"
)

// LogLine formats a line that a job has logged. The text is a program's own, and even the name of the job may be made up if
// the status of the flow has none: what could control a terminal is escaped.
func LogLine(l client.LogLine) string {
	parts := []string{l.Time.Local().Format("15:04:05.000"), onOneLine(l.Job)}
	if l.Level != "" && l.Level != "info" {
		parts = append(parts, onOneLine(strings.ToUpper(l.Level)))
	}
	return strings.Join(append(parts, inLine(l.Text)), " ")
}

// inLine is onOneLine for a text whose spaces and tabs matter.
func inLine(text string) string {
	indent := len(text) - len(strings.TrimLeft(text, " "))
	return text[:indent] + onOneLine(strings.ReplaceAll(text, "\t", "    "))
}
