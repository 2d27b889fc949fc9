// Package history stores the statuses of ended flows compactly, and finds them again.
//
// A record is the final [contract.FlowStatus] of a flow. Some hundred records make a segment: JSON lines,
// compressed, in one message on [contract.SubjectHistory]. The headers of the message are its index
// entry: how many records there are, the range of their times, and a filter that tells which flow ids
// are not in it.
//
//   - A [Writer] appends records. Only the leader of the panic-aggregator uses one.
//   - An [Index] follows the headers of the segments and holds nothing else in memory: about 2 bytes a
//     flow. [Index.Get] and [Index.Page] read the few segments that they need.
//   - [StreamConfig] bounds history by age, flows and bytes.
//
// The stream has one subject, so its costs on the server do not grow with the number of flows.
package history
