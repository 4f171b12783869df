/* XOR, the smallest problem that a network without a hidden layer cannot learn (Minsky and Papert
   1969), with a training loop of one's own: feed, forward, backward, step.

   cc -O2 examples/xor.c -lm -o xor && ./xor [--help] */
#define NN_STATIC
#define NN_IMPLEMENTATION
#include "../nn.h"
#include "program.h"

int main(int argc, char **argv)
{
    program_options(argc, argv, "xor", "XOR with a training loop of its own", 0, NULL);
    static const nn_real x[] = {0, 0, 0, 1, 1, 0, 1, 1};
    static const int label[] = {0, 1, 1, 0};
    nn_net_desc desc = {0};
    desc.seed = 1;
    nn_net *net = nn_net_create(&desc);
    nn_tensor *in = nn_input(net, 2);
    nn_tensor *z = nn_dense(nn_tanh(nn_dense(in, 4)), 1);
    nn_tensor *p = nn_sigmoid(z);
    nn_tensor *loss = nn_sigmoid_cross_entropy(z);

    const nn_optimizer_desc optimizer = nn_sgd(0.5, 0.9);
    nn_status status = nn_set_optimizer(net, &optimizer);
    for (int step = 0; status == NN_OK && step < 200; step++) {
        if (status == NN_OK) status = nn_feed(in, x, 4);
        if (status == NN_OK) status = nn_feed_labels(loss, label, 4);
        if (status == NN_OK) status = nn_forward(loss);
        if (status == NN_OK) status = nn_backward(loss);
        if (status == NN_OK) status = nn_step(net);
        if (step % 50 == 0 || step == 199) printf("step %3d  loss %.5f\n", step, loss->value);
    }
    if (status == NN_OK) status = nn_forward(p);
    if (status != NN_OK) {
        fprintf(stderr, "xor: %s\n", nn_last_error());
        nn_net_destroy(net);
        return 1;
    }
    int correct = 0;
    for (int i = 0; i < 4; i++) {
        printf("%g xor %g = %.3f\n", (double)x[2 * i], (double)x[2 * i + 1], (double)p->data[i]);
        correct += (p->data[i] > (nn_real)0.5) == label[i];
    }
    nn_net_destroy(net);
    return correct == 4 ? 0 : 1;
}
