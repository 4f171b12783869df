/* Section >>api-train: training step by step, checks, early stopping, histories, evaluation. */
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

static void build_classifier(classifier *c, uint64_t seed, double dropout)
{
    c->net = new_net(seed);
    c->in = nn_input(c->net, FEATURES);
    c->first = nn_dense(c->in, HIDDEN);
    nn_tensor *hidden = nn_tanh(c->first);
    if (dropout > 0) hidden = nn_dropout(hidden, dropout);
    c->second = nn_dense(hidden, CLASSES);
    c->loss = nn_softmax_cross_entropy(c->second);
    CHECK_OK(nn_net_status(c->net));
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
           same(a->learning_rate, b->learning_rate) && same(a->seconds, b->seconds);
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
    history->checks = checks;
    history->check_count = history->check_capacity = 2;
}

#define CSV_HEADER                                                                                 \
    "step,epoch,train_loss,train_accuracy,batch_loss,batch_accuracy,validation_loss,"              \
    "validation_accuracy,learning_rate,seconds\n"

static void history_csv(void)
{
    static const char *path = TEST_TMP "/history.csv";
    char text[1000];
    double v[8];
    unsigned long step, epoch;
    int used = 0;
    nn_history history;
    nn_check checks[2];
    sample_history(&history, checks);
    CHECK_OK(nn_history_write_csv(&history, path));
    read_file(path, text, sizeof text);
    static const char *const first = CSV_HEADER "1,0,0.5,0.25,0.75,0.5,1.5,0.75,0.125,2\n";
    CHECK(strncmp(text, first, strlen(first)) == 0);
    const char *second = strstr(text, "\n123456789,");
    CHECK(second != NULL);
    if (!second) return;
    CHECK_INT(sscanf(second, "%lu,%lu,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf%n", &step, &epoch, &v[0],
                     &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &used), 10);
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
    CHECK_ERROR(nn_train(c.loss, &data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "nn_train: optimizer.kind",
                "none has been set");
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
    nn_dataset_free(&wide);
    nn_dataset_free(&many);
    nn_dataset_free(&bare);
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
    CHECK_ERROR(nn_train(l.loss, &data, &d, &history), NN_ERROR_NOT_FINITE, "step 3", "slope");
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

/* Training uses dropout whatever the state was; what is fed and run after it gives the network's own
   answer, the one that nn_predict gives. */
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
