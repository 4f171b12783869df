/*  assignment.h - what the programs that reproduce a course report share: options, data, results.

    Include it in one source file, after NN_IMPLEMENTATION is defined; it brings nn.h and chart.h. A
    program of this kind has nobody to hand an error to, so whatever goes wrong here ends it with a
    message on stderr and status 1 (2 for a bad option).

        assignment a;
        assignment_start(&a, argc, argv, "report_task", "What it does, in a line.");
        nn_dataset train, test;
        assignment_mnist(&a, &train, &test);
        TRY(nn_normalize_range(&train, 0, 255, -1, 1));
        ...
        assignment_result(&a, "R2", "2d", "training accuracy, %", 97.5, accuracy, a.seeds, NULL);
        assignment_chart(&a, chart_line, &desc, "loss.png", "2b", "falls to %.3f", loss);
        return assignment_finish(&a);

    It prints a table and leaves NAME.csv, NAME.figures.csv and the pictures in the folder of --out.
    No program here calls setlocale, so every number is written with a decimal point. */
#ifndef ASSIGNMENT_H
#define ASSIGNMENT_H

#include "../nn.h"
#include "chart.h"

#include <sys/stat.h>
#include <time.h>
#ifdef _WIN32
#include <direct.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define ASSIGNMENT_PRINTF(at, first) __attribute__((unused, format(printf, at, first)))
#else
#define ASSIGNMENT_PRINTF(at, first)
#endif

enum { ASSIGNMENT_PATH = 1024, ASSIGNMENT_TEXT = 1024 };

typedef struct assignment {
    const char *name, *data, *out;
    uint64_t seed; /* of the first run; run i takes seed + i */
    int seeds;     /* how many runs of what is random */
    int quick;     /* a few epochs, to see that it works: the numbers mean nothing */
    FILE *results, *figures;
    nn_dataset all; /* what a view of the first samples looks into */
    char path[ASSIGNMENT_PATH];
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

ASSIGNMENT_PRINTF(2, 3) static void assignment_stop(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(status);
}

/* OUT/FILE. Valid until the next call. */
CHART_DEF const char *assignment_path(assignment *a, const char *file)
{
    int n = snprintf(a->path, sizeof a->path, "%s/%s", a->out, file);
    if (n < 0 || (size_t)n >= sizeof a->path)
        assignment_stop(1, "%s: the path %s/%s is too long", a->name, a->out, file);
    return a->path;
}

/* Zeroed memory for count values of `size` bytes; free() releases it. */
CHART_DEF void *assignment_new(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    if (!block) assignment_stop(1, "out of memory");
    return block;
}

static void assignment__folder(assignment *a, const char *path)
{
#ifdef _WIN32
    int failed = _mkdir(path) != 0;
#else
    int failed = mkdir(path, 0777) != 0;
#endif
    if (failed && errno != EEXIST)
        assignment_stop(1, "%s: cannot make the folder %s: %s", a->name, path, strerror(errno));
}

/* OUT/NAME + suffix, opened for writing, with its first line. The folder is made where it lacks. */
static FILE *assignment__open(assignment *a, const char *suffix, const char *head)
{
    char file[256];
    snprintf(file, sizeof file, "%s%s", a->name, suffix);
    assignment_path(a, file);
    for (char *end = strchr(a->path + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = 0;
        assignment__folder(a, a->path);
        *end = '/';
    }
    FILE *stream = fopen(a->path, "w");
    if (!stream)
        assignment_stop(1, "%s: cannot write %s: %s", a->name, a->path, strerror(errno));
    fprintf(stream, "%s\n", head);
    return stream;
}

static unsigned long long assignment__number(const assignment *a, const char *option,
                                             const char *text, unsigned long long least)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < least)
        assignment_stop(2, "%s: %s wants a whole number of at least %llu, not \"%s\"", a->name,
                        option, least, text);
    return n;
}

/* Reads the options, makes the folder for the results, opens the files and prints the table's head.
   --help prints `about` and the options and ends the program. */
CHART_DEF void assignment_start(assignment *a, int argc, char **argv, const char *name,
                                const char *about)
{
    memset(a, 0, sizeof *a);
    a->name = name;
    a->data = "data";
    a->out = "out";
    a->seeds = 1;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (!strcmp(option, "--help")) {
            printf("%s\n%s\n\n"
                   "  --data DIR  where mnist/ and cifar10/ are (default data; `make data`)\n"
                   "  --out DIR   where results and figures go (default out)\n"
                   "  --seed N    the first seed (default 0)\n"
                   "  --seeds N   runs of what is random, with seeds N, N + 1, ... (default 1)\n"
                   "  --quick     a short run to see that it works\n",
                   name, about);
            exit(0);
        }
        int value = !strcmp(option, "--data") || !strcmp(option, "--out") ||
                    !strcmp(option, "--seed") || !strcmp(option, "--seeds");
        if (!value && strcmp(option, "--quick") != 0)
            assignment_stop(2, "%s: unknown option %s (--help lists them)", name, option);
        if (value && i + 1 == argc) assignment_stop(2, "%s: %s wants a value", name, option);
        if (!strcmp(option, "--data")) a->data = argv[++i];
        else if (!strcmp(option, "--out")) a->out = argv[++i];
        else if (!strcmp(option, "--seed")) a->seed = assignment__number(a, option, argv[++i], 0);
        else if (!strcmp(option, "--quick")) a->quick = 1;
        else {
            unsigned long long n = assignment__number(a, option, argv[++i], 1);
            if (n > 1000) assignment_stop(2, "%s: --seeds is at most 1000, not %llu", name, n);
            a->seeds = (int)n;
        }
    }
    a->started = time(NULL);
    a->results = assignment__open(a, ".csv", "report,task,quantity,reported,mean,sd,seeds,note");
    a->figures = assignment__open(a, ".figures.csv", "file,task,caption");
    printf("%s: %s%s\n", name, about, a->quick ? " QUICK RUN: NO RESULTS." : "");
    printf("%-6s %-5s %-44s %10s %10s %9s\n", "report", "task", "quantity", "reported", "ours",
           "sd");
    fflush(stdout);
}

static void assignment__text(FILE *stream, const char *text, char end)
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

static void assignment__row(assignment *a, const char *report, const char *task,
                            const char *quantity, double reported, const double *values, int count,
                            const char *note, va_list args)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < count; i++) mean += values[i] / count;
    for (int i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
    char text[ASSIGNMENT_TEXT] = "";
    if (note) vsnprintf(text, sizeof text, note, args);
    assignment__text(a->results, report, ',');
    assignment__text(a->results, task, ',');
    assignment__text(a->results, quantity, ',');
    printf("%-6s %-5s %-44s", report, task, quantity);
    assignment__value(a->results, reported == reported, reported);
    assignment__value(a->results, count > 0 && mean == mean, mean);
    assignment__value(a->results, count > 1 && mean == mean, sqrt(squares / (count - 1)));
    fprintf(a->results, "%d,", count);
    assignment__text(a->results, text, '\n');
    printf("%s%s\n", *text ? "\n             " : "", text);
    fflush(stdout);
}

/* One line of the table and of NAME.csv: the mean and the sample deviation (n - 1) of `count` values.
   `quantity` names its unit; `reported` is NAN where the report gives no number; note: as printf, or
   NULL. In the file the texts are quoted and a missing number is empty. */
ASSIGNMENT_PRINTF(8, 9)
static void assignment_result(assignment *a, const char *report, const char *task,
                              const char *quantity, double reported, const double *values,
                              int count, const char *note, ...)
{
    va_list args;
    va_start(args, note);
    assignment__row(a, report, task, quantity, reported, values, count, note, args);
    va_end(args);
}

/* The same for one value, of a run without chance. */
ASSIGNMENT_PRINTF(7, 8)
static void assignment_single(assignment *a, const char *report, const char *task,
                              const char *quantity, double reported, double value,
                              const char *note, ...)
{
    va_list args;
    va_start(args, note);
    assignment__row(a, report, task, quantity, reported, &value, 1, note, args);
    va_end(args);
}

/* Records a figure in the folder of results, with a line on what is to be seen in it. */
CHART_DEF void assignment_figure(assignment *a, const char *file, const char *task,
                                 const char *caption)
{
    assignment__text(a->figures, file, ',');
    assignment__text(a->figures, task, ',');
    assignment__text(a->figures, caption, '\n');
}

typedef const char *(*assignment_draw)(const chart_desc *desc, const char *path);

static void assignment__draw(assignment *a, assignment_draw draw, const chart_desc *desc,
                             const char *file, const char *task, const char *caption, va_list args)
{
    const char *error = draw(desc, assignment_path(a, file));
    if (!chart_ok(error)) exit(1);
    char text[ASSIGNMENT_TEXT];
    vsnprintf(text, sizeof text, caption, args);
    if (!error) assignment_figure(a, file, task, text);
}

/* Draws a figure (chart_line, chart_bars, chart_heatmap, chart_image_grid) into the folder of results
   and records it, unless pictures are skipped. caption: as printf. */
ASSIGNMENT_PRINTF(6, 7)
static void assignment_chart(assignment *a, assignment_draw draw, const chart_desc *desc,
                             const char *file, const char *task, const char *caption, ...)
{
    va_list args;
    va_start(args, caption);
    assignment__draw(a, draw, desc, file, task, caption, args);
    va_end(args);
}

/* A member of a history's checks against the step: assignment_curve("validation", &history,
   &history.checks->validation_loss). */
CHART_DEF chart_series assignment_curve(const char *label, const nn_history *history,
                                        const double *member)
{
    size_t stride = sizeof *history->checks;
    return chart_curve(label, history->check_count, chart_sizes(&history->checks->step, stride),
                       chart_doubles(member, stride));
}

/* Draws and records curves against the training step; y runs from low to high. */
ASSIGNMENT_PRINTF(10, 11)
static void assignment_curves(assignment *a, const chart_series *series, int count,
                              const char *title, const char *y_label, double low, double high,
                              const char *file, const char *task, const char *caption, ...)
{
    chart_desc d;
    memset(&d, 0, sizeof d);
    d.title = title;
    d.x_label = "training step";
    d.y_label = y_label;
    d.series = series;
    d.series_count = count;
    d.y_min = low;
    d.y_max = high;
    va_list args;
    va_start(args, caption);
    assignment__draw(a, chart_line, &d, file, task, caption, args);
    va_end(args);
}

static const char *assignment__data(assignment *a, const char *set)
{
    int n = snprintf(a->path, sizeof a->path, "%s/%s", a->data, set);
    if (n < 0 || (size_t)n >= sizeof a->path)
        assignment_stop(1, "%s: the path %s/%s is too long", a->name, a->data, set);
    return a->path;
}

/* MNIST's first 20,000 training images and its 10,000 test images. The program frees both. */
CHART_DEF void assignment_mnist(assignment *a, nn_dataset *train, nn_dataset *test)
{
    const char *folder = assignment__data(a, "mnist");
    if (nn_load_mnist(folder, &a->all, test) != NN_OK)
        assignment_stop(1, "%s: %s\nMNIST is looked for in %s (--data DIR: DIR/mnist). `make data` "
                           "puts its four files into data/mnist (a download of 11 MB).",
                        a->name, nn_last_error(), folder);
    TRY(nn_dataset_subset(&a->all, 0, 20000, train));
}

/* CIFAR-10: batch 1 trains, batch 2 validates, the test batch tests. The program frees all three. */
CHART_DEF void assignment_cifar10(assignment *a, nn_dataset *train, nn_dataset *validation,
                                  nn_dataset *test)
{
    const char *folder = assignment__data(a, "cifar10");
    if (nn_load_cifar10(folder, 1u << 0, train, test) != NN_OK ||
        nn_load_cifar10(folder, 1u << 1, validation, NULL) != NN_OK)
        assignment_stop(1, "%s: %s\nCIFAR-10 is looked for in %s (--data DIR: DIR/cifar10). `make "
                           "data` puts its six binary files into data/cifar10 (a download of "
                           "170 MB).",
                        a->name, nn_last_error(), folder);
}

/* Closes the files; gives the program's exit status. */
CHART_DEF int assignment_finish(assignment *a)
{
    int failed = ferror(a->results) | ferror(a->figures);
    failed |= fclose(a->results) != 0;
    failed |= fclose(a->figures) != 0;
    if (failed) assignment_stop(1, "%s: cannot write the results in %s", a->name, a->out);
    nn_dataset_free(&a->all);
    printf("%s: %.0f s, results in %s\n", a->name, difftime(time(NULL), a->started), a->out);
    return fflush(stdout) == 0 ? 0 : 1;
}

#endif /* ASSIGNMENT_H */
