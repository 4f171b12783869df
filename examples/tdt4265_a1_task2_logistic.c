/* TDT4265 assignment 1, tasks 2b to 2e: logistic regression tells the digit 2 from 3. Loss and
   accuracy, early stopping (two readings of the rule), and what a shuffle every epoch changes.

   cc -O2 examples/tdt4265_a1_task2_logistic.c -lm -o task2 && ./task2 [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

enum { CHECKS = 5 }; /* in an epoch */

typedef struct rule { /* R1's: the losses of the last epoch's checks */
    double loss[CHECKS];
    size_t seen;
} rule;

/* Stops at the first rise of the mean over an epoch, the last five checks. The mean rises when the
   newest of them is above the one that it replaces. */
static int mean_rises(void *user, nn_net *net, const nn_check *check)
{
    rule *r = (rule *)user;
    double *oldest = &r->loss[r->seen % CHECKS], before = *oldest;
    (void)net;
    *oldest = check->validation_loss;
    return r->seen++ >= CHECKS && check->validation_loss > before;
}

static void train(const nn_train_desc *desc, const nn_dataset *data, uint64_t seed, nn_history *out)
{
    nn_net_desc net_desc = {0};
    net_desc.seed = seed;
    nn_net *net = nn_net_create(&net_desc);
    nn_dense_desc dense = {0};
    dense.units = 1; /* its bias is the weight of the constant 1 */
    dense.weight.kind = NN_INIT_ZERO;
    nn_tensor *loss = nn_binary_cross_entropy(nn_dense_with(nn_input(net, 784), &dense));
    memset(out, 0, sizeof *out);
    TRY(nn_train(loss, data, desc, out));
    nn_net_destroy(net);
}

static double percent(const nn_history *h, int of_training)
{
    const nn_check *last = &h->checks[h->check_count - 1];
    return 100 * (of_training ? last->train_accuracy : last->validation_accuracy);
}

/* The largest fall of validation accuracy from one check to the next after the first epoch, in
   points, and the step after which it was seen. */
static double largest_drop(const nn_history *h, size_t *step)
{
    double most = 0;
    for (size_t i = CHECKS + 1; i < h->check_count; i++) {
        double drop = h->checks[i - 1].validation_accuracy - h->checks[i].validation_accuracy;
        if (drop > most && step) *step = h->checks[i].step;
        most = fmax(most, drop);
    }
    return 100 * most;
}

int main(int argc, char **argv)
{
    static const int three_two[] = {3, 2}; /* 2 becomes label 1 */
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task2_logistic",
                     "logistic regression, 2 against 3, early stopping, shuffle");
    nn_dataset all, all_test, data, test;
    assignment_mnist(&a, &all, &all_test);
    TRY(nn_normalize_range(&all, 0, 255, -1, 1));
    TRY(nn_normalize_like(&all_test, &all));
    TRY(nn_dataset_select_classes(&all, 2, three_two, &data));
    TRY(nn_dataset_select_classes(&all_test, 2, three_two, &test));

    nn_train_desc desc = {0};
    desc.epochs = a.quick ? 5 : 500;
    desc.batch_size = 128;
    desc.drop_last = desc.no_shuffle = desc.evaluate_training = 1;
    desc.optimizer.learning_rate = 0.05;
    desc.validation = &test;
    desc.checks_per_epoch = CHECKS;
    desc.patience = 10;
    nn_history stopped, early, shuffled;
    train(&desc, &data, 0, &stopped);
    assignment_single(&a, "R2", "2d", "epoch of the stop, counted from 0", 33,
                      (double)stopped.checks[stopped.check_count - 1].epoch,
                      "10 checks without a lower validation loss");
    assignment_single(&a, "R2", "2d", "training accuracy, %", 97.5, percent(&stopped, 1), NULL);
    assignment_single(&a, "R2", "2d", "validation accuracy, %", 97.9, percent(&stopped, 0), NULL);

    rule r1 = {{0}, 0};
    desc.patience = 0;
    desc.on_check = mean_rises;
    desc.user = &r1;
    train(&desc, &data, 0, &early);
    assignment_single(&a, "R1", "2d", "epochs begun at the stop", 4, (double)early.epochs,
                      "stops when the mean validation loss of an epoch, its last 5 checks, first "
                      "rises; the epoch of the stop counts as begun");
    assignment_single(&a, "R1", "2d", "training accuracy, %", NAN, percent(&early, 1), NULL);
    assignment_single(&a, "R1", "2d", "validation accuracy, %", NAN, percent(&early, 0), NULL);

    desc.on_check = NULL;
    desc.no_shuffle = 0;
    desc.epochs = stopped.epochs; /* as long as the run it is compared with */
    double *value = (double *)assignment_new((size_t)a.seeds * 3, sizeof *value);
    for (int run = a.seeds; run--;) { /* the first seed is the last to run, and is drawn */
        if (run < a.seeds - 1) nn_history_free(&shuffled);
        train(&desc, &data, a.seed + (uint64_t)run, &shuffled);
        value[run] = percent(&shuffled, 1);
        value[a.seeds + run] = percent(&shuffled, 0);
        value[2 * a.seeds + run] = largest_drop(&shuffled, NULL);
    }
    size_t step = 1, per_epoch = data.count / desc.batch_size;
    double drop = largest_drop(&stopped, &step);
    assignment_single(&a, "R1 R2", "2e", "in order: largest drop of accuracy, points", NAN, drop,
                      "validation, check to check, after the first epoch");
    assignment_result(&a, "R1 R2", "2e", "shuffled: the same", NAN, value + 2 * a.seeds, a.seeds,
                      "reported: the spikes vanish");
    assignment_result(&a, "R1 R2", "2e", "shuffled: training accuracy, %", NAN, value, a.seeds,
                      "after as many epochs");
    assignment_result(&a, "R1 R2", "2e", "shuffled: validation accuracy, %", NAN, value + a.seeds,
                      a.seeds, NULL);

    const nn_check *c = stopped.checks;
    chart_series loss[] = {assignment_curve("training set", &stopped, &c->train_loss),
                           assignment_curve("validation set", &stopped, &c->validation_loss)};
    chart_series accuracy[] = {
        assignment_curve("training set", &stopped, &c->train_accuracy),
        assignment_curve("validation set", &stopped, &c->validation_accuracy)};
    chart_series order[] = {
        assignment_curve("in order", &stopped, &c->validation_accuracy),
        assignment_curve("shuffled", &shuffled, &shuffled.checks->validation_accuracy)};
    assignment_curves(&a, loss, 2, "Logistic regression, 2 against 3", "binary cross-entropy", 0,
                      0.2, "a1_2b_loss.png", "2b",
                      "Loss. The worst check, at step %d, follows batch %d of the epoch's %d. "
                      "Checks meet that batch every 6 epochs, the distance between the spikes.",
                      (int)step, (int)((step - 1) % per_epoch) + 1, (int)per_epoch);
    assignment_curves(&a, accuracy, 2, "Logistic regression, 2 against 3", "accuracy", 0.93, 0.99,
                      "a1_2c_accuracy.png", "2c",
                      "Accuracy: %.1f %% of the training set, %.1f %% of the validation set, which "
                      "is a little easier.", percent(&stopped, 1), percent(&stopped, 0));
    assignment_curves(&a, order, 2, "A shuffle before every epoch", "validation accuracy", 0.93,
                      0.99, "a1_2e_shuffle.png", "2e",
                      "Without a shuffle accuracy drops by up to %.1f points between two checks, "
                      "with one by at most %.1f: no batch comes back as it was.",
                      drop, largest_drop(&shuffled, NULL));
    free(value);
    nn_history_free(&stopped);
    nn_history_free(&early);
    nn_history_free(&shuffled);
    nn_dataset_free(&data);
    nn_dataset_free(&test);
    nn_dataset_free(&all);
    nn_dataset_free(&all_test);
    return assignment_finish(&a);
}
