module github.com/dagyo/dagyo/services/dagyo

go 1.26.0

require (
	github.com/dagyo/dagyo/executor v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/pkg v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/panic-aggregator v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/planner v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/spawner v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/validator v0.0.0-00010101000000-000000000000
	github.com/goccy/go-yaml v1.19.2
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
	github.com/nats-io/nuid v1.0.1
	github.com/rogpeppe/go-internal v1.16.0
	github.com/rs/zerolog v1.35.1
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	go.uber.org/goleak v1.3.0
	golang.org/x/sync v0.24.0
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
)

require (
	github.com/agnivade/levenshtein v1.2.2 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/cloudevents/sdk-go/v2 v2.16.2 // indirect
	github.com/dagyo/dagyo/schemas v0.0.0-00010101000000-000000000000 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/itchyny/gojq v0.12.20 // indirect
	github.com/itchyny/timefmt-go v0.1.9 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.3-0.20250322232337-35a7c28c31ee // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
)

replace (
	github.com/dagyo/dagyo/executor => ../../executor
	github.com/dagyo/dagyo/pkg => ../../pkg
	github.com/dagyo/dagyo/schemas => ../../schemas
	github.com/dagyo/dagyo/services/panic-aggregator => ../../services/panic-aggregator
	github.com/dagyo/dagyo/services/planner => ../../services/planner
	github.com/dagyo/dagyo/services/spawner => ../../services/spawner
	github.com/dagyo/dagyo/services/validator => ../../services/validator
)
