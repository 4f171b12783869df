/* Pooling, resizing and normalisation of images and sequences: PyTorch's values, definitions,
   gradients over shapes and flags, moving statistics, and every error. */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "test.h"

#ifdef NN_DOUBLE
#define EPS 1e-13
#else
#define EPS 1e-6
#endif

#define MAX_VALUES 5000

static char case_name[128];

/* ---------------------------------------------------------------------------------------- tools */

static nn_real wave[MAX_VALUES];

/* sin(a i + b) for i < n: smooth, without ties. */
static const nn_real *make_wave(size_t n, double a, double b)
{
    CHECK(n <= MAX_VALUES);
    for (size_t i = 0; i < n; i++) wave[i] = (nn_real)sin(a * (double)i + b);
    return wave;
}

/* sum x_i sin(0.9 i + 0.4), which every x_i moves by another amount. */
static double digest(size_t n, const nn_real *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * sin(0.9 * (double)i + 0.4);
    return sum;
}

/* An input of one sample's shape, the batch in front of it, filled with what the case is about. */
static nn_tensor *image(nn_net *net, int rank, const size_t *shape)
{
    nn_real x[MAX_VALUES];
    nn_tensor *t = nn_input_shape(net, rank - 1, shape + 1);
    CHECK(t != NULL);
    if (!t) return NULL;
    for (size_t i = 0; i < t->row_size * shape[0]; i++)
        x[i] = (nn_real)(1.5 * sin(1.3 * (double)i + 0.2) + 0.5 * sin(0.11 * (double)i + 1) + 0.25);
    CHECK_OK(nn_feed(t, x, shape[0]));
    t->requires_grad = 1;
    return t;
}

/* sum y_i sin(0.7 i + 1) over the batch */
static nn_tensor *weigh(nn_tensor *y, size_t rows)
{
    if (!y) return NULL;
    nn_tensor *g = nn_input_shape(y->net, y->rank - 1, y->shape + 1);
    CHECK_OK(nn_feed(g, make_wave(rows * y->row_size, 0.7, 1), rows));
    return nn_sum(nn_mul(y, g));
}

static void set_leaf(nn_tensor *t, double start, double size, double a, double b)
{
    nn_real x[MAX_VALUES];
    if (!t) return;
    for (size_t i = 0; i < t->size; i++)
        x[i] = (nn_real)(start + size * sin(a * (double)i + b));
    CHECK_OK(nn_set_values(t, x, t->size));
}

static void set_layer(nn_tensor *y)
{
    set_leaf(nn_weight(y), 1, 0.5, 1, 1);
    set_leaf(nn_bias(y), 0, 0.3, 2, 0.5);
    set_leaf(nn_net_buffer(y->net, 0), 0, 0.1, 1, 0.3);
    set_leaf(nn_net_buffer(y->net, 1), 1, 0.2, 1, 2);
}

static void check_digest(const char *what, size_t n, const nn_real *x, double expected)
{
    const double got = digest(n, x);
    if (FAILS(fabs(got - expected) <= 40 * EPS * (1 + fabs(expected))))
        printf("%s: %.17g, expected %.17g\n", what, got, expected);
}

/* The builder refused: its network says why. Destroys the network. */
static void check_refusal(nn_net *net, const nn_tensor *t, nn_status status, const char *part1,
                          const char *part2)
{
    CHECK(t == NULL);
    CHECK_ERROR(nn_net_status(net), status, part1, part2);
    nn_net_destroy(net);
}

/* ----------------------------------------------------------------------- PyTorch's values, gradients */

static nn_pool_desc window(size_t height, size_t width, size_t stride, size_t pad_height,
                           size_t pad_width)
{
    nn_pool_desc d = {0};
    d.kernel_height = height, d.kernel_width = width, d.stride = stride;
    d.pad_height = pad_height, d.pad_width = pad_width;
    return d;
}

static nn_pool_desc window_3_2_1(const nn_tensor *x)
{
    nn_pool_desc d = {0};
    d.kernel = 3, d.stride = 2, d.pad_width = 1;
    if (x->rank == 4) d.pad_height = 1;
    return d;
}

static nn_tensor *max_1(nn_tensor *x) { return nn_max_pool(x, 1); }
static nn_tensor *max_2(nn_tensor *x) { return nn_max_pool(x, 2); }
static nn_tensor *max_1_2(nn_tensor *x)
{
    nn_pool_desc d = {0};
    d.kernel = 1, d.stride = 2;
    return nn_max_pool_with(x, &d);
}
static nn_tensor *max_3_2_1(nn_tensor *x)
{
    const nn_pool_desc d = window_3_2_1(x);
    return nn_max_pool_with(x, &d);
}
static nn_tensor *max_23_1(nn_tensor *x)
{
    const nn_pool_desc d = window(2, 3, 1, 0, 1);
    return nn_max_pool_with(x, &d);
}
static nn_tensor *average_2(nn_tensor *x) { return nn_average_pool(x, 2); }
static nn_tensor *average_3_2_1(nn_tensor *x)
{
    const nn_pool_desc d = window_3_2_1(x);
    return nn_average_pool_with(x, &d);
}
static nn_tensor *average_excluded(nn_tensor *x)
{
    nn_pool_desc d = window_3_2_1(x);
    d.exclude_padding = 1;
    return nn_average_pool_with(x, &d);
}
static nn_tensor *average_23_1(nn_tensor *x)
{
    const nn_pool_desc d = window(2, 3, 1, 0, 1);
    return nn_average_pool_with(x, &d);
}
static nn_tensor *adaptive_3_2(nn_tensor *x) { return nn_adaptive_average_pool(x, 3, 2); }
static nn_tensor *upsample_2(nn_tensor *x) { return nn_upsample(x, 2); }
static nn_tensor *pad_1203(nn_tensor *x) { return nn_pad(x, 1, 2, 0, 3); }
static nn_tensor *crop_1203(nn_tensor *x) { return nn_crop(x, 1, 2, 0, 3); }
static nn_tensor *batch_relu(nn_tensor *x)
{
    nn_batch_norm_desc d = {0};
    d.activation = NN_ACTIVATION_RELU;
    return nn_batch_norm_with(x, &d);
}
static nn_tensor *batch_plain(nn_tensor *x)
{
    nn_batch_norm_desc d = {0};
    d.no_affine = 1;
    return nn_batch_norm_with(x, &d);
}
static nn_tensor *batch_settings(nn_tensor *x)
{
    nn_batch_norm_desc d = {0};
    d.epsilon = 0.01, d.keep = 0.75, d.population_variance = 1;
    return nn_batch_norm_with(x, &d);
}
static nn_tensor *group_2(nn_tensor *x) { return nn_group_norm(x, 2); }
static nn_tensor *group_relu(nn_tensor *x)
{
    nn_group_norm_desc d = {0};
    d.groups = 3, d.activation = NN_ACTIVATION_RELU;
    return nn_group_norm_with(x, &d);
}
static nn_tensor *instance(nn_tensor *x) { return nn_group_norm(x, x->shape[x->rank - 1]); }
static nn_tensor *layer_2(nn_tensor *x)
{
    nn_layer_norm_desc d = {0};
    d.axes = 2;
    return nn_layer_norm_with(x, &d);
}
static nn_tensor *layer_3_plain(nn_tensor *x)
{
    nn_layer_norm_desc d = {0};
    d.axes = 3, d.no_affine = 1;
    return nn_layer_norm_with(x, &d);
}

/* Digests of y, dx, dw, db, and of the running mean and variance afterwards. */
typedef struct torch_row {
    const char *name;
    nn_tensor *(*build)(nn_tensor *x);
    int rank;
    size_t shape[4]; /* the batch first */
    int training;
    double values[6];
} torch_row;

#define ROW(name) #name, name
static const torch_row torch_rows[] = {
    {ROW(max_2), 4, {2, 4, 6, 5}, 1,
     {1.944953092540329, -2.128918044067786}},
    {ROW(max_2), 4, {1, 5, 7, 3}, 1,
     {2.693929548128188, 2.62271986135687}},
    {ROW(max_3_2_1), 4, {2, 7, 6, 9}, 1,
     {1.048848966823364, -1.640678990390728}},
    {ROW(max_23_1), 4, {2, 5, 4, 8}, 1,
     {3.925642590343323, -6.54208753535005}},
    {ROW(max_1), 4, {2, 3, 3, 2}, 1,
     {3.411027520104503, 2.001335581399356}},
    {ROW(max_1_2), 4, {2, 5, 4, 3}, 1,
     {15.97728386377969, 1.202220351860153}},
    {ROW(max_3_2_1), 3, {3, 9, 4}, 1,
     {-2.905179681536475, 8.315520265885823}},
    {ROW(average_2), 4, {2, 4, 6, 5}, 1,
     {0.1249260427525885, -0.8071814386551688}},
    {ROW(average_3_2_1), 4, {2, 7, 6, 9}, 1,
     {0.5456823287179942, 1.408863263400526}},
    {ROW(average_excluded), 4, {2, 7, 6, 9}, 1,
     {1.021209528171106, 2.870701164744334}},
    {ROW(average_23_1), 4, {2, 5, 4, 8}, 1,
     {-0.8582129160160203, 2.04389423544342}},
    {ROW(average_3_2_1), 3, {3, 9, 4}, 1,
     {-1.007137698203024, 0.352849224814185}},
    {ROW(nn_global_max_pool), 4, {2, 3, 5, 7}, 1,
     {0.0008202506644642282, 3.438439912571687}},
    {ROW(nn_global_average_pool), 4, {2, 3, 5, 7}, 1,
     {0.165685666772838, 3.251278442028617}},
    {ROW(nn_global_average_pool), 3, {2, 6, 17}, 1,
     {-0.02362788373917568, 0.7876035583145182}},
    {ROW(adaptive_3_2), 4, {2, 7, 5, 4}, 1,
     {1.143574238875601, 0.08047702325883044}},
    {ROW(adaptive_3_2), 4, {1, 3, 4, 9}, 1,
     {-0.9793168857375637, 2.022817919881539}},
    {ROW(adaptive_3_2), 4, {2, 2, 1, 3}, 1,
     {-1.330869599245588, 1.204471292758312}},
    {ROW(upsample_2), 4, {2, 3, 2, 5}, 1,
     {2.114496457313365, 1.833467200549466}},
    {ROW(pad_1203), 4, {2, 3, 2, 5}, 1,
     {-5.123893681504756, 1.509999905814396}},
    {ROW(crop_1203), 4, {2, 5, 6, 4}, 1,
     {-1.865188899226847, -0.1346409182672698}},
    {ROW(nn_batch_norm), 4, {4, 3, 3, 5}, 1,
     {2.598280968007761, 0.5371960973496162, 0.2419866738019473, -0.01233039088982658,
      0.2754621072117801, 1.49891073183657}},
    {ROW(nn_batch_norm), 2, {5, 7}, 1,
     {0.241842218984905, 0.1005085390977176, 0.7032209916094642, 1.670006195249143,
      0.3414291938976805, -0.2319176488357483}},
    {ROW(nn_batch_norm), 3, {3, 6, 4}, 1,
     {0.7894455323096323, 9.335906108994937, 0.00704079618385735, 0.06599776528934811,
      0.2288301233944078, 2.246623456542246}},
    {ROW(nn_batch_norm), 4, {2, 9, 8, 33}, 1,
     {3.423070488077848, 4.56084272173009, 6.629447083514838, 0.4767282475402084,
      0.1002725863675276, -0.3833313327964896}},
    {ROW(batch_relu), 4, {4, 3, 2, 6}, 1,
     {2.024125362969867, 1.011644364085173, 1.575975781056376, 0.8435141948002901,
      0.2900182613439806, 0.3782495279337061}},
    {ROW(batch_plain), 4, {4, 2, 2, 3}, 1,
     {1.145878614637765, 2.71168816463839, 0, 0, 0.1944089283253476, 2.219171782472185}},
    {ROW(batch_settings), 4, {6, 2, 2, 3}, 1,
     {1.127085852833004, 4.164072374034408, 0.5021401243639637, 0.1114996034187231,
      0.3105756068108101, 2.284330116385987}},
    {ROW(nn_batch_norm), 4, {1, 2, 2, 3}, 0,
     {0.07998522923971985, 5.217051992835351, 3.39649033880224, 1.833705340468627,
      0.1646425348035645, 2.137113399476244}},
    {ROW(batch_relu), 4, {4, 3, 2, 6}, 0,
     {1.83664471389219, 3.205862575742807, 1.793673543374809, 1.130743755603898,
      0.3150886167640325, 0.3446652418433435}},
    {ROW(batch_settings), 4, {1, 1, 1, 3}, 0,
     {4.425322490051646, 2.42150341712652, 2.925356489031002, 1.829320533694532,
      0.1646425348035645, 2.137113399476244}},
    {ROW(group_2), 4, {2, 3, 3, 8}, 1,
     {8.246197723280023, -0.1721516279722568, 4.887777202428964, -1.325820898518818}},
    {ROW(group_relu), 4, {2, 3, 2, 6}, 1,
     {-0.2998478864937726, 3.051486784873566, 1.159595105072834, 1.220117888913243}},
    {ROW(instance), 4, {2, 3, 4, 5}, 1,
     {-2.366981017861283, -1.672066243274073, 1.190685762058336, 1.750276932163805}},
    {ROW(group_2), 2, {4, 6}, 1,
     {-3.060596378876152, -1.071973489589668, 0.4062578988706856, 3.225795359646971}},
    {ROW(nn_layer_norm), 4, {3, 2, 2, 5}, 1,
     {-1.08243975703232, -1.516497156392807, 1.213227767373705, 1.811919834345597}},
    {ROW(nn_layer_norm), 2, {4, 37}, 1,
     {4.192368541878529, 0.755160919638211, -1.408373375540022, 3.748057905757411}},
    {ROW(layer_2), 4, {3, 2, 3, 4}, 1,
     {-1.401371049093777, 3.947428634964707, 0.7327637370013117, 0.01948715080158421}},
    {ROW(layer_3_plain), 4, {2, 3, 2, 4}, 1,
     {0.02552404180794177, 2.638121081629174}}};
#undef ROW

/* The network of a row, or NULL; *loss is a scalar of it. */
static nn_net *row_net(const torch_row *row, nn_tensor **x, nn_tensor **y, nn_tensor **loss)
{
    nn_net *net = nn_net_create(NULL);
    snprintf(case_name, sizeof case_name, "%s, row %d", row->name, (int)(row - torch_rows));
    test_current = case_name;
    *x = image(net, row->rank, row->shape);
    *y = row->build(*x);
    *loss = weigh(*y, row->shape[0]);
    nn_net_set_training(net, row->training);
    CHECK_OK(nn_net_status(net));
    if (*loss) set_layer(*y);
    return net;
}

static void test_torch_values(void)
{
    for (size_t k = 0; k < COUNT(torch_rows); k++) {
        const torch_row *row = &torch_rows[k];
        nn_tensor *x, *y, *loss;
        nn_net *net = row_net(row, &x, &y, &loss);
        CHECK_OK(nn_forward(loss));
        CHECK_OK(nn_backward(loss));
        if (loss && x->grad) {
            const nn_tensor *w = nn_weight(y), *b = nn_bias(y), *mean = nn_net_buffer(net, 0);
            check_digest("y", y->size, y->data, row->values[0]);
            check_digest("dx", x->size, x->grad, row->values[1]);
            if (w) check_digest("dw", w->size, w->grad, row->values[2]);
            if (b) check_digest("db", b->size, b->grad, row->values[3]);
            if (mean) check_digest("running mean", mean->size, mean->data, row->values[4]);
            mean = nn_net_buffer(net, 1);
            if (mean) check_digest("running variance", mean->size, mean->data, row->values[5]);
        }
        nn_net_destroy(net);
    }
}

/* Alone, and where x has another consumer on either side, so that gradients are added. */
static void test_gradients(void)
{
    for (size_t k = 0; k < 3 * COUNT(torch_rows); k++) {
        const torch_row *row = &torch_rows[k / 3];
        nn_gradcheck_desc desc = {0};
        nn_gradcheck_report report = {0};
        nn_tensor *x, *y, *loss;
        nn_net *net = row_net(row, &x, &y, &loss);
        nn_real before[64], after[64];
        nn_tensor *mean = nn_net_buffer(net, 0);
        if (k % 3 == 1) loss = nn_add(loss, nn_sum(nn_sigmoid(x)));
        if (k % 3 == 2) loss = nn_add(loss, weigh(row->build(x), row->shape[0]));
        desc.inputs = 1;
        desc.max_per_tensor = 200;
        desc.allow_zero = k % 3 == 2 && nn_bias(y) != NULL;
        if (mean) CHECK_OK(nn_get_values(mean, before, mean->size));
        CHECK_OK(nn_gradcheck(loss, &desc, &report));
        CHECK(report.checked > 0 && report.wrong == 0);
        if (mean) CHECK_OK(nn_get_values(mean, after, mean->size));
        if (mean) CHECK(memcmp(before, after, mean->size * sizeof *before) == 0);
        nn_net_destroy(net);
    }
}

/* ----------------------------------------------------------------------------------- definitions */

/* A value of x in an image that is surrounded by what does not count. */
static double pixel(const nn_real *x, const size_t *shape, size_t image_index, long row, long col,
                    size_t channel, double outside)
{
    if (row < 0 || col < 0 || row >= (long)shape[0] || col >= (long)shape[1]) return outside;
    return (double)x[((image_index * shape[0] + (size_t)row) * shape[1] + (size_t)col) * shape[2] +
                     channel];
}

/* Every output of a pooling of [2, 5, 6, channels] against the loop over its window. */
static void check_windows(const nn_pool_desc *d, size_t channels)
{
    const size_t shape[4] = {2, 5, 6, channels};
    const long kh = (long)(d->kernel ? d->kernel : d->kernel_height);
    const long kw = (long)(d->kernel ? d->kernel : d->kernel_width);
    const long sh = (long)(d->stride ? d->stride : (size_t)kh);
    const long sw = (long)(d->stride ? d->stride : (size_t)kw);
    nn_pool_desc maximum = *d;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = image(net, 4, shape);
    maximum.exclude_padding = 0;
    nn_tensor *max = nn_max_pool_with(x, &maximum), *mean = nn_average_pool_with(x, d);
    CHECK_OK(nn_forward(max));
    CHECK_OK(nn_forward(mean));
    const size_t oh = max->shape[1], ow = max->shape[2];
    CHECK_INT(oh, (5 + 2 * (long)d->pad_height - kh) / sh + 1);
    CHECK_INT(ow, (6 + 2 * (long)d->pad_width - kw) / sw + 1);
    for (size_t i = 0; i < max->size; i++) {
        const size_t c = i % channels, ox = i / channels % ow, oy = i / channels / ow % oh;
        const size_t at = i / channels / ow / oh;
        double best = -HUGE_VAL, sum = 0;
        int inside = 0;
        for (long a = 0; a < kh; a++)
            for (long b = 0; b < kw; b++) {
                const long row = (long)oy * sh + a - (long)d->pad_height;
                const long col = (long)ox * sw + b - (long)d->pad_width;
                const double v = pixel(x->data, shape + 1, at, row, col, c, -HUGE_VAL);
                if (v > best) best = v;
                if (v > -HUGE_VAL) sum += v, inside++;
            }
        CHECK_NEAR(max->data[i], best, 0);
        CHECK_NEAR(mean->data[i], sum / (d->exclude_padding ? inside : (int)(kh * kw)), 8 * EPS);
    }
    nn_net_destroy(net);
}

static void test_all_windows(void)
{
    static const size_t channels[] = {1, 3, 8, 17};
    for (size_t kh = 1; kh <= 5; kh++)
        for (size_t kw = 1; kw <= 6; kw += kw > 2 ? 2 : 1)
            for (size_t stride = 0; stride <= 3; stride++)
                for (size_t pad = 0; pad < kh && pad < kw; pad++) {
                    nn_pool_desc d = window(kh, kw, stride, pad, pad ? pad - 1 : 0);
                    snprintf(case_name, sizeof case_name, "%d x %d stride %d pad %d", (int)kh,
                             (int)kw, (int)stride, (int)pad);
                    test_current = case_name;
                    d.exclude_padding = (int)(kh + pad) % 2;
                    check_windows(&d, channels[(kw + stride) % 4]);
                }
}

/* The input of a pooling, its values fed, and the gradient that sum(y) gives them. */
static void check_pool(nn_tensor *(*build)(nn_tensor *x), size_t height, size_t width, size_t n,
                       const nn_real *values, size_t outputs, const nn_real *expected,
                       const nn_real *gradient)
{
    const size_t shape[3] = {height, width, n / (height * width)};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input_shape(net, 3, shape), *y = build(x), *loss = nn_sum(y);
    x->requires_grad = 1;
    CHECK_OK(nn_feed(x, values, 1));
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_INT(y->size, outputs);
    for (size_t i = 0; i < outputs && i < y->size; i++)
        CHECK(is_nan(expected[i]) ? is_nan(y->data[i]) : y->data[i] == expected[i]);
    for (size_t i = 0; i < n; i++) CHECK_NEAR(x->grad[i], gradient[i], 0);
    nn_net_destroy(net);
}

/* Equal values: the first has the gradient. A NaN is the maximum; infinities are numbers; padding
   is no value, whatever lies beside it. */
static void test_special_maxima(void)
{
    const nn_real inf = (nn_real)HUGE_VAL, nan_value = (nn_real)NAN;
    const nn_real ties[] = {1, 2, 2, 2}, two[] = {2}, first[] = {0, 1, 0, 0};
    const nn_real low[] = {-inf, -inf, -inf, -inf}, minus[] = {-inf}, head[] = {1, 0, 0, 0};
    const nn_real high[] = {3, inf, -inf, inf}, plus[] = {inf};
    const nn_real bad[] = {3, nan_value, inf, 4}, nothing[] = {nan_value}, third[] = {0, 0, 1, 0};
    const nn_real late[] = {3, inf, nan_value, 4};
    check_pool(max_2, 2, 2, 4, ties, 1, two, first);
    check_pool(max_2, 2, 2, 4, low, 1, minus, head);
    check_pool(max_2, 2, 2, 4, high, 1, plus, first);
    check_pool(max_2, 2, 2, 4, bad, 1, nothing, first);
    check_pool(max_2, 2, 2, 4, late, 1, nothing, third);
    const nn_real negative[] = {-4, -3, -2, -1}, corners[] = {-4, -3, -2, -1};
    const nn_real all[] = {1, 1, 1, 1}, total[] = {-1}, last[] = {0, 0, 0, 1};
    check_pool(max_1, 2, 2, 4, negative, 4, corners, all);
    check_pool(max_3_2_1, 2, 2, 4, negative, 1, total, last);
    check_pool(nn_global_max_pool, 2, 2, 4, negative, 1, total, last);
    /* two channels, and rows and columns that no window has */
    const nn_real odd[] = {1, 8, 2, 7, 9, 9, 3, 6, 4, 5, 9, 9, 9, 9, 9, 9, 9, 9}, pair[] = {4, 8};
    const nn_real where[] = {0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    check_pool(max_2, 3, 3, 18, odd, 2, pair, where);
}

/* A pixel that is the maximum of several windows has all their gradients. */
static void test_overlapping_maxima(void)
{
    const size_t shape[3] = {3, 3, 1};
    const nn_real x[9] = {0, 0, 0, 0, 5, 0, 0, 0, 0};
    const nn_pool_desc d = window(2, 2, 1, 0, 0);
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input_shape(net, 3, shape), *y = nn_max_pool_with(in, &d), *sum = nn_sum(y);
    in->requires_grad = 1;
    CHECK_OK(nn_feed(in, x, 1));
    CHECK_OK(nn_forward(sum));
    CHECK_OK(nn_backward(sum));
    CHECK_NEAR(sum->value, 20, 0);
    CHECK_NEAR(in->grad[4], 4, 0);
    CHECK_NEAR(digest(9, in->grad), 4 * sin(0.9 * 4 + 0.4), 1e-6);
    nn_net_destroy(net);
}

/* Sequences, 1 x 1 images and a batch of one. */
static void test_shapes(void)
{
    static const struct {
        nn_tensor *(*build)(nn_tensor *x);
        int rank;
        size_t from[4];
        int to_rank;
        size_t to[4];
    } rows[] = {{max_2, 3, {2, 7, 5}, 3, {2, 3, 5}},
                {max_2, 4, {1, 7, 4, 5}, 4, {1, 3, 2, 5}},
                {max_3_2_1, 3, {1, 1, 3}, 3, {1, 1, 3}},
                {max_3_2_1, 4, {1, 1, 1, 3}, 4, {1, 1, 1, 3}},
                {average_2, 3, {3, 4, 2}, 3, {3, 2, 2}},
                {nn_global_average_pool, 3, {3, 4, 2}, 2, {3, 2}},
                {nn_global_max_pool, 4, {1, 1, 1, 2}, 2, {1, 2}},
                {adaptive_3_2, 4, {1, 1, 1, 2}, 4, {1, 3, 2, 2}},
                {upsample_2, 3, {2, 3, 4}, 3, {2, 6, 4}},
                {pad_1203, 4, {1, 1, 1, 2}, 4, {1, 4, 4, 2}},
                {crop_1203, 4, {1, 4, 4, 2}, 4, {1, 1, 1, 2}},
                {nn_batch_norm, 2, {2, 3}, 2, {2, 3}},
                {instance, 3, {1, 2, 3}, 3, {1, 2, 3}},
                {nn_layer_norm, 3, {2, 1, 3}, 3, {2, 1, 3}}};
    for (size_t k = 0; k < COUNT(rows); k++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *y = rows[k].build(image(net, rows[k].rank, rows[k].from));
        nn_net_set_training(net, 1);
        snprintf(case_name, sizeof case_name, "row %d", (int)k);
        test_current = case_name;
        CHECK_OK(nn_forward(y));
        CHECK(y && y->rank == rows[k].to_rank);
        for (int d = 0; y && d < y->rank; d++) CHECK_INT(y->shape[d], rows[k].to[d]);
        nn_net_destroy(net);
    }
}

/* Parameters have no batch: an image of its own is pooled and normalised like one of a batch. */
static void test_without_batch(void)
{
    const size_t shape[3] = {4, 4, 3};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *w = nn_parameter(net, 3, shape, nn_init_normal(0, 1), "w");
    nn_tensor *y = nn_group_norm(nn_max_pool(nn_batch_norm(nn_upsample(w, 2)), 2), 1);
    nn_tensor *loss = nn_sum(nn_pow(nn_add(nn_layer_norm(y), w), 2));
    nn_net_set_training(net, 1);
    CHECK_OK(nn_gradcheck(loss, NULL, NULL));
    CHECK(!y->batched && y->rank == 3);
    nn_net_destroy(net);
}

static void test_pad_and_crop(void)
{
    const size_t shape[3] = {2, 1, 2};
    const nn_real x[] = {1, 2, 3, 4};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input_shape(net, 3, shape), *pad = nn_pad(in, 1, 0, 0, 1);
    nn_tensor *crop = nn_crop(pad, 1, 0, 0, 1), *same = nn_pad(in, 0, 0, 0, 0);
    static const nn_real expected[12] = {0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0};
    CHECK_OK(nn_feed(in, x, 1));
    CHECK_OK(nn_forward(crop));
    CHECK_INT(pad->size, 12);
    CHECK(memcmp(pad->data, expected, sizeof expected) == 0);
    CHECK(memcmp(crop->data, x, sizeof x) == 0);
    CHECK_OK(nn_forward(same));
    CHECK(memcmp(same->data, x, sizeof x) == 0);
    nn_net_destroy(net);
}

/* nn_concat joins channels, nn_add adds a branch that went around. */
static void test_concat_and_residual(void)
{
    const size_t shape[4] = {2, 4, 4, 3};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = image(net, 4, shape), *parts[2];
    parts[0] = nn_max_pool(x, 2), parts[1] = nn_average_pool(x, 2);
    nn_tensor *joined = nn_concat(2, parts, -1);
    nn_tensor *loss = weigh(nn_add(nn_batch_norm(joined), joined), 2);
    nn_gradcheck_desc desc = {0};
    desc.inputs = 1;
    CHECK_OK(nn_gradcheck(loss, &desc, NULL));
    CHECK_INT(joined->rank, 4);
    CHECK_INT(joined->shape[3], 6);
    for (size_t i = 0; i < joined->size; i++)
        CHECK(joined->data[i] == parts[i / 3 % 2]->data[i / 6 * 3 + i % 3]);
    nn_net_destroy(net);
}

/* ------------------------------------------------------------------------------- moving statistics */

/* Batch number `step` of 6 samples of 2 channels. */
static void feed_step(nn_tensor *x, int step)
{
    nn_real values[12];
    for (int i = 0; i < 12; i++) values[i] = (nn_real)(sin(1.7 * (i + 12 * step)) + 0.1 * step);
    CHECK_OK(nn_feed(x, values, 6));
}

/* PyTorch's running mean and variance after 5 steps with momentum 0.1, and the courses' with 0.9
   kept and variances over n. */
static void test_moving_statistics(void)
{
    static const double momentum[] = {0, NN_ZERO, 0.5, 1};
    const double mean[] = {0.08140191565606125, 0.09527355588239239, 0, 0, 0.2537886321288519,
        0.3197113326746497, 0.3006296433783073, 0.4752188310405931};
    const double variance[] = {0.8202817156740156, 0.8370122779055553, 1, 1, 0.5448647222981992,
        0.630467684364959, 0.4209455421233219, 0.6644750031881466};
    const double population[] = {0.781983096395013, 0.7959252315879628, 1, 1,
        0.4592622685818326, 0.5305980703041325, 0.3507879517694349, 0.5537291693234555};
    for (size_t k = 0; k < 2 * COUNT(momentum); k++) {
        nn_batch_norm_desc d = {0};
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = nn_input(net, 2);
        if (k % 2) d.keep = momentum[k / 2] == 0 ? 0.9 : momentum[k / 2] == 1 ? NN_ZERO : 0.5;
        else d.momentum = momentum[k / 2];
        if (k == 3) d.keep = 0, d.momentum = NN_ZERO;
        d.population_variance = (int)k % 2;
        d.name = "norm";
        nn_tensor *y = nn_batch_norm_with(x, &d);
        CHECK(nn_net_find(net, "norm") == y && nn_net_find(net, "norm.weight") == nn_weight(y));
        const nn_tensor *m = nn_net_find(net, "norm.running_mean");
        const nn_tensor *v = nn_net_find(net, "norm.running_var");
        CHECK(m && v && m == nn_net_buffer(net, 0) && v == nn_net_buffer(net, 1));
        if (!m || !v) return;
        nn_net_set_training(net, 1);
        for (int step = 0; step < 5; step++) {
            feed_step(x, step);
            CHECK_OK(nn_forward(y));
        }
        for (size_t c = 0; c < 2; c++) {
            CHECK_NEAR(m->data[c], mean[k / 2 * 2 + c], 8 * EPS);
            CHECK_NEAR(v->data[c], (k % 2 ? population : variance)[k / 2 * 2 + c], 8 * EPS);
        }
        nn_net_destroy(net);
    }
}

/* Outside training the buffers are what is normalised with, and stay as they are. */
static void test_evaluation(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = nn_input(net, 2), *y = nn_batch_norm(x), *loss = nn_sum(nn_pow(y, 2));
    nn_real buffers[4], trained[12], out[2];
    x->requires_grad = 1;
    feed_step(x, 0);
    CHECK_OK(nn_forward(loss)); /* nobody has chosen: as in evaluation, and without gradients */
    CHECK_NEAR(y->data[0], (double)x->data[0] / sqrt(1 + 1e-5), 8 * EPS);
    CHECK_ERROR(nn_backward(loss), NN_ERROR_BAD_ARGUMENT, "batch_norm", "nn_net_set_training");
    nn_net_set_training(net, 1);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss));
    CHECK_NEAR(loss->value, 12, 1e-3); /* deviations of 1 */
    memcpy(trained, y->data, sizeof trained);
    CHECK_OK(nn_get_values(nn_net_buffer(net, 0), buffers, 2));
    CHECK_OK(nn_get_values(nn_net_buffer(net, 1), buffers + 2, 2));
    nn_net_set_training(net, 0);
    CHECK_OK(nn_forward(loss));
    CHECK_OK(nn_backward(loss)); /* mean and variance are constants */
    for (size_t i = 0; i < 12; i++) {
        const double d = 1 / sqrt((double)buffers[2 + i % 2] + 1e-5);
        const double e = ((double)x->data[i] - (double)buffers[i % 2]) * d;
        CHECK_NEAR(y->data[i], e, 8 * EPS);
        CHECK_NEAR(x->grad[i], 2 * e * d, 32 * EPS);
        CHECK(fabs((double)(y->data[i] - trained[i])) > 1e-3);
    }
    CHECK_OK(nn_predict_rows(y, x->data, 1, out)); /* one sample is enough */
    CHECK(out[0] == y->data[0] && out[1] == y->data[1]);
    CHECK(memcmp(buffers, nn_net_buffer(net, 0)->data, 2 * sizeof *buffers) == 0);
    CHECK(memcmp(buffers + 2, nn_net_buffer(net, 1)->data, 2 * sizeof *buffers) == 0);
    nn_net_destroy(net);
}

/* A training of few epochs learns, and evaluates with what it moved; buffers come back with the
   best weights. */
static void test_training(void)
{
    nn_real x[64 * 18], lone[18] = {0};
    int labels[64];
    const size_t shape[3] = {3, 3, 2};
    nn_dataset data;
    nn_train_desc desc = {0};
    nn_result result;
    nn_rng rng = nn_rng_seed(5);
    for (size_t i = 0; i < 64; i++) {
        labels[i] = (int)(i % 2);
        for (size_t j = 0; j < 18; j++)
            x[i * 18 + j] = (nn_real)(nn_rng_normal(&rng) + (j % 2 == i % 2 ? 3 : 2));
    }
    CHECK_OK(nn_dataset_from_arrays(x, 64, 18, labels, 2, &data));
    CHECK_OK(nn_dataset_set_shape(&data, 3, shape));
    nn_net *net = nn_net_create(NULL);
    nn_tensor *in = nn_input_shape(net, 3, shape);
    nn_tensor *h = nn_global_average_pool(nn_relu(nn_batch_norm(nn_dense(in, 8))));
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(h, 2));
    desc.epochs = 40, desc.batch_size = 16, desc.restore_best = 1, desc.validation = &data;
    desc.optimizer = nn_adam(0.02);
    CHECK_OK(nn_train(loss, &data, &desc, NULL));
    CHECK_OK(nn_evaluate(loss, &data, &result));
    CHECK(result.accuracy > 0.85);
    CHECK(nn_net_buffer(net, 1)->data[0] != 1);
    nn_net_destroy(net);
    /* a last batch of one sample with one pixel cannot be trained on */
    net = nn_net_create(NULL);
    loss = nn_softmax_cross_entropy(nn_batch_norm(nn_input(net, 18)));
    nn_dataset_free(&data);
    CHECK_OK(nn_dataset_from_arrays(x, 5, 18, labels, 18, &data));
    desc.validation = NULL, desc.restore_best = 0, desc.batch_size = 4;
    CHECK_ERROR(nn_train(loss, &data, &desc, NULL), NN_ERROR_BAD_SHAPE,
                "nn_batch_norm: tensor 5 '' has one value per channel", "drop_last");
    desc.drop_last = 1;
    CHECK_OK(nn_train(loss, &data, &desc, NULL));
    CHECK_OK(nn_predict_rows(loss->src[0], lone, 1, lone));
    nn_net_destroy(net);
    nn_dataset_free(&data);
}

/* Sums that reals cannot hold to the end: 30,000 values around 1000, in 1, 3 and 40 channels. */
static void test_precision(void)
{
    static const size_t channels[] = {1, 3, 40};
    const size_t rows = 30000;
    nn_real *x = (nn_real *)malloc(rows * 40 * sizeof *x);
    for (size_t k = 0; x && k < COUNT(channels); k++) {
        const size_t n = channels[k];
        nn_batch_norm_desc d = {0};
        nn_rng rng = nn_rng_seed(k);
        d.momentum = 1, d.population_variance = 1;
        nn_net *net = nn_net_create(NULL);
        nn_tensor *in = nn_input(net, n), *y = nn_batch_norm_with(in, &d);
        for (size_t i = 0; i < rows * n; i++) x[i] = (nn_real)(1000 + nn_rng_normal(&rng));
        nn_net_set_training(net, 1);
        CHECK_OK(nn_feed(in, x, rows));
        CHECK_OK(nn_forward(y));
        for (size_t c = 0; c < n; c++) {
            double mean = 0, variance = 0;
            for (size_t i = c; i < rows * n; i += n) mean += (double)x[i];
            mean /= (double)rows;
            for (size_t i = c; i < rows * n; i += n)
                variance += ((double)x[i] - mean) * ((double)x[i] - mean);
            variance /= (double)rows;
            CHECK_NEAR(nn_net_buffer(net, 0)->data[c], mean, sizeof *x == 4 ? 6.2e-5 : 1e-10);
            CHECK_NEAR(nn_net_buffer(net, 1)->data[c], variance, 2 * EPS);
        }
        nn_net_destroy(net);
    }
    free(x);
}

/* ------------------------------------------------------------------------------------ spatial dropout */

static void test_spatial_dropout(void)
{
    const size_t shape[4] = {50, 3, 2, 7};
    nn_net *net = nn_net_create(NULL);
    nn_tensor *x = image(net, 4, shape), *y = nn_spatial_dropout(x, 0.25), *loss = weigh(y, 50);
    nn_gradcheck_desc desc = {0};
    size_t zeros = 0;
    nn_net_set_training(net, 0);
    CHECK_OK(nn_forward(y));
    CHECK(memcmp(x->data, y->data, x->size * sizeof *x->data) == 0);
    nn_net_set_training(net, 1);
    CHECK_OK(nn_forward(y));
    for (size_t s = 0; s < 50; s++)
        for (size_t c = 0; c < 7; c++) {
            const int is_zero = y->data[s * 42 + c] == 0;
            zeros += (size_t)is_zero;
            for (size_t p = 0; p < 6; p++) {
                const size_t i = s * 42 + p * 7 + c;
                CHECK_NEAR(y->data[i], is_zero ? 0 : (double)x->data[i] / 0.75, 8 * EPS);
            }
        }
    CHECK(zeros > 60 && zeros < 115); /* 87.5 of 350, a deviation of 8.1 */
    desc.inputs = 1, desc.max_per_tensor = 200;
    CHECK_OK(nn_gradcheck(loss, &desc, NULL));
    nn_net_destroy(net);
}

/* --------------------------------------------------------------------------------- initial values */

static nn_tensor *drawn(nn_net *net, nn_init_kind kind, double a, int rank, const size_t *shape)
{
    nn_init init = nn_init_scaled(kind);
    init.a = a;
    return nn_parameter(net, rank, shape, init, NULL);
}

/* The shorter sides of [..., out] are orthogonal and of length `gain`. */
static void check_orthogonal(const nn_tensor *t, double gain)
{
    const size_t cols = t->shape[t->rank - 1], rows = t->size / cols;
    const size_t n = rows < cols ? rows : cols, m = rows < cols ? cols : rows;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double dot = 0;
            for (size_t k = 0; k < m; k++)
                dot += rows < cols ? (double)t->data[i * cols + k] * (double)t->data[j * cols + k]
                                   : (double)t->data[k * cols + i] * (double)t->data[k * cols + j];
            CHECK_NEAR(dot, i == j ? gain * gain : 0, 4 * EPS * gain * gain);
        }
}

static void test_initial_values(void)
{
    static const size_t shapes[][4] = {{5, 5}, {1, 7}, {7, 1}, {60, 17}, {17, 60}, {3, 3, 4, 8}};
    nn_net *net = nn_net_create(NULL);
    for (size_t k = 0; k < COUNT(shapes); k++) {
        const int rank = shapes[k][2] ? 4 : 2;
        check_orthogonal(drawn(net, NN_INIT_ORTHOGONAL, 0, rank, shapes[k]), 1);
        check_orthogonal(drawn(net, NN_INIT_ORTHOGONAL, 2.5, rank, shapes[k]), 2.5);
        const nn_tensor *t = drawn(net, NN_INIT_IDENTITY, k % 2 ? 3 : 0, rank, shapes[k]);
        const size_t out = t->shape[rank - 1], in = t->shape[rank - 2], sizes = t->size / in / out;
        for (size_t i = 0; i < t->size; i++) {
            const size_t o = i % out, c = i / out % in, s = i / out / in;
            CHECK_NEAR(t->data[i], o == c && s == sizes / 2 ? (k % 2 ? 3 : 1) : 0, 0);
        }
    }
    const nn_tensor *a = drawn(net, NN_INIT_ORTHOGONAL, 0, 2, shapes[0]);
    const nn_tensor *b = drawn(net, NN_INIT_ORTHOGONAL, 0, 2, shapes[0]);
    CHECK(memcmp(a->data, b->data, a->size * sizeof *a->data) != 0);
    nn_tensor *vector = nn_parameter(net, 1, shapes[0], nn_init_scaled(NN_INIT_ZERO), "v");
    CHECK_ERROR(nn_initialize(vector, nn_init_scaled(NN_INIT_ORTHOGONAL)), NN_ERROR_BAD_SHAPE,
                "nn_initialize: init is of a kind for two or more dimensions", "found 1");
    nn_dense_desc d = {0};
    d.units = 2, d.bias.kind = NN_INIT_IDENTITY;
    const nn_tensor *y = nn_dense_with(nn_input(net, 3), &d);
    check_refusal(net, y, NN_ERROR_BAD_SHAPE, "nn_dense: bias", "two or more dimensions");
}

/* ---------------------------------------------------------------------------------------- errors */

static nn_tensor *flat(nn_net *net) { return nn_input(net, 6); }
static nn_tensor *sequence(nn_net *net)
{
    const size_t shape[2] = {5, 4};
    return nn_input_shape(net, 2, shape);
}
static nn_tensor *picture(nn_net *net)
{
    const size_t shape[3] = {5, 6, 4};
    return nn_input_shape(net, 3, shape);
}

static void refuse_pool(const nn_pool_desc *d, nn_tensor *(*input)(nn_net *net), nn_status status,
                        const char *part1, const char *part2)
{
    char call[160];
    for (int average = 0; average < 2; average++) {
        nn_net *net = nn_net_create(NULL);
        nn_tensor *x = input(net);
        snprintf(call, sizeof call, "nn_%s_pool: %s", average ? "average" : "max", part1);
        check_refusal(net, average ? nn_average_pool_with(x, d) : nn_max_pool_with(x, d), status,
                      call, part2);
    }
}

static void test_pool_errors(void)
{
    const size_t most = (size_t)-1;
    nn_pool_desc d = {0};
    refuse_pool(NULL, picture, NN_ERROR_BAD_ARGUMENT, "the desc is NULL", "");
    refuse_pool(&d, picture, NN_ERROR_BAD_ARGUMENT, "kernel is 0", "kernel_height and kernel_width");
    d.kernel_height = 2;
    refuse_pool(&d, picture, NN_ERROR_BAD_ARGUMENT, "kernel is 0", "");
    refuse_pool(&d, sequence, NN_ERROR_BAD_ARGUMENT, "kernel_height is 2", "0 for a sequence");
    d.kernel = 2;
    refuse_pool(&d, picture, NN_ERROR_BAD_ARGUMENT, "kernel_height is 2", "0 beside kernel");
    d.kernel_height = 0;
    refuse_pool(&d, flat, NN_ERROR_BAD_SHAPE, "shape [batch 6]", "[height, width, channels]");
    d.pad_height = 1;
    refuse_pool(&d, sequence, NN_ERROR_BAD_ARGUMENT, "pad_height is 1", "0 for a sequence");
    d.pad_height = 2;
    refuse_pool(&d, picture, NN_ERROR_BAD_ARGUMENT, "pad_height is 2", "outside the image");
    d.pad_height = 0, d.pad_width = 2;
    refuse_pool(&d, picture, NN_ERROR_BAD_ARGUMENT, "pad_width is 2", "less than the kernel");
    refuse_pool(&d, sequence, NN_ERROR_BAD_ARGUMENT, "pad_width is 2", "less than the kernel");
    d.pad_width = 0, d.kernel = 6;
    refuse_pool(&d, picture, NN_ERROR_BAD_SHAPE, "a kernel of 6 along dimension 0 of shape [batch 5 "
                                                 "6 4]", "padding 0");
    refuse_pool(&d, sequence, NN_ERROR_BAD_SHAPE, "a kernel of 6", "larger than the image");
    d = window(1, 7, 0, 0, 0);
    refuse_pool(&d, picture, NN_ERROR_BAD_SHAPE, "a kernel of 7 along dimension 1", "");
    d = window(most, 1, 0, most - 1, 0);
    refuse_pool(&d, picture, NN_ERROR_BAD_SHAPE, "a kernel of", "larger than the image");
    d = window(20000, 20000, 0, 19999, 19999);
    refuse_pool(&d, picture, NN_ERROR_TOO_LARGE, "a window of 20000 x 20000", "2^24");
    nn_net *net = nn_net_create(NULL);
    d = window(2, 2, 0, 0, 0);
    d.exclude_padding = 1;
    check_refusal(net, nn_max_pool_with(picture(net), &d), NN_ERROR_BAD_ARGUMENT,
                  "nn_max_pool: exclude_padding is 1", "");
}

static void test_resize_errors(void)
{
    const size_t most = (size_t)-1;
    nn_net *net = nn_net_create(NULL);
    check_refusal(net, nn_max_pool(picture(net), 0), NN_ERROR_BAD_ARGUMENT, "nn_max_pool: kernel",
                  "at least 1");
    net = nn_net_create(NULL);
    check_refusal(net, nn_global_average_pool(flat(net)), NN_ERROR_BAD_SHAPE,
                  "nn_global_average_pool: shape [batch 6]", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_adaptive_average_pool(picture(net), 0, 1), NN_ERROR_BAD_ARGUMENT,
                  "nn_adaptive_average_pool: height is 0", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_adaptive_average_pool(picture(net), 1, 0), NN_ERROR_BAD_ARGUMENT,
                  "nn_adaptive_average_pool: width is 0", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_adaptive_average_pool(sequence(net), 2, 2), NN_ERROR_BAD_ARGUMENT,
                  "width is 2", "1 for a sequence");
    net = nn_net_create(NULL);
    check_refusal(net, nn_adaptive_average_pool(picture(net), most, 2), NN_ERROR_TOO_LARGE,
                  "nn_adaptive_average_pool", "does not fit");
    net = nn_net_create(NULL);
    check_refusal(net, nn_upsample(picture(net), 0), NN_ERROR_BAD_ARGUMENT,
                  "nn_upsample: factor is 0", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_upsample(picture(net), most), NN_ERROR_TOO_LARGE, "nn_upsample", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_pad(sequence(net), 1, 1, 0, 1), NN_ERROR_BAD_ARGUMENT,
                  "nn_pad: right is 1", "0 for a sequence");
    net = nn_net_create(NULL);
    check_refusal(net, nn_pad(picture(net), most, 1, 0, 0), NN_ERROR_TOO_LARGE, "nn_pad", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_crop(picture(net), 2, 3, 0, 0), NN_ERROR_BAD_SHAPE,
                  "nn_crop: 2 and 3 of 5", "less in all");
    net = nn_net_create(NULL);
    check_refusal(net, nn_crop(picture(net), 0, 0, most, 2), NN_ERROR_BAD_SHAPE, "nn_crop", "of 6");
    net = nn_net_create(NULL);
    check_refusal(net, nn_spatial_dropout(picture(net), 1), NN_ERROR_BAD_ARGUMENT,
                  "nn_spatial_dropout: p is 1", "0 <= p < 1");
    net = nn_net_create(NULL);
    check_refusal(net, nn_spatial_dropout(flat(net), 0.5), NN_ERROR_BAD_SHAPE,
                  "nn_spatial_dropout: shape [batch 6]", "");
    CHECK(!nn_max_pool(NULL, 2) && !nn_upsample(NULL, 2) && !nn_pad(NULL, 1, 1, 1, 1));
    CHECK(!nn_batch_norm(NULL) && !nn_group_norm(NULL, 2) && !nn_layer_norm(NULL));
    CHECK(!nn_global_max_pool(NULL) && !nn_spatial_dropout(NULL, 0.5));
}

static void refuse_batch_norm(const nn_batch_norm_desc *d, const char *part1, const char *part2)
{
    nn_net *net = nn_net_create(NULL);
    check_refusal(net, nn_batch_norm_with(picture(net), d), NN_ERROR_BAD_ARGUMENT, part1, part2);
}

static void test_norm_errors(void)
{
    nn_batch_norm_desc b = {0};
    nn_group_norm_desc g = {0};
    nn_layer_norm_desc l = {0};
    b.epsilon = -1;
    refuse_batch_norm(&b, "nn_batch_norm: epsilon is -1", "positive");
    b.epsilon = NAN;
    refuse_batch_norm(&b, "nn_batch_norm: epsilon is", "positive");
    b.epsilon = sizeof(nn_real) == sizeof(float) ? NN_ZERO : -NN_ZERO;
    refuse_batch_norm(&b, "nn_batch_norm: epsilon is", "positive");
    b.epsilon = 0, b.momentum = 1.5;
    refuse_batch_norm(&b, "nn_batch_norm: momentum is 1.5", "<= 1");
    b.momentum = -0.1;
    refuse_batch_norm(&b, "nn_batch_norm: momentum is -0.1", "");
    b.momentum = 0.1, b.keep = 0.9;
    refuse_batch_norm(&b, "nn_batch_norm: keep is 0.9", "momentum is set");
    b.momentum = 0, b.keep = 1;
    refuse_batch_norm(&b, "nn_batch_norm: keep is 1", "0 <= keep < 1");
    b.keep = 0, b.activation = NN_ACTIVATION_TANH;
    refuse_batch_norm(&b, "nn_batch_norm: activation is 2", "NN_ACTIVATION_RELU");
    nn_net *net = nn_net_create(NULL);
    check_refusal(net, nn_group_norm(picture(net), 3), NN_ERROR_BAD_ARGUMENT,
                  "nn_group_norm: groups is 3", "4 channels of [batch 5 6 4]");
    net = nn_net_create(NULL);
    check_refusal(net, nn_group_norm(picture(net), 0), NN_ERROR_BAD_ARGUMENT, "groups is 0", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_group_norm_with(picture(net), NULL), NN_ERROR_BAD_ARGUMENT, "groups", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_group_norm(flat(net), 6), NN_ERROR_BAD_SHAPE,
                  "nn_group_norm: shape [batch 6]", "more than one value");
    net = nn_net_create(NULL);
    g.groups = 2, g.activation = NN_ACTIVATION_GELU;
    check_refusal(net, nn_group_norm_with(picture(net), &g), NN_ERROR_BAD_ARGUMENT,
                  "nn_group_norm: activation", "");
    net = nn_net_create(NULL);
    l.axes = 4;
    check_refusal(net, nn_layer_norm_with(picture(net), &l), NN_ERROR_BAD_ARGUMENT,
                  "nn_layer_norm: axes is 4", "dimensions of a sample");
    net = nn_net_create(NULL);
    l.axes = -1;
    check_refusal(net, nn_layer_norm_with(picture(net), &l), NN_ERROR_BAD_ARGUMENT, "axes is -1", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_layer_norm(nn_input(net, 1)), NN_ERROR_BAD_SHAPE,
                  "nn_layer_norm: shape [batch 1]", "more than one value");
    net = nn_net_create(NULL);
    l.axes = 0, l.epsilon = HUGE_VAL;
    check_refusal(net, nn_layer_norm_with(picture(net), &l), NN_ERROR_BAD_ARGUMENT,
                  "nn_layer_norm: epsilon", "");
    net = nn_net_create(NULL);
    check_refusal(net, nn_batch_norm(nn_input_shape(net, 0, NULL)), NN_ERROR_BAD_SHAPE,
                  "nn_batch_norm", "beside the batch");
    net = nn_net_create(NULL);
    l.epsilon = 0, l.name = "same";
    nn_layer_norm_with(picture(net), &l);
    check_refusal(net, nn_layer_norm_with(picture(net), &l), NN_ERROR_BAD_ARGUMENT, "nn_layer_norm",
                  "'same.weight' is in use");
}

/* Names count up beside each other; parameters of a normalisation do not decay. */
static void test_names(void)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *a = nn_batch_norm(picture(net)), *b = nn_batch_norm(a), *c = nn_layer_norm(b);
    CHECK(a && b && c);
    CHECK_STR(nn_weight(a)->name, "batch_norm0.weight");
    CHECK_STR(nn_bias(b)->name, "batch_norm1.bias");
    CHECK_STR(nn_net_buffer(net, 3)->name, "batch_norm1.running_var");
    CHECK_STR(nn_weight(c)->name, "layer_norm0.weight");
    CHECK(nn_weight(a)->no_decay && nn_bias(c)->no_decay);
    CHECK_INT(nn_net_parameter_count(net), 6 * 4);
    nn_net_destroy(net);
}

int main(void)
{
    RUN(test_torch_values);
    RUN(test_gradients);
    RUN(test_all_windows);
    RUN(test_special_maxima);
    RUN(test_overlapping_maxima);
    RUN(test_shapes);
    RUN(test_without_batch);
    RUN(test_pad_and_crop);
    RUN(test_concat_and_residual);
    RUN(test_moving_statistics);
    RUN(test_evaluation);
    RUN(test_training);
    RUN(test_precision);
    RUN(test_spatial_dropout);
    RUN(test_initial_values);
    RUN(test_pool_errors);
    RUN(test_resize_errors);
    RUN(test_norm_errors);
    RUN(test_names);
    return test_done("test_norm");
}
