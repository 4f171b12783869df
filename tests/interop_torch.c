/* The C side of tests/interop_torch.py: writes networks, and reads those of PyTorch.

   interop_torch save DIR        DIR/mlp.safetensors, with what it answers to DIR/input.bin in output.bin
   interop_torch load FILE DIR   PyTorch's state_dict in FILE: what it answers to DIR/input.bin
   interop_torch check FILE...   for each file "FILE: ok", or why it is refused */
#define NN_IMPLEMENTATION
#include "../nn.h"

#include <stdlib.h>

enum { ROWS = 5, CHANNELS = 3, HEIGHT = 4, WIDTH = 2, HIDDEN = 7, CLASSES = 4 };
enum { FEATURES = CHANNELS * HEIGHT * WIDTH };

static int fail(const char *what)
{
    fprintf(stderr, "interop_torch: %s: %s\n", what, nn_last_error());
    return 1;
}

static FILE *file_in(const char *folder, const char *name, const char *mode)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, mode);
}

/* doubles in a file of the folder, as nn_real in memory */
static int transfer(const char *folder, const char *name, nn_real *x, size_t n, int is_read)
{
    FILE *f = file_in(folder, name, is_read ? "rb" : "wb");
    int is_done = f != NULL;
    for (size_t i = 0; is_done && i < n; i++) {
        double number = is_read ? 0 : (double)x[i];
        is_done = is_read ? fread(&number, sizeof number, 1, f) == 1
                          : fwrite(&number, sizeof number, 1, f) == 1;
        x[i] = (nn_real)number;
    }
    if (f) fclose(f);
    return is_done;
}

static nn_tensor *build(nn_net *net)
{
    nn_tensor *hidden = nn_tanh(nn_dense(nn_input(net, FEATURES), HIDDEN));
    return nn_dense(hidden, CLASSES);
}

static int answer(nn_tensor *output, const char *folder)
{
    nn_real x[ROWS * FEATURES], y[ROWS * CLASSES];
    if (!transfer(folder, "input.bin", x, ROWS * FEATURES, 1)) return fail("input.bin");
    if (nn_predict_rows(output, x, ROWS, y) != NN_OK) return fail("predict");
    return transfer(folder, "output.bin", y, ROWS * CLASSES, 0) ? 0 : fail("output.bin");
}

int main(int argc, char **argv)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *output = build(net);
    int status = 2;
    char path[1000];
    if (argc == 3 && strcmp(argv[1], "save") == 0) {
        snprintf(path, sizeof path, "%s/mlp.safetensors", argv[2]);
        if (nn_save(net, path, NULL) != NN_OK) return fail(path);
        status = answer(output, argv[2]);
    } else if (argc == 4 && strcmp(argv[1], "load") == 0) {
        static const nn_name_map map[] = {
            {"first.weight", "dense0.weight", NN_LOAD_AFTER_FLATTEN, CHANNELS, HEIGHT, WIDTH},
            {"first.bias", "dense0.bias", NN_LOAD_AS_IT_IS, 0, 0, 0},
            {"second.weight", "dense1.weight", NN_LOAD_TRANSPOSED, 0, 0, 0},
            {"second.bias", "dense1.bias", NN_LOAD_AS_IT_IS, 0, 0, 0}};
        nn_load_desc desc = {0};
        desc.map = map, desc.map_count = 4;
        if (nn_load(net, argv[2], &desc, NULL) != NN_OK) return fail(argv[2]);
        status = answer(output, argv[3]);
    } else if (argc > 2 && strcmp(argv[1], "check") == 0) {
        nn_load_desc desc = {0};
        desc.partial = 1;
        for (int i = 2; i < argc; i++)
            printf("%s: %s\n", argv[i],
                   nn_load(net, argv[i], &desc, NULL) == NN_OK ? "ok" : nn_last_error());
        status = 0;
    }
    nn_net_destroy(net);
    return status;
}
