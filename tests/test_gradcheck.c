/* The gradient checker: right gradients pass, and every way of breaking one is caught. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define SLIGHTLY 1.01 /* a factor that the default tolerances must refuse */
#define STEP 1e-5     /* the default h */
#else
#define SLIGHTLY 1.1
#define STEP 1e-2
#endif

enum { ROWS = 5, IN = 4, OUT = 3 };

static const nn_init zero_init = {NN_INIT_ZERO, 0, 0, 0, 0};

/* ---------------------------------------------------------------------------------------- tools */

static void fill(nn_real *x, size_t n, uint64_t seed)
{
    nn_rng rng = nn_rng_seed(seed);
    for (size_t i = 0; i < n; i++) x[i] = (nn_real)(2 * nn_rng_uniform(&rng) - 1);
}

/* Whether one of the numbers in a message is v, to the digits that are printed. */
static int message_holds(const char *message, double v)
{
    for (const char *p = message; *p; p++) {
        if (!strchr("+-.0123456789", *p) || (p > message && strchr(".0123456789eE", p[-1])))
            continue;
        char *end;
        double x = strtod(p, &end);
        if (end != p && fabs(x - v) <= 2e-3 * fabs(v)) return 1;
    }
    return 0;
}

static nn_gradcheck_desc default_desc(void)
{
    nn_gradcheck_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

/* --------------------------------------------- an affine operation whose gradient can be broken */

typedef enum fault {
    NONE,
    SIGN,            /* every gradient negated */
    DOUBLED,         /* times 2 */
    MISSING_TERM,    /* the last sample is left out of the sums */
    NO_BIAS,         /* nothing for the bias */
    NO_ELEMENT,      /* nothing for the weight's element BROKEN */
    SIGN_OF_ELEMENT, /* that element negated */
    WRONG_ELEMENT,   /* the weight's gradient moved on by one element */
    SLIGHTLY_OFF,    /* one weight's gradient is off by one per cent (float: ten) */
    BIAS_OFF,        /* the bias gradient averaged instead of summed */
    NAN_ELEMENT,     /* one weight's gradient is not a number */
    INFINITE,        /* one weight's gradient is infinite */
    NOTHING,         /* no gradient at all */
    INPUT_SIGN,      /* the input's gradient negated */
    FAULT_COUNT
} fault;

enum { BROKEN = 7 };

static nn_status affine_forward(nn_tensor *t)
{
    const nn_real *x = t->src[0]->data, *w = t->src[1]->data, *b = t->src[2]->data;
    for (size_t r = 0; r < t->shape[0]; r++)
        for (size_t j = 0; j < OUT; j++) {
            double sum = (double)b[j];
            for (size_t i = 0; i < IN; i++) sum += (double)x[r * IN + i] * (double)w[i * OUT + j];
            t->data[r * OUT + j] = (nn_real)sum;
        }
    return NN_OK;
}

/* The right gradients of weight, bias and input, summed over the first `rows` rows. */
static void affine_gradients(const nn_tensor *t, size_t rows, double *dw, double *db, double *dx)
{
    for (size_t i = 0; i < IN * OUT; i++) dw[i] = 0;
    for (size_t j = 0; j < OUT; j++) db[j] = 0;
    for (size_t i = 0; i < ROWS * IN; i++) dx[i] = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < OUT; j++) {
            double dy = (double)t->grad[r * OUT + j];
            db[j] += dy;
            for (size_t i = 0; i < IN; i++) {
                dw[i * OUT + j] += dy * (double)t->src[0]->data[r * IN + i];
                dx[r * IN + i] += dy * (double)t->src[1]->data[i * OUT + j];
            }
        }
}

static void break_gradients(fault f, double *dw, double *db, double *dx)
{
    double all = f == SIGN ? -1 : f == DOUBLED ? 2 : f == NOTHING ? 0 : 1, last = dw[IN * OUT - 1];
    if (f == WRONG_ELEMENT) {
        memmove(dw + 1, dw, (IN * OUT - 1) * sizeof *dw);
        dw[0] = last;
    }
    if (f == NO_ELEMENT) dw[BROKEN] = 0;
    if (f == SIGN_OF_ELEMENT) dw[BROKEN] = -dw[BROKEN];
    if (f == SLIGHTLY_OFF) dw[BROKEN] *= SLIGHTLY;
    if (f == NAN_ELEMENT) dw[BROKEN] = NAN;
    if (f == INFINITE) dw[BROKEN] = INFINITY;
    for (size_t i = 0; i < IN * OUT; i++) dw[i] *= all;
    for (size_t j = 0; j < OUT; j++) db[j] *= f == NO_BIAS ? 0 : f == BIAS_OFF ? 1. / ROWS : all;
    for (size_t i = 0; i < ROWS * IN; i++) dx[i] *= f == INPUT_SIGN ? -1 : all;
}

static void add_gradient(nn_tensor *t, const double *g)
{
    if (!t->grad) return;
    for (size_t i = 0; i < t->size; i++) t->grad[i] += (nn_real)g[i];
}

static nn_status affine_backward(nn_tensor *t)
{
    fault f = *(const fault *)t->settings;
    double dw[IN * OUT], db[OUT], dx[ROWS * IN];
    affine_gradients(t, t->shape[0] - (f == MISSING_TERM), dw, db, dx);
    break_gradients(f, dw, db, dx);
    add_gradient(t->src[0], dx);
    add_gradient(t->src[1], dw);
    add_gradient(t->src[2], db);
    return NN_OK;
}

/* Big enough that a fault exceeds the tolerances of float, too. */
static nn_tensor *affine_loss(nn_net *net, fault *f)
{
    static const size_t weight[] = {IN, OUT}, bias[] = {OUT};
    nn_op op;
    nn_tensor *src[3];
    memset(&op, 0, sizeof op);
    op.name = "affine", op.forward = affine_forward, op.backward = affine_backward;
    src[0] = nn_name(nn_input(net, IN), "pixels");
    src[1] = nn_parameter(net, 2, weight, zero_init, "weight");
    src[2] = nn_parameter(net, 1, bias, zero_init, "bias");
    nn_loss_desc sum;
    memset(&sum, 0, sizeof sum);
    sum.reduction = NN_REDUCE_SUM;
    return nn_loss(nn_name(nn_custom(3, src, 1, 1, bias, &op, f), "affine"), NN_LOSS_MSE, &sum);
}

static nn_tensor *fed_affine_loss(nn_net *net, fault *f)
{
    nn_real x[ROWS * IN], targets[ROWS * OUT];
    nn_tensor *loss = affine_loss(net, f);
    CHECK_OK(nn_net_status(net));
    fill(x, COUNT(x), 1);
    fill(targets, COUNT(targets), 2);
    fill(nn_net_find(net, "weight")->data, IN * OUT, 3);
    fill(nn_net_find(net, "bias")->data, OUT, 4);
    nn_net_find(net, "pixels")->requires_grad = 1;
    CHECK_OK(nn_feed(nn_net_find(net, "pixels"), x, ROWS));
    CHECK_OK(nn_feed_targets(loss, targets, ROWS));
    return loss;
}

/* The true gradient of one element of a tensor, from backward without a fault. */
static double true_gradient(nn_tensor *loss, const char *name, size_t index)
{
    fault *f = (fault *)nn_net_find(loss->net, "affine")->settings, kept = *f;
    *f = NONE;
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    *f = kept;
    return (double)nn_net_find(loss->net, name)->grad[index];
}

/* ----------------------------------------------------------------- broken operations are caught */

static void test_right_gradient_passes(void)
{
    fault f = NONE;
    nn_gradcheck_desc desc = default_desc();
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = fed_affine_loss(net, &f);
    CHECK_OK(nn_gradcheck(loss, NULL, NULL));
    CHECK_OK(nn_gradcheck(loss, NULL, &report));
    CHECK_INT(report.checked, IN * OUT + OUT);
    CHECK_INT(report.wrong, 0);
    CHECK_INT(report.kinks, 0);
    desc.inputs = 1;
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.checked, IN * OUT + OUT + ROWS * IN);
    nn_net_find(net, "pixels")->requires_grad = 0;
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.checked, IN * OUT + OUT);
    nn_net_destroy(net);
}

typedef struct expectation {
    fault f;
    const char *name;   /* of the fault */
    const char *tensor; /* where it shows; NULL: anywhere */
    int index;          /* -1: anywhere */
    size_t wrong;       /* 0: at least one */
} expectation;

static const expectation expected[] = {
    {SIGN, "sign", NULL, -1, 0},
    {DOUBLED, "doubled", NULL, -1, 0},
    {MISSING_TERM, "missing term", NULL, -1, 0},
    {NO_BIAS, "no bias", "bias", -1, OUT},
    {NO_ELEMENT, "no element", "weight", BROKEN, 1},
    {SIGN_OF_ELEMENT, "sign of an element", "weight", BROKEN, 1},
    {WRONG_ELEMENT, "wrong element", "weight", -1, 0},
    {SLIGHTLY_OFF, "slightly off", "weight", BROKEN, 1},
    {BIAS_OFF, "bias averaged", "bias", -1, OUT},
    {NAN_ELEMENT, "NaN", "weight", BROKEN, 1},
    {INFINITE, "infinite", "weight", BROKEN, 1},
    {NOTHING, "nothing", NULL, -1, 0},
    {INPUT_SIGN, "sign of the input's gradient", "pixels", -1, 0},
};

/* The message has the tensor's name, the index and both values, and they are the right ones. */
static void check_report(nn_tensor *loss, const expectation *e, const nn_gradcheck_report *report)
{
    const char *message = nn_last_error();
    CHECK(report->tensor != NULL);
    if (!report->tensor) return;
    if (e->tensor) CHECK_STR(report->tensor, e->tensor);
    if (e->index >= 0) CHECK_INT(report->index, e->index);
    CHECK(e->wrong ? report->wrong == e->wrong : report->wrong > 0);
    CHECK(strstr(message, report->tensor) != NULL);
    CHECK(message_holds(message, (double)report->index));
    CHECK(message_holds(message, report->numeric));
    double truth = true_gradient(loss, report->tensor, report->index);
    CHECK_NEAR(report->numeric, truth, 3e-3 * (1 + fabs(truth)));
    if (e->f == NAN_ELEMENT || e->f == INFINITE) {
        CHECK(!(fabs(report->analytic) < 1e300));
        CHECK(strstr(message, e->f == INFINITE ? "inf" : "nan") != NULL);
        return;
    }
    CHECK(message_holds(message, report->analytic));
    CHECK(report->max_error >= fabs(report->analytic - report->numeric) - 1e-9);
    CHECK(report->max_relative_error > 1e-3 && report->max_relative_error < 1.0001);
}

static void test_faults_are_caught(void)
{
    for (size_t k = 0; k < COUNT(expected); k++) {
        fault f = expected[k].f;
        nn_gradcheck_desc desc = default_desc();
        nn_gradcheck_report report;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = fed_affine_loss(net, &f);
        test_current = expected[k].name;
        desc.inputs = 1;
        CHECK_ERROR(nn_gradcheck(loss, &desc, &report), NN_ERROR_GRADIENT_WRONG, "", "");
        CHECK_INT(report.checked, IN * OUT + OUT + ROWS * IN);
        check_report(loss, &expected[k], &report);
        CHECK(nn_gradcheck(loss, &desc, NULL) == NN_ERROR_GRADIENT_WRONG);
        nn_net_destroy(net);
    }
    CHECK_INT(COUNT(expected), FAULT_COUNT - 1);
}

/* allow_zero excuses a gradient that IS zero everywhere, not one that is only said to be. */
static void test_allow_zero_is_no_excuse(void)
{
    static const fault faults[] = {NOTHING, NO_BIAS, SIGN};
    for (size_t k = 0; k < COUNT(faults); k++) {
        fault f = faults[k];
        nn_gradcheck_desc desc = default_desc();
        nn_net *net = nn_net_create(NULL);
        desc.allow_zero = 1;
        CHECK_ERROR(nn_gradcheck(fed_affine_loss(net, &f), &desc, NULL), NN_ERROR_GRADIENT_WRONG,
                    "", "");
        nn_net_destroy(net);
    }
}

/* The largest absolute error is reported, with its place. */
static void test_worst_element(void)
{
    fault f = DOUBLED;
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = fed_affine_loss(net, &f);
    CHECK(nn_gradcheck(loss, NULL, &report) == NN_ERROR_GRADIENT_WRONG);
    double largest = 0;
    for (size_t i = 0; i < IN * OUT + OUT; i++) {
        const char *name = i < IN * OUT ? "weight" : "bias";
        largest = fmax(largest, fabs(true_gradient(loss, name, i < IN * OUT ? i : i - IN * OUT)));
    }
    CHECK_NEAR(report.max_error, largest, 3e-3 * (1 + largest));
    CHECK_NEAR(report.max_relative_error, 1. / 3, 1e-2);
    CHECK_INT(report.wrong, IN * OUT + OUT);
    nn_net_destroy(net);
}

static void test_tolerances(void)
{
    fault f = SLIGHTLY_OFF;
    nn_gradcheck_desc desc = default_desc();
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = fed_affine_loss(net, &f);
    desc.rtol = 0.2;
    CHECK_OK(nn_gradcheck(loss, &desc, NULL));
    desc.rtol = 0;
    desc.atol = 100;
    CHECK_OK(nn_gradcheck(loss, &desc, NULL));
    desc.atol = 0;
    CHECK(nn_gradcheck(loss, &desc, NULL) == NN_ERROR_GRADIENT_WRONG);
    nn_net_destroy(net);
}

static void test_unused_parameter(void)
{
    static const size_t shape[] = {6};
    fault f = NONE;
    nn_gradcheck_desc desc = default_desc();
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    CHECK(nn_parameter(net, 1, shape, zero_init, "unused") != NULL);
    nn_tensor *loss = fed_affine_loss(net, &f);
    CHECK_ERROR(nn_gradcheck(loss, NULL, NULL), NN_ERROR_GRADIENT_ZERO, "unused", "");
    desc.allow_zero = 1;
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.checked, IN * OUT + OUT + 6);
    /* A wrong gradient is worse than a vanishing one, wherever it is. */
    f = NO_BIAS;
    CHECK_ERROR(nn_gradcheck(loss, NULL, NULL), NN_ERROR_GRADIENT_WRONG, "bias", "");
    nn_net_destroy(net);
}

/* ---------------------------------------------------------------------------------------- kinks */

/* max(0, x), and at exactly 0 the slope *user. */
static nn_status ramp_forward(nn_tensor *t)
{
    for (size_t i = 0; i < t->size; i++) {
        nn_real x = t->src[0]->data[i];
        t->data[i] = x > 0 ? x : 0;
    }
    return NN_OK;
}

static nn_status ramp_backward(nn_tensor *t)
{
    double at_zero = *(const double *)t->settings;
    for (size_t i = 0; i < t->size; i++) {
        nn_real x = t->src[0]->data[i];
        double slope = x > 0 ? 1 : x < 0 ? 0 : at_zero;
        t->src[0]->grad[i] += t->grad[i] * (nn_real)slope;
    }
    return NN_OK;
}

/* Two elements at the kink, two away from it; the first is weighted by 3 and the second by -2. */
static nn_tensor *kinked_loss(nn_net *net, double *slope)
{
    static const size_t shape[] = {4};
    static const nn_real x[] = {0, 0, (nn_real)0.75, (nn_real)-0.5}, weights[] = {3, -2, 1, 1};
    nn_op op;
    memset(&op, 0, sizeof op);
    op.name = "ramp", op.forward = ramp_forward, op.backward = ramp_backward;
    nn_tensor *p = nn_parameter(net, 1, shape, zero_init, "x");
    nn_tensor *c = nn_parameter(net, 1, shape, zero_init, "factor");
    memcpy(p->data, x, sizeof x);
    memcpy(c->data, weights, sizeof weights);
    nn_tensor *y = slope ? nn_custom(1, &p, 0, 1, shape, &op, slope) : nn_relu(p);
    return nn_sum(nn_mul(y, c));
}

static void test_kink_accepts_slopes_between(void)
{
    static const double slopes[] = {0, 0.25, 0.5, 1};
    for (size_t k = 0; k <= COUNT(slopes); k++) {
        double slope = k < COUNT(slopes) ? slopes[k] : 0;
        nn_gradcheck_report report;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = kinked_loss(net, k < COUNT(slopes) ? &slope : NULL);
        CHECK_OK(nn_gradcheck(loss, NULL, &report));
        /* 0.5 is also what the central difference says, which needs no kink to explain it. */
        CHECK_INT(report.kinks, slope == 0.5 ? 0 : 2);
        CHECK_INT(report.wrong, 0);
        CHECK_INT(report.checked, 8);
        /* A kink says nothing about precision. */
        CHECK(report.max_error < 2e-3);
        nn_net_destroy(net);
    }
}

static void test_kink_refuses_slopes_outside(void)
{
    static const double slopes[] = {-1, -0.25, 1.25, 2, 10};
    for (size_t k = 0; k < COUNT(slopes); k++) {
        double slope = slopes[k];
        nn_gradcheck_report report;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = kinked_loss(net, &slope);
        CHECK_ERROR(nn_gradcheck(loss, NULL, &report), NN_ERROR_GRADIENT_WRONG, "x", "");
        CHECK_INT(report.wrong, 2);
        CHECK_STR(report.tensor, "x");
        CHECK(report.index < 2);
        CHECK_NEAR(report.analytic, slope * (report.index ? -2 : 3), 1e-5);
        CHECK(message_holds(nn_last_error(), report.analytic));
        nn_net_destroy(net);
    }
}

static double ramps(void *user)
{
    const nn_real *x = (const nn_real *)user;
    double sum = 0;
    for (size_t i = 0; i < 3; i++) sum += x[i] > 0 ? (double)x[i] : 0;
    return sum;
}

/* Next to a kink, the faults of the other elements are still found. */
static void test_kink_hides_nothing(void)
{
    nn_real x[3] = {0, 1, -1};
    for (size_t i = 0; i < 3; i++) {
        nn_real g[3] = {0, 1, 0};
        nn_gradcheck_report report;
        CHECK_OK(nn_gradcheck_function("ramps", ramps, x, 3, x, g, NULL, &report));
        CHECK_INT(report.kinks, 1);
        g[i] -= (nn_real)0.25;
        CHECK_ERROR(nn_gradcheck_function("ramps", ramps, x, 3, x, g, NULL, &report),
                    NN_ERROR_GRADIENT_WRONG, "ramps", "");
        CHECK_INT(report.wrong, 1);
        CHECK_INT(report.index, i);
    }
}

/* However small the step of the slope is, a ReLU at exactly 0 is right. */
static void test_small_kinks(void)
{
    for (double size = 1; size > 1e-9; size *= 0.7) {
        double slope = 0;
        nn_gradcheck_report report;
        nn_net *net = nn_net_create(NULL);
        CHECK_OK(nn_gradcheck(nn_scale(kinked_loss(net, &slope), size), NULL, &report));
        CHECK_INT(report.wrong, 0);
        nn_net_destroy(net);
    }
}

static nn_tensor *huber_of_1(nn_tensor *y) { return nn_huber(y, 1); }

static void check_loss_kink(nn_tensor *(*make)(nn_tensor *), nn_activation kind, double alpha,
                            size_t kinks)
{
    static const nn_real scores[] = {0, 1, (nn_real)0.5}, targets[] = {0, 1, (nn_real)0.75};
    static const int label = 1;
    nn_gradcheck_desc desc = default_desc();
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 3), *loss = make(nn_activate(x, kind, alpha));
    desc.inputs = 1;
    x->requires_grad = 1;
    CHECK_OK(nn_net_status(net));
    CHECK_OK(nn_feed(x, scores, 1));
    if (strcmp(loss->op->name, "hinge") == 0) CHECK_OK(nn_feed_labels(loss, &label, 1));
    else if (strcmp(loss->op->name, "sum") != 0) CHECK_OK(nn_feed_targets(loss, targets, 1));
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.kinks, kinks);
    CHECK_INT(report.checked, 3);
    nn_net_destroy(net);
}

/* Scores 0, 1, 0.5 of label 1 with margin 1: the first margin is exactly 0, and moving the label's
   score crosses it, too. For L1 two values are exactly the targets: slope 0, which the central
   difference confirms. */
static void test_kinks_of_the_library(void)
{
    check_loss_kink(nn_hinge, NN_ACTIVATION_IDENTITY, 0, 2);
    check_loss_kink(nn_l1_loss, NN_ACTIVATION_IDENTITY, 0, 0);
    check_loss_kink(nn_sum, NN_ACTIVATION_RELU, 0, 1);
    check_loss_kink(nn_sum, NN_ACTIVATION_LEAKY_RELU, 0.01, 1);
    check_loss_kink(nn_sum, NN_ACTIVATION_ELU, 1, 0); /* with alpha 1 its slope has no step */
    check_loss_kink(nn_mse, NN_ACTIVATION_IDENTITY, 0, 0);
    check_loss_kink(huber_of_1, NN_ACTIVATION_IDENTITY, 0, 0);
}

/* -------------------------------------------------------------------- functions written by hand */

typedef struct curve {
    nn_real x[8];
    double factor, offset;
    size_t calls;
} curve;

/* x + factor x^2 / 2, with slope 1 at 0. */
static double parabola(void *user)
{
    curve *c = (curve *)user;
    double x = (double)c->x[0];
    c->calls++;
    return x + c->factor * x * x / 2;
}

static void check_curvature(double factor, double slope, nn_status status)
{
    curve c;
    nn_real analytic = (nn_real)slope;
    nn_gradcheck_report report;
    memset(&c, 0, sizeof c);
    c.factor = factor;
    CHECK(nn_gradcheck_function("curve", parabola, &c, 1, c.x, &analytic, NULL, &report) == status);
    CHECK_INT(report.kinks, 0);
    CHECK_INT(report.wrong, status != NN_OK);
    CHECK_NEAR(report.numeric, 1, 1e-3);
    CHECK(c.x[0] == 0);
    CHECK(c.calls >= 2);
}

/* One-sided slopes that differ by curvature alone, 1 +- factor h / 2, make no kink: the slope there
   is known, and another one between the two is wrong. */
static void test_curvature_is_no_kink(void)
{
    static const double spread[] = {0.1, 1, 10, 100};
    for (size_t k = 0; k < COUNT(spread); k++) {
        double factor = 2 * spread[k] / STEP;
        check_curvature(factor, 1, NN_OK);
        check_curvature(-factor, 1, NN_OK);
        check_curvature(factor, 1 + 0.8 * spread[k], NN_ERROR_GRADIENT_WRONG);
        check_curvature(factor, 1 - 0.8 * spread[k], NN_ERROR_GRADIENT_WRONG);
        check_curvature(-factor, 1 + 0.8 * spread[k], NN_ERROR_GRADIENT_WRONG);
        /* Between the slopes over a small step, too. */
        if (spread[k] >= 10) check_curvature(factor, 1 + 0.01 * spread[k], NN_ERROR_GRADIENT_WRONG);
    }
}

static double sum_of_squares(void *user)
{
    curve *c = (curve *)user;
    double sum = 0;
    c->calls++;
    for (size_t i = 0; i < 8; i++) sum += (double)c->x[i] * (double)c->x[i];
    return sum;
}

static void test_function_report(void)
{
    curve c;
    nn_real g[8], kept[8];
    nn_gradcheck_report report;
    memset(&c, 0, sizeof c);
    fill(c.x, 8, 5);
    for (size_t i = 0; i < 8; i++) g[i] = 2 * c.x[i];
    memcpy(kept, c.x, sizeof kept);
    CHECK_OK(nn_gradcheck_function("squares", sum_of_squares, &c, 8, c.x, g, NULL, &report));
    CHECK_INT(report.checked, 8);
    CHECK_INT(report.kinks, 0);
    CHECK(report.max_error < 2e-3);
    g[6] += 1;
    CHECK_ERROR(nn_gradcheck_function("squares", sum_of_squares, &c, 8, c.x, g, NULL, &report),
                NN_ERROR_GRADIENT_WRONG, "squares", "6");
    CHECK_INT(report.wrong, 1);
    CHECK_INT(report.index, 6);
    CHECK_STR(report.tensor, "squares");
    CHECK_NEAR(report.max_error, 1, 1e-2);
    CHECK_NEAR(report.analytic, g[6], 1e-6);
    CHECK_NEAR(report.numeric, g[6] - 1, 1e-2);
    CHECK(memcmp(c.x, kept, sizeof kept) == 0);
}

static void check_calls(curve *c, const nn_real *g, size_t limit, size_t calls)
{
    nn_gradcheck_desc desc = default_desc();
    c->calls = 0;
    desc.max_per_tensor = limit;
    nn_gradcheck_function("squares", sum_of_squares, c, 8, c->x, g, &desc, NULL);
    CHECK_INT(c->calls, calls);
}

/* The value where nothing is moved is found once; an element costs two more, a wrong one another
   two, for the smaller step. */
static void test_calls(void)
{
    curve c;
    nn_real g[8];
    memset(&c, 0, sizeof c);
    fill(c.x, 8, 5);
    for (size_t i = 0; i < 8; i++) g[i] = 2 * c.x[i];
    check_calls(&c, g, 0, 1 + 2 * 8);
    check_calls(&c, g, 3, 1 + 2 * 3);
    g[6] += 1;
    check_calls(&c, g, 0, 1 + 2 * 8 + 2);
}

/* Only the elements that are moved show which were checked. */
typedef struct watch {
    nn_real x[100], base[100];
    int touched[100];
} watch;

static double watched(void *user)
{
    watch *w = (watch *)user;
    double sum = 0;
    for (size_t i = 0; i < 100; i++) {
        sum += (double)w->x[i];
        if (w->x[i] != w->base[i]) w->touched[i] = 1;
    }
    return sum;
}

static void check_spread(size_t limit)
{
    static watch w;
    nn_real ones[100];
    nn_gradcheck_desc desc = default_desc();
    nn_gradcheck_report report;
    size_t checked = limit && limit < 100 ? limit : 100, touched = 0, gap = 0, largest = 0;
    memset(&w, 0, sizeof w);
    for (size_t i = 0; i < 100; i++) w.x[i] = w.base[i] = (nn_real)0.01 * (nn_real)i, ones[i] = 1;
    desc.max_per_tensor = limit;
    CHECK_OK(nn_gradcheck_function("sum", watched, &w, 100, w.x, ones, &desc, &report));
    CHECK_INT(report.checked, checked);
    for (size_t i = 0; i < 100; i++) {
        touched += (size_t)w.touched[i];
        gap = w.touched[i] ? 0 : gap + 1;
        largest = gap > largest ? gap : largest;
    }
    CHECK_INT(touched, checked);
    CHECK(largest <= 99 / (checked > 1 ? checked - 1 : 1));
}

static void test_max_per_tensor(void)
{
    static const size_t limits[] = {0, 1, 2, 3, 7, 50, 99, 100, 1000};
    for (size_t k = 0; k < COUNT(limits); k++) check_spread(limits[k]);
    fault f = NONE;
    nn_gradcheck_desc desc = default_desc();
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = fed_affine_loss(net, &f);
    desc.max_per_tensor = 5; /* of a weight with 12 values, of all 3 of the bias */
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.checked, 5 + 3);
    nn_net_destroy(net);
}

/* Where x is so large that x + h is rounded, the step that was taken counts. */
static double line_at_offset(void *user)
{
    const curve *c = (const curve *)user;
    return c->factor * ((double)c->x[0] - c->offset);
}

static void test_rounded_step(void)
{
    curve c;
    nn_real slope = 3;
    memset(&c, 0, sizeof c);
    c.factor = 3;
    c.offset = STEP < 1e-3 ? 123456789.5 : 30000.5;
    c.x[0] = (nn_real)c.offset;
    CHECK_OK(nn_gradcheck_function("line", line_at_offset, &c, 1, c.x, &slope, NULL, NULL));
    slope = (nn_real)3.2;
    CHECK(nn_gradcheck_function("line", line_at_offset, &c, 1, c.x, &slope, NULL, NULL) ==
          NN_ERROR_GRADIENT_WRONG);
    CHECK(message_holds(nn_last_error(), 3));
}

static double root(void *user)
{
    return sqrt((double)((const curve *)user)->x[0]);
}

static double not_a_number(void *user)
{
    (void)user;
    return NAN;
}

/* x, but undefined at 0 itself: both differences look right. */
static double hole(void *user)
{
    double x = (double)((const curve *)user)->x[0];
    return x * x / x;
}

static double infinite(void *user)
{
    (void)user;
    return INFINITY;
}

/* Comparisons with NaN are false: none of these may slip through. */
static void test_functions_that_are_not_finite(void)
{
    static double (*const functions[])(void *) = {not_a_number, infinite, root, hole};
    curve c;
    nn_real one = 1, bad = (nn_real)NAN;
    memset(&c, 0, sizeof c);
    for (size_t k = 0; k < COUNT(functions); k++) {
        nn_status status = nn_gradcheck_function("f", functions[k], &c, 1, c.x, &one, NULL, NULL);
        CHECK(status == NN_ERROR_NOT_FINITE || status == NN_ERROR_GRADIENT_WRONG);
        CHECK(strstr(nn_last_error(), "not finite") != NULL);
        CHECK(c.x[0] == 0);
    }
    CHECK_ERROR(nn_gradcheck_function("f", parabola, &c, 1, c.x, &bad, NULL, NULL),
                NN_ERROR_GRADIENT_WRONG, "f", "nan");
}

/* The same hole as an operation of a network. */
static nn_status hole_forward(nn_tensor *t)
{
    for (size_t i = 0; i < t->size; i++) {
        nn_real x = t->src[0]->data[i];
        t->data[i] = x * x / x;
    }
    return NN_OK;
}

static nn_status hole_backward(nn_tensor *t)
{
    for (size_t i = 0; i < t->size; i++) t->src[0]->grad[i] += t->grad[i];
    return NN_OK;
}

/* Where the function is not finite at the very values, all slopes over both sides are right. */
static void test_not_finite_in_the_middle(void)
{
    static const size_t shape[] = {4};
    curve c;
    const nn_real ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    nn_op op;
    nn_gradcheck_report report;
    memset(&c, 0, sizeof c);
    CHECK_ERROR(nn_gradcheck_function("hole", hole, &c, 1, c.x, ones, NULL, &report),
                NN_ERROR_NOT_FINITE, "hole", "");
    CHECK_INT(report.wrong, 0);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_parameter(net, 1, shape, zero_init, "x");
    memset(&op, 0, sizeof op);
    op.name = "hole", op.forward = hole_forward, op.backward = hole_backward;
    nn_tensor *loss = nn_sum(nn_custom(1, &x, 0, 1, shape, &op, NULL));
    memcpy(x->data, ones, 4 * sizeof *ones);
    CHECK_OK(nn_gradcheck(loss, NULL, NULL));
    x->data[2] = 0;
    CHECK_ERROR(nn_gradcheck(loss, NULL, &report), NN_ERROR_NOT_FINITE, "x", "");
    CHECK_INT(report.checked, 4);
    nn_net_destroy(net);
}

static void test_nan_loss(void)
{
    fault f = NONE;
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = fed_affine_loss(net, &f), *weight = nn_net_find(net, "weight");
    const nn_real nan = (nn_real)NAN;
    weight->data[2] = nan;
    CHECK(nn_gradcheck(loss, NULL, &report) != NN_OK);
    CHECK(strstr(nn_last_error(), "not finite") != NULL);
    CHECK(memcmp(&weight->data[2], &nan, sizeof nan) == 0);
    weight->data[2] = (nn_real)INFINITY;
    CHECK(nn_gradcheck(loss, NULL, NULL) != NN_OK);
    CHECK(strstr(nn_last_error(), "not finite") != NULL);
    weight->data[2] = 0;
    CHECK_OK(nn_gradcheck(loss, NULL, NULL));
    nn_net_destroy(net);
}

/* Inputs that the loss does not depend on, fed with another batch or not at all. */
static void test_inputs_of_other_parts(void)
{
    static const nn_real data[64] = {1, 2, 3};
    nn_gradcheck_desc desc = default_desc();
    nn_net *net = nn_net_create(NULL);
    nn_tensor *never = nn_input(net, 2), *once = nn_input(net, 2), *x = nn_input(net, 2);
    nn_tensor *loss = nn_mean(nn_tanh(nn_dense(x, 2)));
    never->requires_grad = once->requires_grad = x->requires_grad = 1;
    desc.inputs = 1;
    desc.allow_zero = 1;
    CHECK_OK(nn_feed(once, data, 1));
    CHECK_OK(nn_feed(x, data, 32));
    CHECK_OK(nn_gradcheck(loss, &desc, NULL));
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------- a regression by hand */

enum { SAMPLES = 6, FEATURES = 5, CLASSES = 4, WEIGHTS = FEATURES * CLASSES };

typedef struct regression {
    nn_real x[SAMPLES * FEATURES], theta[WEIGHTS + CLASSES]; /* weights, then biases */
    int labels[SAMPLES];
} regression;

static void regression_scores(const regression *m, nn_real *scores)
{
    nn_mat_mul(0, 0, SAMPLES, CLASSES, FEATURES, m->x, FEATURES, m->theta, CLASSES, scores, CLASSES,
               0);
    nn_mat_add_row(SAMPLES, CLASSES, scores, m->theta + WEIGHTS);
}

static double regression_loss(void *user)
{
    const regression *m = (const regression *)user;
    nn_real scores[SAMPLES * CLASSES];
    double sum = 0;
    regression_scores(m, scores);
    nn_mat_log_softmax(SAMPLES, CLASSES, scores, scores);
    for (size_t r = 0; r < SAMPLES; r++) sum -= (double)scores[r * CLASSES + (size_t)m->labels[r]];
    return sum / SAMPLES;
}

static void regression_gradient(const regression *m, nn_real *gradient)
{
    nn_real p[SAMPLES * CLASSES], y[SAMPLES * CLASSES];
    regression_scores(m, p);
    nn_mat_softmax(SAMPLES, CLASSES, p, p);
    CHECK_OK(nn_mat_one_hot(SAMPLES, CLASSES, m->labels, y));
    nn_vec_sub(SAMPLES * CLASSES, p, y, p);
    nn_vec_scale(SAMPLES * CLASSES, (nn_real)(1. / SAMPLES), p, p);
    nn_mat_mul(1, 0, FEATURES, CLASSES, SAMPLES, m->x, FEATURES, p, CLASSES, gradient, CLASSES, 0);
    nn_mat_column_sums(SAMPLES, CLASSES, p, gradient + WEIGHTS, 0);
}

static nn_status check_regression(regression *m, const nn_real *gradient, size_t *wrong)
{
    nn_gradcheck_report report;
    nn_status status = nn_gradcheck_function("softmax regression", regression_loss, m,
                                             WEIGHTS + CLASSES, m->theta, gradient, NULL, &report);
    CHECK_INT(report.checked, WEIGHTS + CLASSES);
    CHECK_INT(report.kinks, 0);
    *wrong = report.wrong;
    return status;
}

static void test_softmax_regression(void)
{
    regression m;
    nn_real right[WEIGHTS + CLASSES], wrong[WEIGHTS + CLASSES];
    size_t count;
    fill(m.x, COUNT(m.x), 11);
    fill(m.theta, COUNT(m.theta), 12);
    for (size_t r = 0; r < SAMPLES; r++) m.labels[r] = (int)(r * 3 % CLASSES);
    regression_gradient(&m, right);
    CHECK_OK(check_regression(&m, right, &count));
    CHECK_INT(count, 0);
    /* The usual slips: a sum instead of the mean, the transpose, a forgotten bias. */
    for (size_t i = 0; i < COUNT(right); i++) wrong[i] = SAMPLES * right[i];
    CHECK(check_regression(&m, wrong, &count) == NN_ERROR_GRADIENT_WRONG);
    memcpy(wrong, right, sizeof right);
    for (size_t i = 0; i < FEATURES; i++)
        for (size_t j = 0; j < CLASSES; j++) wrong[j * FEATURES + i] = right[i * CLASSES + j];
    CHECK(check_regression(&m, wrong, &count) == NN_ERROR_GRADIENT_WRONG);
    memcpy(wrong, right, sizeof right);
    for (size_t j = 0; j < CLASSES; j++) wrong[WEIGHTS + j] = 0;
    CHECK(check_regression(&m, wrong, &count) == NN_ERROR_GRADIENT_WRONG);
    CHECK_INT(count, CLASSES);
}

/* ------------------------------------------------------------------ what the check leaves alone */

typedef struct snapshot {
    nn_real weight[IN * OUT], bias[OUT], x[ROWS * IN];
    nn_rng rng;
    int frozen;
    size_t steps;
} snapshot;

static void take_snapshot(nn_net *net, snapshot *s)
{
    memset(s, 0, sizeof *s);
    memcpy(s->weight, nn_net_find(net, "weight")->data, sizeof s->weight);
    memcpy(s->bias, nn_net_find(net, "bias")->data, sizeof s->bias);
    memcpy(s->x, nn_net_find(net, "pixels")->data, sizeof s->x);
    s->rng = *nn_net_rng(net);
    s->frozen = nn_net_find(net, "bias")->frozen;
    s->steps = nn_step_count(net);
}

static void test_network_is_unchanged(void)
{
    static const fault faults[] = {NONE, SIGN, NAN_ELEMENT, NO_BIAS};
    for (size_t k = 0; k < COUNT(faults); k++) {
        fault f = faults[k];
        snapshot before, after;
        nn_gradcheck_desc desc = default_desc();
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = fed_affine_loss(net, &f);
        nn_net_find(net, "bias")->frozen = 1;
        desc.inputs = 1;
        take_snapshot(net, &before);
        CHECK_OK(nn_forward(loss));
        double value = loss->value;
        CHECK((nn_gradcheck(loss, &desc, NULL) == NN_OK) == (f == NONE));
        take_snapshot(net, &after);
        CHECK(memcmp(&before, &after, sizeof before) == 0);
        CHECK_OK(nn_forward(loss));
        CHECK(loss->value == value);
        nn_net_destroy(net);
    }
}

/* With a new mask in every evaluation the differences would be noise; after the check the next mask
   is the one that would have come without it. */
static void test_dropout_keeps_its_mask(void)
{
    nn_real x[8], targets[16], next[2][16];
    fill(x, 8, 1);
    fill(targets, 16, 2);
    for (int checked = 0; checked < 2; checked++) {
        nn_gradcheck_report report;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *in = nn_input(net, 4), *h = nn_dropout(nn_tanh(nn_dense(in, 8)), 0.5);
        nn_tensor *loss = nn_mse(h);
        CHECK_OK(nn_feed(in, x, 2));
        CHECK_OK(nn_feed_targets(loss, targets, 2));
        if (checked) {
            CHECK_OK(nn_gradcheck(loss, NULL, &report));
            CHECK_INT(report.wrong, 0);
            CHECK_INT(report.checked, 4 * 8 + 8);
        }
        CHECK_OK(nn_forward(loss));
        memcpy(next[checked], h->data, sizeof next[checked]);
        nn_net_destroy(net);
    }
    CHECK(memcmp(next[0], next[1], sizeof next[0]) == 0);
}

/* ------------------------------------------------------------------------------ wrong arguments */

static void test_network_arguments(void)
{
    fault f = NONE;
    nn_gradcheck_desc desc = default_desc();
    nn_net *net = nn_net_create(NULL);
    CHECK_ERROR(nn_gradcheck(NULL, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "gradcheck", "");
    nn_tensor *loss = affine_loss(net, &f);
    CHECK(nn_gradcheck(loss, NULL, NULL) != NN_OK); /* nothing was fed */
    nn_net_destroy(net);

    net = nn_net_create(NULL);
    loss = fed_affine_loss(net, &f);
    CHECK(nn_gradcheck(loss->src[0], NULL, NULL) != NN_OK); /* no scalar */
    desc.h = -1;
    CHECK_ERROR(nn_gradcheck(loss, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "h", "-1");
    desc = default_desc();
    desc.atol = -1;
    CHECK_ERROR(nn_gradcheck(loss, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "atol", "-1");
    desc = default_desc();
    desc.rtol = NAN;
    CHECK_ERROR(nn_gradcheck(loss, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "rtol", "");
    CHECK_OK(nn_gradcheck(loss, NULL, NULL));
    nn_net_destroy(net);
}

static void test_function_arguments(void)
{
    curve c;
    nn_real g[8] = {0};
    memset(&c, 0, sizeof c);
    CHECK_ERROR(nn_gradcheck_function("f", NULL, &c, 8, c.x, g, NULL, NULL), NN_ERROR_BAD_ARGUMENT,
                "f", "");
    CHECK_ERROR(nn_gradcheck_function("f", sum_of_squares, &c, 8, NULL, g, NULL, NULL),
                NN_ERROR_BAD_ARGUMENT, "x", "");
    CHECK_ERROR(nn_gradcheck_function("f", sum_of_squares, &c, 8, c.x, NULL, NULL, NULL),
                NN_ERROR_BAD_ARGUMENT, "analytic", "");
    CHECK(nn_gradcheck_function("f", sum_of_squares, &c, 0, c.x, g, NULL, NULL) != NN_OK);
    /* At 0 the gradient of a sum of squares is right, and proves nothing. */
    CHECK_ERROR(nn_gradcheck_function("f", sum_of_squares, &c, 8, c.x, g, NULL, NULL),
                NN_ERROR_GRADIENT_ZERO, "f", "");
    nn_gradcheck_desc desc = default_desc();
    desc.allow_zero = 1;
    CHECK_OK(nn_gradcheck_function("f", sum_of_squares, &c, 8, c.x, g, &desc, NULL));
}

int main(void)
{
    RUN(test_right_gradient_passes);
    RUN(test_faults_are_caught);
    RUN(test_allow_zero_is_no_excuse);
    RUN(test_worst_element);
    RUN(test_tolerances);
    RUN(test_unused_parameter);
    RUN(test_kink_accepts_slopes_between);
    RUN(test_kink_refuses_slopes_outside);
    RUN(test_kink_hides_nothing);
    RUN(test_small_kinks);
    RUN(test_kinks_of_the_library);
    RUN(test_curvature_is_no_kink);
    RUN(test_function_report);
    RUN(test_calls);
    RUN(test_max_per_tensor);
    RUN(test_rounded_step);
    RUN(test_functions_that_are_not_finite);
    RUN(test_not_finite_in_the_middle);
    RUN(test_nan_loss);
    RUN(test_inputs_of_other_parts);
    RUN(test_softmax_regression);
    RUN(test_network_is_unchanged);
    RUN(test_dropout_keeps_its_mask);
    RUN(test_network_arguments);
    RUN(test_function_arguments);
    return test_done("test_gradcheck");
}
