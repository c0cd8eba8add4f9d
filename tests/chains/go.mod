module vsession.dev/chains

go 1.25.0
