/* The benchmark behind `make bench`; see bench.sh. Peers take turns with nn.h within one run, and the
   figures are medians, since a shared machine's speed drifts. Usage: bench
   [matmul|layers|train|compile|threads] [PART OF A CASE'S NAME]; threads needs -fopenmp. */
#define _GNU_SOURCE /* dlfcn, popen, clock_gettime */
#define NN_IMPLEMENTATION
#include "../../nn.h"
#include "peak.h"
#include <dlfcn.h>
#include <sys/resource.h>

enum { REPEATS = 11 };

static FILE *csv;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *x, int n)
{
    double copy[REPEATS];
    memcpy(copy, x, (size_t)n * sizeof *x);
    qsort(copy, (size_t)n, sizeof *copy, ascending);
    return copy[n / 2];
}

/* -- matrix products -- */

typedef void cblas_fn(int, int, int, int, int, int, float, const float *, int, const float *, int,
                      float, float *, int);
typedef int dnnl_fn(char, char, long, long, long, float, const float *, long, const float *, long,
                    float, float *, long);

typedef struct peer {
    const char *name, *library;
    cblas_fn *cblas;
    dnnl_fn *dnnl;
} peer;

static peer peers[] = {{"nn.h", NULL, NULL, NULL},
                       {"OpenBLAS", "libopenblas.so.0", NULL, NULL},
                       {"BLIS", "libblis.so.4", NULL, NULL},
                       {"oneDNN", "libdnnl.so.2", NULL, NULL}};
enum { PEERS = sizeof peers / sizeof *peers };

static void open_peers(void)
{
    for (int p = 1; p < PEERS; p++) {
        void *library = dlopen(peers[p].library, RTLD_NOW | RTLD_LOCAL);
        void *cblas = library ? dlsym(library, "cblas_sgemm") : NULL;
        void *dnnl = library ? dlsym(library, "dnnl_sgemm") : NULL;
        memcpy(&peers[p].cblas, &cblas, sizeof cblas);
        memcpy(&peers[p].dnnl, &dnnl, sizeof dnnl);
    }
}

static int is_here(int p) { return p == 0 || peers[p].cblas || peers[p].dnnl; }

typedef struct product {
    const char *name;
    int ta, tb, m, n, k;
} product;

static void multiply(int p, const product *s, const float *a, const float *b, float *c)
{
    int lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;
    if (peers[p].dnnl)
        peers[p].dnnl(s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->m, s->n, s->k, 1, a, lda, b, ldb, 0,
                      c, s->n);
    else if (peers[p].cblas)
        peers[p].cblas(101, s->ta ? 112 : 111, s->tb ? 112 : 111, s->m, s->n, s->k, 1, a, lda, b,
                       ldb, 0, c, s->n);
    else
        nn_mat_mul(s->ta, s->tb, (size_t)s->m, (size_t)s->n, (size_t)s->k, a, (size_t)lda, b,
                   (size_t)ldb, c, (size_t)s->n, 0);
}

static float *matrix(int rows, int cols)
{
    size_t count = (size_t)rows * (size_t)cols;
    void *block = NULL;
    if (posix_memalign(&block, 64, count * sizeof(float) + 64)) exit(1);
    float *x = (float *)block;
    for (size_t i = 0; i < count; i++) x[i] = (float)((int)(i % 7) - 3);
    return x;
}

/* The speeds of all that are here, taking turns of about `work` FLOP each; ours as a part of the peak
   unless of_peak is NULL. */
static void time_product(const product *s, double work, int repeats, double speed[PEERS][REPEATS],
                         double *of_peak)
{
    float *a = matrix(s->m, s->k), *b = matrix(s->k, s->n), *c = matrix(s->m, s->n);
    double flop = 2.0 * s->m * s->n * s->k;
    long calls = (long)(work / flop) + 1;
    for (int p = 0; p < PEERS; p++)
        if (is_here(p)) multiply(p, s, a, b, c);
    for (int r = 0; r < repeats; r++) {
        double top = of_peak ? peak() : 0;
        for (int p = 0; p < PEERS; p++) {
            if (!is_here(p)) continue;
            multiply(p, s, a, b, c); /* the peer before has filled the caches */
            double t = now();
            for (long i = 0; i < calls; i++) multiply(p, s, a, b, c);
            speed[p][r] = flop * (double)calls / (now() - t) / 1e9;
        }
        if (of_peak) of_peak[r] = top > 0 ? speed[0][r] / top : 0;
    }
    free(a), free(b), free(c);
}

static double ratio_to(int peer, double speed[PEERS][REPEATS], int repeats)
{
    double ratio[REPEATS];
    for (int r = 0; r < repeats; r++) ratio[r] = speed[0][r] / speed[peer][r];
    return median(ratio, repeats);
}

/* Returns the ratio to the best peer, 0 without one. */
static double bench_product(const product *s)
{
    double speed[PEERS][REPEATS], of_peak[REPEATS], best = 0;
    int repeats = 2.0 * s->m * s->n * s->k > 4e9 ? 5 : REPEATS, best_peer = 0;
    time_product(s, 1e8, repeats, speed, of_peak);
    double ours = median(speed[0], repeats);
    printf("%-22s %8.1f", s->name, ours);
    for (int p = 1; p < PEERS; p++) {
        if (!is_here(p)) continue;
        double theirs = median(speed[p], repeats), ratio = ratio_to(p, speed, repeats);
        printf(" %8.1f (%4.2f)", theirs, ratio);
        if (theirs > best) best = theirs, best_peer = p;
        fprintf(csv, "matmul,%s,GFLOP/s,%.2f,%.2f,%s,%.3f,%.3f\n", s->name, ours, theirs,
                peers[p].name, ratio, median(of_peak, repeats));
    }
    double ratio = best_peer ? ratio_to(best_peer, speed, repeats) : 0;
    printf("   best %4.2f   of peak %4.2f\n", ratio, median(of_peak, repeats));
    fflush(stdout);
    return ratio;
}

static void bench_matmul(const char *part)
{
    static const product shapes[] = {
        {"forward 32x64x785", 0, 0, 32, 64, 785},   {"gradient 785x64x32", 1, 0, 785, 64, 32},
        {"64x1x785", 0, 0, 64, 1, 785},             {"785x1x64 T", 1, 0, 785, 1, 64},
        {"32x10x64", 0, 0, 32, 10, 64},             {"64x10x32 T", 1, 0, 64, 10, 32},
        {"128x10x785", 0, 0, 128, 10, 785},         {"785x10x128 T", 1, 0, 785, 10, 128},
        {"100x10x3072", 0, 0, 100, 10, 3072},       {"3072x10x100 T", 1, 0, 3072, 10, 100},
        {"10000x64x785", 0, 0, 10000, 64, 785},     {"10000x10x3072", 0, 0, 10000, 10, 3072},
        {"59x59 batch 32", 0, 0, 32, 59, 59},       {"128x512x784", 0, 0, 128, 512, 784},
        {"784x512x128 T", 1, 0, 784, 512, 128},     {"128x512x512", 0, 0, 128, 512, 512},
        {"128x512x512 NT", 0, 1, 128, 512, 512},    {"conv 32x1024x75", 0, 0, 32, 1024, 75},
        {"conv 64x256x800", 0, 0, 64, 256, 800},    {"square 64", 0, 0, 64, 64, 64},
        {"square 128", 0, 0, 128, 128, 128},        {"square 256", 0, 0, 256, 256, 256},
        {"square 512", 0, 0, 512, 512, 512},        {"square 1024", 0, 0, 1024, 1024, 1024},
        {"square 1024 NT", 0, 1, 1024, 1024, 1024}, {"square 1024 TN", 1, 0, 1024, 1024, 1024},
        {"square 2048", 0, 0, 2048, 2048, 2048}};
    double logs = 0;
    int count = 0;
    printf("%-22s %8s", "GFLOP/s (ratio)", "nn.h");
    for (int p = 1; p < PEERS; p++)
        if (is_here(p)) printf(" %15s", peers[p].name);
    printf("\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (part && !strstr(shapes[i].name, part)) continue;
        double ratio = bench_product(&shapes[i]);
        if (ratio > 0) logs += log(ratio), count++;
    }
    if (count) printf("geometric mean against the best peer: %.3f\n", exp(logs / count));
}

/* -- every product of the layers that networks have: forward, the weights' gradient, the input's -- */

typedef struct outcome {
    double ratio;
    char name[40];
} outcome;

static int by_ratio(const void *a, const void *b)
{
    return ascending(&((const outcome *)a)->ratio, &((const outcome *)b)->ratio);
}

/* The geometric mean of the ratios of one kind of product to each peer and to the best one; the
   ratios to the best one go to `all`. */
static void bench_kind(const char *kind, const product *shapes, size_t count, outcome *all)
{
    enum { TURNS = 7 };
    double logs[PEERS] = {0}, best_logs = 0;
    size_t below = 0;
    for (size_t i = 0; i < count; i++) {
        double speed[PEERS][REPEATS], worst = INFINITY;
        const product *s = &shapes[i];
        time_product(s, 1e6, TURNS, speed, NULL);
        for (int p = 1; p < PEERS; p++) {
            if (!is_here(p)) continue;
            double ratio = ratio_to(p, speed, TURNS);
            logs[p] += log(ratio);
            if (ratio < worst) worst = ratio;
            fprintf(csv, "layers,%s %dx%dx%d,GFLOP/s,%.2f,%.2f,%s,%.3f,\n", kind, s->m, s->n, s->k,
                    median(speed[0], TURNS), median(speed[p], TURNS), peers[p].name, ratio);
        }
        best_logs += log(worst);
        below += worst < 1;
        all[i].ratio = worst;
        snprintf(all[i].name, sizeof all[i].name, "%s %dx%dx%d", kind, s->m, s->n, s->k);
    }
    printf("%-16s", kind);
    for (int p = 1; p < PEERS; p++)
        if (is_here(p)) printf("   %s %.2f", peers[p].name, exp(logs[p] / (double)count));
    printf("   the best of them %.2f, below it %zu of %zu\n", exp(best_logs / (double)count), below,
           count);
    fflush(stdout);
}

static void bench_layers(void)
{
    static const int layers[][2] = {
        {784, 10},  {784, 16},  {784, 30},  {784, 50},  {784, 64},   {784, 100}, {784, 128},
        {784, 300}, {784, 512}, {3072, 10}, {3072, 50}, {3072, 100}, {512, 512}, {512, 10},
        {300, 100}, {256, 128}, {128, 128}, {128, 10},  {100, 100},  {100, 10},  {64, 64},
        {64, 10},   {59, 59},   {50, 50},   {30, 10},   {20, 20},    {16, 16}};
    static const int batches[] = {1, 4, 10, 16, 20, 32, 50, 64, 100, 128, 256};
    enum { LAYERS = sizeof layers / sizeof *layers, BATCHES = sizeof batches / sizeof *batches };
    static product shapes[3][LAYERS * BATCHES];
    static outcome all[3 * LAYERS * BATCHES];
    size_t count = 0, inner = 0;
    for (size_t i = 0; i < LAYERS; i++)
        for (size_t j = 0; j < BATCHES; j++) {
            int in = layers[i][0], out = layers[i][1], batch = batches[j];
            product forward = {"", 0, 0, batch, out, in}, weights = {"", 1, 0, in, out, batch};
            product input = {"", 0, 1, batch, in, out};
            shapes[0][count] = forward;
            shapes[1][count++] = weights;
            if (in != 784 && in != 3072) shapes[2][inner++] = input; /* images have no gradient */
        }
    printf("products of layers, GFLOP/s as a ratio to\n");
    bench_kind("forward", shapes[0], count, all);
    bench_kind("weights", shapes[1], count, all + count);
    bench_kind("input", shapes[2], inner, all + 2 * count);
    qsort(all, 2 * count + inner, sizeof *all, by_ratio);
    printf("lowest:");
    for (int i = 0; i < 8; i++) printf(" %s %.2f%s", all[i].name, all[i].ratio, i < 7 ? "," : "\n");
    fflush(stdout);
}

/* -- training and inference, as peers.py does it -- */

typedef struct network {
    const char *name;
    int layers;
    size_t units[4];
    nn_activation activation;
    size_t batch, epochs;
} network;

enum { IMAGES = 20000 };
static uint8_t pixels[IMAGES * 784];
static int labels[IMAGES];

static nn_tensor *build(nn_net *net, const network *n)
{
    nn_tensor *x = nn_input(net, n->units[0]);
    for (int i = 1; i < n->layers; i++) {
        nn_dense_desc dense = {0};
        dense.units = n->units[i];
        dense.activation = i + 1 < n->layers ? n->activation : NN_ACTIVATION_IDENTITY;
        x = nn_dense_with(x, &dense);
    }
    return x;
}

/* Images per second, after one epoch to warm up. */
static double train_speed(const network *n, int threads)
{
    nn_dataset data;
    nn_net_desc net_desc = {0};
    net_desc.threads = threads;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *loss = nn_softmax_cross_entropy(build(net, n));
    nn_train_desc desc = {0};
    nn_history history = {0};
    desc.epochs = 1;
    desc.batch_size = n->batch;
    desc.drop_last = 1;
    desc.check_every = SIZE_MAX; /* only the first step checks */
    desc.optimizer = nn_sgd(0.02, 0.9);
    nn_status status = nn_dataset_from_bytes(pixels, IMAGES, 784, labels, 10, &data);
    if (status == NN_OK) status = nn_dataset_rescale(&data, 33.5527, 33.5527 + 78.8755, 0, 1);
    if (status == NN_OK) status = nn_train(loss, &data, &desc, NULL);
    desc.epochs = n->epochs;
    if (status == NN_OK) status = nn_train(loss, &data, &desc, &history);
    if (status != NN_OK) {
        fprintf(stderr, "bench: %s\n", nn_last_error());
        exit(1);
    }
    double speed = (double)(IMAGES / n->batch * n->batch * n->epochs) / history.seconds;
    nn_history_free(&history);
    nn_net_destroy(net);
    nn_dataset_free(&data);
    return speed;
}

/* Seconds for one image through 784-64-10 with softmax, fed and read as a user would. */
static double latency(const network *n)
{
    enum { RUNS = 20000 };
    nn_net *net = nn_net_create(NULL);
    nn_tensor *p = nn_softmax(build(net, n)), *x = nn_net_tensor(net, 0);
    nn_real image[784];
    for (int i = 0; i < 784; i++) image[i] = (nn_real)pixels[i] / 255;
    nn_net_set_training(net, 0);
    double t = 0;
    for (int i = 0; i < RUNS + 100; i++) {
        if (i == 100) t = now();
        if (nn_feed(x, image, 1) != NN_OK || nn_forward(p) != NN_OK) exit(1);
    }
    t = (now() - t) / RUNS;
    nn_net_destroy(net);
    return t;
}

/* What peers.py prints, or kann.c when it was built; 0 when it cannot run. */
static double ask_peer(const char *peer, const char *name)
{
    char command[1024], python[512];
    const char *kann = getenv("BENCH_KANN"), *program = python;
    double value = 0;
    const char *interpreter = getenv("PYTHON");
    snprintf(python, sizeof python, "%s tests/bench/peers.py %s",
             interpreter ? interpreter : "python3", peer);
    if (!strcmp(peer, "kann")) program = kann ? kann : "false";
    snprintf(command, sizeof command, "%s '%s' 2>/dev/null", program, name);
    FILE *pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%lf", &value) != 1) value = 0;
    if (pipe) pclose(pipe);
    return value;
}

static void bench_network(const network *n)
{
    static const char *const names[] = {"numpy", "torch", "kann"};
    enum { TURNS = 5, PEERS = sizeof names / sizeof *names };
    int is_latency = !strcmp(n->name, "latency");
    double ours[TURNS], theirs[PEERS][TURNS];
    for (int r = 0; r < TURNS; r++) {
        ours[r] = is_latency ? latency(n) : train_speed(n, 1);
        for (int p = 0; p < PEERS; p++)
            theirs[p][r] = r && theirs[p][0] == 0 ? 0 : ask_peer(names[p], n->name);
    }
    printf(is_latency ? "%-16s %10.3g s/image" : "%-16s %10.0f images/s", n->name,
           median(ours, TURNS));
    for (int p = 0; p < PEERS; p++) {
        double ratio[TURNS], peer = median(theirs[p], TURNS);
        if (peer == 0) continue;
        for (int r = 0; r < TURNS; r++)
            ratio[r] = is_latency ? theirs[p][r] / ours[r] : ours[r] / theirs[p][r];
        printf(is_latency ? "   %s %10.3g (%.2f)" : "   %s %10.0f (%.2f)", names[p], peer,
               median(ratio, TURNS));
        fprintf(csv, "%s,%s,%s,%.4g,%.4g,%s,%.3f,\n", is_latency ? "inference" : "train", n->name,
                is_latency ? "s" : "images/s", median(ours, TURNS), peer, names[p],
                median(ratio, TURNS));
    }
    printf("\n");
    fflush(stdout);
}

static const network networks[] = {
    {"784-64-10", 3, {784, 64, 10, 0}, NN_ACTIVATION_SIGMOID, 32, 3},
    {"784-64-10 batch 128", 3, {784, 64, 10, 0}, NN_ACTIVATION_SIGMOID, 128, 3},
    {"784-512-512-10", 4, {784, 512, 512, 10}, NN_ACTIVATION_RELU, 128, 1},
    {"latency", 3, {784, 64, 10, 0}, NN_ACTIVATION_SIGMOID, 1, 1}};

static void make_images(void)
{
    nn_rng rng = nn_rng_seed(1);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(nn_rng_next(&rng) >> 56);
    for (size_t i = 0; i < IMAGES; i++) labels[i] = (int)nn_rng_below(&rng, 10);
}

static void bench_networks(const char *part)
{
    make_images();
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        if (!part || strstr(networks[i].name, part)) bench_network(&networks[i]);
}

/* -- what a user's compiler has to do, and how much code comes of it -- */

typedef struct source {
    const char *name, *flags; /* of the compiler: the file is among them */
} source;

static double children_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec;
}

/* User seconds for one object file, 0 where it cannot be made. */
static double compile_seconds(const char *compiler, const source *from)
{
    char command[1024];
    const double t = children_seconds();
    snprintf(command, sizeof command, "%s -w -c %s -o build/bench_object.o 2>/dev/null", compiler,
             from->flags);
    return system(command) == 0 ? children_seconds() - t : 0;
}

/* Code and constants of the object file. */
static double text_bytes(void)
{
    double bytes = 0;
    FILE *pipe = popen("size build/bench_object.o 2>/dev/null | tail -n 1", "r");
    if (!pipe || fscanf(pipe, "%lf", &bytes) != 1) bytes = 0;
    if (pipe) pclose(pipe);
    return bytes;
}

static void bench_compiler(const char *compiler, const source *sources, int count)
{
    enum { TURNS = 5, SOURCES = 3 };
    double seconds[SOURCES][TURNS], text[SOURCES] = {0};
    for (int r = 0; r < TURNS; r++)
        for (int s = 0; s < count; s++) {
            seconds[s][r] = r && seconds[s][0] == 0 ? 0 : compile_seconds(compiler, sources + s);
            if (r == 0 && seconds[s][0] > 0) text[s] = text_bytes();
        }
    const double ours = median(seconds[0], TURNS);
    if (ours == 0) return;
    printf("%-10s %s %.2f s, %.0f KB", compiler, sources->name, ours, text[0] / 1e3);
    for (int s = 1; s < count; s++) {
        double ratio[TURNS], theirs = median(seconds[s], TURNS);
        if (theirs == 0) continue;
        for (int r = 0; r < TURNS; r++) ratio[r] = seconds[s][r] / seconds[0][r];
        printf("   %s %.2f s (%.2f), %.0f KB", sources[s].name, theirs, median(ratio, TURNS),
               text[s] / 1e3);
        fprintf(csv, "compile,%s with %s,s,%.3f,%.3f,%s,%.3f,\n", sources->name, compiler,
                ours, theirs, sources[s].name, median(ratio, TURNS));
        fprintf(csv, "text,%s with %s,bytes,%.0f,%.0f,%s,%.3f,\n", sources->name, compiler,
                text[0], text[s], sources[s].name, text[s] / text[0]);
    }
    printf("\n");
    fflush(stdout);
}

/* The whole body, and then a program that takes a private copy of what it uses, each against the
   header that everybody includes, and kann where it is: its two files in one. */
static void bench_compile(void)
{
    static const char *const compilers[] = {"gcc -O2", "gcc -O0", "clang -O2", "clang -O0"};
    static char kann[600];
    source sources[] = {
        {"nn.h", "-DNN_IMPLEMENTATION -x c nn.h"},
        {"stb_image", "-DSTB_IMAGE_IMPLEMENTATION -x c /usr/include/stb/stb_image.h"},
        {"kann", kann}};
    const char *folder = getenv("KANN");
    if (folder)
        snprintf(kann, sizeof kann, "-I%s -include kautodiff.c -x c %s/kann.c", folder, folder);
    printf("compiling, user seconds (ratio to nn.h's) and text\n");
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++)
        bench_compiler(compilers[i], sources, folder ? 3 : 2);
    sources[0].name = "xor.c", sources[0].flags = "-x c examples/xor.c";
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++)
        bench_compiler(compilers[i], sources, folder ? 3 : 2);
}

/* -- two threads against one, in turns -- */

#ifdef _OPENMP
static void report_threads(const char *name, const char *unit, double *one, double *two, int turns)
{
    double ratio[REPEATS];
    for (int r = 0; r < turns; r++) ratio[r] = two[r] / one[r];
    printf("%-22s %10.1f   two threads %10.1f %s (%.2f)\n", name, median(one, turns),
           median(two, turns), unit, median(ratio, turns));
    fprintf(csv, "threads,%s,%s,%.4g,%.4g,one thread,%.3f,\n", name, unit, median(two, turns),
            median(one, turns), median(ratio, turns));
    fflush(stdout);
}

static double product_speed(size_t n, int threads, const float *a, const float *b, float *c)
{
    double work = 2.0 * (double)n * (double)n * (double)n;
    long calls = (long)(1e9 / work) + 1;
    omp_set_num_threads(threads);
    nn_mat_mul(0, 0, n, n, n, a, n, b, n, c, n, 0);
    double t = now();
    for (long i = 0; i < calls; i++) nn_mat_mul(0, 0, n, n, n, a, n, b, n, c, n, 0);
    return work * (double)calls / (now() - t) / 1e9;
}

static void bench_threads(const char *part)
{
    static const int sizes[] = {256, 512, 1024, 2048};
    double one[REPEATS], two[REPEATS];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        char name[32];
        int n = sizes[s], turns = n > 1024 ? 5 : REPEATS;
        snprintf(name, sizeof name, "square %d", n);
        if (part && !strstr(name, part)) continue;
        float *a = matrix(n, n), *b = matrix(n, n), *c = matrix(n, n);
        for (int r = 0; r < turns; r++) {
            one[r] = product_speed((size_t)n, 1, a, b, c);
            two[r] = product_speed((size_t)n, 2, a, b, c);
        }
        report_threads(name, "GFLOP/s", one, two, turns);
        free(a), free(b), free(c);
    }
    make_images();
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        if (!strcmp(networks[i].name, "latency") || (part && !strstr(networks[i].name, part)))
            continue;
        for (int r = 0; r < 5; r++) {
            one[r] = train_speed(&networks[i], 1);
            two[r] = train_speed(&networks[i], 2);
        }
        report_threads(networks[i].name, "images/s", one, two, 5);
    }
}
#endif

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *part = argc > 2 ? argv[2] : NULL;
    const int threads = !strcmp(what, "threads");
    csv = fopen("out/bench.csv", threads ? "a" : "w");
    if (!csv) return perror("out/bench.csv"), 1;
    if (threads) {
#ifdef _OPENMP
        bench_threads(part);
#endif
        return fclose(csv) != 0;
    }
    fprintf(csv, "bench,case,unit,ours,peer,peer_name,ratio,peak_fraction\n");
    printf("kernels: %s, peak %.1f GFLOP/s\n", nn_kernel_path(), peak());
    int peer = 0;
    open_peers();
    for (int p = 1; p < PEERS; p++) peer |= is_here(p);
    if (!*what || !strcmp(what, "matmul")) bench_matmul(part);
    if ((!*what || !strcmp(what, "layers")) && peer) bench_layers();
    if (!*what || !strcmp(what, "train")) bench_networks(part);
    if (!*what || !strcmp(what, "compile")) bench_compile();
    return fclose(csv) != 0;
}
