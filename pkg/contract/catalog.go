package contract

import "github.com/dagyo/dagyo/pkg/progdef"

// A CatalogEntry is the value of a progdef's name in BucketProgdefs.
type CatalogEntry struct {
	progdef.Pinned
	// Seq is the place of the change in EVENTS; Removed marks a removed progdef.
	Seq     uint64 `json:"seq"`
	Removed bool   `json:"removed,omitempty"`
}
