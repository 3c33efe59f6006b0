# `make help` lists the targets. ARGS goes to the program that is run: make run-server ARGS='--mode room'

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
PROGRAMS = localsocket-server localsocket-client localsocket-bench
BUILD = $(CARGO) build --release --locked
TARGET = $${CARGO_TARGET_DIR:-target}
STATIC ?= target/static
DEPLOY = src/deploy

BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man/man1
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR = $(PREFIX)/share/zsh/site-functions
FISHDIR = $(PREFIX)/share/fish/vendor_completions.d
UNITDIR ?= /etc/systemd/system
UNITS = localsocket@.service localsocket@.socket localsocket.service localsocket.socket
DROPINDIR = $(PREFIX)/share/localsocket
DROPINS = join.conf token.conf

.PHONY: help run-server run-client build test portable check lint cross bench fmt doc manuals chart recording package static image \
  containers install install-systemd uninstall uninstall-systemd clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run-server: ## run the server on 127.0.0.1:12345 (ARGS='--help' shows the options)
	@$(BUILD) --bin localsocket-server
	@exec $(TARGET)/release/localsocket-server $(ARGS)

run-client: ## run a client for it (ARGS='--name ada' logs in)
	@$(BUILD) --bin localsocket-client
	@exec $(TARGET)/release/localsocket-client $(ARGS)

build: ## build the programs, optimised
	$(BUILD)

test: ## run all tests
	$(CARGO) test --locked

# On Linux a preloaded library plays what else macOS does differently.
portable: ## run all tests with the part of src/os that macOS and the BSDs use
	@export CARGO_TARGET_DIR="$(TARGET)/portable" RUSTFLAGS='--cfg localsocket_portable -D warnings'; $(CARGO) test --locked || exit 1; \
	if [ "$$(uname)" != Linux ] || ! cc --version >/dev/null 2>&1; then \
	  echo 'skipped: the tests under the quirks of macOS need Linux and a C compiler'; exit 0; fi; \
	quirks=$$(cd "$$CARGO_TARGET_DIR" && pwd)/macos.so; cc -O1 -shared -fPIC -o "$$quirks" tests/macos.c -ldl && \
	echo 'once more, under the quirks of macOS' && \
	$(CARGO) test --locked --lib --bins --tests --config "target.'cfg(all())'.runner = ['env', 'LD_PRELOAD=$$quirks']"

check: test lint portable cross ## run everything that CI runs: tests, format, lints, documentation, dependencies, other systems

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings -D clippy::incompatible_msrv
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings -D clippy::incompatible_msrv
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps
	@extra=$$($(CARGO) tree --locked --edges all --depth 1 --prefix none | cut -d' ' -f1 | \
	  grep -vxE 'localsocket|log|env_logger|'); \
	  if [ -n "$$extra" ]; then echo "dependencies other than log and env_logger: $$extra"; exit 1; fi

# Type-checks for every other target whose standard library is installed (rustup target add ...). Needs no linker.
cross:
	@host=$$(rustc -vV | sed -n 's/^host: //p'); \
	for libs in "$$(rustc --print sysroot)"/lib/rustlib/*/lib; do \
	  triple=$$(basename "$$(dirname "$$libs")"); \
	  if [ "$$triple" = "$$host" ] || [ ! -d "$$libs" ]; then continue; fi; \
	  echo "checking for $$triple"; $(CARGO) check --locked --target "$$triple" || exit 1; done

bench: build ## measure servers over a fixed set of work, and print a table
	@src/bin/localsocket-bench/suite.sh $(TARGET)/release

fmt: ## format the source
	$(CARGO) fmt

doc: ## build the documentation of the library and the guide
	$(CARGO) doc --locked --no-deps

manuals: ## write manual pages and shell completions again, from the programs' tables of options
	LOCALSOCKET_REGENERATE=1 $(CARGO) test --locked --test suite -- generated

chart: ## draw the charts of the guide again, from its tables
	python3 src/guide/chart.py

recording: build ## play the session of the README again, and draw it
	python3 src/guide/recording.py $(TARGET)/release

package: ## pack the crate as it would be published, and build it from that
	$(CARGO) package --locked --allow-dirty

static: ## build fully static programs into STATIC, and check that they run in an empty root directory
	@host=$$(rustc -vV | sed -n 's/^host: //p'); triple=$$host; \
	musl=$$(echo "$$host" | sed 's/-gnu$$/-musl/'); \
	if [ -d "$$(rustc --print target-libdir --target "$$musl")" ]; then triple=$$musl; fi; \
	echo "building for $$triple"; \
	RUSTFLAGS='-C target-feature=+crt-static' $(BUILD) --target "$$triple" && \
	mkdir -p $(STATIC) && for program in $(PROGRAMS); do \
	  install -m 755 "$(TARGET)/$$triple/release/$$program" $(STATIC)/ || exit 1; done
	@root=$$(mktemp -d) && cp $(addprefix $(STATIC)/,$(PROGRAMS)) "$$root" && \
	enter=chroot && if [ "$$(id -u)" != 0 ]; then enter='unshare --user --map-root-user chroot'; fi && \
	for program in $(PROGRAMS); do $$enter "$$root" "/$$program" --version || exit 1; done; \
	status=$$?; rm -rf "$$root"; exit $$status
	@ls -l $(addprefix $(STATIC)/,$(PROGRAMS))

# The last stage of the Dockerfile alone, so that no base image is needed.
image: static ## build the container image `localsocket` from the static programs
	@mkdir -p $(STATIC)/empty
	sed -n '/^FROM scratch/,$$p' $(DEPLOY)/Dockerfile | sed 's/--from=build //; s|/out/||g' | \
	  docker build -t localsocket -f - $(STATIC)

containers: ## try the image and the compose files in a container engine
	@tests/containers/run.sh

# Copies only: under sudo there may be no cargo.
install: ## install what `make build` built, manual pages and completions below PREFIX (and DESTDIR)
	@for program in $(PROGRAMS); do if [ ! -x "$(TARGET)/release/$$program" ]; then \
	  echo "$(TARGET)/release/$$program is missing: run 'make build' first, without sudo" >&2; exit 1; fi; done
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR) $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	@for program in $(PROGRAMS); do \
	  install -m 755 "$(TARGET)/release/$$program" $(DESTDIR)$(BINDIR)/ && \
	  install -m 644 $(DEPLOY)/man/$$program.1 $(DESTDIR)$(MANDIR)/ && \
	  install -m 644 $(DEPLOY)/completions/localsocket.bash $(DESTDIR)$(BASHDIR)/$$program && \
	  install -m 644 $(DEPLOY)/completions/localsocket.zsh $(DESTDIR)$(ZSHDIR)/_$$program && \
	  install -m 644 $(DEPLOY)/completions/localsocket.fish $(DESTDIR)$(FISHDIR)/$$program.fish || exit 1; \
	  echo "installed $(DESTDIR)$(BINDIR)/$$program, its manual page and its completions"; done

install-systemd: ## install the systemd units, which run the programs in PREFIX, into UNITDIR, drop-ins below PREFIX
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(DROPINDIR)
	@for file in $(UNITS:%=$(UNITDIR)/%) $(DROPINS:%=$(DROPINDIR)/%); do \
	  sed 's|^ExecStart=localsocket|ExecStart=$(BINDIR)/localsocket|' $(DEPLOY)/systemd/$${file##*/} \
	    >$(DESTDIR)$$file || exit 1; done
	@echo 'now: systemctl daemon-reload && systemctl enable --now localsocket@kitchen.socket'

uninstall: ## remove what `make install` installed
	@for program in $(PROGRAMS); do \
	  rm -f $(DESTDIR)$(BINDIR)/$$program $(DESTDIR)$(MANDIR)/$$program.1 $(DESTDIR)$(BASHDIR)/$$program \
	    $(DESTDIR)$(ZSHDIR)/_$$program $(DESTDIR)$(FISHDIR)/$$program.fish; done

uninstall-systemd: ## remove the units (first: systemctl disable --now their names)
	@for file in $(UNITS:%=$(UNITDIR)/%) $(DROPINS:%=$(DROPINDIR)/%); do rm -f $(DESTDIR)$$file; done

clean: ## remove what was built
	$(CARGO) clean
