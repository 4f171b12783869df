/* Operations and losses: small values by hand, closed forms, and every op, shape and flag against
   central differences. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define EPS 1e-13
#else
#define EPS 1e-6
#endif

#define MAX_VALUES 4096

enum { SMOOTH = 1, MAY_VANISH = 2, SMALL_STEP = 4 };

typedef struct dims {
    int rank;
    size_t n[4];
} dims;

typedef nn_tensor *(*unary_op)(nn_tensor *x);
typedef nn_tensor *(*binary_op)(nn_tensor *a, nn_tensor *b);

static char case_name[160];

/* ---------------------------------------------------------------------------------------- tools */

static void name_case(const char *what, const dims *d, size_t rows)
{
    snprintf(case_name, sizeof case_name, "%s, rank %d: %u %u %u %u, rows %u", what, d->rank,
             (unsigned)d->n[0], (unsigned)d->n[1], (unsigned)d->n[2], (unsigned)d->n[3],
             (unsigned)rows);
    test_current = case_name;
}

/* In [-1.1, 1.1] and at least 0.1 away from 0, where some functions have a kink; the first value is
   positive, so that a ReLU of one element has a gradient. */
static void fill(nn_real *x, size_t n, uint64_t seed)
{
    nn_rng rng = nn_rng_seed(seed);
    for (size_t i = 0; i < n; i++) {
        double u = 2 * nn_rng_uniform(&rng) - 1;
        x[i] = (nn_real)(u < 0 && i > 0 ? u - 0.1 : fabs(u) + 0.1);
    }
}

static int is_a(const nn_tensor *t, const char *op)
{
    return t && strcmp(t->op->name, op) == 0;
}

/* An input of the user's own, and not one that a loss has made. */
static int is_own_input(const nn_tensor *t)
{
    return is_a(t, "input") && !is_a(nn_net_tensor(t->net, t->id + 1), "mse");
}

static void set_leaves(nn_net *net, size_t rows)
{
    static nn_real values[MAX_VALUES];
    nn_tensor *t;
    for (size_t id = 0; (t = nn_net_tensor(net, id)) != NULL; id++) {
        if (is_a(t, "parameter")) fill(t->data, t->size, id);
        if (!is_own_input(t) && !is_a(t, "mse")) continue;
        fill(values, rows * (is_a(t, "mse") ? t->src[0] : t)->row_size, id);
        if (is_a(t, "mse")) CHECK_OK(nn_feed_targets(t, values, rows));
        else CHECK_OK(nn_feed(t, values, rows));
        if (is_a(t, "input")) t->requires_grad = 1;
    }
}

static size_t leaf_values(const nn_net *net)
{
    size_t n = 0;
    for (size_t id = 0; id < nn_net_tensor_count(net); id++) {
        const nn_tensor *t = nn_net_tensor(net, id);
        if (is_a(t, "parameter") || (is_a(t, "input") && t->requires_grad)) n += t->size;
    }
    return n;
}

/* The network's leaves have been set. */
static void check_gradients(nn_tensor *loss, int flags)
{
    nn_gradcheck_desc desc;
    nn_gradcheck_report report;
    memset(&desc, 0, sizeof desc);
    memset(&report, 0, sizeof report);
    desc.inputs = 1;
    desc.allow_zero = (flags & MAY_VANISH) != 0;
    if (flags & SMALL_STEP && sizeof(nn_real) == sizeof(float)) desc.h = 1e-3;
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.checked, leaf_values(loss->net));
    CHECK_INT(report.wrong, 0);
    if (flags & SMOOTH) CHECK_INT(report.kinks, 0);
}

/* A smooth scalar whose gradient differs at every element: sum c_i y_i + y_i^2 / 4. */
static double probe_factor(size_t i)
{
    return sin(1 + 0.7 * (double)i);
}

static nn_status probe_forward(nn_tensor *t)
{
    const nn_tensor *y = t->src[0];
    double sum = 0;
    for (size_t i = 0; i < y->size; i++) {
        double v = (double)y->data[i];
        sum += probe_factor(i) * v + 0.25 * v * v;
    }
    t->data[0] = (nn_real)sum;
    return NN_OK;
}

static nn_status probe_backward(nn_tensor *t)
{
    nn_tensor *y = t->src[0];
    if (!y->grad) return NN_OK;
    for (size_t i = 0; i < y->size; i++)
        y->grad[i] += (nn_real)((double)t->grad[0] * (probe_factor(i) + 0.5 * (double)y->data[i]));
    return NN_OK;
}

static nn_tensor *probe(nn_tensor *y)
{
    static const nn_op op = {"probe", probe_forward, probe_backward, NULL, NULL, 0};
    return nn_custom(1, &y, 0, 0, NULL, &op, NULL);
}

static nn_tensor *leaf(nn_net *net, const dims *d, size_t rows)
{
    return rows ? nn_input_shape(net, d->rank, d->n)
                : nn_parameter(net, d->rank, d->n, nn_init_scaled(NN_INIT_ZERO), NULL);
}

/* Checks the gradients of everything that the loss depends on, then destroys the network. */
static void verify_loss(nn_net *net, nn_tensor *loss, size_t rows, int flags)
{
    CHECK_OK(nn_net_status(net));
    if (loss) {
        set_leaves(net, rows);
        check_gradients(loss, flags);
    }
    nn_net_destroy(net);
}

static void verify(nn_net *net, nn_tensor *y, size_t rows, int flags)
{
    verify_loss(net, probe(y), rows, flags);
}

/* A parameter that holds the given values. */
static nn_tensor *given(nn_net *net, int rank, size_t d0, size_t d1, const double *values)
{
    size_t shape[2];
    shape[0] = d0;
    shape[1] = d1;
    nn_tensor *t = nn_parameter(net, rank, shape, nn_init_scaled(NN_INIT_ZERO), NULL);
    if (t)
        for (size_t i = 0; i < t->size; i++) t->data[i] = (nn_real)values[i];
    return t;
}

/* Runs t and compares its n values, bit by bit when tolerance is 0. */
static void check_values(nn_tensor *t, size_t n, const double *expected, double tolerance)
{
    CHECK(t != NULL);
    if (!t) return;
    CHECK_OK(nn_forward(t));
    CHECK_INT(t->size, n);
    for (size_t i = 0; i < n && i < t->size; i++) CHECK_NEAR(t->data[i], expected[i], tolerance);
}

static void check_shape(const nn_tensor *t, int rank, size_t d0, size_t d1, size_t d2)
{
    size_t expected[3];
    expected[0] = d0;
    expected[1] = d1;
    expected[2] = d2;
    CHECK(t != NULL);
    if (!t) return;
    CHECK_INT(t->rank, rank);
    for (int i = 0; i < rank && i < t->rank; i++) CHECK_INT(t->shape[i], expected[i]);
}

/* ------------------------------------------------------------------------------- values by hand */

static const double two_by_three[] = {1, 2, 3, 4, 5, 6};
static const double three_by_two[] = {1, 0, 2, 1, 0, 3};
static const double row_of_three[] = {10, 20, 30};

static void test_matmul_values(void)
{
    static const double a_t[] = {1, 4, 2, 5, 3, 6}, b_t[] = {1, 2, 0, 0, 1, 3};
    static const double product[] = {5, 11, 14, 23}, gram[] = {14, 32, 32, 77};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *a = given(net, 2, 2, 3, two_by_three), *b = given(net, 2, 3, 2, three_by_two);
    nn_tensor *at = given(net, 2, 3, 2, a_t), *bt = given(net, 2, 2, 3, b_t);
    check_values(nn_matmul(a, b), 4, product, 0);
    check_values(nn_matmul_with(a, 0, bt, 1), 4, product, 0);
    check_values(nn_matmul_with(at, 1, b, 0), 4, product, 0);
    check_values(nn_matmul_with(at, 1, bt, 1), 4, product, 0);
    check_values(nn_matmul_with(a, 0, a, 1), 4, gram, 0);
    check_shape(nn_matmul(b, a), 2, 3, 3, 0);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

static void test_elementwise_values(void)
{
    static const double six[] = {6, 5, 4, 3, 2, 1};
    static const double sum[] = {7, 7, 7, 7, 7, 7}, sum_row[] = {11, 22, 33, 14, 25, 36};
    static const double difference[] = {-5, -3, -1, 1, 3, 5};
    static const double difference_row[] = {-9, -18, -27, -6, -15, -24};
    static const double product[] = {6, 10, 12, 12, 10, 6};
    static const double product_row[] = {10, 40, 90, 40, 100, 180};
    static const double square[] = {1, 4, 9, 16, 25, 36}, twice[] = {2, 4, 6, 8, 10, 12};
    static const double none[] = {0, 0, 0, 0, 0, 0}, half[] = {-.5, -1, -1.5, -2, -2.5, -3};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *a = given(net, 2, 2, 3, two_by_three), *b = given(net, 2, 2, 3, six);
    nn_tensor *row = given(net, 1, 3, 0, row_of_three);
    check_values(nn_add(a, b), 6, sum, 0);
    check_values(nn_add(a, row), 6, sum_row, 0);
    check_values(nn_sub(a, b), 6, difference, 0);
    check_values(nn_sub(a, row), 6, difference_row, 0);
    check_values(nn_mul(a, b), 6, product, 0);
    check_values(nn_mul(a, row), 6, product_row, 0);
    check_values(nn_mul(a, a), 6, square, 0);
    check_values(nn_add(a, a), 6, twice, 0);
    check_values(nn_sub(a, a), 6, none, 0);
    check_values(nn_scale(a, -0.5), 6, half, 0);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

static void test_shape_values(void)
{
    static const double beside[] = {1, 2, 3, 1, 0, 4, 5, 6, 2, 1};
    static const double square[] = {1, 0, 2, 1}, below[] = {1, 0, 2, 1, 0, 3, 1, 0, 2, 1};
    static const double columns[] = {2, 3, 5, 6}, last_row[] = {4, 5, 6};
    static const double total[] = {21}, average[] = {3.5};
    static const size_t tall[] = {3, 1, 2};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *a = given(net, 2, 2, 3, two_by_three), *b = given(net, 2, 3, 2, three_by_two);
    nn_tensor *s = given(net, 2, 2, 2, square), *pair[2];
    pair[0] = a, pair[1] = s;
    check_values(nn_concat(2, pair, 1), 10, beside, 0);
    pair[0] = b, pair[1] = s;
    check_values(nn_concat(2, pair, 0), 10, below, 0);
    check_values(nn_concat(1, pair, 0), 6, three_by_two, 0);
    check_values(nn_slice(a, 1, 1, 3), 4, columns, 0);
    check_values(nn_slice(a, 0, 1, 2), 3, last_row, 0);
    check_values(nn_slice(a, 0, 0, 2), 6, two_by_three, 0);
    check_values(nn_sum(a), 1, total, 0);
    check_values(nn_mean(a), 1, average, EPS);
    check_shape(nn_sum(a), 0, 0, 0, 0);
    nn_tensor *r = nn_reshape(a, 3, tall);
    check_values(r, 6, two_by_three, 0);
    check_shape(r, 3, 3, 1, 2);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

static void test_batched_shapes(void)
{
    static const size_t image[] = {2, 3, 4}, wide[] = {4, 6};
    static nn_real values[5 * 24];
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 3, image), *both[2];
    both[0] = both[1] = nn_reshape(x, 2, wide);
    nn_tensor *flat = nn_flatten(x), *joined = nn_concat(2, both, 1);
    nn_tensor *cut = nn_slice(joined, 0, 1, 2);
    fill(values, COUNT(values), 1);
    CHECK_OK(nn_feed(x, values, 5));
    CHECK_OK(nn_forward(cut));
    CHECK_OK(nn_forward(flat));
    check_shape(both[0], 3, 5, 4, 6);
    check_shape(flat, 2, 5, 24, 0);
    check_shape(joined, 3, 5, 4, 12);
    check_shape(cut, 3, 5, 1, 12);
    CHECK_INT(x->rank, 4);
    CHECK_INT(x->shape[0], 5);
    for (size_t i = 0; i < COUNT(values); i++) CHECK(flat->data[i] == values[i]);
    for (size_t r = 0; r < 5; r++)
        for (size_t c = 0; c < 12; c++)
            CHECK(cut->data[r * 12 + c] == values[r * 24 + 6 + c % 6]);
    nn_net_destroy(net);
}

static void test_dense_values(void)
{
    static const nn_real x[] = {1, 2, 3, 4, 5, 6};
    static const double with_bias[] = {15, 31, 24, 43}, without[] = {5, 11, 14, 23};
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = 2;
    desc.no_bias = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, 3), *y = nn_dense(in, 2), *z = nn_dense_with(in, &desc);
    for (size_t i = 0; i < 6; i++)
        nn_weight(y)->data[i] = nn_weight(z)->data[i] = (nn_real)three_by_two[i];
    nn_bias(y)->data[0] = 10;
    nn_bias(y)->data[1] = 20;
    CHECK(nn_bias(z) == NULL);
    CHECK(nn_weight(in) == NULL && nn_bias(in) == NULL);
    CHECK_OK(nn_feed(in, x, 2));
    check_values(y, 4, with_bias, 0);
    check_values(z, 4, without, 0);
    nn_net_destroy(net);
}

static double activation_value(nn_activation kind, double alpha, double x)
{
    switch ((int)kind) {
    case NN_ACTIVATION_SIGMOID: return 1 / (1 + exp(-x));
    case NN_ACTIVATION_TANH: return tanh(x);
    case NN_ACTIVATION_SCALED_TANH: return 1.7159 * tanh(2 * x / 3);
    case NN_ACTIVATION_RELU: return x > 0 ? x : 0;
    case NN_ACTIVATION_LEAKY_RELU: return x > 0 ? x : alpha * x;
    case NN_ACTIVATION_ELU: return x > 0 ? x : alpha * expm1(x);
    case NN_ACTIVATION_GELU: return x * erfc(-x / sqrt(2.0)) / 2;
    case NN_ACTIVATION_SILU: return x / (1 + exp(-x));
    case NN_ACTIVATION_SOFTPLUS: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    default: return x;
    }
}

static int has_alpha(nn_activation kind)
{
    return kind == NN_ACTIVATION_LEAKY_RELU || kind == NN_ACTIVATION_ELU;
}

static void test_activation_values(void)
{
    static const double x[] = {-8, -3, -1.25, -0.5, -1e-3, 0, 1e-3, 0.25, 1, 2.5, 9};
    static const double alphas[] = {0, 0.25, 2};
    double expected[COUNT(x)];
    for (int k = 0; k < NN_ACTIVATION_COUNT; k++)
        for (size_t j = 0; j < (has_alpha((nn_activation)k) ? COUNT(alphas) : 1); j++) {
            nn_activation kind = (nn_activation)k;
            test_current = nn_activation_string(kind);
            nn_net *net = nn_net_create(NULL);
            nn_tensor *in = given(net, 1, COUNT(x), 0, x);
            for (size_t i = 0; i < COUNT(x); i++)
                expected[i] = activation_value(kind, alphas[j], (double)in->data[i]);
            check_values(nn_activate(in, kind, alphas[j]), COUNT(x), expected, 10 * EPS);
            nn_net_destroy(net);
        }
}

/* The short names stand for the kinds that they say. */
static void test_activation_names(void)
{
    static const unary_op op[] = {nn_sigmoid, nn_tanh, nn_scaled_tanh, nn_relu,
                                  nn_gelu,    nn_silu, nn_softplus};
    static const nn_activation kind[] = {
        NN_ACTIVATION_SIGMOID, NN_ACTIVATION_TANH, NN_ACTIVATION_SCALED_TANH, NN_ACTIVATION_RELU,
        NN_ACTIVATION_GELU,    NN_ACTIVATION_SILU, NN_ACTIVATION_SOFTPLUS};
    static const double x[] = {-2, -0.5, 0, 0.75, 3};
    double expected[COUNT(x)];
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = given(net, 1, COUNT(x), 0, x);
    for (size_t k = 0; k < COUNT(op); k++) {
        for (size_t i = 0; i < COUNT(x); i++) expected[i] = activation_value(kind[k], 0, x[i]);
        check_values(op[k](in), COUNT(x), expected, 10 * EPS);
    }
    for (size_t i = 0; i < COUNT(x); i++)
        expected[i] = activation_value(NN_ACTIVATION_LEAKY_RELU, 0.5, x[i]);
    check_values(nn_leaky_relu(in, 0.5), COUNT(x), expected, 10 * EPS);
    for (size_t i = 0; i < COUNT(x); i++)
        expected[i] = activation_value(NN_ACTIVATION_ELU, 0.5, x[i]);
    check_values(nn_elu(in, 0.5), COUNT(x), expected, 10 * EPS);
    nn_net_destroy(net);
}

static void test_softmax_values(void)
{
    /* exp of logarithms: 1 : 2 : 5, then equal values, then values whose exp overflows. */
    const double x[] = {0, log(2.0), log(5.0), -7, -7, -7, 1e4, -1e4, 1e4};
    static const double y[] = {0.125, 0.25, 0.625, 1. / 3, 1. / 3, 1. / 3, 0.5, 0, 0.5};
    double logs[COUNT(x)];
    for (size_t i = 0; i < COUNT(x); i++) logs[i] = log(y[i] > 0 ? y[i] : 1);
    logs[7] = -2e4 - log(2.0);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = given(net, 2, 3, 3, x);
    check_values(nn_softmax(in), 9, y, 4 * EPS);
    nn_tensor *log_softmax = nn_log_softmax(in);
    CHECK_OK(nn_forward(log_softmax));
    for (size_t i = 0; i < 9; i++)
        CHECK_NEAR(log_softmax->data[i], logs[i], 4 * EPS * (1 + fabs(logs[i])));
    nn_net_destroy(net);
}

/* ---------------------------------------------------------------------- gradients of operations */

static const dims all_dims[] = {{1, {1}},       {1, {7}},          {1, {37}},        {2, {1, 5}},
                                {2, {5, 1}},    {2, {3, 17}},      {3, {2, 1, 3}},   {3, {1, 3, 5}},
                                {4, {2, 3, 1, 2}}, {4, {1, 1, 1, 1}}, {4, {2, 1, 2, 5}}};
static const size_t batches[] = {0, 1, 3}; /* 0: a parameter instead of an input */

static void check_unary(const char *what, unary_op op, int flags)
{
    for (size_t i = 0; i < COUNT(all_dims); i++)
        for (size_t j = 0; j < COUNT(batches); j++) {
            const dims *d = &all_dims[i];
            nn_net *net = nn_net_create(NULL);
            name_case(what, d, batches[j]);
            verify(net, op(leaf(net, d, batches[j])), batches[j], flags);
        }
}

static nn_tensor *op_scale(nn_tensor *x) { return nn_scale(x, -1.75); }
static nn_tensor *op_square(nn_tensor *x) { return nn_mul(x, x); }
static nn_tensor *op_twice(nn_tensor *x) { return nn_add(x, x); }
static nn_tensor *op_three(nn_tensor *x) { return nn_add(nn_add(x, x), x); }
static nn_tensor *op_minus_square(nn_tensor *x) { return nn_sub(x, nn_mul(x, x)); }
static nn_tensor *op_dropout(nn_tensor *x) { return nn_dropout(x, 0.4); }
static nn_tensor *op_no_dropout(nn_tensor *x) { return nn_dropout(x, 0); }

static void test_unary_gradients(void)
{
    check_unary("scale", op_scale, SMOOTH);
    check_unary("x * x", op_square, SMOOTH);
    check_unary("x + x", op_twice, SMOOTH);
    check_unary("x + x + x", op_three, SMOOTH);
    check_unary("x - x * x", op_minus_square, SMOOTH);
    check_unary("softmax", nn_softmax, SMOOTH | MAY_VANISH);
    check_unary("log_softmax", nn_log_softmax, SMOOTH | MAY_VANISH);
    check_unary("flatten", nn_flatten, SMOOTH);
    check_unary("sum", nn_sum, SMOOTH);
    check_unary("mean", nn_mean, SMOOTH);
    check_unary("dropout", op_dropout, SMOOTH | MAY_VANISH);
    check_unary("dropout 0", op_no_dropout, SMOOTH);
}

/* x - x is 0 whatever x is: both gradients must cancel to exactly 0. */
static void test_difference_with_itself(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = given(net, 1, 6, 0, two_by_three), *loss = probe(nn_sub(x, x));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    for (size_t i = 0; i < 6; i++) CHECK(x->grad[i] == 0);
    nn_net_destroy(net);
}

static void test_activation_gradients(void)
{
    static const double alphas[] = {0, 0.3};
    for (int k = 0; k < NN_ACTIVATION_COUNT; k++)
        for (size_t i = 0; i < COUNT(all_dims) * COUNT(batches) * COUNT(alphas); i++) {
            const dims *d = &all_dims[i % COUNT(all_dims)];
            size_t rows = batches[i / COUNT(all_dims) % COUNT(batches)];
            double alpha = alphas[i / COUNT(all_dims) / COUNT(batches)];
            nn_activation kind = (nn_activation)k;
            if (alpha > 0 && !has_alpha(kind)) continue;
            nn_net *net = nn_net_create(NULL);
            name_case(nn_activation_string(kind), d, rows);
            verify(net, nn_activate(leaf(net, d, rows), kind, alpha), rows, SMOOTH);
        }
}

static void check_binary(const char *what, binary_op op)
{
    for (size_t i = 0; i < COUNT(all_dims); i++)
        for (size_t j = 0; j < COUNT(batches); j++) {
            const dims *d = &all_dims[i];
            for (int first = -1; first < d->rank; first++) {
                /* -1: b has a's shape, batch and all; else b has a's dimensions from `first` on. */
                dims tail = *d;
                if (first > 0) {
                    tail.rank = d->rank - first;
                    memmove(tail.n, d->n + first, (size_t)tail.rank * sizeof *tail.n);
                }
                nn_net *net = nn_net_create(NULL);
                name_case(what, &tail, batches[j]);
                nn_tensor *a = leaf(net, d, batches[j]);
                nn_tensor *b = leaf(net, &tail, first < 0 ? batches[j] : 0);
                verify(net, op(a, b), batches[j], SMOOTH);
            }
        }
}

static void test_binary_gradients(void)
{
    check_binary("add", nn_add);
    check_binary("sub", nn_sub);
    check_binary("mul", nn_mul);
}

/* The operand that is repeated is itself computed, and the whole operand a parameter. */
static void test_broadcast_of_computed_operand(void)
{
    static const dims whole = {3, {2, 3, 5}}, tail = {1, {5}};
    static const binary_op op[] = {nn_add, nn_sub, nn_mul};
    for (size_t i = 0; i < COUNT(op); i++) {
        nn_net *net = nn_net_create(NULL);
        name_case("broadcast of tanh", &tail, i);
        nn_tensor *a = nn_sigmoid(leaf(net, &whole, 0)), *b = nn_tanh(leaf(net, &tail, 0));
        verify(net, nn_tanh(op[i](a, b)), 0, SMOOTH);
    }
}

static void test_matmul_gradients(void)
{
    static const size_t sizes[][3] = {{1, 1, 1},  {2, 3, 5},   {7, 1, 4},  {1, 13, 1},
                                      {5, 11, 3}, {17, 2, 33}, {3, 19, 8}, {16, 16, 16}};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int flags = 0; flags < 6; flags++) {
            /* 0 to 3: transposes of two parameters; 4 and 5: the first one is an input. */
            int ta = flags < 4 && (flags & 1), tb = flags < 4 ? flags >> 1 : flags & 1;
            size_t m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
            dims a = {2, {0}}, b = {2, {0}}, row = {1, {0}};
            a.n[0] = ta ? k : m, a.n[1] = ta ? m : k;
            b.n[0] = tb ? n : k, b.n[1] = tb ? k : n;
            row.n[0] = k;
            nn_net *net = nn_net_create(NULL);
            name_case(tb ? "matmul b^T" : "matmul", &b, flags < 4 ? 0 : m);
            nn_tensor *left = flags < 4 ? leaf(net, &a, 0) : leaf(net, &row, m);
            verify(net, nn_matmul_with(left, ta, leaf(net, &b, 0), tb), m, SMOOTH);
        }
}

static void test_matmul_with_itself(void)
{
    static const dims square = {2, {5, 5}}, wide = {2, {3, 7}};
    for (int flags = 0; flags < 4; flags++) {
        nn_net *net = nn_net_create(NULL);
        name_case("matmul with itself", &square, (size_t)flags);
        nn_tensor *x = nn_tanh(leaf(net, &square, 0));
        verify(net, nn_matmul_with(x, flags & 1, x, flags >> 1), 0, SMOOTH);
    }
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = leaf(net, &wide, 0);
    verify(net, nn_matmul_with(x, 1, x, 0), 0, SMOOTH);
}

/* Both operands have a later consumer, too, whose gradient is there already. */
static void test_matmul_adds_its_gradients(void)
{
    static const dims d = {2, {4, 4}};
    for (int flags = 0; flags < 4; flags++) {
        nn_net *net = nn_net_create(NULL);
        name_case("matmul of shared operands", &d, (size_t)flags);
        nn_tensor *a = leaf(net, &d, 0), *b = nn_tanh(leaf(net, &d, 0));
        nn_tensor *loss = probe(nn_matmul_with(a, flags & 1, b, flags >> 1));
        loss = nn_add(loss, probe(a));
        verify_loss(net, nn_add(loss, probe(b)), 0, SMOOTH);
    }
}

/* Every activation, with and without a bias, from one value to a few vectors' width. Several kinks
   within one step could hide each other, so steps are small; the loss is summed in double. */
static void test_dense_gradients(void)
{
    static const dims in[] = {{1, {1}}, {1, {5}}, {1, {17}}, {2, {3, 2}}, {3, {2, 1, 3}}};
    static const size_t units[] = {1, 3, 19}, rows[] = {1, 5};
    for (int k = 0; k < NN_ACTIVATION_COUNT * 2; k++)
        for (size_t i = 0; i < COUNT(in) * COUNT(units) * COUNT(rows); i++) {
            const dims *d = &in[i % COUNT(in)];
            size_t batch = rows[i / COUNT(in) / COUNT(units)];
            nn_dense_desc desc;
            memset(&desc, 0, sizeof desc);
            desc.units = units[i / COUNT(in) % COUNT(units)];
            desc.activation = (nn_activation)(k / 2);
            desc.alpha = k % 3 || !has_alpha(desc.activation) ? 0 : 0.2;
            desc.no_bias = k % 2;
            nn_net *net = nn_net_create(NULL);
            name_case(nn_activation_string(desc.activation), d, batch);
            verify_loss(net, nn_mse(nn_dense_with(leaf(net, d, batch), &desc)), batch,
                        MAY_VANISH | SMALL_STEP);
        }
}

static void check_concat(const dims *d, size_t rows, size_t axis, size_t count)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *part[3];
    name_case("concat", d, rows);
    for (size_t p = 0; p < count; p++) {
        dims piece = *d;
        piece.n[axis] = p + 1;
        part[p] = leaf(net, &piece, rows);
    }
    verify(net, nn_concat(count, part, (int)axis), rows, SMOOTH);
}

static void test_concat_gradients(void)
{
    for (size_t i = 0; i < COUNT(all_dims); i++)
        for (size_t j = 0; j < COUNT(batches); j++)
            for (size_t axis = 0; axis < (size_t)all_dims[i].rank; axis++)
                for (size_t count = 1; count <= 3; count++)
                    check_concat(&all_dims[i], batches[j], axis, count);
}

static void test_concat_of_the_same(void)
{
    static const dims d = {2, {2, 3}};
    for (int axis = -2; axis < 2; axis++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = leaf(net, &d, 2), *part[3];
        name_case("concat of the same", &d, 2);
        part[0] = part[2] = nn_tanh(x);
        part[1] = x;
        verify(net, nn_concat(3, part, axis), 2, SMOOTH);
    }
}

static void test_slice_gradients(void)
{
    for (size_t i = 0; i < COUNT(all_dims); i++)
        for (size_t j = 0; j < COUNT(batches); j++)
            for (size_t axis = 0; axis < (size_t)all_dims[i].rank; axis++)
                for (int part = 0; part < 4; part++) {
                    const dims *d = &all_dims[i];
                    size_t n = d->n[axis], rows = batches[j], step = n > 2;
                    size_t begin = part & 1 ? step : 0, end = part & 2 ? n - step : n;
                    nn_net *net = nn_net_create(NULL);
                    name_case("slice", d, rows);
                    nn_tensor *x = leaf(net, d, rows);
                    verify(net, nn_slice(x, (int)axis, begin, end), rows, SMOOTH);
                }
}

static void test_reshape_gradients(void)
{
    static const dims to[] = {{1, {60}}, {2, {4, 15}}, {3, {5, 1, 12}}, {4, {2, 2, 3, 5}}};
    for (size_t i = 0; i < COUNT(to) * COUNT(to); i++)
        for (size_t j = 0; j < COUNT(batches); j++) {
            const dims *target = &to[i % COUNT(to)];
            nn_net *net = nn_net_create(NULL);
            name_case("reshape", target, batches[j]);
            nn_tensor *x = leaf(net, &to[i / COUNT(to)], batches[j]);
            verify(net, nn_reshape(x, target->rank, target->n), batches[j], SMOOTH);
        }
}

static nn_tensor *op_dense(nn_tensor *x) { return nn_dense(x, 3); }
static nn_tensor *op_slice(nn_tensor *x) { return nn_slice(x, 0, 1, 3); }
static nn_tensor *op_concat(nn_tensor *x)
{
    nn_tensor *part[2];
    part[0] = part[1] = x;
    return nn_concat(2, part, 0);
}
static nn_tensor *op_reshape(nn_tensor *x)
{
    static const size_t shape[] = {2, 2};
    return nn_reshape(x, 2, shape);
}

/* A source of two consumers gets the sum of both gradients, whichever runs first. */
static void test_two_consumers(void)
{
    static const unary_op op[] = {op_scale,  op_square,  op_dropout, nn_softmax, nn_log_softmax,
                                  nn_sum,    nn_mean,    nn_tanh,    op_dense,   op_slice,
                                  op_concat, op_reshape, nn_flatten, nn_gelu,    op_minus_square};
    static const dims d = {1, {4}};
    for (size_t i = 0; i < 2 * COUNT(op); i++) {
        nn_net *net = nn_net_create(NULL);
        name_case("two consumers", &d, i);
        nn_tensor *x = nn_scale(leaf(net, &d, 3), 1.5), *loss;
        if (i % 2) loss = nn_add(probe(x), probe(op[i / 2](x)));
        else loss = nn_add(probe(op[i / 2](x)), probe(x));
        CHECK_OK(nn_net_status(net));
        set_leaves(net, 3);
        if (loss) check_gradients(loss, SMOOTH);
        nn_net_destroy(net);
    }
}

static void test_deep_chain(void)
{
    static const dims d = {2, {2, 3}};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = leaf(net, &d, 4), *part[2];
    nn_tensor *h = nn_tanh(nn_dense(nn_flatten(x), 8));
    part[0] = nn_slice(h, 0, 0, 3);
    part[1] = nn_slice(h, -1, 5, 8);
    nn_tensor *joined = nn_mul(nn_concat(2, part, 0), nn_sigmoid(nn_flatten(x)));
    name_case("deep chain", &d, 4);
    verify(net, nn_softmax(nn_dense(nn_dropout(joined, 0.2), 5)), 4, SMOOTH);
}

/* --------------------------------------------------------------------------------------- losses */

typedef struct loss_kind {
    const char *name;
    nn_loss_kind kind;
    double (*row)(const double *z, const double *t, size_t n, const nn_loss_desc *desc);
    int mean_of_rows; /* else of elements */
    int labels, targets;
} loss_kind;

static double row_cross_entropy(const double *z, const double *t, size_t n,
                                const nn_loss_desc *desc)
{
    double max = z[0], sum = 0, loss = 0, s = desc->label_smoothing;
    for (size_t i = 1; i < n; i++) max = z[i] > max ? z[i] : max;
    for (size_t i = 0; i < n; i++) sum += exp(z[i] - max);
    for (size_t i = 0; i < n; i++)
        loss -= ((1 - s) * t[i] + s / (double)n) * (z[i] - max - log(sum));
    return loss;
}

static double row_binary(const double *z, const double *t, size_t n, const nn_loss_desc *desc)
{
    double loss = 0;
    (void)desc;
    for (size_t i = 0; i < n; i++) {
        double p = 1 / (1 + exp(-z[i]));
        loss -= t[i] * log(p) + (1 - t[i]) * log(1 - p);
    }
    return loss;
}

static double row_mse(const double *z, const double *t, size_t n, const nn_loss_desc *desc)
{
    double loss = 0;
    (void)desc;
    for (size_t i = 0; i < n; i++) loss += (z[i] - t[i]) * (z[i] - t[i]);
    return loss;
}

static double row_l1(const double *z, const double *t, size_t n, const nn_loss_desc *desc)
{
    double loss = 0;
    (void)desc;
    for (size_t i = 0; i < n; i++) loss += fabs(z[i] - t[i]);
    return loss;
}

static double row_huber(const double *z, const double *t, size_t n, const nn_loss_desc *desc)
{
    double loss = 0, delta = desc->delta > 0 ? desc->delta : 1;
    for (size_t i = 0; i < n; i++) {
        double e = fabs(z[i] - t[i]);
        loss += e <= delta ? e * e / 2 : delta * (e - delta / 2);
    }
    return loss;
}

static double row_hinge(const double *z, const double *t, size_t n, const nn_loss_desc *desc)
{
    double loss = 0, margin = desc->margin > 0 ? desc->margin : 1;
    size_t label = 0;
    while (t[label] == 0) label++;
    for (size_t i = 0; i < n; i++)
        if (i != label) loss += fmax(0, z[i] - z[label] + margin);
    return loss;
}

static const loss_kind loss_kinds[] = {
    {"softmax_cross_entropy", NN_LOSS_SOFTMAX_CROSS_ENTROPY, row_cross_entropy, 1, 1, 1},
    {"sigmoid_cross_entropy", NN_LOSS_SIGMOID_CROSS_ENTROPY, row_binary, 0, 0, 1},
    {"mse", NN_LOSS_MSE, row_mse, 0, 0, 1},
    {"l1_loss", NN_LOSS_L1, row_l1, 0, 0, 1},
    {"huber", NN_LOSS_HUBER, row_huber, 0, 0, 1},
    {"hinge", NN_LOSS_HINGE, row_hinge, 1, 1, 0},
};

/* Logits, and targets that suit the loss: in (0, 1), in rows that sum to 1 for the classifiers. */
static void draw_batch(const loss_kind *kind, size_t rows, size_t cols, int *labels, nn_real *z,
                       nn_real *t)
{
    nn_rng rng = nn_rng_seed(rows * 100 + cols);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        labels[r] = (int)nn_rng_below(&rng, cols);
        for (size_t i = r * cols; i < (r + 1) * cols; i++) {
            z[i] = (nn_real)(4 * nn_rng_uniform(&rng) - 2);
            t[i] = (nn_real)(0.05 + 0.9 * nn_rng_uniform(&rng));
            sum += (double)t[i];
        }
        for (size_t i = r * cols; i < (r + 1) * cols && kind->mean_of_rows; i++)
            t[i] = (nn_real)((double)t[i] / sum);
    }
}

static double expected_loss(const loss_kind *kind, const nn_loss_desc *desc, size_t rows,
                            size_t cols, const int *labels, const nn_real *z, const nn_real *t)
{
    double loss = 0, z_row[64], t_row[64];
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < cols; i++) {
            z_row[i] = (double)z[r * cols + i];
            t_row[i] = labels ? (double)((size_t)labels[r] == i) : (double)t[r * cols + i];
        }
        loss += kind->row(z_row, t_row, cols, desc);
    }
    if (desc->reduction == NN_REDUCE_SUM) return loss;
    return loss / (double)(kind->mean_of_rows ? rows : rows * cols);
}

static void check_loss(const loss_kind *kind, const nn_loss_desc *desc, int use_labels, size_t rows,
                       size_t cols)
{
    static nn_real z[MAX_VALUES], t[MAX_VALUES];
    static int labels[64];
    dims d = {1, {0}};
    d.n[0] = cols;
    name_case(kind->name, &d, rows);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, cols), *loss = nn_loss(x, kind->kind, desc);
    CHECK_OK(nn_net_status(net));
    if (loss) {
        draw_batch(kind, rows, cols, labels, z, t);
        x->requires_grad = 1;
        CHECK_OK(nn_feed(x, z, rows));
        if (use_labels) CHECK_OK(nn_feed_labels(loss, labels, rows));
        else CHECK_OK(nn_feed_targets(loss, t, rows));
        CHECK_OK(nn_forward(loss));
        double e = expected_loss(kind, desc, rows, cols, use_labels ? labels : NULL, z, t);
        CHECK_NEAR(loss->value, e, 8 * EPS * (1 + fabs(e)));
        CHECK_NEAR(loss->data[0], e, 8 * EPS * (1 + fabs(e)));
        CHECK_INT(loss->rank, 0);
        check_gradients(loss, MAY_VANISH);
        /* Not dead: only a single class leaves these losses without a gradient. */
        double length = 0;
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        for (size_t i = 0; i < x->size; i++) length += fabs((double)x->grad[i]);
        CHECK((length > 0) == (cols > 1 || !kind->labels));
    }
    nn_net_destroy(net);
}

static void test_losses(void)
{
    static const size_t shapes[][2] = {{1, 1}, {1, 4}, {5, 3}, {3, 17}, {16, 10}, {7, 1}};
    static const double smoothing[] = {0, 0.1, 0.5}, delta[] = {0, 0.3, 2}, margin[] = {0, 0.5, 3};
    for (size_t k = 0; k < COUNT(loss_kinds); k++)
        for (size_t i = 0; i < COUNT(shapes) * 6; i++) {
            const loss_kind *kind = &loss_kinds[k];
            const size_t *shape = shapes[i / 6];
            nn_loss_desc desc;
            memset(&desc, 0, sizeof desc);
            desc.reduction = i % 2 ? NN_REDUCE_SUM : NN_REDUCE_MEAN;
            if (kind->kind == NN_LOSS_SOFTMAX_CROSS_ENTROPY)
                desc.label_smoothing = smoothing[i / 2 % 3];
            if (kind->kind == NN_LOSS_HUBER) desc.delta = delta[i / 2 % 3];
            if (kind->kind == NN_LOSS_HINGE) desc.margin = margin[i / 2 % 3];
            if (kind->labels) check_loss(kind, &desc, 1, shape[0], shape[1]);
            if (kind->targets) check_loss(kind, &desc, 0, shape[0], shape[1]);
        }
}

/* The short forms are the long ones with a zeroed desc. */
static nn_tensor *huber_of_1(nn_tensor *y) { return nn_huber(y, 1); }

static void test_loss_defaults(void)
{
    static const unary_op make[] = {nn_softmax_cross_entropy, nn_sigmoid_cross_entropy, nn_mse,
                                    nn_l1_loss,               huber_of_1,              nn_hinge};
    static nn_real z[12], t[12];
    int labels[4];
    nn_loss_desc desc;
    memset(&desc, 0, sizeof desc);
    for (size_t k = 0; k < COUNT(make); k++) {
        const loss_kind *kind = &loss_kinds[k];
        test_current = kind->name;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input(net, 3), *loss[3];
        loss[0] = make[k](x);
        loss[1] = nn_loss(x, kind->kind, &desc);
        loss[2] = nn_loss(x, kind->kind, NULL);
        draw_batch(kind, 4, 3, labels, z, t);
        CHECK_OK(nn_feed(x, z, 4));
        for (size_t i = 0; i < 3; i++) {
            if (kind->targets) CHECK_OK(nn_feed_targets(loss[i], t, 4));
            else CHECK_OK(nn_feed_labels(loss[i], labels, 4));
            CHECK_OK(nn_forward(loss[i]));
            double e = expected_loss(kind, &desc, 4, 3, kind->targets ? NULL : labels, z, t);
            CHECK_NEAR(loss[i]->value, e, 8 * EPS * (1 + fabs(e)));
        }
        nn_net_destroy(net);
    }
}

/* One column takes labels 0 and 1 as well as targets. */
static void test_binary_labels(void)
{
    static const nn_real z[] = {(nn_real)-1.5, (nn_real)0.5, 2, (nn_real)-0.25};
    static const int labels[] = {0, 1, 0, 1};
    double e = 0;
    for (size_t i = 0; i < 4; i++) e += log1p(exp(labels[i] ? -(double)z[i] : (double)z[i])) / 4;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 1), *loss = nn_sigmoid_cross_entropy(x);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, z, 4));
    CHECK_OK(nn_feed_labels(loss, labels, 4));
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, e, 8 * EPS);
    check_gradients(loss, SMOOTH);
    nn_net_destroy(net);
}

/* Feeds one row, runs both ways, compares the loss and every gradient. */
static void check_limit(unary_op make, size_t n, const nn_real *z, const nn_real *targets,
                        int label, double loss_value, const double *gradient)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, n), *loss = make(x);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, z, 1));
    if (targets) CHECK_OK(nn_feed_targets(loss, targets, 1));
    else CHECK_OK(nn_feed_labels(loss, &label, 1));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_NEAR(loss->value, loss_value, EPS * (1 + loss_value));
    for (size_t i = 0; i < n; i++) CHECK_NEAR(x->grad[i], gradient[i], EPS);
    nn_net_destroy(net);
}

static void test_extreme_logits(void)
{
    static const nn_real z[] = {10000, -10000}, one[] = {1, 0}, half[] = {(nn_real).5, (nn_real).5};
    static const double none[] = {0, 0}, wrong[] = {1, -1}, even[] = {.5, -.5};
    static const double binary_wrong[] = {.5, -.5};
    static const nn_real other[] = {0, 1};
    check_limit(nn_softmax_cross_entropy, 2, z, NULL, 0, 0, none);
    check_limit(nn_softmax_cross_entropy, 2, z, NULL, 1, 20000, wrong);
    check_limit(nn_softmax_cross_entropy, 2, z, half, 0, 10000, even);
    check_limit(nn_sigmoid_cross_entropy, 2, z, one, 0, 0, none);
    check_limit(nn_sigmoid_cross_entropy, 2, z, other, 0, 10000, binary_wrong);
    check_limit(nn_hinge, 2, z, NULL, 0, 0, none);
    check_limit(nn_hinge, 2, z, NULL, 1, 20001, wrong);
    check_limit(huber_of_1, 2, z, other, 0, (9999.5 + 10000.5) / 2, even);
}

/* ---------------------------------------------------------------------------------- the penalty */

static nn_tensor *penalized(nn_net *net, double l1, double l2)
{
    nn_tensor *x = nn_input(net, 3), *y = nn_dense(nn_tanh(nn_dense(x, 4)), 2);
    return nn_weight_penalty(nn_mse(y), l1, l2);
}

static void run_penalized(nn_tensor *loss)
{
    static const nn_real targets[] = {1, 0, 2, (nn_real)-0.5};
    set_leaves(loss->net, 2);
    CHECK_OK(nn_feed_targets(loss->src[0], targets, 2));
    CHECK_OK(nn_forward(loss));
}

static void test_penalty_value(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = penalized(net, 0.25, 0.5);
    nn_tensor *later = nn_dense(nn_input(net, 2), 2);
    CHECK_OK(nn_net_status(net));
    run_penalized(loss);
    double sum = loss->src[0]->value;
    const nn_tensor *t;
    for (size_t p = 0; (t = nn_net_parameter(net, p)) != NULL; p++) {
        if (t->no_decay || t == nn_weight(later)) continue;
        CHECK_INT(t->rank, 2);
        for (size_t i = 0; i < t->size; i++)
            sum += 0.25 * fabs((double)t->data[i]) + 0.5 * (double)t->data[i] * (double)t->data[i];
    }
    CHECK_NEAR(loss->value, sum, 8 * EPS * (1 + sum));
    CHECK_NEAR(loss->data[0], sum, 8 * EPS * (1 + sum));
    nn_net_destroy(net);
}

static void check_penalty_gradient(nn_tensor *loss, nn_tensor *w, double l1, double l2)
{
    nn_real plain[16];
    CHECK_OK(nn_forward(loss->src[0]));
    CHECK_OK(nn_backward(loss->src[0]));
    memcpy(plain, w->grad, w->size * sizeof *plain);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    for (size_t i = 0; i < w->size; i++) {
        double v = (double)w->data[i];
        double term = w->no_decay ? 0 : (v < 0 ? -l1 : l1) + 2 * l2 * v;
        CHECK_NEAR(w->grad[i], (double)plain[i] + term, 4 * EPS);
    }
}

/* d penalty / dw = l1 sign(w) + 2 l2 w, on top of the gradient without a penalty. */
static void test_penalty_gradient(void)
{
    static const double l1[] = {0, 0.25, 0, 0.125}, l2[] = {0, 0, 0.5, 2};
    for (size_t k = 0; k < COUNT(l1); k++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = penalized(net, l1[k], l2[k]);
        CHECK_OK(nn_net_status(net));
        run_penalized(loss);
        check_gradients(loss, SMOOTH);
        nn_tensor *w;
        for (size_t p = 0; (w = nn_net_parameter(net, p)) != NULL; p++)
            check_penalty_gradient(loss, w, l1[k], l2[k]);
        nn_net_destroy(net);
    }
}

/* A parameter's no_decay is looked at when the penalty runs, a bias's default set by its desc. */
static void test_penalty_selection(void)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = 2;
    desc.decay_bias = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *y = nn_dense_with(nn_input(net, 2), &desc);
    nn_tensor *loss = nn_weight_penalty(nn_mse(y), 0, 1);
    static const nn_real zero[] = {0, 0};
    CHECK(!nn_bias(y)->no_decay && !nn_weight(y)->no_decay);
    for (size_t i = 0; i < 4; i++) nn_weight(y)->data[i] = 1;
    nn_bias(y)->data[0] = nn_bias(y)->data[1] = 2;
    CHECK_OK(nn_feed(nn_net_tensor(net, 0), zero, 1));
    CHECK_OK(nn_feed_targets(loss->src[0], zero, 1));
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, 4 + 4 + 8, 0); /* mse, weights, biases */
    nn_weight(y)->no_decay = 1;
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, 4 + 8, 0);
    nn_net_destroy(net);
}

int main(void)
{
    RUN(test_matmul_values);
    RUN(test_elementwise_values);
    RUN(test_shape_values);
    RUN(test_batched_shapes);
    RUN(test_dense_values);
    RUN(test_activation_values);
    RUN(test_activation_names);
    RUN(test_softmax_values);
    RUN(test_unary_gradients);
    RUN(test_difference_with_itself);
    RUN(test_activation_gradients);
    RUN(test_binary_gradients);
    RUN(test_broadcast_of_computed_operand);
    RUN(test_matmul_gradients);
    RUN(test_matmul_with_itself);
    RUN(test_matmul_adds_its_gradients);
    RUN(test_dense_gradients);
    RUN(test_concat_gradients);
    RUN(test_concat_of_the_same);
    RUN(test_slice_gradients);
    RUN(test_reshape_gradients);
    RUN(test_two_consumers);
    RUN(test_deep_chain);
    RUN(test_losses);
    RUN(test_loss_defaults);
    RUN(test_binary_labels);
    RUN(test_extreme_logits);
    RUN(test_penalty_value);
    RUN(test_penalty_gradient);
    RUN(test_penalty_selection);
    return test_done("test_ops");
}
