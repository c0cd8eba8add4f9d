# Thin on purpose: each target is a few lines that call the tool which does the work.

CARGO ?= cargo
SIMULATOR = target/simulator/simulator
HEADER = $$(ls -t target/debug/build/vsession-*/out/vsession.h | head -1)

.PHONY: all demo test proof bench generated simulator install-tools lint

# Programs look for the library by its SONAME.
all:
	$(CARGO) build --release
	ln -sf libvsession.so target/release/libvsession.so.0

# The library against the simulator, or against a real server with URL=https://user:pass@host/sdk.
demo: all simulator-binary
	tests/demo.sh $(URL)

# Everything that there is to test; installs what it needs.
test: install-tools lint simulator-binary
	$(CARGO) test
	$(MAKE) all
	bench/instructions.py
	tests/c/run.sh
	tests/go/run.sh
	cd tests/simulator && go vet ./... && go test ./...
	tests/stress/run.sh 10
	tests/stress/run.sh prove
	tests/stress/run.sh tsan 30

# The long forms of the tests; MINUTES=60 or so.
proof: install-tools simulator-binary
	tests/proof.sh $(MINUTES)

# Compares the library with its peers and writes docs/benchmarks.md; takes some ten minutes.
bench: all simulator-binary
	bench/run.py

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	tests/layers.py
	tests/layers.py prove
	bench/instructions.py prove

install-tools:
	tests/install-tools.sh

# Writes what is generated and committed: the header and the table of options.
generated:
	$(CARGO) build
	cp "$(HEADER)" include/vsession.h
	VSESSION_UPDATE_GENERATED=1 $(CARGO) test --lib the_documented_page_is_current

.PHONY: simulator-binary
simulator-binary:
	cd tests/simulator && go build -o ../../$(SIMULATOR) .

# A simulator to play with: prints its address and its control port, ends with Ctrl-C.
simulator: simulator-binary
	$(SIMULATOR)
