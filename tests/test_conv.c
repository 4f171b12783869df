/* Convolutions: every pass bit by bit against plain loops, with threads where there are any; PyTorch's
   values; gradients by differences; weights that are not finite; and what is refused. */
#define NN_IMPLEMENTATION
#ifndef NN__IMPLEMENTED /* a body of its own, which takes less time without files */
#define NN_NO_STDIO
#endif
#ifdef _OPENMP /* so that work as small as this is shared out */
#define NN__GRAIN 1000
#define NN__PRODUCT_GRAIN 2e4
#endif
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define FMA(a, b, c) fma(a, b, c)
#define TOLERANCE 1e-13
#else
#define FMA(a, b, c) fmaf(a, b, c)
#define TOLERANCE 2e-6
#endif

/* ------------------------------------------------------------------------------- the plain loops */

/* The member `kernel` stays 0: a case has a height and a width. */
typedef struct geometry {
    size_t n, h, w, ci;
    nn_conv_desc d;
    size_t oh, ow, top, left; /* found by find_sizes */
} geometry;

static void find_axis(const geometry *g, size_t size, size_t kernel, size_t pad, size_t *out,
                      size_t *before)
{
    const size_t s = g->d.stride, reach = (kernel - 1) * g->d.dilation + 1;
    *before = g->d.padding == NN_PADDING_EXPLICIT ? pad : 0;
    *out = (size + 2 * *before + s - reach) / s;
    if (g->d.padding != NN_PADDING_SAME) return;
    *out = (size + s - 1) / s;
    if ((*out - 1) * s + reach > size) *before = ((*out - 1) * s + reach - size) / 2;
}

static void find_sizes(geometry *g)
{
    find_axis(g, g->h, g->d.kernel_height, g->d.pad_height, &g->oh, &g->top);
    find_axis(g, g->w, g->d.kernel_width, g->d.pad_width, &g->ow, &g->left);
}

static size_t size_x(const geometry *g) { return g->n * g->h * g->w * g->ci; }
static size_t size_y(const geometry *g) { return g->n * g->oh * g->ow * g->d.filters; }
static size_t size_w(const geometry *g)
{
    return g->d.kernel_height * g->d.kernel_width * g->ci / g->d.groups * g->d.filters;
}

/* For output pixel i and tap t: where in x it lies, in values; -1 in the padding. */
static long tap_at(const geometry *g, size_t i, size_t t)
{
    const long y = (long)(i / g->ow % g->oh * g->d.stride + t / g->d.kernel_width * g->d.dilation) -
                   (long)g->top;
    const long x = (long)(i % g->ow * g->d.stride + t % g->d.kernel_width * g->d.dilation) -
                   (long)g->left;
    if (y < 0 || x < 0 || y >= (long)g->h || x >= (long)g->w) return -1;
    return (((long)(i / g->ow / g->oh) * (long)g->h + y) * (long)g->w + x) * (long)g->ci;
}

/* y starts from what it holds. With `skip` taps in the padding are left out, else they count 0. */
static void plain_forward(const geometry *g, const nn_real *x, const nn_real *w, int skip,
                          nn_real *y)
{
    const size_t taps = g->d.kernel_height * g->d.kernel_width, co = g->d.filters;
    const size_t per = g->ci / g->d.groups, each = co / g->d.groups;
    for (size_t i = 0; i < g->n * g->oh * g->ow; i++)
        for (size_t o = 0; o < co; o++)
            for (size_t t = 0; t < taps; t++) {
                const long at = tap_at(g, i, t);
                for (size_t c = 0; c < per && (at >= 0 || !skip); c++) {
                    const nn_real v = at < 0 ? 0 : x[(size_t)at + o / each * per + c];
                    y[i * co + o] = FMA(v, w[(t * per + c) * co + o], y[i * co + o]);
                }
            }
}

/* dx starts from what it holds. For each pixel of x the outputs that meet it, by tap: in the
   padding around dy they count 0, between the strides they do not exist. */
static void plain_data(const geometry *g, const nn_real *dy, const nn_real *w, int skip,
                       nn_real *dx)
{
    const size_t taps = g->d.kernel_height * g->d.kernel_width, co = g->d.filters;
    const size_t per = g->ci / g->d.groups, each = co / g->d.groups, s = g->d.stride;
    for (size_t i = 0; i < g->n * g->h * g->w; i++)
        for (size_t c = 0; c < g->ci; c++)
            for (size_t t = 0; t < taps; t++) {
                const size_t group = c / per, k = (t * per + c % per) * co;
                const long y = (long)(i / g->w % g->h + g->top) -
                               (long)(t / g->d.kernel_width * g->d.dilation);
                const long x = (long)(i % g->w + g->left) -
                               (long)(t % g->d.kernel_width * g->d.dilation);
                if (y % (long)s || x % (long)s) continue;
                const int in = y >= 0 && x >= 0 && y / (long)s < (long)g->oh &&
                               x / (long)s < (long)g->ow;
                const size_t at = in ? ((i / g->w / g->h * g->oh + (size_t)y / s) * g->ow +
                                        (size_t)x / s) * co : 0;
                for (size_t o = group * each; o < (group + 1) * each && (in || !skip); o++)
                    dx[i * g->ci + c] = FMA(in ? dy[at + o] : 0, w[k + o], dx[i * g->ci + c]);
            }
}

/* dw and db start from what they hold. */
static void plain_weights(const geometry *g, const nn_real *x, const nn_real *dy, nn_real *dw,
                          nn_real *db)
{
    const size_t taps = g->d.kernel_height * g->d.kernel_width, co = g->d.filters;
    const size_t per = g->ci / g->d.groups, each = co / g->d.groups;
    for (size_t i = 0; i < g->n * g->oh * g->ow; i++)
        for (size_t o = 0; o < co; o++) {
            for (size_t t = 0; t < taps; t++) {
                const long at = tap_at(g, i, t);
                for (size_t c = 0; c < per; c++) {
                    nn_real *sum = dw + (t * per + c) * co + o;
                    const nn_real v = at < 0 ? 0 : x[(size_t)at + o / each * per + c];
                    *sum = FMA(v, dy[i * co + o], *sum);
                }
            }
            db[o] += dy[i * co + o];
        }
}

/* ----------------------------------------------------------------------------------------- tools */

enum { MOST = 1 << 18 };
static nn_real x_values[MOST], g_values[MOST], h_values[MOST], expected[MOST], sums[4096];

static void fill(nn_real *to, size_t n, uint64_t seed)
{
    nn_rng rng = nn_rng_seed(seed);
    for (size_t i = 0; i < n; i++) to[i] = (nn_real)(2 * nn_rng_uniform(&rng) - 1);
}

static int same_bits(const nn_real *a, const nn_real *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

static char case_name[240];
static void name_case(const geometry *g)
{
    snprintf(case_name, sizeof case_name,
             "%u images %u x %u x %u, %u filters %u x %u, stride %u, dilation %u, groups %u, "
             "padding %d %u %u", (unsigned)g->n, (unsigned)g->h, (unsigned)g->w, (unsigned)g->ci,
             (unsigned)g->d.filters, (unsigned)g->d.kernel_height, (unsigned)g->d.kernel_width,
             (unsigned)g->d.stride, (unsigned)g->d.dilation, (unsigned)g->d.groups,
             (int)g->d.padding, (unsigned)g->d.pad_height, (unsigned)g->d.pad_width);
    test_current = case_name;
}

static geometry make_case(size_t n, size_t h, size_t w, size_t ci, size_t co, size_t kernel,
                          size_t stride, nn_padding padding, size_t pad)
{
    geometry g;
    memset(&g, 0, sizeof g);
    g.n = n, g.h = h, g.w = w, g.ci = ci;
    g.d.filters = co, g.d.kernel_height = g.d.kernel_width = kernel, g.d.stride = stride;
    g.d.dilation = g.d.groups = 1;
    g.d.padding = padding, g.d.pad_height = g.d.pad_width = pad;
    find_sizes(&g);
    return g;
}

static nn_net *net_with(int threads)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = 3;
    desc.threads = threads;
    return nn_net_create(&desc);
}

static nn_tensor *image(nn_net *net, size_t h, size_t w, size_t c)
{
    size_t shape[3];
    shape[0] = h, shape[1] = w, shape[2] = c;
    return nn_input_shape(net, 3, shape);
}

/* ------------------------------------------------------------------------------------------ bits */

/* loss = sum of g y (+ sum of h x, made later, so that dx begins with h). */
static void check_bits(const geometry *g, int threads, int adds)
{
    name_case(g);
    nn_net *net = net_with(threads);
    nn_tensor *x = image(net, g->h, g->w, g->ci), *y = nn_conv2d_with(x, &g->d);
    CHECK_OK(nn_net_status(net));
    if (!y) {
        nn_net_destroy(net);
        return;
    }
    CHECK_INT(y->shape[1], g->oh);
    CHECK_INT(y->shape[2], g->ow);
    CHECK_INT(y->shape[3], g->d.filters);
    nn_tensor *weight = image(net, g->oh, g->ow, g->d.filters);
    nn_tensor *loss = nn_sum(nn_mul(y, weight)), *other = image(net, g->h, g->w, g->ci);
    if (adds) loss = nn_add(loss, nn_sum(nn_mul(x, other)));
    const size_t nx = size_x(g), ny = size_y(g), nw = size_w(g), co = g->d.filters;
    CHECK(nx <= MOST && ny <= MOST && nw <= MOST && co <= COUNT(sums));
    fill(x_values, nx, 1), fill(g_values, ny, 2), fill(h_values, nx, 3);
    fill(nn_weight(y)->data, nw, 4), fill(nn_bias(y)->data, co, 5);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, x_values, g->n));
    CHECK_OK(nn_feed(weight, g_values, g->n));
    CHECK_OK(nn_feed(other, h_values, g->n));
    CHECK_OK(nn_forward(loss));
    for (size_t i = 0; i < ny; i++) expected[i] = nn_bias(y)->data[i % co];
    plain_forward(g, x_values, nn_weight(y)->data, 0, expected);
    CHECK_INT(y->size, ny);
    CHECK(same_bits(y->data, expected, ny));
    CHECK_OK(nn_backward(loss));
    if (adds) CHECK_OK(nn_backward_add(loss));
    memset(expected, 0, nw * sizeof *expected);
    memset(sums, 0, co * sizeof *sums);
    for (int i = 0; i <= adds; i++) plain_weights(g, x_values, g_values, expected, sums);
    CHECK(same_bits(nn_weight(y)->grad, expected, nw));
    CHECK(same_bits(nn_bias(y)->grad, sums, co));
    memset(expected, 0, nx * sizeof *expected);
    if (adds) memcpy(expected, h_values, nx * sizeof *expected);
    plain_data(g, g_values, nn_weight(y)->data, 0, expected);
    CHECK(same_bits(x->grad, expected, nx));
    nn_net_destroy(net);
}

static size_t pick(nn_rng *rng, const size_t *from, size_t count)
{
    return from[nn_rng_below(rng, count)];
}

/* A random geometry that exists. */
static geometry draw_case(nn_rng *rng)
{
    static const size_t sizes[] = {1, 2, 3, 5, 6, 8, 11, 14}, channels[] = {1, 2, 3, 4, 6, 12, 20};
    static const size_t filters[] = {1, 2, 3, 6, 8, 12, 16, 18, 30, 48, 66};
    for (;;) {
        geometry g = make_case(1 + nn_rng_below(rng, 3), pick(rng, sizes, COUNT(sizes)),
                               pick(rng, sizes, COUNT(sizes)), pick(rng, channels, COUNT(channels)),
                               pick(rng, filters, COUNT(filters)), 1, 1, NN_PADDING_SAME, 0);
        g.d.kernel_height = 1 + nn_rng_below(rng, 5), g.d.kernel_width = 1 + nn_rng_below(rng, 5);
        g.d.stride = 1 + nn_rng_below(rng, 3), g.d.dilation = 1 + nn_rng_below(rng, 4) / 3;
        g.d.groups = nn_rng_below(rng, 3) ? 1 : 1 + nn_rng_below(rng, 6);
        if (nn_rng_below(rng, 5) == 0) g.d.groups = g.ci;
        g.d.padding = (nn_padding)nn_rng_below(rng, 3);
        if (g.d.padding == NN_PADDING_EXPLICIT)
            g.d.pad_height = nn_rng_below(rng, 4), g.d.pad_width = nn_rng_below(rng, 4);
        const size_t reach_y = (g.d.kernel_height - 1) * g.d.dilation;
        const size_t reach_x = (g.d.kernel_width - 1) * g.d.dilation;
        if (g.ci % g.d.groups || g.d.filters % g.d.groups) continue;
        if (g.d.padding != NN_PADDING_SAME && (reach_y >= g.h + 2 * g.d.pad_height ||
                                               reach_x >= g.w + 2 * g.d.pad_width)) continue;
        find_sizes(&g);
        return g;
    }
}

static void test_bits_of_drawn_cases(void)
{
    nn_rng rng = nn_rng_seed(11);
    for (int i = 0; i < 600; i++) {
        const geometry g = draw_case(&rng);
        check_bits(&g, 1, i % 4 == 0);
    }
}

/* Images larger than what is copied at once, one past blocks of rows, columns and pixels; strides as
   large as the kernel, and larger. */
static void test_bits_of_chosen_cases(void)
{
    const geometry cases[] = {make_case(2, 40, 41, 33, 16, 3, 1, NN_PADDING_SAME, 0),
                              make_case(1, 70, 60, 20, 10, 3, 1, NN_PADDING_SAME, 0),
                              make_case(1, 50, 50, 24, 7, 5, 2, NN_PADDING_SAME, 0),
                              make_case(2, 28, 28, 1, 32, 5, 1, NN_PADDING_EXPLICIT, 2),
                              make_case(2, 14, 14, 32, 64, 5, 1, NN_PADDING_EXPLICIT, 2),
                              make_case(2, 16, 16, 3, 20, 4, 4, NN_PADDING_VALID, 0),
                              make_case(1, 16, 17, 3, 20, 2, 3, NN_PADDING_VALID, 0),
                              make_case(1, 17, 16, 4, 3, 2, 5, NN_PADDING_SAME, 0),
                              make_case(3, 9, 9, 30, 130, 1, 1, NN_PADDING_SAME, 0),
                              make_case(3, 9, 9, 30, 13, 1, 2, NN_PADDING_SAME, 0),
                              make_case(5, 1, 1, 7, 9, 3, 1, NN_PADDING_SAME, 0),
                              make_case(1, 1, 300, 2, 5, 3, 1, NN_PADDING_EXPLICIT, 1),
                              make_case(1, 3, 3, 2, 5, 2, 1, NN_PADDING_EXPLICIT, 5),
                              make_case(3, 3, 3, 20, 5, 2, 1, NN_PADDING_EXPLICIT, 5),
                              make_case(9, 8, 9, 20, 8, 3, 1, NN_PADDING_SAME, 0),
                              make_case(7, 4, 4, 9, 17, 5, 1, NN_PADDING_SAME, 0),
                              make_case(1, 8, 8, 150, 70, 3, 2, NN_PADDING_EXPLICIT, 1)};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int adds = 0; adds < 2; adds++) check_bits(&cases[i], 1, adds);
}

/* As many groups as channels, with one filter for each and with two. */
static void test_bits_depthwise(void)
{
    static const size_t channels[] = {1, 2, 8, 17, 40};
    for (size_t i = 0; i < COUNT(channels); i++)
        for (size_t k = 1; k <= 5; k += 2)
            for (size_t s = 1; s <= 2; s++) {
                geometry g = make_case(2, 9, 7, channels[i], channels[i], k, s, NN_PADDING_SAME, 0);
                g.d.groups = channels[i];
                check_bits(&g, 1, 0);
                g.d.filters *= 2;
                check_bits(&g, 1, 1);
            }
}

static void test_bits_with_threads(void)
{
    static const int threads[] = {2, 3, 7};
    nn_rng rng = nn_rng_seed(12);
    for (int i = 0; i < 60; i++) {
        const geometry g = draw_case(&rng);
        check_bits(&g, threads[i % 3], i % 2);
    }
}

/* ----------------------------------------------------------------------- transposed, one dimension */

/* The transposed convolution of x[n,oh,ow,filters of d] is the gradient of a convolution's input. */
static void check_transposed(const geometry *g)
{
    name_case(g);
    nn_net *net = net_with(1);
    nn_conv_desc d = g->d;
    d.filters = g->ci;
    nn_tensor *x = image(net, g->oh, g->ow, g->d.filters), *y = nn_conv2d_transpose_with(x, &d);
    CHECK_OK(nn_net_status(net));
    if (!y) {
        nn_net_destroy(net);
        return;
    }
    CHECK_INT(y->shape[1], g->h);
    CHECK_INT(y->shape[2], g->w);
    CHECK_INT(y->shape[3], g->ci);
    CHECK_INT(nn_weight(y)->shape[3], g->d.filters);
    nn_tensor *weight = image(net, g->h, g->w, g->ci), *loss = nn_sum(nn_mul(y, weight));
    const size_t nx = size_x(g), ny = size_y(g), nw = size_w(g);
    fill(x_values, nx, 1), fill(g_values, ny, 2);
    fill(nn_weight(y)->data, nw, 4), fill(nn_bias(y)->data, g->ci, 5);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, g_values, g->n));
    CHECK_OK(nn_feed(weight, x_values, g->n));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    for (size_t i = 0; i < nx; i++) expected[i] = nn_bias(y)->data[i % g->ci];
    plain_data(g, g_values, nn_weight(y)->data, 0, expected);
    CHECK(same_bits(y->data, expected, nx));
    memset(expected, 0, nw * sizeof *expected);
    plain_weights(g, x_values, g_values, expected, sums);
    CHECK(same_bits(nn_weight(y)->grad, expected, nw));
    memset(sums, 0, g->ci * sizeof *sums);
    for (size_t i = 0; i < nx; i++) sums[i % g->ci] += x_values[i];
    CHECK(same_bits(nn_bias(y)->grad, sums, g->ci));
    memset(expected, 0, ny * sizeof *expected);
    plain_forward(g, x_values, nn_weight(y)->data, 0, expected);
    CHECK(same_bits(x->grad, expected, ny));
    nn_net_destroy(net);
}

/* Those whose sizes the stride divides, as a transposed convolution has them. */
static void test_transposed(void)
{
    nn_rng rng = nn_rng_seed(13);
    int done = 0;
    while (done < 150) {
        geometry g = draw_case(&rng);
        const size_t s = g.d.stride, reach_y = (g.d.kernel_height - 1) * g.d.dilation + 1;
        const size_t reach_x = (g.d.kernel_width - 1) * g.d.dilation + 1;
        size_t h = g.oh * s, w = g.ow * s;
        if (g.d.padding != NN_PADDING_SAME) {
            h = (g.oh - 1) * s + reach_y, w = (g.ow - 1) * s + reach_x;
            if (h <= 2 * g.d.pad_height || w <= 2 * g.d.pad_width) continue;
            h -= 2 * g.d.pad_height, w -= 2 * g.d.pad_width;
        }
        g.h = h, g.w = w;
        find_sizes(&g);
        check_transposed(&g);
        done++;
    }
}

/* A sequence is an image of one row. */
static void test_one_dimension(void)
{
    static const size_t shape[] = {13, 4};
    for (size_t s = 1; s <= 3; s++)
        for (int p = 0; p < 3; p++) {
            geometry g = make_case(2, 1, 13, 4, 6, 3, s, (nn_padding)p, 0);
            nn_conv_desc d = g.d;
            d.kernel = 3, d.kernel_height = d.kernel_width = 0;
            d.dilation = g.d.dilation = s;
            d.pad_width = g.d.pad_width = p == NN_PADDING_EXPLICIT ? 2 : 0;
            g.d.kernel_height = 1;
            find_sizes(&g);
            name_case(&g);
            nn_net *net = net_with(1);
            nn_tensor *x = nn_input_shape(net, 2, shape), *y = nn_conv1d_with(x, &d);
            CHECK_OK(nn_net_status(net));
            CHECK_INT(y->rank, 3);
            CHECK_INT(y->shape[1], g.ow);
            CHECK_INT(y->shape[2], 6);
            fill(x_values, size_x(&g), 1);
            CHECK_OK(nn_feed(x, x_values, 2));
            CHECK_OK(nn_forward(y));
            memset(expected, 0, size_y(&g) * sizeof *expected);
            plain_forward(&g, x_values, nn_weight(y)->data, 0, expected);
            CHECK(same_bits(y->data, expected, size_y(&g)));
            nn_net_destroy(net);
        }
}

/* ------------------------------------------------------------------------------------- gradients */

/* sum of y^2 by differences, with each activation. */
static void test_gradients(void)
{
    for (int k = 0; k < 3 * NN_ACTIVATION_COUNT; k++) {
        nn_conv_desc d;
        nn_gradcheck_desc check;
        nn_gradcheck_report report;
        memset(&d, 0, sizeof d), memset(&check, 0, sizeof check);
        test_current = nn_activation_string((nn_activation)(k / 3));
        d.filters = 4, d.kernel = 3, d.stride = 1 + (size_t)(k % 2), d.groups = k % 3 ? 1 : 2;
        d.activation = (nn_activation)(k / 3), d.no_bias = k % 5 == 0;
        nn_net *net = net_with(1);
        nn_tensor *x = image(net, 5, 4, 2);
        nn_tensor *y = k % 3 == 2 ? nn_conv2d_transpose_with(x, &d) : nn_conv2d_with(x, &d);
        nn_tensor *loss = nn_mean(nn_mul(y, y));
        CHECK_OK(nn_net_status(net));
        fill(x_values, 80, 7);
        if (nn_bias(y)) fill(nn_bias(y)->data, 4, 8);
        CHECK_OK(nn_feed(x, x_values, 2));
        x->requires_grad = 1;
        check.inputs = 1;
        if (sizeof(nn_real) == sizeof(float)) check.h = 2e-3;
        CHECK_OK(nn_gradcheck(loss, &check, &report));
        CHECK_INT(report.wrong, 0);
        nn_net_destroy(net);
    }
}

/* ---------------------------------------------------------------------------- values from PyTorch */

/* x, w and b are sin(i), cos(0.7 i) and 0.1 i; the loss is the sum of y sin(0.3 i). */
typedef struct torch_case {
    const char *name;
    int transposed;
    size_t h, w, ci;
    nn_conv_desc d;
    double y[4], dx[4], dw[4], db[2]; /* the first ones and, of y, dx and dw, sums of all */
} torch_case;

/* PyTorch 2's float64 values. */
#define NO_INIT {NN_INIT_DEFAULT, 0, 0, 0, 0}
#define REST NN_ACTIVATION_IDENTITY, 0, 0, 0, NO_INIT, NO_INIT, NULL, NULL, NULL
static const torch_case torch_cases[] = {
    {"3x3 same", 0, 6, 5, 3,
     {4, 0, 3, 3, 1, 1, NN_PADDING_SAME, 0, 0, 1, REST},
     {-0.37294650987092, -0.198737835800964, 0.11597191035362, 35.3301592958226},
     {0.89771953662541, -1.89364219773387, 2.67074443125008, 53.8365841712733},
     {0.478993894442933, 0.664876864872737, 0.791368365133764, 1.90123251587456},
     {1.31084942450244, 1.597804294427}},
    {"3x3 stride 2 explicit 1", 0, 7, 8, 4,
     {6, 0, 3, 3, 2, 1, NN_PADDING_EXPLICIT, 1, 1, 2, REST},
     {3.11293027550732, 1.80032341392382, -0.311972117514264, 50.2177286036107},
     {-0.796038362289169, 0.245143524245288, 0.74853867101606, -0.697059667372148},
     {-5.3687726712237, -3.14864447560082, -0.647257246426774, 35.9738436083897},
     {-0.234232439219037, -0.0475735042058968}},
    {"5x3 valid dilation 2", 0, 11, 9, 2,
     {5, 0, 5, 3, 1, 2, NN_PADDING_VALID, 0, 0, 1, REST},
     {-2.52148499453655, -1.83721773534218, -0.241846705354263, 28.4326037333767},
     {-0.951650598915693, 1.49985977872616, 1.1453601418503, -0.931097244332942},
     {-0.280761393157901, 0.185074728384921, 0.634378675640152, 5.47336190135832},
     {-0.170685867594828, 0.0420374669506289}},
    {"depthwise", 0, 6, 6, 6,
     {12, 0, 3, 3, 1, 1, NN_PADDING_EXPLICIT, 1, 1, 6, REST},
     {1.04510962407391, 0.675159344490422, -0.173860159804541, 474.177877335298},
     {-1.16477242000954, -0.262485559372202, 0.189844692634025, 1.7729928878105},
     {0.791869074139711, 0.983175583405928, 0.443867377219843, -5.40313078181143},
     {-0.618735530136292, -0.475058435776182}},
    {"1x1 stride 2", 0, 6, 7, 5,
     {3, 0, 1, 1, 2, 1, NN_PADDING_VALID, 0, 0, 1, REST},
     {-0.336507244086859, 0.300371222235983, 0.84301197185453, 7.36949642914014},
     {0.321996989212703, -0.807208960974529, 0.493035609879476, -1.24753752577773},
     {0.155012186155671, 0.172103857985401, 0.173822004749822, -0.702070383486911},
     {1.80135445989997, 2.12187923536688}},
    {"4x4 stride 4", 0, 8, 8, 3,
     {10, 0, 4, 4, 4, 1, NN_PADDING_VALID, 0, 0, 1, REST},
     {1.56590018737933, 2.38777137481296, 2.13366793725824, 38.2824270867771},
     {-1.25101590545992, -0.463046177769381, 0.55283279088914, -3.98854280586456},
     {0.159316437684458, 0.199717401889721, 0.222278205392766, 0.542431585335804},
     {0.47320630902376, 0.527665624797823}},
    {"padding 3 x 0", 0, 4, 9, 2,
     {3, 0, 3, 5, 2, 1, NN_PADDING_EXPLICIT, 3, 0, 1, REST},
     {0, 0.1, 0.2, 7.07189491117685},
     {-0.224525424252972, -0.284408628975051, 0.511690601158252, 3.22832494088617},
     {1.75177263463686, 1.16775943509595, 0.479433763098862, 6.7574376349912},
     {1.80135445989997, 2.12187923536688}},
    {"transposed 3x3 stride 2", 1, 4, 5, 4,
     {3, 0, 3, 3, 2, 1, NN_PADDING_EXPLICIT, 1, 1, 1, REST},
     {-1.6940609372498, 1.79782074053391, -1.30538832711352, 20.648079396762},
     {-0.679117900015178, -0.643616933624316, -0.305412866557924, -0.120124713896016},
     {-0.729967157129609, -2.97823334788364, -2.48832553342024, -26.7391932986463},
     {-0.101983527256018, 0.000461741073390809}},
    {"transposed 2x2 stride 2 groups", 1, 3, 3, 4,
     {6, 0, 2, 2, 2, 1, NN_PADDING_VALID, 0, 0, 2, REST},
     {0.643592508556904, -0.688001130884527, 1.04135203142623, 108.203527697236},
     {0.691001804768538, 0.0740147927094075, 0.33124097095974, 2.97150073011556},
     {-0.170869144497479, -0.604492631239069, -0.407264806593935, -5.89653920775828},
     {1.03154324885092, 1.15305699022785}},
    {"transposed dilation 2", 1, 4, 3, 2,
     {5, 0, 3, 3, 1, 2, NN_PADDING_EXPLICIT, 1, 2, 1, REST},
     {-1.41874320976868, 0.0348323526024701, 1.59659049209331, 37.9733479199032},
     {0.131098611120705, 0.117881026474727, 1.42239801322656, 0.725178978164159},
     {-0.0480158214200958, 0.0456708718786227, -0.0466833567608469, 7.88199086099453},
     {1.26120902862271, 1.38654873098137}}};

static void run_torch_case(const torch_case *c)
{
    test_current = c->name;
    nn_net *net = net_with(1);
    nn_tensor *x = image(net, c->h, c->w, c->ci);
    nn_tensor *y = c->transposed ? nn_conv2d_transpose_with(x, &c->d) : nn_conv2d_with(x, &c->d);
    CHECK_OK(nn_net_status(net));
    nn_tensor *factors = image(net, y->shape[1], y->shape[2], y->shape[3]);
    nn_tensor *loss = nn_sum(nn_mul(y, factors)), *w = nn_weight(y), *b = nn_bias(y);
    const size_t nx = 2 * x->row_size, ny = 2 * y->row_size;
    for (size_t i = 0; i < nx; i++) x_values[i] = (nn_real)sin((double)i);
    for (size_t i = 0; i < w->size; i++) w->data[i] = (nn_real)cos(0.7 * (double)i);
    for (size_t i = 0; i < b->size; i++) b->data[i] = (nn_real)(0.1 * (double)i);
    for (size_t i = 0; i < ny; i++) g_values[i] = (nn_real)sin(0.3 * (double)i);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, x_values, 2));
    CHECK_OK(nn_feed(factors, g_values, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    const nn_real *got[3];
    const double *wanted[3];
    size_t sizes[3];
    got[0] = y->data, got[1] = x->grad, got[2] = w->grad;
    wanted[0] = c->y, wanted[1] = c->dx, wanted[2] = c->dw;
    sizes[0] = ny, sizes[1] = nx, sizes[2] = w->size;
    for (int k = 0; k < 3; k++) {
        double sum = 0;
        for (size_t i = 0; i < sizes[k]; i++) sum += (double)got[k][i];
        for (size_t i = 0; i < 3; i++) CHECK_NEAR(got[k][i], wanted[k][i], 20 * TOLERANCE);
        CHECK_NEAR(sum, wanted[k][3], 500 * TOLERANCE);
    }
    for (size_t i = 0; i < 2; i++) CHECK_NEAR(b->grad[i], c->db[i], 20 * TOLERANCE);
    nn_net_destroy(net);
}

static void test_torch_values(void)
{
    for (size_t i = 0; i < COUNT(torch_cases); i++) run_torch_case(&torch_cases[i]);
}

/* -------------------------------------------------------------------------- weights not finite */

/* At each tap an infinity or a NaN: pixels that do not meet it, since it lies in their padding, have
   the value that they have without it, and no gradient leaks either. */
static void test_weights_not_finite(void)
{
    for (size_t s = 1; s <= 2; s++)
        for (size_t tap = 0; tap < 9; tap++) {
            geometry g = make_case(1, 5, 4, 3, 18, 3, s, NN_PADDING_SAME, 0);
            name_case(&g);
            nn_net *net = net_with(1);
            nn_tensor *x = image(net, 5, 4, 3), *y = nn_conv2d_with(x, &g.d);
            nn_tensor *weight = image(net, g.oh, g.ow, 18), *loss = nn_sum(nn_mul(y, weight));
            const size_t nx = size_x(&g), ny = size_y(&g);
            size_t finite = 0;
            fill(x_values, nx, 1), fill(g_values, ny, 2);
            nn_weight(y)->data[tap * 3 * 18 + 7] = (nn_real)(tap % 2 ? INFINITY : NAN);
            x->requires_grad = 1;
            CHECK_OK(nn_feed(x, x_values, 1));
            CHECK_OK(nn_feed(weight, g_values, 1));
            CHECK_OK(nn_forward(loss));
            CHECK_OK(nn_backward(loss));
            memset(expected, 0, ny * sizeof *expected);
            plain_forward(&g, x_values, nn_weight(y)->data, 1, expected);
            for (size_t i = 0; i < ny; i++) {
                CHECK(y->data[i] == expected[i] || (is_nan(expected[i]) && is_nan(y->data[i])));
                finite += i % 18 == 7 && y->data[i] - y->data[i] == 0;
            }
            if (s == 1) CHECK((tap != 4) == (finite > 0)); /* the middle one meets every pixel */
            memset(expected, 0, nx * sizeof *expected);
            plain_data(&g, g_values, nn_weight(y)->data, 1, expected);
            for (size_t i = 0; i < nx; i++)
                CHECK(x->grad[i] == expected[i] || (is_nan(expected[i]) && is_nan(x->grad[i])));
            nn_net_destroy(net);
        }
}

/* ---------------------------------------------------------------------------- layers, parameters */

static void test_parameters(void)
{
    nn_net *net = net_with(1);
    nn_tensor *x = image(net, 6, 6, 4), *y = nn_conv2d(x, 8, 3);
    nn_conv_desc d;
    memset(&d, 0, sizeof d);
    d.filters = 8, d.kernel = 3, d.stride = 2, d.groups = 2, d.name = "middle", d.decay_bias = 1;
    d.weight.kind = NN_INIT_HE_UNIFORM, d.bias = nn_init_constant(0.5);
    nn_tensor *z = nn_conv2d_with(y, &d);
    CHECK_STR(nn_weight(y)->name, "conv0.weight");
    CHECK_STR(nn_bias(y)->name, "conv0.bias");
    CHECK(nn_bias(y)->no_decay && !nn_bias(z)->no_decay);
    CHECK_STR(z->name, "middle");
    CHECK(nn_net_find(net, "middle.weight") == nn_weight(z));
    CHECK_INT(nn_weight(y)->shape[2], 4);
    CHECK_INT(nn_weight(z)->shape[0] * 1000 + nn_weight(z)->shape[2] * 10 + nn_weight(z)->shape[3],
              3048);
    CHECK_INT(z->shape[1] * 100 + z->shape[2] * 10 + z->shape[3], 338);
    double max_y = 0, max_z = 0;
    for (size_t i = 0; i < nn_weight(y)->size; i++)
        max_y = fmax(max_y, fabs((double)nn_weight(y)->data[i]));
    for (size_t i = 0; i < nn_weight(z)->size; i++)
        max_z = fmax(max_z, fabs((double)nn_weight(z)->data[i]));
    const double glorot = sqrt(6 / (9 * 4 + 9 * 8.)), he = sqrt(6 / (9 * 4.));
    CHECK(max_y <= glorot && max_y > 0.95 * glorot);
    CHECK(max_z <= he && max_z > 0.95 * he);
    CHECK(nn_bias(y)->data[7] == 0 && nn_bias(z)->data[7] == (nn_real)0.5);
    memset(&d, 0, sizeof d);
    d.filters = 8, d.kernel = 3, d.no_bias = 1, d.shared_weight = nn_weight(y);
    nn_tensor *again = nn_conv2d_with(x, &d);
    CHECK(nn_weight(again) == nn_weight(y) && nn_bias(again) == NULL);
    CHECK_STR(nn_weight(nn_conv2d_transpose(z, 3, 2, 2))->name, "conv3.weight");
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

/* An image that is a parameter has no batch. */
static void test_image_without_batch(void)
{
    static const size_t shape[] = {4, 4, 2};
    const geometry g = make_case(1, 4, 4, 2, 3, 3, 1, NN_PADDING_SAME, 0);
    nn_net *net = net_with(1);
    nn_tensor *x = nn_parameter(net, 3, shape, nn_init_uniform(-1, 1), NULL);
    nn_tensor *y = nn_conv2d(x, 3, 3), *loss = nn_sum(y);
    CHECK_INT(y->rank, 3);
    CHECK_INT(y->batched, 0);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    memset(expected, 0, size_y(&g) * sizeof *expected);
    plain_forward(&g, x->data, nn_weight(y)->data, 0, expected);
    CHECK(same_bits(y->data, expected, size_y(&g)));
    for (size_t i = 0; i < size_y(&g); i++) g_values[i] = 1;
    memset(expected, 0, size_x(&g) * sizeof *expected);
    plain_data(&g, g_values, nn_weight(y)->data, 0, expected);
    CHECK(same_bits(x->grad, expected, size_x(&g)));
    nn_net_destroy(net);
}

/* --------------------------------------------------------------------------------------- refusals */

static void refuse(nn_net *net, const nn_tensor *t, nn_status status, const char *part1,
                   const char *part2)
{
    CHECK(t == NULL);
    CHECK_ERROR(nn_net_status(net), status, part1, part2);
    nn_net_destroy(net);
}

enum { NORMAL, ONE_DIMENSION, TRANSPOSED };

static void refuse_desc(int kind, size_t h, size_t w, size_t c, const nn_conv_desc *d,
                        nn_status status, const char *part1, const char *part2)
{
    nn_net *net = net_with(1);
    size_t sequence[2];
    sequence[0] = w, sequence[1] = c;
    nn_tensor *x = kind == ONE_DIMENSION ? nn_input_shape(net, 2, sequence) : image(net, h, w, c);
    nn_tensor *y = kind == ONE_DIMENSION ? nn_conv1d_with(x, d)
                   : kind == TRANSPOSED  ? nn_conv2d_transpose_with(x, d)
                                         : nn_conv2d_with(x, d);
    refuse(net, y, status, part1, part2);
}

static void test_refusals(void)
{
    static const char *const names[] = {"nn_conv2d: ", "nn_conv1d: ", "nn_conv2d_transpose: "};
    const nn_status bad = NN_ERROR_BAD_ARGUMENT, shape = NN_ERROR_BAD_SHAPE;
    for (int k = 0; k < 3; k++) {
        nn_conv_desc good, d;
        memset(&good, 0, sizeof good);
        good.filters = 4, good.kernel = 3;
        refuse_desc(k, 8, 8, 4, NULL, bad, names[k], "desc is NULL");
        d = good, d.filters = 0;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "filters is 0");
        d = good, d.kernel = 0;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "expected at least 1 x 1");
        d = good, d.kernel_height = 3;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "kernel_height");
        d = good, d.pad_width = 1;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "pad_width is set");
        d = good, d.pad_height = 1;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "pad_height is set");
        d = good, d.padding = (nn_padding)7;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "padding is 7");
        d = good, d.groups = 3;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k],
                    "3 groups do not divide 4 channels and 4 filters");
        d = good, d.groups = 2, d.filters = 5;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k],
                    "2 groups do not divide 4 channels and 5 filters");
        d = good, d.activation = NN_ACTIVATION_COUNT;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "activation");
        d = good, d.alpha = 1;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "alpha");
        d = good, d.no_bias = 1, d.decay_bias = 1;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "decay_bias is set beside no_bias");
        d = good, d.weight.kind = NN_INIT_COUNT;
        refuse_desc(k, 8, 8, 4, &d, bad, names[k], "weight.kind");
        d = good, d.dilation = SIZE_MAX / 2;
        refuse_desc(k, 8, 8, 4, &d, NN_ERROR_TOO_LARGE, names[k], "[batch 8");
        d = good, d.stride = ((size_t)1 << 30) + 1;
        refuse_desc(k, 8, 8, 4, &d, NN_ERROR_TOO_LARGE, names[k], "stride 1073741825");
        d = good, d.kernel = 1, d.dilation = ((size_t)1 << 30) + 1;
        refuse_desc(k, 8, 8, 4, &d, NN_ERROR_TOO_LARGE, names[k], "dilation 1073741825");
        d = good, d.filters = SIZE_MAX / 8;
        refuse_desc(k, 8, 8, 4, &d, NN_ERROR_TOO_LARGE, "does not fit", "");
        nn_net *net = net_with(1);
        refuse(net, k == 1 ? nn_conv1d(nn_input(net, 5), 4, 3) : k == 2
                     ? nn_conv2d_transpose(nn_input(net, 5), 4, 3, 1)
                     : nn_conv2d(nn_input(net, 5), 4, 3), shape, names[k], "shape [batch 5]");
    }
}

/* A stride that exceeds the image leaves one window, whose taps in front of the image count nothing;
   the pixels that no window reaches have no gradient. */
static void check_stride(size_t stride, size_t pixels, size_t windows)
{
    static const nn_real w[3] = {100, 10, 1};
    nn_net *net = nn_net_create(NULL);
    const size_t shape[2] = {300, 1};
    nn_real x[300];
    nn_conv_desc d;
    memset(&d, 0, sizeof d);
    d.filters = 1, d.kernel = 3, d.dilation = 7, d.stride = stride;
    nn_tensor *in = nn_input_shape(net, 2, shape), *cut = nn_slice(in, 0, 0, pixels);
    nn_tensor *y = nn_conv1d_with(cut, &d), *sum = nn_sum(y);
    CHECK_OK(nn_net_status(net));
    in->requires_grad = 1;
    for (size_t i = 0; i < 300; i++) x[i] = (nn_real)(i + 1);
    CHECK_OK(nn_set_values(nn_weight(y), w, 3));
    CHECK_OK(nn_feed(in, x, 1));
    CHECK_OK(nn_forward(sum));
    CHECK_OK(nn_backward(sum));
    CHECK_INT(y->size, windows);
    /* `same`: what the windows exceed the image by is halved */
    const size_t extent = (windows - 1) * stride + 15;
    const size_t before = extent > pixels ? (extent - pixels) / 2 : 0;
    nn_real slope[300] = {0};
    for (size_t o = 0; o < windows; o++) {
        nn_real value = 0;
        for (size_t t = 0; t < 3; t++) {
            const size_t at = o * stride + 7 * t - before; /* huge in front of the image */
            if (at < pixels) value += w[t] * x[at], slope[at] += w[t];
        }
        CHECK(y->data[o] == value);
    }
    for (size_t i = 0; i < 300; i++) CHECK(in->grad[i] == slope[i]);
    nn_net_destroy(net);
}

static void test_large_strides(void)
{
    check_stride((size_t)1 << 30, 8, 1);
    check_stride(64, 300, 5);
    check_stride(65, 300, 5);
    check_stride(100, 300, 3);
}

static void test_kernels_larger_than_the_image(void)
{
    nn_conv_desc d;
    memset(&d, 0, sizeof d);
    d.filters = 4, d.kernel = 3, d.padding = NN_PADDING_VALID;
    refuse_desc(NORMAL, 2, 8, 4, &d, NN_ERROR_BAD_SHAPE, "nn_conv2d: a kernel of 3 x 3",
                "[batch 2 8 4]");
    refuse_desc(ONE_DIMENSION, 1, 2, 4, &d, NN_ERROR_BAD_SHAPE, "nn_conv1d: a kernel of 1 x 3",
                "[batch 2 4]");
    d.dilation = 4;
    refuse_desc(NORMAL, 8, 8, 4, &d, NN_ERROR_BAD_SHAPE, "with dilation 4", "[batch 8 8 4]");
    d.padding = NN_PADDING_EXPLICIT, d.pad_height = 1, d.pad_width = 0;
    refuse_desc(NORMAL, 8, 8, 4, &d, NN_ERROR_BAD_SHAPE, "with dilation 4", "padding 1 x 0");
    d.dilation = 1, d.pad_height = d.pad_width = 2;
    refuse_desc(TRANSPOSED, 1, 2, 4, &d, NN_ERROR_BAD_SHAPE, "nn_conv2d_transpose: a kernel of 3",
                "padding 2 x 2");
}

/* Both shapes are printed. */
static void test_channels_that_differ(void)
{
    nn_conv_desc d;
    memset(&d, 0, sizeof d);
    d.filters = 4, d.kernel = 3;
    nn_net *net = net_with(1);
    nn_tensor *y = nn_conv2d(image(net, 8, 8, 5), 4, 3);
    d.shared_weight = nn_weight(y);
    refuse(net, nn_conv2d_with(image(net, 8, 8, 3), &d), NN_ERROR_BAD_SHAPE, "[batch 8 8 3]",
           "[3 3 5 4]");
    net = net_with(1);
    y = nn_conv2d(image(net, 8, 8, 5), 4, 3);
    d.shared_weight = NULL, d.filters = 6, d.shared_bias = nn_bias(y);
    refuse(net, nn_conv2d_with(image(net, 8, 8, 3), &d), NN_ERROR_BAD_SHAPE, "nn_conv2d: ", "[4]");
    d.shared_bias = NULL, d.name = "conv0";
    net = net_with(1);
    nn_conv2d(image(net, 8, 8, 5), 4, 3);
    refuse(net, nn_conv2d_with(image(net, 8, 8, 3), &d), NN_ERROR_BAD_ARGUMENT, "nn_conv2d: ",
           "'conv0.weight' is in use");
}

int main(void)
{
    RUN(test_bits_of_drawn_cases);
    RUN(test_bits_of_chosen_cases);
    RUN(test_bits_depthwise);
    RUN_THREADS(test_bits_with_threads);
    RUN(test_transposed);
    RUN(test_one_dimension);
    RUN(test_gradients);
    RUN(test_torch_values);
    RUN(test_weights_not_finite);
    RUN(test_parameters);
    RUN(test_image_without_batch);
    RUN(test_refusals);
    RUN(test_large_strides);
    RUN(test_kernels_larger_than_the_image);
    RUN(test_channels_that_differ);
    return test_done("test_conv");
}
