/* TDT4265 assignment 2, tasks 1a, 1b, 3b and 4c: backpropagation by hand, in matrices, for any
   number of layers. Every weight's gradient on 100 images is held against a central difference
   (eps 1e-3, weights from U(-1, 1)) and against the gradient of the same net as a graph, which
   nn_gradcheck checks again.

   cc -O2 examples/tdt4265_a2_task1_gradients.c -lm -o task1 && ./task1 [--data DIR] [--help] */
#define NN_DOUBLE /* in float the rounding of the cost, 1e-7 / eps, is above the 1e-6 allowed */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { IMAGES = 100, INPUTS = 785, UNITS = 64, CLASSES = 10, LAYERS = 3 /* at most */ };
static const double eps = 1e-3, allowed = 1e-6;

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
    return activation == NN_SIGMOID ? y * (1 - y) : 2.0 / 3 * (1.7159 - y * y / 1.7159);
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

/* The largest |numeric - analytic|, of all weights or of one in `apart` to each unit. */
static double check(size_t apart)
{
    double worst = 0;
    for (size_t k = 1; k <= layers; k++)
        for (size_t unit = 0; unit < size[k]; unit++) {
            for (size_t i = unit; i < size[k - 1] * size[k]; i += size[k] * apart) {
                nn_real keep = w[k][i];
                w[k][i] = keep + eps;
                double up = cost(k, unit, 1);
                w[k][i] = keep - eps;
                double down = cost(k, unit, 1);
                w[k][i] = keep;
                double numeric = (up - down) / (2 * eps);
                worst = assignment_larger(worst, fabs(numeric - gradient[k][i]));
            }
            cost(k, unit, 1); /* puts this unit back */
        }
    return worst;
}

static nn_tensor *graph(void)
{
    nn_tensor *y = nn_input(nn_net_create(NULL), INPUTS);
    for (size_t k = 1; k <= layers; k++) {
        nn_init zero = {.kind = NN_INIT_ZERO};
        y = nn_matmul(y, nn_parameter(y->net, 2, size + k - 1, zero, "w"));
        if (k < layers) y = nn_activate(y, activation, 0);
    }
    return nn_softmax_cross_entropy(y);
}

/* Rows of the table for the present net, with weights from U(-1, 1). */
static void compare(assignment *a, const char *task, const char *what)
{
    static double numeric[ASSIGNMENT_SEEDS], hand[ASSIGNMENT_SEEDS], library[ASSIGNMENT_SEEDS];
    nn_gradcheck_desc desc = {.h = eps, .atol = allowed, .max_per_tensor = 1000};
    nn_gradcheck_report report = {0};
    const char *note = a->seeds > 1 ? ", with later seeds a sample of them" : "";
    double count = 0;
    for (int run = 0; run < a->seeds; run++) {
        nn_rng rng = nn_rng_seed(a->seed + (uint64_t)run);
        for (size_t k = 1; k <= layers; k++)
            for (size_t i = 0; i < size[k - 1] * size[k]; i++)
                w[k][i] = 2 * nn_rng_uniform(&rng) - 1;
        double value = cost(1, 0, size[1]);
        backward();
        numeric[run] = check(run ? 53 : 1);
        nn_tensor *loss = graph();
        hand[run] = assignment_against_graph(loss, loss, IMAGES, x, target, w[1], value,
                                             gradient[1], INPUTS * UNITS);
        count = (double)nn_net_parameter_count(loss->net);
        if (layers > 2) TRY(nn_gradcheck(loss, &desc, &report)); /* ends the program if it fails */
        library[run] = report.max_error;
        nn_net_destroy(loss->net);
    }
    assignment_verdict(a, "R3 R4", task, assignment_text("%s, numerical", what), numeric, a->seeds,
                       allowed, assignment_text("%.0f weights%s", count, note));
    assignment_verdict(a, "R3 R4", task, assignment_text("%s, hand - graph", what), hand, a->seeds,
                       1e-12, assignment_text("%.0f weights", count));
    if (layers > 2)
        assignment_verdict(a, "R3 R4", task, "785-64-64-10, nn_gradcheck", library, a->seeds,
                           allowed,
                           assignment_text("a sample of %.0f weights", (double)report.checked));
}

int main(int argc, char **argv)
{
    static const size_t one[] = {INPUTS, UNITS, CLASSES}, two[] = {INPUTS, UNITS, UNITS, CLASSES};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task1_gradients",
                     "backpropagation by hand: the largest difference from the numerical gradient");
    assignment_mnist(&a);
    TRY(nn_normalize_standard(&a.train, 0));
    assignment_images(&a.train, IMAGES, INPUTS, x, out[0]);
    TRY(nn_mat_one_hot(IMAGES, CLASSES, a.train.labels, target));
    layers = 2, size = one, activation = NN_SIGMOID;
    compare(&a, "1a 1b", "785-64-10, sigmoid");
    if (a.quick) return assignment_finish(&a);
    activation = NN_SCALED_TANH;
    compare(&a, "3b", "785-64-10, improved sigmoid");
    layers = 3, size = two;
    compare(&a, "4c", "785-64-64-10, improved sigmoid");
    return assignment_finish(&a);
}
