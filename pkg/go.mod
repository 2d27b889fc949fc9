module github.com/dagyo/dagyo/pkg

go 1.26.0

require (
	github.com/dagyo/dagyo/schemas v0.0.0-00010101000000-000000000000
)

replace (
	github.com/dagyo/dagyo/schemas => ../schemas
)
