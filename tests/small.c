/* nn.h as firmware takes it: without files, training and thread-local storage. A network of given
   weights is made and asked, kept in memory and opened again; check.sh compiles and runs this with the
   options. */
#define NN_IMPLEMENTATION
#define NN_NO_STDIO
#define NN_NO_TRAINING
#define NN_THREAD_LOCAL
#include "../nn.h"

int main(void)
{
    static const nn_real w[4] = {1, -1, -1, 1}, v[2] = {1, 1}, x[8] = {0, 0, 0, 1, 1, 0, 1, 1};
    nn_real y[4];
    void *file;
    size_t size;
    nn_open_desc desc = {0};
    nn_dataset data;
    nn_net *net = nn_net_create(NULL);
    nn_tensor *hidden = nn_relu(nn_dense(nn_input(net, 2), 2)), *out = nn_dense(hidden, 1);
    if (nn_set_values(nn_weight(hidden->src[0]), w, 4) != NN_OK) return 1;
    if (nn_set_values(nn_weight(out), v, 2) != NN_OK) return 2;
    if (nn_dataset_from_arrays(x, 4, 2, NULL, 0, &data) != NN_OK) return 3;
    if (nn_predict(out, &data, y) != NN_OK) return 4;
    if (nn_predict_rows(out, x, 4, y) != NN_OK) return 5;
    if (!(y[0] == 0 && y[1] == 1 && y[2] == 1 && y[3] == 0)) return 6;
    if (nn_save_memory(net, NULL, &file, &size) != NN_OK) return 7;
    nn_net_destroy(net);
    net = nn_open_memory(file, size, NULL);
    memset(y, 0, sizeof y);
    if (!net || nn_predict(nn_net_output(net), &data, y) != NN_OK) return 8;
    desc.training = 1;
    if (nn_open_memory(file, size, &desc) || !strstr(nn_last_error(), "state of a training")) return 9;
    if (nn_load_memory(net, file, size - 1, NULL, NULL) == NN_OK) return 10;
    if (nn_load_memory(net, file, size, NULL, NULL) != NN_OK) return 11;
    nn_net_destroy(net);
    desc.training = 0, desc.in_place = 1;
    memset(y, 0, sizeof y);
    net = nn_open_memory(file, size, &desc);
    if (!net || nn_predict(nn_net_output(net), &data, y) != NN_OK) return 12;
    if (nn_load_memory(net, file, size, NULL, NULL) == NN_OK) return 13;
    nn_net_destroy(net);
    nn_free(file);
    return !(y[0] == 0 && y[1] == 1 && y[2] == 1 && y[3] == 0);
}
