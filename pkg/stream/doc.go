// Package stream carries one edge over NATS: an ordered sequence of records from one Writer to one
// Reader, with an end, and never more than a window of it unread.
//
// Frames of package wire go one of two ways, and the reader takes them by number from wherever they
// come:
//
//	contract.Address.Direct    to a reader that is there, by plain NATS
//	contract.Address.Slot      into a stream that all edges share (ShardConfig; the planner makes it)
//	contract.Address.Credit    what the reader has consumed; the stream keeps the last one
//
// A reader that waits for frames attaches: it listens on a subject of its own and says so in a
// credit. From then on the writer sends directly, and keeps each frame until a credit says that it
// was consumed. Where there is no reader, or it does nothing for a while, or the writer's job is
// done, the writer stores what it keeps instead, in order. So the broker stores what nobody takes,
// memory on both sides is a fraction of the window, and an edge whose ends are both awake costs what
// plain NATS costs. A flow is not recoverable: what dies with its writer needs no copy.
//
// A frame leaves at once when the connection is idle, which an echo from the broker tells, and grows
// while it is not. So a lone record waits for nobody and a burst is packed, with no timer.
//
// Frames have numbers: a repeat is dropped, and for one that is missing the reader attaches anew and
// looks into the stream; what is then still missing is a real loss. Credits are cumulative, so any
// may be lost.
//
// Stored frames take turns on a fixed number of subjects, the slots, of which the stream keeps the last message.
// So an edge takes bounded room whatever its writer does, and neither end needs the right to delete. The planner
// deletes what a flow has stored once it has ended (ADR 19).
//
// Both sides outlive reconnects and broker restarts for as long as the stream does; when it is
// gone, the flow is over and they say ErrGone. docs/protocol.md has the rules for other languages.
package stream
