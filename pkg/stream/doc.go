// Package stream carries one edge over NATS: an ordered sequence of records from one Writer to one
// Reader, with an end, and with at most a window of unread records.
//
// Frames of package wire take one of two routes, and the reader accepts them by number from either:
//
//	contract.Address.Direct    to an attached reader, by plain NATS
//	contract.Address.Slot      into a stream that all edges share (ShardConfig; the planner makes it)
//	contract.Address.Credit    what the reader has consumed; the stream keeps the last one
//
// A reader that waits for frames attaches: it subscribes to its own subject and announces that in a
// credit. From then on the writer sends directly, and holds each frame until a credit acknowledges
// it. If there is no reader, or the reader is inactive for a while, or the writer's job is done, the
// writer stores the frames that it holds, in order. So the broker stores only what is not read at once,
// memory on both sides is a fraction of the window, and an edge with two active ends costs as much as
// plain NATS. A flow is not recoverable: what is lost with its writer needs no copy.
//
// A frame is sent at once when the connection is idle, which an echo from the broker shows, and grows
// while it is not. So a single record is sent without delay and a burst is packed, without a timer.
//
// Frames have numbers. A repeated frame is dropped. If a frame is missing, the reader attaches again and
// reads the stream; a frame that is still missing then is lost. Credits are cumulative, so any of them
// may be lost.
//
// Stored frames take turns on a fixed number of subjects, the slots; the stream keeps the last message on each. So an
// edge takes bounded space whatever its writer does, and neither end needs permission to delete. The planner deletes
// the frames of a flow after its end (ADR 19).
//
// Both ends survive reconnects and broker restarts as long as the stream does. If the stream is gone, the
// flow is over and both ends return ErrGone. docs/protocol.md has the rules for other languages.
package stream
