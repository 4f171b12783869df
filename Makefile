# nn.h needs no build: copy the header. This file runs the examples and the tests. `make help` lists
# what there is.

CC ?= cc
CFLAGS ?= -O2
PREFIX ?= /usr/local
BUILD = build
OUT ?= out
PYTHON ?= python3
VERSION = 0.1.0
WARN = -std=c99 -Wall -Wextra -Wpedantic
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
MAKEFLAGS += --jobs=$(CORES) --no-print-directory

TESTS = random plain graph ops gradcheck optim train data save determinism conv npy export norm augment
ALONE = graph train data save npy export augment
EXAMPLES = $(filter-out examples/tdt4265% examples/dd2424% examples/report.c,$(wildcard examples/*.c))
MORE = $(wildcard examples/dd2424_a1_bonus.c examples/dd2424_a[23]*.c examples/tdt4265_a3*.c)
TASKS = $(filter-out $(MORE),$(wildcard examples/tdt4265*.c examples/dd2424*.c))
DOUBLE := $(shell grep -l '^.define NN_DOUBLE' examples/*.c)
STB = $(BUILD)/stb/.found
export BUILD

.PHONY: all run test suite check interop embed portability examples tasks more-tasks data
.PHONY: reproduce reproduce-more bench bench-reproduce install help clean

all: examples

run: $(BUILD)/quickstart
	@$(BUILD)/quickstart --out "$(OUT)"
	@ls "$(OUT)"/*.png 2>/dev/null | sed 's/^/wrote /'

# -- programs --

$(BUILD):
	@mkdir -p $@

# stb_image_write.h, for pictures: from the include path or fetched into $(BUILD); without it the
# programs say that they skip pictures.
$(STB): tests/get_stb.sh | $(BUILD)
	@CC="$(CC)" sh tests/get_stb.sh $(BUILD)/stb && touch $@

# The body of nn.h is compiled once. A program defines NN_IMPLEMENTATION, so that it compiles alone;
# here it is told that the body has been there already.
$(BUILD)/nn_float.o: nn.h | $(BUILD)
	$(CC) $(CFLAGS) $(WARN) -c -DNN_IMPLEMENTATION -x c $< -o $@

$(BUILD)/nn_double.o: nn.h | $(BUILD)
	$(CC) $(CFLAGS) $(WARN) -c -DNN_IMPLEMENTATION -DNN_DOUBLE -x c $< -o $@

WITH_FLOAT = $(CFLAGS) $(WARN) -DNN__IMPLEMENTED $< $(BUILD)/nn_float.o -o $@ -lm
WITH_DOUBLE = $(CFLAGS) $(WARN) -DNN__IMPLEMENTED $< $(BUILD)/nn_double.o -o $@ -lm

$(DOUBLE:examples/%.c=$(BUILD)/%): $(BUILD)/%: examples/%.c $(wildcard examples/*.h) $(BUILD)/nn_double.o $(STB)
	$(CC) -I$(BUILD)/stb $(WITH_DOUBLE)

$(BUILD)/%: examples/%.c $(wildcard examples/*.h) $(BUILD)/nn_float.o $(STB)
	$(CC) -I$(BUILD)/stb $(WITH_FLOAT)

examples: $(EXAMPLES:examples/%.c=$(BUILD)/%)

# -- tests: each in float and double --

$(BUILD)/isa $(BUILD)/real_data: $(BUILD)/%: tests/%.c tests/test.h examples/digits.h $(BUILD)/nn_float.o
	@$(CC) $(WITH_FLOAT)

# Threads are tested where the compiler has them: this file holds its flag, or nothing.
OPENMP = $(BUILD)/openmp.flag
$(OPENMP): | $(BUILD)
	@echo 'int main(void) { return 0; }' | $(CC) -fopenmp -x c - -o $(BUILD)/openmp.probe 2>/dev/null \
	  && echo -fopenmp >$@ || : >$@

TMP = -DTEST_TMP='"$(BUILD)/tmp/$(@F)"'
TEST_FLAGS = $(CFLAGS) $(WARN) $(TMP)

THREADED = determinism conv
$(THREADED:%=$(BUILD)/test_%_float): $(BUILD)/test_%_float: tests/test_%.c tests/test.h nn.h examples/digits.h $(OPENMP)
	@$(CC) $(TEST_FLAGS) $$(cat $(OPENMP)) $< -o $@ -lm

$(THREADED:%=$(BUILD)/test_%_double): $(BUILD)/test_%_double: tests/test_%.c tests/test.h nn.h examples/digits.h $(OPENMP)
	@$(CC) $(TEST_FLAGS) $$(cat $(OPENMP)) -DNN_DOUBLE $< -o $@ -lm

# These look behind the API or bring memory of their own, so they have a body of their own, which is
# compiled fast rather than well where nothing else is asked for.
ALONE_FLAGS = $(TEST_FLAGS:-O2=-O0)
$(ALONE:%=$(BUILD)/test_%_float): $(BUILD)/test_%_float: tests/test_%.c tests/test.h nn.h | $(BUILD)
	@$(CC) $(ALONE_FLAGS) $< -o $@ -lm

$(ALONE:%=$(BUILD)/test_%_double): $(BUILD)/test_%_double: tests/test_%.c tests/test.h nn.h | $(BUILD)
	@$(CC) $(ALONE_FLAGS) -DNN_DOUBLE $< -o $@ -lm

$(BUILD)/test_%_float: tests/test_%.c tests/test.h $(BUILD)/nn_float.o
	@$(CC) $(TMP) $(WITH_FLOAT)

$(BUILD)/test_%_double: tests/test_%.c tests/test.h $(BUILD)/nn_double.o
	@$(CC) $(TMP) -DNN_DOUBLE $(WITH_DOUBLE)

$(BUILD)/test_chart: tests/test_chart.c tests/test.h examples/chart.h $(STB)
	@$(CC) $(TEST_FLAGS) -I$(BUILD)/stb $< -o $@ -lm

# The same bits at other levels of optimisation, where the portable path alone would be slow.
$(BUILD)/test_determinism_O0: LEVEL = -O0
$(BUILD)/test_determinism_O3: LEVEL = -O3 -march=native
$(BUILD)/test_determinism_O0 $(BUILD)/test_determinism_O3: tests/test_determinism.c tests/test.h nn.h examples/digits.h | $(BUILD)
	@$(CC) $(LEVEL) $(WARN) $< -o $@ -lm

TEST_PROGRAMS = $(foreach t,$(TESTS),$(BUILD)/test_$(t)_float $(BUILD)/test_$(t)_double) \
  $(BUILD)/test_determinism_O0 $(BUILD)/test_determinism_O3 $(BUILD)/test_chart

test: $(BUILD)/isa $(TEST_PROGRAMS)
	@sh tests/run.sh $(TEST_PROGRAMS)

# For a row of tests/check.sh's table: TESTS in REALS, with its compiler and flags.
REALS = float double
SUITE = $(foreach t,$(TESTS),$(REALS:%=$(BUILD)/test_$(t)_%))
suite: $(SUITE)
	@sh tests/run.sh $(SUITE)

check:
	@CC="$(CC)" sh tests/check.sh

# What NumPy and onnxruntime say to the files that nn.h writes; `make test` has written them, too.
$(BUILD)/interop_files_float: tests/interop_files.c $(BUILD)/nn_float.o
	@$(CC) $(WITH_FLOAT)

$(BUILD)/interop_files_double: tests/interop_files.c $(BUILD)/nn_double.o
	@$(CC) -DNN_DOUBLE $(WITH_DOUBLE)

interop: $(BUILD)/interop_files_float $(BUILD)/interop_files_double $(BUILD)/test_export_float $(BUILD)/test_export_double
	@for real in float double; do \
	  find $(BUILD)/tmp/test_export_$$real -name '*.onnx' -newer $(BUILD)/test_export_$$real 2>/dev/null | \
	    grep -q . && continue; \
	  mkdir -p $(BUILD)/tmp/test_export_$$real; \
	  CC="$(CC)" $(BUILD)/test_export_$$real || exit 1; \
	done
	@$(PYTHON) tests/interop.py $(BUILD)

embed:
	@CC="$(CC)" sh tests/embed.sh

portability: | $(BUILD)
	@sh tests/portability.sh

# -- data, figures, measurements --

data:
	@sh tests/get_data.sh $${NN_DATA:-data}

tasks: $(TASKS:examples/%.c=$(BUILD)/%) $(BUILD)/report

more-tasks: $(MORE:examples/%.c=$(BUILD)/%) $(BUILD)/report

reproduce: tasks
	@sh tests/reproduce.sh $(BUILD)

reproduce-more: more-tasks
	@MORE=1 sh tests/reproduce.sh $(BUILD)

bench:
	@CC="$(CC)" PYTHON="$(PYTHON)" sh tests/bench/bench.sh

bench-reproduce: tasks
	@$(PYTHON) tests/bench/reproduce.py --build $(BUILD) --data $${NN_DATA:-data} --out $(OUT)

install:
	mkdir -p "$(DESTDIR)$(PREFIX)/include" "$(DESTDIR)$(PREFIX)/lib/pkgconfig"
	cp nn.h "$(DESTDIR)$(PREFIX)/include/nn.h"
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: nn' 'Description: neural networks in one C header' \
	  'Version: $(VERSION)' 'Cflags: -I$${prefix}/include' 'Libs: -lm' \
	  >"$(DESTDIR)$(PREFIX)/lib/pkgconfig/nn.pc"

help:
	@echo 'make run        train on the embedded digits, write pictures to out/'
	@echo 'make test       every test, in float and double, on every kernel path of this CPU'
	@echo 'make check      compilers, standards, warnings, sanitizers, real data (NN_DATA)'
	@echo 'make interop    files against NumPy and onnxruntime, where PYTHON has them'
	@echo 'make embed      an exported network on microcontrollers that qemu plays'
	@echo 'make portability'
	@echo '                bits and suites on other processors and systems that have an emulator here'
	@echo 'make examples   build the example programs into build/'
	@echo 'make data       fetch MNIST and CIFAR-10 into data/, or into the folder NN_DATA'
	@echo 'make reproduce  every task of the five reports: figures, out/results.csv, out/report.html'
	@echo '                (QUICK=1: one seed, results checked; SEEDS=n; NN_DATA=folder)'
	@echo 'make reproduce-more'
	@echo '                the rest of the two courses likewise: out/more_results.csv, out/more.html'
	@echo 'make bench      speed against the peers that are installed (KANN=folder: against kann too)'
	@echo 'make bench-reproduce'
	@echo '                the report programs against NumPy: seconds, memory (minutes; NN_DATA)'
	@echo 'make install    nn.h and nn.pc under PREFIX (/usr/local)'
	@echo 'make clean      remove build/ and out/'

clean:
	rm -rf $(BUILD) $(OUT)
