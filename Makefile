# SPDX-License-Identifier: ISC
# consign: `make help` says what each target does.

ifeq ($(origin CC),default)
CC       := gcc
endif
PREFIX   ?= /usr/local
DESTDIR  ?=
V        ?= 0
SANITIZE ?= 0
PACKAGED ?= 1
BUILD    := $(if $(filter 1,$(SANITIZE)),build/sanitize,build)
T        ?=
JOBS     := $(shell nproc)
MAKEFLAGS += -j$(JOBS) --no-builtin-rules

# Debian packages: to build, to test, to lint, to measure. `all`, `check`, `demo`, `lint` and `perf` install what is
# missing of theirs; PACKAGED=0 leaves that to you.
MACHINE     := $(shell uname -m)
NEEDS_build := gcc libc6-dev pkg-config libgnutls28-dev libp11-kit-dev zlib1g-dev libpopt-dev \
               libseccomp-dev libjansson-dev $(if $(filter x86_64,$(MACHINE)),libipsec-mb-dev) \
               $(if $(filter x86_64 aarch64,$(MACHINE)),libisal-dev)
NEEDS_test  := perl procps e2fsprogs libcmocka-dev sharness softhsm2 opensc gnutls-bin openssl python3 faketime \
               python3-libtorrent opencryptoki p11-kit attr acl clang libclang-rt-dev
NEEDS_lint  := clang-format clang-tidy cppcheck shellcheck pyflakes3
NEEDS_perf  := python3 openssl softhsm2 procps util-linux iproute2 linux-perf gnuplot-nox diffutils openssh-client \
               openssh-server rsync stunnel4 curl nginx-light globus-gridftp-server-progs \
               globus-gass-copy-progs rclone xrootd-server xrootd-server-plugins xrootd-client xrootd-client-plugins

# Looked up on first use, as pkg-config may have to be installed first.
PKGS       := gnutls p11-kit-1 popt libseccomp zlib jansson
PKG_CFLAGS  = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS    = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
# The multi-buffer hash engine is built in where its library is found.
IPSEC_MB    = $(eval IPSEC_MB := $(shell test ! -e /usr/include/intel-ipsec-mb.h || echo 1))$(IPSEC_MB)
# So is ISA-L's compression; `make ISAL=` builds with zlib's alone.
ISAL        = $(eval ISAL := $(shell test ! -e /usr/include/isa-l/igzip_lib.h || echo 1))$(ISAL)

WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wformat=2 -Wimplicit-fallthrough -Wpointer-arith -Wundef -Werror
HARDEN   := -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero \
            -fno-strict-aliasing -fno-strict-overflow -fPIE
ifneq ($(filter x86_64 i686,$(MACHINE)),)
HARDEN   += -fcf-protection=full
endif
ifeq ($(SANITIZE),1)
OPT      := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
OPT      := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
INCLUDE   = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Icommon $(if $(IPSEC_MB),-DHAVE_IPSEC_MB) \
            $(if $(ISAL),-DHAVE_ISAL) $(PKG_CFLAGS)
COMPILE   = $(CC) -std=gnu11 $(INCLUDE) $(CPPFLAGS) $(OPT) $(WARN) $(HARDEN) $(CFLAGS)
LINK      = $(CC) $(OPT) -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed $(LDFLAGS)
LIBS      = $(PKG_LIBS) $(if $(IPSEC_MB),-lIPSec_MB) $(if $(ISAL),-lisal) $(LDLIBS)

COMMON := $(wildcard common/*.c)
CLIENT := $(wildcard client/*.c)
SERVER := $(wildcard server/*.c)
PKI    := $(wildcard pki/*.c)
UNIT   := $(wildcard t/unit/test_*.c)
MAINS  := client/consign.c server/consignd.c pki/consign-pki.c

obj     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB    := $(BUILD)/libconsign.a
BIN    := $(BUILD)/consign $(BUILD)/consignd $(BUILD)/consign-pki
TESTS  := $(patsubst t/unit/test_%.c,$(BUILD)/t/unit/%.t,$(UNIT))
FAULT  := $(BUILD)/t/fault/consign-fault.so
DISK   := $(BUILD)/t/fault/consign-disk.so
Q      := $(if $(filter 1,$(V)),,@)
say     = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' $(1) $(2);)

having = $(if $(filter 1,$(PACKAGED)),$(BUILD)/.needs-$(1))

.PHONY: help deps all perf fuzz demo demo-server check attack check-large soak lint lint-format lint-shell lint-python lint-cppcheck lint-tidy hdr-check \
        install uninstall clean dist
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BIN) ## builds the three programs into build/

help: ## says what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

deps: ## installs every Debian package needed to build, test and lint
	@.ci/deps make $(NEEDS_build) $(NEEDS_test) $(NEEDS_lint)

# Made again with the Makefile, as the lists may have changed.
$(BUILD)/.needs-%: Makefile
	@mkdir -p $(@D)
	@.ci/deps $(NEEDS_$*) && touch $@
# One at a time.
$(BUILD)/.needs-test: $(BUILD)/.needs-build
$(BUILD)/.needs-lint: $(BUILD)/.needs-test

demo: all $(call having,test) ## shows what it does in a minute, in a folder of its own
	@BUILD=$(BUILD) contrib/demo/demo.sh

PERF := $(patsubst t/perf/%.c,$(BUILD)/t/perf/%,$(wildcard t/perf/*.c))
perf: all $(PERF) $(call having,perf) ## measures beside other tools, as root (t/perf/run.py); ROWS="big small": some rows
	@BUILD=$(BUILD) t/perf/run.py
$(PERF): $(BUILD)/t/perf/%: $(BUILD)/obj/t/perf/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(LIBS)

# Fuzz targets, built by clang with its sanitizers, in build/fuzz in any case.
FUZZERS  := $(patsubst t/fuzz/fuzz_%.c,%,$(wildcard t/fuzz/fuzz_*.c))
FUZZ_BIN := $(FUZZERS:%=build/fuzz/bin/%)
FUZZ_CC   = clang -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_LIB := $(patsubst %,build/fuzz/lib-%.a,fuzz unit client server pki common)
SECONDS  ?= 60
fuzz: $(FUZZ_BIN) ## runs the fuzzers of t/fuzz, SECONDS=60 each; F=NAME...: some (t/fuzz/run.sh)
	@FUZZ_SECONDS=$(SECONDS) t/fuzz/run.sh long $(or $(F),$(FUZZERS))
$(FUZZ_BIN): build/fuzz/bin/%: build/fuzz/obj/t/fuzz/fuzz_%.o $(FUZZ_LIB)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@) $(FUZZ_CC) -fsanitize=fuzzer $(FUZZ_LINK) -o $@ $< -Wl,--start-group $(FUZZ_LIB) -Wl,--end-group $(LIBS)
# What else it brings in needs TLS itself, and gets t/fuzz/transport.c's.
build/fuzz/bin/answers: FUZZ_LINK = -Wl,-z,muldefs
build/fuzz/obj/%.o: %.c | $(call having,test)
	@mkdir -p $(@D)
	$(call say,FUZZ,$<) $(FUZZ_CC) -fsanitize=fuzzer-no-link -std=gnu11 $(INCLUDE) -MMD -MP -c -o $@ $<
fuzz_obj  = $(patsubst %.c,build/fuzz/obj/%.o,$(1))
build/fuzz/lib-fuzz.a: $(call fuzz_obj,$(filter-out t/fuzz/fuzz_%,$(wildcard t/fuzz/*.c)))
build/fuzz/lib-unit.a: $(call fuzz_obj,$(wildcard t/unit/lib/*.c))
build/fuzz/lib-client.a: $(call fuzz_obj,$(filter-out $(MAINS),$(CLIENT)))
build/fuzz/lib-server.a: $(call fuzz_obj,$(filter-out $(MAINS),$(SERVER)))
build/fuzz/lib-pki.a: $(call fuzz_obj,$(filter-out $(MAINS),$(PKI)))
build/fuzz/lib-common.a: $(call fuzz_obj,$(COMMON))
$(FUZZ_LIB):
	$(call say,AR,$@) rm -f $@ && ar rcs $@ $^

demo-server: all $(call having,test) ## starts a server for trying out, with its own CA and users
	@BUILD=$(BUILD) contrib/demo/server.sh

# T names tests: T=tree (a unit test), T=t3001-put, T=t3001, T=t3 (all that begin so).
SCRIPTS := $(wildcard t/t[0-9]*.t)
CHOSEN  := $(if $(T),$(foreach w,$(T),$(filter $(w) %/$(w) %/$(w).t t/$(w)%,$(TESTS) $(SCRIPTS))),$(TESTS) $(SCRIPTS))
$(if $(T),$(if $(CHOSEN),,$(error no test is called $(T))))

check: $(filter $(TESTS),$(CHOSEN)) $(if $(filter $(SCRIPTS),$(CHOSEN)),all $(FAULT) $(DISK)) $(if $(filter t/t4002-% t/t4020-% t/t404%,$(CHOSEN)),$(BUILD)/t/consignd-probe $(BUILD)/t/landlock-mask) $(if $(filter t/t0005-%,$(CHOSEN)),$(FUZZ_BIN)) $(call having,test) ## builds and runs all tests; T=NAME: some; SANITIZE=1: with sanitizers
	@BUILD=$(BUILD) \
	ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1:detect_leaks=1 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	prove --exec 'timeout --kill-after=10 600' --timer -j$(JOBS) $(if $(filter 1,$(V)),-v) $(sort $(CHOSEN))

MINUTES ?= 60
SEED    ?=
soak: all $(call having,test) ## random operations and faults against a model; MINUTES=60, SEED=n
	@BUILD=$(BUILD) MINUTES=$(MINUTES) SEED=$(SEED) t/soak.sh -v

CASES ?=
attack: all $(FAULT) $(DISK) $(BUILD)/t/consignd-probe $(FUZZ_BIN) $(call having,test) ## runs what attacks it, and prints what held (t/README.md); CASES="R3 P": some
	@$(MAKE) --no-print-directory all $$(CASES="$(CASES)" t/attack/table.py units $(BUILD))
	@CASES="$(CASES)" BUILD=$(BUILD) t/attack/table.py run $(BUILD) $(JOBS)

check-large: all $(call having,test) ## 200,000 files and one of 64 GiB, both ways, in bounded memory (t/large.sh)
	@BUILD=$(BUILD) t/large.sh

ALL_C   := $(COMMON) $(CLIENT) $(SERVER) $(PKI) $(UNIT) $(wildcard t/unit/lib/*.c t/fuzz/*.c t/perf/*.c t/fault/*.c t/inside/*.c)
HEADERS := $(wildcard common/*.h client/*.h server/*.h pki/*.h t/unit/lib/*.h t/fault/*.h t/fuzz/*.h)
SHELL_SCRIPTS := .ci/run .ci/deps $(wildcard t/*.sh t/t*.t t/fuzz/*.sh contrib/*/*.sh)

lint: hdr-check lint-format lint-shell lint-python lint-cppcheck lint-tidy ## checks form and looks for likely mistakes, without running the code

lint-format: $(call having,lint)
	$(call say,LINT,clang-format) clang-format --dry-run -Werror $(ALL_C) $(HEADERS)

lint-shell: $(call having,lint)
	$(call say,LINT,shellcheck) shellcheck -s sh -S warning -e SC2034,SC2154 $(SHELL_SCRIPTS)

lint-python: $(call having,lint)
	$(call say,LINT,pyflakes) pyflakes3 t/*.py t/attack/*.py t/perf/*.py t/fault/*.py

# cppcheck takes compound literals for leaks and loses itself in X-macros; clang-tidy looks at those.
lint-cppcheck: $(call having,lint)
	$(call say,LINT,cppcheck) cppcheck -q -j$(JOBS) --std=c11 --error-exitcode=1 --inline-suppr \
		--enable=warning,performance,portability --suppress=missingIncludeSystem \
		--suppress=internalAstError --suppress=varFuncNullUB --suppress=memleak --suppress=uninitvar \
		$(filter -D% -I%,$(INCLUDE)) $(COMMON) $(CLIENT) $(SERVER) $(PKI) $(wildcard t/perf/*.c)

lint-tidy: $(call having,lint)
	$(call say,LINT,clang-tidy) printf '%s\n' $(COMMON) $(CLIENT) $(SERVER) $(PKI) $(wildcard t/perf/*.c t/fault/*.c) | \
		xargs -n 1 -P $(JOBS) sh -c 'test $$1 = common/log.c || assume="-include .ci/assume.h"; \
		clang-tidy --quiet $$1 -- -std=gnu11 $(INCLUDE) $$assume 2>/dev/null' tidy

hdr-check: $(addsuffix .alone,$(filter-out common/codec.h t/unit/lib/codec_fuzz.h,$(HEADERS))) ## compiles each header alone
%.h.alone: %.h $(call having,build)
	@$(COMPILE) -fsyntax-only -x c $<

# FROM:TO, TO below PREFIX.
place    = $(foreach f,$(wildcard $(1)),$(f):$(2)/$(notdir $(f)))
PLACES  := $(BUILD)/consign:bin/consign $(BUILD)/consign-pki:bin/consign-pki $(BUILD)/consignd:sbin/consignd \
           $(foreach n,1 5 7 8,$(call place,contrib/man/*.$(n),share/man/man$(n))) \
           $(call place,contrib/systemd/*.service contrib/systemd/*.timer,lib/systemd/system) \
           $(call place,contrib/examples/*,share/doc/consign/examples)

install: all ## installs programs, man pages, units and examples below PREFIX (in DESTDIR)
	@for p in $(PLACES); do \
		from=$${p%%:*} to="$(DESTDIR)$(PREFIX)/$${p##*:}"; \
		test -x $$from && mode=755 || mode=644; \
		install -D -m $$mode $$from "$$to" || exit; \
		case $$from in *.service) sed -i 's,/usr/local/,$(PREFIX)/,' "$$to" || exit;; esac; \
	done

uninstall: ## removes what install put there
	@for p in $(PLACES); do rm -f "$(DESTDIR)$(PREFIX)/$${p##*:}" || exit; done
	@rmdir "$(DESTDIR)$(PREFIX)/share/doc/consign/examples" "$(DESTDIR)$(PREFIX)/share/doc/consign" 2>/dev/null || :

clean: ## removes everything that was made
	rm -rf build

dist: ## makes a tarball of the last commit, the same bytes each time
	@v=$$(sed -n 's/.*CONSIGN_VERSION "\(.*\)"/\1/p' common/msg.h) && mkdir -p build && \
	git archive --format=tar --prefix=consign-$$v/ HEAD | gzip -9n >build/consign-$$v.tar.gz && \
	echo "  build/consign-$$v.tar.gz"

$(BUILD)/consign: $(call obj,$(CLIENT)) $(LIB)
$(BUILD)/consignd: $(call obj,$(SERVER)) $(LIB)
$(BUILD)/consign-pki: $(call obj,$(PKI)) $(LIB)
$(BIN):
	$(call say,LD,$@) $(LINK) -o $@ $^ $(LIBS)

# Unit tests reach the modules of a program through a library of all but its main.
$(LIB): $(call obj,$(COMMON))
$(BUILD)/lib-client.a: $(call obj,$(filter-out $(MAINS),$(CLIENT)))
$(BUILD)/lib-server.a: $(call obj,$(filter-out $(MAINS),$(SERVER)))
$(BUILD)/lib-pki.a: $(call obj,$(filter-out $(MAINS),$(PKI)))
$(BUILD)/lib-unit.a: $(call obj,$(wildcard t/unit/lib/*.c))
$(BUILD)/%.a: | $(call having,build)
	$(call say,AR,$@) rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%.o: %.c | $(call having,build)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(COMPILE) -MMD -MP -c -o $@ $<
$(call obj,$(UNIT) $(wildcard t/unit/lib/*.c)): | $(call having,test)

# A test is linked with the library of each program whose headers it includes.
using = $(patsubst t/unit/test_%.c,$(BUILD)/t/unit/%.t,$(shell grep -ls '"../../$(1)/' $(UNIT)))
$(call using,client): $(BUILD)/lib-client.a
$(call using,server): $(BUILD)/lib-server.a
$(call using,pki): $(BUILD)/lib-pki.a
$(BUILD)/t/unit/%.t: $(BUILD)/obj/t/unit/test_%.o $(BUILD)/lib-unit.a $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(LINK) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LIBS) -lcmocka

# A server that tries to break out of its own confinement, for t/t4002-confinement.t and t/t4040-inside.t; and what
# makes a kernel look older to it.
PROBE_OBJ := $(patsubst server/%.c,$(BUILD)/obj/probe/%.o,$(SERVER))
$(BUILD)/obj/probe/%.o: server/%.c | $(call having,build)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(COMPILE) -DCONSIGN_PROBE -MMD -MP -c -o $@ $<
$(BUILD)/t/consignd-probe: $(PROBE_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(LIBS)

$(BUILD)/t/landlock-mask: $(BUILD)/obj/t/inside/mask.o
	@mkdir -p $(@D)
	$(call say,LD,$@) $(LINK) -o $@ $^ -lseccomp

# A PKCS#11 module that misbehaves on command. Any program may load it, so it has no sanitizers.
$(FAULT): $(wildcard t/fault/*.[ch] t/fault/*.def) | $(call having,build)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) -std=gnu11 $(INCLUDE) $(CPPFLAGS) -O2 -g $(WARN) $(CFLAGS) -fPIC -fvisibility=hidden \
		-shared -Wl,-z,defs $(LDFLAGS) -o $@ $(filter-out %/disk.c,$(filter %.c,$^)) -ldl -lpthread

# What makes a server's system calls fail on command.
$(DISK): t/fault/disk.c | $(call having,build)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) -std=gnu11 $(INCLUDE) $(CPPFLAGS) -O2 -g $(WARN) $(CFLAGS) -fPIC -fvisibility=hidden \
		-shared -Wl,-z,defs $(LDFLAGS) -o $@ $< -ldl

-include $(shell find $(BUILD)/obj build/fuzz/obj -name '*.d' 2>/dev/null)
