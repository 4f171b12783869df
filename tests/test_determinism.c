/* The same seed gives the same bits: small networks are trained on the digits with about
   everything that computes (dropout, penalties, four activations, odd batch sizes, schedules), and a
   hash of their weights is compared with constants that hold for every compiler, optimisation level,
   instruction set and number of threads. A change of any order of summation or of any polynomial
   changes them: then they must be renewed here, and the change named in the log. */
#define NN_IMPLEMENTATION
#define NN_NO_STDIO /* compiles in three quarters of the time */
#ifdef _OPENMP /* so that work as small as this is shared out */
#define NN__GRAIN 1000
#define NN__PRODUCT_GRAIN 2e4
#endif
#include "../nn.h"
#include "../examples/digits.h"
#include "test.h"

static uint64_t hash_parameters(const nn_net *net)
{
    uint64_t hash = HASH_START;
    const nn_tensor *p;
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++)
        hash = hash_reals(hash, p->data, p->size);
    return hash;
}

static uint64_t train_adam(int threads)
{
    nn_dataset data, train, test;
    nn_net_desc net_desc = {0};
    nn_dense_desc dense = {0};
    nn_loss_desc smooth = {0};
    nn_train_desc desc = {0};
    CHECK_OK(digits_load(&data));
    CHECK_OK(nn_dataset_split(&data, 0.2, 7, &train, &test));
    net_desc.seed = 42;
    net_desc.threads = threads;
    nn_net *net = nn_net_create(&net_desc);
    dense.units = 37;
    dense.activation = NN_ACTIVATION_SCALED_TANH;
    nn_tensor *h = nn_dropout(nn_dense_with(nn_input(net, 64), &dense), 0.2);
    dense.units = 19;
    dense.activation = NN_ACTIVATION_GELU;
    dense.weight.kind = NN_INIT_HE_NORMAL;
    h = nn_softplus(nn_dense(nn_sigmoid(nn_dense_with(h, &dense)), 23));
    smooth.label_smoothing = 0.1;
    nn_tensor *loss = nn_loss(nn_dense(h, 10), NN_LOSS_SOFTMAX_CROSS_ENTROPY, &smooth);
    loss = nn_weight_penalty(loss, 1e-5, 1e-4);
    desc.epochs = 2;
    desc.batch_size = 29;
    desc.optimizer.kind = NN_OPTIMIZER_ADAMW;
    desc.optimizer.learning_rate = 0.01;
    desc.optimizer.weight_decay = 0.01;
    desc.optimizer.clip_norm = 1;
    desc.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    desc.optimizer.schedule.warm_up = 10;
    desc.validation = &test;
    desc.restore_best = 1;
    CHECK_OK(nn_train(loss, &train, &desc, NULL));
    uint64_t hash = hash_parameters(net);
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    nn_dataset_free(&data);
    return hash;
}

static uint64_t train_sgd(int threads)
{
    nn_dataset all, data;
    nn_net_desc net_desc = {0};
    nn_train_desc desc = {0};
    CHECK_OK(digits_load(&all));
    CHECK_OK(nn_dataset_subset(&all, 0, 400, &data));
    CHECK_OK(nn_dataset_standardize(&data, NN_PER_FEATURE));
    net_desc.threads = threads;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *x = nn_input(net, 64);
    nn_tensor *a = nn_silu(nn_dense(x, 300)), *b = nn_elu(nn_dense(a, 61), 1);
    nn_tensor *both[2];
    both[0] = b;
    both[1] = nn_softmax(nn_slice(a, 0, 5, 22));
    nn_tensor *loss = nn_hinge(nn_dense(nn_concat(2, both, 0), 10));
    desc.epochs = 2;
    desc.batch_size = 33;
    desc.optimizer = nn_sgd(0.01, 0.9);
    desc.optimizer.nesterov = 1;
    CHECK_OK(nn_train(loss, &data, &desc, NULL));
    uint64_t hash = hash_parameters(net);
    nn_net_destroy(net);
    nn_dataset_free(&data);
    nn_dataset_free(&all);
    return hash;
}

/* Convolutions of every kind of kernel: wide and depthwise, with stride, groups and dilation, and a
   transposed one. */
static uint64_t train_convolutions(int threads)
{
    static const size_t image[] = {8, 8, 1};
    nn_dataset all, data;
    nn_net_desc net_desc = {0};
    nn_conv_desc strided = {0}, depthwise = {0}, grouped = {0};
    nn_train_desc desc = {0};
    CHECK_OK(digits_load(&all));
    CHECK_OK(nn_dataset_subset(&all, 0, 200, &data));
    CHECK_OK(nn_dataset_rescale(&data, 8, 16, 0, 1));
    net_desc.seed = 7;
    net_desc.threads = threads;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *x = nn_relu(nn_conv2d(nn_input_shape(net, 3, image), 18, 3));
    strided.filters = 34, strided.kernel = 3, strided.stride = 2;
    strided.activation = NN_ACTIVATION_SILU;
    x = nn_max_pool(nn_conv2d_transpose(nn_conv2d_with(x, &strided), 20, 2, 2), 2);
    depthwise.filters = depthwise.groups = 20, depthwise.kernel = 3;
    grouped.filters = 40, grouped.groups = 2, grouped.kernel_height = 2, grouped.kernel_width = 3;
    grouped.dilation = 2, grouped.activation = NN_ACTIVATION_ELU;
    x = nn_add(nn_conv2d_with(x, &depthwise), x);
    x = nn_conv2d(nn_conv2d_with(x, &grouped), 16, 1);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_global_average_pool(x), 10));
    desc.epochs = 2;
    desc.batch_size = 29;
    desc.optimizer = nn_sgd(0.05, 0.9);
    CHECK_OK(nn_train(loss, &data, &desc, NULL));
    uint64_t hash = hash_parameters(net);
    nn_net_destroy(net);
    nn_dataset_free(&data);
    nn_dataset_free(&all);
    return hash;
}

/* Images of 8 x 8 through what lies between convolutions. */
static uint64_t train_images(int threads)
{
    const size_t shape[3] = {8, 8, 1};
    nn_dataset all, data;
    nn_net_desc net_desc = {0};
    nn_batch_norm_desc norm = {0};
    nn_pool_desc pool = {0};
    nn_train_desc desc = {0};
    CHECK_OK(digits_load(&all));
    CHECK_OK(nn_dataset_subset(&all, 0, 300, &data));
    CHECK_OK(nn_dataset_set_shape(&data, 3, shape));
    net_desc.threads = threads;
    nn_net *net = nn_net_create(&net_desc);
    norm.activation = NN_ACTIVATION_RELU;
    pool.kernel = 3, pool.stride = 2, pool.pad_height = pool.pad_width = 1;
    nn_tensor *h = nn_batch_norm_with(nn_dense(nn_batch_norm(nn_input_shape(net, 3, shape)), 40),
                                      &norm);
    h = nn_group_norm(nn_dense(nn_max_pool_with(nn_max_pool(h, 2), &pool), 12), 3);
    h = nn_spatial_dropout(nn_layer_norm(nn_average_pool_with(nn_upsample(h, 2), &pool)), 0.1);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_flatten(h), 10));
    desc.epochs = 2;
    desc.batch_size = 31;
    desc.optimizer = nn_adam(0.01);
    CHECK_OK(nn_train(loss, &data, &desc, NULL));
    uint64_t hash = hash_parameters(net);
    const nn_tensor *buffer;
    for (size_t i = 0; (buffer = nn_net_buffer(net, i)) != NULL; i++)
        hash = hash_reals(hash, buffer->data, buffer->size);
    nn_net_destroy(net);
    nn_dataset_free(&data);
    nn_dataset_free(&all);
    return hash;
}

static void test_images(void)
{
    CHECK_HASH(train_images(0), UINT64_C(0xE8699848FB8F1770), UINT64_C(0xA28D6A765ADE7A14));
}

static void test_adam(void)
{
    CHECK_HASH(train_adam(0), UINT64_C(0xEB05F90E085D7C7E), UINT64_C(0xC5AE9F8F50A84A54));
}

static void test_sgd(void)
{
    CHECK_HASH(train_sgd(0), UINT64_C(0x7455AB7BA5E1ACFB), UINT64_C(0xA5ACA1F3F0654589));
}

static void test_convolutions(void)
{
    CHECK_HASH(train_convolutions(0), UINT64_C(0x061C67800EFA4B92), UINT64_C(0x9C9BFD7082E6C6CE));
}

/* Numbers of threads that divide the work evenly and that do not. */
static void test_threads(void)
{
    static const int counts[] = {1, 2, 3, 7};
    uint64_t adam = train_adam(0), sgd = train_sgd(0), images = train_images(0);
    uint64_t convolutions = train_convolutions(0);
    for (size_t i = 0; i < COUNT(counts); i++) {
        CHECK(train_adam(counts[i]) == adam);
        CHECK(train_sgd(counts[i]) == sgd);
        CHECK(train_images(counts[i]) == images);
        CHECK(train_convolutions(counts[i]) == convolutions);
    }
}

/* Each element counts how often it was worked on; the piece with the first one dawdles, so that
   other threads finish its share. */
static void count_range(void *context, size_t begin, size_t end)
{
    int *count = (int *)context;
    volatile int idle = begin == 0 ? 200000 : 0;
    while (idle > 0) idle = idle - 1;
    for (size_t i = begin; i < end; i++) count[i]++;
}

static void test_every_element_once(void)
{
    static const size_t sizes[] = {0, 1, 2, 7, 64, 257}, grains[] = {1, 3, 64};
    for (int threads = 1; threads <= 300; threads += threads < 8 ? 1 : 97)
        for (size_t i = 0; i < COUNT(sizes); i++)
            for (size_t j = 0; j < COUNT(grains); j++) {
                int count[258] = {0}, wrong = 0;
                nn__parallel(threads, sizes[i], grains[j], count_range, count);
                for (size_t e = 0; e < 258; e++) wrong += count[e] != (e < sizes[i]);
                CHECK_INT(wrong, 0);
            }
}

/* A product, of which every `step`th row is computed again. */
static void check_product(size_t m, size_t n, size_t depth, size_t step)
{
    static nn_real a[780 * 780], b[780 * 780], c[780 * 780];
    nn_rng rng = nn_rng_seed(3);
    for (size_t i = 0; i < m * depth; i++) a[i] = (nn_real)nn_rng_normal(&rng);
    for (size_t i = 0; i < depth * n; i++) b[i] = (nn_real)nn_rng_normal(&rng);
    for (int turn = 0; turn < 4; turn++) {
        int ta = turn & 1, tb = turn >> 1;
        nn_mat_mul(ta, tb, m, n, depth, a, ta ? m : depth, b, tb ? depth : n, c, n, 0);
        for (size_t i = 0; i < m; i += step)
            for (size_t j = 0; j < n; j++) {
                nn_real sum = 0;
                for (size_t k = 0; k < depth; k++) {
                    nn_real x = a[ta ? k * m + i : i * depth + k];
                    nn_real y = b[tb ? j * depth + k : k * n + j];
                    sum = (nn_real)test_fma((double)x, (double)y, (double)sum);
                }
                CHECK(memcmp(&sum, &c[i * n + j], sizeof sum) == 0);
            }
    }
}

/* Large enough to be shared out, and its rows and columns uneven. */
static void test_large_product(void)
{
    check_product(301, 203, 517, 23);
    check_product(391, 203, 511, 23); /* A exceeds the second cache: strips in twos */
    check_product(779, 331, 200, 97); /* and in fours */
    check_product(1031, 130, 140, 61); /* more rows than any block has */
    check_product(2048, 34, 128, 401); /* and strips beside each other, each with little to pack */
    if (!strncmp(nn_kernel_path(), "avx", 3)) check_product(779, 773, 521, 97); /* long panels */
}

int main(void)
{
    RUN(test_adam);
    RUN(test_sgd);
    RUN(test_convolutions);
    RUN(test_images);
    RUN_THREADS(test_threads);
    RUN(test_every_element_once);
    RUN(test_large_product);
    return test_done("test_determinism");
}
