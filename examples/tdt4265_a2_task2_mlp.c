/* TDT4265 assignment 2, tasks 2c and 2d: the net 785-64-10 with sigmoids, weights from U(-1, 1) and
   learning rate 0.1. Its loss, its accuracy, its parameters.

   cc -O2 examples/tdt4265_a2_task2_mlp.c -lm -o task2 && ./task2 [--data DIR] [--help] */
#define NN_STATIC
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
    a2_net base = {.report = "R3 R4", .task = "2c", .label = "base net", .layers = 1, .units = 64,
                   .activation = NN_ACTIVATION_SIGMOID, .learning_rate = 0.1};
    assignment a;
    assignment_start(&a, argc, argv, "tdt4265_a2_task2_mlp", "785-64-10, weights from U(-1, 1)");
    a2_data(&a);
    a2_train(&a, &base);
    a2_rows(&a, &base);
    assignment_single(&a, "R3", "2d", "parameters of 785-64-10", 50880, a2_parameters(&base),
                      "785*64 + 64*10: the constant 1 is the 785th input, the output has no bias");
    assignment_single(&a, "R4", "2d", "parameters with biases", 52880, with_biases(784),
                      assignment_text("784*64 + 64 + 64*10 + 10. R4's 52,880 fits no such net: "
                                      "with the constant 1 beside the biases there are %.0f",
                                      with_biases(785)));

    const assignment_run *run = base.run;
    const nn_history *h = &run->history;
    const nn_check *last = &run->last;
    chart_series loss[] = {
        chart_curve("training, mean of 125 batches", h->step_count - h->step_count % 125,
                    chart_none(), chart_doubles(h->step_loss, 0)),
        assignment_curve("validation set", run, &h->checks->validation_loss)};
    loss[0].smooth = 125;
    assignment_curves(&a, loss, 2, "785-64-10, weights from U(-1, 1)", "cross-entropy", 0, 0.5,
                      "a2_2c_loss.png", "2c",
                      assignment_text("Loss; the band is one deviation of the batches. It ends at "
                                      "%.3f on the training set and %.3f on the validation set, "
                                      "after %d epochs.", last->train_loss, last->validation_loss,
                                      (int)h->epochs));
    assignment_accuracies(&a, run, "785-64-10, weights from U(-1, 1)", 0.9, 0.99,
                          "a2_2c_accuracy.png", "2c",
                          assignment_text("Accuracy: %.1f %% of the training set, %.1f %% of the "
                                          "validation set; the gap is overfitting.",
                                          last->train_accuracy, last->validation_accuracy));
    return assignment_finish(&a);
}
