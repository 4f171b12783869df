/* DD2424 assignment 2, exercise 5: a search for lambda, coarse and then fine, and the net with the
   best lambda on nearly all of the training images.

   cc -O2 examples/dd2424_a2_search.c -lm -o search && ./search [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

enum { COARSE = 8, FINE = 6, BEST = 0 }; /* BEST: where a run keeps its best accuracy */

typedef struct trial {
    double reported, lambda, mean; /* mean: of the best accuracies of all seeds */
    assignment_run *run;
} trial;

static trial coarse[COARSE] = {{.reported = 50.74}, {.reported = 50.68}, {.reported = 51.24},
                               {.reported = 51.90}, {.reported = 51.14}, {.reported = 50.98},
                               {.reported = 47.78}, {.reported = 38.26}};
static trial fine[FINE], last;

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
        t->mean += t->run[i].value[BEST] / a->seeds;
    }
}

/* Trains with lambdas whose logarithms are evenly spaced. Gives the best by the mean over seeds. */
static double search(assignment *a, trial *trials, int count, double from, double to, size_t cycles,
                     const char *task)
{
    double best = -1, lambda = 0;
    for (int i = 0; i < count; i++) {
        trial *t = &trials[i];
        t->lambda = pow(10, from + (to - from) * i / (count - 1));
        train(a, t, 900, cycles);
        if (t->mean > best) best = t->mean, lambda = t->lambda;
        assignment_row(a, "public", task,
                       assignment_text("lambda %.3g: best validation accuracy, %%", t->lambda),
                       t->reported > 0 ? t->reported : NAN, &t->run->value[BEST], NULL);
    }
    return lambda;
}

static void draw(assignment *a)
{
    const size_t stride = sizeof(trial);
    chart_series curve[] = {
        chart_curve("coarse", COARSE, chart_doubles(&coarse->lambda, stride),
                    chart_doubles(&coarse->mean, stride)),
        chart_curve("coarse, reported", COARSE, chart_doubles(&coarse->lambda, stride),
                    chart_doubles(&coarse->reported, stride)),
        chart_curve("fine", FINE, chart_doubles(&fine->lambda, stride),
                    chart_doubles(&fine->mean, stride))};
    curve[1].dash = CHART_DASHED;
    chart_desc d = {.title = "A search for λ", .x_label = "λ", .log_x = 1, .series = curve,
                    .series_count = 3, .y_label = "best validation accuracy, %"};
    assignment_chart(a, chart_line, &d, "dd2424_a2_search.png", "coarse",
                     assignment_text("Below 0.001 lambda hardly matters, above 0.01 it holds the "
                                     "net back. The finer search, with a cycle more, chooses %.2g.",
                                     last.lambda));
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
    assignment_single(&a, "public", "final", "lambda", NAN, last.lambda,
                      "the best of the fine search");
    assignment_row(&a, "public", "final", "validation accuracy, %", NAN,
                   &last.run->validation.accuracy, NULL);
    assignment_row(&a, "public", "final", "test accuracy, %", NAN, &last.run->test.accuracy,
                   "reported: 51.4 to 54.5");
    draw(&a);
    return assignment_finish(&a);
}
