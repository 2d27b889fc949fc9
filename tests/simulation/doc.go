// Package simulation runs two replicas of each service against a simulated EVENTS: no NATS, no processes and no
// clock. The services are the real ones on the core of package service, with the real conditions of publication; the world
// around them is simulated. Histories are drawn at random: replicas fold late, pause during a task, lose their lease,
// crash between any two steps and start from older snapshots; EVENTS is trimmed; answers are lost; executors fail and
// crash; users repeat and cancel; and hostile messages arrive. Whatever happens, every flow ends once, with a verdict
// that EVENTS justifies, and all resources are released. README.md lists what the simulation finds when the code is
// broken on purpose.
package simulation
