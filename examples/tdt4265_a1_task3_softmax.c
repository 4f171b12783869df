/* TDT4265 assignment 1, tasks 3b to 3d: softmax regression on the ten digits. Loss, accuracy, and
   whether 7,850 weights overfit 20,000 images.

   cc -O2 examples/tdt4265_a1_task3_softmax.c -lm -o task3 && ./task3 [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

static nn_tensor *softmax_regression(uint64_t seed, const void *unused)
{
    (void)unused;
    nn_net *net = nn_net_create(&(nn_net_desc){.seed = seed});
    nn_dense_desc dense = {.units = 10, .weight.kind = NN_INIT_ZERO};
    nn_tensor *z = nn_dense_with(nn_input(net, 784), &dense); /* the bias weighs the constant 1 */
    return nn_softmax_cross_entropy(z);
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task3_softmax", "softmax regression, ten digits");
    assignment_mnist(&a);
    TRY(nn_dataset_rescale(&a.train, 0, 255, -1, 1));
    TRY(nn_dataset_normalize_like(&a.validation, &a.train));

    nn_train_desc desc = {.epochs = a.quick ? 2 : 50, .batch_size = 128, .drop_last = 1,
                          .optimizer = nn_sgd(0.01, 0), .validation = &a.validation,
                          .checks_per_epoch = ASSIGNMENT_CHECKS, .evaluate_training = 1};
    assignment_run *run = assignment_train(&a, a.seeds, softmax_regression, NULL, &a.train, &desc);
    for (int i = 0; i < a.seeds; i++) {
        const nn_history *h = &run[i].history;
        run[i].value[0] = run[i].last.validation_loss - h->checks[h->best].validation_loss;
    }
    assignment_row(&a, "R2", "3c", "training accuracy, %", 92.3, &run->last.train_accuracy, NULL);
    assignment_row(&a, "R2", "3c", "validation accuracy, %", 91.6, &run->last.validation_accuracy,
                   NULL);
    assignment_row(&a, "R2", "3b", "training loss", NAN, &run->last.train_loss, NULL);
    assignment_row(&a, "R2", "3b", "validation loss", NAN, &run->last.validation_loss, NULL);
    assignment_row(&a, "R2", "3d", "validation loss: last check - best check", NAN, run->value,
                   "overfitting would show as a clear rise");

    const nn_check *last = &run->last;
    assignment_losses(&a, run, "Softmax regression", "cross-entropy", 0.2, 0.6, "a1_3b_loss.png",
                      "3b 3d",
                      assignment_text("Loss. The validation loss ends %.3f above the training loss "
                                      "but only %.4f above its own best: hardly any overfitting.",
                                      last->validation_loss - last->train_loss, run->value[0]));
    assignment_accuracies(&a, run, "Softmax regression", 0.89, 0.93, "a1_3c_accuracy.png", "3c 3d",
                          assignment_text("Accuracy: %.1f %% of the training set, %.1f %% of the "
                                          "validation set.",
                                          last->train_accuracy, last->validation_accuracy));
    return assignment_finish(&a);
}
