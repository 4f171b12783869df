/* TDT4265 assignment 1, tasks 3b to 3d: softmax regression on the ten digits. Loss, accuracy, and
   whether 7,850 weights overfit 20,000 images.

   cc -O2 examples/tdt4265_a1_task3_softmax.c -lm -o task3 && ./task3 [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"

static void train(const nn_train_desc *desc, const nn_dataset *data, uint64_t seed, nn_history *out)
{
    nn_net_desc net_desc = {0};
    net_desc.seed = seed;
    nn_net *net = nn_net_create(&net_desc);
    nn_dense_desc dense = {0};
    dense.units = 10; /* the bias is the weight of the constant 1 */
    dense.weight.kind = NN_INIT_ZERO;
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense_with(nn_input(net, 784), &dense));
    memset(out, 0, sizeof *out);
    TRY(nn_train(loss, data, desc, out));
    nn_net_destroy(net);
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a1_task3_softmax", "softmax regression, ten digits");
    nn_dataset data, test;
    assignment_mnist(&a, &data, &test);
    TRY(nn_normalize_range(&data, 0, 255, -1, 1));
    TRY(nn_normalize_like(&test, &data));

    nn_train_desc desc = {0};
    desc.epochs = a.quick ? 2 : 50;
    desc.batch_size = 128;
    desc.drop_last = desc.evaluate_training = 1;
    desc.optimizer.learning_rate = 0.01;
    desc.validation = &test;
    desc.checks_per_epoch = 5;
    enum { TRAIN, VALIDATION, TRAIN_LOSS, VALIDATION_LOSS, RISE, VALUES };
    double *value[VALUES];
    for (int k = 0; k < VALUES; k++)
        value[k] = (double *)assignment_new((size_t)a.seeds, sizeof(double));
    nn_history h;
    for (int run = a.seeds; run--;) { /* the first seed is the last to run, and is drawn */
        if (run < a.seeds - 1) nn_history_free(&h);
        train(&desc, &data, a.seed + (uint64_t)run, &h);
        const nn_check *last = &h.checks[h.check_count - 1];
        value[TRAIN][run] = 100 * last->train_accuracy;
        value[VALIDATION][run] = 100 * last->validation_accuracy;
        value[TRAIN_LOSS][run] = last->train_loss;
        value[VALIDATION_LOSS][run] = last->validation_loss;
        value[RISE][run] = last->validation_loss - h.checks[h.best].validation_loss;
    }
    assignment_result(&a, "R2", "3c", "training accuracy, %", 92.3, value[TRAIN], a.seeds, NULL);
    assignment_result(&a, "R2", "3c", "validation accuracy, %", 91.6, value[VALIDATION], a.seeds,
                      NULL);
    assignment_result(&a, "R2", "3b", "training loss", NAN, value[TRAIN_LOSS], a.seeds, NULL);
    assignment_result(&a, "R2", "3b", "validation loss", NAN, value[VALIDATION_LOSS], a.seeds,
                      NULL);
    assignment_result(&a, "R2", "3d", "validation loss: last check - best check", NAN, value[RISE],
                      a.seeds, "overfitting would show as a clear rise");

    const nn_check *c = h.checks, *last = c + h.check_count - 1;
    chart_series loss[] = {assignment_curve("training set", &h, &c->train_loss),
                           assignment_curve("validation set", &h, &c->validation_loss)};
    chart_series accuracy[] = {assignment_curve("training set", &h, &c->train_accuracy),
                               assignment_curve("validation set", &h, &c->validation_accuracy)};
    assignment_curves(&a, loss, 2, "Softmax regression", "cross-entropy", 0.2, 0.6,
                      "a1_3b_loss.png", "3b 3d",
                      "Loss. The validation loss ends %.3f above the training loss but only %.4f "
                      "above its own best: hardly any overfitting.",
                      last->validation_loss - last->train_loss, value[RISE][0]);
    assignment_curves(&a, accuracy, 2, "Softmax regression", "accuracy", 0.89, 0.93,
                      "a1_3c_accuracy.png", "3c 3d",
                      "Accuracy: %.1f %% of the training set, %.1f %% of the validation set.",
                      value[TRAIN][0], value[VALIDATION][0]);
    for (int k = 0; k < VALUES; k++) free(value[k]);
    nn_history_free(&h);
    nn_dataset_free(&data);
    nn_dataset_free(&test);
    return assignment_finish(&a);
}
