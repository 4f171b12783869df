/* libFuzzer: bytes as an npy file, and as an npz file whose members are asked for by name.

   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_npy.c -lm -o fuzz_npy
   ./fuzz_npy -max_total_time=300 FOLDER (with npy and npz files to begin with) */
#define NN_IMPLEMENTATION
#include "../../nn.h"
#include "file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void must_hold(int condition)
{
    if (!condition) abort();
}

static void read_all(const nn__numeric *x)
{
    volatile double sum = 0;
    must_hold(x->count * x->width <= x->file->size);
    for (size_t i = 0; i < x->count; i++) sum += nn__numeric_value(x, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = {"x", "y", "samples", ""};
    nn__file files[2];
    nn_dataset d;
    nn__numeric x;
    memset(files, 0, sizeof files);
    files[0] = file_of(bytes, size);
    if (nn__npy_parse(&files[0], &x) == NN_OK) read_all(&x);
    nn__file_free(&files[0]);
    files[0] = file_of(bytes, size);
    files[1] = file_of(bytes, size);
    if (nn__npy_pair(NN_OK, files, 1, 0, &d) == NN_OK) must_hold(d.count > 0 && d.classes > 0);
    nn_dataset_free(&d);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        nn__file zip = file_of(bytes, size), member;
        char *path = NULL;
        memset(&member, 0, sizeof member);
        if (nn__npz_member(&zip, names[i], &path, &member) == NN_OK &&
            nn__npy_parse(&member, &x) == NN_OK)
            read_all(&x);
        nn__file_free(&zip);
        nn__file_free(&member);
        NN_FREE(path);
    }
    return 0;
}
