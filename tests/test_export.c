/* nn_export_c from the user's side: the file is compiled, as strictly as nn.h is, and run, and its
   outputs are compared with the library's bit for bit. Without a compiler where the tests run (CC of
   the environment, else cc) those are skipped. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

static char command[2000];
static const char *compiler = "cc";

static int run(const char *format, const char *name)
{
    char text[1500];
    snprintf(text, sizeof text, format, name, name, name, name, name, name);
    snprintf(command, sizeof command, "cd " TEST_TMP " && %s", text);
    return system(command);
}

/* What reads inputs from a file and writes what the exported network makes of them. */
static void write_driver(const char *name, const char *more)
{
    char text[4000], path[200];
    snprintf(text, sizeof text,
             "#include \"%s.c\"\n#include <stdio.h>\n#include <math.h>\n"
             "%s\n#ifndef INPUT\n#define INPUT %s\n#endif\nstatic INPUT x[IN];\nstatic %s y[OUT];\n"
             "int main(void)\n{\n"
             "    FILE *in = fopen(\"%s.in\", \"rb\"), *out = fopen(\"%s.out\", \"wb\");\n"
             "    if (!in || !out) return 100;\n"
             "    while (fread(x, sizeof x, 1, in) == 1) {\n"
             "        %s_predict(x, y);\n        fwrite(y, sizeof y, 1, out);\n    }\n"
             "    fclose(in);\n"
             "    return fclose(out) ? 101 : %s_test();\n}\n",
             name, more, nn__real_type(), nn__real_type(), name, name, name, name);
    snprintf(path, sizeof path, TEST_TMP "/%s_main.c", name);
    write_file(path, text, strlen(text));
}

/* Exports, compiles with the flags, runs on x[rows, in] and compares with `expected`. */
static void check_export(const char *name, nn_tensor *output, const nn_real *x, size_t rows,
                         const nn_export_desc *more, const nn_real *expected)
{
    static const char *const flags[] = {
        "-std=c99 -O1 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Werror",
        "-std=gnu99 -O3 -march=native"};
    char path[200], text[700];
    const size_t in = output->net->tensors.items[0]->row_size, out = output->row_size;
    nn_export_desc desc;
    nn_real *y = (nn_real *)malloc((rows * out + 1) * sizeof *y); /* read_file ends with a 0 */
    memset(&desc, 0, sizeof desc);
    if (more) desc = *more;
    desc.name = name;
    test_current = name;
    snprintf(path, sizeof path, TEST_TMP "/%s.c", name);
    CHECK_OK(nn_export_c(output, path, &desc));
    write_driver(name, "");
    snprintf(path, sizeof path, TEST_TMP "/%s.in", name);
    write_file(path, x, rows * in * sizeof *x);
    snprintf(path, sizeof path, TEST_TMP "/%s.out", name);
    for (size_t i = 0; i < COUNT(flags); i++) {
        snprintf(text, sizeof text, "%s %s -DIN=%d -DOUT=%d %%s_main.c -o %%s -lm 2>%%s.log && ./%%s",
                 compiler, flags[i], (int)in, (int)out);
        CHECK_INT(run(text, name), 0);
        CHECK_INT(read_file(path, (char *)y, rows * out * sizeof *y + 1), rows * out * sizeof *y);
        size_t differ = 0;
        for (size_t j = 0; j < rows * out; j++)
            if (bits_of(y[j]) != bits_of(expected[j]) && !(is_nan(y[j]) && is_nan(expected[j])) &&
                !differ++)
                printf("%s: row %d, output %d is %.9g, expected %.9g\n", name, (int)(j / out),
                       (int)(j % out), (double)y[j], (double)expected[j]);
        CHECK_INT(differ, 0);
    }
    free(y);
    test_current = "";
}

static nn_real *predicted(nn_tensor *output, const nn_real *x, size_t rows)
{
    nn_real *y = (nn_real *)malloc((rows * output->row_size + 1) * sizeof *y);
    CHECK_OK(nn_predict_rows(output, x, rows, y));
    return y;
}

/* As ONNX, with inputs and outputs for tests/interop.py. */
static void write_onnx(const char *name, nn_tensor *output, const nn_real *x, size_t rows,
                       const nn_real *y)
{
    char path[200];
    size_t shape[NN_MAX_RANK];
    const nn_tensor *both[2];
    both[0] = output->net->tensors.items[0], both[1] = output;
    snprintf(path, sizeof path, TEST_TMP "/%s.onnx", name);
    CHECK_OK(nn_export_onnx(output, path));
    for (int i = 0; i < 2; i++) {
        memcpy(shape, both[i]->shape, sizeof shape);
        shape[0] = rows;
        snprintf(path, sizeof path, TEST_TMP "/%s_%s.npy", name, i ? "out" : "in");
        CHECK_OK(nn_write_npy(path, both[i]->rank, shape, i ? y : x));
    }
}

static void check_same(const char *name, nn_tensor *output, const nn_real *x, size_t rows)
{
    CHECK_OK(nn_net_status(output ? output->net : NULL));
    if (!output) return;
    nn_real *y = predicted(output, x, rows);
    write_onnx(name, output, x, rows, y);
    check_export(name, output, x, rows, NULL, y);
    free(y);
}

/* Numbers of every size, and what is special among them. */
static nn_real *numbers(size_t n, uint64_t seed)
{
    static const double special[] = {0, -0.0, 1, -1, 1e-40, -1e-40, 88, -88, 104, -104, 1e30, -1e30,
                                     0.5, 40, -40, 1e-20, 709, -745, 20, -20};
    nn_rng rng = nn_rng_seed(seed);
    nn_real *x = (nn_real *)malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        const double size = pow(2, 24 * nn_rng_uniform(&rng) - 16);
        x[i] = (nn_real)(i % 7 == 3 ? special[nn_rng_below(&rng, COUNT(special))]
                                    : size * nn_rng_normal(&rng));
    }
    return x;
}

/* -- every operation -- */

static void activations(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 64), *all[NN_ACTIVATION_COUNT + 2];
    for (int i = 0; i < NN_ACTIVATION_COUNT; i++)
        all[i] = nn_activate(x, (nn_activation)i, i == NN_ACTIVATION_LEAKY_RELU ? 0.3
                                                  : i == NN_ACTIVATION_ELU      ? 1.5
                                                                                : 0);
    all[NN_ACTIVATION_COUNT] = nn_exp(x);
    all[NN_ACTIVATION_COUNT + 1] = nn_log(x);
    nn_real *in = numbers(64 * 200, 1);
    check_same("activations", nn_concat(COUNT(all), all, 0), in, 200);
    free(in);
    nn_net_destroy(net);
}

static void elements(void)
{
    const size_t image[3] = {4, 3, 5}, row[1] = {5}, column[2] = {3, 1}, two[1] = {7};
    const int axes[3] = {2, 0, 1};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 3, image);
    nn_tensor *a = nn_parameter(net, 1, row, nn_init_normal(0, 1), "a");
    nn_tensor *b = nn_parameter(net, 2, column, nn_init_normal(2, 1), "b*/ ?" "?/\n");
    nn_tensor *y = nn_mul(nn_add(x, a), b), *all[12];
    all[0] = nn_sub(nn_scale(y, 0.1), x);
    all[1] = nn_div(x, nn_scale(nn_add(b, b), -0.3));
    all[2] = nn_maximum(x, y);
    all[3] = nn_minimum(nn_abs(x), nn_clamp(y, -0.3, 1.7));
    all[4] = nn_permute(nn_permute(x, 3, axes), 3, axes);
    all[4] = nn_permute(all[4], 3, axes);
    all[5] = nn_sqrt(nn_abs(x));
    for (int i = 0; i < 6; i++) all[i] = nn_flatten(all[i]);
    all[6] = nn_flatten(nn_slice(x, 1, 1, 3));
    all[7] = nn_flatten(nn_sum_axis(x, 0, 0));
    all[8] = nn_flatten(nn_mean_axis(x, 1, 1));
    all[9] = nn_flatten(nn_max_axis(x, -1, 0));
    all[10] = nn_flatten(nn_permute(nn_clamp(x, -INFINITY, 2), 3, axes));
    all[11] = nn_slice(nn_add(nn_flatten(x), nn_sum(nn_parameter(net, 1, two, nn_init_constant(0.1),
                                                                 "seven"))), 0, 3, 60);
    nn_real *in = numbers(60 * 100, 2);
    check_same("elements", nn_dropout(nn_concat(12, all, 0), 0.5), in, 100);
    free(in);
    nn_net_destroy(net);
}

static void products(void)
{
    const size_t shape[2] = {3, 4}, square[2] = {4, 4}, three[3] = {3, 3, 3};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 2, shape);
    nn_tensor *w = nn_parameter(net, 2, square, nn_init_normal(0, 1), "w");
    nn_tensor *c = nn_parameter(net, 3, three, nn_init_normal(0, 1), "c");
    nn_tensor *all[5];
    all[0] = nn_flatten(nn_matmul(x, w));
    all[1] = nn_flatten(nn_matmul_with(x, 0, w, 1));
    all[2] = nn_flatten(nn_softmax(nn_matmul_with(x, 0, x, 1)));
    all[3] = nn_flatten(nn_matmul(c, x));
    all[4] = nn_flatten(nn_log_softmax_axis(nn_matmul_with(x, 1, x, 0), 0));
    nn_real *in = numbers(12 * 100, 3);
    for (size_t i = 0; i < 1200; i++)
        if (fabs((double)in[i]) > 100) in[i] = 1;
    check_same("products", nn_concat(5, all, 0), in, 100);
    free(in);
    nn_net_destroy(net);
}

/* Rows of a dense layer, softmax over more and fewer than the 16 partial sums, shared weights. */
static void layers(void)
{
    static const size_t units[] = {1, 2, 3, 4, 5, 7, 8, 17, 40};
    const size_t shape[2] = {3, 13};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 2, shape), *y = x, *all[2];
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    for (size_t i = 0; i < COUNT(units); i++) {
        desc.units = units[i];
        desc.activation = (nn_activation)(i % NN_ACTIVATION_COUNT);
        desc.no_bias = i % 3 == 0;
        if (!desc.no_bias) desc.bias = nn_init_normal(0, 1);
        else memset(&desc.bias, 0, sizeof desc.bias);
        y = nn_dense_with(y, &desc);
    }
    all[0] = nn_softmax(nn_scale(y, 3));
    all[1] = nn_log_softmax(nn_slice(y, 1, 0, 5));
    nn_real *in = numbers(39 * 50, 4);
    for (size_t i = 0; i < 39 * 50; i++)
        if (fabs((double)in[i]) > 10) in[i] = (nn_real)0.25;
    check_same("layers", nn_concat(2, all, 1), in, 50);
    free(in);
    nn_net_destroy(net);
}

/* Weights, biases and running statistics that differ in every element. */
static void scatter(nn_net *net)
{
    nn_rng rng = nn_rng_seed(8);
    nn_tensor *t;
    for (size_t i = 0; (t = nn_net_parameter(net, i)) != NULL; i++)
        for (size_t j = 0; j < t->size; j++) t->data[j] += (nn_real)(0.3 * nn_rng_normal(&rng));
    for (size_t i = 0; (t = nn_net_buffer(net, i)) != NULL; i++)
        for (size_t j = 0; j < t->size; j++) t->data[j] += (nn_real)nn_rng_uniform(&rng);
}

static nn_real *pixels(size_t n, uint64_t seed)
{
    nn_rng rng = nn_rng_seed(seed);
    nn_real *x = (nn_real *)malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (nn_real)nn_rng_normal(&rng);
    return x;
}

/* Kernels, strides, dilations, groups and paddings that fit their image and those that leave
   pixels out. */
static void convolutions(void)
{
    static const struct {
        size_t filters, height, width, stride, dilation, groups;
        nn_padding padding;
        size_t pad_height, pad_width;
        nn_activation activation;
    } row[] = {{5, 3, 3, 1, 1, 1, NN_PADDING_SAME, 0, 0, NN_ACTIVATION_RELU},
               {4, 1, 1, 1, 1, 1, NN_PADDING_SAME, 0, 0, NN_ACTIVATION_IDENTITY},
               {3, 2, 5, 2, 1, 1, NN_PADDING_SAME, 0, 0, NN_ACTIVATION_TANH},
               {8, 3, 2, 1, 2, 2, NN_PADDING_VALID, 0, 0, NN_ACTIVATION_LEAKY_RELU},
               {4, 3, 3, 1, 1, 4, NN_PADDING_SAME, 0, 0, NN_ACTIVATION_GELU},
               {12, 2, 2, 3, 1, 4, NN_PADDING_EXPLICIT, 1, 2, NN_ACTIVATION_IDENTITY},
               {6, 4, 3, 2, 2, 2, NN_PADDING_EXPLICIT, 3, 2, NN_ACTIVATION_SIGMOID}};
    const size_t image[3] = {9, 7, 4};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 3, image), *all[2 * COUNT(row) + 1];
    nn_real *in = pixels(9 * 7 * 4 * 20, 9);
    nn_conv_desc desc;
    for (size_t i = 0; i < COUNT(row); i++) {
        memset(&desc, 0, sizeof desc);
        desc.filters = row[i].filters, desc.stride = row[i].stride;
        desc.kernel_height = row[i].height, desc.kernel_width = row[i].width;
        desc.dilation = row[i].dilation, desc.groups = row[i].groups, desc.padding = row[i].padding;
        desc.pad_height = row[i].pad_height, desc.pad_width = row[i].pad_width;
        desc.activation = row[i].activation, desc.no_bias = i == 2;
        all[2 * i] = nn_flatten(nn_conv2d_with(x, &desc));
        all[2 * i + 1] = nn_flatten(nn_conv2d_transpose_with(x, &desc));
    }
    memset(&desc, 0, sizeof desc);
    desc.filters = 6, desc.kernel = 4, desc.stride = 2, desc.groups = 2;
    const size_t sequence[2] = {63, 4};
    all[2 * COUNT(row)] = nn_flatten(nn_conv1d_with(nn_reshape(x, 2, sequence), &desc));
    scatter(net);
    check_same("convolutions", nn_concat(COUNT(all), all, 0), in, 20);
    free(in);
    nn_net_destroy(net);
}

/* Images and sequences through everything that is made for them, evaluated. */
static void images(void)
{
    const size_t image[3] = {9, 8, 3}, sequence[2] = {24, 9};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 3, image), *all[16];
    nn_tensor *y = nn_reshape(x, 2, sequence);
    nn_pool_desc pool;
    nn_batch_norm_desc plain;
    nn_layer_norm_desc two;
    memset(&pool, 0, sizeof pool);
    memset(&plain, 0, sizeof plain);
    memset(&two, 0, sizeof two);
    pool.kernel_height = 3, pool.kernel_width = 2, pool.stride = 2;
    pool.pad_height = pool.pad_width = 1;
    plain.no_affine = 1, plain.activation = NN_ACTIVATION_RELU, plain.epsilon = 0.01;
    two.axes = 2, two.no_affine = 1;
    all[0] = nn_max_pool_with(x, &pool);
    all[1] = nn_average_pool_with(x, &pool);
    pool.exclude_padding = 1;
    all[2] = nn_average_pool_with(x, &pool);
    all[3] = nn_max_pool(nn_crop(x, 0, 1, 2, 1), 2);
    all[4] = nn_global_average_pool(x);
    all[5] = nn_global_max_pool(y);
    all[6] = nn_adaptive_average_pool(x, 4, 3);
    all[7] = nn_adaptive_average_pool(y, 6, 1);
    all[8] = nn_upsample(nn_spatial_dropout(x, 0.4), 2);
    all[9] = nn_upsample(y, 3);
    all[10] = nn_pad(x, 1, 0, 2, 3);
    all[11] = nn_pad(nn_crop(y, 3, 4, 0, 0), 1, 2, 0, 0);
    all[12] = nn_relu(nn_batch_norm(x));
    all[13] = nn_batch_norm_with(nn_tanh(y), &plain);
    all[14] = nn_layer_norm(y);
    all[15] = nn_layer_norm_with(nn_tanh(x), &two);
    for (size_t i = 0; i < COUNT(all); i++) all[i] = nn_flatten(all[i]);
    nn_real *in = pixels(9 * 8 * 3 * 30, 10);
    scatter(net);
    check_same("images", nn_concat(COUNT(all), all, 0), in, 30);
    nn_group_norm_desc groups;
    memset(&groups, 0, sizeof groups);
    groups.groups = 3, groups.activation = NN_ACTIVATION_RELU;
    y = nn_group_norm_with(nn_conv2d(x, 6, 3), &groups);
    check_same("groups", y, in, 30);
    free(in);
    nn_net_destroy(net);
}

/* Group normalisation of one and of many pixels, more than one chunk of them; few channels, which
   are summed in several parts, and many; sequences; without weights; values of every size. */
static void groups(void)
{
    static const struct {
        size_t height, width, channels, groups;
        int no_affine;
    } row[] = {{1, 1, 4, 2, 0},   {7, 5, 1, 1, 0},    {7, 5, 31, 31, 0}, {13, 11, 6, 2, 1},
               {9, 8, 32, 4, 0},  {3, 5, 33, 1, 0},   {61, 34, 3, 3, 0}, {5, 41, 70, 7, 0},
               {67, 71, 2, 1, 0}, {12, 17, 40, 20, 1}};
    for (size_t i = 0; i < COUNT(row); i++) {
        const size_t shape[3] = {row[i].height, row[i].width, row[i].channels};
        const size_t size = shape[0] * shape[1] * shape[2];
        char name[20];
        nn_group_norm_desc desc;
        nn_net *net = nn_net_create(NULL);
        memset(&desc, 0, sizeof desc);
        desc.groups = row[i].groups, desc.no_affine = row[i].no_affine;
        desc.activation = i % 2 ? NN_ACTIVATION_RELU : NN_ACTIVATION_IDENTITY;
        if (i == 3) desc.epsilon = 0.1;
        nn_tensor *x = i % 3 == 1 ? nn_input_shape(net, 2, shape + 1) : nn_input_shape(net, 3, shape);
        nn_real *in = pixels(4 * size, i);
        for (size_t j = size; j < 2 * size; j++) in[j] += 1000;
        for (size_t j = 2 * size; j < 3 * size; j++) in[j] = in[j] > 0 ? (nn_real)1e12 : 0;
        nn_tensor *y = nn_group_norm_with(nn_scale(x, 1.5), &desc);
        scatter(net);
        snprintf(name, sizeof name, "groups%d", (int)i);
        const size_t rows = i % 3 == 1 ? 4 * shape[0] : 4;
        CHECK_OK(nn_net_status(net));
        nn_real *out = predicted(y, in, rows);
        check_export(name, y, in, rows, NULL, out);
        free(out);
        free(in);
        nn_net_destroy(net);
    }
}

/* Outputs that are the input, or a constant's neighbour; work space that must not be shared. */
static void memory(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 6), *kept[3];
    nn_real *in = numbers(6 * 20, 5);
    check_same("same", nn_flatten(nn_dropout(x, 0.1)), in, 20);
    /* t is read again after its neighbour was computed from it in place */
    nn_tensor *t = nn_tanh(x);
    kept[0] = nn_mul(nn_relu(t), t);
    kept[1] = nn_sub(nn_exp(kept[0]), nn_add(t, kept[0]));
    kept[2] = nn_add(t, t);
    check_same("kept", nn_concat(3, kept, 0), in, 20);
    check_same("one", nn_tanh(t), in, 20);
    free(in);
    nn_net_destroy(net);
}

/* The emulation of fused multiply-add, over bits of every kind. */
static void fused(void)
{
#if !defined(NN_DOUBLE) && !defined(NN_NO_FMA)
    nn_net *net = nn_net_create(NULL);
    nn_tensor *y = nn_dense(nn_input(net, 2), 1);
    nn_export_desc desc;
    char text[400];
    memset(&desc, 0, sizeof desc);
    desc.name = "fused";
    CHECK_OK(nn_export_c(y, TEST_TMP "/fused.c", &desc));
    write_file(TEST_TMP "/fused.in", "", 0);
    write_driver("fused",
                 "static uint64_t s = 1;\n"
                 "static uint32_t bits(void) { s = s * 6364136223846793005u + 1442695040888963407u;"
                 " return (uint32_t)(s >> 32); }\n"
                 "static float number(void) { uint32_t b = bits(); float f;"
                 " if (b % 5 == 0) b = (b & 0x807fffff) | 0x3f800000 + (b >> 8 & 7) * 0x800000;"
                 " if (b % 7 == 0) b &= 0xff800fff; if (b % 11 == 0) b &= 0x80ffffff;"
                 " memcpy(&f, &b, 4); return f; }\n"
                 "static int check(float a, float b, float c) { float p = fused_fma(a, b, c),"
                 " q = fmaf(a, b, c); return (p == p || q == q) && memcmp(&p, &q, 4); }\n"
                 "static int bad(void) { for (int i = 0; i < 1000000; i++) {"
                 " float a = number(), b = number(), c = number();"
                 " if (check(a, b, c) || check(a, b, -a * b) || check(a, b, a * -b * (1 + 1e-7f))"
                 " || check(a, b, c * 1e-30f) || check(a * 1e-20f, b * 1e-20f, c * 1e-38f)) return 1; }"
                 " return 0; }\n"
                 "#define fclose(f) ((fclose)(f) || bad())\n");
    snprintf(text, sizeof text, "%s -O1 -DIN=2 -DOUT=1 %%s_main.c -o %%s -lm 2>%%s.log && ./%%s",
             compiler);
    CHECK_INT(run(text, "fused"), 0);
    nn_net_destroy(net);
#else
    CHECK(sizeof(nn_real) > 0);
#endif
}

/* -- data sets: raw samples, the test's samples, accuracy, int8 -- */

enum { SAMPLES = 300, PIXELS = 20 };

static void make_bytes(uint8_t *x, int *labels)
{
    nn_rng rng = nn_rng_seed(6);
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i % 3;
        for (int j = 0; j < PIXELS; j++)
            x[i * PIXELS + j] = (uint8_t)(nn_rng_below(&rng, 100) + (j % 3 == labels[i] ? 120 : 0));
    }
}

static nn_tensor *trained(nn_net *net, const nn_dataset *data)
{
    nn_tensor *logits = nn_dense(nn_tanh(nn_dense(nn_input(net, PIXELS), 8)), 3);
    nn_train_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.epochs = 10, desc.batch_size = 10, desc.optimizer = nn_adam(0.02);
    CHECK_OK(nn_train(nn_softmax_cross_entropy(logits), data, &desc, NULL));
    return logits;
}

static void data_sets(void)
{
    static uint8_t bytes[SAMPLES * PIXELS];
    static nn_real in[SAMPLES * PIXELS], out[SAMPLES * 3];
    static int labels[SAMPLES];
    nn_dataset data;
    nn_net *net = nn_net_create(NULL);
    nn_export_report report;
    nn_export_desc desc;
    static char text[60000];
    make_bytes(bytes, labels);
    CHECK_OK(nn_dataset_from_bytes(bytes, SAMPLES, PIXELS, labels, 3, &data));
    CHECK_OK(nn_dataset_standardize(&data, NN_PER_FEATURE));
    nn_tensor *logits = trained(net, &data);
    memset(&desc, 0, sizeof desc);
    desc.data = &data, desc.report = &report;
    CHECK_OK(nn_dataset_gather(&data, NULL, SAMPLES, in));
    CHECK_OK(nn_predict(logits, &data, out));
    check_export("bytes", logits, in, SAMPLES, &desc, out);
    CHECK_INT(report.samples, SAMPLES);
    CHECK(report.accuracy > 0.9 && report.exported_accuracy == report.accuracy);
    CHECK_INT(report.working_bytes, 8 * sizeof(nn_real));
    CHECK_INT(report.constant_bytes, (PIXELS * 8 + 8 + 8 * 3 + 3 + 2 * PIXELS) * sizeof(nn_real));
    read_file(TEST_TMP "/bytes.c", text, sizeof text);
    CHECK(strstr(text, "void bytes_predict_raw(const unsigned char *raw, ") != NULL);
    CHECK(strstr(text, "static const unsigned char bytes_test_in[60] = {") != NULL);
    CHECK(strstr(text, "Accuracy on 300 samples: ") != NULL);

    /* The library's own estimate of what int8 gives is what the file gives, bit for bit. */
    desc.int8 = 1;
    nn__exporter e;
    memset(&e, 0, sizeof e);
    e.net = net, e.output = logits;
    CHECK_OK(nn__export_predict(&e, 1, &data, NULL, 0, out));
    check_export("int8", logits, in, SAMPLES, &desc, out);
    CHECK(report.exported_accuracy > report.accuracy - 0.02 && report.max_difference > 0);
    CHECK(report.max_difference < 0.2);
    CHECK_INT(report.working_bytes, 8 * sizeof(nn_real) + PIXELS);
    CHECK_INT(report.constant_bytes,
              PIXELS * 8 + 8 * 3 + (8 + 8 + 3 + 3 + 2 * PIXELS) * sizeof(nn_real));
    /* and afterwards the network is as it was */
    static nn_real again[SAMPLES * 3];
    CHECK_OK(nn_predict(logits, &data, out));
    check_export("after", logits, in, SAMPLES, NULL, out);
    CHECK_OK(nn_predict_rows(logits, in, SAMPLES, again));
    CHECK(memcmp(again, out, sizeof out) == 0);
    nn_net_destroy(net);
    nn_dataset_free(&data);
}

static void raw_reals(void)
{
    static nn_real x[SAMPLES * PIXELS], in[SAMPLES * PIXELS], out[SAMPLES * 3];
    static uint8_t bytes[SAMPLES * PIXELS];
    static int labels[SAMPLES];
    static char text[60000];
    nn_dataset data;
    nn_net *net = nn_net_create(NULL);
    make_bytes(bytes, labels);
    for (int i = 0; i < SAMPLES * PIXELS; i++) x[i] = (nn_real)bytes[i] / 7;
    CHECK_OK(nn_dataset_from_arrays(x, SAMPLES, PIXELS, labels, 3, &data));
    nn_tensor *logits = trained(net, &data);
    CHECK_OK(nn_export_c(logits, TEST_TMP "/plain.c", NULL));
    read_file(TEST_TMP "/plain.c", text, sizeof text);
    CHECK(strstr(text, "predict_raw") == NULL); /* nothing to normalise */
    CHECK_OK(nn_dataset_standardize(&data, NN_PER_SET));
    nn_net_destroy(net);
    net = nn_net_create(NULL);
    logits = trained(net, &data);
    CHECK_OK(nn_dataset_gather(&data, NULL, SAMPLES, in));
    CHECK_OK(nn_predict(logits, &data, out));
    check_export("reals", logits, in, SAMPLES, NULL, out);
    read_file(TEST_TMP "/reals.c", text, sizeof text);
    CHECK(strstr(text, sizeof(nn_real) == 4 ? "reals_predict_raw(const float *raw, float *out)"
                                            : "reals_predict_raw(const double *raw, double *out)"));
    nn_net_destroy(net);
    nn_dataset_free(&data);
}

/* Channels first: what a sample's values were when they were stored goes in, of bytes and of reals,
   with a normalisation of all, of each channel, of each value, and none. */
static void planes(void)
{
    enum { COUNT_OF = 30, SIZE = 3 * 4 * 5 };
    static uint8_t bytes[COUNT_OF * SIZE];
    static nn_real reals[COUNT_OF * SIZE], out[COUNT_OF * 2], y[COUNT_OF * 2 + 1];
    static int labels[COUNT_OF];
    static char text[60000];
    static const char *const index[] = {"raws_scale[1]", "raws_scale[1]", "raws_scale[3]",
                                        "raws_scale[60]"};
    nn_rng rng = nn_rng_seed(3);
    for (int i = 0; i < COUNT_OF * SIZE; i++) {
        bytes[i] = (uint8_t)nn_rng_below(&rng, 256);
        reals[i] = (nn_real)nn_rng_normal(&rng);
    }
    for (int i = 0; i < COUNT_OF; i++) labels[i] = i % 2;
    for (int i = 0; i < 8; i++) {
        const int is_bytes = i & 1, norm = i / 2;
        nn_dataset data;
        nn_export_desc desc;
        nn_train_desc train;
        nn_net *net = nn_net_create(NULL);
        memset(&desc, 0, sizeof desc);
        memset(&train, 0, sizeof train);
        if (is_bytes) CHECK_OK(nn_dataset_from_bytes(bytes, COUNT_OF, SIZE, labels, 2, &data));
        else CHECK_OK(nn_dataset_from_arrays(reals, COUNT_OF, SIZE, labels, 2, &data));
        data.rank = 3, data.shape[0] = 3, data.shape[1] = 4, data.shape[2] = 5;
        data.channels_first = 1;
        if (norm == 1) CHECK_OK(nn_dataset_standardize(&data, NN_PER_SET));
        if (norm == 2) CHECK_OK(nn_dataset_standardize(&data, NN_PER_CHANNEL));
        if (norm == 3) CHECK_OK(nn_dataset_standardize(&data, NN_PER_FEATURE));
        nn_tensor *logits = nn_dense(nn_flatten(nn_conv2d(nn_input_like(net, &data), 4, 3)), 2);
        train.epochs = 1, train.batch_size = 10, train.optimizer = nn_sgd(0.0001, 0);
        CHECK_OK(nn_train(nn_softmax_cross_entropy(logits), &data, &train, NULL));
        CHECK_OK(nn_predict(logits, &data, out));
        desc.name = "raws", desc.data = &data;
        CHECK_OK(nn_export_c(logits, TEST_TMP "/raws.c", &desc));
        read_file(TEST_TMP "/raws.c", text, sizeof text);
        CHECK(strstr(text, index[norm]) != NULL);
        CHECK(!is_bytes == !strstr(text, "unsigned char raws_test_in[180]"));
        write_driver("raws", "#define raws_predict raws_predict_raw\n");
        if (is_bytes) write_file(TEST_TMP "/raws.in", bytes, sizeof bytes);
        else write_file(TEST_TMP "/raws.in", reals, sizeof reals);
        snprintf(text, sizeof text, "%s -O1 -DIN=60 -DOUT=2 %s %%s_main.c -o %%s -lm 2>%%s.log && ./%%s",
                 compiler, is_bytes ? "-DINPUT='unsigned char'" : "");
        CHECK_INT(run(text, "raws"), 0);
        CHECK_INT(read_file(TEST_TMP "/raws.out", (char *)y, sizeof y), sizeof out);
        CHECK(memcmp(y, out, sizeof out) == 0);
        nn_net_destroy(net);
        nn_dataset_free(&data);
    }
}

/* Whole numbers for n values that are `step` apart, and what one of them stands for. */
static nn_real encode(size_t n, size_t step, const nn_real *x, int *codes)
{
    nn_real max = 0;
    for (size_t i = 0; i < n; i++)
        if ((x[i * step] < 0 ? -x[i * step] : x[i * step]) > max)
            max = x[i * step] < 0 ? -x[i * step] : x[i * step];
    for (size_t i = 0; i < n; i++) {
        const nn_real y = x[i * step] * (max > 0 ? 127 / max : 0);
        codes[i] = (int)floor((double)(y < 0 ? -y : y) + 0.5) * (y < 0 ? -1 : 1);
    }
    return max / 127;
}

/* y[oh,ow,filters] of one image x[height,width,channels], from the definition. */
static void conv_reference(const nn_tensor *t, const nn_conv_desc *d, const size_t image[3],
                           size_t top, size_t left, const nn_real *x, nn_real *y)
{
    static int codes[10000], kernel[10000];
    const nn_tensor *w = nn_weight(t), *b = nn_bias(t);
    const size_t width = t->shape[t->rank - 2], filters = d->filters;
    const size_t k = w->shape[2], taps = w->shape[0] * w->shape[1];
    const nn_real step = encode(image[0] * image[1] * image[2], 1, x, codes);
    for (size_t o = 0; o < filters; o++) {
        const nn_real scale = encode(taps * k, filters, w->data + o, kernel);
        for (size_t at = 0; at < t->row_size / filters; at++) {
            long sum = 0;
            for (size_t i = 0; i < taps * k; i++) {
                const size_t tap = i / k, c = o / (filters / (image[2] / k)) * k + i % k;
                const long v = (long)(at / width * d->stride + tap / w->shape[1] * d->dilation) - (long)top;
                const long u = (long)(at % width * d->stride + tap % w->shape[1] * d->dilation) - (long)left;
                if (v < 0 || u < 0 || v >= (long)image[0] || u >= (long)image[1]) continue;
                sum += kernel[i] * codes[((size_t)v * image[1] + (size_t)u) * image[2] + c];
            }
            y[at * filters + o] = (nn_real)test_fma((double)(nn_real)sum, (double)(nn_real)(step * scale),
                                                    b ? (double)b->data[o] : 0);
        }
    }
}

static void int8_convolutions(void)
{
    static const struct {
        size_t filters, height, width, stride, dilation, groups;
        nn_padding padding;
        size_t pad_height, pad_width, top, left;
    } row[] = {{5, 3, 3, 1, 1, 1, NN_PADDING_SAME, 0, 0, 1, 1},
               {4, 1, 1, 1, 1, 1, NN_PADDING_SAME, 0, 0, 0, 0},
               {8, 3, 2, 1, 2, 2, NN_PADDING_VALID, 0, 0, 0, 0},
               {4, 3, 3, 1, 1, 4, NN_PADDING_SAME, 0, 0, 1, 1},
               {12, 2, 2, 3, 1, 2, NN_PADDING_EXPLICIT, 1, 2, 1, 2},
               {7, 4, 3, 2, 2, 1, NN_PADDING_EXPLICIT, 3, 2, 3, 2}};
    const size_t image[3] = {9, 7, 4};
    nn_real *in = pixels(9 * 7 * 4 * 20, 9), *out;
    for (size_t i = 0; i < COUNT(row); i++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input_shape(net, 3, image);
        nn_conv_desc desc;
        nn_export_desc export_desc;
        nn_export_report report;
        char name[20];
        memset(&desc, 0, sizeof desc);
        memset(&export_desc, 0, sizeof export_desc);
        desc.filters = row[i].filters, desc.stride = row[i].stride;
        desc.kernel_height = row[i].height, desc.kernel_width = row[i].width;
        desc.dilation = row[i].dilation, desc.groups = row[i].groups, desc.padding = row[i].padding;
        desc.pad_height = row[i].pad_height, desc.pad_width = row[i].pad_width;
        desc.no_bias = i == 2;
        nn_tensor *y = nn_conv2d_with(x, &desc);
        CHECK_OK(nn_net_status(net));
        if (!y) return;
        scatter(net);
        if (i == 1) memset(in, 0, 9 * 7 * 4 * sizeof *in);
        out = (nn_real *)malloc((20 * y->row_size + 1) * sizeof *out);
        for (size_t r = 0; r < 20; r++)
            conv_reference(y, &desc, image, row[i].top, row[i].left, in + r * 9 * 7 * 4,
                           out + r * y->row_size);
        export_desc.int8 = 1, export_desc.report = &report;
        snprintf(name, sizeof name, "int8_%d", (int)i);
        check_export(name, y, in, 20, &export_desc, out);
        CHECK_INT(report.working_bytes, 9 * 7 * 4);
        CHECK_INT(report.constant_bytes, nn_weight(y)->size + row[i].filters * sizeof(nn_real) *
                                                                  (i == 2 ? 1 : 2));
        free(out);
        nn_net_destroy(net);
    }
    free(in);
}

/* The accuracy that is measured is that of the file, for a network with convolutions of images and
   of sequences, a transposed one, which stays in reals, and dense layers. */
static void int8_network(void)
{
    enum { IMAGES = 200, SIDE = 6 };
    static nn_real x[IMAGES * SIDE * SIDE], out[IMAGES * 2];
    static int labels[IMAGES];
    const size_t sequence[2] = {3, 12};
    nn_rng rng = nn_rng_seed(11);
    nn_dataset data;
    nn_net *net = nn_net_create(NULL);
    nn_export_desc desc;
    nn_export_report report;
    nn_train_desc train;
    for (int i = 0; i < IMAGES; i++) /* a bar that lies or stands */
        for (int j = 0; j < SIDE * SIDE; j++) {
            labels[i] = i % 2;
            x[i * SIDE * SIDE + j] =
                (nn_real)(0.3 * nn_rng_normal(&rng) + ((i % 2 ? j / SIDE : j % SIDE) == i % 6));
        }
    CHECK_OK(nn_dataset_from_arrays(x, IMAGES, SIDE * SIDE, labels, 2, &data));
    data.rank = 3, data.shape[0] = data.shape[1] = SIDE, data.shape[2] = 1;
    nn_tensor *y = nn_relu(nn_group_norm(nn_conv2d(nn_input_like(net, &data), 6, 3), 2));
    y = nn_max_pool(nn_conv2d_transpose(y, 4, 2, 1), 2);
    y = nn_tanh(nn_conv1d(nn_reshape(y, 2, sequence), 5, 3));
    nn_tensor *logits = nn_dense(nn_flatten(y), 2);
    memset(&train, 0, sizeof train);
    train.epochs = 12, train.batch_size = 10, train.optimizer = nn_adam(0.01);
    CHECK_OK(nn_train(nn_softmax_cross_entropy(logits), &data, &train, NULL));
    memset(&desc, 0, sizeof desc);
    desc.int8 = 1, desc.data = &data, desc.report = &report;
    nn__exporter e;
    memset(&e, 0, sizeof e);
    e.net = net, e.output = logits;
    CHECK_OK(nn__export_predict(&e, 1, &data, NULL, 0, out));
    check_export("int8_network", logits, x, IMAGES, &desc, out);
    CHECK(report.accuracy > 0.95 && report.exported_accuracy > report.accuracy - 0.011);
    CHECK(report.max_difference > 0 && report.max_difference < 0.3);
    CHECK_OK(nn_predict(logits, &data, out)); /* and afterwards the network is as it was */
    check_export("int8_after", logits, x, IMAGES, NULL, out);
    nn_net_destroy(net);
    nn_dataset_free(&data);
}

/* -- errors -- */

static nn_status forward_nothing(nn_tensor *t) { return t->data[0] = 0, NN_OK; }

static void errors(void)
{
    static const nn_op mine = {"mine", forward_nothing, NULL, NULL, NULL, 0, NULL};
    static const char *const names[] = {"", "3d", "a b", "a-b", "a\"", "\xc3\xa4"};
    const size_t two[1] = {2};
    nn_net *net = nn_net_create(NULL);
    nn_export_desc desc;
    const char *path = TEST_TMP "/error.c";
    nn_tensor *x = nn_input(net, 2), *y = nn_dense(x, 2);
    nn_tensor *w = nn_parameter(net, 1, two, nn_init_constant(1), "weight");
    memset(&desc, 0, sizeof desc);
    remove(path);
    CHECK_ERROR(nn_export_c(NULL, path, NULL), NN_ERROR_BAD_ARGUMENT, "nn_export_c", "NULL");
    CHECK_ERROR(nn_export_c(y, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_export_c", "path");
    for (size_t i = 0; i < COUNT(names); i++) {
        desc.name = names[i];
        CHECK_ERROR(nn_export_c(y, path, &desc), NN_ERROR_BAD_ARGUMENT, "name is '", names[i]);
    }
    CHECK_ERROR(nn_export_c(nn_pow(y, 1.5), path, NULL), NN_ERROR_BAD_ARGUMENT, "'pow'",
                "cannot be exported");
    CHECK_ERROR(nn_export_c(nn_softmax_cross_entropy(y), path, NULL), NN_ERROR_BAD_ARGUMENT,
                "one input", "");
    CHECK_ERROR(nn_export_c(nn_mean(y), path, NULL), NN_ERROR_BAD_ARGUMENT, "'mean'",
                "no value of each sample");
    CHECK_ERROR(nn_export_c(nn_custom(1, &y, 1, 1, two, &mine, NULL), path, NULL),
                NN_ERROR_BAD_ARGUMENT, "'mine'", "cannot be exported");
    CHECK_ERROR(nn_export_c(nn_add(y, nn_input(net, 2)), path, NULL), NN_ERROR_BAD_ARGUMENT,
                "one input", "");
    CHECK_ERROR(nn_export_c(nn_tanh(w), path, NULL), NN_ERROR_BAD_ARGUMENT, "no input", "");
    CHECK_ERROR(nn_export_c(y, TEST_TMP "/no/such/error.c", NULL), NN_ERROR_CANNOT_WRITE,
                "no/such/error.c", "");
#ifdef __linux__
    CHECK_ERROR(nn_export_onnx(y, "/dev/full"), NN_ERROR_CANNOT_WRITE, "/dev/full", "");
    CHECK_ERROR(nn_export_c(y, "/dev/full", NULL), NN_ERROR_CANNOT_WRITE, "/dev/full", "");
#endif
    CHECK_ERROR(nn_export_onnx(NULL, path), NN_ERROR_BAD_ARGUMENT, "nn_export_onnx", "NULL");
    CHECK_ERROR(nn_export_onnx(y, NULL), NN_ERROR_BAD_ARGUMENT, "nn_export_onnx", "path");
    CHECK_ERROR(nn_export_onnx(x, path), NN_ERROR_BAD_ARGUMENT, "nn_export_onnx", "input itself");
    CHECK_ERROR(nn_export_onnx(nn_custom(1, &y, 1, 1, two, &mine, NULL), path),
                NN_ERROR_BAD_ARGUMENT, "nn_export_onnx", "'mine' cannot be exported");
    CHECK_ERROR(nn_export_onnx(nn_max(y), path), NN_ERROR_BAD_ARGUMENT, "'max'",
                "no value of each sample");
    const size_t deep[3] = {3, 3, 14794}; /* 133,146 products of up to 127 * 127 exceed 2^31 */
    desc.name = NULL, desc.int8 = 1;
    nn_tensor *large = nn_input_shape(net, 3, deep);
    CHECK_ERROR(nn_export_c(nn_dense(nn_flatten(large), 1), path, &desc), NN_ERROR_TOO_LARGE,
                "'dense' sums 133146 products", "int8");
    CHECK_ERROR(nn_export_c(nn_conv2d(large, 1, 3), path, &desc), NN_ERROR_TOO_LARGE,
                "'conv2d' sums 133146 products", "int8");
    w->data[1] = (nn_real)INFINITY;
    CHECK_ERROR(nn_export_c(nn_add(y, w), path, NULL), NN_ERROR_NOT_FINITE, "weight", "element 1");
    FILE *f = fopen(path, "rb"); /* nothing is left behind */
    CHECK(f == NULL);
    f = fopen(TEST_TMP "/error.c.tmp", "rb");
    CHECK(f == NULL);
    nn_net_destroy(net);
}

int main(void)
{
    if (getenv("CC") && *getenv("CC")) compiler = getenv("CC");
    RUN(errors);
    char text[300];
    write_file(TEST_TMP "/probe.c", "int main(void) { return 0; }\n", 29);
    snprintf(text, sizeof text, "%s probe.c -o probe 2>probe.log && ./probe", compiler);
    if (run(text, "") != 0) {
        const char *why = "no compiler that makes programs for this machine";
        SKIP(activations, why);
        SKIP(elements, why);
        SKIP(products, why);
        SKIP(layers, why);
        SKIP(convolutions, why);
        SKIP(images, why);
        SKIP(groups, why);
        SKIP(memory, why);
        SKIP(fused, why);
        SKIP(data_sets, why);
        SKIP(raw_reals, why);
        SKIP(planes, why);
        SKIP(int8_convolutions, why);
        SKIP(int8_network, why);
        return test_done("test_export");
    }
    RUN(activations);
    RUN(elements);
    RUN(products);
    RUN(layers);
    RUN(convolutions);
    RUN(images);
    RUN(groups);
    RUN(memory);
    RUN(fused);
    RUN(data_sets);
    RUN(raw_reals);
    RUN(planes);
    RUN(int8_convolutions);
    RUN(int8_network);
    return test_done("test_export");
}
