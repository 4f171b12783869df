/* The ratios of a bench.csv as bars: how many times as fast nn.h is as each peer, and how large a part
   of the peak its convolutions reach. Of products and convolutions, which are many, the geometric
   means; of compiling what optimises. Usage: figure FROM.csv TO.png */
#include "../../examples/chart.h"

enum { MOST = 64, TEXT = 64, NAME = 4 * TEXT };

typedef struct bar {
    char name[NAME];
    double logs;
    int count;
    double mean;
} bar;

static bar bars[MOST];
static int bar_count;

static void add(const char *name, double ratio)
{
    int i = 0;
    while (i < bar_count && strcmp(bars[i].name, name) != 0) i++;
    if (i == MOST || !(ratio > 0)) return;
    if (i == bar_count) snprintf(bars[bar_count++].name, sizeof bars->name, "%s", name);
    bars[i].logs += log(ratio), bars[i].count++;
    bars[i].mean = exp(bars[i].logs / bars[i].count);
}

/* The next field of a line, which may be empty; *line moves behind it. */
static void field(const char **line, char text[TEXT])
{
    const size_t length = strcspn(*line, ",\n");
    snprintf(text, TEXT, "%.*s", (int)length, *line);
    *line += length + ((*line)[length] != 0);
}

static void read_line(const char *line)
{
    enum { BENCH, CASE, UNIT, OURS, THEIRS, PEER, RATIO, PEAK, FIELDS };
    char f[FIELDS][TEXT], name[NAME];
    for (int i = 0; i < FIELDS; i++) field(&line, f[i]);
    const int many = !strcmp(f[BENCH], "matmul") || !strcmp(f[BENCH], "layers");
    if (!strcmp(f[BENCH], "text")) return; /* bytes, not seconds */
    if (!strcmp(f[BENCH], "compile") && strstr(f[CASE], "-O0")) return;
    if (!strcmp(f[BENCH], "convolution")) {
        add("convolutions, of the peak", atof(f[PEAK]));
        return;
    }
    if (many) snprintf(name, sizeof name, "%s: %s", f[BENCH], f[PEER]);
    else snprintf(name, sizeof name, "%s %s: %s", f[BENCH], f[CASE], f[PEER]);
    add(name, atof(f[RATIO]));
}

int main(int argc, char **argv)
{
    const char *names[MOST];
    char line[512];
    FILE *from = argc == 3 ? fopen(argv[1], "r") : NULL;
    if (!from) return fprintf(stderr, "usage: figure FROM.csv TO.png\n"), 1;
    while (fgets(line, sizeof line, from)) read_line(line);
    fclose(from);
    if (!bar_count) return fprintf(stderr, "%s: no ratios\n", argv[1]), 1;
    for (int i = 0; i < bar_count; i++) names[i] = bars[i].name;
    chart_data ratios = chart_doubles(&bars->mean, sizeof *bars);
    chart_series series = chart_curve(NULL, (size_t)bar_count, chart_none(), ratios);
    chart_desc figure = {0};
    figure.title = "nn.h against its peers: times as fast, 1 is equal";
    figure.col_names = names;
    figure.series = &series, figure.series_count = 1;
    figure.width = 1600;
    return !chart_ok(chart_bars(&figure, argv[2]));
}
