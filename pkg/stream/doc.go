// Package stream carries one edge over JetStream: an ordered sequence of records from one Writer
// to one Reader, with an end, and never more than a window of it unread.
//
// The flow's stream (StreamConfig; the planner creates and deletes it) stores what both sides say:
//
//	contract.Address.Subject   frames of package wire, writer to reader, deleted by the reader's ack
//	contract.Address.Credit    what the reader has consumed, reader to writer; only the last is kept
//
// The writer sends one frame at a time and waits for the broker to confirm it; meanwhile the next
// frame grows. So a lone record leaves at once and a burst is packed, with no timer. A frame whose
// confirmation is lost is sent again under its number, and the reader drops what it has seen; since
// there is only ever one frame under way, they can't change places, and a gap is a real loss.
//
// The reader pulls a bounded number of octets and acknowledges each frame as it takes it up. The
// writer learns from credits what was consumed, and keeps at most Address.Window octets and
// Address.Frames frames ahead. Credits are cumulative and stored, so a writer that missed some, or
// came late, asks the broker for the last one.
//
// Both sides outlive reconnects and broker restarts for as long as the stream does; when it is
// gone, the flow is over and they say ErrGone. docs/protocol.md has the rules for other languages.
package stream
