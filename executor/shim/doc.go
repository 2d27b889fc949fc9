// Package shim makes any command a progdef: `dagyo-exec -- CMD ARG…` is an executor that runs the
// command once for each job. Nothing is declared in code: the ports are those of the job.
//
// # Ports
//
// A job's only input is the command's standard input, its only output the standard output. Of several,
// those named "in" and "out" are. Every port has an environment variable besides, DAGYO_IN_<PORT> or
// DAGYO_OUT_<PORT> (the name in capitals, "_" for "-"), with a path to open: /dev/fd/N. The descriptor N
// is open already, and may be used as well. Without a port for it, standard input is empty, and
// standard output goes where standard error goes: to the executor's log.
//
// # Records
//
// Pipes carry octets, so records are framed; [Framing] has the ways. Each port's follows from its
// typename, unless EXEC_FRAMING or the flag --framing says otherwise; see [ParseFramings]. What a
// framing cannot carry is a panic that names the record, and so are records that are not what their
// typename promises, in both directions, for utf8-string and json.
//
// # Ends
//
// The job is done when the command has exited with code 0, or with one of [Config.ExitOK], and its outputs are
// closed. Any other code, or a signal, is a panic with the last 8 KiB of standard error. What is left of the command's process group
// then is killed.
//
// A command that reads no further closes its input early. When nobody reads any of its outputs further,
// they are closed, it gets SIGPIPE at its next write, and however it ends then is a normal end. An
// output that nobody reads while others are read is drained.
//
// When the flow is stopped, the command's process group gets SIGTERM, and SIGKILL after
// [Config.StopGrace]. When a stream stops the node, its inputs end first, it has that time to end by itself,
// and what it writes until then is sent. A SIGTERM to the executor drains it, and does not reach the command.
//
// As the first process of a container (PID 1) it runs itself again as a child, passes signals on to it,
// and reaps what others leave behind.
package shim
