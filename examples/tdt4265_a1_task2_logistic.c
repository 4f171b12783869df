/* TDT4265 assignment 1, tasks 2b to 2e: logistic regression tells the digit 2 from 3. Loss and
   accuracy, early stopping (two readings of the rule), and what a shuffle every epoch changes.

   cc -O2 examples/tdt4265_a1_task2_logistic.c -lm -o task2 && ./task2 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

static nn_tensor *logistic_regression(uint64_t seed, const void *unused)
{
    (void)unused;
    nn_net *net = nn_net_create(&(nn_net_desc){.seed = seed});
    nn_dense_desc dense = {.units = 1, .weight.kind = NN_INIT_ZERO};
    nn_tensor *z = nn_dense_with(nn_input(net, 784), &dense); /* the bias weighs the constant 1 */
    return nn_sigmoid_cross_entropy(z);
}

/* R1's rule: stop when the mean validation loss over an epoch, the last five checks, first rises:
   when the newest of them is above the one that it replaces. */
static const nn_check *first_rise(const nn_history *h)
{
    const nn_check *check = h->checks + ASSIGNMENT_CHECKS, *last = h->checks + h->check_count - 1;
    while (check < last && check->validation_loss <= check[-ASSIGNMENT_CHECKS].validation_loss)
        check++;
    return check;
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task2_logistic",
                     "logistic regression, 2 against 3, early stopping, shuffle");
    assignment_mnist(&a);
    TRY(nn_dataset_rescale(&a.train, 0, 255, -1, 1));
    TRY(nn_dataset_normalize_like(&a.validation, &a.train));
    nn_dataset train, validation;
    const int three_two[] = {3, 2}; /* 2 becomes label 1 */
    TRY(nn_dataset_select_classes(&a.train, 2, three_two, &train));
    TRY(nn_dataset_select_classes(&a.validation, 2, three_two, &validation));

    nn_train_desc desc = {.epochs = a.quick ? 5 : 500, .batch_size = 128, .drop_last = 1,
                          .no_shuffle = 1, .optimizer = nn_sgd(0.05, 0),
                          .validation = &validation, .checks_per_epoch = ASSIGNMENT_CHECKS,
                          .evaluate_training = 1, .patience = 10};
    assignment_run *run = assignment_train(&a, 1, logistic_regression, NULL, &train, &desc);
    const nn_check *last = &run->last;
    assignment_single(&a, "R2", "2d", "epoch of the stop, counted from 0", 33, (double)last->epoch,
                      "10 checks without a lower validation loss");
    assignment_single(&a, "R2", "2d", "training accuracy, %", 97.5, last->train_accuracy, NULL);
    assignment_single(&a, "R2", "2d", "validation accuracy, %", 97.9, last->validation_accuracy,
                      NULL);

    const nn_check *early = first_rise(&run->history); /* until there, R1's run is the same */
    assignment_single(&a, "R1", "2d", "epochs begun at the stop", 4, (double)early->epoch + 1,
                      "stops when the mean validation loss of an epoch, its last 5 checks, first "
                      "rises; the epoch of the stop counts as begun");
    assignment_single(&a, "R1", "2d", "training accuracy, %", NAN, 100 * early->train_accuracy,
                      NULL);
    assignment_single(&a, "R1", "2d", "validation accuracy, %", NAN,
                      100 * early->validation_accuracy, NULL);

    desc.patience = 0;
    desc.no_shuffle = 0;
    desc.epochs = run->history.epochs; /* as long as the run it is compared with */
    assignment_run *mixed =
        assignment_train(&a, a.seeds, logistic_regression, NULL, &train, &desc);
    size_t step = 1, per_epoch = train.count / desc.batch_size;
    double drop = assignment_largest_drop(&run->history, &step);
    for (int i = 0; i < a.seeds; i++)
        mixed[i].value[0] = assignment_largest_drop(&mixed[i].history, NULL);
    assignment_single(&a, "R1 R2", "2e", "in order: largest drop of accuracy, points", NAN, drop,
                      "validation, check to check, after the first epoch");
    assignment_row(&a, "R1 R2", "2e", "shuffled: the same", NAN, mixed->value,
                   "reported: the spikes vanish");
    assignment_row(&a, "R1 R2", "2e", "shuffled: training accuracy, %", NAN,
                   &mixed->last.train_accuracy, "after as many epochs");
    assignment_row(&a, "R1 R2", "2e", "shuffled: validation accuracy, %", NAN,
                   &mixed->last.validation_accuracy, NULL);

    assignment_losses(&a, run, "Logistic regression, 2 against 3", "binary cross-entropy", 0, 0.2,
                      "a1_2b_loss.png", "2b",
                      assignment_text("Loss. The worst check, at step %d, follows batch %d of the "
                                      "epoch's %d. Checks meet that batch every 6 epochs, the "
                                      "distance between the spikes.", (int)step,
                                      (int)((step - 1) % per_epoch) + 1, (int)per_epoch));
    assignment_accuracies(&a, run, "Logistic regression, 2 against 3", 0.93, 0.99,
                          "a1_2c_accuracy.png", "2c",
                          assignment_text("Accuracy: %.1f %% of the training set, %.1f %% of the "
                                          "validation set, which is a little easier.",
                                          last->train_accuracy, last->validation_accuracy));
    chart_series order[] = {
        assignment_curve("in order", run, &run->history.checks->validation_accuracy),
        assignment_curve("shuffled", mixed, &mixed->history.checks->validation_accuracy)};
    assignment_curves(&a, order, 2, "A shuffle before every epoch", "validation accuracy", 0.93,
                      0.99, "a1_2e_shuffle.png", "2e",
                      assignment_text("Without a shuffle accuracy drops by up to %.1f points "
                                      "between two checks, with one by at most %.1f: no batch "
                                      "comes back as it was.", drop, mixed->value[0]));
    nn_dataset_free(&train);
    nn_dataset_free(&validation);
    return assignment_finish(&a);
}
