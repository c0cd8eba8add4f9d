# Each target is a few lines that call the tool which does the work.

CARGO ?= cargo
SIMULATOR = target/simulator/simulator
HEADER = $$(ls -t target/debug/build/vsession-*/out/vsession.h | head -1)

.PHONY: all demo test proof bench generated simulator install-tools lint sbom release coverage

# The library contains no paths of the build machine: the same sources, Cargo.lock and compilers give the same
# library in any directory, which tests/reproducible.sh checks. Debuggers find the sources after `set substitute-path`.
CARGO_FOLDER = $(or $(CARGO_HOME),$(HOME)/.cargo)
RUST_SOURCES = $(shell rustc --print sysroot)/lib/rustlib/src/rust
RUST_COMMIT = $(shell rustc -vV | sed -n 's/^commit-hash: //p')
WITHOUT_PATHS = --config "build.rustflags = [ \
	'--remap-path-prefix=$(CURDIR)=/vsession', \
	'--remap-path-prefix=$(CARGO_FOLDER)=/cargo', \
	'--remap-path-prefix=$(RUST_SOURCES)=/rustc/$(RUST_COMMIT)']"

# Without the rlib: beside one, cargo leaves out the link-time optimisation. Programs look for the library by its SONAME.
all:
	CC_SHELL_ESCAPED_FLAGS=1 CFLAGS="$(CFLAGS) '-ffile-prefix-map=$(CARGO_FOLDER)=/cargo'" \
		$(CARGO) rustc --release --lib --crate-type cdylib,staticlib $(WITHOUT_PATHS)
	ln -sf libvsession.so target/release/libvsession.so.0

# The library against the simulator, or against a real server with URL=https://user:pass@host/sdk.
demo: all simulator-binary
	tests/demo.sh $(URL)

# The files of tests/rust that concern replies and sessions. They run a second time, against replies as vCenter 9.0.1 sends them.
# The other files would show nothing new.
ABOUT_REPLIES = $(addsuffix ::,asynchronous credentials ending errors events exchanged flaws http login memory readers refused requests \
	relogin secrets)

# All tests; installs what they need.
test: install-tools lint simulator-binary
	$(CARGO) test
	VSESSION_TEST_LIKE=9.0.1 $(CARGO) test --test acceptance -- $(ABOUT_REPLIES)
	$(CARGO) test --test faults
	$(MAKE) all
	tests/models/run.py
	bench/instructions.py
	tests/c/run.sh
	tests/go/run.sh
	tests/handing-on/run.sh
	cd tests/simulator && go vet ./... && go test ./...
	tests/stress/run.sh 10
	tests/stress/run.sh prove
	tests/stress/run.sh tsan 30

# The long forms of the tests; MINUTES=60 or so.
proof: install-tools simulator-binary
	tests/proof.sh $(MINUTES)

# Compares the library with its peers and writes docs/benchmarks.md; takes about half an hour.
bench: all simulator-binary
	bench/run.py

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --test faults -- -D warnings
	tests/abi/check.py functions
	tests/abi/check.py prove
	RUSTFLAGS='--cfg fuzzing' $(CARGO) check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz-check
	tests/supply.sh quick
	bench/instructions.py prove

# The bill of materials of the library: target/release/libvsession.cdx.json.
sbom: all
	tests/supply.sh sbom

# The files of a release, after the checks that it must pass. Run the tests before; see CONTRIBUTING.md.
release: all
	tests/supply.sh
	tests/reproducible.sh
	tests/supply.sh sbom
	cd target/release && sha256sum libvsession.so libvsession.a libvsession.cdx.json >libvsession.sha256

# Writes what the suites reach into docs/coverage.md; takes some minutes.
coverage: install-tools simulator-binary
	tests/coverage/run.sh; status=$$?; cp target/coverage/coverage.md docs/coverage.md; exit $$status

install-tools:
	tests/install-tools.sh

# Writes the files that are generated and committed: the header, the tables of its functions for the C tests, docs/options.md and
# docs/faults.md.
generated:
	$(CARGO) build
	cp "$(HEADER)" include/vsession.h
	tests/abi/check.py update
	VSESSION_UPDATE_GENERATED=1 $(CARGO) test --lib the_documented_page_is_current
	VSESSION_UPDATE_GENERATED=1 $(CARGO) test --test faults every_fault_at_every_entry_point

.PHONY: simulator-binary
simulator-binary:
	cd tests/simulator && go build -o ../../$(SIMULATOR) .

# A simulator for experiments: prints its address and its control port, and ends with Ctrl-C.
simulator: simulator-binary
	$(SIMULATOR)
