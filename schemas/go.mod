module github.com/dagyo/dagyo/schemas

go 1.26.0
