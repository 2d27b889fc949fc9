package document

import (
	"github.com/dagyo/dagyo/pkg/problem"
)

// Limits bound a document before it is read.
type Limits struct {
	// Bytes is the maximum size of the text, in bytes.
	Bytes int
	// Depth is the maximum nesting of arrays and objects.
	Depth int
}

// DefaultLimits returns 512 KiB and 32 levels.
func DefaultLimits() Limits { return Limits{Bytes: 512 << 10, Depth: 32} }

// Check reads raw strictly and validates it against schemas/<schema>.json. It returns every
// problem at once, in order, each with the JSON pointer of the place to fix.
//
// The tree consists of map[string]any, []any, string, json.Number, bool and nil. It is returned
// whenever raw is JSON within the limits, even if there are problems; otherwise it is nil (as it
// is for the JSON text null).
//
// Check may be called concurrently. The first call for a schema compiles it.
func Check(schema string, raw []byte, limits Limits) (tree any, problems problem.List) {
	var report Report
	tree = CheckInto(&report, schema, raw, limits)
	return tree, report.List()
}

// CheckInto is [Check] for callers that report more problems of the same document.
func CheckInto(report *Report, schema string, raw []byte, limits Limits) any {
	tree, ok := read(raw, limits, report)
	if !ok {
		return nil
	}
	validate(schema, tree, report)
	return tree
}
