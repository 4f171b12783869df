/*  dd2424_a1.h - the linear classifier of DD2424 assignment 1, for its programs. Include it after
    assignment.h and dd2424.h. */
#ifndef DD2424_A1_H
#define DD2424_A1_H

/* The cost mean(cross-entropy) + lambda sum(W^2) of a linear layer. */
CHART_DEF nn_tensor *linear(uint64_t seed, const void *lambda)
{
    nn_net *net = nn_net_create(&(nn_net_desc){.seed = seed});
    const nn_init normal = nn_init_normal(0, 0.01);
    nn_dense_desc dense = {.units = CLASSES, .weight = normal, .bias = normal};
    nn_tensor *scores = nn_dense_with(nn_input(net, PIXELS), &dense);
    return nn_weight_penalty(nn_softmax_cross_entropy(scores), 0, *(const double *)lambda);
}

CHART_DEF nn_tensor *scores_of(nn_tensor *cost) { return cost->src[0]->src[0]; }

#endif /* DD2424_A1_H */
