// Package wire is the byte form of an edge: frames that carry records one way, credits that go the
// other way. It does no I/O and knows no broker; package stream moves what it makes.
//
// A frame is a 10-octet header (version, flags, big-endian frame number) and chunks. A chunk is
// uvarint(length<<1 | more) and that many octets of one record; more says that the record goes on
// in the first chunk of the next frame. The last frame of an edge has flag END and a 20-octet
// trailer: the number of records, the sum of their lengths, and a CRC-32 (IEEE) of the chunks of
// all frames. docs/protocol.md specifies it octet by octet; the vectors in schemas/wire hold every
// implementation to it.
//
// Nothing in here trusts a length: a decoder allocates only as record octets arrive.
package wire

const (
	// Version is the first octet of every frame and of every credit.
	Version = 1
	// FlagEnd in a frame's flags says that no frame follows it.
	FlagEnd = 1
	// FlagStored says that a header is a hint and no frame.
	FlagStored = 2
	// FlagClosed in a credit's flags says that the reader wants no more.
	FlagClosed = 1

	// HeaderSize and TrailerSize are the fixed parts of a frame, in octets.
	HeaderSize  = 10
	TrailerSize = 20
	// CreditSize is the length of every credit, in octets.
	CreditSize = 34

	// DefaultMaxRecord is the longest record, in octets, that a decoder takes unless told
	// otherwise: 1 GiB.
	DefaultMaxRecord = 1 << 30
)
