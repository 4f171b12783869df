/* Images on their way into a network: their layout, and what training may do to them. And weights
   beside those that the optimiser moves: averages, Lookahead. */
#define NN_IMPLEMENTATION
#ifdef _OPENMP /* so that work as small as this is shared out */
#define NN__GRAIN 100
#define NN__PRODUCT_GRAIN 1e3
#endif
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

/* A network that was trained on planes, kept and opened again, takes planes. */
static void classifies_planes(void)
{
    enum { N = 6 };
    static const int labels[N] = {0, 1, 2, 0, 1, 2};
    static const size_t shape[] = {2, 2, 3};
    uint8_t bytes[N * 12];
    nn_rng rng = nn_rng_seed(2);
    nn_net *net = nn_net_create(NULL);
    nn_dataset d;
    nn_train_desc desc;
    nn_real logits[N * 3], chances[N * 3], expected[N * 3];
    int found[N];
    size_t size = 0;
    void *file = NULL;
    memset(&desc, 0, sizeof desc);
    for (size_t i = 0; i < COUNT(bytes); i++) bytes[i] = (uint8_t)nn_rng_below(&rng, 256);
    CHECK_OK(nn_dataset_from_bytes(bytes, N, 12, labels, 3, &d));
    CHECK_OK(nn_dataset_set_shape(&d, 3, shape));
    d.channels_first = 1;
    CHECK_OK(nn_dataset_standardize(&d, NN_PER_CHANNEL));
    nn_tensor *x = nn_conv2d(nn_input_like(net, &d), 4, 2);
    nn_tensor *y = nn_dense(nn_flatten(x), 3);
    desc.epochs = 3, desc.batch_size = N, desc.optimizer = nn_adam(0.05);
    CHECK_OK(nn_train(nn_softmax_cross_entropy(y), &d, &desc, NULL));
    CHECK_OK(nn_predict(y, &d, logits));
    nn_mat_softmax(N, 3, logits, expected);
    CHECK_OK(nn_save_memory(net, NULL, &file, &size));
    nn_net *opened = nn_open_memory(file, size, NULL);
    if (FAILS(opened != NULL)) puts(nn_last_error());
    for (int again = 0; again < 2; again++) {
        CHECK_OK(nn_classify_bytes(again ? opened : net, bytes, N, found, chances));
        CHECK(memcmp(chances, expected, sizeof chances) == 0);
    }
    nn_free(file);
    nn_net_destroy(opened);
    nn_net_destroy(net);
    nn_dataset_free(&d);
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

/* -------------------------------------------------------------------------------- augmentation */

enum { MAX_VALUES = 60000 };

/* What a run fed its network: x[epoch, sample, value] by the samples' numbers, and targets. */
typedef struct seen {
    nn_tensor *in, *answer;
    const nn_dataset *data;
    const size_t *order; /* of samples, when they are not in their own */
    size_t batches;      /* of an epoch */
    nn_real x[MAX_VALUES], targets[MAX_VALUES];
} seen;

static seen now, before;

static int keep_batch(void *user, nn_net *net, size_t step, double loss)
{
    seen *s = (seen *)user;
    const size_t rows = s->in->shape[0], size = s->in->row_size, width = s->answer->row_size;
    const size_t epoch = step / s->batches, count = s->data->count;
    const size_t first = s->data->count / s->batches * (step % s->batches);
    (void)net, (void)loss;
    for (size_t i = 0; i < rows; i++) {
        const size_t sample = epoch * count + (s->order ? s->order[first + i] : first + i);
        CHECK((sample + 1) * size <= MAX_VALUES && (sample + 1) * width <= MAX_VALUES);
        memcpy(s->x + sample * size, s->in->data + i * size, size * sizeof *s->x);
        if (s->answer->data)
            memcpy(s->targets + sample * width, s->answer->data + i * width,
                   width * sizeof *s->targets);
    }
    return 0;
}

/* Trains for so many epochs in batches of the whole set, or in so many. */
static void watch_in(nn_net *net, const nn_dataset *data, const nn_augment *augment, size_t epochs,
                     size_t batches)
{
    nn_tensor *in = nn_input_like(net, data);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_flatten(in), (size_t)data->classes));
    nn_train_desc d;
    memset(&d, 0, sizeof d);
    d.epochs = epochs, d.batch_size = data->count / batches, d.no_shuffle = 1;
    d.optimizer = nn_sgd(1e-6, 0);
    d.augment = *augment;
    d.on_step = keep_batch, d.user = &now;
    now.in = in, now.answer = loss->src[1], now.data = data, now.batches = batches;
    CHECK_OK(nn_train(loss, data, &d, NULL));
}

static void watch(const nn_dataset *data, const nn_augment *augment, size_t epochs)
{
    nn_net *net = nn_net_create(NULL);
    watch_in(net, data, augment, epochs, 1);
    nn_net_destroy(net);
}

static nn_augment nothing(void)
{
    nn_augment a;
    memset(&a, 0, sizeof a);
    return a;
}

static int labels_of_many[1000];

/* A set of bytes, or of reals, of rank 2 or 3. */
static void images(nn_dataset *d, const uint8_t *bytes, const nn_real *reals, size_t count, int rank,
                   size_t a, size_t b, size_t c)
{
    size_t shape[3];
    shape[0] = a, shape[1] = b, shape[2] = c;
    if (bytes) CHECK_OK(nn_dataset_from_bytes(bytes, count, a * b * c, labels_of_many, 2, d));
    else CHECK_OK(nn_dataset_from_arrays(reals, count, a * b * c, labels_of_many, 2, d));
    CHECK_OK(nn_dataset_set_shape(d, rank, shape));
}

/* Value (y, x, channel) of a sample as an input of [height, width, channels] has it. */
static nn_real *at(nn_real *x, size_t width, size_t channels, size_t row, size_t column, size_t c)
{
    return x + (row * width + column) * channels + c;
}

/* Whether an image of 2 x 3 pixels of 2 values, numbered from `first` in the order of storage, is
   as it was (0) or mirrored (1); -1: neither. */
static int mirrored(nn_real *x, size_t first, int planes, size_t channels)
{
    int is = -1;
    for (int flip = 0; flip < 2; flip++) {
        int fits = 1;
        for (size_t y = 0; y < 2; y++)
            for (size_t u = 0; u < 3; u++)
                for (size_t c = 0; c < channels; c++) {
                    const size_t from = flip ? 2 - u : u;
                    const size_t stored = planes ? (c * 2 + y) * 3 + from
                                                 : (y * 3 + from) * channels + c;
                    fits &= *at(x, 3, channels, y, u, c) == (nn_real)(first + stored);
                }
        if (fits) is = flip;
    }
    return is;
}

static void flips(void)
{
    enum { SAMPLES = 20, EPOCHS = 100 };
    static const size_t shapes[3][3] = {{2, 3, 1}, {2, 3, 2}, {2, 2, 3}};
    uint8_t bytes[SAMPLES * 12];
    for (size_t i = 0; i < COUNT(bytes); i++) bytes[i] = (uint8_t)i;
    for (size_t kind = 0; kind < 6; kind++) {
        const size_t layout = kind % 3, values = layout ? 12 : 6, *s = shapes[layout];
        const int planes = layout == 2;
        int is[EPOCHS][SAMPLES], sum = 0, differ = 0;
        nn_augment a = nothing();
        nn_dataset d;
        images(&d, bytes, NULL, SAMPLES, layout ? 3 : 2, s[0], s[1], s[2]);
        d.channels_first = planes;
        a.flip = kind < 3 ? NN_FLIP_RANDOM : NN_FLIP_ALTERNATING;
        watch(&d, &a, EPOCHS);
        for (size_t e = 0; e < EPOCHS; e++)
            for (size_t i = 0; i < SAMPLES; i++) {
                is[e][i] = mirrored(now.x + (e * SAMPLES + i) * values, i * values, planes,
                                    layout ? 2 : 1);
                CHECK(is[e][i] >= 0);
                sum += is[e][i];
                differ += is[e][i] != is[0][i];
                if (kind >= 3) CHECK_INT(is[e][i], is[0][i] ^ (int)(e & 1));
            }
        CHECK(abs(sum - EPOCHS * SAMPLES / 2) <= (kind < 3 ? 100 : 0)); /* 4.5 deviations */
        if (kind < 3) CHECK(abs(differ - EPOCHS * SAMPLES / 2) <= 120);
        sum = 0;
        for (size_t i = 0; i < SAMPLES; i++) sum += is[0][i];
        CHECK(sum > 3 && sum < 17);
        nn_dataset_free(&d);
    }
}

/* The 4 x 5 image 1, 2, ... moved right and down; what comes in is 0 or mirrored. */
static double moved(int y, int x, int reflect)
{
    if (reflect) {
        y = y < 0 ? -y : y > 3 ? 6 - y : y;
        x = x < 0 ? -x : x > 4 ? 8 - x : x;
    }
    return y < 0 || y > 3 || x < 0 || x > 4 ? 0 : y * 5 + x + 1;
}

static void shifts(void)
{
    enum { EPOCHS = 400 };
    uint8_t bytes[20];
    for (int i = 0; i < 20; i++) bytes[i] = (uint8_t)(i + 1);
    for (int reflect = 0; reflect < 2; reflect++) {
        size_t times[5][5] = {{0}};
        nn_augment a = nothing();
        nn_dataset d;
        images(&d, bytes, NULL, 1, 2, 4, 5, 1);
        a.shift = 2, a.reflect = reflect;
        watch(&d, &a, EPOCHS);
        for (size_t e = 0; e < EPOCHS; e++)
            for (int down = -2; down <= 2; down++)
                for (int right = -2; right <= 2; right++) {
                    int fits = 1;
                    for (int i = 0; i < 20; i++)
                        fits &= (double)now.x[e * 20 + (size_t)i] ==
                                moved(i / 5 - down, i % 5 - right, reflect);
                    times[down + 2][right + 2] += (size_t)fits;
                }
        size_t sum = 0;
        for (int i = 0; i < 25; i++) {
            sum += times[i / 5][i % 5];
            CHECK(times[i / 5][i % 5] >= 3 && times[i / 5][i % 5] <= 34); /* 16 +- 4.5 deviations */
        }
        CHECK_INT(sum, EPOCHS);
        nn_dataset_free(&d);
    }
}

/* Padding is raw: it is normalised as what it lies beside. And every pixel is normalised as the
   place that it comes to, not as the one that it came from. */
static void padding_is_normalised(void)
{
    enum { EPOCHS = 40 };
    static const uint8_t bytes[] = {10, 20, 30, 40, 50, 60};
    nn_real scale[6], shift[6];
    size_t moves[3] = {0};
    nn_augment a = nothing();
    nn_dataset d;
    for (int i = 0; i < 6; i++) scale[i] = (nn_real)(i + 1), shift[i] = (nn_real)(1000 * (i + 1));
    a.shift = 1;
    images(&d, bytes, NULL, 1, 2, 2, 3, 1);
    d.scale = scale, d.shift = shift, d.norm_count = 6;
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++)
        for (int right = -1; right <= 1; right++)
            for (int down = -1; down <= 1; down++) {
                int fits = 1;
                for (int i = 0; i < 6; i++) {
                    const int y = i / 3 - down, x = i % 3 - right;
                    const int raw = y < 0 || y > 1 || x < 0 || x > 2 ? 0 : bytes[y * 3 + x];
                    fits &= (double)now.x[e * 6 + (size_t)i] == (i + 1) * (raw + 1000);
                }
                moves[right + 1] += (size_t)fits;
            }
    CHECK_INT(moves[0] + moves[1] + moves[2], EPOCHS);
    CHECK(moves[0] && moves[1] && moves[2]);
    nn_dataset_free(&d);
}

/* By known angles, against values from a plain program in NumPy. */
static void turns_by_known_angles(void)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const struct {
        double degrees;
        int flip, reflect, down;
        double expected[12];
    } table[] = {
        {0, 0, 0, 0, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
        {180, 0, 0, 0, {12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
        {180, 1, 0, 0, {9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4}},
        {180, 0, 0, 1, {0, 0, 0, 0, 12, 11, 10, 9, 8, 7, 6, 5}},
        {30, 0, 0, 0,
         {0.6531261565508617, 2.2691515603353003, 4.968911086754464, 5.282377607281252,
          2.2009618943233424, 5.06698729810778, 7.933012701892219, 10.799038105676658,
          3.8301270189221936, 8.031088913245537, 9.222518190467, 4.338543594251439}},
        {30, 1, 0, 0,
         {1.2667468245269453, 2.150721420742507, 3.102885682970026, 3.1794919243112263,
          4.799038105676658, 5.93301270189222, 7.066987298107781, 8.200961894323342,
          5.93301270189222, 9.897114317029976, 9.340948330059794, 3.724922926275355}},
        {-120, 0, 1, 0,
         {7.187822173508929, 9.616025403784437, 5.651923788646682, 1.9198729810778055,
          10.053847577293368, 8.482050807568879, 4.517949192431122, 2.946152422706632,
          11.080127018922195, 7.348076211353317, 3.383974596215562, 5.81217782649107}}};
    nn_dataset d;
    images(&d, bytes, NULL, 1, 2, 3, 4, 1);
    for (size_t i = 0; i < COUNT(table); i++) {
        nn_real y[12];
        const double turn = table[i].degrees / 180;
        nn__variation v;
        memset(&v, 0, sizeof v);
        v.pose.is_moved = v.pose.is_turned = 1;
        v.pose.flip = table[i].flip, v.pose.reflect = table[i].reflect;
        v.pose.down = table[i].down;
        v.pose.cosine = cos(3.14159265358979323846 * turn);
        v.pose.sine = sin(3.14159265358979323846 * turn);
        nn__draw_sample(&v, &d, 0, 0, y);
        check_values(y, table[i].expected, 12, 12 * TOLERANCE);
    }
    nn_dataset_free(&d);
}

/* Ramps in x and y show by how much they were turned; corners are outside. */
static void turns_as_drawn(void)
{
    enum { EPOCHS = 500 };
    nn_real ramps[5 * 5 * 2];
    double largest = 0, mean = 0;
    nn_augment a = nothing();
    nn_dataset d;
    for (int i = 0; i < 50; i++) ramps[i] = (nn_real)(i % 2 ? i / 10 - 2 : i / 2 % 5 - 2);
    images(&d, NULL, ramps, 1, 3, 5, 5, 2);
    a.rotation = 40;
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++) {
        const nn_real *right = at(now.x + e * 50, 5, 2, 2, 3, 0);
        const nn_real *below = at(now.x + e * 50, 5, 2, 3, 2, 0);
        const double angle = atan2((double)right[1], (double)right[0]) / 3.14159265358979323846;
        CHECK_NEAR(right[0] * right[0] + right[1] * right[1], 1, 10 * TOLERANCE);
        CHECK_NEAR(below[0], -right[1], 10 * TOLERANCE);
        CHECK_NEAR(below[1], right[0], 10 * TOLERANCE);
        CHECK(fabs(angle) * 180 <= 40);
        largest = fabs(angle) * 180 > largest ? fabs(angle) * 180 : largest;
        mean += angle * 180 / EPOCHS;
    }
    CHECK(largest > 39);
    CHECK(fabs(mean) < 4.5); /* the deviation of a mean is 1.03 */
    nn_dataset_free(&d);
}

/* One factor for a sample; bytes end at 255 after it, reals do not. */
static void brightness(void)
{
    enum { EPOCHS = 300 };
    static const uint8_t bytes[] = {0, 100, 200, 255};
    static const nn_real reals[] = {-2, 0, 1, 4};
    nn_augment a = nothing();
    nn_dataset d;
    size_t bright = 0;
    double low = 9, high = 0;
    a.brightness = 0.5;
    images(&d, bytes, NULL, 1, 2, 2, 2, 1);
    CHECK_OK(nn_dataset_rescale(&d, 0, 100, 1, 2));
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++) {
        const nn_real *x = now.x + 4 * e;
        const double f = (double)x[1] - 1;
        CHECK(x[0] == 1);
        CHECK_NEAR(x[2], 1 + fmin(2 * f, 2.55), 10 * TOLERANCE);
        CHECK_NEAR(x[3], 1 + fmin(2.55 * f, 2.55), 10 * TOLERANCE);
        bright += f > 1;
        low = fmin(low, f), high = fmax(high, f);
    }
    CHECK(low >= 0.5 && low < 0.51 && high <= 1.5 && high > 1.49);
    CHECK(bright > 110 && bright < 190);
    nn_dataset_free(&d);
    images(&d, NULL, reals, 1, 2, 2, 2, 1);
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++)
        for (size_t i = 0; i < 4; i++)
            CHECK_NEAR(now.x[4 * e + i], reals[i] * now.x[4 * e + 2], 10 * TOLERANCE);
    nn_dataset_free(&d);
}

static void contrast(void)
{
    enum { EPOCHS = 300 };
    static const uint8_t bytes[] = {60, 80, 120, 220};
    nn_augment a = nothing();
    nn_dataset d;
    double low = 9, high = 0;
    images(&d, bytes, NULL, 1, 2, 2, 2, 1);
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, 0, 1));
    a.contrast = 0.4;
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++) {
        const nn_real *x = now.x + 4 * e;
        const double f = (120 - (double)x[1]) / 40;
        for (int i = 0; i < 3; i++)
            CHECK_NEAR(x[i], 120 + f * (bytes[i] - 120.0), 300 * TOLERANCE);
        CHECK_NEAR(x[3], fmin(120 + f * 100, 255), 300 * TOLERANCE);
        low = fmin(low, f), high = fmax(high, f);
    }
    CHECK(low >= 0.6 && low < 0.61 && high <= 1.4 && high > 1.39);
    a.brightness = 0.4; /* the mean moves with it */
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++) {
        const nn_real *x = now.x + 4 * e;
        if (x[3] < 254 && x[0] > 1)
            CHECK_NEAR((x[3] - x[2]) / (x[2] - x[1]), 2.5, 1000 * TOLERANCE);
    }
    nn_dataset_free(&d);
}

/* For tables as well. */
static void noise(void)
{
    enum { EPOCHS = 100, SAMPLES = 4, VALUES = 37, ALL = EPOCHS * SAMPLES * VALUES };
    static nn_real x[SAMPLES * VALUES];
    double mean = 0, squares = 0, neighbours = 0;
    nn_augment a = nothing();
    nn_dataset d;
    for (size_t i = 0; i < COUNT(x); i++) x[i] = (nn_real)i;
    CHECK_OK(nn_dataset_from_arrays(x, SAMPLES, VALUES, labels_of_many, 2, &d));
    CHECK_OK(nn_dataset_rescale(&d, 0, 1, 0, 3));
    a.noise = 0.5;
    watch(&d, &a, EPOCHS);
    for (size_t i = 0; i < ALL; i++) {
        const double e = (double)now.x[i] - 3 * (double)x[i % COUNT(x)];
        mean += e / ALL, squares += e * e / ALL;
        if (i) neighbours += e * ((double)now.x[i - 1] - 3 * (double)x[(i - 1) % COUNT(x)]) / ALL;
    }
    CHECK_NEAR(mean, 0, 0.02);
    CHECK_NEAR(squares, 0.25, 0.015);
    CHECK_NEAR(neighbours, 0, 0.01);
    nn_dataset_free(&d);
}

/* A square of 2 about each pixel of 3 x 4 as often; of 3 likewise. Channels go together. */
static void cutout(void)
{
    enum { EPOCHS = 600 };
    uint8_t bytes[24];
    for (int i = 0; i < 24; i++) bytes[i] = (uint8_t)(i + 1);
    for (size_t side = 2; side <= 3; side++)
        for (int planes = 0; planes < 2; planes++) {
            size_t times[12] = {0}, sum = 0;
            nn_augment a = nothing();
            nn_dataset d;
            if (planes) images(&d, bytes, NULL, 1, 3, 2, 3, 4);
            else images(&d, bytes, NULL, 1, 3, 3, 4, 2);
            d.channels_first = planes;
            CHECK_OK(nn_dataset_rescale(&d, 0, 1, 5, 6)); /* 0 is not the raw 0 */
            a.cutout = side;
            watch(&d, &a, EPOCHS);
            for (size_t e = 0; e < EPOCHS; e++)
                for (int place = 0; place < 12; place++) {
                    const int top = place / 4 - 1, left = place % 4 - 1, n = (int)side;
                    int fits = 1;
                    for (int i = 0; i < 24; i++) {
                        const int y = i / 8, x = i / 2 % 4, c = i % 2;
                        const double raw = planes ? bytes[c * 12 + y * 4 + x] : bytes[i];
                        const int is_cut = y >= top && y < top + n && x >= left && x < left + n;
                        fits &= (double)now.x[e * 24 + (size_t)i] == (is_cut ? 0 : raw + 5);
                    }
                    times[place] += (size_t)fits;
                }
            for (int i = 0; i < 12; i++) sum += times[i];
            CHECK_INT(sum, EPOCHS);
            for (int i = 0; i < 12; i++) CHECK(times[i] >= 20 && times[i] <= 82); /* 50 +- 4.6 d. */
            nn_dataset_free(&d);
        }
}

/* Sample i is row i of a unit matrix: the mixture shows who is in it, and what share each has. */
static void check_mixup(double alpha, double mean, double variance)
{
    enum { N = 12, EPOCHS = 150, ALL = EPOCHS * N };
    nn_real unit[N * N] = {0};
    int labels[N];
    size_t alone = 0, times[N] = {0};
    double sum = 0, squares = 0;
    nn_augment a = nothing();
    nn_dataset d;
    for (int i = 0; i < N; i++) unit[i * N + i] = 1, labels[i] = i;
    CHECK_OK(nn_dataset_from_arrays(unit, N, N, labels, N, &d));
    a.mixup = alpha;
    watch(&d, &a, EPOCHS);
    for (size_t e = 0; e < ALL; e++) {
        const nn_real *x = now.x + e * N, *t = now.targets + e * N;
        const size_t own = e % N;
        double total = 0;
        for (size_t i = 0; i < N; i++) {
            CHECK_NEAR(x[i], t[i], TOLERANCE);
            total += (double)x[i];
            if (i != own && x[i] != 0) times[i]++;
        }
        CHECK_NEAR(total, 1, TOLERANCE);
        CHECK((double)x[own] >= 0.5);
        if (x[own] == 1) alone++;
        else sum += (double)x[own], squares += (double)x[own] * (double)x[own];
    }
    const double n = (double)(ALL - alone);
    mean = mean != 0 ? mean : sum / n;
    CHECK(n > ALL * 0.7 && n < ALL); /* with itself once in 12, or a share too small to show */
    CHECK_NEAR(sum / n, mean, 5 * sqrt(variance / n) + (alpha < 0.5 ? 0.01 : 0));
    if (alpha >= 0.5) CHECK_NEAR(squares / n - mean * mean, variance, 0.15 * variance);
    for (size_t i = 0; i < N; i++) CHECK(times[i] >= 80 && times[i] <= 200);
    nn_dataset_free(&d);
}

/* Mean and variance of the larger of m and 1 - m, from 20 million draws in NumPy. */
static void mixup(void)
{
    check_mixup(0.2, 0.8988, 0.0195);
    check_mixup(1, 0.75, 1 / 48.0);
    check_mixup(4, 0.63674, 0.009087);
}

/* Of a data set's own targets, and of labels 0 and 1 for a single column. */
static void mixup_of_targets(void)
{
    enum { N = 5, EPOCHS = 20 };
    static const nn_real targets[N] = {10, 20, 40, 80, 160};
    static const int labels[N] = {0, 1, 0, 1, 1};
    nn_real unit[N * N] = {0};
    for (int i = 0; i < N; i++) unit[i * N + i] = 1;
    for (int binary = 0; binary < 2; binary++) {
        nn_net *net = nn_net_create(NULL);
        nn_dataset d;
        nn_tensor *in = nn_input(net, N), *y = nn_dense(in, 1);
        nn_tensor *loss = binary ? nn_sigmoid_cross_entropy(y) : nn_mse(y);
        nn_train_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.epochs = EPOCHS, desc.batch_size = N, desc.no_shuffle = 1;
        desc.optimizer = nn_sgd(1e-6, 0);
        desc.augment.mixup = 1;
        desc.on_step = keep_batch, desc.user = &now;
        now.in = in, now.answer = loss->src[1], now.data = &d, now.batches = 1;
        CHECK_OK(nn_dataset_from_arrays(unit, N, N, binary ? labels : NULL, binary ? 2 : 0, &d));
        if (!binary) CHECK_OK(nn_dataset_set_targets(&d, targets, 1));
        CHECK_OK(nn_train(loss, &d, &desc, NULL));
        for (size_t i = 0; i < EPOCHS * N; i++) {
            double expected = 0;
            for (size_t j = 0; j < N; j++)
                expected += (double)now.x[i * N + j] * (binary ? labels[j] : (double)targets[j]);
            CHECK_NEAR(now.targets[i], expected, 200 * TOLERANCE);
        }
        nn_net_destroy(net);
        nn_dataset_free(&d);
    }
}

static nn_augment everything(void)
{
    nn_augment a = nothing();
    a.flip = NN_FLIP_RANDOM, a.rotation = 15, a.shift = 2, a.reflect = 1;
    a.brightness = 0.2, a.contrast = 0.3, a.noise = 0.05, a.cutout = 3, a.mixup = 0.4;
    return a;
}

/* 24 images of 3 planes of 8 x 9 bytes, standardised by channel. */
static void make_pictures(nn_dataset *d)
{
    static uint8_t bytes[24 * 216];
    static const size_t shape[] = {3, 8, 9};
    nn_rng rng = nn_rng_seed(9);
    for (size_t i = 0; i < COUNT(bytes); i++) bytes[i] = (uint8_t)nn_rng_below(&rng, 256);
    CHECK_OK(nn_dataset_from_bytes(bytes, 24, 216, labels_of_many, 2, d));
    CHECK_OK(nn_dataset_set_shape(d, 3, shape));
    d->channels_first = 1;
    CHECK_OK(nn_dataset_standardize(d, NN_PER_CHANNEL));
}

static void watch_everything(const nn_dataset *d, int threads, size_t batches, uint64_t seed)
{
    const nn_augment a = everything();
    nn_net_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = seed, desc.threads = threads;
    nn_net *net = nn_net_create(&desc);
    watch_in(net, d, &a, 5, batches);
    nn_net_destroy(net);
}

/* The same bits on every machine. */
static void same_bits(void)
{
    nn_dataset d;
    make_pictures(&d);
    watch_everything(&d, 1, 1, 3);
    uint64_t hash = hash_reals(HASH_START, now.x, 5 * 24 * 216);
    hash = hash_reals(hash, now.targets, 5 * 24 * 2);
    CHECK_HASH(hash, UINT64_C(0x087D3A464AAF3FF8), UINT64_C(0x4F0CF2DD8EB9C955));
    nn_dataset_free(&d);
}

/* Whatever the batches and the order of the samples are; another with another seed and run. */
static void independent_of_order(void)
{
    const size_t size = 5 * 24 * 216 * sizeof *now.x;
    size_t order[24], first[24] = {0};
    nn_dataset d, view;
    make_pictures(&d);
    watch_everything(&d, 1, 1, 3);
    before = now;
    watch_everything(&d, 1, 6, 3);
    CHECK(memcmp(before.x, now.x, size) == 0);
    CHECK(memcmp(before.targets, now.targets, 5 * 24 * 2 * sizeof *now.x) == 0);
    watch_everything(&d, 1, 1, 4);
    CHECK(memcmp(before.x, now.x, size) != 0);
    watch_everything(&d, 1, 1, 3);
    CHECK(memcmp(before.x, now.x, size) == 0);
    /* a shuffled run sees the same images, each at its new place */
    nn_net_desc net_desc;
    memset(&net_desc, 0, sizeof net_desc);
    net_desc.seed = 3;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *in = nn_input_like(net, &d);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_flatten(in), 2));
    nn_train_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.epochs = 1, desc.batch_size = 8, desc.optimizer = nn_sgd(1e-6, 0);
    desc.augment = everything();
    desc.on_step = keep_batch, desc.user = &now;
    now.in = in, now.answer = loss->src[1], now.data = &d, now.batches = 3;
    memset(now.x, 0, sizeof now.x);
    nn_rng rng = *nn_net_rng(net);
    nn_rng_next(&rng); /* the run's seed comes first */
    for (size_t i = 0; i < 24; i++) order[i] = i;
    nn_rng_shuffle(&rng, order, 24);
    now.order = order;
    CHECK_OK(nn_train(loss, &d, &desc, NULL));
    now.order = NULL;
    CHECK(memcmp(before.x, now.x, 24 * 216 * sizeof *now.x) == 0);
    watch_in(net, &d, &desc.augment, 1, 1); /* a second run of the network draws anew */
    CHECK(memcmp(before.x, now.x, 24 * 216 * sizeof *now.x) != 0);
    nn_net_destroy(net);
    /* of a view it is the number in the view that counts: copies of a sample differ */
    CHECK_OK(nn_dataset_select(&d, first, 24, &view));
    watch_everything(&view, 1, 1, 3);
    CHECK(memcmp(now.x, now.x + 216, 216 * sizeof *now.x) != 0);
    nn_dataset_free(&view);
    nn_dataset_free(&d);
}

static void any_number_of_threads(void)
{
    nn_dataset d;
    make_pictures(&d);
    watch_everything(&d, 1, 2, 3);
    before = now;
    for (int threads = 2; threads <= 7; threads++) {
        watch_everything(&d, threads, 2, 3);
        CHECK(memcmp(before.x, now.x, 5 * 24 * 216 * sizeof *now.x) == 0);
        CHECK(memcmp(before.targets, now.targets, 5 * 24 * 2 * sizeof *now.x) == 0);
    }
    nn_dataset_free(&d);
}

/* A kind draws the same whether others draw or not; what is stored stays; checks see it. */
static void leaves_alone(void)
{
    nn_dataset d;
    nn_real stored[24 * 216], again[24 * 216];
    nn_augment a = nothing();
    nn_history plain, varied;
    make_pictures(&d);
    CHECK_OK(nn_dataset_gather(&d, NULL, 24, stored));
    a.shift = 1;
    watch(&d, &a, 1);
    before = now;
    a.cutout = 1;
    watch(&d, &a, 1);
    size_t cut = 0, changed = 0;
    for (size_t i = 0; i < 24 * 216; i++) {
        cut += now.x[i] == 0 && before.x[i] != 0;
        changed += now.x[i] != before.x[i] && now.x[i] != 0;
    }
    CHECK_INT(cut, 24 * 3);
    CHECK_INT(changed, 0);
    CHECK_OK(nn_dataset_gather(&d, NULL, 24, again));
    CHECK(memcmp(stored, again, sizeof stored) == 0);
    for (int on = 0; on < 2; on++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_flatten(nn_input_like(net, &d)), 2));
        nn_train_desc desc;
        nn_history *h = on ? &varied : &plain;
        memset(h, 0, sizeof *h);
        memset(&desc, 0, sizeof desc);
        desc.epochs = 1, desc.batch_size = 24, desc.no_shuffle = 1;
        desc.optimizer = nn_sgd(1e-12, 0), desc.validation = &d, desc.evaluate_training = 1;
        if (on) desc.augment = everything();
        CHECK_OK(nn_train(loss, &d, &desc, h));
        nn_net_destroy(net);
    }
    CHECK_NEAR(plain.checks[0].validation_loss, varied.checks[0].validation_loss, 1e-6);
    CHECK_NEAR(plain.checks[0].train_loss, varied.checks[0].train_loss, 1e-6);
    CHECK(fabs(plain.checks[0].batch_loss - varied.checks[0].batch_loss) > 1e-3);
    nn_history_free(&plain);
    nn_history_free(&varied);
    nn_dataset_free(&d);
}

static void check_refused(const nn_dataset *d, const nn_augment *a, nn_status status,
                          const char *message)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_flatten(nn_input_like(net, d)), 2));
    nn_train_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.epochs = desc.batch_size = 1, desc.optimizer = nn_sgd(0.1, 0);
    desc.augment = *a;
    CHECK_ERROR(nn_train(loss, d, &desc, NULL), status, "nn_train: augment.", message);
    nn_net_destroy(net);
}

static void refuses(void)
{
    static const uint8_t bytes[24] = {0};
    static const size_t flat[] = {24}, deep[] = {2, 2, 3, 2};
    const struct {
        nn_augment a;
        const char *member;
    } pixels[] = {{{NN_FLIP_RANDOM, 0, 0, 0, 0, 0, 0, 0, 0}, "flip"},
                  {{NN_FLIP_NONE, 5, 0, 1, 0, 0, 0, 0, 0}, "rotation"},
                  {{NN_FLIP_NONE, 0, 1, 0, 0, 0, 0, 0, 0}, "shift"},
                  {{NN_FLIP_NONE, 0, 0, 0, 0.1, 0, 0, 0, 0}, "brightness"},
                  {{NN_FLIP_NONE, 0, 0, 0, 0, 0.1, 0, 0, 0}, "contrast"},
                  {{NN_FLIP_NONE, 0, 0, 0, 0, 0, 0, 1, 0}, "cutout"}},
      wrong[] = {{{(nn_flip)3, 0, 0, 0, 0, 0, 0, 0, 0}, "flip is 3, expected 0 to 2"},
                 {{NN_FLIP_NONE, 181, 0, 0, 0, 0, 0, 0, 0}, "rotation is 181, expected 0 to 180"},
                 {{NN_FLIP_NONE, -1, 0, 0, 0, 0, 0, 0, 0}, "rotation is -1"},
                 {{NN_FLIP_NONE, 0, 4, 0, 0, 0, 0, 0, 0}, "shift is 4, expected less than 4"},
                 {{NN_FLIP_RANDOM, 0, 0, 1, 0, 0, 0, 0, 0}, "reflect is set, but nothing is moved"},
                 {{NN_FLIP_NONE, 0, 0, 0, 1.5, 0, 0, 0, 0}, "brightness is 1.5, expected 0 to 1"},
                 {{NN_FLIP_NONE, 0, 0, 0, 0, -0.5, 0, 0, 0}, "contrast is -0.5, expected 0 to 1"},
                 {{NN_FLIP_NONE, 0, 0, 0, 0, 0, -1, 0, 0}, "noise is -1"},
                 {{NN_FLIP_NONE, 0, 0, 0, 0, 0, HUGE_VAL, 0, 0}, "noise is inf"},
                 {{NN_FLIP_NONE, 0, 0, 0, 0, 0, 0, 5, 0}, "cutout is 5, expected at most 4"},
                 {{NN_FLIP_NONE, 0, 0, 0, 0, 0, 0, 0, -1}, "mixup is -1"}};
    nn_dataset d;
    images(&d, bytes, NULL, 1, 2, 4, 6, 1);
    for (size_t i = 0; i < COUNT(wrong); i++)
        check_refused(&d, &wrong[i].a, NN_ERROR_BAD_ARGUMENT, wrong[i].member);
    for (size_t i = 0; i < COUNT(pixels); i++) {
        char text[100];
        snprintf(text, sizeof text, "%s is for images, expected samples of rank 2 or 3, not of "
                 "shape [24]", pixels[i].member);
        CHECK_OK(nn_dataset_set_shape(&d, 1, flat));
        check_refused(&d, &pixels[i].a, NN_ERROR_BAD_SHAPE, text);
        CHECK_OK(nn_dataset_set_shape(&d, 4, deep));
        check_refused(&d, &pixels[i].a, NN_ERROR_BAD_SHAPE, "[2 2 3 2]");
    }
    nn_dataset_free(&d);
}

static void mixup_needs_targets(void)
{
    static const nn_real x[4] = {0, 1, 2, 3}, weights[2] = {1, 1};
    static const int labels[2] = {0, 1};
    for (int kind = 0; kind < 4; kind++) {
        static const char *const expected[] = {"hinge takes labels only",
                                               "softmax_cross_entropy takes labels only",
                                               "softmax_cross_entropy has class_weights",
                                               "softmax_cross_entropy has ignore_label"};
        nn_net *net = nn_net_create(NULL);
        nn_dataset d;
        nn_loss_desc loss;
        nn_train_desc desc;
        memset(&loss, 0, sizeof loss);
        memset(&desc, 0, sizeof desc);
        if (kind == 1) loss.answers = NN_ANSWERS_LABELS;
        if (kind == 2) loss.class_weights = weights;
        if (kind == 3) loss.ignore_label = 1;
        CHECK_OK(nn_dataset_from_arrays(x, 2, 2, labels, 2, &d));
        nn_tensor *t = nn_loss(nn_dense(nn_input(net, 2), 2),
                               kind ? NN_LOSS_SOFTMAX_CROSS_ENTROPY : NN_LOSS_HINGE, &loss);
        desc.epochs = desc.batch_size = 1, desc.optimizer = nn_sgd(0.1, 0);
        desc.augment.mixup = 0.5;
        CHECK_ERROR(nn_train(t, &d, &desc, NULL), NN_ERROR_BAD_ARGUMENT,
                    "nn_train: augment.mixup makes targets, but ", expected[kind]);
        nn_net_destroy(net);
        nn_dataset_free(&d);
    }
}

/* ------------------------------------------------------------------- test-time augmentation */

/* The mean image itself, from a network that only looks. */
static void predicts_with_views(void)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 100, 0, 0, 0, 0, 0};
    static const double flipped[] = {2, 2, 2, 5, 5, 5, 50, 0, 50, 0, 0, 0};
    /* as it is; 5 6 0 / 0 0 0 and 0 0 0 / 0 1 2, or mirrored back in */
    static const double shifted[] = {2, 8 / 3.0, 1, 4 / 3.0, 2, 8 / 3.0,
                                     100 / 3.0, 0, 0, 0, 100 / 3.0, 0};
    static const double reflected[] = {11 / 3.0, 4, 13 / 3.0, 8 / 3.0, 3, 10 / 3.0,
                                       100 / 3.0, 0, 0, 0, 100 / 3.0, 0};
    const struct {
        int flip, reflect;
        size_t shift;
        const double *expected;
    } table[] = {{1, 0, 0, flipped}, {0, 0, 1, shifted}, {0, 1, 1, reflected}};
    for (size_t i = 0; i < COUNT(table); i++) {
        nn_net *net = nn_net_create(NULL);
        nn_dataset d;
        nn_predict_desc desc;
        nn_real y[12];
        images(&d, bytes, NULL, 2, 2, 2, 3, 1);
        memset(&desc, 0, sizeof desc);
        desc.flip = table[i].flip, desc.shift = table[i].shift, desc.reflect = table[i].reflect;
        CHECK_OK(nn_predict_with(look(net, &d), &d, &desc, y));
        check_values(y, table[i].expected, 12, 100 * TOLERANCE);
        nn_net_destroy(net);
        nn_dataset_free(&d);
    }
}

/* Outputs are averaged, not images, over more samples than a chunk; planes as well. */
static void averages_outputs(void)
{
    enum { N = 150 };
    static uint8_t bytes[N * 24];
    static nn_real y[N * 24], views[6][N * 24];
    static const ptrdiff_t shift[] = {0, -1, 1};
    nn_net *net = nn_net_create(NULL);
    nn_rng rng = nn_rng_seed(4);
    nn_dataset d;
    nn_predict_desc desc;
    for (size_t i = 0; i < COUNT(bytes); i++) bytes[i] = (uint8_t)nn_rng_below(&rng, 256);
    images(&d, bytes, NULL, N, 3, 2, 3, 4);
    d.channels_first = 1;
    CHECK_OK(nn_dataset_rescale(&d, 0, 255, -1, 1));
    for (size_t i = 0; i < 6; i++) {
        nn__variation v;
        memset(&v, 0, sizeof v);
        v.pose.is_moved = 1, v.pose.flip = i > 2, v.pose.right = v.pose.down = shift[i % 3];
        for (size_t s = 0; s < N; s++) nn__draw_sample(&v, &d, s, 1, views[i] + s * 24);
    }
    memset(&desc, 0, sizeof desc);
    desc.flip = 1, desc.shift = 1;
    nn_tensor *x = nn_input_like(net, &d);
    CHECK_OK(nn_predict_with(nn_mul(x, x), &d, &desc, y));
    double worst = 0;
    for (size_t i = 0; i < N * 24; i++) {
        double sum = 0;
        for (size_t k = 0; k < 6; k++) sum += (double)views[k][i] * (double)views[k][i] / 6;
        worst = fmax(worst, fabs(sum - (double)y[i]));
    }
    CHECK(worst < 2 * TOLERANCE);
    nn_tensor *out = nn_scale(x, 2);
    CHECK_OK(nn_predict_with(out, &d, NULL, y));
    CHECK_OK(nn_predict(out, &d, views[0]));
    CHECK(memcmp(y, views[0], sizeof y) == 0);
    memset(&desc, 0, sizeof desc);
    CHECK_OK(nn_predict_with(out, &d, &desc, y));
    CHECK(memcmp(y, views[0], sizeof y) == 0);
    nn_net_destroy(net);
    nn_dataset_free(&d);
}

static void refuses_views(void)
{
    static const uint8_t bytes[24] = {0};
    static const size_t flat[] = {24};
    nn_net *net = nn_net_create(NULL);
    nn_dataset d;
    nn_real y[24];
    nn_predict_desc desc;
    memset(&desc, 0, sizeof desc);
    images(&d, bytes, NULL, 1, 2, 4, 6, 1);
    nn_tensor *out = look(net, &d);
    CHECK_ERROR(nn_predict_with(out, &d, &desc, NULL), NN_ERROR_BAD_ARGUMENT, "out is NULL", "");
    CHECK_ERROR(nn_predict_with(NULL, &d, &desc, y), NN_ERROR_BAD_ARGUMENT, "tensor is NULL", "");
    CHECK_ERROR(nn_predict_with(out, NULL, &desc, y), NN_ERROR_BAD_ARGUMENT, "set is NULL", "");
    desc.reflect = 1;
    CHECK_ERROR(nn_predict_with(out, &d, &desc, y), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_with: reflect is set", "");
    desc.shift = 4;
    CHECK_ERROR(nn_predict_with(out, &d, &desc, y), NN_ERROR_BAD_ARGUMENT,
                "nn_predict_with: shift is 4, expected less than 4", "");
    desc.shift = 1;
    CHECK_OK(nn_dataset_set_shape(&d, 1, flat));
    CHECK_ERROR(nn_predict_with(out, &d, &desc, y), NN_ERROR_BAD_SHAPE,
                "nn_predict_with: shift is for images", "[24]");
    desc.shift = 0, desc.reflect = 0, desc.flip = 1;
    CHECK_ERROR(nn_predict_with(out, &d, &desc, y), NN_ERROR_BAD_SHAPE,
                "nn_predict_with: flip is for images", "[24]");
    nn_net_destroy(net);
    nn_dataset_free(&d);
}

static void run_augmentation(void)
{
    for (size_t i = 0; i < COUNT(labels_of_many); i++) labels_of_many[i] = (int)(i & 1);
    RUN(flips);
    RUN(shifts);
    RUN(padding_is_normalised);
    RUN(turns_by_known_angles);
    RUN(turns_as_drawn);
    RUN(brightness);
    RUN(contrast);
    RUN(noise);
    RUN(cutout);
    RUN(mixup);
    RUN(mixup_of_targets);
    RUN(same_bits);
    RUN(independent_of_order);
    RUN_THREADS(any_number_of_threads);
    RUN(leaves_alone);
    RUN(refuses);
    RUN(mixup_needs_targets);
    RUN(predicts_with_views);
    RUN(averages_outputs);
    RUN(refuses_views);
}

/* ------------------------------------------------------------------------------------- shadows */

enum { POINTS = 8, STEPS = 11, WEIGHTS = 17, VALUES = WEIGHTS + 2 };

static nn_real points[POINTS * 2], heights[POINTS];

/* y = f(x) of two values: 4 hidden units, and a buffer of two that the callback counts up. */
typedef struct surface {
    nn_net *net;
    nn_tensor *loss, *buffer;
    nn_dataset data;
    size_t checks;
    nn_real values[STEPS][VALUES]; /* that checks saw */
    nn_real moved[STEPS][VALUES];  /* after steps */
    double validation[STEPS];
} surface;

static void read_values(const nn_net *net, nn_real *out)
{
    const nn_tensor *p;
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; out += p->size, i++)
        memcpy(out, p->data, p->size * sizeof *out);
    memcpy(out, nn_net_buffer(net, 0)->data, 2 * sizeof *out);
}

static int see_check(void *user, nn_net *net, const nn_check *c)
{
    surface *s = (surface *)user;
    s->validation[s->checks] = c->validation_loss;
    read_values(net, s->values[s->checks++]);
    return 0;
}

static int see_step(void *user, nn_net *net, size_t step, double loss)
{
    surface *s = (surface *)user;
    (void)loss;
    read_values(net, s->moved[step]);
    s->buffer->data[0] += 1, s->buffer->data[1] *= -2;
    return 0;
}

static void make_surface(surface *s)
{
    static const size_t two[] = {2};
    nn_net_desc desc;
    memset(s, 0, sizeof *s);
    memset(&desc, 0, sizeof desc);
    desc.seed = 11;
    s->net = nn_net_create(&desc);
    nn_tensor *h = nn_tanh(nn_dense(nn_input(s->net, 2), 4));
    s->buffer = nn_buffer(s->net, 1, two, nn_init_constant(1), "count");
    s->loss = nn_mse(nn_dense(h, 1));
    CHECK_INT(nn_net_parameter_count(s->net), WEIGHTS);
    for (int i = 0; i < POINTS; i++) {
        points[2 * i] = (nn_real)i / 4 - 1, points[2 * i + 1] = (nn_real)(i * 3 % 8) / 4 - 1;
        heights[i] = points[2 * i] * points[2 * i + 1];
    }
    CHECK_OK(nn_dataset_from_arrays(points, POINTS, 2, NULL, 0, &s->data));
    CHECK_OK(nn_dataset_set_targets(&s->data, heights, 1));
}

static void free_surface(surface *s)
{
    nn_net_destroy(s->net);
    nn_dataset_free(&s->data);
}

static nn_train_desc surface_desc(surface *s)
{
    nn_train_desc d;
    memset(&d, 0, sizeof d);
    d.epochs = STEPS, d.batch_size = POINTS, d.no_shuffle = 1;
    d.optimizer = nn_sgd(0.3, 0.9);
    d.validation = &s->data;
    d.on_check = see_check, d.on_step = see_step, d.user = s;
    return d;
}

/* The same run as a plain loop: what checks are to see, and the weights that move. */
static void plain_loop(double decay, size_t k, double rate, surface *s)
{
    static nn_real slow[VALUES], mean[VALUES], w[VALUES];
    const nn_optimizer_desc optimizer = nn_sgd(0.3, 0.9);
    nn_tensor *in = nn_net_tensor(s->net, 0);
    CHECK_OK(nn_set_optimizer(s->net, &optimizer));
    read_values(s->net, slow);
    memset(mean, 0, sizeof mean);
    for (size_t step = 0; step < STEPS; step++) {
        CHECK_OK(nn_feed(in, points, POINTS));
        CHECK_OK(nn_feed_targets(s->loss, heights, POINTS));
        CHECK_OK(nn_forward(s->loss));
        CHECK_OK(nn_backward(s->loss));
        CHECK_OK(nn_step(s->net));
        read_values(s->net, w);
        if (k && (step + 1) % k == 0) {
            nn_tensor *p;
            for (size_t i = 0; i < WEIGHTS; i++) {
                slow[i] += (nn_real)rate * (w[i] - slow[i]);
                w[i] = slow[i];
            }
            const nn_real *from = w;
            for (size_t i = 0; (p = nn_net_parameter(s->net, i)) != NULL; from += p->size, i++)
                memcpy(p->data, from, p->size * sizeof *from);
        }
        double weights = 0; /* of all values so far, by the definition of the average */
        for (size_t i = 0; i <= step; i++) weights += pow(decay, (double)i);
        for (size_t i = 0; i < VALUES; i++) {
            mean[i] += (nn_real)(1 / weights) * (w[i] - mean[i]);
            s->values[step][i] = decay > 0 ? mean[i] : k && i < WEIGHTS ? slow[i] : w[i];
        }
        memcpy(s->moved[step], w, sizeof w);
        s->buffer->data[0] += 1, s->buffer->data[1] *= -2;
    }
}

static void check_shadows(double decay, size_t k, double rate)
{
    static surface run, plain;
    nn_history history;
    nn_result result;
    nn_real last[VALUES];
    memset(&history, 0, sizeof history);
    make_surface(&plain);
    plain_loop(decay, k, rate != 0 ? rate : 0.5, &plain);
    make_surface(&run);
    nn_train_desc d = surface_desc(&run);
    d.ema_decay = decay, d.lookahead_steps = k, d.lookahead_rate = rate;
    CHECK_OK(nn_train(run.loss, &run.data, &d, &history));
    CHECK_INT(run.checks, STEPS);
    for (size_t step = 0; step < STEPS; step++)
        for (size_t i = 0; i < VALUES; i++) {
            const double size = 1 + fabs((double)plain.moved[step][i]);
            CHECK_NEAR(run.values[step][i], plain.values[step][i], 50 * size * TOLERANCE);
            CHECK_NEAR(run.moved[step][i], plain.moved[step][i], 50 * size * TOLERANCE);
        }
    read_values(run.net, last);
    CHECK(memcmp(last, run.values[STEPS - 1], WEIGHTS * sizeof *last) == 0);
    /* what the checks measured is what the network computes with the weights that they saw */
    for (size_t step = 0; step < STEPS; step++) {
        nn_tensor *p;
        const nn_real *from = run.values[step];
        for (size_t i = 0; (p = nn_net_parameter(run.net, i)) != NULL; from += p->size, i++)
            memcpy(p->data, from, p->size * sizeof *from);
        CHECK_OK(nn_evaluate(run.loss, &run.data, &result));
        CHECK(result.loss == run.validation[step]);
    }
    nn_history_free(&history);
    free_surface(&run);
    free_surface(&plain);
}

static void averages(void)
{
    check_shadows(0.5, 0, 0);
    check_shadows(0.99, 0, 0);
}

static void lookahead(void)
{
    check_shadows(0, 3, 0);
    check_shadows(0, 1, 0.25);
    check_shadows(0, 4, 1);
}

static void average_of_lookahead(void)
{
    check_shadows(0.7, 2, 0.8);
}

/* The first step's average is its weights, bit for bit; frozen weights stay as they are. */
static void average_begins(void)
{
    static surface s;
    nn_real frozen[8];
    make_surface(&s);
    nn_tensor *w = nn_net_parameter(s.net, 0);
    w->frozen = 1;
    memcpy(frozen, w->data, sizeof frozen);
    nn_train_desc d = surface_desc(&s);
    d.ema_decay = 0.9, d.lookahead_steps = 2;
    CHECK_OK(nn_train(s.loss, &s.data, &d, NULL));
    CHECK(memcmp(s.values[0], s.moved[0], sizeof s.values[0]) == 0);
    CHECK(memcmp(s.values[1], s.moved[1], sizeof s.values[1]) != 0);
    CHECK(memcmp(frozen, w->data, sizeof frozen) == 0);
    free_surface(&s);
}

/* The best check's weights are averages, too. */
static void best_average(void)
{
    static surface s;
    nn_history history;
    nn_real last[VALUES];
    memset(&history, 0, sizeof history);
    make_surface(&s);
    nn_train_desc d = surface_desc(&s);
    d.optimizer = nn_sgd(1.9, 0.5); /* too much: it gets worse */
    d.ema_decay = 0.6, d.restore_best = 1;
    CHECK_OK(nn_train(s.loss, &s.data, &d, &history));
    read_values(s.net, last);
    CHECK(history.best < STEPS - 1);
    CHECK(memcmp(last, s.values[history.best], sizeof last) == 0);
    nn_history_free(&history);
    free_surface(&s);
}

/* Between the steps of a trainer the weights are those that move; wherever it ends, the others. */
static void shadows_in_steps(void)
{
    static surface s;
    nn_trainer *trainer;
    nn_real present[VALUES];
    make_surface(&s);
    nn_train_desc d = surface_desc(&s);
    d.ema_decay = 0.9;
    CHECK_OK(nn_trainer_create(s.loss, &s.data, &d, NULL, &trainer));
    for (int i = 0; i < 5; i++) CHECK_OK(nn_trainer_step(trainer));
    read_values(s.net, present);
    CHECK(memcmp(present, s.moved[4], WEIGHTS * sizeof *present) == 0);
    nn_trainer_destroy(trainer);
    read_values(s.net, present);
    CHECK(memcmp(present, s.values[4], sizeof present) == 0);
    free_surface(&s);
}

static void refuses_shadows(void)
{
    static surface s;
    const struct {
        double decay;
        size_t steps;
        double rate;
        const char *message;
    } table[] = {{1, 0, 0, "ema_decay is 1, expected 0 <= ema_decay < 1"},
                 {-0.5, 0, 0, "ema_decay is -0.5"},
                 {0, 2, 1.5, "lookahead_rate is 1.5, expected 0 to 1"},
                 {0, 2, -1, "lookahead_rate is -1"},
                 {0, 0, 0.5, "lookahead_rate is set, but lookahead_steps is 0"}};
    make_surface(&s);
    for (size_t i = 0; i < COUNT(table); i++) {
        nn_train_desc d = surface_desc(&s);
        d.ema_decay = table[i].decay;
        d.lookahead_steps = table[i].steps, d.lookahead_rate = table[i].rate;
        CHECK_ERROR(nn_train(s.loss, &s.data, &d, NULL), NN_ERROR_BAD_ARGUMENT, "nn_train: ",
                    table[i].message);
    }
    free_surface(&s);
}

/* An allocator that has only so many blocks to give. */
static size_t blocks_left;
static void *limited_alloc(void *user, size_t bytes)
{
    (void)user;
    return blocks_left ? blocks_left--, malloc(bytes) : NULL;
}
static void limited_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static void shadows_out_of_memory(void)
{
    nn_status status = NN_ERROR_OUT_OF_MEMORY;
    size_t refused = 0;
    for (size_t limit = 0; limit < 100 && status != NN_OK; limit++) {
        static surface s;
        nn_net_desc desc;
        make_surface(&s); /* for its data */
        memset(&desc, 0, sizeof desc);
        desc.allocator.alloc = limited_alloc, desc.allocator.release = limited_release;
        blocks_left = 1000;
        nn_net *net = nn_net_create(&desc);
        nn_tensor *loss = nn_mse(nn_dense(nn_input(net, 2), 1));
        nn_train_desc d = surface_desc(&s);
        d.on_check = NULL, d.on_step = NULL;
        d.ema_decay = 0.5, d.lookahead_steps = 2, d.restore_best = 1;
        blocks_left = limit;
        status = nn_train(loss, &s.data, &d, NULL);
        CHECK(status == NN_OK || status == NN_ERROR_OUT_OF_MEMORY);
        refused += status != NN_OK;
        nn_net_destroy(net);
        free_surface(&s);
    }
    CHECK_OK(status);
    CHECK(refused > 5);
}

/* Stopped after step `stop` (SIZE_MAX: never), or gone on with: everything that is drawn and all
   shadows at once. Returns a hash of the weights at the end. */
static size_t stop_after;
static int stop_step(void *user, nn_net *net, size_t step, double loss)
{
    (void)user, (void)net, (void)loss;
    return step == stop_after;
}

static uint64_t run_in_file(const char *path, size_t stop, int resume, int best, double decay,
                            size_t lookahead_steps)
{
    uint64_t hash = HASH_START;
    const nn_tensor *p;
    nn_dataset d;
    nn_train_desc desc;
    nn_net_desc net_desc;
    memset(&desc, 0, sizeof desc);
    memset(&net_desc, 0, sizeof net_desc);
    make_pictures(&d);
    net_desc.seed = 5;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *x = nn_batch_norm(nn_dense(nn_flatten(nn_input_like(net, &d)), 3));
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(x, 2));
    desc.epochs = 4, desc.batch_size = 7, desc.optimizer = nn_sgd(0.05, 0.9);
    desc.augment = everything();
    desc.validation = &d, desc.restore_best = best;
    desc.ema_decay = decay, desc.lookahead_steps = lookahead_steps;
    desc.save_path = path, desc.save_every = 3, desc.resume = resume;
    desc.on_step = stop_step, stop_after = stop;
    CHECK_OK(nn_train(loss, &d, &desc, NULL));
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++)
        hash = hash_reals(hash, p->data, p->size);
    for (size_t i = 0; (p = nn_net_buffer(net, i)) != NULL; i++)
        hash = hash_reals(hash, p->data, p->size);
    if (stop == SIZE_MAX) { /* under their own names are the weights that the run ended with */
        uint64_t loaded = HASH_START;
        nn_net *copy = nn_open(path, NULL);
        if (FAILS(copy != NULL)) puts(nn_last_error());
        for (size_t i = 0; copy && (p = nn_net_parameter(copy, i)) != NULL; i++)
            loaded = hash_reals(loaded, p->data, p->size);
        for (size_t i = 0; copy && (p = nn_net_buffer(copy, i)) != NULL; i++)
            loaded = hash_reals(loaded, p->data, p->size);
        CHECK(loaded == hash);
        nn_net_destroy(copy);
    }
    nn_net_destroy(net);
    nn_dataset_free(&d);
    return hash;
}

static void resumes_to_the_same_bits(void)
{
    static const size_t stops[] = {0, 4, 8, 15};
    const char *path = TEST_TMP "/augment.safetensors", *whole = TEST_TMP "/whole.safetensors";
    for (int kind = 0; kind < 5; kind++) {
        const int best = kind > 2;
        const double decay = kind == 1 || kind > 2 ? 0.8 : 0;
        const size_t k = kind == 2 || kind > 3 ? 2 : 0;
        remove(whole);
        const uint64_t expected = run_in_file(whole, SIZE_MAX, 0, best, decay, k);
        for (size_t i = 0; i < COUNT(stops); i++) {
            remove(path);
            run_in_file(path, stops[i], 0, best, decay, k);
            CHECK(run_in_file(path, SIZE_MAX, 1, best, decay, k) == expected);
        }
    }
}

static void run_shadows(void)
{
    RUN(averages);
    RUN(lookahead);
    RUN(average_of_lookahead);
    RUN(average_begins);
    RUN(best_average);
    RUN(shadows_in_steps);
    RUN(refuses_shadows);
    RUN(shadows_out_of_memory);
    RUN(resumes_to_the_same_bits);
}

static void run_layout(void)
{
    RUN(inputs_like_data);
    RUN(inputs_like_nothing);
    RUN(planes_become_pixels);
    RUN(large_planes);
    RUN(shapes_that_fit);
    RUN(planes_are_not_pixels);
    RUN(classifies_planes);
}

int main(void)
{
    run_layout();
    run_augmentation();
    run_shadows();
    return test_done("test_augment");
}
