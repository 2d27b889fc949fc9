// Package compose brings up docker-compose.yml on the Docker daemon of this machine, and uses it as users do: with the
// command, with a plain NATS client, and with containers that are killed meanwhile.
//
// `make compose` builds what the tests need and runs them. They need root to kill a container's processes on the host.
// The variable COMPOSE selects the Compose command; the default is "docker-compose".
package compose
