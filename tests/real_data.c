/* Numbers on real data: real_data digits | mnist DIR | cifar10 DIR | export DIR OUT, which leaves
   what exported_mnist.c tries. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "../examples/digits.h"
#include "test.h"

static const char *folder;

static const char *in_folder(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Test accuracy of the quickstart's network on a random 80/20 split. */
static double digits_accuracy(uint64_t seed)
{
    nn_dataset all, train, test;
    nn_net_desc net_desc = {0};
    nn_train_desc desc = {0};
    nn_result result = {0};
    CHECK_OK(digits_load(&all));
    CHECK_OK(nn_dataset_split(&all, 0.8, seed, &train, &test));
    net_desc.seed = seed;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *h = nn_dropout(nn_relu(nn_dense(nn_input(net, 64), 64)), 0.3);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(h, 10));
    desc.epochs = 60;
    desc.batch_size = 32;
    desc.optimizer = nn_adam(0.005);
    desc.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    CHECK_OK(nn_train(loss, &train, &desc, NULL));
    CHECK_OK(nn_evaluate(loss, &test, &result));
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
    return result.accuracy;
}

static void digits_over_ten_seeds(void)
{
    double sum = 0, worst = 1;
    for (uint64_t seed = 0; seed < 10; seed++) {
        double accuracy = digits_accuracy(seed);
        sum += accuracy;
        worst = accuracy < worst ? accuracy : worst;
    }
    printf("digits: mean %.4f, worst %.4f of 10 seeds\n", sum / 10, worst);
    CHECK(sum / 10 >= 0.97);
    CHECK(worst >= 0.95);
}

/* TDT4265 assignment 1, task 2d without shuffle: deterministic, so exactly this. */
static void logistic_regression_stops_in_epoch_33(void)
{
    static const int classes[] = {3, 2}; /* 2 is the positive class */
    nn_dataset all, test, first, train, validation;
    nn_dense_desc dense = {0};
    nn_train_desc desc = {0};
    nn_history history = {0};
    CHECK_OK(nn_load_mnist(in_folder("mnist"), &all, &test));
    CHECK_OK(nn_dataset_subset(&all, 0, 20000, &first));
    CHECK_OK(nn_dataset_select_classes(&first, 2, classes, &train));
    CHECK_OK(nn_dataset_select_classes(&test, 2, classes, &validation));
    CHECK_OK(nn_dataset_rescale(&train, 0, 255, -1, 1));
    CHECK_OK(nn_dataset_normalize_like(&validation, &train));
    nn_net *net = nn_net_create(NULL);
    dense.units = 1;
    dense.weight.kind = NN_INIT_ZERO;
    nn_tensor *loss = nn_sigmoid_cross_entropy(nn_dense_with(nn_input(net, 784), &dense));
    desc.epochs = 500;
    desc.batch_size = 128;
    desc.no_shuffle = desc.drop_last = desc.evaluate_training = 1;
    desc.optimizer = nn_sgd(0.05, 0);
    desc.validation = &validation;
    desc.checks_per_epoch = 5;
    desc.patience = 10;
    CHECK_OK(nn_train(loss, &train, &desc, &history));
    const nn_check *last = &history.checks[history.check_count - 1];
    printf("logistic regression: epoch %d, step %d, training %.6f, validation %.6f\n",
           (int)last->epoch, (int)last->step, last->train_accuracy, last->validation_accuracy);
    CHECK_INT(last->epoch, 33);
    CHECK_INT(last->step, 1039);
    CHECK_NEAR(last->train_accuracy * 4005, 3908, 1e-6);
    CHECK_NEAR(last->validation_accuracy * 2042, 2000, 1e-6);
    nn_history_free(&history);
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&first);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
}

/* TDT4265 assignment 2, task 3c. */
static double momentum_accuracy(const nn_dataset *train, const nn_dataset *test, uint64_t seed)
{
    nn_net_desc net_desc = {0};
    nn_dense_desc hidden = {0}, output = {0};
    nn_train_desc desc = {0};
    nn_result result = {0};
    net_desc.seed = seed;
    nn_net *net = nn_net_create(&net_desc);
    hidden.units = 64;
    hidden.activation = NN_ACTIVATION_SCALED_TANH;
    hidden.weight = hidden.bias = nn_init_normal(0, 1 / sqrt(785.0));
    output.units = 10;
    output.no_bias = 1;
    output.weight.kind = NN_INIT_LECUN_NORMAL;
    nn_tensor *x = nn_input(net, 784);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense_with(nn_dense_with(x, &hidden), &output));
    CHECK_INT(nn_net_parameter_count(net), 50880);
    desc.epochs = 50;
    desc.batch_size = 32;
    desc.drop_last = 1;
    desc.optimizer = nn_sgd(0.02, 0.9);
    desc.validation = test;
    desc.checks_per_epoch = 5;
    desc.patience = 50;
    CHECK_OK(nn_train(loss, train, &desc, NULL));
    CHECK_OK(nn_evaluate(loss, test, &result));
    nn_net_destroy(net);
    return result.accuracy;
}

static void momentum_over_five_seeds(void)
{
    nn_dataset all, test, train;
    double sum = 0;
    CHECK_OK(nn_load_mnist(in_folder("mnist"), &all, &test));
    CHECK_OK(nn_dataset_subset(&all, 0, 20000, &train));
    CHECK_OK(nn_dataset_standardize(&train, NN_PER_SET));
    CHECK_OK(nn_dataset_normalize_like(&test, &train));
    CHECK_NEAR(1 / (double)train.scale[0], 78.8755, 1e-3);
    CHECK_NEAR(-(double)train.shift[0] / (double)train.scale[0], 33.5527, 1e-3);
    for (uint64_t seed = 0; seed < 5; seed++) {
        double accuracy = momentum_accuracy(&train, &test, seed);
        printf("784-64-10 with momentum, seed %d: %.4f\n", (int)seed, accuracy);
        CHECK_NEAR(accuracy, 0.964, 0.005);
        sum += accuracy / 5;
    }
    printf("mean %.4f\n", sum);
    CHECK_NEAR(sum, 0.964, 0.004);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
}

static const char *out_folder = ".";

static const char *in_out(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", out_folder, name);
    return path;
}

/* int8 keeps the accuracy to a tenth of a point, and both their sizes. */
static void export_784_64_10(void)
{
    static float out[100000];
    nn_dataset train, test;
    nn_train_desc desc = {0};
    nn_dense_desc hidden = {0}, output = {0};
    nn_export_report report;
    nn_export_desc export_desc = {0};
    CHECK_OK(nn_load_mnist(in_folder("mnist"), &train, &test));
    CHECK_OK(nn_dataset_standardize(&train, NN_PER_SET));
    CHECK_OK(nn_dataset_normalize_like(&test, &train));
    nn_net *net = nn_net_create(NULL);
    hidden.units = 64, hidden.activation = NN_ACTIVATION_SCALED_TANH;
    output.units = 10, output.no_bias = 1;
    nn_tensor *logits = nn_dense_with(nn_dense_with(nn_input(net, 784), &hidden), &output);
    desc.epochs = 2, desc.batch_size = 32, desc.optimizer = nn_sgd(0.02, 0.9);
    CHECK_OK(nn_train(nn_softmax_cross_entropy(logits), &train, &desc, NULL));
    CHECK_OK(nn_predict(logits, &test, out));
    write_file(in_out("mnist.out"), out, sizeof out);
    export_desc.data = &test, export_desc.report = &report;
    export_desc.name = "mnist";
    CHECK_OK(nn_export_c(logits, in_out("mnist.c"), &export_desc));
    CHECK_INT(report.working_bytes, 256);
    CHECK_INT(report.constant_bytes, 4 * (784 * 64 + 64 + 640 + 2)); /* and the normalisation */
    export_desc.name = "mnist8", export_desc.int8 = 1;
    CHECK_OK(nn_export_c(logits, in_out("mnist8.c"), &export_desc));
    printf("accuracy %.4f, as int8 %.4f\n", report.accuracy, report.exported_accuracy);
    CHECK(report.accuracy > 0.95);
    CHECK_NEAR(report.exported_accuracy, report.accuracy, 0.001);
    CHECK_INT(report.constant_bytes, 784 * 64 + 640 + 4 * (64 + 64 + 10 + 2));
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
}

static void cifar10_loads(void)
{
    nn_dataset train, test;
    size_t per_class[10] = {0};
    CHECK_OK(nn_load_cifar10(in_folder("cifar10"), &train, &test));
    CHECK_INT(train.count, 50000);
    CHECK_INT(test.count, 10000);
    CHECK_INT(train.features, 3072);
    for (size_t i = 0; i < train.count; i++) per_class[train.labels[i]]++;
    for (int c = 0; c < 10; c++) CHECK_INT(per_class[c], 5000);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    folder = argc > 2 ? argv[2] : "data";
    if (!strcmp(what, "digits")) RUN(digits_over_ten_seeds);
    if (!strcmp(what, "mnist")) {
        RUN(logistic_regression_stops_in_epoch_33);
        RUN(momentum_over_five_seeds);
    }
    if (!strcmp(what, "cifar10")) RUN(cifar10_loads);
    if (argc > 3) out_folder = argv[3];
    if (!strcmp(what, "export")) RUN(export_784_64_10);
    return test_done("real_data");
}
