# Thin on purpose: each target is a few lines that call the tool which does the work.

CARGO ?= cargo
SIMULATOR = target/simulator/simulator
HEADER = $$(ls -t target/debug/build/vsession-*/out/vsession.h | head -1)

.PHONY: all demo test proof bench generated simulator install-tools lint sbom release coverage

# The paths of the machine that builds stay out of the library: the same sources, Cargo.lock and compilers give the same
# library in any folder, which tests/reproducible.sh holds. Debuggers find the sources after `set substitute-path`.
CARGO_FOLDER = $(or $(CARGO_HOME),$(HOME)/.cargo)
RUST_SOURCES = $(shell rustc --print sysroot)/lib/rustlib/src/rust
RUST_COMMIT = $(shell rustc -vV | sed -n 's/^commit-hash: //p')
WITHOUT_PATHS = --config "build.rustflags = [ \
	'--remap-path-prefix=$(CURDIR)=/vsession', \
	'--remap-path-prefix=$(CARGO_FOLDER)=/cargo', \
	'--remap-path-prefix=$(RUST_SOURCES)=/rustc/$(RUST_COMMIT)']"

# Programs look for the library by its SONAME.
all:
	CC_SHELL_ESCAPED_FLAGS=1 CFLAGS="$(CFLAGS) '-ffile-prefix-map=$(CARGO_FOLDER)=/cargo'" \
		$(CARGO) build --release $(WITHOUT_PATHS)
	ln -sf libvsession.so target/release/libvsession.so.0

# The library against the simulator, or against a real server with URL=https://user:pass@host/sdk.
demo: all simulator-binary
	tests/demo.sh $(URL)

# The files of tests/rust that concern replies and sessions. They run a second time, against replies as vCenter 9.0.1 sends them;
# the other files would show nothing new.
ABOUT_REPLIES = $(addsuffix ::,asynchronous credentials ending errors events exchanged flaws http login memory readers refused \
	relogin secrets)

# Everything that there is to test; installs what it needs.
test: install-tools lint simulator-binary
	$(CARGO) test
	VSESSION_TEST_LIKE=9.0.1 $(CARGO) test --test acceptance -- $(ABOUT_REPLIES)
	$(CARGO) test --test faults
	$(MAKE) all
	tests/models/run.py
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

# Compares the library with its peers and writes docs/benchmarks.md; takes a quarter of an hour.
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

# What came into the library, beside it: target/release/libvsession.cdx.json.
sbom: all
	tests/supply.sh sbom

# What a release consists of, after what it must pass; the tests are run before. See CONTRIBUTING.md.
release: all
	tests/supply.sh
	tests/reproducible.sh
	tests/supply.sh sbom
	cd target/release && sha256sum libvsession.so libvsession.a libvsession.cdx.json >libvsession.sha256

# What the suites reach, into docs/coverage.md; takes some minutes.
coverage: install-tools simulator-binary
	tests/coverage/run.sh; status=$$?; cp target/coverage/coverage.md docs/coverage.md; exit $$status

install-tools:
	tests/install-tools.sh

# Writes what is generated and committed: the header, the tables of its functions for the C tests, the table of options, what
# faults look like.
generated:
	$(CARGO) build
	cp "$(HEADER)" include/vsession.h
	tests/abi/check.py update
	VSESSION_UPDATE_GENERATED=1 $(CARGO) test --lib the_documented_page_is_current
	VSESSION_UPDATE_GENERATED=1 $(CARGO) test --test faults every_fault_at_every_entry_point

.PHONY: simulator-binary
simulator-binary:
	cd tests/simulator && go build -o ../../$(SIMULATOR) .

# A simulator to play with: prints its address and its control port, ends with Ctrl-C.
simulator: simulator-binary
	$(SIMULATOR)
