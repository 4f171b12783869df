/* Gathers what the course programs left in a folder: OUT/results.csv, all numbers in one table, and
   OUT/report.html, one page with every task, its settings, figures and numbers, that needs no other
   file; with --more OUT/more_results.csv and OUT/more.html, of the tasks beyond the five reports.
   --check compares the numbers with what they should be and fails where one is not.

   cc -O2 examples/report.c -lm -o report && ./report [--out DIR] [--check] [--help] */
#include "program.h"

#include <math.h>

/* ------------------------------------------------------------------------ the tasks, page order */

/* There are two pages: the five reports, and with --more what comes after them in the courses. */
static const struct { const char *results, *page, *title, *about; } pages[] = {
    {"results.csv", "report.html", "Five course reports, reproduced",
     "Every task of TDT4265 assignments 1 and 2 (reports R1 to R4) and of DD2424 assignment 1 "
     "(R5), computed by the programs in examples/ with nn.h. Where a report gives a number, ours "
     "stands beside it: the mean and the sample deviation over the seeds. A figure shows the run "
     "with the first seed."},
    {"more_results.csv", "more.html", "More of the two courses, reproduced",
     "What comes after the five reports in DD2424 (the bonus of assignment 1, assignments 2 and 3) "
     "and TDT4265 (assignment 3), computed by the programs in examples/ with nn.h. Reported "
     "numbers are those of a course's text (course) or of reports that students have published "
     "(public); ours are the mean and the sample deviation over the seeds. A figure shows the run "
     "with the first seed."}};
static int more; /* which page */

static const struct { int page; const char *id, *title, *settings; } chapters[] = {
    {0, "tdt4265_a1", "TDT4265 assignment 1: logistic and softmax regression (R1, R2)",
     "MNIST, the first 20,000 training images; validation on the 10,000 test images. Pixels scaled "
     "to [-1, 1], a constant 1 as the 785th input, weights start at 0. The last partial batch is "
     "left out; five checks in each epoch, the first after one step."},
    {0, "tdt4265_a2", "TDT4265 assignment 2: a multi-layer network and its tricks (R3, R4)",
     "MNIST, the first 20,000 training images; validation on the 10,000 test images. Pixels less "
     "their mean, divided by their deviation (one of each, from the training images), a constant 1 "
     "as the 785th input, no other biases. Softmax output, batch 32, a shuffle every epoch, at "
     "most 50 epochs with five checks each, early stopping after 50 checks (10 epochs) without a "
     "lower validation loss. The numbers are those of the last weights."},
    {0, "dd2424_a1", "DD2424 assignment 1: one linear layer (R5)",
     "CIFAR-10, batch 1 for training, batch 2 for validation, the test batch for the test. Pixels "
     "divided by 255, then standardised one by one with the mean and deviation of the training "
     "batch. W and b start from N(0, 0.01); the cost is the mean cross-entropy plus lambda times "
     "the sum of the squares of W. Batches of 100 in order, 40 epochs."},
    {1, "dd2424_a1", "DD2424 assignment 1, bonus: one linear layer",
     "CIFAR-10, standardised pixel by pixel; W and b start from N(0, 0.01), the cost is the mean "
     "loss plus lambda times the sum of the squares of W. Batches of 100, 40 epochs, a shuffle "
     "every epoch."},
    {1, "dd2424_a2", "DD2424 assignment 2: two layers and cyclical learning rates",
     "CIFAR-10, standardised pixel by pixel; 3072-50-10 with ReLU, weights from N(0, 1/sqrt(fan "
     "in)), biases 0; the cost is the mean cross-entropy plus lambda times the sum of the squares "
     "of the weights. Batches of 100; eta goes from 1e-5 up to 1e-1 in n_s steps and down in as "
     "many."},
    {1, "dd2424_a3", "DD2424 assignment 3: deeper nets, batch normalisation, patches",
     "Data, cost and rates as in assignment 2; weights from N(0, sqrt(2/fan in)) (He)."},
    {1, "tdt4265_a3", "TDT4265 assignment 3: convolutional nets",
     "CIFAR-10, pixels from 0 to 1, less 0.5, divided by 0.25; 45,000 images for training, 5,000 "
     "for validation, the test set for the test. Two checks in each epoch."}};
enum { CHAPTERS = sizeof chapters / sizeof *chapters };

static const struct { int chapter; const char *name; } programs[] = {
    {0, "tdt4265_a1_task1_gradients"}, {0, "tdt4265_a1_task2_logistic"},
    {0, "tdt4265_a1_task3_softmax"},   {0, "tdt4265_a1_task4_l2"},
    {1, "tdt4265_a2_task1_gradients"}, {1, "tdt4265_a2_task2_mlp"},
    {1, "tdt4265_a2_task3_tricks"},    {1, "tdt4265_a2_task4_topology"},
    {2, "dd2424_a1_gradients"},        {2, "dd2424_a1_linear"},
    {3, "dd2424_a1_bonus"},            {4, "dd2424_a2_cyclical"},
    {4, "dd2424_a2_search"},           {5, "dd2424_a3_batch_norm"},
    {5, "dd2424_a3_patchify"},         {6, "tdt4265_a3_task2_cnn"},
    {6, "tdt4265_a3_task3_better"}};
enum { PROGRAMS = sizeof programs / sizeof *programs };

static int on_page(int chapter) { return chapters[chapter].page == more; }

/* A row or figure belongs to the section that has its task, or else the first word of it, in
   `tasks`. */
static const struct section { int chapter; const char *tasks, *title, *settings; } sections[] = {
    {0, "1a", "1a. The gradient of binary cross-entropy",
     "By hand, against central differences with eps 1e-2 and 1e-3 and against the library's own; "
     "100 images, at w = 0 and at a random w."},
    {0, "1b|3a", "1b, 3a. The gradient of softmax cross-entropy", "As in 1a, ten one-hot classes."},
    {0, "2b", "2b. Logistic regression: loss",
     "2 (target 1) against 3 (target 0), learning rate 0.05, batch 128, no shuffle, at most 500 "
     "epochs, early stopping after 10 checks without a lower validation loss."},
    {0, "2c", "2c. Logistic regression: accuracy", "The same run."},
    {0, "2d", "2d. Early stopping",
     "R2 stops after 10 checks without a lower validation loss; R1's rule is another one."},
    {0, "2e", "2e. Shuffling", "The same with a shuffle before every epoch, for as many epochs."},
    {0, "3b", "3b. Softmax regression: loss",
     "Ten classes, learning rate 0.01, batch 128, a shuffle every epoch, 50 epochs."},
    {0, "3c", "3c. Softmax regression: accuracy", "The same run."},
    {0, "3d", "3d. Overfitting", "The same run."},
    {0, "4a", "4a. The gradient with a penalty",
     "J = C + lambda * sum(w^2), the weight of the constant 1 included."},
    {0, "4b", "4b. The weights as images", "lambda 0 and 1."},
    {0, "4c|4d", "4c, 4d. Validation accuracy under a penalty", "lambda 1, 0.1, 0.01 and 0.001."},
    {0, "4e", "4e. The length of the weights",
     "The L2 norm of the weights against lambda, and its square."},
    {1, "1a|1b", "1a, 1b. Backpropagation",
     "By hand, in matrices: every weight against a central difference with eps 1e-3, 100 images, "
     "weights from U(-1, 1), in double precision."},
    {1, "2c", "2c. The network 785-64-10",
     "64 sigmoids, weights from U(-1, 1), learning rate 0.1."},
    {1, "2d", "2d. The number of parameters", "Counted by the library."},
    {1, "3", "3. The tricks together", "Nets 2c, 3a, 3b and 3c, the first ten epochs."},
    {1, "3a", "3a. Scaled weights", "2c with weights from N(0, 1/sqrt(fan in))."},
    {1, "3b", "3b. The improved sigmoid",
     "3a with 1.7159 tanh(2x/3) in the hidden layer; its derivative checked as in 1b."},
    {1, "3c", "3c. Momentum", "3b with momentum 0.9, learning rate 0.02 (R3: also 0.03)."},
    {1, "4a 4b|4a|4b", "4a, 4b. Fewer and more hidden units",
     "32, 64 and 128 units, with the settings of 3b (R3) and of 3c (R4)."},
    {1, "4c", "4c. Any depth", "As in 1b, for 785-64-64-10 with the improved sigmoid."},
    {1, "4d", "4d. Two hidden layers",
     "59 units in each (R3: as many parameters as one layer of 64) and 32 in each (R4), settings "
     "of 3c."},
    {1, "4e", "4e. Ten hidden layers", "64 units in each, settings of 3c, at most 30 epochs (R3)."},
    {1, "time", "The time it takes", "R4's slowest figure, without and with early stopping."},
    {2, "1", "1. The gradient",
     "Absolute and relative differences from centred and one-sided difference quotients."},
    {2, "exp 1", "Experiment 1", "lambda 0, eta 0.1."},
    {2, "exp 2", "Experiment 2", "lambda 0, eta 0.001."},
    {2, "exp 3", "Experiment 3", "lambda 0.1, eta 0.001."},
    {2, "exp 4", "Experiment 4", "lambda 1, eta 0.001."},
    {2, "exp 1-4", "The weights of all four", "One image of 32 x 32 RGB for each class."},
    {3, "data", "More data",
     "49,000 images of the five batches, mirrored with probability 1/2; lambda 0.01, eta 0.001, "
     "multiplied by 0.1 after every 15 epochs. 1,000 images for validation."},
    {3, "BCE", "Sigmoids and binary cross-entropy",
     "Batch 1; the loss is the mean of ten binary cross-entropies, beside it softmax as in "
     "experiment 2 of assignment 1."},
    {3, "SVM", "The multi-class SVM's loss",
     "Batch 1; the hinge loss with margin 1, in the four experiments of assignment 1."},
    {4, "figure 3", "Exercise 3. One cycle",
     "Batch 1 for training, batch 2 for validation; n_s 500, lambda 0.01."},
    {4, "figure 4", "Exercise 4. Three cycles", "The same with n_s 800."},
    {4, "coarse", "Exercise 5. A coarse search for lambda",
     "45,000 images, 5,000 for validation; two cycles with n_s 900, eight values from 1e-5 to 0.1. "
     "The best accuracy at the end of any epoch counts."},
    {4, "fine", "Exercise 5. A fine search",
     "Six values about the best one, three cycles. Reported for the best: 52.4 to 52.9."},
    {4, "final", "Exercise 5. The best lambda on more data",
     "49,000 images, 1,000 for validation; three cycles with n_s 1,960."},
    {5, "3 layers", "Until 2024: three layers, without and with batch normalisation",
     "Hidden layers of 50 and 50 units; 45,000 images, 5,000 for validation; two cycles with n_s "
     "2,250, lambda 0.005. Batch normalisation before each ReLU, its averages kept at 0.9 in each "
     "step, variances over n."},
    {5, "9 layers", "Until 2024: nine layers", "Hidden layers of 50, 30, 20, 20, 10, 10, 10 and 10."},
    {5, "sigma", "Until 2024: what the initial weights do",
     "Three layers with weights from N(0, σ) in each. Reported: with a small σ only the nets with "
     "batch normalisation learn."},
    {5, "short", "Since 2025: patches of f x f pixels",
     "A convolution of f x f with stride f and n_f filters, ReLU, 50 hidden units, ReLU, 10 "
     "outputs; 49,000 images; three cycles with n_s 800, lambda 0.003."},
    {5, "long", "Since 2025: longer cycles", "n_s 800, 1,600 and 3,200."},
    {5, "wide", "Since 2025: 300 hidden units, smoothed labels",
     "f 4, n_f 40; four cycles, n_s from 800 to 6,400, lambda 0.0025. Smoothed: the target of the "
     "right class is 0.9, of each other 0.1 / 9."},
    {6, "2", "2. The course's net",
     "Three convolutions of 5 x 5 with 32, 64 and 128 filters, each with ReLU and a maximum of 2 x "
     "2, 64 units with ReLU, 10 outputs; SGD, eta 0.05, batch 64, at most 10 epochs. Stops when "
     "of the last four validation losses the first is the least; the best weights count."},
    {6, "3", "3. Two better nets",
     "Convolutions of 3 x 3 with batch normalisation and ReLU, in groups of 32, 64 and 128 "
     "filters with a maximum of 2 x 2 after each; one in a group, or one, two and two. AdamW with "
     "a rate that rises to 0.005 and falls to 0, batch 128, images flipped and moved by up to two "
     "pixels."}};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* ------------------------------------------------------------------------------- what must hold */

static const struct {
    const char *program, *report, *task, *quantity;
    double low, high;
} bands[] = {
    /* deterministic */
    {"tdt4265_a1_task2_logistic", "R2", "2d", "epoch of the stop, counted from 0", 33, 33},
    {"tdt4265_a1_task2_logistic", "R1", "2d", "epochs begun at the stop", 4, 4},
    {"tdt4265_a1_task2_logistic", "R2", "2d", "training accuracy, %", 97.5, 97.6},
    {"tdt4265_a1_task2_logistic", "R2", "2d", "validation accuracy, %", 97.9, 98},
    {"tdt4265_a2_task2_mlp", "R3", "2d", "parameters of 785-64-10", 50880, 50880},
    {"tdt4265_a2_task2_mlp", "R4", "2d", "parameters with biases", 50890, 50890},
    {"tdt4265_a2_task4_topology", "R3", "4d", "parameters, two layers of 59", 50386, 50386},
    {"tdt4265_a2_task4_topology", "R4", "4d", "parameters, two layers of 32", 26464, 26464},
    /* one run or the mean of several */
    {"tdt4265_a1_task3_softmax", "R2", "3c", "training accuracy, %", 92.1, 92.5},
    {"tdt4265_a1_task3_softmax", "R2", "3c", "validation accuracy, %", 91.4, 91.8},
    {"tdt4265_a2_task2_mlp", "R3 R4", "2c", "base net: validation accuracy, %", 91, 93},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3a",
     "validation accuracy, points: 3a scaled weights - 2c base", 3, 5},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3a",
     "epochs to 90 %: 3a scaled weights - 2c base", -20, -3},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3b",
     "validation accuracy, points: 3b improved sigmoid - 3a scaled weights", 0, 1.5},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3b",
     "epochs to 90 %: 3b improved sigmoid - 3a scaled weights", -2, 0},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3c", "3c momentum: validation accuracy, %", 95.8, 96.8},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3c", "training loss: 3c momentum - 3b improved sigmoid",
     -0.01, 0.001},
    {"tdt4265_a2_task3_tricks", "R3 R4", "3c",
     "validation accuracy, points: 3c momentum - 3b improved sigmoid", -0.8, 0.4},
    {"tdt4265_a2_task4_topology", "R4", "4a",
     "validation accuracy, points: 32 units, 3c - 64 units, 3c", -2.5, -0.5},
    {"tdt4265_a2_task4_topology", "R4", "4b",
     "validation accuracy, points: 128 units, 3c - 64 units, 3c", 0.1, 1.5},
    {"tdt4265_a2_task4_topology", "R3", "4d",
     "validation accuracy, points: 2 layers of 59 - 64 units, 3c", -0.5, 0.8},
    {"tdt4265_a2_task4_topology", "R4", "4d",
     "validation accuracy, points: 2 layers of 32 - 64 units, 3c", -3.5, -0.5},
    {"tdt4265_a2_task4_topology", "R3", "4e",
     "validation accuracy, points: 10 layers of 64 - 64 units, 3c", -4, -0.5},
    {"dd2424_a1_linear", "R5", "exp 1", "test accuracy, %", 24, 32},
    {"dd2424_a1_linear", "R5", "exp 2", "test accuracy, %", 38, 40},
    {"dd2424_a1_linear", "R5", "exp 3", "test accuracy, %", 38.5, 40.5},
    {"dd2424_a1_linear", "R5", "exp 4", "test accuracy, %", 36.5, 38.5},
    /* beyond the reports: reported ranges, 0.7 wider at both ends for copies of the data that have
       gone through JPEG. Of single reported numbers within 1, and the same 0.7. */
    {"dd2424_a1_bonus", "public", "data", "49,000 images, flips, decay: test accuracy, %", 40.3,
     41.95},
    {"dd2424_a1_bonus", "public", "BCE", "BCE, λ 0, η 0.01: test accuracy, %", 36.6, 39},
    {"dd2424_a2_cyclical", "course", "figure 3", "test accuracy, %", 44.3, 48.3},
    {"dd2424_a2_cyclical", "course", "figure 4", "test accuracy, %", 45.5, 49.6},
    {"dd2424_a2_search", "public", "coarse", "lambda 1e-05: best validation accuracy, %", 49.04,
     52.44},
    {"dd2424_a2_search", "public", "coarse", "lambda 3.73e-05: best validation accuracy, %", 48.98,
     52.38},
    {"dd2424_a2_search", "public", "coarse", "lambda 0.000139: best validation accuracy, %", 49.54,
     52.94},
    {"dd2424_a2_search", "public", "coarse", "lambda 0.000518: best validation accuracy, %", 50.2,
     53.6},
    {"dd2424_a2_search", "public", "coarse", "lambda 0.00193: best validation accuracy, %", 49.44,
     52.84},
    {"dd2424_a2_search", "public", "coarse", "lambda 0.0072: best validation accuracy, %", 49.28,
     52.68},
    {"dd2424_a2_search", "public", "coarse", "lambda 0.0268: best validation accuracy, %", 46.08,
     49.48},
    {"dd2424_a2_search", "public", "coarse", "lambda 0.1: best validation accuracy, %", 36.56,
     39.96},
    {"dd2424_a2_search", "public", "final", "test accuracy, %", 50.7, 55.2},
    {"dd2424_a3_batch_norm", "public", "3 layers", "3 layers: test accuracy, %", 50.7, 54.7},
    {"dd2424_a3_batch_norm", "public", "3 layers", "3 layers, BN: test accuracy, %", 50.7, 54.7},
    {"dd2424_a3_batch_norm", "public", "9 layers", "9 layers: gain by batch normalisation, points",
     2, 20},
    {"dd2424_a3_batch_norm", "public", "sigma", "σ 0.0001: test accuracy, %", 9.9, 10.1},
    {"dd2424_a3_batch_norm", "public", "sigma", "σ 0.0001, BN: test accuracy, %", 48, 56},
    {"dd2424_a3_patchify", "public", "short", "f 2, n_f 3: test accuracy, %", 49.8, 53.2},
    {"dd2424_a3_patchify", "course", "short", "f 4, n_f 10: test accuracy, %", 55.2, 58.3},
    {"dd2424_a3_patchify", "public", "short", "f 8, n_f 40: test accuracy, %", 55.9, 59.3},
    {"dd2424_a3_patchify", "public", "short", "f 16, n_f 160: test accuracy, %", 55.3, 58.7},
    {"dd2424_a3_patchify", "public", "long", "f 8, n_f 40, long: test accuracy, %", 58.7, 62.1},
    {"dd2424_a3_patchify", "public", "long", "f 4, n_f 40, long: test accuracy, %", 61.8, 65.2},
    {"dd2424_a3_patchify", "public", "wide", "n_h 300: test accuracy, %", 64.3, 67.7},
    {"tdt4265_a3_task2_cnn", "public", "2", "course net: test accuracy, %", 65.3, 73.7},
    {"tdt4265_a3_task3_better", "public", "3", "net 1: test accuracy, %", 75, 85},
    {"tdt4265_a3_task3_better", "public", "3", "net 2: test accuracy, %", 80, 90}};

/* ------------------------------------------------------------------------------- files and CSV */

enum { REPORT, TASK, QUANTITY, REPORTED, MEAN, SD, SEEDS, NOTE, COLUMNS };
enum { FIGURE_FILE, /* TASK, */ CAPTION = TASK + 1, FIGURE_COLUMNS };
static const char results_head[] = "report,task,quantity,reported,mean,sd,seeds,note";

typedef struct line {
    const char *cell[COLUMNS];
    int program, section; /* SECTIONS: none has its task */
    int shown;            /* on the page, in a table of its own kind */
} line;

typedef struct table {
    line *lines;
    size_t count;
    char *text[PROGRAMS]; /* what the cells point into */
} table;

static const char *out = "out";

static const char *in_out(const char *file, const char *suffix)
{
    char name[PROGRAM_PATH];
    snprintf(name, sizeof name, "%s%s", file, suffix);
    return program_path(out, name);
}

/* The whole file and a 0 behind it; NULL when there is none. */
static char *slurp(const char *path, size_t *size)
{
    size_t room = 1 << 16, used = 0, got;
    FILE *f = fopen(path, "rb");
    if (!f && errno == ENOENT) return NULL;
    if (!f) program_stop(1, "cannot open %s: %s", path, strerror(errno));
    char *bytes = (char *)malloc(room);
    while (bytes && (got = fread(bytes + used, 1, room - 1 - used, f)) > 0) {
        used += got;
        if (used == room - 1) bytes = (char *)realloc(bytes, room *= 2);
    }
    if (!bytes) program_stop(1, "out of memory for %s", path);
    if (ferror(f)) program_stop(1, "cannot read %s", path);
    fclose(f);
    bytes[used] = 0;
    *size = used;
    return bytes;
}

/* Cuts a field out of CSV text, in place. *end becomes what stood behind it: ',', '\n' or 0. */
static char *field(char **at, char *end, const char *path, size_t number)
{
    char *from = *at, *to = from, *start = from;
    if (*from == '"') {
        for (from++; *from != '"' || from[1] == '"'; *to++ = *from++) {
            if (*from == '"') from++;
            if (!*from)
                program_stop(1, "%s:%lu: a quote is not closed", path, (unsigned long)number);
        }
        from++;
    } else
        while (*from && *from != ',' && *from != '\n' && *from != '\r') *to++ = *from++;
    if (*from == '\r') from++;
    *end = *from;
    if (*end && *end != ',' && *end != '\n')
        program_stop(1, "%s:%lu: text behind a closing quote", path, (unsigned long)number);
    *at = from + (*end != 0);
    *to = 0;
    return start;
}

static int section_of(int program, const char *task)
{
    for (int words = 0; words < 2; words++) { /* the whole task, then its first word */
        size_t length = words ? strcspn(task, " ") : strlen(task);
        for (int s = 0; s < SECTIONS; s++) {
            const char *name = sections[s].tasks;
            if (sections[s].chapter != programs[program].chapter) continue;
            for (;; name += strcspn(name, "|") + 1) {
                if (strcspn(name, "|") == length && !strncmp(name, task, length)) return s;
                if (!name[strcspn(name, "|")]) break;
            }
        }
    }
    return SECTIONS;
}

/* The lines of OUT/PROGRAM + suffix; nothing when the program has not been run. */
static void read_table(table *t, int program, const char *suffix, const char *head, int columns)
{
    const char *path = in_out(programs[program].name, suffix);
    size_t size, number = 1, room = t->count;
    char *at = t->text[program] = slurp(path, &size), end = 0;
    if (!at) return;
    if (strlen(at) != size) program_stop(1, "%s holds a 0 byte", path);
    if (strncmp(at, head, strlen(head)) != 0 || (at += strlen(head), *at != '\n' && *at != '\r'))
        program_stop(1, "%s: the first line is not %s", path, head);
    at += *at == '\r' ? 2 : 1;
    while (number++, *at) {
        if (t->count == room) {
            t->lines = (line *)realloc(t->lines, (room = 2 * room + 16) * sizeof *t->lines);
            if (!t->lines) program_stop(1, "out of memory");
        }
        line *l = &t->lines[t->count++];
        memset(l, 0, sizeof *l);
        for (int c = 0; c < columns; c++) {
            l->cell[c] = field(&at, &end, path, number);
            if ((c < columns - 1) != (end == ','))
                program_stop(1, "%s:%lu: %d fields expected", path, (unsigned long)number, columns);
            if (columns != COLUMNS || c < REPORTED || c > SEEDS) continue;
            char *rest;
            strtod(l->cell[c], &rest);
            if (*rest)
                program_stop(1, "%s:%lu: \"%s\" is not a number", path, (unsigned long)number,
                             l->cell[c]);
        }
        l->program = program;
        l->section = section_of(program, l->cell[1]); /* the task, in either file */
        if (l->section == SECTIONS)
            fprintf(stderr, "report: %s:%lu: the task is in no section of the page\n", path,
                    (unsigned long)number);
    }
}

/* A file is written under another name first: what stops half-way leaves no half of a page. */
static FILE *create(const char *file)
{
    const char *path = in_out(file, ".part");
    FILE *f = fopen(path, "wb");
    if (!f) program_stop(1, "cannot write %s: %s", path, strerror(errno));
    return f;
}

static void finish(FILE *f, const char *file)
{
    char part[PROGRAM_PATH];
    int failed = ferror(f);
    failed |= fclose(f) != 0;
    strcpy(part, in_out(file, ".part"));
    if (!failed) {
        remove(in_out(file, "")); /* Windows does not rename to a name in use */
        failed = rename(part, in_out(file, "")) != 0;
    }
    if (failed) program_stop(1, "cannot write %s", in_out(file, ""));
}

static void write_results(const table *t)
{
    FILE *f = create(pages[more].results);
    fprintf(f, "%s\n", results_head);
    for (size_t i = 0; i < t->count; i++)
        for (int c = 0; c < COLUMNS; c++) {
            int quoted = c < REPORTED || c == NOTE;
            if (quoted) fputc('"', f);
            for (const char *s = t->lines[i].cell[c]; *s; s++) {
                if (*s == '"') fputc('"', f);
                fputc(*s, f);
            }
            fputs(c < NOTE ? quoted ? "\"," : "," : "\"\n", f);
        }
    finish(f, pages[more].results);
}

/* ------------------------------------------------------------------------------------- the page */

static const char style[] =
    ":root{color-scheme:light}"
    "body{margin:0 auto;max-width:84rem;padding:0 1.2rem 3rem;color:#222;background:#fff;"
    "font:1rem/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;"
    "overflow-wrap:break-word}"
    "h1{font-size:1.8rem;line-height:1.2;margin:1.5rem 0 .5rem}"
    "h2{font-size:1.4rem;line-height:1.25;margin:3rem 0 .5rem;padding-top:.6rem;"
    "border-top:2px solid #0072b2}"
    "h3{font-size:1.1rem;margin:2rem 0 .3rem}"
    "p{max-width:50rem;margin:.4rem 0}a{color:#005a8d}"
    "nav ul{list-style:none;margin:.2rem 0 .8rem;padding:0;columns:18rem}"
    "nav li{padding:.15rem 0;break-inside:avoid}"
    ".settings{color:#444}.missing{color:#a33b00}"
    "table{border-collapse:collapse;table-layout:fixed;width:100%;margin:.8rem 0;font-size:.9rem}"
    "th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ddd}"
    "th{border-bottom:1px solid #888}"
    "th.report{width:5%}th.note{width:29%}th.reported{width:8%}th.ours{width:13%}"
    "th.seeds{width:5%}.nets th.report{width:7%}.nets th.what{width:20%}.nets th.seeds{width:6%}"
    ".nets th::first-letter{text-transform:uppercase}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}"
    "td.note,td.report{color:#444}"
    ".figures{display:grid;gap:1rem 1.5rem;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr))}"
    "figure{margin:.4rem 0;max-width:48rem;cursor:zoom-in}"
    "figure:focus{grid-column:1/-1;max-width:none;cursor:auto;outline:2px solid #0072b2;"
    "outline-offset:4px}"
    "img{display:block;width:100%;height:auto}"
    "figcaption{font-size:.9rem;margin:.3rem 0}"
    "@media(max-width:45rem){body{padding:0 .8rem 2rem}h1{font-size:1.5rem}h2{font-size:1.25rem}"
    "nav li{padding:.35rem 0}thead{display:none}table,tbody{display:block}"
    "tr{display:flex;flex-wrap:wrap;gap:.1rem 1.4rem;padding:.4rem 0;"
    "border-bottom:1px solid #ddd}"
    "figure:focus{overflow-x:auto}figure:focus img{width:60rem}"
    "td{border:0;padding:0}td.what,td.note{flex:1 0 100%}"
    "td.what{order:-1;font-weight:600}td.report{order:1}td.note{order:2}"
    "td.note:empty,.none{display:none}"
    ".n{text-align:left}"
    "[data-of]::before{content:attr(data-of);display:block;font-size:.75rem;color:#555}}"
    "@media print{@page{margin:16mm}body{max-width:none;padding:0;font-size:10pt}"
    "h2{break-before:page;margin-top:0}h2,h3,.settings{break-after:avoid}"
    "figure,tr{break-inside:avoid}thead{display:table-header-group}table{font-size:8.5pt}"
    "th.note{width:27%}th.ours{width:15%}th.report{width:7%}th.reported{width:10%}"
    "th.seeds,.nets th.seeds{width:7%}.nets th{font-size:7.5pt}.nets th.what{width:17%}"
    "th,td{padding:.2rem .6rem .2rem 0}"
    ".figures{display:block}figure{width:125mm;margin:3mm 0}"
    "a{color:inherit;text-decoration:none}.screen{display:none}}";

static void html(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '&') fputs("&amp;", f);
        else if (*text == '<') fputs("&lt;", f);
        else if (*text == '>') fputs("&gt;", f);
        else if (*text == '"') fputs("&quot;", f);
        else fputc(*text, f);
    }
}

static void base64(FILE *f, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned v = (unsigned)bytes[i] << 16;
        if (i + 1 < size) v |= (unsigned)bytes[i + 1] << 8;
        if (i + 2 < size) v |= bytes[i + 2];
        fputc(digits[v >> 18], f);
        fputc(digits[v >> 12 & 63], f);
        fputc(i + 1 < size ? digits[v >> 6 & 63] : '=', f);
        fputc(i + 2 < size ? digits[v & 63] : '=', f);
    }
}

static unsigned long big_endian(const unsigned char *b)
{
    return (unsigned long)b[0] << 24 | (unsigned long)b[1] << 16 | (unsigned long)b[2] << 8 | b[3];
}

static void figure(FILE *f, const line *l)
{
    static const unsigned char png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    const char *path = in_out(l->cell[FIGURE_FILE], "");
    size_t size;
    unsigned char *bytes = (unsigned char *)slurp(path, &size);
    if (!bytes) program_stop(1, "%s, a figure of %s, is missing", path,
                             programs[l->program].name);
    if (size < 24 || memcmp(bytes, png, sizeof png) != 0)
        program_stop(1, "%s is no PNG picture", path);
    fprintf(f, "<figure tabindex=\"0\"><img width=\"%lu\" height=\"%lu\" alt=\"",
            big_endian(bytes + 16), big_endian(bytes + 20));
    html(f, l->cell[CAPTION]);
    fputs("\" src=\"data:image/png;base64,", f);
    base64(f, bytes, size);
    fputs("\">\n<figcaption>", f);
    html(f, l->cell[CAPTION]);
    fputs("</figcaption></figure>\n", f);
    free(bytes);
}

/* The mean to two digits of its deviation, or to five digits; less of what is tiny. */
static void ours(FILE *f, const line *l)
{
    double mean = atof(l->cell[MEAN]), sd = atof(l->cell[SD]);
    int decimals = sd > 0 ? 1 - (int)floor(log10(sd)) : 0;
    decimals = decimals < 0 ? 0 : decimals > 4 ? 4 : decimals;
    if (!*l->cell[MEAN]) fputs("never", f);
    else if (mean == floor(mean) && fabs(mean) < 1e15 && !(sd > 0)) fprintf(f, "%.0f", mean);
    else if (fabs(mean) < 1e-3) {
        fprintf(f, "%.2g", mean);
        if (sd > 0) fprintf(f, " ± %.1g", sd);
    } else if (sd > 0) fprintf(f, "%.*f ± %.*f", decimals, mean, decimals, sd);
    else fprintf(f, "%.5g", mean);
}

/* What stands before the colon in "net: measure", when the row has nothing but a number; 0: no. */
static size_t net_of(const line *l)
{
    const char *colon = strstr(l->cell[QUANTITY], ": ");
    int bare = !*l->cell[REPORTED] && !*l->cell[NOTE];
    return colon && bare ? (size_t)(colon - l->cell[QUANTITY]) : 0;
}

/* How many rows from line i on are measures of one net. */
static size_t measures(const table *t, size_t i)
{
    const line *first = &t->lines[i];
    size_t n = 0, net = net_of(first);
    for (; net && i + n < t->count; n++) {
        const line *l = first + n;
        if (l->section != first->section || net_of(l) != net ||
            strncmp(l->cell[QUANTITY], first->cell[QUANTITY], net) != 0)
            break;
    }
    return n;
}

/* The nets of a section that have several measures, one net a row. */
static void nets(FILE *f, const table *t, int section)
{
    size_t columns = 0;
    for (size_t i = 0, n; i < t->count; i += n ? n : 1) {
        line *l = &t->lines[i];
        size_t net = net_of(l);
        n = measures(t, i);
        if (l->section != section || n < 3 || (columns && n != columns)) continue;
        if (!columns) {
            fputs("<table class=\"nets\"><thead><tr><th class=\"report\">Report"
                  "<th class=\"what\">Net", f);
            for (size_t k = 0; k < n; k++) {
                fputs("<th class=\"n\">", f);
                html(f, l[k].cell[QUANTITY] + net + 2);
            }
            fputs("<th class=\"n seeds\">Seeds</thead><tbody>\n", f);
            columns = n;
        }
        fputs("<tr><td class=\"report\" data-of=\"report\">", f);
        html(f, l->cell[REPORT]);
        fprintf(f, "<td class=\"what\">%.*s", (int)net, l->cell[QUANTITY]);
        for (size_t k = 0; k < n; k++) {
            fputs("<td class=\"n\" data-of=\"", f);
            html(f, l[k].cell[QUANTITY] + net + 2);
            fputs("\">", f);
            ours(f, &l[k]);
            l[k].shown = 1;
        }
        fprintf(f, "<td class=\"n\" data-of=\"seeds\">%s\n", l->cell[SEEDS]);
    }
    if (columns) fputs("</tbody></table>\n", f);
}

/* Which rows a table takes: a section's, those of a chapter with a reported number, or times. */
enum { REPORTED_NUMBERS = SECTIONS, WALL_TIMES };

static int belongs(const line *l, int which, int chapter)
{
    int timed = strstr(l->cell[QUANTITY], "seconds") != NULL;
    if (which < SECTIONS) return l->section == which && !l->shown;
    if (which == WALL_TIMES) return timed;
    return *l->cell[REPORTED] && !timed && programs[l->program].chapter == chapter;
}

static void rows(FILE *f, const table *t, int which, int chapter)
{
    int count = 0, reported = 0, noted = 0;
    for (size_t i = 0; i < t->count; i++) {
        const line *l = &t->lines[i];
        if (!belongs(l, which, chapter)) continue;
        count++;
        reported |= *l->cell[REPORTED] != 0 || which == WALL_TIMES;
        noted |= *l->cell[NOTE] != 0;
    }
    if (!count) return;
    fprintf(f, "<table><thead><tr><th class=\"report\">Report<th>Quantity%s"
               "<th class=\"n ours\">Ours<th class=\"n seeds\">Seeds%s</thead><tbody>\n",
            reported ? "<th class=\"n reported\">Reported" : "",
            noted ? "<th class=\"note\">Note" : "");
    for (size_t i = 0; i < t->count; i++) {
        const line *l = &t->lines[i];
        const char *missing = which == WALL_TIMES ? "not finished" : "–";
        if (!belongs(l, which, chapter)) continue;
        fputs("<tr><td class=\"report\" data-of=\"report\">", f);
        html(f, l->cell[REPORT]);
        fputs("<td class=\"what\">", f);
        if (which >= SECTIONS) {
            html(f, l->cell[TASK]);
            fputs(": ", f);
        }
        html(f, l->cell[QUANTITY]);
        if (reported)
            fprintf(f, "<td class=\"n%s\" data-of=\"reported\">%s",
                    *l->cell[REPORTED] || which == WALL_TIMES ? "" : " none",
                    *l->cell[REPORTED] ? l->cell[REPORTED] : missing);
        fputs("<td class=\"n\" data-of=\"ours\">", f);
        ours(f, l);
        fprintf(f, "<td class=\"n\" data-of=\"seeds\">%s", l->cell[SEEDS]);
        if (noted) fputs("<td class=\"note\">", f);
        html(f, l->cell[NOTE]);
        fputs("\n", f);
    }
    fputs("</tbody></table>\n", f);
}

static void write_page(const table *results, const table *figures)
{
    FILE *f = create(pages[more].page);
    fprintf(f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<title>%s</title>\n<style>%s</style>\n</head>\n"
            "<body>\n"
            "<h1>%s</h1>\n"
            "<p>%s<span class=\"screen\"> Select a figure to enlarge it.</span></p>\n"
            "<nav aria-label=\"Contents\">\n<h3>Contents</h3>\n"
            "<p><a href=\"#numbers\">The reported numbers and ours%s</a></p>\n",
            pages[more].title, style, pages[more].title, pages[more].about,
            more ? "" : ", wall times");
    for (int c = 0; c < CHAPTERS; c++) {
        if (!on_page(c)) continue;
        fprintf(f, "<p><a href=\"#%s\">", chapters[c].id);
        html(f, chapters[c].title);
        fputs("</a></p>\n<ul>\n", f);
        for (int s = 0; s < SECTIONS; s++)
            if (sections[s].chapter == c)
                fprintf(f, "<li><a href=\"#s%d\">%s</a>\n", s, sections[s].title);
        fputs("</ul>\n", f);
    }
    fputs("</nav>\n<h2 id=\"numbers\">The reported numbers and ours</h2>\n", f);
    for (int c = 0; c < CHAPTERS; c++) {
        if (!on_page(c)) continue;
        fprintf(f, "<h3>%s</h3>\n", chapters[c].title);
        rows(f, results, REPORTED_NUMBERS, c);
    }
    if (!more) {
        fputs("<h3>Wall time</h3>\n<p class=\"settings\">R1 gave up its task 4c; R4 gives the time "
              "of its slowest figure, without and with early stopping.</p>\n", f);
        rows(f, results, WALL_TIMES, 0);
    }
    for (int s = 0; s < SECTIONS; s++) {
        int c = sections[s].chapter, drawn = 0;
        if (!on_page(c)) continue;
        if (!s || sections[s - 1].chapter != c) {
            fprintf(f, "<h2 id=\"%s\">%s</h2>\n<p class=\"settings\">", chapters[c].id,
                    chapters[c].title);
            html(f, chapters[c].settings);
            fputs("</p>\n", f);
            for (int p = 0; p < PROGRAMS; p++)
                if (!results->text[p] && programs[p].chapter == c)
                    fprintf(f, "<p class=\"missing\">%s has not been run.</p>\n",
                            programs[p].name);
        }
        fprintf(f, "<h3 id=\"s%d\">%s</h3>\n<p class=\"settings\">", s, sections[s].title);
        html(f, sections[s].settings);
        fputs("</p>\n", f);
        nets(f, results, s);
        rows(f, results, s, c);
        for (size_t i = 0; i < figures->count; i++)
            if (figures->lines[i].section == s) {
                if (!drawn++) fputs("<div class=\"figures\">\n", f);
                figure(f, &figures->lines[i]);
            }
        if (drawn) fputs("</div>\n", f);
    }
    fputs("</body>\n</html>\n", f);
    finish(f, pages[more].page);
}

/* --------------------------------------------------------------------------------------- checks */

static int program_of(const char *name)
{
    int p = 0;
    while (strcmp(programs[p].name, name) != 0) p++;
    return p;
}

/* 1 when every number is where it should be, every program has run and none found a failure. */
static int check(const table *t)
{
    int failures = 0;
    for (size_t b = 0; b < sizeof bands / sizeof *bands; b++) {
        const line *found = NULL;
        int program = program_of(bands[b].program);
        if (!on_page(programs[program].chapter)) continue;
        for (size_t i = 0; i < t->count && !found; i++) {
            const line *l = &t->lines[i];
            if (l->program == program && !strcmp(l->cell[REPORT], bands[b].report) &&
                !strcmp(l->cell[TASK], bands[b].task) &&
                !strcmp(l->cell[QUANTITY], bands[b].quantity))
                found = l;
        }
        double v = found && *found->cell[MEAN] ? atof(found->cell[MEAN]) : NAN;
        int well = v >= bands[b].low && v <= bands[b].high;
        failures += !well;
        printf("%-5s %s, %s: %s: ", well ? "ok" : "FAIL", bands[b].program, bands[b].task,
               bands[b].quantity);
        if (found) printf("%g", v);
        else printf("missing");
        printf(", expected %g to %g\n", bands[b].low, bands[b].high);
    }
    for (size_t i = 0; i < t->count; i++)
        if (t->lines[i].section == SECTIONS || !strncmp(t->lines[i].cell[NOTE], "FAILS", 5)) {
            failures++;
            printf("FAIL  %s, %s: %s\n", programs[t->lines[i].program].name,
                   t->lines[i].cell[QUANTITY], t->lines[i].cell[NOTE]);
        }
    for (int p = 0; p < PROGRAMS; p++)
        if (on_page(programs[p].chapter) && !t->text[p]) {
            failures++;
            printf("FAIL  %s has not been run\n", programs[p].name);
        }
    printf("%d failures\n", failures);
    return !failures;
}

int main(int argc, char **argv)
{
    static table results, figures;
    const char *checking = NULL, *further = NULL;
    const program_option options[] = {
        {"--out", "DIR", "the folder of what they wrote (default out)", &out},
        {"--more", NULL, "the tasks beyond the five reports", &further},
        {"--check", NULL, "fail unless the numbers are where they should be", &checking}};
    program_options(argc, argv, "report", "results.csv and report.html from the course programs", 3,
                    options);
    more = further != NULL;
    for (int p = 0; p < PROGRAMS; p++) {
        if (!on_page(programs[p].chapter)) continue;
        read_table(&results, p, ".csv", results_head, COLUMNS);
        read_table(&figures, p, ".figures.csv", "file,task,caption", FIGURE_COLUMNS);
    }
    if (!results.count)
        program_stop(1, "no results in %s: run the programs first (tdt4265_*, dd2424_*), with "
                        "--out %s", out, out);
    write_results(&results);
    write_page(&results, &figures);
    printf("%s/%s (%lu rows) and %s/%s (%lu figures)\n", out, pages[more].results,
           (unsigned long)results.count, out, pages[more].page, (unsigned long)figures.count);
    int well = !checking || check(&results);
    for (int p = 0; p < PROGRAMS; p++) {
        free(results.text[p]);
        free(figures.text[p]);
    }
    free(results.lines);
    free(figures.lines);
    if (fflush(stdout) != 0) program_stop(1, "cannot write to standard output");
    return well ? 0 : 1;
}
