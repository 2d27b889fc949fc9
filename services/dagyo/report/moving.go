package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
)

// movingEdges bounds the number of edges in one line.
const movingEdges = 3

// Moved returns the traffic on the edges since the last call, or "" if there was none.
func (p *Progress) Moved(now time.Time) string {
	p.Sample(now)
	var parts []string
	more := 0
	for _, e := range p.edges {
		switch {
		case e.rate <= 0:
		case len(parts) == movingEdges:
			more++
		default:
			parts = append(parts, fmt.Sprintf("%s %s (%.0f/s)", clean(e.name), document.Count(e.records, "record"), e.rate))
		}
	}
	if more > 0 {
		parts = append(parts, "and "+document.Count(more, "more edge"))
	}
	return strings.Join(parts, ", ")
}
