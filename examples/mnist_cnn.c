/* A small convolutional network on MNIST: 3 x 3 convolutions with 8, 16, 32 and 32 filters, batch
   normalisation, 15,554 parameters, trained on images that are moved and turned a little. Or with
   --lenet two large convolutions and a hidden layer, in the manner of LeNet-5 (LeCun et al. 1998).

   cc -O2 -fopenmp examples/mnist_cnn.c -lm -o mnist_cnn && ./mnist_cnn [--lenet] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "chart.h"
#include "digits.h"
#include "program.h"

#include "images.h"

/* A convolution, normalised. Its bias would be taken away again by the normalisation. */
static nn_tensor *layer(nn_tensor *x, size_t filters)
{
    nn_conv_desc conv = {0};
    nn_batch_norm_desc norm = {0};
    conv.filters = filters, conv.kernel = 3, conv.no_bias = 1;
    norm.activation = NN_ACTIVATION_RELU;
    return nn_batch_norm_with(nn_conv2d_with(x, &conv), &norm);
}

static nn_tensor *small(nn_tensor *x)
{
    x = nn_max_pool(layer(x, 8), 2);
    x = nn_max_pool(layer(x, 16), 2);
    x = layer(layer(x, 32), 32);
    return nn_dense(nn_global_average_pool(x), 10);
}

static nn_tensor *lenet(nn_tensor *x)
{
    x = nn_max_pool(nn_relu(nn_conv2d(x, 32, 5)), 2);
    x = nn_max_pool(nn_relu(nn_conv2d(x, 64, 5)), 2);
    return nn_dense(nn_relu(nn_dense(nn_flatten(x), 64)), 10);
}

int main(int argc, char **argv)
{
    const char *data = NULL, *out = "out", *seed = "0", *epochs = NULL, *use_lenet = NULL;
    const program_option options[] = {
        {"--data", "DIR", "the folder that mnist/ is in (default data; without it: digits)", &data},
        {"--lenet", NULL, "the larger network with 5 x 5 filters", &use_lenet},
        {"--epochs", "N", "how often to go through the data (default 19; LeNet 3)", &epochs},
        {"--seed", "N", "of weights, shuffles and augmentation (default 0)", &seed},
        {"--out", "DIR", "where the pictures go (default out)", &out}};
    program_options(argc, argv, "mnist_cnn", "a convolutional network on MNIST",
                    sizeof options / sizeof *options, options);
    program_folder(out);
    nn_net_desc net_desc = {0};
    net_desc.seed = program_number("--seed", seed, 0, UINT64_MAX);

    nn_dataset train, test;
    images_load_digits(data, &train, &test);
    need(nn_dataset_standardize(&train, NN_PER_SET));
    need(nn_dataset_normalize_like(&test, &train));

    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *x = nn_input_like(net, &train);
    nn_tensor *logits = use_lenet ? lenet(x) : small(x);
    nn_tensor *loss = nn_softmax_cross_entropy(logits);
    need(nn_net_summary(net, stdout));

    nn_train_desc desc = {0};
    nn_history history = {0};
    desc.epochs = use_lenet ? 3 : 19;
    if (epochs) desc.epochs = program_number("--epochs", epochs, 1, 1000);
    desc.batch_size = 64;
    desc.optimizer = use_lenet ? nn_adam(0.001) : nn_adamw(0.01, 0.01);
    desc.optimizer.schedule.kind = NN_SCHEDULE_ONE_CYCLE;
    desc.augment.shift = train.shape[0] / 14; /* 2 of 28 pixels */
    desc.augment.rotation = use_lenet ? 0 : 10;
    desc.validation = &test;
    desc.progress = stdout;
    need(nn_train(loss, &train, &desc, &history));

    nn_real *outputs = images_reals(test.count * 10);
    need(nn_predict(logits, &test, outputs));
    double accuracy = images_mistakes(&test, outputs, NULL, program_path(out, "mistakes.png"));
    images_filters("Filters of the first layer", nn_net_parameter(net, 0),
                   program_path(out, "filters.png"));
    images_curve(&history, program_path(out, "accuracy.png"));
    printf("%d parameters, test accuracy %.2f %%, %.1f s\n", (int)nn_net_parameter_count(net),
           100 * accuracy, history.seconds);
    free(outputs);
    nn_history_free(&history);
    return nn_net_destroy(net), 0;
}
