/* Networks in files: every operation there and back, every way in which a file can be wrong, files
   of other writers, and trainings that go on to the same bits. With an argument, "all", every byte
   of a file takes every value; without it each bit is flipped. */
#include <stdlib.h>

/* Memory from NN_MALLOC: what was not given back, and a request that fails, with all after it or
   alone. */
static long memory_blocks, memory_left = -1;
static int memory_fails_once;

static void *memory_get(void *block, size_t size)
{
    if (memory_left == 0) return memory_left -= memory_fails_once, NULL;
    if (memory_left > 0) memory_left--;
    void *got = realloc(block, size);
    if (got && !block) memory_blocks++;
    return got;
}

static void memory_free(void *block)
{
    if (block) memory_blocks--;
    free(block);
}

#define NN_MALLOC(size) memory_get(NULL, size)
#define NN_REALLOC(block, size) memory_get(block, size)
#define NN_FREE(block) memory_free(block)
#define NN_IMPLEMENTATION
#include "../nn.h"

#include "test.h"
#if defined(__unix__) || defined(__APPLE__)
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#define HAS_POSIX
#endif

static int is_full; /* the argument "all" */

/* -------------------------------------------------------------------------------------- helpers */

static const char *path_of(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", TEST_TMP, name);
    return path;
}

static nn_real *draws(size_t n, uint64_t seed)
{
    nn_rng rng = nn_rng_seed(seed);
    nn_real *x = (nn_real *)malloc((n ? n : 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (nn_real)(nn_rng_uniform(&rng) - 0.5);
    return x;
}

static uint64_t hash_net(const nn_net *net)
{
    uint64_t hash = HASH_START;
    const nn_tensor *t;
    for (size_t i = 0; (t = nn_net_parameter(net, i)) != NULL; i++)
        hash = hash_reals(hash, t->data, t->size);
    for (size_t i = 0; (t = nn_net_buffer(net, i)) != NULL; i++)
        hash = hash_reals(hash, t->data, t->size);
    return hash;
}

/* A file in memory, put together from its parts. */
typedef struct file {
    unsigned char bytes[8192];
    size_t size;
} file;

static file file_of(const char *header, const void *data, size_t size)
{
    file f;
    const size_t n = strlen(header);
    memset(&f, 0, sizeof f);
    for (int i = 0; i < 8; i++) f.bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(f.bytes + 8, header, n);
    if (size) memcpy(f.bytes + 8 + n, data, size);
    f.size = 8 + n + size;
    return f;
}

/* One parameter "w" of three values. */
static nn_net *three_weights(void)
{
    static const size_t three[] = {3};
    nn_net *net = nn_net_create(NULL);
    nn_parameter(net, 1, three, nn_init_constant(7), "w");
    return net;
}

static char *strdup_of(const char *text)
{
    char *copy = (char *)malloc(strlen(text) + 1);
    if (copy) strcpy(copy, text);
    return copy;
}

static nn_net *small_net(uint64_t seed)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = seed;
    nn_net *net = nn_net_create(&desc);
    nn_tensor *hidden = nn_dropout(nn_tanh(nn_dense(nn_input(net, 4), 3)), 0.25);
    nn_softmax_cross_entropy(nn_name(nn_dense(hidden, 2), "logits"));
    return net;
}

static nn_tensor *loss_of(const nn_net *net)
{
    return nn_net_tensor(net, nn_net_tensor_count(net) - 1);
}

/* ------------------------------------------------------------------- every operation, both ways */

static nn_status triple_forward(nn_tensor *t)
{
    const double *factor = (const double *)t->settings;
    for (size_t i = 0; i < t->size; i++) t->data[i] = (nn_real)(*factor * (double)t->src[0]->data[i]);
    return NN_OK;
}

static double triple_factors[4];
static int triple_count;

static nn_tensor *triple(nn_tensor *x, double factor);

static nn_tensor *triple_describe(nn_description *d, const nn_tensor *t)
{
    double factor = t ? *(const double *)t->settings : 0;
    nn_describe_real(d, "factor", &factor);
    return t ? NULL : triple(nn_describe_source(d, 0), factor);
}

static const nn_op triple_op = {"triple", triple_forward, NULL, NULL, NULL, 0, triple_describe};

static nn_tensor *triple(nn_tensor *x, double factor)
{
    triple_factors[triple_count % 4] = factor;
    return nn_custom(1, &x, 1, 1, x ? x->shape + 1 : NULL, &triple_op,
                     &triple_factors[triple_count++ % 4]);
}

static const size_t two_three[] = {2, 3};

static nn_tensor *image(nn_net *net) { return nn_input_shape(net, 2, two_three); }

static nn_tensor *weights(nn_net *net, const char *name)
{
    return nn_parameter(net, 2, two_three, nn_init_uniform(0.5, 2), name);
}

static nn_tensor *of_leaves(nn_net *net)
{
    static const size_t scalar[] = {1};
    nn_tensor *x = image(net), *w = weights(net, "w");
    nn_tensor *unnamed = nn_parameter(net, 0, NULL, nn_init_normal(0, 1), NULL);
    nn_tensor *buffer = nn_buffer(net, 2, two_three, nn_init_uniform(-1, 1), "a \"name\" / \xc3\xa9");
    w->frozen = 1, w->learning_rate_scale = 0.1, buffer->learning_rate_scale = 0;
    unnamed->no_decay = 1;
    x->requires_grad = 1;
    nn_input_labels(net, 1, scalar, 12);
    return nn_add(nn_mul(nn_add(x, w), buffer), unnamed);
}

static nn_tensor *of_arithmetic(nn_net *net)
{
    nn_tensor *x = image(net), *w = weights(net, "w");
    nn_tensor *y = nn_div(nn_sub(nn_mul(nn_add(x, w), w), x), w);
    y = nn_minimum(nn_maximum(y, w), nn_scale(w, -1.0 / 3));
    y = nn_add(nn_exp(y), nn_log(w));
    y = nn_add(nn_sqrt(y), nn_abs(x));
    return nn_clamp(nn_pow(y, 1.7), -INFINITY, 1e20 / 3);
}

static nn_tensor *of_shapes(nn_net *net)
{
    static const size_t six[] = {6}, back[] = {3, 1, 2};
    static const int axes[] = {-1, 0, 1};
    nn_tensor *x = image(net), *parts[2];
    parts[0] = nn_slice(x, 1, 1, 3), parts[1] = nn_slice(x, -1, 0, 1);
    nn_tensor *y = nn_reshape(nn_concat(2, parts, -1), 1, six);
    return nn_transpose(nn_permute(nn_reshape(y, 3, back), 3, axes), 0, 2);
}

static nn_tensor *of_reductions(nn_net *net)
{
    nn_tensor *x = image(net);
    nn_tensor *y = nn_add(nn_sum_axis(x, 0, 1), nn_mean_axis(x, 1, 1));
    y = nn_add(y, nn_max_axis(x, -1, 1));
    y = nn_add(nn_add(nn_softmax(y), nn_log_softmax_axis(y, 0)), nn_softmax_axis(y, 0));
    return nn_add(nn_sum_axis(y, 0, 0), nn_add(nn_max(y), nn_add(nn_sum(y), nn_mean(y))));
}

static nn_tensor *of_layers(nn_net *net)
{
    nn_dense_desc d;
    nn_tensor *x = image(net), *w = weights(net, "w");
    memset(&d, 0, sizeof d);
    d.units = 3, d.activation = NN_ACTIVATION_LEAKY_RELU, d.name = "leaky", d.decay_bias = 1;
    nn_tensor *y = nn_dense_with(nn_matmul_with(nn_matmul(x, nn_transpose(w, 0, 1)), 0, w, 0), &d);
    memset(&d, 0, sizeof d);
    d.shared_weight = nn_weight(y), d.no_bias = 1, d.activation = NN_ACTIVATION_ELU;
    d.alpha = NN_ZERO;
    y = nn_dense_with(nn_dropout(y, 0.1), &d);
    for (int kind = 0; kind < NN_ACTIVATION_COUNT; kind++)
        y = nn_activate(y, (nn_activation)kind,
                        kind == NN_ACTIVATION_ELU ? 0.7 : kind == NN_ACTIVATION_LEAKY_RELU ? 0.3 : 0);
    return nn_matmul_with(w, 1, y, 0);
}

/* Pooling, resizing and normalisation with about every setting. */
static nn_tensor *of_images(nn_net *net)
{
    static const size_t shape[] = {6, 5, 4}, sequence[] = {4, 2};
    nn_batch_norm_desc b = {0};
    nn_group_norm_desc g = {0};
    nn_layer_norm_desc l = {0};
    nn_pool_desc p = {0};
    nn_tensor *x = nn_input_shape(net, 3, shape), *parts[2];
    b.epsilon = 0.01, b.keep = 0.75, b.population_variance = 1, b.activation = NN_ACTIVATION_RELU;
    b.name = "first";
    p.kernel_height = 3, p.kernel_width = 2, p.stride = 1, p.pad_height = 1, p.pad_width = 1;
    x = nn_max_pool_with(nn_pad(nn_batch_norm_with(x, &b), 1, 2, 3, 0), &p);
    p.exclude_padding = 1, p.stride = 2;
    g.groups = 2, g.activation = NN_ACTIVATION_RELU, g.epsilon = 1e-3;
    x = nn_group_norm_with(nn_average_pool_with(x, &p), &g);
    b.no_affine = 1, b.momentum = NN_ZERO, b.keep = 0, b.name = NULL;
    x = nn_batch_norm_with(nn_crop(nn_upsample(x, 2), 1, 0, 2, 1), &b);
    l.axes = 2;
    x = nn_layer_norm_with(nn_adaptive_average_pool(nn_spatial_dropout(x, 0.5), 3, 2), &l);
    l.no_affine = 1;
    parts[0] = nn_global_max_pool(x), parts[1] = nn_global_average_pool(nn_layer_norm_with(x, &l));
    return nn_average_pool(nn_reshape(nn_concat(2, parts, 0), 2, sequence), 2);
}

static nn_tensor *of_penalty(nn_net *net)
{
    nn_tensor *y = nn_dense(nn_input(net, 6), 2);
    nn_weight_penalty(nn_add(nn_mean(y), nn_hinge(y)), 1e-3, 1.0 / 3);
    return y;
}

static nn_tensor *of_custom(nn_net *net) { return triple(nn_input(net, 6), 3); }

/* A loss of each kind with what it can be told; they make inputs of their own. */
static nn_tensor *of_losses(nn_net *net)
{
    static const nn_real class_weights[] = {1, (nn_real)0.1, 2};
    nn_tensor *y = nn_dense(nn_input(net, 6), 3);
    nn_loss_desc d;
    for (int kind = 0; kind < NN_LOSS_COUNT; kind++)
        for (int i = 0; i < 3; i++) {
            const int is_softmax = kind == NN_LOSS_SOFTMAX_CROSS_ENTROPY;
            memset(&d, 0, sizeof d);
            d.reduction = (nn_reduction)i;
            d.sample_weights = i == 2;
            if (i == 1 && (is_softmax || kind == NN_LOSS_HINGE))
                d.class_weights = class_weights, d.ignore_label = 1, d.ignored_label = -100;
            if (is_softmax) d.label_smoothing = 0.1, d.answers = i ? NN_ANSWERS_LABELS : NN_ANSWERS_TARGETS;
            if (i && kind == NN_LOSS_SIGMOID_CROSS_ENTROPY) d.positive_weights = class_weights;
            if (kind == NN_LOSS_HUBER) d.delta = 0.3 * (i + 1);
            if (kind == NN_LOSS_HINGE) d.margin = i ? 0.4 : NN_ZERO;
            CHECK(nn_loss(y, (nn_loss_kind)kind, &d) != NULL);
        }
    return y;
}

/* Convolutions with every setting, and what stands between them. */
static nn_tensor *of_convolutions(nn_net *net)
{
    static const size_t shape[] = {9, 8, 4};
    nn_conv_desc conv;
    nn_pool_desc pool;
    nn_batch_norm_desc batch;
    nn_group_norm_desc group;
    nn_layer_norm_desc layer;
    memset(&conv, 0, sizeof conv);
    memset(&pool, 0, sizeof pool);
    memset(&batch, 0, sizeof batch);
    memset(&group, 0, sizeof group);
    memset(&layer, 0, sizeof layer);
    conv.filters = 6, conv.kernel_height = 3, conv.kernel_width = 2, conv.stride = 2;
    conv.dilation = 2, conv.groups = 2, conv.padding = NN_PADDING_EXPLICIT;
    conv.pad_height = 3, conv.pad_width = 2, conv.name = "first";
    conv.activation = NN_ACTIVATION_LEAKY_RELU, conv.alpha = 0.2;
    nn_tensor *x = nn_conv2d_with(nn_input_shape(net, 3, shape), &conv);
    batch.epsilon = 1e-3, batch.momentum = NN_ZERO, batch.population_variance = 1;
    batch.activation = NN_ACTIVATION_RELU;
    x = nn_batch_norm_with(nn_batch_norm_with(nn_upsample(x, 2), &batch), NULL);
    batch.no_affine = 1, batch.momentum = 0.25;
    x = nn_batch_norm_with(x, &batch);
    pool.kernel = 3, pool.stride = 2, pool.pad_height = pool.pad_width = 1;
    pool.exclude_padding = 1;
    x = nn_average_pool_with(nn_pad(x, 1, 2, 0, 3), &pool);
    pool.exclude_padding = 0, pool.kernel = 0, pool.kernel_height = 3, pool.kernel_width = 2;
    x = nn_max_pool_with(nn_conv2d(x, 6, 3), &pool);
    group.groups = 3, group.epsilon = 1e-4;
    x = nn_group_norm_with(nn_spatial_dropout(x, 0.25), &group);
    group.no_affine = 1, layer.axes = 2, layer.epsilon = 1e-2;
    x = nn_layer_norm_with(nn_group_norm_with(x, &group), &layer);
    x = nn_crop(nn_conv2d_transpose(nn_layer_norm(x), 3, 3, 2), 1, 0, 0, 1);
    size_t sequence[] = {0, 3};
    if (x) sequence[0] = x->row_size / 3;
    x = nn_reshape(x, 2, sequence);
    return nn_global_max_pool(nn_conv1d(x, 2, 3));
}

static nn_tensor *(*const builders[])(nn_net *) = {of_leaves, of_arithmetic, of_shapes,
                                                   of_reductions, of_layers, of_images,
                                                   of_convolutions, of_penalty, of_custom,
                                                   of_losses};

/* Two networks have the same tensors with the same settings, and answer the same. */
static void check_same_net(nn_net *a, nn_net *b, size_t output)
{
    nn_tensor *const in_a = nn_net_tensor(a, 0), *const in_b = nn_net_tensor(b, 0);
    nn_tensor *const out_a = nn_net_tensor(a, output), *const out_b = nn_net_tensor(b, output);
    CHECK_INT(nn_net_tensor_count(a), nn_net_tensor_count(b));
    CHECK_INT(in_a->requires_grad, in_b->requires_grad);
    CHECK(hash_net(a) == hash_net(b));
    if (!out_b || nn_net_tensor_count(a) != nn_net_tensor_count(b)) return;
    for (size_t i = 0; i < nn_net_tensor_count(a); i++) {
        const nn_tensor *x = nn_net_tensor(a, i), *y = nn_net_tensor(b, i);
        CHECK_STR(x->op->name, y->op->name);
        CHECK_STR(x->name, y->name);
        CHECK_INT(x->frozen, y->frozen);
        CHECK_INT(x->no_decay, y->no_decay);
        CHECK(x->learning_rate_scale == y->learning_rate_scale);
    }
    nn_real *x = draws(5 * in_a->row_size, 3);
    CHECK_OK(nn_feed(in_a, x, 5));
    CHECK_OK(nn_feed(in_b, x, 5));
    CHECK_OK(nn_forward(out_a));
    CHECK_OK(nn_forward(out_b));
    CHECK_INT(out_a->size, out_b->size);
    CHECK(memcmp(out_a->data, out_b->data, out_a->size * sizeof *x) == 0);
    free(x);
}

static void test_every_operation(void)
{
    const nn_op *seen[300];
    size_t seen_count = 0;
    nn_open_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.ops = &triple_op, desc.op_count = 1;
    for (size_t i = 0; i < COUNT(builders); i++) {
        void *bytes = NULL, *again = NULL;
        size_t size = 0, again_size = 0;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *output = builders[i](net);
        CHECK_OK(nn_net_status(net));
        if (!output) continue;
        CHECK_OK(nn_net_set_output(net, output));
        for (size_t j = 0; j < nn_net_tensor_count(net) && seen_count < COUNT(seen); j++)
            seen[seen_count++] = nn_net_tensor(net, j)->op;
        CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
        nn_net *opened = nn_open_memory(bytes, size, &desc);
        if (FAILS(opened != NULL)) printf("%s\n", nn_last_error());
        if (opened) {
            check_same_net(net, opened, output->id);
            CHECK_INT(nn_net_output(opened)->id, output->id);
            CHECK_OK(nn_save_memory(opened, NULL, &again, &again_size));
            CHECK(size == again_size && memcmp(bytes, again, size) == 0);
        }
        nn_free(bytes);
        nn_free(again);
        nn_net_destroy(net);
        nn_net_destroy(opened);
    }
    for (size_t i = 0; i < COUNT(nn__operations); i++) {
        size_t at = 0;
        while (at < seen_count && seen[at] != nn__operations[i]) at++;
        if (FAILS(at < seen_count))
            printf("no network in `builders` has the operation %s\n", nn__operations[i]->name);
    }
}

/* Whatever can be built and saved is in the list that nn_open knows. */
static void test_every_record_is_listed(void)
{
    nn_net *net = nn_net_create(NULL);
    for (size_t i = 0; i < COUNT(builders); i++)
        if (builders[i] != of_custom && builders[i] != of_penalty && builders[i] != of_losses) {
            nn_net *one = nn_net_create(NULL);
            CHECK(builders[i](one) != NULL);
            CHECK(nn__unsaved(one) == NULL);
            nn_net_destroy(one);
        }
    nn_net_destroy(net);
}

static void test_losses_compute_the_same(void)
{
    static const int labels[] = {0, 2, 1, -100, 1};
    void *bytes = NULL;
    size_t size = 0;
    nn_net *net = nn_net_create(NULL);
    of_losses(net);
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    nn_net *opened = nn_open_memory(bytes, size, NULL);
    nn_real *x = draws(30, 1), targets[15], weights_of[5] = {1, 2, 0, 4, 1};
    for (int i = 0; i < 15; i++) targets[i] = (nn_real)(i % 3 == i / 3 % 3);
    for (size_t i = 0; opened && i < nn_net_tensor_count(net); i++) {
        double value[2];
        nn_tensor *const both[2] = {nn_net_tensor(net, i), nn_net_tensor(opened, i)};
        if (!nn__is_loss(both[0])) continue;
        nn_real results[2][15];
        for (int k = 0; k < 2; k++) {
            nn_tensor *t = both[k];
            CHECK_OK(nn_feed(nn_net_tensor(t->net, 0), x, 5));
            if (nn__takes_labels(t)) {
                int copy[5];
                memcpy(copy, labels, sizeof copy);
                if (!nn__loss_of(t)->ignores) copy[3] = 0;
                CHECK_OK(nn_feed_labels(t, copy, 5));
            } else CHECK_OK(nn_feed_targets(t, targets, 5));
            if (t->src_count > 2) CHECK_OK(nn_feed_weights(t, weights_of, 5));
            CHECK_OK(nn_forward(t));
            value[k] = t->value;
            memset(results[k], 0, sizeof results[k]);
            memcpy(results[k], t->data, t->size * sizeof(nn_real));
        }
        CHECK(value[0] == value[1]);
        CHECK(memcmp(results[0], results[1], sizeof results[0]) == 0);
    }
    CHECK(opened != NULL);
    free(x);
    nn_free(bytes);
    nn_net_destroy(net);
    nn_net_destroy(opened);
}

/* The user's own operation: known to the program that opens it, or refused. */
static void test_custom(void)
{
    static const size_t six[] = {6};
    static const nn_op plain = {"plain", triple_forward, NULL, NULL, NULL, 0, NULL};
    void *bytes = NULL;
    size_t size = 0;
    double factor = 2;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 6);
    triple(x, 3);
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    CHECK(nn_open_memory(bytes, size, NULL) == NULL);
    CHECK(strstr(nn_last_error(), "tensor 1 (triple)") && strstr(nn_last_error(), "ops"));
    nn_free(bytes);
    nn_custom(1, &x, 1, 1, six, &plain, &factor);
    CHECK_ERROR(nn_save_memory(net, NULL, &bytes, &size), NN_ERROR_BAD_ARGUMENT, "tensor 2, 'plain'",
                "weights_only");
    nn_save_desc save;
    memset(&save, 0, sizeof save);
    save.weights_only = 1;
    CHECK_OK(nn_save_memory(net, &save, &bytes, &size));
    CHECK(nn_open_memory(bytes, size, NULL) == NULL);
    CHECK(strstr(nn_last_error(), "no architecture") != NULL);
    CHECK_OK(nn_load_memory(net, bytes, size, NULL, NULL));
    nn_free(bytes);
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------------ files of a kind */

/* ------------------------------------------------------------------------------ values in place */

/* Whether all values of a network lie in these bytes. */
static int lies_in(const nn_net *net, const void *bytes, size_t size)
{
    const uintptr_t begin = (uintptr_t)bytes, end = begin + size;
    const nn_tensor *t;
    int lies = 1;
    for (size_t i = 0; (t = nn__state_tensor(net, i)) != NULL; i++)
        lies &= (uintptr_t)t->data >= begin && (uintptr_t)(t->data + t->size) <= end;
    return lies;
}

static nn_open_desc in_place(void)
{
    nn_open_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.in_place = 1;
    return desc;
}

#ifdef HAS_POSIX
/* Every operation, from a file that is mapped for reading: a write would end the program. */
static void test_mapped(void)
{
    const char *path = path_of("mapped.safetensors");
    nn_open_desc desc = in_place();
    desc.ops = &triple_op, desc.op_count = 1;
    for (size_t i = 0; i < COUNT(builders); i++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *output = builders[i](net);
        CHECK_OK(nn_save(net, path, NULL));
        const int disk = open(path, O_RDONLY);
        const size_t size = (size_t)lseek(disk, 0, SEEK_END);
        void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, disk, 0), *again = NULL;
        size_t again_size = 0;
        close(disk);
        remove(path);
        if (FAILS(bytes != MAP_FAILED)) return;
        nn_net *opened = nn_open_memory(bytes, size, &desc);
        if (FAILS(opened != NULL)) printf("%s\n", nn_last_error());
        if (opened) {
            CHECK(lies_in(opened, bytes, size));
            check_same_net(net, opened, output->id);
            CHECK_OK(nn_save_memory(opened, NULL, &again, &again_size));
            CHECK(size == again_size && memcmp(bytes, again, size) == 0);
        }
        nn_free(again);
        nn_net_destroy(net);
        nn_net_destroy(opened);
        munmap(bytes, size);
    }
}

/* Nor does anything that is refused write. */
static void test_mapped_is_read_only(void)
{
    const char *path = path_of("mapped.safetensors");
    static const nn_real x[12] = {1}, w[12] = {0};
    static const int labels[3] = {0, 1, 1};
    nn_dataset data;
    nn_open_desc desc = in_place();
    nn_train_desc train;
    nn_optimizer_desc adam = nn_adam(0.1);
    nn_net *net = nn_net_create(NULL);
    nn_softmax_cross_entropy(nn_dense(nn_batch_norm(nn_input(net, 4)), 2));
    CHECK_OK(nn_save(net, path, NULL));
    nn_net_destroy(net);
    const int disk = open(path, O_RDONLY);
    const size_t size = (size_t)lseek(disk, 0, SEEK_END);
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, disk, 0);
    close(disk);
    if (FAILS(bytes != MAP_FAILED)) return;
    net = nn_open_memory(bytes, size, &desc);
    if (FAILS(net != NULL)) return;
    nn_tensor *loss = loss_of(net), *weight = nn_net_parameter(net, 0);
    CHECK_OK(nn_dataset_from_arrays(x, 3, 4, labels, 2, &data));
    memset(&train, 0, sizeof train);
    train.epochs = 1, train.batch_size = 3, train.optimizer = adam;
#define REFUSED(call, name) CHECK_ERROR(call, NN_ERROR_BAD_ARGUMENT, name ": ", "in_place")
    REFUSED(nn_train(loss, &data, &train, NULL), "nn_train");
    train.optimizer.kind = NN_OPTIMIZER_KEEP;
    CHECK(nn_train(loss, &data, &train, NULL) != NN_OK);
    REFUSED(nn_set_optimizer(net, &adam), "nn_set_optimizer");
    CHECK_ERROR(nn_step(net), NN_ERROR_BAD_ARGUMENT, "nn_set_optimizer first", "");
    REFUSED(nn_gradcheck(loss, NULL, NULL), "nn_gradcheck");
    REFUSED(nn_set_values(weight, w, weight->size), "nn_set_values");
    REFUSED(nn_set_values(nn_net_buffer(net, 0), w, 4), "nn_set_values");
    REFUSED(nn_initialize(weight, nn_init_constant(1)), "nn_initialize");
    REFUSED(nn_load_memory(net, bytes, size, NULL, NULL), "nn_load_memory");
    REFUSED(nn_load(net, path, NULL, NULL), "nn_load");
    nn_net_set_training(net, 1); /* running statistics would move */
    CHECK_OK(nn_feed(nn_net_input(net), x, 3));
    CHECK_OK(nn_feed_labels(loss, labels, 3));
    REFUSED(nn_forward(loss), "nn_forward in training");
    nn_net_set_training(net, 0);
    CHECK_OK(nn_forward(loss));
    REFUSED(nn_backward(loss), "nn_backward");
#undef REFUSED
    CHECK(lies_in(net, bytes, size));
    nn_net_destroy(net);
    nn_dataset_free(&data);
    munmap(bytes, size);
    remove(path);
}
#endif

/* What cannot be used where it lies is an error that names it. */
static void test_not_in_place(void)
{
    static unsigned char moved[16384];
    nn_open_desc desc = in_place();
    void *bytes = NULL;
    size_t size = 0;
    nn_net *net = small_net(1);
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    nn_net_destroy(net);
    unsigned char *aligned = moved + (64 - (uintptr_t)moved % 64);
    for (size_t by = 0; by <= 2 * sizeof(nn_real); by++) {
        memcpy(aligned + by, bytes, size);
        net = nn_open_memory(aligned + by, size, &desc);
        if (by % sizeof(nn_real) == 0) CHECK(net && lies_in(net, aligned + by, size));
        else {
            char past[40];
            snprintf(past, sizeof past, "%d bytes past a multiple", (int)(by % sizeof(nn_real)));
            CHECK(net == NULL && strstr(nn_last_error(), past));
            CHECK(strstr(nn_last_error(), "tensor 'dense") != NULL);
        }
        nn_net_destroy(net);
    }
    nn_free(bytes);
    static const char *const other[][2] = {{"F64", "F32"}, {"F32", "F64"}, {"I64", "I32"}};
    const double numbers[3] = {1, 2, 3};
    for (size_t i = 0; i < COUNT(other); i++) {
        const char *dtype = other[i][sizeof(nn_real) == 8];
        const int width = dtype[1] == '6' ? 8 : 4;
        char header[400];
        snprintf(header, sizeof header,
                 "{\"__metadata__\":{\"nn.h\":\"{\\\"version\\\":1,\\\"tensors\\\":[{\\\"id\\\":0,"
                 "\\\"op\\\":\\\"parameter\\\",\\\"name\\\":\\\"w\\\",\\\"shape\\\":[3]}"
                 "]}\"},\"w\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", dtype,
                 3 * width);
        while (strlen(header) % 8) strcat(header, " ");
        const file f = file_of(header, numbers, 3 * (size_t)width);
        memcpy(aligned, f.bytes, f.size);
        net = nn_open_memory(aligned, f.size, &desc);
        if (i == 1) CHECK(net && lies_in(net, aligned, f.size));
        else {
            CHECK(net == NULL && strstr(nn_last_error(), "tensor 'w' is"));
            CHECK(strstr(nn_last_error(), dtype) != NULL);
            CHECK(strstr(nn_last_error(), other[1][sizeof(nn_real) == 8]) != NULL);
        }
        nn_net_destroy(net);
    }
    CHECK(nn_open("nothing", &desc) == NULL && strstr(nn_last_error(), "in_place is for a file in mem"));
    desc.training = 1;
    CHECK(nn_open_memory(moved, 8, &desc) == NULL && strstr(nn_last_error(), "in_place"));
}

/* Memory of a network: what is in use, and the most there has been. */
typedef struct counted {
    size_t used, peak;
} counted;

static void *counted_alloc(void *user, size_t bytes)
{
    counted *c = (counted *)user;
    char *block = (char *)malloc(bytes + 16);
    if (!block) return NULL;
    memcpy(block, &bytes, sizeof bytes);
    c->used += bytes;
    if (c->used > c->peak) c->peak = c->used;
    return block + 16;
}

static void counted_release(void *user, void *block)
{
    size_t bytes;
    memcpy(&bytes, (char *)block - 16, sizeof bytes);
    ((counted *)user)->used -= bytes;
    free((char *)block - 16);
}

/* A network in place takes its inputs and activations, and little else. */
static void test_memory_in_place(void)
{
    enum { BATCH = 64, WIDE = 500 };
    counted count = {0, 0};
    nn_open_desc desc = in_place();
    void *bytes = NULL;
    size_t size = 0, activations = 0;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *y = nn_input(net, WIDE);
    for (int i = 0; i < 6; i++) y = nn_relu(nn_dense(y, WIDE));
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    desc.net.allocator.alloc = counted_alloc, desc.net.allocator.release = counted_release;
    desc.net.allocator.user = &count;
    nn_net *opened = nn_open_memory(bytes, size, &desc);
    if (FAILS(opened != NULL)) return;
    nn_real *x = draws(BATCH * WIDE, 5);
    CHECK_OK(nn_feed(nn_net_tensor(opened, 0), x, BATCH));
    CHECK_OK(nn_forward(nn_net_tensor(opened, y->id)));
    for (size_t i = 0; i < nn_net_tensor_count(opened); i++)
        if (nn_net_tensor(opened, i)->batched)
            activations += nn_net_tensor(opened, i)->size * sizeof *x;
    CHECK_INT(activations, 13 * BATCH * WIDE * sizeof *x);
    CHECK(size > 3 * activations && count.peak >= activations);
    if (FAILS(count.peak <= activations + activations / 20))
        printf("%d bytes for activations of %d\n", (int)count.peak, (int)activations);
    nn_net_destroy(opened);
    CHECK_INT(count.used, 0);
    nn_net_destroy(net);
    nn_free(bytes);
    free(x);
}

/* The bytes of a file are the format's: fixed here, so that another version reads them. */
static void test_bytes_of_a_file(void)
{
    void *bytes = NULL;
    size_t size = 0;
    nn_net *net = three_weights();
    const char *type = sizeof(nn_real) == 4 ? "F32" : "F64";
    char expected[400];
    snprintf(expected, sizeof expected,
             "{\"__metadata__\":{\"nn.h\":\"{\\\"version\\\":1,\\\"tensors\\\":[{\\\"id\\\":0,"
             "\\\"op\\\":\\\"parameter\\\",\\\"name\\\":\\\"w\\\",\\\"shape\\\":[3]}]}\"},"
             "\"w\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", type,
             (int)(3 * sizeof(nn_real)));
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    const unsigned char *b = (const unsigned char *)bytes;
    const size_t header = b ? b[0] + 256u * b[1] : 0, text = strlen(expected);
    CHECK_INT(header % 8, 0);
    CHECK_INT(size, 8 + header + 3 * sizeof(nn_real));
    CHECK(header >= text && header < text + 8 && memcmp(b + 8, expected, text) == 0);
    for (size_t i = text; i < header; i++) CHECK_INT(b[8 + i], ' ');
    nn_real values[3];
    memcpy(values, b + 8 + header, sizeof values);
    CHECK(values[0] == 7 && values[2] == 7); /* on a machine whose low byte comes first */
    nn_free(bytes);
    nn_net_destroy(net);
}

#ifdef HAS_POSIX
/* How many files there are whose names begin with that of `path` and go on. */
static int files_beside(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    int count = 0;
    DIR *folder = opendir(TEST_TMP);
    CHECK(folder != NULL);
    for (struct dirent *one; folder && (one = readdir(folder)) != NULL;)
        count += strncmp(one->d_name, name, strlen(name)) == 0 && one->d_name[strlen(name)];
    if (folder) closedir(folder);
    return count;
}
#endif

static void test_paths(void)
{
    static char before[4096], after[4096];
    char path[300];
    nn_net *net = small_net(1), *other = small_net(2);
    CHECK(hash_net(net) != hash_net(other));
    snprintf(path, sizeof path, "%s", path_of("net.safetensors"));
    remove(path);
    CHECK_OK(nn_save(net, path, NULL));
    CHECK_OK(nn_load(other, path, NULL, NULL));
    CHECK(hash_net(net) == hash_net(other));
    nn_net *opened = nn_open(path, NULL);
    CHECK(opened && hash_net(net) == hash_net(opened));
    if (opened) CHECK_STR(nn_net_output(opened)->name, "logits");
    if (opened) CHECK_INT(nn_net_input(opened)->row_size, 4);
    nn_net_destroy(opened);
    /* what fails leaves the file as it was */
    const size_t size = read_file(path, before, sizeof before);
    CHECK_ERROR(nn_save(net, "no/such/folder/a", NULL), NN_ERROR_CANNOT_WRITE, "no/such/folder/a",
                "opened");
    CHECK_ERROR(nn_save(net, TEST_TMP, NULL), NN_ERROR_CANNOT_WRITE, TEST_TMP, "");
#ifdef HAS_POSIX
    struct rlimit limit, small = {64, 64};
    getrlimit(RLIMIT_FSIZE, &limit);
    small.rlim_max = limit.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    nn_status status = nn_save(net, path, NULL);
    char said[300];
    snprintf(said, sizeof said, "%s", nn_last_error());
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK_INT(status, NN_ERROR_CANNOT_WRITE);
    CHECK(strstr(said, path) && strstr(said, "written"));
    CHECK_INT(files_beside(path), 0);
    FILE *full = fopen("/dev/full", "wb");
    if (full) {
        fclose(full);
        CHECK_ERROR(nn_save(net, "/dev/full", NULL), NN_ERROR_CANNOT_WRITE, "/dev/full", "written");
    }
#endif
    CHECK_INT(read_file(path, after, sizeof after), size);
    CHECK(memcmp(before, after, size) == 0);
    CHECK_ERROR(nn_load(net, path_of("nowhere"), NULL, NULL), NN_ERROR_CANNOT_OPEN, "nowhere", "");
    CHECK_ERROR(nn_load(net, NULL, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_load: the path", "");
    CHECK_ERROR(nn_load(NULL, path, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_load", "network");
    CHECK_ERROR(nn_save(NULL, path, NULL), NN_ERROR_BAD_ARGUMENT, "nn_save", "network");
    CHECK_ERROR(nn_save(net, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_save: the path", "");
    CHECK(nn_open(NULL, NULL) == NULL && strstr(nn_last_error(), "nn_open"));
    CHECK(nn_open_memory(NULL, 0, NULL) == NULL && strstr(nn_last_error(), "nn_open_memory"));
    nn_net_destroy(net);
    nn_net_destroy(other);
}

#ifdef HAS_POSIX
/* Through a pipe: in and out, and a reader that goes away. */
static void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

/* What a process that was killed has left behind is replaced; another's is left alone. */
static void test_temporary_files(void)
{
    char path[300], temporary[320], text[40];
    nn_net *net = small_net(1);
    snprintf(path, sizeof path, "%s", path_of("left.safetensors"));
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    write_text(temporary, "half of a file");
    CHECK_INT(files_beside(path), 1);
    CHECK_OK(nn_save(net, path, NULL));
    nn_net *opened = nn_open(path, NULL);
    CHECK(opened != NULL);
    nn_net_destroy(opened);
#ifdef NN__LOCKS
    CHECK_INT(files_beside(path), 0);
    FILE *other = fopen(temporary, "wb");
    CHECK(other && flock(fileno(other), LOCK_EX) == 0);
    fputs("half of a file", other);
    fflush(other);
    CHECK_OK(nn_save(net, path, NULL));
    CHECK_INT(files_beside(path), 1);
    CHECK_INT(read_file(temporary, text, sizeof text), 14);
    fclose(other);
    CHECK_OK(nn_save(net, path, NULL));
    CHECK_INT(files_beside(path), 0);
    remove(path);
    CHECK(mkdir(temporary, 0700) == 0); /* something that can be neither written nor replaced */
    CHECK_OK(nn_save(net, path, NULL));
    CHECK(rmdir(temporary) == 0);
    CHECK_INT(files_beside(path), 0);
#endif
    (void)text;
    remove(path);
    nn_net_destroy(net);
}

/* Processes that save to one path all the time: whoever opens it finds one of their networks, whole. */
static void test_saving_at_once(void)
{
    enum { PROCESSES = 4, SAVES = 60 };
    char path[300];
    pid_t child[PROCESSES];
    int status, failed = 0, running = PROCESSES;
    nn_net *net = small_net(1);
    snprintf(path, sizeof path, "%s", path_of("shared.safetensors"));
    CHECK_OK(nn_save(net, path, NULL));
    nn_net_destroy(net);
    for (int i = 0; i < PROCESSES; i++) {
        child[i] = fork();
        if (child[i] != 0) continue;
        net = small_net((uint64_t)i);
        for (int j = 0; j < SAVES; j++) failed += nn_save(net, path, NULL) != NN_OK;
        _exit(failed != 0);
    }
    while (running) {
        net = nn_open(path, NULL);
        if (FAILS(net != NULL)) printf("%s\n", nn_last_error());
        int is_known = 0;
        for (int i = 0; net && i < PROCESSES; i++) {
            nn_net *one = small_net((uint64_t)i);
            is_known |= hash_net(net) == hash_net(one);
            nn_net_destroy(one);
        }
        CHECK(is_known);
        nn_net_destroy(net);
        for (int i = 0; i < PROCESSES; i++) {
            if (child[i] <= 0 || waitpid(child[i], &status, WNOHANG) != child[i]) continue;
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            child[i] = 0, running--;
        }
    }
    CHECK_INT(files_beside(path), 0);
    remove(path);
}

/* A file that others may not read stays so, from the first byte that is written. */
static void test_permissions(void)
{
    static const mode_t modes[] = {0600, 0640, 0444};
    char path[300];
    nn_net *net = small_net(1);
    snprintf(path, sizeof path, "%s", path_of("private.safetensors"));
    remove(path);
    CHECK_OK(nn_save(net, path, NULL));
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct stat found;
        CHECK_INT(chmod(path, modes[i]), 0);
        CHECK_OK(nn_save(net, path, NULL));
        CHECK(stat(path, &found) == 0 && (found.st_mode & 0777) == modes[i]);
    }
    CHECK_INT(files_beside(path), 0);
    remove(path);
    nn_net_destroy(net);
}

static void test_pipes(void)
{
    static const size_t many[] = {100000};
    char path[300];
    int status;
    nn_net *net = nn_net_create(NULL), *other = nn_net_create(NULL);
    nn_parameter(net, 1, many, nn_init_uniform(0, 1), "w");
    nn_parameter(other, 1, many, nn_init_constant(0), "w");
    snprintf(path, sizeof path, "%s", path_of("pipe"));
    remove(path);
    CHECK_INT(mkfifo(path, 0600), 0);
    signal(SIGPIPE, SIG_IGN);
    pid_t child = fork();
    if (child == 0) _exit(nn_save(net, path, NULL) != NN_OK);
    CHECK_OK(nn_load(other, path, NULL, NULL));
    waitpid(child, &status, 0);
    CHECK_INT(status, 0);
    CHECK(hash_net(net) == hash_net(other));
    child = fork();
    if (child == 0) {
        FILE *f = fopen(path, "rb");
        _exit(f && fgetc(f) != EOF ? 0 : 1);
    }
    CHECK_ERROR(nn_save(net, path, NULL), NN_ERROR_CANNOT_WRITE, path, "written");
    waitpid(child, &status, 0);
    struct stat found;
    CHECK(stat(path, &found) == 0 && S_ISFIFO(found.st_mode));
    remove(path);
    nn_net_destroy(net);
    nn_net_destroy(other);
}
#endif

static void test_save_desc(void)
{
    void *bytes;
    size_t size;
    nn_save_desc d;
    nn_net *net = small_net(1), *other = small_net(1);
    memset(&d, 0, sizeof d);
    d.training = 1;
    CHECK_ERROR(nn_save_memory(net, &d, &bytes, &size), NN_ERROR_BAD_ARGUMENT, "training",
                "optimiser");
    d.weights_only = 1;
    CHECK_ERROR(nn_save_memory(net, &d, &bytes, &size), NN_ERROR_BAD_ARGUMENT, "training",
                "weights_only");
    CHECK_ERROR(nn_net_set_output(net, nn_net_tensor(other, 0)), NN_ERROR_MISMATCH,
                "nn_net_set_output", "another");
    CHECK_ERROR(nn_net_set_output(NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_net_set_output", "NULL");
    CHECK_STR(nn_net_output(net)->name, "logits");
    CHECK_OK(nn_net_set_output(net, nn_net_tensor(net, 3)));
    CHECK_INT(nn_net_output(net)->id, 3);
    CHECK_OK(nn_net_set_output(net, NULL));
    CHECK_STR(nn_net_output(net)->name, "logits");
    CHECK_ERROR(nn_save_memory(net, NULL, NULL, &size), NN_ERROR_BAD_ARGUMENT, "bytes", "NULL");
    CHECK_ERROR(nn_save_memory(net, NULL, &bytes, NULL), NN_ERROR_BAD_ARGUMENT, "size", "NULL");
    nn_name(nn_net_tensor(net, 0), "\xff\xfe");
    CHECK_ERROR(nn_save_memory(net, NULL, &bytes, &size), NN_ERROR_BAD_ARGUMENT, "UTF-8", "");
    nn_net_destroy(net);
    net = nn_net_create(NULL);
    nn_parameter(net, 0, NULL, nn_init_constant(1), NULL);
    nn_parameter(net, 0, NULL, nn_init_constant(1), "tensor.0");
    CHECK_ERROR(nn_save_memory(net, NULL, &bytes, &size), NN_ERROR_BAD_ARGUMENT, "tensor.0", "two");
    nn_net_destroy(net);
    nn_net_destroy(other);
}

/* What is wrong with a file, and what is said about it. The header's text and the bytes of data. */
static const struct bad_file {
    const char *header;
    size_t data;
    nn_status status;
    const char *said;
} bad_files[] = {
#define W(dtype, shape, ends)                                                                      \
    "{\"w\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" ends "}}"
    {W("F32", "[3]", "[0,12]"), 13, NN_ERROR_BAD_FORMAT, "end at byte 12 of 13"},
    {W("F32", "[3]", "[0,12]"), 11, NN_ERROR_BAD_FORMAT, "data_offsets"},
    {W("F32", "[3]", "[0,16]"), 16, NN_ERROR_BAD_FORMAT, "3 elements of 4 bytes in 16"},
    {W("F32", "[3]", "[4,16]"), 16, NN_ERROR_BAD_FORMAT, "begins at 4, expected 0"},
    {W("F32", "[3]", "[12,0]"), 12, NN_ERROR_BAD_FORMAT, "data_offsets"},
    {W("F32", "[3]", "[0,12,24]"), 12, NN_ERROR_BAD_FORMAT, "data_offsets"},
    {W("F32", "[3]", "[0,-12]"), 12, NN_ERROR_BAD_FORMAT, "data_offsets"},
    {W("F32", "[3]", "[0,1.2e1]"), 12, NN_ERROR_BAD_FORMAT, "data_offsets"},
    {W("F32", "[3]", "[0,99999999999999999999999]"), 12, NN_ERROR_BAD_FORMAT, "data_offsets"},
    {W("F33", "[3]", "[0,12]"), 12, NN_ERROR_BAD_FORMAT, "'F33' is unknown"},
    {W("F32", "[65536,65536,65536,65536,65536]", "[0,0]"), 0, NN_ERROR_TOO_LARGE, "product"},
    {W("F32", "[4611686018427387905]", "[0,4]"), 4, NN_ERROR_BAD_FORMAT, "tensor 'w'"},
    {W("F32", "[-3]", "[0,12]"), 12, NN_ERROR_BAD_FORMAT, "whole number"},
    {W("F32", "[\"3\"]", "[0,12]"), 12, NN_ERROR_BAD_FORMAT, "whole number"},
    {W("F32", "[[3]]", "[0,12]"), 12, NN_ERROR_BAD_FORMAT, "whole number"},
    {W("F32", "3", "[0,12]"), 12, NN_ERROR_BAD_FORMAT, "expected dtype, shape"},
    {W("F32", "[4]", "[0,16]"), 16, NN_ERROR_BAD_SHAPE, "shape [4], expected [3]"},
    {W("F32", "[3,1]", "[0,12]"), 12, NN_ERROR_BAD_SHAPE, "shape [3 1], expected [3]"},
    {W("F8_E4M3", "[3]", "[0,3]"), 3, NN_ERROR_BAD_FORMAT, "cannot be converted"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3]}}", 12, NN_ERROR_BAD_FORMAT, "expected dtype, shape"},
    {"{\"w\":[]}", 0, NN_ERROR_BAD_FORMAT, "expected dtype, shape"},
    {"{\"v\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", 12, NN_ERROR_MISMATCH,
     "no tensor 'w'"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
     "\"v\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}", 13, NN_ERROR_MISMATCH,
     "no tensor 'v'"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
     "\"v\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[8,12]}}", 12, NN_ERROR_BAD_FORMAT,
     "begins at 8, expected 12"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
     "\"v\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[13,14]}}", 14, NN_ERROR_BAD_FORMAT,
     "begins at 13, expected 12"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
     "\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12,24]}}", 24, NN_ERROR_BAD_FORMAT,
     "'w' comes twice"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
     "\"\\u0077\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12,24]}}", 24,
     NN_ERROR_BAD_FORMAT, "'w' comes twice"},
    {"{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[3]}}", 0, NN_ERROR_BAD_FORMAT,
     "'dtype' comes twice"},
    {"{\"a\\u0000b\":{}}", 0, NN_ERROR_BAD_FORMAT, "escape"},
    {"{\"a\\ud800b\":{}}", 0, NN_ERROR_BAD_FORMAT, "escape"},
    {"{\"a\\q\":{}}", 0, NN_ERROR_BAD_FORMAT, "escape"},
    {"{\"a\nb\":{}}", 0, NN_ERROR_BAD_FORMAT, "control character"},
    {"{\"a", 0, NN_ERROR_BAD_FORMAT, "without an end"},
    {"{\"a\xff\":{}}", 0, NN_ERROR_BAD_FORMAT, "UTF-8"},
    {"{\"a\xc0\x80\":{}}", 0, NN_ERROR_BAD_FORMAT, "UTF-8"},
    {"{\"a\xed\xa0\x80\":{}}", 0, NN_ERROR_BAD_FORMAT, "UTF-8"},
    {"{\"a\xf4\x90\x80\x80\":{}}", 0, NN_ERROR_BAD_FORMAT, "UTF-8"},
    {"", 0, NN_ERROR_BAD_FORMAT, "expected '{'"},
    {" {}", 0, NN_ERROR_BAD_FORMAT, "expected '{'"},
    {"[]", 0, NN_ERROR_BAD_FORMAT, "expected '{'"},
    {"{}x", 0, NN_ERROR_BAD_FORMAT, "follows"},
    {"{\"a\"}", 0, NN_ERROR_BAD_FORMAT, "':'"},
    {"{a:1}", 0, NN_ERROR_BAD_FORMAT, "key"},
    {"{\"a\":1,}", 0, NN_ERROR_BAD_FORMAT, "key"},
    {"{\"a\":[1,]}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":[1 2]}", 0, NN_ERROR_BAD_FORMAT, "','"},
    {"{\"a\":01}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":+1}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":1.}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":.5}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":1e}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":-}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":nul}", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":true", 0, NN_ERROR_BAD_FORMAT, "','"},
    {"{\"a\":truefals", 0, NN_ERROR_BAD_FORMAT, "','"},
    {"{\"a\":", 0, NN_ERROR_BAD_FORMAT, "value"},
    {"{\"a\":[[[[[[[[[[1]]]]]]]]]]}", 0, NN_ERROR_BAD_FORMAT, "too deep"},
    {"{\"__metadata__\":{\"a\":1}}", 0, NN_ERROR_BAD_FORMAT, "'a' is no string"},
    {"{\"__metadata__\":{\"nn.h\":\"\"}}", 0, NN_ERROR_BAD_FORMAT, "expected '{'"},
    {"{\"__metadata__\":{\"nn.h\":\"{}\"}}", 0, NN_ERROR_BAD_FORMAT, "no version"},
    {"{\"__metadata__\":{\"nn.h\":\"{\\\"version\\\":2}\"}}", 0, NN_ERROR_BAD_FORMAT,
     "version 2, this nn.h reads up to 1: use a newer"}};

static void test_bad_files(void)
{
    static const char zeros[64] = {0};
    static char current[80];
    nn_net *net = three_weights();
    const uint64_t hash = hash_net(net);
    const long blocks = memory_blocks;
    for (size_t i = 0; i < COUNT(bad_files); i++) {
        const struct bad_file *b = &bad_files[i];
        const file f = file_of(b->header, zeros, b->data);
        snprintf(current, sizeof current, "%.70s", b->header);
        test_current = current;
        CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, NULL, NULL), b->status, b->said,
                    "the file in memory");
        CHECK(nn_open_memory(f.bytes, f.size, NULL) == NULL);
    }
    test_current = "";
    CHECK_INT(memory_blocks, blocks);
    CHECK(hash_net(net) == hash);
    nn_net_destroy(net);
}

/* The length in front, and files that are something else. */
static void test_bad_lengths(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        nn_status status;
        const char *said;
    } bad[] = {{"", 0, NN_ERROR_EMPTY, "empty"},
               {"\2\0\0", 3, NN_ERROR_TRUNCATED, "3 bytes"},
               {"\2\0\0\0\0\0\0", 7, NN_ERROR_TRUNCATED, "7 bytes"},
               {"\3\0\0\0\0\0\0\0{}", 10, NN_ERROR_TRUNCATED, "of 3 bytes in a file of 10"},
               {"\2\0\0\0\0\0\0\0{", 9, NN_ERROR_TRUNCATED, "cut off"},
               {"\2\0\0\0\0\0\0\200{}", 10, NN_ERROR_BAD_FORMAT, "no safetensors"},
               {"\377\377\377\377\377\377\377\377{}", 10, NN_ERROR_BAD_FORMAT, "no safetensors"},
               {"\1\341\365\5\0\0\0\0{}", 10, NN_ERROR_BAD_FORMAT, "100000001"},
               {"PK\3\4 and so on", 14, NN_ERROR_BAD_FORMAT, "a zip archive"},
               {"<!DOCTYPE html><html>", 21, NN_ERROR_BAD_FORMAT, "an HTML page"},
               {"version https://git-lfs", 23, NN_ERROR_BAD_FORMAT, "Git LFS"},
               {"\x1f\x8b\b\0\0\0\0\0\0\3", 10, NN_ERROR_TRUNCATED, ""}};
    nn_net *net = three_weights();
    for (size_t i = 0; i < COUNT(bad); i++) {
        write_file(path_of("bad"), bad[i].bytes, bad[i].size);
        CHECK_ERROR(nn_load(net, path_of("bad"), NULL, NULL),
                    i + 1 == COUNT(bad) ? nn_load(net, path_of("bad"), NULL, NULL) : bad[i].status,
                    bad[i].said, "bad");
        if (bad[i].size)
            CHECK(nn_load_memory(net, bad[i].bytes, bad[i].size, NULL, NULL) != NN_OK);
    }
    CHECK_INT(nn_load(net, TEST_TMP, NULL, NULL) != NN_OK, 1); /* a folder */
    nn_net_destroy(net);
}

static char *repeated(const char *begin, char c, size_t count, const char *end, size_t *size)
{
    const size_t a = strlen(begin), b = strlen(end);
    char *text = (char *)malloc(8 + a + count + b);
    *size = 8 + a + count + b;
    for (int i = 0; i < 8; i++) text[i] = (char)(unsigned char)((uint64_t)(*size - 8) >> 8 * i);
    memcpy(text + 8, begin, a);
    memset(text + 8 + a, c, count);
    memcpy(text + 8 + a + count, end, b);
    return text;
}

/* 90 MB of brackets, and a name of 10 KB with slashes, which is no more than a name. */
static void test_large_headers(void)
{
    size_t size;
    nn_net *net = three_weights();
    char *text = repeated("{\"a\":", '[', 90000000, "", &size);
    CHECK_ERROR(nn_load_memory(net, text, size, NULL, NULL), NN_ERROR_BAD_FORMAT, "too deep", "");
    free(text);
    text = repeated("{\"../../etc/", 'x', 10240,
                    "\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,0]}}", &size);
    CHECK_ERROR(nn_load_memory(net, text, size, NULL, NULL), NN_ERROR_BAD_FORMAT, "'../../etc/xxx",
                "1 elements");
    free(text);
    nn_net_destroy(net);
}

/* A long name of the program's own makes the way and back. */
static void test_names(void)
{
    static char name[10241];
    void *bytes = NULL;
    size_t size = 0;
    memset(name, 'n', 10240);
    memcpy(name, "a/b\\c\"\t\x01\xf0\x9f\x98\x80", 12);
    nn_net *net = nn_net_create(NULL);
    nn_name(nn_parameter(net, 0, NULL, nn_init_constant(5), NULL), name);
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    nn_net *opened = nn_open_memory(bytes, size, NULL);
    CHECK(opened && strcmp(nn_net_parameter(opened, 0)->name, name) == 0);
    nn_free(bytes);
    nn_net_destroy(net);
    nn_net_destroy(opened);
}

/* What a file says of its network is checked by the builders, and by what the file holds. */
static void test_bad_architectures(void)
{
#define P "{\\\"id\\\":0,\\\"op\\\":\\\"parameter\\\",\\\"name\\\":\\\"w\\\",\\\"shape\\\":[3]}"
#define IN "{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"shape\\\":[3]}"
#define SEQ "{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"shape\\\":[3,1]}"
#define OP(name, src, rest) ",{\\\"id\\\":1,\\\"op\\\":\\\"" name "\\\",\\\"src\\\":" src rest "}"
    static const char *const bad[][2] = {
        {"{}", "without id or op"},
        {"[]", "without id or op"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"dance\\\"}", "tensor 0 (dance): this nn.h has no such"},
        {"{\\\"id\\\":0,\\\"custom\\\":\\\"relu\\\"}", "tensor 0 (relu): the operation is the program"},
        {"{\\\"id\\\":1,\\\"op\\\":\\\"input\\\",\\\"shape\\\":[3]}", "became tensor 0 of 0"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"shape\\\":[0]}", "nn_input: dimension 0 is 0"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"shape\\\":[-1]}", "'shape' has a value"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"shape\\\":[1,1,1,1,1,1,1,1,1]}", "'shape' has"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"shape\\\":3}", "'shape' has a value"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"classes\\\":-2}", "classes is -2"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"colour\\\":1}", "'colour' is unknown"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"input\\\",\\\"classes\\\":3000000000}", "'classes' has"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"parameter\\\",\\\"name\\\":\\\"w\\\",\\\"shape\\\":[99999999,9999]}",
         "no tensor 'w' of that shape"},
        {"{\\\"id\\\":0,\\\"op\\\":\\\"buffer\\\",\\\"shape\\\":[3]}", "no tensor 'tensor.0'"},
        {IN OP("add", "[0]", ""), "tensor 1 (add): nn_add: the source 1 is NULL"},
        {IN OP("add", "[0,1]", ""), "the source 1 is NULL"},
        {IN OP("add", "[0,0,0]", ""), "differs from the file"},
        {IN OP("add", "[0,\\\"0\\\"]", ""), "no list of numbers"},
        {IN OP("add", "[[],0]", ""), "no list of numbers"},
        {IN OP("exp", "[]", ""), "nn_exp: the source is NULL"},
        {IN OP("slice", "[0]", ",\\\"begin\\\":2,\\\"end\\\":9"), "nn_slice: 2 to 9"},
        {IN OP("slice", "[0]", ",\\\"axis\\\":70,\\\"end\\\":1"), "axis is 70"},
        {IN OP("dropout", "[0]", ",\\\"p\\\":1"), "nn_dropout: p is 1"},
        {IN OP("dropout", "[0]", ",\\\"p\\\":\\\"half\\\""), "'p' has a value"},
        {IN OP("dropout", "[0]", ",\\\"p\\\":\\\"NaN\\\""), "nn_dropout: p is"},
        {IN OP("activation", "[0]", ",\\\"activation\\\":\\\"sinus\\\""), "'activation' has a value"},
        {IN OP("dense", "[0]", ""), "units is 0"},
        {IN OP("dense", "[0,0]", ""), "shared_weight"},
        {IN OP("reshape", "[0]", ",\\\"shape\\\":[4]"), "differ in size"},
        {IN OP("permute", "[0]", ",\\\"axes\\\":[1]"), "axis is 1"},
        {IN OP("permute", "[0]", ",\\\"axes\\\":[0,0]"), "rank is 2"},
        {IN OP("softmax_cross_entropy", "[0,1]", ",\\\"class_weights\\\":[1]"), "'class_weights' has"},
        {IN OP("softmax_cross_entropy", "[0,1]", ",\\\"class_weights\\\":[1,2,-1]"), "class_weights[2]"},
        {IN OP("softmax_cross_entropy", "[0,1]", ",\\\"number\\\":2"), "label_smoothing is 2"},
        {IN OP("mse", "[0,1]", ",\\\"number\\\":2"), "label_smoothing is set"},
        {IN OP("mse", "[0,7]", ""), "differs from the file"},
        {IN OP("batch_norm", "[0]", ""), "nn_batch_norm: 1 sources, expected 3"},
        {IN OP("batch_norm", "[0,0,0]", ""), "a parameter or buffer that fits"},
        {IN OP("batch_norm", "[0,0,0]", ",\\\"epsilon\\\":-1"), "epsilon is -1"},
        {IN OP("batch_norm", "[0,0,0]", ",\\\"momentum\\\":2"), "momentum is 2"},
        {IN OP("group_norm", "[0]", ",\\\"groups\\\":2"), "nn_group_norm: groups is 2"},
        {IN OP("layer_norm", "[0,0]", ""), "nn_layer_norm: 2 sources, expected 1"},
        {IN OP("layer_norm", "[0]", ",\\\"axes\\\":9"), "axes is 9"},
        {IN OP("max_pool", "[0]", ",\\\"kernel\\\":[1,1]"), "nn_max_pool: shape [batch 3]"},
        {SEQ OP("max_pool", "[0]", ",\\\"kernel\\\":[2,1]"), "nn_max_pool: the stride is 0"},
        {SEQ OP("max_pool", "[0]", ",\\\"stride\\\":[2,1]"), "nn_max_pool: the kernel is 0"},
        {SEQ OP("max_pool", "[0]", ",\\\"kernel\\\":[2,2],\\\"stride\\\":[1,1]"), "a kernel of 2"},
        {SEQ OP("average_pool", "[0]", ",\\\"adaptive\\\":1"), "height is 0"},
        {SEQ OP("upsample", "[0]", ""), "nn_upsample: factor is 0"},
        {SEQ OP("pad", "[0]", ",\\\"sides\\\":[1,1,1]"), "nn_pad: left is 1"},
        {SEQ OP("crop", "[0]", ",\\\"sides\\\":[2,1]"), "nn_crop: 2 and 1 of 3"},
        {SEQ OP("spatial_dropout", "[0]", ",\\\"p\\\":2"), "nn_spatial_dropout: p is 2"},
        {IN ",{\\\"id\\\":1,\\\"op\\\":\\\"exp\\\",\\\"src\\\":[0],\\\"name\\\":\\\"a\\\"},"
            "{\\\"id\\\":2,\\\"op\\\":\\\"exp\\\",\\\"src\\\":[0],\\\"name\\\":\\\"a\\\"}",
         "the name 'a' is tensor 1's"},
        {"7", "without id or op"}};
    static char header[1024], current[80];
    const long blocks = memory_blocks;
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(header, sizeof header,
                 "{\"__metadata__\":{\"nn.h\":\"{\\\"version\\\":1,\\\"tensors\\\":[%s]}\"},"
                 "\"w\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", bad[i][0]);
        const file f = file_of(header, "\1\2\3", 3);
        snprintf(current, sizeof current, "%.79s", bad[i][0]);
        test_current = current;
        nn_net *net = nn_open_memory(f.bytes, f.size, NULL);
        CHECK(net == NULL);
        if (FAILS(strstr(nn_last_error(), bad[i][1]) != NULL))
            printf("said \"%s\", expected '%s'\n", nn_last_error(), bad[i][1]);
        nn_net_destroy(net);
    }
    test_current = "";
    CHECK_INT(memory_blocks, blocks);
}

/* Every truncation, every change of a byte: an error that leaves the network as it was, or a load. */
static void check_damaged(nn_net *net, unsigned char *bytes, size_t size)
{
    const uint64_t hash = hash_net(net);
    nn_load_desc desc;
    nn_open_desc way = in_place();
    memset(&desc, 0, sizeof desc);
    desc.training = 1;
    for (int i = 0; i < 2; i++) { /* copied, and in place */
        nn_net *opened = nn_open_memory(bytes, size, i ? &way : NULL);
        if (!opened) continue;
        /* maybe with another input and output than the network had */
        const nn_tensor *in = nn_net_input(opened), *out = nn_net_output(opened);
        nn_real x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, p[16];
        int labels[2];
        if (i) CHECK(lies_in(opened, bytes, size));
        if (in && out && in->row_size <= 4 && out->row_size <= 8)
            nn_classify(opened, x, 2, labels, p);
        nn_net_destroy(opened);
    }
    if (nn_load_memory(net, bytes, size, &desc, NULL) != NN_OK) CHECK(hash_net(net) == hash);
}

static void test_damage(void)
{
    static const unsigned char others[] = {'0', '9', '"', '{', '}', '[', ']', ',', 0, 0xff, '\\'};
    void *memory = NULL;
    size_t size = 0;
    nn_save_desc save;
    nn_optimizer_desc adam = nn_adam(0.01);
    nn_net *net = small_net(1);
    nn_real x[16];
    static const int labels[] = {0, 1, 0, 1};
    nn_dataset data;
    nn_train_desc train;
    for (int i = 0; i < 16; i++) x[i] = (nn_real)(i % 5);
    memset(&train, 0, sizeof train);
    train.epochs = 1, train.batch_size = 2, train.optimizer = adam;
    CHECK_OK(nn_dataset_from_arrays(x, 4, 4, labels, 2, &data));
    CHECK_OK(nn_dataset_standardize(&data, NN_PER_FEATURE));
    CHECK_OK(nn_train(loss_of(net), &data, &train, NULL));
    memset(&save, 0, sizeof save);
    save.training = 1;
    CHECK_OK(nn_save_memory(net, &save, &memory, &size));
    const long blocks = memory_blocks;
    unsigned char *bytes = (unsigned char *)malloc(size + 1);
    for (size_t cut = 0; cut < size; cut++) { /* a block of just that size, for the sanitizer */
        unsigned char *copy = (unsigned char *)malloc(cut ? cut : 1);
        memcpy(copy, memory, cut);
        CHECK(nn_open_memory(copy, cut, NULL) == NULL);
        CHECK(nn_load_memory(net, copy, cut, NULL, NULL) != NN_OK);
        free(copy);
    }
    memcpy(bytes, memory, size);
    bytes[size] = 0;
    CHECK(nn_open_memory(bytes, size + 1, NULL) == NULL);
    for (size_t i = 0; i < size; i++) {
        const unsigned char was = bytes[i];
        for (int k = 0; k < 256; k++) {
            const int flipped = k ^ was;
            const int is_bit = (flipped & (flipped - 1)) == 0;
            if (!is_full && !is_bit && !memchr(others, k, sizeof others)) continue;
            bytes[i] = (unsigned char)k;
            check_damaged(net, bytes, size);
        }
        bytes[i] = was;
    }
    nn_rng rng = nn_rng_seed(5); /* splices of two pieces */
    unsigned char *spliced = (unsigned char *)malloc(2 * size);
    for (int i = 0; i < 1000; i++) {
        const size_t a = nn_rng_below(&rng, size), b = nn_rng_below(&rng, size);
        memcpy(spliced, bytes, a);
        memcpy(spliced + a, bytes + b, size - b);
        check_damaged(net, spliced, a + size - b);
    }
    CHECK_INT(memory_blocks, blocks);
    free(spliced);
    free(bytes);
    nn_free(memory);
    nn_net_destroy(net);
    nn_dataset_free(&data);
}

/* ---------------------------------------------------------------------- files of other writers */

static void test_dtypes(void)
{
    static const struct {
        const char *dtype, *bytes;
        size_t size;
        double expected[3];
    } types[] = {
        {"F64", "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\x04\xc0\0\0\0\0\0\0\0\x80", 8, {1, -2.5, -0.0}},
        {"F32", "\0\0\x80\x3f\0\0\x20\xc0\0\0\xc0\x7f", 4, {1, -2.5, NAN}},
        {"F16", "\0\x3c\1\x80\xff\x7b", 2, {1, -5.9604644775390625e-08, 65504}},
        {"F16", "\0\x7c\0\xfc\1\x7e", 2, {INFINITY, -INFINITY, NAN}},
        {"F16", "\xff\x03\0\x04\x55\x35", 2, {6.097555160522461e-05, 6.103515625e-05, 0.333251953125}},
        {"BF16", "\x80\x3f\x20\xc0\x80\x7f", 2, {1, -2.5, INFINITY}},
        {"I64", "\3\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x80", 8,
         {3, -1, -9223372036854775808.0}},
        {"I32", "\3\0\0\0\xff\xff\xff\xff\0\0\0\x80", 4, {3, -1, -2147483648.0}},
        {"I16", "\3\0\xff\xff\0\x80", 2, {3, -1, -32768}},
        {"I8", "\3\xff\x80", 1, {3, -1, -128}},
        {"U64", "\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0", 8,
         {3, 9223372036854775808.0, 0}},
        {"U32", "\3\0\0\0\xff\xff\xff\xff\0\0\0\x80", 4, {3, 4294967295.0, 2147483648.0}},
        {"U16", "\3\0\xff\xff\0\x80", 2, {3, 65535, 32768}},
        {"U8", "\3\xff\x80", 1, {3, 255, 128}},
        {"BOOL", "\1\0\1", 1, {1, 0, 1}}};
    for (size_t i = 0; i < COUNT(types); i++) {
        char header[128];
        nn_net *net = three_weights();
        nn_load_report report;
        snprintf(header, sizeof header,
                 "{\"w\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", types[i].dtype,
                 (int)(3 * types[i].size));
        const file f = file_of(header, types[i].bytes, 3 * types[i].size);
        test_current = types[i].dtype;
        CHECK_OK(nn_load_memory(net, f.bytes, f.size, NULL, &report));
        size_t not_finite = 0;
        for (int k = 0; k < 3; k++) {
            const nn_real got = nn_net_parameter(net, 0)->data[k];
            const nn_real expected = (nn_real)types[i].expected[k];
            not_finite += !nn__is_finite(types[i].expected[k]);
            CHECK(is_nan(expected) ? is_nan(got) : bits_of(got) == bits_of(expected));
        }
        CHECK_INT(report.not_finite, not_finite);
        CHECK_INT(report.loaded, 1);
        nn_load_report_free(&report);
        nn_net_destroy(net);
    }
    test_current = "";
}

/* Spaces in the header and behind it, another order, empty and scalar tensors, data that is not
   aligned, the metadata of others. */
static void test_foreign_file(void)
{
    static const char header[] =
        "{ \"w\" : {\"data_offsets\":[1,4], \"shape\":[3],\"dtype\":\"U8\"},\"none\":{\"dtype\":"
        "\"F32\",\"shape\":[0,4],\"data_offsets\":[1,1]} ,\r\n\t\"__metadata__\":{\"format\":\"pt\"},"
        "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}   ";
    const file f = file_of(header, "\x09\1\2\3", 4);
    nn_net *net = three_weights();
    nn_load_desc desc;
    nn_load_report report;
    memset(&desc, 0, sizeof desc);
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, &report), NN_ERROR_MISMATCH,
                "no tensor 'one'", "partial");
    CHECK_INT(report.left_over_count, 0);
    desc.partial = 1;
    nn_parameter(net, 0, NULL, nn_init_constant(4), "mine");
    CHECK_OK(nn_load_memory(net, f.bytes, f.size, &desc, &report));
    CHECK(nn_net_parameter(net, 0)->data[0] == 1 && nn_net_parameter(net, 0)->data[2] == 3);
    CHECK(nn_net_parameter(net, 1)->data[0] == 4);
    CHECK_INT(report.loaded, 1);
    CHECK_INT(report.missing_count, 1);
    CHECK_INT(report.left_over_count, 2);
    if (report.missing_count == 1) CHECK_STR(report.missing[0], "mine");
    if (report.left_over_count == 2) CHECK_STR(report.left_over[0], "one");
    if (report.left_over_count == 2) CHECK_STR(report.left_over[1], "none");
    nn_load_report_free(&report);
    nn_load_report_free(NULL);
    nn_net_destroy(net);
}

/* A layer that is named as what a file keeps beside the network is a layer all the same. */
static void test_layers_named_like_extras(void)
{
    static const char *const names[] = {"last", "optimizer.0", "data", "history"};
    nn_net *net = nn_net_create(NULL), *less = nn_net_create(NULL);
    nn_tensor *y = nn_input(net, 2), *z = nn_input(less, 2);
    void *bytes = NULL;
    size_t size = 0;
    for (size_t i = 0; i < COUNT(names); i++) {
        nn_dense_desc d;
        memset(&d, 0, sizeof d);
        d.units = 2, d.name = names[i];
        y = nn_dense_with(y, &d);
        if (i) z = nn_dense_with(z, &d);
    }
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    nn_net *opened = nn_open_memory(bytes, size, NULL);
    CHECK(opened && hash_net(opened) == hash_net(net));
    CHECK_ERROR(nn_load_memory(less, bytes, size, NULL, NULL), NN_ERROR_MISMATCH, "no tensor 'last.",
                "partial");
    nn_free(bytes);
    nn_net_destroy(net);
    nn_net_destroy(less);
    nn_net_destroy(opened);
}

/* A state_dict as PyTorch lays it out: Linear [out, in], Conv2d [out, in, h, w], a Linear behind a
   flatten of 2 channels of 1 x 3. */
static void test_name_map(void)
{
    static const nn_name_map map[] = {
        {"fc.weight", "dense0.weight", NN_LOAD_TRANSPOSED, 0, 0, 0},
        {"fc.bias", "dense0.bias", NN_LOAD_AS_IT_IS, 0, 0, 0},
        {"conv.weight", "kernel", NN_LOAD_OIHW, 0, 0, 0},
        {"head.weight", "head", NN_LOAD_AFTER_FLATTEN, 2, 1, 3}};
    static const size_t kernel_shape[] = {2, 3, 2, 2}, head_shape[] = {6, 2};
    unsigned char data[64];
    char header[600];
    size_t at = 0;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)i;
    at += (size_t)snprintf(header + at, sizeof header - at,
                           "{\"fc.weight\":{\"dtype\":\"U8\",\"shape\":[3,2],\"data_offsets\":[0,6]},");
    at += (size_t)snprintf(header + at, sizeof header - at,
                           "\"fc.bias\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[6,9]},");
    at += (size_t)snprintf(header + at, sizeof header - at, "\"conv.weight\":{\"dtype\":\"U8\",\"shape\":"
                           "[2,2,2,3],\"data_offsets\":[9,33]},");
    snprintf(header + at, sizeof header - at,
             "\"head.weight\":{\"dtype\":\"U8\",\"shape\":[2,6],\"data_offsets\":[33,45]}}");
    const file f = file_of(header, data, 45);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *dense = nn_dense(nn_input(net, 2), 3);
    nn_tensor *kernel = nn_parameter(net, 4, kernel_shape, nn_init_constant(0), "kernel");
    nn_tensor *head = nn_parameter(net, 2, head_shape, nn_init_constant(0), "head");
    nn_load_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.map = map, desc.map_count = COUNT(map);
    CHECK_OK(nn_load_memory(net, f.bytes, f.size, &desc, NULL));
    for (size_t o = 0; o < 3; o++) {
        for (size_t i = 0; i < 2; i++)
            CHECK_INT(nn_weight(dense)->data[i * 3 + o], o * 2 + i);
        CHECK_INT(nn_bias(dense)->data[o], 6 + o);
    }
    for (size_t o = 0; o < 2; o++)
        for (size_t i = 0; i < 2; i++)
            for (size_t h = 0; h < 2; h++)
                for (size_t w = 0; w < 3; w++)
                    CHECK_INT(kernel->data[((h * 3 + w) * 2 + i) * 2 + o],
                              9 + ((o * 2 + i) * 2 + h) * 3 + w);
    for (size_t o = 0; o < 2; o++)
        for (size_t c = 0; c < 2; c++)
            for (size_t w = 0; w < 3; w++)
                CHECK_INT(head->data[(w * 2 + c) * 2 + o], 33 + o * 6 + c * 3 + w);
    nn_name_map wrong = {"fc.weight", "dense0.weight", NN_LOAD_AS_IT_IS, 0, 0, 0};
    desc.map = &wrong, desc.map_count = 1, desc.partial = 1;
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_BAD_SHAPE,
                "'fc.weight' has shape [3 2]", "[2 3] for 'dense0.weight'");
    wrong.as = NN_LOAD_OIHW;
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_BAD_SHAPE, "fc.weight",
                "");
    wrong.as = NN_LOAD_AFTER_FLATTEN;
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "map[0]",
                "missing");
    wrong.as = NN_LOAD_AS_IT_IS, wrong.width = 2;
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "map[0]",
                "belong");
    wrong.width = 0, wrong.file = "nothing";
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_MISMATCH, "'nothing'",
                "map");
    wrong.file = NULL;
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "map[0]",
                "");
    desc.map = NULL;
    CHECK_ERROR(nn_load_memory(net, f.bytes, f.size, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "map is",
                "NULL");
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------ raw samples, classes */

enum { SAMPLES = 37, FEATURES = 4 };

static uint8_t raw[SAMPLES * FEATURES];
static int raw_labels[SAMPLES];

static void make_bytes(nn_dataset *data)
{
    static const char *const names[] = {"cat", "dog", "\xc3\xa9lan"};
    static char *copies[3];
    nn_rng rng = nn_rng_seed(4);
    for (int i = 0; i < SAMPLES; i++) {
        raw_labels[i] = (int)nn_rng_below(&rng, 3);
        for (int j = 0; j < FEATURES; j++)
            raw[i * FEATURES + j] = (uint8_t)(80 * raw_labels[i] + 10 * j + (int)nn_rng_below(&rng, 40));
    }
    CHECK_OK(nn_dataset_from_bytes(raw, SAMPLES, FEATURES, raw_labels, 3, data));
    CHECK_OK(nn_dataset_standardize(data, NN_PER_FEATURE));
    for (int i = 0; i < 3; i++) copies[i] = (char *)(uintptr_t)names[i];
    data->class_names = (char **)NN_MALLOC(sizeof copies); /* which nn_dataset_free releases */
    memcpy(data->class_names, copies, sizeof copies);
}

/* Trained, saved, opened: raw bytes and the same as reals give what the trained network gives. */
static void test_classify(void)
{
    nn_dataset data, other;
    nn_train_desc train;
    void *bytes = NULL;
    size_t size = 0;
    int labels[SAMPLES], from_reals[SAMPLES];
    nn_real p[SAMPLES * 3], q[SAMPLES * 3], z[SAMPLES * 3], reals[SAMPLES * FEATURES];
    make_bytes(&data);
    memset(&train, 0, sizeof train);
    train.epochs = 30, train.batch_size = 8, train.optimizer = nn_adam(0.05);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *logits = nn_dense(nn_tanh(nn_dense(nn_input(net, FEATURES), 8)), 3);
    CHECK_OK(nn_train(nn_softmax_cross_entropy(logits), &data, &train, NULL));
    CHECK_OK(nn_predict(logits, &data, z));
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    nn_net *opened = nn_open_memory(bytes, size, NULL);
    CHECK_OK(nn_classify_bytes(opened, raw, SAMPLES, labels, p));
    for (int i = 0; i < SAMPLES * FEATURES; i++) reals[i] = raw[i];
    CHECK_OK(nn_classify(opened, reals, SAMPLES, from_reals, q));
    nn_mat_softmax(SAMPLES, 3, z, z);
    CHECK(memcmp(p, z, sizeof p) == 0);
    CHECK(memcmp(q, z, sizeof q) == 0);
    CHECK(memcmp(labels, raw_labels, sizeof labels) == 0); /* a simple task */
    CHECK(memcmp(from_reals, labels, sizeof labels) == 0);
    CHECK_OK(nn_classify_bytes(opened, raw, SAMPLES, labels, NULL));
    CHECK_OK(nn_classify_bytes(opened, raw, SAMPLES, NULL, p));
    CHECK_STR(nn_class_name(opened, 0), "cat");
    CHECK_STR(nn_class_name(opened, 2), "\xc3\xa9lan");
    CHECK_STR(nn_class_name(opened, 3), "");
    CHECK_STR(nn_class_name(opened, -1), "");
    CHECK_STR(nn_class_name(NULL, 0), "");
    CHECK_ERROR(nn_classify(opened, NULL, 1, labels, NULL), NN_ERROR_BAD_ARGUMENT, "nn_classify", "x");
    CHECK_ERROR(nn_classify(opened, reals, 0, labels, NULL), NN_ERROR_EMPTY, "nn_classify", "0");
    CHECK_ERROR(nn_classify(NULL, reals, 1, labels, NULL), NN_ERROR_BAD_ARGUMENT, "nn_classify",
                "network");
    /* a set that is normalised otherwise is refused, as by the network that was trained */
    CHECK_OK(nn_dataset_from_bytes(raw, SAMPLES, FEATURES, raw_labels, 3, &other));
    CHECK_ERROR(nn_predict(nn_net_output(opened), &other, z), NN_ERROR_MISMATCH, "normalised", "");
    CHECK_OK(nn_dataset_normalize_for(&other, opened));
    CHECK_OK(nn_predict(nn_net_output(opened), &other, q));
    CHECK_OK(nn_predict(logits, &data, z));
    CHECK(memcmp(q, z, sizeof q) == 0);
    nn_net *fresh = small_net(1);
    CHECK_ERROR(nn_dataset_normalize_for(&other, fresh), NN_ERROR_EMPTY, "trained on", "");
    nn_net_destroy(fresh);
    nn_free(bytes);
    nn_dataset_free(&other);
    nn_dataset_free(&data);
    nn_net_destroy(net);
    nn_net_destroy(opened);
}

/* What is made of each kind of output. */
static void test_probabilities(void)
{
    static const nn_real x[] = {-2, 1, 3, 0};
    nn_real p[8], expected[8];
    int labels[2];
    for (int kind = 0; kind < 8; kind++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *in = nn_input(net, kind == 2 || kind == 6 || kind == 7 ? 1 : 2), *y = in;
        const size_t rows = in->row_size == 1 ? 4 : 2;
        (void)labels;
        memcpy(expected, x, sizeof x);
        if (kind == 0) nn_softmax_cross_entropy(nn_scale(y, 1));
        if (kind == 1) nn_sigmoid_cross_entropy(nn_scale(y, 1));
        if (kind == 2) nn_sigmoid_cross_entropy(nn_scale(y, 1));
        if (kind == 3) nn_kl_divergence(nn_log_softmax(y));
        if (kind == 4) nn_softmax(y);
        if (kind == 5) nn_mse(nn_sigmoid(y));
        if (kind == 6) nn_mse(nn_sigmoid(y));
        if (kind == 7) nn_mse(nn_scale(y, 1));
        if (kind == 0 || kind == 3 || kind == 4) nn_mat_softmax(2, 2, x, expected);
        if (kind == 1 || kind == 5) nn_vec_activate(NN_ACTIVATION_SIGMOID, 0, 4, x, expected);
        if (kind == 2 || kind == 6) {
            nn_real s[4];
            nn_vec_activate(NN_ACTIVATION_SIGMOID, 0, 4, x, s);
            for (int i = 0; i < 4; i++) expected[2 * i] = 1 - s[i], expected[2 * i + 1] = s[i];
        }
        int found[4];
        if (kind == 7) {
            CHECK_ERROR(nn_classify(net, x, rows, found, p), NN_ERROR_BAD_ARGUMENT, "probabilities",
                        "NULL");
            CHECK_OK(nn_classify(net, x, rows, found, NULL));
            CHECK(found[0] == 0 && found[1] == 1 && found[2] == 1 && found[3] == 0);
        } else {
            CHECK_OK(nn_classify(net, x, rows, found, p));
            for (size_t i = 0; i < (rows == 4 ? 8 : 4); i++) CHECK_NEAR(p[i], expected[i], 1e-6);
            if (rows == 2) CHECK(found[0] == 1 && found[1] == 0);
            else CHECK(found[0] == 0 && found[1] == 1 && found[2] == 1 && found[3] == 0);
        }
        nn_net_destroy(net);
    }
    nn_net *net = nn_net_create(NULL);
    nn_scale(nn_input(net, 1), 1);
    const nn_real bad = (nn_real)NAN;
    CHECK_ERROR(nn_classify(net, &bad, 1, labels, NULL), NN_ERROR_NOT_FINITE, "sample 0", "");
    nn_net_destroy(net);
    net = nn_net_create(NULL);
    CHECK(nn_net_output(net) == NULL && nn_net_input(net) == NULL);
    CHECK(nn_net_output(NULL) == NULL);
    nn_add(nn_input(net, 1), nn_input(net, 1));
    CHECK(nn_net_input(net) == NULL && strstr(nn_last_error(), "several inputs"));
    nn_net_destroy(net);
}

static void test_locale(void)
{
    void *bytes = NULL, *again = NULL;
    size_t size = 0, again_size = 0;
    nn_net *net = nn_net_create(NULL);
    setlocale(LC_ALL, "C");
    of_losses(net);
    nn_clamp(nn_net_tensor(net, 3), -0.0, 1.0 / 3);
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    CHECK(set_comma_locale());
    CHECK_OK(nn_save_memory(net, NULL, &again, &again_size));
    CHECK(size == again_size && memcmp(bytes, again, size) == 0);
    nn_free(again);
    nn_net *opened = nn_open_memory(bytes, size, NULL);
    CHECK_OK(nn_save_memory(opened, NULL, &again, &again_size));
    CHECK(size == again_size && memcmp(bytes, again, size) == 0);
    setlocale(LC_ALL, "C");
    nn_free(bytes);
    nn_free(again);
    nn_net_destroy(net);
    nn_net_destroy(opened);
}

/* Each request for memory fails once: an error, nothing lost, and a network that did not change. */
static void test_out_of_memory(void)
{
    void *bytes = NULL;
    size_t size = 0;
    nn_save_desc save;
    nn_load_desc load;
    nn_load_report report;
    nn_optimizer_desc adam = nn_adam(0.1);
    memset(&save, 0, sizeof save);
    memset(&load, 0, sizeof load);
    save.training = load.training = 1;
    nn_net *net = small_net(1), *other = small_net(2);
    CHECK_OK(nn_set_optimizer(net, &adam));
    CHECK_OK(nn_set_optimizer(other, &adam));
    CHECK_OK(nn_save_memory(net, &save, &bytes, &size));
    const uint64_t hash = hash_net(other);
    int saved = 0, loaded = 0, opened = 0;
    for (long left = 0; left < 2000 && !(saved && loaded && opened); left++) {
        void *again = NULL;
        size_t again_size = 0;
        const long blocks = memory_blocks;
        memory_left = left;
        const nn_status status = nn_save_memory(net, &save, &again, &again_size);
        memory_left = left;
        const nn_status status2 = nn_load_memory(other, bytes, size, &load, &report);
        memory_left = left;
        nn_net *made = nn_open_memory(bytes, size, NULL);
        memory_left = -1;
        saved = status == NN_OK, loaded = status2 == NN_OK, opened = made != NULL;
        CHECK(saved || status == NN_ERROR_OUT_OF_MEMORY);
        CHECK(loaded || status2 == NN_ERROR_OUT_OF_MEMORY);
        if (!loaded) CHECK(hash_net(other) == hash);
        if (loaded) nn_load_report_free(&report);
        nn_free(again);
        nn_net_destroy(made);
        CHECK_INT(memory_blocks, blocks);
    }
    CHECK(saved && loaded && opened);
    CHECK(hash_net(net) == hash_net(other));
    nn_free(bytes);
    nn_net_destroy(net);
    nn_net_destroy(other);
}

/* The same of calls that keep or write what they found: never a success with less than all of it. */
static void test_out_of_memory_elsewhere(void)
{
    static const char *const paths[] = {TEST_TMP "/memory.c", TEST_TMP "/memory.onnx"};
    static char right[60000], text[60000];
    const nn_real x[4] = {1, 2, 3, 4};
    int label;
    nn_net *net = small_net(1);
    nn_tensor *output = loss_of(net)->src[0];
    memory_fails_once = 1;
    for (int onnx = 0; onnx < 2; onnx++) {
        const char *path = paths[onnx];
        nn_status status = NN_ERROR_OUT_OF_MEMORY;
        CHECK_OK(onnx ? nn_export_onnx(output, path) : nn_export_c(output, path, NULL));
        const size_t size = read_file(path, right, sizeof right);
        for (long left = 0; left < 2000 && status != NN_OK; left++) {
            remove(path);
            memory_left = left;
            status = onnx ? nn_export_onnx(output, path) : nn_export_c(output, path, NULL);
            memory_left = -1;
            CHECK(status == NN_OK || status == NN_ERROR_OUT_OF_MEMORY);
            FILE *f = fopen(path, "rb");
            CHECK((f != NULL) == (status == NN_OK));
            if (f) fclose(f);
        }
        CHECK_INT(read_file(path, text, sizeof text), size);
        CHECK(size > 0 && memcmp(text, right, size) == 0);
        remove(path);
    }
    nn_status status = NN_ERROR_OUT_OF_MEMORY;
    for (long left = 0; left < 2000 && status != NN_OK; left++) {
        nn_net *fresh = small_net(1);
        memory_left = left;
        status = nn_classify(fresh, x, 1, &label, NULL);
        memory_left = -1;
        if (status != NN_OK) CHECK_ERROR(status, NN_ERROR_OUT_OF_MEMORY, "out of memory", "");
        nn_net_destroy(fresh);
    }
    CHECK_OK(status);
    memory_fails_once = 0;
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------------------- going on */

/* A loop of one's own goes on with the optimiser's state. */
static void test_training_state(void)
{
    nn_real x[12];
    static const int labels[] = {0, 1, 1};
    for (int kind = NN_OPTIMIZER_SGD; kind < NN_OPTIMIZER_COUNT; kind++)
        for (int opened = 0; opened < 2; opened++) {
            void *bytes = NULL;
            size_t size = 0;
            nn_save_desc save;
            nn_load_desc load;
            nn_open_desc open;
            nn_optimizer_desc o = nn_sgd(0.1, kind == NN_OPTIMIZER_SGD ? 0.9 : 0);
            memset(&save, 0, sizeof save);
            memset(&load, 0, sizeof load);
            memset(&open, 0, sizeof open);
            save.training = load.training = open.training = 1;
            o.kind = (nn_optimizer_kind)kind;
            o.schedule.kind = NN_SCHEDULE_EXPONENTIAL, o.schedule.gamma = 0.9;
            for (int i = 0; i < 12; i++) x[i] = (nn_real)(i % 5 - 2);
            nn_net *net = small_net(1), *next = opened ? NULL : small_net(9);
            CHECK_OK(nn_set_optimizer(net, &o));
            for (int step = 0; step < 10; step++) {
                if (step == 5) {
                    CHECK_OK(nn_save_memory(net, &save, &bytes, &size));
                    if (opened) next = nn_open_memory(bytes, size, &open);
                    else CHECK_OK(nn_load_memory(next, bytes, size, &load, NULL));
                    CHECK_INT(nn_step_count(next), 5);
                    nn_free(bytes);
                }
                for (int k = 0; k < (step < 5 ? 1 : 2); k++) {
                    nn_net *n = k ? next : net;
                    nn_net_set_training(n, 1);
                    CHECK_OK(nn_feed(nn_net_tensor(n, 0), x, 3));
                    CHECK_OK(nn_feed_labels(loss_of(n), labels, 3));
                    CHECK_OK(nn_forward(loss_of(n)));
                    CHECK_OK(nn_backward(loss_of(n)));
                    CHECK_OK(nn_step(n));
                }
            }
            CHECK(hash_net(net) == hash_net(next));
            nn_net_destroy(net);
            nn_net_destroy(next);
        }
    void *bytes = NULL;
    size_t size = 0;
    nn_load_desc load;
    nn_net *net = small_net(1);
    memset(&load, 0, sizeof load);
    load.training = 1;
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    CHECK_ERROR(nn_load_memory(net, bytes, size, &load, NULL), NN_ERROR_MISMATCH, "no state of", "");
    nn_free(bytes);
    nn_net_destroy(net);
}

/* A file with data but without the state that is asked for changes nothing, the data included. */
static void test_nothing_by_halves(void)
{
    nn_dataset data, other;
    nn_train_desc train;
    nn_load_desc load;
    void *bytes = NULL;
    size_t size = 0;
    make_bytes(&data);
    memset(&train, 0, sizeof train);
    memset(&load, 0, sizeof load);
    train.epochs = 1, train.batch_size = 8, train.optimizer = nn_adam(0.05);
    nn_net *net = nn_net_create(NULL), *next = nn_net_create(NULL);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_input(net, FEATURES), 3));
    nn_tensor *its = nn_softmax_cross_entropy(nn_dense(nn_input(next, FEATURES), 3));
    CHECK_OK(nn_train(loss, &data, &train, NULL));
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    CHECK_OK(nn_dataset_from_bytes(raw, SAMPLES, FEATURES, raw_labels, 3, &other));
    CHECK_OK(nn_dataset_rescale(&other, 0, 255, 0, 1));
    CHECK_OK(nn_train(its, &other, &train, NULL));
    load.training = 1;
    CHECK_ERROR(nn_load_memory(next, bytes, size, &load, NULL), NN_ERROR_MISMATCH, "no state", "");
    CHECK_STR(nn_class_name(next, 0), "");
    nn_result result;
    CHECK_OK(nn_evaluate(its, &other, &result));
    load.training = 0;
    CHECK_OK(nn_load_memory(next, bytes, size, &load, NULL));
    CHECK_STR(nn_class_name(next, 0), "cat");
    CHECK_ERROR(nn_evaluate(its, &other, &result), NN_ERROR_MISMATCH, "normalised", "");
    CHECK_OK(nn_evaluate(its, &data, &result));
    nn_free(bytes);
    nn_net_destroy(net);
    nn_net_destroy(next);
    nn_dataset_free(&data);
    nn_dataset_free(&other);
}

/* What a run is made of; each row changes something. */
typedef struct run {
    const char *name;
    nn_optimizer_kind optimizer;
    nn_schedule_kind schedule;
    int no_shuffle, drop_last, patience, restore_best, evaluate_training, log_steps;
    size_t batch_size, check_every, save_every;
    double rate;
} run;

static double falling(void *user, size_t t) { return *(double *)user / (1 + (double)t); }
static double falling_from = 0.2;

static nn_train_desc desc_of(const run *r, const nn_dataset *validation)
{
    nn_train_desc d;
    memset(&d, 0, sizeof d);
    d.epochs = 6, d.batch_size = r->batch_size ? r->batch_size : 8;
    d.no_shuffle = r->no_shuffle, d.drop_last = r->drop_last;
    d.patience = (size_t)r->patience, d.restore_best = r->restore_best;
    d.evaluate_training = r->evaluate_training, d.log_steps = r->log_steps;
    d.check_every = r->check_every;
    d.validation = validation;
    d.optimizer = nn_sgd(r->rate, r->optimizer == NN_OPTIMIZER_SGD ? 0.9 : 0);
    d.optimizer.kind = r->optimizer;
    d.optimizer.schedule.kind = r->schedule;
    if (r->schedule == NN_SCHEDULE_STEP_DECAY || r->schedule == NN_SCHEDULE_TRIANGULAR)
        d.optimizer.schedule.period = 7;
    if (r->schedule == NN_SCHEDULE_PLATEAU) d.optimizer.schedule.period = 1;
    if (r->schedule == NN_SCHEDULE_EXPONENTIAL) d.optimizer.schedule.gamma = 0.95;
    if (r->schedule == NN_SCHEDULE_CUSTOM)
        d.optimizer.schedule.rate = falling, d.optimizer.schedule.user = &falling_from;
    return d;
}

static nn_net *run_net(uint64_t seed)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = seed;
    nn_net *net = nn_net_create(&desc);
    nn_tensor *hidden = nn_dropout(nn_tanh(nn_dense(nn_input(net, FEATURES), 6)), 0.3);
    static const size_t six[] = {6};
    nn_buffer(net, 1, six, nn_init_constant(3), "state");
    nn_softmax_cross_entropy(nn_dense(hidden, 3));
    return net;
}

static uint64_t hash_history(uint64_t hash, const nn_history *h)
{
    for (size_t i = 0; i < h->check_count; i++) {
        const nn_check *c = &h->checks[i];
        const double numbers[] = {(double)c->step, (double)c->epoch, c->train_loss,
                                  c->train_accuracy, c->batch_loss, c->batch_accuracy,
                                  c->validation_loss, c->validation_accuracy, c->learning_rate,
                                  c->improved, (double)c->batch_size};
        for (size_t j = 0; j < sizeof numbers; j++)
            hash = (hash ^ ((const unsigned char *)numbers)[j]) * UINT64_C(0x100000001B3);
    }
    for (size_t i = 0; i < h->step_count * sizeof(double); i++)
        hash = (hash ^ ((const unsigned char *)h->step_loss)[i]) * UINT64_C(0x100000001B3);
    return hash ^ h->best ^ h->epochs << 8 ^ (uint64_t)h->stopped_early << 32;
}

static int stop_at(void *user, nn_net *net, size_t step, double loss)
{
    (void)net, (void)loss;
    return step + 1 == *(size_t *)user;
}

/* A run without a break, and the same stopped after each step and gone on with in a new process'
   place: another network of another seed, another history. */
static void check_run(const run *r, const nn_dataset *data, const nn_dataset *validation)
{
    char path[300];
    nn_history whole, part;
    nn_train_desc desc = desc_of(r, validation);
    memset(&whole, 0, sizeof whole);
    nn_net *net = run_net(1);
    CHECK_OK(nn_train(loss_of(net), data, &desc, &whole));
    const uint64_t hash = hash_net(net), log = hash_history(HASH_START, &whole);
    const uint64_t draws_after = nn_net_rng(net)->counter;
    const size_t steps = nn_step_count(net);
    snprintf(path, sizeof path, "%s", path_of("run.safetensors"));
    for (size_t stop = 1; stop <= steps; stop += 1 + steps / 5) {
        remove(path);
        desc.save_path = path, desc.save_every = r->save_every, desc.resume = 1;
        for (int begun = 0; begun < 2; begun++) {
            memset(&part, 0, sizeof part);
            nn_net *half = run_net(begun ? 77 : 1);
            desc.on_step = begun ? NULL : stop_at, desc.user = &stop;
            CHECK_OK(nn_train(loss_of(half), data, &desc, &part));
            if (begun) {
                CHECK(hash_net(half) == hash);
                CHECK(hash_history(HASH_START, &part) == log);
                CHECK_INT(nn_net_rng(half)->counter, draws_after);
                CHECK_INT(nn_step_count(half), steps);
            }
            nn_history_free(&part);
            nn_net_destroy(half);
        }
        nn_net *opened = nn_open(path, NULL); /* what nn_train ended with */
        CHECK(opened && hash_net(opened) == hash);
        nn_net_destroy(opened);
    }
    desc.on_step = NULL, desc.user = NULL; /* a run that is done is done */
    nn_net *done = run_net(5);
    CHECK_OK(nn_train(loss_of(done), data, &desc, NULL));
    CHECK(hash_net(done) == hash);
    nn_net_destroy(done);
    nn_history_free(&whole);
    nn_net_destroy(net);
}

static void make_split(nn_dataset *all, nn_dataset *train, nn_dataset *validation)
{
    make_bytes(all);
    CHECK_OK(nn_dataset_split(all, 0.7, 3, train, validation));
}

static void test_resume(void)
{
    static const run runs[] = {
#define R(name, optimizer, schedule, rate)                                                         \
    {name, NN_OPTIMIZER_##optimizer, NN_SCHEDULE_##schedule, 0, 0, 0, 0, 0, 1, 0, 0, 0, rate}
        R("sgd", SGD, CONSTANT, 0.1),
        R("adagrad", ADAGRAD, STEP_DECAY, 0.1),
        R("rmsprop", RMSPROP, EXPONENTIAL, 0.01),
        R("adam", ADAM, COSINE, 0.05),
        R("adamw", ADAMW, TRIANGULAR, 0.05),
        R("one cycle", SGD, ONE_CYCLE, 0.3),
        R("plateau", SGD, PLATEAU, 0.8),
        R("custom", SGD, CUSTOM, 0.1),
        {"in order", NN_OPTIMIZER_SGD, NN_SCHEDULE_CONSTANT, 1, 0, 0, 0, 1, 0, 7, 0, 3, 0.1},
        {"drop last", NN_OPTIMIZER_ADAM, NN_SCHEDULE_CONSTANT, 0, 1, 0, 0, 0, 1, 7, 2, 1, 0.02},
        {"early stop", NN_OPTIMIZER_SGD, NN_SCHEDULE_CONSTANT, 0, 0, 2, 0, 0, 1, 3, 1, 2, 2.5},
        {"best", NN_OPTIMIZER_SGD, NN_SCHEDULE_CONSTANT, 0, 0, 3, 1, 1, 1, 5, 1, 4, 1.5},
        {"best of all", NN_OPTIMIZER_ADAM, NN_SCHEDULE_PLATEAU, 0, 0, 0, 1, 0, 1, 8, 2, 0, 0.3}};
    nn_dataset all, train, validation;
    make_split(&all, &train, &validation);
    for (size_t i = 0; i < COUNT(runs); i++) {
        test_current = runs[i].name;
        check_run(&runs[i], &train, &validation);
    }
    test_current = "";
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}

/* A callback changes about everything that may be changed in mid-course, by the step alone. */
typedef struct changing {
    size_t stop;
    int batch, frozen, optimizer, at_checks;
} changing;

static void change_what(const changing *c, nn_net *net, size_t steps)
{
    static const size_t sizes[] = {5, 13, 1, 26, 8};
    nn_optimizer_desc o = *nn_net_optimizer(net);
    nn_tensor *const first = nn_net_parameter(net, 0), *const bias = nn_net_parameter(net, 1);
    if (c->batch && steps % 4 == 3) CHECK_OK(nn_change_batch_size(net, sizes[steps / 4 % 5]));
    if (c->frozen) {
        first->frozen = steps % 9 > 4;
        bias->learning_rate_scale = steps % 7 == 0 ? 0 : 1 + (double)(steps % 3) / 3;
        bias->no_decay = steps % 5 > 1;
    }
    if (c->optimizer && steps % 6 == 2) {
        o.learning_rate *= 0.75;
        o.weight_decay += 0.01;
        CHECK_OK(nn_change_optimizer(net, &o));
    }
}

static int change_at_step(void *user, nn_net *net, size_t step, double loss)
{
    const changing *c = (const changing *)user;
    (void)loss;
    if (!c->at_checks) change_what(c, net, step + 1);
    return step + 1 == c->stop;
}

static int change_at_check(void *user, nn_net *net, const nn_check *check)
{
    const changing *c = (const changing *)user;
    if (c->at_checks) change_what(c, net, check->step);
    return 0;
}

static nn_train_desc changing_desc(int row, const nn_dataset *validation, changing *c)
{
    static const run r = {"", NN_OPTIMIZER_ADAM, NN_SCHEDULE_CONSTANT, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0.03};
    nn_train_desc d = desc_of(&r, validation);
    memset(c, 0, sizeof *c);
    d.on_step = change_at_step, d.on_check = change_at_check, d.user = c;
    c->batch = row != 1 && row != 8, c->frozen = row != 0, c->optimizer = row == 4;
    c->at_checks = row == 5;
    d.epochs = 4;
    if (row >= 4) d.optimizer.weight_decay = 0.02;
    if (row == 2) d.drop_last = 1, d.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    if (row == 3) d.optimizer = nn_sgd(0.1, 0.9), d.optimizer.schedule.kind = NN_SCHEDULE_ONE_CYCLE;
    if (row == 3) d.checks_per_epoch = 2;
    if (row == 5) d.restore_best = 1, d.check_every = 1, d.batch_size = 9;
    if (row == 6) d.ema_decay = 0.9, d.augment.noise = 0.1, d.no_shuffle = 1;
    if (row == 7) d.lookahead_steps = 3, d.augment.mixup = 0.5;
    return d;
}

/* Stopped after each step and gone on with, to the same bits and settings. */
static void test_resume_changes(void)
{
    nn_dataset all, train, validation;
    char path[300];
    snprintf(path, sizeof path, "%s", path_of("changing.safetensors"));
    make_split(&all, &train, &validation);
    CHECK_INT(train.count, 26);
    for (int row = 0; row < 9; row++) {
        char name[32];
        nn_history whole;
        changing c;
        nn_train_desc d = changing_desc(row, &validation, &c);
        memset(&whole, 0, sizeof whole);
        snprintf(name, sizeof name, "row %d", row);
        test_current = name;
        nn_net *net = run_net(1);
        CHECK_OK(nn_train(loss_of(net), &train, &d, &whole));
        const size_t steps = nn_step_count(net);
        CHECK(steps > 4);
        for (size_t stop = 1; stop <= steps; stop++) {
            nn_history part;
            remove(path);
            d.save_path = path, d.resume = 1, d.save_every = row == 3 ? 3 : 0;
            for (int begun = 0; begun < 2; begun++) {
                nn_net *half = run_net(begun ? 77 : 1);
                memset(&part, 0, sizeof part);
                c.stop = begun ? 0 : stop;
                CHECK_OK(nn_train(loss_of(half), &train, &d, &part));
                const nn_tensor *p, *q;
                for (size_t i = 0; begun && (p = nn_net_parameter(net, i)) != NULL; i++) {
                    q = nn_net_parameter(half, i);
                    CHECK(p->frozen == q->frozen && p->no_decay == q->no_decay &&
                          p->learning_rate_scale == q->learning_rate_scale);
                }
                if (begun) {
                    CHECK(hash_net(half) == hash_net(net));
                    CHECK(hash_history(HASH_START, &part) == hash_history(HASH_START, &whole));
                    CHECK_INT(nn_step_count(half), steps);
                }
                nn_history_free(&part);
                nn_net_destroy(half);
            }
        }
        nn_history_free(&whole);
        nn_net_destroy(net);
    }
    test_current = "";
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}

/* A trainer of one's own that a callback saves: of a step, or of a check, where averages are in the
   network. The run that goes on from there is the one that was not interrupted. */
typedef struct saving {
    nn_trainer *trainer;
    const char *path;
    size_t step;
    int at_check;
} saving;

static int save_at_step(void *user, nn_net *net, size_t step, double loss)
{
    const saving *s = (const saving *)user;
    (void)net, (void)loss;
    if (!s->at_check && step + 1 == s->step) CHECK_OK(nn_trainer_save(s->trainer, s->path));
    return 0;
}

static int save_at_check(void *user, nn_net *net, const nn_check *check)
{
    const saving *s = (const saving *)user;
    const uint64_t hash = hash_net(net);
    if (s->at_check && check->step == s->step) CHECK_OK(nn_trainer_save(s->trainer, s->path));
    CHECK(hash_net(net) == hash);
    return 0;
}

static void test_saved_in_callbacks(void)
{
    static const run r = {"", NN_OPTIMIZER_ADAM, NN_SCHEDULE_COSINE, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0.05};
    nn_dataset all, train, validation;
    char path[300];
    snprintf(path, sizeof path, "%s", path_of("callback.safetensors"));
    make_split(&all, &train, &validation);
    for (int kind = 0; kind < 12; kind++) /* plain, averages, Lookahead; at steps 3, 4, 5, 8 */
        for (int at_check = 0; at_check < 2; at_check++) {
            static const size_t steps[] = {3, 4, 5, 8}; /* 4 and 8 end epochs */
            saving s;
            nn_net *net = run_net(1), *other = run_net(2);
            nn_train_desc d = desc_of(&r, &validation);
            d.epochs = 3;
            if (kind / 4 == 1) d.ema_decay = 0.8;
            if (kind / 4 == 2) d.lookahead_steps = 2;
            if (kind % 2) d.restore_best = 0;
            s.path = path, s.step = steps[kind % 4], s.at_check = at_check;
            d.on_step = save_at_step, d.on_check = save_at_check, d.user = &s;
            remove(path);
            CHECK_OK(nn_trainer_create(loss_of(net), &train, &d, NULL, &s.trainer));
            while (!nn_trainer_is_done(s.trainer)) CHECK_OK(nn_trainer_step(s.trainer));
            nn_trainer_destroy(s.trainer);
            d.on_step = NULL, d.on_check = NULL, d.user = NULL;
            d.save_path = path, d.resume = 1;
            CHECK_OK(nn_train(loss_of(other), &train, &d, NULL));
            CHECK(hash_net(other) == hash_net(net));
            nn_net_destroy(net);
            nn_net_destroy(other);
        }
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}

/* In a file of the length that it has, one text in the place of another. */
static void replace_in(const char *path, const char *from, const char *to)
{
    static char text[1 << 16];
    const size_t size = read_file(path, text, sizeof text);
    size_t at = 0;
    while (at < size && memcmp(text + at, from, strlen(from)) != 0) at++;
    CHECK(at < size && strlen(from) == strlen(to));
    if (at < size) memcpy(text + at, to, strlen(to));
    write_file(path, text, size);
}

/* What a file says of the batch size and of frozen parameters is checked, and so is a program that
   begins with other ones than the run did. */
static void test_resume_changes_refused(void)
{
    static const struct {
        const char *from, *to;
        nn_status status;
        const char *message;
    } damage[] = {
        {"\\\"batch_size\\\":13", "\\\"batch_size\\\":27", NN_ERROR_BAD_FORMAT,
         "sample 13 of 26 with a batch size of 27"},
        {"\\\"batch_size\\\":13", "\\\"batch_size\\\":0 ", NN_ERROR_BAD_FORMAT, "size of 0"},
        {"\\\"offset\\\":13", "\\\"offset\\\":26", NN_ERROR_BAD_FORMAT, "sample 26 of 26"},
        {"\\\"offset\\\":13", "\\\"offset\\\":-8", NN_ERROR_BAD_FORMAT, "'offset'"},
        {"\\\"total\\\":", "\\\"tutal\\\":", NN_ERROR_BAD_FORMAT, "'tutal' is unknown"},
        {"{\\\"frozen\\\":1}]", "{\\\"frozen\\\":x}]", NN_ERROR_BAD_FORMAT, ""},
        {"{\\\"frozen\\\":1}]", "{\\\"frozan\\\":1}]", NN_ERROR_BAD_FORMAT, "'frozan' is unknown"},
        {"[{\\\"frozen\\\":1}]", "[ \\\"frozen\\\"  ] ", NN_ERROR_BAD_FORMAT, "which parameters"},
        {"[{\\\"frozen\\\":1}]", "[              ]", NN_ERROR_BAD_FORMAT, "which parameters"},
        {"\\\"parameters\\\":[{", "\\\"paramoters\\\":[{", NN_ERROR_BAD_FORMAT, "which parameters"},
        {"\\\"ahead\\\":-", "\\\"ahead\\\": ", NN_OK, ""},
        {"\\\"ahead\\\":-", "\\\"ahead\\\":9", NN_OK, ""},
        {"\\\"steps\\\":4", "\\\"steps\\\":0", NN_ERROR_BAD_FORMAT, "-1 steps ahead of 0"}};
    static const size_t one[] = {1};
    nn_dataset all, train, validation;
    char path[300];
    changing c;
    snprintf(path, sizeof path, "%s", path_of("refused.safetensors"));
    make_split(&all, &train, &validation);
    nn_train_desc d = changing_desc(2, &validation, &c);
    d.on_check = NULL, d.on_step = NULL, d.validation = NULL;
    d.save_path = path, d.resume = 1;
    for (size_t i = 0; i < COUNT(damage); i++) {
        nn_trainer *t;
        remove(path);
        for (int again = 0; again < 2; again++) { /* one parameter, a factor */
            nn_net *net = nn_net_create(NULL);
            nn_tensor *in = nn_input(net, FEATURES);
            nn_tensor *w = nn_parameter(net, 1, one, nn_init_constant(1), "w");
            nn_tensor *loss = nn_softmax_cross_entropy(nn_mul(nn_slice(in, 0, 0, 3), w));
            test_current = damage[i].from;
            if (again) replace_in(path, damage[i].from, damage[i].to);
            if (again)
                CHECK_ERROR(nn_trainer_create(loss, &train, &d, NULL, &t), damage[i].status,
                            damage[i].status ? path : "", damage[i].message);
            else CHECK_OK(nn_trainer_create(loss, &train, &d, NULL, &t));
            CHECK_INT(w->frozen, again && damage[i].status == NN_OK);
            for (int step = 0; !again && step < 4; step++) {
                if (step == 2) CHECK_OK(nn_change_batch_size(net, 13));
                CHECK_OK(nn_trainer_step(t));
                if (step == 3) w->frozen = 1;
            }
            if (!again) CHECK_OK(nn_trainer_save(t, path));
            nn_trainer_destroy(t);
            nn_net_destroy(net);
        }
    }
    test_current = "";
    for (int i = 0; i < 4; i++) { /* the program that goes on begins with something else */
        remove(path);
        for (int again = 0; again < 2; again++) {
            nn_net *net = run_net(1);
            nn_tensor *w = nn_net_parameter(net, 0);
            if (again && i == 0) w->frozen = 1;
            if (again && i == 1) w->no_decay = 1;
            if (again && i == 2) w->learning_rate_scale = 0;
            if (again && i == 3) d.batch_size = 5;
            d.epochs = again ? 2 : 1, d.optimizer.schedule.kind = NN_SCHEDULE_CONSTANT;
            if (!again) CHECK_OK(nn_train(loss_of(net), &train, &d, NULL));
            else
                CHECK_ERROR(nn_train(loss_of(net), &train, &d, NULL), NN_ERROR_MISMATCH, path,
                            i < 3 ? "frozen, no_decay or learning_rate_scale of a parameter"
                                  : "batch_size is 8 in the file, 5 here");
            nn_net_destroy(net);
        }
    }
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}

/* A file of something else is refused, and says what differs. */
static void test_resume_refused(void)
{
    static const run r = {"", NN_OPTIMIZER_SGD, NN_SCHEDULE_CONSTANT, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0.1};
    nn_dataset all, train, validation;
    char path[300];
    make_split(&all, &train, &validation);
    snprintf(path, sizeof path, "%s", path_of("other.safetensors"));
    remove(path);
    nn_train_desc desc = desc_of(&r, &validation);
    desc.save_path = path, desc.resume = 1;
    nn_net *net = run_net(1);
    CHECK_OK(nn_train(loss_of(net), &train, &desc, NULL));
    nn_net_destroy(net);
    static const char *const said[] = {
        "batch_size is 8 in the file, 4 here", "learning_rate is 0.1 in the file, 0.2 here",
        "kind is 1 in the file, 4 here",       "content of the data set",
        "content of the validation set",       "no_shuffle is 0 in the file, 1 here",
        "tensor 5 of the network: p is 0.3",   "shape is another list",
        "momentum is 0.9 in the file, 0 here", "patience is 0 in the file, 3 here",
        "network has 12 tensors, this one 11"};
    for (size_t i = 0; i < COUNT(said); i++) {
        nn_train_desc d = desc;
        nn_dataset other = train;
        static const size_t six[] = {6};
        int changed[SAMPLES];
        test_current = said[i];
        if (i == 0) d.batch_size = 4;
        if (i == 1) d.optimizer.learning_rate = 0.2;
        if (i == 2) d.optimizer = nn_adam(0.1);
        if (i == 3) {
            memcpy(changed, train.labels, train.count * sizeof *changed);
            changed[5] = (changed[5] + 1) % 3;
            other.labels = changed;
        }
        if (i == 4) d.validation = &train;
        if (i == 5) d.no_shuffle = 1;
        if (i == 8) d.optimizer.momentum = 0;
        if (i == 9) d.patience = 3;
        nn_net *n = nn_net_create(NULL);
        nn_tensor *y = nn_tanh(nn_dense(nn_input(n, FEATURES), i == 7 ? 5 : 6));
        if (i != 10) y = nn_dropout(y, i == 6 ? 0.31 : 0.3);
        nn_buffer(n, 1, six, nn_init_constant(3), "state");
        nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(y, 3));
        const uint64_t hash = hash_net(n);
        if (i == 10) {
            CHECK_ERROR(nn_train(loss, &other, &d, NULL), NN_ERROR_MISMATCH, path, "tensor 5");
        } else CHECK_ERROR(nn_train(loss, &other, &d, NULL), NN_ERROR_MISMATCH, path, said[i]);
        CHECK(hash_net(n) == hash);
        nn_net_destroy(n);
    }
    test_current = "";
    net = run_net(1);
    CHECK_OK(nn_save(net, path, NULL));
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_MISMATCH, "no state of", path);
    write_file(path, "garbage", 7);
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_TRUNCATED, path, "7 bytes");
    desc.save_path = NULL;
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "resume",
                "save_path");
    desc.resume = 0, desc.save_every = 3;
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "save_every",
                "save_path");
    desc.save_every = 0, desc.save_best_path = path, desc.validation = NULL;
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "save_best_path",
                "validation");
    desc.save_best_path = NULL, desc.save_path = "no/such/folder/a";
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_CANNOT_WRITE, "no/such/folder",
                "");
    desc.save_path = path, desc.save_best_path = "no/such/folder/b", desc.validation = &validation;
    CHECK_ERROR(nn_train(loss_of(net), &train, &desc, NULL), NN_ERROR_CANNOT_WRITE, "no/such/folder",
                "");
    CHECK_INT(nn_step_count(net), 0); /* before the first step, and the file is as it was */
    char kept[8];
    CHECK_INT(read_file(path, kept, sizeof kept), 7);
    CHECK_INT(files_beside(path), 0);
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}

/* More epochs than the first run had, the best network in a file of its own, a trainer that is
   kept by hand. */
static void test_more_of_a_run(void)
{
    static const run r = {"", NN_OPTIMIZER_ADAM, NN_SCHEDULE_CONSTANT, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0.05};
    nn_dataset all, train, validation;
    char path[300], best[300];
    nn_history whole, part;
    nn_trainer *trainer;
    make_split(&all, &train, &validation);
    memset(&whole, 0, sizeof whole);
    memset(&part, 0, sizeof part);
    snprintf(path, sizeof path, "%s", path_of("more.safetensors"));
    snprintf(best, sizeof best, "%s", path_of("best.safetensors"));
    remove(path);
    remove(best);
    nn_train_desc desc = desc_of(&r, &validation);
    desc.save_best_path = best;
    nn_net *net = run_net(1), *half = run_net(1);
    CHECK_OK(nn_train(loss_of(net), &train, &desc, &whole));
    nn_net *opened = nn_open(best, NULL);
    CHECK(opened && hash_net(opened) == hash_net(net)); /* restore_best gave back the same */
    nn_net_destroy(opened);
    desc.save_best_path = NULL;
    desc.epochs = 2, desc.save_path = path, desc.resume = 1;
    CHECK_OK(nn_train(loss_of(half), &train, &desc, &part));
    nn_net_destroy(half);
    half = run_net(3);
    desc.epochs = 6;
    CHECK_OK(nn_train(loss_of(half), &train, &desc, &part));
    CHECK(hash_net(half) == hash_net(net));
    CHECK(hash_history(HASH_START, &part) == hash_history(HASH_START, &whole));
    nn_net_destroy(half);
    half = run_net(1);
    remove(path);
    desc.save_path = NULL, desc.resume = 0;
    CHECK_OK(nn_trainer_create(loss_of(half), &train, &desc, NULL, &trainer));
    for (int i = 0; i < 7; i++) CHECK_OK(nn_trainer_step(trainer));
    CHECK_OK(nn_trainer_save(trainer, path));
    CHECK_ERROR(nn_trainer_save(trainer, NULL), NN_ERROR_BAD_ARGUMENT, "nn_trainer_save", "path");
    CHECK_ERROR(nn_trainer_save(NULL, path), NN_ERROR_BAD_ARGUMENT, "nn_trainer_save", "trainer");
    nn_trainer_destroy(trainer);
    nn_net_destroy(half);
    half = run_net(4);
    desc.save_path = path, desc.resume = 1;
    CHECK_OK(nn_trainer_create(loss_of(half), &train, &desc, NULL, &trainer));
    while (!nn_trainer_is_done(trainer)) CHECK_OK(nn_trainer_epoch(trainer));
    CHECK_ERROR(nn_trainer_save(trainer, path), NN_ERROR_BAD_ARGUMENT, "nn_trainer_save", "nn_save");
    nn_trainer_destroy(trainer);
    CHECK(hash_net(half) == hash_net(net));
    nn_net_destroy(half);
    nn_net_destroy(net);
    nn_history_free(&whole);
    nn_history_free(&part);
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}

/* ------------------------------------------------------------------------- files as in training */

/* Delimiter, comments, lines before the data, marks of gaps, categories, names that need quotes. */
static const char people[] =
    "made by hand\n"
    "age;colour;size;note;who\n"
    "# a comment\n"
    "31;red;small;x;cat\n18;blue;\"very; large\";x;dog\n?;green;small;x;cat\n44,5;red;?;x;dog\n";

static nn_status load_text(const char *text, const nn_csv_desc *desc, const nn_net *net,
                           nn_dataset *data)
{
    char path[300];
    snprintf(path, sizeof path, "%s", path_of("table.csv"));
    write_file(path, text, strlen(text));
    return net ? nn_load_csv_for(path, net, data) : nn_load_csv(path, desc, data);
}

static nn_csv_desc people_desc(void)
{
    nn_csv_desc d;
    memset(&d, 0, sizeof d);
    d.delimiter = ';', d.comment = '#', d.skip_lines = 1, d.labels = "who", d.ignore = "note";
    d.one_hot = "colour", d.codes = "size", d.missing = "?", d.fill = NN_MISSING_MEAN;
    return d;
}

/* A network that was trained on the table, saved and opened. The data set is gone. */
static nn_net *opened_after(const char *text, const nn_csv_desc *desc, int regression)
{
    nn_dataset data;
    nn_train_desc train;
    void *bytes = NULL;
    size_t size = 0;
    nn_net *net = nn_net_create(NULL);
    memset(&train, 0, sizeof train);
    train.epochs = 2, train.batch_size = 2, train.optimizer = nn_sgd(0.01, 0);
    CHECK_OK(load_text(text, desc, NULL, &data));
    CHECK_OK(nn_dataset_standardize(&data, NN_PER_FEATURE));
    nn_tensor *in = nn_input_like(net, &data);
    nn_tensor *loss = regression ? nn_mse(nn_dense(in, data.target_size))
                                 : nn_softmax_cross_entropy(nn_dense(in, (size_t)data.classes));
    CHECK_OK(nn_train(loss, &data, &train, NULL));
    nn_dataset_free(&data);
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    nn_net_destroy(net);
    nn_net *opened = nn_open_memory(bytes, size, NULL);
    CHECK(opened != NULL);
    nn_free(bytes);
    return opened;
}

static int same_sets(const nn_dataset *a, const nn_dataset *b)
{
    nn_real x[64], y[64];
    if (a->count != b->count || a->features != b->features || a->classes != b->classes) return 0;
    if (!a->labels != !b->labels || a->count * a->features > 64) return 0;
    CHECK_OK(nn_dataset_gather(a, NULL, a->count, x));
    CHECK_OK(nn_dataset_gather(b, NULL, b->count, y));
    return memcmp(x, y, a->count * a->features * sizeof *x) == 0 &&
           (!a->labels || memcmp(a->labels, b->labels, a->count * sizeof(int)) == 0);
}

static void test_csv_for(void)
{
    static const char *const others[] = {
        "title\nage;colour;size;note;who\n20;green;small;?;dog\n?;blue;?;x;cat\n",
        "title\nage;colour;size;note;who\n1e1;red;\"very; large\";\"a\nb\";cat\n",
        "title\nage;colour;size;who\n20;green;small;dog\n",             /* what is ignored, */
        "title\n# and\nage;colour;size\n20;green;small\n?;blue;?\n", /* labels may be missing */
        "title\nage;colour;size\n7;red;small\n"};
    static const struct {
        const char *text;
        nn_status status;
        const char *message;
    } wrong[] = {
        {"t\nage;colour;size;who\n1;pink;small;cat\n", NN_ERROR_MISMATCH, "'pink' is not among the 3"},
        {"t\nage;colour;size;who\n1;red;small;cow\n", NN_ERROR_MISMATCH, "'cow' is not among the 2"},
        {"t\nage;size;colour;who\n1;small;red;cat\n", NN_ERROR_MISMATCH, "(size)"},
        {"t\n1;red;small\n2;red;small\n", NN_ERROR_BAD_ARGUMENT, "no line of names was found"},
        {"t\nage;colour;who\n1;red;cat\n", NN_ERROR_BAD_ARGUMENT, "codes is 'size'"},
        {"t\nage;colour;size;who;more\n1;red;small;cat;3\n", NN_ERROR_MISMATCH, "(more)"},
        {"t\nage,colour,size,who\n1,red,small,cat\n", NN_ERROR_BAD_ARGUMENT, "','"},
        {"t\nage;colour;size;who\nx;red;small;cat\n", NN_ERROR_BAD_NUMBER, "'x'"}};
    nn_csv_desc desc = people_desc();
    char *dot = strdup_of(people);
    nn_dataset data, like, its;
    nn_result result;
    strchr(dot, ',')[0] = '.';
    nn_net *net = opened_after(dot, &desc, 0);
    CHECK_OK(load_text(dot, &desc, NULL, &data));
    CHECK_OK(nn_dataset_standardize(&data, NN_PER_FEATURE));
    CHECK_INT(data.features, 5);
    for (size_t i = 0; i < COUNT(others); i++) {
        nn_csv_desc again = people_desc();
        test_current = others[i];
        again.like = &data;
        if (!strstr(others[i], "note")) again.ignore = NULL;
        if (!strstr(others[i], "who")) again.labels = NULL;
        CHECK_OK(load_text(others[i], &again, NULL, &like));
        CHECK_OK(nn_dataset_normalize_like(&like, &data));
        CHECK_OK(load_text(others[i], NULL, net, &its));
        CHECK(same_sets(&its, &like));
        if (its.labels) CHECK_OK(nn_evaluate(loss_of(net), &its, &result));
        if (its.labels) CHECK_STR(its.class_names[1], "dog");
        nn_dataset_free(&its);
        nn_dataset_free(&like);
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        test_current = wrong[i].text;
        CHECK_ERROR(load_text(wrong[i].text, NULL, net, &its), wrong[i].status, "table.csv",
                    wrong[i].message);
        CHECK_ERROR(nn_dataset_standardize(&its, NN_PER_SET), wrong[i].status, "table.csv", "");
        nn_dataset_free(&its);
    }
    test_current = "";
    nn_dataset_free(&data);
    nn_net_destroy(net);
    free(dot);
}

/* Labels in several columns, numbers without a header, targets: by their places. */
static void test_csv_for_numbers(void)
{
    nn_csv_desc d;
    nn_dataset its;
    nn_real y[4];
    memset(&d, 0, sizeof d);
    d.labels = "3..5", d.fill = NN_MISSING_MEDIAN, d.delimiter = ' ', d.missing = "NA";
    nn_net *net = opened_after("1 2 0 0 1\n3 4 1 0 0\nNA 5 0 1 0\n", &d, 0);
    CHECK_OK(load_text("NA 7 0 1 0\n5 NA 0 0 1\n", NULL, net, &its));
    CHECK(its.features == 2 && its.classes == 3 && its.labels[0] == 1 && its.labels[1] == 2);
    CHECK(((const nn_real *)its.samples)[0] == 2 && ((const nn_real *)its.samples)[3] == 4);
    nn_dataset_free(&its);
    CHECK_OK(load_text("5 6\n", NULL, net, &its));
    CHECK(its.count == 1 && its.features == 2 && !its.labels);
    nn_dataset_free(&its);
    CHECK_ERROR(load_text("5\n", NULL, net, &its), NN_ERROR_MISMATCH, "1 columns of features", "");
    CHECK_ERROR(load_text("5 6 1 0\n", NULL, net, &its), NN_ERROR_MISMATCH, "column 3", "");
    CHECK_ERROR(load_text("5 6 1 0 1\n", NULL, net, &its), NN_ERROR_BAD_LABEL, "one-hot", "");
    nn_net_destroy(net);
    memset(&d, 0, sizeof d);
    d.targets = "price, tax", d.features = "rooms, age";
    net = opened_after("rooms,age,street,price,tax\n1,2,x,3,4\n5,6,y,7,9\n", &d, 1);
    CHECK_OK(load_text("rooms,age,street,price,tax\n1,2,z,3,4\n", NULL, net, &its));
    CHECK(its.features == 2 && its.target_size == 2 && its.targets[1] == 4);
    nn_dataset_free(&its);
    CHECK_OK(load_text("street,rooms,age\nq,1,2\n5,6,7\n", NULL, net, &its));
    CHECK(its.features == 2 && its.target_size == 0 && its.count == 2);
    CHECK_OK(nn_predict(nn_net_output(net), &its, y));
    nn_dataset_free(&its);
    nn_net_destroy(net);
}

/* Networks that do not know, and files that say what cannot be. */
static void test_csv_for_unknown(void)
{
    static const struct {
        const char *from, *to, *message;
    } damage[] = {
        {"\\\"role\\\":\\\"codes", "\\\"role\\\":\\\"cades", "'role' has a value"},
        {"\\\"role\\\":\\\"codes\\\"", "\\\"role\\\":\\\"none\\\" ", "a column that cannot be"},
        {"\\\"categories\\\":[\\\"red", "\\\"kategories\\\":[\\\"red", "a column that cannot be"},
        {"\\\"red\\\",", "     3 ,", "a column that cannot be"},
        {"[\\\"red\\\",", "[         ", "the columns have 4 features, the network's data 5"},
        {"\\\"delimiter\\\":59", "\\\"delimiter\\\":34", "cannot separate"},
        {"\\\"delimiter\\\":59", "\\\"dolimiter\\\":59", "'dolimiter' is unknown"},
        {"\\\"fill\\\":2,", "\\\"fill\\\":9,", "fill is 9"},
        {"\\\"columns\\\":[{", "\\\"columns\\\": {", "expected"}};
    nn_csv_desc desc = people_desc();
    nn_dataset its;
    nn_net *net = nn_net_create(NULL);
    void *bytes = NULL;
    size_t size = 0;
    CHECK_ERROR(nn_load_csv_for("a", NULL, &its), NN_ERROR_BAD_ARGUMENT, "nn_load_csv_for", "network");
    CHECK_ERROR(nn_load_csv_for("a", net, NULL), NN_ERROR_BAD_ARGUMENT, "nn_load_csv_for", "data set");
    CHECK_ERROR(nn_load_csv_for("a", net, &its), NN_ERROR_EMPTY, "does not know", "");
    nn_net_destroy(net);
    desc.ignore = "caf\xe9"; /* Latin-1, which a file cannot hold: the rest is saved */
    net = opened_after("t\nage;colour;size;caf\xe9;who\n1;red;s;1;cat\n2;blue;m;1;dog\n", &desc, 0);
    CHECK_ERROR(load_text("x", NULL, net, &its), NN_ERROR_EMPTY, "does not know", "");
    CHECK_STR(nn_class_name(net, 1), "dog");
    nn_net_destroy(net);
    char *dot = strdup_of(people);
    strchr(dot, ',')[0] = '.';
    desc = people_desc();
    net = opened_after(dot, &desc, 0);
    CHECK_ERROR(nn_load_csv_for(NULL, net, &its), NN_ERROR_BAD_ARGUMENT, "path", "");
    CHECK_ERROR(nn_load_csv_for("no/such", net, &its), NN_ERROR_CANNOT_OPEN, "no/such", "");
    CHECK_OK(nn_save_memory(net, NULL, &bytes, &size));
    CHECK_OK(load_text(dot, NULL, net, &its));
    nn_dataset_free(&its);
    for (size_t i = 0; i < COUNT(damage); i++) {
        unsigned char *copy = (unsigned char *)malloc(size);
        char from[100], to[100];
        size_t at = 0, n = 0, m = 0;
        test_current = damage[i].from;
        memcpy(copy, bytes, size);
        for (const char *p = damage[i].from; *p; p++) { /* one string more around it */
            if (*p == '\\') from[n++] = '\\', from[n++] = '\\';
            from[n++] = *p;
        }
        for (const char *p = damage[i].to; *p; p++) {
            if (*p == '\\') to[m++] = '\\', to[m++] = '\\';
            to[m++] = *p;
        }
        while (m < n) to[m++] = ' ';
        while (at + n < size && memcmp(copy + at, from, n) != 0) at++;
        CHECK(at + n < size && m == n);
        memcpy(copy + at, to, n);
        nn_net *damaged = nn_open_memory(copy, size, NULL);
        CHECK(damaged != NULL);
        if (damaged) CHECK(load_text(dot, NULL, damaged, &its) != NN_OK);
        if (damaged && FAILS(strstr(nn_last_error(), damage[i].message)))
            printf("%s, expected %s\n", nn_last_error(), damage[i].message);
        nn_net_destroy(damaged);
        free(copy);
    }
    test_current = "";
    for (long left = 0;; left++) { /* every allocation fails once */
        memory_left = left;
        const nn_status status = load_text(dot, NULL, net, &its);
        memory_left = -1;
        nn_dataset_free(&its);
        if (status == NN_OK) break;
        CHECK(status == NN_ERROR_OUT_OF_MEMORY);
    }
    nn_free(bytes);
    nn_net_destroy(net);
    free(dot);
}

/* A training that finds no memory for how its file was read says so: the network knows, or fails. */
static void test_csv_for_out_of_memory(void)
{
    static const char *const text = "a,hue,kind\n1,red,u\n2,blue,v\n3,red,u\n4,blue,v\n";
    nn_dataset data, its;
    nn_csv_desc desc;
    nn_train_desc train;
    memset(&desc, 0, sizeof desc);
    memset(&train, 0, sizeof train);
    desc.labels = "kind", desc.one_hot = "hue";
    train.epochs = 1, train.batch_size = 2, train.optimizer = nn_sgd(0.01, 0);
    CHECK_OK(load_text(text, &desc, NULL, &data));
    nn_status status = NN_ERROR_OUT_OF_MEMORY;
    for (long left = 0; left < 2000 && status != NN_OK; left++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_input_like(net, &data), 2));
        memory_left = left, memory_fails_once = 1;
        status = nn_train(loss, &data, &train, NULL);
        memory_left = -1, memory_fails_once = 0;
        CHECK(status == NN_OK || status == NN_ERROR_OUT_OF_MEMORY);
        if (status == NN_OK) CHECK_OK(load_text(text, NULL, net, &its));
        if (status == NN_OK) nn_dataset_free(&its);
        nn_net_destroy(net);
    }
    CHECK_OK(status);
    nn_dataset_free(&data);
}

#ifdef HAS_POSIX
static int sleep_a_while(void *user, nn_net *net, const nn_check *check)
{
    struct timeval tenth;
    (void)user, (void)net, (void)check;
    tenth.tv_sec = 0, tenth.tv_usec = 100000;
    select(0, NULL, NULL, NULL, &tenth);
    return 0;
}

/* Seconds are those of a clock on the wall, which goes on while the process sleeps: here, where
   -std=c99 hides the usual clocks. */
static void test_seconds(void)
{
    static const run r = {"", NN_OPTIMIZER_SGD, NN_SCHEDULE_CONSTANT, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0.1};
    nn_dataset all, train, validation;
    nn_history h;
    make_split(&all, &train, &validation);
    nn_train_desc d = desc_of(&r, &validation);
    nn_net *net = run_net(1);
    memset(&h, 0, sizeof h);
    d.epochs = 2, d.on_check = sleep_a_while;
    CHECK_OK(nn_train(loss_of(net), &train, &d, &h));
    CHECK_INT(h.check_count, 2);
    CHECK(h.seconds >= 0.2 && h.checks[1].seconds >= 0.1 && h.checks[1].seconds < h.seconds);
    CHECK(h.checks[0].seconds >= 0 && h.checks[0].seconds < h.checks[1].seconds - 0.09);
    nn_history_free(&h);
    nn_net_destroy(net);
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    nn_dataset_free(&all);
}
#endif

int main(int argc, char **argv)
{
    is_full = argc > 1 && strcmp(argv[1], "all") == 0;
    RUN(test_every_operation);
    RUN(test_every_record_is_listed);
    RUN(test_losses_compute_the_same);
    RUN(test_custom);
#ifdef HAS_POSIX
    RUN(test_mapped);
    RUN(test_mapped_is_read_only);
#endif
    RUN(test_not_in_place);
    RUN(test_memory_in_place);
    RUN(test_bytes_of_a_file);
    RUN(test_paths);
#ifdef HAS_POSIX
    RUN(test_temporary_files);
    RUN(test_saving_at_once);
    RUN(test_permissions);
    RUN(test_pipes);
#endif
    RUN(test_save_desc);
    RUN(test_bad_files);
    RUN(test_bad_lengths);
    RUN(test_large_headers);
    RUN(test_names);
    RUN(test_bad_architectures);
    RUN(test_damage);
    RUN(test_dtypes);
    RUN(test_foreign_file);
    RUN(test_layers_named_like_extras);
    RUN(test_name_map);
    RUN(test_classify);
    RUN(test_probabilities);
    if (set_comma_locale()) RUN(test_locale);
    else SKIP(test_locale, "no locale with a decimal comma");
    setlocale(LC_ALL, "C");
    RUN(test_out_of_memory);
    RUN(test_out_of_memory_elsewhere);
    RUN(test_training_state);
    RUN(test_nothing_by_halves);
    RUN(test_resume);
    RUN(test_csv_for);
    RUN(test_csv_for_numbers);
    RUN(test_csv_for_unknown);
    RUN(test_csv_for_out_of_memory);
#ifdef HAS_POSIX
    RUN(test_seconds);
#endif
    RUN(test_resume_changes);
    RUN(test_resume_changes_refused);
    RUN(test_saved_in_callbacks);
    RUN(test_resume_refused);
    RUN(test_more_of_a_run);
    return test_done("test_save");
}
