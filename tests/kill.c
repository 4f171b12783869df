/* A training that saves every 20 steps, killed at N random moments (default 200) and started again
   each time: it ends with the weights of a run that nobody disturbed, bit for bit, and beside the
   checkpoint there is never more than one temporary file, at the end none.

   build/kill [N] [FILE] */
#define _POSIX_C_SOURCE 200809L
#define NN_IMPLEMENTATION
#include "../nn.h"

#include "../examples/digits.h"
#include <dirent.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TEST_TMP
#define TEST_TMP "build/tmp"
#endif

/* FNV-1a over the weights' bytes. */
static uint64_t hash_net(const nn_net *net)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    const nn_tensor *p;
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++)
        for (size_t j = 0; j < p->size * sizeof *p->data; j++)
            hash = (hash ^ ((const unsigned char *)p->data)[j]) * UINT64_C(0x100000001B3);
    return hash;
}

/* Trains to the end, from `path` where there is such a file. Gives the weights' hash; 0: failed. */
static uint64_t train(const char *path)
{
    nn_dataset all, digits, held_out;
    nn_train_desc desc;
    memset(&desc, 0, sizeof desc);
    nn_net *net = nn_net_create(NULL);
    if (digits_load(&all) != NN_OK || nn_dataset_split(&all, 0.8, 1, &digits, &held_out) != NN_OK)
        return 0;
    nn_tensor *hidden = nn_dropout(nn_relu(nn_dense(nn_input(net, 64), 96)), 0.3);
    nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(nn_relu(nn_dense(hidden, 96)), 10));
    desc.epochs = 60, desc.batch_size = 32, desc.optimizer = nn_adam(0.001);
    desc.optimizer.schedule.kind = NN_SCHEDULE_COSINE;
    desc.validation = &held_out, desc.restore_best = 1, desc.patience = 1000;
    desc.save_path = path, desc.save_every = 20, desc.resume = 1;
    nn_status status = nn_train(loss, &digits, &desc, NULL);
    if (status != NN_OK) fprintf(stderr, "kill: %s\n", nn_last_error());
    const uint64_t hash = status == NN_OK ? hash_net(net) : 0;
    nn_net_destroy(net);
    nn_dataset_free(&digits);
    nn_dataset_free(&held_out);
    nn_dataset_free(&all);
    return hash;
}

static void wait_for(double seconds)
{
    struct timespec t;
    t.tv_sec = (time_t)seconds;
    t.tv_nsec = (long)(1e9 * (seconds - (double)t.tv_sec));
    nanosleep(&t, NULL);
}

/* How many files there are whose names begin with that of `path` and go on. */
static int files_beside(const char *path)
{
    char folder[300];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int count = 0;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    DIR *open = opendir(folder);
    if (!open) return -1;
    for (struct dirent *one; (one = readdir(open)) != NULL;)
        count += strncmp(one->d_name, name, strlen(name)) == 0 && one->d_name[strlen(name)];
    closedir(open);
    return count;
}

int main(int argc, char **argv)
{
    const int wanted = argc > 1 ? atoi(argv[1]) : 200;
    const char *path = argc > 2 ? argv[2] : TEST_TMP "/kill.safetensors";
    int kills = 0, finished = 0, wrong = 0, left = 0;
    remove(path);
    const double begin = nn__now();
    const uint64_t expected = train(path);
    const double seconds = nn__now() - begin;
    nn_rng rng = nn_rng_seed((uint64_t)time(NULL));
    remove(path);
    while (expected && kills < wanted && !wrong) {
        const pid_t child = fork();
        if (child == 0) _exit(train(path) == expected ? 0 : 1);
        int status = 0;
        wait_for(nn_rng_uniform(&rng) * seconds / 2);
        const int is_over = waitpid(child, &status, WNOHANG) == child;
        if (!is_over) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            kills++;
            left += files_beside(path) == 1;
            wrong += files_beside(path) < 0 || files_beside(path) > 1;
        } else {
            wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
            finished++;
            remove(path);
        }
    }
    wrong += !expected || train(path) != expected; /* what the last kill left */
    wrong += files_beside(path) != 0;
    printf("kill: a run of %.2f s: %d kills, %d of them with a temporary file left, %d runs ended, "
           "%s\n", seconds, kills, left, finished + 1,
           wrong ? "NOT with the bits of the undisturbed run, or too many files"
                 : "all with the bits of the undisturbed run");
    remove(path);
    return wrong != 0;
}
