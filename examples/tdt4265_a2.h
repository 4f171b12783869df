/*  tdt4265_a2.h - the networks of TDT4265 assignment 2 and their training, for the programs of its
    tasks. Include it after assignment.h.

    Everything is batch 32, 50 epochs (five checks in each), a shuffle every epoch, early stopping
    after 50 checks without a lower validation loss. The results are those of the last weights. */
#ifndef TDT4265_A2_H
#define TDT4265_A2_H

typedef struct a2_net {
    const char *label;
    size_t layers, units; /* hidden */
    int scaled;           /* weights from N(0, 1/sqrt(fan in)); otherwise from U(-1, 1) */
    nn_activation activation;
    double learning_rate, momentum;
    size_t epochs;
    int no_early_stop;
} a2_net;

typedef enum a2_value {
    A2_TRAIN_LOSS, A2_TRAIN_ACCURACY, A2_LOSS, A2_ACCURACY, A2_EPOCHS, A2_FAST, A2_SECONDS,
    A2_VALUES
} a2_value;

typedef struct a2_result {
    const char *label;
    double *value[A2_VALUES]; /* of each seed */
    double parameters;
    nn_history history; /* of the first seed: the one that is drawn */
} a2_result;

/* (pixel - mean) / deviation, one of each, from the 20,000 training images. */
CHART_DEF void a2_data(assignment *a, nn_dataset *train, nn_dataset *test)
{
    assignment_mnist(a, train, test);
    TRY(nn_normalize_standard(train, 0));
    TRY(nn_normalize_like(test, train));
}

CHART_DEF nn_tensor *a2_loss(const a2_net *n, uint64_t seed)
{
    nn_net_desc net_desc = {0};
    net_desc.seed = seed;
    nn_net *net = nn_net_create(&net_desc);
    nn_tensor *x = nn_input(net, 784);
    for (size_t i = 0; i <= n->layers; i++) {
        nn_dense_desc d = {0};
        d.units = i < n->layers ? n->units : 10;
        d.activation = i < n->layers ? n->activation : NN_IDENTITY;
        d.no_bias = i > 0; /* the first layer's bias is the weight of the constant 1 */
        d.weight.kind = n->scaled ? NN_INIT_NORMAL : NN_INIT_UNIFORM;
        d.weight.a = n->scaled ? 0 : -1;
        d.weight.b = n->scaled ? 1 / sqrt(i ? (double)n->units : 785.0) : 1;
        d.bias = d.weight;
        x = nn_dense_with(x, &d);
    }
    return nn_softmax_cross_entropy(x);
}

/* The epochs until the validation accuracy first reaches 90 %, NAN if it never does. */
CHART_DEF double a2_epochs_to_90(const nn_history *h)
{
    for (size_t i = 0; i < h->check_count; i++)
        if (h->checks[i].validation_accuracy >= 0.9) return (double)(h->checks[i].step - 1) / 625;
    return NAN;
}

/* Trains the net with each of the seeds. */
CHART_DEF void a2_run(assignment *a, const a2_net *n, const nn_dataset *train,
                      const nn_dataset *test, a2_result *out)
{
    memset(out, 0, sizeof *out);
    out->label = n->label;
    for (int v = 0; v < A2_VALUES; v++)
        out->value[v] = (double *)assignment_new((size_t)a->seeds, sizeof(double));
    for (int run = a->seeds; run--;) {
        nn_train_desc d = {0};
        d.epochs = a->quick ? 2 : n->epochs ? n->epochs : 50;
        d.batch_size = 32;
        d.optimizer.learning_rate = n->learning_rate;
        d.optimizer.momentum = n->momentum;
        d.validation = test;
        d.checks_per_epoch = 5;
        d.evaluate_training = 1;
        d.log_steps = 1;
        d.patience = n->no_early_stop ? 0 : 50;
        nn_tensor *loss = a2_loss(n, a->seed + (uint64_t)run);
        nn_history *h = &out->history;
        nn_history_free(h);
        TRY(nn_train(loss, train, &d, h));
        nn_result on_train, on_test;
        TRY(nn_evaluate(loss, train, &on_train));
        TRY(nn_evaluate(loss, test, &on_test));
        out->value[A2_TRAIN_LOSS][run] = on_train.loss;
        out->value[A2_TRAIN_ACCURACY][run] = 100 * on_train.accuracy;
        out->value[A2_LOSS][run] = on_test.loss;
        out->value[A2_ACCURACY][run] = 100 * on_test.accuracy;
        out->value[A2_EPOCHS][run] = (double)h->epochs;
        out->value[A2_FAST][run] = a2_epochs_to_90(h);
        out->value[A2_SECONDS][run] = h->seconds;
        out->parameters = (double)nn_net_parameter_count(loss->net);
        nn_net_destroy(loss->net);
    }
}

CHART_DEF void a2_rows(assignment *a, const char *report, const char *task, const a2_result *r)
{
    static const char *const names[A2_SECONDS] = {
        "training loss", "training accuracy, %", "validation loss", "validation accuracy, %",
        "epochs begun at the stop", "epochs to 90 % validation accuracy"};
    for (int v = 0; v < A2_SECONDS; v++) {
        char text[128];
        snprintf(text, sizeof text, "%s: %s", r->label, names[v]);
        assignment_result(a, report, task, text, NAN, r->value[v], a->seeds, NULL);
    }
}

/* A row with value v of one net less that of another, seed by seed. */
CHART_DEF void a2_difference(assignment *a, const char *report, const char *task, const char *name,
                             a2_value v, const a2_result *r, const a2_result *other,
                             const char *reported)
{
    double *d = (double *)assignment_new((size_t)a->seeds, sizeof *d);
    char text[128];
    for (int i = 0; i < a->seeds; i++) d[i] = r->value[v][i] - other->value[v][i];
    snprintf(text, sizeof text, "%s: %s - %s", name, r->label, other->label);
    assignment_result(a, report, task, text, NAN, d, a->seeds, "reported: %s", reported);
    free(d);
}

/* The first `epochs` epochs of a curve; 0: all of it. */
CHART_DEF chart_series a2_curve(const char *label, const nn_history *h, const double *member,
                                size_t epochs, int net, chart_dash dash)
{
    chart_series s = assignment_curve(label, h, member);
    while (epochs && s.n && h->checks[s.n - 1].epoch >= epochs) s.n--;
    s.color = (chart_color)(CHART_BLUE + net);
    s.dash = dash;
    return s;
}

/* Loss and accuracy of a few nets, that of the training set dashed, in FILE_loss.png and
   FILE_accuracy.png. The captions are the two readings and the numbers at the end of the curves. */
CHART_DEF void a2_charts(assignment *a, const a2_result *const *r, int count, size_t epochs,
                         const char *title, const char *task, const char *file,
                         const char *const reading[2])
{
    enum { MOST = 5 };
    chart_series loss[2 * MOST], accuracy[2 * MOST];
    char label[2 * MOST][64], path[128], text[2][512] = {"", ""};
    for (int i = 0; i < count; i++) {
        const nn_history *h = &r[i]->history;
        const nn_check *c = h->checks;
        int t = 2 * i, v = 2 * i + 1;
        snprintf(label[t], sizeof *label, "%s, training", r[i]->label);
        snprintf(label[v], sizeof *label, "%s, validation", r[i]->label);
        loss[t] = a2_curve(label[t], h, &c->train_loss, epochs, i, CHART_DASHED);
        loss[v] = a2_curve(label[v], h, &c->validation_loss, epochs, i, CHART_SOLID);
        accuracy[t] = a2_curve(label[t], h, &c->train_accuracy, epochs, i, CHART_DASHED);
        accuracy[v] = a2_curve(label[v], h, &c->validation_accuracy, epochs, i, CHART_SOLID);
        c += loss[t].n - 1;
        size_t used = strlen(text[0]);
        snprintf(text[0] + used, sizeof *text - used, "%s%s: %.3f/%.3f", i ? "; " : "", r[i]->label,
                 c->train_loss, c->validation_loss);
        used = strlen(text[1]);
        snprintf(text[1] + used, sizeof *text - used, "%s%s: %.1f/%.1f", i ? "; " : "", r[i]->label,
                 100 * c->train_accuracy, 100 * c->validation_accuracy);
    }
    snprintf(path, sizeof path, "%s_loss.png", file);
    assignment_curves(a, loss, 2 * count, title, "cross-entropy", 0, 0.5, path, task,
                      "%s Training/validation at the end. %s.", reading[0], text[0]);
    snprintf(path, sizeof path, "%s_accuracy.png", file);
    assignment_curves(a, accuracy, 2 * count, title, "accuracy", 0.9, 1.005, path, task,
                      "%s Training/validation at the end, %%. %s.", reading[1], text[1]);
}

CHART_DEF void a2_free(a2_result *r)
{
    for (int v = 0; v < A2_VALUES; v++) free(r->value[v]);
    nn_history_free(&r->history);
}

#endif /* TDT4265_A2_H */
