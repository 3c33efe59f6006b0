# `make help` lists what there is. ARGS goes to the program that is run: make run-server ARGS='--mode room'

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
PROGRAMS = localsocket-server localsocket-client localsocket-bench
MANPAGES = localsocket-server.1 localsocket-client.1
BUILD = $(CARGO) build --release --locked
TARGET = $${CARGO_TARGET_DIR:-target}

.PHONY: help run-server run-client build test check fmt doc install uninstall clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
	  printf '  make %-16s %s\n' "$$name" "$$what"; done

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

fmt: ## format the source
	$(CARGO) fmt

doc: ## build the documentation of the library
	$(CARGO) doc --locked --no-deps

install: build ## install the programs below PREFIX (and DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin
	for program in $(PROGRAMS); do install -m 755 $(TARGET)/release/$$program $(DESTDIR)$(PREFIX)/bin/ || exit 1; done

uninstall: ## remove them
	for program in $(PROGRAMS); do rm -f $(DESTDIR)$(PREFIX)/bin/$$program; done

clean: ## remove what was built
	$(CARGO) clean
