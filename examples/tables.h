/*  tables.h - what csv.c and regression.c have in common: a small table for each, invented by a
    formula with a fixed seed, and ways to show what came of it. No bird was caught and no house was
    sold: the numbers are merely plausible, and the same on every machine.

    Include it after nn.h, chart.h and program.h. What fails ends the program with a message. */
#ifndef TABLES_H
#define TABLES_H

#include <math.h>

/* For calls that have to succeed. */
static void need(nn_status status)
{
    if (status != NN_OK) program_stop(1, "%s", nn_last_error());
}

/* Memory for `count` numbers of `size` bytes, all 0. */
static void *zeros(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (!block) program_stop(1, "out of memory");
    return block;
}

/* A confusion matrix, printed and as a picture. */
PROGRAM_DEF void tables_confusion(const char *title, const size_t *counts, int n, char **names,
                                  const char *path)
{
    printf("%s\n%-20s", title, "true, predicted:");
    for (int i = 0; i < n; i++) printf(" %10.10s", names ? names[i] : "");
    for (int i = 0; i < n * n; i++) {
        if (i % n == 0) printf("\n%-20.20s", names ? names[i / n] : "");
        printf(" %10llu", (unsigned long long)counts[i]);
    }
    printf("\n");
    chart_desc d = {0};
    d.title = title, d.x_label = "predicted", d.y_label = "true";
    d.rows = d.cols = n, d.values = chart_sizes(counts, 0);
    d.row_names = d.col_names = (const char *const *)names;
    if (!chart_ok(chart_heatmap(&d, path))) exit(1);
}

static FILE *tables__open(const char *path, const char *header)
{
    FILE *f = fopen(path, "w");
    if (!f) program_stop(1, "cannot write %s: %s", path, strerror(errno));
    fprintf(f, "%s\n", header);
    return f;
}

static void tables__close(FILE *f, const char *path)
{
    int failed = ferror(f);
    if (fclose(f) != 0 || failed) program_stop(1, "cannot write %s", path);
}

/* A number or, one time in 20, a gap. */
static void tables__cell(FILE *f, nn_rng *rng, double value, const char *gap)
{
    if (nn_rng_below(rng, 20) == 0) fprintf(f, ",%s", gap);
    else fprintf(f, ",%.1f", value);
}

/* 150 birds of four species, two of them hard to tell apart. A bird's size shifts all three of its
   measures. Gaps are empty cells and NA. */
PROGRAM_DEF void tables_birds(const char *path)
{
    static const char *const species[] = {"marsh tit", "willow tit", "coal tit", "blue tit"};
    static const char *const habitats[] = {"broadleaf", "wet wood", "conifers", "garden"};
    static const int share[10] = {0, 0, 0, 1, 1, 1, 2, 2, 3, 3};
    static const double mean[4][3] = {
        {64, 53, 11.2}, {61.5, 55, 10.8}, {60, 47, 9.2}, {66, 51, 11}};
    static const double spread[3] = {1.2, 1.1, 0.4};
    FILE *f = tables__open(path, "ring,habitat,wing,tail,weight,species");
    nn_rng rng = nn_rng_seed(1);
    for (int i = 0; i < 150; i++) {
        int s = share[i % 10], away = nn_rng_below(&rng, 10) < 4;
        uint64_t habitat = away ? nn_rng_below(&rng, 4) : (uint64_t)s;
        double size = nn_rng_normal(&rng);
        fprintf(f, "A%03d,%s", i + 1, nn_rng_below(&rng, 20) ? habitats[habitat] : "");
        for (int k = 0; k < 3; k++) {
            double own = 0.8 * size + nn_rng_normal(&rng);
            tables__cell(f, &rng, mean[s][k] + spread[k] * own, k == 1 ? "" : "NA");
        }
        fprintf(f, ",%s\n", species[s]);
    }
    tables__close(f, path);
}

/* 150 houses: area in m2, year, kilometres to the centre, district and heating; price in thousands,
   rent a month, energy in kWh a year and m2. Gaps are empty cells. */
PROGRAM_DEF void tables_houses(const char *path)
{
    static const char *const districts[] = {"harbour", "old town", "hill", "meadows"};
    static const char *const heatings[] = {"gas", "heat pump", "district"};
    static const double level[4] = {1.15, 1.3, 1.05, 0.85}, demand[3] = {1, 0.35, 0.8};
    FILE *f = tables__open(path, "id,area,year,km,district,heating,price,rent,energy");
    nn_rng rng = nn_rng_seed(2);
    for (int i = 0; i < 150; i++) {
        uint64_t d = nn_rng_below(&rng, 4), h = nn_rng_below(&rng, 3);
        double area = 45 + 140 * nn_rng_uniform(&rng) * nn_rng_uniform(&rng) + (d == 3 ? 30 : 0);
        int age = (int)(90 * nn_rng_uniform(&rng));
        double km = (d == 1 ? 0.3 : 1.5) + 6 * nn_rng_uniform(&rng);
        double worth = level[d] * (1.2 - 0.06 * km) * (1 - 0.004 * age);
        double energy = demand[h] * (45 + 1.6 * age) * (1 + 20 / area);
        double price = 4.1 * area * worth - 0.25 * energy + 12 * nn_rng_normal(&rng);
        double rent = 140 + 8.5 * area * sqrt(worth) + 35 * nn_rng_normal(&rng);
        fprintf(f, "%d", i + 1);
        tables__cell(f, &rng, area, "");
        fprintf(f, ",%d", 2025 - age);
        tables__cell(f, &rng, km, "");
        fprintf(f, ",%s,%s", districts[d], nn_rng_below(&rng, 20) ? heatings[h] : "");
        fprintf(f, ",%.0f,%.0f,%.0f\n", price, rent, energy + 8 * nn_rng_normal(&rng));
    }
    tables__close(f, path);
}

#endif /* TABLES_H */
