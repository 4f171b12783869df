/*  nn.h - neural networks in one C header: train them, check them, ship them.

    WHAT IT IS
        Multi-layer networks, their losses, optimisers, data loaders and a gradient checker, in one
        file that depends on the C library alone. `cc -O2 prog.c -lm` is fast: the kernels carry
        their own instruction-set attributes and are chosen when the program runs. The same seed
        gives the same bits on every machine, compiler, optimisation level and number of threads.

    HOW TO USE IT
        In exactly one source file, before the include:

            #define NN_IMPLEMENTATION
            #include "nn.h"

        and plain #include "nn.h" wherever else it is needed. Compile with:  cc -O2 prog.c -lm

    A WHOLE PROGRAM (tests compile and run it as it stands; examples/ has longer ones)

        #define NN_IMPLEMENTATION
        #include "nn.h"

        int main(void)
        {
            static const nn_real x[] = {0,0, 0,1, 1,0, 1,1};
            static const int label[] = {0, 1, 1, 0};
            nn_dataset data;
            if (nn_dataset_from_arrays(x, 4, 2, label, 2, &data) != NN_OK) return 1;

            nn_net_desc net_desc = {0};
            net_desc.seed = 1;
            nn_net *net = nn_net_create(&net_desc);
            nn_tensor *in = nn_input(net, 2);
            nn_tensor *hidden = nn_tanh(nn_dense(in, 8));
            nn_tensor *loss = nn_softmax_cross_entropy(nn_dense(hidden, 2));

            nn_train_desc train = {0};
            train.epochs = 500;
            train.batch_size = 4;
            train.optimizer = nn_adam(0.05);
            nn_status status = nn_train(loss, &data, &train, NULL);
            if (status != NN_OK) fprintf(stderr, "%s\n", nn_last_error());

            nn_result result;
            nn_evaluate(loss, &data, &result);
            printf("loss %.4f accuracy %.2f\n", result.loss, result.accuracy);
            nn_net_destroy(net);
            nn_dataset_free(&data);
            return status == NN_OK && result.accuracy == 1 ? 0 : 1;
        }

    WHICH CALLS DO I NEED?
        train a classifier            nn_load_*, nn_net_create, nn_input, nn_dense, nn_relu...,
                                      nn_softmax_cross_entropy, nn_train, nn_evaluate, nn_predict
        see images, sequences         nn_input_like, nn_conv2d, nn_batch_norm, nn_max_pool,
                                      nn_flatten or nn_global_average_pool, then nn_dense;
                                      nn_train_desc.augment, nn_predict_with
        steer a training              nn_trainer_create, nn_trainer_step, nn_trainer_destroy;
                                      nn_net_optimizer, nn_change_optimizer at any time
        write my own training loop    nn_feed, nn_feed_labels, nn_forward, nn_backward, nn_step,
                                      nn_net_set_training where there is dropout or nn_batch_norm
        derive the gradients by hand  nn_mat_*, nn_vec_*, then nn_gradcheck_function
        add an operation of my own    nn_custom, then nn_gradcheck
        use other data                nn_dataset_from_arrays, nn_load_idx, nn_load_csv, nn_load_npy
        keep a network, use it later  nn_save; nn_open, nn_classify, nn_class_name
        go on after an interruption   nn_train_desc.save_path and resume
        take weights from PyTorch     nn_load with a map of names
        run it without this library   nn_export_c, nn_export_onnx


    TABLE OF CONTENTS   (search for the tag; a section of the implementation uses those above it)
        declarations     >>api-base  >>api-random  >>api-plain  >>api-graph  >>api-images
                         >>api-loss  >>api-optim  >>api-data  >>api-train  >>api-save  >>api-export
                         >>api-gradcheck
        implementation   >>base  >>random  >>threads  >>simd  >>gemm  >>vectors  >>math  >>tile
                         >>kernels  >>channels  >>table  >>plain  >>conv  >>bands  >>tensor
                         >>initial  >>graph  >>run  >>arithmetic  >>shape  >>reductions  >>layers
                         >>convolution  >>pooling  >>normalization  >>layer-norm  >>summary
                         >>losses  >>targets  >>optim  >>slopes  >>gradcheck  >>files  >>dataset
                         >>views  >>batches  >>formats  >>text  >>records  >>columns  >>csv  >>npy
                         >>evaluate  >>shadows  >>export-text  >>export-ops  >>export-images
                         >>export-int8  >>export  >>onnx  >>onnx-images  >>json  >>safetensors
                         >>save  >>load  >>open  >>history  >>checkpoint  >>train  >>licence

    OPTIONS   (macros; "impl": where NN_IMPLEMENTATION is defined, "all": in every including file)
        NN_IMPLEMENTATION     impl  compile the function bodies here
        NN_STATIC             all   every function static: a private copy for one source file
        NN_DOUBLE             all   nn_real is double, not float; files that differ do not link
        NN_MALLOC NN_REALLOC NN_FREE   impl  memory for data sets, histories and files; all three or
                                    none. Networks take an allocator in nn_net_desc, else these
        NN_NO_SIMD            impl  compile the portable kernels only
        NN_NO_STDIO           all   no files: no loaders, no export, no summary, no progress line;
                                    networks are saved to memory and opened from it
        NN_NO_TRAINING        all   no optimisers, no trainer, no gradient check. All of the code
                                    takes 507 KB on x86-64 (gcc -O2) and 224 KB on a Cortex-M4 (-Os,
                                    before the linker drops what is not used): 375 and 140 KB
                                    without files, 461 and 198 KB without training, 341 and 121 KB
                                    without both
        NN_NO_FMA             impl  the portable path multiplies and adds in two roundings: several
                                    times faster without fused multiply-add; other, less exact bits
        NN_THREAD_LOCAL       impl  how a variable of each thread is declared; empty: none, for
                                    systems without threads
        NN_STACK_BYTES        impl  stack that a matrix product takes for its copies, 4096 or more
                                    (default 61440), with the same bits: with 16384 large ones have
                                    .9 of the speed, with 4096 half. All else that a prediction has
                                    on the stack at a time is 4 KB (gcc -O2)
        NN_USE_ZLIB           impl  loaders read .gz files; link with -lz
        NN_SELF               impl  what this file includes itself as, if it is not called "nn.h"
        -fopenmp              impl  (a compiler flag) use threads
        -O0 ... -O3           impl  gcc compiles the kernels with -O2 at any level, and products are
                                    in assembly: training is about as fast at -O0. clang has no such
                                    switch: at -O0 all but products is slow. -march adds nothing:
                                    kernels are chosen at run time
    ENVIRONMENT   (NN_ISA is read once, at the first call that computes)
        NN_ISA=portable|avx2|avx512|neon   force a kernel path that this CPU has; others are ignored
        NN_THREADS=n                       threads when compiled with -fopenmp (default: OpenMP's)

    CONVENTIONS
        Matrices are row-major. What depends on an input has the batch as its first dimension, which
        arguments never count: shapes and axes are those of one sample.
        Descs are zero-initialised structs (= {0} in C, = {} in C++): a member left at 0 takes its
        documented default, and NN_ZERO is a 0 where that is something else. A member that has no
        meaning where it is set is an error, not ignored.
        Functions that can fail return nn_status; nn_last_error() then tells the whole story.
        Building a network cannot crash on a bad argument: the operation returns NULL, NULL in gives
        NULL out, and the network keeps the first error, which every later call on it returns; a
        call that is handed the NULL says what it came from. One check at the end is enough.

    LIMITS
        float or double, one at a time; at most 8 dimensions; CPU only. One network is used by one
        thread at a time; different networks may run in different threads at once. The readers check
        every count against the file's real size before they allocate. With -ffast-math results stay
        correct, but a program LINKED with it (gcc) flushes subnormal numbers: other last bits.
        With clang's -ffp-contract=fast only the portable kernels keep their bits and are chosen.
        After fork() a child of a process that has used OpenMP threads must not use them (GNU's
        runtime hangs): set NN_THREADS=1 or nn_net_desc.threads there.
        A matrix product takes up to 64 KB of stack (NN_STACK_BYTES).

    LICENCE
        Public domain or MIT, your choice; the text is at the end of this file.
*/
#ifndef NN_H
#define NN_H

#include <stddef.h>
#include <stdint.h>
#ifndef NN_NO_STDIO
#include <stdio.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define NN__UNUSED __attribute__((unused))
#else
#define NN__UNUSED
#endif

#ifdef NN_STATIC
#define NN_DEF NN__UNUSED static
#else
#define NN_DEF extern
#endif

#ifdef NN_DOUBLE
typedef double nn_real;
#define NN__REAL_MARK nn_real_is_double
#else
typedef float nn_real;
#define NN__REAL_MARK nn_real_is_float
#endif

/* Every file asks the one with the implementation for the real type that it was compiled with:
   files that disagree do not link. */
#if !defined(NN_STATIC) && (defined(__GNUC__) || defined(__clang__))
extern const char NN__REAL_MARK;
__attribute__((used)) static const char *const nn__real_mark = &NN__REAL_MARK;
#endif

#define NN_MAX_RANK 8

/* In a desc, a number that is really 0 where 0 would take the default. */
#define NN_ZERO 1e-300

typedef enum nn_dtype { NN_DTYPE_U8, NN_DTYPE_REAL } nn_dtype;

/* ----------------------------------------------------------------------------------- >>api-base */

/* Every way in which a call can fail. The text is what nn_status_string returns. */
#define NN_STATUS_LIST(X)                                                                          \
    X(NN_OK, "no error")                                                                           \
    X(NN_ERROR_BAD_ARGUMENT, "an argument is out of its range")                                    \
    X(NN_ERROR_BAD_SHAPE, "shapes do not fit each other")                                          \
    X(NN_ERROR_OUT_OF_MEMORY, "out of memory")                                                     \
    X(NN_ERROR_CANNOT_OPEN, "file cannot be opened")                                               \
    X(NN_ERROR_CANNOT_READ, "file cannot be read")                                                 \
    X(NN_ERROR_CANNOT_WRITE, "file cannot be written")                                             \
    X(NN_ERROR_EMPTY, "nothing there")                                                             \
    X(NN_ERROR_TRUNCATED, "file ends too early")                                                   \
    X(NN_ERROR_BAD_FORMAT, "file is not in the expected format")                                   \
    X(NN_ERROR_COMPRESSED, "file is compressed")                                                   \
    X(NN_ERROR_TOO_LARGE, "a size does not fit the file or the address space")                     \
    X(NN_ERROR_BAD_LABEL, "a label is outside the classes")                                        \
    X(NN_ERROR_BAD_NUMBER, "a value is not a finite number")                                       \
    X(NN_ERROR_MISMATCH, "two things that belong together differ")                                 \
    X(NN_ERROR_NOT_FINITE, "the loss is not finite")                                               \
    X(NN_ERROR_GRADIENT_WRONG, "a gradient differs from its numerical estimate")                   \
    X(NN_ERROR_GRADIENT_ZERO, "a gradient is zero everywhere, so the check proves nothing")

#define NN__STATUS_ENUM(id, text) id,
typedef enum nn_status { NN_STATUS_LIST(NN__STATUS_ENUM) NN_STATUS_COUNT } nn_status;

/* One line for a status; "unknown status" outside the enum. Static storage. */
NN_DEF const char *nn_status_string(nn_status status);

/* What the last failed call in this thread said: file, thing, expected and found value. Never NULL;
   "" before the first failure. Valid until the next failure in the same thread. */
NN_DEF const char *nn_last_error(void);

/* The kernel path in use: "avx512", "avx2", "neon" or "portable". */
NN_DEF const char *nn_kernel_path(void);

/* ----------------------------------------------------------------------------------- >>api-random
   A counter-based generator: draw i is a bijective mix of key + i * 0x9E3779B97F4A7C15 (SplitMix64:
   Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Two integers
   are its whole state, so a copy of the struct replays the same draws. */
typedef struct nn_rng {
    uint64_t key, counter;
} nn_rng;

NN_DEF nn_rng nn_rng_seed(uint64_t seed);       /* any seed is good, 0 included */
NN_DEF uint64_t nn_rng_next(nn_rng *rng);       /* 64 random bits */
NN_DEF double nn_rng_uniform(nn_rng *rng);      /* in [0, 1), a multiple of 2^-53 */
NN_DEF double nn_rng_normal(nn_rng *rng);       /* mean 0, deviation 1 (Marsaglia's polar method) */
NN_DEF uint64_t nn_rng_below(nn_rng *rng, uint64_t n); /* in [0, n) without bias; 0 when n is 0 */
NN_DEF void nn_rng_shuffle(nn_rng *rng, size_t *items, size_t n); /* Fisher-Yates */

/* ------------------------------------------------------------------------------------ >>api-plain
   Functions on plain pointers: what the graph below is made of, and what a hand-written backward
   pass needs. Nothing is allocated, nothing is checked but what is said; arrays do not overlap
   unless "y may be x" is said. Matrices are row-major and dense except where a leading dimension
   (elements from one row to the next) is given. */

/* C[m,n] = op(A) op(B), or C += op(A) op(B) when `accumulate`. op(A) is [m,k]: A itself, or the
   transpose of a stored [k,m] when trans_a; op(B) is [k,n] likewise. lda, ldb, ldc: leading
   dimensions of the matrices as stored. Each element of C is summed over k = 0, 1, 2, ... with one
   fused multiply-add per term, starting from 0 (or from C). k = 0 gives zeros (or leaves C). */
NN_DEF void nn_mat_mul(int trans_a, int trans_b, size_t m, size_t n, size_t k, const nn_real *a,
                       size_t lda, const nn_real *b, size_t ldb, nn_real *c, size_t ldc,
                       int accumulate);
/* x[rows,cols] += row[cols], to every row (a bias). */
NN_DEF void nn_mat_add_row(size_t rows, size_t cols, nn_real *x, const nn_real *row);
/* out[cols] = sum over rows of x[rows,cols] (a bias gradient); += when `accumulate`. */
NN_DEF void nn_mat_column_sums(size_t rows, size_t cols, const nn_real *x, nn_real *out,
                            int accumulate);
/* y = exp(x - max) / sum exp(x - max), row by row; y may be x. */
NN_DEF void nn_mat_softmax(size_t rows, size_t cols, const nn_real *x, nn_real *y);
/* y = x - max - log sum exp(x - max), row by row; y may be x. */
NN_DEF void nn_mat_log_softmax(size_t rows, size_t cols, const nn_real *x, nn_real *y);
/* index[r] = the first column that holds row r's largest value. cols >= 1. */
NN_DEF void nn_mat_argmax(size_t rows, size_t cols, const nn_real *x, int *index);
/* y[rows,classes] = 1 at each row's label, 0 elsewhere. NN_ERROR_BAD_LABEL outside [0, classes). */
NN_DEF nn_status nn_mat_one_hot(size_t rows, size_t classes, const int *labels, nn_real *y);

/* y = a + b, a - b, a b by element, s x; y may be an operand. */
NN_DEF void nn_vec_add(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
NN_DEF void nn_vec_sub(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
NN_DEF void nn_vec_mul(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
NN_DEF void nn_vec_scale(size_t n, nn_real s, const nn_real *x, nn_real *y);
NN_DEF void nn_vec_axpy(size_t n, nn_real s, const nn_real *x, nn_real *y); /* y += s x, fused */
/* Sums use 16 partial sums and a fixed tree, the same on every path. */
NN_DEF nn_real nn_vec_sum(size_t n, const nn_real *x);
NN_DEF nn_real nn_vec_dot(size_t n, const nn_real *a, const nn_real *b);

/* Activations f. `alpha` belongs to leaky ReLU (its slope, usually 0.01) and ELU (usually 1), and
   is not looked at for the others; below 0 it is not for backward. GELU is the exact x Phi(x)
   (Hendrycks and Gimpel 2016), SiLU is x sigmoid(x), the scaled tanh is 1.7159 tanh(2x/3) (LeCun et
   al., "Efficient BackProp", 1998). ReLU and leaky ReLU have slope 0 and alpha at x = 0. */
#define NN_ACTIVATION_LIST(X)                                                                      \
    X(NN_ACTIVATION_IDENTITY, "identity")                                                          \
    X(NN_ACTIVATION_SIGMOID, "sigmoid")                                                            \
    X(NN_ACTIVATION_TANH, "tanh")                                                                  \
    X(NN_ACTIVATION_SCALED_TANH, "scaled_tanh")                                                    \
    X(NN_ACTIVATION_RELU, "relu")                                                                  \
    X(NN_ACTIVATION_LEAKY_RELU, "leaky_relu")                                                      \
    X(NN_ACTIVATION_ELU, "elu")                                                                    \
    X(NN_ACTIVATION_GELU, "gelu")                                                                  \
    X(NN_ACTIVATION_SILU, "silu")                                                                  \
    X(NN_ACTIVATION_SOFTPLUS, "softplus")

#define NN__ACTIVATION_ENUM(id, text) id,
typedef enum nn_activation {
    NN_ACTIVATION_LIST(NN__ACTIVATION_ENUM) NN_ACTIVATION_COUNT
} nn_activation;

/* The activation's name, as in the list; "unknown" outside it. */
NN_DEF const char *nn_activation_string(nn_activation kind);
/* y = f(x); y may be x. */
NN_DEF void nn_vec_activate(nn_activation kind, double alpha, size_t n, const nn_real *x,
                            nn_real *y);
/* dx = dy f'(x), given x and y = f(x); dx may be dy. */
NN_DEF void nn_vec_activate_backward(nn_activation kind, double alpha, size_t n, const nn_real *x,
                                     const nn_real *y, const nn_real *dy, nn_real *dx);

/* ------------------------------------------------------------------------------------ >>api-graph
   A network is a list of tensors in the order in which they were made: forward walks it up,
   backward walks it down. The network owns every tensor and all memory behind it.

   Shapes and axes are those of one sample. A tensor that depends on an input has the batch as the
   first dimension of its `shape`, but no argument counts it: an axis of 0 is a sample's first
   dimension, and negative axes count from the end (-1 is the last). A parameter has no batch, so
   its axes are all of its dimensions. Operands broadcast as in NumPy, sample against sample: shapes
   are aligned at their ends, and a dimension of 1 or a missing one is repeated. */

typedef struct nn_net nn_net;
typedef struct nn_tensor nn_tensor;
typedef struct nn_description nn_description;

/* An operation. The built-in ones are such records; nn_custom takes one of the user's own. */
typedef struct nn_op {
    const char *name;
    /* Fills t->data from t->src[i]->data. NN_OK, or the error that the run then stops with. */
    nn_status (*forward)(nn_tensor *t);
    /* ADDS d loss / d source to t->src[i]->grad, which is zeroed before its first use and NULL
       where no gradient is wanted, from t->grad. NULL: no gradient passes. */
    nn_status (*backward)(nn_tensor *t);
    /* Bytes that forward leaves at t->saved for backward, for a batch of `rows`. NULL: none. */
    size_t (*saved)(const nn_tensor *t, size_t rows);
    /* Bytes at nn_scratch(t), valid within one call of forward or backward. NULL: none. */
    size_t (*scratch)(const nn_tensor *t, size_t rows);
    unsigned flags;
    /* How a file tells the operation, both ways: see nn_description. NULL: it cannot be saved. */
    nn_tensor *(*describe)(nn_description *d, const nn_tensor *t);
} nn_op;

enum {
    NN_OP_TRAINING = 1, /* computes something else in training, as dropout does */
    NN_OP_VALUE = 2     /* forward leaves t->value, in double, where the output is a scalar */
};

struct nn_tensor {
    nn_real *data;    /* `size` values, row-major; moves when the batch or the network grows, but
                         not in a parameter. NULL before the first run and in an input of labels */
    nn_real *grad;    /* d loss / d data after nn_backward; NULL where no gradient is kept */
    int *labels;      /* the values of an input of integers; NULL elsewhere */
    const nn_op *op;
    void *settings;   /* of the operation; in nn_custom's tensors what the caller gave */
    void *saved;      /* what forward keeps for backward */
    const char *name; /* "" or owned by the network */
    nn_net *net;
    nn_tensor **src;
    size_t src_count;
    size_t id;        /* position in the network */
    size_t size;      /* product of the shape; 1 at rank 0 */
    size_t row_size;  /* values in one sample; all of them where there is no batch */
    size_t shape[NN_MAX_RANK]; /* shape[0] is the present batch when `batched` */
    int rank;
    int batched;
    int requires_grad; /* set it on an input to get the input's gradient (saliency, checks) */
    int frozen;        /* a parameter that nn_step leaves alone */
    int no_decay;      /* a parameter free of weight decay and penalties: the default for a bias */
    unsigned state;    /* private: what the present run knows of the tensor, */
    size_t written;    /* and the backward pass that wrote its gradient last */
    double learning_rate_scale; /* of a parameter; default 1 */
    double value;      /* of a scalar after nn_forward, in double precision */
};

typedef struct nn_allocator {
    void *(*alloc)(void *user, size_t bytes); /* NULL: NN_MALLOC */
    void (*release)(void *user, void *block); /* NULL: NN_FREE */
    void *user;
} nn_allocator;

typedef struct nn_net_desc {
    uint64_t seed;  /* of initial weights, shuffles, dropout (default 0, a seed like any other) */
    int threads;    /* up to 256; default: NN_THREADS, else OpenMP's number */
    nn_allocator allocator;
    void *memory;       /* in place of an allocator: the network takes all its memory from these */
    size_t memory_size; /* bytes; NN_ERROR_OUT_OF_MEMORY where they do not suffice */
} nn_net_desc;

/* A new, empty network; NULL when out of memory or when only one of alloc/release is given. desc
   may be NULL. */
NN_DEF nn_net *nn_net_create(const nn_net_desc *desc);
NN_DEF void nn_net_destroy(nn_net *net); /* NULL is fine */
/* Of desc.memory: how many bytes have been in use at most. After a first prediction for the largest
   batch a network that only predicts takes no more, and this is what the firmware has to set aside.
   0 for a network with an allocator. */
NN_DEF size_t nn_net_memory(const nn_net *net);
/* The first error made while the network was built, NN_OK when there is none.
   NN_ERROR_BAD_ARGUMENT for NULL. nn_last_error() tells the rest when called right after this. */
NN_DEF nn_status nn_net_status(const nn_net *net);
NN_DEF size_t nn_net_tensor_count(const nn_net *net);
NN_DEF nn_tensor *nn_net_tensor(const nn_net *net, size_t id); /* NULL past the end */
NN_DEF nn_tensor *nn_net_find(const nn_net *net, const char *name); /* NULL when there is none */
/* Parameter number i in the order of their making, NULL past the last: for loops over them. Buffers
   come in a list of their own. */
NN_DEF nn_tensor *nn_net_parameter(const nn_net *net, size_t i);
NN_DEF nn_tensor *nn_net_buffer(const nn_net *net, size_t i);
NN_DEF size_t nn_net_parameter_count(const nn_net *net); /* scalars in all parameters */
NN_DEF nn_rng *nn_net_rng(nn_net *net);
/* 1: nn_forward computes as in training, with dropout and the batch's own statistics; 0: it gives
   the network's own answer. A new network is in neither state: nn_forward gives its own answer, and
   nn_backward after it is an error where that is another one, so that a training loop cannot lose
   its dropout unnoticed. nn_train, nn_evaluate and nn_predict choose for themselves; nn_train ends
   in the state of a new network. */
NN_DEF void nn_net_set_training(nn_net *net, int training);
NN_DEF int nn_net_is_training(const nn_net *net); /* for operations with NN_OP_TRAINING */
#ifndef NN_NO_STDIO
/* A table of operations with their shapes, parameters (each counted where it is used first),
   multiply-adds of products and convolutions, and bytes of values, the last two for one sample;
   below it sums, and what gradients take in training. NN_ERROR_CANNOT_WRITE when the stream
   fails. */
NN_DEF nn_status nn_net_summary(const nn_net *net, FILE *stream);
#endif
/* Names a tensor (copied). Returns the tensor; NULL for a name that another tensor has. */
NN_DEF nn_tensor *nn_name(nn_tensor *t, const char *name);

/* Inputs. The tensor gets the batch in front of the shape of one sample. nn_input_like makes one
   for the samples of a data set. */
NN_DEF nn_tensor *nn_input(nn_net *net, size_t features);
NN_DEF nn_tensor *nn_input_shape(nn_net *net, int rank, const size_t *shape);
/* Labels or tokens: integers in [0, classes), fed with nn_feed_labels, read from `labels`. */
NN_DEF nn_tensor *nn_input_labels(nn_net *net, int rank, const size_t *shape, int classes);

/* How a parameter starts. fan_in and fan_out: a [in, out] weight has `in` and `out`; a kernel
   [size..., in, out] has both times its size. NN_INIT_DEFAULT is Glorot uniform, but zeros for the
   bias of a layer. */
typedef enum nn_init_kind {
    NN_INIT_DEFAULT,
    NN_INIT_ZERO,
    NN_INIT_CONSTANT,       /* a */
    NN_INIT_UNIFORM,        /* U(a, b) */
    NN_INIT_NORMAL,         /* mean a, deviation b */
    NN_INIT_LECUN_NORMAL,   /* N(0, 1/sqrt(fan_in)): LeCun et al. 1998; Xavier in the courses */
    NN_INIT_GLOROT_UNIFORM, /* U(-r, r), r = sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010 */
    NN_INIT_GLOROT_NORMAL,  /* N(0, sqrt(2 / (fan_in + fan_out))) */
    NN_INIT_HE_UNIFORM,     /* U(-r, r), r = sqrt(6 / fan_in): He et al. 2015 */
    NN_INIT_HE_NORMAL,      /* N(0, sqrt(2 / fan_in)) */
    NN_INIT_ORTHOGONAL,     /* a (default 1) times a random matrix [..., out] of orthonormal
                               columns, or rows where it has fewer: Saxe et al. 2014 */
    NN_INIT_IDENTITY,       /* y = a x (default 1): a diagonal [in, out], in the middle of a kernel;
                               0 elsewhere */
    NN_INIT_COUNT
} nn_init_kind;

typedef struct nn_init {
    nn_init_kind kind;
    double a, b;
    double fan_in, fan_out; /* 0: from the shape */
} nn_init;

NN_DEF nn_init nn_init_constant(double value);
NN_DEF nn_init nn_init_uniform(double low, double high);
NN_DEF nn_init nn_init_normal(double mean, double deviation);
NN_DEF nn_init nn_init_scaled(nn_init_kind kind); /* the kinds without numbers of their own */

/* A parameter is trained; a buffer is state that is kept with the network but not trained. */
NN_DEF nn_tensor *nn_parameter(nn_net *net, int rank, const size_t *shape, nn_init init,
                               const char *name);
NN_DEF nn_tensor *nn_buffer(nn_net *net, int rank, const size_t *shape, nn_init init,
                            const char *name);
/* Draws the values of a parameter or buffer again, as at its making. */
NN_DEF nn_status nn_initialize(nn_tensor *leaf, nn_init init);
/* Copies all values of a parameter or buffer in; those of any tensor that has been computed out.
   NN_ERROR_BAD_SHAPE unless count is the tensor's size. */
NN_DEF nn_status nn_set_values(nn_tensor *leaf, const nn_real *values, size_t count);
NN_DEF nn_status nn_get_values(const nn_tensor *t, nn_real *values, size_t count);

typedef struct nn_dense_desc {
    size_t units;             /* may be left out with shared_weight */
    nn_activation activation; /* default: NN_ACTIVATION_IDENTITY */
    double alpha;             /* of leaky ReLU and ELU (default 0.01 and 1; NN_ZERO for 0) */
    int no_bias;
    int decay_bias;           /* the bias, too, is subject to weight decay and penalties */
    nn_init weight, bias;
    nn_tensor *shared_weight, *shared_bias; /* parameters of another layer to use here, too */
    const char *name;         /* names "NAME.weight" and "NAME.bias"; default "denseI" */
} nn_dense_desc;

/* y[...,units] = f(x[...,in] W[in,units] + b[units]), over the last dimension of x: nn_flatten
   first to join several. W is drawn when the layer is made: two layers made as arguments of one
   call come in no fixed order. */
NN_DEF nn_tensor *nn_dense(nn_tensor *x, size_t units);
NN_DEF nn_tensor *nn_dense_with(nn_tensor *x, const nn_dense_desc *desc);
/* The parameters of a layer: of nn_dense, convolutions and normalisations. NULL for another tensor
   and for one that the layer does without. */
NN_DEF nn_tensor *nn_weight(const nn_tensor *layer);
NN_DEF nn_tensor *nn_bias(const nn_tensor *layer);

/* op(a)[...,m,k] op(b)[...,k,n]: the last two dimensions are multiplied, those before them and the
   batch broadcast. An a of one dimension is a row, and the result has no rows then. */
NN_DEF nn_tensor *nn_matmul(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_matmul_with(nn_tensor *a, int trans_a, nn_tensor *b, int trans_b);
/* By element, with broadcasting. At a tie maximum and minimum give each operand half the
   gradient. */
NN_DEF nn_tensor *nn_add(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_sub(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_mul(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_div(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_maximum(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_minimum(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_scale(nn_tensor *x, double factor);
NN_DEF nn_tensor *nn_exp(nn_tensor *x);
NN_DEF nn_tensor *nn_log(nn_tensor *x);  /* NaN below 0, -infinity at 0 */
NN_DEF nn_tensor *nn_sqrt(nn_tensor *x); /* NaN below 0; its slope at 0 is infinite */
NN_DEF nn_tensor *nn_abs(nn_tensor *x);  /* slope 0 at 0 */
/* x^exponent: NaN where x < 0 and the exponent is no integer. */
NN_DEF nn_tensor *nn_pow(nn_tensor *x, double exponent);
/* The nearest number in [low, high]: slope 1 inside and at the ends, 0 outside. */
NN_DEF nn_tensor *nn_clamp(nn_tensor *x, double low, double high);

/* Activations; alpha as in nn_vec_activate, 0 where the function has none. */
NN_DEF nn_tensor *nn_activate(nn_tensor *x, nn_activation kind, double alpha);
NN_DEF nn_tensor *nn_sigmoid(nn_tensor *x);
NN_DEF nn_tensor *nn_tanh(nn_tensor *x);
NN_DEF nn_tensor *nn_scaled_tanh(nn_tensor *x);
NN_DEF nn_tensor *nn_relu(nn_tensor *x);
NN_DEF nn_tensor *nn_leaky_relu(nn_tensor *x, double slope);
NN_DEF nn_tensor *nn_elu(nn_tensor *x, double alpha);
NN_DEF nn_tensor *nn_gelu(nn_tensor *x);
NN_DEF nn_tensor *nn_silu(nn_tensor *x);
NN_DEF nn_tensor *nn_softplus(nn_tensor *x);
/* Over the last dimension, or over an axis. */
NN_DEF nn_tensor *nn_softmax(nn_tensor *x);
NN_DEF nn_tensor *nn_softmax_axis(nn_tensor *x, int axis);
NN_DEF nn_tensor *nn_log_softmax(nn_tensor *x);
NN_DEF nn_tensor *nn_log_softmax_axis(nn_tensor *x, int axis);

/* Of everything, batch included: a scalar, summed in double. The gradient of a maximum goes to the
   first element that has it; NaN counts as smallest. */
NN_DEF nn_tensor *nn_sum(nn_tensor *x);
NN_DEF nn_tensor *nn_mean(nn_tensor *x);
NN_DEF nn_tensor *nn_max(nn_tensor *x);
/* Along one axis, which stays with length 1 when `keep`, or else goes. */
NN_DEF nn_tensor *nn_sum_axis(nn_tensor *x, int axis, int keep);
NN_DEF nn_tensor *nn_mean_axis(nn_tensor *x, int axis, int keep);
NN_DEF nn_tensor *nn_max_axis(nn_tensor *x, int axis, int keep);

/* The same values in another shape. */
NN_DEF nn_tensor *nn_reshape(nn_tensor *x, int rank, const size_t *shape);
NN_DEF nn_tensor *nn_flatten(nn_tensor *x); /* a sample in one dimension */
/* Dimension i of the result is dimension axes[i] of x; `rank` axes, each once. */
NN_DEF nn_tensor *nn_permute(nn_tensor *x, int rank, const int *axes);
NN_DEF nn_tensor *nn_transpose(nn_tensor *x, int axis_a, int axis_b);
/* Joins `count` tensors along an axis. */
NN_DEF nn_tensor *nn_concat(size_t count, nn_tensor *const *x, int axis);
/* x[..., begin:end, ...] along an axis. */
NN_DEF nn_tensor *nn_slice(nn_tensor *x, int axis, size_t begin, size_t end);
/* In training sets each value to 0 with probability p and divides the others by 1 - p (Srivastava
   et al. 2014, inverted); otherwise the identity. p in [0, 1). */
NN_DEF nn_tensor *nn_dropout(nn_tensor *x, double p);

/* An operation of the user's own. The output has the given shape, of one sample when a source is
   batched; rank 0 with `per_sample` 0 gives a scalar for the whole batch (a loss). The record is
   copied; `settings`, which t->settings gives back, is borrowed. */
NN_DEF nn_tensor *nn_custom(size_t count, nn_tensor *const *src, int per_sample, int rank,
                            const size_t *shape, const nn_op *op, void *settings);
/* Working memory of the operation that is running: as many bytes as its `scratch` said. */
NN_DEF void *nn_scratch(const nn_tensor *t);

/* Copies `rows` samples into an input. The first call for a larger batch allocates. */
NN_DEF nn_status nn_feed(nn_tensor *input, const nn_real *data, size_t rows);
/* Computes t and all it depends on from what was fed. */
NN_DEF nn_status nn_forward(nn_tensor *t);
/* Gradients of a scalar after nn_forward on it: overwrites the grad of every tensor in the network
   that has one (zero where the loss does not depend on it). */
NN_DEF nn_status nn_backward(nn_tensor *loss);
/* The same, but ADDS to the gradients of parameters: a large batch in several parts. */
NN_DEF nn_status nn_backward_add(nn_tensor *loss);

/* ---------------------------------------------------------------------------------- >>api-images
   Images are [batch, height, width, channels] and sequences [batch, length, channels]: the channel
   is the last dimension, for nn_dense as for all that follows. */

/* Convolutions.

       y[oy,ox,o] = f(b[o] + sum over kh, kw, c of W[kh,kw,c,o] x[oy s + kh d - top,
                                                                  ox s + kw d - left, c])

   with stride s, dilation d and zeros outside of the image, in one chain of fused multiply-adds
   over kh, kw, c, which begins with b[o]. A W that is not finite meets no zero outside: neither Inf
   nor NaN leaks in. For working memory each thread has a part of the image, with its zeros, of some
   160 KB, or a few rows if they are longer. */
typedef enum nn_padding {
    NN_PADDING_SAME,    /* oh = ceil(height / stride). The padding this takes is split in halves,
                           the odd row or column behind the image, as TensorFlow does */
    NN_PADDING_VALID,   /* none: oh = ceil((height - (kernel - 1) dilation) / stride) */
    NN_PADDING_EXPLICIT /* pad_height rows above and below, pad_width columns left and right:
                           oh = 1 + (height + 2 pad - (kernel - 1) dilation - 1) / stride */
} nn_padding;

typedef struct nn_conv_desc {
    size_t filters;                      /* channels of the result */
    size_t kernel;                       /* its height and width, or length; or instead of it */
    size_t kernel_height, kernel_width;  /* both (not in one dimension) */
    size_t stride, dilation;             /* in both directions; default 1 */
    nn_padding padding;                  /* default NN_PADDING_SAME */
    size_t pad_height, pad_width;        /* of NN_PADDING_EXPLICIT; a sequence has a width only */
    size_t groups; /* a filter sees the channels of its own group only: as many groups as channels
                      make a depthwise convolution. Divides channels and filters; default 1 */
    nn_activation activation;            /* default: NN_ACTIVATION_IDENTITY */
    double alpha;                        /* as in nn_dense_desc */
    int no_bias;
    int decay_bias;
    nn_init weight, bias; /* fan_in is kh kw channels / groups, fan_out kh kw filters / groups */
    nn_tensor *shared_weight, *shared_bias; /* parameters of another layer to use here, too */
    const char *name;     /* names "NAME.weight" and "NAME.bias"; default "convI" */
} nn_conv_desc;

/* x[height,width,channels] gives y[oh,ow,filters]; W is [kh, kw, channels / groups, filters], b is
   [filters]. NN_ERROR_BAD_SHAPE when the kernel exceeds the padded image. The short form has stride
   1, a square kernel and padding "same". */
NN_DEF nn_tensor *nn_conv2d(nn_tensor *x, size_t filters, size_t kernel);
NN_DEF nn_tensor *nn_conv2d_with(nn_tensor *x, const nn_conv_desc *desc);
/* x[length,channels] gives y[ol,filters]; W is [1, kernel, channels / groups, filters]. */
NN_DEF nn_tensor *nn_conv1d(nn_tensor *x, size_t filters, size_t kernel);
NN_DEF nn_tensor *nn_conv1d_with(nn_tensor *x, const nn_conv_desc *desc);
/* What backpropagation does to a convolution's input, as a layer: for upsampling by `stride`
   (Zeiler et al., "Deconvolutional networks", CVPR 2010). y is the image for which that convolution
   would give x's height and width: NN_PADDING_SAME gives oh = height stride, the others the
   smallest there is, oh = (height - 1) stride + (kernel - 1) dilation + 1 - 2 pad. W is
   [kh, kw, filters / groups, channels]. */
NN_DEF nn_tensor *nn_conv2d_transpose(nn_tensor *x, size_t filters, size_t kernel, size_t stride);
NN_DEF nn_tensor *nn_conv2d_transpose_with(nn_tensor *x, const nn_conv_desc *desc);

typedef struct nn_pool_desc {
    size_t kernel;                      /* the window's height and width, or length; or instead */
    size_t kernel_height, kernel_width; /* both (not of a sequence) */
    size_t stride;                      /* from one window to the next (default: the kernel) */
    size_t pad_height, pad_width; /* at each side, less than the kernel: nothing for a maximum, and
                                     zeros for an average. A sequence has a width only */
    int exclude_padding; /* an average divides by the pixels in the image, not by all of the window
                            (PyTorch: count_include_pad=False) */
} nn_pool_desc;

/* The largest value or the mean of each window, channel by channel: floor((height + 2 padding -
   kernel) / stride) + 1 of them along a dimension. The gradient of a maximum goes to the first
   pixel that has it; a NaN in the window is the maximum. Windows of `size` lie side by side. */
NN_DEF nn_tensor *nn_max_pool(nn_tensor *x, size_t size);
NN_DEF nn_tensor *nn_max_pool_with(nn_tensor *x, const nn_pool_desc *desc);
NN_DEF nn_tensor *nn_average_pool(nn_tensor *x, size_t size);
NN_DEF nn_tensor *nn_average_pool_with(nn_tensor *x, const nn_pool_desc *desc);
/* [channels]: over the whole image or sequence. */
NN_DEF nn_tensor *nn_global_max_pool(nn_tensor *x);
NN_DEF nn_tensor *nn_global_average_pool(nn_tensor *x);
/* To [height, width, channels] whatever the image's size (a sequence: to [height, channels], with a
   width of 1): row i is the mean of rows floor(i H / height) to ceil((i + 1) H / height) - 1. */
NN_DEF nn_tensor *nn_adaptive_average_pool(nn_tensor *x, size_t height, size_t width);
/* Each pixel becomes factor x factor equal ones (in a sequence: `factor`): nearest neighbours. */
NN_DEF nn_tensor *nn_upsample(nn_tensor *x, size_t factor);
/* So many rows and columns of zeros more around the image, or so many of it less. Of a sequence top
   and bottom are its ends, and left and right are 0. */
NN_DEF nn_tensor *nn_pad(nn_tensor *x, size_t top, size_t bottom, size_t left, size_t right);
NN_DEF nn_tensor *nn_crop(nn_tensor *x, size_t top, size_t bottom, size_t left, size_t right);
/* nn_dropout for all pixels of a channel at once, of each sample (Tompson et al. 2015). */
NN_DEF nn_tensor *nn_spatial_dropout(nn_tensor *x, double p);

/* y = (x - mean) / sqrt(variance + epsilon) * weight + bias, the variance over all n values; ReLU
   may follow in the same pass. The weights start at 1, the biases at 0, both with no_decay; they
   are "NAME.weight" and "NAME.bias", the default of NAME is "batch_normI" and so on. */
typedef struct nn_batch_norm_desc {
    double epsilon;  /* > 0 (default 1e-5) */
    double momentum; /* running = (1 - momentum) running + momentum batch, in (0, 1], as PyTorch has
                        it (default 0.1; NN_ZERO: they never change) */
    double keep;     /* the same number as Keras and the courses have it, in momentum's place:
                        running = keep running + (1 - keep) batch, in [0, 1) */
    int population_variance; /* the running variance is over n, as the courses have it, not over
                                n - 1, as PyTorch has it */
    int no_affine;   /* without weight and bias */
    nn_activation activation; /* NN_ACTIVATION_RELU or none: others are operations of their own */
    const char *name;
} nn_batch_norm_desc;

/* Mean and variance of each channel, over the batch and all pixels (Ioffe and Szegedy 2015). In
   training those of the batch, which move the buffers "NAME.running_mean" and "NAME.running_var",
   from 0 and 1 at first; nn_forward refuses one value per channel then. Otherwise those of the
   buffers. desc may be NULL. */
NN_DEF nn_tensor *nn_batch_norm(nn_tensor *x);
NN_DEF nn_tensor *nn_batch_norm_with(nn_tensor *x, const nn_batch_norm_desc *desc);

typedef struct nn_group_norm_desc {
    size_t groups;   /* must divide the channels; as many as those: instance normalisation */
    double epsilon;  /* > 0 (default 1e-5) */
    int no_affine;
    nn_activation activation; /* as in nn_batch_norm_desc */
    const char *name;
} nn_group_norm_desc;

/* Mean and variance of each group of neighbouring channels in each sample (Wu and He 2018); the
   same in training and afterwards. Weight and bias are per channel. */
NN_DEF nn_tensor *nn_group_norm(nn_tensor *x, size_t groups);
NN_DEF nn_tensor *nn_group_norm_with(nn_tensor *x, const nn_group_norm_desc *desc);

typedef struct nn_layer_norm_desc {
    int axes;       /* how many of the last dimensions are normalised together (default 1) */
    double epsilon; /* > 0 (default 1e-5) */
    int no_affine;
    const char *name;
} nn_layer_norm_desc;

/* Mean and variance of each row of the last dimension, or last dimensions (Ba, Kiros and Hinton
   2016). Weight and bias have the shape of these. desc may be NULL. */
NN_DEF nn_tensor *nn_layer_norm(nn_tensor *x);
NN_DEF nn_tensor *nn_layer_norm_with(nn_tensor *x, const nn_layer_norm_desc *desc);

/* ------------------------------------------------------------------------------------- >>api-loss
   A loss compares the last dimension of its source with labels (a class index each) or with targets
   (as many values). It makes the input for them itself, loss->src[1], and so can be one of several
   in a network; sums of losses, and a loss plus any scalar, are trained like one. */

typedef enum nn_reduction {
    NN_REDUCE_MEAN, /* over labels (softmax cross-entropy, hinge, KL) or elements (the others); with
                       weights the weighted mean */
    NN_REDUCE_SUM,
    NN_REDUCE_NONE  /* one value for each label or element, batch first: no scalar */
} nn_reduction;

typedef enum nn_loss_kind {
    NN_LOSS_SOFTMAX_CROSS_ENTROPY,
    NN_LOSS_SIGMOID_CROSS_ENTROPY,
    NN_LOSS_MSE,
    NN_LOSS_L1,
    NN_LOSS_HUBER,
    NN_LOSS_HINGE,
    NN_LOSS_KL_DIVERGENCE,
    NN_LOSS_COUNT
} nn_loss_kind;

/* What a loss that could take labels or targets is compared with. */
typedef enum nn_answers {
    NN_ANSWERS_ANY,    /* what it is fed; a data set that has both is an error */
    NN_ANSWERS_LABELS,
    NN_ANSWERS_TARGETS
} nn_answers;

/* A member that the kind does not use must be 0: NN_ERROR_BAD_ARGUMENT names it. */
typedef struct nn_loss_desc {
    nn_reduction reduction;
    nn_answers answers;
    double label_smoothing; /* softmax cross-entropy, s in [0, 1): targets become
                               (1 - s) t + s / classes (Szegedy et al. 2016) */
    double delta;           /* Huber: where square turns linear (default 1) */
    double margin;          /* hinge (default 1; NN_ZERO for 0) */
    const nn_real *class_weights; /* softmax cross-entropy and hinge: one per class, >= 0, copied;
                                     a mean over labels divides by the sum of their weights */
    const nn_real *positive_weights; /* sigmoid cross-entropy: one per column, >= 0, copied: what
                                        the term of t counts (PyTorch's pos_weight) */
    int ignore_label;       /* labels equal to ignored_label count for nothing */
    int ignored_label;
    int sample_weights;     /* takes a weight >= 0 per sample with nn_feed_weights */
} nn_loss_desc;

/* Any of them with settings of its own; desc may be NULL. */
NN_DEF nn_tensor *nn_loss(nn_tensor *y, nn_loss_kind kind, const nn_loss_desc *desc);
/* -sum_k t_k log softmax(z)_k; gradient softmax(z) - t. Labels, or targets >= 0 that sum to 1. */
NN_DEF nn_tensor *nn_softmax_cross_entropy(nn_tensor *logits);
/* Binary: -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)), as max(z,0) - z t + log(1 + exp(-|z|)).
   Targets in [0, 1], or labels 0 and 1 where the last dimension is 1. */
NN_DEF nn_tensor *nn_sigmoid_cross_entropy(nn_tensor *logits);
NN_DEF nn_tensor *nn_mse(nn_tensor *y);     /* (y - t)^2, averaged */
NN_DEF nn_tensor *nn_l1_loss(nn_tensor *y); /* |y - t|, averaged */
/* (y-t)^2 / 2 where |y - t| <= delta, else delta (|y - t| - delta/2) (Huber 1964). delta > 0. */
NN_DEF nn_tensor *nn_huber(nn_tensor *y, double delta);
/* sum_{j != label} max(0, z_j - z_label + margin): multi-class SVM (Weston and Watkins 1999;
   CS231n). Labels only. */
NN_DEF nn_tensor *nn_hinge(nn_tensor *scores);
/* sum_k t_k (log t_k - y_k) of log-probabilities y (nn_log_softmax) and targets as above. */
NN_DEF nn_tensor *nn_kl_divergence(nn_tensor *log_probabilities);
/* loss + l1 sum |w| + l2 sum w^2 over the parameters made so far, those with no_decay left out; the
   gradient of the second is 2 l2 w, as in the courses. */
NN_DEF nn_tensor *nn_weight_penalty(nn_tensor *loss, double l1, double l2);

/* For `rows` samples: labels of a loss or an input of labels, targets and weights of a loss. Their
   documented ranges are checked, and the error names the first that is outside. */
NN_DEF nn_status nn_feed_labels(nn_tensor *t, const int *labels, size_t rows);
NN_DEF nn_status nn_feed_targets(nn_tensor *loss, const nn_real *targets, size_t rows);
NN_DEF nn_status nn_feed_weights(nn_tensor *loss, const nn_real *weights, size_t rows);

/* ------------------------------------------------------------------------------------ >>api-optim
   g is the gradient, w the parameter, r the learning rate, t = 1, 2, ... the step. */

typedef enum nn_optimizer_kind {
    NN_OPTIMIZER_KEEP,    /* in nn_train: go on with the optimiser set before, state included */
    NN_OPTIMIZER_SGD,     /* v = momentum v + g;  w -= r v  (nesterov: w -= r (g + momentum v)):
                             as PyTorch has it */
    NN_OPTIMIZER_ADAGRAD, /* s += g^2;  w -= r g / (sqrt(s) + epsilon): Duchi et al. 2011 */
    NN_OPTIMIZER_RMSPROP, /* s = rho s + (1-rho) g^2;  w -= r g / (sqrt(s) + epsilon): Hinton */
    NN_OPTIMIZER_ADAM,    /* m = b1 m + (1-b1) g;  s = b2 s + (1-b2) g^2;
                             w -= r m/(1-b1^t) / (sqrt(s/(1-b2^t)) + epsilon): Kingma, Ba 2015 */
    NN_OPTIMIZER_ADAMW,   /* w -= r weight_decay w, then Adam: Loshchilov and Hutter 2019 */
    NN_OPTIMIZER_COUNT
} nn_optimizer_kind;

typedef enum nn_schedule_kind {
    NN_SCHEDULE_CONSTANT,
    NN_SCHEDULE_STEP_DECAY,  /* r gamma^floor(t / period) */
    NN_SCHEDULE_EXPONENTIAL, /* r gamma^t */
    NN_SCHEDULE_COSINE,      /* final + (r - final) (1 + cos(pi t / total)) / 2: Loshchilov and
                                Hutter 2017 */
    NN_SCHEDULE_TRIANGULAR,  /* final -> r -> final ... with half period `period`: Smith 2017 */
    NN_SCHEDULE_ONE_CYCLE,   /* r / 25 -> r in `period` steps, then down to final at `total`, both
                                linearly: Smith and Topin 2018 */
    NN_SCHEDULE_PLATEAU,     /* r, multiplied with gamma < 1, but not below final, after each
                                `period` checks without a lower validation loss: nn_train does it */
    NN_SCHEDULE_CUSTOM,      /* rate(user, t) */
    NN_SCHEDULE_COUNT
} nn_schedule_kind;

/* Counted in steps from t = 0; the steps of the warm-up come first and do not count for the
   rest. A member that the kind does not use must be 0. */
typedef struct nn_schedule {
    nn_schedule_kind kind;
    size_t warm_up;    /* r rises linearly, (t + 1) / warm_up, over this many steps (default 0) */
    size_t period;     /* step decay: steps per stage; triangular: steps of a rise; one cycle: the
                          same (default 0.3 total); plateau: checks */
    size_t total;      /* cosine, one cycle: its length; default in nn_train: the run without the
                          warm-up */
    double gamma;      /* step decay, plateau (default 0.1), exponential (default 1); NN_ZERO: 0 */
    double final_rate; /* cosine, one cycle: the end; triangular, plateau: the low end; default 0 */
    double (*rate)(void *user, size_t t); /* custom: the learning rate of a step, 0 or more */
    void *user;
} nn_schedule;

/* A member that the kind does not use must be 0; NN_ZERO is a 0 where 0 takes the default. */
typedef struct nn_optimizer_desc {
    nn_optimizer_kind kind;
    double learning_rate; /* > 0, no default */
    double momentum;      /* SGD: [0, 1) (default 0) */
    int nesterov;         /* SGD, with momentum */
    double beta1, beta2;  /* Adam, AdamW: [0, 1) (default 0.9, 0.999) */
    double rho;           /* RMSprop: [0, 1) (default 0.99) */
    double epsilon;       /* > 0, all but SGD (default 1e-10 for AdaGrad, else 1e-8) */
    double weight_decay;  /* g += weight_decay w, after clipping; AdamW: see there (default 0) */
    double clip_norm;     /* scale all gradients to a joint 2-norm of at most this (0: off) */
    double clip_value;    /* clamp each gradient to +-this, before the norm (0: off) */
    nn_schedule schedule;
} nn_optimizer_desc;

#ifndef NN_NO_TRAINING
/* Descs with the members that matter most; the others may be set afterwards. */
NN_DEF nn_optimizer_desc nn_sgd(double learning_rate, double momentum);
NN_DEF nn_optimizer_desc nn_adam(double learning_rate);
NN_DEF nn_optimizer_desc nn_adamw(double learning_rate, double weight_decay);

/* Chooses the optimiser and clears its state and step count. NN_ERROR_BAD_ARGUMENT names the
   member. */
NN_DEF nn_status nn_set_optimizer(nn_net *net, const nn_optimizer_desc *desc);
/* Other numbers for the optimiser in force, from the next step on: its state and step count stay.
   At any time, also from the callbacks of nn_train. NN_ERROR_MISMATCH for another kind. */
NN_DEF nn_status nn_change_optimizer(nn_net *net, const nn_optimizer_desc *desc);
/* The desc in force with its defaults filled in, good to copy, change and hand back; NULL without
   an optimiser. */
NN_DEF const nn_optimizer_desc *nn_net_optimizer(const nn_net *net);
/* One update of every parameter that is not frozen, from its gradient. Frozen parameters do not
   count in clip_norm; clip_value changes the gradients themselves. NN_ERROR_BAD_ARGUMENT without an
   optimiser. */
NN_DEF nn_status nn_step(nn_net *net);
NN_DEF size_t nn_step_count(const nn_net *net);
/* The learning rate that a desc gives at step t (0 is the first). A pure function, good to plot;
   NaN with a message for a desc that nn_set_optimizer would refuse. Of NN_SCHEDULE_PLATEAU the rate
   without reductions. */
NN_DEF double nn_learning_rate(const nn_optimizer_desc *desc, size_t t);
#endif

/* ------------------------------------------------------------------------------------- >>api-data
   A data set keeps samples as they came (bytes stay bytes) and normalises while a batch is
   gathered: x = raw * scale + shift. Views (subset, split) share the samples of the set they were
   made from, which must outlive them; labels and normalisation are their own.

   A network sees images as [height, width, channels], however they are stored: a set with
   channels_first is converted while a batch is gathered for such an input. An input of one
   dimension gets the values in the order in which they are stored, which is also what features are
   numbered by. Any other input must have the sample's own shape. */

typedef struct nn_dataset {
    size_t count;              /* samples */
    size_t features;           /* values in a sample */
    int rank;                  /* of a sample */
    size_t shape[NN_MAX_RANK]; /* of a sample, as it is stored: 28 28, or 3 32 32 */
    int channels_first;        /* samples of rank 3 are channels, height, width, as those of CIFAR;
                                  0: height, width, channels. Set it for data of your own */
    nn_dtype dtype;
    const void *samples;       /* storage, row by row; `index` says which row is sample i */
    size_t *index;             /* NULL: sample i is row i */
    int *labels;               /* count labels in [0, classes); NULL when there are none */
    int classes;
    const nn_real *targets;    /* target_size values per ROW of the storage, borrowed; or NULL */
    size_t target_size;
    nn_real *scale, *shift;    /* norm_count values each: 0 none, 1 for all, `features` one each */
    size_t norm_count;
    char **class_names;        /* `classes` names, or NULL */
    const struct nn__columns *columns; /* how a CSV file was read; NULL for other sets */
    void *owned[6];            /* what nn_dataset_free releases */
    nn_status status;          /* of the call that made the set. When it failed the set is empty, */
    char failure[256];         /* owns nothing, and every call on it returns this status and text */
} nn_dataset;

#ifndef NN_NO_STDIO
/* MNIST, Fashion-MNIST, ...: the folder's train-images-idx3-ubyte, train-labels-idx1-ubyte and the
   t10k pair (also with '.' for the last '-', and .gz with NN_USE_ZLIB). Pixels are scaled to [0,
   1]. train or test may be NULL; both are loaded or none. */
NN_DEF nn_status nn_load_mnist(const char *folder, nn_dataset *train, nn_dataset *test);
/* CIFAR-10: data_batch_1.bin .. data_batch_5.bin, of 10,000 samples each, and test_batch.bin in the
   folder. Shape 3 32 32, channels first, pixels scaled to [0, 1]. */
NN_DEF nn_status nn_load_cifar10(const char *folder, nn_dataset *train, nn_dataset *test);
/* CIFAR-100: train.bin and test.bin; the fine labels (100), or the coarse (20) when `coarse`. */
NN_DEF nn_status nn_load_cifar100(const char *folder, int coarse, nn_dataset *train,
                                  nn_dataset *test);
/* A pair of IDX files of any type. images: rank 2 or more, samples first; bytes are scaled to [0,
   1], other types stay as they are. labels: rank 1, or rank 2, where rows of one 1 among zeros are
   one-hot and of other rows the first number is the label (QMNIST). Labels are checked against
   `classes` (0: largest label + 1). */
NN_DEF nn_status nn_load_idx(const char *images, const char *labels, int classes, nn_dataset *out);

/* A pair of npy files, as numpy.save writes them: versions 1.0 to 3.0, either order and byte order,
   f2 f4 f8, i1 to i8, u1 to u8, bool. samples: rank 2 or more, samples first; u1 and bool stay
   bytes, u1 scaled to [0, 1], others become nn_real. labels as nn_load_idx takes them, or NULL. */
NN_DEF nn_status nn_load_npy(const char *samples, const char *labels, int classes, nn_dataset *out);
/* The same from two members of an npz file, as numpy.savez writes it (not savez_compressed), named
   as there: "x_train", "y_train". NN_ERROR_EMPTY when there is no such member. */
NN_DEF nn_status nn_load_npz(const char *path, const char *samples, const char *labels, int classes,
                             nn_dataset *out);

/* An array of a file, or for one; nn_array_free releases the values of one that was read. */
typedef struct nn_array {
    const char *name; /* in an npz file, for writing; NULL after reading */
    int rank;
    size_t shape[NN_MAX_RANK];
    nn_real *values;  /* row by row, of any type in the file; NaN and infinity as they are */
} nn_array;

NN_DEF nn_status nn_read_npy(const char *path, nn_array *out);
NN_DEF nn_status nn_read_npz(const char *path, const char *name, nn_array *out);
NN_DEF void nn_array_free(nn_array *array); /* leaves it zeroed; NULL is fine */
/* npy 1.0 as f4, or f8 with NN_DOUBLE: of a tensor t->rank, t->shape, t->data. This and the others
   that write put a complete file in the place of an old one, or report an error and leave it. */
NN_DEF nn_status nn_write_npy(const char *path, int rank, const size_t *shape,
                              const nn_real *values);
/* Each array under its name, which no other has; less than 4 GB in all. */
NN_DEF nn_status nn_write_npz(const char *path, size_t count, const nn_array *arrays);
/* Members "samples", as they are stored and before normalisation, and where there are such "labels"
   and "targets", in the data set's order. */
NN_DEF nn_status nn_dataset_write_npz(const nn_dataset *data, const char *path);
/* values[rows,cols], such as predictions, one row a line, each number with the fewest digits that
   read back as it, a decimal point whatever the locale, an empty cell for NaN. names: of the cols
   columns, or NULL for no header. */
NN_DEF nn_status nn_write_csv(const char *path, size_t rows, size_t cols, const nn_real *values,
                              const char *const *names);

/* What a gap becomes: an error, a row that is left out, or for every feature a value of those that
   are there (of categories always the most frequent one). */
typedef enum nn_missing {
    NN_MISSING_ERROR, NN_MISSING_SKIP, NN_MISSING_MEAN, NN_MISSING_MEDIAN,
    NN_MISSING_MOST_FREQUENT
} nn_missing;

/* Lists name columns: "age, fare", "1, -1", "2..5", "sepal..petal": names of the header, or numbers
   from 1, or from the end when negative. In quotes a name may hold a comma. */
typedef struct nn_csv_desc {
    char delimiter;       /* default ','; ' ' stands for runs of blanks and tabs */
    char comment;         /* lines that begin with it are left out (default: none) */
    size_t skip_lines;    /* so many lines at the start are left out */
    int header;           /* the first line holds names: 1 yes, -1 no; 0: yes, if a list below uses
                             one, or it is all text and the next line has a number */
    const char *labels;   /* the column of classes, or several: one-hot */
    int relabel;          /* integers >= 0 become classes in numeric order, too: 1, 3, 7: 0, 1, 2 */
    const char *targets;  /* columns of real targets */
    const char *ignore;   /* columns that are left out */
    const char *features; /* default: all other columns */
    const char *one_hot;  /* features that are categories: each becomes a feature of 0 and 1 */
    const char *codes;    /* features that are categories, numbered from 0 */
    const char *missing;  /* marks of gaps beside the empty cell: "?, NA" */
    nn_missing fill;
    const nn_dataset *like; /* read with that set's classes, categories and fills: a name that it
                               does not have is an error */
} nn_csv_desc;

/* Text as RFC 4180 has it, lines ending in LF, CR LF or CR, numbers with a decimal point whatever
   the locale. Blank lines are skipped. Labels that are integers >= 0, however they are written, are
   taken as they are; other numbers are classes in numeric order, and texts are classes in order of
   appearance: class_names. Errors name line and column. Read all files of a task like the first. */
NN_DEF nn_status nn_load_csv(const char *path, const nn_csv_desc *desc, nn_dataset *out);
#endif
/* The name of the column that a feature (from 0) of a CSV file comes from, and in *category the
   text that a one-hot feature stands for; NULL where there is none such. category may be NULL. The
   set that was loaded owns the texts, views borrow them. */
NN_DEF const char *nn_dataset_feature_name(const nn_dataset *data, size_t feature,
                                           const char **category);

/* Arrays in memory, borrowed: x[count,features], labels (copied; NULL for none) in [0, classes). */
NN_DEF nn_status nn_dataset_from_arrays(const nn_real *x, size_t count, size_t features,
                                        const int *labels, int classes, nn_dataset *out);
NN_DEF nn_status nn_dataset_from_bytes(const uint8_t *x, size_t count, size_t features,
                                       const int *labels, int classes, nn_dataset *out);
/* Adds real targets, borrowed: targets[count,target_size]. Not for a view. */
NN_DEF nn_status nn_dataset_set_targets(nn_dataset *data, const nn_real *targets,
                                        size_t target_size);
/* Sets the shape of one sample; its product must be `features`. */
NN_DEF nn_status nn_dataset_set_shape(nn_dataset *data, int rank, const size_t *shape);
/* Swaps the last two dimensions of every sample (EMNIST's images lie on their side). Not for a
   view; normalise per feature afterwards. */
NN_DEF nn_status nn_dataset_transpose(nn_dataset *data);

/* An input for the samples of a data set: images [height, width] as [height, width, 1], those with
   channels_first as [height, width, channels], all others in their own shape. */
NN_DEF nn_tensor *nn_input_like(nn_net *net, const nn_dataset *data);

/* Views. first + count <= data->count. */
NN_DEF nn_status nn_dataset_subset(const nn_dataset *data, size_t first, size_t count,
                                   nn_dataset *out);
/* The samples of the named classes, in order; class classes[i] becomes label i. */
NN_DEF nn_status nn_dataset_select_classes(const nn_dataset *data, int class_count,
                                           const int *classes, nn_dataset *out);
/* The given samples, in that order; one may come several times. */
NN_DEF nn_status nn_dataset_select(const nn_dataset *data, const size_t *samples, size_t count,
                                   nn_dataset *out);
/* A random split: round(fraction * count) samples into a, the rest into b. 0 < fraction < 1, and
   neither part may be empty. Fit the normalisation on a part and give it to the other. */
NN_DEF nn_status nn_dataset_split(const nn_dataset *data, double fraction, uint64_t seed,
                                  nn_dataset *a, nn_dataset *b);
/* The same with every class in its share, to within one sample. */
NN_DEF nn_status nn_dataset_split_stratified(const nn_dataset *data, double fraction, uint64_t seed,
                                             nn_dataset *a, nn_dataset *b);
/* Cross-validation: fold 0, 1, ... of `folds` into held_out, the rest into train. With one seed
   every sample is held out once. Stratified: every class is spread evenly. */
NN_DEF nn_status nn_dataset_fold(const nn_dataset *data, size_t folds, size_t fold, int stratified,
                                 uint64_t seed, nn_dataset *train, nn_dataset *held_out);
/* data->count draws with replacement into drawn, what was never drawn into rest. */
NN_DEF nn_status nn_dataset_bootstrap(const nn_dataset *data, uint64_t seed, nn_dataset *drawn,
                                      nn_dataset *rest);
/* All samples, those of smaller classes repeated: every class as often as the largest. */
NN_DEF nn_status nn_dataset_balance(const nn_dataset *data, uint64_t seed, nn_dataset *out);
/* weights[classes]: samples / (classes that occur * samples of the class); 0 for one that does not
   occur. Their mean over the samples is 1. */
NN_DEF nn_status nn_dataset_class_weights(const nn_dataset *data, nn_real *weights);
NN_DEF void nn_dataset_free(nn_dataset *data); /* leaves it zeroed; NULL is fine */

/* Normalisation replaces the one in force and refuses samples that are not finite. Rescaling maps
   raw values [raw_low, raw_high] to [low, high]: (0, 255, -1, 1) for bytes. */
NN_DEF nn_status nn_dataset_rescale(nn_dataset *data, double raw_low, double raw_high, double low,
                                    double high);
/* (raw - mean) / deviation, by the mean and the population deviation (divided by n) of the whole
   set, of each feature, or of each channel (samples of rank 3). What never changes is only
   shifted. */
typedef enum nn_per { NN_PER_SET, NN_PER_FEATURE, NN_PER_CHANNEL } nn_per;
NN_DEF nn_status nn_dataset_standardize(nn_dataset *data, nn_per per);
/* Gives `data` the normalisation fitted on `from`. NN_ERROR_BAD_SHAPE when the features differ. */
NN_DEF nn_status nn_dataset_normalize_like(nn_dataset *data, const nn_dataset *from);
/* out[n,features] = normalised samples rows[0..n), in the order of storage; rows NULL: the first n.
   NN_ERROR_BAD_ARGUMENT names an index past the end. */
NN_DEF nn_status nn_dataset_gather(const nn_dataset *data, const size_t *rows, size_t n,
                                   nn_real *out);

/* ---------------------------------------------------------------------------------- >>api-train
   Accuracy: the share of samples whose label is the predicted class, the largest of a row of
   outputs (the first at a tie), or for one output whether it lies above its threshold: 0.5 for a
   sigmoid or for regression of 0 and 1, else 0. A row with a NaN is a wrong prediction. Without
   labels the class is that of targets which are distributions, one-hot rows, or 0 and 1 in one
   column. Else there is no accuracy, which is NaN here, nothing in what is printed and an empty
   cell in a CSV file. With several losses it is that of the first that takes labels.

   A data set that a trained network is asked about, for validation, evaluation or prediction, must
   mean the same by its numbers as the set that it was trained on last: the same shape where both
   have more than one dimension, where both have the same dtype the same normalisation
   (nn_dataset_normalize_like), and, where labels are looked at, as many classes of the same names.
   NN_ERROR_MISMATCH says what differs. */

typedef struct nn_result {
    double loss;
    double accuracy;
    double metric;   /* of nn_train_desc.metric; NaN without one */
    size_t count;    /* samples */
} nn_result;

/* Loss and accuracy over a data set, dropout off: a mean is the mean over all samples (or over the
   weights of all), a sum is over all samples, a maximum of all. A scalar of nn_custom counts as a
   mean over samples. */
NN_DEF nn_status nn_evaluate(nn_tensor *loss, const nn_dataset *data, nn_result *out);
/* output's values for every sample: out[count, output's row_size]. Dropout off. */
NN_DEF nn_status nn_predict(nn_tensor *output, const nn_dataset *data, nn_real *out);
/* The same for x[rows,...] in memory, fed as it is: normalise it as the training data was. */
NN_DEF nn_status nn_predict_rows(nn_tensor *output, const nn_real *x, size_t rows, nn_real *out);
/* Test-time augmentation: the mean of the outputs for the sample as it is, with `shift` also moved
   by so many pixels up and left, and down and right, and with `flip` for all of these mirrored as
   well (2, 3 or 6 runs). For images. desc may be NULL: nn_predict. */
typedef struct nn_predict_desc {
    int flip;
    size_t shift;
    int reflect; /* as in nn_augment, with shift */
} nn_predict_desc;
NN_DEF nn_status nn_predict_with(nn_tensor *output, const nn_dataset *data,
                                 const nn_predict_desc *desc, nn_real *out);
/* matrix[classes,classes]: how often label (row) was taken for (column). NN_ERROR_NOT_FINITE names
   the first sample whose output is NaN. */
NN_DEF nn_status nn_confusion_matrix(nn_tensor *output, const nn_dataset *data, size_t *matrix);

typedef struct nn_check {
    size_t step, epoch;                /* steps done; epoch from 0 */
    double train_loss, train_accuracy; /* mean over the epoch's samples so far, each as its batch
                                          found it; the whole set's with evaluate_training */
    double batch_loss, batch_accuracy; /* of the last batch, before its step */
    double validation_loss, validation_accuracy, validation_metric; /* NaN without validation */
    double learning_rate; /* of the last step, with the parameters' scale where they share one */
    double seconds;       /* since the start */
    int improved;         /* the validation loss is the best so far */
} nn_check;

/* What happened in training. Zero it before the first use; nn_history_free afterwards. Runs
   append. */
typedef struct nn_history {
    nn_check *checks;
    size_t check_count, check_capacity;
    double *step_loss; /* every step's batch loss, with nn_train_desc.log_steps */
    size_t step_count, step_capacity;
    size_t epochs;    /* epochs begun in the last run; 33 when it stopped within epoch 32 */
    size_t best;      /* index of the best check of the last run */
    int stopped_early;
    double seconds;   /* of the last run */
} nn_history;

#ifndef NN_NO_TRAINING
NN_DEF void nn_history_free(nn_history *history);
#ifndef NN_NO_STDIO
/* step,epoch,train_loss,train_accuracy,batch_loss,batch_accuracy,validation_loss,
   validation_accuracy,learning_rate,seconds: one line per check, each number with the fewest digits
   that read back as it, a decimal point whatever the locale, an empty cell for NaN. */
NN_DEF nn_status nn_history_write_csv(const nn_history *history, const char *path);
#endif
#endif

/* How training varies samples, drawn anew for each of them in each epoch: by the run's seed, which
   comes from the network's generator, the epoch and the sample's number alone. What is stored stays
   as it is, and checks and predictions see it so. In the order of the members, and all 0: off.
   Those on pixels are for images, samples of rank 2 or 3. */
typedef enum nn_flip {
    NN_FLIP_NONE,
    NN_FLIP_RANDOM,     /* left to right, with probability 1/2 */
    NN_FLIP_ALTERNATING /* so in epoch 0; in each other epoch those that were not in the one before
                           (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024) */
} nn_flip;

typedef struct nn_augment {
    nn_flip flip;
    double rotation;   /* about the centre, up to so many degrees either way (0 to 180); bilinear */
    size_t shift;      /* by up to so many pixels in each direction, as padding and cropping does:
                          less than height and width */
    int reflect;       /* what comes in from outside is the mirror image of the inside, without the
                          edge itself; otherwise the raw value 0, as PyTorch pads before it
                          normalises */
    double brightness; /* raw values times a factor from 1 - brightness to 1 + brightness: 0 to 1 */
    double contrast;   /* their distance from the sample's mean likewise. Bytes end at 0 and 255 */
    double noise;      /* + N(0, noise) on every normalised value; samples of any shape */
    size_t cutout;     /* a square of this side about some pixel, cut off at the edges, becomes 0
                          after normalisation, the mean of standardised data (DeVries and Taylor
                          2017): at most height and width */
    double mixup;      /* > 0: m x + (1 - m) x', and targets likewise, with any other sample x' of
                          the set, m from Beta(mixup, mixup), the larger share its own (Zhang et al.
                          2018); samples of any shape. Losses must take targets, and then get them
                          instead of labels; accuracy in training is by the sample's own class */
} nn_augment;

typedef struct nn_train_desc {
    size_t epochs;     /* > 0 */
    size_t batch_size; /* > 0, at most the number of samples */
    int no_shuffle;    /* keep the samples in order (default: a new order every epoch) */
    int drop_last;     /* leave out the last, partial batch of an epoch (default: use it) */
    nn_optimizer_desc optimizer; /* kind 0: go on with the one set before, state included */
    /* Other weights than those that the optimiser moves: checks see them, on_check included, and
       the run ends with them (after both, with the average). */
    double ema_decay;       /* d, 0 < d < 1: the exponential moving average of parameters and
                               buffers after each step, a += (1 - d) / (1 - d^t) (w - a) in step
                               t = 1, 2, ..., in which the initial values do not count (0: off) */
    size_t lookahead_steps; /* after each so many steps slow += lookahead_rate (w - slow), w = slow,
                               for the parameters; the optimiser's state goes on: Zhang et al. 2019,
                               "Lookahead optimizer" (0: off) */
    double lookahead_rate;  /* 0 to 1 (default 0.5) */
    nn_augment augment;
    const nn_dataset *validation;
    /* When to check: after step s (0, 1, ...) whenever s % check_every == 0, so first after one
       step; checks_per_epoch sets check_every to steps per epoch / checks_per_epoch. Default: at
       the end of every epoch. */
    size_t check_every, checks_per_epoch;
    int evaluate_training; /* checks compute loss and accuracy over the whole training set */
    size_t patience;       /* stop after so many checks without a lower validation loss (0: off) */
    int restore_best;      /* end with the weights of the best check instead of the last */
    int log_steps;         /* keep every step's loss in the history */
#ifndef NN_NO_STDIO
    FILE *progress;        /* where to report (default: nowhere): on a terminal with a bar */
    const char *save_path; /* keep the run in this file, for nn_open as well (see >>api-save): */
    size_t save_every;     /* after so many steps (default: every epoch), and at the end */
    int resume;            /* go on from save_path when that file exists: the same bits as a run
                              without a break. NN_ERROR_MISMATCH says what another network, data
                              set or desc differs in; more epochs are no difference */
    const char *save_best_path; /* keep the network at each check that is the best so far */
#endif
    double (*metric)(void *user, size_t rows, size_t cols, const nn_real *output, const int *labels,
                     const nn_real *targets); /* summed over rows of the validation set */
    int (*on_step)(void *user, nn_net *net, size_t step, double loss); /* not 0: stop here */
    int (*on_check)(void *user, nn_net *net, const nn_check *c);   /* not 0: stop here */
    void *user;
} nn_train_desc;

#ifndef NN_NO_TRAINING
/* Trains the network that `loss` belongs to, any scalar that depends on one input of samples; its
   losses are fed from the data set's labels, or from its targets where they take none.
   history may be NULL. NN_ERROR_NOT_FINITE: stopped because the loss was not finite, or the weights
   after the last step; the message names step and tensor. */
NN_DEF nn_status nn_train(nn_tensor *loss, const nn_dataset *data, const nn_train_desc *desc,
                          nn_history *history);

/* The same in steps of the caller's: create, then step or epoch until done, then destroy. data, the
   validation set and history must outlive it. Memory comes from the network's allocator. */
typedef struct nn_trainer nn_trainer;
NN_DEF nn_status nn_trainer_create(nn_tensor *loss, const nn_dataset *data,
                                   const nn_train_desc *desc, nn_history *history,
                                   nn_trainer **out);
NN_DEF nn_status nn_trainer_step(nn_trainer *trainer);  /* one update, and its check when due */
NN_DEF nn_status nn_trainer_epoch(nn_trainer *trainer); /* to the end of the epoch, or of all */
/* Whether there is nothing left to do: all epochs, early stopping, a callback or an error. */
NN_DEF int nn_trainer_is_done(const nn_trainer *trainer);
#ifndef NN_NO_STDIO
/* Keeps the run where it is, for nn_train_desc.resume. */
NN_DEF nn_status nn_trainer_save(nn_trainer *trainer, const char *path);
#endif
/* Ends the run, wherever it is: with restore_best the best weights come back. NULL is fine. */
NN_DEF void nn_trainer_destroy(nn_trainer *trainer);
#endif

/* ------------------------------------------------------------------------------------- >>api-save
   A network in a file: safetensors, which Python reads as it is (examples/load_in_pytorch.py), with
   the values of parameters and buffers under their names, a nameless one as "tensor.ID". Beside
   them, in the file's metadata: the architecture, and what the network was trained on, with its
   normalisation and the names of its classes, but not how a CSV file was read (nn_csv_desc.like).
   Nothing in a file is trusted.

   Files are written beside PATH, to PATH.tmp, which then becomes PATH: after any failure the old
   file is as it was. What a killed process has left there the next one replaces. Who finds it in
   use takes PATH.1.tmp and so on, or PATH.PROCESS.tmp where files cannot be locked. */

typedef struct nn_save_desc {
    int weights_only; /* parameters and buffers alone: nn_load reads it, nn_open does not */
    int training;     /* the optimiser with its state, the step count and the generator, too */
} nn_save_desc;

#ifndef NN_NO_STDIO
/* desc may be NULL. NN_ERROR_CANNOT_WRITE: no room, no permission. An operation of the user's own
   needs nn_op.describe, unless weights_only. */
NN_DEF nn_status nn_save(const nn_net *net, const char *path, const nn_save_desc *desc);
#endif
/* The same file in memory: *bytes of *size, for nn_free to release. */
NN_DEF nn_status nn_save_memory(const nn_net *net, const nn_save_desc *desc, void **bytes,
                                size_t *size);
NN_DEF void nn_free(void *block); /* NULL is fine */

/* How a tensor of another library lies in the file. */
typedef enum nn_load_as {
    NN_LOAD_AS_IT_IS,
    NN_LOAD_TRANSPOSED,   /* PyTorch's Linear, [out, in]: a dense weight, [in, out] */
    NN_LOAD_OIHW,         /* PyTorch's Conv2d, [out, in, height, width]: a kernel of [height, width,
                             in, out] */
    NN_LOAD_AFTER_FLATTEN /* a Linear behind a flatten of channels, height, width: a dense weight
                             whose inputs are in the order height, width, channels */
} nn_load_as;

typedef struct nn_name_map {
    const char *file, *net; /* its name there and here */
    nn_load_as as;
    size_t channels, height, width; /* of what was flattened */
} nn_name_map;

typedef struct nn_load_desc {
    int partial;  /* load what is there by name: what is missing or left over is no error */
    int training; /* the optimiser's state, the step count and the generator, too */
    const nn_name_map *map; /* for names that differ, or tensors that lie otherwise */
    size_t map_count;
} nn_load_desc;

/* What nn_load did. Its lists are released by nn_load_report_free. */
typedef struct nn_load_report {
    size_t loaded;              /* parameters and buffers */
    const char **missing;       /* that the file does not have, */
    const char **left_over;     /* and the file's that the network does not have */
    size_t missing_count, left_over_count;
    size_t not_finite;          /* values that are NaN or infinite: they are loaded */
} nn_load_report;

/* Reads values into a network that was built before. The parameters' and buffers' names and shapes
   are those of the file's tensors, all of them, unless `partial`: NN_ERROR_MISMATCH and
   NN_ERROR_BAD_SHAPE say which is not. F16, BF16, F64 and integers are converted. After an error
   the network is as it was. Except in a partial load, what the network was trained on comes from
   the file as well. desc and report may be NULL. */
#ifndef NN_NO_STDIO
NN_DEF nn_status nn_load(nn_net *net, const char *path, const nn_load_desc *desc,
                         nn_load_report *report);
#endif
NN_DEF nn_status nn_load_memory(nn_net *net, const void *bytes, size_t size,
                                const nn_load_desc *desc, nn_load_report *report);
NN_DEF void nn_load_report_free(nn_load_report *report);

typedef struct nn_open_desc {
    nn_net_desc net;
    const nn_op *ops; /* the user's own operations that the file may use, with `describe` */
    size_t op_count;
    int training;     /* go on with the optimiser's state, the step count and the generator */
    int in_place;     /* nn_open_memory: values stay where they are, for which see below */
} nn_open_desc;

/* The network that nn_save wrote, made anew with all its tensors, losses and names: to predict, or
   to be trained further. NULL when that fails; nn_last_error() then names file and tensor. desc
   may be NULL.

   With in_place the values of parameters and buffers are not copied: they are used where they lie
   in `bytes`, which may be constant (firmware's flash, a file that is mapped for reading), must
   outlive the network and must not change. Every one of them then has to be of the type of nn_real,
   F32, or F64 with NN_DOUBLE, and at an address that is a multiple of its size: files of this
   library are so where `bytes` itself is. What does not fit is an error that names the tensor, not
   a copy. Such a network predicts, is saved and exported; whatever would change or train its values
   is NN_ERROR_BAD_ARGUMENT. */
#ifndef NN_NO_STDIO
NN_DEF nn_net *nn_open(const char *path, const nn_open_desc *desc);
#endif
NN_DEF nn_net *nn_open_memory(const void *bytes, size_t size, const nn_open_desc *desc);

/* The tensor that predictions are read from: one that was set, here or before the network was
   saved, or else what the first loss that takes labels (then the first loss) is computed from, or
   the last tensor; and the input of samples that it depends on. NULL with a message when there is
   none, or several inputs. */
NN_DEF nn_tensor *nn_net_output(const nn_net *net);
NN_DEF nn_status nn_net_set_output(nn_net *net, nn_tensor *output); /* NULL: not any more */
NN_DEF nn_tensor *nn_net_input(const nn_net *net);
/* Classes of raw samples[rows, features], in the numbers and the order that the training data had,
   CIFAR's channels first: they are normalised as it was. labels[rows] and probabilities[rows,
   classes] may be NULL. features and classes are the row_size of nn_net_input and nn_net_output,
   but a single output has two classes: ask them before you trust a file to have as many as your
   arrays. NN_ERROR_BAD_ARGUMENT where the outputs of a hinge loss or a regression are asked for
   probabilities. */
NN_DEF nn_status nn_classify(nn_net *net, const nn_real *samples, size_t rows, int *labels,
                             nn_real *probabilities);
NN_DEF nn_status nn_classify_bytes(nn_net *net, const uint8_t *samples, size_t rows, int *labels,
                                   nn_real *probabilities);
/* The class's name in the training data; "" when it has none. */
NN_DEF const char *nn_class_name(const nn_net *net, int label);
/* Gives `data` the normalisation of the set that the network was trained on. */
NN_DEF nn_status nn_dataset_normalize_for(nn_dataset *data, const nn_net *net);

/* How a file tells an operation. nn_op.describe is called with the tensor to be written, and then
   gives the members below their values and returns NULL; or, with t NULL, to make a tensor again:
   it then gets the members from the file, 0 where they are not there (what is 0 is not written),
   and returns what the operation's own builder made of them and of the sources. The builder's
   checks are what protects from a damaged file. A dropout, say:

       static nn_tensor *describe(nn_description *d, const nn_tensor *t)
       {
           double p = t ? settings_of(t)->p : 0;
           nn_describe_real(d, "p", &p);
           return t ? NULL : nn_dropout(nn_describe_source(d, 0), p);
       }

   Parameters are tensors of their own, made before it: sources to be handed to the builder. For an
   operation of the user's own the builder is what calls nn_custom, with settings that outlive the
   network, and nn_open_desc.ops names its record. */
typedef enum nn_field {
    NN_FIELD_INT, NN_FIELD_SIZE, NN_FIELD_REAL, NN_FIELD_CHOICE, NN_FIELD_INTS, NN_FIELD_SIZES,
    NN_FIELD_REALS
} nn_field;

struct nn_description {
    nn_net *net;
    const nn_op *op;
    size_t src_count;       /* as the file has them, which is not to be trusted: */
    nn_tensor *const *src;  /* use nn_describe_source */
    void (*visit)(nn_description *d, const char *key, nn_field type, void *values, size_t *count,
                  size_t max);
    const char *const *names; /* of the present choice */
    void *file;               /* visit's own */
};

NN_DEF nn_tensor *nn_describe_source(const nn_description *d, size_t i); /* NULL past the last */
NN_DEF void nn_describe_int(nn_description *d, const char *key, int *value);
NN_DEF void nn_describe_size(nn_description *d, const char *key, size_t *value);
NN_DEF void nn_describe_real(nn_description *d, const char *key, double *value);
/* One of `count` names, as its index. */
NN_DEF void nn_describe_choice(nn_description *d, const char *key, int *value,
                               const char *const *names, size_t count);
/* Arrays with room for `max` values. */
NN_DEF void nn_describe_ints(nn_description *d, const char *key, int *values, size_t *count,
                             size_t max);
NN_DEF void nn_describe_sizes(nn_description *d, const char *key, size_t *values, size_t *count,
                              size_t max);
/* An array of exactly `count`, or NULL; what is read belongs to the network. */
NN_DEF void nn_describe_reals(nn_description *d, const char *key, const nn_real **values,
                              size_t count);
/* --------------------------------------------------------------------------------- >>api-export
   A trained network as a C file of its own, or for other libraries. */

#ifndef NN_NO_STDIO
typedef struct nn_export_report {
    size_t constant_bytes;    /* weights, and what else the file has in constant arrays */
    size_t working_bytes;     /* static memory of NAME_predict */
    size_t samples;           /* of desc.data; 0 without it, and then what follows is 0 */
    double accuracy;          /* on it, as reals; NaN without labels */
    double exported_accuracy; /* as exported */
    double max_difference;    /* of an output, between the two */
} nn_export_report;

typedef struct nn_export_desc {
    const char *name;        /* what all names in the file begin with, a C identifier of up to 64
                                letters; default "net" */
    int int8;                /* weights of dense layers and convolutions (not transposed ones) as
                                int8, in steps of each unit's or filter's largest weight / 127;
                                their inputs as int8 in steps of each row's or image's largest value
                                / 127, which takes working memory of a byte for each value of the
                                largest one; sums in 32 bits, all else in reals */
    const nn_dataset *data;  /* its first three samples are what NAME_test tries, and accuracy is
                                measured on it. Normalised as the training set was */
    nn_export_report *report; /* filled when not NULL */
} nn_export_desc;

/* Writes a C99 file, also valid C++, that computes `output` from one sample without nn.h, malloc or
   stdio: constant weights, static working memory whose size stands in its first comment, and

       void NAME_predict(const float *in, float *out);
       void NAME_predict_raw(const unsigned char *raw, float *out);
       int NAME_test(void);

   (double with NN_DOUBLE). Without int8 the outputs have the bits that the library computes, on
   every machine that has IEEE 754 arithmetic, with or without fused multiply-add. NAME_predict_raw,
   there when the network was trained on a data set that was normalised, of bytes (then raw is
   bytes) or with channels first, takes samples as they were stored. NAME_test returns 0 when three
   samples give the exact bits expected, else the number of the first that does not; -DNAME_NO_TEST
   leaves it out. The output depends on one input. NN_ERROR_BAD_ARGUMENT names an operation that
   cannot be exported: losses, nn_pow, nn_custom. Square roots, also those of normalisation, are the
   C library's. desc may be NULL. The file appears at the path when it is complete. */
NN_DEF nn_status nn_export_c(nn_tensor *output, const char *path, const nn_export_desc *desc);

/* Writes an ONNX file (opset 13, 32-bit reals) with one input, "input", and one output, "output",
   batch first. It takes samples after normalisation. Losses and nn_custom cannot be exported. */
NN_DEF nn_status nn_export_onnx(nn_tensor *output, const char *path);
#endif

/* -------------------------------------------------------------------------------- >>api-gradcheck
   Compares gradients with numeric slopes of f, signed, one element x at a time. First with
   (f(x + u) - f(x - u)) / 2u at a step u = h max(1, |x|), or the one that was right for the element
   before; it decides where the two agree. Elsewhere the step is searched for: f is sampled at steps
   u, 2^(-1/4) u, ... over 34 octaves, and through every twelve samples a curve is laid by least
   squares,
       f(x + u) - f(x) = (g u + b u^3) + (k |u| + c u^2),
   with the standard errors of g and k from its residuals, which hold rounding, curvature and kinks
   alike. Of the scales at which the residuals are noise the one counts whose 10 errors + |k| are
   least. A gradient a is right when
       |a - g| <= atol + rtol max(|a|, |g|) + 10 errors + |k| + 4 roundings:
   at a kink any slope between those of its sides is right. Errors are at least what the last bits
   of all that is computed make of f, and roundings are what they make of a (nn_gradcheck finds both
   by changing them at random; nn_gradcheck_function takes epsilon |f| / 4 and 0). */
#ifndef NN_NO_TRAINING
typedef struct nn_gradcheck_desc {
    double h;         /* first step, relative to max(1, |x|): default 1e-5, in float 1e-2 */
    double atol;      /* default 0 */
    double rtol;      /* default 1e-5 in double, 1e-3 in float */
    size_t max_per_tensor; /* check at most so many elements of a tensor, spread evenly (0: all) */
    int allow_zero;   /* a gradient that is zero everywhere is no error */
    int inputs;       /* check inputs that have requires_grad, too (parameters always) */
} nn_gradcheck_desc;

typedef struct nn_gradcheck_report {
    size_t checked, wrong;
    size_t kinks;              /* elements that are right only because of a kink */
    size_t unsure;             /* elements where a fault of 5 % could not be told from rounding */
    double max_error;          /* the largest |a - g| away from kinks */
    double max_relative_error; /* the largest |a - g| / max(1e-12, |a| + |g|) away from kinks */
    const char *tensor;        /* where the worst element is: name, index, both slopes, and how */
    size_t index;              /* far the numeric one may be off: 10 errors + |k|, or 0 where the */
    double analytic, numeric;  /* first step has decided */
    double uncertainty;
} nn_gradcheck_report;

/* Checks what nn_backward gives for a loss whose inputs and labels have been fed, over the
   parameters made before it. Dropout draws the same mask in every evaluation. The network's values
   are as before afterwards, buffers among them. NN_ERROR_GRADIENT_WRONG comes with the worst
   element, NN_ERROR_GRADIENT_ZERO with the tensor; NN_ERROR_NOT_FINITE when the loss is NaN or
   infinite at a value or at any step from it. desc and report may be NULL. An element takes 2
   evaluations, or 26 to 290 where the step is searched for. */
NN_DEF nn_status nn_gradcheck(nn_tensor *loss, const nn_gradcheck_desc *desc,
                              nn_gradcheck_report *report);
/* The same for any function: f(user) evaluates at the present x[n]; analytic[n] is df/dx by hand.
   f is called once, and then as often as above for each element. */
NN_DEF nn_status nn_gradcheck_function(const char *name, double (*f)(void *user), void *user,
                                       size_t n, nn_real *x, const nn_real *analytic,
                                       const nn_gradcheck_desc *desc, nn_gradcheck_report *report);
#endif

#ifdef __cplusplus
}
#endif
#endif /* NN_H */

/* =================================================================================================
   IMPLEMENTATION
   =================================================================================================
   This file includes itself once per instruction set: with NN__PASS defined, all it contributes is
   the sections from >>vectors to >>table, compiled for that set. So each kernel is written once,
   and a debugger shows its lines. */
#if defined(NN_IMPLEMENTATION) && !defined(NN__IMPLEMENTED) && !defined(NN__PASS)

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef NN_USE_ZLIB
#include <zlib.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
#define NN__ISATTY(fd) isatty(fd)
#define NN__SYNC(stream) fsync(fileno(stream))
#define NN__REPLACE(from, to) rename(from, to)
#define NN__PROCESS getpid()
#if !defined(NN_NO_STDIO) &&                                                                       \
    (defined(__linux__) || defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) ||    \
     defined(__OpenBSD__))
#include <sys/file.h> /* flock */
#define NN__LOCKS
#endif
#if defined(__linux__) && !defined(_POSIX_C_SOURCE) && !defined(__cplusplus)
extern int fsync(int fd); /* -std=c99 hides them */
extern int fileno(FILE *stream);
#endif
#else
#define NN__ISATTY(fd) 0
#define NN__SYNC(stream) 0
#define NN__REPLACE(from, to) (remove(to), rename(from, to))
#define NN__PROCESS 0
#endif

#if !defined(NN_NO_SIMD) && (defined(__GNUC__) || defined(__clang__))
#if defined(__x86_64__) && !defined(__ILP32__)
#define NN__X86
#include <cpuid.h>
#elif defined(__aarch64__)
#define NN__ARM
#include <arm_neon.h>
#endif
#endif

#if defined(NN_MALLOC) && defined(NN_REALLOC) && defined(NN_FREE)
#elif !defined(NN_MALLOC) && !defined(NN_REALLOC) && !defined(NN_FREE)
#define NN_MALLOC(size) malloc(size)
#define NN_REALLOC(block, size) realloc(block, size)
#define NN_FREE(block) free(block)
#else
#error "define all three of NN_MALLOC, NN_REALLOC and NN_FREE, or none"
#endif

#ifndef NN_SELF
#define NN_SELF "nn.h"
#endif

#ifndef NN_STACK_BYTES
#define NN_STACK_BYTES 61440
#elif NN_STACK_BYTES < 4096 || NN_STACK_BYTES > 1048576
#error "NN_STACK_BYTES is 4096 to 1048576"
#endif

/* Every result depends on the order and the rounding that are written down here, so the compiler
   must neither contract, reassociate nor assume finite values, whatever the command line says. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wignored-pragmas" /* clang 14 for arm64 has no float_control */
#pragma float_control(push)
#pragma float_control(precise, on)
#pragma clang diagnostic pop
#pragma STDC FP_CONTRACT OFF
#define NN__INLINE static inline __attribute__((always_inline, unused))
#define NN__NOINLINE __attribute__((noinline))
#define NN__ALIGNED __attribute__((aligned(64)))
#define NN__PREFETCH(p) __builtin_prefetch(p)
/* The compiler forgets what it derived from n, instead of keeping it in registers that it lacks. */
#define NN__OPAQUE(n) __asm__("" : "+r"(n))
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("no-fast-math", "no-associative-math", "no-reciprocal-math")
#pragma GCC optimize("no-finite-math-only", "signed-zeros", "fp-contract=off")
#if defined(__i386__) && !defined(__SSE2_MATH__)
#pragma GCC target("sse2", "fpmath=sse")
#endif
#define NN__INLINE static inline __attribute__((always_inline, unused))
#define NN__NOINLINE __attribute__((noinline))
#define NN__ALIGNED __attribute__((aligned(64)))
#define NN__PREFETCH(p) __builtin_prefetch(p)
/* The compiler forgets what it derived from n, instead of keeping it in registers that it lacks. */
#define NN__OPAQUE(n) __asm__("" : "+r"(n))
#else
#define NN__INLINE static inline
#define NN__NOINLINE
#define NN__ALIGNED
#define NN__PREFETCH(p) (void)(p)
#define NN__OPAQUE(n) (void)(n)
#endif

#ifndef NN_THREAD_LOCAL
#if defined(__TINYC__)
#define NN_THREAD_LOCAL
#elif defined(__GNUC__) || defined(__clang__)
#define NN_THREAD_LOCAL __thread
#else
#define NN_THREAD_LOCAL _Thread_local
#endif
#endif

#if defined(__clang__) && defined(__FAST_MATH__)
#error                                                                                             \
    "nn.h: clang's -ffast-math and -Ofast change results whatever a file asks for: use -O2 or -O3"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && !defined(__SSE2_MATH__)
#error "nn.h: this compiler keeps more digits than nn_real has (FLT_EVAL_METHOD is not 0), which \
gives other results: compile with -msse2 (gcc: and -mfpmath=sse) on x86, with -std=gnu99 elsewhere"
#endif

/* -------------------------------------------------------------------------------------- >>base
   Errors, sizes, memory. Everything that can fail passes through nn__fail, so that the message and
   the status cannot drift apart. */

static NN_THREAD_LOCAL char nn__message[512];

#define NN__STATUS_TEXT(id, text) text,
NN_DEF const char *nn_status_string(nn_status status)
{
    static const char *const texts[] = {NN_STATUS_LIST(NN__STATUS_TEXT)};
    return (unsigned)status < NN_STATUS_COUNT ? texts[status] : "unknown status";
}

NN_DEF const char *nn_last_error(void) { return nn__message; }

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3)))
#endif
static nn_status nn__fail(nn_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(nn__message, sizeof nn__message, format, args);
    va_end(args);
    return status;
}

#if !defined(NN_STATIC) && (defined(__GNUC__) || defined(__clang__))
const char NN__REAL_MARK = 0;
#endif

/* Messages print sizes as unsigned long long: C89-era printf libraries do not know %zu. */
typedef unsigned long long nn__ull;

/* *product = a * b; 0 when it does not fit. */
static int nn__multiply(size_t a, size_t b, size_t *product)
{
    if (b != 0 && a > SIZE_MAX / b) return 0;
    *product = a * b;
    return 1;
}

/* *sum = a + b; 0 when it does not fit. */
static int nn__add_sizes(size_t a, size_t b, size_t *sum)
{
    *sum = a + b;
    return *sum >= a;
}

static int nn__shape_size(int rank, const size_t *shape, size_t *size)
{
    *size = 1;
    for (int i = 0; i < rank; i++)
        if (!nn__multiply(*size, shape[i], size)) return 0;
    return 1;
}

/* NULL with a message when count * size bytes cannot be had. Never asks for 0 bytes. */
static void *nn__allocate(size_t count, size_t size)
{
    size_t bytes;
    void *block = NULL;
    if (nn__multiply(count, size, &bytes)) block = NN_MALLOC(bytes ? bytes : 1);
    if (!block)
        nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu values of %llu bytes", (nn__ull)count,
                 (nn__ull)size);
    return block;
}

static size_t nn__min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t nn__max_size(size_t a, size_t b) { return a > b ? a : b; }

/* By the bits, because -ffast-math lets a caller's compiler assume that isfinite is always true. */
static int nn__is_finite(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

/* Seconds since some moment, from the best clock that the language level in use offers; on Windows,
   where clock() is that of the wall and the others ask for a library, from clock(). */
NN__UNUSED static double nn__now(void)
{
#if defined(_WIN32)
    return (double)clock() / CLOCKS_PER_SEC;
#elif defined(TIME_UTC)
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#elif defined(CLOCK_MONOTONIC)
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#else
    return (double)clock() / CLOCKS_PER_SEC;
#endif
}

/* Scalar double functions for initial weights and schedules. libm's differ in the last bit from one
   machine to the next; these use +, -, *, / and sqrt alone, which IEEE 754 fixes. */

/* ln x for x > 0, normal: x = 2^e m, ln m = 2 artanh((m - 1) / (m + 1)). */
static double nn__log_scalar(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) m *= 2, e--;
    double s = (m - 1) / (m + 1), z = s * s, sum = 0;
    for (int k = 23; k >= 3; k -= 2) sum = (sum + 1.0 / k) * z;
    return e * 0.69314718055994530942 + 2 * (s + s * sum);
}

/* cos(pi t) for t in [0, 1], by the series of sin(pi (1/2 - t)). */
NN__UNUSED static double nn__cos_pi(double t)
{
    double u = 3.14159265358979323846 * (0.5 - t), z = u * u, sum = 1;
    for (int k = 20; k >= 2; k -= 2) sum = 1 - sum * z / (k * (k + 1.0));
    return u * sum;
}

static double nn__power(double base, size_t exponent)
{
    double result = 1;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

/* e^x: x = k ln 2 + r, e^r by its series; ln 2 in two parts, so that r is exact to the last bit. */
static double nn__exp_scalar(double x)
{
    if (!(x > -746)) return x <= -746 ? 0 : x;
    if (x > 710) return HUGE_VAL;
    const double k = floor(x * 1.4426950408889634074 + 0.5);
    const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double sum = 1;
    for (int i = 14; i >= 1; i--) sum = 1 + sum * r / i;
    return ldexp(sum, (int)k);
}

/* x^p; NaN for x < 0 unless p is an integer. */
static double nn__pow_scalar(double x, double p)
{
    const double size = fabs(p);
    if (p == floor(p) && size <= 1024) {
        const double result = nn__power(x, (size_t)size);
        return p < 0 ? 1 / result : result;
    }
    if (x < 0 && p == floor(p))
        return fmod(p, 2) != 0 ? -nn__pow_scalar(-x, p) : nn__pow_scalar(-x, p);
    if (!(x > 0)) return x == 0 ? (p > 0 ? 0 : HUGE_VAL) : NAN;
    if (!nn__is_finite(x)) return p > 0 ? x : 0;
    return nn__exp_scalar(p * nn__log_scalar(x));
}

/* -- arguments -- */

/* What an operation was refused for last while networks were being built in this thread. A chain
   of builders that began with an error passes NULL on, and whoever meets the NULL says why. */
static NN_THREAD_LOCAL char nn__message_cause[sizeof nn__message];
static NN_THREAD_LOCAL nn_status nn__message_status;

/* Keeps the present message as the cause of NULLs to come; NN_OK forgets the one before. */
static void nn__keep_cause(nn_status status)
{
    nn__message_status = status;
    memcpy(nn__message_cause, nn__message, sizeof nn__message);
}

static nn_status nn__fail_null(const char *call, const char *what)
{
    if (nn__message_status == NN_OK)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the %s is NULL", call, what);
    return nn__fail(nn__message_status, "%s: the %s is NULL: %s", call, what, nn__message_cause);
}

/* A desc's member: the stated value, or what 0 stands for. */
static double nn__or_default(double value, double otherwise)
{
    return value == NN_ZERO ? 0 : value != 0 ? value : otherwise;
}

/* A number in a desc, where it lies and which kinds have a use for it (0: all). */
typedef struct nn__range {
    const char *name;
    size_t offset;
    double low, high;
    const char *expected;
    unsigned kinds;
} nn__range;

#define NN__LARGEST 1e300
#define NN__BELOW_1 (1 - DBL_EPSILON / 2)

static double nn__range_value(const void *desc, const nn__range *range)
{
    double value;
    memcpy(&value, (const char *)desc + range->offset, sizeof value);
    return value;
}

/* All numbers of a desc lie in their ranges, also once they are nn_real; those that the kind (a
   bit) does not use are 0. */
static nn_status nn__check_ranges(const char *call, const char *prefix, const void *desc,
                                  const nn__range *ranges, size_t count, unsigned kind)
{
    for (size_t i = 0; i < count; i++) {
        const nn__range *r = &ranges[i];
        const double value = nn__range_value(desc, r), rounded = (double)(nn_real)value;
        if (value != 0 && r->kinds && !(r->kinds & kind))
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: %s%s is set, which this kind does not use", call, prefix, r->name);
        if (!(value >= r->low && value <= r->high && rounded >= r->low && rounded <= r->high) ||
            !nn__is_finite(rounded))
            return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s%s is %g, expected %s%s", call, prefix,
                            r->name, value, r->expected,
                            value >= r->low && value <= r->high ? ", as nn_real too" : "");
    }
    return NN_OK;
}

/* ------------------------------------------------------------------------------------ >>random */

static uint64_t nn__mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

NN_DEF nn_rng nn_rng_seed(uint64_t seed)
{
    nn_rng rng;
    rng.key = nn__mix(seed + UINT64_C(0x9E3779B97F4A7C15));
    rng.counter = 0;
    return rng;
}

NN_DEF uint64_t nn_rng_next(nn_rng *rng)
{
    return nn__mix(rng->key + ++rng->counter * UINT64_C(0x9E3779B97F4A7C15));
}

NN_DEF double nn_rng_uniform(nn_rng *rng)
{
    return (double)(nn_rng_next(rng) >> 11) * (1.0 / 9007199254740992.0);
}

/* The pair's second value is thrown away: keeping it would be state that a checkpoint has to
   carry. */
NN_DEF double nn_rng_normal(nn_rng *rng)
{
    double u, v, s;
    do {
        u = 2 * nn_rng_uniform(rng) - 1;
        v = 2 * nn_rng_uniform(rng) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s < 1e-300);
    return u * sqrt(-2 * nn__log_scalar(s) / s);
}

/* Draws that fall into the incomplete last multiple of n are rejected. */
NN_DEF uint64_t nn_rng_below(nn_rng *rng, uint64_t n)
{
    if (n == 0) return 0;
    uint64_t x, limit = UINT64_MAX - UINT64_MAX % n;
    do x = nn_rng_next(rng);
    while (x >= limit);
    return x % n;
}

NN_DEF void nn_rng_shuffle(nn_rng *rng, size_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)nn_rng_below(rng, i), t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}

/* ----------------------------------------------------------------------------------- >>threads
   Work is shared out in ranges of independent outputs; no sum is ever split between threads, so
   their number cannot change a result. */

typedef void nn__range_fn(void *context, size_t begin, size_t end);

/* What is worth a thread when little is done with each element: so many elements, or rows of
   `size`. That is some ten microseconds of work, and waking a thread takes a few. An activation
   counts for two. For products they are multiply-adds. The tests set them lower. */
#ifndef NN__GRAIN
#define NN__GRAIN 65536
#define NN__PRODUCT_GRAIN 1e6
#endif
static size_t nn__grain_rows(size_t size) { return NN__GRAIN / (size + 1) + 1; }

#ifdef _OPENMP
enum { NN__MOST_THREADS = 256 };

/* NN_THREADS; 0 when it is no number of threads. */
static int nn__threads_wanted(void)
{
    const char *text = getenv("NN_THREADS");
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : 0;
    return n < 1 || n > 4096 || *end ? 0 : (int)n;
}

/* Threads for so many grains when the caller wants `wanted` (0: the default). One inside a parallel
   region of the caller's, which has shared out the cores already. */
static int nn__thread_count(int wanted, size_t grains)
{
    if (grains < 2 || omp_in_parallel()) return 1;
    if (wanted <= 0) wanted = nn__threads_wanted();
    if (wanted <= 0) wanted = omp_get_max_threads();
    return (int)nn__min_size((size_t)wanted, nn__min_size(grains, NN__MOST_THREADS));
}

typedef struct nn__share {
    size_t begin, end;
} nn__share;

/* Half of what is left of a thread's own share, whose data its cache may hold from the call before;
   then half of the largest share, from the other end, since cores differ or have other work. Empty
   when all is done. */
static nn__share nn__next_piece(nn__share *shares, int threads, int own)
{
    nn__share *from = shares + own, taken;
    size_t left = from->end - from->begin;
    if (left) {
        taken.begin = from->begin;
        taken.end = from->begin += (left + 1) / 2;
        return taken;
    }
    for (int i = 0; i < threads; i++)
        if (shares[i].end - shares[i].begin > left)
            from = shares + i, left = from->end - from->begin;
    taken.end = from->end;
    taken.begin = from->end -= (left + 1) / 2;
    return taken;
}
#endif

/* The calling thread's own one of `slots` pieces of memory, for as many threads as nn__parallel
   may use. In a parallel region of the caller's, where it adds no threads, any of them will do. */
static size_t nn__thread_slot(size_t slots)
{
#ifdef _OPENMP
    return (size_t)omp_get_num_threads() <= slots ? (size_t)omp_get_thread_num() : 0;
#else
    return (void)slots, (size_t)0;
#endif
}

/* As many threads as nn__parallel may use for a network that wants so many. */
static size_t nn__max_threads(int wanted)
{
#ifdef _OPENMP
    return (size_t)nn__thread_count(wanted, NN__MOST_THREADS);
#else
    return (void)wanted, (size_t)1;
#endif
}

/* f over [0, n) in pieces of a multiple of `grain`, which is also the least that is worth a
   thread. */
static void nn__parallel(int threads, size_t n, size_t grain, nn__range_fn *f, void *context)
{
#ifdef _OPENMP
    const size_t grains = (n + grain - 1) / grain;
    const int count = nn__thread_count(threads, grains);
    nn__share shares[NN__MOST_THREADS];
    if (count > 1) {
        for (size_t i = 0; i < (size_t)count; i++) {
            shares[i].begin = grains * i / (size_t)count;
            shares[i].end = grains * (i + 1) / (size_t)count;
        }
#pragma omp parallel num_threads(count)
        for (;;) {
            nn__share piece;
#pragma omp critical(nn__share)
            piece = nn__next_piece(shares, count, omp_get_thread_num());
            if (piece.begin == piece.end) break;
            f(context, piece.begin * grain, nn__min_size(piece.end * grain, n));
        }
        return;
    }
#endif
    (void)threads, (void)grain;
    f(context, 0, n);
}

/* -------------------------------------------------------------------------------------- >>simd
   What one instruction set offers, as a table of kernels; which sets there are; which one this CPU
   gets. A kernel never fails, never allocates and knows nothing of tensors. */

/* C = init + op(A) op(B), where init is 0, C itself or one row for all rows. */
typedef struct nn__gemm_args {
    int trans_a, trans_b;
    size_t m, n, k;
    const nn_real *a;
    size_t lda;
    const nn_real *b;
    size_t ldb;
    nn_real *c;
    size_t ldc;
    const nn_real *bias;
    int accumulate;
} nn__gemm_args;

/* One optimiser step; the members that a kind does not use are 0. */
typedef struct nn__update {
    nn_optimizer_kind kind;
    int nesterov;
    nn_real rate, momentum, beta1, beta2, epsilon, decay, decoupled_decay;
    nn_real scale; /* of the gradient */
    nn_real correction1, correction2; /* Adam: 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
} nn__update;

/* What normalises the columns of a matrix, and its derivative; one number for each column. */
typedef struct nn__norm {
    const nn_real *center, *scale, *shift; /* y = (x - center) scale + shift */
    const nn_real *slope, *offset; /* dx = dy scale + (x - center) slope + offset */
    int relu;                      /* y = max(0, y), and dy counts where y > 0 */
} nn__norm;

/* An image of height in[0] and width in[1], and the windows that are pooled. */
typedef struct nn__pool {
    size_t in[2], out[2], channels;
    size_t kernel[2], stride[2], padding[2];
    int adaptive; /* windows that share the image out evenly, whatever kernel, stride, padding */
    int divide;   /* of NN__DIVIDE_..., by what the sum over a window is divided */
} nn__pool;

enum { NN__DIVIDE_NOT, NN__DIVIDE_BY_KERNEL, NN__DIVIDE_BY_COUNT };

typedef struct nn__extent {
    size_t begin, end;
} nn__extent;

/* The part of window o that lies in the image, along one dimension. */
NN__INLINE nn__extent nn__window(const nn__pool *p, int d, size_t o)
{
    nn__extent w;
    if (p->adaptive) { /* from floor(o in / out) to ceil((o + 1) in / out), as in PyTorch */
        w.begin = o * p->in[d] / p->out[d];
        w.end = ((o + 1) * p->in[d] + p->out[d] - 1) / p->out[d];
        return w;
    }
    const size_t begin = o * p->stride[d], end = begin + p->kernel[d], pad = p->padding[d];
    w.begin = begin > pad ? begin - pad : 0;
    w.end = end - pad < p->in[d] ? end - pad : p->in[d];
    return w;
}

NN__INLINE nn_real nn__divisor(const nn__pool *p, size_t count)
{
    if (p->divide == NN__DIVIDE_NOT) return 1;
    return (nn_real)(p->divide == NN__DIVIDE_BY_KERNEL ? p->kernel[0] * p->kernel[1] : count);
}

/* What `activate` computes beside the activations. */
enum { NN__MAP_EXP = NN_ACTIVATION_COUNT + 1, NN__MAP_LOG };

/* A real's bits */
#ifdef NN_DOUBLE
typedef uint64_t nn__bits;
#else
typedef uint32_t nn__bits;
#endif

/* One tile of C, for a micro-kernel: what >>gemm and >>tile explain. Strides are in bytes, as
   assembly wants them. */
enum { NN__MR = 6, NN__MAX_VECTORS = 4 };
typedef struct nn__tile {
    const nn_real *const *a; /* where each of its rows begins in A */
    size_t ak;               /* from one k to the next in all of them */
    const nn_real *b;
    size_t ldb, k; /* ldb: 0 in a panel; k: steps in a run */
    ptrdiff_t first; /* where in the rows of A the first run of k steps begins, */
    const ptrdiff_t *runs, *runs_end; /* and those that follow */
    const ptrdiff_t *run;             /* the next one */
    const nn_real *init; /* what the first row starts from: C, the bias or zeros */
    size_t init_ld;
    nn_real *c;
    size_t ldc, next_c;   /* next_c: from this tile to the one that follows, for the cache */
    nn_real *panel;       /* NULL, or where the rows of B are left for the tiles that follow */
    size_t vectors, last; /* vectors in a row; lanes of the last one that exist, */
    const nn__bits *mask; /* and which those are */
} nn__tile;
typedef void nn__tile_fn(nn__tile *t);

/* Rows of A: at equal distances, or at offsets in bytes. Beside them, memory that is to be used
   next: a part of it is fetched at each tile. */
typedef struct nn__lines {
    const nn_real *a;
    size_t step;
    const ptrdiff_t *offsets;
    const char *next, *next_end;
    size_t next_step;
} nn__lines;

typedef struct nn__kernels {
    const char *name;
    size_t width, vectors; /* reals in a vector; vectors in a row of a tile, at most */
    nn__tile_fn *const (*tile)[NN__MAX_VECTORS]; /* [rows - 1][vectors - 1] */
    /* Products of a few steps; of one row; of few columns (or rows, when swapped). The last two may
       be NULL. */
    void (*tiny)(const nn__gemm_args *g);
    void (*row)(const nn__gemm_args *g);
    void (*narrow)(const nn__gemm_args *g, int swapped);
    /* C[m,n], with an element of A for each of C's: the rows of A are as wide as those of B. */
    void (*channels)(const nn__tile *t, size_t n, size_t m, const nn__lines *a);
    /* dst[cols,rows] = src[rows,cols]' */
    void (*transpose)(size_t rows, size_t cols, const nn_real *src, size_t lds, nn_real *dst,
                      size_t ldd);
    void (*add_row)(size_t rows, size_t cols, nn_real *x, const nn_real *row);
    void (*sum_rows)(size_t rows, size_t cols, size_t ldx, const nn_real *x, nn_real *out,
                     int accumulate);
    /* y = softmax or its log; stats, when given, gets each row's maximum and log of the sum. */
    void (*softmax)(size_t rows, size_t cols, const nn_real *x, nn_real *y, int log,
                    nn_real *stats);
    void (*add)(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
    void (*sub)(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
    void (*mul)(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
    void (*scale)(size_t n, nn_real s, const nn_real *x, nn_real *y);
    void (*axpy)(size_t n, nn_real s, const nn_real *x, nn_real *y);
    nn_real (*sum)(size_t n, const nn_real *x);
    nn_real (*dot)(size_t n, const nn_real *a, const nn_real *b);
    void (*activate)(nn_activation kind, nn_real alpha, size_t n, const nn_real *x, nn_real *y);
    void (*activate_backward)(nn_activation kind, nn_real alpha, size_t n, const nn_real *x,
                              const nn_real *y, const nn_real *dy, nn_real *dx);
    /* out = x * scale + shift; scale and shift advance with x when `each`. */
    void (*affine_bytes)(size_t n, const uint8_t *x, const nn_real *scale, const nn_real *shift,
                         int each, nn_real *out);
    void (*affine)(size_t n, const nn_real *x, const nn_real *scale, const nn_real *shift, int each,
                   nn_real *out);
    void (*clamp)(size_t n, nn_real limit, nn_real *x);
    void (*update)(const nn__update *u, size_t n, nn_real *w, const nn_real *g, nn_real *s0,
                   nn_real *s1);
    /* sum[j] += p, product[j] += p q over the rows of column j, where q = x - center[j], and p is
       dy, for ReLU only where y > 0, or without dy is q. Of s only center, and scale and shift for
       ReLU. */
    void (*column_sums)(size_t rows, size_t cols, size_t ld, const nn_real *x, const nn_real *dy,
                        const nn__norm *s, nn_real *sum, nn_real *product);
    void (*normalize)(size_t rows, size_t cols, const nn_real *x, const nn__norm *s, nn_real *y);
    void (*normalize_backward)(size_t rows, size_t cols, const nn_real *x, const nn_real *dy,
                               const nn__norm *s, nn_real *dx, int accumulate);
    /* Each row by itself; scale and shift may be NULL. stats gets a row's mean and the inverse of
       its deviation. dx may be NULL, dscale and dshift may, and are added to. */
    void (*row_norm)(size_t rows, size_t n, const nn_real *x, const nn_real *scale,
                     const nn_real *shift, nn_real epsilon, nn_real *y, nn_real *stats);
    void (*row_norm_backward)(size_t rows, size_t n, const nn_real *x, const nn_real *dy,
                              const nn_real *scale, const nn_real *stats, nn_real *dx,
                              int accumulate, nn_real *dscale, nn_real *dshift);
    /* One image x and what its windows give, y. Backward writes every pixel once where windows lie
       side by side and leave none out, or adds. */
    void (*max_pool)(const nn__pool *p, const nn_real *x, nn_real *y, nn_real *which);
    void (*max_pool_backward)(const nn__pool *p, const nn_real *dy, const nn_real *which,
                              nn_real *dx, int add);
    void (*sum_pool)(const nn__pool *p, const nn_real *x, nn_real *y, int add);
    void (*spread_pool)(const nn__pool *p, const nn_real *y, nn_real *x, int add);
    nn_real (*contraction)(nn_real x); /* (1 + x)(1 - x) - 1 */
} nn__kernels;

/* a * b + c with one rounding. For float without hardware FMA: the product is exact in double; the
   sum is rounded to odd there (its last bit is set when it is inexact), which makes the second
   rounding harmless (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). */
#if defined(NN_NO_FMA)
NN__INLINE nn_real nn__fma(nn_real a, nn_real b, nn_real c) { return a * b + c; }
#elif defined(NN_DOUBLE)
NN__INLINE nn_real nn__fma(nn_real a, nn_real b, nn_real c) { return fma(a, b, c); }
#elif defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__aarch64__)
NN__INLINE nn_real nn__fma(nn_real a, nn_real b, nn_real c) { return fmaf(a, b, c); }
#else
static nn_real nn__fma(nn_real a, nn_real b, nn_real c)
{
    double p = (double)a * (double)b, d = (double)c, s = p + d;
    double t = s - p, error = (p - (s - t)) + (d - t);
    uint64_t bits, error_bits;
    memcpy(&bits, &s, sizeof bits);
    memcpy(&error_bits, &error, sizeof error_bits);
    uint64_t inexact = (error_bits << 1) != 0, finite = (bits >> 52 & 0x7ff) != 0x7ff;
    uint64_t toward_zero = (error_bits ^ bits) >> 63; /* then the odd neighbour is one below */
    bits += (inexact & finite & ~bits) * (1 - 2 * toward_zero);
    memcpy(&s, &bits, sizeof s);
    return (float)s;
}
#endif

#ifdef NN_DOUBLE
#define NN__SQRT_SCALAR(x) sqrt(x)
#define NN__MANTISSA 52
#define NN__EXPONENT_BIAS 1023
#define NN__HALF_SQRT_BITS UINT64_C(0x3FE6A09E667F3BCD) /* of sqrt(1/2) */
#define NN__ROUND_MAGIC 6755399441055744.0              /* 1.5 * 2^52 */
#define NN__EXP_LOW -746.0
#define NN__EXP_HIGH 710.0
#define NN__EXPM1_LOW -50.0
#define NN__EXPM1_HIGH 709.0
#define NN__LN2_LOW 2.3190468138462996e-17
#define NN__EXP_TERMS 12
#define NN__LOG_TERMS 11
#else
#define NN__SQRT_SCALAR(x) sqrtf(x)
#define NN__MANTISSA 23
#define NN__EXPONENT_BIAS 127
#define NN__HALF_SQRT_BITS UINT32_C(0x3F3504F3)
#define NN__ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define NN__EXP_LOW -104.0f
#define NN__EXP_HIGH 89.0f
#define NN__EXPM1_LOW -25.0f
#define NN__EXPM1_HIGH 88.0f
#define NN__LN2_LOW -1.90465430e-9f
#define NN__EXP_TERMS 6
#define NN__LOG_TERMS 5
#endif

/* exp(r) = 1 + r + r^2 (1/2! + r/3! + ...), highest power first. */
static const nn_real nn__exp_terms[] = {
#ifdef NN_DOUBLE
    1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0,
#endif
    (nn_real)(1 / 5040.0), (nn_real)(1 / 720.0), (nn_real)(1 / 120.0), (nn_real)(1 / 24.0),
    (nn_real)(1 / 6.0), (nn_real)0.5};

/* ln((1 + s) / (1 - s)) = 2 s (1 + s^2/3 + s^4/5 + ...), highest power first, without the 1. */
static const nn_real nn__log_terms[] = {
#ifdef NN_DOUBLE
    2 / 23.0, 2 / 21.0, 2 / 19.0, 2 / 17.0, 2 / 15.0, 2 / 13.0,
#endif
    (nn_real)(2 / 11.0), (nn_real)(2 / 9.0), (nn_real)(2 / 7.0), (nn_real)(2 / 5.0),
    (nn_real)(2 / 3.0)};

/* exp(a^2) erfc(a) = t H(2t - 1) with t = 3 / (3 + a), a >= 0: H's Chebyshev interpolant of degree
   11 or 24, as powers of 2t - 1, lowest first; relative error below 1.1e-8 and 2e-17. */
static const nn_real nn__erfc_terms[] = {
#ifdef NN_DOUBLE
    0.3580023023627799008, 0.2944648177232944857, 0.1967427857013672406, 0.1034890873001945316,
    0.03984258709576552485, 0.008942411541347221848, -0.000404138875793666382,
    -0.001011353998646807147, -0.000182769896417389328, 0.00009225927107779572315,
    0.00003585382225127929463, -0.00001013268278654813339, -5.823491992514210944e-6,
    1.583006602647131426e-6, 9.217159972005492494e-7, -3.329341506078094191e-7,
    -1.358562814227432862e-7, 7.794578660145061371e-8, 1.521823345741904958e-8,
    -1.705698051550543727e-8, -2.38458371516506049e-10, 2.896390765578543315e-9,
    -3.598345759503591614e-10, -2.700889541334418982e-10, 6.034271894545841621e-11
#else
    0.35800230417f, 0.29446481728f, 0.19674265533f, 0.10348911926f, 0.039844125597f,
    0.0089420335064f, -0.00041086091773f, -0.0010096945618f, -0.00016920326064f, 8.8878256797e-5f,
    2.2577891625e-5f, -6.751377339e-6f
#endif
};
#define NN__ERFC_TERMS ((int)(sizeof nn__erfc_terms / sizeof *nn__erfc_terms))

NN__INLINE nn__bits nn__to_bits(nn_real x)
{
    nn__bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

NN__INLINE nn_real nn__from_bits(nn__bits bits)
{
    nn_real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#define NN__PASTE2(a, b) a##b
#define NN__PASTE3(a, b, c) a##b##c
#define NN__CAT2(a, b) NN__PASTE2(a, b)
#define NN__CAT3(a, b, c) NN__PASTE3(a, b, c)

/* -------------------------------------------------------------------------------------- >>gemm
   The matrix product C = init + op(A) op(B). What it computes, to the bit, is

       for (i = 0; i < m; i++)
           for (j = 0; j < n; j++) {
               sum = init(i, j);
               for (l = 0; l < k; l++) sum = fma(A(i, l), B(l, j), sum);
               C(i, j) = sum;
           }

   and a product of a few steps is computed just so. The others keep the order of each sum, hence
   its bits, and go through C and k in blocks. The words are those of BLIS:

                 C                           A                        B
        NR    NR    NR    NR                 KC                NR    NR    NR    NR
       +-----+-----+-----+-----+      +---------------+      +-----+-----+-----+-----+
       |tile |     |     |     | MR   | MR rows       |      |     |     |     |     |
       +-----+-----+-----+-----+      +---------------+      |panel|panel|panel|panel| KC
       |     |     |     |     |  +=  |               |  x   |     |     |     |     |
       |     |     |     |     |      |               |      |     |     |     |     |
       |     |     |     |     |      |               |      +-----+-----+-----+-----+
       +-----+-----+-----+-----+      +---------------+

   - A micro-kernel (>>tile) adds KC steps to a tile of C, MR = 6 rows of up to NR columns, whose
     sums stay in registers: each step reads a few vectors of B and multiplies them by one element
     of each of the six rows of A.
   - A panel of B is NR columns of KC rows, packed one after the other. It stays in a near cache
     while the rows of A pass by. The first tile that reads B leaves the panel behind: a copy of its
     own would only wait for memory. B transposed is packed beforehand. B that one or two tiles read
     is read where it is.
   - A is read where it is, too: only its rows' beginnings matter. Where it is transposed, so that
     each step is a whole row of memory further, and where many panels meet it, MC rows at a time
     are copied.
   - Panels and copy lie in a workspace on the stack, of NN_STACK_BYTES. They are as long and as
     many as there is room for.

   Where C has few columns, most lanes of its rows' vectors would be empty. There the vectors run
   down the rows (`narrow`; nn__gemm_swapped where A is transposed). A single row of C is computed
   as wide as the registers allow (`row`). */
enum {
    NN__WORKSPACE = NN_STACK_BYTES / (int)sizeof(nn_real),
    NN__MC = 240,
    NN__COPIED_ROWS = 72,
    NN__MAX_PANELS = 8,
    NN__FEW = 12, /* columns that `narrow` takes; rows of A that are too few for a panel of B */
    /* what nn__gemm_swapped takes of the workspace: at least 16 columns of each row */
    NN__LITTLE = NN__WORKSPACE / 10 > 16 * NN__FEW ? NN__WORKSPACE / 10 : 16 * NN__FEW
};

static const nn__bits nn__lane_masks[32] = {
    (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1,
    (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1,
    (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, (nn__bits)-1, 0};
static const nn_real nn__zeros[64] = {0};

/* n in as few blocks of at most `max` as possible, all about alike. */
static size_t nn__block_size(size_t n, size_t max)
{
    if (n <= max) return n + !n;
    const size_t blocks = (n + max - 1) / max;
    return (n + blocks - 1) / blocks;
}

/* A tile's columns. */
static void nn__set_width(const nn__kernels *f, nn__tile *t, size_t cols)
{
    t->vectors = 1, t->last = cols;
    for (; t->last > f->width; t->last -= f->width) t->vectors++;
    t->mask = nn__lane_masks + 16 - t->last;
}

/* The tiles at the top of up to NN__MAX_PANELS panels: rows from i0 on, columns from j0 on, the k
   steps from k0 on. `panels` is NULL where B is read in place. Returns how many
   tiles that are. */
static size_t nn__set_tiles(const nn__kernels *f, const nn__gemm_args *g, nn__tile *t, size_t cols,
                            size_t i0, size_t j0, size_t k0, size_t k, nn_real *panels)
{
    const size_t real = sizeof(nn_real), nr = f->width * f->vectors;
    const nn__tile *first = t;
    for (size_t j = j0; j < j0 + cols; j += nr, t++) {
        const size_t n = nn__min_size(nr, j0 + cols - j);
        t->b = g->trans_b ? g->b + j * g->ldb + k0 : g->b + k0 * g->ldb + j;
        t->ldb = g->ldb * real, t->k = k;
        t->ak = g->trans_a ? g->lda * real : real;
        t->first = 0, t->runs = t->runs_end = NULL;
        t->c = g->c + i0 * g->ldc + j, t->ldc = g->ldc * real;
        t->init = nn__zeros, t->init_ld = 0;
        if (k0 || g->accumulate) t->init = t->c, t->init_ld = t->ldc;
        else if (g->bias) t->init = g->bias + j;
        nn__set_width(f, t, n);
        t->panel = panels;
        if (!panels) continue;
        if (g->trans_b) {
            if (n < nr) memset(panels, 0, k * nr * real);
            f->transpose(n, k, t->b, g->ldb, panels, nr);
            t->b = panels, t->ldb = 0, t->panel = NULL;
        }
        panels += k * nr;
    }
    return (size_t)(t - first);
}

/* m rows of C, in tiles of about the same height, in each of the strips. */
static void nn__multiply_rows(const nn__kernels *f, nn__tile *strip, size_t strips, size_t m,
                              nn__lines *a)
{
    const unsigned tiles = (unsigned)(m + NN__MR - 1) / NN__MR;
    const size_t low = m <= NN__MR ? m : (unsigned)m / tiles;
    const ptrdiff_t *offsets = a->offsets;
    const nn_real *row[NN__MR], *at = a->a;
    for (size_t rows, higher = m - low * tiles; m; m -= rows, at += rows * a->step) {
        rows = low + (higher > 0), higher -= higher > 0;
        if (offsets)
            for (size_t r = 0; r < rows; r++, offsets++)
                row[r] = (const nn_real *)((const char *)at + *offsets);
        else
            for (size_t r = 0; r < rows; r++) row[r] = at + r * a->step;
        for (nn__tile *t = strip; t < strip + strips; t++) {
            const char *stop = a->next ? a->next + a->next_step : NULL;
            for (; a->next < a->next_end && a->next < stop; a->next += 64) NN__PREFETCH(a->next);
            t->a = row, t->next_c = rows * t->ldc;
            f->tile[rows - 1][t->vectors - 1](t);
            if (t->panel) t->b = t->panel, t->ldb = 0, t->panel = NULL;
            t->c = (nn_real *)((char *)t->c + t->next_c);
            t->init = (const nn_real *)((const char *)t->init + rows * t->init_ld);
        }
    }
}

/* Whether A, transposed, is copied: for several panels and long columns, or shorter ones whose
   elements share sets of the caches. */
static int nn__copies_a(const nn__kernels *f, const nn__gemm_args *g)
{
    const size_t min_k = g->lda * sizeof(nn_real) % 1024 == 0 ? 16 : 64;
    return g->trans_a && g->n > 2 * f->width * f->vectors && g->k >= min_k && g->m > NN__FEW;
}

static void nn__gemm_direct(const nn__kernels *f, const nn__gemm_args *g, nn_real *space,
                            size_t size)
{
    const size_t nr = f->width * f->vectors;
    const int copies_a = nn__copies_a(f, g);
    /* rows of B that share a set of the cache do not stay there for a second tile */
    const int shares_sets = g->ldb * sizeof(nn_real) % 4096 == 0 && f->vectors == 2;
    const size_t few = shares_sets ? (size_t)NN__MR : (size_t)NN__FEW;
    const int packs_b = g->trans_b || (space && g->ldb > nr && g->m > few);
    const size_t max_k = copies_a ? size / 156 : packs_b ? size / 64 : g->k;
    const size_t kc = nn__block_size(g->k, max_k), lda = kc + 16;
    size_t max_m = NN__MC;
    if (copies_a) max_m = nn__min_size(NN__COPIED_ROWS, (size - 64 * max_k) / (max_k + 16));
    else if (g->trans_b) max_m *= 2; /* since B is transposed again for each block */
    const size_t mc = nn__block_size(g->m, max_m);
    const size_t left = copies_a ? size - mc * lda : size;
    size_t strips = NN__MAX_PANELS;
    if (packs_b && g->n > nr) strips = nn__min_size(strips, left / (kc * nr));
    nn_real *const copy = copies_a ? space + left : NULL;
    for (size_t i0 = 0; i0 < g->m; i0 += mc)
        for (size_t k0 = 0; k0 == 0 || k0 < g->k; k0 += kc) {
            const size_t m = nn__min_size(mc, g->m - i0), k = nn__min_size(kc, g->k - k0);
            const nn_real *a = g->trans_a ? g->a + k0 * g->lda + i0 : g->a + i0 * g->lda + k0;
            if (copies_a) f->transpose(k, m, a, g->lda, copy, lda);
            for (size_t j0 = 0, n; j0 < g->n; j0 += n) {
                nn__tile strip[NN__MAX_PANELS];
                n = nn__min_size(strips * nr, g->n - j0);
                const size_t count =
                    nn__set_tiles(f, g, strip, n, i0, j0, k0, k, packs_b ? space : NULL);
                for (size_t s = 0; copies_a && s < count; s++) strip[s].ak = sizeof *a;
                nn__lines lines = {NULL, 0, NULL, NULL, NULL, 0};
                lines.a = copies_a ? copy : a;
                lines.step = copies_a ? lda : g->trans_a ? 1 : g->lda;
                nn__multiply_rows(f, strip, count, m, &lines);
            }
        }
}

/* C' = B' A, for A transposed and few columns: blocks of C', whose rows are long, are computed in
   `tile` and transposed. */
static void nn__gemm_swapped(const nn__kernels *f, const nn__gemm_args *g, nn_real *tile,
                             size_t size)
{
    const size_t most = NN__LITTLE / g->n / 16 * 16;
    nn__gemm_args s = *g;
    s.trans_a = !g->trans_b, s.trans_b = 0, s.m = g->n;
    s.a = g->b, s.lda = g->ldb, s.b = g->a, s.ldb = g->lda;
    s.c = tile, s.bias = NULL, s.accumulate = g->accumulate || g->bias;
    for (size_t i = 0; i < g->m; i += s.n, s.b += s.n) {
        nn_real *c = g->c + i * g->ldc;
        s.n = s.ldc = nn__min_size(most, g->m - i);
        if (g->accumulate) f->transpose(s.n, g->n, c, g->ldc, tile, s.n);
        else if (g->bias)
            for (size_t j = 0; j < g->n; j++)
                for (size_t r = 0; r < s.n; r++) tile[j * s.n + r] = g->bias[j];
        nn__gemm_direct(f, &s, tile + NN__LITTLE, size - NN__LITTLE);
        f->transpose(g->n, s.n, tile, s.n, c, g->ldc);
    }
}

/* C with one column, A transposed: a row of C'. */
static void nn__gemm_column(const nn__kernels *f, const nn__gemm_args *g)
{
    nn__gemm_args s = *g;
    for (size_t i = 0; g->bias && !g->accumulate && i < g->m; i++) g->c[i] = *g->bias;
    s.accumulate = g->accumulate || g->bias, s.bias = NULL;
    s.trans_a = !g->trans_b, s.trans_b = 0, s.m = 1, s.n = g->m;
    s.a = g->b, s.lda = g->ldb, s.b = g->a, s.ldb = g->lda;
    f->row(&s);
}

static NN__NOINLINE void nn__gemm_on_stack(const nn__kernels *f, const nn__gemm_args *g)
{
    NN__ALIGNED nn_real space[NN__WORKSPACE];
    nn__gemm_direct(f, g, space, NN__WORKSPACE);
}

static NN__NOINLINE void nn__gemm_swapped_on_stack(const nn__kernels *f, const nn__gemm_args *g)
{
    NN__ALIGNED nn_real space[NN__WORKSPACE];
    nn__gemm_swapped(f, g, space, NN__WORKSPACE);
}

/* Chooses one of the ways; none of them changes a bit. */
static void nn__gemm_large(const nn__kernels *f, const nn__gemm_args *g)
{
    const size_t nr = f->width * f->vectors;
    const int lanes = f->narrow && g->k >= 16; /* whether rows may lie along them */
    if (f->row && g->m == 1 && !g->trans_b) f->row(g);
    else if (f->row && g->n == 1 && g->trans_a && g->ldc == 1) nn__gemm_column(f, g);
    else if (lanes && !g->trans_a && g->n <= NN__FEW && g->n % f->width && g->m >= f->width)
        f->narrow(g, 0);
    else if (lanes && g->trans_b && g->m <= NN__FEW && g->n >= f->width) f->narrow(g, 1);
    else if (g->trans_a && g->n <= NN__FEW && g->n < nr && g->m >= f->width)
        nn__gemm_swapped_on_stack(f, g);
    else if (!g->trans_b && !nn__copies_a(f, g) && (g->m <= NN__FEW || g->ldb <= nr))
        nn__gemm_direct(f, g, NULL, 0);
    else nn__gemm_on_stack(f, g);
}

/* A product on this thread. */
static void nn__gemm_serial(const nn__kernels *f, const nn__gemm_args *g)
{
    if ((g->m | g->n | g->k) < 64 && g->m * g->n * g->k <= 48) f->tiny(g);
    else nn__gemm_large(f, g);
}

/* What an instruction reads, for the compiler */
typedef struct nn__16_bytes {
    uint8_t bytes[16];
} nn__16_bytes;

#define NN__PORTABLE 1
#define NN__AVX2 2
#define NN__AVX512 3
#define NN__NEON 4

#define NN__PASS NN__PORTABLE
#include NN_SELF
#undef NN__PASS
#ifdef NN__X86
#define NN__PASS NN__AVX2
#include NN_SELF
#undef NN__PASS
#define NN__PASS NN__AVX512
#include NN_SELF
#undef NN__PASS
#endif
#ifdef NN__ARM
#define NN__PASS NN__NEON
#include NN_SELF
#undef NN__PASS
#endif

#elif defined(NN__PASS)

/* From here to the end of >>table: compiled once per instruction set. gcc optimises the vector
   kernels even in a debug build. */
#if !defined(__clang__) && defined(__GNUC__)
#pragma GCC push_options
#if NN__PASS != NN__PORTABLE
#pragma GCC optimize("O2")
#endif
#endif
#if NN__PASS == NN__PORTABLE
#define NN__UNROLL
#elif defined(__clang__)
#define NN__UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define NN__UNROLL _Pragma("GCC unroll 16")
#else
#define NN__UNROLL
#endif

/* ----------------------------------------------------------------------------------- >>vectors
   The whole vocabulary of the kernels. NN__VEC is a vector of NN__WIDTH reals, NN__IVEC one of
   their bits. NN__TAIL_MASK(n), of type NN__TAIL, tells the first n lanes: NN__LOAD_TAIL and
   NN__STORE_TAIL touch only those, the rest reads as 0; NN__ZERO_TAIL clears the rest. MAX and MIN
   return their second operand when one is NaN, on every path. For transposing, NN__GATHER_16B(p,
   step) puts the 16 bytes at p, p + step, ... side by side, and ZIPLO and ZIPHI interleave the
   lower and upper halves of two vectors' pieces of 16 bytes.

   On x86 a vector is a type that gcc and clang know. What their operators do not offer is one
   instruction in assembly, so that no header of intrinsics has to be compiled. */

#define NN__FN(name) NN__CAT3(nn__, name, NN__SUFFIX)
#if NN__PASS == NN__AVX512 /* which is worth code of its own in few places */
#define NN__SHARED(name) NN__CAT3(nn__, name, _avx2)
#else
#define NN__SHARED(name) NN__FN(name)
#endif

#if NN__PASS == NN__PORTABLE
#define NN__SUFFIX _portable
#define NN__NAME "portable"
#define NN__WIDTH 1
#define NN__VEC nn_real
#define NN__IVEC nn__bits
#define NN__MASK int
#define NN__LOAD(p) (*(p))
#define NN__STORE(p, v) (void)(*(p) = (v))
#define NN__TAIL size_t
#define NN__TAIL_MASK(n) (n)
#define NN__LOAD_TAIL(p, m) ((m) ? *(p) : (nn_real)0)
#define NN__STORE_TAIL(p, v, m) ((m) ? (void)(*(p) = (v)) : (void)0)
#define NN__ZERO_TAIL(v, m) ((m) ? (v) : (nn_real)0)
#define NN__LOAD_U8(p) ((nn_real)*(p))
#define NN__SET1(x) (x)
#define NN__FMA(a, b, c) nn__fma(a, b, c)
#define NN__FMA_SCALAR(a, b, c) nn__fma(a, b, c)
#define NN__SQRT(a) NN__SQRT_SCALAR(a)
#define NN__MAX(a, b) ((a) > (b) ? (a) : (b))
#define NN__MIN(a, b) ((a) < (b) ? (a) : (b))
#define NN__LT(a, b) ((a) < (b))
#define NN__IS_NAN(a) ((a) != (a))
#define NN__SELECT(m, a, b) ((m) ? (a) : (b))
#define NN__TOI(v) nn__to_bits(v)
#define NN__TOF(i) nn__from_bits(i)
#define NN__ISET1(i) ((nn__bits)(i))
#define NN__IADD(a, b) ((nn__bits)((a) + (b)))
#define NN__ISUB(a, b) ((nn__bits)((a) - (b)))
#define NN__ISHL(a, k) ((nn__bits)((a) << (k)))
#define NN__ISHR(a, k) ((nn__bits)((a) >> (k)))
#endif

#if NN__PASS == NN__AVX2
#define NN__SUFFIX _avx2
#define NN__NAME "avx2"
#define NN__VECTOR_BYTES 32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#ifdef NN_DOUBLE
#define NN__WIDTH 4
#define NN__REPEAT(x) x, x, x, x
#else
#define NN__WIDTH 8
#define NN__REPEAT(x) x, x, x, x, x, x, x, x
#endif
#endif

#if NN__PASS == NN__AVX512
#define NN__SUFFIX _avx512
#define NN__NAME "avx512"
#define NN__VECTOR_BYTES 64
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,fma")
#endif
#ifdef NN_DOUBLE
#define NN__WIDTH 8
#define NN__REPEAT(x) x, x, x, x, x, x, x, x
#else
#define NN__WIDTH 16
#define NN__REPEAT(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#endif
#endif

#if NN__PASS == NN__AVX2 || NN__PASS == NN__AVX512
#ifdef NN_DOUBLE
#define NN__PS "pd"
#define NN__SS "sd"
#define NN__FMA_SCALAR(a, b, c) __builtin_fma(a, b, c)
#else
#define NN__PS "ps"
#define NN__SS "ss"
#define NN__FMA_SCALAR(a, b, c) __builtin_fmaf(a, b, c)
#endif
#define NN__VEC NN__FN(vec)
#define NN__IVEC NN__FN(ivec)
#define NN__STORED NN__FN(stored)
typedef nn_real NN__VEC __attribute__((vector_size(NN__VECTOR_BYTES)));
typedef nn__bits NN__IVEC __attribute__((vector_size(NN__VECTOR_BYTES)));
/* A vector in memory is aligned as its reals are. */
typedef nn_real NN__STORED
    __attribute__((vector_size(NN__VECTOR_BYTES), aligned(sizeof(nn_real)), may_alias));
/* An instruction of two operands: compilers need to know no more, nor headers of intrinsics. */
#define NN__TWO(name, instruction)                                                                 \
    NN__INLINE NN__VEC NN__FN(name)(NN__VEC a, NN__VEC b)                                          \
    {                                                                                              \
        NN__VEC r;                                                                                 \
        __asm__(instruction " %2, %1, %0" : "=v"(r) : "v"(a), "v"(b));                             \
        return r;                                                                                  \
    }
NN__TWO(zip_low, "vunpckl" NN__PS)
NN__TWO(zip_high, "vunpckh" NN__PS)
NN__INLINE NN__VEC NN__FN(set1)(nn_real x)
{
    const NN__VEC v = {NN__REPEAT(x)};
    return v;
}
NN__INLINE NN__VEC NN__FN(fma)(NN__VEC a, NN__VEC b, NN__VEC c)
{
    __asm__("vfmadd231" NN__PS " %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}
#if NN__PASS == NN__AVX512
#ifdef NN_DOUBLE
#define NN__TIMES_ONE "%{1to8%}"
#else
#define NN__TIMES_ONE "%{1to16%}"
#endif
NN__INLINE NN__VEC nn__fma_from_avx512(const nn_real *a, NN__VEC b, NN__VEC c)
{
    __asm__("vfmadd231" NN__PS " %1" NN__TIMES_ONE ", %2, %0" : "+v"(c) : "m"(*a), "v"(b));
    return c;
}
#endif
NN__INLINE NN__VEC NN__FN(gather_16b)(const nn_real *p, size_t step)
{
    NN__VEC r;
#if NN__PASS == NN__AVX2
    __asm__("vmovups %1, %x0\n\tvinsertf128 $1, %2, %0, %0"
            : "=&x"(r)
            : "m"(*(const nn__16_bytes *)p), "m"(*(const nn__16_bytes *)(p + step)));
#else
    __asm__("vmovups %1, %x0\n\tvinsertf32x4 $1, %2, %0, %0\n\t"
            "vinsertf32x4 $2, %3, %0, %0\n\tvinsertf32x4 $3, %4, %0, %0"
            : "=&x"(r) /* 16 bytes of a register from 16 on would need AVX-512VL */
            : "m"(*(const nn__16_bytes *)p), "m"(*(const nn__16_bytes *)(p + step)),
              "m"(*(const nn__16_bytes *)(p + 2 * step)),
              "m"(*(const nn__16_bytes *)(p + 3 * step)));
#endif
    return r;
}
#define NN__LOAD(p) ((NN__VEC)(*(const NN__STORED *)(p)))
#define NN__STORE(p, v) (void)(*(NN__STORED *)(p) = (v))
#define NN__SET1(x) NN__FN(set1)(x)
#define NN__FMA(a, b, c) NN__FN(fma)(a, b, c)
#define NN__ZIPLO(a, b) NN__FN(zip_low)(a, b)
#define NN__ZIPHI(a, b) NN__FN(zip_high)(a, b)
#define NN__GATHER_16B(p, step) NN__FN(gather_16b)(p, step)
#endif

#if NN__PASS == NN__AVX512 /* no more than that is used */
#ifdef NN_DOUBLE
#define NN__TAIL unsigned char
#else
#define NN__TAIL unsigned short
#endif
NN__INLINE NN__VEC nn__load_tail_avx512(const nn_real *p, NN__TAIL m)
{
    NN__VEC r;
    __asm__("vmovu" NN__PS " %1, %0%{%2%}%{z%}" : "=v"(r) : "m"(*(const NN__STORED *)p), "Yk"(m));
    return r;
}
NN__INLINE void nn__store_tail_avx512(nn_real *p, NN__VEC v, NN__TAIL m)
{
    __asm__("vmovu" NN__PS " %1, %0%{%2%}" : "+m"(*(NN__STORED *)p) : "v"(v), "Yk"(m));
}
#define NN__TAIL_MASK(n) ((NN__TAIL)((1u << (n)) - 1))
#define NN__LOAD_TAIL(p, m) nn__load_tail_avx512(p, m)
#define NN__STORE_TAIL(p, v, m) nn__store_tail_avx512(p, v, m)
#endif

#if NN__PASS == NN__AVX2
#define NN__MASK NN__IVEC
#define NN__TAIL NN__IVEC
NN__TWO(max, "vmax" NN__PS)
NN__TWO(min, "vmin" NN__PS)
NN__INLINE NN__VEC nn__sqrt_avx2(NN__VEC a)
{
    NN__VEC r;
    __asm__("vsqrt" NN__PS " %1, %0" : "=x"(r) : "x"(a));
    return r;
}
NN__INLINE NN__MASK nn__less_avx2(NN__VEC a, NN__VEC b)
{
    NN__MASK r; /* 17: false for NaN, and no exception */
    __asm__("vcmp" NN__PS " $17, %2, %1, %0" : "=x"(r) : "x"(a), "x"(b));
    return r;
}
NN__INLINE NN__MASK nn__is_nan_avx2(NN__VEC a)
{
    NN__MASK r; /* 3: unordered */
    __asm__("vcmp" NN__PS " $3, %1, %1, %0" : "=x"(r) : "x"(a));
    return r;
}
NN__INLINE NN__VEC nn__select_avx2(NN__MASK m, NN__VEC a, NN__VEC b)
{
    NN__VEC r;
    __asm__("vblendv" NN__PS " %3, %2, %1, %0" : "=x"(r) : "x"(b), "x"(a), "x"(m));
    return r;
}
NN__INLINE NN__VEC nn__load_tail_avx2(const nn_real *p, NN__TAIL m)
{
    NN__VEC r;
    __asm__("vmaskmov" NN__PS " %1, %2, %0" : "=x"(r) : "m"(*(const NN__STORED *)p), "x"(m));
    return r;
}
NN__INLINE void nn__store_tail_avx2(nn_real *p, NN__VEC v, NN__TAIL m)
{
    __asm__("vmaskmov" NN__PS " %1, %2, %0" : "+m"(*(NN__STORED *)p) : "x"(v), "x"(m));
}
typedef struct nn__lane_bytes {
    uint8_t bytes[NN__WIDTH];
} nn__lane_bytes;
NN__INLINE NN__VEC nn__load_u8_avx2(const uint8_t *p)
{
    NN__VEC r;
#ifdef NN_DOUBLE
    __asm__("vpmovzxbd %1, %x0\n\tvcvtdq2pd %x0, %0" : "=x"(r) : "m"(*(const nn__lane_bytes *)p));
#else
    __asm__("vpmovzxbd %1, %0\n\tvcvtdq2ps %0, %0" : "=x"(r) : "m"(*(const nn__lane_bytes *)p));
#endif
    return r;
}
#define NN__MAX(a, b) nn__max_avx2(a, b)
#define NN__MIN(a, b) nn__min_avx2(a, b)
#define NN__SQRT(a) nn__sqrt_avx2(a)
#define NN__LT(a, b) nn__less_avx2(a, b)
#define NN__IS_NAN(a) nn__is_nan_avx2(a)
#define NN__SELECT(m, a, b) nn__select_avx2(m, a, b)
#define NN__TAIL_MASK(n) ((NN__IVEC)NN__LOAD(nn__lane_masks + 16 - (n)))
#define NN__LOAD_TAIL(p, m) nn__load_tail_avx2(p, m)
#define NN__STORE_TAIL(p, v, m) nn__store_tail_avx2(p, v, m)
#define NN__ZERO_TAIL(v, m) ((NN__VEC)((NN__IVEC)(v) & (m)))
#define NN__LOAD_U8(p) nn__load_u8_avx2(p)
#define NN__TOI(v) ((NN__IVEC)(v))
#define NN__TOF(i) ((NN__VEC)(i))
#define NN__ISET1(i) NN__TOI(NN__SET1(nn__from_bits((nn__bits)(i))))
#define NN__IADD(a, b) ((a) + (b))
#define NN__ISUB(a, b) ((a) - (b))
#define NN__ISHL(a, k) ((a) << (k))
#define NN__ISHR(a, k) ((a) >> (k))
#endif

#if NN__PASS == NN__NEON
#define NN__SUFFIX _neon
#define NN__NAME "neon"
#ifdef NN_DOUBLE
#define NN__WIDTH 2
#define NN__VEC float64x2_t
#define NN__IVEC uint64x2_t
#define NN__X(op) NN__CAT2(op, _f64)
#define NN__XI(op) NN__CAT2(op, _u64)
#define NN__TOI(v) vreinterpretq_u64_f64(v)
#define NN__TOF(i) vreinterpretq_f64_u64(i)
#define NN__COUNTS(i) vdupq_n_s64(-(int64_t)(i))
#define NN__ISHR_COUNT(a, k) vshlq_u64(a, NN__COUNTS(k))
#else
#define NN__WIDTH 4
#define NN__VEC float32x4_t
#define NN__IVEC uint32x4_t
#define NN__X(op) NN__CAT2(op, _f32)
#define NN__XI(op) NN__CAT2(op, _u32)
#define NN__TOI(v) vreinterpretq_u32_f32(v)
#define NN__TOF(i) vreinterpretq_f32_u32(i)
#define NN__COUNTS(i) vdupq_n_s32(-(int32_t)(i))
#define NN__ISHR_COUNT(a, k) vshlq_u32(a, NN__COUNTS(k))
#endif
#define NN__MASK NN__IVEC
#define NN__LOAD(p) NN__X(vld1q)(p)
#define NN__STORE(p, v) NN__X(vst1q)(p, v)
#define NN__TAIL size_t
#define NN__TAIL_MASK(n) (n)
#define NN__LOAD_TAIL(p, m) nn__loadn_neon(p, m)
#define NN__STORE_TAIL(p, v, m) nn__storen_neon(p, v, m)
#define NN__ZERO_TAIL(v, m) nn__keepn_neon(v, m)
#define NN__LOAD_U8(p) nn__bytes_neon(p)
#define NN__SET1(x) NN__X(vdupq_n)(x)
#define NN__FMA(a, b, c) NN__X(vfmaq)(c, a, b)
#define NN__FMA_SCALAR(a, b, c) nn__fma(a, b, c)
#define NN__SQRT(a) NN__X(vsqrtq)(a)
#define NN__LT(a, b) NN__X(vcltq)(a, b)
#define NN__IS_NAN(a) (~NN__X(vceqq)(a, a))
#define NN__SELECT(m, a, b) NN__X(vbslq)(m, a, b)
#define NN__MAX(a, b) nn__max_neon(a, b)
#define NN__MIN(a, b) nn__min_neon(a, b)
#define NN__ISET1(i) NN__XI(vdupq_n)((nn__bits)(i))
#define NN__IADD(a, b) NN__XI(vaddq)(a, b)
#define NN__ISUB(a, b) NN__XI(vsubq)(a, b)
#define NN__ISHL(a, k) NN__XI(vshlq_n)(a, k)
#define NN__ISHR(a, k) NN__XI(vshrq_n)(a, k)
#define NN__GATHER_16B(p, step) NN__LOAD(p)
#define NN__ZIPLO(a, b) NN__X(vzip1q)(a, b)
#define NN__ZIPHI(a, b) NN__X(vzip2q)(a, b)
NN__INLINE NN__VEC nn__max_neon(NN__VEC a, NN__VEC b) { return NN__SELECT(NN__LT(b, a), a, b); }
NN__INLINE NN__VEC nn__min_neon(NN__VEC a, NN__VEC b) { return NN__SELECT(NN__LT(a, b), a, b); }
NN__INLINE NN__VEC nn__loadn_neon(const nn_real *p, size_t n)
{
    nn_real lane[NN__WIDTH] = {0};
    for (size_t i = 0; i < n; i++) lane[i] = p[i];
    return NN__LOAD(lane);
}
NN__INLINE void nn__storen_neon(nn_real *p, NN__VEC v, size_t n)
{
    nn_real lane[NN__WIDTH];
    NN__STORE(lane, v);
    for (size_t i = 0; i < n; i++) p[i] = lane[i];
}
NN__INLINE NN__VEC nn__keepn_neon(NN__VEC v, size_t n)
{
    nn_real lane[NN__WIDTH];
    NN__STORE(lane, v);
    return nn__loadn_neon(lane, n);
}
NN__INLINE NN__VEC nn__bytes_neon(const uint8_t *p)
{
    nn_real lane[NN__WIDTH];
    for (int i = 0; i < NN__WIDTH; i++) lane[i] = (nn_real)p[i];
    return NN__LOAD(lane);
}
#endif

#define NN__C(x) NN__SET1((nn_real)(x))

/* The vector at p, of which c values are left in the array; whole vectors take the plain way. */
NN__INLINE NN__VEC NN__FN(load)(const nn_real *p, size_t c)
{
    return c >= NN__WIDTH ? NN__LOAD(p) : NN__LOAD_TAIL(p, NN__TAIL_MASK(c));
}

NN__INLINE void NN__FN(store)(nn_real *p, NN__VEC v, size_t c)
{
    if (c >= NN__WIDTH) NN__STORE(p, v);
    else NN__STORE_TAIL(p, v, NN__TAIL_MASK(c));
}

#define NN__LD(p, c) NN__FN(load)(p, c)
#define NN__ST(p, v, c) NN__FN(store)(p, v, c)

#if NN__PASS != NN__AVX512 /* which shares with AVX2 all that it is not faster at */
#define NN__ADD(a, b) ((a) + (b))
#define NN__SUB(a, b) ((a) - (b))
#define NN__MUL(a, b) ((a) * (b))
#define NN__DIV(a, b) ((a) / (b))

NN__INLINE NN__VEC NN__FN(keep)(NN__VEC v, size_t c)
{
    return c >= NN__WIDTH ? v : NN__ZERO_TAIL(v, NN__TAIL_MASK(c));
}

/* for each vector of an array of n reals: i its first index, c how many values are left from
   there */
#define NN__EACH(n) for (size_t i = 0, c = (n); i < (n); i += NN__WIDTH, c = (n)-i)

/* A sum has 16 virtual lanes: lane j adds the elements j, j + 16, j + 32, ... in order; then lanes
   8 apart are added, then 4, 2, 1. NN__PARTS vectors make up the lanes. */
#define NN__LANES 16
#define NN__PARTS (NN__LANES / NN__WIDTH)

NN__INLINE nn_real NN__FN(reduce)(NN__VEC *part)
{
    nn_real lane[NN__WIDTH];
    for (int step = NN__PARTS / 2; step; step /= 2)
        for (int l = 0; l < step; l++) part[l] = NN__ADD(part[l], part[l + step]);
    NN__STORE(lane, part[0]);
    for (int step = NN__WIDTH / 2; step; step /= 2)
        for (int j = 0; j < step; j++) lane[j] += lane[j + step];
    return lane[0];
}

/* -------------------------------------------------------------------------------------- >>math
   exp, log, tanh and their kin by range reduction and a series whose first dropped term is below
   the rounding error. Adding 1.5 * 2^mantissa rounds to an integer, left in the low bits. */

/* 2^n for t = n + NN__ROUND_MAGIC, n a whole number in the normal exponents. */
NN__INLINE NN__VEC NN__FN(pow2)(NN__VEC t)
{
    return NN__TOF(NN__ISHL(NN__IADD(NN__TOI(t), NN__ISET1(NN__EXPONENT_BIAS)), NN__MANTISSA));
}

/* x = n ln 2 + r with |r| <= ln(2) / 2: returns exp(r) - 1, *t = n + NN__ROUND_MAGIC. */
NN__INLINE NN__VEC NN__FN(exp_reduced)(NN__VEC x, NN__VEC *t)
{
    *t = NN__FMA(x, NN__C(1.44269504088896340736), NN__C(NN__ROUND_MAGIC));
    NN__VEC n = NN__SUB(*t, NN__C(NN__ROUND_MAGIC));
    NN__VEC r = NN__FMA(n, NN__C(-0.69314718055994530942), x);
    r = NN__FMA(n, NN__C(-NN__LN2_LOW), r);
    NN__VEC q = NN__C(nn__exp_terms[0]);
    NN__UNROLL for (int k = 1; k < NN__EXP_TERMS; k++) q = NN__FMA(q, r, NN__C(nn__exp_terms[k]));
    return NN__FMA(NN__MUL(r, r), q, r);
}

/* exp(x), and in *low what its rounding lost. 2^n is applied in two halves, so that subnormal
   results and infinity come out right. */
NN__INLINE NN__VEC NN__FN(exp_pair)(NN__VEC x, NN__VEC *low)
{
    NN__VEC t, magic = NN__C(NN__ROUND_MAGIC);
    NN__VEC p =
        NN__FN(exp_reduced)(NN__MIN(NN__C(NN__EXP_HIGH), NN__MAX(NN__C(NN__EXP_LOW), x)), &t);
    NN__VEC n = NN__SUB(t, magic), half = NN__FMA(n, NN__C(0.5), magic);
    NN__VEC rest = NN__FN(pow2)(NN__ADD(NN__SUB(n, NN__SUB(half, magic)), magic));
    NN__VEC s = NN__FN(pow2)(half), e = NN__FMA(p, s, s);
    *low = NN__MUL(NN__FMA(p, s, NN__SUB(s, e)), rest);
    return NN__MUL(e, rest);
}

NN__INLINE NN__VEC NN__FN(exp)(NN__VEC x)
{
    NN__VEC low;
    return NN__FN(exp_pair)(x, &low);
}

/* exp(x) - 1 for x up to NN__EXPM1_HIGH, and what its rounding lost. */
NN__INLINE NN__VEC NN__FN(expm1_pair)(NN__VEC x, NN__VEC *low)
{
    NN__VEC t;
    NN__VEC p = NN__FN(exp_reduced)(NN__MAX(NN__C(NN__EXPM1_LOW), x), &t), s = NN__FN(pow2)(t);
    NN__VEC less = NN__SUB(s, NN__C(1)), e = NN__FMA(p, s, less);
    *low = NN__FMA(p, s, NN__SUB(less, e));
    return e;
}

NN__INLINE NN__VEC NN__FN(expm1)(NN__VEC x)
{
    NN__VEC low;
    return NN__FN(expm1_pair)(x, &low);
}

/* (a + a_low) / (b + b_low), rounded about once: the quotient's remainder is divided again. */
NN__INLINE NN__VEC NN__FN(quotient)(NN__VEC a, NN__VEC a_low, NN__VEC b, NN__VEC b_low)
{
    NN__VEC w = NN__DIV(NN__C(1), b), q = NN__MUL(a, w), minus_q = NN__SUB(NN__C(0), q);
    NN__VEC left = NN__ADD(NN__FMA(minus_q, b, a), NN__FMA(minus_q, b_low, a_low));
    return NN__FMA(left, w, q);
}

/* ln x for normal x; infinity and NaN are returned as they are. */
NN__INLINE NN__VEC NN__FN(log)(NN__VEC x)
{
    NN__IVEC offset = NN__ISET1(((nn__bits)NN__EXPONENT_BIAS << NN__MANTISSA) - NN__HALF_SQRT_BITS);
    NN__IVEC biased = NN__ISHR(NN__IADD(NN__TOI(x), offset), NN__MANTISSA); /* exponent + bias */
    NN__IVEC shift = NN__ISHL(NN__ISUB(biased, NN__ISET1(NN__EXPONENT_BIAS)), NN__MANTISSA);
    NN__VEC m = NN__TOF(NN__ISUB(NN__TOI(x), shift));
    NN__VEC e = NN__SUB(NN__TOF(NN__IADD(biased, NN__TOI(NN__C(NN__ROUND_MAGIC)))),
                      NN__C(NN__ROUND_MAGIC + NN__EXPONENT_BIAS));
    NN__VEC f = NN__SUB(m, NN__C(1)), s = NN__DIV(f, NN__ADD(m, NN__C(1))), z = NN__MUL(s, s);
    NN__VEC q = NN__C(nn__log_terms[0]);
    NN__UNROLL for (int k = 1; k < NN__LOG_TERMS; k++) q = NN__FMA(q, z, NN__C(nn__log_terms[k]));
    /* ln m = f - s (f - z q): s q z alone would carry the rounding error of 2 s */
    NN__VEC low = NN__FMA(s, NN__SUB(f, NN__MUL(z, q)), NN__MUL(e, NN__C(-NN__LN2_LOW)));
    NN__VEC y = NN__FMA(e, NN__C(0.69314718055994530942), NN__SUB(f, low));
    return NN__SELECT(NN__LT(x, NN__C(HUGE_VAL)), y, x);
}

/* ln x for every x: subnormal ones are scaled by 2^mantissa first; -infinity at 0, NaN below. */
NN__INLINE NN__VEC NN__FN(log_everywhere)(NN__VEC x)
{
    const double scale = (double)((nn__bits)1 << NN__MANTISSA);
    NN__MASK subnormal = NN__LT(x, NN__C(sizeof(nn_real) == 4 ? 1.17549435082228751e-38 : DBL_MIN));
    NN__VEC y = NN__FN(log)(NN__SELECT(subnormal, NN__MUL(x, NN__C(scale)), x));
    y = NN__SELECT(subnormal, NN__SUB(y, NN__C(NN__MANTISSA * 0.69314718055994530942)), y);
    NN__VEC none = NN__SELECT(NN__LT(x, NN__C(0)), NN__C(NAN), NN__SUB(x, NN__C(HUGE_VAL)));
    return NN__SELECT(NN__LT(NN__C(0), x), y, none);
}

/* ln(1 + u) for u in [0, 1]: ln of the rounded sum, and what the rounding lost. */
NN__INLINE NN__VEC NN__FN(log1p)(NN__VEC u)
{
    NN__VEC w = NN__ADD(u, NN__C(1)), lost = NN__SUB(u, NN__SUB(w, NN__C(1)));
    return NN__ADD(NN__FN(log)(w), NN__DIV(lost, w));
}

NN__INLINE NN__VEC NN__FN(abs)(NN__VEC x) { return NN__TOF(NN__ISHR(NN__ISHL(NN__TOI(x), 1), 1)); }

/* y >= 0 with the sign of x */
NN__INLINE NN__VEC NN__FN(with_sign)(NN__VEC y, NN__VEC x)
{
    NN__IVEC sign = NN__ISUB(NN__TOI(x), NN__TOI(NN__FN(abs)(x)));
    return NN__TOF(NN__IADD(NN__TOI(y), sign));
}

/* (e^2|x| - 1) / (e^2|x| + 1) */
NN__INLINE NN__VEC NN__FN(tanh)(NN__VEC x)
{
    NN__VEC a = NN__MIN(NN__C(NN__EXPM1_HIGH / 4), NN__FN(abs)(x));
    NN__VEC low, two = NN__C(2), e = NN__FN(expm1_pair)(NN__ADD(a, a), &low), d = NN__ADD(e, two);
    /* what the sum loses: exactly, with the larger term first */
    NN__VEC large = NN__MAX(e, two), lesser = NN__MIN(e, two);
    NN__VEC d_low = NN__ADD(NN__ADD(NN__SUB(large, d), lesser), low);
    return NN__FN(with_sign)(NN__FN(quotient)(e, low, d, d_low), x);
}

/* With e = exp(-|x|): 1 / (1 + e) or e / (1 + e), so that neither end overflows or cancels. */
NN__INLINE NN__VEC NN__FN(sigmoid)(NN__VEC x)
{
    NN__VEC low, zero = NN__C(0), one = NN__C(1);
    NN__VEC e = NN__FN(exp_pair)(NN__SUB(zero, NN__FN(abs)(x)), &low), d = NN__ADD(e, one);
    NN__VEC d_low = NN__ADD(NN__ADD(NN__SUB(one, d), e), low);
    NN__MASK negative = NN__LT(x, zero);
    NN__VEC top = NN__SELECT(negative, e, one), top_low = NN__SELECT(negative, low, zero);
    return NN__FN(quotient)(top, top_low, d, d_low);
}

/* max(x, 0) + ln(1 + exp(-|x|)) */
NN__INLINE NN__VEC NN__FN(softplus)(NN__VEC x)
{
    NN__VEC e = NN__FN(exp)(NN__SUB(NN__C(0), NN__FN(abs)(x)));
    return NN__ADD(NN__MAX(NN__C(0), x), NN__FN(log1p)(e));
}

/* exp(-x^2 / 2), 0 from 40 on: the part of x^2 / 2 that its rounding loses comes back as a
   factor. */
NN__INLINE NN__VEC NN__FN(gauss)(NN__VEC x)
{
    x = NN__MIN(NN__C(40), NN__FN(abs)(x));
    NN__VEC half = NN__MUL(x, NN__C(0.5)), h = NN__MUL(half, x);
    NN__VEC lost = NN__FMA(half, x, NN__SUB(NN__C(0), h));
    NN__VEC y = NN__FN(exp)(NN__SUB(NN__C(0), h));
    return NN__FMA(NN__SUB(NN__C(0), y), lost, y);
}

/* The standard normal distribution function: erfc(|x| / sqrt 2) / 2, or one less that. */
NN__INLINE NN__VEC NN__FN(normal_cdf)(NN__VEC x, NN__VEC gauss)
{
    NN__VEC a = NN__MUL(NN__FN(abs)(x), NN__C(0.70710678118654752440));
    NN__VEC t = NN__DIV(NN__C(3), NN__ADD(a, NN__C(3))), u = NN__SUB(NN__ADD(t, t), NN__C(1));
    NN__VEC h = NN__C(nn__erfc_terms[NN__ERFC_TERMS - 1]);
    for (int k = NN__ERFC_TERMS - 2; k >= 0; k--) h = NN__FMA(h, u, NN__C(nn__erfc_terms[k]));
    NN__VEC tail = NN__MUL(NN__MUL(gauss, t), NN__MUL(h, NN__C(0.5)));
    return NN__SELECT(NN__LT(x, NN__C(0)), tail, NN__SUB(NN__C(1), tail));
}

#endif

/* -------------------------------------------------------------------------------------- >>tile
   The micro-kernels, and the other parts of a product that depend on the instruction set. A tile is
   `mr` rows of `nv` vectors, one function for each size. The x86 ones are in assembly, which takes
   the compilers no time, and which runs as fast without optimisation. */

#if NN__PASS == NN__AVX2 || NN__PASS == NN__AVX512
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Woverlength-strings"
#endif
/* Rows of A are in rax, rdx, r8 to r11, and rcx is the offset of the step in all of them. Vector
   registers: the sums of a row are next to each other; then the row of B, an element of A, and with
   AVX2 the mask of the last vector. */
#if NN__PASS == NN__AVX2
#define NN__VECTOR "%%ymm"
#define NN__BYTES "32"
#define NN__ROW_BYTES "64"
#define NN__ROWS_AHEAD "24" /* to fetch: some 150 cycles */
#define NN__ROWS1(f, nv) f(nv, "0", "1", "", "", "0", "rax")
#define NN__ROWS2(f, nv) NN__ROWS1(f, nv) f(nv, "2", "3", "", "", "8", "rdx")
#define NN__ROWS3(f, nv) NN__ROWS2(f, nv) f(nv, "4", "5", "", "", "16", "r8")
#define NN__ROWS4(f, nv) NN__ROWS3(f, nv) f(nv, "6", "7", "", "", "24", "r9")
#define NN__ROWS5(f, nv) NN__ROWS4(f, nv) f(nv, "8", "9", "", "", "32", "r10")
#define NN__ROWS6(f, nv) NN__ROWS5(f, nv) f(nv, "10", "11", "", "", "40", "r11")
#define NN__B0 "12"
#define NN__B1 "13"
#define NN__ELEMENT NN__VECTOR "14"
#define NN__SET_MASK "vmovups (%%rax), %%ymm15\n"
#define NN__GET_MASKED(from, to) "vmaskmov" NN__PS " " from ", %%ymm15, " to "\n"
#define NN__PUT_MASKED(from, to) "vmaskmov" NN__PS " " from ", %%ymm15, " to "\n"
#define NN__MORE_REGISTERS
#else
#define NN__VECTOR "%%zmm"
#define NN__BYTES "64"
#define NN__ROW_BYTES "256"
#define NN__ROWS_AHEAD "8"
#define NN__ROWS1(f, nv) f(nv, "0", "1", "2", "3", "0", "rax")
#define NN__ROWS2(f, nv) NN__ROWS1(f, nv) f(nv, "4", "5", "6", "7", "8", "rdx")
#define NN__ROWS3(f, nv) NN__ROWS2(f, nv) f(nv, "8", "9", "10", "11", "16", "r8")
#define NN__ROWS4(f, nv) NN__ROWS3(f, nv) f(nv, "12", "13", "14", "15", "24", "r9")
#define NN__ROWS5(f, nv) NN__ROWS4(f, nv) f(nv, "16", "17", "18", "19", "32", "r10")
#define NN__ROWS6(f, nv) NN__ROWS5(f, nv) f(nv, "20", "21", "22", "23", "40", "r11")
#define NN__B0 "24"
#define NN__B1 "25"
#define NN__ELEMENT NN__VECTOR "28"
#ifdef NN_DOUBLE
#define NN__SET_MASK "vmovdqu64 (%%rax), %%zmm28\n vptestmq %%zmm28, %%zmm28, %%k1\n"
#else
#define NN__SET_MASK "vmovdqu32 (%%rax), %%zmm28\n vptestmd %%zmm28, %%zmm28, %%k1\n"
#endif
#define NN__GET_MASKED(from, to) "vmovu" NN__PS " " from ", " to " %{%%k1%}%{z%}\n"
#define NN__PUT_MASKED(from, to) "vmovu" NN__PS " " from ", " to " %{%%k1%}\n"
#define NN__MORE_REGISTERS                                                                         \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "k1"
#endif

/* For each vector of a row: f, or for the last one `end`, with its offset in memory, its register
   of B and that of its sum. */
#define NN__VECTORS1(f, end, s0, s1, s2, s3) end("0", NN__B0, s0)
#define NN__VECTORS2(f, end, s0, s1, s2, s3) f("0", NN__B0, s0) end(NN__BYTES, NN__B1, s1)
#define NN__VECTORS3(f, end, s0, s1, s2, s3)                                                       \
    NN__VECTORS2(f, f, s0, s1, s2, s3) end("2*" NN__BYTES, "26", s2)
#define NN__VECTORS4(f, end, s0, s1, s2, s3)                                                       \
    NN__VECTORS3(f, f, s0, s1, s2, s3) end("3*" NN__BYTES, "27", s3)

#define NN__GET_C(at, b, sum) "vmovu" NN__PS " " at "(%%r12), " NN__VECTOR sum "\n"
#define NN__GET_C_END(at, b, sum) NN__GET_MASKED(at "(%%r12)", NN__VECTOR sum)
#define NN__PUT_C(at, b, sum) "vmovu" NN__PS " " NN__VECTOR sum ", " at "(%%r12)\n"
#define NN__PUT_C_END(at, b, sum) NN__PUT_MASKED(NN__VECTOR sum, at "(%%r12)")
#define NN__FETCH_C(at, b, sum) "prefetcht0 " at "(%%r12)\n"
#define NN__GET_B(at, b, sum) "vmovu" NN__PS " " at "(%%rsi), " NN__VECTOR b "\n"
#define NN__GET_B_END(at, b, sum) NN__GET_MASKED(at "(%%rsi)", NN__VECTOR b)
#define NN__PUT_B(at, b, sum) "vmovu" NN__PS " " NN__VECTOR b ", " at "(%%r14)\n"
#define NN__FETCH_B(at, b, sum) "prefetcht0 " at "(%%rsi,%%r15)\n"
#define NN__MADD(at, b, sum)                                                                       \
    "vfmadd231" NN__PS " " NN__VECTOR b ", " NN__ELEMENT ", " NN__VECTOR sum "\n"

/* For each row of a tile */
#define NN__ROW_A(nv, s0, s1, s2, s3, i, a) "mov " i "(%%r12), %%" a "\n"
#define NN__ROW_GET(nv, s0, s1, s2, s3, i, a)                                                      \
    NN__VECTORS##nv(NN__GET_C, NN__GET_C_END, s0, s1, s2, s3) "add %%r13, %%r12\n"
#define NN__ROW_FETCH(nv, s0, s1, s2, s3, i, a)                                                    \
    NN__VECTORS##nv(NN__FETCH_C, NN__FETCH_C, s0, s1, s2, s3) "add %%r13, %%r12\n"
#define NN__ROW_MADD(nv, s0, s1, s2, s3, i, a)                                                     \
    "vbroadcast" NN__SS " (%%" a ",%%rcx), " NN__ELEMENT "\n"                                      \
    NN__VECTORS##nv(NN__MADD, NN__MADD, s0, s1, s2, s3)
#define NN__ROW_PUT(nv, s0, s1, s2, s3, i, a)                                                      \
    NN__VECTORS##nv(NN__PUT_C, NN__PUT_C, s0, s1, s2, s3) "add %%r13, %%r12\n"
#define NN__ROW_PUT_END(nv, s0, s1, s2, s3, i, a)                                                  \
    NN__VECTORS##nv(NN__PUT_C, NN__PUT_C_END, s0, s1, s2, s3) "add %%r13, %%r12\n"

#define NN__GET_ROW_OF_B(nv) NN__VECTORS##nv(NN__GET_B, NN__GET_B_END, "", "", "", "")
#define NN__PACKED_ROW_OF_B(nv) NN__VECTORS##nv(NN__GET_B, NN__GET_B, "", "", "", "")
#define NN__FETCH_ROW_OF_B(nv) NN__VECTORS##nv(NN__FETCH_B, NN__FETCH_B, "", "", "", "")
#define NN__PUT_ROW_OF_B(nv) NN__VECTORS##nv(NN__PUT_B, NN__PUT_B, "", "", "", "")
#define NN__MEMBER(name, to) "mov %c[" #name "](%[t]), %%" to "\n"
#define NN__OFFSET(name) [name] "i"(offsetof(nn__tile, name))

#define NN__PACKED_STEP(mr, nv)                                                                    \
    NN__PACKED_ROW_OF_B(nv) NN__ROWS##mr(NN__ROW_MADD, nv)                                         \
    "add $" NN__ROW_BYTES ", %%rsi\n add %%r12, %%rcx\n"
#define NN__TILE(mr, nv)                                                                           \
    static void NN__CAT3(NN__FN(tile_##mr), x, nv)(nn__tile * t)                                   \
    {                                                                                              \
        __asm__ volatile(                                                                          \
            NN__MEMBER(mask, "rax") NN__SET_MASK                                                   \
            NN__MEMBER(init, "r12") NN__MEMBER(init_ld, "r13") NN__ROWS##mr(NN__ROW_GET, nv)       \
            NN__MEMBER(c, "r12") NN__MEMBER(ldc, "r13") "add %c[next_c](%[t]), %%r12\n"            \
            NN__ROWS##mr(NN__ROW_FETCH, nv)                                                        \
            NN__MEMBER(a, "r12") NN__ROWS##mr(NN__ROW_A, nv)                                       \
            NN__MEMBER(b, "rsi") NN__MEMBER(ldb, "rdi") NN__MEMBER(panel, "r14")                   \
            "imul $" NN__ROWS_AHEAD ", %%rdi, %%r15\n" \
            NN__MEMBER(ak, "r12") NN__MEMBER(k, "r13")                                             \
            NN__MEMBER(runs, "rcx") "mov %%rcx, %c[run](%[t])\n" NN__MEMBER(first, "rcx")          \
            "test %%r13, %%r13\n jz 3f\n"                                                          \
            "test %%r14, %%r14\n jnz 2f\n test %%rdi, %%rdi\n jnz 1f\n .p2align 5\n"               \
            "0:\n test $1, %%r13b\n jz 7f\n" NN__PACKED_STEP(mr, nv) "dec %%r13\n jz 8f\n"         \
            ".p2align 5\n 7:\n" NN__PACKED_STEP(mr, nv) NN__PACKED_STEP(mr, nv)                    \
            "sub $2, %%r13\n jnz 7b\n jmp 8f\n"                                                   \
            "1:\n" NN__GET_ROW_OF_B(nv) NN__FETCH_ROW_OF_B(nv) NN__ROWS##mr(NN__ROW_MADD, nv)      \
            "add %%rdi, %%rsi\n add %%r12, %%rcx\n dec %%r13\n jnz 1b\n jmp 8f\n"                  \
            "2:\n" NN__GET_ROW_OF_B(nv) NN__FETCH_ROW_OF_B(nv) NN__PUT_ROW_OF_B(nv)                \
            NN__ROWS##mr(NN__ROW_MADD, nv) "add $" NN__ROW_BYTES ", %%r14\n"                       \
            "add %%rdi, %%rsi\n add %%r12, %%rcx\n dec %%r13\n jnz 2b\n"                           \
            "8:\n" NN__MEMBER(run, "rcx") "cmp %c[runs_end](%[t]), %%rcx\n je 3f\n"                \
            "addq $8, %c[run](%[t])\n mov (%%rcx), %%rcx\n" NN__MEMBER(k, "r13")                   \
            "test %%r14, %%r14\n jnz 2b\n test %%rdi, %%rdi\n jnz 1b\n jmp 0b\n"                   \
            "3:\n" NN__MEMBER(c, "r12") NN__MEMBER(ldc, "r13")                                     \
            "cmpq $" NN__BYTES "/%c[real], %c[last](%[t])\n jne 4f\n"                              \
            NN__ROWS##mr(NN__ROW_PUT, nv) "jmp 5f\n"                                               \
            "4:\n" NN__ROWS##mr(NN__ROW_PUT_END, nv)                                               \
            "5:\n vzeroupper\n"                                                                    \
            :                                                                                      \
            : [t] "r"(t), [real] "i"(sizeof(nn_real)), NN__OFFSET(mask), NN__OFFSET(init),         \
              NN__OFFSET(init_ld), NN__OFFSET(c), NN__OFFSET(ldc), NN__OFFSET(next_c),             \
              NN__OFFSET(a), NN__OFFSET(b), NN__OFFSET(ldb), NN__OFFSET(panel), NN__OFFSET(ak),    \
              NN__OFFSET(k), NN__OFFSET(last), NN__OFFSET(first), NN__OFFSET(runs),                \
              NN__OFFSET(runs_end), NN__OFFSET(run)                                                \
            : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",    \
              "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",       \
              "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",                 \
              "xmm15" NN__MORE_REGISTERS);                                                         \
    }

#else
#if NN__PASS == NN__PORTABLE
#define NN__TILE_INLINE static /* each step is a call or several instructions anyway */
#else
#define NN__TILE_INLINE NN__INLINE
#endif
NN__TILE_INLINE void NN__FN(tile)(const int mr, const int nv, const nn__tile *t)
{
    NN__VEC sum[NN__MR][NN__MAX_VECTORS], bv[NN__MAX_VECTORS];
    const size_t real = sizeof(nn_real), ak = t->ak / real;
    const size_t ldb = t->ldb ? t->ldb / real : NN__MAX_VECTORS * NN__WIDTH;
    const size_t init_ld = t->init_ld / real, ldc = t->ldc / real;
    const nn_real *a[NN__MR], *b = t->b;
    nn_real *panel = t->panel;
    NN__UNROLL for (int i = 0; i < mr; i++)
    {
        const nn_real *init = t->init + (size_t)i * init_ld;
        a[i] = t->a[i];
        NN__UNROLL for (int j = 0; j < nv; j++)
            sum[i][j] = NN__LD(init + j * NN__WIDTH, j == nv - 1 ? t->last : NN__WIDTH);
    }
    const ptrdiff_t *run = t->runs;
    for (ptrdiff_t first = t->first;; first = *run++) {
        ptrdiff_t at = first / (ptrdiff_t)real;
        for (size_t k = t->k; k; k--, b += ldb, at += (ptrdiff_t)ak) {
            NN__UNROLL for (int j = 0; j < nv; j++)
            {
                bv[j] = NN__LD(b + j * NN__WIDTH, j == nv - 1 ? t->last : NN__WIDTH);
                if (panel) NN__STORE(panel + j * NN__WIDTH, bv[j]);
            }
            NN__UNROLL for (int i = 0; i < mr; i++)
            {
                const NN__VEC av = NN__SET1(a[i][at]);
                NN__UNROLL for (int j = 0; j < nv; j++) sum[i][j] = NN__FMA(av, bv[j], sum[i][j]);
            }
            if (panel) panel += NN__MAX_VECTORS * NN__WIDTH;
        }
        if (run == t->runs_end) break;
    }
    NN__UNROLL for (int i = 0; i < mr; i++)
        NN__UNROLL for (int j = 0; j < nv; j++)
            NN__ST(t->c + (size_t)i * ldc + j * NN__WIDTH, sum[i][j],
                   j == nv - 1 ? t->last : NN__WIDTH);
}
#define NN__TILE(mr, nv)                                                                           \
    static void NN__CAT3(NN__FN(tile_##mr), x, nv)(nn__tile * t) { NN__FN(tile)(mr, nv, t); }
#endif

#if NN__PASS == NN__AVX2
#define NN__VECTORS_OF_A_TILE 2
#define NN__TILES(mr) NN__TILE(mr, 1) NN__TILE(mr, 2)
#define NN__NAMES(mr) {NN__CAT2(NN__FN(tile_##mr), x1), NN__CAT2(NN__FN(tile_##mr), x2)}
#else
#define NN__VECTORS_OF_A_TILE 4
#define NN__TILES(mr) NN__TILE(mr, 1) NN__TILE(mr, 2) NN__TILE(mr, 3) NN__TILE(mr, 4)
#define NN__NAMES(mr)                                                                              \
    {NN__CAT2(NN__FN(tile_##mr), x1), NN__CAT2(NN__FN(tile_##mr), x2),                             \
     NN__CAT2(NN__FN(tile_##mr), x3), NN__CAT2(NN__FN(tile_##mr), x4)}
#endif
NN__TILES(1)
NN__TILES(2)
NN__TILES(3)
NN__TILES(4)
NN__TILES(5)
NN__TILES(6)
static nn__tile_fn *const NN__FN(tiles)[NN__MR][NN__MAX_VECTORS] = {
    NN__NAMES(1), NN__NAMES(2), NN__NAMES(3), NN__NAMES(4), NN__NAMES(5), NN__NAMES(6)};
#if defined(__clang__) && (NN__PASS == NN__AVX2 || NN__PASS == NN__AVX512)
#pragma clang diagnostic pop
#endif

#if NN__PASS != NN__AVX512
/* The three loops of >>gemm. */
static void NN__FN(gemm_small)(const nn__gemm_args *g)
{
    const size_t ai = g->trans_a ? 1 : g->lda, ak = g->trans_a ? g->lda : 1;
    const size_t bk = g->trans_b ? 1 : g->ldb, bj = g->trans_b ? g->ldb : 1;
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            const nn_real *a = g->a + i * ai, *b = g->b + j * bj;
            nn_real *c = g->c + i * g->ldc + j, sum = 0;
            if (g->accumulate) sum = *c;
            else if (g->bias) sum = g->bias[j];
            for (size_t k = g->k; k; k--, a += ak, b += bk) sum = NN__FMA_SCALAR(*a, *b, sum);
            *c = sum;
        }
}
#endif

/* column[] = the first columns of the NN__WIDTH rows at src, as many as reals are in 16 bytes.
   Vectors are put together from pieces of 16 bytes of rows that far apart; then the squares are
   transposed within the pieces. Most of that is loads, since shuffles compete for one port. */
#if NN__WIDTH > 1
enum { NN__FN(per16) = 16 / sizeof(nn_real) };
NN__INLINE void NN__FN(columns)(const nn_real *src, size_t lds, NN__VEC *column)
{
    enum { per16 = NN__FN(per16) };
    NN__VEC r[per16], t[per16];
    NN__OPAQUE(lds);
    NN__UNROLL for (int i = 0; i < per16; i++) r[i] =
        NN__GATHER_16B(src + (size_t)i * lds, per16 * lds);
    NN__UNROLL for (int i = 0; i < per16 / 2; i++) t[2 * i] = NN__ZIPLO(r[i], r[i + per16 / 2]),
                                                         t[2 * i + 1] =
                                                             NN__ZIPHI(r[i], r[i + per16 / 2]);
    if (per16 == 2) {
        NN__UNROLL for (int i = 0; i < per16; i++) column[i] = t[i];
        return;
    }
    NN__UNROLL for (int i = 0; i < per16 / 2; i++)
    {
        column[2 * i] = NN__ZIPLO(t[i], t[i + per16 / 2]);
        column[2 * i + 1] = NN__ZIPHI(t[i], t[i + per16 / 2]);
    }
}
#endif

#if NN__PASS != NN__AVX512
/* dst[cols,rows] = src[rows,cols]'. The last vectors take some rows or columns again. */
static void NN__FN(transpose)(size_t rows, size_t cols, const nn_real *src, size_t lds,
                              nn_real *dst, size_t ldd)
{
    size_t i = 0;
#if NN__WIDTH > 1
    enum { per16 = NN__FN(per16) };
    for (; i + 2 < rows && rows >= NN__WIDTH && cols >= per16; i += NN__WIDTH) {
        i = nn__min_size(i, rows - NN__WIDTH);
        for (size_t j = 0; j < cols; j += per16) {
            NN__VEC column[per16];
            j = nn__min_size(j, cols - per16);
            NN__FN(columns)(src + i * lds + j, lds, column);
            NN__UNROLL for (int q = 0; q < per16; q++)
                NN__STORE(dst + (j + (size_t)q) * ldd + i, column[q]);
        }
    }
#endif
    for (; i < rows; i++)
        for (size_t j = 0; j < cols; j++) dst[j * ldd + i] = src[i * lds + j];
}

#endif

#if NN__WIDTH > 1
/* nv vectors of the row of C = a B, of the last of which `last` values exist. */
NN__INLINE void NN__FN(row_piece)(const int nv, const nn__gemm_args *g, size_t j, size_t last)
{
    const size_t ak = g->trans_a ? g->lda : 1;
    const nn_real *a = g->a, *b = g->b + j;
    const nn_real *init = g->accumulate ? g->c + j : g->bias ? g->bias + j : NULL;
    NN__VEC sum[8];
    NN__UNROLL for (int l = 0; l < nv; l++)
        sum[l] = init ? NN__LD(init + l * NN__WIDTH, l == nv - 1 ? last : NN__WIDTH) : NN__C(0);
    for (size_t k = g->k; k; k--, a += ak, b += g->ldb) {
        const NN__VEC by = NN__SET1(*a);
        NN__UNROLL for (int l = 0; l < nv; l++)
            sum[l] = NN__FMA(by, NN__LD(b + l * NN__WIDTH, l == nv - 1 ? last : NN__WIDTH), sum[l]);
    }
    NN__UNROLL for (int l = 0; l < nv; l++)
        NN__ST(g->c + j + l * NN__WIDTH, sum[l], l == nv - 1 ? last : NN__WIDTH);
}

/* One row of C, B not transposed: each row of B, times an element of A, is added to as many vectors
   of C as keep the multipliers busy. */
static void NN__FN(gemm_row)(const nn__gemm_args *g)
{
    size_t j = 0;
    for (; j + 8 * NN__WIDTH <= g->n; j += 8 * NN__WIDTH) NN__FN(row_piece)(8, g, j, NN__WIDTH);
    for (; j + NN__WIDTH < g->n; j += 2 * NN__WIDTH)
        NN__FN(row_piece)(2, g, j, nn__min_size(NN__WIDTH, g->n - j - NN__WIDTH));
    if (j < g->n) NN__FN(row_piece)(1, g, j, g->n - j);
}

/* A product with few columns. A block of rows, `groups` vectors of them, lies along the lanes: the
   rows are transposed in registers, per16 steps at a time, so that nothing waits for a copy. Each
   column's sums are `groups` vectors, in registers where the number of columns is `fixed` and in
   memory where that is 0. When swapped, B' has the rows and A' the columns. */
typedef struct NN__FN(narrow_args) {
    const nn_real *rows, *few; /* few: the other operand, by k and column */
    size_t ld, fk, fj, columns, k;
} NN__FN(narrow_args);

/* v[groups] += the per16 columns, each times its element by[q][at] */
NN__INLINE void NN__FN(narrow_step)(const int groups, const nn_real *const *by, size_t at,
                                    NN__VEC (*column)[NN__FN(per16)], NN__VEC *v)
{
    NN__UNROLL for (int q = 0; q < NN__FN(per16); q++)
    {
#if NN__PASS == NN__AVX512
        NN__UNROLL for (int u = 0; u < groups; u++)
            v[u] = nn__fma_from_avx512(by[q] + at, column[u][q], v[u]);
#else
        const NN__VEC x = NN__SET1(by[q][at]);
        NN__UNROLL for (int u = 0; u < groups; u++) v[u] = NN__FMA(x, column[u][q], v[u]);
#endif
    }
}

NN__INLINE void NN__FN(narrow_steps)(const int groups, const int fixed,
                                     const NN__FN(narrow_args) * s, nn_real *sum)
{
    enum { per16 = NN__FN(per16) };
    const size_t ld = s->ld, fk = s->fk, fj = fixed == 10 ? 1 : s->fj;
    const size_t size = (size_t)groups * NN__WIDTH;
    NN__VEC column[4][per16], v[NN__FEW];
    const nn_real *rows = s->rows, *few = s->few, *by[per16];
    size_t k = s->k;
    NN__UNROLL for (int j = 0; j < fixed * groups; j++) v[j] = NN__LOAD(sum + j * NN__WIDTH);
    for (; k >= per16; k -= per16, rows += per16, few += per16 * fk) {
        NN__UNROLL for (int u = 0; u < groups; u++)
            NN__FN(columns)(rows + (size_t)u * NN__WIDTH * ld, ld, column[u]);
        NN__UNROLL for (int q = 0; q < per16; q++)
        {
            by[q] = few + (size_t)q * fk;
            NN__OPAQUE(by[q]);
        }
        NN__UNROLL for (int j = 0; j < fixed; j++)
            NN__FN(narrow_step)(groups, by, (size_t)j * fj, column, v + j * groups);
        for (size_t j = 0; !fixed && j < s->columns; j++) {
            nn_real *to = sum + j * size;
            NN__UNROLL for (int u = 0; u < groups; u++) v[u] = NN__LOAD(to + u * NN__WIDTH);
            NN__FN(narrow_step)(groups, by, j * fj, column, v);
            NN__UNROLL for (int u = 0; u < groups; u++) NN__STORE(to + u * NN__WIDTH, v[u]);
        }
    }
    NN__UNROLL for (int j = 0; j < fixed * groups; j++) NN__STORE(sum + j * NN__WIDTH, v[j]);
    for (; k; k--, rows++, few += fk)
        for (size_t l = 0; l < size; l++)
            for (size_t j = 0; j < s->columns; j++)
                sum[j * size + l] = NN__FMA_SCALAR(few[j * fj], rows[l * ld], sum[j * size + l]);
}

/* One function each: side by side in one they would share its registers. */
#define NN__NARROW(groups, fixed)                                                                  \
    static NN__NOINLINE void NN__CAT3(NN__FN(narrow_##groups), x, fixed)(                          \
        const NN__FN(narrow_args) * s, nn_real *sum)                                               \
    {                                                                                              \
        NN__FN(narrow_steps)(groups, fixed, s, sum);                                               \
    }
NN__NARROW(4, 1)
NN__NARROW(2, 1)
NN__NARROW(1, 10)
NN__NARROW(2, 0)
NN__NARROW(1, 0)
#undef NN__NARROW

/* The sums of a block of rows from C, the bias or 0. */
static void NN__FN(narrow_begin)(const nn__gemm_args *g, int swapped, size_t row, size_t size,
                                 nn_real *sum)
{
    nn_real *c = g->c + (swapped ? row : row * g->ldc);
    const size_t columns = swapped ? g->m : g->n;
    if (g->accumulate && !swapped) {
        NN__SHARED(transpose)(size, columns, c, g->ldc, sum, size);
        return;
    }
    for (size_t j = 0; j < columns; j++)
        for (size_t l = 0; l < size; l += NN__WIDTH) {
            NN__VEC v = NN__C(0);
            if (g->accumulate) v = NN__LOAD(c + j * g->ldc + l);
            else if (g->bias) v = swapped ? NN__LOAD(g->bias + row + l) : NN__SET1(g->bias[j]);
            NN__STORE(sum + j * size + l, v);
        }
}

/* All but the first `skip` of the rows */
static void NN__FN(narrow_end)(const nn__gemm_args *g, int swapped, size_t row, size_t size,
                               size_t skip, const nn_real *sum)
{
    nn_real *c = g->c + (row + skip) * (swapped ? 1 : g->ldc);
    if (!swapped) NN__SHARED(transpose)(g->n, size - skip, sum + skip, size, c, g->ldc);
    else
        for (size_t j = 0; j < g->m; j++)
            memcpy(c + j * g->ldc, sum + j * size + skip, (size - skip) * sizeof *sum);
}

/* At least one vector of rows. */
static void NN__FN(gemm_narrow)(const nn__gemm_args *g, int swapped)
{
    NN__ALIGNED nn_real sum[2 * NN__FEW * NN__WIDTH];
    NN__FN(narrow_args) s;
    const nn_real *rows = swapped ? g->b : g->a;
    const size_t count = swapped ? g->n : g->m;
    s.ld = swapped ? g->ldb : g->lda;
    s.few = swapped ? g->a : g->b, s.columns = swapped ? g->m : g->n, s.k = g->k;
    s.fk = swapped ? g->trans_a ? g->lda : 1 : g->trans_b ? 1 : g->ldb;
    s.fj = swapped ? g->trans_a ? 1 : g->lda : g->trans_b ? g->ldb : 1;
    /* One column's chains of sums wait for themselves unless they are many. But a set of the cache
       has room for eight lines, so that of rows 4096 bytes apart no more may be read at once. */
    const size_t apart = s.ld * sizeof(nn_real), half = apart % 4096 ? 16 : 8;
    const size_t max_rows = apart % 2048 ? 64 : half, max = s.columns == 1 ? 4 : 2;
    const int ten = s.columns == 10 && s.fj == 1;
    for (size_t row = 0, size, skip; row < count; row += size - skip) {
        const size_t left = nn__min_size(count - row, max_rows) / NN__WIDTH;
        const int groups = ten ? 1 : left >= max ? (int)max : left >= 2 ? 2 : 1;
        size = (size_t)groups * NN__WIDTH;
        skip = count - row < size ? size - (count - row) : 0; /* of the last ones, done before */
        row -= skip;
        s.rows = rows + row * s.ld;
        NN__FN(narrow_begin)(g, swapped, row, size, sum);
        if (groups == 4) NN__CAT2(NN__FN(narrow_4), x1)(&s, sum);
        else if (groups == 2 && s.columns == 1) NN__CAT2(NN__FN(narrow_2), x1)(&s, sum);
        else if (ten) NN__CAT2(NN__FN(narrow_1), x10)(&s, sum);
        else if (groups == 2) NN__CAT2(NN__FN(narrow_2), x0)(&s, sum);
        else NN__CAT2(NN__FN(narrow_1), x0)(&s, sum);
        NN__FN(narrow_end)(g, swapped, row, size, skip, sum);
        row += skip;
    }
}
#endif

#if NN__PASS != NN__AVX512
/* ----------------------------------------------------------------------------------- >>kernels
   Loops over arrays and rows. Where an output may be an input, an element is read before it is
   written. */

static void NN__FN(add_row)(size_t rows, size_t cols, nn_real *x, const nn_real *row)
{
    for (; rows; rows--, x += cols)
        NN__EACH(cols) NN__ST(x + i, NN__ADD(NN__LD(x + i, c), NN__LD(row + i, c)), c);
}

static void NN__FN(sum_rows)(size_t rows, size_t cols, size_t ldx, const nn_real *x, nn_real *out,
                             int accumulate)
{
    NN__EACH(cols)
    {
        NN__VEC sum = accumulate ? NN__LD(out + i, c) : NN__C(0);
        for (size_t r = 0; r < rows; r++) sum = NN__ADD(sum, NN__LD(x + r * ldx + i, c));
        NN__ST(out + i, sum, c);
    }
}

static nn_real NN__FN(row_max)(size_t n, const nn_real *x)
{
    nn_real lane[NN__WIDTH], max;
    NN__VEC v = NN__C(-HUGE_VAL);
    size_t whole = n - n % NN__WIDTH;
    for (size_t i = 0; i < whole; i += NN__WIDTH) v = NN__MAX(NN__LOAD(x + i), v);
    NN__STORE(lane, v);
    max = lane[0];
    for (int l = 1; l < NN__WIDTH; l++) max = lane[l] > max ? lane[l] : max;
    for (size_t i = whole; i < n; i++) max = x[i] > max ? x[i] : max;
    return max;
}

/* mr rows of C: each element is a sum of products of its own column. */
NN__INLINE void NN__FN(channel_rows)(const int mr, const nn__tile *t, size_t n,
                                     const nn_real *const *a, size_t row)
{
    const size_t ak = t->ak / sizeof(nn_real), ldb = t->ldb / sizeof(nn_real);
    const size_t ldc = t->ldc / sizeof(nn_real), init_ld = t->init_ld / sizeof(nn_real);
    NN__EACH(n)
    {
        NN__VEC sum[NN__MR];
        const nn_real *b = t->b + i;
        const ptrdiff_t *run = t->runs;
        NN__UNROLL for (int r = 0; r < mr; r++)
            sum[r] = t->init == nn__zeros ? NN__C(0)
                                          : NN__LD(t->init + (row + (size_t)r) * init_ld + i, c);
        for (ptrdiff_t first = t->first;; first = *run++) {
            ptrdiff_t at = first / (ptrdiff_t)sizeof(nn_real) + (ptrdiff_t)i;
            for (size_t k = t->k; k; k--, b += ldb, at += (ptrdiff_t)ak) {
                const NN__VEC bv = NN__LD(b, c);
                NN__UNROLL for (int r = 0; r < mr; r++)
                    sum[r] = NN__FMA(NN__LD(a[r] + at, c), bv, sum[r]);
            }
            if (run == t->runs_end) break;
        }
        NN__UNROLL for (int r = 0; r < mr; r++)
            NN__ST(t->c + (row + (size_t)r) * ldc + i, sum[r], c);
    }
}

static void NN__FN(channels)(const nn__tile *t, size_t n, size_t m, const nn__lines *a)
{
    const nn_real *at[NN__MR];
    for (size_t row = 0, rows; row < m; row += rows) {
        rows = m - row >= NN__MR ? NN__MR : m - row >= 3 ? 3 : 1;
        for (size_t r = 0; r < rows; r++)
            at[r] = (const nn_real *)((const char *)a->a + a->offsets[row + r]);
        if (rows == NN__MR) NN__FN(channel_rows)(NN__MR, t, n, at, row);
        else if (rows == 3) NN__FN(channel_rows)(3, t, n, at, row);
        else NN__FN(channel_rows)(1, t, n, at, row);
    }
}

#define NN__FOR_PARTS NN__UNROLL for (int l = 0; l < NN__PARTS; l++)
/* values left from part l of the 16 that begin at i */
#define NN__LEFT(n, i, l)                                                                          \
    ((n) > (i) + (size_t)(l)*NN__WIDTH ? (n) - (i) - (size_t)(l)*NN__WIDTH : 0)

static nn_real NN__FN(sum)(size_t n, const nn_real *x)
{
    NN__VEC part[NN__PARTS];
    NN__FOR_PARTS part[l] = NN__C(0);
    for (size_t i = 0; i < n; i += NN__LANES)
        NN__FOR_PARTS part[l] = NN__ADD(part[l], NN__LD(x + i + l * NN__WIDTH, NN__LEFT(n, i, l)));
    return NN__FN(reduce)(part);
}

static nn_real NN__FN(dot)(size_t n, const nn_real *a, const nn_real *b)
{
    NN__VEC part[NN__PARTS];
    NN__FOR_PARTS part[l] = NN__C(0);
    for (size_t i = 0; i < n; i += NN__LANES)
        NN__FOR_PARTS
        {
            size_t c = NN__LEFT(n, i, l), at = i + (size_t)l * NN__WIDTH;
            part[l] = NN__FMA(NN__LD(a + at, c), NN__LD(b + at, c), part[l]);
        }
    return NN__FN(reduce)(part);
}

/* y = exp(x - max); returns the sum. */
NN__INLINE nn_real NN__FN(exp_row)(size_t n, const nn_real *x, nn_real max, nn_real *y)
{
    NN__VEC part[NN__PARTS];
    NN__FOR_PARTS part[l] = NN__C(0);
    for (size_t i = 0; i < n; i += NN__LANES)
        NN__FOR_PARTS
        {
            size_t c = NN__LEFT(n, i, l), at = i + (size_t)l * NN__WIDTH;
            NN__VEC e = NN__FN(exp)(NN__SUB(NN__LD(x + at, c), NN__C(max)));
            if (y) NN__ST(y + at, e, c);
            part[l] = NN__ADD(part[l], NN__FN(keep)(e, c));
        }
    return NN__FN(reduce)(part);
}

#if NN__WIDTH > 1
/* Rows of up to 16, each in a lane of its own: none is left empty, and one logarithm serves all.
   The sums are those of exp_row, where each virtual lane now holds one element or none. */
static void NN__FN(softmax_lanes)(size_t rows, size_t cols, const nn_real *x, nn_real *y, int log,
                                  nn_real *stats)
{
    NN__VEC v[NN__LANES], sum[NN__LANES], max = NN__C(-HUGE_VAL);
    NN__ALIGNED nn_real block[NN__LANES * NN__WIDTH], log_sums[NN__WIDTH];
    if (rows < NN__WIDTH) memset(block, 0, sizeof block);
    NN__FN(transpose)(rows, cols, x, cols, block, NN__WIDTH);
    for (size_t j = 0; j < cols; j++) {
        v[j] = NN__LOAD(block + j * NN__WIDTH);
        max = NN__MAX(v[j], max);
    }
    for (size_t j = 0; j < NN__LANES; j++) {
        sum[j] = NN__C(0);
        if (j >= cols) continue;
        v[j] = NN__SUB(v[j], max);
        sum[j] = NN__FN(exp)(v[j]);
        if (!log) v[j] = sum[j];
    }
    for (int step = NN__LANES / 2; step; step /= 2)
        for (int j = 0; j < step; j++) sum[j] = NN__ADD(sum[j], sum[j + step]);
    NN__VEC scale = NN__DIV(NN__C(1), sum[0]), log_sum = NN__FN(log)(sum[0]);
    for (size_t j = 0; j < cols; j++)
        NN__STORE(block + j * NN__WIDTH, log ? NN__SUB(v[j], log_sum) : NN__MUL(v[j], scale));
    NN__FN(transpose)(cols, rows, block, NN__WIDTH, y, cols);
    NN__STORE(block, max);
    NN__STORE(log_sums, log_sum);
    for (size_t r = 0; stats && r < rows; r++)
        stats[2 * r] = block[r], stats[2 * r + 1] = log_sums[r];
}
#endif

static void NN__FN(softmax)(size_t rows, size_t cols, const nn_real *x, nn_real *y, int log,
                            nn_real *stats)
{
    size_t r = 0;
#if NN__WIDTH > 1
    for (; cols <= NN__LANES && r + 4 <= rows; r += nn__min_size(NN__WIDTH, rows - r))
        NN__FN(softmax_lanes)
        (nn__min_size(NN__WIDTH, rows - r), cols, x + r * cols, y + r * cols, log,
         stats ? stats + 2 * r : NULL);
#endif
    for (x += r * cols, y += r * cols; r < rows; r++, x += cols, y += cols) {
        nn_real max = NN__FN(row_max)(cols, x), lane[NN__WIDTH];
        nn_real sum = NN__FN(exp_row)(cols, x, max, log ? NULL : y);
        NN__VEC scale = NN__DIV(NN__C(1), NN__C(sum)), log_sum = NN__FN(log)(NN__C(sum));
        NN__STORE(lane, log_sum);
        if (stats) stats[2 * r] = max, stats[2 * r + 1] = lane[0];
        if (log) {
            NN__EACH(cols)
            {
                NN__VEC shifted = NN__SUB(NN__LD(x + i, c), NN__C(max));
                NN__ST(y + i, NN__SUB(shifted, log_sum), c);
            }
        } else {
            NN__EACH(cols) NN__ST(y + i, NN__MUL(NN__LD(y + i, c), scale), c);
        }
    }
}

static void NN__FN(add)(size_t n, const nn_real *a, const nn_real *b, nn_real *y)
{
    NN__EACH(n) NN__ST(y + i, NN__ADD(NN__LD(a + i, c), NN__LD(b + i, c)), c);
}

static void NN__FN(sub)(size_t n, const nn_real *a, const nn_real *b, nn_real *y)
{
    NN__EACH(n) NN__ST(y + i, NN__SUB(NN__LD(a + i, c), NN__LD(b + i, c)), c);
}

static void NN__FN(mul)(size_t n, const nn_real *a, const nn_real *b, nn_real *y)
{
    NN__EACH(n) NN__ST(y + i, NN__MUL(NN__LD(a + i, c), NN__LD(b + i, c)), c);
}

static void NN__FN(scale)(size_t n, nn_real s, const nn_real *x, nn_real *y)
{
    NN__EACH(n) NN__ST(y + i, NN__MUL(NN__C(s), NN__LD(x + i, c)), c);
}

static void NN__FN(axpy)(size_t n, nn_real s, const nn_real *x, nn_real *y)
{
    NN__EACH(n) NN__ST(y + i, NN__FMA(NN__C(s), NN__LD(x + i, c), NN__LD(y + i, c)), c);
}

static void NN__FN(clamp)(size_t n, nn_real limit, nn_real *x)
{
    NN__VEC high = NN__C(limit), low = NN__C(-limit);
    NN__EACH(n) NN__ST(x + i, NN__MIN(high, NN__MAX(low, NN__LD(x + i, c))), c);
}

/* Of an epsilon this is 0, but for a compiler that makes one operation of a product and a sum. */
static nn_real NN__FN(contraction)(nn_real x) { return (1 + x) * (1 - x) - 1; }

#define NN__MAP(expression)                                                                        \
    NN__EACH(n)                                                                                    \
    {                                                                                              \
        NN__VEC v = NN__LD(x + i, c);                                                              \
        NN__ST(y + i, expression, c);                                                              \
    }

static void NN__FN(activate)(nn_activation kind, nn_real alpha, size_t n, const nn_real *x,
                             nn_real *y)
{
    NN__VEC zero = NN__C(0), slope = NN__C(alpha);
    switch ((int)kind) {
    case NN_ACTIVATION_SIGMOID: NN__MAP(NN__FN(sigmoid)(v)) break;
    case NN_ACTIVATION_TANH: NN__MAP(NN__FN(tanh)(v)) break;
    case NN_ACTIVATION_SCALED_TANH:
        NN__MAP(NN__MUL(NN__C(1.7159), NN__FN(tanh)(NN__MUL(v, NN__C(2.0 / 3))))) break;
    case NN_ACTIVATION_RELU: NN__MAP(NN__MAX(zero, v)) break;
    case NN_ACTIVATION_LEAKY_RELU: NN__MAP(NN__SELECT(NN__LT(zero, v), v, NN__MUL(slope, v))) break;
    case NN_ACTIVATION_ELU:
        NN__MAP(NN__SELECT(NN__LT(zero, v), v, NN__MUL(slope, NN__FN(expm1)(NN__MIN(zero, v)))))
        break;
    case NN_ACTIVATION_GELU: NN__MAP(NN__MUL(v, NN__FN(normal_cdf)(v, NN__FN(gauss)(v)))) break;
    case NN_ACTIVATION_SILU: NN__MAP(NN__MUL(v, NN__FN(sigmoid)(v))) break;
    case NN_ACTIVATION_SOFTPLUS: NN__MAP(NN__FN(softplus)(v)) break;
    case NN__MAP_EXP: NN__MAP(NN__FN(exp)(v)) break;
    case NN__MAP_LOG: NN__MAP(NN__FN(log_everywhere)(v)) break;
    default: NN__MAP(v) break;
    }
}
#undef NN__MAP

/* d/dx x Phi(x) = Phi(x) + x phi(x) */
NN__INLINE NN__VEC NN__FN(gelu_slope)(NN__VEC x)
{
    NN__VEC gauss = NN__FN(gauss)(x), density = NN__MUL(gauss, NN__C(0.39894228040143267794));
    return NN__FMA(x, density, NN__FN(normal_cdf)(x, gauss));
}

/* d/dx x s(x) = s (1 + x (1 - s)) */
NN__INLINE NN__VEC NN__FN(silu_slope)(NN__VEC x)
{
    NN__VEC s = NN__FN(sigmoid)(x), one = NN__C(1);
    return NN__MUL(s, NN__FMA(x, NN__SUB(one, s), one));
}

/* v is f's output, or its input for the functions whose slope needs that. */
#define NN__MAP(from, expression)                                                                  \
    NN__EACH(n)                                                                                    \
    {                                                                                              \
        NN__VEC v = NN__LD(from + i, c), d = NN__LD(dy + i, c);                                    \
        NN__ST(dx + i, expression, c);                                                             \
    }

static void NN__FN(activate_backward)(nn_activation kind, nn_real alpha, size_t n,
                                      const nn_real *x, const nn_real *y, const nn_real *dy,
                                      nn_real *dx)
{
    NN__VEC zero = NN__C(0), one = NN__C(1), slope = NN__C(alpha);
    NN__VEC ab = NN__C(1.7159 * 2 / 3), b_over_a = NN__C(-2.0 / 3 / 1.7159);
    switch (kind) {
    case NN_ACTIVATION_SIGMOID: NN__MAP(y, NN__MUL(d, NN__MUL(v, NN__SUB(one, v)))) break;
    case NN_ACTIVATION_TANH: NN__MAP(y, NN__MUL(d, NN__SUB(one, NN__MUL(v, v)))) break;
    case NN_ACTIVATION_SCALED_TANH:
        NN__MAP(y, NN__MUL(d, NN__FMA(NN__MUL(v, v), b_over_a, ab))) break;
    case NN_ACTIVATION_RELU: NN__MAP(y, NN__SELECT(NN__LT(zero, v), d, zero)) break;
    case NN_ACTIVATION_LEAKY_RELU:
        NN__MAP(y, NN__SELECT(NN__LT(zero, v), d, NN__MUL(slope, d))) break;
    case NN_ACTIVATION_ELU:
        NN__MAP(y, NN__SELECT(NN__LT(zero, v), d, NN__MUL(d, NN__ADD(v, slope)))) break;
    case NN_ACTIVATION_GELU: NN__MAP(x, NN__MUL(d, NN__FN(gelu_slope)(v))) break;
    case NN_ACTIVATION_SILU: NN__MAP(x, NN__MUL(d, NN__FN(silu_slope)(v))) break;
    case NN_ACTIVATION_SOFTPLUS: NN__MAP(x, NN__MUL(d, NN__FN(sigmoid)(v))) break;
    case NN_ACTIVATION_IDENTITY:
    case NN_ACTIVATION_COUNT:
    default:
        NN__EACH(n) NN__ST(dx + i, NN__LD(dy + i, c), c);
        break;
    }
}
#undef NN__MAP

static void NN__FN(affine)(size_t n, const nn_real *x, const nn_real *scale, const nn_real *shift,
                           int each, nn_real *out)
{
    NN__VEC a = NN__C(*scale), b = NN__C(*shift);
    size_t i = 0;
    for (; !each && i + 4 * NN__WIDTH <= n; i += 4 * NN__WIDTH)
        NN__UNROLL for (int j = 0; j < 4; j++)
            NN__STORE(out + i + j * NN__WIDTH, NN__FMA(NN__LOAD(x + i + j * NN__WIDTH), a, b));
    for (; i < n; i += NN__WIDTH) {
        if (each) a = NN__LD(scale + i, n - i), b = NN__LD(shift + i, n - i);
        NN__ST(out + i, NN__FMA(NN__LD(x + i, n - i), a, b), n - i);
    }
}

static void NN__FN(affine_bytes)(size_t n, const uint8_t *x, const nn_real *scale,
                                 const nn_real *shift, int each, nn_real *out)
{
    NN__VEC a = NN__C(*scale), b = NN__C(*shift);
    uint8_t end[NN__WIDTH] = {0}; /* the last bytes, so that nothing behind the array is read */
    size_t whole = n - n % NN__WIDTH, i = 0;
    for (; !each && i + 4 * NN__WIDTH <= n; i += 4 * NN__WIDTH)
        NN__UNROLL for (int j = 0; j < 4; j++)
            NN__STORE(out + i + j * NN__WIDTH, NN__FMA(NN__LOAD_U8(x + i + j * NN__WIDTH), a, b));
    memcpy(end, x + whole, n - whole);
    for (; i < n; i += NN__WIDTH) {
        NN__VEC v = i < whole ? NN__LOAD_U8(x + i) : NN__LOAD_U8(end);
        if (each) a = NN__LD(scale + i, n - i), b = NN__LD(shift + i, n - i);
        NN__ST(out + i, NN__FMA(v, a, b), n - i);
    }
}

#define NN__UPDATE(body)                                                                           \
    NN__EACH(n)                                                                                    \
    {                                                                                              \
        NN__VEC v = NN__LD(w + i, c), d = NN__FMA(decay, v, NN__MUL(NN__LD(g + i, c), scale));     \
        body;                                                                                      \
        NN__ST(w + i, v, c);                                                                       \
    }

static void NN__FN(update)(const nn__update *u, size_t n, nn_real *w, const nn_real *g,
                           nn_real *s0, nn_real *s1)
{
    NN__VEC scale = NN__C(u->scale), decay = NN__C(u->decay);
    NN__VEC minus_rate = NN__C(-u->rate), epsilon = NN__C(u->epsilon),
          keep = NN__C(1 - u->decoupled_decay);
    NN__VEC momentum = NN__C(u->momentum), b1 = NN__C(u->beta1), b2 = NN__C(u->beta2);
    NN__VEC c1 = NN__C(u->correction1), c2 = NN__C(u->correction2);
    NN__VEC rest1 = NN__C(1 - u->beta1), rest2 = NN__C(1 - u->beta2), m, s;
    switch (u->kind) {
    case NN_OPTIMIZER_SGD:
        if (!s0) {
            NN__UPDATE(v = NN__FMA(minus_rate, d, v))
        } else if (u->nesterov) {
            NN__UPDATE(m = NN__FMA(momentum, NN__LD(s0 + i, c), d); NN__ST(s0 + i, m, c);
                       v = NN__FMA(minus_rate, NN__FMA(momentum, m, d), v))
        } else {
            NN__UPDATE(m = NN__FMA(momentum, NN__LD(s0 + i, c), d); NN__ST(s0 + i, m, c);
                       v = NN__FMA(minus_rate, m, v))
        }
        break;
    case NN_OPTIMIZER_ADAGRAD:
        NN__UPDATE(s = NN__FMA(d, d, NN__LD(s0 + i, c)); NN__ST(s0 + i, s, c);
                   v = NN__FMA(minus_rate, NN__DIV(d, NN__ADD(NN__SQRT(s), epsilon)), v))
        break;
    case NN_OPTIMIZER_RMSPROP:
        NN__UPDATE(s = NN__FMA(NN__MUL(rest2, d), d, NN__MUL(b2, NN__LD(s0 + i, c)));
                   NN__ST(s0 + i, s, c);
                   v = NN__FMA(minus_rate, NN__DIV(d, NN__ADD(NN__SQRT(s), epsilon)), v))
        break;
    case NN_OPTIMIZER_ADAM:
    case NN_OPTIMIZER_ADAMW:
        NN__UPDATE(m = NN__FMA(rest1, d, NN__MUL(b1, NN__LD(s0 + i, c))); NN__ST(s0 + i, m, c);
                   s = NN__FMA(NN__MUL(rest2, d), d, NN__MUL(b2, NN__LD(s1 + i, c)));
                   NN__ST(s1 + i, s, c); s = NN__FMA(NN__SQRT(s), c2, epsilon);
                   v = NN__FMA(minus_rate, NN__DIV(NN__MUL(m, c1), s), NN__MUL(v, keep)))
        break;
    case NN_OPTIMIZER_COUNT:
    default: break;
    }
}
#undef NN__UPDATE

/* ------------------------------------------------------------------------------------ >>channels
   Passes over images, whose last dimension is the channel: a row of a matrix is a pixel, a column a
   channel, and a vector takes neighbouring channels, each of which has its own sums. */

#define NN__FOR_4 NN__UNROLL for (int l = 0; l < 4; l++)

/* q is what has to be normalised; p is its share in the sums: dy where ReLU let it pass, or q. */
#define NN__DEVIATION(load, at, j)                                                                 \
    NN__VEC q = NN__SUB(load(x + (at)), load(s.center + (j))), p = q;                              \
    if (has_dy) p = load(dy + (at));                                                               \
    if (relu) {                                                                                    \
        NN__VEC z = NN__FMA(q, load(s.scale + (j)), load(s.shift + (j)));                          \
        p = NN__SELECT(NN__LT(NN__C(0), z), p, NN__C(0));                                          \
    }
#define NN__LOAD_END(p) NN__LD(p, c)
#define NN__STORE_END(p, v) NN__ST(p, v, c)
/* a body for each vector of a row, where the last one may be short */
#define NN__EACH_COLUMN(body)                                                                      \
    size_t i = 0;                                                                                  \
    for (; i + NN__WIDTH <= cols; i += NN__WIDTH) body(NN__LOAD, NN__STORE)                        \
    const size_t c = cols - i;                                                                     \
    if (c) body(NN__LOAD_END, NN__STORE_END)

NN__INLINE void NN__FN(column_sums_of)(int has_dy, int relu, size_t rows, size_t cols, size_t ld,
                                       const nn_real *x, const nn_real *dy, const nn__norm s,
                                       nn_real *sum, nn_real *product)
{
    size_t j = 0;
    for (; j + 4 * NN__WIDTH <= cols; j += 4 * NN__WIDTH) {
        NN__VEC sums[4], products[4];
        NN__FOR_4 sums[l] = NN__LOAD(sum + j + l * NN__WIDTH);
        NN__FOR_4 products[l] = NN__LOAD(product + j + l * NN__WIDTH);
        for (size_t r = 0; r < rows; r++)
            NN__FOR_4
            {
                const size_t column = j + (size_t)l * NN__WIDTH;
                NN__DEVIATION(NN__LOAD, r * ld + column, column)
                sums[l] = NN__ADD(sums[l], p);
                products[l] = NN__FMA(p, q, products[l]);
            }
        NN__FOR_4 NN__STORE(sum + j + l * NN__WIDTH, sums[l]);
        NN__FOR_4 NN__STORE(product + j + l * NN__WIDTH, products[l]);
    }
    for (; j < cols; j += NN__WIDTH) {
        const size_t c = cols - j;
        NN__VEC sums = NN__LD(sum + j, c), products = NN__LD(product + j, c);
        for (size_t r = 0; r < rows; r++) {
            NN__DEVIATION(NN__LOAD_END, r * ld + j, j)
            sums = NN__ADD(sums, p);
            products = NN__FMA(p, q, products);
        }
        NN__ST(sum + j, sums, c);
        NN__ST(product + j, products, c);
    }
}

static void NN__FN(column_sums)(size_t rows, size_t cols, size_t ld, const nn_real *x,
                                const nn_real *dy, const nn__norm *s, nn_real *sum,
                                nn_real *product)
{
    if (!dy) NN__FN(column_sums_of)(0, 0, rows, cols, ld, x, dy, *s, sum, product);
    else if (!s->relu) NN__FN(column_sums_of)(1, 0, rows, cols, ld, x, dy, *s, sum, product);
    else NN__FN(column_sums_of)(1, 1, rows, cols, ld, x, dy, *s, sum, product);
}

static void NN__FN(normalize)(size_t rows, size_t cols, const nn_real *x, const nn__norm *norm,
                              nn_real *y)
{
    const nn__norm s = *norm;
    const NN__VEC zero = NN__C(0), low = s.relu ? zero : NN__C(-HUGE_VAL);
#define NN__BODY(load, store)                                                                      \
    {                                                                                              \
        NN__VEC q = NN__SUB(load(x + i), load(s.center + i));                                      \
        NN__VEC z = NN__FMA(q, load(s.scale + i), load(s.shift + i));                              \
        store(y + i, NN__MAX(low, z));                                                             \
    }
    for (; rows; rows--, x += cols, y += cols) {
        NN__EACH_COLUMN(NN__BODY)
    }
#undef NN__BODY
}

NN__INLINE void NN__FN(normalize_backward_of)(int relu, int accumulate, size_t rows, size_t cols,
                                              const nn_real *x, const nn_real *dy,
                                              const nn__norm s, nn_real *dx)
{
    const int has_dy = 1;
#define NN__BODY(load, store)                                                                      \
    {                                                                                              \
        NN__DEVIATION(load, i, i)                                                                  \
        NN__VEC d = NN__FMA(q, load(s.slope + i), load(s.offset + i));                             \
        d = NN__FMA(p, load(s.scale + i), d);                                                      \
        store(dx + i, accumulate ? NN__ADD(load(dx + i), d) : d);                                  \
    }
    for (; rows; rows--, x += cols, dy += cols, dx += cols) {
        NN__EACH_COLUMN(NN__BODY)
    }
#undef NN__BODY
}

static void NN__FN(normalize_backward)(size_t rows, size_t cols, const nn_real *x,
                                       const nn_real *dy, const nn__norm *s, nn_real *dx,
                                       int accumulate)
{
    if (accumulate) NN__FN(normalize_backward_of)(s->relu, 1, rows, cols, x, dy, *s, dx);
    else if (s->relu) NN__FN(normalize_backward_of)(1, 0, rows, cols, x, dy, *s, dx);
    else NN__FN(normalize_backward_of)(0, 0, rows, cols, x, dy, *s, dx);
}
#undef NN__DEVIATION
#undef NN__LOAD_END
#undef NN__STORE_END
#undef NN__EACH_COLUMN
#undef NN__FOR_4

/* -- rows that are normalised each by itself, with the sums of nn_vec_sum -- */

static void NN__FN(row_norm)(size_t rows, size_t n, const nn_real *x, const nn_real *scale,
                             const nn_real *shift, nn_real epsilon, nn_real *y, nn_real *stats)
{
    for (; rows; rows--, x += n, y += n, stats += 2) {
        const nn_real mean = NN__FN(sum)(n, x) / (nn_real)n;
        NN__EACH(n) NN__ST(y + i, NN__SUB(NN__LD(x + i, c), NN__C(mean)), c);
        const nn_real variance = NN__FN(dot)(n, y, y) / (nn_real)n;
        const nn_real inverse = 1 / NN__SQRT_SCALAR(variance + epsilon);
        stats[0] = mean, stats[1] = inverse;
        NN__EACH(n)
        {
            NN__VEC v = NN__MUL(NN__LD(y + i, c), NN__C(inverse));
            if (scale) v = NN__FMA(v, NN__LD(scale + i, c), NN__LD(shift + i, c));
            NN__ST(y + i, v, c);
        }
    }
}

/* With xh = (x - mean) inverse and g = dy scale: dx = inverse (g - mean g - xh mean (g xh)). */
static void NN__FN(row_norm_backward)(size_t rows, size_t n, const nn_real *x, const nn_real *dy,
                                      const nn_real *scale, const nn_real *stats, nn_real *dx,
                                      int accumulate, nn_real *dscale, nn_real *dshift)
{
    for (; rows; rows--, x += n, dy += n, dx += dx ? n : 0, stats += 2) {
        NN__VEC mean = NN__C(stats[0]), inverse = NN__C(stats[1]);
        NN__VEC sums[NN__PARTS], products[NN__PARTS];
        NN__FOR_PARTS sums[l] = products[l] = NN__C(0);
        for (size_t i = 0; i < n; i += NN__LANES)
            NN__FOR_PARTS
            {
                const size_t c = NN__LEFT(n, i, l), at = i + (size_t)l * NN__WIDTH;
                NN__VEC xh = NN__MUL(NN__SUB(NN__LD(x + at, c), mean), inverse);
                NN__VEC g = NN__LD(dy + at, c);
                if (dscale && c) {
                    NN__ST(dscale + at, NN__FMA(g, xh, NN__LD(dscale + at, c)), c);
                    NN__ST(dshift + at, NN__ADD(g, NN__LD(dshift + at, c)), c);
                }
                if (scale) g = NN__MUL(g, NN__LD(scale + at, c));
                sums[l] = NN__ADD(sums[l], g);
                products[l] = NN__FMA(g, xh, products[l]);
            }
        if (!dx) continue;
        NN__VEC mean_g = NN__C(NN__FN(reduce)(sums) / (nn_real)n);
        NN__VEC slope = NN__C(NN__FN(reduce)(products) / (nn_real)n);
        NN__EACH(n)
        {
            NN__VEC xh = NN__MUL(NN__SUB(NN__LD(x + i, c), mean), inverse), g = NN__LD(dy + i, c);
            if (scale) g = NN__MUL(g, NN__LD(scale + i, c));
            g = NN__MUL(NN__SUB(NN__SUB(g, mean_g), NN__MUL(xh, slope)), inverse);
            NN__ST(dx + i, accumulate ? NN__ADD(NN__LD(dx + i, c), g) : g, c);
        }
    }
}

/* -- pooling of one image: a window is h rows of w pixels, `row` reals apart -- */

/* The largest value, and which one of the window it is. NaN counts as larger than all numbers. */
#define NN__TAKE(pixel, k)                                                                         \
    {                                                                                              \
        NN__VEC v = NN__LD(x + (pixel) + i, c);                                                    \
        NN__MASK take = NN__LT(best, v) | NN__IS_NAN(v);                                           \
        best = NN__SELECT(take, v, best);                                                          \
        place = NN__SELECT(take, k, place);                                                        \
    }

NN__INLINE void NN__FN(max_window)(size_t h, size_t w, size_t row, size_t channels,
                                   const nn_real *x, nn_real *y, nn_real *which)
{
    NN__EACH(channels)
    {
        NN__VEC best = NN__LD(x + i, c), place = NN__C(0), k = NN__C(0);
        if (h == 2 && w == 2) {
            NN__TAKE(channels, NN__C(1))
            NN__TAKE(row, NN__C(2))
            NN__TAKE(row + channels, NN__C(3))
        } else
            for (size_t r = 0; r < h; r++)
                for (size_t s = 0; s < w; s++, k = NN__ADD(k, NN__C(1)))
                    NN__TAKE(r * row + s * channels, k)
        NN__ST(y + i, best, c);
        NN__ST(which + i, place, c);
    }
}
#undef NN__TAKE

/* What forward took gets the gradient: the others 0, unless `add`. */
NN__INLINE void NN__FN(max_window_backward)(int add, size_t h, size_t w, size_t row,
                                            size_t channels, const nn_real *dy,
                                            const nn_real *which, nn_real *dx)
{
    NN__EACH(channels)
    {
        NN__VEC d = NN__LD(dy + i, c), k = NN__LD(which + i, c), half = NN__C(0.5);
        for (size_t r = 0; r < h; r++)
            for (size_t s = 0; s < w; s++) {
                nn_real *to = dx + r * row + s * channels + i;
                NN__VEC g = NN__SELECT(NN__LT(NN__FN(abs)(k), half), d, NN__C(0));
                NN__ST(to, add ? NN__ADD(NN__LD(to, c), g) : g, c);
                k = NN__SUB(k, NN__C(1));
            }
    }
}

/* The rows of the window are summed each, then together. */
NN__INLINE void NN__FN(sum_window)(size_t h, size_t w, size_t row, size_t channels, nn_real count,
                                   const nn_real *x, nn_real *y, int add)
{
    NN__EACH(channels)
    {
        NN__VEC sum = NN__C(0);
        for (size_t r = 0; r < h; r++) {
            NN__VEC part = NN__C(0);
            for (size_t s = 0; s < w; s++)
                part = NN__ADD(part, NN__LD(x + r * row + s * channels + i, c));
            sum = NN__ADD(sum, part);
        }
        sum = NN__DIV(sum, NN__C(count));
        NN__ST(y + i, add ? NN__ADD(NN__LD(y + i, c), sum) : sum, c);
    }
}

NN__INLINE void NN__FN(spread_window)(size_t h, size_t w, size_t row, size_t channels,
                                      nn_real count, const nn_real *y, nn_real *x, int add)
{
    NN__EACH(channels)
    {
        NN__VEC share = NN__DIV(NN__LD(y + i, c), NN__C(count));
        for (size_t r = 0; r < h; r++)
            for (size_t s = 0; s < w; s++) {
                nn_real *to = x + r * row + s * channels + i;
                NN__ST(to, add ? NN__ADD(NN__LD(to, c), share) : share, c);
            }
    }
}

/* f(window, its first pixel in the image, its pixel in the pooled image) for all of them */
#define NN__EACH_WINDOW(body)                                                                      \
    const size_t channels = p->channels, row = p->in[1] * channels;                                \
    size_t at = 0;                                                                                 \
    for (size_t oy = 0; oy < p->out[0]; oy++)                                                      \
        for (size_t ox = 0; ox < p->out[1]; ox++, at += channels) {                                \
            const nn__extent v = nn__window(p, 0, oy), u = nn__window(p, 1, ox);                   \
            const size_t h = v.end - v.begin, w = u.end - u.begin;                                 \
            const size_t from = v.begin * row + u.begin * channels;                                \
            body;                                                                                  \
        }

static void NN__FN(max_pool)(const nn__pool *p, const nn_real *x, nn_real *y, nn_real *which)
{
    NN__EACH_WINDOW(NN__FN(max_window)(h, w, row, channels, x + from, y + at, which + at))
}

static void NN__FN(max_pool_backward)(const nn__pool *p, const nn_real *dy, const nn_real *which,
                                      nn_real *dx, int add)
{
    NN__EACH_WINDOW(
        if (h == 2 && w == 2 && !add) NN__FN(max_window_backward)
            (0, 2, 2, row, channels, dy + at, which + at, dx + from);
        else NN__FN(max_window_backward)
            (add, h, w, row, channels, dy + at, which + at, dx + from))
}

static void NN__FN(sum_pool)(const nn__pool *p, const nn_real *x, nn_real *y, int add)
{
    NN__EACH_WINDOW(NN__FN(sum_window)(h, w, row, channels, nn__divisor(p, h * w), x + from,
                                       y + at, add))
}

static void NN__FN(spread_pool)(const nn__pool *p, const nn_real *y, nn_real *x, int add)
{
    NN__EACH_WINDOW(NN__FN(spread_window)(h, w, row, channels, nn__divisor(p, h * w), y + at,
                                          x + from, add))
}
#undef NN__EACH_WINDOW

/* --------------------------------------------------------------------------------------- >>table
   The kernels of one instruction set as a record, and the end of what is compiled once for each. */

#if NN__WIDTH > 1
#define NN__ROW_AND_NARROW NN__FN(gemm_row), NN__FN(gemm_narrow)
#else
#define NN__ROW_AND_NARROW NULL, NULL
#endif
#else
#define NN__ROW_AND_NARROW NN__FN(gemm_row), NN__FN(gemm_narrow)
#endif

static const nn__kernels NN__FN(kernels) = {NN__NAME,
                                            NN__WIDTH,
                                            NN__VECTORS_OF_A_TILE,
                                            NN__FN(tiles),
                                            NN__SHARED(gemm_small),
                                            NN__ROW_AND_NARROW,
                                            NN__SHARED(channels),
                                            NN__SHARED(transpose),
                                            NN__SHARED(add_row),
                                            NN__SHARED(sum_rows),
                                            NN__SHARED(softmax),
                                            NN__SHARED(add),
                                            NN__SHARED(sub),
                                            NN__SHARED(mul),
                                            NN__SHARED(scale),
                                            NN__SHARED(axpy),
                                            NN__SHARED(sum),
                                            NN__SHARED(dot),
                                            NN__SHARED(activate),
                                            NN__SHARED(activate_backward),
                                            NN__SHARED(affine_bytes),
                                            NN__SHARED(affine),
                                            NN__SHARED(clamp),
                                            NN__SHARED(update),
                                            NN__SHARED(column_sums),
                                            NN__SHARED(normalize),
                                            NN__SHARED(normalize_backward),
                                            NN__SHARED(row_norm),
                                            NN__SHARED(row_norm_backward),
                                            NN__SHARED(max_pool),
                                            NN__SHARED(max_pool_backward),
                                            NN__SHARED(sum_pool),
                                            NN__SHARED(spread_pool),
                                            NN__SHARED(contraction)};

#undef NN__UNROLL
#undef NN__FN
#undef NN__SUFFIX
#undef NN__NAME
#undef NN__WIDTH
#undef NN__VEC
#undef NN__IVEC
#undef NN__MASK
#undef NN__LOAD
#undef NN__STORE
#undef NN__TAIL
#undef NN__TAIL_MASK
#undef NN__LOAD_TAIL
#undef NN__STORE_TAIL
#undef NN__ZERO_TAIL
#undef NN__LOAD_U8
#undef NN__SET1
#undef NN__FMA
#undef NN__FMA_SCALAR
#undef NN__SQRT
#undef NN__MAX
#undef NN__MIN
#undef NN__LT
#undef NN__IS_NAN
#undef NN__SELECT
#undef NN__TOI
#undef NN__TOF
#undef NN__ISET1
#undef NN__IADD
#undef NN__ISUB
#undef NN__ISHL
#undef NN__ISHR
#undef NN__VECTOR_BYTES
#undef NN__REPEAT
#undef NN__PS
#undef NN__SS
#undef NN__STORED
#undef NN__TWO
#undef NN__ZIPLO
#undef NN__ZIPHI
#undef NN__GATHER_16B
#undef NN__X
#undef NN__XI
#undef NN__COUNTS
#undef NN__ISHR_COUNT
#undef NN__C
#undef NN__ADD
#undef NN__SUB
#undef NN__MUL
#undef NN__DIV
#undef NN__LD
#undef NN__ST
#undef NN__EACH
#undef NN__LANES
#undef NN__PARTS
#undef NN__VECTOR
#undef NN__BYTES
#undef NN__ROW_BYTES
#undef NN__ROWS_AHEAD
#undef NN__ROWS1
#undef NN__ROWS2
#undef NN__ROWS3
#undef NN__ROWS4
#undef NN__ROWS5
#undef NN__ROWS6
#undef NN__B0
#undef NN__B1
#undef NN__ELEMENT
#undef NN__SET_MASK
#undef NN__GET_MASKED
#undef NN__PUT_MASKED
#undef NN__MORE_REGISTERS
#undef NN__VECTORS1
#undef NN__VECTORS2
#undef NN__VECTORS3
#undef NN__VECTORS4
#undef NN__GET_C
#undef NN__GET_C_END
#undef NN__PUT_C
#undef NN__PUT_C_END
#undef NN__FETCH_C
#undef NN__GET_B
#undef NN__GET_B_END
#undef NN__PUT_B
#undef NN__FETCH_B
#undef NN__MADD
#undef NN__ROW_A
#undef NN__ROW_GET
#undef NN__ROW_FETCH
#undef NN__ROW_MADD
#undef NN__ROW_PUT
#undef NN__ROW_PUT_END
#undef NN__GET_ROW_OF_B
#undef NN__PACKED_ROW_OF_B
#undef NN__FETCH_ROW_OF_B
#undef NN__PUT_ROW_OF_B
#undef NN__MEMBER
#undef NN__OFFSET
#undef NN__TILE
#undef NN__TILE_INLINE
#undef NN__VECTORS_OF_A_TILE
#undef NN__TILES
#undef NN__NAMES
#undef NN__FOR_PARTS
#undef NN__LEFT
#undef NN__ROW_AND_NARROW
#undef NN__SHARED

#if defined(__clang__)
#if NN__PASS == NN__AVX2 || NN__PASS == NN__AVX512
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

#endif /* NN__PASS */

#if defined(NN_IMPLEMENTATION) && !defined(NN__IMPLEMENTED) && !defined(NN__PASS)
#define NN__IMPLEMENTED

/* Which kernels this CPU and its operating system can run: bit NN__AVX2, NN__AVX512, ... */
static unsigned nn__cpu_paths(void)
{
    unsigned paths = 1u << NN__PORTABLE;
#ifdef NN__X86
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return paths;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    int has_fma = (c & bit_FMA) != 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return paths;
    /* The system must save what the registers hold: bits 1-2 SSE and AVX, 5-7 AVX-512. */
    if ((low & 0x06) == 0x06 && has_fma && (b & bit_AVX2)) paths |= 1u << NN__AVX2;
    if ((low & 0xe6) == 0xe6 && (b & bit_AVX512F)) paths |= 1u << NN__AVX512;
#endif
#ifdef NN__ARM
    paths |= 1u << NN__NEON; /* part of the architecture */
#endif
    return paths;
}

/* clang's -ffp-contract=fast fuses products with sums whatever this file says: other bits. */
static int nn__is_exact(const nn__kernels *k)
{
    return k->contraction(sizeof(nn_real) == sizeof(double) ? (nn_real)DBL_EPSILON
                                                            : (nn_real)FLT_EPSILON) == 0;
}

static const nn__kernels *nn__choose(void)
{
    const nn__kernels *list[5], *best = NULL;
    const char *wanted = getenv("NN_ISA");
    unsigned paths = nn__cpu_paths();
    int count = 0;
    list[count++] = &nn__kernels_portable;
#ifdef NN__X86
    if (paths & 1u << NN__AVX2) list[count++] = &nn__kernels_avx2;
    if (paths & 1u << NN__AVX512) list[count++] = &nn__kernels_avx512;
#endif
#ifdef NN__ARM
    if (paths & 1u << NN__NEON) list[count++] = &nn__kernels_neon;
#endif
    (void)paths;
    while (count > 1 && !nn__is_exact(list[count - 1])) count--;
    for (int i = 0; i < count; i++)
        if (wanted && strcmp(wanted, list[i]->name) == 0) best = list[i];
    return best ? best : list[count - 1];
}

/* Found once. Two threads that meet here find the same thing and store the same pointer. */
static const nn__kernels *nn__k(void)
{
    static const nn__kernels *chosen;
#if defined(__GNUC__) || defined(__clang__)
    const nn__kernels *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (!k) {
        k = nn__choose();
        __atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
    }
    return k;
#else
    if (!chosen) chosen = nn__choose();
    return chosen;
#endif
}

NN_DEF const char *nn_kernel_path(void) { return nn__k()->name; }

/* ------------------------------------------------------------------------------------- >>plain */

typedef struct nn__gemm_part {
    const nn__gemm_args *whole;
    int by_rows;
} nn__gemm_part;

static void nn__gemm_range(void *context, size_t begin, size_t end)
{
    const nn__gemm_part *part = (const nn__gemm_part *)context;
    nn__gemm_args g = *part->whole;
    if (part->by_rows) {
        g.m = end - begin;
        g.a += g.trans_a ? begin : begin * g.lda;
        g.c += begin * g.ldc;
    } else {
        g.n = end - begin;
        g.b += g.trans_b ? begin * g.ldb : begin;
        g.c += begin;
        if (g.bias) g.bias += begin;
    }
    nn__gemm_serial(nn__k(), &g);
}

/* Threads get blocks of C's columns, so that each packs its own part of B and no other; of its rows
   where columns are few, and where A is what has to be copied or turned. */
static void nn__gemm(int threads, const nn__gemm_args *g)
{
    nn__gemm_part part;
    if (!g->m || !g->n) return;
    /* short sides count for more than they are, since vectors are less busy there */
    const double m = (double)nn__max_size(g->m, 32), n = (double)nn__max_size(g->n, 32);
    const double k = (double)nn__max_size(g->k, 32);
    if (m * n * k <= 2 * NN__PRODUCT_GRAIN) {
        nn__gemm_serial(nn__k(), g);
        return;
    }
    part.whole = g;
    if (g->trans_b) part.by_rows = g->m >= 128;
    else part.by_rows = g->m >= g->n && (g->trans_a || g->n < 256);
    const double per_line = part.by_rows ? n * k : m * k;
    /* whole tiles: rows in twelves, columns and the rows of a product that is turned in 64s */
    const size_t unit = part.by_rows && !g->trans_b ? 12 : 64;
    const size_t grain = ((size_t)(NN__PRODUCT_GRAIN / per_line) / unit + 1) * unit;
    nn__parallel(threads, part.by_rows ? g->m : g->n, grain, nn__gemm_range, &part);
}

NN_DEF void nn_mat_mul(int trans_a, int trans_b, size_t m, size_t n, size_t k, const nn_real *a,
                       size_t lda, const nn_real *b, size_t ldb, nn_real *c, size_t ldc,
                       int accumulate)
{
    nn__gemm_args g;
    g.trans_a = trans_a, g.trans_b = trans_b;
    g.m = m, g.n = n, g.k = k;
    g.a = a, g.lda = lda, g.b = b, g.ldb = ldb, g.c = c, g.ldc = ldc;
    g.bias = NULL, g.accumulate = accumulate;
    nn__gemm(0, &g);
}

NN_DEF void nn_mat_add_row(size_t rows, size_t cols, nn_real *x, const nn_real *row)
{
    nn__k()->add_row(rows, cols, x, row);
}

typedef struct nn__column_part {
    size_t rows, cols;
    const nn_real *x;
    nn_real *out;
    int accumulate;
} nn__column_part;

/* Strips of columns, which as many rows at a time pass as a cache holds. */
static void nn__column_range(void *context, size_t begin, size_t end)
{
    const nn__column_part *p = (const nn__column_part *)context;
    const size_t step = nn__grain_rows(16 * (end - begin));
    if (p->rows == 0) nn__k()->sum_rows(0, end - begin, 0, NULL, p->out + begin, p->accumulate);
    for (size_t r = 0; r < p->rows; r += step)
        nn__k()->sum_rows(nn__min_size(step, p->rows - r), end - begin, p->cols,
                          p->x + r * p->cols + begin, p->out + begin, p->accumulate || r);
}

static void nn__column_sums(int threads, size_t rows, size_t cols, const nn_real *x, nn_real *out,
                            int accumulate)
{
    nn__column_part part;
    part.rows = rows, part.cols = cols, part.x = x, part.out = out, part.accumulate = accumulate;
    nn__parallel(threads, cols, 16 * nn__grain_rows(16 * rows), nn__column_range, &part);
}

NN_DEF void nn_mat_column_sums(size_t rows, size_t cols, const nn_real *x, nn_real *out,
                            int accumulate)
{
    nn__column_sums(0, rows, cols, x, out, accumulate);
}

NN_DEF void nn_mat_softmax(size_t rows, size_t cols, const nn_real *x, nn_real *y)
{
    nn__k()->softmax(rows, cols, x, y, 0, NULL);
}

NN_DEF void nn_mat_log_softmax(size_t rows, size_t cols, const nn_real *x, nn_real *y)
{
    nn__k()->softmax(rows, cols, x, y, 1, NULL);
}

/* The first of the largest. Selections, because branches on scores are guessed wrong. */
static size_t nn__argmax(size_t n, const nn_real *x)
{
    size_t best = 0;
    nn_real max = x[0];
    for (size_t j = 1; j < n; j++) {
        best = x[j] > max ? j : best;
        max = x[j] > max ? x[j] : max;
    }
    return best;
}

NN_DEF void nn_mat_argmax(size_t rows, size_t cols, const nn_real *x, int *index)
{
    for (size_t r = 0; r < rows; r++) index[r] = (int)nn__argmax(cols, x + r * cols);
}

static nn_status nn__check_labels(const char *what, size_t count, const int *labels, size_t classes)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= classes)
            return nn__fail(NN_ERROR_BAD_LABEL, "%s: label %d at index %llu, expected 0 to %lld",
                            what, labels[i], (nn__ull)i, (long long)classes - 1);
    return NN_OK;
}

NN_DEF nn_status nn_mat_one_hot(size_t rows, size_t classes, const int *labels, nn_real *y)
{
    nn_status status = nn__check_labels("one_hot", rows, labels, classes);
    if (status != NN_OK) return status;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < classes; j++) y[r * classes + j] = (size_t)labels[r] == j;
    return NN_OK;
}

NN_DEF void nn_vec_add(size_t n, const nn_real *a, const nn_real *b, nn_real *y)
{
    nn__k()->add(n, a, b, y);
}

NN_DEF void nn_vec_sub(size_t n, const nn_real *a, const nn_real *b, nn_real *y)
{
    nn__k()->sub(n, a, b, y);
}

NN_DEF void nn_vec_mul(size_t n, const nn_real *a, const nn_real *b, nn_real *y)
{
    nn__k()->mul(n, a, b, y);
}

NN_DEF void nn_vec_scale(size_t n, nn_real s, const nn_real *x, nn_real *y)
{
    nn__k()->scale(n, s, x, y);
}

NN_DEF void nn_vec_axpy(size_t n, nn_real s, const nn_real *x, nn_real *y)
{
    nn__k()->axpy(n, s, x, y);
}

NN_DEF nn_real nn_vec_sum(size_t n, const nn_real *x) { return nn__k()->sum(n, x); }

NN_DEF nn_real nn_vec_dot(size_t n, const nn_real *a, const nn_real *b)
{
    return nn__k()->dot(n, a, b);
}

#define NN__ACTIVATION_TEXT(id, text) text,
NN_DEF const char *nn_activation_string(nn_activation kind)
{
    static const char *const texts[] = {NN_ACTIVATION_LIST(NN__ACTIVATION_TEXT)};
    return (unsigned)kind < NN_ACTIVATION_COUNT ? texts[kind] : "unknown";
}

/* Functions whose slope is computed from the input; the others need the output alone. */
static int nn__slope_needs_input(nn_activation kind)
{
    return kind == NN_ACTIVATION_GELU || kind == NN_ACTIVATION_SILU ||
           kind == NN_ACTIVATION_SOFTPLUS;
}

/* out = f(x), or with dy: out = dy f'(x), where y = f(x). Of x and y one may be NULL in the second
   case. */
typedef struct nn__activation_part {
    nn_activation kind;
    nn_real alpha;
    const nn_real *x, *y, *dy;
    nn_real *out;
} nn__activation_part;

static void nn__activate_range(void *context, size_t begin, size_t end)
{
    const nn__activation_part *p = (const nn__activation_part *)context;
    const nn_real *x = p->x ? p->x + begin : NULL, *y = p->y ? p->y + begin : NULL;
    size_t n = end - begin;
    if (p->dy)
        nn__k()->activate_backward(p->kind, p->alpha, n, x, y, p->dy + begin, p->out + begin);
    else nn__k()->activate(p->kind, p->alpha, n, x, p->out + begin);
}

static void nn__activate(int threads, nn_activation kind, double alpha, size_t n, const nn_real *x,
                         const nn_real *y, const nn_real *dy, nn_real *out)
{
    nn__activation_part part = {kind, (nn_real)alpha, x, y, dy, out};
    nn__parallel(threads, n, NN__GRAIN / 2, nn__activate_range, &part);
}

NN_DEF void nn_vec_activate(nn_activation kind, double alpha, size_t n, const nn_real *x,
                            nn_real *y)
{
    nn__activate(0, kind, alpha, n, x, NULL, NULL, y);
}

NN_DEF void nn_vec_activate_backward(nn_activation kind, double alpha, size_t n, const nn_real *x,
                                     const nn_real *y, const nn_real *dy, nn_real *dx)
{
    nn__activate(0, kind, alpha, n, x, y, dy, dx);
}

/* In blocks, so that a float sum over millions of weights keeps its precision. */
static double nn__sum_of_squares(size_t n, const nn_real *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += 256) {
        size_t count = nn__min_size(256, n - i);
        sum += (double)nn__k()->dot(count, x + i, x + i);
    }
    if (nn__is_finite(sum)) return sum;
    sum = 0; /* squares beyond the range of float, or a NaN, which stays one */
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

static double nn__sum_of_magnitudes(size_t n, const nn_real *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs((double)x[i]);
    return sum;
}

/* -------------------------------------------------------------------------------------- >>conv
   Convolution of images [n][h][w][ci] with weights [kh][kw][ci / groups][co] to [n][oh][ow][co],
   its gradients, and so the transposed convolution. What they compute, to the bit, are chains of
   fused multiply-adds:

       y    over (kh, kw, ci)     x is 0 outside of the image
       dx   over (kh, kw, co)     likewise dy; outputs that the stride leaves out do not exist
       dw   over (image, oy, ox)  x is 0 outside of the image

   This section does so by taps, each a product for a row of pixels: for weights that are not
   finite, which must not meet zeros outside of the image, and for taps that are very far apart. The
   next one is fast. */
typedef struct nn__conv {
    size_t h, w, ci, oh, ow, co;
    size_t kh, kw, stride, dilation, groups;
    size_t top, left; /* rows and columns of padding in front of the image */
} nn__conv;

/* One pass over a batch: y, dx or dw go to `to`. */
typedef struct nn__conv_pass {
    const nn__conv *c;
    size_t images;
    const nn_real *x, *w, *dy, *bias;
    nn_real *to;
    int accumulate;
    nn_activation kind; /* of y or dx, */
    nn_real alpha;
    nn_real *activated; /* to here */
} nn__conv_pass;

static size_t nn__conv_size(const nn__conv *c)
{
    return c->kh * c->kw * (c->ci / c->groups) * c->co;
}

/* The activation of what has just been computed. */
static void nn__conv_finish(const nn__conv_pass *p, const nn_real *z, size_t count)
{
    if (p->kind != NN_ACTIVATION_IDENTITY)
        nn__k()->activate(p->kind, p->alpha, count, z, p->activated + (z - p->to));
}

/* The outputs ox, from *begin to the one before *end, whose tap at `tap` lies in the image. */
static void nn__conv_inside(const nn__conv *c, size_t tap, size_t *begin, size_t *end)
{
    const size_t last = c->w + c->left - 1; /* of the image, counted from the padding's start */
    *begin = tap >= c->left ? 0 : (c->left - tap + c->stride - 1) / c->stride;
    *end = tap > last ? 0 : nn__min_size(c->ow, (last - tap) / c->stride + 1);
}

/* What a row of results starts from. */
static void nn__conv_start_row(const nn__conv_pass *p, size_t pixels, size_t channels, nn_real *to)
{
    const size_t bytes = channels * sizeof *to;
    if (p->accumulate) return;
    for (size_t i = 0; i < pixels; i++, to += channels)
        if (p->bias) memcpy(to, p->bias, bytes);
        else memset(to, 0, bytes);
}

/* The rows of y from `begin` on, counted through the batch: a product for each tap. */
static void nn__conv_rows_by_taps(void *context, size_t begin, size_t end)
{
    const nn__conv_pass *p = (const nn__conv_pass *)context;
    const nn__conv *c = p->c;
    const size_t k = c->ci / c->groups, n = c->co / c->groups;
    nn__gemm_args g;
    memset(&g, 0, sizeof g);
    g.k = k, g.n = n, g.lda = c->stride * c->ci, g.ldb = g.ldc = c->co, g.accumulate = 1;
    for (size_t row = begin; row < end; row++) {
        nn_real *y = p->to + row * c->ow * c->co;
        const size_t oy = row % c->oh, image = row / c->oh;
        nn__conv_start_row(p, c->ow, c->co, y);
        for (size_t t = 0; t < c->kh * c->kw; t++) {
            const size_t iy = oy * c->stride + t / c->kw * c->dilation - c->top;
            const size_t tap = t % c->kw * c->dilation;
            size_t from, to;
            nn__conv_inside(c, tap, &from, &to);
            if (iy >= c->h || from >= to) continue; /* a negative iy is a large one */
            const nn_real *x = p->x + ((image * c->h + iy) * c->w + from * c->stride + tap -
                                       c->left) * c->ci;
            g.m = to - from;
            for (size_t i = 0; i < c->groups; i++) {
                g.a = x + i * k, g.b = p->w + t * k * c->co + i * n, g.c = y + from * c->co + i * n;
                nn__gemm_serial(nn__k(), &g);
            }
        }
        nn__conv_finish(p, y, c->ow * c->co);
    }
}

/* The rows of dx from `begin` on, likewise. */
static void nn__conv_data_by_taps(void *context, size_t begin, size_t end)
{
    const nn__conv_pass *p = (const nn__conv_pass *)context;
    const nn__conv *c = p->c;
    const size_t n = c->ci / c->groups, k = c->co / c->groups;
    nn__gemm_args g;
    memset(&g, 0, sizeof g);
    g.k = k, g.n = n, g.lda = g.ldb = c->co, g.ldc = c->stride * c->ci;
    g.trans_b = g.accumulate = 1;
    for (size_t row = begin; row < end; row++) {
        nn_real *dx = p->to + row * c->w * c->ci;
        const size_t image = row / c->h, below = row % c->h + c->top;
        nn__conv_start_row(p, c->w, c->ci, dx);
        for (size_t t = 0; t < c->kh * c->kw; t++) {
            const size_t down = t / c->kw * c->dilation, tap = t % c->kw * c->dilation;
            size_t from, to;
            nn__conv_inside(c, tap, &from, &to);
            if (down > below || (below - down) % c->stride || from >= to) continue;
            const size_t oy = (below - down) / c->stride;
            if (oy >= c->oh) continue;
            const nn_real *dy = p->dy + ((image * c->oh + oy) * c->ow + from) * c->co;
            g.m = to - from;
            for (size_t i = 0; i < c->groups; i++) {
                g.a = dy + i * k, g.b = p->w + t * n * c->co + i * k;
                g.c = dx + (from * c->stride + tap - c->left) * c->ci + i * n;
                nn__gemm_serial(nn__k(), &g);
            }
        }
        nn__conv_finish(p, dx, c->w * c->ci);
    }
}

/* dw of the taps from `begin` on: a product for each row of outputs. */
static void nn__conv_weights_by_taps(void *context, size_t begin, size_t end)
{
    const nn__conv_pass *p = (const nn__conv_pass *)context;
    const nn__conv *c = p->c;
    const size_t m = c->ci / c->groups, n = c->co / c->groups;
    nn__gemm_args g;
    memset(&g, 0, sizeof g);
    g.m = m, g.n = n, g.lda = c->stride * c->ci, g.ldb = g.ldc = c->co;
    g.trans_a = g.accumulate = 1;
    for (size_t t = begin; t < end; t++) {
        nn_real *dw = p->to + t * m * c->co;
        const size_t tap = t % c->kw * c->dilation;
        size_t from, to;
        nn__conv_start_row(p, m, c->co, dw);
        nn__conv_inside(c, tap, &from, &to);
        for (size_t row = 0; row < p->images * c->oh && from < to; row++) {
            const size_t iy = row % c->oh * c->stride + t / c->kw * c->dilation - c->top;
            if (iy >= c->h) continue;
            const nn_real *x = p->x + ((row / c->oh * c->h + iy) * c->w + from * c->stride + tap -
                                       c->left) * c->ci;
            g.k = to - from;
            for (size_t i = 0; i < c->groups; i++) {
                g.a = x + i * m, g.b = p->dy + (row * c->ow + from) * c->co + i * n;
                g.c = dw + i * n;
                nn__gemm_serial(nn__k(), &g);
            }
        }
    }
}

/* ------------------------------------------------------------------------------------- >>bands
   Convolution on the tiles of the matrix product.

   Bands of an image's rows, or several small images, are copied with zeros around them. There the
   taps of a kernel's row are one run of kw * ci values, at the same offset for each output pixel.
   So a tile of >>gemm multiplies six pixels, a row of A each, by a panel of W: without a pointer
   per tap, a matrix of patches, or a case for borders.

       pass   rows of A (row_at)        runs (run_at)              B
       y      pixels of y, in x         rows of a kernel, in x     W [kh kw ci][co], packed
       dx     pixels of dx, in dy       taps, backwards in dy      W [kh kw co][ci], packed
       dw     (kh, kw, ci), in x        rows of output pixels      dy [pixels][co]

   With a stride dx falls into stride^2 phases, of pixels that meet the same taps. With groups or
   dilation a run is a single tap. Where each channel is a group of its own, vectors run over the
   channels (`channels` in place of tiles). Threads share out bands or, in dw, its columns or rows,
   so that no sum is split. */
enum {
    NN__BAND = 160 * 1024 / (int)sizeof(nn_real), /* reals in a copy, if a row is not longer */
    NN__BAND_PIXELS = 512,                        /* where it holds several images */
    NN__DY_PANEL = 16 * 1024 / (int)sizeof(nn_real),
    NN__FEW_ROWS = 64 /* of dw: too few for a panel of dy */
};
#define NN__MAX_BAND 16e6 /* reals: what is spread wider than that is computed by taps */

typedef struct nn__conv_plan {
    const nn__conv_pass *p;
    const nn__conv *c;
    const nn__kernels *f;
    size_t groups, cols, k, nr, strips; /* columns of B, steps and strips of nr columns in each */
    const nn_real *source;              /* the images that bands are copied from, */
    size_t h, w, channels;              /* and their size */
    ptrdiff_t front;                    /* the band from result row y on begins with source row */
    size_t step, reach;                 /* y * step - front, and n rows take n * step + reach */
    size_t left, right, line;           /* columns of zeros; reals in a row */
    int in_place;                       /* no zeros are needed: nothing is copied */
    size_t out_h, out_w;                /* of the result, as bands count it */
    size_t band, bands, stack;          /* rows in a band, bands in an image, images in a band */
    size_t image, units;                /* reals from image to image in a band; bands in all */
    size_t threads;
    size_t panels_size, copy_size, panel_size, row_count, run_count;
    nn_real *panels, *copies;           /* W; each thread's band, behind it its panel of dy */
    ptrdiff_t *row_at, *run_at;         /* in bytes, from where the band begins */
} nn__conv_plan;

static int nn__is_depthwise(const nn__conv *c)
{
    return c->groups > 1 && c->groups == c->ci && c->ci == c->co;
}

/* One product of all pixels with one matrix, which has ways of its own for few columns. With more
   of them bands are faster, since they fetch ahead. */
static int nn__conv_is_product(const nn__conv *c)
{
    const int is_1x1 = c->kh * c->kw * c->stride * c->groups == 1 && c->h == c->oh && c->w == c->ow;
    return is_1x1 && nn__min_size(c->ci, c->co) <= NN__FEW;
}

/* How the batch is cut: as many rows as fit a copy, but bands for all threads; or, where an image
   is small, as many images. */
static void nn__conv_cut(nn__conv_plan *q)
{
    const size_t fit = NN__BAND / q->line, images = q->p->images, wanted = 2 * q->threads;
    size_t band = fit > q->reach + q->step ? (fit - q->reach) / q->step : 1;
    if (q->threads > 1 && images < wanted)
        band = nn__min_size(band, q->out_h * images / wanted + 1);
    q->band = nn__block_size(q->out_h, band);
    q->bands = (q->out_h + q->band - 1) / q->band;
    q->image = (q->in_place ? q->h : q->band * q->step + q->reach) * q->line;
    q->stack = 1;
    if (q->bands == 1) {
        const size_t most = nn__min_size(NN__BAND / q->image,
                                         NN__BAND_PIXELS / q->out_h / q->out_w);
        q->stack = nn__max_size(1, nn__min_size(most, images / wanted));
    }
    q->units = (images + q->stack - 1) / q->stack * q->bands;
    q->copy_size = q->in_place ? 0 : q->image * q->stack;
}

/* Sizes that follow from those of the source and the product; 0 when bands would be too large. */
static int nn__conv_measure(nn__conv_plan *q, size_t threads)
{
    const int depthwise = nn__is_depthwise(q->c);
    const double line = ((double)q->left + (double)q->w + (double)q->right) * (double)q->channels;
    if (line * ((double)q->step + (double)q->reach) > NN__MAX_BAND) return 0;
    q->line = (q->left + q->w + q->right) * q->channels;
    q->threads = threads;
    q->groups = depthwise ? 1 : q->c->groups;
    q->f = nn__k();
    q->nr = depthwise ? q->cols : q->f->width * q->f->vectors;
    q->strips = (q->cols + q->nr - 1) / q->nr;
    nn__conv_cut(q);
    return 1;
}

/* y, and dw: bands of x. */
static int nn__conv_plan_x(nn__conv_plan *q, const nn__conv_pass *p, size_t threads, int weights)
{
    const nn__conv *c = p->c;
    const size_t down = (c->kh - 1) * c->dilation + 1, across = (c->kw - 1) * c->dilation + 1;
    const size_t end = (c->ow - 1) * c->stride + across, begin = c->left + c->w;
    memset(q, 0, sizeof *q);
    q->p = p, q->c = c, q->source = p->x;
    q->h = c->h, q->w = c->w, q->channels = c->ci, q->out_h = c->oh, q->out_w = c->ow;
    q->cols = nn__is_depthwise(c) ? c->co : c->co / c->groups;
    q->k = c->kh * c->kw * (c->ci / c->groups);
    q->front = (ptrdiff_t)c->top, q->step = c->stride;
    q->reach = down > c->stride ? down - c->stride : 0;
    q->left = c->left, q->right = end > begin ? end - begin : 0;
    q->in_place = !c->top && !c->left && !q->right && (c->oh - 1) * c->stride + down <= c->h;
    if (!nn__conv_measure(q, threads)) return 0;
    const size_t lines = q->stack * q->band;
    if (weights) {
        q->row_count = q->k, q->run_count = lines;
        const size_t block = nn__max_size(1, NN__DY_PANEL / q->nr / c->ow);
        if (q->k > NN__FEW_ROWS && !nn__is_depthwise(c) && (q->groups > 1 || q->cols != q->nr))
            q->panel_size = nn__min_size(lines, block) * c->ow * q->nr;
        return 1;
    }
    q->row_count = lines * c->ow;
    q->run_count = c->groups == 1 && c->dilation == 1 ? c->kh : c->kh * c->kw;
    if (!nn__is_depthwise(c)) q->panels_size = q->groups * q->strips * q->k * q->nr;
    return 1;
}

/* dx: bands of dy. Pixel y of dx belongs to row (y + top) / stride of the phases. */
static int nn__conv_plan_dy(nn__conv_plan *q, const nn__conv_pass *p, size_t threads)
{
    const nn__conv *c = p->c;
    const size_t s = c->stride, first_y = c->top / s, first_x = c->left / s;
    const size_t end_y = (c->h - 1 + c->top) / s + 1, end_x = (c->w - 1 + c->left) / s + 1;
    memset(q, 0, sizeof *q);
    q->p = p, q->c = c, q->source = p->dy;
    q->h = c->oh, q->w = c->ow, q->channels = c->co;
    q->out_h = end_y - first_y, q->out_w = end_x - first_x;
    q->cols = nn__is_depthwise(c) ? c->ci : c->ci / c->groups;
    q->k = c->co / c->groups;
    q->step = 1, q->reach = (c->kh - 1) * c->dilation / s, q->left = (c->kw - 1) * c->dilation / s;
    q->front = (ptrdiff_t)q->reach - (ptrdiff_t)first_y;
    q->right = end_x > c->ow ? end_x - c->ow : 0;
    q->in_place = !q->reach && !q->left && !q->right && end_y <= c->oh;
    if (!nn__conv_measure(q, threads)) return 0;
    q->row_count = s == 1 ? q->stack * q->band * q->out_w : q->out_w;
    q->run_count = c->kh * c->kw;
    q->panels_size = q->groups * q->strips * q->run_count * q->k * q->nr;
    return 1;
}

/* The plan's arrays in the memory given, or only their size in bytes. */
static size_t nn__conv_place(nn__conv_plan *q, void *memory)
{
    const size_t line = 64 / sizeof(nn_real), table = q->row_count + q->run_count;
    const size_t panels = (q->panels_size + line - 1) / line * line;
    const size_t own = (q->copy_size + line - 1) / line * line;
    q->copy_size = own, q->panel_size = (q->panel_size + line - 1) / line * line;
    q->panels = (nn_real *)memory;
    q->copies = memory ? q->panels + panels : NULL;
    const size_t reals = panels + q->threads * (own + q->panel_size);
    q->row_at = memory ? (ptrdiff_t *)(void *)(q->panels + reals) : NULL;
    q->run_at = memory ? q->row_at + q->row_count : NULL;
    return reals * sizeof(nn_real) + table * sizeof(ptrdiff_t);
}

/* -- offsets: of result pixels and rows in a band, and of taps -- */

static ptrdiff_t nn__conv_line_at(const nn__conv_plan *q, size_t row)
{
    return (ptrdiff_t)((row / q->band * q->image + row % q->band * q->step * q->line) *
                       sizeof(nn_real));
}

static void nn__conv_pixels(const nn__conv_plan *q, ptrdiff_t *at)
{
    const size_t pixel = q->step * q->channels * sizeof(nn_real);
    for (size_t i = 0; i < q->row_count; i++)
        at[i] = nn__conv_line_at(q, i / q->out_w) + (ptrdiff_t)(i % q->out_w * pixel);
}

/* Of all (kh, kw, ci) in steps of `every`; in a copy of x. */
static void nn__conv_taps(const nn__conv_plan *q, size_t every, size_t count, ptrdiff_t *at)
{
    const nn__conv *c = q->c;
    const size_t per = c->ci / c->groups;
    for (size_t i = 0; i < count; i++) {
        const size_t t = i * every / per, y = t / c->kw * c->dilation, x = t % c->kw * c->dilation;
        at[i] = (ptrdiff_t)((y * q->line + x * c->ci + i * every % per) * sizeof(nn_real));
    }
}

/* The taps of dx in dy, in the order of the phases that meet them. */
static void nn__conv_runs_of_dx(const nn__conv_plan *q, ptrdiff_t *at)
{
    const nn__conv *c = q->c;
    const size_t s = c->stride;
    for (size_t phase = 0; phase < s * s; phase++)
        for (size_t t = 0; t < c->kh * c->kw; t++) {
            const size_t y = t / c->kw * c->dilation, x = t % c->kw * c->dilation;
            if (y % s != phase / s || x % s != phase % s) continue;
            *at++ = -(ptrdiff_t)((y / s * q->line + x / s * c->co) * sizeof(nn_real));
        }
}

/* -- W in panels, [group][strip][k][nr] -- */

static void nn__conv_pack_x(void *context, size_t begin, size_t end)
{
    const nn__conv_plan *q = (const nn__conv_plan *)context;
    for (size_t i = begin; i < end; i++) {
        const size_t j = i % q->strips * q->nr, n = nn__min_size(q->nr, q->cols - j);
        const nn_real *from = q->p->w + i / q->strips * q->cols + j;
        nn_real *to = q->panels + i * q->k * q->nr;
        for (size_t k = 0; k < q->k; k++, from += q->c->co, to += q->nr) {
            memcpy(to, from, n * sizeof *to);
            memset(to + n, 0, (q->nr - n) * sizeof *to);
        }
    }
}

/* In the order of the phases, whose taps come one after the other. */
static void nn__conv_pack_dy(void *context, size_t begin, size_t end)
{
    const nn__conv_plan *q = (const nn__conv_plan *)context;
    const nn__conv *c = q->c;
    const size_t s = c->stride, size = q->k * q->nr;
    for (size_t i = begin; i < end; i++) {
        const size_t j = i % q->strips * q->nr, n = nn__min_size(q->nr, q->cols - j);
        nn_real *to = q->panels + i * c->kh * c->kw * size;
        for (size_t phase = 0; phase < s * s; phase++)
            for (size_t t = 0; t < c->kh * c->kw; t++) {
                if (t / c->kw * c->dilation % s != phase / s ||
                    t % c->kw * c->dilation % s != phase % s) continue;
                const nn_real *from = q->p->w + (t * (c->ci / c->groups) + j) * c->co;
                if (n < q->nr) memset(to, 0, size * sizeof *to);
                if (nn__is_depthwise(c)) memcpy(to, from, n * sizeof *to);
                else q->f->transpose(n, q->k, from + i / q->strips * q->k, c->co, to, q->nr);
                to += size;
            }
    }
}

/* -- bands -- */

typedef struct nn__conv_band {
    size_t image, images, row, rows; /* of the result */
    const nn_real *a;                /* where it begins in the source or the copy */
    nn_real *panel;                  /* the thread's own, for dy */
} nn__conv_band;

/* The thread's copy of a band, behind it its panel. */
static nn_real *nn__conv_own(const nn__conv_plan *q)
{
    return q->copies + nn__thread_slot(q->threads) * (q->copy_size + q->panel_size);
}

static nn__conv_band nn__conv_get_band(const nn__conv_plan *q, size_t unit)
{
    nn__conv_band b;
    b.image = unit / q->bands * q->stack, b.images = nn__min_size(q->stack, q->p->images - b.image);
    b.row = unit % q->bands * q->band, b.rows = nn__min_size(q->band, q->out_h - b.row);
    const ptrdiff_t first = (ptrdiff_t)(b.row * q->step) - q->front;
    nn_real *own = nn__conv_own(q);
    b.a = q->in_place ? q->source + b.image * q->image + (size_t)first * q->line : own;
    b.panel = own + q->copy_size;
    const size_t bytes = q->w * q->channels * sizeof *own;
    for (size_t i = 0; i < b.images && !q->in_place; i++) {
        const nn_real *image = q->source + (b.image + i) * q->h * q->w * q->channels;
        nn_real *to = own + i * q->image + q->left * q->channels;
        for (size_t r = 0; r < b.rows * q->step + q->reach; r++, to += q->line) {
            const size_t y = (size_t)(first + (ptrdiff_t)r); /* large when negative */
            if (y < q->h) memcpy(to, image + y * q->w * q->channels, bytes);
            else memset(to, 0, bytes);
        }
    }
    return b;
}

/* A thread's copy begins with zeros, of which the columns beside the images stay. */
static void nn__conv_clear(const nn__conv_plan *q)
{
    nn_real *own = nn__conv_own(q);
    memset(own, 0, q->copy_size * sizeof *own);
}

/* What the bands of a unit will be copied from is fetched during so many tiles. */
static void nn__conv_fetch(const nn__conv_plan *q, size_t unit, size_t tiles, nn__lines *a)
{
    const size_t line = q->w * q->channels, all = q->p->images * q->h;
    const size_t row = unit / q->bands * q->stack * q->h + unit % q->bands * q->band * q->step;
    const size_t rows = q->bands > 1 ? q->band * q->step : q->stack * q->h;
    if (row >= all) return;
    a->next = (const char *)(q->source + row * line);
    a->next_end = (const char *)(q->source + nn__min_size(row + rows, all) * line);
    a->next_step = ((size_t)(a->next_end - a->next) / tiles + 64) / 64 * 64;
}

/* -- the passes, each over bands -- */

/* A tile's share of B, and its runs. */
static void nn__conv_aim(nn__tile *t, const nn_real *b, size_t ldb, const ptrdiff_t *runs,
                         size_t count, size_t k, size_t ak)
{
    t->b = b, t->ldb = ldb * sizeof *b, t->panel = NULL;
    t->first = count ? *runs : 0, t->runs = runs + (count > 0), t->runs_end = runs + count;
    t->k = count ? k : 0, t->ak = ak * sizeof *b;
}

/* `rows` rows of the result at c: of the strip of `cols` columns that begins with `column`. */
static void nn__conv_multiply(const nn__conv_plan *q, nn__tile *t, size_t column, size_t cols,
                              size_t rows, nn_real *c, size_t ldc, int accumulate, nn__lines *a)
{
    t->c = c, t->ldc = ldc * sizeof *c, t->init = nn__zeros, t->init_ld = 0;
    if (accumulate) t->init = c, t->init_ld = t->ldc;
    else if (q->p->bias) t->init = q->p->bias + column;
    if (nn__is_depthwise(q->c)) {
        q->f->channels(t, cols, rows, a);
        return;
    }
    nn__set_width(q->f, t, cols);
    nn__multiply_rows(q->f, t, 1, rows, a);
}

static void nn__conv_bands_of_y(void *context, size_t begin, size_t end)
{
    const nn__conv_plan *q = (const nn__conv_plan *)context;
    const nn__conv *c = q->c;
    const int packed = q->panels_size > 0;
    const size_t per = c->ci / c->groups, runs = q->run_count;
    nn__conv_clear(q);
    for (size_t unit = begin; unit < end; unit++) {
        const nn__conv_band b = nn__conv_get_band(q, unit);
        const size_t pixels = b.images * b.rows * c->ow;
        nn_real *y = q->p->to + (b.image * c->oh + b.row) * c->ow * c->co;
        nn__lines a = {NULL, 0, q->row_at, NULL, NULL, 0};
        nn__conv_fetch(q, unit + 1, (pixels / NN__MR + 1) * q->strips * q->groups, &a);
        for (size_t i = 0; i < q->groups * q->strips; i++) {
            const size_t g = i / q->strips, j = i % q->strips * q->nr, column = g * q->cols + j;
            nn__tile t;
            if (packed) nn__conv_aim(&t, q->panels + i * q->k * q->nr, 0, q->run_at, runs,
                                     q->k / runs, 1);
            else nn__conv_aim(&t, q->p->w, c->co, q->run_at, runs, 1, 1);
            a.a = b.a + g * per;
            nn__conv_multiply(q, &t, column, nn__min_size(q->nr, q->cols - j), pixels, y + column,
                              c->co, q->p->accumulate, &a);
        }
        nn__conv_finish(q->p, y, pixels * c->co);
    }
}

/* Taps of one axis that a phase meets. */
static size_t nn__conv_met(const nn__conv *c, size_t kernel, size_t phase)
{
    size_t count = 0;
    for (size_t t = 0; t < kernel; t++) count += t * c->dilation % c->stride == phase;
    return count;
}

/* One strip of a band of dx, for the phase (py, px): t has its panel and runs. Without a stride the
   whole band is one row of pixels. */
static void nn__conv_phase(const nn__conv_plan *q, const nn__conv_band *b, nn__tile *t, size_t py,
                           size_t px, size_t column, size_t cols, nn__lines *a)
{
    const nn__conv *c = q->c;
    const size_t s = c->stride, rows = b->images * b->rows, at_once = s == 1 ? rows : 1;
    const size_t u = c->left / s + (c->left % s > px), x = u * s + px - c->left;
    const size_t pixels = x < c->w ? (c->w - 1 - x) / s + 1 : 0;
    const nn_real *from = b->a + (u + q->left) * q->channels + column / q->cols * q->k;
    for (size_t i = 0; i < rows && pixels; i += at_once) {
        const size_t image = i / b->rows, v = i % b->rows;
        const size_t y = (b->row + v + c->top / s) * s + py - c->top; /* large when negative */
        if (y >= c->h) continue;
        a->a = from + image * q->image + (v + q->reach) * q->line;
        nn_real *dx = q->p->to + (((b->image + image) * c->h + y) * c->w + x) * c->ci + column;
        nn__conv_multiply(q, t, column, cols, at_once * pixels, dx, s * c->ci, q->p->accumulate, a);
    }
}

static void nn__conv_bands_of_dx(void *context, size_t begin, size_t end)
{
    const nn__conv_plan *q = (const nn__conv_plan *)context;
    const nn__conv *c = q->c;
    const size_t s = c->stride, top = c->top / s, size = q->k * q->nr;
    nn__conv_clear(q);
    for (size_t unit = begin; unit < end; unit++) {
        const nn__conv_band b = nn__conv_get_band(q, unit);
        nn__lines a = {NULL, 0, q->row_at, NULL, NULL, 0};
        const size_t tiles = (b.images * b.rows * q->out_w / NN__MR + 1) * q->strips * q->groups;
        nn__conv_fetch(q, unit + 1, tiles * s * s, &a);
        for (size_t i = 0; i < q->groups * q->strips; i++) {
            const size_t j = i % q->strips * q->nr, column = i / q->strips * q->cols + j;
            const nn_real *panel = q->panels + i * q->run_count * size;
            const ptrdiff_t *runs = q->run_at;
            for (size_t phase = 0, taps; phase < s * s; phase++) {
                nn__tile t;
                taps = nn__conv_met(c, c->kh, phase / s) * nn__conv_met(c, c->kw, phase % s);
                nn__conv_aim(&t, panel, nn__is_depthwise(c) ? q->nr : 0, runs, taps, q->k, 1);
                nn__conv_phase(q, &b, &t, phase / s, phase % s, column,
                               nn__min_size(q->nr, q->cols - j), &a);
                runs += taps, panel += taps * size;
            }
        }
        const size_t y = (b.row + top) * s > c->top ? (b.row + top) * s - c->top : 0;
        const size_t y_end = nn__min_size(c->h, (b.row + b.rows + top) * s - c->top);
        nn__conv_finish(q->p, q->p->to + (b.image * c->h + y) * c->w * c->ci,
                        ((b.images - 1) * c->h + y_end - y) * c->w * c->ci);
    }
}

/* Blocks of dy's pixels go by, and all of the thread's part of dw meets each. */
static void nn__conv_block_of_dw(const nn__conv_plan *q, const nn__conv_band *b, size_t row,
                                 size_t rows, const size_t *strips, const size_t *lines, int first,
                                 nn__lines *a)
{
    const nn__conv *c = q->c;
    const nn_real *dy = q->p->dy + ((b->image * c->oh + b->row + row) * c->ow) * c->co;
    for (size_t i = strips[0]; i < strips[1]; i++) {
        const size_t g = i / q->strips, j = i % q->strips * q->nr, column = g * q->cols + j;
        nn__tile t;
        nn__conv_aim(&t, dy + column, c->co, q->run_at + row, rows, c->ow, c->stride * c->ci);
        if (q->panel_size) t.panel = b->panel;
        a->a = b->a + g * (c->ci / c->groups), a->offsets = q->row_at + lines[0];
        nn__conv_multiply(q, &t, column, nn__min_size(q->nr, q->cols - j), lines[1] - lines[0],
                          q->p->to + lines[0] * c->co + column, c->co, !first || q->p->accumulate,
                          a);
    }
}

/* Parts of dw: of its strips of columns, or of its rows where strips are fewer than threads. */
static void nn__conv_parts_of_dw(void *context, size_t begin, size_t end)
{
    const nn__conv_plan *q = (const nn__conv_plan *)context;
    const size_t all = q->groups * q->strips, tiles = (q->row_count + NN__MR - 1) / NN__MR;
    const size_t block = nn__max_size(1, NN__DY_PANEL / q->nr / q->c->ow), parts = q->threads;
    for (size_t part = begin; part < end; part++) {
        size_t strips[2] = {0, 0}, lines[2] = {0, 0};
        strips[1] = all, lines[1] = q->row_count;
        if (all >= parts) strips[0] = all * part / parts, strips[1] = all * (part + 1) / parts;
        else {
            lines[0] = tiles * part / parts * NN__MR;
            lines[1] = nn__min_size(q->row_count, tiles * (part + 1) / parts * NN__MR);
        }
        if (lines[0] == lines[1]) continue;
        nn__conv_clear(q);
        for (size_t unit = 0; unit < q->units; unit++) {
            const nn__conv_band b = nn__conv_get_band(q, unit);
            const size_t rows = b.images * b.rows, blocks = (rows + block - 1) / block;
            nn__lines a = {NULL, 0, NULL, NULL, NULL, 0};
            nn__conv_fetch(q, unit + 1, blocks * (strips[1] - strips[0]) *
                                            ((lines[1] - lines[0]) / NN__MR + 1), &a);
            for (size_t row = 0; row < rows; row += block)
                nn__conv_block_of_dw(q, &b, row, nn__min_size(block, rows - row), strips, lines,
                                     unit + row == 0, &a);
        }
    }
}

/* -- which way -- */

/* A sum that is finite has finite terms; one that overflowed may have, too. */
static int nn__all_finite(size_t n, const nn_real *x)
{
    if (nn__is_finite((double)nn__k()->sum(n, x))) return 1;
    for (size_t i = 0; i < n; i++)
        if (!nn__is_finite((double)x[i])) return 0;
    return 1;
}

/* So many units of a pass are worth a thread. */
static size_t nn__conv_grain(const nn__conv_pass *p, size_t units)
{
    const nn__conv *c = p->c;
    const double work = (double)p->images * (double)(c->oh * c->ow * c->co) *
                        (double)(c->kh * c->kw * (c->ci / c->groups));
    const double grain = NN__PRODUCT_GRAIN * (double)units / (work + 1);
    return grain < (double)units ? (size_t)grain + 1 : units;
}

/* y or dx where all pixels meet one matrix */
static void nn__conv_product(const nn__conv_pass *p, size_t threads, int is_dx)
{
    const nn__conv *c = p->c;
    nn__gemm_args g;
    memset(&g, 0, sizeof g);
    g.m = p->images * c->h * c->w, g.n = is_dx ? c->ci : c->co, g.k = is_dx ? c->co : c->ci;
    g.a = is_dx ? p->dy : p->x, g.lda = g.k, g.b = p->w, g.ldb = c->co, g.trans_b = is_dx;
    g.c = p->to, g.ldc = g.n, g.bias = p->bias, g.accumulate = p->accumulate;
    nn__gemm((int)threads, &g);
    if (p->kind != NN_ACTIVATION_IDENTITY)
        nn__activate((int)threads, p->kind, (double)p->alpha, g.m * g.n, p->to, NULL, NULL,
                     p->activated);
}

static void nn__conv_by_taps(nn__conv_pass *p, size_t threads, size_t rows, nn__range_fn *f)
{
    nn__parallel((int)threads, rows, nn__conv_grain(p, rows), f, p);
}

/* y (+)= conv(x, w) + bias */
static void nn__conv_forward(const nn__conv_pass *pass, size_t threads, void *memory)
{
    nn__conv_pass p = *pass;
    const nn__conv *c = p.c;
    nn__conv_plan q;
    if (nn__conv_is_product(c)) nn__conv_product(&p, threads, 0);
    else if (!nn__conv_plan_x(&q, &p, threads, 0) || !nn__all_finite(nn__conv_size(c), p.w))
        nn__conv_by_taps(&p, threads, p.images * c->oh, nn__conv_rows_by_taps);
    else {
        nn__conv_place(&q, memory);
        nn__conv_pixels(&q, q.row_at);
        nn__conv_taps(&q, q.k / q.run_count, q.run_count, q.run_at);
        const size_t panels = q.panels_size ? q.groups * q.strips : 0;
        nn__parallel((int)threads, panels, nn__grain_rows(q.k * q.nr), nn__conv_pack_x, &q);
        nn__parallel((int)threads, q.units, nn__conv_grain(&p, q.units), nn__conv_bands_of_y, &q);
    }
}

/* dx (+)= the gradient of x; also what a transposed convolution computes, with a bias then. */
static void nn__conv_data(const nn__conv_pass *pass, size_t threads, void *memory)
{
    nn__conv_pass p = *pass;
    const nn__conv *c = p.c;
    nn__conv_plan q;
    if (nn__conv_is_product(c)) nn__conv_product(&p, threads, 1);
    else if (!nn__conv_plan_dy(&q, &p, threads) || !nn__all_finite(nn__conv_size(c), p.w))
        nn__conv_by_taps(&p, threads, p.images * c->h, nn__conv_data_by_taps);
    else {
        nn__conv_place(&q, memory);
        nn__conv_pixels(&q, q.row_at);
        nn__conv_runs_of_dx(&q, q.run_at);
        nn__parallel((int)threads, q.groups * q.strips,
                     nn__grain_rows(q.run_count * q.k * q.nr), nn__conv_pack_dy, &q);
        nn__parallel((int)threads, q.units, nn__conv_grain(&p, q.units), nn__conv_bands_of_dx, &q);
    }
}

/* dw (+)= the gradient of w */
static void nn__conv_weights(const nn__conv_pass *pass, size_t threads, void *memory)
{
    nn__conv_pass p = *pass;
    const nn__conv *c = p.c;
    nn__conv_plan q;
    if (nn__conv_is_product(c)) {
        nn__gemm_args g;
        memset(&g, 0, sizeof g);
        g.trans_a = 1, g.m = c->ci, g.n = c->co, g.k = p.images * c->h * c->w;
        g.a = p.x, g.lda = g.m, g.b = p.dy, g.ldb = g.ldc = g.n, g.c = p.to;
        g.accumulate = p.accumulate;
        nn__gemm((int)threads, &g);
    } else if (!nn__conv_plan_x(&q, &p, threads, 1))
        nn__conv_by_taps(&p, threads, c->kh * c->kw, nn__conv_weights_by_taps);
    else {
        const size_t grain = nn__conv_grain(&p, threads);
        q.threads = (threads + grain - 1) / grain;
        nn__conv_place(&q, memory);
        nn__conv_taps(&q, 1, q.row_count, q.row_at);
        for (size_t i = 0; i < q.run_count; i++) q.run_at[i] = nn__conv_line_at(&q, i);
        nn__parallel((int)threads, q.threads, 1, nn__conv_parts_of_dw, &q);
    }
}

/* Bytes of working memory that the three passes need. */
static size_t nn__conv_memory(const nn__conv_pass *p, size_t threads)
{
    nn__conv_plan q;
    size_t bytes = 0;
    if (nn__conv_is_product(p->c)) return 0;
    if (nn__conv_plan_dy(&q, p, threads)) bytes = nn__conv_place(&q, NULL);
    for (int weights = 0; weights < 2; weights++)
        if (nn__conv_plan_x(&q, p, threads, weights))
            bytes = nn__max_size(bytes, nn__conv_place(&q, NULL));
    return bytes;
}

/* ------------------------------------------------------------------------------------ >>tensor
   The network's memory. What has to stay where it is comes from an arena of chunks: tensors, names,
   settings. Values, gradients and optimiser state of the parameters lie in parallel arrays of the
   parameter store, so that small parameters that follow each other are updated as one. Activations
   and their gradients live in two blocks that are laid out again when a larger batch comes along or
   the network has grown. */

#define NN__ALIGN 64 /* bytes: a cache line, and the widest vector */

typedef struct nn__chunk {
    struct nn__chunk *next;
    size_t used, size;
} nn__chunk;

typedef struct nn__block {
    void *memory;
    size_t bytes;
} nn__block;

/* Values of parameters (or of buffers). Gradients come with the first backward, state with the
   optimiser: a network that only predicts pays for neither, and buffers have neither. */
typedef struct nn__store {
    struct nn__store *next;
    size_t used, size; /* reals */
    nn_real *values, *grads, *state[2];
} nn__store;

typedef struct nn__list {
    nn_tensor **items;
    size_t count, capacity;
} nn__list;

/* What a run of `target` takes, kept until the network, the target or the batch is another. */
typedef struct nn__plan {
    nn_tensor *target;  /* NULL: there is no plan */
    size_t batch;
    nn__list order;     /* all that the target depends on, and itself, as made */
    nn__list inputs;    /* the inputs among them */
    const nn_op *training_op; /* one among them that computes something else in training */
    int grads_are_laid; /* for these inputs' requires_grad, zeros where the plan does not lead */
} nn__plan;

enum { NN__MODE_OPEN, NN__MODE_EVALUATION, NN__MODE_TRAINING }; /* open: nobody has chosen */

struct nn_net {
    nn_allocator allocator;
    nn__chunk *chunks;
    nn__store *stores, *buffer_stores;
    nn_real *lent;   /* where the next leaf's values lie, which nobody writes to; mostly NULL: */
    int has_lent;    /* it gets a place in a store */
    int threads, mode;
    nn_status status;
    nn_rng rng;
    const char *message;
    nn__list tensors, parameters, buffers;
    nn__plan plan;
    nn__block data_block, grad_block;
    size_t laid_count, laid_rows;   /* tensors and batch that data_block is laid out for */
    size_t grad_count, grad_rows;   /* the same for grad_block */
    void *workspace;                /* one for all operations: valid within one call */
    nn_real *gradient_workspace;    /* as large as the largest tensor that has a gradient */
    nn_tensor *ran;                 /* the target of the last successful forward */
    size_t passes;                  /* backward passes so far */
    int adds;                       /* to the gradients of parameters, in the present one */
    struct nn__optimizer *optimizer;
    nn_tensor *output;              /* as it was set; NULL: what the losses say */
    nn_dataset *trained_on;         /* its shape, classes and normalisation; NULL: none yet */
};

static size_t nn__round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static void *nn__default_alloc(void *user, size_t bytes)
{
    (void)user;
    return NN_MALLOC(bytes);
}

static void nn__default_release(void *user, void *block)
{
    (void)user;
    NN_FREE(block);
}

/* -- a caller's memory, a stack: blocks one behind the other, each with a note of where it begins
   and ends. A block that is given back makes room when it is the last. -- */

#define NN__STACK_ALIGN 16

typedef struct nn__stack {
    size_t size, used, peak; /* bytes, from the stack itself on */
} nn__stack;

typedef struct nn__stack_note {
    size_t begin, end;
} nn__stack_note;

static void *nn__stack_alloc(void *user, size_t bytes)
{
    nn__stack *stack = (nn__stack *)user;
    nn__stack_note note;
    const size_t at = nn__round_up(stack->used + sizeof note, NN__STACK_ALIGN);
    if (at > stack->size || bytes > stack->size - at) return NULL;
    note.begin = stack->used, note.end = at + bytes;
    char *block = (char *)user + at;
    memcpy(block - sizeof note, &note, sizeof note);
    stack->used = note.end;
    stack->peak = nn__max_size(stack->peak, stack->used);
    return block;
}

static void nn__stack_release(void *user, void *block)
{
    nn__stack *stack = (nn__stack *)user;
    nn__stack_note note;
    memcpy(&note, (const char *)block - sizeof note, sizeof note);
    if (note.end == stack->used) stack->used = note.begin;
}

/* A stack at the beginning of the memory; NULL when there is no room for one. */
static nn__stack *nn__stack_new(void *memory, size_t size)
{
    const size_t past = (size_t)((uintptr_t)memory % NN__STACK_ALIGN);
    const size_t skip = past ? NN__STACK_ALIGN - past : 0;
    if (size < skip || size - skip < sizeof(nn__stack)) return NULL;
    nn__stack *stack = (nn__stack *)(void *)((char *)memory + skip);
    stack->size = size - skip;
    stack->used = stack->peak = sizeof *stack;
    return stack;
}

NN_DEF size_t nn_net_memory(const nn_net *net)
{
    if (!net || net->allocator.alloc != nn__stack_alloc) return 0;
    return ((const nn__stack *)net->allocator.user)->peak + NN__STACK_ALIGN - 1;
}

static void *nn__net_alloc(nn_net *net, size_t bytes)
{
    void *block = bytes ? net->allocator.alloc(net->allocator.user, bytes) : NULL;
    if (!block)
        nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu bytes for the network",
                 (nn__ull)bytes);
    return block;
}

static void nn__net_release(nn_net *net, void *block)
{
    if (block) net->allocator.release(net->allocator.user, block);
}

/* `bytes` that begin at a multiple of NN__ALIGN. What the allocator gave, which is aligned for
   pointers, is noted in front of them. */
static void *nn__aligned_alloc(nn_net *net, size_t bytes)
{
    char *block = (char *)nn__net_alloc(net, bytes + NN__ALIGN);
    if (!block) return NULL;
    const size_t past = (size_t)((uintptr_t)(block + sizeof block) % NN__ALIGN);
    char *aligned = block + sizeof block + (past ? NN__ALIGN - past : 0);
    memcpy(aligned - sizeof block, &block, sizeof block);
    return aligned;
}

static void nn__aligned_release(nn_net *net, void *aligned)
{
    char *block = NULL;
    if (aligned) memcpy(&block, (char *)aligned - sizeof block, sizeof block);
    nn__net_release(net, block);
}

/* `count` zeroed items of `size` bytes for the life of the network: where the last chunks have room
   for them, or in a new one, which has room for two tensors and what belongs to them. */
static void *nn__arena(nn_net *net, size_t count, size_t size)
{
    enum { ITEM_ALIGN = 8, CHUNKS_TRIED = 4, CHUNK_ROOM = 528 };
    const size_t head = nn__round_up(sizeof(nn__chunk), ITEM_ALIGN);
    size_t bytes;
    if (!nn__multiply(count, size, &bytes) || bytes > SIZE_MAX - head - ITEM_ALIGN) {
        nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu items of %llu bytes", (nn__ull)count,
                 (nn__ull)size);
        return NULL;
    }
    bytes = nn__round_up(bytes ? bytes : 1, ITEM_ALIGN);
    nn__chunk *chunk = net->chunks;
    for (int i = 1; chunk && chunk->size - chunk->used < bytes; i++)
        chunk = i < CHUNKS_TRIED ? chunk->next : NULL;
    if (!chunk) {
        size_t room = nn__max_size(bytes, CHUNK_ROOM);
        chunk = (nn__chunk *)nn__net_alloc(net, head + room);
        if (!chunk) return NULL;
        chunk->next = net->chunks, chunk->used = 0, chunk->size = room;
        net->chunks = chunk;
    }
    void *p = (char *)chunk + head + chunk->used;
    chunk->used += bytes;
    memset(p, 0, bytes);
    return p;
}

/* Makes the error that was just reported the network's. The first one stays, with its message, and
   is what later ones report as well. NULL, for a builder to return. */
static nn_tensor *nn__net_failed(nn_net *net, nn_status status)
{
    const int is_later = net && net->status != NN_OK;
    nn__keep_cause(is_later ? nn_net_status(net) : status);
    if (!net || is_later) return NULL;
    char text[sizeof nn__message], *copy;
    memcpy(text, nn__message, sizeof text);
    copy = (char *)nn__arena(net, strlen(text) + 1, 1);
    net->status = status;
    net->message = copy ? strcpy(copy, text) : "out of memory";
    return NULL;
}

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 3, 4)))
#endif
static nn_tensor *nn__net_fail(nn_net *net, nn_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(nn__message, sizeof nn__message, format, args);
    va_end(args);
    return nn__net_failed(net, status);
}

static nn_tensor *nn__out_of_memory(nn_net *net)
{
    return nn__net_failed(net, NN_ERROR_OUT_OF_MEMORY);
}

/* -- parameter store -- */

/* A network whose values are its own. */
static nn_status nn__check_own(const char *call, const nn_net *net)
{
    if (!net->has_lent) return NN_OK;
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the network's values lie in the bytes that "
                                           "nn_open_memory was given (nn_open_desc.in_place), "
                                           "which are only read", call);
}

/* Zeroed reals beside a store's values. */
static nn_real *nn__store_array(nn_net *net, size_t count)
{
    nn_real *array = (nn_real *)nn__aligned_alloc(net, count * sizeof *array);
    if (array) memset(array, 0, count * sizeof *array);
    return array;
}

/* A store for a leaf of so many reals and `behind` it for another. The next leaves go there, unless
   the store before it has more room to spare. */
static nn__store *nn__new_store(nn_net *net, nn__store **list, size_t reals, size_t behind)
{
    enum { SHARED_REALS = 512 / sizeof(nn_real) };
    nn__store *store = (nn__store *)nn__arena(net, 1, sizeof *store);
    if (!store) return NULL;
    store->size = nn__max_size(reals + behind, SHARED_REALS);
    store->values = nn__store_array(net, store->size);
    if (!store->values) return NULL;
    if (*list && (*list)->size - (*list)->used > store->size - reals) list = &(*list)->next;
    store->next = *list;
    *list = store;
    return store;
}

/* Room for a leaf's values, which are 0. Small leaves share a store; behind a large one there is
   room for the bias that mostly follows, as wide as the last dimension. What is lent is in none. */
static int nn__store_leaf(nn_net *net, nn__store **list, nn_tensor *t)
{
    if (net->lent) {
        t->data = net->lent;
        return net->has_lent = 1;
    }
    const size_t step = NN__ALIGN / sizeof(nn_real);
    if (t->size > (SIZE_MAX / 2 - 3 * NN__ALIGN) / sizeof(nn_real)) return 0;
    const size_t reals = nn__round_up(t->size, step);
    const size_t bias = t->rank > 1 ? nn__round_up(t->shape[t->rank - 1], step) : 0;
    nn__store *store = *list;
    if (!store || store->size - store->used < reals)
        store = nn__new_store(net, list, reals, bias <= reals / 8 ? bias : 0);
    if (!store) return 0;
    t->settings = store;
    t->data = store->values + store->used;
    store->used += reals;
    return 1;
}

static nn__store *nn__store_of(const nn_tensor *leaf) { return (nn__store *)leaf->settings; }

/* Where in its store a leaf begins. */
static size_t nn__place(const nn_tensor *leaf)
{
    return (size_t)(leaf->data - nn__store_of(leaf)->values);
}

/* Gradients for the parameters that have none yet. */
static nn_status nn__store_grads(nn_net *net)
{
    for (nn__store *s = net->stores; s; s = s->next) {
        if (s->grads) continue;
        s->grads = nn__store_array(net, s->size);
        if (!s->grads) return NN_ERROR_OUT_OF_MEMORY;
    }
    for (size_t i = 0; i < net->parameters.count; i++) {
        nn_tensor *p = net->parameters.items[i];
        p->grad = nn__store_of(p)->grads + nn__place(p);
    }
    return NN_OK;
}

/* The optimiser's state: what is missing starts at 0; `clear` sets the rest to 0, too. */
NN__UNUSED static nn_status nn__store_state(nn_net *net, int count, int clear)
{
    for (nn__store *s = net->stores; s; s = s->next)
        for (int i = 0; i < count; i++) {
            if (s->state[i] && clear) memset(s->state[i], 0, s->size * sizeof *s->state[i]);
            if (!s->state[i])
                s->state[i] = nn__store_array(net, s->size);
            if (!s->state[i]) return NN_ERROR_OUT_OF_MEMORY;
        }
    return NN_OK;
}

static void nn__release_stores(nn_net *net, const nn__store *s)
{
    for (; s; s = s->next) {
        nn_real *const arrays[] = {s->values, s->grads, s->state[0], s->state[1]};
        for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
            nn__aligned_release(net, arrays[i]);
    }
}

/* -- the network -- */

NN_DEF nn_net *nn_net_create(const nn_net_desc *desc)
{
    nn_net_desc d;
    nn_status status = NN_OK;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (!d.allocator.alloc != !d.allocator.release)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "nn_net_create: allocator has only one of alloc and release");
    else if (d.threads < 0)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "nn_net_create: threads is %d, expected 0 or more", d.threads);
    else if (!nn__is_exact(nn__k()))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "nn_net_create: nn.h is compiled with -ffp-contract=fast for a CPU with "
                          "fused multiply-add, which changes results: use -ffp-contract=off");
    else if (d.allocator.alloc ? d.memory != NULL || d.memory_size : !d.memory != !d.memory_size)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_net_create: memory and memory_size go "
                                                 "together, and without an allocator");
    if (d.memory && status == NN_OK) {
        d.allocator.alloc = nn__stack_alloc, d.allocator.release = nn__stack_release;
        d.allocator.user = nn__stack_new(d.memory, d.memory_size);
        if (!d.allocator.user)
            status = nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu bytes for the network",
                              (nn__ull)d.memory_size);
    }
    if (!d.allocator.alloc)
        d.allocator.alloc = nn__default_alloc, d.allocator.release = nn__default_release;
    nn_net *net = NULL;
    if (status == NN_OK) {
        net = (nn_net *)d.allocator.alloc(d.allocator.user, sizeof *net);
        if (!net)
            status = nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu bytes for the network",
                              (nn__ull)sizeof *net);
    }
    nn__keep_cause(status);
    if (!net) return NULL;
    memset(net, 0, sizeof *net);
    net->allocator = d.allocator;
    net->rng = nn_rng_seed(d.seed);
    net->threads = d.threads;
    return net;
}

NN_DEF nn_status nn_net_status(const nn_net *net)
{
    if (!net) return nn__fail_null("nn_net_status", "network");
    if (net->status != NN_OK) nn__fail(net->status, "%s", net->message);
    return net->status;
}

NN_DEF size_t nn_net_tensor_count(const nn_net *net) { return net ? net->tensors.count : 0; }

static nn_tensor *nn__list_item(const nn__list *list, size_t i)
{
    return i < list->count ? list->items[i] : NULL;
}

NN_DEF nn_tensor *nn_net_tensor(const nn_net *net, size_t id)
{
    return net ? nn__list_item(&net->tensors, id) : NULL;
}

NN_DEF nn_tensor *nn_net_parameter(const nn_net *net, size_t i)
{
    return net ? nn__list_item(&net->parameters, i) : NULL;
}

NN_DEF nn_tensor *nn_net_buffer(const nn_net *net, size_t i)
{
    return net ? nn__list_item(&net->buffers, i) : NULL;
}

NN_DEF nn_tensor *nn_net_find(const nn_net *net, const char *name)
{
    for (size_t i = 0; net && name && name[0] && i < net->tensors.count; i++)
        if (strcmp(net->tensors.items[i]->name, name) == 0) return net->tensors.items[i];
    return NULL;
}

NN_DEF size_t nn_net_parameter_count(const nn_net *net)
{
    size_t sum = 0;
    const nn_tensor *p;
    for (size_t i = 0; (p = nn_net_parameter(net, i)) != NULL; i++) sum += p->size;
    return sum;
}

NN_DEF nn_rng *nn_net_rng(nn_net *net) { return net ? &net->rng : NULL; }

NN_DEF void nn_net_set_training(nn_net *net, int training)
{
    if (!net) return;
    /* A run that left dropout out stays one, whatever mode comes after it. */
    if (net->mode == NN__MODE_OPEN && net->plan.training_op) net->ran = NULL;
    net->mode = training ? NN__MODE_TRAINING : NN__MODE_EVALUATION;
}

NN_DEF int nn_net_is_training(const nn_net *net)
{
    return net && net->mode == NN__MODE_TRAINING;
}

/* One more tensor at the end of a list. */
static int nn__append(nn_net *net, nn__list *list, nn_tensor *t)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 4;
        nn_tensor **grown = (nn_tensor **)nn__net_alloc(net, capacity * sizeof *grown);
        if (!grown) return 0;
        if (list->count) memcpy(grown, list->items, list->count * sizeof *grown);
        nn__net_release(net, list->items);
        list->items = grown, list->capacity = capacity;
    }
    list->items[list->count++] = t;
    return 1;
}

/* Gives a tensor a copy of a name, as `call` was asked to. */
static nn_tensor *nn__name(const char *call, nn_tensor *t, const char *name)
{
    if (t->net->status != NN_OK) return nn__net_failed(t->net, t->net->status);
    const nn_tensor *other = nn_net_find(t->net, name);
    if (other && other != t)
        return nn__net_fail(t->net, NN_ERROR_BAD_ARGUMENT, "%s: the name '%s' is tensor %llu's",
                            call, name, (nn__ull)other->id);
    size_t length = name ? strlen(name) : 0;
    char *copy = (char *)nn__arena(t->net, length + 1, 1);
    if (!copy) return nn__out_of_memory(t->net);
    if (length) memcpy(copy, name, length);
    t->name = copy;
    return t;
}

NN_DEF nn_tensor *nn_name(nn_tensor *t, const char *name)
{
    if (t) return nn__name("nn_name", t, name);
    nn__fail_null("nn_name", "tensor");
    return NULL;
}

enum { NN__SHAPE_TEXT = 24 * NN_MAX_RANK }; /* a size_t has at most 20 digits */

/* "[batch 3 4]", for messages. Returns text. */
static const char *nn__shape_text(int rank, const size_t *shape, int batched,
                                  char text[NN__SHAPE_TEXT])
{
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < rank; i++) {
        const char *space = i ? " " : "";
        if (i == 0 && batched) at += (size_t)snprintf(text + at, NN__SHAPE_TEXT - at, "batch");
        else
            at += (size_t)snprintf(text + at, NN__SHAPE_TEXT - at, "%s%llu", space,
                                   (nn__ull)shape[i]);
    }
    snprintf(text + at, NN__SHAPE_TEXT - at, "]");
    return text;
}

static const char *nn__tensor_shape(const nn_tensor *t, char text[NN__SHAPE_TEXT])
{
    return nn__shape_text(t->rank, t->shape, t->batched, text);
}

/* -- what a file says of an operation: `visit` writes the member or reads it -- */

NN_DEF nn_tensor *nn_describe_source(const nn_description *d, size_t i)
{
    return i < d->src_count ? d->src[i] : NULL;
}

NN_DEF void nn_describe_int(nn_description *d, const char *key, int *value)
{
    size_t count = 1;
    d->visit(d, key, NN_FIELD_INT, value, &count, 1);
}

NN_DEF void nn_describe_size(nn_description *d, const char *key, size_t *value)
{
    size_t count = 1;
    d->visit(d, key, NN_FIELD_SIZE, value, &count, 1);
}

NN_DEF void nn_describe_real(nn_description *d, const char *key, double *value)
{
    size_t count = 1;
    d->visit(d, key, NN_FIELD_REAL, value, &count, 1);
}

NN_DEF void nn_describe_choice(nn_description *d, const char *key, int *value,
                               const char *const *names, size_t count)
{
    d->names = names;
    d->visit(d, key, NN_FIELD_CHOICE, value, &count, count);
}

NN_DEF void nn_describe_ints(nn_description *d, const char *key, int *values, size_t *count,
                             size_t max)
{
    d->visit(d, key, NN_FIELD_INTS, values, count, max);
}

NN_DEF void nn_describe_sizes(nn_description *d, const char *key, size_t *values, size_t *count,
                              size_t max)
{
    d->visit(d, key, NN_FIELD_SIZES, values, count, max);
}

NN_DEF void nn_describe_reals(nn_description *d, const char *key, const nn_real **values,
                              size_t count)
{
    d->visit(d, key, NN_FIELD_REALS, values, &count, count);
}

/* ----------------------------------------------------------------------------------- >>initial
   How the values of a parameter or buffer begin. */

static nn_init nn__init_make(nn_init_kind kind, double a, double b)
{
    nn_init init;
    memset(&init, 0, sizeof init);
    init.kind = kind, init.a = a, init.b = b;
    return init;
}

NN_DEF nn_init nn_init_constant(double value)
{
    return nn__init_make(NN_INIT_CONSTANT, value, 0);
}

NN_DEF nn_init nn_init_uniform(double low, double high)
{
    return nn__init_make(NN_INIT_UNIFORM, low, high);
}

NN_DEF nn_init nn_init_normal(double mean, double deviation)
{
    return nn__init_make(NN_INIT_NORMAL, mean, deviation);
}

NN_DEF nn_init nn_init_scaled(nn_init_kind kind) { return nn__init_make(kind, 0, 0); }

/* Numbers that nn_real holds, and that the kind has a use for, for a leaf of that rank. */
static nn_status nn__check_init(const char *call, const char *member, const nn_init *init, int rank)
{
    const int has_b = init->kind == NN_INIT_UNIFORM || init->kind == NN_INIT_NORMAL;
    const int has_a = has_b || init->kind == NN_INIT_CONSTANT ||
                      init->kind == NN_INIT_ORTHOGONAL || init->kind == NN_INIT_IDENTITY;
    if ((unsigned)init->kind >= NN_INIT_COUNT)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: %s.kind is %d, expected one of nn_init_kind", call, member,
                        (int)init->kind);
    if (!nn__is_finite((double)(nn_real)init->a) || !nn__is_finite((double)(nn_real)init->b))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s has the numbers %g and %g, expected finite "
                                               "ones", call, member, init->a, init->b);
    if ((init->a != 0 && !has_a) || (init->b != 0 && !has_b))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s.%s is set, which this kind does not use",
                        call, member, init->a != 0 && !has_a ? "a" : "b");
    if (rank < 2 && (init->kind == NN_INIT_ORTHOGONAL || init->kind == NN_INIT_IDENTITY))
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: %s is of a kind for two or more dimensions, found %d", call, member,
                        rank);
    if (!(init->fan_in >= 0 && init->fan_out >= 0))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s has fans of %g and %g, expected 0 or more",
                        call, member, init->fan_in, init->fan_out);
    return NN_OK;
}

static double nn__draw(nn_rng *rng, const nn_init *init, double fan_in, double fan_out)
{
    double r = 0;
    switch (init->kind) {
    case NN_INIT_CONSTANT: return init->a;
    case NN_INIT_UNIFORM: return init->a + (init->b - init->a) * nn_rng_uniform(rng);
    case NN_INIT_NORMAL: return init->a + init->b * nn_rng_normal(rng);
    case NN_INIT_LECUN_NORMAL: return nn_rng_normal(rng) / sqrt(fan_in);
    case NN_INIT_GLOROT_NORMAL: return nn_rng_normal(rng) * sqrt(2 / (fan_in + fan_out));
    case NN_INIT_HE_NORMAL: return nn_rng_normal(rng) * sqrt(2 / fan_in);
    case NN_INIT_DEFAULT:
    case NN_INIT_GLOROT_UNIFORM: r = sqrt(6 / (fan_in + fan_out)); break;
    case NN_INIT_HE_UNIFORM: r = sqrt(6 / fan_in); break;
    case NN_INIT_ZERO:
    case NN_INIT_ORTHOGONAL:
    case NN_INIT_IDENTITY:
    case NN_INIT_COUNT: return 0;
    }
    return (2 * nn_rng_uniform(rng) - 1) * r;
}

/* n orthonormal vectors of m normal draws, by Gram and Schmidt: each loses its part along those
   before it, twice, since the first time leaves a rounding error of the size of what it took away
   (Giraud, Langou and Rozloznik 2005). */
static void nn__draw_orthonormal(nn_rng *rng, size_t n, size_t m, nn_real *v)
{
    const nn__kernels *k = nn__k();
    for (size_t i = 0; i < n * m; i++) v[i] = (nn_real)nn_rng_normal(rng);
    for (size_t i = 0; i < n; i++) {
        nn_real *own = v + i * m;
        for (size_t j = 0; j < 2 * i; j++) {
            const nn_real *other = v + j % i * m;
            k->axpy(m, -k->dot(m, own, other), other, own);
        }
        k->scale(m, 1 / NN__SQRT_SCALAR(k->dot(m, own, own)), own, own);
    }
}

static nn_status nn__draw_orthogonal(nn_tensor *t, nn_real gain)
{
    const size_t cols = t->shape[t->rank - 1], rows = t->size / cols;
    nn_real *v = t->data;
    if (rows > cols) v = (nn_real *)nn__net_alloc(t->net, t->size * sizeof *v);
    if (!v) return NN_ERROR_OUT_OF_MEMORY;
    nn__draw_orthonormal(&t->net->rng, nn__min_size(rows, cols), nn__max_size(rows, cols), v);
    if (rows > cols) {
        nn__k()->transpose(cols, rows, v, rows, t->data, cols);
        nn__net_release(t->net, v);
    }
    nn__k()->scale(t->size, gain, t->data, t->data);
    return NN_OK;
}

static nn_status nn__set_identity(nn_tensor *t, nn_real gain)
{
    const size_t out = t->shape[t->rank - 1], in = t->shape[t->rank - 2];
    size_t middle = 0;
    for (int d = 0; d < t->rank - 2; d++) middle = middle * t->shape[d] + t->shape[d] / 2;
    memset(t->data, 0, t->size * sizeof *t->data);
    for (size_t i = 0; i < nn__min_size(in, out); i++)
        t->data[(middle * in + i) * out + i] = gain;
    return NN_OK;
}

/* [size..., in, out]; one dimension is both. */
static nn_status nn__draw_all(nn_tensor *t, const nn_init *init)
{
    const nn_real gain = (nn_real)nn__or_default(init->a, 1);
    if (init->kind == NN_INIT_ORTHOGONAL) return nn__draw_orthogonal(t, gain);
    if (init->kind == NN_INIT_IDENTITY) return nn__set_identity(t, gain);
    double in = t->rank ? (double)t->shape[t->rank - 1] : 1, out = in;
    if (t->rank > 1) {
        const double size = (double)t->size / (in * (double)t->shape[t->rank - 2]);
        out *= size, in = (double)t->shape[t->rank - 2] * size;
    }
    if (init->fan_in > 0) in = init->fan_in;
    if (init->fan_out > 0) out = init->fan_out;
    for (size_t i = 0; i < t->size; i++)
        t->data[i] = (nn_real)nn__draw(&t->net->rng, init, in, out);
    return NN_OK;
}

/* ------------------------------------------------------------------------------------- >>graph
   nn__node_new makes a tensor of any operation, or refuses; inputs are filled from outside.

   Builders check their arguments and record: nothing is computed before nn_forward. A tensor of a
   batch is recorded with shape[0] = 0; row_size, the values of one sample, is all that the layout
   needs to know, and shape[0] and size follow when a batch runs. */

/* Bits of nn_tensor.state. */
enum {
    NN__NEEDED = 1,    /* the plan's target depends on it */
    NN__LAID_GRAD = 2, /* the gradient block was laid out with a gradient for it */
    NN__PLANNED = 4    /* it has been in a plan since the data block was laid out */
};

/* Flags of the library's own operations beside the public ones. */
#define NN__OP_CLAIMS 4u /* backward asks nn__claim_gradient instead of finding zeros to add to */
#define NN__OP_SUMS 8u   /* a scalar that adds up samples, where others take their mean */
#define NN__OP_LOSS 16u
#define NN__OP_LAYER 32u /* src[1] is its weight and src[2] its bias, where they are parameters */
#define NN__OP_PRODUCT 64u /* takes each weight once for a position of its last dimension; settings
                              begin with an activation, nn__function */

/* An input's own settings. The answer of a loss is an input as well: of labels or of targets, as it
   was fed last. */
typedef struct nn__input {
    const nn_tensor *loss; /* whose answer or weights it is; NULL for the user's own inputs */
    size_t rows;           /* fed; 0: nothing yet */
    size_t capacity, label_capacity; /* rows that data and labels have room for */
    size_t labels_per_row; /* 0: takes no labels */
    int classes;           /* labels lie in [0, classes) */
    int has_labels;        /* fed last: labels, not reals */
} nn__input;

static nn_tensor *nn__input_describe(nn_description *d, const nn_tensor *t);
static nn_tensor *nn__state_describe(nn_description *d, const nn_tensor *t);

static const nn_op nn__input_op = {"input", NULL, NULL, NULL, NULL, 0, nn__input_describe};
static const nn_op nn__parameter_op = {"parameter", NULL, NULL, NULL, NULL, 0, nn__state_describe};
static const nn_op nn__buffer_op = {"buffer", NULL, NULL, NULL, NULL, 0, nn__state_describe};

static int nn__is_leaf(const nn_tensor *t) { return !t->op->forward; }

/* Whether grad holds something in the present backward pass. */
static int nn__has_grad(const nn_tensor *t)
{
    return t->written == t->net->passes || (t->net->adds && t->op == &nn__parameter_op);
}
static int nn__is_scalar(const nn_tensor *t) { return t->size == 1 && !t->batched; }

/* NULL for every tensor but an input. */
static nn__input *nn__as_input(const nn_tensor *t)
{
    return t->op == &nn__input_op ? (nn__input *)t->settings : NULL;
}

static void nn__release_input(nn_net *net, nn_tensor *t)
{
    if (t->op != &nn__input_op) return;
    nn__net_release(net, t->data);
    nn__net_release(net, t->labels);
}

NN_DEF void nn_net_destroy(nn_net *net)
{
    if (!net) return;
    nn__keep_cause(NN_OK);
    for (size_t i = 0; i < net->tensors.count; i++) nn__release_input(net, net->tensors.items[i]);
    nn__release_stores(net, net->stores);
    nn__release_stores(net, net->buffer_stores);
    nn_tensor **const lists[] = {net->tensors.items, net->parameters.items, net->buffers.items,
                                 net->plan.order.items, net->plan.inputs.items};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) nn__net_release(net, lists[i]);
    nn__net_release(net, net->trained_on);
    nn__aligned_release(net, net->data_block.memory);
    nn__aligned_release(net, net->grad_block.memory);
    while (net->chunks) {
        nn__chunk *next = net->chunks->next;
        nn__net_release(net, net->chunks);
        net->chunks = next;
    }
    net->allocator.release(net->allocator.user, net);
}

/* -- building -- */

/* All sources are there and of one network, which has no error yet: that network; else NULL. */
static nn_net *nn__net_of(const char *call, size_t count, nn_tensor *const *src)
{
    nn_net *net = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!src || !src[i]) {
            char what[40];
            snprintf(what, sizeof what, count == 1 ? "source" : "source %llu", (nn__ull)i);
            nn_status status = nn__fail_null(call, what);
            for (size_t j = 0; src && j < count; j++)
                if (src[j]) nn__net_failed(src[j]->net, status);
            return NULL;
        }
        if (net && src[i]->net != net) {
            nn__net_fail(net, NN_ERROR_MISMATCH,
                         "%s: sources 0 and %llu belong to different networks", call, (nn__ull)i);
            return NULL;
        }
        net = src[i]->net;
    }
    if (net && net->status != NN_OK) nn__net_failed(net, net->status);
    return net && net->status == NN_OK ? net : NULL;
}

/* The same for operations on values, which inputs of labels do not have. */
static nn_net *nn__common_net(const char *call, size_t count, nn_tensor *const *src)
{
    nn_net *net = nn__net_of(call, count, src);
    for (size_t i = 0; net && i < count; i++) {
        const nn__input *input = nn__as_input(src[i]);
        if (!input || !input->labels_per_row) continue;
        nn__net_fail(net, NN_ERROR_BAD_ARGUMENT,
                     "%s: source %llu is an input of labels, which only a loss or nn_custom reads",
                     call, (nn__ull)i);
        return NULL;
    }
    return net;
}

static nn_tensor *nn__bad_shapes(const char *call, const nn_tensor *a, const nn_tensor *b,
                                 const char *rule)
{
    char left[NN__SHAPE_TEXT], right[NN__SHAPE_TEXT];
    return nn__net_fail(a->net, NN_ERROR_BAD_SHAPE, "%s: shapes %s and %s; expected %s", call,
                        nn__tensor_shape(a, left), nn__tensor_shape(b, right), rule);
}

static nn_tensor *nn__bad_shape(const char *call, const nn_tensor *x, const char *rule)
{
    char text[NN__SHAPE_TEXT];
    return nn__net_fail(x->net, NN_ERROR_BAD_SHAPE, "%s: shape %s; expected %s", call,
                        nn__tensor_shape(x, text), rule);
}

static nn_tensor *nn__bad_argument(nn_net *net, const char *call, const char *member, double found,
                                   const char *expected)
{
    return nn__net_fail(net, NN_ERROR_BAD_ARGUMENT, "%s: %s is %g, expected %s", call, member,
                        found, expected);
}

/* The sizes of a new tensor's shape, where a batch counts as 1 for the time being. */
static nn_status nn__set_shape(nn_tensor *t, const char *call, int rank, const size_t *shape)
{
    size_t bytes;
    for (int i = 0; i < rank; i++) {
        t->shape[i] = t->batched && i == 0 ? 1 : shape[i];
        if (t->shape[i] == 0)
            return nn__fail(NN_ERROR_BAD_SHAPE, "%s: dimension %d is 0", call, i - t->batched);
    }
    t->rank = rank;
    if (!nn__shape_size(rank, t->shape, &t->row_size) ||
        !nn__multiply(t->row_size, sizeof(nn_real), &bytes))
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: the shape's product does not fit", call);
    t->size = t->row_size;
    if (t->batched) t->shape[0] = t->size = 0;
    return NN_OK;
}

/* The names a tensor goes by in messages of its builder: the public function. The user's own
   operations, which do not claim gradients, have one in common. */
static const char *nn__call(const nn_op *op, char text[64])
{
    const int is_custom = op->forward && !(op->flags & NN__OP_CLAIMS);
    snprintf(text, 64, "nn_%s", is_custom ? "custom" : op->name);
    return text;
}

/* `settings` of that size are zeroed, for the builder to fill; none for 0. */
static nn_tensor *nn__node_new(nn_net *net, const nn_op *op, size_t settings, size_t src_count,
                               nn_tensor *const *src, int batched, int rank, const size_t *shape)
{
    char call[64];
    if (!net || net->status != NN_OK) return net ? nn__net_failed(net, net->status) : NULL;
    if (rank > NN_MAX_RANK)
        return nn__net_fail(net, NN_ERROR_BAD_SHAPE, "%s: rank %d, at most %d is possible",
                            nn__call(op, call), rank, NN_MAX_RANK);
    nn_tensor *t = (nn_tensor *)nn__arena(net, 1, sizeof *t);
    if (t && settings) t->settings = nn__arena(net, 1, settings);
    if (t && src_count) t->src = (nn_tensor **)nn__arena(net, src_count, sizeof *t->src);
    if (!t || (settings && !t->settings) || (src_count && !t->src)) return nn__out_of_memory(net);
    t->op = op, t->name = "", t->net = net, t->batched = batched;
    t->learning_rate_scale = 1;
    for (size_t i = 0; i < src_count; i++) {
        t->src[i] = src[i];
        t->requires_grad |= src[i]->requires_grad;
    }
    t->src_count = src_count;
    if (!op->backward) t->requires_grad = 0;
    nn_status status = nn__set_shape(t, nn__call(op, call), rank, shape);
    if (status != NN_OK) return nn__net_failed(net, status);
    t->id = net->tensors.count;
    return nn__append(net, &net->tensors, t) ? t : nn__out_of_memory(net);
}

/* A node of one source with that source's shape. */
static nn_tensor *nn__node_like(nn_tensor *x, const nn_op *op, size_t settings)
{
    char call[64];
    nn_net *net = nn__common_net(nn__call(op, call), 1, &x);
    return net ? nn__node_new(net, op, settings, 1, &x, x->batched, x->rank, x->shape) : NULL;
}

/* An axis of a sample as an index of x->shape; -1 with an error when there is none such. */
static int nn__axis(const char *call, nn_tensor *x, int axis)
{
    const int count = x->rank - x->batched, from_start = axis < 0 ? axis + count : axis;
    if (from_start >= 0 && from_start < count) return from_start + x->batched;
    char text[NN__SHAPE_TEXT];
    if (count == 0)
        nn__net_fail(x->net, NN_ERROR_BAD_ARGUMENT, "%s: axis is %d, but shape %s has none", call,
                     axis, nn__tensor_shape(x, text));
    else
        nn__net_fail(x->net, NN_ERROR_BAD_ARGUMENT,
                     "%s: axis is %d, expected %d to %d for shape %s (the batch is not counted)",
                     call, axis, -count, count - 1, nn__tensor_shape(x, text));
    return -1;
}

/* rows * per_row items of `size` bytes; SIZE_MAX when that does not fit. */
static size_t nn__bytes(size_t rows, size_t per_row, size_t size)
{
    size_t items, bytes;
    return nn__multiply(rows, per_row, &items) && nn__multiply(items, size, &bytes) ? bytes
                                                                                    : SIZE_MAX;
}

static void nn__set_batch(nn_tensor *t, size_t batch)
{
    if (!t->batched) return;
    t->shape[0] = batch;
    t->size = batch * t->row_size; /* fits: room has been made for it */
}

/* A caller's tensor, and a network without an error. */
static nn_status nn__check_tensor(const char *call, const nn_tensor *t)
{
    if (!t) return nn__fail_null(call, "tensor");
    return t->net->status == NN_OK ? NN_OK : nn_net_status(t->net);
}

/* -- inputs -- */

static nn_tensor *nn__input_new(nn_net *net, const char *call, int rank, const size_t *shape)
{
    size_t full[NN_MAX_RANK] = {0};
    if (!net) {
        nn__fail_null(call, "network");
        return NULL;
    }
    if (rank < 0 || rank >= NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, call, "rank", rank, "0 to 7 and a shape");
    for (int i = 0; i < rank; i++) full[i + 1] = shape[i];
    return nn__node_new(net, &nn__input_op, sizeof(nn__input), 0, NULL, 1, rank + 1, full);
}

NN_DEF nn_tensor *nn_input_shape(nn_net *net, int rank, const size_t *shape)
{
    return nn__input_new(net, "nn_input_shape", rank, shape);
}

NN_DEF nn_tensor *nn_input(nn_net *net, size_t features)
{
    return nn__input_new(net, "nn_input", 1, &features);
}

NN_DEF nn_tensor *nn_input_labels(nn_net *net, int rank, const size_t *shape, int classes)
{
    nn_tensor *t = nn__input_new(net, "nn_input_labels", rank, shape);
    if (t && classes < 1)
        return nn__bad_argument(net, "nn_input_labels", "classes", classes, "at least 1");
    if (t) nn__as_input(t)->labels_per_row = t->row_size, nn__as_input(t)->classes = classes;
    return t;
}

static nn_tensor *nn__input_describe(nn_description *d, const nn_tensor *t)
{
    size_t shape[NN_MAX_RANK] = {0}, rank = 0;
    int classes = t ? nn__as_input(t)->classes : 0, requires_grad = t && t->requires_grad;
    for (int i = 1; t && i < t->rank; i++) shape[rank++] = t->shape[i];
    nn_describe_sizes(d, "shape", shape, &rank, NN_MAX_RANK - 1);
    nn_describe_int(d, "classes", &classes);
    nn_describe_int(d, "requires_grad", &requires_grad);
    if (t) return NULL;
    nn_tensor *made = classes ? nn_input_labels(d->net, (int)rank, shape, classes)
                              : nn_input_shape(d->net, (int)rank, shape);
    if (made) made->requires_grad = requires_grad != 0;
    return made;
}

/* A buffer of an input that keeps its content only until it has to grow. */
static nn_status nn__reserve(nn_net *net, void **buffer, size_t *capacity, size_t rows,
                             size_t row_bytes)
{
    size_t bytes;
    if (rows <= *capacity && *buffer) return NN_OK;
    if (!nn__multiply(rows, row_bytes, &bytes) || bytes > SIZE_MAX / 2)
        return nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu rows of %llu bytes",
                        (nn__ull)rows, (nn__ull)row_bytes);
    void *grown = nn__net_alloc(net, bytes ? bytes : 1);
    if (!grown) return NN_ERROR_OUT_OF_MEMORY;
    nn__net_release(net, *buffer);
    *buffer = grown;
    *capacity = rows;
    return NN_OK;
}

/* Room in an input for `rows` samples, which the caller then fills: reals, or labels. */
static nn_status nn__begin_feed(nn_tensor *t, size_t rows, int labels)
{
    nn__input *input = nn__as_input(t);
    void *buffer = labels ? (void *)t->labels : (void *)t->data;
    nn_status status =
        labels ? nn__reserve(t->net, &buffer, &input->label_capacity, rows,
                             nn__bytes(1, input->labels_per_row, sizeof *t->labels))
               : nn__reserve(t->net, &buffer, &input->capacity, rows,
                             nn__bytes(1, t->row_size, sizeof *t->data));
    if (labels) t->labels = (int *)buffer;
    else t->data = (nn_real *)buffer;
    if (status != NN_OK) return status;
    t->net->ran = NULL;
    if (rows > t->net->laid_rows) t->net->laid_count = 0; /* there is room for fewer */
    input->rows = rows;
    input->has_labels = labels;
    nn__set_batch(t, rows);
    return NN_OK;
}

/* A feed's tensor, array and row count. */
static nn_status nn__check_feed(const char *call, const nn_tensor *t, const void *data, size_t rows)
{
    nn_status status = nn__check_tensor(call, t);
    if (status != NN_OK) return status;
    if (!data) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the data is NULL", call);
    if (rows == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: 0 rows, expected at least 1", call);
    return NN_OK;
}

NN_DEF nn_status nn_feed(nn_tensor *input, const nn_real *data, size_t rows)
{
    nn_status status = nn__check_feed("nn_feed", input, data, rows);
    if (status != NN_OK) return status;
    const nn__input *own = nn__as_input(input);
    if (!own || own->loss)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_feed: tensor %llu is '%s', expected an input%s",
                        (nn__ull)input->id, input->op->name,
                        own ? " that no loss has made: nn_feed_targets" : "");
    if (own->classes)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_feed: input %llu takes labels: nn_feed_labels", (nn__ull)input->id);
    status = nn__begin_feed(input, rows, 0);
    if (status == NN_OK) memcpy(input->data, data, input->size * sizeof *data);
    return status;
}

/* -- parameters and buffers -- */

static int nn__is_state(const nn_tensor *t)
{
    return t->op == &nn__parameter_op || t->op == &nn__buffer_op;
}

static nn_status nn__check_state(const char *call, const nn_tensor *t)
{
    nn_status status = nn__check_tensor(call, t);
    if (status == NN_OK && !nn__is_state(t))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "%s: tensor %llu is '%s', expected a parameter or a buffer", call,
                          (nn__ull)t->id, t->op->name);
    return status == NN_OK ? nn__check_own(call, t->net) : status;
}

NN_DEF nn_status nn_initialize(nn_tensor *leaf, nn_init init)
{
    nn_status status = nn__check_state("nn_initialize", leaf);
    if (status == NN_OK) status = nn__check_init("nn_initialize", "init", &init, leaf->rank);
    return status == NN_OK ? nn__draw_all(leaf, &init) : status;
}

static nn_tensor *nn__state_new(nn_net *net, const nn_op *op, int rank, const size_t *shape,
                                const nn_init *init, const char *name)
{
    char call[64];
    const int is_parameter = op == &nn__parameter_op;
    nn__call(op, call);
    if (!net) {
        nn__fail_null(call, "network");
        return NULL;
    }
    if (rank < 0 || rank > NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, call, "rank", rank, "0 to 8 and a shape");
    nn_status status = nn__check_init(call, "init", init, rank);
    if (status != NN_OK) return nn__net_failed(net, status);
    nn_tensor *t = nn__node_new(net, op, 0, 0, NULL, 0, rank, shape);
    if (!t) return NULL;
    t->requires_grad = is_parameter;
    if (!nn__store_leaf(net, is_parameter ? &net->stores : &net->buffer_stores, t) ||
        !nn__append(net, is_parameter ? &net->parameters : &net->buffers, t))
        return nn__out_of_memory(net);
    if (name && !nn__name(call, t, name)) return NULL;
    status = net->lent ? NN_OK : nn__draw_all(t, init);
    return status == NN_OK ? t : nn__net_failed(net, status);
}

NN_DEF nn_tensor *nn_parameter(nn_net *net, int rank, const size_t *shape, nn_init init,
                               const char *name)
{
    return nn__state_new(net, &nn__parameter_op, rank, shape, &init, name);
}

NN_DEF nn_tensor *nn_buffer(nn_net *net, int rank, const size_t *shape, nn_init init,
                            const char *name)
{
    return nn__state_new(net, &nn__buffer_op, rank, shape, &init, name);
}

/* Of parameters and buffers; the values are a tensor of the file. */
static nn_tensor *nn__state_describe(nn_description *d, const nn_tensor *t)
{
    size_t shape[NN_MAX_RANK] = {0}, rank = t ? (size_t)t->rank : 0;
    int frozen = t && t->frozen, no_decay = t && t->no_decay;
    double scale = t ? t->learning_rate_scale - 1 : 0, rest = t ? t->learning_rate_scale : 0;
    const nn_init zero = nn__init_make(NN_INIT_ZERO, 0, 0);
    if (t) memcpy(shape, t->shape, rank * sizeof *shape);
    if (scale == 0) rest = 0; /* 1 is the default */
    nn_describe_sizes(d, "shape", shape, &rank, NN_MAX_RANK);
    nn_describe_int(d, "frozen", &frozen);
    nn_describe_int(d, "no_decay", &no_decay);
    nn_describe_real(d, "learning_rate_scale", &rest);
    if (t) return NULL;
    nn_tensor *made = nn__state_new(d->net, d->op, (int)rank, shape, &zero, NULL);
    if (!made) return NULL;
    made->frozen = frozen != 0, made->no_decay = no_decay != 0;
    if (rest != 0) made->learning_rate_scale = rest;
    return made;
}

/* --------------------------------------------------------------------------------------- >>run
   The layout gives every tensor its memory for a batch, a plan lists what a target depends on, then
   one pass up the list computes values and one down it gradients. While network, target and batch
   stay the same a run goes straight through the list.

   With x -> dense(W, b) -> loss(answer), in the order of their making:

       tensor      x      W, b     dense         answer   loss
       values      its    store    data_block    its      data_block     (its: grown by nn_feed)
       gradients   -      store    grad_block    -        grad_block     (x: if requires_grad)
       forward                     1                      2
       backward           2        2 <---------------------- 1 starts with d loss / d loss = 1

   Backpropagation is the chain rule, one operation at a time: when it is an operation's turn, its
   own gradient is complete, since all that depends on it was made later and has had its turn; it
   then adds its part to the gradients of its sources (Rumelhart, Hinton and Williams 1986). */

/* A tensor's values, or so many others of that size, for a batch of `rows`. */
static size_t nn__tensor_bytes(const nn_tensor *t, size_t rows)
{
    return nn__bytes(t->batched ? rows : 1, t->row_size, sizeof(nn_real));
}

/* Where the next piece of a block goes: counts only while base is NULL. */
typedef struct nn__layout {
    char *base;
    size_t rows, bytes;
    int overflow;
} nn__layout;

static void *nn__lay(nn__layout *layout, size_t bytes)
{
    const size_t at = layout->bytes;
    if (bytes == 0) return NULL;
    if (bytes > SIZE_MAX / 2 - NN__ALIGN - at) {
        layout->overflow = 1;
        return NULL;
    }
    layout->bytes = at + nn__round_up(bytes, NN__ALIGN);
    return layout->base ? layout->base + at : NULL;
}

static void nn__lay_data(nn_net *net, nn__layout *layout)
{
    size_t workspace = 0;
    for (size_t i = 0; i < net->tensors.count; i++) {
        nn_tensor *t = net->tensors.items[i];
        if (nn__is_leaf(t)) continue;
        t->state &= ~(unsigned)NN__PLANNED;
        t->data = (nn_real *)nn__lay(layout, nn__tensor_bytes(t, layout->rows));
        t->saved = t->op->saved ? nn__lay(layout, t->op->saved(t, layout->rows)) : NULL;
        if (t->op->scratch) workspace = nn__max_size(workspace, t->op->scratch(t, layout->rows));
    }
    net->workspace = nn__lay(layout, workspace);
}

static void nn__lay_grads(nn_net *net, nn__layout *layout)
{
    size_t largest = 0;
    for (size_t i = 0; i < net->tensors.count; i++) {
        nn_tensor *t = net->tensors.items[i];
        const size_t bytes = nn__tensor_bytes(t, layout->rows);
        t->state &= ~(unsigned)NN__LAID_GRAD;
        if (t->requires_grad) t->state |= NN__LAID_GRAD;
        if (t->requires_grad) largest = nn__max_size(largest, bytes);
        if (t->op == &nn__parameter_op) continue;
        t->grad = t->requires_grad ? (nn_real *)nn__lay(layout, bytes) : NULL;
    }
    net->gradient_workspace = (nn_real *)nn__lay(layout, largest);
}

/* Measures with `lay`, makes room in the block, and lays out for good. A block only grows. */
static nn_status nn__lay_block(nn_net *net, nn__block *block, size_t rows,
                               void (*lay)(nn_net *, nn__layout *))
{
    nn__layout layout = {NULL, 0, 0, 0};
    layout.rows = rows;
    lay(net, &layout);
    if (layout.overflow)
        return nn__fail(NN_ERROR_OUT_OF_MEMORY,
                        "out of memory: a batch of %llu exceeds the address space", (nn__ull)rows);
    if (layout.bytes > block->bytes) {
        void *memory = nn__aligned_alloc(net, layout.bytes);
        if (!memory) return NN_ERROR_OUT_OF_MEMORY;
        nn__aligned_release(net, block->memory);
        block->memory = memory;
        block->bytes = layout.bytes;
    }
    layout.base = (char *)block->memory;
    layout.bytes = 0;
    lay(net, &layout);
    return NN_OK;
}

/* Room for the values of all tensors at this batch, and at what other inputs have been fed. */
static nn_status nn__plan_data(nn_net *net, size_t batch)
{
    size_t rows = nn__max_size(batch, net->laid_rows);
    for (size_t i = 0; i < net->tensors.count; i++) {
        const nn__input *input = nn__as_input(net->tensors.items[i]);
        if (input) rows = nn__max_size(rows, input->rows);
    }
    if (net->laid_count == net->tensors.count && net->laid_rows == rows) return NN_OK;
    net->laid_count = 0; /* until it has succeeded */
    nn_status status = nn__lay_block(net, &net->data_block, rows, nn__lay_data);
    if (status == NN_OK) net->laid_count = net->tensors.count, net->laid_rows = rows;
    return status;
}

/* A user may have switched an input's requires_grad: what depends on it follows. Returns whether
   the gradients are laid out for other tensors than those that want one now. */
static int nn__spread_requires_grad(nn_net *net)
{
    int changed = 0;
    for (size_t i = 0; i < net->tensors.count; i++) {
        nn_tensor *t = net->tensors.items[i];
        if (!nn__is_leaf(t)) {
            t->requires_grad = 0;
            for (size_t j = 0; t->op->backward && j < t->src_count; j++)
                t->requires_grad |= t->src[j]->requires_grad;
        }
        changed |= !t->requires_grad != !(t->state & NN__LAID_GRAD);
    }
    return changed;
}

/* Room for gradients, with zeros where the present plan will not write. */
static nn_status nn__plan_grads(nn_net *net, int add)
{
    nn__plan *plan = &net->plan;
    int is_same = plan->grads_are_laid;
    for (size_t i = 0; is_same && i < plan->inputs.count; i++) {
        const nn_tensor *t = plan->inputs.items[i];
        is_same = !t->requires_grad == !(t->state & NN__LAID_GRAD);
    }
    if (is_same) return NN_OK;
    nn_status status = NN_OK;
    if (nn__spread_requires_grad(net) || net->grad_count != net->tensors.count ||
        net->grad_rows != net->laid_rows) {
        net->grad_count = 0;
        status = nn__store_grads(net);
        if (status == NN_OK)
            status = nn__lay_block(net, &net->grad_block, net->laid_rows, nn__lay_grads);
        if (status != NN_OK) return status;
        net->grad_count = net->tensors.count, net->grad_rows = net->laid_rows;
    }
    for (size_t i = 0; i < net->tensors.count; i++) {
        const nn_tensor *t = net->tensors.items[i];
        const int is_kept = add && t->op == &nn__parameter_op;
        if (t->grad && !(t->state & NN__NEEDED) && !is_kept)
            memset(t->grad, 0, t->size * sizeof *t->grad);
    }
    plan->grads_are_laid = !add;
    return NN_OK;
}

/* -- the plan: what a target depends on -- */

/* What an input that was not fed lacks. */
static nn_status nn__fail_unfed(const nn_tensor *t)
{
    const nn__input *input = nn__as_input(t);
    if (!input->loss)
        return nn__fail(NN_ERROR_EMPTY, "nn_forward: input %llu has not been fed", (nn__ull)t->id);
    return nn__fail(NN_ERROR_EMPTY, "nn_forward: nn_%s: no %s have been fed", input->loss->op->name,
                    t != input->loss->src[1] ? "weights"
                    : input->labels_per_row  ? "labels"
                                             : "targets");
}

/* All inputs of the plan were fed, and the same number of rows: the user's own are asked first,
   then what losses compare with. */
static nn_status nn__check_fed(const nn__plan *plan, size_t *batch)
{
    const nn_tensor *first = NULL;
    for (int answers = 0; answers < 2; answers++)
        for (size_t i = 0; i < plan->inputs.count; i++) {
            const nn_tensor *t = plan->inputs.items[i];
            const nn__input *input = nn__as_input(t);
            if ((input->loss != NULL) != answers) continue;
            if (input->rows == 0) return nn__fail_unfed(t);
            if (!first) first = t;
            *batch = nn__as_input(first)->rows;
            if (input->rows == *batch) continue;
            if (!answers)
                return nn__fail(NN_ERROR_MISMATCH,
                                "nn_forward: input %llu was fed %llu rows, input %llu %llu",
                                (nn__ull)first->id, (nn__ull)*batch, (nn__ull)t->id,
                                (nn__ull)input->rows);
            return nn__fail(NN_ERROR_MISMATCH, "nn_forward: nn_%s: %llu %s for a batch of %llu",
                            input->loss->op->name, (nn__ull)input->rows,
                            t != input->loss->src[1] ? "weights"
                            : input->has_labels      ? "labels"
                                                     : "rows of targets",
                            (nn__ull)*batch);
        }
    return NN_OK;
}

/* Lists what t depends on. */
static nn_status nn__list_needed(nn_tensor *t)
{
    nn_net *net = t->net;
    nn__plan *plan = &net->plan;
    plan->target = NULL;
    plan->order.count = plan->inputs.count = 0;
    plan->grads_are_laid = 0;
    plan->training_op = NULL;
    for (size_t i = 0; i < net->tensors.count; i++)
        net->tensors.items[i]->state &= ~(unsigned)NN__NEEDED;
    t->state |= NN__NEEDED;
    for (size_t i = t->id + 1; i-- > 0;) {
        const nn_tensor *s = net->tensors.items[i];
        for (size_t j = 0; (s->state & NN__NEEDED) && j < s->src_count; j++)
            s->src[j]->state |= NN__NEEDED;
    }
    for (size_t i = 0; i <= t->id; i++) {
        nn_tensor *s = net->tensors.items[i];
        if (!(s->state & NN__NEEDED)) continue;
        if (s->op->flags & NN_OP_TRAINING) plan->training_op = s->op;
        if (!nn__append(net, &plan->order, s)) return NN_ERROR_OUT_OF_MEMORY;
        if (nn__as_input(s) && !nn__append(net, &plan->inputs, s)) return NN_ERROR_OUT_OF_MEMORY;
    }
    return NN_OK;
}

static int nn__plan_holds(const nn_net *net, const nn_tensor *t)
{
    const nn__plan *plan = &net->plan;
    if (plan->target != t || net->laid_count != net->tensors.count) return 0;
    for (size_t i = 0; i < plan->inputs.count; i++)
        if (nn__as_input(plan->inputs.items[i])->rows != plan->batch) return 0;
    return 1;
}

static nn_status nn__make_plan(nn_tensor *t)
{
    nn_net *net = t->net;
    nn__plan *plan = &net->plan;
    size_t batch = 0;
    nn_status status = nn__list_needed(t);
    if (status == NN_OK) status = nn__check_fed(plan, &batch);
    if (status == NN_OK) status = nn__plan_data(net, batch);
    if (status != NN_OK) return status;
    for (size_t i = 0; i < plan->order.count; i++) {
        plan->order.items[i]->state |= NN__PLANNED;
        nn__set_batch(plan->order.items[i], batch);
    }
    plan->target = t;
    plan->batch = batch;
    return NN_OK;
}

/* -- running -- */

NN_DEF nn_status nn_forward(nn_tensor *t)
{
    nn_status status = nn__check_tensor("nn_forward", t);
    if (status != NN_OK) return status;
    nn_net *net = t->net;
    net->ran = NULL;
    if (net->mode == NN__MODE_TRAINING) status = nn__check_own("nn_forward in training", net);
    if (status == NN_OK && !nn__plan_holds(net, t)) status = nn__make_plan(t);
    const nn__list *order = &net->plan.order;
    for (size_t i = 0; status == NN_OK && i < order->count; i++) {
        nn_tensor *s = order->items[i];
        if (!nn__is_leaf(s)) status = s->op->forward(s);
        if (nn__is_scalar(s) && !(s->op->flags & NN_OP_VALUE)) s->value = (double)s->data[0];
    }
    if (status == NN_OK) net->ran = t;
    return status;
}

/* The user's operations add to gradients that begin at zero. */
static void nn__zero_source_grads(nn_tensor *t)
{
    for (size_t i = 0; i < t->src_count; i++) {
        nn_tensor *x = t->src[i];
        if (x->grad && !nn__has_grad(x)) memset(x->grad, 0, x->size * sizeof *x->grad);
        x->written = x->net->passes;
    }
}

static nn_status nn__check_backward(const nn_tensor *loss)
{
    nn_status status = nn__check_tensor("nn_backward", loss);
    if (status != NN_OK) return status;
    const nn_net *net = loss->net;
    status = nn__check_own("nn_backward", net);
    if (status != NN_OK) return status;
    if (!nn__is_scalar(loss))
        return nn__fail(NN_ERROR_BAD_SHAPE, "nn_backward: tensor %llu, '%s', is no scalar",
                        (nn__ull)loss->id, loss->op->name);
    if (net->ran != loss)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_backward: call nn_forward on tensor %llu first",
                        (nn__ull)loss->id);
    if (net->mode == NN__MODE_OPEN && net->plan.training_op)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_backward: %s ran as it does outside training: call "
                        "nn_net_set_training(net, 1) before a training loop, or (net, 0) if that "
                        "is meant",
                        net->plan.training_op->name);
    return NN_OK;
}

static nn_status nn__backward(nn_tensor *loss, int add)
{
    nn_status status = nn__check_backward(loss);
    if (status == NN_OK) status = nn__plan_grads(loss->net, add);
    if (status != NN_OK) return status;
    nn_net *net = loss->net;
    net->passes++;
    net->adds = add;
    if (loss->grad) loss->grad[0] = (nn__has_grad(loss) ? loss->grad[0] : 0) + 1;
    loss->written = net->passes;
    for (size_t i = net->plan.order.count; status == NN_OK && i-- > 0;) {
        nn_tensor *t = net->plan.order.items[i];
        if (!t->grad) continue;
        if (!nn__has_grad(t)) memset(t->grad, 0, t->size * sizeof *t->grad);
        else if (!nn__is_leaf(t)) {
            if (!(t->op->flags & NN__OP_CLAIMS)) nn__zero_source_grads(t);
            status = t->op->backward(t);
        }
    }
    return status;
}

NN_DEF nn_status nn_backward(nn_tensor *loss) { return nn__backward(loss, 0); }
NN_DEF nn_status nn_backward_add(nn_tensor *loss) { return nn__backward(loss, 1); }

NN_DEF void *nn_scratch(const nn_tensor *t) { return t->net->workspace; }

/* A backward pass overwrites a gradient that nobody has written yet and adds to one that somebody
   has. x's gradient, NULL when none is wanted; *accumulate says whether to add. */
static nn_real *nn__claim_gradient(nn_tensor *x, int *accumulate)
{
    if (!x->requires_grad) return NULL;
    *accumulate = nn__has_grad(x);
    x->written = x->net->passes;
    return x->grad;
}

/* Where to write all of dX at once, for those that cannot add; NULL when none is wanted. */
static nn_real *nn__gradient_buffer(nn_tensor *x)
{
    if (!x->requires_grad) return NULL;
    return nn__has_grad(x) ? x->net->gradient_workspace : x->grad;
}

/* After writing nn__gradient_buffer(x). */
static void nn__gradient_done(nn_tensor *x)
{
    if (nn__has_grad(x)) nn__k()->add(x->size, x->grad, x->net->gradient_workspace, x->grad);
    x->written = x->net->passes;
}

/* dX += s dY, or dX = s dY */
static void nn__pass_gradient(nn_tensor *x, double s, const nn_real *dy)
{
    int accumulate;
    nn_real *dx = nn__claim_gradient(x, &accumulate);
    if (!dx) return;
    if (accumulate) nn__k()->axpy(x->size, (nn_real)s, dy, dx);
    else nn__k()->scale(x->size, (nn_real)s, dy, dx);
}

/* -- values of tensors -- */

static nn_status nn__check_values(const char *call, const nn_tensor *t, const nn_real *values,
                                  size_t count)
{
    if (!values) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the values are NULL", call);
    if (count != t->size)
        return nn__fail(NN_ERROR_BAD_SHAPE, "%s: %llu values, tensor %llu '%s' has %llu", call,
                        (nn__ull)count, (nn__ull)t->id, t->name, (nn__ull)t->size);
    return NN_OK;
}

NN_DEF nn_status nn_set_values(nn_tensor *leaf, const nn_real *values, size_t count)
{
    nn_status status = nn__check_state("nn_set_values", leaf);
    if (status == NN_OK) status = nn__check_values("nn_set_values", leaf, values, count);
    if (status == NN_OK) memcpy(leaf->data, values, count * sizeof *values);
    return status;
}

/* Values that were fed, drawn or computed: not labels, and not room that is still to be filled. */
static int nn__has_values(const nn_tensor *t)
{
    const nn__input *input = nn__as_input(t);
    if (input) return input->rows > 0 && !input->has_labels;
    return nn__is_state(t) || (t->state & NN__PLANNED);
}

NN_DEF nn_status nn_get_values(const nn_tensor *t, nn_real *values, size_t count)
{
    nn_status status = nn__check_tensor("nn_get_values", t);
    if (status == NN_OK && !nn__has_values(t))
        status = nn__fail(NN_ERROR_EMPTY, "nn_get_values: tensor %llu '%s' has no values yet",
                          (nn__ull)t->id, t->name);
    if (status == NN_OK) status = nn__check_values("nn_get_values", t, values, count);
    if (status == NN_OK) memcpy(values, t->data, count * sizeof *values);
    return status;
}

/* -------------------------------------------------------------------------------- >>arithmetic
   Operations by element. One block per operation, from the formula to the builder; dX means
   d loss / dX. Where an operand was repeated by broadcasting, each of its values has moved several
   results, so its gradient is the sum of theirs.

   To add an operation: such a block, its prototype, a row in tests/test_ops.c. */

/* How two operands are repeated to fill a result: the result's dimensions, batch first, and by how
   much each operand moves on along them, 0 where it is repeated. Neighbouring dimensions are joined
   where both operands allow it, so that the last one is a long run. */
typedef struct nn__broadcast {
    int rank;
    size_t dim[NN_MAX_RANK + 1], a[NN_MAX_RANK + 1], b[NN_MAX_RANK + 1];
    int batched; /* dim[0] is to be multiplied by the batch */
} nn__broadcast;

/* An operand's dimensions as they are broadcast: of one sample. */
typedef struct nn__operand {
    int batched, rank;
    const size_t *dim;
} nn__operand;

static nn__operand nn__as_operand(const nn_tensor *t)
{
    nn__operand x;
    x.batched = t->batched, x.rank = t->rank - t->batched, x.dim = t->shape + t->batched;
    return x;
}

/* The dimension `from_end` places before the last; 1 where there is none. */
static size_t nn__dim_from_end(const nn__operand *x, int from_end)
{
    return from_end < x->rank ? x->dim[x->rank - 1 - from_end] : 1;
}

/* Puts a dimension in front of those that are there, or joins it with the first: [32, 4, 10] + [10]
   becomes 128 runs of 10, and two operands of one shape become a single run. */
static void nn__broadcast_push(nn__broadcast *s, size_t dim, size_t a, size_t b)
{
    if (s->rank && a == s->a[0] * s->dim[0] && b == s->b[0] * s->dim[0]) {
        s->dim[0] *= dim;
        return;
    }
    memmove(s->dim + 1, s->dim, (size_t)s->rank * sizeof *s->dim);
    memmove(s->a + 1, s->a, (size_t)s->rank * sizeof *s->a);
    memmove(s->b + 1, s->b, (size_t)s->rank * sizeof *s->b);
    s->dim[0] = dim, s->a[0] = a, s->b[0] = b;
    s->rank++;
}

/* Fills s and the result's dimensions, of one sample; the rank, -1 when the shapes do not fit. */
static int nn__broadcast_make(nn__broadcast *s, nn__operand a, nn__operand b, size_t *out)
{
    const int rank = a.rank > b.rank ? a.rank : b.rank;
    size_t step_a = 1, step_b = 1;
    memset(s, 0, sizeof *s);
    for (int i = 0; i < rank; i++) {
        const size_t da = nn__dim_from_end(&a, i), db = nn__dim_from_end(&b, i);
        if (da != db && da != 1 && db != 1) return -1;
        out[rank - 1 - i] = da > db ? da : db;
        if (out[rank - 1 - i] != 1)
            nn__broadcast_push(s, out[rank - 1 - i], da > 1 ? step_a : 0, db > 1 ? step_b : 0);
        step_a *= da, step_b *= db;
    }
    s->batched = a.batched || b.batched;
    if (s->batched) nn__broadcast_push(s, 1, a.batched ? step_a : 0, b.batched ? step_b : 0);
    if (s->rank == 0) nn__broadcast_push(s, 1, 1, 1);
    return rank;
}

/* A walk over the runs of a broadcast: n elements from y in the result, from a and b in the
   operands. */
typedef struct nn__walk {
    const nn__broadcast *s;
    size_t rows, n, y, a, b, index[NN_MAX_RANK + 1];
} nn__walk;

static size_t nn__walk_dim(const nn__walk *w, int i)
{
    return i == 0 && w->s->batched ? w->rows * w->s->dim[0] : w->s->dim[i];
}

static nn__walk nn__walk_begin(const nn__broadcast *s, size_t rows)
{
    nn__walk w;
    memset(&w, 0, sizeof w);
    w.s = s, w.rows = rows;
    w.n = nn__walk_dim(&w, s->rank - 1);
    return w;
}

/* On to the next run; 0 after the last. */
static int nn__walk_next(nn__walk *w)
{
    w->y += w->n;
    for (int i = w->s->rank - 2; i >= 0; i--) {
        w->a += w->s->a[i], w->b += w->s->b[i];
        if (++w->index[i] < nn__walk_dim(w, i)) return 1;
        w->a -= w->index[i] * w->s->a[i], w->b -= w->index[i] * w->s->b[i];
        w->index[i] = 0;
    }
    return 0;
}

static size_t nn__rows(const nn_tensor *t) { return t->batched ? t->shape[0] : 1; }

/* -- two operands -- */

enum { NN__PIECE = 256 }; /* elements that are dealt with at once where values must be repeated */

typedef struct nn__binary {
    nn_op op;
    void (*value)(size_t n, const nn_real *a, const nn_real *b, nn_real *y);
    double (*number)(double a, double b); /* the same for scalars, which are kept in double */
    /* g = dY times the slope by A (side 0) or by B (side 1) */
    void (*slope)(int side, size_t n, const nn_real *a, const nn_real *b, const nn_real *y,
                  const nn_real *dy, nn_real *g);
} nn__binary;

/* An operand's n values from x on: as they lie, or one of them repeated in `space`. */
static const nn_real *nn__repeat(const nn_real *x, size_t step, size_t n, nn_real space[NN__PIECE])
{
    if (step) return x;
    for (size_t i = 0; i < n; i++) space[i] = *x;
    return space;
}

static nn_status nn__binary_forward(nn_tensor *t)
{
    const nn__binary *op = (const nn__binary *)(const void *)t->op;
    const nn__broadcast *s = (const nn__broadcast *)t->settings;
    const nn_tensor *a = t->src[0], *b = t->src[1];
    const size_t step_a = s->a[s->rank - 1], step_b = s->b[s->rank - 1];
    nn_real space_a[NN__PIECE], space_b[NN__PIECE];
    if (nn__is_scalar(t)) {
        t->value = op->number(a->value, b->value);
        t->data[0] = (nn_real)t->value;
        return NN_OK;
    }
    nn__walk w = nn__walk_begin(s, nn__rows(t));
    do {
        const size_t piece = step_a && step_b ? w.n : (size_t)NN__PIECE;
        for (size_t i = 0; i < w.n; i += piece) {
            const size_t n = nn__min_size(piece, w.n - i);
            op->value(n, nn__repeat(a->data + w.a + i * step_a, step_a, n, space_a),
                      nn__repeat(b->data + w.b + i * step_b, step_b, n, space_b),
                      t->data + w.y + i);
        }
    } while (nn__walk_next(&w));
    return NN_OK;
}

/* dX (+)= the slope times dY, summed where X was repeated. */
static void nn__binary_slope(nn_tensor *t, int side)
{
    const nn__binary *op = (const nn__binary *)(const void *)t->op;
    const nn__broadcast *s = (const nn__broadcast *)t->settings;
    const nn_tensor *a = t->src[0], *b = t->src[1];
    nn_tensor *x = t->src[side];
    const size_t step_a = s->a[s->rank - 1], step_b = s->b[s->rank - 1];
    nn_real space_a[NN__PIECE], space_b[NN__PIECE], g[NN__PIECE];
    int accumulate;
    nn_real *dx = nn__claim_gradient(x, &accumulate);
    if (!dx) return;
    const int repeated = x->size != t->size;
    if (repeated && !accumulate) memset(dx, 0, x->size * sizeof *dx);
    nn__walk w = nn__walk_begin(s, nn__rows(t));
    do {
        for (size_t i = 0; i < w.n; i += NN__PIECE) {
            const size_t n = nn__min_size(NN__PIECE, w.n - i);
            op->slope(side, n, nn__repeat(a->data + w.a + i * step_a, step_a, n, space_a),
                      nn__repeat(b->data + w.b + i * step_b, step_b, n, space_b),
                      t->data + w.y + i, t->grad + w.y + i, g);
            nn_real *to = dx + (side ? w.b + i * step_b : w.a + i * step_a);
            if (!(side ? step_b : step_a)) *to += nn__k()->sum(n, g);
            else if (repeated || accumulate) nn__k()->add(n, to, g, to);
            else memcpy(to, g, n * sizeof *g);
        }
    } while (nn__walk_next(&w));
}

static nn_status nn__binary_backward(nn_tensor *t)
{
    nn__binary_slope(t, 0);
    nn__binary_slope(t, 1);
    return NN_OK;
}

static nn_tensor *nn__binary_new(const nn_op *op, nn_tensor *a, nn_tensor *b)
{
    nn_tensor *src[2] = {a, b};
    char call[64];
    nn__broadcast s;
    size_t shape[NN_MAX_RANK + 1] = {0};
    nn_net *net = nn__common_net(nn__call(op, call), 2, src);
    if (!net) return NULL;
    const int rank = nn__broadcast_make(&s, nn__as_operand(a), nn__as_operand(b),
                                        shape + (a->batched | b->batched));
    if (rank < 0)
        return nn__bad_shapes(call, a, b, "dimensions that are equal, or 1, from the last one on");
    nn_tensor *t = nn__node_new(net, op, sizeof s, 2, src, s.batched, rank + s.batched, shape);
    if (t) *(nn__broadcast *)t->settings = s;
    return t;
}

static nn_tensor *nn__binary_describe(nn_description *d, const nn_tensor *t)
{
    return t ? NULL : nn__binary_new(d->op, nn_describe_source(d, 0), nn_describe_source(d, 1));
}

/* An operation, its slopes by A and by B, and its builder, from the formulas for one element. */
#define NN__BINARY(name, formula, slope_a, slope_b)                                                \
    static double nn__##name##_number(double a, double b) { return formula; }                      \
    static void nn__##name##_value(size_t n, const nn_real *va, const nn_real *vb, nn_real *vy)    \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const nn_real a = va[i], b = vb[i];                                                    \
            vy[i] = formula;                                                                       \
        }                                                                                          \
    }                                                                                              \
    static void nn__##name##_slope(int side, size_t n, const nn_real *va, const nn_real *vb,       \
                                   const nn_real *vy, const nn_real *vdy, nn_real *g)              \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const nn_real a = va[i], b = vb[i], y = vy[i], dy = vdy[i];                            \
            (void)a, (void)b, (void)y;                                                             \
            g[i] = side ? (slope_b) : (slope_a);                                                   \
        }                                                                                          \
    }                                                                                              \
    static const nn__binary nn__##name = {                                                         \
        {#name, nn__binary_forward, nn__binary_backward, NULL, NULL, NN_OP_VALUE | NN__OP_CLAIMS, \
         nn__binary_describe},                                                                     \
        nn__##name##_value, nn__##name##_number, nn__##name##_slope};                              \
    NN_DEF nn_tensor *nn_##name(nn_tensor *a, nn_tensor *b)                                        \
    {                                                                                              \
        return nn__binary_new(&nn__##name.op, a, b);                                               \
    }

/* At a tie each gets half; NaN when one of them is. */
#define NN__LARGER(a, b) ((a) >= (b) || (a) != (a) ? (a) : (b))
#define NN__SMALLER(a, b) ((a) <= (b) || (a) != (a) ? (a) : (b))
#define NN__SHARE(x) ((x) != y ? 0 : a == b ? dy / 2 : dy)

/*         y =                      da =          db = */
NN__BINARY(add, a + b,              dy,           dy)
NN__BINARY(sub, a - b,              dy,           -dy)
NN__BINARY(mul, a *b,               dy *b,        dy *a)
NN__BINARY(div, a / b,              dy / b,       -dy * y / b)
NN__BINARY(maximum, NN__LARGER(a, b),  NN__SHARE(a), NN__SHARE(b))
NN__BINARY(minimum, NN__SMALLER(a, b), NN__SHARE(a), NN__SHARE(b))

/* -- one operand -- */

typedef struct nn__numbers {
    double a, b;
} nn__numbers;

typedef struct nn__unary {
    nn_op op;
    void (*value)(const nn__numbers *s, size_t n, const nn_real *x, nn_real *y);
    void (*slope)(const nn__numbers *s, size_t n, const nn_real *x, const nn_real *y,
                  const nn_real *dy, nn_real *dx);
} nn__unary;

static nn_status nn__unary_forward(nn_tensor *t)
{
    const nn__unary *op = (const nn__unary *)(const void *)t->op;
    op->value((const nn__numbers *)t->settings, t->size, t->src[0]->data, t->data);
    return NN_OK;
}

static nn_status nn__unary_backward(nn_tensor *t)
{
    const nn__unary *op = (const nn__unary *)(const void *)t->op;
    nn_tensor *x = t->src[0];
    op->slope((const nn__numbers *)t->settings, t->size, x->data, t->data, t->grad,
              nn__gradient_buffer(x));
    nn__gradient_done(x);
    return NN_OK;
}

static nn_tensor *nn__unary_new(const nn__unary *op, nn_tensor *x, double a, double b)
{
    nn_tensor *t = nn__node_like(x, &op->op, sizeof(nn__numbers));
    nn__numbers *s = t ? (nn__numbers *)t->settings : NULL;
    if (s) s->a = a, s->b = b;
    return t;
}

static nn_tensor *nn__unary_describe(nn_description *d, const nn_tensor *t)
{
    return t ? NULL : nn__unary_new((const nn__unary *)(const void *)d->op,
                                    nn_describe_source(d, 0), 0, 0);
}

/* The first number of t, to be described under `key`; a file's when t is NULL. */
static double nn__described(nn_description *d, const nn_tensor *t, const char *key, int second)
{
    const nn__numbers *s = t ? (const nn__numbers *)t->settings : NULL;
    double number = !s ? 0 : second ? s->b : s->a;
    nn_describe_real(d, key, &number);
    return number;
}

static nn_tensor *nn__pow_describe(nn_description *d, const nn_tensor *t)
{
    const double exponent = nn__described(d, t, "exponent", 0);
    return t ? NULL : nn_pow(nn_describe_source(d, 0), exponent);
}

static nn_tensor *nn__clamp_describe(nn_description *d, const nn_tensor *t)
{
    const double low = nn__described(d, t, "low", 0), high = nn__described(d, t, "high", 1);
    return t ? NULL : nn_clamp(nn_describe_source(d, 0), low, high);
}

/* An operation with up to two numbers, s->a and s->b, from the formulas for one element. */
#define NN__UNARY(name, formula, slope_x, describe)                                                \
    static void nn__##name##_value(const nn__numbers *s, size_t n, const nn_real *vx, nn_real *vy) \
    {                                                                                              \
        (void)s;                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            const nn_real x = vx[i];                                                               \
            vy[i] = (nn_real)(formula);                                                            \
        }                                                                                          \
    }                                                                                              \
    NN__UNARY_SLOPE(name, slope_x, describe)
#define NN__UNARY_SLOPE(name, slope_x, describe)                                                   \
    static void nn__##name##_slope(const nn__numbers *s, size_t n, const nn_real *vx,              \
                                   const nn_real *vy, const nn_real *vdy, nn_real *vdx)            \
    {                                                                                              \
        (void)s;                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            const nn_real x = vx[i], y = vy[i], dy = vdy[i];                                       \
            (void)x, (void)y;                                                                      \
            vdx[i] = (nn_real)(slope_x);                                                           \
        }                                                                                          \
    }                                                                                              \
    static const nn__unary nn__##name = {                                                          \
        {#name, nn__unary_forward, nn__unary_backward, NULL, NULL, NN__OP_CLAIMS, describe},       \
        nn__##name##_value, nn__##name##_slope};

static double nn__power_slope(nn_real x, double p)
{
    return p == 0 ? 0 : p * nn__pow_scalar((double)x, p - 1);
}

/* exp and log are the kernels' own */
static void nn__exp_value(const nn__numbers *s, size_t n, const nn_real *x, nn_real *y)
{
    (void)s;
    nn__k()->activate((nn_activation)NN__MAP_EXP, 0, n, x, y);
}

static void nn__log_value(const nn__numbers *s, size_t n, const nn_real *x, nn_real *y)
{
    (void)s;
    nn__k()->activate((nn_activation)NN__MAP_LOG, 0, n, x, y);
}

/*              y =                              dx = */
NN__UNARY_SLOPE(exp,                             dy *y, nn__unary_describe)
NN__UNARY_SLOPE(log,                             dy / x, nn__unary_describe)
NN__UNARY(sqrt, NN__SQRT_SCALAR(x),              dy / (2 * y), nn__unary_describe)
NN__UNARY(abs,  x < 0 ? -x : x,                  x > 0 ? dy : x < 0 ? -dy : 0, nn__unary_describe)
NN__UNARY(pow,  nn__pow_scalar((double)x, s->a), (double)dy *nn__power_slope(x, s->a),
          nn__pow_describe)

NN_DEF nn_tensor *nn_exp(nn_tensor *x) { return nn__unary_new(&nn__exp, x, 0, 0); }
NN_DEF nn_tensor *nn_log(nn_tensor *x) { return nn__unary_new(&nn__log, x, 0, 0); }
NN_DEF nn_tensor *nn_sqrt(nn_tensor *x) { return nn__unary_new(&nn__sqrt, x, 0, 0); }
NN_DEF nn_tensor *nn_abs(nn_tensor *x) { return nn__unary_new(&nn__abs, x, 0, 0); }
NN_DEF nn_tensor *nn_pow(nn_tensor *x, double exponent)
{
    if (x && !nn__is_finite(exponent))
        return nn__bad_argument(x->net, "nn_pow", "exponent", exponent, "a finite number");
    return nn__unary_new(&nn__pow, x, exponent, 0);
}

NN__UNARY(clamp, x < s->a ? s->a : x > s->b ? s->b : x, x < s->a || x > s->b ? 0 : dy,
          nn__clamp_describe)
NN_DEF nn_tensor *nn_clamp(nn_tensor *x, double low, double high)
{
    if (x && !(low <= high))
        return nn__net_fail(x->net, NN_ERROR_BAD_ARGUMENT,
                            "nn_clamp: %g to %g, expected low <= high", low, high);
    return nn__unary_new(&nn__clamp, x, low, high);
}

/* y = a x:  dx = a dy */
static nn_status nn__scale_forward(nn_tensor *t)
{
    const nn__numbers *s = (const nn__numbers *)t->settings;
    nn__k()->scale(t->size, (nn_real)s->a, t->src[0]->data, t->data);
    if (!nn__is_scalar(t)) return NN_OK;
    t->value = s->a * t->src[0]->value;
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

static nn_status nn__scale_backward(nn_tensor *t)
{
    nn__pass_gradient(t->src[0], ((const nn__numbers *)t->settings)->a, t->grad);
    return NN_OK;
}

static nn_tensor *nn__scale_describe(nn_description *d, const nn_tensor *t)
{
    const double factor = nn__described(d, t, "factor", 0);
    return t ? NULL : nn_scale(nn_describe_source(d, 0), factor);
}

static const nn_op nn__scale = {"scale", nn__scale_forward, nn__scale_backward, NULL, NULL,
                                NN_OP_VALUE | NN__OP_CLAIMS, nn__scale_describe};

NN_DEF nn_tensor *nn_scale(nn_tensor *x, double factor)
{
    if (x && !nn__is_finite((double)(nn_real)factor))
        return nn__bad_argument(x->net, "nn_scale", "factor", factor, "a finite nn_real");
    nn_tensor *t = nn__node_like(x, &nn__scale, sizeof(nn__numbers));
    if (t) ((nn__numbers *)t->settings)->a = factor;
    return t;
}

/* ------------------------------------------------------------------------------------- >>shape
   The same values in another arrangement. */

/* y = x in another shape:  dx = dy */
static nn_status nn__reshape_forward(nn_tensor *t)
{
    if (t->size) memcpy(t->data, t->src[0]->data, t->size * sizeof *t->data);
    return NN_OK;
}

static nn_status nn__reshape_backward(nn_tensor *t)
{
    nn__pass_gradient(t->src[0], 1, t->grad);
    return NN_OK;
}

static nn_tensor *nn__reshape_describe(nn_description *d, const nn_tensor *t)
{
    size_t shape[NN_MAX_RANK] = {0}, rank = 0;
    for (int i = t ? t->batched : 0; t && i < t->rank; i++) shape[rank++] = t->shape[i];
    nn_describe_sizes(d, "shape", shape, &rank, NN_MAX_RANK);
    return t ? NULL : nn_reshape(nn_describe_source(d, 0), (int)rank, shape);
}

static const nn_op nn__reshape = {"reshape", nn__reshape_forward, nn__reshape_backward, NULL, NULL,
                                  NN__OP_CLAIMS, nn__reshape_describe};

NN_DEF nn_tensor *nn_reshape(nn_tensor *x, int rank, const size_t *shape)
{
    nn_net *net = nn__common_net("nn_reshape", 1, &x);
    size_t full[NN_MAX_RANK] = {0}, size;
    if (!net) return NULL;
    if (rank < 0 || rank + x->batched > NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, "nn_reshape", "rank", rank, "0 to 8, batch included");
    for (int i = 0; i < rank; i++) full[x->batched + i] = shape[i];
    if (!nn__shape_size(rank, shape, &size) || size != x->row_size) {
        char from[NN__SHAPE_TEXT], to[NN__SHAPE_TEXT];
        return nn__net_fail(net, NN_ERROR_BAD_SHAPE, "nn_reshape: shapes %s and %s differ in size",
                            nn__tensor_shape(x, from),
                            nn__shape_text(rank + x->batched, full, x->batched, to));
    }
    return nn__node_new(net, &nn__reshape, 0, 1, &x, x->batched, rank + x->batched, full);
}

NN_DEF nn_tensor *nn_flatten(nn_tensor *x)
{
    if (!nn__common_net("nn_flatten", 1, &x)) return NULL;
    return nn_reshape(x, 1, &x->row_size);
}

/* y[i, j, ...] = x[.., i, .., j, ..]: dimension d of a sample of y moves by step[d] in x's;
   dx = dy, back in place */
typedef struct nn__permutation {
    size_t step[NN_MAX_RANK];
    int axes[NN_MAX_RANK]; /* as they were asked for */
} nn__permutation;

/* Copies one sample of t's shape: from `permuted` places to places in a row, or back. */
static void nn__permute_sample(const nn_tensor *t, const nn_real *from, nn_real *to, int back)
{
    const size_t *dim = t->shape + t->batched, *step = ((nn__permutation *)t->settings)->step;
    const int last = t->rank - t->batched - 1;
    size_t index[NN_MAX_RANK] = {0}, at = 0;
    for (size_t i = 0; i < t->row_size; i += dim[last]) {
        for (size_t j = 0; j < dim[last]; j++) {
            const size_t place = at + j * step[last];
            if (back) to[place] = from[i + j];
            else to[i + j] = from[place];
        }
        for (int d = last - 1; d >= 0; d--) {
            at += step[d];
            if (++index[d] < dim[d]) break;
            at -= dim[d] * step[d];
            index[d] = 0;
        }
    }
}

static nn_status nn__permute_forward(nn_tensor *t)
{
    for (size_t i = 0; i < t->size; i += t->row_size)
        nn__permute_sample(t, t->src[0]->data + i, t->data + i, 0);
    return NN_OK;
}

static nn_status nn__permute_backward(nn_tensor *t)
{
    nn_real *dx = nn__gradient_buffer(t->src[0]);
    for (size_t i = 0; i < t->size; i += t->row_size)
        nn__permute_sample(t, t->grad + i, dx + i, 1);
    nn__gradient_done(t->src[0]);
    return NN_OK;
}

static nn_tensor *nn__permute_describe(nn_description *d, const nn_tensor *t)
{
    int axes[NN_MAX_RANK] = {0};
    size_t rank = t ? (size_t)(t->rank - t->batched) : 0;
    if (t) memcpy(axes, ((const nn__permutation *)t->settings)->axes, sizeof axes);
    nn_describe_ints(d, "axes", axes, &rank, NN_MAX_RANK);
    return t ? NULL : nn_permute(nn_describe_source(d, 0), (int)rank, axes);
}

static const nn_op nn__permute = {"permute", nn__permute_forward, nn__permute_backward, NULL, NULL,
                                  NN__OP_CLAIMS, nn__permute_describe};

NN_DEF nn_tensor *nn_permute(nn_tensor *x, int rank, const int *axes)
{
    nn_net *net = nn__common_net("nn_permute", 1, &x);
    size_t shape[NN_MAX_RANK] = {0};
    unsigned seen = 0;
    if (!net) return NULL;
    if (rank != x->rank - x->batched || rank == 0 || !axes)
        return nn__bad_argument(
            net, "nn_permute", "rank", rank,
            "the number of a sample's dimensions, at least 1, and as many axes");
    for (int i = 0; i < rank; i++) {
        const int at = nn__axis("nn_permute", x, axes[i]);
        if (at < 0) return NULL;
        if (seen & 1u << at)
            return nn__bad_argument(net, "nn_permute", "an axis", axes[i], "each axis once");
        seen |= 1u << at;
        shape[x->batched + i] = x->shape[at];
    }
    nn_tensor *t = nn__node_new(net, &nn__permute, sizeof(nn__permutation), 1, &x, x->batched,
                                x->rank, shape);
    for (int i = 0; t && i < rank; i++) {
        size_t *step = &((nn__permutation *)t->settings)->step[i];
        ((nn__permutation *)t->settings)->axes[i] = axes[i];
        *step = 1;
        for (int d = nn__axis("nn_permute", x, axes[i]) + 1; d < x->rank; d++) *step *= x->shape[d];
    }
    return t;
}

NN_DEF nn_tensor *nn_transpose(nn_tensor *x, int axis_a, int axis_b)
{
    int axes[NN_MAX_RANK];
    if (!nn__common_net("nn_transpose", 1, &x)) return NULL;
    const int a = nn__axis("nn_transpose", x, axis_a), b = nn__axis("nn_transpose", x, axis_b);
    if (a < 0 || b < 0) return NULL;
    for (int i = 0; i < x->rank - x->batched; i++) axes[i] = i;
    axes[a - x->batched] = b - x->batched;
    axes[b - x->batched] = a - x->batched;
    return nn_permute(x, x->rank - x->batched, axes);
}

/* -- joining and cutting: along an axis, runs of all that is behind it -- */

typedef struct nn__cut {
    int axis;
    size_t begin; /* of a slice */
} nn__cut;

/* The product of the dimensions from `from` on: the length of one run along an axis. */
static size_t nn__inner_size(const nn_tensor *t, int from)
{
    size_t size = 1;
    for (int i = from; i < t->rank; i++) size *= t->shape[i];
    return size;
}

/* y = x_0, x_1, ... side by side:  dx_i = its part of dy */
static nn_status nn__concat_forward(nn_tensor *t)
{
    const int axis = ((const nn__cut *)t->settings)->axis;
    size_t run = nn__inner_size(t, axis), offset = 0;
    for (size_t s = 0; s < t->src_count; s++) {
        const nn_tensor *x = t->src[s];
        size_t part = nn__inner_size(x, axis);
        for (size_t i = 0, j = offset; i < x->size; i += part, j += run)
            memcpy(t->data + j, x->data + i, part * sizeof *x->data);
        offset += part;
    }
    return NN_OK;
}

static nn_status nn__concat_backward(nn_tensor *t)
{
    const int axis = ((const nn__cut *)t->settings)->axis;
    size_t run = nn__inner_size(t, axis), offset = 0;
    for (size_t s = 0; s < t->src_count; s++) {
        nn_tensor *x = t->src[s];
        size_t part = nn__inner_size(x, axis);
        nn_real *dx = nn__gradient_buffer(x);
        for (size_t i = 0, j = offset; dx && i < x->size; i += part, j += run)
            memcpy(dx + i, t->grad + j, part * sizeof *dx);
        if (dx) nn__gradient_done(x);
        offset += part;
    }
    return NN_OK;
}

static nn_tensor *nn__concat_describe(nn_description *d, const nn_tensor *t)
{
    int axis = t ? ((const nn__cut *)t->settings)->axis - t->batched : 0;
    nn_describe_int(d, "axis", &axis);
    return t ? NULL : nn_concat(d->src_count, d->src, axis);
}

static const nn_op nn__concat = {"concat", nn__concat_forward, nn__concat_backward, NULL, NULL,
                                 NN__OP_CLAIMS, nn__concat_describe};

/* Two shapes are equal but for one axis. */
static int nn__can_concat(const nn_tensor *a, const nn_tensor *b, int axis)
{
    if (a->rank != b->rank || a->batched != b->batched) return 0;
    for (int d = a->batched; d < a->rank; d++)
        if (d != axis && a->shape[d] != b->shape[d]) return 0;
    return 1;
}

NN_DEF nn_tensor *nn_concat(size_t count, nn_tensor *const *x, int axis)
{
    size_t shape[NN_MAX_RANK] = {0};
    if (count == 0) {
        nn__keep_cause(
            nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_concat: 0 sources, expected at least 1"));
        return NULL;
    }
    nn_net *net = nn__common_net("nn_concat", count, x);
    const int at = net ? nn__axis("nn_concat", x[0], axis) : -1;
    if (at < 0) return NULL;
    for (int d = 0; d < x[0]->rank; d++) shape[d] = x[0]->shape[d];
    for (size_t s = 1; s < count; s++) {
        if (!nn__can_concat(x[0], x[s], at))
            return nn__bad_shapes("nn_concat", x[0], x[s], "equal dimensions but for the axis");
        if (!nn__add_sizes(shape[at], x[s]->shape[at], &shape[at]))
            return nn__net_fail(net, NN_ERROR_TOO_LARGE,
                                "nn_concat: the sum along the axis does not fit");
    }
    nn_tensor *t = nn__node_new(net, &nn__concat, sizeof(nn__cut), count, x, x[0]->batched,
                                x[0]->rank, shape);
    if (t) ((nn__cut *)t->settings)->axis = at;
    return t;
}

/* y = x[begin:end]:  dx = dy there, 0 elsewhere */
static nn_status nn__slice_forward(nn_tensor *t)
{
    const nn_tensor *x = t->src[0];
    const nn__cut *cut = (const nn__cut *)t->settings;
    size_t run = nn__inner_size(x, cut->axis), part = nn__inner_size(t, cut->axis);
    size_t offset = cut->begin * nn__inner_size(x, cut->axis + 1);
    for (size_t i = offset, j = 0; j < t->size; i += run, j += part)
        memcpy(t->data + j, x->data + i, part * sizeof *x->data);
    return NN_OK;
}

static nn_status nn__slice_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    const nn__cut *cut = (const nn__cut *)t->settings;
    size_t run = nn__inner_size(x, cut->axis), part = nn__inner_size(t, cut->axis);
    size_t offset = cut->begin * nn__inner_size(x, cut->axis + 1);
    nn_real *dx = nn__gradient_buffer(x);
    memset(dx, 0, x->size * sizeof *dx);
    for (size_t i = offset, j = 0; j < t->size; i += run, j += part)
        memcpy(dx + i, t->grad + j, part * sizeof *dx);
    nn__gradient_done(x);
    return NN_OK;
}

static nn_tensor *nn__slice_describe(nn_description *d, const nn_tensor *t)
{
    const nn__cut *cut = t ? (const nn__cut *)t->settings : NULL;
    int axis = cut ? cut->axis - t->batched : 0;
    size_t begin = cut ? cut->begin : 0, end = cut ? begin + t->shape[cut->axis] : 0;
    nn_describe_int(d, "axis", &axis);
    nn_describe_size(d, "begin", &begin);
    nn_describe_size(d, "end", &end);
    return t ? NULL : nn_slice(nn_describe_source(d, 0), axis, begin, end);
}

static const nn_op nn__slice = {"slice", nn__slice_forward, nn__slice_backward, NULL, NULL,
                                NN__OP_CLAIMS, nn__slice_describe};

NN_DEF nn_tensor *nn_slice(nn_tensor *x, int axis, size_t begin, size_t end)
{
    nn_net *net = nn__common_net("nn_slice", 1, &x);
    const int at = net ? nn__axis("nn_slice", x, axis) : -1;
    size_t shape[NN_MAX_RANK] = {0};
    char text[NN__SHAPE_TEXT];
    if (at < 0) return NULL;
    if (begin >= end || end > x->shape[at])
        return nn__net_fail(net, NN_ERROR_BAD_SHAPE, "nn_slice: %llu to %llu along axis %d of %s",
                            (nn__ull)begin, (nn__ull)end, axis, nn__tensor_shape(x, text));
    for (int i = 0; i < x->rank; i++) shape[i] = x->shape[i];
    shape[at] = end - begin;
    nn_tensor *t =
        nn__node_new(net, &nn__slice, sizeof(nn__cut), 1, &x, x->batched, x->rank, shape);
    nn__cut *cut = t ? (nn__cut *)t->settings : NULL;
    if (cut) cut->axis = at, cut->begin = begin;
    return t;
}

/* -------------------------------------------------------------------------------- >>reductions
   Sums, means and maxima of everything, or along the middle one of [outer, n, inner]; softmax. */

typedef struct nn__reduction {
    size_t n, inner; /* n = 0: everything */
    int axis, keep;
} nn__reduction;

/* Line number `line` of x: where it begins, how many values it has and how far they lie apart. */
typedef struct nn__line {
    size_t begin, n, step;
} nn__line;

static nn__line nn__line_of(const nn_tensor *t, size_t line)
{
    const nn__reduction *r = (const nn__reduction *)t->settings;
    nn__line l;
    l.begin = r->n ? line / r->inner * r->inner * r->n + line % r->inner : 0;
    l.n = r->n ? r->n : t->src[0]->size;
    l.step = r->n ? r->inner : 1;
    return l;
}

static nn_tensor *nn__reduce_all(nn_tensor *x, const nn_op *op)
{
    char call[64];
    nn_net *net = nn__common_net(nn__call(op, call), 1, &x);
    return net ? nn__node_new(net, op, sizeof(nn__reduction), 1, &x, 0, 0, NULL) : NULL;
}

static nn_tensor *nn__reduce_axis(const char *call, nn_tensor *x, const nn_op *op, int axis,
                                  int keep)
{
    size_t shape[NN_MAX_RANK] = {0}, inner = 1;
    nn_net *net = nn__common_net(call, 1, &x);
    const int at = net ? nn__axis(call, x, axis) : -1;
    int rank = 0;
    if (at < 0) return NULL;
    for (int i = 0; i < x->rank; i++) {
        if (i > at) inner *= x->shape[i];
        if (i != at) shape[rank++] = x->shape[i];
        else if (keep) shape[rank++] = 1;
    }
    nn_tensor *t = nn__node_new(net, op, sizeof(nn__reduction), 1, &x, x->batched, rank, shape);
    nn__reduction *r = t ? (nn__reduction *)t->settings : NULL;
    if (r) r->n = x->shape[at], r->inner = inner, r->axis = at - x->batched, r->keep = keep != 0;
    return t;
}

static nn_tensor *nn__reduction_describe(nn_description *d, const nn_tensor *t)
{
    char call[64];
    const nn__reduction *r = t ? (const nn__reduction *)t->settings : NULL;
    int all = r && r->n == 0, axis = r ? r->axis : 0, keep = r ? r->keep : 0;
    nn_describe_int(d, "all", &all);
    nn_describe_int(d, "axis", &axis);
    nn_describe_int(d, "keep", &keep);
    if (t) return NULL;
    nn_tensor *x = nn_describe_source(d, 0);
    return all ? nn__reduce_all(x, d->op)
               : nn__reduce_axis(nn__call(d->op, call), x, d->op, axis, keep);
}

/* y = sum x, or mean x, in double:  dx = dy, or dy / n */
static nn_status nn__reduce_forward(nn_tensor *t, int mean)
{
    for (size_t line = 0; line < t->size; line++) {
        const nn__line l = nn__line_of(t, line);
        const nn_real *x = t->src[0]->data + l.begin;
        double sum = 0;
        for (size_t i = 0; i < l.n; i++) sum += (double)x[i * l.step];
        t->value = mean ? sum * (1 / (double)l.n) : sum;
        t->data[line] = (nn_real)t->value;
    }
    return NN_OK;
}

static nn_status nn__reduce_backward(nn_tensor *t, int mean)
{
    nn_tensor *x = t->src[0];
    nn_real *dx = nn__gradient_buffer(x);
    for (size_t line = 0; line < t->size; line++) {
        const nn__line l = nn__line_of(t, line);
        const nn_real slope = (nn_real)((double)t->grad[line] * (mean ? 1 / (double)l.n : 1));
        for (size_t i = 0; i < l.n; i++) dx[l.begin + i * l.step] = slope;
    }
    nn__gradient_done(x);
    return NN_OK;
}

static nn_status nn__sum_forward(nn_tensor *t) { return nn__reduce_forward(t, 0); }
static nn_status nn__sum_backward(nn_tensor *t) { return nn__reduce_backward(t, 0); }
static nn_status nn__mean_forward(nn_tensor *t) { return nn__reduce_forward(t, 1); }
static nn_status nn__mean_backward(nn_tensor *t) { return nn__reduce_backward(t, 1); }

static const nn_op nn__sum = {"sum", nn__sum_forward, nn__sum_backward, NULL, NULL,
                              NN_OP_VALUE | NN__OP_CLAIMS | NN__OP_SUMS, nn__reduction_describe};
static const nn_op nn__mean = {"mean", nn__mean_forward, nn__mean_backward, NULL, NULL,
                               NN_OP_VALUE | NN__OP_CLAIMS, nn__reduction_describe};

NN_DEF nn_tensor *nn_sum(nn_tensor *x) { return nn__reduce_all(x, &nn__sum); }
NN_DEF nn_tensor *nn_mean(nn_tensor *x) { return nn__reduce_all(x, &nn__mean); }
NN_DEF nn_tensor *nn_sum_axis(nn_tensor *x, int axis, int keep)
{
    return nn__reduce_axis("nn_sum_axis", x, &nn__sum, axis, keep);
}
NN_DEF nn_tensor *nn_mean_axis(nn_tensor *x, int axis, int keep)
{
    return nn__reduce_axis("nn_mean_axis", x, &nn__mean, axis, keep);
}

/* y = max x:  dx = dy at the first element that is the largest, which forward saves */
static nn_status nn__max_forward(nn_tensor *t)
{
    size_t *first = (size_t *)t->saved;
    for (size_t line = 0; line < t->size; line++) {
        const nn__line l = nn__line_of(t, line);
        const nn_real *x = t->src[0]->data + l.begin;
        size_t best = 0;
        for (size_t i = l.step; i < l.n * l.step; i += l.step)
            if (x[i] > x[best] || x[best] != x[best]) best = i;
        first[line] = l.begin + best;
        t->data[line] = x[best];
    }
    return NN_OK;
}

static nn_status nn__max_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    const size_t *first = (const size_t *)t->saved;
    int accumulate;
    nn_real *dx = nn__claim_gradient(x, &accumulate);
    if (!dx) return NN_OK;
    if (!accumulate) memset(dx, 0, x->size * sizeof *dx);
    for (size_t line = 0; line < t->size; line++) dx[first[line]] += t->grad[line];
    return NN_OK;
}

static size_t nn__max_saved(const nn_tensor *t, size_t rows)
{
    return nn__bytes(t->batched ? rows : 1, t->row_size, sizeof(size_t));
}

static const nn_op nn__max = {"max", nn__max_forward, nn__max_backward, nn__max_saved, NULL,
                              NN__OP_CLAIMS, nn__reduction_describe};

NN_DEF nn_tensor *nn_max(nn_tensor *x) { return nn__reduce_all(x, &nn__max); }
NN_DEF nn_tensor *nn_max_axis(nn_tensor *x, int axis, int keep)
{
    return nn__reduce_axis("nn_max_axis", x, &nn__max, axis, keep);
}

/* -- softmax over the last dimension -- */

static size_t nn__last_dimension(const nn_tensor *t) { return t->rank ? t->shape[t->rank - 1] : 1; }

/* y = softmax(x):  dx = y (dy - sum y dy) */
static nn_status nn__softmax_forward(nn_tensor *t)
{
    const size_t cols = nn__last_dimension(t);
    nn__k()->softmax(t->size / cols, cols, t->src[0]->data, t->data, 0, NULL);
    return NN_OK;
}

static nn_status nn__softmax_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    const size_t cols = nn__last_dimension(t);
    nn_real *dx = nn__gradient_buffer(x);
    for (size_t i = 0; i < t->size; i += cols) {
        const nn_real *y = t->data + i, *dy = t->grad + i;
        const nn_real sum = nn__k()->dot(cols, y, dy);
        for (size_t j = 0; j < cols; j++) dx[i + j] = y[j] * (dy[j] - sum);
    }
    nn__gradient_done(x);
    return NN_OK;
}

static nn_tensor *nn__softmax_describe(nn_description *d, const nn_tensor *t);

static const nn_op nn__softmax = {"softmax", nn__softmax_forward, nn__softmax_backward, NULL, NULL,
                                  NN__OP_CLAIMS, nn__softmax_describe};

/* y = log softmax(x):  dx = dy - exp(y) sum dy */
static nn_status nn__log_softmax_forward(nn_tensor *t)
{
    const size_t cols = nn__last_dimension(t);
    nn__k()->softmax(t->size / cols, cols, t->src[0]->data, t->data, 1, NULL);
    return NN_OK;
}

static nn_status nn__log_softmax_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    const size_t cols = nn__last_dimension(t);
    nn_real *dx = nn__gradient_buffer(x);
    nn__k()->softmax(t->size / cols, cols, x->data, dx, 0, NULL);
    for (size_t i = 0; i < t->size; i += cols) {
        const nn_real sum = nn__k()->sum(cols, t->grad + i);
        for (size_t j = i; j < i + cols; j++) dx[j] = t->grad[j] - dx[j] * sum;
    }
    nn__gradient_done(x);
    return NN_OK;
}

static const nn_op nn__log_softmax = {"log_softmax", nn__log_softmax_forward,
                                      nn__log_softmax_backward, NULL, NULL, NN__OP_CLAIMS,
                                      nn__softmax_describe};

/* Another axis is brought to the end first and back afterwards. */
static nn_tensor *nn__softmax_new(const char *call, nn_tensor *x, const nn_op *op, int axis)
{
    if (!nn__common_net(call, 1, &x)) return NULL;
    const int at = nn__axis(call, x, axis) - x->batched, last = x->rank - x->batched - 1;
    if (x->net->status != NN_OK) return NULL;
    if (at == last) return nn__node_like(x, op, 0);
    return nn_transpose(nn__node_like(nn_transpose(x, at, last), op, 0), at, last);
}

static nn_tensor *nn__softmax_describe(nn_description *d, const nn_tensor *t)
{
    char call[64];
    if (t) return NULL;
    return nn__softmax_new(nn__call(d->op, call), nn_describe_source(d, 0), d->op, -1);
}

NN_DEF nn_tensor *nn_softmax(nn_tensor *x)
{
    return nn__softmax_new("nn_softmax", x, &nn__softmax, -1);
}
NN_DEF nn_tensor *nn_softmax_axis(nn_tensor *x, int axis)
{
    return nn__softmax_new("nn_softmax_axis", x, &nn__softmax, axis);
}
NN_DEF nn_tensor *nn_log_softmax(nn_tensor *x)
{
    return nn__softmax_new("nn_log_softmax", x, &nn__log_softmax, -1);
}
NN_DEF nn_tensor *nn_log_softmax_axis(nn_tensor *x, int axis)
{
    return nn__softmax_new("nn_log_softmax_axis", x, &nn__log_softmax, axis);
}

/* ------------------------------------------------------------------------------------ >>layers
   What parameters are multiplied with; activations, dropout, the user's own operations. */

/* -- matrix products: one for each combination of the leading dimensions, or a single large one
   where all of them meet the same B, as a batch meets a weight -- */

/* C[m,n] (+)= op(A) op(B) of dense matrices. */
static void nn__product(nn_net *net, int trans_a, int trans_b, size_t m, size_t n, size_t k,
                        const nn_real *a, const nn_real *b, nn_real *c, int accumulate)
{
    nn__gemm_args g;
    memset(&g, 0, sizeof g);
    g.trans_a = trans_a, g.trans_b = trans_b, g.m = m, g.n = n, g.k = k;
    g.a = a, g.lda = trans_a ? m : k, g.b = b, g.ldb = trans_b ? k : n;
    g.c = c, g.ldc = n, g.accumulate = accumulate;
    nn__gemm(net->threads, &g);
}

/* C = op(A) op(B):  dA = dC op(B)',  dB = op(A)' dC, each transposed when its operand is. */
typedef struct nn__matmul_settings {
    int trans_a, trans_b;
    size_t m, n, k;     /* of one product */
    int joined;         /* B is one matrix for all: A's rows make one product */
    nn__broadcast lead; /* counted in matrices */
} nn__matmul_settings;

/* Whose gradient a pass computes: C itself in the forward pass. */
enum { NN__MATMUL_C, NN__MATMUL_A, NN__MATMUL_B };

static void nn__matmul_one(nn_tensor *t, int what, size_t m, size_t at_a, size_t at_b, size_t at_c,
                           nn_real *to, int accumulate)
{
    const nn__matmul_settings *s = (const nn__matmul_settings *)t->settings;
    const nn_real *a = t->src[0]->data + at_a, *b = t->src[1]->data + at_b;
    const nn_real *dc = t->grad ? t->grad + at_c : NULL;
    const int ta = s->trans_a, tb = s->trans_b;
    const size_t n = s->n, k = s->k;
    if (what == NN__MATMUL_C) nn__product(t->net, ta, tb, m, n, k, a, b, to + at_c, accumulate);
    else if (what == NN__MATMUL_A && ta)
        nn__product(t->net, tb, 1, k, m, n, b, dc, to + at_a, accumulate);
    else if (what == NN__MATMUL_A)
        nn__product(t->net, 0, !tb, m, k, n, dc, b, to + at_a, accumulate);
    else if (tb) nn__product(t->net, 1, ta, n, k, m, dc, a, to + at_b, accumulate);
    else nn__product(t->net, !ta, 0, k, n, m, a, dc, to + at_b, accumulate);
}

static void nn__matmul_all(nn_tensor *t, int what, nn_real *to, int accumulate)
{
    const nn__matmul_settings *s = (const nn__matmul_settings *)t->settings;
    if (s->joined) {
        nn__matmul_one(t, what, t->size / s->n, 0, 0, 0, to, accumulate);
        return;
    }
    nn__walk w = nn__walk_begin(&s->lead, nn__rows(t));
    const size_t step_a = s->lead.a[s->lead.rank - 1], step_b = s->lead.b[s->lead.rank - 1];
    do {
        for (size_t i = 0; i < w.n; i++)
            nn__matmul_one(t, what, s->m, (w.a + i * step_a) * s->m * s->k,
                           (w.b + i * step_b) * s->k * s->n, (w.y + i) * s->m * s->n, to,
                           accumulate);
    } while (nn__walk_next(&w));
}

static nn_status nn__matmul_forward(nn_tensor *t)
{
    nn__matmul_all(t, NN__MATMUL_C, t->data, 0);
    return NN_OK;
}

/* A matrix that was repeated collects the gradients of all its uses, in order. */
static void nn__matmul_gradient(nn_tensor *t, int what, nn_tensor *x, size_t matrices)
{
    const nn__matmul_settings *s = (const nn__matmul_settings *)t->settings;
    int accumulate;
    nn_real *dx = nn__claim_gradient(x, &accumulate);
    if (!dx) return;
    if (!s->joined && !accumulate && matrices != t->size / (s->m * s->n)) {
        memset(dx, 0, x->size * sizeof *dx);
        accumulate = 1;
    }
    nn__matmul_all(t, what, dx, accumulate);
}

static nn_status nn__matmul_backward(nn_tensor *t)
{
    const nn__matmul_settings *s = (const nn__matmul_settings *)t->settings;
    nn_tensor *a = t->src[0], *b = t->src[1];
    nn__matmul_gradient(t, NN__MATMUL_A, a, a->size / (s->m * s->k));
    nn__matmul_gradient(t, NN__MATMUL_B, b, b->size / (s->k * s->n));
    return NN_OK;
}

static nn_tensor *nn__matmul_describe(nn_description *d, const nn_tensor *t)
{
    const nn__matmul_settings *s = t ? (const nn__matmul_settings *)t->settings : NULL;
    int trans_a = s ? s->trans_a : 0, trans_b = s ? s->trans_b : 0;
    nn_describe_int(d, "trans_a", &trans_a);
    nn_describe_int(d, "trans_b", &trans_b);
    if (t) return NULL;
    return nn_matmul_with(nn_describe_source(d, 0), trans_a, nn_describe_source(d, 1), trans_b);
}

static const nn_op nn__matmul = {"matmul", nn__matmul_forward, nn__matmul_backward, NULL, NULL,
                                 NN__OP_CLAIMS, nn__matmul_describe};

NN_DEF nn_tensor *nn_matmul_with(nn_tensor *a, int trans_a, nn_tensor *b, int trans_b)
{
    nn_tensor *src[2] = {a, b};
    nn_net *net = nn__common_net("nn_matmul", 2, src);
    size_t shape[NN_MAX_RANK + 2] = {0};
    nn__matmul_settings s;
    if (!net) return NULL;
    nn__operand left = nn__as_operand(a), right = nn__as_operand(b);
    const int is_row = left.rank == 1;
    if (left.rank < 1 || right.rank < 2 || (is_row && trans_a))
        return nn__bad_shapes("nn_matmul", a, b, "a matrix, or a row that is not transposed, and a "
                                                 "matrix");
    const size_t rows = is_row ? 1 : left.dim[left.rank - 2], cols = left.dim[left.rank - 1];
    const size_t *inner = right.dim + right.rank - 2;
    s.trans_a = trans_a != 0, s.trans_b = trans_b != 0;
    s.m = trans_a ? cols : rows, s.k = trans_a ? rows : cols, s.n = inner[trans_b ? 0 : 1];
    if (s.k != inner[trans_b ? 1 : 0])
        return nn__bad_shapes("nn_matmul", a, b, "equal inner dimensions");
    left.rank -= is_row ? 1 : 2, right.rank -= 2;
    s.joined = !trans_a && !right.rank && !right.batched;
    const int lead = nn__broadcast_make(&s.lead, left, right, shape + (a->batched | b->batched));
    if (lead < 0)
        return nn__bad_shapes("nn_matmul", a, b, "leading dimensions that are equal, or 1");
    int rank = lead + s.lead.batched;
    if (!is_row) shape[rank++] = s.m;
    shape[rank++] = s.n;
    nn_tensor *t = nn__node_new(net, &nn__matmul, sizeof s, 2, src, s.lead.batched, rank, shape);
    if (t) *(nn__matmul_settings *)t->settings = s;
    return t;
}

NN_DEF nn_tensor *nn_matmul(nn_tensor *a, nn_tensor *b) { return nn_matmul_with(a, 0, b, 0); }

/* -- the names of layers and their parameters -- */

static int nn__layer_exists(const nn_net *net, const char *layer, size_t number)
{
    char name[48];
    const int length = snprintf(name, sizeof name, "%s%llu.", layer, (nn__ull)number);
    for (size_t i = 0; i < net->tensors.count; i++)
        if (strncmp(net->tensors.items[i]->name, name, (size_t)length) == 0) return 1;
    return 0;
}

/* What the names of an operation's layers begin with: those of all convolutions are "convI". */
static size_t nn__layer_kind(const nn_op *op, char kind[32])
{
    const size_t length = nn__min_size(strcspn(op->name, "0123456789"), 31);
    memcpy(kind, op->name, length);
    kind[length] = 0;
    return length;
}

/* The number of the first layer name "denseI", "batch_normI", ... that has no parameters yet. */
static size_t nn__free_number(const nn_net *net, const nn_op *op)
{
    char kind[32], other[32];
    size_t number = 0;
    nn__layer_kind(op, kind);
    for (size_t i = 0; i < net->tensors.count; i++) {
        nn__layer_kind(net->tensors.items[i]->op, other);
        number += strcmp(kind, other) == 0;
    }
    while (nn__layer_exists(net, kind, number)) number++;
    return number;
}

/* A parameter (or a buffer) "NAME.weight" of a layer that is being made, or "denseI.weight" where
   the user has given no name. */
static nn_tensor *nn__layer_state(nn_net *net, const nn_op *layer, const nn_op *op,
                                  const char *name, size_t number, const char *kind, int rank,
                                  const size_t *shape, const nn_init *init)
{
    char standard[64], call[64];
    const size_t length = nn__layer_kind(layer, standard);
    snprintf(standard + length, sizeof standard - length, "%llu", (nn__ull)number);
    if (!name) name = standard;
    const size_t size = strlen(name) + strlen(kind) + 2;
    char *full = (char *)nn__arena(net, size, 1);
    if (!full) return nn__out_of_memory(net);
    snprintf(full, size, "%s.%s", name, kind);
    if (nn_net_find(net, full))
        return nn__net_fail(net, NN_ERROR_BAD_ARGUMENT, "%s: the name '%s' is in use",
                            nn__call(layer, call), full);
    nn_tensor *t = nn__state_new(net, op, rank, shape, init, NULL);
    if (t) t->name = full;
    return t;
}

/* -- dense -- */

typedef struct nn__function {
    nn_activation kind;
    double alpha;
} nn__function;

static nn__function nn__function_describe(nn_description *d, const nn_tensor *t)
{
    static const char *const names[] = {NN_ACTIVATION_LIST(NN__STATUS_TEXT)};
    nn__function f = {NN_ACTIVATION_IDENTITY, 0};
    if (t) f = *(const nn__function *)t->settings;
    int kind = (int)f.kind;
    nn_describe_choice(d, "activation", &kind, names, NN_ACTIVATION_COUNT);
    nn_describe_real(d, "alpha", &f.alpha);
    f.kind = (nn_activation)kind;
    return f;
}

/* Y = f(Z), Z = X W + b:  dZ = dY f'(Z),  dW = X' dZ,  db = sum of dZ's rows,  dX = dZ W'. Z is
   saved only for those f whose slope needs it. */
static nn_status nn__dense_forward(nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    const nn_tensor *x = t->src[0], *w = t->src[1];
    nn__gemm_args g;
    memset(&g, 0, sizeof g);
    g.k = w->shape[0], g.n = w->shape[1], g.m = t->size / g.n;
    g.a = x->data, g.lda = g.k, g.b = w->data, g.ldb = g.n;
    g.c = t->saved ? (nn_real *)t->saved : t->data, g.ldc = g.n;
    g.bias = t->src_count > 2 ? t->src[2]->data : NULL;
    nn__gemm(t->net->threads, &g);
    if (f->kind != NN_ACTIVATION_IDENTITY)
        nn__activate(t->net->threads, f->kind, f->alpha, t->size, g.c, NULL, NULL, t->data);
    return NN_OK;
}

/* dZ of a layer; its rows, which end with the units, are summed into db: a single thread does both
   while a cache holds them. */
static const nn_real *nn__layer_dz(nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    const size_t units = t->shape[t->rank - 1], rows = t->size / units;
    const size_t step = nn__max_threads(t->net->threads) > 1 ? rows : nn__grain_rows(4 * units);
    const nn_real *z = (const nn_real *)t->saved, *dz = t->grad;
    int accumulate = 0;
    nn_real *db = t->src_count > 2 ? nn__claim_gradient(t->src[2], &accumulate) : NULL;
    for (size_t r = 0; r < rows; r += step) {
        const size_t n = nn__min_size(step, rows - r), at = r * units;
        if (f->kind != NN_ACTIVATION_IDENTITY) {
            nn_real *scratch = t->net->gradient_workspace; /* free, since sources are claimed */
            nn__activate(t->net->threads, f->kind, f->alpha, n * units, z ? z + at : NULL,
                         t->data + at, t->grad + at, scratch + at);
            dz = scratch;
        }
        if (db) nn__column_sums(t->net->threads, n, units, dz + at, db, accumulate || r);
    }
    return dz;
}

static nn_status nn__dense_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0], *w = t->src[1];
    const size_t in = w->shape[0], units = w->shape[1], rows = t->size / units;
    const nn_real *dz = nn__layer_dz(t);
    int accumulate;
    nn_real *dw = nn__claim_gradient(w, &accumulate);
    if (dw) nn__product(t->net, 1, 0, in, units, rows, x->data, dz, dw, accumulate);
    nn_real *dx = nn__claim_gradient(x, &accumulate);
    if (dx) nn__product(t->net, 0, 1, rows, in, units, dz, w->data, dx, accumulate);
    return NN_OK;
}

static size_t nn__dense_saved(const nn_tensor *t, size_t rows)
{
    const nn__function *f = (const nn__function *)t->settings;
    return nn__slope_needs_input(f->kind) ? nn__tensor_bytes(t, rows) : 0;
}

/* The parameters, which have been made already, are its second and third sources. */
static nn_tensor *nn__dense_describe(nn_description *d, const nn_tensor *t)
{
    const nn__function f = nn__function_describe(d, t);
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.activation = f.kind, desc.alpha = f.alpha != 0 ? f.alpha : NN_ZERO;
    desc.shared_weight = nn_describe_source(d, 1), desc.shared_bias = nn_describe_source(d, 2);
    desc.no_bias = d->src_count < 3;
    return t ? NULL : nn_dense_with(nn_describe_source(d, 0), &desc);
}

static const nn_op nn__dense = {"dense", nn__dense_forward, nn__dense_backward, nn__dense_saved,
                                NULL, NN__OP_CLAIMS | NN__OP_LAYER | NN__OP_PRODUCT,
                                nn__dense_describe};

/* An activation that exists, with an alpha only where it has one. */
static int nn__check_function(nn_net *net, const char *call, nn_activation kind, double alpha)
{
    const int has_alpha = kind == NN_ACTIVATION_LEAKY_RELU || kind == NN_ACTIVATION_ELU;
    if ((unsigned)kind >= NN_ACTIVATION_COUNT)
        nn__bad_argument(net, call, "activation", (double)kind, "one of NN_ACTIVATION_LIST");
    else if (!(alpha >= 0) || !nn__is_finite((double)(nn_real)alpha))
        nn__bad_argument(net, call, "alpha", alpha, "0 or a positive nn_real");
    else if (alpha > 0 && !has_alpha)
        nn__bad_argument(net, call, "alpha", alpha, "0 for an activation that has none");
    return net->status == NN_OK;
}

/* What the descs of layers have in common. */
typedef struct nn__layer {
    const nn_op *op;
    const char *call, *name; /* the public function; the desc's name */
    nn_init weight, bias;
    nn_tensor *shared_weight, *shared_bias;
    int no_bias, decay_bias;
    const char *shapes; /* of a shared weight or bias, for messages */
} nn__layer;

/* A parameter of another layer fits in here. */
static int nn__check_shared(const nn__layer *d, const nn_tensor *x, const nn_tensor *p, int rank,
                            const size_t *shape, const char *what)
{
    int fits = p->rank == rank;
    for (int i = 0; i < rank && fits; i++) fits = p->shape[i] == shape[i];
    if (p->op != &nn__parameter_op || p->net != x->net)
        nn__net_fail(x->net, NN_ERROR_BAD_ARGUMENT, "%s: %s is no parameter of this network",
                     d->call, what);
    else if (!fits) nn__bad_shapes(d->call, x, p, d->shapes);
    return x->net->status == NN_OK;
}

/* The layer's parameters in src[1] and src[2]: new ones, or those that are shared. The bias has the
   last dimension of the weight that the messages call units, or `units`. */
static int nn__layer_parameters(nn_tensor **src, const nn__layer *d, int rank, const size_t *weight,
                                size_t units)
{
    nn_net *net = src[0]->net;
    const size_t number = d->name ? 0 : nn__free_number(net, d->op);
    nn_init bias_init = d->bias;
    if (bias_init.kind == NN_INIT_DEFAULT) bias_init.kind = NN_INIT_ZERO;
    src[1] = d->shared_weight;
    if (src[1] && !nn__check_shared(d, src[0], src[1], rank, weight, "shared_weight")) return 0;
    if (!src[1])
        src[1] = nn__layer_state(net, d->op, &nn__parameter_op, d->name, number, "weight", rank,
                                 weight, &d->weight);
    if (!src[1] || d->no_bias) return src[1] != NULL;
    src[2] = d->shared_bias;
    if (src[2]) return nn__check_shared(d, src[0], src[2], 1, &units, "shared_bias");
    src[2] = nn__layer_state(net, d->op, &nn__parameter_op, d->name, number, "bias", 1, &units,
                             &bias_init);
    if (src[2]) src[2]->no_decay = !d->decay_bias;
    return src[2] != NULL;
}

/* Members that contradict each other. */
static int nn__check_layer(nn_net *net, const nn__layer *d)
{
    const char *found = NULL;
    if (d->shared_weight && d->weight.kind != NN_INIT_DEFAULT) found = "weight";
    if (d->shared_bias && d->bias.kind != NN_INIT_DEFAULT) found = "bias";
    if (d->shared_bias && d->decay_bias) found = "decay_bias";
    if (d->no_bias && (d->shared_bias || d->bias.kind != NN_INIT_DEFAULT || d->decay_bias))
        found = d->shared_bias ? "shared_bias" : d->decay_bias ? "decay_bias" : "bias";
    if (found)
        nn__net_fail(net, NN_ERROR_BAD_ARGUMENT, "%s: %s is set beside %s, which makes it void",
                     d->call, found, d->no_bias ? "no_bias" : "a shared parameter");
    nn_status status = nn__check_init(d->call, "weight", &d->weight, 2);
    if (status == NN_OK) status = nn__check_init(d->call, "bias", &d->bias, 1);
    if (status != NN_OK) nn__net_failed(net, status);
    return net->status == NN_OK;
}

static double nn__default_alpha(nn_activation kind, double alpha)
{
    return nn__or_default(alpha, kind == NN_ACTIVATION_LEAKY_RELU ? 0.01
                                 : kind == NN_ACTIVATION_ELU      ? 1
                                                                  : 0);
}

NN_DEF nn_tensor *nn_dense_with(nn_tensor *x, const nn_dense_desc *desc)
{
    nn_tensor *src[3] = {x, NULL, NULL};
    nn_net *net = nn__common_net("nn_dense", 1, src);
    size_t shape[NN_MAX_RANK] = {0}, weight[2];
    if (!net) return NULL;
    size_t units = desc ? desc->units : 0;
    if (desc && units == 0 && desc->shared_weight && desc->shared_weight->rank == 2)
        units = desc->shared_weight->shape[1];
    if (!desc || units == 0) return nn__bad_argument(net, "nn_dense", "units", 0, "at least 1");
    if (x->rank == x->batched)
        return nn__bad_shape("nn_dense", x, "at least one dimension beside the batch");
    const double alpha = nn__default_alpha(desc->activation, desc->alpha);
    if (!nn__check_function(net, "nn_dense", desc->activation, alpha)) return NULL;
    nn__layer layer = {&nn__dense, "nn_dense", NULL, desc->weight, desc->bias, NULL, NULL, 0, 0,
                       "a shared parameter of [in, units] or [units]"};
    layer.name = desc->name, layer.no_bias = desc->no_bias, layer.decay_bias = desc->decay_bias;
    layer.shared_weight = desc->shared_weight, layer.shared_bias = desc->shared_bias;
    if (!nn__check_layer(net, &layer)) return NULL;
    for (int i = 0; i < x->rank; i++) shape[i] = x->shape[i];
    weight[0] = shape[x->rank - 1], weight[1] = shape[x->rank - 1] = units;
    if (!nn__layer_parameters(src, &layer, 2, weight, units)) return NULL;
    nn_tensor *t = nn__node_new(net, &nn__dense, sizeof(nn__function), desc->no_bias ? 2 : 3, src,
                                x->batched, x->rank, shape);
    nn__function *f = t ? (nn__function *)t->settings : NULL;
    if (f) f->kind = desc->activation, f->alpha = alpha;
    return t && desc->name ? nn__name("nn_dense", t, desc->name) : t;
}

NN_DEF nn_tensor *nn_dense(nn_tensor *x, size_t units)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = units;
    return nn_dense_with(x, &desc);
}

/* Source i of a layer, if that is a parameter. */
static nn_tensor *nn__layer_source(const nn_tensor *layer, size_t i)
{
    if (!layer || !(layer->op->flags & NN__OP_LAYER) || i >= layer->src_count) return NULL;
    return layer->src[i]->op == &nn__parameter_op ? layer->src[i] : NULL;
}

NN_DEF nn_tensor *nn_weight(const nn_tensor *layer) { return nn__layer_source(layer, 1); }
NN_DEF nn_tensor *nn_bias(const nn_tensor *layer) { return nn__layer_source(layer, 2); }

/* -- activations -- */

/* y = f(x):  dx = dy f'(x) */
static nn_status nn__activation_forward(nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    nn__activate(t->net->threads, f->kind, f->alpha, t->size, t->src[0]->data, NULL, NULL, t->data);
    return NN_OK;
}

static nn_status nn__activation_backward(nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    nn_tensor *x = t->src[0];
    nn__activate(t->net->threads, f->kind, f->alpha, t->size, x->data, t->data, t->grad,
                 nn__gradient_buffer(x));
    nn__gradient_done(x);
    return NN_OK;
}

static nn_tensor *nn__activation_describe(nn_description *d, const nn_tensor *t)
{
    const nn__function f = nn__function_describe(d, t);
    return t ? NULL : nn_activate(nn_describe_source(d, 0), f.kind, f.alpha);
}

static const nn_op nn__activation = {"activation", nn__activation_forward, nn__activation_backward,
                                     NULL, NULL, NN__OP_CLAIMS, nn__activation_describe};

/* What a tensor's values went through last: an activation, of its own or of a layer. */
static nn_activation nn__activation_of(const nn_tensor *t)
{
    if (t->op != &nn__activation && !(t->op->flags & NN__OP_PRODUCT)) return NN_ACTIVATION_IDENTITY;
    return ((const nn__function *)t->settings)->kind;
}

static nn_tensor *nn__activation_new(const char *call, nn_tensor *x, nn_activation kind,
                                     double alpha)
{
    nn_net *net = nn__common_net(call, 1, &x);
    if (!net || !nn__check_function(net, call, kind, alpha)) return NULL;
    nn_tensor *t = nn__node_like(x, &nn__activation, sizeof(nn__function));
    nn__function *f = t ? (nn__function *)t->settings : NULL;
    if (f) f->kind = kind, f->alpha = alpha;
    return t;
}

NN_DEF nn_tensor *nn_activate(nn_tensor *x, nn_activation kind, double alpha)
{
    return nn__activation_new("nn_activate", x, kind, alpha);
}

#define NN__ACTIVATION(name, kind)                                                                 \
    NN_DEF nn_tensor *name(nn_tensor *x) { return nn__activation_new(#name, x, kind, 0); }
NN__ACTIVATION(nn_sigmoid, NN_ACTIVATION_SIGMOID)
NN__ACTIVATION(nn_tanh, NN_ACTIVATION_TANH)
NN__ACTIVATION(nn_scaled_tanh, NN_ACTIVATION_SCALED_TANH)
NN__ACTIVATION(nn_relu, NN_ACTIVATION_RELU)
NN__ACTIVATION(nn_gelu, NN_ACTIVATION_GELU)
NN__ACTIVATION(nn_silu, NN_ACTIVATION_SILU)
NN__ACTIVATION(nn_softplus, NN_ACTIVATION_SOFTPLUS)

NN_DEF nn_tensor *nn_leaky_relu(nn_tensor *x, double slope)
{
    return nn__activation_new("nn_leaky_relu", x, NN_ACTIVATION_LEAKY_RELU, slope);
}

NN_DEF nn_tensor *nn_elu(nn_tensor *x, double alpha)
{
    return nn__activation_new("nn_elu", x, NN_ACTIVATION_ELU, alpha);
}

/* -- dropout -- */

/* The saved mask is 0 or 1 / (1 - p): `count` draws, in order. */
static void nn__draw_mask(const nn_tensor *t, size_t count)
{
    const double p = ((const nn__numbers *)t->settings)->a;
    const nn_real keep = (nn_real)(1 / (1 - p));
    const uint64_t limit = (uint64_t)(p * 9007199254740992.0); /* p in units of 2^-53 */
    nn_real *mask = (nn_real *)t->saved;
    const int is_on = nn_net_is_training(t->net) && p > 0;
    for (size_t i = 0; i < count; i++)
        mask[i] = is_on ? (nn_real)(nn_rng_next(&t->net->rng) >> 11 >= limit) * keep : 1;
}

/* y = x mask:  dx = dy mask, with a draw for each element */
static nn_status nn__dropout_forward(nn_tensor *t)
{
    nn__draw_mask(t, t->size);
    nn__k()->mul(t->size, t->src[0]->data, (const nn_real *)t->saved, t->data);
    return NN_OK;
}

static nn_status nn__dropout_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    nn__k()->mul(t->size, t->grad, (const nn_real *)t->saved, nn__gradient_buffer(x));
    nn__gradient_done(x);
    return NN_OK;
}

static nn_tensor *nn__dropout_describe(nn_description *d, const nn_tensor *t)
{
    const double p = nn__described(d, t, "p", 0);
    return t ? NULL : nn_dropout(nn_describe_source(d, 0), p);
}

static const nn_op nn__dropout = {"dropout", nn__dropout_forward, nn__dropout_backward,
                                  nn__tensor_bytes, NULL, NN_OP_TRAINING | NN__OP_CLAIMS,
                                  nn__dropout_describe};

static nn_tensor *nn__dropout_new(const char *call, nn_tensor *x, const nn_op *op, double p)
{
    if (x && !(p >= 0 && p < 1)) return nn__bad_argument(x->net, call, "p", p, "0 <= p < 1");
    nn_tensor *t = nn__node_like(x, op, sizeof(nn__numbers));
    if (t) ((nn__numbers *)t->settings)->a = p;
    return t;
}

NN_DEF nn_tensor *nn_dropout(nn_tensor *x, double p)
{
    return nn__dropout_new("nn_dropout", x, &nn__dropout, p);
}

/* -- operations of the user's own -- */

NN_DEF nn_tensor *nn_custom(size_t count, nn_tensor *const *src, int per_sample, int rank,
                            const size_t *shape, const nn_op *op, void *settings)
{
    size_t full[NN_MAX_RANK] = {0};
    int batched = 0;
    if (count == 0) {
        nn__keep_cause(
            nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_custom: 0 sources, expected at least 1"));
        return NULL;
    }
    nn_net *net = nn__net_of("nn_custom", count, src);
    if (!net) return NULL;
    if (!op || !op->forward)
        return nn__net_fail(net, NN_ERROR_BAD_ARGUMENT, "nn_custom: %s is NULL",
                            op ? "op.forward" : "op");
    if (op->flags & ~(unsigned)(NN_OP_TRAINING | NN_OP_VALUE))
        return nn__bad_argument(net, "nn_custom", "op.flags", op->flags, "flags of nn_op");
    for (size_t i = 0; i < count; i++) batched |= src[i]->batched;
    batched = batched && per_sample;
    if (rank < 0 || rank + batched > NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, "nn_custom", "rank", rank, "0 to 8, batch included");
    for (int i = 0; i < rank; i++) full[batched + i] = shape[i];
    nn_op *copy = (nn_op *)nn__arena(net, 1, sizeof *copy);
    if (!copy) return nn__out_of_memory(net);
    *copy = *op;
    if (!copy->name) copy->name = "custom";
    nn_tensor *t = nn__node_new(net, copy, 0, count, src, batched, rank + batched, full);
    if (t) t->settings = settings;
    return t;
}

/* ------------------------------------------------------------------------------- >>convolution
   Convolutions as operations: Y = f(Z), Z = conv(X, W) + b, with dZ = dY f'(Z) as in a dense layer.
   What they compute stands in >>conv. */

typedef struct nn__conv_settings {
    nn__function f; /* first, as in every layer */
    nn__conv c;
    nn_padding padding; /* as in the desc */
    size_t pad_height, pad_width;
    size_t threads; /* that there is working memory for */
} nn__conv_settings;

/* Everything that the passes of a tensor have in common. */
static nn__conv_pass nn__conv_pass_of(const nn_tensor *t)
{
    nn__conv_pass p;
    memset(&p, 0, sizeof p);
    p.c = &((const nn__conv_settings *)t->settings)->c;
    p.images = nn__rows(t);
    p.w = t->src[1]->data;
    return p;
}

/* The same for the forward pass, which ends with the activation. */
static nn__conv_pass nn__conv_result_of(const nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    nn__conv_pass p = nn__conv_pass_of(t);
    p.to = t->saved ? (nn_real *)t->saved : t->data;
    p.bias = t->src_count > 2 ? t->src[2]->data : NULL;
    p.kind = f->kind, p.alpha = (nn_real)f->alpha, p.activated = t->data;
    return p;
}

static size_t nn__conv_threads(const nn_tensor *t)
{
    return ((const nn__conv_settings *)t->settings)->threads;
}

static size_t nn__conv_scratch(const nn_tensor *t, size_t rows)
{
    nn__conv_settings *s = (nn__conv_settings *)t->settings;
    nn__conv_pass p = nn__conv_pass_of(t);
    p.images = t->batched ? rows : 1;
    s->threads = nn__max_threads(t->net->threads);
    return nn__conv_memory(&p, s->threads);
}

static nn_status nn__conv_op_forward(nn_tensor *t)
{
    nn__conv_pass p = nn__conv_result_of(t);
    p.x = t->src[0]->data;
    nn__conv_forward(&p, nn__conv_threads(t), nn_scratch(t));
    return NN_OK;
}

static nn_status nn__conv_op_backward(nn_tensor *t)
{
    nn__conv_pass p = nn__conv_pass_of(t);
    p.x = t->src[0]->data, p.dy = nn__layer_dz(t);
    p.to = nn__claim_gradient(t->src[1], &p.accumulate);
    if (p.to) nn__conv_weights(&p, nn__conv_threads(t), nn_scratch(t));
    p.to = nn__claim_gradient(t->src[0], &p.accumulate);
    if (p.to) nn__conv_data(&p, nn__conv_threads(t), nn_scratch(t));
    return NN_OK;
}

/* The source is the output of the convolution, the result its input. */
static nn_status nn__conv_transpose_forward(nn_tensor *t)
{
    nn__conv_pass p = nn__conv_result_of(t);
    p.dy = t->src[0]->data;
    nn__conv_data(&p, nn__conv_threads(t), nn_scratch(t));
    return NN_OK;
}

static nn_status nn__conv_transpose_backward(nn_tensor *t)
{
    nn__conv_pass p = nn__conv_pass_of(t);
    p.dy = t->src[0]->data, p.x = nn__layer_dz(t);
    p.to = nn__claim_gradient(t->src[1], &p.accumulate);
    if (p.to) nn__conv_weights(&p, nn__conv_threads(t), nn_scratch(t));
    p.to = nn__claim_gradient(t->src[0], &p.accumulate);
    if (p.to) nn__conv_forward(&p, nn__conv_threads(t), nn_scratch(t));
    return NN_OK;
}

static nn_tensor *nn__conv_describe(nn_description *d, const nn_tensor *t);

#define NN__CONV_FLAGS (NN__OP_CLAIMS | NN__OP_LAYER | NN__OP_PRODUCT)
static const nn_op nn__conv2d = {"conv2d", nn__conv_op_forward, nn__conv_op_backward,
                                 nn__dense_saved, nn__conv_scratch, NN__CONV_FLAGS,
                                 nn__conv_describe};
static const nn_op nn__conv1d = {"conv1d", nn__conv_op_forward, nn__conv_op_backward,
                                 nn__dense_saved, nn__conv_scratch, NN__CONV_FLAGS,
                                 nn__conv_describe};
static const nn_op nn__conv2d_transpose = {"conv2d_transpose", nn__conv_transpose_forward,
                                           nn__conv_transpose_backward, nn__dense_saved,
                                           nn__conv_scratch, NN__CONV_FLAGS, nn__conv_describe};

/* One axis of a convolution: sizes of its input and output, one of which is given, and the padding
   in front. */
typedef struct nn__conv_axis {
    size_t in, out, before;
} nn__conv_axis;

/* Completes the axis, whose input is given, or its output when `transposed`. Its input or output
   is 0 when the kernel exceeds the padded image. NN_ERROR_TOO_LARGE when a size does not fit. */
static nn_status nn__conv_fit(const nn_conv_desc *d, size_t kernel, size_t pad, int transposed,
                              nn__conv_axis *axis)
{
    size_t reach, extent, padded, pads = 2 * pad;
    if (pad > SIZE_MAX / 4 || !nn__multiply(kernel - 1, d->dilation, &reach) || ++reach == 0)
        return NN_ERROR_TOO_LARGE;
    if (!transposed && d->padding == NN_PADDING_SAME)
        axis->out = axis->in / d->stride + (axis->in % d->stride != 0);
    if (transposed || d->padding == NN_PADDING_SAME) {
        if (!nn__multiply(axis->out - 1, d->stride, &extent) ||
            !nn__add_sizes(extent, reach, &extent))
            return NN_ERROR_TOO_LARGE;
        if (d->padding == NN_PADDING_SAME) {
            if (transposed && !nn__multiply(axis->out, d->stride, &axis->in))
                return NN_ERROR_TOO_LARGE;
            axis->before = extent > axis->in ? (extent - axis->in) / 2 : 0;
            return NN_OK;
        }
        axis->in = extent > pads ? extent - pads : 0;
    } else {
        if (!nn__add_sizes(axis->in, pads, &padded)) return NN_ERROR_TOO_LARGE;
        axis->out = padded >= reach ? (padded - reach) / d->stride + 1 : 0;
    }
    axis->before = pad;
    return NN_OK;
}

/* A copy of a desc with the defaults filled in, whose members fit each other; 0 when not. */
static int nn__conv_members(nn_net *net, const char *call, int is_1d, nn_conv_desc *d)
{
    const char *without = NULL;
    if (d->kernel && (d->kernel_height || d->kernel_width)) without = "kernel_height or _width";
    if (is_1d && (d->kernel_height || d->kernel_width)) without = "kernel_height or _width";
    if (d->padding != NN_PADDING_EXPLICIT && d->pad_width) without = "pad_width";
    if ((d->padding != NN_PADDING_EXPLICIT || is_1d) && d->pad_height) without = "pad_height";
    if (is_1d) d->kernel_height = 1, d->kernel_width = d->kernel;
    else if (d->kernel) d->kernel_height = d->kernel_width = d->kernel;
    if (!d->stride) d->stride = 1;
    if (!d->dilation) d->dilation = 1;
    if (!d->groups) d->groups = 1;
    if (!d->filters) nn__bad_argument(net, call, "filters", 0, "at least 1");
    else if ((unsigned)d->padding > NN_PADDING_EXPLICIT)
        nn__bad_argument(net, call, "padding", (double)d->padding, "one of nn_padding");
    else if (without)
        nn__net_fail(net, NN_ERROR_BAD_ARGUMENT,
                     "%s: %s is set, which has no meaning beside the other members", call, without);
    else if (!d->kernel_height || !d->kernel_width)
        nn__net_fail(net, NN_ERROR_BAD_ARGUMENT,
                     "%s: the kernel is %llu x %llu, expected at least 1 x 1", call,
                     (nn__ull)d->kernel_height, (nn__ull)d->kernel_width);
    return net->status == NN_OK;
}

/* The geometry for a source of that shape; 0 with an error where there is none. */
static int nn__conv_geometry(const char *call, const nn_tensor *x, const nn_conv_desc *d, int is_1d,
                             int transposed, nn__conv *c)
{
    const size_t *shape = x->shape + x->batched, channels = x->shape[x->rank - 1];
    const size_t height = is_1d ? 1 : shape[0], width = shape[is_1d ? 0 : 1];
    nn__conv_axis y = {height, height, 0}, across = {width, width, 0};
    if (channels % d->groups || d->filters % d->groups) {
        nn__net_fail(x->net, NN_ERROR_BAD_ARGUMENT,
                     "%s: %llu groups do not divide %llu channels and %llu filters", call,
                     (nn__ull)d->groups, (nn__ull)channels, (nn__ull)d->filters);
        return 0;
    }
    const nn_status down = nn__conv_fit(d, d->kernel_height, d->pad_height, transposed, &y);
    const nn_status right = nn__conv_fit(d, d->kernel_width, d->pad_width, transposed, &across);
    char text[NN__SHAPE_TEXT];
    if (down != NN_OK || right != NN_OK)
        nn__net_fail(x->net, NN_ERROR_TOO_LARGE, "%s: sizes for shape %s do not fit", call,
                     nn__tensor_shape(x, text));
    else if (!y.in || !y.out || !across.in || !across.out)
        nn__net_fail(x->net, NN_ERROR_BAD_SHAPE,
                     "%s: a kernel of %llu x %llu with dilation %llu does not fit shape %s with "
                     "padding %llu x %llu", call, (nn__ull)d->kernel_height,
                     (nn__ull)d->kernel_width, (nn__ull)d->dilation, nn__tensor_shape(x, text),
                     (nn__ull)d->pad_height, (nn__ull)d->pad_width);
    c->h = y.in, c->oh = y.out, c->top = y.before;
    c->w = across.in, c->ow = across.out, c->left = across.before;
    c->ci = transposed ? d->filters : channels, c->co = transposed ? channels : d->filters;
    c->kh = d->kernel_height, c->kw = d->kernel_width;
    c->stride = d->stride, c->dilation = d->dilation, c->groups = d->groups;
    return x->net->status == NN_OK;
}

/* The layer's parameters. */
static int nn__conv_parameters(const char *call, const nn_op *op, nn_tensor **src,
                               const nn_conv_desc *d, const nn__conv *c)
{
    const double taps = (double)c->kh * (double)c->kw / (double)c->groups;
    size_t weight[4];
    nn__layer layer = {op, call, NULL, d->weight, d->bias, NULL, NULL, 0, 0,
                       "a shared parameter of [kernel height, width, channels / groups, filters], "
                       "or [filters]"};
    layer.name = d->name, layer.no_bias = d->no_bias, layer.decay_bias = d->decay_bias;
    layer.shared_weight = d->shared_weight, layer.shared_bias = d->shared_bias;
    if (!nn__check_layer(src[0]->net, &layer)) return 0;
    const double channels = (double)src[0]->shape[src[0]->rank - 1];
    if (!(layer.weight.fan_in > 0)) layer.weight.fan_in = taps * channels;
    if (!(layer.weight.fan_out > 0)) layer.weight.fan_out = taps * (double)d->filters;
    weight[0] = c->kh, weight[1] = c->kw, weight[2] = c->ci / c->groups, weight[3] = c->co;
    return nn__layer_parameters(src, &layer, 4, weight, d->filters);
}

static nn_tensor *nn__conv_new(const nn_op *op, nn_tensor *x, const nn_conv_desc *desc)
{
    char call[64];
    nn_tensor *src[3] = {x, NULL, NULL};
    nn_net *net = nn__common_net(nn__call(op, call), 1, src);
    const int is_1d = op == &nn__conv1d, transposed = op == &nn__conv2d_transpose;
    size_t shape[NN_MAX_RANK] = {0};
    nn_conv_desc d;
    nn__conv_settings s;
    if (!net) return NULL;
    if (!desc) return nn__fail_null(call, "desc"), nn__net_failed(net, NN_ERROR_BAD_ARGUMENT);
    d = *desc;
    if (x->rank - x->batched != 3 - is_1d)
        return nn__bad_shape(call, x, is_1d ? "[length, channels]" : "[height, width, channels]");
    memset(&s, 0, sizeof s);
    s.f.kind = d.activation, s.f.alpha = nn__default_alpha(d.activation, d.alpha);
    if (!nn__check_function(net, call, d.activation, s.f.alpha)) return NULL;
    if (!nn__conv_members(net, call, is_1d, &d)) return NULL;
    if (!nn__conv_geometry(call, x, &d, is_1d, transposed, &s.c)) return NULL;
    if (!nn__conv_parameters(call, op, src, &d, &s.c)) return NULL;
    s.padding = d.padding, s.pad_height = d.pad_height, s.pad_width = d.pad_width;
    int rank = x->batched;
    if (!is_1d) shape[rank++] = transposed ? s.c.h : s.c.oh;
    shape[rank++] = transposed ? s.c.w : s.c.ow;
    shape[rank++] = d.filters;
    nn_tensor *t = nn__node_new(net, op, sizeof s, d.no_bias ? 2 : 3, src, x->batched, rank, shape);
    if (t) *(nn__conv_settings *)t->settings = s;
    return t && d.name ? nn__name(call, t, d.name) : t;
}

/* The kernel and the filters are the weight's. */
static nn_tensor *nn__conv_describe(nn_description *d, const nn_tensor *t)
{
    static const char *const names[] = {"same", "valid", "explicit"};
    const nn__function f = nn__function_describe(d, t);
    const nn__conv_settings *s = t ? (const nn__conv_settings *)t->settings : NULL;
    const int is_1d = d->op == &nn__conv1d, transposed = d->op == &nn__conv2d_transpose;
    const nn_tensor *w;
    nn_conv_desc desc;
    memset(&desc, 0, sizeof desc);
    if (s) {
        desc.stride = s->c.stride, desc.dilation = s->c.dilation, desc.groups = s->c.groups;
        desc.padding = s->padding, desc.pad_height = s->pad_height, desc.pad_width = s->pad_width;
    }
    int padding = (int)desc.padding;
    nn_describe_size(d, "stride", &desc.stride);
    nn_describe_size(d, "dilation", &desc.dilation);
    nn_describe_size(d, "groups", &desc.groups);
    nn_describe_choice(d, "padding", &padding, names, 3);
    nn_describe_size(d, "pad_height", &desc.pad_height);
    nn_describe_size(d, "pad_width", &desc.pad_width);
    desc.padding = (nn_padding)padding;
    desc.activation = f.kind, desc.alpha = f.alpha != 0 ? f.alpha : NN_ZERO;
    desc.shared_weight = nn_describe_source(d, 1), desc.shared_bias = nn_describe_source(d, 2);
    desc.no_bias = d->src_count < 3;
    w = desc.shared_weight;
    if (t) return NULL;
    if (w && w->rank == 4) {
        desc.filters = transposed ? w->shape[2] * desc.groups : w->shape[3];
        desc.kernel = is_1d ? w->shape[1] : 0;
        if (!is_1d) desc.kernel_height = w->shape[0], desc.kernel_width = w->shape[1];
    }
    return nn__conv_new(d->op, nn_describe_source(d, 0), &desc);
}

NN_DEF nn_tensor *nn_conv2d_with(nn_tensor *x, const nn_conv_desc *desc)
{
    return nn__conv_new(&nn__conv2d, x, desc);
}

NN_DEF nn_tensor *nn_conv1d_with(nn_tensor *x, const nn_conv_desc *desc)
{
    return nn__conv_new(&nn__conv1d, x, desc);
}

NN_DEF nn_tensor *nn_conv2d_transpose_with(nn_tensor *x, const nn_conv_desc *desc)
{
    return nn__conv_new(&nn__conv2d_transpose, x, desc);
}

static nn_conv_desc nn__conv_desc(size_t filters, size_t kernel, size_t stride)
{
    nn_conv_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.filters = filters, desc.kernel = kernel, desc.stride = stride;
    return desc;
}

NN_DEF nn_tensor *nn_conv2d(nn_tensor *x, size_t filters, size_t kernel)
{
    const nn_conv_desc desc = nn__conv_desc(filters, kernel, 1);
    return nn_conv2d_with(x, &desc);
}

NN_DEF nn_tensor *nn_conv1d(nn_tensor *x, size_t filters, size_t kernel)
{
    const nn_conv_desc desc = nn__conv_desc(filters, kernel, 1);
    return nn_conv1d_with(x, &desc);
}

NN_DEF nn_tensor *nn_conv2d_transpose(nn_tensor *x, size_t filters, size_t kernel, size_t stride)
{
    const nn_conv_desc desc = nn__conv_desc(filters, kernel, stride);
    return nn_conv2d_transpose_with(x, &desc);
}

/* ----------------------------------------------------------------------------------- >>pooling
   Windows over images, [batch, height, width, channels], and over sequences, [batch, length,
   channels], which count as images of width 1. Pooling takes a number from each window, so its
   gradient goes from a pixel of the small image to a window of the large one; upsampling is the
   same thing the other way round. */

static nn__pool *nn__pool_of(const nn_tensor *t) { return (nn__pool *)t->settings; }

/* One pass over a batch, from large images to small ones (down), or back. */
typedef struct nn__pool_pass {
    const nn__pool *pool;
    int down, zero, add;
    size_t outer, inner; /* reals in a large image, and in a small one */
    const nn_real *from;
    nn_real *to;
    nn_real *which; /* of a maximum: which pixel of a window it was, from 0; or NULL */
} nn__pool_pass;

static void nn__pool_range(void *context, size_t begin, size_t end)
{
    const nn__pool_pass *s = (const nn__pool_pass *)context;
    const size_t from_size = s->down ? s->outer : s->inner, to_size = s->down ? s->inner : s->outer;
    for (size_t i = begin; i < end; i++) {
        const nn_real *from = s->from + i * from_size;
        nn_real *to = s->to + i * to_size, *which = s->which ? s->which + i * s->inner : NULL;
        if (s->zero) memset(to, 0, to_size * sizeof *to);
        if (s->down && which) nn__k()->max_pool(s->pool, from, to, which);
        else if (s->down) nn__k()->sum_pool(s->pool, from, to, s->add);
        else if (which) nn__k()->max_pool_backward(s->pool, from, which, to, s->add);
        else nn__k()->spread_pool(s->pool, from, to, s->add);
    }
}

/* Whether each pixel lies in one window. */
static int nn__is_tiled(const nn__pool *p)
{
    for (int d = 0; d < 2; d++)
        if (p->adaptive ? p->in[d] % p->out[d] != 0
                        : p->kernel[d] != p->stride[d] || p->padding[d] ||
                              p->in[d] != p->out[d] * p->kernel[d])
            return 0;
    return 1;
}

static void nn__pool_run(const nn_tensor *t, int down, const nn_real *from, nn_real *to,
                         int accumulate, nn_real *which)
{
    const nn__pool *p = nn__pool_of(t);
    nn__pool_pass s;
    s.pool = p, s.down = down, s.from = from, s.to = to, s.which = which;
    s.outer = p->in[0] * p->in[1] * p->channels, s.inner = p->out[0] * p->out[1] * p->channels;
    s.zero = !down && !accumulate && !nn__is_tiled(p);
    s.add = accumulate || s.zero;
    nn__parallel(t->net->threads, nn__rows(t), nn__grain_rows(s.outer), nn__pool_range, &s);
}

static nn_status nn__pool_backward(nn_tensor *t, int down, nn_real *which)
{
    int accumulate;
    nn_real *dx = nn__claim_gradient(t->src[0], &accumulate);
    if (dx) nn__pool_run(t, down, t->grad, dx, accumulate, which);
    return NN_OK;
}

/* x as the large image (`large`) or the small one of a pooling. */
static int nn__as_image(const char *call, nn_tensor *x, nn__pool *p, int large)
{
    size_t *size = large ? p->in : p->out;
    const int rank = x ? x->rank - x->batched : 0;
    memset(p, 0, sizeof *p);
    if (!nn__common_net(call, 1, &x)) return 0;
    if (rank < 2 || rank > 3) {
        nn__bad_shape(call, x, "a sample of [height, width, channels] or [length, channels]");
        return 0;
    }
    size[0] = x->shape[x->batched], size[1] = rank > 2 ? x->shape[x->batched + 1] : 1;
    p->channels = x->shape[x->rank - 1];
    return 1;
}

static int nn__is_sequence(const nn_tensor *x) { return x->rank - x->batched == 2; }

/* A node of images of that size, of [channels] alone for NULL. */
static nn_tensor *nn__image_new(nn_tensor *x, const nn_op *op, size_t settings, const size_t *size)
{
    size_t shape[NN_MAX_RANK] = {0};
    int rank = x->batched;
    for (int d = 0; size && d < x->rank - x->batched - 1; d++) shape[rank++] = size[d];
    shape[rank++] = x->shape[x->rank - 1];
    return nn__node_new(x->net, op, settings, 1, &x, x->batched, rank, shape);
}

static nn_tensor *nn__pool_new(nn_tensor *x, const nn_op *op, const nn__pool *p, const size_t *size)
{
    nn_tensor *t = nn__image_new(x, op, sizeof *p, size);
    if (t) *nn__pool_of(t) = *p;
    return t;
}

/* -- windows -- */

/* The windows along dimension d: how many there are. */
static int nn__count_windows(const char *call, nn_tensor *x, int d, nn__pool *p)
{
    size_t padded;
    if (p->kernel[d] == 0 || p->stride[d] == 0)
        nn__bad_argument(x->net, call, p->kernel[d] ? "the stride" : "the kernel", 0, "at least 1");
    else if (p->padding[d] >= p->kernel[d])
        nn__bad_argument(x->net, call, d || nn__is_sequence(x) ? "pad_width" : "pad_height",
                         (double)p->padding[d],
                         "less than the kernel, or a window would lie outside the image");
    else if (!nn__add_sizes(p->padding[d], p->padding[d], &padded) ||
             !nn__add_sizes(padded, p->in[d], &padded) || p->kernel[d] > padded) {
        char text[NN__SHAPE_TEXT];
        nn__net_fail(x->net, NN_ERROR_BAD_SHAPE,
                     "%s: a kernel of %llu along dimension %d of shape %s with padding %llu: it is "
                     "larger than the image",
                     call, (nn__ull)p->kernel[d], d, nn__tensor_shape(x, text),
                     (nn__ull)p->padding[d]);
    } else p->out[d] = (padded - p->kernel[d]) / p->stride[d] + 1;
    return x->net->status == NN_OK;
}

/* Pixels of a window are numbered in nn_real. */
static int nn__check_window(const char *call, nn_tensor *x, const nn__pool *p)
{
    size_t area;
    if (nn__multiply(p->kernel[0], p->kernel[1], &area) && area <= (size_t)1 << 24) return 1;
    nn__net_fail(x->net, NN_ERROR_TOO_LARGE,
                 "%s: a window of %llu x %llu pixels, at most 2^24 are possible", call,
                 (nn__ull)p->kernel[0], (nn__ull)p->kernel[1]);
    return 0;
}

/* A pooling of x with the kernel, stride and padding of `wanted`. */
static nn_tensor *nn__pool_fit(const char *call, nn_tensor *x, const nn_op *op,
                               const nn__pool *wanted)
{
    nn__pool p;
    if (!nn__as_image(call, x, &p, 1)) return NULL;
    for (int d = 0; d < 2; d++) {
        p.kernel[d] = wanted->kernel[d], p.stride[d] = wanted->stride[d];
        p.padding[d] = wanted->padding[d];
        if (!nn__count_windows(call, x, d, &p)) return NULL;
    }
    p.divide = wanted->divide;
    return nn__check_window(call, x, &p) ? nn__pool_new(x, op, &p, p.out) : NULL;
}

static nn_tensor *nn__pool_with(const char *call, nn_tensor *x, const nn_op *op,
                                const nn_pool_desc *desc)
{
    nn__pool p;
    if (!nn__as_image(call, x, &p, 1)) return NULL;
    if (!desc)
        return nn__net_fail(x->net, NN_ERROR_BAD_ARGUMENT, "%s: the desc is NULL", call);
    const size_t extra[3] = {desc->kernel_height, desc->kernel_width, desc->pad_height};
    static const char *const names[3] = {"kernel_height", "kernel_width", "pad_height"};
    for (int i = 0; i < 3; i++)
        if (extra[i] && (nn__is_sequence(x) || (i < 2 && desc->kernel)))
            return nn__bad_argument(x->net, call, names[i], (double)extra[i],
                                    nn__is_sequence(x) ? "0 for a sequence" : "0 beside kernel");
    p.kernel[0] = p.kernel[1] = desc->kernel;
    if (!desc->kernel) p.kernel[0] = desc->kernel_height, p.kernel[1] = desc->kernel_width;
    if (!p.kernel[0] || !p.kernel[1])
        return nn__bad_argument(x->net, call, "kernel", 0,
                                "at least 1, or kernel_height and kernel_width");
    p.padding[0] = nn__is_sequence(x) ? desc->pad_width : desc->pad_height;
    p.padding[1] = desc->pad_width;
    for (int d = 0; d < 2; d++) p.stride[d] = desc->stride ? desc->stride : p.kernel[d];
    if (nn__is_sequence(x)) p.kernel[1] = p.stride[1] = 1, p.padding[1] = 0;
    p.divide = desc->exclude_padding ? NN__DIVIDE_BY_COUNT : NN__DIVIDE_BY_KERNEL;
    return nn__pool_fit(call, x, op, &p);
}

static nn_pool_desc nn__square(size_t size)
{
    nn_pool_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.kernel = size;
    return desc;
}

/* One window, all of x. */
static nn_tensor *nn__global_pool(const char *call, nn_tensor *x, const nn_op *op)
{
    nn__pool p;
    if (!nn__as_image(call, x, &p, 1)) return NULL;
    for (int d = 0; d < 2; d++) p.kernel[d] = p.stride[d] = p.in[d], p.out[d] = 1;
    p.divide = NN__DIVIDE_BY_KERNEL;
    return nn__check_window(call, x, &p) ? nn__pool_new(x, op, &p, NULL) : NULL;
}

/* Windows that share x out. */
static nn_tensor *nn__adaptive_pool(const char *call, nn_tensor *x, const nn_op *op, size_t height,
                                    size_t width)
{
    nn__pool p;
    size_t product;
    if (!nn__as_image(call, x, &p, 1)) return NULL;
    if (height == 0 || width == 0 || (nn__is_sequence(x) && width != 1))
        return nn__bad_argument(x->net, call, height ? "width" : "height",
                                (double)(height ? width : height),
                                height && width ? "1 for a sequence" : "at least 1");
    p.out[0] = height, p.out[1] = width;
    p.adaptive = 1, p.divide = NN__DIVIDE_BY_COUNT;
    if (!nn__multiply(height, p.in[0], &product) || !nn__multiply(width, p.in[1], &product))
        return nn__net_fail(x->net, NN_ERROR_TOO_LARGE, "%s: %llu x %llu does not fit", call,
                            (nn__ull)height, (nn__ull)width);
    return nn__pool_new(x, op, &p, p.out);
}

static nn_tensor *nn__pool_describe(nn_description *d, const nn_tensor *t)
{
    char call[64];
    nn__pool p;
    size_t both = 2;
    int global = t && t->rank == t->batched + 1, exclude;
    nn_tensor *x = nn_describe_source(d, 0);
    memset(&p, 0, sizeof p);
    if (t) p = *nn__pool_of(t);
    exclude = p.divide == NN__DIVIDE_BY_COUNT;
    nn_describe_int(d, "global", &global);
    nn_describe_int(d, "adaptive", &p.adaptive);
    nn_describe_sizes(d, "windows", p.out, &both, 2);
    nn_describe_sizes(d, "kernel", p.kernel, &both, 2);
    nn_describe_sizes(d, "stride", p.stride, &both, 2);
    nn_describe_sizes(d, "padding", p.padding, &both, 2);
    nn_describe_int(d, "exclude_padding", &exclude);
    p.divide = exclude ? NN__DIVIDE_BY_COUNT : NN__DIVIDE_BY_KERNEL;
    if (t) return NULL;
    nn__call(d->op, call);
    if (global) return nn__global_pool(call, x, d->op);
    return p.adaptive ? nn__adaptive_pool(call, x, d->op, p.out[0], p.out[1])
                      : nn__pool_fit(call, x, d->op, &p);
}

/* -- maximum -- */

/* y = max of the window:  dx = dy at the first pixel that is the largest, which forward saves */
static nn_status nn__max_pool_forward(nn_tensor *t)
{
    nn__pool_run(t, 1, t->src[0]->data, t->data, 0, (nn_real *)t->saved);
    return NN_OK;
}

static nn_status nn__max_pool_backward(nn_tensor *t)
{
    return nn__pool_backward(t, 0, (nn_real *)t->saved);
}

static const nn_op nn__max_pool = {"max_pool", nn__max_pool_forward, nn__max_pool_backward,
                                   nn__tensor_bytes, NULL, NN__OP_CLAIMS, nn__pool_describe};

NN_DEF nn_tensor *nn_max_pool_with(nn_tensor *x, const nn_pool_desc *desc)
{
    if (x && desc && desc->exclude_padding)
        return nn__bad_argument(x->net, "nn_max_pool", "exclude_padding", desc->exclude_padding,
                                "0: a maximum never takes it in");
    return nn__pool_with("nn_max_pool", x, &nn__max_pool, desc);
}

NN_DEF nn_tensor *nn_max_pool(nn_tensor *x, size_t size)
{
    const nn_pool_desc desc = nn__square(size);
    return nn_max_pool_with(x, &desc);
}

NN_DEF nn_tensor *nn_global_max_pool(nn_tensor *x)
{
    return nn__global_pool("nn_global_max_pool", x, &nn__max_pool);
}

/* -- average -- */

/* y = sum of the window / its size:  dx = the sum of dy / size over the windows around the pixel */
static nn_status nn__average_pool_forward(nn_tensor *t)
{
    nn__pool_run(t, 1, t->src[0]->data, t->data, 0, NULL);
    return NN_OK;
}

static nn_status nn__average_pool_backward(nn_tensor *t) { return nn__pool_backward(t, 0, NULL); }

static const nn_op nn__average_pool = {"average_pool", nn__average_pool_forward,
                                       nn__average_pool_backward, NULL, NULL, NN__OP_CLAIMS,
                                       nn__pool_describe};

NN_DEF nn_tensor *nn_average_pool_with(nn_tensor *x, const nn_pool_desc *desc)
{
    return nn__pool_with("nn_average_pool", x, &nn__average_pool, desc);
}

NN_DEF nn_tensor *nn_average_pool(nn_tensor *x, size_t size)
{
    const nn_pool_desc desc = nn__square(size);
    return nn_average_pool_with(x, &desc);
}

NN_DEF nn_tensor *nn_global_average_pool(nn_tensor *x)
{
    return nn__global_pool("nn_global_average_pool", x, &nn__average_pool);
}

NN_DEF nn_tensor *nn_adaptive_average_pool(nn_tensor *x, size_t height, size_t width)
{
    return nn__adaptive_pool("nn_adaptive_average_pool", x, &nn__average_pool, height, width);
}

/* -- larger and smaller images -- */

/* y = the pixel of x that it lies in:  dx = the sum of dy over its pixels */
static nn_status nn__upsample_forward(nn_tensor *t)
{
    nn__pool_run(t, 0, t->src[0]->data, t->data, 0, NULL);
    return NN_OK;
}

static nn_status nn__upsample_backward(nn_tensor *t) { return nn__pool_backward(t, 1, NULL); }

static nn_tensor *nn__upsample_describe(nn_description *d, const nn_tensor *t)
{
    size_t factor = t ? nn__pool_of(t)->kernel[0] : 0;
    nn_describe_size(d, "factor", &factor);
    return t ? NULL : nn_upsample(nn_describe_source(d, 0), factor);
}

static const nn_op nn__upsample = {"upsample", nn__upsample_forward, nn__upsample_backward, NULL,
                                   NULL, NN__OP_CLAIMS, nn__upsample_describe};

NN_DEF nn_tensor *nn_upsample(nn_tensor *x, size_t factor)
{
    nn__pool p;
    if (!nn__as_image("nn_upsample", x, &p, 0)) return NULL;
    if (factor == 0) return nn__bad_argument(x->net, "nn_upsample", "factor", 0, "at least 1");
    for (int d = 0; d < 2; d++) {
        p.kernel[d] = p.stride[d] = d && nn__is_sequence(x) ? 1 : factor;
        if (!nn__multiply(p.out[d], p.kernel[d], &p.in[d]))
            return nn__net_fail(x->net, NN_ERROR_TOO_LARGE, "nn_upsample: %llu times %llu pixels "
                                "do not fit", (nn__ull)factor, (nn__ull)p.out[d]);
    }
    return nn__pool_new(x, &nn__upsample, &p, p.in);
}

/* The part of a large image, from (top, left) on, that a small one is. */
typedef struct nn__frame {
    size_t outer[2], inner[2], begin[2], channels;
} nn__frame;

/* Copies the part of each image to the small ones, or from there into the large ones. */
static void nn__frame_copy(const nn_tensor *t, int to_large, const nn_real *from, nn_real *to)
{
    const nn__frame *f = (const nn__frame *)t->settings;
    const size_t run = f->inner[1] * f->channels, row = f->outer[1] * f->channels;
    const size_t offset = f->begin[0] * row + f->begin[1] * f->channels;
    if (to_large) memset(to, 0, nn__rows(t) * f->outer[0] * row * sizeof *to);
    for (size_t i = 0; i < nn__rows(t); i++)
        for (size_t y = 0; y < f->inner[0]; y++) {
            const size_t at = (i * f->outer[0] + y) * row + offset;
            const size_t inside = (i * f->inner[0] + y) * run;
            memcpy(to + (to_large ? at : inside), from + (to_large ? inside : at),
                   run * sizeof *to);
        }
}

static nn_tensor *nn__frame_describe(nn_description *d, const nn_tensor *t);

/* y = x in zeros:  dx = that part of dy */
static nn_status nn__pad_forward(nn_tensor *t)
{
    nn__frame_copy(t, 1, t->src[0]->data, t->data);
    return NN_OK;
}

static nn_status nn__pad_backward(nn_tensor *t)
{
    nn__frame_copy(t, 0, t->grad, nn__gradient_buffer(t->src[0]));
    nn__gradient_done(t->src[0]);
    return NN_OK;
}

static const nn_op nn__pad = {"pad", nn__pad_forward, nn__pad_backward, NULL, NULL, NN__OP_CLAIMS,
                              nn__frame_describe};

/* y = a part of x:  dx = dy in zeros */
static nn_status nn__crop_forward(nn_tensor *t)
{
    nn__frame_copy(t, 0, t->src[0]->data, t->data);
    return NN_OK;
}

static nn_status nn__crop_backward(nn_tensor *t)
{
    nn__frame_copy(t, 1, t->grad, nn__gradient_buffer(t->src[0]));
    nn__gradient_done(t->src[0]);
    return NN_OK;
}

static const nn_op nn__crop = {"crop", nn__crop_forward, nn__crop_backward, NULL, NULL,
                               NN__OP_CLAIMS, nn__frame_describe};

/* x is the image of f that is not the larger, for `pad`, or the larger one. */
static nn_tensor *nn__frame_new(nn_tensor *x, int pad, size_t top, size_t bottom, size_t left,
                                size_t right)
{
    const char *call = pad ? "nn_pad" : "nn_crop";
    const size_t begin[2] = {top, left}, end[2] = {bottom, right};
    nn__pool p;
    nn__frame f;
    if (!nn__as_image(call, x, &p, 1)) return NULL;
    if (nn__is_sequence(x) && (left || right))
        return nn__bad_argument(x->net, call, left ? "left" : "right",
                                (double)(left ? left : right), "0 for a sequence");
    f.channels = p.channels;
    for (int d = 0; d < 2; d++) {
        size_t both;
        const int fits = nn__add_sizes(begin[d], end[d], &both);
        f.begin[d] = begin[d], f.outer[d] = f.inner[d] = p.in[d];
        if (pad && (!fits || !nn__add_sizes(both, p.in[d], &f.outer[d])))
            return nn__net_fail(x->net, NN_ERROR_TOO_LARGE, "%s: the sum does not fit", call);
        if (!pad && (!fits || both >= p.in[d]))
            return nn__net_fail(x->net, NN_ERROR_BAD_SHAPE,
                                "nn_crop: %llu and %llu of %llu pixels, expected less in all",
                                (nn__ull)begin[d], (nn__ull)end[d], (nn__ull)p.in[d]);
        if (!pad) f.inner[d] = p.in[d] - both;
    }
    nn_tensor *t = nn__image_new(x, pad ? &nn__pad : &nn__crop, sizeof f, pad ? f.outer : f.inner);
    if (t) *(nn__frame *)t->settings = f;
    return t;
}

NN_DEF nn_tensor *nn_pad(nn_tensor *x, size_t top, size_t bottom, size_t left, size_t right)
{
    return nn__frame_new(x, 1, top, bottom, left, right);
}

NN_DEF nn_tensor *nn_crop(nn_tensor *x, size_t top, size_t bottom, size_t left, size_t right)
{
    return nn__frame_new(x, 0, top, bottom, left, right);
}

static nn_tensor *nn__frame_describe(nn_description *d, const nn_tensor *t)
{
    const nn__frame *f = t ? (const nn__frame *)t->settings : NULL;
    size_t sides[4] = {0}, four = 4;
    for (int i = 0; f && i < 2; i++) {
        sides[2 * i] = f->begin[i];
        sides[2 * i + 1] = f->outer[i] - f->begin[i] - f->inner[i];
    }
    nn_describe_sizes(d, "sides", sides, &four, 4);
    if (t) return NULL;
    return nn__frame_new(nn_describe_source(d, 0), d->op == &nn__pad, sides[0], sides[1], sides[2],
                         sides[3]);
}

/* y = x mask:  dx = dy mask, as in dropout, with a draw for each channel of each sample */
static void nn__mask_channels(const nn_tensor *t, const nn_real *from, nn_real *to)
{
    const size_t channels = t->shape[t->rank - 1];
    const nn_real *mask = (const nn_real *)t->saved;
    for (size_t i = 0; i < t->size; i += t->row_size, mask += channels)
        for (size_t j = i; j < i + t->row_size; j += channels)
            nn__k()->mul(channels, from + j, mask, to + j);
}

static nn_status nn__spatial_dropout_forward(nn_tensor *t)
{
    nn__draw_mask(t, nn__rows(t) * t->shape[t->rank - 1]);
    nn__mask_channels(t, t->src[0]->data, t->data);
    return NN_OK;
}

static nn_status nn__spatial_dropout_backward(nn_tensor *t)
{
    nn__mask_channels(t, t->grad, nn__gradient_buffer(t->src[0]));
    nn__gradient_done(t->src[0]);
    return NN_OK;
}

static size_t nn__spatial_dropout_saved(const nn_tensor *t, size_t rows)
{
    return nn__bytes(t->batched ? rows : 1, t->shape[t->rank - 1], sizeof(nn_real));
}

static nn_tensor *nn__spatial_dropout_describe(nn_description *d, const nn_tensor *t)
{
    const double p = nn__described(d, t, "p", 0);
    return t ? NULL : nn_spatial_dropout(nn_describe_source(d, 0), p);
}

static const nn_op nn__spatial_dropout = {
    "spatial_dropout", nn__spatial_dropout_forward, nn__spatial_dropout_backward,
    nn__spatial_dropout_saved, NULL, NN_OP_TRAINING | NN__OP_CLAIMS, nn__spatial_dropout_describe};

NN_DEF nn_tensor *nn_spatial_dropout(nn_tensor *x, double p)
{
    nn__pool image;
    if (!nn__as_image("nn_spatial_dropout", x, &image, 1)) return NULL;
    return nn__dropout_new("nn_spatial_dropout", x, &nn__spatial_dropout, p);
}

/* ----------------------------------------------------------------------------- >>normalization
   y = (x - mean) / d * w + b, where d = sqrt(variance + epsilon). With xh = (x - mean) / d and
   g = dy w, and means over the same values:

       dx = (g - mean g - xh mean(g xh)) / d,   dw = sum dy xh,   db = sum dy

   Batch and group normalisation see a matrix of pixels by channels in segments: the whole batch, or
   one sample each. Segments are summed in chunks of rows, as reals: first the means of a chunk,
   then the squares of what is left when they are taken off, while the cache has the chunk. Chunks
   are merged in double and in their order, which no number of threads changes (Chan, Golub and
   LeVeque, "Algorithms for computing the sample variance", 1983). */

typedef struct nn__norm_settings {
    size_t groups;   /* of channels; batch normalisation: the channels */
    int per_sample;  /* a segment is a sample */
    int relu, is_population;
    int is_training; /* batch normalisation, of the last forward: 0: with the running statistics */
    double epsilon, momentum;
} nn__norm_settings;

enum {
    NN__FOLDED = 32,      /* rows of fewer channels are joined to rows of so many values or more */
    NN__COLUMNS = 64,     /* columns that are summed at once */
    NN__CHUNK_REALS = 4096,
    NN__CHUNK_ROWS = 64,  /* a chunk has so many reals or so many rows, whichever is more */
    NN__NORM_NUMBERS = 5  /* arrays in nn__norm */
};

typedef struct nn__norm_pass {
    size_t rows, channels;
    size_t segment, segments; /* rows in a segment, and how many of them there are */
    size_t chunk, chunks;     /* rows in a chunk, and how many of them a segment has */
    const nn_real *x, *dy;
    nn_real *out;
    int accumulate, relu;
    double *sums;     /* [segments, chunks, 2, channels] */
    nn_real *numbers; /* [segments, 5, channels]: the arrays of nn__norm */
} nn__norm_pass;

/* The rows of one chunk. */
typedef struct nn__norm_chunk {
    size_t segment, first, rows;
} nn__norm_chunk;

static size_t nn__fold(size_t channels)
{
    return channels < NN__FOLDED ? (NN__FOLDED + channels - 1) / channels : 1;
}

static nn__norm_pass nn__norm_begin(const nn_tensor *t, size_t batch)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    nn__norm_pass p;
    memset(&p, 0, sizeof p);
    p.channels = t->shape[t->rank - 1];
    p.segment = t->row_size / p.channels;
    p.rows = (t->batched ? batch : 1) * p.segment;
    if (!s->per_sample) p.segment = p.rows;
    p.segments = p.rows / p.segment;
    p.chunk = nn__round_up(nn__max_size(NN__CHUNK_REALS / p.channels, NN__CHUNK_ROWS),
                           nn__fold(p.channels));
    p.chunks = (p.segment + p.chunk - 1) / p.chunk;
    p.relu = s->relu;
    p.sums = (double *)t->net->workspace; /* NULL while the memory is measured */
    if (p.sums) p.numbers = (nn_real *)(void *)(p.sums + p.segments * p.chunks * 2 * p.channels);
    return p;
}

static size_t nn__norm_scratch(const nn_tensor *t, size_t rows)
{
    const nn__norm_pass p = nn__norm_begin(t, rows);
    size_t bytes;
    const int fits = nn__add_sizes(
        nn__bytes(p.segments * p.chunks, 2 * p.channels, sizeof(double)),
        nn__bytes(p.segments, NN__NORM_NUMBERS * p.channels, sizeof(nn_real)), &bytes);
    return fits ? bytes : SIZE_MAX;
}

/* Mean and 1 / d of each group of each segment */
static size_t nn__norm_saved(const nn_tensor *t, size_t rows)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    return nn__bytes(nn__norm_begin(t, rows).segments, 2 * s->groups, sizeof(nn_real));
}

static nn__norm_chunk nn__norm_chunk_of(const nn__norm_pass *p, size_t k)
{
    nn__norm_chunk c;
    const size_t begin = k % p->chunks * p->chunk;
    c.segment = k / p->chunks;
    c.first = c.segment * p->segment + begin;
    c.rows = nn__min_size(p->chunk, p->segment - begin);
    return c;
}

/* The numbers of a segment, repeated in `space` where rows are joined. */
static nn__norm nn__norm_numbers(const nn__norm_pass *p, size_t segment,
                                 nn_real space[NN__NORM_NUMBERS][2 * NN__FOLDED])
{
    const nn_real *array[NN__NORM_NUMBERS];
    const size_t fold = nn__fold(p->channels);
    nn__norm s;
    for (size_t i = 0; i < NN__NORM_NUMBERS; i++) {
        array[i] = p->numbers + (segment * NN__NORM_NUMBERS + i) * p->channels;
        for (size_t j = 0; fold > 1 && j < fold; j++)
            memcpy(space[i] + j * p->channels, array[i], p->channels * sizeof *array[i]);
        if (fold > 1) array[i] = space[i];
    }
    s.center = array[0], s.scale = array[1], s.shift = array[2];
    s.slope = array[3], s.offset = array[4], s.relu = p->relu;
    return s;
}

/* The sums over a chunk's columns from j on, n of them; n / fold of each kind come out. */
static void nn__norm_sum_columns(const nn__norm_pass *p, nn__norm_chunk chunk, size_t j, size_t n,
                                 const nn__norm *s, double *sum, double *product)
{
    nn_real sums[NN__COLUMNS] = {0}, products[NN__COLUMNS] = {0};
    const size_t fold = nn__fold(p->channels), wide = fold * p->channels, at = n / fold;
    const size_t joined = chunk.rows / fold, rest = chunk.rows % fold * p->channels;
    const nn_real *x = p->x + chunk.first * p->channels + j;
    const nn_real *dy = p->dy ? p->dy + chunk.first * p->channels + j : NULL;
    nn__k()->column_sums(joined, n, wide, x, dy, s, sums, products);
    if (rest) /* only where all columns are done at once */
        nn__k()->column_sums(1, rest, wide, x + joined * wide, dy ? dy + joined * wide : NULL, s,
                             sums, products);
    for (size_t c = 0; c < at; c++) {
        sum[c] = product[c] = 0;
        for (size_t i = c; i < n; i += at) {
            sum[c] += (double)sums[i];
            product[c] += (double)products[i];
        }
    }
}

/* Mean, and sum of squared distances from it, of n columns of a chunk. */
static void nn__norm_moments(const nn__norm_pass *p, nn__norm_chunk chunk, size_t j, size_t n,
                             double *mean, double *squares)
{
    nn_real center[NN__COLUMNS] = {0};
    const size_t count = n / nn__fold(p->channels);
    const double rows = (double)chunk.rows;
    nn__norm s;
    memset(&s, 0, sizeof s);
    s.center = center;
    nn__norm_sum_columns(p, chunk, j, n, &s, mean, squares);
    for (size_t i = 0; i < n; i++) center[i] = (nn_real)(mean[i % count] / rows);
    nn__norm_sum_columns(p, chunk, j, n, &s, mean, squares);
    for (size_t i = 0; i < count; i++) {
        squares[i] -= mean[i] * mean[i] / rows;
        mean[i] = (double)center[i] + mean[i] / rows;
    }
}

/* Moments of chunks, or with dy the sums for the gradients. */
static void nn__norm_sums_range(void *context, size_t begin, size_t end)
{
    const nn__norm_pass *p = (const nn__norm_pass *)context;
    const size_t wide = nn__fold(p->channels) * p->channels;
    nn_real space[NN__NORM_NUMBERS][2 * NN__FOLDED];
    for (size_t k = begin; k < end; k++) {
        const nn__norm_chunk chunk = nn__norm_chunk_of(p, k);
        const nn__norm all = nn__norm_numbers(p, chunk.segment, space);
        double *sum = p->sums + k * 2 * p->channels, *product = sum + p->channels;
        for (size_t j = 0; j < wide; j += NN__COLUMNS) {
            const size_t n = nn__min_size(NN__COLUMNS, wide - j);
            nn__norm s = all;
            s.center += j, s.scale += j, s.shift += j;
            if (p->dy) nn__norm_sum_columns(p, chunk, j, n, &s, sum + j, product + j);
            else nn__norm_moments(p, chunk, j, n, sum + j, product + j);
        }
    }
}

/* Joins the chunks of a segment in its first one. */
static void nn__norm_merge(const nn__norm_pass *p, size_t segment)
{
    double *sum = p->sums + segment * p->chunks * 2 * p->channels, *product = sum + p->channels;
    for (size_t k = 1; k < p->chunks; k++) {
        const double *add = sum + k * 2 * p->channels;
        const double n = (double)nn__norm_chunk_of(p, segment * p->chunks + k).rows;
        const double before = (double)(k * p->chunk), share = n / (before + n);
        for (size_t c = 0; c < p->channels; c++) {
            const double distance = p->dy ? 0 : add[c] - sum[c];
            sum[c] += p->dy ? add[c] : distance * share;
            product[c] += add[p->channels + c] + distance * distance * before * share;
        }
    }
}

static const double *nn__norm_find_sums(const nn_tensor *t, nn__norm_pass *p)
{
    nn__parallel(t->net->threads, p->segments * p->chunks, nn__grain_rows(p->chunk * p->channels),
                 nn__norm_sums_range, p);
    for (size_t i = 0; i < p->segments; i++) nn__norm_merge(p, i);
    return p->sums;
}

/* y, or with dy dx. */
static void nn__norm_apply_range(void *context, size_t begin, size_t end)
{
    const nn__norm_pass *p = (const nn__norm_pass *)context;
    const size_t fold = nn__fold(p->channels), wide = fold * p->channels;
    nn_real space[NN__NORM_NUMBERS][2 * NN__FOLDED];
    for (size_t k = begin; k < end; k++) {
        const nn__norm_chunk chunk = nn__norm_chunk_of(p, k);
        const nn__norm s = nn__norm_numbers(p, chunk.segment, space);
        const size_t at = chunk.first * p->channels, joined = chunk.rows / fold;
        const size_t rows[2] = {joined, 1}, cols[2] = {wide, chunk.rows % fold * p->channels};
        for (size_t i = 0, from = at; i < 2 && cols[i]; i++, from += joined * wide) {
            if (p->dy)
                nn__k()->normalize_backward(rows[i], cols[i], p->x + from, p->dy + from, &s,
                                            p->out + from, p->accumulate);
            else nn__k()->normalize(rows[i], cols[i], p->x + from, &s, p->out + from);
        }
    }
}

static void nn__norm_apply(const nn_tensor *t, nn__norm_pass *p, nn_real *out, int accumulate)
{
    p->out = out, p->accumulate = accumulate;
    nn__parallel(t->net->threads, p->segments * p->chunks, nn__grain_rows(p->chunk * p->channels),
                 nn__norm_apply_range, p);
}

/* -- batch and group normalisation -- */

/* What the columns of a segment are normalised with, from the saved mean and 1 / d. */
static void nn__norm_set_numbers(const nn_tensor *t, const nn__norm_pass *p)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    const nn_tensor *weight = nn_weight(t), *bias = nn_bias(t);
    for (size_t i = 0; i < p->segments; i++) {
        nn_real *to = p->numbers + i * NN__NORM_NUMBERS * p->channels;
        for (size_t c = 0; c < p->channels; c++) {
            const size_t group = i * s->groups + c / (p->channels / s->groups);
            const nn_real *saved = (const nn_real *)t->saved + 2 * group;
            to[c] = saved[0];
            to[p->channels + c] = weight ? weight->data[c] * saved[1] : saved[1];
            to[2 * p->channels + c] = bias ? bias->data[c] : 0;
        }
    }
}

/* Saves the mean of n columns of a segment, each of `rows` values, and 1 / d. */
static void nn__norm_save(const nn_tensor *t, size_t rows, size_t n, const double *mean,
                          const double *squares, nn_real *saved)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    double sum = 0, all = 0;
    for (size_t c = 0; c < n; c++) sum += mean[c];
    sum /= (double)n;
    for (size_t c = 0; c < n; c++)
        all += squares[c] + (double)rows * (mean[c] - sum) * (mean[c] - sum);
    saved[0] = (nn_real)sum;
    saved[1] = (nn_real)(1 / sqrt(all / ((double)rows * (double)n) + s->epsilon));
}

static void nn__norm_find_statistics(const nn_tensor *t, nn__norm_pass *p)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    const size_t n = p->channels / s->groups;
    const double *sums = nn__norm_find_sums(t, p);
    for (size_t i = 0; i < p->segments; i++)
        for (size_t g = 0; g < s->groups; g++) {
            const double *mean = sums + i * p->chunks * 2 * p->channels + g * n;
            nn__norm_save(t, p->segment, n, mean, mean + p->channels,
                          (nn_real *)t->saved + 2 * (i * s->groups + g));
        }
}

static nn_status nn__group_norm_forward(nn_tensor *t)
{
    nn__norm_pass p = nn__norm_begin(t, nn__rows(t));
    p.x = t->src[0]->data;
    nn__norm_find_statistics(t, &p);
    nn__norm_set_numbers(t, &p);
    nn__norm_apply(t, &p, t->data, 0);
    return NN_OK;
}

/* slope and offset of nn__norm for the n columns of a group; none where mean and variance were not
   those of the batch. */
static void nn__norm_set_slopes(const nn_tensor *t, const nn__norm_pass *p, size_t n,
                                const nn_real *weight, const double *sum, nn_real inverse,
                                nn_real *slope)
{
    const double count = (double)p->segment * (double)n, d = (double)inverse;
    const int is_constant = !((const nn__norm_settings *)t->settings)->is_training;
    double mean = 0, product = 0;
    for (size_t c = 0; !is_constant && c < n; c++) {
        const double w = weight ? (double)weight[c] : 1;
        mean += w * sum[c];
        product += w * sum[p->channels + c];
    }
    for (size_t c = 0; c < n; c++) {
        slope[c] = (nn_real)(-d * d * d * (product / count));
        slope[p->channels + c] = (nn_real)(-d * (mean / count));
    }
}

/* dw and db: over all segments. */
static void nn__norm_parameters_backward(const nn_tensor *t, const nn__norm_pass *p)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    for (size_t what = 0; what < 2; what++) {
        nn_tensor *parameter = what ? nn_bias(t) : nn_weight(t);
        int accumulate;
        nn_real *to = parameter ? nn__claim_gradient(parameter, &accumulate) : NULL;
        for (size_t c = 0; to && c < p->channels; c++) {
            const double *sum = p->sums + (what ? 0 : p->channels) + c;
            const nn_real *saved = (const nn_real *)t->saved + 2 * (c / (p->channels / s->groups));
            double d = 0;
            for (size_t i = 0; i < p->segments; i++)
                d += sum[i * p->chunks * 2 * p->channels] *
                     (what ? 1 : (double)saved[2 * i * s->groups + 1]);
            to[c] = (nn_real)((accumulate ? (double)to[c] : 0) + d);
        }
    }
}

static nn_status nn__norm_backward(nn_tensor *t)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    const nn_tensor *weight = nn_weight(t);
    nn__norm_pass p = nn__norm_begin(t, nn__rows(t));
    const size_t n = p.channels / s->groups;
    int accumulate;
    p.x = t->src[0]->data, p.dy = t->grad;
    nn__norm_set_numbers(t, &p);
    nn__norm_find_sums(t, &p);
    nn__norm_parameters_backward(t, &p);
    nn_real *dx = nn__claim_gradient(t->src[0], &accumulate);
    if (!dx) return NN_OK;
    for (size_t i = 0; i < p.segments; i++)
        for (size_t g = 0; g < s->groups; g++)
            nn__norm_set_slopes(t, &p, n, weight ? weight->data + g * n : NULL,
                                p.sums + i * p.chunks * 2 * p.channels + g * n,
                                ((const nn_real *)t->saved)[2 * (i * s->groups + g) + 1],
                                p.numbers + (i * NN__NORM_NUMBERS + 3) * p.channels + g * n);
    nn__norm_apply(t, &p, dx, accumulate);
    return NN_OK;
}

/* The buffers of running statistics: what = 0 the means, 1 the variances. */
static nn_tensor *nn__running(const nn_tensor *t, size_t what)
{
    return t->src[t->src_count - 2 + what];
}

/* running = (1 - momentum) running + momentum batch */
static void nn__update_running(const nn_tensor *t, const nn__norm_pass *p)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    const double m = s->momentum, share = m / ((double)p->rows - (s->is_population ? 0 : 1));
    nn_real *mean = nn__running(t, 0)->data, *variance = nn__running(t, 1)->data;
    for (size_t c = 0; c < p->channels; c++) {
        mean[c] = (nn_real)((1 - m) * (double)mean[c] + m * p->sums[c]);
        variance[c] = (nn_real)((1 - m) * (double)variance[c] + share * p->sums[p->channels + c]);
    }
}

static nn_status nn__batch_norm_forward(nn_tensor *t)
{
    nn__norm_settings *s = (nn__norm_settings *)t->settings;
    nn__norm_pass p = nn__norm_begin(t, nn__rows(t));
    nn_real *saved = (nn_real *)t->saved;
    p.x = t->src[0]->data;
    s->is_training = nn_net_is_training(t->net);
    if (s->is_training && p.rows == 1)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "nn_batch_norm: tensor %llu '%s' has one value per channel, and training "
                        "needs at least 2 (a last batch of one sample: drop_last)",
                        (nn__ull)t->id, t->name);
    if (s->is_training) {
        nn__norm_find_statistics(t, &p);
        nn__update_running(t, &p);
    }
    for (size_t c = 0; !s->is_training && c < p.channels; c++) {
        saved[2 * c] = nn__running(t, 0)->data[c];
        saved[2 * c + 1] =
            (nn_real)(1 / sqrt((double)nn__running(t, 1)->data[c] + s->epsilon));
    }
    nn__norm_set_numbers(t, &p);
    nn__norm_apply(t, &p, t->data, 0);
    return NN_OK;
}

/* -- building -- */

/* Weight and bias, unless `plain`, and for batch normalisation the running statistics: new ones
   behind src[0], or those `given`, which are checked. How many sources there are then, 0 for an
   error. */
static size_t nn__norm_sources(nn_tensor **src, const nn_op *layer, const char *name, int plain,
                               int running, int rank, const size_t *shape, nn_tensor *const *given)
{
    static const char *const kinds[] = {"weight", "bias", "running_mean", "running_var"};
    char call[64];
    nn_net *net = src[0]->net;
    const size_t number = name ? 0 : nn__free_number(net, layer);
    size_t count = 1;
    for (int i = plain ? 2 : 0; i < (running ? 4 : 2); i++) {
        const nn_op *op = i < 2 ? &nn__parameter_op : &nn__buffer_op;
        const nn_init init = nn_init_constant(i == 0 || i == 3);
        nn_tensor *s = given ? given[count - 1]
                             : nn__layer_state(net, layer, op, name, number, kinds[i], rank, shape,
                                               &init);
        if (!s) return 0;
        if (!given && i < 2) s->no_decay = 1;
        if (s->op != op || s->net != net || s->rank != rank ||
            memcmp(s->shape, shape, (size_t)rank * sizeof *shape) != 0) {
            nn__bad_shapes(nn__call(layer, call), src[0], s, "a parameter or buffer that fits");
            return 0;
        }
        src[count++] = s;
    }
    return count;
}

/* A file's sources are as many as the layer has. */
static int nn__has_sources(const char *call, const nn_description *d, size_t count)
{
    if (d->src_count != count)
        nn__net_fail(d->net, NN_ERROR_MISMATCH, "%s: %llu sources, expected %llu", call,
                     (nn__ull)d->src_count, (nn__ull)count);
    return d->src_count == count;
}

/* Numbers of a desc, once defaults are filled in. */
static int nn__check_norm(nn_net *net, const char *call, double epsilon, nn_activation activation)
{
    if (!((nn_real)epsilon > 0) || !nn__is_finite((double)(nn_real)epsilon))
        nn__bad_argument(net, call, "epsilon", epsilon, "a positive nn_real");
    else if (activation != NN_ACTIVATION_IDENTITY && activation != NN_ACTIVATION_RELU)
        nn__bad_argument(net, call, "activation", (double)activation,
                         "NN_ACTIVATION_RELU or 0: others are operations of their own");
    return net->status == NN_OK;
}

/* A node behind its parameters, which has the layer's name. */
static nn_tensor *nn__norm_new(nn_tensor *const *src, size_t count, const nn_op *op,
                               const void *settings, size_t size, const char *name)
{
    char call[64];
    const nn_tensor *x = src[0];
    if (count == 0) return NULL;
    nn_tensor *t = nn__node_new(x->net, op, size, count, src, x->batched, x->rank, x->shape);
    if (t) memcpy(t->settings, settings, size);
    return t && name ? nn__name(nn__call(op, call), t, name) : t;
}

static nn_tensor *nn__batch_norm_describe(nn_description *d, const nn_tensor *t);

static const nn_op nn__batch_norm = {
    "batch_norm",     nn__batch_norm_forward,        nn__norm_backward,
    nn__norm_saved,   nn__norm_scratch,              NN_OP_TRAINING | NN__OP_CLAIMS | NN__OP_LAYER,
    nn__batch_norm_describe};

static nn_tensor *nn__batch_norm_new(nn_tensor *x, const nn_batch_norm_desc *d,
                                     nn_tensor *const *given)
{
    static const char call[] = "nn_batch_norm";
    nn_tensor *src[5] = {x, NULL, NULL, NULL, NULL};
    nn__norm_settings s;
    nn_net *net = nn__common_net(call, 1, src);
    if (!net) return NULL;
    if (x->rank == x->batched)
        return nn__bad_shape(call, x, "at least one dimension beside the batch");
    if (d->momentum != 0 && d->keep != 0)
        return nn__bad_argument(net, call, "keep", d->keep, "0 where momentum is set");
    if (!(d->keep >= 0 && d->keep < 1))
        return nn__bad_argument(net, call, "keep", d->keep, "0 <= keep < 1");
    memset(&s, 0, sizeof s);
    s.groups = x->shape[x->rank - 1];
    s.epsilon = nn__or_default(d->epsilon, 1e-5);
    s.momentum = d->keep != 0 ? 1 - nn__or_default(d->keep, 0) : nn__or_default(d->momentum, 0.1);
    s.relu = d->activation == NN_ACTIVATION_RELU, s.is_population = d->population_variance != 0;
    if (!(s.momentum >= 0 && s.momentum <= 1))
        return nn__bad_argument(net, call, "momentum", d->momentum, "0 < momentum <= 1");
    if (!nn__check_norm(net, call, s.epsilon, d->activation)) return NULL;
    const size_t count = nn__norm_sources(src, &nn__batch_norm, d->name, d->no_affine, 1, 1,
                                          &s.groups, given);
    return nn__norm_new(src, count, &nn__batch_norm, &s, sizeof s, d->name);
}

NN_DEF nn_tensor *nn_batch_norm_with(nn_tensor *x, const nn_batch_norm_desc *desc)
{
    nn_batch_norm_desc d;
    memset(&d, 0, sizeof d);
    return nn__batch_norm_new(x, desc ? desc : &d, NULL);
}

NN_DEF nn_tensor *nn_batch_norm(nn_tensor *x) { return nn_batch_norm_with(x, NULL); }

static nn_tensor *nn__batch_norm_describe(nn_description *d, const nn_tensor *t)
{
    nn_batch_norm_desc desc;
    nn__norm_settings s;
    memset(&desc, 0, sizeof desc);
    memset(&s, 0, sizeof s);
    if (t) s = *(const nn__norm_settings *)t->settings;
    nn_describe_real(d, "epsilon", &s.epsilon);
    nn_describe_real(d, "momentum", &s.momentum);
    nn_describe_int(d, "population_variance", &s.is_population);
    nn_describe_int(d, "relu", &s.relu);
    desc.epsilon = s.epsilon, desc.momentum = s.momentum != 0 ? s.momentum : NN_ZERO;
    desc.population_variance = s.is_population, desc.no_affine = d->src_count < 5;
    if (s.relu) desc.activation = NN_ACTIVATION_RELU;
    if (t || !nn__has_sources("nn_batch_norm", d, desc.no_affine ? 3 : 5)) return NULL;
    return nn__batch_norm_new(d->src[0], &desc, d->src + 1);
}

static nn_tensor *nn__group_norm_describe(nn_description *d, const nn_tensor *t);

static const nn_op nn__group_norm = {
    "group_norm",     nn__group_norm_forward,        nn__norm_backward,
    nn__norm_saved,   nn__norm_scratch,              NN__OP_CLAIMS | NN__OP_LAYER,
    nn__group_norm_describe};

static nn_tensor *nn__group_norm_new(nn_tensor *x, const nn_group_norm_desc *d,
                                     nn_tensor *const *given)
{
    static const char call[] = "nn_group_norm";
    nn_tensor *src[3] = {x, NULL, NULL};
    nn__norm_settings s;
    nn_net *net = nn__common_net(call, 1, src);
    if (!net) return NULL;
    if (x->rank == x->batched)
        return nn__bad_shape(call, x, "at least one dimension beside the batch");
    const size_t channels = x->shape[x->rank - 1];
    if (!d || d->groups == 0 || channels % d->groups != 0) {
        char text[NN__SHAPE_TEXT];
        return nn__net_fail(net, NN_ERROR_BAD_ARGUMENT,
                            "%s: groups is %llu, expected a divisor of the %llu channels of %s",
                            call, (nn__ull)(d ? d->groups : 0), (nn__ull)channels,
                            nn__tensor_shape(x, text));
    }
    if (x->row_size == d->groups)
        return nn__bad_shape(call, x, "more than one value in each group");
    memset(&s, 0, sizeof s);
    s.groups = d->groups, s.per_sample = 1, s.is_training = 1;
    s.epsilon = nn__or_default(d->epsilon, 1e-5);
    s.relu = d->activation == NN_ACTIVATION_RELU;
    if (!nn__check_norm(net, call, s.epsilon, d->activation)) return NULL;
    const size_t count = nn__norm_sources(src, &nn__group_norm, d->name, d->no_affine, 0, 1,
                                          &channels, given);
    return nn__norm_new(src, count, &nn__group_norm, &s, sizeof s, d->name);
}

NN_DEF nn_tensor *nn_group_norm_with(nn_tensor *x, const nn_group_norm_desc *desc)
{
    return nn__group_norm_new(x, desc, NULL);
}

NN_DEF nn_tensor *nn_group_norm(nn_tensor *x, size_t groups)
{
    nn_group_norm_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.groups = groups;
    return nn_group_norm_with(x, &desc);
}

static nn_tensor *nn__group_norm_describe(nn_description *d, const nn_tensor *t)
{
    nn_group_norm_desc desc;
    nn__norm_settings s;
    memset(&desc, 0, sizeof desc);
    memset(&s, 0, sizeof s);
    if (t) s = *(const nn__norm_settings *)t->settings;
    nn_describe_size(d, "groups", &s.groups);
    nn_describe_real(d, "epsilon", &s.epsilon);
    nn_describe_int(d, "relu", &s.relu);
    desc.groups = s.groups, desc.epsilon = s.epsilon, desc.no_affine = d->src_count < 3;
    if (s.relu) desc.activation = NN_ACTIVATION_RELU;
    if (t || !nn__has_sources("nn_group_norm", d, desc.no_affine ? 1 : 3)) return NULL;
    return nn__group_norm_new(d->src[0], &desc, d->src + 1);
}

/* -------------------------------------------------------------------------------- >>layer-norm
   Rows that are normalised each by itself. */

typedef struct nn__layer_norm_settings {
    size_t n; /* values in a row */
    int axes;
    double epsilon;
} nn__layer_norm_settings;

typedef struct nn__row_pass {
    const nn_real *x, *dy, *weight, *bias;
    nn_real *y, *stats;
    nn_real *dx, *dweight, *dbias; /* the last two [chunks, n], or NULL */
    size_t rows, n;
    nn_real epsilon;
    int accumulate;
} nn__row_pass;

static nn__row_pass nn__row_pass_of(const nn_tensor *t)
{
    const nn__layer_norm_settings *s = (const nn__layer_norm_settings *)t->settings;
    nn__row_pass p;
    memset(&p, 0, sizeof p);
    p.x = t->src[0]->data, p.y = t->data, p.stats = (nn_real *)t->saved;
    p.n = s->n, p.rows = t->size / s->n, p.epsilon = (nn_real)s->epsilon;
    if (nn_weight(t)) p.weight = nn_weight(t)->data, p.bias = nn_bias(t)->data;
    return p;
}

/* Chunks of NN__CHUNK_ROWS rows: y, or with dy dx and the chunk's part in dw and db. */
static void nn__row_range(void *context, size_t begin, size_t end)
{
    const nn__row_pass *p = (const nn__row_pass *)context;
    for (size_t k = begin; k < end; k++) {
        const size_t first = k * NN__CHUNK_ROWS, at = first * p->n;
        const size_t rows = nn__min_size(NN__CHUNK_ROWS, p->rows - first);
        nn_real *dw = p->dweight ? p->dweight + k * p->n : NULL, *stats = p->stats + 2 * first;
        nn_real *db = p->dbias ? p->dbias + k * p->n : NULL;
        if (dw) memset(dw, 0, p->n * sizeof *dw), memset(db, 0, p->n * sizeof *db);
        if (p->dy)
            nn__k()->row_norm_backward(rows, p->n, p->x + at, p->dy + at, p->weight, stats,
                                       p->dx ? p->dx + at : NULL, p->accumulate, dw, db);
        else
            nn__k()->row_norm(rows, p->n, p->x + at, p->weight, p->bias, p->epsilon, p->y + at,
                              stats);
    }
}

static size_t nn__row_chunks(size_t rows) { return (rows + NN__CHUNK_ROWS - 1) / NN__CHUNK_ROWS; }

static void nn__row_run(const nn_tensor *t, nn__row_pass *p)
{
    nn__parallel(t->net->threads, nn__row_chunks(p->rows), nn__grain_rows(NN__CHUNK_ROWS * p->n),
                 nn__row_range, p);
}

static nn_status nn__layer_norm_forward(nn_tensor *t)
{
    nn__row_pass p = nn__row_pass_of(t);
    nn__row_run(t, &p);
    return NN_OK;
}

static nn_status nn__layer_norm_backward(nn_tensor *t)
{
    nn__row_pass p = nn__row_pass_of(t);
    const size_t chunks = nn__row_chunks(p.rows);
    int accumulate;
    p.dy = t->grad;
    if (p.weight) p.dweight = (nn_real *)t->net->workspace, p.dbias = p.dweight + chunks * p.n;
    p.dx = nn__claim_gradient(t->src[0], &p.accumulate);
    nn__row_run(t, &p);
    nn_real *dw = p.weight ? nn__claim_gradient(nn_weight(t), &accumulate) : NULL;
    if (dw) nn__k()->sum_rows(chunks, p.n, p.n, p.dweight, dw, accumulate);
    nn_real *db = p.weight ? nn__claim_gradient(nn_bias(t), &accumulate) : NULL;
    if (db) nn__k()->sum_rows(chunks, p.n, p.n, p.dbias, db, accumulate);
    return NN_OK;
}

static size_t nn__layer_norm_rows(const nn_tensor *t, size_t rows)
{
    return (t->batched ? rows : 1) * (t->row_size / ((nn__layer_norm_settings *)t->settings)->n);
}

static size_t nn__layer_norm_saved(const nn_tensor *t, size_t rows)
{
    return nn__bytes(nn__layer_norm_rows(t, rows), 2, sizeof(nn_real));
}

static size_t nn__layer_norm_scratch(const nn_tensor *t, size_t rows)
{
    return nn__bytes(2 * nn__row_chunks(nn__layer_norm_rows(t, rows)),
                     ((const nn__layer_norm_settings *)t->settings)->n, sizeof(nn_real));
}

static nn_tensor *nn__layer_norm_describe(nn_description *d, const nn_tensor *t);

static const nn_op nn__layer_norm = {
    "layer_norm",         nn__layer_norm_forward, nn__layer_norm_backward, nn__layer_norm_saved,
    nn__layer_norm_scratch, NN__OP_CLAIMS | NN__OP_LAYER, nn__layer_norm_describe};

static nn_tensor *nn__layer_norm_new(nn_tensor *x, const nn_layer_norm_desc *d,
                                     nn_tensor *const *given)
{
    static const char call[] = "nn_layer_norm";
    nn_tensor *src[3] = {x, NULL, NULL};
    nn__layer_norm_settings s;
    nn_net *net = nn__common_net(call, 1, src);
    if (!net) return NULL;
    s.axes = d->axes ? d->axes : 1;
    s.epsilon = nn__or_default(d->epsilon, 1e-5);
    if (s.axes < 0 || s.axes > x->rank - x->batched)
        return nn__bad_argument(net, call, "axes", s.axes,
                                "1 to the number of dimensions of a sample");
    const size_t *shape = x->shape + x->rank - s.axes;
    nn__shape_size(s.axes, shape, &s.n);
    if (s.n == 1) return nn__bad_shape(call, x, "more than one value to normalise");
    if (!nn__check_norm(net, call, s.epsilon, NN_ACTIVATION_IDENTITY)) return NULL;
    const size_t count = nn__norm_sources(src, &nn__layer_norm, d->name, d->no_affine, 0, s.axes,
                                          shape, given);
    return nn__norm_new(src, count, &nn__layer_norm, &s, sizeof s, d->name);
}

NN_DEF nn_tensor *nn_layer_norm_with(nn_tensor *x, const nn_layer_norm_desc *desc)
{
    nn_layer_norm_desc d;
    memset(&d, 0, sizeof d);
    return nn__layer_norm_new(x, desc ? desc : &d, NULL);
}

NN_DEF nn_tensor *nn_layer_norm(nn_tensor *x) { return nn_layer_norm_with(x, NULL); }

static nn_tensor *nn__layer_norm_describe(nn_description *d, const nn_tensor *t)
{
    nn_layer_norm_desc desc;
    memset(&desc, 0, sizeof desc);
    if (t) desc.axes = ((const nn__layer_norm_settings *)t->settings)->axes;
    if (t) desc.epsilon = ((const nn__layer_norm_settings *)t->settings)->epsilon;
    nn_describe_int(d, "axes", &desc.axes);
    nn_describe_real(d, "epsilon", &desc.epsilon);
    desc.no_affine = d->src_count < 3;
    if (t || !nn__has_sources("nn_layer_norm", d, desc.no_affine ? 1 : 3)) return NULL;
    return nn__layer_norm_new(d->src[0], &desc, d->src + 1);
}

/* ----------------------------------------------------------------------------------- >>summary
   The network as a table. */
#ifndef NN_NO_STDIO

/* Multiply-adds of a sample: of products alone, beside which the rest is small. */
static double nn__multiply_adds(const nn_tensor *t)
{
    if (t->op == &nn__matmul)
        return (double)t->row_size * (double)((const nn__matmul_settings *)t->settings)->k;
    if (!(t->op->flags & NN__OP_PRODUCT)) return 0;
    const nn_tensor *of = t->op == &nn__conv2d_transpose ? t->src[0] : t;
    return (double)(of->row_size / nn__last_dimension(of)) * (double)t->src[1]->size;
}

/* Whether an operation made before `end` has it for a source. */
static int nn__is_used_before(const nn_tensor *leaf, size_t end)
{
    for (size_t i = leaf->id + 1; i < end; i++) {
        const nn_tensor *t = leaf->net->tensors.items[i];
        for (size_t j = 0; j < t->src_count; j++)
            if (t->src[j] == leaf) return 1;
    }
    return 0;
}

/* Its own name, or of a layer without one that of its parameters. */
static void nn__summary_name(const nn_tensor *t, char name[64])
{
    const char *end = NULL;
    snprintf(name, 64, "%s", t->name[0] || !nn_weight(t) ? t->name : nn_weight(t)->name);
    if (!t->name[0]) end = strrchr(name, '.');
    if (end) name[end - name] = 0;
}

/* What it computes for one sample and leaves for backward; or a leaf's values. */
static size_t nn__value_bytes(const nn_tensor *t)
{
    const size_t saved = t->op->saved ? t->op->saved(t, 1) : 0;
    size_t bytes;
    if (nn__as_input(t) && nn__as_input(t)->labels_per_row)
        return nn__bytes(1, nn__as_input(t)->labels_per_row, sizeof *t->labels);
    return nn__add_sizes(nn__tensor_bytes(t, 1), saved, &bytes) ? bytes : SIZE_MAX;
}

static void nn__summary_row(const nn_tensor *t, FILE *stream)
{
    char shape[NN__SHAPE_TEXT], name[64], number[32] = "";
    size_t parameters = t->op == &nn__parameter_op ? t->size : 0;
    const double products = nn__multiply_adds(t);
    for (size_t i = 0; i < t->src_count; i++)
        if (t->src[i]->op == &nn__parameter_op && !nn__is_used_before(t->src[i], t->id))
            parameters += t->src[i]->size;
    nn__summary_name(t, name);
    fprintf(stream, "%4llu  %-22s %-20s %-20s", (nn__ull)t->id, t->op->name, name,
            nn__tensor_shape(t, shape));
    if (parameters) snprintf(number, sizeof number, "%llu", (nn__ull)parameters);
    fprintf(stream, " %10s", number);
    number[0] = 0;
    if (products > 0) snprintf(number, sizeof number, "%.0f", products);
    fprintf(stream, " %13s %10llu\n", number, (nn__ull)nn__value_bytes(t));
}

NN_DEF nn_status nn_net_summary(const nn_net *net, FILE *stream)
{
    double products = 0, values = 0, gradients = 0;
    if (!net) return nn__fail_null("nn_net_summary", "network");
    if (net->status != NN_OK) return nn_net_status(net);
    if (!stream) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_net_summary: the stream is NULL");
    fprintf(stream, "%4s  %-22s %-20s %-20s %10s %13s %10s\n", "id", "operation", "name", "shape",
            "parameters", "multiply-adds", "bytes");
    for (size_t i = 0; i < net->tensors.count; i++) {
        const nn_tensor *t = net->tensors.items[i];
        if (nn__is_state(t) && nn__is_used_before(t, net->tensors.count)) continue;
        nn__summary_row(t, stream);
        products += nn__multiply_adds(t);
        if (nn__is_state(t)) continue;
        values += (double)nn__value_bytes(t);
        if (t->requires_grad) gradients += (double)nn__tensor_bytes(t, 1);
    }
    fprintf(stream, "%llu parameters in all\n", (nn__ull)nn_net_parameter_count(net));
    fprintf(stream,
            "a sample takes %.0f multiply-adds forward and %.0f bytes, in training %.0f more for "
            "gradients\n",
            products, values, gradients);
    if (fflush(stream) != 0 || ferror(stream))
        return nn__fail(NN_ERROR_CANNOT_WRITE, "nn_net_summary: the stream cannot be written");
    return NN_OK;
}
#endif

/* ------------------------------------------------------------------------------------ >>losses
   A loss compares lines of its source, the last dimension, with src[1], an input that it makes
   itself. Some kinds have one value for a line and some one for each element; the loops, reductions
   and weights are the same for all. Values are summed in double. */

typedef struct nn__loss {
    nn_reduction reduction;
    nn_answers answers;
    double number;          /* smoothing, delta or margin */
    nn_real *class_weights, *positive_weights; /* or NULL */
    int ignores, ignored;
    size_t classes;         /* in a line */
    double weight;          /* of all that the last forward counted, */
    double count;           /* and what it divided by */
} nn__loss;

/* Bits: what a loss takes, and the members of nn_loss_desc that it uses. */
enum {
    NN__TAKES_LABELS = 1,
    NN__TAKES_TARGETS = 2,
    NN__USES_SMOOTHING = 4,
    NN__USES_DELTA = 8,
    NN__USES_MARGIN = 16,
    NN__USES_CLASS_WEIGHTS = 32,
    NN__USES_POSITIVE_WEIGHTS = 64
};

typedef struct nn__loss_kind {
    nn_op op;
    unsigned uses;
    double low, high;   /* where targets lie */
    int is_distribution; /* and that those of a line sum to 1 */
    /* One value for a line, and dY of the line when that value has the slope `slope`; or NULL. */
    double (*line)(const nn_tensor *t, size_t line);
    void (*line_slope)(const nn_tensor *t, size_t line, nn_real slope, nn_real *dy);
    /* Else for element `at`: y against the target d. */
    double (*element)(const nn_tensor *t, size_t at, double y, double d);
    double (*element_slope)(const nn_tensor *t, size_t at, double y, double d);
} nn__loss_kind;

static const nn__loss_kind *nn__kind_of(const nn_tensor *t)
{
    return (const nn__loss_kind *)(const void *)t->op;
}

static const nn__loss *nn__loss_of(const nn_tensor *t) { return (const nn__loss *)t->settings; }

static int nn__has_labels(const nn_tensor *t) { return nn__as_input(t->src[1])->has_labels; }

/* Lines in the present batch. */
static size_t nn__line_count(const nn_tensor *t)
{
    return t->src[0]->size / nn__loss_of(t)->classes;
}

/* The target of element i when targets were fed, or labels 0 and 1 to a single column. */
static double nn__target(const nn_tensor *t, size_t i)
{
    const nn_tensor *answer = t->src[1];
    return nn__has_labels(t) ? (double)answer->labels[i] : (double)answer->data[i];
}

/* What a line counts: 0 when it is to be ignored, else the weight of its sample. */
static double nn__line_weight(const nn_tensor *t, size_t line)
{
    const nn__loss *s = nn__loss_of(t);
    if (s->ignores && nn__has_labels(t) && t->src[1]->labels[line] == s->ignored) return 0;
    if (t->src_count < 3) return 1;
    return (double)t->src[2]->data[line / (t->src[0]->row_size / s->classes)];
}

/* The weight of a line's class, where labels have such. */
static double nn__label_weight(const nn_tensor *t, size_t line)
{
    const nn__loss *s = nn__loss_of(t);
    return s->class_weights && nn__has_labels(t) ? (double)s->class_weights[t->src[1]->labels[line]]
                                                 : 1;
}

/* What begins a line in the source. */
static const nn_real *nn__line_begin(const nn_tensor *t, size_t line)
{
    return t->src[0]->data + line * nn__loss_of(t)->classes;
}

/* The sums of a line of one value each element; `each` gets them all, or is NULL. */
static double nn__sum_elements(const nn_tensor *t, size_t line, double weight, double sum,
                               nn_real *each)
{
    const size_t n = nn__loss_of(t)->classes;
    for (size_t at = line * n; at < (line + 1) * n; at++) {
        const double y = (double)t->src[0]->data[at];
        const double v =
            weight == 0 ? 0 : weight * nn__kind_of(t)->element(t, at, y, nn__target(t, at));
        sum += v;
        if (each) each[at] = (nn_real)v;
    }
    return sum;
}

static nn_status nn__loss_forward(nn_tensor *t)
{
    nn__loss *s = (nn__loss *)t->settings;
    const nn__loss_kind *kind = nn__kind_of(t);
    nn_real *each = s->reduction == NN_REDUCE_NONE ? t->data : NULL;
    double sum = 0, count = 0;
    for (size_t line = 0, lines = nn__line_count(t); line < lines; line++) {
        const double weight = nn__line_weight(t, line);
        if (!kind->line) {
            sum = nn__sum_elements(t, line, weight, sum, each);
            count += weight * (double)s->classes;
            continue;
        }
        const double v = weight == 0 ? 0 : weight * kind->line(t, line);
        if (each) each[line] = (nn_real)v;
        sum += v;
        count += weight == 0 ? 0 : weight * nn__label_weight(t, line);
    }
    s->weight = count;
    s->count = s->reduction == NN_REDUCE_MEAN && count > 0 ? count : 1;
    if (each) return NN_OK;
    t->value = sum / s->count;
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

/* d loss / d value number `at` before weights and reduction, times the weight. */
static nn_real nn__value_slope(const nn_tensor *t, size_t at, double weight)
{
    const nn__loss *s = nn__loss_of(t);
    if (s->reduction == NN_REDUCE_NONE) return (nn_real)((double)t->grad[at] * weight);
    return (nn_real)((double)t->grad[0] * weight / s->count);
}

static void nn__elements_slope(const nn_tensor *t, size_t line, double weight, nn_real *dy)
{
    const nn__loss *s = nn__loss_of(t);
    const nn_real common = s->reduction == NN_REDUCE_NONE ? 0 : nn__value_slope(t, 0, weight);
    for (size_t i = 0; i < s->classes; i++) {
        const size_t at = line * s->classes + i;
        const nn_real slope =
            s->reduction == NN_REDUCE_NONE ? nn__value_slope(t, at, weight) : common;
        dy[i] = (nn_real)((double)slope *
                          nn__kind_of(t)->element_slope(t, at, (double)t->src[0]->data[at],
                                                        nn__target(t, at)));
    }
}

static nn_status nn__loss_backward(nn_tensor *t)
{
    const nn__loss_kind *kind = nn__kind_of(t);
    const size_t n = nn__loss_of(t)->classes;
    nn_real *dy = nn__gradient_buffer(t->src[0]), *to = dy;
    for (size_t line = 0, lines = nn__line_count(t); dy && line < lines; line++, to += n) {
        const double weight = nn__line_weight(t, line);
        if (weight == 0) memset(to, 0, n * sizeof *to);
        else if (kind->line) kind->line_slope(t, line, nn__value_slope(t, line, weight), to);
        else nn__elements_slope(t, line, weight, to);
    }
    if (dy) nn__gradient_done(t->src[0]);
    return NN_OK;
}

/* -- softmax cross-entropy: -sum_j t_j log p_j, where -log p_j = (max - z_j) + log sum exp(z -
   max), so that no term overflows; dz = p sum_j t_j - t. Saved: p, then each line's max and log
   sum. -- */

/* Class j's target in a line, smoothed: (1 - s) t + s / classes, times the weight of the class. */
static double nn__class_target(const nn_tensor *t, size_t line, size_t j)
{
    const nn__loss *s = nn__loss_of(t);
    const double target = nn__has_labels(t)
                              ? (double)((size_t)t->src[1]->labels[line] == j)
                              : (double)t->src[1]->data[line * s->classes + j];
    const double smooth = (1 - s->number) * target + s->number / (double)s->classes;
    return s->class_weights ? (double)s->class_weights[j] * smooth : smooth;
}

static nn_status nn__softmax_cross_entropy_forward(nn_tensor *t)
{
    const nn_tensor *z = t->src[0];
    nn_real *p = (nn_real *)t->saved;
    nn__k()->softmax(nn__line_count(t), nn__loss_of(t)->classes, z->data, p, 0, p + z->size);
    return nn__loss_forward(t);
}

static double nn__softmax_cross_entropy_line(const nn_tensor *t, size_t line)
{
    const nn__loss *s = nn__loss_of(t);
    const nn_real *z = nn__line_begin(t, line);
    const nn_real *stats = (const nn_real *)t->saved + t->src[0]->size + 2 * line;
    const double max = (double)stats[0], log_sum = (double)stats[1];
    double sum = 0;
    if (nn__has_labels(t) && s->number == 0)
        return nn__label_weight(t, line) * ((max - (double)z[t->src[1]->labels[line]]) + log_sum);
    for (size_t j = 0; j < s->classes; j++) {
        const double target = nn__class_target(t, line, j);
        if (target != 0) sum += target * ((max - (double)z[j]) + log_sum);
    }
    return sum;
}

static void nn__softmax_cross_entropy_slope(const nn_tensor *t, size_t line, nn_real slope,
                                            nn_real *dz)
{
    const nn__loss *s = nn__loss_of(t);
    const nn_real *p = (const nn_real *)t->saved + line * s->classes;
    if (nn__has_labels(t) && s->number == 0) {
        slope = (nn_real)(nn__label_weight(t, line) * (double)slope);
        nn__k()->scale(s->classes, slope, p, dz);
        dz[t->src[1]->labels[line]] -= slope;
        return;
    }
    double total = 0;
    for (size_t j = 0; j < s->classes; j++) total += nn__class_target(t, line, j);
    for (size_t j = 0; j < s->classes; j++) {
        const nn_real scaled = slope * p[j];
        dz[j] = (nn_real)((double)scaled * total - (double)slope * nn__class_target(t, line, j));
    }
}

static size_t nn__softmax_cross_entropy_saved(const nn_tensor *t, size_t rows)
{
    const nn_tensor *z = t->src[0];
    return nn__bytes(rows, z->row_size + 2 * (z->row_size / nn__loss_of(t)->classes),
                     sizeof(nn_real));
}

/* -- sigmoid cross-entropy: with q = log(1 + exp(-|z|)), which is saved, max(z, 0) - z t + q, or
   w t (max(-z, 0) + q) + (1 - t) (max(z, 0) + q) where positives weigh w;
   dz = sigmoid(z) - t, or (w t + 1 - t) sigmoid(z) - w t. -- */

static nn_status nn__sigmoid_cross_entropy_forward(nn_tensor *t)
{
    const nn_tensor *z = t->src[0];
    nn_real *q = (nn_real *)t->saved;
    for (size_t i = 0; i < z->size; i++) q[i] = z->data[i] < 0 ? z->data[i] : -z->data[i];
    nn__activate(t->net->threads, NN_ACTIVATION_SOFTPLUS, 0, z->size, q, NULL, NULL, q);
    return nn__loss_forward(t);
}

/* The saved values become the sigmoids that the slopes are made of. */
static nn_status nn__sigmoid_cross_entropy_backward(nn_tensor *t)
{
    const nn_tensor *z = t->src[0];
    nn__activate(t->net->threads, NN_ACTIVATION_SIGMOID, 0, z->size, z->data, NULL, NULL,
                 (nn_real *)t->saved);
    return nn__loss_backward(t);
}

/* The weight of positives in an element's column. */
static double nn__positive_weight(const nn_tensor *t, size_t at)
{
    const nn__loss *s = nn__loss_of(t);
    return s->positive_weights ? (double)s->positive_weights[at % s->classes] : 1;
}

static double nn__sigmoid_cross_entropy_element(const nn_tensor *t, size_t at, double y, double d)
{
    const double q = (double)((const nn_real *)t->saved)[at], w = nn__positive_weight(t, at);
    if (w == 1) return ((y > 0 ? y : 0) - y * d) + q;
    return w * d * ((y < 0 ? -y : 0) + q) + (1 - d) * ((y > 0 ? y : 0) + q);
}

static double nn__sigmoid_cross_entropy_slope(const nn_tensor *t, size_t at, double y, double d)
{
    const double sigmoid = (double)((const nn_real *)t->saved)[at];
    const double w = nn__positive_weight(t, at);
    (void)y;
    return w == 1 ? sigmoid - d : (w * d + 1 - d) * sigmoid - w * d;
}

static size_t nn__sigmoid_cross_entropy_saved(const nn_tensor *t, size_t rows)
{
    return nn__tensor_bytes(t->src[0], rows);
}

/* -- the losses that are a sum of f(y - d); number: Huber's delta -- */

#define NN__RESIDUAL(name, formula, slope)                                                         \
    static double nn__##name##_element(const nn_tensor *t, size_t at, double y, double d)          \
    {                                                                                              \
        const double r = y - d, delta = nn__loss_of(t)->number;                                    \
        (void)at, (void)delta;                                                                     \
        return formula;                                                                            \
    }                                                                                              \
    static double nn__##name##_slope(const nn_tensor *t, size_t at, double y, double d)            \
    {                                                                                              \
        const double r = y - d, delta = nn__loss_of(t)->number;                                    \
        (void)at, (void)delta;                                                                     \
        return slope;                                                                              \
    }
NN__RESIDUAL(mse, r *r, 2 * r)
NN__RESIDUAL(l1_loss, fabs(r), r > 0 ? 1 : r < 0 ? -1 : r)
NN__RESIDUAL(huber, fabs(r) <= delta ? r *r / 2 : delta *(fabs(r) - delta / 2),
             r > delta ? delta : r < -delta ? -delta : r)

/* -- hinge: sum_{j != l} max(0, z_j - z_l + margin);  dz_j = 1 where that is positive, dz_l =
   -their number -- */

static double nn__hinge_line(const nn_tensor *t, size_t line)
{
    const nn__loss *s = nn__loss_of(t);
    const nn_real *z = nn__line_begin(t, line);
    const size_t label = (size_t)t->src[1]->labels[line];
    double sum = 0;
    for (size_t j = 0; j < s->classes; j++) {
        const double over = (double)z[j] - (double)z[label] + s->number;
        if (j != label && !(over <= 0)) sum += over;
    }
    return nn__label_weight(t, line) * sum;
}

static void nn__hinge_slope(const nn_tensor *t, size_t line, nn_real slope, nn_real *dz)
{
    const nn__loss *s = nn__loss_of(t);
    const nn_real *z = nn__line_begin(t, line);
    const size_t label = (size_t)t->src[1]->labels[line];
    size_t count = 0;
    slope = (nn_real)(nn__label_weight(t, line) * (double)slope);
    for (size_t j = 0; j < s->classes; j++) {
        const int is_over = j != label && (double)z[j] - (double)z[label] + s->number > 0;
        dz[j] = is_over ? slope : 0;
        count += (size_t)is_over;
    }
    dz[label] = -slope * (nn_real)count;
}

/* -- KL divergence: sum_j t_j (log t_j - y_j), where 0 log 0 = 0;  dy = -t -- */

static double nn__kl_divergence_line(const nn_tensor *t, size_t line)
{
    const size_t n = nn__loss_of(t)->classes;
    const nn_real *y = nn__line_begin(t, line);
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        const double d = (double)t->src[1]->data[line * n + j];
        if (d > 0) sum += d * (nn__log_scalar(d) - (double)y[j]);
    }
    return sum;
}

static void nn__kl_divergence_slope(const nn_tensor *t, size_t line, nn_real slope, nn_real *dy)
{
    const size_t n = nn__loss_of(t)->classes;
    nn__k()->scale(n, -slope, t->src[1]->data + line * n, dy);
}

/* ----------------------------------------------------------------------------------- >>targets
   The kinds of losses, building them with the inputs that they compare with, and feeding those. */

/* -- the kinds -- */

static nn_tensor *nn__loss_describe(nn_description *d, const nn_tensor *t);

#define NN__LOSS_FLAGS (NN_OP_VALUE | NN__OP_CLAIMS | NN__OP_LOSS)
#define NN__LINES(name, forward, saved, uses, high)                                                \
    {{#name, forward, nn__loss_backward, saved, NULL, NN__LOSS_FLAGS, nn__loss_describe},          \
     uses, 0, high, 1, nn__##name##_line, nn__##name##_slope, NULL, NULL}
#define NN__ELEMENTS(name, forward, backward, saved, uses, low, high)                              \
    {                                                                                              \
        {#name, forward, backward, saved, NULL, NN__LOSS_FLAGS, nn__loss_describe}, uses, low,     \
            high, 0, NULL, NULL, nn__##name##_element, nn__##name##_slope                          \
    }
static const nn__loss_kind nn__loss_kinds[] = {
    NN__LINES(
        softmax_cross_entropy, nn__softmax_cross_entropy_forward, nn__softmax_cross_entropy_saved,
        NN__TAKES_LABELS | NN__TAKES_TARGETS | NN__USES_SMOOTHING | NN__USES_CLASS_WEIGHTS, 1),
    NN__ELEMENTS(sigmoid_cross_entropy, nn__sigmoid_cross_entropy_forward,
                 nn__sigmoid_cross_entropy_backward, nn__sigmoid_cross_entropy_saved,
                 NN__TAKES_TARGETS | NN__USES_POSITIVE_WEIGHTS, 0, 1),
    NN__ELEMENTS(mse, nn__loss_forward, nn__loss_backward, NULL, NN__TAKES_TARGETS, -DBL_MAX,
                 DBL_MAX),
    NN__ELEMENTS(l1_loss, nn__loss_forward, nn__loss_backward, NULL, NN__TAKES_TARGETS, -DBL_MAX,
                 DBL_MAX),
    NN__ELEMENTS(huber, nn__loss_forward, nn__loss_backward, NULL,
                 NN__TAKES_TARGETS | NN__USES_DELTA, -DBL_MAX, DBL_MAX),
    NN__LINES(hinge, nn__loss_forward, NULL,
              NN__TAKES_LABELS | NN__USES_MARGIN | NN__USES_CLASS_WEIGHTS, 0),
    NN__LINES(kl_divergence, nn__loss_forward, NULL, NN__TAKES_TARGETS, 1)};

static int nn__is_loss(const nn_tensor *t) { return (t->op->flags & NN__OP_LOSS) != 0; }

/* Labels: of the classes, or 0 and 1 for the single column of a binary loss. */
static int nn__takes_labels(const nn_tensor *t)
{
    return nn__as_input(t->src[1])->labels_per_row > 0;
}

static int nn__takes_targets(const nn_tensor *t)
{
    return (nn__kind_of(t)->uses & NN__TAKES_TARGETS) &&
           nn__loss_of(t)->answers != NN_ANSWERS_LABELS;
}

/* -- building -- */

/* A member that is set but not used, or NULL. */
static const char *nn__unused_member(const nn_loss_desc *d, unsigned uses)
{
    if (d->class_weights && !(uses & NN__USES_CLASS_WEIGHTS)) return "class_weights";
    if (d->positive_weights && !(uses & NN__USES_POSITIVE_WEIGHTS)) return "positive_weights";
    if (d->ignore_label && !(uses & NN__TAKES_LABELS)) return "ignore_label";
    if (d->ignored_label && !d->ignore_label) return "ignored_label";
    return NULL;
}

static nn_status nn__check_loss(const char *call, const nn_loss_desc *d, unsigned uses)
{
    static const nn__range ranges[] = {
        {"label_smoothing", offsetof(nn_loss_desc, label_smoothing), 0, NN__BELOW_1,
         "0 <= s < 1", NN__USES_SMOOTHING},
        {"delta", offsetof(nn_loss_desc, delta), 0, NN__LARGEST, "a positive number",
         NN__USES_DELTA},
        {"margin", offsetof(nn_loss_desc, margin), 0, NN__LARGEST, "0 or a positive number",
         NN__USES_MARGIN}};
    const char *unused = nn__unused_member(d, uses);
    if (unused)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s is set, which this kind does not use", call,
                        unused);
    if ((unsigned)d->reduction > NN_REDUCE_NONE)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: reduction is %d, expected one of nn_reduction", call,
                        (int)d->reduction);
    return nn__check_ranges(call, "", d, ranges, sizeof ranges / sizeof *ranges, uses);
}

/* `count` weights in the network's memory: finite and not negative. NULL with *status set to what
   went wrong. */
static nn_real *nn__copy_weights(nn_net *net, const char *call, const char *member,
                                 const nn_real *weights, size_t count, nn_status *status)
{
    for (size_t i = 0; weights && *status == NN_OK && i < count; i++)
        if (!(weights[i] >= 0) || !nn__is_finite((double)weights[i]))
            *status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                               "%s: %s[%llu] is %g, expected 0 or a positive "
                               "number",
                               call, member, (nn__ull)i, (double)weights[i]);
    if (!weights || *status != NN_OK) return NULL;
    nn_real *copy = (nn_real *)nn__arena(net, count, sizeof *copy);
    if (copy) memcpy(copy, weights, count * sizeof *copy);
    else *status = NN_ERROR_OUT_OF_MEMORY;
    return copy;
}

/* Softmax and sigmoid are part of these losses, and done twice they train badly and silently. */
static nn_status nn__check_logits(const char *call, const nn_tensor *y, nn_loss_kind kind)
{
    const int is_sigmoid = nn__activation_of(y) == NN_ACTIVATION_SIGMOID;
    if (kind != NN_LOSS_SOFTMAX_CROSS_ENTROPY && kind != NN_LOSS_SIGMOID_CROSS_ENTROPY)
        return NN_OK;
    if (!is_sigmoid && y->op != &nn__softmax) return NN_OK;
    return nn__fail(NN_ERROR_BAD_ARGUMENT,
                    "%s: the source is the output of %s, and this loss takes logits: give it what "
                    "%s was made of", call, is_sigmoid ? "sigmoid" : "softmax",
                    is_sigmoid ? "sigmoid" : "softmax");
}

/* The input that holds what a loss compares with (or, with a row of 1, the weights of samples). */
static nn_tensor *nn__loss_input(const nn_tensor *y, int is_answer)
{
    size_t shape[1] = {0};
    return nn__node_new(y->net, &nn__input_op, sizeof(nn__input), 0, NULL, 1,
                        is_answer ? y->rank : 1, is_answer ? y->shape : shape);
}

/* Labels: of the classes, or 0 and 1 for the single column of a binary loss. */
static int nn__kind_takes_labels(const nn__loss_kind *kind, size_t classes)
{
    return (kind->uses & NN__TAKES_LABELS) ||
           (kind == &nn__loss_kinds[NN_LOSS_SIGMOID_CROSS_ENTROPY] && classes == 1);
}

static nn_status nn__check_answer_kind(const char *call, const nn__loss_kind *kind, size_t classes,
                                       nn_answers answers)
{
    if ((unsigned)answers > NN_ANSWERS_TARGETS)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: answers is %d, expected one of nn_answers",
                        call, (int)answers);
    if (answers == NN_ANSWERS_LABELS && !nn__kind_takes_labels(kind, classes))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: answers is NN_ANSWERS_LABELS, which this kind "
                                               "does not take%s",
                        call, kind->high > 1 || kind->is_distribution ? "" : " in several columns");
    if (answers == NN_ANSWERS_TARGETS && !(kind->uses & NN__TAKES_TARGETS))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: answers is NN_ANSWERS_TARGETS, which this kind does not take", call);
    return NN_OK;
}

static nn_tensor *nn__loss_node(nn_tensor *y, const nn__loss_kind *kind, const nn_loss_desc *d,
                                const nn__loss *settings)
{
    const size_t lines = y->row_size / settings->classes;
    const int is_binary = kind == &nn__loss_kinds[NN_LOSS_SIGMOID_CROSS_ENTROPY];
    const int none = d->reduction == NN_REDUCE_NONE;
    nn_tensor *src[3] = {y, nn__loss_input(y, 1), NULL};
    if (src[1] && d->sample_weights) src[2] = nn__loss_input(y, 0);
    if (!src[1] || (d->sample_weights && !src[2])) return NULL;
    nn_tensor *t = nn__node_new(y->net, &kind->op, sizeof *settings, d->sample_weights ? 3 : 2, src,
                                none, none ? y->rank - (kind->line != NULL) : 0, y->shape);
    if (!t) return NULL;
    *(nn__loss *)t->settings = *settings;
    nn__input *answer = nn__as_input(src[1]);
    answer->loss = t;
    if (src[2]) nn__as_input(src[2])->loss = t;
    answer->classes = is_binary ? 2 : (int)nn__min_size(settings->classes, INT_MAX);
    if (nn__kind_takes_labels(kind, settings->classes) && d->answers != NN_ANSWERS_TARGETS)
        answer->labels_per_row = lines;
    return t;
}

NN_DEF nn_tensor *nn_loss(nn_tensor *y, nn_loss_kind kind, const nn_loss_desc *desc)
{
    nn_loss_desc d;
    nn__loss s;
    char call[64] = "nn_loss";
    memset(&d, 0, sizeof d);
    memset(&s, 0, sizeof s);
    if (desc) d = *desc;
    const int is_kind = (unsigned)kind < NN_LOSS_COUNT;
    if (is_kind) nn__call(&nn__loss_kinds[kind].op, call);
    nn_net *net = nn__common_net(call, 1, &y);
    if (!net) return NULL;
    if (!is_kind) return nn__bad_argument(net, call, "kind", (double)kind, "one of nn_loss_kind");
    if (!y->batched || y->rank < 2)
        return nn__bad_shape(call, y, "a batch and at least one dimension beside it");
    nn_status status = nn__check_loss(call, &d, nn__loss_kinds[kind].uses);
    if (status == NN_OK) status = nn__check_logits(call, y, kind);
    s.reduction = d.reduction, s.answers = d.answers;
    s.classes = y->shape[y->rank - 1];
    if (status == NN_OK)
        status = nn__check_answer_kind(call, &nn__loss_kinds[kind], s.classes, d.answers);
    s.ignores = d.ignore_label, s.ignored = d.ignored_label;
    s.number = d.label_smoothing;
    if (kind == NN_LOSS_HUBER) s.number = nn__or_default(d.delta, 1);
    if (kind == NN_LOSS_HINGE) s.number = nn__or_default(d.margin, 1);
    s.class_weights =
        nn__copy_weights(net, call, "class_weights", d.class_weights, s.classes, &status);
    s.positive_weights =
        nn__copy_weights(net, call, "positive_weights", d.positive_weights, s.classes, &status);
    if (status != NN_OK) return nn__net_failed(net, status);
    return nn__loss_node(y, &nn__loss_kinds[kind], &d, &s);
}

/* The inputs that it compares with are made by nn_loss again. */
static nn_tensor *nn__loss_describe(nn_description *d, const nn_tensor *t)
{
    static const char *const reductions[] = {"mean", "sum", "none"};
    static const char *const answers[] = {"any", "labels", "targets"};
    const nn_loss_kind kind =
        (nn_loss_kind)((const nn__loss_kind *)(const void *)d->op - nn__loss_kinds);
    const nn_tensor *y = nn_describe_source(d, 0);
    const size_t classes = y ? nn__last_dimension(y) : 0;
    nn__loss s;
    nn_loss_desc desc;
    memset(&s, 0, sizeof s);
    memset(&desc, 0, sizeof desc);
    if (t) s = *nn__loss_of(t);
    int reduction = (int)s.reduction, answer = (int)s.answers;
    desc.class_weights = s.class_weights, desc.positive_weights = s.positive_weights;
    nn_describe_choice(d, "reduction", &reduction, reductions, 3);
    nn_describe_choice(d, "answers", &answer, answers, 3);
    nn_describe_real(d, "number", &s.number);
    nn_describe_reals(d, "class_weights", &desc.class_weights, classes);
    nn_describe_reals(d, "positive_weights", &desc.positive_weights, classes);
    nn_describe_int(d, "ignore_label", &s.ignores);
    nn_describe_int(d, "ignored_label", &s.ignored);
    desc.reduction = (nn_reduction)reduction, desc.answers = (nn_answers)answer;
    desc.ignore_label = s.ignores, desc.ignored_label = s.ignored;
    desc.sample_weights = d->src_count > 2;
    if (kind == NN_LOSS_HUBER) desc.delta = s.number;
    else if (kind == NN_LOSS_HINGE) desc.margin = s.number != 0 ? s.number : NN_ZERO;
    else desc.label_smoothing = s.number;
    return t ? NULL : nn_loss(nn_describe_source(d, 0), kind, &desc);
}

#define NN__LOSS(name, kind)                                                                       \
    NN_DEF nn_tensor *name(nn_tensor *y) { return nn_loss(y, kind, NULL); }
NN__LOSS(nn_softmax_cross_entropy, NN_LOSS_SOFTMAX_CROSS_ENTROPY)
NN__LOSS(nn_sigmoid_cross_entropy, NN_LOSS_SIGMOID_CROSS_ENTROPY)
NN__LOSS(nn_mse, NN_LOSS_MSE)
NN__LOSS(nn_l1_loss, NN_LOSS_L1)
NN__LOSS(nn_hinge, NN_LOSS_HINGE)
NN__LOSS(nn_kl_divergence, NN_LOSS_KL_DIVERGENCE)

NN_DEF nn_tensor *nn_huber(nn_tensor *y, double delta)
{
    nn_loss_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.delta = delta;
    if (y && !(delta > 0)) return nn__bad_argument(y->net, "nn_huber", "delta", delta, "above 0");
    return nn_loss(y, NN_LOSS_HUBER, &desc);
}

/* -- feeding -- */

/* Labels in their range, or to be ignored. */
static nn_status nn__check_label_range(const char *call, const nn_tensor *t, const int *labels,
                                       size_t count)
{
    const nn__input *input = nn__as_input(t);
    const nn__loss *s = input->loss ? nn__loss_of(input->loss) : NULL;
    for (size_t i = 0; i < count; i++) {
        if (labels[i] >= 0 && labels[i] < input->classes) continue;
        if (s && s->ignores && labels[i] == s->ignored) continue;
        return nn__fail(NN_ERROR_BAD_LABEL, "%s: label %d at index %llu, expected 0 to %d", call,
                        labels[i], (nn__ull)i, input->classes - 1);
    }
    return NN_OK;
}

/* Targets where the loss says they lie, of samples from number `first` on. `count` is a multiple of
   its classes. */
static nn_status nn__check_target_range(const char *call, const nn_tensor *loss,
                                        const nn_real *targets, size_t count, size_t first)
{
    const nn__loss_kind *kind = nn__kind_of(loss);
    const size_t n = nn__loss_of(loss)->classes, size = loss->src[0]->row_size;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)targets[i];
        if (!nn__is_finite(d) || d < kind->low || d > kind->high)
            return nn__fail(nn__is_finite(d) ? NN_ERROR_BAD_ARGUMENT : NN_ERROR_BAD_NUMBER,
                            "%s: target %g of sample %llu, column %llu, expected %s", call, d,
                            (nn__ull)(first + i / size), (nn__ull)(i % n),
                            kind->high > 1 ? "a finite number" : "0 to 1");
        sum = (i % n ? sum : 0) + d;
        if (kind->is_distribution && i % n == n - 1 && !(fabs(sum - 1) <= 1e-3))
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: the targets of sample %llu sum to %g, expected 1", call,
                            (nn__ull)(first + i / size), sum);
    }
    return NN_OK;
}

static nn_status nn__expected_loss(const char *call, const nn_tensor *t, const char *what)
{
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: tensor %llu is '%s', expected a loss%s", call,
                    (nn__ull)t->id, t->op->name, what);
}

NN_DEF nn_status nn_feed_labels(nn_tensor *t, const int *labels, size_t rows)
{
    const char *const call = "nn_feed_labels";
    nn_status status = nn__check_feed(call, t, labels, rows);
    if (status != NN_OK) return status;
    if (nn__is_loss(t) && !nn__takes_labels(t))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s takes targets", call, t->op->name);
    nn_tensor *answer = nn__is_loss(t) ? t->src[1] : t;
    const nn__input *input = nn__as_input(answer);
    if (!input || !input->labels_per_row)
        return nn__expected_loss(call, t, " or an input of labels");
    size_t count;
    if (!nn__multiply(rows, input->labels_per_row, &count))
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: %llu rows do not fit", call, (nn__ull)rows);
    status = nn__check_label_range(call, answer, labels, count);
    if (status == NN_OK) status = nn__begin_feed(answer, rows, 1);
    if (status == NN_OK) memcpy(answer->labels, labels, count * sizeof *labels);
    return status;
}

NN_DEF nn_status nn_feed_targets(nn_tensor *loss, const nn_real *targets, size_t rows)
{
    const char *const call = "nn_feed_targets";
    nn_status status = nn__check_feed(call, loss, targets, rows);
    if (status != NN_OK) return status;
    if (!nn__is_loss(loss)) return nn__expected_loss(call, loss, "");
    if (!nn__takes_targets(loss))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s takes labels", call, loss->op->name);
    size_t count;
    if (!nn__multiply(rows, loss->src[0]->row_size, &count))
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: %llu rows do not fit", call, (nn__ull)rows);
    status = nn__check_target_range(call, loss, targets, count, 0);
    if (status == NN_OK) status = nn__begin_feed(loss->src[1], rows, 0);
    if (status == NN_OK) memcpy(loss->src[1]->data, targets, count * sizeof *targets);
    return status;
}

NN_DEF nn_status nn_feed_weights(nn_tensor *loss, const nn_real *weights, size_t rows)
{
    const char *const call = "nn_feed_weights";
    nn_status status = nn__check_feed(call, loss, weights, rows);
    if (status != NN_OK) return status;
    if (!nn__is_loss(loss) || loss->src_count < 3)
        return nn__expected_loss(call, loss, " with sample_weights");
    for (size_t i = 0; i < rows; i++)
        if (!(weights[i] >= 0) || !nn__is_finite((double)weights[i]))
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: weight %llu is %g, expected 0 or a positive number", call,
                            (nn__ull)i, (double)weights[i]);
    status = nn__begin_feed(loss->src[2], rows, 0);
    if (status == NN_OK) memcpy(loss->src[2]->data, weights, rows * sizeof *weights);
    return status;
}

/* -- penalties -- */

/* loss + l1 sum |w| + l2 sum w^2 over sources 1, 2, ...:  dw = l1 sign(w) + 2 l2 w */
static nn_status nn__weight_penalty_forward(nn_tensor *t)
{
    const nn__numbers *s = (const nn__numbers *)t->settings;
    double magnitudes = 0, squares = 0;
    for (size_t i = 1; i < t->src_count; i++) {
        const nn_tensor *p = t->src[i];
        if (p->no_decay) continue;
        if (s->a > 0) magnitudes += nn__sum_of_magnitudes(p->size, p->data);
        if (s->b > 0) squares += nn__sum_of_squares(p->size, p->data);
    }
    t->value = t->src[0]->value + (s->a * magnitudes + s->b * squares);
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

static nn_status nn__weight_penalty_backward(nn_tensor *t)
{
    const nn__numbers *s = (const nn__numbers *)t->settings;
    const double slope = (double)t->grad[0];
    const nn_real step = (nn_real)(s->a * slope);
    nn__pass_gradient(t->src[0], 1, t->grad);
    for (size_t i = 1; i < t->src_count; i++) {
        nn_tensor *p = t->src[i];
        if (p->no_decay) continue;
        nn__pass_gradient(p, 2 * s->b * slope, p->data);
        for (size_t j = 0; s->a > 0 && j < p->size; j++)
            p->grad[j] += p->data[j] > 0 ? step : p->data[j] < 0 ? -step : 0;
    }
    return NN_OK;
}

static nn_tensor *nn__weight_penalty_describe(nn_description *d, const nn_tensor *t)
{
    const double l1 = nn__described(d, t, "l1", 0), l2 = nn__described(d, t, "l2", 1);
    return t ? NULL : nn_weight_penalty(nn_describe_source(d, 0), l1, l2);
}

static const nn_op nn__weight_penalty = {"weight_penalty", nn__weight_penalty_forward,
                                         nn__weight_penalty_backward, NULL, NULL,
                                         NN_OP_VALUE | NN__OP_CLAIMS, nn__weight_penalty_describe};

NN_DEF nn_tensor *nn_weight_penalty(nn_tensor *loss, double l1, double l2)
{
    nn_net *net = nn__common_net("nn_weight_penalty", 1, &loss);
    if (!net) return NULL;
    if (!nn__is_scalar(loss)) return nn__bad_shape("nn_weight_penalty", loss, "a scalar");
    if (!(l1 >= 0) || !nn__is_finite((double)(nn_real)l1))
        return nn__bad_argument(net, "nn_weight_penalty", "l1", l1, "0 or a positive nn_real");
    if (!(l2 >= 0) || !nn__is_finite((double)(nn_real)l2))
        return nn__bad_argument(net, "nn_weight_penalty", "l2", l2, "0 or a positive nn_real");
    const size_t count = net->parameters.count;
    nn_tensor **src = (nn_tensor **)nn__arena(net, count + 1, sizeof *src);
    if (!src) return nn__out_of_memory(net);
    src[0] = loss;
    if (count) memcpy(src + 1, net->parameters.items, count * sizeof *src);
    nn_tensor *t = nn__node_new(net, &nn__weight_penalty, sizeof(nn__numbers), count + 1, src, 0, 0,
                                NULL);
    nn__numbers *s = t ? (nn__numbers *)t->settings : NULL;
    if (s) s->a = l1, s->b = l2;
    return t;
}

/* ------------------------------------------------------------------------------------- >>optim
   What a step does with gradients. The formulas of the kinds stand in >>kernels; here is what they
   need: which members of the desc, how much state, which defaults. A step clips, finds the rate of
   the schedule, and then goes through the store in stretches of parameters that share rate and
   decay: a small network is a single call of the kernel.

   To add a kind: its value in nn_optimizer_kind with the formula, a line here, its members in the
   table of ranges, a case in the kernel `update`, and a reference in tests/test_optim.c. */
#ifndef NN_NO_TRAINING

typedef struct nn__optimizer_kind {
    int state;      /* arrays as large as the parameters */
    double epsilon; /* the default */
} nn__optimizer_kind;

static const nn__optimizer_kind nn__optimizer_kinds[NN_OPTIMIZER_COUNT] = {
    {0, 0},     /* KEEP */
    {1, 0},     /* SGD; none without momentum */
    {1, 1e-10}, /* ADAGRAD */
    {1, 1e-8},  /* RMSPROP */
    {2, 1e-8},  /* ADAM */
    {2, 1e-8}   /* ADAMW */
};

/* A network's optimiser. */
typedef struct nn__optimizer {
    nn_optimizer_desc filled, desc; /* as it was given with its defaults; as numbers */
    size_t steps;
    double reduction; /* of the learning rate, on a plateau */
    double rate; /* of the last step, with the parameters' scale where they share one */
    size_t parameters; /* so many have gradients and state */
    nn__update update; /* what all parameters and steps have in common */
} nn__optimizer;

NN_DEF nn_optimizer_desc nn_sgd(double learning_rate, double momentum)
{
    nn_optimizer_desc d;
    memset(&d, 0, sizeof d);
    d.kind = NN_OPTIMIZER_SGD, d.learning_rate = learning_rate, d.momentum = momentum;
    return d;
}

NN_DEF nn_optimizer_desc nn_adam(double learning_rate)
{
    nn_optimizer_desc d = nn_sgd(learning_rate, 0);
    d.kind = NN_OPTIMIZER_ADAM;
    return d;
}

NN_DEF nn_optimizer_desc nn_adamw(double learning_rate, double weight_decay)
{
    nn_optimizer_desc d = nn_adam(learning_rate);
    d.kind = NN_OPTIMIZER_ADAMW, d.weight_decay = weight_decay;
    return d;
}

#define NN__KIND(name) (1u << NN_OPTIMIZER_##name)
#define NN__MEMBER(name, low, high, expected, kinds)                                               \
    {#name, offsetof(nn_optimizer_desc, name), low, high, expected, kinds}
static const nn__range nn__optimizer_ranges[] = {
    NN__MEMBER(learning_rate, DBL_MIN, NN__LARGEST, "a positive number", 0),
    NN__MEMBER(momentum, 0, NN__BELOW_1, "0 <= momentum < 1", NN__KIND(SGD)),
    NN__MEMBER(beta1, 0, NN__BELOW_1, "0 <= beta1 < 1", NN__KIND(ADAM) | NN__KIND(ADAMW)),
    NN__MEMBER(beta2, 0, NN__BELOW_1, "0 <= beta2 < 1", NN__KIND(ADAM) | NN__KIND(ADAMW)),
    NN__MEMBER(rho, 0, NN__BELOW_1, "0 <= rho < 1", NN__KIND(RMSPROP)),
    NN__MEMBER(epsilon, 0, NN__LARGEST, "a positive number", ~NN__KIND(SGD)),
    NN__MEMBER(weight_decay, 0, NN__LARGEST, "0 or a positive number", 0),
    NN__MEMBER(clip_norm, 0, NN__LARGEST, "0 or a positive number", 0),
    NN__MEMBER(clip_value, 0, NN__LARGEST, "0 or a positive number", 0)};
#undef NN__MEMBER
#undef NN__KIND

#define NN__KIND(name) (1u << NN_SCHEDULE_##name)
static const nn__range nn__schedule_ranges[] = {
    {"gamma", offsetof(nn_schedule, gamma), 0, NN__LARGEST, "0 or a positive number",
     NN__KIND(STEP_DECAY) | NN__KIND(EXPONENTIAL) | NN__KIND(PLATEAU)},
    {"final_rate", offsetof(nn_schedule, final_rate), 0, NN__LARGEST, "0 or a positive number",
     NN__KIND(COSINE) | NN__KIND(TRIANGULAR) | NN__KIND(ONE_CYCLE) | NN__KIND(PLATEAU)}};

/* What a number of steps should have been; NULL when it is right. */
static const char *nn__steps_expected(size_t steps, unsigned uses, unsigned may_default,
                                      unsigned kind)
{
    if (!(uses & kind)) return steps ? "0, since this kind does not use it" : NULL;
    return steps || (may_default & kind) ? NULL : "at least 1 step";
}

/* The function of a custom schedule: there, and for no other kind. */
static nn_status nn__check_custom_rate(const char *call, const nn_schedule *s)
{
    const int is_custom = s->kind == NN_SCHEDULE_CUSTOM;
    if (is_custom && !s->rate)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: schedule.rate is NULL, expected a function",
                        call);
    if (!is_custom && (s->rate || s->user))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: schedule.%s is set, which this kind does not use", call,
                        s->rate ? "rate" : "user");
    return NN_OK;
}

/* Numbers of steps: there where the kind needs them, and nowhere else. */
static nn_status nn__check_schedule(const char *call, const nn_schedule *s)
{
    const unsigned kind = (unsigned)s->kind < NN_SCHEDULE_COUNT ? 1u << s->kind : 0;
    const unsigned one_cycle = NN__KIND(ONE_CYCLE);
    if (!kind)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: schedule.kind is %d, expected one of nn_schedule_kind", call,
                        (int)s->kind);
    const char *period = nn__steps_expected(
        s->period, NN__KIND(STEP_DECAY) | NN__KIND(TRIANGULAR) | NN__KIND(PLATEAU) | one_cycle,
        one_cycle, kind);
    const char *total = nn__steps_expected(s->total, NN__KIND(COSINE) | one_cycle, 0, kind);
    if (period || total)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: schedule.%s is %llu, expected %s", call,
                        period ? "period" : "total", (nn__ull)(period ? s->period : s->total),
                        period ? period : total);
    if (kind == one_cycle && s->period > s->total)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: schedule.period is %llu, expected at most %llu, schedule.total", call,
                        (nn__ull)s->period, (nn__ull)s->total);
    if (s->kind == NN_SCHEDULE_PLATEAU && s->gamma >= 1)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: schedule.gamma is %g, expected 0 <= gamma < 1", call, s->gamma);
    nn_status status = nn__check_custom_rate(call, s);
    return status == NN_OK
               ? nn__check_ranges(call, "schedule.", s, nn__schedule_ranges,
                                  sizeof nn__schedule_ranges / sizeof *nn__schedule_ranges, kind)
               : status;
}
#undef NN__KIND

static nn_status nn__check_optimizer(const char *call, const nn_optimizer_desc *d)
{
    if (!d) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the desc is NULL", call);
    if (d->kind == NN_OPTIMIZER_KEEP || (unsigned)d->kind >= NN_OPTIMIZER_COUNT)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: kind is %d, expected NN_OPTIMIZER_SGD or another of "
                        "nn_optimizer_kind", call, (int)d->kind);
    nn_status status = nn__check_ranges(call, "", d, nn__optimizer_ranges,
                                        sizeof nn__optimizer_ranges / sizeof *nn__optimizer_ranges,
                                        1u << d->kind);
    if (status != NN_OK) return status;
    if (d->nesterov && !((nn_real)nn__or_default(d->momentum, 0) > 0))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: nesterov is set without a momentum", call);
    if (!((nn_real)nn__or_default(d->epsilon, 1) > 0)) /* 0 / 0 at the first gradient of 0 */
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: epsilon is %g, expected a positive nn_real",
                        call, d->epsilon);
    return nn__check_schedule(call, &d->schedule);
}

static void nn__fill(double *member, double otherwise)
{
    if (*member == 0) *member = otherwise;
}

/* The desc with its defaults filled in: NN_ZERO stays, so that it can be given again. */
static nn_optimizer_desc nn__optimizer_defaults(nn_optimizer_desc d)
{
    nn_schedule *s = &d.schedule;
    const int is_adam = d.kind == NN_OPTIMIZER_ADAM || d.kind == NN_OPTIMIZER_ADAMW;
    const int is_stepwise = s->kind == NN_SCHEDULE_STEP_DECAY || s->kind == NN_SCHEDULE_PLATEAU;
    nn__fill(&d.epsilon, nn__optimizer_kinds[d.kind].epsilon);
    if (is_adam) nn__fill(&d.beta1, 0.9);
    if (is_adam) nn__fill(&d.beta2, 0.999);
    if (d.kind == NN_OPTIMIZER_RMSPROP) nn__fill(&d.rho, 0.99);
    if (s->kind == NN_SCHEDULE_EXPONENTIAL) nn__fill(&s->gamma, 1);
    if (is_stepwise) nn__fill(&s->gamma, 0.1);
    if (s->kind == NN_SCHEDULE_ONE_CYCLE && !s->period)
        s->period = nn__max_size((size_t)(0.3 * (double)s->total), 1);
    return d;
}

/* The numbers to compute with: a 0 for NN_ZERO. */
static nn_optimizer_desc nn__optimizer_numbers(nn_optimizer_desc d)
{
    d.momentum = nn__or_default(d.momentum, 0);
    d.beta1 = nn__or_default(d.beta1, 0);
    d.beta2 = nn__or_default(d.beta2, 0);
    d.rho = nn__or_default(d.rho, 0);
    d.epsilon = nn__or_default(d.epsilon, 0);
    d.schedule.gamma = nn__or_default(d.schedule.gamma, 0);
    return d;
}

/* r / 25 -> r -> final, t steps into the cycle. */
static double nn__one_cycle(const nn_schedule *s, double rate, size_t t)
{
    const double period = (double)s->period, total = (double)s->total, place = (double)t;
    if (t >= s->total) return s->final_rate;
    if (t < s->period) return rate * (1 + 24 * place / period) / 25;
    return s->final_rate + (rate - s->final_rate) * (total - place) / (total - period);
}

/* Of a desc with its defaults as numbers. */
static double nn__rate(const nn_optimizer_desc *d, size_t t)
{
    const nn_schedule *s = &d->schedule;
    const double rate = d->learning_rate, low = s->final_rate;
    if (t < s->warm_up) return rate * ((double)t + 1) / (double)s->warm_up;
    t -= s->warm_up;
    switch (s->kind) {
    case NN_SCHEDULE_STEP_DECAY: return rate * nn__power(s->gamma, t / s->period);
    case NN_SCHEDULE_EXPONENTIAL: return rate * nn__power(s->gamma, t);
    case NN_SCHEDULE_COSINE:
        if (t >= s->total) return low;
        return low + (rate - low) * (1 + nn__cos_pi((double)t / (double)s->total)) / 2;
    case NN_SCHEDULE_TRIANGULAR: {
        const double place = (double)(t % s->period) / (double)s->period;
        return low + (rate - low) * (t / s->period % 2 ? 1 - place : place);
    }
    case NN_SCHEDULE_ONE_CYCLE: return nn__one_cycle(s, rate, t);
    case NN_SCHEDULE_CUSTOM: return s->rate(s->user, t);
    case NN_SCHEDULE_CONSTANT:
    case NN_SCHEDULE_PLATEAU:
    case NN_SCHEDULE_COUNT: break;
    }
    return rate;
}

NN_DEF double nn_learning_rate(const nn_optimizer_desc *desc, size_t t)
{
    if (nn__check_optimizer("nn_learning_rate", desc) != NN_OK) return NAN;
    const nn_optimizer_desc d = nn__optimizer_numbers(nn__optimizer_defaults(*desc));
    return nn__rate(&d, t);
}

static int nn__state_count(const nn_optimizer_desc *d)
{
    if (d->kind == NN_OPTIMIZER_SGD && !(d->momentum > 0)) return 0;
    return nn__optimizer_kinds[d->kind].state;
}

static nn__update nn__update_for(const nn_optimizer_desc *d)
{
    nn__update u;
    memset(&u, 0, sizeof u);
    u.kind = d->kind;
    u.nesterov = d->nesterov;
    u.momentum = (nn_real)d->momentum;
    u.beta1 = (nn_real)d->beta1;
    u.beta2 = (nn_real)(d->kind == NN_OPTIMIZER_RMSPROP ? d->rho : d->beta2);
    u.epsilon = (nn_real)d->epsilon;
    return u;
}

/* A desc for the network, good to be used. */
static nn_status nn__check_new_optimizer(const char *call, const nn_net *net,
                                         const nn_optimizer_desc *desc)
{
    if (!net) return nn__fail_null(call, "network");
    nn_status status = nn_net_status(net);
    if (status == NN_OK) status = nn__check_own(call, net);
    return status == NN_OK ? nn__check_optimizer(call, desc) : status;
}

/* Room for state, cleared if it is to be; where there is none everything stays as it was. */
static nn_status nn__use_optimizer(nn_net *net, nn__optimizer *o, const nn_optimizer_desc *desc,
                                   int clear)
{
    const nn_optimizer_desc filled = nn__optimizer_defaults(*desc);
    const nn_optimizer_desc numbers = nn__optimizer_numbers(filled);
    nn_status status = nn__store_state(net, nn__state_count(&numbers), 0);
    if (status != NN_OK) return status;
    if (clear) nn__store_state(net, nn__state_count(&numbers), 1);
    if (clear || o->filled.schedule.kind != filled.schedule.kind) o->reduction = 1;
    o->filled = filled, o->desc = numbers;
    o->update = nn__update_for(&numbers);
    return NN_OK;
}

static nn_status nn__set_optimizer(const char *call, nn_net *net, const nn_optimizer_desc *desc)
{
    nn_status status = nn__check_new_optimizer(call, net, desc);
    if (status != NN_OK) return status;
    nn__optimizer *o = net->optimizer;
    if (!o) o = (nn__optimizer *)nn__arena(net, 1, sizeof *o);
    if (!o) return NN_ERROR_OUT_OF_MEMORY;
    status = nn__use_optimizer(net, o, desc, 1);
    if (status != NN_OK) return status;
    o->steps = o->parameters = 0;
    net->optimizer = o;
    return NN_OK;
}

NN_DEF nn_status nn_set_optimizer(nn_net *net, const nn_optimizer_desc *desc)
{
    if (desc && desc->schedule.kind == NN_SCHEDULE_PLATEAU)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_set_optimizer: schedule.kind is NN_SCHEDULE_PLATEAU, which only "
                        "nn_train can follow: in a loop of your own use nn_change_optimizer");
    return nn__set_optimizer("nn_set_optimizer", net, desc);
}

NN_DEF nn_status nn_change_optimizer(nn_net *net, const nn_optimizer_desc *desc)
{
    const char *const call = "nn_change_optimizer";
    nn_status status = nn__check_new_optimizer(call, net, desc);
    if (status != NN_OK) return status;
    nn__optimizer *o = net->optimizer;
    if (!o) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: call nn_set_optimizer first", call);
    if (desc->kind != o->desc.kind)
        return nn__fail(NN_ERROR_MISMATCH, "%s: kind is %d, the optimiser in force is of kind %d, "
                                           "whose state another cannot use", call, (int)desc->kind,
                        (int)o->desc.kind);
    const nn_optimizer_desc numbers = nn__optimizer_numbers(*desc);
    const int state_begins = nn__state_count(&numbers) != nn__state_count(&o->desc);
    return nn__use_optimizer(net, o, desc, state_begins); /* SGD's momentum, there or not */
}

NN_DEF const nn_optimizer_desc *nn_net_optimizer(const nn_net *net)
{
    return net && net->optimizer ? &net->optimizer->filled : NULL;
}

NN_DEF size_t nn_step_count(const nn_net *net)
{
    return net && net->optimizer ? net->optimizer->steps : 0;
}

/* Clips by value in place; returns what the norm asks the gradients to be multiplied with. */
static double nn__clip(nn_net *net, const nn_optimizer_desc *d)
{
    double squares = 0;
    if (d->clip_value <= 0 && d->clip_norm <= 0) return 1;
    for (size_t i = 0; i < net->parameters.count; i++) {
        nn_tensor *p = net->parameters.items[i];
        if (p->frozen) continue;
        if (d->clip_value > 0) nn__k()->clamp(p->size, (nn_real)d->clip_value, p->grad);
        if (d->clip_norm > 0) squares += nn__sum_of_squares(p->size, p->grad);
    }
    const double norm = sqrt(squares);
    return d->clip_norm > 0 && norm > d->clip_norm ? d->clip_norm / norm : 1;
}

/* Neighbours in the store that are updated alike. */
typedef struct nn__stretch {
    const nn__store *store;
    size_t begin, end;
    double rate_scale, decay;
} nn__stretch;

typedef struct nn__update_part {
    const nn__update *u;
    const nn__store *store;
    size_t begin;
    int state;
} nn__update_part;

static void nn__update_range(void *context, size_t begin, size_t end)
{
    const nn__update_part *part = (const nn__update_part *)context;
    const nn__store *s = part->store;
    const size_t at = part->begin + begin;
    nn__k()->update(part->u, end - begin, s->values + at, s->grads + at,
                    part->state > 0 ? s->state[0] + at : NULL,
                    part->state > 1 ? s->state[1] + at : NULL);
}

static void nn__update_stretch(nn_net *net, double rate, const nn__stretch *run)
{
    nn__update *u = &net->optimizer->update;
    const nn_optimizer_desc *d = &net->optimizer->desc;
    const int decoupled = d->kind == NN_OPTIMIZER_ADAMW;
    if (!run->store) return;
    u->rate = (nn_real)(rate * run->rate_scale);
    u->decay = decoupled ? 0 : (nn_real)run->decay;
    u->decoupled_decay = decoupled ? (nn_real)(rate * run->rate_scale * run->decay) : 0;
    nn__update_part part = {u, run->store, run->begin, nn__state_count(d)};
    nn__parallel(net->threads, run->end - run->begin, NN__GRAIN, nn__update_range, &part);
}

/* The clipping's factor, and what Adam divides by in this step. */
static void nn__begin_update(nn__update *u, size_t steps, double scale)
{
    u->scale = (nn_real)scale;
    if (u->kind != NN_OPTIMIZER_ADAM && u->kind != NN_OPTIMIZER_ADAMW) return;
    u->correction1 = (nn_real)(1 / (1 - nn__power((double)u->beta1, steps + 1)));
    u->correction2 = (nn_real)(1 / sqrt(1 - nn__power((double)u->beta2, steps + 1)));
}

/* An optimiser, and gradients and state also for parameters that were made since. */
static nn_status nn__check_step(nn_net *net)
{
    if (!net) return nn__fail_null("nn_step", "network");
    if (net->status != NN_OK) return nn_net_status(net);
    nn__optimizer *o = net->optimizer;
    if (!o) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_step: call nn_set_optimizer first");
    if (o->parameters == net->parameters.count) return NN_OK;
    nn_status status = nn__store_grads(net);
    if (status == NN_OK) status = nn__store_state(net, nn__state_count(&o->desc), 0);
    if (status == NN_OK) o->parameters = net->parameters.count;
    return status;
}

NN_DEF nn_status nn_step(nn_net *net)
{
    nn__stretch run = {NULL, 0, 0, 1, 0};
    nn_status status = nn__check_step(net);
    if (status != NN_OK) return status;
    nn__optimizer *o = net->optimizer;
    const double rate = nn__rate(&o->desc, o->steps) * o->reduction;
    double common_scale = 0;
    if (!(rate >= 0) || !nn__is_finite((double)(nn_real)rate))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_step: schedule.rate gave %g for step %llu, expected 0 or a positive "
                        "number", rate, (nn__ull)o->steps);
    nn__begin_update(&o->update, o->steps, nn__clip(net, &o->desc));
    for (size_t i = 0; i < net->parameters.count; i++) {
        const nn_tensor *p = net->parameters.items[i];
        const nn__store *store = nn__store_of(p);
        const size_t at = nn__place(p);
        const double decay = p->no_decay ? 0 : o->desc.weight_decay, scale = p->learning_rate_scale;
        if (p->frozen) continue;
        if (store != run.store || at != run.end || scale != run.rate_scale ||
            decay != run.decay) {
            nn__update_stretch(net, rate, &run);
            common_scale = !run.store || common_scale == scale ? scale : 1;
            run.store = store, run.begin = at, run.rate_scale = scale, run.decay = decay;
        }
        run.end = at + nn__round_up(p->size, NN__ALIGN / sizeof(nn_real));
    }
    nn__update_stretch(net, rate, &run);
    o->rate = rate * (run.store ? common_scale : 1);
    o->steps++;
    return NN_OK;
}
#endif

/* From here on kernels, files and messages are called, hardly anything is computed: gcc need not
   try hard, which is half a second of every compilation. */
#if !defined(__clang__) && defined(__GNUC__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O1")
#endif

/* ------------------------------------------------------------------------------------ >>slopes
   Slopes of a function that is known up to rounding, for the gradient check. A difference quotient
   over a long step is wrong by curvature and kinks, over a short one by rounding, and which step is
   right for both depends on the scale of what is moved: inputs of 1e4 turn a weight's step of 1e-2
   into a jump. So f is sampled at steps that shrink by 2^(1/4), and a curve is laid through every
   twelve of them. Its residuals show all that makes its slope uncertain; the scale at which that is
   least is the right one, and what is left of it goes into the tolerance. */
#ifndef NN_NO_TRAINING

enum {
    NN__SAMPLES = 12,    /* of one curve */
    NN__PER_OCTAVE = 4,  /* steps; one curve for each octave */
    NN__CURVES = 34,
    NN__LEVELS = NN__SAMPLES + (NN__CURVES - 1) * NN__PER_OCTAVE
};

#define NN__LONGEST 4096.0 /* step, in units of h */
#define NN__CERTAINTY 10.0 /* standard errors that are allowed for */
#define NN__ROUNDINGS 4.0  /* how often the rounding found in an analytic slope */
#define NN__EPSILON (sizeof(nn_real) == sizeof(double) ? DBL_EPSILON : FLT_EPSILON)

typedef struct nn__checker {
    nn_gradcheck_desc desc; /* with its defaults */
    nn_gradcheck_report report;
    double (*f)(void *user);
    void *user;
    double middle;       /* f where nothing is moved */
    double noise;        /* the least that rounding does to f */
    double rounding;     /* the same for the present analytic slope */
    double h;            /* the step that was right last in the present tensor */
    double least_change, largest_change; /* of f in the present search, but for none */
    double worst;        /* nn__excess of the element in the report */
    int not_finite;
} nn__checker;

/* f(x + u) = f(x) + odd(u) + even(u) at the steps of a curve. */
typedef struct nn__samples {
    double step[NN__SAMPLES], odd[NN__SAMPLES], even[NN__SAMPLES];
} nn__samples;

/* What a curve over steps of up to h says: the slope, its standard error, and half the change of
   slope if there is a kink. */
typedef struct nn__slope {
    double value, error, kink, h, deviation;
    int is_clear; /* the residuals are noise, so f has no other shape at this scale */
} nn__slope;

/* Samples f at x +- step, or rather where the two come to lie as nn_real. */
static void nn__probe(nn__checker *c, nn_real *x, double step, nn__samples *s, int i)
{
    const nn_real old = *x;
    const nn_real up = (nn_real)((double)old + step), down = (nn_real)((double)old - step);
    *x = up;
    const double high = c->f(c->user) - c->middle;
    *x = down;
    const double low = c->f(c->user) - c->middle;
    *x = old;
    for (int side = 0; side < 2; side++) {
        const double change = fabs(side ? high : low);
        if (!nn__is_finite(change) || change == 0) continue;
        c->largest_change = fmax(c->largest_change, change);
        c->least_change = fmin(c->least_change, change);
    }
    s->step[i] = ((double)up - (double)down) / 2;
    s->odd[i] = (high - low) / 2, s->even[i] = (high + low) / 2;
}

/* Least squares y = a t + b t^power: a and its error, from a deviation of at least `noise`.
   Returns whether the residuals are noise: such have changes from one to the next of 2 squares on
   average, a shape has fewer (Durbin and Watson 1950). */
static int nn__fit(const double *t, const double *y, size_t power, double noise, double *a,
                   double *error, double *deviation)
{
    double pp = 0, pq = 0, qq = 0, py = 0, qy = 0, squares = 0, changes = 0, r[NN__SAMPLES];
    for (int i = 0; i < NN__SAMPLES; i++) {
        const double q = nn__power(t[i], power);
        pp += t[i] * t[i], pq += t[i] * q, qq += q * q;
        py += t[i] * y[i], qy += q * y[i];
    }
    const double det = pp * qq - pq * pq, b = (pp * qy - pq * py) / det;
    *a = (qq * py - pq * qy) / det;
    for (int i = 0; i < NN__SAMPLES; i++) {
        r[i] = y[i] - *a * t[i] - b * nn__power(t[i], power);
        squares += r[i] * r[i];
    }
    for (int i = 0; i < NN__SAMPLES; i++) {
        const double change = r[(i + 1) % NN__SAMPLES] - r[i];
        changes += change * change;
    }
    *deviation = fmax(sqrt(squares / (NN__SAMPLES - 2)), noise);
    *error = *deviation * sqrt(qq / det);
    return changes >= 1.2 * squares || *deviation <= 4 * noise;
}

/* odd(u) = g u + b u^3 and even(u) = k |u| + c u^2. Where f stands still all that is known is that
   it moves by less than it did elsewhere, or than a rounding of what it became there. */
static nn__slope nn__curve_slope(const nn__checker *c, const nn__samples *s)
{
    nn__slope slope;
    double t[NN__SAMPLES], largest = 0, odd_error, even_error, even_deviation, kink;
    memset(&slope, 0, sizeof slope);
    for (int i = 0; i < NN__SAMPLES; i++) slope.h = fmax(slope.h, s->step[i]);
    for (int i = 0; i < NN__SAMPLES; i++) {
        t[i] = s->step[i] / slope.h;
        largest = fmax(largest, fabs(s->odd[i]));
    }
    double noise = c->noise + (fabs(c->middle) + largest) * DBL_EPSILON;
    if (largest == 0) noise += fmin(c->least_change, 4 * NN__EPSILON * c->largest_change);
    const int odd_is_clear =
        nn__fit(t, s->odd, 3, noise, &slope.value, &odd_error, &slope.deviation);
    const int even_is_clear = nn__fit(t, s->even, 2, noise, &kink, &even_error, &even_deviation);
    slope.is_clear = odd_is_clear && even_is_clear;
    slope.value /= slope.h;
    slope.error = fmax(odd_error, even_error) / slope.h;
    slope.kink = fabs(kink) / slope.h;
    return slope;
}

static double nn__size(double analytic, const nn__slope *s)
{
    return fmax(fabs(analytic), fabs(s->value));
}

static double nn__uncertainty(const nn__slope *s) { return NN__CERTAINTY * s->error + s->kink; }

static double nn__allowed(const nn__checker *c, double analytic, const nn__slope *s)
{
    return c->desc.atol + c->desc.rtol * nn__size(analytic, s) + nn__uncertainty(s) +
           NN__ROUNDINGS * c->rounding;
}

/* The difference as a multiple of what is allowed. */
static double nn__excess(const nn__checker *c, double analytic, const nn__slope *s)
{
    const double difference = fabs(analytic - s->value);
    return difference == 0 ? 0 : difference / fmax(nn__allowed(c, analytic, s), DBL_MIN);
}

/* The most certain of the slopes that are clear and deviate by noise alone, as the best of them
   show it, or of all when none is; among those of about its error the one that agrees best. */
static nn__slope nn__best_slope(const nn__checker *c, double analytic, nn__slope *slopes, int count)
{
    const nn__slope *best = slopes, *chosen;
    double noise = HUGE_VAL;
    for (int i = 0; i < count; i++)
        if (slopes[i].is_clear) noise = fmin(noise, slopes[i].deviation);
    for (int i = 0; i < count; i++) {
        slopes[i].is_clear &= slopes[i].deviation <= 16 * noise;
        const int clearer = slopes[i].is_clear - best->is_clear;
        if (clearer > 0 || (!clearer && nn__uncertainty(&slopes[i]) < nn__uncertainty(best)))
            best = &slopes[i];
    }
    chosen = best;
    for (int i = 0; i < count; i++) {
        const nn__slope *s = &slopes[i];
        if (s->is_clear == best->is_clear && s->error <= 3 * best->error &&
            nn__excess(c, analytic, s) < nn__excess(c, analytic, chosen))
            chosen = s;
    }
    return *chosen;
}

/* Steps are relative to values above 1. */
static double nn__unit(nn_real x) { return fmax(1, fabs((double)x)); }

/* The slope at *x by curves of all scales, from long steps to short ones, until one is certain and
   agrees, or the best is far behind. A curve that is clear while the next is not is so by chance. h
   is 0 when f is nowhere finite. */
static nn__slope nn__search_slope(nn__checker *c, nn_real *x, double analytic)
{
    nn__samples s;
    nn__slope slopes[NN__CURVES];
    double step = NN__LONGEST * c->desc.h * nn__unit(*x);
    double least = HUGE_VAL;
    int count = 0;
    memset(slopes, 0, sizeof slopes);
    c->least_change = HUGE_VAL, c->largest_change = 0;
    for (int level = 0; level < NN__LEVELS; level++, step *= 0.84089641525371454) {
        if (step < 32 * NN__EPSILON * fabs((double)*x)) break;
        nn__probe(c, x, step, &s, level % NN__SAMPLES);
        if (level < NN__SAMPLES - 1 || level % NN__PER_OCTAVE != NN__PER_OCTAVE - 1) continue;
        const nn__slope slope = nn__curve_slope(c, &s);
        const double uncertainty = nn__uncertainty(&slope);
        if (!nn__is_finite(slope.value) || !nn__is_finite(uncertainty)) continue;
        if (uncertainty <= c->desc.rtol * nn__size(analytic, &slope) &&
            nn__excess(c, analytic, &slope) <= 1)
            return slope;
        nn__slope *last = count ? &slopes[count - 1] : NULL;
        if (last) last->is_clear &= slope.is_clear;
        if (last && last->is_clear) least = fmin(least, nn__uncertainty(last));
        slopes[count++] = slope;
        if (slope.is_clear && slope.deviation <= 16 * c->noise && uncertainty > 64 * least) break;
    }
    return count ? nn__best_slope(c, analytic, slopes, count) : slopes[0];
}
#endif

/* ------------------------------------------------------------------------------- >>gradcheck
   Walks through the elements and judges. An analytic slope is known up to rounding, too: how far it
   and the loss can be off is found by computing them again with other last bits. */
#ifndef NN_NO_TRAINING

enum { NN__SHAKES = 3 };

static nn_gradcheck_desc nn__gradcheck_defaults(const nn_gradcheck_desc *desc)
{
    nn_gradcheck_desc d;
    const int is_double = sizeof(nn_real) == sizeof(double);
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    d.h = nn__or_default(d.h, is_double ? 1e-5 : 1e-2);
    d.atol = nn__or_default(d.atol, 0);
    d.rtol = nn__or_default(d.rtol, is_double ? 1e-5 : 1e-3);
    return d;
}

/* One quotient decides where it agrees. */
static nn__slope nn__numeric_slope(nn__checker *c, nn_real *x, double analytic)
{
    nn__samples one;
    nn__slope slope;
    memset(&slope, 0, sizeof slope);
    nn__probe(c, x, c->h * nn__unit(*x), &one, 0);
    slope.value = one.odd[0] / one.step[0];
    if (nn__excess(c, analytic, &slope) <= 1) return slope;
    const nn__slope found = nn__search_slope(c, x, analytic);
    if (found.h > 0) c->h = found.h / 4 / nn__unit(*x);
    else c->not_finite = 1;
    return found.h > 0 ? found : slope;
}

static void nn__check_element(nn__checker *c, const char *name, size_t index, nn_real *x,
                              double analytic)
{
    nn_gradcheck_report *r = &c->report;
    nn__slope s = nn__numeric_slope(c, x, analytic);
    const double uncertainty = nn__uncertainty(&s), excess = nn__excess(c, analytic, &s);
    const double error = fabs(analytic - s.value), magnitude = fabs(analytic) + fabs(s.value);
    r->checked++;
    r->unsure += nn__allowed(c, analytic, &s) > 0.05 * nn__size(analytic, &s);
    s.kink = 0;
    if (excess <= 1 && nn__excess(c, analytic, &s) > 1) { /* right because of the kink */
        r->kinks++;
        return;
    }
    r->wrong += nn__is_finite(s.value) && !(excess <= 1);
    if (error > r->max_error) r->max_error = error;
    r->max_relative_error = fmax(r->max_relative_error, error / fmax(magnitude, 1e-12));
    const double rank = nn__is_finite(excess) ? excess : HUGE_VAL;
    if (r->tensor && rank <= c->worst) return;
    c->worst = rank;
    r->tensor = name, r->index = index;
    r->analytic = analytic, r->numeric = s.value, r->uncertainty = uncertainty;
}

/* All elements, or max_per_tensor of them spread evenly from the first to the last. */
static nn_status nn__check_array(nn__checker *c, const char *name, size_t n, nn_real *x,
                                 const nn_real *analytic, const nn_real *rounding)
{
    size_t most = c->desc.max_per_tensor, count = most && most < n ? most : n, nonzero = 0;
    c->h = c->desc.h;
    for (size_t i = 0; i < n; i++) nonzero += analytic[i] != 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        if (count > 1 && count < n)
            at = (size_t)((double)i * (double)(n - 1) / (double)(count - 1));
        c->rounding = rounding ? (double)rounding[at] : 0;
        nn__check_element(c, name, at, x + at, (double)analytic[at]);
    }
    if (n && !nonzero && !c->desc.allow_zero)
        return nn__fail(NN_ERROR_GRADIENT_ZERO,
                        "nn_gradcheck: the gradient of '%s' is zero everywhere: the "
                        "check proves nothing (allow_zero accepts it)",
                        name);
    return NN_OK;
}

static nn_status nn__check_verdict(const nn__checker *c)
{
    const nn_gradcheck_report *r = &c->report;
    if (c->not_finite)
        return nn__fail(
            NN_ERROR_NOT_FINITE,
            "nn_gradcheck: the function is not finite near '%s' element %llu, where the "
            "analytic gradient is %.9g and the numeric one %.9g",
            r->tensor, (nn__ull)r->index, r->analytic, r->numeric);
    if (r->wrong)
        return nn__fail(NN_ERROR_GRADIENT_WRONG,
                        "nn_gradcheck: '%s' element %llu: analytic %.9g, numeric %.9g +- %.2g "
                        "(%llu of %llu elements wrong)",
                        r->tensor, (nn__ull)r->index, r->analytic, r->numeric, r->uncertainty,
                        (nn__ull)r->wrong, (nn__ull)r->checked);
    return NN_OK;
}

static nn_status nn__check_gradcheck_desc(const nn_gradcheck_desc *d)
{
    static const nn__range ranges[] = {
        {"h", offsetof(nn_gradcheck_desc, h), 0, 1e3, "0 or a positive number", 0},
        {"atol", offsetof(nn_gradcheck_desc, atol), 0, 1e3, "0 or a positive number", 0},
        {"rtol", offsetof(nn_gradcheck_desc, rtol), 0, 1e3, "0 or a positive number", 0}};
    return d ? nn__check_ranges("nn_gradcheck", "", d, ranges, sizeof ranges / sizeof *ranges, 0)
             : NN_OK;
}

NN_DEF nn_status nn_gradcheck_function(const char *name, double (*f)(void *user), void *user,
                                       size_t n, nn_real *x, const nn_real *analytic,
                                       const nn_gradcheck_desc *desc, nn_gradcheck_report *report)
{
    nn__checker c;
    memset(&c, 0, sizeof c);
    if (!f || !x || !analytic || n == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_gradcheck: %s",
                        n == 0 ? "0 elements" : "f, x or analytic is NULL");
    nn_status status = nn__check_gradcheck_desc(desc);
    if (status != NN_OK) return status;
    c.desc = nn__gradcheck_defaults(desc);
    c.f = f, c.user = user, c.middle = f(user);
    c.noise = fabs(c.middle) * NN__EPSILON / 4;
    nn_status zero = nn__check_array(&c, name ? name : "x", n, x, analytic, NULL);
    if (report) *report = c.report;
    status = nn__check_verdict(&c);
    return status != NN_OK ? status : zero;
}

typedef struct nn__graph_value {
    nn_tensor *loss;
    nn_rng rng;
    nn_real *buffers; /* all their values, one after the other */
    nn_status status;
} nn__graph_value;

/* Copies the buffers' values, or puts them back. */
static void nn__copy_buffers(nn_net *net, nn_real *values, int back)
{
    for (size_t i = 0; i < net->buffers.count; i++) {
        nn_tensor *t = net->buffers.items[i];
        memcpy(back ? t->data : values, back ? values : t->data, t->size * sizeof *values);
        values += t->size;
    }
}

/* The loss from the state that the check began with: dropout draws the same mask again, and what
   moves the buffers, as batch normalisation does, moves them from the same place. */
static double nn__evaluate_graph(void *user)
{
    nn__graph_value *v = (nn__graph_value *)user;
    v->loss->net->rng = v->rng;
    nn__copy_buffers(v->loss->net, v->buffers, 1);
    nn_status status = nn_forward(v->loss);
    if (status != NN_OK) v->status = status;
    return status == NN_OK ? v->loss->value : 0;
}

/* Parameters made before the loss, and inputs with a gradient when they are asked for. */
static int nn__is_checked(const nn_tensor *t, const nn_gradcheck_desc *d)
{
    if (t->op == &nn__parameter_op) return 1;
    return t->op == &nn__input_op && d->inputs && t->requires_grad && (t->state & NN__NEEDED);
}

/* As if what a loss gets, which may come through a log-softmax, had been zeros. */
static void nn__zero_logits(nn_tensor *y)
{
    nn_tensor *x = y->op == &nn__log_softmax ? y->src[0] : y;
    if (nn__is_leaf(x)) return;
    memset(x->data, 0, x->size * sizeof *x->data);
    if (x != y) y->op->forward(y);
}

/* A run in which all that is computed has another last bit; without rng instead one in which losses
   get zeros: there the terms show of which a good fit leaves the difference. */
static void nn__shaken_run(nn__graph_value *v, nn_rng *rng)
{
    nn_net *net = v->loss->net;
    nn__evaluate_graph(v);
    net->rng = v->rng;
    for (size_t i = 0; v->status == NN_OK && i < net->plan.order.count; i++) {
        nn_tensor *t = net->plan.order.items[i];
        if (nn__is_leaf(t)) continue;
        if (!rng && (t->op->flags & NN__OP_LOSS)) nn__zero_logits(t->src[0]);
        v->status = t->op->forward(t);
        if (!rng || (t->op->flags & NN_OP_VALUE)) continue;
        for (size_t j = 0; j < t->size; j++)
            t->data[j] *= (nn_real)(nn_rng_next(rng) & 1 ? 1 + NN__EPSILON : 1 - NN__EPSILON);
        if (nn__is_scalar(t)) t->value = (double)t->data[0];
    }
    if (v->status == NN_OK) v->status = nn_backward(v->loss);
}

/* How far t's gradient moves from `gradient`, times factor, where that is more than `rounding`. */
static void nn__widen(const nn_tensor *t, const nn_real *gradient, double factor, nn_real *rounding)
{
    for (size_t i = 0; i < t->size; i++) {
        const double move = factor * fabs((double)t->grad[i] - (double)gradient[i]);
        if (nn__is_finite(move) && move > (double)rounding[i]) rounding[i] = (nn_real)move;
    }
}

/* t's gradient, and its rounding, which is all there is of it in saturated units; and the noise
   of the loss, where each sample's term is rounded. */
static nn_status nn__shaken_gradient(nn__checker *c, nn__graph_value *v, nn_tensor *t,
                                     nn_real *gradient, nn_real *rounding)
{
    nn_rng rng = nn_rng_seed(t->id);
    const double terms = sqrt((double)nn__max_size(t->net->plan.batch, 1));
    double squares = 0;
    nn__evaluate_graph(v);
    if (v->status == NN_OK) v->status = nn_backward(v->loss);
    if (v->status == NN_OK) memcpy(gradient, t->grad, t->size * sizeof *gradient);
    memset(rounding, 0, t->size * sizeof *rounding);
    for (int draw = 0; v->status == NN_OK && draw < NN__SHAKES; draw++) {
        nn__shaken_run(v, &rng);
        nn__widen(t, gradient, 1, rounding);
        const double moved = v->loss->value - c->middle;
        if (nn__is_finite(moved)) squares += moved * moved;
    }
    if (v->status == NN_OK) nn__shaken_run(v, NULL);
    if (v->status == NN_OK) nn__widen(t, gradient, NN__EPSILON, rounding);
    const double value = nn__is_finite(v->loss->value) ? fabs(v->loss->value) : 0;
    const double size = fmax(fabs(c->middle), value);
    c->noise = fmax(sqrt(squares / (double)NN__SHAKES) / 2, size * NN__EPSILON / 4 / terms);
    return v->status;
}

static nn_status nn__check_tensor_gradient(nn__checker *c, nn__graph_value *v, nn_tensor *t)
{
    nn_real *gradient = (nn_real *)nn__net_alloc(t->net, nn__bytes(2, t->size, sizeof *gradient));
    if (!gradient) return v->status = NN_ERROR_OUT_OF_MEMORY;
    nn_real *rounding = gradient + t->size;
    nn_status status = nn__shaken_gradient(c, v, t, gradient, rounding);
    if (status == NN_OK) status = nn__check_array(c, t->name, t->size, t->data, gradient, rounding);
    nn__net_release(t->net, gradient);
    return status;
}

/* All tensors of the network, as they compute in training unless the user has chosen. The last
   ones, which move the loss even where others are saturated, come first. */
static nn_status nn__check_graph(nn__checker *c, nn__graph_value *v)
{
    nn_tensor *loss = v->loss;
    nn_status zero = NN_OK;
    c->middle = nn__evaluate_graph(v);
    for (size_t i = loss->id + 1; v->status == NN_OK && i-- > 0;) {
        nn_tensor *t = loss->net->tensors.items[i];
        if (!nn__is_checked(t, &c->desc)) continue;
        nn_status one = nn__check_tensor_gradient(c, v, t);
        if (zero == NN_OK) zero = one;
    }
    nn__evaluate_graph(v); /* leave values and gradients of a run that was not shaken */
    if (v->status == NN_OK) v->status = nn_backward(loss);
    return v->status == NN_OK ? zero : v->status;
}

NN_DEF nn_status nn_gradcheck(nn_tensor *loss, const nn_gradcheck_desc *desc,
                              nn_gradcheck_report *report)
{
    nn__checker c;
    nn__graph_value v;
    memset(&c, 0, sizeof c);
    nn_status status = nn__check_tensor("nn_gradcheck", loss);
    if (status == NN_OK) status = nn__check_own("nn_gradcheck", loss->net);
    if (status == NN_OK) status = nn__check_gradcheck_desc(desc);
    if (status != NN_OK) return status;
    nn_net *net = loss->net;
    const int mode = net->mode;
    size_t values = 1;
    for (size_t i = 0; i < net->buffers.count; i++) values += net->buffers.items[i]->size;
    v.loss = loss, v.rng = net->rng, v.status = NN_OK;
    v.buffers = (nn_real *)nn__net_alloc(net, nn__bytes(1, values, sizeof *v.buffers));
    if (v.buffers) nn__copy_buffers(net, v.buffers, 0);
    else v.status = NN_ERROR_OUT_OF_MEMORY;
    c.desc = nn__gradcheck_defaults(desc);
    c.f = nn__evaluate_graph, c.user = &v;
    if (mode == NN__MODE_OPEN) net->mode = NN__MODE_TRAINING;
    nn_status checked = v.status == NN_OK ? nn__check_graph(&c, &v) : v.status;
    if (v.buffers) nn__copy_buffers(net, v.buffers, 1);
    nn__net_release(net, v.buffers);
    net->rng = v.rng;
    net->mode = mode;
    if (report) *report = c.report;
    status = v.status == NN_OK ? nn__check_verdict(&c) : v.status;
    if (status == NN_OK && c.report.checked == 0)
        status = nn__fail(NN_ERROR_GRADIENT_ZERO, "nn_gradcheck: there is nothing to check");
    return status != NN_OK ? status : checked;
}
#endif

/* ------------------------------------------------------------------------------------- >>files
   Files are read as streams, because a path can name a pipe or a file that grows: a size that was
   asked for beforehand is a hint, and what counts is what was read. */

/* *block, a pointer of any type, gets room for count rows of `each` items and keeps what it holds.
   It may move; on failure it stays as it was, and for each == 0 too. */
static nn_status nn__resize(void *block, size_t count, size_t each, size_t size)
{
    size_t bytes;
    void *old, *resized = NULL;
    if (each == 0) return NN_OK;
    memcpy(&old, block, sizeof old);
    if (nn__multiply(count, each, &bytes) && nn__multiply(bytes, size, &bytes))
        resized = NN_REALLOC(old, bytes);
    if (!resized)
        return nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu rows of %llu values",
                        (nn__ull)count, (nn__ull)each);
    memcpy(block, &resized, sizeof resized);
    return NN_OK;
}

/* Room for one more item in the array *items. */
static nn_status nn__grow(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return NN_OK;
    size_t wider = *capacity == 0 ? 64 : *capacity > SIZE_MAX / 2 ? SIZE_MAX : 2 * *capacity;
    nn_status status = nn__resize(items, wider, 1, size);
    if (status == NN_OK) *capacity = wider;
    return status;
}

static void *nn__allocate_zeros(size_t count, size_t size)
{
    void *block = nn__allocate(count, size);
    if (block) memset(block, 0, count * size);
    return block;
}

/* A download can turn out to be something else than the data. */
static nn_status nn__check_content(const char *name, const unsigned char *bytes, size_t size)
{
    static const char *const starts[][2] = {
        {"<!DOCTYPE", "an HTML page"}, {"<!doctype", "an HTML page"}, {"<html", "an HTML page"},
        {"<HTML", "an HTML page"}, {"<?xml", "an XML page"}, {"PK\003\004", "a zip archive"},
        {"version https://git-lfs", "a Git LFS pointer"}, {"BZh", "bzip2"}, {"\3757zXZ", "xz"}};
    size_t at = 0;
    if (size == 0) return nn__fail(NN_ERROR_EMPTY, "%s: the file is empty", name);
    if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        return nn__fail(NN_ERROR_COMPRESSED,
                        "%s: compressed: gunzip it or compile with NN_USE_ZLIB", name);
    while (at < size && at < 64 && memchr(" \r\n", bytes[at], 3)) at++;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        size_t length = strlen(starts[i][0]);
        if (size - at >= length && memcmp(bytes + at, starts[i][0], length) == 0)
            return nn__fail(NN_ERROR_BAD_FORMAT, "%s: looks like %s", name, starts[i][1]);
    }
    return NN_OK;
}

/* Text or bytes that grow. After the first failure nothing is added, and `status` says what it
   was. */
typedef struct nn__text {
    char *bytes;
    size_t size, capacity;
    nn_status status;
} nn__text;

static void nn__text_put(nn__text *t, const void *bytes, size_t size)
{
    for (size_t i = 0; t->status == NN_OK && i < size; i++) {
        if (t->size == t->capacity)
            t->status = nn__grow(&t->bytes, t->size, &t->capacity, 1);
        if (t->status == NN_OK) t->bytes[t->size++] = ((const char *)bytes)[i];
    }
}

/* A little-endian number of so many bytes. */
static uint64_t nn__little(const unsigned char *at, int bytes)
{
    uint64_t n = 0;
    while (bytes-- > 0) n = n << 8 | at[bytes];
    return n;
}

static void nn__put_little(unsigned char *to, size_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8) to[i] = (unsigned char)(value & 255);
}

static int nn__is_big_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* A real of 16 bits: sign, 5 bits of exponent, 10 of fraction. */
static double nn__half(uint64_t bits)
{
    const int exponent = (int)(bits >> 10 & 31);
    const double fraction = (double)(bits & 1023) + (exponent ? 1024 : 0);
    const double size = exponent == 31 ? ((bits & 1023) ? NAN : HUGE_VAL)
                                       : ldexp(fraction, (exponent ? exponent : 1) - 25);
    return bits >> 15 ? -size : size;
}

/* A number of `width` bytes, exactly but for integers beyond 2^53. kind: 'u' unsigned, 'i' signed,
   'f' real, 't' the upper half of a float (bfloat16), 'b' 0 or 1. */
static double nn__number_at(char kind, size_t width, int is_big_endian, const unsigned char *bytes)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < width; i++)
        bits = bits << 8 | bytes[is_big_endian ? i : width - 1 - i];
    const uint64_t sign = UINT64_C(1) << (8 * width - 1);
    const uint32_t single_bits = (uint32_t)(kind == 't' ? bits << 16 : bits);
    float single;
    double wide;
    memcpy(&single, &single_bits, sizeof single);
    memcpy(&wide, &bits, sizeof wide);
    switch (kind) {
    case 'b': return bits != 0;
    case 'u': return (double)bits;
    case 'i': return bits & sign ? -(double)(~(bits - 1) & (2 * sign - 1)) : (double)bits;
    case 't': return (double)single;
    default: return width == 2 ? nn__half(bits) : width == 4 ? (double)single : wide;
    }
}

/* Where bytes go: to memory that is large enough, to a file, or nowhere: they are counted then, and
   summed up. */
typedef struct nn__writer {
    unsigned char *memory;
    size_t total; /* bytes so far */
#ifndef NN_NO_STDIO
    const char *path;
    char *temporary; /* NULL for a device or a pipe */
    FILE *file;
    int is_locked;     /* the temporary file */
    int failed, cause; /* errno at the first failure */
    uint32_t crc;
#endif
} nn__writer;

#ifdef NN_NO_STDIO
static void nn__writer_put(nn__writer *w, const void *bytes, size_t size)
{
    if (size) memcpy(w->memory + w->total, bytes, size);
    w->total += size;
}
#else
/* Where the C library says why reading failed, a folder is told from a fault. */
static nn_status nn__read_failed(const char *path)
{
#ifdef EISDIR
    if (errno == EISDIR) return nn__fail(NN_ERROR_CANNOT_READ, "%s: is a folder", path);
#endif
    return nn__fail(NN_ERROR_CANNOT_READ, "%s: cannot be read", path);
}

typedef struct nn__stream {
    const char *path;
    size_t total; /* bytes that it has given */
#ifdef NN_USE_ZLIB
    gzFile file;
#else
    FILE *file;
#endif
} nn__stream;

static nn_status nn__stream_open(const char *path, nn__stream *s)
{
    s->path = path, s->total = 0;
#ifdef NN_USE_ZLIB
    s->file = gzopen(path, "rb");
#else
    s->file = fopen(path, "rb");
#endif
    return s->file ? NN_OK : nn__fail(NN_ERROR_CANNOT_OPEN, "%s: cannot be opened", path);
}

#ifdef NN_USE_ZLIB
/* A few kilobytes of deflate can unpack to a thousand times as much, without end. Real data seldom
   shrinks to less than a twentieth, so beyond 256 MB a file may be 100 times its packed size. */
enum { NN__GZIP_FREE = 1 << 28, NN__GZIP_RATIO = 100 };

static nn_status nn__zlib_failed(const nn__stream *s, int code)
{
    if (code == Z_ERRNO) return nn__read_failed(s->path);
    return nn__fail(NN_ERROR_TRUNCATED, "%s: the compressed data is damaged or ends at byte %llu",
                    s->path, (nn__ull)s->total);
}

/* Fills `to` as far as the file goes: *got < size only at its end. */
static nn_status nn__stream_read(nn__stream *s, void *to, size_t size, size_t *got)
{
    int more = 1, code = Z_OK;
    for (*got = 0; *got < size && more > 0; s->total += (size_t)(more > 0 ? more : 0)) {
        more = gzread(s->file, (char *)to + *got, (unsigned)nn__min_size(size - *got, 1 << 20));
        if (more > 0) *got += (size_t)more;
        else gzerror(s->file, &code);
        if (more < 0 || (code != Z_OK && code != Z_STREAM_END)) return nn__zlib_failed(s, code);
        if (s->total > NN__GZIP_FREE && !gzdirect(s->file) &&
            s->total / NN__GZIP_RATIO > (size_t)gzoffset(s->file))
            return nn__fail(NN_ERROR_TOO_LARGE,
                            "%s: unpacks to over %d times its size: gunzip it if that is right",
                            s->path, NN__GZIP_RATIO);
    }
    return NN_OK;
}

/* zlib reports the end of a file that stops within a stream here. */
static nn_status nn__stream_close(nn__stream *s, nn_status status)
{
    int code = gzclose(s->file);
    return code != Z_OK && status == NN_OK ? nn__zlib_failed(s, Z_BUF_ERROR) : status;
}

static size_t nn__stream_hint(nn__stream *s) { return (void)s, 0; }
static int nn__stream_seek(nn__stream *s, size_t at) { return (void)s, (void)at, 0; }
#else
/* Fills `to` as far as the file goes: *got < size only at its end. */
static nn_status nn__stream_read(nn__stream *s, void *to, size_t size, size_t *got)
{
    *got = fread(to, 1, size, s->file);
    s->total += *got;
    return *got < size && ferror(s->file) ? nn__read_failed(s->path) : NN_OK;
}

static nn_status nn__stream_close(nn__stream *s, nn_status status)
{
    fclose(s->file);
    return status;
}

static int nn__stream_seek(nn__stream *s, size_t at)
{
    if (at > LONG_MAX || fseek(s->file, (long)at, SEEK_SET) != 0) return 0;
    s->total = at;
    return 1;
}

/* The size of a file before it is read; 0 where that cannot be known (a pipe, a folder). */
static size_t nn__stream_hint(nn__stream *s)
{
    long end = fseek(s->file, 0, SEEK_END) == 0 ? ftell(s->file) : 0;
    rewind(s->file);
    return end > 0 && end < LONG_MAX ? (size_t)end : 0;
}
#endif

/* A whole file in memory. */
typedef struct nn__file {
    const char *path;
    unsigned char *bytes;
    size_t size;
} nn__file;

static void nn__file_free(nn__file *file)
{
    NN_FREE(file->bytes);
    file->bytes = NULL;
}

/* One byte more than the hint, so that the end of a file that did not grow is seen at once. */
static nn_status nn__file_fill(nn__stream *s, nn__file *file)
{
    size_t hint = nn__stream_hint(s), capacity = hint ? hint + 1 : 1 << 16, got;
    file->bytes = (unsigned char *)nn__allocate(capacity, 1);
    if (!file->bytes) return NN_ERROR_OUT_OF_MEMORY;
    for (;;) {
        size_t room = capacity - file->size;
        nn_status status = nn__stream_read(s, file->bytes + file->size, room, &got);
        file->size += got;
        if (status != NN_OK || file->size < capacity) return status;
        status = nn__grow(&file->bytes, file->size, &capacity, 1);
        if (status != NN_OK) return status;
    }
}

/* An archive is read as it is, other files when they do not look like something else. */
static nn_status nn__file_read_any(const char *path, int is_archive, nn__file *file)
{
    nn__stream s;
    memset(file, 0, sizeof *file);
    file->path = path;
    if (!path) return nn__fail(NN_ERROR_BAD_ARGUMENT, "the path is NULL");
    nn_status status = nn__stream_open(path, &s);
    if (status != NN_OK) return status;
    status = nn__stream_close(&s, nn__file_fill(&s, file));
    if (status == NN_OK && !is_archive) status = nn__check_content(path, file->bytes, file->size);
    if (status != NN_OK) nn__file_free(file);
    return status;
}

static nn_status nn__file_read(const char *path, nn__file *file)
{
    return nn__file_read_any(path, 0, file);
}

/* folder/name in memory from nn__allocate. */
static char *nn__path(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = (char *)nn__allocate(size, 1);
    if (path) snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* The checksum of zip archives, goes on from that of what came before (0 at first). */
static uint32_t nn__crc32(uint32_t crc, const unsigned char *bytes, size_t size)
{
    static const uint32_t half[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158,
        0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4,
        0xA00AE278, 0xBDBDF21C};
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc = half[(crc ^ bytes[i]) & 15] ^ crc >> 4;
        crc = half[(crc ^ (uint32_t)(bytes[i] >> 4)) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* -- writing: into a file beside the path, which takes the path's place once all of it is on the
   disk: whatever happens, there is the old file or the new one. Devices and pipes are written
   directly. -- */

static void nn__writer_check(nn__writer *w, int is_right)
{
    if (is_right || w->failed) return;
    w->failed = 1, w->cause = errno;
}

static void nn__writer_put(nn__writer *w, const void *bytes, size_t size)
{
    if (w->memory && size) memcpy(w->memory + w->total, bytes, size);
    else if (!w->file) w->crc = nn__crc32(w->crc, (const unsigned char *)bytes, size);
    else if (size && !w->failed) nn__writer_check(w, fwrite(bytes, 1, size, w->file) == size);
    w->total += size;
}

static nn_status nn__write_failed(const char *path, const char *what, int cause)
{
    return nn__fail(NN_ERROR_CANNOT_WRITE, "%s: cannot be %s: %s", path, what,
                    cause ? strerror(cause) : "the C library does not say why");
}

static int nn__is_device(const char *path)
{
#if defined(__unix__) || defined(__APPLE__)
    struct stat found;
    return stat(path, &found) == 0 && !S_ISREG(found.st_mode);
#else
    return (void)path, 0;
#endif
}

#ifdef NN__LOCKS
/* Opens the temporary file and locks it, which ends with the process, however that ends. Only who
   has the lock removes or renames it. 1: it is this writer's, and empty; 0: it is somebody else's;
   -1: that cannot be had. */
static int nn__writer_claim(nn__writer *w)
{
    struct stat own, named;
    while ((w->file = fopen(w->temporary, "ab")) != NULL) {
        const int locked = flock(fileno(w->file), LOCK_EX | LOCK_NB), cause = errno;
        const int is_named = locked == 0 && fstat(fileno(w->file), &own) == 0 &&
                             stat(w->temporary, &named) == 0 && own.st_ino == named.st_ino &&
                             own.st_dev == named.st_dev; /* nobody has done so meanwhile */
        if (is_named && own.st_size == 0) return 1;
        const int is_stuck = is_named && remove(w->temporary) != 0;
        fclose(w->file);
        if (locked != 0 || is_stuck) return locked != 0 && cause == EWOULDBLOCK ? 0 : -1;
    }
    return -1;
}
#endif

/* A temporary file that no other process or thread writes to. */
static void nn__writer_begin(nn__writer *w, size_t size)
{
#ifdef NN__LOCKS
    for (int i = 0, claimed = 0; claimed == 0; i++) {
        if (i) snprintf(w->temporary, size, "%s.%d.tmp", w->path, i);
        else snprintf(w->temporary, size, "%s.tmp", w->path);
        claimed = nn__writer_claim(w);
        if (claimed > 0) w->is_locked = 1;
    }
    if (w->is_locked) return;
#endif
    snprintf(w->temporary, size, "%s.%llu.tmp", w->path, (nn__ull)NN__PROCESS);
    errno = 0;
    w->file = fopen(w->temporary, "wb");
}

static nn_status nn__writer_open(nn__writer *w, const char *call, const char *path)
{
    memset(w, 0, sizeof *w);
    if (!path) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the path is NULL", call);
    w->path = path;
    if (!nn__is_device(path)) {
        const size_t size = strlen(path) + 32;
        w->temporary = (char *)nn__allocate(size, 1);
        if (!w->temporary) return NN_ERROR_OUT_OF_MEMORY;
        nn__writer_begin(w, size);
    } else {
        errno = 0;
        w->file = fopen(path, "wb");
    }
    if (w->file) return NN_OK;
    NN_FREE(w->temporary);
    return nn__write_failed(path, "opened for writing", errno);
}

static void nn__writer_text(nn__writer *w, const char *text)
{
    nn__writer_put(w, text, strlen(text));
}

/* Up to 511 characters. Reals come as text of nn__shortest, since printf asks the locale. */
#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3)))
#endif
static void nn__writer_print(nn__writer *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    nn__writer_text(w, text);
}

/* Ends what nn__writer_open has begun. After an error, that of `status` or of the file, the path is
   as it was. */
static nn_status nn__writer_close(nn__writer *w, nn_status status)
{
    errno = 0;
    nn__writer_check(w, fflush(w->file) == 0 && ferror(w->file) == 0);
    if (status == NN_OK && w->temporary) nn__writer_check(w, NN__SYNC(w->file) == 0);
    if (!w->is_locked) nn__writer_check(w, fclose(w->file) == 0);
    if (status == NN_OK && w->failed) status = nn__write_failed(w->path, "written", w->cause);
    if (status == NN_OK && w->temporary && NN__REPLACE(w->temporary, w->path) != 0)
        status = nn__write_failed(w->path, "replaced", errno);
    if (status != NN_OK && w->temporary) remove(w->temporary);
    if (w->is_locked) fclose(w->file); /* only now, as nobody else may have that name before */
    NN_FREE(w->temporary);
    return status;
}
#endif

/* ----------------------------------------------------------------------------------- >>dataset
   A data set borrows or owns its samples; a view is a list of another set's rows. Whatever makes a
   data set leaves it whole, or empty with the failure in it, so that a later call can say it. */

enum {
    NN__OWNS_SAMPLES, NN__OWNS_INDEX, NN__OWNS_LABELS, NN__OWNS_NORM, NN__OWNS_TARGETS,
    NN__OWNS_COLUMNS
};

/* What a column of a CSV file is for. */
typedef enum nn__role {
    NN__ROLE_NONE, NN__ROLE_FEATURE, NN__ROLE_ONE_HOT, NN__ROLE_CODE, NN__ROLE_TARGET,
    NN__ROLE_LABEL, NN__ROLE_IGNORED
} nn__role;

typedef struct nn__column {
    nn__role role;
    double fill;       /* for a gap; not finite when none was asked for */
    char **categories; /* category_count names */
    size_t category_count;
} nn__column;

/* How a CSV file was read, for the next one that is to be read like it. */
struct nn__columns {
    size_t count;
    char **names; /* of the header; NULL without one */
    nn__column *columns;
};

NN__UNUSED static int nn__is_feature(const nn__column *c)
{
    return c->role >= NN__ROLE_FEATURE && c->role <= NN__ROLE_CODE;
}

static void nn__columns_free(struct nn__columns *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->count; i++) NN_FREE(c->columns[i].categories);
    NN_FREE(c->columns);
    NN_FREE(c->names);
    NN_FREE(c);
}

NN_DEF void nn_dataset_free(nn_dataset *data)
{
    if (!data) return;
    nn__columns_free((struct nn__columns *)data->owned[NN__OWNS_COLUMNS]);
    data->owned[NN__OWNS_COLUMNS] = NULL;
    for (size_t i = 0; i < sizeof data->owned / sizeof *data->owned; i++) NN_FREE(data->owned[i]);
    NN_FREE(data->class_names);
    memset(data, 0, sizeof *data);
}

NN_DEF const char *nn_dataset_feature_name(const nn_dataset *data, size_t feature,
                                           const char **category)
{
    const struct nn__columns *c = data ? data->columns : NULL;
    if (category) *category = NULL;
    for (size_t i = 0; c && i < c->count; i++) {
        const nn__column *column = &c->columns[i];
        const int is_one_hot = column->role == NN__ROLE_ONE_HOT;
        const size_t width = is_one_hot ? column->category_count : nn__is_feature(column) ? 1 : 0;
        if (feature < width) {
            if (category && is_one_hot) *category = column->categories[feature];
            return c->names ? c->names[i] : NULL;
        }
        feature -= width;
    }
    return NULL;
}

/* Makes what `out` points to, whatever it held, an empty set that remembers the last failure. */
static nn_status nn__dataset_failed(nn_dataset *out, nn_status status)
{
    memset(out, 0, sizeof *out);
    out->status = status;
    memcpy(out->failure, nn__message, nn__min_size(strlen(nn__message), sizeof out->failure - 1));
    return status;
}

/* Gives the set that was made to the caller, or frees it and gives the failure. */
static nn_status nn__hand_over(nn_dataset *made, nn_status status, nn_dataset *out)
{
    if (status != NN_OK) {
        nn_dataset_free(made);
        return nn__dataset_failed(out, status);
    }
    *out = *made;
    return NN_OK;
}

/* A set that can be used; the failure of the call that should have made it otherwise. */
static nn_status nn__check_dataset(const char *call, const nn_dataset *data)
{
    if (!data) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the data set is NULL", call);
    if (data->status != NN_OK) return nn__fail(data->status, "%s", data->failure);
    if (data->count == 0) return nn__fail(NN_ERROR_EMPTY, "%s: the data set is empty", call);
    return NN_OK;
}

/* Sample i of the set is this row of the storage. */
static size_t nn__row(const nn_dataset *data, size_t i) { return data->index ? data->index[i] : i; }

/* A sample lies plane by plane, and not pixel by pixel as networks see it. */
static int nn__has_planes(const nn_dataset *data)
{
    return data->channels_first && data->rank == 3;
}

/* Value j of a row, before normalisation. */
static double nn__raw(const nn_dataset *data, size_t row, size_t j)
{
    size_t at = row * data->features + j;
    return data->dtype == NN_DTYPE_U8 ? (double)((const uint8_t *)data->samples)[at]
                                      : (double)((const nn_real *)data->samples)[at];
}

/* Names the first sample that holds a NaN or an infinity, in its features or its targets. */
static nn_status nn__check_samples(const char *call, const nn_dataset *data)
{
    const size_t features = data->dtype == NN_DTYPE_U8 ? 0 : data->features;
    const size_t values = features + (data->targets ? data->target_size : 0);
    for (size_t i = 0; i < data->count; i++)
        for (size_t j = 0, row = nn__row(data, i); j < values; j++) {
            const size_t target = j < features ? 0 : j - features;
            const double value = j < features ? nn__raw(data, row, j)
                                 : (double)data->targets[row * data->target_size + target];
            if (!nn__is_finite(value))
                return nn__fail(NN_ERROR_BAD_NUMBER,
                                "%s: sample %llu: %s %llu is %g, expected a finite number", call,
                                (nn__ull)i, j < features ? "feature" : "target",
                                (nn__ull)(j < features ? j : target), value);
        }
    return NN_OK;
}

static nn_status nn__check_data(const char *call, const nn_dataset *data)
{
    nn_status status = nn__check_dataset(call, data);
    return status == NN_OK ? nn__check_samples(call, data) : status;
}

/* -- normalisation -- */

/* Whether nn_real can hold x; the limit is where x rounds to a float that is infinite. */
static int nn__is_real(double x)
{
    return nn__is_finite(x) && (sizeof(nn_real) > 4 || fabs(x) < 3.4028235677973366e38);
}

/* Room for n scales and n shifts, replacing what was there. */
static nn_status nn__make_norm(nn_dataset *data, size_t n)
{
    nn_real *norm = (nn_real *)nn__allocate(n, 2 * sizeof *norm);
    if (!norm) return NN_ERROR_OUT_OF_MEMORY;
    NN_FREE(data->owned[NN__OWNS_NORM]);
    data->owned[NN__OWNS_NORM] = norm;
    data->scale = norm, data->shift = norm + n, data->norm_count = n;
    return NN_OK;
}

static nn_status nn__set_norm(nn_dataset *data, double scale, double shift)
{
    nn_status status = nn__make_norm(data, 1);
    if (status == NN_OK) *data->scale = (nn_real)scale, *data->shift = (nn_real)shift;
    return status;
}

NN_DEF nn_status nn_dataset_rescale(nn_dataset *data, double raw_low, double raw_high, double low,
                                    double high)
{
    nn_status status = nn__check_data("nn_dataset_rescale", data);
    if (status != NN_OK) return status;
    if (!(raw_low < raw_high) || !nn__is_finite(raw_high - raw_low))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_dataset_rescale: raw_low is %g, expected less than raw_high, %g",
                        raw_low, raw_high);
    double scale = (high - low) / (raw_high - raw_low), shift = low - raw_low * scale;
    if (!nn__is_real(scale) || !nn__is_real(shift) || ((nn_real)scale == 0 && low != high))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_dataset_rescale: low %g and high %g make scale %g and shift %g, which "
                        "leave nn_real's range", low, high, scale, shift);
    return nn__set_norm(data, scale, shift);
}

/* Groups of features that are normalised alike: value j of group k is feature k * apart + j * step.
   They lie one behind the other, or take turns. */
typedef struct nn__groups {
    size_t n, size, apart, step;
} nn__groups;

static nn__groups nn__groups_of(const nn_dataset *data, nn_per per)
{
    nn__groups g = {1, data->features, data->features, 1};
    if (per == NN_PER_FEATURE) g.n = data->features;
    if (per == NN_PER_CHANNEL) g.n = data->shape[data->channels_first ? 0 : 2];
    g.size = g.apart = data->features / g.n;
    if (per == NN_PER_CHANNEL && !data->channels_first) g.apart = 1, g.step = g.n;
    return g;
}

/* Sums over each group of a sample's values, in two passes because the one-pass formula cancels: of
   the distances from sample 0's first value, so that the mean of equal values is exactly their
   value, or with a mean of the squared distances from it. */
static void nn__moments(const nn_dataset *data, const nn__groups *g, const double *mean,
                        double *sums)
{
    const size_t first = nn__row(data, 0);
    memset(sums, 0, g->n * sizeof *sums);
    for (size_t i = 0; i < data->count; i++)
        for (size_t k = 0, row = nn__row(data, i); k < g->n; k++) {
            const double from = mean ? mean[k] : nn__raw(data, first, k * g->apart);
            for (size_t j = 0; j < g->size; j++) {
                const double d = nn__raw(data, row, k * g->apart + j * g->step) - from;
                sums[k] += mean ? d * d : d;
            }
        }
}

/* The mean of each group and scale = 1 / deviation; one that never changes is only shifted. */
static nn_status nn__fit_groups(const nn_dataset *data, const nn__groups *g, double *mean,
                                double *scale)
{
    const double per = (double)data->count * (double)g->size;
    nn__moments(data, g, NULL, mean);
    for (size_t k = 0, first = nn__row(data, 0); k < g->n; k++)
        mean[k] = nn__raw(data, first, k * g->apart) + mean[k] / per;
    nn__moments(data, g, mean, scale);
    for (size_t k = 0; k < g->n; k++) {
        double deviation = sqrt(scale[k] / per);
        scale[k] = deviation > 0 ? 1 / deviation : 1;
        if (!nn__is_real(scale[k]) || !nn__is_real(mean[k] * scale[k]))
            return nn__fail(NN_ERROR_BAD_NUMBER,
                            "nn_dataset_standardize: mean %g and deviation %g of feature %llu "
                            "leave nn_real's range", mean[k], deviation,
                            (nn__ull)(k * g->apart));
    }
    return NN_OK;
}

NN_DEF nn_status nn_dataset_standardize(nn_dataset *data, nn_per per)
{
    nn_status status = nn__check_data("nn_dataset_standardize", data);
    if (status != NN_OK) return status;
    if ((unsigned)per > NN_PER_CHANNEL)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_standardize: per is %d, expected 0 to 2",
                        (int)per);
    if (per == NN_PER_CHANNEL && data->rank != 3)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "nn_dataset_standardize: NN_PER_CHANNEL for samples of rank %d, expected "
                        "3, an image with channels", data->rank);
    const nn__groups g = nn__groups_of(data, per);
    double *mean = (double *)nn__allocate(g.n, 2 * sizeof *mean), *scale = mean + g.n;
    if (!mean) return NN_ERROR_OUT_OF_MEMORY;
    status = nn__fit_groups(data, &g, mean, scale);
    if (status == NN_OK) status = nn__make_norm(data, per == NN_PER_SET ? 1 : data->features);
    for (size_t j = 0; status == NN_OK && j < data->norm_count; j++) {
        const size_t k = j / g.apart % g.n;
        data->scale[j] = (nn_real)scale[k];
        data->shift[j] = (nn_real)(-mean[k] * scale[k]);
    }
    NN_FREE(mean);
    return status;
}

static nn_status nn__copy_norm(nn_dataset *data, const nn_dataset *from)
{
    if (from->norm_count == 0) return nn__set_norm(data, 1, 0);
    nn_status status = nn__make_norm(data, from->norm_count);
    if (status == NN_OK)
        memcpy(data->scale, from->scale, 2 * from->norm_count * sizeof *data->scale);
    return status;
}

NN_DEF nn_status nn_dataset_normalize_like(nn_dataset *data, const nn_dataset *from)
{
    nn_status status = nn__check_data("nn_dataset_normalize_like", data);
    if (status == NN_OK) status = nn__check_dataset("nn_dataset_normalize_like", from);
    if (status != NN_OK) return status;
    if (data->features != from->features)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "nn_dataset_normalize_like: %llu features, the other set has %llu",
                        (nn__ull)data->features, (nn__ull)from->features);
    return data == from ? NN_OK : nn__copy_norm(data, from);
}

/* -- sets that belong together -- */

static void nn__norm_at(const nn_dataset *data, size_t j, double norm[2])
{
    const size_t at = data->norm_count > 1 ? j : 0;
    norm[0] = data->norm_count ? (double)data->scale[at] : 1;
    norm[1] = data->norm_count ? (double)data->shift[at] : 0;
}

/* Raw values of different types may have different scales, and then nothing is said. */
static nn_status nn__check_same_norm(const char *call, const nn_dataset *data,
                                     const nn_dataset *trained)
{
    double its[2], other[2];
    for (size_t j = 0; data->dtype == trained->dtype && j < data->features; j++) {
        nn__norm_at(data, j, its);
        nn__norm_at(trained, j, other);
        if (its[0] == other[0] && its[1] == other[1]) continue;
        if (data->norm_count == 0 || trained->norm_count == 0)
            return nn__fail(NN_ERROR_MISMATCH,
                            "%s: the data set is %snormalised, the training set is %s: "
                            "nn_dataset_normalize_like gives one what the other has",
                            call, data->norm_count ? "" : "not ",
                            data->norm_count ? "not" : "normalised");
        return nn__fail(NN_ERROR_MISMATCH,
                        "%s: feature %llu is normalised as %g x + %g, in the training set as %g x "
                        "+ %g: nn_dataset_normalize_like gives it that", call, (nn__ull)j, its[0],
                        its[1], other[0], other[1]);
    }
    return NN_OK;
}

/* Classes of a CSV file without names are the numbers themselves. */
static const char *nn__class_name(const nn_dataset *data, int i, char number[32])
{
    snprintf(number, 32, "%d", i);
    return data->class_names ? data->class_names[i] : number;
}

static nn_status nn__check_same_classes(const char *call, const nn_dataset *data,
                                        const nn_dataset *trained)
{
    char number[32], other_number[32];
    const int both_csv = data->columns && trained->columns;
    const char *hint = "nn_csv_desc.like reads a file with another set's classes";
    if (data->classes == 0 || trained->classes == 0) return NN_OK;
    if (data->classes != trained->classes)
        return nn__fail(NN_ERROR_MISMATCH,
                        "%s: the data set has %d classes, the training set %d%s%s", call,
                        data->classes, trained->classes, both_csv ? ": " : "",
                        both_csv ? hint : "");
    if (!both_csv && (!data->class_names || !trained->class_names)) return NN_OK;
    for (int i = 0; i < data->classes; i++) {
        const char *name = nn__class_name(data, i, number);
        const char *other = nn__class_name(trained, i, other_number);
        if (strcmp(name, other) != 0)
            return nn__fail(NN_ERROR_MISMATCH,
                            "%s: class %d is '%s', in the training set it is '%s': %s", call, i,
                            name, other, hint);
    }
    return NN_OK;
}

/* What a network was trained on says what its numbers mean: another set that it is asked about must
   mean the same by them. A shape of one dimension says nothing. */
static nn_status nn__check_same_samples(const char *call, const nn_dataset *data,
                                        const nn_dataset *trained)
{
    char shape[NN__SHAPE_TEXT], its_shape[NN__SHAPE_TEXT];
    if (data->features != trained->features)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: the data set has %llu features, the training set %llu", call,
                        (nn__ull)data->features, (nn__ull)trained->features);
    if (data->rank > 1 && trained->rank > 1 &&
        (data->rank != trained->rank || nn__has_planes(data) != nn__has_planes(trained) ||
         memcmp(data->shape, trained->shape, (size_t)data->rank * sizeof *data->shape) != 0))
        return nn__fail(NN_ERROR_MISMATCH, "%s: samples of shape %s%s, in the training set %s%s",
                        call, nn__shape_text(data->rank, data->shape, 0, shape),
                        nn__has_planes(data) ? ", channels first" : "",
                        nn__shape_text(trained->rank, trained->shape, 0, its_shape),
                        nn__has_planes(trained) ? ", channels first" : "");
    return nn__check_same_norm(call, data, trained);
}

static nn_status nn__check_kin(const char *call, const nn_dataset *data, const nn_dataset *trained)
{
    nn_status status = nn__check_same_classes(call, data, trained);
    return status == NN_OK ? nn__check_same_samples(call, data, trained) : status;
}

/* A copy of what nn__check_kin asks of a set, in a block of the network's: the set, the list of
   names, scales and shifts, the names. NULL: out of memory. */
static nn_dataset *nn__copy_kin(nn_net *net, const nn_dataset *data)
{
    const size_t classes = data->class_names ? (size_t)data->classes : 0, n = data->norm_count;
    const size_t list = nn__bytes(classes, 1, sizeof(char *));
    const size_t norm = nn__bytes(n, 2, sizeof(nn_real));
    size_t bytes = sizeof *data;
    int fits = nn__add_sizes(bytes, list, &bytes) && nn__add_sizes(bytes, norm, &bytes);
    for (size_t i = 0; fits && i < classes; i++)
        fits = nn__add_sizes(bytes, strlen(data->class_names[i]) + 1, &bytes);
    nn_dataset *kept = (nn_dataset *)nn__net_alloc(net, fits ? bytes : SIZE_MAX);
    if (!kept) return NULL;
    char *at = (char *)(kept + 1) + list + norm;
    *kept = *data;
    kept->class_names = classes ? (char **)(void *)(kept + 1) : NULL;
    kept->scale = (nn_real *)(void *)((char *)(kept + 1) + list), kept->shift = kept->scale + n;
    if (n) memcpy(kept->scale, data->scale, n * sizeof *kept->scale);
    if (n) memcpy(kept->shift, data->shift, n * sizeof *kept->shift);
    for (size_t i = 0; i < classes; at += strlen(at) + 1, i++)
        kept->class_names[i] =
            (char *)memcpy(at, data->class_names[i], strlen(data->class_names[i]) + 1);
    return kept;
}

static void nn__set_trained_on(nn_net *net, nn_dataset *kept)
{
    nn__net_release(net, net->trained_on);
    net->trained_on = kept;
}

NN__UNUSED static nn_status nn__remember_data(nn_net *net, const nn_dataset *data)
{
    nn_dataset *kept = nn__copy_kin(net, data);
    if (kept) nn__set_trained_on(net, kept);
    return kept ? NN_OK : NN_ERROR_OUT_OF_MEMORY;
}

/* -- sets from memory -- */

/* The largest label + 1 when the caller does not say how many classes there are. */
static int nn__class_count(size_t count, const int *labels)
{
    int max = -1;
    for (size_t i = 0; i < count; i++)
        if (labels[i] > max) max = labels[i];
    return max < INT_MAX ? max + 1 : INT_MAX;
}

/* The labels get a copy in the set, checked; classes 0: as many as the labels need. */
static nn_status nn__set_labels(nn_dataset *data, const char *what, const int *labels, int classes)
{
    int *copy = (int *)nn__allocate(data->count, sizeof *copy);
    if (!copy) return NN_ERROR_OUT_OF_MEMORY;
    memcpy(copy, labels, data->count * sizeof *copy);
    data->owned[NN__OWNS_LABELS] = data->labels = copy;
    data->classes = classes ? classes : nn__class_count(data->count, copy);
    return nn__check_labels(what, data->count, copy, (size_t)data->classes);
}

static nn_status nn__dataset_from(const char *call, nn_dtype dtype, const void *x, size_t count,
                                  size_t features, const int *labels, int classes, nn_dataset *out)
{
    nn_dataset d;
    nn_status status = NN_OK;
    size_t size;
    const int fits = nn__multiply(count, features, &size) && size <= SIZE_MAX / sizeof(nn_real);
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: out is NULL", call);
    memset(&d, 0, sizeof d);
    d.count = count, d.features = features, d.dtype = dtype, d.samples = x;
    d.rank = 1, d.shape[0] = features;
    if (!x) status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: x is NULL", call);
    else if (count == 0 || features == 0 || !fits)
        status = nn__fail(fits ? NN_ERROR_EMPTY : NN_ERROR_TOO_LARGE,
                          "%s: %llu samples of %llu features, expected 1 or more that fit memory",
                          call, (nn__ull)count, (nn__ull)features);
    else if (classes < 0)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: classes is %d, expected 0 or more", call,
                          classes);
    else if (labels) status = nn__set_labels(&d, call, labels, classes);
    return nn__hand_over(&d, status, out);
}

NN_DEF nn_status nn_dataset_from_arrays(const nn_real *x, size_t count, size_t features,
                                        const int *labels, int classes, nn_dataset *out)
{
    return nn__dataset_from("nn_dataset_from_arrays", NN_DTYPE_REAL, x, count, features, labels,
                            classes, out);
}

NN_DEF nn_status nn_dataset_from_bytes(const uint8_t *x, size_t count, size_t features,
                                       const int *labels, int classes, nn_dataset *out)
{
    return nn__dataset_from("nn_dataset_from_bytes", NN_DTYPE_U8, x, count, features, labels,
                            classes, out);
}

NN_DEF nn_status nn_dataset_set_targets(nn_dataset *data, const nn_real *targets,
                                        size_t target_size)
{
    nn_status status = nn__check_dataset("nn_dataset_set_targets", data);
    if (status != NN_OK) return status;
    if (!targets || target_size == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_set_targets: %s",
                        targets ? "target_size is 0" : "targets is NULL");
    if (data->index)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_dataset_set_targets: the data set is a view of another");
    data->targets = targets, data->target_size = target_size;
    return NN_OK;
}

NN_DEF nn_status nn_dataset_set_shape(nn_dataset *data, int rank, const size_t *shape)
{
    size_t size;
    nn_status status = nn__check_dataset("nn_dataset_set_shape", data);
    if (status != NN_OK) return status;
    if (!shape || rank < 1 || rank > NN_MAX_RANK)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_set_shape: %s",
                        shape ? "the rank is not in 1 to 8" : "the shape is NULL");
    if (!nn__shape_size(rank, shape, &size) || size != data->features) {
        char text[NN__SHAPE_TEXT];
        return nn__fail(NN_ERROR_BAD_SHAPE, "nn_dataset_set_shape: %s for %llu features",
                        nn__shape_text(rank, shape, 0, text), (nn__ull)data->features);
    }
    data->rank = rank;
    memcpy(data->shape, shape, (size_t)rank * sizeof *shape);
    return NN_OK;
}

NN_DEF nn_status nn_dataset_transpose(nn_dataset *data)
{
    nn_status status = nn__check_dataset("nn_dataset_transpose", data);
    if (status != NN_OK) return status;
    if (data->index || !data->owned[NN__OWNS_SAMPLES] || data->norm_count > 1)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_transpose: the data set %s",
                        data->norm_count > 1 ? "is normalised per feature" : "borrows its samples");
    if (data->rank < 2)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "nn_dataset_transpose: samples of rank %d, expected 2 or more", data->rank);
    const size_t width = data->dtype == NN_DTYPE_U8 ? 1 : sizeof(nn_real);
    size_t *shape = data->shape + data->rank - 2, rows = shape[0], cols = shape[1];
    const size_t images = data->count * data->features / (rows * cols);
    char *copy = (char *)nn__allocate(rows * cols, width);
    if (!copy) return NN_ERROR_OUT_OF_MEMORY;
    char *owned = (char *)data->owned[NN__OWNS_SAMPLES];
    char *to = owned + ((const char *)data->samples - owned);
    for (size_t i = 0; i < images; i++) {
        memcpy(copy, to, rows * cols * width);
        for (size_t j = 0; j < rows * cols; j++, to += width)
            memcpy(to, copy + (j % rows * cols + j / rows) * width, width);
    }
    NN_FREE(copy);
    shape[0] = cols, shape[1] = rows;
    return NN_OK;
}

/* ------------------------------------------------------------------------------------- >>views
   A view is a list of another set's rows with labels, names and normalisation of its own. What is
   drawn by class takes the samples grouped by class, in random order within each, at even
   distances. The seed alone decides every order. */

/* One part, or two, can be made of the set. */
static nn_status nn__check_view(const char *call, const nn_dataset *data, const nn_dataset *out)
{
    if (!out || out == data)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: out is %s", call,
                        out ? "the data set itself" : "NULL");
    return nn__check_dataset(call, data);
}

static nn_status nn__check_parts(const char *call, const nn_dataset *data, const nn_dataset *a,
                                 const nn_dataset *b)
{
    if (!a || !b || a == b || a == data || b == data)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s", call,
                        !a || !b ? "a part is NULL"
                                 : a == b ? "both parts are the same struct"
                                          : "a part is the data set itself");
    return nn__check_data(call, data);
}

static nn_status nn__check_has_labels(const char *call, const nn_dataset *data)
{
    return data->labels ? NN_OK : nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: there are no labels", call);
}

/* Names live in the block of the set that was loaded; a view has its own list of them. */
static nn_status nn__view_names(const nn_dataset *data, const int *classes, int count,
                                nn_dataset *view)
{
    if (!data->class_names) return NN_OK;
    NN_FREE(view->class_names);
    view->class_names = (char **)nn__allocate((size_t)count, sizeof *view->class_names);
    if (!view->class_names) return NN_ERROR_OUT_OF_MEMORY;
    for (int i = 0; i < count; i++)
        view->class_names[i] = data->class_names[classes ? classes[i] : i];
    return NN_OK;
}

/* The samples rows[0..count), or first, first + 1, ... when rows is NULL. */
static nn_status nn__make_view(const nn_dataset *data, const size_t *rows, size_t first,
                               size_t count, nn_dataset *view)
{
    *view = *data;
    memset(view->owned, 0, sizeof view->owned);
    view->count = count, view->norm_count = 0;
    view->class_names = NULL, view->scale = view->shift = NULL;
    view->index = (size_t *)nn__allocate(count, sizeof *view->index);
    view->labels = data->labels ? (int *)nn__allocate(count, sizeof *view->labels) : NULL;
    view->owned[NN__OWNS_INDEX] = view->index, view->owned[NN__OWNS_LABELS] = view->labels;
    if (!view->index || (data->labels && !view->labels)) return NN_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const size_t from = rows ? rows[i] : first + i;
        view->index[i] = nn__row(data, from);
        if (data->labels) view->labels[i] = data->labels[from];
    }
    nn_status status = data->norm_count ? nn__copy_norm(view, data) : NN_OK;
    return status == NN_OK ? nn__view_names(data, NULL, data->classes, view) : status;
}

static nn_status nn__take(const nn_dataset *data, const size_t *rows, size_t first, size_t count,
                          nn_dataset *out)
{
    nn_dataset view;
    nn_status status = nn__make_view(data, rows, first, count, &view);
    return nn__hand_over(&view, status, out);
}

/* Two parts that cannot be made, where there is something to make. */
static nn_status nn__both_failed(const nn_dataset *data, nn_status status, nn_dataset *a,
                                 nn_dataset *b)
{
    if (a && a != data) nn__dataset_failed(a, status);
    if (b && b != data) nn__dataset_failed(b, status);
    return status;
}

/* The end of whatever makes views: rows[0..first) become a and the next `second` b, which may be
   NULL. Both are made, or both hold the failure. The list of rows is given back. */
static nn_status nn__views(const nn_dataset *data, nn_status status, size_t *rows, size_t first,
                           nn_dataset *a, size_t second, nn_dataset *b)
{
    if (status == NN_OK) status = nn__take(data, rows, 0, first, a);
    if (status == NN_OK && b) {
        status = nn__take(data, rows + first, 0, second, b);
        if (status != NN_OK) nn_dataset_free(a);
    }
    NN_FREE(rows);
    return status == NN_OK ? NN_OK : nn__both_failed(data, status, a, b);
}

NN_DEF nn_status nn_dataset_subset(const nn_dataset *data, size_t first, size_t count,
                                   nn_dataset *out)
{
    nn_status status = nn__check_view("nn_dataset_subset", data, out);
    if (status == NN_OK && (count == 0 || first > data->count || count > data->count - first))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "nn_dataset_subset: %llu samples from %llu, the data set has %llu",
                          (nn__ull)count, (nn__ull)first, (nn__ull)data->count);
    return status == NN_OK ? nn__take(data, NULL, first, count, out)
                           : nn__both_failed(data, status, out, NULL);
}

NN_DEF nn_status nn_dataset_select(const nn_dataset *data, const size_t *samples, size_t count,
                                   nn_dataset *out)
{
    nn_status status = nn__check_view("nn_dataset_select", data, out);
    if (status == NN_OK && (!samples || count == 0))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_select: %s",
                          samples ? "count is 0" : "samples is NULL");
    for (size_t i = 0; status == NN_OK && i < count; i++)
        if (samples[i] >= data->count)
            status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                              "nn_dataset_select: index %llu, the data set has %llu samples",
                              (nn__ull)samples[i], (nn__ull)data->count);
    return status == NN_OK ? nn__take(data, samples, 0, count, out)
                           : nn__both_failed(data, status, out, NULL);
}

/* The place of a label in the list of classes; -1 when it is not there. */
static int nn__class_place(int label, int count, const int *classes)
{
    for (int i = 0; i < count; i++)
        if (classes[i] == label) return i;
    return -1;
}

static nn_status nn__check_classes(const nn_dataset *data, int count, const int *classes)
{
    static const char call[] = "nn_dataset_select_classes";
    nn_status status = nn__check_has_labels(call, data);
    if (status == NN_OK && (count <= 0 || !classes))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %d classes, expected 1 or more", call, count);
    for (int i = 0; status == NN_OK && i < count; i++) {
        if (classes[i] < 0 || classes[i] >= data->classes)
            status = nn__fail(NN_ERROR_BAD_LABEL, "%s: class %d, expected 0 to %d", call,
                              classes[i], data->classes - 1);
        else if (nn__class_place(classes[i], i, classes) >= 0)
            status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: class %d is named twice", call,
                              classes[i]);
    }
    return status;
}

NN_DEF nn_status nn_dataset_select_classes(const nn_dataset *data, int class_count,
                                           const int *classes, nn_dataset *out)
{
    size_t count = 0, *rows = NULL;
    nn_status status = nn__check_view("nn_dataset_select_classes", data, out);
    if (status == NN_OK) status = nn__check_classes(data, class_count, classes);
    if (status == NN_OK) status = nn__resize(&rows, data->count, 1, sizeof *rows);
    for (size_t i = 0; status == NN_OK && i < data->count; i++)
        if (nn__class_place(data->labels[i], class_count, classes) >= 0) rows[count++] = i;
    if (status == NN_OK && count == 0)
        status = nn__fail(NN_ERROR_EMPTY,
                          "nn_dataset_select_classes: no sample has one of the classes");
    status = nn__views(data, status, rows, count, out, 0, NULL);
    if (status != NN_OK) return status;
    for (size_t i = 0; i < count; i++)
        out->labels[i] = nn__class_place(out->labels[i], class_count, classes);
    out->classes = class_count;
    status = nn__view_names(data, classes, class_count, out);
    return status == NN_OK ? NN_OK : (nn_dataset_free(out), nn__dataset_failed(out, status));
}

/* All samples in random order, in the first of `lists` arrays of data->count numbers. */
static size_t *nn__shuffled(const nn_dataset *data, size_t lists, nn_rng *rng)
{
    size_t *order = (size_t *)nn__allocate(data->count, lists * sizeof *order);
    for (size_t i = 0; order && i < data->count; i++) order[i] = i;
    if (order) nn_rng_shuffle(rng, order, data->count);
    return order;
}

/* begins[c]: where class c begins when samples are grouped by class, up to begins[classes].
   grouped[] gets the samples order[] so, in their order within each class; both may be NULL. */
static size_t *nn__group(const nn_dataset *data, const size_t *order, size_t *grouped)
{
    const size_t classes = (size_t)data->classes;
    size_t *begins = (size_t *)nn__allocate_zeros(classes + 1, sizeof *begins);
    if (!begins) return NULL;
    for (size_t i = 0; i < data->count; i++) begins[data->labels[i]]++;
    for (size_t c = 1; c <= classes; c++) begins[c] += begins[c - 1];
    for (size_t i = data->count; i--;) {
        const size_t sample = order ? order[i] : i, at = --begins[data->labels[sample]];
        if (grouped) grouped[at] = sample;
    }
    return begins;
}

/* Into a goes every folds-th sample from `fold` on, or without folds a fraction of them at even
   distances; the rest into b. */
static nn_status nn__partition(const nn_dataset *data, int stratified, size_t folds, size_t fold,
                               double fraction, uint64_t seed, nn_dataset *a, nn_dataset *b)
{
    nn_rng rng = nn_rng_seed(seed);
    size_t n = data->count, in_a = 0, in_b = 0, *begins = NULL;
    size_t *parts = nn__shuffled(data, 3, &rng);
    if (!parts) return nn__both_failed(data, NN_ERROR_OUT_OF_MEMORY, a, b);
    size_t *order = parts + n, *grouped = stratified ? order + n : order;
    memcpy(order, parts, n * sizeof *order);
    if (stratified) begins = nn__group(data, order, grouped);
    nn_status status = begins || !stratified ? NN_OK : NN_ERROR_OUT_OF_MEMORY;
    NN_FREE(begins);
    for (size_t i = 0; status == NN_OK && i < n; i++) {
        const double before = floor((double)i * fraction + 0.5);
        int taken = folds ? i % folds == fold : floor((double)(i + 1) * fraction + 0.5) > before;
        if (taken) parts[in_a++] = grouped[i];
        else parts[n - ++in_b] = grouped[i];
    }
    nn_rng_shuffle(&rng, parts, in_a);
    nn_rng_shuffle(&rng, parts + in_a, in_b);
    return nn__views(data, status, parts, in_a, a, in_b, b);
}

static nn_status nn__split(const char *call, const nn_dataset *data, double fraction, uint64_t seed,
                           int stratified, nn_dataset *a, nn_dataset *b)
{
    nn_rng rng = nn_rng_seed(seed);
    nn_status status = nn__check_parts(call, data, a, b);
    if (status == NN_OK && stratified) status = nn__check_has_labels(call, data);
    if (status == NN_OK && !(fraction > 0 && fraction < 1))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: fraction is %g, expected 0 < fraction < 1",
                          call, fraction);
    const size_t first = status == NN_OK ? (size_t)(fraction * (double)data->count + 0.5) : 0;
    if (status == NN_OK && (first == 0 || first >= data->count))
        status = nn__fail(NN_ERROR_EMPTY, "%s: %llu samples at %g leave one part empty", call,
                          (nn__ull)data->count, fraction);
    if (status != NN_OK) return nn__both_failed(data, status, a, b);
    if (stratified) return nn__partition(data, 1, 0, 0, fraction, seed, a, b);
    size_t *order = nn__shuffled(data, 1, &rng);
    return nn__views(data, order ? NN_OK : NN_ERROR_OUT_OF_MEMORY, order, first, a,
                     data->count - first, b);
}

NN_DEF nn_status nn_dataset_split(const nn_dataset *data, double fraction, uint64_t seed,
                                  nn_dataset *a, nn_dataset *b)
{
    return nn__split("nn_dataset_split", data, fraction, seed, 0, a, b);
}

NN_DEF nn_status nn_dataset_split_stratified(const nn_dataset *data, double fraction, uint64_t seed,
                                             nn_dataset *a, nn_dataset *b)
{
    return nn__split("nn_dataset_split_stratified", data, fraction, seed, 1, a, b);
}

NN_DEF nn_status nn_dataset_fold(const nn_dataset *data, size_t folds, size_t fold, int stratified,
                                 uint64_t seed, nn_dataset *train, nn_dataset *held_out)
{
    static const char call[] = "nn_dataset_fold";
    nn_status status = nn__check_parts(call, data, train, held_out);
    if (status == NN_OK && stratified) status = nn__check_has_labels(call, data);
    if (status == NN_OK && (folds < 2 || folds > data->count || fold >= folds))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "%s: fold %llu of %llu for %llu samples, expected 2 folds or more, one "
                          "sample in each, and fold from 0",
                          call, (nn__ull)fold, (nn__ull)folds, (nn__ull)data->count);
    return status == NN_OK ? nn__partition(data, stratified, folds, fold, 0, seed, held_out, train)
                           : nn__both_failed(data, status, train, held_out);
}

NN_DEF nn_status nn_dataset_bootstrap(const nn_dataset *data, uint64_t seed, nn_dataset *drawn,
                                      nn_dataset *rest)
{
    nn_rng rng = nn_rng_seed(seed);
    size_t left = 0;
    nn_status status = nn__check_parts("nn_dataset_bootstrap", data, drawn, rest);
    if (status != NN_OK) return nn__both_failed(data, status, drawn, rest);
    const size_t n = data->count;
    size_t *list = (size_t *)nn__allocate_zeros(n, 2 * sizeof *list);
    if (!list) return nn__both_failed(data, NN_ERROR_OUT_OF_MEMORY, drawn, rest);
    size_t *others = list + n; /* at first whether each was drawn, then those that were not */
    for (size_t i = 0; i < n; i++) others[list[i] = (size_t)nn_rng_below(&rng, n)] = 1;
    for (size_t i = 0; i < n; i++)
        if (!others[i]) others[left++] = i;
    if (left == 0)
        status = nn__fail(NN_ERROR_EMPTY, "nn_dataset_bootstrap: every sample was drawn");
    return nn__views(data, status, list, n, drawn, left, rest);
}

/* How many classes occur, and how often the largest does. */
static size_t nn__present_classes(const nn_dataset *data, const size_t *begins, size_t *max)
{
    size_t present = 0;
    *max = 0;
    for (int c = 0; c < data->classes; c++) {
        present += begins[c + 1] > begins[c];
        *max = nn__max_size(*max, begins[c + 1] - begins[c]);
    }
    return present;
}

NN_DEF nn_status nn_dataset_balance(const nn_dataset *data, uint64_t seed, nn_dataset *out)
{
    nn_rng rng = nn_rng_seed(seed);
    size_t *order = NULL, *begins = NULL, *list = NULL, count = 0, max = 0, at = 0;
    nn_status status = nn__check_view("nn_dataset_balance", data, out);
    if (status == NN_OK) status = nn__check_has_labels("nn_dataset_balance", data);
    if (status == NN_OK) {
        order = nn__shuffled(data, 2, &rng);
        begins = order ? nn__group(data, order, order + data->count) : NULL;
        count = begins ? nn__present_classes(data, begins, &max) : 0;
        status = begins ? nn__resize(&list, count, max, sizeof *list) : NN_ERROR_OUT_OF_MEMORY;
    }
    for (int c = 0; status == NN_OK && c < data->classes; c++) {
        const size_t *samples = order + data->count + begins[c], n = begins[c + 1] - begins[c];
        for (size_t i = 0; n && i < max; i++) list[at++] = samples[i % n];
    }
    if (status == NN_OK) nn_rng_shuffle(&rng, list, at);
    NN_FREE(order);
    NN_FREE(begins);
    return nn__views(data, status, list, at, out, 0, NULL);
}

NN_DEF nn_status nn_dataset_class_weights(const nn_dataset *data, nn_real *weights)
{
    nn_status status = nn__check_dataset("nn_dataset_class_weights", data);
    if (status == NN_OK) status = nn__check_has_labels("nn_dataset_class_weights", data);
    if (status == NN_OK && !weights)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_class_weights: weights is NULL");
    if (status != NN_OK) return status;
    size_t max, *begins = nn__group(data, NULL, NULL);
    if (!begins) return NN_ERROR_OUT_OF_MEMORY;
    double share = (double)data->count / (double)nn__present_classes(data, begins, &max);
    for (int c = 0; c < data->classes; c++) {
        const size_t n = begins[c + 1] - begins[c];
        weights[c] = n ? (nn_real)(share / (double)n) : 0;
    }
    NN_FREE(begins);
    return NN_OK;
}

/* ----------------------------------------------------------------------------------- >>batches
   From samples, which lie anywhere in memory, to a batch: normalised reals in the order that the
   input has. Images that are stored plane by plane become pixels with all their channels, in blocks
   that stay in the first-level cache; bits are those of the same sample gathered flat. */

/* The shape in which a network sees the samples; returns its rank. */
static int nn__seen_shape(const nn_dataset *data, size_t shape[NN_MAX_RANK])
{
    memcpy(shape, data->shape, sizeof data->shape);
    if (nn__has_planes(data))
        shape[0] = data->shape[1], shape[1] = data->shape[2], shape[2] = data->shape[0];
    if (data->rank == 2) shape[2] = 1;
    return data->rank == 2 ? 3 : data->rank;
}

NN_DEF nn_tensor *nn_input_like(nn_net *net, const nn_dataset *data)
{
    size_t shape[NN_MAX_RANK];
    nn_status status = nn__check_dataset("nn_input_like", data);
    if (status != NN_OK) return nn__net_failed(net, status);
    return nn__input_new(net, "nn_input_like", nn__seen_shape(data, shape), shape);
}

/* Without the ones at its end, up to two dimensions. */
static int nn__trimmed_rank(int rank, const size_t *shape)
{
    while (rank > 2 && shape[rank - 1] == 1) rank--;
    return rank;
}

/* Values that have a shape go to an input of that shape, or to a flat one. */
static nn_status nn__check_layout(const char *call, const nn_tensor *input, const nn_dataset *data)
{
    size_t seen[NN_MAX_RANK];
    char text[NN__SHAPE_TEXT], taken[NN__SHAPE_TEXT];
    const int rank = nn__seen_shape(data, seen), trimmed = nn__trimmed_rank(rank, seen);
    if (rank < 2 || input->rank < 3 ||
        (nn__trimmed_rank(input->rank - 1, input->shape + 1) == trimmed &&
         memcmp(seen, input->shape + 1, (size_t)trimmed * sizeof *seen) == 0))
        return NN_OK;
    return nn__fail(NN_ERROR_BAD_SHAPE,
                    "%s: the data set has samples of shape %s, the input takes %s: nn_input_like "
                    "makes one that fits", call, nn__shape_text(rank, seen, 0, text),
                    nn__shape_text(input->rank - 1, input->shape + 1, 0, taken));
}

/* The normalisation of a sample's values from one of them on: of each, or of all. */
typedef struct nn__scaling {
    const nn_real *scale, *shift;
    int each;
} nn__scaling;

static nn__scaling nn__scaling_from(const nn_dataset *data, size_t first)
{
    static const nn_real one = 1, zero = 0;
    nn__scaling norm = {&one, &zero, data->norm_count > 1};
    if (data->norm_count) norm.scale = data->scale, norm.shift = data->shift;
    if (norm.each) norm.scale += first, norm.shift += first;
    return norm;
}

/* out[n] = values first, first + 1, ... of a row, normalised. */
static void nn__gather_values(const nn_dataset *data, size_t row, size_t first, size_t n,
                              nn_real *out)
{
    const nn__scaling norm = nn__scaling_from(data, first);
    const size_t at = row * data->features + first;
    if (data->dtype == NN_DTYPE_U8)
        nn__k()->affine_bytes(n, (const uint8_t *)data->samples + at, norm.scale, norm.shift,
                              norm.each, out);
    else
        nn__k()->affine(n, (const nn_real *)data->samples + at, norm.scale, norm.shift, norm.each,
                        out);
}

/* The same of a whole image [channels, height, width] as [height, width, channels]. */
static void nn__gather_pixels(const nn_dataset *data, size_t row, nn_real *out)
{
    enum { PIXELS_AT_ONCE = 256 };
    nn_real block[PIXELS_AT_ONCE];
    const size_t channels = data->shape[0], pixels = data->features / channels;
    for (size_t i = 0; i < pixels; i += PIXELS_AT_ONCE)
        for (size_t c = 0, n = nn__min_size(PIXELS_AT_ONCE, pixels - i); c < channels; c++) {
            nn__gather_values(data, row, c * pixels + i, n, block);
            for (size_t j = 0; j < n; j++) out[(i + j) * channels + c] = block[j];
        }
}

/* -- augmentation: how a sample is drawn on its way into a batch -- */

/* A sample's values: `planes` images of height x width pixels with `inner` values each. What is no
   image is a single line of pixels. */
typedef struct nn__image {
    size_t planes, height, width, inner;
} nn__image;

static nn__image nn__image_of(const nn_dataset *data)
{
    nn__image m = {1, 1, data->features, 1};
    const size_t *side = data->shape + nn__has_planes(data);
    if (data->rank != 2 && data->rank != 3) return m;
    m.height = side[0], m.width = side[1];
    if (nn__has_planes(data)) m.planes = data->shape[0];
    else if (data->rank == 3) m.inner = data->shape[2];
    return m;
}

/* What is done to one sample. All 0: nothing. */
typedef struct nn__pose {
    int is_moved, flip, is_turned, reflect, is_toned;
    double cosine, sine;   /* of the rotation */
    ptrdiff_t right, down; /* the shift */
    double gain, offset;   /* of raw values, which for bytes end at 0 and 255 */
    double noise;
    nn_rng noise_rng;
    size_t cutout; /* the side of a square of zeros, which begins at */
    ptrdiff_t left, top;
} nn__pose;

/* How the samples of a batch differ from what is stored: as drawn for each, or all alike. */
typedef struct nn__variation {
    const nn_augment *augment; /* NULL: alike */
    uint64_t key, epoch;
    nn__pose pose;
} nn__variation;

/* The draws of a kind for a sample in an epoch, whatever else is drawn. */
enum {
    NN__DRAW_FLIP, NN__DRAW_ROTATION, NN__DRAW_SHIFT, NN__DRAW_BRIGHTNESS, NN__DRAW_CONTRAST,
    NN__DRAW_NOISE, NN__DRAW_CUTOUT, NN__DRAW_MIXUP
};

static nn_rng nn__sample_rng(const nn__variation *v, uint64_t epoch, size_t sample, unsigned kind)
{
    const uint64_t step = UINT64_C(0x9E3779B97F4A7C15);
    nn_rng rng;
    rng.key = nn__mix(nn__mix(v->key + epoch * step) + (uint64_t)sample * step);
    rng.counter = (uint64_t)kind << 40;
    return rng;
}

/* Uniform in [-1, 1). */
static double nn__either_way(const nn__variation *v, size_t sample, unsigned kind)
{
    nn_rng rng = nn__sample_rng(v, v->epoch, sample, kind);
    return 2 * nn_rng_uniform(&rng) - 1;
}

static void nn__draw_move(const nn__variation *v, size_t sample, nn__pose *p)
{
    const nn_augment *a = v->augment;
    const int alternates = a->flip == NN_FLIP_ALTERNATING;
    nn_rng rng = nn__sample_rng(v, alternates ? 0 : v->epoch, sample, NN__DRAW_FLIP);
    if (a->flip) p->flip = (int)((nn_rng_next(&rng) ^ (alternates ? v->epoch : 0)) & 1);
    if (a->rotation > 0) {
        const double turn = nn__either_way(v, sample, NN__DRAW_ROTATION) * a->rotation / 180;
        p->is_turned = 1;
        p->cosine = nn__cos_pi(fabs(turn));
        p->sine = nn__cos_pi(fabs(fabs(turn) - 0.5)) * (turn < 0 ? -1 : 1);
    }
    rng = nn__sample_rng(v, v->epoch, sample, NN__DRAW_SHIFT);
    if (a->shift) {
        p->right = (ptrdiff_t)nn_rng_below(&rng, 2 * a->shift + 1) - (ptrdiff_t)a->shift;
        p->down = (ptrdiff_t)nn_rng_below(&rng, 2 * a->shift + 1) - (ptrdiff_t)a->shift;
    }
    p->reflect = a->reflect;
    p->is_moved = p->flip || p->is_turned || p->right || p->down;
}

/* Brightness b and contrast c: c (b x - mean of b x) + mean of b x. */
static void nn__draw_tone(const nn__variation *v, const nn_dataset *data, size_t sample,
                          nn__pose *p)
{
    const nn_augment *a = v->augment;
    double sum = 0;
    if (!(a->brightness > 0 || a->contrast > 0)) return;
    const double b = 1 + a->brightness * nn__either_way(v, sample, NN__DRAW_BRIGHTNESS);
    const double c = 1 + a->contrast * nn__either_way(v, sample, NN__DRAW_CONTRAST);
    for (size_t j = 0, row = nn__row(data, sample); a->contrast > 0 && j < data->features; j++)
        sum += nn__raw(data, row, j);
    p->is_toned = 1;
    p->gain = b * c;
    p->offset = (1 - c) * b * (sum / (double)data->features);
}

static nn__pose nn__draw_pose(const nn__variation *v, const nn_dataset *data, size_t sample)
{
    const nn_augment *a = v->augment;
    const nn__image m = nn__image_of(data);
    nn__pose p;
    memset(&p, 0, sizeof p);
    nn__draw_move(v, sample, &p);
    nn__draw_tone(v, data, sample, &p);
    p.noise = a->noise;
    p.noise_rng = nn__sample_rng(v, v->epoch, sample, NN__DRAW_NOISE);
    p.cutout = a->cutout;
    nn_rng rng = nn__sample_rng(v, v->epoch, sample, NN__DRAW_CUTOUT);
    p.left = (ptrdiff_t)nn_rng_below(&rng, m.width) - (ptrdiff_t)(a->cutout / 2);
    p.top = (ptrdiff_t)nn_rng_below(&rng, m.height) - (ptrdiff_t)(a->cutout / 2);
    return p;
}

/* ln of a draw from Gamma(shape, 1): Marsaglia and Tsang, "A simple method for generating gamma
   variables", 2000; below 1 it is that of shape + 1, times u^(1 / shape). */
static double nn__log_gamma(nn_rng *rng, double shape)
{
    const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);
    double x, v, u;
    do {
        x = nn_rng_normal(rng);
        v = 1 + c * x;
        v = v * v * v;
        u = 1 - nn_rng_uniform(rng);
    } while (v <= 0 ||
             nn__log_scalar(u) >= 0.5 * x * x + d - d * v + d * nn__log_scalar(v));
    const double root = shape < 1 ? nn__log_scalar(1 - nn_rng_uniform(rng)) / shape : 0;
    return nn__log_scalar(d * v) + root;
}

/* Which sample a sample is mixed with, and its own share: the larger one, since the pair comes as
   often the other way round. */
typedef struct nn__mixture {
    size_t other;
    double share;
} nn__mixture;

static nn__mixture nn__draw_mixture(const nn__variation *v, const nn_dataset *data, size_t sample)
{
    nn__mixture m = {sample, 1};
    if (!v || !v->augment || !(v->augment->mixup > 0)) return m;
    nn_rng rng = nn__sample_rng(v, v->epoch, sample, NN__DRAW_MIXUP);
    m.other = (size_t)nn_rng_below(&rng, data->count);
    const double a = nn__log_gamma(&rng, v->augment->mixup);
    const double apart = fabs(a - nn__log_gamma(&rng, v->augment->mixup));
    if (apart < 700) m.share = 1 / (1 + nn__exp_scalar(-apart));
    return m;
}

/* The first member that is on and changes pixels; NULL: none is. */
static const char *nn__pixel_member(const nn_augment *a)
{
    return a->flip             ? "flip"
           : a->rotation > 0   ? "rotation"
           : a->shift          ? "shift"
           : a->brightness > 0 ? "brightness"
           : a->contrast > 0   ? "contrast"
           : a->cutout         ? "cutout"
                               : NULL;
}

NN__UNUSED static int nn__is_augmented(const nn_augment *a)
{
    return nn__pixel_member(a) || a->noise > 0 || a->mixup > 0;
}

static nn_status nn__check_augment(const char *call, const char *prefix, const nn_augment *a,
                                   const nn_dataset *data)
{
    static const nn__range ranges[] = {
        {"rotation", offsetof(nn_augment, rotation), 0, 180, "0 to 180 degrees", 0},
        {"brightness", offsetof(nn_augment, brightness), 0, 1, "0 to 1", 0},
        {"contrast", offsetof(nn_augment, contrast), 0, 1, "0 to 1", 0},
        {"noise", offsetof(nn_augment, noise), 0, NN__LARGEST, "0 or a positive number", 0},
        {"mixup", offsetof(nn_augment, mixup), 0, NN__LARGEST, "0 or a positive number", 0}};
    const nn__image m = nn__image_of(data);
    const size_t side = nn__min_size(m.height, m.width);
    char text[NN__SHAPE_TEXT];
    nn_status status =
        nn__check_ranges(call, prefix, a, ranges, sizeof ranges / sizeof *ranges, 0);
    if (status != NN_OK) return status;
    if ((unsigned)a->flip > NN_FLIP_ALTERNATING)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %sflip is %d, expected 0 to 2", call, prefix,
                        (int)a->flip);
    if (a->reflect && !a->shift && !(a->rotation > 0))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %sreflect is set, but nothing is moved", call,
                        prefix);
    if (nn__pixel_member(a) && data->rank != 2 && data->rank != 3)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: %s%s is for images, expected samples of rank 2 or 3, not of shape "
                        "%s: nn_dataset_set_shape", call, prefix, nn__pixel_member(a),
                        nn__shape_text(data->rank, data->shape, 0, text));
    if (a->shift && a->shift >= side)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %sshift is %llu, expected less than %llu", call,
                        prefix, (nn__ull)a->shift, (nn__ull)side);
    if (a->cutout && a->cutout > side)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %scutout is %llu, expected at most %llu", call,
                        prefix, (nn__ull)a->cutout, (nn__ull)side);
    return NN_OK;
}

/* -- drawing a sample -- */

/* Place i of n, where what lies outside is the mirror image of what lies inside. */
static ptrdiff_t nn__reflect(ptrdiff_t i, size_t n)
{
    const ptrdiff_t last = (ptrdiff_t)n - 1;
    while (last > 0 && (i < 0 || i > last)) i = i < 0 ? -i : 2 * last - i;
    return last > 0 ? i : 0;
}

/* One sample being drawn. */
typedef struct nn__drawing {
    const nn_dataset *data;
    size_t row;
    nn__image image;
    nn__pose pose;
} nn__drawing;

static double nn__pixel(const nn__drawing *d, size_t plane, ptrdiff_t y, ptrdiff_t x, size_t k)
{
    const nn__image *m = &d->image;
    if (d->pose.reflect) y = nn__reflect(y, m->height), x = nn__reflect(x, m->width);
    if (y < 0 || x < 0 || (size_t)y >= m->height || (size_t)x >= m->width) return 0;
    return nn__raw(d->data, d->row,
                   ((plane * m->height + (size_t)y) * m->width + (size_t)x) * m->inner + k);
}

/* The value that a pixel gets from the places around the one that has been turned to it. */
static double nn__turned_pixel(const nn__drawing *d, size_t plane, ptrdiff_t y, ptrdiff_t x,
                               size_t k)
{
    const nn__pose *p = &d->pose;
    const double middle_y = ((double)d->image.height - 1) / 2;
    const double middle_x = ((double)d->image.width - 1) / 2;
    const double v = (double)y - middle_y, u = (double)x - middle_x;
    const double from_y = p->sine * u + p->cosine * v + middle_y;
    double from_x = p->cosine * u - p->sine * v;
    from_x = (p->flip ? -from_x : from_x) + middle_x;
    const double low_y = floor(from_y), low_x = floor(from_x);
    const double b = from_y - low_y, a = from_x - low_x;
    const ptrdiff_t i = (ptrdiff_t)low_y, j = (ptrdiff_t)low_x;
    const double above = (1 - a) * nn__pixel(d, plane, i, j, k) +
                         a * nn__pixel(d, plane, i, j + 1, k);
    const double below = (1 - a) * nn__pixel(d, plane, i + 1, j, k) +
                         a * nn__pixel(d, plane, i + 1, j + 1, k);
    return (1 - b) * above + b * below;
}

/* out[n]: raw values of a line of the image from value `first` on, moved and toned. */
static void nn__draw_line(const nn__drawing *d, size_t line, size_t first, size_t n, nn_real *out)
{
    const nn__pose *p = &d->pose;
    const nn__image *m = &d->image;
    const size_t plane = line / m->height;
    const ptrdiff_t y = (ptrdiff_t)(line % m->height) - p->down;
    size_t k = first % m->inner;
    ptrdiff_t x = (ptrdiff_t)(first / m->inner) - p->right;
    for (size_t i = 0; i < n; i++) {
        const ptrdiff_t from = p->flip ? (ptrdiff_t)m->width - 1 - x : x;
        double v = p->is_turned ? nn__turned_pixel(d, plane, y, x, k)
                                : nn__pixel(d, plane, y, from, k);
        if (p->is_toned) v = p->gain * v + p->offset;
        if (p->is_toned && d->data->dtype == NN_DTYPE_U8) v = v < 0 ? 0 : v > 255 ? 255 : v;
        out[i] = (nn_real)v;
        if (++k == m->inner) k = 0, x++;
    }
}

/* Zeros where the square lies. */
static void nn__cut_out(const nn__drawing *d, size_t line, size_t first, size_t n, nn_real *out)
{
    const ptrdiff_t y = (ptrdiff_t)(line % d->image.height) - d->pose.top;
    if (y < 0 || (size_t)y >= d->pose.cutout) return;
    for (size_t i = 0; i < n; i++) {
        const ptrdiff_t x = (ptrdiff_t)((first + i) / d->image.inner) - d->pose.left;
        if (x >= 0 && (size_t)x < d->pose.cutout) out[i] = 0;
    }
}

/* out[n]: the values that a network sees. */
static void nn__draw_values(nn__drawing *d, size_t line, size_t first, size_t n, nn_real *out)
{
    const size_t at = line * d->image.width * d->image.inner + first;
    if (d->pose.is_moved || d->pose.is_toned) {
        const nn__scaling norm = nn__scaling_from(d->data, at);
        nn__draw_line(d, line, first, n, out);
        nn__k()->affine(n, out, norm.scale, norm.shift, norm.each, out);
    } else nn__gather_values(d->data, d->row, at, n, out);
    for (size_t i = 0; d->pose.noise > 0 && i < n; i++)
        out[i] += (nn_real)(d->pose.noise * nn_rng_normal(&d->pose.noise_rng));
    nn__cut_out(d, line, first, n, out);
}

static nn__drawing nn__drawing_of(const nn__variation *v, const nn_dataset *data, size_t sample)
{
    nn__drawing d;
    d.data = data, d.row = nn__row(data, sample), d.image = nn__image_of(data);
    d.pose = v->augment ? nn__draw_pose(v, data, sample) : v->pose;
    return d;
}

/* A sample as it was drawn, or mixed with another, in the order of the input. */
static void nn__draw_sample(const nn__variation *v, const nn_dataset *data, size_t sample,
                            int by_pixel, nn_real *out)
{
    enum { VALUES_AT_ONCE = 256 };
    nn_real block[VALUES_AT_ONCE], others[VALUES_AT_ONCE];
    const nn__mixture mix = nn__draw_mixture(v, data, sample);
    nn__drawing own = nn__drawing_of(v, data, sample), other = own;
    if (mix.share < 1) other = nn__drawing_of(v, data, mix.other);
    const nn__image m = own.image;
    const size_t values = m.width * m.inner, planes = by_pixel ? m.planes : 1;
    for (size_t line = 0; line < m.planes * m.height; line++) {
        nn_real *place = by_pixel ? out + line % m.height * values * planes + line / m.height
                                  : out + line * values;
        for (size_t first = 0; first < values; first += VALUES_AT_ONCE) {
            const size_t n = nn__min_size(VALUES_AT_ONCE, values - first);
            nn__draw_values(&own, line, first, n, block);
            if (mix.share < 1) nn__draw_values(&other, line, first, n, others);
            for (size_t i = 0; mix.share < 1 && i < n; i++)
                block[i] = (nn_real)(mix.share * (double)block[i] +
                                     (1 - mix.share) * (double)others[i]);
            for (size_t i = 0; i < n; i++) place[(first + i) * planes] = block[i];
        }
    }
}

/* -- gathering -- */

/* Samples rows[0], rows[1], ..., or first, first + 1, ... when rows is NULL. */
typedef struct nn__gathering {
    const nn_dataset *data;
    const size_t *rows;
    size_t first;
    nn_real *out;
    int by_pixel; /* planes become pixels */
    const nn__variation *variation; /* NULL: as they are */
} nn__gathering;

/* Sample i of a batch: rows[i], or first + i when rows is NULL. */
static size_t nn__sample(const size_t *rows, size_t first, size_t i)
{
    return rows ? rows[i] : first + i;
}

/* Samples lie anywhere in memory: the next one is fetched while this one is converted. */
static void nn__prefetch_row(const nn_dataset *data, size_t row)
{
    size_t size = data->features * (data->dtype == NN_DTYPE_U8 ? 1 : sizeof(nn_real));
    const char *sample = (const char *)data->samples + row * size;
    for (size_t i = 0; i < size; i += 64) NN__PREFETCH(sample + i);
}

static void nn__gather_range(void *context, size_t begin, size_t end)
{
    const nn__gathering *g = (const nn__gathering *)context;
    const size_t features = g->data->features;
    for (size_t i = begin; i < end; i++) {
        const size_t sample = nn__sample(g->rows, g->first, i), row = nn__row(g->data, sample);
        nn_real *out = g->out + i * features;
        if (i + 1 < end)
            nn__prefetch_row(g->data, nn__row(g->data, nn__sample(g->rows, g->first, i + 1)));
        if (g->variation) nn__draw_sample(g->variation, g->data, sample, g->by_pixel, out);
        else if (g->by_pixel) nn__gather_pixels(g->data, row, out);
        else nn__gather_values(g->data, row, 0, features, out);
    }
}

static void nn__gather(int threads, size_t n, nn__gathering *g)
{
    nn__parallel(threads, n, nn__grain_rows(g->data->features), nn__gather_range, g);
}

NN_DEF nn_status nn_dataset_gather(const nn_dataset *data, const size_t *rows, size_t n,
                                   nn_real *out)
{
    nn__gathering g = {data, rows, 0, out, 0, NULL};
    nn_status status = nn__check_dataset("nn_dataset_gather", data);
    if (status != NN_OK) return status;
    if (n && !out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_gather: out is NULL");
    for (size_t i = 0; i < n; i++) {
        size_t sample = rows ? rows[i] : i;
        if (sample >= data->count)
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "nn_dataset_gather: index %llu, the data set has %llu samples",
                            (nn__ull)sample, (nn__ull)data->count);
    }
    nn__gather(0, n, &g);
    return NN_OK;
}

/* ----------------------------------------------------------------------------------- >>formats
   Readers check every count against the size of the file before they use it. Bytes of an image
   file become the data set's storage where they stand. */
#ifndef NN_NO_STDIO

/* An array of numbers within a file, row by row. */
typedef struct nn__numeric {
    nn__file *file;
    int rank, is_big_endian;
    char kind; /* as in nn__number_at */
    size_t shape[NN_MAX_RANK], count, width; /* count: the product of the shape */
    const unsigned char *values;
} nn__numeric;

/* The values begin at `offset` and fill the rest of the file. */
static nn_status nn__numeric_check(nn__numeric *x, size_t offset)
{
    const nn__file *file = x->file;
    size_t bytes;
    if (!nn__shape_size(x->rank, x->shape, &x->count) ||
        !nn__multiply(x->count, x->width, &bytes))
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: the product of the dimensions does not fit",
                        file->path);
    if (bytes != file->size - offset)
        return nn__fail(bytes > file->size - offset ? NN_ERROR_TRUNCATED : NN_ERROR_BAD_FORMAT,
                        "%s: %llu bytes of values, expected %llu", file->path,
                        (nn__ull)(file->size - offset), (nn__ull)bytes);
    x->values = file->bytes + offset;
    return NN_OK;
}

static double nn__numeric_value(const nn__numeric *x, size_t i)
{
    return nn__number_at(x->kind, x->width, x->is_big_endian, x->values + i * x->width);
}

/* -- IDX: 0 0 type rank, rank big-endian 32-bit dimensions, big-endian values -- */

/* Rank and dimensions; *offset is where the values begin. */
static nn_status nn__idx_header(nn__numeric *idx, size_t *offset)
{
    static const char kinds[17] = "\0\0\0\0\0\0\0\0ui\0iiff\0";
    static const unsigned char widths[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 2, 4, 4, 8, 0};
    const nn__file *file = idx->file;
    const unsigned char *p = file->bytes;
    if (file->size < 4)
        return nn__fail(NN_ERROR_TRUNCATED, "%s: %llu bytes, an IDX header has at least 4",
                        file->path, (nn__ull)file->size);
    const size_t type = p[2];
    idx->rank = p[3], idx->is_big_endian = 1;
    if (type < 16) idx->kind = kinds[type], idx->width = widths[type];
    if (p[0] || p[1] || !idx->width)
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: not an IDX file: starts with %02x %02x %02x %02x, expected 00 00 and "
                        "a type of 08, 09, 0b, 0c, 0d or 0e",
                        file->path, p[0], p[1], p[2], p[3]);
    if (idx->rank > NN_MAX_RANK)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: rank %d, at most %d is possible", file->path,
                        idx->rank, NN_MAX_RANK);
    *offset = 4 + 4 * (size_t)idx->rank;
    if (file->size < *offset)
        return nn__fail(NN_ERROR_TRUNCATED, "%s: %llu bytes, the header of rank %d has %llu",
                        file->path, (nn__ull)file->size, idx->rank, (nn__ull)*offset);
    for (int i = 0; i < 4 * idx->rank; i++)
        idx->shape[i / 4] = idx->shape[i / 4] << 8 | p[4 + i];
    return NN_OK;
}

static nn_status nn__idx_parse(nn__file *file, nn__numeric *idx)
{
    size_t offset = 0;
    memset(idx, 0, sizeof *idx);
    idx->file = file;
    nn_status status = nn__idx_header(idx, &offset);
    return status == NN_OK ? nn__numeric_check(idx, offset) : status;
}

/* -- samples and labels -- */

static nn_status nn__check_pair(const nn__numeric *x, const nn__numeric *y)
{
    const char *images = x->file->path, *labels = y ? y->file->path : "";
    if (x->rank < 2)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: rank %d, expected images of rank 2 or more",
                        images, x->rank);
    if (y && y->rank != 1 && y->rank != 2)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: rank %d, expected labels of rank 1 or 2", labels,
                        y->rank);
    if (y && x->shape[0] != y->shape[0])
        return nn__fail(NN_ERROR_MISMATCH, "%s: %llu images, but %s has %llu labels", images,
                        (nn__ull)x->shape[0], labels, (nn__ull)y->shape[0]);
    if (x->count == 0 || (y && y->count == 0))
        return nn__fail(NN_ERROR_EMPTY, "%s: %llu samples hold no values",
                        x->count ? labels : images, (nn__ull)x->shape[0]);
    return NN_OK;
}

/* Bytes stay where they are, scaled to [0, 1] unless they are truth values; other types become
   nn_real as they are. */
static nn_status nn__numeric_samples(const nn__numeric *x, nn_dataset *d)
{
    d->count = x->shape[0], d->features = x->count / x->shape[0];
    d->rank = x->rank - 1;
    memcpy(d->shape, x->shape + 1, (size_t)d->rank * sizeof *d->shape);
    if (x->width == 1 && x->kind != 'i') {
        d->dtype = NN_DTYPE_U8, d->samples = x->values;
        d->owned[NN__OWNS_SAMPLES] = x->file->bytes;
        x->file->bytes = NULL;
        return x->kind == 'u' ? nn__set_norm(d, 1 / 255.0, 0) : NN_OK;
    }
    nn_real *real = (nn_real *)nn__allocate(x->count, sizeof *real);
    if (!real) return NN_ERROR_OUT_OF_MEMORY;
    d->dtype = NN_DTYPE_REAL, d->samples = d->owned[NN__OWNS_SAMPLES] = real;
    for (size_t i = 0; i < x->count; i++) {
        const double value = nn__numeric_value(x, i);
        if (!nn__is_real(value))
            return nn__fail(NN_ERROR_BAD_NUMBER,
                            "%s: sample %llu: value %llu is %g, expected a finite nn_real",
                            x->file->path, (nn__ull)(i / d->features),
                            (nn__ull)(i % d->features), value);
        real[i] = (nn_real)value;
    }
    return NN_OK;
}

/* Which of a row's columns has a 1 among zeros; -1: none, or the row is not like that. */
static double nn__numeric_hot(const nn__numeric *y, size_t row, size_t columns)
{
    double hot = -1;
    for (size_t j = 0; j < columns; j++) {
        const double value = nn__numeric_value(y, row * columns + j);
        if (value != 0 && (value != 1 || hot >= 0)) return -1;
        if (value == 1) hot = (double)j;
    }
    return hot;
}

/* labels[y->shape[0]]: one number a sample, the first of several (QMNIST), or one-hot. */
static nn_status nn__numeric_labels(const nn__numeric *y, int *labels)
{
    const size_t columns = y->count / y->shape[0];
    int one_hot = columns > 1;
    for (size_t i = 0; one_hot && i < y->shape[0]; i++)
        one_hot = nn__numeric_hot(y, i, columns) >= 0;
    for (size_t i = 0; i < y->shape[0]; i++) {
        const double value =
            one_hot ? nn__numeric_hot(y, i, columns) : nn__numeric_value(y, i * columns);
        if (!(value >= INT_MIN && value <= INT_MAX) || value != floor(value))
            return nn__fail(NN_ERROR_BAD_LABEL,
                            "%s: label %g at index %llu, expected a whole number", y->file->path,
                            value, (nn__ull)i);
        labels[i] = (int)value;
    }
    return NN_OK;
}

/* A data set of samples and labels (NULL: none) that have been parsed, if status says so; gives the
   files back. */
static nn_status nn__numeric_pair(nn_status status, nn__file files[2], const nn__numeric *x,
                                  const nn__numeric *y, int classes, nn_dataset *out)
{
    nn_dataset d;
    int *values = NULL;
    memset(&d, 0, sizeof d);
    if (status == NN_OK) status = nn__check_pair(x, y);
    if (status == NN_OK && y) status = nn__resize(&values, y->shape[0], 1, sizeof *values);
    if (status == NN_OK && y) status = nn__numeric_labels(y, values);
    if (status == NN_OK) status = nn__numeric_samples(x, &d);
    if (status == NN_OK && y) status = nn__set_labels(&d, files[1].path, values, classes);
    NN_FREE(values);
    nn__file_free(&files[0]);
    nn__file_free(&files[1]);
    return nn__hand_over(&d, status, out);
}

static nn_status nn__idx_pair(nn_status status, nn__file files[2], int classes, nn_dataset *out)
{
    nn__numeric x, y;
    if (status == NN_OK) status = nn__idx_parse(&files[0], &x);
    if (status == NN_OK) status = nn__idx_parse(&files[1], &y);
    return nn__numeric_pair(status, files, &x, &y, classes, out);
}

NN_DEF nn_status nn_load_idx(const char *images, const char *labels, int classes, nn_dataset *out)
{
    nn__file files[2];
    nn_status status = NN_OK;
    memset(files, 0, sizeof files);
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_idx: out is NULL");
    if (classes < 0)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_idx: classes is %d, expected 0 or more",
                          classes);
    if (status == NN_OK) status = nn__file_read(images, &files[0]);
    if (status == NN_OK) status = nn__file_read(labels, &files[1]);
    return nn__idx_pair(status, files, classes, out);
}

/* -- folders of data sets -- */

/* Makes the set for training, or the one for testing, from the files of a folder. */
typedef nn_status (*nn__part_loader)(const char *folder, const void *kind, int test,
                                     nn_dataset *out);

/* What was asked for is there at the end, or all of it holds the failure. */
static nn_status nn__load_parts(const char *call, const char *folder, nn__part_loader load,
                                const void *kind, nn_dataset *train, nn_dataset *test)
{
    nn_status status = NN_OK;
    if (train) memset(train, 0, sizeof *train);
    if (test) memset(test, 0, sizeof *test);
    if (!folder) status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the folder is NULL", call);
    else if (train && train == test)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: train and test are the same struct", call);
    if (status == NN_OK && train) status = load(folder, kind, 0, train);
    if (status == NN_OK && test) status = load(folder, kind, 1, test);
    if (status == NN_OK) return NN_OK;
    nn_dataset_free(train);
    nn_dataset_free(test);
    return nn__both_failed(NULL, status, train, test);
}

/* Reads the first of the names that an IDX file goes by: a-idx3-ubyte, a.idx3-ubyte, each with .gz.
   What cannot be read, such as a folder of that name, is passed over. When there is none the first
   name is tried again for its error. The path is for the caller to free. */
static nn_status nn__find_idx(const char *folder, const char *stem, int rank, nn__file *file,
                              char **path)
{
    char name[64];
    nn_status status = NN_ERROR_CANNOT_OPEN;
    for (int i = 0; i < 5; i++) {
        if (status != NN_ERROR_CANNOT_OPEN && status != NN_ERROR_CANNOT_READ) break;
        NN_FREE(*path);
        snprintf(name, sizeof name, "%s%cidx%d-ubyte%s", stem, i % 2 ? '.' : '-', rank,
                 i / 2 == 1 ? ".gz" : "");
        *path = nn__path(folder, name);
        status = *path ? nn__file_read(*path, file) : NN_ERROR_OUT_OF_MEMORY;
    }
    return status;
}

static nn_status nn__load_mnist_part(const char *folder, const void *kind, int test,
                                     nn_dataset *out)
{
    nn__file files[2];
    char *paths[2] = {NULL, NULL};
    (void)kind;
    memset(files, 0, sizeof files);
    nn_status status =
        nn__find_idx(folder, test ? "t10k-images" : "train-images", 3, &files[0], &paths[0]);
    if (status == NN_OK)
        status =
            nn__find_idx(folder, test ? "t10k-labels" : "train-labels", 1, &files[1], &paths[1]);
    status = nn__idx_pair(status, files, 10, out);
    NN_FREE(paths[0]);
    NN_FREE(paths[1]);
    return status;
}

/* EMNIST's letters have 26 classes and other folders other counts: those load as pairs. */
NN_DEF nn_status nn_load_mnist(const char *folder, nn_dataset *train, nn_dataset *test)
{
    return nn__load_parts("nn_load_mnist", folder, nn__load_mnist_part, NULL, train, test);
}

/* CIFAR records: label bytes, then 3 x 32 x 32 pixels. The pixels of all files are moved together,
   the labels aside. */
enum { NN__CIFAR_PIXELS = 3072 };

typedef struct nn__cifar {
    size_t label_bytes, label_at; /* in a record: how many, and which one counts */
    int classes;
    size_t train_files;
    const char *files[6]; /* the one for testing stands behind those for training */
} nn__cifar;

static nn_status nn__add_cifar_file(const char *path, const nn__cifar *kind, nn_dataset *d)
{
    nn__file file;
    const size_t record = kind->label_bytes + NN__CIFAR_PIXELS;
    nn_status status = nn__file_read(path, &file);
    if (status != NN_OK) return status;
    const size_t more = file.size / record, count = d->count + more;
    if (file.size % record != 0)
        status = nn__fail(NN_ERROR_TRUNCATED, "%s: %llu bytes, expected a multiple of %llu", path,
                          (nn__ull)file.size, (nn__ull)record);
    if (status == NN_OK)
        status = nn__resize(&d->owned[NN__OWNS_SAMPLES], count, NN__CIFAR_PIXELS, 1);
    if (status == NN_OK)
        status = nn__resize(&d->owned[NN__OWNS_LABELS], count, 1, sizeof *d->labels);
    uint8_t *samples = (uint8_t *)d->owned[NN__OWNS_SAMPLES];
    d->samples = samples, d->labels = (int *)d->owned[NN__OWNS_LABELS];
    for (size_t i = 0; status == NN_OK && i < more; i++, d->count++) {
        const unsigned char *from = file.bytes + i * record;
        const int label = from[kind->label_at];
        if (label >= kind->classes)
            status = nn__fail(NN_ERROR_BAD_LABEL, "%s: label %d at index %llu, expected 0 to %d",
                              path, label, (nn__ull)i, kind->classes - 1);
        d->labels[d->count] = label;
        memcpy(samples + d->count * NN__CIFAR_PIXELS, from + kind->label_bytes, NN__CIFAR_PIXELS);
    }
    nn__file_free(&file);
    return status;
}

static nn_status nn__load_cifar_part(const char *folder, const void *kind, int test,
                                     nn_dataset *out)
{
    const nn__cifar *cifar = (const nn__cifar *)kind;
    const size_t first = test ? cifar->train_files : 0;
    nn_dataset d;
    nn_status status = NN_OK;
    memset(&d, 0, sizeof d);
    for (size_t i = first; status == NN_OK && i < cifar->train_files + (test != 0); i++) {
        char *path = nn__path(folder, cifar->files[i]);
        status = path ? nn__add_cifar_file(path, cifar, &d) : NN_ERROR_OUT_OF_MEMORY;
        NN_FREE(path);
    }
    d.dtype = NN_DTYPE_U8, d.features = NN__CIFAR_PIXELS, d.classes = cifar->classes;
    d.rank = 3, d.shape[0] = 3, d.shape[1] = d.shape[2] = 32, d.channels_first = 1;
    if (status == NN_OK) status = nn__set_norm(&d, 1 / 255.0, 0);
    return nn__hand_over(&d, status, out);
}

NN_DEF nn_status nn_load_cifar10(const char *folder, nn_dataset *train, nn_dataset *test)
{
    static const nn__cifar kind = {1, 0, 10, 5,
                                   {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                    "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}};
    return nn__load_parts("nn_load_cifar10", folder, nn__load_cifar_part, &kind, train, test);
}

NN_DEF nn_status nn_load_cifar100(const char *folder, int coarse, nn_dataset *train,
                                  nn_dataset *test)
{
    static const nn__cifar fine = {2, 1, 100, 1, {"train.bin", "test.bin", 0, 0, 0, 0}};
    static const nn__cifar broad = {2, 0, 20, 1, {"train.bin", "test.bin", 0, 0, 0, 0}};
    return nn__load_parts("nn_load_cifar100", folder, nn__load_cifar_part, coarse ? &broad : &fine,
                          train, test);
}
#endif

/* -------------------------------------------------------------------------------------- >>text
   What a file says in letters: numbers, independent of the locale, and distinct texts, which are
   numbered and then put in order. */

typedef struct nn__span {
    const char *begin, *end;
} nn__span;

static size_t nn__span_size(nn__span s) { return (size_t)(s.end - s.begin); }

static nn__span nn__span_of(const char *text)
{
    nn__span s = {text, text + strlen(text)};
    return s;
}

/* strtod wants the locale's decimal point, so it gets a copy with that in place of '.'. */
static int nn__parse_slowly(nn__span text, double *value)
{
    char copy[1200], *end;
    const char *point = localeconv()->decimal_point;
    size_t n = 0, width = strlen(point);
    if (nn__span_size(text) + width >= sizeof copy) return 0;
    for (const char *c = text.begin; c < text.end; c++) {
        if (*c != '.') copy[n++] = *c;
        else memcpy(copy + n, point, width), n += width;
    }
    copy[n] = 0;
    *value = strtod(copy, &end);
    return end == copy + n && nn__is_finite(*value);
}

/* Takes digits off the text: *number = 10^count *number + they, which wraps beyond 19 of them. */
static size_t nn__parse_digits(const char **at, const char *end, uint64_t *number)
{
    const char *start = *at, *c = start;
    uint64_t n = *number;
    for (; c < end && *c >= '0' && *c <= '9'; c++) n = 10 * n + (uint64_t)(*c - '0');
    *at = c, *number = n;
    return (size_t)(c - start);
}

/* m 10^power for |power| <= 22, rounded once: in two doubles, whose sum is right to 100 bits. 0
   when that lies so near the middle between two doubles that it cannot tell. */
static int nn__scale_by_ten(uint64_t m, int power, double *value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double ten = powers[power < 0 ? -power : power];
    *value = power < 0 ? (double)m / ten : (double)m * ten;
    if (m >> 53 == 0) return 1; /* both factors are exact (Clinger, PLDI 1990) */
    double high = (double)(m & ~UINT64_C(2047)), low = (double)(m & 2047);
    double first = power < 0 ? high / ten : high * ten;
    double second = power < 0 ? (fma(-first, ten, high) + low) / ten
                              : fma(high, ten, -first) + low * ten;
    *value = first + second;
    double rest = second - (*value - first);
    return *value + rest * (1 + 1.0 / 1099511627776.0) == *value;
}

/* A decimal number that fills the text. */
static int nn__parse_double(nn__span text, double *value)
{
    const char *c = text.begin, *end = text.end;
    uint64_t digits = 0, exponent = 0;
    int power = 0, minus = c < end && *c == '-';
    if (c < end && (*c == '-' || *c == '+')) c++;
    const char *first = c;
    size_t count = nn__parse_digits(&c, end, &digits);
    if (c < end && *c == '.') {
        c++;
        size_t decimals = nn__parse_digits(&c, end, &digits);
        power = -(int)nn__min_size(decimals, 1000);
        count += decimals;
    }
    if (count == 0) return 0;
    if (c < end && (*c == 'e' || *c == 'E')) {
        int down = ++c < end && *c == '-';
        if (c < end && (*c == '-' || *c == '+')) c++;
        size_t length = nn__parse_digits(&c, end, &exponent);
        if (length == 0) return 0;
        if (length > 4) exponent = 9999;
        power += down ? -(int)exponent : (int)exponent;
    }
    if (c != end) return 0;
    for (c = first; count > 19 && (*c == '0' || *c == '.'); c++) count -= *c == '0';
    if (count > 19 || power < -22 || power > 22 || !nn__scale_by_ten(digits, power, value))
        return nn__parse_slowly(text, value);
    if (minus) *value = -*value;
    return nn__is_finite(*value);
}

/* One that nn_real can hold. */
static int nn__parse_number(nn__span text, double *value)
{
    return nn__parse_double(text, value) && nn__is_real(*value);
}

/* The shortest decimal that reads back as x, with a decimal point whatever the locale; for a float
   one that reads back as that float. "" for NaN. */
static const char *nn__shortest(double x, int is_float, char text[64])
{
    const char *point = localeconv()->decimal_point;
    const size_t width = strlen(point);
    const int is_whole = fabs(x) < 1e15 && x == floor(x), is_tiny = fabs(x) < 1e-30;
    double back = 0;
    text[0] = 0;
    /* %g leaves trailing zeros out: 6 digits say 0.5 as well; 15 are for 10 and not 1e+01 */
    for (int digits = is_whole ? 15 : is_tiny ? 1 : 6; x == x && digits <= 17; digits++) {
        snprintf(text, 64, "%.*g", digits, x);
        char *found = width ? strstr(text, point) : NULL;
        if (found) {
            *found = '.';
            memmove(found + 1, found + width, strlen(found + width) + 1);
        }
        if (!nn__parse_number(nn__span_of(text), &back)) continue;
        if (is_float ? (float)back == (float)x : back == x) break;
    }
    return text;
}

#ifndef NN_NO_STDIO
/* -- distinct texts, numbered in order of appearance: a hash table over their concatenation -- */

static int nn__same_text(nn__span a, nn__span b)
{
    size_t size = nn__span_size(a);
    return size == nn__span_size(b) && (size == 0 || !memcmp(a.begin, b.begin, size));
}

/* The same text for 1, 1.0, +1 and 01. */
static nn__span nn__number_name(double x, char text[64])
{
    return nn__span_of(nn__shortest(x == 0 ? 0 : x, 0, text));
}

typedef struct nn__words {
    char *text;            /* each ends with a zero byte */
    size_t size, capacity; /* of text */
    size_t *starts, count, start_capacity;
    size_t *slots, slot_count; /* a power of two; number + 1, or 0 */
} nn__words;

static void nn__words_free(nn__words *w)
{
    NN_FREE(w->text);
    NN_FREE(w->starts);
    NN_FREE(w->slots);
    memset(w, 0, sizeof *w);
}

static nn__span nn__word(const nn__words *w, size_t i)
{
    const size_t end = i + 1 < w->count ? w->starts[i + 1] : w->size;
    nn__span s = {w->text + w->starts[i], w->text + end - 1};
    return s;
}

/* The slot that holds the text, or the empty one where it belongs (FNV-1a, linear probing). */
static size_t nn__words_slot(const nn__words *w, nn__span s)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *c = s.begin; c < s.end; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    size_t slot = (size_t)(hash ^ hash >> 32) & (w->slot_count - 1);
    while (w->slots[slot]) {
        if (nn__same_text(nn__word(w, w->slots[slot] - 1), s)) break;
        slot = (slot + 1) & (w->slot_count - 1);
    }
    return slot;
}

/* One more text, whether it is there or not. */
static nn_status nn__words_append(nn__words *w, nn__span s)
{
    const size_t size = nn__span_size(s);
    nn_status status = nn__grow(&w->starts, w->count, &w->start_capacity, sizeof *w->starts);
    while (status == NN_OK && w->capacity - w->size <= size)
        status = nn__grow(&w->text, w->capacity, &w->capacity, 1);
    if (status != NN_OK) return status;
    if (size) memcpy(w->text + w->size, s.begin, size);
    w->starts[w->count++] = w->size;
    w->size += size + 1;
    w->text[w->size - 1] = 0;
    return NN_OK;
}

/* At least half of the slots are empty. */
static nn_status nn__words_rehash(nn__words *w)
{
    if (w->slot_count > 2 * w->count) return NN_OK;
    const size_t wider = w->slot_count ? 2 * w->slot_count : 64;
    size_t *slots = (size_t *)nn__allocate_zeros(wider, sizeof *slots);
    if (!slots) return NN_ERROR_OUT_OF_MEMORY;
    NN_FREE(w->slots);
    w->slots = slots, w->slot_count = wider;
    for (size_t i = 0; i < w->count; i++) slots[nn__words_slot(w, nn__word(w, i))] = i + 1;
    return NN_OK;
}

/* *number is the text's number; a text that is new is added. */
static nn_status nn__words_add(nn__words *w, nn__span s, size_t *number)
{
    nn_status status = nn__words_rehash(w);
    if (status != NN_OK) return status;
    size_t *slot = &w->slots[nn__words_slot(w, s)];
    if (*slot == 0) {
        status = nn__words_append(w, s);
        if (status == NN_OK) *slot = w->count;
    }
    *number = *slot - 1;
    return status;
}

/* *list gets the texts, list and strings in one block, unless there are none. Frees the table. */
static nn_status nn__words_list(nn__words *w, nn_status status, char ***list)
{
    size_t bytes;
    if (status == NN_OK && w->count) {
        const int fits = nn__multiply(w->count, sizeof **list, &bytes) &&
                         nn__add_sizes(bytes, w->size, &bytes);
        *list = (char **)nn__allocate(fits ? bytes : SIZE_MAX, 1);
        if (!*list) status = NN_ERROR_OUT_OF_MEMORY;
    }
    for (size_t i = 0; status == NN_OK && i < w->count; i++)
        (*list)[i] = (char *)(*list + w->count) + w->starts[i];
    if (status == NN_OK && w->count) memcpy(**list, w->text, w->size);
    nn__words_free(w);
    return status;
}

typedef struct nn__ranked {
    double value;
    size_t number;
} nn__ranked;

static int nn__compare_ranked(const void *a, const void *b)
{
    const nn__ranked *x = (const nn__ranked *)a, *y = (const nn__ranked *)b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Whether all texts are numbers; ranked[count] holds them then, in order. */
static int nn__words_rank(const nn__words *w, nn__ranked *ranked)
{
    for (size_t i = 0; i < w->count; i++) {
        ranked[i].number = i;
        if (!nn__parse_number(nn__word(w, i), &ranked[i].value)) return 0;
    }
    qsort(ranked, w->count, sizeof *ranked, nn__compare_ranked);
    return 1;
}

/* What texts mean: text i is category map[i], and names gets the categories' names. Numbers are
   categories in numeric order, however they are written; texts keep their order. With `indices`,
   integers >= 0 mean themselves and have no names. */
static nn_status nn__words_sort(const nn__words *w, int indices, size_t *map, nn__words *names)
{
    nn_status status = NN_OK;
    char text[64];
    nn__ranked *ranked = (nn__ranked *)nn__allocate(w->count, sizeof *ranked);
    if (!ranked) return NN_ERROR_OUT_OF_MEMORY;
    const int numbers = nn__words_rank(w, ranked);
    indices = indices && numbers && w->count && ranked[0].value >= 0;
    for (size_t i = 0; indices && i < w->count; i++)
        indices = ranked[i].value == floor(ranked[i].value);
    for (size_t i = 0; status == NN_OK && i < w->count; i++) {
        const size_t number = numbers ? ranked[i].number : i;
        const nn__span name = numbers ? nn__number_name(ranked[i].value, text) : nn__word(w, i);
        if (indices) map[number] = (size_t)(ranked[i].value < INT_MAX ? ranked[i].value : INT_MAX);
        else status = nn__words_add(names, name, &map[number]);
    }
    NN_FREE(ranked);
    return status;
}

/* The same where another file has said what texts mean, by names or as indices below count.
   NN_ERROR_MISMATCH when text *unknown is not among them. */
static nn_status nn__words_match(const nn__words *w, char **list, size_t count, size_t *map,
                                 nn__words *names, size_t *unknown)
{
    nn_status status = NN_OK;
    int numbers = 1;
    double value;
    char text[64];
    for (size_t i = 0, number; list && status == NN_OK && i < count; i++) {
        numbers = numbers && nn__parse_number(nn__span_of(list[i]), &value);
        status = nn__words_add(names, nn__span_of(list[i]), &number);
    }
    for (size_t i = 0; status == NN_OK && i < w->count; i++) {
        nn__span name = nn__word(w, i);
        const int number = numbers && nn__parse_number(name, &value);
        if (list && number) name = nn__number_name(value, text);
        if (list) map[i] = names->slots[nn__words_slot(names, name)] - 1;
        else map[i] = number && value >= 0 && value < (double)count && value == floor(value)
                          ? (size_t)value
                          : SIZE_MAX;
        if (map[i] == SIZE_MAX) *unknown = i, status = NN_ERROR_MISMATCH;
    }
    return status;
}
#endif

/* ------------------------------------------------------------------------------------ >>records
   RFC 4180, read as a stream through a small buffer, so that what grows is the data set alone. A
   record is cut into cells; one that does not end in the buffer is looked at again when more of
   the file is there. */
#ifndef NN_NO_STDIO

typedef struct nn__cell {
    nn__span text;
    int quotes; /* 1 in quotes, 2 with doubled quotes inside */
} nn__cell;

/* What a byte is to the reader; NN__BYTE_TEXT is all the rest. */
enum { NN__BYTE_TEXT, NN__BYTE_DELIMITER, NN__BYTE_LINE_END, NN__BYTE_ZERO };

typedef enum nn__scan { /* what came of looking for a cell or a record in the buffer */
    NN__SCAN_CELL, NN__SCAN_RECORD, NN__SCAN_SHORT, NN__SCAN_END, NN__SCAN_FAILED
} nn__scan;

typedef struct nn__record {
    nn__cell *cells;
    size_t count, capacity, line; /* lines are counted from 1; 0: none in particular */
    nn__span text;
} nn__record;

typedef struct nn__csv {
    nn_csv_desc desc;
    nn__stream stream;
    size_t hint;                   /* the file's size, or 0 */
    char *buffer;                  /* a line end stands behind its last byte */
    size_t begin, limit, capacity; /* not yet read: buffer[begin..limit) */
    int at_end;                    /* nothing comes after the limit */
    unsigned char kinds[256];
    nn__record record;             /* the present one */
    size_t next_line;
    nn_status status;              /* of a scan that failed */
    /* what the columns are for */
    size_t width, target_size, label_size, label_column;
    struct nn__columns *columns;
    nn__words *words;              /* the texts of every column */
    /* what has been read */
    nn_real *x, *targets;
    int *labels;
    size_t rows, row_capacity, skipped;
} nn__csv;

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 4, 5)))
#endif
/* "path: line 3, column 6 (age): ..."; column SIZE_MAX is none in particular. */
static nn_status nn__csv_fail(const nn__csv *csv, nn_status status, size_t column,
                              const char *format, ...)
{
    const struct nn__columns *c = csv->columns;
    const char *name = c && c->names && column < c->count ? c->names[column] : NULL;
    char line[32] = "", place[128] = "", text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (csv->record.line) snprintf(line, sizeof line, ": line %llu", (nn__ull)csv->record.line);
    if (column != SIZE_MAX)
        snprintf(place, sizeof place, "%s column %llu%s%.60s%s", *line ? "," : ":",
                 (nn__ull)column + 1, name ? " (" : "", name ? name : "", name ? ")" : "");
    return nn__fail(status, "%.120s%s%s: %s", csv->stream.path, line, place, text);
}

static int nn__csv_is_blank(const nn__csv *csv, char c)
{
    return (c == ' ' || c == '\t') && csv->kinds[(unsigned char)c] == NN__BYTE_TEXT;
}

static nn__scan nn__csv_stop(nn__csv *csv, nn_status status)
{
    csv->status = status;
    return NN__SCAN_FAILED;
}

/* Moves the rest of the buffer to its front and fills it up. */
static nn_status nn__csv_refill(nn__csv *csv)
{
    const size_t kept = csv->limit - csv->begin;
    size_t got;
    if (kept) memmove(csv->buffer, csv->buffer + csv->begin, kept);
    csv->begin = 0, csv->limit = kept;
    nn_status status = nn__grow(&csv->buffer, kept + 1, &csv->capacity, 1);
    if (status != NN_OK) return status;
    const size_t room = csv->capacity - 1 - kept;
    status = nn__stream_read(&csv->stream, csv->buffer + kept, room, &got);
    csv->limit += got;
    csv->buffer[csv->limit] = '\n';
    csv->at_end = got < room;
    return status;
}

/* Past the end of a line: LF, CR LF, CR, or the end of the file. */
static nn__scan nn__csv_end_line(const nn__csv *csv, const char **at)
{
    const char *p = *at, *limit = csv->buffer + csv->limit;
    if (!csv->at_end && (p == limit || (*p == '\r' && p + 1 == limit))) return NN__SCAN_SHORT;
    if (p < limit) *at = p + (*p == '\r' && p + 1 < limit && p[1] == '\n' ? 2 : 1);
    return NN__SCAN_RECORD;
}

/* Behind a cell: on to the next one, or past the end of the record. */
static nn__scan nn__csv_after_cell(nn__csv *csv, const char **at)
{
    if (csv->desc.delimiter == ' ')
        while (csv->kinds[(unsigned char)**at] == NN__BYTE_DELIMITER) ++*at;
    if (csv->kinds[(unsigned char)**at] == NN__BYTE_LINE_END) return nn__csv_end_line(csv, at);
    if (**at == 0)
        return nn__csv_stop(csv, nn__csv_fail(csv, NN_ERROR_BAD_FORMAT, SIZE_MAX,
                                              "a zero byte, so it is not text (or UTF-16, which is "
                                              "not read: save it as UTF-8)"));
    if (csv->desc.delimiter != ' ') ++*at;
    return NN__SCAN_CELL;
}

/* Quotes may hold delimiters and line ends; a quote in them is doubled. */
static nn__scan nn__csv_quoted(nn__csv *csv, const char **at, nn__cell *cell)
{
    const char *limit = csv->buffer + csv->limit, *q = *at + 1;
    cell->text.begin = q;
    for (cell->quotes = 1;; cell->quotes = 2, q += 2) {
        q = (const char *)memchr(q, '"', (size_t)(limit - q));
        if ((!q || q + 1 == limit) && !csv->at_end) return NN__SCAN_SHORT;
        if (!q)
            return nn__csv_stop(csv, nn__csv_fail(csv, NN_ERROR_BAD_FORMAT, csv->record.count,
                                                  "the quote is not closed"));
        if (q + 1 == limit || q[1] != '"') break;
    }
    cell->text.end = q;
    for (*at = q + 1; nn__csv_is_blank(csv, **at);) ++*at;
    if (csv->kinds[(unsigned char)**at] != NN__BYTE_TEXT) return NN__SCAN_CELL;
    return nn__csv_stop(csv, nn__csv_fail(csv, NN_ERROR_BAD_FORMAT, csv->record.count,
                                          "'%c' stands behind the closing quote; a quote in quotes "
                                          "is doubled", **at));
}

static nn__scan nn__csv_scan_cell(nn__csv *csv, const char **at)
{
    nn__record *r = &csv->record;
    const char *p = *at;
    nn_status status = nn__grow(&r->cells, r->count, &r->capacity, sizeof *r->cells);
    if (status != NN_OK) return nn__csv_stop(csv, status);
    nn__cell *cell = &r->cells[r->count];
    while (nn__csv_is_blank(csv, *p)) p++;
    cell->text.begin = *at = p, cell->quotes = 0;
    if (*p == '"') {
        nn__scan scan = nn__csv_quoted(csv, at, cell);
        if (scan != NN__SCAN_CELL) return scan;
    } else {
        while (csv->kinds[(unsigned char)*p] == NN__BYTE_TEXT) p++;
        const char *end = *at = p;
        while (end > cell->text.begin && nn__csv_is_blank(csv, end[-1])) end--;
        cell->text.end = end;
    }
    r->count++;
    return nn__csv_after_cell(csv, at);
}

static size_t nn__csv_lines_inside(const nn__record *r)
{
    size_t lines = 0;
    for (size_t i = 0; i < r->count; i++) {
        nn__span s = r->cells[i].text;
        while (r->cells[i].quotes && s.begin < s.end) lines += *s.begin++ == '\n';
    }
    return lines;
}

/* The next record, which has no cells when the line is blank or skipped. */
static nn__scan nn__csv_scan(nn__csv *csv)
{
    const char *at = csv->buffer + csv->begin, *limit = csv->buffer + csv->limit;
    nn__record *r = &csv->record;
    nn__scan scan = NN__SCAN_CELL;
    r->count = 0, r->line = csv->next_line, r->text.begin = at;
    if (at == limit) return csv->at_end ? NN__SCAN_END : NN__SCAN_SHORT;
    const int skip = r->line <= csv->desc.skip_lines;
    while (!skip && (*at == ' ' || (*at == '\t' && csv->desc.delimiter != '\t'))) at++;
    if (at == limit && !csv->at_end) return NN__SCAN_SHORT;
    if (skip || (csv->desc.comment && at < limit && *at == csv->desc.comment)) {
        while (at < limit && *at != '\n' && *at != '\r') at++;
        scan = nn__csv_end_line(csv, &at);
    }
    while (scan == NN__SCAN_CELL) scan = nn__csv_scan_cell(csv, &at);
    if (scan != NN__SCAN_RECORD) return scan;
    r->text.end = at;
    csv->begin = (size_t)(at - csv->buffer);
    csv->next_line += 1 + nn__csv_lines_inside(r);
    if (r->count == 1 && nn__span_size(r->cells[0].text) == 0 && !r->cells[0].quotes) r->count = 0;
    return scan;
}

/* Doubled quotes become single ones, where they stand. */
static void nn__csv_unescape(const nn__csv *csv, nn__cell *cell)
{
    char *to = csv->buffer + (cell->text.begin - csv->buffer);
    for (const char *from = cell->text.begin; from < cell->text.end; from++) {
        *to++ = *from;
        if (*from == '"') from++;
    }
    cell->text.end = to;
}

/* The cells of the next record that is not blank; none after the last. */
static nn_status nn__csv_record(nn__csv *csv)
{
    for (;;) {
        const nn__scan scan = nn__csv_scan(csv);
        nn_status status = scan == NN__SCAN_FAILED ? csv->status : NN_OK;
        if (scan == NN__SCAN_SHORT) status = nn__csv_refill(csv);
        if (status != NN_OK || scan == NN__SCAN_END) return status;
        if (scan == NN__SCAN_SHORT || csv->record.count == 0) continue;
        for (size_t i = 0; i < csv->record.count; i++)
            if (csv->record.cells[i].quotes == 2) nn__csv_unescape(csv, &csv->record.cells[i]);
        return NN_OK;
    }
}

static nn_status nn__csv_open(nn__csv *csv)
{
    const unsigned char delimiter = (unsigned char)csv->desc.delimiter;
    csv->kinds[(unsigned char)'\n'] = csv->kinds[(unsigned char)'\r'] = NN__BYTE_LINE_END;
    csv->kinds[0] = NN__BYTE_ZERO;
    csv->kinds[delimiter] = NN__BYTE_DELIMITER;
    if (delimiter == ' ') csv->kinds[(unsigned char)'\t'] = NN__BYTE_DELIMITER;
    csv->next_line = 1;
    csv->capacity = 1 << 17;
    csv->buffer = (char *)nn__allocate(csv->capacity, 1);
    if (!csv->buffer) return NN_ERROR_OUT_OF_MEMORY;
    csv->hint = nn__stream_hint(&csv->stream);
    nn_status status = nn__csv_refill(csv);
    const unsigned char *bytes = (const unsigned char *)csv->buffer;
    if (status == NN_OK) status = nn__check_content(csv->stream.path, bytes, csv->limit);
    if (status != NN_OK) return status;
    if (csv->limit >= 2 && (bytes[0] ^ bytes[1]) == 1 && bytes[0] >= 0xFE)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: UTF-16, which is not read: save it as UTF-8",
                        csv->stream.path);
    if (csv->limit >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) csv->begin = 3;
    return NN_OK;
}
#endif

/* ------------------------------------------------------------------------------------ >>columns
   Lists of names and numbers give every column a role, and each cell is stored by the role of its
   column: a number as it is, a text as its number among the distinct texts of the column, a gap as
   NaN. */
#ifndef NN_NO_STDIO

/* Another delimiter that the line seems to have: a surer one, or any where it is one cell. */
static const char *nn__csv_separator(const nn__csv *csv)
{
    static const char *const names[] = {";';'", "\ttabs", "|'|'", ",','", " blanks"};
    const nn__record *r = &csv->record;
    size_t length = nn__span_size(r->text);
    while (length && strchr(" \t\r\n", r->text.begin[length - 1])) length--;
    for (size_t i = 0; i < (r->count == 1 ? 5 : 3); i++)
        if (*names[i] != csv->desc.delimiter && memchr(r->text.begin, *names[i], length) &&
            (*names[i] != '\t' || csv->desc.delimiter != ' '))
            return names[i] + 1;
    return NULL;
}

/* What was expected where a text is no number, or what the line may be. */
static const char *nn__csv_hint(const nn__csv *csv, nn__span cell, char text[80])
{
    size_t n = nn__span_size(cell);
    const char *separator = nn__csv_separator(csv);
    snprintf(text, 80, "; the line looks separated by %s", separator ? separator : "");
    if (separator) return text;
    if (n == 0) return "; what gaps become: nn_csv_desc.fill";
    if (memchr(cell.begin, ',', n)) return "; decimal commas and separated thousands are not read";
    if (*cell.begin == '\'') return "; only \" is a quote";
    if (*cell.begin == '$' || (*cell.begin & 0x80)) return "; currencies and signs are not read";
    if (cell.end[-1] == '%') return "; a percent sign is not read";
    return "; a line of names: header, a mark of gaps: missing, categories: one_hot, codes";
}

/* The text of a cell in messages, with "%.*s". */
#define NN__SHOW(span) (int)nn__min_size(nn__span_size(span), 40), (span).begin

static nn_status nn__csv_bad_cell(const nn__csv *csv, size_t column, const char *expected)
{
    char hint[80];
    const nn__span cell = csv->record.cells[column].text;
    return nn__csv_fail(csv, NN_ERROR_BAD_NUMBER, column, "'%.*s' is not %s%s", NN__SHOW(cell),
                        expected, nn__csv_hint(csv, cell, hint));
}

/* Takes the next item off a list: up to a comma, or in quotes. */
static nn__span nn__csv_item(const char **list)
{
    nn__span item;
    const char *p = *list;
    while (*p == ' ') p++;
    char stop = ',';
    if (*p == '"') stop = *p++;
    for (item.begin = p; *p && *p != stop;) p++;
    for (item.end = p; stop == ',' && item.end > item.begin && item.end[-1] == ' ';) item.end--;
    while (*p && *p != ',') p++;
    *list = *p ? p + 1 : p;
    return item;
}

/* The column of this name, or of this number from 1, or from the end; SIZE_MAX: none. */
static size_t nn__csv_find(const nn__csv *csv, nn__span item)
{
    const struct nn__columns *c = csv->columns;
    double number, count = (double)c->count;
    for (size_t i = 0; c->names && i < c->count; i++)
        if (nn__same_text(nn__span_of(c->names[i]), item)) return i;
    if (!nn__parse_number(item, &number) || number != floor(number)) return SIZE_MAX;
    if (number >= 1 && number <= count) return (size_t)number - 1;
    return number <= -1 && number >= -count ? (size_t)(count + number) : SIZE_MAX;
}

/* One item of a list, a column or first..last. */
static int nn__csv_range(const nn__csv *csv, nn__span item, size_t *first, size_t *last)
{
    *first = *last = nn__csv_find(csv, item);
    for (const char *p = item.begin; *first == SIZE_MAX && p + 1 < item.end; p++) {
        const nn__span from = {item.begin, p}, to = {p + 2, item.end};
        if (p[0] != '.' || p[1] != '.') continue;
        *first = nn__csv_find(csv, from), *last = nn__csv_find(csv, to);
    }
    return *first <= *last && *last != SIZE_MAX;
}

/* For errors of a file that came out as one column. */
static const char *nn__csv_one_column(const nn__csv *csv, char text[80])
{
    nn__span none = {"", ""};
    return csv->record.count == 1 && nn__csv_separator(csv) ? nn__csv_hint(csv, none, text) : "";
}

static nn_status nn__csv_assign(nn__csv *csv, const char *member, const char *list, nn__role role)
{
    size_t c, last;
    char hint[80];
    while (list && *list) {
        const nn__span item = nn__csv_item(&list);
        if (!nn__csv_range(csv, item, &c, &last))
            return nn__csv_fail(csv, NN_ERROR_BAD_ARGUMENT, SIZE_MAX,
                                "%s is '%.*s', but there is no such column among %llu%s%s", member,
                                NN__SHOW(item), (nn__ull)csv->columns->count,
                                csv->columns->names ? "" : " and no line of names was found",
                                nn__csv_one_column(csv, hint));
        for (; c <= last; c++) {
            nn__role *now = &csv->columns->columns[c].role;
            if (role == NN__ROLE_FEATURE && (*now == NN__ROLE_ONE_HOT || *now == NN__ROLE_CODE))
                continue;
            if (*now != NN__ROLE_NONE)
                return nn__csv_fail(csv, NN_ERROR_BAD_ARGUMENT, SIZE_MAX,
                                    "%s has column %llu, which is named twice", member,
                                    (nn__ull)c + 1);
            *now = role;
        }
    }
    return NN_OK;
}

/* The lists of the desc; features are last, because categories may be among them. */
enum { NN__CSV_LISTS = 6 };

static const char *nn__csv_list(const nn_csv_desc *d, size_t i)
{
    const char *lists[] = {d->labels, d->targets, d->ignore, d->one_hot, d->codes, d->features};
    return lists[i];
}

/* Every column gets its role; the counts follow. */
static nn_status nn__csv_roles(nn__csv *csv)
{
    static const char *const members[] = {"labels",  "targets", "ignore",
                                          "one_hot", "codes",   "features"};
    static const nn__role roles[] = {NN__ROLE_LABEL,   NN__ROLE_TARGET, NN__ROLE_IGNORED,
                                     NN__ROLE_ONE_HOT, NN__ROLE_CODE,   NN__ROLE_FEATURE};
    const nn__role others = csv->desc.features ? NN__ROLE_IGNORED : NN__ROLE_FEATURE;
    char hint[80];
    for (size_t i = 0; i < NN__CSV_LISTS; i++) {
        nn_status status = nn__csv_assign(csv, members[i], nn__csv_list(&csv->desc, i), roles[i]);
        if (status != NN_OK) return status;
    }
    for (size_t c = 0; c < csv->columns->count; c++) {
        nn__column *column = &csv->columns->columns[c];
        if (column->role == NN__ROLE_NONE) column->role = others;
        if (column->role == NN__ROLE_LABEL && csv->label_size++ == 0) csv->label_column = c;
        csv->target_size += column->role == NN__ROLE_TARGET;
        csv->width += (size_t)nn__is_feature(column);
    }
    if (csv->width > 0) return NN_OK;
    return nn__csv_fail(csv, NN_ERROR_EMPTY, SIZE_MAX,
                        "there is no column of features among %llu%s",
                        (nn__ull)csv->columns->count, nn__csv_one_column(csv, hint));
}

/* -- rows -- */

static nn_status nn__csv_set_rows(nn__csv *csv, size_t rows)
{
    nn_status status = nn__resize(&csv->x, rows, csv->width, sizeof *csv->x);
    if (status == NN_OK)
        status = nn__resize(&csv->targets, rows, csv->target_size, sizeof *csv->targets);
    if (status == NN_OK)
        status = nn__resize(&csv->labels, rows, csv->label_size ? 1 : 0, sizeof *csv->labels);
    if (status == NN_OK) csv->row_capacity = rows;
    return status;
}

/* Room for one more row. How many will come is judged by what part of the file they took, so that
   hardly more memory is asked for than the data needs; without its size the arrays grow by an
   eighth. */
static nn_status nn__csv_room(nn__csv *csv)
{
    size_t rows = csv->rows, more = rows / 8 + 64;
    double read = (double)(csv->stream.total - (csv->limit - csv->begin));
    if (rows < csv->row_capacity) return NN_OK;
    if (csv->hint && rows > 0 && (double)csv->hint > read)
        more = (size_t)((double)rows * ((double)csv->hint / read - 1) * 1.01) + 16;
    return nn__csv_set_rows(csv, rows + more);
}

static int nn__csv_is_gap(const nn__csv *csv, nn__span cell)
{
    const char *marks = csv->desc.missing;
    if (cell.begin == cell.end) return 1;
    while (marks && *marks)
        if (nn__same_text(nn__csv_item(&marks), cell)) return 1;
    return 0;
}

static nn_status nn__csv_number(const nn__csv *csv, size_t column, nn_real *to)
{
    double value;
    if (!nn__parse_number(csv->record.cells[column].text, &value))
        return nn__csv_bad_cell(csv, column, "a finite number");
    *to = (nn_real)value;
    return NN_OK;
}

/* A feature: a number, the number of a text, or NaN for a gap that is to be filled. */
static nn_status nn__csv_feature(const nn__csv *csv, size_t column, nn_real *to)
{
    const nn__span cell = csv->record.cells[column].text;
    const int is_number = csv->columns->columns[column].role == NN__ROLE_FEATURE;
    size_t number;
    if ((cell.begin == cell.end || csv->desc.missing) && nn__csv_is_gap(csv, cell)) {
        *to = (nn_real)NAN;
        if (csv->desc.fill >= NN_MISSING_MEAN) return NN_OK;
        return nn__csv_bad_cell(csv, column, is_number ? "a finite number" : "a category");
    }
    if (is_number) return nn__csv_number(csv, column, to);
    nn_status status = nn__words_add(&csv->words[column], cell, &number);
    if (status == NN_OK && number >> 24)
        status = nn__csv_fail(csv, NN_ERROR_TOO_LARGE, column, "more than 2^24 categories");
    *to = (nn_real)number;
    return status;
}

/* The number of the label's text, or which of several columns has the 1. */
static nn_status nn__csv_label(const nn__csv *csv, size_t column, size_t place, int *label)
{
    const nn__span cell = csv->record.cells[column].text;
    double value = 0;
    size_t number = place;
    if (nn__csv_is_gap(csv, cell))
        return nn__csv_fail(csv, NN_ERROR_BAD_LABEL, column, "the label is missing");
    if (csv->label_size == 1) {
        nn_status status = nn__words_add(&csv->words[column], cell, &number);
        if (status == NN_OK && number >= INT_MAX)
            status = nn__csv_fail(csv, NN_ERROR_TOO_LARGE, column, "too many labels");
        *label = (int)nn__min_size(number, INT_MAX);
        return status;
    }
    if (!nn__parse_number(cell, &value) || (value != 0 && value != 1) ||
        (value == 1 && *label >= 0))
        return nn__csv_fail(csv, NN_ERROR_BAD_LABEL, column,
                            "'%.*s' in a one-hot label, expected one 1 and zeros", NN__SHOW(cell));
    if (value == 1) *label = (int)place;
    return NN_OK;
}

static int nn__csv_has_gap(const nn__csv *csv)
{
    for (size_t c = 0; c < csv->columns->count; c++)
        if (csv->columns->columns[c].role != NN__ROLE_IGNORED &&
            nn__csv_is_gap(csv, csv->record.cells[c].text))
            return 1;
    return 0;
}

static nn_status nn__csv_row(nn__csv *csv)
{
    char hint[80];
    if (csv->record.count != csv->columns->count)
        return nn__csv_fail(csv, NN_ERROR_BAD_FORMAT, SIZE_MAX, "%llu columns, expected %llu%s",
                            (nn__ull)csv->record.count, (nn__ull)csv->columns->count,
                            nn__csv_one_column(csv, hint));
    if (csv->desc.fill == NN_MISSING_SKIP && nn__csv_has_gap(csv)) return csv->skipped++, NN_OK;
    nn_status status = nn__csv_room(csv);
    if (status != NN_OK) return status;
    nn_real *x = csv->x + csv->rows * csv->width, *t = csv->targets + csv->rows * csv->target_size;
    size_t place = 0;
    int label = -1;
    for (size_t c = 0; status == NN_OK && c < csv->columns->count; c++) {
        const nn__role role = csv->columns->columns[c].role;
        if (role == NN__ROLE_TARGET) status = nn__csv_number(csv, c, t++);
        else if (role == NN__ROLE_LABEL) status = nn__csv_label(csv, c, place++, &label);
        else if (role != NN__ROLE_IGNORED) status = nn__csv_feature(csv, c, x++);
    }
    if (status == NN_OK && csv->label_size && label < 0)
        status = nn__csv_fail(csv, NN_ERROR_BAD_LABEL, SIZE_MAX, "no 1 in a one-hot label");
    if (status == NN_OK && csv->label_size) csv->labels[csv->rows] = label;
    csv->rows += status == NN_OK;
    return status;
}

/* -- the first line: names or data -- */

/* A copy of the present record that outlives the buffer. */
static nn_status nn__csv_save(const nn__csv *csv, nn__record *copy)
{
    const nn__record *r = &csv->record;
    const size_t size = nn__span_size(r->text);
    char *text = (char *)nn__allocate(size, 1);
    *copy = *r;
    copy->capacity = r->count;
    copy->text.begin = text, copy->text.end = text + size;
    copy->cells = (nn__cell *)nn__allocate(r->count, sizeof *r->cells);
    if (!text || !copy->cells) return NN_ERROR_OUT_OF_MEMORY;
    memcpy(text, r->text.begin, size);
    for (size_t i = 0; i < r->count; i++) {
        copy->cells[i].text.begin = text + (r->cells[i].text.begin - r->text.begin);
        copy->cells[i].text.end = text + (r->cells[i].text.end - r->text.begin);
    }
    return NN_OK;
}

/* Whether a list of the desc names a cell of the line by what stands there. */
static int nn__csv_is_named(const nn_csv_desc *d, const nn__record *line)
{
    double value;
    for (size_t i = 0; i < NN__CSV_LISTS; i++)
        for (const char *list = nn__csv_list(d, i); list && *list;) {
            const nn__span item = nn__csv_item(&list);
            for (size_t c = 0; c < line->count && !nn__parse_number(item, &value); c++)
                if (nn__same_text(item, line->cells[c].text)) return 1;
        }
    return 0;
}

/* Whether the first line holds names: it was said so and nothing speaks against it, or it was not
   said, and the line has a name that the desc uses or is all text where the next has a number. */
static nn_status nn__csv_header(const nn__csv *csv, const nn__record *first, int *header)
{
    const nn__record *next = &csv->record;
    size_t numbers = 0, over_numbers = 0;
    double value;
    if (next->count && next->count != first->count)
        return nn__csv_fail(csv, NN_ERROR_BAD_FORMAT, SIZE_MAX,
                            "%llu columns, expected %llu as in line %llu; nn_csv_desc.skip_lines "
                            "leaves out lines before the data", (nn__ull)next->count,
                            (nn__ull)first->count, (nn__ull)first->line);
    for (size_t i = 0; i < first->count; i++) {
        const nn__span cell = first->cells[i].text;
        const int number = nn__parse_number(cell, &value);
        numbers += number || (cell.begin < cell.end && nn__csv_is_gap(csv, cell));
        over_numbers += !number && next->count && nn__parse_number(next->cells[i].text, &value);
    }
    *header = csv->desc.header > 0;
    if (csv->desc.header == 0)
        *header = nn__csv_is_named(&csv->desc, first) || (numbers == 0 && over_numbers > 0);
    if (csv->desc.header > 0 && next->count && numbers > 0 && over_numbers == 0)
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: header is 1, but line %llu holds numbers as the next one does: set it "
                        "to -1, or leave the line out by skip_lines",
                        csv->stream.path, (nn__ull)first->line);
    return NN_OK;
}

/* The next column of features of another file. */
static const nn__column *nn__csv_next(const struct nn__columns *of, size_t *c)
{
    while (*c < of->count && !nn__is_feature(&of->columns[*c])) ++*c;
    return *c < of->count ? &of->columns[(*c)++] : NULL;
}

/* The file has the columns of features that `like` has, in its order and with its names. */
static nn_status nn__csv_check_like(const nn__csv *csv)
{
    const struct nn__columns *like = csv->desc.like ? csv->desc.like->columns : NULL;
    size_t at = 0;
    if (!like) return NN_OK;
    for (size_t c = 0; c < csv->columns->count; c++) {
        const char *name = csv->columns->names ? csv->columns->names[c] : "";
        if (!nn__is_feature(&csv->columns->columns[c])) continue;
        const nn__column *other = nn__csv_next(like, &at);
        const char *other_name = other && like->names ? like->names[at - 1] : "";
        if (!other || other->role != csv->columns->columns[c].role ||
            (*name && *other_name && strcmp(name, other_name) != 0))
            return nn__csv_fail(csv, NN_ERROR_MISMATCH, c,
                                "it is not what column %llu (%.60s) of the data set `like` is",
                                (nn__ull)at, other_name);
    }
    if (!nn__csv_next(like, &at)) return NN_OK;
    return nn__csv_fail(csv, NN_ERROR_MISMATCH, SIZE_MAX,
                        "%llu columns of features, `like` has more", (nn__ull)csv->width);
}

/* The columns that the first record has, with its texts as names when it is a header. */
static nn_status nn__csv_make_columns(nn__csv *csv, int header)
{
    const nn__record *first = &csv->record;
    struct nn__columns *c = (struct nn__columns *)nn__allocate_zeros(1, sizeof *c);
    nn__words names;
    nn_status status = NN_OK;
    csv->columns = c;
    if (!c) return NN_ERROR_OUT_OF_MEMORY;
    c->columns = (nn__column *)nn__allocate_zeros(first->count, sizeof *c->columns);
    csv->words = (nn__words *)nn__allocate_zeros(first->count, sizeof *csv->words);
    if (!c->columns || !csv->words) return NN_ERROR_OUT_OF_MEMORY;
    c->count = first->count;
    memset(&names, 0, sizeof names);
    for (size_t i = 0; i < c->count; i++) {
        c->columns[i].fill = (double)NAN;
        if (header && status == NN_OK) status = nn__words_append(&names, first->cells[i].text);
    }
    status = nn__words_list(&names, status, &c->names);
    if (status == NN_OK) status = nn__csv_roles(csv);
    return status == NN_OK ? nn__csv_check_like(csv) : status;
}

/* Reads two records, so that the second can tell what the first one is. */
static nn_status nn__csv_begin(nn__csv *csv, nn__record *first)
{
    int header = 0;
    nn_status status = nn__csv_record(csv);
    if (status != NN_OK || csv->record.count == 0) return status;
    status = nn__csv_save(csv, first);
    if (status == NN_OK) status = nn__csv_record(csv);
    if (status == NN_OK) status = nn__csv_header(csv, first, &header);
    if (status != NN_OK) return status;
    const nn__record second = csv->record;
    csv->record = *first;
    csv->record.line = 0; /* a column is not wrong in one line */
    status = nn__csv_make_columns(csv, header);
    csv->record.line = first->line;
    if (status == NN_OK && !header) status = nn__csv_row(csv);
    csv->record = second;
    return status;
}

static nn_status nn__csv_rows(nn__csv *csv)
{
    nn__record first;
    memset(&first, 0, sizeof first);
    nn_status status = nn__csv_begin(csv, &first);
    while (status == NN_OK && csv->record.count) {
        status = nn__csv_row(csv);
        if (status == NN_OK) status = nn__csv_record(csv);
    }
    NN_FREE((char *)first.text.begin);
    NN_FREE(first.cells);
    csv->record.line = 0;
    if (status == NN_OK && csv->rows == 0)
        status = nn__csv_fail(csv, NN_ERROR_EMPTY, SIZE_MAX, "no rows of data%s",
                              csv->skipped ? " without a gap" : "");
    return status == NN_OK ? nn__csv_set_rows(csv, csv->rows) : status;
}
#endif

/* ---------------------------------------------------------------------------------------- >>csv
   What texts and gaps become is decided when the whole file has been read, and kept for the next
   one. */
#ifndef NN_NO_STDIO

/* What the texts of column c mean: text i is category (*map)[i], and the column gets the names of
   the categories. They are those of `like`, or in an order of their own when it is NULL. */
static nn_status nn__csv_map(nn__csv *csv, size_t c, const nn__column *like, size_t **map)
{
    nn__column *column = &csv->columns->columns[c];
    const nn__words *words = &csv->words[c];
    const int label = column->role == NN__ROLE_LABEL;
    size_t unknown = 0;
    nn_status status;
    nn__words names;
    memset(&names, 0, sizeof names);
    *map = (size_t *)nn__allocate(words->count, sizeof **map);
    if (!*map) return NN_ERROR_OUT_OF_MEMORY;
    if (!like) status = nn__words_sort(words, label && !csv->desc.relabel, *map, &names);
    else
        status = nn__words_match(words, like->categories, like->category_count, *map, &names,
                                 &unknown);
    if (status == NN_ERROR_MISMATCH)
        nn__csv_fail(csv, status, c, "'%.*s' is not among the %llu %s of the data set `like`",
                     NN__SHOW(nn__word(words, unknown)), (nn__ull)like->category_count,
                     label ? "classes" : "categories");
    column->category_count = names.count;
    return nn__words_list(&names, status, &column->categories);
}

/* Labels of one column: texts that have been numbered become classes. */
static nn_status nn__csv_label_texts(nn__csv *csv, const nn_dataset *like, nn_dataset *d)
{
    const size_t c = csv->label_column;
    nn__column *column = &csv->columns->columns[c], known;
    size_t *map;
    memset(&known, 0, sizeof known);
    if (like) known.categories = like->class_names, known.category_count = (size_t)like->classes;
    nn_status status = nn__csv_map(csv, c, like ? &known : NULL, &map);
    d->class_names = column->categories, column->categories = NULL;
    for (size_t i = 0; status == NN_OK && i < d->count; i++) {
        const nn__span label_word = nn__word(&csv->words[c], (size_t)d->labels[i]);
        d->labels[i] = (int)map[d->labels[i]];
        if (d->labels[i] == INT_MAX)
            status = nn__csv_fail(csv, NN_ERROR_BAD_LABEL, c,
                                  "label %.*s is too large for a class; nn_csv_desc.relabel takes "
                                  "it as a name", NN__SHOW(label_word));
    }
    d->classes = like ? like->classes : (int)column->category_count;
    if (d->classes == 0 && status == NN_OK) d->classes = nn__class_count(d->count, d->labels);
    NN_FREE(map);
    return status;
}

/* Labels of several columns: the header names the classes, or what this file is to be read like. */
static nn_status nn__csv_label_columns(const nn__csv *csv, const nn_dataset *like, nn_dataset *d)
{
    char **header = csv->columns->names;
    const int named = like ? like->class_names != NULL : header != NULL;
    nn__words names;
    nn_status status = NN_OK;
    memset(&names, 0, sizeof names);
    d->classes = (int)csv->label_size;
    if (like && like->classes != d->classes)
        return nn__csv_fail(csv, NN_ERROR_MISMATCH, SIZE_MAX,
                            "%d classes, the data set `like` has %d", d->classes, like->classes);
    for (size_t c = 0, i = 0; named && status == NN_OK && c < csv->columns->count; c++) {
        if (csv->columns->columns[c].role != NN__ROLE_LABEL) continue;
        const char *name = header ? header[c] : like->class_names[i++];
        status = nn__words_append(&names, nn__span_of(name));
    }
    return nn__words_list(&names, status, &d->class_names);
}

/* A column of categories, feature `place`: its texts have been numbered. */
static nn_status nn__csv_categories(nn__csv *csv, size_t c, size_t place, const nn__column *like)
{
    size_t *map;
    nn_status status = nn__csv_map(csv, c, like, &map);
    for (size_t r = 0; status == NN_OK && r < csv->rows; r++) {
        nn_real *x = csv->x + r * csv->width + place;
        if (nn__is_finite((double)*x)) *x = (nn_real)map[(size_t)*x];
    }
    NN_FREE(map);
    return status;
}

static int nn__compare_reals(const void *a, const void *b)
{
    const nn_real *x = (const nn_real *)a, *y = (const nn_real *)b;
    return *x < *y ? -1 : *x > *y;
}

/* What a gap becomes, of the n values that are there: sorted[n]. */
static double nn__csv_fit(nn_missing fill, size_t n, nn_real *sorted)
{
    double sum = 0, best = 0;
    size_t longest = 0;
    qsort(sorted, n, sizeof *sorted, nn__compare_reals);
    for (size_t i = 0; i < n; i++) sum += (double)sorted[i];
    if (fill == NN_MISSING_MEAN) return sum / (double)n;
    if (fill == NN_MISSING_MEDIAN)
        return ((double)sorted[(n - 1) / 2] + (double)sorted[n / 2]) / 2;
    for (size_t i = 0, run = 0; i < n; i++) {
        run = i && sorted[i] == sorted[i - 1] ? run + 1 : 1;
        if (run > longest) longest = run, best = (double)sorted[i];
    }
    return best;
}

/* Gaps of feature `place` get the value that the present ones or the data set `like` give. */
static nn_status nn__csv_fill(nn__csv *csv, size_t c, size_t place, const nn__column *like,
                              nn_real *present)
{
    nn__column *column = &csv->columns->columns[c];
    const int is_number = column->role == NN__ROLE_FEATURE;
    size_t n = 0;
    for (size_t r = 0; r < csv->rows; r++) {
        const nn_real x = csv->x[r * csv->width + place];
        if (nn__is_finite((double)x)) present[n++] = x;
    }
    if (like ? !nn__is_finite(like->fill) : n == 0)
        return nn__csv_fail(csv, NN_ERROR_EMPTY, c, "%s",
                            like ? "the data set `like` was read without nn_csv_desc.fill"
                                 : "there is no value to fill its gaps from");
    if (like) column->fill = like->fill;
    else
        column->fill =
            nn__csv_fit(is_number ? csv->desc.fill : NN_MISSING_MOST_FREQUENT, n, present);
    for (size_t r = 0; r < csv->rows; r++) {
        nn_real *x = csv->x + r * csv->width + place;
        if (!nn__is_finite((double)*x)) *x = (nn_real)column->fill;
    }
    return NN_OK;
}

/* Every category of a one-hot column becomes a feature; from the end, so that nothing is written
   over what has not been read. */
static nn_status nn__csv_expand(nn__csv *csv)
{
    size_t wide = csv->width, rows = csv->rows;
    const nn__column *columns = csv->columns->columns;
    for (size_t c = 0; c < csv->columns->count; c++)
        if (columns[c].role == NN__ROLE_ONE_HOT &&
            !nn__add_sizes(wide, columns[c].category_count - 1, &wide))
            return nn__fail(NN_ERROR_TOO_LARGE, "%s: too many categories", csv->stream.path);
    if (wide == csv->width) return NN_OK;
    nn_status status = nn__resize(&csv->x, rows, wide, sizeof *csv->x);
    if (status != NN_OK) return status;
    const nn_real *from = csv->x + rows * csv->width;
    nn_real *to = csv->x + rows * wide;
    while (rows--)
        for (size_t c = csv->columns->count; c--;) {
            if (!nn__is_feature(&columns[c])) continue;
            size_t n = columns[c].role == NN__ROLE_ONE_HOT ? columns[c].category_count : 0;
            nn_real value = *--from;
            to -= n ? n : 1;
            if (n == 0) *to = value;
            for (size_t k = 0; k < n; k++) to[k] = (nn_real)((size_t)value == k);
        }
    csv->width = wide;
    return NN_OK;
}

static nn_status nn__csv_features(nn__csv *csv)
{
    const struct nn__columns *like = csv->desc.like ? csv->desc.like->columns : NULL;
    const int fills = csv->desc.fill >= NN_MISSING_MEAN;
    size_t at = 0, place = 0;
    nn_real *present = NULL;
    nn_status status = nn__resize(&present, csv->rows, fills ? 1 : 0, sizeof *present);
    for (size_t c = 0; status == NN_OK && c < csv->columns->count; c++) {
        if (!nn__is_feature(&csv->columns->columns[c])) continue;
        const nn__column *other = like ? nn__csv_next(like, &at) : NULL;
        if (csv->columns->columns[c].role != NN__ROLE_FEATURE)
            status = nn__csv_categories(csv, c, place, other);
        if (status == NN_OK && fills) status = nn__csv_fill(csv, c, place, other, present);
        place++;
    }
    NN_FREE(present);
    return status == NN_OK ? nn__csv_expand(csv) : status;
}

/* What was read belongs to the data set, finished or not. */
static nn_status nn__csv_load(nn__csv *csv, nn_dataset *d)
{
    nn_status status = nn__csv_open(csv);
    if (status == NN_OK) status = nn__csv_rows(csv);
    status = nn__stream_close(&csv->stream, status);
    d->count = csv->rows, d->dtype = NN_DTYPE_REAL;
    d->owned[NN__OWNS_LABELS] = d->labels = csv->labels;
    d->owned[NN__OWNS_TARGETS] = csv->targets;
    d->targets = csv->targets, d->target_size = csv->target_size;
    d->owned[NN__OWNS_COLUMNS] = csv->columns;
    d->columns = csv->columns;
    const nn_dataset *like = csv->desc.like && csv->desc.like->labels ? csv->desc.like : NULL;
    if (status == NN_OK && csv->label_size == 1) status = nn__csv_label_texts(csv, like, d);
    if (status == NN_OK && csv->label_size > 1) status = nn__csv_label_columns(csv, like, d);
    if (status == NN_OK) status = nn__csv_features(csv);
    d->samples = d->owned[NN__OWNS_SAMPLES] = csv->x;
    d->rank = 1, d->features = d->shape[0] = csv->width;
    for (size_t c = 0; csv->words && c < csv->columns->count; c++) nn__words_free(&csv->words[c]);
    NN_FREE(csv->words);
    NN_FREE(csv->record.cells);
    NN_FREE(csv->buffer);
    return status;
}

static nn_status nn__csv_check(const nn_csv_desc *d, const nn_dataset *out)
{
    if (strchr("\"\n\r.+-eE0123456789", d->delimiter) || d->delimiter == d->comment)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_load_csv: delimiter is '%c', which cannot separate numbers",
                        d->delimiter);
    if ((unsigned)d->fill > NN_MISSING_MOST_FREQUENT)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_csv: fill is %d, expected 0 to 4",
                        (int)d->fill);
    if (!d->like) return NN_OK;
    if (d->like == out)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_csv: like is the data set to be made");
    nn_status status = nn__check_dataset("nn_load_csv: like", d->like);
    if (status == NN_OK && !d->like->columns)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_csv: like was not read by nn_load_csv");
    return status;
}

NN_DEF nn_status nn_load_csv(const char *path, const nn_csv_desc *desc, nn_dataset *out)
{
    nn__csv csv;
    nn_dataset d;
    memset(&csv, 0, sizeof csv);
    memset(&d, 0, sizeof d);
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_csv: out is NULL");
    if (desc) csv.desc = *desc;
    if (!csv.desc.delimiter) csv.desc.delimiter = ',';
    nn_status status = nn__csv_check(&csv.desc, out);
    if (status != NN_OK && csv.desc.like == out) return status;
    if (status == NN_OK && !path)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_csv: the path is NULL");
    if (status == NN_OK) status = nn__stream_open(path, &csv.stream);
    if (status == NN_OK) status = nn__csv_load(&csv, &d);
    return nn__hand_over(&d, status, out);
}

NN_DEF nn_status nn_write_csv(const char *path, size_t rows, size_t cols, const nn_real *values,
                              const char *const *names)
{
    nn__writer w;
    char text[64];
    if (rows && cols && !values)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_write_csv: the values are NULL");
    nn_status status = nn__writer_open(&w, "nn_write_csv", path);
    if (status != NN_OK) return status;
    for (size_t j = 0; names && j < cols; j++) {
        const int quoted = strpbrk(names[j], ",\"\r\n") != NULL;
        nn__writer_text(&w, j ? quoted ? ",\"" : "," : quoted ? "\"" : "");
        for (const char *c = names[j]; *c; c++)
            nn__writer_put(&w, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
        nn__writer_text(&w, quoted ? "\"" : "");
    }
    nn__writer_text(&w, names ? "\n" : "");
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            nn__shortest((double)values[i * cols + j], sizeof(nn_real) == 4, text);
            nn__writer_text(&w, j ? "," : "");
            nn__writer_text(&w, text);
            nn__writer_text(&w, j + 1 == cols ? "\n" : "");
        }
    return nn__writer_close(&w, NN_OK);
}
#endif

/* --------------------------------------------------------------------------------------- >>npy
   NumPy's files. An npy file is a line of Python, which says type, order and shape, and the values
   behind it; an npz file is a zip archive of them, here always stored as they are. */
#ifndef NN_NO_STDIO

typedef struct nn__python {
    const char *at, *end;
} nn__python;

static void nn__python_blanks(nn__python *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t')) p->at++;
}

/* Past blanks and c; 0 when c is not what comes next. */
static int nn__python_next(nn__python *p, char c)
{
    nn__python_blanks(p);
    if (p->at == p->end || *p->at != c) return 0;
    p->at++;
    return 1;
}

static int nn__python_text(nn__python *p, const char *text)
{
    const size_t n = strlen(text);
    nn__python_blanks(p);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, text, n) != 0) return 0;
    p->at += n;
    return 1;
}

static int nn__python_string(nn__python *p, nn__span *text)
{
    const char quote = nn__python_next(p, '\'') ? '\'' : '"';
    if (quote == '"' && !nn__python_next(p, '"')) return 0;
    text->begin = p->at;
    while (p->at < p->end && *p->at != quote && *p->at != '\\') p->at++;
    text->end = p->at;
    return nn__python_next(p, quote);
}

static int nn__python_tuple(nn__python *p, int *rank, size_t shape[NN_MAX_RANK])
{
    int commas = 0;
    if (!nn__python_next(p, '(')) return 0;
    for (*rank = 0; !nn__python_next(p, ')'); commas += nn__python_next(p, ',')) {
        uint64_t number = 0;
        if (*rank != commas || *rank == NN_MAX_RANK) return 0;
        const size_t digits = nn__parse_digits(&p->at, p->end, &number);
        if (digits < 1 || digits > 18 || number > SIZE_MAX) return 0;
        nn__python_text(p, "L"); /* Python 2's long integers */
        shape[(*rank)++] = (size_t)number;
    }
    return *rank == 1 ? commas == 1 : commas <= *rank;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }: each key once, in any order. */
static int nn__npy_dict(nn__python *p, nn__span *descr, int *fortran, nn__numeric *array)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned seen = 0;
    nn__span key;
    if (!nn__python_next(p, '{')) return 0;
    while (!nn__python_next(p, '}')) {
        int i = 0, read = 0;
        if (!nn__python_string(p, &key) || !nn__python_next(p, ':')) return 0;
        while (i < 3 && !nn__same_text(key, nn__span_of(keys[i]))) i++;
        if (i == 3 || seen & 1u << i) return 0;
        seen |= 1u << i;
        if (i == 0) read = nn__python_string(p, descr);
        if (i == 1) {
            *fortran = nn__python_text(p, "True");
            read = *fortran || nn__python_text(p, "False");
        }
        if (i == 2) read = nn__python_tuple(p, &array->rank, array->shape);
        if (!read) return 0;
        if (!nn__python_next(p, ',') && (p->at == p->end || *p->at != '}')) return 0;
    }
    nn__python_blanks(p);
    return seen == 7 && p->at == p->end;
}

/* Byte order, kind and width: "<f4". */
static nn_status nn__npy_type(const char *path, nn__span descr, nn__numeric *array)
{
    const size_t size = nn__span_size(descr);
    const char *d = descr.begin;
    char order = '|', kind = 0, width = 0;
    if (size && memchr("<>=|", *d, 4)) order = *d++;
    if (descr.end - d == 2) kind = d[0], width = d[1];
    if (descr.end - d == 1 && *d == '?') kind = 'b', width = '1';
    if (size && descr.end > d && *d == 'O')
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: holds pickled Python objects, which are not read",
                        path);
    const int is_known = (kind == 'f' && (width == '2' || width == '4' || width == '8')) ||
                         ((kind == 'i' || kind == 'u') && (width == '1' || width == '2' ||
                                                           width == '4' || width == '8')) ||
                         (kind == 'b' && width == '1');
    if (!is_known)
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: type '%.*s', expected f2, f4, f8, i1 to i8, u1 to u8 or b1", path,
                        (int)nn__min_size(size, 40), descr.begin);
    array->kind = kind, array->width = (size_t)(width - '0');
    array->is_big_endian = order == '>' || ((order == '=' || order == '|') && nn__is_big_endian());
    return NN_OK;
}

/* Values in the order of FORTRAN, first index fastest, get a copy in C's. */
static nn_status nn__npy_reorder(nn__numeric *a)
{
    size_t index[NN_MAX_RANK] = {0}, step[NN_MAX_RANK] = {0}, from = 0, product = 1;
    unsigned char *copy = (unsigned char *)nn__allocate(a->count, a->width);
    if (!copy) return NN_ERROR_OUT_OF_MEMORY;
    for (int d = 0; d < a->rank; d++) step[d] = product, product *= a->shape[d];
    for (size_t i = 0; i < a->count; i++) {
        memcpy(copy + i * a->width, a->values + from * a->width, a->width);
        for (int d = a->rank - 1; d >= 0; d--) {
            from += step[d];
            if (++index[d] < a->shape[d]) break;
            from -= a->shape[d] * step[d];
            index[d] = 0;
        }
    }
    NN_FREE(a->file->bytes);
    a->values = a->file->bytes = copy;
    return NN_OK;
}

static nn_status nn__npy_parse(nn__file *file, nn__numeric *array)
{
    const unsigned char *b = file->bytes;
    nn__span descr = {NULL, NULL};
    size_t offset = 10, length = 0;
    int fortran = 0;
    memset(array, 0, sizeof *array);
    array->file = file;
    if (file->size < 12 || memcmp(b, "\223NUMPY", 6) != 0)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: not an npy file: expected 93 'NUMPY' first",
                        file->path);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: npy version %d.%d, expected 1.0, 2.0 or 3.0",
                        file->path, b[6], b[7]);
    length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24, offset = 12;
    if (length > file->size - offset)
        return nn__fail(NN_ERROR_TRUNCATED, "%s: a header of %llu bytes, the file has %llu",
                        file->path, (nn__ull)length, (nn__ull)file->size);
    nn__python p = {(const char *)b + offset, (const char *)b + offset + length};
    if (!nn__npy_dict(&p, &descr, &fortran, array))
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: the header is damaged, or not of one array, at byte %llu", file->path,
                        (nn__ull)((const unsigned char *)p.at - b));
    nn_status status = nn__npy_type(file->path, descr, array);
    if (status == NN_OK) status = nn__numeric_check(array, offset + length);
    if (status == NN_OK && fortran && array->rank > 1) status = nn__npy_reorder(array);
    return status;
}

/* -- zip archives -- */

typedef struct nn__zip_entry {
    size_t name, name_size, method, flags; /* where the name lies */
    uint64_t size, packed, offset;
    uint32_t crc;
} nn__zip_entry;

/* Sizes beyond 32 bits are in an extra field, in this order and only where they are needed. */
static void nn__zip_large(const unsigned char *extra, size_t left, nn__zip_entry *e)
{
    uint64_t *const numbers[3] = {&e->size, &e->packed, &e->offset};
    while (left >= 4) {
        const size_t id = (size_t)nn__little(extra, 2), size = (size_t)nn__little(extra + 2, 2);
        if (size > left - 4) return;
        for (size_t i = 0, at = 0; id == 1 && i < 3; i++)
            if (*numbers[i] == 0xFFFFFFFF && at + 8 <= size)
                *numbers[i] = nn__little(extra + 4 + at, 8), at += 8;
        extra += 4 + size, left -= 4 + size;
    }
}

/* The entry at *at in the directory; moves on to the next. 0 past the end. */
static int nn__zip_next(const nn__file *zip, size_t *at, nn__zip_entry *e)
{
    const unsigned char *p = zip->bytes + *at;
    if (*at > zip->size || zip->size - *at < 46 || memcmp(p, "PK\001\002", 4) != 0) return 0;
    const size_t extra = (size_t)nn__little(p + 30, 2), note = (size_t)nn__little(p + 32, 2);
    e->flags = (size_t)nn__little(p + 8, 2), e->method = (size_t)nn__little(p + 10, 2);
    e->crc = (uint32_t)nn__little(p + 16, 4);
    e->packed = nn__little(p + 20, 4), e->size = nn__little(p + 24, 4);
    e->name = *at + 46, e->name_size = (size_t)nn__little(p + 28, 2);
    e->offset = nn__little(p + 42, 4);
    if (e->name_size + extra + note > zip->size - *at - 46) return 0;
    nn__zip_large(p + 46 + e->name_size, extra, e);
    *at += 46 + e->name_size + extra + note;
    return 1;
}

/* Where the directory begins: what the record at the end says; SIZE_MAX without one. */
static size_t nn__zip_directory(const nn__file *zip)
{
    for (size_t back = 22; back <= zip->size && back < 22 + 65536; back++) {
        const unsigned char *p = zip->bytes + zip->size - back;
        if (memcmp(p, "PK\005\006", 4) != 0 || nn__little(p + 20, 2) != back - 22) continue;
        const uint64_t at = nn__little(p + 16, 4);
        return at < zip->size ? (size_t)at : SIZE_MAX;
    }
    return SIZE_MAX;
}

/* The member's bytes, stored and whole, as a file of its own. */
static nn_status nn__zip_extract(const nn__file *zip, const nn__zip_entry *e, const char *path,
                                 nn__file *file)
{
    if (e->method != 0 || e->flags & 1)
        return nn__fail(NN_ERROR_COMPRESSED,
                        "%s: is %s: numpy.savez stores, savez_compressed does not", path,
                        e->flags & 1 ? "encrypted" : "compressed");
    const unsigned char *p = e->offset < zip->size ? zip->bytes + e->offset : NULL;
    if (!p || zip->size - e->offset < 30 || memcmp(p, "PK\003\004", 4) != 0)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: is not where the directory says", path);
    const uint64_t begin = e->offset + 30 + nn__little(p + 26, 2) + nn__little(p + 28, 2);
    if (begin > zip->size || e->size > zip->size - begin || e->size != e->packed)
        return nn__fail(NN_ERROR_TRUNCATED,
                        "%s: %llu bytes from byte %llu on, the archive has %llu", path,
                        (nn__ull)e->size, (nn__ull)begin, (nn__ull)zip->size);
    const size_t size = (size_t)e->size;
    if (nn__crc32(0, zip->bytes + begin, size) != e->crc)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: is damaged: its checksum differs", path);
    file->bytes = (unsigned char *)nn__allocate(size, 1);
    if (!file->bytes) return NN_ERROR_OUT_OF_MEMORY;
    memcpy(file->bytes, zip->bytes + begin, size);
    file->size = size, file->path = path;
    return NN_OK;
}

/* Member NAME.npy, or NAME. `path`, for messages, is for the caller to free. */
static nn_status nn__npz_member(const nn__file *zip, const char *name, char **path, nn__file *file)
{
    size_t at = nn__zip_directory(zip);
    nn__zip_entry e;
    if (at == SIZE_MAX)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: not an npz file, or cut off: the directory of a "
                                             "zip archive was not found", zip->path);
    *path = nn__path(zip->path, name);
    if (!*path) return NN_ERROR_OUT_OF_MEMORY;
    const size_t size = strlen(name);
    while (nn__zip_next(zip, &at, &e)) {
        const char *found = (const char *)zip->bytes + e.name;
        const int has_end = e.name_size == size + 4 && memcmp(found + size, ".npy", 4) == 0;
        if ((has_end || e.name_size == size) && memcmp(found, name, size) == 0)
            return nn__zip_extract(zip, &e, *path, file);
    }
    return nn__fail(NN_ERROR_EMPTY, "%s: the archive has no such member", *path);
}

/* -- reading -- */

static nn_status nn__npy_pair(nn_status status, nn__file files[2], int has_labels, int classes,
                              nn_dataset *out)
{
    nn__numeric x, y;
    if (status == NN_OK) status = nn__npy_parse(&files[0], &x);
    if (status == NN_OK && has_labels) status = nn__npy_parse(&files[1], &y);
    return nn__numeric_pair(status, files, &x, has_labels ? &y : NULL, classes, out);
}

static nn_status nn__check_load(const char *call, const nn_dataset *out, int classes)
{
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: out is NULL", call);
    if (classes >= 0) return NN_OK;
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: classes is %d, expected 0 or more", call, classes);
}

NN_DEF nn_status nn_load_npy(const char *samples, const char *labels, int classes, nn_dataset *out)
{
    nn__file files[2];
    nn_status status = nn__check_load("nn_load_npy", out, classes);
    if (!out) return status;
    memset(files, 0, sizeof files);
    if (status == NN_OK) status = nn__file_read(samples, &files[0]);
    if (status == NN_OK && labels) status = nn__file_read(labels, &files[1]);
    return nn__npy_pair(status, files, labels != NULL, classes, out);
}

NN_DEF nn_status nn_load_npz(const char *path, const char *samples, const char *labels, int classes,
                             nn_dataset *out)
{
    nn__file files[2], zip;
    char *paths[2] = {NULL, NULL};
    nn_status status = nn__check_load("nn_load_npz", out, classes);
    if (!out) return status;
    memset(files, 0, sizeof files);
    memset(&zip, 0, sizeof zip);
    if (status == NN_OK && !samples)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_npz: the name of the samples is NULL");
    if (status == NN_OK) status = nn__file_read_any(path, 1, &zip);
    if (status == NN_OK) status = nn__npz_member(&zip, samples, &paths[0], &files[0]);
    if (status == NN_OK && labels) status = nn__npz_member(&zip, labels, &paths[1], &files[1]);
    nn__file_free(&zip);
    status = nn__npy_pair(status, files, labels != NULL, classes, out);
    NN_FREE(paths[0]);
    NN_FREE(paths[1]);
    return status;
}

static nn_status nn__npy_array(nn_status status, nn__file *file, nn_array *out)
{
    nn__numeric x;
    if (status == NN_OK) status = nn__npy_parse(file, &x);
    if (status == NN_OK) {
        out->values = (nn_real *)nn__allocate(x.count, sizeof *out->values);
        if (!out->values) status = NN_ERROR_OUT_OF_MEMORY;
    }
    if (status == NN_OK) {
        out->rank = x.rank;
        memcpy(out->shape, x.shape, sizeof out->shape);
        for (size_t i = 0; i < x.count; i++) out->values[i] = (nn_real)nn__numeric_value(&x, i);
    }
    nn__file_free(file);
    return status;
}

NN_DEF nn_status nn_read_npy(const char *path, nn_array *out)
{
    nn__file file;
    memset(&file, 0, sizeof file);
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_read_npy: out is NULL");
    memset(out, 0, sizeof *out);
    return nn__npy_array(nn__file_read(path, &file), &file, out);
}

NN_DEF nn_status nn_read_npz(const char *path, const char *name, nn_array *out)
{
    nn__file file, zip;
    char *member = NULL;
    memset(&file, 0, sizeof file);
    memset(&zip, 0, sizeof zip);
    if (!out || !name)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_read_npz: the %s is NULL",
                        out ? "name" : "result");
    memset(out, 0, sizeof *out);
    nn_status status = nn__file_read_any(path, 1, &zip);
    if (status == NN_OK) status = nn__npz_member(&zip, name, &member, &file);
    nn__file_free(&zip);
    status = nn__npy_array(status, &file, out);
    NN_FREE(member);
    return status;
}

NN_DEF void nn_array_free(nn_array *array)
{
    if (!array) return;
    NN_FREE(array->values);
    memset(array, 0, sizeof *array);
}

/* -- writing -- */

/* An array in memory, or the rows of a data set in its order. */
typedef struct nn__npy_source {
    const char *name;
    char kind; /* of nn_real 'f', of bytes 'u', of int 'i' */
    size_t width;
    int rank;
    const size_t *shape;
    const void *values;
    size_t rows, row_bytes; /* where `index` is not NULL: rows of values, in that order */
    const size_t *index;
} nn__npy_source;

static void nn__npy_put(nn__writer *w, const nn__npy_source *s)
{
    char text[400];
    size_t count = 1, n = 10;
    memcpy(text, "\223NUMPY\001\000", 8);
    const char order = s->width == 1 ? '|' : nn__is_big_endian() ? '>' : '<';
    n += (size_t)snprintf(text + n, sizeof text - n,
                          "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", order, s->kind,
                          (int)s->width);
    for (int i = 0; i < s->rank; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llu", i ? ", " : "",
                              (nn__ull)s->shape[i]);
        count *= s->shape[i];
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "%s), }", s->rank == 1 ? "," : "");
    while (n % 64 != 63) text[n++] = ' ';
    text[n++] = '\n';
    text[8] = (char)((n - 10) & 255), text[9] = (char)((n - 10) >> 8);
    nn__writer_put(w, text, n);
    if (!s->index) nn__writer_put(w, s->values, count * s->width);
    for (size_t i = 0; s->index && i < s->rows; i++)
        nn__writer_put(w, (const char *)s->values + s->index[i] * s->row_bytes, s->row_bytes);
}

static nn_status nn__npy_check_source(const char *call, const nn__npy_source *s)
{
    size_t size;
    if (s->rank < 0 || s->rank > NN_MAX_RANK || (s->rank && !s->shape))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: rank is %d, expected 0 to 8 and a shape", call,
                        s->rank);
    if (!nn__shape_size(s->rank, s->shape, &size) || !nn__multiply(size, s->width, &size))
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: the product of the shape does not fit", call);
    if (size && !s->values) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the values are NULL", call);
    return NN_OK;
}

static nn_status nn__npy_write(const char *call, const char *path, const nn__npy_source *s)
{
    nn__writer w;
    nn_status status = nn__npy_check_source(call, s);
    if (status == NN_OK) status = nn__writer_open(&w, call, path);
    if (status != NN_OK) return status;
    nn__npy_put(&w, s);
    return nn__writer_close(&w, NN_OK);
}

static nn__npy_source nn__npy_reals(const char *name, int rank, const size_t *shape,
                                    const nn_real *values)
{
    nn__npy_source s;
    memset(&s, 0, sizeof s);
    s.name = name, s.kind = 'f', s.width = sizeof *values;
    s.rank = rank, s.shape = shape, s.values = values;
    return s;
}

NN_DEF nn_status nn_write_npy(const char *path, int rank, const size_t *shape,
                              const nn_real *values)
{
    const nn__npy_source s = nn__npy_reals("", rank, shape, values);
    return nn__npy_write("nn_write_npy", path, &s);
}

/* The part that an entry's head has in common with its line in the directory. */
static void nn__zip_common(unsigned char to[26], const nn__writer *counted, size_t name_size)
{
    memset(to, 0, 26);
    to[0] = 20;                              /* version 2.0 unpacks it */
    to[8] = 0x21;                            /* 1 January 1980: equal files are equal bytes */
    nn__put_little(to + 10, counted->crc, 4);
    nn__put_little(to + 14, counted->total, 4);
    nn__put_little(to + 18, counted->total, 4);
    nn__put_little(to + 22, name_size, 2);
}

static void nn__zip_put(nn__writer *w, const nn__npy_source *s, size_t count, nn__writer *counted)
{
    unsigned char head[46], end[22] = {'P', 'K', 5, 6};
    size_t offsets[2] = {0, 0}; /* of the directory, and behind it */
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        offsets[pass] = w->total;
        for (size_t i = 0; i < count; i++) {
            const size_t name_size = strlen(s[i].name) + 4;
            memset(head, 0, sizeof head);
            memcpy(head, pass ? "PK\001\002\024\000" : "PK\003\004", pass ? 6 : 4);
            nn__zip_common(head + (pass ? 6 : 4), &counted[i], name_size);
            if (pass) nn__put_little(head + 42, at, 4);
            nn__writer_put(w, head, pass ? 46 : 30);
            nn__writer_text(w, s[i].name);
            nn__writer_text(w, ".npy");
            if (!pass) nn__npy_put(w, &s[i]);
            at += 30 + name_size + counted[i].total;
        }
    }
    nn__put_little(end + 8, count, 2);
    nn__put_little(end + 10, count, 2);
    nn__put_little(end + 12, w->total - offsets[1], 4);
    nn__put_little(end + 16, offsets[1], 4);
    nn__writer_put(w, end, sizeof end);
}

static nn_status nn__npz_check(const char *call, const nn__npy_source *s, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const nn_status status = nn__npy_check_source(call, &s[i]);
        if (status != NN_OK) return status;
        int bad = !s[i].name || !s[i].name[0] || strlen(s[i].name) > 1000;
        for (size_t j = 0; !bad && j < i; j++) bad = strcmp(s[i].name, s[j].name) == 0;
        if (bad)
            return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: array %llu has the name '%.100s', expected "
                                                   "one of its own", call, (nn__ull)i,
                            s[i].name ? s[i].name : "");
    }
    return NN_OK;
}

static nn_status nn__npz_write(const char *call, const char *path, const nn__npy_source *s,
                               size_t count)
{
    nn__writer w, *counted = NULL;
    nn_status status = nn__npz_check(call, s, count);
    size_t total = 0;
    if (status == NN_OK && count > 65535)
        status = nn__fail(NN_ERROR_TOO_LARGE, "%s: %llu arrays, at most 65535", call,
                          (nn__ull)count);
    if (status == NN_OK) counted = (nn__writer *)nn__allocate_zeros(count, sizeof *counted);
    if (status == NN_OK && !counted) status = NN_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; status == NN_OK && i < count; i++) {
        nn__npy_put(&counted[i], &s[i]);
        total += counted[i].total / 1024 + 3;
    }
    if (status == NN_OK && total >= 4u << 20)
        status = nn__fail(NN_ERROR_TOO_LARGE, "%s: an archive of 4 GB or more: write npy files",
                          call);
    if (status == NN_OK) status = nn__writer_open(&w, call, path);
    if (status == NN_OK) {
        nn__zip_put(&w, s, count, counted);
        status = nn__writer_close(&w, NN_OK);
    }
    NN_FREE(counted);
    return status;
}

NN_DEF nn_status nn_write_npz(const char *path, size_t count, const nn_array *arrays)
{
    nn__npy_source *s;
    if (!arrays && count)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_write_npz: the arrays are NULL");
    s = (nn__npy_source *)nn__allocate(count, sizeof *s);
    if (!s) return NN_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        s[i] = nn__npy_reals(arrays[i].name, arrays[i].rank, arrays[i].shape, arrays[i].values);
    nn_status status = nn__npz_write("nn_write_npz", path, s, count);
    NN_FREE(s);
    return status;
}

/* What a data set is written as: samples as they are stored, labels, targets. */
static size_t nn__dataset_sources(const nn_dataset *data, size_t shape[NN_MAX_RANK],
                                  size_t targets[2], nn__npy_source s[3])
{
    const int bytes = data->dtype == NN_DTYPE_U8;
    size_t n = 1;
    shape[0] = targets[0] = data->count, targets[1] = data->target_size;
    memcpy(shape + 1, data->shape, (size_t)data->rank * sizeof *shape);
    s[0] = nn__npy_reals("samples", data->rank + 1, shape, NULL);
    if (bytes) s[0].kind = 'u', s[0].width = 1;
    s[0].values = data->samples, s[0].index = data->index;
    s[0].rows = data->count, s[0].row_bytes = data->features * s[0].width;
    if (data->labels) {
        s[n] = nn__npy_reals("labels", 1, shape, NULL);
        s[n].kind = 'i', s[n].width = sizeof *data->labels;
        s[n++].values = data->labels;
    }
    if (data->targets) {
        s[n] = nn__npy_reals("targets", 2, targets, data->targets);
        s[n].index = data->index;
        s[n].rows = data->count, s[n].row_bytes = data->target_size * sizeof *data->targets;
        n++;
    }
    return n;
}

NN_DEF nn_status nn_dataset_write_npz(const nn_dataset *data, const char *path)
{
    const char *call = "nn_dataset_write_npz";
    size_t shape[NN_MAX_RANK + 1], targets[2];
    nn__npy_source s[3];
    nn_status status = nn__check_dataset(call, data);
    if (status == NN_OK && data->rank >= NN_MAX_RANK)
        status = nn__fail(NN_ERROR_BAD_SHAPE, "%s: samples of rank %d, at most 7", call,
                          data->rank);
    if (status != NN_OK) return status;
    const size_t n = nn__dataset_sources(data, shape, targets, s);
    return nn__npz_write(call, path, s, n);
}
#endif

/* ---------------------------------------------------------------------------------- >>evaluate
   A scalar over a data set, in chunks; predictions, and what they are worth. A data set is larger
   than what fits a cache, and a chunk's last part is smaller than the others: means are weighted
   by what they are means of, so that the result does not depend on the chunks. */

enum { NN__EVALUATION_ROWS = 64 }; /* a chunk of inputs stays in the second-level cache */

/* A target and what a batch of it is fed to. */
typedef struct nn__session {
    const char *call;
    nn_tensor *target, *input;
    nn__list losses;        /* that the target depends on */
    nn_tensor *judged;      /* the loss whose source is asked for the class, or NULL */
    const nn_dataset *data;
    int targets_are_classes;
} nn__session;

static void nn__close_session(nn__session *s)
{
    if (s->target) nn__net_release(s->target->net, s->losses.items);
}

/* Finds the one input of samples that the target depends on, and its losses. */
static nn_status nn__open_session(nn__session *s, const char *call, nn_tensor *target)
{
    memset(s, 0, sizeof *s);
    nn_status status = nn__check_tensor(call, target);
    if (status != NN_OK) return status;
    nn_net *net = target->net;
    s->call = call, s->target = target;
    status = nn__list_needed(target);
    for (size_t i = 0; status == NN_OK && i < net->plan.order.count; i++) {
        nn_tensor *t = net->plan.order.items[i];
        const nn__input *input = nn__as_input(t);
        if (nn__is_loss(t) && !nn__append(net, &s->losses, t)) status = NN_ERROR_OUT_OF_MEMORY;
        if (!input || input->loss) continue;
        if (s->input)
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: the network has several inputs; feed them in "
                            "a loop of your own",
                            call);
        s->input = t;
    }
    if (status == NN_OK && !s->input)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the tensor depends on no input", call);
    for (size_t i = s->losses.count; i-- > 0;)
        if (!s->judged || nn__takes_labels(s->losses.items[i]) || !nn__takes_labels(s->judged))
            s->judged = s->losses.items[i];
    return status;
}

static nn_status nn__check_features(const char *call, const nn_tensor *input,
                                    const nn_dataset *data)
{
    nn_status status = nn__check_dataset(call, data);
    if (status != NN_OK) return status;
    if (input->row_size != data->features)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: the data set has %llu features, the input takes %llu", call,
                        (nn__ull)data->features, (nn__ull)input->row_size);
    return nn__check_layout(call, input, data);
}

/* Whether a loss is fed the labels of a data set rather than its targets. */
static int nn__feeds_labels(const nn_tensor *loss, const nn_dataset *data)
{
    return data->labels && nn__takes_labels(loss);
}

/* What a loss is to be fed from a data set is there and fits. */
static nn_status nn__check_answers(const char *call, const nn_tensor *loss, const nn_dataset *data)
{
    const nn__input *answer = nn__as_input(loss->src[1]);
    const char *name = loss->op->name;
    if (data->targets && nn__feeds_labels(loss, data) && nn__takes_targets(loss))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the data set has labels and targets, and %s "
                                               "takes either: set nn_loss_desc.answers",
                        call, name);
    if (loss->src_count > 2)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s takes weights of samples, which a data set "
                                               "does not have: feed them in a loop of your own",
                        call, name);
    if (nn__feeds_labels(loss, data)) {
        if (answer->labels_per_row != 1)
            return nn__fail(NN_ERROR_BAD_SHAPE, "%s: the data set has one label a sample, %s takes "
                                                "%llu", call, name,
                            (nn__ull)answer->labels_per_row);
        if (data->classes > answer->classes)
            return nn__fail(NN_ERROR_BAD_SHAPE, "%s: the data set has %d classes, the network %llu "
                                                "outputs", call, data->classes,
                            (nn__ull)loss->src[0]->row_size);
        return NN_OK;
    }
    if (!data->targets || !nn__takes_targets(loss))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the data set has no %s for %s", call,
                        nn__takes_labels(loss) ? "labels" : "targets", name);
    if (data->target_size != loss->src[0]->row_size)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: the data set has %llu targets a sample, the network %llu outputs",
                        call, (nn__ull)data->target_size, (nn__ull)loss->src[0]->row_size);
    for (size_t i = 0; i < data->count; i++) {
        const nn_real *targets = data->targets + nn__row(data, i) * data->target_size;
        nn_status status = nn__check_target_range(call, loss, targets, data->target_size, i);
        if (status != NN_OK) return status;
    }
    return NN_OK;
}

/* Mixed labels are targets, of which no class has a weight of its own or is ignored. */
NN__UNUSED static nn_status nn__check_mixup(const nn__session *s)
{
    for (size_t i = 0; i < s->losses.count; i++) {
        const nn_tensor *t = s->losses.items[i];
        const nn__loss *loss = nn__loss_of(t);
        const char *why = !nn__takes_targets(t) ? "takes labels only"
                          : loss->class_weights ? "has class_weights"
                          : loss->ignores       ? "has ignore_label"
                                                : NULL;
        if (why)
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: augment.mixup makes targets, but %s %s", s->call, t->op->name,
                            why);
    }
    return NN_OK;
}

/* Whether the targets that a loss is fed name a class: as a distribution, in one-hot rows, or as 0
   and 1 in a single column. */
static int nn__targets_are_classes(const nn_tensor *loss, const nn_dataset *data)
{
    const size_t n = data->target_size;
    if (!loss || !data->targets || loss->src[0]->row_size != n) return 0;
    if (nn__kind_of(loss)->is_distribution && nn__takes_targets(loss))
        return nn__loss_of(loss)->classes == n;
    for (size_t i = 0; i < data->count; i++) {
        const nn_real *row = data->targets + nn__row(data, i) * n;
        size_t ones = 0;
        for (size_t j = 0; j < n; j++) {
            if (row[j] != 0 && row[j] != 1) return 0;
            ones += row[j] == 1;
        }
        if (n > 1 && ones != 1) return 0;
    }
    return 1;
}

/* The session takes its batches from this data set from now on. */
static nn_status nn__use_data(nn__session *s, const char *call, const nn_dataset *data)
{
    nn_status status = nn__check_features(call, s->input, data);
    for (size_t i = 0; status == NN_OK && i < s->losses.count; i++)
        status = nn__check_answers(call, s->losses.items[i], data);
    if (status != NN_OK) return status;
    s->data = data;
    s->targets_are_classes = !data->labels && nn__targets_are_classes(s->judged, data);
    return NN_OK;
}

/* Feeds samples rows[0..n), or first .. first + n, into an input: as they are, or varied. */
static nn_status nn__feed_samples(nn_tensor *input, const nn_dataset *data, const size_t *rows,
                                  size_t first, size_t n, const nn__variation *v)
{
    nn_status status = nn__begin_feed(input, n, 0);
    if (status != NN_OK) return status;
    nn__gathering g = {data, rows, first, input->data, nn__has_planes(data) && input->rank == 4,
                       v};
    nn__gather(input->net->threads, n, &g);
    return NN_OK;
}

/* Adds a share of a sample's answer to a row of targets. */
static void nn__add_answer(const nn_tensor *loss, const nn_dataset *data, size_t sample,
                           double share, nn_real *row)
{
    const size_t n = loss->src[0]->row_size;
    const size_t first = nn__row(data, sample) * data->target_size;
    if (!nn__feeds_labels(loss, data))
        for (size_t j = 0; j < n; j++)
            row[j] += (nn_real)(share * (double)data->targets[first + j]);
    else if (n == 1) row[0] += (nn_real)(share * data->labels[sample]);
    else row[data->labels[sample]] += (nn_real)share;
}

/* Answers of samples that are mixed: targets, whatever the data set has. */
static nn_status nn__feed_mixtures(nn_tensor *loss, const nn_dataset *data, const size_t *rows,
                                   size_t n, const nn__variation *v)
{
    nn_tensor *answer = loss->src[1];
    nn_status status = nn__begin_feed(answer, n, 0);
    if (status == NN_OK) memset(answer->data, 0, answer->size * sizeof *answer->data);
    for (size_t i = 0; status == NN_OK && i < n; i++) {
        const nn__mixture mix = nn__draw_mixture(v, data, rows[i]);
        nn_real *row = answer->data + i * answer->row_size;
        nn__add_answer(loss, data, rows[i], mix.share, row);
        nn__add_answer(loss, data, mix.other, 1 - mix.share, row);
    }
    return status;
}

static nn_status nn__feed_answers(nn_tensor *loss, const nn_dataset *data, const size_t *rows,
                                  size_t first, size_t n)
{
    const int labels = nn__feeds_labels(loss, data);
    const size_t size = data->target_size;
    nn_tensor *answer = loss->src[1];
    nn_status status = nn__begin_feed(answer, n, labels);
    for (size_t i = 0; status == NN_OK && i < n; i++) {
        const size_t sample = nn__sample(rows, first, i);
        const size_t row = data->index ? data->index[sample] : sample;
        if (labels) answer->labels[i] = data->labels[sample];
        else
            memcpy(answer->data + i * size, data->targets + row * size,
                   size * sizeof *data->targets);
    }
    return status;
}

static nn_status nn__feed_batch(const nn__session *s, const size_t *rows, size_t first, size_t n,
                                const nn__variation *v)
{
    nn_status status = nn__feed_samples(s->input, s->data, rows, first, n, v);
    for (size_t i = 0; status == NN_OK && i < s->losses.count; i++) {
        nn_tensor *loss = s->losses.items[i];
        status = v && v->augment->mixup > 0 ? nn__feed_mixtures(loss, s->data, rows, n, v)
                                            : nn__feed_answers(loss, s->data, rows, first, n);
    }
    return status;
}

/* -- predicted classes -- */

/* What a single output is compared with. */
static double nn__threshold(const nn_tensor *output)
{
    const nn_activation f = nn__activation_of(output);
    const nn_net *net = output->net;
    if (f == NN_ACTIVATION_SIGMOID) return 0.5;
    for (size_t i = output->id; f == NN_ACTIVATION_IDENTITY && i < net->tensors.count; i++) {
        const nn_tensor *t = net->tensors.items[i];
        const int is_regression = t->op == &nn__loss_kinds[NN_LOSS_MSE].op ||
                                  t->op == &nn__loss_kinds[NN_LOSS_L1].op ||
                                  t->op == &nn__loss_kinds[NN_LOSS_HUBER].op;
        if (is_regression && t->src[0] == output) return 0.5;
    }
    return 0;
}

/* The class of a row of outputs; SIZE_MAX when one of them is NaN. */
static size_t nn__predicted_class(const nn_real *row, size_t n, double threshold)
{
    for (size_t i = 0; i < n; i++)
        if (row[i] != row[i]) return SIZE_MAX;
    return n == 1 ? (double)row[0] > threshold : nn__argmax(n, row);
}

/* The class of a sample, by its label or else by its targets. */
static size_t nn__true_class(const nn_dataset *data, size_t sample)
{
    const size_t n = data->target_size;
    if (data->labels) return (size_t)data->labels[sample];
    return nn__predicted_class(data->targets + nn__row(data, sample) * n, n, 0.5);
}

/* How many samples of the present batch are predicted right; NaN when there is nothing to say. */
static double nn__count_correct(const nn__session *s, const size_t *rows, size_t first)
{
    const nn_tensor *z = s->judged ? s->judged->src[0] : NULL;
    if (!z || !(s->data->labels || s->targets_are_classes)) return NAN;
    const size_t n = z->row_size;
    const double threshold = n == 1 ? nn__threshold(z) : 0;
    size_t correct = 0;
    for (size_t i = 0; i < nn__rows(z); i++)
        correct += nn__predicted_class(z->data + i * n, n, threshold) ==
                   nn__true_class(s->data, nn__sample(rows, first, i));
    return (double)correct;
}

/* -- evaluation -- */

typedef double nn__metric_fn(void *user, size_t rows, size_t cols, const nn_real *output,
                             const int *labels, const nn_real *targets);

static double nn__measure(const nn__session *s, nn__metric_fn *metric, void *user)
{
    const nn_tensor *z = s->judged->src[0], *answer = s->judged->src[1];
    const int labels = nn__has_labels(s->judged);
    return metric(user, nn__rows(z), z->row_size, z->data, labels ? answer->labels : NULL,
                  labels ? NULL : answer->data);
}

/* What evaluation knows of a tensor. A term is a scalar over the batch: its values for the chunks
   are averaged by weight, or added up. What is made of terms and of parameters alone (a sum of
   losses, a penalty) is computed again from the results. */
typedef struct nn__term {
    int varies, is_term; /* depends on the samples; is a term */
    double sum, weight;
} nn__term;

static void nn__find_terms(const nn__list *order, nn__term *terms)
{
    for (size_t i = 0; i < order->count; i++) {
        const nn_tensor *t = order->items[i];
        nn__term *term = &terms[t->id];
        term->varies = nn__as_input(t) != NULL;
        for (size_t j = 0; j < t->src_count; j++) {
            const int varies = terms[t->src[j]->id].varies;
            term->varies |= varies;
            term->is_term |= varies && nn__is_scalar(t) && !nn__is_scalar(t->src[j]);
        }
    }
}

static void nn__add_term(nn__term *term, const nn_tensor *t, size_t rows)
{
    const nn__loss *loss = nn__is_loss(t) ? nn__loss_of(t) : NULL;
    if (t->op == &nn__max) {
        if (term->weight == 0 || t->value > term->sum || term->sum != term->sum)
            term->sum = t->value;
        term->weight = 1;
    } else if ((loss && loss->reduction == NN_REDUCE_SUM) || (t->op->flags & NN__OP_SUMS)) {
        term->sum += t->value;
        term->weight = 1;
    } else {
        const double weight = loss ? loss->weight : (double)rows;
        term->sum += t->value * weight;
        term->weight += weight;
    }
}

/* Gives the terms their values over the whole set, and computes what is made of them. */
static nn_status nn__join_terms(const nn__list *order, const nn__term *terms)
{
    nn_status status = NN_OK;
    for (size_t i = 0; status == NN_OK && i < order->count; i++) {
        nn_tensor *t = order->items[i];
        const nn__term *term = &terms[t->id];
        if (nn__is_leaf(t) || !nn__is_scalar(t) || !term->varies) continue;
        if (!term->is_term) {
            status = t->op->forward(t);
            if (!(t->op->flags & NN_OP_VALUE)) t->value = (double)t->data[0];
            continue;
        }
        t->value = term->weight > 0 ? term->sum / term->weight : 0;
        t->data[0] = (nn_real)t->value;
    }
    return status;
}

/* One chunk of a data set. */
static nn_status nn__evaluate_chunk(const nn__session *s, size_t first, size_t n, nn__term *terms)
{
    nn_status status = nn__feed_batch(s, NULL, first, n, NULL);
    if (status == NN_OK) status = nn_forward(s->target);
    const nn__list *order = &s->target->net->plan.order;
    if (status == NN_OK && first == 0) nn__find_terms(order, terms);
    for (size_t i = 0; status == NN_OK && i < order->count; i++) {
        nn__term *term = &terms[order->items[i]->id];
        if (term->is_term) nn__add_term(term, order->items[i], n);
    }
    return status;
}

static nn_status nn__evaluate_session(const nn__session *s, nn__metric_fn *metric, void *user,
                                      nn_result *out)
{
    nn_net *net = s->target->net;
    const size_t count = s->data->count;
    double correct = 0, measured = 0;
    const int mode = net->mode;
    nn_status status = NN_OK;
    nn__term *terms = (nn__term *)nn__net_alloc(
        net, nn__bytes(s->target->id + 1, 1, sizeof *terms));
    if (!terms) return NN_ERROR_OUT_OF_MEMORY;
    memset(terms, 0, (s->target->id + 1) * sizeof *terms);
    net->mode = NN__MODE_EVALUATION;
    for (size_t i = 0; status == NN_OK && i < count; i += NN__EVALUATION_ROWS) {
        const size_t n = nn__min_size(NN__EVALUATION_ROWS, count - i);
        status = nn__evaluate_chunk(s, i, n, terms);
        if (status != NN_OK) break;
        correct += nn__count_correct(s, NULL, i);
        if (metric) measured += nn__measure(s, metric, user);
    }
    if (status == NN_OK) status = nn__join_terms(&net->plan.order, terms);
    net->ran = NULL; /* the values are no longer those of a batch */
    net->mode = mode;
    nn__net_release(net, terms);
    if (status != NN_OK) return status;
    out->loss = s->target->value;
    out->accuracy = correct / (double)count;
    out->metric = metric ? measured / (double)count : NAN;
    out->count = count;
    return NN_OK;
}

static nn_status nn__check_loss_tensor(const char *call, const nn_tensor *loss)
{
    if (nn__is_scalar(loss)) return NN_OK;
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: tensor %llu is '%s', expected a loss or another "
                                           "scalar", call, (nn__ull)loss->id, loss->op->name);
}

/* Names the first tensor in the order of computation that holds a value which is not finite. */
static nn_status nn__report_not_finite(const nn_net *net, const char *when)
{
    for (size_t i = 0; i < net->plan.order.count; i++) {
        const nn_tensor *x = net->plan.order.items[i];
        for (size_t j = 0; x->data && j < x->size; j++)
            if (!nn__is_finite((double)x->data[j]))
                return nn__fail(NN_ERROR_NOT_FINITE,
                                "%s, first non-finite value in tensor %llu '%s' (%s), element %llu",
                                when, (nn__ull)x->id, x->name, x->op->name, (nn__ull)j);
    }
    return nn__fail(NN_ERROR_NOT_FINITE, "%s, every tensor is", when);
}

NN_DEF nn_status nn_evaluate(nn_tensor *loss, const nn_dataset *data, nn_result *out)
{
    nn__session s;
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_evaluate: out is NULL");
    memset(out, 0, sizeof *out);
    nn_status status = nn__open_session(&s, "nn_evaluate", loss);
    if (status == NN_OK) status = nn__check_loss_tensor("nn_evaluate", loss);
    if (status == NN_OK) status = nn__use_data(&s, "nn_evaluate", data);
    if (status == NN_OK && loss->net->trained_on)
        status = nn__check_kin("nn_evaluate", data, loss->net->trained_on);
    if (status == NN_OK) status = nn__evaluate_session(&s, NULL, NULL, out);
    if (status == NN_OK && !nn__is_finite(out->loss))
        status = nn__report_not_finite(loss->net, "nn_evaluate: the loss is not finite");
    nn__close_session(&s);
    return status;
}

/* -- prediction -- */

/* Runs `output` on a data set, or on rows in memory, and calls f for each chunk. */
typedef struct nn__prediction {
    const char *call;
    nn_tensor *output;
    const nn_dataset *data;
    const nn_real *x; /* when there is no data set */
    size_t count;
    nn_status (*f)(void *user, const nn_tensor *output, size_t first);
    void *user;
    const nn__variation *variation; /* of the data set's samples; NULL: as they are */
} nn__prediction;

static nn_status nn__predict_chunk(const nn__prediction *p, nn_tensor *input, size_t first,
                                   size_t n)
{
    nn_status status =
        p->data ? nn__feed_samples(input, p->data, NULL, first, n, p->variation)
                : nn_feed(input, p->x + first * input->row_size, n);
    if (status == NN_OK) status = nn_forward(p->output);
    return status == NN_OK ? p->f(p->user, p->output, first) : status;
}

static nn_status nn__run_prediction(const nn__prediction *p)
{
    nn__session s;
    nn_status status = nn__open_session(&s, p->call, p->output);
    if (status == NN_OK && p->data) status = nn__check_features(p->call, s.input, p->data);
    if (status == NN_OK && p->data && p->output->net->trained_on)
        status = nn__check_same_samples(p->call, p->data, p->output->net->trained_on);
    if (status == NN_OK && !p->output->batched)
        status = nn__fail(NN_ERROR_BAD_SHAPE, "%s: the tensor has no value per sample", p->call);
    nn__close_session(&s);
    if (status != NN_OK) return status;
    nn_net *net = p->output->net;
    const int mode = net->mode;
    net->mode = NN__MODE_EVALUATION;
    for (size_t i = 0; status == NN_OK && i < p->count; i += NN__EVALUATION_ROWS)
        status = nn__predict_chunk(p, s.input, i, nn__min_size(NN__EVALUATION_ROWS, p->count - i));
    net->mode = mode;
    return status;
}

static nn_status nn__copy_output(void *user, const nn_tensor *output, size_t first)
{
    nn_real *out = (nn_real *)user + first * output->row_size;
    memcpy(out, output->data, output->size * sizeof *out);
    return NN_OK;
}

NN_DEF nn_status nn_predict(nn_tensor *output, const nn_dataset *data, nn_real *out)
{
    nn__prediction p = {"nn_predict", output, data, NULL, 0, nn__copy_output, out, NULL};
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_predict: out is NULL");
    nn_status status = nn__check_tensor(p.call, output);
    if (status == NN_OK) status = nn__check_dataset(p.call, data);
    if (status != NN_OK) return status;
    p.count = data->count;
    return nn__run_prediction(&p);
}

/* Adds an output to those for the same samples otherwise varied. */
static nn_status nn__add_output(void *user, const nn_tensor *output, size_t first)
{
    nn_real *out = (nn_real *)user + first * output->row_size;
    nn__k()->add(output->size, out, output->data, out);
    return NN_OK;
}

/* The mean over both directions, or the one, and three places, or the one. */
static nn_status nn__predict_mean(nn__prediction *p, const nn_predict_desc *d, nn_real *out)
{
    static const int directions[] = {0, -1, 1};
    const int places = d->shift ? 3 : 1, views = d->flip ? 2 * places : places;
    nn__variation v;
    nn_status status = NN_OK;
    memset(&v, 0, sizeof v);
    p->variation = &v;
    v.pose.reflect = d->reflect;
    for (int i = 0; status == NN_OK && i < views; i++) {
        const ptrdiff_t shift = (ptrdiff_t)d->shift * directions[i % places];
        v.pose.flip = i >= places;
        v.pose.right = v.pose.down = shift;
        v.pose.is_moved = v.pose.flip || shift;
        p->f = i ? nn__add_output : nn__copy_output;
        status = nn__run_prediction(p);
    }
    if (status != NN_OK) return status;
    nn__k()->scale(p->count * p->output->row_size, (nn_real)(1.0 / views), out, out);
    return NN_OK;
}

NN_DEF nn_status nn_predict_with(nn_tensor *output, const nn_dataset *data,
                                 const nn_predict_desc *desc, nn_real *out)
{
    nn__prediction p = {"nn_predict_with", output, data, NULL, 0, nn__copy_output, out, NULL};
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_predict_with: out is NULL");
    nn_status status = nn__check_tensor(p.call, output);
    if (status == NN_OK) status = nn__check_dataset(p.call, data);
    if (status != NN_OK) return status;
    p.count = data->count;
    if (!desc) return nn__run_prediction(&p);
    nn_augment a;
    memset(&a, 0, sizeof a);
    a.flip = desc->flip ? NN_FLIP_RANDOM : NN_FLIP_NONE;
    a.shift = desc->shift, a.reflect = desc->reflect;
    status = nn__check_augment(p.call, "", &a, data);
    return status == NN_OK ? nn__predict_mean(&p, desc, out) : status;
}

NN_DEF nn_status nn_predict_rows(nn_tensor *output, const nn_real *x, size_t rows, nn_real *out)
{
    nn__prediction p = {"nn_predict_rows", output, NULL, x, rows, nn__copy_output, out, NULL};
    if (!x || !out || rows == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_predict_rows: %s",
                        !x ? "x is NULL" : !out ? "out is NULL" : "0 rows, expected at least 1");
    return nn__run_prediction(&p);
}

typedef struct nn__confusion {
    const nn_dataset *data;
    size_t *matrix;
} nn__confusion;

static nn_status nn__count_confusion(void *user, const nn_tensor *output, size_t first)
{
    const nn__confusion *c = (const nn__confusion *)user;
    const size_t n = output->row_size, classes = (size_t)c->data->classes;
    const double threshold = n == 1 ? nn__threshold(output) : 0;
    for (size_t r = 0; r < nn__rows(output); r++) {
        const size_t found = nn__predicted_class(output->data + r * n, n, threshold);
        if (found >= classes)
            return nn__fail(NN_ERROR_NOT_FINITE,
                            "nn_confusion_matrix: the output for sample %llu is "
                            "not a number",
                            (nn__ull)(first + r));
        c->matrix[(size_t)c->data->labels[first + r] * classes + found]++;
    }
    return NN_OK;
}

NN_DEF nn_status nn_confusion_matrix(nn_tensor *output, const nn_dataset *data, size_t *matrix)
{
    nn__confusion c = {data, matrix};
    nn__prediction p = {"nn_confusion_matrix", output, data, NULL, 0, nn__count_confusion, &c,
                        NULL};
    nn_status status = nn__check_tensor(p.call, output);
    if (status == NN_OK) status = nn__check_dataset(p.call, data);
    if (status != NN_OK) return status;
    if (!matrix || !data->labels)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s", p.call,
                        matrix ? "the data set has no labels" : "the matrix is NULL");
    const size_t outputs = output->row_size, classes = (size_t)data->classes;
    if ((outputs == 1 ? 2 : outputs) != classes)
        return nn__fail(NN_ERROR_BAD_SHAPE, "%s: %llu outputs for %llu classes", p.call,
                        (nn__ull)outputs, (nn__ull)classes);
    if (output->net->trained_on)
        status = nn__check_same_classes(p.call, data, output->net->trained_on);
    if (status != NN_OK) return status;
    memset(matrix, 0, classes * classes * sizeof *matrix);
    p.count = data->count;
    return nn__run_prediction(&p);
}

/* ----------------------------------------------------------------------------------- >>shadows
   Copies of a network's values beside them: the best so far, their average, the slow weights of
   Lookahead. A shadow is one array: the parameters that there were when it was made, in their
   order, and the buffers. */
#ifndef NN_NO_TRAINING

typedef struct nn__shadow {
    nn_real *values; /* NULL: there is none */
    size_t parameters, buffers;
} nn__shadow;

static nn_tensor *nn__shadowed(const nn_net *net, const nn__shadow *s, size_t i)
{
    if (i < s->parameters) return net->parameters.items[i];
    return i - s->parameters < s->buffers ? net->buffers.items[i - s->parameters] : NULL;
}

/* A shadow of the present values. */
static nn_status nn__make_shadow(nn_net *net, int has_buffers, nn__shadow *s)
{
    const nn_tensor *t;
    size_t count = 0; /* fits: the values have been allocated */
    s->parameters = net->parameters.count;
    s->buffers = has_buffers ? net->buffers.count : 0;
    for (size_t i = 0; (t = nn__shadowed(net, s, i)) != NULL; i++) count += t->size;
    s->values =
        (nn_real *)nn__net_alloc(net, nn__bytes(1, nn__max_size(count, 1), sizeof *s->values));
    if (!s->values) return NN_ERROR_OUT_OF_MEMORY;
    nn_real *x = s->values;
    for (size_t i = 0; (t = nn__shadowed(net, s, i)) != NULL; x += t->size, i++)
        memcpy(x, t->data, t->size * sizeof *x);
    return NN_OK;
}

/* For each value w of the network and a of the shadow. */
typedef enum nn__shadow_use {
    NN__SHADOW_KEEP,    /* a = w */
    NN__SHADOW_RESTORE, /* w = a */
    NN__SHADOW_SWAP,
    NN__SHADOW_APPROACH /* a += share (w - a): exact where they are equal */
} nn__shadow_use;

static void nn__use_shadow(nn_net *net, const nn__shadow *s, nn__shadow_use use, double share)
{
    nn_tensor *t;
    nn_real *a = s->values;
    for (size_t i = 0; a && (t = nn__shadowed(net, s, i)) != NULL; a += t->size, i++) {
        nn_real *w = t->data;
        if (use == NN__SHADOW_KEEP) memcpy(a, w, t->size * sizeof *a);
        if (use == NN__SHADOW_RESTORE) memcpy(w, a, t->size * sizeof *a);
        for (size_t j = 0; use == NN__SHADOW_APPROACH && j < t->size; j++)
            a[j] += (nn_real)share * (w[j] - a[j]);
        for (size_t j = 0; use == NN__SHADOW_SWAP && j < t->size; j++) {
            const nn_real kept = w[j];
            w[j] = a[j];
            a[j] = kept;
        }
    }
}
#endif

/* ------------------------------------------------------------------------------- >>export-text
   What nn_export_c writes of >>math and >>kernels: the same steps for one number at a time, so that
   the bits are the same. In these texts @ is the network's name, $R the type of reals, $U that of
   their bits, and $a, $b, ... are the numbers of nn__export_numbers, $#a as a whole number. */
#ifndef NN_NO_STDIO

enum { /* a function of the generated file; those that it needs come before it */
    NN__NEED_BITS, NN__NEED_FMA, NN__NEED_ABS, NN__NEED_QUOTIENT, NN__NEED_EXP_REDUCED,
    NN__NEED_EXP_PAIR, NN__NEED_EXP, NN__NEED_EXPM1_PAIR, NN__NEED_EXPM1, NN__NEED_LOG,
    NN__NEED_LOG_EVERYWHERE, NN__NEED_TANH, NN__NEED_SIGMOID, NN__NEED_SOFTPLUS, NN__NEED_GELU,
    NN__NEED_EXP_SUM, NN__NEED_SOFTMAX, NN__NEED_LOG_SOFTMAX, NN__NEED_DENSE, NN__NEED_CODES,
    NN__NEED_INT8, NN__NEED_MATMUL, NN__NEED_CONV_SHAPE, NN__NEED_CONV, NN__NEED_CONV_INT8,
    NN__NEED_CONV_TRANSPOSE, NN__NEED_WINDOWS, NN__NEED_MAX_POOL, NN__NEED_SUM_POOL, NN__NEED_SQRT,
    NN__NEED_LAYER_NORM, NN__NEED_GROUP_NORM, NN__NEED_COUNT /* at most 32 */
};
#define NN__NEEDS(name) (1u << NN__NEED_##name)
#ifdef NN_DOUBLE
#define NN__EXPORT_SQRT "sqrt"
#else
#define NN__EXPORT_SQRT "sqrtf"
#endif

static const double nn__export_numbers[] = {
    /* a */ 1.44269504088896340736,  /* b */ NN__ROUND_MAGIC,
    /* c */ -0.69314718055994530942, /* d */ -NN__LN2_LOW,
    /* e */ NN__EXP_LOW,             /* f */ NN__EXP_HIGH,
    /* g */ NN__EXPM1_LOW,           /* h */ NN__EXPM1_HIGH / 4,
    /* i */ NN__ROUND_MAGIC + NN__EXPONENT_BIAS,
    /* j */ NN__EXP_TERMS,           /* k */ NN__LOG_TERMS,
    /* l */ sizeof nn__erfc_terms / sizeof *nn__erfc_terms,
    /* m */ 0.70710678118654752440,  /* n */ sizeof(nn_real) == 4 ? 3.4028234663852886e38 : DBL_MAX,
    /* o */ sizeof(nn_real) == 4 ? 1.17549435082228751e-38 : DBL_MIN,
    /* p */ (double)((nn__bits)1 << NN__MANTISSA),
    /* q */ NN__MANTISSA * 0.69314718055994530942,
    /* r */ 0.69314718055994530942,  /* s */ NN__MANTISSA,
    /* t */ NN__EXPONENT_BIAS,
    /* u */ (double)(((nn__bits)NN__EXPONENT_BIAS << NN__MANTISSA) - NN__HALF_SQRT_BITS),
    /* v */ sizeof(nn_real) == 4 ? 2143289344.0 : 9221120237041090560.0, /* NaN's bits */
    /* w */ 0.5,
    /* x */ 1e-30,                   /* y */ 1.7159,
    /* z */ 2.0 / 3};

static const char nn__export_bits[] =
    "static $U @_bits($R x)\n{\n    $U bits;\n    memcpy(&bits, &x, sizeof bits);\n"
    "    return bits;\n}\n\n"
    "static $R @_real($U bits)\n{\n    $R x;\n    memcpy(&x, &bits, sizeof x);\n"
    "    return x;\n}\n\n";

/* For float where the processor has no fused multiply-add: 128 significant bits are never needed,
   because what the smaller addend loses only says that something was lost (a sticky bit). */
static const char nn__export_fma[] =
#if defined(NN_NO_FMA)
    "static $R @_fma($R a, $R b, $R c)\n{\n    const $R p = a * b;\n    return p + c;\n}\n\n";
#elif defined(NN_DOUBLE)
    "#define @_fma(a, b, c) fma(a, b, c)\n\n";
#else
    "/* a b + c with one rounding */\n"
    "#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA) || \\\n"
    "    defined(__aarch64__)\n"
    "#define @_fma(a, b, c) __builtin_fmaf(a, b, c)\n"
    "#else\n"
    "static uint64_t @_significand(uint32_t bits, int exponent)\n{\n"
    "    return (bits & 0x7fffffu) | (exponent ? 0x800000u : 0u);\n}\n\n"
    "/* m 2^-by; the last bit says whether anything was lost */\n"
    "static uint64_t @_shifted(uint64_t m, int by)\n{\n"
    "    if (by >= 63) return m != 0;\n"
    "    return m >> by | ((m & (((uint64_t)1 << by) - 1)) != 0);\n}\n\n"
    "/* m 2^e, m > 0, rounded to a float */\n"
    "static float @_rounded(uint64_t m, int e, uint32_t sign)\n{\n"
    "    uint32_t r;\n"
    "    for (; !(m >> 62); e--) m <<= 1;\n"
    "    e += 189;\n"
    "    if (e < 1) m = @_shifted(m, 1 - e);\n"
    "    r = (uint32_t)(m >> 39);\n"
    "    m &= ((uint64_t)1 << 39) - 1;\n"
    "    r += m > (uint64_t)1 << 38 || (m == (uint64_t)1 << 38 && (r & 1));\n"
    "    if (e > 1) r += (uint32_t)(e - 1) << 23;\n"
    "    return @_real(sign | (e > 254 ? 0x7f800000u : r));\n}\n\n"
    "static float @_fma(float a, float b, float c)\n{\n"
    "    const uint32_t x = @_bits(a), y = @_bits(b), z = @_bits(c);\n"
    "    const uint32_t sign = (x ^ y) & 0x80000000u, other = z & 0x80000000u;\n"
    "    const int s = (int)(x >> 23 & 255), t = (int)(y >> 23 & 255), u = (int)(z >> 23 & 255);\n"
    "    uint64_t p, q;\n    int e, f;\n"
    "    if (s == 255 || t == 255 || !(x << 1) || !(y << 1)) return a * b + c;\n"
    "    if (u == 255) return c;\n"
    "    p = @_significand(x, s) * @_significand(y, t) << 14;\n"
    "    q = @_significand(z, u) << 38;\n"
    "    e = s + t + !s + !t - 314;\n"
    "    f = u + !u - 188;\n"
    "    for (; !(p >> 61); e--) p <<= 1;\n"
    "    if (!q) return @_rounded(p, e, sign);\n"
    "    for (; !(q >> 61); f--) q <<= 1;\n"
    "    if (e >= f) q = @_shifted(q, e - f);\n"
    "    else p = @_shifted(p, f - e), e = f;\n"
    "    if (sign == other) return @_rounded(p + q, e, sign);\n"
    "    if (p == q) return 0;\n"
    "    return p > q ? @_rounded(p - q, e, sign) : @_rounded(q - p, e, other);\n}\n"
    "#endif\n\n";
#endif

static const char nn__export_exp_reduced[] =
    "/* x = n ln 2 + r: exp(r) - 1, and in *t n with its whole part in the low bits */\n"
    "static $R @_exp_reduced($R x, $R *t)\n{\n"
    "    $R n, r, q;\n    int k;\n"
    "    *t = @_fma(x, $a, $b);\n"
    "    n = *t - $b;\n"
    "    r = @_fma(n, $c, x);\n"
    "    r = @_fma(n, $d, r);\n"
    "    q = @_exp_terms[0];\n"
    "    for (k = 1; k < $#j; k++) q = @_fma(q, r, @_exp_terms[k]);\n"
    "    return @_fma(r * r, q, r);\n}\n\n"
    "static $R @_pow2($R t) { return @_real((@_bits(t) + $#t) << $#s); }\n\n";

static const char nn__export_exp_pair[] =
    "/* exp(x), and in *low what its rounding lost */\n"
    "static $R @_exp_pair($R x, $R *low)\n{\n"
    "    $R t, p, n, half, rest, s, e;\n"
    "    x = $e > x ? $e : x;\n"
    "    x = $f < x ? $f : x;\n"
    "    p = @_exp_reduced(x, &t);\n"
    "    n = t - $b;\n"
    "    half = @_fma(n, $w, $b);\n"
    "    rest = @_pow2((n - (half - $b)) + $b);\n"
    "    s = @_pow2(half);\n"
    "    e = @_fma(p, s, s);\n"
    "    *low = @_fma(p, s, s - e) * rest;\n"
    "    return e * rest;\n}\n\n";

static const char nn__export_exp[] =
    "static $R @_exp($R x)\n{\n    $R low;\n    return @_exp_pair(x, &low);\n}\n\n";

static const char nn__export_expm1_pair[] =
    "/* exp(x) - 1, and what its rounding lost */\n"
    "static $R @_expm1_pair($R x, $R *low)\n{\n"
    "    $R t, p = @_exp_reduced($g > x ? $g : x, &t), s = @_pow2(t), less = s - 1;\n"
    "    const $R e = @_fma(p, s, less);\n"
    "    *low = @_fma(p, s, less - e);\n"
    "    return e;\n}\n\n";

static const char nn__export_expm1[] =
    "static $R @_expm1($R x)\n{\n    $R low;\n    return @_expm1_pair(x, &low);\n}\n\n";

static const char nn__export_quotient[] =
    "/* (a + a_low) / (b + b_low) */\n"
    "static $R @_quotient($R a, $R a_low, $R b, $R b_low)\n{\n"
    "    const $R w = 1 / b, q = a * w;\n"
    "    const $R left = @_fma(0 - q, b, a) + @_fma(0 - q, b_low, a_low);\n"
    "    return @_fma(left, w, q);\n}\n\n";

static const char nn__export_abs[] =
    "static $R @_abs($R x) { return @_real(@_bits(x) << 1 >> 1); }\n\n";

static const char nn__export_log[] =
    "/* ln x for normal x */\n"
    "static $R @_log($R x)\n{\n"
    "    const $U biased = (@_bits(x) + $#u) >> $#s;\n"
    "    const $R m = @_real(@_bits(x) - ((biased - $#t) << $#s));\n"
    "    const $R e = @_real(biased + @_bits($b)) - $i;\n"
    "    const $R f = m - 1, s = f / (m + 1), z = s * s;\n"
    "    $R q = @_log_terms[0], low;\n    int k;\n"
    "    for (k = 1; k < $#k; k++) q = @_fma(q, z, @_log_terms[k]);\n"
    "    low = @_fma(s, f - z * q, e * $d);\n"
    "    low = @_fma(e, $r, f - low);\n"
    "    return x <= $n ? low : x;\n}\n\n";

static const char nn__export_log_everywhere[] =
    "/* ln x for every x */\n"
    "static $R @_ln($R x)\n{\n"
    "    const int subnormal = x < $o;\n"
    "    $R y;\n"
    "    if (!(x > 0)) return x < 0 ? @_real($#v) : x == 0 ? -1 / (x * x) : x;\n"
    "    y = @_log(subnormal ? x * $p : x);\n"
    "    return subnormal ? y - $q : y;\n}\n\n";

static const char nn__export_tanh[] =
    "static $R @_tanh($R x)\n{\n"
    "    const $R size = @_abs(x), a = $h < size ? $h : size;\n"
    "    $R low, e = @_expm1_pair(a + a, &low), d = e + 2, y;\n"
    "    const $R large = e > 2 ? e : 2, lesser = e < 2 ? e : 2;\n"
    "    y = @_quotient(e, low, d, ((large - d) + lesser) + low);\n"
    "    return @_real(@_bits(y) + (@_bits(x) - @_bits(size)));\n}\n\n";

static const char nn__export_sigmoid[] =
    "static $R @_sigmoid($R x)\n{\n"
    "    $R low, e = @_exp_pair(0 - @_abs(x), &low), d = e + 1;\n"
    "    const $R d_low = ((1 - d) + e) + low;\n"
    "    return x < 0 ? @_quotient(e, low, d, d_low) : @_quotient(1, 0, d, d_low);\n}\n\n";

static const char nn__export_softplus[] =
    "static $R @_softplus($R x)\n{\n"
    "    const $R u = @_exp(0 - @_abs(x)), w = u + 1, lost = u - (w - 1);\n"
    "    const $R tail = @_log(w) + lost / w;\n"
    "    return (0 > x ? 0 : x) + tail;\n}\n\n";

static const char nn__export_gelu[] =
    "static $R @_gelu($R x)\n{\n"
    "    const $R size = @_abs(x), a = size * $m, t = 3 / (a + 3), u = (t + t) - 1;\n"
    "    const $R near = 40 < size ? 40 : size, half = near * $w, square = half * near;\n"
    "    const $R lost = @_fma(half, near, 0 - square), y = @_exp(0 - square);\n"
    "    const $R gauss = @_fma(0 - y, lost, y);\n"
    "    $R h = @_erfc_terms[$#l - 1], tail;\n    int k;\n"
    "    for (k = $#l - 2; k >= 0; k--) h = @_fma(h, u, @_erfc_terms[k]);\n"
    "    tail = (gauss * t) * (h * $w);\n"
    "    return x * (x < 0 ? tail : 1 - tail);\n}\n\n";

static const char nn__export_exp_sum[] =
    "static $R @_largest(size_t n, const $R *x)\n{\n"
    "    $R max = -$n;\n    size_t i;\n"
    "    for (i = 0; i < n; i++) max = x[i] > max ? x[i] : max;\n"
    "    return max;\n}\n\n"
    "/* the sum of exp(x - max), in 16 parts that are then joined in pairs */\n"
    "static $R @_exp_sum(size_t n, const $R *x, $R max)\n{\n"
    "    $R part[16] = {0};\n    size_t i, step;\n"
    "    for (i = 0; i < n; i++) part[i % 16] += @_exp(x[i] - max);\n"
    "    for (step = 8; step; step /= 2)\n"
    "        for (i = 0; i < step; i++) part[i] += part[i + step];\n"
    "    return part[0];\n}\n\n";

static const char nn__export_softmax[] =
    "static void @_softmax(size_t n, const $R *x, $R *y)\n{\n"
    "    const $R max = @_largest(n, x), scale = 1 / @_exp_sum(n, x, max);\n    size_t i;\n"
    "    for (i = 0; i < n; i++) y[i] = @_exp(x[i] - max) * scale;\n}\n\n";

static const char nn__export_log_softmax[] =
    "static void @_log_softmax(size_t n, const $R *x, $R *y)\n{\n"
    "    const $R max = @_largest(n, x), log_sum = @_log(@_exp_sum(n, x, max));\n    size_t i;\n"
    "    for (i = 0; i < n; i++) y[i] = (x[i] - max) - log_sum;\n}\n\n";

/* Four columns at a time share what is loaded of x. */
static const char nn__export_dense[] =
    "/* y[n] = x[k] w[k,n] + b[n], each summed from b on over k = 0, 1, 2, ... */\n"
    "static void @_dense(size_t k, size_t n, const $R *x, const $R *w, const $R *b, $R *y)\n{\n"
    "    size_t i, j = 0;\n"
    "    for (; j + 4 <= n; j += 4) {\n"
    "        $R s = b ? b[j] : 0, t = b ? b[j + 1] : 0;\n"
    "        $R u = b ? b[j + 2] : 0, v = b ? b[j + 3] : 0;\n"
    "        for (i = 0; i < k; i++) {\n"
    "            const $R z = x[i], *row = w + i * n + j;\n"
    "            s = @_fma(z, row[0], s);\n            t = @_fma(z, row[1], t);\n"
    "            u = @_fma(z, row[2], u);\n            v = @_fma(z, row[3], v);\n"
    "        }\n"
    "        y[j] = s;\n        y[j + 1] = t;\n        y[j + 2] = u;\n        y[j + 3] = v;\n"
    "    }\n"
    "    for (j = n - n % 4; j < n; j++) {\n"
    "        $R s = b ? b[j] : 0;\n"
    "        for (i = 0; i < k; i++) s = @_fma(x[i], w[i * n + j], s);\n"
    "        y[j] = s;\n"
    "    }\n}\n\n";

/* nn__quantize computes the same. */
static const char nn__export_codes[] =
    "/* x[n] as whole numbers up to 127, @_codes; returns what one of them stands for */\n"
    "static $R @_encode(size_t n, const $R *x)\n{\n"
    "    size_t i;\n    $R max = 0, inverse;\n"
    "    for (i = 0; i < n; i++) max = @_abs(x[i]) > max ? @_abs(x[i]) : max;\n"
    "    inverse = max > $x ? 127 / max : 0;\n"
    "    for (i = 0; i < n; i++) {\n"
    "        const $R c = x[i] * inverse;\n"
    "        const int code = c > -128 && c < 128 ? (int)(c + (c < 0 ? -$w : $w)) : 0;\n"
    "        @_codes[i] = (signed char)(code > 127 ? 127 : code < -127 ? -127 : code);\n"
    "    }\n"
    "    return max / 127;\n}\n\n"
    "/* sum[4] += z[k] w[k,4], or of fewer columns; the rows of w are n apart */\n"
    "static void @_add_products(size_t k, size_t n, size_t columns, const signed char *z,\n"
    "                           const signed char *w, int32_t *sum)\n{\n"
    "    const signed char *const end = z + k, *at;\n"
    "    int32_t s = sum[0], t = sum[1], u = sum[2], v = sum[3];\n"
    "    if (columns == 4) {\n"
    "        for (;; w += n) {\n"
    "            const int c = *z++;\n"
    "            s += c * w[0];\n            t += c * w[1];\n"
    "            u += c * w[2];\n            v += c * w[3];\n"
    "            if (z == end) break;\n"
    "        }\n"
    "        sum[0] = s;\n        sum[1] = t;\n        sum[2] = u;\n        sum[3] = v;\n"
    "        return;\n    }\n"
    "    for (; columns; columns--, w++, sum++) {\n"
    "        const signed char *row = w;\n"
    "        s = *sum;\n"
    "        for (at = z;; row += n) {\n"
    "            s += *at++ * *row;\n"
    "            if (at == end) break;\n"
    "        }\n"
    "        *sum = s;\n"
    "    }\n}\n\n"
    "/* y[n] = sum[n] steps + b */\n"
    "static void @_decode(size_t n, const int32_t *sum, $R step, const $R *scale, const $R *b,\n"
    "                     $R *y)\n{\n"
    "    size_t i;\n"
    "    for (i = 0; i < n; i++) y[i] = @_fma(($R)sum[i], step * scale[i], b ? b[i] : 0);\n"
    "}\n\n";

static const char nn__export_int8[] =
    "/* The same with whole numbers for x, and for w in steps of scale[n] */\n"
    "static void @_dense(size_t k, size_t n, const $R *x, const signed char *w, const $R *scale,\n"
    "                    const $R *b, $R *y)\n{\n"
    "    const $R step = @_encode(k, x);\n    size_t j;\n"
    "    for (j = 0; j < n; j += 4) {\n"
    "        const size_t m = n - j < 4 ? n - j : 4;\n"
    "        int32_t sum[4] = {0};\n"
    "        @_add_products(k, n, m, @_codes, w + j, sum);\n"
    "        @_decode(m, sum, step, scale + j, b ? b + j : b, y + j);\n"
    "    }\n}\n\n";

static const char nn__export_matmul[] =
    "/* c[m,n] = a b, where a moves by am and ak along its dimensions and b by bk and bn */\n"
    "static void @_matmul(size_t m, size_t n, size_t k, const $R *a, size_t am, size_t ak,\n"
    "                     const $R *b, size_t bk, size_t bn, $R *c)\n{\n"
    "    size_t i, j, l;\n"
    "    for (i = 0; i < m; i++)\n"
    "        for (j = 0; j < n; j++) {\n"
    "            $R s = 0;\n"
    "            for (l = 0; l < k; l++) s = @_fma(a[i * am + l * ak], b[l * bk + j * bn], s);\n"
    "            c[i * n + j] = s;\n"
    "        }\n}\n\n";

/* The members of nn__conv; `skips` where a tap outside of the image does not count, which changes
   no more than the sign of a zero. */
static const char nn__export_conv_shape[] =
    "typedef struct @_shape {\n"
    "    size_t h, w, ci, oh, ow, co, kh, kw, stride, dilation, groups, top, left, skips;\n"
    "} @_shape;\n\n";

static const char nn__export_conv[] =
    "/* y[oh,ow,co] from x[h,w,ci] and w[kh,kw,ci/groups,co]: sums from b on, over kh, kw, ci */\n"
    "static void @_conv(const @_shape *c, const $R *x, const $R *w, const $R *b, $R *y)\n{\n"
    "    const size_t k = c->ci / c->groups, n = c->co / c->groups;\n"
    "    size_t at, tap, i, j;\n"
    "    for (at = 0; at < c->oh * c->ow; at++, y += c->co) {\n"
    "        for (j = 0; j < c->co; j++) y[j] = b ? b[j] : 0;\n"
    "        for (tap = 0; tap < c->kh * c->kw; tap++) {\n"
    "            const size_t v = at / c->ow * c->stride + tap / c->kw * c->dilation - c->top;\n"
    "            const size_t u = at % c->ow * c->stride + tap % c->kw * c->dilation - c->left;\n"
    "            const int inside = v < c->h && u < c->w; /* what is negative is large */\n"
    "            const $R *row = w + tap * k * c->co;\n"
    "            if (!inside && c->skips) continue;\n"
    "            for (i = 0; i < c->ci; i++) {\n"
    "                const $R z = inside ? x[(v * c->w + u) * c->ci + i] : 0;\n"
    "                const size_t first = i / k * n;\n"
    "                for (j = first; j < first + n; j++)\n"
    "                    y[j] = @_fma(z, row[i % k * c->co + j], y[j]);\n"
    "            }\n        }\n    }\n}\n\n";

static const char nn__export_conv_int8[] =
    "/* y[oh,ow,co] from whole numbers for x[h,w,ci] and w[kh,kw,ci/groups,co] */\n"
    "static void @_conv8(const @_shape *c, const $R *x, const signed char *w, const $R *scale,\n"
    "                    const $R *b, $R *y)\n{\n"
    "    const size_t k = c->ci / c->groups, n = c->co / c->groups;\n"
    "    const $R step = @_encode(c->h * c->w * c->ci, x);\n"
    "    size_t at, tap, j, m;\n"
    "    for (at = 0; at < c->oh * c->ow; at++, y += c->co)\n"
    "        for (j = 0; j < c->co; j += m) {\n"
    "            int32_t sum[4] = {0};\n"
    "            m = n - j % n < 4 ? n - j % n : 4;\n"
    "            for (tap = 0; tap < c->kh * c->kw; tap++) {\n"
    "                size_t v = at / c->ow * c->stride + tap / c->kw * c->dilation;\n"
    "                size_t u = at % c->ow * c->stride + tap % c->kw * c->dilation;\n"
    "                v -= c->top;\n                u -= c->left;\n"
    "                if (v >= c->h || u >= c->w) continue; /* what is negative is large */\n"
    "                @_add_products(k, c->co, m, @_codes + (v * c->w + u) * c->ci + j / n * k,\n"
    "                               w + tap * k * c->co + j, sum);\n"
    "            }\n"
    "            @_decode(m, sum, step, scale + j, b ? b + j : b, y + j);\n"
    "        }\n}\n\n";

static const char nn__export_conv_transpose[] =
    "/* The same backwards, y[h,w,ci] from x[oh,ow,co]: sums over kh, kw, co */\n"
    "static void @_conv_transpose(const @_shape *c, const $R *x, const $R *w, const $R *b, $R *y)\n"
    "{\n"
    "    const size_t k = c->co / c->groups, n = c->ci / c->groups;\n"
    "    const ptrdiff_t s = (ptrdiff_t)c->stride;\n"
    "    size_t at, tap, i, j;\n"
    "    for (at = 0; at < c->h * c->w; at++, y += c->ci) {\n"
    "        for (i = 0; i < c->ci; i++) y[i] = b ? b[i] : 0;\n"
    "        for (tap = 0; tap < c->kh * c->kw; tap++) {\n"
    "            const ptrdiff_t v = (ptrdiff_t)(at / c->w + c->top) -\n"
    "                                (ptrdiff_t)(tap / c->kw * c->dilation);\n"
    "            const ptrdiff_t u = (ptrdiff_t)(at % c->w + c->left) -\n"
    "                                (ptrdiff_t)(tap % c->kw * c->dilation);\n"
    "            const size_t oy = (size_t)(v / s), ox = (size_t)(u / s);\n"
    "            const int inside = v >= 0 && u >= 0 && oy < c->oh && ox < c->ow;\n"
    "            if (v % s || u % s || (!inside && c->skips)) continue;\n"
    "            for (i = 0; i < c->ci; i++) {\n"
    "                const size_t first = i / n * k;\n"
    "                const $R *row = w + (tap * n + i % n) * c->co;\n"
    "                for (j = first; j < first + k; j++) {\n"
    "                    const $R z = inside ? x[(oy * c->ow + ox) * c->co + j] : 0;\n"
    "                    y[i] = @_fma(z, row[j], y[i]);\n"
    "                }\n            }\n        }\n    }\n}\n\n";

/* The members of nn__pool. */
static const char nn__export_windows[] =
    "typedef struct @_windows {\n"
    "    size_t in[2], out[2], channels, kernel[2], stride[2], padding[2], adaptive;\n"
    "    $R divisor; /* 0: the pixels of the window that lie in the image */\n"
    "} @_windows;\n\n"
    "/* window o lies between them, along dimension d */\n"
    "static size_t @_begin(const @_windows *p, int d, size_t o)\n{\n"
    "    if (p->adaptive) return o * p->in[d] / p->out[d];\n"
    "    o *= p->stride[d];\n"
    "    return o > p->padding[d] ? o - p->padding[d] : 0;\n}\n\n"
    "static size_t @_end(const @_windows *p, int d, size_t o)\n{\n"
    "    if (p->adaptive) return ((o + 1) * p->in[d] + p->out[d] - 1) / p->out[d];\n"
    "    o = o * p->stride[d] + p->kernel[d] - p->padding[d];\n"
    "    return o < p->in[d] ? o : p->in[d];\n}\n\n";

#define NN__EXPORT_POOL(name, body)                                                                \
    "static void @_" name "(const @_windows *p, const $R *x, $R *y)\n{\n"                          \
    "    size_t at, i, r, q;\n"                                                                    \
    "    for (at = 0; at < p->out[0] * p->out[1]; at++)\n"                                         \
    "        for (i = 0; i < p->channels; i++, y++) {\n"                                           \
    "            const size_t row = p->in[1] * p->channels, step = p->channels;\n"                 \
    "            const size_t top = @_begin(p, 0, at / p->out[1]);\n"                              \
    "            const size_t bottom = @_end(p, 0, at / p->out[1]);\n"                             \
    "            const size_t left = @_begin(p, 1, at % p->out[1]);\n"                             \
    "            const size_t right = @_end(p, 1, at % p->out[1]);\n" body "        }\n}\n\n"

static const char nn__export_max_pool[] = NN__EXPORT_POOL(
    "max_pool",
    "            *y = x[top * row + left * step + i];\n"
    "            for (r = top; r < bottom; r++)\n"
    "                for (q = left; q < right; q++) {\n"
    "                    const $R v = x[r * row + q * step + i];\n"
    "                    if (*y < v || v != v) *y = v;\n"
    "                }\n");

/* The rows of the window are summed each, then together. */
static const char nn__export_sum_pool[] = NN__EXPORT_POOL(
    "average_pool",
    "            $R sum = 0;\n"
    "            for (r = top; r < bottom; r++) {\n"
    "                $R part = 0;\n"
    "                for (q = left; q < right; q++) part += x[r * row + q * step + i];\n"
    "                sum += part;\n"
    "            }\n"
    "            if (p->divisor > 0) *y = sum / p->divisor;\n"
    "            else *y = sum / ($R)((bottom - top) * (right - left));\n");
#undef NN__EXPORT_POOL

static const char nn__export_layer_norm[] =
    "static $R @_sum_of_16($R *part)\n{\n    size_t i, step;\n"
    "    for (step = 8; step; step /= 2)\n"
    "        for (i = 0; i < step; i++) part[i] += part[i + step];\n"
    "    return part[0];\n}\n\n"
    "/* y = (x - mean) / sqrt(variance + epsilon) * w + b */\n"
    "static void @_layer_norm(size_t n, const $R *x, $R epsilon, const $R *w, const $R *b, $R *y)\n"
    "{\n"
    "    $R sums[16] = {0}, squares[16] = {0}, mean, inverse;\n    size_t i;\n"
    "    for (i = 0; i < n; i++) sums[i % 16] += x[i];\n"
    "    mean = @_sum_of_16(sums) / ($R)n;\n"
    "    for (i = 0; i < n; i++) y[i] = x[i] - mean;\n"
    "    for (i = 0; i < n; i++) squares[i % 16] = @_fma(y[i], y[i], squares[i % 16]);\n"
    "    inverse = 1 / " NN__EXPORT_SQRT "(@_sum_of_16(squares) / ($R)n + epsilon);\n"
    "    for (i = 0; i < n; i++) {\n"
    "        y[i] = y[i] * inverse;\n"
    "        if (w) y[i] = @_fma(y[i], w[i], b[i]);\n"
    "    }\n}\n\n";

/* nn__norm_moments, nn__norm_merge and nn__norm_save, one channel at a time; twice, since there is
   no memory for the moments of all of them. */
static const char nn__export_group_norm[] =
    "/* mean and squared distances from it of a channel: chunks of it have `fold` sums each */\n"
    "static void @_moments(size_t rows, size_t channels, size_t chunk, size_t fold, const $R *x,\n"
    "                      double *mean, double *squares)\n{\n"
    "    size_t first, i;\n    int pass;\n"
    "    for (first = 0; first < rows; first += chunk) {\n"
    "        const size_t n = rows - first < chunk ? rows - first : chunk;\n"
    "        double sum = 0, square = 0, share, distance;\n        $R center = 0;\n"
    "        for (pass = 0; pass < 2; pass++) {\n"
    "            $R sums[32] = {0}, products[32] = {0};\n"
    "            if (pass) center = ($R)(sum / (double)n);\n"
    "            for (i = 0; i < n; i++) {\n"
    "                const $R q = x[(first + i) * channels] - center;\n"
    "                sums[i % fold] += q;\n"
    "                products[i % fold] = @_fma(q, q, products[i % fold]);\n"
    "            }\n"
    "            for (sum = square = 0, i = 0; i < fold; i++) {\n"
    "                sum += (double)sums[i];\n                square += (double)products[i];\n"
    "            }\n        }\n"
    "        square -= sum * sum / (double)n;\n"
    "        sum = (double)center + sum / (double)n;\n"
    "        share = (double)n / ((double)first + (double)n);\n"
    "        distance = first ? sum - *mean : 0;\n"
    "        *mean = first ? *mean + distance * share : sum;\n"
    "        *squares = first ? *squares + (square + distance * distance * (double)first * share)\n"
    "                         : square;\n"
    "    }\n}\n\n"
    "/* y = (x - mean) / sqrt(variance + epsilon) * w + b, for n channels at a time */\n"
    "static void @_group_norm(size_t rows, size_t channels, size_t n, size_t chunk, size_t fold,\n"
    "                         const $R *x, double epsilon, int relu, const $R *w, const $R *b,\n"
    "                         $R *y)\n{\n"
    "    size_t first, c, i;\n"
    "    for (first = 0; first < channels; first += n) {\n"
    "        double mean = 0, all = 0, m = 0, squares = 0;\n        $R center, inverse;\n"
    "        for (c = first; c < first + n; c++) {\n"
    "            @_moments(rows, channels, chunk, fold, x + c, &m, &squares);\n"
    "            mean += m;\n        }\n"
    "        mean /= (double)n;\n"
    "        for (c = first; c < first + n; c++) {\n"
    "            @_moments(rows, channels, chunk, fold, x + c, &m, &squares);\n"
    "            all += squares + (double)rows * (m - mean) * (m - mean);\n        }\n"
    "        center = ($R)mean;\n"
    "        inverse = ($R)(1 / sqrt(all / ((double)rows * (double)n) + epsilon));\n"
    "        for (c = first; c < first + n; c++)\n"
    "            for (i = c; i < rows * channels; i += channels) {\n"
    "                const $R z = @_fma(x[i] - center, w ? w[c] * inverse : inverse,\n"
    "                                   b ? b[c] : 0);\n"
    "                y[i] = relu && 0 > z ? 0 : z;\n"
    "            }\n    }\n}\n\n";

typedef struct nn__export_helper {
    const char *text;
    unsigned needs;
} nn__export_helper;

static const nn__export_helper nn__export_helpers[NN__NEED_COUNT] = {
    {nn__export_bits, 0},
#if defined(NN_NO_FMA) || defined(NN_DOUBLE)
    {nn__export_fma, 0},
#else
    {nn__export_fma, NN__NEEDS(BITS)},
#endif
    {nn__export_abs, NN__NEEDS(BITS)},
    {nn__export_quotient, NN__NEEDS(FMA)},
    {nn__export_exp_reduced, NN__NEEDS(FMA) | NN__NEEDS(BITS)},
    {nn__export_exp_pair, NN__NEEDS(EXP_REDUCED)},
    {nn__export_exp, NN__NEEDS(EXP_PAIR)},
    {nn__export_expm1_pair, NN__NEEDS(EXP_REDUCED)},
    {nn__export_expm1, NN__NEEDS(EXPM1_PAIR)},
    {nn__export_log, NN__NEEDS(FMA) | NN__NEEDS(BITS)},
    {nn__export_log_everywhere, NN__NEEDS(LOG)},
    {nn__export_tanh, NN__NEEDS(EXPM1_PAIR) | NN__NEEDS(QUOTIENT) | NN__NEEDS(ABS)},
    {nn__export_sigmoid, NN__NEEDS(EXP_PAIR) | NN__NEEDS(QUOTIENT) | NN__NEEDS(ABS)},
    {nn__export_softplus, NN__NEEDS(EXP) | NN__NEEDS(LOG) | NN__NEEDS(ABS)},
    {nn__export_gelu, NN__NEEDS(EXP) | NN__NEEDS(ABS)},
    {nn__export_exp_sum, NN__NEEDS(EXP)},
    {nn__export_softmax, NN__NEEDS(EXP_SUM)},
    {nn__export_log_softmax, NN__NEEDS(EXP_SUM) | NN__NEEDS(LOG)},
    {nn__export_dense, NN__NEEDS(FMA)},
    {nn__export_codes, NN__NEEDS(FMA) | NN__NEEDS(ABS)},
    {nn__export_int8, NN__NEEDS(CODES)},
    {nn__export_matmul, NN__NEEDS(FMA)},
    {nn__export_conv_shape, 0},
    {nn__export_conv, NN__NEEDS(FMA) | NN__NEEDS(CONV_SHAPE)},
    {nn__export_conv_int8, NN__NEEDS(CODES) | NN__NEEDS(CONV_SHAPE)},
    {nn__export_conv_transpose, NN__NEEDS(FMA) | NN__NEEDS(CONV_SHAPE)},
    {nn__export_windows, 0},
    {nn__export_max_pool, NN__NEEDS(WINDOWS)},
    {nn__export_sum_pool, NN__NEEDS(WINDOWS)},
    {"", 0},
    {nn__export_layer_norm, NN__NEEDS(FMA)},
    {nn__export_group_norm, NN__NEEDS(FMA)}};
#endif

/* -------------------------------------------------------------------------------- >>export-ops
   nn_export_c walks the plan of the output twice: once without a file, to learn which functions and
   how much memory are needed, and once to write. A tensor lies in the caller's input or output, in
   a constant array, or at an offset of the working memory that is free while it lives.

   To add an operation: a function that writes its block, and a row in nn__export_ops, which stands
   at the end of >>export-images. */
#ifndef NN_NO_STDIO

enum { NN__OWN_MEMORY, NN__IN_PLACE, NN__ALIAS }; /* may share its source's memory; is its source */

/* Where a tensor is: an alias, or what is computed in place, where its root is. */
typedef struct nn__slot {
    size_t root, last;        /* ids: of the tensor that owns the memory; of who reads it last */
    size_t offset, size;      /* of a root in the working memory */
    int as_codes, as_reals;   /* how a constant is needed */
    int varies;               /* depends on the input */
} nn__slot;

typedef struct nn__exporter {
    nn__writer w;
    const char *call;
    int (*knows)(const nn_tensor *t); /* whether there is a way to write its operation */
    const char *name;
    nn_net *net;
    nn_tensor *input, *output;
    nn__slot *slots;          /* by tensor id */
    unsigned needs;           /* of nn__export_helpers */
    size_t work, codes, constants; /* reals; bytes; bytes */
    int int8, raw;            /* raw: a function for raw samples is possible */
    const nn_dataset *data;
    nn_real *x, *y;           /* the test's samples and what is expected of them */
    size_t rows;
    uint8_t *bytes;           /* the samples as bytes; NULL: they are reals */
    nn_export_report report;
} nn__exporter;

/* A literal of nn_real that reads back as it. */
static const char *nn__literal(nn_real x, char text[64])
{
    nn__shortest((double)x, sizeof(nn_real) == 4, text);
    if (!strpbrk(text, ".e")) strcat(text, ".0");
    return sizeof(nn_real) == 4 ? strcat(text, "f") : text;
}

static const char *nn__real_type(void) { return sizeof(nn_real) == 4 ? "float" : "double"; }

/* Writes a text of >>export-text. */
static void nn__emit(nn__exporter *e, const char *text)
{
    char number[64];
    while (*text) {
        const size_t n = strcspn(text, "@$");
        nn__writer_put(&e->w, text, n);
        text += n;
        if (!*text) break;
        if (*text++ == '@') {
            nn__writer_text(&e->w, e->name);
            continue;
        }
        const int whole = *text == '#';
        const double value = nn__export_numbers[text[whole] >= 'a' ? text[whole] - 'a' : 0];
        if (*text == 'R') nn__writer_text(&e->w, nn__real_type());
        else if (*text == 'U')
            nn__writer_text(&e->w, sizeof(nn_real) == 4 ? "uint32_t" : "uint64_t");
        else if (whole) nn__writer_print(&e->w, "%llu", (nn__ull)value);
        else nn__writer_text(&e->w, nn__literal((nn_real)value, number));
        text += 1 + whole;
    }
}

static nn__slot *nn__slot_of(const nn__exporter *e, const nn_tensor *t)
{
    return &e->slots[e->slots[t->id].root];
}

/* An expression for where a tensor's values begin. */
static const char *nn__at(const nn__exporter *e, const nn_tensor *t, char text[160])
{
    const nn_tensor *root = e->net->tensors.items[e->slots[t->id].root];
    if (root == e->input) return "in";
    if (e->slots[e->output->id].root == root->id) return "out";
    if (!root->batched) snprintf(text, 160, "%s_p%llu", e->name, (nn__ull)root->id);
    else if (nn__slot_of(e, t)->offset == 0) snprintf(text, 160, "%s_work", e->name);
    else
        snprintf(text, 160, "%s_work + %llu", e->name, (nn__ull)nn__slot_of(e, t)->offset);
    return text;
}

/* Begins a block in which x is the first source and y the result. */
static void nn__emit_block(nn__exporter *e, const nn_tensor *t)
{
    char at[160];
    nn__writer_print(&e->w, "    {\n        const %s *x = %s;\n", nn__real_type(),
                     nn__at(e, t->src[0], at));
    nn__writer_print(&e->w, "        %s *y = %s;\n", nn__real_type(), nn__at(e, t, at));
}

/* The heads of nested loops, with indices i0, i1, ... */
static void nn__loops(nn__exporter *e, int rank, const size_t *dim)
{
    for (int i = 0; i < rank; i++)
        nn__writer_print(&e->w, "        for (size_t i%d = 0; i%d < %llu; i%d++)\n", i, i,
                         (nn__ull)dim[i], i);
}

/* i0 * step[0] + i1 * step[1] + ... */
static void nn__index(nn__exporter *e, int rank, const size_t *step)
{
    const char *plus = "";
    for (int i = 0; i < rank; i++) {
        if (step[i] == 0) continue;
        nn__writer_print(&e->w, step[i] == 1 ? "%si%d" : "%si%d * %llu", plus, i,
                         (nn__ull)step[i]);
        plus = " + ";
    }
    if (!*plus) nn__writer_text(&e->w, "0");
}

static void nn__dense_steps(int rank, const size_t *dim, size_t *step)
{
    size_t product = 1;
    for (int i = rank - 1; i >= 0; i--) step[i] = product, product *= dim[i];
}

/* -- one block per operation -- */

/* An activation of x[i]; alpha where it has one. */
static const struct {
    const char *text;
    unsigned needs;
} nn__export_activations[NN_ACTIVATION_COUNT] = {
    {"x[i]", 0},
    {"@_sigmoid(x[i])", NN__NEEDS(SIGMOID)},
    {"@_tanh(x[i])", NN__NEEDS(TANH)},
    {"$y * @_tanh(x[i] * $z)", NN__NEEDS(TANH)},
    {"0 > x[i] ? 0 : x[i]", 0},
    {"0 < x[i] ? x[i] : alpha * x[i]", 0},
    {"0 < x[i] ? x[i] : alpha * @_expm1(0 < x[i] ? 0 : x[i])", NN__NEEDS(EXPM1)},
    {"@_gelu(x[i])", NN__NEEDS(GELU)},
    {"x[i] * @_sigmoid(x[i])", NN__NEEDS(SIGMOID)},
    {"@_softplus(x[i])", NN__NEEDS(SOFTPLUS)}};

/* y[i] = text, for all i; within a block. */
static void nn__emit_each(nn__exporter *e, size_t n, const char *text)
{
    nn__writer_print(&e->w, "        for (size_t i = 0; i < %llu; i++) y[i] = ", (nn__ull)n);
    nn__emit(e, text);
    nn__writer_text(&e->w, ";\n    }\n");
}

static void nn__emit_function(nn__exporter *e, const nn_tensor *t, const nn_tensor *from)
{
    const nn__function *f = (const nn__function *)t->settings;
    char at[160], number[64];
    e->needs |= nn__export_activations[f->kind].needs;
    nn__writer_print(&e->w, "    {\n        const %s *x = %s", nn__real_type(),
                     nn__at(e, from, at));
    if (f->kind == NN_ACTIVATION_LEAKY_RELU || f->kind == NN_ACTIVATION_ELU)
        nn__writer_print(&e->w, ", alpha = %s", nn__literal((nn_real)f->alpha, number));
    nn__writer_print(&e->w, ";\n        %s *y = %s;\n", nn__real_type(), nn__at(e, t, at));
    nn__emit_each(e, t->row_size, nn__export_activations[f->kind].text);
}

static nn_status nn__emit_activation(nn__exporter *e, const nn_tensor *t)
{
    nn__emit_function(e, t, t->src[0]);
    return NN_OK;
}

/* Room for so many codes of a layer's input, and no more terms in a sum than 32 bits hold. */
static int nn__claim_codes(nn__exporter *e, const nn_tensor *t, size_t inputs, size_t terms)
{
    e->codes = nn__max_size(e->codes, inputs);
    if (terms <= INT32_MAX / (127 * 127)) return 1;
    nn__fail(NN_ERROR_TOO_LARGE, "nn_export_c: tensor %llu '%s' sums %llu products, which may "
                                 "exceed 32 bits as int8", (nn__ull)t->id, t->op->name,
             (nn__ull)terms);
    return 0;
}

/* A layer's weights as arguments: reals, or codes and their scale. */
static void nn__emit_weights(nn__exporter *e, const nn_tensor *w, int int8)
{
    char at[160];
    if (!int8) nn__writer_print(&e->w, ", %s", nn__at(e, w, at));
    else
        nn__writer_print(&e->w, ", %s_q%llu, %s_s%llu", e->name, (nn__ull)w->id, e->name,
                         (nn__ull)w->id);
}

static nn_status nn__emit_dense(nn__exporter *e, const nn_tensor *t)
{
    const nn_tensor *x = t->src[0], *w = t->src[1], *b = t->src_count > 2 ? t->src[2] : NULL;
    const size_t k = w->shape[0], n = w->shape[1], rows = t->row_size / n;
    char at[160];
    e->needs |= e->int8 ? NN__NEEDS(INT8) : NN__NEEDS(DENSE);
    if (e->int8 && !nn__claim_codes(e, t, k, k)) return NN_ERROR_TOO_LARGE;
    if (rows > 1)
        nn__writer_print(&e->w, "    for (size_t r = 0; r < %llu; r++)\n    ", (nn__ull)rows);
    nn__writer_print(&e->w, "    %s_dense(%llu, %llu, %s", e->name, (nn__ull)k, (nn__ull)n,
                     nn__at(e, x, at));
    if (rows > 1) nn__writer_print(&e->w, " + r * %llu", (nn__ull)k);
    nn__emit_weights(e, w, e->int8);
    nn__writer_print(&e->w, ", %s", b ? nn__at(e, b, at) : "0");
    nn__writer_print(&e->w, ", %s", nn__at(e, t, at));
    if (rows > 1) nn__writer_print(&e->w, " + r * %llu", (nn__ull)n);
    nn__writer_text(&e->w, ");\n");
    if (nn__activation_of(t) != NN_ACTIVATION_IDENTITY) nn__emit_function(e, t, t);
    return NN_OK;
}

/* Operations on one value each, as text; s->a and s->b are alpha and beta. */
static const struct {
    const nn_op *op;
    const char *text;
    unsigned needs;
} nn__export_unary[] = {
    {&nn__exp.op, "@_exp(x[i])", NN__NEEDS(EXP)},
    {&nn__log.op, "@_ln(x[i])", NN__NEEDS(LOG_EVERYWHERE)},
    {&nn__sqrt.op, NN__EXPORT_SQRT "(x[i])", NN__NEEDS(SQRT)},
    {&nn__abs.op, "x[i] < 0 ? -x[i] : x[i]", 0},
    {&nn__clamp.op, "x[i] < alpha ? ($R)alpha : x[i] > beta ? ($R)beta : x[i]", 0},
    {&nn__scale, "($R)alpha * x[i]", 0}};

static nn_status nn__emit_unary(nn__exporter *e, const nn_tensor *t)
{
    const nn__numbers *s = (const nn__numbers *)t->settings;
    char a[64], b[64];
    size_t i = 0;
    while (nn__export_unary[i].op != t->op) i++;
    e->needs |= nn__export_unary[i].needs;
    nn__emit_block(e, t);
    nn__shortest(fmax(fmin(s->a, DBL_MAX), -DBL_MAX), 0, a);
    nn__shortest(fmax(fmin(s->b, DBL_MAX), -DBL_MAX), 0, b);
    if (strstr(nn__export_unary[i].text, "alpha"))
        nn__writer_print(&e->w, "        const double alpha = %s", a);
    if (strstr(nn__export_unary[i].text, "beta")) nn__writer_print(&e->w, ", beta = %s", b);
    if (strstr(nn__export_unary[i].text, "alpha")) nn__writer_text(&e->w, ";\n");
    nn__emit_each(e, t->row_size, nn__export_unary[i].text);
    return NN_OK;
}

static const char *const nn__export_binary[][2] = {
    {"add", "a + b"}, {"sub", "a - b"}, {"mul", "a * b"}, {"div", "a / b"},
    {"maximum", "a >= b || a != a ? a : b"}, {"minimum", "a <= b || a != a ? a : b"}};

static nn_status nn__emit_binary(nn__exporter *e, const nn_tensor *t)
{
    const nn__broadcast *s = (const nn__broadcast *)t->settings;
    size_t step[NN_MAX_RANK + 1], i = 0;
    char at[160];
    while (strcmp(nn__export_binary[i][0], t->op->name) != 0) i++;
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        const %s *z = %s;\n", nn__real_type(),
                     nn__at(e, t->src[1], at));
    nn__loops(e, s->rank, s->dim);
    nn__writer_print(&e->w, "        {\n            const %s a = x[", nn__real_type());
    nn__index(e, s->rank, s->a);
    nn__writer_text(&e->w, "], b = z[");
    nn__index(e, s->rank, s->b);
    nn__writer_text(&e->w, "];\n            y[");
    nn__dense_steps(s->rank, s->dim, step);
    nn__index(e, s->rank, step);
    nn__writer_print(&e->w, "] = %s;\n        }\n    }\n", nn__export_binary[i][1]);
    return NN_OK;
}

static nn_status nn__emit_nothing(nn__exporter *e, const nn_tensor *t)
{
    (void)e, (void)t;
    return NN_OK;
}

static nn_status nn__emit_permute(nn__exporter *e, const nn_tensor *t)
{
    const int rank = t->rank - t->batched;
    size_t step[NN_MAX_RANK];
    nn__emit_block(e, t);
    nn__loops(e, rank, t->shape + t->batched);
    nn__dense_steps(rank, t->shape + t->batched, step);
    nn__writer_text(&e->w, "            y[");
    nn__index(e, rank, step);
    nn__writer_text(&e->w, "] = x[");
    nn__index(e, rank, ((const nn__permutation *)t->settings)->step);
    nn__writer_text(&e->w, "];\n    }\n");
    return NN_OK;
}

/* y[to + i run_y + j] = x[from + i run_x + j] for i < outer and j < part */
static void nn__emit_copy(nn__exporter *e, const nn_tensor *from, const nn_tensor *to,
                          size_t outer, size_t part, size_t run_x, size_t run_y, size_t at_x,
                          size_t at_y)
{
    const size_t dim[2] = {outer, part};
    char x[160], y[160];
    nn__writer_print(&e->w, "    {\n        const %s *x = %s + %llu;\n", nn__real_type(),
                     nn__at(e, from, x), (nn__ull)at_x);
    nn__writer_print(&e->w, "        %s *y = %s + %llu;\n", nn__real_type(), nn__at(e, to, y),
                     (nn__ull)at_y);
    nn__loops(e, 2, dim);
    nn__writer_print(&e->w, "            y[i0 * %llu + i1] = x[i0 * %llu + i1];\n    }\n",
                     (nn__ull)run_y, (nn__ull)run_x);
}

static nn_status nn__emit_concat(nn__exporter *e, const nn_tensor *t)
{
    const int axis = ((const nn__cut *)t->settings)->axis;
    const size_t run = nn__inner_size(t, axis);
    size_t offset = 0;
    for (size_t s = 0; s < t->src_count; s++) {
        const size_t part = nn__inner_size(t->src[s], axis);
        nn__emit_copy(e, t->src[s], t, t->row_size / run, part, part, run, 0, offset);
        offset += part;
    }
    return NN_OK;
}

static nn_status nn__emit_slice(nn__exporter *e, const nn_tensor *t)
{
    const nn__cut *cut = (const nn__cut *)t->settings;
    const size_t run = nn__inner_size(t->src[0], cut->axis), part = nn__inner_size(t, cut->axis);
    nn__emit_copy(e, t->src[0], t, t->row_size / part, part, run, part,
                  cut->begin * nn__inner_size(t->src[0], cut->axis + 1), 0);
    return NN_OK;
}

static nn_status nn__emit_softmax(nn__exporter *e, const nn_tensor *t)
{
    const size_t cols = nn__last_dimension(t);
    const int is_log = t->op == &nn__log_softmax;
    e->needs |= is_log ? NN__NEEDS(LOG_SOFTMAX) : NN__NEEDS(SOFTMAX);
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        for (size_t r = 0; r < %llu; r += %llu) ",
                     (nn__ull)t->row_size, (nn__ull)cols);
    nn__writer_print(&e->w, "%s_%ssoftmax(%llu, x + r, y + r);\n    }\n", e->name,
                     is_log ? "log_" : "", (nn__ull)cols);
    return NN_OK;
}

static nn_status nn__emit_reduction(nn__exporter *e, const nn_tensor *t)
{
    const nn__reduction *r = (const nn__reduction *)t->settings;
    const size_t n = r->n, step = r->inner;
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        for (size_t r = 0; r < %llu; r++) {\n", (nn__ull)t->row_size);
    nn__writer_print(&e->w, "            const size_t first = r / %llu * %llu + r %% %llu;\n",
                     (nn__ull)step, (nn__ull)(step * n), (nn__ull)step);
    if (t->op == &nn__max) {
        nn__writer_print(&e->w, "            %s best = x[first];\n", nn__real_type());
        nn__writer_print(&e->w, "            for (size_t i = 1; i < %llu; i++) {\n"
                               "                const %s v = x[first + i * %llu];\n"
                               "                if (v > best || best != best) best = v;\n"
                               "            }\n            y[r] = best;\n        }\n    }\n",
                         (nn__ull)n, nn__real_type(), (nn__ull)step);
        return NN_OK;
    }
    nn__writer_print(&e->w, "            double sum = 0;\n"
                           "            for (size_t i = 0; i < %llu; i++) "
                           "sum += (double)x[first + i * %llu];\n"
                           "            y[r] = (%s)", (nn__ull)n, (nn__ull)step, nn__real_type());
    if (t->op == &nn__mean) nn__writer_print(&e->w, "(sum * (1 / %llu.0))", (nn__ull)n);
    else nn__writer_text(&e->w, "sum");
    nn__writer_text(&e->w, ";\n        }\n    }\n");
    return NN_OK;
}

static nn_status nn__emit_matmul(nn__exporter *e, const nn_tensor *t)
{
    const nn__matmul_settings *s = (const nn__matmul_settings *)t->settings;
    const size_t m = s->joined ? t->row_size / s->n : s->m;
    size_t step[NN_MAX_RANK + 1];
    const int rank = s->joined ? 0 : s->lead.rank;
    char at[160];
    e->needs |= NN__NEEDS(MATMUL);
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        const %s *z = %s;\n", nn__real_type(),
                     nn__at(e, t->src[1], at));
    nn__loops(e, rank, s->lead.dim);
    nn__dense_steps(rank, s->lead.dim, step);
    nn__writer_print(&e->w, "            %s_matmul(%llu, %llu, %llu, x + (", e->name, (nn__ull)m,
                     (nn__ull)s->n, (nn__ull)s->k);
    nn__index(e, rank, s->lead.a);
    nn__writer_print(&e->w, ") * %llu, %llu, %llu, z + (", (nn__ull)(m * s->k),
                     (nn__ull)(s->trans_a ? 1 : s->k), (nn__ull)(s->trans_a ? m : 1));
    nn__index(e, rank, s->lead.b);
    nn__writer_print(&e->w, ") * %llu, %llu, %llu, y + (", (nn__ull)(s->k * s->n),
                     (nn__ull)(s->trans_b ? 1 : s->n), (nn__ull)(s->trans_b ? s->k : 1));
    nn__index(e, rank, step);
    nn__writer_print(&e->w, ") * %llu);\n    }\n", (nn__ull)(m * s->n));
    return NN_OK;
}
#endif

/* ------------------------------------------------------------------------------- >>export-images
   The same for images and normalisation. Batch normalisation uses the running statistics. */
#ifndef NN_NO_STDIO

static nn_status nn__emit_conv(nn__exporter *e, const nn_tensor *t)
{
    const nn__conv *c = &((const nn__conv_settings *)t->settings)->c;
    const int backwards = t->op == &nn__conv2d_transpose;
    const nn_tensor *b = t->src_count > 2 ? t->src[2] : NULL;
    nn__conv_pass p = nn__conv_pass_of(t);
    nn__conv_plan plan;
    char at[160];
    p.images = 1;
    const int by_bands = nn__conv_is_product(c) || (backwards ? nn__conv_plan_dy(&plan, &p, 1)
                                                              : nn__conv_plan_x(&plan, &p, 1, 0));
    const size_t members[] = {c->h,  c->w,      c->ci,       c->oh,     c->ow,  c->co,   c->kh,
                              c->kw, c->stride, c->dilation, c->groups, c->top, c->left, !by_bands};
    const int int8 = e->int8 && !backwards;
    if (int8 && !nn__claim_codes(e, t, t->src[0]->row_size, t->src[1]->size / c->co))
        return NN_ERROR_TOO_LARGE;
    e->needs |= backwards ? NN__NEEDS(CONV_TRANSPOSE)
                : int8    ? NN__NEEDS(CONV_INT8)
                          : NN__NEEDS(CONV);
    nn__writer_print(&e->w, "    {\n        static const %s_shape c = {", e->name);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        nn__writer_print(&e->w, "%s%llu", i ? ", " : "", (nn__ull)members[i]);
    nn__writer_print(&e->w, "};\n        %s_conv%s(&c, ", e->name,
                     backwards ? "_transpose" : int8 ? "8" : "");
    nn__writer_text(&e->w, nn__at(e, t->src[0], at));
    nn__emit_weights(e, t->src[1], int8);
    nn__writer_print(&e->w, ", %s, ", b ? nn__at(e, b, at) : "0");
    nn__writer_print(&e->w, "%s);\n    }\n", nn__at(e, t, at));
    if (nn__activation_of(t) != NN_ACTIVATION_IDENTITY) nn__emit_function(e, t, t);
    return NN_OK;
}

static nn_status nn__emit_pool(nn__exporter *e, const nn_tensor *t)
{
    const nn__pool *p = nn__pool_of(t);
    const int is_max = t->op == &nn__max_pool, by_count = p->divide == NN__DIVIDE_BY_COUNT;
    const nn__ull divisor = by_count ? 0 : (nn__ull)(p->kernel[0] * p->kernel[1]);
    const size_t *pairs[] = {p->in, p->out, NULL, p->kernel, p->stride, p->padding};
    e->needs |= is_max ? NN__NEEDS(MAX_POOL) : NN__NEEDS(SUM_POOL);
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        static const %s_windows p = {", e->name);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i]) nn__writer_print(&e->w, "{%llu, %llu}, ", (nn__ull)pairs[i][0],
                                       (nn__ull)pairs[i][1]);
        else nn__writer_print(&e->w, "%llu, ", (nn__ull)p->channels);
    nn__writer_print(&e->w, "%d, %llu};\n        %s", p->adaptive, divisor, e->name);
    nn__writer_print(&e->w, "_%s_pool(&p, x, y);\n    }\n", is_max ? "max" : "average");
    return NN_OK;
}

static nn_status nn__emit_upsample(nn__exporter *e, const nn_tensor *t)
{
    const nn__pool *p = nn__pool_of(t);
    const size_t dim[3] = {p->in[0], p->in[1], p->channels};
    nn__emit_block(e, t);
    nn__loops(e, 3, dim);
    nn__writer_print(&e->w, "            y[(i0 * %llu + i1) * %llu + i2] =\n", (nn__ull)dim[1],
                     (nn__ull)dim[2]);
    nn__writer_print(&e->w, "                x[(i0 / %llu * %llu + i1 / %llu) * %llu + i2];\n",
                     (nn__ull)p->kernel[0], (nn__ull)p->out[1], (nn__ull)p->kernel[1],
                     (nn__ull)dim[2]);
    nn__writer_text(&e->w, "    }\n");
    return NN_OK;
}

/* pad, or crop */
static nn_status nn__emit_frame(nn__exporter *e, const nn_tensor *t)
{
    const nn__frame *f = (const nn__frame *)t->settings;
    const size_t run = f->inner[1] * f->channels, row = f->outer[1] * f->channels;
    const size_t offset = f->begin[0] * row + f->begin[1] * f->channels;
    const int pads = t->op == &nn__pad;
    char at[160];
    if (pads)
        nn__writer_print(&e->w, "    memset(%s, 0, %llu * sizeof *out);\n", nn__at(e, t, at),
                         (nn__ull)t->row_size);
    nn__emit_copy(e, t->src[0], t, f->inner[0], run, pads ? run : row, pads ? row : run,
                  pads ? 0 : offset, pads ? offset : 0);
    return NN_OK;
}

/* Whether a source of t is read as it stands: the factors of batch normalisation are new ones. */
static int nn__export_reads(const nn_tensor *t, size_t source)
{
    return t->op != &nn__batch_norm || source == 0 || t->src[source] == nn__running(t, 0) ||
           t->src[source] == nn_bias(t);
}

/* What batch normalisation multiplies channel c with. */
static nn_real nn__norm_factor(const nn_tensor *t, size_t c)
{
    const double epsilon = ((const nn__norm_settings *)t->settings)->epsilon;
    const nn_real inverse = (nn_real)(1 / sqrt((double)nn__running(t, 1)->data[c] + epsilon));
    return nn_weight(t) ? nn_weight(t)->data[c] * inverse : inverse;
}

static nn_status nn__emit_batch_norm(nn__exporter *e, const nn_tensor *t)
{
    const size_t channels = nn__last_dimension(t);
    const int relu = ((const nn__norm_settings *)t->settings)->relu;
    char at[160], number[64];
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        static const %s scale[%llu] = {", nn__real_type(),
                     (nn__ull)channels);
    for (size_t c = 0; c < channels; c++) {
        const nn_real factor = nn__norm_factor(t, c);
        if (!nn__is_finite((double)factor))
            return nn__fail(NN_ERROR_NOT_FINITE, "nn_export_c: tensor %llu '%s': weight / sqrt("
                                                 "variance) of channel %llu is not finite",
                            (nn__ull)t->id, t->name, (nn__ull)c);
        nn__writer_print(&e->w, "%s%s%s", c ? "," : "", c % 6 ? " " : "\n            ",
                         nn__literal(factor, number));
    }
    e->constants += channels * sizeof(nn_real);
    nn__writer_print(&e->w, "};\n        for (size_t i = 0; i < %llu; i++) {\n",
                     (nn__ull)t->row_size);
    nn__writer_print(&e->w, "            const size_t c = i %% %llu;\n            const %s z = ",
                     (nn__ull)channels, nn__real_type());
    nn__writer_print(&e->w, "%s_fma(x[i] - %s[c], scale[c], ", e->name,
                     nn__at(e, nn__running(t, 0), at));
    if (nn_bias(t)) nn__writer_print(&e->w, "%s[c]);\n", nn__at(e, nn_bias(t), at));
    else nn__writer_text(&e->w, "0);\n");
    nn__writer_print(&e->w, "            y[i] = %s;\n        }\n    }\n",
                     relu ? "0 > z ? 0 : z" : "z");
    e->needs |= NN__NEEDS(FMA);
    return NN_OK;
}

static nn_status nn__emit_layer_norm(nn__exporter *e, const nn_tensor *t)
{
    const nn__layer_norm_settings *s = (const nn__layer_norm_settings *)t->settings;
    char at[160], number[64];
    e->needs |= NN__NEEDS(LAYER_NORM) | NN__NEEDS(SQRT);
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        for (size_t r = 0; r < %llu; r += %llu)\n",
                     (nn__ull)t->row_size, (nn__ull)s->n);
    nn__writer_print(&e->w, "            %s_layer_norm(%llu, x + r, %s, ", e->name, (nn__ull)s->n,
                     nn__literal((nn_real)s->epsilon, number));
    nn__writer_print(&e->w, "%s, ", nn_weight(t) ? nn__at(e, nn_weight(t), at) : "0");
    nn__writer_print(&e->w, "%s, y + r);\n    }\n", nn_bias(t) ? nn__at(e, nn_bias(t), at) : "0");
    return NN_OK;
}

static nn_status nn__emit_group_norm(nn__exporter *e, const nn_tensor *t)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    const nn__norm_pass p = nn__norm_begin(t, 1);
    const size_t numbers[] = {p.segment, p.channels, p.channels / s->groups, p.chunk,
                              nn__fold(p.channels)};
    char at[160], number[64];
    e->needs |= NN__NEEDS(GROUP_NORM) | NN__NEEDS(SQRT);
    nn__emit_block(e, t);
    nn__writer_print(&e->w, "        %s_group_norm(", e->name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        nn__writer_print(&e->w, "%llu, ", (nn__ull)numbers[i]);
    nn__writer_print(&e->w, "x, %s, %d, ", nn__shortest(s->epsilon, 0, number), s->relu);
    nn__writer_print(&e->w, "%s, ", nn_weight(t) ? nn__at(e, nn_weight(t), at) : "0");
    nn__writer_print(&e->w, "%s, y);\n    }\n", nn_bias(t) ? nn__at(e, nn_bias(t), at) : "0");
    return NN_OK;
}

static const struct nn__export_op {
    const nn_op *op;
    int memory;
    nn_status (*emit)(nn__exporter *e, const nn_tensor *t);
} nn__export_ops[] = {
    {&nn__dense, NN__OWN_MEMORY, nn__emit_dense},
    {&nn__matmul, NN__OWN_MEMORY, nn__emit_matmul},
    {&nn__activation, NN__IN_PLACE, nn__emit_activation},
    {&nn__softmax, NN__IN_PLACE, nn__emit_softmax},
    {&nn__log_softmax, NN__IN_PLACE, nn__emit_softmax},
    {&nn__add.op, NN__IN_PLACE, nn__emit_binary},
    {&nn__sub.op, NN__IN_PLACE, nn__emit_binary},
    {&nn__mul.op, NN__IN_PLACE, nn__emit_binary},
    {&nn__div.op, NN__IN_PLACE, nn__emit_binary},
    {&nn__maximum.op, NN__IN_PLACE, nn__emit_binary},
    {&nn__minimum.op, NN__IN_PLACE, nn__emit_binary},
    {&nn__exp.op, NN__IN_PLACE, nn__emit_unary},
    {&nn__log.op, NN__IN_PLACE, nn__emit_unary},
    {&nn__sqrt.op, NN__IN_PLACE, nn__emit_unary},
    {&nn__abs.op, NN__IN_PLACE, nn__emit_unary},
    {&nn__clamp.op, NN__IN_PLACE, nn__emit_unary},
    {&nn__scale, NN__IN_PLACE, nn__emit_unary},
    {&nn__reshape, NN__ALIAS, nn__emit_nothing},
    {&nn__dropout, NN__ALIAS, nn__emit_nothing},
    {&nn__permute, NN__OWN_MEMORY, nn__emit_permute},
    {&nn__concat, NN__OWN_MEMORY, nn__emit_concat},
    {&nn__slice, NN__OWN_MEMORY, nn__emit_slice},
    {&nn__sum, NN__OWN_MEMORY, nn__emit_reduction},
    {&nn__mean, NN__OWN_MEMORY, nn__emit_reduction},
    {&nn__max, NN__OWN_MEMORY, nn__emit_reduction},
    {&nn__conv2d, NN__OWN_MEMORY, nn__emit_conv},
    {&nn__conv1d, NN__OWN_MEMORY, nn__emit_conv},
    {&nn__conv2d_transpose, NN__OWN_MEMORY, nn__emit_conv},
    {&nn__max_pool, NN__OWN_MEMORY, nn__emit_pool},
    {&nn__average_pool, NN__OWN_MEMORY, nn__emit_pool},
    {&nn__upsample, NN__OWN_MEMORY, nn__emit_upsample},
    {&nn__pad, NN__OWN_MEMORY, nn__emit_frame},
    {&nn__crop, NN__OWN_MEMORY, nn__emit_frame},
    {&nn__spatial_dropout, NN__ALIAS, nn__emit_nothing},
    {&nn__batch_norm, NN__IN_PLACE, nn__emit_batch_norm},
    {&nn__layer_norm, NN__IN_PLACE, nn__emit_layer_norm},
    {&nn__group_norm, NN__IN_PLACE, nn__emit_group_norm}};

static const struct nn__export_op *nn__export_op_of(const nn_tensor *t)
{
    for (size_t i = 0; i < sizeof nn__export_ops / sizeof *nn__export_ops; i++)
        if (nn__export_ops[i].op == t->op) return &nn__export_ops[i];
    return NULL;
}
#endif

/* ------------------------------------------------------------------------------- >>export-int8
   Weights in 255 steps per unit or filter, the input of a layer in 255 steps per row or image. What
   the exported code computes takes the place of the layers while its accuracy is measured. */
#ifndef NN_NO_STDIO

static int nn__int8_code(nn_real value)
{
    const int code = value > -128 && value < 128
                         ? (int)(value + (value < 0 ? (nn_real)-0.5 : (nn_real)0.5)) : 0;
    return code > 127 ? 127 : code < -127 ? -127 : code;
}

/* codes[i * step] for x[i * step], i < n; the size of a step between them. */
static nn_real nn__quantize(size_t n, size_t step, const nn_real *x, int8_t *codes)
{
    nn_real max = 0;
    for (size_t i = 0; i < n * step; i += step) {
        const nn_real size = x[i] < 0 ? -x[i] : x[i];
        max = size > max ? size : max;
    }
    const nn_real inverse = max > (nn_real)1e-30 ? 127 / max : 0;
    for (size_t i = 0; i < n * step; i += step)
        codes[i] = (int8_t)nn__int8_code(x[i] * inverse);
    return max / 127;
}

/* Where a layer's codes are: a scale for each column of the weights, their codes, those of x. */
typedef struct nn__int8_layer {
    nn_real *scale;
    int8_t *w, *x;
    const nn_real *bias;
    size_t columns;
} nn__int8_layer;

static nn__int8_layer nn__int8_begin(const nn_tensor *t)
{
    nn__int8_layer l;
    const nn_tensor *w = t->src[1];
    l.columns = w->shape[w->rank - 1];
    l.scale = (nn_real *)nn_scratch(t);
    l.w = (int8_t *)(l.scale + l.columns), l.x = l.w + w->size;
    l.bias = t->src_count > 2 ? t->src[2]->data : NULL;
    for (size_t j = 0; j < l.columns; j++)
        l.scale[j] = nn__quantize(w->size / l.columns, l.columns, w->data + j, l.w + j);
    return l;
}

/* Sum number j, of what is `step` each. */
static nn_real nn__int8_value(const nn__int8_layer *l, size_t j, nn_real step, int32_t sum)
{
    return nn__fma((nn_real)sum, step * l->scale[j], l->bias ? l->bias[j] : 0);
}

static nn_status nn__int8_end(nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    nn__activate(t->net->threads, f->kind, f->alpha, t->size, t->data, NULL, NULL, t->data);
    return NN_OK;
}

static nn_status nn__dense_int8_forward(nn_tensor *t)
{
    const nn__int8_layer l = nn__int8_begin(t);
    const size_t k = t->src[1]->shape[0], n = l.columns;
    for (size_t r = 0; r < t->size / n; r++) {
        const nn_real step = nn__quantize(k, 1, t->src[0]->data + r * k, l.x);
        for (size_t j = 0; j < n; j++) {
            int32_t sum = 0;
            for (size_t i = 0; i < k; i++) sum += l.x[i] * l.w[i * n + j];
            t->data[r * n + j] = nn__int8_value(&l, j, step, sum);
        }
    }
    return nn__int8_end(t);
}

/* The sum of filter j at pixel `at` of the result. */
static int32_t nn__conv_int8_sum(const nn__conv *c, const nn__int8_layer *l, size_t at, size_t j)
{
    const size_t k = c->ci / c->groups, first = j / (c->co / c->groups) * k;
    const int8_t *w = l->w + j;
    int32_t sum = 0;
    for (size_t tap = 0; tap < c->kh * c->kw; tap++, w += k * c->co) {
        const size_t v = at / c->ow * c->stride + tap / c->kw * c->dilation - c->top;
        const size_t u = at % c->ow * c->stride + tap % c->kw * c->dilation - c->left;
        if (v >= c->h || u >= c->w) continue; /* what is negative is large */
        const int8_t *x = l->x + (v * c->w + u) * c->ci + first;
        for (size_t i = 0; i < k; i++) sum += x[i] * w[i * c->co];
    }
    return sum;
}

static nn_status nn__conv_int8_forward(nn_tensor *t)
{
    const nn__conv *c = &((const nn__conv_settings *)t->settings)->c;
    const nn__int8_layer l = nn__int8_begin(t);
    const size_t image = t->src[0]->row_size;
    nn_real *y = t->data;
    for (size_t r = 0; r < nn__rows(t); r++) {
        const nn_real step = nn__quantize(image, 1, t->src[0]->data + r * image, l.x);
        for (size_t at = 0; at < c->oh * c->ow; at++)
            for (size_t j = 0; j < c->co; j++)
                *y++ = nn__int8_value(&l, j, step, nn__conv_int8_sum(c, &l, at, j));
    }
    return nn__int8_end(t);
}

static size_t nn__int8_scratch(const nn_tensor *t, size_t rows)
{
    const nn_tensor *w = t->src[1];
    (void)rows; /* the sum fits, since all of this is in memory as reals */
    return w->shape[w->rank - 1] * sizeof(nn_real) + w->size + t->src[0]->row_size;
}

static const nn_op nn__dense_int8 = {"dense", nn__dense_int8_forward, NULL, nn__dense_saved,
                                     nn__int8_scratch, NN__OP_CLAIMS, NULL};
static const nn_op nn__conv2d_int8 = {"conv2d", nn__conv_int8_forward, NULL, nn__dense_saved,
                                      nn__int8_scratch, NN__OP_CLAIMS, NULL};
static const nn_op nn__conv1d_int8 = {"conv1d", nn__conv_int8_forward, NULL, nn__dense_saved,
                                      nn__int8_scratch, NN__OP_CLAIMS, NULL};

static const nn_op *const nn__int8_ops[][2] = {{&nn__dense, &nn__dense_int8},
                                               {&nn__conv2d, &nn__conv2d_int8},
                                               {&nn__conv1d, &nn__conv1d_int8}};

/* The operation that takes the place of one: as int8 for 1, as it was for 0; NULL: none. */
static const nn_op *nn__int8_op(const nn_op *op, int int8)
{
    for (size_t i = 0; i < sizeof nn__int8_ops / sizeof *nn__int8_ops; i++)
        if (nn__int8_ops[i][!int8] == op) return nn__int8_ops[i][int8];
    return NULL;
}

/* The network's layers as int8, or as they were. */
static void nn__use_int8(nn_net *net, int int8)
{
    for (size_t i = 0; i < net->tensors.count; i++) {
        const nn_op *other = nn__int8_op(net->tensors.items[i]->op, int8);
        if (other) net->tensors.items[i]->op = other;
    }
    net->laid_count = 0; /* they need other working memory */
}

/* The output's values with its layers as they will be exported. */
static nn_status nn__export_predict(const nn__exporter *e, int int8, const nn_dataset *data,
                                    const nn_real *x, size_t rows, nn_real *y)
{
    if (int8) nn__use_int8(e->net, 1);
    nn_status status = data ? nn_predict(e->output, data, y)
                            : nn_predict_rows(e->output, x, rows, y);
    if (int8) nn__use_int8(e->net, 0);
    return status;
}
#endif

/* -------------------------------------------------------------------------------------- >>export
   Memory, constants, the test and the file around them. What depends on no input is a constant. */
#ifndef NN_NO_STDIO

static double nn__export_accuracy(const nn__exporter *e, const nn_real *y)
{
    const size_t n = e->output->row_size, count = e->data->count;
    const double threshold = n == 1 ? nn__threshold(e->output) : 0;
    size_t correct = 0;
    if (!e->data->labels) return NAN;
    for (size_t i = 0; i < count; i++)
        correct += nn__predicted_class(y + i * n, n, threshold) == (size_t)e->data->labels[i];
    return (double)correct / (double)count;
}

/* Accuracy as reals and as int8, and how far the outputs are apart. */
static nn_status nn__export_measure(nn__exporter *e)
{
    const size_t n = e->output->row_size, count = e->data->count;
    nn_export_report *r = &e->report;
    nn_real *y = (nn_real *)nn__net_alloc(e->net, nn__bytes(count, n, 2 * sizeof *y));
    if (!y) return NN_ERROR_OUT_OF_MEMORY;
    nn_real *z = y + count * n;
    nn_status status = nn__export_predict(e, 0, e->data, NULL, 0, y);
    if (status == NN_OK && e->int8) status = nn__export_predict(e, 1, e->data, NULL, 0, z);
    if (status == NN_OK) {
        r->samples = count;
        r->accuracy = nn__export_accuracy(e, y);
        r->exported_accuracy = e->int8 ? nn__export_accuracy(e, z) : r->accuracy;
        for (size_t i = 0; e->int8 && i < count * n; i++)
            r->max_difference = fmax(r->max_difference, fabs((double)y[i] - (double)z[i]));
    }
    nn__net_release(e->net, y);
    return status;
}

/* -- the plan -- */

/* What every tensor is and whether it can be exported. */
static nn_status nn__export_check(nn__exporter *e)
{
    const nn__list *order = &e->net->plan.order;
    for (size_t i = 0; i < order->count; i++) {
        nn_tensor *t = order->items[i];
        nn__slot *slot = &e->slots[t->id];
        if (nn__as_input(t)) {
            if (e->input || nn__as_input(t)->labels_per_row)
                return nn__fail(NN_ERROR_BAD_ARGUMENT,
                                "%s: tensor %llu: expected one input, of samples", e->call,
                                (nn__ull)t->id);
            e->input = t;
        }
        slot->varies = t == e->input;
        for (size_t j = 0; j < t->src_count; j++) slot->varies |= e->slots[t->src[j]->id].varies;
        if (nn__is_leaf(t) || !slot->varies) continue;
        if (e->knows(t) && t->batched) continue;
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: tensor %llu: the operation '%s' %s", e->call,
                        (nn__ull)t->id, t->op->name,
                        e->knows(t) ? "has no value of each sample here" : "cannot be exported");
    }
    if (e->slots[e->output->id].varies) return NN_OK;
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the output depends on no input",
                    e->call);
}

/* Whose memory each tensor uses, and until when. In place: over the first source, when this is its
   last use and it is not the input or a constant. */
static void nn__export_roots(nn__exporter *e)
{
    const nn__list *order = &e->net->plan.order;
    nn__slot *slots = e->slots;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < order->count; i++) {
            const nn_tensor *t = order->items[i];
            const nn_tensor *x = t->src_count ? t->src[0] : NULL;
            const struct nn__export_op *op = slots[t->id].varies ? nn__export_op_of(t) : NULL;
            if (pass == 0 || !(op && op->memory == NN__IN_PLACE)) {
                slots[t->id].root = op && op->memory == NN__ALIAS ? slots[x->id].root : t->id;
                if (pass == 1) slots[t->id].size = t->row_size;
            } else {
                nn__slot *from = nn__slot_of(e, x);
                const int fits = slots[x->id].varies && slots[x->id].root != e->input->id &&
                                 x->row_size == t->row_size && from->last == t->id;
                slots[t->id].root = fits ? slots[x->id].root : t->id;
                slots[t->id].size = t->row_size;
                if (fits) from->last = nn__max_size(from->last, slots[t->id].last);
            }
            for (size_t j = 0; pass == 0 && op && j < t->src_count; j++) {
                const int is_code = e->int8 && j == 1 && nn__int8_op(t->op, 1);
                nn__slot *source = nn__slot_of(e, t->src[j]);
                source->last = t->id;
                if (!nn__export_reads(t, j)) continue;
                if (is_code) source->as_codes = 1;
                else source->as_reals = 1;
            }
        }
}

/* The lowest offset at which a root meets no other that lives at the same time. */
static void nn__export_offsets(nn__exporter *e)
{
    const nn__list *order = &e->net->plan.order;
    const size_t out = e->slots[e->output->id].root;
    for (size_t i = 0; i < order->count; i++) {
        const nn_tensor *t = order->items[i];
        nn__slot *slot = &e->slots[t->id];
        if (slot->root != t->id || !slot->varies || t == e->input || t->id == out) continue;
        for (size_t j = 0; j < i; j++) {
            const nn__slot *other = &e->slots[order->items[j]->id];
            const size_t id = order->items[j]->id;
            if (other->root != id || !other->varies || id == e->input->id || id == out) continue;
            if (other->last < t->id || other->offset >= slot->offset + slot->size ||
                slot->offset >= other->offset + other->size)
                continue;
            slot->offset = other->offset + other->size;
            j = (size_t)-1; /* again from the first */
        }
        e->work = nn__max_size(e->work, slot->offset + slot->size);
    }
}

/* -- the file -- */

/* The n numbers x[i * step] in rows. */
static void nn__emit_reals(nn__exporter *e, const char *head, size_t n, size_t step,
                           const nn_real *x)
{
    char text[64];
    nn__writer_print(&e->w, "static const %s %s", nn__real_type(), e->name);
    nn__writer_print(&e->w, "_%s[%llu] = {", head, (nn__ull)n);
    for (size_t i = 0; i < n; i++)
        nn__writer_print(&e->w, "%s%s%s", i ? "," : "", i % 8 ? " " : "\n    ",
                         nn__literal(x[i * step], text));
    nn__writer_text(&e->w, "};\n\n");
}

static void nn__emit_bytes(nn__exporter *e, const char *type, const char *head, size_t n,
                           const void *bytes)
{
    nn__writer_print(&e->w, "static const %s %s", type, e->name);
    nn__writer_print(&e->w, "_%s[%llu] = {", head, (nn__ull)n);
    for (size_t i = 0; i < n; i++) {
        const int value = type[0] == 's' ? ((const int8_t *)bytes)[i] : ((const uint8_t *)bytes)[i];
        nn__writer_print(&e->w, "%s%s%d", i ? "," : "", i % 20 ? "" : "\n    ", value);
    }
    nn__writer_text(&e->w, "};\n\n");
}

/* A comment with a tensor's name, in which nothing ends the comment. */
static void nn__emit_title(nn__exporter *e, const nn_tensor *t)
{
    char shape[NN__SHAPE_TEXT], name[128];
    size_t n = 0;
    for (const char *c = t->name; *c && n < sizeof name - 1; c++)
        name[n++] = *c == '*' || *c == '/' || *c == '\\' || *c == '?' || *c < 32 ? '_' : *c;
    name[n] = 0;
    nn__writer_print(&e->w, "/* %s %s */\n", name, nn__tensor_shape(t, shape));
}

static nn_status nn__emit_codes(nn__exporter *e, const nn_tensor *w)
{
    const size_t n = w->shape[w->rank - 1], k = w->size / n;
    char head[32];
    nn_real *scale =
        (nn_real *)nn__net_alloc(e->net, nn__bytes(k + 1 + sizeof(nn_real), n + 1, 1));
    if (!scale) return NN_ERROR_OUT_OF_MEMORY;
    int8_t *codes = (int8_t *)(scale + n);
    for (size_t j = 0; j < n; j++) scale[j] = nn__quantize(k, n, w->data + j, codes + j);
    snprintf(head, sizeof head, "q%llu", (nn__ull)w->id);
    nn__emit_bytes(e, "signed char", head, k * n, codes);
    head[0] = 's';
    nn__emit_reals(e, head, n, 1, scale);
    e->constants += k * n + n * sizeof *scale;
    nn__net_release(e->net, scale);
    return NN_OK;
}

static nn_status nn__emit_constants(nn__exporter *e)
{
    const nn__list *order = &e->net->plan.order;
    nn_status status = NN_OK;
    for (size_t i = 0; status == NN_OK && i < order->count; i++) {
        const nn_tensor *t = order->items[i];
        const nn__slot *slot = &e->slots[t->id];
        char head[32];
        if (slot->varies || !(slot->as_codes || slot->as_reals)) continue;
        for (size_t j = 0; j < t->size; j++)
            if (!nn__is_finite((double)t->data[j]))
                return nn__fail(NN_ERROR_NOT_FINITE, "nn_export_c: tensor %llu '%s': element %llu "
                                                     "is not finite", (nn__ull)t->id, t->name,
                                (nn__ull)j);
        nn__emit_title(e, t);
        if (slot->as_codes) status = nn__emit_codes(e, t);
        if (!slot->as_reals) continue;
        snprintf(head, sizeof head, "p%llu", (nn__ull)t->id);
        nn__emit_reals(e, head, t->size, 1, t->data);
        e->constants += t->size * sizeof *t->data;
    }
    return status;
}

/* The functions that are needed, and the tables of theirs. */
static void nn__emit_helpers(nn__exporter *e)
{
    unsigned needs = e->needs;
    for (int i = NN__NEED_COUNT; i-- > 0;)
        if (needs & 1u << i) needs |= nn__export_helpers[i].needs;
    if (needs & NN__NEEDS(EXP_REDUCED))
        nn__emit_reals(e, "exp_terms", NN__EXP_TERMS, 1, nn__exp_terms);
    if (needs & NN__NEEDS(LOG)) nn__emit_reals(e, "log_terms", NN__LOG_TERMS, 1, nn__log_terms);
    if (needs & NN__NEEDS(GELU))
        nn__emit_reals(e, "erfc_terms", (size_t)NN__ERFC_TERMS, 1, nn__erfc_terms);
    for (int i = 0; i < NN__NEED_COUNT; i++)
        if (needs & 1u << i) nn__emit(e, nn__export_helpers[i].text);
}

static nn_status nn__emit_predict(nn__exporter *e)
{
    const nn__list *order = &e->net->plan.order;
    nn_status status = NN_OK;
    nn__emit(e, "void @_predict(const $R *in, $R *out)\n{\n");
    for (size_t i = 0; status == NN_OK && i < order->count; i++) {
        const nn_tensor *t = order->items[i];
        if (!nn__is_leaf(t) && e->slots[t->id].varies) status = nn__export_op_of(t)->emit(e, t);
    }
    if (e->slots[e->output->id].root == e->input->id) /* nothing but other names of the input */
        nn__writer_print(&e->w, "    memcpy(out, in, %llu * sizeof *out);\n",
                         (nn__ull)e->output->row_size);
    nn__writer_text(&e->w, "}\n\n");
    return status;
}

/* Whether samples have their channels first, and the network has them last. */
static int nn__export_turns(const nn__exporter *e, const nn_dataset *data)
{
    return nn__has_planes(data) && e->input->rank == 4;
}

/* How many raw values in a row are normalised alike: a plane of them, or one. */
static size_t nn__norm_run(const nn_dataset *data, size_t plane)
{
    for (size_t i = 0; i < data->norm_count; i++)
        if (data->scale[i] != data->scale[i / plane * plane] ||
            data->shift[i] != data->shift[i / plane * plane])
            return 1;
    return plane;
}

/* Raw samples are normalised as the training set was, and turned as the network has them. */
static void nn__emit_raw(nn__exporter *e)
{
    const nn_dataset *trained = e->net->trained_on;
    const size_t n = e->input->row_size, count = trained->norm_count;
    const size_t plane = nn__export_turns(e, trained) ? n / trained->shape[0] : n;
    const size_t run = count > 1 ? nn__norm_run(trained, plane) : n;
    char at[40];
    static const nn_real one = 1, zero = 0;
    nn__emit_reals(e, "scale", n / run, run, count ? trained->scale : &one);
    nn__emit_reals(e, "shift", n / run, run, count ? trained->shift : &zero);
    e->constants += n / run * 2 * sizeof one;
    nn__writer_print(&e->w, "static %s %s", nn__real_type(), e->name);
    nn__writer_print(&e->w, "_normalised[%llu];\n\nvoid ", (nn__ull)n);
    nn__emit(e, "@_predict_raw(");
    nn__writer_text(&e->w, trained->dtype == NN_DTYPE_U8 ? "const unsigned char" : "const ");
    if (trained->dtype != NN_DTYPE_U8) nn__writer_text(&e->w, nn__real_type());
    nn__emit(e, " *raw, $R *out)\n{\n");
    nn__writer_print(&e->w, "    for (size_t i = 0; i < %llu; i++)\n", (nn__ull)n);
    snprintf(at, sizeof at, run == n ? "0" : run == 1 ? "i" : "i / %llu", (nn__ull)run);
    nn__emit(e, "        @_normalised[");
    if (plane == n) nn__writer_text(&e->w, "i");
    else
        nn__writer_print(&e->w, "i %% %llu * %llu + i / %llu", (nn__ull)plane,
                         (nn__ull)(n / plane), (nn__ull)plane);
    nn__emit(e, "] = @_fma(($R)raw[i], @_scale[");
    nn__writer_text(&e->w, at);
    nn__emit(e, "], @_shift[");
    nn__writer_text(&e->w, at);
    nn__emit(e, "]);\n    @_predict(@_normalised, out);\n}\n\n");
}

static void nn__emit_test(nn__exporter *e)
{
    const size_t n = e->input->row_size, m = e->output->row_size;
    nn__writer_print(&e->w, "#ifndef %s_NO_TEST\n", e->name);
    if (e->bytes) nn__emit_bytes(e, "unsigned char", "test_in", e->rows * n, e->bytes);
    else nn__emit_reals(e, "test_in", e->rows * n, 1, e->x);
    nn__emit(e, "/* their outputs' bits */\nstatic const $U @_test_out");
    nn__writer_print(&e->w, "[%llu] = {", (nn__ull)(e->rows * m));
    for (size_t i = 0; i < e->rows * m; i++)
        nn__writer_print(&e->w, "%s%s0x%llx", i ? "," : "", i % 6 ? " " : "\n    ",
                         (nn__ull)nn__to_bits(e->y[i]));
    nn__emit(e, "};\n\nint @_test(void)\n{\n");
    nn__writer_print(&e->w, "    static %s out[%llu];\n", nn__real_type(), (nn__ull)m);
    nn__writer_print(&e->w, "    for (int i = 0; i < %d; i++) {\n", (int)e->rows);
    nn__emit(e, e->bytes ? "        @_predict_raw(@_test_in + " : "        @_predict(@_test_in + ");
    nn__writer_print(&e->w, "i * %llu, out);\n", (nn__ull)n);
    nn__emit(e, "        if (memcmp(out, @_test_out + ");
    nn__writer_print(&e->w, "i * %llu, sizeof out) != 0) return i + 1;\n", (nn__ull)m);
    nn__writer_text(&e->w, "    }\n    return 0;\n}\n#endif\n\n");
}

static const char nn__export_begin[] =
    "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n"
    "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
    "void @_predict(const $R *in, $R *out);\n";

/* Contraction and reassociation would change the bits. */
static const char nn__export_exact[] =
    "/* The bits depend on every rounding, so that the compiler must not leave any out. */\n"
    "#if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n"
    "#elif defined(__GNUC__)\n#pragma GCC push_options\n"
    "#pragma GCC optimize(\"no-fast-math\", \"no-associative-math\", \"no-reciprocal-math\")\n"
    "#pragma GCC optimize(\"no-finite-math-only\", \"signed-zeros\", \"fp-contract=off\")\n"
    "#endif\n\n";

static const char nn__export_end[] =
    "#if defined(__GNUC__) && !defined(__clang__)\n#pragma GCC pop_options\n#endif\n"
    "#ifdef __cplusplus\n}\n#endif\n";

static void nn__emit_about(nn__exporter *e)
{
    char in[NN__SHAPE_TEXT], out[NN__SHAPE_TEXT], text[64];
    const nn_export_report *r = &e->report;
    nn__writer_print(&e->w, "/* A network exported by nn.h: from %s",
                     nn__shape_text(e->input->rank - 1, e->input->shape + 1, 0, in));
    nn__writer_print(&e->w, " to %s, with weights in %s.\n\n",
                     nn__shape_text(e->output->rank - 1, e->output->shape + 1, 0, out),
                     e->int8 ? "int8" : nn__real_type());
    nn__emit(e, "   @_predict(in, out)      the outputs of one sample; the two do not overlap\n");
    if (e->raw)
        nn__emit(e, "   @_predict_raw(raw, out) the same for a sample before normalisation\n");
    nn__emit(e, "   @_test()                0 when three samples give the bits that nn.h gives,\n"
                "                           else the number of the first that does not;\n"
                "                           -D@_NO_TEST leaves it out\n\n");
    nn__writer_print(&e->w, "   Constants: %llu bytes. Working memory: %llu bytes%s",
                     (nn__ull)r->constant_bytes, (nn__ull)r->working_bytes, e->raw ? "" : ".\n");
    if (e->raw)
        nn__writer_print(&e->w, ", and %llu for %s_predict_raw.\n",
                         (nn__ull)(e->input->row_size * sizeof(nn_real)), e->name);
    nn__writer_text(&e->w, "   It is static: one call at a time.");
    if (r->samples && r->accuracy == r->accuracy)
        nn__writer_print(&e->w, "\n   Accuracy on %llu samples: %s", (nn__ull)r->samples,
                         nn__shortest(r->exported_accuracy, 0, text));
    if (r->samples && e->int8) {
        if (r->accuracy == r->accuracy)
            nn__writer_print(&e->w, ", as reals %s.", nn__shortest(r->accuracy, 0, text));
        nn__writer_print(&e->w, "\n   The outputs differ by at most %s from those of reals.",
                         nn__shortest(r->max_difference, 1, text));
    }
    nn__writer_text(&e->w, " */\n");
}

static nn_status nn__emit_file(nn__exporter *e)
{
    const int bytes = e->raw && e->net->trained_on->dtype == NN_DTYPE_U8;
    nn__emit_about(e);
    if (sizeof(nn_real) > 4 || e->needs & NN__NEEDS(SQRT))
        nn__writer_text(&e->w, "#include <math.h>\n");
    nn__emit(e, nn__export_begin);
    if (e->raw)
        nn__emit(e, bytes ? "void @_predict_raw(const unsigned char *raw, $R *out);\n"
                          : "void @_predict_raw(const $R *raw, $R *out);\n");
    nn__emit(e, "int @_test(void);\n\n");
    e->constants = 0;
    nn_status status = nn__emit_constants(e);
    if (e->work) {
        nn__writer_print(&e->w, "static %s %s", nn__real_type(), e->name);
        nn__writer_print(&e->w, "_work[%llu];\n", (nn__ull)e->work);
    }
    if (e->codes) {
        nn__writer_print(&e->w, "static signed char %s", e->name);
        nn__writer_print(&e->w, "_codes[%llu];\n", (nn__ull)e->codes);
    }
    nn__writer_text(&e->w, "\n");
    nn__emit(e, nn__export_exact);
    nn__emit_helpers(e);
    if (status == NN_OK) status = nn__emit_predict(e);
    if (e->raw) nn__emit_raw(e);
    nn__emit_test(e);
    nn__writer_text(&e->w, nn__export_end);
    e->report.constant_bytes = e->constants;
    e->report.working_bytes = e->work * sizeof(nn_real) + e->codes;
    return status;
}

/* Three samples: the first of the data set, or numbers that look random. */
static nn_status nn__export_samples(nn__exporter *e)
{
    const size_t n = e->input->row_size, m = e->output->row_size;
    const nn_dataset *data = e->data, *trained = e->net->trained_on;
    nn_rng rng = nn_rng_seed(0);
    e->rows = data ? nn__min_size(3, data->count) : 3;
    e->x = (nn_real *)nn__net_alloc(e->net, nn__bytes(e->rows, n + m, sizeof *e->x));
    if (!e->x) return NN_ERROR_OUT_OF_MEMORY;
    e->y = e->x + e->rows * n;
    for (size_t i = 0; i < e->rows * n; i++)
        e->x[i] = (nn_real)((double)nn_rng_below(&rng, 257) / 128 - 1);
    nn__gathering g = {data, NULL, 0, e->x, 0, NULL};
    g.by_pixel = data && nn__export_turns(e, data);
    if (data) nn__gather(1, e->rows, &g);
    if (data && e->raw && data->dtype == NN_DTYPE_U8 && trained->dtype == NN_DTYPE_U8 &&
        nn__has_planes(data) == nn__has_planes(trained)) {
        e->bytes = (uint8_t *)nn__net_alloc(e->net, nn__bytes(e->rows, n, 1));
        if (!e->bytes) return NN_ERROR_OUT_OF_MEMORY;
        for (size_t i = 0; i < e->rows * n; i++)
            e->bytes[i] = (uint8_t)nn__raw(data, nn__row(data, i / n), i % n);
    }
    return nn__export_predict(e, e->int8, NULL, e->x, e->rows, e->y);
}

static nn_status nn__export_all(nn__exporter *e, const char *path)
{
    const nn_dataset *trained = e->net->trained_on;
    nn_status status = nn__export_check(e);
    if (status == NN_OK && e->data) status = nn__export_measure(e);
    if (status != NN_OK) return status;
    e->raw = trained && trained->features == e->input->row_size &&
             (trained->norm_count || trained->dtype == NN_DTYPE_U8 ||
              nn__export_turns(e, trained));
    nn__export_roots(e);
    nn__export_offsets(e);
    status = nn__export_samples(e);
    if (e->raw) e->needs |= NN__NEEDS(FMA);
    if (status == NN_OK) status = nn__emit_file(e);
    if (status == NN_OK) status = nn__writer_open(&e->w, "nn_export_c", path);
    return status == NN_OK ? nn__writer_close(&e->w, nn__emit_file(e)) : status;
}

static nn_status nn__check_export(const nn_export_desc *d)
{
    size_t n = 0;
    for (const char *c = d->name ? d->name : "net"; *c; c++, n++) {
        const int is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!is_letter && !(n && *c >= '0' && *c <= '9')) n = 100;
    }
    if (n < 1 || n > 64)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_export_c: name is '%s', expected a C "
                                               "identifier of up to 64 letters", d->name);
    return d->data ? nn__check_dataset("nn_export_c", d->data) : NN_OK;
}

/* Lists what the output depends on, and makes room for what is to be known of it. */
static nn_status nn__export_open(nn__exporter *e, const char *call,
                                 int (*knows)(const nn_tensor *t), nn_tensor *output,
                                 const char *path)
{
    nn_status status = nn__check_tensor(call, output);
    memset(e, 0, sizeof *e);
    if (status == NN_OK && !path)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the path is NULL", call);
    if (status == NN_OK) status = nn__list_needed(output);
    if (status != NN_OK) return status;
    e->call = call, e->knows = knows, e->net = output->net, e->output = output;
    const size_t bytes = nn__bytes(e->net->tensors.count, 1, sizeof *e->slots);
    e->slots = (nn__slot *)nn__net_alloc(e->net, bytes);
    if (!e->slots) return NN_ERROR_OUT_OF_MEMORY;
    memset(e->slots, 0, bytes);
    return NN_OK;
}

static void nn__export_close(nn__exporter *e)
{
    if (!e->net) return;
    nn__net_release(e->net, e->slots);
    nn__net_release(e->net, e->x);
    nn__net_release(e->net, e->bytes);
}

static int nn__export_knows(const nn_tensor *t) { return nn__export_op_of(t) != NULL; }

NN_DEF nn_status nn_export_c(nn_tensor *output, const char *path, const nn_export_desc *desc)
{
    nn__exporter e;
    nn_export_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    nn_status status = nn__export_open(&e, "nn_export_c", nn__export_knows, output, path);
    if (status == NN_OK) status = nn__check_export(&d);
    e.name = d.name ? d.name : "net", e.int8 = d.int8, e.data = d.data;
    if (status == NN_OK) status = nn__export_all(&e, path);
    if (status == NN_OK && d.report) *d.report = e.report;
    nn__export_close(&e);
    return status;
}
#endif

/* --------------------------------------------------------------------------------------- >>onnx
   nn_export_onnx: the same walk, written as ONNX (onnx.proto, opset 13) in Protocol Buffers: fields
   with a number each, of which only three kinds are needed. Messages are put together in memory
   from the inside out; weights go from the network to the file. ONNX counts the batch as a
   dimension, so that operands which broadcast get all dimensions of the result first. */
#ifndef NN_NO_STDIO

typedef nn__text nn__proto;

/* Seven bits at a time, the lowest first. */
static void nn__proto_varint(nn__proto *p, uint64_t n)
{
    unsigned char septet;
    do {
        septet = (unsigned char)(n & 127);
        n >>= 7;
        if (n) septet |= 128;
        nn__text_put(p, &septet, 1);
    } while (n);
}

static void nn__proto_int(nn__proto *p, unsigned field, int64_t n)
{
    nn__proto_varint(p, field << 3);
    nn__proto_varint(p, (uint64_t)n);
}

/* Little-endian, as all numbers of fixed width. */
static void nn__proto_fixed(nn__proto *p, float x)
{
    unsigned char bytes[4];
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    nn__put_little(bytes, bits, 4);
    nn__text_put(p, bytes, 4);
}

static void nn__proto_bytes(nn__proto *p, unsigned field, const void *bytes, size_t size)
{
    nn__proto_varint(p, field << 3 | 2);
    nn__proto_varint(p, size);
    nn__text_put(p, bytes, size);
}

static void nn__proto_text(nn__proto *p, unsigned field, const char *text)
{
    nn__proto_bytes(p, field, text, strlen(text));
}

/* Ends a message within p. */
static void nn__proto_message(nn__proto *p, unsigned field, nn__proto *inner)
{
    nn__proto_bytes(p, field, inner->bytes, inner->size);
    if (p->status == NN_OK) p->status = inner->status;
    NN_FREE(inner->bytes);
    memset(inner, 0, sizeof *inner);
}

typedef struct nn__onnx {
    nn__exporter e;
    nn__proto nodes; /* and small constants */
    size_t names;    /* given so far to what lies between tensors */
} nn__onnx;

typedef struct nn__onnx_name {
    char text[32];
} nn__onnx_name;

static nn__onnx_name nn__onnx_of(const nn__onnx *o, const nn_tensor *t)
{
    nn__onnx_name name;
    if (t == o->e.input) strcpy(name.text, "input");
    else if (t == o->e.output) strcpy(name.text, "output");
    else snprintf(name.text, sizeof name.text, "t%llu", (nn__ull)t->id);
    return name;
}

static nn__onnx_name nn__onnx_new(nn__onnx *o)
{
    nn__onnx_name name;
    snprintf(name.text, sizeof name.text, "v%llu", (nn__ull)o->names++);
    return name;
}

/* -- attributes -- */

static nn__proto nn__onnx_attribute(const char *name, int type)
{
    nn__proto a;
    memset(&a, 0, sizeof a);
    nn__proto_text(&a, 1, name);
    nn__proto_int(&a, 20, type);
    return a;
}

static nn__proto nn__onnx_float(const char *name, double value)
{
    nn__proto a = nn__onnx_attribute(name, 1);
    nn__proto_varint(&a, 2 << 3 | 5);
    nn__proto_fixed(&a, (float)value);
    return a;
}

static nn__proto nn__onnx_ints(const char *name, int count, const int64_t *values)
{
    nn__proto a = nn__onnx_attribute(name, 7);
    for (int i = 0; i < count; i++) nn__proto_int(&a, 8, values[i]);
    return a;
}

static nn__proto nn__onnx_int(const char *name, int64_t value)
{
    nn__proto a = nn__onnx_attribute(name, 2);
    nn__proto_int(&a, 3, value);
    return a;
}

/* -- nodes and constants -- */

/* out = type(in[0], in[1], ...), with attributes, which are given back. */
static void nn__onnx_node(nn__onnx *o, const char *type, int count, const nn__onnx_name *in,
                          nn__onnx_name out, int attributes, nn__proto *attribute)
{
    nn__proto node;
    memset(&node, 0, sizeof node);
    for (int i = 0; i < count; i++) nn__proto_text(&node, 1, in[i].text);
    nn__proto_text(&node, 2, out.text);
    nn__proto_text(&node, 4, type);
    for (int i = 0; i < attributes; i++) nn__proto_message(&node, 5, &attribute[i]);
    nn__proto_message(&o->nodes, 1, &node);
}

static void nn__onnx_apply(nn__onnx *o, const char *type, nn__onnx_name in, nn__onnx_name out,
                           nn__proto *attribute)
{
    nn__onnx_node(o, type, 1, &in, out, attribute != NULL, attribute);
}

static void nn__onnx_apply2(nn__onnx *o, const char *type, nn__onnx_name a, nn__onnx_name b,
                            nn__onnx_name out)
{
    nn__onnx_name in[2];
    in[0] = a, in[1] = b;
    nn__onnx_node(o, type, 2, in, out, 0, NULL);
}

/* A list of whole numbers as an input. */
static nn__onnx_name nn__onnx_list(nn__onnx *o, int count, const int64_t *values)
{
    const nn__onnx_name name = nn__onnx_new(o);
    nn__proto t;
    memset(&t, 0, sizeof t);
    nn__proto_int(&t, 1, count);
    nn__proto_int(&t, 2, 7);
    for (int i = 0; i < count; i++) nn__proto_int(&t, 7, values[i]);
    nn__proto_text(&t, 8, name.text);
    nn__proto_message(&o->nodes, 5, &t);
    return name;
}

/* `rank` dimensions of reals; a scalar for rank 0. */
static nn__onnx_name nn__onnx_reals(nn__onnx *o, int rank, const size_t *shape, const double *x)
{
    const nn__onnx_name name = nn__onnx_new(o);
    size_t count = 1;
    nn__proto t;
    memset(&t, 0, sizeof t);
    for (int i = 0; i < rank; i++) {
        nn__proto_int(&t, 1, (int64_t)shape[i]);
        count *= shape[i];
    }
    nn__proto_int(&t, 2, 1);
    for (size_t i = 0; i < count; i++) {
        nn__proto_varint(&t, 4 << 3 | 5);
        nn__proto_fixed(&t, (float)x[i]);
    }
    nn__proto_text(&t, 8, name.text);
    nn__proto_message(&o->nodes, 5, &t);
    return name;
}

static nn__onnx_name nn__onnx_scalar(nn__onnx *o, double value)
{
    return nn__onnx_reals(o, 0, NULL, &value);
}

static void nn__onnx_reshape(nn__onnx *o, nn__onnx_name x, int batched, int rank,
                             const size_t *shape, nn__onnx_name out)
{
    int64_t list[NN_MAX_RANK + 2] = {-1};
    for (int i = 0; i < rank; i++) list[batched + i] = (int64_t)shape[i];
    nn__onnx_apply2(o, "Reshape", x, nn__onnx_list(o, rank + batched, list), out);
}

/* x with ones in front of a sample's dimensions until there are `rank`: only a batch has to stay in
   front of them, constants get theirs by broadcasting. */
static nn__onnx_name nn__onnx_wide(nn__onnx *o, const nn_tensor *x, nn__onnx_name name, int rank)
{
    size_t shape[NN_MAX_RANK + 2];
    const int own = x->rank - x->batched;
    if (!x->batched || own >= rank) return name;
    for (int i = 0; i < rank; i++) shape[i] = i < rank - own ? 1 : x->shape[1 + i - (rank - own)];
    const nn__onnx_name wide = nn__onnx_new(o);
    nn__onnx_reshape(o, name, 1, rank, shape, wide);
    return wide;
}

/* -- operations -- */

static void nn__onnx_function(nn__onnx *o, const nn__function *f, nn__onnx_name x,
                              nn__onnx_name out)
{
    static const char *const types[NN_ACTIVATION_COUNT] = {
        "Identity", "Sigmoid", "Tanh", NULL, "Relu", "LeakyRelu", "Elu", NULL, NULL, "Softplus"};
    nn__proto alpha;
    if (f->kind == NN_ACTIVATION_LEAKY_RELU || f->kind == NN_ACTIVATION_ELU) {
        alpha = nn__onnx_float("alpha", f->alpha);
        nn__onnx_apply(o, types[f->kind], x, out, &alpha);
    } else if (f->kind == NN_ACTIVATION_SCALED_TANH) {
        const nn__onnx_name a = nn__onnx_new(o), b = nn__onnx_new(o);
        nn__onnx_apply2(o, "Mul", x, nn__onnx_scalar(o, 2.0 / 3), a);
        nn__onnx_apply(o, "Tanh", a, b, NULL);
        nn__onnx_apply2(o, "Mul", b, nn__onnx_scalar(o, 1.7159), out);
    } else if (f->kind == NN_ACTIVATION_GELU) { /* x (1 + erf(x / sqrt 2)) / 2 */
        const nn__onnx_name a = nn__onnx_new(o), b = nn__onnx_new(o), c = nn__onnx_new(o);
        const nn__onnx_name half = nn__onnx_new(o);
        nn__onnx_apply2(o, "Mul", x, nn__onnx_scalar(o, 0.70710678118654752440), a);
        nn__onnx_apply(o, "Erf", a, b, NULL);
        nn__onnx_apply2(o, "Add", b, nn__onnx_scalar(o, 1), c);
        nn__onnx_apply2(o, "Mul", x, nn__onnx_scalar(o, 0.5), half);
        nn__onnx_apply2(o, "Mul", half, c, out);
    } else if (f->kind == NN_ACTIVATION_SILU) {
        const nn__onnx_name a = nn__onnx_new(o);
        nn__onnx_apply(o, "Sigmoid", x, a, NULL);
        nn__onnx_apply2(o, "Mul", x, a, out);
    } else nn__onnx_apply(o, types[f->kind], x, out, NULL);
}

static void nn__onnx_activation(nn__onnx *o, const nn_tensor *t)
{
    nn__onnx_function(o, (const nn__function *)t->settings, nn__onnx_of(o, t->src[0]),
                      nn__onnx_of(o, t));
}

static void nn__onnx_dense(nn__onnx *o, const nn_tensor *t)
{
    const nn__function *f = (const nn__function *)t->settings;
    const nn__onnx_name out = nn__onnx_of(o, t), x = nn__onnx_of(o, t->src[0]);
    const nn__onnx_name w = nn__onnx_of(o, t->src[1]);
    const int has_bias = t->src_count > 2, has_function = f->kind != NN_ACTIVATION_IDENTITY;
    const nn__onnx_name sum = has_function ? nn__onnx_new(o) : out;
    const nn__onnx_name product = has_bias ? nn__onnx_new(o) : sum;
    nn__onnx_apply2(o, "MatMul", x, w, product);
    if (has_bias) nn__onnx_apply2(o, "Add", product, nn__onnx_of(o, t->src[2]), sum);
    if (has_function) nn__onnx_function(o, f, sum, out);
}

static void nn__onnx_binary(nn__onnx *o, const nn_tensor *t)
{
    static const char *const types[][2] = {{"add", "Add"}, {"sub", "Sub"}, {"mul", "Mul"},
                                           {"div", "Div"}, {"maximum", "Max"}, {"minimum", "Min"}};
    nn__onnx_name x[2];
    size_t i = 0;
    while (strcmp(types[i][0], t->op->name) != 0) i++;
    for (int j = 0; j < 2; j++)
        x[j] = nn__onnx_wide(o, t->src[j], nn__onnx_of(o, t->src[j]), t->rank - 1);
    nn__onnx_apply2(o, types[i][1], x[0], x[1], nn__onnx_of(o, t));
}

static void nn__onnx_unary(nn__onnx *o, const nn_tensor *t)
{
    static const char *const types[][2] = {{"exp", "Exp"}, {"log", "Log"}, {"sqrt", "Sqrt"},
                                           {"abs", "Abs"}, {"pow", "Pow"}, {"scale", "Mul"},
                                           {"clamp", "Clip"}};
    const nn__numbers *s = (const nn__numbers *)t->settings;
    nn__onnx_name in[3];
    int i = 0;
    while (strcmp(types[i][0], t->op->name) != 0) i++;
    in[0] = nn__onnx_of(o, t->src[0]);
    if (i >= 4) in[1] = nn__onnx_scalar(o, s->a);
    if (i == 6) in[2] = nn__onnx_scalar(o, s->b);
    nn__onnx_node(o, types[i][1], i < 4 ? 1 : i < 6 ? 2 : 3, in, nn__onnx_of(o, t), 0, NULL);
}

static void nn__onnx_softmax(nn__onnx *o, const nn_tensor *t)
{
    nn__proto axis = nn__onnx_int("axis", -1);
    nn__onnx_apply(o, t->op == &nn__softmax ? "Softmax" : "LogSoftmax", nn__onnx_of(o, t->src[0]),
                   nn__onnx_of(o, t), &axis);
}

static void nn__onnx_shape(nn__onnx *o, const nn_tensor *t)
{
    nn__onnx_reshape(o, nn__onnx_of(o, t->src[0]), 1, t->rank - 1, t->shape + 1,
                     nn__onnx_of(o, t));
}

static void nn__onnx_identity(nn__onnx *o, const nn_tensor *t)
{
    nn__onnx_apply(o, "Identity", nn__onnx_of(o, t->src[0]), nn__onnx_of(o, t), NULL);
}

/* Which dimension of x moves by `step` and is not taken yet; of equal ones any will do. */
static int nn__onnx_axis_of(const nn_tensor *x, size_t step, size_t dim, unsigned taken)
{
    for (int i = x->batched; i < x->rank; i++)
        if (!(taken & 1u << i) && x->shape[i] == dim && nn__inner_size(x, i + 1) == step) return i;
    return 0;
}

static void nn__onnx_permute(nn__onnx *o, const nn_tensor *t)
{
    int64_t axes[NN_MAX_RANK] = {0};
    unsigned taken = 0;
    for (int i = 1; i < t->rank; i++) {
        const size_t step = ((const nn__permutation *)t->settings)->step[i - 1];
        const int axis = nn__onnx_axis_of(t->src[0], step, t->shape[i], taken);
        axes[i] = axis, taken |= 1u << axis;
    }
    nn__proto perm = nn__onnx_ints("perm", t->rank, axes);
    nn__onnx_apply(o, "Transpose", nn__onnx_of(o, t->src[0]), nn__onnx_of(o, t), &perm);
}

static void nn__onnx_concat(nn__onnx *o, const nn_tensor *t)
{
    nn__proto node, axis = nn__onnx_int("axis", ((const nn__cut *)t->settings)->axis);
    memset(&node, 0, sizeof node);
    for (size_t i = 0; i < t->src_count; i++)
        nn__proto_text(&node, 1, nn__onnx_of(o, t->src[i]).text);
    nn__proto_text(&node, 2, nn__onnx_of(o, t).text);
    nn__proto_text(&node, 4, "Concat");
    nn__proto_message(&node, 5, &axis);
    nn__proto_message(&o->nodes, 1, &node);
}

static void nn__onnx_slice(nn__onnx *o, const nn_tensor *t)
{
    const nn__cut *cut = (const nn__cut *)t->settings;
    const int64_t numbers[3] = {(int64_t)cut->begin,
                                (int64_t)(cut->begin + t->shape[cut->axis]), cut->axis};
    nn__onnx_name in[4];
    in[0] = nn__onnx_of(o, t->src[0]);
    for (int i = 0; i < 3; i++) in[1 + i] = nn__onnx_list(o, 1, &numbers[i]);
    nn__onnx_node(o, "Slice", 4, in, nn__onnx_of(o, t), 0, NULL);
}

static void nn__onnx_reduction(nn__onnx *o, const nn_tensor *t)
{
    const nn__reduction *r = (const nn__reduction *)t->settings;
    const nn_tensor *x = t->src[0];
    const int64_t axis = nn__onnx_axis_of(x, r->inner, r->n, 0);
    nn__proto attribute[2];
    attribute[0] = nn__onnx_int("keepdims", t->rank == x->rank);
    if (t->op == &nn__sum) { /* which has its axes as an input since opset 13 */
        nn__onnx_name in[2];
        in[0] = nn__onnx_of(o, x), in[1] = nn__onnx_list(o, 1, &axis);
        nn__onnx_node(o, "ReduceSum", 2, in, nn__onnx_of(o, t), 1, attribute);
        return;
    }
    const nn__onnx_name in = nn__onnx_of(o, x);
    attribute[1] = nn__onnx_ints("axes", 1, &axis);
    nn__onnx_node(o, t->op == &nn__mean ? "ReduceMean" : "ReduceMax", 1, &in, nn__onnx_of(o, t),
                  2, attribute);
}

/* An operand of a product with its last two dimensions swapped, when it asks for that. */
static nn__onnx_name nn__onnx_turned(nn__onnx *o, const nn_tensor *x, int turn)
{
    int64_t axes[NN_MAX_RANK];
    const nn__onnx_name name = nn__onnx_of(o, x);
    if (!turn) return name;
    for (int i = 0; i < x->rank; i++) axes[i] = i;
    axes[x->rank - 1] = x->rank - 2, axes[x->rank - 2] = x->rank - 1;
    const nn__onnx_name turned = nn__onnx_new(o);
    nn__proto perm = nn__onnx_ints("perm", x->rank, axes);
    nn__onnx_apply(o, "Transpose", name, turned, &perm);
    return turned;
}

static void nn__onnx_matmul(nn__onnx *o, const nn_tensor *t)
{
    const nn__matmul_settings *s = (const nn__matmul_settings *)t->settings;
    const int turn[2] = {s->trans_a, s->trans_b};
    int rank = 2;
    nn__onnx_name in[2];
    for (int i = 0; i < 2; i++) {
        const int own = t->src[i]->rank - t->src[i]->batched;
        rank = own > rank ? own : rank;
    }
    for (int i = 0; i < 2; i++) {
        const nn_tensor *x = t->src[i];
        nn_tensor swapped = *x;
        in[i] = nn__onnx_turned(o, x, turn[i]);
        if (turn[i]) {
            swapped.shape[x->rank - 1] = x->shape[x->rank - 2];
            swapped.shape[x->rank - 2] = x->shape[x->rank - 1];
        }
        in[i] = nn__onnx_wide(o, &swapped, in[i], rank);
    }
    const nn__onnx_name product = nn__onnx_new(o);
    nn__onnx_apply2(o, "MatMul", in[0], in[1], product);
    nn__onnx_reshape(o, product, 1, t->rank - 1, t->shape + 1, nn__onnx_of(o, t));
}
#endif

/* -------------------------------------------------------------------------------- >>onnx-images
   Images, whose channels come first within nodes that stand between transpositions, normalisation,
   and the file. */
#ifndef NN_NO_STDIO

static nn__onnx_name nn__onnx_transposed(nn__onnx *o, nn__onnx_name x, int a, int b, int c, int d)
{
    const int64_t axes[4] = {a, b, c, d};
    const nn__onnx_name out = nn__onnx_new(o);
    nn__proto perm = nn__onnx_ints("perm", 4, axes);
    nn__onnx_apply(o, "Transpose", x, out, &perm);
    return out;
}

/* x as [batch, channels, height, width] */
static nn__onnx_name nn__onnx_image(nn__onnx *o, const nn_tensor *x, size_t height, size_t width)
{
    nn__onnx_name name = nn__onnx_of(o, x);
    const size_t shape[3] = {height, width, nn__last_dimension(x)};
    if (x->rank != 4) {
        const nn__onnx_name wide = nn__onnx_new(o);
        nn__onnx_reshape(o, name, 1, 3, shape, wide);
        name = wide;
    }
    return nn__onnx_transposed(o, name, 0, 3, 1, 2);
}

/* And back to t's shape, as `out`. */
static void nn__onnx_from_image(nn__onnx *o, nn__onnx_name x, const nn_tensor *t, nn__onnx_name out)
{
    nn__onnx_reshape(o, nn__onnx_transposed(o, x, 0, 2, 3, 1), 1, t->rank - 1, t->shape + 1, out);
}

static int64_t nn__onnx_end(size_t out, size_t stride, size_t reach, size_t in, size_t begin)
{
    return (int64_t)((out - 1) * stride + reach) - (int64_t)in - (int64_t)begin;
}

static void nn__onnx_conv(nn__onnx *o, const nn_tensor *t)
{
    const nn__conv *c = &((const nn__conv_settings *)t->settings)->c;
    const nn__function *f = (const nn__function *)t->settings;
    const int backwards = t->op == &nn__conv2d_transpose;
    const int64_t steps[2] = {(int64_t)c->stride, (int64_t)c->stride};
    const int64_t dilations[2] = {(int64_t)c->dilation, (int64_t)c->dilation};
    int64_t pads[4], more[2] = {0, 0};
    nn__proto attribute[5];
    nn__onnx_name in[3];
    pads[0] = (int64_t)c->top, pads[1] = (int64_t)c->left;
    pads[2] = nn__onnx_end(c->oh, c->stride, (c->kh - 1) * c->dilation + 1, c->h, c->top);
    pads[3] = nn__onnx_end(c->ow, c->stride, (c->kw - 1) * c->dilation + 1, c->w, c->left);
    for (int i = 0; i < 2; i++) /* pixels that the stride leaves out */
        if (pads[2 + i] < 0) more[i] = -pads[2 + i], pads[2 + i] = 0;
    attribute[0] = nn__onnx_ints("strides", 2, steps);
    attribute[1] = nn__onnx_ints("dilations", 2, dilations);
    attribute[2] = nn__onnx_ints("pads", 4, pads);
    attribute[3] = nn__onnx_int("group", (int64_t)c->groups);
    if (backwards) attribute[4] = nn__onnx_ints("output_padding", 2, more);
    in[0] = nn__onnx_image(o, t->src[0], backwards ? c->oh : c->h, backwards ? c->ow : c->w);
    in[1] = nn__onnx_transposed(o, nn__onnx_of(o, t->src[1]), 3, 2, 0, 1);
    if (t->src_count > 2) in[2] = nn__onnx_of(o, t->src[2]);
    const nn__onnx_name image = nn__onnx_new(o), out = nn__onnx_of(o, t);
    const nn__onnx_name sum = f->kind ? nn__onnx_new(o) : out;
    nn__onnx_node(o, backwards ? "ConvTranspose" : "Conv", (int)t->src_count, in, image,
                  backwards ? 5 : 4, attribute);
    nn__onnx_from_image(o, image, t, sum);
    if (f->kind) nn__onnx_function(o, f, sum, out);
}

/* The mean over windows that share out an axis, as a product with their matrix: [out, in], or
   transposed. */
static nn__onnx_name nn__onnx_shares(nn__onnx *o, const nn__pool *p, int d, int transposed)
{
    size_t shape[2];
    shape[transposed] = p->out[d], shape[!transposed] = p->in[d];
    double *x = (double *)nn__allocate_zeros(p->out[d] * p->in[d], sizeof *x);
    for (size_t i = 0; x && i < p->out[d]; i++) {
        const nn__extent w = nn__window(p, d, i);
        for (size_t j = w.begin; j < w.end; j++)
            x[transposed ? j * p->out[d] + i : i * p->in[d] + j] = 1 / (double)(w.end - w.begin);
    }
    if (!x) o->nodes.status = NN_ERROR_OUT_OF_MEMORY;
    const nn__onnx_name name = x ? nn__onnx_reals(o, 2, shape, x) : nn__onnx_new(o);
    NN_FREE(x);
    return name;
}

static void nn__onnx_pool(nn__onnx *o, const nn_tensor *t)
{
    const nn__pool *p = nn__pool_of(t);
    const int is_max = t->op == &nn__max_pool;
    const nn__onnx_name x = nn__onnx_image(o, t->src[0], p->in[0], p->in[1]);
    const nn__onnx_name image = nn__onnx_new(o);
    int64_t kernel[2], stride[2], pads[4];
    nn__proto attribute[4];
    if (p->adaptive) {
        const nn__onnx_name columns = nn__onnx_new(o);
        nn__onnx_apply2(o, "MatMul", x, nn__onnx_shares(o, p, 1, 1), columns);
        nn__onnx_apply2(o, "MatMul", nn__onnx_shares(o, p, 0, 0), columns, image);
    } else {
        for (int d = 0; d < 2; d++) {
            kernel[d] = (int64_t)p->kernel[d], stride[d] = (int64_t)p->stride[d];
            pads[d] = pads[2 + d] = (int64_t)p->padding[d];
        }
        attribute[0] = nn__onnx_ints("kernel_shape", 2, kernel);
        attribute[1] = nn__onnx_ints("strides", 2, stride);
        attribute[2] = nn__onnx_ints("pads", 4, pads);
        if (!is_max)
            attribute[3] = nn__onnx_int("count_include_pad", p->divide == NN__DIVIDE_BY_KERNEL);
        nn__onnx_node(o, is_max ? "MaxPool" : "AveragePool", 1, &x, image, is_max ? 3 : 4,
                      attribute);
    }
    nn__onnx_from_image(o, image, t, nn__onnx_of(o, t));
}

static void nn__onnx_upsample(nn__onnx *o, const nn_tensor *t)
{
    const nn__pool *p = nn__pool_of(t);
    const size_t split[5] = {p->out[0], 1, p->out[1], 1, p->channels};
    const int64_t wide[6] = {1, (int64_t)p->out[0], (int64_t)p->kernel[0], (int64_t)p->out[1],
                             (int64_t)p->kernel[1], (int64_t)p->channels};
    const nn__onnx_name a = nn__onnx_new(o), b = nn__onnx_new(o);
    nn__onnx_reshape(o, nn__onnx_of(o, t->src[0]), 1, 5, split, a);
    nn__onnx_apply2(o, "Expand", a, nn__onnx_list(o, 6, wide), b);
    nn__onnx_reshape(o, b, 1, t->rank - 1, t->shape + 1, nn__onnx_of(o, t));
}

/* pad, or crop */
static void nn__onnx_frame(nn__onnx *o, const nn_tensor *t)
{
    const nn__frame *f = (const nn__frame *)t->settings;
    const int dims = t->rank - 2;
    int64_t list[8] = {0}, axes[2] = {1, 2}, begin[2], end[2];
    nn__onnx_name in[4];
    in[0] = nn__onnx_of(o, t->src[0]);
    for (int d = 0; d < dims; d++) {
        begin[d] = (int64_t)f->begin[d], end[d] = (int64_t)(f->begin[d] + f->inner[d]);
        list[1 + d] = begin[d], list[t->rank + 1 + d] = (int64_t)f->outer[d] - end[d];
    }
    if (t->op == &nn__pad) {
        nn__onnx_apply2(o, "Pad", in[0], nn__onnx_list(o, 2 * t->rank, list), nn__onnx_of(o, t));
        return;
    }
    in[1] = nn__onnx_list(o, dims, begin), in[2] = nn__onnx_list(o, dims, end);
    in[3] = nn__onnx_list(o, dims, axes);
    nn__onnx_node(o, "Slice", 4, in, nn__onnx_of(o, t), 0, NULL);
}

/* -- normalisation -- */

/* x w + b, and ReLU */
static void nn__onnx_affine(nn__onnx *o, const nn_tensor *t, nn__onnx_name x, int relu)
{
    const nn_tensor *w = t->op == &nn__batch_norm ? NULL : nn_weight(t), *b = nn_bias(t);
    const nn__onnx_name out = nn__onnx_of(o, t);
    if (w) {
        const nn__onnx_name scaled = nn__onnx_new(o);
        nn__onnx_apply2(o, "Mul", x, nn__onnx_of(o, w), scaled);
        x = scaled;
    }
    if (b) {
        const nn__onnx_name shifted = nn__onnx_new(o);
        nn__onnx_apply2(o, "Add", x, nn__onnx_of(o, b), shifted);
        x = shifted;
    }
    nn__onnx_apply(o, relu ? "Relu" : "Identity", x, out, NULL);
}

static void nn__onnx_batch_norm(nn__onnx *o, const nn_tensor *t)
{
    const size_t channels = nn__last_dimension(t);
    const nn__onnx_name moved = nn__onnx_new(o), scaled = nn__onnx_new(o);
    double *factors = (double *)nn__allocate(channels, sizeof *factors);
    for (size_t c = 0; factors && c < channels; c++) factors[c] = (double)nn__norm_factor(t, c);
    if (!factors) o->nodes.status = NN_ERROR_OUT_OF_MEMORY;
    nn__onnx_apply2(o, "Sub", nn__onnx_of(o, t->src[0]), nn__onnx_of(o, nn__running(t, 0)), moved);
    if (factors)
        nn__onnx_apply2(o, "Mul", moved, nn__onnx_reals(o, 1, &channels, factors), scaled);
    NN_FREE(factors);
    nn__onnx_affine(o, t, scaled, ((const nn__norm_settings *)t->settings)->relu);
}

/* (x - mean) / sqrt(variance + epsilon) over those axes */
static nn__onnx_name nn__onnx_normalized(nn__onnx *o, nn__onnx_name x, int count,
                                         const int64_t *axes, double epsilon)
{
    nn__onnx_name v[7];
    nn__proto over = nn__onnx_ints("axes", count, axes);
    for (int i = 0; i < 7; i++) v[i] = nn__onnx_new(o);
    nn__onnx_apply(o, "ReduceMean", x, v[0], &over);
    nn__onnx_apply2(o, "Sub", x, v[0], v[1]);
    nn__onnx_apply2(o, "Mul", v[1], v[1], v[2]);
    over = nn__onnx_ints("axes", count, axes);
    nn__onnx_apply(o, "ReduceMean", v[2], v[3], &over);
    nn__onnx_apply2(o, "Add", v[3], nn__onnx_scalar(o, epsilon), v[4]);
    nn__onnx_apply(o, "Sqrt", v[4], v[5], NULL);
    nn__onnx_apply2(o, "Div", v[1], v[5], v[6]);
    return v[6];
}

static void nn__onnx_group_norm(nn__onnx *o, const nn_tensor *t)
{
    const nn__norm_settings *s = (const nn__norm_settings *)t->settings;
    const size_t channels = nn__last_dimension(t), groups = s->groups;
    const size_t shape[3] = {t->row_size / channels, groups, channels / groups};
    const int64_t axes[2] = {1, 3};
    const nn__onnx_name split = nn__onnx_new(o), joined = nn__onnx_new(o);
    nn__onnx_reshape(o, nn__onnx_of(o, t->src[0]), 1, 3, shape, split);
    const nn__onnx_name normal = nn__onnx_normalized(o, split, 2, axes, s->epsilon);
    nn__onnx_reshape(o, normal, 1, t->rank - 1, t->shape + 1, joined);
    nn__onnx_affine(o, t, joined, s->relu);
}

static void nn__onnx_layer_norm(nn__onnx *o, const nn_tensor *t)
{
    const nn__layer_norm_settings *s = (const nn__layer_norm_settings *)t->settings;
    int64_t axes[NN_MAX_RANK];
    for (int i = 0; i < s->axes; i++) axes[i] = i - s->axes;
    nn__onnx_affine(o, t, nn__onnx_normalized(o, nn__onnx_of(o, t->src[0]), s->axes, axes,
                                              s->epsilon), 0);
}

static const struct nn__onnx_op {
    const nn_op *op;
    void (*emit)(nn__onnx *o, const nn_tensor *t);
} nn__onnx_ops[] = {
    {&nn__dense, nn__onnx_dense},          {&nn__matmul, nn__onnx_matmul},
    {&nn__activation, nn__onnx_activation}, {&nn__softmax, nn__onnx_softmax},
    {&nn__log_softmax, nn__onnx_softmax},  {&nn__add.op, nn__onnx_binary},
    {&nn__sub.op, nn__onnx_binary},        {&nn__mul.op, nn__onnx_binary},
    {&nn__div.op, nn__onnx_binary},        {&nn__maximum.op, nn__onnx_binary},
    {&nn__minimum.op, nn__onnx_binary},    {&nn__exp.op, nn__onnx_unary},
    {&nn__log.op, nn__onnx_unary},         {&nn__sqrt.op, nn__onnx_unary},
    {&nn__abs.op, nn__onnx_unary},         {&nn__pow.op, nn__onnx_unary},
    {&nn__clamp.op, nn__onnx_unary},       {&nn__scale, nn__onnx_unary},
    {&nn__reshape, nn__onnx_shape},        {&nn__dropout, nn__onnx_identity},
    {&nn__permute, nn__onnx_permute},      {&nn__concat, nn__onnx_concat},
    {&nn__slice, nn__onnx_slice},          {&nn__sum, nn__onnx_reduction},
    {&nn__mean, nn__onnx_reduction},       {&nn__max, nn__onnx_reduction},
    {&nn__conv2d, nn__onnx_conv},          {&nn__conv1d, nn__onnx_conv},
    {&nn__conv2d_transpose, nn__onnx_conv}, {&nn__max_pool, nn__onnx_pool},
    {&nn__average_pool, nn__onnx_pool},    {&nn__upsample, nn__onnx_upsample},
    {&nn__pad, nn__onnx_frame},            {&nn__crop, nn__onnx_frame},
    {&nn__spatial_dropout, nn__onnx_identity},
    {&nn__batch_norm, nn__onnx_batch_norm}, {&nn__group_norm, nn__onnx_group_norm},
    {&nn__layer_norm, nn__onnx_layer_norm}};

static const struct nn__onnx_op *nn__onnx_op_of(const nn_tensor *t)
{
    for (size_t i = 0; i < sizeof nn__onnx_ops / sizeof *nn__onnx_ops; i++)
        if (nn__onnx_ops[i].op == t->op) return &nn__onnx_ops[i];
    return NULL;
}

static int nn__onnx_knows(const nn_tensor *t) { return nn__onnx_op_of(t) != NULL; }

/* -- the file -- */

/* All of a TensorProto but the values, which are its last field. */
static void nn__onnx_head(nn__onnx *o, const nn_tensor *t, nn__proto *head)
{
    memset(head, 0, sizeof *head);
    for (int i = 0; i < t->rank; i++) nn__proto_int(head, 1, (int64_t)t->shape[i]);
    nn__proto_int(head, 2, 1);
    nn__proto_text(head, 8, nn__onnx_of(o, t).text);
    nn__proto_varint(head, 9 << 3 | 2);
    nn__proto_varint(head, 4 * (uint64_t)t->size);
}

/* name, type and shape of the input or the output */
static void nn__onnx_value(nn__onnx *o, unsigned field, const nn_tensor *t)
{
    nn__proto value, type, tensor, shape, dim;
    memset(&value, 0, sizeof value);
    type = tensor = shape = dim = value;
    for (int i = 0; i < t->rank; i++) {
        if (i == 0) nn__proto_text(&dim, 2, "batch");
        else nn__proto_int(&dim, 1, (int64_t)t->shape[i]);
        nn__proto_message(&shape, 1, &dim);
    }
    nn__proto_int(&tensor, 1, 1);
    nn__proto_message(&tensor, 2, &shape);
    nn__proto_message(&type, 1, &tensor);
    nn__proto_text(&value, 1, nn__onnx_of(o, t).text);
    nn__proto_message(&value, 2, &type);
    nn__proto_message(&o->nodes, field, &value);
}

static int nn__onnx_is_constant(const nn__onnx *o, const nn_tensor *t)
{
    return !o->e.slots[t->id].varies && o->e.slots[t->id].as_reals;
}

/* Numbers go out in pieces, as 32-bit reals. */
static void nn__onnx_values(nn__writer *w, const nn_tensor *t)
{
    unsigned char piece[1024];
    for (size_t i = 0; i < t->size; i += 256) {
        const size_t n = nn__min_size(256, t->size - i);
        for (size_t j = 0; j < n; j++) {
            const float x = (float)t->data[i + j];
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            nn__put_little(piece + 4 * j, bits, 4);
        }
        nn__writer_put(w, piece, 4 * n);
    }
}

/* Weights are messages of the graph, whose size stands before it: it is counted first. */
static nn_status nn__onnx_write(nn__onnx *o, nn__writer *w)
{
    const nn__list *order = &o->e.net->plan.order;
    uint64_t size = o->nodes.size;
    nn__proto model, opset, field, head;
    memset(&model, 0, sizeof model);
    opset = model;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < order->count; i++) {
            const nn_tensor *t = order->items[i];
            if (!nn__onnx_is_constant(o, t)) continue;
            memset(&field, 0, sizeof field);
            nn__onnx_head(o, t, &head);
            nn__proto_varint(&field, 5 << 3 | 2);
            nn__proto_varint(&field, head.size + 4 * (uint64_t)t->size);
            nn__text_put(&field, head.bytes, head.size);
            if (model.status == NN_OK) model.status = field.status;
            if (pass == 0) size += field.size + 4 * (uint64_t)t->size;
            else nn__writer_put(w, field.bytes, field.size), nn__onnx_values(w, t);
            NN_FREE(field.bytes);
            NN_FREE(head.bytes);
        }
        if (pass == 1) break;
        nn__proto_int(&model, 1, 8); /* IR version */
        nn__proto_text(&model, 2, "nn.h");
        nn__proto_text(&opset, 1, "");
        nn__proto_int(&opset, 2, 13);
        nn__proto_message(&model, 8, &opset);
        nn__proto_varint(&model, 7 << 3 | 2);
        nn__proto_varint(&model, size);
        nn__writer_put(w, model.bytes, model.size);
        nn__writer_put(w, o->nodes.bytes, o->nodes.size);
    }
    NN_FREE(model.bytes);
    if (model.status == NN_OK && size >= 2147483647)
        return nn__fail(NN_ERROR_TOO_LARGE, "nn_export_onnx: %llu bytes, ONNX files end at 2 GB",
                        (nn__ull)size);
    return model.status;
}

static nn_status nn__onnx_all(nn__onnx *o, const char *path)
{
    const nn__list *order = &o->e.net->plan.order;
    nn_status status = nn__export_check(&o->e);
    if (status == NN_OK) status = nn__export_samples(&o->e); /* computes the constants */
    if (status == NN_OK && o->e.output == o->e.input)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_export_onnx: the output is the input itself");
    if (status != NN_OK) return status;
    nn__proto_text(&o->nodes, 2, "nn");
    for (size_t i = 0; i < order->count; i++) {
        const nn_tensor *t = order->items[i];
        if (nn__is_leaf(t) || !o->e.slots[t->id].varies) continue;
        nn__onnx_op_of(t)->emit(o, t);
        for (size_t j = 0; j < t->src_count; j++)
            if (nn__export_reads(t, j)) o->e.slots[t->src[j]->id].as_reals = 1;
    }
    nn__onnx_value(o, 11, o->e.input);
    nn__onnx_value(o, 12, o->e.output);
    nn__writer w;
    status = o->nodes.status;
    if (status == NN_OK) status = nn__writer_open(&w, "nn_export_onnx", path);
    return status == NN_OK ? nn__writer_close(&w, nn__onnx_write(o, &w)) : status;
}

NN_DEF nn_status nn_export_onnx(nn_tensor *output, const char *path)
{
    nn__onnx o;
    memset(&o, 0, sizeof o);
    nn_status status = nn__export_open(&o.e, "nn_export_onnx", nn__onnx_knows, output, path);
    if (status == NN_OK) status = nn__onnx_all(&o, path);
    nn__export_close(&o.e);
    NN_FREE(o.nodes.bytes);
    return status;
}
#endif

/* -------------------------------------------------------------------------------------- >>json
   What a safetensors file says beside its numbers, as RFC 8259 has it: text that is put together,
   and text that is taken apart into a list of values, each followed by those inside it. Strings are
   decoded where they lie and end with a zero byte. Nothing is trusted: depth is bounded, UTF-8 is
   checked, a key comes once. */
/* -- writing -- */

static void nn__text_add(nn__text *t, const char *text) { nn__text_put(t, text, strlen(text)); }

static void nn__text_whole(nn__text *t, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (nn__ull)number);
    nn__text_add(t, digits);
}

/* What JSON has no digits for stands in quotes. */
static void nn__text_real(nn__text *t, double x)
{
    char digits[64];
    if (x != x) nn__text_add(t, "\"NaN\"");
    else if (!nn__is_finite(x)) nn__text_add(t, x > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else nn__text_add(t, nn__shortest(x, 0, digits));
}

/* Bytes of the character at `at` when it is UTF-8, no overlong form and no surrogate; else 0. */
static size_t nn__utf8(const unsigned char *at, size_t size)
{
    const unsigned first = at[0];
    const size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n == 0 || first > 0xf4 || n > size) return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f)) return 0;
    if ((first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f)) return 0;
    return n;
}

static int nn__is_utf8(const char *text, size_t size)
{
    for (size_t i = 0, n; i < size; i += n) {
        n = nn__utf8((const unsigned char *)text + i, size - i);
        if (n == 0) return 0;
    }
    return 1;
}

static void nn__text_string(nn__text *t, const char *string, size_t size)
{
    char escape[8];
    if (t->status == NN_OK && !nn__is_utf8(string, size))
        t->status = nn__fail(NN_ERROR_BAD_ARGUMENT, "the name '%.80s' is not UTF-8", string);
    nn__text_add(t, "\"");
    for (size_t i = 0; i < size; i++) {
        const unsigned c = (unsigned char)string[i];
        if (c == '"' || c == '\\') nn__text_add(t, "\\");
        if (c >= 0x20) nn__text_put(t, string + i, 1);
        else {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            nn__text_add(t, escape);
        }
    }
    nn__text_add(t, "\"");
}

/* "key": behind a comma where something stands before it. */
static void nn__text_key(nn__text *t, const char *key)
{
    const char last = t->size ? t->bytes[t->size - 1] : '{';
    if (last != '{' && last != '[') nn__text_add(t, ",");
    nn__text_string(t, key, strlen(key));
    nn__text_add(t, ":");
}

static void nn__text_member(nn__text *t, const char *key, uint64_t number)
{
    nn__text_key(t, key);
    nn__text_whole(t, number);
}

static void nn__text_string_member(nn__text *t, const char *key, const char *string)
{
    nn__text_key(t, key);
    nn__text_string(t, string, strlen(string));
}

/* -- reading -- */

/* A value. Those inside an object or an array follow it; `span` counts them and itself. */
typedef struct nn__json {
    const char *key;  /* of a member of an object, else NULL */
    const char *text; /* of a string without its quotes; of a number or a word as it stands */
    size_t size;      /* bytes of the text; of an object or an array the values right inside it */
    size_t span;
    char kind;        /* one of { [ " 0 w: object, array, string, number, word */
    char is_used;     /* somebody has asked for it */
} nn__json;

/* Text in memory that can be written to, and what it was taken apart into. */
typedef struct nn__document {
    const char *name; /* for messages */
    char *begin, *at, *end;
    nn__json *values;
    size_t count, capacity;
} nn__document;

enum { NN__JSON_DEPTH = 8 };

static void nn__document_free(nn__document *d)
{
    NN_FREE(d->values);
    d->values = NULL;
}

static nn_status nn__json_failed(const nn__document *d, const char *what)
{
    return nn__fail(NN_ERROR_BAD_FORMAT, "%s: at byte %llu of its text: %s", d->name,
                    (nn__ull)(d->at - d->begin), what);
}

static void nn__skip_blanks(nn__document *d)
{
    while (d->at < d->end && (*d->at == ' ' || *d->at == '\t' || *d->at == '\n' || *d->at == '\r'))
        d->at++;
}

/* Takes the character when it is the next one. */
static int nn__takes(nn__document *d, char c)
{
    nn__skip_blanks(d);
    if (d->at == d->end || *d->at != c) return 0;
    d->at++;
    return 1;
}

/* Four hexadecimal digits; -1 when they are not there. */
static long nn__hexadecimal(nn__document *d)
{
    long number = 0;
    for (int i = 0; i < 4; i++) {
        const int c = d->at < d->end ? (unsigned char)*d->at : 0;
        if (c >= '0' && c <= '9') number = 16 * number + c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') number = 16 * number + (c | 32) - 'a' + 10;
        else return -1;
        d->at++;
    }
    return number;
}

/* The character of \uXXXX, or of two that are a surrogate pair, as UTF-8. The escape takes more
   bytes than it stands for. */
static char *nn__decode_character(nn__document *d, char *to)
{
    long c = nn__hexadecimal(d);
    if (c >= 0xd800 && c < 0xdc00 && d->end - d->at >= 2 && d->at[0] == '\\' && d->at[1] == 'u') {
        d->at += 2;
        const long low = nn__hexadecimal(d);
        c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (c <= 0 || (c >= 0xd800 && c < 0xe000)) return NULL;
    if (c < 0x80) *to++ = (char)c;
    else if (c < 0x800) *to++ = (char)(0xc0 | c >> 6);
    else if (c < 0x10000) *to++ = (char)(0xe0 | c >> 12);
    else *to++ = (char)(0xf0 | c >> 18), *to++ = (char)(0x80 | (c >> 12 & 63));
    if (c >= 0x800) *to++ = (char)(0x80 | (c >> 6 & 63));
    if (c >= 0x80) *to++ = (char)(0x80 | (c & 63));
    return to;
}

/* A string, whose opening quote has been taken. */
static nn_status nn__read_string(nn__document *d, const char **text, size_t *size)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char *to = d->at;
    *text = to;
    for (;;) {
        if (d->at == d->end) return nn__json_failed(d, "a string without an end");
        const char c = *d->at++;
        if (c == '"') break;
        if ((unsigned char)c < 0x20) return nn__json_failed(d, "a control character in a string");
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        const char kind = d->at < d->end ? *d->at++ : ' ';
        const char *found = kind ? strchr(escapes, kind) : NULL;
        if (found) *to++ = meanings[found - escapes];
        else if (kind == 'u') to = nn__decode_character(d, to);
        if (!to || (!found && kind != 'u'))
            return nn__json_failed(d, "an escape that stands for no character");
    }
    *to = 0; /* where the closing quote was, or before it */
    *size = (size_t)(to - *text);
    return NN_OK;
}

static void nn__skip_digits(nn__document *d)
{
    while (d->at < d->end && *d->at >= '0' && *d->at <= '9') d->at++;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? or a word. */
static nn_status nn__read_scalar(nn__document *d, nn__json *value)
{
    static const char *const words[] = {"true", "false", "null"};
    const size_t left = (size_t)(d->end - d->at);
    value->text = d->at, value->kind = 0;
    for (size_t i = 0; i < 3 && value->kind != 'w'; i++)
        if (left >= strlen(words[i]) && memcmp(d->at, words[i], strlen(words[i])) == 0)
            value->kind = 'w', d->at += strlen(words[i]);
    if (value->kind != 'w') {
        value->kind = '0';
        if (*d->at == '-') d->at++;
        const char *digits = d->at;
        nn__skip_digits(d);
        int is_right = d->at > digits && (*digits != '0' || d->at == digits + 1);
        if (d->at < d->end && *d->at == '.') {
            digits = ++d->at;
            nn__skip_digits(d);
            is_right = is_right && d->at > digits;
        }
        if (d->at < d->end && (*d->at == 'e' || *d->at == 'E')) {
            d->at++;
            if (d->at < d->end && (*d->at == '+' || *d->at == '-')) d->at++;
            digits = d->at;
            nn__skip_digits(d);
            is_right = is_right && d->at > digits;
        }
        if (!is_right) return nn__json_failed(d, "expected a value");
    }
    value->size = (size_t)(d->at - value->text);
    return NN_OK;
}

static int nn__compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No two members of the object that begins at value number `at` have one key. */
static nn_status nn__check_keys(const nn__document *d, size_t at)
{
    const nn__json *object = &d->values[at];
    const size_t members = object->size;
    nn_status status = NN_OK;
    size_t count = 0;
    if (members < 2) return NN_OK;
    const char **keys = (const char **)nn__allocate(members, sizeof *keys);
    if (!keys) return NN_ERROR_OUT_OF_MEMORY;
    for (const nn__json *v = object + 1; count < members; v += v->span) keys[count++] = v->key;
    qsort((void *)keys, count, sizeof *keys, nn__compare_texts);
    for (size_t i = 1; status == NN_OK && i < count; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: the key '%.80s' comes twice", d->name,
                              keys[i]);
    NN_FREE((void *)keys);
    return status;
}

static nn_status nn__read_value(nn__document *d, const char *key, int depth);

/* The values of an object or of an array, whose bracket has been taken. */
static nn_status nn__read_inside(nn__document *d, size_t at, int depth)
{
    const int is_object = d->values[at].kind == '{';
    const char close = is_object ? '}' : ']';
    nn_status status = NN_OK;
    if (depth == NN__JSON_DEPTH) return nn__json_failed(d, "brackets within brackets, too deep");
    if (nn__takes(d, close)) return NN_OK;
    do {
        const char *key = NULL;
        size_t size;
        if (is_object) {
            if (!nn__takes(d, '"')) return nn__json_failed(d, "expected a key in quotes");
            status = nn__read_string(d, &key, &size);
            if (status == NN_OK && !nn__takes(d, ':'))
                status = nn__json_failed(d, "expected ':' after a key");
        }
        if (status == NN_OK) status = nn__read_value(d, key, depth + 1);
        if (status != NN_OK) return status;
        d->values[at].size++;
    } while (nn__takes(d, ','));
    d->values[at].span = d->count - at;
    if (!nn__takes(d, close)) return nn__json_failed(d, "expected ',' or a closing bracket");
    return is_object ? nn__check_keys(d, at) : NN_OK;
}

static nn_status nn__read_value(nn__document *d, const char *key, int depth)
{
    const size_t at = d->count;
    nn_status status = nn__grow(&d->values, d->count, &d->capacity, sizeof *d->values);
    if (status != NN_OK) return status;
    nn__json *value = &d->values[d->count++];
    memset(value, 0, sizeof *value);
    value->key = key, value->span = 1;
    nn__skip_blanks(d);
    if (d->at == d->end) return nn__json_failed(d, "expected a value");
    value->kind = *d->at;
    if (*d->at == '{' || *d->at == '[') {
        d->at++;
        return nn__read_inside(d, at, depth);
    }
    if (*d->at != '"') return nn__read_scalar(d, value);
    d->at++;
    return nn__read_string(d, &value->text, &value->size);
}

/* Takes the text apart; it must be an object and nothing else but blanks. */
static nn_status nn__document_read(nn__document *d, const char *name, char *text, size_t size)
{
    memset(d, 0, sizeof *d);
    d->name = name, d->begin = d->at = text, d->end = text + size;
    if (!nn__is_utf8(text, size)) return nn__json_failed(d, "it is not UTF-8");
    if (size == 0 || *text != '{') return nn__json_failed(d, "expected '{'");
    nn_status status = nn__read_value(d, NULL, 0);
    nn__skip_blanks(d);
    if (status == NN_OK && d->at != d->end)
        status = nn__json_failed(d, "something follows the closing bracket");
    if (status != NN_OK) nn__document_free(d);
    return status;
}

/* A member of an object; NULL when it is not there, or not of that kind. */
static nn__json *nn__member(nn__json *object, const char *key, char kind)
{
    if (!object || object->kind != '{') return NULL;
    for (nn__json *v = object + 1; v < object + object->span; v += v->span)
        if (strcmp(v->key, key) == 0 && v->kind == kind) return v->is_used = 1, v;
    return NULL;
}

/* A whole number from 0 to max. */
static int nn__json_whole(const nn__json *v, uint64_t max, uint64_t *number)
{
    uint64_t n = 0;
    if (!v || v->kind != '0' || v->size > 20) return 0;
    for (size_t i = 0; i < v->size; i++) {
        const uint64_t digit = (uint64_t)(v->text[i] - '0');
        if (digit > 9 || digit > max || n > (max - digit) / 10) return 0;
        n = 10 * n + digit;
    }
    *number = n;
    return 1;
}

static int nn__json_size(const nn__json *v, size_t *size)
{
    uint64_t n = 0;
    const int is_whole = nn__json_whole(v, SIZE_MAX, &n);
    if (is_whole) *size = (size_t)n;
    return is_whole;
}

static int nn__json_real(const nn__json *v, double *number)
{
    if (v->kind == '"') {
        *number = strcmp(v->text, "NaN") == 0         ? NAN
                  : strcmp(v->text, "Infinity") == 0  ? HUGE_VAL
                  : strcmp(v->text, "-Infinity") == 0 ? -HUGE_VAL
                                                      : 0;
        return *number != 0;
    }
    const nn__span digits = {v->text, v->text + v->size};
    return v->kind == '0' && nn__parse_double(digits, number);
}

/* ------------------------------------------------------------------------------ >>safetensors
   One file: 8 bytes with the length N of its header, N bytes of JSON, then the numbers of all
   tensors one after the other, little-endian. Everything the header says is compared with what
   there is before anything is allocated or copied. Files are read and written in place: no second
   copy of the numbers is made. */

/* -- types of elements -- */

typedef struct nn__element {
    const char *name;
    size_t size;
    char kind; /* as in nn__number_at; 'x': cannot be converted */
} nn__element;

static const nn__element nn__elements[] = {
    {"F64", 8, 'f'}, {"F32", 4, 'f'}, {"F16", 2, 'f'}, {"BF16", 2, 't'}, {"I64", 8, 'i'},
    {"I32", 4, 'i'}, {"I16", 2, 'i'}, {"I8", 1, 'i'},  {"U64", 8, 'u'},  {"U32", 4, 'u'},
    {"U16", 2, 'u'}, {"U8", 1, 'u'},  {"BOOL", 1, 'b'}, {"F8_E4M3", 1, 'x'}, {"F8_E5M2", 1, 'x'}};

static const nn__element *nn__find_element(const char *name)
{
    for (size_t i = 0; i < sizeof nn__elements / sizeof *nn__elements; i++)
        if (strcmp(nn__elements[i].name, name) == 0) return &nn__elements[i];
    return NULL;
}

/* F64 or F32, which are what is written. */
static const nn__element *nn__float_of(size_t width) { return &nn__elements[width == 8 ? 0 : 1]; }

/* -- reading -- */

typedef struct nn__entry {
    const char *name;
    const nn__element *element;
    const nn__json *shape;      /* an array of whole numbers */
    size_t rank, count;         /* dimensions, elements */
    size_t begin, bytes;        /* in the file */
    char is_used;
} nn__entry;

/* A file that is open, or one in memory. */
typedef struct nn__archive {
    const char *name;           /* for messages */
    const unsigned char *bytes; /* all of it, or NULL when it is read from the stream */
    unsigned char *owned;
    size_t size;
#ifndef NN_NO_STDIO
    nn__stream stream;
    int is_open;
#endif
    char *header;
    nn__document document;
    nn__entry *entries;         /* in the order of their places */
    size_t count;
    nn__json *metadata;         /* or NULL */
} nn__archive;

static void nn__archive_close(nn__archive *a)
{
#ifndef NN_NO_STDIO
    if (a->is_open) nn__stream_close(&a->stream, NN_OK);
#endif
    nn__document_free(&a->document);
    NN_FREE(a->entries);
    NN_FREE(a->header);
    NN_FREE(a->owned);
    memset(a, 0, sizeof *a);
}

#ifndef NN_NO_STDIO
/* A pipe is read into memory first. */
static nn_status nn__archive_stream(nn__archive *a, const char *path)
{
    nn__file file = {path, NULL, 0};
    nn_status status = nn__stream_open(path, &a->stream);
    if (status != NN_OK) return status;
    a->is_open = 1;
    a->size = nn__stream_hint(&a->stream);
    if (a->size) return NN_OK;
    status = nn__file_fill(&a->stream, &file);
    a->bytes = a->owned = file.bytes, a->size = file.size;
    return status;
}

static nn_status nn__archive_fetch(nn__archive *a, size_t at, void *to, size_t bytes)
{
    size_t got = 0;
    if (a->stream.total != at && !nn__stream_seek(&a->stream, at)) return nn__read_failed(a->name);
    nn_status status = nn__stream_read(&a->stream, to, bytes, &got);
    if (status == NN_OK && got < bytes)
        status = nn__fail(NN_ERROR_TRUNCATED, "%s: ends at byte %llu while it is read", a->name,
                          (nn__ull)(at + got));
    return status;
}
#endif

/* Bytes that the size of the file has promised. */
static nn_status nn__archive_copy(nn__archive *a, size_t at, void *to, size_t bytes)
{
#ifndef NN_NO_STDIO
    if (!a->bytes) return nn__archive_fetch(a, at, to, bytes);
#endif
    if (bytes) memcpy(to, a->bytes + at, bytes);
    return NN_OK;
}

static nn_status nn__entry_failed(const nn__archive *a, const nn__entry *e, const char *what)
{
    return nn__fail(NN_ERROR_BAD_FORMAT, "%s: tensor '%.80s': %s", a->name, e->name, what);
}

/* The two ends of a tensor's data, of which there are so many bytes. */
static int nn__read_ends(const nn__json *ends, size_t data, size_t *begin, size_t *end)
{
    if (!ends || ends->size != 2) return 0;
    return nn__json_size(ends + 1, begin) && nn__json_size(ends + 2, end) && *begin <= *end &&
           *end <= data;
}

/* A tensor's dtype, shape and data_offsets agree with each other. */
static nn_status nn__read_entry(nn__archive *a, nn__json *value, size_t data, nn__entry *e)
{
    nn__json *dtype = nn__member(value, "dtype", '"');
    const nn__json *ends = nn__member(value, "data_offsets", '[');
    size_t end = 0, bytes = 0;
    memset(e, 0, sizeof *e);
    e->name = value->key;
    e->shape = nn__member(value, "shape", '[');
    if (!dtype || !e->shape || !ends || value->size != 3)
        return nn__entry_failed(a, e, "expected dtype, shape and data_offsets, and nothing else");
    e->element = nn__find_element(dtype->text);
    e->rank = e->shape->size;
    e->count = 1;
    if (!e->element)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: tensor '%.80s': the dtype '%.20s' is unknown",
                        a->name, e->name, dtype->text);
    for (size_t i = 0, n; i < e->rank; i++) {
        if (!nn__json_size(e->shape + 1 + i, &n))
            return nn__entry_failed(a, e, "a dimension that is no whole number");
        if (!nn__multiply(e->count, n, &e->count))
            return nn__fail(NN_ERROR_TOO_LARGE, "%s: tensor '%.80s': the product of its shape does "
                                                "not fit", a->name, e->name);
    }
    if (!nn__read_ends(ends, data, &e->begin, &end))
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: tensor '%.80s': its data_offsets are not two numbers in order that "
                        "lie in the %llu bytes of data", a->name, e->name, (nn__ull)data);
    e->bytes = end - e->begin;
    if (!nn__multiply(e->count, e->element->size, &bytes) || bytes != e->bytes)
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: tensor '%.80s': %llu elements of %llu bytes in %llu bytes", a->name,
                        e->name, (nn__ull)e->count, (nn__ull)e->element->size, (nn__ull)e->bytes);
    return NN_OK;
}

static int nn__compare_places(const void *a, const void *b)
{
    const nn__entry *x = (const nn__entry *)a, *y = (const nn__entry *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones come first */
    return strcmp(x->name, y->name);
}

/* One begins where another ends: no holes, nothing shared, nothing behind the last. */
static nn_status nn__check_places(nn__archive *a, size_t data)
{
    size_t at = 0;
    if (a->count) qsort(a->entries, a->count, sizeof *a->entries, nn__compare_places);
    for (size_t i = 0; i < a->count; at = a->entries[i].begin + a->entries[i].bytes, i++)
        if (a->entries[i].begin != at)
            return nn__fail(NN_ERROR_BAD_FORMAT,
                            "%s: tensor '%.80s' begins at %llu, expected %llu, where the one "
                            "before it ends", a->name, a->entries[i].name,
                            (nn__ull)a->entries[i].begin, (nn__ull)at);
    if (at != data)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: the tensors end at byte %llu of %llu bytes of "
                                             "data", a->name, (nn__ull)at, (nn__ull)data);
    return NN_OK;
}

/* The metadata: strings alone. */
static nn_status nn__check_metadata(const nn__archive *a)
{
    const nn__json *m = a->metadata;
    for (const nn__json *v = m ? m + 1 : NULL; v && v < m + m->span; v += v->span)
        if (v->kind != '"')
            return nn__fail(NN_ERROR_BAD_FORMAT, "%s: __metadata__: '%.80s' is no string", a->name,
                            v->key);
    return NN_OK;
}

static nn_status nn__read_entries(nn__archive *a, size_t data_begin)
{
    nn__json *root = a->document.values;
    const size_t data = a->size - data_begin;
    a->metadata = nn__member(root, "__metadata__", '{');
    a->entries = (nn__entry *)nn__allocate(nn__max_size(root->size, 1), sizeof *a->entries);
    if (!a->entries) return NN_ERROR_OUT_OF_MEMORY;
    nn_status status = nn__check_metadata(a);
    for (nn__json *v = root + 1; status == NN_OK && v < root + root->span; v += v->span)
        if (v != a->metadata) status = nn__read_entry(a, v, data, &a->entries[a->count++]);
    if (status == NN_OK) status = nn__check_places(a, data);
    for (size_t i = 0; status == NN_OK && i < a->count; i++) a->entries[i].begin += data_begin;
    return status;
}

enum { NN__MAX_HEADER = 100000000 };

/* The length of the header, or what the file is instead. */
static nn_status nn__read_length(nn__archive *a, size_t *length)
{
    unsigned char start[64] = {0};
    const size_t got = nn__min_size(a->size, sizeof start);
    nn_status status = nn__archive_copy(a, 0, start, got);
    const uint64_t n = nn__little(start, 8);
    if (status != NN_OK) return status;
    *length = (size_t)n;
    if (a->size >= 8 && n <= NN__MAX_HEADER && n <= a->size - 8) return NN_OK;
    status = nn__check_content(a->name, start, got);
    if (status != NN_OK) return status;
    if (a->size < 8)
        return nn__fail(NN_ERROR_TRUNCATED, "%s: %llu bytes, a safetensors file has at least 8",
                        a->name, (nn__ull)a->size);
    return nn__fail(n <= NN__MAX_HEADER ? NN_ERROR_TRUNCATED : NN_ERROR_BAD_FORMAT,
                    "%s: a header of %llu bytes in a file of %llu: %s", a->name, (nn__ull)n,
                    (nn__ull)a->size,
                    n <= NN__MAX_HEADER ? "it is cut off" : "this is no safetensors file");
}

static nn_status nn__read_header(nn__archive *a)
{
    size_t length;
    nn_status status = nn__read_length(a, &length);
    if (status != NN_OK) return status;
    a->header = (char *)nn__allocate(length + 1, 1);
    if (!a->header) return NN_ERROR_OUT_OF_MEMORY;
    status = nn__archive_copy(a, 8, a->header, length);
    if (status == NN_OK) status = nn__document_read(&a->document, a->name, a->header, length);
    return status == NN_OK ? nn__read_entries(a, 8 + length) : status;
}

/* From a path, or from bytes when the path is NULL. */
static nn_status nn__archive_open(nn__archive *a, const char *call, const char *path,
                                  const void *bytes, size_t size)
{
    memset(a, 0, sizeof *a);
    if (!path && !bytes) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: there is no file", call);
    a->name = path ? path : "the file in memory";
    a->bytes = (const unsigned char *)bytes, a->size = size;
    nn_status status = NN_OK;
#ifndef NN_NO_STDIO
    if (path) status = nn__archive_stream(a, path);
#endif
    if (status == NN_OK && a->size == 0)
        status = nn__fail(NN_ERROR_EMPTY, "%s: the file is empty", a->name);
    if (status == NN_OK) status = nn__read_header(a);
    if (status != NN_OK) nn__archive_close(a);
    return status;
}

static nn__entry *nn__find_entry(nn__archive *a, const char *prefix, const char *name)
{
    const size_t length = strlen(prefix);
    for (size_t i = 0; i < a->count; i++)
        if (strncmp(a->entries[i].name, prefix, length) == 0 &&
            strcmp(a->entries[i].name + length, name) == 0)
            return &a->entries[i];
    return NULL;
}

static size_t nn__entry_dim(const nn__entry *e, size_t i)
{
    size_t n = 0;
    nn__json_size(e->shape + 1 + i, &n);
    return n;
}

/* Where the elements of a file go when they do not lie as they are wanted: a walk over the file's
   dimensions, each of which moves on by `step` in the target. */
typedef struct nn__placement {
    size_t rank, dim[4], step[4], index[4];
} nn__placement;

static size_t nn__next_place(nn__placement *p)
{
    size_t at = 0;
    for (size_t i = 0; i < p->rank; i++) at += p->index[i] * p->step[i];
    for (size_t i = p->rank; i-- > 0 && ++p->index[i] == p->dim[i];) p->index[i] = 0;
    return at;
}

/* Copies a tensor to floats of `width` bytes, converted where that differs. */
static nn_status nn__entry_read(nn__archive *a, const nn__entry *e, void *to, size_t width,
                                nn__placement *place)
{
    unsigned char raw[4096];
    const nn__element *element = e->element;
    nn_status status = NN_OK;
    if (element->kind == 'x')
        return nn__entry_failed(a, e, "its dtype cannot be converted");
    if (element == nn__float_of(width) && !place && !nn__is_big_endian())
        return nn__archive_copy(a, e->begin, to, e->bytes);
    for (size_t i = 0; status == NN_OK && i < e->count;) {
        const size_t n = nn__min_size(e->count - i, sizeof raw / element->size);
        status = nn__archive_copy(a, e->begin + i * element->size, raw, n * element->size);
        for (size_t j = 0; status == NN_OK && j < n; j++, i++) {
            const double x =
                nn__number_at(element->kind, element->size, 0, raw + j * element->size);
            const size_t at = place ? nn__next_place(place) : i;
            if (width == 8) ((double *)to)[at] = x;
            else ((float *)to)[at] = (float)x;
        }
    }
    return status;
}

/* -- writing -- */

/* A tensor to be written, under "prefix" and "name" joined. */
typedef struct nn__item {
    const char *prefix, *name; /* name NULL: the number */
    char number[40];
    size_t width, count;
    int rank;
    size_t shape[NN_MAX_RANK];
    const void *data; /* `count` floats of `width` bytes */
} nn__item;

typedef struct nn__contents {
    nn__item *items;
    size_t count, capacity;
    nn__text about; /* what the metadata says, one JSON object */
    nn_status status;
} nn__contents;

static void nn__contents_free(nn__contents *c)
{
    NN_FREE(c->items);
    NN_FREE(c->about.bytes);
}

/* One more tensor of doubles or, with width sizeof(nn_real), of reals. */
static nn__item *nn__contents_add(nn__contents *c, const char *prefix, const char *name,
                                  size_t width, int rank, const size_t *shape, const void *data)
{
    if (c->status == NN_OK)
        c->status = nn__grow(&c->items, c->count, &c->capacity, sizeof *c->items);
    if (c->status != NN_OK) return NULL;
    nn__item *item = &c->items[c->count++];
    memset(item, 0, sizeof *item);
    item->prefix = prefix, item->name = name;
    item->width = width, item->rank = rank, item->data = data;
    if (rank) memcpy(item->shape, shape, (size_t)rank * sizeof *shape);
    nn__shape_size(rank, shape, &item->count); /* fits: it is in memory */
    return item;
}

static int nn__item_letter(const nn__item *item, size_t i)
{
    const size_t prefix = strlen(item->prefix);
    const char *name = item->name ? item->name : item->number;
    return (unsigned char)(i < prefix ? item->prefix[i] : name[i - prefix]);
}

static int nn__compare_names(const void *a, const void *b)
{
    const nn__item *x = (const nn__item *)a, *y = (const nn__item *)b;
    size_t i = 0;
    while (nn__item_letter(x, i) && nn__item_letter(x, i) == nn__item_letter(y, i)) i++;
    return nn__item_letter(x, i) - nn__item_letter(y, i);
}

/* As the format's own writers order them: large elements first, then by name. */
static int nn__compare_items(const void *a, const void *b)
{
    const nn__item *x = (const nn__item *)a, *y = (const nn__item *)b;
    if (x->width != y->width) return x->width > y->width ? -1 : 1;
    return nn__compare_names(a, b);
}

static void nn__text_item(nn__text *t, const nn__item *item, size_t begin)
{
    nn__text name = {NULL, 0, 0, t->status};
    nn__text_add(&name, item->prefix);
    nn__text_put(&name, item->name ? item->name : item->number,
                 strlen(item->name ? item->name : item->number) + 1);
    if (name.status == NN_OK) nn__text_key(t, name.bytes);
    else t->status = name.status;
    NN_FREE(name.bytes);
    nn__text_add(t, "{");
    nn__text_string_member(t, "dtype", nn__float_of(item->width)->name);
    nn__text_key(t, "shape");
    for (int i = 0; i < item->rank; i++) {
        nn__text_add(t, i ? "," : "[");
        nn__text_whole(t, item->shape[i]);
    }
    nn__text_add(t, item->rank ? "]" : "[]");
    nn__text_key(t, "data_offsets");
    nn__text_add(t, "[");
    nn__text_whole(t, begin);
    nn__text_add(t, ",");
    nn__text_whole(t, begin + item->count * item->width);
    nn__text_add(t, "]}");
}

/* The 8 bytes of length and the header, padded so that the data is aligned. */
static nn_status nn__make_header(nn__contents *c, nn__text *t)
{
    size_t data = 0;
    nn_status status = c->status != NN_OK ? c->status : c->about.status;
    if (status != NN_OK) return status;
    if (c->count) qsort(c->items, c->count, sizeof *c->items, nn__compare_names);
    for (size_t i = 1; i < c->count; i++)
        if (nn__compare_names(&c->items[i - 1], &c->items[i]) == 0)
            return nn__fail(NN_ERROR_BAD_ARGUMENT, "two tensors would be called '%s%s'",
                            c->items[i].prefix,
                            c->items[i].name ? c->items[i].name : c->items[i].number);
    if (c->count) qsort(c->items, c->count, sizeof *c->items, nn__compare_items);
    nn__text_put(t, "\0\0\0\0\0\0\0\0{", 9);
    nn__text_key(t, "__metadata__");
    nn__text_add(t, "{");
    nn__text_key(t, "nn.h");
    nn__text_string(t, c->about.bytes, c->about.size);
    nn__text_add(t, "}");
    for (size_t i = 0; i < c->count; data += c->items[i].count * c->items[i].width, i++)
        nn__text_item(t, &c->items[i], data);
    nn__text_add(t, "}");
    while (t->status == NN_OK && t->size % 8) nn__text_add(t, " ");
    if (t->status != NN_OK) return t->status;
    if (t->size - 8 > NN__MAX_HEADER)
        return nn__fail(NN_ERROR_TOO_LARGE, "a header of %llu bytes, at most %d are possible",
                        (nn__ull)(t->size - 8), NN__MAX_HEADER);
    nn__put_little((unsigned char *)t->bytes, t->size - 8, 8);
    return NN_OK;
}

static void nn__put_item(nn__writer *w, const nn__item *item)
{
    unsigned char swapped[4096];
    const unsigned char *data = (const unsigned char *)item->data;
    const size_t bytes = item->count * item->width, width = item->width;
    if (!nn__is_big_endian()) nn__writer_put(w, data, bytes);
    else
        for (size_t i = 0, n; i < bytes; i += n) {
            n = nn__min_size(bytes - i, sizeof swapped);
            for (size_t j = 0; j < n; j++)
                swapped[j] = data[i + j / width * width + (width - 1 - j % width)];
            nn__writer_put(w, swapped, n);
        }
}

static void nn__put_contents(nn__writer *w, const nn__contents *c, const nn__text *header)
{
    nn__writer_put(w, header->bytes, header->size);
    for (size_t i = 0; i < c->count; i++) nn__put_item(w, &c->items[i]);
}

/* Into memory from NN_MALLOC. */
static nn_status nn__write_memory(nn__contents *c, void **out, size_t *size)
{
    nn__text header = {NULL, 0, 0, NN_OK};
    nn__writer w;
    nn_status status = nn__make_header(c, &header);
    size_t bytes = header.size, item;
    memset(&w, 0, sizeof w);
    for (size_t i = 0; status == NN_OK && i < c->count; i++)
        if (!nn__multiply(c->items[i].count, c->items[i].width, &item) ||
            !nn__add_sizes(bytes, item, &bytes))
            status = nn__fail(NN_ERROR_TOO_LARGE, "the file does not fit the address space");
    if (status == NN_OK) w.memory = (unsigned char *)nn__allocate(bytes, 1);
    if (status == NN_OK && !w.memory) status = NN_ERROR_OUT_OF_MEMORY;
    if (status == NN_OK) {
        *out = w.memory, *size = bytes;
        nn__put_contents(&w, c, &header);
    }
    NN_FREE(header.bytes);
    return status;
}

#ifndef NN_NO_STDIO
static nn_status nn__write_file(nn__contents *c, const char *call, const char *path)
{
    nn__text header = {NULL, 0, 0, NN_OK};
    nn__writer w;
    nn_status status = nn__make_header(c, &header);
    if (status == NN_OK) status = nn__writer_open(&w, call, path);
    if (status == NN_OK) {
        nn__put_contents(&w, c, &header);
        status = nn__writer_close(&w, NN_OK);
    }
    NN_FREE(header.bytes);
    return status;
}
#endif

/* -------------------------------------------------------------------------------------- >>save
   What a file of this library says beside its tensors is one JSON object, the string "nn.h" in the
   metadata:

       {"version":1, "output":4,
        "tensors":[{"id":0,"op":"input","shape":[784]}, {"id":1,"op":"parameter",...}, ...],
        "data":{...}, "training":{...}, "trainer":{...}}

   Tensors stand in the order of their making with what nn_op.describe gives; the inputs that losses
   make are left out. data is what nn__remember_data keeps, its scales and shifts are tensors. In
   this section it is written.

   To let an operation be saved: give its record a `describe` (see nn_description) and name it in
   nn__operations. tests/test_save.c then wants a network with it. */

static const nn_op *const nn__operations[] = {
    &nn__input_op, &nn__parameter_op, &nn__buffer_op, &nn__add.op, &nn__sub.op, &nn__mul.op,
    &nn__div.op, &nn__maximum.op, &nn__minimum.op, &nn__exp.op, &nn__log.op, &nn__sqrt.op,
    &nn__abs.op, &nn__pow.op, &nn__clamp.op, &nn__scale, &nn__reshape, &nn__permute, &nn__concat,
    &nn__slice, &nn__sum, &nn__mean, &nn__max, &nn__softmax, &nn__log_softmax, &nn__matmul,
    &nn__dense, &nn__activation, &nn__dropout, &nn__weight_penalty, &nn__conv2d, &nn__conv1d,
    &nn__conv2d_transpose, &nn__max_pool, &nn__average_pool, &nn__upsample, &nn__pad, &nn__crop,
    &nn__spatial_dropout, &nn__batch_norm, &nn__group_norm, &nn__layer_norm};

enum { NN__FORMAT_VERSION = 1, NN__FORMAT_TENSORS = 1 << 16 };

/* The prefixes of tensors that are not the network's own. */
#define NN__PREFIX_DATA "data."
#define NN__PREFIX_STATE_0 "optimizer.0."
#define NN__PREFIX_STATE_1 "optimizer.1."
#define NN__PREFIX_LAST "last."
#define NN__PREFIX_AVERAGE "average."
#define NN__PREFIX_SLOW "slow."
#define NN__PREFIX_HISTORY "history."

NN_DEF void nn_free(void *block) { NN_FREE(block); }

static int nn__is_custom(const nn_op *op) { return op->forward && !(op->flags & NN__OP_CLAIMS); }

/* Parameters, then buffers; NULL past the last. */
static nn_tensor *nn__state_tensor(const nn_net *net, size_t i)
{
    return i < net->parameters.count ? net->parameters.items[i]
                                     : nn_net_buffer(net, i - net->parameters.count);
}

/* The name of a parameter or buffer in a file. */
static const char *nn__state_name(const nn_tensor *t, char number[40])
{
    snprintf(number, 40, "tensor.%llu", (nn__ull)t->id);
    return t->name[0] ? t->name : number;
}

/* -- descriptions, written -- */

/* nn_description.visit: a member, unless it is 0 or empty. */
static void nn__write_member(nn_description *d, const char *key, nn_field field, void *values,
                             size_t *count, size_t max)
{
    nn__text *t = (nn__text *)d->file;
    const int *ints = (const int *)values;
    const size_t *sizes = (const size_t *)values;
    const int is_list = field >= NN_FIELD_INTS;
    const nn_real *reals = field == NN_FIELD_REALS ? *(const nn_real **)values : NULL;
    double real = field == NN_FIELD_REAL ? *(const double *)values : 0;
    (void)max;
    if (field == NN_FIELD_REALS ? !reals : *count == 0) return;
    if ((field == NN_FIELD_INT || field == NN_FIELD_CHOICE) && *ints == 0) return;
    if (field == NN_FIELD_SIZE && *sizes == 0) return;
    if (field == NN_FIELD_REAL && real == 0 && !(1 / real < 0)) return;
    nn__text_key(t, key);
    if (field == NN_FIELD_CHOICE) {
        nn__text_string(t, d->names[*ints], strlen(d->names[*ints]));
        return;
    }
    if (is_list) nn__text_add(t, "[");
    for (size_t i = 0; i < *count; i++) {
        if (i) nn__text_add(t, ",");
        if (field == NN_FIELD_SIZE || field == NN_FIELD_SIZES) nn__text_whole(t, sizes[i]);
        else if (field == NN_FIELD_INT || field == NN_FIELD_INTS) nn__text_real(t, ints[i]);
        else nn__text_real(t, reals ? (double)reals[i] : real);
    }
    if (is_list) nn__text_add(t, "]");
}

static nn_description nn__writing(nn__text *text)
{
    nn_description d;
    memset(&d, 0, sizeof d);
    d.visit = nn__write_member;
    d.file = text;
    return d;
}

/* Other parts of a file are described in the same way. */
#ifndef NN_NO_TRAINING
static void nn__optimizer_describe(nn_description *d, nn_optimizer_desc *o)
{
    int kind = (int)o->kind, schedule = (int)o->schedule.kind;
    nn_describe_int(d, "kind", &kind);
    nn_describe_int(d, "nesterov", &o->nesterov);
    for (size_t i = 0; i < sizeof nn__optimizer_ranges / sizeof *nn__optimizer_ranges; i++)
        nn_describe_real(d, nn__optimizer_ranges[i].name,
                         (double *)(void *)((char *)o + nn__optimizer_ranges[i].offset));
    nn_describe_int(d, "schedule.kind", &schedule);
    nn_describe_size(d, "schedule.warm_up", &o->schedule.warm_up);
    nn_describe_size(d, "schedule.period", &o->schedule.period);
    nn_describe_size(d, "schedule.total", &o->schedule.total);
    nn_describe_real(d, "schedule.gamma", &o->schedule.gamma);
    nn_describe_real(d, "schedule.final_rate", &o->schedule.final_rate);
    o->kind = (nn_optimizer_kind)kind, o->schedule.kind = (nn_schedule_kind)schedule;
}

/* 64 bits in two halves, which a size_t holds everywhere. */
static void nn__describe_bits(nn_description *d, const char *key, uint64_t *bits)
{
    size_t halves[2], count = 2;
    halves[0] = (size_t)(*bits & 0xffffffff), halves[1] = (size_t)(*bits >> 32);
    nn_describe_sizes(d, key, halves, &count, 2);
    *bits = (uint64_t)halves[1] << 32 | (halves[0] & 0xffffffff);
}

static void nn__training_describe(nn_description *d, nn__optimizer *o, nn_rng *rng)
{
    nn__optimizer_describe(d, &o->filled);
    nn_describe_size(d, "steps", &o->steps);
    nn_describe_real(d, "reduction", &o->reduction);
    nn_describe_real(d, "rate", &o->rate);
    nn__describe_bits(d, "rng.key", &rng->key);
    nn__describe_bits(d, "rng.counter", &rng->counter);
}
#endif

static void nn__data_describe(nn_description *d, nn_dataset *data)
{
    size_t rank = (size_t)data->rank;
    int bytes = data->dtype == NN_DTYPE_U8, csv = data->columns != NULL;
    static const struct nn__columns some = {0, NULL, NULL};
    nn_describe_sizes(d, "shape", data->shape, &rank, NN_MAX_RANK);
    nn_describe_int(d, "channels_first", &data->channels_first);
    nn_describe_int(d, "bytes", &bytes);
    nn_describe_int(d, "classes", &data->classes);
    nn_describe_int(d, "csv", &csv);
    data->rank = (int)rank;
    data->dtype = bytes ? NN_DTYPE_U8 : NN_DTYPE_REAL;
    data->columns = csv ? &some : NULL;
}

/* -- the parts of a file -- */

/* {"id":3,"op":"dense","src":[0,1,2],"name":"hidden", and what the operation says. */
static void nn__text_tensor(nn__text *text, const nn_tensor *t)
{
    nn_description d = nn__writing(text);
    d.net = t->net, d.op = t->op, d.src_count = t->src_count, d.src = t->src;
    nn__text_add(text, text->bytes[text->size - 1] == '[' ? "{" : ",{");
    nn__text_member(text, "id", t->id);
    nn__text_string_member(text, nn__is_custom(t->op) ? "custom" : "op", t->op->name);
    for (size_t i = 0; i < t->src_count; i++) {
        if (i) nn__text_add(text, ",");
        else {
            nn__text_key(text, "src");
            nn__text_add(text, "[");
        }
        nn__text_whole(text, t->src[i]->id);
    }
    if (t->src_count) nn__text_add(text, "]");
    if (t->name[0]) nn__text_string_member(text, "name", t->name);
    t->op->describe(&d, t);
    nn__text_add(text, "}");
}

/* The first tensor that cannot be saved; NULL when all can. */
static const nn_tensor *nn__unsaved(const nn_net *net)
{
    for (size_t i = 0; i < net->tensors.count; i++)
        if (!net->tensors.items[i]->op->describe) return net->tensors.items[i];
    return NULL;
}

static void nn__text_architecture(nn__text *text, const nn_net *net)
{
    nn__text_key(text, "tensors");
    nn__text_add(text, "[");
    for (size_t i = 0; i < net->tensors.count && text->status == NN_OK; i++) {
        const nn__input *input = nn__as_input(net->tensors.items[i]);
        if (!input || !input->loss) nn__text_tensor(text, net->tensors.items[i]);
    }
    nn__text_add(text, "]");
}

static void nn__put_data(nn__contents *c, const nn_dataset *data)
{
    nn_dataset copy = *data;
    nn_description d = nn__writing(&c->about);
    nn__text_key(&c->about, "data");
    nn__text_add(&c->about, "{");
    nn__data_describe(&d, &copy);
    for (int i = 0; data->class_names && i < data->classes; i++) {
        if (i) nn__text_add(&c->about, ",");
        else {
            nn__text_key(&c->about, "class_names");
            nn__text_add(&c->about, "[");
        }
        nn__text_string(&c->about, data->class_names[i], strlen(data->class_names[i]));
    }
    nn__text_add(&c->about, data->class_names && data->classes ? "]}" : "}");
    if (data->norm_count == 0) return;
    nn__contents_add(c, NN__PREFIX_DATA, "scale", sizeof(nn_real), 1, &data->norm_count,
                     data->scale);
    nn__contents_add(c, NN__PREFIX_DATA, "shift", sizeof(nn_real), 1, &data->norm_count,
                     data->shift);
}

/* Something as large as a parameter or buffer, under its name. */
static void nn__put_state(nn__contents *c, const char *prefix, const nn_tensor *t,
                          const nn_real *values)
{
    char number[40];
    const char *name = nn__state_name(t, number);
    nn__item *item = nn__contents_add(c, prefix, name == number ? NULL : name, sizeof *values,
                                      t->rank, t->shape, values);
    if (item && !item->name) memcpy(item->number, number, sizeof number);
}

#ifndef NN_NO_TRAINING
static void nn__put_training(nn__contents *c, const nn_net *net)
{
    static const char *const prefixes[] = {NN__PREFIX_STATE_0, NN__PREFIX_STATE_1};
    nn__optimizer o = *net->optimizer;
    nn_rng rng = net->rng;
    nn_description d = nn__writing(&c->about);
    nn__text_key(&c->about, "training");
    nn__text_add(&c->about, "{");
    nn__training_describe(&d, &o, &rng);
    nn__text_add(&c->about, "}");
    for (size_t i = 0; i < net->parameters.count; i++)
        for (int k = 0; k < nn__state_count(&net->optimizer->desc); k++) {
            const nn_tensor *p = net->parameters.items[i];
            const nn_real *state = nn__store_of(p)->state[k];
            if (state) nn__put_state(c, prefixes[k], p, state + nn__place(p));
        }
}
#else
#define nn__put_training(c, net) (void)(net) /* no network has an optimiser */
#endif

/* -- the output, and saving -- */

/* The loss that says what classes are: the first that takes labels, else the first. */
static nn_tensor *nn__answering_loss(const nn_net *net)
{
    nn_tensor *found = NULL;
    for (size_t i = net->tensors.count; i-- > 0;) {
        nn_tensor *t = net->tensors.items[i];
        if (nn__is_loss(t) && (!found || nn__takes_labels(t) || !nn__takes_labels(found)))
            found = t;
    }
    return found;
}

NN_DEF nn_tensor *nn_net_output(const nn_net *net)
{
    if (!net) return NULL;
    nn_tensor *loss = nn__answering_loss(net);
    if (net->output || loss) return net->output ? net->output : loss->src[0];
    for (size_t i = net->tensors.count; i-- > 0;)
        if (net->tensors.items[i]->batched && !nn__is_leaf(net->tensors.items[i]))
            return net->tensors.items[i];
    nn__fail(NN_ERROR_EMPTY, "nn_net_output: the network has no tensor that depends on an input");
    return NULL;
}

NN_DEF nn_status nn_net_set_output(nn_net *net, nn_tensor *output)
{
    const char *const call = "nn_net_set_output";
    if (!net) return nn__fail_null(call, "network");
    if (output && output->net != net)
        return nn__fail(NN_ERROR_MISMATCH, "%s: the tensor belongs to another network", call);
    net->output = output;
    return NN_OK;
}

/* All of a network but its values. */
static nn_status nn__put_about(nn__contents *c, const char *call, const nn_net *net,
                               const nn_save_desc *desc, int must_open)
{
    const nn_tensor *output = nn_net_output(net), *unsaved = nn__unsaved(net);
    const int weights_only = desc && desc->weights_only, training = desc && desc->training;
    if (weights_only && training)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: training is set beside weights_only", call);
    if (training && !net->optimizer)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: training is set, but the network has no "
                                               "optimiser", call);
    if (unsaved && must_open && !weights_only)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: tensor %llu, '%s', has no nn_op.describe, so that nn_open could not "
                        "make it again: weights_only leaves the architecture out", call,
                        (nn__ull)unsaved->id, unsaved->op->name);
    nn__text_add(&c->about, "{");
    nn__text_member(&c->about, "version", NN__FORMAT_VERSION);
    if (!weights_only && !unsaved) {
        if (output) nn__text_member(&c->about, "output", output->id);
        nn__text_architecture(&c->about, net);
    }
    if (!weights_only && net->trained_on) nn__put_data(c, net->trained_on);
    if (training) nn__put_training(c, net);
    return NN_OK;
}

static nn_status nn__put_net(nn__contents *c, const char *call, const nn_net *net,
                             const nn_save_desc *desc)
{
    memset(c, 0, sizeof *c);
    if (!net) return nn__fail_null(call, "network");
    nn_status status = nn_net_status(net);
    if (status == NN_OK) status = nn__put_about(c, call, net, desc, 1);
    const nn_tensor *t;
    for (size_t i = 0; status == NN_OK && (t = nn__state_tensor(net, i)) != NULL; i++)
        nn__put_state(c, "", t, t->data);
    nn__text_add(&c->about, "}");
    return status;
}

#ifndef NN_NO_STDIO
NN_DEF nn_status nn_save(const nn_net *net, const char *path, const nn_save_desc *desc)
{
    nn__contents c;
    nn_status status = nn__put_net(&c, "nn_save", net, desc);
    if (status == NN_OK) status = nn__write_file(&c, "nn_save", path);
    nn__contents_free(&c);
    return status;
}
#endif

NN_DEF nn_status nn_save_memory(const nn_net *net, const nn_save_desc *desc, void **bytes,
                                size_t *size)
{
    nn__contents c;
    nn_status status = nn__put_net(&c, "nn_save_memory", net, desc);
    if (status == NN_OK && (!bytes || !size))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_save_memory: %s is NULL",
                          bytes ? "size" : "bytes");
    if (status == NN_OK) status = nn__write_memory(&c, bytes, size);
    nn__contents_free(&c);
    return status;
}

/* -------------------------------------------------------------------------------------- >>load
   Values from a file into a network that is there. Everything is looked up and compared before the
   first value is copied, and a file on a disk is read through once before, so that the network gets
   all of it or stays as it was. */

/* A tensor of the network, and what it is filled from. */
typedef struct nn__match {
    nn_tensor *t;
    nn__entry *entry; /* NULL: the file does not have it */
    nn_load_as as;
    const nn_name_map *map; /* or NULL */
} nn__match;

/* What the file says beside its tensors. */
typedef struct nn__about {
    nn__document document;
    char *text;
    nn__json *root; /* NULL: the file is not of this library */
} nn__about;

static void nn__about_free(nn__about *about)
{
    nn__document_free(&about->document);
    NN_FREE(about->text);
}

static nn_status nn__read_about(const nn__archive *a, nn__about *about)
{
    const nn__json *m = nn__member(a->metadata, "nn.h", '"');
    size_t version = 0;
    memset(about, 0, sizeof *about);
    if (!m) return NN_OK;
    about->text = (char *)nn__allocate(m->size + 1, 1);
    if (!about->text) return NN_ERROR_OUT_OF_MEMORY;
    memcpy(about->text, m->text, m->size + 1);
    nn_status status = nn__document_read(&about->document, a->name, about->text, m->size);
    if (status != NN_OK) return status;
    about->root = about->document.values;
    if (!nn__json_size(nn__member(about->root, "version", '0'), &version) || version == 0)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: __metadata__ 'nn.h' has no version", a->name);
    if (version > NN__FORMAT_VERSION)
        return nn__fail(NN_ERROR_BAD_FORMAT,
                        "%s: its format has version %llu, this nn.h reads up to %d: use a newer "
                        "nn.h", a->name, (nn__ull)version, NN__FORMAT_VERSION);
    return NN_OK;
}

/* -- descriptions, read -- */

typedef struct nn__reading {
    nn__json *object;
    const char *where; /* for messages */
    nn_status status;
} nn__reading;

static int nn__json_int(const nn__json *v, int *number)
{
    double x = 0;
    if (!nn__json_real(v, &x) || x != floor(x) || x < INT_MIN || x > INT_MAX) return 0;
    *number = (int)x;
    return 1;
}

/* One number of a member. */
static int nn__read_number(const nn__json *v, nn_field field, void *values, size_t i)
{
    switch (field) {
    case NN_FIELD_INT:
    case NN_FIELD_INTS: return nn__json_int(v, (int *)values + i);
    case NN_FIELD_SIZE:
    case NN_FIELD_SIZES: return nn__json_size(v, (size_t *)values + i);
    case NN_FIELD_REAL: return nn__json_real(v, (double *)values + i);
    case NN_FIELD_CHOICE:
    case NN_FIELD_REALS: break;
    }
    return 0;
}

static int nn__read_choice(const nn_description *d, const nn__json *v, int *value, size_t count)
{
    for (size_t i = 0; v->kind == '"' && i < count; i++)
        if (strcmp(d->names[i], v->text) == 0) return *value = (int)i, 1;
    return 0;
}

/* Reals in the network's memory. */
static int nn__read_reals(const nn_description *d, const nn__json *v, const nn_real **values)
{
    double x = 0;
    nn_real *copy = (nn_real *)nn__arena(d->net, v->size, sizeof *copy);
    for (size_t i = 0; copy && i < v->size; i++) {
        if (!nn__json_real(v + 1 + i, &x)) return 0;
        copy[i] = (nn_real)x;
    }
    *values = copy;
    return copy != NULL;
}

/* nn_description.visit: a member, if it is there. */
static void nn__read_member(nn_description *d, const char *key, nn_field field, void *values,
                            size_t *count, size_t max)
{
    nn__reading *r = (nn__reading *)d->file;
    const int is_list = field >= NN_FIELD_INTS;
    nn__json *v = r->object + 1, *const end = r->object + r->object->span;
    while (v < end && strcmp(v->key, key) != 0) v += v->span;
    if (v == end || r->status != NN_OK) return;
    v->is_used = 1;
    int is_right = is_list ? v->kind == '[' && v->span == v->size + 1 : v->span == 1;
    if (is_right && is_list)
        is_right = field == NN_FIELD_REALS ? v->size == max : v->size <= max;
    if (is_right && field == NN_FIELD_CHOICE)
        is_right = nn__read_choice(d, v, (int *)values, max);
    else if (is_right && field == NN_FIELD_REALS)
        is_right = nn__read_reals(d, v, (const nn_real **)values);
    else
        for (size_t i = 0; is_right && i < (is_list ? v->size : 1); i++)
            is_right = nn__read_number(is_list ? v + 1 + i : v, field, values, i);
    if (is_right && is_list && field != NN_FIELD_REALS) *count = v->size;
    if (!is_right)
        r->status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: '%s' has a value that it cannot have",
                             r->where, key);
}

static nn_description nn__reading_of(nn__reading *r, nn__json *object, const char *where)
{
    nn_description d;
    memset(&d, 0, sizeof d);
    r->object = object, r->where = where, r->status = NN_OK;
    d.visit = nn__read_member;
    d.file = r;
    return d;
}

/* A member that nobody has asked for is of a version that is not this one. */
static nn_status nn__check_all_used(const nn__reading *r)
{
    nn__json *const end = r->object + r->object->span;
    for (nn__json *v = r->object + 1; r->status == NN_OK && v < end; v += v->span)
        if (!v->is_used)
            return nn__fail(NN_ERROR_BAD_FORMAT, "%s: '%.80s' is unknown to this nn.h", r->where,
                            v->key);
    return r->status;
}

/* -- what is filled from what -- */

static const nn_name_map *nn__mapped(const nn_load_desc *desc, const char *name)
{
    for (size_t i = 0; i < desc->map_count; i++)
        if (strcmp(desc->map[i].net, name) == 0) return &desc->map[i];
    return NULL;
}

/* How the file's dimensions lie in a tensor's: as PyTorch has them. 0 when they do not fit. */
static int nn__place_entry(const nn__match *m, nn__placement *p)
{
    const nn__entry *e = m->entry;
    const nn_tensor *t = m->t;
    size_t product = 1, dims = 0;
    memset(p, 0, sizeof *p);
    if (m->as == NN_LOAD_AS_IT_IS) {
        int same = e->rank == (size_t)t->rank;
        for (size_t i = 0; same && i < e->rank; i++) same = nn__entry_dim(e, i) == t->shape[i];
        return same;
    }
    p->dim[dims++] = e->rank > 0 ? nn__entry_dim(e, 0) : 0;
    if (m->as == NN_LOAD_AFTER_FLATTEN) {
        p->dim[dims++] = m->map->channels, p->dim[dims++] = m->map->height;
        p->dim[dims++] = m->map->width;
    } else
        for (size_t i = 1; i < e->rank && i < 4; i++) p->dim[dims++] = nn__entry_dim(e, i);
    p->rank = dims;
    if (e->rank != (m->as == NN_LOAD_OIHW ? 4u : 2u) || e->count != t->size) return 0;
    /* out, in, ... becomes ..., in, out */
    for (size_t i = 0; i < dims; i++) {
        const size_t from = i == 0 ? 0 : i == 1 ? 1 : dims + 1 - i;
        p->step[from] = product;
        if (!nn__multiply(product, p->dim[from], &product)) return 0;
    }
    if (product != t->size || t->shape[t->rank - 1] != p->dim[0]) return 0;
    if (t->rank != (m->as == NN_LOAD_OIHW ? 4 : 2)) return 0;
    return m->as != NN_LOAD_OIHW || (t->shape[0] == p->dim[2] && t->shape[1] == p->dim[3]);
}

static nn_status nn__check_match(const nn__archive *a, const nn__match *m)
{
    nn__placement place;
    char wanted[NN__SHAPE_TEXT], found[NN__SHAPE_TEXT];
    size_t shape[NN_MAX_RANK], rank = nn__min_size(m->entry->rank, NN_MAX_RANK);
    for (size_t i = 0; i < rank; i++) shape[i] = nn__entry_dim(m->entry, i);
    if (nn__place_entry(m, &place)) return NN_OK;
    return nn__fail(NN_ERROR_BAD_SHAPE, "%s: tensor '%.80s' has shape %s, expected %s for '%.80s'",
                    a->name, m->entry->name, nn__shape_text((int)rank, shape, 0, found),
                    nn__tensor_shape(m->t, wanted), m->t->name);
}

static nn_status nn__read_match(nn__archive *a, const nn__match *m, nn_real *to)
{
    nn__placement place;
    if (!nn__place_entry(m, &place)) return nn__check_match(a, m);
    return nn__entry_read(a, m->entry, to, sizeof *to,
                          m->as == NN_LOAD_AS_IT_IS ? NULL : &place);
}

/* A match for each parameter and buffer, with the prefix in front of the file's names. */
static nn_status nn__find_matches(nn__archive *a, const nn_net *net, const char *prefix,
                                  const nn_load_desc *desc, nn__match *matches)
{
    char number[40];
    nn_tensor *t;
    for (size_t i = 0; (t = nn__state_tensor(net, i)) != NULL; i++) {
        const char *name = nn__state_name(t, number);
        nn__match *m = &matches[i];
        memset(m, 0, sizeof *m);
        m->t = t, m->map = nn__mapped(desc, name);
        if (m->map) m->as = m->map->as;
        m->entry = nn__find_entry(a, prefix, m->map ? m->map->file : name);
        if (m->map && !m->entry)
            return nn__fail(NN_ERROR_MISMATCH, "%s: the map names tensor '%.80s', which the file "
                                               "does not have", a->name, m->map->file);
        if (!m->entry && !desc->partial)
            return nn__fail(NN_ERROR_MISMATCH, "%s: it has no tensor '%s%.80s'", a->name, prefix,
                            name);
        if (!m->entry) continue;
        m->entry->is_used = 1;
        nn_status status = nn__check_match(a, m);
        if (status != NN_OK) return status;
    }
    return NN_OK;
}

/* Tensors of a file of this library that are not the network's own: of its data and history, and
   what stands beside a parameter of the file. A layer that is called "last" has none such. */
static int nn__is_extra(nn__archive *a, const nn__entry *e)
{
    static const char *const alone[] = {NN__PREFIX_DATA "scale", NN__PREFIX_DATA "shift",
                                        NN__PREFIX_HISTORY "checks",
                                        NN__PREFIX_HISTORY "step_loss"};
    static const char *const beside[] = {NN__PREFIX_STATE_0, NN__PREFIX_STATE_1, NN__PREFIX_LAST,
                                         NN__PREFIX_AVERAGE, NN__PREFIX_SLOW};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        if (strcmp(e->name, alone[i]) == 0) return 1;
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (strncmp(e->name, beside[i], strlen(beside[i])) == 0)
            return nn__find_entry(a, "", e->name + strlen(beside[i])) != NULL;
    return 0;
}

static nn_status nn__check_left_over(nn__archive *a, int is_ours, const nn_load_desc *desc)
{
    for (size_t i = 0; i < a->count; i++) {
        nn__entry *e = &a->entries[i];
        if (is_ours && nn__is_extra(a, e)) e->is_used = 1;
        if (!e->is_used && !desc->partial)
            return nn__fail(NN_ERROR_MISMATCH, "%s: the network has no tensor '%.80s': "
                                               "nn_load_desc.partial leaves it out", a->name,
                            e->name);
    }
    return NN_OK;
}

/* Reads a file that is not in memory to its end: what was promised is there. */
static nn_status nn__read_through(nn__archive *a)
{
    enum { PIECE = 1 << 16 };
    nn_status status = NN_OK;
    if (a->bytes || a->count == 0) return NN_OK;
    char *piece = (char *)nn__allocate(PIECE, 1);
    if (!piece) return NN_ERROR_OUT_OF_MEMORY;
    for (size_t at = a->entries[0].begin, n; status == NN_OK && at < a->size; at += n) {
        n = nn__min_size(a->size - at, PIECE);
        status = nn__archive_copy(a, at, piece, n);
    }
    NN_FREE(piece);
    return status;
}

static size_t nn__count_not_finite(const nn_tensor *t)
{
    size_t count = 0;
    for (size_t i = 0; i < t->size; i++) count += !nn__is_finite((double)t->data[i]);
    return count;
}

/* -- the report -- */

NN_DEF void nn_load_report_free(nn_load_report *report)
{
    if (!report) return;
    NN_FREE((void *)report->missing);
    memset(report, 0, sizeof *report);
}

/* Lists of names in one block: what the network misses, what the file has left over. */
static nn_status nn__make_report(nn__archive *a, const nn__match *matches, size_t count,
                                 nn_load_report *report)
{
    char number[40];
    size_t bytes = 0, names = 0;
    memset(report, 0, sizeof *report);
    for (size_t i = 0; i < count; i++) {
        report->loaded += matches[i].entry != NULL;
        if (!matches[i].entry)
            bytes += strlen(nn__state_name(matches[i].t, number)) + 1, report->missing_count++;
    }
    for (size_t i = 0; i < a->count; i++)
        if (!a->entries[i].is_used)
            bytes += strlen(a->entries[i].name) + 1, report->left_over_count++;
    names = report->missing_count + report->left_over_count;
    report->missing = (const char **)nn__allocate(
        nn__bytes(1, names, sizeof *report->missing) + bytes, 1); /* fits: they are in memory */
    if (!report->missing) return NN_ERROR_OUT_OF_MEMORY;
    report->left_over = report->missing + report->missing_count;
    char *text = (char *)(report->missing + names);
    const char **at = report->missing;
    for (size_t i = 0; i < count + a->count; i++) {
        const char *name = i < count ? nn__state_name(matches[i].t, number)
                                     : a->entries[i - count].name;
        if (i < count ? matches[i].entry != NULL : a->entries[i - count].is_used) continue;
        *at++ = (const char *)memcpy(text, name, strlen(name) + 1);
        text += strlen(name) + 1;
    }
    return NN_OK;
}

/* -- data and training -- */

/* The parts of the data that describe gives fit each other and the tensors of its normalisation. */
static int nn__data_fits(nn_dataset *data, const nn__json *names, const nn__entry *scale,
                         const nn__entry *shift)
{
    int fits = data->rank > 0 && nn__shape_size(data->rank, data->shape, &data->features) &&
               data->features > 0 && data->classes >= 0 && !scale == !shift;
    if (fits && scale)
        fits = scale->rank == 1 && shift->rank == 1 && scale->count == shift->count &&
               (scale->count == 1 || scale->count == data->features);
    if (fits && names)
        fits = names->size == (size_t)data->classes && names->span == names->size + 1;
    for (size_t i = 0; fits && names && i < names->size; i++) fits = names[1 + i].kind == '"';
    return fits;
}

/* What the network was trained on, for nn__set_trained_on; NULL when the file does not say. */
static nn_status nn__read_data(nn__archive *a, const nn__about *about, nn_net *net,
                               nn_dataset **kept)
{
    nn__json *object = nn__member(about->root, "data", '{');
    const nn__json *names = nn__member(object, "class_names", '[');
    nn__entry *scale = nn__find_entry(a, NN__PREFIX_DATA, "scale");
    nn__entry *shift = nn__find_entry(a, NN__PREFIX_DATA, "shift");
    const size_t n = scale ? scale->count : 0, listed = names ? names->size : 0;
    nn_dataset data;
    nn__reading r;
    memset(&data, 0, sizeof data);
    *kept = NULL;
    if (!object) return NN_OK;
    nn_description d = nn__reading_of(&r, object, a->name);
    nn__data_describe(&d, &data);
    nn_status status = nn__check_all_used(&r);
    if (status == NN_OK && !nn__data_fits(&data, names, scale, shift))
        status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: its data, its normalisation and its class "
                                               "names do not fit each other", a->name);
    if (status != NN_OK) return status;
    nn_real *norm = (nn_real *)nn__allocate(n, 2 * sizeof *norm);
    char **list = (char **)nn__allocate(listed, sizeof *list);
    if (!norm || !list) status = NN_ERROR_OUT_OF_MEMORY;
    data.count = 1, data.norm_count = n;
    if (n) data.scale = norm;
    if (n && norm) data.shift = norm + n;
    data.class_names = names ? list : NULL;
    for (size_t i = 0; list && i < listed; i++) /* which are only read */
        memcpy(&list[i], &names[1 + i].text, sizeof *list);
    if (status == NN_OK && n) status = nn__entry_read(a, scale, data.scale, sizeof *norm, NULL);
    if (status == NN_OK && n) status = nn__entry_read(a, shift, data.shift, sizeof *norm, NULL);
    if (status == NN_OK) *kept = nn__copy_kin(net, &data);
    if (status == NN_OK && !*kept) status = NN_ERROR_OUT_OF_MEMORY;
    NN_FREE(norm);
    NN_FREE(list);
    return status;
}

#ifdef NN_NO_TRAINING
static nn_status nn__read_training(const nn__archive *a, const nn__about *about, const nn_net *net)
{
    (void)about, (void)net;
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: NN_NO_TRAINING leaves out what reads the state of "
                                           "a training", a->name);
}
#else
/* State number k of a parameter in the file; NULL when it has none, which stands for zeros. */
static nn_status nn__state_match(nn__archive *a, nn_tensor *p, int k, nn__match *m)
{
    char number[40];
    memset(m, 0, sizeof *m);
    m->t = p;
    m->entry = nn__find_entry(a, k ? NN__PREFIX_STATE_1 : NN__PREFIX_STATE_0,
                              nn__state_name(p, number));
    return m->entry ? nn__check_match(a, m) : NN_OK;
}

/* The optimiser that the file describes is one that could have been set. */
static nn_status nn__check_training(const nn__archive *a, const nn_net *net, nn__optimizer *o)
{
    nn_optimizer_desc *d = &o->filled;
    const nn_optimizer_desc *present = nn_net_optimizer(net);
    if (d->schedule.kind == NN_SCHEDULE_CUSTOM && present) { /* a file holds no function */
        d->schedule.rate = present->schedule.rate;
        d->schedule.user = present->schedule.user;
    }
    nn_status status = nn__check_optimizer(a->name, d);
    if (status == NN_OK && !(o->reduction >= 0 && o->reduction <= 1))
        status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: the learning rate's reduction is %g", a->name,
                          o->reduction);
    return status;
}

/* The optimiser, its state and the generator. Nothing changes unless all of it is right. */
static nn_status nn__read_training(nn__archive *a, const nn__about *about, nn_net *net)
{
    nn__json *object = nn__member(about->root, "training", '{');
    nn__optimizer o;
    nn_rng rng = net->rng;
    nn__match m;
    nn__reading r;
    memset(&o, 0, sizeof o);
    if (!object)
        return nn__fail(NN_ERROR_MISMATCH, "%s: it has no state of a training", a->name);
    nn_description d = nn__reading_of(&r, object, a->name);
    nn__training_describe(&d, &o, &rng);
    nn_status status = nn__check_all_used(&r);
    if (status == NN_OK) status = nn__check_training(a, net, &o);
    if (status != NN_OK) return status;
    const nn_optimizer_desc numbers = nn__optimizer_numbers(o.filled);
    const size_t states = (size_t)nn__state_count(&numbers), count = net->parameters.count;
    for (size_t i = 0; status == NN_OK && i < states * count; i++)
        status = nn__state_match(a, net->parameters.items[i / states], (int)(i % states), &m);
    if (status == NN_OK) status = nn__set_optimizer(a->name, net, &o.filled);
    for (size_t i = 0; status == NN_OK && i < states * count; i++) {
        nn_tensor *p = net->parameters.items[i / states];
        const int k = (int)(i % states);
        status = nn__state_match(a, p, k, &m);
        if (status == NN_OK && m.entry)
            status = nn__read_match(a, &m, nn__store_of(p)->state[k] + nn__place(p));
    }
    if (status != NN_OK) return status;
    net->optimizer->steps = o.steps;
    net->optimizer->reduction = o.reduction, net->optimizer->rate = o.rate;
    net->rng = rng;
    return NN_OK;
}
#endif

/* -- loading -- */

static nn_status nn__check_load_desc(const char *call, const nn_load_desc *d)
{
    if (d->map_count && !d->map)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: map is NULL, map_count %llu", call,
                        (nn__ull)d->map_count);
    for (size_t i = 0; i < d->map_count; i++) {
        const nn_name_map *m = &d->map[i];
        const int has_size = m->channels || m->height || m->width;
        if (!m->file || !m->net || (unsigned)m->as > NN_LOAD_AFTER_FLATTEN)
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: map[%llu] has no file, no net or no such as", call, (nn__ull)i);
        if (has_size != (m->as == NN_LOAD_AFTER_FLATTEN))
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: map[%llu]: channels, height and width %s NN_LOAD_AFTER_FLATTEN",
                            call, (nn__ull)i, has_size ? "belong to" : "are missing for");
    }
    return NN_OK;
}

/* Copies what the matches say, and all else that was asked for. */
static nn_status nn__fill_net(nn__archive *a, const nn__about *about, nn_net *net,
                              const nn_load_desc *desc, const nn__match *matches, size_t count)
{
    nn_dataset *kept = NULL;
    nn_status status = nn__read_through(a);
    if (status == NN_OK && !desc->partial) status = nn__read_data(a, about, net, &kept);
    if (status == NN_OK && desc->training) status = nn__read_training(a, about, net);
    if (status == NN_OK && kept) nn__set_trained_on(net, kept);
    else nn__net_release(net, kept);
    for (size_t i = 0; status == NN_OK && i < count; i++)
        if (matches[i].entry) status = nn__read_match(a, &matches[i], matches[i].t->data);
    return status;
}

static nn_status nn__load_from(nn__archive *a, nn_net *net, const nn_load_desc *desc,
                               nn_load_report *report)
{
    nn__about about;
    const size_t count = net->parameters.count + net->buffers.count;
    nn__match *matches = (nn__match *)nn__allocate(count, sizeof *matches);
    nn_status status = matches ? nn__read_about(a, &about) : NN_ERROR_OUT_OF_MEMORY;
    if (!matches) return status;
    if (status == NN_OK) status = nn__find_matches(a, net, "", desc, matches);
    if (status == NN_OK) status = nn__check_left_over(a, about.root != NULL, desc);
    if (status == NN_OK && report) status = nn__make_report(a, matches, count, report);
    if (status == NN_OK) status = nn__fill_net(a, &about, net, desc, matches, count);
    for (size_t i = 0; status == NN_OK && report && i < count; i++)
        if (matches[i].entry) report->not_finite += nn__count_not_finite(matches[i].t);
    if (status != NN_OK) nn_load_report_free(report);
    nn__about_free(&about);
    NN_FREE(matches);
    return status;
}

static nn_status nn__load(const char *call, nn_net *net, const char *path, const void *bytes,
                          size_t size, const nn_load_desc *desc, nn_load_report *report)
{
    nn__archive a;
    nn_load_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (report) memset(report, 0, sizeof *report);
    if (!net) return nn__fail_null(call, "network");
    nn_status status = nn_net_status(net);
    if (status == NN_OK) status = nn__check_own(call, net);
    if (status == NN_OK) status = nn__check_load_desc(call, &d);
    if (status == NN_OK) status = nn__archive_open(&a, call, path, bytes, size);
    if (status != NN_OK) return status;
    status = nn__load_from(&a, net, &d, report);
    nn__archive_close(&a);
    return status;
}

#ifndef NN_NO_STDIO
NN_DEF nn_status nn_load(nn_net *net, const char *path, const nn_load_desc *desc,
                         nn_load_report *report)
{
    if (!path) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load: the path is NULL");
    return nn__load("nn_load", net, path, NULL, 0, desc, report);
}
#endif

NN_DEF nn_status nn_load_memory(nn_net *net, const void *bytes, size_t size,
                                const nn_load_desc *desc, nn_load_report *report)
{
    return nn__load("nn_load_memory", net, NULL, bytes, size, desc, report);
}

/* -------------------------------------------------------------------------------------- >>open
   A network from a file alone: each operation is made again by its own builder, so that a file can
   ask for nothing that a program could not. Then what such a network is for: raw samples in,
   classes out. */

typedef struct nn__opening {
    nn__archive a;
    nn__about about;
    nn_net *net;
    const nn_op *ops; /* the user's own */
    size_t op_count;
    int in_place;
    char where[160];  /* for messages: the tensor that is being made */
} nn__opening;

static const nn_op *nn__find_operation(const nn__opening *o, const nn__json *name, int is_custom)
{
    for (size_t i = 0; is_custom && i < o->op_count; i++)
        if (o->ops[i].name && o->ops[i].describe && strcmp(o->ops[i].name, name->text) == 0)
            return &o->ops[i];
    for (size_t i = 0; !is_custom && i < sizeof nn__operations / sizeof *nn__operations; i++)
        if (strcmp(nn__operations[i]->name, name->text) == 0) return nn__operations[i];
    for (size_t i = 0; !is_custom && i < NN_LOSS_COUNT; i++)
        if (strcmp(nn__loss_kinds[i].op.name, name->text) == 0) return &nn__loss_kinds[i].op;
    nn__fail(NN_ERROR_BAD_FORMAT, is_custom ? "%s: the operation is the program's own: "
                                              "nn_open_desc.ops does not have it"
                                            : "%s: this nn.h has no such operation", o->where);
    return NULL;
}

/* The next leaf's values are the tensor's, where it lies. */
static nn_status nn__lend(nn__opening *o, const nn__entry *e)
{
    const uintptr_t address = (uintptr_t)(o->a.bytes + e->begin);
    const char *wanted = nn__float_of(sizeof(nn_real))->name;
    if (e->element != nn__float_of(sizeof(nn_real)) || nn__is_big_endian())
        return nn__fail(NN_ERROR_MISMATCH, "%s: tensor '%.80s' is %s, low byte first; in_place "
                                           "needs %s in this machine's order", o->where, e->name,
                        e->element->name, wanted);
    if (address % sizeof(nn_real))
        return nn__fail(NN_ERROR_MISMATCH, "%s: tensor '%.80s' begins at byte %llu, %d bytes past "
                                           "a multiple of %d; in_place needs %s aligned",
                        o->where, e->name, (nn__ull)e->begin, (int)(address % sizeof(nn_real)),
                        (int)sizeof(nn_real), wanted);
    o->net->lent = (nn_real *)address; /* const in truth: nn__check_own */
    return NN_OK;
}

/* A parameter or buffer is as large as the file's own tensor of that name: a short file cannot ask
   for much memory. */
static nn_status nn__check_promised(nn__opening *o, nn__json *v, size_t id, const char *name)
{
    char number[40];
    const nn__json *shape = nn__member(v, "shape", '[');
    snprintf(number, sizeof number, "tensor.%llu", (nn__ull)id);
    const nn__entry *e = nn__find_entry(&o->a, "", name ? name : number);
    size_t n = 0;
    int same = e && e->rank == (shape ? shape->size : 0);
    for (size_t i = 0; same && i < e->rank; i++)
        same = nn__json_size(shape + 1 + i, &n) && n == nn__entry_dim(e, i);
    if (!same)
        return nn__fail(NN_ERROR_MISMATCH, "%s: the file has no tensor '%.80s' of that shape",
                        o->where, name ? name : number);
    return o->in_place ? nn__lend(o, e) : NN_OK;
}

/* The tensors that a list of numbers names; NULL for those that are not made yet. */
static nn_status nn__read_sources(const nn__opening *o, const nn__json *list, nn_tensor **src)
{
    for (size_t i = 0, id; list && i < list->size; i++) {
        if (!nn__json_size(list + 1 + i, &id) || list->span != list->size + 1)
            return nn__fail(NN_ERROR_BAD_FORMAT, "%s: src is no list of numbers", o->where);
        src[i] = nn_net_tensor(o->net, id);
    }
    return NN_OK;
}

/* The tensor that was made has the number and the sources that the file said. */
static nn_status nn__check_made(const nn__opening *o, const nn_tensor *t, const nn__json *list,
                                size_t id)
{
    int same = t->id == id && t->src_count == (list ? list->size : 0);
    for (size_t i = 0, n; same && i < t->src_count; i++)
        same = nn__json_size(list + 1 + i, &n) && n == t->src[i]->id;
    return same ? NN_OK
                : nn__fail(NN_ERROR_BAD_FORMAT, "%s: it became tensor %llu of %llu sources, which "
                                                "differs from the file", o->where, (nn__ull)t->id,
                           (nn__ull)t->src_count);
}

/* Calls the operation's describe, and says where its builder failed. */
static nn_status nn__make_described(nn__opening *o, const nn_op *op, nn__json *v, size_t src_count,
                                    nn_tensor *const *src, nn_tensor **made)
{
    char why[sizeof nn__message];
    nn__reading r;
    nn_description d = nn__reading_of(&r, v, o->where);
    d.net = o->net, d.op = op, d.src_count = src_count, d.src = src;
    nn__message[0] = 0;
    *made = op->describe(&d, NULL);
    if (r.status != NN_OK) return r.status;
    if (*made) return nn__check_all_used(&r);
    memcpy(why, nn__message, sizeof why);
    return nn__fail(o->net->status != NN_OK ? o->net->status : NN_ERROR_BAD_FORMAT, "%s: %s",
                    o->where, why[0] ? why : "describe made no tensor");
}

static nn_status nn__make_tensor(nn__opening *o, nn__json *v)
{
    size_t id = 0;
    nn__json *built_in = nn__member(v, "op", '"'), *custom = nn__member(v, "custom", '"');
    nn__json *list = nn__member(v, "src", '['), *name = nn__member(v, "name", '"');
    const nn__json *kind = built_in ? built_in : custom;
    nn_tensor *made = NULL;
    if (!kind || !nn__json_size(nn__member(v, "id", '0'), &id))
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: a tensor without id or op", o->a.name);
    snprintf(o->where, sizeof o->where, "%.60s: tensor %llu (%.40s)", o->a.name, (nn__ull)id,
             kind->text);
    const nn_op *op = nn__find_operation(o, kind, !built_in);
    if (!op) return NN_ERROR_BAD_FORMAT;
    if (o->net->tensors.count >= NN__FORMAT_TENSORS)
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: more than %d tensors", o->where,
                        NN__FORMAT_TENSORS);
    const size_t count = list ? list->size : 0;
    nn_tensor **src = (nn_tensor **)nn__allocate_zeros(count, sizeof *src);
    nn_status status = src ? nn__read_sources(o, list, src) : NN_ERROR_OUT_OF_MEMORY;
    if (status == NN_OK && (op == &nn__parameter_op || op == &nn__buffer_op))
        status = nn__check_promised(o, v, id, name ? name->text : NULL);
    if (status == NN_OK) status = nn__make_described(o, op, v, count, src, &made);
    if (status == NN_OK) status = nn__check_made(o, made, list, id);
    if (status == NN_OK && name && !nn__name(o->where, made, name->text)) status = o->net->status;
    o->net->lent = NULL;
    NN_FREE(src);
    return status;
}

static nn_status nn__make_net(nn__opening *o)
{
    nn__json *tensors = nn__member(o->about.root, "tensors", '[');
    size_t output = 0;
    nn_status status = NN_OK;
    if (!tensors)
        return nn__fail(NN_ERROR_MISMATCH, "%s: it has no architecture: build the network and use "
                                           "nn_load", o->a.name);
    for (nn__json *v = tensors + 1; status == NN_OK && v < tensors + tensors->span; v += v->span)
        status = nn__make_tensor(o, v);
    nn__json *number = nn__member(o->about.root, "output", '0');
    if (status != NN_OK || !number) return status;
    if (!nn__json_size(number, &output) || !nn_net_tensor(o->net, output))
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: its output is no tensor of it", o->a.name);
    o->net->output = nn_net_tensor(o->net, output);
    return NN_OK;
}

/* The values, and all else. */
static nn_status nn__fill_opened(nn__opening *o, int training)
{
    nn_load_desc desc;
    const size_t count = o->net->parameters.count + o->net->buffers.count;
    nn__match *matches = (nn__match *)nn__allocate(count, sizeof *matches);
    memset(&desc, 0, sizeof desc);
    if (!matches) return NN_ERROR_OUT_OF_MEMORY;
    nn_status status = nn__find_matches(&o->a, o->net, "", &desc, matches);
    if (status == NN_OK) status = nn__check_left_over(&o->a, 1, &desc);
    for (size_t i = 0; status == NN_OK && !o->in_place && i < count; i++)
        status = nn__read_match(&o->a, &matches[i], matches[i].t->data);
    if (status == NN_OK) status = nn__read_data(&o->a, &o->about, o->net, &o->net->trained_on);
    if (status == NN_OK && training) status = nn__read_training(&o->a, &o->about, o->net);
    NN_FREE(matches);
    return status;
}

static nn_net *nn__open(const char *call, const char *path, const void *bytes, size_t size,
                        const nn_open_desc *desc)
{
    nn__opening o;
    memset(&o, 0, sizeof o);
    if (desc) o.ops = desc->ops, o.op_count = desc->op_count, o.in_place = desc->in_place;
    nn_status status = NN_OK;
    if (o.in_place && (path || desc->training))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: in_place is for a file in memory, and not to "
                                                 "be trained", call);
    if (status == NN_OK) status = nn__archive_open(&o.a, call, path, bytes, size);
    if (status == NN_OK) status = nn__read_about(&o.a, &o.about);
    if (status == NN_OK) o.net = nn_net_create(desc ? &desc->net : NULL);
    if (status == NN_OK && !o.net) status = nn__message_status;
    if (status == NN_OK) status = nn__make_net(&o);
    if (status == NN_OK) status = nn__fill_opened(&o, desc && desc->training);
    nn__about_free(&o.about);
    nn__archive_close(&o.a);
    if (status == NN_OK) return o.net;
    nn_net_destroy(o.net);
    nn__keep_cause(status);
    return NULL;
}

#ifndef NN_NO_STDIO
NN_DEF nn_net *nn_open(const char *path, const nn_open_desc *desc)
{
    if (path) return nn__open("nn_open", path, NULL, 0, desc);
    nn__keep_cause(nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_open: the path is NULL"));
    return NULL;
}
#endif

NN_DEF nn_net *nn_open_memory(const void *bytes, size_t size, const nn_open_desc *desc)
{
    return nn__open("nn_open_memory", NULL, bytes, size, desc);
}

/* -- what it answers -- */

NN_DEF nn_tensor *nn_net_input(const nn_net *net)
{
    nn__session s;
    nn_tensor *output = nn_net_output(net);
    if (!output) return NULL;
    const nn_status status = nn__open_session(&s, "nn_net_input", output);
    nn__close_session(&s);
    return status == NN_OK ? s.input : NULL;
}

NN_DEF const char *nn_class_name(const nn_net *net, int label)
{
    const nn_dataset *data = net ? net->trained_on : NULL;
    const int is_named = data && data->class_names && label >= 0 && label < data->classes;
    return is_named ? data->class_names[label] : "";
}

NN_DEF nn_status nn_dataset_normalize_for(nn_dataset *data, const nn_net *net)
{
    const char *const call = "nn_dataset_normalize_for";
    if (!net) return nn__fail_null(call, "network");
    if (!net->trained_on)
        return nn__fail(NN_ERROR_EMPTY, "%s: the network does not know what it was trained on",
                        call);
    nn_status status = nn__check_data(call, data);
    if (status == NN_OK && data->features != net->trained_on->features)
        status = nn__fail(NN_ERROR_BAD_SHAPE, "%s: %llu features, the training set had %llu", call,
                          (nn__ull)data->features, (nn__ull)net->trained_on->features);
    return status == NN_OK ? nn__copy_norm(data, net->trained_on) : status;
}

/* How outputs become probabilities. */
typedef enum nn__chances {
    NN__CHANCES_NONE, NN__CHANCES_THEMSELVES, NN__CHANCES_EXP, NN__CHANCES_SIGMOID,
    NN__CHANCES_SOFTMAX
} nn__chances;

static nn__chances nn__chances_of(const nn_tensor *output)
{
    const nn_tensor *loss = nn__answering_loss(output->net);
    if (output->op == &nn__softmax || nn__activation_of(output) == NN_ACTIVATION_SIGMOID)
        return NN__CHANCES_THEMSELVES;
    if (output->op == &nn__log_softmax) return NN__CHANCES_EXP;
    if (!loss || loss->src[0] != output)
        return output->row_size > 1 ? NN__CHANCES_SOFTMAX : NN__CHANCES_SIGMOID;
    if (loss->op == &nn__loss_kinds[NN_LOSS_SOFTMAX_CROSS_ENTROPY].op) return NN__CHANCES_SOFTMAX;
    if (loss->op == &nn__loss_kinds[NN_LOSS_SIGMOID_CROSS_ENTROPY].op) return NN__CHANCES_SIGMOID;
    if (loss->op == &nn__loss_kinds[NN_LOSS_KL_DIVERGENCE].op) return NN__CHANCES_EXP;
    return NN__CHANCES_NONE;
}

static void nn__make_chances(nn__chances kind, size_t n, const nn_real *y, nn_real *p)
{
    nn_real one = 0, *to = n == 1 ? &one : p;
    if (kind == NN__CHANCES_SOFTMAX) nn_mat_softmax(1, n, y, to);
    else if (kind == NN__CHANCES_SIGMOID) nn_vec_activate(NN_ACTIVATION_SIGMOID, 0, n, y, to);
    else if (kind == NN__CHANCES_EXP) nn__exp_value(NULL, n, y, to);
    else memcpy(to, y, n * sizeof *y);
    if (n == 1) p[0] = 1 - one, p[1] = one;
}

typedef struct nn__classification {
    const char *call;
    int *labels;
    nn_real *probabilities;
    nn__chances chances;
    double threshold;
} nn__classification;

static nn_status nn__classify_chunk(void *user, const nn_tensor *output, size_t first)
{
    const nn__classification *c = (const nn__classification *)user;
    const size_t n = output->row_size, classes = n == 1 ? 2 : n;
    for (size_t i = 0; i < nn__rows(output); i++) {
        const nn_real *row = output->data + i * n;
        const size_t found = nn__predicted_class(row, n, c->threshold);
        if (found == SIZE_MAX)
            return nn__fail(NN_ERROR_NOT_FINITE, "%s: the output for sample %llu is not a number",
                            c->call, (nn__ull)(first + i));
        if (c->labels) c->labels[first + i] = (int)found;
        if (c->probabilities)
            nn__make_chances(c->chances, n, row, c->probabilities + (first + i) * classes);
    }
    return NN_OK;
}

static nn_status nn__classify(const char *call, nn_net *net, nn_dtype dtype, const void *samples,
                              size_t rows, int *labels, nn_real *probabilities)
{
    nn_dataset data;
    nn__classification c = {call, labels, probabilities, NN__CHANCES_NONE, 0};
    nn__prediction p = {call, NULL, &data, NULL, rows, nn__classify_chunk, &c, NULL};
    if (!net) return nn__fail_null(call, "network");
    nn_status status = nn_net_status(net);
    if (status != NN_OK) return status;
    const nn_tensor *input = nn_net_input(net);
    p.output = nn_net_output(net);
    if (!p.output || !input) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the network has no output "
                                             "that depends on one input of samples", call);
    status = nn__dataset_from(call, dtype, samples, rows, input->row_size, NULL, 0, &data);
    if (status == NN_OK && net->trained_on && net->trained_on->features != data.features)
        status = nn__check_features(call, input, net->trained_on);
    if (status != NN_OK) return status;
    if (net->trained_on) {
        data.scale = net->trained_on->scale, data.shift = net->trained_on->shift;
        data.norm_count = net->trained_on->norm_count;
        data.rank = net->trained_on->rank, data.channels_first = net->trained_on->channels_first;
        memcpy(data.shape, net->trained_on->shape, sizeof data.shape);
    }
    c.chances = nn__chances_of(p.output);
    if (p.output->row_size == 1) c.threshold = nn__threshold(p.output);
    if (probabilities && c.chances == NN__CHANCES_NONE)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the outputs of tensor %llu are no "
                                               "probabilities: probabilities must be NULL", call,
                        (nn__ull)p.output->id);
    return nn__run_prediction(&p);
}

NN_DEF nn_status nn_classify(nn_net *net, const nn_real *samples, size_t rows, int *labels,
                             nn_real *probabilities)
{
    return nn__classify("nn_classify", net, NN_DTYPE_REAL, samples, rows, labels, probabilities);
}

NN_DEF nn_status nn_classify_bytes(nn_net *net, const uint8_t *samples, size_t rows, int *labels,
                                   nn_real *probabilities)
{
    return nn__classify("nn_classify_bytes", net, NN_DTYPE_U8, samples, rows, labels,
                        probabilities);
}

/* ----------------------------------------------------------------------------------- >>history
   What a training reports: checks and losses in a history, as a file, and while it runs. */
#ifndef NN_NO_TRAINING

NN_DEF void nn_history_free(nn_history *history)
{
    if (!history) return;
    NN_FREE(history->checks);
    NN_FREE(history->step_loss);
    memset(history, 0, sizeof *history);
}

static nn_status nn__log_step(nn_history *h, double loss)
{
    void *items = h->step_loss;
    nn_status status = nn__grow(&items, h->step_count, &h->step_capacity, sizeof *h->step_loss);
    h->step_loss = (double *)items;
    if (status == NN_OK) h->step_loss[h->step_count++] = loss;
    return status;
}

static nn_status nn__log_check(nn_history *h, const nn_check *c)
{
    void *items = h->checks;
    nn_status status = nn__grow(&items, h->check_count, &h->check_capacity, sizeof *h->checks);
    h->checks = (nn_check *)items;
    if (status == NN_OK) h->checks[h->check_count++] = *c;
    return status;
}

#ifndef NN_NO_STDIO
NN_DEF nn_status nn_history_write_csv(const nn_history *history, const char *path)
{
    if (!history || !path)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_history_write_csv: an argument is NULL");
    nn__writer w;
    nn_status status = nn__writer_open(&w, "nn_history_write_csv", path);
    if (status != NN_OK) return status;
    nn__writer_text(&w, "step,epoch,train_loss,train_accuracy,batch_loss,batch_accuracy,"
                        "validation_loss,validation_accuracy,learning_rate,seconds\n");
    for (size_t i = 0; i < history->check_count; i++) {
        const nn_check *c = &history->checks[i];
        const double column[] = {c->train_loss,      c->train_accuracy,      c->batch_loss,
                                 c->batch_accuracy,  c->validation_loss,     c->validation_accuracy,
                                 c->learning_rate,   c->seconds};
        char text[64];
        nn__writer_print(&w, "%llu,%llu", (nn__ull)c->step, (nn__ull)c->epoch);
        for (size_t j = 0; j < sizeof column / sizeof *column; j++)
            nn__writer_print(&w, ",%s", nn__shortest(column[j], 0, text));
        nn__writer_text(&w, "\n");
    }
    return nn__writer_close(&w, NN_OK);
}

/* -- progress: a line that is written over on a terminal, a line per check elsewhere -- */

typedef struct nn__progress {
    FILE *stream;
    int is_terminal;
    double start, last;
    size_t steps, total_steps, images;
} nn__progress;

static void nn__progress_start(nn__progress *p, const nn_train_desc *desc, size_t total_steps)
{
    FILE *stream = desc->progress;
    memset(p, 0, sizeof *p);
    p->stream = stream;
    p->is_terminal = (stream == stderr && NN__ISATTY(2)) || (stream == stdout && NN__ISATTY(1));
    p->start = p->last = nn__now();
    p->total_steps = total_steps;
}

static void nn__progress_step(nn__progress *p, size_t images, size_t epoch, double loss)
{
    char bar[21] = "....................";
    p->steps++;
    p->images += images;
    if (!p->is_terminal) return;
    double now = nn__now(), elapsed = now - p->start;
    if (now - p->last < 0.1 && p->steps != p->total_steps) return;
    p->last = now;
    double done = (double)p->steps / (double)p->total_steps;
    for (int i = 0; i < 20 && i < (int)(20 * done); i++) bar[i] = '#';
    fprintf(p->stream, "\r[%s] epoch %llu  loss %.4f  %.0f images/s  %.0f s left   ", bar,
            (nn__ull)epoch + 1, loss, elapsed > 0 ? (double)p->images / elapsed : 0,
            elapsed * (1 - done) / done);
    fflush(p->stream);
}

static void nn__progress_end(nn__progress *p)
{
    if (p->is_terminal) fprintf(p->stream, "\r%-78s\r", "");
    if (p->stream) fflush(p->stream);
}

static void nn__print_accuracy(FILE *stream, double accuracy)
{
    if (accuracy == accuracy) fprintf(stream, "  accuracy %.4f", accuracy);
}

static void nn__progress_check(nn__progress *p, const nn_check *c, int has_validation)
{
    if (!p->stream) return;
    if (p->is_terminal) fprintf(p->stream, "\r%-78s\r", "");
    fprintf(p->stream, "epoch %3llu  step %6llu  loss %.4f", (nn__ull)c->epoch + 1,
            (nn__ull)c->step, c->train_loss);
    nn__print_accuracy(p->stream, c->train_accuracy);
    if (has_validation) {
        fprintf(p->stream, "  validation loss %.4f", c->validation_loss);
        nn__print_accuracy(p->stream, c->validation_accuracy);
    }
    fprintf(p->stream, "  %.2f s\n", c->seconds);
    fflush(p->stream);
}
#else
typedef int nn__progress;
#define nn__progress_start(p, desc, total_steps) (void)(*(p) = (int)(total_steps > 0))
#define nn__progress_step(p, images, epoch, loss) (void)(p)
#define nn__progress_check(p, c, has_validation) (void)(p)
#define nn__progress_end(p) (void)(p)
#endif
#endif

/* -------------------------------------------------------------------------------- >>checkpoint
   A trainer in a file: the network with its optimiser, and all that a run depends on, so that N
   steps, a crash and N steps more give the bits of 2N steps. The order of the samples is not kept
   but drawn again, from the generator's state at the beginning of the epoch.

   Under their own names stand the values that the run would end with now: with restore_best those
   of the best check, or else the averages, or the slow weights of Lookahead; and then the present
   ones follow as "last.NAME", averages as "average.NAME", slow weights as "slow.NAME". A file also
   says what it depends on, the run: a run of another data set, desc or network is refused. */
#ifndef NN_NO_TRAINING

/* A sum over the samples of an epoch. */
typedef struct nn__epoch_mean {
    double loss, correct, rows;
} nn__epoch_mean;

struct nn_trainer {
    const char *call; /* that takes the steps, for messages */
    nn__session training, validation;
    nn_train_desc desc;
    nn_optimizer_desc chosen; /* the optimiser that the run began with */
    nn_history *history;
    nn__progress progress;
    size_t *order;     /* sample numbers in this epoch's order */
    nn_rng epoch_rng;  /* before they were shuffled */
    nn__variation variation; /* of the samples, with the run's key */
    nn__shadow best, average, slow; /* with restore_best, ema_decay and lookahead_steps */
    double best_loss;
    int has_best, stop, stopped_early, is_finished;
    size_t steps_per_epoch, check_every, step, epoch, index, worse_checks, plateau;
    nn__epoch_mean mean;
    double start;
    int has_sums; /* over all samples of the data sets, to tell them from others: */
    uint64_t data_sum, validation_sum;
};

static nn_net *nn__trained_net(const nn_trainer *t) { return t->training.target->net; }

NN_DEF int nn_trainer_is_done(const nn_trainer *t)
{
    return !t || t->stop || t->epoch >= t->desc.epochs;
}

#ifndef NN_NO_STDIO
/* What it has of parameter or buffer i, counted as nn__state_tensor counts; NULL when that was made
   later, or there is no shadow. */
static nn_real *nn__shadow_of(const nn_net *net, const nn__shadow *s, size_t i)
{
    const size_t parameters = net->parameters.count;
    nn_real *a = s->values;
    const size_t place = i < parameters ? i : i - parameters + s->parameters;
    if (!a || (i < parameters && i >= s->parameters) || !nn__shadowed(net, s, place)) return NULL;
    for (size_t j = 0; j < place; j++) a += nn__shadowed(net, s, j)->size;
    return a;
}

/* What parameter or buffer i would be if the run ended now; NULL when that is its present value. */
static const nn_real *nn__end_values(const nn_trainer *t, size_t i)
{
    const nn_net *net = nn__trained_net(t);
    const nn_real *best = t->has_best ? nn__shadow_of(net, &t->best, i) : NULL;
    if (best) return best;
    return nn__shadow_of(net, t->average.values ? &t->average : &t->slow, i);
}

static int nn__has_shadows(const nn_trainer *t)
{
    return (t->best.values && t->has_best) || t->average.values || t->slow.values;
}

/* -- what a run depends on -- */

static uint64_t nn__sum_bytes(uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes;
    uint64_t eight;
    for (; size >= sizeof eight; size -= sizeof eight, at += sizeof eight) {
        memcpy(&eight, at, sizeof eight);
        sum = nn__mix(sum ^ eight);
    }
    for (; size > 0; size--) sum = nn__mix(sum ^ *at++);
    return sum;
}

/* A hash of all that a data set gives to a training. */
static uint64_t nn__sum_data(const nn_dataset *data)
{
    if (!data) return 0;
    const size_t width = data->dtype == NN_DTYPE_U8 ? 1 : sizeof(nn_real);
    const size_t row_bytes = data->features * width;
    uint64_t s = nn__mix(data->count ^ (uint64_t)data->features << 32);
    for (size_t i = 0; i < data->count; i++) {
        const size_t row = nn__row(data, i);
        s = nn__sum_bytes(s, (const char *)data->samples + row * row_bytes, row_bytes);
        if (data->labels) s = nn__mix(s ^ (uint64_t)(unsigned)data->labels[i]);
        if (data->targets)
            s = nn__sum_bytes(s, data->targets + row * data->target_size,
                              data->target_size * sizeof *data->targets);
    }
    s = nn__sum_bytes(s, data->scale, data->norm_count * sizeof *data->scale);
    return nn__sum_bytes(s, data->shift, data->norm_count * sizeof *data->shift);
}

static void nn__augment_describe(nn_description *d, nn_augment *a)
{
    int flip = (int)a->flip;
    nn_describe_int(d, "augment.flip", &flip);
    nn_describe_real(d, "augment.rotation", &a->rotation);
    nn_describe_size(d, "augment.shift", &a->shift);
    nn_describe_int(d, "augment.reflect", &a->reflect);
    nn_describe_real(d, "augment.brightness", &a->brightness);
    nn_describe_real(d, "augment.contrast", &a->contrast);
    nn_describe_real(d, "augment.noise", &a->noise);
    nn_describe_size(d, "augment.cutout", &a->cutout);
    nn_describe_real(d, "augment.mixup", &a->mixup);
}

static void nn__run_describe(nn_description *d, nn_trainer *t)
{
    nn_train_desc *desc = &t->desc;
    size_t samples = t->training.data->count;
    if (!t->has_sums) {
        t->data_sum = nn__sum_data(t->training.data);
        t->validation_sum = nn__sum_data(desc->validation);
        t->has_sums = 1;
    }
    nn_describe_size(d, "samples", &samples);
    nn__describe_bits(d, "the content of the data set", &t->data_sum);
    nn__describe_bits(d, "the content of the validation set", &t->validation_sum);
    nn_describe_size(d, "batch_size", &desc->batch_size);
    nn_describe_int(d, "no_shuffle", &desc->no_shuffle);
    nn_describe_int(d, "drop_last", &desc->drop_last);
    nn_describe_size(d, "check_every", &t->check_every);
    nn_describe_int(d, "evaluate_training", &desc->evaluate_training);
    nn_describe_size(d, "patience", &desc->patience);
    nn_describe_int(d, "restore_best", &desc->restore_best);
    nn_describe_int(d, "log_steps", &desc->log_steps);
    nn_describe_real(d, "ema_decay", &desc->ema_decay);
    nn_describe_size(d, "lookahead_steps", &desc->lookahead_steps);
    nn_describe_real(d, "lookahead_rate", &desc->lookahead_rate);
    nn__augment_describe(d, &desc->augment);
}

/* Where the run stands. */
static void nn__trainer_describe(nn_description *d, nn_trainer *t, nn_history *h)
{
    double seconds = nn__now() - t->start;
    nn_describe_size(d, "step", &t->step);
    nn_describe_size(d, "epoch", &t->epoch);
    nn_describe_size(d, "index", &t->index);
    nn_describe_size(d, "worse_checks", &t->worse_checks);
    nn_describe_size(d, "plateau", &t->plateau);
    nn_describe_int(d, "has_best", &t->has_best);
    nn_describe_int(d, "stopped_early", &t->stopped_early);
    nn_describe_real(d, "best_loss", &t->best_loss);
    nn_describe_real(d, "mean.loss", &t->mean.loss);
    nn_describe_real(d, "mean.correct", &t->mean.correct);
    nn_describe_real(d, "mean.rows", &t->mean.rows);
    nn__describe_bits(d, "epoch_rng.key", &t->epoch_rng.key);
    nn__describe_bits(d, "epoch_rng.counter", &t->epoch_rng.counter);
    nn__describe_bits(d, "augment.key", &t->variation.key);
    nn_describe_real(d, "seconds", &seconds);
    nn_describe_size(d, "history.epochs", &h->epochs);
    nn_describe_size(d, "history.best", &h->best);
    t->start = nn__now() - seconds;
}

/* {"run":{..., "optimizer":{...}}} */
static void nn__text_run(nn__text *text, nn_trainer *t)
{
    nn_description d = nn__writing(text);
    nn_optimizer_desc chosen = t->chosen;
    nn__text_key(text, "run");
    nn__text_add(text, "{");
    nn__run_describe(&d, t);
    nn__text_key(text, "optimizer");
    nn__text_add(text, "{");
    nn__optimizer_describe(&d, &chosen);
    nn__text_add(text, "}}");
}

/* -- history -- */

enum { NN__CHECK_NUMBERS = 12 };

/* A check as doubles, which hold its counts exactly; or back. */
static void nn__check_numbers(nn_check *c, double *x, int back)
{
    double *const reals[] = {&c->train_loss,      &c->train_accuracy,      &c->batch_loss,
                             &c->batch_accuracy,  &c->validation_loss,     &c->validation_accuracy,
                             &c->validation_metric, &c->learning_rate,     &c->seconds};
    if (back) c->step = (size_t)x[0], c->epoch = (size_t)x[1], c->improved = x[2] != 0;
    else x[0] = (double)c->step, x[1] = (double)c->epoch, x[2] = c->improved;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        if (back) *reals[i] = x[3 + i];
        else x[3 + i] = *reals[i];
    }
}

/* The checks as a table, which *numbers keeps until the file is written. */
static nn_status nn__put_history(nn__contents *c, const nn_history *h, double **numbers)
{
    size_t shape[2];
    *numbers = NULL;
    if (!h) return NN_OK;
    shape[0] = h->check_count, shape[1] = NN__CHECK_NUMBERS;
    *numbers = (double *)nn__allocate(h->check_count, NN__CHECK_NUMBERS * sizeof **numbers);
    if (!*numbers) return NN_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < h->check_count; i++)
        nn__check_numbers(&h->checks[i], *numbers + i * NN__CHECK_NUMBERS, 0);
    nn__contents_add(c, NN__PREFIX_HISTORY, "checks", sizeof(double), 2, shape, *numbers);
    nn__contents_add(c, NN__PREFIX_HISTORY, "step_loss", sizeof(double), 1, &h->step_count,
                     h->step_loss);
    return NN_OK;
}

/* The file's history in a new one, which is empty when the file has none. */
static nn_status nn__read_history(nn__archive *a, nn_history *h)
{
    const nn__entry *checks = nn__find_entry(a, NN__PREFIX_HISTORY, "checks");
    const nn__entry *losses = nn__find_entry(a, NN__PREFIX_HISTORY, "step_loss");
    memset(h, 0, sizeof *h);
    if (!checks || !losses) return NN_OK;
    if (checks->rank != 2 || nn__entry_dim(checks, 1) != NN__CHECK_NUMBERS || losses->rank != 1)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: its history has another shape", a->name);
    const size_t count = nn__entry_dim(checks, 0);
    double *numbers = (double *)nn__allocate(checks->count, sizeof *numbers);
    h->checks = (nn_check *)nn__allocate_zeros(count, sizeof *h->checks);
    h->step_loss = (double *)nn__allocate(losses->count, sizeof *h->step_loss);
    h->check_count = h->check_capacity = count;
    h->step_count = h->step_capacity = losses->count;
    nn_status status = numbers && h->checks && h->step_loss ? NN_OK : NN_ERROR_OUT_OF_MEMORY;
    if (status == NN_OK) status = nn__entry_read(a, checks, numbers, sizeof *numbers, NULL);
    if (status == NN_OK) status = nn__entry_read(a, losses, h->step_loss, sizeof(double), NULL);
    for (size_t i = 0; status == NN_OK && i < count; i++) {
        double *row = numbers + i * NN__CHECK_NUMBERS;
        if (!(row[0] >= 0 && row[0] < 9e15 && row[1] >= 0 && row[1] < 9e15))
            status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: its history counts steps as %g", a->name,
                              row[0]);
        else nn__check_numbers(&h->checks[i], row, 1);
    }
    NN_FREE(numbers);
    return status;
}

/* -- saving -- */

/* Shadows that are kept beside what the run would end with. */
enum { NN__SHADOWS = 2 };
static const char *const nn__shadow_prefixes[NN__SHADOWS] = {NN__PREFIX_AVERAGE, NN__PREFIX_SLOW};

static const nn__shadow *nn__kept_shadow(const nn_trainer *t, size_t k)
{
    return k ? &t->slow : &t->average;
}

static nn_status nn__put_trainer(nn__contents *c, const char *call, nn_trainer *t, double **numbers)
{
    nn_net *net = nn__trained_net(t);
    nn_save_desc desc;
    nn_tensor *p;
    nn_history none;
    nn_description d = nn__writing(&c->about);
    memset(&desc, 0, sizeof desc);
    memset(&none, 0, sizeof none);
    desc.training = 1;
    nn_status status = nn__put_about(c, call, net, &desc, 0);
    if (status != NN_OK) return status;
    nn__text_key(&c->about, "trainer");
    nn__text_add(&c->about, "{");
    nn__trainer_describe(&d, t, t->history ? t->history : &none);
    nn__text_run(&c->about, t);
    nn__text_add(&c->about, "}}");
    for (size_t i = 0; (p = nn__state_tensor(net, i)) != NULL; i++) {
        const nn_real *end = nn__end_values(t, i);
        nn__put_state(c, "", p, end ? end : p->data);
        if (nn__has_shadows(t)) nn__put_state(c, NN__PREFIX_LAST, p, p->data);
        for (size_t k = 0; k < NN__SHADOWS; k++) {
            const nn_real *values = nn__shadow_of(net, nn__kept_shadow(t, k), i);
            if (values) nn__put_state(c, nn__shadow_prefixes[k], p, values);
        }
    }
    return nn__put_history(c, t->history, numbers);
}

static nn_status nn__save_trainer(const char *call, nn_trainer *t, const char *path)
{
    nn__contents c;
    double *numbers = NULL;
    memset(&c, 0, sizeof c);
    nn_status status = nn__put_trainer(&c, call, t, &numbers);
    if (status == NN_OK) status = nn__write_file(&c, call, path);
    nn__contents_free(&c);
    NN_FREE(numbers);
    return status;
}

NN_DEF nn_status nn_trainer_save(nn_trainer *t, const char *path)
{
    const char *const call = "nn_trainer_save";
    if (!t || !path)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the %s is NULL", call, t ? "path" : "trainer");
    if (t->is_finished && (t->best.values || nn__has_shadows(t)))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the training is done and the best weights are "
                                               "back: nn_save keeps the network", call);
    return nn__save_trainer(call, t, path);
}

/* -- going on -- */

static int nn__same_value(const nn__json *a, const nn__json *b)
{
    if (a->span != b->span) return 0;
    for (size_t i = 0; i < a->span; i++)
        if (a[i].kind != b[i].kind || a[i].size != b[i].size ||
            (a[i].text && memcmp(a[i].text, b[i].text, a[i].size) != 0))
            return 0;
    return 1;
}

/* A value for a message. What is not written is 0. */
static const char *nn__value_text(const nn__json *v, char text[64])
{
    if (!v) return "0";
    if (!v->text) return v->kind == '[' ? "another list" : "something else";
    snprintf(text, 64, "%.*s", (int)nn__min_size(v->size, 60), v->text);
    return text;
}

/* Two objects have the same members, those within them included. `file` is what the file says. */
static nn_status nn__check_same_object(const char *where, nn__json *file, nn__json *ours)
{
    char text[64], other_text[64];
    for (int side = 0; side < 2; side++) {
        nn__json *const from = side ? ours : file, *const to = side ? file : ours;
        for (nn__json *v = from + 1; v < from + from->span; v += v->span) {
            nn__json *w = to + 1;
            while (w < to + to->span && strcmp(v->key, w->key) != 0) w += w->span;
            if (w == to + to->span) w = NULL;
            if (w && v->kind == '{' && w->kind == '{') {
                nn_status status =
                    nn__check_same_object(where, side ? w : v, side ? v : w);
                if (status != NN_OK) return status;
            } else if (!w || !nn__same_value(v, w))
                return nn__fail(NN_ERROR_MISMATCH, "%s: %.60s is %s in the file, %s here", where,
                                v->key, nn__value_text(side ? w : v, text),
                                nn__value_text(side ? v : w, other_text));
        }
    }
    return NN_OK;
}

/* The file's network is this one, tensor by tensor. */
static nn_status nn__check_same_tensors(const char *name, nn__json *file, nn__json *ours)
{
    char where[200];
    size_t i = 0;
    if (!file || !ours) return NN_OK; /* operations without a description */
    for (nn__json *v = file + 1, *w = ours + 1; i < nn__min_size(file->size, ours->size); i++) {
        snprintf(where, sizeof where, "%.150s: tensor %llu of the network", name, (nn__ull)i);
        nn_status status = v->kind == '{' ? nn__check_same_object(where, v, w)
                                          : nn__fail(NN_ERROR_BAD_FORMAT, "%s", where);
        if (status != NN_OK) return status;
        v += v->span, w += w->span;
    }
    if (file->size == ours->size) return NN_OK;
    return nn__fail(NN_ERROR_MISMATCH, "%s: the file's network has %llu tensors, this one %llu",
                    name, (nn__ull)file->size, (nn__ull)ours->size);
}

/* The file belongs to this network, these data sets, this desc. */
static nn_status nn__check_same_run(const char *name, nn__json *root, nn_trainer *t)
{
    nn__text text = {NULL, 0, 0, NN_OK};
    nn__document ours;
    nn__json *run = nn__member(nn__member(root, "trainer", '{'), "run", '{');
    if (!run)
        return nn__fail(NN_ERROR_MISMATCH, "%s: it has no state of nn_train to go on from", name);
    nn__text_add(&text, "{");
    nn__text_run(&text, t);
    if (!nn__unsaved(nn__trained_net(t))) nn__text_architecture(&text, nn__trained_net(t));
    nn__text_add(&text, "}");
    nn_status status = text.status;
    if (status == NN_OK) status = nn__document_read(&ours, name, text.bytes, text.size);
    if (status == NN_OK) {
        status = nn__check_same_tensors(name, nn__member(root, "tensors", '['),
                                        nn__member(ours.values, "tensors", '['));
        if (status == NN_OK)
            status = nn__check_same_object(name, run, nn__member(ours.values, "run", '{'));
        nn__document_free(&ours);
    }
    NN_FREE(text.bytes);
    return status;
}

/* Shuffles again as the epoch's beginning did. */
static void nn__draw_order(nn_trainer *t)
{
    nn_rng rng = t->epoch_rng;
    const size_t count = t->training.data->count;
    for (size_t i = 0; i < count; i++) t->order[i] = i;
    if (!t->desc.no_shuffle) nn_rng_shuffle(&rng, t->order, count);
}

/* Where the file's run stands: a copy of the trainer that goes on from there. */
static nn_status nn__read_position(const nn__archive *a, const nn__about *about,
                                   const nn_trainer *t, nn_trainer *next, nn_history *h)
{
    nn__json *object = nn__member(about->root, "trainer", '{');
    nn__reading r;
    nn_description d = nn__reading_of(&r, object, a->name);
    nn__member(object, "run", '{');
    *next = *t;
    nn__trainer_describe(&d, next, h);
    nn_status status = nn__check_all_used(&r);
    if (status == NN_OK && (next->index >= t->steps_per_epoch || h->best > h->check_count))
        status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: it stands at step %llu of an epoch of %llu",
                          a->name, (nn__ull)next->index, (nn__ull)t->steps_per_epoch);
    next->stop = next->stopped_early != 0;
    return status;
}

/* Where a file has the values of parameters and buffers: the present ones, those that the run would
   have ended with, the shadows beside those. */
typedef struct nn__run_matches {
    nn__match *last, *end, *shadows[NN__SHADOWS];
} nn__run_matches;

static nn_status nn__find_run(nn__archive *a, const nn_trainer *t, nn__run_matches *m)
{
    const nn_net *net = nn__trained_net(t);
    const size_t count = net->parameters.count + net->buffers.count;
    nn_load_desc strict, some;
    memset(&strict, 0, sizeof strict);
    memset(&some, 0, sizeof some);
    some.partial = 1; /* slow weights have no buffers */
    for (size_t k = 0; k < NN__SHADOWS; k++) m->shadows[k] = m->last + (2 + k) * count;
    m->end = m->last + count;
    nn_status status =
        nn__find_matches(a, net, nn__has_shadows(t) ? NN__PREFIX_LAST : "", &strict, m->last);
    if (status == NN_OK) status = nn__find_matches(a, net, "", &strict, m->end);
    for (size_t k = 0; status == NN_OK && k < NN__SHADOWS; k++) {
        status = nn__find_matches(a, net, nn__shadow_prefixes[k], &some, m->shadows[k]);
        for (size_t i = 0; status == NN_OK && i < count; i++)
            if (nn__shadow_of(net, nn__kept_shadow(t, k), i) && !m->shadows[k][i].entry)
                status = nn__fail(NN_ERROR_MISMATCH, "%s: it has no tensor '%s%.80s'", a->name,
                                  nn__shadow_prefixes[k], m->shadows[k][i].t->name);
    }
    return status == NN_OK ? nn__check_left_over(a, 1, &strict) : status;
}

/* Takes over what has been read and checked. Nothing is left to fail but the disk. */
static nn_status nn__take_over(nn__archive *a, const nn__about *about, nn_trainer *t,
                               const nn_trainer *next, const nn__run_matches *m)
{
    nn_net *net = nn__trained_net(t);
    const size_t count = net->parameters.count + net->buffers.count;
    nn_status status = nn__read_through(a);
    if (status == NN_OK) status = nn__read_training(a, about, net);
    if (status != NN_OK) return status;
    *t = *next;
    for (size_t i = 0; status == NN_OK && i < count; i++) {
        nn_real *best = t->has_best ? nn__shadow_of(net, &t->best, i) : NULL;
        status = nn__read_match(a, &m->last[i], m->last[i].t->data);
        if (status == NN_OK && best) status = nn__read_match(a, &m->end[i], best);
        for (size_t k = 0; status == NN_OK && k < NN__SHADOWS; k++) {
            nn_real *values = nn__shadow_of(net, nn__kept_shadow(t, k), i);
            if (values) status = nn__read_match(a, &m->shadows[k][i], values);
        }
    }
    nn__draw_order(t);
    t->progress.steps = t->step;
    return status;
}

static nn_status nn__resume_from(nn__archive *a, const nn__about *about, nn_trainer *t)
{
    const nn_net *net = nn__trained_net(t);
    const size_t count = net->parameters.count + net->buffers.count;
    nn_history history;
    nn_trainer next;
    nn__run_matches m;
    memset(&history, 0, sizeof history);
    m.last = (nn__match *)nn__allocate(count, (2 + NN__SHADOWS) * sizeof *m.last);
    nn_status status = m.last ? NN_OK : NN_ERROR_OUT_OF_MEMORY;
    if (status == NN_OK) status = nn__check_same_run(a->name, about->root, t);
    if (status == NN_OK) status = nn__read_history(a, &history);
    if (status == NN_OK) status = nn__read_position(a, about, t, &next, &history);
    if (status == NN_OK) status = nn__find_run(a, &next, &m);
    if (status == NN_OK) status = nn__take_over(a, about, t, &next, &m);
    if (status == NN_OK && t->history && nn__find_entry(a, NN__PREFIX_HISTORY, "checks")) {
        history.stopped_early = t->stopped_early;
        nn_history_free(t->history);
        *t->history = history;
    } else nn_history_free(&history);
    NN_FREE(m.last);
    return status;
}

/* When the desc says so, goes on from its save_path; from the beginning when there is no such
   file. */
static nn_status nn__resume(nn_trainer *t)
{
    nn__archive a;
    nn__about about;
    if (!t->desc.resume) return NN_OK;
    errno = 0;
    nn_status status = nn__archive_open(&a, t->call, t->desc.save_path, NULL, 0);
#ifdef ENOENT
    if (status == NN_ERROR_CANNOT_OPEN && errno == ENOENT) return NN_OK;
#endif
    if (status != NN_OK) return status;
    status = nn__read_about(&a, &about);
    if (status == NN_OK) status = nn__resume_from(&a, &about, t);
    nn__about_free(&about);
    nn__archive_close(&a);
    return status;
}

static nn_status nn__check_saving(const char *call, const nn_train_desc *d)
{
    if (d->save_best_path && !d->validation)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: save_best_path needs a validation set", call);
    if ((d->save_every || d->resume) && !d->save_path)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s needs a save_path", call,
                        d->resume ? "resume" : "save_every");
    return NN_OK;
}

static nn_status nn__save_best(const nn_trainer *t)
{
    const char *path = t->desc.save_best_path;
    return path ? nn_save(nn__trained_net(t), path, NULL) : NN_OK;
}

/* Every so many steps, else at the end of an epoch; and always at the end of a run. */
static nn_status nn__save_when_due(nn_trainer *t)
{
    const size_t every = t->desc.save_every;
    const int is_due =
        nn_trainer_is_done(t) || (every ? t->step % every == 0 : t->index == 0);
    if (!t->desc.save_path || !is_due) return NN_OK;
    return nn__save_trainer(t->call, t, t->desc.save_path);
}
#else
#define nn__resume(t) NN_OK
#define nn__check_saving(call, d) NN_OK
#define nn__save_best(t) NN_OK
#define nn__save_when_due(t) NN_OK
#endif
#endif

/* ------------------------------------------------------------------------------------- >>train
   A loop of one's own on the public calls above can do what a trainer does: an order of the samples
   for each epoch, and for each batch of them feed, forward, backward, step; then, when it is time,
   a check, which is what early stopping, the best weights and the history are made of. */
#ifndef NN_NO_TRAINING

static nn_status nn__check_train_desc(const char *call, const nn_train_desc *d,
                                      const nn_dataset *data)
{
    static const nn__range ranges[] = {
        {"ema_decay", offsetof(nn_train_desc, ema_decay), 0, NN__BELOW_1, "0 <= ema_decay < 1", 0},
        {"lookahead_rate", offsetof(nn_train_desc, lookahead_rate), 0, 1, "0 to 1", 0}};
    const char *needs_validation = d->patience ? "patience"
                                   : d->restore_best ? "restore_best"
                                   : d->metric       ? "metric"
                                                     : NULL;
    if (d->epochs == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: epochs is 0, expected at least 1", call);
    if (d->batch_size == 0 || d->batch_size > data->count)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: batch_size is %llu, expected 1 to %llu, the number of samples", call,
                        (nn__ull)d->batch_size, (nn__ull)data->count);
    if (needs_validation && !d->validation)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s needs a validation set", call,
                        needs_validation);
    if (d->check_every && d->checks_per_epoch)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: check_every and checks_per_epoch are both set",
                        call);
    if (d->lookahead_rate != 0 && !d->lookahead_steps)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: lookahead_rate is set, but lookahead_steps is 0", call);
    nn_status status = nn__check_saving(call, d);
    if (status != NN_OK) return status;
    return nn__check_ranges(call, "", d, ranges, sizeof ranges / sizeof *ranges, 0);
}

/* KEEP asks for nothing: a member beside it was meant for an optimiser that is not named. */
static nn_status nn__check_kept(const char *call, const nn_net *net, const nn_optimizer_desc *d)
{
    nn_optimizer_desc none;
    memset(&none, 0, sizeof none);
    for (size_t i = 0; i < sizeof nn__optimizer_ranges / sizeof *nn__optimizer_ranges; i++)
        if (nn__range_value(d, &nn__optimizer_ranges[i]) != 0)
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: optimizer.%s is set, but optimizer.kind is 0, "
                            "NN_OPTIMIZER_KEEP",
                            call, nn__optimizer_ranges[i].name);
    if (memcmp(&d->schedule, &none.schedule, sizeof none.schedule) != 0 || d->nesterov)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: optimizer.%s is set, but optimizer.kind is 0, NN_OPTIMIZER_KEEP", call,
                        d->nesterov ? "nesterov" : "schedule");
    if (!net->optimizer)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: optimizer.kind is 0, to keep the optimiser in "
                                               "force, but none has been set", call);
    return NN_OK;
}

static nn_status nn__choose_optimizer(nn_trainer *t, const char *call)
{
    nn_optimizer_desc d = t->desc.optimizer;
    const int is_kept = d.kind == NN_OPTIMIZER_KEEP;
    nn_status status = is_kept ? nn__check_kept(call, nn__trained_net(t), &d) : NN_OK;
    if (status != NN_OK) return status;
    const nn_schedule_kind schedule =
        is_kept ? nn_net_optimizer(nn__trained_net(t))->schedule.kind : d.schedule.kind;
    if (schedule == NN_SCHEDULE_PLATEAU && !t->desc.validation)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: NN_SCHEDULE_PLATEAU needs a validation set",
                        call);
    if (is_kept) return NN_OK;
    if ((schedule == NN_SCHEDULE_COSINE || schedule == NN_SCHEDULE_ONE_CYCLE) &&
        d.schedule.total == 0) {
        size_t all, warm_up = d.schedule.warm_up;
        if (!nn__multiply(t->desc.epochs, t->steps_per_epoch, &all)) all = SIZE_MAX;
        d.schedule.total = all > warm_up ? all - warm_up : 1;
    }
    return nn__set_optimizer(call, nn__trained_net(t), &d);
}

/* The shadows that the desc asks for. */
static nn_status nn__make_shadows(nn_trainer *t)
{
    nn_net *net = nn__trained_net(t);
    nn_status status = t->desc.restore_best ? nn__make_shadow(net, 1, &t->best) : NN_OK;
    if (status == NN_OK && t->desc.ema_decay > 0) status = nn__make_shadow(net, 1, &t->average);
    if (status == NN_OK && t->desc.lookahead_steps) status = nn__make_shadow(net, 0, &t->slow);
    return status;
}

/* After a step: the slow weights are met every so often, and the average follows. */
static void nn__follow(nn_trainer *t)
{
    nn_net *net = nn__trained_net(t);
    const nn_train_desc *d = &t->desc;
    const size_t step = t->step + 1;
    if (d->lookahead_steps && step % d->lookahead_steps == 0) {
        nn__use_shadow(net, &t->slow, NN__SHADOW_APPROACH, nn__or_default(d->lookahead_rate, 0.5));
        nn__use_shadow(net, &t->slow, NN__SHADOW_RESTORE, 0);
    }
    nn__use_shadow(net, &t->average, NN__SHADOW_APPROACH,
                   (1 - d->ema_decay) / (1 - nn__power(d->ema_decay, step)));
}

/* The weights that are checked and that the run ends with change places with those in the network,
   where they are others. */
static void nn__swap_checked(nn_trainer *t)
{
    nn__use_shadow(nn__trained_net(t), t->average.values ? &t->average : &t->slow, NN__SHADOW_SWAP,
                   0);
}

static nn_status nn__start_training(nn_trainer *t, const char *call)
{
    const nn_train_desc *d = &t->desc;
    const size_t count = t->training.data->count, batch = d->batch_size;
    size_t wanted;
    t->steps_per_epoch = d->drop_last ? count / batch : (count - 1) / batch + 1;
    t->check_every = d->check_every;
    if (d->checks_per_epoch)
        t->check_every = nn__max_size(t->steps_per_epoch / d->checks_per_epoch, 1);
    if (!nn__multiply(d->epochs, t->steps_per_epoch, &wanted)) wanted = SIZE_MAX;
    nn_status status = nn__choose_optimizer(t, call);
    if (status != NN_OK) return status;
    t->chosen = *nn_net_optimizer(nn__trained_net(t));
    t->order = (size_t *)nn__net_alloc(nn__trained_net(t), nn__bytes(1, count, sizeof *t->order));
    status = t->order ? nn__make_shadows(t) : NN_ERROR_OUT_OF_MEMORY;
    if (status == NN_OK) status = nn__remember_data(nn__trained_net(t), t->training.data);
    if (status != NN_OK) return status;
    if (nn__is_augmented(&d->augment)) {
        t->variation.augment = &d->augment;
        t->variation.key = nn_rng_next(&nn__trained_net(t)->rng);
    }
    nn__progress_start(&t->progress, d, wanted);
    t->start = nn__now();
    if (!t->history) return NN_OK;
    t->history->best = t->history->check_count;
    t->history->epochs = 0;
    t->history->stopped_early = 0;
    return NN_OK;
}

static nn_status nn__open_trainer(const char *call, nn_tensor *loss, const nn_dataset *data,
                                  nn_trainer *t)
{
    nn_status status = nn__open_session(&t->training, call, loss);
    if (status == NN_OK) status = nn__check_loss_tensor(call, loss);
    if (status == NN_OK) status = nn__use_data(&t->training, call, data);
    if (status == NN_OK) status = nn__check_train_desc(call, &t->desc, data);
    if (status == NN_OK) status = nn__check_augment(call, "augment.", &t->desc.augment, data);
    if (status == NN_OK && t->desc.augment.mixup > 0) status = nn__check_mixup(&t->training);
    if (status != NN_OK || !t->desc.validation) return status;
    char text[64];
    snprintf(text, sizeof text, "%s: validation", call);
    status = nn__open_session(&t->validation, call, loss);
    if (status == NN_OK) status = nn__use_data(&t->validation, text, t->desc.validation);
    return status == NN_OK ? nn__check_kin(text, t->desc.validation, data) : status;
}

static nn_status nn__trainer_create(const char *call, nn_tensor *loss, const nn_dataset *data,
                                    const nn_train_desc *desc, nn_history *history,
                                    nn_trainer **out)
{
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: out is NULL", call);
    *out = NULL;
    nn_status status = nn__check_tensor(call, loss);
    if (status == NN_OK && !desc)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the desc is NULL", call);
    if (status != NN_OK) return status;
    nn_trainer *t = (nn_trainer *)nn__net_alloc(loss->net, sizeof *t);
    if (!t) return NN_ERROR_OUT_OF_MEMORY;
    memset(t, 0, sizeof *t);
    t->desc = *desc, t->history = history;
    t->call = strcmp(call, "nn_train") == 0 ? call : "nn_trainer_step";
    status = nn__open_trainer(call, loss, data, t);
    if (status == NN_OK) status = nn__start_training(t, call);
    if (status == NN_OK) status = nn__resume(t);
    if (status == NN_OK) *out = t;
    else {
        t->is_finished = 1;
        t->training.target = loss;
        nn_trainer_destroy(t);
    }
    return status;
}

NN_DEF nn_status nn_trainer_create(nn_tensor *loss, const nn_dataset *data,
                                   const nn_train_desc *desc, nn_history *history,
                                   nn_trainer **out)
{
    return nn__trainer_create("nn_trainer_create", loss, data, desc, history, out);
}

/* Gives back the best weights and closes the books, once. */
static void nn__finish(nn_trainer *t)
{
    if (t->is_finished) return;
    t->is_finished = 1;
    nn__swap_checked(t);
    if (t->has_best) nn__use_shadow(nn__trained_net(t), &t->best, NN__SHADOW_RESTORE, 0);
    if (t->history) t->history->seconds = nn__now() - t->start;
    nn__progress_end(&t->progress);
}

NN_DEF void nn_trainer_destroy(nn_trainer *t)
{
    if (!t) return;
    nn__finish(t);
    nn_net *net = nn__trained_net(t);
    nn__close_session(&t->training);
    nn__close_session(&t->validation);
    nn__net_release(net, t->best.values);
    nn__net_release(net, t->average.values);
    nn__net_release(net, t->slow.values);
    nn__net_release(net, t->order);
    nn__net_release(net, t);
}

/* NN_SCHEDULE_PLATEAU: a lower learning rate after so many checks without a better one. */
static void nn__reduce_on_plateau(nn_trainer *t, const nn_check *c)
{
    nn__optimizer *o = nn__trained_net(t)->optimizer;
    const nn_schedule *s = &o->desc.schedule;
    t->plateau = c->improved ? 0 : t->plateau + 1;
    if (s->kind != NN_SCHEDULE_PLATEAU || t->plateau < s->period) return;
    const double low = s->final_rate / o->desc.learning_rate, reduced = o->reduction * s->gamma;
    o->reduction = reduced > low ? reduced : low < 1 ? low : 1;
    t->plateau = 0;
}

/* Early stopping: whether the check is the best so far, and whether it is time to stop. */
static void nn__early_stopping(nn_trainer *t, nn_check *c)
{
    const nn_train_desc *d = &t->desc;
    if (!d->validation) return;
    c->improved = nn__is_finite(c->validation_loss) &&
                  (!t->has_best || c->validation_loss < t->best_loss);
    if (c->improved) {
        t->has_best = 1;
        t->best_loss = c->validation_loss;
        t->worse_checks = 0;
        nn__use_shadow(nn__trained_net(t), &t->best, NN__SHADOW_KEEP, 0);
        if (t->history) t->history->best = t->history->check_count;
    } else if (++t->worse_checks >= d->patience && d->patience) {
        t->stop = t->stopped_early = 1;
        if (t->history) t->history->stopped_early = 1;
    }
    nn__reduce_on_plateau(t, c);
}

/* The measurements of a check: of the training set when asked, of the validation set when given. */
static nn_status nn__measure_check(nn_trainer *t, nn_check *c)
{
    const nn_train_desc *d = &t->desc;
    nn_result result;
    nn_status status = NN_OK;
    c->train_loss = t->mean.loss / t->mean.rows;
    c->train_accuracy = t->mean.correct / t->mean.rows;
    c->validation_loss = c->validation_accuracy = c->validation_metric = NAN;
    if (d->evaluate_training) {
        status = nn__evaluate_session(&t->training, NULL, NULL, &result);
        if (status == NN_OK) c->train_loss = result.loss, c->train_accuracy = result.accuracy;
    }
    if (status != NN_OK || !d->validation) return status;
    status = nn__evaluate_session(&t->validation, d->metric, d->user, &result);
    if (status != NN_OK) return status;
    c->validation_loss = result.loss;
    c->validation_accuracy = result.accuracy;
    c->validation_metric = result.metric;
    return NN_OK;
}

static nn_status nn__make_check_now(nn_trainer *t, double loss, double accuracy)
{
    const nn_train_desc *d = &t->desc;
    nn_net *net = nn__trained_net(t);
    nn_check c;
    memset(&c, 0, sizeof c);
    c.step = t->step, c.epoch = t->epoch;
    c.batch_loss = loss, c.batch_accuracy = accuracy;
    c.learning_rate = net->optimizer->rate;
    nn_status status = nn__measure_check(t, &c);
    if (status != NN_OK) return status;
    c.seconds = nn__now() - t->start;
    nn__early_stopping(t, &c);
    if (t->history) status = nn__log_check(t->history, &c);
    if (status == NN_OK && c.improved) status = nn__save_best(t);
    nn__progress_check(&t->progress, &c, d->validation != NULL);
    if (status == NN_OK && d->on_check && d->on_check(d->user, net, &c)) t->stop = 1;
    return status;
}

static nn_status nn__make_check(nn_trainer *t, double loss, double accuracy)
{
    nn__swap_checked(t);
    nn_status status = nn__make_check_now(t, loss, accuracy);
    nn__swap_checked(t);
    return status;
}

/* A new epoch's order of samples. */
static void nn__begin_epoch(nn_trainer *t)
{
    const size_t count = t->training.data->count;
    memset(&t->mean, 0, sizeof t->mean);
    if (t->history) t->history->epochs = t->epoch + 1;
    t->epoch_rng = nn__trained_net(t)->rng;
    for (size_t i = 0; i < count; i++) t->order[i] = i;
    if (!t->desc.no_shuffle) nn_rng_shuffle(&nn__trained_net(t)->rng, t->order, count);
}

/* Loss and gradients of the batch at t->index, then the update. */
static nn_status nn__train_batch(nn_trainer *t, size_t *rows, double *loss, double *correct)
{
    char when[96];
    const nn_train_desc *d = &t->desc;
    nn_net *net = nn__trained_net(t);
    const size_t first = t->index * d->batch_size;
    *rows = nn__min_size(d->batch_size, t->training.data->count - first);
    t->variation.epoch = t->epoch;
    nn_status status = nn__feed_batch(&t->training, t->order + first, 0, *rows,
                                      t->variation.augment ? &t->variation : NULL);
    net->mode = NN__MODE_TRAINING;
    if (status == NN_OK) status = nn_forward(t->training.target);
    *loss = t->training.target->value;
    if (status == NN_OK && !nn__is_finite(*loss)) {
        snprintf(when, sizeof when, "%s: the loss is not finite at step %llu", t->call,
                 (nn__ull)t->step);
        status = nn__report_not_finite(net, when);
    }
    if (status == NN_OK) *correct = nn__count_correct(&t->training, t->order + first, 0);
    if (status == NN_OK) status = nn_backward(t->training.target);
    if (status == NN_OK) status = nn_step(net);
    if (status == NN_OK) nn__follow(t);
    net->mode = NN__MODE_OPEN;
    return status;
}

/* Nobody computes a loss after the last step that would show that the weights have gone. */
static nn_status nn__check_weights(const nn_trainer *t)
{
    char when[96];
    const nn_tensor *p;
    snprintf(when, sizeof when, "%s: the weights are not finite after step %llu", t->call,
             (nn__ull)t->step - 1);
    for (size_t i = 0; (p = nn_net_parameter(nn__trained_net(t), i)) != NULL; i++)
        if (!nn__is_finite(nn__sum_of_magnitudes(p->size, p->data)))
            return nn__report_not_finite(nn__trained_net(t), when);
    return NN_OK;
}

static nn_status nn__train_step(nn_trainer *t)
{
    const nn_train_desc *d = &t->desc;
    double loss = 0, correct = 0;
    size_t rows;
    if (t->index == 0) nn__begin_epoch(t);
    nn_status status = nn__train_batch(t, &rows, &loss, &correct);
    if (status == NN_OK && d->log_steps && t->history) status = nn__log_step(t->history, loss);
    if (status != NN_OK) return status;
    const size_t step = t->step++, is_last = t->index + 1 == t->steps_per_epoch;
    t->mean.loss += loss * (double)rows;
    t->mean.correct += correct;
    t->mean.rows += (double)rows;
    nn__progress_step(&t->progress, rows, t->epoch, loss);
    if (t->check_every ? step % t->check_every == 0 : is_last)
        status = nn__make_check(t, loss, correct / (double)rows);
    if (status == NN_OK && d->on_step && d->on_step(d->user, nn__trained_net(t), step, loss))
        t->stop = 1;
    t->index = is_last ? 0 : t->index + 1;
    t->epoch += is_last;
    return status;
}

NN_DEF nn_status nn_trainer_step(nn_trainer *t)
{
    if (!t) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_trainer_step: the trainer is NULL");
    if (nn_trainer_is_done(t))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_trainer_step: the training is done");
    nn_status status = nn__train_step(t);
    if (status == NN_OK && nn_trainer_is_done(t)) status = nn__check_weights(t);
    if (status == NN_OK) status = nn__save_when_due(t);
    if (status != NN_OK) t->stop = 1;
    if (nn_trainer_is_done(t)) nn__finish(t);
    return status;
}

NN_DEF nn_status nn_trainer_epoch(nn_trainer *t)
{
    nn_status status = nn_trainer_step(t);
    while (status == NN_OK && t->index != 0 && !nn_trainer_is_done(t)) status = nn_trainer_step(t);
    return status;
}

NN_DEF nn_status nn_train(nn_tensor *loss, const nn_dataset *data, const nn_train_desc *desc,
                          nn_history *history)
{
    nn_trainer *t;
    nn_status status = nn__trainer_create("nn_train", loss, data, desc, history, &t);
    while (status == NN_OK && !nn_trainer_is_done(t)) status = nn_trainer_step(t);
    nn_trainer_destroy(t);
    return status;
}
#endif

/* End of the implementation: give back the compiler options that were set under >>base. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wignored-pragmas"
#pragma float_control(pop)
#pragma clang diagnostic pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

#endif /* NN_IMPLEMENTATION */

/* ----------------------------------------------------------------------------------- >>licence
   This software is available under two licences; choose whichever you prefer.

   ALTERNATIVE A - MIT License
   Copyright (c) 2026 the nn.h authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software
   and associated documentation files (the "Software"), to deal in the Software without
   restriction, including without limitation the rights to use, copy, modify, merge, publish,
   distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
   Software is furnished to do so, subject to the following conditions:
   The above copyright notice and this permission notice shall be included in all copies or
   substantial portions of the Software.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
   BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
   DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public Domain (www.unlicense.org)
   This is free and unencumbered software released into the public domain. Anyone is free to
   copy, modify, publish, use, compile, sell, or distribute this software, either in source code
   form or as a compiled binary, for any purpose, commercial or non-commercial, and by any means.
   In jurisdictions that recognize copyright laws, the author or authors of this software
   dedicate any and all copyright interest in the software to the public domain. We make this
   dedication for the benefit of the public at large and to the detriment of our heirs and
   successors. We intend this dedication to be an overt act of relinquishment in perpetuity of
   all present and future rights to this software under copyright law.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
   BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
   LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
   CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   end of nn.h */
