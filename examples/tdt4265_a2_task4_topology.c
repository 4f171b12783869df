/* TDT4265 assignment 2, task 4: fewer and more hidden units, more layers, and the time it takes.

   cc -O2 examples/tdt4265_a2_task4_topology.c -lm -o task4 && ./task4 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a2.h"

enum {
    B32, B64, B128, /* with the settings of task 3b, */
    C32, C64, C128, /* and of 3c, as all below */
    TWO59, TWO32, TEN64, NETS
};

#define TASK_3B .scaled = 1, .activation = NN_ACTIVATION_SCALED_TANH, .learning_rate = 0.1
#define TASK_3C                                                                                    \
    .scaled = 1, .activation = NN_ACTIVATION_SCALED_TANH, .learning_rate = 0.02, .momentum = 0.9

static a2_net nets[NETS] = {
    [B32] = {"R3", "4a", "32 units, 3b", .layers = 1, .units = 32, TASK_3B},
    [B64] = {"R3", "4a 4b", "64 units, 3b", .layers = 1, .units = 64, TASK_3B},
    [B128] = {"R3", "4b", "128 units, 3b", .layers = 1, .units = 128, TASK_3B},
    [C32] = {"R4", "4a", "32 units, 3c", .layers = 1, .units = 32, TASK_3C},
    [C64] = {"R4", "4a 4b", "64 units, 3c", .layers = 1, .units = 64, TASK_3C, .no_early_stop = 1},
    [C128] = {"R4", "4b", "128 units, 3c", .layers = 1, .units = 128, TASK_3C, .no_early_stop = 1},
    [TWO59] = {"R3", "4d", "2 layers of 59", .layers = 2, .units = 59, TASK_3C},
    [TWO32] = {"R4", "4d", "2 layers of 32", .layers = 2, .units = 32, TASK_3C},
    [TEN64] = {"R3", "4e", "10 layers of 64", .layers = 10, .units = 64, TASK_3C, .epochs = 30}};

static const a2_figure figures[] = {
    {"4a 4b", "Hidden units, with the settings of task 3b", "a2_4ab_3b", 3, {B32, B64, B128}, 0, 0,
     {"More units, lower loss, on both sets.", "More units, higher accuracy."}},
    {"4a 4b", "Hidden units, with the settings of task 3c", "a2_4ab_3c", 3, {C32, C64, C128}, 0, 0,
     {"As with 3b, but noisier; the fewer units, the higher the validation loss.",
      "As with 3b: 128 units are the best of the three."}},
    {"4d", "Two hidden layers against one", "a2_4d", 3, {C64, TWO59, TWO32}, 0, 0,
     {"Two layers of 59 (50,386 weights) fit the training set like one of 64 (50,880), with a "
      "higher validation loss; two of 32 (26,464) are behind on both sets.",
      "Two layers of 59 end a little above one of 64, two of 32 clearly below."}},
    {"4e", "Ten hidden layers of 64 units: up to 30 epochs", "a2_4e", 3, {C64, TWO59, TEN64}, 30, 0,
     {"Ten layers: a higher loss on both sets, and a noisy one.",
      "Ten layers: lower accuracy on both sets, with dips."}}};

/* R4's slowest figure: both of its nets one after the other. */
static void seconds(assignment *a, const char *name, double reported, const double *values)
{
    assignment_result(a, "R4", "time", name, reported, values, a->seeds,
                      assignment_text("wall time, one thread, %s kernels; the figure of 4b taken "
                                      "as the slowest: 64 and 128 units, 50 epochs at most, both "
                                      "accuracies five times an epoch", nn_kernel_path()));
}

int main(int argc, char **argv)
{
    static double all[ASSIGNMENT_SEEDS], stopped[ASSIGNMENT_SEEDS]; /* seconds */
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task4_topology",
                     "units and layers, and the time of the slowest figure");
    a2_data(&a);
    for (int i = 0; i < NETS; i++) {
        a2_train(&a, &nets[i]);
        for (int k = 0; k < a.seeds && nets[i].no_early_stop; k++) {
            all[k] += nets[i].run[k].history.seconds;
            stopped[k] += a2_stop_early(&nets[i].run[k]);
        }
        a2_rows(&a, &nets[i]);
    }
    const char *points = "validation accuracy, points";
    for (int i = B32; i <= C32; i += C32 - B32) {
        a2_difference(&a, "4a", points, A2_ACCURACY, &nets[i], &nets[i + 1], "lower");
        a2_difference(&a, "4b", points, A2_ACCURACY, &nets[i + 2], &nets[i + 1],
                      "a little higher, and slower");
    }
    assignment_single(&a, "R3", "4d", "parameters, two layers of 59", 50386,
                      a2_parameters(&nets[TWO59]),
                      "785*59 + 59*59 + 59*10: no biases but the weights of the constant 1");
    assignment_single(&a, "R4", "4d", "parameters, two layers of 32", NAN,
                      a2_parameters(&nets[TWO32]), NULL);
    a2_difference(&a, "4d", points, A2_ACCURACY, &nets[TWO59], &nets[C64], "a little better");
    a2_difference(&a, "4d", points, A2_ACCURACY, &nets[TWO32], &nets[C64], "worse");
    a2_difference(&a, "4e", points, A2_ACCURACY, &nets[TEN64], &nets[C64], "lower");
    a2_difference(&a, "4e", points, A2_ACCURACY, &nets[TEN64], &nets[TWO59], "lower");
    a2_difference(&a, "4e", "training loss", A2_TRAIN_LOSS, &nets[TEN64], &nets[C64], "higher");
    assignment_single(&a, "R3", "4e", "largest fall between two checks, points", NAN,
                      assignment_largest_drop(&nets[TEN64].run->history, NULL),
                      assignment_text("validation accuracy after the first epoch, first seed; 64 "
                                      "units once: %.2f. Reported: noisy",
                                      assignment_largest_drop(&nets[C64].run->history, NULL)));
    seconds(&a, "seconds without early stopping", 342.85, all);
    seconds(&a, "seconds with early stopping", 132.17, stopped);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) a2_draw(&a, nets, &figures[i]);
    return assignment_finish(&a);
}
