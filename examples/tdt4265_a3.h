/*  tdt4265_a3.h - how TDT4265 assignment 3 trains convolutional nets on CIFAR-10, for the programs
    of its tasks 2 and 3. Include it after assignment.h. */
#ifndef TDT4265_A3_H
#define TDT4265_A3_H

enum { A3_CHECKS = 2, A3_PATIENCE = 4 }; /* checks in an epoch; how many the early stop looks at */

/* Pixels from 0 to 1, less 0.5, divided by 0.25; 45,000 for training, 5,000 for validation. */
CHART_DEF void a3_data(assignment *a)
{
    assignment_cifar10(a, 45000, 5000);
    TRY(nn_dataset_rescale(&a->train, 0, 255, -2, 2));
    TRY(nn_dataset_normalize_like(&a->validation, &a->train));
    TRY(nn_dataset_normalize_like(&a->test, &a->train));
}

/* The course's early stop: when of the last four validation losses the first is the least. */
CHART_DEF int a3_stop(void *user, nn_net *net, const nn_check *c)
{
    double *last = (double *)user; /* how many there have been, then the last of them */
    (void)net;
    if (c->step == 1) last[0] = 0; /* another seed */
    memmove(last + 1, last + 2, (A3_PATIENCE - 1) * sizeof *last);
    last[A3_PATIENCE] = c->validation_loss;
    if (++last[0] < A3_PATIENCE) return 0;
    for (int i = 2; i <= A3_PATIENCE; i++)
        if (last[i] < last[1]) return 0;
    return 1;
}

typedef struct a3_recipe {
    size_t epochs, batch_size;
    nn_optimizer_desc optimizer;
    nn_augment augment;
    int stop_early; /* as the course does, and then the best weights come back */
} a3_recipe;

CHART_DEF assignment_run *a3_train(assignment *a, assignment_net net, const void *settings,
                                   const a3_recipe *recipe)
{
    double last[A3_PATIENCE + 1] = {0};
    nn_train_desc d = {.epochs = a->quick ? 1 : recipe->epochs, .batch_size = recipe->batch_size,
                       .optimizer = recipe->optimizer, .augment = recipe->augment, .drop_last = 1,
                       .validation = &a->validation, .checks_per_epoch = A3_CHECKS};
    if (recipe->stop_early) d.restore_best = 1, d.on_check = a3_stop, d.user = last;
    return assignment_train(a, a->seeds, net, settings, &a->train, &d);
}

/* The accuracies on all three sets, epochs, parameters and seconds. */
CHART_DEF void a3_rows(assignment *a, assignment_run *run, const char *task, const char *label,
                       const char *note)
{
    for (int i = 0; i < a->seeds; i++) {
        run[i].value[0] = (double)run[i].history.epochs;
        run[i].value[1] = (double)nn_net_parameter_count(run[i].loss->net);
        run[i].value[2] = run[i].history.seconds;
    }
    assignment_row(a, "public", task, assignment_text("%s: test accuracy, %%", label), NAN,
                   &run->test.accuracy, note);
    assignment_row(a, "course", task, assignment_text("%s: training accuracy, %%", label), NAN,
                   &run->train.accuracy, NULL);
    assignment_row(a, "course", task, assignment_text("%s: validation accuracy, %%", label), NAN,
                   &run->validation.accuracy, NULL);
    assignment_row(a, "course", task, assignment_text("%s: epochs begun", label), NAN,
                   &run->value[0], NULL);
    assignment_row(a, "course", task, assignment_text("%s: parameters", label), NAN, &run->value[1],
                   NULL);
    assignment_row(a, "course", task, assignment_text("%s: seconds", label), NAN, &run->value[2],
                   NULL);
}

#endif /* TDT4265_A3_H */
