# pgsweep: build, test, install. `make help` lists the targets.
# Variables a packager sets: CC CFLAGS CPPFLAGS LDFLAGS prefix DESTDIR; a developer: BUILD SANITIZE=1.
# V=1 shows the commands.

VERSION := 0.1.0
# When the sources were written: a clock that is earlier than that is wrong (src/base/clock_check.c). Not the time of the build, which
# would make each build another one.
BUILT   := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),$(shell stat -c %Y CHANGELOG.md))
BUILD   ?= build
# Always by the same name: what the compiler notes about headers names its objects as they were called then.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
# One spelling: what make knows of headers is kept by the names of objects.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
mandir  ?= $(prefix)/share/man
docdir  ?= $(prefix)/share/doc/pgsweep
unitdir ?= $(prefix)/lib/systemd/system
# Where each shell looks for completion scripts.
bashdir ?= $(prefix)/share/bash-completion/completions
zshdir  ?= $(prefix)/share/zsh/site-functions
fishdir ?= $(prefix)/share/fish/vendor_completions.d
CFLAGS  ?= -O2 -g
PKGS    := libpq talloc yaml-0.1 jansson libcurl expat libcrypto

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wformat=2 -Wundef -Wconversion -Wno-sign-conversion
ALL_CPPFLAGS := -Iinclude -DPGSWEEP_VERSION='"$(VERSION)"' -D_FORTIFY_SOURCE=2 \
        $(shell pkg-config --cflags $(PKGS) 2>/dev/null) \
        -isystem $(shell pkg-config --variable=includedir libpq 2>/dev/null)/internal $(CPPFLAGS)
ALL_CFLAGS := -std=c11 -pthread -fPIE -fstack-protector-strong $(WARN) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
ifdef SANITIZE
ALL_CPPFLAGS := $(filter-out -D_FORTIFY_SOURCE=2,$(ALL_CPPFLAGS))
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
ifdef WERROR
ALL_CFLAGS += -Werror
endif

SOURCES  := $(filter-out src/main.c,$(wildcard src/*/*.c))
EMBEDDED := $(sort $(wildcard src/policies/*.yaml) $(wildcard src/sql/*.sql) $(wildcard src/cli/completion.*sh))
OBJECTS  := $(SOURCES:src/%.c=$(BUILD)/%.o) $(BUILD)/embedded.o
BIN      := $(BUILD)/pgsweep

ifndef V
say = @echo '$(1) $(2)';
endif

.PHONY: all help
all: $(BIN)

help:
	@echo 'make            build $(BIN)'
	@echo 'make check      install what is missing, build, run every test on a throwaway PostgreSQL'
	@echo 'make check-versions [VERSIONS="12 18"]   a part of the tests on servers of other major versions, fetched with npm'
	@echo 'make golden     write tests/golden anew: the SQL of each policy, to be reviewed as a diff'
	@echo 'make demo       show the main job on a throwaway PostgreSQL with sample data'
	@echo 'make bench      measure pgsweep against the alternatives, side by side'
	@echo 'make lint       include rules, format, clang-tidy, cppcheck, shellcheck'
	@echo 'make format     the C code in the format of .clang-format'
	@echo 'make install    install (prefix=$(prefix), DESTDIR=$(DESTDIR)); make uninstall undoes it'
	@echo 'make clean      remove $(BUILD)'

$(BIN): $(BUILD)/main.o $(OBJECTS)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# The policies, the SQL and the scripts of shell completion are files of their own, and part of the binary.
$(BUILD)/embedded.c: tools/embed.awk $(EMBEDDED)
	@mkdir -p $(@D)
	$(call say,GEN,$@)awk -f tools/embed.awk $(EMBEDDED) </dev/null > $@.new && mv $@.new $@

$(BUILD)/embedded.o: $(BUILD)/embedded.c
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/base/clock_check.o: ALL_CPPFLAGS += -DPGSWEEP_BUILT=$(BUILT)
$(BUILD)/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Unit tests: one program per tests/unit/test_*.c, linked with everything but main.
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)
$(BUILD)/unit/%: tests/unit/%.c $(OBJECTS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(OBJECTS) $(LIBS) $(shell pkg-config --libs check)

# Fuzz tests: one program per tests/fuzz/fuzz_*.c, with a driver of its own (see tests/fuzz/fuzz.h).
FUZZ_TESTS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
.PHONY: fuzz-tests
fuzz-tests: $(FUZZ_TESTS)
$(BUILD)/fuzz/%: tests/fuzz/%.c $(OBJECTS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(OBJECTS) $(LIBS)

.PHONY: check check-versions golden demo bench lint format clean install uninstall
check:
	BUILD='$(BUILD)' tests/run.sh

check-versions:
	BUILD='$(BUILD)' tests/versions.sh $(VERSIONS)

golden:
	BUILD='$(BUILD)' tests/run.sh --golden

demo:
	BUILD='$(BUILD)' tools/demo.sh

bench:
	BUILD='$(BUILD)' tests/bench/run.sh

lint:
	tools/lint.sh

# Version 14 is Debian 12's; others format some lines differently.
format:
	find src include tests -name '*.[ch]' -exec clang-format-14 -i {} +

clean:
	rm -rf '$(BUILD)'

$(BUILD)/completion/%: $(BIN)
	@mkdir -p $(@D)
	$(call say,GEN,$@)$(BIN) completion $* > $@.new && mv $@.new $@

# What is installed, as pairs SOURCE:TARGET; uninstall removes the same. The unit files and the crontab
# name the binary by its path.
PROGRAMS  := $(BIN):$(bindir)/pgsweep
COMPLETION := $(BUILD)/completion/bash:$(bashdir)/pgsweep $(BUILD)/completion/zsh:$(zshdir)/_pgsweep \
        $(BUILD)/completion/fish:$(fishdir)/pgsweep.fish
FILES     := $(foreach n,1 5,$(foreach f,$(wildcard man/*.$n),$(f):$(mandir)/man$n/$(notdir $(f)))) $(COMPLETION) \
        $(foreach f,README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md SECURITY.md LICENSE,$(f):$(docdir)/$(f)) \
        $(foreach f,$(wildcard docs/*.md),$(f):$(docdir)/$(f)) \
        $(foreach f,$(wildcard src/policies/*.yaml),$(f):$(docdir)/policies/$(notdir $(f)))
WITH_PATH := packaging/crontab:$(docdir)/crontab \
        $(foreach f,$(wildcard systemd/*),$(f):$(unitdir)/$(notdir $(f)))

install: $(BIN) $(foreach pair,$(COMPLETION),$(firstword $(subst :, ,$(pair))))
	@set -e; put() { echo "install '$$3'"; mkdir -p "$${3%/*}"; install -m "$$1" "$$2" "$$3"; }; \
	for pair in $(PROGRAMS); do put 755 "$${pair%%:*}" "$(DESTDIR)$${pair#*:}"; done; \
	for pair in $(FILES); do put 644 "$${pair%%:*}" "$(DESTDIR)$${pair#*:}"; done; \
	for pair in $(WITH_PATH); do put 644 "$${pair%%:*}" "$(DESTDIR)$${pair#*:}"; \
	    sed -i 's|@bindir@|$(bindir)|' "$(DESTDIR)$${pair#*:}"; done

uninstall:
	@set -e; for pair in $(PROGRAMS) $(FILES) $(WITH_PATH); do \
	    echo "rm '$(DESTDIR)$${pair#*:}'"; rm -f "$(DESTDIR)$${pair#*:}"; done; \
	for dir in '$(DESTDIR)$(docdir)/policies' '$(DESTDIR)$(docdir)/docs' '$(DESTDIR)$(docdir)'; do \
	    [ ! -d "$$dir" ] || rmdir --ignore-fail-on-non-empty "$$dir"; done

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
