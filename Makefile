# The few words that people and CI run. `make help` lists them.
SHELL  := /bin/sh
ARCH   := $(shell uname -m)
# Where cargo puts what it builds, and where our four programs are gathered.
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN    := $(CURDIR)/target/bin
PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
FUZZ_SECONDS ?= 60
DESTDIR ?=
PROGRAMS := knarr knarrd containerd-shim-knarr-v2 knarr-runtime

# PROGRAM=PACKAGE: what a fresh Debian 12 with Rust lacks. Installed only when the program is missing.
BUILD_TOOLS := cc=gcc ld=binutils
DEMO_TOOLS  := busybox=busybox-static debootstrap=debootstrap docker-registry=docker-registry skopeo=skopeo umoci=umoci setfattr=attr
TEST_TOOLS  := $(DEMO_TOOLS) runc=runc crun=crun containerd=containerd jq=jq unshare=util-linux strace=strace ps=procps \
	qemu-system-x86_64=qemu-system-x86 mmdebstrap=mmdebstrap cpio=cpio mke2fs=e2fsprogs dpkg-deb=dpkg dockerd=docker.io podman=podman criu=criu
BENCH_TOOLS := $(TEST_TOOLS) time=time conmon=conmon musl-gcc=musl-tools

# libc's headers come with no program of their own name.
HEADERS := $(if $(wildcard /usr/include/stdlib.h),,no-such-program=libc6-dev)

.DEFAULT_GOAL := help
.PHONY: help build test lint demo bench fuzz install deb clean

help: ## Lists these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## Builds the four programs into target/bin (runtime and shim static and small)
	@tests/install-tools.sh $(BUILD_TOOLS) $(HEADERS)
	cargo build --release -p knarr -p knarrd
	@mkdir -p $(BIN)
	@set -e; musl=$(ARCH)-unknown-linux-musl; gnu=$(ARCH)-unknown-linux-gnu; \
	if rustup target list --installed 2>/dev/null | grep -qx $$musl || rustup target add $$musl; then target=$$musl; \
	else echo "no $$musl to be had: static against glibc instead"; target=$$gnu; \
	     export RUSTFLAGS="$${RUSTFLAGS:-} -C target-feature=+crt-static"; fi; \
	set -x; cargo build --profile small --target $$target -p knarr-runtime -p containerd-shim-knarr-v2; \
	cp -f $(TARGET)/$$target/small/knarr-runtime $(TARGET)/$$target/small/containerd-shim-knarr-v2 $(BIN)/; \
	cp -f $(TARGET)/release/knarr $(TARGET)/release/knarrd $(BIN)/

test: build ## Runs every test; the last line is `N passed, N failed, N skipped`
	@tests/install-tools.sh $(TEST_TOOLS)
	@KNARR_BIN_DIR=$(BIN) tests/run.sh

lint: ## Formatting, clippy without warnings, licences and advisories (when cargo-deny is installed)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cd fuzz && RUSTFLAGS="--cfg fuzzing" cargo check --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny check; \
	else echo "cargo-deny is not installed: tests/tidy alone checks the licences (cargo install cargo-deny --locked)"; fi

demo: build ## Shows a real image go from a registry to an exit status, then removes all it made
	@tests/install-tools.sh $(DEMO_TOOLS)
	@KNARR_BIN_DIR=$(BIN) tests/demo.sh

bench: build ## Measures ours beside runc, crun and containerd in one run, and prints the tables
	@tests/install-tools.sh $(BENCH_TOOLS)
	@KNARR_BIN_DIR=$(BIN) cargo run --release --quiet -p knarr-tests --bin bench

fuzz: ## Runs each fuzz target for FUZZ_SECONDS=60 (needs a nightly Rust and `cargo install cargo-fuzz`)
	@set -e; cd fuzz; for target in spec resources state seccomp ids user dockerfile; do mkdir -p corpus/$$target; set -x; \
	cargo +nightly fuzz run --fuzz-dir . --sanitizer none $$target corpus/$$target seeds/$$target -- \
	-max_total_time=$(FUZZ_SECONDS); { set +x; } 2>/dev/null; done

install: build ## Installs programs, units, man pages and completions (PREFIX=/usr/local, DESTDIR=)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(PROGRAMS:%=$(BIN)/%) $(DESTDIR)$(PREFIX)/bin/
	for unit in packaging/*.service packaging/*.socket; do \
	    sed 's|/usr/bin/|$(PREFIX)/bin/|g' $$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; done
	packaging/documents.sh $(BIN) $(DESTDIR)$(PREFIX)/share

deb: build ## Packs the same as a Debian package, target/knarr_VERSION_ARCH.deb
	packaging/deb.sh $(BIN) $(VERSION) target/knarr_$(VERSION)_$$(dpkg --print-architecture).deb

clean: ## Removes what was built
	cargo clean
	rm -rf $(BIN)
