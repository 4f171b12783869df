/*  dd2424.h - what the programs of DD2424 have in common: CIFAR-10 standardised, fully connected
    nets, cyclical learning rates. Include it after assignment.h. */
#ifndef DD2424_H
#define DD2424_H

enum { PIXELS = 3072, CLASSES = 10, BATCH = 100 };

/* The first `train` images for training, the next ones for validation. Every pixel less its mean
   over the training images, divided by its deviation there. */
CHART_DEF void dd2424_data(assignment *a, size_t train, size_t validation)
{
    assignment_cifar10(a, train, validation);
    TRY(nn_dataset_standardize(&a->train, NN_PER_FEATURE));
    TRY(nn_dataset_normalize_like(&a->validation, &a->train));
    TRY(nn_dataset_normalize_like(&a->test, &a->train));
}

enum { DD2424_LAYERS = 8 }; /* hidden, at most */

typedef struct dd2424_net {
    size_t units[DD2424_LAYERS]; /* of the hidden layers, with ReLU; 0 behind the last */
    nn_init weight;
    int batch_norm;              /* before each ReLU, in the course's form */
    double lambda;
} dd2424_net;

/* The cost mean(cross-entropy) + lambda sum(W^2), biases and batch norm's numbers free of it. */
CHART_DEF nn_tensor *dd2424_cost(uint64_t seed, const void *settings)
{
    const dd2424_net *n = (const dd2424_net *)settings;
    const nn_batch_norm_desc norm = {.keep = 0.9, .population_variance = 1,
                                     .activation = NN_ACTIVATION_RELU};
    nn_tensor *x = nn_input(nn_net_create(&(nn_net_desc){.seed = seed}), PIXELS);
    for (int i = 0; i < DD2424_LAYERS && n->units[i]; i++) {
        nn_dense_desc d = {.units = n->units[i], .weight = n->weight};
        if (!n->batch_norm) d.activation = NN_ACTIVATION_RELU;
        x = nn_dense_with(x, &d);
        if (n->batch_norm) x = nn_batch_norm_with(x, &norm);
    }
    nn_dense_desc last = {.units = CLASSES, .weight = n->weight};
    return nn_weight_penalty(nn_softmax_cross_entropy(nn_dense_with(x, &last)), 0, n->lambda);
}

/* Batches of 100, eta from 1e-5 up to 1e-1 in n_s steps, down in as many, and so on (Smith 2017),
   over as many epochs as the cycles fill. */
CHART_DEF nn_train_desc dd2424_cycles(const assignment *a, size_t n_s, size_t cycles)
{
    nn_train_desc d = {.batch_size = BATCH, .optimizer = nn_sgd(1e-1, 0),
                       .validation = &a->validation};
    d.optimizer.schedule.kind = NN_SCHEDULE_TRIANGULAR;
    d.optimizer.schedule.period = n_s;
    d.optimizer.schedule.final_rate = 1e-5;
    d.epochs = a->quick ? 1 : cycles * 2 * n_s * BATCH / a->train.count;
    return d;
}

#endif /* DD2424_H */
