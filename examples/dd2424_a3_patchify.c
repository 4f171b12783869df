/* DD2424 assignment 3, since 2025: a first layer that cuts images into patches, a convolution of
   f x f pixels with stride f, and two dense layers; longer and longer cycles of the learning rate,
   and labels that are smoothed.

   cc -O2 examples/dd2424_a3_patchify.c -lm -o patchify && ./patchify [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

typedef struct trial {
    const char *report, *task, *label;
    size_t f, filters, units, cycles;
    int doubling;     /* n_s: 800, 1600, ... from cycle to cycle; otherwise always 800 */
    double lambda, smoothing, reported;
    const char *note;
    assignment_run *run;
} trial;

enum { SHORT, LONG = 4, WIDE = 6, SMOOTHED, NETS };

static trial trials[NETS] = {
    {"public", "short", "f 2, n_f 3", 2, 3, 50, 3, 0, 0.003, 0, 51.5, NULL, NULL},
    {"course", "short", "f 4, n_f 10", 4, 10, 50, 3, 0, 0.003, 0, 57.61,
     "another report: 55.9", NULL},
    {"public", "short", "f 8, n_f 40", 8, 40, 50, 3, 0, 0.003, 0, 57.6, NULL, NULL},
    {"public", "short", "f 16, n_f 160", 16, 160, 50, 3, 0, 0.003, 0, 57.0, NULL, NULL},
    {"public", "long", "f 8, n_f 40, long", 8, 40, 50, 3, 1, 0.003, 0, 60.4, NULL, NULL},
    {"public", "long", "f 4, n_f 40, long", 4, 40, 50, 3, 1, 0.003, 0, 63.5, NULL, NULL},
    {"public", "wide", "n_h 300", 4, 40, 300, 4, 1, 0.0025, 0, 66.0,
     "the course's best: 67.26", NULL},
    {"course", "wide", "n_h 300, smoothed", 4, 40, 300, 4, 1, 0.0025, 0.1, NAN, NULL, NULL}};

static nn_tensor *patchify(uint64_t seed, const void *settings)
{
    const trial *t = (const trial *)settings;
    static const size_t image[] = {32, 32, 3};
    const nn_init he = nn_init_scaled(NN_INIT_HE_NORMAL);
    nn_conv_desc conv = {.filters = t->filters, .kernel = t->f, .stride = t->f, .weight = he,
                         .padding = NN_PADDING_VALID, .activation = NN_ACTIVATION_RELU};
    nn_dense_desc hidden = {.units = t->units, .activation = NN_ACTIVATION_RELU, .weight = he};
    nn_dense_desc last = {.units = CLASSES, .weight = he};
    /* the course gives the right class 1 - eps and each of the others eps / (K - 1); the library
       mixes with 1 / K for all of them, so that it takes K / (K - 1) as much */
    nn_loss_desc loss = {.label_smoothing = t->smoothing * CLASSES / (CLASSES - 1)};
    nn_tensor *x = nn_input_shape(nn_net_create(&(nn_net_desc){.seed = seed}), 3, image);
    x = nn_dense_with(nn_flatten(nn_conv2d_with(x, &conv)), &hidden);
    x = nn_loss(nn_dense_with(x, &last), NN_LOSS_SOFTMAX_CROSS_ENTROPY, &loss);
    return nn_weight_penalty(x, 0, t->lambda);
}

/* The step at which the cycle begins that step t belongs to, and its n_s. */
static size_t cycle_of(const trial *of, size_t t, size_t *n_s)
{
    size_t begin = 0;
    for (*n_s = 800; t - begin >= 2 * *n_s; *n_s *= of->doubling ? 2 : 1) begin += 2 * *n_s;
    return begin;
}

static double rate(void *of, size_t t)
{
    size_t n_s, at = t - cycle_of((const trial *)of, t, &n_s);
    double height = (double)(at < n_s ? at : 2 * n_s - at) / (double)n_s;
    return 1e-5 + height * (1e-1 - 1e-5);
}

static size_t steps(const trial *t)
{
    size_t sum = 0, n_s = 800;
    for (size_t i = 0; i < t->cycles; i++, n_s *= t->doubling ? 2 : 1) sum += 2 * n_s;
    return sum;
}

/* Cycles do not end with epochs. */
static int stop(void *of, nn_net *net, size_t step, double loss)
{
    (void)net, (void)loss;
    return step + 1 == steps((const trial *)of);
}

static void train(assignment *a, trial *t)
{
    const size_t per_epoch = a->train.count / BATCH;
    nn_train_desc desc = {.batch_size = BATCH, .optimizer = nn_sgd(1e-1, 0),
                          .validation = &a->test, .check_every = steps(t) / 24, .on_step = stop,
                          .user = t}; /* nothing is chosen by what the test set says */
    desc.epochs = a->quick ? 1 : (steps(t) + per_epoch - 1) / per_epoch;
    desc.optimizer.schedule.kind = NN_SCHEDULE_CUSTOM;
    desc.optimizer.schedule.rate = rate;
    desc.optimizer.schedule.user = t;
    t->run = assignment_train(a, a->seeds, patchify, t, &a->train, &desc);
    for (int i = 0; i < a->seeds; i++) {
        t->run[i].value[0] = (double)nn_net_parameter_count(t->run[i].loss->net);
        t->run[i].value[1] = t->run[i].history.seconds;
    }
    assignment_row(a, t->report, t->task, assignment_text("%s: test accuracy, %%", t->label),
                   t->reported, &t->run->test.accuracy, t->note);
    assignment_row(a, "course", t->task, assignment_text("%s: training accuracy, %%", t->label),
                   NAN, &t->run->train.accuracy, NULL);
    assignment_row(a, "course", t->task, assignment_text("%s: parameters", t->label), NAN,
                   &t->run->value[0], NULL);
    assignment_row(a, "course", t->task, assignment_text("%s: seconds", t->label), NAN,
                   &t->run->value[1], NULL);
}

/* The test accuracy of some nets while they are trained. */
static void draw(assignment *a, int first, int end, const char *title, const char *file,
                 const char *reading)
{
    chart_series curve[4];
    for (int i = first; i < end; i++) {
        const nn_check *c = trials[i].run->history.checks;
        curve[i - first] = assignment_curve(trials[i].label, trials[i].run,
                                            &c->validation_accuracy);
    }
    assignment_curves(a, curve, end - first, title, "test accuracy", 0, 0, file,
                      trials[first].task, reading);
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a3_patchify",
                     "patches, two dense layers, long cycles");
    dd2424_data(&a, 49000, 1000);
    for (int i = 0; i < NETS; i++) train(&a, &trials[i]);
    draw(&a, SHORT, LONG, "Three cycles, n_s = 800", "dd2424_a3_short.png",
         "Cycles end after 1,600, 3,200 and 4,800 steps, each at a peak. Three filters are too few; "
         "the other nets are alike, whatever the size of their patches.");
    draw(&a, LONG, WIDE, "Three cycles, n_s doubles from 800", "dd2424_a3_long.png",
         "Cycles end after 1,600, 4,800 and 11,200 steps, each higher than the one before it. "
         "Small patches, of which there are more, win.");
    draw(&a, WIDE, NETS, "300 hidden units, four cycles", "dd2424_a3_wide.png",
         assignment_text("Cycles end after 1,600, 4,800, 11,200 and 24,000 steps: %.2f %% with "
                         "labels as they are, %.2f %% with smoothed ones.",
                         trials[WIDE].run->test.accuracy, trials[SMOOTHED].run->test.accuracy));
    return assignment_finish(&a);
}
