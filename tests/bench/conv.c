/* Convolutions: every pass as a part of the peak of multiply-adds, measured before and after it.
   Then two networks, trained and asked. Usage: conv [PART OF A SHAPE'S OR NETWORK'S NAME]. Figures are
   the best of several, in CPU time unless NN_THREADS is set; a shared machine's speed drifts. "3x3
   32-64 @32 s2" is a kernel of 3 x 3 from 32 to 64 channels on 32 x 32 pixels with stride 2. They are
   added to the file that BENCH_CSV names. conv_peers.py does the same in PyTorch. */
#define _GNU_SOURCE /* posix_memalign, clock_gettime */
#define NN_IMPLEMENTATION
#include "../../nn.h"
#include "peak.h"

static FILE *csv;

typedef struct shape {
    size_t images, size, ci, co, kernel, stride, groups;
} shape;

static float *filled(size_t count)
{
    void *block = NULL;
    if (posix_memalign(&block, 64, count * sizeof(float) + 64)) exit(1);
    float *x = (float *)block;
    for (size_t i = 0; i < count; i++) x[i] = (float)((int)(i % 7) - 3) * 0.1f;
    return x;
}

static void set_geometry(const shape *s, nn__conv *c)
{
    memset(c, 0, sizeof *c);
    c->h = c->w = s->size, c->ci = s->ci, c->co = s->co, c->kh = c->kw = s->kernel;
    c->stride = s->stride, c->groups = s->groups, c->dilation = 1;
    c->oh = c->ow = (s->size + s->stride - 1) / s->stride;
    const size_t reach = (c->oh - 1) * s->stride + s->kernel;
    c->top = c->left = reach > s->size ? (reach - s->size) / 2 : 0;
}

static void bench_shape(const shape *s, const char *name, size_t threads, double seconds)
{
    static const char *const passes[] = {"y", "dx", "dw"};
    nn__conv c;
    nn__conv_pass p;
    set_geometry(s, &c);
    memset(&p, 0, sizeof p);
    p.c = &c, p.images = s->images;
    const size_t nx = s->images * c.h * c.w * c.ci, ny = s->images * c.oh * c.ow * c.co;
    const size_t nw = nn__conv_size(&c);
    float *x = filled(nx), *y = filled(ny), *w = filled(nw), *dx = filled(nx), *dw = filled(nw);
    void *memory = filled(nn__conv_memory(&p, threads) / sizeof(float) + 1);
    const double flop = 2.0 * (double)ny * (double)(nw / s->co);
    double top = 0;
    printf("%-20s", name);
    for (int pass = 0; pass < 3; pass++) {
        double best = 1e9, end = now() + seconds, before = peak();
        top = before > top ? before : top;
        p.x = x, p.dy = y, p.w = w, p.to = pass == 0 ? y : pass == 1 ? dx : dw;
        for (int rep = 0; rep < 3 || now() < end; rep++) {
            const double t = now();
            if (pass == 0) nn__conv_forward(&p, threads, memory);
            else if (pass == 1) nn__conv_data(&p, threads, memory);
            else nn__conv_weights(&p, threads, memory);
            if (now() - t < best) best = now() - t;
        }
        const double after = peak();
        top = after > top ? after : top;
        const double speed = flop / best * 1e-9;
        printf("  %s %7.2f ms %6.1f GFLOP/s", passes[pass], best * 1e3, speed);
        if (s->groups > 1 && s->groups == s->ci)
            printf(" %5.1f GB/s", 4e-9 * (double)(nx + ny) / best);
        else printf(" %.2f", speed / top);
        if (csv)
            fprintf(csv, "convolution,%s %s,GFLOP/s,%.2f,,,,%.3f\n", name, passes[pass], speed,
                    speed / top);
    }
    printf("  peak %.1f\n", top);
    fflush(stdout);
    free(x), free(y), free(w), free(dx), free(dw), free(memory);
}

/* -- networks -- */

static nn_tensor *conv_layer(nn_tensor *x, size_t filters, size_t kernel, int is_lenet)
{
    nn_conv_desc conv = {0};
    nn_batch_norm_desc norm = {0};
    conv.filters = filters, conv.kernel = kernel, conv.no_bias = !is_lenet;
    conv.activation = is_lenet ? NN_ACTIVATION_RELU : NN_ACTIVATION_IDENTITY;
    norm.activation = NN_ACTIVATION_RELU;
    x = nn_conv2d_with(x, &conv);
    return is_lenet ? x : nn_batch_norm_with(x, &norm);
}

/* LeNet for images of 28 x 28, and six convolutions with batch normalisation for those of CIFAR. */
static nn_tensor *network(nn_net *net, int is_lenet)
{
    static const size_t mnist[] = {28, 28, 1}, cifar[] = {32, 32, 3}, filters[] = {32, 64, 128};
    nn_dense_desc dense = {0};
    nn_tensor *x = nn_input_shape(net, 3, is_lenet ? mnist : cifar);
    for (int i = 0; i < 3 - is_lenet; i++) {
        x = conv_layer(x, filters[i], is_lenet ? 5 : 3, is_lenet);
        if (!is_lenet) x = conv_layer(x, filters[i], 3, 0);
        x = nn_max_pool(x, 2);
    }
    dense.units = is_lenet ? 64 : 128, dense.activation = NN_ACTIVATION_RELU;
    return nn_dense(nn_dense_with(nn_flatten(x), &dense), 10);
}

static void check(nn_status status)
{
    if (status == NN_OK) return;
    fprintf(stderr, "conv: %s\n", nn_last_error());
    exit(1);
}

/* Images per second of a step of training, or of the answer to `rows` images. */
static double network_speed(nn_tensor *y, nn_tensor *loss, size_t rows, double seconds)
{
    nn_tensor *x = nn_net_tensor(y->net, 0);
    float *images = filled(x->row_size * rows);
    int *labels = (int *)calloc(rows, sizeof *labels);
    double best = 1e9, end = now() + seconds;
    nn_net_set_training(y->net, loss != NULL);
    for (int rep = 0; rep < 3 || now() < end; rep++) {
        const double t = now();
        check(nn_feed(x, images, rows));
        if (loss) check(nn_feed_labels(loss, labels, rows));
        check(nn_forward(loss ? loss : y));
        if (loss) check(nn_backward(loss));
        if (loss) check(nn_step(y->net));
        if (now() - t < best) best = now() - t;
    }
    free(images), free(labels);
    return (double)rows / best;
}

static void bench_network(const char *name, int threads, double seconds)
{
    const int is_lenet = strcmp(name, "lenet") == 0;
    nn_net_desc desc = {0};
    desc.threads = threads;
    nn_net *net = nn_net_create(&desc);
    nn_tensor *y = network(net, is_lenet), *loss = nn_softmax_cross_entropy(y);
    nn_optimizer_desc sgd = nn_sgd(0.01, 0.9);
    check(nn_set_optimizer(net, &sgd));
    const double train = network_speed(y, loss, is_lenet ? 64 : 128, 10 * seconds);
    const double many = network_speed(y, NULL, 256, 3 * seconds);
    const double one = network_speed(y, NULL, 1, seconds);
    printf("%-20s training %.0f, batches of 256 %.0f, one image %.0f images/s\n", name, train, many,
           one);
    if (csv)
        fprintf(csv,
                "train,%s,images/s,%.4g,,,,\ninference,%s batch 256,images/s,%.4g,,,,\n"
                "inference,%s one image,images/s,%.4g,,,,\n",
                name, train, name, many, name, one);
    nn_net_destroy(net);
}

int main(int argc, char **argv)
{
    static const shape shapes[] = {
        {128, 32, 3, 32, 3, 1, 1},    {128, 32, 32, 32, 3, 1, 1},  {128, 32, 32, 64, 3, 1, 1},
        {128, 32, 64, 64, 3, 1, 1},   {128, 16, 64, 128, 3, 1, 1}, {128, 16, 128, 128, 3, 1, 1},
        {64, 28, 1, 32, 5, 1, 1},     {64, 14, 32, 64, 5, 1, 1},   {128, 32, 32, 64, 3, 2, 1},
        {128, 32, 64, 128, 3, 2, 1},  {128, 32, 3, 40, 4, 4, 1},   {128, 8, 128, 256, 3, 1, 1},
        {128, 4, 256, 256, 3, 1, 1},  {128, 32, 64, 64, 1, 1, 1},  {128, 16, 128, 128, 1, 1, 1},
        {128, 32, 64, 64, 3, 1, 64},  {128, 16, 128, 128, 3, 1, 4}, {1, 32, 32, 32, 3, 1, 1},
        {1, 16, 128, 128, 3, 1, 1},   {1, 28, 1, 32, 5, 1, 1}};
    const char *threads = getenv("NN_THREADS"), *seconds = getenv("BENCH_SECONDS");
    if (getenv("BENCH_CSV")) csv = fopen(getenv("BENCH_CSV"), "a");
    if (!threads) bench_clock = CLOCK_PROCESS_CPUTIME_ID; /* which other programs take little from */
    printf("%s, %s thread(s): best time, speed, part of the peak\n", nn_kernel_path(),
           threads ? threads : "1");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        char name[80], more[40] = "";
        if (s->groups > 1) snprintf(more, sizeof more, " /%d", (int)s->groups);
        else if (s->stride > 1) snprintf(more, sizeof more, " s%d", (int)s->stride);
        snprintf(name, sizeof name, "%dx%d %d-%d @%d%s x%d", (int)s->kernel, (int)s->kernel,
                 (int)s->ci, (int)s->co, (int)s->size, more, (int)s->images);
        if (argc > 1 && !strstr(name, argv[1])) continue;
        bench_shape(s, name, threads ? (size_t)atoi(threads) : 1, seconds ? atof(seconds) : 0.3);
    }
    static const char *const networks[] = {"lenet", "cifar"};
    for (size_t i = 0; i < 2; i++)
        if (argc < 2 || strstr(networks[i], argv[1]))
            bench_network(networks[i], threads ? atoi(threads) : 1, seconds ? atof(seconds) : 0.3);
    return csv && fclose(csv) != 0;
}
