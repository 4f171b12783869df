/* TDT4265 assignment 3, task 3: two better nets for CIFAR-10. Both have convolutions of 3 x 3 with
   batch normalisation, images that are flipped and moved, and AdamW with a rate that goes up once
   and down once; one has three convolutions, the other five.

   cc -O2 examples/tdt4265_a3_task3_better.c -lm -o task3 && ./task3 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a3.h"

typedef struct better {
    const char *label, *note;
    size_t filters[3], convolutions[3]; /* in each of three groups, a maximum of 2 x 2 after each */
    a3_recipe recipe;
    assignment_run *run;
} better;

#define RECIPE(count)                                                                              \
    .recipe = {.epochs = count,                                                                    \
               .batch_size = 128,                                                                  \
               .optimizer = {.kind = NN_OPTIMIZER_ADAMW,                                           \
                             .learning_rate = 0.005,                                               \
                             .weight_decay = 0.05,                                                 \
                             .schedule = {.kind = NN_SCHEDULE_ONE_CYCLE}},                         \
               .augment = {.flip = NN_FLIP_ALTERNATING, .shift = 2, .reflect = 1}}

static better nets[] = {
    {"net 1", "course: over 75", {32, 64, 128}, {1, 1, 1}, RECIPE(6), NULL},
    {"net 2", "course: over 80 within 10 epochs", {32, 64, 128}, {1, 2, 2}, RECIPE(6), NULL}};

static nn_tensor *better_net(uint64_t seed, const void *settings)
{
    static const size_t image[] = {32, 32, 3};
    const better *n = (const better *)settings;
    const nn_batch_norm_desc norm = {.activation = NN_ACTIVATION_RELU};
    nn_tensor *x = nn_input_shape(nn_net_create(&(nn_net_desc){.seed = seed}), 3, image);
    for (int group = 0; group < 3; group++) {
        for (size_t i = 0; i < n->convolutions[group]; i++) {
            nn_conv_desc conv = {.filters = n->filters[group], .kernel = 3, .no_bias = 1,
                                 .weight = {.kind = NN_INIT_HE_NORMAL}};
            x = nn_batch_norm_with(nn_conv2d_with(x, &conv), &norm);
        }
        x = nn_max_pool(x, 2);
    }
    return nn_softmax_cross_entropy(nn_dense(nn_flatten(x), 10));
}

int main(int argc, char **argv)
{
    enum { NETS = sizeof nets / sizeof *nets };
    chart_series curve[NETS];
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a3_task3_better", "two better convolutional nets");
    a3_data(&a);
    for (int i = 0; i < NETS; i++) {
        better *n = &nets[i];
        n->run = a3_train(&a, better_net, n, &n->recipe);
        a3_rows(&a, n->run, "3", n->label, n->note);
        curve[i] = assignment_curve(n->label, n->run,
                                    &n->run->history.checks->validation_accuracy);
    }
    assignment_curves(&a, curve, NETS, "Two better nets", "validation accuracy", 0, 0,
                      "a3_3_accuracy.png", "3",
                      assignment_text("Every half epoch. The rate is highest at 0.3 of the "
                                      "training and 0 at its end, where %.2f and %.2f %% of the "
                                      "test set are right.", nets[0].run->test.accuracy,
                                      nets[1].run->test.accuracy));
    return assignment_finish(&a);
}
