/* The harness of every test program: checks count and go on, a failure prints where and what. A test
   in which nothing was checked fails. A program ends with `return test_done(NAME);`, which prints
   "NAME: N passed, N failed, N skipped". TEST_TMP is a folder for files that a test writes. */
#ifndef TEST_H
#define TEST_H

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TEST_TMP
#define TEST_TMP "build/tmp"
#endif

static int test_passed, test_failed, test_skipped, test_bad;
static unsigned long test_checks;        /* made by the present test */
static const char *test_function = "";   /* its name, from RUN */
static const char *test_current = "";    /* the row of a table or so that it is at: set by the test */

static void test_fail(const char *file, int line)
{
    test_bad = 1;
    printf("%s:%d: %s: %s%s", file, line, test_function, test_current, *test_current ? ": " : "");
}

/* One check: 1 where the condition is false, after the place has been printed; what follows, to the
   end of the line, is for the caller to print. */
#define FAILS(cond) (test_checks++, !(cond) && (test_fail(__FILE__, __LINE__), 1))

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (FAILS(cond)) printf("%s\n", #cond);                                                    \
    } while (0)

#define CHECK_INT(got, expected)                                                                   \
    do {                                                                                           \
        long long test_g = (long long)(got), test_e = (long long)(expected);                       \
        if (FAILS(test_g == test_e))                                                               \
            printf("%s is %lld, expected %lld\n", #got, test_g, test_e);                           \
    } while (0)

#define CHECK_NEAR(got, expected, tolerance)                                                       \
    do {                                                                                           \
        double test_g = (double)(got), test_e = (double)(expected);                                \
        if (FAILS(fabs(test_g - test_e) <= (double)(tolerance)))                                   \
            printf("%s is %.17g, expected %.17g\n", #got, test_g, test_e);                         \
    } while (0)

#define CHECK_STR(got, expected)                                                                   \
    do {                                                                                           \
        const char *test_g = (got), *test_e = (expected);                                          \
        if (FAILS(test_g && strcmp(test_g, test_e) == 0))                                          \
            printf("%s is \"%s\", expected \"%s\"\n", #got, test_g ? test_g : "(null)", test_e);   \
    } while (0)

/* The call fails with this status, and the message holds every given part ("" for none). */
#define CHECK_ERROR(call, status, part1, part2)                                                    \
    do {                                                                                           \
        nn_status test_s = (call);                                                                 \
        const char *test_m = nn_last_error();                                                      \
        if (FAILS(test_s == (status) && strstr(test_m, part1) && strstr(test_m, part2)))           \
            printf("%s gave \"%s\" (%s), expected \"%s\" with '%s' and '%s'\n", #call,             \
                   nn_status_string(test_s), test_m, nn_status_string(status), part1, part2);      \
    } while (0)

#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        nn_status test_s = (call);                                                                 \
        if (FAILS(test_s == NN_OK))                                                                \
            printf("%s: %s (%s)\n", #call, nn_status_string(test_s), nn_last_error());             \
    } while (0)

/* a b + c in one rounding: fma and fmaf, but for the C libraries that get them wrong. There the sum
   is rounded to odd first, which no second rounding spoils (Boldo and Melquiond, IEEE Transactions on
   Computers 57, 2008); doubles must be far from the ends of their range. */
#ifdef NN_H
#if defined(_WIN32) || defined(__wasi__)
static inline double test_sum_error(double a, double b, double sum)
{
    const double part = sum - a;
    return (a - (sum - part)) + (b - part);
}

static inline double test_odd_sum(double a, double b)
{
    double sum = a + b;
    const double error = test_sum_error(a, b, sum);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (fabs(sum) <= DBL_MAX && error != 0 && !(bits & 1))
        bits += (error > 0) == (sum > 0) ? 1 : (uint64_t)-1;
    memcpy(&sum, &bits, sizeof sum);
    return sum;
}

static inline double test_fma(double a, double b, double c)
{
    if (sizeof(nn_real) == sizeof(float)) return (double)(float)test_odd_sum(a * b, c);
    const double split = 134217729, ta = split * a, tb = split * b;
    const double ah = ta - (ta - a), al = a - ah, bh = tb - (tb - b), bl = b - bh, p = a * b;
    const double low = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    const double inner = c + low, high = p + inner;
    return high + test_odd_sum(test_sum_error(c, low, inner), test_sum_error(p, inner, high));
}
#else
static inline double test_fma(double a, double b, double c)
{
    if (sizeof(nn_real) == sizeof(double)) return fma(a, b, c);
    return (double)fmaf((float)a, (float)b, (float)c);
}
#endif
#endif /* NN_H */

static void test_run(const char *name, void (*function)(void))
{
    test_function = name;
    test_current = "";
    test_bad = 0;
    test_checks = 0;
    function();
    if (!test_checks) {
        test_bad = 1;
        printf("%s: nothing was checked\n", name);
    }
    if (test_bad) test_failed++;
    else test_passed++;
}

/* Runs one test function: void f(void). */
#define RUN(f) test_run(#f, f)

/* In place of RUN. The function is named so that no compiler takes it for a forgotten one. */
#define SKIP(f, why)                                                                               \
    do {                                                                                           \
        (void)(f);                                                                                 \
        printf("skipped %s: %s\n", #f, why);                                                       \
        test_skipped++;                                                                            \
    } while (0)

/* For tests that prove nothing with one thread. */
#ifdef _OPENMP
#define RUN_THREADS(f) RUN(f)
#else
#define RUN_THREADS(f) SKIP(f, "compiled without OpenMP")
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    if (!f) return;
    CHECK_INT(fwrite(bytes, 1, size, f), size);
    CHECK_INT(fclose(f), 0);
}

/* At most capacity - 1 bytes and a 0 behind them. Gives their number; a file that cannot be read
   fails the test and gives "". */
static inline size_t read_file(const char *path, char *text, size_t capacity)
{
    FILE *f = fopen(path, "rb");
    size_t size = f ? fread(text, 1, capacity - 1, f) : 0;
    text[size] = 0;
    CHECK(f != NULL && !ferror(f));
    if (f) fclose(f);
    return size;
}

/* 1 when a locale with a decimal comma is in force from now on, 0 when there is none. */
static inline int set_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8",
                                        "nl_NL.UTF-8", "de-DE", "German_Germany.1252"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (setlocale(LC_ALL, names[i]) && localeconv()->decimal_point[0] == ',') return 1;
    setlocale(LC_ALL, "C");
    return 0;
}

#ifdef NN_H /* for tests of the library: include nn.h first */

/* The bits of a value, in the low half of the result for a float. */
static inline uint64_t bits_of(nn_real x)
{
#ifdef NN_DOUBLE
    uint64_t bits;
#else
    uint32_t bits;
#endif
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* By its bits, because -ffast-math folds isnan. */
static inline int is_nan(nn_real x)
{
    uint64_t sign = (uint64_t)1 << (8 * sizeof x - 1);
    return (bits_of(x) & ~sign) > bits_of((nn_real)INFINITY);
}

#define HASH_START UINT64_C(0xCBF29CE484222325)

/* FNV-1a over the bits of x[n], the low byte of each first, so that byte order does not matter. Goes
   on from `hash`, which begins with HASH_START. */
static inline uint64_t hash_reals(uint64_t hash, const nn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned byte = 0; byte < sizeof x[i]; byte++)
            hash = (hash ^ (bits_of(x[i]) >> 8 * byte & 255)) * UINT64_C(0x100000001B3);
    return hash;
}

/* A hash is what it is for float or for double. */
#define CHECK_HASH(got, in_float, in_double)                                                       \
    do {                                                                                           \
        uint64_t test_g = (got), test_e = sizeof(nn_real) == 4 ? (in_float) : (in_double);         \
        if (FAILS(test_g == test_e))                                                               \
            printf("%s is 0x%08lX%08lX, expected 0x%08lX%08lX (%s, %d-byte reals)\n", #got,        \
                   (unsigned long)(test_g >> 32), (unsigned long)(test_g & 0xFFFFFFFF),            \
                   (unsigned long)(test_e >> 32), (unsigned long)(test_e & 0xFFFFFFFF),            \
                   nn_kernel_path(), (int)sizeof(nn_real));                                        \
    } while (0)

#endif /* NN_H */

static int test_done(const char *name)
{
    printf("%s: %d passed, %d failed, %d skipped\n", name, test_passed, test_failed, test_skipped);
    return test_failed != 0;
}

#endif
