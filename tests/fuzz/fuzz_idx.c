/* libFuzzer: bytes as a pair of IDX files, the first two of them saying where one ends.

   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_idx.c -lm -o fuzz_idx
   ./fuzz_idx -max_total_time=300 */
#define NN_IMPLEMENTATION
#include "../../nn.h"
#include "file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    nn_dataset d;
    nn__file files[2];
    if (size < 2) return 0;
    const size_t end = nn__min_size((size_t)bytes[0] << 8 | bytes[1], size - 2);
    files[0] = file_of(bytes + 2, end);
    files[1] = file_of(bytes + 2 + end, size - 2 - end);
    if (nn__idx_pair(NN_OK, files, 0, &d) == NN_OK) {
        nn_real out[64];
        if (d.count == 0 || d.features == 0) abort();
        if (d.features <= 64 && nn_dataset_gather(&d, NULL, 1, out) != NN_OK) abort();
        for (size_t i = 0; i < d.count; i++)
            if (d.labels[i] < 0 || d.labels[i] >= d.classes) abort();
    }
    nn_dataset_free(&d);
    return 0;
}
