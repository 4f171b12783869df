/* Section >>api-train: training step by step, checks, early stopping, histories, evaluation. */
#if defined(__unix__) || defined(__APPLE__)
#define _XOPEN_SOURCE 600 /* for a terminal of one's own */
#include <fcntl.h>
#include <unistd.h>
#define HAVE_TERMINALS 1
#endif
#include <stdlib.h>

/* What is not taken from a network's allocator is counted here. */
static size_t outside_calls;
static void *outside_realloc(void *block, size_t bytes)
{
    outside_calls++;
    return realloc(block, bytes);
}
#define NN_MALLOC(bytes) outside_realloc(NULL, bytes)
#define NN_REALLOC outside_realloc
#define NN_FREE free
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 2e-6
#endif

#define POINTS 1025
#define FEATURES 2
#define CLASSES 3
#define HIDDEN 8
#define MAX_STEPS 64
#define MAX_SEEN 256
#define MAX_WEIGHTS 64

/* ------------------------------------------------------------------------------------ fixtures */

static nn_real blob_x[POINTS * FEATURES];
static int blob_labels[POINTS];

typedef struct classifier {
    nn_net *net;
    nn_tensor *in, *first, *second, *loss;
} classifier;

typedef struct line {
    nn_net *net;
    nn_tensor *in, *out, *loss;
} line;

/* What the callbacks saw, and what they shall do. */
typedef struct record {
    nn_tensor *in;                /* NULL: do not look at the batches */
    nn_tensor *poisoned;          /* becomes infinite after step poison_step */
    size_t poison_step;
    size_t stop_step, stop_check; /* stop after so many; 0: never */
    size_t steps, checks, seen;
    double loss[MAX_STEPS];
    size_t rows[MAX_STEPS];
    double x[MAX_SEEN];
    nn_check check[MAX_STEPS];
} record;

static nn_net *new_net(uint64_t seed)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = seed;
    return nn_net_create(&desc);
}

/* Three round clouds, far enough apart for a perfect score to be nearly possible. */
static void fill_blobs(void)
{
    static const double center[CLASSES][FEATURES] = {{-2, 0}, {2, 0}, {0, 3}};
    nn_rng rng = nn_rng_seed(7);
    for (size_t i = 0; i < POINTS; i++) {
        int label = (int)nn_rng_below(&rng, CLASSES);
        blob_labels[i] = label;
        for (size_t k = 0; k < FEATURES; k++) {
            double x = center[label][k] + 0.6 * nn_rng_normal(&rng);
            blob_x[i * FEATURES + k] = (nn_real)x;
        }
    }
}

static void blobs(nn_dataset *data, size_t first, size_t count)
{
    CHECK_OK(nn_dataset_from_arrays(blob_x + first * FEATURES, count, FEATURES,
                                    blob_labels + first, CLASSES, data));
}

static void build_classifier_in(classifier *c, nn_net *net, double dropout)
{
    c->net = net;
    c->in = nn_input(c->net, FEATURES);
    c->first = nn_dense(c->in, HIDDEN);
    nn_tensor *hidden = nn_tanh(c->first);
    if (dropout > 0) hidden = nn_dropout(hidden, dropout);
    c->second = nn_dense(hidden, CLASSES);
    c->loss = nn_softmax_cross_entropy(c->second);
    CHECK_OK(nn_net_status(c->net));
}

static void build_classifier(classifier *c, uint64_t seed, double dropout)
{
    build_classifier_in(c, new_net(seed), dropout);
}

/* y = w x, mean squared error. */
static void build_line(line *l)
{
    nn_dense_desc dense;
    memset(&dense, 0, sizeof dense);
    dense.units = 1;
    dense.no_bias = 1;
    dense.weight = nn_init_constant(0.5);
    dense.name = "slope";
    l->net = new_net(1);
    l->in = nn_input(l->net, 1);
    l->out = nn_dense_with(l->in, &dense);
    l->loss = nn_name(nn_mse(l->out), "error");
    CHECK_OK(nn_net_status(l->net));
}

/* x = 0, 1/16, 2/16, ... and the target 3 x - 1: every sample can be told from its x. */
static void ramp(nn_dataset *data, size_t count)
{
    static nn_real x[MAX_SEEN], t[MAX_SEEN];
    for (size_t i = 0; i < MAX_SEEN; i++) {
        x[i] = (nn_real)i / 16;
        t[i] = 3 * x[i] - 1;
    }
    CHECK_OK(nn_dataset_from_arrays(x, count, 1, NULL, 0, data));
    CHECK_OK(nn_dataset_set_targets(data, t, 1));
}

static nn_train_desc make(size_t epochs, size_t batch_size, double learning_rate)
{
    nn_train_desc d;
    memset(&d, 0, sizeof d);
    d.epochs = epochs;
    d.batch_size = batch_size;
    d.optimizer = nn_sgd(learning_rate, 0);
    return d;
}

static int record_step(void *user, nn_net *net, size_t step, double loss)
{
    record *r = (record *)user;
    size_t s = r->steps++;
    CHECK_INT(step, s);
    CHECK_INT(nn_step_count(net), step + 1);
    if (s >= MAX_STEPS) return 1;
    r->loss[s] = loss;
    if (r->in) {
        r->rows[s] = r->in->shape[0];
        for (size_t i = 0; i < r->rows[s] && r->seen < MAX_SEEN; i++) {
            r->x[r->seen++] = (double)r->in->data[i];
        }
    }
    if (r->poisoned && s == r->poison_step) r->poisoned->data[0] = (nn_real)INFINITY;
    return r->steps == r->stop_step;
}

static int record_check(void *user, nn_net *net, const nn_check *check)
{
    record *r = (record *)user;
    CHECK_INT(check->step, nn_step_count(net));
    if (r->checks >= MAX_STEPS) return 1;
    r->check[r->checks++] = *check;
    return r->checks == r->stop_check;
}

/* No number: what an accuracy is where there are no labels. */
static int is_none(double x) { return is_nan((nn_real)x); }

static int same(double a, double b) { return is_none(a) ? is_none(b) : a == b; }

static int same_check(const nn_check *a, const nn_check *b)
{
    return a->step == b->step && a->epoch == b->epoch && a->improved == b->improved &&
           same(a->train_loss, b->train_loss) && same(a->train_accuracy, b->train_accuracy) &&
           same(a->batch_loss, b->batch_loss) && same(a->batch_accuracy, b->batch_accuracy) &&
           same(a->validation_loss, b->validation_loss) &&
           same(a->validation_accuracy, b->validation_accuracy) &&
           same(a->validation_metric, b->validation_metric) &&
           same(a->learning_rate, b->learning_rate) && same(a->seconds, b->seconds) &&
           a->batch_size == b->batch_size;
}

static void observe(nn_train_desc *d, record *r)
{
    memset(r, 0, sizeof *r);
    d->on_step = record_step;
    d->on_check = record_check;
    d->user = r;
}

/* All parameters one after the other; their number. */
static size_t weights_of(const nn_net *net, nn_real *out)
{
    const nn_tensor *t;
    size_t n = 0;
    for (size_t i = 0; (t = nn_net_parameter(net, i)) != NULL; i++) {
        CHECK(n + t->size <= MAX_WEIGHTS);
        memcpy(out + n, t->data, t->size * sizeof *out);
        n += t->size;
    }
    return n;
}

static int same_weights(const nn_net *a, const nn_net *b)
{
    nn_real wa[MAX_WEIGHTS], wb[MAX_WEIGHTS];
    size_t n = weights_of(a, wa);
    return n > 0 && n == weights_of(b, wb) && memcmp(wa, wb, n * sizeof *wa) == 0;
}

/* --------------------------------------------------------------------------------- it learns */

static void learns_blobs(void)
{
    classifier c;
    nn_dataset train, test;
    nn_result result;
    nn_train_desc d = make(20, 16, 0.1);
    build_classifier(&c, 1, 0);
    blobs(&train, 0, 400);
    blobs(&test, 400, 600);
    CHECK_OK(nn_evaluate(c.loss, &test, &result));
    CHECK(result.accuracy < 0.9);
    CHECK_OK(nn_train(c.loss, &train, &d, NULL));
    CHECK_OK(nn_evaluate(c.loss, &test, &result));
    CHECK(result.accuracy > 0.97);
    CHECK(result.loss < 0.15);
    CHECK_INT(result.count, 600);
    CHECK(is_none(result.metric));
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_net_destroy(c.net);
}

static void learns_xor(void)
{
    static const nn_real x[] = {0, 0, 0, 1, 1, 0, 1, 1};
    static const int labels[] = {0, 1, 1, 0};
    nn_dataset data;
    nn_result result;
    nn_net *net = new_net(1);
    nn_tensor *hidden = nn_tanh(nn_dense(nn_input(net, 2), 8));
    nn_tensor *loss = nn_sigmoid_cross_entropy(nn_dense(hidden, 1));
    nn_train_desc d = make(500, 4, 0.05);
    d.optimizer.kind = NN_OPTIMIZER_ADAM;
    CHECK_OK(nn_dataset_from_arrays(x, 4, 2, labels, 2, &data));
    CHECK_OK(nn_train(loss, &data, &d, NULL));
    CHECK_OK(nn_evaluate(loss, &data, &result));
    CHECK(result.accuracy == 1);
    CHECK(result.loss < 0.05);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

static void learns_line(void)
{
    nn_dataset data;
    nn_result result;
    nn_net *net = new_net(1);
    nn_tensor *y = nn_dense(nn_input(net, 1), 1);
    nn_tensor *loss = nn_mse(y);
    nn_train_desc d = make(200, 8, 0.2);
    ramp(&data, 32);
    CHECK_OK(nn_train(loss, &data, &d, NULL));
    CHECK_NEAR(nn_weight(y)->data[0], 3, 1e-3);
    CHECK_NEAR(nn_bias(y)->data[0], -1, 1e-3);
    CHECK_OK(nn_evaluate(loss, &data, &result));
    CHECK(result.loss < 1e-6);
    CHECK(is_none(result.accuracy));
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

static void frozen_stays(void)
{
    classifier c;
    nn_dataset data;
    nn_real before[MAX_WEIGHTS], after[MAX_WEIGHTS];
    nn_train_desc d = make(2, 16, 0.1);
    build_classifier(&c, 1, 0);
    blobs(&data, 0, 64);
    nn_weight(c.first)->frozen = 1;
    weights_of(c.net, before);
    CHECK_OK(nn_train(c.loss, &data, &d, NULL));
    size_t n = weights_of(c.net, after), fixed = FEATURES * HIDDEN;
    CHECK(memcmp(before, after, fixed * sizeof *before) == 0);
    for (size_t i = fixed; i < n; i++) CHECK(before[i] != after[i]);
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

/* ------------------------------------------------------------------------------ steps and order */

static void check_steps(size_t count, size_t batch, int drop_last, size_t epochs, size_t expected)
{
    line l;
    record r;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(epochs, batch, 0.01);
    memset(&history, 0, sizeof history);
    d.drop_last = drop_last;
    build_line(&l);
    ramp(&data, count);
    observe(&d, &r);
    r.in = l.in;
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_INT(r.steps, expected);
    CHECK_INT(nn_step_count(l.net), expected);
    CHECK_INT(history.epochs, epochs);
    CHECK_INT(history.stopped_early, 0);
    size_t per_epoch = expected / epochs, rest = drop_last ? 0 : count % batch;
    for (size_t s = 0; s < r.steps; s++) {
        int last = s % per_epoch == per_epoch - 1;
        CHECK_INT(r.rows[s], last && rest ? rest : batch);
    }
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void number_of_steps(void)
{
    check_steps(10, 4, 0, 3, 9);
    check_steps(10, 4, 1, 3, 6);
    check_steps(12, 4, 0, 2, 6);
    check_steps(12, 4, 1, 2, 6);
    check_steps(10, 10, 0, 3, 3);
    check_steps(10, 9, 1, 3, 3);
    check_steps(10, 1, 0, 2, 20);
    check_steps(1, 1, 1, 5, 5);
}

/* seen[0..n) holds n different samples of the ramp. */
static int all_different(const double *seen, size_t n)
{
    int used[MAX_SEEN] = {0};
    for (size_t i = 0; i < n; i++) {
        size_t sample = (size_t)(seen[i] * 16 + 0.5);
        if (sample >= MAX_SEEN || used[sample]++) return 0;
    }
    return 1;
}

static void look_at_epochs(record *r, size_t count, int no_shuffle, int drop_last)
{
    line l;
    nn_dataset data;
    nn_train_desc d = make(3, 4, 0.01);
    d.no_shuffle = no_shuffle;
    d.drop_last = drop_last;
    build_line(&l);
    ramp(&data, count);
    observe(&d, r);
    r->in = l.in;
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void order_of_samples(void)
{
    record r;
    look_at_epochs(&r, 18, 0, 0);
    CHECK_INT(r.seen, 54);
    for (size_t e = 0; e < 3; e++) {
        const double *epoch = r.x + e * 18;
        CHECK(all_different(epoch, 18));
        for (size_t i = 0; i < 18; i++) CHECK(epoch[i] * 16 < 18);
    }
    CHECK(memcmp(r.x, r.x + 18, 18 * sizeof *r.x) != 0);
    CHECK(memcmp(r.x, r.x + 36, 18 * sizeof *r.x) != 0);
    CHECK(memcmp(r.x + 18, r.x + 36, 18 * sizeof *r.x) != 0);
    look_at_epochs(&r, 18, 0, 1);
    CHECK_INT(r.seen, 48);
    for (size_t e = 0; e < 3; e++) CHECK(all_different(r.x + e * 16, 16));
    look_at_epochs(&r, 18, 1, 0);
    CHECK_INT(r.seen, 54);
    for (size_t i = 0; i < r.seen; i++) CHECK_INT(r.x[i] * 16, i % 18);
    look_at_epochs(&r, 18, 1, 1);
    CHECK_INT(r.seen, 48);
    for (size_t i = 0; i < r.seen; i++) CHECK_INT(r.x[i] * 16, i % 16);
}

/* Follows the run by hand: targets and samples stay together, and SGD does w -= r dloss/dw. */
static void batches_by_hand(void)
{
    line l;
    record r;
    nn_dataset data;
    nn_train_desc d = make(2, 4, 0.05);
    double w = 0.5;
    size_t seen = 0;
    build_line(&l);
    ramp(&data, 18);
    observe(&d, &r);
    r.in = l.in;
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_INT(r.steps, 10);
    for (size_t s = 0; s < r.steps; s++) {
        double loss = 0, slope = 0, n = (double)r.rows[s];
        for (size_t i = 0; i < r.rows[s]; i++, seen++) {
            double x = r.x[seen], error = w * x - (3 * x - 1);
            loss += error * error / n;
            slope += 2 * error * x / n;
        }
        CHECK_NEAR(r.loss[s], loss, 4 * TOLERANCE);
        w -= 0.05 * slope;
    }
    CHECK_NEAR(nn_weight(l.out)->data[0], w, TOLERANCE);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* Labels follow their samples, too: the logits are the inputs, one-hot for the sample's label. */
static void labels_follow_samples(void)
{
    nn_real x[30 * 3];
    int labels[30];
    record r;
    nn_dataset data;
    size_t three = 3;
    memset(x, 0, sizeof x);
    for (size_t i = 0; i < 30; i++) {
        labels[i] = (int)(i * i % 3);
        x[i * 3 + (size_t)labels[i]] = 4;
    }
    nn_net *net = new_net(1);
    nn_tensor *bias = nn_parameter(net, 1, &three, nn_init_constant(0), "bias");
    nn_tensor *loss = nn_softmax_cross_entropy(nn_add(nn_input(net, 3), bias));
    nn_train_desc d = make(3, 7, 1e-20);
    CHECK_OK(nn_dataset_from_arrays(x, 30, 3, labels, 3, &data));
    observe(&d, &r);
    CHECK_OK(nn_train(loss, &data, &d, NULL));
    CHECK_INT(r.steps, 15);
    for (size_t s = 0; s < r.steps; s++) CHECK_NEAR(r.loss[s], log(1 + 2 * exp(-4.)), TOLERANCE);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* -------------------------------------------------------------------------------------- checks */

/* 20 samples in batches of 2 for two epochs: 10 steps each. expected[n] ends with 0. */
static void check_when(size_t check_every, size_t checks_per_epoch, const size_t *expected)
{
    line l;
    record r;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(2, 2, 0.01);
    size_t n = 0;
    memset(&history, 0, sizeof history);
    d.check_every = check_every;
    d.checks_per_epoch = checks_per_epoch;
    build_line(&l);
    ramp(&data, 20);
    observe(&d, &r);
    d.validation = &data;
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    while (expected[n]) n++;
    CHECK_INT(r.checks, n);
    CHECK_INT(history.check_count, n);
    for (size_t i = 0; i < n && i < r.checks; i++) {
        CHECK_INT(r.check[i].step, expected[i]);
        CHECK_INT(r.check[i].epoch, (expected[i] - 1) / 10);
        CHECK(same_check(&r.check[i], &history.checks[i]));
    }
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void when_to_check(void)
{
    static const size_t at_end[] = {10, 20, 0};
    static const size_t every_3[] = {1, 4, 7, 10, 13, 16, 19, 0};
    static const size_t every_2[] = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 0};
    static const size_t every_10[] = {1, 11, 0};
    static const size_t once[] = {1, 0};
    size_t every[21];
    for (size_t i = 0; i < 20; i++) every[i] = i + 1;
    every[20] = 0;
    check_when(0, 0, at_end);
    check_when(3, 0, every_3);
    check_when(1, 0, every);
    check_when(100, 0, once);
    check_when(0, 5, every_2);
    check_when(0, 3, every_3);
    check_when(0, 1, every_10);
    check_when(0, 10, every);
    check_when(0, 50, every);
}

/* The mean over an epoch of 18 samples that begins with loss[0]: batches of 4, the last of 2. */
static double mean_of_18(const double *loss)
{
    return (4 * (loss[0] + loss[1] + loss[2] + loss[3]) + 2 * loss[4]) / 18;
}

/* A check holds the last batch's loss, the epoch's mean or the whole set's loss, and what
   nn_evaluate says of validation. */
static void check_contents(void)
{
    line l;
    record r;
    nn_dataset train, held_out;
    nn_result result;
    nn_train_desc d = make(2, 4, 0.05);
    build_line(&l);
    ramp(&train, 18);
    CHECK_OK(nn_dataset_subset(&train, 5, 11, &held_out));
    d.validation = &held_out;
    observe(&d, &r);
    CHECK_OK(nn_train(l.loss, &train, &d, NULL));
    CHECK_INT(r.checks, 2);
    CHECK(r.check[0].batch_loss == r.loss[4]);
    CHECK(r.check[1].batch_loss == r.loss[9]);
    CHECK_NEAR(r.check[0].train_loss, mean_of_18(r.loss), 1e-14);
    CHECK_NEAR(r.check[1].train_loss, mean_of_18(r.loss + 5), 1e-14);
    CHECK(r.check[0].improved && r.check[1].improved);
    CHECK(r.check[1].validation_loss < r.check[0].validation_loss);
    CHECK(is_none(r.check[1].validation_metric) && is_none(r.check[1].validation_accuracy));
    CHECK(is_none(r.check[1].train_accuracy) && is_none(r.check[1].batch_accuracy));
    CHECK(r.check[0].learning_rate == 0.05);
    CHECK(r.check[0].seconds >= 0 && r.check[1].seconds >= r.check[0].seconds);
    CHECK_OK(nn_evaluate(l.loss, &held_out, &result));
    CHECK(r.check[1].validation_loss == result.loss);
    d.evaluate_training = 1;
    d.optimizer.learning_rate = 0.01;
    observe(&d, &r);
    CHECK_OK(nn_set_optimizer(l.net, &d.optimizer));
    CHECK_OK(nn_train(l.loss, &train, &d, NULL));
    CHECK_OK(nn_evaluate(l.loss, &train, &result));
    CHECK(r.check[1].train_loss == result.loss);
    CHECK(fabs(r.check[1].train_loss - mean_of_18(r.loss + 5)) > 1e-6);
    CHECK(r.check[1].batch_loss == r.loss[9]);
    nn_dataset_free(&held_out);
    nn_dataset_free(&train);
    nn_net_destroy(l.net);
}

static void check_accuracy(void)
{
    classifier c;
    record r;
    nn_dataset train, held_out;
    nn_result result;
    nn_train_desc d = make(3, 50, 0.02);
    build_classifier(&c, 1, 0);
    blobs(&train, 0, 50);
    blobs(&held_out, 50, 77);
    d.validation = &held_out;
    d.evaluate_training = 1;
    observe(&d, &r);
    CHECK_OK(nn_train(c.loss, &train, &d, NULL));
    CHECK_OK(nn_evaluate(c.loss, &train, &result));
    CHECK(r.check[2].train_accuracy == result.accuracy);
    CHECK_OK(nn_evaluate(c.loss, &held_out, &result));
    CHECK(r.check[2].validation_accuracy == result.accuracy);
    CHECK(result.accuracy > 0 && result.accuracy < 1);
    /* One batch that is the whole set: its accuracy is that of the weights before the step. */
    CHECK_OK(nn_evaluate(c.loss, &train, &result));
    d.evaluate_training = 0;
    d.epochs = 1;
    observe(&d, &r);
    CHECK_OK(nn_train(c.loss, &train, &d, NULL));
    CHECK(r.check[0].train_accuracy == result.accuracy);
    CHECK(r.check[0].batch_accuracy == result.accuracy);
    CHECK_NEAR(r.check[0].train_loss, result.loss, TOLERANCE);
    CHECK(r.check[0].batch_loss == r.check[0].train_loss);
    CHECK(is_none(r.check[0].validation_metric));
    nn_dataset_free(&train);
    nn_dataset_free(&held_out);
    nn_net_destroy(c.net);
}

/* The rate in a check is that of the step just done; cosine runs over all steps but the warm-up. */
static void check_learning_rate(void)
{
    line l;
    record r;
    nn_dataset data;
    const double half_turn = acos(-1.);
    nn_train_desc d = make(2, 4, 0.01);
    build_line(&l);
    ramp(&data, 20);
    d.check_every = 1;
    d.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    d.optimizer.schedule.final_rate = 0.001;
    for (size_t warm_up = 0; warm_up <= 2; warm_up += 2) {
        d.optimizer.schedule.warm_up = warm_up;
        observe(&d, &r);
        CHECK_OK(nn_train(l.loss, &data, &d, NULL));
        CHECK_INT(r.checks, 10);
        for (size_t i = warm_up; i < r.checks; i++) {
            double part = (double)(i - warm_up) / (double)(10 - warm_up);
            double rate = 0.001 + 0.0045 * (1 + cos(half_turn * part));
            CHECK_NEAR(r.check[i].learning_rate, rate, 1e-15);
        }
        if (warm_up) CHECK_NEAR(r.check[0].learning_rate, 0.005, 1e-15);
    }
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* ------------------------------------------------------------------------------ early stopping */

#define TABLE 8

/* Trains y = w with a rate that makes w the mean target of each batch, so in batches of one the
   validation loss after step i is table[i]^2. *last is the w at the end. */
static void run_table(const double *table, nn_train_desc *d, nn_history *history, double *last)
{
    static const nn_real one[TABLE] = {1, 1, 1, 1, 1, 1, 1, 1}, zero[TABLE] = {0};
    nn_real targets[TABLE];
    line l;
    nn_dataset train, held_out;
    build_line(&l);
    for (size_t i = 0; i < TABLE; i++) targets[i] = (nn_real)table[i];
    CHECK_OK(nn_dataset_from_arrays(one, TABLE, 1, NULL, 0, &train));
    CHECK_OK(nn_dataset_set_targets(&train, targets, 1));
    CHECK_OK(nn_dataset_from_arrays(one, TABLE, 1, NULL, 0, &held_out));
    CHECK_OK(nn_dataset_set_targets(&held_out, zero, 1));
    d->optimizer.learning_rate = 0.5;
    d->no_shuffle = 1;
    d->check_every = 1;
    d->validation = &held_out;
    memset(history, 0, sizeof *history);
    CHECK_OK(nn_train(l.loss, &train, d, history));
    *last = (double)nn_weight(l.out)->data[0];
    nn_dataset_free(&train);
    nn_dataset_free(&held_out);
    nn_net_destroy(l.net);
}

static void check_patience(const double *table, size_t patience, size_t checks, size_t best)
{
    for (int restore = 0; restore < 2; restore++) {
        nn_history history;
        double last, lowest = INFINITY;
        nn_train_desc d = make(1, 1, 0.5);
        d.patience = patience;
        d.restore_best = restore;
        run_table(table, &d, &history, &last);
        CHECK_INT(history.check_count, checks);
        CHECK_INT(history.best, best);
        CHECK_INT(history.stopped_early, checks < TABLE);
        CHECK_INT(history.epochs, 1);
        CHECK(last == table[restore ? best : checks - 1]);
        for (size_t i = 0; i < history.check_count; i++) {
            CHECK(history.checks[i].validation_loss == table[i] * table[i]);
            CHECK_INT(history.checks[i].improved, table[i] < lowest);
            if (table[i] < lowest) lowest = table[i];
        }
        nn_history_free(&history);
    }
}

static void patience(void)
{
    static const double dip[TABLE] = {5, 3, 4, 2, 6, 7, 8, 1};
    static const double flat[TABLE] = {2, 2, 2, 2, 1, 1, 1, 1};
    static const double saw[TABLE] = {5, 6, 4, 7, 3, 6, 2, 6};
    static const double rise[TABLE] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const double fall[TABLE] = {8, 7, 6, 5, 4, 3, 2, 1};
    check_patience(dip, 0, 8, 7);
    check_patience(dip, 1, 3, 1);
    check_patience(dip, 2, 6, 3);
    check_patience(dip, 3, 7, 3);
    check_patience(dip, 4, 8, 7);
    check_patience(flat, 2, 3, 0);
    check_patience(flat, 3, 4, 0);
    check_patience(flat, 4, 8, 4);
    check_patience(saw, 2, 8, 6);
    check_patience(saw, 1, 2, 0);
    check_patience(rise, 3, 4, 0);
    check_patience(rise, 0, 8, 0);
    check_patience(fall, 1, 8, 7);
}

/* Two batches, so w is 1, 2, 1, 2, 1, ...: the fourth check without a better loss is the fifth. */
static void stopped_in_epoch(void)
{
    static const double table[TABLE] = {1, 1, 1, 1, 2, 2, 2, 2};
    nn_history history;
    double last;
    nn_train_desc d = make(4, 4, 0.5);
    d.patience = 4;
    run_table(table, &d, &history, &last);
    CHECK_INT(history.check_count, 5);
    CHECK_INT(history.checks[4].step, 5);
    CHECK_INT(history.checks[4].epoch, 2);
    CHECK_INT(history.epochs, 3);
    CHECK_INT(history.stopped_early, 1);
    CHECK(last == 1);
    nn_history_free(&history);
}

static void callbacks_stop(void)
{
    static const double rise[TABLE] = {1, 2, 3, 4, 5, 6, 7, 8};
    record r;
    nn_history history;
    double last;
    nn_train_desc d = make(3, 1, 0.5);
    observe(&d, &r);
    r.stop_step = 3;
    run_table(rise, &d, &history, &last);
    CHECK_INT(r.steps, 3);
    CHECK(last == 3);
    nn_history_free(&history);
    observe(&d, &r);
    r.stop_check = 5;
    run_table(rise, &d, &history, &last);
    CHECK_INT(r.checks, 5);
    CHECK_INT(history.check_count, 5);
    CHECK(last == 5);
    nn_history_free(&history);
    d.restore_best = 1;
    observe(&d, &r);
    r.stop_check = 5;
    run_table(rise, &d, &history, &last);
    CHECK_INT(history.best, 0);
    CHECK(last == 1);
    nn_history_free(&history);
}

typedef struct keeper {
    nn_real best[MAX_WEIGHTS];
    size_t count;
} keeper;

static int keep_best(void *user, nn_net *net, const nn_check *check)
{
    keeper *k = (keeper *)user;
    if (check->improved) k->count = weights_of(net, k->best);
    return 0;
}

static void restores_every_bit(void)
{
    classifier c;
    keeper k;
    nn_real now[MAX_WEIGHTS];
    nn_dataset train, held_out;
    nn_history history;
    nn_result result;
    nn_train_desc d = make(6, 4, 1.5); /* a rate so high that the loss goes up and down */
    memset(&history, 0, sizeof history);
    build_classifier(&c, 1, 0.3);
    blobs(&train, 0, 40);
    blobs(&held_out, 40, 30);
    d.validation = &held_out;
    d.check_every = 1;
    d.restore_best = 1;
    d.on_check = keep_best;
    d.user = &k;
    CHECK_OK(nn_train(c.loss, &train, &d, &history));
    CHECK(history.best + 1 < history.check_count);
    CHECK_INT(weights_of(c.net, now), k.count);
    CHECK(memcmp(now, k.best, k.count * sizeof *now) == 0);
    CHECK_OK(nn_evaluate(c.loss, &held_out, &result));
    CHECK(result.loss == history.checks[history.best].validation_loss);
    nn_history_free(&history);
    nn_dataset_free(&train);
    nn_dataset_free(&held_out);
    nn_net_destroy(c.net);
}

/* ------------------------------------------------------------------------------------- history */

static void history_of_runs(void)
{
    line l;
    record r;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(2, 4, 0.05);
    memset(&history, 0, sizeof history);
    build_line(&l);
    ramp(&data, 18);
    d.log_steps = 1;
    d.validation = &data;
    observe(&d, &r);
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_INT(history.step_count, 10);
    for (size_t s = 0; s < 10; s++) CHECK(history.step_loss[s] == r.loss[s]);
    CHECK_INT(history.check_count, 2);
    CHECK_INT(history.best, 1);
    CHECK(history.seconds >= 0);
    nn_check first = history.checks[1];
    d.epochs = 3;
    observe(&d, &r);
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_INT(history.step_count, 25);
    for (size_t s = 0; s < 15; s++) CHECK(history.step_loss[10 + s] == r.loss[s]);
    CHECK_INT(history.check_count, 5);
    CHECK_INT(history.epochs, 3);
    CHECK_INT(history.best, 4);
    CHECK(same_check(&first, &history.checks[1]));
    CHECK(same_check(&r.check[2], &history.checks[4]));
    d.log_steps = 0;
    observe(&d, &r);
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_INT(history.step_count, 25);
    CHECK_INT(history.check_count, 8);
    nn_history_free(&history);
    CHECK(!history.checks && !history.step_loss && history.check_count == 0);
    nn_history_free(&history);
    nn_history_free(NULL);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* The whole file, 0-terminated, in `text`; its size. */
static size_t read_text(FILE *file, char *text, size_t capacity)
{
    rewind(file);
    size_t size = fread(text, 1, capacity - 1, file);
    text[size] = 0;
    return size;
}

static void sample_history(nn_history *history, nn_check *checks)
{
    memset(history, 0, sizeof *history);
    memset(checks, 0, 2 * sizeof *checks);
    checks[0].step = 1;
    checks[0].train_loss = 0.5;
    checks[0].train_accuracy = 0.25;
    checks[0].batch_loss = 0.75;
    checks[0].batch_accuracy = 0.5;
    checks[0].validation_loss = 1.5;
    checks[0].validation_accuracy = 0.75;
    checks[0].learning_rate = 0.125;
    checks[0].seconds = 2;
    checks[1].step = 123456789;
    checks[1].epoch = 42;
    checks[1].train_loss = 0.1;
    checks[1].train_accuracy = 1;
    checks[1].batch_loss = 2e-3;
    checks[1].batch_accuracy = 2. / 3;
    checks[1].validation_loss = 1e-7;
    checks[1].validation_accuracy = 1. / 3;
    checks[1].learning_rate = 1e-5;
    checks[1].seconds = 0.5;
    checks[0].batch_size = 16, checks[1].batch_size = 8;
    history->checks = checks;
    history->check_count = history->check_capacity = 2;
}

#define CSV_HEADER                                                                                 \
    "step,epoch,train_loss,train_accuracy,batch_loss,batch_accuracy,validation_loss,"              \
    "validation_accuracy,learning_rate,seconds,batch_size\n"

static void history_csv(void)
{
    static const char *path = TEST_TMP "/history.csv";
    char text[1000];
    double v[8];
    unsigned long step, epoch, batch;
    int used = 0;
    nn_history history;
    nn_check checks[2];
    sample_history(&history, checks);
    CHECK_OK(nn_history_write_csv(&history, path));
    read_file(path, text, sizeof text);
    static const char *const first = CSV_HEADER "1,0,0.5,0.25,0.75,0.5,1.5,0.75,0.125,2,16\n";
    CHECK(strncmp(text, first, strlen(first)) == 0);
    const char *second = strstr(text, "\n123456789,");
    CHECK(second != NULL);
    if (!second) return;
    CHECK_INT(sscanf(second, "%lu,%lu,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lu%n", &step, &epoch, &v[0],
                     &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &batch, &used), 11);
    CHECK_INT(batch, 8);
    CHECK_STR(second + used, "\n");
    CHECK_INT(epoch, 42);
    CHECK_NEAR(v[0], 0.1, 1e-8);
    CHECK_NEAR(v[1], 1, 0);
    CHECK_NEAR(v[2], 2e-3, 1e-10);
    CHECK_NEAR(v[3], 2. / 3, 1e-8);
    CHECK_NEAR(v[4], 1e-7, 1e-14);
    CHECK_NEAR(v[5], 1. / 3, 1e-8);
    CHECK_NEAR(v[6], 1e-5, 1e-12);
    CHECK_NEAR(v[7], 0.5, 0);
    history.check_count = 0;
    CHECK_OK(nn_history_write_csv(&history, path));
    read_file(path, text, sizeof text);
    CHECK_STR(text, CSV_HEADER);
    remove(path);
}

static void history_csv_errors(void)
{
    nn_history history;
    nn_check checks[2];
    sample_history(&history, checks);
    CHECK_ERROR(nn_history_write_csv(&history, TEST_TMP "/no such folder/history.csv"),
                NN_ERROR_CANNOT_WRITE, "no such folder/history.csv", "");
    CHECK_ERROR(nn_history_write_csv(NULL, TEST_TMP "/history.csv"), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_history_write_csv(&history, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    FILE *full = fopen("/dev/full", "wb");
    if (!full) return;
    fclose(full);
    CHECK_ERROR(nn_history_write_csv(&history, "/dev/full"), NN_ERROR_CANNOT_WRITE, "/dev/full",
                "");
}

static void history_csv_in_comma_locale(void)
{
    static const char *path = TEST_TMP "/history_comma.csv";
    char point[1000], comma[1000];
    nn_history history;
    nn_check checks[2];
    sample_history(&history, checks);
    setlocale(LC_ALL, "C");
    CHECK_OK(nn_history_write_csv(&history, path));
    read_file(path, point, sizeof point);
    CHECK(set_comma_locale());
    CHECK_OK(nn_history_write_csv(&history, path));
    setlocale(LC_ALL, "C");
    read_file(path, comma, sizeof comma);
    CHECK_STR(comma, point);
    remove(path);
}

static void progress_text(void)
{
    classifier c;
    nn_dataset train;
    char text[8000];
    nn_train_desc d = make(3, 8, 0.1);
    FILE *file = tmpfile();
    CHECK(file != NULL);
    if (!file) return;
    build_classifier(&c, 1, 0);
    blobs(&train, 0, 64);
    d.validation = &train;
    d.progress = file;
    CHECK_OK(nn_train(c.loss, &train, &d, NULL));
    size_t size = read_text(file, text, sizeof text), lines = 0, control = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n') lines++;
        else control += text[i] < 32 || text[i] > 126;
    }
    CHECK(size > 0 && text[size - 1] == '\n');
    CHECK(lines >= 3);
    CHECK_INT(control, 0);
    CHECK(strstr(text, "loss") != NULL);
    fclose(file);
    nn_dataset_free(&train);
    nn_net_destroy(c.net);
}

/* -------------------------------------------------------------------------------------- metric */

typedef struct metric_state {
    size_t rows, calls;
    int with_labels, with_targets;
} metric_state;

static double absolute_error(void *user, size_t rows, size_t cols, const nn_real *output,
                             const int *labels, const nn_real *targets)
{
    metric_state *state = (metric_state *)user;
    double sum = 0;
    CHECK_INT(cols, 1);
    state->rows += rows;
    state->calls++;
    state->with_labels |= labels != NULL;
    state->with_targets |= targets != NULL;
    for (size_t i = 0; i < rows; i++) sum += fabs((double)output[i] - (double)targets[i]);
    return sum;
}

static void metric_of_targets(void)
{
    line l;
    nn_dataset train, held_out;
    nn_history history;
    metric_state state;
    double w, sum = 0;
    nn_train_desc d = make(2, 4, 0.05);
    memset(&history, 0, sizeof history);
    memset(&state, 0, sizeof state);
    build_line(&l);
    ramp(&train, 30);
    CHECK_OK(nn_dataset_subset(&train, 7, 13, &held_out));
    d.validation = &held_out;
    d.metric = absolute_error;
    d.user = &state;
    CHECK_OK(nn_train(l.loss, &train, &d, &history));
    CHECK_INT(state.rows, 2 * 13);
    CHECK(state.with_targets && !state.with_labels);
    w = (double)nn_weight(l.out)->data[0];
    for (size_t i = 7; i < 20; i++) {
        double x = (double)i / 16;
        sum += fabs(w * x - (3 * x - 1));
    }
    CHECK_NEAR(history.checks[1].validation_metric, sum / 13, TOLERANCE);
    nn_history_free(&history);
    nn_dataset_free(&held_out);
    nn_dataset_free(&train);
    nn_net_destroy(l.net);
}

static double hits(void *user, size_t rows, size_t cols, const nn_real *output, const int *labels,
                   const nn_real *targets)
{
    metric_state *state = (metric_state *)user;
    double sum = 0;
    CHECK_INT(cols, CLASSES);
    CHECK(labels && !targets);
    state->rows += rows;
    for (size_t i = 0; i < rows; i++) {
        int best;
        nn_mat_argmax(1, cols, output + i * cols, &best);
        sum += best == labels[i];
    }
    return sum;
}

static void metric_of_labels(void)
{
    classifier c;
    nn_dataset train, held_out;
    nn_history history;
    metric_state state;
    nn_train_desc d = make(1, 16, 0.02);
    memset(&history, 0, sizeof history);
    memset(&state, 0, sizeof state);
    build_classifier(&c, 1, 0);
    blobs(&train, 0, 32);
    blobs(&held_out, 32, 700);
    d.validation = &held_out;
    d.metric = hits;
    d.user = &state;
    CHECK_OK(nn_train(c.loss, &train, &d, &history));
    CHECK_INT(state.rows, 700);
    double accuracy = history.checks[0].validation_accuracy;
    CHECK(accuracy > 0 && accuracy < 1);
    CHECK_NEAR(history.checks[0].validation_metric, accuracy, 1e-15);
    nn_history_free(&history);
    nn_dataset_free(&held_out);
    nn_dataset_free(&train);
    nn_net_destroy(c.net);
}

/* -------------------------------------------------------------------------------- reproducible */

static void trained(classifier *c, uint64_t seed, int no_shuffle, int with_validation)
{
    nn_dataset train, held_out;
    nn_train_desc d = make(2, 8, 0.1);
    d.optimizer.kind = NN_OPTIMIZER_ADAM;
    d.no_shuffle = no_shuffle;
    build_classifier(c, seed, 0.25);
    blobs(&train, 0, 45);
    blobs(&held_out, 45, 20);
    if (with_validation) {
        d.validation = &held_out;
        d.evaluate_training = 1;
        d.check_every = 1;
    }
    CHECK_OK(nn_train(c->loss, &train, &d, NULL));
    nn_dataset_free(&train);
    nn_dataset_free(&held_out);
}

static void seeds(void)
{
    classifier a, b, c, e, f;
    trained(&a, 1, 0, 0);
    trained(&b, 1, 0, 0);
    trained(&c, 2, 0, 0);
    trained(&e, 1, 1, 0);
    trained(&f, 1, 0, 1);
    CHECK(same_weights(a.net, b.net));
    CHECK(!same_weights(a.net, c.net));
    CHECK(!same_weights(a.net, e.net));
    CHECK(same_weights(a.net, f.net)); /* to look at the network does not change it */
    nn_net_destroy(a.net);
    nn_net_destroy(b.net);
    nn_net_destroy(c.net);
    nn_net_destroy(e.net);
    nn_net_destroy(f.net);
}

static void train_twice(classifier *c, const nn_dataset *data, nn_train_desc d, int restart)
{
    build_classifier(c, 1, 0.25);
    CHECK_OK(nn_train(c->loss, data, &d, NULL));
    if (!restart) memset(&d.optimizer, 0, sizeof d.optimizer);
    CHECK_OK(nn_train(c->loss, data, &d, NULL));
}

/* NN_OPTIMIZER_KEEP goes on with the optimiser before: N + N epochs are 2 N epochs, bit by bit. */
static void check_two_stages(nn_optimizer_kind kind, int no_shuffle)
{
    classifier continued, restarted, whole;
    nn_dataset data;
    nn_train_desc d = make(2, 8, 0.05);
    d.optimizer.kind = kind;
    d.optimizer.momentum = kind == NN_OPTIMIZER_SGD ? 0.9 : 0;
    d.no_shuffle = no_shuffle;
    blobs(&data, 0, 45);
    train_twice(&continued, &data, d, 0);
    train_twice(&restarted, &data, d, 1);
    build_classifier(&whole, 1, 0.25);
    d.epochs = 4;
    CHECK_OK(nn_train(whole.loss, &data, &d, NULL));
    CHECK_INT(nn_step_count(continued.net), 24);
    CHECK_INT(nn_step_count(restarted.net), 12);
    CHECK(same_weights(continued.net, whole.net));
    CHECK(!same_weights(restarted.net, whole.net));
    nn_dataset_free(&data);
    nn_net_destroy(continued.net);
    nn_net_destroy(restarted.net);
    nn_net_destroy(whole.net);
}

static void two_stages(void)
{
    for (int kind = NN_OPTIMIZER_SGD; kind < (int)NN_OPTIMIZER_COUNT; kind++) {
        check_two_stages((nn_optimizer_kind)kind, 0);
        check_two_stages((nn_optimizer_kind)kind, 1);
    }
}

/* -------------------------------------------------------------------------------------- errors */

static void bad_descs(void)
{
    classifier c;
    nn_dataset data, empty;
    nn_train_desc d = make(0, 8, 0.1);
    memset(&empty, 0, sizeof empty);
    build_classifier(&c, 1, 0);
    blobs(&data, 0, 45);
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "epochs", "");
    d = make(2, 0, 0.1);
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "batch_size", "");
    d = make(2, 46, 0.1);
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "46", "45");
    d = make(2, 8, -0.5);
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "learning_rate", "-0.5");
    d = make(2, 8, 0);
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "nn_train",
                "learning_rate is 0");
    d = make(2, 8, 0.1);
    CHECK_ERROR(nn_train(NULL, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_train(c.loss, NULL, &d, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_train(c.loss, &data, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK(nn_train(c.loss, &empty, &d, NULL) != NN_OK);
    d.check_every = d.checks_per_epoch = 1;
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "check_every",
                "checks_per_epoch");
    d = make(2, 8, 0.1);
    d.patience = 1;
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "patience", "validation");
    d.patience = 0;
    d.restore_best = 1;
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "restore_best",
                "validation");
    d.restore_best = 0;
    d.metric = absolute_error;
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "metric", "validation");
    d.metric = NULL;
    CHECK_INT(nn_step_count(c.net), 0);
    CHECK_OK(nn_train(c.loss, &data, &d, NULL));
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

#define REJECT_BESIDE_KEEP(member, named)                                                          \
    do {                                                                                           \
        memset(&d.optimizer, 0, sizeof d.optimizer);                                               \
        d.optimizer.member = 1;                                                                    \
        CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,                      \
                    "nn_train: optimizer." named, "NN_OPTIMIZER_KEEP");                            \
    } while (0)

/* NN_OPTIMIZER_KEEP asks for nothing else, and for an optimiser to keep. */
static void optimizer_to_keep(void)
{
    classifier c;
    nn_dataset data;
    nn_train_desc d = make(1, 5, 0.1);
    build_classifier(&c, 1, 0);
    blobs(&data, 0, 10);
    memset(&d.optimizer, 0, sizeof d.optimizer);
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: optimizer.kind", "none has been set");
    d.optimizer = nn_sgd(0.1, 0);
    CHECK_OK(nn_train(c.loss, &data, &d, NULL));
    REJECT_BESIDE_KEEP(learning_rate, "learning_rate");
    REJECT_BESIDE_KEEP(momentum, "momentum");
    REJECT_BESIDE_KEEP(nesterov, "nesterov");
    REJECT_BESIDE_KEEP(beta1, "beta1");
    REJECT_BESIDE_KEEP(beta2, "beta2");
    REJECT_BESIDE_KEEP(rho, "rho");
    REJECT_BESIDE_KEEP(epsilon, "epsilon");
    REJECT_BESIDE_KEEP(weight_decay, "weight_decay");
    REJECT_BESIDE_KEEP(clip_norm, "clip_norm");
    REJECT_BESIDE_KEEP(clip_value, "clip_value");
    REJECT_BESIDE_KEEP(schedule.warm_up, "schedule");
    REJECT_BESIDE_KEEP(schedule.period, "schedule");
    REJECT_BESIDE_KEEP(schedule.total, "schedule");
    REJECT_BESIDE_KEEP(schedule.gamma, "schedule");
    REJECT_BESIDE_KEEP(schedule.final_rate, "schedule");
    CHECK_INT(nn_step_count(c.net), 2);
    memset(&d.optimizer, 0, sizeof d.optimizer);
    CHECK_OK(nn_train(c.loss, &data, &d, NULL));
    CHECK_INT(nn_step_count(c.net), 4);
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

/* A run that does not start leaves the history of the one before. */
static void history_of_refused_run(void)
{
    classifier c;
    nn_dataset data;
    nn_history history, before;
    nn_train_desc d = make(3, 5, 0.1);
    memset(&history, 0, sizeof history);
    build_classifier(&c, 1, 0);
    blobs(&data, 0, 10);
    d.log_steps = 1;
    CHECK_OK(nn_train(c.loss, &data, &d, &history));
    before = history;
    d.optimizer.learning_rate = -1;
    CHECK_ERROR(nn_train(c.loss, &data, &d, &history), NN_ERROR_BAD_ARGUMENT, "learning_rate", "");
    CHECK_INT(history.check_count, before.check_count);
    CHECK_INT(history.step_count, before.step_count);
    CHECK_INT(history.epochs, before.epochs);
    CHECK_INT(history.best, before.best);
    CHECK(history.seconds == before.seconds);
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

static void data_that_does_not_fit(void)
{
    static const nn_real x[17 * 6] = {0};
    static const int labels[6] = {0, 1, 2, 3, 4, 0};
    nn_net *net = new_net(1);
    nn_tensor *out = nn_dense(nn_input(net, 13), 3), *loss = nn_softmax_cross_entropy(out);
    nn_dataset wide, many, bare, good;
    nn_result result;
    nn_real y[6 * 3];
    size_t matrix[9];
    nn_train_desc d = make(1, 2, 0.1);
    CHECK_OK(nn_dataset_from_arrays(x, 3, 17, labels, 3, &wide));
    CHECK_OK(nn_dataset_from_arrays(x, 6, 13, labels, 5, &many));
    CHECK_OK(nn_dataset_from_arrays(x, 6, 13, NULL, 0, &bare));
    CHECK_OK(nn_dataset_from_arrays(x, 3, 13, labels, 3, &good));
    CHECK_ERROR(nn_train(loss, &wide, &d, NULL), NN_ERROR_BAD_SHAPE, "13", "17");
    CHECK_ERROR(nn_evaluate(loss, &wide, &result), NN_ERROR_BAD_SHAPE, "13", "17");
    CHECK_ERROR(nn_predict(out, &wide, y), NN_ERROR_BAD_SHAPE, "13", "17");
    CHECK_ERROR(nn_confusion_matrix(out, &wide, matrix), NN_ERROR_BAD_SHAPE, "13", "17");
    CHECK_ERROR(nn_train(loss, &many, &d, NULL), NN_ERROR_BAD_SHAPE, "5", "3");
    CHECK_ERROR(nn_evaluate(loss, &many, &result), NN_ERROR_BAD_SHAPE, "5", "3");
    CHECK_ERROR(nn_confusion_matrix(out, &many, matrix), NN_ERROR_BAD_SHAPE, "5", "3");
    CHECK_ERROR(nn_train(loss, &bare, &d, NULL), NN_ERROR_BAD_ARGUMENT, "labels", "");
    CHECK_ERROR(nn_evaluate(loss, &bare, &result), NN_ERROR_BAD_ARGUMENT, "labels", "");
    CHECK_ERROR(nn_confusion_matrix(out, &bare, matrix), NN_ERROR_BAD_ARGUMENT, "labels", "");
    CHECK_OK(nn_predict(out, &bare, y));
    d.validation = &wide;
    CHECK_ERROR(nn_train(loss, &good, &d, NULL), NN_ERROR_BAD_SHAPE, "13", "17");
    CHECK_INT(nn_step_count(net), 0);
    static const int from_one[3] = {1, 2, 3}; /* what is behind a number too many is said */
    const size_t image[3] = {1, 1, 13};
    CHECK_OK(nn_dataset_from_arrays(x, 3, 13, from_one, 0, &bare));
    d.validation = NULL;
    CHECK_ERROR(nn_train(loss, &bare, &d, NULL), NN_ERROR_BAD_SHAPE,
                "4 classes, counted from a 0 that no label is, the network 3 outputs", "");
    CHECK_ERROR(nn_train(loss, &many, &d, NULL), NN_ERROR_BAD_SHAPE, "5 classes, the", "");
    CHECK_OK(nn_dataset_set_shape(&good, 3, image));
    loss = nn_softmax_cross_entropy(nn_dense(nn_upsample(nn_input_like(net, &good), 2), 3));
    CHECK_ERROR(nn_train(loss, &good, &d, NULL), NN_ERROR_BAD_SHAPE, "takes 4", "nn_flatten");
    nn_dataset_free(&bare);
    nn_dataset_free(&wide);
    nn_dataset_free(&many);
    nn_dataset_free(&good);
    nn_net_destroy(net);
}

static void targets_that_do_not_fit(void)
{
    static const nn_real x[6 * 2] = {0}, t[6 * 3] = {0};
    nn_net *net = new_net(1);
    nn_tensor *loss = nn_mse(nn_dense(nn_input(net, 2), 1));
    nn_dataset data;
    nn_result result;
    nn_train_desc d = make(1, 2, 0.1);
    CHECK_OK(nn_dataset_from_arrays(x, 6, 2, NULL, 0, &data));
    CHECK_ERROR(nn_train(loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "targets", "");
    CHECK_OK(nn_dataset_set_targets(&data, t, 3));
    CHECK_ERROR(nn_train(loss, &data, &d, NULL), NN_ERROR_BAD_SHAPE, "3", "1");
    CHECK_ERROR(nn_evaluate(loss, &data, &result), NN_ERROR_BAD_SHAPE, "3", "1");
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

static void networks_that_do_not_fit(void)
{
    nn_dataset data;
    nn_result result;
    nn_real y[10 * CLASSES];
    nn_train_desc d = make(1, 5, 0.1);
    blobs(&data, 0, 10);
    nn_net *net = new_net(1);
    nn_tensor *in = nn_input(net, FEATURES);
    nn_tensor *out = nn_dense(nn_add(in, nn_input(net, FEATURES)), CLASSES);
    nn_tensor *loss = nn_softmax_cross_entropy(out);
    CHECK_OK(nn_net_status(net));
    CHECK_ERROR(nn_train(loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "input", "");
    CHECK_ERROR(nn_evaluate(loss, &data, &result), NN_ERROR_BAD_ARGUMENT, "input", "");
    CHECK_ERROR(nn_predict(out, &data, y), NN_ERROR_BAD_ARGUMENT, "input", "");
    nn_net_destroy(net);
    net = new_net(1);
    out = nn_dense(nn_input(net, FEATURES), CLASSES);
    loss = nn_softmax_cross_entropy(out);
    CHECK(nn_train(out, &data, &d, NULL) != NN_OK); /* not a scalar */
    CHECK(nn_evaluate(out, &data, &result) != NN_OK);
    CHECK_OK(nn_train(loss, &data, &d, NULL));
    CHECK(nn_matmul(out, out) == NULL);
    nn_status broken = nn_net_status(net);
    CHECK(broken != NN_OK);
    CHECK_ERROR(nn_train(loss, &data, &d, NULL), broken, "matmul", "");
    CHECK_ERROR(nn_evaluate(loss, &data, &result), broken, "matmul", "");
    CHECK_ERROR(nn_predict(out, &data, y), broken, "matmul", "");
    CHECK_INT(nn_step_count(net), 2);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* After step 2 the weight is infinite, so it is step 3 that cannot be computed. */
static void loss_not_finite(void)
{
    line l;
    record r;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(1, 1, 1e-30);
    memset(&history, 0, sizeof history);
    build_line(&l);
    ramp(&data, 8);
    d.log_steps = 1;
    d.no_shuffle = 1;
    observe(&d, &r);
    r.poisoned = nn_weight(l.out);
    r.poison_step = 2;
    CHECK_ERROR(nn_train(l.loss, &data, &d, &history), NN_ERROR_NOT_FINITE,
                "nn_train: the loss is not finite at step 3", "slope");
    CHECK_INT(r.steps, 3);
    CHECK_INT(nn_step_count(l.net), 3);
    CHECK_INT(history.check_count, 0);
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void rate_too_high(void)
{
    line l;
    nn_dataset data;
    nn_train_desc d = make(50, 5, 1e30);
    build_line(&l);
    ramp(&data, 20);
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_NOT_FINITE, "step", "");
    CHECK(strstr(nn_last_error(), "slope") || strstr(nn_last_error(), "error"));
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* ---------------------------------------------------------------------------------- evaluation */

/* The classifier in double, sample by sample. */
static void naive_logits(const classifier *c, const nn_real *x, double *z)
{
    const nn_real *w1 = nn_weight(c->first)->data, *b1 = nn_bias(c->first)->data;
    const nn_real *w2 = nn_weight(c->second)->data, *b2 = nn_bias(c->second)->data;
    double h[HIDDEN];
    for (size_t j = 0; j < HIDDEN; j++) {
        h[j] = (double)b1[j];
        for (size_t k = 0; k < FEATURES; k++) h[j] += (double)x[k] * (double)w1[k * HIDDEN + j];
        h[j] = tanh(h[j]);
    }
    for (size_t j = 0; j < CLASSES; j++) {
        z[j] = (double)b2[j];
        for (size_t k = 0; k < HIDDEN; k++) z[j] += h[k] * (double)w2[k * CLASSES + j];
    }
}

static int naive_argmax(const double *z)
{
    int best = 0;
    for (int j = 1; j < CLASSES; j++) {
        if (z[j] > z[best]) best = j;
    }
    return best;
}

static double naive_cross_entropy(const double *z, int label)
{
    double sum = 0;
    for (int j = 0; j < CLASSES; j++) sum += exp(z[j] - z[label]);
    return log(sum);
}

static void naive_result(const classifier *c, size_t first, size_t count, nn_result *out)
{
    memset(out, 0, sizeof *out);
    out->count = count;
    for (size_t i = first; i < first + count; i++) {
        double z[CLASSES];
        naive_logits(c, blob_x + i * FEATURES, z);
        out->loss += naive_cross_entropy(z, blob_labels[i]) / (double)count;
        out->accuracy += naive_argmax(z) == blob_labels[i];
    }
    out->accuracy /= (double)count;
}

static void half_trained(classifier *c, double dropout)
{
    nn_dataset data;
    nn_train_desc d = make(1, 10, 0.02);
    build_classifier(c, 3, dropout);
    blobs(&data, 0, 30);
    CHECK_OK(nn_train(c->loss, &data, &d, NULL));
    nn_dataset_free(&data);
}

static const size_t counts[] = {1, 7, 64, 513, 1024, POINTS};
#define COUNTS (sizeof counts / sizeof *counts)

static void evaluates(void)
{
    classifier c;
    half_trained(&c, 0.5);
    for (size_t i = 0; i < COUNTS; i++) {
        nn_dataset data;
        nn_result got, expected;
        blobs(&data, POINTS - counts[i], counts[i]);
        naive_result(&c, POINTS - counts[i], counts[i], &expected);
        CHECK_OK(nn_evaluate(c.loss, &data, &got));
        CHECK_NEAR(got.loss, expected.loss, TOLERANCE);
        CHECK_NEAR(got.accuracy, expected.accuracy, 1e-12);
        CHECK_INT(got.count, counts[i]);
        nn_dataset_free(&data);
    }
    nn_net_destroy(c.net);
}

/* The penalty counts once, not once a sample or once a batch. */
static void evaluates_with_penalty(void)
{
    classifier c;
    nn_result got, expected;
    nn_dataset data;
    double l1 = 0, l2 = 0;
    half_trained(&c, 0);
    nn_tensor *dense[2];
    dense[0] = c.first;
    dense[1] = c.second;
    for (int i = 0; i < 2; i++) {
        const nn_tensor *w = nn_weight(dense[i]);
        for (size_t k = 0; k < w->size; k++) {
            l1 += fabs((double)w->data[k]);
            l2 += (double)w->data[k] * (double)w->data[k];
        }
    }
    nn_tensor *loss = nn_weight_penalty(c.loss, 0.02, 0.03);
    blobs(&data, 0, POINTS);
    naive_result(&c, 0, POINTS, &expected);
    CHECK_OK(nn_evaluate(loss, &data, &got));
    CHECK_NEAR(got.loss, expected.loss + 0.02 * l1 + 0.03 * l2, 2 * TOLERANCE);
    CHECK_NEAR(got.accuracy, expected.accuracy, 1e-12);
    nn_tensor *scaled = nn_weight_penalty(nn_scale(loss, 0.5), 0.1, 0);
    CHECK_OK(nn_evaluate(scaled, &data, &got));
    double half = 0.5 * (expected.loss + 0.02 * l1 + 0.03 * l2);
    CHECK_NEAR(got.loss, half + 0.1 * l1, 2 * TOLERANCE);
    CHECK_NEAR(got.accuracy, expected.accuracy, 1e-12);
    nn_train_desc d = make(1, 32, 0.02);
    CHECK_OK(nn_train(scaled, &data, &d, NULL));
    CHECK_INT(nn_step_count(c.net), 33);
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

/* One output column: class 1 where it is above 0. Targets: mean over the elements. */
static void evaluates_one_column(void)
{
    static const nn_real x[5] = {-2, -1, 0, 0.25, 2};
    static const int labels[5] = {0, 1, 0, 1, 0};
    nn_net *net = new_net(1);
    nn_tensor *y = nn_dense(nn_input(net, 1), 1), *loss = nn_sigmoid_cross_entropy(y);
    nn_dataset data;
    nn_result result;
    double expected = 0;
    nn_weight(y)->data[0] = 1;
    nn_bias(y)->data[0] = 0;
    CHECK_OK(nn_dataset_from_arrays(x, 5, 1, labels, 2, &data));
    CHECK_OK(nn_evaluate(loss, &data, &result));
    for (int i = 0; i < 5; i++) {
        double z = (double)x[i];
        expected += log(1 + exp(labels[i] ? -z : z)) / 5;
    }
    CHECK_NEAR(result.loss, expected, TOLERANCE);
    CHECK_NEAR(result.accuracy, 3. / 5, 1e-15);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

static void evaluates_targets(void)
{
    static nn_real x[POINTS], t[POINTS * 2];
    nn_net *net = new_net(4);
    nn_tensor *y = nn_dense(nn_input(net, 1), 2), *loss = nn_mse(y);
    const nn_real *w = nn_weight(y)->data;
    nn_dataset data;
    nn_result result;
    double expected = 0;
    for (size_t i = 0; i < POINTS; i++) {
        x[i] = (nn_real)(i % 37) / 16;
        for (size_t k = 0; k < 2; k++) {
            t[i * 2 + k] = (nn_real)((i + k) % 5) / 4;
            double error = (double)w[k] * (double)x[i] - (double)t[i * 2 + k];
            expected += error * error / (2 * POINTS);
        }
    }
    CHECK_OK(nn_dataset_from_arrays(x, POINTS, 1, NULL, 0, &data));
    CHECK_OK(nn_dataset_set_targets(&data, t, 2));
    CHECK_OK(nn_evaluate(loss, &data, &result));
    CHECK_NEAR(result.loss, expected, 4 * TOLERANCE);
    CHECK(is_none(result.accuracy));
    CHECK_INT(result.count, POINTS);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* Labels count even when the loss compares with targets: y = x, and label 2 of 4 is not met. */
static void accuracy_beside_targets(void)
{
    static const nn_real x[4 * 2] = {1, 0, 0, 1, 2, 1, -1, 0};
    static const int labels[4] = {0, 1, 1, 1};
    nn_net *net = new_net(1);
    nn_tensor *y = nn_dense(nn_input(net, 2), 2), *loss = nn_mse(y);
    nn_dataset data;
    nn_result result;
    nn_real *w = nn_weight(y)->data;
    w[0] = w[3] = 1;
    w[1] = w[2] = 0;
    CHECK_OK(nn_dataset_from_arrays(x, 4, 2, labels, 2, &data));
    CHECK_OK(nn_dataset_set_targets(&data, x, 2));
    CHECK_OK(nn_evaluate(loss, &data, &result));
    CHECK_NEAR(result.loss, 0, 0);
    CHECK_NEAR(result.accuracy, 0.75, 1e-15);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* Bytes with their normalisation give what the same numbers give as reals. */
static void evaluates_bytes(void)
{
    static uint8_t bytes[600 * FEATURES];
    static nn_real reals[600 * FEATURES];
    classifier c;
    nn_dataset raw, cooked;
    nn_result a, b;
    half_trained(&c, 0);
    for (size_t i = 0; i < 600 * FEATURES; i++) {
        bytes[i] = (uint8_t)(i * 7 % 256);
        reals[i] = (nn_real)bytes[i] / 64 - 2;
    }
    CHECK_OK(nn_dataset_from_bytes(bytes, 600, FEATURES, blob_labels, CLASSES, &raw));
    CHECK_OK(nn_dataset_rescale(&raw, 0, 64, -2, -1));
    CHECK_OK(nn_dataset_from_arrays(reals, 600, FEATURES, blob_labels, CLASSES, &cooked));
    CHECK_OK(nn_evaluate(c.loss, &raw, &a));
    CHECK_OK(nn_evaluate(c.loss, &cooked, &b));
    CHECK(a.loss == b.loss && a.accuracy == b.accuracy);
    nn_dataset_free(&raw);
    nn_dataset_free(&cooked);
    nn_net_destroy(c.net);
}

/* A prediction has the bits of a forward pass, whatever the batches it was made in. */
static void predicts(void)
{
    static nn_real got[POINTS * HIDDEN + 1], one[HIDDEN];
    classifier c;
    half_trained(&c, 0);
    nn_tensor *layers[2];
    layers[0] = c.second;
    layers[1] = c.first;
    for (size_t i = 0; i < COUNTS; i++) {
        for (int layer = 0; layer < 2; layer++) {
            nn_tensor *t = layers[layer];
            nn_dataset data;
            size_t n = counts[i], cols = t->shape[t->rank - 1], differ = 0;
            blobs(&data, 0, n);
            got[n * cols] = 77;
            CHECK_OK(nn_predict(t, &data, got));
            CHECK(got[n * cols] == 77);
            for (size_t row = 0; row < n; row++) {
                CHECK_OK(nn_feed(c.in, blob_x + row * FEATURES, 1));
                CHECK_OK(nn_forward(t));
                memcpy(one, t->data, cols * sizeof *one);
                differ += memcmp(one, got + row * cols, cols * sizeof *one) != 0;
            }
            CHECK_INT(differ, 0);
            nn_dataset_free(&data);
        }
    }
    nn_net_destroy(c.net);
}

static void confusion(void)
{
    classifier c;
    half_trained(&c, 0);
    for (size_t n = 0; n < COUNTS; n++) {
        nn_dataset data;
        nn_result result;
        size_t got[CLASSES * CLASSES], expected[CLASSES * CLASSES] = {0}, diagonal = 0;
        blobs(&data, 0, counts[n]);
        for (size_t i = 0; i < counts[n]; i++) {
            double z[CLASSES];
            naive_logits(&c, blob_x + i * FEATURES, z);
            expected[blob_labels[i] * CLASSES + naive_argmax(z)]++;
        }
        memset(got, 0xff, sizeof got);
        CHECK_OK(nn_confusion_matrix(c.second, &data, got));
        CHECK(memcmp(got, expected, sizeof got) == 0);
        for (size_t k = 0; k < CLASSES; k++) diagonal += got[k * CLASSES + k];
        CHECK_OK(nn_evaluate(c.loss, &data, &result));
        CHECK_NEAR(result.accuracy, (double)diagonal / (double)counts[n], 1e-12);
        nn_dataset_free(&data);
    }
    nn_net_destroy(c.net);
}

/* Zeros that a forward pass of 1000 ones through a dropout of 1/2 gives. */
static size_t dropped(nn_tensor *in, nn_tensor *out)
{
    static nn_real ones[1000];
    size_t zeros = 0;
    for (size_t i = 0; i < 1000; i++) ones[i] = 1;
    CHECK_OK(nn_feed(in, ones, 1));
    CHECK_OK(nn_forward(out));
    for (size_t i = 0; i < 1000; i++) zeros += out->data[i] == 0;
    return zeros;
}

static void dropout_is_off(void)
{
    static nn_real x[2 * 1000], got[2 * 1000];
    static const int labels[2] = {1, 0};
    nn_net *net = new_net(1);
    nn_tensor *in = nn_input(net, 1000), *noisy = nn_dropout(in, 0.5);
    nn_tensor *logits = nn_dense(noisy, 2), *loss = nn_softmax_cross_entropy(logits);
    nn_dataset data;
    nn_result a, b;
    size_t matrix[4];
    for (size_t i = 0; i < 2000; i++) x[i] = (nn_real)(i % 9 + 1);
    CHECK_OK(nn_dataset_from_arrays(x, 2, 1000, labels, 2, &data));
    for (int training = 1; training >= 0; training--) {
        nn_net_set_training(net, training);
        nn_rng before = *nn_net_rng(net);
        CHECK_OK(nn_predict(noisy, &data, got));
        CHECK(memcmp(got, x, sizeof x) == 0);
        CHECK_OK(nn_evaluate(loss, &data, &a));
        CHECK_OK(nn_evaluate(loss, &data, &b));
        CHECK(a.loss == b.loss);
        CHECK_OK(nn_confusion_matrix(logits, &data, matrix));
        data.features = 999;
        CHECK(nn_evaluate(loss, &data, &a) != NN_OK);
        CHECK(nn_predict(noisy, &data, got) != NN_OK);
        data.features = 1000;
        nn_rng after = *nn_net_rng(net);
        CHECK(before.key == after.key && before.counter == after.counter);
        size_t zeros = dropped(in, noisy);
        CHECK(training ? zeros > 400 && zeros < 600 : zeros == 0);
    }
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* Training uses dropout whatever the state was; what is fed and run after it gives the network's
   own answer, the one that nn_predict gives. */
static void own_answer_after_training(void)
{
    classifier a, b;
    nn_dataset data;
    nn_real after[20 * CLASSES], predicted[20 * CLASSES];
    nn_train_desc d = make(1, 5, 0.1);
    build_classifier(&a, 1, 0.5);
    build_classifier(&b, 1, 0.5);
    blobs(&data, 0, 20);
    d.validation = &data;
    nn_net_set_training(b.net, 0);
    CHECK_OK(nn_train(a.loss, &data, &d, NULL));
    CHECK_OK(nn_train(b.loss, &data, &d, NULL));
    CHECK(same_weights(a.net, b.net));
    nn_rng before = *nn_net_rng(b.net);
    CHECK_OK(nn_feed(b.in, blob_x, 20));
    CHECK_OK(nn_forward(b.second));
    CHECK_INT(nn_net_rng(b.net)->counter, before.counter);
    CHECK_OK(nn_get_values(b.second, after, 20 * CLASSES));
    CHECK_OK(nn_predict(b.second, &data, predicted));
    CHECK(memcmp(after, predicted, sizeof after) == 0);
    CHECK_OK(nn_feed_labels(b.loss, blob_labels, 20));
    CHECK_OK(nn_forward(b.loss));
    CHECK_ERROR(nn_backward(b.loss), NN_ERROR_BAD_ARGUMENT, "nn_backward", "dropout");
    nn_net_set_training(a.net, 1);
    before = *nn_net_rng(a.net);
    CHECK_OK(nn_feed(a.in, blob_x, 1));
    CHECK_OK(nn_forward(a.second));
    CHECK(nn_net_rng(a.net)->counter != before.counter);
    nn_dataset_free(&data);
    nn_net_destroy(a.net);
    nn_net_destroy(b.net);
}

/* Views are read through their index: labels, targets and samples of the right rows. */
static void views(void)
{
    static const int chosen[2] = {2, 0};
    classifier c;
    nn_dataset all, part, middle, picked;
    nn_result got, expected;
    nn_real y[100 * CLASSES];
    size_t row = 0, differ = 0, wrong = 0;
    half_trained(&c, 0);
    blobs(&all, 0, 200);
    CHECK_OK(nn_dataset_subset(&all, 30, 150, &part));
    CHECK_OK(nn_dataset_subset(&part, 10, 100, &middle));
    naive_result(&c, 40, 100, &expected);
    CHECK_OK(nn_evaluate(c.loss, &middle, &got));
    CHECK_NEAR(got.loss, expected.loss, TOLERANCE);
    CHECK_NEAR(got.accuracy, expected.accuracy, 1e-12);
    CHECK_OK(nn_dataset_select_classes(&middle, 2, chosen, &picked));
    CHECK_OK(nn_predict(c.second, &picked, y));
    for (size_t i = 40; i < 140; i++) {
        if (blob_labels[i] == 1) continue;
        double z[CLASSES];
        naive_logits(&c, blob_x + i * FEATURES, z);
        for (size_t k = 0; k < CLASSES; k++) {
            differ += !(fabs((double)y[row * CLASSES + k] - z[k]) <= 2 * TOLERANCE);
        }
        wrong += picked.labels[row++] != (blob_labels[i] == 2 ? 0 : 1);
    }
    CHECK_INT(row, picked.count);
    CHECK_INT(differ, 0);
    CHECK_INT(wrong, 0);
    nn_dataset_free(&picked);
    nn_dataset_free(&middle);
    nn_dataset_free(&part);
    nn_dataset_free(&all);
    nn_net_destroy(c.net);
}

/* A view of targets, trained on and evaluated: the fit is exact only when rows stay together. */
static void trains_on_split_targets(void)
{
    nn_dataset all, train, test;
    nn_result result;
    nn_net *net = new_net(1);
    nn_tensor *y = nn_dense(nn_input(net, 1), 1), *loss = nn_mse(y);
    nn_train_desc d = make(200, 8, 0.2);
    ramp(&all, 40);
    CHECK_OK(nn_dataset_split(&all, 0.75, 5, &train, &test));
    CHECK_INT(train.count, 30);
    CHECK_OK(nn_train(loss, &train, &d, NULL));
    CHECK_OK(nn_evaluate(loss, &test, &result));
    CHECK(result.loss < 1e-5);
    CHECK_INT(result.count, 10);
    CHECK_NEAR(nn_weight(y)->data[0], 3, 1e-2);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
    nn_net_destroy(net);
}

static void null_arguments(void)
{
    classifier c;
    nn_dataset data;
    nn_result result;
    nn_real y[CLASSES];
    size_t matrix[CLASSES * CLASSES];
    build_classifier(&c, 1, 0);
    blobs(&data, 0, 1);
    CHECK_ERROR(nn_evaluate(NULL, &data, &result), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_evaluate(c.loss, NULL, &result), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_evaluate(c.loss, &data, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_predict(NULL, &data, y), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_predict(c.second, NULL, y), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_predict(c.second, &data, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_confusion_matrix(NULL, &data, matrix), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_confusion_matrix(c.second, NULL, matrix), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_ERROR(nn_confusion_matrix(c.second, &data, NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

/* -------------------------------------------------------------------------------- the trainer */

/* What a network's allocator has given out; call number fail_at gets nothing. */
typedef struct memory {
    size_t calls, held, fail_at;
} memory;

static void *memory_alloc(void *user, size_t bytes)
{
    memory *m = (memory *)user;
    if (++m->calls == m->fail_at) return NULL;
    void *block = malloc(bytes);
    m->held += block != NULL;
    return block;
}

static void memory_release(void *user, void *block)
{
    ((memory *)user)->held--;
    free(block);
}

static nn_net *net_in(memory *m, uint64_t seed)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    memset(m, 0, sizeof *m);
    desc.seed = seed;
    desc.allocator.alloc = memory_alloc;
    desc.allocator.release = memory_release;
    desc.allocator.user = m;
    return nn_net_create(&desc);
}

/* A training of 18 steps with everything: dropout, validation, checks at every step, the best
   weights. */
typedef struct course {
    memory m;
    classifier c;
    nn_dataset train, held_out;
    nn_history history;
    nn_train_desc desc;
} course;

static void begin_course(course *s)
{
    memset(&s->history, 0, sizeof s->history);
    build_classifier_in(&s->c, net_in(&s->m, 3), 0.25);
    blobs(&s->train, 0, 45);
    blobs(&s->held_out, 45, 20);
    s->desc = make(3, 8, 0.1);
    s->desc.optimizer = nn_sgd(1.5, 0.5); /* so high that the loss goes up and down */
    s->desc.validation = &s->held_out;
    s->desc.check_every = 1;
    s->desc.restore_best = 1;
    s->desc.log_steps = 1;
}

static void end_course(course *s)
{
    nn_history_free(&s->history);
    nn_dataset_free(&s->train);
    nn_dataset_free(&s->held_out);
    nn_net_destroy(s->c.net);
    CHECK_INT(s->m.held, 0);
}

static int same_history(const nn_history *a, const nn_history *b)
{
    int same_all = a->check_count == b->check_count && a->step_count == b->step_count &&
                   a->epochs == b->epochs && a->best == b->best &&
                   a->stopped_early == b->stopped_early;
    for (size_t i = 0; same_all && i < a->check_count; i++) {
        nn_check one = a->checks[i];
        one.seconds = b->checks[i].seconds;
        same_all = same_check(&one, &b->checks[i]);
    }
    for (size_t i = 0; same_all && i < a->step_count; i++)
        same_all = a->step_loss[i] == b->step_loss[i];
    return same_all;
}

/* nn_train, steps of one's own and epochs of one's own are the same to the last bit. */
static void trainer_in_steps(void)
{
    course whole, steps, epochs;
    nn_trainer *t;
    size_t count = 0;
    begin_course(&whole);
    CHECK_OK(nn_train(whole.c.loss, &whole.train, &whole.desc, &whole.history));
    begin_course(&steps);
    CHECK_OK(nn_trainer_create(steps.c.loss, &steps.train, &steps.desc, &steps.history, &t));
    for (; !nn_trainer_is_done(t); count++) {
        CHECK_INT(nn_step_count(steps.c.net), count);
        CHECK_OK(nn_trainer_step(t));
    }
    CHECK_INT(count, 18);
    CHECK(same_weights(whole.c.net, steps.c.net)); /* the best weights are back before the end */
    nn_trainer_destroy(t);
    begin_course(&epochs);
    CHECK_OK(nn_trainer_create(epochs.c.loss, &epochs.train, &epochs.desc, &epochs.history, &t));
    for (count = 0; !nn_trainer_is_done(t); count++) {
        CHECK_INT(nn_step_count(epochs.c.net), 6 * count);
        if (count == 1) CHECK_OK(nn_trainer_step(t)); /* an epoch begun is gone on with */
        CHECK_OK(nn_trainer_epoch(t));
    }
    CHECK_INT(count, 3);
    nn_trainer_destroy(t);
    CHECK(whole.history.best + 1 < whole.history.check_count);
    CHECK(same_weights(whole.c.net, steps.c.net) && same_weights(whole.c.net, epochs.c.net));
    CHECK(same_history(&whole.history, &steps.history));
    CHECK(same_history(&whole.history, &epochs.history));
    end_course(&whole);
    end_course(&steps);
    end_course(&epochs);
}

static void trainer_destroyed_half_way(void)
{
    course s;
    nn_trainer *t;
    nn_result result;
    begin_course(&s);
    CHECK_OK(nn_train(s.c.loss, &s.train, &s.desc, NULL));
    const size_t held = s.m.held;
    CHECK_OK(nn_trainer_create(s.c.loss, &s.train, &s.desc, &s.history, &t));
    for (int i = 0; i < 9; i++) CHECK_OK(nn_trainer_step(t));
    CHECK(!nn_trainer_is_done(t));
    nn_trainer_destroy(t);
    CHECK_INT(s.m.held, held);
    CHECK_INT(s.history.check_count, 9);
    CHECK(s.history.best < 8);
    CHECK(s.history.seconds > 0);
    CHECK_OK(nn_evaluate(s.c.loss, &s.held_out, &result));
    CHECK(result.loss == s.history.checks[s.history.best].validation_loss);
    CHECK_OK(nn_trainer_create(s.c.loss, &s.train, &s.desc, NULL, &t)); /* and before it began */
    nn_trainer_destroy(t);
    CHECK_INT(s.m.held, held);
    end_course(&s);
}

static void trainer_errors(void)
{
    course s;
    nn_trainer *t = NULL;
    begin_course(&s);
    CHECK_ERROR(nn_trainer_create(s.c.loss, &s.train, &s.desc, NULL, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_trainer_create: out is NULL", "");
    CHECK_ERROR(nn_trainer_create(s.c.loss, &s.train, NULL, NULL, &t), NN_ERROR_BAD_ARGUMENT,
                "nn_trainer_create: the desc is NULL", "");
    CHECK_ERROR(nn_trainer_create(NULL, &s.train, &s.desc, NULL, &t), NN_ERROR_BAD_ARGUMENT,
                "nn_trainer_create", "NULL");
    CHECK_ERROR(nn_trainer_create(s.c.loss, NULL, &s.desc, NULL, &t), NN_ERROR_BAD_ARGUMENT,
                "nn_trainer_create", "data set is NULL");
    s.desc.batch_size = 0;
    CHECK_ERROR(nn_trainer_create(s.c.loss, &s.train, &s.desc, NULL, &t), NN_ERROR_BAD_ARGUMENT,
                "nn_trainer_create: batch_size is 0", "");
    CHECK(t == NULL);
    CHECK_ERROR(nn_trainer_step(NULL), NN_ERROR_BAD_ARGUMENT, "nn_trainer_step", "NULL");
    CHECK_ERROR(nn_trainer_epoch(NULL), NN_ERROR_BAD_ARGUMENT, "trainer", "NULL");
    CHECK(nn_trainer_is_done(NULL));
    nn_trainer_destroy(NULL);
    s.desc.batch_size = 45, s.desc.epochs = 1;
    CHECK_OK(nn_trainer_create(s.c.loss, &s.train, &s.desc, &s.history, &t));
    CHECK_OK(nn_trainer_epoch(t));
    CHECK(nn_trainer_is_done(t));
    CHECK_ERROR(nn_trainer_step(t), NN_ERROR_BAD_ARGUMENT, "nn_trainer_step: the training is done",
                "");
    CHECK_ERROR(nn_trainer_epoch(t), NN_ERROR_BAD_ARGUMENT, "done", "");
    CHECK_INT(nn_step_count(s.c.net), 1);
    CHECK_INT(s.history.check_count, 1);
    nn_trainer_destroy(t);
    end_course(&s);
}

/* What a callback sees and does: at check `when` it makes a large parameter. */
typedef struct intruder {
    nn_tensor *buffer, *added;
    nn_real best_buffer, best_weight;
    size_t checks;
} intruder;

static int intrude(void *user, nn_net *net, const nn_check *check)
{
    intruder *i = (intruder *)user;
    const size_t large = 5000;
    if (check->improved) {
        i->best_buffer = i->buffer->data[0];
        i->best_weight = nn_net_parameter(net, 0)->data[0];
    }
    i->buffer->data[0] += 1;
    if (i->checks++ == 3) {
        i->added = nn_parameter(net, 1, &large, nn_init_constant(7), "added");
        CHECK(i->added != NULL);
    }
    return 0;
}

/* The best weights come back where they were, whatever has been made since, and buffers too. */
static void restores_beside_new_parameters(void)
{
    course s;
    intruder i;
    const size_t one = 1;
    memset(&i, 0, sizeof i);
    begin_course(&s);
    i.buffer = nn_buffer(s.c.net, 1, &one, nn_init_constant(100), "count");
    s.desc.on_check = intrude;
    s.desc.user = &i;
    CHECK_OK(nn_train(s.c.loss, &s.train, &s.desc, &s.history));
    CHECK(s.history.best > 3 && s.history.best < 17);
    CHECK_INT(i.buffer->data[0], 100 + s.history.best);
    CHECK(i.buffer->data[0] == i.best_buffer);
    CHECK(nn_net_parameter(s.c.net, 0)->data[0] == i.best_weight);
    for (size_t k = 0; i.added && k < i.added->size; k++) CHECK(i.added->data[k] == 7);
    end_course(&s);
}

/* Training takes nothing but the history from elsewhere, and gives back all but what the network
   keeps: a second run leaves as much as the first. */
static void memory_of_training(void)
{
    course s;
    nn_result result;
    nn_real y[45 * CLASSES];
    size_t matrix[CLASSES * CLASSES];
    begin_course(&s);
    size_t outside = outside_calls;
    CHECK_OK(nn_train(s.c.loss, &s.train, &s.desc, NULL));
    const size_t held = s.m.held, calls = s.m.calls;
    CHECK_OK(nn_train(s.c.loss, &s.train, &s.desc, NULL));
    CHECK_OK(nn_evaluate(s.c.loss, &s.train, &result));
    CHECK_OK(nn_predict(s.c.second, &s.train, y));
    CHECK_OK(nn_predict_rows(s.c.second, blob_x, 45, y));
    CHECK_OK(nn_confusion_matrix(s.c.second, &s.train, matrix));
    CHECK_INT(outside_calls, outside);
    CHECK(s.m.calls > calls);
    CHECK_INT(s.m.held, held);
    CHECK_OK(nn_train(s.c.loss, &s.train, &s.desc, &s.history));
    CHECK(outside_calls > outside && outside_calls < outside + 12);
    CHECK_INT(s.m.held, held);
    end_course(&s);
}

/* No memory, at any of the allocations: an error, nothing lost, and the next run works. */
static void training_out_of_memory(void)
{
    size_t failures = 0;
    for (int done = 0; !done && failures < 1000; failures += !done) {
        course s;
        nn_result result;
        begin_course(&s);
        s.m.fail_at = s.m.calls + failures + 1;
        nn_status status = nn_train(s.c.loss, &s.train, &s.desc, NULL);
        if (status == NN_OK) status = nn_evaluate(s.c.loss, &s.train, &result);
        done = status == NN_OK;
        if (!done) CHECK_ERROR(status, NN_ERROR_OUT_OF_MEMORY, "out of memory", "bytes");
        s.m.fail_at = 0;
        CHECK_OK(nn_train(s.c.loss, &s.train, &s.desc, NULL));
        end_course(&s);
    }
    CHECK(failures > 10 && failures < 1000);
}

/* Nobody computes a loss after the last step: the weights themselves are looked at. */
static void last_weights_not_finite(void)
{
    static const nn_real x[] = {100000, 100000}, t[] = {0, 0};
    line l;
    nn_dataset data;
    nn_train_desc d = make(1, 2, sizeof(nn_real) == 4 ? 1e30 : 1e299);
    build_line(&l);
    CHECK_OK(nn_dataset_from_arrays(x, 2, 1, NULL, 0, &data));
    CHECK_OK(nn_dataset_set_targets(&data, t, 1));
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_NOT_FINITE,
                "nn_train: the weights are not finite after step 0", "slope");
    CHECK_INT(nn_step_count(l.net), 1);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* ---------------------------------------------------------------------------- what is reported */

/* Cell `column` of a line, in text[64]. */
static const char *cell(const char *row, int column, char *text)
{
    while (column--) row = strchr(row, ',') + 1;
    const size_t n = strcspn(row, ",\n");
    memcpy(text, row, n);
    text[n] = 0;
    return text;
}

static void error_of_an_accuracy(void)
{
    CHECK_NEAR(nn_accuracy_error(0.9, 100), 0.03, 1e-15);
    CHECK_NEAR(nn_accuracy_error(0.5, 4), 0.25, 0);
    CHECK_NEAR(nn_accuracy_error(0, 10), 0, 0);
    CHECK_NEAR(nn_accuracy_error(1, 1), 0, 0);
    const double none[] = {nn_accuracy_error(NAN, 10), nn_accuracy_error(0.5, 0),
                           nn_accuracy_error(-0.1, 10), nn_accuracy_error(1.5, 10)};
    for (size_t i = 0; i < 4; i++) CHECK(is_none(none[i]));
}

static void no_labels_no_accuracy(void)
{
    static const char *path = TEST_TMP "/no_accuracy.csv";
    line l;
    nn_dataset data;
    nn_history history;
    char text[4000], one[64];
    nn_train_desc d = make(2, 4, 0.05);
    memset(&history, 0, sizeof history);
    d.progress = tmpfile();
    CHECK(d.progress != NULL);
    if (!d.progress) return;
    build_line(&l);
    ramp(&data, 18);
    d.validation = &data;
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK(read_text(d.progress, text, sizeof text) > 0);
    CHECK(strstr(text, "validation loss") && !strstr(text, "accuracy") && !strstr(text, "nan"));
    CHECK_OK(nn_history_write_csv(&history, path));
    read_file(path, text, sizeof text);
    const char *row = strchr(text, '\n') + 1;
    for (int column = 0; column < 10; column++) {
        const int is_accuracy = column == 3 || column == 5 || column == 7;
        CHECK_INT(strlen(cell(row, column, one)) == 0, is_accuracy);
    }
    CHECK_STR(cell(row, 0, one), "5");
    remove(path);
    fclose(d.progress);
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* 33 samples in batches of 32, the last of them labelled wrong: means are over samples. */
static void epoch_means(void)
{
    nn_real x[33 * 2];
    int labels[33];
    record r;
    nn_dataset data;
    nn_train_desc d = make(12, 32, 0.5);
    for (int i = 0; i < 33; i++) {
        labels[i] = i % 2;
        x[2 * i] = i % 2 ? 1 : -1;
        x[2 * i + 1] = (nn_real)(i * 0.01);
    }
    labels[32] = 1;
    nn_net *net = new_net(0);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_input(net, 2), 2));
    CHECK_OK(nn_dataset_from_arrays(x, 33, 2, labels, 2, &data));
    d.check_every = 1;
    observe(&d, &r);
    CHECK_OK(nn_train(loss, &data, &d, NULL));
    CHECK_INT(r.checks, 24);
    for (size_t i = 0; i < r.checks; i += 2) {
        const nn_check *first = &r.check[i], *last = &r.check[i + 1];
        CHECK(first->train_loss == first->batch_loss);
        CHECK(first->train_accuracy == first->batch_accuracy);
        CHECK_NEAR(last->train_loss, (32 * first->batch_loss + last->batch_loss) / 33, 1e-14);
        CHECK_NEAR(last->train_accuracy,
                   (32 * first->batch_accuracy + last->batch_accuracy) / 33, 1e-14);
        CHECK(last->batch_accuracy == 0 || last->batch_accuracy == 1);
        if (i >= 12) CHECK_NEAR(last->train_accuracy, 32. / 33, 1e-14);
    }
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* On a terminal a bar is written over itself. */
static void progress_on_terminal(void)
{
#ifdef HAVE_TERMINALS
    line l;
    nn_dataset data;
    char text[4000] = "";
    nn_train_desc d = make(2, 4, 0.01);
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    const int is_open = master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0;
    const int slave = is_open ? open(ptsname(master), O_RDWR | O_NOCTTY) : -1;
    CHECK(isatty(slave));
    build_line(&l);
    ramp(&data, 18);
    d.progress = stdout;
    fflush(stdout);
    const int kept = dup(1);
    CHECK(dup2(slave, 1) == 1);
    nn_status status = nn_train(l.loss, &data, &d, NULL);
    fflush(stdout);
    CHECK(dup2(kept, 1) == 1);
    CHECK_OK(status);
    close(kept), close(slave); /* so that reading comes to an end */
    for (size_t size = 0; size < sizeof text - 1;) {
        const ssize_t more = read(master, text + size, sizeof text - 1 - size);
        if (more <= 0) break;
        size += (size_t)more;
    }
    CHECK(strstr(text, "\r[####################] epoch 2  loss ") != NULL);
    CHECK(strstr(text, "images/s") && strstr(text, "epoch   1  step      5  loss "));
    close(master);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
#endif
}

static int has_terminals(void)
{
#ifdef HAVE_TERMINALS
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0) return 0;
    const int is_there = grantpt(master) == 0 && unlockpt(master) == 0 && ptsname(master) &&
                         access(ptsname(master), R_OK | W_OK) == 0;
    close(master);
    return is_there;
#else
    return 0;
#endif
}

/* ------------------------------------------------------------------------ what a mean is over */

enum { SCALARS = 17 };

static nn_status mean_forward(nn_tensor *t)
{
    const nn_tensor *x = t->src[0];
    double sum = 0;
    for (size_t i = 0; i < x->size; i++) sum += (double)x->data[i];
    t->data[0] = (nn_real)(sum / (double)x->size);
    return NN_OK;
}

static nn_tensor *loss_of(nn_tensor *y, nn_loss_kind kind, nn_reduction reduction,
                          const nn_real *class_weights)
{
    nn_loss_desc d;
    memset(&d, 0, sizeof d);
    d.reduction = reduction;
    d.class_weights = class_weights;
    if (kind == NN_LOSS_SOFTMAX_CROSS_ENTROPY) d.answers = NN_ANSWERS_LABELS;
    if (class_weights) d.ignore_label = 1, d.ignored_label = 1;
    return nn_loss(y, kind, &d);
}

/* Scalars of many makes over logits z and a column y, each with its losses in the network. */
static void make_scalars(nn_tensor *z, nn_tensor *y, nn_tensor **out)
{
    static const nn_real weights[CLASSES] = {(nn_real)0.5, 1, 3};
    static const nn_op mean_op = {"mean_of_all", mean_forward, NULL, NULL, NULL, 0, NULL};
    const nn_loss_kind ce = NN_LOSS_SOFTMAX_CROSS_ENTROPY;
    nn_tensor *w = nn_weight(z), *mse = nn_mse(y);
    size_t n = 0;
    out[n++] = loss_of(z, ce, NN_REDUCE_MEAN, NULL);
    out[n++] = loss_of(z, ce, NN_REDUCE_SUM, NULL);
    out[n++] = loss_of(z, ce, NN_REDUCE_MEAN, weights);
    out[n++] = loss_of(z, NN_LOSS_HINGE, NN_REDUCE_MEAN, weights);
    out[n++] = loss_of(y, NN_LOSS_HUBER, NN_REDUCE_SUM, NULL);
    out[n++] = nn_mean(loss_of(z, ce, NN_REDUCE_NONE, NULL));
    out[n++] = nn_add(out[0], nn_scale(mse, 0.5));
    out[n++] = nn_weight_penalty(out[6], 0.01, 0.02);
    out[n++] = nn_add(out[2], nn_scale(nn_sum(nn_mul(w, w)), 0.1));
    out[n++] = nn_sqrt(mse);
    out[n++] = nn_mul(out[1], mse);
    out[n++] = nn_mean(nn_abs(y));
    out[n++] = nn_sum(nn_mul(y, y));
    out[n++] = nn_max(y);
    out[n++] = nn_custom(1, &y, 0, 0, NULL, &mean_op, NULL);
    out[n++] = nn_add(nn_max(w), nn_mean(nn_mul(y, y)));
    out[n++] = nn_weight_penalty(out[1], 0.01, 0.02);
    CHECK_INT(n, SCALARS);
}

/* Evaluation goes through a set in chunks; whatever the scalar, the answer is that of one batch. */
static void chunks_are_one_batch(void)
{
    enum { ROWS = 200 }; /* three chunks and a part */
    static nn_real targets[ROWS];
    nn_tensor *scalar[SCALARS];
    nn_dataset data;
    nn_net *net = new_net(2);
    nn_tensor *in = nn_input(net, FEATURES), *hidden = nn_tanh(nn_dense(in, HIDDEN));
    make_scalars(nn_dense(hidden, CLASSES), nn_dense(hidden, 1), scalar);
    CHECK_OK(nn_net_status(net));
    for (size_t i = 0; i < ROWS; i++) targets[i] = (nn_real)(i % 11) / 4;
    blobs(&data, 0, ROWS);
    CHECK_OK(nn_dataset_set_targets(&data, targets, 1));
    CHECK_OK(nn_feed(in, blob_x, ROWS));
    for (size_t id = 0; id < nn_net_tensor_count(net); id++) {
        nn_tensor *t = nn_net_tensor(net, id);
        const char *name = t->op->name;
        if (strstr(name, "entropy") || strstr(name, "hinge"))
            CHECK_OK(nn_feed_labels(t, blob_labels, ROWS));
        if (strstr(name, "mse") || strstr(name, "huber"))
            CHECK_OK(nn_feed_targets(t, targets, ROWS));
    }
    double whole[SCALARS];
    for (int i = 0; i < SCALARS; i++) {
        CHECK_OK(nn_forward(scalar[i]));
        whole[i] = scalar[i]->value;
    }
    for (int i = 0; i < SCALARS; i++) {
        char name[32];
        nn_result result;
        snprintf(name, sizeof name, "scalar %d", i);
        test_current = name;
        CHECK_OK(nn_evaluate(scalar[i], &data, &result));
        CHECK_NEAR(result.loss, whole[i], TOLERANCE * (1 + fabs(whole[i])));
        test_current = "";
    }
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------- the class decision */

typedef nn_tensor *head(nn_tensor *x);

static nn_tensor *as_it_is(nn_tensor *x) { return nn_scale(x, 1); }

/* The accuracy of outputs head(x) of n columns; targets may be NULL. */
static double accuracy_of(head *f, nn_loss_kind kind, size_t n, size_t count, const nn_real *x,
                          const int *labels, int classes, const nn_real *targets)
{
    nn_dataset data;
    nn_result result;
    nn_net *net = new_net(1);
    nn_tensor *loss = nn_loss(f(nn_scale(nn_input(net, n), 1)), kind, NULL);
    CHECK_OK(nn_dataset_from_arrays(x, count, n, labels, classes, &data));
    if (targets) CHECK_OK(nn_dataset_set_targets(&data, targets, n));
    CHECK_OK(nn_evaluate(loss, &data, &result));
    nn_dataset_free(&data);
    nn_net_destroy(net);
    return result.accuracy;
}

/* One column: the threshold is that of the output. Each x is right by one threshold only. */
static void class_of_one_column(void)
{
    static const nn_real x[4] = {-3, (nn_real)0.25, (nn_real)0.75, 2};
    static const int above_0[4] = {0, 1, 1, 1}, above_half[4] = {0, 0, 1, 1};
    static const nn_real binary[4] = {0, 0, 1, 1}, sides[4] = {-1, 1, 1, 1};
    CHECK(accuracy_of(as_it_is, NN_LOSS_SIGMOID_CROSS_ENTROPY, 1, 4, x, above_0, 2, NULL) == 1);
    CHECK(accuracy_of(nn_sigmoid, NN_LOSS_MSE, 1, 4, x, above_0, 2, binary) == 1);
    CHECK(accuracy_of(nn_sigmoid, NN_LOSS_L1, 1, 4, x, above_half, 2, binary) == 0.75);
    CHECK(accuracy_of(nn_tanh, NN_LOSS_MSE, 1, 4, x, above_0, 2, sides) == 1);
    CHECK(accuracy_of(as_it_is, NN_LOSS_MSE, 1, 4, x, above_half, 2, binary) == 1);
    CHECK(accuracy_of(as_it_is, NN_LOSS_L1, 1, 4, x, above_half, 2, binary) == 1);
    CHECK(accuracy_of(as_it_is, NN_LOSS_HUBER, 1, 4, x, above_0, 2, binary) == 0.75);
}

static void class_of_columns(void)
{
    static const nn_real x[4 * 2] = {2, 1, -2, -1, 3, 3, -4, 5}; /* a tie: the first */
    static const int labels[4] = {0, 1, 0, 0};
    static const nn_real hot[4 * 2] = {1, 0, 0, 1, 1, 0, 1, 0};
    CHECK(accuracy_of(as_it_is, NN_LOSS_SOFTMAX_CROSS_ENTROPY, 2, 4, x, labels, 2, NULL) == 0.75);
    CHECK(accuracy_of(as_it_is, NN_LOSS_HINGE, 2, 4, x, labels, 2, NULL) == 0.75);
    CHECK(accuracy_of(nn_softmax, NN_LOSS_MSE, 2, 4, x, labels, 2, hot) == 0.75);
    CHECK(accuracy_of(nn_sigmoid, NN_LOSS_MSE, 2, 4, x, labels, 2, hot) == 0.75);
    CHECK(accuracy_of(nn_log_softmax, NN_LOSS_KL_DIVERGENCE, 2, 4, x, labels, 2, hot) == 0.75);
    CHECK(accuracy_of(as_it_is, NN_LOSS_SIGMOID_CROSS_ENTROPY, 2, 4, x, labels, 2, hot) == 0.75);
}

/* Without labels targets name the class where they can: distributions, one-hot rows, 0 and 1. */
static void class_of_targets(void)
{
    static const nn_real x[3 * 2] = {2, 1, -2, -1, -4, 5};
    static const nn_real soft[3 * 2] = {(nn_real)0.75, (nn_real)0.25, (nn_real)0.25, (nn_real)0.75,
                                        (nn_real)0.5,  (nn_real)0.5};
    static const nn_real hot[3 * 2] = {1, 0, 1, 0, 0, 1}, both[3 * 2] = {1, 0, 1, 1, 0, 1};
    static const nn_real column[6] = {1, 1, 0, 0, 0, 1}, real[6] = {1, 1, 0, 0, 0, (nn_real)0.5};
    const nn_loss_kind ce = NN_LOSS_SOFTMAX_CROSS_ENTROPY, binary = NN_LOSS_SIGMOID_CROSS_ENTROPY;
    CHECK_NEAR(accuracy_of(as_it_is, ce, 2, 3, x, NULL, 0, soft), 2. / 3, 1e-15);
    CHECK_NEAR(accuracy_of(as_it_is, ce, 2, 3, x, NULL, 0, hot), 2. / 3, 1e-15);
    CHECK_NEAR(accuracy_of(as_it_is, NN_LOSS_MSE, 2, 3, x, NULL, 0, hot), 2. / 3, 1e-15);
    CHECK_NEAR(accuracy_of(as_it_is, binary, 2, 3, x, NULL, 0, hot), 2. / 3, 1e-15);
    CHECK_NEAR(accuracy_of(as_it_is, binary, 1, 6, x, NULL, 0, column), 1, 1e-15);
    CHECK_NEAR(accuracy_of(as_it_is, NN_LOSS_MSE, 1, 6, x, NULL, 0, column), 1, 1e-15);
    CHECK(is_none(accuracy_of(as_it_is, binary, 2, 3, x, NULL, 0, both)));
    CHECK(is_none(accuracy_of(as_it_is, NN_LOSS_MSE, 2, 3, x, NULL, 0, soft)));
    CHECK(is_none(accuracy_of(as_it_is, NN_LOSS_MSE, 1, 6, x, NULL, 0, real)));
}

/* A row with a NaN is never right, and no cell of a confusion matrix is its place. */
static void nan_is_wrong(void)
{
    classifier c;
    record r;
    nn_dataset train, data;
    nn_result result;
    size_t matrix[CLASSES * CLASSES];
    nn_real x[70 * FEATURES], y[70 * CLASSES];
    int labels[70];
    nn_train_desc d = make(1, 40, 0.01);
    build_classifier(&c, 1, 0);
    blobs(&train, 0, 40);
    memcpy(x, blob_x, sizeof x);
    CHECK_OK(nn_dataset_from_arrays(x, 70, FEATURES, blob_labels, CLASSES, &data));
    CHECK_OK(nn_predict(c.second, &data, y));
    nn_dataset_free(&data);
    nn_mat_argmax(70, CLASSES, y, labels); /* what the network says, so that all would be right */
    labels[66] = 0;
    x[66 * FEATURES + 1] = (nn_real)NAN;
    CHECK_OK(nn_dataset_from_arrays(x, 70, FEATURES, labels, CLASSES, &data));
    d.validation = &data;
    d.optimizer.learning_rate = 1e-30;
    observe(&d, &r);
    CHECK_OK(nn_train(c.loss, &train, &d, NULL));
    CHECK_NEAR(r.check[0].validation_accuracy, 69. / 70, 1e-15);
    CHECK(is_none(r.check[0].validation_loss) && !r.check[0].improved);
    CHECK_ERROR(nn_evaluate(c.loss, &data, &result), NN_ERROR_NOT_FINITE, "nn_evaluate", "input");
    CHECK_ERROR(nn_confusion_matrix(c.second, &data, matrix), NN_ERROR_NOT_FINITE,
                "nn_confusion_matrix", "sample 66");
    nn_dataset_free(&data);
    nn_dataset_free(&train);
    nn_net_destroy(c.net);
}

static void predicts_rows(void)
{
    static nn_real from_set[130 * CLASSES], from_rows[130 * CLASSES + 1];
    classifier c;
    nn_dataset data;
    half_trained(&c, 0.5);
    blobs(&data, 0, 130);
    CHECK_OK(nn_predict(c.second, &data, from_set));
    for (size_t i = 0; i < COUNTS && counts[i] <= 130; i++) {
        const size_t n = counts[i] * CLASSES;
        from_rows[n] = 77;
        CHECK_OK(nn_predict_rows(c.second, blob_x, counts[i], from_rows));
        CHECK(memcmp(from_rows, from_set, n * sizeof *from_rows) == 0);
        CHECK(from_rows[n] == 77);
    }
    CHECK_OK(nn_predict_rows(c.second, blob_x, 130, from_rows));
    CHECK(memcmp(from_rows, from_set, sizeof from_set) == 0);
    CHECK_ERROR(nn_predict_rows(c.second, NULL, 1, from_rows), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_rows: x is NULL", "");
    CHECK_ERROR(nn_predict_rows(c.second, blob_x, 1, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_rows: out is NULL", "");
    CHECK_ERROR(nn_predict_rows(c.second, blob_x, 0, from_rows), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_rows: 0 rows", "");
    CHECK_ERROR(nn_predict_rows(NULL, blob_x, 1, from_rows), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_rows", "NULL");
    CHECK_ERROR(nn_predict_rows(nn_weight(c.second), blob_x, 1, from_rows), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_rows", "no input");
    CHECK_ERROR(nn_predict_rows(nn_mean(c.second), blob_x, 1, from_rows), NN_ERROR_BAD_SHAPE,
                "nn_predict_rows", "no value per sample");
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

/* ------------------------------------------------------------------------------ sets that fail */

/* What a set could not be made for is said by whoever is given it. */
static void failed_set_says_why(void)
{
    classifier c;
    nn_dataset failed, good;
    nn_result result;
    nn_real y[CLASSES];
    size_t matrix[CLASSES * CLASSES];
    const char *path = TEST_TMP "/no such file.csv";
    nn_train_desc d = make(1, 1, 0.1);
    build_classifier(&c, 1, 0);
    blobs(&good, 0, 10);
    const nn_status why = nn_load_csv(path, NULL, &failed);
    CHECK(why == NN_ERROR_CANNOT_OPEN);
    CHECK(nn_train(c.loss, &good, NULL, NULL) != NN_OK); /* another message in between */
    CHECK_ERROR(nn_train(c.loss, &failed, &d, NULL), why, path, "");
    CHECK_ERROR(nn_evaluate(c.loss, &failed, &result), why, path, "");
    CHECK_ERROR(nn_predict(c.second, &failed, y), why, path, "");
    CHECK_ERROR(nn_confusion_matrix(c.second, &failed, matrix), why, path, "");
    d.validation = &failed;
    CHECK_ERROR(nn_train(c.loss, &good, &d, NULL), why, path, "");
    CHECK_INT(nn_step_count(c.net), 0);
    nn_dataset_free(&good);
    nn_net_destroy(c.net);
}

/* Targets of a set lie where the loss says, or the first that does not is named: the sample of the
   view, not the row behind it. */
static void target_ranges(void)
{
    static const nn_real x[] = {(nn_real)0.1, (nn_real)0.2, (nn_real)0.9, (nn_real)0.8};
    static const nn_real sides[] = {0, -1, 1, 1}, two[] = {0, 1, 2, 0, 1, 1, 1, 0};
    nn_real broken[] = {0, 1, (nn_real)NAN, 1};
    nn_dataset data, view;
    nn_result result;
    nn_train_desc d = make(1, 2, 0.1);
    nn_net *net = new_net(1);
    nn_tensor *y = nn_dense(nn_input(net, 1), 1), *loss = nn_sigmoid_cross_entropy(y);
    nn_tensor *soft = nn_softmax_cross_entropy(nn_dense(y, 2)), *mse = nn_mse(y);
    CHECK_OK(nn_dataset_from_arrays(x, 4, 1, NULL, 0, &data));
    CHECK_OK(nn_dataset_set_targets(&data, sides, 1));
    CHECK_ERROR(nn_train(loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "nn_train: target -1",
                "sample 1, column 0, expected 0 to 1");
    CHECK_ERROR(nn_evaluate(loss, &data, &result), NN_ERROR_BAD_ARGUMENT, "nn_evaluate: target -1",
                "sample 1");
    CHECK_OK(nn_dataset_subset(&data, 1, 3, &view));
    CHECK_ERROR(nn_evaluate(loss, &view, &result), NN_ERROR_BAD_ARGUMENT, "target -1", "sample 0");
    nn_dataset_free(&view);
    CHECK_OK(nn_dataset_subset(&data, 2, 2, &view));
    CHECK_OK(nn_evaluate(loss, &view, &result));
    d.validation = &data;
    CHECK_ERROR(nn_train(loss, &view, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: validation: target -1", "sample 1");
    d.validation = NULL;
    CHECK_OK(nn_evaluate(mse, &data, &result));
    CHECK_OK(nn_dataset_set_targets(&data, two, 2));
    CHECK_ERROR(nn_train(soft, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "target 2 of sample 1", "");
    CHECK_OK(nn_dataset_set_targets(&data, two + 4, 2));
    data.count = 2;
    CHECK_ERROR(nn_train(soft, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "sample 0 sum to 2", "");
    data.count = 4;
    CHECK_OK(nn_dataset_set_targets(&data, broken, 1));
    CHECK_ERROR(nn_train(mse, &data, &d, NULL), NN_ERROR_BAD_NUMBER, "of sample 2", "finite");
    CHECK_INT(nn_step_count(net), 0);
    nn_dataset_free(&view);
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

/* -------------------------------------------------------------------- sets that belong together */

/* A network, the set that it was trained on, and another set. */
typedef struct meeting {
    classifier c;
    nn_dataset train, other;
    nn_train_desc d;
} meeting;

static void meet(meeting *m)
{
    build_classifier(&m->c, 1, 0);
    blobs(&m->train, 0, 40);
    blobs(&m->other, 40, 30);
    m->d = make(1, 10, 0.1);
    m->d.validation = &m->other;
}

static void part(meeting *m)
{
    nn_dataset_free(&m->train);
    nn_dataset_free(&m->other);
    nn_net_destroy(m->c.net);
}

/* What nn_train says of the other set as a validation set, and, when that has been trained without,
   what the calls that are asked about it say. Only evaluation and confusion look at classes. */
static void check_meeting(meeting *m, const char *part1, const char *part2, int of_classes)
{
    nn_result result;
    nn_real y[30 * CLASSES];
    size_t matrix[CLASSES * CLASSES];
    nn_train_desc alone = m->d;
    alone.validation = NULL;
    CHECK_ERROR(nn_train(m->c.loss, &m->train, &m->d, NULL), NN_ERROR_MISMATCH,
                "nn_train: validation: ", part1);
    CHECK(strstr(nn_last_error(), part2) != NULL);
    CHECK_OK(nn_train(m->c.loss, &m->train, &alone, NULL));
    nn_dataset_free(&m->train); /* the network keeps what it needs of it */
    CHECK_ERROR(nn_evaluate(m->c.loss, &m->other, &result), NN_ERROR_MISMATCH, part1, part2);
    CHECK(strncmp(nn_last_error(), "nn_evaluate: ", 13) == 0);
    if (of_classes) CHECK_OK(nn_predict(m->c.second, &m->other, y));
    else
        CHECK_ERROR(nn_predict(m->c.second, &m->other, y), NN_ERROR_MISMATCH, "nn_predict: ",
                    part1);
    if (m->other.classes == CLASSES)
        CHECK_ERROR(nn_confusion_matrix(m->c.second, &m->other, matrix), NN_ERROR_MISMATCH,
                    "nn_confusion_matrix: ", part1);
}

static void normalisations_meet(void)
{
    meeting m;
    meet(&m); /* the training set alone */
    CHECK_OK(nn_dataset_standardize(&m.train, NN_PER_FEATURE));
    check_meeting(&m, "the data set is not normalised, the training set is normalised",
                  "nn_dataset_normalize_like", 0);
    part(&m);
    meet(&m); /* the other alone */
    CHECK_OK(nn_dataset_rescale(&m.other, 0, 2, 0, 1));
    check_meeting(&m, "the data set is normalised, the training set is not", "normalize_like", 0);
    part(&m);
    meet(&m); /* each by its own moments */
    CHECK_OK(nn_dataset_standardize(&m.train, NN_PER_FEATURE));
    CHECK_OK(nn_dataset_standardize(&m.other, NN_PER_FEATURE));
    check_meeting(&m, "feature 0 is normalised as ", "nn_dataset_normalize_like", 0);
    part(&m);
    meet(&m); /* the same for all, and one that differs in the last feature */
    CHECK_OK(nn_dataset_rescale(&m.train, 0, 2, 0, 1));
    CHECK_OK(nn_dataset_standardize(&m.other, NN_PER_FEATURE));
    for (int j = 0; j < FEATURES; j++) {
        m.other.scale[j] = m.train.scale[0];
        m.other.shift[j] = m.train.shift[0] + (nn_real)j;
    }
    check_meeting(&m, "feature 1 is normalised as 0.5 x + 1, in the training set as 0.5 x + 0", "",
                  0);
    part(&m);
}

static void classes_meet(void)
{
    static char pear[] = "pear", plum[] = "plum", fig[] = "fig";
    char plums[] = "plum"; /* a name in memory that goes */
    char *names[] = {pear, plum, fig}, *others[] = {pear, fig, plum};
    char *trained[] = {pear, plums, fig};
    meeting m;
    meet(&m);
    m.train.class_names = trained, m.other.class_names = others;
    CHECK_ERROR(nn_train(m.c.loss, &m.train, &m.d, NULL), NN_ERROR_MISMATCH,
                "validation: class 1 is 'fig', in the training set it is 'plum'",
                "nn_csv_desc.like");
    m.other.class_names = NULL; /* labels that no one has named */
    CHECK_OK(nn_train(m.c.loss, &m.train, &m.d, NULL));
    m.other.class_names = names;
    CHECK_OK(nn_train(m.c.loss, &m.train, &m.d, NULL));
    m.train.class_names = NULL;
    nn_dataset_free(&m.train);
    plums[0] = '?', trained[0] = NULL;
    nn_result result;
    size_t matrix[CLASSES * CLASSES];
    CHECK_OK(nn_evaluate(m.c.loss, &m.other, &result));
    m.other.class_names = others;
    CHECK_ERROR(nn_evaluate(m.c.loss, &m.other, &result), NN_ERROR_MISMATCH, "nn_evaluate: class 1",
                "'plum'");
    CHECK_ERROR(nn_confusion_matrix(m.c.second, &m.other, matrix), NN_ERROR_MISMATCH,
                "nn_confusion_matrix: class 1 is 'fig'", "");
    m.other.class_names = NULL;
    part(&m);
    meet(&m); /* a class fewer, though the network has room for it */
    m.other.classes = 2;
    check_meeting(&m, "the data set has 2 classes, the training set 3", "", 1);
    part(&m);
}

static void shapes_meet(void)
{
    static const size_t lying[2] = {1, 2}, standing[2] = {2, 1}, thick[3] = {1, 2, 1};
    meeting m;
    meet(&m);
    CHECK_OK(nn_dataset_set_shape(&m.train, 2, lying));
    CHECK_OK(nn_train(m.c.loss, &m.train, &m.d, NULL)); /* one dimension says nothing */
    CHECK_OK(nn_dataset_set_shape(&m.other, 3, thick));
    CHECK_ERROR(nn_train(m.c.loss, &m.train, &m.d, NULL), NN_ERROR_MISMATCH, "[1 2 1]", "[1 2]");
    CHECK_OK(nn_dataset_set_shape(&m.other, 2, standing));
    check_meeting(&m, "samples of shape [2 1], in the training set [1 2]", "", 0);
    part(&m);
}

/* What may differ, and a network that was trained on something else since. */
static void sets_that_may_differ(void)
{
    static const uint8_t bytes[4 * FEATURES] = {0, 64, 128, 192, 255, 3, 5, 7};
    meeting m;
    nn_result result;
    nn_dataset raw, bare;
    nn_real y[30 * CLASSES];
    meet(&m);
    CHECK_OK(nn_dataset_rescale(&m.other, 0, 1, 0, 1)); /* x * 1 + 0, as without normalisation */
    CHECK_OK(nn_train(m.c.loss, &m.train, &m.d, NULL));
    CHECK_OK(nn_dataset_from_bytes(bytes, 4, FEATURES, blob_labels, CLASSES, &raw));
    CHECK_OK(nn_dataset_rescale(&raw, 0, 255, 0, 1)); /* raw values of another scale */
    CHECK_OK(nn_evaluate(m.c.loss, &raw, &result));
    CHECK_OK(nn_dataset_from_arrays(blob_x, 30, FEATURES, NULL, 0, &bare));
    CHECK_OK(nn_predict(m.c.second, &bare, y));
    CHECK_OK(nn_dataset_standardize(&m.train, NN_PER_FEATURE));
    CHECK_ERROR(nn_evaluate(m.c.loss, &m.train, &result), NN_ERROR_MISMATCH, "normalised", "");
    m.d.validation = NULL;
    CHECK_OK(nn_train(m.c.loss, &m.train, &m.d, NULL));
    CHECK_OK(nn_evaluate(m.c.loss, &m.train, &result));
    CHECK_ERROR(nn_evaluate(m.c.loss, &m.other, &result), NN_ERROR_MISMATCH, "normalised", "");
    nn_dataset_free(&raw);
    nn_dataset_free(&bare);
    part(&m);
}

/* Labels and targets in one set: a loss that takes either has to be told. */
static void labels_or_targets(void)
{
    static nn_real soft[40 * CLASSES], real[40];
    nn_dataset data;
    nn_result by_labels, by_targets, result;
    nn_loss_desc desc;
    nn_train_desc d = make(1, 10, 0.1);
    nn_net *net = new_net(1);
    nn_tensor *in = nn_input(net, FEATURES), *z = nn_dense(in, CLASSES), *y = nn_dense(in, 1);
    for (size_t i = 0; i < 40 * CLASSES; i++) soft[i] = (nn_real)(i % CLASSES == 2 ? 0.5 : 0.25);
    blobs(&data, 0, 40);
    CHECK_OK(nn_dataset_set_targets(&data, soft, CLASSES));
    memset(&desc, 0, sizeof desc);
    nn_tensor *any = nn_softmax_cross_entropy(z);
    CHECK_ERROR(nn_train(any, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: the data set has labels and targets, and softmax_cross_entropy",
                "nn_loss_desc.answers");
    CHECK_ERROR(nn_evaluate(any, &data, &result), NN_ERROR_BAD_ARGUMENT, "nn_evaluate", "answers");
    desc.answers = NN_ANSWERS_LABELS;
    nn_tensor *labels = nn_loss(z, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc);
    desc.answers = NN_ANSWERS_TARGETS;
    nn_tensor *targets = nn_loss(z, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc);
    CHECK_OK(nn_evaluate(labels, &data, &by_labels));
    CHECK_OK(nn_evaluate(targets, &data, &by_targets));
    CHECK(by_labels.accuracy == by_targets.accuracy); /* labels are the truth for both */
    CHECK_ERROR(nn_feed_labels(targets, blob_labels, 40), NN_ERROR_BAD_ARGUMENT, "nn_feed_labels",
                "");
    CHECK_ERROR(nn_feed_targets(labels, soft, 40), NN_ERROR_BAD_ARGUMENT, "nn_feed_targets", "");
    data.targets = NULL;
    CHECK_OK(nn_evaluate(any, &data, &result));
    CHECK(result.loss == by_labels.loss);
    CHECK_ERROR(nn_evaluate(targets, &data, &result), NN_ERROR_BAD_ARGUMENT, "no targets", "");
    data.targets = soft, data.labels = NULL;
    CHECK_OK(nn_evaluate(any, &data, &result));
    CHECK(result.loss == by_targets.loss);
    CHECK_ERROR(nn_evaluate(labels, &data, &result), NN_ERROR_BAD_ARGUMENT, "no labels", "");
    nn_dataset_free(&data);
    blobs(&data, 0, 40);
    CHECK_OK(nn_dataset_set_targets(&data, real, 1));
    CHECK_OK(nn_evaluate(nn_mse(y), &data, &result)); /* targets alone */
    CHECK_OK(nn_evaluate(nn_hinge(z), &data, &result)); /* labels alone */
    data.classes = 2;
    for (int i = 0; i < 40; i++) data.labels[i] %= 2;
    CHECK_ERROR(nn_evaluate(nn_sigmoid_cross_entropy(y), &data, &result), NN_ERROR_BAD_ARGUMENT,
                "labels and targets", "sigmoid_cross_entropy");
    nn_dataset_free(&data);
    nn_net_destroy(net);
}

static void refuse_answers(nn_loss_kind kind, size_t columns, int answers, const char *message)
{
    nn_loss_desc desc;
    nn_net *net = new_net(1);
    memset(&desc, 0, sizeof desc);
    desc.answers = (nn_answers)answers;
    CHECK(nn_loss(nn_input(net, columns), kind, &desc) == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_ARGUMENT, message, "answers is");
    nn_net_destroy(net);
}

static void answers_that_a_kind_does_not_take(void)
{
    refuse_answers(NN_LOSS_HINGE, 3, NN_ANSWERS_TARGETS, "nn_hinge");
    refuse_answers(NN_LOSS_MSE, 1, NN_ANSWERS_LABELS, "nn_mse");
    refuse_answers(NN_LOSS_KL_DIVERGENCE, 3, NN_ANSWERS_LABELS, "nn_kl_divergence");
    refuse_answers(NN_LOSS_SIGMOID_CROSS_ENTROPY, 3, NN_ANSWERS_LABELS, "in several columns");
    refuse_answers(NN_LOSS_SOFTMAX_CROSS_ENTROPY, 3, 3, "expected one of nn_answers");
}

/* ------------------------------------------------------------------------ change in mid-course */

/* Every fifth check halves the rate, in one of two ways. */
static int halve(void *user, nn_net *net, const nn_check *check)
{
    nn_tensor *p;
    if (check->epoch % 5 != 4) return 0;
    if (*(int *)user) {
        for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++) p->learning_rate_scale /= 2;
    } else {
        nn_optimizer_desc o = *nn_net_optimizer(net);
        o.learning_rate /= 2;
        CHECK_OK(nn_change_optimizer(net, &o));
    }
    return 0;
}

/* The history shows the scale that trained parameters share, or the rate alone where they differ. */
static void rate_of_scaled_parameters(void)
{
    nn_dataset data;
    blobs(&data, 0, 40);
    for (int differ = 0; differ < 2; differ++) {
        classifier c;
        nn_history history;
        nn_train_desc d = make(1, 20, 0.08);
        memset(&history, 0, sizeof history);
        build_classifier(&c, 1, 0);
        nn_tensor *p, *first = nn_net_parameter(c.net, 0);
        for (size_t i = 0; (p = nn_net_parameter(c.net, i)) != NULL; i++)
            p->learning_rate_scale = differ && i == 2 ? 1 : 0.5;
        first->frozen = 1, first->learning_rate_scale = 3;
        CHECK_OK(nn_train(c.loss, &data, &d, &history));
        CHECK(history.check_count > 0 && history.checks[0].learning_rate == (differ ? 0.08 : 0.04));
        nn_history_free(&history);
        nn_net_destroy(c.net);
    }
    nn_dataset_free(&data);
}

/* Adam's moments and step count stay, and the history shows the rate in force. */
static void change_keeps_state(void)
{
    classifier c[2];
    nn_dataset data;
    blobs(&data, 0, 40);
    for (int way = 0; way < 2; way++) {
        nn_history history;
        nn_train_desc d = make(20, 20, 0.1);
        memset(&history, 0, sizeof history);
        build_classifier(&c[way], 1, 0);
        d.optimizer = nn_adam(0.08);
        d.on_check = halve;
        d.user = &way;
        CHECK_OK(nn_train(c[way].loss, &data, &d, &history));
        CHECK_INT(nn_step_count(c[way].net), 40);
        CHECK_INT(history.check_count, 20);
        for (size_t i = 0; i < history.check_count; i++)
            CHECK(history.checks[i].learning_rate == 0.08 / (double)(1 << i / 5));
        nn_history_free(&history);
    }
    CHECK(same_weights(c[0].net, c[1].net));
    nn_net_destroy(c[0].net);
    nn_net_destroy(c[1].net);
    nn_dataset_free(&data);
}

/* w after one more step; its gradient is always 1. */
static double step_down(nn_tensor *loss, const nn_optimizer_desc *d)
{
    nn_net *net = loss->net;
    if (d) CHECK_OK(nn_change_optimizer(net, d));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_OK(nn_step(net));
    return (double)nn_net_parameter(net, 0)->data[0];
}

static void change_momentum_and_decay(void)
{
    const size_t one = 1;
    nn_net *net = new_net(1);
    nn_tensor *loss = nn_sum(nn_parameter(net, 1, &one, nn_init_constant(0), "w"));
    nn_optimizer_desc plain = nn_sgd(1, 0), heavy = nn_sgd(1, 0.5), decays = nn_sgd(1, 0);
    decays.weight_decay = 0.5;
    CHECK_OK(nn_set_optimizer(net, &plain));
    CHECK(step_down(loss, NULL) == -1);
    CHECK(step_down(loss, &heavy) == -2);        /* v = 1 */
    CHECK(step_down(loss, NULL) == -3.5);        /* v = 1.5 */
    CHECK(step_down(loss, &plain) == -4.5);
    CHECK(step_down(loss, &heavy) == -5.5);      /* v = 1: a momentum that begins, not an old one */
    CHECK(step_down(loss, &decays) == -3.75);    /* -5.5 - (1 - 0.5 * 5.5) */
    CHECK_INT(nn_step_count(net), 6);
    nn_net_destroy(net);
}

static void change_errors(void)
{
    const size_t one = 1;
    nn_net *net = new_net(1);
    nn_optimizer_desc adam = nn_adam(0.1), sgd = nn_sgd(0.1, 0), bad = nn_adam(-1);
    CHECK(nn_parameter(net, 1, &one, nn_init_constant(1), "w") != NULL);
    CHECK(nn_net_optimizer(NULL) == NULL && nn_net_optimizer(net) == NULL);
    CHECK_ERROR(nn_change_optimizer(NULL, &adam), NN_ERROR_BAD_ARGUMENT,
                "nn_change_optimizer: the network is NULL", "");
    CHECK_ERROR(nn_change_optimizer(net, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_change_optimizer: the desc is NULL", "");
    CHECK_ERROR(nn_change_optimizer(net, &adam), NN_ERROR_BAD_ARGUMENT,
                "nn_change_optimizer: call nn_set_optimizer first", "");
    CHECK_OK(nn_set_optimizer(net, &adam));
    CHECK_ERROR(nn_change_optimizer(net, &sgd), NN_ERROR_MISMATCH, "nn_change_optimizer: kind is 1",
                "of kind 4");
    CHECK_ERROR(nn_change_optimizer(net, &bad), NN_ERROR_BAD_ARGUMENT, "nn_change_optimizer",
                "learning_rate is -1");
    CHECK(nn_net_optimizer(net)->learning_rate == 0.1);
    nn_net_destroy(net);
}

/* -- the batch size -- */

/* After these steps, or checks, the batch size becomes another. */
typedef struct resizing {
    record seen;
    size_t count, step[8], size[8];
    int at_checks; /* steps are those of checks */
    nn_tensor *in;
} resizing;

static void resize_after(resizing *r, nn_net *net, size_t step)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->step[i] == step) CHECK_OK(nn_change_batch_size(net, r->size[i]));
}

static int resize_at_step(void *user, nn_net *net, size_t step, double loss)
{
    resizing *r = (resizing *)user;
    if (!r->at_checks) resize_after(r, net, step + 1);
    r->seen.in = r->in;
    return record_step(&r->seen, net, step, loss);
}

static int resize_at_check(void *user, nn_net *net, const nn_check *check)
{
    resizing *r = (resizing *)user;
    if (r->at_checks) resize_after(r, net, check->step);
    return record_check(&r->seen, net, check);
}

static void resize(nn_train_desc *d, resizing *r, nn_tensor *in)
{
    memset(&r->seen, 0, sizeof r->seen);
    r->in = in;
    d->on_step = resize_at_step, d->on_check = resize_at_check, d->user = r;
}

/* The rows of every step; all samples in order, but for those that drop_last leaves out of an
   epoch. */
static void check_resizing(resizing r, size_t samples, size_t batch, size_t epochs, size_t steps,
                           const size_t *rows, const size_t *dropped)
{
    line l, by_hand;
    nn_dataset data;
    nn_train_desc d = make(epochs, batch, 0.01);
    const nn_optimizer_desc adam = nn_adam(0.01);
    size_t first = 0, all = 0, epoch = 0;
    d.no_shuffle = 1, d.drop_last = dropped != NULL, d.optimizer = adam;
    build_line(&l);
    build_line(&by_hand);
    ramp(&data, samples);
    resize(&d, &r, l.in);
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_INT(r.seen.steps, steps);
    CHECK_OK(nn_set_optimizer(by_hand.net, &adam));
    for (size_t s = 0; s < steps; s++) {
        nn_real x[MAX_SEEN], y[MAX_SEEN];
        CHECK_INT(r.seen.rows[s], rows[s]);
        for (size_t i = 0; i < rows[s]; i++) {
            x[i] = (nn_real)(first + i) / 16, y[i] = 3 * x[i] - 1;
            CHECK_NEAR(r.seen.x[all++], x[i], 0);
        }
        CHECK_OK(nn_feed(by_hand.in, x, rows[s]));
        CHECK_OK(nn_feed_targets(by_hand.loss, y, rows[s]));
        CHECK_OK(nn_forward(by_hand.loss));
        CHECK_OK(nn_backward(by_hand.loss));
        CHECK_OK(nn_step(by_hand.net));
        CHECK(by_hand.loss->value == r.seen.loss[s]);
        first += rows[s];
        if (first == samples - (dropped ? dropped[epoch] : 0)) first = 0, epoch++;
    }
    CHECK_INT(epoch, epochs);
    CHECK_INT(r.seen.seen, all);
    CHECK(same_weights(l.net, by_hand.net)); /* Adam's state and step count go on */
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
    nn_net_destroy(by_hand.net);
}

static void batch_size_from_callbacks(void)
{
    static const size_t grows[] = {4, 4, 7, 3, 7, 7, 4, 7, 7, 4};
    static const size_t shrinks[] = {9, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    static const size_t whole[] = {5, 5, 8, 18}, twice[] = {5, 13, 13, 5}, full[] = {5, 5, 6, 16};
    static const size_t ones[19] = {17, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const size_t later[] = {5, 5, 5, 7, 7}, none[] = {0, 0}, one[] = {1, 0}, two[] = {1, 2};
    resizing r;
    memset(&r, 0, sizeof r);
    r.count = 1, r.step[0] = 2, r.size[0] = 7; /* in the middle of an epoch */
    check_resizing(r, 18, 4, 3, 10, grows, NULL);
    r.step[0] = 1, r.size[0] = 2;
    check_resizing(r, 18, 9, 2, 15, shrinks, NULL);
    r.step[0] = 2, r.size[0] = 18; /* more than is left of the epoch */
    check_resizing(r, 18, 5, 2, 4, whole, NULL);
    r.count = 2, r.step[0] = 1, r.size[0] = 3, r.step[1] = 1, r.size[1] = 13; /* the last counts */
    check_resizing(r, 18, 5, 2, 4, twice, NULL);
    r.count = 1, r.step[0] = 3, r.size[0] = 7; /* at the end of an epoch of which 1 is left out */
    check_resizing(r, 16, 5, 2, 5, later, two);
    r.step[0] = 1, r.size[0] = 1; /* which stays out, though it would now be a batch */
    check_resizing(r, 18, 17, 2, 19, ones, one);
    r.step[0] = 2, r.size[0] = 16; /* a rest that is less than the new size is used */
    check_resizing(r, 16, 5, 2, 4, full, none);
    r.at_checks = 1, r.step[0] = 3, r.size[0] = 7; /* a check at the end of an epoch */
    check_resizing(r, 16, 5, 2, 5, later, two);
}

/* A step of a trainer of one's own, and what a check says. */
static void batch_size_between_steps(void)
{
    static const size_t sizes[] = {3, 3, 20, 20, 1, 64, 5};
    line l;
    nn_dataset data;
    nn_trainer *t, *other;
    nn_history history;
    nn_train_desc d = make(4, 6, 0.01);
    d.check_every = 1;
    memset(&history, 0, sizeof history);
    build_line(&l);
    ramp(&data, 64);
    CHECK_OK(nn_trainer_create(l.loss, &data, &d, &history, &t));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        if (i) CHECK_OK(nn_change_batch_size(l.net, sizes[i]));
        else CHECK_OK(nn_change_batch_size(l.net, 3));
        CHECK_OK(nn_trainer_step(t));
        CHECK_INT(history.checks[i].batch_size, sizes[i]);
    }
    CHECK_INT(l.in->shape[0], 5);
    CHECK_INT(history.checks[5].epoch, 0); /* 3 + 3 + 20 + 20 + 1, then the rest, 17, of 64 */
    CHECK_INT(history.checks[6].epoch, 1);
    CHECK_OK(nn_trainer_create(l.loss, &data, &d, NULL, &other));
    CHECK_OK(nn_change_batch_size(l.net, 2)); /* the other one's */
    CHECK_OK(nn_trainer_step(t));
    CHECK_INT(l.in->shape[0], 5);
    CHECK_OK(nn_change_batch_size(l.net, 4)); /* this one's, which has taken the last step */
    CHECK_OK(nn_trainer_step(other));
    CHECK_INT(l.in->shape[0], 2);
    nn_trainer_destroy(other);
    CHECK_ERROR(nn_change_batch_size(l.net, 4), NN_ERROR_BAD_ARGUMENT, "is not being trained", "");
    CHECK_OK(nn_trainer_step(t));
    CHECK_INT(l.in->shape[0], 4);
    nn_trainer_destroy(t);
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void batch_size_errors(void)
{
    static const size_t bad[] = {0, 19, SIZE_MAX};
    line l;
    nn_dataset data;
    nn_trainer *t;
    nn_train_desc d = make(1, 6, 0.01);
    build_line(&l);
    ramp(&data, 18);
    CHECK_ERROR(nn_change_batch_size(NULL, 1), NN_ERROR_BAD_ARGUMENT,
                "nn_change_batch_size: the network is NULL", "");
    CHECK_ERROR(nn_change_batch_size(l.net, 1), NN_ERROR_BAD_ARGUMENT,
                "nn_change_batch_size: the network is not being trained", "");
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_ERROR(nn_change_batch_size(l.net, 1), NN_ERROR_BAD_ARGUMENT, "not being trained", "");
    CHECK_OK(nn_trainer_create(l.loss, &data, &d, NULL, &t));
    for (size_t i = 0; i < COUNT(bad); i++) {
        char found[64];
        snprintf(found, sizeof found, "batch_size is %llu, expected 1 to 18",
                 (unsigned long long)bad[i]);
        CHECK_ERROR(nn_change_batch_size(l.net, bad[i]), NN_ERROR_BAD_ARGUMENT,
                    "nn_change_batch_size", found);
        CHECK_OK(nn_trainer_step(t));
        CHECK_INT(l.in->shape[0], 6);
    }
    CHECK(nn_trainer_is_done(t));
    CHECK_ERROR(nn_change_batch_size(l.net, 1), NN_ERROR_BAD_ARGUMENT, "not being trained", "");
    nn_trainer_destroy(t);
    d.epochs = 0; /* a trainer that was never made leaves the one that is there */
    nn_train_desc good = make(2, 9, 0.01);
    CHECK_OK(nn_trainer_create(l.loss, &data, &good, NULL, &t));
    nn_trainer *none;
    CHECK_ERROR(nn_trainer_create(l.loss, &data, &d, NULL, &none), NN_ERROR_BAD_ARGUMENT, "epochs",
                "");
    CHECK_OK(nn_change_batch_size(l.net, 1));
    nn_trainer_destroy(t);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* Two epochs of 32 samples in batches of 4, then of 8, 16, 2 or 32: a schedule that nn_train has
   given its length has the rates of a run that had the later size from the start. */
static void batch_size_and_schedules(void)
{
    static const size_t sizes[] = {8, 16, 2, 32, 4};
    for (int kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            const size_t per_epoch = 32 / sizes[i];
            line l, other;
            resizing r;
            nn_dataset data;
            nn_history history, straight;
            nn_train_desc d = make(4, 4, 0.01);
            memset(&r, 0, sizeof r);
            memset(&history, 0, sizeof history);
            memset(&straight, 0, sizeof straight);
            build_line(&l);
            build_line(&other);
            ramp(&data, 32);
            d.check_every = 1;
            d.optimizer.schedule.kind = kind ? NN_SCHEDULE_ONE_CYCLE : NN_SCHEDULE_COSINE;
            d.optimizer.schedule.final_rate = 0.001;
            r.count = 1, r.step[0] = 16, r.size[0] = sizes[i], r.at_checks = 1;
            resize(&d, &r, NULL);
            CHECK_OK(nn_train(l.loss, &data, &d, &history));
            CHECK_INT(history.check_count, 16 + 2 * per_epoch);
            d.on_step = NULL, d.on_check = NULL;
            d.batch_size = sizes[i];
            CHECK_OK(nn_train(other.loss, &data, &d, &straight));
            CHECK_INT(straight.check_count, 4 * per_epoch);
            for (size_t s = 0; s < 2 * per_epoch && !kind; s++)
                CHECK(history.checks[16 + s].learning_rate ==
                      straight.checks[2 * per_epoch + s].learning_rate);
            const double total = 4 * (double)per_epoch; /* the peak was at step 9 of 32 */
            const double period = floor(9 * total / 32 + 0.5);
            for (size_t s = 0; s < 2 * per_epoch && kind; s++)
                CHECK_NEAR(history.checks[16 + s].learning_rate,
                           0.001 + 0.009 * (total / 2 - (double)s) / (total - period), 1e-15);
            nn_history_free(&history);
            nn_history_free(&straight);
            nn_dataset_free(&data);
            nn_net_destroy(l.net);
            nn_net_destroy(other.net);
        }
}

/* The rates of a run of 4 epochs of 32 samples whose size becomes 8 after `step` of 4: as desc says,
   from steps. */
static void rates_of(const nn_schedule *s, size_t step, size_t steps, double *rate)
{
    line l;
    resizing r;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(4, 4, 0.01);
    memset(&r, 0, sizeof r);
    memset(&history, 0, sizeof history);
    build_line(&l);
    ramp(&data, 32);
    d.check_every = 1, d.optimizer.schedule = *s;
    r.count = 1, r.step[0] = step, r.size[0] = 8;
    resize(&d, &r, NULL);
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_INT(history.check_count, steps);
    for (size_t i = 0; i < steps && i < history.check_count; i++)
        rate[i] = history.checks[i].learning_rate;
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void numbers_of_steps_stay(void)
{
    double rate[32];
    nn_optimizer_desc o = nn_sgd(0.01, 0);
    nn_schedule *s = &o.schedule;
    s->kind = NN_SCHEDULE_STEP_DECAY, s->period = 7; /* a period is in steps, */
    rates_of(s, 12, 22, rate);
    for (size_t i = 0; i < 22; i++) CHECK(rate[i] == nn_learning_rate(&o, i));
    memset(s, 0, sizeof *s);
    s->kind = NN_SCHEDULE_COSINE, s->total = 50; /* and so is a total that was given */
    rates_of(s, 12, 22, rate);
    for (size_t i = 0; i < 22; i++) CHECK(rate[i] == nn_learning_rate(&o, i));
    s->total = 0, s->warm_up = 10; /* in the warm-up: 4 + 6 of it, then all that is left */
    rates_of(s, 4, 18, rate);
    s->total = 8;
    for (size_t i = 0; i < 18; i++) CHECK(rate[i] == nn_learning_rate(&o, i));
    s->total = 0; /* 10 + 6 of 22 done, 8 left, which are the last 16 */
    rates_of(s, 16, 24, rate);
    s->total = 11;
    for (size_t i = 16; i < 24; i++) CHECK(rate[i] == nn_learning_rate(&o, i - 3));
    s->total = 0, s->warm_up = 17; /* the run ends in its warm-up */
    rates_of(s, 1, 17, rate);
    for (size_t i = 0; i < 17; i++) CHECK_NEAR(rate[i], 0.01 * (double)(i + 1) / 17, 1e-17);
    memset(s, 0, sizeof *s);
    s->kind = NN_SCHEDULE_ONE_CYCLE, s->period = 20; /* the peak is as far away in samples */
    rates_of(s, 10, 21, rate);
    for (size_t i = 0; i < 10; i++) CHECK_NEAR(rate[i], 0.01 * (1 + 24 * (double)i / 20) / 25, 1e-17);
    for (size_t i = 10; i < 15; i++)
        CHECK_NEAR(rate[i], 0.01 * (1 + 24 * (double)(i - 5) / 10) / 25, 1e-17);
    for (size_t i = 15; i < 21; i++) CHECK_NEAR(rate[i], 0.01 * (double)(21 - i) / 6, 1e-17);
}

/* A schedule that a callback has put in place of the first keeps its length. */
static int replace_schedule(void *user, nn_net *net, size_t step, double loss)
{
    (void)user, (void)loss;
    nn_optimizer_desc o = *nn_net_optimizer(net);
    if (step == 4) {
        o.schedule.total = 100;
        CHECK_OK(nn_change_optimizer(net, &o));
        CHECK_OK(nn_change_batch_size(net, 8));
        CHECK_INT(nn_net_optimizer(net)->schedule.total, 100);
    }
    if (step == 0) {
        CHECK_OK(nn_change_batch_size(net, 16));
        CHECK_INT(nn_net_optimizer(net)->schedule.total, 8); /* 8 left, after what was 1 of 32 */
        CHECK_OK(nn_change_batch_size(net, 16));
        CHECK_INT(nn_net_optimizer(net)->schedule.total, 8);
        CHECK_OK(nn_change_batch_size(net, 4));
        CHECK_INT(nn_net_optimizer(net)->schedule.total, 31);
    }
    return 0;
}

static void schedule_replaced(void)
{
    line l;
    nn_dataset data;
    nn_train_desc d = make(4, 4, 0.01);
    build_line(&l);
    ramp(&data, 32);
    d.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    d.on_step = replace_schedule;
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_INT(nn_step_count(l.net), 5 + 2 + 12); /* 12 of 32 in two batches, three epochs of 4 */
    d.epochs = SIZE_MAX; /* a length that no change can scale */
    nn_trainer *t;
    d.on_step = NULL;
    CHECK_OK(nn_trainer_create(l.loss, &data, &d, NULL, &t));
    CHECK_OK(nn_trainer_step(t));
    CHECK_OK(nn_change_batch_size(l.net, 1));
    CHECK_OK(nn_trainer_step(t));
    CHECK_INT(l.in->shape[0], 1);
    nn_trainer_destroy(t);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* A momentum that begins does not undo what a plateau has done to the rate. */
static int begin_momentum(void *user, nn_net *net, const nn_check *check)
{
    (void)user;
    nn_optimizer_desc o = *nn_net_optimizer(net);
    o.momentum = 0.5;
    if (check->epoch == 3) CHECK_OK(nn_change_optimizer(net, &o));
    return 0;
}

static void momentum_keeps_reduction(void)
{
    line l;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(6, 9, 1e-30); /* never a lower loss */
    memset(&history, 0, sizeof history);
    build_line(&l);
    ramp(&data, 18);
    d.validation = &data, d.on_check = begin_momentum;
    d.optimizer.schedule.kind = NN_SCHEDULE_PLATEAU;
    d.optimizer.schedule.period = 2, d.optimizer.schedule.gamma = 0.5;
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_INT(history.check_count, 6);
    for (size_t i = 0; i < 6; i++)
        CHECK(history.checks[i].learning_rate == 1e-30 / (i < 3 ? 1 : i < 5 ? 2 : 4));
    nn_history_free(&history);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* checks_per_epoch is as often in an epoch as before; check_every is in steps. */
static void batch_size_and_checks(void)
{
    static const size_t often[] = {1, 5, 9, 13, 17, 19, 21, 23}, steps[] = {1, 5, 9, 13, 17, 21};
    for (int per_epoch = 0; per_epoch < 2; per_epoch++) {
        line l;
        resizing r;
        nn_dataset data;
        nn_train_desc d = make(4, 4, 0.01);
        memset(&r, 0, sizeof r);
        build_line(&l);
        ramp(&data, 32);
        if (per_epoch) d.checks_per_epoch = 2;
        else d.check_every = 4;
        d.validation = &data, d.restore_best = 1;
        r.count = 1, r.step[0] = 16, r.size[0] = 8;
        resize(&d, &r, NULL);
        CHECK_OK(nn_train(l.loss, &data, &d, NULL));
        CHECK_INT(r.seen.checks, per_epoch ? COUNT(often) : COUNT(steps));
        for (size_t i = 0; i < r.seen.checks; i++) {
            CHECK_INT(r.seen.check[i].step, per_epoch ? often[i] : steps[i]);
            CHECK_INT(r.seen.check[i].batch_size, r.seen.check[i].step <= 16 ? 4 : 8);
        }
        nn_dataset_free(&data);
        nn_net_destroy(l.net);
    }
}

/* What augmentation and balancing give a sample in an epoch does not depend on the batch sizes. */
static void batch_size_and_samples(void)
{
    static int labels[24];
    double seen[2][MAX_SEEN];
    size_t count[2] = {0, 0};
    nn_dataset few, even;
    for (size_t i = 0; i < COUNT(labels); i++) labels[i] = i % 4 == 0;
    for (int way = 0; way < 2; way++) {
        resizing r;
        nn_real x[24];
        nn_train_desc d = make(3, 6, 0.01);
        nn_net *net = new_net(3);
        nn_tensor *in = nn_input(net, 1);
        nn_tensor *loss = nn_sigmoid_cross_entropy(nn_dense(in, 1));
        memset(&r, 0, sizeof r);
        for (size_t i = 0; i < 24; i++) x[i] = (nn_real)i;
        CHECK_OK(nn_dataset_from_arrays(x, 24, 1, labels, 2, &few));
        CHECK_OK(nn_dataset_balance(&few, 1, &even));
        CHECK_INT(even.count, 36);
        d.augment.noise = 0.5;
        r.count = way ? 2 : 0, r.step[0] = 2, r.size[0] = 9, r.step[1] = 6, r.size[1] = 36;
        resize(&d, &r, in);
        CHECK_OK(nn_train(loss, &even, &d, NULL));
        count[way] = r.seen.seen;
        memcpy(seen[way], r.seen.x, sizeof seen[way]);
        nn_dataset_free(&even);
        nn_dataset_free(&few);
        nn_net_destroy(net);
    }
    CHECK_INT(count[0], 108);
    CHECK_INT(count[1], 108);
    for (size_t i = 0; i < 108; i++) CHECK(seen[0][i] == seen[1][i]);
}

/* A batch that grows takes the network's memory, and an end of it is an error that leaves the
   weights and what has been learned. */
static void batch_size_and_memory(void)
{
    static double block[9000];
    course s;
    nn_dataset data;
    nn_net_desc desc;
    nn_train_desc d = make(4, 4, 0.1);
    classifier c;
    nn_trainer *t;
    nn_real before[MAX_WEIGHTS], after[MAX_WEIGHTS];
    nn_result result;
    begin_course(&s);
    const size_t outside = outside_calls;
    CHECK_OK(nn_trainer_create(s.c.loss, &s.train, &d, NULL, &t));
    CHECK_OK(nn_trainer_step(t));
    CHECK_OK(nn_change_batch_size(s.c.net, s.train.count));
    const size_t calls = s.m.calls;
    CHECK_OK(nn_trainer_step(t));
    CHECK(s.m.calls > calls);
    CHECK_INT(outside_calls, outside);
    nn_trainer_destroy(t);
    end_course(&s);

    memset(&desc, 0, sizeof desc);
    desc.memory = block, desc.memory_size = 9000 * sizeof(nn_real);
    build_classifier_in(&c, nn_net_create(&desc), 0);
    blobs(&data, 0, 500);
    d.optimizer = nn_adam(0.1);
    CHECK_OK(nn_trainer_create(c.loss, &data, &d, NULL, &t));
    CHECK_OK(nn_trainer_step(t));
    const size_t n = weights_of(c.net, before);
    CHECK_OK(nn_change_batch_size(c.net, 500));
    CHECK_ERROR(nn_trainer_step(t), NN_ERROR_OUT_OF_MEMORY, "out of memory", "bytes");
    weights_of(c.net, after);
    CHECK(memcmp(before, after, n * sizeof *before) == 0);
    CHECK(nn_trainer_is_done(t));
    CHECK_ERROR(nn_change_batch_size(c.net, 4), NN_ERROR_BAD_ARGUMENT, "not being trained", "");
    nn_trainer_destroy(t);
    memset(&d.optimizer, 0, sizeof d.optimizer); /* a smaller one goes on with Adam's state */
    CHECK_OK(nn_train(c.loss, &data, &d, NULL));
    CHECK_INT(nn_step_count(c.net), 1 + 4 * 125);
    CHECK_OK(nn_evaluate(c.loss, &data, &result));
    CHECK(result.accuracy > 0.9);
    nn_dataset_free(&data);
    nn_net_destroy(c.net);
}

/* What is in force can be read, with defaults, and given back as it is. */
static void optimizer_in_force(void)
{
    line l;
    nn_dataset data;
    nn_train_desc d = make(3, 4, 0.1);
    build_line(&l);
    ramp(&data, 18);
    for (int kind = NN_OPTIMIZER_SGD; kind < (int)NN_OPTIMIZER_COUNT; kind++) {
        nn_optimizer_desc o = nn_sgd(0.125, 0);
        o.kind = (nn_optimizer_kind)kind;
        if (kind == NN_OPTIMIZER_ADAM) o.beta1 = NN_ZERO;
        CHECK_OK(nn_set_optimizer(l.net, &o));
        o = *nn_net_optimizer(l.net);
        const int is_adam = kind == NN_OPTIMIZER_ADAM || kind == NN_OPTIMIZER_ADAMW;
        CHECK(o.learning_rate == 0.125 && o.momentum == 0);
        CHECK(o.beta1 == (kind == NN_OPTIMIZER_ADAM ? NN_ZERO : is_adam ? 0.9 : 0));
        CHECK(o.beta2 == (is_adam ? 0.999 : 0));
        CHECK(o.rho == (kind == NN_OPTIMIZER_RMSPROP ? 0.99 : 0));
        CHECK(kind == NN_OPTIMIZER_SGD ? o.epsilon == 0 : o.epsilon > 0);
        CHECK(o.schedule.gamma == 0);
        CHECK_OK(nn_change_optimizer(l.net, &o));
        CHECK_OK(nn_change_optimizer(l.net, nn_net_optimizer(l.net)));
        CHECK(memcmp(nn_net_optimizer(l.net), &o, sizeof o) == 0);
    }
    d.optimizer.schedule.kind = NN_SCHEDULE_ONE_CYCLE;
    d.optimizer.schedule.warm_up = 2;
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_INT(nn_net_optimizer(l.net)->schedule.total, 13);
    CHECK_INT(nn_net_optimizer(l.net)->schedule.period, 3);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void one_cycle(void)
{
    nn_optimizer_desc d = nn_sgd(0.5, 0);
    d.schedule.kind = NN_SCHEDULE_ONE_CYCLE;
    d.schedule.total = 10;
    d.schedule.period = 4;
    d.schedule.final_rate = 0.02;
    static const double expected[] = {0.02, 0.14, 0.26, 0.38, 0.5, 0.42, 0.34, 0.26,
                                      0.18, 0.1,  0.02, 0.02};
    for (size_t t = 0; t < COUNT(expected); t++)
        CHECK_NEAR(nn_learning_rate(&d, t), expected[t], 1e-15);
    CHECK(nn_learning_rate(&d, SIZE_MAX) == 0.02);
    d.schedule.period = 0; /* 0.3 of the total */
    CHECK(nn_learning_rate(&d, 2) < 0.5 && nn_learning_rate(&d, 3) == 0.5);
    d.schedule.period = 10;
    CHECK_NEAR(nn_learning_rate(&d, 5), 0.26, 1e-15);
    CHECK(nn_learning_rate(&d, 10) == 0.02);
    d.schedule.period = d.schedule.total = 1;
    CHECK(nn_learning_rate(&d, 0) == 0.02 && nn_learning_rate(&d, 1) == 0.02);
    d.schedule.period = 2;
    CHECK(is_none(nn_learning_rate(&d, 0)));
    CHECK(strstr(nn_last_error(), "schedule.period is 2, expected at most 1") != NULL);
    d.schedule.total = d.schedule.period = 0;
    CHECK(is_none(nn_learning_rate(&d, 0)));
    CHECK(strstr(nn_last_error(), "schedule.total is 0, expected at least 1") != NULL);
    d.schedule.total = 1, d.schedule.gamma = 0.5;
    CHECK(is_none(nn_learning_rate(&d, 0)));
    CHECK(strstr(nn_last_error(), "schedule.gamma is set") != NULL);
}

/* The rate falls with t; at step *user it is no rate. */
static double falling(void *user, size_t t)
{
    return user && *(size_t *)user == t ? -1 : 0.5 / (double)(t + 1);
}

static void custom_schedule(void)
{
    line l;
    record r;
    nn_dataset data;
    size_t wrong_step = 5;
    nn_train_desc d = make(2, 4, 0.1);
    build_line(&l);
    ramp(&data, 18);
    d.check_every = 1;
    d.optimizer.schedule.kind = NN_SCHEDULE_CUSTOM;
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "schedule.rate is NULL, expected a function", "");
    d.optimizer.schedule.rate = falling;
    d.optimizer.schedule.warm_up = 1;
    observe(&d, &r);
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_INT(r.checks, 10);
    CHECK(r.check[0].learning_rate == 0.1);
    for (size_t i = 1; i < r.checks; i++) CHECK(r.check[i].learning_rate == 0.5 / (double)i);
    CHECK(nn_learning_rate(&d.optimizer, 4) == 0.125);
    d.optimizer.schedule.user = &wrong_step;
    observe(&d, &r);
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_step: schedule.rate gave -1 for step 6", "");
    CHECK_INT(nn_step_count(l.net), 6);
    d.optimizer.schedule.kind = NN_SCHEDULE_CONSTANT;
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: schedule.rate is set", "");
    d.optimizer.schedule.rate = NULL;
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: schedule.user is set", "");
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

/* y = w x with x = 0 is never better than at the first check: every second one reduces the rate. */
static void plateau(void)
{
    static const nn_real zero[4] = {0};
    static const double expected[] = {0.125, 0.125, 0.125, 0.0625, 0.0625, 0.05, 0.05, 0.05};
    line l;
    record r;
    nn_dataset data;
    nn_history history;
    nn_train_desc d = make(2, 1, 0.125);
    build_line(&l);
    CHECK_OK(nn_dataset_from_arrays(zero, 4, 1, NULL, 0, &data));
    CHECK_OK(nn_dataset_set_targets(&data, zero, 1));
    d.optimizer.schedule.kind = NN_SCHEDULE_PLATEAU;
    d.optimizer.schedule.period = 2;
    d.optimizer.schedule.gamma = 0.5;
    d.optimizer.schedule.final_rate = 0.05;
    d.check_every = 1;
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: NN_SCHEDULE_PLATEAU needs a validation set", "");
    CHECK(nn_net_optimizer(l.net) == NULL);
    CHECK_ERROR(nn_set_optimizer(l.net, &d.optimizer), NN_ERROR_BAD_ARGUMENT,
                "nn_set_optimizer: schedule.kind is NN_SCHEDULE_PLATEAU", "nn_change_optimizer");
    d.validation = &data;
    observe(&d, &r);
    CHECK_OK(nn_train(l.loss, &data, &d, NULL));
    CHECK_INT(r.checks, 8);
    for (size_t i = 0; i < r.checks; i++) CHECK_NEAR(r.check[i].learning_rate, expected[i], 1e-16);
    CHECK(nn_learning_rate(&d.optimizer, 7) == 0.125);
    memset(&d.optimizer, 0, sizeof d.optimizer); /* goes on where it was */
    d.on_step = NULL, d.on_check = NULL;
    memset(&history, 0, sizeof history);
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK_NEAR(history.checks[0].learning_rate, 0.05, 1e-16);
    nn_history_free(&history);
    d.validation = NULL;
    CHECK_ERROR(nn_train(l.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT,
                "nn_train: NN_SCHEDULE_PLATEAU needs a validation set", "");
    nn_optimizer_desc o = nn_sgd(0.25, 0); /* another schedule: the reduction is over */
    CHECK_OK(nn_change_optimizer(l.net, &o));
    CHECK_OK(nn_train(l.loss, &data, &d, &history));
    CHECK(history.checks[0].learning_rate == 0.25);
    nn_history_free(&history);
    o.schedule.kind = NN_SCHEDULE_PLATEAU;
    CHECK(is_none(nn_learning_rate(&o, 0)));
    CHECK(strstr(nn_last_error(), "schedule.period is 0, expected at least 1") != NULL);
    nn_dataset_free(&data);
    nn_net_destroy(l.net);
}

static void run_additions(void)
{
    RUN(trainer_in_steps);
    RUN(trainer_destroyed_half_way);
    RUN(trainer_errors);
    RUN(restores_beside_new_parameters);
    RUN(memory_of_training);
    RUN(training_out_of_memory);
    RUN(last_weights_not_finite);
    RUN(error_of_an_accuracy);
    RUN(no_labels_no_accuracy);
    RUN(epoch_means);
    if (has_terminals()) RUN(progress_on_terminal);
    else SKIP(progress_on_terminal, "there are no pseudo-terminals");
    RUN(chunks_are_one_batch);
    RUN(class_of_one_column);
    RUN(class_of_columns);
    RUN(class_of_targets);
    RUN(nan_is_wrong);
    RUN(predicts_rows);
    RUN(failed_set_says_why);
    RUN(target_ranges);
    RUN(normalisations_meet);
    RUN(classes_meet);
    RUN(shapes_meet);
    RUN(sets_that_may_differ);
    RUN(labels_or_targets);
    RUN(answers_that_a_kind_does_not_take);
    RUN(rate_of_scaled_parameters);
    RUN(change_keeps_state);
    RUN(change_momentum_and_decay);
    RUN(change_errors);
    RUN(momentum_keeps_reduction);
    RUN(batch_size_from_callbacks);
    RUN(batch_size_between_steps);
    RUN(batch_size_errors);
    RUN(batch_size_and_schedules);
    RUN(numbers_of_steps_stay);
    RUN(schedule_replaced);
    RUN(batch_size_and_checks);
    RUN(batch_size_and_samples);
    RUN(batch_size_and_memory);
    RUN(optimizer_in_force);
    RUN(one_cycle);
    RUN(custom_schedule);
    RUN(plateau);
}

static void run_training(void)
{
    RUN(learns_blobs);
    RUN(learns_xor);
    RUN(learns_line);
    RUN(frozen_stays);
    RUN(number_of_steps);
    RUN(order_of_samples);
    RUN(batches_by_hand);
    RUN(labels_follow_samples);
    RUN(when_to_check);
    RUN(check_contents);
    RUN(check_accuracy);
    RUN(check_learning_rate);
    RUN(patience);
    RUN(stopped_in_epoch);
    RUN(callbacks_stop);
    RUN(restores_every_bit);
}

static void run_reports(void)
{
    RUN(history_of_runs);
    RUN(history_csv);
    RUN(history_csv_errors);
    if (set_comma_locale()) RUN(history_csv_in_comma_locale);
    else SKIP(history_csv_in_comma_locale, "no locale with a decimal comma is installed");
    setlocale(LC_ALL, "C");
    RUN(progress_text);
    RUN(metric_of_targets);
    RUN(metric_of_labels);
    RUN(seeds);
    RUN(two_stages);
}

int main(void)
{
    fill_blobs();
    run_training();
    run_reports();
    run_additions();
    RUN(bad_descs);
    RUN(optimizer_to_keep);
    RUN(history_of_refused_run);
    RUN(data_that_does_not_fit);
    RUN(targets_that_do_not_fit);
    RUN(networks_that_do_not_fit);
    RUN(loss_not_finite);
    RUN(rate_too_high);
    RUN(evaluates);
    RUN(evaluates_with_penalty);
    RUN(evaluates_one_column);
    RUN(evaluates_targets);
    RUN(accuracy_beside_targets);
    RUN(evaluates_bytes);
    RUN(predicts);
    RUN(confusion);
    RUN(dropout_is_off);
    RUN(own_answer_after_training);
    RUN(views);
    RUN(trains_on_split_targets);
    RUN(null_arguments);
    return test_done("test_train");
}
