module github.com/dagyo/dagyo/services/spawner

go 1.26.0

require (
	github.com/dagyo/dagyo/pkg v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/schemas v0.0.0-00010101000000-000000000000
)

require (
	github.com/klauspost/compress v1.20.0 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/dagyo/dagyo/pkg => ../../pkg
	github.com/dagyo/dagyo/schemas => ../../schemas
)
