/* A libFuzzer target for files of networks: an error or a network, never more.

   cc -DFUZZ_SEEDS tests/fuzz/fuzz_save.c -lm -o seeds && mkdir -p corpus && ./seeds corpus
   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_save.c -lm -o fuzz
   ./fuzz -max_total_time=300 -max_len=4096 corpus */
#define NN_IMPLEMENTATION
#include "../../nn.h"

static nn_tensor *build(nn_net *net, int kind)
{
    static const size_t image[] = {3, 2}, pair[] = {2, 3};
    nn_tensor *x = kind == 0 ? nn_input(net, 4) : nn_input_shape(net, 2, image);
    if (kind == 0) return nn_softmax_cross_entropy(nn_dense(nn_dropout(nn_relu(nn_dense(x, 3)), 0.2), 2));
    nn_tensor *w = nn_parameter(net, 2, pair, nn_init_normal(0, 1), "w");
    nn_buffer(net, 1, image, nn_init_constant(2), NULL);
    nn_tensor *y = nn_permute(nn_matmul(x, w), 2, (const int[]){1, 0});
    y = nn_concat(2, (nn_tensor *const[]){nn_slice(y, 0, 0, 2), y}, 0);
    y = nn_flatten(nn_clamp(nn_mul(nn_softmax(y), nn_mean_axis(y, 1, 1)), -1, INFINITY));
    return nn_weight_penalty(nn_huber(nn_dense(y, 5), 0.3), 0, 1e-3);
}

#ifdef FUZZ_SEEDS
int main(int argc, char **argv)
{
    for (int i = 0; i < 4; i++) {
        char path[1000];
        nn_save_desc desc = {0};
        nn_optimizer_desc adam = nn_adam(0.1);
        nn_net *net = nn_net_create(NULL);
        build(net, i % 2);
        desc.training = i >= 2 && nn_set_optimizer(net, &adam) == NN_OK;
        snprintf(path, sizeof path, "%s/seed%d", argc > 1 ? argv[1] : ".", i);
        if (nn_save(net, path, &desc) != NN_OK) return 1;
        nn_net_destroy(net);
    }
    return 0;
}
#else

/* A network whose activations would be huge is no finding. */
static void *limited(void *user, size_t bytes)
{
    (void)user;
    return bytes < (size_t)1 << 26 ? malloc(bytes) : NULL;
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    nn_open_desc open = {0};
    nn_load_desc load = {0};
    nn_load_report report;
    open.net.allocator.alloc = limited, open.net.allocator.release = release;
    for (int way = 0; way < 3; way++) {
        open.training = way == 1, open.in_place = way == 2;
        nn_net *net = nn_open_memory(bytes, size, &open);
        const nn_tensor *input = net ? nn_net_input(net) : NULL;
        if (input && input->row_size < 1000) {
            nn_real x[2000] = {0};
            int labels[2];
            nn_classify(net, x, 2, labels, NULL);
        }
        nn_net_destroy(net);
    }
    nn_net *net = nn_net_create(NULL);
    build(net, 1);
    load.partial = 1;
    if (nn_load_memory(net, bytes, size, &load, &report) == NN_OK) nn_load_report_free(&report);
    nn_net_destroy(net);
    return 0;
}
#endif
