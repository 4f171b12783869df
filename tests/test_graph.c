/* Networks: building, errors, feeding, running, gradients, memory. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Counts what is allocated, and fails at one call or from one call on. */
typedef struct heap {
    size_t calls, live, fail_at; /* fail_at counts calls from 1; 0: never */
    size_t bytes;                /* in what is live */
    int for_good;
} heap;

enum { HEAD = 16 }; /* in front of a block, for its size */

static heap plain_heap; /* behind NN_MALLOC */

static void *heap_alloc(void *user, size_t bytes)
{
    heap *h = (heap *)user;
    h->calls++;
    if (h->fail_at && (h->for_good ? h->calls >= h->fail_at : h->calls == h->fail_at)) return NULL;
    char *block = bytes <= (size_t)-1 / 2 ? (char *)malloc(HEAD + bytes) : NULL;
    if (!block) return NULL;
    memcpy(block, &bytes, sizeof bytes);
    h->live++;
    h->bytes += bytes;
    return block + HEAD;
}

static void heap_release(void *user, void *block)
{
    heap *h = (heap *)user;
    size_t bytes;
    if (!block) return;
    memcpy(&bytes, (char *)block - HEAD, sizeof bytes);
    h->live--;
    h->bytes -= bytes;
    free((char *)block - HEAD);
}

static void *heap_realloc(void *user, void *block, size_t bytes)
{
    size_t before = 0;
    void *grown = heap_alloc(user, bytes);
    if (!grown || !block) return grown;
    memcpy(&before, (char *)block - HEAD, sizeof before);
    memcpy(grown, block, before < bytes ? before : bytes);
    heap_release(user, block);
    return grown;
}

#define NN_MALLOC(bytes) heap_alloc(&plain_heap, bytes)
#define NN_REALLOC(block, bytes) heap_realloc(&plain_heap, block, bytes)
#define NN_FREE(block) heap_release(&plain_heap, block)
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

static const nn_init zero_init = {NN_INIT_ZERO, 0, 0, 0, 0};

static void fill(nn_real *x, size_t n, uint64_t seed)
{
    nn_rng rng = nn_rng_seed(seed);
    for (size_t i = 0; i < n; i++) x[i] = (nn_real)(2 * nn_rng_uniform(&rng) - 1);
}

static nn_net *seeded_net(uint64_t seed)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = seed;
    return nn_net_create(&desc);
}

static nn_net *net_on_heap(heap *h)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = 3;
    desc.allocator.alloc = heap_alloc;
    desc.allocator.release = heap_release;
    desc.allocator.user = h;
    return nn_net_create(&desc);
}

static nn_tensor *parameter(nn_net *net, size_t rows, size_t cols, const char *name)
{
    size_t shape[2];
    shape[0] = rows;
    shape[1] = cols;
    return nn_parameter(net, 2, shape, zero_init, name);
}

/* ------------------------------------------------------------------------- creation and look-up */

static void test_create(void)
{
    nn_net_desc desc;
    heap h;
    memset(&desc, 0, sizeof desc);
    memset(&h, 0, sizeof h);
    nn_net *net = nn_net_create(NULL);
    CHECK(net != NULL);
    CHECK_OK(nn_net_status(net));
    CHECK_INT(nn_net_tensor_count(net), 0);
    CHECK_INT(nn_net_parameter_count(net), 0);
    CHECK(nn_net_tensor(net, 0) == NULL);
    CHECK(nn_net_rng(net) != NULL);
    nn_net_destroy(net);
    nn_net_destroy(NULL);
    desc.allocator.user = &h;
    desc.allocator.alloc = heap_alloc;
    CHECK(nn_net_create(&desc) == NULL);
    CHECK(strstr(nn_last_error(), "alloc") != NULL);
    desc.allocator.alloc = NULL;
    desc.allocator.release = heap_release;
    CHECK(nn_net_create(&desc) == NULL);
    CHECK_INT(h.calls, 0);
}

static void test_null_network(void)
{
    CHECK_ERROR(nn_net_status(NULL), NN_ERROR_BAD_ARGUMENT, "", "");
    CHECK_INT(nn_net_tensor_count(NULL), 0);
    CHECK_INT(nn_net_parameter_count(NULL), 0);
    CHECK(nn_net_tensor(NULL, 0) == NULL);
    CHECK(nn_net_find(NULL, "x") == NULL);
    CHECK(nn_net_rng(NULL) == NULL);
    nn_net_set_training(NULL, 0);
    CHECK_ERROR(nn_net_summary(NULL, stdout), NN_ERROR_BAD_ARGUMENT, "nn_net_summary", "");
    CHECK(nn_input(NULL, 3) == NULL);
    CHECK(nn_parameter(NULL, 1, NULL, zero_init, "w") == NULL);
    CHECK(nn_name(NULL, "x") == NULL);
    CHECK(nn_weight(NULL) == NULL && nn_bias(NULL) == NULL);
}

static void test_parameter_count(void)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = 10;
    desc.no_bias = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *h = nn_sigmoid(nn_dense(nn_input(net, 784), 64)), *y = nn_dense_with(h, &desc);
    CHECK_INT(nn_net_parameter_count(net), 785 * 64 + 64 * 10);
    CHECK_INT(nn_net_parameter_count(net), 50880);
    CHECK(nn_bias(y) == NULL);
    CHECK_INT(nn_weight(y)->shape[0], 64);
    CHECK_INT(nn_weight(y)->shape[1], 10);
    CHECK_STR(nn_weight(y)->op->name, "parameter");
    nn_net_destroy(net);
}

static void test_tensors_in_order(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 4), *w = parameter(net, 4, 3, "w"), *y = nn_matmul(x, w);
    size_t n = nn_net_tensor_count(net);
    CHECK_INT(n, 3);
    CHECK(nn_net_tensor(net, 0) == x && nn_net_tensor(net, 1) == w && nn_net_tensor(net, 2) == y);
    CHECK(nn_net_tensor(net, 3) == NULL);
    for (size_t id = 0; id < n; id++) {
        const nn_tensor *t = nn_net_tensor(net, id);
        CHECK_INT(t->id, id);
        CHECK(t->net == net);
        for (size_t i = 0; i < t->src_count; i++) CHECK(t->src[i]->id < id);
    }
    CHECK_STR(y->op->name, "matmul");
    CHECK_INT(y->src_count, 2);
    CHECK(y->src[0] == x && y->src[1] == w);
    CHECK(x->batched && y->batched && !w->batched);
    CHECK_INT(x->rank, 2);
    CHECK_INT(w->size, 12);
    nn_net_destroy(net);
}

static void test_names(void)
{
    char text[] = "hidden";
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 4), *w = parameter(net, 4, 3, "w"), *y = nn_matmul(x, w);
    CHECK_STR(y->name, "");
    CHECK_STR(w->name, "w");
    CHECK(nn_net_find(net, "w") == w);
    CHECK(nn_net_find(net, "hidden") == NULL);
    CHECK(nn_name(y, text) == y);
    text[0] = 'H'; /* the name was copied */
    CHECK_STR(y->name, "hidden");
    CHECK(nn_net_find(net, "hidden") == y);
    CHECK(nn_net_find(net, "") == NULL);
    CHECK(nn_net_find(net, NULL) == NULL);
    nn_name(y, "logits");
    CHECK(nn_net_find(net, "hidden") == NULL);
    CHECK(nn_net_find(net, "logits") == y);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

static void test_dense_names(void)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = 3;
    desc.name = "first";
    nn_net *net = nn_net_create(NULL);
    nn_tensor *a = nn_dense_with(nn_input(net, 2), &desc), *b = nn_dense(a, 3), *c = nn_dense(b, 3);
    CHECK(nn_net_find(net, "first.weight") == nn_weight(a));
    CHECK(nn_net_find(net, "first.bias") == nn_bias(a));
    CHECK(strncmp(nn_weight(b)->name, "dense", 5) == 0);
    CHECK(strstr(nn_weight(b)->name, ".weight") != NULL);
    CHECK(nn_net_find(net, nn_weight(b)->name) == nn_weight(b));
    CHECK(nn_net_find(net, nn_weight(c)->name) == nn_weight(c));
    CHECK(nn_net_find(net, nn_bias(c)->name) == nn_bias(c));
    CHECK(nn_bias(a)->no_decay && !nn_weight(a)->no_decay);
    CHECK_NEAR(nn_weight(a)->learning_rate_scale, 1, 0);
    nn_net_destroy(net);
}

/* However long a layer's name is, its weight and its bias stay apart. */
static void test_long_names(void)
{
    char name[301], full[310];
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    memset(name, 'n', 300);
    name[300] = 0;
    desc.units = 3;
    desc.name = name;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *y = nn_dense_with(nn_input(net, 2), &desc);
    snprintf(full, sizeof full, "%s.bias", name);
    CHECK(nn_bias(y) && nn_net_find(net, full) == nn_bias(y));
    CHECK_STR(nn_bias(y)->name, full);
    nn_net_destroy(net);
}

static nn_tensor *dense_named(nn_tensor *x, size_t units, const char *name)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = units;
    desc.name = name;
    return nn_dense_with(x, &desc);
}

/* Whoever gives a name away twice is told which, and by the function that was called. */
static void test_duplicate_names(void)
{
    static const size_t shape[] = {4, 3};
    for (int kind = 0; kind < 5; kind++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input(net, 4), *w = parameter(net, 4, 3, "w");
        nn_tensor *y = dense_named(x, 3, "first"), *z = NULL;
        CHECK_OK(nn_net_status(net));
        CHECK(y != NULL && nn_net_find(net, "first") == y);
        if (kind == 0) z = parameter(net, 4, 3, "w");
        if (kind == 1) z = nn_buffer(net, 2, shape, zero_init, "w");
        if (kind == 2) z = dense_named(x, 3, "first");
        if (kind == 3) z = nn_name(x, "first.bias");
        if (kind == 4) z = dense_named(x, 3, "w"); /* its parameters are w.weight and w.bias */
        CHECK(z == NULL);
        CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_ARGUMENT, kind == 0   ? "nn_parameter: "
                                                               : kind == 1 ? "nn_buffer: "
                                                               : kind == 3 ? "nn_name: "
                                                                           : "nn_dense: ",
                    kind == 2 ? "'first.weight'" : kind == 3 ? "'first.bias'" : "'w'");
        CHECK_STR(x->name, "");
        CHECK(nn_net_find(net, "w") == w);
        nn_net_destroy(net);
    }
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_name(nn_input(net, 4), "x");
    CHECK(nn_name(x, "x") == x); /* its own */
    CHECK(nn_name(nn_tanh(x), "") != NULL);
    CHECK(nn_name(nn_tanh(x), NULL) != NULL);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

/* A layer without a name takes the first number that is free for both of its parameters. */
static void test_default_names(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 3);
    nn_name(x, "dense0.weight");
    parameter(net, 3, 3, "dense2.bias");
    nn_tensor *y = x;
    for (size_t i = 0; i < 4; i++) {
        char weight[32], bias[32];
        static const int number[] = {1, 3, 4, 5};
        y = nn_dense(y, 3);
        CHECK_OK(nn_net_status(net));
        if (!y) break;
        snprintf(weight, sizeof weight, "dense%d.weight", number[i]);
        snprintf(bias, sizeof bias, "dense%d.bias", number[i]);
        CHECK_STR(nn_weight(y)->name, weight);
        CHECK_STR(nn_bias(y)->name, bias);
    }
    nn_net_destroy(net);
}

static void test_parameters_and_buffers(void)
{
    static const size_t three[] = {3};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *w = parameter(net, 2, 3, "w");
    nn_tensor *mean = nn_buffer(net, 1, three, nn_init_constant(4), "mean");
    nn_tensor *v = nn_parameter(net, 0, NULL, nn_init_constant(2), "v");
    nn_tensor *count = nn_buffer(net, 0, NULL, nn_init_constant(1), NULL);
    CHECK(nn_net_parameter(net, 0) == w && nn_net_parameter(net, 1) == v);
    CHECK(nn_net_parameter(net, 2) == NULL);
    CHECK(nn_net_buffer(net, 0) == mean && nn_net_buffer(net, 1) == count);
    CHECK(nn_net_buffer(net, 2) == NULL);
    CHECK(nn_net_parameter(NULL, 0) == NULL && nn_net_buffer(NULL, 0) == NULL);
    CHECK_INT(nn_net_parameter_count(net), 7);
    CHECK(nn_net_find(net, "mean") == mean);
    CHECK_STR(mean->op->name, "buffer");
    CHECK(!mean->requires_grad && w->requires_grad);
    CHECK(mean->data[0] == 4 && mean->data[2] == 4 && count->data[0] == 1);
    /* A buffer takes part in a run, but no gradient reaches it and no step moves it. */
    nn_optimizer_desc sgd = nn_sgd(1, 0);
    nn_tensor *loss = nn_sum(nn_mul(nn_add(w, mean), v));
    CHECK_OK(nn_set_optimizer(net, &sgd));
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, 6 * 4 * 2, 0);
    CHECK_OK(nn_backward(loss));
    CHECK(mean->grad == NULL);
    CHECK_NEAR(v->grad[0], 24, 0);
    CHECK_OK(nn_step(net));
    CHECK_NEAR(w->data[5], -2, 0);
    CHECK_NEAR(v->data[0], 2 - 24, 0);
    CHECK_NEAR(mean->data[1], 4, 0);
    nn_net_destroy(net);
}

static void test_values(void)
{
    static const nn_real values[] = {1, 2, 3, 4, 5, 6, 7};
    static const size_t three[] = {3};
    nn_real got[7] = {0};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *w = parameter(net, 2, 3, "w"), *y = nn_matmul(x, w);
    nn_tensor *labels = nn_input_labels(net, 0, NULL, 3), *total = nn_sum(w);
    nn_tensor *b = nn_buffer(net, 1, three, zero_init, "b");
    CHECK_OK(nn_set_values(w, values, 6));
    CHECK_OK(nn_set_values(b, values, 3));
    CHECK(memcmp(w->data, values, 6 * sizeof *values) == 0);
    CHECK(memcmp(b->data, values, 3 * sizeof *values) == 0);
    CHECK_ERROR(nn_set_values(w, values, 5), NN_ERROR_BAD_SHAPE, "nn_set_values: 5 values", "'w'");
    CHECK_ERROR(nn_set_values(w, values, 7), NN_ERROR_BAD_SHAPE, "nn_set_values: 7 values", "6");
    CHECK_ERROR(nn_set_values(w, values, 0), NN_ERROR_BAD_SHAPE, "nn_set_values: 0 values", "6");
    CHECK_ERROR(nn_set_values(w, NULL, 6), NN_ERROR_BAD_ARGUMENT, "nn_set_values", "NULL");
    CHECK_ERROR(nn_set_values(NULL, values, 6), NN_ERROR_BAD_ARGUMENT, "nn_set_values", "NULL");
    CHECK_ERROR(nn_set_values(x, values, 2), NN_ERROR_BAD_ARGUMENT, "nn_set_values", "'input'");
    CHECK_ERROR(nn_set_values(y, values, 3), NN_ERROR_BAD_ARGUMENT, "nn_set_values", "'matmul'");
    CHECK_OK(nn_get_values(w, got, 6));
    CHECK(memcmp(got, values, 6 * sizeof *values) == 0);
    CHECK_ERROR(nn_get_values(w, got, 7), NN_ERROR_BAD_SHAPE, "nn_get_values: 7 values", "6");
    CHECK_ERROR(nn_get_values(w, NULL, 6), NN_ERROR_BAD_ARGUMENT, "nn_get_values", "NULL");
    CHECK_ERROR(nn_get_values(NULL, got, 6), NN_ERROR_BAD_ARGUMENT, "nn_get_values", "NULL");
    /* What has not been fed or computed has no values, also beside something that has. */
    CHECK_ERROR(nn_get_values(x, got, 2), NN_ERROR_EMPTY, "nn_get_values", "no values yet");
    CHECK_ERROR(nn_get_values(labels, got, 1), NN_ERROR_EMPTY, "nn_get_values", "no values");
    CHECK_OK(nn_feed(x, values, 2));
    CHECK_OK(nn_get_values(x, got, 4));
    CHECK_ERROR(nn_get_values(y, got, 6), NN_ERROR_EMPTY, "nn_get_values", "no values yet");
    CHECK_OK(nn_forward(y));
    CHECK_OK(nn_get_values(y, got, 6));
    CHECK_NEAR(got[5], 3 * 3 + 4 * 6, 0);
    CHECK_ERROR(nn_get_values(y, got, 3), NN_ERROR_BAD_SHAPE, "nn_get_values: 3 values", "6");
    CHECK_ERROR(nn_get_values(total, got, 1), NN_ERROR_EMPTY, "nn_get_values", "no values yet");
    CHECK_OK(nn_forward(total));
    CHECK_OK(nn_get_values(total, got, 1));
    CHECK_NEAR(got[0], 21, 0);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

static void test_print(void)
{
    char text[4096];
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_name(nn_input(net, 784), "pixels");
    nn_softmax_cross_entropy(nn_name(nn_dense(nn_tanh(nn_dense(x, 64)), 10), "logits"));
    FILE *f = fopen(TEST_TMP "/print.txt", "w");
    CHECK(f != NULL);
    if (f) {
        CHECK_OK(nn_net_summary(net, f));
        fclose(f);
    }
    read_file(TEST_TMP "/print.txt", text, sizeof text);
    const char *const parts[] = {
        "pixels", "logits", "dense", "activation", "784", "64", "650", "softmax_cross_entropy",
        "50240", "[batch 64]", "dense0", "50176 ", "50890 parameters in all",
        " 50816 multiply-adds forward and ",
        sizeof(nn_real) == 4 ? " and 3744 bytes, in training 556 more for gradients"
                             : " and 7484 bytes, in training 1112 more for gradients"};
    for (size_t i = 0; i < COUNT(parts); i++)
        if (FAILS(strstr(text, parts[i]) != NULL)) printf("no \"%s\" in:\n%s", parts[i], text);
    f = fopen(TEST_TMP "/print.txt", "r"); /* a stream for reading takes nothing */
    if (f) CHECK_ERROR(nn_net_summary(net, f), NN_ERROR_CANNOT_WRITE, "", "");
    if (f) fclose(f);
    f = fopen("/dev/full", "w");
    if (f) CHECK_ERROR(nn_net_summary(net, f), NN_ERROR_CANNOT_WRITE, "", "");
    if (f) fclose(f);
    CHECK_ERROR(nn_net_summary(net, NULL), NN_ERROR_BAD_ARGUMENT, "nn_net_summary", "");
    nn_net_destroy(net);
}

/* --------------------------------------------------------------------------------- first errors */

static void test_first_error_stays(void)
{
    static const nn_real data[] = {1, 2, 3, 4};
    nn_optimizer_desc sgd = nn_sgd(0.1, 0);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 4), *w = parameter(net, 23, 5, "w");
    nn_tensor *loss = nn_mse(nn_relu(nn_dense(nn_tanh(nn_matmul(x, w)), 7)));
    CHECK(loss == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_SHAPE, "matmul", "23");
    CHECK(nn_dropout(x, 2) == NULL);
    CHECK(nn_input(net, 0) == NULL);
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_SHAPE, "nn_forward: ", "nn_matmul");
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_SHAPE, "matmul", "23");
    /* Every later call on the network returns the error. */
    CHECK(nn_relu(x) == NULL);
    CHECK_ERROR(nn_feed(x, data, 1), NN_ERROR_BAD_SHAPE, "matmul", "23");
    CHECK_ERROR(nn_forward(x), NN_ERROR_BAD_SHAPE, "matmul", "23");
    CHECK_ERROR(nn_backward(x), NN_ERROR_BAD_SHAPE, "matmul", "23");
    CHECK_ERROR(nn_step(net), NN_ERROR_BAD_SHAPE, "matmul", "23");
    CHECK_ERROR(nn_set_optimizer(net, &sgd), NN_ERROR_BAD_SHAPE, "matmul", "23");
    CHECK_ERROR(nn_gradcheck(x, NULL, NULL), NN_ERROR_BAD_SHAPE, "matmul", "23");
    nn_net_destroy(net);
}

/* A chain that failed hands NULL on, and whoever is handed it says what went wrong first. */
static void test_error_of_a_chain(void)
{
    static const nn_real x[] = {1, 2, 3, 4};
    static const int label[] = {0};
    static const char cause[] = "nn_dense: units is 0";
    nn_real out[4];
    size_t matrix[4];
    nn_dataset data;
    nn_result result;
    nn_train_desc train;
    memset(&train, 0, sizeof train);
    train.epochs = train.batch_size = 1;
    train.optimizer = nn_sgd(0.1, 0);
    CHECK_OK(nn_dataset_from_arrays(x, 1, 4, label, 2, &data));
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, 4);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_relu(nn_dense(in, 0)));
    CHECK(loss == NULL);
    CHECK_ERROR(nn_train(loss, &data, &train, NULL), NN_ERROR_BAD_ARGUMENT, "nn_train: ", cause);
    CHECK_ERROR(nn_evaluate(loss, &data, &result), NN_ERROR_BAD_ARGUMENT, "nn_evaluate: ", cause);
    CHECK_ERROR(nn_predict(loss, &data, out), NN_ERROR_BAD_ARGUMENT, "nn_predict: ", cause);
    CHECK_ERROR(nn_predict_rows(loss, x, 1, out), NN_ERROR_BAD_ARGUMENT, "nn_predict_rows: ",
                cause);
    CHECK_ERROR(nn_confusion_matrix(loss, &data, matrix), NN_ERROR_BAD_ARGUMENT,
                "nn_confusion_matrix: ", cause);
    CHECK_ERROR(nn_forward(loss), NN_ERROR_BAD_ARGUMENT, "nn_forward: ", cause);
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "nn_backward: ", cause);
    CHECK_ERROR(nn_feed(loss, x, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed: ", cause);
    CHECK_ERROR(nn_feed_labels(loss, label, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed_labels: ", cause);
    CHECK_ERROR(nn_feed_targets(loss, x, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed_targets: ", cause);
    CHECK_ERROR(nn_feed_weights(loss, x, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights: ", cause);
    CHECK_ERROR(nn_set_values(loss, x, 1), NN_ERROR_BAD_ARGUMENT, "nn_set_values: ", cause);
    CHECK_ERROR(nn_get_values(loss, out, 1), NN_ERROR_BAD_ARGUMENT, "nn_get_values: ", cause);
    CHECK_ERROR(nn_initialize(loss, zero_init), NN_ERROR_BAD_ARGUMENT, "nn_initialize: ", cause);
    CHECK_ERROR(nn_gradcheck(loss, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_gradcheck: ", cause);
    CHECK(nn_name(loss, "loss") == NULL);
    CHECK(strstr(nn_last_error(), "nn_name: ") && strstr(nn_last_error(), cause));
    CHECK(nn_add(loss, loss) == NULL);
    CHECK(strstr(nn_last_error(), "nn_add: ") && strstr(nn_last_error(), cause));
    CHECK(nn_add(loss, in) == NULL);
    CHECK(strstr(nn_last_error(), cause) != NULL);
    /* What the network itself is asked for has the message without a caller in front. */
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_ARGUMENT, cause, "");
    CHECK_STR(nn_last_error(), "nn_dense: units is 0, expected at least 1");
    CHECK_ERROR(nn_forward(in), NN_ERROR_BAD_ARGUMENT, cause, "");
    CHECK_ERROR(nn_net_summary(net, stdout), NN_ERROR_BAD_ARGUMENT, cause, "");
    CHECK(nn_name(in, "in") == NULL);
    CHECK(strstr(nn_last_error(), cause) != NULL);
    nn_net_destroy(net);
    nn_dataset_free(&data);
}

/* What is done wrong afterwards, with the same network or in a chain that has come to nothing, does
   not hide the first error. */
static void test_later_errors_hide_nothing(void)
{
    static const size_t shape[] = {4};
    static const char cause[] = "nn_dense: units is 0";
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, 4), *none = nn_dense(in, 0);
    nn_tensor *later[8];
    later[0] = nn_input_shape(net, -1, shape);
    later[1] = nn_parameter(net, 1, NULL, zero_init, "w");
    later[2] = nn_dropout(in, 2);
    later[3] = nn_scale(in, NAN);
    later[4] = nn_huber(in, -1);
    later[5] = nn_pow(in, INFINITY);
    later[6] = nn_input_labels(net, 0, NULL, 0);
    later[7] = nn_add(none, none);
    for (size_t i = 0; i < COUNT(later); i++) CHECK(later[i] == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_ARGUMENT, cause, "");
    CHECK_ERROR(nn_forward(later[3]), NN_ERROR_BAD_ARGUMENT, "nn_forward: ", cause);
    nn_net_destroy(net);
}

/* A chain that begins without a network says why there is none. */
static void test_error_of_a_network_that_is_none(void)
{
    heap h;
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    memset(&h, 0, sizeof h);
    desc.allocator.user = &h;
    desc.allocator.alloc = heap_alloc;
    for (int out_of_memory = 0; out_of_memory < 2; out_of_memory++) {
        const nn_status status = out_of_memory ? NN_ERROR_OUT_OF_MEMORY : NN_ERROR_BAD_ARGUMENT;
        const char *cause = out_of_memory ? "out of memory" : "nn_net_create: ";
        if (out_of_memory) desc.allocator.release = heap_release, h.fail_at = 1;
        nn_net *net = nn_net_create(&desc);
        nn_tensor *loss = nn_mse(nn_dense(nn_input(net, 4), 2));
        CHECK(net == NULL && loss == NULL);
        CHECK_ERROR(nn_train(loss, NULL, NULL, NULL), status, "nn_train: ", cause);
        CHECK_ERROR(nn_net_status(net), status, "nn_net_status: ", cause);
        CHECK_ERROR(nn_net_summary(net, stdout), status, "nn_net_summary: ", cause);
        CHECK(nn_parameter(net, 0, NULL, zero_init, "p") == NULL);
        CHECK(strstr(nn_last_error(), "nn_parameter: ") && strstr(nn_last_error(), cause));
        CHECK_ERROR(nn_step(net), status, "nn_step: ", cause);
    }
    CHECK_INT(h.live, 0);
}

/* An error belongs to its network: with a new one, or the end of the old, it is forgotten. */
static void test_errors_are_forgotten(void)
{
    nn_net *net = nn_net_create(NULL), *next;
    CHECK(nn_dense(nn_input(net, 4), 0) == NULL);
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "nn_forward: ", "units");
    nn_net_destroy(net);
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "nn_forward: the tensor is NULL", "");
    CHECK_STR(nn_last_error(), "nn_forward: the tensor is NULL");
    net = nn_net_create(NULL);
    CHECK(nn_dense(nn_input(net, 4), 0) == NULL);
    next = nn_net_create(NULL);
    CHECK_ERROR(nn_train(NULL, NULL, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_train: ", "");
    CHECK(strstr(nn_last_error(), "units") == NULL);
    CHECK(nn_relu(nn_dense(nn_net_tensor(net, 0), 3)) == NULL); /* the old one's error again */
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "nn_forward: ", "units");
    CHECK_OK(nn_net_status(next));
    nn_net_destroy(net);
    nn_net_destroy(next);
}

/* Each network keeps its own. */
static void test_errors_of_two_networks(void)
{
    nn_net *a = nn_net_create(NULL), *b = nn_net_create(NULL), *c = nn_net_create(NULL);
    CHECK(nn_dropout(nn_input(a, 4), -1) == NULL);
    CHECK(nn_dense(nn_input(b, 4), 0) == NULL);
    CHECK_ERROR(nn_net_status(a), NN_ERROR_BAD_ARGUMENT, "dropout", "");
    CHECK_ERROR(nn_net_status(b), NN_ERROR_BAD_ARGUMENT, "dense", "");
    CHECK_ERROR(nn_net_status(a), NN_ERROR_BAD_ARGUMENT, "dropout", "");
    CHECK_OK(nn_net_status(c));
    nn_net_destroy(a);
    nn_net_destroy(b);
    nn_net_destroy(c);
}

static void test_null_tensors(void)
{
    nn_tensor *none[2] = {NULL, NULL};
    size_t shape[] = {2};
    CHECK(!nn_dense(NULL, 3) && !nn_dense_with(NULL, NULL));
    CHECK(!nn_matmul(NULL, NULL) && !nn_matmul_with(NULL, 0, NULL, 0));
    CHECK(!nn_add(NULL, NULL) && !nn_sub(NULL, NULL) && !nn_mul(NULL, NULL));
    CHECK(!nn_scale(NULL, 1) && !nn_activate(NULL, NN_ACTIVATION_TANH, 0) && !nn_sigmoid(NULL));
    CHECK(!nn_tanh(NULL) && !nn_scaled_tanh(NULL) && !nn_relu(NULL) && !nn_leaky_relu(NULL, 0));
    CHECK(!nn_elu(NULL, 0) && !nn_gelu(NULL) && !nn_silu(NULL) && !nn_softplus(NULL));
    CHECK(!nn_softmax(NULL) && !nn_log_softmax(NULL) && !nn_flatten(NULL));
    CHECK(!nn_reshape(NULL, 1, shape) && !nn_slice(NULL, 0, 0, 1) && !nn_concat(2, none, 0));
    CHECK(!nn_sum(NULL) && !nn_mean(NULL) && !nn_dropout(NULL, 0.5));
    CHECK(!nn_softmax_cross_entropy(NULL) && !nn_sigmoid_cross_entropy(NULL) && !nn_mse(NULL));
    CHECK(!nn_l1_loss(NULL) && !nn_huber(NULL, 1) && !nn_hinge(NULL) && !nn_kl_divergence(NULL));
    CHECK(!nn_loss(NULL, NN_LOSS_MSE, NULL) && !nn_weight_penalty(NULL, 0, 0));
    CHECK(!nn_custom(2, none, 0, 0, NULL, NULL, NULL));
}

static void test_null_runs(void)
{
    static const int label = 0;
    static const nn_real value = 0;
    CHECK_ERROR(nn_feed(NULL, &value, 1), NN_ERROR_BAD_ARGUMENT, "feed", "");
    CHECK_ERROR(nn_feed_labels(NULL, &label, 1), NN_ERROR_BAD_ARGUMENT, "feed_labels", "");
    CHECK_ERROR(nn_feed_targets(NULL, &value, 1), NN_ERROR_BAD_ARGUMENT, "feed_targets", "");
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "forward", "");
    CHECK_ERROR(nn_backward(NULL), NN_ERROR_BAD_ARGUMENT, "backward", "");
    CHECK_ERROR(nn_backward_add(NULL), NN_ERROR_BAD_ARGUMENT, "backward", "");
    CHECK_ERROR(nn_initialize(NULL, zero_init), NN_ERROR_BAD_ARGUMENT, "initialize", "");
    CHECK_ERROR(nn_step(NULL), NN_ERROR_BAD_ARGUMENT, "step", "");
}

/* ------------------------------------------------------------------------------ wrong arguments */

/* What the rejected calls below work on. */
static struct {
    nn_net *net;
    nn_tensor *x, *image;            /* inputs of 17 values and of 3 by 5 */
    nn_tensor *w, *v, *cube, *total; /* [23,7], [7], [2,3,4] and a scalar */
} g;

static void set_up(void)
{
    static const size_t image[] = {3, 5}, vector[] = {7}, cube[] = {2, 3, 4};
    g.net = nn_net_create(NULL);
    g.x = nn_input(g.net, 17);
    g.image = nn_input_shape(g.net, 2, image);
    g.w = parameter(g.net, 23, 7, "w");
    g.v = nn_parameter(g.net, 1, vector, zero_init, "v");
    g.cube = nn_parameter(g.net, 3, cube, zero_init, "cube");
    g.total = nn_sum(g.v);
    CHECK_OK(nn_net_status(g.net));
}

/* The call makes no tensor, and the network has the error. */
#define REJECT(call, status, part1, part2)                                                         \
    do {                                                                                           \
        set_up();                                                                                  \
        CHECK((call) == NULL);                                                                     \
        CHECK_ERROR(nn_net_status(g.net), status, part1, part2);                                   \
        nn_net_destroy(g.net);                                                                     \
    } while (0)

/* The same for a shape: the message names the operation and holds a number of either shape. */
#define REJECT_SHAPE(call, op, a, b)                                                               \
    do {                                                                                           \
        set_up();                                                                                  \
        CHECK((call) == NULL);                                                                     \
        CHECK_ERROR(nn_net_status(g.net), NN_ERROR_BAD_SHAPE, op, a);                              \
        CHECK(strstr(nn_last_error(), b) != NULL);                                                 \
        nn_net_destroy(g.net);                                                                     \
    } while (0)

static void test_leaf_arguments(void)
{
    static const size_t good[] = {2, 3}, hole[] = {2, 0}, huge[] = {(size_t)-1 / 4, 8};
    nn_init bad = zero_init;
    REJECT(nn_input(g.net, 0), NN_ERROR_BAD_SHAPE, "input", "");
    REJECT(nn_input_shape(g.net, -1, good), NN_ERROR_BAD_ARGUMENT, "input", "-1");
    REJECT(nn_input_shape(g.net, NN_MAX_RANK, good), NN_ERROR_BAD_ARGUMENT, "input", "8");
    REJECT(nn_input_shape(g.net, 2, NULL), NN_ERROR_BAD_ARGUMENT, "input", "");
    REJECT(nn_input_shape(g.net, 2, hole), NN_ERROR_BAD_SHAPE, "input", "");
    REJECT(nn_input_shape(g.net, 2, huge), NN_ERROR_TOO_LARGE, "input", "");
    REJECT(nn_parameter(g.net, -1, good, bad, "p"), NN_ERROR_BAD_ARGUMENT, "parameter", "-1");
    REJECT(nn_parameter(g.net, NN_MAX_RANK + 1, good, bad, "p"), NN_ERROR_BAD_ARGUMENT, "parameter",
           "9");
    REJECT(nn_parameter(g.net, 2, NULL, bad, "p"), NN_ERROR_BAD_ARGUMENT, "parameter", "");
    REJECT(nn_parameter(g.net, 2, hole, bad, "p"), NN_ERROR_BAD_SHAPE, "parameter", "");
    REJECT(nn_parameter(g.net, 2, huge, bad, "p"), NN_ERROR_TOO_LARGE, "parameter", "");
    bad.kind = NN_INIT_COUNT;
    REJECT(nn_parameter(g.net, 2, good, bad, "p"), NN_ERROR_BAD_ARGUMENT, "init", "");
    bad.kind = (nn_init_kind)-1;
    REJECT(nn_parameter(g.net, 2, good, bad, "p"), NN_ERROR_BAD_ARGUMENT, "init", "");
}

static void test_dense_arguments(void)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    REJECT(nn_dense(g.x, 0), NN_ERROR_BAD_ARGUMENT, "dense", "units");
    REJECT(nn_dense_with(g.x, NULL), NN_ERROR_BAD_ARGUMENT, "dense", "");
    REJECT(nn_dense_with(g.x, &desc), NN_ERROR_BAD_ARGUMENT, "dense", "units");
    REJECT(nn_dense(g.x, (size_t)-1 / 8), NN_ERROR_TOO_LARGE, "", "");
    desc.units = 3;
    desc.activation = NN_ACTIVATION_COUNT;
    REJECT(nn_dense_with(g.x, &desc), NN_ERROR_BAD_ARGUMENT, "dense", "activation");
    desc.activation = NN_ACTIVATION_IDENTITY;
    desc.weight.kind = NN_INIT_COUNT;
    REJECT(nn_dense_with(g.x, &desc), NN_ERROR_BAD_ARGUMENT, "", "init");
}

static void test_matmul_arguments(void)
{
    REJECT_SHAPE(nn_matmul(g.x, g.w), "matmul", "17", "23");
    REJECT_SHAPE(nn_matmul_with(g.w, 0, g.w, 0), "matmul", "23", "7");
    REJECT_SHAPE(nn_matmul_with(g.w, 1, g.w, 1), "matmul", "23", "7");
    REJECT_SHAPE(nn_matmul(g.image, g.w), "matmul", "5", "23");
    REJECT_SHAPE(nn_matmul(g.w, g.v), "matmul", "23", "7");
    REJECT_SHAPE(nn_matmul(g.cube, g.w), "matmul", "4", "23");
    /* A batch may only be the rows of the left operand. */
    REJECT(nn_matmul_with(g.x, 1, g.w, 0), NN_ERROR_BAD_SHAPE, "matmul", "");
    REJECT(nn_matmul(g.w, g.x), NN_ERROR_BAD_SHAPE, "matmul", "");
    REJECT(nn_matmul_with(g.x, 0, g.x, 1), NN_ERROR_BAD_SHAPE, "matmul", "");
    REJECT(nn_matmul(g.x, NULL), NN_ERROR_BAD_ARGUMENT, "matmul", "");
}

static void test_elementwise_arguments(void)
{
    static nn_tensor *(*const op[])(nn_tensor *, nn_tensor *) = {nn_add, nn_sub, nn_mul};
    static const char *const name[] = {"add", "sub", "mul"};
    for (size_t i = 0; i < COUNT(op); i++) {
        REJECT_SHAPE(op[i](g.x, g.w), name[i], "17", "23");
        REJECT_SHAPE(op[i](g.w, parameter(g.net, 23, 6, "c")), name[i], "7", "6");
        REJECT_SHAPE(op[i](g.w, parameter(g.net, 2, 7, "c")), name[i], "23", "2");
        REJECT_SHAPE(op[i](g.x, g.image), name[i], "17", "5");
        REJECT_SHAPE(op[i](g.cube, g.v), name[i], "4", "7");
        REJECT(op[i](g.x, NULL), NN_ERROR_BAD_ARGUMENT, name[i], "");
        REJECT(op[i](NULL, g.x), NN_ERROR_BAD_ARGUMENT, name[i], "");
    }
}

/* The batch that happens to be there is no dimension to which others could be fitted. */
static void test_batch_is_no_dimension(void)
{
    static const nn_real data[5 * 17] = {0};
    set_up();
    CHECK_OK(nn_feed(g.x, data, 5));
    CHECK_OK(nn_forward(nn_tanh(g.x)));
    nn_tensor *y = nn_add(g.x, parameter(g.net, 5, 17, "c"));
    CHECK_OK(nn_forward(y)); /* each sample is repeated five times, not one sample for each row */
    CHECK_INT(y->rank, 3);
    CHECK_INT(y->row_size, 5 * 17);
    CHECK_INT(y->size, 5 * 5 * 17);
    nn_net_destroy(g.net);
    set_up();
    CHECK_OK(nn_feed(g.x, data, 5));
    CHECK_OK(nn_forward(nn_tanh(g.x)));
    CHECK(nn_matmul_with(parameter(g.net, 3, 5, "c"), 0, g.x, 0) == NULL);
    CHECK_ERROR(nn_net_status(g.net), NN_ERROR_BAD_SHAPE, "matmul", "17");
    nn_net_destroy(g.net);
}

static void test_unary_arguments(void)
{
    static const size_t wrong[] = {4, 5}, hole[] = {0, 15}, guess[] = {(size_t)-1, 15};
    REJECT(nn_activate(g.x, NN_ACTIVATION_COUNT, 0), NN_ERROR_BAD_ARGUMENT, "activat", "");
    REJECT(nn_activate(g.x, (nn_activation)-1, 0), NN_ERROR_BAD_ARGUMENT, "activat", "");
    REJECT(nn_activate(g.x, NN_ACTIVATION_ELU, NAN), NN_ERROR_BAD_ARGUMENT, "alpha", "");
    REJECT(nn_scale(g.x, NAN), NN_ERROR_BAD_ARGUMENT, "scale", "");
    REJECT(nn_scale(g.x, INFINITY), NN_ERROR_BAD_ARGUMENT, "scale", "");
    REJECT(nn_dropout(g.x, 1), NN_ERROR_BAD_ARGUMENT, "dropout", "1");
    REJECT(nn_dropout(g.x, -0.25), NN_ERROR_BAD_ARGUMENT, "dropout", "-0.25");
    REJECT(nn_dropout(g.x, NAN), NN_ERROR_BAD_ARGUMENT, "dropout", "");
    REJECT_SHAPE(nn_reshape(g.image, 2, wrong), "reshape", "3", "4");
    REJECT_SHAPE(nn_reshape(g.w, 2, wrong), "reshape", "23", "4");
    REJECT(nn_reshape(g.image, 2, hole), NN_ERROR_BAD_SHAPE, "reshape", "");
    REJECT(nn_reshape(g.image, 2, guess), NN_ERROR_BAD_SHAPE, "reshape", "");
    REJECT(nn_reshape(g.image, 2, NULL), NN_ERROR_BAD_ARGUMENT, "reshape", "");
    REJECT(nn_reshape(g.image, -1, wrong), NN_ERROR_BAD_ARGUMENT, "reshape", "-1");
    REJECT(nn_reshape(g.image, NN_MAX_RANK + 1, wrong), NN_ERROR_BAD_ARGUMENT, "reshape", "");
}

static void test_concat_arguments(void)
{
    nn_tensor *pair[2];
#define CONCAT(a, b, axis) (pair[0] = (a), pair[1] = (b), nn_concat(2, pair, axis))
    REJECT_SHAPE(CONCAT(g.w, g.cube, 0), "concat", "23", "4");
    REJECT_SHAPE(CONCAT(g.w, parameter(g.net, 5, 11, "c"), 0), "concat", "7", "11");
    REJECT_SHAPE(CONCAT(g.w, parameter(g.net, 5, 11, "c"), 1), "concat", "23", "5");
    REJECT_SHAPE(CONCAT(g.w, parameter(g.net, 5, 11, "c"), -1), "concat", "23", "5");
    REJECT(CONCAT(g.x, parameter(g.net, 1, 17, "c"), 0), NN_ERROR_BAD_SHAPE, "concat", "17");
    REJECT(CONCAT(g.w, NULL, 0), NN_ERROR_BAD_ARGUMENT, "concat", "source 1 is NULL");
    REJECT(CONCAT(NULL, g.w, 0), NN_ERROR_BAD_ARGUMENT, "concat", "source 0 is NULL");
#undef CONCAT
    CHECK(nn_concat(0, pair, 0) == NULL);
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "nn_forward", "nn_concat: 0 sources");
    CHECK(nn_concat(2, NULL, 0) == NULL);
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "nn_forward", "");
}

static void test_slice_arguments(void)
{
    REJECT(nn_slice(g.w, 0, 3, 3), NN_ERROR_BAD_SHAPE, "slice", "3");
    REJECT(nn_slice(g.w, 0, 5, 3), NN_ERROR_BAD_SHAPE, "slice", "5");
    REJECT(nn_slice(g.w, 0, 0, 24), NN_ERROR_BAD_SHAPE, "slice", "24");
    REJECT(nn_slice(g.w, 1, 6, (size_t)-1), NN_ERROR_BAD_SHAPE, "slice", "");
    REJECT(nn_slice(g.w, -1, 0, 8), NN_ERROR_BAD_SHAPE, "slice", "8");
    REJECT(nn_slice(g.total, 0, 0, 1), NN_ERROR_BAD_ARGUMENT, "slice", "axis is 0");
}

/* Axes are counted over one sample, from the start or from the end; beyond either end the message
   gives the axis, the range and the shape. */
static void test_axes_out_of_range(void)
{
    static const int wrong[] = {2, 3, -3, INT_MAX, INT_MIN};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const int axis = wrong[i];
        char text[32];
        nn_tensor *pair[2];
        snprintf(text, sizeof text, "axis is %d", axis);
        REJECT(nn_slice(g.w, axis, 0, 1), NN_ERROR_BAD_ARGUMENT, "nn_slice", text);
        REJECT(nn_slice(g.image, axis, 0, 1), NN_ERROR_BAD_ARGUMENT, text, "-2 to 1");
        REJECT((pair[0] = pair[1] = g.w, nn_concat(2, pair, axis)), NN_ERROR_BAD_ARGUMENT,
               "nn_concat", text);
        REJECT(nn_sum_axis(g.w, axis, 0), NN_ERROR_BAD_ARGUMENT, "nn_sum", text);
        REJECT(nn_mean_axis(g.w, axis, 1), NN_ERROR_BAD_ARGUMENT, "nn_mean", text);
        REJECT(nn_max_axis(g.image, axis, 0), NN_ERROR_BAD_ARGUMENT, text, "[batch 3 5]");
        REJECT(nn_softmax_axis(g.w, axis), NN_ERROR_BAD_ARGUMENT, "nn_softmax", text);
        REJECT(nn_log_softmax_axis(g.w, axis), NN_ERROR_BAD_ARGUMENT, "nn_log_softmax", text);
        REJECT(nn_transpose(g.w, axis, 0), NN_ERROR_BAD_ARGUMENT, "nn_transpose", text);
        REJECT(nn_transpose(g.image, 0, axis), NN_ERROR_BAD_ARGUMENT, "nn_transpose", text);
    }
    /* [batch, 17] has one axis: that of the batch is none. */
    REJECT(nn_slice(g.x, 1, 0, 1), NN_ERROR_BAD_ARGUMENT, "axis is 1", "-1 to 0");
    REJECT(nn_slice(g.x, -2, 0, 1), NN_ERROR_BAD_ARGUMENT, "axis is -2", "batch");
    REJECT(nn_sum_axis(g.x, -2, 0), NN_ERROR_BAD_ARGUMENT, "axis is -2", "batch");
}

/* The same axis from the start and from the end, with and without a batch. */
static void test_negative_axes(void)
{
    static const size_t image[] = {2, 3};
    static const nn_real data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 2, image), *w = nn_parameter(net, 2, image, zero_init, "w");
    nn_tensor *source[2];
    source[0] = x, source[1] = w;
    CHECK_OK(nn_set_values(w, data + 6, 6));
    CHECK_OK(nn_feed(x, data, 2));
    for (int which = 0; which < 2; which++)
        for (int axis = 0; axis < 2; axis++) {
            nn_tensor *s = source[which], *pair[2];
            pair[0] = pair[1] = s;
            nn_tensor *a[3], *b[3];
            a[0] = nn_slice(s, axis, 1, 2), b[0] = nn_slice(s, axis - 2, 1, 2);
            a[1] = nn_concat(2, pair, axis), b[1] = nn_concat(2, pair, axis - 2);
            a[2] = nn_sum_axis(s, axis, 1), b[2] = nn_sum_axis(s, axis - 2, 1);
            for (size_t i = 0; i < COUNT(a); i++) {
                CHECK_OK(nn_forward(a[i]));
                CHECK_OK(nn_forward(b[i]));
                if (!a[i] || !b[i]) continue;
                CHECK_INT(a[i]->size, b[i]->size);
                CHECK_INT(a[i]->shape[a[i]->batched + axis], i == 1 ? 2 * image[axis] : 1);
                CHECK(memcmp(a[i]->data, b[i]->data, a[i]->size * sizeof *a[i]->data) == 0);
            }
        }
    nn_net_destroy(net);
}

static void test_loss_arguments(void)
{
    nn_loss_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.reduction = (nn_reduction)7;
    REJECT(nn_loss(g.x, NN_LOSS_MSE, &desc), NN_ERROR_BAD_ARGUMENT, "mse", "reduction");
    memset(&desc, 0, sizeof desc);
    desc.label_smoothing = 1;
    REJECT(nn_loss(g.x, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc), NN_ERROR_BAD_ARGUMENT,
           "softmax_cross_entropy", "label_smoothing");
    desc.label_smoothing = -0.5;
    REJECT(nn_loss(g.x, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc), NN_ERROR_BAD_ARGUMENT,
           "label_smoothing", "-0.5");
    desc.label_smoothing = NAN;
    REJECT(nn_loss(g.x, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc), NN_ERROR_BAD_ARGUMENT,
           "label_smoothing", "");
    memset(&desc, 0, sizeof desc);
    desc.delta = -1;
    REJECT(nn_loss(g.x, NN_LOSS_HUBER, &desc), NN_ERROR_BAD_ARGUMENT, "huber", "delta");
    desc.delta = NAN;
    REJECT(nn_loss(g.x, NN_LOSS_HUBER, &desc), NN_ERROR_BAD_ARGUMENT, "huber", "delta");
    memset(&desc, 0, sizeof desc);
    desc.margin = -1;
    REJECT(nn_loss(g.x, NN_LOSS_HINGE, &desc), NN_ERROR_BAD_ARGUMENT, "hinge", "margin");
    REJECT(nn_weight_penalty(g.x, 0, 1), NN_ERROR_BAD_SHAPE, "weight_penalty", "17");
    REJECT(nn_weight_penalty(g.total, -1, 0), NN_ERROR_BAD_ARGUMENT, "weight_penalty", "l1");
    REJECT(nn_weight_penalty(g.total, 0, -1), NN_ERROR_BAD_ARGUMENT, "weight_penalty", "l2");
    REJECT(nn_weight_penalty(g.total, 0, NAN), NN_ERROR_BAD_ARGUMENT, "weight_penalty", "l2");
    REJECT(nn_softmax_cross_entropy(g.total), NN_ERROR_BAD_SHAPE, "softmax_cross_entropy", "");
    REJECT(nn_mse(g.w), NN_ERROR_BAD_SHAPE, "mse", "23"); /* no batch, no rows */
}

/* Eight dimensions of as many digits as a size can have, in two shapes and a longer message. */
static void test_long_shapes(void)
{
    static const size_t most = (size_t)-1;
    size_t wide[NN_MAX_RANK], full[NN_MAX_RANK];
    char text[32];
    for (int i = 0; i < NN_MAX_RANK; i++) full[i] = 1, wide[i] = most - (size_t)i;
    snprintf(text, sizeof text, "%llu]", (unsigned long long)(most - NN_MAX_RANK + 1));
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_parameter(net, NN_MAX_RANK, full, zero_init, "p");
    CHECK(nn_reshape(x, NN_MAX_RANK, wide) == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_SHAPE, "nn_reshape: shapes [1 1 1 1 1 1 1 1] and ",
                text);
    nn_net_destroy(net);
    /* Both shapes long: what such a message is made of, where a tensor could not be that large. */
    nn_tensor a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    net = nn_net_create(NULL);
    a.net = b.net = net;
    a.rank = b.rank = NN_MAX_RANK;
    memcpy(a.shape, wide, sizeof wide);
    memcpy(b.shape, wide, sizeof wide);
    b.shape[7] = 3;
    CHECK(nn_add(&a, &b) == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_SHAPE, "nn_add: shapes [", text);
    CHECK(strstr(nn_last_error(), " 3]; expected dimensions") != NULL);
    nn_net_destroy(net);
}

/* Sizes along the axis whose sum, and whose product, do not fit into a size_t. */
static void test_concat_sums(void)
{
    enum { MANY = sizeof(nn_real) + 1 };
    const size_t large = (size_t)-1 / sizeof(nn_real);
    nn_tensor *part[MANY];
    for (size_t count = 2; count <= MANY; count++) {
        set_up();
        for (size_t i = 0; i < count; i++) part[i] = nn_input(g.net, large);
        CHECK_OK(nn_net_status(g.net));
        CHECK(nn_concat(count, part, 0) == NULL);
        CHECK_ERROR(nn_net_status(g.net), NN_ERROR_TOO_LARGE, "nn_concat: ", "fit");
        nn_net_destroy(g.net);
    }
}

/* Labels have no values that an operation could compute with; only a custom one reads them. */
static void test_labels_are_no_values(void)
{
    nn_tensor *labels, *pair[2];
#define LABELS (labels = nn_input_labels(g.net, 1, &g.v->shape[0], 5))
    REJECT(nn_tanh(LABELS), NN_ERROR_BAD_ARGUMENT, "nn_tanh", "labels");
    REJECT(nn_dense(LABELS, 3), NN_ERROR_BAD_ARGUMENT, "nn_dense", "labels");
    REJECT(nn_add(g.v, LABELS), NN_ERROR_BAD_ARGUMENT, "nn_add: source 1", "labels");
    REJECT(nn_matmul(LABELS, nn_transpose(g.w, 0, 1)), NN_ERROR_BAD_ARGUMENT, "nn_matmul",
           "labels");
    REJECT(nn_sum(LABELS), NN_ERROR_BAD_ARGUMENT, "nn_sum", "labels");
    REJECT(nn_reshape(LABELS, 1, g.v->shape), NN_ERROR_BAD_ARGUMENT, "nn_reshape", "labels");
    REJECT((pair[0] = pair[1] = LABELS, nn_concat(2, pair, 0)), NN_ERROR_BAD_ARGUMENT, "nn_concat",
           "labels");
    REJECT(nn_dropout(LABELS, 0.5), NN_ERROR_BAD_ARGUMENT, "nn_dropout", "labels");
    REJECT(nn_mse(LABELS), NN_ERROR_BAD_ARGUMENT, "nn_mse", "labels");
    /* Those that a loss compares with may have been fed as labels just as well. */
    REJECT(nn_exp(nn_softmax_cross_entropy(g.x)->src[1]), NN_ERROR_BAD_ARGUMENT, "nn_exp",
           "labels");
#undef LABELS
}

/* Tensors of two networks do not mix, and both networks stay whole. */
static void test_two_networks_in_one_operation(void)
{
    static nn_tensor *(*const op[])(nn_tensor *, nn_tensor *) = {nn_add, nn_sub, nn_mul, nn_matmul};
    static const char *const name[] = {"add", "sub", "mul", "matmul"};
    for (size_t i = 0; i < COUNT(op); i++) {
        nn_net *a = nn_net_create(NULL), *b = nn_net_create(NULL);
        nn_tensor *p = parameter(a, 3, 3, "p"), *q = parameter(b, 3, 3, "q");
        CHECK(op[i](p, q) == NULL);
        CHECK_ERROR(nn_net_status(a), NN_ERROR_MISMATCH, name[i], "network");
        CHECK_INT(nn_net_tensor_count(a), 1);
        CHECK_INT(nn_net_tensor_count(b), 1);
        nn_net_destroy(a);
        nn_net_destroy(b);
    }
    nn_net *a = nn_net_create(NULL), *b = nn_net_create(NULL);
    nn_tensor *pair[2];
    pair[0] = parameter(a, 3, 3, "p");
    pair[1] = parameter(b, 3, 3, "q");
    CHECK(nn_concat(2, pair, 0) == NULL);
    CHECK_ERROR(nn_net_status(a), NN_ERROR_MISMATCH, "concat", "network");
    nn_net_destroy(a);
    nn_net_destroy(b);
}

/* -------------------------------------------------------------------------------------- feeding */

static void test_feed_arguments(void)
{
    static const nn_real data[34] = {0};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 17), *y = nn_tanh(x);
    CHECK_ERROR(nn_feed(x, data, 0), NN_ERROR_BAD_ARGUMENT, "feed", "0");
    CHECK_ERROR(nn_feed(x, NULL, 2), NN_ERROR_BAD_ARGUMENT, "feed", "");
    CHECK_ERROR(nn_feed(y, data, 2), NN_ERROR_BAD_ARGUMENT, "feed", "input");
    CHECK_ERROR(nn_feed(x, data, (size_t)-1 / 17), NN_ERROR_OUT_OF_MEMORY, "rows", "");
    CHECK_ERROR(nn_feed(x, data, (size_t)-1), NN_ERROR_OUT_OF_MEMORY, "", "");
    /* None of these is an error of the network. */
    CHECK_OK(nn_net_status(net));
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_OK(nn_forward(y));
    nn_net_destroy(net);
}

static void test_forward_before_feed(void)
{
    static const nn_real data[] = {1, 2, 3};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_name(nn_input(net, 3), "left"), *z = nn_name(nn_input(net, 3), "right");
    nn_tensor *y = nn_tanh(x), *both = nn_add(y, z);
    CHECK_ERROR(nn_forward(y), NN_ERROR_EMPTY, "input 0", "fed");
    CHECK_OK(nn_feed(x, data, 1));
    CHECK_OK(nn_forward(y)); /* needs the left one only */
    CHECK_ERROR(nn_forward(both), NN_ERROR_EMPTY, "input 1", "fed");
    CHECK_OK(nn_feed(z, data, 1));
    CHECK_OK(nn_forward(both));
    CHECK_NEAR(both->data[2], 3 + tanh(3.0), 1e-6);
    nn_net_destroy(net);
}

static void test_batches_of_two_inputs(void)
{
    static const nn_real data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_name(nn_input(net, 2), "left"), *z = nn_name(nn_input(net, 2), "right");
    nn_tensor *y = nn_mul(x, z);
    CHECK_OK(nn_feed(x, data, 5));
    CHECK_OK(nn_feed(z, data, 3));
    CHECK_ERROR(nn_forward(y), NN_ERROR_MISMATCH, "5", "3");
    CHECK_OK(nn_feed(z, data, 5));
    CHECK_OK(nn_forward(y));
    for (size_t i = 0; i < 10; i++) CHECK(y->data[i] == data[i] * data[i]);
    nn_net_destroy(net);
}

static void test_labels(void)
{
    static const nn_real data[12] = {0};
    static const int good[] = {0, 2, 1, 2}, high[] = {0, 3, 1, 1}, low[] = {0, 1, -1, 1};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 3), *loss = nn_softmax_cross_entropy(x);
    CHECK_OK(nn_feed(x, data, 4));
    CHECK_ERROR(nn_forward(loss), NN_ERROR_EMPTY, "softmax_cross_entropy", "label");
    CHECK_ERROR(nn_feed_labels(loss, high, 4), NN_ERROR_BAD_LABEL, "3", "1");
    CHECK_ERROR(nn_feed_labels(loss, low, 4), NN_ERROR_BAD_LABEL, "-1", "2");
    CHECK_ERROR(nn_feed_labels(loss, NULL, 4), NN_ERROR_BAD_ARGUMENT, "feed_labels", "");
    CHECK_ERROR(nn_feed_labels(loss, good, 0), NN_ERROR_BAD_ARGUMENT, "feed_labels", "0");
    CHECK_ERROR(nn_feed_labels(x, good, 4), NN_ERROR_BAD_ARGUMENT, "feed_labels", "");
    CHECK_OK(nn_feed_labels(loss, good, 3));
    CHECK_ERROR(nn_forward(loss), NN_ERROR_MISMATCH, "4", "3");
    CHECK_OK(nn_feed_labels(loss, good, 4));
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, log(3.0), 1e-6);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

static void test_targets(void)
{
    static const nn_real data[] = {1, 2, 3, 4, 5, 6}, targets[] = {1, 2, 3, 4, 5, 9};
    static const int label = 0;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 3), *loss = nn_mse(x), *hinge = nn_hinge(x);
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_ERROR(nn_forward(loss), NN_ERROR_EMPTY, "mse", "target");
    CHECK_ERROR(nn_feed_targets(loss, NULL, 2), NN_ERROR_BAD_ARGUMENT, "feed_targets", "");
    CHECK_ERROR(nn_feed_targets(loss, targets, 0), NN_ERROR_BAD_ARGUMENT, "feed_targets", "0");
    CHECK_ERROR(nn_feed_targets(x, targets, 2), NN_ERROR_BAD_ARGUMENT, "feed_targets", "");
    CHECK_ERROR(nn_feed_targets(hinge, targets, 2), NN_ERROR_BAD_ARGUMENT, "hinge", "label");
    CHECK_ERROR(nn_feed_labels(loss, &label, 1), NN_ERROR_BAD_ARGUMENT, "mse", "target");
    CHECK_OK(nn_feed_targets(loss, targets, 1));
    CHECK_ERROR(nn_forward(loss), NN_ERROR_MISMATCH, "2", "1");
    CHECK_OK(nn_feed_targets(loss, targets, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_NEAR(loss->value, 1.5, 1e-6);
    nn_net_destroy(net);
}

/* What is fed last counts: labels after targets, and targets after labels. The values of labels
   cannot be asked for, also where older targets lie. */
static void test_labels_replace_targets(void)
{
    static const nn_real logits[] = {0, 1}, half[] = {(nn_real).5, (nn_real).5};
    static const int label = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *loss = nn_softmax_cross_entropy(x);
    double z = log1p(exp(1.0));
    nn_real got[2];
    CHECK_OK(nn_feed(x, logits, 1));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(nn_feed_targets(loss, half, 1));
        CHECK_OK(nn_forward(loss));
        CHECK_NEAR(loss->value, z - 0.5, 1e-6);
        CHECK_OK(nn_get_values(loss->src[1], got, 2));
        CHECK_OK(nn_feed_labels(loss, &label, 1));
        CHECK_OK(nn_forward(loss));
        CHECK_NEAR(loss->value, z - 1, 1e-6);
        CHECK_ERROR(nn_get_values(loss->src[1], got, 2), NN_ERROR_EMPTY, "nn_get_values", "");
    }
    nn_net_destroy(net);
}

static void test_binary_label_range(void)
{
    static const nn_real data[4] = {0};
    static const int good[] = {1, 0}, bad[] = {1, 2};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *one = nn_sigmoid_cross_entropy(nn_input(net, 1)), *x = nn_input(net, 2);
    nn_tensor *two = nn_sigmoid_cross_entropy(x);
    CHECK_ERROR(nn_feed_labels(one, bad, 2), NN_ERROR_BAD_LABEL, "2", "");
    CHECK_OK(nn_feed_labels(one, good, 2));
    CHECK_ERROR(nn_feed_labels(two, good, 2), NN_ERROR_BAD_ARGUMENT, "sigmoid_cross_entropy",
                "target");
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_OK(nn_feed_targets(two, data, 2));
    CHECK_OK(nn_forward(two));
    CHECK_NEAR(two->value, log(2.0), 1e-6);
    nn_net_destroy(net);
}

/* y = the label as a number, for tests that read labels */
static nn_status read_labels(nn_tensor *t)
{
    for (size_t i = 0; i < t->size; i++) t->data[i] = (nn_real)t->src[0]->labels[i];
    return NN_OK;
}

static void test_input_labels(void)
{
    static const size_t pair[] = {2};
    static const nn_op op = {"read", read_labels, NULL, NULL, NULL, 0, NULL};
    static const int tokens[] = {0, 4, 3, 1}, high[] = {0, 1, 2, 5}, low[] = {0, -1, 2, 3};
    static const nn_real values[4] = {0};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_labels(net, 1, pair, 5), *one = nn_input_labels(net, 0, NULL, 2);
    nn_tensor *y = nn_custom(1, &x, 1, 1, pair, &op, NULL);
    CHECK_OK(nn_net_status(net));
    CHECK_INT(x->rank, 2);
    CHECK_INT(one->rank, 1);
    CHECK_ERROR(nn_forward(y), NN_ERROR_EMPTY, "input 0", "fed");
    CHECK_ERROR(nn_feed_labels(x, high, 2), NN_ERROR_BAD_LABEL,
                "nn_feed_labels: label 5 at index 3", "0 to 4");
    CHECK_ERROR(nn_feed_labels(x, low, 2), NN_ERROR_BAD_LABEL, "label -1 at index 1", "0 to 4");
    CHECK_ERROR(nn_feed_labels(one, tokens, 2), NN_ERROR_BAD_LABEL, "label 4 at index 1", "0 to 1");
    CHECK_ERROR(nn_feed_labels(x, NULL, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_labels", "NULL");
    CHECK_ERROR(nn_feed_labels(x, tokens, 0), NN_ERROR_BAD_ARGUMENT, "nn_feed_labels", "0 rows");
    CHECK_ERROR(nn_feed_labels(x, tokens, (size_t)-1), NN_ERROR_TOO_LARGE, "nn_feed_labels",
                "rows");
    CHECK_ERROR(nn_feed(x, values, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed: input 0", "nn_feed_labels");
    CHECK_ERROR(nn_feed_targets(x, values, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_targets", "'input'");
    CHECK_OK(nn_feed_labels(x, tokens, 2));
    CHECK(x->data == NULL && x->labels != NULL);
    CHECK_OK(nn_forward(y));
    CHECK_INT(y->size, 4);
    for (size_t i = 0; i < 4; i++) CHECK_NEAR(y->data[i], tokens[i], 0);
    CHECK_OK(nn_feed_labels(x, tokens + 2, 1));
    CHECK_OK(nn_forward(y));
    CHECK_INT(y->size, 2);
    CHECK_NEAR(y->data[0], 3, 0);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
    set_up();
    CHECK(nn_input_labels(g.net, 1, pair, 0) == NULL);
    CHECK_ERROR(nn_net_status(g.net), NN_ERROR_BAD_ARGUMENT, "nn_input_labels", "classes is 0");
    nn_net_destroy(g.net);
    REJECT(nn_input_labels(g.net, 1, pair, -3), NN_ERROR_BAD_ARGUMENT, "nn_input_labels",
           "classes is -3");
    REJECT(nn_input_labels(g.net, 1, NULL, 3), NN_ERROR_BAD_ARGUMENT, "nn_input_labels", "rank");
    REJECT(nn_input_labels(g.net, NN_MAX_RANK, pair, 3), NN_ERROR_BAD_ARGUMENT, "nn_input_labels",
           "8");
    CHECK(nn_input_labels(NULL, 1, pair, 3) == NULL);
}

/* Every kind of tensor, given to every function that feeds another kind. */
static void test_feeding_the_wrong_kind(void)
{
    static const nn_real values[6] = {0};
    static const int labels[3] = {0};
    nn_loss_desc weighted;
    memset(&weighted, 0, sizeof weighted);
    weighted.sample_weights = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *w = parameter(net, 2, 2, "w"), *y = nn_matmul(x, w);
    nn_tensor *mse = nn_loss(y, NN_LOSS_MSE, &weighted), *hinge = nn_hinge(y);
    CHECK_OK(nn_net_status(net));
    nn_tensor *const no_input[] = {w, y, mse};
    for (size_t i = 0; i < COUNT(no_input); i++)
        CHECK_ERROR(nn_feed(no_input[i], values, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed: tensor ",
                    "expected an input");
    CHECK_ERROR(nn_feed(mse->src[1], values, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed: ",
                "nn_feed_targets");
    CHECK_ERROR(nn_feed(mse->src[2], values, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed: ", "loss");
    nn_tensor *const no_loss[] = {x, w, y, mse->src[1]};
    for (size_t i = 0; i < COUNT(no_loss); i++) {
        CHECK_ERROR(nn_feed_labels(no_loss[i], labels, 1), NN_ERROR_BAD_ARGUMENT,
                    "nn_feed_labels: tensor ", "expected a loss or an input of labels");
        CHECK_ERROR(nn_feed_targets(no_loss[i], values, 1), NN_ERROR_BAD_ARGUMENT,
                    "nn_feed_targets: tensor ", "expected a loss");
        CHECK_ERROR(nn_feed_weights(no_loss[i], values, 1), NN_ERROR_BAD_ARGUMENT,
                    "nn_feed_weights: tensor ", "expected a loss with sample_weights");
    }
    CHECK_ERROR(nn_feed_labels(mse, labels, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed_labels: mse",
                "takes targets");
    CHECK_ERROR(nn_feed_targets(hinge, values, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed_targets: hinge",
                "takes labels");
    CHECK_ERROR(nn_feed_weights(hinge, values, 1), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights",
                "sample_weights");
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

/* Sizes of a batch that do not fit: an error, and the network goes on with what does. */
static nn_status huge_forward(nn_tensor *t)
{
    t->data[0] = 1; /* must never be reached */
    return NN_OK;
}

static size_t huge_bytes(const nn_tensor *t, size_t rows)
{
    (void)t;
    return rows > 1 ? (size_t)-1 : 8;
}

static void test_batches_that_do_not_fit(void)
{
    static const nn_op wide = {"wide", huge_forward, NULL, NULL, NULL, 0, NULL};
    static const nn_op saving = {"saving", huge_forward, NULL, huge_bytes, NULL, 0, NULL};
    static const nn_op scratching = {"scratching", huge_forward, NULL, NULL, huge_bytes, 0, NULL};
    static const size_t one[] = {1};
    const nn_real data[2] = {1, 2};
    size_t shape[1];
    shape[0] = (size_t)-1 / 8; /* 2^61 - 1 values of a row; times 8 they nearly fill the space */
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 1), *y = nn_tanh(x);
    CHECK_OK(nn_feed(x, data, 1));
    CHECK_OK(nn_forward(y));
    nn_tensor *z = nn_custom(1, &x, 1, 1, shape, &wide, NULL);
    CHECK_OK(nn_net_status(net));
    CHECK(z != NULL);
    for (size_t rows = 1; rows <= 2; rows++) {
        CHECK_OK(nn_feed(x, data, rows));
        CHECK_ERROR(nn_forward(z), NN_ERROR_OUT_OF_MEMORY, "memory", "");
    }
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
    for (int scratch = 0; scratch < 2; scratch++) {
        net = nn_net_create(NULL);
        x = nn_input(net, 1);
        z = nn_custom(1, &x, 1, 1, one, scratch ? &scratching : &saving, NULL);
        CHECK_OK(nn_feed(x, data, 1));
        CHECK_OK(nn_forward(z));
        CHECK_OK(nn_feed(x, data, 2));
        CHECK_ERROR(nn_forward(z), NN_ERROR_OUT_OF_MEMORY, "a batch of 2", "address space");
        CHECK_OK(nn_feed(x, data, 1));
        CHECK_ERROR(nn_backward(nn_sum(z)), NN_ERROR_BAD_ARGUMENT, "nn_forward", "first");
        CHECK_OK(nn_net_status(net));
        nn_net_destroy(net);
    }
    /* 32 bits: 65,536 rows of 65,536 values, from an input of one. */
    if (sizeof(size_t) > 4) return;
    enum { MANY = 65536 };
    nn_real *ones = (nn_real *)calloc(MANY, sizeof *ones);
    CHECK(ones != NULL);
    net = nn_net_create(NULL);
    x = nn_input(net, 1);
    y = nn_dense(x, MANY);
    CHECK_OK(nn_feed(x, ones, MANY));
    CHECK_ERROR(nn_forward(y), NN_ERROR_OUT_OF_MEMORY, "a batch of 65536", "address space");
    CHECK_OK(nn_feed(x, ones, 1));
    nn_net_destroy(net);
    free(ones);
}

/* -------------------------------------------------------------------------------------- running */

enum { IN = 6, CLASSES = 3, BATCH = 16 };

/* One of most things: what the tests of batches and memory run. */
typedef struct model {
    nn_net *net;
    nn_tensor *x, *hidden, *logits, *loss, *total;
} model;

static model build_model(nn_net *net, double dropout)
{
    static const size_t grid[] = {2, 4}, row[] = {8};
    nn_tensor *part[2];
    model m;
    m.net = net;
    nn_net_set_training(net, 1);
    m.x = nn_input(net, IN);
    m.hidden = nn_name(nn_tanh(nn_dense(m.x, 8)), "hidden");
    part[0] = nn_slice(m.hidden, 0, 0, 3);
    part[1] = nn_softmax(nn_slice(m.hidden, -1, 3, 8));
    nn_tensor *h = nn_mul(nn_concat(2, part, 0), nn_gelu(m.hidden));
    h = nn_reshape(nn_reshape(h, 2, grid), 1, row);
    h = nn_add(h, nn_scale(nn_sub(nn_matmul(m.x, parameter(net, IN, 8, "skip")), h), 0.5));
    m.logits = nn_dense(nn_dropout(h, dropout), CLASSES);
    m.loss = nn_softmax_cross_entropy(m.logits);
    m.total = nn_weight_penalty(m.loss, 0, 1e-3);
    return m;
}

static void draw_samples(nn_real *x, int *labels, size_t rows)
{
    fill(x, rows * IN, 42);
    for (size_t i = 0; i < rows; i++) labels[i] = (int)(i * 7 % CLASSES);
}

/* [time, features] of each sample go through the same weights, row by row. */
/* One input: a step for each element, from the bias on. */
static void test_dense_of_one_input(void)
{
    static const nn_real x[] = {-2, 0, 3};
    for (size_t units = 63; units <= 81; units += 6) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *in = nn_input(net, 1), *y = nn_dense(in, units);
        for (size_t j = 0; j < units; j++) {
            nn_weight(y)->data[j] = (nn_real)j;
            nn_bias(y)->data[j] = 100 - (nn_real)(2 * j);
        }
        CHECK(nn_feed(in, x, 3) == NN_OK && nn_forward(y) == NN_OK);
        for (size_t i = 0; i < 3 * units; i++) {
            const nn_real j = (nn_real)(i % units);
            CHECK_NEAR(y->data[i], x[i / units] * j + 100 - 2 * j, 0);
        }
        nn_net_destroy(net);
    }
}

static void test_dense_on_the_last_dimension(void)
{
    static const size_t shape[] = {3, 2};
    static const nn_real data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, w[] = {1, 10, 100, 1000};
    static const nn_real b[] = {0, 5};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 2, shape), *y = nn_dense(x, 2), *loss = nn_sum(y);
    CHECK_OK(nn_net_status(net));
    CHECK_INT(y->rank, 3);
    CHECK_INT(nn_weight(y)->size, 4);
    x->requires_grad = 1;
    CHECK_OK(nn_set_values(nn_weight(y), w, 4));
    CHECK_OK(nn_set_values(nn_bias(y), b, 2));
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_INT(y->shape[0], 2);
    CHECK_INT(y->shape[1], 3);
    CHECK_INT(y->shape[2], 2);
    for (size_t r = 0; r < 6; r++) {
        CHECK_NEAR(y->data[2 * r], data[2 * r] + 100 * data[2 * r + 1], 0);
        CHECK_NEAR(y->data[2 * r + 1], 10 * data[2 * r] + 1000 * data[2 * r + 1] + 5, 0);
        CHECK_NEAR(x->grad[2 * r], 11, 0);
        CHECK_NEAR(x->grad[2 * r + 1], 1100, 0);
    }
    CHECK_NEAR(nn_weight(y)->grad[0], 1 + 3 + 5 + 7 + 9 + 11, 0);
    CHECK_NEAR(nn_weight(y)->grad[3], 2 + 4 + 6 + 8 + 10 + 12, 0);
    CHECK_NEAR(nn_bias(y)->grad[1], 6, 0);
    nn_tensor *flat = nn_dense(nn_flatten(x), 2);
    CHECK_INT(nn_weight(flat)->shape[0], 6);
    nn_tensor *of_parameter = nn_dense(parameter(net, 5, 2, "p"), 3);
    CHECK(of_parameter && !of_parameter->batched);
    CHECK_INT(of_parameter->shape[0], 5);
    CHECK_OK(nn_net_status(net));
    CHECK(nn_dense(nn_sum(x), 2) == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_SHAPE, "nn_dense: shape []", "dimension");
    nn_net_destroy(net);
}

static nn_dense_desc sharing(nn_tensor *weight, nn_tensor *bias, size_t units)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = units;
    desc.shared_weight = weight;
    desc.shared_bias = bias;
    return desc;
}

/* y = (x W + b) W + b: both uses add to the gradients. */
static void test_shared_weights(void)
{
    static const nn_real w[] = {1, 2, 3, 4}, b[] = {5, 6}, x[] = {7, 8};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, 2), *h = nn_dense(in, 2);
    nn_dense_desc both = sharing(nn_weight(h), nn_bias(h), 0);
    nn_dense_desc weight = sharing(nn_weight(h), NULL, 2), bias = sharing(NULL, nn_bias(h), 2);
    nn_tensor *y = nn_dense_with(h, &both), *loss = nn_sum(y);
    CHECK_OK(nn_net_status(net));
    CHECK(nn_weight(y) == nn_weight(h) && nn_bias(y) == nn_bias(h));
    CHECK_INT(nn_net_parameter_count(net), 6);
    CHECK_OK(nn_set_values(nn_weight(h), w, 4));
    CHECK_OK(nn_set_values(nn_bias(h), b, 2));
    CHECK_OK(nn_feed(in, x, 1));
    /* h = [7 + 24 + 5, 14 + 32 + 6] = [36, 52]; y = [36 + 156 + 5, 72 + 208 + 6] = [197, 286]. With
       dy = [1, 1]: dh = [3, 7]; dW = h' dy + x' dh; db = dy + dh. */
    for (int pass = 0; pass < 3; pass++) {
        const int times = pass == 2 ? 2 : 1;
        CHECK_OK(nn_forward(loss));
        CHECK_NEAR(loss->value, 197 + 286, 0);
        CHECK_OK(pass == 2 ? nn_backward_add(loss) : nn_backward(loss));
        CHECK_NEAR(nn_weight(h)->grad[0], times * (36 + 7 * 3), 0);
        CHECK_NEAR(nn_weight(h)->grad[1], times * (36 + 7 * 7), 0);
        CHECK_NEAR(nn_weight(h)->grad[2], times * (52 + 8 * 3), 0);
        CHECK_NEAR(nn_weight(h)->grad[3], times * (52 + 8 * 7), 0);
        CHECK_NEAR(nn_bias(h)->grad[0], times * (1 + 3), 0);
        CHECK_NEAR(nn_bias(h)->grad[1], times * (1 + 7), 0);
    }
    nn_tensor *own_bias = nn_dense_with(h, &weight), *own_weight = nn_dense_with(h, &bias);
    CHECK_OK(nn_net_status(net));
    CHECK(nn_weight(own_bias) == nn_weight(h) && nn_bias(own_bias) != nn_bias(h));
    CHECK(nn_weight(own_weight) != nn_weight(h) && nn_bias(own_weight) == nn_bias(h));
    CHECK_INT(nn_net_parameter_count(net), 6 + 2 + 4);
    nn_net_destroy(net);
}

static void test_shared_weight_arguments(void)
{
    nn_net *other = nn_net_create(NULL);
    nn_tensor *foreign = parameter(other, 17, 7, "w");
    nn_dense_desc d;
#define SHARE(weight, bias, units) (d = sharing(weight, bias, units), nn_dense_with(g.x, &d))
#define WITH(member, value) (d = sharing(NULL, NULL, 7), d.member = (value), nn_dense_with(g.x, &d))
#define FITTING parameter(g.net, 17, 7, "fits")
    REJECT_SHAPE(SHARE(g.w, NULL, 7), "nn_dense", "17", "[23 7]");
    REJECT_SHAPE(SHARE(FITTING, NULL, 6), "nn_dense", "[batch 17]", "[17 7]");
    REJECT_SHAPE(SHARE(NULL, g.v, 6), "nn_dense", "shared parameter", "[7]");
    REJECT_SHAPE(SHARE(NULL, g.w, 7), "nn_dense", "shared parameter", "[23 7]");
    REJECT_SHAPE(SHARE(g.v, NULL, 7), "nn_dense", "shared parameter", "[7]");
    REJECT(SHARE(g.cube, NULL, 0), NN_ERROR_BAD_ARGUMENT, "nn_dense", "units is 0");
    REJECT(SHARE(foreign, NULL, 7), NN_ERROR_BAD_ARGUMENT, "nn_dense: shared_weight", "network");
    REJECT(SHARE(nn_buffer(g.net, 2, FITTING->shape, zero_init, "b"), NULL, 7),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: shared_weight", "parameter");
    REJECT(SHARE(NULL, nn_tanh(g.v), 7), NN_ERROR_BAD_ARGUMENT, "nn_dense: shared_bias",
           "parameter");
    /* Members that would count for nothing beside others. */
    REJECT((d = sharing(FITTING, NULL, 7), d.weight = nn_init_constant(1), nn_dense_with(g.x, &d)),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: weight is set", "shared");
    REJECT((d = sharing(NULL, g.v, 7), d.bias = nn_init_constant(1), nn_dense_with(g.x, &d)),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: bias is set", "shared");
    REJECT((d = sharing(NULL, g.v, 7), d.no_bias = 1, nn_dense_with(g.x, &d)),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: shared_bias is set", "no_bias");
    REJECT((d = sharing(NULL, g.v, 7), d.decay_bias = 1, nn_dense_with(g.x, &d)),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: decay_bias is set", "shared");
    REJECT((d = sharing(NULL, NULL, 7), d.no_bias = 1, d.decay_bias = 1, nn_dense_with(g.x, &d)),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: decay_bias is set", "no_bias");
    REJECT((d = sharing(NULL, NULL, 7), d.no_bias = 1, d.bias = nn_init_constant(1),
            nn_dense_with(g.x, &d)),
           NN_ERROR_BAD_ARGUMENT, "nn_dense: bias is set", "no_bias");
    REJECT(WITH(alpha, 0.5), NN_ERROR_BAD_ARGUMENT, "nn_dense: alpha is 0.5", "");
    REJECT(WITH(alpha, -1), NN_ERROR_BAD_ARGUMENT, "nn_dense: alpha is -1", "");
#undef SHARE
#undef WITH
#undef FITTING
    nn_net_destroy(other);
}

/* Every batch, whatever came before it, gives bit by bit what each row gives alone. */
static void test_batches_match_single_rows(void)
{
    static const size_t batches[] = {1, 2, 3, 64, 17, 5, 64, 1, 100, 33};
    static nn_real x[100 * IN], alone[100 * CLASSES];
    int labels[100];
    model m = build_model(seeded_net(1), 0);
    CHECK_OK(nn_net_status(m.net));
    draw_samples(x, labels, 100);
    for (size_t r = 0; r < 100; r++) {
        CHECK_OK(nn_feed(m.x, x + r * IN, 1));
        CHECK_OK(nn_forward(m.logits));
        CHECK_INT(m.logits->size, CLASSES);
        memcpy(alone + r * CLASSES, m.logits->data, CLASSES * sizeof *alone);
    }
    for (size_t k = 0; k < COUNT(batches); k++) {
        size_t n = batches[k], first = 100 - n;
        CHECK_OK(nn_feed(m.x, x + first * IN, n));
        CHECK_OK(nn_forward(m.logits));
        CHECK_INT(m.logits->shape[0], n);
        CHECK_INT(m.logits->size, n * CLASSES);
        CHECK_INT(m.x->shape[0], n);
        CHECK(memcmp(m.logits->data, alone + first * CLASSES, n * CLASSES * sizeof *alone) == 0);
    }
    nn_net_destroy(m.net);
}

/* -- a single row of few weights, which has kernels of its own: the bits of the general ones -- */

enum { ROW = 257 }; /* one past the limit */

typedef struct row_gradients {
    nn_real w[ROW], b[ROW], x[ROW];
} row_gradients;

/* What the layer y of x adds to the gradients, or begins them with; `add` counts for W and b. */
static void add_row(const nn_tensor *y, nn_activation kind, int add, int add_x, row_gradients *sum)
{
    nn_real z[ROW], f[ROW], dz[ROW];
    const nn_tensor *w = nn_weight(y), *b = nn_bias(y), *x = y->src[0];
    const size_t in = w->shape[0], units = w->shape[1];
    memset(z, 0, sizeof z);
    if (b) memcpy(z, b->data, units * sizeof *z);
    nn_mat_mul(0, 0, 1, units, in, x->data, in, w->data, units, z, units, 1);
    nn_vec_activate(kind, 0.25, units, z, f);
    CHECK(memcmp(y->data, f, units * sizeof *f) == 0);
    nn_vec_activate_backward(kind, 0.25, units, z, f, y->grad, dz);
    nn_mat_column_sums(1, units, dz, sum->b, add);
    nn_mat_mul(1, 0, in, units, 1, x->data, in, dz, units, sum->w, units, add);
    nn_mat_mul(0, 1, 1, in, units, dz, units, w->data, units, sum->x, in, add_x);
}

/* Two layers of the same weights, so that the first one's gradients are added to those of the
   second, whose turn comes before. */
static void check_single_row(size_t in, size_t units, nn_activation kind, int has_bias)
{
    static row_gradients expected;
    nn_real values[2 * ROW];
    nn_net *net = seeded_net(in * 1000 + units);
    nn_tensor *x = nn_input(net, in), *layers[2];
    nn_dense_desc desc = sharing(NULL, NULL, units);
    desc.activation = kind, desc.no_bias = !has_bias;
    desc.alpha = kind == NN_ACTIVATION_LEAKY_RELU || kind == NN_ACTIVATION_ELU ? 0.25 : 0;
    for (int i = 0; i < 2; i++) {
        layers[i] = nn_dense_with(x, &desc);
        desc.shared_weight = nn_weight(layers[0]), desc.shared_bias = nn_bias(layers[0]);
    }
    nn_tensor *loss = nn_mse(nn_add(layers[0], layers[1]));
    CHECK_OK(nn_net_status(net));
    x->requires_grad = 1;
    fill(values, COUNT(values), in + units);
    values[in / 2] = (nn_real)-0.0, nn_weight(layers[0])->data[in * units / 2] = 0;
    if (has_bias) CHECK_OK(nn_set_values(nn_bias(layers[0]), values + ROW, units));
    CHECK_OK(nn_feed(x, values, 1));
    CHECK_OK(nn_feed_targets(loss, values + 1, 1));
    CHECK_OK(nn_forward(loss));
    for (int add = 0; add < 2; add++) {
        CHECK_OK(add ? nn_backward_add(loss) : nn_backward(loss));
        add_row(layers[1], kind, add, 0, &expected);
        add_row(layers[0], kind, 1, 1, &expected);
        CHECK(memcmp(nn_weight(layers[0])->grad, expected.w, in * units * sizeof(nn_real)) == 0);
        CHECK(memcmp(x->grad, expected.x, in * sizeof(nn_real)) == 0);
        if (has_bias)
            CHECK(memcmp(nn_bias(layers[0])->grad, expected.b, units * sizeof(nn_real)) == 0);
    }
    nn_net_destroy(net);
}

static void test_single_rows(void)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 31, 64, 128, 129, 256, ROW};
    char text[64];
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(sizes) && sizes[i] * sizes[j] <= ROW; j++)
            for (int kind = 0; kind < NN_ACTIVATION_COUNT; kind++) {
                snprintf(text, sizeof text, "%d x %d, %s", (int)sizes[i], (int)sizes[j],
                         nn_activation_string((nn_activation)kind));
                test_current = text;
                check_single_row(sizes[i], sizes[j], (nn_activation)kind, kind % 3 != 1);
            }
    test_current = "";
}

/* The gradient of a batch, after a larger and after a smaller one, is that of a fresh network. */
static void test_gradients_of_changing_batches(void)
{
    static const size_t batches[] = {4, 64, 7, 1, 64, 30};
    static nn_real x[64 * IN];
    int labels[64];
    model used = build_model(seeded_net(1), 0);
    draw_samples(x, labels, 64);
    for (size_t k = 0; k < COUNT(batches); k++) {
        model fresh = build_model(seeded_net(1), 0), *both[2];
        both[0] = &used, both[1] = &fresh;
        for (size_t i = 0; i < 2; i++) {
            CHECK_OK(nn_feed(both[i]->x, x, batches[k]));
            CHECK_OK(nn_feed_labels(both[i]->loss, labels, batches[k]));
            CHECK_OK(nn_forward(both[i]->total));
            CHECK_OK(nn_backward(both[i]->total));
        }
        CHECK(used.total->value == fresh.total->value);
        for (size_t id = 0; id < nn_net_tensor_count(used.net); id++) {
            const nn_tensor *a = nn_net_tensor(used.net, id), *b = nn_net_tensor(fresh.net, id);
            CHECK(!a->grad == !b->grad);
            if (a->grad) CHECK(memcmp(a->grad, b->grad, a->size * sizeof *a->grad) == 0);
        }
        nn_net_destroy(fresh.net);
    }
    nn_net_destroy(used.net);
}

/* No two tensors' values, and no two's gradients, share memory: each pair lies apart. */
static void check_apart(const nn_net *net)
{
    const size_t n = nn_net_tensor_count(net);
    size_t overlaps = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const nn_tensor *a = nn_net_tensor(net, i), *b = nn_net_tensor(net, j);
            if (i != j && a->data && b->data && a->data <= b->data)
                overlaps += a->data + a->size > b->data;
            if (i != j && a->grad && b->grad && a->grad <= b->grad)
                overlaps += a->grad + a->size > b->grad;
        }
    CHECK_INT(overlaps, 0);
}

/* One row more than ever before needs room for one row more: rows as wide as the padding between
   tensors, so that none is left over. */
static void test_batch_that_grows_by_one(void)
{
    enum { WIDE = 64, ROWS = 9 };
    static nn_real x[ROWS * WIDE];
    static int labels[ROWS];
    nn_net *net = seeded_net(2);
    nn_tensor *in = nn_input(net, WIDE), *h = nn_dense(in, WIDE), *loss;
    in->requires_grad = 1;
    nn_tensor *y = nn_mul(nn_exp(h), nn_sub(h, nn_tanh(h)));
    loss = nn_softmax_cross_entropy(y);
    fill(x, ROWS * WIDE, 5);
    for (size_t rows = 1; rows <= ROWS; rows++) {
        CHECK_OK(nn_feed(in, x, rows));
        CHECK_OK(nn_feed_labels(loss, labels, rows));
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_INT(y->size, rows * WIDE);
        check_apart(net);
        for (size_t i = 0; i < rows * WIDE; i++) {
            const double v = (double)h->data[i];
            CHECK_NEAR(y->data[i], exp(v) * (v - tanh(v)), 1e-4);
        }
    }
    nn_net_destroy(net);
}

static nn_status run_step(model *m, size_t rows)
{
    static nn_real x[BATCH * 4 * IN];
    int labels[BATCH * 4];
    nn_status status;
    draw_samples(x, labels, rows);
    if ((status = nn_feed(m->x, x, rows)) != NN_OK) return status;
    if ((status = nn_feed_labels(m->loss, labels, rows)) != NN_OK) return status;
    if ((status = nn_forward(m->total)) != NN_OK) return status;
    if ((status = nn_backward(m->total)) != NN_OK) return status;
    return nn_step(m->net);
}

static nn_status use_adam(nn_net *net)
{
    nn_optimizer_desc adam = nn_adam(0.01);
    return nn_set_optimizer(net, &adam);
}

static void test_no_allocation_after_the_first_step(void)
{
    static const size_t batches[] = {BATCH, 3, 1, BATCH, BATCH - 1, 2};
    heap h;
    memset(&h, 0, sizeof h);
    size_t before = plain_heap.calls;
    model m = build_model(net_on_heap(&h), 0.25);
    CHECK_OK(use_adam(m.net));
    CHECK_OK(run_step(&m, BATCH));
    for (int round = 0; round < 2; round++) {
        size_t calls = h.calls;
        for (size_t k = 0; k < COUNT(batches); k++) {
            CHECK_OK(run_step(&m, batches[k]));
            CHECK_OK(nn_backward_add(m.total));
            nn_net_set_training(m.net, 0);
            CHECK_OK(nn_forward(m.total));
            nn_net_set_training(m.net, 1);
        }
        CHECK_INT(h.calls, calls);
        CHECK_OK(run_step(&m, 4 * BATCH)); /* larger than before: now it may */
        CHECK(round > 0 || h.calls > calls);
    }
    nn_net_destroy(m.net);
    CHECK_INT(h.live, 0);
    CHECK(h.calls > 0);
    CHECK_INT(plain_heap.calls, before); /* all of it came from the network's own allocator */
}

static void test_default_allocator(void)
{
    size_t live = plain_heap.live, calls = plain_heap.calls;
    model m = build_model(seeded_net(3), 0);
    CHECK_OK(use_adam(m.net));
    CHECK_OK(run_step(&m, BATCH));
    CHECK(plain_heap.calls > calls);
    CHECK(plain_heap.live > live);
    nn_net_destroy(m.net);
    CHECK_INT(plain_heap.live, live);
}

static nn_status build_and_run(heap *h)
{
    nn_net *net = net_on_heap(h);
    if (!net)
        return strstr(nn_last_error(), "memory") ? NN_ERROR_OUT_OF_MEMORY : NN_ERROR_BAD_ARGUMENT;
    model m = build_model(net, 0.25);
    nn_status status = nn_net_status(net);
    CHECK((status == NN_OK) == (m.total != NULL));
    if (status == NN_OK) status = use_adam(net);
    if (status == NN_OK) status = run_step(&m, 2);
    if (status == NN_OK) status = run_step(&m, BATCH);
    if (status != NN_OK) CHECK(strstr(nn_last_error(), "memory") != NULL);
    nn_net_destroy(net);
    return status;
}

/* Memory runs out at the first call, at the second, ...: once, and for good. */
static void test_out_of_memory(void)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t k = 1;
        for (; k < 10000; k++) {
            heap h;
            memset(&h, 0, sizeof h);
            h.fail_at = k;
            h.for_good = for_good;
            nn_status status = build_and_run(&h);
            CHECK_INT(h.live, 0);
            if (status == NN_OK) CHECK(h.calls < k);
            if (status == NN_OK) break;
            CHECK_INT(status, NN_ERROR_OUT_OF_MEMORY);
        }
        CHECK(k > 10 && k < 10000);
    }
}

/* Everything that takes memory of a network, one after the other; what is made is never NULL while
   all is well, and always NULL afterwards. */
static nn_status build_everything(heap *h)
{
    static const size_t three[] = {3};
    static const nn_real ones[] = {1, 1, 1}, x[2 * 3] = {1, 2, 3, 4, 5, 6};
    static const int labels[] = {1, 0};
    static const nn_op read = {"read", read_labels, NULL, NULL, NULL, 0, NULL};
    nn_loss_desc desc;
    nn_net *net = net_on_heap(h);
    if (!net) return NN_ERROR_OUT_OF_MEMORY;
    memset(&desc, 0, sizeof desc);
    desc.class_weights = ones;
    desc.sample_weights = 1;
    nn_tensor *in = nn_input(net, 3), *ids = nn_input_labels(net, 0, NULL, 2);
    nn_tensor *b = nn_name(nn_buffer(net, 1, three, nn_init_constant(1), NULL), "mean");
    nn_tensor *y = dense_named(nn_softmax_axis(nn_mul(in, b), 0), 3, "layer");
    nn_tensor *loss = nn_loss(y, NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc);
    nn_tensor *term = nn_mean(nn_custom(1, &ids, 1, 0, NULL, &read, NULL));
    nn_tensor *product = nn_mul(term, nn_sum(nn_max_axis(y, 0, 1)));
    nn_tensor *all = nn_weight_penalty(nn_add(loss, product), 0, 1);
    nn_status status = nn_net_status(net);
    CHECK((status == NN_OK) == (all != NULL));
    if (status != NN_OK)
        CHECK_ERROR(nn_forward(all), NN_ERROR_OUT_OF_MEMORY, "nn_forward", "memory");
    if (status == NN_OK) status = use_adam(net);
    for (size_t rows = 1; rows <= 2; rows++) {
        if (status == NN_OK) status = nn_feed(in, x, rows);
        if (status == NN_OK) status = nn_feed_labels(ids, labels, rows);
        if (status == NN_OK) status = nn_feed_labels(loss, labels, rows);
        if (status == NN_OK) status = nn_feed_weights(loss, ones, rows);
        if (status == NN_OK) status = nn_forward(all);
        if (status == NN_OK) status = nn_backward(all);
        if (status == NN_OK) status = nn_step(net);
        if (status == NN_OK) status = nn_forward(loss);
        if (status == NN_OK) status = nn_backward_add(loss);
    }
    if (status == NN_OK) CHECK_NEAR(term->value, 0.5, 0);
    nn_net_destroy(net);
    return status;
}

static void test_out_of_memory_everywhere(void)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t k = 1;
        for (; k < 1000; k++) {
            heap h;
            memset(&h, 0, sizeof h);
            h.fail_at = k;
            h.for_good = for_good;
            nn_status status = build_everything(&h);
            CHECK_INT(h.live, 0);
            if (status == NN_OK) break;
            CHECK_INT(status, NN_ERROR_OUT_OF_MEMORY);
        }
        CHECK(k > 10 && k < 1000);
    }
}

/* Memory of a network that only predicts: its weights, what the layers take and give, and at most
   three tenths of that on top; no gradients, no state, no room for a batch that was never fed. The
   activation as a layer of its own has an input and an output, too. */
static void test_memory_of_inference(void)
{
    static nn_real x[64];
    for (int fused = 0; fused < 2; fused++) {
        heap h;
        nn_dense_desc relu;
        memset(&h, 0, sizeof h);
        memset(&relu, 0, sizeof relu);
        relu.units = 32;
        relu.activation = NN_ACTIVATION_RELU;
        nn_net *net = net_on_heap(&h);
        nn_tensor *in = nn_input(net, 64);
        nn_tensor *hidden = fused ? nn_dense_with(in, &relu) : nn_relu(nn_dense(in, 32));
        nn_tensor *y = nn_dense(hidden, 10);
        CHECK_OK(nn_feed(in, x, 1));
        CHECK_OK(nn_forward(y));
        const size_t reals = (65 * 32 + 33 * 10) + 64 + 32 + (fused ? 0 : 32) + 10;
        const double ratio = (double)h.bytes / (double)(reals * sizeof(nn_real));
        if (FAILS(ratio <= 1.3))
            printf("%llu bytes, %.3f times\n", (unsigned long long)h.bytes, ratio);
        const nn_tensor *t;
        for (size_t i = 0; (t = nn_net_tensor(net, i)) != NULL; i++) CHECK(t->grad == NULL);
        nn_net_destroy(net);
        CHECK_INT(h.live, 0);
        CHECK_INT(h.bytes, 0);
    }
}

/* A run that found no memory can be tried again, and nothing of the first try is left. */
static void test_run_after_out_of_memory(void)
{
    model right = build_model(seeded_net(3), 0);
    CHECK_OK(use_adam(right.net));
    CHECK_OK(run_step(&right, BATCH));
    size_t k = 1, failed = 0;
    for (; k < 1000; k++) {
        heap h;
        memset(&h, 0, sizeof h);
        model m = build_model(net_on_heap(&h), 0);
        CHECK_OK(use_adam(m.net));
        size_t calls = h.calls;
        h.fail_at = calls + k;
        nn_status status = run_step(&m, BATCH);
        if (status != NN_OK) {
            failed++;
            CHECK_INT(status, NN_ERROR_OUT_OF_MEMORY);
            CHECK_OK(nn_net_status(m.net));
            CHECK_OK(run_step(&m, BATCH));
        }
        CHECK(m.total->value == right.total->value);
        for (size_t id = 0; id < nn_net_tensor_count(m.net); id++) {
            const nn_tensor *a = nn_net_tensor(m.net, id), *b = nn_net_tensor(right.net, id);
            if (strcmp(a->op->name, "parameter") == 0)
                CHECK(memcmp(a->data, b->data, a->size * sizeof *a->data) == 0);
        }
        nn_net_destroy(m.net);
        CHECK_INT(h.live, 0);
        if (status == NN_OK) break;
    }
    CHECK(failed > 0 && k < 1000);
    nn_net_destroy(right.net);
}

/* A batch for which there is no room leaves the network able to run the one before. */
static void test_small_batch_after_out_of_memory(void)
{
    model right = build_model(seeded_net(3), 0);
    CHECK_OK(use_adam(right.net));
    CHECK_OK(run_step(&right, BATCH));
    CHECK_OK(run_step(&right, BATCH));
    size_t k = 1;
    for (; k < 100; k++) {
        heap h;
        memset(&h, 0, sizeof h);
        model m = build_model(net_on_heap(&h), 0);
        CHECK_OK(use_adam(m.net));
        CHECK_OK(run_step(&m, BATCH));
        h.fail_at = h.calls + k;
        nn_status status = run_step(&m, 4 * BATCH);
        if (status != NN_OK) {
            CHECK_INT(status, NN_ERROR_OUT_OF_MEMORY);
            CHECK_OK(run_step(&m, BATCH));
            CHECK(m.total->value == right.total->value);
        }
        nn_net_destroy(m.net);
        if (status == NN_OK) break;
    }
    CHECK(k > 1 && k < 100);
    nn_net_destroy(right.net);
}

/* ------------------------------------------------------------------------------------ gradients */

/* loss = sum of x W, so that dW is the column sums of x, whatever W is. */
static nn_tensor *linear_loss(nn_net *net)
{
    nn_tensor *x = nn_input(net, 2);
    return nn_sum(nn_matmul(x, parameter(net, 2, 2, "w")));
}

static void check_gradient(const nn_tensor *w, double first, double second)
{
    CHECK(w->grad != NULL);
    if (!w->grad) return;
    CHECK_NEAR(w->grad[0], first, 0);
    CHECK_NEAR(w->grad[1], first, 0);
    CHECK_NEAR(w->grad[2], second, 0);
    CHECK_NEAR(w->grad[3], second, 0);
}

static void test_backward_overwrites_and_adds(void)
{
    static const nn_real data[] = {1, 2, 3, 5}, more[] = {10, 20};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = linear_loss(net), *w = nn_net_find(net, "w"), *x = nn_net_tensor(net, 0);
    x->requires_grad = 1;
    w->data[0] = 7;
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward_add(loss)); /* to the zeros of the start */
    check_gradient(w, 4, 7);
    CHECK_OK(nn_backward_add(loss));
    check_gradient(w, 8, 14);
    CHECK_NEAR(x->grad[0], 7, 0); /* of parameters only */
    CHECK_OK(nn_backward(loss));
    check_gradient(w, 4, 7);
    CHECK_OK(nn_backward(loss));
    check_gradient(w, 4, 7);
    CHECK_OK(nn_feed(x, more, 1));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward_add(loss));
    check_gradient(w, 14, 27);
    nn_net_destroy(net);
}

static void test_input_gradient(void)
{
    static const nn_real data[] = {1, 2, 3, 5};
    for (int late = 0; late < 2; late++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input(net, 2), *w;
        if (!late) x->requires_grad = 1;
        w = parameter(net, 2, 2, "w");
        nn_tensor *loss = nn_sum(nn_tanh(nn_matmul(nn_scale(x, 2), w)));
        CHECK_OK(nn_feed(x, data, 2));
        if (late) {
            /* No gradient was asked for; then it is, after a run. */
            CHECK_OK(nn_forward(loss));
            CHECK_OK(nn_backward(loss));
            CHECK(x->grad == NULL);
            x->requires_grad = 1;
        }
        for (size_t i = 0; i < 4; i++) w->data[i] = 0;
        w->data[1] = 3;
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK(x->grad != NULL);
        for (size_t r = 0; r < 2 && x->grad; r++) {
            double t = tanh(6 * (double)data[2 * r]);
            CHECK_NEAR(x->grad[2 * r], 6 * (1 - t * t), 1e-5);
            CHECK_NEAR(x->grad[2 * r + 1], 0, 0);
        }
        nn_net_destroy(net);
    }
}

static void test_backward_needs_forward(void)
{
    static const nn_real data[20] = {0};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = linear_loss(net), *x = nn_net_tensor(net, 0), *other = nn_mean(x);
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "backward", "forward");
    CHECK_ERROR(nn_backward_add(loss), NN_ERROR_BAD_ARGUMENT, "forward", "");
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "forward", "");
    CHECK_OK(nn_forward(other));
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "forward", "");
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    /* Another batch was fed since: the values in the network are not those of the loss. */
    CHECK_OK(nn_feed(x, data, 10));
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "forward", "");
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    nn_net_destroy(net);
}

/* What backward reads must be what forward saw, or it reads past the end of what was fed. */
static void test_backward_after_other_answers(void)
{
    static const nn_real data[3 * 64] = {0}, targets[3] = {1};
    static int labels[64];
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 3), *loss = nn_softmax_cross_entropy(nn_dense(x, 3));
    CHECK_OK(nn_feed(x, data, 64));
    CHECK_OK(nn_feed_labels(loss, labels, 64));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_feed_targets(loss, targets, 1));
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "forward", "");
    CHECK_OK(nn_feed_labels(loss, labels, 64));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    nn_net_destroy(net);
}

/* Labels, targets or weights that were fed since make the run one of something else; values of
   parameters that were set do not, for then it is the gradient at what the run has seen. */
static void test_backward_after_anything_new(void)
{
    static const nn_real data[] = {1, 2, 3, 4}, weights[] = {1, 2}, targets[] = {0, 1, 1, 0};
    static const int labels[] = {0, 1};
    nn_loss_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.sample_weights = 1;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *other = nn_input(net, 1);
    nn_tensor *ids = nn_input_labels(net, 0, NULL, 9);
    nn_tensor *loss = nn_loss(nn_dense(x, 2), NN_LOSS_SOFTMAX_CROSS_ENTROPY, &desc);
    for (int what = 0; what < 7; what++) {
        CHECK_OK(nn_feed(x, data, 2));
        CHECK_OK(nn_feed_labels(loss, labels, 2));
        CHECK_OK(nn_feed_weights(loss, weights, 2));
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        if (what == 0) CHECK_OK(nn_feed_labels(loss, labels, 2));
        if (what == 1) CHECK_OK(nn_feed_targets(loss, targets, 2));
        if (what == 2) CHECK_OK(nn_feed_weights(loss, weights, 2));
        if (what == 3) CHECK_OK(nn_feed(x, data, 2));
        if (what == 4) CHECK_OK(nn_feed(other, data, 2));
        if (what == 5) CHECK_OK(nn_feed_labels(ids, labels, 2));
        if (what == 6) CHECK_OK(nn_forward(nn_weight(loss->src[0])));
        CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "nn_backward: ", "nn_forward");
        CHECK_ERROR(nn_backward_add(loss), NN_ERROR_BAD_ARGUMENT, "nn_backward: ", "nn_forward");
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
    }
    /* What is refused changes nothing. */
    CHECK_ERROR(nn_feed_weights(loss, NULL, 2), NN_ERROR_BAD_ARGUMENT, "nn_feed_weights", "NULL");
    CHECK_OK(nn_backward(loss));
    nn_net_destroy(net);
}

/* A new network: its own answer, and no backward where that lacks dropout, however late the
   training mode is chosen. In training: dropout, and backward. In evaluation: the answer, and
   backward. */
static void test_modes(void)
{
    static const nn_real data[64] = {1};
    for (int dropout = 0; dropout < 2; dropout++) {
        nn_net *net = seeded_net(7);
        nn_tensor *x = nn_input(net, 64), *h = nn_add(x, parameter(net, 1, 64, "w"));
        nn_init one = nn_init_constant(1);
        nn_tensor *y = dropout ? nn_dropout(h, 0.5) : nn_tanh(h), *loss = nn_sum(y);
        CHECK_OK(nn_initialize(nn_net_find(net, "w"), one));
        CHECK(!nn_net_is_training(net) && !nn_net_is_training(NULL));
        CHECK_OK(nn_feed(x, data, 1));
        CHECK_OK(nn_forward(loss));
        if (dropout) {
            CHECK_NEAR(loss->value, 65, 0);
            CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "nn_backward: dropout",
                        "nn_net_set_training");
            CHECK_ERROR(nn_backward_add(loss), NN_ERROR_BAD_ARGUMENT, "nn_backward: dropout", "");
            nn_net_set_training(net, 1);
            CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "nn_backward: ", "nn_forward");
        } else CHECK_OK(nn_backward(loss));
        nn_net_set_training(net, 1);
        CHECK(nn_net_is_training(net));
        CHECK_OK(nn_forward(loss));
        CHECK(!dropout || fabs(loss->value - 65) >= 1);
        CHECK_OK(nn_backward(loss));
        nn_net_set_training(net, 0);
        CHECK(!nn_net_is_training(net));
        CHECK_OK(nn_forward(loss));
        CHECK(!dropout || loss->value == 65);
        CHECK_OK(nn_backward(loss));
        CHECK_OK(nn_net_status(net));
        nn_net_destroy(net);
    }
}

/* A scalar parameter run for itself: its value, a gradient of 1, and penalties on it that hold. */
static void test_scalar_parameter(void)
{
    static const size_t ones[] = {1, 1};
    for (int rank = 0; rank <= 2; rank++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *p = nn_parameter(net, rank, ones, nn_init_constant(-3), "p");
        nn_tensor *loss = nn_weight_penalty(p, 1, 0.5), *twice = nn_add(p, nn_scale(p, 2));
        CHECK_OK(nn_net_status(net));
        CHECK_OK(nn_forward(p));
        CHECK_NEAR(p->value, -3, 0);
        CHECK_OK(nn_backward(p));
        CHECK_NEAR(p->grad[0], 1, 0);
        CHECK_OK(nn_backward_add(p));
        CHECK_NEAR(p->grad[0], 2, 0);
        CHECK_OK(nn_backward(p));
        CHECK_NEAR(p->grad[0], 1, 0);
        CHECK_OK(nn_forward(loss));
        CHECK_NEAR(loss->value, -3 + 3 + 0.5 * 9, 0);
        CHECK_OK(nn_backward(loss));
        CHECK_NEAR(p->grad[0], 1 - 1 - 3, 0);
        p->data[0] = 3;
        CHECK_OK(nn_forward(loss));
        CHECK_NEAR(loss->value, 3 + 3 + 4.5, 0);
        CHECK_OK(nn_backward_add(loss));
        CHECK_NEAR(p->grad[0], -3 + 1 + 1 + 3, 0);
        CHECK_OK(nn_forward(twice));
        CHECK_NEAR(twice->value, 9, 0);
        CHECK_OK(nn_backward(twice));
        CHECK_NEAR(p->grad[0], 3, 0);
        nn_tensor *b = nn_buffer(net, rank, ones, nn_init_constant(4), "b");
        CHECK_OK(nn_forward(b));
        CHECK_NEAR(b->value, 4, 0);
        CHECK_OK(nn_backward(b));
        CHECK(b->grad == NULL && p->grad[0] == 0);
        nn_net_destroy(net);
    }
}

/* -- plans -- */

/* Two losses on two inputs, with a parameter each and one in common. */
typedef struct two_losses {
    nn_net *net;
    nn_tensor *x, *z, *w, *v, *common, *a, *b, *both;
} two_losses;

static two_losses build_two(nn_net *net)
{
    two_losses t;
    t.net = net;
    t.x = nn_input(net, 2), t.z = nn_input(net, 2);
    t.w = parameter(net, 1, 2, "w"), t.v = parameter(net, 1, 2, "v");
    t.common = parameter(net, 1, 2, "common");
    t.a = nn_sum(nn_mul(nn_add(t.x, t.common), nn_add(t.x, t.w)));
    t.b = nn_sum(nn_mul(nn_add(t.z, t.common), nn_add(t.z, t.v)));
    t.both = nn_add(t.a, nn_scale(t.b, 10));
    for (size_t i = 0; i < 2; i++)
        t.w->data[i] = 1, t.v->data[i] = 2, t.common->data[i] = 3;
    return t;
}

/* Targets and batches by turns: with sums of a column x of n rows, and weights 1, 2 and 3,
   a = sum (x + 3)(x + 1), da/dw = sum (x + 3), da/dcommon = sum (x + 1). */
static void test_alternating_targets(void)
{
    static const nn_real rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const size_t batches[][2] = {{2, 2}, {2, 5}, {1, 5}, {5, 1}, {3, 3}, {4, 2}};
    heap h;
    memset(&h, 0, sizeof h);
    two_losses t = build_two(net_on_heap(&h));
    CHECK_OK(nn_net_status(t.net));
    size_t calls = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t k = 0; k < COUNT(batches); k++) {
            const size_t n = batches[k][0], m = batches[k][1];
            double sum_x = 0, sum_z = 0;
            for (size_t i = 0; i < n; i++) sum_x += (double)rows[2 * i];
            for (size_t i = 0; i < m; i++) sum_z += (double)rows[2 * i];
            CHECK_OK(nn_feed(t.x, rows, n));
            CHECK_OK(nn_feed(t.z, rows, m));
            for (int again = 0; again < 2; again++) {
                CHECK_OK(nn_forward(t.a));
                CHECK_OK(nn_backward(t.a));
                CHECK_NEAR(t.w->grad[0], sum_x + 3 * (double)n, 0);
                CHECK_NEAR(t.common->grad[0], sum_x + (double)n, 0);
                CHECK(t.v->grad[0] == 0 && t.v->grad[1] == 0);
                CHECK_OK(nn_forward(t.b));
                CHECK_OK(nn_backward(t.b));
                CHECK_NEAR(t.v->grad[0], sum_z + 3 * (double)m, 0);
                CHECK_NEAR(t.common->grad[0], sum_z + 2 * (double)m, 0);
                CHECK(t.w->grad[0] == 0 && t.w->grad[1] == 0);
            }
            if (n != m) CHECK_ERROR(nn_forward(t.both), NN_ERROR_MISMATCH, "nn_forward", "rows");
            if (n != m) continue;
            CHECK_OK(nn_forward(t.both));
            CHECK_OK(nn_backward(t.both));
            CHECK_NEAR(t.w->grad[0], sum_x + 3 * (double)n, 0);
            CHECK_NEAR(t.v->grad[0], 10 * (sum_z + 3 * (double)m), 0);
            CHECK_NEAR(t.common->grad[0], sum_x + (double)n + 10 * (sum_z + 2 * (double)m), 0);
        }
        check_apart(t.net);
        CHECK(round == 0 || h.calls == calls); /* the second round finds all that it needs */
        calls = h.calls;
    }
    nn_net_destroy(t.net);
    CHECK_INT(h.live, 0);
}

/* An input outside the present plan is fed more rows than its gradient was laid out for. */
static void test_outside_input_grows(void)
{
    static const nn_real rows[2 * 64] = {1};
    for (int add = 0; add < 2; add++) {
        two_losses t = build_two(nn_net_create(NULL));
        t.z->requires_grad = 1;
        CHECK_OK(nn_feed(t.x, rows, 1));
        CHECK_OK(nn_feed(t.z, rows, 1));
        CHECK_OK(nn_forward(t.both));
        CHECK_OK(nn_backward(t.both));
        CHECK(t.z->grad && t.z->grad[0] == 10 * (3 + 2 + 2));
        CHECK_OK(nn_forward(t.a));
        CHECK_OK(nn_feed(t.z, rows, 64));
        CHECK_OK(nn_forward(t.a));
        CHECK_OK(add ? nn_backward_add(t.a) : nn_backward(t.a));
        check_apart(t.net);
        for (size_t i = 0; t.z->grad && i < t.z->size; i++) CHECK(t.z->grad[i] == 0);
        CHECK_OK(nn_forward(t.b));
        CHECK_OK(nn_backward(t.b));
        CHECK(t.z->grad && t.z->grad[126] == 3 + 2);
        nn_net_destroy(t.net);
    }
}

/* A tensor more, between runs and between forward and backward. */
static void test_network_that_grows(void)
{
    static const nn_real rows[] = {1, 2, 3, 4};
    two_losses t = build_two(nn_net_create(NULL));
    CHECK_OK(nn_feed(t.x, rows, 2));
    CHECK_OK(nn_forward(t.a));
    CHECK_OK(nn_backward(t.a));
    CHECK_NEAR(t.w->grad[1], 2 + 4 + 6, 0);
    nn_tensor *more = parameter(t.net, 1, 2, "more");
    nn_tensor *c = nn_sum(nn_mul(nn_add(t.x, more), nn_tanh(t.w)));
    CHECK(more->grad == NULL);
    CHECK_OK(nn_backward(t.a)); /* of the run before */
    CHECK_NEAR(t.w->grad[1], 2 + 4 + 6, 0);
    CHECK_OK(nn_forward(t.a));
    CHECK_OK(nn_backward(t.a));
    CHECK(more->grad && more->grad[0] == 0);
    CHECK_NEAR(t.w->grad[1], 2 + 4 + 6, 0);
    nn_tensor *sum = nn_add(t.a, c);
    CHECK_OK(nn_forward(sum));
    nn_tensor *half = nn_scale(sum, 0.5); /* between forward and backward */
    CHECK_OK(nn_backward(sum));
    CHECK_NEAR(more->grad[0], 2 * tanh(1.0), 1e-6);
    CHECK_NEAR(t.w->grad[0], 1 + 3 + 6 + (1 + 3) * (1 - tanh(1.0) * tanh(1.0)), 1e-5);
    CHECK_OK(nn_forward(half));
    CHECK_NEAR(half->value, sum->value / 2, 0);
    check_apart(t.net);
    nn_net_destroy(t.net);
}

/* Switched on and off between runs, and between forward and backward. */
static void test_requires_grad_switched(void)
{
    static const nn_real rows[] = {1, 2, 3, 4};
    static const int want[][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 0}, {1, 1}, {1, 0}};
    for (int late = 0; late < 2; late++) {
        two_losses t = build_two(nn_net_create(NULL));
        CHECK_OK(nn_feed(t.x, rows, 2));
        CHECK_OK(nn_feed(t.z, rows, 2));
        for (size_t k = 0; k < COUNT(want); k++) {
            if (late) CHECK_OK(nn_forward(t.both));
            t.x->requires_grad = want[k][0], t.z->requires_grad = want[k][1];
            if (!late) CHECK_OK(nn_forward(t.both));
            CHECK_OK(nn_backward(t.both));
            CHECK(!t.x->grad == !want[k][0] && !t.z->grad == !want[k][1]);
            for (size_t i = 0; i < 4; i++) {
                if (t.x->grad) CHECK_NEAR(t.x->grad[i], 2 * rows[i] + 4, 0);
                if (t.z->grad) CHECK_NEAR(t.z->grad[i], 10 * (2 * rows[i] + 5), 0);
            }
            CHECK_NEAR(t.w->grad[0], 1 + 3 + 6, 0);
            CHECK_NEAR(t.v->grad[0], 10 * (1 + 3 + 6), 0);
            CHECK_OK(nn_forward(t.b)); /* x does not lead here */
            CHECK_OK(nn_backward(t.b));
            for (size_t i = 0; i < 4; i++) {
                if (t.x->grad) CHECK(t.x->grad[i] == 0);
                if (t.z->grad) CHECK_NEAR(t.z->grad[i], 2 * rows[i] + 5, 0);
            }
            check_apart(t.net);
        }
        nn_net_destroy(t.net);
    }
}

/* A batch in parts, and a loss that some parameters do not belong to: those keep what they have. */
static void test_backward_add_in_parts(void)
{
    static const nn_real rows[] = {1, 2, 3, 4, 5, 6, 7, 8};
    two_losses t = build_two(nn_net_create(NULL)), whole = build_two(nn_net_create(NULL));
    CHECK_OK(nn_feed(whole.x, rows, 4));
    CHECK_OK(nn_feed(whole.z, rows, 4));
    CHECK_OK(nn_forward(whole.both));
    CHECK_OK(nn_backward(whole.both));
    t.x->requires_grad = 1;
    for (int round = 0; round < 2; round++) {
        CHECK_OK(nn_feed(t.x, rows, 1));
        CHECK_OK(nn_feed(t.z, rows, 1));
        CHECK_OK(nn_forward(t.both));
        CHECK_OK(nn_backward(t.both)); /* overwrites what the round before left */
        CHECK_OK(nn_feed(t.x, rows + 2, 3));
        CHECK_OK(nn_forward(t.a));
        CHECK_OK(nn_backward_add(t.a)); /* v, which is not in a, keeps its own */
        CHECK_NEAR(t.v->grad[0], 10 * (1 + 3), 0);
        CHECK_NEAR(t.x->grad[0], 2 * 3 + 4, 0); /* no parameter: not added to */
        CHECK_OK(nn_feed(t.z, rows + 2, 3));
        nn_tensor *ten = nn_scale(t.b, 10);
        CHECK_OK(nn_forward(ten));
        CHECK_OK(nn_backward_add(ten));
        for (size_t i = 0; i < 2; i++) {
            CHECK_NEAR(t.w->grad[i], whole.w->grad[i], 0);
            CHECK_NEAR(t.v->grad[i], whole.v->grad[i], 0);
            CHECK_NEAR(t.common->grad[i], whole.common->grad[i], 0);
        }
    }
    /* What was kept while it was added to is zero again once it is overwritten. */
    CHECK_OK(nn_forward(t.a));
    CHECK_OK(nn_backward_add(t.a));
    CHECK(t.v->grad[0] == whole.v->grad[0]);
    CHECK_OK(nn_backward(t.a));
    CHECK(t.v->grad[0] == 0 && t.v->grad[1] == 0);
    nn_net_destroy(t.net);
    nn_net_destroy(whole.net);
}

/* A run of one part of the network leaves the batches of the others alone. */
static void test_parts_with_their_own_batches(void)
{
    static const nn_real data[2 * 64] = {0};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *a = nn_input(net, 2), *b = nn_input(net, 2), *p = nn_tanh(parameter(net, 2, 2, "w"));
    nn_tensor *left = nn_tanh(a), *right = nn_tanh(b);
    CHECK_OK(nn_feed(a, data, 5));
    CHECK_OK(nn_feed(b, data, 64));
    CHECK_OK(nn_forward(left));
    CHECK_OK(nn_forward(right));
    CHECK_INT(right->size, 128);
    CHECK_INT(a->shape[0], 5);
    CHECK_INT(a->size, 10);
    CHECK_OK(nn_forward(p));
    CHECK_INT(a->size, 10);
    CHECK_INT(b->size, 128);
    CHECK_OK(nn_forward(left));
    CHECK_INT(left->size, 10);
    CHECK_INT(b->size, 128);
    nn_net_destroy(net);
}

static void test_backward_needs_a_scalar(void)
{
    static const nn_real data[] = {1, 2};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *y = nn_matmul(x, parameter(net, 2, 1, "w"));
    CHECK_OK(nn_feed(x, data, 1));
    CHECK_OK(nn_forward(y));
    CHECK_ERROR(nn_backward(y), NN_ERROR_BAD_SHAPE, "backward", "");
    CHECK_ERROR(nn_backward_add(y), NN_ERROR_BAD_SHAPE, "backward", "");
    nn_net_destroy(net);
}

/* What a loss does not depend on gets zeros, even where another loss left a gradient. */
static void test_gradient_of_the_unused(void)
{
    static const nn_real data[] = {1, 2};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *w = parameter(net, 2, 2, "w"), *v = parameter(net, 2, 2, "v");
    nn_tensor *left = nn_matmul(x, w), *right = nn_matmul(x, v);
    nn_tensor *a = nn_sum(left), *b = nn_sum(right), *both = nn_add(a, b);
    CHECK_OK(nn_feed(x, data, 1));
    CHECK_OK(nn_forward(both));
    CHECK_OK(nn_backward(both));
    check_gradient(w, 1, 2);
    check_gradient(v, 1, 2);
    CHECK_OK(nn_forward(a));
    CHECK_OK(nn_backward(a));
    check_gradient(w, 1, 2);
    check_gradient(v, 0, 0);
    for (size_t i = 0; i < 2; i++) CHECK(!right->grad || right->grad[i] == 0);
    for (size_t i = 0; i < 2; i++) CHECK(left->grad && left->grad[i] == 1);
    CHECK_OK(nn_forward(b));
    CHECK_OK(nn_backward_add(b)); /* v gains, and w keeps what it has */
    check_gradient(w, 1, 2);
    check_gradient(v, 1, 2);
    nn_net_destroy(net);
}

static void test_frozen(void)
{
    static const nn_real data[] = {1, 2};
    nn_optimizer_desc desc = nn_sgd(0.5, 0);
    desc.weight_decay = 0.5;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *w = parameter(net, 2, 2, "w"), *v = parameter(net, 2, 2, "v");
    nn_tensor *loss = nn_sum(nn_add(nn_matmul(x, w), nn_matmul(x, v)));
    for (size_t i = 0; i < 4; i++) w->data[i] = v->data[i] = 8;
    v->frozen = 1;
    CHECK_OK(nn_set_optimizer(net, &desc));
    CHECK_OK(nn_feed(x, data, 1));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_OK(nn_step(net));
    for (size_t i = 0; i < 4; i++) {
        CHECK_NEAR(v->data[i], 8, 0);
        CHECK_NEAR(w->data[i], 8 - 0.5 * (data[i / 2] + 0.5 * 8), 0);
    }
    v->frozen = 0;
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_OK(nn_step(net));
    CHECK_NEAR(v->data[3], 5, 0);
    nn_net_destroy(net);
}

/* ----------------------------------------------------------------------- operations of the user */

typedef struct cube {
    int forward_calls, backward_calls;
    nn_status forward_status, backward_status;
    double factor;
} cube;

static nn_status cube_forward(nn_tensor *t)
{
    cube *c = (cube *)t->settings;
    const nn_real *x = t->src[0]->data;
    c->forward_calls++;
    for (size_t i = 0; i < t->size; i++) t->data[i] = (nn_real)c->factor * x[i] * x[i] * x[i];
    return c->forward_status;
}

static nn_status cube_backward(nn_tensor *t)
{
    cube *c = (cube *)t->settings;
    const nn_real *x = t->src[0]->data;
    c->backward_calls++;
    for (size_t i = 0; i < t->size && t->src[0]->grad; i++)
        t->src[0]->grad[i] += 3 * (nn_real)c->factor * x[i] * x[i] * t->grad[i];
    return c->backward_status;
}

static nn_tensor *make_cube(nn_tensor *x, cube *c)
{
    size_t shape = 2;
    nn_op op;
    memset(c, 0, sizeof *c);
    memset(&op, 0, sizeof op);
    c->factor = 2;
    op.name = "cube", op.forward = cube_forward, op.backward = cube_backward;
    nn_tensor *t = nn_custom(1, &x, 1, 1, &shape, &op, c);
    memset(&op, 0, sizeof op); /* it was copied */
    return t;
}

static void test_custom(void)
{
    static const nn_real data[] = {1, 2, 3, -1};
    cube c;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *y = make_cube(x, &c), *loss = nn_sum(nn_add(y, x));
    CHECK_OK(nn_net_status(net));
    CHECK(y->settings == &c);
    CHECK_STR(y->op->name, "cube");
    CHECK(y->batched);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, data, 2));
    for (int run = 1; run <= 2; run++) {
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_INT(c.forward_calls, run);
        CHECK_INT(c.backward_calls, run);
        CHECK_INT(y->shape[0], 2);
        CHECK_INT(y->shape[1], 2);
        CHECK_NEAR(loss->value, 2 * (1 + 8 + 27 - 1) + 5, 0);
        for (size_t i = 0; i < 4; i++) CHECK_NEAR(x->grad[i], 6 * data[i] * data[i] + 1, 0);
    }
    nn_net_destroy(net);
}

static void test_custom_errors_stop_the_run(void)
{
    static const nn_real data[] = {1, 2};
    cube first, second;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *h = make_cube(x, &first);
    nn_tensor *loss = nn_sum(make_cube(h, &second));
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, data, 1));
    first.forward_status = NN_ERROR_BAD_NUMBER;
    CHECK_INT(nn_forward(loss), NN_ERROR_BAD_NUMBER);
    CHECK_INT(first.forward_calls, 1);
    CHECK_INT(second.forward_calls, 0);
    CHECK(nn_backward(loss) != NN_OK); /* no forward has been finished */
    first.forward_status = NN_OK;
    CHECK_OK(nn_forward(loss));
    second.backward_status = NN_ERROR_EMPTY;
    CHECK_INT(nn_backward(loss), NN_ERROR_EMPTY);
    CHECK_INT(second.backward_calls, 1);
    CHECK_INT(first.backward_calls, 0);
    second.backward_status = NN_OK;
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_OK(nn_net_status(net));
    /* (2 (2 x^3)^3)' = 144 x^8 */
    CHECK_NEAR(x->grad[0], 144, 0);
    CHECK_NEAR(x->grad[1], 144 * 256, 0);
    nn_net_destroy(net);
}

/* A source without a gradient has none in backward, and a custom scalar is a loss. */
static nn_status dot_forward(nn_tensor *t)
{
    t->data[0] = 0;
    for (size_t i = 0; i < t->src[0]->size; i++)
        t->data[0] += t->src[0]->data[i] * t->src[1]->data[i];
    return NN_OK;
}

static nn_status dot_backward(nn_tensor *t)
{
    if (t->src[0]->grad || !t->src[1]->grad) return NN_ERROR_MISMATCH;
    for (size_t i = 0; i < t->src[1]->size; i++)
        t->src[1]->grad[i] += t->grad[0] * t->src[0]->data[i];
    return NN_OK;
}

static void test_custom_scalar(void)
{
    static const nn_real data[] = {1, 2, 3, 4};
    static const nn_op op = {"dot", dot_forward, dot_backward, NULL, NULL, 0, NULL};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *src[2];
    src[0] = x;
    src[1] = parameter(net, 2, 2, "w");
    nn_tensor *loss = nn_custom(2, src, 0, 0, NULL, &op, NULL);
    CHECK_OK(nn_net_status(net));
    CHECK_INT(loss->rank, 0);
    CHECK(!loss->batched);
    src[1]->data[3] = 10;
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_NEAR(loss->data[0], 40, 0);
    CHECK_NEAR(loss->value, 40, 0);
    for (size_t i = 0; i < 4; i++) CHECK_NEAR(src[1]->grad[i], data[i], 0);
    nn_net_destroy(net);
}

/* backward NULL: the value counts, and no gradient passes. */
static void test_custom_without_backward(void)
{
    static const nn_op op = {"constant_cube", cube_forward, NULL, NULL, NULL, 0, NULL};
    static const nn_real data[] = {1, 2};
    static const size_t two[] = {2};
    cube c;
    memset(&c, 0, sizeof c);
    c.factor = 2;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *w = parameter(net, 1, 2, "w");
    nn_tensor *h = nn_add(x, w), *y = nn_custom(1, &h, 1, 2, w->shape, &op, &c);
    nn_tensor *loss = nn_sum(nn_mul(y, nn_reshape(h, 2, w->shape))), *alone = nn_sum(y);
    CHECK_OK(nn_net_status(net));
    CHECK(two[0] == h->row_size && !y->requires_grad);
    CHECK_OK(nn_feed(x, data, 1));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_NEAR(loss->value, 2 * (1 + 16), 0);
    CHECK(y->grad == NULL);
    CHECK_NEAR(w->grad[0], 2, 0); /* 2 x^3 stands there as a constant */
    CHECK_NEAR(w->grad[1], 16, 0);
    CHECK_OK(nn_forward(alone));
    CHECK_OK(nn_backward(alone)); /* a loss that no gradient comes back from */
    CHECK(w->grad[0] == 0 && w->grad[1] == 0);
    CHECK_INT(c.backward_calls, 0);
    nn_net_destroy(net);
}

/* y = x^2 by way of working memory, with 2 x and some bytes more kept for backward. Every byte that
   was asked for is written, in forward and in backward. */
static size_t keeper_saved(const nn_tensor *t, size_t rows)
{
    return rows * t->row_size * sizeof(nn_real) + *(const size_t *)t->settings;
}

static size_t keeper_scratch(const nn_tensor *t, size_t rows)
{
    return 3 * keeper_saved(t, rows);
}

static nn_status keeper_forward(nn_tensor *t)
{
    const size_t rows = t->shape[0], extra = *(const size_t *)t->settings;
    nn_real *work = (nn_real *)nn_scratch(t), *saved = (nn_real *)t->saved;
    if (!work || !saved || (size_t)(uintptr_t)work % 64 || (size_t)(uintptr_t)saved % 64)
        return NN_ERROR_MISMATCH;
    memset(work, 255, keeper_scratch(t, rows));
    for (size_t i = 0; i < t->size; i++) work[i] = t->src[0]->data[i];
    memset(saved, 170, keeper_saved(t, rows));
    for (size_t i = 0; i < t->size; i++) saved[i] = 2 * work[i];
    for (size_t i = 0; i < t->size; i++) t->data[i] = work[i] * work[i];
    return ((unsigned char *)(saved + t->size))[extra - 1] == 170 ? NN_OK : NN_ERROR_MISMATCH;
}

static nn_status keeper_backward(nn_tensor *t)
{
    const size_t rows = t->shape[0], extra = *(const size_t *)t->settings;
    const nn_real *saved = (const nn_real *)t->saved;
    const unsigned char *tail = (const unsigned char *)(saved + t->size);
    nn_real *work = (nn_real *)nn_scratch(t);
    for (size_t i = 0; i < extra; i++)
        if (tail[i] != 170) return NN_ERROR_MISMATCH;
    memset(work, 85, keeper_scratch(t, rows));
    for (size_t i = 0; i < t->size; i++) work[i] = saved[i] * t->grad[i];
    for (size_t i = 0; i < t->size; i++) t->src[0]->grad[i] += work[i];
    return NN_OK;
}

static void test_custom_saved_and_scratch(void)
{
    static const nn_op op = {"keeper",     keeper_forward, keeper_backward,
                             keeper_saved, keeper_scratch, 0, NULL};
    static const size_t batches[] = {1, 2, 3, 16, 17, 5, 1, 64, 65};
    static const size_t five[] = {5};
    static nn_real x[65 * 5];
    size_t extra[] = {1, 1000};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input(net, 5);
    nn_tensor *a = nn_custom(1, &in, 1, 1, five, &op, &extra[0]);
    nn_tensor *b = nn_custom(1, &a, 1, 1, five, &op, &extra[1]); /* x^4 */
    nn_tensor *loss = nn_sum(nn_gelu(nn_dense(b, 7))), *power = nn_sum(b);
    CHECK_OK(nn_net_status(net));
    in->requires_grad = 1;
    fill(x, COUNT(x), 12);
    for (size_t k = 0; k < COUNT(batches); k++) {
        CHECK_OK(nn_feed(in, x, batches[k]));
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        CHECK_OK(nn_forward(power));
        CHECK_OK(nn_backward(power));
        CHECK_INT(b->size, 5 * batches[k]);
        for (size_t i = 0; i < b->size; i++) {
            const double v = (double)x[i];
            CHECK_NEAR(b->data[i], v * v * v * v, 1e-6);
            CHECK_NEAR(in->grad[i], 4 * v * v * v, 1e-6);
        }
        check_apart(net);
    }
    nn_net_destroy(net);
}

/* What depends on no input runs before anything was fed: other tensors are then laid out for a batch
   of 1, since nobody expects to be asked about one of 0. */
static size_t saved_by_row(const nn_tensor *t, size_t rows)
{
    CHECK(rows > 0);
    return rows * t->row_size * sizeof(nn_real);
}

static void test_run_before_any_batch(void)
{
    static const nn_op op = {"by_row", cube_forward, NULL, saved_by_row, saved_by_row, 0, NULL};
    static const nn_real rows[2] = {-1, 1};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 1), *w = parameter(net, 1, 2, "w");
    nn_tensor *y = nn_batch_norm(x), *sum = nn_sum(w);
    CHECK(nn_custom(1, &w, 1, 0, NULL, &op, NULL) != NULL);
    CHECK_OK(nn_set_values(w, rows, 2));
    for (int pass = 0; pass < 2; pass++) {
        nn_net_set_training(net, 1);
        CHECK_OK(nn_forward(sum));
        CHECK(sum->value == 0);
        CHECK_OK(nn_backward(sum));
        CHECK(w->grad[0] == 1 && w->grad[1] == 1);
        CHECK_OK(nn_feed(x, rows, 2));
        CHECK_OK(nn_forward(y));
        CHECK_NEAR(y->data[0], -1, 1e-5);
        CHECK_NEAR(y->data[1], 1, 1e-5);
    }
    nn_net_destroy(net);
}

/* Sums of losses with answers of their own, and of a loss and a scalar of the user's: values and
   gradients are the sums of those that each has alone. */
static void test_sums_of_losses(void)
{
    static const nn_real data[] = {1, -2, 3, 4}, targets[] = {0, 1, (nn_real).5, 2};
    static const nn_real w[] = {1, 2, 3, 4};
    static const int labels[] = {1, 0};
    static const nn_op op = {"dot", dot_forward, dot_backward, NULL, NULL, 0, NULL};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *p = parameter(net, 2, 2, "w"), *y = nn_matmul(x, p);
    nn_tensor *term[4], *src[2], *both, *all;
    term[0] = nn_softmax_cross_entropy(y);
    term[1] = nn_mse(y);
    src[0] = x, src[1] = p;
    term[2] = nn_custom(2, src, 0, 0, NULL, &op, NULL); /* of 4 values fed, and the 4 of w */
    term[3] = nn_hinge(y);
    both = nn_add(term[0], nn_scale(term[1], 0.5));
    all = nn_add(nn_sub(both, nn_scale(term[2], 3)), term[3]);
    CHECK_OK(nn_net_status(net));
    CHECK_OK(nn_set_values(p, w, 4));
    CHECK_OK(nn_feed(x, data, 2));
    CHECK_OK(nn_feed_labels(term[0], labels, 2));
    CHECK_OK(nn_feed_targets(term[1], targets, 2));
    CHECK_ERROR(nn_forward(all), NN_ERROR_EMPTY, "nn_forward: nn_hinge", "labels");
    CHECK_OK(nn_feed_labels(term[3], labels, 2));
    double value[4], grad[4][4], weight[] = {1, 0.5, -3, 1};
    for (size_t k = 0; k < 4; k++) {
        CHECK_OK(nn_forward(term[k]));
        CHECK_OK(nn_backward(term[k]));
        value[k] = term[k]->value;
        for (size_t i = 0; i < 4; i++) grad[k][i] = (double)p->grad[i];
    }
    /* y = [-5, -6], [15, 22]: the other column is 1 and 7 above the label's. */
    CHECK_NEAR(value[0], (log1p(exp(1.0)) + 7 + log1p(exp(-7.0))) / 2, 2e-6);
    CHECK_NEAR(value[1], (25 + 49 + 14.5 * 14.5 + 400) / 4, 1e-4);
    CHECK_NEAR(value[2], 1 - 4 + 9 + 16, 0);
    CHECK_NEAR(value[3], (2 + 8) / 2.0, 0);
    for (size_t terms = 2; terms <= 4; terms += 2) {
        nn_tensor *loss = terms == 2 ? both : all;
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        double sum = 0;
        for (size_t k = 0; k < terms; k++) sum += weight[k] * value[k];
        CHECK_NEAR(loss->value, sum, 1e-9 * (1 + fabs(sum)));
        for (size_t i = 0; i < 4; i++) {
            double slope = 0;
            for (size_t k = 0; k < terms; k++) slope += weight[k] * grad[k][i];
            CHECK_NEAR(p->grad[i], slope, 1e-4);
        }
    }
    CHECK_OK(nn_feed_labels(term[3], labels, 1));
    CHECK_ERROR(nn_forward(all), NN_ERROR_MISMATCH, "nn_hinge: 1 labels for a batch of 2", "");
    nn_net_destroy(net);
}

static void test_custom_arguments(void)
{
    static const size_t shape[] = {4}, hole[] = {0};
    static const nn_op good = {"c", cube_forward, cube_backward, NULL, NULL, 0, NULL};
    static const nn_op no_forward = {"c", NULL, cube_backward, NULL, NULL, 0, NULL};
    static const nn_op private_flag = {"c", cube_forward, cube_backward, NULL, NULL, 4, NULL};
    nn_tensor *src[2];
    REJECT(nn_custom(1, &g.x, 1, 1, shape, NULL, NULL), NN_ERROR_BAD_ARGUMENT, "nn_custom: op is",
           "NULL");
    REJECT(nn_custom(1, &g.x, 1, 1, shape, &no_forward, NULL), NN_ERROR_BAD_ARGUMENT, "nn_custom",
           "op.forward is NULL");
    REJECT(nn_custom(1, &g.x, 1, 1, shape, &private_flag, NULL), NN_ERROR_BAD_ARGUMENT,
           "nn_custom: op.flags is 4", "flags of nn_op");
    REJECT(nn_custom(1, &g.x, 1, 1, NULL, &good, NULL), NN_ERROR_BAD_ARGUMENT, "nn_custom", "rank");
    REJECT(nn_custom(1, &g.x, 1, 1, hole, &good, NULL), NN_ERROR_BAD_SHAPE, "nn_custom", "0");
    REJECT(nn_custom(1, &g.x, 1, -1, shape, &good, NULL), NN_ERROR_BAD_ARGUMENT, "nn_custom", "-1");
    REJECT(nn_custom(1, &g.x, 1, NN_MAX_RANK, shape, &good, NULL), NN_ERROR_BAD_ARGUMENT,
           "nn_custom", "8");
    REJECT((src[0] = g.x, src[1] = NULL, nn_custom(2, src, 1, 1, shape, &good, NULL)),
           NN_ERROR_BAD_ARGUMENT, "nn_custom", "source 1 is NULL");
    CHECK(nn_custom(0, src, 1, 1, shape, &good, NULL) == NULL);
    CHECK_ERROR(nn_forward(NULL), NN_ERROR_BAD_ARGUMENT, "nn_forward", "nn_custom: 0 sources");
    CHECK(nn_custom(1, NULL, 1, 1, shape, &good, NULL) == NULL);
}

/* -------------------------------------------------------------------------------------- dropout */

enum { DROPS = 100000 };

static nn_real dropped[DROPS], again[DROPS];

static nn_tensor *dropout_of_ones(nn_net *net, double p)
{
    static const size_t shape[] = {DROPS};
    nn_net_set_training(net, 1);
    return nn_dropout(nn_parameter(net, 1, shape, nn_init_constant(1), "ones"), p);
}

/* Survivors are 1 / (1 - p), their share is 1 - p to five deviations, their places are random. */
static void test_dropout_statistics(void)
{
    static const double rates[] = {0.1, 0.5, 0.8};
    for (size_t k = 0; k < COUNT(rates); k++) {
        double p = rates[k], deviation = sqrt(p * (1 - p) * DROPS);
        size_t kept = 0, pairs = 0;
        nn_net *net = seeded_net(9);
        nn_tensor *y = dropout_of_ones(net, p), *loss = nn_sum(y), *x = y->src[0];
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        for (size_t i = 0; i < DROPS; i++) {
            if (y->data[i] != 0) CHECK_NEAR(y->data[i], 1 / (1 - p), 1e-6);
            CHECK(x->grad[i] == y->data[i]); /* x is 1 */
            kept += y->data[i] != 0;
            pairs += i > 0 && y->data[i] != 0 && y->data[i - 1] != 0;
        }
        CHECK_NEAR(kept, (1 - p) * DROPS, 5 * deviation);
        CHECK_NEAR(pairs, (1 - p) * (1 - p) * DROPS, 10 * deviation);
        nn_net_destroy(net);
    }
}

static void test_dropout_is_the_identity(void)
{
    nn_real x[60];
    fill(x, 60, 8);
    nn_net *net = seeded_net(9);
    nn_tensor *in = nn_input(net, 20), *none = nn_dropout(in, 0), *half = nn_dropout(in, 0.5);
    CHECK_OK(nn_feed(in, x, 3));
    CHECK_OK(nn_forward(half)); /* as in a new network, */
    CHECK(memcmp(half->data, x, sizeof x) == 0);
    nn_net_set_training(net, 0); /* in evaluation, */
    CHECK_OK(nn_forward(half));
    CHECK(memcmp(half->data, x, sizeof x) == 0);
    nn_net_set_training(net, 1); /* and with p = 0 in training */
    CHECK_OK(nn_forward(none));
    CHECK(memcmp(none->data, x, sizeof x) == 0);
    CHECK_OK(nn_forward(half));
    CHECK(memcmp(half->data, x, sizeof x) != 0);
    nn_net_destroy(net);
}

/* Outside training the gradient, too, passes unchanged. */
static void test_dropout_gradient_in_evaluation(void)
{
    nn_net *net = seeded_net(9);
    nn_tensor *y = dropout_of_ones(net, 0.5), *loss = nn_sum(y);
    nn_net_set_training(net, 0);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    for (size_t i = 0; i < DROPS; i++) CHECK(y->src[0]->grad[i] == 1);
    nn_net_destroy(net);
}

static void first_masks(uint64_t seed, nn_real *first, nn_real *second)
{
    nn_net *net = seeded_net(seed);
    nn_tensor *y = dropout_of_ones(net, 0.5);
    CHECK_OK(nn_forward(y));
    memcpy(first, y->data, sizeof dropped);
    CHECK_OK(nn_forward(y));
    if (second) memcpy(second, y->data, sizeof dropped);
    nn_net_destroy(net);
}

static void test_dropout_seeds(void)
{
    static nn_real second[DROPS];
    first_masks(5, dropped, second);
    CHECK(memcmp(dropped, second, sizeof dropped) != 0); /* a new mask in every run */
    first_masks(5, again, NULL);
    CHECK(memcmp(dropped, again, sizeof dropped) == 0);
    first_masks(6, again, NULL);
    CHECK(memcmp(dropped, again, sizeof dropped) != 0);
}

/* ------------------------------------------------------------------------------- initial values */

enum { FAN_IN = 200, FAN_OUT = 300, DRAWS = FAN_IN * FAN_OUT };

/* Mean and deviation to five deviations of their estimates. */
static void check_moments(const nn_tensor *t, double mean, double deviation)
{
    double sum = 0, squares = 0, n = (double)t->size;
    for (size_t i = 0; i < t->size; i++) sum += (double)t->data[i];
    for (size_t i = 0; i < t->size; i++)
        squares += ((double)t->data[i] - mean) * ((double)t->data[i] - mean);
    CHECK_NEAR(sum / n, mean, 5 * deviation / sqrt(n));
    CHECK_NEAR(sqrt(squares / n), deviation, 5 * deviation / sqrt(2 * n));
}

/* All within [low, high], and close to both ends. */
static void check_uniform(const nn_tensor *t, double low, double high)
{
    double least = (double)t->data[0], most = least, slack = 1e-6 * (high - low);
    for (size_t i = 0; i < t->size; i++) {
        least = fmin(least, (double)t->data[i]);
        most = fmax(most, (double)t->data[i]);
    }
    CHECK(least >= low - slack && least < low + 1e-3 * (high - low));
    CHECK(most <= high + slack && most > high - 1e-3 * (high - low));
    check_moments(t, (low + high) / 2, (high - low) / sqrt(12.0));
}

/* The share within one deviation tells a normal distribution from others, the largest a cut one. */
static void check_normal(const nn_tensor *t, double mean, double deviation)
{
    size_t within = 0, beyond = 0;
    for (size_t i = 0; i < t->size; i++) {
        double z = fabs(((double)t->data[i] - mean) / deviation);
        within += z < 1;
        beyond += z > 3.5;
    }
    CHECK_NEAR((double)within / (double)t->size, 0.682689, 0.0095);
    CHECK(beyond > 2 && beyond < 60); /* 28 expected */
    check_moments(t, mean, deviation);
}

static nn_tensor *drawn(nn_net *net, nn_init_kind kind, double a, double b)
{
    static const size_t shape[] = {FAN_IN, FAN_OUT};
    nn_init init = nn_init_scaled(kind);
    init.a = a, init.b = b;
    return nn_parameter(net, 2, shape, init, NULL);
}

static void test_initial_values(void)
{
    nn_net *net = seeded_net(4);
    double glorot = sqrt(6. / (FAN_IN + FAN_OUT)), he = sqrt(6. / FAN_IN);
    const nn_tensor *zero = drawn(net, NN_INIT_ZERO, 0, 0);
    const nn_tensor *constant = drawn(net, NN_INIT_CONSTANT, 2.5, 0);
    size_t wrong = 0;
    for (size_t i = 0; i < DRAWS; i++) wrong += zero->data[i] != 0 || constant->data[i] != 2.5;
    CHECK_INT(wrong, 0);
    check_uniform(drawn(net, NN_INIT_DEFAULT, 0, 0), -glorot, glorot);
    check_uniform(drawn(net, NN_INIT_GLOROT_UNIFORM, 0, 0), -glorot, glorot);
    check_uniform(drawn(net, NN_INIT_HE_UNIFORM, 0, 0), -he, he);
    check_uniform(drawn(net, NN_INIT_UNIFORM, -0.5, 2), -0.5, 2);
    check_normal(drawn(net, NN_INIT_NORMAL, 3, 0.25), 3, 0.25);
    check_normal(drawn(net, NN_INIT_LECUN_NORMAL, 0, 0), 0, 1 / sqrt((double)FAN_IN));
    check_normal(drawn(net, NN_INIT_GLOROT_NORMAL, 0, 0), 0, sqrt(2. / (FAN_IN + FAN_OUT)));
    check_normal(drawn(net, NN_INIT_HE_NORMAL, 0, 0), 0, sqrt(2. / FAN_IN));
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
}

/* A kernel is [size..., in, out]: each output sees 20 channels of 2 by 5, so fan_in is 200, and
   fan_out is 300 times 10. A fan that is given counts instead. */
static void test_initial_values_of_other_ranks(void)
{
    static const size_t vector[] = {DRAWS}, kernel[] = {2, 5, 20, FAN_OUT};
    nn_init standard = nn_init_scaled(NN_INIT_DEFAULT), normal = nn_init_normal(0, 1);
    nn_init he = nn_init_scaled(NN_INIT_HE_NORMAL), given = he;
    double glorot = sqrt(6. / (200 + 3000));
    given.fan_in = 8;
    nn_net *net = seeded_net(4);
    check_normal(nn_parameter(net, 1, vector, normal, NULL), 0, 1);
    check_uniform(nn_parameter(net, 4, kernel, standard, NULL), -glorot, glorot);
    check_normal(nn_parameter(net, 4, kernel, he, NULL), 0, sqrt(2. / 200));
    check_normal(nn_parameter(net, 4, kernel, given, NULL), 0, sqrt(2. / 8));
    standard.fan_in = standard.fan_out = 3;
    check_uniform(nn_parameter(net, 4, kernel, standard, NULL), -1, 1);
    nn_net_destroy(net);
}

static void test_dense_initial_values(void)
{
    nn_dense_desc desc;
    double glorot = sqrt(6. / (FAN_IN + FAN_OUT));
    memset(&desc, 0, sizeof desc);
    desc.units = FAN_OUT;
    desc.weight.kind = NN_INIT_HE_NORMAL;
    desc.bias = nn_init_constant(0.5);
    nn_net *net = seeded_net(4);
    nn_tensor *x = nn_input(net, FAN_IN), *y = nn_dense(x, FAN_OUT), *z = nn_dense_with(x, &desc);
    check_uniform(nn_weight(y), -glorot, glorot);
    check_normal(nn_weight(z), 0, sqrt(2. / FAN_IN));
    for (size_t i = 0; i < FAN_OUT; i++) {
        CHECK(nn_bias(y)->data[i] == 0);
        CHECK(nn_bias(z)->data[i] == 0.5);
    }
    nn_net_destroy(net);
}

static void test_initialize(void)
{
    static const size_t bytes = DRAWS * sizeof(nn_real);
    nn_init normal = nn_init_normal(1, 2), bad = nn_init_scaled(NN_INIT_COUNT);
    nn_net *net = seeded_net(4), *same = seeded_net(4), *other = seeded_net(5);
    nn_tensor *a = drawn(net, NN_INIT_NORMAL, 0, 1), *b = drawn(same, NN_INIT_NORMAL, 0, 1);
    nn_tensor *c = drawn(other, NN_INIT_NORMAL, 0, 1);
    CHECK(memcmp(a->data, b->data, bytes) == 0);
    CHECK(memcmp(a->data, c->data, bytes) != 0);
    CHECK_OK(nn_initialize(a, normal));
    check_normal(a, 1, 2);
    CHECK_OK(nn_initialize(b, normal));
    CHECK(memcmp(a->data, b->data, bytes) == 0);
    CHECK_OK(nn_initialize(a, normal)); /* other draws than the last time */
    CHECK(memcmp(a->data, b->data, bytes) != 0);
    CHECK_ERROR(nn_initialize(a, bad), NN_ERROR_BAD_ARGUMENT, "initialize", "");
    CHECK_ERROR(nn_initialize(nn_input(net, 3), normal), NN_ERROR_BAD_ARGUMENT, "initialize", "");
    check_normal(a, 1, 2);
    nn_net_destroy(net);
    nn_net_destroy(same);
    nn_net_destroy(other);
}

/* A network in a caller's memory: the same values, nothing from malloc, and with the bytes that it
   says to have used it can be made again, with fewer not. */
static nn_net *net_in(void *memory, size_t size, nn_tensor **out)
{
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = 3, desc.memory = memory, desc.memory_size = size;
    nn_net *net = nn_net_create(&desc);
    *out = net ? nn_softmax(nn_dense(nn_gelu(nn_dense(nn_input(net, 5), 20)), 3)) : NULL;
    return net;
}

static void test_memory_of_the_caller(void)
{
    static char memory[40000];
    nn_real x[7 * 5], y[7 * 3], repeated[7 * 3];
    nn_tensor *out;
    nn_net_desc desc;
    fill(x, 35, 1);
    nn_net *net = net_in(NULL, 0, &out);
    CHECK_OK(nn_predict_rows(out, x, 7, y));
    CHECK_INT(nn_net_memory(net), 0);
    nn_net_destroy(net);
    const size_t calls = plain_heap.calls;
    net = net_in(memory + 1, sizeof memory - 1, &out);
    CHECK_OK(nn_predict_rows(out, x, 7, repeated));
    CHECK(memcmp(y, repeated, sizeof y) == 0);
    const size_t used = nn_net_memory(net);
    CHECK(used > 20 * 5 * sizeof *x && used < sizeof memory);
    for (size_t rows = 1; rows <= 7; rows++) CHECK_OK(nn_predict_rows(out, x, rows, repeated));
    CHECK_INT(nn_net_memory(net), used); /* no more, however often */
    nn_net_destroy(net);
    for (size_t offset = 0; offset < 16; offset += 5) {
        memset(memory, 0x5A, sizeof memory);
        net = net_in(memory + offset, used, &out);
        CHECK_OK(nn_predict_rows(out, x, 7, repeated));
        CHECK(memcmp(y, repeated, sizeof y) == 0);
        for (size_t i = used + offset; i < sizeof memory; i++) CHECK(memory[i] == 0x5A);
        nn_net_destroy(net);
    }
    for (size_t size = 1; size + 16 < used; size += 7) { /* anywhere it may end: an error */
        memset(memory, 0x5A, sizeof memory);
        net = net_in(memory, size, &out);
        CHECK_ERROR(nn_predict_rows(out, x, 7, again), NN_ERROR_OUT_OF_MEMORY, "out of memory", "");
        CHECK(memory[size] == 0x5A);
        nn_net_destroy(net);
    }
    CHECK_INT(plain_heap.calls, calls);
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    CHECK(nn_net_create(&desc) == NULL);
    CHECK_ERROR(NN_ERROR_BAD_ARGUMENT, NN_ERROR_BAD_ARGUMENT, "memory_size", "together");
    desc.memory_size = sizeof memory;
    desc.allocator.alloc = heap_alloc, desc.allocator.release = heap_release;
    desc.allocator.user = &plain_heap;
    CHECK(nn_net_create(&desc) == NULL);
    CHECK_ERROR(NN_ERROR_BAD_ARGUMENT, NN_ERROR_BAD_ARGUMENT, "memory_size", "allocator");
    CHECK_INT(nn_net_memory(NULL), 0);
}

int main(void)
{
    RUN(test_memory_of_the_caller);
    RUN(test_create);
    RUN(test_null_network);
    RUN(test_parameter_count);
    RUN(test_tensors_in_order);
    RUN(test_names);
    RUN(test_dense_names);
    RUN(test_long_names);
    RUN(test_duplicate_names);
    RUN(test_default_names);
    RUN(test_parameters_and_buffers);
    RUN(test_values);
    RUN(test_print);
    RUN(test_first_error_stays);
    RUN(test_error_of_a_chain);
    RUN(test_later_errors_hide_nothing);
    RUN(test_error_of_a_network_that_is_none);
    RUN(test_errors_are_forgotten);
    RUN(test_errors_of_two_networks);
    RUN(test_null_tensors);
    RUN(test_null_runs);
    RUN(test_leaf_arguments);
    RUN(test_dense_arguments);
    RUN(test_matmul_arguments);
    RUN(test_elementwise_arguments);
    RUN(test_batch_is_no_dimension);
    RUN(test_unary_arguments);
    RUN(test_concat_arguments);
    RUN(test_slice_arguments);
    RUN(test_axes_out_of_range);
    RUN(test_negative_axes);
    RUN(test_loss_arguments);
    RUN(test_long_shapes);
    RUN(test_concat_sums);
    RUN(test_labels_are_no_values);
    RUN(test_two_networks_in_one_operation);
    RUN(test_feed_arguments);
    RUN(test_forward_before_feed);
    RUN(test_batches_of_two_inputs);
    RUN(test_labels);
    RUN(test_targets);
    RUN(test_labels_replace_targets);
    RUN(test_binary_label_range);
    RUN(test_input_labels);
    RUN(test_feeding_the_wrong_kind);
    RUN(test_batches_that_do_not_fit);
    RUN(test_dense_of_one_input);
    RUN(test_dense_on_the_last_dimension);
    RUN(test_shared_weights);
    RUN(test_shared_weight_arguments);
    RUN(test_batches_match_single_rows);
    RUN(test_single_rows);
    RUN(test_gradients_of_changing_batches);
    RUN(test_batch_that_grows_by_one);
    RUN(test_no_allocation_after_the_first_step);
    RUN(test_default_allocator);
    RUN(test_out_of_memory);
    RUN(test_out_of_memory_everywhere);
    RUN(test_memory_of_inference);
    RUN(test_run_after_out_of_memory);
    RUN(test_small_batch_after_out_of_memory);
    RUN(test_backward_overwrites_and_adds);
    RUN(test_input_gradient);
    RUN(test_backward_needs_forward);
    RUN(test_backward_after_other_answers);
    RUN(test_backward_after_anything_new);
    RUN(test_modes);
    RUN(test_scalar_parameter);
    RUN(test_alternating_targets);
    RUN(test_outside_input_grows);
    RUN(test_network_that_grows);
    RUN(test_requires_grad_switched);
    RUN(test_backward_add_in_parts);
    RUN(test_parts_with_their_own_batches);
    RUN(test_backward_needs_a_scalar);
    RUN(test_gradient_of_the_unused);
    RUN(test_frozen);
    RUN(test_custom);
    RUN(test_custom_errors_stop_the_run);
    RUN(test_custom_scalar);
    RUN(test_custom_without_backward);
    RUN(test_custom_saved_and_scratch);
    RUN(test_run_before_any_batch);
    RUN(test_sums_of_losses);
    RUN(test_custom_arguments);
    RUN(test_dropout_statistics);
    RUN(test_dropout_is_the_identity);
    RUN(test_dropout_gradient_in_evaluation);
    RUN(test_dropout_seeds);
    RUN(test_initial_values);
    RUN(test_initial_values_of_other_ranks);
    RUN(test_dense_initial_values);
    RUN(test_initialize);
    return test_done("test_graph");
}
