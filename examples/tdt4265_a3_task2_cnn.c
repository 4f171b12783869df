/* TDT4265 assignment 3, task 2: the course's convolutional net on CIFAR-10: three convolutions of
   5 x 5, each with ReLU and a maximum of 2 x 2, and two dense layers.

   cc -O2 examples/tdt4265_a3_task2_cnn.c -lm -o task2 && ./task2 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a3.h"

static nn_tensor *course_net(uint64_t seed, const void *settings)
{
    static const size_t image[] = {32, 32, 3};
    const nn_init he = nn_init_scaled(NN_INIT_HE_NORMAL);
    (void)settings;
    nn_tensor *x = nn_input_shape(nn_net_create(&(nn_net_desc){.seed = seed}), 3, image);
    for (size_t filters = 32; filters <= 128; filters *= 2) {
        nn_conv_desc conv = {.filters = filters, .kernel = 5, .weight = he,
                             .activation = NN_ACTIVATION_RELU};
        x = nn_max_pool(nn_conv2d_with(x, &conv), 2);
    }
    nn_dense_desc hidden = {.units = 64, .weight = he, .activation = NN_ACTIVATION_RELU};
    return nn_softmax_cross_entropy(nn_dense(nn_dense_with(nn_flatten(x), &hidden), 10));
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a3_task2_cnn", "the course's convolutional net");
    a3_data(&a);
    a3_recipe recipe = {.epochs = 10, .batch_size = 64, .optimizer = nn_sgd(0.05, 0),
                        .stop_early = 1};
    assignment_run *run = a3_train(&a, course_net, NULL, &recipe);
    a3_rows(&a, run, "2", "course net", "reported: 66 to 73");
    assignment_losses(&a, run, "The course's net", "cross-entropy", 0, 0, "a3_2_loss.png", "2",
                      "Every half epoch.");
    assignment_accuracies(&a, run, "The course's net", 0, 0, "a3_2_accuracy.png", "2",
                          assignment_text("%.2f %% of the test set with the best weights.",
                                          run->test.accuracy));
    return assignment_finish(&a);
}
