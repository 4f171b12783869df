/* DD2424 assignment 1: one linear layer with softmax on CIFAR-10, four runs that differ in lambda
   and eta.

   cc -O2 examples/dd2424_a1_linear.c -lm -o linear && ./linear [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"
#include "dd2424_a1.h"

enum { RUNS = 4 };

static const struct experiment {
    double lambda, eta, train_cost, validation_cost, accuracy; /* the last three as reported */
    const char *reading;
} experiments[RUNS] = {
    {0, 0.1, 5.074, 7.526, 27.84, "The steps are too long: the cost jumps and does not settle."},
    {0, 0.001, 1.609, 1.791, 39.08, "Training goes on to improve while validation levels off."},
    {0.1, 0.001, 0.3908, 1.903, 39.46, "A small penalty brings the two costs closer together."},
    {1, 0.001, 1.899, 1.958, 37.38, "A large penalty: the costs nearly agree, and soon settle."}};

/* Trains and evaluates one experiment and draws its curves. Gives the weights of the first seed. */
static const nn_tensor *train(assignment *a, int e)
{
    const struct experiment *of = &experiments[e];
    nn_train_desc desc = {.epochs = a->quick ? 2 : 40, .batch_size = 100, .no_shuffle = 1,
                          .optimizer = nn_sgd(of->eta, 0),
                          .validation = &a->validation, .evaluate_training = 1};
    assignment_run *run = assignment_train(a, a->seeds, linear, &of->lambda, &a->train, &desc);
    const char *task = assignment_text("exp %d", e + 1);
    const char *title =
        assignment_text("Experiment %d: λ = %g, η = %g", e + 1, of->lambda, of->eta);
    assignment_row(a, "R5", task, "training cost", of->train_cost, &run->train.loss,
                   e == 2 ? "the reported 0.3908 cannot be a cost: it repeats the accuracy of "
                            "exp 2, 39.08 %" : NULL);
    assignment_row(a, "R5", task, "validation cost", of->validation_cost, &run->validation.loss,
                   NULL);
    assignment_row(a, "R5", task, "test accuracy, %", of->accuracy, &run->test.accuracy, NULL);
    assignment_losses(a, run, title, "cost with its penalty", 0, 0,
                      assignment_text("dd2424_a1_exp%d_cost.png", e + 1), task,
                      assignment_text("%s The cost at the end of each epoch; it ends at %.3f in "
                                      "training, %.3f in validation.", of->reading,
                                      run->train.loss, run->validation.loss));
    assignment_accuracies(a, run, title, 0, 0,
                          assignment_text("dd2424_a1_exp%d_accuracy.png", e + 1), task,
                          assignment_text("Accuracy at the end of each epoch; %.2f %% of the test "
                                          "set at the end.", run->test.accuracy));
    return nn_weight(scores_of(run->loss));
}

int main(int argc, char **argv)
{
    static const char *const classes[CLASSES] = {"airplane", "automobile", "bird", "cat", "deer",
                                                 "dog", "frog", "horse", "ship", "truck"};
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a1_linear", "one linear layer on CIFAR-10");
    dd2424_data(&a, 10000, 10000);
    const nn_tensor *weights[RUNS];
    const char *names[RUNS];
    for (int e = 0; e < RUNS; e++) weights[e] = train(&a, e);
    for (int e = 0; e < RUNS; e++)
        names[e] = assignment_text("λ %g, η %g", experiments[e].lambda, experiments[e].eta);
    assignment_weights(&a, weights, RUNS, names, CLASSES, classes, 32, "Weights of each class",
                       "dd2424_a1_weights.png", "exp 1-4",
                       "W, each image from its least to its greatest value. A high eta leaves "
                       "noise; the larger lambda, the smoother the template.");
    return assignment_finish(&a);
}
