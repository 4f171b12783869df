/* Data sets: IDX, MNIST, CIFAR and CSV readers on intact and damaged files, views, normalisation,
   gathering, and every allocation failing in turn. */
#define _POSIX_C_SOURCE 200809L
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counting memory: when `fail_at` is k > 0, the k-th call fails. */
static size_t live_blocks, calls, fail_at, largest_request;

static int allocation_fails(size_t size)
{
    calls++;
    if (size > largest_request) largest_request = size;
    return calls == fail_at;
}

static void *counting_malloc(size_t size)
{
    void *block = allocation_fails(size) ? NULL : malloc(size);
    if (block) live_blocks++;
    return block;
}

static void *counting_realloc(void *old, size_t size)
{
    void *block = allocation_fails(size) ? NULL : realloc(old, size);
    if (block && !old) live_blocks++;
    return block;
}

static void counting_free(void *block)
{
    if (block) live_blocks--;
    free(block);
}

/* Reading breaks off with an error after read_limit bytes of a file. */
static size_t read_limit = (size_t)-1;
static int read_breaks;

static size_t breaking_fread(void *to, size_t size, size_t count, FILE *f)
{
    size_t got = fread(to, size, count < read_limit ? count : read_limit, f);
    read_breaks = got < count && read_limit != (size_t)-1;
    return got;
}

static int breaking_ferror(FILE *f)
{
    return read_breaks || ferror(f);
}

#define fread breaking_fread
#define ferror breaking_ferror
#define NN_MALLOC(size) counting_malloc(size)
#define NN_REALLOC(old, size) counting_realloc(old, size)
#define NN_FREE(block) counting_free(block)
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#define TMP(name) TEST_TMP "/" name
#define SAYS(part) CHECK(strstr(nn_last_error(), part) != NULL)
#define POISON(object) memset(&(object), 0xA5, sizeof(object))

static const double eps = sizeof(nn_real) == 4 ? 1.2e-7 : 2.3e-16;

/* ------------------------------------------------------------------------------------- helpers */

/* Nothing is owned, nothing is pointed to; a failed set holds its failure beside that. */
static int is_empty(const nn_dataset *d)
{
    static const nn_dataset zero;
    nn_dataset copy = *d;
    copy.status = NN_OK;
    memset(copy.failure, 0, sizeof copy.failure);
    return !memcmp(&copy, &zero, sizeof zero);
}

/* The set is empty and every call on it says what the last failed call said. */
static int holds_failure(const nn_dataset *d, nn_status status)
{
    char message[512];
    nn_dataset view;
    nn_real out;
    snprintf(message, sizeof message, "%.255s", nn_last_error());
    return is_empty(d) && d->status == status && !strcmp(d->failure, message) &&
           nn_dataset_gather(d, NULL, 1, &out) == status && !strcmp(nn_last_error(), message) &&
           nn_dataset_subset(d, 0, 1, &view) == status && !strcmp(view.failure, message);
}

static nn_real gathered[1 << 16];

/* All samples, normalised, in `gathered`. */
static void gather_all(const nn_dataset *d)
{
    size_t i;
    for (i = 0; i < COUNT(gathered); i++) gathered[i] = -777;
    CHECK(d->count * d->features < COUNT(gathered));
    if (d->count * d->features < COUNT(gathered))
        CHECK_OK(nn_dataset_gather(d, NULL, d->count, gathered));
}

static void check_values(const nn_dataset *d, size_t n, const double *expected)
{
    size_t i;
    CHECK_INT(d->count * d->features, n);
    gather_all(d);
    for (i = 0; i < n; i++) CHECK_NEAR(gathered[i], (nn_real)expected[i], 0);
}

static void check_gathered(const nn_dataset *d, size_t n, const double *expected, double tolerance)
{
    size_t i;
    CHECK_INT(d->count * d->features, n);
    gather_all(d);
    for (i = 0; i < n; i++) CHECK_NEAR(gathered[i], expected[i], tolerance);
}

static void check_labels(const nn_dataset *d, size_t n, const int *expected)
{
    size_t i;
    CHECK_INT(d->count, n);
    CHECK(d->labels != NULL);
    if (!d->labels || d->count != n) return;
    for (i = 0; i < n; i++) CHECK_INT(d->labels[i], expected[i]);
}

/* ----------------------------------------------------------------------------------------- IDX */

typedef struct bytes {
    size_t size;
    uint8_t at[6000];
} bytes;

static void put(bytes *b, int value)
{
    b->at[b->size++] = (uint8_t)value;
}

static void put_u32(bytes *b, uint32_t value)
{
    int shift;
    for (shift = 24; shift >= 0; shift -= 8) put(b, (int)(value >> shift & 255));
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 37 + 11);
}

/* A header and data_size bytes of the pattern, whether they fit the header or not. */
static bytes make_idx(int type, int rank, const uint32_t *shape, size_t data_size)
{
    bytes b = {0, {0}};
    int i;
    put(&b, 0);
    put(&b, 0);
    put(&b, type);
    put(&b, rank);
    for (i = 0; i < rank; i++) put_u32(&b, shape[i]);
    while (data_size--) put(&b, pattern(b.size));
    return b;
}

/* From a block without a byte to spare, so that AddressSanitizer sees a read past its end. */
static nn_status idx_from(const bytes *b, size_t size, nn__file *file, nn__numeric *out)
{
    memset(file, 0, sizeof *file);
    file->path = "some.idx";
    file->bytes = (unsigned char *)counting_malloc(size ? size : 1);
    file->size = size;
    if (!file->bytes) abort();
    memcpy(file->bytes, b->at, size);
    nn_status status = nn__check_content(file->path, file->bytes, size);
    return status == NN_OK ? nn__idx_parse(file, out) : status;
}

/* Reading fails from memory and from a file alike, names the thing and leaves nothing behind. */
static void check_bad_idx(const bytes *b, nn_status status, const char *part1, const char *part2)
{
    nn__numeric idx;
    nn__file file;
    nn_dataset d;
    CHECK_ERROR(idx_from(b, b->size, &file, &idx), status, part1, part2);
    SAYS("some.idx");
    nn__file_free(&file);
    write_file(TMP("bad.idx"), b->at, b->size);
    POISON(d);
    CHECK_ERROR(nn_load_idx(TMP("bad.idx"), TMP("bad.idx"), 0, &d), status, part1, part2);
    SAYS(TMP("bad.idx"));
    CHECK(holds_failure(&d, status));
}

static const struct idx_type {
    int type, width;
} idx_types[] = {{8, 1}, {9, 1}, {11, 2}, {12, 4}, {13, 4}, {14, 8}};

static const uint32_t small_shape[] = {2, 1, 3, 1, 2, 1, 1, 2};

static size_t product(int rank, const uint32_t *shape)
{
    size_t n = 1;
    while (rank--) n *= shape[rank];
    return n;
}

static uint64_t from_big_endian(const uint8_t *p, int width)
{
    uint64_t bits = 0;
    while (width--) bits = bits << 8 | *p++;
    return bits;
}

static uint64_t bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* What the bits of a value of this type are as a double. */
static double value_of(int type, int width, uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float f;
    double d;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    if (type == 13) return (double)f;
    if (type == 14) return d;
    if (type == 8 || !(bits >> (8 * width - 1) & 1)) return (double)bits;
    return (double)bits - ldexp(1, 8 * width);
}

static void check_idx(const bytes *b, int type, int width, int rank, const nn__numeric *idx)
{
    const uint8_t *raw = b->at + 4 + 4 * rank;
    size_t i, count = product(rank, small_shape);
    CHECK_INT(idx->width, width);
    CHECK_INT(idx->rank, rank);
    CHECK_INT(idx->count, count);
    for (i = 0; i < (size_t)rank; i++) CHECK_INT(idx->shape[i], small_shape[i]);
    for (i = 0; i < count; i++, raw += width) {
        double expected = value_of(type, width, from_big_endian(raw, width));
        CHECK(bits_of_double(nn__numeric_value(idx, i)) == bits_of_double(expected));
    }
}

static void idx_types_and_ranks(void)
{
    size_t t;
    int rank;
    for (t = 0; t < COUNT(idx_types); t++) {
        for (rank = 1; rank <= 8; rank++) {
            int type = idx_types[t].type, width = idx_types[t].width;
            size_t size = product(rank, small_shape) * (size_t)width;
            bytes b = make_idx(type, rank, small_shape, size);
            nn__numeric idx;
            nn__file file;
            CHECK_OK(idx_from(&b, b.size, &file, &idx));
            check_idx(&b, type, width, rank, &idx);
            nn__file_free(&file);
            write_file(TMP("good.idx"), b.at, b.size);
            CHECK_OK(nn__file_read(TMP("good.idx"), &file));
            CHECK_OK(nn__idx_parse(&file, &idx));
            check_idx(&b, type, width, rank, &idx);
            nn__file_free(&file);
        }
    }
}

/* Bit for bit above; here the bits mean what they should. */
static void idx_values(void)
{
    static const struct {
        int type, width;
        uint64_t bits;
        double value;
    } cases[] = {
        {8, 1, 0xFF, 255},
        {8, 1, 0x80, 128},
        {9, 1, 0x80, -128},
        {9, 1, 0xFF, -1},
        {11, 2, 0x0102, 258},
        {11, 2, 0x8000, -32768},
        {12, 4, 0x01020304, 16909060},
        {12, 4, 0x80000000, -2147483648.0},
        {13, 4, 0xC0490FDB, -13176795.0 / 4194304},
        {13, 4, 0x3F800001, 1 + 1.0 / 8388608},
        {14, 8, UINT64_C(0xBFF8000000000001), -1.5 - 1.0 / 4503599627370496.0},
        {14, 8, UINT64_C(0x4340000000000001), 9007199254740994.0},
    };
    const uint32_t one = 1;
    size_t i;
    int k;
    for (i = 0; i < COUNT(cases); i++) {
        bytes b = make_idx(cases[i].type, 1, &one, 0);
        nn__numeric idx;
        nn__file file;
        for (k = cases[i].width - 1; k >= 0; k--) put(&b, (int)(cases[i].bits >> 8 * k & 255));
        CHECK_OK(idx_from(&b, b.size, &file, &idx));
        CHECK_NEAR(nn__numeric_value(&idx, 0), cases[i].value, 0);
        nn__file_free(&file);
    }
}

static void idx_truncated_at_every_byte(void)
{
    size_t t;
    for (t = 0; t < COUNT(idx_types); t++) {
        size_t width = (size_t)idx_types[t].width;
        bytes b = make_idx(idx_types[t].type, 3, small_shape, 6 * width);
        b.size = 1;
        for (; b.size < 16 + 6 * width; b.size++) check_bad_idx(&b, NN_ERROR_TRUNCATED, "", "");
    }
}

static void idx_wrong_size(void)
{
    static const uint32_t shape[] = {100, 7};
    bytes b = make_idx(8, 2, shape, 499);
    check_bad_idx(&b, NN_ERROR_TRUNCATED, "700", "499");
    b = make_idx(8, 2, shape, 701);
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "700", "701");
    b = make_idx(14, 2, shape, 700 * 8 - 1);
    check_bad_idx(&b, NN_ERROR_TRUNCATED, "5600", "5599");
}

static void idx_wrong_magic(void)
{
    static const uint8_t magics[][4] = {
        {0, 0, 8, 9},  {0, 0, 8, 255}, {0, 0, 0, 1},   {0, 0, 7, 1}, {0, 0, 10, 1},
        {0, 0, 15, 1}, {0, 0, 255, 1}, {1, 0, 8, 1},   {0, 1, 8, 1}, {3, 8, 0, 0},
        {1, 8, 0, 0},  {'P', 'K', 3, 4}, {'R', 'I', 'F', 'F'},
    };
    size_t i;
    for (i = 0; i < COUNT(magics); i++) {
        bytes b = {0, {0}};
        memcpy(b.at, magics[i], 4);
        for (b.size = 4; b.size < 2000;) put(&b, 1);
        check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "", "");
    }
}

static bytes text_bytes(const char *text)
{
    bytes b = {0, {0}};
    while (*text) put(&b, *text++);
    return b;
}

#define GIT_LFS "version https://git-lfs.github.com/spec/v1\noid sha256:ba891046e6505d7a\nsize 9\n"

static void idx_is_something_else(void)
{
    bytes b = text_bytes("<!DOCTYPE html>\n<html><title>403 Forbidden</title></html>\n");
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "looks like", "HTML");
    b = text_bytes("<html>\n<body>not found</body></html>\n");
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "looks like", "HTML");
    b = text_bytes("<HTML><BODY>moved</BODY></HTML>");
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "looks like", "HTML");
    b = text_bytes("\n  <!doctype html><html></html>");
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "looks like", "HTML");
    b = text_bytes(GIT_LFS);
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "looks like", "LFS");
    b = text_bytes("just some words that are no page");
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "", "");
    CHECK(!strstr(nn_last_error(), "HTML"));
}

#ifdef NN_USE_ZLIB
/* good.idx.gz is cut everywhere behind its header, its check sum included. */
static void check_damaged_gzip(void)
{
    static bytes b;
    FILE *f = fopen(TMP("good.idx.gz"), "rb");
    nn_dataset d;
    CHECK(f != NULL);
    if (!f) return;
    b.size = fread(b.at, 1, sizeof b.at, f);
    fclose(f);
    CHECK(b.size > 20);
    while (--b.size > 18) {
        write_file(TMP("cut.idx.gz"), b.at, b.size);
        POISON(d);
        CHECK_ERROR(nn_load_idx(TMP("cut.idx.gz"), TMP("cut.idx.gz"), 0, &d), NN_ERROR_TRUNCATED,
                    TMP("cut.idx.gz"), "");
        CHECK(holds_failure(&d, NN_ERROR_TRUNCATED));
    }
}

static void idx_compressed(void)
{
    static const uint32_t shape[] = {4, 9};
    bytes b = make_idx(8, 2, shape, 36);
    nn_dataset d;
    gzFile f = gzopen(TMP("good.idx.gz"), "wb");
    CHECK(f != NULL);
    if (!f) return;
    CHECK_INT(gzwrite(f, b.at, (unsigned)b.size), b.size);
    CHECK_INT(gzclose(f), Z_OK);
    CHECK_OK(nn_load_idx(TMP("good.idx.gz"), TMP("good.idx.gz"), 0, &d));
    CHECK_INT(d.features, 9);
    CHECK(d.samples && !memcmp(d.samples, b.at + 12, 36));
    nn_dataset_free(&d);
    check_damaged_gzip();
}
#else
static void idx_compressed(void)
{
    bytes b = text_bytes("\x1F\x8B\x08");
    for (b.size = 3; b.size < 100;) put(&b, 0);
    check_bad_idx(&b, NN_ERROR_COMPRESSED, "gunzip", "NN_USE_ZLIB");
    b.size = 2;
    check_bad_idx(&b, NN_ERROR_COMPRESSED, "gunzip", "NN_USE_ZLIB");
}
#endif

/* Counts that promise more than the file has must not be believed when memory is asked for. */
static void idx_counts_beyond_the_file(void)
{
    static const uint32_t most[] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
    static const uint32_t wraps_to_0[] = {1u << 31, 1u << 31, 4, 1};
    static const uint32_t bytes_wrap_to_0[] = {1u << 31, 1u << 30};
    static const uint32_t wraps_32_bits[] = {65536, 65536};
    static const uint32_t too_many[] = {1000, 1000};
    bytes b = make_idx(8, 8, most, 10);
    largest_request = 0;
    check_bad_idx(&b, NN_ERROR_TOO_LARGE, "", "");
    b = make_idx(14, 8, most, 10);
    check_bad_idx(&b, NN_ERROR_TOO_LARGE, "", "");
    b = make_idx(8, 4, wraps_to_0, 0);
    check_bad_idx(&b, NN_ERROR_TOO_LARGE, "", "");
    b = make_idx(14, 2, bytes_wrap_to_0, 0);
    check_bad_idx(&b, NN_ERROR_TOO_LARGE, "", "");
    b = make_idx(8, 2, wraps_32_bits, 0);
    check_bad_idx(&b, sizeof(size_t) > 4 ? NN_ERROR_TRUNCATED : NN_ERROR_TOO_LARGE, "", "");
    b = make_idx(14, 2, too_many, 10);
    check_bad_idx(&b, NN_ERROR_TRUNCATED, "8000000", "10");
    CHECK(largest_request <= 1 << 20);
}

static nn_status load_twice(const char *path, nn_dataset *d)
{
    POISON(*d);
    return nn_load_idx(path, path, 0, d);
}

static void idx_empty_or_missing(void)
{
    bytes b = {0, {0}};
    nn_dataset d;
    nn_status status;
    check_bad_idx(&b, NN_ERROR_EMPTY, "", "");
    remove(TMP("missing.idx"));
    CHECK_ERROR(load_twice(TMP("missing.idx"), &d), NN_ERROR_CANNOT_OPEN, TMP("missing.idx"), "");
    CHECK(holds_failure(&d, NN_ERROR_CANNOT_OPEN));
    /* Some systems open a folder and refuse to read it, others refuse to open it. */
    status = load_twice(TEST_TMP, &d);
    CHECK(status == NN_ERROR_CANNOT_READ || status == NN_ERROR_CANNOT_OPEN);
    if (status == NN_ERROR_CANNOT_READ) SAYS("is a folder");
    SAYS(TEST_TMP);
    CHECK(holds_failure(&d, status));
    CHECK_ERROR(load_twice(NULL, &d), NN_ERROR_BAD_ARGUMENT, "path", "");
    CHECK_ERROR(nn_load_idx(TMP("good.idx"), TMP("good.idx"), 0, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_load_idx", "out");
}

/* Rank 0 is one value, a dimension of 0 is none. */
static void idx_rank_and_dimension_of_zero(void)
{
    static const uint32_t shape[] = {3, 0, 2};
    bytes b = make_idx(13, 3, shape, 0);
    nn__numeric idx;
    nn__file file;
    CHECK_OK(idx_from(&b, b.size, &file, &idx));
    CHECK_INT(idx.count, 0);
    CHECK_INT(idx.rank, 3);
    CHECK_INT(idx.shape[0], 3);
    CHECK_INT(idx.shape[1], 0);
    nn__file_free(&file);
    put(&b, 0);
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "1 bytes", "expected 0");
    b = make_idx(8, 0, shape, 0);
    check_bad_idx(&b, NN_ERROR_TRUNCATED, "0 bytes", "expected 1");
    put(&b, 42);
    CHECK_OK(idx_from(&b, b.size, &file, &idx));
    CHECK_INT(idx.rank, 0);
    CHECK_INT(idx.count, 1);
    CHECK_NEAR(nn__numeric_value(&idx, 0), 42, 0);
    nn__file_free(&file);
    put(&b, 0);
    check_bad_idx(&b, NN_ERROR_BAD_FORMAT, "2 bytes", "expected 1");
}

/* ----------------------------------------------------------------------------- pairs and MNIST */

static void write_images(const char *path, uint32_t count, uint32_t rows, uint32_t cols)
{
    uint32_t shape[3];
    bytes b;
    shape[0] = count;
    shape[1] = rows;
    shape[2] = cols;
    b = make_idx(8, 3, shape, product(3, shape));
    write_file(path, b.at, b.size);
}

static void write_labels(const char *path, uint32_t count, const char *labels)
{
    bytes b = make_idx(8, 1, &count, 0);
    uint32_t i;
    for (i = 0; i < count; i++) put(&b, labels[i]);
    write_file(path, b.at, b.size);
}

/* The images that write_images made, scaled to [0, 1]. */
static void check_images(const nn_dataset *d, size_t count, size_t rows, size_t cols)
{
    size_t i;
    CHECK_INT(d->count, count);
    CHECK_INT(d->features, rows * cols);
    CHECK_INT(d->rank, 2);
    CHECK_INT(d->shape[0], rows);
    CHECK_INT(d->shape[1], cols);
    CHECK_INT(d->dtype, NN_DTYPE_U8);
    gather_all(d);
    for (i = 0; i < count * rows * cols; i++)
        CHECK_NEAR(gathered[i], pattern(i + 16) / 255.0, eps);
}

static nn_status load_pair(int classes, nn_dataset *out)
{
    POISON(*out);
    return nn_load_idx(TMP("pair-images"), TMP("pair-labels"), classes, out);
}

static void pair_loads(void)
{
    static const int expected[] = {2, 0, 4, 2, 1};
    nn_dataset d;
    write_images(TMP("pair-images"), 5, 4, 3);
    write_labels(TMP("pair-labels"), 5, "\2\0\4\2\1");
    CHECK_OK(load_pair(0, &d));
    CHECK_INT(d.classes, 5);
    CHECK(!d.targets && !d.class_names && !d.index);
    check_images(&d, 5, 4, 3);
    check_labels(&d, 5, expected);
    nn_dataset_free(&d);
    CHECK(is_empty(&d));
    CHECK_OK(load_pair(10, &d));
    CHECK_INT(d.classes, 10);
    check_labels(&d, 5, expected);
    nn_dataset_free(&d);
}

static void pair_labels_are_checked(void)
{
    static const char zeros[299] = {0};
    nn_dataset d;
    write_images(TMP("pair-images"), 300, 2, 2);
    write_labels(TMP("pair-labels"), 299, zeros);
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_MISMATCH, "300", "299");
    CHECK(is_empty(&d));
    write_images(TMP("pair-images"), 17, 2, 2);
    write_labels(TMP("pair-labels"), 17, "\0\1\2\0\1\2\0\1\2\0\1\2\0\310\2\0\1");
    CHECK_ERROR(load_pair(3, &d), NN_ERROR_BAD_LABEL, "200", "13");
    SAYS(TMP("pair-labels"));
    CHECK(is_empty(&d));
    CHECK_OK(load_pair(0, &d));
    CHECK_INT(d.classes, 201);
    nn_dataset_free(&d);
    CHECK_ERROR(load_pair(200, &d), NN_ERROR_BAD_LABEL, "200", "13");
    CHECK_OK(load_pair(201, &d));
    nn_dataset_free(&d);
    CHECK_ERROR(load_pair(-1, &d), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK(is_empty(&d));
}

static void pair_shapes_are_checked(void)
{
    static const uint32_t two = 2;
    nn_dataset d;
    bytes b = make_idx(13, 1, &two, 8);
    write_images(TMP("pair-images"), 0, 4, 3);
    write_labels(TMP("pair-labels"), 0, "");
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_EMPTY, TMP("pair-images"), "");
    CHECK(is_empty(&d));
    write_images(TMP("pair-images"), 2, 0, 3);
    write_labels(TMP("pair-labels"), 2, "\0\1");
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_EMPTY, TMP("pair-images"), "");
    write_labels(TMP("pair-images"), 2, "\0\1");
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_BAD_FORMAT, TMP("pair-images"), "");
    CHECK(is_empty(&d));
    write_images(TMP("pair-images"), 2, 4, 3);
    write_images(TMP("pair-labels"), 2, 1, 1);
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_BAD_FORMAT, TMP("pair-labels"), "");
    write_file(TMP("pair-labels"), b.at, b.size);
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_BAD_LABEL, TMP("pair-labels"), "whole number");
    remove(TMP("pair-labels"));
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_CANNOT_OPEN, TMP("pair-labels"), "");
    CHECK(is_empty(&d));
}

static const char *const mnist_files[] = {
    TMP("train-images-idx3-ubyte"), TMP("train-labels-idx1-ubyte"),
    TMP("t10k-images-idx3-ubyte"),  TMP("t10k-labels-idx1-ubyte"),
    TMP("train-images.idx3-ubyte"), TMP("train-labels.idx1-ubyte"),
    TMP("t10k-images.idx3-ubyte"),  TMP("t10k-labels.idx1-ubyte"),
};

static void remove_mnist(void)
{
    size_t i;
    for (i = 0; i < COUNT(mnist_files); i++) remove(mnist_files[i]);
}

/* names: the first four of mnist_files, or the last four. */
static void write_mnist(const char *const *names)
{
    write_images(names[0], 5, 28, 28);
    write_labels(names[1], 5, "\7\2\1\0\4");
    write_images(names[2], 3, 28, 28);
    write_labels(names[3], 3, "\11\0\5");
}

static nn_status load_mnist(nn_dataset *train, nn_dataset *test)
{
    if (train) POISON(*train);
    if (test) POISON(*test);
    return nn_load_mnist(TEST_TMP, train, test);
}

static void check_mnist(const nn_dataset *train, const nn_dataset *test)
{
    static const int train_labels[] = {7, 2, 1, 0, 4}, test_labels[] = {9, 0, 5};
    if (train) {
        CHECK_INT(train->classes, 10);
        check_images(train, 5, 28, 28);
        check_labels(train, 5, train_labels);
    }
    if (test) {
        CHECK_INT(test->classes, 10);
        check_images(test, 3, 28, 28);
        check_labels(test, 3, test_labels);
    }
}

static void mnist_loads(void)
{
    nn_dataset train, test;
    int dots;
    for (dots = 0; dots < 2; dots++) {
        remove_mnist();
        write_mnist(mnist_files + 4 * dots);
        CHECK_OK(load_mnist(&train, &test));
        check_mnist(&train, &test);
        nn_dataset_free(&train);
        nn_dataset_free(&test);
        remove(mnist_files[4 * dots + 2]);
        CHECK_OK(load_mnist(&train, NULL));
        check_mnist(&train, NULL);
        nn_dataset_free(&train);
        write_mnist(mnist_files + 4 * dots);
        remove(mnist_files[4 * dots]);
        CHECK_OK(load_mnist(NULL, &test));
        check_mnist(NULL, &test);
        nn_dataset_free(&test);
    }
    remove_mnist();
}

static void mnist_fails_whole(void)
{
    nn_dataset train, test;
    int i;
    for (i = 0; i < 4; i++) {
        remove_mnist();
        write_mnist(mnist_files);
        remove(mnist_files[i]);
        CHECK_ERROR(load_mnist(&train, &test), NN_ERROR_CANNOT_OPEN, mnist_files[i], "");
        CHECK(holds_failure(&train, NN_ERROR_CANNOT_OPEN));
        CHECK(is_empty(&test) && test.status == NN_ERROR_CANNOT_OPEN);
        write_file(mnist_files[i], "", 0);
        CHECK_ERROR(load_mnist(&train, &test), NN_ERROR_EMPTY, mnist_files[i], "");
        CHECK(is_empty(&train) && is_empty(&test));
    }
    write_mnist(mnist_files);
    write_labels(mnist_files[3], 3, "\11\12\5");
    CHECK_ERROR(load_mnist(&train, &test), NN_ERROR_BAD_LABEL, "10", mnist_files[3]);
    CHECK(is_empty(&train) && is_empty(&test));
    CHECK_ERROR(nn_load_mnist(NULL, &train, &test), NN_ERROR_BAD_ARGUMENT, "", "");
    remove_mnist();
}

#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>

/* A folder of the first name is passed over; alone it is named in the error. */
static void mnist_beside_a_folder(void)
{
    nn_dataset train, test;
    remove_mnist();
    write_mnist(mnist_files + 4);
    CHECK_INT(mkdir(mnist_files[0], 0777), 0);
    CHECK_OK(load_mnist(&train, &test));
    check_mnist(&train, &test);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    remove(mnist_files[4]);
    CHECK_ERROR(load_mnist(&train, &test), NN_ERROR_CANNOT_READ, mnist_files[0], "is a folder");
    CHECK(holds_failure(&train, NN_ERROR_CANNOT_READ));
    CHECK_INT(remove(mnist_files[0]), 0);
    remove_mnist();
}
#else
static void mnist_beside_a_folder(void) {}
#endif

#ifndef NN_USE_ZLIB
/* A read that fails after a few bytes is an error that names the file, whatever was read. */
static void reading_breaks_off(void)
{
    nn_dataset d;
    write_images(TMP("pair-images"), 5, 4, 3);
    write_labels(TMP("pair-labels"), 5, "\2\0\4\2\1");
    for (read_limit = 0; read_limit < 20; read_limit++) {
        nn_status status = load_pair(0, &d);
        size_t limit = read_limit;
        read_limit = (size_t)-1;
        CHECK_INT(status, NN_ERROR_CANNOT_READ);
        SAYS(TMP("pair-images"));
        CHECK(holds_failure(&d, NN_ERROR_CANNOT_READ));
        read_limit = limit;
    }
    read_limit = (size_t)-1;
    CHECK_OK(load_pair(0, &d));
    nn_dataset_free(&d);
}

#endif

static void write_idx(const char *path, int type, int rank, const uint32_t *shape,
                      const double *values)
{
    bytes b = make_idx(type, rank, shape, 0);
    int width = type == 8 || type == 9 ? 1 : type == 11 ? 2 : type == 14 ? 8 : 4, k;
    size_t i;
    for (i = 0; i < product(rank, shape); i++) {
        float f = (float)values[i];
        uint32_t low;
        uint64_t bits;
        memcpy(&low, &f, sizeof low);
        if (type == 13) bits = low;
        else if (type == 14) bits = bits_of_double(values[i]);
        else bits = (uint64_t)(int64_t)values[i];
        for (k = width - 1; k >= 0; k--) put(&b, (int)(bits >> 8 * k & 255));
    }
    write_file(path, b.at, b.size);
}

/* Images of any type: bytes are scaled, the others are what they say. */
static void pair_images_of_every_type(void)
{
    static const uint32_t shape[] = {2, 1, 3};
    static const double values[] = {0, 1, 2, 100, 7, 55}, huge[] = {0, 1, 2, 3, 1e300, 5};
    size_t t, i;
    nn_dataset d;
    write_labels(TMP("pair-labels"), 2, "\1\0");
    for (t = 0; t < COUNT(idx_types); t++) {
        int bytes_scaled = idx_types[t].type == 8;
        write_idx(TMP("pair-images"), idx_types[t].type, 3, shape, values);
        CHECK_OK(load_pair(0, &d));
        CHECK_INT(d.dtype, bytes_scaled ? NN_DTYPE_U8 : NN_DTYPE_REAL);
        CHECK_INT(d.rank, 2);
        CHECK_INT(d.shape[1], 3);
        gather_all(&d);
        for (i = 0; i < 6; i++)
            CHECK_NEAR(gathered[i], values[i] / (bytes_scaled ? 255 : 1), bytes_scaled ? eps : 0);
        nn_dataset_free(&d);
    }
    write_idx(TMP("pair-images"), 14, 3, shape, huge);
    CHECK_INT(load_pair(0, &d), sizeof(nn_real) == 8 ? NN_OK : NN_ERROR_BAD_NUMBER);
    if (sizeof(nn_real) == 4) SAYS("sample 1: value 1 is 1e+300");
    nn_dataset_free(&d);
}

/* Labels of any type; of QMNIST's eight columns the first; one-hot rows; numbers that are none. */
static void pair_labels_of_every_type(void)
{
    static const uint32_t four = 4, columns[] = {4, 8}, three[] = {4, 3}, deep[] = {4, 1, 1};
    static const double values[] = {3, 0, 2, 1}, halves[] = {0, 1, 0.5, 1};
    static const double qmnist[] = {3, 0, 10, 48, 0, 0, 0, 0, 0, 1, 11, 49, 1, 0, 0, 0,
                                    2, 0, 12, 50, 2, 0, 0, 0, 1, 4, 13, 51, 3, 0, 0, 0};
    static const double one_hot[] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const int expected[] = {3, 0, 2, 1}, places[] = {2, 0, 1, 2};
    size_t t;
    nn_dataset d;
    write_images(TMP("pair-images"), 4, 1, 2);
    for (t = 0; t < COUNT(idx_types); t++) {
        write_idx(TMP("pair-labels"), idx_types[t].type, 1, &four, values);
        CHECK_OK(load_pair(0, &d));
        check_labels(&d, 4, expected);
        nn_dataset_free(&d);
    }
    write_idx(TMP("pair-labels"), 12, 2, columns, qmnist);
    CHECK_OK(load_pair(10, &d));
    check_labels(&d, 4, expected);
    CHECK_INT(d.classes, 10);
    nn_dataset_free(&d);
    write_idx(TMP("pair-labels"), 8, 2, three, one_hot);
    CHECK_OK(load_pair(0, &d));
    check_labels(&d, 4, places);
    nn_dataset_free(&d);
    write_idx(TMP("pair-labels"), 13, 1, &four, halves);
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_BAD_LABEL, "label 0.5 at index 2", "whole number");
    write_idx(TMP("pair-labels"), 12, 3, deep, values);
    CHECK_ERROR(load_pair(0, &d), NN_ERROR_BAD_FORMAT, TMP("pair-labels"), "rank 3");
    CHECK(holds_failure(&d, NN_ERROR_BAD_FORMAT));
}

/* --------------------------------------------------------------------------------------- CIFAR */

#define CIFAR_MAX 8

static uint8_t cifar_pixel(int file, size_t record, size_t i)
{
    return (uint8_t)(i * 7 + i / 251 + record * 31 + (size_t)file * 101);
}

/* `extra` more bytes (or fewer) than the records need; label_bytes labels before every image. */
static void write_cifar(const char *path, int file, size_t records, int label_bytes,
                        const char *labels, int extra)
{
    static uint8_t out[CIFAR_MAX * 3074 + 1];
    uint8_t *p = out;
    size_t r, i;
    int k;
    for (r = 0; r < records; r++) {
        for (k = 0; k < label_bytes; k++) *p++ = (uint8_t)*labels++;
        for (i = 0; i < 3072; i++) *p++ = cifar_pixel(file, r, i);
    }
    *p = 0;
    write_file(path, out, (size_t)(p - out + extra));
}

/* Samples first .. first + records - 1 are the given file's. */
static void check_cifar(const nn_dataset *d, size_t first, int file, size_t records)
{
    size_t r, i, wrong = 0;
    for (r = 0; r < records; r++) {
        size_t row = first + r;
        CHECK_OK(nn_dataset_gather(d, &row, 1, gathered));
        for (i = 0; i < 3072; i++)
            wrong += !(fabs(gathered[i] - cifar_pixel(file, r, i) / 255.0) <= eps);
    }
    CHECK_INT(wrong, 0);
}

static void check_cifar_shape(const nn_dataset *d, size_t count, int classes)
{
    CHECK_INT(d->count, count);
    CHECK_INT(d->features, 3072);
    CHECK_INT(d->rank, 3);
    CHECK_INT(d->shape[0], 3);
    CHECK_INT(d->shape[1], 32);
    CHECK_INT(d->shape[2], 32);
    CHECK_INT(d->classes, classes);
    CHECK_INT(d->dtype, NN_DTYPE_U8);
}

static const char *const cifar10_files[] = {
    TMP("data_batch_1.bin"), TMP("data_batch_2.bin"), TMP("data_batch_3.bin"),
    TMP("data_batch_4.bin"), TMP("data_batch_5.bin"), TMP("test_batch.bin"),
};
static const size_t cifar10_records[] = {1, 3, 2, 1, 4, 2};
static const char *const cifar10_labels[] = {"\1", "\2\0\11", "\3\4", "\5", "\6\7\10\1", "\0\11"};

static void write_cifar10(void)
{
    int i;
    for (i = 0; i < 6; i++)
        write_cifar(cifar10_files[i], i + 1, cifar10_records[i], 1, cifar10_labels[i], 0);
}

static nn_status load_cifar10(nn_dataset *train, nn_dataset *test)
{
    if (train) POISON(*train);
    if (test) POISON(*test);
    return nn_load_cifar10(TEST_TMP, train, test);
}

static void cifar10_batches(void)
{
    size_t first = 0;
    int labels[16], i, k;
    nn_dataset d, batch;
    write_cifar10();
    CHECK_OK(load_cifar10(&d, NULL));
    for (i = 0; i < 5; i++) {
        check_cifar(&d, first, i + 1, cifar10_records[i]);
        CHECK_OK(nn_dataset_subset(&d, first, cifar10_records[i], &batch));
        check_cifar(&batch, 0, i + 1, cifar10_records[i]);
        nn_dataset_free(&batch);
        for (k = 0; k < (int)cifar10_records[i]; k++) labels[first++] = cifar10_labels[i][k];
    }
    check_cifar_shape(&d, first, 10);
    check_labels(&d, first, labels);
    nn_dataset_free(&d);
}

static void cifar10_test_batch(void)
{
    static const int labels[] = {0, 9};
    nn_dataset train, test;
    write_cifar10();
    CHECK_OK(load_cifar10(&train, &test));
    check_cifar_shape(&train, 11, 10);
    check_cifar_shape(&test, 2, 10);
    check_cifar(&test, 0, 6, 2);
    check_labels(&test, 2, labels);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    remove(cifar10_files[0]);
    CHECK_OK(load_cifar10(NULL, &test));
    check_cifar(&test, 0, 6, 2);
    nn_dataset_free(&test);
}

static void cifar10_damaged(void)
{
    nn_dataset train, test;
    write_cifar10();
    write_cifar(cifar10_files[2], 3, 2, 1, "\1\2", -1);
    CHECK_ERROR(load_cifar10(&train, &test), NN_ERROR_TRUNCATED, cifar10_files[2], "6145");
    CHECK(is_empty(&train) && is_empty(&test));
    write_cifar(cifar10_files[2], 3, 2, 1, "\1\2", 1);
    CHECK_ERROR(load_cifar10(&train, &test), NN_ERROR_TRUNCATED, cifar10_files[2], "6147");
    CHECK_OK(load_cifar10(NULL, &test));
    nn_dataset_free(&test);
    write_cifar(cifar10_files[2], 3, 2, 1, "\1\12", 0);
    CHECK_ERROR(load_cifar10(&train, &test), NN_ERROR_BAD_LABEL, cifar10_files[2], "10");
    CHECK(is_empty(&train) && is_empty(&test));
    write_file(cifar10_files[2], "", 0);
    CHECK_ERROR(load_cifar10(&train, &test), NN_ERROR_EMPTY, cifar10_files[2], "");
    remove(cifar10_files[2]);
    CHECK_ERROR(load_cifar10(&train, &test), NN_ERROR_CANNOT_OPEN, cifar10_files[2], "");
    write_cifar10();
    write_cifar(cifar10_files[5], 6, 1, 1, "\377", 0);
    CHECK_ERROR(load_cifar10(&train, &test), NN_ERROR_BAD_LABEL, cifar10_files[5], "255");
    CHECK(is_empty(&train) && is_empty(&test));
    CHECK_ERROR(load_cifar10(&train, &train), NN_ERROR_BAD_ARGUMENT, "nn_load_cifar10", "same");
    CHECK(holds_failure(&train, NN_ERROR_BAD_ARGUMENT));
    CHECK_ERROR(nn_load_cifar10(NULL, &train, NULL), NN_ERROR_BAD_ARGUMENT, "folder", "NULL");
    CHECK(holds_failure(&train, NN_ERROR_BAD_ARGUMENT));
}

static nn_status load_cifar100(int coarse, nn_dataset *train, nn_dataset *test)
{
    if (train) POISON(*train);
    if (test) POISON(*test);
    return nn_load_cifar100(TEST_TMP, coarse, train, test);
}

static void cifar100_loads(void)
{
    static const int coarse[] = {19, 0, 7}, fine[] = {99, 1, 42};
    nn_dataset train, test;
    int use_coarse;
    write_cifar(TMP("train.bin"), 8, 3, 2, "\23\143\0\1\7\52", 0);
    write_cifar(TMP("test.bin"), 9, 1, 2, "\0\1", 0);
    for (use_coarse = 0; use_coarse < 2; use_coarse++) {
        CHECK_OK(load_cifar100(use_coarse, &train, &test));
        check_cifar_shape(&train, 3, use_coarse ? 20 : 100);
        check_cifar_shape(&test, 1, use_coarse ? 20 : 100);
        check_cifar(&train, 0, 8, 3);
        check_cifar(&test, 0, 9, 1);
        check_labels(&train, 3, use_coarse ? coarse : fine);
        check_labels(&test, 1, use_coarse ? coarse + 1 : fine + 1);
        nn_dataset_free(&train);
        nn_dataset_free(&test);
    }
    CHECK_OK(load_cifar100(0, NULL, &test));
    check_cifar(&test, 0, 9, 1);
    nn_dataset_free(&test);
}

static void cifar100_damaged(void)
{
    nn_dataset train, test;
    write_cifar(TMP("train.bin"), 8, 2, 2, "\0\1\0\144", 0);
    write_cifar(TMP("test.bin"), 9, 1, 2, "\24\1", 0);
    CHECK_ERROR(load_cifar100(0, &train, &test), NN_ERROR_BAD_LABEL, TMP("train.bin"), "100");
    CHECK(is_empty(&train) && is_empty(&test));
    CHECK_ERROR(load_cifar100(1, &train, &test), NN_ERROR_BAD_LABEL, TMP("test.bin"), "20");
    CHECK(is_empty(&train) && is_empty(&test));
    write_cifar(TMP("train.bin"), 8, 2, 1, "\0\1", 0);
    CHECK_ERROR(load_cifar100(0, &train, &test), NN_ERROR_TRUNCATED, TMP("train.bin"), "6146");
    CHECK(is_empty(&train) && is_empty(&test));
    remove(TMP("train.bin"));
    CHECK_ERROR(load_cifar100(0, &train, &test), NN_ERROR_CANNOT_OPEN, TMP("train.bin"), "");
}

/* ----------------------------------------------------------------------------------------- CSV */

/* Labels or targets in the column of this number; 0: neither. */
static nn_csv_desc csv_desc(char delimiter, int header, int column, int targets)
{
    static char numbers[8][16];
    static int next;
    nn_csv_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.delimiter = delimiter;
    desc.header = header;
    next = (next + 1) % 8;
    snprintf(numbers[next], sizeof numbers[next], "%d", column);
    if (column) *(targets ? &desc.targets : &desc.labels) = numbers[next];
    return desc;
}

static nn_status load_csv(const char *text, const nn_csv_desc *desc, nn_dataset *out)
{
    write_file(TMP("data.csv"), text, strlen(text));
    POISON(*out);
    return nn_load_csv(TMP("data.csv"), desc, out);
}

static void csv_same_table_in_many_spellings(void)
{
    static const double expected[] = {1, -2.5, 3e2, 0.25};
    static const struct {
        const char *text;
        char delimiter;
        int header;
    } cases[] = {
        {"1,-2.5\n3e2,0.25\n", 0, 0},
        {"1,-2.5\n3e2,0.25", 0, 0},
        {"1,-2.5\r\n3e2,0.25\r\n", ',', 0},
        {"1,-2.5\r\n3e2,0.25", 0, 0},
        {"\n1,-2.5\n\n\n3e2,0.25\n\n", 0, 0},
        {"\r\n1,-2.5\r\n\r\n3e2,0.25\r\n\r\n", 0, 0},
        {"1;-2.5\n3e2;0.25\n", ';', 0},
        {"1\t-2.5\n3e2\t0.25\n", '\t', 0},
        {"1 -2.5\n3e2 0.25\n", ' ', 0},
        {"width,height\n1,-2.5\n3e2,0.25\n", 0, 1},
        {"7;b\r\n1;-2.5\r\n3e2;0.25\r\n", ';', 1},
        {"width,height\n1,-2.5\n3e2,0.25\n", 0, 0},
        {"1,-2.5\r3e2,0.25\r", 0, 0},
        {"\r1,-2.5\r\n\r3e2,0.25", 0, -1},
        {"\"1\",\"-2.5\"\n\"3e2\" , \"0.25\"\n", 0, 0},
        {"  1\t -2.5 \n\t3e2   0.25\t\r\n", ' ', 0},
        {"\nwidth,height\n1,-2.5\n3e2,0.25\n", 0, 1},
        {"+1.0,-25e-1\n3.0E+02,.25\n", 0, 0},
        {"0001.,-2.50000\n300,0.00000025e6\n", 0, 0},
        {" 1, -2.5\n3e2 ,0.25 \n", 0, 0},
    };
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        nn_csv_desc desc = csv_desc(cases[i].delimiter, cases[i].header, 0, 0);
        nn_dataset d;
        CHECK_OK(load_csv(cases[i].text, &desc, &d));
        CHECK_INT(d.count, 2);
        CHECK_INT(d.features, 2);
        CHECK_INT(d.rank, 1);
        CHECK_INT(d.shape[0], 2);
        CHECK_INT(d.dtype, NN_DTYPE_REAL);
        CHECK(!d.labels && !d.classes && !d.class_names && !d.targets && !d.norm_count);
        check_values(&d, 4, expected);
        nn_dataset_free(&d);
    }
}

static void csv_label_columns(void)
{
    static const int table[2][3] = {{2, 0, 1}, {0, 3, 1}};
    static const int columns[] = {1, 2, 3, -1, -2, -3};
    size_t i;
    int r, c;
    for (i = 0; i < COUNT(columns); i++) {
        int column = columns[i] > 0 ? columns[i] - 1 : 3 + columns[i], labels[2];
        nn_csv_desc desc = csv_desc(0, 0, columns[i], 0);
        double features[4];
        size_t n = 0;
        nn_dataset d;
        for (r = 0; r < 2; r++) {
            labels[r] = table[r][column];
            for (c = 0; c < 3; c++) if (c != column) features[n++] = table[r][c];
        }
        CHECK_OK(load_csv("2,0,1\n0,3,1\n", &desc, &d));
        CHECK_INT(d.features, 2);
        CHECK_INT(d.classes, (labels[0] > labels[1] ? labels[0] : labels[1]) + 1);
        CHECK(!d.class_names);
        check_values(&d, 4, features);
        check_labels(&d, 2, labels);
        nn_dataset_free(&d);
    }
}

static void check_names(const nn_dataset *d, int n, const char *const *names)
{
    int i;
    CHECK_INT(d->classes, n);
    CHECK(d->class_names != NULL);
    if (!d->class_names || d->classes != n) return;
    for (i = 0; i < n; i++) CHECK_STR(d->class_names[i], names[i]);
}

static void csv_class_names(void)
{
    static const char *const flowers[] = {"setosa", "virginica", "iris versicolor"};
    static const char *const signs[] = {"-1", "1"}, *const mixed[] = {"3", "cat"};
    static const int labels[] = {0, 1, 0, 2, 1}, sign_labels[] = {0, 1, 1, 0};
    static const double features[] = {5.1, 3.5, 6, 3, 4.9, 3.1, 7, 3.2, 5.8, 2.7};
    nn_csv_desc last = csv_desc(0, 1, -1, 0), first = csv_desc(';', 0, 1, 0);
    nn_dataset d;
    CHECK_OK(load_csv("length,width,species\n5.1,3.5,setosa\n6,3,virginica\n4.9,3.1,setosa\n"
                      "7,3.2,iris versicolor\r\n\n5.8,2.7,virginica", &last, &d));
    check_values(&d, 10, features);
    check_labels(&d, 5, labels);
    check_names(&d, 3, flowers);
    nn_dataset_free(&d);
    CHECK_OK(load_csv("-1;5\n1;6\n1;7\n-1;8\n", &first, &d));
    check_labels(&d, 4, sign_labels);
    check_names(&d, 2, signs);
    nn_dataset_free(&d);
    CHECK_OK(load_csv("3;5\ncat;6\ncat;7\n3;8\n", &first, &d));
    check_labels(&d, 4, sign_labels);
    check_names(&d, 2, mixed);
    nn_dataset_free(&d);
}

static void csv_quotes_and_spaces(void)
{
    static const char *const names[] = {"red, dark", "blue"};
    static const int labels[] = {0, 1, 0};
    static const double features[] = {1, 2, 3, 4, 5, 6};
    nn_csv_desc desc = csv_desc(0, 1, 2, 0);
    nn_dataset d;
    CHECK_OK(load_csv("\"a\",\"b, c\",d\n\"1\",\"red, dark\",2\n   \n3 , blue ,4\n"
                      "5,\"red, dark\",\"6\"\r\n \r\n", &desc, &d));
    check_values(&d, 6, features);
    check_labels(&d, 3, labels);
    check_names(&d, 2, names);
    nn_dataset_free(&d);
}

/* The mark that some editors put before UTF-8 text belongs to no cell. */
static void csv_byte_order_mark(void)
{
    static const double features[] = {1, 2};
    static const int labels[] = {3, 0};
    nn_csv_desc first = csv_desc(0, 0, 1, 0), last = csv_desc(0, 0, -1, 0);
    nn_dataset d;
    CHECK_OK(load_csv("\xEF\xBB\xBF" "3,1\n0,2\n", &first, &d));
    CHECK(!d.class_names);
    check_labels(&d, 2, labels);
    nn_dataset_free(&d);
    CHECK_OK(load_csv("\xEF\xBB\xBF" "1,3\n2,0\n", &last, &d));
    CHECK_INT(d.count, 2);
    if (d.count) check_values(&d, 2, features);
    nn_dataset_free(&d);
}

static void csv_targets(void)
{
    static const double features[] = {1, 2, 3, 4}, targets[] = {0.5, -7e3};
    nn_csv_desc desc = csv_desc(0, 0, 2, 1);
    nn_dataset d;
    int i;
    CHECK_OK(load_csv("1,0.5,2\n3,-7e3,4\n", &desc, &d));
    CHECK(!d.labels && !d.classes && !d.class_names);
    CHECK_INT(d.target_size, 1);
    check_values(&d, 4, features);
    CHECK(d.targets != NULL);
    for (i = 0; d.targets && i < 2; i++) CHECK_NEAR(d.targets[i], targets[i], 0);
    nn_dataset_free(&d);
    CHECK(is_empty(&d));
    CHECK_ERROR(load_csv("1,2,3\n1,red,3\n", &desc, &d), NN_ERROR_BAD_NUMBER, "line 2", "column 2");
    CHECK(is_empty(&d));
}

static void csv_bad_numbers(void)
{
    static const char *const fields[] = {
        "nan", "NAN", "inf", "-Infinity", "1e999", "-1e999", "red", "1x", "1.2.3", "1e", "1e+",
        "e5", "--1", "+-1", ".", "-", "+", "", " ", "0x10", "1 2", "1d5", "1_0", "nan(1)", "1e5.5",
    };
    size_t i;
    for (i = 0; i < COUNT(fields); i++) {
        char text[100];
        nn_dataset d;
        snprintf(text, sizeof text, "1,2\n\n3,%s\n5,6\n", fields[i]);
        CHECK_ERROR(load_csv(text, NULL, &d), NN_ERROR_BAD_NUMBER, "line 3", "column 2");
        SAYS(TMP("data.csv"));
        CHECK(is_empty(&d));
    }
}

/* What overflows the type in use is not finite there. */
static void csv_number_range(void)
{
    nn_dataset d;
    int fits = sizeof(nn_real) == 8;
    nn_status status = load_csv("1e39,1\n", NULL, &d);
    CHECK_INT(status, fits ? NN_OK : NN_ERROR_BAD_NUMBER);
    if (status == NN_OK) nn_dataset_free(&d);
    CHECK_OK(load_csv("1e-9999,-0\n", NULL, &d));
    gather_all(&d);
    CHECK_NEAR(gathered[0], 0, 0);
    CHECK_NEAR(gathered[1], 0, 0);
    nn_dataset_free(&d);
}

static void csv_numbers_are_exact(void)
{
    static const double expected[] = {
        0.1, 0.2, 0.3, 1e-5, 123456.789, 3.141592653589793, 1e22, 1e-22, 9007199254740991.0, 2.5e-7,
        1.7976931348623157e30, 4.35, 0.000123456789, 8.41e21, 6.02214076e23,
    };
    nn_dataset d;
    CHECK_OK(load_csv("0.1,0.2,0.3,1e-5,123456.789,3.141592653589793,1e22,1e-22,9007199254740991,"
                      "2.5e-7,1.7976931348623157e30,4.35,0.000123456789,8.41e21,6.02214076e23\n",
                      NULL, &d));
    check_values(&d, COUNT(expected), expected);
    nn_dataset_free(&d);
}

/* More digits than a double holds are a number all the same. */
static void csv_long_numbers(void)
{
    static const double expected[] = {0, 1};
    char text[700];
    nn_dataset d;
    snprintf(text, sizeof text, "0.%0299d1,1.%0299d1\n", 0, 0);
    CHECK_OK(load_csv(text, NULL, &d));
    CHECK_INT(d.count, 1);
    if (d.count) check_gathered(&d, 2, expected, 1e-37);
    nn_dataset_free(&d);
}

static void csv_malformed(void)
{
    nn_csv_desc last = csv_desc(0, 0, -1, 0);
    nn_csv_desc beyond = csv_desc(0, 0, 4, 0), before = csv_desc(0, 0, -4, 0);
    nn_dataset d;
    CHECK_ERROR(load_csv("1,2\n3,4\n5,6,7\n", NULL, &d), NN_ERROR_BAD_FORMAT, "line 3", "data.csv");
    CHECK(is_empty(&d));
    CHECK_ERROR(load_csv("1,2\r\n\r\n3\r\n", NULL, &d), NN_ERROR_BAD_FORMAT, "line 3", "");
    CHECK_ERROR(load_csv("1,2\n3,4,\n", NULL, &d), NN_ERROR_BAD_FORMAT, "line 2", "");
    CHECK_ERROR(load_csv("1,a\n2,b,c\n", &last, &d), NN_ERROR_BAD_FORMAT, "line 2", "");
    CHECK_ERROR(load_csv("1,2,3\n", &beyond, &d), NN_ERROR_BAD_ARGUMENT, "4", "3");
    CHECK_ERROR(load_csv("1,2,3\n", &before, &d), NN_ERROR_BAD_ARGUMENT, "4", "3");
    CHECK_ERROR(load_csv("1\n2\n", &last, &d), NN_ERROR_EMPTY, "", "");
    CHECK_ERROR(load_csv("1,0\n2,\n", &last, &d), NN_ERROR_BAD_LABEL, "line 2", "");
    CHECK(is_empty(&d));
    write_file(TMP("data.csv"), "1,2\0\n3,4\n", 9);
    CHECK_ERROR(nn_load_csv(TMP("data.csv"), NULL, &d), NN_ERROR_BAD_FORMAT, "zero byte", "");
}

/* Names that do not fit the columns speak of a wrong delimiter or a lost column. */
static void csv_header_must_fit(void)
{
    nn_csv_desc header = csv_desc(0, 1, 0, 0);
    nn_dataset d;
    CHECK_ERROR(load_csv("a,b,c\n1,2\n", &header, &d), NN_ERROR_BAD_FORMAT, "line ", "3");
    nn_dataset_free(&d);
    CHECK_ERROR(load_csv("a\n1,2\n", &header, &d), NN_ERROR_BAD_FORMAT, "line ", "1");
    nn_dataset_free(&d);
}

/* An integer >= 0 is taken as it is or refused; it never turns into a name. */
static void csv_labels_beyond_int(void)
{
    nn_csv_desc last = csv_desc(0, 0, -1, 0);
    nn_dataset d;
    CHECK_OK(load_csv("1,1000000000\n", &last, &d));
    CHECK(d.labels && d.labels[0] == 1000000000);
    CHECK_INT(d.classes, 1000000001);
    nn_dataset_free(&d);
    CHECK_ERROR(load_csv("1,2147483647\n", &last, &d), NN_ERROR_BAD_LABEL, "2147483647", "");
    nn_dataset_free(&d);
    CHECK_ERROR(load_csv("1,99999999999999999999\n", &last, &d), NN_ERROR_BAD_LABEL, "9999", "");
    nn_dataset_free(&d);
}

static void csv_empty_or_not_csv(void)
{
    static const char *const nothing[] = {"", "\n", "\r\n\r\n\n"};
    nn_csv_desc header = csv_desc(0, 1, 0, 0);
    nn_dataset d;
    size_t i;
    for (i = 0; i < COUNT(nothing); i++)
        CHECK_ERROR(load_csv(nothing[i], NULL, &d), NN_ERROR_EMPTY, TMP("data.csv"), "");
    CHECK_ERROR(load_csv("a,b\n", &header, &d), NN_ERROR_EMPTY, TMP("data.csv"), "");
    CHECK(is_empty(&d));
    CHECK_ERROR(load_csv("<!DOCTYPE html><html></html>\n", NULL, &d), NN_ERROR_BAD_FORMAT,
                "looks like", "HTML");
    CHECK_ERROR(load_csv(GIT_LFS, NULL, &d), NN_ERROR_BAD_FORMAT, "looks like", "LFS");
#ifndef NN_USE_ZLIB
    CHECK_ERROR(load_csv("\x1F\x8B\x08\n", NULL, &d), NN_ERROR_COMPRESSED, "gunzip", "");
#endif
    remove(TMP("data.csv"));
    CHECK_ERROR(nn_load_csv(TMP("data.csv"), NULL, &d), NN_ERROR_CANNOT_OPEN, TMP("data.csv"), "");
    CHECK(is_empty(&d));
    CHECK_ERROR(nn_load_csv(NULL, NULL, &d), NN_ERROR_BAD_ARGUMENT, "", "");
}

/* The exact number of lines and columns, past every buffer's first size. */
static void csv_many_rows(void)
{
    FILE *f = fopen(TMP("data.csv"), "wb");
    size_t i, wrong = 0;
    nn_csv_desc desc = csv_desc(0, 0, 1, 0);
    nn_dataset d;
    CHECK(f != NULL);
    if (!f) return;
    for (i = 0; i < 3000; i++)
        fprintf(f, "c%d,%d,%d.5\n", (int)(i % 700), (int)i, (int)(i % 13));
    fclose(f);
    CHECK_OK(nn_load_csv(TMP("data.csv"), &desc, &d));
    CHECK_INT(d.count, 3000);
    CHECK_INT(d.classes, 700);
    gather_all(&d);
    for (i = 0; i < 3000 && d.count == 3000; i++) {
        wrong += d.labels[i] != (int)(i % 700);
        wrong += gathered[2 * i] != (nn_real)i || gathered[2 * i + 1] != (nn_real)(i % 13) + 0.5f;
    }
    CHECK_INT(wrong, 0);
    nn_dataset_free(&d);
}

static void csv_under_comma_locale(void)
{
    nn_csv_desc desc = csv_desc(';', 0, 0, 0);
    nn_dataset d;
    csv_same_table_in_many_spellings();
    csv_numbers_are_exact();
    csv_bad_numbers();
    CHECK_ERROR(load_csv("1;2,5\n", &desc, &d), NN_ERROR_BAD_NUMBER, "line 1", "column 2");
    CHECK_STR(localeconv()->decimal_point, ",");
}

/* -------------------------------------------------------------------------------------- arrays */

static void arrays_are_borrowed(void)
{
    static const nn_real x[] = {1, 2, 3, 4, 5, 6};
    static const uint8_t bytes_x[] = {0, 255, 3, 4, 5, 6};
    static const double expected[] = {1, 2, 3, 4, 5, 6}, bytes_expected[] = {0, 255, 3, 4, 5, 6};
    static const int expected_labels[] = {1, 0};
    int labels[] = {1, 0};
    nn_dataset d;
    POISON(d);
    CHECK_OK(nn_dataset_from_arrays(x, 2, 3, labels, 2, &d));
    labels[0] = 7;
    CHECK(d.samples == x && d.dtype == NN_DTYPE_REAL && d.norm_count == 0 && !d.index);
    CHECK_INT(d.rank, 1);
    CHECK_INT(d.shape[0], 3);
    CHECK_INT(d.classes, 2);
    check_values(&d, 6, expected);
    check_labels(&d, 2, expected_labels);
    nn_dataset_free(&d);
    CHECK(is_empty(&d));
    nn_dataset_free(&d);
    CHECK(is_empty(&d));
    nn_dataset_free(NULL);
    POISON(d);
    CHECK_OK(nn_dataset_from_bytes(bytes_x, 3, 2, NULL, 0, &d));
    CHECK(d.samples == bytes_x && d.dtype == NN_DTYPE_U8 && !d.labels && d.classes == 0);
    CHECK_INT(d.count, 3);
    check_values(&d, 6, bytes_expected);
    nn_dataset_free(&d);
}

static void arrays_are_checked(void)
{
    static const nn_real x[6] = {0};
    static const uint8_t b[6] = {0};
    static const int labels[] = {0, 41, -42};
    size_t huge = (size_t)-1 / 2 + 1;
    nn_dataset d;
    POISON(d);
    CHECK_ERROR(nn_dataset_from_arrays(NULL, 2, 3, NULL, 0, &d), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK(is_empty(&d));
    CHECK_ERROR(nn_dataset_from_arrays(x, 0, 3, NULL, 0, &d), NN_ERROR_EMPTY, "", "");
    CHECK_ERROR(nn_dataset_from_arrays(x, 2, 0, NULL, 0, &d), NN_ERROR_EMPTY, "", "");
    CHECK_ERROR(nn_dataset_from_arrays(x, huge, 2, NULL, 0, &d), NN_ERROR_TOO_LARGE, "", "");
    CHECK_ERROR(nn_dataset_from_arrays(x, 2, 3, labels, 41, &d), NN_ERROR_BAD_LABEL, "41", "1");
    CHECK_ERROR(nn_dataset_from_arrays(x, 2, 3, labels, -1, &d), NN_ERROR_BAD_ARGUMENT, "", "");
    POISON(d);
    CHECK_ERROR(nn_dataset_from_bytes(b, 3, 2, labels, 42, &d), NN_ERROR_BAD_LABEL, "-42", "2");
    CHECK(is_empty(&d));
    CHECK_ERROR(nn_dataset_from_bytes(NULL, 2, 3, NULL, 0, &d), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_dataset_from_bytes(b, 0, 3, NULL, 0, &d), NN_ERROR_EMPTY, "", "");
    CHECK_ERROR(nn_dataset_from_bytes(b, 2, 0, NULL, 0, &d), NN_ERROR_EMPTY, "", "");
    CHECK(is_empty(&d));
}

/* Ten samples {i, 100 + i} of class i % 3. */
static nn_real ten_x[20];
static const int ten_labels[] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0};

static nn_dataset ten_samples(void)
{
    nn_dataset d;
    int i;
    for (i = 0; i < 10; i++) {
        ten_x[2 * i] = (nn_real)i;
        ten_x[2 * i + 1] = (nn_real)(100 + i);
    }
    CHECK_OK(nn_dataset_from_arrays(ten_x, 10, 2, ten_labels, 3, &d));
    return d;
}

static void shape_and_targets(void)
{
    static const nn_real targets[20] = {0};
    size_t shape[NN_MAX_RANK + 1] = {1, 2, 1, 1, 1, 1, 1, 1, 1}, wraps[2], four = 4;
    nn_dataset d = ten_samples(), view;
    CHECK_OK(nn_dataset_set_shape(&d, NN_MAX_RANK, shape));
    CHECK_INT(d.rank, NN_MAX_RANK);
    CHECK_INT(d.shape[1], 2);
    CHECK_INT(d.features, 2);
    CHECK_ERROR(nn_dataset_set_shape(&d, 1, &four), NN_ERROR_BAD_SHAPE, "4", "2");
    CHECK_INT(d.rank, NN_MAX_RANK);
    CHECK_INT(d.shape[1], 2);
    wraps[0] = (size_t)-1 / 2 + 2; /* times 2 this wraps to 2, the number of features */
    wraps[1] = 2;
    CHECK(nn_dataset_set_shape(&d, 2, wraps) != NN_OK);
    CHECK(nn_dataset_set_shape(&d, NN_MAX_RANK + 1, shape) != NN_OK);
    CHECK(nn_dataset_set_shape(&d, 0, shape) != NN_OK);
    CHECK(nn_dataset_set_shape(&d, -1, shape) != NN_OK);
    CHECK_INT(d.rank, NN_MAX_RANK);
    CHECK_ERROR(nn_dataset_set_targets(&d, NULL, 2), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_dataset_set_targets(&d, targets, 0), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK(!d.targets && !d.target_size);
    CHECK_OK(nn_dataset_set_targets(&d, targets, 2));
    CHECK(d.targets == targets && d.target_size == 2);
    CHECK_OK(nn_dataset_subset(&d, 3, 4, &view));
    CHECK_ERROR(nn_dataset_set_targets(&view, targets, 2), NN_ERROR_BAD_ARGUMENT, "", "");
    nn_dataset_free(&view);
    nn_dataset_free(&d);
}

/* ------------------------------------------------------------------------ CSV as it is found */

static int same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Every number is rounded as strtod rounds it, whichever way it is read. */
static void numbers_are_rounded_as_strtod(void)
{
    static const char *const hard[] = {
        "9007199254740993", "9007199254740992.5", "9007199254740993.0000000000000000001",
        "1.7976931348623157e30", "2.2250738585072014e-30", "123456789012345678", "5e-324",
        "0.00012345678901234567", "18446744073709551615", "18446744073709551616", "1e-22", "1e23",
        "9999999999999999999e-22", "8.5e22", "4503599627370497.5", "4503599627370496.5",
        "00000000000000000000000001.5", "0.1e00001", "1e-00022", "123456789.0123456789012"};
    nn_rng rng = nn_rng_seed(5);
    size_t i, wrong = 0;
    double value;
    for (i = 0; i < 200000; i++) {
        char text[64];
        const char *const forms[] = {"%.17g", "%.18e", "%.15g", "%.6f", "%.19f", "-%.16e"};
        double x = ldexp(nn_rng_uniform(&rng), (int)nn_rng_below(&rng, 60) - 20);
        snprintf(text, sizeof text, forms[i % COUNT(forms)], x);
        wrong += !nn__parse_number(nn__span_of(text), &value);
        wrong += !same_bits(value, strtod(text, NULL));
    }
    CHECK_INT(wrong, 0);
    for (i = 0; i < COUNT(hard); i++) {
        CHECK(nn__parse_number(nn__span_of(hard[i]), &value));
        if (!same_bits(value, strtod(hard[i], NULL))) CHECK_STR(hard[i], "");
    }
}

static void check_targets(const nn_dataset *d, size_t n, const double *expected)
{
    size_t i;
    CHECK_INT(d->count * d->target_size, n);
    CHECK(d->targets != NULL);
    for (i = 0; d->targets && i < n; i++) CHECK_NEAR(d->targets[i], (nn_real)expected[i], 0);
}

static void csv_rfc_4180(void)
{
    static const char *const names[] = {"bolt 3/8\"", "the \"red, dark\" one", "two\nlines", "",
                                        "\r\n", "5\" pipe", "a \"\" b"};
    static const int labels[] = {0, 1, 2, 3, 4, 5, 6};
    static const double features[] = {1, 2, 3, 4, 5, 6, 7};
    nn_csv_desc last = csv_desc(0, 0, -1, 0);
    nn_dataset d;
    CHECK_OK(load_csv("1,\"bolt 3/8\"\"\"\n2,\"the \"\"red, dark\"\" one\"\n3,\"two\nlines\"\n"
                      "4,\" \"\n5,\"\r\n\"\n6,5\" pipe\n7 , \"a \"\"\"\" b\" \n", &last, &d));
    CHECK(d.class_names && !strcmp(d.class_names[3], " "));
    if (d.class_names) d.class_names[3][0] = 0;
    check_names(&d, 7, names);
    check_labels(&d, 7, labels);
    check_values(&d, 7, features);
    nn_dataset_free(&d);
    CHECK_ERROR(load_csv("1,\"a\nb\nc\n2,4", &last, &d), NN_ERROR_BAD_FORMAT, "line 1, column 2",
                "not closed");
    CHECK_ERROR(load_csv("1,2\n3,\"a\"b\n", &last, &d), NN_ERROR_BAD_FORMAT, "line 2, column 2",
                "'b' stands behind");
    CHECK_ERROR(load_csv("1,\"a\nb\"\n\n2,\"c\"\nx,d", &last, &d), NN_ERROR_BAD_NUMBER, "line 5",
                "");
    CHECK(holds_failure(&d, NN_ERROR_BAD_NUMBER));
}

/* Records of every kind across the end of the reader's buffer, at every offset. */
static void csv_across_buffers(void)
{
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    enum { ROWS_MADE = 9000 };
    nn_csv_desc desc = csv_desc(0, 0, 1, 0);
    size_t shift, i, wrong = 0;
    desc.comment = '#';
    for (shift = 0; shift < 36; shift++) {
        FILE *f = fopen(TMP("data.csv"), "wb");
        const char *end = ends[shift % 3];
        nn_dataset d;
        CHECK(f != NULL);
        if (!f) return;
        fprintf(f, "#%*s%s", (int)shift, "", end);
        for (i = 0; i < ROWS_MADE; i++)
            fprintf(f, "\"n%d,\"\"\n\",%d.25,-%de-1%s", (int)(i % 7), (int)i, (int)(i % 100), end);
        fprintf(f, "\"long %0*d\",1,2", 300000, 0);
        fclose(f);
        CHECK_OK(nn_load_csv(TMP("data.csv"), &desc, &d));
        CHECK_INT(d.count, ROWS_MADE + 1);
        CHECK_INT(d.classes, 8);
        for (i = 0; i < ROWS_MADE && d.count == ROWS_MADE + 1; i++) {
            const nn_real *x = (const nn_real *)d.samples + 2 * i;
            wrong += d.labels[i] != (int)(i % 7) || x[0] != (nn_real)i + (nn_real)0.25;
            wrong += x[1] != (nn_real)(-((double)(i % 100) / 10));
        }
        if (d.class_names) {
            CHECK_STR(d.class_names[6], "n6,\"\n");
            CHECK_INT(strlen(d.class_names[7]), 300005);
        }
        nn_dataset_free(&d);
    }
    CHECK_INT(wrong, 0);
}

/* Housing, auto-mpg, semeion: runs of blanks, a quoted name, one-hot labels, a blank at the end. */
static void csv_runs_of_blanks(void)
{
    static const double housing[] = {0.1, 18, 2.31, 0, 1.2, 0, 17.07, 1}, prices[] = {24, 21.6};
    static const double cars[] = {8, 307, 130, 4, 98, 120, 6, 200, 125}, miles[] = {18, 25, 17};
    static const double pixels[] = {0, 1, 1, 0, 1, 0, 0, 1};
    static const int digits[] = {0, 1};
    nn_csv_desc desc = csv_desc(' ', 0, -1, 1);
    nn_dataset d;
    CHECK_OK(load_csv(" 0.1  18.00   2.31  0  24.00\n 1.2   0.00  17.07  1  21.60\n", &desc, &d));
    check_values(&d, 8, housing);
    check_targets(&d, 2, prices);
    nn_dataset_free(&d);
    desc = csv_desc(' ', 0, 1, 1);
    desc.ignore = "-1", desc.missing = "?", desc.fill = NN_MISSING_MEDIAN;
    CHECK_OK(load_csv("18.0   8   307.0   130.0\t\"chevrolet chevelle malibu\"\n"
                      "25.0   4   98.00   ?\t\"ford pinto\"\n17.0   6   200.0   120.0\t\"hi\"  \n",
                      &desc, &d));
    {
        double expected[9];
        memcpy(expected, cars, sizeof expected);
        expected[5] = 125, expected[8] = 120;
        check_values(&d, 9, expected);
    }
    check_targets(&d, 3, miles);
    nn_dataset_free(&d);
    desc = csv_desc(' ', 0, 0, 0);
    desc.labels = "-2..-1";
    CHECK_OK(load_csv("0.0 1.0 1.0 0.0 1 0 \n1.0 0.0 0.0 1.0 0 1 \n", &desc, &d));
    check_values(&d, 8, pixels);
    check_labels(&d, 2, digits);
    CHECK_INT(d.classes, 2);
    CHECK(!d.class_names);
    nn_dataset_free(&d);
}

/* A first line is a header when it can be nothing else, or when it is asked for and can be one. */
static void csv_header_found(void)
{
    static const struct {
        const char *text;
        int header;
        size_t rows; /* 0: an error */
    } cases[] = {
        {"a,b\n1,2\n3,4\n", 0, 2},   {"a,b\n1,2\n3,4\n", 1, 2},  {"a,b\n1,2\n", -1, 0},
        {"0.1,0\n0.2,1\n0.3,1\n", 0, 3}, {"0.1,0\n0.2,1\n", 1, 0}, {"0.1,0\n0.2,1\n", -1, 2},
        {"a,1980\n1,2\n3,4\n", 1, 2}, {"a,1980\n1,2\n", 0, 0},   {",b\n1,2\n", 0, 1},
        {"\"a\",\"b\"\r\n1,2", 0, 1}, {"?,?\n1,2\n", 0, 0},      {"x\n1\n", 0, 1},
        {"5,6\n", 0, 1},             {"5,6\n", 1, 0},           {"nan,1\n2,3\n", 0, 0},
        {"edible,cap\nyes,flat\nno,bell\n", 0, 0},
    };
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        nn_csv_desc desc = csv_desc(0, cases[i].header, 0, 0);
        nn_dataset d;
        nn_status status;
        desc.missing = "?";
        status = load_csv(cases[i].text, &desc, &d);
        CHECK_INT(d.count, cases[i].rows);
        CHECK_INT(status == NN_OK, cases[i].rows > 0);
        nn_dataset_free(&d);
    }
    {
        nn_csv_desc mushrooms = csv_desc(0, 0, 0, 0); /* all text, but a name is used */
        nn_dataset d;
        mushrooms.labels = "edible", mushrooms.codes = "2";
        CHECK_OK(load_csv("edible,cap\nyes,flat\nno,bell\n", &mushrooms, &d));
        CHECK_INT(d.count, 2);
        nn_dataset_free(&d);
    }
    {
        nn_csv_desc flowers = csv_desc(0, 1, -1, 0); /* text in the label's column alone */
        nn_dataset d;
        CHECK_ERROR(load_csv("5.1,setosa\n4.9,virginica\n", &flowers, &d), NN_ERROR_BAD_FORMAT,
                    "header is 1", "line 1");
        flowers.header = 0;
        CHECK_OK(load_csv("5.1,setosa\n4.9,virginica\n", &flowers, &d));
        CHECK_INT(d.count, 2);
        nn_dataset_free(&d);
        flowers.skip_lines = 1; /* as scikit-learn has its files */
        CHECK_OK(load_csv("2,4,setosa,virginica\n5.1,0\n4.9,1\n", &flowers, &d));
        CHECK_INT(d.count, 2);
        nn_dataset_free(&d);
        flowers.skip_lines = 0;
        CHECK_ERROR(load_csv("2,4,setosa,virginica\n5.1,0\n4.9,1\n", &flowers, &d),
                    NN_ERROR_BAD_FORMAT, "line 2: 2 columns, expected 4", "skip_lines");
    }
}

static void csv_comments_and_skipped_lines(void)
{
    static const double expected[] = {1, 2, 3, 4};
    nn_csv_desc desc = csv_desc(0, 0, 0, 0);
    nn_dataset d;
    desc.comment = '#', desc.skip_lines = 2;
    CHECK_OK(load_csv("title \"with a quote\n\n# x, y\n  # indented\n1,2\n#\n3,4\n#", &desc, &d));
    check_values(&d, 4, expected);
    nn_dataset_free(&d);
    CHECK_ERROR(load_csv("a\nb\n#c\n", &desc, &d), NN_ERROR_EMPTY, "no rows", "");
    CHECK_ERROR(load_csv("a\nb\n#c\n1,x\n", &desc, &d), NN_ERROR_BAD_NUMBER, "line 4", "");
    desc.delimiter = '#';
    CHECK_ERROR(load_csv("1", &desc, &d), NN_ERROR_BAD_ARGUMENT, "delimiter is '#'", "");
    desc.comment = 0, desc.delimiter = '.';
    CHECK_ERROR(load_csv("1", &desc, &d), NN_ERROR_BAD_ARGUMENT, "delimiter is '.'", "");
    desc.delimiter = '|', desc.skip_lines = 0;
    CHECK_OK(load_csv("1|2\n3|4", &desc, &d));
    check_values(&d, 4, expected);
    nn_dataset_free(&d);
}

static void csv_columns_by_name_or_number(void)
{
    static const struct {
        const char *features, *ignore, *targets;
        size_t width, target_size;
        int sum; /* of the first row's features, each 2^column */
    } cases[] = {
        {NULL, NULL, NULL, 5, 0, 62},          {"a,c", NULL, NULL, 2, 0, 10},
        {" c , a ", NULL, NULL, 2, 0, 10},     {"1, -1", NULL, NULL, 2, 0, 34},
        {"2..4", NULL, NULL, 3, 0, 28},        {"c..-1", NULL, NULL, 3, 0, 56},
        {NULL, "a, \"b, x\"", NULL, 3, 0, 56}, {NULL, NULL, "-2..-1", 3, 2, 14},
        {"a..c", NULL, "7", 3, 1, 14},         {"1..1", NULL, NULL, 1, 0, 2},
    };
    static const char *const bad[] = {"z", "0", "6", "-6", "1.5", "c..a", "a..z", "..", "a,a", ","};
    const char *text = "a,\"b, x\",c,d,7\n2,4,8,16,32\n2,4,8,16,32\n";
    nn_csv_desc desc = csv_desc(0, 1, 0, 0);
    nn_dataset d;
    size_t i, k;
    for (i = 0; i < COUNT(cases); i++) {
        double sum = 0;
        desc.features = cases[i].features, desc.ignore = cases[i].ignore;
        desc.targets = cases[i].targets;
        CHECK_OK(load_csv(text, &desc, &d));
        CHECK_INT(d.features, cases[i].width);
        CHECK_INT(d.target_size, cases[i].target_size);
        for (k = 0; k < d.features; k++) sum += (double)((const nn_real *)d.samples)[k];
        CHECK_NEAR(sum, cases[i].sum, 0);
        nn_dataset_free(&d);
    }
    desc = csv_desc(0, 1, 0, 0);
    for (i = 0; i < COUNT(bad); i++) {
        desc.targets = bad[i];
        CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_BAD_ARGUMENT, "targets", "");
        CHECK(holds_failure(&d, NN_ERROR_BAD_ARGUMENT));
    }
    desc.targets = "a", desc.ignore = "1..2";
    CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_BAD_ARGUMENT, "ignore has column 1", "twice");
    desc.ignore = "b, x";
    CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_BAD_ARGUMENT, "ignore is 'b'", "among 5");
    desc.ignore = NULL, desc.features = "a, c";
    CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_BAD_ARGUMENT, "features has column 1", "");
    desc.features = NULL, desc.ignore = "2..-1";
    CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_EMPTY, "no column of features", "");
    desc = csv_desc(0, 1, 0, 0), desc.labels = "y"; /* the wrong one would stay as a feature */
    text = "y,x,y\n0,3,1\n1,4,0\n";
    CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_BAD_ARGUMENT, "labels is 'y'", "more than one");
    desc.labels = "x..y";
    CHECK_ERROR(load_csv(text, &desc, &d), NN_ERROR_BAD_ARGUMENT, "labels is 'x..y'", "no such");
    desc.labels = "3", desc.ignore = "1";
    CHECK_OK(load_csv(text, &desc, &d));
    CHECK(d.features == 1 && d.labels && d.labels[0] == 1 && d.labels[1] == 0);
    nn_dataset_free(&d);
}

static void csv_several_targets_and_one_hot_labels(void)
{
    static const double features[] = {0.98, 514.5, 0.62, 808.5};
    static const double targets[] = {15.5, 21.3, 16.4, 25.1};
    static const char *const names[] = {"cat", "dog", "owl"};
    static const int labels[] = {2, 0, 1};
    static const char *const bad[] = {"1,1,0,0\n", "0,0,0,0\n", "0.5,0,0.5,0\n", "1,0,x,0\n",
                                      "1,0,,0\n", "2,0,0,0\n"};
    nn_csv_desc desc = csv_desc(0, 0, 0, 0);
    nn_dataset d;
    size_t i;
    desc.targets = "-2, -1";
    CHECK_OK(load_csv("0.98,514.5,15.5,21.3\n0.62,808.5,16.4,25.1\n", &desc, &d));
    check_values(&d, 4, features);
    check_targets(&d, 4, targets);
    nn_dataset_free(&d);
    desc.targets = NULL, desc.labels = "cat..owl";
    CHECK_OK(load_csv("cat,dog,owl,x\n0,0,1,5\n1.0,0,0,6\n0,1,0,7\n", &desc, &d));
    check_labels(&d, 3, labels);
    check_names(&d, 3, names);
    CHECK_INT(d.features, 1);
    nn_dataset_free(&d);
    desc.labels = "1..3";
    for (i = 0; i < COUNT(bad); i++)
        CHECK_ERROR(load_csv(bad[i], &desc, &d), NN_ERROR_BAD_LABEL, "line 1",
                    i == 4 ? "missing" : "one-hot");
}

static void csv_numeric_classes(void)
{
    static const struct {
        const char *text;
        int relabel, classes, labels[4];
        const char *names[4];
    } cases[] = {
        {"9,1.0\n8,1.0\n1,0.0\n2,0.0\n", 0, 2, {1, 1, 0, 0}, {0}},
        {"9,+1\n8,01\n1,1e0\n2,0\n", 0, 2, {1, 1, 1, 0}, {0}},
        {"9,+1\n8,-1\n1,1\n2,-1.0\n", 0, 2, {1, 0, 1, 0}, {"-1", "1"}},
        {"9,10\n8,9\n1,2\n2,10\n", 0, 11, {10, 9, 2, 10}, {0}},
        {"9,10\n8,9\n1,2\n2,10\n", 1, 3, {2, 1, 0, 2}, {"2", "9", "10"}},
        {"9,0.5\n8,2.5\n1,.5\n2,1e1\n", 0, 3, {0, 1, 0, 2}, {"0.5", "2.5", "10"}},
        {"9,-0\n8,0\n1,0.0\n2,1\n", 0, 2, {0, 0, 0, 1}, {0}},
        {"9,-0\n8,0\n1,-3\n2,1\n", 0, 3, {1, 1, 0, 2}, {"-3", "0", "1"}},
        {"9,1\n8,1.0\n1,one\n2,1\n", 0, 3, {0, 1, 2, 0}, {"1", "1.0", "one"}},
        {"9,1e15\n8,123456789012345678\n1,0.1\n2,1e22\n", 1, 4, {1, 2, 0, 3},
         {"0.1", "1e+15", "1.2345678901234568e+17", "1e+22"}},
    };
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        nn_csv_desc desc = csv_desc(0, 0, -1, 0);
        nn_dataset d;
        desc.relabel = cases[i].relabel;
        CHECK_OK(load_csv(cases[i].text, &desc, &d));
        check_labels(&d, 4, cases[i].labels);
        CHECK_INT(d.classes, cases[i].classes);
        if (cases[i].names[0]) check_names(&d, cases[i].classes, cases[i].names);
        else CHECK(!d.class_names);
        nn_dataset_free(&d);
    }
}

/* Time in proportion to the names: by comparison of all pairs this would take minutes. */
static void csv_many_classes(void)
{
    FILE *f = fopen(TMP("data.csv"), "wb");
    size_t i, wrong = 0;
    nn_csv_desc desc = csv_desc(0, 0, 1, 0);
    nn_dataset d;
    CHECK(f != NULL);
    if (!f) return;
    for (i = 0; i < 400000; i++) fprintf(f, "c%d,%d\n", (int)(i % 200000), (int)(i % 13));
    fclose(f);
    CHECK_OK(nn_load_csv(TMP("data.csv"), &desc, &d));
    CHECK_INT(d.classes, 200000);
    for (i = 0; i < d.count; i++) wrong += d.labels[i] != (int)(i % 200000);
    CHECK_INT(wrong, 0);
    CHECK(d.class_names && !strcmp(d.class_names[199999], "c199999"));
    nn_dataset_free(&d);
}

static const char passengers[] =
    "id,outcome,class,name,sex,age,fare,port\n1,0,3,\"Doe, Mr. A. \"\"Al\"\"\",male,22,7.25,S\n"
    "2,1,1,\"Roe, Mrs. B.\",female,,71.28,C\n3,1,3,\"Poe, Miss C.\",female,26,7.92,S\n"
    "4,0,2,\"Loe, Mr.\",male,33,NA,Q\n";

static nn_csv_desc passenger_desc(nn_missing fill)
{
    nn_csv_desc desc = csv_desc(0, 1, 0, 0);
    desc.labels = "outcome", desc.ignore = "id, name", desc.one_hot = "sex, port";
    desc.missing = "NA, ?", desc.fill = fill;
    return desc;
}

/* Where each feature comes from, in a view too; nothing to say of other sets and past the end. */
static void csv_feature_names(void)
{
    static const char *const names[] = {"class", "sex", "sex", "age", "fare", "port", "port",
                                        "port"};
    static const char *const categories[] = {"", "male", "female", "", "", "S", "C", "Q"};
    nn_csv_desc desc = passenger_desc(NN_MISSING_MEAN);
    const char *category = "";
    const nn_real x[2] = {0, 0};
    nn_dataset d, view, plain;
    CHECK_OK(load_csv(passengers, &desc, &d));
    CHECK_OK(nn_dataset_subset(&d, 1, 2, &view));
    CHECK_INT(d.features, 8);
    for (size_t i = 0; i < 8; i++) {
        CHECK_STR(nn_dataset_feature_name(i % 2 ? &view : &d, i, &category), names[i]);
        CHECK_STR(category ? category : "", categories[i]);
        CHECK(nn_dataset_feature_name(&d, i, NULL) != NULL);
    }
    CHECK(nn_dataset_feature_name(&d, 8, &category) == NULL && category == NULL);
    CHECK(nn_dataset_feature_name(NULL, 0, NULL) == NULL);
    nn_dataset_free(&view);
    nn_dataset_free(&d);
    CHECK_OK(nn_dataset_from_arrays(x, 2, 1, NULL, 0, &plain));
    CHECK(nn_dataset_feature_name(&plain, 0, &category) == NULL && category == NULL);
    nn_dataset_free(&plain);
    desc = csv_desc(0, -1, 0, 0);
    desc.labels = "1", desc.one_hot = "2";
    CHECK_OK(load_csv("0,red\n1,blue\n", &desc, &d));
    CHECK(nn_dataset_feature_name(&d, 1, &category) == NULL);
    CHECK_STR(category ? category : "", "blue");
    nn_dataset_free(&d);
}

static void csv_categories_and_gaps(void)
{
    static const double mean[] = {3, 1, 0, 22, 7.25, 1, 0, 0, 1, 0, 1, 27, 71.28, 0, 1, 0,
                                  3, 0, 1, 26, 7.92, 1, 0, 0,
                                  2, 1, 0, 33, 28.816666666666666, 0, 0, 1};
    static const int labels[] = {0, 1, 1, 0}, kept[] = {0, 1};
    double expected[32];
    nn_csv_desc desc = passenger_desc(NN_MISSING_MEAN);
    nn_dataset d;
    memcpy(expected, mean, sizeof expected);
    expected[8] = 1, expected[9] = 0, expected[10] = 1;
    CHECK_OK(load_csv(passengers, &desc, &d));
    CHECK_INT(d.features, 8);
    check_labels(&d, 4, labels);
    check_gathered(&d, 32, expected, 30 * eps);
    nn_dataset_free(&d);
    desc.fill = NN_MISSING_MEDIAN;
    expected[11] = 26, expected[28] = 7.92;
    CHECK_OK(load_csv(passengers, &desc, &d));
    check_values(&d, 32, expected);
    nn_dataset_free(&d);
    desc.fill = NN_MISSING_MOST_FREQUENT;
    expected[11] = 22, expected[28] = 7.25;
    CHECK_OK(load_csv(passengers, &desc, &d));
    check_values(&d, 32, expected);
    nn_dataset_free(&d);
    desc.fill = NN_MISSING_SKIP;
    CHECK_OK(load_csv(passengers, &desc, &d));
    CHECK_INT(d.features, 6);
    check_labels(&d, 2, kept);
    nn_dataset_free(&d);
    desc.fill = NN_MISSING_ERROR;
    CHECK_ERROR(load_csv(passengers, &desc, &d), NN_ERROR_BAD_NUMBER, "line 3, column 6 (age)",
                "fill");
    desc.fill = (nn_missing)5;
    CHECK_ERROR(load_csv(passengers, &desc, &d), NN_ERROR_BAD_ARGUMENT, "fill is 5", "");
    desc = passenger_desc(NN_MISSING_MEAN);
    CHECK_ERROR(load_csv("outcome,id,name,sex,port,age\n0,1,a,male,S,\n1,2,b,male,S,?\n", &desc,
                         &d),
                NN_ERROR_EMPTY, "column 6", "no value");
    CHECK_ERROR(load_csv("outcome,id,name,sex,port,age\n,1,a,male,S,1\n", &desc, &d),
                NN_ERROR_BAD_LABEL, "column 1 (outcome)", "missing");
    desc.fill = NN_MISSING_SKIP;
    CHECK_ERROR(load_csv("outcome,id,name,sex,port,age\n0,1,a,male,S,\n", &desc, &d),
                NN_ERROR_EMPTY, "without a gap", "");
}

/* Codes keep one feature; a gap in a category is its most frequent one; numbers are in order. */
static void csv_codes(void)
{
    static const double codes[] = {2, 0, 0, 0, 1, 0, 1, 1, 2, 0};
    static const double hot[] = {0, 0, 1, 1, 0, 0, 0, 1, 0};
    nn_csv_desc desc = csv_desc(0, -1, 0, 0);
    nn_dataset d;
    desc.codes = "1, 2", desc.fill = NN_MISSING_MEAN;
    CHECK_OK(load_csv("30,x\n4,x\n10.0,\n1e1,y\n30,x\n", &desc, &d));
    CHECK_INT(d.features, 2);
    check_values(&d, 10, codes);
    nn_dataset_free(&d);
    desc.codes = NULL, desc.one_hot = "1", desc.fill = NN_MISSING_ERROR, desc.ignore = "2";
    CHECK_OK(load_csv("30,x\n4,x\n10.0,\n", &desc, &d));
    check_values(&d, 9, hot);
    nn_dataset_free(&d);
}

/* Files with other labels that were not read like each other do not belong together. */
static void csv_classes_agree(void)
{
    static const char *const names[] = {"a", "b"};
    nn_csv_desc desc = csv_desc(0, -1, 0, 0);
    nn_dataset train, test;
    desc.labels = "-1";
    CHECK_OK(load_csv("5,0\n6,1\n", &desc, &train));
    CHECK_OK(load_csv("5,-1\n6,1\n", &desc, &test));
    CHECK_ERROR(nn__check_kin("nn_evaluate", &test, &train), NN_ERROR_MISMATCH,
                "nn_evaluate: class 0 is '-1', in the training set it is '0'", "nn_csv_desc.like");
    CHECK_ERROR(nn__check_kin("nn_evaluate", &train, &test), NN_ERROR_MISMATCH,
                "class 0 is '0', in the training set it is '-1'", "nn_csv_desc.like");
    nn_dataset_free(&test);
    CHECK_OK(load_csv("5,-1\n6,1\n7,0\n", &desc, &test));
    CHECK_ERROR(nn__check_kin("nn_evaluate", &test, &train), NN_ERROR_MISMATCH,
                "3 classes, the training set 2", "nn_csv_desc.like");
    nn_dataset_free(&test);
    CHECK_OK(load_csv("5,-1\n6,1\n", &desc, &test));
    train.columns = NULL; /* where labels come from elsewhere, no one has named them */
    CHECK_OK(nn__check_kin("nn_evaluate", &test, &train));
    nn_dataset_free(&test);
    train.columns = (const struct nn__columns *)train.owned[NN__OWNS_COLUMNS];
    desc.relabel = 1;
    CHECK_OK(load_csv("5,1\n6,0\n", &desc, &test)); /* named 0 and 1 */
    CHECK(test.class_names && !train.class_names);
    CHECK_OK(nn__check_kin("nn_evaluate", &test, &train));
    CHECK_OK(nn__check_kin("nn_evaluate", &train, &test));
    nn_dataset_free(&test);
    nn_dataset_free(&train);
    desc.relabel = 0, desc.header = 1, desc.labels = "2, 3"; /* one-hot: the header has the names */
    CHECK_OK(load_csv("x,a,b\n5,0,1\n6,1,0\n", &desc, &train));
    check_names(&train, 2, names);
    desc.header = -1;
    CHECK_OK(load_csv("5,0,1\n", &desc, &test));
    CHECK_ERROR(nn__check_kin("nn_evaluate", &test, &train), NN_ERROR_MISMATCH, "'a'", "like");
    nn_dataset_free(&test);
    desc.like = &train;
    CHECK_OK(load_csv("5,0,1\n", &desc, &test));
    check_names(&test, 2, names);
    CHECK_OK(nn__check_kin("nn_evaluate", &test, &train));
    nn_dataset_free(&test);
    nn_dataset_free(&train);
    desc.like = NULL;
    CHECK_OK(load_csv("5,0,1\n", &desc, &train));
    desc.header = 1, desc.like = &train;
    CHECK_OK(load_csv("x,a,b\n5,0,1\n", &desc, &test));
    CHECK(!test.class_names);
    CHECK_OK(nn__check_kin("nn_evaluate", &test, &train));
    nn_dataset_free(&test);
    nn_dataset_free(&train);
}

/* The next file gets the classes, categories and fills of the first. */
static void csv_like(void)
{
    static const char first[] = "kind,colour,size\npear,red,1\nplum,blue,2\nfig,red,\n";
    static const char *const names[] = {"pear", "plum", "fig"};
    static const int labels[] = {2, 1}, none[] = {0}, in_order[] = {0, 1, 2};
    static const double expected[] = {0, 1, 5, 0, 1, 1.5};
    nn_csv_desc desc = csv_desc(0, 0, 0, 0);
    nn_dataset train, test, other;
    desc.labels = "kind", desc.one_hot = "colour", desc.fill = NN_MISSING_MEAN;
    CHECK_OK(load_csv(first, &desc, &train));
    desc.like = &train;
    CHECK_OK(load_csv("kind,colour,size\nfig,blue,5\nplum,blue,\n", &desc, &test));
    check_names(&test, 3, names);
    check_labels(&test, 2, labels);
    check_values(&test, 6, expected);
    nn_dataset_free(&test);
    CHECK_ERROR(load_csv("size,kind,colour\n1,pear,red\n", &desc, &test), NN_ERROR_MISMATCH, "size",
                "colour");
    CHECK_ERROR(load_csv("kind,colour,size\nnut,blue,5\n", &desc, &test), NN_ERROR_MISMATCH,
                "column 1 (kind): 'nut'", "3 classes");
    CHECK(holds_failure(&test, NN_ERROR_MISMATCH));
    CHECK_ERROR(load_csv("kind,colour,size\nfig,green,5\n", &desc, &test), NN_ERROR_MISMATCH,
                "column 2 (colour): 'green'", "2 categories");
    CHECK_ERROR(load_csv("kind,colour,weight\nfig,red,5\n", &desc, &test), NN_ERROR_MISMATCH,
                "weight", "size");
    CHECK_ERROR(load_csv("kind,colour,size,x\nfig,red,5,1\n", &desc, &test), NN_ERROR_MISMATCH,
                "column 4 (x)", "");
    CHECK_ERROR(load_csv("kind,colour\nfig,red\n", &desc, &test), NN_ERROR_MISMATCH, "like",
                "more");
    desc.labels = NULL, desc.features = "colour, size"; /* a file without labels */
    CHECK_OK(load_csv("id,colour,size\n7,blue,5\n", &desc, &test));
    CHECK(!test.labels && test.features == 3);
    nn_dataset_free(&test);
    desc.like = &other;
    memset(&other, 0, sizeof other);
    CHECK_ERROR(load_csv(first, &desc, &test), NN_ERROR_EMPTY, "like", "empty");
    CHECK_OK(nn_dataset_from_arrays(ten_x, 10, 2, ten_labels, 3, &other));
    CHECK_ERROR(load_csv(first, &desc, &test), NN_ERROR_BAD_ARGUMENT, "like", "nn_load_csv");
    nn_dataset_free(&other);
    desc.like = &train;
    CHECK_ERROR(nn_load_csv(TMP("data.csv"), &desc, &train), NN_ERROR_BAD_ARGUMENT, "like", "");
    check_labels(&train, 3, in_order);
    nn_dataset_free(&train);
    desc.like = NULL, desc.features = NULL, desc.one_hot = NULL, desc.fill = NN_MISSING_ERROR;
    desc.labels = "-1";
    CHECK_OK(load_csv("5,0\n6,3\n", &desc, &train)); /* labels that mean themselves */
    desc.like = &train, desc.fill = NN_MISSING_MEAN;
    CHECK_ERROR(load_csv("5,0\n,3\n", &desc, &test), NN_ERROR_EMPTY, "like", "fill");
    desc.fill = NN_MISSING_ERROR;
    CHECK_OK(load_csv("5,0.0\n", &desc, &test));
    CHECK_INT(test.classes, 4);
    check_labels(&test, 1, none);
    nn_dataset_free(&test);
    CHECK_ERROR(load_csv("5,4\n", &desc, &test), NN_ERROR_MISMATCH, "'4'", "4 classes");
    nn_dataset_free(&train);
    desc.like = NULL, desc.labels = "2", desc.relabel = 1;
    CHECK_OK(load_csv("5,10\n6,2\n7,1.5\n", &desc, &train)); /* numbers that are names */
    desc.like = &train;
    CHECK_OK(load_csv("5,2.0\n5,1e1\n", &desc, &test));
    check_labels(&test, 2, in_order + 1);
    nn_dataset_free(&test);
    nn_dataset_free(&train);
}

/* What was found, and what the file may be instead. */
static void csv_errors_say_what_it_looks_like(void)
{
    static const struct {
        const char *text, *part1, *part2;
        char delimiter;
    } cases[] = {
        {"1;2\n3;4\n", "'1;2'", "separated by ';'", 0},
        {"1,5;2,5\n3,5;4,5\n", "'5;2'", "separated by ';'", 0},
        {"1\t2\n", "'1\t2'", "separated by tabs", 0},
        {"1 2\n3 4\n", "'1 2'", "separated by blanks", 0},
        {"1,2\n", "'1,2'", "separated by ','", ';'},
        {"1,5;2,5\n", "'1,5'", "decimal commas", ';'},
        {"1,\"1,234\"\n", "'1,234'", "separated thousands", 0},
        {"1,$5\n", "'$5'", "currencies", 0},
        {"1,\xE2\x82\xAC" "5\n", "column 2", "currencies", 0},
        {"1,5%\n", "'5%'", "percent", 0},
        {"1,'5'\n", "''5''", "only \" is a quote", 0},
        {"1,\n", "''", "fill", 0},
        {"1,NA\n", "'NA'", "missing", 0},
        {"1,red\n", "'red'", "one_hot", 0},
    };
    nn_dataset d;
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        nn_csv_desc desc = csv_desc(cases[i].delimiter, 0, 0, 0);
        CHECK_ERROR(load_csv(cases[i].text, &desc, &d), NN_ERROR_BAD_NUMBER, cases[i].part1,
                    cases[i].part2);
    }
    write_file(TMP("data.csv"), "\xFF\xFE" "1\0,\0002\0\n\0", 10);
    CHECK_ERROR(nn_load_csv(TMP("data.csv"), NULL, &d), NN_ERROR_BAD_FORMAT, "UTF-16", "UTF-8");
    write_file(TMP("data.csv"), "1\0,\0002\0\n\0", 8);
    CHECK_ERROR(nn_load_csv(TMP("data.csv"), NULL, &d), NN_ERROR_BAD_FORMAT, "UTF-16", "line 1");
}

#if defined(__unix__) || defined(__APPLE__)
/* Pipes and files that say no size are read to their end. */
static void files_that_are_no_plain_files(void)
{
    static const double expected[] = {1, 2, 3, 4};
    static const uint32_t two[] = {2, 2};
    bytes b = make_idx(8, 2, two, 4);
    FILE *proc = fopen("/proc/self/status", "rb");
    nn_dataset d;
    nn__file file;
    write_file(TMP("plain.idx"), b.at, b.size);
    write_labels(TMP("pair-labels"), 2, "\1\0");
    remove(TMP("fifo"));
    CHECK_INT(mkfifo(TMP("fifo"), 0600), 0);
    CHECK_INT(system("printf '1,2\\n3,4\\n' >" TMP("fifo") " &"), 0);
    CHECK_OK(nn_load_csv(TMP("fifo"), NULL, &d));
    check_values(&d, 4, expected);
    nn_dataset_free(&d);
    CHECK_INT(system("cat " TMP("plain.idx") " >" TMP("fifo") " &"), 0);
    CHECK_OK(nn_load_idx(TMP("fifo"), TMP("pair-labels"), 0, &d));
    CHECK_INT(d.count, 2);
    CHECK(d.samples && !memcmp(d.samples, b.at + 12, 4));
    nn_dataset_free(&d);
    remove(TMP("fifo"));
    CHECK_INT(symlink("plain.idx", TMP("fifo")), 0);
    CHECK_OK(nn_load_idx(TMP("fifo"), TMP("pair-labels"), 0, &d));
    nn_dataset_free(&d);
    remove(TMP("fifo"));
    if (!proc) return;
    fclose(proc);
    CHECK_OK(nn__file_read("/proc/self/status", &file));
    CHECK(file.size > 100 && !memcmp(file.bytes, "Name:", 5));
    nn__file_free(&file);
}
#else
static void files_that_are_no_plain_files(void) { CHECK(1); }
#endif

/* Larger than the first guess, and than any power of two. */
static void files_of_every_size(void)
{
    static const size_t sizes[] = {1, 65535, 65536, 65537, 131072, 200001};
    size_t i;
    for (i = 0; i < COUNT(sizes); i++) {
        char *text = (char *)malloc(sizes[i]);
        nn__file file;
        if (!text) abort();
        memset(text, 'x', sizes[i]);
        write_file(TMP("sized"), text, sizes[i]);
        CHECK_OK(nn__file_read(TMP("sized"), &file));
        CHECK_INT(file.size, sizes[i]);
        CHECK(file.bytes && !memcmp(file.bytes, text, sizes[i]));
        nn__file_free(&file);
        free(text);
    }
}

/* --------------------------------------------------------------------------------------- views */

static size_t row_of(const nn_dataset *d, size_t i)
{
    return d->index ? d->index[i] : i;
}

/* `d` views the n named ones of ten_samples, class i % 3 relabelled by relabel[]. */
static void check_ten(const nn_dataset *d, size_t n, const int *ids, const int *relabel)
{
    size_t i;
    CHECK_INT(d->count, n);
    CHECK_INT(d->features, 2);
    CHECK(d->labels != NULL);
    gather_all(d);
    for (i = 0; i < n && i < d->count && d->labels; i++) {
        CHECK_NEAR(gathered[2 * i], ids[i], 0);
        CHECK_NEAR(gathered[2 * i + 1], ids[i] + 100, 0);
        CHECK_INT(d->labels[i], relabel[ids[i] % 3]);
    }
}

static const int same[] = {0, 1, 2};

static void subsets(void)
{
    static const int middle[] = {3, 4, 5, 6, 7, 8}, inner[] = {5, 6}, all[] = {0, 1, 2, 3, 4, 5, 6};
    nn_dataset d = ten_samples(), a, b, c;
    POISON(a);
    CHECK_OK(nn_dataset_subset(&d, 3, 6, &a));
    CHECK_INT(a.classes, 3);
    CHECK_INT(a.rank, 1);
    CHECK_INT(a.shape[0], 2);
    check_ten(&a, 6, middle, same);
    CHECK_OK(nn_dataset_subset(&a, 2, 2, &b));
    check_ten(&b, 2, inner, same);
    CHECK_OK(nn_dataset_subset(&b, 1, 1, &c));
    check_ten(&c, 1, inner + 1, same);
    nn_dataset_free(&c);
    nn_dataset_free(&b);
    check_ten(&a, 6, middle, same);
    CHECK_ERROR(nn_dataset_subset(&a, 2, 5, &b), NN_ERROR_BAD_ARGUMENT, "6", "");
    CHECK(is_empty(&b));
    CHECK_ERROR(nn_dataset_subset(&a, 7, 1, &b), NN_ERROR_BAD_ARGUMENT, "7", "6");
    CHECK_ERROR(nn_dataset_subset(&a, 2, (size_t)-1, &b), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_dataset_subset(&a, (size_t)-1, 2, &b), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK(is_empty(&b));
    nn_dataset_free(&a);
    CHECK_OK(nn_dataset_subset(&d, 0, 7, &a));
    check_ten(&a, 7, all, same);
    nn_dataset_free(&a);
    nn_dataset_free(&d);
}

static void views_keep_shape_targets_and_names(void)
{
    static const int classes[] = {2, 1};
    static const char *const names[] = {"owl", "cat", "pig"}, *const swapped[] = {"pig", "cat"};
    static const nn_real targets[] = {0, 10, 20, 30, 40};
    nn_csv_desc desc = csv_desc(0, 0, -1, 0);
    size_t shape[2] = {1, 2}, i;
    nn_dataset d, a, b;
    CHECK_OK(load_csv("0,0,owl\n1,1,cat\n2,2,cat\n3,3,pig\n4,4,cat\n", &desc, &d));
    CHECK_OK(nn_dataset_set_shape(&d, 2, shape));
    CHECK_OK(nn_dataset_set_targets(&d, targets, 1));
    CHECK_OK(nn_dataset_subset(&d, 1, 4, &a));
    check_names(&a, 3, names);
    CHECK_OK(nn_dataset_select_classes(&a, 2, classes, &b));
    check_names(&b, 2, swapped);
    CHECK_INT(b.rank, 2);
    CHECK_INT(b.shape[1], 2);
    CHECK_INT(b.target_size, 1);
    gather_all(&b);
    for (i = 0; i < b.count; i++) {
        CHECK_NEAR(gathered[2 * i], i + 1, 0);
        CHECK_NEAR(b.targets[row_of(&b, i)], 10 * (i + 1), 0);
    }
    nn_dataset_free(&b);
    nn_dataset_free(&a);
    check_names(&d, 3, names);
    nn_dataset_free(&d);
}

static void views_normalise_on_their_own(void)
{
    nn_dataset d = ten_samples(), a;
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, 1, 3));
    CHECK_OK(nn_dataset_subset(&d, 4, 2, &a));
    gather_all(&a);
    CHECK_NEAR(gathered[0], 9, 0);
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, 0, 5));
    gather_all(&a);
    CHECK_NEAR(gathered[0], 9, 0);
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, 1, 3));
    CHECK(a.scale != d.scale && a.shift != d.shift);
    CHECK_OK(nn_dataset_rescale(&a, 0, 1, 0, -1));
    gather_all(&a);
    CHECK_NEAR(gathered[0], -4, 0);
    gather_all(&d);
    CHECK_NEAR(gathered[8], 9, 0);
    a.labels[0] = 0;
    CHECK_INT(d.labels[4], 1);
    nn_dataset_free(&a);
    gather_all(&d);
    CHECK_NEAR(gathered[8], 9, 0);
    nn_dataset_free(&d);
}

static void select_classes(void)
{
    static const int two_zero[] = {2, 0}, relabel[] = {1, -1, 0}, one[] = {1}, only[] = {-1, 0, -1};
    static const int ids20[] = {0, 2, 3, 5, 6, 8, 9}, ids1[] = {1, 4, 7}, inner[] = {3, 5, 6};
    static const int duplicate[] = {1, 1}, beyond[] = {0, 3}, negative[] = {-1};
    nn_dataset d = ten_samples(), a, b;
    POISON(a);
    CHECK_OK(nn_dataset_select_classes(&d, 2, two_zero, &a));
    CHECK_INT(a.classes, 2);
    check_ten(&a, 7, ids20, relabel);
    CHECK_OK(nn_dataset_subset(&a, 2, 3, &b));
    check_ten(&b, 3, inner, relabel);
    nn_dataset_free(&b);
    nn_dataset_free(&a);
    CHECK_OK(nn_dataset_select_classes(&d, 1, one, &a));
    CHECK_INT(a.classes, 1);
    check_ten(&a, 3, ids1, only);
    nn_dataset_free(&a);
    CHECK_ERROR(nn_dataset_select_classes(&d, 2, duplicate, &a), NN_ERROR_BAD_ARGUMENT, "1", "");
    CHECK_ERROR(nn_dataset_select_classes(&d, 2, beyond, &a), NN_ERROR_BAD_LABEL, "3", "");
    CHECK_ERROR(nn_dataset_select_classes(&d, 1, negative, &a), NN_ERROR_BAD_LABEL, "-1", "");
    CHECK_ERROR(nn_dataset_select_classes(&d, 0, one, &a), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_dataset_select_classes(&d, 1, NULL, &a), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK(is_empty(&a));
    CHECK_OK(nn_dataset_subset(&d, 1, 1, &b));
    CHECK_ERROR(nn_dataset_select_classes(&b, 2, two_zero, &a), NN_ERROR_EMPTY, "", "");
    nn_dataset_free(&b);
    nn_dataset_free(&d);
    CHECK_OK(nn_dataset_from_arrays(ten_x, 10, 2, NULL, 0, &d));
    CHECK_ERROR(nn_dataset_select_classes(&d, 1, one, &a), NN_ERROR_BAD_ARGUMENT, "labels", "");
    CHECK(is_empty(&a));
    nn_dataset_free(&d);
}

/* Adds 1 to seen[id] for every sample of ten_samples in d. */
static void count_ids(const nn_dataset *d, int *seen)
{
    size_t i;
    gather_all(d);
    for (i = 0; i < d->count; i++) {
        int id = (int)gathered[2 * i];
        CHECK(id >= 0 && id < 10 && gathered[2 * i + 1] == (nn_real)(id + 100));
        CHECK_INT(d->labels[i], id % 3);
        if (id >= 0 && id < 10) seen[id]++;
    }
}

static void split_is_complete(void)
{
    static const struct {
        size_t count;
        double fraction;
        size_t in_a;
    } cases[] = {{10, 0.25, 3}, {10, 0.24, 2}, {10, 0.9, 9}, {10, 0.94, 9}, {5, 0.5, 3},
                 {3, 0.5, 2},   {7, 0.1, 1},   {2, 0.5, 1},  {10, 0.8, 8},  {10, 0.3, 3}};
    size_t i, k;
    nn_dataset d = ten_samples();
    for (i = 0; i < COUNT(cases); i++) {
        int seen[10] = {0};
        nn_dataset part, a, b;
        POISON(a);
        POISON(b);
        CHECK_OK(nn_dataset_subset(&d, 10 - cases[i].count, cases[i].count, &part));
        CHECK_OK(nn_dataset_split(&part, cases[i].fraction, 7 + i, &a, &b));
        CHECK_INT(a.count, cases[i].in_a);
        CHECK_INT(b.count, cases[i].count - cases[i].in_a);
        CHECK_INT(a.classes, 3);
        count_ids(&a, seen);
        count_ids(&b, seen);
        for (k = 0; k < 10; k++) CHECK_INT(seen[k], k >= 10 - cases[i].count);
        nn_dataset_free(&a);
        nn_dataset_free(&b);
        nn_dataset_free(&part);
    }
    nn_dataset_free(&d);
}

/* Bit i is set when a split by this seed puts sample i into the first part. */
static unsigned split_of_seed(const nn_dataset *d, uint64_t seed)
{
    int seen[10] = {0}, i;
    unsigned set = 0;
    nn_dataset a, b;
    CHECK_OK(nn_dataset_split(d, 0.5, seed, &a, &b));
    count_ids(&a, seen);
    for (i = 0; i < 10; i++) set |= seen[i] ? 1u << i : 0u;
    nn_dataset_free(&a);
    nn_dataset_free(&b);
    return set;
}

static void split_depends_on_seed(void)
{
    nn_dataset d = ten_samples();
    int times_in_a[10] = {0}, i;
    unsigned differ = 0, first = split_of_seed(&d, 0);
    uint64_t seed;
    for (seed = 0; seed < 200; seed++) {
        unsigned set = split_of_seed(&d, seed);
        CHECK_INT(split_of_seed(&d, seed), set);
        differ += set != first;
        for (i = 0; i < 10; i++) times_in_a[i] += (int)(set >> i & 1);
    }
    CHECK(differ > 150);
    /* 200 fair coins: 100 heads, deviation 7.1; 30 off is 4.2 deviations. */
    for (i = 0; i < 10; i++) CHECK(times_in_a[i] > 70 && times_in_a[i] < 130);
    nn_dataset_free(&d);
}

static void split_is_checked(void)
{
    static const double bad[] = {0, 1, -0.5, 1.5, (double)NAN, (double)INFINITY, -(double)NAN};
    static const double one_sided[] = {0.04, 0.96};
    nn_dataset d = ten_samples(), one, a, b;
    size_t i;
    for (i = 0; i < COUNT(bad); i++) {
        POISON(a);
        POISON(b);
        CHECK_ERROR(nn_dataset_split(&d, bad[i], 1, &a, &b), NN_ERROR_BAD_ARGUMENT, "", "");
        CHECK(is_empty(&a) && is_empty(&b));
    }
    for (i = 0; i < COUNT(one_sided); i++) {
        POISON(a);
        POISON(b);
        CHECK_ERROR(nn_dataset_split(&d, one_sided[i], 1, &a, &b), NN_ERROR_EMPTY, "10", "");
        CHECK(is_empty(&a) && is_empty(&b));
    }
    CHECK_ERROR(nn_dataset_split(&d, 0.5, 1, &a, &a), NN_ERROR_BAD_ARGUMENT, "same struct", "");
    CHECK_ERROR(nn_dataset_split(&d, 0.5, 1, &a, NULL), NN_ERROR_BAD_ARGUMENT, "part is NULL", "");
    CHECK_ERROR(nn_dataset_split(&d, 0.5, 1, &d, &b), NN_ERROR_BAD_ARGUMENT, "set itself", "");
    CHECK(holds_failure(&b, NN_ERROR_BAD_ARGUMENT));
    CHECK_INT(d.count, 10);
    CHECK_OK(nn_dataset_subset(&d, 0, 1, &one));
    CHECK_ERROR(nn_dataset_split(&one, 0.5, 1, &a, &b), NN_ERROR_EMPTY, "1", "");
    nn_dataset_free(&one);
    nn_dataset_free(&d);
}

/* ------------------------------------------------------------------------------------ sampling */

static void select_any_list(void)
{
    static const size_t list[] = {9, 0, 0, 4, 9}, beyond[] = {3, 10};
    static const int ids[] = {9, 0, 0, 4, 9}, inner_ids[] = {4, 0};
    static const size_t inner[] = {3, 2};
    nn_dataset d = ten_samples(), a, b;
    CHECK_OK(nn_dataset_select(&d, list, 5, &a));
    check_ten(&a, 5, ids, same);
    CHECK_OK(nn_dataset_select(&a, inner, 2, &b));
    check_ten(&b, 2, inner_ids, same);
    nn_dataset_free(&b);
    nn_dataset_free(&a);
    CHECK_ERROR(nn_dataset_select(&d, beyond, 2, &a), NN_ERROR_BAD_ARGUMENT, "index 10", "10");
    CHECK(holds_failure(&a, NN_ERROR_BAD_ARGUMENT));
    CHECK_ERROR(nn_dataset_select(&d, NULL, 2, &a), NN_ERROR_BAD_ARGUMENT, "samples", "NULL");
    CHECK_ERROR(nn_dataset_select(&d, list, 0, &a), NN_ERROR_BAD_ARGUMENT, "count", "");
    CHECK_ERROR(nn_dataset_select(&d, list, 1, &d), NN_ERROR_BAD_ARGUMENT, "set itself", "");
    CHECK_ERROR(nn_dataset_select(&d, list, 1, NULL), NN_ERROR_BAD_ARGUMENT, "out is NULL", "");
    nn_dataset_free(&d);
}

/* 97 samples of classes 0 (50), 1 (30), 3 (17); of class 2 there is none. */
enum { MANY = 97 };
static nn_real many_x[MANY];
static int many_labels[MANY];

static nn_dataset many_samples(void)
{
    nn_dataset d;
    int i;
    for (i = 0; i < MANY; i++) {
        many_x[i] = (nn_real)i;
        many_labels[i] = i % 97 < 50 ? 0 : i < 80 ? 1 : 3;
    }
    CHECK_OK(nn_dataset_from_arrays(many_x, MANY, 1, many_labels, 4, &d));
    return d;
}

/* How often every sample and every class is in d. */
static void count_samples(const nn_dataset *d, int *seen, int *per_class)
{
    size_t i;
    memset(per_class, 0, 4 * sizeof *per_class);
    for (i = 0; i < d->count; i++) {
        nn_real x;
        CHECK_OK(nn_dataset_gather(d, &i, 1, &x));
        seen[(int)x]++;
        CHECK_INT(d->labels[i], many_labels[(int)x]);
        per_class[d->labels[i]]++;
    }
}

static void split_by_class(void)
{
    static const double fractions[] = {0.5, 0.2, 0.1, 0.8, 0.013};
    static const int sizes[] = {50, 30, 0, 17};
    nn_dataset d = many_samples(), a, b;
    size_t f;
    int c, seen[MANY], again[MANY], of_a[4], of_b[4];
    uint64_t seed;
    for (f = 0; f < COUNT(fractions); f++)
        for (seed = 0; seed < 5; seed++) {
            memset(seen, 0, sizeof seen);
            CHECK_OK(nn_dataset_split_stratified(&d, fractions[f], seed, &a, &b));
            CHECK_INT(a.count, (size_t)(fractions[f] * MANY + 0.5));
            count_samples(&a, seen, of_a);
            memcpy(again, seen, sizeof seen);
            count_samples(&b, seen, of_b);
            for (c = 0; c < 4; c++) {
                CHECK(fabs(of_a[c] - fractions[f] * sizes[c]) < 1);
                CHECK_INT(of_a[c] + of_b[c], sizes[c]);
            }
            for (c = 0; c < MANY; c++) CHECK_INT(seen[c], 1);
            nn_dataset_free(&a);
            nn_dataset_free(&b);
            CHECK_OK(nn_dataset_split_stratified(&d, fractions[f], seed, &a, &b));
            count_samples(&a, again, of_a);
            for (c = 0; c < MANY; c++) CHECK(again[c] == 0 || again[c] == 2);
            nn_dataset_free(&a);
            nn_dataset_free(&b);
        }
    CHECK_ERROR(nn_dataset_split_stratified(&d, 1, 1, &a, &b), NN_ERROR_BAD_ARGUMENT,
                "nn_dataset_split_stratified", "fraction is 1");
    CHECK(holds_failure(&a, NN_ERROR_BAD_ARGUMENT) && is_empty(&b));
    CHECK_ERROR(nn_dataset_split_stratified(&d, 0.001, 1, &a, &b), NN_ERROR_EMPTY, "97", "");
    nn_dataset_free(&d);
    CHECK_OK(nn_dataset_from_arrays(many_x, MANY, 1, NULL, 0, &d));
    CHECK_ERROR(nn_dataset_split_stratified(&d, 0.5, 1, &a, &b), NN_ERROR_BAD_ARGUMENT, "no labels",
                "");
    CHECK_ERROR(nn_dataset_fold(&d, 5, 0, 1, 1, &a, &b), NN_ERROR_BAD_ARGUMENT, "no labels", "");
    CHECK_OK(nn_dataset_fold(&d, 5, 0, 0, 1, &a, &b));
    nn_dataset_free(&a);
    nn_dataset_free(&b);
    nn_dataset_free(&d);
}

/* Over all folds every sample is held out once; sizes, and with strata classes, differ by 1. */
static void folds(void)
{
    static const size_t counts[] = {2, 5, 10, MANY};
    static const int sizes[] = {50, 30, 0, 17};
    nn_dataset d = many_samples(), train, held;
    size_t k, fold;
    int c, stratified, of_train[4], of_held[4];
    for (k = 0; k < COUNT(counts); k++)
        for (stratified = 0; stratified < 2; stratified++) {
            int seen[MANY] = {0};
            for (fold = 0; fold < counts[k]; fold++) {
                int both[MANY] = {0};
                CHECK_OK(nn_dataset_fold(&d, counts[k], fold, stratified, 7, &train, &held));
                CHECK(held.count == MANY / counts[k] || held.count == MANY / counts[k] + 1);
                count_samples(&train, both, of_train);
                count_samples(&held, both, of_held);
                count_samples(&held, seen, of_held);
                for (c = 0; c < MANY; c++) CHECK_INT(both[c], 1);
                for (c = 0; stratified && c < 4; c++)
                    CHECK(fabs(of_held[c] - (double)sizes[c] / (double)counts[k]) < 1);
                nn_dataset_free(&train);
                nn_dataset_free(&held);
            }
            for (c = 0; c < MANY; c++) CHECK_INT(seen[c], 1);
        }
    CHECK_ERROR(nn_dataset_fold(&d, 1, 0, 0, 1, &train, &held), NN_ERROR_BAD_ARGUMENT, "of 1", "");
    CHECK_ERROR(nn_dataset_fold(&d, 98, 0, 0, 1, &train, &held), NN_ERROR_BAD_ARGUMENT, "98", "97");
    CHECK_ERROR(nn_dataset_fold(&d, 5, 5, 0, 1, &train, &held), NN_ERROR_BAD_ARGUMENT, "fold 5",
                "");
    CHECK(holds_failure(&train, NN_ERROR_BAD_ARGUMENT) && is_empty(&held));
    nn_dataset_free(&d);
}

static void bootstrap(void)
{
    nn_dataset d = many_samples(), drawn, rest, one, again;
    int c, seen[MANY], left[MANY], classes[4];
    double total = 0;
    uint64_t seed;
    for (seed = 0; seed < 200; seed++) {
        memset(seen, 0, sizeof seen);
        memset(left, 0, sizeof left);
        CHECK_OK(nn_dataset_bootstrap(&d, seed, &drawn, &rest));
        CHECK_INT(drawn.count, MANY);
        count_samples(&drawn, seen, classes);
        count_samples(&rest, left, classes);
        for (c = 0; c < MANY; c++) CHECK_INT(left[c], seen[c] == 0);
        total += (double)rest.count;
        nn_dataset_free(&drawn);
        nn_dataset_free(&rest);
    }
    /* (1 - 1/97)^97 = 0.3660 of the samples are left out; 200 draws: deviation 0.0022. */
    CHECK_NEAR(total / 200 / MANY, 0.3660, 0.01);
    CHECK_OK(nn_dataset_bootstrap(&d, 3, &drawn, &rest));
    CHECK_OK(nn_dataset_bootstrap(&d, 3, &one, &again));
    CHECK(!memcmp(drawn.index, one.index, MANY * sizeof *one.index));
    nn_dataset_free(&again);
    nn_dataset_free(&one);
    nn_dataset_free(&rest);
    nn_dataset_free(&drawn);
    CHECK_OK(nn_dataset_subset(&d, 0, 1, &one));
    CHECK_ERROR(nn_dataset_bootstrap(&one, 1, &drawn, &rest), NN_ERROR_EMPTY, "drawn", "");
    CHECK(holds_failure(&drawn, NN_ERROR_EMPTY));
    nn_dataset_free(&one);
    CHECK_ERROR(nn_dataset_bootstrap(&d, 1, &drawn, NULL), NN_ERROR_BAD_ARGUMENT, "part", "");
    nn_dataset_free(&d);
}

static void balance_and_class_weights(void)
{
    nn_dataset d = many_samples(), even, part;
    int c, seen[MANY] = {0}, classes[4];
    nn_real weights[4] = {9, 9, 9, 9};
    double mean = 0;
    CHECK_OK(nn_dataset_balance(&d, 5, &even));
    CHECK_INT(even.count, 150);
    count_samples(&even, seen, classes);
    CHECK(classes[0] == 50 && classes[1] == 50 && classes[2] == 0 && classes[3] == 50);
    for (c = 0; c < MANY; c++) {
        int least = many_labels[c] == 3 ? 2 : 1; /* 50 of 50, of 30, of 17 */
        CHECK(seen[c] == least || (many_labels[c] != 0 && seen[c] == least + 1));
    }
    CHECK_OK(nn_dataset_class_weights(&even, weights));
    CHECK(weights[0] == 1 && weights[1] == 1 && weights[2] == 0 && weights[3] == 1);
    nn_dataset_free(&even);
    CHECK_OK(nn_dataset_class_weights(&d, weights));
    CHECK_NEAR(weights[0], 97. / (3 * 50), eps);
    CHECK_NEAR(weights[1], 97. / (3 * 30), 2 * eps);
    CHECK_NEAR(weights[3], 97. / (3 * 17), 2 * eps);
    for (c = 0; c < MANY; c++) mean += (double)weights[many_labels[c]];
    CHECK_NEAR(mean / MANY, 1, 4 * eps);
    CHECK_OK(nn_dataset_subset(&d, 80, 17, &part));
    CHECK_OK(nn_dataset_class_weights(&part, weights));
    CHECK(weights[0] == 0 && weights[3] == 1);
    nn_dataset_free(&part);
    CHECK_ERROR(nn_dataset_class_weights(&d, NULL), NN_ERROR_BAD_ARGUMENT, "weights", "NULL");
    nn_dataset_free(&d);
    CHECK_OK(nn_dataset_from_arrays(many_x, MANY, 1, NULL, 0, &d));
    CHECK_ERROR(nn_dataset_class_weights(&d, weights), NN_ERROR_BAD_ARGUMENT, "no labels", "");
    CHECK_ERROR(nn_dataset_balance(&d, 1, &even), NN_ERROR_BAD_ARGUMENT, "no labels", "");
    CHECK(holds_failure(&even, NN_ERROR_BAD_ARGUMENT));
    nn_dataset_free(&d);
}

/* EMNIST's letters: labels from 1, images on their side. */
static void transposed_images_and_labels_from_1(void)
{
    static const int letters[] = {1, 2, 3}, labels[] = {2, 0, 1};
    nn_dataset d, part;
    size_t i, r, c;
    write_images(TMP("pair-images"), 3, 2, 3);
    write_labels(TMP("pair-labels"), 3, "\3\1\2");
    CHECK_ERROR(load_pair(3, &d), NN_ERROR_BAD_LABEL, "label 3", "0 to 2");
    CHECK_OK(load_pair(4, &d));
    CHECK_OK(nn_dataset_transpose(&d));
    CHECK_INT(d.shape[0], 3);
    CHECK_INT(d.shape[1], 2);
    gather_all(&d);
    for (i = 0; i < 3; i++)
        for (r = 0; r < 2; r++)
            for (c = 0; c < 3; c++)
                CHECK_NEAR(gathered[i * 6 + c * 2 + r],
                           pattern(16 + i * 6 + r * 3 + c) / 255.0, eps);
    CHECK_OK(nn_dataset_select_classes(&d, 3, letters, &part));
    check_labels(&part, 3, labels);
    CHECK_INT(part.classes, 3);
    CHECK_ERROR(nn_dataset_transpose(&part), NN_ERROR_BAD_ARGUMENT, "nn_dataset_transpose",
                "borrows");
    nn_dataset_free(&part);
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_FEATURE));
    CHECK_ERROR(nn_dataset_transpose(&d), NN_ERROR_BAD_ARGUMENT, "per feature", "");
    nn_dataset_free(&d);
    CHECK_OK(load_csv("1,2\n3,4\n", NULL, &d));
    CHECK_ERROR(nn_dataset_transpose(&d), NN_ERROR_BAD_SHAPE, "rank 1", "");
    {
        static const size_t shape[] = {2, 1};
        CHECK_OK(nn_dataset_set_shape(&d, 2, shape));
        CHECK_OK(nn_dataset_transpose(&d));
        CHECK_INT(d.shape[1], 2);
    }
    nn_dataset_free(&d);
}

/* Height and width change places, whatever lies between and behind them; channels stay together. */
static void transposed_images_with_channels(void)
{
    static const size_t sizes[][3] = {{2, 3, 4}, {3, 1, 2}, {1, 5, 1}, {7, 7, 3}};
    char text[2 * 147 * 4 + 1];
    for (int first = 0; first < 2; first++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            const size_t h = sizes[i][0], w = sizes[i][1], n = sizes[i][2], all = h * w * n;
            const size_t stored[] = {h, w, n}, planes[] = {n, h, w};
            nn_real values[147];
            nn_dataset d;
            size_t at = 0;
            for (size_t j = 0; j < 2 * all; j++) /* numbers with 3 digits */
                at += (size_t)snprintf(text + at, sizeof text - at, "%lu%s", (unsigned long)j + 100,
                                       j % all + 1 < all ? "," : "\n");
            CHECK_OK(load_csv(text, NULL, &d));
            CHECK_OK(nn_dataset_set_shape(&d, 3, first ? planes : stored));
            d.channels_first = first;
            CHECK_OK(nn_dataset_transpose(&d));
            CHECK(d.shape[first] == w && d.shape[first + 1] == h && d.shape[first ? 0 : 2] == n);
            nn_net *net = nn_net_create(NULL);
            nn_tensor *in = nn_input_like(net, &d);
            CHECK(in && in->shape[1] == w && in->shape[2] == h && in->shape[3] == n);
            nn_net_destroy(net);
            for (size_t sample = 0; sample < 2; sample++) {
                CHECK_OK(nn_dataset_gather(&d, &sample, 1, values));
                for (size_t y = 0; y < h; y++)
                    for (size_t x = 0; x < w; x++)
                        for (size_t c = 0; c < n; c++)
                            CHECK_INT(values[first ? (c * w + x) * h + y : (x * h + y) * n + c],
                                      100 + sample * all +
                                          (first ? (c * h + y) * w + x : (y * w + x) * n + c));
            }
            nn_dataset_free(&d);
        }
}

/* What is no image has no height. */
static void transposed_images_of_other_ranks(void)
{
    static const size_t shape[] = {2, 1, 2, 1};
    nn_dataset d;
    CHECK_OK(load_csv("1,2,3,4\n5,6,7,8\n", NULL, &d));
    CHECK_OK(nn_dataset_set_shape(&d, 4, shape));
    CHECK_ERROR(nn_dataset_transpose(&d), NN_ERROR_BAD_SHAPE, "rank 4", "rank 2 or 3");
    CHECK(d.shape[0] == 2 && d.shape[2] == 2);
    nn_dataset_free(&d);
}

/* ------------------------------------------------------------------------------- normalisation */

static void rescale(void)
{
    static const uint8_t x[] = {0, 255, 51, 204};
    static const double affine[] = {-3, 124.5, 22.5, 99}, range[] = {-1, 1, -0.6, 0.6};
    static const double flipped[] = {10, 0, 8, 2}, inner[] = {-4, 6, -2, 4};
    static const double bad[][4] = {{5, 5, 0, 1}, {5, 4, 0, 1}, {0, (double)NAN, 0, 1},
                                    {-1e308, 1e308, 0, 1}, {0, 1, 0, (double)INFINITY},
                                    {0, 1, (double)NAN, 1}, {0, 1, -1e308, 1e308},
                                    {0, 1e-300, 0, 1e300}, {0, 1e300, 0, 1e-300}};
    size_t i;
    nn_dataset d, none = {0};
    CHECK_OK(nn_dataset_from_bytes(x, 2, 2, NULL, 0, &d));
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, -3, -2.5));
    CHECK_INT(d.norm_count, 1);
    check_gathered(&d, 4, affine, 0);
    CHECK_OK(nn_dataset_rescale(&d, 0, 255, -1, 1));
    check_gathered(&d, 4, range, 2 * eps);
    CHECK_OK(nn_dataset_rescale(&d, 51, 204, -2, 4));
    check_gathered(&d, 4, inner, 40 * eps);
    CHECK_OK(nn_dataset_rescale(&d, 0, 255, 10, 0));
    check_gathered(&d, 4, flipped, 20 * eps);
    for (i = 0; i < COUNT(bad); i++)
        CHECK_ERROR(nn_dataset_rescale(&d, bad[i][0], bad[i][1], bad[i][2], bad[i][3]),
                    NN_ERROR_BAD_ARGUMENT, "nn_dataset_rescale", i < 4 ? "raw_low" : "scale");
    i = nn_dataset_rescale(&d, 0, 1, 0, 1e300) == NN_OK; /* a double holds it, a float does not */
    CHECK_INT(i, sizeof(nn_real) == 8);
    CHECK_OK(nn_dataset_rescale(&d, 0, 255, 10, 0));
    check_gathered(&d, 4, flipped, 20 * eps);
    nn_dataset_free(&d);
    CHECK_ERROR(nn_dataset_rescale(&none, 0, 1, 0, 1), NN_ERROR_EMPTY, "nn_dataset_rescale", "");
    CHECK_ERROR(nn_dataset_rescale(NULL, 0, 1, 0, 1), NN_ERROR_BAD_ARGUMENT, "NULL", "");
}

/* Means 4, 7, 130 and deviations sqrt(5), 0, 50 by feature; mean 47 and variance 4281 over all:
   (4 (5 + 0 + 2500) + 4 (43^2 + 40^2 + 83^2)) / 12. */
static const uint8_t by_hand[] = {1, 7, 80, 3, 7, 180, 5, 7, 80, 7, 7, 180};

static void standardize_by_hand(void)
{
    double expected[12], root5 = 2.23606797749978969, all = 65.42935121182236;
    nn_dataset d;
    size_t i;
    CHECK_NEAR(all * all, (5 + 2500 + 43 * 43 + 40 * 40 + 83 * 83) / 3.0, 1e-9);
    CHECK_OK(nn_dataset_from_bytes(by_hand, 4, 3, NULL, 0, &d));
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_FEATURE));
    CHECK_INT(d.norm_count, 3);
    for (i = 0; i < 4; i++) {
        expected[3 * i] = (by_hand[3 * i] - 4) / root5;
        expected[3 * i + 1] = 0;
        expected[3 * i + 2] = (by_hand[3 * i + 2] - 130) / 50.0;
    }
    check_gathered(&d, 12, expected, 16 * eps);
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_SET));
    CHECK_INT(d.norm_count, 1);
    for (i = 0; i < 12; i++) expected[i] = (by_hand[i] - 47) / all;
    check_gathered(&d, 12, expected, 16 * eps);
    nn_dataset_free(&d);
}

/* A view is fitted on its own samples. */
static void standardize_of_a_view(void)
{
    static const double expected[] = {-1, -1, 1, 1};
    nn_dataset d = ten_samples(), a, b;
    CHECK_OK(nn_dataset_subset(&d, 4, 6, &a));
    CHECK_OK(nn_dataset_subset(&a, 3, 2, &b));
    CHECK_OK(nn_dataset_standardize(&b, NN_PER_FEATURE));
    check_gathered(&b, 4, expected, 500 * eps);
    CHECK_INT(a.norm_count, 0);
    nn_dataset_free(&b);
    nn_dataset_free(&a);
    nn_dataset_free(&d);
}

/* A deviation that drowns in the mean's square: the two-pass or Welford form is needed. */
static void standardize_far_from_zero(void)
{
    static const double expected[] = {-1, 1, 1, -1};
    nn_real base = (nn_real)(sizeof(nn_real) == 8 ? 1e9 : 4e6), x[4];
    nn_dataset d;
    int per_feature;
    x[0] = x[3] = base;
    x[1] = x[2] = base + 1;
    for (per_feature = 0; per_feature < 2; per_feature++) {
        CHECK_OK(nn_dataset_from_arrays(x, 4, 1, NULL, 0, &d));
        CHECK_OK(nn_dataset_standardize(&d, per_feature ? NN_PER_FEATURE : NN_PER_SET));
        check_gathered(&d, 4, expected, 0);
        nn_dataset_free(&d);
    }
}

/* The mean of equal values can be rounded; what never changes must be shifted all the same. */
static void standardize_of_a_constant(void)
{
    nn_real x[60];
    size_t n, wrong = 0, scaled = 0;
    int per_feature, i;
    for (i = 0; i < 60; i++) x[i] = (nn_real)0.1;
    for (n = 1; n <= 60; n++) {
        for (per_feature = 0; per_feature < 2; per_feature++) {
            nn_dataset d;
            CHECK_OK(nn_dataset_from_arrays(x, n, 1, NULL, 0, &d));
            CHECK_OK(nn_dataset_standardize(&d, per_feature ? NN_PER_FEATURE : NN_PER_SET));
            scaled += d.scale[0] != 1;
            gather_all(&d);
            for (i = 0; i < (int)n; i++) wrong += !(fabs((double)gathered[i]) <= eps);
            nn_dataset_free(&d);
        }
    }
    CHECK_INT(scaled, 0);
    CHECK_INT(wrong, 0);
}

/* Channel 0 holds 1, 3 (mean 2, deviation 1), channel 1 10, 10, 30, 30, channel 2 never changes. */
static void standardize_per_channel(void)
{
    static const nn_real x[] = {1, 3, 10, 10, 5, 5, 3, 1, 30, 30, 5, 5};
    static const double expected[] = {-1, 1, -1, -1, 0, 0, 1, -1, 1, 1, 0, 0};
    static const size_t channels[] = {3, 1, 2}, flat[] = {3, 2};
    nn_dataset d;
    CHECK_OK(nn_dataset_from_arrays(x, 2, 6, NULL, 0, &d));
    CHECK_ERROR(nn_dataset_standardize(&d, NN_PER_CHANNEL), NN_ERROR_BAD_SHAPE, "rank 1", "3");
    CHECK_OK(nn_dataset_set_shape(&d, 2, flat));
    CHECK_ERROR(nn_dataset_standardize(&d, NN_PER_CHANNEL), NN_ERROR_BAD_SHAPE, "rank 2", "3");
    CHECK_ERROR(nn_dataset_standardize(&d, (nn_per)3), NN_ERROR_BAD_ARGUMENT, "per is 3", "");
    CHECK_ERROR(nn_dataset_standardize(NULL, NN_PER_SET), NN_ERROR_BAD_ARGUMENT, "NULL", "");
    CHECK_INT(d.norm_count, 0);
    CHECK_OK(nn_dataset_set_shape(&d, 3, channels));
    d.channels_first = 1;
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_CHANNEL));
    CHECK_INT(d.norm_count, 6);
    check_gathered(&d, 12, expected, 4 * eps);
    nn_dataset_free(&d);
}

/* The same values with a pixel's channels side by side. */
static void standardize_per_last_channel(void)
{
    static const nn_real x[] = {1, 10, 5, 3, 10, 5, 3, 30, 5, 1, 30, 5};
    static const double expected[] = {-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0};
    static const size_t pixels[] = {1, 2, 3};
    nn_dataset d;
    CHECK_OK(nn_dataset_from_arrays(x, 2, 6, NULL, 0, &d));
    CHECK_OK(nn_dataset_set_shape(&d, 3, pixels));
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_CHANNEL));
    CHECK_INT(d.norm_count, 6);
    check_gathered(&d, 12, expected, 4 * eps);
    nn_dataset_free(&d);
}

/* What is not finite, or leaves nn_real when it is normalised, is refused and named. */
static void not_finite_is_refused(void)
{
    static const nn_real tiny = sizeof(nn_real) == 4 ? (nn_real)1e-45 : (nn_real)4e-320;
    static const nn_real zeros[4] = {0};
    nn_real x[8], t[4] = {0}, narrow[2];
    nn_real bad[3];
    int i;
    nn_dataset d, a, b, good;
    bad[0] = (nn_real)NAN, bad[1] = (nn_real)INFINITY, bad[2] = -(nn_real)INFINITY;
    CHECK_OK(nn_dataset_from_arrays(zeros, 4, 1, NULL, 0, &good));
    CHECK_OK(nn_dataset_set_targets(&good, t, 1));
    for (i = 0; i < 3; i++) {
        memset(x, 0, sizeof x);
        x[5] = bad[i];
        CHECK_OK(nn_dataset_from_arrays(x, 4, 2, NULL, 0, &d));
        CHECK_ERROR(nn_dataset_rescale(&d, 0, 1, 0, 2), NN_ERROR_BAD_NUMBER, "sample 2",
                    "feature 1");
        CHECK_ERROR(nn_dataset_standardize(&d, NN_PER_SET), NN_ERROR_BAD_NUMBER, "sample 2", "");
        CHECK_ERROR(nn_dataset_normalize_like(&d, &d), NN_ERROR_BAD_NUMBER, "sample 2", "");
        CHECK_ERROR(nn_dataset_split(&d, 0.5, 1, &a, &b), NN_ERROR_BAD_NUMBER, "sample 2", "");
        CHECK(holds_failure(&a, NN_ERROR_BAD_NUMBER) && is_empty(&b));
        CHECK_OK(nn_dataset_subset(&d, 0, 2, &a));
        CHECK_OK(nn_dataset_standardize(&a, NN_PER_FEATURE));
        nn_dataset_free(&a);
        nn_dataset_free(&d);
        t[3] = bad[i];
        CHECK_ERROR(nn_dataset_rescale(&good, 0, 1, 0, 2), NN_ERROR_BAD_NUMBER, "sample 3",
                    "target 0");
    }
    nn_dataset_free(&good);
    narrow[0] = 0, narrow[1] = tiny;
    CHECK_OK(nn_dataset_from_arrays(narrow, 2, 1, NULL, 0, &d));
    if (sizeof(nn_real) == 4)
        CHECK_ERROR(nn_dataset_standardize(&d, NN_PER_SET), NN_ERROR_BAD_NUMBER, "deviation", "");
    CHECK_INT(d.norm_count, 0);
    nn_dataset_free(&d);
}

/* A failed set stays one whatever is asked of it, until it is freed. */
/* A long path does not hide what is wrong with its file. */
static void errors_of_long_paths(void)
{
    static const size_t lengths[] = {100, 200, 240, 250, 490, 511, 4000};
    char path[4100];
    nn_dataset d;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        for (size_t k = 0; k < lengths[i]; k++) path[k] = k % 50 == 1 ? '/' : (char)('a' + k % 7);
        path[lengths[i]] = 0;
        CHECK_ERROR(nn_load_csv(path, NULL, &d), NN_ERROR_CANNOT_OPEN, ": cannot be opened: ", "");
        CHECK(strncmp(nn_last_error(), path, 100) == 0 && strlen(nn_last_error()) < 512);
        CHECK((strstr(nn_last_error(), "...") != NULL) == (lengths[i] > 470));
        CHECK_ERROR(nn_dataset_rescale(&d, 0, 1, 0, 1), NN_ERROR_CANNOT_OPEN, ": cannot be opened: ",
                    "");
        CHECK(strncmp(d.failure, path, 60) == 0 && strlen(d.failure) < sizeof d.failure);
    }
}

static void failure_is_reported_by_every_call(void)
{
    static const int one[] = {1};
    static const size_t shape[] = {1};
    nn_dataset d, a, b;
    nn_real out;
    int i;
    POISON(d);
    CHECK_ERROR(nn_load_csv(TMP("nowhere.csv"), NULL, &d), NN_ERROR_CANNOT_OPEN, "nowhere", "");
    for (i = 0; i < 10; i++) {
        nn_status s = NN_OK;
        nn_dataset_rescale(NULL, 0, 1, 0, 1);
        if (i == 0) s = nn_dataset_rescale(&d, 0, 1, 0, 1);
        if (i == 1) s = nn_dataset_standardize(&d, NN_PER_SET);
        if (i == 2) s = nn_dataset_normalize_like(&d, &d);
        if (i == 3) s = nn_dataset_gather(&d, NULL, 1, &out);
        if (i == 4) s = nn_dataset_subset(&d, 0, 1, &a);
        if (i == 5) s = nn_dataset_select_classes(&d, 1, one, &a);
        if (i == 6) s = nn_dataset_split(&d, 0.5, 1, &a, &b);
        if (i == 7) s = nn_dataset_set_shape(&d, 1, shape);
        if (i == 8) s = nn_dataset_set_targets(&d, &out, 1);
        if (i == 9) s = nn__check_dataset("nn_train", &d);
        CHECK_INT(s, NN_ERROR_CANNOT_OPEN);
        SAYS("nowhere.csv: cannot be opened");
        if (i >= 4 && i <= 6) CHECK(holds_failure(&a, NN_ERROR_CANNOT_OPEN));
        if (i == 6) CHECK(holds_failure(&b, NN_ERROR_CANNOT_OPEN));
    }
    nn_dataset_free(&d);
    CHECK_INT(d.status, NN_OK);
    CHECK_ERROR(nn__check_dataset("nn_train", &d), NN_ERROR_EMPTY, "nn_train", "empty");
    CHECK_ERROR(nn__check_dataset("nn_train", NULL), NN_ERROR_BAD_ARGUMENT, "nn_train", "NULL");
}

static void normalize_like(void)
{
    static const uint8_t other_x[] = {0, 10, 20, 30, 40, 50};
    double expected[6];
    nn_dataset from, d, narrow;
    int i;
    CHECK_OK(nn_dataset_from_bytes(by_hand, 4, 3, NULL, 0, &from));
    CHECK_OK(nn_dataset_from_bytes(other_x, 2, 3, NULL, 0, &d));
    CHECK_OK(nn_dataset_from_bytes(other_x, 3, 2, NULL, 0, &narrow));
    CHECK_OK(nn_dataset_standardize(&from, NN_PER_FEATURE));
    CHECK_OK(nn_dataset_normalize_like(&d, &from));
    for (i = 0; i < 6; i += 3) {
        expected[i] = (other_x[i] - 4) / 2.23606797749978969;
        expected[i + 1] = other_x[i + 1] - 7;
        expected[i + 2] = (other_x[i + 2] - 130) / 50.0;
    }
    check_gathered(&d, 6, expected, 64 * eps);
    CHECK_ERROR(nn_dataset_normalize_like(&narrow, &from), NN_ERROR_BAD_SHAPE, "3", "2");
    CHECK_OK(nn_dataset_rescale(&from, 0, 1, 1, 3));
    CHECK_ERROR(nn_dataset_normalize_like(&narrow, &from), NN_ERROR_BAD_SHAPE, "3", "2");
    CHECK_INT(narrow.norm_count, 0);
    CHECK_OK(nn_dataset_normalize_like(&d, &from));
    nn_dataset_free(&from);
    for (i = 0; i < 6; i++) expected[i] = 2 * other_x[i] + 1;
    check_gathered(&d, 6, expected, 0);
    CHECK_OK(nn_dataset_from_bytes(by_hand, 4, 3, NULL, 0, &from));
    CHECK_OK(nn_dataset_normalize_like(&d, &from));
    for (i = 0; i < 6; i++) expected[i] = other_x[i];
    check_gathered(&d, 6, expected, 0);
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, 1, 3));
    CHECK_OK(nn_dataset_normalize_like(&d, &d));
    for (i = 0; i < 6; i++) expected[i] = 2 * other_x[i] + 1;
    check_gathered(&d, 6, expected, 0);
    nn_dataset_free(&from);
    nn_dataset_free(&narrow);
    nn_dataset_free(&d);
}

/* -------------------------------------------------------------------------------------- gather */

enum { ROWS = 5, GUARD = 16, PICKS = 7 };
static const size_t picks[PICKS] = {4, 0, 0, 3, 4, 1, 2};

/* Byte sample values and reals that are no bytes, by a formula that the check repeats. */
static double raw_value(nn_dtype dtype, size_t i)
{
    return dtype == NN_DTYPE_U8 ? pattern(i * i) : 0.25 * pattern(i * i) - 20;
}

static void *make_samples(nn_dtype dtype, size_t n)
{
    size_t i, width = dtype == NN_DTYPE_U8 ? 1 : sizeof(nn_real);
    void *x = malloc(n * width);
    if (!x) abort();
    for (i = 0; i < n; i++) {
        if (dtype == NN_DTYPE_U8) ((uint8_t *)x)[i] = (uint8_t)raw_value(dtype, i);
        else ((nn_real *)x)[i] = (nn_real)raw_value(dtype, i);
    }
    return x;
}

/* Feature f as nn_dataset_standardize leaves it: kind 2; kind 1 is an affine map, 0 nothing. */
static double normalised(nn_dtype dtype, int kind, size_t features, size_t row, size_t f)
{
    double sum = 0, squares = 0, mean, x = raw_value(dtype, row * features + f);
    size_t r;
    if (kind == 0) return x;
    if (kind == 1) return x * 0.5 - 3;
    for (r = 0; r < ROWS; r++) sum += raw_value(dtype, r * features + f);
    mean = sum / ROWS;
    for (r = 0; r < ROWS; r++) {
        double off = raw_value(dtype, r * features + f) - mean;
        squares += off * off;
    }
    return squares > 0 ? (x - mean) / sqrt(squares / ROWS) : x - mean;
}

static void check_gather(const nn_dataset *d, int kind, const size_t *rows, size_t n)
{
    size_t i, size = n * d->features;
    nn_real *out = (nn_real *)malloc((size + GUARD) * sizeof *out);
    if (!out) abort();
    for (i = 0; i < size + GUARD; i++) out[i] = -777;
    CHECK_OK(nn_dataset_gather(d, rows, n, out));
    for (i = 0; i < size; i++) {
        size_t row = rows ? rows[i / d->features] : i / d->features;
        double expected = normalised(d->dtype, kind, d->features, row, i % d->features);
        CHECK_NEAR(out[i], expected, kind == 2 ? 40 * eps : 0);
    }
    for (i = size; i < size + GUARD; i++) CHECK_NEAR(out[i], -777, 0);
    free(out);
}

static void gather_every_tail(void)
{
    static const size_t features[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100};
    size_t i, n;
    int dtype, kind;
    for (i = 0; i < COUNT(features); i++) {
        for (dtype = 0; dtype < 2; dtype++) {
            nn_dtype type = dtype ? NN_DTYPE_REAL : NN_DTYPE_U8;
            void *x = make_samples(type, ROWS * features[i]);
            nn_dataset d;
            if (dtype) CHECK_OK(nn_dataset_from_arrays((nn_real *)x, ROWS, features[i], 0, 0, &d));
            else CHECK_OK(nn_dataset_from_bytes((uint8_t *)x, ROWS, features[i], 0, 0, &d));
            for (kind = 0; kind < 3; kind++) {
                if (kind == 1) CHECK_OK(nn_dataset_rescale(&d, 0, 1, -3, -2.5));
                if (kind == 2) CHECK_OK(nn_dataset_standardize(&d, NN_PER_FEATURE));
                for (n = 0; n <= ROWS; n++) check_gather(&d, kind, NULL, n);
                for (n = 0; n <= PICKS; n++) check_gather(&d, kind, picks, n);
            }
            nn_dataset_free(&d);
            free(x);
        }
    }
}

static void gather_is_checked(void)
{
    static const size_t rows[] = {0, 3, 10}, beyond[] = {(size_t)-1};
    nn_dataset d = ten_samples(), a;
    nn_real out[40];
    CHECK_OK(nn_dataset_gather(&d, rows, 2, out));
    CHECK_NEAR(out[2], 3, 0);
    CHECK_ERROR(nn_dataset_gather(&d, rows, 3, out), NN_ERROR_BAD_ARGUMENT, "10", "");
    CHECK_ERROR(nn_dataset_gather(&d, beyond, 1, out), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_dataset_gather(&d, NULL, 11, out), NN_ERROR_BAD_ARGUMENT, "10", "");
    CHECK_OK(nn_dataset_gather(&d, NULL, 0, out));
    CHECK_OK(nn_dataset_subset(&d, 4, 3, &a));
    CHECK_ERROR(nn_dataset_gather(&a, rows + 1, 1, out), NN_ERROR_BAD_ARGUMENT, "3", "");
    CHECK_ERROR(nn_dataset_gather(&a, NULL, 4, out), NN_ERROR_BAD_ARGUMENT, "3", "");
    nn_dataset_free(&a);
    nn_dataset_free(&d);
}

/* ------------------------------------------------------------------------------- out of memory */

typedef nn_status (*scenario)(void);

/* Runs it with the first call failing, then the second, ... until none fails. */
static void fail_every_allocation(scenario run)
{
    size_t k, before = live_blocks;
    nn_status status = NN_ERROR_OUT_OF_MEMORY;
    for (k = 1; k < 5000 && status != NN_OK; k++) {
        calls = 0;
        fail_at = k;
        status = run();
        fail_at = 0;
        CHECK_INT(status, calls >= k ? NN_ERROR_OUT_OF_MEMORY : NN_OK);
        CHECK_INT(live_blocks, before);
        if (status != NN_OK && status != NN_ERROR_OUT_OF_MEMORY) return;
    }
    CHECK_INT(status, NN_OK);
    CHECK(k > 2);
}

static nn_status file_scenario(void)
{
    nn__file file;
    nn_status status = nn__file_read(TMP("pair-images"), &file);
    nn__file_free(&file);
    return status;
}

static nn_status pair_scenario(void)
{
    nn_dataset d;
    nn_status status = load_pair(0, &d);
    CHECK(status == NN_OK || is_empty(&d));
    nn_dataset_free(&d);
    return status;
}

static nn_status mnist_scenario(void)
{
    nn_dataset train, test;
    nn_status status = load_mnist(&train, &test);
    CHECK(status == NN_OK || (is_empty(&train) && is_empty(&test)));
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return status;
}

static nn_status cifar_scenario(void)
{
    nn_dataset train, test;
    nn_status status = load_cifar10(&train, &test);
    CHECK(status == NN_OK || (is_empty(&train) && is_empty(&test)));
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return status;
}

static nn_status csv_scenario(void)
{
    nn_csv_desc names = csv_desc(0, 1, -1, 0), targets = csv_desc(0, 1, 1, 1);
    nn_dataset d;
    nn_status status = nn_load_csv(TMP("names.csv"), &names, &d);
    CHECK(status == NN_OK || is_empty(&d));
    nn_dataset_free(&d);
    if (status != NN_OK) return status;
    status = nn_load_csv(TMP("targets.csv"), &targets, &d);
    CHECK(status == NN_OK || is_empty(&d));
    nn_dataset_free(&d);
    return status;
}

/* Every call that makes a view or a normalisation, in a chain that stops at the first failure. */
static nn_status views_scenario(void)
{
    static const int classes[] = {0, 2};
    enum { ALL, MOST, PAIR, A, B, VIEWS };
    nn_csv_desc names = csv_desc(0, 1, -1, 0);
    nn_dataset d[VIEWS];
    nn_status status;
    int i;
    memset(d, 0, sizeof d);
    status = nn_load_csv(TMP("names.csv"), &names, &d[ALL]);
    if (status == NN_OK) status = nn_dataset_standardize(&d[ALL], NN_PER_FEATURE);
    if (status == NN_OK) status = nn_dataset_subset(&d[ALL], 1, 30, &d[MOST]);
    if (status == NN_OK) status = nn_dataset_select_classes(&d[MOST], 2, classes, &d[PAIR]);
    if (status == NN_OK) status = nn_dataset_split(&d[PAIR], 0.5, 3, &d[A], &d[B]);
    if (status == NN_OK) status = nn_dataset_rescale(&d[A], 0, 1, 1, 3);
    if (status == NN_OK) status = nn_dataset_standardize(&d[B], NN_PER_FEATURE);
    if (status == NN_OK) status = nn_dataset_normalize_like(&d[B], &d[A]);
    if (status == NN_OK) status = nn_dataset_gather(&d[B], NULL, d[B].count, gathered);
    for (i = VIEWS - 1; i >= 0; i--) nn_dataset_free(&d[i]);
    return status;
}

/* Texts, categories, fills and a second file like the first. */
static nn_status like_scenario(void)
{
    nn_csv_desc desc = passenger_desc(NN_MISSING_MEDIAN);
    nn_dataset train, test;
    nn_status status;
    desc.codes = "class", desc.ignore = "id", desc.one_hot = "sex, port, name";
    desc.targets = "fare", desc.fill = NN_MISSING_SKIP;
    status = nn_load_csv(TMP("passengers.csv"), &desc, &train);
    CHECK(status == NN_OK || is_empty(&train));
    if (status != NN_OK) return status;
    desc.like = &train;
    status = nn_load_csv(TMP("passengers.csv"), &desc, &test);
    CHECK(status == NN_OK || is_empty(&test));
    nn_dataset_free(&test);
    nn_dataset_free(&train);
    if (status != NN_OK) return status;
    desc = csv_desc(0, 0, 0, 0);
    desc.labels = "id..outcome", desc.one_hot = "class, name, sex", desc.missing = "NA";
    desc.fill = NN_MISSING_MEAN, desc.ignore = "port";
    status = nn_load_csv(TMP("hot.csv"), &desc, &train);
    nn_dataset_free(&train);
    return status;
}

static nn_status sampling_scenario(void)
{
    static const size_t list[] = {1, 50, 1};
    nn_dataset d, a, b;
    nn_real weights[4];
    nn_status status = nn_dataset_from_arrays(many_x, MANY, 1, many_labels, 4, &d);
    if (status != NN_OK) return status;
    status = nn_dataset_split_stratified(&d, 0.4, 1, &a, &b);
    CHECK(status == NN_OK || (is_empty(&a) && is_empty(&b)));
    nn_dataset_free(&a);
    nn_dataset_free(&b);
    if (status == NN_OK) status = nn_dataset_fold(&d, 4, 1, 1, 1, &a, &b);
    nn_dataset_free(&a);
    nn_dataset_free(&b);
    if (status == NN_OK) status = nn_dataset_bootstrap(&d, 4, &a, &b);
    nn_dataset_free(&a);
    nn_dataset_free(&b);
    if (status == NN_OK) status = nn_dataset_balance(&d, 4, &a);
    nn_dataset_free(&a);
    if (status == NN_OK) status = nn_dataset_select(&d, list, 3, &a);
    nn_dataset_free(&a);
    if (status == NN_OK) status = nn_dataset_class_weights(&d, weights);
    nn_dataset_free(&d);
    return status;
}

static nn_status transpose_scenario(void)
{
    nn_dataset d;
    nn_status status = load_pair(0, &d);
    if (status == NN_OK) status = nn_dataset_transpose(&d);
    nn_dataset_free(&d);
    return status;
}

static nn_status split_scenario(void)
{
    nn_dataset d, a, b;
    nn_status status = nn_dataset_from_arrays(ten_x, 10, 2, ten_labels, 3, &d);
    if (status != NN_OK) return status;
    POISON(a);
    POISON(b);
    status = nn_dataset_split(&d, 0.3, 1, &a, &b);
    CHECK(status == NN_OK || (is_empty(&a) && is_empty(&b)));
    nn_dataset_free(&a);
    nn_dataset_free(&b);
    nn_dataset_free(&d);
    return status;
}

static nn_status arrays_scenario(void)
{
    nn_dataset d;
    nn_status status;
    POISON(d);
    status = nn_dataset_from_arrays(ten_x, 10, 2, ten_labels, 3, &d);
    CHECK(status == NN_OK || is_empty(&d));
    if (status == NN_OK) status = nn_dataset_rescale(&d, 0, 109, 0, 1);
    nn_dataset_free(&d);
    return status;
}

static void write_csv_files(void)
{
    FILE *names = fopen(TMP("names.csv"), "wb"), *targets = fopen(TMP("targets.csv"), "wb");
    int i;
    CHECK(names && targets);
    if (!names || !targets) return;
    fprintf(names, "x,y,kind\n");
    fprintf(targets, "price,x,y\n");
    for (i = 0; i < 40; i++) {
        fprintf(names, "%d,%d.5,kind %d\n", i, i * i, i % 4);
        fprintf(targets, "%d.25,%d,%d\n", i, i, -i);
    }
    fclose(names);
    fclose(targets);
}

static void out_of_memory_everywhere(void)
{
    write_images(TMP("pair-images"), 5, 4, 3);
    write_labels(TMP("pair-labels"), 5, "\2\0\4\2\1");
    write_mnist(mnist_files);
    write_cifar10();
    write_csv_files();
    fail_every_allocation(file_scenario);
    fail_every_allocation(pair_scenario);
    fail_every_allocation(mnist_scenario);
    fail_every_allocation(cifar_scenario);
    fail_every_allocation(csv_scenario);
    fail_every_allocation(arrays_scenario);
    fail_every_allocation(split_scenario);
    write_file(TMP("passengers.csv"), passengers, sizeof passengers - 1);
    {
        static const char hot[] = "id,outcome,class,name,sex,age,port\n0,1,3,a,f,1,x\n"
                                  "1,0,2,b,NA,NA,x\n1,0,2,,m,,x\n";
        write_file(TMP("hot.csv"), hot, sizeof hot - 1);
    }
    fail_every_allocation(like_scenario);
    fail_every_allocation(sampling_scenario);
    fail_every_allocation(transpose_scenario);
    fail_every_allocation(views_scenario);
    remove_mnist();
}

/* A normalisation that cannot be had leaves the one in force. */
static void out_of_memory_keeps_normalisation(void)
{
    static const double expected[] = {1, 201, 3, 203};
    nn_dataset d = ten_samples(), a;
    CHECK_OK(nn_dataset_subset(&d, 0, 2, &a));
    CHECK_OK(nn_dataset_rescale(&a, 0, 1, 1, 3));
    calls = 0;
    fail_at = 1;
    CHECK_ERROR(nn_dataset_standardize(&a, NN_PER_FEATURE), NN_ERROR_OUT_OF_MEMORY, "", "");
    fail_at = 0;
    check_gathered(&a, 4, expected, 0);
    nn_dataset_free(&a);
    nn_dataset_free(&d);
}

static void nothing_is_leaked(void)
{
    CHECK_INT(live_blocks, 0);
}

static void test_readers(void)
{
    RUN(idx_types_and_ranks);
    RUN(idx_values);
    RUN(idx_truncated_at_every_byte);
    RUN(idx_wrong_size);
    RUN(idx_wrong_magic);
    RUN(idx_is_something_else);
    RUN(idx_compressed);
    RUN(idx_counts_beyond_the_file);
    RUN(idx_empty_or_missing);
    RUN(idx_rank_and_dimension_of_zero);
    RUN(pair_loads);
    RUN(pair_labels_are_checked);
    RUN(pair_shapes_are_checked);
    RUN(mnist_loads);
    RUN(mnist_fails_whole);
    RUN(mnist_beside_a_folder);
#ifndef NN_USE_ZLIB
    RUN(reading_breaks_off);
#endif
    RUN(pair_images_of_every_type);
    RUN(pair_labels_of_every_type);
    RUN(cifar10_batches);
    RUN(cifar10_test_batch);
    RUN(cifar10_damaged);
    RUN(cifar100_loads);
    RUN(cifar100_damaged);
    RUN(csv_same_table_in_many_spellings);
    RUN(csv_label_columns);
    RUN(csv_class_names);
    RUN(csv_quotes_and_spaces);
    RUN(csv_byte_order_mark);
    RUN(csv_targets);
    RUN(csv_bad_numbers);
    RUN(csv_number_range);
    RUN(csv_numbers_are_exact);
    RUN(csv_long_numbers);
    RUN(csv_malformed);
    RUN(csv_header_must_fit);
    RUN(csv_labels_beyond_int);
    RUN(csv_empty_or_not_csv);
    RUN(csv_many_rows);
    RUN(numbers_are_rounded_as_strtod);
    RUN(csv_rfc_4180);
    RUN(csv_across_buffers);
    RUN(csv_runs_of_blanks);
    RUN(csv_header_found);
    RUN(csv_comments_and_skipped_lines);
    RUN(csv_columns_by_name_or_number);
    RUN(csv_several_targets_and_one_hot_labels);
    RUN(csv_numeric_classes);
    RUN(csv_many_classes);
    RUN(csv_categories_and_gaps);
    RUN(csv_feature_names);
    RUN(csv_codes);
    RUN(csv_like);
    RUN(csv_classes_agree);
    RUN(csv_errors_say_what_it_looks_like);
    RUN(files_that_are_no_plain_files);
    RUN(files_of_every_size);
}

int main(void)
{
    test_readers();
    RUN(arrays_are_borrowed);
    RUN(arrays_are_checked);
    RUN(shape_and_targets);
    RUN(subsets);
    RUN(views_keep_shape_targets_and_names);
    RUN(views_normalise_on_their_own);
    RUN(select_classes);
    RUN(split_is_complete);
    RUN(split_depends_on_seed);
    RUN(split_is_checked);
    RUN(select_any_list);
    RUN(split_by_class);
    RUN(folds);
    RUN(bootstrap);
    RUN(balance_and_class_weights);
    RUN(transposed_images_and_labels_from_1);
    RUN(transposed_images_with_channels);
    RUN(transposed_images_of_other_ranks);
    RUN(rescale);
    RUN(standardize_by_hand);
    RUN(standardize_of_a_view);
    RUN(standardize_far_from_zero);
    RUN(standardize_of_a_constant);
    RUN(standardize_per_channel);
    RUN(standardize_per_last_channel);
    RUN(not_finite_is_refused);
    RUN(failure_is_reported_by_every_call);
    RUN(errors_of_long_paths);
    RUN(normalize_like);
    RUN(gather_every_tail);
    RUN(gather_is_checked);
    RUN(out_of_memory_everywhere);
    RUN(out_of_memory_keeps_normalisation);
    if (set_comma_locale()) RUN(csv_under_comma_locale);
    else SKIP(csv_under_comma_locale, "no locale with a decimal comma");
    RUN(nothing_is_leaked);
    return test_done("test_data");
}
