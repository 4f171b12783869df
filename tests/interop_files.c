/* For interop.py: reads what NumPy has written and writes what NumPy is to read.

   interop_files read FILE OUT        an npy file, as npy
   interop_files member FILE NAME OUT a member of an npz file, as npy
   interop_files dataset X Y OUT      a data set from two npy files, as npz
   interop_files several OUT          three arrays, as npz */
#define NN_IMPLEMENTATION
#include "../nn.h"

#include <string.h>

static int done(nn_status status)
{
    if (status != NN_OK) fprintf(stderr, "%s\n", nn_last_error());
    return status != NN_OK;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    nn_array a;
    if (!strcmp(what, "read") || !strcmp(what, "member")) {
        nn_status status = argc == 4 ? nn_read_npy(argv[2], &a) : nn_read_npz(argv[2], argv[3], &a);
        if (status == NN_OK) status = nn_write_npy(argv[argc - 1], a.rank, a.shape, a.values);
        nn_array_free(&a);
        return done(status);
    }
    if (!strcmp(what, "dataset")) {
        nn_dataset d;
        nn_status status = nn_load_npy(argv[2], argv[3], 0, &d);
        if (status == NN_OK) status = nn_dataset_write_npz(&d, argv[4]);
        nn_dataset_free(&d);
        return done(status);
    }
    if (!strcmp(what, "several")) {
        static nn_real x[6] = {0, 1, 2, 3, 4, 5};
        nn_array all[3];
        memset(all, 0, sizeof all);
        all[0].name = "a", all[0].rank = 2, all[0].shape[0] = 2, all[0].shape[1] = 3;
        all[1].name = "b/c", all[1].rank = 1, all[1].shape[0] = 4;
        all[2].name = "scalar";
        for (int i = 0; i < 3; i++) all[i].values = x;
        return done(nn_write_npz(argv[2], 3, all));
    }
    return 2;
}
