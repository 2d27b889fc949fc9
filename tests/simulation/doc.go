// Package simulation runs the decisions of all four services against a simulated EVENTS stream: no
// NATS, no processes, no clock. Services fold late, handle causes twice, crash between two effects and
// replay; executors claim, finish, fail and die; users submit twice and cancel at any moment. Whatever
// happens, in whatever order, every flow ends once and everything is given back.
package simulation
