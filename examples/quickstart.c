/* Trains on 1,797 handwritten digits, or on MNIST where --data names the folder that mnist/ is in,
   shows the test accuracy and writes two pictures into out/.

   cc -O2 examples/quickstart.c -lm -o quickstart && ./quickstart [--data DIR] [--out DIR] */
#define NN_STATIC /* no other file includes nn.h: what is not called is left out */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "chart.h"
#include "digits.h"
#include "program.h"

static int fail(void) { return fprintf(stderr, "quickstart: %s\n", nn_last_error()), 1; }

int main(int argc, char **argv)
{
    const char *data = NULL, *out = "out";
    const program_option options[] = {
        {"--data", "DIR", "train on MNIST in DIR/mnist (`make data`) instead of the digits", &data},
        {"--out", "DIR", "where the pictures go (default out)", &out}};
    program_options(argc, argv, "quickstart", "a network with one hidden layer", 2, options);
    program_folder(out);

    nn_dataset all, train, test;
    if (data) {
        const char *folder = program_path(data, "mnist");
        if (nn_load_mnist(folder, &train, &test) != NN_OK)
            program_no_data(nn_last_error(), "MNIST", folder);
    } else {
        if (digits_load(&all) != NN_OK) return fail();
        if (nn_dataset_split(&all, 0.8, 1, &train, &test) != NN_OK) return fail();
    }

    nn_net *net = nn_net_create(NULL);
    nn_tensor *hidden = nn_dense(nn_input(net, train.features), 64);
    nn_tensor *logits = nn_dense(nn_dropout(nn_relu(hidden), 0.3), 10);
    nn_tensor *loss = nn_softmax_cross_entropy(logits);

    nn_train_desc desc = {0};
    desc.epochs = data ? 5 : 60;
    desc.batch_size = 32;
    desc.optimizer = nn_adam(0.005);
    desc.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    desc.validation = &test;
    desc.progress = stdout;
    desc.log_steps = 1;
    nn_history log = {0};
    if (nn_train(loss, &train, &desc, &log) != NN_OK) return fail();
    nn_result result;
    if (nn_evaluate(loss, &test, &result) != NN_OK) return fail();
    printf("%d parameters, test accuracy %.2f ± %.2f %%, %.2f s on the %s kernels\n",
           (int)nn_net_parameter_count(net), 100 * result.accuracy,
           100 * nn_accuracy_error(result.accuracy, result.count), log.seconds, nn_kernel_path());

    chart_series curve[] = {
        chart_curve("training, mean of 20 batches", log.step_count, chart_none(),
                    chart_doubles(log.step_loss, 0)),
        chart_curve("test", log.check_count, chart_sizes(&log.checks->step, sizeof *log.checks),
                    chart_doubles(&log.checks->validation_loss, sizeof *log.checks))};
    curve[0].smooth = 20;
    chart_desc lines = {0}, weights = {0};
    lines.title = "Loss", lines.x_label = "step", lines.y_label = "mean cross-entropy";
    lines.y_max = 1;
    lines.series = curve, lines.series_count = 2;
    weights.title = "What the 64 hidden units look for";
    weights.rows = 4, weights.cols = 16, weights.in_columns = 1;
    weights.image_width = (int)train.shape[1], weights.image_height = (int)train.shape[0];
    weights.values = chart_reals(nn_weight(hidden)->data, sizeof(nn_real));
    if (!chart_ok(chart_line(&lines, program_path(out, "loss.png")))) return 1;
    if (!chart_ok(chart_image_grid(&weights, program_path(out, "weights.png")))) return 1;
    return nn_history_free(&log), nn_net_destroy(net), 0;
}
