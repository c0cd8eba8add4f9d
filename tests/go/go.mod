module vsession.dev/tests/go

go 1.25.0
