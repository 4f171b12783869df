/* What a network that was saved makes of a picture or a table: the class of each sample and the
   probabilities of all classes.

   ./mnist_mlp --save mnist.safetensors
   cc -O2 examples/predict.c -lm -o predict
   ./predict --net mnist.safetensors --input digit.pgm

   The input is told by its content: PGM (and PNG, where the compiler finds stb_image.h) is one
   sample, IDX, npy and CSV hold many. The values are taken as the training data had them; the file of the
   network says how they were normalised, and how its CSV file was read. */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "program.h"

#if defined(__has_include)
#if __has_include(<stb/stb_image.h>)
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#include <stb/stb_image.h>
#define HAS_PNG
#endif
#endif

static int fail(void) { return fprintf(stderr, "predict: %s\n", nn_last_error()), 1; }

/* The next whole number of a PGM file's text, after blanks and comments; -1 when there is none. */
static int next_number(FILE *f)
{
    int c = fgetc(f), number = 0;
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '#') {
        while (c == '#' && c != EOF && c != '\n') c = fgetc(f) == '\n' ? '\n' : '#';
        c = fgetc(f);
    }
    if (c < '0' || c > '9') return -1;
    for (; c >= '0' && c <= '9' && number < 1 << 24; c = fgetc(f)) number = 10 * number + c - '0';
    return number;
}

/* A grey picture of up to 8 bits, as text (P2) or bytes (P5). */
static uint8_t *read_pgm(const char *path, int *width, int *height)
{
    FILE *f = fopen(path, "rb");
    if (!f) program_stop(1, "%s cannot be opened", path);
    const int magic = fgetc(f), kind = fgetc(f);
    *width = next_number(f), *height = next_number(f);
    const int white = next_number(f);
    if (magic != 'P' || (kind != '2' && kind != '5') || *width < 1 || *height < 1 || white < 1 ||
        white > 255 || *width > 1 << 14 || *height > 1 << 14)
        program_stop(1, "%s is no grey PGM picture of 8 bits", path);
    const size_t count = (size_t)*width * (size_t)*height;
    uint8_t *pixels = (uint8_t *)malloc(count);
    for (size_t i = 0; pixels && i < count; i++) {
        const int value = kind == '5' ? fgetc(f) : next_number(f);
        if (value < 0 || value > white) program_stop(1, "%s: pixel %zu is missing", path, i);
        pixels[i] = (uint8_t)(value * 255 / white);
    }
    if (!pixels) program_stop(1, "out of memory for %s", path);
    fclose(f);
    return pixels;
}

static uint8_t *read_picture(const char *path, int is_png, int *width, int *height)
{
    if (!is_png) return read_pgm(path, width, height);
#ifdef HAS_PNG
    int channels;
    uint8_t *pixels = stbi_load(path, width, height, &channels, 1);
    if (!pixels) program_stop(1, "%s: %s", path, stbi_failure_reason());
    return pixels;
#else
    program_stop(1, "%s is a PNG picture: this needs stb_image.h (libstb-dev), or convert it to PGM",
                 path);
#endif
}

/* One line: the sample, its class, the probabilities of all classes where the network gives them. */
static void print_sample(const nn_net *net, size_t sample, int label, const nn_real *p,
                         size_t classes)
{
    const char *name = nn_class_name(net, label);
    printf("%zu: class %d%s%s", sample, label, *name ? " " : "", name);
    if (p) printf("  probability %.4f  of all:", (double)p[label]);
    for (size_t k = 0; p && k < classes; k++) printf(" %.4f", (double)p[k]);
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *path = NULL, *input = NULL, *labels = NULL, *first = "20", *invert = NULL;
    const program_option options[] = {
        {"--net", "FILE", "the network, as nn_save or nn_train wrote it", &path},
        {"--input", "FILE", "PGM, PNG, IDX, npy or CSV", &input},
        {"--labels", "FILE", "IDX, npy: the file of labels; CSV: the column: counts what is right",
         &labels},
        {"--first", "N", "print so many samples (default 20)", &first},
        {"--invert", NULL, "black is white: for dark digits on a light ground", &invert}};
    program_options(argc, argv, "predict", "asks a saved network about raw samples", 5, options);
    if (!path || !input) program_stop(2, "--net FILE and --input FILE are needed (--help)");
    const size_t shown = (size_t)program_number("--first", first, 0, 1000000000);
    nn_net *net = nn_open(path, NULL);
    if (!net) return fail();
    nn_tensor *in = nn_net_input(net), *out = nn_net_output(net);
    if (!in || !out) return fail();

    unsigned char start[8] = {0};
    FILE *f = fopen(input, "rb");
    if (!f) program_stop(1, "%s cannot be opened", input);
    const size_t got = fread(start, 1, sizeof start, f);
    fclose(f);
    const int is_png = got == 8 && memcmp(start, "\x89PNG", 4) == 0;
    const int is_idx = got >= 4 && start[0] == 0 && start[1] == 0 && start[3] <= 8;
    nn_dataset data;
    uint8_t *pixels = NULL;
    if (is_png || (start[0] == 'P' && (start[1] == '2' || start[1] == '5'))) {
        int width, height;
        pixels = read_picture(input, is_png, &width, &height);
        const size_t size = (size_t)width * (size_t)height;
        if (size != in->row_size)
            program_stop(1, "%s has %d x %d pixels, the network takes %zu values", input, width,
                         height, in->row_size);
        nn_dataset_from_bytes(pixels, 1, size, NULL, 0, &data);
    } else if (is_idx) {
        nn_load_idx(input, labels, 0, &data);
    } else if (got == 8 && memcmp(start, "\x93NUMPY", 6) == 0) {
        nn_load_npy(input, labels, 0, &data);
    } else {
        nn_csv_desc csv = {0};
        csv.labels = labels;
        nn_load_csv_for(input, net, &data);
        if (data.status == NN_ERROR_EMPTY) nn_load_csv(input, &csv, &data); /* it does not know how */
    }
    if (data.status != NN_OK) return fail();
    if (data.features != in->row_size)
        program_stop(1, "%s has %zu values a sample, the network takes %zu", input, data.features,
                     in->row_size);
    if (invert && data.dtype == NN_DTYPE_U8) /* the set owns its samples, or they are ours */
        for (size_t i = 0; i < data.count * data.features; i++)
            ((uint8_t *)(uintptr_t)data.samples)[i] = (uint8_t)(255 - ((const uint8_t *)data.samples)[i]);

    const size_t classes = out->row_size == 1 ? 2 : out->row_size;
    nn_real *p = (nn_real *)malloc(data.count * classes * sizeof *p);
    int *found = (int *)malloc(data.count * sizeof *found);
    if (!p || !found) program_stop(1, "out of memory");
    const int is_bytes = data.dtype == NN_DTYPE_U8;
    const uint8_t *bytes = (const uint8_t *)data.samples;
    const nn_real *reals = (const nn_real *)data.samples;
    nn_status status = is_bytes ? nn_classify_bytes(net, bytes, data.count, found, p)
                                : nn_classify(net, reals, data.count, found, p);
    if (status != NN_OK) return fail();
    for (size_t i = 0; i < data.count && i < shown; i++)
        print_sample(net, i, found[i], p + i * classes, classes);
    size_t right = 0;
    for (size_t i = 0; data.labels && i < data.count; i++) right += found[i] == data.labels[i];
    if (data.labels)
        printf("%zu of %zu right, %.2f %%\n", right, data.count,
               100 * (double)right / (double)data.count);
    free(p);
    free(found);
    nn_dataset_free(&data);
    free(pixels);
    nn_net_destroy(net);
    return 0;
}
