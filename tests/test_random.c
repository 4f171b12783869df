/* The generator: known answers from its published algorithm, then distributions within six standard
   deviations. Seeds are fixed, so every run draws the same. */
#define NN_IMPLEMENTATION
#include "../nn.h"

#include "test.h"

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)

/* SplitMix64's finaliser (Stafford's variant 13), as published. */
static uint64_t splitmix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* How many standard deviations a chi-square lies from its mean (Wilson and Hilferty 1931). */
static double chi_square_deviation(size_t cells, const double *seen, const double *expected)
{
    double chi_square = 0, freedom = (double)(cells - 1), variance = 2 / (9 * freedom);
    for (size_t i = 0; i < cells; i++)
        chi_square += (seen[i] - expected[i]) * (seen[i] - expected[i]) / expected[i];
    return (cbrt(chi_square / freedom) - (1 - variance)) / sqrt(variance);
}

/* The same where all cells are equally likely. */
static double evenness(size_t cells, const double *seen)
{
    double expected[64], total = 0;
    for (size_t i = 0; i < cells; i++) total += seen[i];
    for (size_t i = 0; i < cells; i++) expected[i] = total / (double)cells;
    return chi_square_deviation(cells, seen, expected);
}

/* ------------------------------------------------------------------------------------ raw draws */

/* Vigna's reference SplitMix64 gives these for state 0. */
static void test_published_values(void)
{
    static const uint64_t expected[] = {
        UINT64_C(0xE220A8397B1DCDAF), UINT64_C(0x6E789E6AA1B965F4), UINT64_C(0x06C45D188009454F),
        UINT64_C(0xF88BB8A8724C81EC), UINT64_C(0x1B39896A51A8749B)};
    nn_rng rng = {0, 0};
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(splitmix((i + 1) * GOLDEN) == expected[i]);
        CHECK(nn_rng_next(&rng) == expected[i]);
    }
}

/* Draws are counted from 1. */
static void test_draws_follow_key(void)
{
    static const uint64_t seeds[] = {0, 1, 42, GOLDEN, UINT64_MAX};
    for (size_t s = 0; s < 5; s++) {
        nn_rng rng = nn_rng_seed(seeds[s]);
        uint64_t key = rng.key;
        CHECK(rng.counter == 0);
        for (uint64_t i = 1; i <= 100; i++) {
            CHECK(nn_rng_next(&rng) == splitmix(key + i * GOLDEN));
            CHECK(rng.key == key && rng.counter == i);
        }
    }
}

/* Computed apart from nn.h: the seed is mixed into the key. */
static void test_known_draws(void)
{
    static const uint64_t expected[2][5] = {
        {UINT64_C(0xA706DD2F4D197E6F), UINT64_C(0xB382A305F4414F5E), UINT64_C(0x631A9154FBABF717),
         UINT64_C(0xA80ABA8C86640906), UINT64_C(0xC9B5AE106698F0BB)},
        {UINT64_C(0x5E41AB087439611E), UINT64_C(0xF18D6CE93D6CF1EE), UINT64_C(0x0B95F66D327E8D78),
         UINT64_C(0xC7061B1B93322BA9), UINT64_C(0x3817EDDDF9257651)},
    };
    for (uint64_t seed = 0; seed < 2; seed++) {
        nn_rng rng = nn_rng_seed(seed);
        for (int i = 0; i < 5; i++) CHECK(nn_rng_next(&rng) == expected[seed][i]);
    }
}

/* A counter far from 0 and across its end. */
static void test_counter_wraps(void)
{
    nn_rng rng = nn_rng_seed(7);
    rng.counter = UINT64_MAX;
    CHECK(nn_rng_next(&rng) == splitmix(rng.key));
    CHECK(rng.counter == 0);
    CHECK(nn_rng_next(&rng) == splitmix(rng.key + GOLDEN));
}

/* Close seeds, and seeds one step of the sequence apart, must not give shifted copies. */
static void test_seeds_differ(void)
{
    enum { SEEDS = 40, DRAWS = 50, ALL = SEEDS * DRAWS };
    static uint64_t seen[ALL];
    size_t equal = 0;
    for (size_t i = 0; i < ALL; i++) {
        uint64_t seed = i / DRAWS;
        nn_rng rng = nn_rng_seed(seed % 2 ? seed / 2 : seed / 2 * GOLDEN);
        rng.counter = i % DRAWS;
        seen[i] = nn_rng_next(&rng);
    }
    for (size_t i = 0; i < ALL; i++)
        for (size_t j = 0; j < i; j++) equal += seen[i] == seen[j];
    CHECK_INT(equal, DRAWS); /* seed 0 comes twice */
}

static void test_every_bit(void)
{
    enum { DRAWS = 100000 };
    nn_rng rng = nn_rng_seed(3);
    int ones[64] = {0}, flips[64] = {0};
    uint64_t last = nn_rng_next(&rng);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = nn_rng_next(&rng);
        for (int bit = 0; bit < 64; bit++) {
            ones[bit] += (int)(x >> bit & 1);
            flips[bit] += (int)((x ^ last) >> bit & 1);
        }
        last = x;
    }
    for (int bit = 0; bit < 64; bit++) {
        CHECK_NEAR(ones[bit], DRAWS / 2, 6 * sqrt(DRAWS / 4.0));
        CHECK_NEAR(flips[bit], DRAWS / 2, 6 * sqrt(DRAWS / 4.0));
    }
}

static void test_copy_replays(void)
{
    nn_rng rng = nn_rng_seed(5);
    for (int start = 0; start < 7; start++) {
        nn_rng copy = rng;
        uint64_t whole = nn_rng_next(&rng), part = nn_rng_below(&rng, 10);
        double uniform = nn_rng_uniform(&rng), normal = nn_rng_normal(&rng);
        double next_normal = nn_rng_normal(&rng);
        CHECK(nn_rng_next(&copy) == whole);
        CHECK(nn_rng_below(&copy, 10) == part);
        CHECK(nn_rng_uniform(&copy) == uniform);
        CHECK(nn_rng_normal(&copy) == normal);
        CHECK(nn_rng_normal(&copy) == next_normal);
        CHECK(copy.key == rng.key && copy.counter == rng.counter);
    }
}

/* -------------------------------------------------------------------------------- distributions */

static void test_uniform(void)
{
    enum { DRAWS = 1000000, CELLS = 64 };
    nn_rng rng = nn_rng_seed(11);
    double sum = 0, squares = 0, seen[CELLS] = {0};
    size_t bad = 0;
    int odd = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = nn_rng_uniform(&rng), steps = ldexp(x, 53);
        bad += !(x >= 0 && x < 1 && steps == floor(steps));
        odd += fmod(steps, 2) == 1;
        sum += x - 0.5;
        squares += (x - 0.5) * (x - 0.5);
        seen[(int)(x * CELLS)]++;
    }
    CHECK_INT(bad, 0);
    CHECK_NEAR(odd, DRAWS / 2, 6 * sqrt(DRAWS / 4.0)); /* all 53 bits are in use */
    CHECK_NEAR(sum / DRAWS, 0, 6 / sqrt(12.0 * DRAWS));
    CHECK_NEAR(squares / DRAWS, 1 / 12.0, 6 / sqrt(180.0 * DRAWS));
    CHECK_NEAR(evenness(CELLS, seen), 0, 6);
}

/* The highest 53 bits of a draw are the number, so the largest draw stays below 1. */
static void test_uniform_is_high_bits(void)
{
    nn_rng rng = nn_rng_seed(12);
    for (int i = 0; i < 1000; i++) {
        nn_rng copy = rng;
        CHECK(nn_rng_uniform(&rng) == ldexp((double)(nn_rng_next(&copy) >> 11), -53));
    }
}

static void test_normal_moments(void)
{
    enum { DRAWS = 1000000 };
    nn_rng rng = nn_rng_seed(13);
    double sums[5] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double x = nn_rng_normal(&rng), power = 1;
        for (int k = 1; k < 5; k++) sums[k] += power *= x;
    }
    CHECK_NEAR(sums[1] / DRAWS, 0, 6 * sqrt(1.0 / DRAWS));
    CHECK_NEAR(sums[2] / DRAWS, 1, 6 * sqrt(2.0 / DRAWS));
    CHECK_NEAR(sums[3] / DRAWS, 0, 6 * sqrt(15.0 / DRAWS));
    CHECK_NEAR(sums[4] / DRAWS, 3, 6 * sqrt(96.0 / DRAWS));
}

/* Cells of a quarter each from -4 to 4, the ends open. */
static void test_normal_shape(void)
{
    enum { DRAWS = 500000, CELLS = 34 };
    nn_rng rng = nn_rng_seed(14);
    double seen[CELLS] = {0}, expected[CELLS], below = 0;
    for (int i = 0; i < DRAWS; i++) {
        int cell = (int)floor(nn_rng_normal(&rng) * 4) + 17;
        seen[cell < 0 ? 0 : cell >= CELLS ? CELLS - 1 : cell]++;
    }
    for (int i = 0; i < CELLS; i++) {
        double edge = (i - 16) / 4.0, phi = i == CELLS - 1 ? 1 : erfc(-edge / sqrt(2.0)) / 2;
        expected[i] = DRAWS * (phi - below);
        below = phi;
    }
    CHECK_NEAR(chi_square_deviation(CELLS, seen, expected), 0, 6);
}

/* Marsaglia's method from the same uniform draws. Volatile: a fused u * u + v * v differs in its
   last bits, and near 1 its logarithm differs in many. */
static void test_normal_is_polar(void)
{
    nn_rng rng = nn_rng_seed(15);
    for (int i = 0; i < 1000; i++) {
        nn_rng copy = rng;
        double u, v, square, normal = nn_rng_normal(&rng);
        volatile double uu, vv;
        do {
            u = 2 * nn_rng_uniform(&copy) - 1;
            v = 2 * nn_rng_uniform(&copy) - 1;
            uu = u * u;
            vv = v * v;
            square = uu + vv;
        } while (square >= 1 || square == 0);
        CHECK_NEAR(normal, u * sqrt(-2 * log(square) / square), 1e-14 * fabs(normal));
        CHECK(copy.counter == rng.counter);
    }
}

static void test_below_small(void)
{
    static const uint64_t sizes[] = {2, 3, 4, 5, 6, 7, 10, 13, 24, 60, 64};
    nn_rng rng = nn_rng_seed(17);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double seen[64] = {0};
        size_t outside = 0;
        for (int i = 0; i < 100000; i++) {
            uint64_t x = nn_rng_below(&rng, sizes[s]);
            if (x < sizes[s]) seen[x]++;
            else outside++;
        }
        CHECK_INT(outside, 0);
        CHECK_NEAR(evenness((size_t)sizes[s], seen), 0, 6);
    }
}

static void test_below_ends(void)
{
    nn_rng rng = nn_rng_seed(18);
    for (int i = 0; i < 100; i++) {
        CHECK(nn_rng_below(&rng, 0) == 0);
        CHECK(nn_rng_below(&rng, 1) == 0);
    }
}

/* Without rejection some values below 3 * 2^62 come twice as often: the low third by remainder,
   multiples of three by multiplication. */
static void test_below_large(void)
{
    nn_rng rng = nn_rng_seed(19);
    const uint64_t quarter = UINT64_C(1) << 62, n = 3 * quarter;
    double thirds[3] = {0}, residues[3] = {0}, halves[2] = {0};
    size_t outside = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t x = nn_rng_below(&rng, n), y = nn_rng_below(&rng, 2 * quarter + 1);
        outside += x >= n;
        outside += y > 2 * quarter;
        thirds[x / quarter % 3]++;
        residues[x % 3]++;
        halves[y >= quarter]++;
    }
    CHECK_INT(outside, 0);
    CHECK_NEAR(evenness(3, thirds), 0, 6);
    CHECK_NEAR(evenness(3, residues), 0, 6);
    CHECK_NEAR(evenness(2, halves), 0, 6);
}

/* -------------------------------------------------------------------------------------- shuffle */

static void test_shuffle_permutes(void)
{
    nn_rng rng = nn_rng_seed(23);
    for (size_t n = 0; n <= 100; n++) {
        size_t items[101], again[101], seen[100] = {0};
        for (size_t i = 0; i < 101; i++) items[i] = again[i] = i;
        nn_rng copy = rng;
        nn_rng_shuffle(&rng, items, n);
        nn_rng_shuffle(&copy, again, n);
        CHECK(memcmp(items, again, sizeof items) == 0);
        for (size_t i = 0; i < n; i++) {
            CHECK(items[i] < n);
            CHECK(items[i] < n && seen[items[i]]++ == 0);
        }
        for (size_t i = n; i < 101; i++) CHECK(items[i] == i);
    }
}

/* From the last item down, each changes places with one at or below it. */
static void test_shuffle_known(void)
{
    static const size_t expected[10] = {4, 2, 1, 3, 7, 9, 5, 0, 6, 8};
    size_t items[10];
    nn_rng rng = nn_rng_seed(1);
    for (size_t i = 0; i < 10; i++) items[i] = i;
    nn_rng_shuffle(&rng, items, 10);
    CHECK(memcmp(items, expected, sizeof items) == 0);
}

/* All 24 orders of four items. */
static void test_shuffle_orders(void)
{
    nn_rng rng = nn_rng_seed(29);
    double seen[24] = {0};
    for (int i = 0; i < 240000; i++) {
        size_t items[4] = {0, 1, 2, 3}, order = 0;
        nn_rng_shuffle(&rng, items, 4);
        for (size_t j = 0; j < 4; j++) {
            size_t smaller = 0;
            for (size_t k = j + 1; k < 4; k++) smaller += items[k] < items[j];
            order = order * (4 - j) + smaller;
        }
        seen[order]++;
    }
    CHECK_NEAR(evenness(24, seen), 0, 6);
}

int main(void)
{
    RUN(test_published_values);
    RUN(test_draws_follow_key);
    RUN(test_known_draws);
    RUN(test_counter_wraps);
    RUN(test_seeds_differ);
    RUN(test_every_bit);
    RUN(test_copy_replays);
    RUN(test_uniform);
    RUN(test_uniform_is_high_bits);
    RUN(test_normal_moments);
    RUN(test_normal_shape);
    RUN(test_normal_is_polar);
    RUN(test_below_small);
    RUN(test_below_ends);
    RUN(test_below_large);
    RUN(test_shuffle_permutes);
    RUN(test_shuffle_known);
    RUN(test_shuffle_orders);
    return test_done("test_random");
}
