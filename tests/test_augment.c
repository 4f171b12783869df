/* Images on their way into a network: their layout, and what training may do to them. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define TOLERANCE 1e-14
#else
#define TOLERANCE 1e-6
#endif

/* ------------------------------------------------------------------------------------ fixtures */

/* A network that only looks: what nn_predict gives is what its input was fed. */
static nn_tensor *look(nn_net *net, const nn_dataset *data)
{
    return nn_scale(nn_input_like(net, data), 1);
}

static void check_values(const nn_real *got, const double *expected, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (FAILS(fabs((double)got[i] - expected[i]) <= tolerance))
            printf("value %d is %.17g, expected %.17g\n", (int)i, (double)got[i], expected[i]);
}

/* -------------------------------------------------------------------------------------- layout */

static void check_shape(const nn_tensor *t, int rank, size_t a, size_t b, size_t c)
{
    CHECK(t != NULL);
    if (!t) return;
    CHECK_INT(t->rank, rank + 1);
    CHECK_INT(t->shape[1], a);
    if (rank > 1) CHECK_INT(t->shape[2], b);
    if (rank > 2) CHECK_INT(t->shape[3], c);
}

static void inputs_like_data(void)
{
    static const uint8_t x[24] = {0};
    static const size_t flat[] = {24}, grey[] = {4, 6}, planes[] = {2, 3, 4}, deep[] = {2, 3, 2, 2};
    nn_net *net = nn_net_create(NULL);
    nn_dataset d;
    CHECK_OK(nn_dataset_from_bytes(x, 1, 24, NULL, 0, &d));
    check_shape(nn_input_like(net, &d), 1, 24, 0, 0);
    CHECK_OK(nn_dataset_set_shape(&d, 2, grey));
    check_shape(nn_input_like(net, &d), 3, 4, 6, 1);
    CHECK_OK(nn_dataset_set_shape(&d, 3, planes));
    check_shape(nn_input_like(net, &d), 3, 2, 3, 4);
    d.channels_first = 1;
    check_shape(nn_input_like(net, &d), 3, 3, 4, 2);
    CHECK_OK(nn_dataset_set_shape(&d, 4, deep)); /* no image: channels_first says nothing of it */
    check_shape(nn_input_like(net, &d), 4, 2, 3, 2);
    CHECK_OK(nn_dataset_set_shape(&d, 1, flat));
    check_shape(nn_input_like(net, &d), 1, 24, 0, 0);
    CHECK_OK(nn_net_status(net));
    nn_net_destroy(net);
    nn_dataset_free(&d);
}

static void inputs_like_nothing(void)
{
    static const uint8_t x[2] = {0};
    nn_dataset d, failed;
    nn_net *net = nn_net_create(NULL);
    CHECK(nn_input_like(net, NULL) == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_BAD_ARGUMENT, "nn_input_like: the data set is NULL", "");
    nn_net_destroy(net);
    net = nn_net_create(NULL);
    CHECK(nn_load_mnist("/nowhere", &failed, NULL) != NN_OK);
    CHECK(nn_input_like(net, &failed) == NULL);
    CHECK_ERROR(nn_net_status(net), NN_ERROR_CANNOT_OPEN, "/nowhere", "");
    CHECK_OK(nn_dataset_from_bytes(x, 1, 2, NULL, 0, &d));
    CHECK(nn_input_like(NULL, &d) == NULL);
    CHECK(strstr(nn_last_error(), "nn_input_like: the network is NULL") != NULL);
    nn_net_destroy(net);
    nn_dataset_free(&d);
}

/* Two planes of 2 x 3, of bytes and of reals, with one scale and with one for each feature. */
static void planes_become_pixels(void)
{
    static const uint8_t bytes[24] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15,
                                      50, 51, 52, 53, 54, 55, 60, 61, 62, 63, 64, 65};
    static const double second[12] = {50, 60, 51, 61, 52, 62, 53, 63, 54, 64, 55, 65};
    static const size_t shape[] = {2, 2, 3};
    nn_real reals[24], y[24], scale[12], shift[12], flat[24];
    double expected[24];
    for (int i = 0; i < 24; i++) reals[i] = bytes[i];
    for (int i = 0; i < 12; i++) scale[i] = (nn_real)(i + 1), shift[i] = (nn_real)(100 * i);
    for (int kind = 0; kind < 6; kind++) {
        nn_net *net = nn_net_create(NULL);
        nn_dataset d;
        if (kind % 2) CHECK_OK(nn_dataset_from_arrays(reals, 2, 12, NULL, 0, &d));
        else CHECK_OK(nn_dataset_from_bytes(bytes, 2, 12, NULL, 0, &d));
        CHECK_OK(nn_dataset_set_shape(&d, 3, shape));
        d.channels_first = 1;
        if (kind / 2 == 1) CHECK_OK(nn_dataset_rescale(&d, 0, 1, 7, 9));
        if (kind / 2 == 2) d.scale = scale, d.shift = shift, d.norm_count = 12;
        for (int i = 0; i < 24; i++) {
            const int stored = i % 2 * 6 + i % 12 / 2;
            const double raw = i < 12 ? bytes[stored] : second[i - 12];
            expected[i] = kind / 2 == 0 ? raw : kind / 2 == 1 ? 7 + 2 * raw
                                              : (stored + 1) * raw + 100 * stored;
        }
        CHECK_OK(nn_predict(look(net, &d), &d, y));
        check_values(y, expected, 24, 0);
        CHECK_OK(nn_dataset_gather(&d, NULL, 2, flat)); /* as stored */
        for (int i = 0; i < 12; i++) CHECK(flat[i % 2 * 6 + i / 2] == y[i]);
        nn_tensor *in = nn_input(net, 12); /* the same, since the input is flat */
        CHECK_OK(nn_predict(nn_scale(in, 1), &d, y));
        CHECK(memcmp(y, flat, sizeof y) == 0);
        nn_net_destroy(net);
        nn_dataset_free(&d);
    }
}

/* More pixels than a block of the conversion has, and three views of the samples. */
static void large_planes(void)
{
    enum { SIDE = 19, PIXELS = SIDE * SIDE, FEATURES = 3 * PIXELS, SAMPLES = 131 };
    static uint8_t bytes[SAMPLES * FEATURES];
    static nn_real y[SAMPLES * FEATURES], flat[SAMPLES * FEATURES];
    static const size_t shape[] = {3, SIDE, SIDE};
    nn_rng rng = nn_rng_seed(5);
    nn_net *net = nn_net_create(NULL);
    nn_dataset d, some;
    size_t wrong = 0;
    for (size_t i = 0; i < COUNT(bytes); i++) bytes[i] = (uint8_t)nn_rng_below(&rng, 256);
    CHECK_OK(nn_dataset_from_bytes(bytes, SAMPLES, FEATURES, NULL, 0, &d));
    CHECK_OK(nn_dataset_set_shape(&d, 3, shape));
    d.channels_first = 1;
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_CHANNEL));
    CHECK_OK(nn_dataset_subset(&d, 2, SAMPLES - 2, &some));
    CHECK_INT(some.channels_first, 1);
    CHECK_OK(nn_predict(look(net, &some), &some, y));
    CHECK_OK(nn_dataset_gather(&some, NULL, SAMPLES - 2, flat));
    for (size_t i = 0; i < (SAMPLES - 2) * FEATURES; i++) {
        const size_t at = i % FEATURES, stored = at % 3 * PIXELS + at / 3;
        wrong += y[i] != flat[i / FEATURES * FEATURES + stored];
    }
    CHECK_INT(wrong, 0);
    nn_net_destroy(net);
    nn_dataset_free(&some);
    nn_dataset_free(&d);
}

/* Which shapes of samples go to which inputs. */
static void shapes_that_fit(void)
{
    static const uint8_t x[24] = {0};
    static const size_t grey[] = {4, 6}, pixels[] = {4, 6, 1}, other[] = {6, 4}, thin[] = {4, 1, 6},
                        rgb[] = {2, 4, 3}, planes[] = {3, 2, 4};
    const struct {
        int rank, channels_first, input_rank, fits;
        const size_t *shape, *input;
    } table[] = {{2, 0, 2, 1, grey, grey},   {2, 0, 3, 1, grey, pixels}, {3, 0, 2, 1, pixels, grey},
                 {2, 0, 2, 0, grey, other},  {2, 0, 3, 0, grey, thin},   {3, 0, 3, 1, rgb, rgb},
                 {3, 0, 3, 0, planes, rgb},  {3, 1, 3, 1, planes, rgb},  {3, 1, 3, 0, planes, planes},
                 {3, 0, 3, 1, planes, planes}};
    for (size_t i = 0; i < COUNT(table); i++) {
        nn_net *net = nn_net_create(NULL);
        nn_real y[24];
        nn_dataset d;
        CHECK_OK(nn_dataset_from_bytes(x, 1, 24, NULL, 0, &d));
        nn_tensor *out = nn_scale(nn_input_shape(net, table[i].input_rank, table[i].input), 1);
        CHECK_OK(nn_predict(out, &d, y)); /* one dimension fits any shape */
        CHECK_OK(nn_dataset_set_shape(&d, table[i].rank, table[i].shape));
        d.channels_first = table[i].channels_first;
        if (table[i].fits) CHECK_OK(nn_predict(out, &d, y));
        else CHECK_ERROR(nn_predict(out, &d, y), NN_ERROR_BAD_SHAPE, "nn_predict: the data set has "
                         "samples of shape [", "nn_input_like");
        nn_net_destroy(net);
        nn_dataset_free(&d);
    }
}

/* A set of pixels is not of one kind with a set of planes, though the numbers in both shapes are. */
static void planes_are_not_pixels(void)
{
    static const nn_real x[16] = {0, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1, 1, 2, 2, 2, 2};
    static const int labels[] = {0, 1};
    static const size_t cube[] = {2, 2, 2};
    nn_net *net = nn_net_create(NULL);
    nn_dataset d;
    nn_result result;
    CHECK_OK(nn_dataset_from_arrays(x, 2, 8, labels, 2, &d));
    CHECK_OK(nn_dataset_set_shape(&d, 3, cube));
    d.channels_first = 1;
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_flatten(nn_input_like(net, &d)), 2));
    nn_train_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.epochs = 1, desc.batch_size = 2, desc.optimizer = nn_sgd(0.1, 0);
    CHECK_OK(nn_train(loss, &d, &desc, NULL));
    CHECK_OK(nn_evaluate(loss, &d, &result));
    d.channels_first = 0;
    CHECK_ERROR(nn_evaluate(loss, &d, &result), NN_ERROR_MISMATCH, "samples of shape [2 2 2], in",
                "training set [2 2 2], channels first");
    nn_net_destroy(net);
    nn_dataset_free(&d);
}

static void run_layout(void)
{
    RUN(inputs_like_data);
    RUN(inputs_like_nothing);
    RUN(planes_become_pixels);
    RUN(large_planes);
    RUN(shapes_that_fit);
    RUN(planes_are_not_pixels);
}

int main(void)
{
    run_layout();
    return test_done("test_augment");
}
