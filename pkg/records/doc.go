// Package records reads and writes files with records for `dagyo run` and `dagyo test`.
// docs/records.md describes the formats for users.
//
// The package depends on flows only through the names and typenames of their inputs and outputs.
package records
