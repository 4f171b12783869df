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
            train.optimizer.kind = NN_OPTIMIZER_ADAM;
            train.optimizer.learning_rate = 0.05;
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
        write my own training loop    nn_feed, nn_feed_labels, nn_forward, nn_backward, nn_step
        derive the gradients by hand  nn_mat_*, nn_vec_*, then nn_gradcheck_function
        add an operation of my own    nn_custom, then nn_gradcheck
        use other data                nn_dataset_from_arrays, nn_load_idx, nn_load_csv

    TABLE OF CONTENTS   (search for the tag; a section of the implementation uses those above it)
        declarations     >>api-base  >>api-random  >>api-plain  >>api-graph  >>api-loss  >>api-optim
                         >>api-data  >>api-train   >>api-gradcheck
        implementation   >>base  >>random  >>threads  >>simd  >>gemm  >>vectors  >>math  >>tile
                         >>kernels  >>plain  >>tensor  >>graph  >>ops  >>layers  >>loss  >>optim
                         >>gradcheck  >>files  >>dataset  >>formats  >>csv  >>train  >>licence

    OPTIONS   (macros; "impl": where NN_IMPLEMENTATION is defined, "all": in every including file)
        NN_IMPLEMENTATION     impl  compile the function bodies here
        NN_STATIC             all   every function static: a private copy for one source file
        NN_DOUBLE             all   nn_real is double instead of float
        NN_MALLOC NN_REALLOC NN_FREE   impl  memory for data sets and histories; all three or none.
                                    Networks take an allocator in nn_net_desc, these by default
        NN_ASSERT(x)          impl  checks of the library's own invariants (default: assert)
        NN_NO_SIMD            impl  compile the portable kernels only
        NN_NO_FMA             impl  the portable path multiplies and adds in two roundings: several
                                    times faster without fused multiply-add; other, less exact bits
        NN_THREAD_LOCAL       impl  how a variable of each thread is declared; empty: none, for
                                    systems without threads
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
        Matrices are row-major. What depends on an input has the batch as its first dimension.
        Descs are zero-initialised structs (= {0} in C, = {} in C++): a member left at 0 takes its
        documented default.
        Functions that can fail return nn_status; nn_last_error() then tells the whole story.
        Building a network cannot crash on a bad argument: the operation returns NULL, NULL in gives
        NULL out, and the network keeps the first error, which every later call on it returns.

    LIMITS
        float or double, one at a time; at most 8 dimensions; CPU only. One network is used by one
        thread at a time; different networks may run in different threads at once. The readers check
        every count against the file's real size before they allocate. With -ffast-math results stay
        correct, but a program LINKED with it (gcc) flushes subnormal numbers: other last bits.
        A matrix product takes up to 64 KB of stack.

    LICENCE
        Public domain or MIT, your choice; the text is at the end of this file.
*/
#ifndef NN_H
#define NN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
#else
typedef float nn_real;
#endif

#define NN_MAX_RANK 8

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

/* Activations f. `alpha` belongs to leaky ReLU (slope, default 0.01) and ELU (default 1); 0 takes
   the default, below 0 is not for backward. GELU is the exact x Phi(x) (Hendrycks and Gimpel
   2016), SiLU is x sigmoid(x), the scaled tanh is 1.7159 tanh(2x/3) (LeCun et al., "Efficient
   BackProp", 1998). ReLU and leaky ReLU have slope 0 and alpha at x = 0. */
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
   backward walks it down. The network owns every tensor and all memory behind it. */

#define NN_OP_LIST(X)                                                                              \
    X(INPUT, "input", input)                                                                       \
    X(PARAMETER, "parameter", parameter)                                                           \
    X(MATMUL, "matmul", matmul)                                                                    \
    X(DENSE, "dense", dense)                                                                       \
    X(ADD, "add", add)                                                                             \
    X(SUB, "sub", sub)                                                                             \
    X(MUL, "mul", mul)                                                                             \
    X(SCALE, "scale", scale)                                                                       \
    X(ACTIVATE, "activation", activate)                                                            \
    X(SOFTMAX, "softmax", softmax)                                                                 \
    X(LOG_SOFTMAX, "log_softmax", log_softmax)                                                     \
    X(RESHAPE, "reshape", reshape)                                                                 \
    X(CONCAT, "concat", concat)                                                                    \
    X(SLICE, "slice", slice)                                                                       \
    X(SUM, "sum", sum)                                                                             \
    X(DROPOUT, "dropout", dropout)                                                                 \
    X(SOFTMAX_CROSS_ENTROPY, "softmax_cross_entropy", softmax_cross_entropy)                       \
    X(BINARY_CROSS_ENTROPY, "binary_cross_entropy", binary_cross_entropy)                          \
    X(MSE, "mse", mse)                                                                             \
    X(HUBER, "huber", huber)                                                                       \
    X(L1, "l1_loss", l1)                                                                           \
    X(HINGE, "hinge", hinge)                                                                       \
    X(PENALTY, "weight_penalty", penalty)                                                          \
    X(CUSTOM, "custom", custom)

#define NN__OP_ENUM(id, text, fn) NN_OP_##id,
typedef enum nn_op { NN_OP_LIST(NN__OP_ENUM) NN_OP_COUNT } nn_op;

typedef struct nn_net nn_net;
typedef struct nn_tensor nn_tensor;

/* How a parameter starts. fan_in and fan_out are the rows and columns of a [fan_in, fan_out]
   weight. NN_INIT_DEFAULT is Glorot uniform, but zeros for the bias of a dense layer. */
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
    NN_INIT_COUNT
} nn_init_kind;

typedef struct nn_init {
    nn_init_kind kind;
    double a, b;
} nn_init;

/* A node's private members: settings of its operation and its buffers. Open for a debugger only. */
typedef struct nn__node {
    nn_activation activation;
    double alpha; /* slope of an activation, factor of scale, dropout's p, Huber's delta, ... */
    double beta;
    size_t axis, begin;
    int flag_a, flag_b; /* transposes of matmul; reduction of a loss */
    int needed;         /* in the present run */
    size_t rows;        /* batch: what an input was fed, what another tensor ran with last */
    int grad_set;       /* grad holds something in the present backward */
    size_t capacity;    /* input: rows that its buffer can hold */
    nn_real *aux;       /* what forward keeps for backward beside the output */
    nn_real *work;      /* what backward works in */
    int *labels;        /* loss: one per row, when fed */
    nn_real *targets;   /* loss: as many per row as its source has, when fed */
    size_t label_rows, label_capacity, target_rows, target_capacity;
    nn_real *slot[2];   /* parameter: optimiser state */
    struct nn_custom_op *custom;
} nn__node;

struct nn_tensor {
    nn_real *data;  /* `size` values, row-major; moves when the batch or the network grows, but
                       not in a parameter */
    nn_real *grad;  /* d loss / d data after nn_backward; NULL where no gradient is kept */
    int rank;
    size_t shape[NN_MAX_RANK]; /* shape[0] is the present batch when `batched` */
    size_t size;               /* product of the shape; 1 at rank 0 */
    const char *name;          /* "" or owned by the network */
    nn_op op;
    int batched;
    int requires_grad; /* set it on an input to get the input's gradient (saliency, checks) */
    int frozen;        /* a parameter that nn_step leaves alone */
    int no_decay;      /* a parameter free of weight decay and penalties: the default for a bias */
    double learning_rate_scale; /* of a parameter; default 1 */
    double value;      /* a scalar after nn_forward; losses are summed in double precision */
    nn_net *net;
    nn_tensor **src;
    size_t src_count;
    size_t id;         /* position in the network */
    nn__node node;
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
} nn_net_desc;

/* A new, empty network; NULL when out of memory or when only one of alloc/release is given. desc
   may be NULL. */
NN_DEF nn_net *nn_net_create(const nn_net_desc *desc);
NN_DEF void nn_net_destroy(nn_net *net); /* NULL is fine */
/* The first error made while the network was built, NN_OK when there is none. NN_ERROR_BAD_ARGUMENT for
   NULL. nn_last_error() tells the rest when called right after this. */
NN_DEF nn_status nn_net_status(const nn_net *net);
NN_DEF size_t nn_net_tensor_count(const nn_net *net);
NN_DEF nn_tensor *nn_net_tensor(const nn_net *net, size_t id); /* NULL past the end */
NN_DEF nn_tensor *nn_net_find(const nn_net *net, const char *name); /* NULL when there is none */
NN_DEF size_t nn_net_parameter_count(const nn_net *net); /* scalars in all parameters */
NN_DEF nn_rng *nn_net_rng(nn_net *net);
/* 1 (the state at the start): dropout is active; 0: it is not. nn_evaluate and nn_predict use 0. */
NN_DEF void nn_net_set_training(nn_net *net, int training);
/* A table of tensors, shapes and parameter counts. NN_ERROR_CANNOT_WRITE when the stream fails. */
NN_DEF nn_status nn_net_summary(const nn_net *net, FILE *stream);
/* Names a tensor (copied). Returns the tensor. */
NN_DEF nn_tensor *nn_name(nn_tensor *t, const char *name);

/* Leaves. `shape` of an input is that of one sample; the tensor gets the batch in front of it. */
NN_DEF nn_tensor *nn_input(nn_net *net, size_t features);
NN_DEF nn_tensor *nn_input_shape(nn_net *net, int rank, const size_t *shape);
NN_DEF nn_tensor *nn_parameter(nn_net *net, int rank, const size_t *shape, nn_init init,
                               const char *name);
/* Draws a parameter's values again, as at its making; fan_in, fan_out from its first and last
   dimension. */
NN_DEF nn_status nn_initialize(nn_tensor *parameter, nn_init init);

typedef struct nn_dense_desc {
    size_t units;
    nn_activation activation; /* default: NN_ACTIVATION_IDENTITY */
    double alpha;             /* see nn_vec_activate */
    int no_bias;
    int decay_bias;           /* the bias, too, is subject to weight decay and penalties */
    nn_init weight, bias;
    const char *name;         /* names "NAME.weight" and "NAME.bias"; default "denseI" */
} nn_dense_desc;

/* y[batch,units] = f(x[batch,in] W[in,units] + b[units]); an x of higher rank is read as a row.
   W is drawn when the layer is made: two layers made as arguments of one call come in no fixed
   order. */
NN_DEF nn_tensor *nn_dense(nn_tensor *x, size_t units);
NN_DEF nn_tensor *nn_dense_with(nn_tensor *x, const nn_dense_desc *desc);
/* The parameters of a dense tensor; NULL for another tensor and for a missing bias. */
NN_DEF nn_tensor *nn_weight(const nn_tensor *dense);
NN_DEF nn_tensor *nn_bias(const nn_tensor *dense);

/* op(a) op(b) of two matrices; a transposed operand must not be batched, nor may b be. */
NN_DEF nn_tensor *nn_matmul(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_matmul_with(nn_tensor *a, int trans_a, nn_tensor *b, int trans_b);
/* a + b, a - b, a * b by element. b has a's shape, or equals the last dimensions of a and is then
   repeated over the others (a bias). */
NN_DEF nn_tensor *nn_add(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_sub(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_mul(nn_tensor *a, nn_tensor *b);
NN_DEF nn_tensor *nn_scale(nn_tensor *x, double factor);
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
NN_DEF nn_tensor *nn_softmax(nn_tensor *x);     /* over the last dimension */
NN_DEF nn_tensor *nn_log_softmax(nn_tensor *x); /* over the last dimension */
/* The same values in another shape; of one sample when x is batched. */
NN_DEF nn_tensor *nn_reshape(nn_tensor *x, int rank, const size_t *shape);
NN_DEF nn_tensor *nn_flatten(nn_tensor *x); /* [batch, everything else] */
/* Joins `count` tensors along `axis` (an index of their shape; not the batch). */
NN_DEF nn_tensor *nn_concat(size_t count, nn_tensor *const *x, size_t axis);
/* x[..., begin:end, ...] along `axis` (not the batch). */
NN_DEF nn_tensor *nn_slice(nn_tensor *x, size_t axis, size_t begin, size_t end);
NN_DEF nn_tensor *nn_sum(nn_tensor *x);  /* of everything: rank 0 */
NN_DEF nn_tensor *nn_mean(nn_tensor *x); /* of everything: rank 0 */
/* In training sets each value to 0 with probability p and divides the others by 1 - p (Srivastava
   et al. 2014, inverted); otherwise the identity. p in [0, 1). */
NN_DEF nn_tensor *nn_dropout(nn_tensor *x, double p);

/* An operation of the user's own. forward fills t->data from t->src[i]->data; backward ADDS to
   t->src[i]->grad (zeroed before the first use; NULL when not wanted) from t->grad. user: t's desc
   is nn_custom_user(t). Both return NN_OK or the error that the run then stops with. The struct is
   copied, `user` is borrowed. */
typedef struct nn_custom_op {
    const char *name;
    nn_status (*forward)(nn_tensor *t);
    nn_status (*backward)(nn_tensor *t);
    void *user;
} nn_custom_op;

/* The output has the given shape, of one sample when a source is batched; rank 0 with `per_sample`
   0 gives a scalar for the whole batch (a loss). */
NN_DEF nn_tensor *nn_custom(size_t count, nn_tensor *const *src, int per_sample, int rank,
                            const size_t *shape, const nn_custom_op *op);
NN_DEF void *nn_custom_user(const nn_tensor *t);

/* Copies `rows` samples into an input. The first call for a larger batch allocates. */
NN_DEF nn_status nn_feed(nn_tensor *input, const nn_real *data, size_t rows);
/* Computes t and all it depends on from what was fed. */
NN_DEF nn_status nn_forward(nn_tensor *t);
/* Gradients of a scalar after nn_forward on it: overwrites the grad of every tensor in the network
   that has one (zero where the loss does not depend on it). */
NN_DEF nn_status nn_backward(nn_tensor *loss);
/* The same, but ADDS to the gradients of parameters: a large batch in several parts. */
NN_DEF nn_status nn_backward_add(nn_tensor *loss);

/* ------------------------------------------------------------------------------------- >>api-loss
   A loss is a scalar tensor with its own slot for what it compares with: labels (one class index
   per row) or targets (as many values as its source has). Rows of a [batch, ...] source are
   samples. */

typedef enum nn_reduction {
    NN_REDUCE_MEAN, /* over rows for softmax cross-entropy and hinge, over elements for the others */
    NN_REDUCE_SUM
} nn_reduction;

typedef struct nn_loss_desc {
    nn_reduction reduction;
    double label_smoothing; /* softmax cross-entropy, s in [0, 1): targets become
                               (1 - s) t + s / classes (Szegedy et al. 2016) */
    double delta;           /* nn_huber: where square turns linear (default 1) */
    double margin;          /* nn_hinge (default 1) */
} nn_loss_desc;

/* -sum_k t_k log softmax(z)_k; gradient softmax(z) - t. Labels or targets that sum to 1. */
NN_DEF nn_tensor *nn_softmax_cross_entropy(nn_tensor *logits);
NN_DEF nn_tensor *nn_softmax_cross_entropy_with(nn_tensor *logits, const nn_loss_desc *desc);
/* -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)), as max(z,0) - z t + log(1 + exp(-|z|)). Targets
   in [0, 1], or labels 0 and 1 when there is one column. */
NN_DEF nn_tensor *nn_sigmoid_cross_entropy(nn_tensor *logits);
NN_DEF nn_tensor *nn_sigmoid_cross_entropy_with(nn_tensor *logits, const nn_loss_desc *desc);
NN_DEF nn_tensor *nn_mse(nn_tensor *y);                       /* (y - t)^2, averaged */
NN_DEF nn_tensor *nn_mse_with(nn_tensor *y, const nn_loss_desc *desc);
NN_DEF nn_tensor *nn_l1_loss(nn_tensor *y);                   /* |y - t|, averaged */
NN_DEF nn_tensor *nn_l1_loss_with(nn_tensor *y, const nn_loss_desc *desc);
/* (y-t)^2 / 2 where |y - t| <= delta, else delta (|y - t| - delta/2) (Huber 1964). */
NN_DEF nn_tensor *nn_huber(nn_tensor *y);
NN_DEF nn_tensor *nn_huber_with(nn_tensor *y, const nn_loss_desc *desc);
/* sum_{j != label} max(0, z_j - z_label + margin): multi-class SVM (Weston and Watkins 1999;
   CS231n). Labels only. */
NN_DEF nn_tensor *nn_hinge(nn_tensor *scores);
NN_DEF nn_tensor *nn_hinge_with(nn_tensor *scores, const nn_loss_desc *desc);
/* loss + l1 sum |w| + l2 sum w^2 over the parameters made so far, those with no_decay left out; the
   gradient of the second is 2 l2 w, as in the courses. */
NN_DEF nn_tensor *nn_weight_penalty(nn_tensor *loss, double l1, double l2);

NN_DEF nn_status nn_feed_labels(nn_tensor *loss, const int *labels, size_t rows);
NN_DEF nn_status nn_feed_targets(nn_tensor *loss, const nn_real *targets, size_t rows);

/* ------------------------------------------------------------------------------------ >>api-optim
   g is the gradient, w the parameter, r the learning rate, t = 1, 2, ... the step. */

typedef enum nn_optimizer_kind {
    NN_OPTIMIZER_SGD, /* v = momentum v + g;  w -= r v  (nesterov: w -= r (g + momentum v)): PyTorch */
    NN_OPTIMIZER_ADAGRAD, /* s += g^2;  w -= r g / (sqrt(s) + epsilon): Duchi et al. 2011; epsilon 1e-10 */
    NN_OPTIMIZER_RMSPROP, /* s = rho s + (1-rho) g^2;  w -= r g / (sqrt(s) + epsilon): Hinton; .99, 1e-8 */
    NN_OPTIMIZER_ADAM,  /* m = b1 m + (1-b1) g;  s = b2 s + (1-b2) g^2;
                   w -= r m/(1-b1^t) / (sqrt(s/(1-b2^t)) + epsilon): Kingma and Ba 2015; 1e-8 */
    NN_OPTIMIZER_ADAMW, /* w -= r weight_decay w, then Adam: Loshchilov and Hutter 2019 */
    NN_OPTIMIZER_COUNT
} nn_optimizer_kind;

typedef enum nn_schedule_kind {
    NN_SCHEDULE_CONSTANT,
    NN_SCHEDULE_STEP_DECAY,  /* r gamma^floor(t / period) */
    NN_SCHEDULE_EXPONENTIAL, /* r gamma^t */
    NN_SCHEDULE_COSINE, /* final + (r - final) (1 + cos(pi t / total)) / 2: Loshchilov, Hutter 2017 */
    NN_SCHEDULE_TRIANGULAR, /* final -> r -> final ... with half period `period`: Smith 2017 */
    NN_SCHEDULE_COUNT
} nn_schedule_kind;

/* Counted in steps from t = 0; the steps of the warm-up come first and do not count for the
   rest. */
typedef struct nn_schedule {
    nn_schedule_kind kind;
    size_t warm_up;    /* r rises linearly, (t + 1) / warm_up, over this many steps (default 0) */
    size_t period;     /* step decay: steps per stage; triangular: steps of a rise */
    size_t total;      /* cosine: its length; default in nn_train: the run without the warm-up */
    double gamma;      /* step and exponential decay (default 0.1 and 1) */
    double final_rate; /* cosine: the end, triangular: the low end (default 0) */
} nn_schedule;

typedef struct nn_optimizer_desc {
    nn_optimizer_kind kind;
    double learning_rate; /* > 0, no default */
    double momentum;      /* SGD: [0, 1) (default 0) */
    int nesterov;
    double beta1, beta2;  /* Adam (default 0.9, 0.999) */
    double rho;           /* RMSprop (default 0.99) */
    double epsilon;       /* default: see the kind */
    double weight_decay;  /* g += weight_decay w, after clipping; AdamW: see there (default 0) */
    double clip_norm;     /* scale all gradients to a joint 2-norm of at most this (0: off) */
    double clip_value;    /* clamp each gradient to +-this, before the norm (0: off) */
    nn_schedule schedule;
} nn_optimizer_desc;

/* Chooses the optimiser and clears its state and step count. NN_ERROR_BAD_ARGUMENT names the member. */
NN_DEF nn_status nn_set_optimizer(nn_net *net, const nn_optimizer_desc *desc);
/* One update of every parameter that is not frozen, from its gradient. Frozen parameters do not
   count in clip_norm; clip_value changes the gradients themselves. NN_ERROR_BAD_ARGUMENT without an
   optimiser. */
NN_DEF nn_status nn_step(nn_net *net);
NN_DEF size_t nn_step_count(const nn_net *net);
/* The learning rate that a desc gives at step t (0 is the first). A pure function, good to plot. */
NN_DEF double nn_learning_rate(const nn_optimizer_desc *desc, size_t t);

/* ------------------------------------------------------------------------------------- >>api-data
   A data set keeps samples as they came (bytes stay bytes) and normalises while a batch is
   gathered: x = raw * scale + shift. Views (subset, split) share the samples of the set they were
   made from, which must outlive them; labels and normalisation are their own. */

typedef enum nn_dtype { NN_DTYPE_U8, NN_DTYPE_REAL } nn_dtype;

typedef struct nn_dataset {
    size_t count;              /* samples */
    size_t features;           /* values in a sample */
    int rank;                  /* of a sample */
    size_t shape[NN_MAX_RANK]; /* of a sample: 28 28, or 3 32 32 */
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
    void *owned[4];            /* what nn_dataset_free releases */
    nn_status status;          /* of the call that made the set. When it failed the set is empty, */
    char failure[256];         /* owns nothing, and every call on it returns this status and text */
} nn_dataset;

/* MNIST, Fashion-MNIST, ...: the folder's train-images-idx3-ubyte, train-labels-idx1-ubyte and the
   t10k pair (also with '.' for the last '-', and .gz with NN_USE_ZLIB). Pixels are scaled to [0,
   1]. train or test may be NULL; both are loaded or none. */
NN_DEF nn_status nn_load_mnist(const char *folder, nn_dataset *train, nn_dataset *test);
/* CIFAR-10: data_batch_1.bin .. data_batch_5.bin, of 10,000 samples each, and test_batch.bin in the
   folder. Shape 3 32 32, pixels scaled to [0, 1]. */
NN_DEF nn_status nn_load_cifar10(const char *folder, nn_dataset *train, nn_dataset *test);
/* CIFAR-100: train.bin and test.bin; the fine labels (100), or the coarse (20) when `coarse`. */
NN_DEF nn_status nn_load_cifar100(const char *folder, int coarse, nn_dataset *train,
                                  nn_dataset *test);
/* A pair of IDX files of any type. images: rank 2 or more, samples first; bytes are scaled to [0,
   1], other types stay as they are. labels: rank 1, or rank 2, where rows of one 1 among zeros are
   one-hot and of other rows the first number is the label (QMNIST). Labels are checked against
   `classes` (0: largest label + 1). */
NN_DEF nn_status nn_load_idx(const char *images, const char *labels, int classes, nn_dataset *out);

typedef struct nn_csv_desc {
    char delimiter;    /* default ',' */
    int header;        /* the first line holds names */
    int label_column;  /* counted from 1; negative from the end (-1 the last); 0: no labels */
    int targets;       /* the label column holds a real target instead of a class */
} nn_csv_desc;

/* Numbers in decimal notation with a point, whatever the locale. A label column of integers >= 0 is
   taken as it is; any other text names classes in order of appearance (class_names). Blank lines
   are skipped. NN_ERROR_BAD_NUMBER names line and column of what is not a finite number. */
NN_DEF nn_status nn_load_csv(const char *path, const nn_csv_desc *desc, nn_dataset *out);

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

/* Views. first + count <= data->count. */
NN_DEF nn_status nn_dataset_subset(const nn_dataset *data, size_t first, size_t count,
                                   nn_dataset *out);
/* The samples of the named classes, in order; class classes[i] becomes label i. */
NN_DEF nn_status nn_dataset_select_classes(const nn_dataset *data, int class_count,
                                           const int *classes, nn_dataset *out);
/* A random split: round(fraction * count) samples into a, the rest into b. 0 < fraction < 1, and
   neither part may be empty. */
NN_DEF nn_status nn_dataset_split(const nn_dataset *data, double fraction, uint64_t seed,
                                  nn_dataset *a, nn_dataset *b);
NN_DEF void nn_dataset_free(nn_dataset *data); /* leaves it zeroed; NULL is fine */

/* Normalisation replaces the one in force and refuses samples that are not finite. Rescaling maps
   raw values [raw_low, raw_high] to [low, high]: (0, 255, -1, 1) for bytes. */
NN_DEF nn_status nn_dataset_rescale(nn_dataset *data, double raw_low, double raw_high, double low,
                                    double high);
/* (raw - mean) / deviation, by the mean and the population deviation (divided by n) of the whole
   set, of each feature, or of each channel (samples of rank 3: channels, height, width). What never
   changes is only shifted. */
typedef enum nn_per { NN_PER_SET, NN_PER_FEATURE, NN_PER_CHANNEL } nn_per;
NN_DEF nn_status nn_dataset_standardize(nn_dataset *data, nn_per per);
/* Gives `data` the normalisation fitted on `from`. NN_ERROR_BAD_SHAPE when the features differ. */
NN_DEF nn_status nn_dataset_normalize_like(nn_dataset *data, const nn_dataset *from);
/* out[n,features] = normalised samples rows[0..n); rows NULL: samples 0, 1, ..., n - 1.
   NN_ERROR_BAD_ARGUMENT names an index past the end. */
NN_DEF nn_status nn_dataset_gather(const nn_dataset *data, const size_t *rows, size_t n,
                                   nn_real *out);

/* ---------------------------------------------------------------------------------- >>api-train */

typedef struct nn_result {
    double loss;
    double accuracy; /* by the largest output (one column: output > 0); 0 without labels */
    double metric;   /* of nn_train_desc.metric; 0 without one */
    size_t count;    /* samples */
} nn_result;

/* Loss and accuracy over a data set, dropout off. */
NN_DEF nn_status nn_evaluate(nn_tensor *loss, const nn_dataset *data, nn_result *out);
/* output's values for every sample: out[count, output's size per sample]. Dropout off. */
NN_DEF nn_status nn_predict(nn_tensor *output, const nn_dataset *data, nn_real *out);
/* matrix[classes,classes]: how often label (row) was taken for (column), by the largest output. */
NN_DEF nn_status nn_confusion_matrix(nn_tensor *output, const nn_dataset *data, size_t *matrix);

typedef struct nn_check {
    size_t step, epoch; /* steps done; epoch from 0 */
    double train_loss, train_accuracy; /* the batch's, or the whole set's with evaluate_training */
    double validation_loss, validation_accuracy, validation_metric;
    double learning_rate;
    double seconds;     /* since the start */
    int improved;       /* the validation loss is the best so far */
} nn_check;

/* What happened in training. Zero it before the first use; nn_history_free afterwards. Runs
   append. */
typedef struct nn_history {
    nn_check *checks;
    size_t check_count, check_capacity;
    float *step_loss; /* every step's batch loss, with nn_train_desc.log_steps */
    size_t step_count, step_capacity;
    size_t epochs;    /* epochs begun in the last run; 33 when it stopped within epoch 32 */
    size_t best;      /* index of the best check of the last run */
    int stopped_early;
    double seconds;   /* of the last run */
} nn_history;

NN_DEF void nn_history_free(nn_history *history);
/* step,epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate,seconds:
   one line per check, a decimal point whatever the locale. */
NN_DEF nn_status nn_history_write_csv(const nn_history *history, const char *path);

typedef struct nn_train_desc {
    size_t epochs;     /* > 0 */
    size_t batch_size; /* > 0, at most the number of samples */
    int no_shuffle;    /* keep the samples in order (default: a new order every epoch) */
    int drop_last;     /* leave out the last, partial batch of an epoch (default: use it) */
    nn_optimizer_desc optimizer; /* all zero: go on with the optimiser set before, state included */
    const nn_dataset *validation;
    /* When to check: after step s (0, 1, ...) whenever s % check_every == 0, so first after one
       step; checks_per_epoch sets check_every to steps per epoch / checks_per_epoch. Default: at
       the end of every epoch. */
    size_t check_every, checks_per_epoch;
    int evaluate_training; /* checks compute loss and accuracy over the whole training set */
    size_t patience;       /* stop after so many checks without a lower validation loss (0: off) */
    int restore_best;      /* end with the weights of the best check instead of the last */
    int log_steps;         /* keep every step's loss in the history */
    FILE *progress;        /* where to report (default: nowhere): on a terminal with a bar */
    double (*metric)(void *user, size_t rows, size_t cols, const nn_real *output, const int *labels,
                     const nn_real *targets); /* summed over rows; nn_check has the mean */
    int (*on_step)(void *user, nn_net *net, size_t step, double loss); /* not 0: stop here */
    int (*on_check)(void *user, nn_net *net, const nn_check *check);   /* not 0: stop here */
    void *user;
} nn_train_desc;

/* Trains the network that `loss` belongs to: it must have one input. history may be NULL.
   NN_ERROR_NOT_FINITE: stopped because the loss was not finite; the message names step and tensor. */
NN_DEF nn_status nn_train(nn_tensor *loss, const nn_dataset *data, const nn_train_desc *desc,
                          nn_history *history);

/* -------------------------------------------------------------------------------- >>api-gradcheck
   Compares gradients with central differences (f(w + h) - f(w - h)) / 2h, signed, one element at a
   time: |analytic - numeric| <= atol + rtol max(|analytic|, |numeric|). Where the two one-sided
   slopes keep apart as h shrinks the function has a kink; any slope between them is right there. */
typedef struct nn_gradcheck_desc {
    double h;         /* step: default 1e-5 in double, 1e-2 in float */
    double atol;      /* default 1e-7 in double, 2e-3 in float */
    double rtol;      /* default 1e-5 in double, 2e-2 in float */
    size_t max_per_tensor; /* check at most so many elements of a tensor, spread evenly (0: all) */
    int allow_zero;   /* a gradient that is zero everywhere is no error */
    int inputs;       /* check inputs that have requires_grad, too (parameters always) */
} nn_gradcheck_desc;

typedef struct nn_gradcheck_report {
    size_t checked, wrong, kinks;
    double max_error;          /* the largest |analytic - numeric| away from kinks */
    double max_relative_error; /* the largest |a - n| / max(1e-12, |a| + |n|) away from kinks */
    const char *tensor;        /* where the worst element is: name, index, both slopes */
    size_t index;
    double analytic, numeric;
} nn_gradcheck_report;

/* Checks what nn_backward gives for a loss whose inputs and labels have been fed, over the
   parameters made before it. Dropout draws the same mask in every evaluation. The network's values
   are as before afterwards. NN_ERROR_GRADIENT_WRONG comes with the worst element, NN_ERROR_GRADIENT_ZERO with
   the tensor; NN_ERROR_NOT_FINITE when the loss is NaN or infinite near a value. desc and report may be
   NULL. */
NN_DEF nn_status nn_gradcheck(nn_tensor *loss, const nn_gradcheck_desc *desc,
                              nn_gradcheck_report *report);
/* The same for any function: f(user) evaluates at the present x[n]; analytic[n] is df/dx by hand.
   f is called once, then twice for each element, and twice more where a kink may explain a
   difference. */
NN_DEF nn_status nn_gradcheck_function(const char *name, double (*f)(void *user), void *user,
                                       size_t n, nn_real *x, const nn_real *analytic,
                                       const nn_gradcheck_desc *desc, nn_gradcheck_report *report);

#ifdef __cplusplus
}
#endif
#endif /* NN_H */

/* =================================================================================================
   IMPLEMENTATION
   =================================================================================================
   This file includes itself once per instruction set: with NN__PASS defined, all it contributes is
   the sections >>vectors, >>math, >>tile and >>kernels, compiled for that set. So each kernel is
   written once, and a debugger shows its lines. */
#if defined(NN_IMPLEMENTATION) && !defined(NN__IMPLEMENTED) && !defined(NN__PASS)

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
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
#include <unistd.h>
#define NN__ISATTY(fd) isatty(fd)
#else
#define NN__ISATTY(fd) 0
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

#ifndef NN_ASSERT
#include <assert.h>
#define NN_ASSERT(x) assert(x)
#endif

#ifndef NN_SELF
#define NN_SELF "nn.h"
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
#error "nn.h: clang's -ffast-math and -Ofast change results whatever a file asks for: use -O2 or -O3"
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

/* Seconds since some moment, from the best clock that the language level in use offers. */
static double nn__now(void)
{
#if defined(TIME_UTC)
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
static double nn__cos_pi(double t)
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
    nn_real rate, momentum, beta1, beta2, epsilon, decay, shrink; /* shrink: AdamW's own decay */
    nn_real scale; /* of the gradient */
    nn_real correction1, correction2; /* Adam: 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
} nn__update;

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
    size_t ldb, k; /* ldb: 0 in a panel */
    const nn_real *init; /* what the first row starts from: C, the bias or zeros */
    size_t init_ld;
    nn_real *c;
    size_t ldc, next_c;   /* next_c: from this tile to the one that follows, for the cache */
    nn_real *panel;       /* NULL, or where the rows of B are left for the tiles that follow */
    size_t vectors, last; /* vectors in a row; lanes of the last one that exist, */
    const nn__bits *mask; /* and which those are */
} nn__tile;
typedef void nn__tile_fn(const nn__tile *t);

typedef struct nn__kernels {
    const char *name;
    size_t width, vectors; /* reals in a vector; vectors in a row of a tile, at most */
    nn__tile_fn *const (*tile)[NN__MAX_VECTORS]; /* [rows - 1][vectors - 1] */
    /* Products of a few steps; of one row; of few columns (or rows, when swapped). The last two may
       be NULL. */
    void (*small)(const nn__gemm_args *g);
    void (*row)(const nn__gemm_args *g);
    void (*narrow)(const nn__gemm_args *g, int swapped);
    /* dst[cols,rows] = src[rows,cols]' */
    void (*transpose)(size_t rows, size_t cols, const nn_real *src, size_t lds, nn_real *dst,
                      size_t ldd);
    void (*add_row)(size_t rows, size_t cols, nn_real *x, const nn_real *row);
    void (*sum_rows)(size_t rows, size_t cols, const nn_real *x, nn_real *out, int accumulate);
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
   - Panels and copy lie in a workspace of 60 KB, on the stack unless the caller brings one.

   Where C has few columns, most lanes of its rows' vectors would be empty. There the vectors run
   down the rows (`narrow`; nn__gemm_swapped where A is transposed). A single row of C is computed
   as wide as the registers allow (`row`). */
enum {
    NN__WORKSPACE = 60 * 1024 / (int)sizeof(nn_real),
    NN__LITTLE = 6 * 1024 / (int)sizeof(nn_real),
    NN__MC = 240,
    NN__COPIED_ROWS = 72,
    NN__MAX_PANELS = 8,
    NN__FEW = 12 /* columns that `narrow` takes; rows of A that are too few for a panel of B */
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
        t->c = g->c + i0 * g->ldc + j, t->ldc = g->ldc * real;
        t->init = nn__zeros, t->init_ld = 0;
        if (k0 || g->accumulate) t->init = t->c, t->init_ld = t->ldc;
        else if (g->bias) t->init = g->bias + j;
        t->vectors = 1, t->last = n;
        for (; t->last > f->width; t->last -= f->width) t->vectors++;
        t->mask = nn__lane_masks + 16 - t->last;
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
                              const nn_real *a, size_t ai)
{
    const unsigned tiles = (unsigned)(m + NN__MR - 1) / NN__MR;
    const size_t low = m <= NN__MR ? m : (unsigned)m / tiles;
    const nn_real *row[NN__MR];
    for (size_t rows, higher = m - low * tiles; m; m -= rows, a += rows * ai) {
        rows = low + (higher > 0), higher -= higher > 0;
        for (size_t r = 0; r < rows; r++) row[r] = a + r * ai;
        for (nn__tile *t = strip; t < strip + strips; t++) {
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
    if (copies_a) max_m = NN__COPIED_ROWS;
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
                nn__multiply_rows(f, strip, count, m, copies_a ? copy : a,
                                  copies_a ? lda : g->trans_a ? 1 : g->lda);
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
    if ((g->m | g->n | g->k) < 64 && g->m * g->n * g->k <= 48) f->small(g);
    else nn__gemm_large(f, g);
}

/* What an instruction reads, for the compiler */
typedef struct nn__16_bytes {
    uint8_t byte[16];
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

/* From here to the end of >>kernels: compiled once per instruction set. gcc optimises the vector
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
   step) puts the 16 bytes at p, p + step, ... side by side, and ZIPLO and ZIPHI interleave the lower
   and upper halves of two vectors' pieces of 16 bytes.

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
/* An instruction of two operands: compilers need to know no more of it, nor headers of intrinsics. */
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
              "m"(*(const nn__16_bytes *)(p + 2 * step)), "m"(*(const nn__16_bytes *)(p + 3 * step)));
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
    uint8_t byte[NN__WIDTH];
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

NN__INLINE nn_real NN__FN(reduce)(const NN__VEC *part)
{
    nn_real lane[NN__LANES];
    for (int l = 0; l < NN__PARTS; l++) NN__STORE(lane + l * NN__WIDTH, part[l]);
    for (int step = NN__LANES / 2; step; step /= 2)
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
    NN__VEC p = NN__FN(exp_reduced)(NN__MIN(NN__C(NN__EXP_HIGH), NN__MAX(NN__C(NN__EXP_LOW), x)), &t);
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
    NN__VEC large = NN__MAX(e, two), small = NN__MIN(e, two);
    NN__VEC d_low = NN__ADD(NN__ADD(NN__SUB(large, d), small), low);
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
    static void NN__CAT3(NN__FN(tile_##mr), x, nv)(const nn__tile *t)                              \
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
            "xor %%ecx, %%ecx\n test %%r13, %%r13\n jz 3f\n"                                       \
            "test %%r14, %%r14\n jnz 2f\n test %%rdi, %%rdi\n jnz 1f\n .p2align 5\n"               \
            "0:\n test $1, %%r13b\n jz 7f\n" NN__PACKED_STEP(mr, nv) "dec %%r13\n jz 3f\n"         \
            ".p2align 5\n 7:\n" NN__PACKED_STEP(mr, nv) NN__PACKED_STEP(mr, nv)                    \
            "sub $2, %%r13\n jnz 7b\n jmp 3f\n"                                                   \
            "1:\n" NN__GET_ROW_OF_B(nv) NN__FETCH_ROW_OF_B(nv) NN__ROWS##mr(NN__ROW_MADD, nv)      \
            "add %%rdi, %%rsi\n add %%r12, %%rcx\n dec %%r13\n jnz 1b\n jmp 3f\n"                  \
            "2:\n" NN__GET_ROW_OF_B(nv) NN__FETCH_ROW_OF_B(nv) NN__PUT_ROW_OF_B(nv)                \
            NN__ROWS##mr(NN__ROW_MADD, nv) "add $" NN__ROW_BYTES ", %%r14\n"                       \
            "add %%rdi, %%rsi\n add %%r12, %%rcx\n dec %%r13\n jnz 2b\n"                           \
            "3:\n" NN__MEMBER(c, "r12") NN__MEMBER(ldc, "r13")                                     \
            "cmpq $" NN__BYTES "/%c[real], %c[last](%[t])\n jne 4f\n"                              \
            NN__ROWS##mr(NN__ROW_PUT, nv) "jmp 5f\n"                                               \
            "4:\n" NN__ROWS##mr(NN__ROW_PUT_END, nv)                                               \
            "5:\n vzeroupper\n"                                                                    \
            :                                                                                      \
            : [t] "r"(t), [real] "i"(sizeof(nn_real)), NN__OFFSET(mask), NN__OFFSET(init),         \
              NN__OFFSET(init_ld), NN__OFFSET(c), NN__OFFSET(ldc), NN__OFFSET(next_c),             \
              NN__OFFSET(a), NN__OFFSET(b), NN__OFFSET(ldb), NN__OFFSET(panel), NN__OFFSET(ak),    \
              NN__OFFSET(k), NN__OFFSET(last)                                                      \
            : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",   \
              "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",      \
              "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",                         \
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
    for (size_t k = t->k; k; k--, b += ldb) {
        NN__UNROLL for (int j = 0; j < nv; j++)
        {
            bv[j] = NN__LD(b + j * NN__WIDTH, j == nv - 1 ? t->last : NN__WIDTH);
            if (panel) NN__STORE(panel + j * NN__WIDTH, bv[j]);
        }
        NN__UNROLL for (int i = 0; i < mr; i++, a[i - 1] += ak)
        {
            const NN__VEC av = NN__SET1(*a[i]);
            NN__UNROLL for (int j = 0; j < nv; j++) sum[i][j] = NN__FMA(av, bv[j], sum[i][j]);
        }
        if (panel) panel += NN__MAX_VECTORS * NN__WIDTH;
    }
    NN__UNROLL for (int i = 0; i < mr; i++)
        NN__UNROLL for (int j = 0; j < nv; j++)
            NN__ST(t->c + (size_t)i * ldc + j * NN__WIDTH, sum[i][j],
                   j == nv - 1 ? t->last : NN__WIDTH);
}
#define NN__TILE(mr, nv)                                                                           \
    static void NN__CAT3(NN__FN(tile_##mr), x, nv)(const nn__tile *t) { NN__FN(tile)(mr, nv, t); }
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

/* column[W] = the first W columns of the NN__WIDTH rows at src, W being the reals in 16 bytes.
   Vectors are put together from pieces of 16 bytes of rows that are W apart; then squares of W by W
   are transposed within the pieces. Most of that is loads; shuffles would compete with each other. */
#if NN__WIDTH > 1
enum { NN__FN(W) = 16 / sizeof(nn_real) };
NN__INLINE void NN__FN(columns)(const nn_real *src, size_t lds, NN__VEC *column)
{
    enum { W = NN__FN(W) };
    NN__VEC r[W], t[W];
    NN__OPAQUE(lds);
    NN__UNROLL for (int i = 0; i < W; i++) r[i] = NN__GATHER_16B(src + (size_t)i * lds, W * lds);
    NN__UNROLL for (int i = 0; i < W / 2; i++)
        t[2 * i] = NN__ZIPLO(r[i], r[i + W / 2]), t[2 * i + 1] = NN__ZIPHI(r[i], r[i + W / 2]);
    if (W == 2) {
        NN__UNROLL for (int i = 0; i < W; i++) column[i] = t[i];
        return;
    }
    NN__UNROLL for (int i = 0; i < W / 2; i++)
    {
        column[2 * i] = NN__ZIPLO(t[i], t[i + W / 2]);
        column[2 * i + 1] = NN__ZIPHI(t[i], t[i + W / 2]);
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
    enum { W = NN__FN(W) };
    for (; i + 2 < rows && rows >= NN__WIDTH && cols >= W; i += NN__WIDTH) {
        i = nn__min_size(i, rows - NN__WIDTH);
        for (size_t j = 0; j < cols; j += W) {
            NN__VEC column[W];
            j = nn__min_size(j, cols - W);
            NN__FN(columns)(src + i * lds + j, lds, column);
            NN__UNROLL for (int q = 0; q < W; q++)
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
   rows are transposed in registers, W steps at a time, so that nothing waits for a copy of them. Each
   column's sums are `groups` vectors, in registers where the number of columns is `fixed` and in
   memory where that is 0. When swapped, B' has the rows and A' the columns. */
typedef struct NN__FN(narrow_args) {
    const nn_real *rows, *few; /* few: the other operand, by k and column */
    size_t ld, fk, fj, columns, k;
} NN__FN(narrow_args);

/* v[groups] += the W columns, each times its element by[q][at] */
NN__INLINE void NN__FN(narrow_step)(const int groups, const nn_real *const *by, size_t at,
                                    NN__VEC (*column)[NN__FN(W)], NN__VEC *v)
{
    NN__UNROLL for (int q = 0; q < NN__FN(W); q++)
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
    enum { W = NN__FN(W) };
    const size_t ld = s->ld, fk = s->fk, fj = fixed == 10 ? 1 : s->fj, size = (size_t)groups * NN__WIDTH;
    NN__VEC column[4][W], v[NN__FEW];
    const nn_real *rows = s->rows, *few = s->few, *by[W];
    size_t k = s->k;
    NN__UNROLL for (int j = 0; j < fixed * groups; j++) v[j] = NN__LOAD(sum + j * NN__WIDTH);
    for (; k >= W; k -= W, rows += W, few += W * fk) {
        NN__UNROLL for (int u = 0; u < groups; u++)
            NN__FN(columns)(rows + (size_t)u * NN__WIDTH * ld, ld, column[u]);
        NN__UNROLL for (int q = 0; q < W; q++)
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

static void NN__FN(sum_rows)(size_t rows, size_t cols, const nn_real *x, nn_real *out,
                             int accumulate)
{
    NN__EACH(cols)
    {
        NN__VEC sum = accumulate ? NN__LD(out + i, c) : NN__C(0);
        for (size_t r = 0; r < rows; r++) sum = NN__ADD(sum, NN__LD(x + r * cols + i, c));
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

#define NN__FOR_PARTS NN__UNROLL for (int l = 0; l < NN__PARTS; l++)
/* values left from part l of the 16 that begin at i */
#define NN__LEFT(n, i, l) ((n) > (i) + (size_t)(l)*NN__WIDTH ? (n) - (i) - (size_t)(l)*NN__WIDTH : 0)

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
        NN__FN(softmax_lanes)(nn__min_size(NN__WIDTH, rows - r), cols, x + r * cols, y + r * cols, log,
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

#define NN__MAP(expression)                                                                        \
    NN__EACH(n)                                                                                    \
    {                                                                                              \
        NN__VEC v = NN__LD(x + i, c);                                                                \
        NN__ST(y + i, expression, c);                                                              \
    }

static void NN__FN(activate)(nn_activation kind, nn_real alpha, size_t n, const nn_real *x,
                             nn_real *y)
{
    NN__VEC zero = NN__C(0), slope = NN__C(alpha);
    switch (kind) {
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
    case NN_ACTIVATION_IDENTITY:
    case NN_ACTIVATION_COUNT:
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
        NN__VEC v = NN__LD(from + i, c), d = NN__LD(dy + i, c);                                      \
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
    NN__EACH(n)
    {
        if (each) a = NN__LD(scale + i, c), b = NN__LD(shift + i, c);
        NN__ST(out + i, NN__FMA(NN__LD(x + i, c), a, b), c);
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
        NN__VEC v = NN__LD(w + i, c), d = NN__FMA(decay, v, NN__MUL(NN__LD(g + i, c), scale));       \
        body;                                                                                      \
        NN__ST(w + i, v, c);                                                                       \
    }

static void NN__FN(update)(const nn__update *u, size_t n, nn_real *w, const nn_real *g,
                           nn_real *s0, nn_real *s1)
{
    NN__VEC scale = NN__C(u->scale), decay = NN__C(u->decay);
    NN__VEC minus_rate = NN__C(-u->rate), epsilon = NN__C(u->epsilon), keep = NN__C(1 - u->shrink);
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
                                            NN__SHARED(update)};

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

NN_DEF void nn_mat_column_sums(size_t rows, size_t cols, const nn_real *x, nn_real *out,
                            int accumulate)
{
    nn__k()->sum_rows(rows, cols, x, out, accumulate);
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

static nn_real nn__activation_alpha(nn_activation kind, double alpha)
{
    if (alpha == 0) alpha = kind == NN_ACTIVATION_LEAKY_RELU ? 0.01 : 1;
    return (nn_real)alpha;
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
    nn__activation_part part = {kind, nn__activation_alpha(kind, alpha), x, y, dy, out};
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

/* ------------------------------------------------------------------------------------ >>tensor
   The network's memory. Tensors, names, parameters and optimiser state never move: they come from
   an arena of chunks. Activations and gradients live in two blocks that are laid out again when a
   larger batch comes along or the network has grown. */

#define NN__ALIGN 64 /* bytes: a cache line, and the widest vector */

typedef struct nn__chunk {
    struct nn__chunk *next;
    size_t used, size;
} nn__chunk;

typedef struct nn__block {
    void *memory;
    size_t bytes;
} nn__block;

struct nn_net {
    nn_allocator allocator;
    nn__chunk *chunks;
    nn_rng rng;
    int threads, training;
    nn_status status;
    char message[sizeof nn__message];
    nn_tensor **tensors;
    size_t count, capacity;
    nn__block data_block, grad_block;
    size_t data_count, data_batch; /* what the data block is laid out for */
    size_t grad_count, grad_batch, grad_wanted;
    nn_real *scratch; /* in the gradient block: as large as the largest tensor */
    nn_tensor *ran;   /* the target of the last successful forward */
    nn_optimizer_desc optimizer;
    int has_optimizer;
    size_t steps;
};

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

/* The first error of a network stays; NULL, so that a builder can return it. */
static nn_tensor *nn__refuse(nn_net *net, nn_status status)
{
    if (net && net->status == NN_OK) {
        net->status = status;
        memcpy(net->message, nn__message, sizeof net->message);
    }
    return NULL;
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

static size_t nn__round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static void *nn__align(void *p)
{
    return (void *)(((uintptr_t)p + NN__ALIGN - 1) / NN__ALIGN * NN__ALIGN);
}

/* `count` zeroed items of `size` bytes for the life of the network, aligned to NN__ALIGN. */
static void *nn__arena(nn_net *net, size_t count, size_t size)
{
    const size_t head = sizeof(nn__chunk) + NN__ALIGN;
    size_t bytes;
    if (!nn__multiply(count, size, &bytes) || bytes > SIZE_MAX - head - 2 * NN__ALIGN) {
        nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu items of %llu bytes", (nn__ull)count,
                 (nn__ull)size);
        return NULL;
    }
    bytes = nn__round_up(bytes ? bytes : 1, NN__ALIGN);
    nn__chunk *chunk = net->chunks;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t room = nn__max_size(bytes, 16384);
        chunk = (nn__chunk *)nn__net_alloc(net, head + room);
        if (!chunk) return NULL;
        chunk->next = net->chunks, chunk->used = 0, chunk->size = room;
        net->chunks = chunk;
    }
    char *base = (char *)nn__align(chunk + 1);
    void *p = base + chunk->used;
    chunk->used += bytes;
    memset(p, 0, bytes);
    return p;
}

NN_DEF nn_net *nn_net_create(const nn_net_desc *desc)
{
    nn_net_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (!d.allocator.alloc != !d.allocator.release) {
        nn__fail(NN_ERROR_BAD_ARGUMENT,
                 "nn_net_create: allocator has only one of alloc and release");
        return NULL;
    }
    if (d.threads < 0) {
        nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_net_create: threads is %d, expected 0 or more",
                 d.threads);
        return NULL;
    }
    if (!d.allocator.alloc)
        d.allocator.alloc = nn__default_alloc, d.allocator.release = nn__default_release;
    nn_net *net = (nn_net *)d.allocator.alloc(d.allocator.user, sizeof *net);
    if (!net) {
        nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu bytes for the network",
                 (nn__ull)sizeof *net);
        return NULL;
    }
    memset(net, 0, sizeof *net);
    net->allocator = d.allocator;
    net->rng = nn_rng_seed(d.seed);
    net->threads = d.threads;
    net->training = 1;
    return net;
}

NN_DEF void nn_net_destroy(nn_net *net)
{
    if (!net) return;
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *t = net->tensors[i];
        if (t->op == NN_OP_INPUT) nn__net_release(net, t->data);
        nn__net_release(net, t->node.labels);
        nn__net_release(net, t->node.targets);
    }
    nn__net_release(net, net->tensors);
    nn__net_release(net, net->data_block.memory);
    nn__net_release(net, net->grad_block.memory);
    while (net->chunks) {
        nn__chunk *next = net->chunks->next;
        nn__net_release(net, net->chunks);
        net->chunks = next;
    }
    net->allocator.release(net->allocator.user, net);
}

NN_DEF nn_status nn_net_status(const nn_net *net)
{
    if (!net) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_net_status: the network is NULL");
    if (net->status != NN_OK) memcpy(nn__message, net->message, sizeof nn__message);
    return net->status;
}

NN_DEF size_t nn_net_tensor_count(const nn_net *net) { return net ? net->count : 0; }

NN_DEF nn_tensor *nn_net_tensor(const nn_net *net, size_t id)
{
    return net && id < net->count ? net->tensors[id] : NULL;
}

NN_DEF nn_tensor *nn_net_find(const nn_net *net, const char *name)
{
    for (size_t i = 0; net && name && name[0] && i < net->count; i++)
        if (strcmp(net->tensors[i]->name, name) == 0) return net->tensors[i];
    return NULL;
}

NN_DEF size_t nn_net_parameter_count(const nn_net *net)
{
    size_t sum = 0;
    for (size_t i = 0; net && i < net->count; i++)
        if (net->tensors[i]->op == NN_OP_PARAMETER) sum += net->tensors[i]->size;
    return sum;
}

NN_DEF nn_rng *nn_net_rng(nn_net *net) { return net ? &net->rng : NULL; }

NN_DEF void nn_net_set_training(nn_net *net, int training)
{
    if (net) net->training = training != 0;
}

/* A name is unique only if its maker sees to that; find returns the first. */
static const char *nn__copy_name(nn_net *net, const char *name)
{
    size_t length = name ? strlen(name) : 0;
    if (length == 0) return "";
    char *copy = (char *)nn__arena(net, length + 1, 1);
    if (copy) memcpy(copy, name, length);
    return copy;
}

NN_DEF nn_tensor *nn_name(nn_tensor *t, const char *name)
{
    if (!t) return NULL;
    const char *copy = nn__copy_name(t->net, name);
    if (!copy) return nn__refuse(t->net, NN_ERROR_OUT_OF_MEMORY);
    t->name = copy;
    return t;
}

#define NN__OP_TEXT(id, text, fn) text,
static const char *nn__op_string(nn_op op)
{
    static const char *const texts[] = {NN_OP_LIST(NN__OP_TEXT)};
    return (unsigned)op < NN_OP_COUNT ? texts[op] : "unknown";
}

/* "[batch 3 4]", for messages. Returns text. */
static const char *nn__shape_text(int rank, const size_t *shape, int batched, char text[160])
{
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < rank; i++) {
        const char *space = i ? " " : "";
        if (i == 0 && batched) at += (size_t)snprintf(text + at, 160 - at, "batch");
        else at += (size_t)snprintf(text + at, 160 - at, "%s%llu", space, (nn__ull)shape[i]);
    }
    snprintf(text + at, 160 - at, "]");
    return text;
}

static const char *nn__tensor_shape(const nn_tensor *t, char text[160])
{
    return nn__shape_text(t->rank, t->shape, t->batched, text);
}

/* Values in one sample, or in all of a tensor without a batch. */
static size_t nn__sample_size(const nn_tensor *t)
{
    size_t size = 1;
    for (int i = t->batched ? 1 : 0; i < t->rank; i++) size *= t->shape[i];
    return size;
}

NN_DEF nn_status nn_net_summary(const nn_net *net, FILE *stream)
{
    char shape[160];
    if (!net || !stream)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_net_summary: an argument is NULL");
    fprintf(stream, "%4s  %-22s %-20s %-18s %10s\n", "id", "operation", "name", "shape",
            "parameters");
    for (size_t i = 0; i < net->count; i++) {
        const nn_tensor *t = net->tensors[i];
        fprintf(stream, "%4llu  %-22s %-20s %-18s", (nn__ull)i, nn__op_string(t->op), t->name,
                nn__tensor_shape(t, shape));
        if (t->op == NN_OP_PARAMETER) fprintf(stream, " %10llu", (nn__ull)t->size);
        fprintf(stream, "\n");
    }
    fprintf(stream, "%llu parameters in all\n", (nn__ull)nn_net_parameter_count(net));
    if (fflush(stream) != 0 || ferror(stream))
        return nn__fail(NN_ERROR_CANNOT_WRITE, "nn_net_summary: the stream cannot be written");
    return NN_OK;
}

/* ------------------------------------------------------------------------------------- >>graph
   Building: nn__node_new makes a tensor of any operation, or refuses. Running: who is needed, how
   large is the batch, is there room, then one pass. */

/* One more slot in the network's list of tensors. */
static int nn__grow_tensors(nn_net *net)
{
    if (net->count < net->capacity) return 1;
    size_t capacity = net->capacity ? 2 * net->capacity : 32;
    nn_tensor **grown = (nn_tensor **)nn__net_alloc(net, capacity * sizeof *grown);
    if (!grown) return 0;
    if (net->count) memcpy(grown, net->tensors, net->count * sizeof *grown);
    nn__net_release(net, net->tensors);
    net->tensors = grown;
    net->capacity = capacity;
    return 1;
}

/* All sources are there and of one network, which has no error yet: that network; else NULL. */
static nn_net *nn__common_net(nn_op op, size_t count, nn_tensor *const *src)
{
    nn_net *net = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!src || !src[i]) {
            nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: source %llu is NULL", nn__op_string(op),
                     (nn__ull)i);
            for (size_t j = 0; src && j < count; j++)
                if (src[j]) nn__refuse(src[j]->net, NN_ERROR_BAD_ARGUMENT);
            return NULL;
        }
        if (net && src[i]->net != net) {
            nn__fail(NN_ERROR_MISMATCH, "%s: sources 0 and %llu belong to different networks",
                     nn__op_string(op), (nn__ull)i);
            nn__refuse(net, NN_ERROR_MISMATCH);
            return NULL;
        }
        net = src[i]->net;
    }
    return net && nn_net_status(net) == NN_OK ? net : NULL;
}

static nn_tensor *nn__node_new(nn_net *net, nn_op op, size_t src_count, nn_tensor *const *src,
                               int batched, int rank, const size_t *shape)
{
    if (!net || nn_net_status(net) != NN_OK) return NULL;
    if (rank > NN_MAX_RANK)
        return nn__refuse(net, nn__fail(NN_ERROR_BAD_SHAPE, "%s: rank %d, at most %d is possible",
                                        nn__op_string(op), rank, NN_MAX_RANK));
    nn_tensor *t = NULL;
    if (nn__grow_tensors(net)) t = (nn_tensor *)nn__arena(net, 1, sizeof *t);
    if (t && src_count) t->src = (nn_tensor **)nn__arena(net, src_count, sizeof *t->src);
    if (!t || (src_count && !t->src)) return nn__refuse(net, NN_ERROR_OUT_OF_MEMORY);
    t->op = op;
    t->name = "";
    t->net = net;
    t->rank = rank;
    t->batched = batched;
    for (int i = 0; i < rank; i++) t->shape[i] = batched && i == 0 ? 1 : shape[i];
    for (size_t i = 0; i < src_count; i++) {
        t->src[i] = src[i];
        t->requires_grad |= src[i]->requires_grad;
    }
    t->src_count = src_count;
    t->learning_rate_scale = 1;
    size_t bytes;
    if (!nn__shape_size(rank, t->shape, &t->size) ||
        !nn__multiply(t->size, sizeof(nn_real), &bytes))
        return nn__refuse(net, nn__fail(NN_ERROR_TOO_LARGE, "%s: the shape's product does not fit",
                                        nn__op_string(op)));
    for (int i = 0; i < rank; i++)
        if (t->shape[i] == 0)
            return nn__refuse(net, nn__fail(NN_ERROR_BAD_SHAPE, "%s: dimension %d is 0",
                                            nn__op_string(op), i - batched));
    if (batched) t->shape[0] = t->size = 0;
    t->id = net->count;
    net->tensors[net->count++] = t;
    return t;
}

/* A node of one source with that source's shape. */
static nn_tensor *nn__node_like(nn_tensor *x, nn_op op)
{
    nn_net *net = nn__common_net(op, 1, &x);
    return net ? nn__node_new(net, op, 1, &x, x->batched, x->rank, x->shape) : NULL;
}

typedef nn_status nn__op_fn(nn_tensor *t);

#define NN__OP_DECLARE(id, text, fn)                                                               \
    static nn_status nn__##fn##_forward(nn_tensor *t);                                             \
    static nn_status nn__##fn##_backward(nn_tensor *t);
NN_OP_LIST(NN__OP_DECLARE)

static size_t nn__aux_size(const nn_tensor *t);  /* reals an operation keeps for its backward */
static size_t nn__work_size(const nn_tensor *t); /* reals its backward works in */

static int nn__is_leaf(const nn_tensor *t)
{
    return t->op == NN_OP_INPUT || t->op == NN_OP_PARAMETER;
}

/* Every tensor takes this batch while a block is laid out; 0: the one that it ran with last. */
static void nn__set_batch(nn_net *net, size_t batch)
{
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *t = net->tensors[i];
        if (!t->batched) continue;
        t->shape[0] = batch ? batch : t->node.rows;
        t->size = t->shape[0] * nn__sample_size(t);
    }
}

/* Where the next piece of a block goes: counts only while base is NULL. */
typedef struct nn__layout {
    char *base;
    size_t bytes;
    int overflow;
} nn__layout;

static nn_real *nn__lay(nn__layout *layout, size_t reals)
{
    size_t bytes, at = layout->bytes;
    if (reals == 0) return NULL;
    if (!nn__multiply(reals, sizeof(nn_real), &bytes) || bytes > SIZE_MAX / 2 - at) {
        layout->overflow = 1;
        return NULL;
    }
    layout->bytes = at + nn__round_up(bytes, NN__ALIGN);
    return layout->base ? (nn_real *)(void *)(layout->base + at) : NULL;
}

static void nn__lay_data(nn_net *net, nn__layout *layout)
{
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *t = net->tensors[i];
        if (nn__is_leaf(t)) continue;
        t->data = nn__lay(layout, t->size);
        t->node.aux = nn__lay(layout, nn__aux_size(t));
    }
}

static void nn__lay_grads(nn_net *net, nn__layout *layout)
{
    size_t largest = 0;
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *t = net->tensors[i];
        largest = nn__max_size(largest, t->size);
        if (t->op == NN_OP_PARAMETER) continue;
        t->grad = t->requires_grad ? nn__lay(layout, t->size) : NULL;
        t->node.work = t->requires_grad ? nn__lay(layout, nn__work_size(t)) : NULL;
    }
    net->scratch = nn__lay(layout, largest);
}

/* Measures with `lay`, makes room in the block, and lays out for good. A block only grows. */
static nn_status nn__lay_block(nn_net *net, nn__block *block,
                               void (*lay)(nn_net *, nn__layout *))
{
    nn__layout layout = {NULL, 0, 0};
    lay(net, &layout);
    if (layout.overflow)
        return nn__fail(NN_ERROR_OUT_OF_MEMORY,
                        "out of memory: the tensors exceed the address space");
    size_t bytes = layout.bytes + NN__ALIGN;
    if (bytes > block->bytes) {
        void *memory = nn__net_alloc(net, bytes);
        if (!memory) return NN_ERROR_OUT_OF_MEMORY;
        nn__net_release(net, block->memory);
        block->memory = memory;
        block->bytes = bytes;
    }
    layout.base = (char *)nn__align(block->memory);
    layout.bytes = 0;
    lay(net, &layout);
    return NN_OK;
}

/* Room for the outputs of all tensors at this batch; shapes are set to it. */
static nn_status nn__plan_data(nn_net *net, size_t batch)
{
    nn_status status = NN_OK;
    size_t largest = nn__max_size(batch, net->data_batch);
    for (size_t i = 0; i < net->count; i++) /* also inputs that this run does not need */
        if (net->tensors[i]->op == NN_OP_INPUT)
            largest = nn__max_size(largest, net->tensors[i]->node.rows);
    if (net->data_count != net->count || net->data_batch < largest) {
        net->data_count = 0; /* until it has succeeded */
        nn__set_batch(net, largest);
        status = nn__lay_block(net, &net->data_block, nn__lay_data);
        if (status == NN_OK) net->data_count = net->count, net->data_batch = largest;
    }
    for (size_t i = 0; i < net->count; i++)
        if (net->tensors[i]->node.needed) net->tensors[i]->node.rows = batch;
    nn__set_batch(net, 0);
    return status;
}

/* A user may have switched an input's requires_grad: what depends on it follows. Returns how
   many tensors have a gradient, with their positions mixed in, so that another set gives another
   number. */
static size_t nn__spread_requires_grad(nn_net *net)
{
    size_t wanted = 0;
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *t = net->tensors[i];
        if (!nn__is_leaf(t)) {
            t->requires_grad = t->op == NN_OP_PENALTY;
            for (size_t j = 0; j < t->src_count; j++) t->requires_grad |= t->src[j]->requires_grad;
        }
        wanted = wanted * 31 + (t->requires_grad != 0);
    }
    return wanted;
}

static nn_status nn__plan_grads(nn_net *net)
{
    nn_status status = NN_OK;
    size_t wanted = nn__spread_requires_grad(net);
    if (net->grad_count != net->count || net->grad_batch < net->data_batch ||
        net->grad_wanted != wanted) {
        net->grad_count = 0;
        nn__set_batch(net, net->data_batch);
        status = nn__lay_block(net, &net->grad_block, nn__lay_grads);
        if (status == NN_OK)
            net->grad_count = net->count, net->grad_batch = net->data_batch,
            net->grad_wanted = wanted;
        nn__set_batch(net, 0);
    }
    return status;
}

/* Marks what t depends on and finds the batch that was fed: 0 when nothing is batched. */
static nn_status nn__mark_needed(nn_tensor *t, size_t *batch)
{
    nn_net *net = t->net;
    const nn_tensor *first = NULL;
    for (size_t i = 0; i < net->count; i++) net->tensors[i]->node.needed = 0;
    t->node.needed = 1;
    *batch = 0;
    for (size_t i = t->id + 1; i-- > 0;) {
        nn_tensor *s = net->tensors[i];
        if (!s->node.needed) continue;
        for (size_t j = 0; j < s->src_count; j++) s->src[j]->node.needed = 1;
        if (s->op != NN_OP_INPUT) continue;
        if (s->node.rows == 0)
            return nn__fail(NN_ERROR_EMPTY, "forward: input %llu has not been fed", (nn__ull)s->id);
        if (first && s->node.rows != *batch)
            return nn__fail(
                NN_ERROR_MISMATCH, "forward: input %llu was fed %llu rows, input %llu %llu",
                (nn__ull)first->id, (nn__ull)*batch, (nn__ull)s->id, (nn__ull)s->node.rows);
        first = s;
        *batch = s->node.rows;
    }
    return NN_OK;
}

/* A caller's tensor, and a network without an error. */
static nn_status nn__check_tensor(const char *call, const nn_tensor *t)
{
    if (!t) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the tensor is NULL", call);
    return nn_net_status(t->net);
}

/* Operations that sum in double and leave the sum in `value` themselves. */
static int nn__sets_value(const nn_tensor *t)
{
    return t->op == NN_OP_SUM ||
           (t->op >= NN_OP_SOFTMAX_CROSS_ENTROPY && t->op <= NN_OP_PENALTY);
}

static nn_status nn__run_forward(nn_tensor *t)
{
#define NN__OP_FORWARD(id, text, fn) nn__##fn##_forward,
    static nn__op_fn *const forward[] = {NN_OP_LIST(NN__OP_FORWARD)};
    return forward[t->op](t);
}

static nn_status nn__run_backward(nn_tensor *t)
{
#define NN__OP_BACKWARD(id, text, fn) nn__##fn##_backward,
    static nn__op_fn *const backward[] = {NN_OP_LIST(NN__OP_BACKWARD)};
    return backward[t->op](t);
}

NN_DEF nn_status nn_forward(nn_tensor *t)
{
    size_t batch;
    nn_status status = nn__check_tensor("forward", t);
    if (status != NN_OK) return status;
    nn_net *net = t->net;
    net->ran = NULL;
    status = nn__mark_needed(t, &batch);
    if (status == NN_OK) status = nn__plan_data(net, batch);
    for (size_t i = 0; status == NN_OK && i <= t->id; i++) {
        nn_tensor *s = net->tensors[i];
        if (!s->node.needed || nn__is_leaf(s)) continue;
        status = nn__run_forward(s);
        if (s->size == 1 && !nn__sets_value(s)) s->value = (double)s->data[0];
    }
    if (status == NN_OK) net->ran = t;
    return status;
}

static nn_status nn__backward(nn_tensor *loss, int add)
{
    nn_status status = nn__check_tensor("backward", loss);
    if (status != NN_OK) return status;
    nn_net *net = loss->net;
    if (loss->size != 1 || loss->batched)
        return nn__fail(NN_ERROR_BAD_SHAPE, "backward: %s tensor %llu is no scalar",
                        nn__op_string(loss->op), (nn__ull)loss->id);
    if (net->ran != loss)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "backward: call nn_forward on tensor %llu first",
                        (nn__ull)loss->id);
    status = nn__plan_grads(net);
    if (status != NN_OK) return status;
    for (size_t i = 0; i < net->count; i++)
        net->tensors[i]->node.grad_set = add && net->tensors[i]->op == NN_OP_PARAMETER;
    if (loss->grad && !nn__is_leaf(loss)) loss->grad[0] = 1, loss->node.grad_set = 1;
    for (size_t i = loss->id + 1; status == NN_OK && i-- > 0;) {
        nn_tensor *t = net->tensors[i];
        if (!nn__is_leaf(t) && t->grad && t->node.grad_set) status = nn__run_backward(t);
    }
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *t = net->tensors[i];
        if (t->grad && !t->node.grad_set) memset(t->grad, 0, t->size * sizeof *t->grad);
    }
    return status;
}

NN_DEF nn_status nn_backward(nn_tensor *loss) { return nn__backward(loss, 0); }
NN_DEF nn_status nn_backward_add(nn_tensor *loss) { return nn__backward(loss, 1); }

/* A buffer of a leaf that keeps its content only until it has to grow. */
static nn_status nn__reserve(nn_net *net, void **buffer, size_t *capacity, size_t rows,
                             size_t row_bytes)
{
    size_t bytes;
    if (rows <= *capacity && *buffer) return NN_OK;
    if (!nn__multiply(rows, row_bytes, &bytes) || bytes > SIZE_MAX - NN__ALIGN)
        return nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: %llu rows of %llu bytes",
                        (nn__ull)rows, (nn__ull)row_bytes);
    void *grown = nn__net_alloc(net, bytes ? bytes : 1);
    if (!grown) return NN_ERROR_OUT_OF_MEMORY;
    nn__net_release(net, *buffer);
    *buffer = grown;
    *capacity = rows;
    return NN_OK;
}

/* Room for `rows` samples in an input, which the caller then fills. */
static nn_status nn__begin_feed(nn_tensor *input, size_t rows)
{
    nn_status status = nn__check_tensor("feed", input);
    if (status != NN_OK) return status;
    if (input->op != NN_OP_INPUT)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "feed: tensor %llu is a %s, expected an input",
                        (nn__ull)input->id, nn__op_string(input->op));
    if (rows == 0) return nn__fail(NN_ERROR_BAD_ARGUMENT, "feed: 0 rows, expected at least 1");
    void *buffer = input->data;
    status = nn__reserve(input->net, &buffer, &input->node.capacity, rows,
                         nn__sample_size(input) * sizeof(nn_real));
    input->data = (nn_real *)buffer;
    if (status == NN_OK) {
        input->net->ran = NULL;
        input->node.rows = rows;
        input->shape[0] = rows;
        input->size = rows * nn__sample_size(input);
    }
    return status;
}

NN_DEF nn_status nn_feed(nn_tensor *input, const nn_real *data, size_t rows)
{
    if (!data) return nn__fail(NN_ERROR_BAD_ARGUMENT, "feed: the data pointer is NULL");
    nn_status status = nn__begin_feed(input, rows);
    if (status == NN_OK) memcpy(input->data, data, input->size * sizeof *data);
    return status;
}

/* --------------------------------------------------------------------------------------- >>ops
   Forward beside backward, the formula above. dX means d loss / dX. A backward pass overwrites a
   gradient that nobody has written yet and adds to one that somebody has: nn__gradient_of tells
   which, and nn__gradient_buffer / nn__gradient_done do it for those that can only overwrite.

   To add an operation: a line in NN_OP_LIST, a builder, a forward and a backward here, a row in
   tests/test_ops.c. */

/* x's gradient, NULL when none is wanted; *accumulate says whether to add to what is there. */
static nn_real *nn__gradient_of(nn_tensor *x, int *accumulate)
{
    if (!x->requires_grad) return NULL;
    *accumulate = x->node.grad_set;
    x->node.grad_set = 1;
    return x->grad;
}

/* Where to write dX from scratch; NULL when none is wanted. */
static nn_real *nn__gradient_buffer(nn_tensor *x)
{
    if (!x->requires_grad) return NULL;
    return x->node.grad_set ? x->net->scratch : x->grad;
}

/* After writing all of nn__gradient_buffer(x). */
static void nn__gradient_done(nn_tensor *x)
{
    if (x->node.grad_set) nn__k()->add(x->size, x->grad, x->net->scratch, x->grad);
    x->node.grad_set = 1;
}

/* dX += s dY, or dX = s dY */
static void nn__pass_gradient(nn_tensor *x, double s, const nn_real *dy)
{
    int accumulate;
    nn_real *dx = nn__gradient_of(x, &accumulate);
    if (!dx) return;
    if (accumulate) nn__k()->axpy(x->size, (nn_real)s, dy, dx);
    else nn__k()->scale(x->size, (nn_real)s, dy, dx);
}

static size_t nn__rows(const nn_tensor *t) { return t->rank ? t->shape[0] : 1; }
static size_t nn__last_dimension(const nn_tensor *t) { return t->rank ? t->shape[t->rank - 1] : 1; }

static nn_status nn__input_forward(nn_tensor *t) { return (void)t, NN_OK; }
static nn_status nn__input_backward(nn_tensor *t) { return (void)t, NN_OK; }
static nn_status nn__parameter_forward(nn_tensor *t) { return (void)t, NN_OK; }
static nn_status nn__parameter_backward(nn_tensor *t) { return (void)t, NN_OK; }

/* C = op(A) op(B):  dA = dC op(B)',  dB = op(A)' dC, each transposed when its operand is. */
static nn_status nn__matmul_forward(nn_tensor *t)
{
    const nn_tensor *a = t->src[0], *b = t->src[1];
    nn__gemm_args g;
    g.trans_a = t->node.flag_a, g.trans_b = t->node.flag_b;
    g.m = t->shape[0], g.n = t->shape[1], g.k = a->shape[g.trans_a ? 0 : 1];
    g.a = a->data, g.lda = a->shape[1], g.b = b->data, g.ldb = b->shape[1];
    g.c = t->data, g.ldc = g.n, g.bias = NULL, g.accumulate = 0;
    nn__gemm(t->net->threads, &g);
    return NN_OK;
}

/* C[m,n] (+)= op(A) op(B) of tensors' data or gradients. */
static void nn__product(nn_net *net, int trans_a, int trans_b, size_t m, size_t n, size_t k,
                        const nn_real *a, const nn_real *b, nn_real *c, int accumulate)
{
    nn__gemm_args g;
    g.trans_a = trans_a, g.trans_b = trans_b, g.m = m, g.n = n, g.k = k;
    g.a = a, g.lda = trans_a ? m : k, g.b = b, g.ldb = trans_b ? k : n;
    g.c = c, g.ldc = n, g.bias = NULL, g.accumulate = accumulate;
    nn__gemm(net->threads, &g);
}

static nn_status nn__matmul_backward(nn_tensor *t)
{
    nn_tensor *a = t->src[0], *b = t->src[1];
    int ta = t->node.flag_a, tb = t->node.flag_b, accumulate;
    size_t m = t->shape[0], n = t->shape[1], k = a->shape[ta ? 0 : 1];
    nn_real *da = nn__gradient_of(a, &accumulate);
    if (da && ta) nn__product(t->net, tb, 1, k, m, n, b->data, t->grad, da, accumulate);
    else if (da) nn__product(t->net, 0, !tb, m, k, n, t->grad, b->data, da, accumulate);
    nn_real *db = nn__gradient_of(b, &accumulate);
    if (db && tb) nn__product(t->net, 1, ta, n, k, m, t->grad, a->data, db, accumulate);
    else if (db) nn__product(t->net, !ta, 0, k, n, m, a->data, t->grad, db, accumulate);
    return NN_OK;
}

/* Y = f(Z), Z = X W + b:  dZ = dY f'(Z),  dW = X' dZ,  db = sum of dZ's rows,  dX = dZ W'. Z is
   kept only for those f whose slope needs it. */
static nn_status nn__dense_forward(nn_tensor *t)
{
    const nn_tensor *x = t->src[0], *w = t->src[1];
    nn__gemm_args g;
    g.trans_a = g.trans_b = 0;
    g.m = t->shape[0], g.n = t->shape[1], g.k = w->shape[0];
    g.a = x->data, g.lda = g.k, g.b = w->data, g.ldb = g.n;
    g.c = t->node.aux ? t->node.aux : t->data, g.ldc = g.n;
    g.bias = t->src_count > 2 ? t->src[2]->data : NULL, g.accumulate = 0;
    nn__gemm(t->net->threads, &g);
    if (t->node.activation != NN_ACTIVATION_IDENTITY)
        nn__activate(t->net->threads, t->node.activation, t->node.alpha, t->size, g.c, NULL, NULL,
                     t->data);
    return NN_OK;
}

static nn_status nn__dense_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0], *w = t->src[1];
    size_t rows = t->shape[0], units = t->shape[1], in = w->shape[0];
    const nn_real *dz = t->grad;
    int accumulate;
    if (t->node.activation != NN_ACTIVATION_IDENTITY) {
        nn__activate(t->net->threads, t->node.activation, t->node.alpha, t->size, t->node.aux,
                     t->data, t->grad, t->node.work);
        dz = t->node.work;
    }
    nn_real *dw = nn__gradient_of(w, &accumulate);
    if (dw) nn__product(t->net, 1, 0, in, units, rows, x->data, dz, dw, accumulate);
    nn_real *db = t->src_count > 2 ? nn__gradient_of(t->src[2], &accumulate) : NULL;
    if (db) nn__k()->sum_rows(rows, units, dz, db, accumulate);
    nn_real *dx = nn__gradient_of(x, &accumulate);
    if (dx) nn__product(t->net, 0, 1, rows, in, units, dz, w->data, dx, accumulate);
    return NN_OK;
}

/* Y = A op B, where B may be one row for all of A's. */
typedef void nn__binary_fn(size_t n, const nn_real *a, const nn_real *b, nn_real *y);

static void nn__binary(nn_tensor *t, nn__binary_fn *f)
{
    const nn_tensor *a = t->src[0], *b = t->src[1];
    for (size_t i = 0; i < t->size; i += b->size) f(b->size, a->data + i, b->data, t->data + i);
}

/* dB = the sum of s dY over the rows that B was repeated for. */
static void nn__pass_repeated(nn_tensor *b, const nn_tensor *t, double s, const nn_real *dy)
{
    int accumulate;
    if (b->size == t->size) {
        nn__pass_gradient(b, s, dy);
        return;
    }
    nn_real *db = nn__gradient_of(b, &accumulate);
    if (!db || b->size == 0) return;
    if (!accumulate) memset(db, 0, b->size * sizeof *db);
    for (size_t i = 0; i < t->size; i += b->size)
        nn__k()->axpy(b->size, (nn_real)s, dy + i, db);
}

static nn_status nn__add_forward(nn_tensor *t) { return nn__binary(t, nn__k()->add), NN_OK; }
static nn_status nn__sub_forward(nn_tensor *t) { return nn__binary(t, nn__k()->sub), NN_OK; }
static nn_status nn__mul_forward(nn_tensor *t) { return nn__binary(t, nn__k()->mul), NN_OK; }

static nn_status nn__add_backward(nn_tensor *t)
{
    nn__pass_gradient(t->src[0], 1, t->grad);
    nn__pass_repeated(t->src[1], t, 1, t->grad);
    return NN_OK;
}

static nn_status nn__sub_backward(nn_tensor *t)
{
    nn__pass_gradient(t->src[0], 1, t->grad);
    nn__pass_repeated(t->src[1], t, -1, t->grad);
    return NN_OK;
}

/* dA = dY B,  dB = dY A */
static nn_status nn__mul_backward(nn_tensor *t)
{
    nn_tensor *a = t->src[0], *b = t->src[1];
    nn_real *work = t->node.work;
    for (size_t i = 0; a->requires_grad && i < t->size; i += b->size)
        nn__k()->mul(b->size, t->grad + i, b->data, work + i);
    nn__pass_gradient(a, 1, work);
    if (b->requires_grad) nn__k()->mul(t->size, t->grad, a->data, work);
    nn__pass_repeated(b, t, 1, work);
    return NN_OK;
}

static nn_status nn__scale_forward(nn_tensor *t)
{
    nn__k()->scale(t->size, (nn_real)t->node.alpha, t->src[0]->data, t->data);
    return NN_OK;
}

static nn_status nn__scale_backward(nn_tensor *t)
{
    nn__pass_gradient(t->src[0], t->node.alpha, t->grad);
    return NN_OK;
}

static nn_status nn__activate_forward(nn_tensor *t)
{
    nn__activate(t->net->threads, t->node.activation, t->node.alpha, t->size, t->src[0]->data, NULL,
                 NULL, t->data);
    return NN_OK;
}

static nn_status nn__activate_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    nn_real *dx = nn__gradient_buffer(x);
    nn__activate(t->net->threads, t->node.activation, t->node.alpha, t->size, x->data, t->data,
                 t->grad, dx);
    nn__gradient_done(x);
    return NN_OK;
}

/* y = softmax(x):  dx = y (dy - sum y dy) */
static nn_status nn__softmax_forward(nn_tensor *t)
{
    size_t cols = nn__last_dimension(t);
    nn__k()->softmax(t->size / cols, cols, t->src[0]->data, t->data, 0, NULL);
    return NN_OK;
}

static nn_status nn__softmax_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    size_t cols = nn__last_dimension(t);
    nn_real *dx = nn__gradient_buffer(x);
    for (size_t i = 0; i < t->size; i += cols) {
        const nn_real *y = t->data + i, *dy = t->grad + i;
        nn_real sum = nn__k()->dot(cols, y, dy);
        for (size_t j = 0; j < cols; j++) dx[i + j] = y[j] * (dy[j] - sum);
    }
    nn__gradient_done(x);
    return NN_OK;
}

/* y = log softmax(x):  dx = dy - exp(y) sum dy */
static nn_status nn__log_softmax_forward(nn_tensor *t)
{
    size_t cols = nn__last_dimension(t);
    nn__k()->softmax(t->size / cols, cols, t->src[0]->data, t->data, 1, NULL);
    return NN_OK;
}

static nn_status nn__log_softmax_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    size_t cols = nn__last_dimension(t);
    nn_real *dx = nn__gradient_buffer(x);
    nn__k()->softmax(t->size / cols, cols, x->data, dx, 0, NULL);
    for (size_t i = 0; i < t->size; i += cols) {
        nn_real sum = nn__k()->sum(cols, t->grad + i);
        for (size_t j = i; j < i + cols; j++) dx[j] = t->grad[j] - dx[j] * sum;
    }
    nn__gradient_done(x);
    return NN_OK;
}

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

/* The product of the dimensions from `from` on: the length of one run along an axis. */
static size_t nn__inner_size(const nn_tensor *t, size_t from)
{
    size_t size = 1;
    for (int i = (int)from; i < t->rank; i++) size *= t->shape[i];
    return size;
}

static nn_status nn__concat_forward(nn_tensor *t)
{
    size_t run = nn__inner_size(t, t->node.axis), offset = 0;
    for (size_t s = 0; s < t->src_count; s++) {
        const nn_tensor *x = t->src[s];
        size_t part = nn__inner_size(x, t->node.axis);
        for (size_t i = 0, j = offset; part && i < x->size; i += part, j += run)
            memcpy(t->data + j, x->data + i, part * sizeof *x->data);
        offset += part;
    }
    return NN_OK;
}

static nn_status nn__concat_backward(nn_tensor *t)
{
    size_t run = nn__inner_size(t, t->node.axis), offset = 0;
    for (size_t s = 0; s < t->src_count; s++) {
        nn_tensor *x = t->src[s];
        size_t part = nn__inner_size(x, t->node.axis);
        nn_real *dx = nn__gradient_buffer(x);
        for (size_t i = 0, j = offset; dx && part && i < x->size; i += part, j += run)
            memcpy(dx + i, t->grad + j, part * sizeof *dx);
        if (dx) nn__gradient_done(x);
        offset += part;
    }
    return NN_OK;
}

static nn_status nn__slice_forward(nn_tensor *t)
{
    const nn_tensor *x = t->src[0];
    size_t axis = t->node.axis, run = nn__inner_size(x, axis), part = nn__inner_size(t, axis);
    size_t offset = t->node.begin * nn__inner_size(x, axis + 1);
    for (size_t i = offset, j = 0; j < t->size; i += run, j += part)
        memcpy(t->data + j, x->data + i, part * sizeof *x->data);
    return NN_OK;
}

static nn_status nn__slice_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    size_t axis = t->node.axis, run = nn__inner_size(x, axis), part = nn__inner_size(t, axis);
    size_t offset = t->node.begin * nn__inner_size(x, axis + 1);
    nn_real *dx = nn__gradient_buffer(x);
    memset(dx, 0, x->size * sizeof *dx);
    for (size_t i = offset, j = 0; j < t->size; i += run, j += part)
        memcpy(dx + i, t->grad + j, part * sizeof *dx);
    nn__gradient_done(x);
    return NN_OK;
}

/* y = s sum x (s = 1, or 1 / the number of elements):  dx = s dy */
static double nn__sum_factor(const nn_tensor *t)
{
    return t->node.flag_a && t->src[0]->size ? 1 / (double)t->src[0]->size : 1;
}

static nn_status nn__sum_forward(nn_tensor *t)
{
    const nn_tensor *x = t->src[0];
    double sum = 0;
    for (size_t i = 0; i < x->size; i++) sum += (double)x->data[i];
    t->value = sum * nn__sum_factor(t);
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

static nn_status nn__sum_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    nn_real *dx = nn__gradient_buffer(x);
    nn_real slope = (nn_real)((double)t->grad[0] * nn__sum_factor(t));
    for (size_t i = 0; i < x->size; i++) dx[i] = slope;
    nn__gradient_done(x);
    return NN_OK;
}

/* aux holds the mask: 0, or 1 / (1 - p). One draw per element, in order. */
static nn_status nn__dropout_forward(nn_tensor *t)
{
    const nn_tensor *x = t->src[0];
    double p = t->node.alpha;
    nn_real keep = (nn_real)(1 / (1 - p)), *mask = t->node.aux;
    uint64_t limit = (uint64_t)(p * 9007199254740992.0); /* p in units of 2^-53 */
    if (!t->net->training || p == 0) {
        for (size_t i = 0; i < t->size; i++) mask[i] = 1;
    } else {
        nn_rng *rng = &t->net->rng;
        for (size_t i = 0; i < t->size; i++)
            mask[i] = (nn_real)(nn_rng_next(rng) >> 11 >= limit) * keep;
    }
    nn__k()->mul(t->size, x->data, mask, t->data);
    return NN_OK;
}

static nn_status nn__dropout_backward(nn_tensor *t)
{
    nn_tensor *x = t->src[0];
    nn__k()->mul(t->size, t->grad, t->node.aux, nn__gradient_buffer(x));
    nn__gradient_done(x);
    return NN_OK;
}

static nn_status nn__custom_forward(nn_tensor *t) { return t->node.custom->forward(t); }

static nn_status nn__custom_backward(nn_tensor *t)
{
    for (size_t i = 0; i < t->src_count; i++) {
        nn_tensor *x = t->src[i];
        if (x->grad && !x->node.grad_set) memset(x->grad, 0, x->size * sizeof *x->grad);
        if (x->grad) x->node.grad_set = 1;
    }
    return t->node.custom->backward(t);
}

/* ------------------------------------------------------------------------------------ >>layers
   The builders: they check shapes, make parameters and record the operation. */

static nn_tensor *nn__bad_shapes(nn_op op, const nn_tensor *a, const nn_tensor *b, const char *rule)
{
    char left[160], right[160];
    return nn__refuse(a->net, nn__fail(NN_ERROR_BAD_SHAPE, "%s: shapes %s and %s; expected %s",
                                       nn__op_string(op), nn__tensor_shape(a, left),
                                       nn__tensor_shape(b, right), rule));
}

static nn_tensor *nn__bad_argument(nn_net *net, nn_op op, const char *member, double found,
                                   const char *expected)
{
    return nn__refuse(net, nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s is %g, expected %s",
                                    nn__op_string(op), member, found, expected));
}

NN_DEF nn_tensor *nn_input_shape(nn_net *net, int rank, const size_t *shape)
{
    size_t full[NN_MAX_RANK] = {0};
    if (!net) {
        nn__fail(NN_ERROR_BAD_ARGUMENT, "input: the network is NULL");
        return NULL;
    }
    if (rank < 0 || rank >= NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, NN_OP_INPUT, "rank", rank, "0 to 7 and a shape");
    for (int i = 0; i < rank; i++) full[i + 1] = shape[i];
    return nn__node_new(net, NN_OP_INPUT, 0, NULL, 1, rank + 1, full);
}

NN_DEF nn_tensor *nn_input(nn_net *net, size_t features)
{
    return nn_input_shape(net, 1, &features);
}

static int nn__init_is_valid(nn_init init)
{
    return (unsigned)init.kind < NN_INIT_COUNT && nn__is_finite(init.a) && nn__is_finite(init.b);
}

static double nn__draw(nn_rng *rng, nn_init init, double fan_in, double fan_out)
{
    double r = 0;
    switch (init.kind) {
    case NN_INIT_CONSTANT: return init.a;
    case NN_INIT_UNIFORM: return init.a + (init.b - init.a) * nn_rng_uniform(rng);
    case NN_INIT_NORMAL: return init.a + init.b * nn_rng_normal(rng);
    case NN_INIT_LECUN_NORMAL: return nn_rng_normal(rng) / sqrt(fan_in);
    case NN_INIT_GLOROT_NORMAL: return nn_rng_normal(rng) * sqrt(2 / (fan_in + fan_out));
    case NN_INIT_HE_NORMAL: return nn_rng_normal(rng) * sqrt(2 / fan_in);
    case NN_INIT_DEFAULT:
    case NN_INIT_GLOROT_UNIFORM: r = sqrt(6 / (fan_in + fan_out)); break;
    case NN_INIT_HE_UNIFORM: r = sqrt(6 / fan_in); break;
    case NN_INIT_ZERO:
    case NN_INIT_COUNT: return 0;
    }
    return (2 * nn_rng_uniform(rng) - 1) * r;
}

NN_DEF nn_status nn_initialize(nn_tensor *parameter, nn_init init)
{
    nn_status status = nn__check_tensor("initialize", parameter);
    if (status != NN_OK) return status;
    if (parameter->op != NN_OP_PARAMETER || !nn__init_is_valid(init))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "initialize: %s",
                        parameter->op == NN_OP_PARAMETER ? "the nn_init is not valid"
                                                         : "the tensor is no parameter");
    size_t in = nn__rows(parameter), out = nn__last_dimension(parameter);
    for (size_t i = 0; i < parameter->size; i++)
        parameter->data[i] = (nn_real)nn__draw(&parameter->net->rng, init, (double)in, (double)out);
    return NN_OK;
}

NN_DEF nn_tensor *nn_parameter(nn_net *net, int rank, const size_t *shape, nn_init init,
                               const char *name)
{
    if (!net) {
        nn__fail(NN_ERROR_BAD_ARGUMENT, "parameter: the network is NULL");
        return NULL;
    }
    if (rank < 0 || rank > NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, NN_OP_PARAMETER, "rank", rank, "0 to 8 and a shape");
    if (!nn__init_is_valid(init))
        return nn__bad_argument(net, NN_OP_PARAMETER, "init.kind", (double)init.kind,
                                "a kind of nn_init_kind with finite a and b");
    nn_tensor *t = nn__node_new(net, NN_OP_PARAMETER, 0, NULL, 0, rank, shape);
    if (!t) return NULL;
    t->requires_grad = 1;
    t->data = (nn_real *)nn__arena(net, t->size, sizeof(nn_real));
    t->grad = (nn_real *)nn__arena(net, t->size, sizeof(nn_real));
    if (!t->data || !t->grad || (name && !nn_name(t, name)))
        return nn__refuse(net, NN_ERROR_OUT_OF_MEMORY);
    nn_initialize(t, init);
    return t;
}

static nn_tensor *nn__layer_parameter(nn_net *net, const char *layer, size_t id, const char *kind,
                                      int rank, const size_t *shape, nn_init init)
{
    size_t size = (layer ? strlen(layer) : 32) + strlen(kind) + 2;
    char *name = (char *)nn__arena(net, size, 1);
    if (!name) return nn__refuse(net, NN_ERROR_OUT_OF_MEMORY);
    if (layer) snprintf(name, size, "%s.%s", layer, kind);
    else snprintf(name, size, "dense%llu.%s", (nn__ull)id, kind);
    nn_tensor *t = nn_parameter(net, rank, shape, init, NULL);
    if (t) t->name = name;
    return t;
}

/* How many dense tensors the network has: the number in the next one's default name. */
static size_t nn__count_op(const nn_net *net, nn_op op)
{
    size_t count = 0;
    for (size_t i = 0; i < net->count; i++) count += net->tensors[i]->op == op;
    return count;
}

NN_DEF nn_tensor *nn_dense_with(nn_tensor *x, const nn_dense_desc *desc)
{
    nn_tensor *src[3] = {x, NULL, NULL};
    nn_net *net = nn__common_net(NN_OP_DENSE, 1, src);
    if (!net) return NULL;
    if (!desc || desc->units == 0)
        return nn__bad_argument(net, NN_OP_DENSE, "units", 0, "at least 1");
    if ((unsigned)desc->activation >= NN_ACTIVATION_COUNT)
        return nn__bad_argument(net, NN_OP_DENSE, "activation", (double)desc->activation,
                                "one of NN_ACTIVATION_LIST");
    if (!(desc->alpha >= 0) || !nn__is_finite(desc->alpha))
        return nn__bad_argument(net, NN_OP_DENSE, "alpha", desc->alpha, "0 or a positive number");
    if (x->rank == 0 || (!x->batched && x->rank != 2))
        return nn__bad_shapes(NN_OP_DENSE, x, x, "a batch or a matrix as input");
    if (x->rank > 2) {
        src[0] = x = nn_flatten(x);
        if (!x) return NULL;
    }
    size_t index = nn__count_op(net, NN_OP_DENSE), out[2], weight[2], bias = desc->units;
    weight[0] = x->batched ? nn__sample_size(x) : x->shape[1], weight[1] = desc->units;
    out[0] = x->shape[0], out[1] = desc->units;
    nn_init bias_init = desc->bias;
    if (bias_init.kind == NN_INIT_DEFAULT) bias_init.kind = NN_INIT_ZERO;
    src[1] = nn__layer_parameter(net, desc->name, index, "weight", 2, weight, desc->weight);
    if (src[1] && !desc->no_bias)
        src[2] = nn__layer_parameter(net, desc->name, index, "bias", 1, &bias, bias_init);
    if (!src[1] || (!desc->no_bias && !src[2])) return NULL;
    if (src[2]) src[2]->no_decay = !desc->decay_bias;
    nn_tensor *t = nn__node_new(net, NN_OP_DENSE, desc->no_bias ? 2 : 3, src, x->batched, 2, out);
    if (!t) return NULL;
    t->node.activation = desc->activation;
    t->node.alpha = desc->alpha;
    return desc->name ? nn_name(t, desc->name) : t;
}

NN_DEF nn_tensor *nn_dense(nn_tensor *x, size_t units)
{
    nn_dense_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units = units;
    return nn_dense_with(x, &desc);
}

NN_DEF nn_tensor *nn_weight(const nn_tensor *dense)
{
    return dense && dense->op == NN_OP_DENSE ? dense->src[1] : NULL;
}

NN_DEF nn_tensor *nn_bias(const nn_tensor *dense)
{
    return dense && dense->op == NN_OP_DENSE && dense->src_count > 2 ? dense->src[2] : NULL;
}

NN_DEF nn_tensor *nn_matmul_with(nn_tensor *a, int trans_a, nn_tensor *b, int trans_b)
{
    nn_tensor *src[2] = {a, b};
    nn_net *net = nn__common_net(NN_OP_MATMUL, 2, src);
    if (!net) return NULL;
    if (a->rank != 2 || b->rank != 2 || b->batched || (a->batched && trans_a))
        return nn__bad_shapes(NN_OP_MATMUL, a, b,
                              "two matrices, the second one and transposed ones without a batch");
    if (a->shape[trans_a ? 0 : 1] != b->shape[trans_b ? 1 : 0])
        return nn__bad_shapes(NN_OP_MATMUL, a, b, "equal inner dimensions");
    size_t shape[2];
    shape[0] = a->shape[trans_a ? 1 : 0], shape[1] = b->shape[trans_b ? 0 : 1];
    nn_tensor *t = nn__node_new(net, NN_OP_MATMUL, 2, src, a->batched, 2, shape);
    if (t) t->node.flag_a = trans_a != 0, t->node.flag_b = trans_b != 0;
    return t;
}

NN_DEF nn_tensor *nn_matmul(nn_tensor *a, nn_tensor *b) { return nn_matmul_with(a, 0, b, 0); }

/* b has a's shape, or that of a's last dimensions. */
static int nn__can_repeat(const nn_tensor *a, const nn_tensor *b)
{
    if (b->rank > a->rank || (b->batched && (!a->batched || b->rank != a->rank))) return 0;
    if (!b->batched && a->batched && b->rank == a->rank) return 0;
    for (int i = b->batched ? 1 : 0; i < b->rank; i++)
        if (b->shape[i] != a->shape[a->rank - b->rank + i]) return 0;
    return 1;
}

static nn_tensor *nn__binary_new(nn_op op, nn_tensor *a, nn_tensor *b)
{
    nn_tensor *src[2] = {a, b};
    nn_net *net = nn__common_net(op, 2, src);
    if (!net) return NULL;
    if (!nn__can_repeat(a, b))
        return nn__bad_shapes(op, a, b, "the same, or the second as the first's last dimensions");
    return nn__node_new(net, op, 2, src, a->batched, a->rank, a->shape);
}

NN_DEF nn_tensor *nn_add(nn_tensor *a, nn_tensor *b) { return nn__binary_new(NN_OP_ADD, a, b); }
NN_DEF nn_tensor *nn_sub(nn_tensor *a, nn_tensor *b) { return nn__binary_new(NN_OP_SUB, a, b); }
NN_DEF nn_tensor *nn_mul(nn_tensor *a, nn_tensor *b) { return nn__binary_new(NN_OP_MUL, a, b); }

NN_DEF nn_tensor *nn_scale(nn_tensor *x, double factor)
{
    if (x && !nn__is_finite(factor))
        return nn__bad_argument(x->net, NN_OP_SCALE, "factor", factor, "a finite number");
    nn_tensor *t = nn__node_like(x, NN_OP_SCALE);
    if (t) t->node.alpha = factor;
    return t;
}

NN_DEF nn_tensor *nn_activate(nn_tensor *x, nn_activation kind, double alpha)
{
    if (x && (unsigned)kind >= NN_ACTIVATION_COUNT)
        return nn__bad_argument(x->net, NN_OP_ACTIVATE, "kind", (double)kind,
                                "one of NN_ACTIVATION_LIST");
    if (x && (!(alpha >= 0) || !nn__is_finite(alpha)))
        return nn__bad_argument(x->net, NN_OP_ACTIVATE, "alpha", alpha, "0 or a positive number");
    nn_tensor *t = nn__node_like(x, NN_OP_ACTIVATE);
    if (t) t->node.activation = kind, t->node.alpha = alpha;
    return t;
}

NN_DEF nn_tensor *nn_sigmoid(nn_tensor *x) { return nn_activate(x, NN_ACTIVATION_SIGMOID, 0); }
NN_DEF nn_tensor *nn_tanh(nn_tensor *x) { return nn_activate(x, NN_ACTIVATION_TANH, 0); }
NN_DEF nn_tensor *nn_scaled_tanh(nn_tensor *x)
{
    return nn_activate(x, NN_ACTIVATION_SCALED_TANH, 0);
}
NN_DEF nn_tensor *nn_relu(nn_tensor *x) { return nn_activate(x, NN_ACTIVATION_RELU, 0); }
NN_DEF nn_tensor *nn_leaky_relu(nn_tensor *x, double slope)
{
    return nn_activate(x, NN_ACTIVATION_LEAKY_RELU, slope);
}
NN_DEF nn_tensor *nn_elu(nn_tensor *x, double alpha)
{
    return nn_activate(x, NN_ACTIVATION_ELU, alpha);
}
NN_DEF nn_tensor *nn_gelu(nn_tensor *x) { return nn_activate(x, NN_ACTIVATION_GELU, 0); }
NN_DEF nn_tensor *nn_silu(nn_tensor *x) { return nn_activate(x, NN_ACTIVATION_SILU, 0); }
NN_DEF nn_tensor *nn_softplus(nn_tensor *x) { return nn_activate(x, NN_ACTIVATION_SOFTPLUS, 0); }

static nn_tensor *nn__softmax_new(nn_tensor *x, nn_op op)
{
    if (x && (x->rank == 0 || (x->batched && x->rank == 1)))
        return nn__bad_shapes(op, x, x, "at least one dimension beside the batch");
    return nn__node_like(x, op);
}

NN_DEF nn_tensor *nn_softmax(nn_tensor *x) { return nn__softmax_new(x, NN_OP_SOFTMAX); }
NN_DEF nn_tensor *nn_log_softmax(nn_tensor *x) { return nn__softmax_new(x, NN_OP_LOG_SOFTMAX); }

NN_DEF nn_tensor *nn_reshape(nn_tensor *x, int rank, const size_t *shape)
{
    nn_net *net = nn__common_net(NN_OP_RESHAPE, 1, &x);
    size_t full[NN_MAX_RANK] = {0}, size;
    int first = net && x->batched ? 1 : 0;
    if (!net) return NULL;
    if (rank < 0 || rank + first > NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, NN_OP_RESHAPE, "rank", rank, "0 to 8, batch included");
    for (int i = 0; i < rank; i++) full[first + i] = shape[i];
    if (!nn__shape_size(rank, shape, &size) || size != nn__sample_size(x)) {
        char from[160], to[160];
        return nn__refuse(net, nn__fail(NN_ERROR_BAD_SHAPE,
                                        "reshape: shapes %s and %s differ in size",
                                        nn__tensor_shape(x, from),
                                        nn__shape_text(rank + first, full, first, to)));
    }
    return nn__node_new(net, NN_OP_RESHAPE, 1, &x, x->batched, rank + first, full);
}

NN_DEF nn_tensor *nn_flatten(nn_tensor *x)
{
    size_t size = x ? nn__sample_size(x) : 0;
    return nn_reshape(x, 1, &size);
}

/* Axis and shape of a join: all other dimensions equal. */
NN_DEF nn_tensor *nn_concat(size_t count, nn_tensor *const *x, size_t axis)
{
    nn_net *net = nn__common_net(NN_OP_CONCAT, count, x);
    size_t shape[NN_MAX_RANK] = {0};
    if (!net) return NULL;
    if ((int)axis >= x[0]->rank || axis > NN_MAX_RANK || (axis == 0 && x[0]->batched))
        return nn__bad_argument(net, NN_OP_CONCAT, "axis", (double)axis,
                                "a dimension of the first source other than the batch");
    for (int d = 0; d < x[0]->rank; d++) shape[d] = x[0]->shape[d];
    for (size_t s = 1; s < count; s++) {
        int same = x[s]->rank == x[0]->rank && x[s]->batched == x[0]->batched;
        for (int d = x[0]->batched ? 1 : 0; same && d < x[0]->rank; d++)
            same = d == (int)axis || x[s]->shape[d] == shape[d];
        if (!same)
            return nn__bad_shapes(NN_OP_CONCAT, x[0], x[s], "equal dimensions but for the axis");
        shape[axis] += x[s]->shape[axis];
    }
    nn_tensor *t =
        nn__node_new(net, NN_OP_CONCAT, count, x, x[0]->batched, x[0]->rank, shape);
    if (t) t->node.axis = axis;
    return t;
}

NN_DEF nn_tensor *nn_slice(nn_tensor *x, size_t axis, size_t begin, size_t end)
{
    nn_net *net = nn__common_net(NN_OP_SLICE, 1, &x);
    size_t shape[NN_MAX_RANK] = {0};
    char text[160];
    if (!net) return NULL;
    if (axis >= (size_t)x->rank || (axis == 0 && x->batched))
        return nn__bad_argument(net, NN_OP_SLICE, "axis", (double)axis,
                                "a dimension of the source other than the batch");
    if (begin >= end || end > x->shape[axis])
        return nn__refuse(net, nn__fail(NN_ERROR_BAD_SHAPE,
                                        "slice: %llu to %llu along axis %llu of %s", (nn__ull)begin,
                                        (nn__ull)end, (nn__ull)axis, nn__tensor_shape(x, text)));
    for (int i = 0; i < x->rank; i++) shape[i] = x->shape[i];
    shape[axis] = end - begin;
    nn_tensor *t = nn__node_new(net, NN_OP_SLICE, 1, &x, x->batched, x->rank, shape);
    if (t) t->node.axis = axis, t->node.begin = begin;
    return t;
}

static nn_tensor *nn__sum_new(nn_tensor *x, int mean)
{
    nn_net *net = nn__common_net(NN_OP_SUM, 1, &x);
    nn_tensor *t = net ? nn__node_new(net, NN_OP_SUM, 1, &x, 0, 0, NULL) : NULL;
    if (t) t->node.flag_a = mean;
    return t;
}

NN_DEF nn_tensor *nn_sum(nn_tensor *x) { return nn__sum_new(x, 0); }
NN_DEF nn_tensor *nn_mean(nn_tensor *x) { return nn__sum_new(x, 1); }

NN_DEF nn_tensor *nn_dropout(nn_tensor *x, double p)
{
    if (x && !(p >= 0 && p < 1))
        return nn__bad_argument(x->net, NN_OP_DROPOUT, "p", p, "0 <= p < 1");
    nn_tensor *t = nn__node_like(x, NN_OP_DROPOUT);
    if (t) t->node.alpha = p;
    return t;
}

NN_DEF nn_tensor *nn_custom(size_t count, nn_tensor *const *src, int per_sample, int rank,
                            const size_t *shape, const nn_custom_op *op)
{
    nn_net *net = nn__common_net(NN_OP_CUSTOM, count, src);
    size_t full[NN_MAX_RANK] = {0};
    int batched = 0;
    if (!net) return NULL;
    if (!op || !op->forward || !op->backward)
        return nn__refuse(net,
                          nn__fail(NN_ERROR_BAD_ARGUMENT, "custom: forward or backward is NULL"));
    for (size_t i = 0; i < count; i++) batched |= src[i]->batched;
    batched = batched && per_sample;
    if (rank < 0 || rank + batched > NN_MAX_RANK || (rank && !shape))
        return nn__bad_argument(net, NN_OP_CUSTOM, "rank", rank, "0 to 8, batch included");
    for (int i = 0; i < rank; i++) full[batched + i] = shape[i];
    nn_custom_op *copy = (nn_custom_op *)nn__arena(net, 1, sizeof *copy);
    if (!copy) return nn__refuse(net, NN_ERROR_OUT_OF_MEMORY);
    *copy = *op;
    nn_tensor *t = nn__node_new(net, NN_OP_CUSTOM, count, src, batched, rank + batched, full);
    if (!t) return NULL;
    t->node.custom = copy;
    return op->name ? nn_name(t, op->name) : t;
}

NN_DEF void *nn_custom_user(const nn_tensor *t)
{
    return t && t->node.custom ? t->node.custom->user : NULL;
}

/* -------------------------------------------------------------------------------------- >>loss
   Values are summed in double. node: flag_a the reduction, alpha smoothing / delta / margin. */

/* What a loss divides its sum by. */
static double nn__loss_count(const nn_tensor *t)
{
    const nn_tensor *x = t->src[0];
    int by_row = t->op == NN_OP_SOFTMAX_CROSS_ENTROPY || t->op == NN_OP_HINGE;
    if (t->node.flag_a == NN_REDUCE_SUM) return 1;
    return (double)nn__max_size(by_row ? nn__rows(x) : x->size, 1);
}

static nn_status nn__set_value(nn_tensor *t, double sum)
{
    t->value = sum / nn__loss_count(t);
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

/* d loss / d (the sum before its division) */
static nn_real nn__loss_slope(const nn_tensor *t)
{
    return (nn_real)((double)t->grad[0] / nn__loss_count(t));
}

static int nn__takes_labels(const nn_tensor *t)
{
    if (t->op == NN_OP_BINARY_CROSS_ENTROPY) return nn__sample_size(t->src[0]) == 1;
    return t->op == NN_OP_SOFTMAX_CROSS_ENTROPY || t->op == NN_OP_HINGE;
}

static int nn__is_loss(const nn_tensor *t)
{
    return t->op >= NN_OP_SOFTMAX_CROSS_ENTROPY && t->op <= NN_OP_HINGE;
}

/* What was fed fits the batch: labels, or targets for the losses that take them. */
static nn_status nn__check_fed(const nn_tensor *t)
{
    size_t rows = nn__rows(t->src[0]), fed = nn__max_size(t->node.label_rows, t->node.target_rows);
    if (fed == 0)
        return nn__fail(NN_ERROR_EMPTY, "%s: no %s fed", nn__op_string(t->op),
                        nn__takes_labels(t) ? "labels have been" : "targets have been");
    if (fed != rows)
        return nn__fail(NN_ERROR_MISMATCH, "%s: %llu %s for a batch of %llu", nn__op_string(t->op),
                        (nn__ull)fed, t->node.label_rows ? "labels" : "rows of targets",
                        (nn__ull)rows);
    return NN_OK;
}

/* The target of element i when targets were fed, or labels 0 and 1 to a single column. */
static double nn__target(const nn_tensor *t, size_t i)
{
    return t->node.target_rows ? (double)t->node.targets[i] : (double)t->node.labels[i];
}

/* Class j's target in row r, smoothed: (1 - s) t + s / classes. */
static double nn__class_target(const nn_tensor *t, size_t r, size_t j, size_t classes)
{
    double target = t->node.target_rows ? (double)t->node.targets[r * classes + j]
                                        : (double)((size_t)t->node.labels[r] == j);
    return (1 - t->node.alpha) * target + t->node.alpha / (double)classes;
}

/* -sum_j t_j log p_j, where -log p_j = (max - z_j) + log sum exp(z - max): no term overflows. aux
   holds p and then, for each row, max and the log of the sum. dz = p sum_j t_j - t */
static nn_status nn__softmax_cross_entropy_forward(nn_tensor *t)
{
    const nn_tensor *z = t->src[0];
    size_t rows = nn__rows(z), classes = z->size / nn__max_size(rows, 1);
    nn_real *p = t->node.aux, *stats = p + z->size;
    nn_status status = nn__check_fed(t);
    double sum = 0;
    if (status != NN_OK) return status;
    nn__k()->softmax(rows, classes, z->data, p, 0, stats);
    for (size_t r = 0; r < rows; r++) {
        const nn_real *row = z->data + r * classes;
        double max = (double)stats[2 * r], log_sum = (double)stats[2 * r + 1];
        if (t->node.label_rows && t->node.alpha == 0) {
            sum += (max - (double)row[t->node.labels[r]]) + log_sum;
            continue;
        }
        for (size_t j = 0; j < classes; j++) {
            double target = nn__class_target(t, r, j, classes);
            if (target != 0) sum += target * ((max - (double)row[j]) + log_sum);
        }
    }
    return nn__set_value(t, sum);
}

static nn_status nn__softmax_cross_entropy_backward(nn_tensor *t)
{
    nn_tensor *z = t->src[0];
    size_t rows = nn__rows(z), classes = z->size / nn__max_size(rows, 1);
    nn_real slope = nn__loss_slope(t), *dz = nn__gradient_buffer(z);
    nn__k()->scale(z->size, slope, t->node.aux, dz);
    for (size_t r = 0; r < rows; r++) {
        nn_real *row = dz + r * classes;
        if (t->node.label_rows && t->node.alpha == 0) {
            row[t->node.labels[r]] -= slope;
            continue;
        }
        double total = 0;
        for (size_t j = 0; j < classes; j++) total += nn__class_target(t, r, j, classes);
        for (size_t j = 0; j < classes; j++) {
            double target = nn__class_target(t, r, j, classes);
            row[j] = (nn_real)((double)row[j] * total - (double)slope * target);
        }
    }
    nn__gradient_done(z);
    return NN_OK;
}

/* max(z, 0) - z t + log(1 + exp(-|z|));  dz = sigmoid(z) - t */
static nn_status nn__binary_cross_entropy_forward(nn_tensor *t)
{
    const nn_tensor *z = t->src[0];
    nn_real *aux = t->node.aux;
    nn_status status = nn__check_fed(t);
    double sum = 0;
    if (status != NN_OK) return status;
    for (size_t i = 0; i < z->size; i++) aux[i] = z->data[i] < 0 ? z->data[i] : -z->data[i];
    nn_vec_activate(NN_ACTIVATION_SOFTPLUS, 0, z->size, aux, aux);
    for (size_t i = 0; i < z->size; i++) {
        double v = (double)z->data[i];
        sum += ((v > 0 ? v : 0) - v * nn__target(t, i)) + (double)aux[i];
    }
    return nn__set_value(t, sum);
}

static nn_status nn__binary_cross_entropy_backward(nn_tensor *t)
{
    nn_tensor *z = t->src[0];
    nn_real slope = nn__loss_slope(t), *dz = nn__gradient_buffer(z);
    nn_vec_activate(NN_ACTIVATION_SIGMOID, 0, z->size, z->data, dz);
    for (size_t i = 0; i < z->size; i++)
        dz[i] = (nn_real)((double)slope * ((double)dz[i] - nn__target(t, i)));
    nn__gradient_done(z);
    return NN_OK;
}

/* The losses that are a sum of f(y - t): value and slope of f at d. */
static double nn__residual_value(const nn_tensor *t, double d)
{
    double delta = t->node.alpha, a = fabs(d);
    if (t->op == NN_OP_MSE) return d * d;
    if (t->op == NN_OP_L1) return a;
    return a <= delta ? d * d / 2 : delta * (a - delta / 2);
}

static double nn__residual_slope(const nn_tensor *t, double d)
{
    double delta = t->op == NN_OP_L1 ? 1 : t->node.alpha;
    if (t->op == NN_OP_MSE) return 2 * d;
    if (t->op == NN_OP_HUBER && fabs(d) <= delta) return d;
    return d > 0 ? delta : d < 0 ? -delta : d;
}

static nn_status nn__residual_forward(nn_tensor *t)
{
    const nn_tensor *y = t->src[0];
    nn_status status = nn__check_fed(t);
    double sum = 0;
    if (status != NN_OK) return status;
    for (size_t i = 0; i < y->size; i++)
        sum += nn__residual_value(t, (double)y->data[i] - nn__target(t, i));
    return nn__set_value(t, sum);
}

static nn_status nn__residual_backward(nn_tensor *t)
{
    nn_tensor *y = t->src[0];
    double slope = (double)nn__loss_slope(t);
    nn_real *dy = nn__gradient_buffer(y);
    for (size_t i = 0; i < y->size; i++)
        dy[i] = (nn_real)(slope * nn__residual_slope(t, (double)y->data[i] - nn__target(t, i)));
    nn__gradient_done(y);
    return NN_OK;
}

static nn_status nn__mse_forward(nn_tensor *t) { return nn__residual_forward(t); }
static nn_status nn__mse_backward(nn_tensor *t) { return nn__residual_backward(t); }
static nn_status nn__huber_forward(nn_tensor *t) { return nn__residual_forward(t); }
static nn_status nn__huber_backward(nn_tensor *t) { return nn__residual_backward(t); }
static nn_status nn__l1_forward(nn_tensor *t) { return nn__residual_forward(t); }
static nn_status nn__l1_backward(nn_tensor *t) { return nn__residual_backward(t); }

/* sum_{j != l} max(0, z_j - z_l + margin):  dz_j = 1 where that is positive, dz_l = -their
   number */
static nn_status nn__hinge_forward(nn_tensor *t)
{
    const nn_tensor *z = t->src[0];
    size_t rows = nn__rows(z), classes = z->size / nn__max_size(rows, 1);
    nn_status status = nn__check_fed(t);
    double sum = 0;
    if (status != NN_OK) return status;
    for (size_t r = 0; r < rows; r++) {
        const nn_real *row = z->data + r * classes;
        size_t label = (size_t)t->node.labels[r];
        for (size_t j = 0; j < classes; j++) {
            double over = (double)row[j] - (double)row[label] + t->node.alpha;
            if (j != label && !(over <= 0)) sum += over;
        }
    }
    return nn__set_value(t, sum);
}

static nn_status nn__hinge_backward(nn_tensor *t)
{
    nn_tensor *z = t->src[0];
    size_t rows = nn__rows(z), classes = z->size / nn__max_size(rows, 1);
    nn_real slope = nn__loss_slope(t), *dz = nn__gradient_buffer(z);
    for (size_t r = 0; r < rows; r++) {
        const nn_real *row = z->data + r * classes;
        size_t label = (size_t)t->node.labels[r], over = 0;
        for (size_t j = 0; j < classes; j++) {
            int is_over = j != label && (double)row[j] - (double)row[label] + t->node.alpha > 0;
            dz[r * classes + j] = is_over ? slope : 0;
            over += (size_t)is_over;
        }
        dz[r * classes + label] = -slope * (nn_real)over;
    }
    nn__gradient_done(z);
    return NN_OK;
}

/* loss + l1 sum |w| + l2 sum w^2:  dw = l1 sign(w) + 2 l2 w */
static int nn__is_penalised(const nn_tensor *t, const nn_tensor *p)
{
    return p->op == NN_OP_PARAMETER && !p->no_decay && p->id < t->id;
}

static nn_status nn__penalty_forward(nn_tensor *t)
{
    double l1 = t->node.alpha, l2 = t->node.beta, magnitudes = 0, squares = 0;
    for (size_t i = 0; i < t->id; i++) {
        const nn_tensor *p = t->net->tensors[i];
        if (!nn__is_penalised(t, p)) continue;
        if (l1 > 0) magnitudes += nn__sum_of_magnitudes(p->size, p->data);
        if (l2 > 0) squares += nn__sum_of_squares(p->size, p->data);
    }
    t->value = t->src[0]->value + (l1 * magnitudes + l2 * squares);
    t->data[0] = (nn_real)t->value;
    return NN_OK;
}

static nn_status nn__penalty_backward(nn_tensor *t)
{
    double slope = (double)t->grad[0], l1 = t->node.alpha, l2 = t->node.beta;
    nn__pass_gradient(t->src[0], 1, t->grad);
    for (size_t i = 0; i < t->id; i++) {
        nn_tensor *p = t->net->tensors[i];
        if (!nn__is_penalised(t, p)) continue;
        nn__pass_gradient(p, 2 * l2 * slope, p->data);
        nn_real step = (nn_real)(l1 * slope);
        for (size_t j = 0; l1 > 0 && j < p->size; j++)
            p->grad[j] += p->data[j] > 0 ? step : p->data[j] < 0 ? -step : 0;
    }
    return NN_OK;
}

static size_t nn__aux_size(const nn_tensor *t)
{
    switch ((int)t->op) {
    case NN_OP_DENSE: return nn__slope_needs_input(t->node.activation) ? t->size : 0;
    case NN_OP_DROPOUT: return t->size;
    case NN_OP_SOFTMAX_CROSS_ENTROPY: return t->src[0]->size + 2 * nn__rows(t->src[0]);
    case NN_OP_BINARY_CROSS_ENTROPY: return t->src[0]->size;
    default: return 0;
    }
}

static size_t nn__work_size(const nn_tensor *t)
{
    if (t->op == NN_OP_DENSE) return t->node.activation != NN_ACTIVATION_IDENTITY ? t->size : 0;
    return t->op == NN_OP_MUL ? t->size : 0;
}

static nn_tensor *nn__loss_new(nn_op op, nn_tensor *x, const nn_loss_desc *desc)
{
    nn_loss_desc d;
    nn_net *net = nn__common_net(op, 1, &x);
    memset(&d, 0, sizeof d);
    if (!net) return NULL;
    if (desc) d = *desc;
    if (d.reduction != NN_REDUCE_MEAN && d.reduction != NN_REDUCE_SUM)
        return nn__bad_argument(net, op, "reduction", (double)d.reduction,
                                "NN_REDUCE_MEAN or NN_REDUCE_SUM");
    if (!(d.label_smoothing >= 0 && d.label_smoothing < 1))
        return nn__bad_argument(net, op, "label_smoothing", d.label_smoothing, "0 <= s < 1");
    if (!(d.delta >= 0) || !nn__is_finite(d.delta))
        return nn__bad_argument(net, op, "delta", d.delta, "0 or a positive number");
    if (!(d.margin >= 0) || !nn__is_finite(d.margin))
        return nn__bad_argument(net, op, "margin", d.margin, "0 or a positive number");
    if (!x->batched) return nn__bad_shapes(op, x, x, "a source with a batch");
    nn_tensor *t = nn__node_new(net, op, 1, &x, 0, 0, NULL);
    if (!t) return NULL;
    t->node.flag_a = (int)d.reduction;
    if (op == NN_OP_SOFTMAX_CROSS_ENTROPY) t->node.alpha = d.label_smoothing;
    if (op == NN_OP_HUBER) t->node.alpha = d.delta > 0 ? d.delta : 1;
    if (op == NN_OP_HINGE) t->node.alpha = d.margin > 0 ? d.margin : 1;
    return t;
}

#define NN__LOSS(name, op)                                                                         \
    NN_DEF nn_tensor *name(nn_tensor *x) { return nn__loss_new(op, x, NULL); }                     \
    NN_DEF nn_tensor *name##_with(nn_tensor *x, const nn_loss_desc *desc)                          \
    {                                                                                              \
        return nn__loss_new(op, x, desc);                                                          \
    }
NN__LOSS(nn_softmax_cross_entropy, NN_OP_SOFTMAX_CROSS_ENTROPY)
NN__LOSS(nn_sigmoid_cross_entropy, NN_OP_BINARY_CROSS_ENTROPY)
NN__LOSS(nn_mse, NN_OP_MSE)
NN__LOSS(nn_l1_loss, NN_OP_L1)
NN__LOSS(nn_huber, NN_OP_HUBER)
NN__LOSS(nn_hinge, NN_OP_HINGE)

NN_DEF nn_tensor *nn_weight_penalty(nn_tensor *loss, double l1, double l2)
{
    nn_net *net = nn__common_net(NN_OP_PENALTY, 1, &loss);
    if (!net) return NULL;
    if (loss->size != 1 || loss->batched)
        return nn__bad_shapes(NN_OP_PENALTY, loss, loss, "a scalar");
    if (!(l1 >= 0) || !nn__is_finite(l1))
        return nn__bad_argument(net, NN_OP_PENALTY, "l1", l1, "0 or a positive number");
    if (!(l2 >= 0) || !nn__is_finite(l2))
        return nn__bad_argument(net, NN_OP_PENALTY, "l2", l2, "0 or a positive number");
    nn_tensor *t = nn__node_new(net, NN_OP_PENALTY, 1, &loss, 0, 0, NULL);
    if (t) t->node.alpha = l1, t->node.beta = l2, t->requires_grad = 1;
    return t;
}

/* A loss, not something else; rows > 0; data given. */
static nn_status nn__check_feed(const char *call, const nn_tensor *loss, const void *data,
                                size_t rows)
{
    nn_status status = nn__check_tensor(call, loss);
    if (status != NN_OK) return status;
    if (!nn__is_loss(loss))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: tensor %llu is a %s, expected a loss", call,
                        (nn__ull)loss->id, nn__op_string(loss->op));
    if (!data || rows == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s", call,
                        data ? "0 rows" : "the data is NULL");
    return NN_OK;
}

/* Room for labels of `rows` rows, which the caller then fills. */
static nn_status nn__begin_labels(nn_tensor *loss, size_t rows)
{
    nn__node *n = &loss->node;
    void *buffer = n->labels;
    nn_status status = nn__reserve(loss->net, &buffer, &n->label_capacity, rows, sizeof *n->labels);
    n->labels = (int *)buffer;
    if (status == NN_OK) n->label_rows = rows, n->target_rows = 0, loss->net->ran = NULL;
    return status;
}

static nn_status nn__begin_targets(nn_tensor *loss, size_t rows)
{
    nn__node *n = &loss->node;
    void *buffer = n->targets;
    nn_status status = nn__reserve(loss->net, &buffer, &n->target_capacity, rows,
                                   nn__sample_size(loss->src[0]) * sizeof(nn_real));
    n->targets = (nn_real *)buffer;
    if (status == NN_OK) n->target_rows = rows, n->label_rows = 0, loss->net->ran = NULL;
    return status;
}

NN_DEF nn_status nn_feed_labels(nn_tensor *loss, const int *labels, size_t rows)
{
    nn_status status = nn__check_feed("feed_labels", loss, labels, rows);
    if (status != NN_OK) return status;
    size_t outputs = nn__sample_size(loss->src[0]);
    if (!nn__takes_labels(loss))
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "feed_labels: %s takes targets",
                        nn__op_string(loss->op));
    int binary = loss->op == NN_OP_BINARY_CROSS_ENTROPY;
    status = nn__check_labels("feed_labels", rows, labels, binary ? 2 : outputs);
    if (status == NN_OK) status = nn__begin_labels(loss, rows);
    if (status == NN_OK) memcpy(loss->node.labels, labels, rows * sizeof *labels);
    return status;
}

NN_DEF nn_status nn_feed_targets(nn_tensor *loss, const nn_real *targets, size_t rows)
{
    nn_status status = nn__check_feed("feed_targets", loss, targets, rows);
    if (status != NN_OK) return status;
    if (loss->op == NN_OP_HINGE)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "feed_targets: hinge takes labels");
    status = nn__begin_targets(loss, rows);
    if (status == NN_OK)
        memcpy(loss->node.targets, targets,
               rows * nn__sample_size(loss->src[0]) * sizeof *targets);
    return status;
}

/* ------------------------------------------------------------------------------------- >>optim */

static nn_status nn__bad_member(const char *member, double found, const char *expected)
{
    return nn__fail(NN_ERROR_BAD_ARGUMENT, "optimizer: %s is %g, expected %s", member, found,
                    expected);
}

static int nn__in_range(double x, double low, double high) { return x >= low && x <= high; }

static nn_status nn__check_schedule(const nn_schedule *s)
{
    if ((unsigned)s->kind >= NN_SCHEDULE_COUNT)
        return nn__bad_member("schedule.kind", (double)s->kind, "one of nn_schedule_kind");
    if ((s->kind == NN_SCHEDULE_STEP_DECAY || s->kind == NN_SCHEDULE_TRIANGULAR) && s->period == 0)
        return nn__bad_member("schedule.period", 0, "at least 1 step");
    if (s->kind == NN_SCHEDULE_COSINE && s->total == 0)
        return nn__bad_member("schedule.total", 0, "at least 1 step");
    if (!nn__in_range(s->gamma, 0, 1e300))
        return nn__bad_member("schedule.gamma", s->gamma, "0 or a positive number");
    if (!nn__in_range(s->final_rate, 0, 1e300))
        return nn__bad_member("schedule.final_rate", s->final_rate, "0 or a positive number");
    return NN_OK;
}

static nn_status nn__check_optimizer(const nn_optimizer_desc *d)
{
    const double most = 1e300, below_one = 1 - DBL_EPSILON / 2;
    if ((unsigned)d->kind >= NN_OPTIMIZER_COUNT)
        return nn__bad_member("kind", (double)d->kind, "one of nn_optimizer_kind");
    if (!(d->learning_rate > 0 && d->learning_rate <= most))
        return nn__bad_member("learning_rate", d->learning_rate, "a positive number");
    if (!nn__in_range(d->momentum, 0, below_one))
        return nn__bad_member("momentum", d->momentum, "0 <= momentum < 1");
    if (!nn__in_range(d->beta1, 0, below_one))
        return nn__bad_member("beta1", d->beta1, "0 <= beta1 < 1");
    if (!nn__in_range(d->beta2, 0, below_one))
        return nn__bad_member("beta2", d->beta2, "0 <= beta2 < 1");
    if (!nn__in_range(d->rho, 0, below_one))
        return nn__bad_member("rho", d->rho, "0 <= rho < 1");
    if (!nn__in_range(d->epsilon, 0, most))
        return nn__bad_member("epsilon", d->epsilon, "0 or a positive number");
    if (!nn__in_range(d->weight_decay, 0, most))
        return nn__bad_member("weight_decay", d->weight_decay, "0 or a positive number");
    if (!nn__in_range(d->clip_norm, 0, most))
        return nn__bad_member("clip_norm", d->clip_norm, "0 or a positive number");
    if (!nn__in_range(d->clip_value, 0, most))
        return nn__bad_member("clip_value", d->clip_value, "0 or a positive number");
    return nn__check_schedule(&d->schedule);
}

static double nn__default(double value, double otherwise) { return value > 0 ? value : otherwise; }

/* The desc with its defaults filled in. */
static nn_optimizer_desc nn__optimizer_defaults(nn_optimizer_desc d)
{
    d.beta1 = nn__default(d.beta1, 0.9);
    d.beta2 = nn__default(d.beta2, 0.999);
    d.rho = nn__default(d.rho, 0.99);
    d.epsilon = nn__default(d.epsilon, d.kind == NN_OPTIMIZER_ADAGRAD ? 1e-10 : 1e-8);
    d.schedule.gamma =
        nn__default(d.schedule.gamma, d.schedule.kind == NN_SCHEDULE_STEP_DECAY ? 0.1 : 1);
    return d;
}

NN_DEF double nn_learning_rate(const nn_optimizer_desc *desc, size_t t)
{
    nn_optimizer_desc d = nn__optimizer_defaults(*desc);
    const nn_schedule *s = &d.schedule;
    double rate = d.learning_rate, low = s->final_rate;
    if (t < s->warm_up) return rate * ((double)t + 1) / (double)s->warm_up;
    t -= s->warm_up;
    switch (s->kind) {
    case NN_SCHEDULE_STEP_DECAY:
        return s->period ? rate * nn__power(s->gamma, t / s->period) : rate;
    case NN_SCHEDULE_EXPONENTIAL: return rate * nn__power(s->gamma, t);
    case NN_SCHEDULE_COSINE:
        if (t >= s->total) return low;
        return low + (rate - low) * (1 + nn__cos_pi((double)t / (double)s->total)) / 2;
    case NN_SCHEDULE_TRIANGULAR: {
        if (!s->period) return rate;
        double place = (double)(t % s->period) / (double)s->period;
        return low + (rate - low) * (t / s->period % 2 ? 1 - place : place);
    }
    case NN_SCHEDULE_CONSTANT:
    case NN_SCHEDULE_COUNT: break;
    }
    return rate;
}

static int nn__slot_count(const nn_optimizer_desc *d)
{
    if (d->kind == NN_OPTIMIZER_SGD) return d->momentum > 0 ? 1 : 0;
    return d->kind == NN_OPTIMIZER_ADAM || d->kind == NN_OPTIMIZER_ADAMW ? 2 : 1;
}

/* State for every parameter: what is missing starts at 0; `clear` sets the rest to 0, too. */
static nn_status nn__make_slots(nn_net *net, int count, int clear)
{
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *p = net->tensors[i];
        if (p->op != NN_OP_PARAMETER) continue;
        for (int s = 0; s < count; s++) {
            nn_real **slot = &p->node.slot[s];
            if (*slot && clear) memset(*slot, 0, p->size * sizeof **slot);
            if (!*slot) *slot = (nn_real *)nn__arena(net, p->size, sizeof **slot);
            if (!*slot) return NN_ERROR_OUT_OF_MEMORY;
        }
    }
    return NN_OK;
}

NN_DEF nn_status nn_set_optimizer(nn_net *net, const nn_optimizer_desc *desc)
{
    if (!net || !desc)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "set_optimizer: the %s is NULL",
                        net ? "desc" : "network");
    nn_status status = nn_net_status(net);
    if (status == NN_OK) status = nn__check_optimizer(desc);
    if (status == NN_OK) status = nn__make_slots(net, nn__slot_count(desc), 0);
    if (status != NN_OK) return status; /* with the state of the optimiser before untouched */
    nn__make_slots(net, nn__slot_count(desc), 1);
    net->optimizer = *desc;
    net->has_optimizer = 1;
    net->steps = 0;
    return NN_OK;
}

NN_DEF size_t nn_step_count(const nn_net *net) { return net ? net->steps : 0; }

static int nn__is_updated(const nn_tensor *t) { return t->op == NN_OP_PARAMETER && !t->frozen; }

/* Clips by value in place; returns what the norm asks the gradients to be multiplied with. */
static double nn__clip(nn_net *net, const nn_optimizer_desc *d)
{
    double squares = 0;
    if (d->clip_value <= 0 && d->clip_norm <= 0) return 1;
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *p = net->tensors[i];
        if (!nn__is_updated(p)) continue;
        if (d->clip_value > 0) nn__k()->clamp(p->size, (nn_real)d->clip_value, p->grad);
        if (d->clip_norm > 0) squares += nn__sum_of_squares(p->size, p->grad);
    }
    double norm = sqrt(squares);
    return d->clip_norm > 0 && norm > d->clip_norm ? d->clip_norm / norm : 1;
}

typedef struct nn__update_part {
    const nn__update *u;
    nn_tensor *p;
} nn__update_part;

static void nn__update_range(void *context, size_t begin, size_t end)
{
    const nn__update_part *part = (const nn__update_part *)context;
    nn_tensor *p = part->p;
    nn_real *s0 = p->node.slot[0] ? p->node.slot[0] + begin : NULL;
    nn_real *s1 = p->node.slot[1] ? p->node.slot[1] + begin : NULL;
    if (part->u->kind == NN_OPTIMIZER_SGD && part->u->momentum == 0) s0 = NULL;
    nn__k()->update(part->u, end - begin, p->data + begin, p->grad + begin, s0, s1);
}

static nn__update nn__update_for(const nn_optimizer_desc *d, size_t steps, double scale)
{
    nn__update u;
    memset(&u, 0, sizeof u);
    u.kind = d->kind;
    u.nesterov = d->nesterov;
    u.momentum = (nn_real)d->momentum;
    u.beta1 = (nn_real)d->beta1;
    u.beta2 = (nn_real)(d->kind == NN_OPTIMIZER_RMSPROP ? d->rho : d->beta2);
    u.epsilon = (nn_real)d->epsilon;
    u.scale = (nn_real)scale;
    if (d->kind != NN_OPTIMIZER_ADAM && d->kind != NN_OPTIMIZER_ADAMW)
        return u; /* small networks notice powers */
    u.correction1 = (nn_real)(1 / (1 - nn__power((double)u.beta1, steps + 1)));
    u.correction2 = (nn_real)(1 / sqrt(1 - nn__power((double)u.beta2, steps + 1)));
    return u;
}

NN_DEF nn_status nn_step(nn_net *net)
{
    if (!net) return nn__fail(NN_ERROR_BAD_ARGUMENT, "step: the network is NULL");
    nn_status status = nn_net_status(net);
    if (status != NN_OK) return status;
    if (!net->has_optimizer)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "step: call nn_set_optimizer first");
    nn_optimizer_desc d = nn__optimizer_defaults(net->optimizer);
    status = nn__make_slots(net, nn__slot_count(&d), 0); /* for parameters made since */
    if (status != NN_OK) return status;
    double rate = nn_learning_rate(&net->optimizer, net->steps);
    nn__update u = nn__update_for(&d, net->steps, nn__clip(net, &d));
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *p = net->tensors[i];
        if (!nn__is_updated(p)) continue;
        double decay = p->no_decay ? 0 : d.weight_decay;
        u.rate = (nn_real)(rate * p->learning_rate_scale);
        u.decay = d.kind == NN_OPTIMIZER_ADAMW ? 0 : (nn_real)decay;
        u.shrink =
            d.kind == NN_OPTIMIZER_ADAMW ? (nn_real)(rate * p->learning_rate_scale * decay) : 0;
        nn__update_part part = {&u, p};
        nn__parallel(net->threads, p->size, NN__GRAIN, nn__update_range, &part);
    }
    net->steps++;
    return NN_OK;
}

/* From here on kernels, files and messages are called, hardly anything is computed: gcc need not
   try hard, which is half a second of every compilation. */
#if !defined(__clang__) && defined(__GNUC__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O1")
#endif

/* --------------------------------------------------------------------------------- >>gradcheck */

static nn_gradcheck_desc nn__gradcheck_defaults(const nn_gradcheck_desc *desc)
{
    nn_gradcheck_desc d;
    int is_double = sizeof(nn_real) == sizeof(double);
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    d.h = nn__default(d.h, is_double ? 1e-5 : 1e-2);
    d.atol = nn__default(d.atol, is_double ? 1e-7 : 2e-3);
    d.rtol = nn__default(d.rtol, is_double ? 1e-5 : 2e-2);
    return d;
}

typedef struct nn__checker {
    nn_gradcheck_desc desc;
    nn_gradcheck_report report;
    double (*f)(void *user);
    void *user;
    double middle; /* f where nothing is moved, for all elements */
    double worst;  /* error of the element in the report, as a multiple of what is allowed */
    int not_finite;
} nn__checker;

typedef struct nn__slopes {
    double left, right, central;
} nn__slopes;

/* Slopes at *x over a step of about h: exactly the distance that x + h and x - h have as
   nn_real. */
static nn__slopes nn__numeric_slopes(nn__checker *c, nn_real *x, double h)
{
    nn__slopes s;
    const nn_real old = *x;
    const nn_real up = (nn_real)((double)old + h), down = (nn_real)((double)old - h);
    *x = up;
    double high = c->f(c->user);
    *x = down;
    double low = c->f(c->user);
    *x = old;
    s.central = up > down ? (high - low) / ((double)up - (double)down) : 0;
    s.right = up > old ? (high - c->middle) / ((double)up - (double)old) : s.central;
    s.left = old > down ? (c->middle - low) / ((double)old - (double)down) : s.central;
    if (!nn__is_finite(high) || !nn__is_finite(c->middle) || !nn__is_finite(low)) c->not_finite = 1;
    return s;
}

static double nn__allowed(const nn__checker *c, double a, double b)
{
    double fa = fabs(a), fb = fabs(b);
    return c->desc.atol + c->desc.rtol * (fa > fb ? fa : fb);
}

/* Whether a slope that the central difference denies is right after all because of a kink: in reach
   of h but not of h / 64, or at x itself, where the one-sided slopes keep their distance (on a
   smooth function it shrinks with h) and any value between them is a subgradient. */
static int nn__is_kink(nn__checker *c, nn_real *x, double analytic, nn__slopes wide)
{
    nn__slopes near = nn__numeric_slopes(c, x, c->desc.h / 64);
    double gap = fabs(wide.right - wide.left), near_gap = fabs(near.right - near.left);
    double allowed = nn__allowed(c, analytic, near.central);
    double low = near.left < near.right ? near.left : near.right;
    double high = near.left < near.right ? near.right : near.left;
    if (gap <= allowed) return 0;
    if (near_gap <= allowed) return fabs(analytic - near.central) <= allowed;
    return near_gap > gap / 8 && analytic >= low - allowed && analytic <= high + allowed;
}

static void nn__check_element(nn__checker *c, const char *name, size_t index, nn_real *x,
                              double analytic)
{
    nn__slopes s = nn__numeric_slopes(c, x, c->desc.h);
    double error = fabs(analytic - s.central), allowed = nn__allowed(c, analytic, s.central);
    double magnitude = fabs(analytic) + fabs(s.central);
    double relative = error / (magnitude > 1e-12 ? magnitude : 1e-12);
    nn_gradcheck_report *r = &c->report;
    int bad = !nn__is_finite(error) || error > allowed;
    r->checked++;
    if (bad && nn__is_finite(error) && nn__is_kink(c, x, analytic, s)) {
        r->kinks++;
        return;
    }
    r->wrong += (size_t)bad;
    if (error > r->max_error) r->max_error = error;
    if (relative > r->max_relative_error) r->max_relative_error = relative;
    double ratio = nn__is_finite(error) ? error / allowed : 1e308;
    if (r->tensor && ratio <= c->worst) return;
    c->worst = ratio;
    r->tensor = name, r->index = index;
    r->analytic = analytic, r->numeric = s.central;
}

/* All elements, or max_per_tensor of them spread evenly from the first to the last. */
static nn_status nn__check_array(nn__checker *c, const char *name, size_t n, nn_real *x,
                                 const nn_real *analytic)
{
    size_t most = c->desc.max_per_tensor, count = most && most < n ? most : n, nonzero = 0;
    for (size_t i = 0; i < n; i++) nonzero += analytic[i] != 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        if (count > 1 && count < n)
            at = (size_t)((double)i * (double)(n - 1) / (double)(count - 1));
        nn__check_element(c, name, at, x + at, (double)analytic[at]);
    }
    if (n && !nonzero && !c->desc.allow_zero)
        return nn__fail(NN_ERROR_GRADIENT_ZERO,
                        "gradcheck: the gradient of '%s' is zero everywhere: the "
                        "check proves nothing (allow_zero accepts it)",
                        name);
    return NN_OK;
}

static nn_status nn__check_verdict(const nn__checker *c)
{
    const nn_gradcheck_report *r = &c->report;
    if (c->not_finite)
        return nn__fail(NN_ERROR_NOT_FINITE,
                        "gradcheck: the function is not finite near '%s' element %llu, where the "
                        "analytic gradient is %.9g and the numeric one %.9g",
                        r->tensor, (nn__ull)r->index, r->analytic, r->numeric);
    if (r->wrong)
        return nn__fail(NN_ERROR_GRADIENT_WRONG,
                        "gradcheck: '%s' element %llu: analytic %.9g, numeric %.9g (%llu of %llu "
                        "elements wrong)",
                        r->tensor, (nn__ull)r->index, r->analytic, r->numeric, (nn__ull)r->wrong,
                        (nn__ull)r->checked);
    return NN_OK;
}

static nn_status nn__check_desc(const nn_gradcheck_desc *d)
{
    if (!d) return NN_OK;
    if (!nn__in_range(d->h, 0, 1e3))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "gradcheck: h is %g, expected 0 or a positive number", d->h);
    if (!nn__in_range(d->atol, 0, 1e3))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "gradcheck: atol is %g, expected 0 or a positive number", d->atol);
    if (!nn__in_range(d->rtol, 0, 1e3))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "gradcheck: rtol is %g, expected 0 or a positive number", d->rtol);
    return NN_OK;
}

NN_DEF nn_status nn_gradcheck_function(const char *name, double (*f)(void *user), void *user,
                                       size_t n, nn_real *x, const nn_real *analytic,
                                       const nn_gradcheck_desc *desc, nn_gradcheck_report *report)
{
    nn__checker c;
    memset(&c, 0, sizeof c);
    if (!f || !x || !analytic || n == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "gradcheck: %s",
                        n == 0 ? "0 elements" : "f, x or analytic is NULL");
    nn_status status = nn__check_desc(desc);
    if (status != NN_OK) return status;
    c.desc = nn__gradcheck_defaults(desc);
    c.f = f, c.user = user, c.middle = f(user);
    nn_status zero = nn__check_array(&c, name ? name : "x", n, x, analytic);
    if (report) *report = c.report;
    status = nn__check_verdict(&c);
    return status != NN_OK ? status : zero;
}

typedef struct nn__graph_value {
    nn_tensor *loss;
    nn_rng rng;
    nn_status status;
} nn__graph_value;

/* The loss with the generator put back first, so that dropout draws the same mask again. */
static double nn__evaluate_graph(void *user)
{
    nn__graph_value *v = (nn__graph_value *)user;
    v->loss->net->rng = v->rng;
    nn_status status = nn_forward(v->loss);
    if (status != NN_OK) v->status = status;
    return status == NN_OK ? v->loss->value : 0;
}

NN_DEF nn_status nn_gradcheck(nn_tensor *loss, const nn_gradcheck_desc *desc,
                              nn_gradcheck_report *report)
{
    nn__checker c;
    nn__graph_value v;
    memset(&c, 0, sizeof c);
    nn_status status = nn__check_tensor("gradcheck", loss);
    if (status == NN_OK) status = nn__check_desc(desc);
    if (status != NN_OK) return status;
    nn_net *net = loss->net;
    v.loss = loss, v.rng = net->rng, v.status = NN_OK;
    c.desc = nn__gradcheck_defaults(desc);
    c.f = nn__evaluate_graph, c.user = &v, c.middle = nn__evaluate_graph(&v);
    status = v.status;
    if (status == NN_OK) status = nn_backward(loss);
    nn_status zero = NN_OK;
    for (size_t i = 0; status == NN_OK && i <= loss->id; i++) {
        nn_tensor *t = net->tensors[i];
        int wanted = t->op == NN_OP_PARAMETER || (t->op == NN_OP_INPUT && c.desc.inputs &&
                                                  t->requires_grad && t->node.needed);
        if (!wanted) continue;
        nn_status one = nn__check_array(&c, t->name, t->size, t->data, t->grad);
        if (zero == NN_OK) zero = one;
        status = v.status;
    }
    nn__evaluate_graph(&v);
    net->rng = v.rng;
    if (report) *report = c.report;
    if (status == NN_OK) status = nn__check_verdict(&c);
    if (status == NN_OK && c.report.checked == 0)
        status = nn__fail(NN_ERROR_GRADIENT_ZERO, "gradcheck: there is nothing to check");
    return status != NN_OK ? status : zero;
}

/* ------------------------------------------------------------------------------------- >>files
   Files are read as streams, because a path can name a pipe or a file that grows: a size that was
   asked for beforehand is a hint, and what counts is what was read. */

/* Room for one more item. The array may move; on failure it stays as it was. */
static nn_status nn__grow(void **items, size_t count, size_t *capacity, size_t size)
{
    size_t wider = 64, bytes;
    void *grown = NULL;
    if (count < *capacity) return NN_OK;
    if ((*capacity == 0 || nn__multiply(*capacity, 2, &wider)) && nn__multiply(wider, size, &bytes))
        grown = NN_REALLOC(*items, bytes);
    if (!grown)
        return nn__fail(NN_ERROR_OUT_OF_MEMORY, "out of memory: more than %llu items of %llu bytes",
                        (nn__ull)count, (nn__ull)size);
    *items = grown;
    *capacity = wider;
    return NN_OK;
}

static nn_status nn__open_failed(const char *path)
{
    return nn__fail(NN_ERROR_CANNOT_OPEN, "%s: cannot be opened", path);
}

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

#ifdef NN_USE_ZLIB
/* A few kilobytes of deflate can unpack to a thousand times as much, without end. Real data seldom
   shrinks to less than a twentieth, so beyond 256 MB a file may be 100 times its packed size. */
enum { NN__GZIP_FREE = 1 << 28, NN__GZIP_RATIO = 100 };

static nn_status nn__stream_open(const char *path, nn__stream *s)
{
    s->path = path, s->total = 0;
    s->file = gzopen(path, "rb");
    return s->file ? NN_OK : nn__open_failed(path);
}

static nn_status nn__zlib_failed(const nn__stream *s, int code)
{
    if (code == Z_ERRNO) return nn__read_failed(s->path);
    return nn__fail(NN_ERROR_TRUNCATED,
                    "%s: the compressed data is damaged or cut off after %llu bytes", s->path,
                    (nn__ull)s->total);
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
                            "%s: unpacks to more than %d times its size, %llu bytes so far; if "
                            "that is right, gunzip it",
                            s->path, NN__GZIP_RATIO, (nn__ull)s->total);
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
#else
static nn_status nn__stream_open(const char *path, nn__stream *s)
{
    s->path = path, s->total = 0;
    s->file = fopen(path, "rb");
    return s->file ? NN_OK : nn__open_failed(path);
}

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

/* The size of a file before it is read; 0 where that cannot be known (a pipe, a folder). */
static size_t nn__stream_hint(nn__stream *s)
{
    long end = fseek(s->file, 0, SEEK_END) == 0 ? ftell(s->file) : 0;
    rewind(s->file);
    return end > 0 && end < LONG_MAX ? (size_t)end : 0;
}
#endif

/* What a download can turn out to be instead of the data. NULL: nothing known. */
static const char *nn__looks_like(const unsigned char *bytes, size_t size)
{
    static const char *const starts[][2] = {{"<!DOCTYPE", "an HTML page"},
                                            {"<!doctype", "an HTML page"},
                                            {"<html", "an HTML page"},
                                            {"<HTML", "an HTML page"},
                                            {"<?xml", "an XML page"},
                                            {"version https://git-lfs", "a Git LFS pointer"},
                                            {"PK\003\004", "a zip archive"},
                                            {"BZh", "bzip2"},
                                            {"\3757zXZ", "xz"}};
    size_t at = 0;
    while (at < size && at < 64 && memchr(" \r\n", bytes[at], 3)) at++;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        size_t length = strlen(starts[i][0]);
        if (size - at >= length && memcmp(bytes + at, starts[i][0], length) == 0)
            return starts[i][1];
    }
    return NULL;
}

static nn_status nn__check_content(const char *name, const unsigned char *bytes, size_t size)
{
    if (size == 0) return nn__fail(NN_ERROR_EMPTY, "%s: the file is empty", name);
    if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        return nn__fail(NN_ERROR_COMPRESSED,
                        "%s: compressed: gunzip it or compile with NN_USE_ZLIB", name);
    const char *found = nn__looks_like(bytes, size);
    if (found) return nn__fail(NN_ERROR_BAD_FORMAT, "%s: looks like %s", name, found);
    return NN_OK;
}

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
        void *bytes = file->bytes;
        status = nn__grow(&bytes, file->size, &capacity, 1);
        file->bytes = (unsigned char *)bytes;
        if (status != NN_OK) return status;
    }
}

static nn_status nn__file_read(const char *path, nn__file *file)
{
    nn__stream s;
    memset(file, 0, sizeof *file);
    if (!path) return nn__fail(NN_ERROR_BAD_ARGUMENT, "the path is NULL");
    file->path = path;
    nn_status status = nn__stream_open(path, &s);
    if (status != NN_OK) return status;
    status = nn__stream_close(&s, nn__file_fill(&s, file));
    if (status == NN_OK) status = nn__check_content(path, file->bytes, file->size);
    if (status != NN_OK) nn__file_free(file);
    return status;
}

/* folder/name in memory from nn__allocate. */
static char *nn__path(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = (char *)nn__allocate(size, 1);
    if (path) snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* ----------------------------------------------------------------------------------- >>dataset
   A data set borrows or owns its samples; a view is a list of another set's rows. Whatever makes a
   data set leaves it whole, or empty with the failure in it, so that a later call can say it. */

enum { NN__OWNS_SAMPLES, NN__OWNS_INDEX, NN__OWNS_LABELS, NN__OWNS_NORM };

NN_DEF void nn_dataset_free(nn_dataset *data)
{
    if (!data) return;
    for (size_t i = 0; i < sizeof data->owned / sizeof *data->owned; i++) NN_FREE(data->owned[i]);
    NN_FREE(data->class_names);
    memset(data, 0, sizeof *data);
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
    size_t features = data->dtype == NN_DTYPE_U8 ? 0 : data->features;
    for (size_t i = 0; i < data->count; i++) {
        size_t row = nn__row(data, i);
        const nn_real *targets = data->targets ? data->targets + row * data->target_size : NULL;
        for (size_t j = 0; j < features; j++)
            if (!nn__is_finite(nn__raw(data, row, j)))
                return nn__fail(NN_ERROR_BAD_NUMBER,
                                "%s: sample %llu: feature %llu is %g, expected a finite number",
                                call, (nn__ull)i, (nn__ull)j, nn__raw(data, row, j));
        for (size_t j = 0; targets && j < data->target_size; j++)
            if (!nn__is_finite((double)targets[j]))
                return nn__fail(NN_ERROR_BAD_NUMBER,
                                "%s: sample %llu: target %llu is %g, expected a finite number",
                                call, (nn__ull)i, (nn__ull)j, (double)targets[j]);
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
    size_t values;
    nn_real *norm = NULL;
    if (nn__multiply(n, 2, &values)) norm = (nn_real *)nn__allocate(values, sizeof *norm);
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
                        "nn_dataset_rescale: raw_low is %g and raw_high %g, expected raw_low < "
                        "raw_high",
                        raw_low, raw_high);
    double scale = (high - low) / (raw_high - raw_low), shift = low - raw_low * scale;
    if (!nn__is_real(scale) || !nn__is_real(shift) || ((nn_real)scale == 0 && low != high))
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_dataset_rescale: low is %g and high %g: scale %g and shift %g are out "
                        "of nn_real's range",
                        low, high, scale, shift);
    return nn__set_norm(data, scale, shift);
}

/* Sums over each of n groups of a sample's values, in two passes because the one-pass formula
   cancels: of the distances from sample 0's first value, so that the mean of equal values is
   exactly their value, or with a mean of the squared distances from it. */
static void nn__moments(const nn_dataset *data, size_t n, const double *mean, double *sums)
{
    size_t group = data->features / n, first = nn__row(data, 0);
    memset(sums, 0, n * sizeof *sums);
    for (size_t i = 0; i < data->count; i++)
        for (size_t k = 0, row = nn__row(data, i); k < n; k++) {
            double from = mean ? mean[k] : nn__raw(data, first, k * group);
            for (size_t j = k * group; j < (k + 1) * group; j++) {
                double d = nn__raw(data, row, j) - from;
                sums[k] += mean ? d * d : d;
            }
        }
}

/* mean[n] and scale[n] = 1 / deviation; a group that never changes is only shifted. */
static nn_status nn__fit_groups(const nn_dataset *data, size_t n, double *mean, double *scale)
{
    size_t group = data->features / n;
    double per = (double)data->count * (double)group;
    nn__moments(data, n, NULL, mean);
    for (size_t k = 0, first = nn__row(data, 0); k < n; k++)
        mean[k] = nn__raw(data, first, k * group) + mean[k] / per;
    nn__moments(data, n, mean, scale);
    for (size_t k = 0; k < n; k++) {
        double deviation = sqrt(scale[k] / per);
        scale[k] = deviation > 0 ? 1 / deviation : 1;
        if (!nn__is_real(scale[k]) || !nn__is_real(mean[k] * scale[k]))
            return nn__fail(NN_ERROR_BAD_NUMBER,
                            "nn_dataset_standardize: feature %llu has mean %g and deviation %g, "
                            "which leave nn_real's range",
                            (nn__ull)(k * group), mean[k], deviation);
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
                        "nn_dataset_standardize: NN_PER_CHANNEL for samples of rank %d, expected 3 "
                        "(channels, height, width)",
                        data->rank);
    size_t features = data->features, values;
    size_t n = per == NN_PER_SET ? 1 : per == NN_PER_FEATURE ? features : data->shape[0];
    double *mean = NULL;
    if (nn__multiply(n, 2, &values)) mean = (double *)nn__allocate(values, sizeof *mean);
    if (!mean) return NN_ERROR_OUT_OF_MEMORY;
    status = nn__fit_groups(data, n, mean, mean + n);
    if (status == NN_OK) status = nn__make_norm(data, per == NN_PER_SET ? 1 : features);
    for (size_t j = 0; status == NN_OK && j < data->norm_count; j++) {
        size_t k = j / (data->norm_count / n);
        data->scale[j] = (nn_real)mean[n + k];
        data->shift[j] = (nn_real)(-mean[k] * mean[n + k]);
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

/* -- gathering a batch -- */

/* Samples rows[0], rows[1], ..., or first, first + 1, ... when rows is NULL. */
typedef struct nn__gathering {
    const nn_dataset *data;
    const size_t *rows;
    size_t first;
    nn_real *out;
} nn__gathering;

static size_t nn__row_of(const nn__gathering *g, size_t i)
{
    return nn__row(g->data, g->rows ? g->rows[i] : g->first + i);
}

/* Samples lie anywhere in memory: the next one is fetched while this one is converted. */
static void nn__prefetch_row(const nn_dataset *data, size_t row)
{
    size_t size = data->features * (data->dtype == NN_DTYPE_U8 ? 1 : sizeof(nn_real));
    const char *sample = (const char *)data->samples + row * size;
    for (size_t i = 0; i < size; i += 64) NN__PREFETCH(sample + i);
}

static void nn__gather_row(const nn_dataset *data, size_t row, nn_real *out)
{
    static const nn_real one = 1, zero = 0;
    const nn_real *scale = data->norm_count ? data->scale : &one;
    const nn_real *shift = data->norm_count ? data->shift : &zero;
    size_t n = data->features, at = row * n;
    int each = data->norm_count > 1;
    if (data->dtype == NN_DTYPE_U8)
        nn__k()->affine_bytes(n, (const uint8_t *)data->samples + at, scale, shift, each, out);
    else nn__k()->affine(n, (const nn_real *)data->samples + at, scale, shift, each, out);
}

static void nn__gather_range(void *context, size_t begin, size_t end)
{
    const nn__gathering *g = (const nn__gathering *)context;
    for (size_t i = begin; i < end; i++) {
        if (i + 1 < end) nn__prefetch_row(g->data, nn__row_of(g, i + 1));
        nn__gather_row(g->data, nn__row_of(g, i), g->out + i * g->data->features);
    }
}

static void nn__gather(int threads, const nn_dataset *data, const size_t *rows, size_t first,
                       size_t n, nn_real *out)
{
    nn__gathering g = {data, rows, first, out};
    nn__parallel(threads, n, nn__grain_rows(data->features), nn__gather_range, &g);
}

NN_DEF nn_status nn_dataset_gather(const nn_dataset *data, const size_t *rows, size_t n,
                                   nn_real *out)
{
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
    nn__gather(0, data, rows, 0, n, out);
    return NN_OK;
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
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: out is NULL", call);
    memset(&d, 0, sizeof d);
    d.count = count, d.features = features, d.dtype = dtype, d.samples = x;
    d.rank = 1, d.shape[0] = features;
    if (!x) status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: x is NULL", call);
    else if (count == 0 || features == 0)
        status = nn__fail(NN_ERROR_EMPTY, "%s: %llu samples of %llu features, expected 1 or more",
                          call, (nn__ull)count, (nn__ull)features);
    else if (!nn__multiply(count, features, &size) || !nn__multiply(size, sizeof(nn_real), &size))
        status = nn__fail(NN_ERROR_TOO_LARGE, "%s: %llu samples of %llu features do not fit", call,
                          (nn__ull)count, (nn__ull)features);
    else if (classes < 0)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %d classes, expected 0 or more", call,
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
                        "nn_dataset_set_targets: the data set is a view; set the targets of the "
                        "set that it was made from");
    data->targets = targets;
    data->target_size = target_size;
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
        char text[160];
        return nn__fail(NN_ERROR_BAD_SHAPE, "nn_dataset_set_shape: %s for %llu features",
                        nn__shape_text(rank, shape, 0, text), (nn__ull)data->features);
    }
    data->rank = rank;
    for (int i = 0; i < rank; i++) data->shape[i] = shape[i];
    return NN_OK;
}

/* -- views -- */

static nn_status nn__check_view(const char *call, const nn_dataset *data, nn_dataset *out)
{
    if (!out || data == out)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: out is %s", call,
                        out ? "the data set itself" : "NULL");
    nn_status status = nn__check_dataset(call, data);
    return status == NN_OK ? NN_OK : nn__dataset_failed(out, status);
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

/* What a view has of its own: index, labels, names, normalisation. */
static nn_status nn__make_view(const nn_dataset *data, size_t count, nn_dataset *view)
{
    *view = *data;
    memset(view->owned, 0, sizeof view->owned);
    view->count = count, view->norm_count = 0;
    view->labels = NULL, view->class_names = NULL, view->scale = view->shift = NULL;
    view->index = (size_t *)nn__allocate(count, sizeof *view->index);
    view->owned[NN__OWNS_INDEX] = view->index;
    if (!view->index) return NN_ERROR_OUT_OF_MEMORY;
    if (data->labels) {
        view->labels = (int *)nn__allocate(count, sizeof *view->labels);
        view->owned[NN__OWNS_LABELS] = view->labels;
        if (!view->labels) return NN_ERROR_OUT_OF_MEMORY;
    }
    nn_status status = data->norm_count ? nn__copy_norm(view, data) : NN_OK;
    return status == NN_OK ? nn__view_names(data, NULL, data->classes, view) : status;
}

/* The samples rows[0..count), or first, first + 1, ... when rows is NULL. */
static nn_status nn__take(const nn_dataset *data, const size_t *rows, size_t first, size_t count,
                          nn_dataset *out)
{
    nn_dataset view;
    nn_status status = nn__make_view(data, count, &view);
    for (size_t i = 0; status == NN_OK && i < count; i++) {
        size_t from = rows ? rows[i] : first + i;
        view.index[i] = nn__row(data, from);
        if (data->labels) view.labels[i] = data->labels[from];
    }
    return nn__hand_over(&view, status, out);
}

NN_DEF nn_status nn_dataset_subset(const nn_dataset *data, size_t first, size_t count,
                                   nn_dataset *out)
{
    nn_status status = nn__check_view("nn_dataset_subset", data, out);
    if (status != NN_OK) return status;
    if (count == 0 || first > data->count || count > data->count - first)
        return nn__dataset_failed(
            out, nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "nn_dataset_subset: %llu samples from %llu, the data set has %llu",
                          (nn__ull)count, (nn__ull)first, (nn__ull)data->count));
    return nn__take(data, NULL, first, count, out);
}

static nn_status nn__check_classes(const nn_dataset *data, int count, const int *classes)
{
    if (!data->labels)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_dataset_select_classes: there are no labels");
    if (count <= 0 || !classes)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "nn_dataset_select_classes: %d classes, expected at least 1", count);
    for (int i = 0; i < count; i++) {
        if (classes[i] < 0 || classes[i] >= data->classes)
            return nn__fail(NN_ERROR_BAD_LABEL,
                            "nn_dataset_select_classes: class %d, expected 0 to %d", classes[i],
                            data->classes - 1);
        for (int j = 0; j < i; j++)
            if (classes[i] == classes[j])
                return nn__fail(NN_ERROR_BAD_ARGUMENT,
                                "nn_dataset_select_classes: class %d is named twice", classes[i]);
    }
    return NN_OK;
}

/* The place of a label in the list of classes; -1 when it is not there. */
static int nn__class_place(int label, int count, const int *classes)
{
    for (int i = 0; i < count; i++)
        if (classes[i] == label) return i;
    return -1;
}

/* rows[data->count] gets the samples of the classes; *count how many. */
static void nn__find_classes(const nn_dataset *data, int class_count, const int *classes,
                             size_t *rows, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < data->count; i++)
        if (nn__class_place(data->labels[i], class_count, classes) >= 0) rows[(*count)++] = i;
}

NN_DEF nn_status nn_dataset_select_classes(const nn_dataset *data, int class_count,
                                           const int *classes, nn_dataset *out)
{
    size_t count = 0, *rows = NULL;
    nn_status status = nn__check_view("nn_dataset_select_classes", data, out);
    if (status != NN_OK) return status;
    status = nn__check_classes(data, class_count, classes);
    if (status == NN_OK) {
        rows = (size_t *)nn__allocate(data->count, sizeof *rows);
        if (!rows) status = NN_ERROR_OUT_OF_MEMORY;
        else nn__find_classes(data, class_count, classes, rows, &count);
    }
    if (status == NN_OK && count == 0)
        status = nn__fail(NN_ERROR_EMPTY,
                          "nn_dataset_select_classes: no sample has one of the classes");
    if (status == NN_OK) status = nn__take(data, rows, 0, count, out);
    else nn__dataset_failed(out, status);
    NN_FREE(rows);
    if (status != NN_OK) return status;
    for (size_t i = 0; i < count; i++)
        out->labels[i] = nn__class_place(out->labels[i], class_count, classes);
    out->classes = class_count;
    status = nn__view_names(data, classes, class_count, out);
    return status == NN_OK ? NN_OK : (nn_dataset_free(out), nn__dataset_failed(out, status));
}

/* Two views at once: both are made, or both hold the failure. */
static nn_status nn__take_two(const nn_dataset *data, const size_t *rows, size_t first,
                              size_t second, nn_dataset *a, nn_dataset *b)
{
    nn_status status = nn__take(data, rows, 0, first, a);
    if (status != NN_OK) return nn__dataset_failed(b, status);
    status = nn__take(data, rows + first, 0, second, b);
    return status == NN_OK ? NN_OK : (nn_dataset_free(a), nn__dataset_failed(a, status));
}

/* Two parts that cannot be made, where there is something to make. */
static nn_status nn__both_failed(const nn_dataset *data, nn_status status, nn_dataset *a,
                                 nn_dataset *b)
{
    if (a && a != data) nn__dataset_failed(a, status);
    if (b && b != data) nn__dataset_failed(b, status);
    return status;
}

static nn_status nn__check_two(const char *call, const nn_dataset *data, const nn_dataset *a,
                               const nn_dataset *b)
{
    if (!a || !b || a == b || a == data || b == data)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: %s", call,
                        !a || !b ? "a part is NULL"
                                 : a == b ? "both parts are the same struct"
                                          : "a part is the data set itself");
    return nn__check_data(call, data);
}

NN_DEF nn_status nn_dataset_split(const nn_dataset *data, double fraction, uint64_t seed,
                                  nn_dataset *a, nn_dataset *b)
{
    size_t *order = NULL, first = 0;
    nn_status status = nn__check_two("nn_dataset_split", data, a, b);
    if (status == NN_OK && !(fraction > 0 && fraction < 1))
        status = nn__fail(NN_ERROR_BAD_ARGUMENT,
                          "nn_dataset_split: fraction is %g, expected 0 < fraction < 1", fraction);
    if (status == NN_OK) first = (size_t)(fraction * (double)data->count + 0.5);
    if (status == NN_OK && (first == 0 || first >= data->count))
        status = nn__fail(NN_ERROR_EMPTY,
                          "nn_dataset_split: %llu samples at %g leave one part empty",
                          (nn__ull)data->count, fraction);
    if (status == NN_OK) {
        order = (size_t *)nn__allocate(data->count, sizeof *order);
        if (!order) status = NN_ERROR_OUT_OF_MEMORY;
    }
    if (status != NN_OK) return nn__both_failed(data, status, a, b);
    nn_rng rng = nn_rng_seed(seed);
    for (size_t i = 0; i < data->count; i++) order[i] = i;
    nn_rng_shuffle(&rng, order, data->count);
    status = nn__take_two(data, order, first, data->count - first, a, b);
    NN_FREE(order);
    return status;
}

/* ----------------------------------------------------------------------------------- >>formats
   Readers check every count against the size of the file before they use it. Bytes of an image
   file become the data set's storage where they stand. */

/* -- IDX: 0 0 type rank, rank big-endian 32-bit dimensions, big-endian values -- */

typedef struct nn__idx {
    int type, rank;
    size_t shape[NN_MAX_RANK], count, width; /* count: the product of the shape */
    const unsigned char *values;
} nn__idx;

static size_t nn__idx_width(int type)
{
    switch (type) {
    case 0x08:
    case 0x09: return 1;
    case 0x0b: return 2;
    case 0x0c:
    case 0x0d: return 4;
    case 0x0e: return 8;
    default: return 0;
    }
}

/* Rank and dimensions; *offset is where the values begin. */
static nn_status nn__idx_header(const nn__file *file, nn__idx *idx, size_t *offset)
{
    const unsigned char *p = file->bytes;
    memset(idx, 0, sizeof *idx);
    if (file->size < 4)
        return nn__fail(NN_ERROR_TRUNCATED, "%s: %llu bytes, an IDX header has at least 4",
                        file->path, (nn__ull)file->size);
    idx->type = p[2], idx->rank = p[3], idx->width = nn__idx_width(idx->type);
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
    for (int i = 0; i < idx->rank; i++) {
        const unsigned char *d = p + 4 + 4 * i;
        idx->shape[i] = (size_t)d[0] << 24 | (size_t)d[1] << 16 | (size_t)d[2] << 8 | d[3];
    }
    return NN_OK;
}

static nn_status nn__idx_parse(const nn__file *file, nn__idx *idx)
{
    size_t offset = 0, bytes;
    nn_status status = nn__idx_header(file, idx, &offset);
    if (status != NN_OK) return status;
    if (!nn__shape_size(idx->rank, idx->shape, &idx->count) ||
        !nn__multiply(idx->count, idx->width, &bytes))
        return nn__fail(NN_ERROR_TOO_LARGE, "%s: the product of the dimensions does not fit",
                        file->path);
    if (bytes != file->size - offset)
        return nn__fail(bytes > file->size - offset ? NN_ERROR_TRUNCATED : NN_ERROR_BAD_FORMAT,
                        "%s: %llu bytes of values, expected %llu", file->path,
                        (nn__ull)(file->size - offset), (nn__ull)bytes);
    idx->values = file->bytes + offset;
    return NN_OK;
}

/* Value i, exactly. */
static double nn__idx_value(const nn__idx *idx, size_t i)
{
    const unsigned char *p = idx->values + i * idx->width;
    uint64_t bits = 0, sign = UINT64_C(1) << (8 * idx->width - 1);
    for (size_t k = 0; k < idx->width; k++) bits = bits << 8 | p[k];
    uint32_t low = (uint32_t)bits;
    float single;
    double wide;
    memcpy(&single, &low, sizeof single);
    memcpy(&wide, &bits, sizeof wide);
    switch (idx->type) {
    case 0x08: return (double)bits;
    case 0x0d: return (double)single;
    case 0x0e: return wide;
    default: return (double)(int64_t)((bits ^ sign) - sign);
    }
}

static nn_status nn__check_pair(const nn__file *images, const nn__idx *x, const nn__file *labels,
                                const nn__idx *y)
{
    if (x->rank < 2)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: rank %d, expected images of rank 2 or more",
                        images->path, x->rank);
    if (y->rank != 1 && y->rank != 2)
        return nn__fail(NN_ERROR_BAD_FORMAT, "%s: rank %d, expected labels of rank 1 or 2",
                        labels->path, y->rank);
    if (x->shape[0] != y->shape[0])
        return nn__fail(NN_ERROR_MISMATCH, "%s: %llu images, but %s has %llu labels", images->path,
                        (nn__ull)x->shape[0], labels->path, (nn__ull)y->shape[0]);
    if (x->count == 0 || y->count == 0)
        return nn__fail(NN_ERROR_EMPTY, "%s: %llu samples hold no values",
                        x->count ? labels->path : images->path, (nn__ull)x->shape[0]);
    return NN_OK;
}

/* Bytes stay where they are and are scaled to [0, 1]; other types become nn_real as they are. */
static nn_status nn__idx_samples(nn__file *file, const nn__idx *idx, nn_dataset *d)
{
    d->count = idx->shape[0], d->features = idx->count / idx->shape[0];
    d->rank = idx->rank - 1;
    for (int i = 0; i < d->rank; i++) d->shape[i] = idx->shape[i + 1];
    if (idx->type == 0x08) {
        d->dtype = NN_DTYPE_U8, d->samples = idx->values;
        d->owned[NN__OWNS_SAMPLES] = file->bytes;
        file->bytes = NULL;
        return nn__set_norm(d, 1 / 255.0, 0);
    }
    nn_real *x = (nn_real *)nn__allocate(idx->count, sizeof *x);
    if (!x) return NN_ERROR_OUT_OF_MEMORY;
    d->dtype = NN_DTYPE_REAL, d->samples = d->owned[NN__OWNS_SAMPLES] = x;
    for (size_t i = 0; i < idx->count; i++) {
        double value = nn__idx_value(idx, i);
        if (!nn__is_real(value))
            return nn__fail(NN_ERROR_BAD_NUMBER,
                            "%s: sample %llu: value %llu is %g, expected a finite nn_real",
                            file->path, (nn__ull)(i / d->features), (nn__ull)(i % d->features),
                            value);
        x[i] = (nn_real)value;
    }
    return NN_OK;
}

/* Whether every row of y has one 1 among zeros. */
static int nn__idx_is_one_hot(const nn__idx *y, size_t columns)
{
    for (size_t i = 0; columns > 1 && i < y->count; i += columns) {
        size_t ones = 0, zeros = 0;
        for (size_t j = 0; j < columns; j++) {
            double value = nn__idx_value(y, i + j);
            ones += value == 1;
            zeros += value == 0;
        }
        if (ones != 1 || ones + zeros != columns) return 0;
    }
    return columns > 1;
}

/* labels[y->shape[0]]: one number a sample, the first of several (QMNIST), or one-hot. */
static nn_status nn__idx_labels(const nn__file *file, const nn__idx *y, int *labels)
{
    size_t columns = y->count / y->shape[0];
    int one_hot = nn__idx_is_one_hot(y, columns);
    for (size_t i = 0; i < y->shape[0]; i++) {
        double value = nn__idx_value(y, i * columns);
        for (size_t j = 0; one_hot && j < columns; j++)
            if (nn__idx_value(y, i * columns + j) == 1) value = (double)j;
        if (!(value >= INT_MIN && value <= INT_MAX) || value != floor(value))
            return nn__fail(NN_ERROR_BAD_LABEL, "%s: label %g at index %llu, expected a whole "
                                                "number",
                            file->path, value, (nn__ull)i);
        labels[i] = (int)value;
    }
    return NN_OK;
}

/* A data set of two files that have been read, if status says so; the files are given back. */
static nn_status nn__idx_pair(nn_status status, nn__file *images, nn__file *labels, int classes,
                              nn_dataset *out)
{
    nn__idx x, y;
    nn_dataset d;
    int *values = NULL;
    memset(&d, 0, sizeof d);
    if (status == NN_OK) status = nn__idx_parse(images, &x);
    if (status == NN_OK) status = nn__idx_parse(labels, &y);
    if (status == NN_OK) status = nn__check_pair(images, &x, labels, &y);
    if (status == NN_OK) {
        values = (int *)nn__allocate(y.shape[0], sizeof *values);
        status = values ? nn__idx_labels(labels, &y, values) : NN_ERROR_OUT_OF_MEMORY;
    }
    if (status == NN_OK) status = nn__idx_samples(images, &x, &d);
    if (status == NN_OK) status = nn__set_labels(&d, labels->path, values, classes);
    NN_FREE(values);
    nn__file_free(images);
    nn__file_free(labels);
    return nn__hand_over(&d, status, out);
}

NN_DEF nn_status nn_load_idx(const char *images, const char *labels, int classes, nn_dataset *out)
{
    nn__file x, y;
    nn_status status = NN_OK;
    memset(&x, 0, sizeof x);
    memset(&y, 0, sizeof y);
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_idx: out is NULL");
    if (classes < 0)
        status = nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_idx: %d classes, expected 0 or more",
                          classes);
    if (status == NN_OK) status = nn__file_read(images, &x);
    if (status == NN_OK) status = nn__file_read(labels, &y);
    return nn__idx_pair(status, &x, &y, classes, out);
}

/* -- folders of data sets -- */

static nn_status nn__check_load(const char *call, const char *folder, nn_dataset *train,
                                nn_dataset *test)
{
    if (train) memset(train, 0, sizeof *train);
    if (test) memset(test, 0, sizeof *test);
    if (!folder) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the folder is NULL", call);
    if (train && train == test)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: train and test are the same struct", call);
    return NN_OK;
}

/* The end of such a loader: what was asked for is there, or all of it holds the failure. */
static nn_status nn__loaded(nn_status status, nn_dataset *train, nn_dataset *test)
{
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

static nn_status nn__load_mnist_part(const char *folder, const char *images, const char *labels,
                                     nn_dataset *out)
{
    nn__file x, y;
    char *x_path = NULL, *y_path = NULL;
    memset(&x, 0, sizeof x);
    memset(&y, 0, sizeof y);
    nn_status status = nn__find_idx(folder, images, 3, &x, &x_path);
    if (status == NN_OK) status = nn__find_idx(folder, labels, 1, &y, &y_path);
    status = nn__idx_pair(status, &x, &y, 10, out);
    NN_FREE(x_path);
    NN_FREE(y_path);
    return status;
}

/* EMNIST's letters have 26 classes and other folders other counts: those load as pairs. */
NN_DEF nn_status nn_load_mnist(const char *folder, nn_dataset *train, nn_dataset *test)
{
    nn_status status = nn__check_load("nn_load_mnist", folder, train, test);
    if (status == NN_OK && train)
        status = nn__load_mnist_part(folder, "train-images", "train-labels", train);
    if (status == NN_OK && test)
        status = nn__load_mnist_part(folder, "t10k-images", "t10k-labels", test);
    return nn__loaded(status, train, test);
}

/* CIFAR records: label bytes, then 3 x 32 x 32 pixels. The pixels of all files are moved together,
   the labels aside. */
enum { NN__CIFAR_PIXELS = 3072 };

typedef struct nn__cifar {
    size_t label_bytes, label_at; /* in a record: how many, and which one counts */
    int classes;
} nn__cifar;

/* Room for more records in both arrays. */
static nn_status nn__cifar_room(const char *path, nn_dataset *d, size_t more)
{
    size_t count, bytes;
    void *pixels = NULL, *labels = NULL;
    if (nn__add_sizes(d->count, more, &count) && nn__multiply(count, NN__CIFAR_PIXELS, &bytes)) {
        pixels = NN_REALLOC(d->owned[NN__OWNS_SAMPLES], bytes);
        if (pixels) d->owned[NN__OWNS_SAMPLES] = pixels;
        if (pixels) labels = NN_REALLOC(d->owned[NN__OWNS_LABELS], count * sizeof *d->labels);
        if (labels) d->owned[NN__OWNS_LABELS] = labels;
    }
    d->samples = pixels;
    d->labels = (int *)labels;
    return labels ? NN_OK : nn__fail(NN_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
}

static nn_status nn__add_cifar_file(const char *path, const nn__cifar *kind, nn_dataset *d)
{
    nn__file file;
    size_t record = kind->label_bytes + NN__CIFAR_PIXELS;
    nn_status status = nn__file_read(path, &file);
    if (status != NN_OK) return status;
    if (file.size % record != 0)
        status = nn__fail(NN_ERROR_TRUNCATED, "%s: %llu bytes, expected a multiple of %llu", path,
                          (nn__ull)file.size, (nn__ull)record);
    else status = nn__cifar_room(path, d, file.size / record);
    for (size_t i = 0; status == NN_OK && i < file.size / record; i++, d->count++) {
        const unsigned char *from = file.bytes + i * record;
        uint8_t *to = (uint8_t *)d->owned[NN__OWNS_SAMPLES] + d->count * NN__CIFAR_PIXELS;
        int label = from[kind->label_at];
        if (label >= kind->classes)
            status = nn__fail(NN_ERROR_BAD_LABEL, "%s: label %d at index %llu, expected 0 to %d",
                              path, label, (nn__ull)i, kind->classes - 1);
        d->labels[d->count] = label;
        memcpy(to, from + kind->label_bytes, NN__CIFAR_PIXELS);
    }
    nn__file_free(&file);
    return status;
}

static nn_status nn__load_cifar(const char *folder, const nn__cifar *kind, size_t file_count,
                                const char *const *files, nn_dataset *out)
{
    nn_dataset d;
    nn_status status = NN_OK;
    memset(&d, 0, sizeof d);
    for (size_t i = 0; status == NN_OK && i < file_count; i++) {
        char *path = nn__path(folder, files[i]);
        status = path ? nn__add_cifar_file(path, kind, &d) : NN_ERROR_OUT_OF_MEMORY;
        NN_FREE(path);
    }
    d.dtype = NN_DTYPE_U8, d.features = NN__CIFAR_PIXELS, d.classes = kind->classes;
    d.rank = 3, d.shape[0] = 3, d.shape[1] = d.shape[2] = 32;
    if (status == NN_OK) status = nn__set_norm(&d, 1 / 255.0, 0);
    return nn__hand_over(&d, status, out);
}

NN_DEF nn_status nn_load_cifar10(const char *folder, nn_dataset *train, nn_dataset *test)
{
    static const char *const files[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
    static const nn__cifar kind = {1, 0, 10};
    nn_status status = nn__check_load("nn_load_cifar10", folder, train, test);
    if (status == NN_OK && train) status = nn__load_cifar(folder, &kind, 5, files, train);
    if (status == NN_OK && test) status = nn__load_cifar(folder, &kind, 1, files + 5, test);
    return nn__loaded(status, train, test);
}

NN_DEF nn_status nn_load_cifar100(const char *folder, int coarse, nn_dataset *train,
                                  nn_dataset *test)
{
    static const char *const files[] = {"train.bin", "test.bin"};
    static const nn__cifar kinds[] = {{2, 1, 100}, {2, 0, 20}};
    const nn__cifar *kind = &kinds[coarse != 0];
    nn_status status = nn__check_load("nn_load_cifar100", folder, train, test);
    if (status == NN_OK && train) status = nn__load_cifar(folder, kind, 1, files, train);
    if (status == NN_OK && test) status = nn__load_cifar(folder, kind, 1, files + 1, test);
    return nn__loaded(status, train, test);
}

/* ------------------------------------------------------------------------------------- >>csv
   A first pass counts rows and columns, a second one reads the cells. */

typedef struct nn__span {
    const char *begin, *end;
} nn__span;

typedef struct nn__csv {
    const char *path;
    nn_csv_desc desc;
    nn__span rest; /* what has not been read */
    size_t line, columns, rows;
    size_t label; /* the label's column from 0; `columns` when there is none */
    int integer_labels;
    nn__span *names; /* classes in order of appearance, as they stand in the file */
    int name_count;
    size_t name_capacity;
} nn__csv;

static size_t nn__span_size(nn__span s) { return (size_t)(s.end - s.begin); }

static nn__span nn__trim(nn__span s)
{
    while (s.begin < s.end && (*s.begin == ' ' || *s.begin == '\r')) s.begin++;
    while (s.end > s.begin && (s.end[-1] == ' ' || s.end[-1] == '\r')) s.end--;
    return s;
}

/* The next line that is not blank; 0 after the last. */
static int nn__csv_line(nn__csv *csv, nn__span *line)
{
    while (csv->rest.begin < csv->rest.end) {
        const char *newline =
            (const char *)memchr(csv->rest.begin, '\n', nn__span_size(csv->rest));
        line->begin = csv->rest.begin;
        line->end = newline ? newline : csv->rest.end;
        csv->rest.begin = newline ? newline + 1 : csv->rest.end;
        csv->line++;
        *line = nn__trim(*line);
        if (nn__span_size(*line)) return 1;
    }
    return 0;
}

/* Takes the first cell off the line, without its quotes; *more says whether another follows. */
static nn__span nn__csv_cell(const nn__csv *csv, nn__span *line, int *more)
{
    nn__span cell = *line;
    const char *from = line->begin;
    if (from < line->end && *from == '"') {
        const char *close = (const char *)memchr(from + 1, '"', (size_t)(line->end - from - 1));
        if (close) from = close;
    }
    const char *next =
        (const char *)memchr(from, csv->desc.delimiter, (size_t)(line->end - from));
    cell.end = next ? next : line->end;
    *more = next != NULL;
    line->begin = next ? next + 1 : line->end;
    cell = nn__trim(cell);
    if (nn__span_size(cell) >= 2 && *cell.begin == '"' && cell.end[-1] == '"')
        cell.begin++, cell.end--;
    return cell;
}

/* A decimal number that fills the cell. strtod wants the locale's decimal point, so it gets a copy
   with that in place of '.'. */
static int nn__parse_number(nn__span cell, double *value)
{
    char text[1024], *end;
    const char *point = localeconv()->decimal_point;
    size_t n = 0;
    if (nn__span_size(cell) == 0 || nn__span_size(cell) > 400 || strlen(point) > 8) return 0;
    for (const char *c = cell.begin; c < cell.end; c++) {
        if (*c == 0 || !strchr("+-.eE0123456789", *c)) return 0;
        if (*c != '.') text[n++] = *c;
        else for (const char *d = point; *d && n + 400 < sizeof text; d++) text[n++] = *d;
    }
    text[n] = 0;
    *value = strtod(text, &end);
    return end == text + n && nn__is_real(*value);
}

/* A class index in digits, INT_MAX when it is too large for one; -1 for anything else. */
static int nn__parse_index(nn__span cell)
{
    long long value = 0;
    if (nn__span_size(cell) == 0) return -1;
    for (const char *c = cell.begin; c < cell.end; c++) {
        if (*c < '0' || *c > '9') return -1;
        value = 10 * value + (*c - '0');
        if (value > INT_MAX) value = INT_MAX;
    }
    return (int)value;
}

static size_t nn__csv_cells(const nn__csv *csv, nn__span line)
{
    size_t cells = 0;
    for (int more = 1; more; cells++) nn__csv_cell(csv, &line, &more);
    return cells;
}

/* Before the first data row: back to the start, past the header. */
static void nn__csv_rewind(nn__csv *csv, const nn__file *file)
{
    nn__span header;
    csv->rest.begin = (const char *)file->bytes;
    csv->rest.end = csv->rest.begin + file->size;
    csv->line = 0;
    if (file->size >= 3 && memcmp(file->bytes, "\xEF\xBB\xBF", 3) == 0) csv->rest.begin += 3;
    if (csv->desc.header && nn__csv_line(csv, &header)) csv->columns = nn__csv_cells(csv, header);
}

static nn_status nn__csv_count(nn__csv *csv, const nn__file *file)
{
    nn__span line;
    nn__csv_rewind(csv, file);
    for (; nn__csv_line(csv, &line); csv->rows++) {
        size_t cells = nn__csv_cells(csv, line);
        if (csv->columns == 0) csv->columns = cells;
        if (cells != csv->columns)
            return nn__fail(NN_ERROR_BAD_FORMAT, "%s: line %llu: %llu columns, expected %llu",
                            csv->path, (nn__ull)csv->line, (nn__ull)cells, (nn__ull)csv->columns);
    }
    if (csv->rows == 0) return nn__fail(NN_ERROR_EMPTY, "%s: no rows of data", csv->path);
    long long column = csv->desc.label_column, count = (long long)csv->columns;
    if (column > count || column < -count)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "%s: label_column is %lld, the file has %lld columns", csv->path, column,
                        count);
    csv->label = (size_t)(column > 0 ? column - 1 : column < 0 ? count + column : count);
    if (count == 1 && column != 0)
        return nn__fail(NN_ERROR_EMPTY, "%s: there is no column beside the label's", csv->path);
    return NN_OK;
}

/* The index of a class name, which is added when it is new; -1 when out of memory. */
static int nn__csv_class(nn__csv *csv, nn__span name)
{
    size_t size = nn__span_size(name);
    for (int i = 0; i < csv->name_count; i++)
        if (nn__span_size(csv->names[i]) == size && !memcmp(csv->names[i].begin, name.begin, size))
            return i;
    void *names = csv->names;
    nn_status status =
        nn__grow(&names, (size_t)csv->name_count, &csv->name_capacity, sizeof *csv->names);
    csv->names = (nn__span *)names;
    if (status != NN_OK) return -1;
    csv->names[csv->name_count] = name;
    return csv->name_count++;
}

static nn_status nn__csv_bad_cell(const nn__csv *csv, size_t column, nn__span cell)
{
    return nn__fail(NN_ERROR_BAD_NUMBER,
                    "%s: line %llu, column %llu: '%.*s' is not a finite number", csv->path,
                    (nn__ull)csv->line, (nn__ull)column + 1,
                    (int)nn__min_size(nn__span_size(cell), 40), cell.begin);
}

/* One label: a target, an index, or a name. *all_indices is cleared by the first that is no
   index. */
static nn_status nn__csv_label(nn__csv *csv, nn__span cell, nn_real *target, int *label)
{
    double value;
    if (csv->desc.targets) {
        if (!nn__parse_number(cell, &value)) return nn__csv_bad_cell(csv, csv->label, cell);
        *target = (nn_real)value;
        return NN_OK;
    }
    if (nn__span_size(cell) == 0)
        return nn__fail(NN_ERROR_BAD_LABEL, "%s: line %llu: the label is empty", csv->path,
                        (nn__ull)csv->line);
    *label = csv->integer_labels ? nn__parse_index(cell) : nn__csv_class(csv, cell);
    if (*label == INT_MAX)
        return nn__fail(NN_ERROR_BAD_LABEL, "%s: line %llu: label %.*s is too large", csv->path,
                        (nn__ull)csv->line, (int)nn__min_size(nn__span_size(cell), 40), cell.begin);
    return *label < 0 ? nn__fail(NN_ERROR_OUT_OF_MEMORY, "%s: out of memory", csv->path) : NN_OK;
}

static nn_status nn__csv_read(nn__csv *csv, const nn__file *file, nn_real *x, nn_real *targets,
                              int *labels)
{
    nn__span line;
    nn_status status = NN_OK;
    nn__csv_rewind(csv, file);
    for (size_t row = 0; nn__csv_line(csv, &line); row++) {
        int more;
        for (size_t column = 0; status == NN_OK && column < csv->columns; column++) {
            nn__span cell = nn__csv_cell(csv, &line, &more);
            double value;
            if (column == csv->label)
                status = nn__csv_label(csv, cell, targets ? targets + row : NULL,
                                       labels ? labels + row : NULL);
            else if (nn__parse_number(cell, &value)) *x++ = (nn_real)value;
            else status = nn__csv_bad_cell(csv, column, cell);
        }
        if (status != NN_OK) return status;
    }
    return status;
}

/* Whether every label is a class index; otherwise all of them are names. */
static int nn__csv_has_indices(nn__csv *csv, const nn__file *file)
{
    nn__span line;
    nn__csv_rewind(csv, file);
    while (nn__csv_line(csv, &line)) {
        int more;
        for (size_t column = 0; column < csv->label; column++) nn__csv_cell(csv, &line, &more);
        if (nn__parse_index(nn__csv_cell(csv, &line, &more)) < 0) return 0;
    }
    return 1;
}

/* The list of names and the names themselves in one block. */
static char **nn__csv_names(const nn__csv *csv)
{
    size_t count = (size_t)csv->name_count, bytes = count * sizeof(char *);
    for (size_t i = 0; i < count; i++) bytes += nn__span_size(csv->names[i]) + 1;
    char **list = (char **)nn__allocate(bytes, 1);
    if (!list) return NULL;
    char *text = (char *)(list + count);
    for (size_t i = 0; i < count; i++) {
        size_t size = nn__span_size(csv->names[i]);
        list[i] = text;
        memcpy(text, csv->names[i].begin, size);
        text[size] = 0;
        text += size + 1;
    }
    return list;
}

/* Samples and targets share a block. */
static nn_status nn__csv_load(nn__csv *csv, const nn__file *file, nn_dataset *d)
{
    nn_status status = nn__csv_count(csv, file);
    if (status != NN_OK) return status;
    int has_label = csv->label < csv->columns, has_target = has_label && csv->desc.targets;
    d->count = csv->rows, d->features = csv->columns - (size_t)has_label;
    d->rank = 1, d->shape[0] = d->features, d->dtype = NN_DTYPE_REAL;
    size_t values = d->count * d->features; /* fewer than the file has bytes */
    nn_real *x = (nn_real *)nn__allocate(values + (has_target ? d->count : 0), sizeof *x);
    if (!x) return NN_ERROR_OUT_OF_MEMORY;
    d->owned[NN__OWNS_SAMPLES] = x;
    d->samples = x;
    if (has_target) d->targets = x + values, d->target_size = 1;
    if (has_label && !has_target) {
        d->labels = (int *)nn__allocate(d->count, sizeof *d->labels);
        d->owned[NN__OWNS_LABELS] = d->labels;
        if (!d->labels) return NN_ERROR_OUT_OF_MEMORY;
        csv->integer_labels = nn__csv_has_indices(csv, file);
    }
    status = nn__csv_read(csv, file, x, has_target ? x + values : NULL, d->labels);
    if (status != NN_OK || !d->labels) return status;
    d->classes = csv->integer_labels ? nn__class_count(d->count, d->labels) : csv->name_count;
    if (!csv->integer_labels) d->class_names = nn__csv_names(csv);
    return csv->integer_labels || d->class_names ? NN_OK : NN_ERROR_OUT_OF_MEMORY;
}

NN_DEF nn_status nn_load_csv(const char *path, const nn_csv_desc *desc, nn_dataset *out)
{
    nn__csv csv;
    nn__file file;
    nn_dataset d;
    memset(&csv, 0, sizeof csv);
    memset(&d, 0, sizeof d);
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "nn_load_csv: out is NULL");
    if (desc) csv.desc = *desc;
    if (!csv.desc.delimiter) csv.desc.delimiter = ',';
    csv.path = path;
    nn_status status = nn__file_read(path, &file);
    if (status == NN_OK && memchr(file.bytes, 0, file.size))
        status = nn__fail(NN_ERROR_BAD_FORMAT, "%s: holds a zero byte, so it is not text", path);
    if (status == NN_OK) status = nn__csv_load(&csv, &file, &d);
    NN_FREE(csv.names);
    nn__file_free(&file);
    return nn__hand_over(&d, status, out);
}

/* ------------------------------------------------------------------------------------- >>train
   A loop of one's own on the public calls above can do what nn_train does. */

enum { NN__EVALUATION_ROWS = 64 }; /* a chunk of inputs stays in the second-level cache */

/* The loss proper, under the penalties and scalings that were put on top of it. */
static nn_tensor *nn__base_loss(nn_tensor *loss)
{
    while (loss && (loss->op == NN_OP_PENALTY || (loss->op == NN_OP_SCALE && loss->rank == 0)))
        loss = loss->src[0];
    return loss && nn__is_loss(loss) ? loss : NULL;
}

/* The one input that t depends on. */
static nn_status nn__only_input(const char *call, nn_tensor *t, nn_tensor **input)
{
    nn_net *net = t->net;
    *input = NULL;
    for (size_t i = 0; i <= t->id; i++) net->tensors[i]->node.needed = i == t->id;
    for (size_t i = t->id + 1; i-- > 0;) {
        nn_tensor *s = net->tensors[i];
        if (!s->node.needed) continue;
        for (size_t j = 0; j < s->src_count; j++) s->src[j]->node.needed = 1;
        if (s->op != NN_OP_INPUT) continue;
        if (*input)
            return nn__fail(NN_ERROR_BAD_ARGUMENT,
                            "%s: the network has several inputs; feed them in a "
                            "loop of your own",
                            call);
        *input = s;
    }
    if (!*input) return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the tensor depends on no input", call);
    return NN_OK;
}

static nn_status nn__check_features(const char *call, const nn_tensor *input,
                                    const nn_dataset *data)
{
    if (!data || data->count == 0)
        return nn__fail(data ? NN_ERROR_EMPTY : NN_ERROR_BAD_ARGUMENT, "%s: the data set is %s",
                        call, data ? "empty" : "NULL");
    if (nn__sample_size(input) != data->features)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: the data set has %llu features, the input takes %llu", call,
                        (nn__ull)data->features, (nn__ull)nn__sample_size(input));
    return NN_OK;
}

/* What a loss is to be fed from a data set is there and fits. */
static nn_status nn__check_answers(const char *call, const nn_tensor *base, const nn_dataset *data)
{
    size_t outputs = nn__sample_size(base->src[0]);
    int binary = base->op == NN_OP_BINARY_CROSS_ENTROPY;
    if (data->labels && nn__takes_labels(base)) {
        if ((size_t)data->classes > (binary ? 2 : outputs))
            return nn__fail(NN_ERROR_BAD_SHAPE, "%s: the data set has %d classes, the network %llu "
                                          "outputs",
                            call, data->classes, (nn__ull)outputs);
        return NN_OK;
    }
    if (!data->targets || base->op == NN_OP_HINGE)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: the data set has no %s for %s", call,
                        nn__takes_labels(base) ? "labels" : "targets", nn__op_string(base->op));
    if (data->target_size != outputs)
        return nn__fail(NN_ERROR_BAD_SHAPE,
                        "%s: the data set has %llu targets a sample, the network %llu outputs",
                        call, (nn__ull)data->target_size, (nn__ull)outputs);
    return NN_OK;
}

/* The loss and all that a batch of it needs. */
typedef struct nn__session {
    const char *call;
    nn_tensor *loss, *base, *input;
} nn__session;

static nn_status nn__open_session(nn__session *s, const char *call, nn_tensor *loss,
                                  const nn_dataset *data)
{
    s->call = call;
    s->loss = loss;
    nn_status status = nn__check_tensor(call, loss);
    if (status != NN_OK) return status;
    s->base = nn__base_loss(loss);
    if (!s->base)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "%s: tensor %llu is a %s, expected a loss", call,
                        (nn__ull)loss->id, nn__op_string(loss->op));
    status = nn__only_input(call, loss, &s->input);
    if (status == NN_OK) status = nn__check_features(call, s->input, data);
    if (status == NN_OK) status = nn__check_answers(call, s->base, data);
    return status;
}

/* Sample i of a batch: rows[i], or first + i when rows is NULL. */
static size_t nn__sample(const size_t *rows, size_t first, size_t i)
{
    return rows ? rows[i] : first + i;
}

/* Feeds samples rows[0..n), or first .. first + n, into an input. */
static nn_status nn__feed_samples(nn_tensor *input, const nn_dataset *data, const size_t *rows,
                                  size_t first, size_t n)
{
    nn_status status = nn__begin_feed(input, n);
    if (status == NN_OK) nn__gather(input->net->threads, data, rows, first, n, input->data);
    return status;
}

static nn_status nn__feed_batch(const nn__session *s, const nn_dataset *data, const size_t *rows,
                                size_t first, size_t n)
{
    nn_status status = nn__feed_samples(s->input, data, rows, first, n);
    if (status != NN_OK) return status;
    if (data->labels && nn__takes_labels(s->base)) {
        status = nn__begin_labels(s->base, n);
        for (size_t i = 0; status == NN_OK && i < n; i++)
            s->base->node.labels[i] = data->labels[nn__sample(rows, first, i)];
        return status;
    }
    size_t size = data->target_size;
    status = nn__begin_targets(s->base, n);
    for (size_t i = 0; status == NN_OK && i < n; i++) {
        size_t sample = nn__sample(rows, first, i);
        size_t row = data->index ? data->index[sample] : sample;
        memcpy(s->base->node.targets + i * size, data->targets + row * size,
               size * sizeof *data->targets);
    }
    return status;
}

/* The predicted class of a row of outputs: the largest, or for one output whether it is
   positive. */
static size_t nn__decision(const nn_real *row, size_t n)
{
    return n == 1 ? row[0] > 0 : nn__argmax(n, row);
}

/* Samples of the present batch whose label is the decision, whatever the loss compares with; 0
   without labels. */
static size_t nn__count_correct(const nn__session *s, const nn_dataset *data, const size_t *rows,
                                size_t first)
{
    const nn_tensor *z = s->base->src[0];
    size_t n = nn__sample_size(z), correct = 0;
    for (size_t i = 0; data->labels && i < nn__rows(z); i++)
        correct += nn__decision(z->data + i * n, n) ==
                   (size_t)data->labels[nn__sample(rows, first, i)];
    return correct;
}

typedef double nn__metric_fn(void *user, size_t rows, size_t cols, const nn_real *output,
                             const int *labels, const nn_real *targets);

static double nn__measure(const nn__session *s, nn__metric_fn *metric, void *user)
{
    const nn__node *n = &s->base->node;
    const nn_tensor *z = s->base->src[0];
    return metric(user, nn__rows(z), nn__sample_size(z), z->data, n->label_rows ? n->labels : NULL,
                  n->target_rows ? n->targets : NULL);
}

/* Means over a data set in chunks. A mean loss weighs a chunk by its rows; a summed one does not.
   What is put on top of the base loss (a penalty) does not depend on the batch: the last value
   does. */
static nn_status nn__evaluate_session(const nn__session *s, const nn_dataset *data,
                                      nn__metric_fn *metric, void *user, nn_result *out)
{
    nn_net *net = s->loss->net;
    int training = net->training;
    double loss = 0, correct = 0, measured = 0, scale = 1;
    nn_status status = NN_OK;
    net->training = 0;
    for (size_t i = 0; status == NN_OK && i < data->count; i += NN__EVALUATION_ROWS) {
        size_t n = nn__min_size(NN__EVALUATION_ROWS, data->count - i);
        status = nn__feed_batch(s, data, NULL, i, n);
        if (status == NN_OK) status = nn_forward(s->loss);
        if (status != NN_OK) break;
        loss += s->base->value * (s->base->node.flag_a == NN_REDUCE_SUM ? 1 : (double)n);
        correct += (double)nn__count_correct(s, data, NULL, i);
        if (metric) measured += nn__measure(s, metric, user);
    }
    net->training = training;
    if (status != NN_OK) return status;
    if (s->base->node.flag_a != NN_REDUCE_SUM) loss /= (double)data->count;
    double penalty = 0;
    for (const nn_tensor *t = s->loss; t != s->base; t = t->src[0]) {
        if (t->op == NN_OP_SCALE) scale *= t->node.alpha;
        else penalty += scale * (t->value - t->src[0]->value);
    }
    out->loss = scale * loss + penalty;
    out->accuracy = correct / (double)data->count;
    out->metric = measured / (double)data->count;
    out->count = data->count;
    return NN_OK;
}

NN_DEF nn_status nn_evaluate(nn_tensor *loss, const nn_dataset *data, nn_result *out)
{
    nn__session s;
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "evaluate: out is NULL");
    memset(out, 0, sizeof *out);
    nn_status status = nn__open_session(&s, "evaluate", loss, data);
    return status == NN_OK ? nn__evaluate_session(&s, data, NULL, NULL, out) : status;
}

/* Calls f for each chunk of outputs with dropout off. */
static nn_status nn__each_output(const char *call, nn_tensor *output, const nn_dataset *data,
                                 void (*f)(void *user, const nn_tensor *output, size_t first),
                                 void *user)
{
    nn_tensor *input;
    nn_status status = nn__check_tensor(call, output);
    if (status == NN_OK) status = nn__only_input(call, output, &input);
    if (status == NN_OK) status = nn__check_features(call, input, data);
    if (status == NN_OK && !output->batched)
        status = nn__fail(NN_ERROR_BAD_SHAPE, "%s: the tensor has no value per sample", call);
    if (status != NN_OK) return status;
    int training = output->net->training;
    output->net->training = 0;
    for (size_t i = 0; status == NN_OK && i < data->count; i += NN__EVALUATION_ROWS) {
        size_t n = nn__min_size(NN__EVALUATION_ROWS, data->count - i);
        status = nn__feed_samples(input, data, NULL, i, n);
        if (status == NN_OK) status = nn_forward(output);
        if (status == NN_OK) f(user, output, i);
    }
    output->net->training = training;
    return status;
}

static void nn__copy_output(void *user, const nn_tensor *output, size_t first)
{
    nn_real *out = (nn_real *)user + first * nn__sample_size(output);
    memcpy(out, output->data, output->size * sizeof *out);
}

NN_DEF nn_status nn_predict(nn_tensor *output, const nn_dataset *data, nn_real *out)
{
    if (!out) return nn__fail(NN_ERROR_BAD_ARGUMENT, "predict: out is NULL");
    return nn__each_output("predict", output, data, nn__copy_output, out);
}

typedef struct nn__confusion {
    const nn_dataset *data;
    size_t *matrix;
} nn__confusion;

static void nn__count_decisions(void *user, const nn_tensor *output, size_t first)
{
    nn__confusion *c = (nn__confusion *)user;
    size_t n = nn__sample_size(output), classes = (size_t)c->data->classes;
    for (size_t r = 0; r < nn__rows(output); r++) {
        size_t label = (size_t)c->data->labels[first + r];
        c->matrix[label * classes + nn__decision(output->data + r * n, n)]++;
    }
}

NN_DEF nn_status nn_confusion_matrix(nn_tensor *output, const nn_dataset *data, size_t *matrix)
{
    nn__confusion c;
    c.data = data, c.matrix = matrix;
    if (!output || !data || !matrix || !data->labels)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "confusion: %s",
                        data && !data->labels ? "the data set has no labels"
                                              : "an argument is NULL");
    size_t outputs = nn__sample_size(output), classes = (size_t)data->classes;
    if ((outputs == 1 ? 2 : outputs) != classes)
        return nn__fail(NN_ERROR_BAD_SHAPE, "confusion: %llu outputs for %llu classes",
                        (nn__ull)outputs, (nn__ull)classes);
    memset(matrix, 0, classes * classes * sizeof *matrix);
    return nn__each_output("confusion", output, data, nn__count_decisions, &c);
}

/* -- history -- */

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
    h->step_loss = (float *)items;
    if (status == NN_OK) h->step_loss[h->step_count++] = (float)loss;
    return status;
}

static nn_status nn__log_check(nn_history *h, const nn_check *check)
{
    void *items = h->checks;
    nn_status status = nn__grow(&items, h->check_count, &h->check_capacity, sizeof *h->checks);
    h->checks = (nn_check *)items;
    if (status == NN_OK) h->checks[h->check_count++] = *check;
    return status;
}

/* The number in text[64] with a decimal point, whatever the locale. */
static const char *nn__number_text(double x, char text[64])
{
    const char *point = localeconv()->decimal_point;
    size_t length = strlen(point);
    snprintf(text, 64, "%.9g", x);
    char *found = length ? strstr(text, point) : NULL;
    if (found) {
        *found = '.';
        memmove(found + 1, found + length, strlen(found + length) + 1);
    }
    return text;
}

NN_DEF nn_status nn_history_write_csv(const nn_history *history, const char *path)
{
    if (!history || !path) return nn__fail(NN_ERROR_BAD_ARGUMENT, "history: an argument is NULL");
    FILE *f = fopen(path, "w");
    if (!f) return nn__fail(NN_ERROR_CANNOT_WRITE, "%s: cannot be opened for writing", path);
    fprintf(f, "step,epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,"
               "learning_rate,seconds\n");
    for (size_t i = 0; i < history->check_count; i++) {
        const nn_check *c = &history->checks[i];
        const double column[] = {c->train_loss,          c->train_accuracy, c->validation_loss,
                                 c->validation_accuracy, c->learning_rate,  c->seconds};
        char text[64];
        fprintf(f, "%llu,%llu", (nn__ull)c->step, (nn__ull)c->epoch);
        for (size_t j = 0; j < sizeof column / sizeof *column; j++)
            fprintf(f, ",%s", nn__number_text(column[j], text));
        fprintf(f, "\n");
    }
    int failed = ferror(f);
    failed |= fclose(f) != 0;
    return failed ? nn__fail(NN_ERROR_CANNOT_WRITE, "%s: cannot be written", path) : NN_OK;
}

/* -- progress: a line that is written over on a terminal, a line per check elsewhere -- */

typedef struct nn__progress {
    FILE *stream;
    int is_terminal;
    double start, last;
    size_t steps, total_steps, images;
} nn__progress;

static void nn__progress_start(nn__progress *p, FILE *stream, size_t total_steps)
{
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

static void nn__progress_check(nn__progress *p, const nn_check *c, int has_validation)
{
    if (!p->stream) return;
    if (p->is_terminal) fprintf(p->stream, "\r%-78s\r", "");
    fprintf(p->stream, "epoch %3llu  step %6llu  loss %.4f  accuracy %.4f",
            (nn__ull)c->epoch + 1, (nn__ull)c->step, c->train_loss, c->train_accuracy);
    if (has_validation)
        fprintf(p->stream, "  validation loss %.4f  accuracy %.4f", c->validation_loss,
                c->validation_accuracy);
    fprintf(p->stream, "  %.2f s\n", c->seconds);
    fflush(p->stream);
}

/* -- the training loop -- */

typedef struct nn__training {
    nn__session s;
    const nn_dataset *data;
    nn_train_desc desc;
    nn_history *history;
    nn__progress progress;
    size_t *order;     /* sample numbers in this epoch's order */
    nn_real *best;     /* copies of all parameters at the best check, with restore_best */
    double best_loss;
    int has_best, stop;
    size_t steps_per_epoch, check_every, step, worse_checks, first_check;
    double start;
} nn__training;

static nn_status nn__check_train_desc(const nn_train_desc *d, const nn_dataset *data)
{
    if (!d) return nn__fail(NN_ERROR_BAD_ARGUMENT, "train: the desc is NULL");
    if (d->epochs == 0)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "train: epochs is 0, expected at least 1");
    if (d->batch_size == 0 || d->batch_size > data->count)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "train: batch_size is %llu, expected 1 to %llu, the number of samples",
                        (nn__ull)d->batch_size, (nn__ull)data->count);
    if ((d->patience || d->restore_best) && !d->validation)
        return nn__fail(NN_ERROR_BAD_ARGUMENT, "train: %s needs a validation set",
                        d->patience ? "patience" : "restore_best");
    if (d->check_every && d->checks_per_epoch)
        return nn__fail(NN_ERROR_BAD_ARGUMENT,
                        "train: check_every and checks_per_epoch are both set");
    return NN_OK;
}

/* All members zero: no optimiser is asked for. */
static int nn__is_blank(const nn_optimizer_desc *d)
{
    const nn_schedule *s = &d->schedule;
    const double number[] = {d->learning_rate, d->momentum,  d->beta1,      d->beta2,
                             d->rho,           d->epsilon,   d->weight_decay, d->clip_norm,
                             d->clip_value,    s->gamma,     s->final_rate};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (number[i] != 0) return 0;
    return d->kind == NN_OPTIMIZER_SGD && !d->nesterov && s->kind == NN_SCHEDULE_CONSTANT &&
           !s->warm_up && !s->period && !s->total;
}

static nn_status nn__choose_optimizer(nn__training *t)
{
    nn_optimizer_desc d = t->desc.optimizer;
    nn_net *net = t->s.loss->net;
    if (nn__is_blank(&d) && net->has_optimizer) return NN_OK;
    if (d.schedule.kind == NN_SCHEDULE_COSINE && d.schedule.total == 0) {
        size_t all, warm_up = d.schedule.warm_up;
        if (!nn__multiply(t->desc.epochs, t->steps_per_epoch, &all)) all = SIZE_MAX;
        d.schedule.total = all > warm_up ? all - warm_up : 1;
    }
    return nn_set_optimizer(net, &d);
}

static nn_status nn__start_training(nn__training *t)
{
    const nn_train_desc *d = &t->desc;
    size_t count = t->data->count, batch = d->batch_size, wanted;
    t->steps_per_epoch = d->drop_last ? count / batch : (count + batch - 1) / batch;
    t->check_every = d->check_every;
    if (d->checks_per_epoch)
        t->check_every = nn__max_size(t->steps_per_epoch / d->checks_per_epoch, 1);
    if (!nn__multiply(d->epochs, t->steps_per_epoch, &wanted)) wanted = SIZE_MAX;
    nn_status status = nn__choose_optimizer(t);
    if (status != NN_OK) return status;
    t->order = (size_t *)nn__allocate(count, sizeof *t->order);
    if (!t->order) return NN_ERROR_OUT_OF_MEMORY;
    if (d->restore_best) {
        t->best = (nn_real *)nn__allocate(nn_net_parameter_count(t->s.loss->net), sizeof *t->best);
        if (!t->best) return NN_ERROR_OUT_OF_MEMORY;
    }
    nn__progress_start(&t->progress, d->progress, wanted);
    t->start = nn__now();
    if (t->history) {
        t->first_check = t->history->check_count;
        t->history->best = t->first_check;
        t->history->epochs = 0;
        t->history->stopped_early = 0;
    }
    return NN_OK;
}

/* Copies all parameters out of the network (or back into it). */
static void nn__copy_parameters(nn_net *net, nn_real *best, int back)
{
    for (size_t i = 0; i < net->count; i++) {
        nn_tensor *p = net->tensors[i];
        if (p->op != NN_OP_PARAMETER) continue;
        memcpy(back ? p->data : best, back ? best : p->data, p->size * sizeof *best);
        best += p->size;
    }
}

/* Names the first tensor in the order of computation that holds a value which is not finite. */
static nn_status nn__report_not_finite(const nn__training *t)
{
    nn_net *net = t->s.loss->net;
    for (size_t i = 0; i <= t->s.loss->id; i++) {
        const nn_tensor *x = net->tensors[i];
        if (!x->node.needed && x->op != NN_OP_PARAMETER) continue;
        for (size_t j = 0; x->data && j < x->size; j++)
            if (!nn__is_finite((double)x->data[j]))
                return nn__fail(NN_ERROR_NOT_FINITE,
                                "loss is not finite at step %llu, first non-finite value in tensor "
                                "%llu '%s' (%s), element %llu",
                                (nn__ull)t->step, (nn__ull)i, x->name, nn__op_string(x->op),
                                (nn__ull)j);
    }
    return nn__fail(NN_ERROR_NOT_FINITE, "loss is not finite at step %llu, every tensor is",
                    (nn__ull)t->step);
}

/* Early stopping and the best weights. */
static void nn__judge(nn__training *t, nn_check *c)
{
    const nn_train_desc *d = &t->desc;
    if (!d->validation) return;
    c->improved = nn__is_finite(c->validation_loss) &&
                  (!t->has_best || c->validation_loss < t->best_loss);
    if (c->improved) {
        t->has_best = 1;
        t->best_loss = c->validation_loss;
        t->worse_checks = 0;
        if (t->best) nn__copy_parameters(t->s.loss->net, t->best, 0);
        if (t->history) t->history->best = t->history->check_count;
    } else if (++t->worse_checks >= d->patience && d->patience) {
        t->stop = 1;
        if (t->history) t->history->stopped_early = 1;
    }
}

static nn_status nn__make_check(nn__training *t, size_t epoch, double loss, double accuracy)
{
    const nn_train_desc *d = &t->desc;
    nn_net *net = t->s.loss->net;
    nn_result result;
    nn_check c;
    nn_status status = NN_OK;
    memset(&c, 0, sizeof c);
    c.step = t->step, c.epoch = epoch;
    c.train_loss = loss, c.train_accuracy = accuracy;
    c.learning_rate = nn_learning_rate(&net->optimizer, net->steps - 1);
    if (d->evaluate_training) {
        status = nn__evaluate_session(&t->s, t->data, NULL, NULL, &result);
        if (status == NN_OK) c.train_loss = result.loss, c.train_accuracy = result.accuracy;
    }
    if (status == NN_OK && d->validation) {
        status = nn__evaluate_session(&t->s, d->validation, d->metric, d->user, &result);
        if (status == NN_OK)
            c.validation_loss = result.loss, c.validation_accuracy = result.accuracy,
            c.validation_metric = result.metric;
    }
    if (status != NN_OK) return status;
    c.seconds = nn__now() - t->start;
    nn__judge(t, &c);
    if (t->history) status = nn__log_check(t->history, &c);
    nn__progress_check(&t->progress, &c, d->validation != NULL);
    if (status == NN_OK && d->on_check && d->on_check(d->user, net, &c)) t->stop = 1;
    return status;
}

static nn_status nn__train_step(nn__training *t, size_t epoch, size_t index)
{
    const nn_train_desc *d = &t->desc;
    nn_net *net = t->s.loss->net;
    size_t first = index * d->batch_size, n = nn__min_size(d->batch_size, t->data->count - first);
    nn_status status = nn__feed_batch(&t->s, t->data, t->order + first, 0, n);
    if (status == NN_OK) status = nn_forward(t->s.loss);
    if (status != NN_OK) return status;
    double loss = t->s.loss->value;
    if (!nn__is_finite(loss)) return nn__report_not_finite(t);
    size_t step = t->step, last = t->steps_per_epoch - 1;
    int check = t->check_every ? step % t->check_every == 0 : index == last;
    double accuracy = 0;
    if (check)
        accuracy = (double)nn__count_correct(&t->s, t->data, t->order + first, 0) / (double)n;
    status = nn_backward(t->s.loss);
    if (status == NN_OK) status = nn_step(net);
    if (status == NN_OK && d->log_steps && t->history) status = nn__log_step(t->history, loss);
    if (status != NN_OK) return status;
    t->step++;
    nn__progress_step(&t->progress, n, epoch, loss);
    if (check) status = nn__make_check(t, epoch, loss, accuracy);
    if (status == NN_OK && d->on_step && d->on_step(d->user, net, step, loss)) t->stop = 1;
    return status;
}

static nn_status nn__train_epochs(nn__training *t)
{
    nn_status status = NN_OK;
    for (size_t epoch = 0; status == NN_OK && !t->stop && epoch < t->desc.epochs; epoch++) {
        if (t->history) t->history->epochs = epoch + 1;
        for (size_t i = 0; i < t->data->count; i++) t->order[i] = i;
        if (!t->desc.no_shuffle) nn_rng_shuffle(&t->s.loss->net->rng, t->order, t->data->count);
        for (size_t i = 0; status == NN_OK && !t->stop && i < t->steps_per_epoch; i++)
            status = nn__train_step(t, epoch, i);
    }
    return status;
}

NN_DEF nn_status nn_train(nn_tensor *loss, const nn_dataset *data, const nn_train_desc *desc,
                          nn_history *history)
{
    nn__training t;
    memset(&t, 0, sizeof t);
    nn_status status = nn__open_session(&t.s, "train", loss, data);
    if (status == NN_OK) status = nn__check_train_desc(desc, data);
    if (status == NN_OK && desc->validation)
        status = nn__open_session(&t.s, "train: validation", loss, desc->validation);
    if (status != NN_OK) return status;
    nn_net *net = loss->net;
    int training = net->training;
    t.data = data, t.desc = *desc, t.history = history;
    net->training = 1;
    status = nn__start_training(&t);
    if (status == NN_OK) {
        status = nn__train_epochs(&t);
        if (t.best && t.has_best) nn__copy_parameters(net, t.best, 1);
        if (history) history->seconds = nn__now() - t.start;
        nn__progress_end(&t.progress);
    }
    net->training = training;
    NN_FREE(t.best);
    NN_FREE(t.order);
    return status;
}

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
