/* The clock of the benchmarks, and what the CPU could do at most: after nn.h with its body. */
#ifndef PEAK_H
#define PEAK_H

#ifdef NN__X86
#include <immintrin.h>
#endif

static clockid_t bench_clock = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec t;
    clock_gettime(bench_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -- the physical peak: independent fused multiply-adds in registers, GFLOP/s -- */

#ifdef NN__X86
__attribute__((target("avx512f"))) static double peak_avx512(void)
{
    __m512 a[24], x = _mm512_set1_ps(1.0000001f), y = _mm512_set1_ps(1e-9f);
    for (int i = 0; i < 24; i++) a[i] = _mm512_set1_ps((float)i);
    const long n = 1000000;
    double t = now();
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
    }
    t = now() - t;
    volatile float sink = 0;
    for (int i = 0; i < 24; i++) sink = sink + _mm512_reduce_add_ps(a[i]);
    return (double)n * 24 * 32 / t / 1e9;
}

__attribute__((target("avx2,fma"))) static double peak_avx2(void)
{
    __m256 a[12], x = _mm256_set1_ps(1.0000001f), y = _mm256_set1_ps(1e-9f);
    for (int i = 0; i < 12; i++) a[i] = _mm256_set1_ps((float)i);
    const long n = 1000000;
    double t = now();
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) a[i] = _mm256_fmadd_ps(a[i], x, y);
    }
    t = now() - t;
    volatile float sink = 0;
    for (int i = 0; i < 12; i++) {
        float lane[8];
        _mm256_storeu_ps(lane, a[i]);
        sink = sink + lane[0];
    }
    return (double)n * 12 * 16 / t / 1e9;
}
#endif

/* Of the path in use; 0 where it is not known how to measure it. */
static double peak(void)
{
#ifdef NN__X86
    if (!strcmp(nn_kernel_path(), "avx512")) return peak_avx512();
    if (!strcmp(nn_kernel_path(), "avx2")) return peak_avx2();
#endif
    return 0;
}

#endif
