/* DD2424 assignment 2, exercises 3 and 4: 3072-50-10 on CIFAR-10 with a learning rate that goes up
   and down, one cycle and three.

   cc -O2 examples/dd2424_a2_cyclical.c -lm -o cyclical && ./cyclical [--data DIR] [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "assignment.h"
#include "dd2424.h"

static const struct figure {
    const char *task, *file, *title, *note;
    size_t n_s, cycles;
    double reported;
    const char *reading[2]; /* of the costs, of the accuracies */
} figures[] = {
    {"figure 3", "dd2424_a2_figure3", "One cycle, n_s = 500, λ = 0.01",
     "public reports: 45.0 to 47.6", 500, 1, 45.85,
     {"The curves settle as the rate falls.",
      "Both sets gain more while the rate falls than in the steps before, while it is high."}},
    {"figure 4", "dd2424_a2_figure4", "Three cycles, n_s = 800, λ = 0.01",
     "public reports: 46.2 to 48.9", 800, 3, 47.47,
     {"Whenever the rate is high both costs rise. Cycle after cycle ends with a lower cost in "
      "training, not in validation.",
      "Cycle after cycle ends with a higher accuracy, in validation too."}}};

static void train(assignment *a, const struct figure *f)
{
    const dd2424_net net = {.units = {50}, .weight = nn_init_scaled(NN_INIT_LECUN_NORMAL),
                            .lambda = 0.01};
    nn_train_desc desc = dd2424_cycles(a, f->n_s, f->cycles);
    desc.evaluate_training = 1;
    assignment_run *run = assignment_train(a, a->seeds, dd2424_cost, &net, &a->train, &desc);
    assignment_row(a, "course", f->task, "training cost", NAN, &run->train.loss, NULL);
    assignment_row(a, "course", f->task, "validation cost", NAN, &run->validation.loss, NULL);
    assignment_row(a, "course", f->task, "validation accuracy, %", NAN, &run->validation.accuracy,
                   NULL);
    assignment_row(a, "course", f->task, "test accuracy, %", f->reported, &run->test.accuracy,
                   f->note);
    assignment_losses(a, run, f->title, "cost with its penalty", 0, 0,
                      assignment_text("%s_cost.png", f->file), f->task,
                      assignment_text("%s At the end it is %.3f in training, %.3f in validation.",
                                      f->reading[0], run->train.loss, run->validation.loss));
    assignment_accuracies(a, run, f->title, 0, 0, assignment_text("%s_accuracy.png", f->file),
                          f->task, assignment_text("%s %.2f %% of the test set at the end.",
                                                   f->reading[1], run->test.accuracy));
}

int main(int argc, char **argv)
{
    assignment a;
    assignment_start(&a, argc, argv, "dd2424_a2_cyclical", "3072-50-10, cyclical learning rates");
    dd2424_data(&a, 10000, 10000);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) train(&a, &figures[i]);
    return assignment_finish(&a);
}
