/* The gradient checker: right gradients pass, and every way of breaking one is caught. */
#ifndef TEST_LINKED /* else the body of nn.h is linked: compiled once for many tests */
#define NN_IMPLEMENTATION
#endif
#include "../nn.h"
#include "test.h"

#define SLIGHTLY 1.01 /* a factor that the default tolerances must refuse */
#ifdef NN_DOUBLE
#define STEP 1e-5 /* the default h */
#else
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

static nn_op make_op(const char *name, nn_status (*forward)(nn_tensor *),
                     nn_status (*backward)(nn_tensor *))
{
    nn_op op;
    memset(&op, 0, sizeof op);
    op.name = name, op.forward = forward, op.backward = backward;
    return op;
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
    for (size_t j = 0; j < OUT; j++)
        db[j] *= f == NO_BIAS ? 0 : f == BIAS_OFF ? 1. / (double)ROWS : all;
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
    const nn_op op = make_op("affine", affine_forward, affine_backward);
    nn_tensor *src[3];
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
    const nn_op op = make_op("ramp", ramp_forward, ramp_backward);
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

static nn_tensor *huber(nn_tensor *y)
{
    return nn_huber(y, 1);
}

static void check_loss_kink(nn_tensor *(*make)(nn_tensor *), nn_activation kind, size_t kinks)
{
    static const nn_real scores[] = {0, 1, (nn_real)0.5}, targets[] = {0, 1, (nn_real)0.75};
    static const int label = 1;
    nn_gradcheck_desc desc = default_desc();
    nn_gradcheck_report report;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 3), *y = x;
    if (kind != NN_ACTIVATION_IDENTITY) y = nn_activate(x, kind, kind == NN_ACTIVATION_ELU);
    nn_tensor *loss = make(y);
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
    check_loss_kink(nn_hinge, NN_ACTIVATION_IDENTITY, 2);
    check_loss_kink(nn_l1_loss, NN_ACTIVATION_IDENTITY, 0);
    check_loss_kink(nn_sum, NN_ACTIVATION_RELU, 1);
    check_loss_kink(nn_sum, NN_ACTIVATION_LEAKY_RELU, 1);
    check_loss_kink(nn_sum, NN_ACTIVATION_ELU, 0); /* with alpha 1 its slope has no step */
    check_loss_kink(nn_mse, NN_ACTIVATION_IDENTITY, 0);
    check_loss_kink(huber, NN_ACTIVATION_IDENTITY, 0);
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

/* The value where nothing is moved is found once; an element costs two more, a wrong one at least a
   curve of 12 pairs, at most 144 pairs. */
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
    c.calls = 0;
    CHECK(nn_gradcheck_function("squares", sum_of_squares, &c, 8, c.x, g, NULL, NULL) != NN_OK);
    CHECK(c.calls >= 1 + 2 * 8 + 2 * 12 && c.calls <= 1 + 2 * 8 + 2 * 144);
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
    const nn_op op = make_op("hole", hole_forward, hole_backward);
    nn_gradcheck_report report;
    memset(&c, 0, sizeof c);
    CHECK_ERROR(nn_gradcheck_function("hole", hole, &c, 1, c.x, ones, NULL, &report),
                NN_ERROR_NOT_FINITE, "hole", "");
    CHECK_INT(report.wrong, 0);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_parameter(net, 1, shape, zero_init, "x");
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
    return sum / (double)SAMPLES;
}

static void regression_gradient(const regression *m, nn_real *gradient)
{
    nn_real p[SAMPLES * CLASSES], y[SAMPLES * CLASSES];
    regression_scores(m, p);
    nn_mat_softmax(SAMPLES, CLASSES, p, p);
    CHECK_OK(nn_mat_one_hot(SAMPLES, CLASSES, m->labels, y));
    nn_vec_sub(SAMPLES * CLASSES, p, y, p);
    nn_vec_scale(SAMPLES * CLASSES, (nn_real)(1. / (double)SAMPLES), p, p);
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
    for (size_t i = 0; i < COUNT(right); i++) wrong[i] = (nn_real)SAMPLES * right[i];
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

/* --------------------------------------------------------------------- random networks and faults
   Networks drawn at random, of layers whose backward pass can be broken: a right one must never be
   called wrong, whatever its scales, and a broken one always. */

typedef enum planted {
    RIGHT,
    WRONG_SIGN,    /* of a unit's weights */
    FACTOR,        /* 1.05, of a unit's weights */
    LOST_TERM,     /* the last sample is left out of the weight's gradient */
    SKIPPED_BIAS,
    WRONG_AXIS,    /* the weight's gradient is laid out as its transpose */
    PLANTED_COUNT
} planted;

static const char *const planted_names[] = {"none",         "sign",       "factor 1.05",
                                            "missing term", "skipped bias", "wrong axis"};

typedef struct layer {
    size_t in, out, unit;
    planted fault;
} layer;

static nn_status layer_forward(nn_tensor *t)
{
    const layer *l = (const layer *)t->settings;
    const size_t rows = t->size / l->out;
    nn_mat_mul(0, 0, rows, l->out, l->in, t->src[0]->data, l->in, t->src[1]->data, l->out, t->data,
               l->out, 0);
    nn_mat_add_row(rows, l->out, t->data, t->src[2]->data);
    return NN_OK;
}

static void break_layer(const layer *l, nn_real *dw)
{
    const nn_real factor = l->fault == FACTOR ? (nn_real)1.05 : (nn_real)-1;
    for (size_t i = 0; i < l->in && (l->fault == WRONG_SIGN || l->fault == FACTOR); i++)
        dw[i * l->out + l->unit] *= factor;
}

static nn_status layer_backward(nn_tensor *t)
{
    const layer *l = (const layer *)t->settings;
    nn_real *dw = t->src[1]->grad;
    const size_t rows = t->size / l->out, used = rows - (l->fault == LOST_TERM);
    if (l->fault == WRONG_AXIS) /* dY' X instead of X' dY */
        nn_mat_mul(1, 0, l->out, l->in, rows, t->grad, l->out, t->src[0]->data, l->in, dw, l->in,
                   1);
    else
        nn_mat_mul(1, 0, l->in, l->out, used, t->src[0]->data, l->in, t->grad, l->out, dw, l->out,
                   1);
    break_layer(l, dw);
    if (l->fault != SKIPPED_BIAS)
        nn_mat_column_sums(rows, l->out, t->grad, t->src[2]->grad, 1);
    if (t->src[0]->grad)
        nn_mat_mul(0, 1, rows, l->in, l->out, t->grad, l->out, t->src[1]->data, l->out,
                   t->src[0]->grad, l->in, 1);
    return NN_OK;
}

enum { MAX_LAYERS = 4, MAX_ROWS = 1000, MAX_WIDTH = 32 };

typedef struct random_net {
    nn_net *net;
    nn_tensor *loss;
    layer layers[MAX_LAYERS];
    size_t count; /* of layers */
    nn_rng rng;
    char text[300]; /* what was drawn */
} random_net;

static size_t draw_size(nn_rng *rng, const size_t *choices, size_t count)
{
    return choices[nn_rng_below(rng, count)];
}

/* 10^uniform in [low, high] */
static double draw_scale(nn_rng *rng, double low, double high)
{
    return pow(10, low + (high - low) * nn_rng_uniform(rng));
}

static nn_tensor *draw_layer(random_net *r, nn_tensor *x, size_t out, double spread)
{
    layer *l = &r->layers[r->count++];
    nn_op op;
    nn_tensor *src[3];
    size_t shape[2];
    memset(&op, 0, sizeof op);
    op.name = "layer", op.forward = layer_forward, op.backward = layer_backward;
    l->in = x->row_size, l->out = out, l->unit = (size_t)nn_rng_below(&r->rng, out);
    l->fault = RIGHT;
    shape[0] = l->in, shape[1] = out;
    src[0] = x;
    src[1] = nn_parameter(r->net, 2, shape,
                          nn_init_normal(0, spread / sqrt((double)l->in)), NULL);
    src[2] = nn_parameter(r->net, 1, shape + 1, nn_init_normal(0, 0.3), NULL);
    return nn_custom(3, src, 1, 1, shape + 1, &op, l);
}

static void draw_input(random_net *r, nn_tensor *x, size_t rows)
{
    static nn_real data[MAX_ROWS * MAX_WIDTH];
    const double scale = draw_scale(&r->rng, -2, 4);
    const uint64_t kind = nn_rng_below(&r->rng, 4); /* normal, positive, whole, sparse */
    for (size_t i = 0; i < rows * x->row_size; i++) {
        const double u = nn_rng_uniform(&r->rng), n = nn_rng_normal(&r->rng);
        const double v = kind == 0 ? n : kind == 1 ? u : kind == 2 ? floor(10 * u) / 10
                                                               : (u < 0.7 ? 0 : n);
        data[i] = (nn_real)(scale * v);
    }
    sprintf(r->text + strlen(r->text), "%d rows, inputs %.1e (%d), ", (int)rows, scale, (int)kind);
    CHECK_OK(nn_feed(x, data, rows));
}

static void draw_answers(random_net *r, nn_loss_kind kind, size_t rows, size_t classes)
{
    static nn_real targets[MAX_ROWS * MAX_WIDTH];
    static int labels[MAX_ROWS];
    const double scale = draw_scale(&r->rng, -1, 2);
    if (kind == NN_LOSS_SOFTMAX_CROSS_ENTROPY || kind == NN_LOSS_HINGE) {
        for (size_t i = 0; i < rows; i++) labels[i] = (int)nn_rng_below(&r->rng, classes);
        CHECK_OK(nn_feed_labels(r->loss, labels, rows));
        return;
    }
    for (size_t i = 0; i < rows * classes; i++)
        targets[i] = (nn_real)(scale * nn_rng_normal(&r->rng));
    for (size_t i = 0; i < rows * classes && kind == NN_LOSS_SIGMOID_CROSS_ENTROPY; i++)
        targets[i] = (nn_real)nn_rng_uniform(&r->rng);
    if (kind == NN_LOSS_KL_DIVERGENCE) nn_mat_softmax(rows, classes, targets, targets);
    CHECK_OK(nn_feed_targets(r->loss, targets, rows));
}

/* The network that belongs to a seed, without a fault. */
static void draw_net(random_net *r, uint64_t seed)
{
    static const size_t sizes[] = {1, 2, 3, 5, 8, 16, 32};
    static const size_t batches[] = {1, 2, 5, 17, 100, 1000};
    nn_loss_desc desc;
    nn_net_desc net_desc;
    memset(r, 0, sizeof *r);
    memset(&desc, 0, sizeof desc);
    memset(&net_desc, 0, sizeof net_desc);
    r->rng = nn_rng_seed(seed);
    net_desc.seed = seed;
    r->net = nn_net_create(&net_desc);
    const size_t rows = draw_size(&r->rng, batches, COUNT(batches));
    const size_t depth = 1 + (size_t)nn_rng_below(&r->rng, MAX_LAYERS - 1);
    const double spread = draw_scale(&r->rng, -0.5, 0.5);
    const nn_loss_kind kind = (nn_loss_kind)nn_rng_below(&r->rng, NN_LOSS_COUNT);
    nn_tensor *x = nn_input(r->net, draw_size(&r->rng, sizes, COUNT(sizes))), *y = x;
    draw_input(r, x, rows);
    for (size_t i = 0; i < depth; i++) {
        const nn_activation f = (nn_activation)nn_rng_below(&r->rng, NN_ACTIVATION_COUNT);
        const size_t units = draw_size(&r->rng, sizes + (i == depth - 1), 5);
        y = draw_layer(r, y, units, spread);
        sprintf(r->text + strlen(r->text), "%d ", (int)units);
        if (i == depth - 1) break;
        y = nn_activate(y, f, f == NN_ACTIVATION_LEAKY_RELU ? 0.1 : f == NN_ACTIVATION_ELU);
        sprintf(r->text + strlen(r->text), "%s ", nn_activation_string(f));
        if (nn_rng_below(&r->rng, 6) == 0) y = nn_dropout(y, 0.3);
    }
    const size_t classes = y->row_size;
    if (kind == NN_LOSS_KL_DIVERGENCE) y = nn_log_softmax(y);
    desc.reduction = nn_rng_below(&r->rng, 2) ? NN_REDUCE_SUM : NN_REDUCE_MEAN;
    r->loss = nn_loss(y, kind, &desc);
    draw_answers(r, kind, rows, classes);
    sprintf(r->text + strlen(r->text), "%s%s", r->loss->op->name,
            desc.reduction == NN_REDUCE_SUM ? " (sum)" : "");
    if (nn_rng_below(&r->rng, 4) == 0) r->loss = nn_weight_penalty(r->loss, 1e-3, 1e-2);
    CHECK_OK(nn_net_status(r->net));
}

/* How far a planted fault moves a gradient, as a share of the largest in its tensor and in the
   network. `before` holds the right gradients of all parameters. */
static void measure_fault(const random_net *r, const double *before, double *of_tensor,
                          double *of_net)
{
    const nn_tensor *p;
    double largest_move = 0, largest = 0;
    *of_tensor = 0;
    for (size_t i = 0; (p = nn_net_parameter(r->net, i)) != NULL; i++) {
        double move = 0, size = 0;
        for (size_t k = 0; k < p->size; k++, before++) {
            move = fmax(move, fabs((double)p->grad[k] - *before));
            size = fmax(size, fabs(*before));
        }
        if (move > 0) *of_tensor = fmax(*of_tensor, move / size);
        largest_move = fmax(largest_move, move), largest = fmax(largest, size);
    }
    *of_net = largest > 0 ? largest_move / largest : 0;
}

static void run_backward(random_net *r, uint64_t seed)
{
    *nn_net_rng(r->net) = nn_rng_seed(seed); /* the same dropout in every run */
    CHECK_OK(nn_forward(r->loss));
    CHECK_OK(nn_backward(r->loss));
}

/* Breaks one layer; 0 where that makes no difference that counts: less than one per cent of the
   largest gradient in the tensor or in the network, or a network whose outputs are saturated and
   right, so that its loss and gradients are next to nothing but rounding. */
static int plant(random_net *r, uint64_t seed, planted kind)
{
    static double before[MAX_LAYERS * (MAX_WIDTH + 1) * MAX_WIDTH];
    const nn_tensor *p;
    double of_tensor, of_net, *to = before;
    nn_net_set_training(r->net, 1);
    run_backward(r, seed);
    for (size_t i = 0; (p = nn_net_parameter(r->net, i)) != NULL; i++)
        for (size_t k = 0; k < p->size; k++) *to++ = (double)p->grad[k];
    r->layers[nn_rng_below(&r->rng, r->count)].fault = kind;
    run_backward(r, seed);
    measure_fault(r, before, &of_tensor, &of_net);
    *nn_net_rng(r->net) = nn_rng_seed(seed);
    return of_tensor > 0.01 && of_net > 0.01 && r->loss->value > 1e-4;
}

static size_t random_count; /* networks; the program's first argument */

/* No correct network is called wrong: inputs of 1e-2 to 1e4, up to 1,000 rows, every loss. */
static void test_random_networks_pass(void)
{
    nn_gradcheck_desc desc = default_desc();
    size_t checked = 0, unsure = 0;
    desc.max_per_tensor = 60;
    desc.allow_zero = 1; /* saturated or dead ones are correct, too */
    for (uint64_t seed = 0; seed < random_count; seed++) {
        random_net r;
        nn_gradcheck_report report;
        draw_net(&r, seed);
        test_current = r.text;
        CHECK_OK(nn_gradcheck(r.loss, &desc, &report));
        CHECK_INT(report.wrong, 0);
        checked += report.checked, unsure += report.unsure;
        nn_net_destroy(r.net);
    }
    test_current = "";
    CHECK(unsure < checked / 8 || random_count < 20); /* few may be hard ones */
}

static void test_planted_faults_are_found(void)
{
    nn_gradcheck_desc desc = default_desc();
    size_t planted_count = 0, found[PLANTED_COUNT] = {0};
    desc.allow_zero = 1;
    for (uint64_t seed = 0; planted_count < random_count; seed++) {
        const planted kind = (planted)(1 + seed % (PLANTED_COUNT - 1));
        random_net r;
        nn_gradcheck_report report;
        draw_net(&r, seed);
        strcat(strcat(r.text, ": "), planted_names[kind]);
        test_current = r.text;
        if (plant(&r, seed, kind)) {
            planted_count++, found[kind]++;
            CHECK_ERROR(nn_gradcheck(r.loss, &desc, &report), NN_ERROR_GRADIENT_WRONG, "", "");
            CHECK(report.wrong > 0);
        }
        nn_net_destroy(r.net);
    }
    test_current = "";
    for (int f = 1; f < PLANTED_COUNT; f++)
        CHECK(found[f] > random_count / 20 || random_count < 20);
}

/* --------------------------------------------------------------------------------------- scales */

/* sin(factor x), whose step has to be far below 1 / factor; or factor x^2, of tiny slopes. */
static double wave(void *user)
{
    const curve *c = (const curve *)user;
    return sin(c->factor * (double)c->x[0]);
}

static double flat_parabola(void *user)
{
    const curve *c = (const curve *)user;
    return c->factor * (double)c->x[0] * (double)c->x[0];
}

static void check_slope(double (*f)(void *), double factor, double x, double slope)
{
    static const double wrong[] = {0, -1, 1.05, 0.95, 1e3};
    curve c;
    nn_gradcheck_report report;
    memset(&c, 0, sizeof c);
    c.factor = factor, c.x[0] = (nn_real)x;
    nn_real analytic = (nn_real)slope;
    CHECK_OK(nn_gradcheck_function("f", f, &c, 1, c.x, &analytic, NULL, &report));
    CHECK_NEAR(report.numeric, slope, 1e-3 * fabs(slope));
    CHECK_INT(report.unsure, 0);
    for (size_t k = 0; k < COUNT(wrong); k++) {
        analytic = (nn_real)(wrong[k] * slope);
        CHECK_ERROR(nn_gradcheck_function("f", f, &c, 1, c.x, &analytic, NULL, &report),
                    NN_ERROR_GRADIENT_WRONG, "'f'", "+-");
        CHECK_NEAR(report.numeric, slope, 1e-3 * fabs(slope));
        CHECK(report.uncertainty < 0.02 * fabs(slope));
        CHECK_INT(report.wrong, 1);
    }
}

/* What is found does not depend on the units of x or f. */
static void test_scale_is_found(void)
{
    for (double factor = 1e-3; factor < 1e6; factor *= 10) {
        check_slope(wave, factor, 0, factor);
        check_slope(wave, factor, 1 / factor, factor * cos(factor * (double)(nn_real)(1 / factor)));
    }
    for (double factor = 1e-12; factor < 1e13; factor *= 10)
        check_slope(flat_parabola, factor, 0.5, factor);
    check_slope(flat_parabola, 1, 1e5, 2e5);
}

/* A slope that drowns in the rounding of f is not called wrong, and the report says so. */
static double drowned(void *user)
{
    const curve *c = (const curve *)user;
    const nn_real big = (nn_real)(sizeof(nn_real) == sizeof(double) ? 1e16 : 1e8);
    volatile nn_real sum = big * (1 + c->x[1]) + c->x[0] / 100;
    return (double)sum;
}

static void test_unsure(void)
{
    curve c;
    const nn_real right = (nn_real)0.01, wrong = (nn_real)-0.01;
    nn_gradcheck_report report;
    memset(&c, 0, sizeof c);
    CHECK_OK(nn_gradcheck_function("drowned", drowned, &c, 1, c.x, &right, NULL, &report));
    CHECK_INT(report.unsure, 1);
    CHECK_OK(nn_gradcheck_function("drowned", drowned, &c, 1, c.x, &wrong, NULL, &report));
    CHECK_INT(report.unsure, 1);
    CHECK_INT(report.wrong, 0);
}

/* The two cases that users met: inputs of 0 to 100 into tanh, and a sum over 100 rows of ReLU. */
static void test_large_inputs_and_sums(void)
{
    static nn_real x[100 * 50];
    static int labels[100];
    nn_rng rng = nn_rng_seed(7);
    for (int sum = 0; sum < 2; sum++)
        for (double scale = 1e-2; scale < 2e4; scale *= 100) {
            nn_gradcheck_desc desc = default_desc();
            nn_gradcheck_report report;
            nn_loss_desc loss_desc;
            memset(&loss_desc, 0, sizeof loss_desc);
            loss_desc.reduction = sum ? NN_REDUCE_SUM : NN_REDUCE_MEAN;
            const size_t rows = sum ? 100 : 5;
            for (size_t i = 0; i < COUNT(x); i++) x[i] = (nn_real)(scale * nn_rng_uniform(&rng));
            for (size_t i = 0; i < rows; i++) labels[i] = (int)(i % 10);
            nn_net *net = nn_net_create(NULL);
            nn_tensor *in = nn_input(net, 50), *h = nn_dense(in, 16);
            h = sum ? nn_relu(h) : nn_tanh(h);
            nn_tensor *loss = nn_loss(nn_dense(h, 10), NN_LOSS_SOFTMAX_CROSS_ENTROPY, &loss_desc);
            CHECK_OK(nn_feed(in, x, rows));
            CHECK_OK(nn_feed_labels(loss, labels, rows));
            desc.max_per_tensor = 20;
            desc.allow_zero = 1;
            CHECK_OK(nn_gradcheck(loss, &desc, &report));
            CHECK_INT(report.wrong, 0);
            CHECK_INT(report.checked, 20 + 16 + 20 + 10);
            nn_net_destroy(net);
        }
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

/* Values and gradients are those of a run that nobody has shaken, in the network's own mode. */
static void test_gradients_are_left(void)
{
    fault f = NONE;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = fed_affine_loss(net, &f), *weight = nn_net_find(net, "weight");
    nn_real before[IN * OUT];
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    const double value = loss->value;
    memcpy(before, weight->grad, sizeof before);
    CHECK_OK(nn_gradcheck(loss, NULL, NULL));
    CHECK(loss->value == value);
    CHECK(memcmp(before, weight->grad, sizeof before) == 0);
    nn_net_destroy(net);
}

static void *refusing_alloc(void *user, size_t bytes)
{
    return *(const int *)user ? NULL : malloc(bytes);
}

static void plain_release(void *user, void *block)
{
    (void)user;
    free(block);
}

/* The check needs memory beside the network's; without it nothing has been judged. */
static void test_out_of_memory(void)
{
    int refuse = 0;
    fault f = SIGN;
    nn_net_desc desc;
    nn_gradcheck_report report;
    memset(&desc, 0, sizeof desc);
    desc.allocator.alloc = refusing_alloc, desc.allocator.release = plain_release;
    desc.allocator.user = &refuse;
    nn_net *net = nn_net_create(&desc);
    nn_tensor *loss = fed_affine_loss(net, &f);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    refuse = 1;
    CHECK_ERROR(nn_gradcheck(loss, NULL, &report), NN_ERROR_OUT_OF_MEMORY, "", "");
    CHECK_INT(report.checked, 0);
    refuse = 0;
    CHECK(nn_gradcheck(loss, NULL, &report) == NN_ERROR_GRADIENT_WRONG);
    nn_net_destroy(net);
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

/* ---------------------------------------------------------------------------- scales of inputs */

/* A correct network is right whatever its inputs are like: at 0 to 100 a weight's step of 0.01
   moves what tanh sees by 1; summed over 100 rows a ReLU's kinks lie closer than any step. */
static void check_scale(size_t inputs, nn_activation kind, size_t units, size_t rows, double scale,
                        nn_reduction reduction)
{
    enum { KINDS = 10, MOST = 100 };
    static nn_real x[MOST * 100];
    int labels[MOST];
    nn_loss_desc loss_desc;
    nn_gradcheck_desc desc;
    nn_gradcheck_report report;
    nn_rng rng = nn_rng_seed(7);
    memset(&loss_desc, 0, sizeof loss_desc);
    memset(&desc, 0, sizeof desc);
    desc.max_per_tensor = 60;
    desc.allow_zero = 1; /* saturated units have tiny slopes, which -Ofast makes 0 */
    loss_desc.reduction = reduction;
    for (size_t i = 0; i < rows * inputs; i++) x[i] = (nn_real)(scale * nn_rng_uniform(&rng));
    for (size_t i = 0; i < rows; i++) labels[i] = (int)(i % KINDS);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, inputs);
    nn_tensor *z = nn_dense(nn_activate(nn_dense(in, units), kind, 0), KINDS);
    nn_tensor *loss = nn_loss(z, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &loss_desc);
    CHECK_OK(nn_feed(in, x, rows));
    CHECK_OK(nn_feed_labels(loss, labels, rows));
    CHECK_OK(nn_gradcheck(loss, &desc, &report));
    CHECK_INT(report.wrong, 0);
    nn_net_destroy(net);
}

static void test_scales(void)
{
    check_scale(8, NN_ACTIVATION_TANH, 16, 5, 100, NN_REDUCE_MEAN);
    check_scale(8, NN_ACTIVATION_SIGMOID, 16, 5, 1e4, NN_REDUCE_MEAN);
    check_scale(8, NN_ACTIVATION_RELU, 16, 5, 1e4, NN_REDUCE_MEAN);
    check_scale(8, NN_ACTIVATION_GELU, 16, 100, 1e-3, NN_REDUCE_SUM);
    check_scale(100, NN_ACTIVATION_RELU, 16, 100, 1, NN_REDUCE_SUM);
}

int main(int argc, char **argv)
{
    /* Every path computes the same bits; the portable one may have to compute them in software. */
    random_count = strcmp(nn_kernel_path(), "portable") == 0 ? 10 : 40;
    if (argc > 1) random_count = (size_t)strtoul(argv[1], NULL, 10);
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
    RUN(test_random_networks_pass);
    RUN(test_planted_faults_are_found);
    RUN(test_scale_is_found);
    RUN(test_unsure);
    RUN(test_large_inputs_and_sums);
    RUN(test_network_is_unchanged);
    RUN(test_gradients_are_left);
    RUN(test_out_of_memory);
    RUN(test_dropout_keeps_its_mask);
    RUN(test_network_arguments);
    RUN(test_function_arguments);
    RUN(test_scales);
    return test_done("test_gradcheck");
}
