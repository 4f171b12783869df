/* Functions on plain pointers: exact results where the header fixes the order of operations, ulps
   against long double where it does not, and a hash of each group of functions for comparing paths. */
#define NN_IMPLEMENTATION
#include "../nn.h"

#include "test.h"
#include <fenv.h>
#ifdef FE_INVALID
#define INVALID FE_INVALID
#else
#define INVALID 0 /* a machine without floating-point exceptions */
#endif
#include <float.h>
#ifndef NN_STACK_BYTES /* where the body of nn.h is elsewhere */
#define NN_STACK_BYTES 61440
#endif
#ifdef __has_feature /* clang's way to say it */
#if __has_feature(address_sanitizer)
#define HAVE_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN
#endif
#if defined(__GLIBC__) && !defined(HAVE_ASAN) /* which takes stack of its own */
#if __GLIBC__ > 2 || __GLIBC_MINOR__ >= 34               /* no -pthread needed */
#include <pthread.h>
#define HAVE_THREADS
#endif
#endif

#ifdef NN_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#define REAL_MANT_DIG DBL_MANT_DIG
#define REAL_MIN_EXP DBL_MIN_EXP
#define REAL_MAX DBL_MAX
#define REAL_MIN DBL_MIN
#else
#define REAL_EPSILON FLT_EPSILON
#define REAL_MANT_DIG FLT_MANT_DIG
#define REAL_MIN_EXP FLT_MIN_EXP
#define REAL_MAX FLT_MAX
#define REAL_MIN FLT_MIN
#endif

#define CANARY ((nn_real)12345)

static const nn_real real_nan = (nn_real)NAN, real_inf = (nn_real)INFINITY;
static const size_t vec_sizes[] = {0, 1, 2, 15, 16, 17, 31, 33, 64, 65, 1000};
static nn_rng draws;

/* -------------------------------------------------------------------------------------- helpers */

/* The first index where two arrays differ in their bits; any NaN equals any other. n if none. */
static size_t difference(const nn_real *got, const nn_real *expected, size_t n)
{
    size_t i = 0;
    while (i < n && (bits_of(got[i]) == bits_of(expected[i]) ||
                     (is_nan(got[i]) && is_nan(expected[i]))))
        i++;
    return i;
}

static nn_real *new_reals(size_t n)
{
    nn_real *x = (nn_real *)malloc((n ? n : 1) * sizeof(nn_real));
    if (!x) {
        printf("test_plain: out of memory\n");
        exit(2);
    }
    return x;
}

static nn_real *new_copy(const nn_real *x, size_t n)
{
    nn_real *copy = new_reals(n);
    if (n) memcpy(copy, x, n * sizeof(nn_real));
    return copy;
}

/* In [-scale, scale). With a power of two all steps but the last rounding are exact. */
static nn_real draw(double scale)
{
    return (nn_real)(2 * scale * nn_rng_uniform(&draws) - scale);
}

static nn_real *new_draws(size_t n, double scale)
{
    nn_real *x = new_reals(n);
    for (size_t i = 0; i < n; i++) x[i] = draw(scale);
    return x;
}

/* Whole numbers in [-8, 8]: their sums and products are exact in any order. */
static nn_real *new_integers(size_t n)
{
    nn_real *x = new_reals(n);
    for (size_t i = 0; i < n; i++) x[i] = (nn_real)((int)nn_rng_below(&draws, 17) - 8);
    return x;
}

/* The portable path with NN_NO_FMA: other bits, and as many ulps as the lost digits cost. */
static int rounds_twice(void)
{
#ifdef NN_NO_FMA
    return strcmp(nn_kernel_path(), "portable") == 0;
#else
    return 0;
#endif
}

/* One term of a product. */
static nn_real real_fma(nn_real a, nn_real b, nn_real c)
{
    if (rounds_twice()) {
        volatile nn_real rounded = a * b;
        return rounded + c;
    }
    return (nn_real)test_fma((double)a, (double)b, (double)c);
}

/* The error of `got` in units of the last place of the exact value. */
static double ulps(nn_real got, long double exact)
{
    int exponent;
    if ((long double)got == exact) return 0;
    if (is_nan(got)) return HUGE_VAL;
    frexpl(exact, &exponent);
    if (exact == 0 || exponent < REAL_MIN_EXP) exponent = REAL_MIN_EXP;
    return (double)(fabsl((long double)got - exact) / ldexpl(1, exponent - REAL_MANT_DIG));
}

/* ------------------------------------------------------------------------------- matrix product */

typedef struct product {
    int trans_a, trans_b, accumulate;
    size_t m, n, k, pad_a, pad_b, pad_c, guard;
} product;

/* A stored matrix that ends with its last row's last element, or `guard` elements later. */
typedef struct matrix {
    size_t rows, cols, ld, size;
    nn_real *data;
} matrix;

/* Padding and guard hold `filler`. */
static matrix matrix_new(size_t rows, size_t cols, size_t pad, size_t guard, nn_real filler)
{
    matrix x;
    x.rows = rows;
    x.cols = cols;
    x.ld = cols + pad;
    x.size = (rows ? (rows - 1) * x.ld + cols : 0) + guard;
    x.data = new_reals(x.size);
    for (size_t i = 0; i < x.size; i++) x.data[i] = filler;
    return x;
}

static void matrix_draw(matrix *x, double scale)
{
    for (size_t i = 0; i < x->rows; i++)
        for (size_t j = 0; j < x->cols; j++) x->data[i * x->ld + j] = draw(scale);
}

static void matrix_fill(matrix *x, nn_real value)
{
    for (size_t i = 0; i < x->rows; i++)
        for (size_t j = 0; j < x->cols; j++) x->data[i * x->ld + j] = value;
}

static nn_real matrix_at(const matrix *x, int trans, size_t i, size_t j)
{
    return trans ? x->data[j * x->ld + i] : x->data[i * x->ld + j];
}

/* The product as the header defines it. */
static void naive_product(const product *p, const matrix *a, const matrix *b, matrix *c)
{
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            nn_real sum = p->accumulate ? c->data[i * c->ld + j] : 0;
            for (size_t k = 0; k < p->k; k++)
                sum = real_fma(matrix_at(a, p->trans_a, i, k), matrix_at(b, p->trans_b, k, j), sum);
            c->data[i * c->ld + j] = sum;
        }
}

/* Multiplies and compares every element of C's memory, padding and guard included. */
static void check_product(const product *p, const matrix *a, const matrix *b, matrix *c)
{
    matrix expected = *c;
    expected.data = new_copy(c->data, c->size);
    naive_product(p, a, b, &expected);
    nn_mat_mul(p->trans_a, p->trans_b, p->m, p->n, p->k, a->data, a->ld, b->data, b->ld, c->data,
               c->ld, p->accumulate);
    size_t at = difference(c->data, expected.data, c->size);
    if (FAILS(at == c->size))
        printf("%s%s m %u n %u k %u, leading %u %u %u%s: element %u is %.17g, expected %.17g\n",
               p->trans_a ? "T" : "N", p->trans_b ? "T" : "N", (unsigned)p->m, (unsigned)p->n,
               (unsigned)p->k, (unsigned)a->ld, (unsigned)b->ld, (unsigned)c->ld,
               p->accumulate ? ", accumulate" : "", (unsigned)at, (double)c->data[at],
               (double)expected.data[at]);
    free(expected.data);
}

static matrix product_a(const product *p, nn_real filler)
{
    return p->trans_a ? matrix_new(p->k, p->m, p->pad_a, p->guard, filler)
                      : matrix_new(p->m, p->k, p->pad_a, p->guard, filler);
}

static matrix product_b(const product *p, nn_real filler)
{
    return p->trans_b ? matrix_new(p->n, p->k, p->pad_b, p->guard, filler)
                      : matrix_new(p->k, p->n, p->pad_b, p->guard, filler);
}

/* NaN lies where C must not be read and around A, Inf around B. */
static void check_drawn(const product *p, double scale)
{
    matrix a = product_a(p, real_nan);
    matrix b = product_b(p, real_inf);
    matrix c = matrix_new(p->m, p->n, p->pad_c, p->guard, CANARY);
    matrix_draw(&a, scale);
    matrix_draw(&b, scale);
    if (p->accumulate) matrix_draw(&c, scale);
    else matrix_fill(&c, real_nan);
    check_product(p, &a, &b, &c);
    free(a.data);
    free(b.data);
    free(c.data);
}

/* All transpositions, with paddings and guards that differ from call to call. */
static void check_sizes(size_t m, size_t n, size_t k)
{
    for (int flags = 0; flags < 4; flags++) {
        product p;
        p.trans_a = flags & 1;
        p.trans_b = flags >> 1;
        p.accumulate = nn_rng_below(&draws, 2) == 1;
        p.m = m;
        p.n = n;
        p.k = k;
        int padded = nn_rng_below(&draws, 2) == 1;
        p.pad_a = padded ? (size_t)nn_rng_below(&draws, 20) : 0;
        p.pad_b = padded ? (size_t)nn_rng_below(&draws, 20) : 0;
        p.pad_c = padded ? (size_t)nn_rng_below(&draws, 20) : 0;
        p.guard = nn_rng_below(&draws, 2) ? 64 : 0;
        check_drawn(&p, 1);
    }
}

/* Every edge size in every place, beside other edge sizes. */
static void test_mat_mul_edges(void)
{
    static const size_t sizes[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  11,
                                   12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33,
                                   47, 48, 49, 63, 64, 65, 95, 96, 97, 101, 255, 256, 257};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t other = sizes[nn_rng_below(&draws, COUNT(sizes))];
        size_t another = sizes[nn_rng_below(&draws, COUNT(sizes) - 3)];
        check_sizes(sizes[i], other, another);
        check_sizes(another, sizes[i], other);
        check_sizes(other, another, sizes[i]);
    }
    for (size_t n = 0; n < 10; n++) check_sizes(n, n, n);
}

static size_t skewed_size(void)
{
    return (size_t)nn_rng_below(&draws, nn_rng_below(&draws, 200) + 1) + 1;
}

static void test_mat_mul_random(void)
{
    for (int i = 0; i < 300; i++) {
        product p;
        p.trans_a = nn_rng_below(&draws, 2) == 1;
        p.trans_b = nn_rng_below(&draws, 2) == 1;
        p.accumulate = nn_rng_below(&draws, 2) == 1;
        p.m = skewed_size();
        p.n = skewed_size();
        p.k = skewed_size();
        p.pad_a = (size_t)nn_rng_below(&draws, 4) * 5;
        p.pad_b = (size_t)nn_rng_below(&draws, 4) * 5;
        p.pad_c = (size_t)nn_rng_below(&draws, 4) * 5;
        p.guard = (size_t)nn_rng_below(&draws, 3) * 16;
        check_drawn(&p, 1);
    }
}

/* Blocks of k must go on from the sum so far, not add up sums of their own. */
static void test_mat_mul_long_k(void)
{
    static const size_t depths[] = {383, 384, 385, 511, 512, 513, 1023, 1024, 1025, 3000};
    for (size_t i = 0; i < COUNT(depths); i++) {
        check_sizes(1, 1, depths[i]);
        check_sizes(7, 17, depths[i]);
        check_sizes(33, 5, depths[i]);
        check_sizes(13, 49, depths[i]);
        check_sizes(25, 131, depths[i]); /* more than one panel */
    }
    check_sizes(395, 70, 530); /* more rows than a block has */
    check_sizes(70, 1100, 530); /* transposed: more columns than are turned at once */
    for (size_t n = 1; n <= 17; n++) check_sizes(3, n, 3000);
}

static void test_mat_mul_narrow(void)
{
    for (size_t narrow = 1; narrow <= 17; narrow++) {
        check_sizes(300, narrow, 40 + narrow);
        check_sizes(narrow, 300, 40 + narrow);
        check_sizes(narrow, 2000 + narrow, 5);
        check_sizes(2000 + narrow, narrow, 5);
    }
}

/* Few columns: rows around whole vectors and twice that, and every rest of a few steps of k. */
static void test_mat_mul_few_columns(void)
{
    static const size_t rows[] = {1,  3,  4,  5,  7,  8,  9,  15, 16, 17, 23, 24,
                                  25, 31, 32, 33, 39, 40, 41, 47, 48, 49, 70};
    static const size_t cols[] = {1, 2, 4, 10};
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t j = 0; j < COUNT(cols); j++)
            for (size_t k = 47; k <= 52; k++) check_sizes(rows[i], cols[j], k);
}

/* A transposed times a column, without gaps in C: rows around 16, 4, 2 and 1 vectors. */
static void test_mat_mul_column(void)
{
    for (size_t m = 1; m <= 600; m += m < 290 ? 1 : 31)
        for (int flags = 0; flags < 4; flags++) {
            product p = {1, 0, 0, 1, 1, 7, 0, 3, 0, 0};
            p.m = m;
            p.trans_b = flags & 1;
            p.accumulate = flags >> 1;
            p.pad_a = m % 3;
            check_drawn(&p, 1);
        }
}

/* B too wide to be foreseen by hardware, and few rows of C: B is read as it lies, or in short
   panels from 13 rows on. Wide enough for the narrower strips of 8, 10 and 12 rows too. */
static void test_mat_mul_few_rows(void)
{
    static const size_t rows[] = {8, 10, 12, 13};
    for (size_t m = 1; m <= 14; m++) check_sizes(m, 267, 259);
    for (size_t i = 0; i < COUNT(rows); i++) check_sizes(rows[i], 523, 259);
}

/* A single step, an outer product: columns around whole vectors, at and below the width from which
   rows of C are written whole. */
static void test_mat_mul_one_step(void)
{
    for (size_t n = 60; n <= 82; n++) check_sizes(7, n, 1);
    for (size_t m = 2; m <= 14; m++) check_sizes(m, 300 + m, 1);
}

/* Large enough in every direction for more than one block, and for several threads. */
static void test_mat_mul_large(void)
{
    for (int flags = 0; flags < 4; flags++) {
        product p = {0, 0, 1, 103, 301, 277, 3, 0, 1, 0};
        p.trans_a = flags & 1;
        p.trans_b = flags >> 1;
        check_drawn(&p, 1);
    }
}

#ifdef HAVE_THREADS
static void *products_on_little_stack(void *failed)
{
    static const size_t sizes[][3] = {{100, 100, 500}, {13, 300, 700}, {300, 10, 300}, {70, 80, 90}};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int t = 0; t < 4; t++) {
            const size_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            nn_real *a = new_reals(m * k), *b = new_reals(k * n), *c = new_reals(m * n);
            for (size_t j = 0; j < m * k; j++) a[j] = 1;
            for (size_t j = 0; j < k * n; j++) b[j] = 2;
            nn_mat_mul(t & 1, t >> 1, m, n, k, a, t & 1 ? m : k, b, t >> 1 ? k : n, c, n, 0);
            for (size_t j = 0; j < m * n; j++)
                if (c[j] != (nn_real)(2 * k)) ++*(int *)failed;
            free(a), free(b), free(c);
        }
    return NULL;
}

/* The header promises NN_STACK_BYTES and 4 KB, 64 KB if that is not set: less than the smallest
   threads that programs use. The C library's own data lies on the same stack. */
static void test_mat_mul_little_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = 0;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, NN_STACK_BYTES + 28 * 1024) == 0 ||
          pthread_attr_setstacksize(&attributes, 128 * 1024) == 0); /* the least on arm64 */
    CHECK(pthread_create(&thread, &attributes, products_on_little_stack, &failed) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(failed == 0);
    pthread_attr_destroy(&attributes);
}
#endif

/* Products of two tiny numbers are subnormal: nothing may be flushed to zero. */
static void test_mat_mul_subnormal(void)
{
    double scale = ldexp(1, (REAL_MIN_EXP - 8) / 2);
    for (int flags = 0; flags < 4; flags++) {
        product p = {0, 0, 0, 19, 37, 23, 0, 0, 0, 0};
        p.trans_a = flags & 1;
        p.trans_b = flags >> 1;
        check_drawn(&p, scale);
    }
}

/* Sums a hair beside the middle of two floats: rounded to double first they fall on the middle, and
   then to the wrong side. Worked out by hand for float. */
static void test_mat_mul_midpoints(void)
{
    const double step = ldexp(1, -23), small = ldexp(1, -15), unit = ldexp(1, -35);
    const struct {
        double a, b, c, expected;
    } cases[] = {
        /* product 2^-24 - 2^-54 */
        {(1 + small) / 4096, (1 - small) / 4096, 1 + step, 1 + step},
        {(1 + small) / 4096, (small - 1) / 4096, -1 - step, -1 - step},
        /* product 2^-24 + 2^-70, for 8384513 * 8392705 = 2^46 + 1 */
        {8384513 * unit, 8392705 * unit, 1, 1 + step},
        {8384513 * unit, 8392705 * unit, -1 - 2 * step, -1 - step},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        nn_real a = (nn_real)cases[i].a, b = (nn_real)cases[i].b, c = (nn_real)cases[i].c;
        nn_real sum = real_fma(a, b, c);
        nn_mat_mul(0, 0, 1, 1, 1, &a, 1, &b, 1, &c, 1, 1);
        CHECK(c == sum);
#if !defined(NN_DOUBLE) && !defined(NN_NO_FMA)
        CHECK(c == (nn_real)cases[i].expected);
#endif
    }
}

/* A zero is no reason to skip a term: 0 * Inf is NaN, and NaN stays in its row and column. */
static void test_mat_mul_not_finite(void)
{
    for (int flags = 0; flags < 8; flags++) {
        product p = {0, 0, 0, 21, 35, 18, 0, 0, 0, 0};
        p.trans_a = flags & 1;
        p.trans_b = flags >> 1 & 1;
        p.accumulate = flags >> 2;
        matrix a = product_a(&p, 0), b = product_b(&p, 1), c = matrix_new(p.m, p.n, 0, 0, -1);
        a.data[5] = real_nan;
        a.data[100] = real_inf;
        a.data[200] = 1;
        b.data[7] = -real_inf;
        b.data[400] = real_nan;
        check_product(&p, &a, &b, &c);
        free(a.data);
        free(b.data);
        free(c.data);
    }
}

/* Leaves signalling NaNs where the next calls will have their local arrays. */
static void soil_stack(void)
{
    volatile nn_real below[320 * 1024 / sizeof(nn_real)];
    nn_real signalling;
#ifdef NN_DOUBLE
    uint64_t bits = UINT64_C(0x7ff4000000000000);
#else
    uint32_t bits = UINT32_C(0x7fa00000);
#endif
    memcpy(&signalling, &bits, sizeof bits);
    for (size_t i = 0; i < COUNT(below); i++) below[i] = signalling;
}

/* What lies behind the last column takes no part in the arithmetic when it is the stack's: a
   signalling NaN would raise an exception there (and a subnormal number take its time). */
static void test_no_arithmetic_on_leftovers(void)
{
    static const size_t sizes[] = {1, 3, 10, 17, 59, 70};
    nn_real *a = new_draws(70 * 70, 1), *b = new_draws(70 * 70, 1), *c = new_draws(70 * 70, 1);
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(sizes); j++)
            for (size_t l = 0; l < COUNT(sizes); l++)
                for (int trans = 0; trans < 8; trans++) {
                    size_t m = sizes[i], n = sizes[j], k = sizes[l];
                    int trans_a = trans & 1, trans_b = trans >> 1 & 1;
                    soil_stack();
                    feclearexcept(FE_ALL_EXCEPT);
                    nn_mat_mul(trans_a, trans_b, m, n, k, a, trans_a ? m : k, b, trans_b ? k : n, c,
                               n, trans >> 2);
                    CHECK(!fetestexcept(INVALID));
                }
    for (size_t cols = 1; cols <= 70; cols++) {
        soil_stack();
        feclearexcept(FE_ALL_EXCEPT);
        nn_mat_softmax(70, cols, a, b);
        nn_mat_log_softmax(37, cols, a, b);
        CHECK(!fetestexcept(INVALID));
    }
    free(a);
    free(b);
    free(c);
}

/* ------------------------------------------------------------------------ rows, softmax, labels */

static void test_mat_add_row(void)
{
    for (size_t i = 0; i < COUNT(vec_sizes); i++)
        for (size_t rows = 0; rows < 4; rows++) {
            size_t cols = vec_sizes[i], n = rows * cols;
            nn_real *x = new_draws(n, 1), *row = new_draws(cols, 1), *expected = new_copy(x, n);
            for (size_t j = 0; j < n; j++) expected[j] = x[j] + row[j % cols];
            nn_mat_add_row(rows, cols, x, row);
            CHECK_INT(difference(x, expected, n), n);
            free(x);
            free(row);
            free(expected);
        }
}

static void check_sum_rows(size_t rows, size_t cols, int accumulate)
{
    nn_real *x = new_integers(rows * cols), *out = new_integers(cols);
    nn_real *expected = new_copy(out, cols);
    for (size_t j = 0; j < cols; j++) {
        if (!accumulate) {
            expected[j] = 0;
            out[j] = real_nan;
        }
        for (size_t i = 0; i < rows; i++) expected[j] += x[i * cols + j];
    }
    nn_mat_column_sums(rows, cols, x, out, accumulate);
    CHECK_INT(difference(out, expected, cols), cols);
    free(x);
    free(out);
    free(expected);
}

static void test_mat_sum_rows(void)
{
    static const size_t row_counts[] = {0, 1, 2, 7, 16, 33, 500};
    for (size_t i = 0; i < COUNT(vec_sizes); i++)
        for (size_t j = 0; j < COUNT(row_counts); j++) {
            check_sum_rows(row_counts[j], vec_sizes[i], 0);
            check_sum_rows(row_counts[j], vec_sizes[i], 1);
        }
}

/* One row's probabilities and their logarithms against long double. */
static void check_softmax_row(size_t cols, const nn_real *x, const nn_real *y, const nn_real *log_y)
{
    long double max = x[0], sum = 0, total = 0;
    double worst = 0, log_worst = 0;
    for (size_t i = 1; i < cols; i++) max = x[i] > max ? (long double)x[i] : max;
    for (size_t i = 0; i < cols; i++) sum += expl(x[i] - max);
    for (size_t i = 0; i < cols; i++) {
        long double exact = expl(x[i] - max) / sum, log_exact = x[i] - max - logl(sum);
        double error = (double)(fabsl(y[i] - exact) / (exact * (8 + max - x[i]) + REAL_MIN));
        double log_error = (double)(fabsl(log_y[i] - log_exact) / (8 - 2 * log_exact));
        worst = error > worst ? error : worst;
        log_worst = log_error > log_worst ? log_error : log_worst;
        total += y[i];
    }
    CHECK_NEAR(worst, 0, REAL_EPSILON);
    CHECK_NEAR(log_worst, 0, REAL_EPSILON);
    CHECK_NEAR(total, 1, 8 * REAL_EPSILON);
}

static const size_t softmax_sizes[] = {1, 2, 10, 15, 16, 17, 33, 1000};

static void test_softmax_values(void)
{
    for (size_t i = 0; i < COUNT(softmax_sizes); i++)
        for (double scale = 0.5; scale <= 64; scale *= 2) {
            size_t rows = scale < 4 ? 3 : 21, cols = softmax_sizes[i], n = rows * cols;
            nn_real *x = new_draws(n, scale), *y = new_reals(n), *log_y = new_reals(n);
            nn_mat_softmax(rows, cols, x, y);
            nn_mat_log_softmax(rows, cols, x, log_y);
            for (size_t row = 0; row < n; row += cols)
                check_softmax_row(cols, x + row, y + row, log_y + row);
            free(x);
            free(y);
            free(log_y);
        }
}

static void test_softmax_in_place(void)
{
    for (size_t i = 0; i < COUNT(softmax_sizes); i++) {
        size_t cols = softmax_sizes[i], n = 3 * cols;
        nn_real *x = new_draws(n, 8), *log_x = new_copy(x, n), *y = new_reals(n);
        nn_mat_softmax(3, cols, x, y);
        nn_mat_softmax(3, cols, x, x);
        CHECK_INT(difference(x, y, n), n);
        nn_mat_log_softmax(3, cols, log_x, y);
        nn_mat_log_softmax(3, cols, log_x, log_x);
        CHECK_INT(difference(log_x, y, n), n);
        free(x);
        free(log_x);
        free(y);
    }
}

/* A row's results do not depend on the rows beside it, with which it may share vectors: neither on
   how many there are nor on what they hold. */
static void test_softmax_of_rows_apart(void)
{
    for (size_t cols = 1; cols <= 18; cols++)
        for (size_t rows = 2; rows <= 37; rows += rows < 18 ? 1 : 19) {
            size_t n = rows * cols;
            nn_real *x = new_draws(n, 8), *y = new_reals(n + 1), *apart = new_reals(n);
            x[n / 2] = real_inf, x[n / 3] = -real_inf, x[n - 1] = real_nan;
            for (int log = 0; log < 2; log++) {
                y[n] = 7;
                (log ? nn_mat_log_softmax : nn_mat_softmax)(rows, cols, x, y);
                for (size_t row = 0; row < n; row += cols)
                    (log ? nn_mat_log_softmax : nn_mat_softmax)(1, cols, x + row, apart + row);
                CHECK_INT(difference(y, apart, n), n);
                CHECK(y[n] == 7);
                memcpy(apart, x, n * sizeof *x);
                (log ? nn_mat_log_softmax : nn_mat_softmax)(rows, cols, apart, apart);
                CHECK_INT(difference(y, apart, n), n);
            }
            free(x);
            free(y);
            free(apart);
        }
}

/* A row of equal logits, wherever they lie on the number line. */
static void test_softmax_equal_logits(void)
{
    static const nn_real levels[] = {0, 1, (nn_real)1e4, (nn_real)-1e4, REAL_MAX, -REAL_MAX};
    for (size_t i = 0; i < COUNT(levels); i++) {
        nn_real x[16], y[16];
        for (size_t j = 0; j < 16; j++) x[j] = levels[i];
        nn_mat_softmax(1, 16, x, y);
        for (size_t j = 0; j < 16; j++) CHECK(y[j] == (nn_real)0.0625);
        nn_mat_softmax(16, 1, x, y);
        for (size_t j = 0; j < 16; j++) CHECK(y[j] == 1);
        nn_mat_log_softmax(16, 1, x, y);
        for (size_t j = 0; j < 16; j++) CHECK(y[j] == 0);
        nn_mat_log_softmax(1, 10, x, y);
        for (size_t j = 0; j < 10; j++) CHECK(ulps(y[j], -logl(10)) <= 2);
    }
}

/* Far losers get exactly 0 and the distance to the winner; -inf gets 0 and -inf. */
static void test_softmax_extremes(void)
{
    nn_real x[20], y[20], log_y[20];
    for (size_t i = 0; i < 20; i++) x[i] = (nn_real)-1e4;
    x[3] = (nn_real)1e4;
    x[7] = -real_inf;
    x[19] = -real_inf;
    nn_mat_softmax(1, 20, x, y);
    nn_mat_log_softmax(1, 20, x, log_y);
    for (size_t i = 0; i < 20; i++) {
        CHECK(y[i] == (i == 3 ? 1 : 0));
        CHECK(log_y[i] == (i == 3 ? 0 : i == 7 || i == 19 ? -real_inf : (nn_real)-2e4));
    }
    x[0] = -real_inf;
    x[1] = 2;
    x[2] = 2;
    nn_mat_softmax(1, 3, x, y);
    CHECK(y[0] == 0 && y[1] == (nn_real)0.5 && y[2] == (nn_real)0.5);
}

/* A NaN takes its whole row, and no other. */
static void check_softmax_nan(size_t cols, size_t at)
{
    size_t n = 3 * cols, wrong = 0, log_wrong = 0;
    nn_real *x = new_draws(n, 4), *y = new_reals(n);
    x[cols + at] = real_nan;
    nn_mat_softmax(3, cols, x, y);
    nn_mat_log_softmax(3, cols, x, x);
    for (size_t i = 0; i < n; i++) {
        wrong += is_nan(y[i]) != (i / cols == 1);
        log_wrong += is_nan(x[i]) != (i / cols == 1);
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(log_wrong, 0);
    free(x);
    free(y);
}

static void test_softmax_nan(void)
{
    for (size_t i = 0; i < COUNT(softmax_sizes); i++) {
        check_softmax_nan(softmax_sizes[i], 0);
        check_softmax_nan(softmax_sizes[i], softmax_sizes[i] / 2);
        check_softmax_nan(softmax_sizes[i], softmax_sizes[i] - 1);
    }
}

/* The largest value stands at `first`, and once more behind it. */
static void check_argmax(size_t cols, size_t first)
{
    nn_real *x = new_draws(2 * cols, 1);
    int index[3] = {-1, -1, -1};
    x[cols + first] = 2;
    x[cols + (first + cols) / 2] = 2;
    x[2 * cols - 1] = 2;
    for (size_t i = 0; i < cols; i++) x[i] = x[cols + i] - 3;
    nn_mat_argmax(2, cols, x, index);
    CHECK_INT(index[0], first);
    CHECK_INT(index[1], first);
    CHECK_INT(index[2], -1);
    free(x);
}

static void test_argmax(void)
{
    for (size_t cols = 1; cols < 40; cols++)
        for (size_t first = 0; first < cols; first++) check_argmax(cols, first);
    check_argmax(1000, 0);
    check_argmax(1000, 998);
    nn_real x[] = {0, 0, 0, 0, 0, 0};
    int index[2];
    for (size_t i = 0; i < 3; i++) x[i] = -real_inf;
    x[4] = real_inf;
    x[5] = real_inf;
    nn_mat_argmax(2, 3, x, index);
    CHECK_INT(index[0], 0);
    CHECK_INT(index[1], 1);
}

static void test_one_hot(void)
{
    static const int labels[] = {2, 0, 3, 2};
    static const nn_real expected[] = {0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, CANARY};
    nn_real y[17];
    for (size_t i = 0; i < 17; i++) y[i] = CANARY;
    CHECK_OK(nn_mat_one_hot(4, 4, labels, y));
    CHECK_INT(difference(y, expected, 17), 17);
    y[0] = CANARY;
    CHECK_OK(nn_mat_one_hot(0, 4, labels, y));
    CHECK(y[0] == CANARY);
    CHECK_ERROR(nn_mat_one_hot(4, 3, labels, y), NN_ERROR_BAD_LABEL, "3", "");
    CHECK_ERROR(nn_mat_one_hot(1, 0, labels, y), NN_ERROR_BAD_LABEL, "2", "");
    int wild[] = {0, -7, INT32_MAX};
    CHECK_ERROR(nn_mat_one_hot(2, 4, wild, y), NN_ERROR_BAD_LABEL, "-7", "");
    wild[1] = 1;
    CHECK_ERROR(nn_mat_one_hot(3, 4, wild, y), NN_ERROR_BAD_LABEL, "2147483647", "");
}

/* -------------------------------------------------------------------------------------- vectors */

typedef void vec_function(size_t n, const nn_real *a, const nn_real *b, nn_real *y);

/* A result in its own array, in a's, in b's, and from one array to itself. */
static void check_binary(vec_function *f, size_t n, const nn_real *a, const nn_real *b,
                         const nn_real *expected, const nn_real *expected_self)
{
    nn_real *y = new_reals(n + 1), *in_a = new_copy(a, n), *in_b = new_copy(b, n);
    nn_real *self = new_copy(a, n);
    y[n] = CANARY;
    f(n, a, b, y);
    f(n, in_a, b, in_a);
    f(n, a, in_b, in_b);
    f(n, self, self, self);
    CHECK_INT(difference(y, expected, n), n);
    CHECK(y[n] == CANARY);
    CHECK_INT(difference(in_a, expected, n), n);
    CHECK_INT(difference(in_b, expected, n), n);
    CHECK_INT(difference(self, expected_self, n), n);
    free(y);
    free(in_a);
    free(in_b);
    free(self);
}

static void test_vec_add_sub_mul(void)
{
    for (size_t s = 0; s < COUNT(vec_sizes); s++) {
        size_t n = vec_sizes[s];
        nn_real *a = new_draws(n, 4), *b = new_draws(n, 4), *expected = new_reals(n);
        nn_real *expected_self = new_reals(n);
        for (size_t i = 0; i < n; i++) {
            expected[i] = a[i] + b[i];
            expected_self[i] = a[i] + a[i];
        }
        check_binary(nn_vec_add, n, a, b, expected, expected_self);
        for (size_t i = 0; i < n; i++) {
            expected[i] = a[i] - b[i];
            expected_self[i] = 0;
        }
        check_binary(nn_vec_sub, n, a, b, expected, expected_self);
        for (size_t i = 0; i < n; i++) {
            expected[i] = a[i] * b[i];
            expected_self[i] = a[i] * a[i];
        }
        check_binary(nn_vec_mul, n, a, b, expected, expected_self);
        free(a);
        free(b);
        free(expected);
        free(expected_self);
    }
}

static void test_vec_scale_axpy(void)
{
    for (size_t s = 0; s < COUNT(vec_sizes); s++) {
        size_t n = vec_sizes[s];
        nn_real factor = (nn_real)-1.7, *x = new_draws(n, 4), *y = new_draws(n + 1, 4);
        nn_real *scaled = new_reals(n), *added = new_reals(n);
        for (size_t i = 0; i < n; i++) {
            scaled[i] = factor * x[i];
            added[i] = real_fma(factor, x[i], y[i]);
        }
        y[n] = CANARY;
        nn_vec_axpy(n, factor, x, y);
        CHECK_INT(difference(y, added, n), n);
        CHECK(y[n] == CANARY);
        nn_vec_scale(n, factor, x, y);
        CHECK_INT(difference(y, scaled, n), n);
        CHECK(y[n] == CANARY);
        free(x);
        free(y);
        free(scaled);
        free(added);
    }
}

/* Whole numbers have one right sum; NaN lies behind the end. */
static void test_vec_sum_dot_exact(void)
{
    for (size_t n = 0; n < 200; n++) {
        nn_real *a = new_integers(n + 1), *b = new_integers(n + 1), sum = 0, dot = 0;
        for (size_t i = 0; i < n; i++) {
            sum += a[i];
            dot += a[i] * b[i];
        }
        a[n] = real_nan;
        b[n] = real_nan;
        CHECK(nn_vec_sum(n, a) == sum);
        CHECK(nn_vec_dot(n, a, b) == dot);
        free(a);
        free(b);
    }
}

static void test_vec_sum_dot_error(void)
{
    size_t n = 100003;
    nn_real *a = new_draws(n, 1), *b = new_draws(n, 1);
    long double sum = 0, dot = 0, sum_size = 0, dot_size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i];
        dot += (long double)a[i] * b[i];
        sum_size += fabsl(a[i]);
        dot_size += fabsl((long double)a[i] * b[i]);
    }
    CHECK_NEAR(nn_vec_sum(n, a), sum, sum_size * REAL_EPSILON);
    CHECK_NEAR(nn_vec_dot(n, a, b), dot, dot_size * REAL_EPSILON);
    free(a);
    free(b);
}

/* ---------------------------------------------------------------------------------- activations */

static long double exact_sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}

static long double exact_phi(long double x) /* the normal distribution's integral */
{
    return erfcl(-x * sqrtl(0.5L)) / 2;
}

/* The number that most use with an activation. */
static double usual_alpha(nn_activation kind)
{
    return kind == NN_ACTIVATION_LEAKY_RELU ? 0.01 : kind == NN_ACTIVATION_ELU ? 1 : 0;
}

static long double exact_value(nn_activation kind, long double alpha, long double x)
{
    switch (kind) {
    case NN_ACTIVATION_SIGMOID: return exact_sigmoid(x);
    case NN_ACTIVATION_TANH: return tanhl(x);
    case NN_ACTIVATION_SCALED_TANH: return 1.7159L * tanhl(2 * x / 3);
    case NN_ACTIVATION_RELU: return x > 0 ? x : 0;
    case NN_ACTIVATION_LEAKY_RELU: return x > 0 ? x : alpha * x;
    case NN_ACTIVATION_ELU: return x > 0 ? x : alpha * expm1l(x);
    case NN_ACTIVATION_GELU: return x * exact_phi(x);
    case NN_ACTIVATION_SILU: return x * exact_sigmoid(x);
    case NN_ACTIVATION_SOFTPLUS: return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
    default: return x;
    }
}

static long double exact_slope(nn_activation kind, long double alpha, long double x)
{
    long double s = exact_sigmoid(x), pi = 3.14159265358979323846L;
    switch (kind) {
    case NN_ACTIVATION_SIGMOID: return s * exact_sigmoid(-x);
    case NN_ACTIVATION_TANH: return 1 / (coshl(x) * coshl(x));
    case NN_ACTIVATION_SCALED_TANH: return 1.7159L * 2 / 3 / (coshl(2 * x / 3) * coshl(2 * x / 3));
    case NN_ACTIVATION_RELU: return x > 0;
    case NN_ACTIVATION_LEAKY_RELU: return x > 0 ? 1 : alpha;
    case NN_ACTIVATION_ELU: return x > 0 ? 1 : alpha * expl(x);
    case NN_ACTIVATION_GELU: return exact_phi(x) + x * expl(-x * x / 2) / sqrtl(2 * pi);
    case NN_ACTIVATION_SILU: return s + x * s * exact_sigmoid(-x);
    case NN_ACTIVATION_SOFTPLUS: return s;
    default: return 1;
    }
}

/* Largest error allowed, in ulps. */
static double allowed_ulps(nn_activation kind)
{
    switch (kind) {
    case NN_ACTIVATION_IDENTITY: case NN_ACTIVATION_RELU: return 0;
    case NN_ACTIVATION_LEAKY_RELU: return 0.5;
    case NN_ACTIVATION_SIGMOID: case NN_ACTIVATION_TANH: return 2;
    case NN_ACTIVATION_GELU: return 8; /* a product of four rounded factors */
    default: return 4;
    }
}

/* The error of x times a function. Where that function is subnormal it has lost digits for good, so
   the unit is then x times the smallest subnormal. */
static double product_ulps(nn_real got, long double exact, long double x)
{
    if (is_nan(got) || fabsl(exact) >= fabsl(x) * REAL_MIN) return ulps(got, exact);
    return (double)(fabsl(got - exact) / (fabsl(x) * REAL_MIN * REAL_EPSILON));
}

/* Where long double is no wider than nn_real the reference errs, too. */
static double reference_ulps(void)
{
    return LDBL_MANT_DIG > REAL_MANT_DIG ? 0 : 1;
}

/* Evenly and at random around 0; powers from the smallest subnormal to the largest number, both
   signs; points where exp overflows, underflows or becomes subnormal. */
#define GRID_EVEN 40001
#define GRID_RANDOM 60000
#define GRID_POWERS 20000
#define GRID_POINTS 40
#define GRID_SIZE (GRID_EVEN + GRID_RANDOM + GRID_POWERS + GRID_POINTS)

static void fill_grid(nn_real *x)
{
    static const double points[GRID_POINTS / 2] = {0,     0.5,   1e-8, 1,     17,  20,   87.3,
                                                   88,    88.8,  104,  103.9, 1e4, 1e30, REAL_MAX,
                                                   708.4, 709.7, 744,  745.2, 750, 700};
    double lowest = log(REAL_MIN) + log(REAL_EPSILON), highest = log(REAL_MAX);
    size_t n = 0;
    for (int i = 0; i < GRID_EVEN; i++) x[n++] = (nn_real)(i / 1000.0 - 20);
    for (int i = 0; i < GRID_RANDOM; i++) x[n++] = draw(i % 2 ? 0.5 : 8);
    for (int i = 0; i < GRID_POWERS / 2; i++) {
        double power = exp(lowest + (highest - lowest) * i / (GRID_POWERS / 2));
        x[n++] = (nn_real)power;
        x[n++] = (nn_real)-power;
    }
    for (size_t i = 0; i < COUNT(points); i++) {
        x[n++] = (nn_real)points[i];
        x[n++] = (nn_real)-points[i];
    }
}

static void test_activation_accuracy(void)
{
    nn_real *x = new_reals(GRID_SIZE), *y = new_reals(GRID_SIZE);
    fill_grid(x);
    for (int k = 0; k < NN_ACTIVATION_COUNT; k++) {
        nn_activation kind = (nn_activation)k;
        long double alpha = (nn_real)(kind == NN_ACTIVATION_ELU ? 1 : 0.01);
        double worst = 0, worst_x = 0;
        nn_vec_activate(kind, usual_alpha(kind), GRID_SIZE, x, y);
        for (size_t i = 0; i < GRID_SIZE; i++) {
            long double exact = exact_value(kind, alpha, x[i]);
            double error = kind == NN_ACTIVATION_GELU || kind == NN_ACTIVATION_SILU
                               ? product_ulps(y[i], exact, x[i])
                               : ulps(y[i], exact);
            if (error <= worst) continue;
            worst = error;
            worst_x = (double)x[i];
        }
        if (FAILS(worst <= allowed_ulps(kind) + reference_ulps()))
            printf("%s is off by %.2f ulp at x = %.9g\n", nn_activation_string(kind), worst,
                   worst_x);
    }
    free(x);
    free(y);
}

/* To the left GELU and SiLU are -Inf * 0, so nothing is promised there. */
static void test_activation_extremes(void)
{
    static const struct {
        nn_activation kind;
        double at_minus_inf, at_zero, at_inf;
    } limits[] = {
        {NN_ACTIVATION_IDENTITY, -INFINITY, 0, INFINITY},
        {NN_ACTIVATION_SIGMOID, 0, 0.5, 1},
        {NN_ACTIVATION_TANH, -1, 0, 1},
        {NN_ACTIVATION_SCALED_TANH, -1.7159, 0, 1.7159},
        {NN_ACTIVATION_RELU, 0, 0, INFINITY},
        {NN_ACTIVATION_LEAKY_RELU, -INFINITY, 0, INFINITY},
        {NN_ACTIVATION_ELU, -1, 0, INFINITY},
        {NN_ACTIVATION_GELU, 0, 0, INFINITY},
        {NN_ACTIVATION_SILU, 0, 0, INFINITY},
        {NN_ACTIVATION_SOFTPLUS, 0, 0.69314718055994531, INFINITY},
    };
    CHECK_INT(COUNT(limits), NN_ACTIVATION_COUNT);
    for (size_t i = 0; i < COUNT(limits); i++) {
        nn_real x[] = {-real_inf, 0, (nn_real)-0.0, real_inf, real_nan}, y[5];
        nn_vec_activate(limits[i].kind, usual_alpha(limits[i].kind), 5, x, y);
        if (limits[i].kind != NN_ACTIVATION_GELU && limits[i].kind != NN_ACTIVATION_SILU)
            CHECK(y[0] == (nn_real)limits[i].at_minus_inf);
        CHECK(ulps(y[1], limits[i].at_zero) <= 1);
        CHECK(y[2] == y[1]);
        CHECK(y[3] == (nn_real)limits[i].at_inf);
        CHECK(is_nan(y[4]));
    }
}

static void test_activation_alpha(void)
{
    static const nn_real x[] = {-2, -1, (nn_real)-0.25, (nn_real)0.25, 3};
    static const double alphas[] = {0.2, 0.5, 1, 2.5};
    for (size_t a = 0; a < COUNT(alphas); a++)
        for (size_t i = 0; i < COUNT(x); i++) {
            long double alpha = (nn_real)alphas[a];
            nn_real y;
            nn_vec_activate(NN_ACTIVATION_LEAKY_RELU, alphas[a], 1, &x[i], &y);
            CHECK(ulps(y, exact_value(NN_ACTIVATION_LEAKY_RELU, alpha, x[i])) <= 0.5);
            nn_vec_activate(NN_ACTIVATION_ELU, alphas[a], 1, &x[i], &y);
            CHECK(ulps(y, exact_value(NN_ACTIVATION_ELU, alpha, x[i])) <= 4);
        }
}

/* A value does not depend on where it stands in an array, nor on being overwritten. */
static void test_activation_positions(void)
{
    nn_real *x = new_draws(100, 8), *dy = new_draws(100, 2), y[100], dx[100], part[101];
    for (int k = 0; k < NN_ACTIVATION_COUNT; k++) {
        nn_activation kind = (nn_activation)k;
        nn_vec_activate(kind, usual_alpha(kind), 100, x, y);
        nn_vec_activate_backward(kind, usual_alpha(kind), 100, x, y, dy, dx);
        for (size_t n = 0; n <= 65; n++) {
            size_t start = n % 35;
            part[n] = CANARY;
            memcpy(part, x + start, n * sizeof *part);
            nn_vec_activate(kind, usual_alpha(kind), n, part, part);
            CHECK_INT(difference(part, y + start, n), n);
            memcpy(part, dy + start, n * sizeof *part);
            nn_vec_activate_backward(kind, usual_alpha(kind), n, x + start, y + start, part, part);
            CHECK_INT(difference(part, dx + start, n), n);
            CHECK(part[n] == CANARY);
        }
    }
    free(x);
    free(dy);
}

/* The closed forms agree with central differences of the values. */
static void test_slopes_of_reference(void)
{
    const long double h = 1e-5L;
    for (int k = 0; k < NN_ACTIVATION_COUNT; k++)
        for (int i = -96; i < 96; i++) {
            nn_activation kind = (nn_activation)k;
            long double x = i / 8.0L + 0.0625L;
            long double rise = exact_value(kind, 0.3L, x + h) - exact_value(kind, 0.3L, x - h);
            CHECK_NEAR(exact_slope(kind, 0.3L, x), rise / (2 * h), 1e-9);
        }
}

static void check_slopes(nn_activation kind, double given, double alpha)
{
    nn_real x[385], y[385], dy[385], dx[385];
    for (int i = 0; i < 385; i++) {
        x[i] = (nn_real)(i / 16.0 - 12);
        dy[i] = draw(2);
    }
    nn_vec_activate(kind, given, 385, x, y);
    nn_vec_activate_backward(kind, given, 385, x, y, dy, dx);
    double worst = 0, worst_x = 0;
    for (int i = 0; i < 385; i++) {
        long double exact = exact_slope(kind, (nn_real)alpha, x[i]) * dy[i];
        double error = fabs((double)(dx[i] - exact));
        error /= fabs((double)dy[i]) * (1 + fabs((double)x[i]));
        if (is_nan(dx[i])) error = HUGE_VAL;
        if (error <= worst) continue;
        worst = error;
        worst_x = (double)x[i];
    }
    if (FAILS(worst <= 4 * REAL_EPSILON))
        printf("slope of %s is off by %.3g at %g\n", nn_activation_string(kind), worst, worst_x);
}

static void test_slopes(void)
{
    for (int k = 0; k < NN_ACTIVATION_COUNT; k++) {
        nn_activation kind = (nn_activation)k;
        check_slopes(kind, usual_alpha(kind), usual_alpha(kind));
        if (kind == NN_ACTIVATION_LEAKY_RELU) check_slopes(kind, 0.3, 0.3);
    }
}

/* Both branches of ELU with a slope of its own; at 0 only alpha = 1 makes it one number. */
static void test_slope_of_elu(void)
{
    static const nn_real x[] = {-3, -1, (nn_real)-0.125, 2}, dy[] = {1, 1, 1, 1};
    nn_real y[4], dx[4];
    nn_vec_activate(NN_ACTIVATION_ELU, 2.5, 4, x, y);
    nn_vec_activate_backward(NN_ACTIVATION_ELU, 2.5, 4, x, y, dy, dx);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(dx[i], exact_slope(NN_ACTIVATION_ELU, 2.5L, x[i]), 6 * REAL_EPSILON);
}

/* Where a function is flat or straight, so is what backward makes of it: no Inf, no NaN. */
static void test_slopes_far_out(void)
{
    static const struct {
        nn_activation kind;
        double left, right;
    } slopes[] = {
        {NN_ACTIVATION_IDENTITY, 1, 1}, {NN_ACTIVATION_SIGMOID, 0, 0},
        {NN_ACTIVATION_TANH, 0, 0},     {NN_ACTIVATION_SCALED_TANH, 0, 0},
        {NN_ACTIVATION_RELU, 0, 1},     {NN_ACTIVATION_LEAKY_RELU, 0.01, 1},
        {NN_ACTIVATION_ELU, 0, 1},      {NN_ACTIVATION_GELU, 0, 1},
        {NN_ACTIVATION_SILU, 0, 1},     {NN_ACTIVATION_SOFTPLUS, 0, 1},
    };
    CHECK_INT(COUNT(slopes), NN_ACTIVATION_COUNT);
    for (size_t i = 0; i < COUNT(slopes); i++)
        for (double far_out = 1000; far_out < REAL_MAX / 10; far_out *= 10) {
            nn_real x[2] = {(nn_real)-far_out, (nn_real)far_out}, dy[2] = {1, 1}, y[2];
            const double alpha = usual_alpha(slopes[i].kind);
            nn_vec_activate(slopes[i].kind, alpha, 2, x, y);
            nn_vec_activate_backward(slopes[i].kind, alpha, 2, x, y, dy, dy);
            if (!FAILS(fabs((double)dy[0] - slopes[i].left) <= REAL_EPSILON &&
                       fabs((double)dy[1] - slopes[i].right) <= REAL_EPSILON))
                continue;
            printf("slopes of %s at -+%g are %g and %g\n", nn_activation_string(slopes[i].kind),
                   far_out, (double)dy[0], (double)dy[1]);
            break;
        }
}

/* --------------------------------------------------------------------------------- names, paths */

static void test_status_strings(void)
{
    CHECK_STR(nn_last_error(), "");
    CHECK_STR(nn_status_string(NN_OK), "no error");
    CHECK_STR(nn_status_string(NN_ERROR_BAD_ARGUMENT), "an argument is out of its range");
    CHECK_STR(nn_status_string(NN_ERROR_GRADIENT_ZERO),
              "a gradient is zero everywhere, so the check proves nothing");
    CHECK_STR(nn_status_string(NN_STATUS_COUNT), "unknown status");
    CHECK_STR(nn_status_string((nn_status)31), "unknown status");
    for (int i = 0; i < NN_STATUS_COUNT; i++)
        for (int j = 0; j <= i; j++) {
            const char *text = nn_status_string((nn_status)i);
            CHECK_INT(strcmp(text, nn_status_string((nn_status)j)) == 0, i == j);
            CHECK(strcmp(text, "unknown status") != 0);
        }
}

static void test_activation_strings(void)
{
    static const char *const names[] = {"identity", "sigmoid",    "tanh", "scaled_tanh",
                                        "relu",     "leaky_relu", "elu",  "gelu",
                                        "silu",     "softplus"};
    CHECK_INT(NN_ACTIVATION_COUNT, COUNT(names));
    CHECK_INT(NN_ACTIVATION_IDENTITY, 0);
    for (int i = 0; i < NN_ACTIVATION_COUNT; i++)
        CHECK_STR(nn_activation_string((nn_activation)i), names[i]);
    CHECK_STR(nn_activation_string(NN_ACTIVATION_COUNT), "unknown");
    CHECK_STR(nn_activation_string((nn_activation)15), "unknown");
}

static int isa_supported(const char *isa)
{
#ifndef NN_NO_SIMD
#if defined(__x86_64__) && defined(__GNUC__)
    if (strcmp(isa, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(isa, "avx512") == 0) return __builtin_cpu_supports("avx512f") != 0;
#elif defined(__aarch64__)
    if (strcmp(isa, "neon") == 0) return 1;
#endif
#endif
    return strcmp(isa, "portable") == 0;
}

static void test_isa(void)
{
    static const char *const best_first[] = {"avx512", "avx2", "neon", "portable"};
    const char *wanted = getenv("NN_ISA");
    if (!wanted || !isa_supported(wanted)) {
        int i = 0;
        while (!isa_supported(best_first[i])) i++;
        wanted = best_first[i];
    }
    CHECK_STR(nn_kernel_path(), wanted);
}

/* ------------------------------------------------------------------ the same bits on every path */

/* Goes on with the hash, and then the memory is no longer needed. */
static uint64_t hash_and_free(uint64_t hash, nn_real *x, size_t n)
{
    hash = hash_reals(hash, x, n);
    free(x);
    return hash;
}

static uint64_t hash_products(void)
{
    uint64_t hash = HASH_START;
    static const size_t shapes[][3] = {{1, 1, 1},   {5, 7, 9},     {32, 10, 64},    {64, 32, 784},
                                       {3, 300, 2}, {100, 65, 47}, {131, 257, 523}, {300, 1, 300}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int flags = 0; flags < 8; flags++) {
            size_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            nn_real *a = new_draws(m * k, 1), *b = new_draws(k * n, 1), *c = new_draws(m * n, 1);
            nn_mat_mul(flags & 1, flags & 2, m, n, k, a, flags & 1 ? m : k, b, flags & 2 ? k : n,
                       c, n, flags & 4);
            hash = hash_and_free(hash, c, m * n);
            free(a);
            free(b);
        }
    return hash;
}

static uint64_t hash_rows(void)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < COUNT(softmax_sizes); i++) {
        size_t cols = softmax_sizes[i], n = 7 * cols;
        nn_real *x = new_draws(n, 16), *y = new_reals(n), *log_y = new_reals(n);
        nn_real *sums = new_reals(cols);
        nn_mat_softmax(7, cols, x, y);
        nn_mat_log_softmax(7, cols, x, log_y);
        nn_mat_column_sums(7, cols, x, sums, 0);
        nn_mat_column_sums(7, cols, x, sums, 1);
        nn_mat_add_row(7, cols, x, sums);
        hash = hash_and_free(hash, x, n);
        hash = hash_and_free(hash, y, n);
        hash = hash_and_free(hash, log_y, n);
        hash = hash_and_free(hash, sums, cols);
    }
    return hash;
}

static uint64_t hash_vectors(void)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < COUNT(vec_sizes); i++) {
        size_t n = vec_sizes[i];
        nn_real *a = new_draws(n, 4), *b = new_draws(n, 4), *y = new_reals(n), *sums = new_reals(2);
        sums[0] = nn_vec_sum(n, a);
        sums[1] = nn_vec_dot(n, a, b);
        nn_vec_add(n, a, b, y);
        nn_vec_mul(n, y, a, y);
        nn_vec_sub(n, y, b, y);
        nn_vec_axpy(n, (nn_real)0.3, a, y);
        nn_vec_scale(n, (nn_real)1.7, y, y);
        hash = hash_and_free(hash, sums, 2);
        hash = hash_and_free(hash, y, n);
        free(a);
        free(b);
    }
    return hash;
}

/* Every scale lets other branches of the polynomials work. */
static uint64_t hash_activations(void)
{
    uint64_t hash = HASH_START;
    for (double scale = 0.0625; scale <= 128; scale *= 2)
        for (int k = 0; k < NN_ACTIVATION_COUNT; k++) {
            nn_activation kind = (nn_activation)k;
            nn_real *x = new_draws(1000, scale), *y = new_reals(1000);
            nn_real *dy = new_draws(1000, 1), *dx = new_reals(1000);
            nn_vec_activate(kind, usual_alpha(kind), 1000, x, y);
            nn_vec_activate_backward(kind, usual_alpha(kind), 1000, x, y, dy, dx);
            hash = hash_and_free(hash, y, 1000);
            hash = hash_and_free(hash, dx, 1000);
            free(x);
            free(dy);
        }
    return hash;
}

/* The same draws for each group, whatever ran before. */
#define CHECK_GROUP(group, in_float, in_double)                                                    \
    do {                                                                                           \
        draws = nn_rng_seed(2024);                                                                 \
        CHECK_HASH(group(), UINT64_C(in_float), UINT64_C(in_double));                              \
    } while (0)

static void test_hashes(void)
{
    CHECK_GROUP(hash_products, 0x6CF8B97068B02A2C, 0xA0EC9FC006145F60);
    CHECK_GROUP(hash_rows, 0x5E7062EAC17DF874, 0x70CE36F7A5275779);
    CHECK_GROUP(hash_vectors, 0x982B0119CF4191EA, 0x5F6312BAFBB4568A);
    CHECK_GROUP(hash_activations, 0xC107ADEF5FA35225, 0x620CF04DE6FA6579);
}

/* gcc links programs built with -Ofast or -ffast-math so that the CPU does this to every result. */
static int flushes_to_zero(void)
{
    volatile nn_real smallest = REAL_MIN;
    return smallest / 2 == 0;
}

static void run_exact_tests(void)
{
    const char *why = "this program flushes subnormal numbers to zero";
    if (rounds_twice()) why = "without fused multiply-add";
    if (rounds_twice() || flushes_to_zero()) {
        SKIP(test_softmax_values, why);
        SKIP(test_activation_accuracy, why);
        SKIP(test_hashes, why);
        return;
    }
    RUN(test_softmax_values);
    RUN(test_activation_accuracy);
    RUN(test_hashes);
}

int main(void)
{
    draws = nn_rng_seed(1);
    RUN(test_status_strings);
    RUN(test_activation_strings);
    RUN(test_isa);
    RUN(test_mat_mul_edges);
    RUN(test_mat_mul_random);
    RUN(test_mat_mul_long_k);
    RUN(test_mat_mul_narrow);
    RUN(test_mat_mul_few_columns);
    RUN(test_mat_mul_column);
    RUN(test_mat_mul_few_rows);
    RUN(test_mat_mul_one_step);
    RUN(test_mat_mul_large);
#ifdef HAVE_THREADS
    RUN(test_mat_mul_little_stack);
#endif
    RUN(test_mat_mul_subnormal);
    RUN(test_mat_mul_midpoints);
    RUN(test_mat_mul_not_finite);
    RUN(test_mat_add_row);
    RUN(test_mat_sum_rows);
    RUN(test_softmax_in_place);
    RUN(test_softmax_of_rows_apart);
    RUN(test_no_arithmetic_on_leftovers);
    RUN(test_softmax_equal_logits);
    RUN(test_softmax_extremes);
    RUN(test_softmax_nan);
    RUN(test_argmax);
    RUN(test_one_hot);
    RUN(test_vec_add_sub_mul);
    RUN(test_vec_scale_axpy);
    RUN(test_vec_sum_dot_exact);
    RUN(test_vec_sum_dot_error);
    RUN(test_activation_extremes);
    RUN(test_activation_alpha);
    RUN(test_activation_positions);
    RUN(test_slopes_of_reference);
    RUN(test_slopes);
    RUN(test_slope_of_elu);
    RUN(test_slopes_far_out);
    run_exact_tests();
    return test_done("test_plain");
}
