/* DD2424 assignment 1, bonus: the linear layer on all of CIFAR-10's training images, with flips and a
   rate that falls; then on batch 1 with other losses: sigmoids with binary cross-entropies, and the
   multi-class SVM's hinge.

   cc -O2 examples/dd2424_a1_bonus.c -lm -o bonus && ./bonus [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

enum { SOFTMAX = NN_LOSS_SOFTMAX_CROSS_ENTROPY, BCE = NN_LOSS_SIGMOID_CROSS_ENTROPY,
       SVM = NN_LOSS_HINGE };

static const struct run {
    const char *report, *task, *label;
    int all; /* 49,000 images, flipped with probability 1/2, eta * 0.1 after every 15 epochs */
    nn_loss_kind loss;
    double lambda, eta, reported;
    const char *note;
} runs[] = {
    {"public", "bonus data", "49,000 images, flips, decay", 1, SOFTMAX, 0.01, 0.001, 41.25, NULL},
    {"public", "bonus BCE", "BCE, λ 0, η 0.01", 0, BCE, 0, 0.01, 38.3, "another report: 37.3"},
    {"course", "bonus SVM", "SVM, λ 0, η 0.1", 0, SVM, 0, 0.1, NAN, NULL},
    {"course", "bonus SVM", "SVM, λ 0, η 0.001", 0, SVM, 0, 0.001, NAN, NULL},
    {"course", "bonus SVM", "SVM, λ 0.1, η 0.001", 0, SVM, 0.1, 0.001, NAN, NULL},
    {"course", "bonus SVM", "SVM, λ 1, η 0.001", 0, SVM, 1, 0.001, NAN, NULL}};
enum { RUNS = sizeof runs / sizeof *runs };

static nn_tensor *linear(uint64_t seed, const void *settings)
{
    const struct run *of = (const struct run *)settings;
    nn_net *net = nn_net_create(&(nn_net_desc){.seed = seed});
    const nn_init normal = nn_init_normal(0, 0.01);
    nn_dense_desc dense = {.units = CLASSES, .weight = normal, .bias = normal};
    nn_tensor *scores = nn_dense_with(nn_input(net, PIXELS), &dense);
    return nn_weight_penalty(nn_loss(scores, of->loss, NULL), 0, of->lambda);
}

/* Binary cross-entropy takes ten targets of 0 and 1. */
static void set_targets(nn_dataset *data, nn_real *targets)
{
    TRY(nn_mat_one_hot(data->count, CLASSES, data->labels, targets));
    TRY(nn_dataset_set_targets(data, targets, CLASSES));
}

static assignment_run *train(assignment *a, const struct run *of)
{
    nn_train_desc desc = {.epochs = a->quick ? 1 : 40, .batch_size = BATCH,
                          .optimizer = nn_sgd(of->eta, 0), .validation = &a->validation};
    if (of->all) {
        desc.augment.flip = NN_FLIP_RANDOM;
        desc.optimizer.schedule.kind = NN_SCHEDULE_STEP_DECAY;
        desc.optimizer.schedule.period = 15 * (a->train.count / BATCH);
    } else desc.evaluate_training = 1;
    assignment_run *run = assignment_train(a, a->seeds, linear, of, &a->train, &desc);
    assignment_row(a, of->report, of->task, assignment_text("%s: training cost", of->label), NAN,
                   &run->train.loss, NULL);
    assignment_row(a, of->report, of->task, assignment_text("%s: test accuracy, %%", of->label),
                   of->reported, &run->test.accuracy, of->note);
    return run;
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a1_bonus", "a linear layer: all data, other losses");
    nn_real *all = (nn_real *)assignment_new(50000 * CLASSES, sizeof *all);
    nn_real *test = (nn_real *)assignment_new(10000 * CLASSES, sizeof *test);
    assignment_run *run[RUNS];
    dd2424_data(&a, 49000, 1000);
    run[0] = train(&a, &runs[0]);
    set_targets(&a.all, all);
    set_targets(&a.test, test);
    dd2424_data(&a, 10000, 10000);
    for (int i = 1; i < RUNS; i++) run[i] = train(&a, &runs[i]);
    int status = assignment_finish(&a);
    free(all);
    free(test);
    return status;
}
