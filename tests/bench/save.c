/* Saving and loading 100 MB of weights against `cp` of the same file.

   cc -O2 tests/bench/save.c -lm -o save && ./save [FOLDER]     FOLDER: /dev/shm is the page cache */
#define _POSIX_C_SOURCE 200809L
#define NN_IMPLEMENTATION
#include "../../nn.h"

#include <sys/resource.h>

enum { ROUNDS = 9 };

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x) { return qsort(x, ROUNDS, sizeof *x, ascending), x[ROUNDS / 2]; }

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "/dev/shm";
    char file[400], copy[400], command[1000];
    double save[ROUNDS], load[ROUNDS], cp[ROUNDS];
    struct rusage before, after;
    snprintf(file, sizeof file, "%s/nn_save_bench", folder);
    snprintf(copy, sizeof copy, "%s/nn_save_bench_copy", folder);
    snprintf(command, sizeof command, "cp '%s' '%s'", file, copy);
    nn_net *net = nn_net_create(NULL);
    nn_dense(nn_input(net, 5000), 5000 * 4 / (int)sizeof(nn_real));
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < ROUNDS; i++) {
        const double start = nn__now();
        if (nn_save(net, file, NULL) != NN_OK) return puts(nn_last_error()), 1;
        const double saved = nn__now();
        if (system(command) != 0) return 1;
        const double copied = nn__now();
        if (nn_load(net, file, NULL, NULL) != NN_OK) return puts(nn_last_error()), 1;
        save[i] = saved - start, cp[i] = copied - saved, load[i] = nn__now() - copied;
    }
    getrusage(RUSAGE_SELF, &after);
    const double s = median(save), c = median(cp), l = median(load);
    printf("%.0f MB: save %.3f s, load %.3f s, cp %.3f s: %.2f and %.2f of its speed; memory grew by "
           "%ld KB\n", (double)nn_net_parameter_count(net) * sizeof(nn_real) * 1e-6, s, l, c, c / s,
           c / l, after.ru_maxrss - before.ru_maxrss);
    remove(file);
    remove(copy);
    nn_net_destroy(net);
    return 0;
}
