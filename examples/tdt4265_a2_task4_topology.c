/* TDT4265 assignment 2, task 4: fewer and more hidden units, more layers, and the time it takes.

   cc -O2 examples/tdt4265_a2_task4_topology.c -lm -o task4 && ./task4 [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a2.h"

enum {
    B32, B64, B128, /* with the settings of task 3b, */
    C32, C64, C128, /* and of 3c, as all below */
    TWO59, TWO32, TEN64, UNSTOPPED64, UNSTOPPED128, NETS
};

#define TASK_3B 1, NN_SCALED_TANH, 0.1, 0
#define TASK_3C 1, NN_SCALED_TANH, 0.02, 0.9

static const a2_net nets[NETS] = {
    {"32 units, 3b", 1, 32, TASK_3B, 50, 0},     {"64 units, 3b", 1, 64, TASK_3B, 50, 0},
    {"128 units, 3b", 1, 128, TASK_3B, 50, 0},   {"32 units, 3c", 1, 32, TASK_3C, 50, 0},
    {"64 units, 3c", 1, 64, TASK_3C, 50, 0},     {"128 units, 3c", 1, 128, TASK_3C, 50, 0},
    {"2 layers of 59", 2, 59, TASK_3C, 50, 0},   {"2 layers of 32", 2, 32, TASK_3C, 50, 0},
    {"10 layers of 64", 10, 64, TASK_3C, 30, 0}, {"64 units, 3c", 1, 64, TASK_3C, 50, 1},
    {"128 units, 3c", 1, 128, TASK_3C, 50, 1}};

static const struct {
    const char *task, *title, *file;
    int net[3];
    const char *reading[2];
} figures[] = {
    {"4a 4b", "Hidden units, with the settings of task 3b", "a2_4ab_3b", {B32, B64, B128},
     {"More units, lower loss, on both sets.", "More units, higher accuracy."}},
    {"4a 4b", "Hidden units, with the settings of task 3c", "a2_4ab_3c", {C32, C64, C128},
     {"As with 3b; momentum overfits sooner.", "As with 3b: 128 units are the best of the three."}},
    {"4d", "Two hidden layers against one", "a2_4d", {C64, TWO59, TWO32},
     {"59 units twice have as many weights as 64 once; 32 twice have half as many.",
      "Two layers of 59 end near one of 64, two of 32 clearly below."}},
    {"4e", "Ten hidden layers of 64 units: up to 30 epochs", "a2_4e", {C64, TWO59, TEN64},
     {"Ten layers: a higher loss, and a noisy one.",
      "Ten layers: lower accuracy on both sets, with dips."}}};

/* Seconds for R4's figure, both of its nets one after the other. */
static void seconds(assignment *a, const a2_result *one, const a2_result *two, const char *name,
                    double reported)
{
    double *sum = (double *)assignment_new((size_t)a->seeds, sizeof *sum);
    for (int i = 0; i < a->seeds; i++)
        sum[i] = one->value[A2_SECONDS][i] + two->value[A2_SECONDS][i];
    assignment_result(a, "R4", "time", name, reported, sum, a->seeds,
                      "wall time, one thread, %s kernels; the figure of 4b taken as the slowest: "
                      "64 and 128 units, 50 epochs at most, both accuracies five times an epoch",
                      nn_isa());
    free(sum);
}

static double largest_fall(const nn_history *h)
{
    double most = 0;
    for (size_t i = 6; i < h->check_count; i++) /* after the first epoch */
        most = fmax(most, h->checks[i - 1].validation_accuracy - h->checks[i].validation_accuracy);
    return 100 * most;
}

int main(int argc, char **argv)
{
    static const char *const reports[UNSTOPPED64] = {"R3", "R3", "R3", "R4", "R4",
                                                     "R4", "R3", "R4", "R3"};
    static const char *const tasks[UNSTOPPED64] = {"4a", "4a 4b", "4b", "4a", "4a 4b",
                                                   "4b", "4d",    "4d", "4e"};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task4_topology",
                     "units and layers, and the time of the slowest figure");
    nn_dataset train, test;
    a2_data(&a, &train, &test);
    a2_result r[NETS];
    for (int i = 0; i < NETS; i++) {
        a2_run(&a, &nets[i], &train, &test, &r[i]);
        if (i < UNSTOPPED64) a2_rows(&a, reports[i], tasks[i], &r[i]);
    }
    const char *points = "validation accuracy, points";
    for (int i = B32; i <= C32; i += C32 - B32) {
        const char *report = reports[i];
        a2_difference(&a, report, "4a", points, A2_ACCURACY, &r[i], &r[i + 1], "lower");
        a2_difference(&a, report, "4b", points, A2_ACCURACY, &r[i + 2], &r[i + 1],
                      "a little higher, and slower");
    }
    assignment_single(&a, "R3", "4d", "parameters, two layers of 59", 50386, r[TWO59].parameters,
                      "785*59 + 59*59 + 59*10: no biases but the weights of the constant 1");
    assignment_single(&a, "R4", "4d", "parameters, two layers of 32", NAN, r[TWO32].parameters,
                      NULL);
    a2_difference(&a, "R3", "4d", points, A2_ACCURACY, &r[TWO59], &r[C64], "a little better");
    a2_difference(&a, "R4", "4d", points, A2_ACCURACY, &r[TWO32], &r[C64], "worse");
    a2_difference(&a, "R3", "4e", points, A2_ACCURACY, &r[TEN64], &r[C64], "lower");
    a2_difference(&a, "R3", "4e", points, A2_ACCURACY, &r[TEN64], &r[TWO59], "lower");
    a2_difference(&a, "R3", "4e", "training loss", A2_TRAIN_LOSS, &r[TEN64], &r[C64], "higher");
    assignment_single(&a, "R3", "4e", "largest fall between two checks, points", NAN,
                      largest_fall(&r[TEN64].history),
                      "validation accuracy after the first epoch, first seed; 64 units once: %.2f. "
                      "Reported: noisy", largest_fall(&r[C64].history));
    seconds(&a, &r[UNSTOPPED64], &r[UNSTOPPED128], "seconds without early stopping", 342.85);
    seconds(&a, &r[C64], &r[C128], "seconds with early stopping", 132.17);

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        const a2_result *shown[3];
        for (int k = 0; k < 3; k++) shown[k] = &r[figures[i].net[k]];
        a2_charts(&a, shown, 3, i == 3 ? 30 : 0, figures[i].title, figures[i].task, figures[i].file,
                  figures[i].reading);
    }
    for (int i = 0; i < NETS; i++) a2_free(&r[i]);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return assignment_finish(&a);
}
