/* DD2424 assignment 3, as it was until 2024: deeper nets on CIFAR-10, without and with batch
   normalisation, and how much either depends on the initial weights.

   cc -O2 examples/dd2424_a3_batch_norm.c -lm -o bn && ./bn [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

#define LAMBDA .lambda = 0.005
#define THREE .units = {50, 50}, LAMBDA
#define NINE .units = {50, 30, 20, 20, 10, 10, 10, 10}, LAMBDA
#define HE .weight = {.kind = NN_INIT_HE_NORMAL}
#define SIGMA(deviation) .weight = {.kind = NN_INIT_NORMAL, .b = deviation}

enum { THREE_PLAIN, THREE_BN, NINE_PLAIN, NINE_BN, SIGMAS, NETS = SIGMAS + 6 };

static struct trial {
    const char *task, *label, *note;
    dd2424_net net;
    assignment_run *run;
} trials[NETS] = {
    {"3 layers", "3 layers", "reported: 51.4 to 54.0", {THREE, HE}, NULL},
    {"3 layers", "3 layers, BN", "reported: 51.4 to 54.0", {THREE, HE, .batch_norm = 1}, NULL},
    {"9 layers", "9 layers", "one report: 42", {NINE, HE}, NULL},
    {"9 layers", "9 layers, BN", "one report: 51", {NINE, HE, .batch_norm = 1}, NULL},
    {"sigma", "σ 0.1", NULL, {THREE, SIGMA(1e-1)}, NULL},
    {"sigma", "σ 0.1, BN", NULL, {THREE, SIGMA(1e-1), .batch_norm = 1}, NULL},
    {"sigma", "σ 0.001", NULL, {THREE, SIGMA(1e-3)}, NULL},
    {"sigma", "σ 0.001, BN", NULL, {THREE, SIGMA(1e-3), .batch_norm = 1}, NULL},
    {"sigma", "σ 0.0001", NULL, {THREE, SIGMA(1e-4)}, NULL},
    {"sigma", "σ 0.0001, BN", NULL, {THREE, SIGMA(1e-4), .batch_norm = 1}, NULL}};

/* Nets without and with batch normalisation in turns, on the validation set. */
static void draw(assignment *a, int first, int count, int accuracy, const char *title,
                 const char *file, const char *reading)
{
    chart_series curve[6];
    for (int i = 0; i < count; i++) {
        const struct trial *t = &trials[first + i];
        const nn_check *c = t->run->history.checks;
        curve[i] = assignment_curve(t->label, t->run,
                                    accuracy ? &c->validation_accuracy : &c->validation_loss);
        curve[i].dash = i % 2 ? CHART_SOLID : CHART_DASHED;
        curve[i].color = (chart_color)(CHART_BLUE + i / 2);
    }
    assignment_curves(a, curve, count, title,
                      accuracy ? "validation accuracy" : "validation cost with its penalty", 0, 0,
                      file, trials[first].task, reading);
}

int main(int argc, char **argv)
{
    static double gain[ASSIGNMENT_SEEDS];
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a3_batch_norm", "3 and 9 layers, batch normalisation");
    dd2424_data(&a, 45000, 5000);
    const nn_train_desc desc = dd2424_cycles(&a, 2250, 2);
    for (int i = 0; i < NETS; i++) {
        struct trial *t = &trials[i];
        t->run = assignment_train(&a, a.seeds, dd2424_cost, &t->net, &a.train, &desc);
        assignment_row(&a, "public", t->task, assignment_text("%s: test accuracy, %%", t->label),
                       NAN, &t->run->test.accuracy, t->note);
        assignment_row(&a, "course", t->task, assignment_text("%s: training cost", t->label), NAN,
                       &t->run->train.loss, NULL);
        assignment_row(&a, "course", t->task,
                       assignment_text("%s: training accuracy, %%", t->label), NAN,
                       &t->run->train.accuracy, NULL);
        assignment_row(&a, "course", t->task,
                       assignment_text("%s: validation accuracy, %%", t->label), NAN,
                       &t->run->validation.accuracy, NULL);
    }
    for (int i = 0; i < a.seeds; i++)
        gain[i] = trials[NINE_BN].run[i].test.accuracy - trials[NINE_PLAIN].run[i].test.accuracy;
    assignment_result(&a, "public", "9 layers", "9 layers: gain by batch normalisation, points",
                      NAN, gain, a.seeds, "expected: at least 2");
    draw(&a, THREE_PLAIN, 4, 0, "Three and nine layers", "dd2424_a3_layers.png",
         "Batch normalisation lowers the cost of three layers a little, that of nine a lot. Both "
         "rise while the second cycle's rate is high.");
    draw(&a, SIGMAS, 6, 1, "Three layers, weights from N(0, σ)", "dd2424_a3_sigma.png",
         "Without batch normalisation σ 0.001 stands still for more than half of the training, σ "
         "0.0001 for all of it. With it all three learn alike.");
    return assignment_finish(&a);
}
