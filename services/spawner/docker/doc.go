// Package docker runs executors as containers of one Docker host: the backend of the compose stack.
//
// Executors outlive the spawner. The Docker daemon stores the state that a [Backend] needs, with the containers
// themselves. Only an executor that is still waiting for its image has no container yet: the next Backend
// does not know it, and it is lost.
//
// # A container
//
// An executor is a container named <place>.<executor>, with labels that identify it:
//
//	dev.dagyo.place      the installation; a Backend sees no other containers
//	dev.dagyo.executor   the executor, its progdef and the revision
//	dev.dagyo.progdef
//	dev.dagyo.revision
//	dev.dagyo.image      the id of its image, and the reference in the progdef
//	dev.dagyo.reference
//	dev.dagyo.grace      how long it may continue its jobs after SIGTERM
//
// The name is the claim to the executor: it is unique on a host, so a start happens once, however many
// Backends try. Before each step of ending an executor, the step is added to the name, because labels never
// change: <place>.<executor>.draining-until-<time>, then <place>.<executor>.killed-at-<time>. So a later
// Backend continues where another was killed, the first SIGTERM is never sent twice, and `docker ps` shows
// the state.
//
// Containers run without root, capabilities and a writable root file system; see [Config]. As always with
// Docker, any user of the Docker daemon can read the environment; it is in no log, label or image.
//
// # Credentials
//
// An executor's own credentials are a file in an anonymous volume, which only its container mounts and which is removed
// with it. They are written between the creation of the container and its start, so the program finds them there. They
// belong to root: the program can read, but not change them. A volume whose container was removed by others (`docker
// compose down`) is removed when the next Backend opens.
//
// # The end of an executor
//
// Drain sends SIGTERM. At the end of the progdef's grace period, or at GiveUp, the container gets another
// SIGTERM, and SIGKILL Config.KillDelay later. Processes that a program leaves running end with its container. `docker
// stop` drains too, and waits for the grace period; so does the Docker daemon when it shuts down.
//
// The daemon's events report changes of containers. The Backend then inspects the container, or all of them
// after an interruption of the events. An exit is reported until Forget removes the container.
//
// # Images
//
// An image that the host does not have is pulled while the executor waits. An image that a progdef pins by a
// digest runs with that digest or not at all. A tag must name the same image that the other executors of the
// revision run, as long as there are any.
//
// # Limitations
//
// A progdef's machine is ignored. A request for N GPUs gives the host's first N to every executor that asks.
// Standard output and error share one bounded log, so a flood on one can displace the last lines of the
// other. Images are never removed.
package docker
