// Package records reads and writes records in files: what `dagyo run` feeds and writes, and what
// `dagyo test` feeds and compares. docs/records.md describes the formats for users.
//
// The package knows nothing of flows but the names and typenames of their inputs and outputs.
package records
