/* CIFAR-10 with a network in the manner of airbench (Jordan, "94% on CIFAR-10 in 3.29 seconds on a
   single GPU", 2024): a first layer that whitens patches and is not trained, groups of one, two and
   three convolutions, GELU, batch normalisation whose biases learn fast, label smoothing, a learning
   rate that goes up and down in one triangle, images flipped in every other epoch and moved by two
   pixels, predictions averaged over flips and shifts.

   cc -O2 -fopenmp examples/cifar10_cnn.c -lm -o cifar10_cnn && ./cifar10_cnn [--long] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "chart.h"
#include "digits.h"
#include "program.h"

#include "images.h"

enum { PATCH = 12, WHITE = 2 * PATCH }; /* 2 x 2 pixels of 3 channels; filters of the first layer */

/* Eigenvectors, in rows, and eigenvalues of a symmetric matrix, by Jacobi's rotations. */
static void eigenvectors(double a[PATCH][PATCH], double v[PATCH][PATCH])
{
    for (int i = 0; i < PATCH; i++)
        for (int j = 0; j < PATCH; j++) v[i][j] = i == j;
    for (int turn = 0; turn < 20 * PATCH * PATCH; turn++) {
        const int p = turn / PATCH % PATCH, q = turn % PATCH;
        if (p >= q || fabs(a[p][q]) < 1e-14) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
        const double c = 1 / sqrt(t * t + 1), s = t * c;
        for (int k = 0; k < PATCH; k++) {
            const double x = a[k][p], y = a[k][q];
            a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
        }
        for (int k = 0; k < PATCH; k++) {
            const double x = a[p][k], y = a[q][k], x2 = v[p][k], y2 = v[q][k];
            a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
            v[p][k] = c * x2 - s * y2, v[q][k] = s * x2 + c * y2;
        }
    }
}

/* The covariance of patches of [channels, height, width] images. */
static void patch_covariance(const nn_dataset *data, double a[PATCH][PATCH])
{
    const size_t side = 32, count = data->count < 2000 ? data->count : 2000;
    const double patches = (double)(count * (side - 1) * (side - 1));
    nn_real *image = images_reals(data->features);
    memset(a, 0, PATCH * sizeof *a);
    for (size_t i = 0; i < count; i++) {
        need(nn_dataset_gather(data, &i, 1, image));
        for (size_t at = 0; at < (side - 1) * side; at++) {
            double patch[PATCH]; /* in the order of a filter: row, column, channel */
            if (at % side == side - 1) continue;
            for (size_t k = 0; k < PATCH; k++)
                patch[k] = (double)image[k % 3 * side * side + at + k / 6 * side + k / 3 % 2];
            for (size_t k = 0; k < PATCH * PATCH; k++)
                a[k / PATCH][k % PATCH] += patch[k / PATCH] * patch[k % PATCH] / patches;
        }
    }
    free(image);
}

/* Filters that give uncorrelated outputs of variance 1, and the same with the sign turned. */
static nn_tensor *whitened(nn_tensor *x, const nn_dataset *data)
{
    double a[PATCH][PATCH], v[PATCH][PATCH];
    nn_real filters[PATCH * WHITE];
    nn_conv_desc conv = {0};
    conv.filters = WHITE, conv.kernel = 2, conv.padding = NN_PADDING_VALID;
    conv.no_bias = 1; /* nothing to train: the largest images need no gradients */
    x = nn_conv2d_with(x, &conv);
    if (!x) return NULL;
    patch_covariance(data, a);
    eigenvectors(a, v);
    for (size_t k = 0; k < PATCH * WHITE; k++) {
        const size_t i = k % WHITE % PATCH;
        const double size = 1 / sqrt(a[i][i] + 5e-4);
        filters[k] = (nn_real)(v[i][k / WHITE] * (k % WHITE < PATCH ? size : -size));
    }
    need(nn_set_values(nn_weight(x), filters, PATCH * WHITE));
    nn_weight(x)->frozen = 1;
    return nn_gelu(x);
}

/* A 3 x 3 convolution whose first filters pass their channels on as they are. */
static nn_tensor *convolution(nn_tensor *x, size_t filters)
{
    nn_conv_desc conv = {0};
    if (!x) return NULL;
    const double bound = 1 / sqrt(9.0 * (double)x->shape[x->rank - 1]);
    conv.filters = filters, conv.kernel = 3, conv.no_bias = 1;
    conv.weight = nn_init_uniform(-bound, bound);
    x = nn_conv2d_with(x, &conv);
    if (!x) return NULL;
    nn_tensor *w = nn_weight(x); /* [3, 3, channels, filters] */
    for (size_t i = 0; i < 9 * w->shape[2]; i++)
        for (size_t k = 0; k < w->shape[2] && k < filters; k++)
            w->data[i * filters + k] = i == 4 * w->shape[2] + k;
    return x;
}

/* Batch normalisation without a scale and with biases that learn fast. */
static nn_tensor *normalized(nn_tensor *x)
{
    nn_batch_norm_desc norm = {0};
    norm.momentum = 0.4;
    x = nn_batch_norm_with(x, &norm);
    if (!x) return NULL;
    nn_weight(x)->frozen = 1;
    nn_bias(x)->learning_rate_scale = 64;
    return x;
}

/* So many convolutions, the first of which is pooled; two after it are a residual block (He et al.
   2016). */
static nn_tensor *group(nn_tensor *x, size_t filters, int convolutions)
{
    nn_tensor *pooled = nn_gelu(normalized(nn_max_pool(convolution(x, filters), 2)));
    x = pooled;
    if (convolutions > 1) x = normalized(convolution(x, filters));
    if (convolutions > 2) x = nn_add(normalized(convolution(nn_gelu(x), filters)), pooled);
    return convolutions > 1 ? nn_gelu(x) : x;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};
    const char *data = "data", *out = "out", *seed = "0", *epochs = NULL, *use_long = NULL;
    const char *images = "50000";
    const program_option options[] = {
        {"--data", "DIR", "the folder that cifar10/ is in (default data; `make data`)", &data},
        {"--epochs", "N", "how often to go through the data (default 14; 15 with --long)", &epochs},
        {"--long", NULL, "a larger network: twice the time for one point more", &use_long},
        {"--images", "N", "train on the first N images (default 50000)", &images},
        {"--seed", "N", "of weights, shuffles and augmentation (default 0)", &seed},
        {"--out", "DIR", "where the pictures go (default out)", &out}};
    program_options(argc, argv, "cifar10_cnn", "a convolutional network on CIFAR-10",
                    sizeof options / sizeof *options, options);
    program_folder(out);
    nn_net_desc net_desc = {0};
    net_desc.seed = program_number("--seed", seed, 0, UINT64_MAX);

    nn_dataset all, train, test;
    const char *folder = program_path(data, "cifar10");
    if (nn_load_cifar10(folder, &all, &test) != NN_OK)
        program_no_data(nn_last_error(), "CIFAR-10", folder);
    need(nn_dataset_subset(&all, 0, program_number("--images", images, 500, 50000), &train));
    need(nn_dataset_standardize(&train, NN_PER_CHANNEL));
    need(nn_dataset_normalize_like(&test, &train));

    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *x = whitened(nn_input_like(net, &train), &train);
    nn_tensor *first = nn_net_parameter(net, 0);
    x = group(x, use_long ? 48 : 32, 1);
    x = group(x, use_long ? 128 : 96, 2);
    x = group(x, use_long ? 256 : 192, 3);
    nn_tensor *logits = nn_scale(nn_dense(nn_global_max_pool(x), 10), 1 / 9.0);
    nn_loss_desc smooth = {0};
    smooth.label_smoothing = 0.2;
    nn_tensor *loss = nn_loss(logits, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &smooth);
    need(nn_net_summary(net, stdout));

    nn_train_desc desc = {0};
    nn_history history = {0};
    desc.epochs = use_long ? 15 : 14;
    if (epochs) desc.epochs = program_number("--epochs", epochs, 1, 1000);
    desc.batch_size = 500;
    desc.optimizer = nn_sgd(0.6, 0.85);
    desc.optimizer.nesterov = 1;
    desc.optimizer.weight_decay = 0.0013;
    desc.optimizer.schedule.kind = NN_SCHEDULE_ONE_CYCLE;
    desc.augment.flip = NN_FLIP_ALTERNATING;
    desc.augment.shift = 2, desc.augment.reflect = 1;
    desc.validation = &test;
    desc.progress = stdout;
    need(nn_train(loss, &train, &desc, &history));

    nn_predict_desc views = {0};
    views.flip = 1, views.shift = 1, views.reflect = 1;
    nn_real *outputs = images_reals(test.count * 10);
    need(nn_predict_with(logits, &test, &views, outputs));
    double accuracy = images_mistakes(&test, outputs, names, program_path(out, "mistakes.png"));
    images_filters("The whitening filters", first, program_path(out, "filters.png"));
    images_curve(&history, program_path(out, "accuracy.png"));
    printf("%d parameters, test accuracy %.2f ± %.2f %% with flips and shifts, %.0f s\n",
           (int)nn_net_parameter_count(net), 100 * accuracy,
           100 * nn_accuracy_error(accuracy, test.count), history.seconds);
    free(outputs);
    nn_history_free(&history);
    return nn_net_destroy(net), 0;
}
