/* DD2424 assignment 1, bonus: the linear layer on all of CIFAR-10's training images, with flips and
   a rate that falls; then on batch 1 with other losses: sigmoids with binary cross-entropies, and
   the multi-class SVM's hinge.

   cc -O2 examples/dd2424_a1_bonus.c -lm -o bonus && ./bonus [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

#define SOFTMAX NN_LOSS_SOFTMAX_CROSS_ENTROPY
#define BCE NN_LOSS_SIGMOID_CROSS_ENTROPY
#define SVM NN_LOSS_HINGE

enum { ALL, PLAIN, SIGMOID, HINGE, RUNS = HINGE + 4, BINS = 10 };

static const struct run {
    const char *report, *task, *label;
    int all; /* 49,000 images, flipped with probability 1/2, eta * 0.1 after every 15 epochs */
    nn_loss_kind loss;
    double lambda, eta, reported;
    const char *note;
} runs[RUNS] = {
    {"public", "data", "49,000 images, flips, decay", 1, SOFTMAX, 0.01, 0.001, 41.25, NULL},
    {"R5", "BCE", "softmax, λ 0, η 0.001", 0, SOFTMAX, 0, 0.001, 39.08, "its experiment 2"},
    {"public", "BCE", "BCE, λ 0, η 0.01", 0, BCE, 0, 0.01, 38.3, "another report: 37.3"},
    {"course", "SVM", "SVM, λ 0, η 0.1", 0, SVM, 0, 0.1, NAN, NULL},
    {"course", "SVM", "SVM, λ 0, η 0.001", 0, SVM, 0, 0.001, NAN, NULL},
    {"course", "SVM", "SVM, λ 0.1, η 0.001", 0, SVM, 0.1, 0.001, NAN, NULL},
    {"course", "SVM", "SVM, λ 1, η 0.001", 0, SVM, 1, 0.001, NAN, NULL}};

static nn_tensor *linear(uint64_t seed, const void *settings)
{
    const struct run *of = (const struct run *)settings;
    nn_net *net = nn_net_create(&(nn_net_desc){.seed = seed});
    const nn_init normal = nn_init_normal(0, 0.01);
    nn_dense_desc dense = {.units = CLASSES, .weight = normal, .bias = normal};
    nn_tensor *scores = nn_dense_with(nn_input(net, PIXELS), &dense);
    nn_loss_desc loss = {0}; /* the data has labels and targets */
    if (of->loss == SOFTMAX) loss.answers = NN_ANSWERS_LABELS;
    return nn_weight_penalty(nn_loss(scores, of->loss, &loss), 0, of->lambda);
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
    assignment_row(a, of->report, of->task, assignment_text("%s: test accuracy, %%", of->label),
                   of->reported, &run->test.accuracy, of->note);
    assignment_row(a, "course", of->task, assignment_text("%s: training cost", of->label), NAN,
                   &run->train.loss, NULL);
    assignment_row(a, "course", of->task, assignment_text("%s: training accuracy, %%", of->label),
                   NAN, &run->train.accuracy, NULL);
    assignment_row(a, "course", of->task, assignment_text("%s: validation accuracy, %%", of->label),
                   NAN, &run->validation.accuracy, NULL);
    return run;
}

/* How many test images, in %, are given a probability for their own class in each tenth from 0 to
   1: of those whose class is predicted rightly, and of the others. */
static void histogram(const assignment *a, const assignment_run *run, nn_loss_kind loss,
                      double share[2][BINS])
{
    const size_t count = a->test.count;
    nn_real *p = (nn_real *)assignment_new(count * CLASSES, sizeof *p);
    TRY(nn_predict(run->loss->src[0]->src[0], &a->test, p));
    if (loss == BCE) nn_vec_activate(NN_ACTIVATION_SIGMOID, 0, count * CLASSES, p, p);
    else nn_mat_softmax(count, CLASSES, p, p);
    for (size_t i = 0; i < count; i++) {
        const int label = a->test.labels[i];
        const int bin = (int)(BINS * (double)p[i * CLASSES + (size_t)label]);
        int guess;
        nn_mat_argmax(1, CLASSES, p + i * CLASSES, &guess);
        share[guess != label][bin < BINS ? bin : BINS - 1] += 100.0 / (double)count;
    }
    free(p);
}

static void draw_probabilities(assignment *a, assignment_run *const *run)
{
    static const char *const names[] = {"softmax, right", "softmax, wrong", "sigmoids, right",
                                        "sigmoids, wrong"};
    static double share[2][2][BINS], middle[BINS];
    chart_series curve[4];
    for (int i = 0; i < BINS; i++) middle[i] = (i + 0.5) / BINS;
    for (int k = 0; k < 2; k++) histogram(a, run[PLAIN + k], runs[PLAIN + k].loss, share[k]);
    for (int i = 0; i < 4; i++) {
        curve[i] = chart_curve(names[i], BINS, chart_doubles(middle, 0),
                               chart_doubles(share[i / 2][i % 2], 0));
        curve[i].color = (chart_color)(CHART_BLUE + i / 2);
        curve[i].dash = i % 2 ? CHART_DASHED : CHART_SOLID;
    }
    chart_desc d = {.title = "Probability of the right class", .x_label = "probability",
                    .y_label = "test images in each tenth, %", .series = curve, .series_count = 4};
    assignment_chart(a, chart_line, &d, "dd2424_a1_bonus_probability.png", "BCE",
                     "What test images get for their own class, those that are classified rightly "
                     "and those that are not. Softmax's ten numbers add up to 1, those of sigmoids "
                     "need not.");
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a1_bonus", "a linear layer: all data, other losses");
    nn_real *all = (nn_real *)assignment_new(50000 * CLASSES, sizeof *all);
    nn_real *test = (nn_real *)assignment_new(10000 * CLASSES, sizeof *test);
    assignment_run *run[RUNS];
    chart_series curve[4];
    dd2424_data(&a, 49000, 1000);
    run[ALL] = train(&a, &runs[ALL]);
    set_targets(&a.all, all);
    set_targets(&a.test, test);
    dd2424_data(&a, 10000, 10000);
    for (int i = PLAIN; i < RUNS; i++) run[i] = train(&a, &runs[i]);
    assignment_accuracies(&a, run[ALL], "49,000 images, flips, decay", 0, 0,
                          "dd2424_a1_bonus_accuracy.png", "data",
                          "At the end of each epoch, of the training images as their batches found "
                          "them. When the rate falls, after 15 and 30 epochs, the steps no longer "
                          "jump about the minimum.");
    draw_probabilities(&a, run);
    for (int i = 0; i < 4; i++) {
        const assignment_run *r = run[HINGE + i];
        curve[i] = assignment_curve(runs[HINGE + i].label, r,
                                    &r->history.checks->validation_accuracy);
    }
    assignment_curves(&a, curve, 4, "The multi-class SVM's loss", "validation accuracy", 0, 0,
                      "dd2424_a1_bonus_svm.png", "SVM",
                      assignment_text("With η 0.1 the steps are too long: %.1f %% of the test set. "
                                      "With η 0.001 it is %.1f, %.1f and %.1f %% for λ 0, 0.1 and "
                                      "1.", run[HINGE]->test.accuracy,
                                      run[HINGE + 1]->test.accuracy, run[HINGE + 2]->test.accuracy,
                                      run[HINGE + 3]->test.accuracy));
    int status = assignment_finish(&a);
    free(all);
    free(test);
    return status;
}
