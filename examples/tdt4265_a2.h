/*  tdt4265_a2.h - the networks of TDT4265 assignment 2 and how they are trained, for the programs
    of its tasks 2 to 4. Include it after assignment.h.

    Everything is batch 32, at most 50 epochs (five checks in each), a shuffle every epoch, early
    stopping after 50 checks without a lower validation loss. The results are those of the last
    weights. */
#ifndef TDT4265_A2_H
#define TDT4265_A2_H

enum { A2_STEPS = 625, A2_PATIENCE = 50 }; /* in an epoch: steps; checks without an improvement */

typedef enum a2_measure {
    A2_TRAIN_LOSS, A2_TRAIN_ACCURACY, A2_LOSS, A2_ACCURACY, A2_EPOCHS, A2_FAST, A2_MEASURES
} a2_measure;

typedef struct a2_net {
    const char *report, *task, *label;
    size_t layers, units; /* hidden */
    int scaled;           /* weights from N(0, 1/sqrt(fan in)); otherwise from U(-1, 1) */
    nn_activation activation;
    double learning_rate, momentum;
    size_t epochs;        /* default 50 */
    int no_early_stop;
    assignment_run *run;  /* made by a2_train: one for each seed */
} a2_net;

/* Pixels as (x - mean) / deviation, one of each, from the 20,000 training images. */
CHART_DEF void a2_data(assignment *a)
{
    assignment_mnist(a);
    TRY(nn_dataset_standardize(&a->train, NN_PER_SET));
    TRY(nn_dataset_normalize_like(&a->validation, &a->train));
}

CHART_DEF nn_tensor *a2_loss(uint64_t seed, const void *settings)
{
    const a2_net *n = (const a2_net *)settings;
    nn_tensor *x = nn_input(nn_net_create(&(nn_net_desc){.seed = seed}), 784);
    for (size_t i = 0; i <= n->layers; i++) {
        double fan_in = i == 0 ? 785 : (double)n->units;
        const nn_init init =
            n->scaled ? nn_init_normal(0, 1 / sqrt(fan_in)) : nn_init_uniform(-1, 1);
        nn_dense_desc d = {.units = i < n->layers ? n->units : 10,
                           .activation = i < n->layers ? n->activation : NN_ACTIVATION_IDENTITY,
                           .no_bias = i > 0, .weight = init};
        if (i == 0) d.bias = init; /* the weight of the constant 1, the 785th input */
        x = nn_dense_with(x, &d);
    }
    return nn_softmax_cross_entropy(x);
}

/* The measures of a run; A2_FAST: epochs until the validation accuracy first reaches 90 %. */
CHART_DEF void a2_measure_run(assignment_run *run)
{
    const nn_history *h = &run->history;
    size_t i = 0;
    while (i < h->check_count && h->checks[i].validation_accuracy < 0.9) i++;
    run->value[A2_TRAIN_LOSS] = run->train.loss;
    run->value[A2_TRAIN_ACCURACY] = run->train.accuracy;
    run->value[A2_LOSS] = run->validation.loss;
    run->value[A2_ACCURACY] = run->validation.accuracy;
    run->value[A2_EPOCHS] = (double)h->epochs;
    run->value[A2_FAST] = i < h->check_count ? (double)(h->checks[i].step - 1) / A2_STEPS : NAN;
}

/* Trains the net with each of the seeds. */
CHART_DEF void a2_train(assignment *a, a2_net *n)
{
    nn_train_desc d = {.epochs = a->quick ? 2 : n->epochs ? n->epochs : 50, .batch_size = 32,
                       .optimizer = nn_sgd(n->learning_rate, n->momentum),
                       .validation = &a->validation, .checks_per_epoch = ASSIGNMENT_CHECKS,
                       .evaluate_training = 1, .log_steps = 1,
                       .patience = n->no_early_stop ? 0 : A2_PATIENCE};
    n->run = assignment_train(a, a->seeds, a2_loss, n, &a->train, &d);
    for (int i = 0; i < a->seeds; i++) a2_measure_run(&n->run[i]);
}

/* Early stopping only decides where to end: a run without it begins with the run that has it. Cuts
   the history at that end, where the last check has the results, and gives the seconds so far. */
CHART_DEF double a2_stop_early(assignment_run *run)
{
    nn_history *h = &run->history;
    for (size_t i = 0, best = 0; i < h->check_count; i++) {
        const nn_check *c = &h->checks[i];
        if (c->improved) best = i;
        if (i - best < A2_PATIENCE) continue;
        run->train.loss = c->train_loss, run->train.accuracy = 100 * c->train_accuracy;
        run->validation.loss = c->validation_loss;
        run->validation.accuracy = 100 * c->validation_accuracy;
        h->check_count = i + 1;
        h->epochs = c->epoch + 1;
        h->seconds = c->seconds;
    }
    a2_measure_run(run);
    return h->seconds;
}

CHART_DEF double a2_parameters(const a2_net *n)
{
    return (double)nn_net_parameter_count(n->run->loss->net);
}

/* ----------------------------------------------------------------------------- rows and figures */

CHART_DEF void a2_rows(assignment *a, const a2_net *n)
{
    static const char *const names[A2_MEASURES] = {
        "training loss", "training accuracy, %", "validation loss", "validation accuracy, %",
        "epochs begun at the stop", "epochs to 90 % validation accuracy"};
    for (int v = 0; v < A2_MEASURES; v++)
        assignment_row(a, n->report, n->task, assignment_text("%s: %s", n->label, names[v]), NAN,
                       &n->run->value[v], NULL);
}

/* A row with one measure of a net less that of another, seed by seed. */
CHART_DEF void a2_difference(assignment *a, const char *task, const char *name, a2_measure v,
                             const a2_net *n, const a2_net *other, const char *reported)
{
    double difference[ASSIGNMENT_SEEDS];
    for (int i = 0; i < a->seeds; i++) difference[i] = n->run[i].value[v] - other->run[i].value[v];
    assignment_result(a, n->report, task,
                      assignment_text("%s: %s - %s", name, n->label, other->label), NAN, difference,
                      a->seeds, assignment_text("reported: %s", reported));
}

typedef struct a2_figure {
    const char *task, *title, *file; /* FILE_loss.png and FILE_accuracy.png */
    int count, nets[4];
    size_t epochs;                   /* only so many of them (default: all) */
    double low;                      /* the least accuracy to be seen (default 0.9) */
    const char *reading[2];          /* of the losses, of the accuracies */
} a2_figure;

/* Loss and accuracy of a few nets with the first seed; dashed: on the training set. */
CHART_DEF void a2_draw(assignment *a, const a2_net *nets, const a2_figure *f)
{
    for (int accuracy = 0; accuracy < 2; accuracy++) {
        chart_series curve[8];
        char end[512] = "";
        for (int i = 0; i < f->count; i++) {
            const a2_net *n = &nets[f->nets[i]];
            const nn_check *c = n->run->history.checks;
            const double *of_train = accuracy ? &c->train_accuracy : &c->train_loss;
            const double *of_validation = accuracy ? &c->validation_accuracy : &c->validation_loss;
            curve[2 * i] = assignment_curve(NULL, n->run, of_train);
            curve[2 * i + 1] = assignment_curve(n->label, n->run, of_validation);
            curve[2 * i].dash = CHART_DASHED;
            size_t shown = n->run->history.check_count, used = strlen(end);
            while (f->epochs && c[shown - 1].epoch >= f->epochs) shown--;
            for (int k = 2 * i; k < 2 * i + 2; k++) {
                curve[k].n = shown;
                curve[k].color = (chart_color)(CHART_BLUE + i);
            }
            c += shown - 1;
            snprintf(end + used, sizeof end - used,
                     accuracy ? "%s %s (%.1f, %.1f %%)" : "%s %s (%.3f, %.3f)", i ? "," : "",
                     n->label, accuracy ? 100 * c->train_accuracy : c->train_loss,
                     accuracy ? 100 * c->validation_accuracy : c->validation_loss);
        }
        assignment_curves(a, curve, 2 * f->count, f->title,
                          accuracy ? "accuracy (dashed: training set)"
                                   : "cross-entropy (dashed: training set)",
                          !accuracy ? 0 : f->low > 0 ? f->low : 0.9, accuracy ? 1.005 : 0.5,
                          assignment_text("%s_%s.png", f->file, accuracy ? "accuracy" : "loss"),
                          f->task, assignment_text("%s (Training, validation) at the end:%s.",
                                                   f->reading[accuracy], end));
    }
}

#endif /* TDT4265_A2_H */
