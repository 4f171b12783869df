/* DD2424 assignment 1, exercise 1: the gradients of one linear layer with softmax and a penalty, as
   the graph finds them, against numerical ones, centred and one-sided.

   cc -O2 examples/dd2424_a1_gradients.c -lm -o gradients && ./gradients [--data DIR] [--help] */
#ifndef IN_FLOAT /* with -DIN_FLOAT the check shows the rounding of the cost, 1e-7 / h */
#define NN_DOUBLE
#endif
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"
#include "dd2424_a1.h"

enum { IMAGES = 20 };

static nn_real x[IMAGES * PIXELS], columns[PIXELS * IMAGES]; /* x, x turned */
static const int *labels;

/* The same cost by hand, for the numerical gradient, when the weights of `count` classes, from
   `first` on, have changed. */
static double cost(nn_tensor *total, double lambda, size_t first, size_t count)
{
    static nn_real wx[IMAGES * CLASSES], y[IMAGES * CLASSES];
    const nn_tensor *w = nn_weight(scores_of(total)), *b = nn_bias(scores_of(total));
    double sum = 0, penalty = lambda > 0 ? lambda * nn_vec_dot(w->size, w->data, w->data) : 0;
    nn_mat_mul(1, 0, IMAGES, count, PIXELS, columns, IMAGES, w->data + first, CLASSES, wx + first,
               CLASSES, 0);
    memcpy(y, wx, sizeof y);
    nn_mat_add_row(IMAGES, CLASSES, y, b->data);
    nn_mat_log_softmax(IMAGES, CLASSES, y, y);
    for (int i = 0; i < IMAGES; i++) sum -= y[i * CLASSES + labels[i]];
    return sum / IMAGES + penalty;
}

enum { CENTRED, CENTRED_RELATIVE, ONE_SIDED, ONE_SIDED_RELATIVE, KINDS };
static double worst[KINDS][ASSIGNMENT_SEEDS];

/* The largest difference of each kind between gradients and difference quotients, for W or b. The
   steps balance rounding against the terms left out, of order h^2 when centred and h when not. */
static void check(nn_tensor *total, nn_tensor *parameter, double lambda, int run)
{
    static const double in_float[] = {1e-2, -1e-2, 1e-3}, in_double[] = {1e-5, -1e-5, 1e-7};
    const double *step = sizeof(nn_real) == sizeof(double) ? in_double : in_float;
    double here = cost(total, lambda, 0, CLASSES), f[3];
    for (size_t class = 0; class < CLASSES; class++) {
        for (size_t i = class; i < parameter->size; i += CLASSES) {
            nn_real keep = parameter->data[i], ga = parameter->grad[i];
            for (int k = 0; k < 3; k++) {
                parameter->data[i] = keep + (nn_real)step[k];
                f[k] = cost(total, lambda, class, 1);
            }
            parameter->data[i] = keep;
            double gn[2] = {(f[0] - f[1]) / (2 * step[0]), (f[2] - here) / step[2]};
            for (int k = 0; k < 2; k++) {
                double difference = fabs(ga - gn[k]);
                double relative = difference / fmax(1e-6, fabs(ga) + fabs(gn[k]));
                worst[2 * k][run] = assignment_larger(worst[2 * k][run], difference);
                worst[2 * k + 1][run] = assignment_larger(worst[2 * k + 1][run], relative);
            }
        }
        cost(total, lambda, class, 1); /* puts this class back */
    }
}

static void check_gradients(assignment *a, double lambda)
{
    static const char *const kinds[KINDS] = {"centred, absolute", "centred, relative",
                                             "one-sided, absolute", "one-sided, relative"};
    memset(worst, 0, sizeof worst);
    for (int run = 0; run < a->seeds; run++) {
        nn_tensor *total = linear(a->seed + (uint64_t)run, &lambda), *scores = scores_of(total);
        TRY(nn_feed(scores->src[0], x, IMAGES));
        TRY(nn_feed_labels(total->src[0], labels, IMAGES));
        TRY(nn_forward(total));
        TRY(nn_backward(total));
        check(total, nn_weight(scores), lambda, run);
        check(total, nn_bias(scores), lambda, run);
        nn_net_destroy(total->net);
    }
    for (int k = 0; k < KINDS; k++)
        assignment_result(a, "R5", "1",
                          assignment_text("gradients, lambda %g: %s", lambda, kinds[k]), 1e-6,
                          worst[k], a->seeds,
                          k == ONE_SIDED_RELATIVE
                              ? "worst where the gradient is near 0: eps is 1e-6, R5's unknown"
                              : "reported: below 1e-6, 3e-6 for some seeds");
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a1_gradients", "gradients of one linear layer");
    dd2424_data(&a, 10000, 10000);
    assignment_images(&a.train, IMAGES, PIXELS, x, columns);
    labels = a.train.labels;
    check_gradients(&a, 0);
    if (!a.quick) check_gradients(&a, 0.1);
    return assignment_finish(&a);
}
