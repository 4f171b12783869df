/* DD2424 assignment 2, exercise 5: a search for lambda, coarse and then fine, and the net with the
   best lambda on nearly all of the training images.

   cc -O2 examples/dd2424_a2_search.c -lm -o search && ./search [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

enum { COARSE = 8, FINE = 6, BEST = 0 }; /* BEST: where a run keeps its best accuracy */

typedef struct trial {
    double lambda, reported;
    assignment_run *run;
} trial;

static trial coarse[COARSE] = {{0, 50.74, NULL}, {0, 50.68, NULL}, {0, 51.24, NULL},
                               {0, 51.90, NULL}, {0, 51.14, NULL}, {0, 50.98, NULL},
                               {0, 47.78, NULL}, {0, 38.26, NULL}};
static trial fine[FINE], last = {0, NAN, NULL};

static void train(assignment *a, trial *t, size_t n_s, size_t cycles)
{
    const dd2424_net net = {.units = {50}, .weight = nn_init_scaled(NN_INIT_LECUN_NORMAL),
                            .lambda = t->lambda};
    nn_train_desc desc = dd2424_cycles(a, n_s, cycles);
    t->run = assignment_train(a, a->seeds, dd2424_cost, &net, &a->train, &desc);
    for (int i = 0; i < a->seeds; i++) {
        const nn_history *h = &t->run[i].history;
        for (size_t k = 0; k < h->check_count; k++)
            t->run[i].value[BEST] =
                fmax(t->run[i].value[BEST], 100 * h->checks[k].validation_accuracy);
    }
}

/* Trains with lambdas whose logarithms are evenly spaced. Gives the best, by the mean over seeds. */
static double search(assignment *a, trial *trials, int count, double from, double to, size_t cycles,
                     const char *task)
{
    double best = -1, lambda = 0;
    for (int i = 0; i < count; i++) {
        trial *t = &trials[i];
        double mean = 0;
        t->lambda = pow(10, from + (to - from) * i / (count - 1));
        train(a, t, 900, cycles);
        for (int k = 0; k < a->seeds; k++) mean += t->run[k].value[BEST] / a->seeds;
        if (mean > best) best = mean, lambda = t->lambda;
        assignment_row(a, "public", task,
                       assignment_text("lambda %.3g: best validation accuracy, %%", t->lambda),
                       t->reported > 0 ? t->reported : NAN, &t->run->value[BEST], NULL);
    }
    return lambda;
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a2_search", "3072-50-10, a search for lambda");
    dd2424_data(&a, 45000, 5000);
    double found = search(&a, coarse, COARSE, -5, -1, 2, "coarse");
    const double step = 4.0 / (COARSE - 1), at = log10(found);
    last.lambda = search(&a, fine, FINE, at - 0.8 * step, at + 0.8 * step, 3, "fine");
    dd2424_data(&a, 49000, 1000);
    train(&a, &last, 1960, 3);
    assignment_single(&a, "public", "final", "lambda", NAN, last.lambda, "the best of the fine search");
    assignment_row(&a, "public", "final", "validation accuracy, %", NAN,
                   &last.run->validation.accuracy, NULL);
    assignment_row(&a, "public", "final", "test accuracy, %", NAN, &last.run->test.accuracy,
                   "reported: 51.4 to 54.5");
    return assignment_finish(&a);
}
