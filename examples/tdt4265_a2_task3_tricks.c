/* TDT4265 assignment 2, task 3: the tricks of the trade, one after the other. Weights scaled by the
   fan in, the improved sigmoid 1.7159 tanh(2x/3), momentum.

   cc -O2 examples/tdt4265_a2_task3_tricks.c -lm -o task3 && ./task3 [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a2.h"

int main(int argc, char **argv)
{
    enum { BASE, INIT, TANH, MOMENTUM, FASTER, NETS };
    static const a2_net nets[NETS] = {
        {"2c base", 1, 64, 0, NN_SIGMOID, 0.1, 0, 50, 0},
        {"3a scaled weights", 1, 64, 1, NN_SIGMOID, 0.1, 0, 50, 0},
        {"3b improved sigmoid", 1, 64, 1, NN_SCALED_TANH, 0.1, 0, 50, 0},
        {"3c momentum", 1, 64, 1, NN_SCALED_TANH, 0.02, 0.9, 50, 0},
        {"3c momentum, rate 0.03", 1, 64, 1, NN_SCALED_TANH, 0.03, 0.9, 50, 0}};
    static const char *const tasks[NETS] = {"2c", "3a", "3b", "3c", "3c"};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task3_tricks",
                     "785-64-10: scaled weights, improved sigmoid, momentum");
    nn_dataset train, test;
    a2_data(&a, &train, &test);
    a2_result r[NETS];
    for (int i = 0; i < NETS; i++) {
        a2_run(&a, &nets[i], &train, &test, &r[i]);
        if (i == BASE) continue; /* its rows are those of task 2c */
        a2_rows(&a, i < FASTER ? "R3 R4" : "R3", tasks[i], &r[i]);
    }
    for (int i = INIT; i <= TANH; i++) {
        a2_difference(&a, "R3 R4", tasks[i], "validation accuracy, points", A2_ACCURACY, &r[i],
                      &r[i - 1], "better");
        a2_difference(&a, "R3 R4", tasks[i], "epochs to 90 %", A2_FAST, &r[i], &r[i - 1], "faster");
    }
    a2_difference(&a, "R3 R4", "3c", "training loss", A2_TRAIN_LOSS, &r[MOMENTUM], &r[TANH],
                  "lower");
    a2_difference(&a, "R3 R4", "3c", "validation accuracy, points", A2_ACCURACY, &r[MOMENTUM],
                  &r[TANH], "a touch lower");
    a2_difference(&a, "R3 R4", "3c", "validation loss", A2_LOSS, &r[MOMENTUM], &r[TANH],
                  "validation a touch worse");

    static const char *const reading[NETS][2] = {
        {"The tricks, added one by one; scaled weights gain the most.",
         "The tricks, added one by one; scaled weights gain the most."},
        {"Scaled weights keep the sigmoids out of saturation: a lower loss from the first "
         "checks on.", "With scaled weights the net generalises far better."},
        {"The improved sigmoid's slope at 0 is 1.14 instead of 0.25: fewer steps to the same loss.",
         "The improved sigmoid gets to 100 % of the training set in fewer steps."},
        {"Momentum lowers the training loss; the validation loss soon turns upwards.",
         "Momentum changes the validation accuracy by little."},
        {"The larger rate fits the training set faster and the validation set worse.",
         "The larger rate gains nothing on the validation set."}};
    static const char *const titles[NETS] = {
        "All the tricks", "3a: weights from N(0, 1/sqrt(fan in))",
        "3b: 1.7159 tanh(2x/3)", "3c: momentum 0.9, learning rate 0.02",
        "3c: momentum 0.9, learning rates 0.02 and 0.03"};
    for (int i = INIT; i < NETS; i++) {
        const a2_result *pair[2];
        char file[32];
        pair[0] = &r[i - 1];
        pair[1] = &r[i];
        snprintf(file, sizeof file, "a2_%s%s", tasks[i], i == FASTER ? "_rate" : "");
        a2_charts(&a, pair, 2, 0, titles[i], tasks[i], file, reading[i]);
    }
    const a2_result *all[4] = {&r[BASE], &r[INIT], &r[TANH], &r[MOMENTUM]};
    a2_charts(&a, all, 4, 10, "The tricks one after the other: the first ten epochs", "3", "a2_3",
              reading[BASE]);
    for (int i = 0; i < NETS; i++) a2_free(&r[i]);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return assignment_finish(&a);
}
