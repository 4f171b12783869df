/* 784-64-10 on MNIST as in TDT4265 assignment 2, task 3c: improved sigmoid, weights scaled by the
   fan in, momentum. 20,000 training images, validation on the 10,000 test images, early stopping.

   With --save it keeps the run in a file: Ctrl-C stops it there, --resume goes on to the same bits,
   and examples/predict.c uses the network.

   cc -O2 examples/mnist_mlp.c -lm -o mnist_mlp && ./mnist_mlp [--data DIR] [--seed N]
   [--save FILE] [--resume FILE] [--export FILE] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "program.h"

#include <math.h>

static int fail(void) { return fprintf(stderr, "mnist_mlp: %s\n", nn_last_error()), 1; }

static int on_step(void *user, nn_net *net, size_t step, double loss)
{
    (void)user, (void)net, (void)step, (void)loss;
    return program_interrupted();
}

int main(int argc, char **argv)
{
    const char *data = "data", *seed = "0", *save = NULL, *resume = NULL, *export_to = NULL;
    const program_option options[] = {
        {"--data", "DIR", "the folder that mnist/ is in (default data; `make data`)", &data},
        {"--seed", "N", "of the weights and the shuffles (default 0)", &seed},
        {"--save", "FILE", "keep the run in FILE, after every epoch and when interrupted", &save},
        {"--resume", "FILE", "the same, and go on from FILE when it is there", &resume},
        {"--export", "FILE", "write the network as a C file that needs no nn.h", &export_to}};
    program_options(argc, argv, "mnist_mlp", "784-64-10 on MNIST with momentum", 5, options);
    nn_net_desc net_desc = {0};
    net_desc.seed = program_number("--seed", seed, 0, UINT64_MAX);

    nn_dataset all, train, test;
    const char *folder = program_path(data, "mnist");
    if (nn_load_mnist(folder, &all, &test) != NN_OK)
        program_no_data(nn_last_error(), "MNIST", folder);
    if (nn_dataset_subset(&all, 0, 20000, &train) != NN_OK) return fail();
    if (nn_dataset_standardize(&train, NN_PER_SET) != NN_OK) return fail();
    if (nn_dataset_normalize_like(&test, &train) != NN_OK) return fail();

    nn_net *net = nn_net_create(&net_desc);
    nn_dense_desc hidden = {0};
    hidden.units = 64;
    hidden.activation = NN_ACTIVATION_SCALED_TANH;
    hidden.weight = hidden.bias = nn_init_normal(0, 1 / sqrt(785.0)); /* the bias: a 785th input */
    nn_dense_desc output = {0};
    output.units = 10;
    output.no_bias = 1;
    output.weight.kind = NN_INIT_LECUN_NORMAL;
    nn_tensor *logits = nn_dense_with(nn_dense_with(nn_input(net, 784), &hidden), &output);
    nn_tensor *loss = nn_softmax_cross_entropy(logits);
    if (nn_net_summary(net, stdout) != NN_OK) return fail();

    nn_train_desc desc = {0};
    desc.epochs = 50;
    desc.batch_size = 32;
    desc.drop_last = 1;
    desc.optimizer = nn_sgd(0.02, 0.9);
    desc.validation = &test;
    desc.checks_per_epoch = 5;
    desc.patience = 50;
    desc.progress = stderr;
    desc.save_path = resume ? resume : save;
    desc.resume = resume != NULL;
    if (desc.save_path) {
        program_catch_interrupt();
        desc.on_step = on_step;
    }
    nn_history history = {0};
    if (nn_train(loss, &train, &desc, &history) != NN_OK) return fail();
    if (program_interrupted())
        printf("interrupted; to go on: %s --resume %s\n", argv[0], desc.save_path);

    nn_result on_train, on_test;
    if (nn_evaluate(loss, &train, &on_train) != NN_OK) return fail();
    if (nn_evaluate(loss, &test, &on_test) != NN_OK) return fail();
    printf("epochs %d  train loss %.4f accuracy %.4f  validation loss %.4f accuracy %.4f  %.2f s\n",
           (int)history.epochs, on_train.loss, on_train.accuracy, on_test.loss, on_test.accuracy,
           history.seconds);
    if (export_to) {
        nn_export_desc export_desc = {0};
        export_desc.name = "mnist";
        export_desc.data = &test;
        if (nn_export_c(logits, export_to, &export_desc) != NN_OK) return fail();
    }
    nn_history_free(&history);
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
    return 0;
}
