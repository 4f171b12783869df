/* Trains 64-16-10, or a network with convolutions, on the embedded digits and exports it for main.c:
   as float, or with int8 weights.

   cc -O2 examples/embed/export.c -lm -o export && ./export [--out FILE] [--images 1] [--int8 1] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../../nn.h"
#include "../digits.h"
#include "../program.h"

static int fail(void) { return fprintf(stderr, "export: %s\n", nn_last_error()), 1; }

/* 18,432 multiply-adds in two convolutions, less those with the zeros around the image. */
static nn_tensor *of_images(nn_net *net)
{
    static const size_t shape[] = {8, 8, 1};
    nn_tensor *x = nn_conv2d(nn_input_shape(net, 3, shape), 8, 3);
    x = nn_max_pool(nn_relu(nn_group_norm(x, 4)), 2);
    x = nn_relu(nn_conv2d(x, 12, 3));
    return nn_dense(nn_global_average_pool(x), 10);
}

int main(int argc, char **argv)
{
    const char *out = "digits.c", *int8 = "0", *images = "0";
    const program_option options[] = {
        {"--out", "FILE", "what to write (default digits.c)", &out},
        {"--images", "N", "1: a network with convolutions (default 0)", &images},
        {"--int8", "N", "1: weights as int8 (default 0)", &int8}};
    program_options(argc, argv, "export", "a network for a microcontroller", 3, options);

    nn_dataset all, train, test;
    if (digits_load(&all) != NN_OK) return fail();
    if (nn_dataset_split(&all, 0.8, 1, &train, &test) != NN_OK) return fail();

    nn_net *net = nn_net_create(NULL);
    nn_tensor *logits = program_number("--images", images, 0, 1) > 0
                            ? of_images(net)
                            : nn_dense(nn_tanh(nn_dense(nn_input(net, DIGITS_PIXELS), 16)), 10);
    nn_tensor *probabilities = nn_softmax(logits);
    nn_tensor *loss = nn_softmax_cross_entropy(logits);
    nn_train_desc desc = {0};
    desc.epochs = 30;
    desc.batch_size = 32;
    desc.optimizer = nn_adam(0.003);
    if (nn_train(loss, &train, &desc, NULL) != NN_OK) return fail();

    nn_export_report report;
    nn_export_desc export_desc = {0};
    export_desc.name = "digits";
    export_desc.int8 = (int)program_number("--int8", int8, 0, 1);
    export_desc.data = &test;
    export_desc.report = &report;
    if (nn_export_c(probabilities, out, &export_desc) != NN_OK) return fail();
    printf("%s: %d bytes of constants, %d of working memory, accuracy %.4f (as float %.4f)\n", out,
           (int)report.constant_bytes, (int)report.working_bytes, report.exported_accuracy,
           report.accuracy);
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
    return 0;
}
