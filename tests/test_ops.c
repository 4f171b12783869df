/* Operations and losses: small values by hand, PyTorch's values, closed forms, and every op, shape
   and flag against central differences. A new operation takes one row of OPERATIONS. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define EPS 1e-13
#else
#define EPS 1e-6
#endif

#define MAX_VALUES 4096

/* How gradients are checked: without these none may be zero everywhere and no kink may be near.
   Steps are small where several kinks could hide each other, or a slope changes fast. */
enum {
    MAY_VANISH = 1,
    KINKS = 2,
    POSITIVE = 4,  /* all leaves lie in [1, 2] */
    LAST_AXIS = 8  /* the operation takes no other axis */
};

typedef struct dims {
    int rank;
    size_t n[NN_MAX_RANK];
} dims;

typedef nn_tensor *(*unary_op)(nn_tensor *x);

static char case_name[240];

/* ---------------------------------------------------------------------------------------- tools */

/* One more operand in the name of the present case: "[2 3] x 5 rows". */
static void name_operand(const dims *d, size_t rows)
{
    size_t at = strlen(case_name);
    at += (size_t)snprintf(case_name + at, sizeof case_name - at, " [");
    for (int i = 0; i < d->rank && at < sizeof case_name; i++)
        at += (size_t)snprintf(case_name + at, sizeof case_name - at, i ? " %u" : "%u",
                               (unsigned)d->n[i]);
    if (at < sizeof case_name)
        snprintf(case_name + at, sizeof case_name - at, "] x %u rows", (unsigned)rows);
}

static void name_case(const char *what, const dims *d, size_t rows)
{
    snprintf(case_name, sizeof case_name, "%s", what);
    name_operand(d, rows);
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

static void set_leaves(nn_net *net, size_t rows, int flags)
{
    static nn_real values[MAX_VALUES];
    nn_tensor *t;
    for (size_t id = 0; (t = nn_net_tensor(net, id)) != NULL; id++) {
        const int is_parameter = is_a(t, "parameter");
        if (!is_parameter && !is_own_input(t)) continue;
        const size_t n = is_parameter ? t->size : rows * t->row_size;
        CHECK(n <= MAX_VALUES);
        fill(values, n, id);
        for (size_t i = 0; flags & POSITIVE && i < n; i++)
            values[i] = (nn_real)(fabs((double)values[i]) + 0.9);
        if (is_parameter) CHECK_OK(nn_set_values(t, values, n));
        else CHECK_OK(nn_feed(t, values, rows));
        t->requires_grad = 1;
    }
}

static size_t leaf_values(const nn_net *net)
{
    size_t n = 0;
    const nn_tensor *t;
    for (size_t id = 0; (t = nn_net_tensor(net, id)) != NULL; id++)
        if (is_a(t, "parameter") || (is_a(t, "input") && t->requires_grad)) n += t->size;
    return n;
}

/* A smooth scalar whose gradient differs at every element: sum c_i y_i + y_i^2 / 4 - center, where
   c_i = sin(1 + 0.7 i). The center is the sum before anything is moved, so that differences do not
   drown in the rounding of a large sum. */
static double probe_center[64];

static double probe_factor(size_t i)
{
    static double factor[MAX_VALUES];
    if (factor[0] == 0)
        for (size_t j = 0; j < MAX_VALUES; j++) factor[j] = sin(1 + 0.7 * (double)j);
    return factor[i];
}

static nn_status probe_forward(nn_tensor *t)
{
    const nn_tensor *y = t->src[0];
    double sum = 0;
    for (size_t i = 0; i < y->size; i++) {
        double v = (double)y->data[i];
        sum += probe_factor(i) * v + 0.25 * v * v;
    }
    t->data[0] = (nn_real)(sum - probe_center[t->id]);
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
    static const nn_op op = {"probe", probe_forward, probe_backward, NULL, NULL, 0, NULL};
    nn_tensor *t = nn_custom(1, &y, 0, 0, NULL, &op, NULL);
    CHECK(!t || t->id < COUNT(probe_center));
    return t;
}

static void center_probes(nn_tensor *loss)
{
    memset(probe_center, 0, sizeof probe_center);
    CHECK_OK(nn_forward(loss));
    for (size_t id = 0; id <= loss->id; id++)
        if (is_a(nn_net_tensor(loss->net, id), "probe"))
            probe_center[id] = (double)nn_net_tensor(loss->net, id)->data[0];
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
    if (flags & (KINKS | POSITIVE) && sizeof(nn_real) == sizeof(float)) desc.h = 2e-3;
    center_probes(loss);
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.checked, leaf_values(loss->net));
    CHECK_INT(report.wrong, 0);
    if (!(flags & KINKS)) CHECK_INT(report.kinks, 0);
}

/* A parameter for 0 rows, else an input. */
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
        set_leaves(net, rows, flags);
        check_gradients(loss, flags);
    }
    nn_net_destroy(net);
}

static void verify(nn_net *net, nn_tensor *y, size_t rows, int flags)
{
    verify_loss(net, probe(y), rows, flags);
}

/* What element i of t must be, from the values of its sources. */
typedef double (*value_at)(const nn_tensor *t, size_t i, const void *context);

/* Values and gradients, then destroys the network. */
static void verify_values(nn_net *net, nn_tensor *t, size_t rows, int flags, value_at expected,
                          const void *context)
{
    nn_tensor *loss = probe(t);
    CHECK_OK(nn_net_status(net));
    if (loss) {
        set_leaves(net, rows, flags);
        CHECK_OK(nn_forward(t));
        for (size_t i = 0; i < t->size; i++) {
            double e = expected(t, i, context);
            CHECK_NEAR(t->data[i], e, 8 * EPS * (1 + fabs(e)));
        }
        check_gradients(loss, flags);
    }
    nn_net_destroy(net);
}

/* Where element i lies along each dimension, the batch among them; and back. */
static void coordinates(const nn_tensor *t, size_t i, size_t at[NN_MAX_RANK])
{
    for (int d = t->rank - 1; d >= 0; d--) at[d] = i % t->shape[d], i /= t->shape[d];
}

static size_t index_of(const nn_tensor *t, const size_t at[NN_MAX_RANK])
{
    size_t i = 0;
    for (int d = 0; d < t->rank; d++) i = i * t->shape[d] + at[d];
    return i;
}

/* A parameter that holds the given values. */
static nn_tensor *given_shape(nn_net *net, const dims *d, const double *values)
{
    nn_tensor *t = nn_parameter(net, d->rank, d->n, nn_init_scaled(NN_INIT_ZERO), NULL);
    if (t)
        for (size_t i = 0; i < t->size; i++) t->data[i] = (nn_real)values[i];
    return t;
}

static nn_tensor *given(nn_net *net, int rank, size_t d0, size_t d1, const double *values)
{
    dims d = {0, {0}};
    d.rank = rank, d.n[0] = d0, d.n[1] = d1;
    return given_shape(net, &d, values);
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

/* Compares n values with numbers that are rounded to nn_real on the way; gives what follows. */
static const double *check_numbers(size_t n, const nn_real *x, const double *expected)
{
    CHECK(x != NULL);
    for (size_t i = 0; x && i < n; i++)
        CHECK_NEAR(x[i], expected[i], 8 * EPS * (1 + fabs(expected[i])));
    return expected + n;
}

/* The builder refused: its network says why, beginning with the public function's name. Destroys
   the network. */
static void check_refusal(nn_net *net, const nn_tensor *t, nn_status status, const char *call,
                          const char *part1, const char *part2)
{
    CHECK(t == NULL);
    CHECK_ERROR(nn_net_status(net), status, part1, part2);
    if (FAILS(strncmp(nn_last_error(), call, strlen(call)) == 0))
        printf("\"%s\" does not begin with %s\n", nn_last_error(), call);
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------------- values by hand */

/* The same number, an infinity or NaN among them. */
static void check_exact(nn_real got, double expected)
{
    const nn_real e = (nn_real)expected;
    const int same = is_nan(e) ? is_nan(got) : got == e || bits_of(got) == bits_of(e);
    if (FAILS(same)) printf("%.9g, expected %.9g\n", (double)got, expected);
}

static nn_tensor *power_0(nn_tensor *x) { return nn_pow(x, 0); }
static nn_tensor *power_1(nn_tensor *x) { return nn_pow(x, 1); }
static nn_tensor *power_2(nn_tensor *x) { return nn_pow(x, 2); }
static nn_tensor *power_odd(nn_tensor *x) { return nn_pow(x, 1025); }
static nn_tensor *power_half(nn_tensor *x) { return nn_pow(x, 0.5); }
static nn_tensor *power_minus_1(nn_tensor *x) { return nn_pow(x, -1); }

/* Values and slopes at 0, where there is none, and at the ends of what a real holds. */
static void test_limits(void)
{
    static const struct {
        unary_op op;
        double x[4], y[4], slope[4];
    } rows[] = {
        {nn_exp, {0, 1e4, -1e4, 0}, {1, HUGE_VAL, 0, 1}, {1, HUGE_VAL, 0, 1}},
        {nn_log, {1, 0, -1, 1}, {0, -HUGE_VAL, NAN, 0}, {1, HUGE_VAL, -1, 1}},
        {nn_sqrt, {4, 0, -1, 0.25}, {2, 0, NAN, 0.5}, {0.25, HUGE_VAL, NAN, 1}},
        {nn_abs, {0, -2, 3, -0.0}, {0, 2, 3, 0}, {0, -1, 1, 0}},
        {power_0, {0, -2, 3, 1e4}, {1, 1, 1, 1}, {0, 0, 0, 0}},
        {power_1, {0, -2, 3, 1e4}, {0, -2, 3, 1e4}, {1, 1, 1, 1}},
        {power_2, {0, -2, 3, 1e4}, {0, 4, 9, 1e8}, {0, -4, 6, 2e4}},
        {power_odd, {1, -1, 0, -1}, {1, -1, 0, -1}, {1025, 1025, 0, 1025}},
        {power_half, {1, 0, -1, 1}, {1, 0, NAN, 1}, {0.5, HUGE_VAL, NAN, 0.5}},
        {power_minus_1, {1, 0, -2, 4}, {1, HUGE_VAL, -0.5, 0.25}, {-1, -HUGE_VAL, -0.25, -0.0625}}};
    for (size_t k = 0; k < COUNT(rows); k++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = given(net, 1, 4, 0, rows[k].x), *y = rows[k].op(x), *sum = nn_sum(y);
        CHECK_OK(nn_forward(sum));
        CHECK_OK(nn_backward(sum));
        for (size_t i = 0; i < 4; i++) {
            snprintf(case_name, sizeof case_name, "%s, row %d of %g", y->op->name, (int)k,
                     rows[k].x[i]);
            test_current = case_name;
            check_exact(y->data[i], rows[k].y[i]);
            check_exact(x->grad[i], rows[k].slope[i]);
        }
        nn_net_destroy(net);
    }
}

/* Subnormal numbers have logarithms like all others, unless -Ofast has the CPU take them for 0. */
static void test_log_of_small_numbers(void)
{
    const int is_float = sizeof(nn_real) == sizeof(float), lowest = is_float ? -149 : -1074;
    volatile nn_real least = (nn_real)ldexp(1, lowest);
    for (int power = least > 0 ? 0 : is_float ? 23 : 52; power < 60; power++) {
        const double x = ldexp(1, lowest + power), y = log(x);
        nn_net *net = nn_net_create(NULL);
        nn_tensor *t = nn_log(given(net, 0, 0, 0, &x));
        CHECK_OK(nn_forward(t));
        CHECK_NEAR(t->data[0], y, EPS * fabs(y));
        nn_net_destroy(net);
    }
}

/* At a tie both get half; NaN on either side is what comes out. */
static void test_ties_of_two(void)
{
    static const double a[] = {1, 2, 3, NAN, 1, HUGE_VAL}, b[] = {1, 3, 2, 1, NAN, -HUGE_VAL};
    static const double most[] = {1, 3, 3, NAN, NAN, HUGE_VAL};
    static const double least[] = {1, 2, 2, NAN, NAN, -HUGE_VAL};
    static const double slope[] = {0.5, 0, 1}, other[] = {0.5, 1, 0};
    for (int is_max = 0; is_max < 2; is_max++) {
        nn_net *net = nn_net_create(NULL);
        test_current = is_max ? "maximum" : "minimum";
        nn_tensor *x = given(net, 1, 6, 0, a), *y = given(net, 1, 6, 0, b);
        nn_tensor *t = is_max ? nn_maximum(x, y) : nn_minimum(x, y), *sum = nn_sum(t);
        CHECK_OK(nn_forward(sum));
        CHECK_OK(nn_backward(sum));
        for (size_t i = 0; i < 6; i++) check_exact(t->data[i], is_max ? most[i] : least[i]);
        for (size_t i = 0; i < 3; i++) {
            check_exact(x->grad[i], is_max ? slope[i] : other[i]);
            check_exact(y->grad[i], is_max ? other[i] : slope[i]);
        }
        nn_net_destroy(net);
    }
}

/* The first of equal elements gets all of the gradient. NaN counts as smallest. */
static void test_ties_of_a_line(void)
{
    static const double x[] = {2, 5, 5, 5, NAN, 1, NAN, 3, NAN, NAN, -HUGE_VAL, NAN};
    static const double max[] = {5, 3, -HUGE_VAL};
    static const double slope[] = {0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = given(net, 2, 3, 4, x), *t = nn_max_axis(in, 1, 0), *sum = nn_sum(t);
    CHECK_OK(nn_forward(sum));
    CHECK_OK(nn_backward(sum));
    for (size_t i = 0; i < 3; i++) check_exact(t->data[i], max[i]);
    for (size_t i = 0; i < 12; i++) check_exact(in->grad[i], slope[i]);
    nn_net_destroy(net);
}

/* Scalars are kept in double, whatever nn_real is. */
static void test_scalars_in_double(void)
{
    static const double one[] = {1}, numbers[] = {1, 0.5, 0.25};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *small = nn_scale(given(net, 0, 0, 0, one), 1e-12);
    nn_tensor *sum = nn_sum(given(net, 1, 3, 0, numbers));
    CHECK_OK(nn_forward(nn_add(sum, small)));
    CHECK_NEAR(nn_net_tensor(net, nn_net_tensor_count(net) - 1)->value, 1.75 + 1e-12, 1e-15);
    CHECK_OK(nn_forward(nn_div(sum, nn_sub(sum, small))));
    CHECK_NEAR(nn_net_tensor(net, nn_net_tensor_count(net) - 1)->value, 1 + 1e-12 / 1.75, 1e-15);
    nn_net_destroy(net);
}

static double default_alpha(nn_activation kind)
{
    return kind == NN_ACTIVATION_LEAKY_RELU ? 0.01 : 1;
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

/* ---------------------------------------------------------------------------------- the op table
   X(name, kind, flags, call, closed form, numbers...). `call` makes the operation of a, b, axis and
   keep. The closed form is an element's value in double: of x and y, the elements of a and b that
   belong to it, or for element i of line[n], the values along the axis. The numbers are PyTorch
   2.15's in double: of

       y = call; (sin(1 + 0.7 * arange(y.numel())) * y.flatten() + y.flatten() ** 2 / 4).sum()
       .backward()

   those of y, a.grad and, where there is one, b.grad. The call is torch's of the same name, but for
   a * -1.75, torch.pow(a, exponent), 1.7159 * torch.tanh(2 * a / 3), those of torch.nn.functional
   (leaky_relu(a, 0.25), elu(a, 0.5), gelu, silu, softplus, dropout in evaluation) and
   a.max(1).values. For a and b see torch_operand. */

enum { UNARY, BINARY, WHOLE, REDUCE, SOFT };

static double sum_of(const double *line, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += line[i];
    return sum;
}

static double max_of(const double *line, size_t n)
{
    double max = line[0];
    for (size_t i = 1; i < n; i++) max = fmax(max, line[i]);
    return max;
}

static double softmax_of(const double *line, size_t n, size_t i)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++) sum += exp(line[j] - line[i]);
    return 1 / sum;
}

#define OPERATIONS(X) \
    X(add, BINARY, 0, nn_add(a, b), x + y,                                                         \
      1.5, 2, -1, -1.5, -1, -4, 3.758598975811516, -4.797807346174524, 0.8830516472411875,         \
      0.8798069195097498, -2.802066937113946)                                                      \
    X(sub, BINARY, 0, nn_sub(a, b), x - y,                                                         \
      0.5, 0, 3, -2.5, -3, 0, 4.258598975811516, -4.297807346174525, 0.11694835275881266,          \
      1.1201930804902502, -1.197933062886054)                                                      \
    X(mul, BINARY, 0, nn_mul(a, b), x * y,                                                         \
      0.5, 1, -2, -1, -2, 4, 2.686473941754115, -3.8860073243958793, 2.0083096599413146,           \
      4.715380592337906, -2.369476584118655)                                                       \
    X(div, BINARY, POSITIVE, nn_div(a, b), x / y,                                                  \
      2, 1, -0.5, -4, -2, 1, 4.961875189792686, -5.289931507243589, -23.03323863976526,            \
      -4.715380592337906, -0.34513085397033627)                                                    \
    X(maximum, BINARY, MAY_VANISH | KINKS, nn_maximum(a, b), fmax(x, y),                           \
      1, 1, 1, 0.5, 1, -2, 3.2627665705852817, -0.9887650588325485, 0.29158066243329095,           \
      0.6339745142835154, -0.9887650588325485)                                                     \
    X(minimum, BINARY, MAY_VANISH | KINKS, nn_minimum(a, b), fmin(x, y),                           \
      0.5, 1, -2, -2, -2, -2, 0.7458324052262343, -3.5590422873419763, 1.0914709848078965,         \
      0.7458324052262343, -1.3133018782813974)                                                     \
    X(scale, UNARY, 0, nn_scale(a, -1.75), -1.75 * x,                                              \
      2.625, 0.875, -0.4375, -1.75, -5.25, -3.7694492234138193, -2.50103841829182,                 \
      -0.7992480659645141, 1.4584838407417409, 5.664501309149758)                                  \
    X(exp, UNARY, 0, nn_exp(a), exp(x),                                                            \
      0.22313016014842982, 0.6065306597126334, 1.2840254166877414, 2.718281828459045,              \
      20.085536923187668, 0.21265108978437489, 0.7854148322832606, 1.6916725272144826,             \
      3.807556008573029, 189.42490248609386)                                                       \
    X(log, UNARY, POSITIVE, nn_log(a), log(x),                                                     \
      0.4054651081081644, -0.6931471805599453, -1.3862943611198906, 0, 1.0986122886681098,         \
      0.6961356925746524, 1.2901824403449917, -0.07073600003517733, 0.041580662433290935,          \
      -0.020850582202888008)                                                                       \
    X(sqrt, UNARY, POSITIVE, nn_sqrt(a), sqrt(x),                                                  \
      1.224744871391589, 0.7071067811865476, 0.5, 1, 1.7320508075688772, 0.5935290910227671,       \
      0.9512129121350127, 0.925463180551151, 0.2707903312166455, 0.07337184097921226)              \
    X(abs, UNARY, 0, nn_abs(a), fabs(x),                                                           \
      1.5, 0.5, 0.25, 1, 3, -1.5914709848078965, -1.2416648104524686, 0.800463180551151,           \
      0.541580662433291, 0.8881421090572811)                                                       \
    X(pow_0, UNARY, MAY_VANISH, nn_pow(a, 0), 0 * x + 1,                                           \
      1, 1, 1, 1, 1, 0, 0, 0, 0, 0)                                                                \
    X(pow_3, UNARY, 0, nn_pow(a, 3), x * x * x,                                                    \
      -3.375, -0.125, 0.015625, 1, 27, -5.710695852546698, 0.6968736078393514, 0.1281141901033408, \
      1.6247419872998727, 347.9798369445466)                                                       \
    X(pow_minus_2, UNARY, POSITIVE, nn_pow(a, -2), 1 / (x * x),                                    \
      0.4444444444444444, 4, 16, 1, 0.1111111111111111, -0.6303367152771073, -47.8666369672395,    \
      -1110.4592871105474, -1.083161324866582, 0.041207580399049135)                               \
    X(clamp, UNARY, KINKS, nn_clamp(a, -1, 2), fmax(fmin(x, 2), -1),                               \
      -1, -0.5, 0.25, 1, 2, 0, 0.7416648104524686, 0.800463180551151, 0.541580662433291, 0)        \
    X(pow_1_5, UNARY, POSITIVE, nn_pow(a, 1.5), x * sqrt(x),                                       \
      1.8371173070873836, 0.3535533905932738, 0.125, 1, 5.196152422706632, 3.233380909602451,      \
      1.2393193682025194, 0.5534723854133632, 0.8123709936499364, 5.160346568812911)               \
    X(identity, UNARY, 0, nn_activate(a, NN_ACTIVATION_IDENTITY, 0), x,                            \
      -1.5, -0.5, 0.25, 1, 3, 0.0914709848078965, 0.7416648104524686, 0.800463180551151,           \
      0.541580662433291, 0.8881421090572811)                                                       \
    X(sigmoid, UNARY, 0, nn_sigmoid(a), 1 / (1 + exp(-x)),                                         \
      0.18242552380635635, 0.3775406687981454, 0.5621765008857981, 0.7310585786300049,             \
      0.9525741268224334, 0.13910647172562177, 0.2774066410533391, 0.2354399090590576,             \
      0.08004267465507836, -0.006124637144828833)                                                  \
    X(tanh, UNARY, 0, nn_tanh(a), tanh(x),                                                         \
      -0.9051482536448664, -0.46211715726000974, 0.24491866240370913, 0.7615941559557649,          \
      0.9950547536867305, 0.07027624409452057, 0.5981770466965332, 0.7500590092447069,             \
      0.17738781344160257, -0.0011279891012481043)                                                 \
    X(scaled_tanh, UNARY, 0, nn_scaled_tanh(a), 1.7159 * tanh(2 * x / 3),                          \
      -1.306819412204497, -0.5516837063305313, 0.2833644345373715, 0.9999972559224789,             \
      1.6541749246520943, 0.09034889759926207, 0.7342084697170908, 0.9092676898815033,             \
      0.4091157309912507, 0.017394818140056063)                                                    \
    X(relu, UNARY, 0, nn_relu(a), fmax(x, 0),                                                      \
      0, 0, 0.25, 1, 3, 0, 0, 0.800463180551151, 0.541580662433291, 0.8881421090572811)            \
    X(leaky_relu, UNARY, 0, nn_leaky_relu(a, 0.25), x > 0 ? x : 0.25 * x,                          \
      -0.375, -0.125, 0.25, 1, 3, 0.16349274620197413, 0.23229120261311714, 0.800463180551151,     \
      0.541580662433291, 0.8881421090572811)                                                       \
    X(elu, UNARY, 0, nn_elu(a, 0.5), x > 0 ? x : 0.5 * expm1(x),                                   \
      -0.3884349199257851, -0.1967346701436833, 0.25, 1, 3, 0.07221089132765071,                   \
      0.27090615353112074, 0.800463180551151, 0.541580662433291, 0.8881421090572811)               \
    X(gelu, UNARY, 0, nn_gelu(a), x * erfc(-x / sqrt(2.0)) / 2,                                    \
      -0.10021080190328704, -0.15426876936299344, 0.14967658142073093, 0.841344746068543,          \
      2.99595030590511, -0.10087473173276275, 0.12117974006492892, 0.5217396512452487,             \
      0.5007658646481289, 0.8967025062033429)                                                      \
    X(silu, UNARY, 0, nn_silu(a), x / (1 + exp(-x)),                                               \
      -0.2736382857095345, -0.1887703343990727, 0.14054412522144952, 0.7310585786300049,           \
      2.8577223804672998, -0.029098001888787806, 0.23332753308899262, 0.4651225445981501,          \
      0.37766389732631567, 0.8889846445864021)                                                     \
    X(softplus, UNARY, 0, nn_softplus(a), log1p(exp(x)),                                           \
      0.2014132779827524, 0.4740769841801067, 0.8259394198788436, 1.3132616875182228,              \
      3.048587351573742, 0.17187724654021047, 0.46388546659639374, 0.6118913938250052,             \
      0.5104335113001325, 0.8691627210294598)                                                      \
    X(dropout, UNARY, MAY_VANISH, nn_dropout(a, 0.4), x,                                           \
      -1.5, -0.5, 0.25, 1, 3, 0.0914709848078965, 0.7416648104524686, 0.800463180551151,           \
      0.541580662433291, 0.8881421090572811)                                                       \
    X(no_dropout, UNARY, 0, nn_dropout(a, 0), x,                                                   \
      -1.5, -0.5, 0.25, 1, 3, 0.0914709848078965, 0.7416648104524686, 0.800463180551151,           \
      0.541580662433291, 0.8881421090572811)                                                       \
    X(softmax, SOFT, MAY_VANISH | LAST_AXIS, nn_softmax(a), softmax_of(line, n, i),                \
      0.8175744761936437, 0.18242552380635632, 0.7310585786300049, 0.26894142136999516,            \
      0.14804719803168948, 0.8519528019683106, 0.06008665017400762, 0.9399133498259924,            \
      0.02496423017461834, -0.024964230174618213, 0.17005774117160535, -0.17005774117160533,       \
      0.0017304204142371562, -0.0017304204142371328, -0.053623705246461144, 0.053623705246461144)  \
    X(softmax_axis, SOFT, MAY_VANISH, nn_softmax_axis(a, axis), softmax_of(line, n, i),            \
      0.18242552380635632, 0.11920292202211755, 0.8175744761936437, 0.8807970779778823,            \
      0.8519528019683106, 0.679178699175393, 0.1480471980316895, 0.32082130082460697,              \
      -0.022605631371496404, 0.05977149060749272, 0.022605631371496487, -0.05977149060749268,      \
      0.07864782371911541, -0.09249092380067717, -0.0786478237191154, 0.09249092380067712)         \
    X(log_softmax, SOFT, MAY_VANISH | LAST_AXIS, nn_log_softmax(a), log(softmax_of(line, n, i)),   \
      -0.20141327798275246, -1.7014132779827524, -0.31326168751822286, -1.3132616875182228,        \
      -1.9102241504380872, -0.16022415043808716, -2.8119675890031988, -0.061967589003198625,       \
      0.019890520605135218, -0.019890520605135194, 0.5891732174557482, -0.5891732174557482,        \
      -1.1784034900951135, 1.1784034900951137, -2.127547054179196, 2.1275470541791965)             \
    X(log_softmax_axis, SOFT, MAY_VANISH, nn_log_softmax_axis(a, axis),                            \
      log(softmax_of(line, n, i)),                                                                 \
      -1.7014132779827524, -2.1269280110429727, -0.20141327798275246, -0.1269280110429726,         \
      -0.16022415043808716, -0.3868710061149, -1.9102241504380872, -1.1368710061148999,            \
      -0.11240109828653579, -0.060631962778229444, 0.11240109828653579, 0.06063196277822943,       \
      1.463927863417034, 0.2643276387420026, -1.463927863417034, -0.2643276387420027)              \
    X(sum, WHOLE, 0, nn_sum(a), sum_of(line, n),                                                   \
      2.5, 2.0914709848078967, 2.0914709848078967, 2.0914709848078967, 2.0914709848078967,         \
      2.0914709848078967, 2.0914709848078967, 2.0914709848078967, 2.0914709848078967)              \
    X(mean, WHOLE, 0, nn_mean(a), sum_of(line, n) / (double)n,                                     \
      0.3125, 0.12471512310098706, 0.12471512310098706, 0.12471512310098706, 0.12471512310098706,  \
      0.12471512310098706, 0.12471512310098706, 0.12471512310098706, 0.12471512310098706)          \
    X(max, WHOLE, KINKS, nn_max(a), max_of(line, n),                                               \
      2, 0, 0, 1.8414709848078965, 0, 0, 0, 0, 0)                                                  \
    X(sum_axis, REDUCE, 0, nn_sum_axis(a, axis, keep), sum_of(line, n),                            \
      2.5, 0, -2.25, 2.25, 2.0914709848078967, 0.9916648104524686, 2.0914709848078967,             \
      0.9916648104524686, -0.44953681944884905, 1.1665806624332908, -0.44953681944884905,          \
      1.1665806624332908)                                                                          \
    X(mean_axis, REDUCE, 0, nn_mean_axis(a, axis, keep), sum_of(line, n) / (double)n,              \
      1.25, 0, -1.125, 1.125, 0.7332354924039483, 0.4958324052262343, 0.7332354924039483,          \
      0.4958324052262343, 0.05648159027557548, 0.3020403312166455, 0.05648159027557548,            \
      0.3020403312166455)                                                                          \
    X(max_axis, REDUCE, KINKS, nn_max_axis(a, axis, keep), max_of(line, n),                        \
      2, 1, -0.25, 1.5, 0, 0, 1.8414709848078965, 1.4916648104524686, 0.550463180551151,           \
      0.791580662433291, 0, 0)

typedef struct operation {
    const char *name, *call;
    int kind, flags;
    nn_tensor *(*build)(nn_tensor *a, nn_tensor *b, int axis, int keep);
    double (*expected)(double x, double y, const double *line, size_t n, size_t i);
    double torch[24];
} operation;

#define FUNCTIONS(name, kind, flags, call, closed_form, ...)                                       \
    static nn_tensor *build_##name(nn_tensor *a, nn_tensor *b, int axis, int keep)                 \
    {                                                                                              \
        (void)a, (void)b, (void)axis, (void)keep;                                                  \
        return call;                                                                               \
    }                                                                                              \
    static double expected_##name(double x, double y, const double *line, size_t n, size_t i)      \
    {                                                                                              \
        (void)x, (void)y, (void)line, (void)n, (void)i;                                            \
        return closed_form;                                                                        \
    }
OPERATIONS(FUNCTIONS)

#define ROW(name, kind, flags, call, closed_form, ...)                                             \
    {#name, #call, kind, flags, build_##name, expected_##name, {__VA_ARGS__}},
static const operation operations[] = {OPERATIONS(ROW)};

/* -- PyTorch's values -- */

static nn_tensor *torch_operand(nn_net *net, const operation *op, int is_b)
{
    static const double line[] = {-1.5, -0.5, 0.25, 1, 3}, positive[] = {1.5, 0.5, 0.25, 1, 3};
    static const double column[] = {1, -2}, row[] = {0.5, 1, -2};
    static const double block[] = {0.5, -1, 2, 1, -0.25, 1.5, -2, 0.75};
    static const dims block_dims = {3, {2, 2, 2}};
    if (op->kind == UNARY) return given(net, 1, 5, 0, op->flags & POSITIVE ? positive : line);
    if (op->kind != BINARY) return given_shape(net, &block_dims, block);
    return is_b ? given(net, 1, 3, 0, row) : given(net, 2, 2, 1, column);
}

/* Reductions and softmax run along axis 1 of three, or what they are fixed to. */
static void test_torch_values(void)
{
    for (size_t k = 0; k < COUNT(operations); k++) {
        const operation *op = &operations[k];
        nn_net *net = nn_net_create(NULL);
        test_current = op->name;
        nn_net_set_training(net, 0);
        nn_tensor *a = torch_operand(net, op, 0), *b = torch_operand(net, op, 1);
        nn_tensor *y = op->build(a, b, 1, 0), *loss = probe(y);
        CHECK_OK(nn_net_status(net));
        if (loss) {
            CHECK_OK(nn_forward(loss));
            CHECK_OK(nn_backward(loss));
            const double *next = check_numbers(y->size, y->data, op->torch);
            next = check_numbers(a->size, a->grad, next);
            if (op->kind == BINARY) check_numbers(b->size, b->grad, next);
        }
        nn_net_destroy(net);
    }
}

/* -- closed forms and gradients -- */

typedef struct operation_case {
    const operation *op;
    int axis, keep; /* the axis as an index of the source's shape */
} operation_case;

/* The element of x that meets element i of a result whose last dimensions, without the batch, are
   shape[rank]: x's own are aligned at their ends, and repeated where they are 1 or missing. `inner`
   dimensions at x's end are left out of account. */
static size_t source_index(size_t i, int rank, const size_t *shape, const nn_tensor *x, int inner)
{
    const int own = x->rank - x->batched - inner;
    size_t at = 0, step = 1;
    for (int d = 1; d <= rank; d++) {
        const size_t size = d <= own ? x->shape[x->batched + own - d] : 1;
        if (size > 1) at += i % shape[rank - d] * step;
        i /= shape[rank - d];
        step *= size;
    }
    return x->batched ? at + i * step : at;
}

static double element_value(const nn_tensor *t, size_t i, const void *context)
{
    const operation *op = ((const operation_case *)context)->op;
    const int rank = t->rank - t->batched;
    double operand[2] = {0, 0};
    for (size_t s = 0; s < t->src_count && s < 2; s++)
        operand[s] = (double)t->src[s]->data[source_index(i, rank, t->shape + t->batched, t->src[s],
                                                          0)];
    return op->expected(operand[0], operand[1], NULL, 0, 0);
}

static double whole_value(const nn_tensor *t, size_t i, const void *context)
{
    static double line[MAX_VALUES];
    const nn_tensor *x = t->src[0];
    for (size_t j = 0; j < x->size; j++) line[j] = (double)x->data[j];
    return ((const operation_case *)context)->op->expected(0, 0, line, x->size, i);
}

/* The axis has gone from the result, or stays in it with length 1 or in full. The source is tensor
   0: between it and a softmax over another axis than the last stand transpositions. */
static double line_value(const nn_tensor *t, size_t i, const void *context)
{
    const operation_case *c = (const operation_case *)context;
    const nn_tensor *x = nn_net_tensor(t->net, 0);
    size_t at[NN_MAX_RANK] = {0};
    double line[64];
    coordinates(t, i, at);
    const size_t own = c->op->kind == SOFT ? at[c->axis] : 0;
    if (t->rank < x->rank)
        for (int d = x->rank - 1; d > c->axis; d--) at[d] = at[d - 1];
    for (size_t j = 0; j < x->shape[c->axis]; j++) {
        at[c->axis] = j;
        line[j] = (double)x->data[index_of(x, at)];
    }
    return c->op->expected(0, 0, line, x->shape[c->axis], own);
}

static const dims all_dims[] = {{1, {1}},          {1, {7}},          {1, {37}},
                                {2, {1, 5}},       {2, {5, 1}},       {2, {3, 17}},
                                {3, {2, 1, 3}},    {3, {1, 3, 5}},    {4, {2, 3, 1, 2}},
                                {4, {1, 1, 1, 1}}, {4, {2, 1, 2, 5}}, {0, {0}}};
static const size_t batches[] = {0, 1, 3}; /* 0: a parameter instead of an input */

static void check_unary(const operation *op, const dims *d, size_t rows)
{
    operation_case c = {op, 0, 0};
    nn_net *net = nn_net_create(NULL);
    name_case(op->name, d, rows);
    nn_tensor *a = leaf(net, d, rows), *t = op->build(a, NULL, 0, 0);
    if (t) CHECK_INT(t->batched, op->kind == UNARY && rows > 0);
    if (t) CHECK_INT(t->rank, op->kind == UNARY ? a->rank : 0);
    if (t) CHECK_INT(t->row_size, op->kind == UNARY ? a->row_size : 1);
    verify_values(net, t, rows, op->flags, op->kind == UNARY ? element_value : whole_value, &c);
}

/* An axis from the start or from the end. */
static void check_along(const operation *op, const dims *d, size_t rows, int axis, int keep)
{
    operation_case c = {op, axis < 0 ? axis + d->rank : axis, keep};
    nn_net *net = nn_net_create(NULL);
    name_case(op->name, d, rows);
    nn_tensor *a = leaf(net, d, rows), *t = op->build(a, NULL, axis, keep);
    if (a && t) {
        int expected_rank = 0;
        c.axis += a->batched;
        for (int i = a->batched; i < a->rank; i++) {
            if (i == c.axis && op->kind == REDUCE && !keep) continue;
            const size_t size = i == c.axis && op->kind == REDUCE ? 1 : a->shape[i];
            CHECK_INT(t->shape[a->batched + expected_rank], size);
            expected_rank++;
        }
        CHECK_INT(t->batched, a->batched);
        CHECK_INT(t->rank, a->batched + expected_rank);
    }
    verify_values(net, t, rows, op->flags, line_value, &c);
}

static void test_operations(void)
{
    for (size_t k = 0; k < COUNT(operations); k++)
        for (size_t i = 0; i < COUNT(all_dims) * COUNT(batches); i++) {
            const operation *op = &operations[k];
            const dims *d = &all_dims[i / COUNT(batches)];
            const size_t rows = batches[i % COUNT(batches)];
            if (op->kind == UNARY || op->kind == WHOLE) check_unary(op, d, rows);
            if (op->kind != REDUCE && op->kind != SOFT) continue;
            for (int axis = op->flags & LAST_AXIS ? -1 : -d->rank;
                 axis < (op->flags & LAST_AXIS ? 0 : d->rank); axis++)
                for (int keep = 0; d->rank && keep <= (op->kind == REDUCE); keep++)
                    check_along(op, d, rows, axis, keep);
        }
}

/* Shapes that broadcast, each in both orders. The long ones are more than is computed at once. */
static const dims pairs[][2] = {
    {{0, {0}}, {0, {0}}},
    {{1, {1}}, {0, {0}}},
    {{1, {5}}, {1, {5}}},
    {{2, {2, 3}}, {2, {2, 3}}},
    {{2, {2, 3}}, {0, {0}}},
    {{2, {2, 3}}, {1, {1}}},
    {{2, {2, 3}}, {1, {3}}},
    {{2, {2, 3}}, {2, {1, 3}}},
    {{2, {2, 3}}, {2, {2, 1}}},
    {{2, {2, 1}}, {1, {3}}},
    {{3, {2, 1, 3}}, {2, {4, 1}}},
    {{3, {2, 3, 1}}, {1, {5}}},
    {{3, {2, 3, 17}}, {3, {2, 1, 17}}},
    {{4, {2, 1, 3, 1}}, {4, {1, 4, 1, 2}}},
    {{4, {1, 2, 1, 1}}, {3, {1, 1, 4}}},
    {{1, {300}}, {1, {1}}},
    {{2, {2, 260}}, {2, {2, 1}}},
    {{7, {2, 1, 2, 1, 2, 1, 2}}, {7, {1, 2, 1, 2, 1, 2, 1}}}};
static const size_t batch_pairs[][2] = {{0, 0}, {3, 0}, {0, 3}, {3, 3}, {1, 0}};

static void check_binary(const operation *op, const dims *da, size_t rows_a, const dims *db,
                         size_t rows_b)
{
    operation_case c = {op, 0, 0};
    nn_net *net = nn_net_create(NULL);
    name_case(op->name, da, rows_a);
    name_operand(db, rows_b);
    nn_tensor *a = leaf(net, da, rows_a), *b = leaf(net, db, rows_b), *t = op->build(a, b, 0, 0);
    if (t) {
        CHECK_INT(t->batched, rows_a || rows_b);
        CHECK_INT(t->rank - t->batched, da->rank > db->rank ? da->rank : db->rank);
        for (int i = 1; i <= t->rank - t->batched; i++) {
            const size_t size_a = i <= da->rank ? da->n[da->rank - i] : 1;
            const size_t size_b = i <= db->rank ? db->n[db->rank - i] : 1;
            CHECK_INT(t->shape[t->rank - i], size_a == 1 ? size_b : size_a);
        }
    }
    verify_values(net, t, rows_a ? rows_a : rows_b, op->flags, element_value, &c);
}

static void test_broadcasting(void)
{
    for (size_t k = 0; k < COUNT(operations); k++)
        for (size_t i = 0; i < COUNT(pairs) * COUNT(batch_pairs); i++) {
            const dims *d = pairs[i / COUNT(batch_pairs)];
            const size_t *rows = batch_pairs[i % COUNT(batch_pairs)];
            if (operations[k].kind != BINARY) continue;
            check_binary(&operations[k], &d[0], rows[0], &d[1], rows[1]);
            check_binary(&operations[k], &d[1], rows[0], &d[0], rows[1]);
        }
}

/* A source of two consumers gets the sum of both gradients, whichever runs first. Operations of two
   operands get it twice. */
static void test_two_consumers(void)
{
    static const dims d = {2, {2, 3}};
    for (size_t i = 0; i < 2 * COUNT(operations); i++) {
        const operation *op = &operations[i / 2];
        nn_net *net = nn_net_create(NULL);
        name_case(op->name, &d, 3);
        nn_tensor *x = nn_scale(leaf(net, &d, 3), 1.5), *loss;
        if (i % 2) loss = nn_add(probe(x), probe(op->build(x, x, 0, 0)));
        else loss = nn_add(probe(op->build(x, x, 0, 0)), probe(x));
        verify_loss(net, loss, 3, op->flags);
    }
}

/* The operand that is repeated is itself computed, and the whole operand a parameter. */
static void test_broadcast_of_computed_operand(void)
{
    static const dims whole = {3, {2, 3, 5}}, tail = {1, {5}};
    for (size_t k = 0; k < COUNT(operations); k++) {
        if (operations[k].kind != BINARY) continue;
        nn_net *net = nn_net_create(NULL);
        name_case(operations[k].name, &tail, 0);
        nn_tensor *a = nn_sigmoid(leaf(net, &whole, 0)), *b = nn_tanh(leaf(net, &tail, 0));
        verify(net, nn_tanh(operations[k].build(a, b, 0, 0)), 0, operations[k].flags);
    }
}

/* A parameter of one value, repeated over a batch of 1 and so not at all: each pass overwrites its
   gradient, whether it is one operand or the other. */
static void test_broadcast_over_a_batch_of_one(void)
{
    static const nn_real samples[2][1] = {{5}, {-4}};
    const size_t one[1] = {1};
    for (int side = 0; side < 4; side++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input(net, 1);
        nn_tensor *p = nn_parameter(net, side / 2, one, nn_init_constant(3), NULL);
        nn_tensor *loss = nn_sum(side % 2 ? nn_mul(p, x) : nn_mul(x, p));
        for (int pass = 0; pass < 4; pass++) {
            CHECK_OK(nn_feed(x, samples[pass % 2], 1));
            CHECK_OK(nn_forward(loss));
            CHECK_OK(nn_backward(loss));
            CHECK(p->grad[0] == samples[pass % 2][0]);
        }
        CHECK_OK(nn_backward_add(loss));
        CHECK(p->grad[0] == -8);
        nn_net_destroy(net);
    }
}

/* x - x is 0 whatever x is: both gradients must cancel to exactly 0. */
static void test_difference_with_itself(void)
{
    static const double six[] = {1, 2, 3, 4, 5, 6};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = given(net, 1, 6, 0, six), *loss = probe(nn_sub(x, x));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    for (size_t i = 0; i < 6; i++) CHECK(x->grad[i] == 0);
    nn_net_destroy(net);
}

/* -- the user's own scalars -- */

static nn_status third_forward(nn_tensor *t)
{
    t->value = (double)t->src[0]->data[0] / 3;
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

/* A custom scalar that says so keeps its value in double; else it is what data holds. */
static void test_custom_value(void)
{
    static const double one[] = {1};
    for (int flag = 0; flag < 2; flag++) {
        nn_op op = {"third", third_forward, NULL, NULL, NULL, 0, NULL};
        op.flags = flag ? NN_OP_VALUE : 0;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = given(net, 0, 1, 0, one);
        nn_tensor *t = nn_custom(1, &x, 0, 0, NULL, &op, NULL);
        nn_tensor *twice = nn_scale(t, 2);
        CHECK_OK(nn_forward(twice));
        CHECK(t->value == (flag ? 1.0 / 3 : (double)(nn_real)(1.0 / 3)));
        CHECK(twice->value == 2 * t->value);
        nn_net_destroy(net);
    }
}

/* -- what is refused -- */

/* The public function that a row calls, as its messages begin. */
static const char *speaker(const operation *op, char text[64])
{
    snprintf(text, 64, "%.*s: ", (int)strcspn(op->call, "("), op->call);
    return text;
}

static void test_missing_operands(void)
{
    static const dims d = {2, {2, 3}};
    char call[64];
    for (size_t k = 0; k < COUNT(operations); k++) {
        const operation *op = &operations[k];
        test_current = op->name;
        speaker(op, call);
        nn_net *net = nn_net_create(NULL), *other = nn_net_create(NULL);
        nn_tensor *a = leaf(net, &d, 0), *b = leaf(other, &d, 0);
        CHECK(op->build(NULL, op->kind == BINARY ? NULL : b, 0, 0) == NULL);
        CHECK(strstr(nn_last_error(), "NULL") != NULL);
        CHECK(strncmp(nn_last_error(), call, strlen(call)) == 0);
        CHECK_OK(nn_net_status(net));
        if (op->kind == BINARY) {
            check_refusal(net, op->build(a, NULL, 0, 0), NN_ERROR_BAD_ARGUMENT, call, "source 1",
                          "NULL");
            net = nn_net_create(NULL);
            check_refusal(net, op->build(NULL, leaf(net, &d, 0), 0, 0), NN_ERROR_BAD_ARGUMENT, call,
                          "source 0", "NULL");
            net = nn_net_create(NULL);
            check_refusal(net, op->build(leaf(net, &d, 0), b, 0, 0), NN_ERROR_MISMATCH, call,
                          "different networks", "");
        } else nn_net_destroy(net);
        nn_net_destroy(other);
    }
}

static void test_axes_out_of_range(void)
{
    static const dims d = {2, {2, 3}};
    static const int axes[] = {2, -3, 100, -100};
    char call[64], axis[24];
    for (size_t i = 0; i < COUNT(operations) * COUNT(axes) * 2; i++) {
        const operation *op = &operations[i / COUNT(axes) / 2];
        const int rows = (int)(i % 2);
        if ((op->kind != REDUCE && op->kind != SOFT) || op->flags & LAST_AXIS) continue;
        nn_net *net = nn_net_create(NULL);
        name_case(op->name, &d, (size_t)rows);
        snprintf(axis, sizeof axis, "axis is %d, ", axes[i / 2 % COUNT(axes)]);
        const nn_tensor *t =
            op->build(leaf(net, &d, (size_t)rows), NULL, axes[i / 2 % COUNT(axes)], 0);
        check_refusal(net, t, NN_ERROR_BAD_ARGUMENT, speaker(op, call), axis,
                      rows ? "expected -2 to 1 for shape [batch 2 3]"
                           : "expected -2 to 1 for shape [2 3]");
    }
}

/* A scalar has no axis. */
static void test_axes_of_a_scalar(void)
{
    static const dims d = {0, {0}};
    char call[64];
    for (size_t k = 0; k < COUNT(operations); k++) {
        const operation *op = &operations[k];
        if (op->kind != REDUCE && op->kind != SOFT) continue;
        test_current = op->name;
        nn_net *net = nn_net_create(NULL);
        check_refusal(net, op->build(leaf(net, &d, 0), NULL, 0, 0), NN_ERROR_BAD_ARGUMENT,
                      speaker(op, call), "but shape [] has none",
                      op->flags & LAST_AXIS ? "axis is -1" : "axis is 0");
    }
}

static const struct {
    dims a, b;
    size_t rows_a, rows_b;
    const char *text_a, *text_b;
} misfits[] = {{{1, {3}}, {1, {2}}, 0, 0, "[3]", "[2]"},
               {{2, {2, 3}}, {1, {2}}, 0, 0, "[2 3]", "[2]"},
               {{2, {2, 3}}, {2, {3, 3}}, 4, 0, "[batch 2 3]", "[3 3]"},
               {{2, {2, 3}}, {3, {2, 1, 4}}, 0, 4, "[2 3]", "[batch 2 1 4]"},
               {{1, {5}}, {1, {4}}, 4, 4, "[batch 5]", "[batch 4]"}};

static void test_shapes_that_do_not_broadcast(void)
{
    char call[64];
    for (size_t i = 0; i < COUNT(operations) * COUNT(misfits) * 2; i++) {
        const operation *op = &operations[i / COUNT(misfits) / 2];
        const size_t m = i / 2 % COUNT(misfits);
        if (op->kind != BINARY) continue;
        nn_net *net = nn_net_create(NULL);
        name_case(op->name, &misfits[m].a, misfits[m].rows_a);
        nn_tensor *a = leaf(net, &misfits[m].a, misfits[m].rows_a);
        nn_tensor *b = leaf(net, &misfits[m].b, misfits[m].rows_b);
        const nn_tensor *t = i % 2 ? op->build(b, a, 0, 0) : op->build(a, b, 0, 0);
        check_refusal(net, t, NN_ERROR_BAD_SHAPE, speaker(op, call), misfits[m].text_a,
                      misfits[m].text_b);
    }
}

/* A batch beside a sample's 8 dimensions is one too many. */
static void test_too_many_dimensions(void)
{
    static const dims eight = {8, {1, 2, 1, 1, 1, 1, 1, 1}}, one = {1, {1}};
    for (size_t k = 0; k < COUNT(operations); k++) {
        if (operations[k].kind != BINARY) continue;
        char call[64];
        nn_net *net = nn_net_create(NULL);
        test_current = operations[k].name;
        check_refusal(net, operations[k].build(leaf(net, &eight, 0), leaf(net, &one, 1), 0, 0),
                      NN_ERROR_BAD_SHAPE, speaker(&operations[k], call), "9", "8");
    }
}

static void test_numbers_out_of_range(void)
{
    static const dims d = {1, {2}};
    static const double bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < COUNT(bad); i++) {
        nn_net *net = nn_net_create(NULL);
        check_refusal(net, nn_pow(leaf(net, &d, 0), bad[i]), NN_ERROR_BAD_ARGUMENT, "nn_pow: ",
                      "exponent", "finite");
        net = nn_net_create(NULL);
        check_refusal(net, nn_scale(leaf(net, &d, 0), bad[i]), NN_ERROR_BAD_ARGUMENT, "nn_scale: ",
                      "factor", "finite");
    }
}

/* ------------------------------------------------------------------------------ matrix products */

/* PyTorch's torch.matmul(a, b) of a [2, 1, 2, 3] and b [3, 3, 2] and torch.bmm(a, b) of a [2, 2, 3]
   and b [2, 3, 2]: y, a.grad, b.grad as in the op table. */
static void test_torch_matmul(void)
{
    static const double left[] = {0.5, -1, 2, 1, 0, -0.5, 1.5, -2, 0.25, -1, 1, 3};
    static const double right[] = {1, -0.5, 0.25, 2, -1, 1, 0.5, 0, 1.5, -2, 1, -1,
                                   -1, 0.75, 2, 1, -0.5, 0};
    static const dims a_dims[] = {{4, {2, 1, 2, 3}}, {3, {2, 2, 3}}};
    static const dims b_dims[] = {{3, {3, 3, 2}}, {3, {2, 3, 2}}};
    static const double numbers[][54] = {
        {-1.75, -0.25, 1.5, -1, 0.75, 0, 0, 0.5, -3.5, -0.625, -0.75, 0.75, 0.75, -4.5, -3.75,
         5.5, -2, 3.75, 4, -5, -5.625, -0.875, 1.5, 0.25, 1.2566207360683481, 0.985740113678347,
         2.3600953706102614, 1.3770641974126845, 0.62878418941356, -2.9506396323194672,
         2.9982556564637224, -16.846451378952878, -5.7544437157993205, -3.1198213067573137,
         9.715032017064498, 9.046927247133919, 4.86429804120163, -6.21224073099137,
         -3.621958065781107, 6.758024312644867, -9.247654454495917, 6.867415103399785,
         -5.898389339403251, 4.2042979707691375, 5.812478270272873, -4.940646796335672,
         8.20593966998492, -5.882187400306812, -3.4600826290363065, 1.5216973211570144,
         5.874776273824441, -0.5379279932820819, -3.388969483289498, -2.1276905930824066},
        {-1.75, -0.25, 1.5, -1, -2, 3.75, 4, -5, -0.4668614204183378, 1.7249473671069113,
         0.9001938256445721, 1.6546728493345055, -0.5604728799956303, -1.88388251811786,
         -0.8059289454713594, -4.212726601083884, -2.509327773277622, 0.5582726721399232,
         7.422571346080243, 3.990422009110083, 1.4086986729550994, -0.025086932340474766,
         0.033529015192103495, -0.8666648104524686, -0.7797896206597825, 1.9625392896882916,
         -3.5343321806939243, 4.220081488332591, 4.340261126165284, -4.668816429500042,
         2.946671560103859, -8.397262523906985}
    };
    for (size_t k = 0; k < COUNT(numbers); k++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *a = given_shape(net, &a_dims[k], left);
        nn_tensor *b = given_shape(net, &b_dims[k], right);
        nn_tensor *y = nn_matmul(a, b), *loss = probe(y);
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        const double *next = check_numbers(y->size, y->data, numbers[k]);
        next = check_numbers(a->size, a->grad, next);
        check_numbers(b->size, b->grad, next);
        nn_net_destroy(net);
    }
}

typedef struct matmul_case {
    int trans_a, trans_b, is_row;
    size_t m, k, n;
} matmul_case;

static double matmul_value(const nn_tensor *t, size_t i, const void *context)
{
    const matmul_case *c = (const matmul_case *)context;
    const nn_tensor *a = t->src[0], *b = t->src[1];
    const int lead = t->rank - t->batched - (c->is_row ? 1 : 2);
    const size_t row = i / c->n % c->m, col = i % c->n, matrix = i / (c->m * c->n);
    const size_t at_a = source_index(matrix, lead, t->shape + t->batched, a, c->is_row ? 1 : 2);
    const size_t at_b = source_index(matrix, lead, t->shape + t->batched, b, 2);
    const nn_real *x = a->data + at_a * c->m * c->k, *y = b->data + at_b * c->k * c->n;
    double sum = 0;
    for (size_t j = 0; j < c->k; j++)
        sum += (double)x[c->trans_a ? j * c->m + row : row * c->k + j] *
               (double)y[c->trans_b ? col * c->k + j : j * c->n + col];
    return sum;
}

/* Operands with these leading dimensions; a row has no such. */
static void check_matmul(const matmul_case *c, const dims *lead_a, size_t rows_a,
                         const dims *lead_b, size_t rows_b)
{
    dims a = *lead_a, b = *lead_b;
    if (!c->is_row) a.n[a.rank++] = c->trans_a ? c->k : c->m;
    a.n[a.rank++] = c->trans_a ? c->m : c->k;
    b.n[b.rank++] = c->trans_b ? c->n : c->k;
    b.n[b.rank++] = c->trans_b ? c->k : c->n;
    nn_net *net = nn_net_create(NULL);
    name_case(c->trans_a ? "matmul a'" : "matmul a", &a, rows_a);
    strcat(case_name, c->trans_b ? ", b'" : ", b");
    name_operand(&b, rows_b);
    nn_tensor *left = leaf(net, &a, rows_a), *right = leaf(net, &b, rows_b);
    nn_tensor *t = nn_matmul_with(left, c->trans_a, right, c->trans_b);
    if (t) {
        const int lead = lead_a->rank > lead_b->rank ? lead_a->rank : lead_b->rank;
        CHECK_INT(t->batched, rows_a || rows_b);
        CHECK_INT(t->rank - t->batched, lead + (c->is_row ? 1 : 2));
        CHECK_INT(t->shape[t->rank - 1], c->n);
        if (!c->is_row) CHECK_INT(t->shape[t->rank - 2], c->m);
    }
    verify_values(net, t, rows_a ? rows_a : rows_b, 0, matmul_value, c);
}

static void test_matmul(void)
{
    static const size_t sizes[][3] = {{1, 1, 1},  {2, 3, 5},   {7, 1, 4},  {1, 13, 1},
                                      {5, 11, 3}, {17, 2, 33}, {3, 19, 8}, {16, 16, 16}};
    static const dims none = {0, {0}};
    for (size_t i = 0; i < COUNT(sizes) * COUNT(batch_pairs); i++)
        for (int flags = 0; flags < 6; flags++) {
            /* 0 to 3: transposes of two matrices; 4 and 5: a row and a matrix. */
            const size_t *size = sizes[i / COUNT(batch_pairs)];
            const size_t *rows = batch_pairs[i % COUNT(batch_pairs)];
            matmul_case c = {0, 0, 0, 0, 0, 0};
            c.trans_a = flags < 4 && (flags & 1), c.trans_b = flags < 4 ? flags >> 1 : flags & 1;
            c.is_row = flags >= 4;
            c.m = c.is_row ? 1 : size[0], c.k = size[1], c.n = size[2];
            if (i % COUNT(batch_pairs) == 3 && size[0] > 8) continue; /* as much, only larger */
            check_matmul(&c, &none, rows[0], &none, rows[1]);
        }
}

/* Leading dimensions broadcast, both ways; a single row meets them all. */
static void test_matmul_over_leading_dimensions(void)
{
    static const dims leads[][2] = {{{1, {2}}, {0, {0}}},          {{1, {3}}, {1, {3}}},
                                    {{2, {2, 1}}, {1, {3}}},       {{2, {2, 3}}, {2, {1, 3}}},
                                    {{3, {1, 2, 1}}, {2, {1, 2}}}, {{0, {0}}, {2, {2, 2}}}};
    static const size_t sizes[][3] = {{1, 1, 1}, {2, 3, 4}, {3, 2, 1}};
    for (size_t i = 0; i < COUNT(leads) * COUNT(sizes) * COUNT(batch_pairs); i++)
        for (int flags = 0; flags < 6; flags++) {
            const dims *lead = leads[i / COUNT(sizes) / COUNT(batch_pairs)];
            const size_t *size = sizes[i / COUNT(batch_pairs) % COUNT(sizes)];
            const size_t *rows = batch_pairs[i % COUNT(batch_pairs)];
            matmul_case c = {0, 0, 0, 0, 0, 0};
            c.trans_a = flags < 4 && (flags & 1), c.trans_b = flags < 4 ? flags >> 1 : flags & 1;
            c.is_row = flags >= 4;
            c.m = c.is_row ? 1 : size[0], c.k = size[1], c.n = size[2];
            if (c.is_row && lead[0].rank) continue;
            check_matmul(&c, &lead[0], rows[0], &lead[1], rows[1]);
            if (!c.is_row) check_matmul(&c, &lead[1], rows[0], &lead[0], rows[1]);
        }
}

static void test_matmul_refusals(void)
{
    static const struct {
        dims a, b;
        size_t rows_a, rows_b;
        int trans_a, trans_b;
        const char *text_a, *text_b;
    } rows[] = {{{2, {2, 3}}, {2, {2, 3}}, 0, 0, 0, 0, "[2 3]", "[2 3]"},
                {{2, {2, 3}}, {2, {3, 4}}, 0, 0, 0, 1, "[2 3]", "[3 4]"},
                {{2, {2, 3}}, {2, {3, 4}}, 5, 0, 1, 0, "[batch 2 3]", "[3 4]"},
                {{1, {3}}, {2, {4, 2}}, 5, 5, 0, 0, "[batch 3]", "[batch 4 2]"},
                {{1, {3}}, {2, {3, 2}}, 0, 0, 1, 0, "[3]", "[3 2]"},
                {{2, {2, 3}}, {1, {3}}, 0, 0, 0, 0, "[2 3]", "[3]"},
                {{0, {0}}, {2, {3, 2}}, 5, 0, 0, 0, "[batch]", "[3 2]"},
                {{3, {2, 2, 3}}, {3, {3, 3, 2}}, 0, 0, 0, 0, "[2 2 3]", "[3 3 2]"},
                {{3, {2, 2, 3}}, {4, {2, 4, 3, 2}}, 0, 5, 0, 0, "[2 2 3]", "[batch 2 4 3 2]"}};
    for (size_t k = 0; k < COUNT(rows); k++) {
        nn_net *net = nn_net_create(NULL);
        name_case("matmul", &rows[k].a, rows[k].rows_a);
        nn_tensor *a = leaf(net, &rows[k].a, rows[k].rows_a);
        nn_tensor *b = leaf(net, &rows[k].b, rows[k].rows_b);
        check_refusal(net, nn_matmul_with(a, rows[k].trans_a, b, rows[k].trans_b),
                      NN_ERROR_BAD_SHAPE, "nn_matmul: ", rows[k].text_a, rows[k].text_b);
    }
}

static void test_matmul_operands(void)
{
    static const dims d = {2, {3, 3}};
    nn_net *other = nn_net_create(NULL), *net = nn_net_create(NULL);
    nn_tensor *foreign = leaf(other, &d, 0);
    check_refusal(net, nn_matmul(leaf(net, &d, 0), NULL), NN_ERROR_BAD_ARGUMENT, "nn_matmul: ",
                  "source 1", "NULL");
    net = nn_net_create(NULL);
    check_refusal(net, nn_matmul(NULL, leaf(net, &d, 0)), NN_ERROR_BAD_ARGUMENT, "nn_matmul: ",
                  "source 0", "NULL");
    net = nn_net_create(NULL);
    check_refusal(net, nn_matmul(leaf(net, &d, 0), foreign), NN_ERROR_MISMATCH, "nn_matmul: ",
                  "different networks", "");
    nn_net_destroy(other);
}

static void test_matmul_with_itself(void)
{
    static const dims square = {2, {5, 5}}, wide = {2, {3, 7}};
    for (int flags = 0; flags < 4; flags++) {
        nn_net *net = nn_net_create(NULL);
        name_case("matmul with itself", &square, (size_t)flags);
        nn_tensor *x = nn_tanh(leaf(net, &square, 0));
        verify(net, nn_matmul_with(x, flags & 1, x, flags >> 1), 0, 0);
    }
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = leaf(net, &wide, 0);
    verify(net, nn_matmul_with(x, 1, x, 0), 0, 0);
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
        verify_loss(net, nn_add(loss, probe(b)), 0, 0);
    }
}

/* --------------------------------------------------------------------------------------- dense */

static void test_dense_values(void)
{
    static const nn_real x[] = {1, 2, 3, 4, 5, 6}, weight[] = {1, 0, 2, 1, 0, 3};
    static const double with_bias[] = {15, 31, 24, 43}, without[] = {5, 11, 14, 23};
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = 2;
    desc.no_bias = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, 3), *y = nn_dense(in, 2), *z = nn_dense_with(in, &desc);
    for (size_t i = 0; i < 6; i++)
        nn_weight(y)->data[i] = nn_weight(z)->data[i] = weight[i];
    nn_bias(y)->data[0] = 10;
    nn_bias(y)->data[1] = 20;
    CHECK(nn_bias(z) == NULL);
    CHECK(nn_weight(in) == NULL && nn_bias(in) == NULL);
    CHECK_OK(nn_feed(in, x, 2));
    check_values(y, 4, with_bias, 0);
    check_values(z, 4, without, 0);
    nn_net_destroy(net);
}

/* f(sum_k x_k W_kj + b_j) over the last dimension of x. */
static double dense_value(const nn_tensor *t, size_t i, const void *context)
{
    const nn_dense_desc *d = (const nn_dense_desc *)context;
    const nn_tensor *x = t->src[0], *w = nn_weight(t), *b = nn_bias(t);
    const size_t line = i / d->units, unit = i % d->units, in = w->shape[0];
    double sum = b ? (double)b->data[unit] : 0;
    for (size_t k = 0; k < in; k++)
        sum += (double)x->data[line * in + k] * (double)w->data[k * d->units + unit];
    return activation_value(d->activation, d->alpha > 0 ? d->alpha : default_alpha(d->activation),
                            sum);
}

/* Every activation, with and without a bias, from one value to a few vectors' width. */
static void test_dense(void)
{
    static const dims in[] = {{1, {1}}, {1, {5}}, {1, {17}}, {2, {3, 2}}, {3, {2, 1, 3}}};
    static const size_t units[] = {1, 3, 19}, rows[] = {0, 1, 5};
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
            nn_tensor *t = nn_dense_with(leaf(net, d, batch), &desc);
            if (t) CHECK_INT(t->rank - t->batched, d->rank);
            verify_values(net, t, batch, MAY_VANISH | KINKS, dense_value, &desc);
        }
}

/* ------------------------------------------------------------------------ another arrangement */

/* Dimension d of a sample of the result is dimension axes[d] of the source's. */
static double permuted_value(const nn_tensor *t, size_t i, const void *context)
{
    const int *axes = (const int *)context;
    const nn_tensor *x = t->src[0];
    size_t at[NN_MAX_RANK] = {0}, from[NN_MAX_RANK] = {0};
    coordinates(t, i, at);
    from[0] = at[0];
    for (int d = t->batched; d < t->rank; d++) from[axes[d - t->batched] + t->batched] = at[d];
    return (double)x->data[index_of(x, from)];
}

/* The number of a permutation in base `rank`; 0 where an axis comes twice. */
static int decode_axes(int number, int rank, int *axes)
{
    unsigned seen = 0;
    for (int d = 0; d < rank; d++) {
        axes[d] = number % rank, number /= rank;
        seen |= 1u << axes[d];
    }
    return seen == (1u << rank) - 1;
}

static void check_permutation(const dims *d, size_t rows, const int *axes, int from_end)
{
    int signed_axes[4];
    nn_net *net = nn_net_create(NULL);
    name_case("permute", d, rows);
    for (int i = 0; i < d->rank; i++) signed_axes[i] = from_end ? axes[i] - d->rank : axes[i];
    nn_tensor *t = nn_permute(leaf(net, d, rows), d->rank, signed_axes);
    for (int i = 0; t && i < d->rank; i++) CHECK_INT(t->shape[t->batched + i], d->n[axes[i]]);
    verify_values(net, t, rows, 0, permuted_value, axes);
}

static void test_permute(void)
{
    for (size_t i = 0; i < COUNT(all_dims) * COUNT(batches); i++) {
        const dims *d = &all_dims[i / COUNT(batches)];
        int axes[4], count = d->rank > 0;
        for (int r = 0; r < d->rank; r++) count *= d->rank;
        for (int number = 0; number < count; number++)
            if (decode_axes(number, d->rank, axes))
                check_permutation(d, batches[i % COUNT(batches)], axes, number & 1);
    }
}

static void test_transpose(void)
{
    static const dims d = {4, {2, 3, 4, 2}};
    for (int a = -4; a < 4; a++)
        for (int b = -4; b < 4; b++)
            for (size_t rows = 0; rows < 3; rows += 2) {
                const int from = a < 0 ? a + 4 : a, to = b < 0 ? b + 4 : b;
                int axes[4] = {0, 1, 2, 3};
                axes[from] = to, axes[to] = from;
                nn_net *net = nn_net_create(NULL);
                name_case("transpose", &d, rows);
                nn_tensor *t = nn_transpose(leaf(net, &d, rows), a, b);
                CHECK(t && t->shape[t->batched + from] == d.n[to]);
                verify_values(net, t, rows, 0, permuted_value, axes);
            }
}

typedef struct cut {
    int axis; /* of the shape, batch included */
    size_t begin;
} cut;

static double sliced_value(const nn_tensor *t, size_t i, const void *context)
{
    const cut *c = (const cut *)context;
    size_t at[NN_MAX_RANK] = {0};
    coordinates(t, i, at);
    at[c->axis] += c->begin;
    return (double)t->src[0]->data[index_of(t->src[0], at)];
}

static void check_slice(const dims *d, size_t rows, int axis, int from_end, size_t begin,
                        size_t end)
{
    cut c = {axis + (rows > 0), begin};
    nn_net *net = nn_net_create(NULL);
    name_case("slice", d, rows);
    nn_tensor *t = nn_slice(leaf(net, d, rows), from_end ? axis - d->rank : axis, begin, end);
    if (t) CHECK_INT(t->shape[c.axis], end - begin);
    verify_values(net, t, rows, 0, sliced_value, &c);
}

static void test_slice(void)
{
    for (size_t i = 0; i < COUNT(all_dims) * COUNT(batches); i++)
        for (int axis = 0; axis < all_dims[i / COUNT(batches)].rank; axis++)
            for (int part = 0; part < 8; part++) {
                const dims *d = &all_dims[i / COUNT(batches)];
                const size_t n = d->n[axis], step = n > 2;
                check_slice(d, batches[i % COUNT(batches)], axis, part & 4,
                            part & 1 ? step : 0, part & 2 ? n - step : n);
            }
}

static double joined_value(const nn_tensor *t, size_t i, const void *context)
{
    const int axis = *(const int *)context;
    size_t at[NN_MAX_RANK] = {0}, s = 0;
    coordinates(t, i, at);
    while (at[axis] >= t->src[s]->shape[axis]) at[axis] -= t->src[s++]->shape[axis];
    return (double)t->src[s]->data[index_of(t->src[s], at)];
}

static void check_concat(const dims *d, size_t rows, int axis, int from_end, size_t count)
{
    const int full_axis = axis + (rows > 0);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *part[3];
    name_case("concat", d, rows);
    for (size_t p = 0; p < count; p++) {
        dims piece = *d;
        piece.n[axis] = p + 1;
        part[p] = leaf(net, &piece, rows);
    }
    nn_tensor *t = nn_concat(count, part, from_end ? axis - d->rank : axis);
    if (t) CHECK_INT(t->shape[full_axis], count * (count + 1) / 2);
    verify_values(net, t, rows, 0, joined_value, &full_axis);
}

static void test_concat(void)
{
    for (size_t i = 0; i < COUNT(all_dims) * COUNT(batches); i++)
        for (int axis = 0; axis < all_dims[i / COUNT(batches)].rank; axis++)
            for (size_t count = 1; count <= 3; count++)
                check_concat(&all_dims[i / COUNT(batches)], batches[i % COUNT(batches)], axis,
                             count & 1, count);
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
        verify(net, nn_concat(3, part, axis), 2, 0);
    }
}

static double same_value(const nn_tensor *t, size_t i, const void *context)
{
    (void)context;
    return (double)t->src[0]->data[i];
}

static void test_reshape(void)
{
    static const dims to[] = {{1, {60}}, {2, {4, 15}}, {3, {5, 1, 12}}, {4, {2, 2, 3, 5}}};
    /* One target more than there are shapes: nn_flatten. */
    for (size_t i = 0; i < COUNT(to) * (COUNT(to) + 1) * COUNT(batches); i++) {
        const size_t rows = batches[i % COUNT(batches)];
        const size_t number = i / COUNT(batches) / COUNT(to);
        const dims *from = &to[i / COUNT(batches) % COUNT(to)];
        const dims *target = &to[number % COUNT(to)];
        nn_net *net = nn_net_create(NULL);
        name_case("reshape", from, rows);
        name_operand(target, rows);
        nn_tensor *x = leaf(net, from, rows);
        nn_tensor *t = number == COUNT(to) ? nn_flatten(x)
                                           : nn_reshape(x, target->rank, target->n);
        if (t) CHECK_INT(t->rank - t->batched, target->rank);
        for (int d = 0; t && d < target->rank; d++)
            CHECK_INT(t->shape[t->batched + d], target->n[d]);
        verify_values(net, t, rows, 0, same_value, NULL);
    }
}

/* One wrong call each; x is [2 3] of a batch, p a parameter of [2 3], q one of [3 3]. */
static nn_tensor *wrong_shape(int number, nn_tensor *x, nn_tensor *p, nn_tensor *q)
{
    static const size_t four[] = {4}, huge[] = {SIZE_MAX, 2};
    static const int once[] = {0}, twice[] = {1, 1}, out[] = {0, 2}, back[] = {-3, 0};
    nn_tensor *xp[2], *pq[2], *xn[2];
    xp[0] = x, xp[1] = p, pq[0] = p, pq[1] = q, xn[0] = x, xn[1] = NULL;
    switch (number) {
    case 0: return nn_reshape(x, 1, four);
    case 1: return nn_reshape(p, 2, huge);
    case 2: return nn_reshape(x, NN_MAX_RANK, four);
    case 3: return nn_reshape(p, -1, four);
    case 4: return nn_reshape(p, 1, NULL);
    case 5: return nn_permute(x, 1, once);
    case 6: return nn_permute(x, 3, once);
    case 7: return nn_permute(x, 2, NULL);
    case 8: return nn_permute(x, 2, twice);
    case 9: return nn_permute(x, 2, out);
    case 10: return nn_permute(x, 2, back);
    case 11: return nn_transpose(x, 0, 2);
    case 12: return nn_transpose(p, -3, 0);
    case 13: return nn_slice(x, 2, 0, 1);
    case 14: return nn_slice(x, -3, 0, 1);
    case 15: return nn_slice(x, 1, 2, 4);
    case 16: return nn_slice(p, -1, 2, 2);
    case 17: return nn_slice(p, 0, SIZE_MAX, 1);
    case 18: return nn_concat(2, pq, 1);
    case 19: return nn_concat(2, xp, 0);
    case 20: return nn_concat(2, pq, 2);
    case 21: return nn_concat(2, xn, 0);
    default: return nn_concat(2, NULL, 0);
    }
}

static void test_wrong_shapes(void)
{
    static const dims d = {2, {2, 3}}, e = {2, {3, 3}};
    static const struct {
        nn_status status;
        const char *call, *part1, *part2;
    } rows[] = {{NN_ERROR_BAD_SHAPE, "nn_reshape: ", "[batch 2 3]", "[batch 4]"},
                {NN_ERROR_BAD_SHAPE, "nn_reshape: ", "[2 3]", " 2]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_reshape: ", "rank", "8"},
                {NN_ERROR_BAD_ARGUMENT, "nn_reshape: ", "rank", "-1"},
                {NN_ERROR_BAD_ARGUMENT, "nn_reshape: ", "rank", ""},
                {NN_ERROR_BAD_ARGUMENT, "nn_permute: ", "rank is 1", "dimensions"},
                {NN_ERROR_BAD_ARGUMENT, "nn_permute: ", "rank is 3", "dimensions"},
                {NN_ERROR_BAD_ARGUMENT, "nn_permute: ", "rank is 2", "axes"},
                {NN_ERROR_BAD_ARGUMENT, "nn_permute: ", "axis is 1", "once"},
                {NN_ERROR_BAD_ARGUMENT, "nn_permute: ", "axis is 2", "-2 to 1"},
                {NN_ERROR_BAD_ARGUMENT, "nn_permute: ", "axis is -3", "[batch 2 3]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_transpose: ", "axis is 2", "[batch 2 3]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_transpose: ", "axis is -3", "[2 3]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_slice: ", "axis is 2", "[batch 2 3]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_slice: ", "axis is -3", "[batch 2 3]"},
                {NN_ERROR_BAD_SHAPE, "nn_slice: ", "2 to 4", "[batch 2 3]"},
                {NN_ERROR_BAD_SHAPE, "nn_slice: ", "2 to 2", "[2 3]"},
                {NN_ERROR_BAD_SHAPE, "nn_slice: ", " to 1", "[2 3]"},
                {NN_ERROR_BAD_SHAPE, "nn_concat: ", "[2 3]", "[3 3]"},
                {NN_ERROR_BAD_SHAPE, "nn_concat: ", "[batch 2 3]", "[2 3]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_concat: ", "axis is 2", "[2 3]"},
                {NN_ERROR_BAD_ARGUMENT, "nn_concat: ", "source 1", "NULL"}};
    for (int k = 0; k < (int)COUNT(rows); k++) {
        nn_net *net = nn_net_create(NULL);
        snprintf(case_name, sizeof case_name, "wrong call %d", k);
        test_current = case_name;
        nn_tensor *x = leaf(net, &d, 1), *p = leaf(net, &d, 0), *q = leaf(net, &e, 0);
        check_refusal(net, wrong_shape(k, x, p, q), rows[k].status, rows[k].call, rows[k].part1,
                      rows[k].part2);
    }
    CHECK(wrong_shape((int)COUNT(rows), NULL, NULL, NULL) == NULL);
    CHECK(strncmp(nn_last_error(), "nn_concat: ", strlen("nn_concat: ")) == 0);
}

/* Without a source there is no network to keep the error: the message says all. */
static void test_arrangements_of_nothing(void)
{
    static const size_t shape[] = {1};
    static const int axes[] = {0};
    nn_tensor *const results[] = {nn_reshape(NULL, 1, shape), nn_flatten(NULL),
                                  nn_permute(NULL, 1, axes),  nn_transpose(NULL, 0, 0),
                                  nn_slice(NULL, 0, 0, 1),    nn_concat(0, NULL, 0)};
    for (size_t i = 0; i < COUNT(results); i++) CHECK(results[i] == NULL);
    CHECK(nn_reshape(NULL, 1, shape) == NULL && strstr(nn_last_error(), "nn_reshape: "));
    CHECK(nn_permute(NULL, 1, axes) == NULL && strstr(nn_last_error(), "nn_permute: "));
    CHECK(nn_transpose(NULL, 0, 0) == NULL && strstr(nn_last_error(), "nn_transpose: "));
    CHECK(nn_slice(NULL, 0, 0, 1) == NULL && strstr(nn_last_error(), "nn_slice: "));
    CHECK(nn_concat(0, NULL, 0) == NULL && strstr(nn_last_error(), "nn_concat: 0 sources"));
}

static void test_concat_of_two_networks(void)
{
    static const dims d = {1, {2}};
    nn_net *net = nn_net_create(NULL), *other = nn_net_create(NULL);
    nn_tensor *part[2];
    part[0] = leaf(net, &d, 0), part[1] = leaf(other, &d, 0);
    check_refusal(net, nn_concat(2, part, 0), NN_ERROR_MISMATCH, "nn_concat: ", "networks", "");
    nn_net_destroy(other);
}

static nn_tensor *op_dense(nn_tensor *x) { return nn_dense(x, 4); }
static nn_tensor *op_slice(nn_tensor *x) { return nn_slice(x, 1, 1, 3); }
static nn_tensor *op_transpose(nn_tensor *x) { return nn_transpose(x, 0, 1); }
static nn_tensor *op_gram(nn_tensor *x) { return nn_matmul_with(x, 0, x, 1); }
static nn_tensor *op_concat(nn_tensor *x)
{
    nn_tensor *part[2];
    part[0] = part[1] = x;
    return nn_concat(2, part, -1);
}
static nn_tensor *op_reshape(nn_tensor *x)
{
    static const size_t shape[] = {3, 2};
    return nn_reshape(x, 2, shape);
}

/* As in test_two_consumers, for what stands in no table. */
static void test_two_consumers_of_others(void)
{
    static const unary_op op[] = {op_dense,  op_slice,   op_transpose, op_gram,
                                  op_concat, op_reshape, nn_flatten};
    static const dims d = {2, {2, 3}};
    for (size_t i = 0; i < 2 * COUNT(op); i++) {
        nn_net *net = nn_net_create(NULL);
        name_case("two consumers", &d, i);
        nn_tensor *x = nn_scale(leaf(net, &d, 3), 1.5), *loss;
        if (i % 2) loss = nn_add(probe(x), probe(op[i / 2](x)));
        else loss = nn_add(probe(op[i / 2](x)), probe(x));
        verify_loss(net, loss, 3, 0);
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
    verify(net, nn_softmax(nn_dense(nn_dropout(joined, 0.2), 5)), 4, 0);
}

/* --------------------------------------------------------------------------------------- losses */

/* What a kind of loss takes and uses, and how a case uses it. */
enum {
    LABELS = 1,
    TARGETS = 2,
    SMOOTHING = 4,
    DELTA = 8,
    MARGIN = 16,
    CLASS_WEIGHTS = 32,
    POSITIVE_WEIGHTS = 64,
    LINES = 128, /* one value for a line of classes, else for an element */
    SAMPLE_WEIGHTS = 256,
    IGNORE = 512
};

enum { MAX_LINES = 64, MAX_LINE = 32, IGNORED = -1 };

/* Cases have their numbers in a row; the last dimension is `cols` long. */
typedef struct loss_case {
    const struct loss_kind *kind;
    nn_loss_desc desc;
    int uses; /* LABELS, or else targets */
    size_t rows, steps, cols; /* steps 0: [rows, cols] */
    int labels[MAX_LINES];
    nn_real z[MAX_LINES * MAX_LINE], t[MAX_LINES * MAX_LINE], weights[MAX_LINES];
} loss_case;

/* The value of a line, or of its element j, before weights of samples: logits z, targets t. */
typedef struct loss_kind {
    const char *name;
    nn_loss_kind kind;
    nn_tensor *(*make)(nn_tensor *y); /* the short form */
    double (*value)(const double *z, const double *t, size_t n, size_t j, const nn_loss_desc *d);
    int uses;
} loss_kind;

static double class_weight(const nn_loss_desc *d, size_t j)
{
    return d->class_weights ? (double)d->class_weights[j] : 1;
}

static double value_of_softmax_cross_entropy(const double *z, const double *t, size_t n, size_t j,
                                             const nn_loss_desc *d)
{
    double loss = 0, s = d->label_smoothing;
    for (j = 0; j < n; j++)
        loss -= class_weight(d, j) * ((1 - s) * t[j] + s / (double)n) * log(softmax_of(z, n, j));
    return loss;
}

static double value_of_sigmoid_cross_entropy(const double *z, const double *t, size_t n, size_t j,
                                             const nn_loss_desc *d)
{
    const double p = 1 / (1 + exp(-z[j])), w = d->positive_weights ? d->positive_weights[j] : 1;
    (void)n;
    return -w * t[j] * log(p) - (1 - t[j]) * log(1 - p);
}

static double value_of_mse(const double *z, const double *t, size_t n, size_t j,
                           const nn_loss_desc *d)
{
    (void)n, (void)d;
    return (z[j] - t[j]) * (z[j] - t[j]);
}

static double value_of_l1(const double *z, const double *t, size_t n, size_t j,
                          const nn_loss_desc *d)
{
    (void)n, (void)d;
    return fabs(z[j] - t[j]);
}

static double value_of_huber(const double *z, const double *t, size_t n, size_t j,
                             const nn_loss_desc *d)
{
    const double e = fabs(z[j] - t[j]), delta = d->delta > 0 ? d->delta : 1;
    (void)n;
    return e <= delta ? e * e / 2 : delta * (e - delta / 2);
}

static double value_of_hinge(const double *z, const double *t, size_t n, size_t j,
                             const nn_loss_desc *d)
{
    double loss = 0, margin = d->margin > 0 ? d->margin : 1;
    size_t label = 0;
    while (t[label] == 0) label++;
    for (j = 0; j < n; j++)
        if (j != label) loss += fmax(0, z[j] - z[label] + margin);
    return class_weight(d, label) * loss;
}

static double value_of_kl_divergence(const double *z, const double *t, size_t n, size_t j,
                                     const nn_loss_desc *d)
{
    double loss = 0;
    (void)d;
    for (j = 0; j < n; j++) loss += t[j] > 0 ? t[j] * (log(t[j]) - z[j]) : 0;
    return loss;
}

static nn_tensor *huber_of_1(nn_tensor *y) { return nn_huber(y, 1); }

static const loss_kind loss_kinds[] = {
    {"softmax_cross_entropy", NN_LOSS_SOFTMAX_CROSS_ENTROPY, nn_softmax_cross_entropy,
     value_of_softmax_cross_entropy, LINES | LABELS | TARGETS | SMOOTHING | CLASS_WEIGHTS | IGNORE},
    {"sigmoid_cross_entropy", NN_LOSS_SIGMOID_CROSS_ENTROPY, nn_sigmoid_cross_entropy,
     value_of_sigmoid_cross_entropy, TARGETS | POSITIVE_WEIGHTS},
    {"mse", NN_LOSS_MSE, nn_mse, value_of_mse, TARGETS},
    {"l1_loss", NN_LOSS_L1, nn_l1_loss, value_of_l1, TARGETS},
    {"huber", NN_LOSS_HUBER, huber_of_1, value_of_huber, TARGETS | DELTA},
    {"hinge", NN_LOSS_HINGE, nn_hinge, value_of_hinge,
     LINES | LABELS | MARGIN | CLASS_WEIGHTS | IGNORE},
    {"kl_divergence", NN_LOSS_KL_DIVERGENCE, nn_kl_divergence, value_of_kl_divergence,
     LINES | TARGETS},
};

static size_t line_count(const loss_case *c) { return c->rows * (c->steps ? c->steps : 1); }

/* Logits, and targets that suit the loss: in (0, 1), in lines that sum to 1 for distributions.
   Where labels can be ignored every third one is. */
static void draw_case(loss_case *c)
{
    nn_rng rng = nn_rng_seed(c->rows * 100 + c->cols);
    for (size_t r = 0; r < line_count(c); r++) {
        double sum = 0;
        c->labels[r] = (int)nn_rng_below(&rng, c->cols);
        if (c->uses & IGNORE && r % 3 == 2) c->labels[r] = IGNORED;
        for (size_t i = r * c->cols; i < (r + 1) * c->cols; i++) {
            c->z[i] = (nn_real)(4 * nn_rng_uniform(&rng) - 2);
            c->t[i] = (nn_real)(0.05 + 0.9 * nn_rng_uniform(&rng));
            sum += (double)c->t[i];
        }
        for (size_t i = r * c->cols; i < (r + 1) * c->cols && c->kind->uses & LINES; i++)
            c->t[i] = (nn_real)((double)c->t[i] / sum);
    }
    for (size_t r = 0; r < c->rows; r++) c->weights[r] = (nn_real)((double)((r + 2) % 4) / 2);
}

/* Every value, as NN_REDUCE_NONE gives them, and what they come to: its mean divides by the weights
   of all that counted. */
static double expected_values(const loss_case *c, double *each)
{
    double sum = 0, count = 0;
    const int has_labels = c->uses & LABELS, has_lines = c->kind->uses & LINES;
    for (size_t r = 0; r < line_count(c); r++) {
        double z[MAX_LINE], t[MAX_LINE], weight = 1;
        const int ignored = has_labels && c->labels[r] == IGNORED;
        for (size_t i = 0; i < c->cols; i++) {
            z[i] = (double)c->z[r * c->cols + i];
            t[i] = has_labels ? (double)(c->labels[r] == (int)i) : (double)c->t[r * c->cols + i];
        }
        if (c->uses & SAMPLE_WEIGHTS) weight = (double)c->weights[r / (c->steps ? c->steps : 1)];
        for (size_t j = 0; j < (has_lines ? 1 : c->cols); j++) {
            *each = ignored ? 0 : weight * c->kind->value(z, t, c->cols, j, &c->desc);
            sum += *each++;
            if (has_labels && c->desc.class_weights && !ignored)
                count += weight * class_weight(&c->desc, (size_t)c->labels[r]);
            else count += ignored ? 0 : weight;
        }
    }
    return c->desc.reduction == NN_REDUCE_MEAN && count > 0 ? sum / count : sum;
}

static nn_tensor *case_input(nn_net *net, const loss_case *c)
{
    size_t shape[2];
    shape[0] = c->steps ? c->steps : c->cols, shape[1] = c->cols;
    return nn_input_shape(net, c->steps ? 2 : 1, shape);
}

static void feed_case(const loss_case *c, nn_tensor *x, nn_tensor *loss)
{
    CHECK_OK(nn_feed(x, c->z, c->rows));
    x->requires_grad = 1;
    if (c->uses & LABELS) CHECK_OK(nn_feed_labels(loss, c->labels, c->rows));
    else CHECK_OK(nn_feed_targets(loss, c->t, c->rows));
    if (c->uses & SAMPLE_WEIGHTS) CHECK_OK(nn_feed_weights(loss, c->weights, c->rows));
}

static void check_loss_value(const loss_case *c, const nn_tensor *loss)
{
    static double each[MAX_LINES * MAX_LINE];
    const double e = expected_values(c, each);
    if (c->desc.reduction != NN_REDUCE_NONE) {
        CHECK_INT(loss->rank, 0);
        CHECK_NEAR(loss->value, e, 8 * EPS * (1 + fabs(e)));
        CHECK_NEAR(loss->data[0], e, 8 * EPS * (1 + fabs(e)));
        return;
    }
    const int has_lines = (c->kind->uses & LINES) != 0;
    CHECK_INT(loss->rank, 1 + (c->steps > 0) + !has_lines);
    CHECK_INT(loss->shape[0], c->rows);
    if (c->steps) CHECK_INT(loss->shape[1], c->steps);
    CHECK_INT(loss->size, line_count(c) * (has_lines ? 1 : c->cols));
    check_numbers(loss->size, loss->data, each);
}

/* An element-wise loss has a gradient wherever something counts, and so has a classifier's of more
   than one class, unless every margin is kept. */
static int has_gradient(const loss_case *c)
{
    return !(c->kind->uses & LINES) || c->kind->kind == NN_LOSS_KL_DIVERGENCE ||
           (c->cols > 1 && c->kind->kind != NN_LOSS_HINGE);
}

static void check_loss(loss_case *c)
{
    static const nn_real weights[] = {(nn_real)0.5, 2,  1, (nn_real)0.25, 3, 1, 1, 2, 1, 1,
                                      2,            1, 1, 3,             1, 1, 2};
    const dims d = {3, {c->steps, c->cols, (size_t)c->desc.reduction}};
    if (c->uses & CLASS_WEIGHTS) c->desc.class_weights = weights;
    if (c->uses & POSITIVE_WEIGHTS) c->desc.positive_weights = weights;
    c->desc.sample_weights = (c->uses & SAMPLE_WEIGHTS) != 0;
    c->desc.ignore_label = (c->uses & IGNORE) != 0;
    c->desc.ignored_label = c->uses & IGNORE ? IGNORED : 0;
    name_case(c->kind->name, &d, c->rows);
    draw_case(c);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = case_input(net, c), *loss = nn_loss(x, c->kind->kind, &c->desc);
    nn_tensor *scalar = c->desc.reduction == NN_REDUCE_NONE ? probe(loss) : loss;
    CHECK_OK(nn_net_status(net));
    if (scalar) {
        feed_case(c, x, loss);
        CHECK_OK(nn_forward(scalar));
        check_loss_value(c, loss);
        check_gradients(scalar, MAY_VANISH | KINKS);
        double length = 0;
        CHECK_OK(nn_forward(scalar));
        CHECK_OK(nn_backward(scalar));
        for (size_t i = 0; i < x->size; i++) length += fabs((double)x->grad[i]);
        CHECK(length > 0 || !has_gradient(c));
    }
    nn_net_destroy(net);
}

/* Every kind with all that it uses, in every combination. */
static void test_losses(void)
{
    static const size_t shapes[][3] = {{1, 0, 1}, {1, 0, 4}, {5, 0, 3}, {3, 0, 17}, {16, 0, 10},
                                       {7, 0, 1}, {2, 3, 4}, {3, 2, 1}, {1, 5, 3}};
    static const double smoothing[] = {0, 0.1, 0.5}, delta[] = {0, 0.3, 2}, margin[] = {0, 0.5, 3};
    static const int options[] = {LABELS,           CLASS_WEIGHTS, POSITIVE_WEIGHTS,
                                  SAMPLE_WEIGHTS, IGNORE};
    static loss_case c;
    for (size_t k = 0; k < COUNT(loss_kinds); k++)
        for (size_t i = 0; i < COUNT(shapes) * 3 * 32; i++) {
            const loss_kind *kind = &loss_kinds[k];
            const size_t *shape = shapes[i / 3 / 32];
            memset(&c, 0, sizeof c);
            for (size_t o = 0; o < COUNT(options); o++) c.uses |= i >> o & 1 ? options[o] : 0;
            if (c.uses & ~(kind->uses | SAMPLE_WEIGHTS)) continue;
            if (c.uses & LABELS ? !(kind->uses & LABELS) : !(kind->uses & TARGETS)) continue;
            c.kind = kind, c.rows = shape[0], c.steps = shape[1], c.cols = shape[2];
            c.desc.reduction = (nn_reduction)(i / 32 % 3);
            if (kind->uses & SMOOTHING) c.desc.label_smoothing = smoothing[i / 96 % 3];
            if (kind->uses & DELTA) c.desc.delta = delta[i / 96 % 3];
            if (kind->uses & MARGIN) c.desc.margin = margin[i / 96 % 3];
            check_loss(&c);
        }
}

/* The short forms are the long ones with a zeroed desc. */
static void test_loss_defaults(void)
{
    static loss_case c;
    memset(&c, 0, sizeof c);
    c.rows = 4, c.cols = 3;
    for (size_t k = 0; k < COUNT(loss_kinds); k++) {
        c.kind = &loss_kinds[k];
        c.uses = c.kind->uses & TARGETS ? 0 : LABELS;
        test_current = c.kind->name;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = case_input(net, &c), *loss[3];
        loss[0] = c.kind->make(x);
        loss[1] = nn_loss(x, c.kind->kind, &c.desc);
        loss[2] = nn_loss(x, c.kind->kind, NULL);
        draw_case(&c);
        for (size_t i = 0; i < 3; i++) {
            feed_case(&c, x, loss[i]);
            CHECK_OK(nn_forward(loss[i]));
            check_loss_value(&c, loss[i]);
        }
        nn_net_destroy(net);
    }
}

/* -- PyTorch's values -- */

/* `call` is PyTorch 2.15's in torch.nn.functional, in double: of logits z, labels y or targets t,
   weights w of classes, p of positives and s of samples. They stand in check_torch_loss, with -1 in
   place of y[2] where labels are ignored. The numbers are the value and z.grad; of several
   values z.grad is that of the op table's function of them. */
typedef struct torch_loss {
    const char *call;
    nn_loss_kind kind;
    nn_reduction reduction;
    double number; /* smoothing, delta or margin */
    int uses, rank;
    double numbers[24];
} torch_loss;

static const torch_loss torch_losses[] = {
    {"cross_entropy(z, y)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, LABELS, 2,
     {1.2028707381049903, 0.04382259803500917, 0.009778143317671862, -0.05360074135268103,
      -0.07038991471223377, 0.05145915099941289, 0.01893076371282088, 0.03506109579152212,
      -0.09286707019705939, 0.05780597440553726, 0.18986829652424556, -0.24426647425011488,
      0.05439817772586931}},
    {"cross_entropy(z, t, reduction='sum')",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_SUM, 0, 0, 2,
     {6.798982952419962, -0.024709607859963317, -0.46088742672931254, 0.4855970345892759,
      0.7184403411510649, -0.7941633960023484, 0.07572305485128351, 0.015244383166088477,
      0.5035317192117624, -0.518776102377851, 0.5094731860969822, -0.22706589700045957,
      -0.2824072890965228}},
    {"cross_entropy(z, y, reduction='none')",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_NONE, 0, LABELS, 2,
     {0.24131129665715703, 0.3306726094072241, 0.4643687841079449, 3.7751302622476355,
      0.16865155481086594, 0.037631248434230206, -0.20628280324509612, -0.3257648392711835,
      0.2381531803652234, 0.08761165890596008, 0.12729247395220303, -0.33716228335724224,
      0.20986980940503913, 1.4651345022784084, -1.8849025652265397, 0.41976806294813107}},
    {"cross_entropy(z, y, w)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, LABELS | CLASS_WEIGHTS, 2,
     {1.6155719443767147, 0.03187098038909758, 0.007111376958306809, -0.038982357347404385,
      -0.025596332622630464, 0.01871241854524105, 0.0068839140773894105, 0.05099795751494127,
      -0.1350793748320864, 0.08408141731714511, 0.2761720676716299, -0.35529668981834894,
      0.07912462214671899}},
    {"cross_entropy(z, y, w, label_smoothing=0.1)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0.1, LABELS | CLASS_WEIGHTS, 2,
     {1.6121371155964364, 0.029371860365279515, -0.0048913122136001975, -0.0244805481516793,
      -0.01082735879049635, 0.009086195563394402, 0.0017411632271019375, 0.04584273958818235,
      -0.12036015845650704, 0.07451741886832466, 0.261634595155009, -0.33140175198500865,
      0.06976715682999965}},
    {"cross_entropy(z, t, w, label_smoothing=0.1)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0.1, CLASS_WEIGHTS, 2,
     {2.6183582455414096, 0.03366244329486262, -0.2282054226993384, 0.19454297940447574,
      0.34008599680155194, -0.3680366272511253, 0.02795063044957335, 0.01938846735965394,
      0.0956738726010717, -0.11506233996072565, 0.18210128482529395, -0.12269256050742142,
      -0.05940872431787257}},
    {"cross_entropy(z, y, w, ignore_index=-1, label_smoothing=0.1)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0.1, LABELS | CLASS_WEIGHTS | IGNORE, 2,
     {2.262394466544811, 0.04615578057401067, -0.007686347764228879, -0.03846943280978176,
      -0.01701442095649427, 0.014278307313905492, 0.002736113642588761, 0, 0, 0,
      0.4111400781007284, -0.520774181690728, 0.10963410358999945}},
    {"cross_entropy(z, y, ignore_index=-1)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, LABELS | IGNORE, 2,
     {1.4490380561040055, 0.05843013071334556, 0.013037524423562482, -0.07146765513690803,
      -0.09385321961631168, 0.06861220133255051, 0.02524101828376117, 0, 0, 0, 0.25315772869899406,
      -0.3256886323334865, 0.07253090363449241}},
    {"cross_entropy(z, y, w, ignore_index=-1, reduction='none')",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_NONE, 0, LABELS | CLASS_WEIGHTS | IGNORE, 2,
     {0.24131129665715703, 0.16533630470361205, 0, 7.550260524495271, 0.16865155481086594,
      0.037631248434230206, -0.20628280324509612, -0.1512444112486686, 0.11056852431318359,
      0.04067588693548501, 0, 0, 0, 5.797379212757165, -7.458356166429646, 1.6609769536724803}},
    {"(s * cross_entropy(z, y, reduction='none')).sum() / s.sum()",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, LABELS | SAMPLE_WEIGHTS, 2,
     {2.2734023216731543, 0.05008296918286762, 0.011175020934482128, -0.061257990117349746,
      -0.040222808406990725, 0.02940522914252165, 0.010817579264469072, 0, 0, 0,
      0.4339846777697041, -0.5583233697145483, 0.12433869194484412}},
    {"cross_entropy(z.transpose(1, 2), y, w, ignore_index=-1)",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, LABELS | CLASS_WEIGHTS | IGNORE, 3,
     {2.2734023216731543, 0.05008296918286762, 0.011175020934482128, -0.061257990117349746,
      -0.040222808406990725, 0.02940522914252165, 0.010817579264469072, 0, 0, 0,
      0.4339846777697041, -0.5583233697145483, 0.12433869194484412}},
    {"cross_entropy(z.transpose(1, 2), y, reduction='none')",
     NN_LOSS_SOFTMAX_CROSS_ENTROPY, NN_REDUCE_NONE, 0, LABELS, 3,
     {0.24131129665715703, 0.3306726094072241, 0.4643687841079449, 3.7751302622476355,
      0.16865155481086594, 0.037631248434230206, -0.20628280324509612, -0.3257648392711835,
      0.2381531803652234, 0.08761165890596008, 0.12729247395220303, -0.33716228335724224,
      0.20986980940503913, 1.4651345022784084, -1.8849025652265397, 0.41976806294813107}},
    {"binary_cross_entropy_with_logits(z, t)",
     NN_LOSS_SIGMOID_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, 0, 2,
     {0.9384740445097247, 0.03520494426682121, -0.019254881552500408, 0.048399756498156865,
      0.0681312063494703, -0.03648529159285016, 0.026735108402050584, 0.021045055733178785,
      0.05050488155250041, -0.020833333333333332, 0.052566423164823524, -0.005631206349470304,
      0.014931558264616082}},
    {"binary_cross_entropy_with_logits(z, t, pos_weight=p)",
     NN_LOSS_SIGMOID_CROSS_ENTROPY, NN_REDUCE_MEAN, 0, POSITIVE_WEIGHTS, 2,
     {0.9328976550427107, 0.022620255306883035, -0.019254881552500408, 0.050634811286071564,
      0.0681312063494703, -0.03648529159285016, 0.026735108402050584, 0.008077152999806816,
      0.05050488155250041, 0.0026041666666666665, 0.047599634747235296, -0.005631206349470304,
      0.02495722391538505}},
    {"binary_cross_entropy_with_logits(z, t, s, pos_weight=p, reduction='none')",
     NN_LOSS_SIGMOID_CROSS_ENTROPY, NN_REDUCE_NONE, 0, POSITIVE_WEIGHTS | SAMPLE_WEIGHTS, 2,
     {1.0637077778521493, 0.8132616875182228, 1.4983692085583036, 0.8507066389913762,
      0.2879697099394218, 0.19343550305744994, 0, 0, 0, 3.3807840331289176, 1.1528265559655049,
      1.2335887576436249, 0.372779511157864, -0.32308820636664054, 0.8656412608080273,
      0.19087665284629865, 0.10242290487544362, -0.14129168454313545, 0, 0, 0, 2.9026203620568847,
      -0.2116123812283647, 0.7665443267082788}},
    {"mse_loss(z, t)",
     NN_LOSS_MSE, NN_REDUCE_MEAN, 0, 0, 2,
     {1.3759375, 0.049999999999999996, -0.25, 0.2833333333333333, 0.25, -0.125, -0.125,
      -0.10416666666666666, 0.14583333333333331, -0.125, 0.29166666666666663, -0.29166666666666663,
      0.041666666666666664}},
    {"mse_loss(z, t, reduction='none')",
     NN_LOSS_MSE, NN_REDUCE_NONE, 0, 0, 3,
     {0.09, 2.25, 2.8899999999999997, 2.25, 0.5625, 0.5625, 0.390625, 0.765625, 0.5625, 3.0625,
      3.0625, 0.0625, 0.5318825908847379, -6.349994431357406, 7.209574813873913,
      3.4997419872998723, 0.4959118364140784, 1.0444201764976455, 0.860177694650192,
      0.015637711547085514, -0.8891870452700669, 8.335903172199975, -8.822128863181836,
      0.34710961504109167}},
    {"(s * mse_loss(z, t, reduction='none')).sum() / (6 * s.sum())",
     NN_LOSS_MSE, NN_REDUCE_MEAN, 0, SAMPLE_WEIGHTS, 3,
     {1.3953472222222223, 0.06666666666666667, -0.3333333333333333, 0.37777777777777777,
      0.3333333333333333, -0.16666666666666666, -0.16666666666666666, -0.06944444444444445,
      0.09722222222222221, -0.08333333333333333, 0.19444444444444442, -0.19444444444444442,
      0.027777777777777776}},
    {"l1_loss(z, t, reduction='sum')",
     NN_LOSS_L1, NN_REDUCE_SUM, 0, 0, 2,
     {12.5, 1, -1, 1, 1, -1, -1, -1, 1, -1, 1, -1, 1}},
    {"huber_loss(z, t, delta=0.5)",
     NN_LOSS_HUBER, NN_REDUCE_MEAN, 0.5, 0, 2,
     {0.40010416666666665, 0.024999999999999998, -0.041666666666666664, 0.041666666666666664,
      0.041666666666666664, -0.041666666666666664, -0.041666666666666664, -0.041666666666666664,
      0.041666666666666664, -0.041666666666666664, 0.041666666666666664, -0.041666666666666664,
      0.020833333333333332}},
    {"huber_loss(z, t, delta=0.5, reduction='none')",
     NN_LOSS_HUBER, NN_REDUCE_NONE, 0.5, 0, 2,
     {0.045, 0.625, 0.725, 0.625, 0.25, 0.25, 0.1875, 0.3125, 0.25, 0.75, 0.75, 0.03125,
      0.2591912954423689, -0.6520824052262343, 0.5189815902755754, 0.17704033121664547,
      0.24342894547135946, 0.4262650588325485, 0.3948523278600768, -0.10881333241511842,
      -0.21827068175668893, 0.6127183103142821, -0.682179123311691, 0.16964855752054583}},
    {"3 * multi_margin_loss(z, y)",
     NN_LOSS_HINGE, NN_REDUCE_MEAN, 0, LABELS, 2,
     {1.9375, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.25, -0.5, 0.25}},
    {"3 * multi_margin_loss(z, y, margin=0.5, weight=w, reduction='none')",
     NN_LOSS_HINGE, NN_REDUCE_NONE, 0.5, LABELS | CLASS_WEIGHTS, 2,
     {0, 0, 0, 13.5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13.583161324866582, -27.166322649733164,
      13.583161324866582}},
    {"3 * multi_margin_loss(z, y, weight=w, reduction='sum') / w[y].sum()",
     NN_LOSS_HINGE, NN_REDUCE_MEAN, 0, LABELS | CLASS_WEIGHTS, 2,
     {2.8181818181818183, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.3636363636363636, -0.7272727272727272,
      0.3636363636363636}},
    {"kl_div(z, t, reduction='batchmean')",
     NN_LOSS_KL_DIVERGENCE, NN_REDUCE_MEAN, 0, 0, 2,
     {-0.9543739311658215, -0.05, -0.125, -0.075, 0, -0.25, 0, -0.03125, -0.03125, -0.1875,
      -0.0625, -0.0625, -0.125}},
    {"kl_div(z, t, reduction='none').sum(-1)",
     NN_LOSS_KL_DIVERGENCE, NN_REDUCE_NONE, 0, 0, 3,
     {-1.2296530140645736, -0.25, -0.7981219397587946, -1.539720770839918, -0.04532889555512194,
      -0.11332223888780485, -0.0679933433326829, 0, -0.8666648104524686, 0, -0.034550276333969204,
      -0.034550276333969204, -0.20730165800381523, 0.18206993074666702, 0.18206993074666702,
      0.36413986149333405}},
    {"(s * kl_div(z, t, reduction='none').sum(-1)).sum() / s.sum()",
     NN_LOSS_KL_DIVERGENCE, NN_REDUCE_MEAN, 0, SAMPLE_WEIGHTS, 2,
     {-1.266884158784117, -0.05714285714285714, -0.14285714285714285, -0.0857142857142857, 0,
      -0.14285714285714285, 0, 0, 0, 0, -0.14285714285714285, -0.14285714285714285,
      -0.2857142857142857}}
};

static void check_torch_loss(const torch_loss *c)
{
    static const nn_real z[] = {(nn_real)0.5, -1, 2, (nn_real)1.5, (nn_real)0.25, (nn_real)-0.75,
                                (nn_real)-0.5, 1, 0, 2, (nn_real)-1.5, (nn_real)0.75};
    static const nn_real t[] = {(nn_real)0.2, (nn_real)0.5, (nn_real)0.3, 0, 1, 0, (nn_real)0.125,
                                (nn_real)0.125, (nn_real)0.75, (nn_real)0.25, (nn_real)0.25,
                                (nn_real)0.5};
    static const nn_real w[] = {(nn_real)0.5, 2, 1}, p[] = {3, 1, (nn_real)0.25};
    static const nn_real s[] = {1, (nn_real)0.5, 0, 2};
    static const int y[] = {2, 0, 1, 1}, y_ignored[] = {2, 0, -1, 1};
    static const size_t shape[] = {2, 3};
    const size_t rows = c->rank == 2 ? 4 : 2;
    nn_loss_desc d;
    memset(&d, 0, sizeof d);
    d.reduction = c->reduction;
    if (c->kind == NN_LOSS_SOFTMAX_CROSS_ENTROPY) d.label_smoothing = c->number;
    if (c->kind == NN_LOSS_HUBER) d.delta = c->number;
    if (c->kind == NN_LOSS_HINGE) d.margin = c->number;
    if (c->uses & CLASS_WEIGHTS) d.class_weights = w;
    if (c->uses & POSITIVE_WEIGHTS) d.positive_weights = p;
    if (c->uses & IGNORE) d.ignore_label = 1, d.ignored_label = -1;
    d.sample_weights = (c->uses & SAMPLE_WEIGHTS) != 0;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, c->rank - 1, shape + (3 - c->rank));
    nn_tensor *loss = nn_loss(x, c->kind, &d);
    nn_tensor *scalar = c->reduction == NN_REDUCE_NONE ? probe(loss) : loss;
    CHECK_OK(nn_net_status(net));
    if (scalar) {
        x->requires_grad = 1;
        CHECK_OK(nn_feed(x, z, rows));
        if (c->uses & LABELS)
            CHECK_OK(nn_feed_labels(loss, c->uses & IGNORE ? y_ignored : y, rows));
        else CHECK_OK(nn_feed_targets(loss, t, rows));
        if (d.sample_weights) CHECK_OK(nn_feed_weights(loss, s, rows));
        CHECK_OK(nn_forward(scalar));
        CHECK_OK(nn_backward(scalar));
        check_numbers(x->size, x->grad, check_numbers(loss->size, loss->data, c->numbers));
    }
    nn_net_destroy(net);
}

static void test_torch_losses(void)
{
    for (size_t k = 0; k < COUNT(torch_losses); k++) {
        test_current = torch_losses[k].call;
        check_torch_loss(&torch_losses[k]);
    }
}

/* -- special cases -- */

/* Nothing that counts: the mean is 0, and so is every gradient. */
static void test_losses_of_nothing(void)
{
    static const nn_real z[] = {1, 2, 3, 4}, no_weights[] = {0, 0};
    static const int labels[] = {1, 1};
    for (int by = 0; by < 3; by++) {
        nn_loss_desc d;
        memset(&d, 0, sizeof d);
        if (by == 0) d.ignore_label = d.ignored_label = 1;
        if (by == 1) d.sample_weights = 1;
        if (by == 2) d.class_weights = no_weights;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input(net, 2), *loss = nn_loss(x, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &d);
        x->requires_grad = 1;
        CHECK_OK(nn_feed(x, z, 2));
        CHECK_OK(nn_feed_labels(loss, labels, 2));
        if (by == 1) CHECK_OK(nn_feed_weights(loss, no_weights, 2));
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_NEAR(loss->value, 0, 0);
        for (size_t i = 0; i < 4; i++) CHECK_NEAR(x->grad[i], 0, 0);
        nn_net_destroy(net);
    }
}

/* A weight of 0 takes a sample out, whatever its values are. */
static void test_weight_of_0_masks(void)
{
    static const nn_real z[] = {1, (nn_real)NAN, 3}, t[] = {0, 0, 1}, weights[] = {1, 0, 3};
    static const int labels[] = {0, 0, 0};
    for (size_t k = 0; k < COUNT(loss_kinds); k++)
        for (int reduction = 0; reduction < 3; reduction++) {
            const loss_kind *kind = &loss_kinds[k];
            nn_loss_desc d;
            memset(&d, 0, sizeof d);
            d.sample_weights = 1;
            d.reduction = (nn_reduction)reduction;
            if (kind->uses & LINES) continue; /* of one column: always 0 */
            nn_net *net = nn_net_create(NULL);
            test_current = kind->name;
            nn_tensor *x = nn_input(net, 1), *loss = nn_loss(x, kind->kind, &d);
            nn_tensor *sum = nn_sum(loss);
            x->requires_grad = 1;
            CHECK_OK(nn_feed(x, z, 3));
            if (kind->uses & TARGETS) CHECK_OK(nn_feed_targets(loss, t, 3));
            else CHECK_OK(nn_feed_labels(loss, labels, 3));
            CHECK_OK(nn_feed_weights(loss, weights, 3));
            CHECK_OK(nn_forward(sum));
            CHECK_OK(nn_backward(sum));
            CHECK(!is_nan(sum->data[0]));
            CHECK_NEAR(x->grad[1], 0, 0);
            nn_net_destroy(net);
        }
}

/* 0 log 0 is 0, and a distribution has no divergence from itself. */
static void test_kl_divergence_limits(void)
{
    static const nn_real logs[] = {0, (nn_real)-INFINITY, (nn_real)-0.69314718055994531,
                                   (nn_real)-0.69314718055994531};
    static const nn_real t[] = {1, 0, (nn_real)0.5, (nn_real)0.5};
    static const double slope[] = {-1, 0, -0.5, -0.5};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *loss = nn_kl_divergence(x);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, logs, 2));
    CHECK_OK(nn_feed_targets(loss, t, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_NEAR(loss->value, 0, EPS);
    for (size_t i = 0; i < 4; i++) CHECK_NEAR(x->grad[i], slope[i] / 2, 0);
    nn_net_destroy(net);
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
    check_gradients(loss, 0);
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

/* -- what is refused -- */

#define M NN_REDUCE_MEAN
static const nn_real two_weights[] = {1, 2};

static const struct {
    const char *name;
    int uses;
    nn_loss_desc desc;
} loss_members[] = {
    {"label_smoothing", SMOOTHING, {M, NN_ANSWERS_ANY, 0.1, 0, 0, NULL, NULL, 0, 0, 0}},
    {"delta", DELTA, {M, NN_ANSWERS_ANY, 0, 0.5, 0, NULL, NULL, 0, 0, 0}},
    {"margin", MARGIN, {M, NN_ANSWERS_ANY, 0, 0, 0.5, NULL, NULL, 0, 0, 0}},
    {"margin", MARGIN, {M, NN_ANSWERS_ANY, 0, 0, NN_ZERO, NULL, NULL, 0, 0, 0}},
    {"class_weights", CLASS_WEIGHTS, {M, NN_ANSWERS_ANY, 0, 0, 0, two_weights, NULL, 0, 0, 0}},
    {"positive_weights", POSITIVE_WEIGHTS,
     {M, NN_ANSWERS_ANY, 0, 0, 0, NULL, two_weights, 0, 0, 0}},
    {"ignore_label", IGNORE, {M, NN_ANSWERS_ANY, 0, 0, 0, NULL, NULL, 1, 0, 0}},
    {"", 0, {NN_REDUCE_NONE, NN_ANSWERS_ANY, 0, 0, 0, NULL, NULL, 0, 0, 1}}};

/* A member is taken by the kinds that use it, and refused by name by the others. */
static void test_loss_members(void)
{
    char call[64];
    for (size_t i = 0; i < COUNT(loss_kinds) * COUNT(loss_members); i++) {
        const loss_kind *kind = &loss_kinds[i / COUNT(loss_members)];
        const size_t m = i % COUNT(loss_members);
        nn_net *net = nn_net_create(NULL);
        test_current = kind->name;
        snprintf(call, sizeof call, "nn_%s: ", kind->name);
        const nn_tensor *t = nn_loss(nn_input(net, 2), kind->kind, &loss_members[m].desc);
        if ((kind->uses & loss_members[m].uses) == loss_members[m].uses) {
            CHECK(t != NULL);
            CHECK_OK(nn_net_status(net));
            nn_net_destroy(net);
        } else check_refusal(net, t, NN_ERROR_BAD_ARGUMENT, call, loss_members[m].name, "not use");
    }
}

static void test_loss_numbers_out_of_range(void)
{
    static const nn_real minus[] = {1, -1}, nan[] = {(nn_real)NAN, 1},
                         infinite[] = {1, (nn_real)INFINITY};
    static const struct {
        nn_loss_kind kind;
        const char *part;
        nn_loss_desc desc;
    } rows[] = {
        {NN_LOSS_SOFTMAX_CROSS_ENTROPY,
         "label_smoothing is 1,",
         {M, NN_ANSWERS_ANY, 1, 0, 0, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_SOFTMAX_CROSS_ENTROPY,
         "label_smoothing is -0.1,",
         {M, NN_ANSWERS_ANY, -0.1, 0, 0, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_SOFTMAX_CROSS_ENTROPY,
         "label_smoothing is",
         {M, NN_ANSWERS_ANY, NAN, 0, 0, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_HUBER, "delta is -1,", {M, NN_ANSWERS_ANY, 0, -1, 0, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_HUBER, "delta is inf", {M, NN_ANSWERS_ANY, 0, INFINITY, 0, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_HINGE, "margin is -1,", {M, NN_ANSWERS_ANY, 0, 0, -1, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_SOFTMAX_CROSS_ENTROPY,
         "class_weights[1] is -1",
         {M, NN_ANSWERS_ANY, 0, 0, 0, minus, NULL, 0, 0, 0}},
        {NN_LOSS_HINGE, "class_weights[0] is", {M, NN_ANSWERS_ANY, 0, 0, 0, nan, NULL, 0, 0, 0}},
        {NN_LOSS_SIGMOID_CROSS_ENTROPY,
         "positive_weights[1] is inf",
         {M, NN_ANSWERS_ANY, 0, 0, 0, NULL, infinite, 0, 0, 0}},
        {NN_LOSS_MSE,
         "reduction is 3",
         {(nn_reduction)3, NN_ANSWERS_ANY, 0, 0, 0, NULL, NULL, 0, 0, 0}},
        {NN_LOSS_HINGE, "ignored_label", {M, NN_ANSWERS_ANY, 0, 0, 0, NULL, NULL, 0, 1, 0}}};
    for (size_t k = 0; k < COUNT(rows); k++) {
        nn_net *net = nn_net_create(NULL);
        test_current = rows[k].part;
        check_refusal(net, nn_loss(nn_input(net, 2), rows[k].kind, &rows[k].desc),
                      NN_ERROR_BAD_ARGUMENT, "nn_", rows[k].part, "");
    }
    static const double bad_deltas[] = {0, -1, NAN, INFINITY};
    for (size_t k = 0; k < COUNT(bad_deltas); k++) {
        nn_net *net = nn_net_create(NULL);
        check_refusal(net, nn_huber(nn_input(net, 2), bad_deltas[k]), NN_ERROR_BAD_ARGUMENT,
                      "nn_huber: ", "delta", "");
    }
    nn_net *net = nn_net_create(NULL);
    check_refusal(net, nn_loss(nn_input(net, 2), NN_LOSS_COUNT, NULL), NN_ERROR_BAD_ARGUMENT,
                  "nn_loss: ", "kind", "");
}

/* Losses compare samples; cross-entropies take logits. */
static void test_loss_sources(void)
{
    static const dims d = {2, {2, 3}}, none = {0, {0}};
    char call[64];
    for (size_t k = 0; k < COUNT(loss_kinds); k++) {
        const loss_kind *kind = &loss_kinds[k];
        const int takes_logits = kind->kind == NN_LOSS_SOFTMAX_CROSS_ENTROPY ||
                                 kind->kind == NN_LOSS_SIGMOID_CROSS_ENTROPY;
        test_current = kind->name;
        snprintf(call, sizeof call, "nn_%s: ", kind->name);
        CHECK(kind->make(NULL) == NULL);
        CHECK(strncmp(nn_last_error(), call, strlen(call)) == 0);
        nn_net *net = nn_net_create(NULL);
        check_refusal(net, kind->make(leaf(net, &d, 0)), NN_ERROR_BAD_SHAPE, call, "[2 3]",
                      "batch");
        net = nn_net_create(NULL);
        check_refusal(net, kind->make(leaf(net, &none, 1)), NN_ERROR_BAD_SHAPE, call, "[batch]",
                      "");
        for (int i = 0; i < 2; i++) {
            net = nn_net_create(NULL);
            nn_tensor *x = nn_input(net, 3), *t = kind->make(i ? nn_sigmoid(x) : nn_softmax(x));
            if (takes_logits)
                check_refusal(net, t, NN_ERROR_BAD_ARGUMENT, call, i ? "sigmoid" : "softmax",
                              "logits");
            else {
                CHECK_OK(nn_net_status(net));
                nn_net_destroy(net);
            }
        }
    }
}

static void test_weights_and_ignored_labels_fed(void)
{
    static const nn_real z[] = {1, 2, 3, 4}, minus[] = {1, -1}, nan[] = {(nn_real)NAN, 1},
                         infinite[] = {1, (nn_real)INFINITY}, three[] = {1, 1, 1};
    static const int labels[] = {0, 7}, other[] = {0, 8};
    nn_loss_desc d;
    memset(&d, 0, sizeof d);
    d.sample_weights = d.ignore_label = 1, d.ignored_label = 7;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *loss = nn_loss(x, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &d);
    nn_tensor *plain = nn_softmax_cross_entropy(x);
    CHECK_ERROR(nn_feed_weights(plain, z, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights: ",
                "sample_weights");
    CHECK_ERROR(nn_feed_weights(x, z, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights: ", "input");
    CHECK_ERROR(nn_feed_weights(NULL, z, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights: ", "NULL");
    CHECK_ERROR(nn_feed_weights(loss, NULL, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights: ", "NULL");
    CHECK_ERROR(nn_feed_weights(loss, z, 0), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights: ", "0 rows");
    CHECK_ERROR(nn_feed_weights(loss, minus, 2), NN_ERROR_BAD_ARGUMENT, "weight 1 is -1", "");
    CHECK_ERROR(nn_feed_weights(loss, nan, 2), NN_ERROR_BAD_ARGUMENT, "weight 0 is", "");
    CHECK_ERROR(nn_feed_weights(loss, infinite, 2), NN_ERROR_BAD_ARGUMENT, "weight 1 is inf", "");
    CHECK_ERROR(nn_feed_labels(loss, other, 2), NN_ERROR_BAD_LABEL, "label 8 at index 1", "0 to 1");
    CHECK_ERROR(nn_feed_labels(plain, labels, 2), NN_ERROR_BAD_LABEL, "label 7 at index 1", "");
    CHECK_OK(nn_feed(x, z, 2));
    CHECK_OK(nn_feed_labels(loss, labels, 2));
    CHECK_ERROR(nn_forward(loss), NN_ERROR_EMPTY, "softmax_cross_entropy", "no weights");
    CHECK_OK(nn_feed_weights(loss, three, 3));
    CHECK_ERROR(nn_forward(loss), NN_ERROR_MISMATCH, "3 weights", "batch of 2");
    CHECK_OK(nn_feed_weights(loss, three, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, 1 + log1p(exp(-1.0)), 8 * EPS);
    nn_net_destroy(net);
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
    set_leaves(loss->net, 2, 0);
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
        check_gradients(loss, 0);
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
    RUN(test_limits);
    RUN(test_log_of_small_numbers);
    RUN(test_ties_of_two);
    RUN(test_ties_of_a_line);
    RUN(test_scalars_in_double);
    RUN(test_activation_values);
    RUN(test_softmax_values);
    RUN(test_torch_values);
    RUN(test_operations);
    RUN(test_broadcasting);
    RUN(test_two_consumers);
    RUN(test_broadcast_of_computed_operand);
    RUN(test_broadcast_over_a_batch_of_one);
    RUN(test_difference_with_itself);
    RUN(test_custom_value);
    RUN(test_missing_operands);
    RUN(test_axes_out_of_range);
    RUN(test_axes_of_a_scalar);
    RUN(test_shapes_that_do_not_broadcast);
    RUN(test_too_many_dimensions);
    RUN(test_numbers_out_of_range);
    RUN(test_torch_matmul);
    RUN(test_matmul);
    RUN(test_matmul_over_leading_dimensions);
    RUN(test_matmul_refusals);
    RUN(test_matmul_operands);
    RUN(test_matmul_with_itself);
    RUN(test_matmul_adds_its_gradients);
    RUN(test_dense_values);
    RUN(test_dense);
    RUN(test_permute);
    RUN(test_transpose);
    RUN(test_slice);
    RUN(test_concat);
    RUN(test_concat_of_the_same);
    RUN(test_reshape);
    RUN(test_wrong_shapes);
    RUN(test_arrangements_of_nothing);
    RUN(test_concat_of_two_networks);
    RUN(test_two_consumers_of_others);
    RUN(test_deep_chain);
    RUN(test_losses);
    RUN(test_loss_defaults);
    RUN(test_torch_losses);
    RUN(test_losses_of_nothing);
    RUN(test_weight_of_0_masks);
    RUN(test_kl_divergence_limits);
    RUN(test_binary_labels);
    RUN(test_extreme_logits);
    RUN(test_loss_members);
    RUN(test_loss_numbers_out_of_range);
    RUN(test_loss_sources);
    RUN(test_weights_and_ignored_labels_fed);
    RUN(test_penalty_value);
    RUN(test_penalty_gradient);
    RUN(test_penalty_selection);
    return test_done("test_ops");
}
