/* TDT4265 assignment 2, tasks 1a, 1b, 3b and 4c: backpropagation by hand, in matrices, for any
   number of layers. Every weight's gradient on 100 images is held against a central difference
   (eps 1e-3, weights from U(-1, 1)) and against the graph's own gradient, which nn_gradcheck checks
   again.

   cc -O2 examples/tdt4265_a2_task1_gradients.c -lm -o task1 && ./task1 [--data DIR] [--help] */
#ifndef NN_DOUBLE /* in float the rounding of the cost, 1e-7 / eps, is above the 1e-6 allowed */
#define NN_DOUBLE
#endif
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a2.h"

enum { IMAGES = 100, INPUTS = 785, UNITS = 64, CLASSES = 10, MOST = 3 };

static const double allowed = 1e-6;

typedef struct model {
    size_t layers;         /* of weights */
    size_t size[MOST + 1]; /* values in the input, the hidden layers, the output */
    nn_activation activation;
    nn_real out[MOST + 1][IMAGES * INPUTS]; /* of each layer; out[0] is the input */
    nn_real delta[MOST + 1][IMAGES * UNITS], target[IMAGES * CLASSES];
    nn_real w[INPUTS * UNITS * 2], gradient[INPUTS * UNITS * 2]; /* layer after layer */
    size_t weights;
} model;

static double cost(void *user)
{
    model *m = (model *)user;
    const nn_real *w = m->w;
    for (size_t i = 1; i <= m->layers; i++) {
        size_t from = m->size[i - 1], to = m->size[i];
        nn_mat_mul(0, 0, IMAGES, to, from, m->out[i - 1], from, w, to, m->out[i], to, 0);
        if (i < m->layers) nn_vec_activate(m->activation, 0, IMAGES * to, m->out[i], m->out[i]);
        w += from * to;
    }
    nn_mat_log_softmax(IMAGES, CLASSES, m->out[m->layers], m->out[m->layers]);
    return -nn_vec_dot(IMAGES * CLASSES, m->target, m->out[m->layers]) / IMAGES;
}

/* f'(z) from y = f(z): y (1 - y) for the sigmoid, 1.7159 2/3 (1 - (y / 1.7159)^2) for the improved
   one. */
static nn_real slope(nn_activation f, nn_real y)
{
    return f == NN_SIGMOID ? y * (1 - y) : 2.0 / 3 * (1.7159 - y * y / 1.7159);
}

static void backward(model *m)
{
    size_t k = m->layers;
    nn_real *w = m->w + m->weights, *gradient = m->gradient + m->weights;
    cost(m);
    for (size_t i = 0; i < IMAGES * CLASSES; i++) /* (softmax(z) - t) / n */
        m->delta[k][i] = (exp(m->out[k][i]) - m->target[i]) / IMAGES;
    for (; k > 0; k--) {
        size_t from = m->size[k - 1], to = m->size[k];
        nn_real *delta = m->delta[k - 1];
        w -= from * to;
        gradient -= from * to;
        nn_mat_mul(1, 0, from, to, IMAGES, m->out[k - 1], from, m->delta[k], to, gradient, to, 0);
        if (k == 1) break;
        nn_mat_mul(0, 1, IMAGES, from, to, m->delta[k], to, w, to, delta, from, 0);
        for (size_t i = 0; i < IMAGES * from; i++)
            delta[i] *= slope(m->activation, m->out[k - 1][i]);
    }
}

static void load(model *m, const nn_dataset *data, size_t hidden, nn_activation f, uint64_t seed)
{
    nn_real *row = m->out[0];
    nn_rng rng = nn_rng_seed(seed);
    m->activation = f;
    m->layers = hidden + 1;
    m->weights = 0;
    for (size_t i = 0; i <= m->layers; i++) {
        m->size[i] = i == 0 ? INPUTS : i < m->layers ? UNITS : CLASSES;
        if (i > 0) m->weights += m->size[i - 1] * m->size[i];
    }
    for (size_t i = 0; i < m->weights; i++) m->w[i] = 2 * nn_rng_uniform(&rng) - 1;
    for (size_t i = 0; i < IMAGES; i++, row += INPUTS) {
        TRY(nn_dataset_gather(data, &i, 1, row));
        row[INPUTS - 1] = 1;
    }
    TRY(nn_mat_one_hot(IMAGES, CLASSES, data->labels, m->target));
}

/* The same net as a graph, with the same weights. The largest difference between the gradients; the
   report of nn_gradcheck, which is run if there is one. */
static double against_graph(model *m, const nn_gradcheck_desc *desc, nn_gradcheck_report *report)
{
    nn_net *net = nn_net_create(NULL);
    nn_init zero = {NN_INIT_ZERO, 0, 0};
    nn_tensor *in = nn_input(net, INPUTS), *x = in, *w[MOST + 1];
    for (size_t i = 1; i <= m->layers; i++) {
        w[i] = nn_parameter(net, 2, m->size + i - 1, zero, "w");
        x = nn_matmul(x, w[i]);
        if (i < m->layers) x = nn_activate(x, m->activation, 0);
    }
    nn_tensor *loss = nn_softmax_cross_entropy(x);
    TRY(nn_feed(in, m->out[0], IMAGES));
    TRY(nn_feed_targets(loss, m->target, IMAGES));
    const nn_real *weights = m->w, *gradient = m->gradient;
    for (size_t i = 1; i <= m->layers; weights += w[i++]->size)
        memcpy(w[i]->data, weights, w[i]->size * sizeof *weights);
    TRY(nn_forward(loss));
    TRY(nn_backward(loss));
    double worst = fabs(loss->value - cost(m));
    for (size_t i = 1; i <= m->layers; gradient += w[i++]->size)
        for (size_t k = 0; k < w[i]->size; k++)
            worst = fmax(worst, fabs(w[i]->grad[k] - gradient[k]));
    if (report) TRY(nn_gradcheck(loss, desc, report));
    nn_net_destroy(net);
    return worst;
}

/* A line of the table. 1 when all of the differences are allowed. */
static int verdict(assignment *a, const char *task, const char *what, const double *worst,
                   double most, size_t checked)
{
    int failures = 0;
    for (int i = 0; i < a->seeds; i++) failures += !(worst[i] <= most);
    assignment_result(a, "R3 R4", task, what, NAN, worst, a->seeds,
                      "%s: %.0f weights%s, at most %g allowed", failures ? "FAILS" : "passes",
                      (double)checked, most < allowed || a->seeds == 1 ? "" :
                      ", with later seeds a sample of them", most);
    return !failures;
}

int main(int argc, char **argv)
{
    static const struct { const char *task, *what; size_t hidden; nn_activation f; } cases[] = {
        {"1a 1b", "785-64-10, sigmoid", 1, NN_SIGMOID},
        {"3b", "785-64-10, improved sigmoid", 1, NN_SCALED_TANH},
        {"4c", "785-64-64-10, improved sigmoid", 2, NN_SCALED_TANH}};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task1_gradients",
                     "backpropagation by hand: the largest difference from the numerical gradient");
    nn_dataset train, test;
    a2_data(&a, &train, &test);
    model *m = (model *)assignment_new(1, sizeof *m);
    nn_gradcheck_desc desc = {0};
    nn_gradcheck_report report;
    desc.h = 1e-3;
    desc.atol = allowed;
    int well = 1;
    for (int c = 0; c < 3; c++) {
        double *worst = (double *)assignment_new(3 * (size_t)a.seeds, sizeof *worst);
        size_t checked = 0;
        char text[128];
        memset(&report, 0, sizeof report);
        for (int run = 0; run < a.seeds; run++) {
            load(m, &train, cases[c].hidden, cases[c].f, a.seed + (uint64_t)run);
            backward(m);
            desc.max_per_tensor = a.quick || run ? 1000 : 0; /* all of them with the first seed */
            TRY(nn_gradcheck_function("w", cost, m, m->weights, m->w, m->gradient, &desc, &report));
            if (run == 0) checked = report.checked;
            worst[run] = report.max_error;
            worst[a.seeds + run] = against_graph(m, &desc, c == 2 ? &report : NULL);
            worst[2 * a.seeds + run] = report.max_error;
        }
        snprintf(text, sizeof text, "%s, numerical", cases[c].what);
        well &= verdict(&a, cases[c].task, text, worst, allowed, checked);
        snprintf(text, sizeof text, "%s, hand - graph", cases[c].what);
        well &= verdict(&a, cases[c].task, text, worst + a.seeds, 1e-12, m->weights);
        if (c == 2)
            well &= verdict(&a, cases[c].task, "785-64-64-10, nn_gradcheck", worst + 2 * a.seeds,
                            allowed, checked);
        free(worst);
    }
    free(m);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return assignment_finish(&a) || !well;
}
