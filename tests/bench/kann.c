/* kann.c CASE: the work of bench.c's training cases by kann (github.com/attractivechaos/kann), the
   nearest library of its kind. Prints images per second, or seconds for the latency case. bench.sh
   builds it with kann's sources when KANN names their folder, with OpenBLAS where that links.

   As in nn_train: a new order each epoch, batches gathered with normalisation from bytes, momentum. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kann.h"

enum { IMAGES = 20000, PIXELS = 784, CLASSES = 10 };

static unsigned char pixels[IMAGES * PIXELS];
static int labels[IMAGES], order[IMAGES];

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static kann_t *build(const int *hidden, int relu)
{
    kad_node_t *t = kann_layer_input(PIXELS);
    for (; *hidden; hidden++) {
        t = kann_layer_dense(t, *hidden);
        t = relu ? kad_relu(t) : kad_sigm(t);
    }
    return kann_new(kann_layer_cost(t, CLASSES, KANN_C_CEM), 0);
}

static void gather(float *x, float *y, int batch, const int *rows)
{
    const float scale = 1 / 78.8755f, shift = -33.5527f / 78.8755f;
    memset(y, 0, sizeof *y * (size_t)(batch * CLASSES));
    for (int i = 0; i < batch; i++) {
        const unsigned char *image = pixels + rows[i] * PIXELS;
        for (int k = 0; k < PIXELS; k++) x[i * PIXELS + k] = (float)image[k] * scale + shift;
        y[i * CLASSES + labels[rows[i]]] = 1;
    }
}

static void epoch(kann_t *net, int batch, float *x, float *y, float *restrict velocity)
{
    const int n = kann_size_var(net); /* walks all nodes */
    float *restrict w = net->x;
    kann_shuffle(IMAGES, order);
    for (int i = 0; i + batch <= IMAGES; i += batch) {
        gather(x, y, batch, order + i);
        kann_cost(net, 0, 1);
        for (int k = 0; k < n; k++) {
            velocity[k] = 0.9f * velocity[k] + net->g[k];
            w[k] -= 0.02f * velocity[k];
        }
    }
}

static double train_speed(kann_t *net, int batch, int epochs)
{
    float *x = calloc((size_t)(batch * PIXELS), sizeof *x),
          *y = calloc((size_t)(batch * CLASSES), sizeof *y);
    float *velocity = calloc((size_t)kann_size_var(net), sizeof *velocity);
    kann_set_batch_size(net, batch);
    kann_feed_bind(net, KANN_F_IN, 0, &x);
    kann_feed_bind(net, KANN_F_TRUTH, 0, &y);
    kann_switch(net, 1);
    epoch(net, batch, x, y, velocity);
    double t = now();
    for (int e = 0; e < epochs; e++) epoch(net, batch, x, y, velocity);
    return (double)(IMAGES / batch * batch * epochs) / (now() - t);
}

static double latency(kann_t *net)
{
    enum { RUNS = 20000 };
    float x[PIXELS];
    double t = 0;
    for (int k = 0; k < PIXELS; k++) x[k] = (float)pixels[k] / 255;
    kann_switch(net, 0);
    for (int i = 0; i < RUNS + 100; i++) {
        if (i == 100) t = now();
        kann_apply1(net, x);
    }
    return (now() - t) / RUNS;
}

int main(int argc, char **argv)
{
    static const int small[] = {64, 0}, large[] = {512, 512, 0};
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(i * 2654435761u >> 13);
    for (int i = 0; i < IMAGES; i++) labels[i] = i * 7 % CLASSES;
    if (!strcmp(name, "784-64-10")) printf("%g\n", train_speed(build(small, 0), 32, 3));
    else if (!strcmp(name, "784-64-10 batch 128"))
        printf("%g\n", train_speed(build(small, 0), 128, 3));
    else if (!strcmp(name, "784-512-512-10")) printf("%g\n", train_speed(build(large, 1), 128, 1));
    else if (!strcmp(name, "latency")) printf("%g\n", latency(build(small, 0)));
    else return fprintf(stderr, "kann: unknown case %s\n", name), 2;
    return 0;
}
