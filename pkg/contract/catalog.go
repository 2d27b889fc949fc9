package contract

import "github.com/dagyo/dagyo/pkg/progdef"

// A CatalogEntry is the value of a progdef's name in BucketProgdefs.
type CatalogEntry struct {
	progdef.Pinned
	// Seq is the place in EVENTS of the change; Removed marks a removed progdef.
	Seq     uint64 `json:"seq"`
	Removed bool   `json:"removed,omitempty"`
}
