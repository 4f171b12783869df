/* TDT4265 assignment 1, tasks 1a, 1b, 3a and 4a: the gradients of binary and softmax cross-entropy,
   without and with lambda sum w^2, by hand on matrices. Each is held against central differences
   (every weight, 100 images, at w = 0 and at a random w) and against the graph's own gradient.

   cc -O2 examples/tdt4265_a1_task1_gradients.c -lm -o task1 && ./task1 [--data DIR] [--help] */
#define NN_DOUBLE /* in float the rounding of the cost, 1e-7 / eps, is larger than eps^2 */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { IMAGES = 100, INPUTS = 785, MOST = 10 }; /* 784 pixels and a constant 1: no bias elsewhere */

typedef struct model {
    size_t outputs; /* 1: logistic regression */
    double lambda;
    nn_real x[IMAGES * INPUTS], target[IMAGES * MOST], z[IMAGES * MOST];
    nn_real w[INPUTS * MOST], gradient[INPUTS * MOST];
} model;

static double cost(model *m)
{
    size_t k = m->outputs;
    double sum = 0;
    nn_mat_mul(0, 0, IMAGES, k, INPUTS, m->x, INPUTS, m->w, k, m->z, k, 0);
    if (k > 1) {
        nn_mat_log_softmax(IMAGES, k, m->z, m->z);
        sum = -nn_vec_dot(IMAGES * k, m->target, m->z);
    } else
        for (size_t i = 0; i < IMAGES; i++) /* -t log s(z) - (1 - t) log(1 - s(z)), no overflow */
            sum += fmax(m->z[i], 0) - m->z[i] * m->target[i] + log1p(exp(-fabs(m->z[i])));
    return sum / IMAGES + m->lambda * nn_vec_dot(INPUTS * k, m->w, m->w);
}

static void backward(model *m) /* x^T (output - target) / n + 2 lambda w, for either output */
{
    size_t k = m->outputs;
    nn_mat_mul(0, 0, IMAGES, k, INPUTS, m->x, INPUTS, m->w, k, m->z, k, 0);
    if (k > 1) nn_mat_softmax(IMAGES, k, m->z, m->z);
    else nn_vec_activate(NN_SIGMOID, 0, IMAGES, m->z, m->z);
    nn_vec_sub(IMAGES * k, m->z, m->target, m->z);
    nn_mat_mul(1, 0, INPUTS, k, IMAGES, m->x, INPUTS, m->z, k, m->gradient, k, 0);
    nn_vec_scale(INPUTS * k, 1.0 / IMAGES, m->gradient, m->gradient);
    nn_vec_axpy(INPUTS * k, 2 * m->lambda, m->w, m->gradient);
}

/* The largest |numeric - analytic|. The task bounds the signed difference, which lets any gradient
   pass that is too large; here it is the absolute one. */
static double check(model *m, double eps, int *failures)
{
    double worst = 0;
    for (size_t i = 0; i < INPUTS * m->outputs; i++) {
        nn_real keep = m->w[i];
        m->w[i] = keep + eps;
        double up = cost(m);
        m->w[i] = keep - eps;
        double down = cost(m);
        m->w[i] = keep;
        double difference = fabs((up - down) / (2 * eps) - m->gradient[i]);
        *failures += !(difference <= eps * eps);
        worst = fmax(worst, difference);
    }
    return worst;
}

static double against_graph(model *m)
{
    nn_net *net = nn_net_create(NULL);
    size_t shape[2] = {INPUTS, m->outputs};
    nn_init zero = {NN_INIT_ZERO, 0, 0};
    nn_tensor *in = nn_input(net, INPUTS), *w = nn_parameter(net, 2, shape, zero, "w");
    nn_tensor *z = nn_matmul(in, w);
    nn_tensor *loss = m->outputs > 1 ? nn_softmax_cross_entropy(z) : nn_binary_cross_entropy(z);
    nn_tensor *total = nn_weight_penalty(loss, 0, m->lambda);
    TRY(nn_feed(in, m->x, IMAGES));
    TRY(nn_feed_targets(loss, m->target, IMAGES));
    memcpy(w->data, m->w, w->size * sizeof *m->w);
    TRY(nn_forward(total));
    TRY(nn_backward(total));
    double worst = fabs(total->value - cost(m));
    for (size_t i = 0; i < w->size; i++) worst = fmax(worst, fabs(w->grad[i] - m->gradient[i]));
    nn_net_destroy(net);
    return worst;
}

static void load(model *m, const nn_dataset *data)
{
    static nn_real pixels[IMAGES * (INPUTS - 1)];
    TRY(nn_dataset_gather(data, NULL, IMAGES, pixels));
    memset(m->target, 0, sizeof m->target);
    for (size_t i = 0; i < IMAGES; i++) {
        memcpy(m->x + i * INPUTS, pixels + i * (INPUTS - 1), (INPUTS - 1) * sizeof *pixels);
        m->x[i * INPUTS + INPUTS - 1] = 1;
        if (m->outputs == 1) m->target[i] = data->labels[i];
    }
    if (m->outputs > 1) TRY(nn_mat_one_hot(IMAGES, m->outputs, data->labels, m->target));
}

/* One row of the table each for eps 1e-2, eps 1e-3 and the graph. 1 when all is well. */
static int compare(assignment *a, model *m, const char *task, const char *what, int random)
{
    static const double eps[2] = {1e-2, 1e-3};
    int runs = random ? a->seeds : 1, failures[3] = {0, 0, 0};
    double *worst = (double *)assignment_new((size_t)runs * 3, sizeof *worst);
    for (int run = 0; run < runs; run++) {
        nn_rng rng = nn_rng_seed(a->seed + (uint64_t)run);
        for (size_t i = 0; i < INPUTS * m->outputs; i++)
            m->w[i] = random ? 2 * nn_rng_uniform(&rng) - 1 : 0;
        backward(m);
        for (int e = 0; e < 2; e++) worst[e * runs + run] = check(m, eps[e], &failures[e]);
        worst[2 * runs + run] = against_graph(m);
        failures[2] += worst[2 * runs + run] > 1e-12 * fmax(1, cost(m));
    }
    for (int e = 0; e < 3; e++) {
        char text[80];
        const char *at = random ? "w in U(-1,1)" : "w = 0";
        const char *against[3] = {"eps 0.01", "eps 0.001", "hand - graph"};
        snprintf(text, sizeof text, "%s, %s, %s", what, at, against[e]);
        assignment_result(a, "R1 R2", task, text, NAN, worst + e * runs, runs,
                          "%s: %d of %d %s", failures[e] ? "FAILS" : "passes", failures[e],
                          e < 2 ? (int)(INPUTS * m->outputs) * runs : runs,
                          e < 2 ? "differences above eps^2" : "runs differ by more than rounding");
    }
    free(worst);
    return !failures[0] && !failures[1] && !failures[2];
}

int main(int argc, char **argv)
{
    static const int three_two[] = {3, 2}; /* 2 becomes label 1 */
    static const struct { const char *task, *what; size_t outputs; double lambda; } cases[] = {
        {"1a", "logistic", 1, 0}, {"1a", "logistic with L2", 1, 0.1},
        {"1b 3a", "softmax", 10, 0}, {"4a", "softmax with L2", 10, 0.1}};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task1_gradients",
                     "gradients by hand: the largest difference from the numerical ones");
    nn_dataset train, test, pair;
    assignment_mnist(&a, &train, &test);
    TRY(nn_normalize_range(&train, 0, 255, -1, 1));
    TRY(nn_dataset_select_classes(&train, 2, three_two, &pair));
    model *m = (model *)assignment_new(1, sizeof *m);
    int well = 1;
    for (int c = 0; c < (a.quick ? 2 : 4); c++) {
        m->outputs = cases[c].outputs;
        m->lambda = cases[c].lambda;
        load(m, m->outputs > 1 ? &train : &pair);
        for (int random = 0; random < 2; random++)
            well &= compare(&a, m, cases[c].task, cases[c].what, random);
    }
    free(m);
    nn_dataset_free(&pair);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return assignment_finish(&a) || !well;
}
