// Package docker runs executors as containers of one Docker host: the backend of the compose stack.
//
// Executors outlive the spawner. What a [Backend] has to know of them is kept by the Docker daemon,
// with the containers themselves. Only an executor that still waits for its image is unknown to the next
// Backend, and lost: it has no container yet.
//
// # A container
//
// An executor is a container named <place>.<executor>, with labels that say whose it is:
//
//	dev.dagyo.place      the installation; a Backend sees no other containers
//	dev.dagyo.executor   the executor, its progdef and the revision
//	dev.dagyo.progdef
//	dev.dagyo.revision
//	dev.dagyo.image      the id of the image that it runs, and how the progdef calls it
//	dev.dagyo.reference
//	dev.dagyo.grace      how long it may go on with its jobs after SIGTERM
//
// The name is the claim to the executor: a host has it once, so a start happens once, however many
// Backends try. What is done to end an executor is added to the name before it is done, because labels
// never change: <place>.<executor>.draining-until-<time>, then <place>.<executor>.killed-at-<time>. So a
// Backend that comes later goes on where another was killed, nobody sends the first SIGTERM twice, and
// `docker ps` shows how things stand.
//
// Containers run without root, capabilities and a writable root, see [Config]. The environment can be
// read by whoever may use the Docker daemon, as always with Docker; it is in no log, label or image.
//
// # The end of an executor
//
// Drain sends SIGTERM. At the end of the progdef's grace period, or at GiveUp, the container gets
// SIGTERM once more, and Config.KillDelay later SIGKILL. What a program leaves running ends with its
// container. `docker stop` drains too, and waits as long as the grace period; so does the Docker daemon
// when it is shut down.
//
// The daemon's events tell when something has happened to a container; the Backend then looks at it,
// and at all of them whenever the events were interrupted. An exit is told until Forget removes the
// container.
//
// # Images
//
// An image that the host does not have is fetched, and the executor waits for it. What a progdef pins
// by a digest is run with that digest or not at all; what it calls by a tag is held to the image that
// the other executors of the revision run, as long as there are any.
//
// # What it does not do
//
// A progdef's machine is not looked at. A request for N GPUs gives the host's first N, to every
// executor that asks. Standard output and error share one bounded log, so that a flood on the one can
// wash the last words on the other away. Images are never removed.
package docker
