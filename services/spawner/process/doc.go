// Package process runs executors as processes of this machine: the backend of `dagyo up` and of a
// spawner without containers.
//
// Executors outlive the spawner. Each has its own small supervisor (the hidden subcommand
// `dagyo supervise DIR`, implemented by [Supervise]) in its own session. The supervisor starts the
// program, keeps the end of its output, passes SIGTERM on, kills it when the grace period is over,
// and records how it ended. A [Backend] starts supervisors and watches the state directory; it finds
// the executors that an earlier or another Backend started there.
//
// # The state directory
//
// Config.Dir/executors/<executor> holds one executor until it is forgotten. Directories have mode
// 0700 and files 0600.
//
//	instance.json   executor, progdef and revision; there from the first moment
//	lock            a POSIX record lock, held by the supervisor as long as it lives
//	claim           the one permission to run the program, taken by exclusive creation
//	exit.json       the exit; written once, atomically, before the lock is released
//	log, log.1      standard output and error of the program, at most 1 MiB each
//	supervisor.log  errors of the supervisor itself
//
// The claim makes a start happen at most once, however many Backends and supervisors try. The lock
// shows whether the supervisor lives, and which process to signal. Unlike a stored process id, it cannot
// name an unrelated process that reuses the id. Unlike flock, it can be queried without being taken, so
// a query never disturbs a supervisor that is about to take it. A claim without a lock and without an
// exit is an executor whose supervisor died.
//
// Config.Dir/scrap holds directories that are being created or removed, so that both take one rename.
//
// Never remove an executor's directory by hand: its supervisor then drains the program, for at most a
// minute, because nothing else could end or even find it.
//
// # The end of a program
//
// Drain sends SIGTERM to the supervisor, which passes the first one on. At the end of the progdef's grace
// period, or at GiveUp (SIGQUIT to the supervisor), the program gets another SIGTERM, and its process group
// gets SIGKILL Config.KillDelay later. When the program has exited, the rest of its process group is killed
// as well.
//
// # Limitations
//
// The progdef's resources and machine are not enforced: use the Docker or the Kubernetes backend
// for that. A program that leaves its process group can leave processes behind. On systems other
// than Linux, a program survives the SIGKILL of its supervisor. All spawners on one state directory
// must run as the same user and in the same pid namespace, and stopping the spawner must not stop its
// other processes (systemd: KillMode=process).
package process
