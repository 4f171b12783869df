/* TDT4265 assignment 1, tasks 1a, 1b, 3a and 4a: the gradients of binary and softmax cross-entropy,
   without and with lambda sum w^2, by hand on matrices. Each is held against central differences
   (every weight, 100 images, at w = 0 and at a random w) and against the graph's own gradient. The
   task bounds the signed difference by eps^2, which lets any gradient pass that is too large; here
   it is the absolute one.

   cc -O2 examples/tdt4265_a1_task1_gradients.c -lm -o task1 && ./task1 [--data DIR] [--help] */
#define NN_DOUBLE /* in float the rounding of the cost, 1e-7 / eps, is larger than eps^2 */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { IMAGES = 100, INPUTS = 785, MOST = 10 }; /* 784 pixels and a constant 1: no bias elsewhere */

static size_t outputs; /* 1: logistic regression */
static double lambda;
static nn_real x[IMAGES * INPUTS], columns[INPUTS * IMAGES]; /* x, and x turned */
static nn_real target[IMAGES * MOST], z[IMAGES * MOST], y[IMAGES * MOST];
static nn_real w[INPUTS * MOST], gradient[INPUTS * MOST];

/* The cost when the weights to `count` outputs, from `first` on, have changed: that part of
   z = x w, then all the rest. */
static double cost(size_t layer, size_t first, size_t count)
{
    (void)layer; /* there is but one */
    double sum = 0, penalty = lambda > 0 ? lambda * nn_vec_dot(INPUTS * outputs, w, w) : 0;
    nn_mat_mul(1, 0, IMAGES, count, INPUTS, columns, IMAGES, w + first, outputs, z + first, outputs,
               0);
    if (outputs > 1) {
        nn_mat_log_softmax(IMAGES, outputs, z, y);
        sum = -nn_vec_dot(IMAGES * outputs, target, y);
    } else
        for (size_t i = 0; i < IMAGES; i++) /* -t log s(z) - (1 - t) log(1 - s(z)), no overflow */
            sum += fmax(z[i], 0) - z[i] * target[i] + log1p(exp(-fabs(z[i])));
    return sum / IMAGES + penalty;
}

static void backward(void) /* x^T (output - target) / n + 2 lambda w, for either output */
{
    if (outputs > 1) nn_mat_softmax(IMAGES, outputs, z, y);
    else nn_vec_activate(NN_ACTIVATION_SIGMOID, 0, IMAGES, z, y);
    nn_vec_sub(IMAGES * outputs, y, target, y);
    nn_mat_mul(1, 0, INPUTS, outputs, IMAGES, x, INPUTS, y, outputs, gradient, outputs, 0);
    nn_vec_scale(INPUTS * outputs, 1.0 / IMAGES, gradient, gradient);
    nn_vec_axpy(INPUTS * outputs, 2 * lambda, w, gradient);
}

static nn_tensor *graph(void)
{
    nn_dense_desc dense = {.units = outputs, .no_bias = 1};
    nn_tensor *out = nn_dense_with(nn_input(nn_net_create(NULL), INPUTS), &dense);
    nn_tensor *loss = outputs > 1 ? nn_softmax_cross_entropy(out) : nn_sigmoid_cross_entropy(out);
    return nn_weight_penalty(loss, 0, lambda);
}

int main(int argc, char **argv)
{
    static const struct { const char *task, *what; size_t outputs; double lambda; } cases[] = {
        {"1a", "logistic", 1, 0}, {"1a", "logistic with L2", 1, 0.1},
        {"1b 3a", "softmax", 10, 0}, {"4a", "softmax with L2", 10, 0.1}};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task1_gradients",
                     "gradients by hand: the largest difference from the numerical ones");
    assignment_mnist(&a);
    TRY(nn_dataset_rescale(&a.train, 0, 255, -1, 1));
    nn_dataset pair;
    TRY(nn_dataset_select_classes(&a.train, 2, (int[]){3, 2}, &pair)); /* 2 becomes label 1 */
    for (int c = 0; c < (a.quick ? 2 : 4); c++) {
        const nn_dataset *data = cases[c].outputs > 1 ? &a.train : &pair;
        outputs = cases[c].outputs;
        lambda = cases[c].lambda;
        assignment_images(data, IMAGES, INPUTS, x, columns);
        for (size_t i = 0; i < IMAGES * outputs; i++) /* one-hot, or the label itself */
            target[i] = data->labels[i / outputs] == (outputs > 1 ? (int)(i % outputs) : 1);
        assignment_by_hand net = {
            .report = "R1 R2", .task = cases[c].task, .layers = 1,
            .size = (size_t[]){INPUTS, outputs}, .w = w, .gradient = gradient,
            .images = IMAGES, .x = x, .target = target,
            .cost = cost, .backward = backward, .graph = graph,
            .numerical = {{"eps 0.01", 1e-2, 1e-4}, {"eps 0.001", 1e-3, 1e-6}}};
        for (int random = 0; random < 2; random++) {
            net.name = assignment_text("%s, %s", cases[c].what, random ? "w in U(-1,1)" : "w = 0");
            assignment_check_gradients(&a, &net, random);
        }
    }
    nn_dataset_free(&pair);
    return assignment_finish(&a);
}
