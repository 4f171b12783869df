/* Images through a bottleneck: two convolutions with stride 2 and a dense layer make a code of a few
   numbers of each image, a dense layer and two transposed convolutions make the image of the code
   again. With --hide the network sees a part of the pixels and learns to give back all of them
   (Vincent et al., "Extracting and composing robust features with denoising autoencoders", 2008).

   cc -O2 -fopenmp examples/autoencoder.c -lm -o autoencoder && ./autoencoder [--code N] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "chart.h"
#include "digits.h"
#include "program.h"

#include "images.h"

static nn_tensor *halved(nn_tensor *x, size_t filters)
{
    nn_conv_desc conv = {0};
    conv.filters = filters, conv.kernel = 3, conv.stride = 2;
    conv.activation = NN_ACTIVATION_RELU;
    return nn_conv2d_with(x, &conv);
}

int main(int argc, char **argv)
{
    enum { SHOWN = 12 };
    const char *data = NULL, *out = "out", *seed = "0", *epochs = "10", *code = "16", *hide = "0";
    const program_option options[] = {
        {"--data", "DIR", "the folder that mnist/ is in (default data; without it: digits)", &data},
        {"--code", "N", "numbers in a code (default 16)", &code},
        {"--hide", "N", "percent of the pixels that are not seen (default 0)", &hide},
        {"--epochs", "N", "how often to go through the data (default 10)", &epochs},
        {"--seed", "N", "of weights, shuffles and what is hidden (default 0)", &seed},
        {"--out", "DIR", "where the picture goes (default out)", &out}};
    program_options(argc, argv, "autoencoder", "digits through a bottleneck",
                    sizeof options / sizeof *options, options);
    program_folder(out);
    nn_net_desc net_desc = {0};
    net_desc.seed = program_number("--seed", seed, 0, UINT64_MAX);

    nn_dataset train, test;
    images_load_digits(data, &train, &test);
    const double hidden = (double)program_number("--hide", hide, 0, 99) / 100;

    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *in = nn_input_like(net, &train);
    nn_tensor *x = halved(halved(nn_dropout(in, hidden), 16), 32);
    nn_tensor *bottleneck = nn_dense(nn_flatten(x), program_number("--code", code, 1, 1000));
    nn_tensor *y = nn_relu(nn_dense(bottleneck, x ? x->row_size : 0));
    y = nn_reshape(y, 3, x ? x->shape + 1 : NULL);
    y = nn_relu(nn_conv2d_transpose(y, 16, 3, 2));
    y = nn_sigmoid(nn_conv2d_transpose(y, 1, 3, 2));
    nn_tensor *loss = nn_mean(nn_pow(nn_sub(y, in), 2)); /* the input is the target */
    need(nn_net_summary(net, stdout));

    nn_train_desc desc = {0};
    desc.epochs = program_number("--epochs", epochs, 1, 1000);
    desc.batch_size = 64;
    desc.optimizer = nn_adam(0.002);
    desc.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    desc.validation = &test;
    desc.progress = stdout;
    need(nn_train(loss, &train, &desc, NULL));

    const size_t values = SHOWN * test.features;
    nn_real *images = images_reals(3 * values), *seen = images + values, *given = seen + values;
    need(nn_dataset_gather(&test, NULL, SHOWN, images));
    for (size_t i = 0; i < values; i++) /* as dropout does it */
        seen[i] = nn_rng_uniform(nn_net_rng(net)) < hidden ? 0 : images[i] / (nn_real)(1 - hidden);
    need(nn_predict_rows(y, seen, SHOWN, given));
    chart_data rows[3];
    for (int i = 0; i < 3; i++)
        rows[i] = chart_reals(images + (size_t)i * values, sizeof *images);
    const char *const row_names[] = {"image", "seen", "given back"};
    chart_desc d = {0};
    d.title = "Test images and what comes out";
    d.rows = 3, d.cols = SHOWN, d.row_values = rows, d.row_names = row_names;
    d.image_height = (int)test.shape[0], d.image_width = (int)test.shape[1];
    if (!chart_ok(chart_image_grid(&d, program_path(out, "reconstructions.png")))) return 1;

    nn_result result;
    need(nn_evaluate(loss, &test, &result));
    printf("mean squared error %.5f on the test set, with codes of %d numbers for %d pixels\n",
           result.loss, (int)bottleneck->row_size, (int)test.features);
    free(images);
    return nn_net_destroy(net), 0;
}
