# hooklatch: `make help` lists what can be made. Everything that is made goes to build/.
#   make V=1          shows the commands          make CC=clang-14   builds with clang
#   make BUILD=…      another build directory     make VARIANT=asan|tsan|memcheck|coverage   for sanitizers, valgrind, gcov

CC      ?= gcc
BUILD   ?= build
PREFIX  ?= /usr/local
VARIANT ?=
VERSION := 0.1.0
Q       := $(if $(V),,@)

PACKAGES := libevent libevent_pthreads openssl sqlite3 libfyaml jansson libcurl libxxhash zlib
$(foreach package,$(PACKAGES),$(if $(shell pkg-config --exists $(package) && echo yes),,\
  $(error The library $(package) is missing. scripts/deps installs all that building needs)))
LIBRARIES := libevent_core openssl sqlite3 libfyaml jansson libcurl libxxhash zlib

IS_CLANG := $(findstring clang,$(shell $(CC) --version | head -1))

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Werror \
	-Wmissing-prototypes -Wredundant-decls -Wvla -Wframe-larger-than=16384 -Wcast-qual -Wwrite-strings \
	-Wformat=2 -Wundef -Wpointer-arith -Wimplicit-fallthrough -Wdate-time
ifneq ($(IS_CLANG),)
WARNINGS += -Wthread-safety -Wconditional-uninitialized -Wassign-enum -Wmissing-variable-declarations -Wcomma
else
WARNINGS += -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wformat-signedness -Wcast-align=strict
endif

HARDENING := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDHARDENING := -pie -Wl,-z,relro,-z,now
OPTIMISE := -O2 -g
ifeq ($(VARIANT),asan)
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
HARDENING := -fPIE
else ifeq ($(VARIANT),tsan)
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
HARDENING := -fPIE
else ifeq ($(VARIANT),memcheck)
# valgrind takes a checked memmove() for a memcpy(), and asks for more than a confined thread may.
OPTIMISE := -O1 -g
HARDENING := -fPIE
CPPFLAGS += -DHOOKLATCH_UNCONFINED
else ifeq ($(VARIANT),coverage)
OPTIMISE := -O0 -g --coverage -fprofile-update=atomic
HARDENING := -fPIE
WARNINGS += -Wno-frame-larger-than
else
HARDENING += -D_FORTIFY_SOURCE=3 $(if $(IS_CLANG),,-ftrivial-auto-var-init=zero)
endif

CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD) -DHOOKLATCH_VERSION='"$(VERSION)"'
CFLAGS   += -std=c17 $(OPTIMISE) $(HARDENING) $(WARNINGS) -pthread $(shell pkg-config --cflags $(LIBRARIES))
LDFLAGS  += $(filter -fsanitize=% -O% --coverage,$(OPTIMISE)) $(LDHARDENING) -pthread
LDLIBS   += $(shell pkg-config --libs $(LIBRARIES))

SOURCES    := $(shell find receiver handlers -name '*.c' | LC_ALL=C sort)
MIGRATIONS := $(sort $(wildcard migrations/*.sql))
OBJECTS    := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/migrations.o
ROOMS      := $(filter-out $(BUILD)/receiver/main.o,$(OBJECTS))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(shell find tests/unit -name '*_test.c' | LC_ALL=C sort))

.PHONY: all
all: $(BUILD)/hooklatch $(BUILD)/man/hooklatch.yaml.5

$(BUILD)/hooklatch: $(OBJECTS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

ifeq ($(VARIANT),coverage)
$(BUILD)/hooklatch: $(BUILD)/tests/coverage/leave.o
$(BUILD)/hooklatch: LDFLAGS += -Wl,--wrap=_exit
endif

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/migrations.o: $(BUILD)/migrations.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/migrations.c: $(MIGRATIONS) scripts/embed-migrations
	@mkdir -p $(@D)
	@echo "  EMBED $@"
	$(Q)scripts/embed-migrations $(MIGRATIONS) > $@.new && mv $@.new $@

$(BUILD)/man/hooklatch.yaml.5: receiver/man/hooklatch.yaml.5 $(BUILD)/hooklatch
	@mkdir -p $(@D)
	@echo "  MAN   $@"
	$(Q)awk '/^\.\\" KEYS/ { while (("$(BUILD)/hooklatch config schema --manual" | getline line) > 0) print line; next } { print }' $< > $@.new && mv $@.new $@

$(BUILD)/tests/unit/%_test: $(BUILD)/tests/unit/%_test.o $(ROOMS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Only what is pure: a schedule that needs more than this does not link.
SIMULATED := $(addprefix $(BUILD)/receiver/,$(addprefix dispatch/,schedule.o breaker.o budget.o backoff.o window.o slots.o) \
	$(addprefix base/,bytes.o error.o random.o) model/delivery.o)
SIMULATOR := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/simulator/*.c)))

$(BUILD)/tests/simulator/simulator: $(SIMULATOR) $(SIMULATED)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lm

# The store's own code on a disk in memory: what it asks of the system, for its files and for the time, ends there.
TORN       := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/faults/torn/*.c)))
TORN_ROOMS := $(filter $(foreach room,base log metrics model sandbox store,$(BUILD)/receiver/$(room)/%) $(BUILD)/migrations.o,$(ROOMS))
TORN_CALLS := open close pread pwrite fstat stat access fsync ftruncate unlink statfs flock fallocate \
	clock_wall_ns clock_boot_ns statements_prepare gather_vfs

$(BUILD)/tests/faults/torn/torn: $(TORN) $(TORN_ROOMS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(TORN_CALLS:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)

.PHONY: help clean install unit simulate test check sanitize coverage bench bench-programs profile fuzz negative fault-programs faults soak

help:
	@echo 'make            builds $(BUILD)/hooklatch'
	@echo 'make unit       builds and runs the unit tests'
	@echo 'make simulate   plays a million deliveries through virtual faults'
	@echo 'make test       everything that scripts/test runs'
	@echo 'make check      format, lint, rooms, manual pages'
	@echo 'make sanitize   builds with ASan+UBSan and TSan and runs the suite on both'
	@echo 'make faults     brings every row of the fault matrix about at length, and prints the scorecard'
	@echo 'make soak       HOURS=n SEED=s: faults of all kinds, mixed, beside load; the record goes to $(BUILD)/faults/soak.jsonl'
	@echo 'make coverage   prints what the tests reach of net, verify, store and dispatch (gcov -b)'
	@echo 'make bench      BENCH="--chapters A,B --write": measures beside others on this machine, and prints the report'
	@echo 'make profile    where each microsecond of a received event goes (perf), its system calls and allocations'
	@echo 'make negative   builds the programs that must be caught: each breaks one promise'
	@echo 'make fuzz       SECONDS=n for each target: fuzzes parsers from the kept corpus'
	@echo 'make install    DESTDIR= PREFIX=/usr/local'

clean:
	rm -rf $(BUILD)

install: all
	install -D -m 0755 $(BUILD)/hooklatch $(DESTDIR)$(PREFIX)/bin/hooklatch
	install -D -m 0644 receiver/man/hooklatch.1 $(DESTDIR)$(PREFIX)/share/man/man1/hooklatch.1
	install -D -m 0644 $(BUILD)/man/hooklatch.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/hooklatch.yaml.5

unit: $(UNIT_TESTS)
	$(Q)failed=0; for test in $(UNIT_TESTS); do $$test || failed=1; done; exit $$failed

simulate: $(BUILD)/tests/simulator/simulator
	$(BUILD)/tests/simulator/simulator $(SIMULATE)

test:
	scripts/test

check:
	scripts/check

sanitize:
	scripts/sanitize

coverage:
	scripts/coverage

BENCH_SOURCES := $(wildcard tests/bench/*.c)

PEERS := tests/bench/peers/node_modules/.package-lock.json

# What the system allows by itself; beside it stands what hooklatch reaches.
LIMITS := $(addprefix $(BUILD)/tests/bench/limits/,spawn requests commits sink)

# Counts allocations: see tests/bench/chapters/profile.mjs.
ALLOCATIONS := $(BUILD)/tests/bench/profile/allocations.so

$(ALLOCATIONS): tests/bench/profile/allocations_preload.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -shared -fPIC -o $@ $<

bench-programs: $(BUILD)/hooklatch $(BUILD)/tests/bench/load $(LIMITS) $(ALLOCATIONS) $(BUILD)/tests/bench/refusal/refusal

bench: bench-programs $(PEERS)
	$(Q)scripts/packages nginx-light redis-server webhook strace linux-perf sqlite3 openssl util-linux
	node tests/bench/run.mjs --hooklatch $(BUILD)/hooklatch --load $(BUILD)/tests/bench/load $(BENCH)
	$(BUILD)/tests/bench/refusal/refusal

profile: bench-programs
	$(Q)scripts/packages nginx-light strace linux-perf sqlite3 openssl util-linux
	node tests/bench/run.mjs --hooklatch $(BUILD)/hooklatch --load $(BUILD)/tests/bench/load --chapters profile

$(LIMITS): %: %.o $(BUILD)/tests/bench/limits/threads.o
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs sqlite3 libcurl)

# better-sqlite3 is compiled here; the system's own headers of Node.js will do.
$(PEERS): tests/bench/peers/package-lock.json
	$(Q)scripts/packages g++ python3 $(shell command -v npm >/dev/null || echo nodejs npm libnode-dev)
	@echo "  NPM   $(@D)"
	$(Q)cd tests/bench/peers && npm ci --silent --no-audit --no-fund \
		$$(test ! -e /usr/include/node/node.h || echo --nodedir=/usr) && touch node_modules/.package-lock.json

$(BUILD)/tests/bench/refusal/refusal: $(BUILD)/tests/bench/refusal/main.o $(ROOMS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lm

$(BUILD)/tests/bench/load: $(BENCH_SOURCES) $(wildcard tests/bench/*.h)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(BENCH_SOURCES) $(shell pkg-config --libs openssl) -lm

# The request parser by itself, for tests/faults/parser.test.mjs.
$(BUILD)/tests/faults/parser: $(BUILD)/tests/faults/parser.o $(addprefix $(BUILD)/receiver/,net/http1_head.o net/http1_body.o base/bytes.o base/error.o base/field.o)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

fuzz:
	tests/fuzz/run $(SECONDS)

# What the fault tests run, beside the program itself.
fault-programs: all negative $(BUILD)/tests/faults/torn/torn $(BUILD)/tests/faults/parser

faults: fault-programs
	node tests/faults/scorecard.mjs --markdown $(BUILD)/faults/scorecard.md $(if $(INTO),--into $(INTO))

soak: all
	HOOKLATCH_SOAK_SECONDS=$$(awk 'BEGIN { print int(3600 * $(or $(HOURS),1)) }') HOOKLATCH_SEED=$(SEED) \
		node --test --test-reporter=spec tests/faults/soak.test.mjs

# Builds that break one promise on purpose: the suites must catch each of them. All of a control is $(BUILD)'s but for one object,
# which is compiled with -DHOOKLATCH_NEGATIVE_NAME (in its source it is the one line that matters), or is another one, or an additional one.
#   control NAME OBJECT
define control
negative: $(BUILD)/negative/$(1)/hooklatch

$(BUILD)/negative/$(1)/hooklatch: $(BUILD)/negative/$(1)/$(2) $(filter-out $(BUILD)/$(2),$(OBJECTS))
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS)

$(BUILD)/negative/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CPPFLAGS) -DHOOKLATCH_NEGATIVE_$$(shell echo $(1) | tr a-z- A-Z_) $$(CFLAGS) -MMD -MP -c -o $$@ $$<
endef

$(eval $(call control,answer-before-commit,receiver/store/sqlite/writer.o))
$(eval $(call control,synchronous-normal,receiver/store/sqlite/open.o))
$(eval $(call control,sync-stubbed,tests/faults/sync_stubbed.o))
$(eval $(call control,unique-index-dropped,migrations.o))
$(eval $(call control,half-signature,receiver/verify/signature.o))
$(eval $(call control,counted-after,receiver/store/sqlite/intents.o))
$(eval $(call control,budget-ignored,receiver/dispatch/budget.o))
$(eval $(call control,wal-scan-off,receiver/store/sqlite/wal_scan.o))
$(eval $(call control,lenient-length,receiver/net/http1_head.o))

DROPPED := $(BUILD)/negative/unique-index-dropped

$(DROPPED)/migrations.c: $(MIGRATIONS) scripts/embed-migrations
	@mkdir -p $(@D)
	$(Q)cp $(MIGRATIONS) $(@D) && sed -i 's/UNIQUE (source, event_id)/CHECK (true)/' $(MIGRATIONS:migrations/%=$(@D)/%)
	$(Q)scripts/embed-migrations $(MIGRATIONS:migrations/%=$(@D)/%) > $@.new && mv $@.new $@

$(DROPPED)/migrations.o: $(DROPPED)/migrations.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
