// Package shim turns any command into a progdef: `dagyo-exec -- CMD ARG…` is an executor that runs the
// command once for each job. Nothing is declared in code: the ports are the job's.
//
// # Ports
//
// A job's only input is the command's standard input; its only output is the standard output. If there are
// several, the ports named "in" and "out" are. Every port also has an environment variable, DAGYO_IN_<PORT> or
// DAGYO_OUT_<PORT> (the name in capitals, "_" for "-"), with a path to open: /dev/fd/N. Descriptor N is
// already open and may be used as well. Without a port, standard input is empty, and standard output goes
// where standard error goes: line by line to the logs of the flow (dagyo logs), and to the executor's log.
//
// # Records
//
// Pipes carry bytes, so records are framed; see [Framing]. The framing of a port follows from its typename,
// unless EXEC_FRAMING or the flag --framing sets another; see [ParseFramings]. The job panics, naming the
// record, if a framing cannot carry a record, or if a record of typename utf8-string or json is not valid,
// in both directions.
//
// # Ends
//
// The job is done when the command has exited with code 0, or with one of [Config.ExitOK], and its outputs are
// closed. Any other code, or a signal, is a panic with the last 8 KiB of standard error. The rest of the command's
// process group is then killed.
//
// If a command stops reading an input, the input is closed early. When none of its outputs is read any more,
// they are closed; the command gets SIGPIPE at its next write, and its end counts as normal whatever its
// status. An output without a reader is drained while others are read.
//
// When the flow is stopped, the command's process group gets SIGTERM, and SIGKILL after
// [Config.StopGrace]. When a stream stops the node, the inputs end first; the command has StopGrace to exit by
// itself, and what it writes until then is sent. SIGTERM to the executor drains it and does not reach the command.
//
// As the first process of a container (PID 1), the shim runs itself again as a child, passes signals on to
// the child, and reaps orphaned processes.
package shim
