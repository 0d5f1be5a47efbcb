# SPDX-License-Identifier: ISC
# consign: `make help` says what each target does.

CC       ?= gcc
PREFIX   ?= /usr/local
DESTDIR  ?=
V        ?= 0
SANITIZE ?= 0
BUILD    := $(if $(filter 1,$(SANITIZE)),build/sanitize,build)
T        ?=

PKGS     := gnutls p11-kit-1 popt inih libseccomp zlib
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wformat=2 -Wimplicit-fallthrough -Wpointer-arith -Wundef -Werror
HARDEN   := -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero \
            -fno-strict-aliasing -fno-strict-overflow -fPIE
ifneq ($(filter x86_64 i686,$(shell uname -m)),)
HARDEN   += -fcf-protection=full
endif
ifeq ($(SANITIZE),1)
OPT      := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LINKSAN  := -fsanitize=address,undefined
else
OPT      := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Icommon $(shell pkg-config --cflags $(PKGS))
CFLAGS   += -std=gnu11 $(OPT) $(WARN) $(HARDEN)
LDFLAGS  += -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed $(LINKSAN)
LDLIBS   := $(shell pkg-config --libs $(PKGS))

# The multi-buffer hash engine is built in where its library is found.
ifneq ($(wildcard /usr/include/intel-ipsec-mb.h),)
CPPFLAGS += -DHAVE_IPSEC_MB
LDLIBS   += -lIPSec_MB
endif

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
Q      := $(if $(filter 1,$(V)),,@)
say     = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' $(1) $(2);)

.PHONY: help deps all demo demo-server check lint install uninstall clean dist perf FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BIN) ## builds the three programs into build/

help: ## says what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

$(BUILD)/consign: $(call obj,$(CLIENT)) $(LIB)
$(BUILD)/consignd: $(call obj,$(SERVER)) $(LIB)
$(BUILD)/consign-pki: $(call obj,$(PKI)) $(LIB)
$(BIN):
	$(call say,LD,$@) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Unit tests reach the modules of a program through a library of all but its main.
$(LIB): $(call obj,$(COMMON))
$(BUILD)/lib-client.a: $(call obj,$(filter-out $(MAINS),$(CLIENT)))
$(BUILD)/lib-server.a: $(call obj,$(filter-out $(MAINS),$(SERVER)))
$(BUILD)/lib-pki.a: $(call obj,$(filter-out $(MAINS),$(PKI)))
$(BUILD)/lib-unit.a: $(call obj,$(wildcard t/unit/lib/*.c))
$(BUILD)/%.a:
	$(call say,AR,$@) rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A test is linked with the library of each program whose headers it includes.
using = $(patsubst t/unit/test_%.c,$(BUILD)/t/unit/%.t,$(shell grep -ls '"../../$(1)/' $(UNIT)))
$(call using,client): $(BUILD)/lib-client.a
$(call using,server): $(BUILD)/lib-server.a
$(call using,pki): $(BUILD)/lib-pki.a
$(BUILD)/t/unit/%.t: $(BUILD)/obj/t/unit/test_%.o $(BUILD)/lib-unit.a $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LDLIBS) -lcmocka

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
