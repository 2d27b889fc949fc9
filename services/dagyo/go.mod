module github.com/dagyo/dagyo/services/dagyo

go 1.26.0

require (
	github.com/dagyo/dagyo/executor v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/pkg v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/schemas v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/validator v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/planner v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/spawner v0.0.0-00010101000000-000000000000
	github.com/dagyo/dagyo/services/panic-aggregator v0.0.0-00010101000000-000000000000
)

replace (
	github.com/dagyo/dagyo/executor => ../../executor
	github.com/dagyo/dagyo/pkg => ../../pkg
	github.com/dagyo/dagyo/schemas => ../../schemas
	github.com/dagyo/dagyo/services/validator => ../../services/validator
	github.com/dagyo/dagyo/services/planner => ../../services/planner
	github.com/dagyo/dagyo/services/spawner => ../../services/spawner
	github.com/dagyo/dagyo/services/panic-aggregator => ../../services/panic-aggregator
)
