/* A table with names, categories and gaps becomes a classifier. Five stratified folds give its
   accuracy with a standard deviation, and a confusion matrix over all rows, each judged by the
   network that has not seen it: printed, and as a picture in out/.

   Without --data the table is out/birds.csv, which is invented (tables.h) and written first. With a
   file of your own, options name columns as nn_csv_desc does: "age, 3, -1, first..last".

   cc -O2 examples/csv.c -lm -o csv && ./csv [--data FILE] [--labels COLUMN] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "chart.h"
#include "program.h"
#include "tables.h"

/* Trains a new network on one part. Its accuracy in per cent and its confusions on the other. */
static double judge(nn_dataset *train, nn_dataset *held_out, size_t *confusion)
{
    need(nn_dataset_standardize(train, NN_PER_FEATURE)); /* held_out has no say in it */
    need(nn_dataset_normalize_like(held_out, train));
    nn_net *net = nn_net_create(NULL);
    nn_tensor *hidden = nn_relu(nn_dense(nn_input(net, train->features), 16));
    nn_tensor *logits = nn_dense(hidden, (size_t)train->classes);
    nn_tensor *loss = nn_softmax_cross_entropy(logits);
    nn_train_desc desc = {0};
    desc.epochs = 60, desc.batch_size = 16, desc.optimizer = nn_adamw(0.005, 0.01);
    nn_result result;
    need(nn_train(loss, train, &desc, NULL));
    need(nn_evaluate(loss, held_out, &result));
    need(nn_confusion_matrix(logits, held_out, confusion));
    return nn_net_destroy(net), 100 * result.accuracy;
}

int main(int argc, char **argv)
{
    const char *data = NULL, *out = "out";
    nn_csv_desc csv = {0};
    csv.labels = "-1", csv.missing = "NA", csv.relabel = 1;
    csv.fill = NN_MISSING_MEDIAN; /* of the whole table; nn_csv_desc.like fills a second file as
                                     the first was */
    const program_option options[] = {
        {"--data", "FILE", "a table of your own, with columns as follows", &data},
        {"--labels", "COLUMN", "what is to be predicted (default -1, the last)", &csv.labels},
        {"--ignore", "COLUMNS", "left out", &csv.ignore},
        {"--one-hot", "COLUMNS", "categories", &csv.one_hot},
        {"--missing", "MARKS", "of gaps, beside the empty cell (default NA)", &csv.missing},
        {"--out", "DIR", "where the picture and birds.csv go (default out)", &out}};
    program_options(argc, argv, "csv", "a classifier from a CSV file", 6, options);
    program_folder(out);
    if (!data) {
        tables_birds(data = program_path(out, "birds.csv"));
        csv.ignore = "ring", csv.one_hot = "habitat", csv.labels = "species";
    }
    nn_dataset all, train, held_out;
    need(nn_load_csv(data, &csv, &all));
    printf("%d rows of %d features from %s\n", (int)all.count, (int)all.features, data);

    const size_t cells = (size_t)all.classes * (size_t)all.classes;
    size_t *sum = (size_t *)zeros(2 * cells, sizeof *sum), *one = sum + cells;
    double mean = 0, squares = 0; /* of the accuracies: mean, and squared distances from it */
    for (int k = 0; k < 5; k++) {
        need(nn_dataset_fold(&all, 5, (size_t)k, 1, 1, &train, &held_out));
        double accuracy = judge(&train, &held_out, one), off = accuracy - mean;
        printf("fold %d: %.1f %% of %d right\n", k + 1, accuracy, (int)held_out.count);
        mean += off / (k + 1), squares += off * (accuracy - mean);
        for (size_t i = 0; i < cells; i++) sum[i] += one[i];
        nn_dataset_free(&train), nn_dataset_free(&held_out);
    }
    char title[80];
    snprintf(title, sizeof title, "Accuracy %.1f ± %.1f %% in 5 folds", mean, sqrt(squares / 4));
    tables_confusion(title, sum, all.classes, all.class_names, program_path(out, "confusion.png"));
    return free(sum), nn_dataset_free(&all), 0;
}
