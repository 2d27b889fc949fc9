// Package history stores the statuses of ended flows in a compact form, and finds them.
//
// A record is the final [contract.FlowStatus] of a flow. A few hundred records make a segment: JSON lines,
// compressed, in one message on [contract.SubjectHistory]. The headers of the message are its index
// entry: the number of records, the range of their times, a filter that rules out most ids of other flows, and columns
// with what queries look at.
//
//   - A [Writer] appends records. Only the leader of the panic-aggregator uses one.
//   - An [Index] follows the headers of the segments and keeps nothing else in memory: 15 to 35 bytes per flow, 4 without
//     the columns. [Index.Get] and [Index.Page] read the few segments that they need.
//   - [StreamConfig] limits history by age, flows and bytes.
//
// The stream has one subject, so its cost on the server does not grow with the number of flows.
package history
