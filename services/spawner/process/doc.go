// Package process runs executors as processes of this machine: the backend of `dagyo up` and of a
// spawner without containers.
//
// Executors outlive the spawner. Each has a small supervisor of its own (the hidden subcommand
// `dagyo supervise DIR`, whose body is [Supervise]), in a session of its own. It starts the
// program, keeps the end of its output, passes SIGTERM on, kills it when the grace period is over
// and writes down how it ended. A [Backend] starts supervisors and watches the state directory; it
// finds again what an earlier or another Backend started there.
//
// # The state directory
//
// Config.Dir/executors/<executor> holds one executor until it is forgotten. Directories have mode
// 0700 and files 0600.
//
//	instance.json   executor, progdef and revision; there from the first moment
//	lock            a POSIX record lock, held by the supervisor as long as it lives
//	claim           the one permission to run the program, taken by exclusive creation
//	exit.json       the exit; written once, whole, before the lock is let go
//	log, log.1      standard output and error of the program, at most 1 MiB each
//	supervisor.log  what went wrong in the supervisor itself
//
// The claim makes a start happen at most once, however many Backends and supervisors try. The lock
// says whether the supervisor lives, and whom to signal: unlike a stored process id it cannot point
// at a stranger after a reuse, and unlike flock it can be asked about without being taken, so that
// a look at it never disturbs a supervisor that is about to take it. A claim without a lock and
// without an exit is an executor whose supervisor died.
//
// Config.Dir/scrap holds directories on their way in or out, so that both happen in one rename.
//
// Never remove an executor's directory by hand: its supervisor then drains the program, for a
// minute at most, because nobody could end or even find it any more.
//
// # The end of a program
//
// Drain sends SIGTERM to the supervisor, which passes the first on. At the end of the progdef's grace
// period, or at GiveUp (SIGQUIT to the supervisor), the program gets SIGTERM once more, and
// Config.KillDelay later its process group SIGKILL. When the program has ended, what is left of its
// group is killed as well.
//
// # What it does not do
//
// The progdef's resources and machine are not enforced: use the Docker or the Kubernetes backend
// for that. A program that leaves its process group can leave processes behind. On systems other
// than Linux a program survives the SIGKILL of its supervisor. All spawners on one state directory
// must run as the same user and in the same pid namespace, and whoever stops the spawner must leave
// its other processes alone (systemd: KillMode=process).
package process
