# `make help` lists what there is. ARGS goes to the program that is run: make run-server ARGS='--mode room'

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
PROGRAMS = localsocket-server localsocket-client localsocket-bench
MANPAGES = $(addsuffix .1,$(PROGRAMS))
BUILD = $(CARGO) build --release --locked
TARGET = $${CARGO_TARGET_DIR:-target}
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man/man1
UNITDIR ?= /etc/systemd/system
UNITS = localsocket.service localsocket.socket
STATIC ?= target/static

.PHONY: help run-server run-client build test bench check fmt doc static install install-systemd uninstall uninstall-systemd clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
	  printf '  make %-18s %s\n' "$$name" "$$what"; done

run-server: ## run the hub on 127.0.0.1:12345 (ARGS='--help' shows the options)
	@$(BUILD) --bin localsocket-server
	@exec $(TARGET)/release/localsocket-server $(ARGS)

run-client: ## talk to it (ARGS='--name ada' logs in)
	@$(BUILD) --bin localsocket-client
	@exec $(TARGET)/release/localsocket-client $(ARGS)

build: ## build the programs, optimised
	$(BUILD)

test: ## run all tests
	$(CARGO) test --locked

check: test ## what CI runs: tests, format, lints, documentation, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps
	@extra=$$($(CARGO) tree --locked --edges all --depth 1 --prefix none | cut -d' ' -f1 | \
	  grep -vxE 'localsocket|log|env_logger|'); \
	  if [ -n "$$extra" ]; then echo "dependencies beyond log and env_logger: $$extra"; exit 1; fi

bench: build ## measure servers that it starts over a fixed set of work, and print a table
	@src/bin/localsocket-bench/suite.sh $(TARGET)/release

fmt: ## format the source
	$(CARGO) fmt

doc: ## build the documentation of the library
	$(CARGO) doc --locked --no-deps

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

install: build ## install programs and manual pages below PREFIX (and DESTDIR)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)
	for program in $(PROGRAMS); do install -m 755 $(TARGET)/release/$$program $(DESTDIR)$(BINDIR)/ || exit 1; done
	install -m 644 $(addprefix src/deploy/,$(MANPAGES)) $(DESTDIR)$(MANDIR)/

install-systemd: ## install the systemd units, which run what is in PREFIX, into UNITDIR (and DESTDIR)
	install -d $(DESTDIR)$(UNITDIR)
	for unit in $(UNITS); do sed 's|@BINDIR@|$(BINDIR)|' src/deploy/$$unit >$(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	@echo 'now: systemctl daemon-reload && systemctl enable --now localsocket.socket'

uninstall: ## remove what `make install` has put there
	for program in $(PROGRAMS); do rm -f $(DESTDIR)$(BINDIR)/$$program; done
	for page in $(MANPAGES); do rm -f $(DESTDIR)$(MANDIR)/$$page; done

uninstall-systemd: ## remove the units (after systemctl disable --now localsocket.socket localsocket.service)
	for unit in $(UNITS); do rm -f $(DESTDIR)$(UNITDIR)/$$unit; done

clean: ## remove what was built
	$(CARGO) clean
