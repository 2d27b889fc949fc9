// Package compose brings up docker-compose.yml on the Docker daemon of this machine, and uses it as people do:
// with the command, with a plain NATS client, and with containers that are killed on the way.
//
// `make compose` runs it, and builds what it needs before. It needs root for killing a container's processes
// on the host. The variable COMPOSE says which Compose is tried, "docker-compose" unless it is set.
package compose
