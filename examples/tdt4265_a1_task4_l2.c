/* TDT4265 assignment 1, tasks 4b to 4e: softmax regression with the cost J = C + lambda sum w^2.
   What the penalty does to the weights' pictures, to accuracy and to the length of the weights.

   cc -O2 examples/tdt4265_a1_task4_l2.c -lm -o task4 && ./task4 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { LAMBDAS = 5 };
static const double lambdas[LAMBDAS] = {0, 0.001, 0.01, 0.1, 1};
enum { ACCURACY, NORM, SQUARED }; /* what is measured */

static nn_tensor *softmax_regression(uint64_t seed, const void *lambda)
{
    nn_net *net = nn_net_create(&(nn_net_desc){.seed = seed});
    /* the bias is the weight of the constant 1, penalised like the others */
    nn_dense_desc dense = {.units = 10, .weight.kind = NN_INIT_ZERO, .decay_bias = 1};
    nn_tensor *z = nn_dense_with(nn_input(net, 784), &dense);
    return nn_weight_penalty(nn_softmax_cross_entropy(z), 0, *(const double *)lambda);
}

/* The z below the cross-entropy below the penalty. */
static const nn_tensor *layer(const assignment_run *run) { return run->loss->src[0]->src[0]; }

static void measure(assignment_run *run)
{
    const nn_tensor *w = nn_weight(layer(run)), *b = nn_bias(layer(run));
    const nn_history *h = &run->history;
    double squared = nn_vec_dot(w->size, w->data, w->data) + nn_vec_dot(10, b->data, b->data);
    run->value[SQUARED] = squared;
    run->value[NORM] = sqrt(squared);
    run->value[ACCURACY] = 0; /* at lambda 1 it jumps from check to check: the last epoch's mean */
    for (size_t i = h->check_count - ASSIGNMENT_CHECKS; i < h->check_count; i++)
        run->value[ACCURACY] += 100 * h->checks[i].validation_accuracy / ASSIGNMENT_CHECKS;
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task4_l2", "softmax regression, L2 penalty");
    assignment_mnist(&a);
    TRY(nn_dataset_rescale(&a.train, 0, 255, -1, 1));
    TRY(nn_dataset_normalize_like(&a.validation, &a.train));

    nn_train_desc desc = {.epochs = a.quick ? 2 : 50, .batch_size = 128, .drop_last = 1,
                          .optimizer = nn_sgd(0.01, 0), .validation = &a.validation,
                          .checks_per_epoch = ASSIGNMENT_CHECKS};
    assignment_run *run[LAMBDAS];
    double norm[LAMBDAS], squared[LAMBDAS], seconds = 0;
    for (int l = 0; l < LAMBDAS; l++) {
        run[l] = assignment_train(&a, a.seeds, softmax_regression, &lambdas[l], &a.train, &desc);
        for (int i = 0; i < a.seeds; i++) measure(&run[l][i]);
        assignment_row(&a, "R1 R2", "4c 4d",
                       assignment_text("lambda %g: validation accuracy, %%", lambdas[l]), NAN,
                       &run[l]->value[ACCURACY],
                       "mean of the last five checks; reported: falls as lambda grows");
        assignment_row(&a, "R1 R2", "4e",
                       assignment_text("lambda %g: L2 norm of the weights", lambdas[l]), NAN,
                       &run[l]->value[NORM], "reported: falls steeply with lambda");
        assignment_row(&a, "R1 R2", "4e", assignment_text("lambda %g: its square", lambdas[l]), NAN,
                       &run[l]->value[SQUARED], NULL);
        norm[l] = run[l]->value[NORM];
        squared[l] = run[l]->value[SQUARED];
        if (lambdas[l] > 0) seconds += run[l]->history.seconds;
    }
    assignment_single(&a, "R1", "4c", "the four runs with lambda > 0, seconds", NAN, seconds,
                      "R1 gave up after 55 minutes (3300 s)");

    static const char *const names[] = {"λ = 0", "λ = 0.001", "λ = 0.01", "λ = 0.1", "λ = 1"};
    static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    const nn_tensor *weights[] = {nn_weight(layer(run[0])), nn_weight(layer(run[LAMBDAS - 1]))};
    assignment_weights(&a, weights, 2, (const char *const[]){names[0], names[LAMBDAS - 1]}, 10,
                       digits, 28, "Weights of each digit", "a1_4b_weights.png", "4b",
                       "Weights, each from its least (black) to its greatest (white). With lambda "
                       "1 the grain of single pixels is gone and the shapes of digits are left.");

    chart_series curve[LAMBDAS];
    for (int l = 1; l < LAMBDAS; l++)
        curve[l] = assignment_curve(names[l], run[l], &run[l]->history.checks->validation_accuracy);
    assignment_curves(&a, curve + 1, LAMBDAS - 1, "Softmax regression, J = C + λ sum w²",
                      "validation accuracy", 0.7, 0.95, "a1_4c_accuracy.png", "4c 4d",
                      assignment_text("Accuracy falls as lambda grows, from %.1f %% at 0.001 to "
                                      "%.1f %% at 1: one layer hardly overfits, so the penalty "
                                      "only holds it back.", run[1]->value[ACCURACY],
                                      run[LAMBDAS - 1]->value[ACCURACY]));

    chart_data positive = chart_doubles(lambdas + 1, 0); /* 0 has no place on a logarithmic axis */
    chart_series length[] = {
        chart_curve("L2 norm", LAMBDAS - 1, positive, chart_doubles(norm + 1, 0)),
        chart_curve("its square", LAMBDAS - 1, positive, chart_doubles(squared + 1, 0))};
    chart_desc lengths = {.title = "Length of the weight vector", .x_label = "λ",
                          .y_label = "norm and squared norm of w", .log_x = 1, .log_y = 1,
                          .series = length, .series_count = 2};
    assignment_chart(&a, chart_line, &lengths, "a1_4e_norm.png", "4e",
                     assignment_text("The norm falls from %.3g at lambda 0.001 to %.3g at 1, its "
                                     "square from %.3g to %.3g; without a penalty they are %.3g "
                                     "and %.3g.", norm[1], norm[LAMBDAS - 1], squared[1],
                                     squared[LAMBDAS - 1], norm[0], squared[0]));
    return assignment_finish(&a);
}
