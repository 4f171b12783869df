/* npy and npz files: what NumPy writes is read, what is written here is what NumPy would write, and
   what is damaged is refused or read as what it says. tests/interop.py asks NumPy itself. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#define PATH TEST_TMP "/a.npy"
#define LABELS TEST_TMP "/b.npy"
#define NPZ TEST_TMP "/c.npz"

/* numpy.save(f, numpy.array([[1, 2, 3], [4, 5, 6]], dtype="<f4")) */
static const char numpy_file[] =
    "\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }              "
    "                                            \n"
    "\000\000\200?\000\000\000@\000\000@@\000\000\200@\000\000\240@\000\000\300@";

/* numpy.savez(f, x=numpy.array([[1, 2], [3, 250]], dtype="u1"), y=numpy.array([1, 0], ">i8")) */
static const char numpy_archive[] =
    "PK\003\004-\000\000\000\000\000\000\000!\000\231\200]\261\377\377\377\377\377\377\377\377\005"
    "\000\024\000x.npy\001\000\020\000\204\000\000\000\000\000\000\000\204\000\000\000\000\000\000"
    "\000\223NUMPY\001\000v\000{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }          "
    "                                                \n\001\002\003\372PK\003\004-\000\000\000\000"
    "\000\000\000!\000\344g\013\247\377\377\377\377\377\377\377\377\005\000\024\000y.npy\001\000\020"
    "\000\220\000\000\000\000\000\000\000\220\000\000\000\000\000\000\000\223NUMPY\001\000v\000{'de"
    "scr': '>i8', 'fortran_order': False, 'shape': (2,), }                                         "
    "                   \n\000\000\000\000\000\000\000\001\000\000\000\000\000\000\000\000PK\001\002"
    "-\003-\000\000\000\000\000\000\000!\000\231\200]\261\204\000\000\000\204\000\000\000\005\000"
    "\000\000\000\000\000\000\000\000\000\000\200\001\000\000\000\000x.npyPK\001\002-\003-\000\000"
    "\000\000\000\000\000!\000\344g\013\247\220\000\000\000\220\000\000\000\005\000\000\000\000\000"
    "\000\000\000\000\000\000\200\001\273\000\000\000y.npyPK\005\006\000\000\000\000\002\000\002"
    "\000f\000\000\000\202\001\000\000\000\000";

/* An npy file of a header and bytes of values. Gives its size. */
static size_t make_npy(char *to, int version, const char *header, const void *values, size_t size)
{
    const size_t n = strlen(header), head = version > 1 ? 12 : 10;
    memcpy(to, "\223NUMPY", 6);
    to[6] = (char)version, to[7] = 0;
    to[8] = (char)(n & 255), to[9] = (char)(n >> 8), to[10] = to[11] = 0;
    memcpy(to + head, header, n);
    if (size) memcpy(to + head + n, values, size);
    return head + n + size;
}

static void write_npy(const char *path, int version, const char *header, const void *values,
                      size_t size)
{
    static char file[4000];
    write_file(path, file, make_npy(file, version, header, values, size));
}

static void check_values(const nn_array *a, size_t n, const double *expected)
{
    for (size_t i = 0; i < n; i++) {
        const double want = (double)(nn_real)expected[i];
        if (want != want) CHECK(is_nan(a->values[i]));
        else CHECK((double)a->values[i] == want);
    }
}

/* -- reading -- */

static void numpy_written(void)
{
    static const double values[] = {1, 2, 3, 4, 5, 6}, bytes[] = {1, 2, 3, 250}, labels[] = {1, 0};
    nn_array a;
    nn_dataset d;
    write_file(PATH, numpy_file, sizeof numpy_file - 1);
    write_file(NPZ, numpy_archive, sizeof numpy_archive - 1);
    CHECK_OK(nn_read_npy(PATH, &a));
    CHECK_INT(a.rank, 2);
    CHECK(a.shape[0] == 2 && a.shape[1] == 3);
    check_values(&a, 6, values);
    nn_array_free(&a);
    CHECK(a.values == NULL);
    CHECK_OK(nn_read_npz(NPZ, "x", &a));
    check_values(&a, 4, bytes);
    nn_array_free(&a);
    CHECK_OK(nn_read_npz(NPZ, "y.npy", &a));
    CHECK_INT(a.rank, 1);
    check_values(&a, 2, labels);
    nn_array_free(&a);
    CHECK_OK(nn_load_npz(NPZ, "x", "y", 0, &d));
    CHECK_INT(d.count, 2);
    CHECK_INT(d.features, 2);
    CHECK_INT(d.dtype, NN_DTYPE_U8);
    CHECK_INT(d.classes, 2);
    CHECK(d.labels[0] == 1 && d.labels[1] == 0);
    CHECK_NEAR(d.scale[0], (nn_real)(1 / 255.0), 0);
    CHECK_INT(((const uint8_t *)d.samples)[3], 250);
    nn_dataset_free(&d);
    nn_array_free(NULL);
}

/* Every type in both byte orders. */
static void types(void)
{
    static const struct {
        const char *descr;
        size_t size; /* of two values, big-endian */
        const char *bytes;
        double values[2];
    } rows[] = {
        {"f2", 4, "\x3c\x01\xfc\x00", {1.0009765625, -INFINITY}},
        {"f2", 4, "\x00\x01\x83\xff", {5.9604644775390625e-8, -6.097555160522461e-5}},
        {"f2", 4, "\x7b\xff\x7e\x00", {65504, NAN}},
        {"f4", 8, "\x3f\x80\x00\x01\xff\x80\x00\x00", {1.00000011920928955, -INFINITY}},
        {"f8", 16, "\x3f\xf0\0\0\0\0\0\0\xc0\x08\0\0\0\0\0\0", {1, -3}},
        {"i1", 2, "\x80\x7f", {-128, 127}},
        {"i2", 4, "\xff\xfe\x01\x00", {-2, 256}},
        {"i4", 8, "\x80\0\0\0\0\0\x01\x01", {-2147483648.0, 257}},
        {"i8", 16, "\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\0\0\0\x10\0", {-2, 4096}},
        {"u1", 2, "\x80\x7f", {128, 127}},
        {"u2", 4, "\xff\xfe\x01\x00", {65534, 256}},
        {"u4", 8, "\x80\0\0\0\0\0\x01\x01", {2147483648.0, 257}},
        {"u8", 16, "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\x10\0", {18446744073709551616.0, 4096}},
        {"b1", 2, "\x00\x01", {0, 1}}};
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int big = 0; big < 2; big++) {
            char header[100], bytes[16];
            const size_t width = rows[i].size / 2;
            nn_array a;
            test_current = rows[i].descr;
            for (size_t k = 0; k < rows[i].size; k++)
                bytes[k] = rows[i].bytes[big ? k : k / width * width + width - 1 - k % width];
            snprintf(header, sizeof header, "{'descr': '%c%s', 'fortran_order': False, 'shape': (2,)}",
                     width == 1 ? '|' : big ? '>' : '<', rows[i].descr);
            write_npy(PATH, 1, header, bytes, rows[i].size);
            CHECK_OK(nn_read_npy(PATH, &a));
            if (a.values) check_values(&a, 2, rows[i].values);
            nn_array_free(&a);
        }
}

static void headers(void)
{
    static const struct {
        int version, rank;
        const char *header;
    } good[] = {
        {1, 2, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n"},
        {2, 2, "{'shape': (2, 3), 'descr': '|u1', 'fortran_order': False}     \n"},
        {3, 2, "{\"fortran_order\":False,\"shape\":(2,3,),\"descr\":\"u1\"}"},
        {1, 1, "{'descr': '<u1', 'fortran_order': False, 'shape': (6,), }"},
        {1, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (6L,), }"},
        {1, 4, " { 'descr' : '=u1' , 'fortran_order' : False , 'shape' : ( 1 , 2 , 3, 1 ) , } "},
        {1, 8, "{'descr': '?', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 2, 3), }"}};
    static const double values[] = {1, 2, 3, 4, 5, 6}, ones[] = {1, 1, 1, 1, 1, 1};
    static const struct {
        nn_status status;
        const char *header, *part;
    } bad[] = {
        {NN_ERROR_BAD_FORMAT, "", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{}", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", "pickled"},
        {NN_ERROR_BAD_FORMAT, "{'descr': 'O', 'fortran_order': False, 'shape': (6,), }", "pickled"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '<U6', 'fortran_order': False, 'shape': (6,), }", "'<U6'"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '<c8', 'fortran_order': False, 'shape': (6,), }", "'<c8'"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '<f16', 'fortran_order': False, 'shape': (6,), }", "'<f16'"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '', 'fortran_order': False, 'shape': (6,), }", "type ''"},
        {NN_ERROR_BAD_FORMAT, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }",
         "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (6), }", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (6 3), }", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (-6,), }", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (,), }", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': 0, 'shape': (6,), }", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (6,), } x", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (6,), 'a': 1}",
         "damaged"},
        {NN_ERROR_BAD_FORMAT,
         "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (6,)}", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1' 'fortran_order': False, 'shape': (6,)}", "damaged"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,2,3)}",
         "damaged"},
        {NN_ERROR_TRUNCATED, "{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }",
         "6 bytes of values, expected 7"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }",
         "6 bytes of values, expected 5"},
        {NN_ERROR_BAD_FORMAT, "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
         "damaged"},
        {NN_ERROR_TOO_LARGE,
         "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "does not fit"},
        {NN_ERROR_TOO_LARGE,
         "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 1073741824)}", "does not fit"}};
    nn_array a;
    for (size_t i = 0; i < COUNT(good); i++) {
        test_current = good[i].header;
        write_npy(PATH, good[i].version, good[i].header, "\1\2\3\4\5\6", 6);
        CHECK_OK(nn_read_npy(PATH, &a));
        CHECK_INT(a.rank, good[i].rank);
        if (a.values) check_values(&a, 6, i == 6 ? ones : values);
        nn_array_free(&a);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        test_current = bad[i].header;
        write_npy(PATH, 1, bad[i].header, "\1\2\3\4\5\6", 6);
        if (sizeof(size_t) < 8 && bad[i].status == NN_ERROR_TOO_LARGE) continue;
        CHECK_ERROR(nn_read_npy(PATH, &a), bad[i].status, "a.npy", bad[i].part);
        CHECK(a.values == NULL);
    }
    write_file(PATH, "\223NUMPY\004\000\001\000     ", 15);
    CHECK_ERROR(nn_read_npy(PATH, &a), NN_ERROR_BAD_FORMAT, "version 4.0", "");
    write_file(PATH, "\223NUMPY\001\000\377\377     ", 15);
    CHECK_ERROR(nn_read_npy(PATH, &a), NN_ERROR_TRUNCATED, "65535", "15");
    write_file(PATH, "<!DOCTYPE html>", 15);
    CHECK_ERROR(nn_read_npy(PATH, &a), NN_ERROR_BAD_FORMAT, "HTML", "");
    write_file(PATH, "a,b,c\n1,2,3\n", 12);
    CHECK_ERROR(nn_read_npy(PATH, &a), NN_ERROR_BAD_FORMAT, "not an npy file", "");
    CHECK_ERROR(nn_read_npy(TEST_TMP "/none.npy", &a), NN_ERROR_CANNOT_OPEN, "none.npy", "");
    CHECK_ERROR(nn_read_npy(NULL, &a), NN_ERROR_BAD_ARGUMENT, "NULL", "");
    CHECK_ERROR(nn_read_npy(PATH, NULL), NN_ERROR_BAD_ARGUMENT, "NULL", "");
}

/* numpy.asfortranarray of 0 .. 23 in [2, 3, 4] */
static void fortran_order(void)
{
    static const uint8_t bytes[24] = {0, 12, 4, 16, 8, 20, 1, 13, 5, 17, 9, 21,
                                      2, 14, 6, 18, 10, 22, 3, 15, 7, 19, 11, 23};
    nn_array a;
    nn_dataset d;
    write_npy(PATH, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", bytes, 24);
    CHECK_OK(nn_read_npy(PATH, &a));
    for (int i = 0; i < 24; i++) CHECK_NEAR(a.values[i], i, 0);
    nn_array_free(&a);
    CHECK_OK(nn_load_npy(PATH, NULL, 0, &d));
    for (int i = 0; i < 24; i++) CHECK_INT(((const uint8_t *)d.samples)[i], i);
    CHECK(d.rank == 2 && d.shape[0] == 3 && d.shape[1] == 4 && d.count == 2 && !d.labels);
    nn_dataset_free(&d);
}

static void data_sets(void)
{
    static const char *const x = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }";
    const double values[] = {0.5, -2}, odd[] = {0.5, INFINITY};
    nn_dataset d;
    write_npy(PATH, 1, x, values, 16);
    write_npy(LABELS, 1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }", "\2\1", 2);
    CHECK_OK(nn_load_npy(PATH, LABELS, 5, &d));
    CHECK(d.dtype == NN_DTYPE_REAL && d.classes == 5 && d.labels[0] == 2 && d.norm_count == 0);
    CHECK_NEAR(((const nn_real *)d.samples)[1], -2, 0);
    nn_dataset_free(&d);
    CHECK_ERROR(nn_load_npy(PATH, LABELS, 2, &d), NN_ERROR_BAD_LABEL, "b.npy", "label 2");
    CHECK_INT(d.status, NN_ERROR_BAD_LABEL);
    write_npy(LABELS, 1, "{'descr': '|b1', 'fortran_order': True, 'shape': (2, 3), }",
              "\0\1\0\0\1\0", 6);
    CHECK_OK(nn_load_npy(PATH, LABELS, 0, &d)); /* one-hot, and the other order */
    CHECK(d.classes == 3 && d.labels[0] == 2 && d.labels[1] == 0);
    nn_dataset_free(&d);
    write_npy(LABELS, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", values, 16);
    CHECK_ERROR(nn_load_npy(PATH, LABELS, 0, &d), NN_ERROR_BAD_LABEL, "label 0.5", "whole number");
    write_npy(LABELS, 1, "{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }", "\2\1\0", 3);
    CHECK_ERROR(nn_load_npy(PATH, LABELS, 0, &d), NN_ERROR_MISMATCH, "a.npy: 2", "b.npy has 3");
    CHECK_ERROR(nn_load_npy(LABELS, NULL, 0, &d), NN_ERROR_BAD_FORMAT, "rank 1", "2 or more");
    write_npy(PATH, 1, x, odd, 16);
    CHECK_ERROR(nn_load_npy(PATH, NULL, 0, &d), NN_ERROR_BAD_NUMBER, "sample 1", "inf");
    write_npy(PATH, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1), }", "", 0);
    CHECK_ERROR(nn_load_npy(PATH, NULL, 0, &d), NN_ERROR_EMPTY, "a.npy", "");
    CHECK_ERROR(nn_load_npy(NULL, NULL, 0, &d), NN_ERROR_BAD_ARGUMENT, "NULL", "");
    CHECK_ERROR(nn_load_npy(PATH, NULL, -1, &d), NN_ERROR_BAD_ARGUMENT, "classes", "-1");
    CHECK_ERROR(nn_load_npy(PATH, NULL, 0, NULL), NN_ERROR_BAD_ARGUMENT, "out is NULL", "");
    write_npy(PATH, 1, "{'descr': '|b1', 'fortran_order': False, 'shape': (2, 2), }", "\0\1\1\0", 4);
    CHECK_OK(nn_load_npy(PATH, NULL, 0, &d));
    CHECK(d.dtype == NN_DTYPE_U8 && d.norm_count == 0);
    nn_dataset_free(&d);
}

/* -- writing -- */

static void written(void)
{
    static nn_real values[6] = {1, 2, 3, 4, 5, 6};
    const size_t shape[2] = {2, 3}, scalar[1] = {0};
    char bytes[400];
    nn_array a, several[3];
    memset(several, 0, sizeof several);
    CHECK_OK(nn_write_npy(PATH, 2, shape, values));
    const size_t size = read_file(PATH, bytes, sizeof bytes);
    if (sizeof(nn_real) == 4 && !nn__is_big_endian()) {
        CHECK_INT(size, sizeof numpy_file - 1);
        CHECK(memcmp(bytes, numpy_file, sizeof numpy_file - 1) == 0);
    }
    CHECK_INT(size, 128 + 6 * sizeof(nn_real));
    values[0] = (nn_real)NAN, values[1] = (nn_real)-0.0, values[2] = (nn_real)INFINITY;
    CHECK_OK(nn_write_npy(PATH, 0, NULL, values + 3));
    CHECK_OK(nn_read_npy(PATH, &a));
    CHECK(a.rank == 0 && a.values[0] == 4);
    nn_array_free(&a);
    several[0].name = "one", several[0].values = values, several[0].rank = 2;
    several[0].shape[0] = 3, several[0].shape[1] = 2;
    several[1].name = "two/of them", several[1].values = values + 4, several[1].rank = 1;
    several[1].shape[0] = 2;
    several[2].name = "none", several[2].rank = 1, several[2].shape[0] = scalar[0];
    CHECK_OK(nn_write_npz(NPZ, 3, several));
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(nn_read_npz(NPZ, several[i].name, &a));
        CHECK_INT(a.rank, several[i].rank);
        CHECK(memcmp(a.shape, several[i].shape, sizeof a.shape) == 0);
        const size_t n = i == 0 ? 6 : i == 1 ? 2 : 0;
        CHECK(n == 0 || memcmp(a.values, several[i].values, n * sizeof(nn_real)) == 0);
        nn_array_free(&a);
    }
    CHECK_ERROR(nn_read_npz(NPZ, "on", &a), NN_ERROR_EMPTY, "c.npz/on", "no such member");
    CHECK_OK(nn_write_npz(NPZ, 0, NULL));
    CHECK_ERROR(nn_read_npz(NPZ, "one", &a), NN_ERROR_EMPTY, "c.npz/one", "");
    several[1].name = "one";
    CHECK_ERROR(nn_write_npz(NPZ, 2, several), NN_ERROR_BAD_ARGUMENT, "array 1", "'one'");
    several[1].name = NULL;
    CHECK_ERROR(nn_write_npz(NPZ, 2, several), NN_ERROR_BAD_ARGUMENT, "array 1", "''");
    several[1].name = "b", several[1].values = NULL;
    CHECK_ERROR(nn_write_npz(NPZ, 2, several), NN_ERROR_BAD_ARGUMENT, "values are NULL", "");
    CHECK_ERROR(nn_write_npz(NPZ, 2, NULL), NN_ERROR_BAD_ARGUMENT, "arrays are NULL", "");
    CHECK_ERROR(nn_write_npy(PATH, 2, shape, NULL), NN_ERROR_BAD_ARGUMENT, "values are NULL", "");
    CHECK_ERROR(nn_write_npy(PATH, 9, shape, values), NN_ERROR_BAD_ARGUMENT, "rank is 9", "");
    CHECK_ERROR(nn_write_npy(NULL, 2, shape, values), NN_ERROR_BAD_ARGUMENT, "path is NULL", "");
}

/* Bytes in the order of a view, labels, targets; and back. */
static void data_set_written(void)
{
    static const uint8_t bytes[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const int labels[3] = {0, 2, 1};
    static const nn_real targets[6] = {1, 2, 3, 4, 5, 6};
    const size_t rows[2] = {2, 0}, shape[2] = {2, 2};
    nn_dataset all, some, back;
    nn_array a;
    CHECK_OK(nn_dataset_from_bytes(bytes, 3, 4, labels, 3, &all));
    CHECK_OK(nn_dataset_set_shape(&all, 2, shape));
    CHECK_OK(nn_dataset_set_targets(&all, targets, 2));
    CHECK_OK(nn_dataset_select(&all, rows, 2, &some));
    CHECK_OK(nn_dataset_write_npz(&some, NPZ));
    CHECK_OK(nn_load_npz(NPZ, "samples", "labels", 0, &back));
    CHECK(back.count == 2 && back.rank == 2 && back.shape[1] == 2 && back.dtype == NN_DTYPE_U8);
    CHECK(((const uint8_t *)back.samples)[0] == 9 && ((const uint8_t *)back.samples)[7] == 4);
    CHECK(back.labels[0] == 1 && back.labels[1] == 0);
    CHECK_OK(nn_read_npz(NPZ, "targets", &a));
    CHECK(a.rank == 2 && a.shape[0] == 2 && a.values[0] == 5 && a.values[3] == 2);
    nn_array_free(&a);
    CHECK_ERROR(nn_dataset_write_npz(NULL, NPZ), NN_ERROR_BAD_ARGUMENT, "nn_dataset_write_npz", "");
    nn_dataset_free(&back);
    nn_dataset_free(&some);
    nn_dataset_free(&all);
}

static void csv(void)
{
    const nn_real values[6] = {(nn_real)0.1, 1, (nn_real)-2.5e-20, (nn_real)NAN, 123456, 1e10f};
    static const char *const names[3] = {"a", "b,c", "d\"e"};
    char text[300];
    CHECK_OK(nn_write_csv(TEST_TMP "/p.csv", 2, 3, values, names));
    read_file(TEST_TMP "/p.csv", text, sizeof text);
    CHECK_STR(text, "a,\"b,c\",\"d\"\"e\"\n0.1,1,-2.5e-20\n,123456,10000000000\n");
    CHECK_OK(nn_write_csv(TEST_TMP "/p.csv", 2, 1, values, NULL));
    read_file(TEST_TMP "/p.csv", text, sizeof text);
    CHECK_STR(text, "0.1\n1\n");
    CHECK_ERROR(nn_write_csv(TEST_TMP "/p.csv", 2, 1, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "values",
                "NULL");
    if (!set_comma_locale()) return;
    CHECK_OK(nn_write_csv(TEST_TMP "/p.csv", 1, 1, values, NULL));
    setlocale(LC_ALL, "C");
    read_file(TEST_TMP "/p.csv", text, sizeof text);
    CHECK_STR(text, "0.1\n");
}

/* The fewest digits that read back, over numbers of all sizes. */
static void shortest(void)
{
    static const struct {
        double x;
        const char *text;
    } rows[] = {{0, "0"}, {-0.0, "-0"}, {1, "1"}, {10, "10"}, {0.1, "0.1"}, {1e15, "1e+15"},
                {1e22, "1e+22"}, {5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
                {1.0 / 3, "0.3333333333333333"}, {123456789012345, "123456789012345"}};
    nn_rng rng = nn_rng_seed(1);
    char text[64];
    for (size_t i = 0; i < COUNT(rows); i++)
        if (nn__is_real(rows[i].x)) CHECK_STR(nn__shortest(rows[i].x, 0, text), rows[i].text);
    CHECK_STR(nn__shortest(0.1f, 1, text), "0.1");
    CHECK_STR(nn__shortest(16777216, 1, text), "16777216");
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = nn_rng_next(&rng);
        uint32_t low = (uint32_t)bits;
        float f;
        double d;
        memcpy(&f, &low, sizeof f);
        memcpy(&d, &bits, sizeof d);
        if (nn__is_finite((double)f)) CHECK(strtof(nn__shortest((double)f, 1, text), NULL) == f);
        if (nn__is_finite(d)) CHECK(strtod(nn__shortest(d, 0, text), NULL) == d);
    }
}

/* An old file stays when a new one cannot be written. */
static void cannot_write(void)
{
    static const nn_real values[2] = {1, 2};
    const size_t shape[1] = {2};
    CHECK_ERROR(nn_write_npy(TEST_TMP "/no/such.npy", 1, shape, values), NN_ERROR_CANNOT_WRITE,
                "no/such.npy", "");
    CHECK_ERROR(nn_write_npy(TEST_TMP, 1, shape, values), NN_ERROR_CANNOT_WRITE, TEST_TMP, "");
#ifdef __linux__
    static nn_real many[10000];
    const size_t large[1] = {10000};
    CHECK_ERROR(nn_write_npy("/dev/full", 1, large, many), NN_ERROR_CANNOT_WRITE, "/dev/full", "");
    CHECK_ERROR(nn_write_csv("/dev/full", 10000, 1, many, NULL), NN_ERROR_CANNOT_WRITE, "/dev/full",
                "");
    nn_history h;
    memset(&h, 0, sizeof h);
    CHECK_ERROR(nn_history_write_csv(&h, "/dev/full"), NN_ERROR_CANNOT_WRITE, "/dev/full", "");
#endif
}

/* -- damage -- */

/* Reads the archive or the file in memory: an error with a message, or an array. */
static int try_bytes(const char *bytes, size_t size, int archive)
{
    nn__file zip, file;
    nn__numeric x;
    char *path = NULL;
    int fine = 0;
    memset(&zip, 0, sizeof zip);
    memset(&file, 0, sizeof file);
    zip.path = "memory", zip.size = size, zip.bytes = (unsigned char *)malloc(size ? size : 1);
    if (size) memcpy(zip.bytes, bytes, size);
    nn__message[0] = 0;
    nn_status status = NN_OK;
    if (archive) status = nn__npz_member(&zip, "y", &path, &file);
    else file = zip, zip.bytes = NULL;
    if (status == NN_OK) status = nn__npy_parse(&file, &x);
    if (status == NN_OK) {
        double sum = 0;
        for (size_t i = 0; i < x.count; i++) sum += nn__numeric_value(&x, i);
        fine = sum == sum || sum != sum;
    } else CHECK(nn__message[0] != 0);
    free(zip.bytes);
    free(file.bytes);
    free(path);
    return fine;
}

static void damage_one(const char *bytes, size_t size, int archive, size_t *fine, size_t *tried)
{
    char copy[600];
    for (size_t i = 0; i < size; i++) *fine += (size_t)try_bytes(bytes, i, archive), ++*tried;
    for (size_t i = 0; i < size; i++)
        for (int change = 1; change < 256; change++) {
            memcpy(copy, bytes, size);
            copy[i] = (char)(copy[i] ^ change);
            *fine += (size_t)try_bytes(copy, size, archive);
            ++*tried;
        }
}

static void damage(void)
{
    size_t fine = 0, tried = 0;
    damage_one(numpy_file, sizeof numpy_file - 1, 0, &fine, &tried);
    CHECK_INT(tried, 256 * (sizeof numpy_file - 1));
    CHECK(fine >= 255 * 24 && fine < 255 * 40); /* changed values, blanks and byte order */
    fine = tried = 0;
    damage_one(numpy_archive, sizeof numpy_archive - 1, 1, &fine, &tried);
    CHECK(fine > 0 && fine < tried * 3 / 4);
    /* splices: a piece of one file over another */
    nn_rng rng = nn_rng_seed(3);
    for (int i = 0; i < 1000; i++) {
        char copy[600];
        const size_t size = sizeof numpy_archive - 1;
        const size_t from = nn_rng_below(&rng, size), to = nn_rng_below(&rng, size);
        const size_t n = nn_rng_below(&rng, size - (from > to ? from : to));
        memcpy(copy, numpy_archive, size);
        memcpy(copy + to, numpy_archive + from, n);
        try_bytes(copy, size - (size_t)nn_rng_below(&rng, 2), 1);
    }
}

static void archives(void)
{
    static char copy[600];
    nn_array a;
    nn_dataset d;
    const size_t size = sizeof numpy_archive - 1;
    memcpy(copy, numpy_archive, size);
    copy[386 + 10] = 8; /* deflate, in x's line of the directory */
    write_file(NPZ, copy, size);
    CHECK_ERROR(nn_read_npz(NPZ, "x", &a), NN_ERROR_COMPRESSED, "c.npz/x", "savez_compressed");
    memcpy(copy, numpy_archive, size);
    copy[183] = 9; /* one of x's values */
    write_file(NPZ, copy, size);
    CHECK_ERROR(nn_read_npz(NPZ, "x", &a), NN_ERROR_BAD_FORMAT, "c.npz/x", "checksum");
    CHECK_OK(nn_read_npz(NPZ, "y", &a));
    nn_array_free(&a);
    write_file(NPZ, copy, size - 30);
    CHECK_ERROR(nn_read_npz(NPZ, "x", &a), NN_ERROR_BAD_FORMAT, "c.npz", "cut off");
    CHECK_ERROR(nn_load_npz(NPZ, NULL, NULL, 0, &d), NN_ERROR_BAD_ARGUMENT, "samples", "NULL");
    CHECK_ERROR(nn_load_npz(NPZ, "x", NULL, 0, NULL), NN_ERROR_BAD_ARGUMENT, "out", "NULL");
    CHECK_ERROR(nn_read_npz(NPZ, NULL, &a), NN_ERROR_BAD_ARGUMENT, "name", "NULL");
    CHECK_ERROR(nn_read_npz(NPZ, "x", NULL), NN_ERROR_BAD_ARGUMENT, "result", "NULL");
    CHECK_ERROR(nn_read_npz(TEST_TMP "/none.npz", "x", &a), NN_ERROR_CANNOT_OPEN, "none.npz", "");
}

int main(void)
{
    RUN(numpy_written);
    RUN(types);
    RUN(headers);
    RUN(fortran_order);
    RUN(data_sets);
    RUN(written);
    RUN(data_set_written);
    RUN(csv);
    RUN(shortest);
    RUN(cannot_write);
    RUN(damage);
    RUN(archives);
    return test_done("test_npy");
}
