/* One network with several targets: price, rent and energy of houses, from a table with names,
   categories and gaps. Prints the errors on rows held out beside those of always saying the mean,
   and writes a picture of predictions against the truth for each target into out/.

   Without --data the table is out/houses.csv, which is invented (tables.h) and written first. With
   a file of your own, options name columns as nn_csv_desc does: "age, 3, -1, first..last".

   cc -O2 examples/regression.c -lm -o regression && ./regression [--data FILE] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "chart.h"
#include "program.h"
#include "tables.h"

/* Targets have units of their own, thousands or hundreds: so that none drowns the others, the
   network learns them with mean 0 and deviation 1 among the rows of training. `units` is a data set
   of them that knows the way back. One fraction and seed split it and the table alike. */
static void split(nn_dataset *table, nn_real *scaled, nn_dataset *units, nn_dataset *train,
                  nn_dataset *test)
{
    const double fraction = 0.7;
    nn_dataset fit, rest;
    need(nn_dataset_from_arrays(table->targets, table->count, table->target_size, NULL, 0, units));
    need(nn_dataset_split(units, fraction, 1, &fit, &rest));
    need(nn_dataset_standardize(&fit, NN_PER_FEATURE));
    need(nn_dataset_normalize_like(units, &fit));
    need(nn_dataset_gather(units, NULL, units->count, scaled));
    need(nn_dataset_set_targets(table, scaled, table->target_size));
    need(nn_dataset_split(table, fraction, 1, train, test));
    need(nn_dataset_standardize(train, NN_PER_FEATURE));
    need(nn_dataset_normalize_like(test, train));
    nn_dataset_free(&fit), nn_dataset_free(&rest);
}

static nn_tensor *train_network(const nn_dataset *train)
{
    nn_net *net = nn_net_create(NULL);
    nn_tensor *hidden = nn_tanh(nn_dense(nn_input(net, train->features), 16));
    nn_tensor *y = nn_dense(hidden, train->target_size);
    nn_train_desc desc = {0};
    desc.epochs = 200, desc.batch_size = 16, desc.optimizer = nn_adamw(0.01, 0.01);
    desc.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    need(nn_train(nn_mse(y), train, &desc, NULL));
    return y;
}

/* What stands k-th in a list with as many names as there are targets; else a number. */
static void name_target(char name[40], const char *list, size_t k, size_t count)
{
    size_t commas = 0;
    for (const char *c = list; *c; c++) commas += *c == ',';
    for (size_t i = 0; commas + 1 == count && i < k; i++) list = strchr(list, ',') + 1;
    snprintf(name, 40, "target %d", (int)k + 1);
    if (commas + 1 == count) sscanf(list, " %39[^,]", name);
}

/* Predictions as points of their own, and the line on which they would be right. */
static void draw(const char *name, size_t rows, const double *truth, const double *said,
                 const char *path)
{
    double *x = (double *)zeros(4 * rows, sizeof *x), *y = x + 2 * rows;
    double low = truth[0], high = truth[0], line[30]; /* of many points: few get markers */
    for (size_t i = 0; i < rows; i++) {
        x[2 * i] = truth[i], y[2 * i] = said[i];
        x[2 * i + 1] = y[2 * i + 1] = NAN; /* a gap before the next */
        low = fmin(low, fmin(truth[i], said[i])), high = fmax(high, fmax(truth[i], said[i]));
    }
    const double margin = 0.04 * (high - low);
    for (int i = 0; i < 30; i++) line[i] = low - margin + (high - low + 2 * margin) * i / 29;
    chart_series s[] = {
        chart_curve(NULL, 2 * rows, chart_doubles(x, 0), chart_doubles(y, 0)),
        chart_curve(NULL, 30, chart_doubles(line, 0), chart_doubles(line, 0))};
    s[1].dash = CHART_DASHED, s[1].color = CHART_BLACK;
    char title[80];
    snprintf(title, sizeof title, "%s: %d rows held out", name, (int)rows);
    chart_desc d = {0};
    d.title = title, d.x_label = "true", d.y_label = "predicted";
    d.width = d.height = 1000;
    d.x_min = d.y_min = line[0], d.x_max = d.y_max = line[29];
    d.series = s, d.series_count = 2;
    if (!chart_ok(chart_line(&d, path))) exit(1);
    free(x);
}

/* Target k back in its own units: its errors are printed, its predictions drawn. */
static void show(const char *name, size_t k, const nn_dataset *units, const nn_dataset *test,
                 const nn_real *predicted, const char *path)
{
    const size_t rows = test->count, targets = test->target_size;
    const double deviation = 1 / (double)units->scale[k];
    const double mean = -(double)units->shift[k] * deviation;
    double *truth = (double *)zeros(2 * rows, sizeof *truth), *said = truth + rows;
    double error = 0, of_mean = 0;
    for (size_t i = 0; i < rows; i++) {
        truth[i] = mean + deviation * (double)test->targets[test->index[i] * targets + k];
        said[i] = mean + deviation * (double)predicted[i * targets + k];
        error += pow(said[i] - truth[i], 2) / (double)rows;
        of_mean += pow(mean - truth[i], 2) / (double)rows;
    }
    printf("%-20.20s %12.4g %12.4g %8.3f\n", name, sqrt(error), sqrt(of_mean),
           1 - error / of_mean);
    draw(name, rows, truth, said, path);
    free(truth);
}

int main(int argc, char **argv)
{
    const char *data = NULL, *out = "out";
    nn_csv_desc csv = {0};
    csv.targets = "-1", csv.missing = "NA";
    csv.fill = NN_MISSING_MEDIAN; /* of the whole table; nn_csv_desc.like fills a second file as
                                     the first was */
    const program_option options[] = {
        {"--data", "FILE", "a table of your own, with columns as follows", &data},
        {"--targets", "COLUMNS", "what is to be predicted (default -1, the last)", &csv.targets},
        {"--ignore", "COLUMNS", "left out", &csv.ignore},
        {"--one-hot", "COLUMNS", "categories", &csv.one_hot},
        {"--missing", "MARKS", "of gaps, beside the empty cell (default NA)", &csv.missing},
        {"--out", "DIR", "where the pictures and houses.csv go (default out)", &out}};
    program_options(argc, argv, "regression", "several targets from a CSV file", 6, options);
    program_folder(out);
    if (!data) {
        tables_houses(data = program_path(out, "houses.csv"));
        csv.ignore = "id", csv.one_hot = "district, heating", csv.targets = "price, rent, energy";
    }
    nn_dataset table, units, train, test;
    need(nn_load_csv(data, &csv, &table));
    const size_t targets = table.target_size;
    nn_real *scaled = (nn_real *)zeros(table.count * targets, sizeof *scaled);
    split(&table, scaled, &units, &train, &test);
    printf("%d rows of %d features from %s: %d for training\n", (int)table.count,
           (int)table.features, data, (int)train.count);

    nn_tensor *y = train_network(&train);
    nn_real *predicted = (nn_real *)zeros(test.count * targets, sizeof *predicted);
    need(nn_predict(y, &test, predicted));
    printf("%-20s %12s %12s %8s\n", "rows held out", "RMS error", "of the mean", "R2");
    for (size_t k = 0; k < targets; k++) {
        char name[40], file[40];
        name_target(name, csv.targets, k, targets);
        snprintf(file, sizeof file, "target%d.png", (int)k + 1);
        show(name, k, &units, &test, predicted, program_path(out, file));
    }
    nn_net_destroy(y->net);
    free(predicted), free(scaled);
    nn_dataset_free(&train), nn_dataset_free(&test), nn_dataset_free(&units);
    return nn_dataset_free(&table), 0;
}
