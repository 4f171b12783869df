/*  assignment.h - what the programs that reproduce a course report share: options, data, a run for
    every seed, the table of results, pictures. No experiment is in here.

    Include it in one source file, after NN_IMPLEMENTATION is defined; it brings nn.h and chart.h. A
    program of this kind has nobody to hand an error to, so whatever goes wrong here ends it with a
    message on stderr and status 1 (2 for a bad option).

        assignment a;
        assignment_start(&a, argc, argv, "report_task", "What it does, in a line.");
        assignment_mnist(&a);
        TRY(nn_dataset_rescale(&a.train, 0, 255, -1, 1));
        ...
        assignment_run *run = assignment_train(&a, a.seeds, build_net, NULL, &a.train, &desc);
        assignment_row(&a, "R2", "3c", "accuracy, %", 92.3, &run->last.train_accuracy, NULL);
        assignment_losses(&a, run, "Softmax", "loss", 0, 1, "loss.png", "3b", "It falls.");
        return assignment_finish(&a);

    It prints a table and leaves NAME.csv, NAME.figures.csv and the pictures in the folder of --out.
    No program here calls setlocale, so every number is written with a decimal point. */
#ifndef ASSIGNMENT_H
#define ASSIGNMENT_H

#include "../nn.h"
#include "chart.h"
#include "program.h"

#include <time.h>

enum { ASSIGNMENT_TEXT = 1024, ASSIGNMENT_SEEDS = 1000 };

typedef struct assignment {
    const char *name, *data, *out;
    uint64_t seed; /* of the first run; run i takes seed + i */
    int seeds;     /* how many runs of what is random */
    int quick;     /* a few epochs, to see that it works: the numbers mean nothing */
    nn_dataset train, validation, test;
    /* private */
    nn_dataset all; /* what a view of the first samples looks into */
    struct assignment_run *runs;
    FILE *results, *figures;
    int failed; /* a check: the program ends with status 1 */
    time_t started;
} assignment;

/* Ends the program unless an nn.h call went well. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((call) != NN_OK) {                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, nn_last_error());                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* OUT/FILE. Valid until the next call. */
CHART_DEF const char *assignment_path(const assignment *a, const char *file)
{
    return program_path(a->out, file);
}

/* Zeroed memory for count values of `size` bytes; free() releases it. */
CHART_DEF void *assignment_new(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    if (!block) program_stop(1, "out of memory");
    return block;
}

/* Text as printf makes it, valid for fifteen calls more. */
PROGRAM_PRINTF(1, 2) const char *assignment_text(const char *format, ...)
{
    static char text[16][ASSIGNMENT_TEXT];
    static int at;
    va_list args;
    va_start(args, format);
    at = (at + 1) % 16;
    vsnprintf(text[at], sizeof text[at], format, args);
    va_end(args);
    return text[at];
}

/* OUT/NAME + suffix, opened for writing, with its first line. */
static FILE *assignment__open(const assignment *a, const char *suffix, const char *head)
{
    const char *path = assignment_path(a, assignment_text("%s%s", a->name, suffix));
    FILE *stream = fopen(path, "w");
    if (!stream) program_stop(1, "cannot write %s: %s", path, strerror(errno));
    fprintf(stream, "%s\n", head);
    return stream;
}

/* Reads the options, makes the folder for the results, opens the files and prints the table's head.
   --help prints `about` and the options and ends the program. */
CHART_DEF void assignment_start(assignment *a, int argc, char **argv, const char *name,
                                const char *about)
{
    const char *seed = "0", *seeds = "1", *quick = NULL;
    memset(a, 0, sizeof *a);
    a->name = name;
    a->data = "data";
    a->out = "out";
    const program_option options[] = {
        {"--data", "DIR", "where mnist/ and cifar10/ are (default data; `make data`)", &a->data},
        {"--out", "DIR", "where results and figures go (default out)", &a->out},
        {"--seed", "N", "the first seed (default 0)", &seed},
        {"--seeds", "N", "runs of what is random, with seeds N, N + 1, ... (default 1)", &seeds},
        {"--quick", NULL, "a short run to see that it works", &quick}};
    program_options(argc, argv, name, about, sizeof options / sizeof *options, options);
    a->seed = program_number("--seed", seed, 0, UINT64_MAX);
    a->seeds = (int)program_number("--seeds", seeds, 1, ASSIGNMENT_SEEDS);
    a->quick = quick != NULL;
    a->started = time(NULL);
    program_folder(a->out);
    a->results = assignment__open(a, ".csv", "report,task,quantity,reported,mean,sd,seeds,note");
    a->figures = assignment__open(a, ".figures.csv", "file,task,caption");
    printf("%s: %s%s\n", name, about, a->quick ? " QUICK RUN: NO RESULTS." : "");
    printf("%-6s %-5s %-44s %10s %10s %9s\n", "report", "task", "quantity", "reported", "ours",
           "sd");
    fflush(stdout);
}

static void assignment__quote(FILE *stream, const char *text, char end)
{
    fputc('"', stream);
    for (; *text; text++) {
        if (*text == '"') fputc('"', stream);
        fputc(*text, stream);
    }
    fprintf(stream, "\"%c", end);
}

static void assignment__value(FILE *stream, int known, double v)
{
    if (known) {
        printf(" %*.*g", 10, 5, v);
        fprintf(stream, "%.9g,", v);
    } else {
        printf(" %10s", "");
        fputc(',', stream);
    }
}

/* Value i is `stride` bytes times i behind the first. */
static double assignment__at(const double *first, size_t stride, int i)
{
    double value;
    memcpy(&value, (const char *)first + stride * (size_t)i, sizeof value);
    return value;
}

static void assignment__row(assignment *a, const char *report, const char *task,
                            const char *quantity, double reported, const double *values,
                            size_t stride, int count, const char *note)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < count; i++) mean += assignment__at(values, stride, i) / count;
    for (int i = 0; i < count; i++) {
        double off = assignment__at(values, stride, i) - mean;
        squares += off * off;
    }
    assignment__quote(a->results, report, ',');
    assignment__quote(a->results, task, ',');
    assignment__quote(a->results, quantity, ',');
    printf("%-6s %-5s %-44s", report, task, quantity);
    assignment__value(a->results, reported == reported, reported);
    assignment__value(a->results, count > 0 && mean == mean, mean);
    assignment__value(a->results, count > 1 && mean == mean, sqrt(squares / (count - 1)));
    fprintf(a->results, "%d,", count);
    assignment__quote(a->results, note ? note : "", '\n');
    printf("%s%s\n", note ? "\n             " : "", note ? note : "");
    fflush(stdout);
}

/* One line of the table and of NAME.csv: the mean and the sample deviation (n - 1) of `count`
   values. `quantity` names its unit; `reported` is NAN where the report gives no number; `note` may
   be NULL. In the file the texts are quoted and a missing number is empty. */
CHART_DEF void assignment_result(assignment *a, const char *report, const char *task,
                                 const char *quantity, double reported, const double *values,
                                 int count, const char *note)
{
    assignment__row(a, report, task, quantity, reported, values, sizeof *values, count, note);
}

/* The same for one value, of a run without chance. */
CHART_DEF void assignment_single(assignment *a, const char *report, const char *task,
                                 const char *quantity, double reported, double value,
                                 const char *note)
{
    assignment_result(a, report, task, quantity, reported, &value, 1, note);
}

/* The same for a check: the note begins with "passes: ", or with "FAILS: " where a value is not at
   most `allowed`, and then the program ends with status 1. */
CHART_DEF void assignment_verdict(assignment *a, const char *report, const char *task,
                                  const char *quantity, const double *values, int count,
                                  double allowed, const char *note)
{
    int failures = 0;
    for (int i = 0; i < count; i++) failures += !(values[i] <= allowed); /* a NaN fails */
    a->failed |= failures > 0;
    assignment_result(a, report, task, quantity, NAN, values, count,
                      assignment_text("%s: %s, at most %g allowed", failures ? "FAILS" : "passes",
                                      note, allowed));
}

/* ------------------------------------------------------------------------- a run for every seed */

enum { ASSIGNMENT_CHECKS = 5 }; /* in an epoch, in all of TDT4265 */

typedef struct assignment_run {
    nn_tensor *loss; /* of the trained net */
    nn_history history;
    nn_check last;       /* the history's last check, */
    nn_result train, validation, test; /* the same after the last step, the last where there is a
                                          test set; all accuracies in % */
    double value[6];     /* what else a program measures */
    int count;           /* private, as the next: of the runs that begin with this one */
    struct assignment_run *next;
} assignment_run;

/* Makes a net: the graph up to its loss. */
typedef nn_tensor *(*assignment_net)(uint64_t seed, const void *settings);

/* Trains `count` nets, with seeds a->seed, a->seed + 1, ... assignment_finish releases them. */
CHART_DEF assignment_run *assignment_train(assignment *a, int count, assignment_net net,
                                           const void *settings, const nn_dataset *data,
                                           const nn_train_desc *desc)
{
    assignment_run *runs = (assignment_run *)assignment_new((size_t)count, sizeof *runs);
    for (int i = 0; i < count; i++) {
        assignment_run *r = &runs[i];
        r->loss = net(a->seed + (uint64_t)i, settings);
        TRY(nn_train(r->loss, data, desc, &r->history));
        TRY(nn_evaluate(r->loss, data, &r->train));
        TRY(nn_evaluate(r->loss, desc->validation, &r->validation));
        if (a->test.count) TRY(nn_evaluate(r->loss, &a->test, &r->test));
        r->last = r->history.checks[r->history.check_count - 1];
        r->last.train_accuracy *= 100;
        r->last.validation_accuracy *= 100;
        r->train.accuracy *= 100;
        r->validation.accuracy *= 100;
        r->test.accuracy *= 100;
    }
    runs->count = count;
    runs->next = a->runs;
    a->runs = runs;
    return runs;
}

/* The largest drop of validation accuracy from one check to the next after the first epoch, in
   points. Sets *step to the step after which it was seen, unless `step` is NULL. */
CHART_DEF double assignment_largest_drop(const nn_history *h, size_t *step)
{
    double most = 0;
    for (size_t i = ASSIGNMENT_CHECKS + 1; i < h->check_count; i++) {
        double drop = h->checks[i - 1].validation_accuracy - h->checks[i].validation_accuracy;
        if (step && drop > most) *step = h->checks[i].step;
        most = fmax(most, drop);
    }
    return 100 * most;
}

/* A line of the table for a member of the runs of all seeds: &run->validation.loss. */
CHART_DEF void assignment_row(assignment *a, const char *report, const char *task,
                              const char *quantity, double reported, const double *member,
                              const char *note)
{
    assignment__row(a, report, task, quantity, reported, member, sizeof(assignment_run), a->seeds,
                    note);
}

/* ------------------------------------------------------------------------------------- pictures */

typedef const char *(*assignment_draw)(const chart_desc *desc, const char *path);

/* Draws a figure (chart_line, chart_bars, chart_heatmap, chart_image_grid) into the folder of
   results and records it, with a line on what is to be seen, unless pictures are skipped. */
CHART_DEF void assignment_chart(assignment *a, assignment_draw draw, const chart_desc *desc,
                                const char *file, const char *task, const char *caption)
{
    const char *error = draw(desc, assignment_path(a, file));
    if (!chart_ok(error)) exit(1);
    if (error) return;
    assignment__quote(a->figures, file, ',');
    assignment__quote(a->figures, task, ',');
    assignment__quote(a->figures, caption, '\n');
}

/* A member of a run's checks against the step:
   assignment_curve("validation", run, &run->history.checks->validation_loss). */
CHART_DEF chart_series assignment_curve(const char *label, const assignment_run *run,
                                        const double *member)
{
    const nn_history *h = &run->history;
    size_t stride = sizeof *h->checks;
    return chart_curve(label, h->check_count, chart_sizes(&h->checks->step, stride),
                       chart_doubles(member, stride));
}

/* Curves against the training step; y runs from low to high (0, 0: as needed). */
CHART_DEF void assignment_curves(assignment *a, const chart_series *series, int count,
                                 const char *title, const char *y_label, double low, double high,
                                 const char *file, const char *task, const char *caption)
{
    chart_desc d = {.title = title, .x_label = "training step", .y_label = y_label,
                    .series = series, .series_count = count, .y_min = low, .y_max = high};
    assignment_chart(a, chart_line, &d, file, task, caption);
}

/* The loss of both sets at the checks of one run. */
CHART_DEF void assignment_losses(assignment *a, const assignment_run *run, const char *title,
                                 const char *y_label, double low, double high, const char *file,
                                 const char *task, const char *caption)
{
    const nn_check *c = run->history.checks;
    chart_series both[] = {assignment_curve("training set", run, &c->train_loss),
                           assignment_curve("validation set", run, &c->validation_loss)};
    assignment_curves(a, both, 2, title, y_label, low, high, file, task, caption);
}

/* The accuracy of both sets. */
CHART_DEF void assignment_accuracies(assignment *a, const assignment_run *run, const char *title,
                                     double low, double high, const char *file, const char *task,
                                     const char *caption)
{
    const nn_check *c = run->history.checks;
    chart_series both[] = {assignment_curve("training set", run, &c->train_accuracy),
                           assignment_curve("validation set", run, &c->validation_accuracy)};
    assignment_curves(a, both, 2, title, "accuracy", low, high, file, task, caption);
}

/* Columns of weight matrices as images of side x side pixels: a row of images for each matrix. */
CHART_DEF void assignment_weights(assignment *a, const nn_tensor *const *weights, int rows,
                                  const char *const *row_names, int cols,
                                  const char *const *col_names, int side, const char *title,
                                  const char *file, const char *task, const char *caption)
{
    chart_data values[8];
    const char *names[8 * 16];
    if (rows > 8 || cols > 16) program_stop(1, "too many images in %s", file);
    for (int r = 0; r < rows; r++) values[r] = chart_reals(weights[r]->data, sizeof(nn_real));
    for (int i = 0; i < rows * cols; i++) names[i] = col_names[i % cols];
    chart_desc d = {.title = title, .row_values = values, .row_names = row_names,
                    .captions = names, .rows = rows, .cols = cols, .image_width = side,
                    .image_height = side, .in_columns = 1,
                    .channels = (int)weights[0]->shape[0] / (side * side)};
    assignment_chart(a, chart_image_grid, &d, file, task, caption);
}

/* ----------------------------------------------------------------------------------------- data */

/* MNIST's first 20,000 training images into a->train, its 10,000 test images into a->validation. */
CHART_DEF void assignment_mnist(assignment *a)
{
    const char *folder = program_path(a->data, "mnist");
    if (nn_load_mnist(folder, &a->all, &a->validation) != NN_OK)
        program_no_data(nn_last_error(), "MNIST", folder);
    TRY(nn_dataset_subset(&a->all, 0, 20000, &a->train));
}

/* CIFAR-10: the first `train` images of the five batches of 10,000 into a->train, the next ones
   into a->validation, the test batch into a->test. A second call divides the images anew. */
CHART_DEF void assignment_cifar10(assignment *a, size_t train, size_t validation)
{
    const char *folder = program_path(a->data, "cifar10");
    if (!a->all.count && nn_load_cifar10(folder, &a->all, &a->test) != NN_OK)
        program_no_data(nn_last_error(), "CIFAR-10", folder);
    nn_dataset_free(&a->train);
    nn_dataset_free(&a->validation);
    TRY(nn_dataset_subset(&a->all, 0, train, &a->train));
    TRY(nn_dataset_subset(&a->all, train, validation, &a->validation));
}

/* --------------------------------------------------------------------------- gradients by hand */

/* The first n images as rows[n,size] and, turned, as columns[size,n]. With a `size` of one more
   than the pixels the constant 1 is behind them. */
CHART_DEF void assignment_images(const nn_dataset *data, size_t n, size_t size, nn_real *rows,
                                 nn_real *columns)
{
    for (size_t i = 0; i < n; i++, rows += size) {
        TRY(nn_dataset_gather(data, &i, 1, rows));
        if (size > data->features) rows[data->features] = 1;
        for (size_t k = 0; k < size; k++) columns[k * n + i] = rows[k];
    }
}

/* The larger of two differences. A NaN is the largest: it must not get lost. */
CHART_DEF double assignment_larger(double a, double b) { return b > a || b != b ? b : a; }

/* A net whose cost and gradients a program finds by hand. The weights of layer k, counted from 1,
   are the matrix [size[k - 1], size[k]] at w + (k - 1) apart; their gradients likewise. */
typedef struct assignment_by_hand {
    const char *report, *task, *name; /* of the rows; quantities are "NAME, AGAINST" */
    size_t layers, apart;
    const size_t *size; /* of the input and of each layer */
    nn_real *w, *gradient;
    size_t images;
    const nn_real *x, *target;
    /* The cost when the weights to `count` units of a layer, from `first` on, have changed. */
    double (*cost)(size_t layer, size_t first, size_t count);
    void (*backward)(void);    /* called after cost() */
    nn_tensor *(*graph)(void); /* the same cost from a new net of the library */
    struct { const char *against; double eps, allowed; } numerical[2];
    size_t sample;         /* with later seeds one weight in so many to each unit (default 1) */
    const char *gradcheck; /* the quantity when nn_gradcheck is to check the graph, or NULL */
} assignment_by_hand;

/* Weights from U(-1, 1), or 0. */
static void assignment__draw(const assignment_by_hand *n, uint64_t seed, int random)
{
    nn_rng rng = nn_rng_seed(seed);
    for (size_t k = 1; k <= n->layers; k++)
        for (size_t i = 0; i < n->size[k - 1] * n->size[k]; i++)
            n->w[(k - 1) * n->apart + i] = random ? (nn_real)(2 * nn_rng_uniform(&rng) - 1) : 0;
}

/* The largest |numeric - analytic| of all weights, or of one in `sample` to each unit. */
static double assignment__against_numerical(const assignment_by_hand *n, double eps, size_t sample)
{
    double worst = 0;
    for (size_t k = 1; k <= n->layers; k++) {
        nn_real *w = n->w + (k - 1) * n->apart, *gradient = n->gradient + (k - 1) * n->apart;
        for (size_t unit = 0; unit < n->size[k]; unit++) {
            for (size_t i = unit; i < n->size[k - 1] * n->size[k]; i += n->size[k] * sample) {
                nn_real keep = w[i];
                w[i] = keep + (nn_real)eps;
                double up = n->cost(k, unit, 1);
                w[i] = keep - (nn_real)eps;
                double down = n->cost(k, unit, 1);
                w[i] = keep;
                worst = assignment_larger(worst, fabs((up - down) / (2 * eps) - gradient[i]));
            }
            n->cost(k, unit, 1); /* puts this unit back */
        }
    }
    return worst;
}

/* Runs the graph with the same weights. Gives the largest distance of its cost from `value` and of
   its gradients from those by hand. */
static double assignment__against_graph(const assignment_by_hand *n, nn_tensor *cost, double value)
{
    nn_net *net = cost->net;
    nn_tensor *p, *loss = strcmp(cost->op->name, "weight_penalty") == 0 ? cost->src[0] : cost;
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++)
        TRY(nn_set_values(p, n->w + i * n->apart, p->size));
    TRY(nn_feed(nn_net_tensor(net, 0), n->x, n->images)); /* the input was made first */
    TRY(nn_feed_targets(loss, n->target, n->images));
    TRY(nn_forward(cost));
    TRY(nn_backward(cost));
    double worst = fabs(cost->value - value);
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++) {
        const nn_real *gradient = n->gradient + i * n->apart;
        for (size_t k = 0; k < p->size; k++)
            worst = assignment_larger(worst, fabs(p->grad[k] - gradient[k]));
    }
    return worst;
}

/* Rows of the table: the gradients by hand against central differences and against the graph's,
   with random weights for each seed, or once with weights that are 0. */
CHART_DEF void assignment_check_gradients(assignment *a, const assignment_by_hand *n, int random)
{
    static double numeric[2][ASSIGNMENT_SEEDS], graph[ASSIGNMENT_SEEDS], library[ASSIGNMENT_SEEDS];
    nn_gradcheck_desc desc = {.h = n->numerical[0].eps, .atol = n->numerical[0].allowed,
                              .max_per_tensor = 1000};
    nn_gradcheck_report checked = {0};
    int runs = random ? a->seeds : 1, steps = n->numerical[1].against ? 2 : 1;
    double weights = 0, largest = 1; /* cost, to which rounding is relative */
    for (int run = 0; run < runs; run++) {
        assignment__draw(n, a->seed + (uint64_t)run, random);
        double value = n->cost(1, 0, n->size[1]);
        n->backward();
        for (int k = 0; k < steps; k++)
            numeric[k][run] = assignment__against_numerical(n, n->numerical[k].eps,
                                                            run && n->sample ? n->sample : 1);
        nn_tensor *cost = n->graph();
        graph[run] = assignment__against_graph(n, cost, value);
        if (n->gradcheck) TRY(nn_gradcheck(cost, &desc, &checked)); /* ends it where it fails */
        library[run] = checked.max_error;
        weights = (double)nn_net_parameter_count(cost->net);
        largest = fmax(largest, value);
        nn_net_destroy(cost->net);
    }
    for (int k = 0; k < steps; k++)
        assignment_verdict(a, n->report, n->task,
                           assignment_text("%s, %s", n->name, n->numerical[k].against), numeric[k],
                           runs, n->numerical[k].allowed,
                           assignment_text("%.0f weights%s", weights, n->sample && runs > 1 ?
                                           ", with later seeds a sample of them" : ""));
    assignment_verdict(a, n->report, n->task, assignment_text("%s, hand - graph", n->name), graph,
                       runs, 1e-12 * largest, assignment_text("%.0f weights", weights));
    if (n->gradcheck)
        assignment_verdict(a, n->report, n->task, n->gradcheck, library, runs, desc.atol,
                           assignment_text("a sample of %.0f weights", (double)checked.checked));
}

/* ------------------------------------------------------------------------------------------ end */

/* Releases the data and the runs, closes the files; gives the program's exit status. */
CHART_DEF int assignment_finish(assignment *a)
{
    int failed = ferror(a->results) | ferror(a->figures);
    failed |= fclose(a->results) != 0;
    failed |= fclose(a->figures) != 0;
    if (failed) program_stop(1, "cannot write the results in %s", a->out);
    for (assignment_run *runs = a->runs, *next; runs; runs = next) {
        next = runs->next;
        for (int i = 0; i < runs->count; i++) {
            nn_history_free(&runs[i].history);
            nn_net_destroy(runs[i].loss->net);
        }
        free(runs);
    }
    nn_dataset_free(&a->train);
    nn_dataset_free(&a->validation);
    nn_dataset_free(&a->test);
    nn_dataset_free(&a->all);
    printf("%s: %.0f s, results in %s\n", a->name, difftime(time(NULL), a->started), a->out);
    return fflush(stdout) == 0 && !a->failed ? 0 : 1;
}

#endif /* ASSIGNMENT_H */
