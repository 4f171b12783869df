/* TDT4265 assignment 2, task 3: the tricks of the trade, one after the other. Weights scaled by the
   fan in, the improved sigmoid 1.7159 tanh(2x/3), momentum.

   cc -O2 examples/tdt4265_a2_task3_tricks.c -lm -o task3 && ./task3 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a2.h"

enum { BASE, INIT, TANH, MOMENTUM, FASTER, NETS };

static a2_net nets[NETS] = {[BASE] = {.report = "R3 R4",
                                      .task = "2c",
                                      .label = "2c base",
                                      .layers = 1,
                                      .units = 64,
                                      .activation = NN_ACTIVATION_SIGMOID,
                                      .learning_rate = 0.1},
                            [INIT] = {.report = "R3 R4",
                                      .task = "3a",
                                      .label = "3a scaled weights",
                                      .layers = 1,
                                      .units = 64,
                                      .scaled = 1,
                                      .activation = NN_ACTIVATION_SIGMOID,
                                      .learning_rate = 0.1},
                            [TANH] = {.report = "R3 R4",
                                      .task = "3b",
                                      .label = "3b improved sigmoid",
                                      .layers = 1,
                                      .units = 64,
                                      .scaled = 1,
                                      .activation = NN_ACTIVATION_SCALED_TANH,
                                      .learning_rate = 0.1},
                            [MOMENTUM] = {.report = "R3 R4",
                                          .task = "3c",
                                          .label = "3c momentum",
                                          .layers = 1,
                                          .units = 64,
                                          .scaled = 1,
                                          .activation = NN_ACTIVATION_SCALED_TANH,
                                          .learning_rate = 0.02,
                                          .momentum = 0.9},
                            [FASTER] = {.report = "R3",
                                        .task = "3c",
                                        .label = "3c momentum, rate 0.03",
                                        .layers = 1,
                                        .units = 64,
                                        .scaled = 1,
                                        .activation = NN_ACTIVATION_SCALED_TANH,
                                        .learning_rate = 0.03,
                                        .momentum = 0.9}};

static const a2_figure figures[] = {
    {"3a", "3a: weights from N(0, 1/sqrt(fan in))", "a2_3a", 2, {BASE, INIT}, 0, 0,
     {"Scaled weights keep the sigmoids out of saturation: a lower loss from the first checks on.",
      "With scaled weights the net is better on both sets, and faster."}},
    {"3b", "3b: 1.7159 tanh(2x/3)", "a2_3b", 2, {INIT, TANH}, 0, 0,
     {"The improved sigmoid's slope at 0 is 1.14 instead of 0.25: fewer steps to the same loss.",
      "The improved sigmoid fits the whole training set in far fewer steps, and validation "
      "accuracy gains as well."}},
    {"3c", "3c: momentum 0.9, learning rate 0.02", "a2_3c", 2, {TANH, MOMENTUM}, 0, 0,
     {"With momentum the training loss falls a little lower, and sooner; the validation loss stays "
      "higher.",
      "Momentum changes accuracy by little."}},
    {"3c", "3c: momentum 0.9, learning rates 0.02 and 0.03", "a2_3c_rate", 2, {MOMENTUM, FASTER},
     0, 0,
     {"The larger rate makes all curves noisier and the validation loss higher.",
      "The larger rate is behind on both sets and gains nothing on the validation set."}},
    {"3", "The tricks one after the other: the first ten epochs", "a2_3", 4,
     {BASE, INIT, TANH, MOMENTUM}, 10, 0.85,
     {"The tricks, added one by one: scaled weights gain the most, the improved sigmoid the second "
      "most.",
      "Scaled weights gain the most, the improved sigmoid the second most."}}};

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task3_tricks",
                     "785-64-10: scaled weights, improved sigmoid, momentum");
    a2_data(&a);
    for (int i = 0; i < NETS; i++) {
        a2_train(&a, &nets[i]);
        if (i != BASE) a2_rows(&a, &nets[i]); /* its rows are those of task 2c */
    }
    for (int i = INIT; i <= TANH; i++) {
        a2_difference(&a, nets[i].task, "validation accuracy, points", A2_ACCURACY, &nets[i],
                      &nets[i - 1], "better");
        a2_difference(&a, nets[i].task, "epochs to 90 %", A2_FAST, &nets[i], &nets[i - 1],
                      "faster");
    }
    const a2_net *with = &nets[MOMENTUM], *without = &nets[TANH];
    a2_difference(&a, "3c", "training loss", A2_TRAIN_LOSS, with, without, "lower");
    a2_difference(&a, "3c", "validation accuracy, points", A2_ACCURACY, with, without,
                  "a touch lower");
    a2_difference(&a, "3c", "validation loss", A2_LOSS, with, without, "validation a touch worse");
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) a2_draw(&a, nets, &figures[i]);
    return assignment_finish(&a);
}
