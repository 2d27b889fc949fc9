// Package wire is the binary format of an edge: frames that carry records one way, credits that go the
// other way. It does no I/O and does not depend on a broker; package stream sends what it encodes.
//
// A frame is a 10-byte header (version, flags, big-endian frame number) and chunks. A chunk is
// uvarint(length<<1 | more) and that many bytes of one record; more means that the record continues in
// the first chunk of the next frame. The last frame of an edge has flag END and a 20-byte trailer: the
// number of records, the sum of their lengths, and a CRC-32 (IEEE) of the chunks of all frames.
// docs/protocol.md specifies it byte by byte; the vectors in schemas/wire test every implementation
// against it.
//
// No length is trusted: a decoder allocates memory only as bytes of records arrive.
package wire

const (
	// Version is the first byte of every frame and of every credit.
	Version = 1
	// FlagEnd in a frame's flags means that no frame follows it.
	FlagEnd = 1
	// FlagStored means that a header is a hint and not a frame.
	FlagStored = 2
	// FlagClosed in a credit's flags means that the reader needs no more records.
	FlagClosed = 1

	// HeaderSize and TrailerSize are the sizes of the fixed parts of a frame, in bytes.
	HeaderSize  = 10
	TrailerSize = 20
	// CreditSize is the size of every credit, in bytes.
	CreditSize = 34

	// DefaultMaxRecord is the maximum size of a record, in bytes, that a decoder accepts by default:
	// 1 GiB.
	DefaultMaxRecord = 1 << 30
)
