/* TDT4265 assignment 2, tasks 1a, 1b, 3b and 4c: backpropagation by hand, in matrices, for any
   number of layers. Every weight's gradient on 100 images is held against a central difference
   (eps 1e-3, weights from U(-1, 1)) and against the gradient of the same net as a graph, which
   nn_gradcheck checks again.

   cc -O2 examples/tdt4265_a2_task1_gradients.c -lm -o task1 && ./task1 [--data DIR] [--help] */
#define NN_DOUBLE /* in float the rounding of the cost, 1e-7 / eps, is above the 1e-6 allowed */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { IMAGES = 100, INPUTS = 785, UNITS = 64, CLASSES = 10, LAYERS = 3 /* at most */ };

static size_t layers;
static const size_t *size; /* of the input, of each hidden layer, of the output */
static nn_activation activation;
static nn_real x[IMAGES * INPUTS], target[IMAGES * CLASSES];
static nn_real out[LAYERS][INPUTS * IMAGES], z[IMAGES * CLASSES]; /* out[0]: x turned; z: last */
static nn_real w[LAYERS + 1][INPUTS * UNITS], gradient[LAYERS + 1][INPUTS * UNITS]; /* from 1 on */

/* The cost when the weights to `count` units of a layer, from `first` on, have changed: what these
   units give, then all of the layers above. */
static double cost(size_t layer, size_t first, size_t count)
{
    for (; layer < layers; first = 0, count = size[++layer]) {
        nn_real *units = out[layer] + first * IMAGES;
        nn_mat_mul(1, 0, count, IMAGES, size[layer - 1], w[layer] + first, size[layer],
                   out[layer - 1], IMAGES, units, IMAGES, 0);
        nn_vec_activate(activation, 0, count * IMAGES, units, units);
    }
    nn_mat_mul(1, 0, IMAGES, CLASSES, size[layers - 1], out[layers - 1], IMAGES, w[layers], CLASSES,
               z, CLASSES, 0);
    nn_mat_log_softmax(IMAGES, CLASSES, z, z);
    return -nn_vec_dot(IMAGES * CLASSES, target, z) / IMAGES;
}

/* f'(z) from y = f(z): y (1 - y) for the sigmoid, 1.7159 2/3 (1 - (y / 1.7159)^2) for the improved
   one. */
static nn_real slope(nn_real y)
{
    return activation == NN_ACTIVATION_SIGMOID ? y * (1 - y) : 2.0 / 3 * (1.7159 - y * y / 1.7159);
}

static void backward(void)
{
    static nn_real delta[UNITS * IMAGES], below[UNITS * IMAGES];
    for (size_t i = 0; i < IMAGES * CLASSES; i++) /* (softmax - target) / n, turned */
        delta[i % CLASSES * IMAGES + i / CLASSES] = (exp(z[i]) - target[i]) / IMAGES;
    for (size_t k = layers; k > 0; k--) {
        nn_mat_mul(0, 1, size[k - 1], size[k], IMAGES, out[k - 1], IMAGES, delta, IMAGES,
                   gradient[k], size[k], 0);
        if (k == 1) break;
        nn_mat_mul(0, 0, size[k - 1], IMAGES, size[k], w[k], size[k], delta, IMAGES, below, IMAGES,
                   0);
        for (size_t i = 0; i < size[k - 1] * IMAGES; i++)
            delta[i] = below[i] * slope(out[k - 1][i]);
    }
}

static nn_tensor *graph(void)
{
    nn_tensor *y = nn_input(nn_net_create(NULL), INPUTS);
    for (size_t k = 1; k <= layers; k++) {
        nn_activation f = k < layers ? activation : NN_ACTIVATION_IDENTITY;
        y = nn_dense_with(y, &(nn_dense_desc){.units = size[k], .activation = f, .no_bias = 1});
    }
    return nn_softmax_cross_entropy(y);
}

/* Rows of the table for the present net, with weights from U(-1, 1). */
static void check(assignment *a, const char *task, const char *name)
{
    assignment_by_hand net = {
        .report = "R3 R4", .task = task, .name = name, .layers = layers, .size = size,
        .w = w[1], .gradient = gradient[1], .apart = INPUTS * UNITS,
        .images = IMAGES, .x = x, .target = target,
        .cost = cost, .backward = backward, .graph = graph,
        .numerical = {{"numerical", 1e-3, 1e-6}}, .sample = 53,
        .gradcheck = layers > 2 ? "785-64-64-10, nn_gradcheck" : NULL};
    assignment_check_gradients(a, &net, 1);
}

int main(int argc, char **argv)
{
    static const size_t one[] = {INPUTS, UNITS, CLASSES}, two[] = {INPUTS, UNITS, UNITS, CLASSES};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task1_gradients",
                     "backpropagation by hand: the largest difference from the numerical gradient");
    assignment_mnist(&a);
    TRY(nn_dataset_standardize(&a.train, NN_PER_SET));
    assignment_images(&a.train, IMAGES, INPUTS, x, out[0]);
    TRY(nn_mat_one_hot(IMAGES, CLASSES, a.train.labels, target));
    layers = 2, size = one, activation = NN_ACTIVATION_SIGMOID;
    check(&a, "1a 1b", "785-64-10, sigmoid");
    if (a.quick) return assignment_finish(&a);
    activation = NN_ACTIVATION_SCALED_TANH;
    check(&a, "3b", "785-64-10, improved sigmoid");
    layers = 3, size = two;
    check(&a, "4c", "785-64-64-10, improved sigmoid");
    return assignment_finish(&a);
}
