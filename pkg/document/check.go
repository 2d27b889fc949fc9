package document

import (
	"github.com/dagyo/dagyo/pkg/problem"
)

// Limits bound a document before it is looked at.
type Limits struct {
	// Bytes is the size of the text, in octets.
	Bytes int
	// Depth is how many arrays and objects may lie inside each other.
	Depth int
}

// DefaultLimits returns 512 KiB and 32 levels.
func DefaultLimits() Limits { return Limits{Bytes: 512 << 10, Depth: 32} }

// Check reads raw strictly and validates it against schemas/<schema>.json. It returns every
// problem at once, in their order, each with the JSON pointer of the place that is to be mended.
//
// The tree is made of map[string]any, []any, string, json.Number, bool and nil. There is one as
// long as raw is JSON within the limits, also when there are problems; else it is nil (as it is for
// the JSON text null).
//
// Check may be called by many goroutines at once. The first call for a schema compiles it.
func Check(schema string, raw []byte, limits Limits) (tree any, problems problem.List) {
	var report Report
	tree = CheckInto(&report, schema, raw, limits)
	return tree, report.List()
}

// CheckInto is [Check] for those who have more to report about the same document.
func CheckInto(report *Report, schema string, raw []byte, limits Limits) any {
	tree, ok := read(raw, limits, report)
	if !ok {
		return nil
	}
	validate(schema, tree, report)
	return tree
}
