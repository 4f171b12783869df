/* TDT4265 assignment 1, tasks 4b to 4e: softmax regression with the cost J = C + lambda sum w^2.
   What the penalty does to the weights' pictures, to accuracy and to the length of the weights.

   cc -O2 examples/tdt4265_a1_task4_l2.c -lm -o task4 && ./task4 [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { LAMBDAS = 5, WEIGHTS = 784 * 10 };
static const double lambdas[LAMBDAS] = {0, 0.001, 0.01, 0.1, 1};

static nn_real weights[LAMBDAS][WEIGHTS]; /* of the last run */

/* Trains with lambdas[l]; gives the squared 2-norm of the weights, those of the constant 1 too. */
static double train(const nn_train_desc *desc, const nn_dataset *data, int l, uint64_t seed,
                    nn_history *out)
{
    nn_net_desc net_desc = {0};
    net_desc.seed = seed;
    nn_net *net = nn_net_create(&net_desc);
    nn_dense_desc dense = {0};
    dense.units = 10;
    dense.weight.kind = NN_INIT_ZERO;
    dense.decay_bias = 1; /* the bias is the weight of the constant 1, penalised like the others */
    nn_tensor *z = nn_dense_with(nn_input(net, 784), &dense);
    nn_tensor *cost = nn_weight_penalty(nn_softmax_cross_entropy(z), 0, lambdas[l]);
    memset(out, 0, sizeof *out);
    TRY(nn_train(cost, data, desc, out));
    const nn_tensor *w = nn_weight(z), *b = nn_bias(z);
    memcpy(weights[l], w->data, sizeof weights[l]);
    double squared = nn_vec_dot(w->size, w->data, w->data) + nn_vec_dot(10, b->data, b->data);
    nn_net_destroy(net);
    return squared;
}

int main(int argc, char **argv)
{
    static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
                                         "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    static const char *const row_names[] = {"λ = 0", "λ = 1"};
    static const char *const names[] = {"λ = 0.001", "λ = 0.01", "λ = 0.1", "λ = 1"};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task4_l2", "softmax regression, L2 penalty");
    nn_dataset data, test;
    assignment_mnist(&a, &data, &test);
    TRY(nn_normalize_range(&data, 0, 255, -1, 1));
    TRY(nn_normalize_like(&test, &data));

    nn_train_desc desc = {0};
    desc.epochs = a.quick ? 2 : 50;
    desc.batch_size = 128;
    desc.drop_last = 1;
    desc.optimizer.learning_rate = 0.01;
    desc.validation = &test;
    desc.checks_per_epoch = 5;
    nn_history h[LAMBDAS];
    chart_series curve[LAMBDAS - 1], length[2];
    double norm[LAMBDAS], squared[LAMBDAS], end[LAMBDAS], seconds = 0;
    double *accuracy = (double *)assignment_new((size_t)a.seeds * 3, sizeof *accuracy);
    double *sum = accuracy + a.seeds, *root = sum + a.seeds;
    for (int l = 0; l < LAMBDAS; l++) {
        for (int run = a.seeds; run--;) { /* the first seed is the last to run, and is drawn */
            if (run < a.seeds - 1) nn_history_free(&h[l]);
            sum[run] = train(&desc, &data, l, a.seed + (uint64_t)run, &h[l]);
            root[run] = sqrt(sum[run]);
            accuracy[run] = 0; /* at lambda 1 it jumps from check to check: the last epoch's mean */
            for (size_t i = h[l].check_count - 5; i < h[l].check_count; i++)
                accuracy[run] += 100 * h[l].checks[i].validation_accuracy / 5;
        }
        char label[64];
        snprintf(label, sizeof label, "lambda %g: validation accuracy, %%", lambdas[l]);
        assignment_result(&a, "R1 R2", "4c 4d", label, NAN, accuracy, a.seeds,
                          "mean of the last five checks; reported: falls as lambda grows");
        snprintf(label, sizeof label, "lambda %g: L2 norm of the weights", lambdas[l]);
        assignment_result(&a, "R1 R2", "4e", label, NAN, root, a.seeds,
                          "reported: falls steeply with lambda");
        snprintf(label, sizeof label, "lambda %g: its square", lambdas[l]);
        assignment_result(&a, "R1 R2", "4e", label, NAN, sum, a.seeds, NULL);
        end[l] = accuracy[0];
        squared[l] = sum[0];
        norm[l] = root[0];
        if (l == 0) continue;
        seconds += h[l].seconds;
        curve[l - 1] = assignment_curve(names[l - 1], &h[l], &h[l].checks->validation_accuracy);
    }
    assignment_single(&a, "R1", "4c", "the four runs with lambda > 0, seconds", NAN, seconds,
                      "R1 gave up after 55 minutes (3300 s)");

    chart_desc grid = {0};
    chart_data rows[2];
    rows[0] = chart_reals(weights[0], sizeof(nn_real));
    rows[1] = chart_reals(weights[LAMBDAS - 1], sizeof(nn_real));
    grid.title = "Weights of each digit";
    grid.row_values = rows;
    grid.row_names = row_names;
    grid.captions = digits;
    grid.rows = 2;
    grid.cols = 10;
    grid.image_width = grid.image_height = 28;
    grid.in_columns = 1;
    assignment_chart(&a, chart_image_grid, &grid, "a1_4b_weights.png", "4b",
                     "Weights, each from its least (black) to its greatest (white). lambda 1 is "
                     "smoother: noise costs length but wins no accuracy.");
    assignment_curves(&a, curve, LAMBDAS - 1, "Softmax regression, J = C + λ sum w²",
                      "validation accuracy", 0.7, 0.95, "a1_4c_accuracy.png", "4c 4d",
                      "Accuracy falls as lambda grows, from %.1f %% at 0.001 to %.1f %% at 1: one "
                      "layer hardly overfits, so the penalty only holds it back.", end[1],
                      end[LAMBDAS - 1]);
    chart_desc lines = {0};
    length[0] = chart_curve("L2 norm", LAMBDAS - 1, chart_doubles(lambdas + 1, 0),
                            chart_doubles(norm + 1, 0));
    length[1] = chart_curve("its square", LAMBDAS - 1, chart_doubles(lambdas + 1, 0),
                            chart_doubles(squared + 1, 0));
    lines.title = "Length of the weight vector";
    lines.x_label = "λ";
    lines.y_label = "norm and squared norm of w";
    lines.log_x = lines.log_y = 1;
    lines.series = length;
    lines.series_count = 2;
    assignment_chart(&a, chart_line, &lines, "a1_4e_norm.png", "4e",
                     "The norm falls from %.3g at lambda 0.001 to %.3g at 1, its square from %.3g "
                     "to %.3g; without a penalty they are %.3g and %.3g.", norm[1],
                     norm[LAMBDAS - 1], squared[1], squared[LAMBDAS - 1], norm[0], squared[0]);
    free(accuracy);
    for (int l = 0; l < LAMBDAS; l++) nn_history_free(&h[l]);
    nn_dataset_free(&data);
    nn_dataset_free(&test);
    return assignment_finish(&a);
}
