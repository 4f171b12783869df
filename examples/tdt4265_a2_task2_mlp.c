/* TDT4265 assignment 2, tasks 2c and 2d: the net 785-64-10 with sigmoids, weights from U(-1, 1) and
   learning rate 0.1. Its loss, its accuracy, its parameters.

   cc -O2 examples/tdt4265_a2_task2_mlp.c -lm -o task2 && ./task2 [--data DIR] [--help] */
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "tdt4265_a2.h"

/* Parameters of `inputs`-64-10 with a bias on both layers. */
static double with_biases(size_t inputs)
{
    nn_net *net = nn_net_create(NULL);
    nn_dense(nn_sigmoid(nn_dense(nn_input(net, inputs), 64)), 10);
    double count = (double)nn_net_parameter_count(net);
    nn_net_destroy(net);
    return count;
}

int main(int argc, char **argv)
{
    static const a2_net base = {"base net", 1, 64, 0, NN_SIGMOID, 0.1, 0, 50, 0};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task2_mlp", "785-64-10, weights from U(-1, 1)");
    nn_dataset train, test;
    a2_data(&a, &train, &test);
    a2_result r;
    a2_run(&a, &base, &train, &test, &r);
    a2_rows(&a, "R3 R4", "2c", &r);
    assignment_single(&a, "R3", "2d", "parameters of 785-64-10", 50880, r.parameters,
                      "785*64 + 64*10: the constant 1 is the 785th input, the output has no bias");
    assignment_single(&a, "R4", "2d", "parameters with biases", 52880, with_biases(784),
                      "784*64 + 64 + 64*10 + 10. R4's 52,880 fits no such net: with the constant 1 "
                      "beside the biases there are %.0f", with_biases(785));

    const nn_history *h = &r.history;
    const nn_check *c = h->checks, *last = c + h->check_count - 1;
    chart_series loss[] = {
        chart_curve("training, mean of 125 batches", h->step_count - h->step_count % 125,
                    chart_none(), chart_floats(h->step_loss, 0)),
        assignment_curve("validation set", h, &c->validation_loss)};
    loss[0].smooth = 125;
    chart_series accuracy[] = {assignment_curve("training set", h, &c->train_accuracy),
                               assignment_curve("validation set", h, &c->validation_accuracy)};
    assignment_curves(&a, loss, 2, "785-64-10, weights from U(-1, 1)", "cross-entropy", 0, 0.5,
                      "a2_2c_loss.png", "2c",
                      "Loss; the band is one deviation of the batches. It ends at %.3f on the "
                      "training set and %.3f on the validation set, after %d epochs.",
                      last->train_loss, last->validation_loss, (int)h->epochs);
    assignment_curves(&a, accuracy, 2, "785-64-10, weights from U(-1, 1)", "accuracy", 0.9, 0.99,
                      "a2_2c_accuracy.png", "2c",
                      "Accuracy: %.1f %% of the training set, %.1f %% of the validation set; the "
                      "gap is overfitting.",
                      100 * last->train_accuracy, 100 * last->validation_accuracy);
    a2_free(&r);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return assignment_finish(&a);
}
