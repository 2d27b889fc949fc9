package contract

import (
	"time"

	"github.com/dagyo/dagyo/pkg/progdef"
)

// A Published progdef is one of the catalogue, and says how it came there.
type Published struct {
	progdef.Pinned
	// By is the user who published it, "" if nothing proves who did. At is when it was published, zero if a version
	// before this one has stored it.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
}

// A CatalogEntry is the value of a progdef's name in BucketProgdefs.
type CatalogEntry struct {
	Published
	// Seq is the place of the change in EVENTS; Removed marks a removed progdef.
	Seq     uint64 `json:"seq"`
	Removed bool   `json:"removed,omitempty"`
}
