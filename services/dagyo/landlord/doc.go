// Package landlord changes the keys of an installation, its tenants and the credentials of its users, and tells the NATS
// server and the services at once: of a Dagyo that `dagyo up` runs or has run, or of services that run by themselves,
// with the keys in a folder of `dagyo init auth` or in Secrets of Kubernetes.
package landlord
