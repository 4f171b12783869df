/*  images.h - what the examples on images have in common: MNIST or the embedded digits, and pictures
    of filters and of mistakes.

    Include it after nn.h, chart.h, digits.h and program.h. What fails ends the program with a
    message. */
#ifndef IMAGES_H
#define IMAGES_H

/* For calls that have to succeed. */
PROGRAM_DEF void need(nn_status status)
{
    if (status != NN_OK) program_stop(1, "%s", nn_last_error());
}

/* Memory for so many numbers, all 0. */
PROGRAM_DEF nn_real *images_reals(size_t count)
{
    nn_real *block = (nn_real *)calloc(count, sizeof *block);
    if (!block) program_stop(1, "out of memory");
    return block;
}

/* MNIST from DATA/mnist. When no folder was asked for and data/mnist is not there: the digits in
   digits.h, a fifth of them for testing. */
PROGRAM_DEF void images_load_digits(const char *data, nn_dataset *train, nn_dataset *test)
{
    static nn_dataset all; /* its samples are shared */
    const char *folder = program_path(data ? data : "data", "mnist");
    if (nn_load_mnist(folder, train, test) == NN_OK) return;
    if (data) program_no_data(nn_last_error(), "MNIST", folder);
    printf("no MNIST in data/mnist (`make data`): the 1,797 digits of 8 x 8 in digits.h instead\n");
    need(digits_load(&all));
    need(nn_dataset_split_stratified(&all, 0.8, 1, train, test));
}

/* The filters of a convolution [height, width, channels, filters] as small images; of 3 channels in
   colour, of others the first channel. */
PROGRAM_DEF void images_filters(const char *title, const nn_tensor *weight, const char *path)
{
    const size_t *s = weight->shape, pixels = s[0] * s[1], planes = s[2] == 3 ? 3 : 1;
    nn_real *values = images_reals(s[3] * planes * pixels);
    chart_desc d = {0};
    for (size_t i = 0; i < s[3] * planes * pixels; i++) {
        const size_t filter = i / (planes * pixels), plane = i / pixels % planes;
        values[i] = weight->data[(i % pixels * s[2] + plane) * s[3] + filter];
    }
    d.title = title;
    d.cols = s[3] < 8 ? (int)s[3] : 8, d.rows = ((int)s[3] + d.cols - 1) / d.cols, d.images = s[3];
    d.image_height = (int)s[0], d.image_width = (int)s[1], d.channels = (int)planes;
    d.values = chart_reals(values, sizeof *values);
    if (!chart_ok(chart_image_grid(&d, path))) exit(1);
    free(values);
}

/* The accuracy of outputs[count, classes], and a picture of the first samples that they get wrong.
   names: of the classes; NULL for numbers. */
PROGRAM_DEF double images_mistakes(const nn_dataset *test, const nn_real *outputs,
                                   const char *const *names, const char *path)
{
    enum { MAX = 40 };
    char text[MAX][64];
    const char *captions[MAX];
    size_t wrong[MAX], count = 0, right = 0;
    const int planes = test->channels_first;
    const size_t classes = (size_t)test->classes;
    for (size_t i = 0; i < test->count; i++) {
        int label = test->labels[i], guess;
        nn_mat_argmax(1, classes, outputs + i * classes, &guess);
        right += guess == label;
        if (guess == label || count == MAX) continue;
        if (names) snprintf(text[count], sizeof *text, "%s, not %s", names[label], names[guess]);
        else snprintf(text[count], sizeof *text, "%d, not %d", label, guess);
        captions[count] = text[count];
        wrong[count++] = i;
    }
    if (count) {
        nn_real *images = images_reals(count * test->features);
        chart_desc d = {0};
        need(nn_dataset_gather(test, wrong, count, images));
        d.title = "The first mistakes";
        d.cols = 8, d.rows = ((int)count + 7) / 8, d.images = count, d.captions = captions;
        d.image_height = (int)test->shape[planes], d.image_width = (int)test->shape[planes + 1];
        d.channels = planes ? (int)test->shape[0] : 1;
        d.values = chart_reals(images, sizeof *images);
        if (!chart_ok(chart_image_grid(&d, path))) exit(1);
        free(images);
    }
    return (double)right / (double)test->count;
}

/* The accuracy in training, as the epoch's batches found it, and the test set's at every check. */
PROGRAM_DEF void images_curve(const nn_history *h, const char *path)
{
    const chart_data steps = chart_sizes(&h->checks->step, sizeof *h->checks);
    chart_series curve[2] = {
        chart_curve("training", h->check_count, steps,
                    chart_doubles(&h->checks->train_accuracy, sizeof *h->checks)),
        chart_curve("test", h->check_count, steps,
                    chart_doubles(&h->checks->validation_accuracy, sizeof *h->checks))};
    chart_desc d = {0};
    d.title = "Accuracy", d.x_label = "step", d.y_label = "share of samples";
    d.series = curve, d.series_count = 2;
    if (!chart_ok(chart_line(&d, path))) exit(1);
}

#endif
