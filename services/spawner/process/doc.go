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
// 0700 and files 0600. Executors see only their own directory of it.
//
//	instance.json   executor, progdef and revision; there from the first moment
//	lock            a POSIX record lock, held by the supervisor as long as it lives
//	claim           the one permission to run the program, taken by exclusive creation
//	exit.json       the exit; written once, atomically, before the lock is released
//	own             the executor's own directory: its HOME if it has a user of its own, its TMPDIR, copies of its
//	                credentials; it belongs to the executor's user
//	log, log.1      standard output and error of the program, at most 1 MiB each
//	supervisor.log  errors of the supervisor itself
//
// The claim makes a start happen at most once, however many Backends and supervisors try. The lock
// shows whether the supervisor lives, and which process to signal. Unlike a stored process id, it cannot
// name an unrelated process that reuses the id. Unlike flock, it can be queried without being taken, so
// a query never disturbs a supervisor that is about to take it. A claim without a lock and without an
// exit is an executor whose supervisor died.
//
// The executors of a tenant other than the first are in Config.Dir/tenants/<id>/executors, in the same form.
//
// Config.Dir/scrap holds directories that are being created or removed, so that both take one rename.
//
// Never remove an executor's directory by hand: its supervisor then drains the program, for at most a
// minute, because nothing else could end or even find it.
//
// # Isolation
//
// [Probe] finds out what the machine allows, and [Isolation] says what is missing. As root on Linux, an executor has:
//
//   - a user of its own, from Config.UIDs, which no other executor has that is not forgotten, no further groups, no
//     capabilities, and no way to new privileges
//   - a pid namespace whose first process is its supervisor: when that ends, however it ends, the kernel kills all
//     others in it, whatever session, process group or parent they have
//   - a mount namespace in which Config.Dir, Config.EnvDir and Config.Hidden are covered, with a /proc of its own
//     processes and a /dev/shm of its own
//   - limits of its memory, processes and processors by a cgroup, if the machine has cgroup v2; otherwise its supervisor
//     measures them
//
// A directory that is closed to others, such as /root, is covered by one that everyone may pass, and which has only
// what the command and the environment mention: the program of an installation in /root can run, and the rest of /root
// stays invisible. Modes below it apply as always.
//
// A backend that is not root uses a user namespace. Its executors have their own view of files and processes, but
// the user of the backend. Where that is not possible either, they have nothing but their limits, and the supervisor
// kills all descendants of the program.
//
// # The end of a program
//
// Drain sends SIGTERM to the supervisor, which passes the first one on. At the end of the progdef's grace
// period, or at GiveUp (SIGQUIT to the supervisor), the program gets another SIGTERM, and it gets SIGKILL
// Config.KillDelay later, with everything that it has started. When the program has exited, everything else that it
// has started is killed as well.
//
// # Limitations
//
// The progdef's machine and its requests are not considered, and of its limits only memory, and cpu with a cgroup: use
// the Docker or the Kubernetes backend for that. Space on disks and the network are not limited. Without a pid
// namespace, processes with an environment of their own may survive the SIGKILL of their supervisor; on systems other
// than Linux, a program that leaves its process group may survive it, too. All spawners on one state directory
// must run as the same user and in the same pid namespace, and stopping the spawner must not stop its
// other processes (systemd: KillMode=process).
package process
