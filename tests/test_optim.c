/* Section >>api-optim: every optimiser against its formula written out in double, the schedules at
   their boundaries, and every argument error. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define TOLERANCE 1e-13
#else
#define TOLERANCE 1e-6
#endif

#define PARAMETERS 5
#define LARGEST 100
#define STEPS 6

/* One element, and below, at and above the vector widths. */
static const size_t sizes[PARAMETERS] = {1, 7, 16, 17, LARGEST};
static const char *const names[PARAMETERS] = {"p0", "p1", "p2", "p3", "p4"};

typedef struct model {
    nn_net *net;
    nn_tensor *p[PARAMETERS];
    nn_tensor *loss;
} model;

typedef struct reference {
    double w[PARAMETERS][LARGEST];
    double v[PARAMETERS][LARGEST]; /* momentum, or Adam's m */
    double s[PARAMETERS][LARGEST]; /* squares */
    double g[PARAMETERS][LARGEST];
    size_t t;
} reference;

static nn_init uniform(void)
{
    return nn_init_uniform(-1, 1);
}

/* A network whose gradients exist, so that a test can write its own into them. */
static void build(model *m)
{
    m->net = nn_net_create(NULL);
    m->loss = NULL;
    for (size_t i = 0; i < PARAMETERS; i++) {
        m->p[i] = nn_parameter(m->net, 1, &sizes[i], uniform(), names[i]);
        nn_tensor *sum = nn_sum(m->p[i]);
        m->loss = i == 0 ? sum : nn_add(m->loss, sum);
        if (m->p[i]) m->p[i]->no_decay = 0;
    }
    CHECK_OK(nn_forward(m->loss));
    CHECK_OK(nn_backward(m->loss));
}

static void start(reference *r, const model *m)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < PARAMETERS; i++) {
        for (size_t k = 0; k < sizes[i]; k++) r->w[i][k] = (double)m->p[i]->data[k];
    }
}

/* A gradient that changes its sign and size from element to element and from step to step. */
static nn_real gradient(size_t i, size_t k, size_t t)
{
    double x = 0.4 + 1.3 * (double)i + 0.7 * (double)k + 2.1 * (double)t;
    return (nn_real)((1 + 0.2 * (double)i) * sin(x));
}

static void set_gradients(model *m, reference *r)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            m->p[i]->grad[k] = gradient(i, k, r->t);
            r->g[i][k] = (double)m->p[i]->grad[k];
        }
    }
}

static void reference_clip(reference *r, const model *m, const nn_optimizer_desc *d)
{
    double squares = 0;
    for (size_t i = 0; i < PARAMETERS; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            double *g = &r->g[i][k];
            if (d->clip_value > 0 && *g > d->clip_value) *g = d->clip_value;
            if (d->clip_value > 0 && *g < -d->clip_value) *g = -d->clip_value;
            if (!m->p[i]->frozen) squares += *g * *g;
        }
    }
    double norm = sqrt(squares);
    if (!(d->clip_norm > 0 && norm > d->clip_norm)) return;
    for (size_t i = 0; i < PARAMETERS; i++) {
        for (size_t k = 0; k < sizes[i]; k++) r->g[i][k] *= d->clip_norm / norm;
    }
}

/* After clipping, as in PyTorch: what is clipped is the gradient of the loss alone. */
static void reference_decay(reference *r, const model *m, const nn_optimizer_desc *d)
{
    if (d->kind == NN_OPTIMIZER_ADAMW) return;
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (m->p[i]->no_decay) continue;
        for (size_t k = 0; k < sizes[i]; k++) r->g[i][k] += d->weight_decay * r->w[i][k];
    }
}

static double or_default(double value, double fallback)
{
    return value != 0 ? value : fallback;
}

static double adam_update(const nn_optimizer_desc *d, double t, double *m, double *s, double g)
{
    double b1 = or_default(d->beta1, 0.9), b2 = or_default(d->beta2, 0.999);
    *m = b1 * *m + (1 - b1) * g;
    *s = b2 * *s + (1 - b2) * g * g;
    double m_hat = *m / (1 - pow(b1, t)), s_hat = *s / (1 - pow(b2, t));
    return m_hat / (sqrt(s_hat) + or_default(d->epsilon, 1e-8));
}

/* What is taken off a weight, divided by the learning rate. */
static double update(const nn_optimizer_desc *d, double t, double *v, double *s, double g)
{
    double rho = or_default(d->rho, 0.99);
    switch (d->kind) {
    case NN_OPTIMIZER_SGD:
        *v = d->momentum * *v + g;
        return d->nesterov ? g + d->momentum * *v : *v;
    case NN_OPTIMIZER_ADAGRAD:
        *s += g * g;
        return g / (sqrt(*s) + or_default(d->epsilon, 1e-10));
    case NN_OPTIMIZER_RMSPROP:
        *s = rho * *s + (1 - rho) * g * g;
        return g / (sqrt(*s) + or_default(d->epsilon, 1e-8));
    default: return adam_update(d, t, v, s, g);
    }
}

static void reference_step(reference *r, const model *m, const nn_optimizer_desc *d)
{
    double rate = nn_learning_rate(d, r->t++);
    reference_clip(r, m, d);
    reference_decay(r, m, d);
    for (size_t i = 0; i < PARAMETERS; i++) {
        double scaled = rate * m->p[i]->learning_rate_scale;
        if (m->p[i]->frozen) continue;
        for (size_t k = 0; k < sizes[i]; k++) {
            double *w = &r->w[i][k];
            if (d->kind == NN_OPTIMIZER_ADAMW && !m->p[i]->no_decay)
                *w -= scaled * d->weight_decay * *w;
            *w -= scaled * update(d, (double)r->t, &r->v[i][k], &r->s[i][k], r->g[i][k]);
        }
    }
}

static size_t count_wrong(const model *m, const reference *r)
{
    size_t wrong = 0;
    for (size_t i = 0; i < PARAMETERS; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            if (!(fabs((double)m->p[i]->data[k] - r->w[i][k]) <= TOLERANCE)) wrong++;
        }
    }
    return wrong;
}

static size_t run_steps(model *m, reference *r, const nn_optimizer_desc *d, size_t steps)
{
    size_t wrong = 0;
    for (size_t i = 0; i < steps; i++) {
        set_gradients(m, r);
        CHECK_OK(nn_step(m->net));
        reference_step(r, m, d);
        wrong += count_wrong(m, r);
    }
    return wrong;
}

/* Trains a new model and its reference; the number of weights, over all steps, that differ. */
static size_t run(const nn_optimizer_desc *d, int mixed)
{
    model m;
    reference r;
    build(&m);
    start(&r, &m);
    if (mixed) {
        m.p[0]->learning_rate_scale = 3;
        m.p[1]->no_decay = 1;
        m.p[2]->learning_rate_scale = 0.25;
        m.p[3]->frozen = 1;
    }
    CHECK_OK(nn_set_optimizer(m.net, d));
    size_t wrong = run_steps(&m, &r, d, STEPS);
    CHECK_INT(nn_step_count(m.net), STEPS);
    nn_net_destroy(m.net);
    return wrong;
}

#define CHECK_RUN(desc)                                                                            \
    do {                                                                                           \
        CHECK_INT(run(desc, 0), 0);                                                                \
        CHECK_INT(run(desc, 1), 0);                                                                \
    } while (0)

static nn_optimizer_desc make(nn_optimizer_kind kind, double learning_rate)
{
    nn_optimizer_desc d;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    d.learning_rate = learning_rate;
    return d;
}

/* The variations that every kind knows. */
static void check_common(nn_optimizer_desc d)
{
    CHECK_RUN(&d);
    d.weight_decay = 0.1;
    CHECK_RUN(&d);
    d.schedule.kind = NN_SCHEDULE_EXPONENTIAL;
    d.schedule.gamma = 0.8;
    d.schedule.warm_up = 2;
    CHECK_RUN(&d);
    d.clip_norm = 2;
    CHECK_RUN(&d);
    d.clip_value = 0.3;
    CHECK_RUN(&d);
    d.clip_norm = 0;
    CHECK_RUN(&d);
}

static void sgd(void)
{
    check_common(make(NN_OPTIMIZER_SGD, 0.1));
}

static void momentum(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.1);
    d.momentum = 0.9;
    check_common(d);
}

static void nesterov(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.1);
    d.momentum = 0.5;
    d.nesterov = 1;
    check_common(d);
}

static void adagrad(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAGRAD, 0.1);
    check_common(d);
    d.epsilon = 0.5;
    CHECK_RUN(&d);
}

static void rmsprop(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_RMSPROP, 0.01);
    check_common(d);
    d.rho = 0.7;
    d.epsilon = 0.5;
    CHECK_RUN(&d);
}

static void adam(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAM, 0.1);
    check_common(d);
    d.beta1 = 0.5;
    d.beta2 = 0.8;
    d.epsilon = 0.5;
    CHECK_RUN(&d);
}

static void adamw(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAMW, 0.1);
    check_common(d);
    d.beta1 = 0.5;
    d.beta2 = 0.8;
    d.epsilon = 0.5;
    CHECK_RUN(&d);
}

/* By hand, so that not everything rests on one reference: r = 1/2, momentum 1/2, all exact. */
static void exact_values(void)
{
    nn_init one = nn_init_constant(1);
    size_t size = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *p = nn_parameter(net, 1, &size, one, "p");
    nn_tensor *loss = nn_sum(p);
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.momentum = 0.5;
    CHECK_OK(nn_set_optimizer(net, &d));
    static const double plain[3] = {0.5, -0.25, -1.125}; /* v = 1, 3/2, 7/4 */
    for (int t = 0; t < 3; t++) {
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_OK(nn_step(net));
        CHECK((double)p->data[0] == plain[t]);
    }
    d.nesterov = 1;
    CHECK_OK(nn_set_optimizer(net, &d));
    static const double ahead[2] = {-1.875, -2.75}; /* g + v/2 = 3/2, 7/4 */
    for (int t = 0; t < 2; t++) {
        CHECK_OK(nn_step(net));
        CHECK((double)p->data[0] == ahead[t]);
    }
    nn_net_destroy(net);
}

/* The gradient of w^2/2 is w: ten steps multiply by (1 - r)^10. */
static void quadratic(void)
{
    size_t size = 17;
    nn_real before[17];
    nn_net *net = nn_net_create(NULL);
    nn_tensor *p = nn_parameter(net, 1, &size, uniform(), "p");
    nn_tensor *loss = nn_scale(nn_sum(nn_mul(p, p)), 0.5);
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.25);
    memcpy(before, p->data, sizeof before);
    CHECK_OK(nn_set_optimizer(net, &d));
    for (int t = 0; t < 10; t++) {
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_OK(nn_step(net));
    }
    for (size_t k = 0; k < size; k++) {
        CHECK_NEAR(p->data[k], (double)before[k] * pow(0.75, 10), TOLERANCE);
    }
    nn_net_destroy(net);
}

/* The same weight and gradient give the same bits wherever they lie: in a vector or in its tail. */
static void same_bits_at_every_position(void)
{
    for (int kind = NN_OPTIMIZER_SGD; kind < (int)NN_OPTIMIZER_COUNT; kind++) {
        model m;
        nn_optimizer_desc d = make((nn_optimizer_kind)kind, 0.1);
        d.weight_decay = 0.01;
        d.clip_norm = 1;
        build(&m);
        CHECK_OK(nn_set_optimizer(m.net, &d));
        for (size_t i = 0; i < PARAMETERS; i++) {
            for (size_t k = 0; k < sizes[i]; k++) m.p[i]->data[k] = (nn_real)0.3;
        }
        for (size_t t = 0; t < STEPS; t++) {
            for (size_t i = 0; i < PARAMETERS; i++) {
                for (size_t k = 0; k < sizes[i]; k++) m.p[i]->grad[k] = gradient(1, 2, t);
            }
            CHECK_OK(nn_step(m.net));
        }
        CHECK(m.p[0]->data[0] != (nn_real)0.3);
        size_t differ = 0;
        for (size_t i = 0; i < PARAMETERS; i++) {
            for (size_t k = 0; k < sizes[i]; k++) differ += m.p[i]->data[k] != m.p[0]->data[0];
        }
        CHECK_INT(differ, 0);
        nn_net_destroy(m.net);
    }
}

/* A net with one parameter w = 0 and the given gradient; *net is the caller's to destroy. */
static nn_tensor *single(nn_net **net, size_t size, const double *g)
{
    nn_init zero = nn_init_scaled(NN_INIT_ZERO);
    *net = nn_net_create(NULL);
    nn_tensor *p = nn_parameter(*net, 1, &size, zero, "p");
    nn_tensor *loss = nn_sum(p);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    for (size_t k = 0; k < size; k++) p->grad[k] = (nn_real)g[k];
    return p;
}

/* After one step of rate 1 from 0 the weights are minus the gradient that was used. */
static void check_clipped(double value, double norm, const double *g, const double *expected)
{
    nn_net *net;
    nn_tensor *p = single(&net, 3, g);
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 1);
    d.clip_value = value;
    d.clip_norm = norm;
    CHECK_OK(nn_set_optimizer(net, &d));
    CHECK_OK(nn_step(net));
    for (size_t k = 0; k < 3; k++) CHECK_NEAR(-p->data[k], expected[k], TOLERANCE);
    nn_net_destroy(net);
}

static void clipping(void)
{
    static const double g[3] = {2, -4, 4}, zero[3] = {0, 0, 0};
    static const double by_value[3] = {2, -2.5, 2.5}, by_norm[3] = {1, -2, 2};
    static const double big[3] = {2e30, -4e30, 4e30}, of_big[3] = {1. / 3, -2. / 3, 2. / 3};
    static const double clamped[3] = {2, -2, 2};
    const double third = 1 / sqrt(3.);
    double by_both[3];
    by_both[0] = by_both[2] = third;
    by_both[1] = -third;
    check_clipped(0, 0, g, g);
    check_clipped(2.5, 0, g, by_value);
    check_clipped(4, 0, g, g);
    check_clipped(0, 3, g, by_norm);
    check_clipped(0, 6, g, g);
    check_clipped(0, 100, g, g);
    check_clipped(2, 1, g, by_both);
    check_clipped(2, 100, g, clamped);
    check_clipped(0, 1, zero, zero);
    check_clipped(1, 1, zero, zero);
    check_clipped(0, 1, big, of_big);
}

/* A norm below the limit changes nothing at all. */
static void loose_clip_keeps_bits(void)
{
    model a, b;
    reference r;
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.1);
    build(&a);
    build(&b);
    start(&r, &a);
    CHECK_OK(nn_set_optimizer(a.net, &d));
    d.clip_norm = 1e6;
    d.clip_value = 1e6;
    CHECK_OK(nn_set_optimizer(b.net, &d));
    set_gradients(&a, &r);
    set_gradients(&b, &r);
    CHECK_OK(nn_step(a.net));
    CHECK_OK(nn_step(b.net));
    for (size_t i = 0; i < PARAMETERS; i++) {
        CHECK(memcmp(a.p[i]->data, b.p[i]->data, sizes[i] * sizeof(nn_real)) == 0);
        CHECK((double)a.p[i]->data[0] != r.w[i][0]);
    }
    nn_net_destroy(a.net);
    nn_net_destroy(b.net);
}

static void frozen_parameters(void)
{
    model m;
    reference r;
    nn_real before[LARGEST];
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAMW, 0.1);
    d.weight_decay = 0.5;
    build(&m);
    start(&r, &m);
    CHECK_OK(nn_set_optimizer(m.net, &d));
    memcpy(before, m.p[4]->data, sizeof before);
    m.p[4]->frozen = 1;
    CHECK_INT(run_steps(&m, &r, &d, 3), 0);
    CHECK(memcmp(before, m.p[4]->data, sizeof before) == 0);
    m.p[4]->frozen = 0;
    CHECK_INT(run_steps(&m, &r, &d, 3), 0);
    CHECK(memcmp(before, m.p[4]->data, sizeof before) != 0);
    nn_net_destroy(m.net);
}

static void step_count(void)
{
    model m;
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAM, 0.1);
    build(&m);
    CHECK_INT(nn_step_count(m.net), 0);
    CHECK_ERROR(nn_step(m.net), NN_ERROR_BAD_ARGUMENT, "nn_set_optimizer", "");
    CHECK_INT(nn_step_count(m.net), 0);
    CHECK_OK(nn_set_optimizer(m.net, &d));
    CHECK_INT(nn_step_count(m.net), 0);
    for (size_t t = 1; t <= 3; t++) {
        CHECK_OK(nn_step(m.net));
        CHECK_INT(nn_step_count(m.net), t);
    }
    CHECK_OK(nn_set_optimizer(m.net, &d));
    CHECK_INT(nn_step_count(m.net), 0);
    nn_net_destroy(m.net);
    nn_net *net = nn_net_create(NULL); /* a loop that forgets nn_backward would never learn */
    nn_mse(nn_dense(nn_input(net, 2), 1));
    CHECK_OK(nn_set_optimizer(net, &d));
    CHECK_ERROR(nn_step(net), NN_ERROR_BAD_ARGUMENT, "nn_step", "nn_backward first");
    CHECK_INT(nn_step_count(net), 0);
    nn_net_destroy(net);
}

/* Whatever ran before, a newly set optimiser starts from nothing. */
static void setting_clears_state(void)
{
    model m;
    reference r;
    build(&m);
    for (int first = NN_OPTIMIZER_SGD; first < (int)NN_OPTIMIZER_COUNT; first++) {
        for (int second = NN_OPTIMIZER_SGD; second < (int)NN_OPTIMIZER_COUNT; second++) {
            nn_optimizer_desc d = make((nn_optimizer_kind)first, 0.01);
            d.momentum = first == NN_OPTIMIZER_SGD ? 0.9 : 0;
            CHECK_OK(nn_set_optimizer(m.net, &d));
            start(&r, &m);
            CHECK_INT(run_steps(&m, &r, &d, 2), 0);
            d.kind = (nn_optimizer_kind)second;
            d.momentum = second == NN_OPTIMIZER_SGD ? 0.9 : 0;
            CHECK_OK(nn_set_optimizer(m.net, &d));
            start(&r, &m);
            CHECK_INT(run_steps(&m, &r, &d, 2), 0);
        }
    }
    nn_net_destroy(m.net);
}

/* The desc is copied: what the caller does to it afterwards has no effect. */
static void desc_is_copied(void)
{
    model m;
    reference r;
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.1), copy;
    d.momentum = 0.9;
    copy = d;
    build(&m);
    start(&r, &m);
    CHECK_OK(nn_set_optimizer(m.net, &d));
    memset(&d, 0xff, sizeof d);
    CHECK_INT(run_steps(&m, &r, &copy, 2), 0);
    nn_net_destroy(m.net);
}

/* ---------------------------------------------------------------------------------- schedules */

#define CHECK_RATE(t, expected) CHECK_NEAR(nn_learning_rate(&d, t), expected, 1e-15)

static void constant_schedule(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    CHECK_RATE(0, 0.5);
    CHECK_RATE(1, 0.5);
    CHECK_RATE(SIZE_MAX, 0.5);
    d.schedule.warm_up = 4;
    CHECK_RATE(0, 0.125);
    CHECK_RATE(1, 0.25);
    CHECK_RATE(2, 0.375);
    CHECK_RATE(3, 0.5);
    CHECK_RATE(4, 0.5);
    CHECK_RATE(SIZE_MAX, 0.5);
    d.schedule.warm_up = 1;
    CHECK_RATE(0, 0.5);
    CHECK_RATE(1, 0.5);
}

static void step_decay(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_STEP_DECAY;
    d.schedule.period = 3;
    CHECK_RATE(0, 0.5);
    CHECK_RATE(2, 0.5);
    CHECK_RATE(3, 0.05);
    CHECK_RATE(5, 0.05);
    CHECK_RATE(6, 0.005);
    CHECK_RATE(SIZE_MAX, 0);
    d.schedule.gamma = 0.5;
    CHECK_RATE(2, 0.5);
    CHECK_RATE(3, 0.25);
    CHECK_RATE(9, 0.0625);
    d.schedule.period = 1;
    CHECK_RATE(2, 0.125);
    d.schedule.period = 3;
    d.schedule.warm_up = 2;
    CHECK_RATE(0, 0.25);
    CHECK_RATE(1, 0.5);
    CHECK_RATE(2, 0.5);
    CHECK_RATE(4, 0.5);
    CHECK_RATE(5, 0.25);
    CHECK_RATE(8, 0.125);
}

static void exponential(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_EXPONENTIAL;
    CHECK_RATE(0, 0.5);
    CHECK_RATE(1000, 0.5);
    d.schedule.gamma = 0.9;
    CHECK_RATE(0, 0.5);
    CHECK_RATE(1, 0.45);
    CHECK_RATE(3, 0.3645);
    CHECK_RATE(SIZE_MAX, 0);
    d.schedule.warm_up = 2;
    CHECK_RATE(0, 0.25);
    CHECK_RATE(1, 0.5);
    CHECK_RATE(2, 0.5);
    CHECK_RATE(3, 0.45);
}

static void cosine(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_COSINE;
    d.schedule.total = 6;
    CHECK_RATE(0, 0.5);
    CHECK_RATE(2, 0.375); /* cos(pi/3) = 1/2 */
    CHECK_RATE(3, 0.25);
    CHECK_RATE(4, 0.125);
    CHECK_RATE(6, 0);
    CHECK_RATE(7, 0);
    CHECK_RATE(SIZE_MAX, 0);
    d.schedule.final_rate = 0.1;
    CHECK_RATE(0, 0.5);
    CHECK_RATE(2, 0.4);
    CHECK_RATE(3, 0.3);
    CHECK_RATE(6, 0.1);
    CHECK_RATE(13, 0.1);
    d.schedule.warm_up = 2;
    CHECK_RATE(0, 0.25);
    CHECK_RATE(1, 0.5);
    CHECK_RATE(2, 0.5);
    CHECK_RATE(4, 0.4);
    CHECK_RATE(8, 0.1);
}

static void triangular(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_TRIANGULAR;
    d.schedule.period = 4;
    d.schedule.final_rate = 0.1;
    CHECK_RATE(0, 0.1);
    CHECK_RATE(1, 0.2);
    CHECK_RATE(4, 0.5);
    CHECK_RATE(5, 0.4);
    CHECK_RATE(7, 0.2);
    CHECK_RATE(8, 0.1);
    CHECK_RATE(9, 0.2);
    CHECK_RATE(12, 0.5);
    CHECK_RATE(16, 0.1);
    d.schedule.final_rate = 0;
    CHECK_RATE(0, 0);
    CHECK_RATE(2, 0.25);
    d.schedule.period = 1;
    CHECK_RATE(0, 0);
    CHECK_RATE(1, 0.5);
    CHECK_RATE(2, 0);
    d.schedule.warm_up = 2;
    CHECK_RATE(1, 0.5);
    CHECK_RATE(2, 0);
    CHECK_RATE(3, 0.5);
}

/* nn_step uses the rate of its own step: with gradient 1 the weight is minus the sum of rates. */
static void step_follows_schedule(void)
{
    static const double one[1] = {1};
    nn_net *net;
    nn_tensor *p = single(&net, 1, one);
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_STEP_DECAY;
    d.schedule.period = 2;
    d.schedule.gamma = 0.5;
    d.schedule.warm_up = 2;
    static const double rates[7] = {0.25, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125};
    double sum = 0;
    CHECK_OK(nn_set_optimizer(net, &d));
    for (int t = 0; t < 7; t++) {
        sum += rates[t];
        CHECK_OK(nn_step(net));
        CHECK((double)p->data[0] == -sum);
    }
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------------------- errors */

#define REJECT(kind, member, value, text)                                                          \
    do {                                                                                           \
        nn_optimizer_desc bad = make(kind, 0.1);                                                   \
        bad.member = value;                                                                        \
        CHECK_ERROR(nn_set_optimizer(m.net, &bad), NN_ERROR_BAD_ARGUMENT, text, "");               \
    } while (0)

static void rejected_common(void)
{
    model m;
    build(&m);
    REJECT((nn_optimizer_kind)NN_OPTIMIZER_COUNT, momentum, 0, "kind");
    REJECT(NN_OPTIMIZER_KEEP, momentum, 0, "kind");
    for (int k = NN_OPTIMIZER_SGD; k < (int)NN_OPTIMIZER_COUNT; k++) {
        nn_optimizer_kind kind = (nn_optimizer_kind)k;
        REJECT(kind, learning_rate, 0, "learning_rate");
        REJECT(kind, learning_rate, -0.1, "learning_rate");
        REJECT(kind, learning_rate, (double)NAN, "learning_rate");
        REJECT(kind, learning_rate, (double)INFINITY, "learning_rate");
        REJECT(kind, weight_decay, -0.1, "weight_decay");
        REJECT(kind, weight_decay, (double)NAN, "weight_decay");
        REJECT(kind, weight_decay, (double)INFINITY, "weight_decay");
        REJECT(kind, clip_norm, -1, "clip_norm");
        REJECT(kind, clip_norm, (double)NAN, "clip_norm");
        REJECT(kind, clip_value, -1, "clip_value");
        REJECT(kind, clip_value, (double)NAN, "clip_value");
    }
    CHECK_ERROR(nn_step(m.net), NN_ERROR_BAD_ARGUMENT, "nn_set_optimizer", "");
    nn_net_destroy(m.net);
}

static void rejected_of_a_kind(void)
{
    static const nn_optimizer_kind adams[2] = {NN_OPTIMIZER_ADAM, NN_OPTIMIZER_ADAMW};
    static const double outside[4] = {1, 1.5, -0.1, (double)NAN};
    model m;
    build(&m);
    for (int i = 0; i < 4; i++) {
        REJECT(NN_OPTIMIZER_SGD, momentum, outside[i], "momentum");
        REJECT(NN_OPTIMIZER_RMSPROP, rho, outside[i], "rho");
        for (int k = 0; k < 2; k++) {
            REJECT(adams[k], beta1, outside[i], "beta1");
            REJECT(adams[k], beta2, outside[i], "beta2");
        }
    }
    for (int k = NN_OPTIMIZER_ADAGRAD; k < (int)NN_OPTIMIZER_COUNT; k++) {
        REJECT((nn_optimizer_kind)k, epsilon, -1e-8, "epsilon");
        REJECT((nn_optimizer_kind)k, epsilon, NN_ZERO, "epsilon");
        if (sizeof(nn_real) == 4) REJECT((nn_optimizer_kind)k, epsilon, 1e-60, "epsilon");
        REJECT((nn_optimizer_kind)k, epsilon, (double)NAN, "epsilon");
        REJECT((nn_optimizer_kind)k, epsilon, (double)INFINITY, "epsilon");
    }
    nn_net_destroy(m.net);
}

/* The members that a kind of schedule uses. */
static void fill_schedule(nn_schedule *s)
{
    const int is_steps = s->kind == NN_SCHEDULE_STEP_DECAY;
    s->period = is_steps || s->kind == NN_SCHEDULE_TRIANGULAR ? 5 : 0;
    s->total = s->kind == NN_SCHEDULE_COSINE ? 5 : 0;
    s->gamma = is_steps || s->kind == NN_SCHEDULE_EXPONENTIAL ? 0.5 : 0;
}

#define REJECT_SCHEDULE(which, member, value, text)                                                \
    do {                                                                                           \
        nn_optimizer_desc bad = make(NN_OPTIMIZER_SGD, 0.1);                                       \
        bad.schedule.kind = which;                                                                 \
        fill_schedule(&bad.schedule);                                                              \
        CHECK_OK(nn_set_optimizer(m.net, &bad));                                                   \
        bad.schedule.member = value;                                                               \
        CHECK_ERROR(nn_set_optimizer(m.net, &bad), NN_ERROR_BAD_ARGUMENT, text, "");               \
    } while (0)

static void rejected_schedules(void)
{
    model m;
    build(&m);
    REJECT_SCHEDULE(NN_SCHEDULE_CONSTANT, kind, (nn_schedule_kind)NN_SCHEDULE_COUNT, "schedule");
    REJECT_SCHEDULE(NN_SCHEDULE_STEP_DECAY, period, 0, "period");
    REJECT_SCHEDULE(NN_SCHEDULE_STEP_DECAY, gamma, -0.5, "gamma");
    REJECT_SCHEDULE(NN_SCHEDULE_STEP_DECAY, gamma, (double)NAN, "gamma");
    REJECT_SCHEDULE(NN_SCHEDULE_EXPONENTIAL, gamma, -0.5, "gamma");
    REJECT_SCHEDULE(NN_SCHEDULE_EXPONENTIAL, gamma, (double)INFINITY, "gamma");
    {
        nn_optimizer_desc bad = make(NN_OPTIMIZER_SGD, 0.1); /* would never lower the rate */
        bad.schedule.kind = NN_SCHEDULE_PLATEAU, bad.schedule.period = 2, bad.schedule.gamma = 1;
        CHECK(!(nn_learning_rate(&bad, 0) >= 0));
        CHECK(strstr(nn_last_error(), "schedule.gamma is 1, expected 0 <= gamma < 1") != NULL);
    }
    REJECT_SCHEDULE(NN_SCHEDULE_COSINE, final_rate, -0.5, "final_rate");
    REJECT_SCHEDULE(NN_SCHEDULE_COSINE, final_rate, (double)NAN, "final_rate");
    REJECT_SCHEDULE(NN_SCHEDULE_TRIANGULAR, period, 0, "period");
    REJECT_SCHEDULE(NN_SCHEDULE_TRIANGULAR, final_rate, (double)NAN, "final_rate");
    nn_net_destroy(m.net);
}

/* A member that the kind has no use for is refused by its name, whatever its value. */
static void rejected_unused_members(void)
{
    model m;
    build(&m);
    for (int k = NN_OPTIMIZER_SGD; k < (int)NN_OPTIMIZER_COUNT; k++) {
        const nn_optimizer_kind kind = (nn_optimizer_kind)k;
        const int adam = kind == NN_OPTIMIZER_ADAM || kind == NN_OPTIMIZER_ADAMW;
        if (kind != NN_OPTIMIZER_SGD) REJECT(kind, momentum, 0.5, "momentum is set");
        if (kind != NN_OPTIMIZER_SGD) REJECT(kind, nesterov, 1, "nesterov is set");
        if (kind != NN_OPTIMIZER_RMSPROP) REJECT(kind, rho, 0.5, "rho is set");
        if (!adam) REJECT(kind, beta1, 0.5, "beta1 is set");
        if (!adam) REJECT(kind, beta2, NN_ZERO, "beta2 is set");
    }
    REJECT(NN_OPTIMIZER_SGD, nesterov, 1, "nesterov is set without a momentum");
    {
        nn_optimizer_desc bad = make(NN_OPTIMIZER_SGD, 0.1);
        bad.nesterov = 1, bad.momentum = NN_ZERO;
        CHECK_ERROR(nn_set_optimizer(m.net, &bad), NN_ERROR_BAD_ARGUMENT, "nesterov", "momentum");
    }
    REJECT(NN_OPTIMIZER_SGD, epsilon, 1e-8, "epsilon is set");
    REJECT_SCHEDULE(NN_SCHEDULE_CONSTANT, period, 5, "schedule.period is 5");
    REJECT_SCHEDULE(NN_SCHEDULE_CONSTANT, total, 5, "schedule.total is 5");
    REJECT_SCHEDULE(NN_SCHEDULE_CONSTANT, gamma, 0.5, "schedule.gamma is set");
    REJECT_SCHEDULE(NN_SCHEDULE_CONSTANT, final_rate, 0.5, "schedule.final_rate is set");
    REJECT_SCHEDULE(NN_SCHEDULE_STEP_DECAY, total, 5, "schedule.total is 5");
    REJECT_SCHEDULE(NN_SCHEDULE_COSINE, period, 5, "schedule.period is 5");
    REJECT_SCHEDULE(NN_SCHEDULE_TRIANGULAR, gamma, 0.5, "schedule.gamma is set");
    nn_net_destroy(m.net);
}

/* What a double holds and nn_real does not would train with another number than was asked for. */
static void rejected_as_reals(void)
{
    model m;
    build(&m);
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAM, 0.1);
    d.beta2 = 1 - 1e-12;
    if (sizeof(nn_real) == sizeof(double)) {
        CHECK_OK(nn_set_optimizer(m.net, &d));
    } else {
        CHECK_ERROR(nn_set_optimizer(m.net, &d), NN_ERROR_BAD_ARGUMENT, "beta2", "nn_real");
        REJECT(NN_OPTIMIZER_SGD, momentum, 1 - 1e-12, "momentum");
        REJECT(NN_OPTIMIZER_SGD, learning_rate, 1e200, "learning_rate");
        REJECT(NN_OPTIMIZER_SGD, learning_rate, 1e-60, "learning_rate");
        REJECT(NN_OPTIMIZER_SGD, weight_decay, 1e200, "weight_decay");
    }
    REJECT(NN_OPTIMIZER_SGD, learning_rate, 1e301, "learning_rate");
    nn_net_destroy(m.net);
}

/* NN_ZERO is a 0 where 0 would take the default. */
static void zero_members(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_EXPONENTIAL;
    CHECK(nn_learning_rate(&d, 3) == 0.5);
    d.schedule.gamma = NN_ZERO;
    CHECK(nn_learning_rate(&d, 0) == 0.5 && nn_learning_rate(&d, 3) == 0);
    d.schedule.kind = NN_SCHEDULE_STEP_DECAY, d.schedule.period = 2, d.schedule.gamma = 0;
    CHECK_NEAR(nn_learning_rate(&d, 2), 0.05, 1e-16);
}

/* nn_learning_rate refuses what nn_set_optimizer refuses. */
static void rejected_learning_rate(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, -1);
    double rate = nn_learning_rate(&d, 0);
    CHECK(rate != rate && strstr(nn_last_error(), "nn_learning_rate: learning_rate is -1"));
    d = make(NN_OPTIMIZER_SGD, 0.1);
    d.schedule.kind = NN_SCHEDULE_COSINE;
    rate = nn_learning_rate(&d, 0);
    CHECK(rate != rate && strstr(nn_last_error(), "schedule.total is 0"));
    rate = nn_learning_rate(NULL, 0);
    CHECK(rate != rate && strstr(nn_last_error(), "NULL"));
}

/* AdaGrad's first step of a gradient of 1e-8 shows its default epsilon of 1e-10: 1e-8 / 1.01e-8. */
static void default_epsilon_of_adagrad(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *p = nn_parameter(net, 0, NULL, nn_init_constant(1), "p");
    nn_tensor *loss = nn_scale(p, 1e-8);
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAGRAD, 0.5);
    CHECK_OK(nn_set_optimizer(net, &d));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_OK(nn_step(net));
    CHECK_NEAR(p->data[0], 1 - 0.5 / 1.01, 1e-6);
    nn_net_destroy(net);
}

/* The short forms are the descs with those members. */
static void short_descs(void)
{
    nn_optimizer_desc sgd = make(NN_OPTIMIZER_SGD, 0.1), adam = make(NN_OPTIMIZER_ADAM, 0.2);
    nn_optimizer_desc adamw = make(NN_OPTIMIZER_ADAMW, 0.3), got = nn_sgd(0.1, 0.9);
    sgd.momentum = 0.9, adamw.weight_decay = 0.01;
    CHECK(memcmp(&got, &sgd, sizeof got) == 0);
    got = nn_adam(0.2);
    CHECK(memcmp(&got, &adam, sizeof got) == 0);
    got = nn_adamw(0.3, 0.01);
    CHECK(memcmp(&got, &adamw, sizeof got) == 0);
}

enum { NEIGHBOURS = 5, NEIGHBOUR_SIZE = 3 };

/* Settings and gradients of neighbour i in a pattern, the latter for step s. */
static void set_neighbour(nn_tensor *p, unsigned pattern, int i)
{
    p->no_decay = pattern >> i & 1;
    p->frozen = (pattern * 3) >> i & 1;
    p->learning_rate_scale = (pattern * 5) >> i & 1 ? 0.5 : 1;
}

static void set_neighbour_grad(nn_tensor *p, int i, int s)
{
    for (int j = 0; j < NEIGHBOUR_SIZE; j++) p->grad[j] = (nn_real)(0.1 * (s + i + j) + 0.05);
}

static nn_tensor *neighbour(nn_net *net)
{
    static const size_t size[] = {NEIGHBOUR_SIZE};
    return nn_parameter(net, 1, size, nn_init_constant(1), NULL);
}

/* Neighbour i updated in a network of its own has the bits that it has among the others. */
static void compare_neighbour(const nn_optimizer_desc *d, const nn_tensor *p, unsigned pattern,
                              int i)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *q = neighbour(net), *loss = nn_sum(q);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss)); /* makes the gradients */
    set_neighbour(q, pattern, i);
    CHECK_OK(nn_set_optimizer(net, d));
    for (int s = 0; s < 3; s++) {
        set_neighbour_grad(q, i, s);
        CHECK_OK(nn_step(net));
    }
    CHECK(memcmp(q->data, p->data, NEIGHBOUR_SIZE * sizeof *q->data) == 0);
    nn_net_destroy(net);
}

/* Parameters side by side in the store are updated together where their settings agree. */
static void neighbours_update_like_each_alone(void)
{
    for (unsigned pattern = 0; pattern < 1u << NEIGHBOURS; pattern++)
        for (int kind = NN_OPTIMIZER_SGD; kind < (int)NN_OPTIMIZER_COUNT; kind++) {
            nn_optimizer_desc d = make((nn_optimizer_kind)kind, 0.1);
            nn_net *net = nn_net_create(NULL);
            nn_tensor *p[NEIGHBOURS], *loss = NULL;
            d.weight_decay = 0.25;
            for (int i = 0; i < NEIGHBOURS; i++) p[i] = neighbour(net);
            loss = nn_sum(p[0]);
            CHECK_OK(nn_forward(loss));
            CHECK_OK(nn_backward(loss));
            for (int i = 0; i < NEIGHBOURS; i++) set_neighbour(p[i], pattern, i);
            CHECK_OK(nn_set_optimizer(net, &d));
            for (int s = 0; s < 3; s++) {
                for (int i = 0; i < NEIGHBOURS; i++) set_neighbour_grad(p[i], i, s);
                CHECK_OK(nn_step(net));
            }
            for (int i = 0; i < NEIGHBOURS; i++) compare_neighbour(&d, p[i], pattern, i);
            nn_net_destroy(net);
        }
}

static void rejected_desc_changes_nothing(void)
{
    model m;
    reference r;
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.1), bad = make(NN_OPTIMIZER_ADAM, -1);
    d.momentum = 0.9;
    build(&m);
    start(&r, &m);
    CHECK_OK(nn_set_optimizer(m.net, &d));
    CHECK_INT(run_steps(&m, &r, &d, 2), 0);
    CHECK_ERROR(nn_set_optimizer(m.net, &bad), NN_ERROR_BAD_ARGUMENT, "learning_rate", "-1");
    CHECK_INT(nn_step_count(m.net), 2);
    CHECK_INT(run_steps(&m, &r, &d, 2), 0);
    CHECK_INT(nn_step_count(m.net), 4);
    nn_net_destroy(m.net);
}

static void null_and_broken(void)
{
    model m;
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.1);
    build(&m);
    CHECK_ERROR(nn_set_optimizer(NULL, &d), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_set_optimizer(m.net, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_step(NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_INT(nn_step_count(NULL), 0);
    CHECK_OK(nn_set_optimizer(m.net, &d));
    CHECK(nn_add(m.p[1], m.p[2]) == NULL);
    CHECK(nn_net_status(m.net) == NN_ERROR_BAD_SHAPE);
    CHECK_ERROR(nn_set_optimizer(m.net, &d), NN_ERROR_BAD_SHAPE, "7", "16");
    CHECK_ERROR(nn_step(m.net), NN_ERROR_BAD_SHAPE, "7", "16");
    CHECK_INT(nn_step_count(m.net), 0);
    nn_net_destroy(m.net);
}

/* ------------------------------------------------------------------------------------- memory */

typedef struct memory {
    int refuse;
    size_t calls;
} memory;

static void *counted_alloc(void *user, size_t bytes)
{
    memory *state = (memory *)user;
    state->calls++;
    return state->refuse ? NULL : malloc(bytes);
}

static void counted_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static nn_net *counted_net(memory *state)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.allocator.alloc = counted_alloc;
    desc.allocator.release = counted_release;
    desc.allocator.user = state;
    return nn_net_create(&desc);
}

static void out_of_memory(void)
{
    memory state = {0, 0};
    size_t size = (size_t)1 << 20;
    nn_net *net = counted_net(&state);
    nn_tensor *p = nn_parameter(net, 1, &size, uniform(), "p");
    nn_tensor *loss = nn_sum(p);
    nn_optimizer_desc d = make(NN_OPTIMIZER_ADAM, 0.5);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    double before = (double)p->data[size - 1];
    state.refuse = 1;
    nn_status status = nn_set_optimizer(net, &d);
    if (status == NN_OK) status = nn_step(net);
    CHECK_INT(status, NN_ERROR_OUT_OF_MEMORY);
    CHECK((double)p->data[size - 1] == before);
    state.refuse = 0;
    CHECK_OK(nn_set_optimizer(net, &d));
    CHECK_OK(nn_step(net));
    CHECK_NEAR(p->data[size - 1], before - 0.5 / (1 + 1e-8), TOLERANCE);
    state.calls = 0;
    for (int t = 0; t < 5; t++) {
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_OK(nn_step(net));
    }
    CHECK_INT(state.calls, 0);
    nn_net_destroy(net);
}

/* An optimiser that finds no memory leaves the one before as it was, its momentum included. */
static void out_of_memory_keeps_state(void)
{
    memory state = {0, 0};
    size_t size = (size_t)1 << 20;
    nn_net *net = counted_net(&state);
    nn_tensor *p = nn_parameter(net, 1, &size, uniform(), "p");
    nn_tensor *loss = nn_sum(p);
    nn_optimizer_desc sgd_desc = make(NN_OPTIMIZER_SGD, 0.5),
                      adam_desc = make(NN_OPTIMIZER_ADAM, 0.5);
    sgd_desc.momentum = 0.5;
    CHECK_OK(nn_set_optimizer(net, &sgd_desc));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_OK(nn_step(net));
    double before = (double)p->data[0];
    state.refuse = 1;
    CHECK_INT(nn_set_optimizer(net, &adam_desc), NN_ERROR_OUT_OF_MEMORY);
    CHECK_INT(nn_step_count(net), 1);
    CHECK_OK(nn_step(net));
    CHECK_NEAR(p->data[0], before - 0.5 * 1.5, TOLERANCE);
    nn_net_destroy(net);
}

/* Twice the period does not fit a size_t. */
static void longest_period(void)
{
    nn_optimizer_desc d = make(NN_OPTIMIZER_SGD, 0.5);
    d.schedule.kind = NN_SCHEDULE_TRIANGULAR;
    d.schedule.period = SIZE_MAX / 2 + 1;
    d.schedule.final_rate = 0.1;
    CHECK_RATE(0, 0.1);
    CHECK_RATE(d.schedule.period / 2, 0.3);
    CHECK_RATE(d.schedule.period, 0.5);
}

int main(void)
{
    RUN(sgd);
    RUN(momentum);
    RUN(nesterov);
    RUN(adagrad);
    RUN(rmsprop);
    RUN(adam);
    RUN(adamw);
    RUN(exact_values);
    RUN(quadratic);
    RUN(same_bits_at_every_position);
    RUN(clipping);
    RUN(loose_clip_keeps_bits);
    RUN(frozen_parameters);
    RUN(step_count);
    RUN(setting_clears_state);
    RUN(desc_is_copied);
    RUN(constant_schedule);
    RUN(step_decay);
    RUN(exponential);
    RUN(cosine);
    RUN(triangular);
    RUN(step_follows_schedule);
    RUN(rejected_common);
    RUN(rejected_of_a_kind);
    RUN(rejected_schedules);
    RUN(rejected_unused_members);
    RUN(rejected_as_reals);
    RUN(zero_members);
    RUN(rejected_learning_rate);
    RUN(default_epsilon_of_adagrad);
    RUN(short_descs);
    RUN(neighbours_update_like_each_alone);
    RUN(rejected_desc_changes_nothing);
    RUN(null_and_broken);
    RUN(out_of_memory);
    RUN(out_of_memory_keeps_state);
    RUN(longest_period);
    return test_done("test_optim");
}
