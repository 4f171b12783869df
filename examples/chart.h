/*  chart.h - figures for reports: line charts, bar charts, image grids and heat maps as PNG.

    Include it in one source file; all functions are static. Pictures are written through
    stb_image_write.h, found as <stb/stb_image_write.h> or "stb_image_write.h". Where it is missing
    (or with CHART_NO_STB) everything still compiles, and every figure reports that it was skipped.

    A WHOLE FIGURE
        chart_series s[] = {
            chart_curve("training", steps, chart_none(), chart_floats(loss, 0)),
            chart_curve("validation", checks, chart_sizes(&check->step, sizeof *check),
                        chart_doubles(&check->loss, sizeof *check))};
        s[0].smooth = 10;
        chart_desc d = {0};
        d.title = "Softmax regression";
        d.x_label = "step";
        d.y_label = "loss";
        d.series = s;
        d.series_count = 2;
        if (!chart_ok(chart_line(&d, "loss.png"))) return 1;

    Text is UTF-8: ASCII and the signs in chart__extra. A path ends in ".png". All lengths grow with
    the width: a wider figure is the same picture in more pixels. */
#ifndef CHART_H
#define CHART_H

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHART_STB 0
#if !defined(CHART_NO_STB) && defined(__has_include)
#if __has_include(<stb/stb_image_write.h>) || __has_include("stb_image_write.h")
#undef CHART_STB
#define CHART_STB 1
#endif
#endif

#if CHART_STB
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#if __has_include(<stb/stb_image_write.h>)
#include <stb/stb_image_write.h>
#else
#include "stb_image_write.h"
#endif
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define CHART_DEF __attribute__((unused)) static
#else
#define CHART_DEF static
#endif

/* --------------------------------------------------------------------------------- declarations */

typedef enum chart_type { CHART_DOUBLE, CHART_FLOAT, CHART_SIZE, CHART_INT, CHART_BYTE } chart_type;

/* Numbers that lie somewhere in memory, borrowed. `stride` is the distance in bytes from one to the
   next: sizeof(struct) for a member of an array of structs; 0 when they touch. */
typedef struct chart_data {
    const void *values;
    size_t stride;
    chart_type type;
} chart_data;

/* Colours that colour-blind readers can tell apart (Okabe and Ito 2008); 0 takes the next one. */
typedef enum chart_color {
    CHART_NEXT, CHART_BLUE, CHART_VERMILION, CHART_GREEN, CHART_PURPLE, CHART_ORANGE, CHART_SKY,
    CHART_BLACK, CHART_YELLOW, CHART_COLORS
} chart_color;

typedef enum chart_dash { CHART_SOLID, CHART_DASHED, CHART_DOTTED } chart_dash;

typedef struct chart_series {
    const char *label;    /* in the legend; NULL: not there */
    size_t n;             /* points */
    chart_data x;         /* default: 0, 1, 2, ... (bars do not use it) */
    chart_data y;         /* a NaN or an infinity breaks the line */
    chart_data deviation; /* shown as a band or as error bars; default: none */
    size_t smooth;        /* draw means of this many successive points, with a band of one
                             standard deviation (default: every point) */
    chart_color color;
    chart_dash dash;
} chart_series;

/* Zero-initialise it. A member left at 0 takes its default. */
typedef struct chart_desc {
    const char *title, *x_label, *y_label; /* default: none */
    int width, height; /* pixels, default 1280 x 800; grids and heat maps find their own height */
    /* lines and bars */
    const chart_series *series;
    int series_count;
    double x_min, x_max; /* range of an axis, used when min < max; default: what the data needs */
    double y_min, y_max; /* in grids and heat maps: the values at the two ends of the colours */
    int log_x, log_y;    /* lines: a point that is not positive breaks the line */
    /* bars, heat maps and grids */
    const char *const *col_names; /* bars: one per group. Grids do not use it */
    const char *const *row_names;
    int decimals;      /* of printed values, -1 for none; default: what the values need */
    int rows, cols;
    chart_data values; /* heat map: [rows,cols]. Grid: image after image, plane after plane */
    /* grids: bytes are shown as they are, others from an image's least value to its greatest */
    const chart_data *row_values; /* instead of `values`: one for each row of cells */
    int image_width, image_height;
    int channels;       /* 1: grey (default); 3: red, green and blue planes */
    size_t images;      /* how many there are (default: one per cell); other cells stay empty */
    int in_columns;     /* image k is column k of a [pixels,images] matrix: a layer's weights */
    const size_t *pick; /* cell i shows image pick[i]; default: i */
    const char *const *captions; /* one below each cell */
} chart_desc;

/* Each draws one figure into a file, through a temporary file beside it. NULL on success, else what
   went wrong, valid until the next call. Not for several threads at once. */
CHART_DEF const char *chart_line(const chart_desc *desc, const char *path);
CHART_DEF const char *chart_bars(const chart_desc *desc, const char *path);
CHART_DEF const char *chart_heatmap(const chart_desc *desc, const char *path);
CHART_DEF const char *chart_image_grid(const chart_desc *desc, const char *path);

/* 1 for NULL; otherwise tells stderr what is wrong and gives 0. A picture skipped for want of
   stb_image_write.h is no failure: 1, and only the first is mentioned. */
CHART_DEF int chart_ok(const char *error);

CHART_DEF chart_data chart_array(const void *values, chart_type type, size_t stride)
{
    chart_data data;
    data.values = values;
    data.type = type;
    data.stride = stride;
    return data;
}

#define CHART__ARRAY(name, ctype, type)                                                            \
    CHART_DEF chart_data name(const ctype *values, size_t stride)                                  \
    {                                                                                              \
        return chart_array(values, type, stride);                                                  \
    }
CHART__ARRAY(chart_doubles, double, CHART_DOUBLE)
CHART__ARRAY(chart_floats, float, CHART_FLOAT)
CHART__ARRAY(chart_sizes, size_t, CHART_SIZE)
CHART__ARRAY(chart_ints, int, CHART_INT)
CHART__ARRAY(chart_bytes, unsigned char, CHART_BYTE)

CHART_DEF chart_data chart_none(void) { return chart_array(NULL, CHART_DOUBLE, 0); }

/* float or double, whichever has this size: chart_reals(weights, sizeof *weights). */
CHART_DEF chart_data chart_reals(const void *values, size_t size)
{
    return chart_array(values, size == sizeof(float) ? CHART_FLOAT : CHART_DOUBLE, 0);
}

CHART_DEF chart_series chart_curve(const char *label, size_t n, chart_data x, chart_data y)
{
    chart_series s;
    memset(&s, 0, sizeof s);
    s.label = label;
    s.n = n;
    s.x = x;
    s.y = y;
    return s;
}

/* ------------------------------------------------------------------------------ errors and data */

static const char chart__skipped[] = "pictures skipped: stb_image_write.h not found";

static const char *chart__error(const char *format, ...)
{
    static char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

CHART_DEF int chart_ok(const char *error)
{
    static int mentioned;
    int skipped = error == chart__skipped;
    if (error && !(skipped && mentioned)) fprintf(stderr, "%s\n", error);
    mentioned = mentioned || skipped;
    return !error || skipped;
}

/* A number that can be drawn: below 2^490, so that sums and squares stay finite. Looks at the bits,
   as -ffast-math lets a compiler assume that NaN does not exist. */
static int chart__usable(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (bits >> 52 & 0x7FF) < 1023 + 490;
}

#define CHART__READ(ctype)                                                                         \
    do {                                                                                           \
        ctype number;                                                                              \
        memcpy(&number, at + i * (data->stride ? data->stride : sizeof number), sizeof number);    \
        return (double)number;                                                                     \
    } while (0)

static double chart__value(const chart_data *data, size_t i)
{
    const unsigned char *at = (const unsigned char *)data->values;
    switch (data->type) {
    case CHART_FLOAT: CHART__READ(float);
    case CHART_SIZE: CHART__READ(size_t);
    case CHART_INT: CHART__READ(int);
    case CHART_BYTE: CHART__READ(unsigned char);
    default: CHART__READ(double);
    }
}

/* Widens a range to hold v. It starts with range[0] > range[1]. */
static void chart__widen(double range[2], double v)
{
    if (!chart__usable(v)) return;
    range[0] = fmin(range[0], v);
    range[1] = fmax(range[1], v);
}

/* Digits after the point that give the largest value this many significant ones, at least `have`;
   whole numbers need none. */
static int chart__decimals(const chart_desc *d, const chart_data *v, size_t n, int digits, int have)
{
    double range[2] = {0, 0};
    int whole = 1;
    if (d->decimals) return d->decimals < 0 ? 0 : d->decimals;
    for (size_t i = 0; i < n; i++) {
        double value = chart__value(v, i);
        chart__widen(range, value);
        whole = whole && (!chart__usable(value) || floor(value) == value);
    }
    if (whole) return have;
    digits -= 1 + (int)floor(log10(fmax(range[1], -range[0])));
    return digits < have ? have : digits > 6 ? 6 : digits;
}

/* A number as it is printed at a bar or in a cell. */
static void chart__number(char out[200], double v, int decimals)
{
    snprintf(out, 200, "%.*f", decimals, v);
    if (out[0] == '-' && !strpbrk(out, "123456789")) memmove(out, out + 1, strlen(out));
}

/* ------------------------------------------------------------------------------------------ canvas
   Lines go into a mask of coverages, where the strongest wins, and the mask is then painted in one
   colour: so a line's joints and crossings are no darker than the rest of it. */

#define CHART__DARK 0x262626
#define CHART__GREY 0xBFBFBF
#define CHART__PALE 0xE6E6E6 /* of the grid */
#define CHART__WHITE 0xFFFFFF

typedef struct chart__box {
    double left, top, right, bottom;
} chart__box;

typedef struct chart__canvas {
    int width, height;
    double unit;   /* pixels per unit of length: width / 1280 */
    double size;   /* of text: the height of a capital */
    double weight; /* of text: stroke width as a fraction of its size */
    int color;     /* of text */
    chart__box clip, dirty;
    unsigned char *rgb, *mask;
} chart__canvas;

static chart__box chart__make_box(double left, double top, double right, double bottom)
{
    chart__box box;
    box.left = left;
    box.top = top;
    box.right = right;
    box.bottom = bottom;
    return box;
}

static void chart__canvas_close(chart__canvas *c)
{
    free(c->rgb);
    free(c->mask);
    c->rgb = c->mask = NULL;
}

static void chart__canvas_init(chart__canvas *c, const chart_desc *d)
{
    memset(c, 0, sizeof *c);
    c->width = d->width ? d->width : 1280;
    c->unit = c->width / 1280.0;
    c->size = 17 * c->unit;
    c->weight = 0.115;
    c->color = CHART__DARK;
}

static const char *chart__canvas_open(chart__canvas *c, double width, double height)
{
    if (!(width >= 200 && height >= 100 && width <= 16384 && height <= 16384)) {
        return chart__error("a figure of %.0f x %.0f pixels: only 200 x 100 to 16384 x 16384 fit",
                            width, height);
    }
    size_t pixels = (size_t)width * (size_t)height;
    c->width = (int)width;
    c->height = (int)height;
    c->clip = chart__make_box(0, 0, c->width, c->height);
    c->dirty = chart__make_box(c->width, c->height, 0, 0);
    c->rgb = (unsigned char *)malloc(pixels * 3);
    c->mask = (unsigned char *)calloc(pixels, 1);
    if (!c->rgb || !c->mask) return "out of memory for a figure";
    memset(c->rgb, 255, pixels * 3);
    return NULL;
}

static unsigned char *chart__pixel(const chart__canvas *c, int x, int y)
{
    return c->rgb + ((size_t)y * (size_t)c->width + (size_t)x) * 3;
}

static void chart__blend(chart__canvas *c, int x, int y, int color, double alpha)
{
    unsigned char *pixel = chart__pixel(c, x, y);
    for (int i = 0; i < 3; i++) {
        int target = color >> (16 - 8 * i) & 255;
        pixel[i] = (unsigned char)(pixel[i] + (target - pixel[i]) * alpha + 0.5);
    }
}

/* Paints the mask and clears it. */
static void chart__paint(chart__canvas *c, int color, double alpha)
{
    for (int y = (int)c->dirty.top; y < (int)c->dirty.bottom; y++) {
        unsigned char *mask = c->mask + (size_t)y * (size_t)c->width;
        for (int x = (int)c->dirty.left; x < (int)c->dirty.right; x++) {
            if (mask[x]) chart__blend(c, x, y, color, mask[x] * alpha / 255);
            mask[x] = 0;
        }
    }
    c->dirty = chart__make_box(c->width, c->height, 0, 0);
}

/* The whole pixels that a box touches inside the clip. */
static chart__box chart__cut(const chart__canvas *c, chart__box box)
{
    box.left = fmin(fmax(floor(box.left), c->clip.left), c->clip.right);
    box.top = fmin(fmax(floor(box.top), c->clip.top), c->clip.bottom);
    box.right = fmin(fmax(ceil(box.right), c->clip.left), c->clip.right);
    box.bottom = fmin(fmax(ceil(box.bottom), c->clip.top), c->clip.bottom);
    return box;
}

/* The same, for pixels of the mask that are about to change. */
static chart__box chart__touch(chart__canvas *c, chart__box box)
{
    box = chart__cut(c, box);
    c->dirty.left = fmin(c->dirty.left, box.left);
    c->dirty.top = fmin(c->dirty.top, box.top);
    c->dirty.right = fmax(c->dirty.right, box.right);
    c->dirty.bottom = fmax(c->dirty.bottom, box.bottom);
    return box;
}

/* A filled rectangle with its edges on whole pixels. */
static void chart__rect(chart__canvas *c, double left, double top, double right, double bottom,
                        int color)
{
    chart__box box = chart__cut(c, chart__make_box(floor(left + 0.5), floor(top + 0.5),
                                                   floor(right + 0.5), floor(bottom + 0.5)));
    for (int y = (int)box.top; y < (int)box.bottom; y++) {
        for (int x = (int)box.left; x < (int)box.right; x++) chart__blend(c, x, y, color, 1);
    }
}

/* Adds a line with round ends to the mask; one of length 0 is a disc. */
static void chart__segment(chart__canvas *c, double x0, double y0, double x1, double y1,
                           double width)
{
    double r = width / 2, edge = r + 1, dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    chart__box box = chart__touch(c, chart__make_box(fmin(x0, x1) - edge, fmin(y0, y1) - edge,
                                                     fmax(x0, x1) + edge, fmax(y0, y1) + edge));
    for (int y = (int)box.top; y < (int)box.bottom; y++) {
        unsigned char *mask = c->mask + (size_t)y * (size_t)c->width;
        for (int x = (int)box.left; x < (int)box.right; x++) {
            double px = x + 0.5 - x0, py = y + 0.5 - y0;
            double t = length2 > 0 ? fmin(1, fmax(0, (px * dx + py * dy) / length2)) : 0;
            double qx = px - t * dx, qy = py - t * dy;
            double cover = fmin(fmin(1, width), r + 0.5 - sqrt(qx * qx + qy * qy)) * 255;
            if (cover > mask[x]) mask[x] = (unsigned char)cover;
        }
    }
}

/* A piece of a curve; `phase` carries the dash pattern from one piece to the next. */
static void chart__stroke(chart__canvas *c, double x0, double y0, double x1, double y1,
                          double width, chart_dash dash, double *phase)
{
    double dx = x1 - x0, dy = y1 - y0, length = sqrt(dx * dx + dy * dy);
    double on = dash == CHART_DASHED ? 3 * width : 0, period = on + 2.4 * width;
    if (dash == CHART_SOLID || length > 20 * c->width) {
        chart__segment(c, x0, y0, x1, y1, width);
        return;
    }
    for (double at = -*phase; at < length; at += period) {
        double from = fmax(at, 0) / length, to = fmin(at + on, length) / length;
        if (from > to) continue;
        chart__segment(c, x0 + from * dx, y0 + from * dy, x0 + to * dx, y0 + to * dy, width);
    }
    *phase = fmod(*phase + length, period);
}

/* -------------------------------------------------------------------------------------------- text
   A stroke font: a glyph is its advance width, then M move, L line, C cubic Bezier, H and V a
   quarter of an ellipse that leaves horizontally or vertically. x-height 70, capitals 100. */

static const char *const chart__ascii[95] = {
    "34", "28M14 100L14 32M14 1L14 1", "42M14 100L14 74M28 100L28 74",
    "80M31 100L19 0M61 100L49 0M9 66L75 66M5 33L71 33",
    "72M60 75C57 85 48 90 36 90H13 69C13 45 61 57 61 31V36 10C23 10 13 15 10 26M36 106L36 -6",
    "102M27 100H10 79V27 58H44 79V27 100M75 42H58 21V75 0H92 21V75 42M80 100L22 0",
    "84M76 0L24 67C8 88 22 100 36 100H54 81C54 60 9 60 9 26V34 0C54 0 70 20 70 44",
    "28M14 100L14 74", "38M30 112C7 82 7 18 30 -14",
    "38M8 112C31 82 31 18 8 -14", "54M27 100L27 62M11 90L43 72M43 90L11 72",
    "76M38 78L38 16M7 47L69 47", "28M15 2L10 -17", "56M9 43L47 43", "28M14 1L14 1",
    "50M7 -10L43 108", "70M35 100H10 58L10 42V35 0H60 42L60 58V35 100", "70M14 80L38 100L38 0",
    "70M11 75C11 90 21 100 35 100H58 74C58 56 44 43 10 0L62 0",
    "70M11 83C15 94 23 100 34 100H57 77V33 54L27 54M33 54H60 27V34 0C22 0 13 7 9 19",
    "70M48 0L48 100L7 28L64 28",
    "70M56 100L18 100L14 53C20 60 27 64 35 64H60 33V34 0C22 0 14 6 9 17",
    "70M55 87C51 95 45 100 37 100H10 46L10 36V35 0H60 32V36 63H10 32", "70M9 100L61 100L27 0",
    "70M35 100H14 78V35 55H56 78V35 100M35 55H10 27V35 0H60 27V35 55",
    "70M15 13C19 5 25 0 33 0H60 54L60 64V35 100H10 68V34 37H60 68", "28M14 1L14 1M14 62L14 62",
    "28M15 2L10 -17M14 62L14 62", "76M66 78L10 47L66 16", "76M8 61L68 61M8 33L68 33",
    "76M10 78L66 47L10 16", "60M8 81C10 93 18 100 30 100H52 77C52 56 29 58 29 32M29 1L29 1",
    "118M56 66H36 44V56 22H76 44V56 66M76 66L76 36C76 16 107 14 107 50V60 98H11 42V60 -14L88 -8",
    "76M5 0L38 100L71 0M16 33L60 33",
    "80M14 53L14 100L42 100H64 77V42 53L14 53L14 0L44 0H70 27V44 53",
    "86M77 80C71 93 60 100 47 100H10 56L10 44V47 0C60 0 71 7 77 20",
    "90M14 0L14 100L38 100H80 56L80 44V38 0L14 0", "72M64 0L14 0L14 100L63 100M14 52L58 52",
    "68M14 0L14 100L62 100M14 50L56 50",
    "92M77 82C71 94 60 100 47 100H10 56L10 44V47 0H80 35L80 45L51 45",
    "90M14 0L14 100M76 0L76 100M14 52L76 52", "28M14 0L14 100", "62M48 100L48 28V27 0H6 24",
    "78M14 0L14 100M68 100L14 38M34 61L72 0", "66M14 100L14 0L60 0",
    "104M14 0L14 100L52 28L90 100L90 0", "92M14 0L14 100L78 0L78 100",
    "98M49 100H10 56L10 44V49 0H88 44L88 56V49 100", "76M14 0L14 100L43 100H69 72V43 44L14 44",
    "98M49 100H10 56L10 44V49 0H88 44L88 56V49 100M60 22L90 -8",
    "80M14 0L14 100L43 100H69 73V43 46L14 46M44 46L72 0",
    "76M65 82C61 93 52 100 39 100H12 75C12 46 66 56 66 27V38 0C24 0 14 7 9 20",
    "72M5 100L67 100M36 100L36 0", "90M13 100L13 36V45 0H77 36L77 100", "74M5 100L37 0L69 100",
    "110M5 100L30 0L55 94L80 0L105 100", "74M7 100L67 0M67 100L7 0",
    "72M5 100L36 46L67 100M36 46L36 0", "74M10 100L65 100L9 0L66 0",
    "38M32 112L14 112L14 -14L32 -14", "50M7 108L43 -10", "38M6 112L24 112L24 -14L6 -14",
    "64M11 62L32 100L53 62", "60M0 -16L60 -16", "36M10 104L24 86",
    "66M14 57C18 65 25 70 34 70H54 50L54 0M54 41L33 41H10 20V30 0C42 0 50 8 54 18",
    "72M13 100L13 0M37 70H13 38L13 32V37 0H61 32L61 38V37 70",
    "62M54 54C50 64 43 70 34 70H10 38L10 32V34 0C43 0 50 6 54 16",
    "72M59 100L59 0M35 70H11 38L11 32V35 0H59 32L59 38V35 70",
    "68M11 37L58 37V35 70H11 38L11 32V36 0C45 0 52 5 56 15",
    "42M40 100L37 100H19 82L19 0M5 70L37 70",
    "72M59 70L59 -3V36 -29C26 -29 18 -26 14 -19M35 70H11 39L11 34V35 3H59 34L59 39V35 70",
    "70M13 100L13 0M13 42V37 70H57 44L57 0", "26M13 70L13 0M13 95L13 95",
    "28M15 70L15 -10V1 -29L-3 -29M15 95L15 95", "64M13 100L13 0M54 70L13 27M28 43L57 0",
    "32M12 100L12 16V25 0L29 0", "108M13 70L13 0M13 44V35 70H54 46L54 0M54 44V75 70H95 46L95 0",
    "70M13 70L13 0M13 42V37 70H57 44L57 0", "70M35 70H10 38L10 32V35 0H60 32L60 38V35 70",
    "72M13 70L13 -28M37 70H13 38L13 32V37 0H61 32L61 38V37 70",
    "72M59 70L59 -28M35 70H11 38L11 32V35 0H59 32L59 38V35 70", "46M13 70L13 0M13 42V35 70L42 70",
    "60M50 57C46 65 39 70 30 70H11 53C11 33 51 41 51 19V30 0C19 0 12 5 8 14",
    "44M19 92L19 18V34 0L40 0M5 70L38 70", "70M57 0L57 70M57 28V33 0H13 26L13 70",
    "60M6 70L30 0L54 70", "90M6 70L25 0L45 66L65 0L84 70", "60M7 70L53 0M53 70L7 0",
    "60M6 70L31 0M54 70L26 -15C22 -25 17 -29 8 -29", "58M9 70L49 70L8 0L51 0",
    "42M36 112H20 96L20 66V8 49H20 32L20 2V36 -14", "28M14 112L14 -14",
    "42M6 112H22 96L22 66V34 49H22 32L22 2V6 -14", "76M8 40C14 60 26 58 38 47C50 36 62 34 68 54"};

static const struct chart__sign {
    unsigned code;
    const char *path;
} chart__extra[] = {
    {0xB1, "76M38 86L38 28M9 57L67 57M9 6L67 6"},                            /* plus-minus */
    {0xB2, "44M8 88C8 95 14 100 21 100H34 87C34 77 25 71 8 52L36 52"},       /* squared */
    {0xD7, "76M16 69L60 25M60 69L16 25"},                                    /* times */
    {0x3B1, "74M61 70C53 32 46 0 33 0H10 32L10 38V33 70C46 70 53 40 66 0"},  /* alpha */
    {0x3B2, "70M13 -28L13 74V34 100H55 79V32 57L28 57M32 57H60 29V36 0C25 0 17 4 13 10"}, /* beta */
    {0x3B3, "62M5 66C16 76 24 56 30 14L31 -28M57 70L30 6"},                  /* gamma */
    {0x3B5, "58M50 60C46 67 39 70 31 70H12 53V31 37L38 37M31 37H9 18V31 0C40 0 47 4 51 12"},
    {0x3B7, "70M13 70L13 0M13 42V37 70H57 44L57 -28"},                       /* eta */
    {0x3BB, "64M7 100C15 102 19 98 22 90L55 0M31 62L8 0"},                   /* lambda */
    {0x3BC, "72M13 70L13 -28M13 26V33 0H57 28M57 70L57 12V64 0"},            /* mu */
    {0x3C3, "74M68 70L35 70H10 38L10 32V35 0H60 32L60 38C60 56 52 66 40 70"}, /* sigma */
    {0x2013, "70M6 43L64 43"},                                               /* en dash */
};

static const char *chart__glyph(unsigned code)
{
    if (code >= 32 && code < 127) return chart__ascii[code - 32];
    for (size_t i = 0; i < sizeof chart__extra / sizeof *chart__extra; i++) {
        if (chart__extra[i].code == code) return chart__extra[i].path;
    }
    return "64M10 0L54 0L54 100L10 100L10 0";
}

static unsigned chart__next_code(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    unsigned code = *s++;
    if (code >= 0xC0) code &= code >= 0xF0 ? 7 : code >= 0xE0 ? 15 : 31;
    while ((*s & 0xC0) == 0x80) code = code << 6 | (*s++ & 63u);
    *text = (const char *)s;
    return code;
}

static double chart__text_width(const char *text, double size)
{
    double width = 0;
    while (*text) width += 3 + (double)strtol(chart__glyph(chart__next_code(&text)), NULL, 10);
    return width * size / 100;
}

/* The size at which a text fits into `room`, at most `size`. */
static double chart__fit(const char *text, double size, double room)
{
    double width = chart__text_width(text, size);
    return width > room ? size * room / width : size;
}

/* Maps glyph units to pixels. */
typedef struct chart__pen {
    double x, y, along, up; /* origin; direction of the text times scale */
    double width;
} chart__pen;

static void chart__bezier(chart__canvas *c, const chart__pen *pen, const double p[8], int pieces)
{
    double x0 = 0, y0 = 0;
    int dot = p[0] == p[6] && p[1] == p[7]; /* would look too small at the width of a line */
    for (int i = 0; i <= pieces; i++) {
        double t = (double)i / pieces, s = 1 - t;
        double k0 = s * s * s, k1 = 3 * s * s * t, k2 = 3 * s * t * t, k3 = t * t * t;
        double gx = k0 * p[0] + k1 * p[2] + k2 * p[4] + k3 * p[6];
        double gy = k0 * p[1] + k1 * p[3] + k2 * p[5] + k3 * p[7];
        double x = pen->x + gx * pen->along - gy * pen->up;
        double y = pen->y - gx * pen->up - gy * pen->along;
        if (i) chart__segment(c, x0, y0, x, y, dot ? 1.3 * pen->width : pen->width);
        x0 = x;
        y0 = y;
    }
}

/* Draws a glyph and moves the pen on. */
static void chart__draw_glyph(chart__canvas *c, chart__pen *pen, const char *path)
{
    const double round = 0.58; /* 0.55 is an ellipse; a little more reads better */
    char *at;
    double advance = 3 + (double)strtol(path, &at, 10), p[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    while (*at) {
        char op = *at++;
        for (int i = op == 'C' ? 2 : 6; i < 8; i++) p[i] = (double)strtol(at, &at, 10);
        double dx = round * (p[6] - p[0]), dy = round * (p[7] - p[1]);
        if (op != 'C') {
            p[2] = p[0] + (op == 'V' ? 0 : dx);
            p[3] = p[1] + (op == 'H' ? 0 : dy);
            p[4] = p[6] - (op == 'H' ? 0 : dx);
            p[5] = p[7] - (op == 'V' ? 0 : dy);
        }
        if (op != 'M') chart__bezier(c, pen, p, op == 'L' ? 1 : 10);
        p[0] = p[6];
        p[1] = p[7];
    }
    pen->x += advance * pen->along;
    pen->y -= advance * pen->up;
}

/* Text on a baseline turned by an angle in degrees. align: 0 starts at (x, y), 0.5 is centred on
   it, 1 ends there. */
static void chart__text(chart__canvas *c, double x, double y, const char *text, double size,
                        double align, double turn)
{
    chart__pen pen;
    double angle = turn * 3.14159265358979323846 / 180;
    double shift = -align * chart__text_width(text, size);
    pen.x = x + shift * cos(angle);
    pen.y = floor(y + 0.5) - shift * sin(angle);
    pen.along = size / 100 * cos(angle);
    pen.up = size / 100 * sin(angle);
    pen.width = size * c->weight;
    while (*text) chart__draw_glyph(c, &pen, chart__glyph(chart__next_code(&text)));
    chart__paint(c, c->color, 1);
}

static void chart__title(chart__canvas *c, double x, const char *title)
{
    double weight = c->weight, size = 1.3 * c->size;
    if (!title) return;
    c->weight = 0.15;
    chart__text(c, x, 46 * c->unit, title, chart__fit(title, size, 0.9 * c->width), 0.5, 0);
    c->weight = weight;
}

/* ----------------------------------------------------------------------------------------- axes */

#define CHART__TICKS 64

typedef struct chart__axis {
    int log;           /* lo, hi and at[] are decimal logarithms */
    int whole;         /* ticks at whole numbers only */
    double lo, hi;
    double start, end; /* pixels of lo and hi */
    int count;
    const char *const *names;     /* instead of at and text: tick i is at i */
    double at[CHART__TICKS];
    char text[CHART__TICKS][24];  /* "": a minor tick */
} chart__axis;

static double chart__place(const chart__axis *axis, double v)
{
    double t = fmin(1e6, fmax(-1e6, (v - axis->lo) / (axis->hi - axis->lo)));
    return axis->start + t * (axis->end - axis->start);
}

static double chart__tick_pixel(const chart__axis *axis, int i)
{
    return floor(chart__place(axis, axis->names ? i : axis->at[i]));
}

static const char *chart__tick_name(const chart__axis *axis, int i)
{
    const char *name = axis->names ? axis->names[i] : axis->text[i];
    return name ? name : "";
}

static double chart__widest_tick(const chart__axis *axis, double size, double *sum)
{
    double widest = 0;
    *sum = 0;
    for (int i = 0; i < axis->count; i++) {
        double width = chart__text_width(chart__tick_name(axis, i), size);
        widest = fmax(widest, width);
        *sum += width;
    }
    return widest;
}

/* The least of 1, 2, 5 times a power of ten that cuts the span into at most `parts`. */
static double chart__nice_step(double span, int parts)
{
    double raw = span / parts * (1 - 1e-9), power = pow(10, floor(log10(raw))), f = raw / power;
    return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

static int chart__exponent(double v) { return (int)floor(log10(v) + 1e-9); }

/* A number with the digits that the step needs; all ticks of an axis look alike. */
static void chart__tick_text(char out[24], double v, double step, double largest)
{
    int fine = chart__exponent(step), coarse = chart__exponent(largest);
    if (fabs(v) < step / 2) {
        snprintf(out, 24, "0");
    } else if (coarse >= 6 || coarse < -4) {
        int digits = coarse > fine ? coarse - fine : 0;
        snprintf(out, 24, "%.*fe%d", digits, v / pow(10, coarse), coarse);
    } else {
        snprintf(out, 24, "%.*f", fine < 0 ? -fine : 0, v);
    }
}

static void chart__linear_ticks(chart__axis *axis, int parts)
{
    double step = fmax(chart__nice_step(axis->hi - axis->lo, parts), axis->whole ? 1 : 0);
    double first = ceil(axis->lo / step - 1e-6), last = floor(axis->hi / step + 1e-6);
    double largest = step * fmax(1, fmax(fabs(first), fabs(last)));
    int i = 0;
    for (; first + i <= last && i < CHART__TICKS; i++) {
        axis->at[i] = (first + i) * step;
        chart__tick_text(axis->text[i], axis->at[i], step, largest);
    }
    axis->count = i;
}

/* Powers of ten, with minor ticks between; those have numbers, too, where the axis is short. */
static void chart__log_ticks(chart__axis *axis, int parts)
{
    double span = axis->hi - axis->lo, every = ceil(span / parts);
    int numbers = span < 1.5 ? 9 : 1, minor = span < 1.5 || (every == 1 && span < 7) ? 9 : 1;
    axis->count = 0;
    for (double k = floor(axis->lo); k <= axis->hi; k += every) {
        for (int m = 1; m <= minor && axis->count < CHART__TICKS; m++) {
            char *text = axis->text[axis->count];
            double at = k + log10(m);
            if (at < axis->lo - 1e-9 || at > axis->hi + 1e-9) continue;
            axis->at[axis->count++] = at;
            if (m > numbers) text[0] = 0;
            else if (k >= -4 && k < 6) snprintf(text, 24, "%.5g", m * pow(10, k));
            else snprintf(text, 24, "%de%.0f", m, k);
        }
    }
}

static void chart__ticks(chart__axis *axis, int parts)
{
    if (axis->names) return;
    if (axis->log) chart__log_ticks(axis, parts);
    else chart__linear_ticks(axis, parts);
}

/* Sets an axis to the data's range, or to the fixed one when min < max. */
static const char *chart__set_axis(chart__axis *axis, const double range[2], double min, double max,
                                   double pad)
{
    double lo = range[0], hi = range[1], large = fmax(fabs(lo), fabs(hi));
    if (min < max) {
        double least = fmax(1e-140, 1e-9 * fmax(fabs(min), fabs(max)));
        if (!chart__usable(min) || !chart__usable(max) || max - min < least ||
            (axis->log && min <= 0)) {
            return chart__error("an axis from %g to %g cannot be drawn", min, max);
        }
        axis->lo = axis->log ? log10(min) : min;
        axis->hi = axis->log ? log10(max) : max;
        return NULL;
    }
    if (hi - lo <= fmax(large * 1e-9, 1e-140)) { /* one value: it gets the middle */
        lo -= large > 0 ? large / 10 : 1;
        hi += large > 0 ? large / 10 : 1;
    }
    axis->lo = lo - pad * (hi - lo);
    axis->hi = hi + pad * (hi - lo);
    return NULL;
}

/* ------------------------------------------------------------------------------------------- plots
   Lines, bars and heat maps share axes, frame and legend. Lengths are in units of width / 1280. */

typedef enum chart__kind { CHART__LINES, CHART__BARS, CHART__HEAT } chart__kind;

typedef struct chart__point {
    double x, y, lo, hi; /* on the axes' scales; the band goes from lo to hi */
    int ok;
} chart__point;

typedef struct chart__plot {
    const chart_desc *d;
    chart__kind kind;
    chart__canvas c;
    chart__axis x, y, z;  /* z: the colours of a heat map */
    chart__point *points; /* room for the longest series */
    chart__box area;
    double turn;          /* angle of the names below the plot */
    double name_width;    /* the most that they may take */
    int legend_columns;   /* of a legend under the plot; 0: it is inside */
    int decimals;
} chart__plot;

static double chart__line_width(const chart__plot *p, size_t points)
{
    return (points > 1000 ? 2 : 3.2) * p->c.unit;
}

static int chart__series_color(const chart_desc *d, int s)
{
    static const int palette[CHART_COLORS] = {0, 0x0072B2, 0xD55E00, 0x009E73, 0xCC79A7,
                                              0xE69F00, 0x56B4E9, 0x000000, 0xF0E442};
    int color = (int)d->series[s].color;
    return palette[color > 0 && color < CHART_COLORS ? color : 1 + s % (CHART_COLORS - 1)];
}

/* The mean and the deviation of the usable points in [from, to), on the data's scale. */
static void chart__mean_point(const chart_series *s, size_t from, size_t to, chart__point *out)
{
    double n = 0, x = 0, y = 0, squares = 0, spread;
    for (size_t i = from; i < to; i++) {
        double xi = s->x.values ? chart__value(&s->x, i) : (double)i, yi = chart__value(&s->y, i);
        if (!chart__usable(xi) || !chart__usable(yi)) continue;
        n++;
        x += (xi - x) / n;
        squares += (yi - y) * (yi - y) * (n - 1) / n; /* Welford 1962 */
        y += (yi - y) / n;
    }
    spread = n > 0 ? sqrt(squares / n) : 0;
    if (to - from == 1 && s->deviation.values) spread = fabs(chart__value(&s->deviation, from));
    if (!chart__usable(spread)) spread = 0;
    out->ok = n > 0;
    out->x = x;
    out->y = y;
    out->lo = y - spread;
    out->hi = y + spread;
}

/* Fills p->points with what is to be drawn of a series, on the axes' scales. */
static size_t chart__fill_points(chart__plot *p, const chart_series *s)
{
    size_t block = s->smooth > 1 && p->kind == CHART__LINES ? s->smooth : 1, count = 0;
    for (size_t i = 0; i < s->n; i += block) {
        chart__point *q = &p->points[count++];
        size_t end = s->n - i < block ? s->n : i + block;
        chart__mean_point(s, i, end, q);
        if ((p->x.log && q->x <= 0) || (p->y.log && q->y <= 0)) q->ok = 0;
        if (q->ok && p->x.log) q->x = log10(q->x);
        if (q->ok && p->y.log) {
            q->y = log10(q->y);
            q->hi = log10(q->hi);
            q->lo = q->lo > 0 ? log10(q->lo) : q->y;
        }
        if (end == s->n) break;
    }
    return count;
}

/* Sets the axes of lines and bars. */
static const char *chart__series_axes(chart__plot *p)
{
    const chart_desc *d = p->d;
    double x[2] = {1e300, -1e300}, y[2] = {1e300, -1e300};
    const char *error;
    p->x.whole = !p->x.log;
    for (int s = 0; s < d->series_count; s++) {
        size_t n = chart__fill_points(p, &d->series[s]);
        for (size_t i = 0; i < n; i++) {
            if (!p->points[i].ok) continue;
            p->x.whole = p->x.whole && floor(p->points[i].x) == p->points[i].x;
            chart__widen(x, p->points[i].x);
            chart__widen(y, p->points[i].lo);
            chart__widen(y, p->points[i].hi);
        }
    }
    if (x[0] > x[1]) return "no point can be drawn: none is finite, or positive where it must be";
    if (p->kind == CHART__LINES) {
        error = chart__set_axis(&p->x, x, d->x_min, d->x_max, 0.03);
        return error ? error : chart__set_axis(&p->y, y, d->y_min, d->y_max, 0.05);
    }
    double room = 0.08 * (fmax(y[1], 0) - fmin(y[0], 0)); /* for the numbers at the bars */
    y[0] = y[0] < 0 ? y[0] - room : 0;
    y[1] = y[1] > 0 ? y[1] + room : 0;
    return chart__set_axis(&p->y, y, d->y_min, d->y_max, 0);
}

static const char *chart__open_series(chart__plot *p)
{
    const chart_desc *d = p->d;
    size_t longest = 0;
    if (!d->series || d->series_count < 1) return "a figure without series";
    for (int i = 0; i < d->series_count; i++) {
        const chart_series *s = &d->series[i];
        if (s->n == 0 || !s->y.values) {
            return chart__error("series %d (%s) has no points", i, s->label ? s->label : "-");
        }
        longest = s->n > longest ? s->n : longest;
    }
    if (longest > SIZE_MAX / sizeof *p->points) return "a series is too long";
    if (p->kind == CHART__BARS) {
        if (longest > 1000) return "more than 1000 groups of bars";
        p->x.names = d->col_names;
        p->x.count = d->col_names ? (int)longest : 0;
        p->x.lo = -0.5;
        p->x.hi = (double)longest - 0.5;
    } else {
        p->x.log = d->log_x;
        p->y.log = d->log_y;
    }
    p->points = (chart__point *)malloc(longest * sizeof *p->points);
    return p->points ? chart__series_axes(p) : "out of memory for a figure";
}

static const char *chart__open_heat(chart__plot *p)
{
    const chart_desc *d = p->d;
    double range[2] = {1e300, -1e300};
    if (!d->values.values) return "a heat map without values";
    if (d->rows < 1 || d->cols < 1 || d->rows > 1000 || d->cols > 1000) {
        return chart__error("a heat map of %d x %d cells", d->rows, d->cols);
    }
    size_t n = (size_t)d->rows * (size_t)d->cols;
    for (size_t i = 0; i < n; i++) chart__widen(range, chart__value(&d->values, i));
    if (range[0] > range[1]) return "a heat map without a finite value";
    p->decimals = chart__decimals(d, &d->values, n, 3, 0);
    p->x.names = d->col_names;
    p->x.count = d->col_names ? d->cols : 0;
    p->x.lo = p->y.hi = -0.5;
    p->x.hi = d->cols - 0.5;
    p->y.names = d->row_names;
    p->y.count = d->row_names ? d->rows : 0;
    p->y.lo = d->rows - 0.5; /* row 0 is at the top */
    return chart__set_axis(&p->z, range, d->y_min, d->y_max, 0);
}

/* The width of a legend's widest entry; *entries is their number. */
static double chart__legend_entry(const chart__plot *p, int *entries)
{
    double widest = 0;
    *entries = 0;
    for (int s = 0; p->kind != CHART__HEAT && s < p->d->series_count; s++) {
        if (!p->d->series[s].label) continue;
        widest = fmax(widest, chart__text_width(p->d->series[s].label, p->c.size));
        ++*entries;
    }
    return widest + 84 * p->c.unit;
}

static double chart__legend_height(const chart__plot *p, int columns)
{
    int entries;
    chart__legend_entry(p, &entries);
    return columns ? (entries + columns - 1) / columns * 32 * p->c.unit + 12 * p->c.unit : 0;
}

/* Height of what is below the plot's area. Names that are too wide for their place are turned, and
   shrunk where they would need more than `limit`. */
static double chart__below(chart__plot *p, double place, double limit)
{
    double u = p->c.unit, size = p->c.size, sum, widest = chart__widest_tick(&p->x, size, &sum);
    p->turn = p->x.names && widest > 0.94 * place ? 40 : 0;
    p->name_width = fmin(widest, p->turn > 0 ? (limit - size) / 0.65 : widest);
    return (p->turn > 0 ? 0.65 * p->name_width + size : size) + 42 * u +
           (p->d->x_label ? 36 * u : 0) + chart__legend_height(p, p->legend_columns);
}

/* Chooses the area of a heat map: square cells in the middle of the figure. Gives the height. */
static double chart__heat_area(chart__plot *p)
{
    double u = p->c.unit, sum, cols = p->d->cols, rows = p->d->rows;
    chart__ticks(&p->z, 8);
    p->area.right -= 80 * u + chart__widest_tick(&p->z, p->c.size, &sum);
    double room = p->area.right - p->area.left;
    double cell = fmax(1, floor(fmin(room / cols, 900 * u / rows)));
    p->area.left = floor(p->area.left + fmax(0, room - cell * cols) / 2);
    p->area.right = p->area.left + cell * cols;
    p->area.bottom = p->area.top + cell * rows;
    p->z.start = p->area.bottom;
    p->z.end = p->area.top;
    return p->area.bottom + chart__below(p, cell, 300 * u);
}

/* Chooses ticks, the plot's area and the height of the figure, and opens the canvas. */
static const char *chart__layout(chart__plot *p)
{
    const chart_desc *d = p->d;
    double u = p->c.unit, sum, height = d->height ? d->height : floor(800 * u);
    int parts = (int)fmax(2, fmin(8, (height - 100 * u) / (60 * u)));
    if (p->kind != CHART__HEAT) chart__ticks(&p->y, parts);
    p->area.left = floor(30 * u + (d->y_label ? 34 * u : 0) +
                         chart__widest_tick(&p->y, p->c.size, &sum));
    p->area.right = floor(p->c.width - 40 * u);
    p->area.top = floor(d->title ? 76 * u : 30 * u);
    for (parts = 10; p->kind == CHART__LINES && parts > 1; parts--) {
        chart__ticks(&p->x, parts);
        double widest = chart__widest_tick(&p->x, p->c.size, &sum);
        p->area.right = floor(p->c.width - fmax(40 * u, widest / 2 + 12 * u));
        if (sum < 0.7 * (p->area.right - p->area.left)) break;
    }
    if (p->kind == CHART__HEAT) {
        height = ceil(chart__heat_area(p));
    } else {
        double slot = (p->area.right - p->area.left) / (p->x.hi - p->x.lo);
        double below = chart__below(p, slot, 0.3 * height);
        p->area.bottom = floor(fmax(p->area.top + 20 * u, height - below));
    }
    p->x.start = p->area.left;
    p->x.end = p->area.right;
    p->y.start = p->area.bottom;
    p->y.end = p->area.top;
    chart__canvas_close(&p->c);
    return chart__canvas_open(&p->c, p->c.width, height);
}

static void chart__x_ticks(chart__plot *p)
{
    chart__canvas *c = &p->c;
    double u = c->unit, line = fmax(1, floor(1.5 * u)), bottom = p->area.bottom;
    for (int i = 0; i < p->x.count; i++) {
        const char *name = chart__tick_name(&p->x, i);
        double x = chart__tick_pixel(&p->x, i), mark = p->kind == CHART__HEAT ? 0 : name[0] ? 8 : 5;
        int grid = p->kind == CHART__LINES && name[0];
        if (grid) chart__rect(c, x, p->area.top, x + line, bottom, CHART__PALE);
        chart__rect(c, x, bottom, x + line, bottom + mark * u, CHART__DARK);
        double room = p->turn > 0 ? (x - 8 * u) / 0.77 : c->width;
        double size = chart__fit(name, c->size, fmin(room, p->name_width));
        chart__text(c, x, bottom + 17 * u + size, name, size, p->turn > 0 ? 1 : 0.5, p->turn);
    }
}

static void chart__y_ticks(chart__plot *p)
{
    chart__canvas *c = &p->c;
    double u = c->unit, line = fmax(1, floor(1.5 * u)), left = p->area.left;
    for (int i = 0; i < p->y.count; i++) {
        const char *name = chart__tick_name(&p->y, i);
        double y = chart__tick_pixel(&p->y, i), mark = p->kind == CHART__HEAT ? 0 : name[0] ? 8 : 5;
        if (!p->y.names && name[0]) chart__rect(c, left, y, p->area.right, y + line, CHART__PALE);
        chart__rect(c, left - mark * u, y, left, y + line, CHART__DARK);
        chart__text(c, left - 15 * u, y + c->size / 2 + 1, name, c->size, 1, 0);
    }
}

/* Title, labels, ticks and grid. */
static void chart__frame(chart__plot *p)
{
    chart__canvas *c = &p->c;
    const chart_desc *d = p->d;
    double u = c->unit, size = 1.06 * c->size, sum;
    double x = (p->area.left + p->area.right) / 2, y = (p->area.top + p->area.bottom) / 2;
    double foot = c->height - 22 * u - chart__legend_height(p, p->legend_columns);
    double side = p->area.left - chart__widest_tick(&p->y, c->size, &sum) - 30 * u;
    chart__title(c, x, d->title);
    if (d->x_label) chart__text(c, x, foot, d->x_label, size, 0.5, 0);
    if (d->y_label) chart__text(c, side, y, d->y_label, size, 0.5, 90);
    chart__x_ticks(p);
    chart__y_ticks(p);
}

/* The two axis lines, over the data. */
static void chart__axis_lines(chart__plot *p)
{
    double line = fmax(2, floor(2 * p->c.unit)), bottom = p->area.bottom;
    chart__rect(&p->c, p->area.left - line, p->area.top, p->area.left, bottom + line, CHART__DARK);
    chart__rect(&p->c, p->area.left, bottom, p->area.right, bottom + line, CHART__DARK);
}

static void chart__clip(chart__plot *p, int on)
{
    p->c.clip = on ? p->area : chart__make_box(0, 0, p->c.width, p->c.height);
}

/* Adds the band between two neighbouring points to the mask, in strips of a quarter of a pixel. */
static void chart__band(chart__plot *p, const chart__point *a, const chart__point *b)
{
    double x0 = 4 * chart__place(&p->x, a->x), x1 = 4 * chart__place(&p->x, b->x);
    double from = fmax(ceil(x0 - 0.5), 4 * p->area.left), to = fmin(x1 - 0.5, 4 * p->area.right);
    for (double k = from; k < to; k++) {
        double t = (k + 0.5 - x0) / (x1 - x0), x = floor(k / 4);
        double top = chart__place(&p->y, a->hi + t * (b->hi - a->hi));
        double bottom = chart__place(&p->y, a->lo + t * (b->lo - a->lo));
        chart__box box = chart__touch(&p->c, chart__make_box(x, top, x + 1, bottom));
        for (int y = (int)box.top; y < (int)box.bottom; y++) {
            unsigned char *mask = p->c.mask + (size_t)y * (size_t)p->c.width + (size_t)x;
            double cover = fmin(y + 1, bottom) - fmax(y, top);
            *mask = (unsigned char)fmin(255, *mask + 63.75 * cover);
        }
    }
}

static void chart__draw_band(chart__plot *p, size_t n, int color)
{
    const chart__point *q = p->points;
    for (size_t i = 1; i < n; i++) {
        if (q[i - 1].ok && q[i].ok) chart__band(p, &q[i - 1], &q[i]);
    }
    chart__paint(&p->c, color, 0.22);
}

/* The curve itself; points get markers when they are few or stand alone. */
static void chart__draw_curve(chart__plot *p, size_t n, chart_dash dash, int color)
{
    const chart__point *q = p->points;
    double width = chart__line_width(p, n), phase = 0, x0 = 0, y0 = 0;
    for (size_t i = 0; i < n; i++) {
        if (!q[i].ok) continue;
        double x = chart__place(&p->x, q[i].x), y = chart__place(&p->y, q[i].y);
        int before = i > 0 && q[i - 1].ok, after = i + 1 < n && q[i + 1].ok;
        if (before) chart__stroke(&p->c, x0, y0, x, y, width, dash, &phase);
        if (n <= 25 || (!before && !after)) chart__segment(&p->c, x, y, x, y, 3.2 * width);
        x0 = x;
        y0 = y;
    }
    chart__paint(&p->c, color, 1);
}

/* All bands are behind all curves. */
static void chart__draw_lines(chart__plot *p)
{
    chart__clip(p, 1);
    for (int s = 0; s < p->d->series_count; s++) {
        const chart_series *series = &p->d->series[s];
        if (!series->deviation.values && series->smooth < 2) continue;
        chart__draw_band(p, chart__fill_points(p, series), chart__series_color(p->d, s));
    }
    for (int s = 0; s < p->d->series_count; s++) {
        size_t n = chart__fill_points(p, &p->d->series[s]);
        chart__draw_curve(p, n, p->d->series[s].dash, chart__series_color(p->d, s));
    }
    chart__clip(p, 0);
}

static void chart__error_bar(chart__plot *p, double x, double lo, double hi)
{
    double cap = 7 * p->c.unit, width = 2 * p->c.unit;
    chart__segment(&p->c, x, hi, x, lo, width);
    chart__segment(&p->c, x - cap, hi, x + cap, hi, width);
    chart__segment(&p->c, x - cap, lo, x + cap, lo, width);
    chart__paint(&p->c, CHART__DARK, 1);
}

/* A bar with its number, which may be as wide as `room` or else stands upright. */
static void chart__draw_bar(chart__plot *p, const chart__point *q, double left, double right,
                            double room, int color)
{
    char number[200];
    double size = p->c.size, gap = 9 * p->c.unit, x = (left + right) / 2;
    double base = chart__place(&p->y, fmax(p->y.lo, fmin(p->y.hi, 0)));
    double y = chart__place(&p->y, q->y), lo = chart__place(&p->y, q->lo);
    double hi = chart__place(&p->y, q->hi);
    chart__clip(p, 1);
    chart__rect(&p->c, left, fmin(base, y), right, fmax(base, y), color);
    if (q->hi > q->lo) chart__error_bar(p, x, lo, hi);
    chart__clip(p, 0);
    int down = q->y < 0;
    double tip = fmin(p->area.bottom, fmax(p->area.top, down ? lo : hi));
    chart__number(number, q->y, p->decimals);
    double fit = chart__fit(number, size, 0.92 * room);
    if (fit < 0.7 * size) {
        fit = fmin(0.85 * size, 1.4 * room);
        chart__text(&p->c, x + fit / 2, tip + (down ? gap : -gap), number, fit, down, 90);
    } else {
        chart__text(&p->c, x, down ? tip + gap + size : tip - gap, number, fit, 0.5, 0);
    }
}

static void chart__draw_bars(chart__plot *p)
{
    const chart_desc *d = p->d;
    double slot = (p->area.right - p->area.left) / (p->x.hi - p->x.lo);
    double pitch = slot * (d->series_count > 1 ? 0.84 : 0.6) / d->series_count;
    p->decimals = 0;
    for (int s = 0; s < d->series_count; s++) {
        p->decimals = chart__decimals(d, &d->series[s].y, d->series[s].n, 4, p->decimals);
    }
    for (int s = 0; s < d->series_count; s++) {
        size_t n = chart__fill_points(p, &d->series[s]);
        for (size_t i = 0; i < n; i++) {
            double left = chart__place(&p->x, (double)i) + pitch * (s - d->series_count / 2.0);
            double right = left + pitch * (d->series_count > 1 ? 0.94 : 1);
            if (!p->points[i].ok) continue;
            chart__draw_bar(p, &p->points[i], left, right, d->series_count > 1 ? pitch : slot,
                            chart__series_color(d, s));
        }
    }
}

/* From white to dark blue; t in [0, 1]. */
static int chart__heat_color(double t)
{
    static const int stop[6] = {0xF7FBFF, 0xD0E1F2, 0x94C4DF, 0x4A98C9, 0x1764AB, 0x08306B};
    t = fmin(1, fmax(0, t)) * 5;
    int i = t < 4 ? (int)t : 4, color = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        int a = stop[i] >> shift & 255, b = stop[i + 1] >> shift & 255;
        color = color << 8 | (int)(a + (t - i) * (b - a) + 0.5);
    }
    return color;
}

static void chart__draw_cell(chart__plot *p, int row, int col)
{
    chart__canvas *c = &p->c;
    char number[200];
    double v = chart__value(&p->d->values, (size_t)row * (size_t)p->d->cols + (size_t)col);
    double cell = (p->area.right - p->area.left) / p->d->cols;
    double x = p->area.left + col * cell, y = p->area.top + row * cell;
    if (!chart__usable(v)) return;
    double t = (v - p->z.lo) / (p->z.hi - p->z.lo);
    chart__rect(c, x, y, x + cell, y + cell, chart__heat_color(t));
    chart__number(number, v, p->decimals);
    double size = chart__fit(number, fmin(c->size, 0.4 * cell), 0.84 * cell);
    if (size < 6) return;
    c->color = t > 0.55 ? CHART__WHITE : CHART__DARK;
    chart__text(c, x + cell / 2, y + (cell + size) / 2, number, size, 0.5, 0);
    c->color = CHART__DARK;
}

/* The cells, and the bar that explains their colours. */
static void chart__draw_heat(chart__plot *p)
{
    chart__canvas *c = &p->c;
    double u = c->unit, left = p->area.right + 30 * u, right = left + 28 * u;
    double span = p->area.bottom - p->area.top;
    for (int row = 0; row < p->d->rows; row++) {
        for (int col = 0; col < p->d->cols; col++) chart__draw_cell(p, row, col);
    }
    for (double y = p->area.top; y < p->area.bottom; y++) {
        chart__rect(c, left, y, right, y + 1, chart__heat_color((p->area.bottom - y - 0.5) / span));
    }
    for (int i = 0; i < p->z.count; i++) {
        double y = chart__tick_pixel(&p->z, i);
        chart__rect(c, right, y, right + 7 * u, y + fmax(1, floor(1.5 * u)), CHART__DARK);
        chart__text(c, right + 14 * u, y + c->size / 2, p->z.text[i], c->size, 0, 0);
    }
}

/* ---- legend */

static void chart__legend_sample(chart__plot *p, int s, double x, double y)
{
    double u = p->c.unit, size = p->c.size, middle = y - size / 2, phase = 0;
    int color = chart__series_color(p->d, s);
    if (p->kind == CHART__BARS) {
        chart__rect(&p->c, x + 12 * u, y - size, x + 38 * u, y, color);
        return;
    }
    chart__stroke(&p->c, x, middle, x + 44 * u, middle, chart__line_width(p, 0),
                  p->d->series[s].dash, &phase);
    chart__paint(&p->c, color, 1);
}

/* All entries in rows of `columns`; (left, top) is the corner of the first. */
static void chart__draw_legend(chart__plot *p, double left, double top, int columns)
{
    int entries, i = 0;
    double u = p->c.unit, pitch = chart__legend_entry(p, &entries);
    for (int s = 0; s < p->d->series_count; s++) {
        if (!p->d->series[s].label) continue;
        double x = left + i % columns * pitch, y = floor(top + (i / columns + 0.78) * 32 * u);
        chart__legend_sample(p, s, x, y);
        chart__text(&p->c, x + 56 * u, y, p->d->series[s].label, p->c.size, 0, 0);
        i++;
    }
}

/* 1 when a box shows nothing but background and grid. */
static int chart__is_empty(const chart__canvas *c, chart__box box)
{
    box = chart__cut(c, box);
    for (int y = (int)box.top; y < (int)box.bottom; y++) {
        for (int x = (int)box.left; x < (int)box.right; x++) {
            const unsigned char *q = chart__pixel(c, x, y);
            int color = q[0] << 16 | q[1] << 8 | q[2];
            if (color != CHART__WHITE && color != CHART__PALE) return 0;
        }
    }
    return 1;
}

/* Draws the legend where it covers nothing, in a corner if possible; 0: there is no such place. */
static int chart__legend_inside(chart__plot *p, double width, double height)
{
    static const double place[8][2] = {{1, 0}, {0, 0}, {1, 1}, {0, 1},
                                       {1, 0.5}, {0, 0.5}, {0.5, 0}, {0.5, 1}};
    double gap = 14 * p->c.unit, line = fmax(1, floor(p->c.unit));
    double free_x = p->area.right - p->area.left - width - 2 * gap;
    double free_y = p->area.bottom - p->area.top - height - 2 * gap;
    if (free_x < 0 || free_y < 0) return 0;
    for (int i = 0; i < 8; i++) {
        double x = floor(p->area.left + gap + place[i][0] * free_x);
        double y = floor(p->area.top + gap + place[i][1] * free_y);
        if (!chart__is_empty(&p->c, chart__make_box(x - gap / 2, y - gap / 2, x + width + gap / 2,
                                                    y + height + gap / 2))) {
            continue;
        }
        chart__rect(&p->c, x, y, x + width, y + height, CHART__GREY);
        chart__rect(&p->c, x + line, y + line, x + width - line, y + height - line, CHART__WHITE);
        chart__draw_legend(p, x + gap, y + 6 * p->c.unit, 1);
        return 1;
    }
    return 0;
}

/* 0: there is no place for it inside the plot, and p->legend_columns is set for one below. */
static int chart__legend(chart__plot *p)
{
    int entries;
    double pitch = chart__legend_entry(p, &entries), room = p->area.right - p->area.left;
    if (entries == 0) return 1;
    if (p->legend_columns) {
        double left = (p->area.left + p->area.right - p->legend_columns * pitch) / 2;
        chart__draw_legend(p, left, p->c.height - chart__legend_height(p, p->legend_columns),
                           p->legend_columns);
        return 1;
    }
    if (chart__legend_inside(p, pitch, chart__legend_height(p, 1))) return 1;
    p->legend_columns = (int)fmax(1, fmin(entries, floor(room / pitch)));
    return 0;
}

/* --------------------------------------------------------------------------------------- saving */

#if CHART_STB
typedef struct chart__file {
    FILE *stream;
    int failed; /* errno of the first write that failed */
} chart__file;

static void chart__write(void *context, void *bytes, int size)
{
    chart__file *file = (chart__file *)context;
    if (file->failed || fwrite(bytes, 1, (size_t)size, file->stream) == (size_t)size) return;
    file->failed = errno ? errno : EIO;
}

/* stb's own writer calls a picture on a full disk a success, so the stream is ours. */
static int chart__write_png(const chart__canvas *c, const char *path)
{
    chart__file file;
    errno = file.failed = 0;
    file.stream = fopen(path, "wb");
    if (!file.stream) return errno ? errno : EIO;
    /* flat colours repeat themselves better than their differences do: half the time, and files of
       about the same size (charts 0 to 7 % smaller, pictures of weights 12 % larger) */
    stbi_write_force_png_filter = 0;
    stbi_write_png_compression_level = 5;
    int done = stbi_write_png_to_func(chart__write, &file, c->width, c->height, 3, c->rgb,
                                      c->width * 3);
    if (!done && !file.failed) file.failed = ENOMEM;
    if (fclose(file.stream) != 0 && !file.failed) file.failed = errno ? errno : EIO;
    return file.failed;
}

static const char *chart__save(const chart__canvas *c, const char *path)
{
    size_t length = path ? strlen(path) : 0;
    if (length < 5 || strcmp(path + length - 4, ".png") != 0) {
        return chart__error("%s: the name of a picture must end in .png", path ? path : "NULL");
    }
    char *part = (char *)malloc(length + 6);
    if (!part) return "out of memory for a figure";
    memcpy(part, path, length);
    memcpy(part + length, ".part", 6);
    int failed = chart__write_png(c, part);
#ifdef _WIN32
    if (!failed) remove(path); /* rename does not replace there */
#endif
    if (!failed && rename(part, path) != 0) failed = errno ? errno : EIO;
    if (failed) remove(part);
    free(part);
    return failed ? chart__error("%s: cannot be written: %s", path, strerror(failed)) : NULL;
}
#else
static const char *chart__save(const chart__canvas *c, const char *path)
{
    (void)c;
    (void)path;
    return chart__skipped;
}
#endif

/* Draws with the legend inside; once more with it below when it finds no place there. */
static const char *chart__figure(const chart_desc *d, chart__kind kind, const char *path)
{
    chart__plot p;
    const char *error;
    if (!d) return "a figure without a desc";
    memset(&p, 0, sizeof p);
    p.d = d;
    p.kind = kind;
    chart__canvas_init(&p.c, d);
    error = kind == CHART__HEAT ? chart__open_heat(&p) : chart__open_series(&p);
    while (!error && !(error = chart__layout(&p))) {
        chart__frame(&p);
        if (kind == CHART__LINES) chart__draw_lines(&p);
        if (kind == CHART__BARS) chart__draw_bars(&p);
        if (kind == CHART__HEAT) chart__draw_heat(&p);
        else chart__axis_lines(&p);
        if (chart__legend(&p)) break;
    }
    if (!error) error = chart__save(&p.c, path);
    free(p.points);
    chart__canvas_close(&p.c);
    return error;
}

CHART_DEF const char *chart_line(const chart_desc *desc, const char *path)
{
    return chart__figure(desc, CHART__LINES, path);
}

CHART_DEF const char *chart_bars(const chart_desc *desc, const char *path)
{
    return chart__figure(desc, CHART__BARS, path);
}

CHART_DEF const char *chart_heatmap(const chart_desc *desc, const char *path)
{
    return chart__figure(desc, CHART__HEAT, path);
}

/* ---------------------------------------------------------------------------------- image grids */

typedef struct chart__grid {
    chart_desc d;
    chart__canvas c;
    int scale;                     /* pixels of the figure for one of the image, each way */
    double width, height;          /* of an image in the figure */
    double left, top, right, down; /* first image; from one to the next */
} chart__grid;

static const char *chart__check_grid(const chart_desc *d)
{
    if (!d || (!d->values.values && !d->row_values)) return "an image grid without values";
    if (d->rows < 1 || d->cols < 1 || d->rows > 1000 || d->cols > 1000) {
        return chart__error("an image grid of %d x %d cells", d->rows, d->cols);
    }
    if (d->image_width < 1 || d->image_height < 1 || d->image_width > 9999 ||
        d->image_height > 9999) {
        return chart__error("a grid of %d x %d images", d->image_width, d->image_height);
    }
    if (d->channels != 0 && d->channels != 1 && d->channels != 3) {
        return chart__error("images with %d channels: 1 or 3 can be drawn", d->channels);
    }
    return NULL;
}

/* Chooses the scale that comes closest to the figure's width and opens the canvas. */
static const char *chart__grid_layout(chart__grid *g)
{
    const chart_desc *d = &g->d;
    double u = g->c.unit, gap = 14 * u, margin = 30 * u, side = margin;
    for (int r = 0; d->row_names && r < d->rows; r++) {
        if (!d->row_names[r]) continue;
        side = fmax(side, margin + 20 * u + chart__text_width(d->row_names[r], g->c.size));
    }
    double room = g->c.width - side - margin - gap * (d->cols - 1);
    double wide = ceil(room / d->cols / d->image_width - 0.01);
    double tall = floor(1000 * u / d->rows / d->image_height);
    g->scale = (int)fmax(1, fmin(wide, tall));
    g->width = (double)g->scale * d->image_width;
    g->height = (double)g->scale * d->image_height;
    g->right = g->width + gap;
    g->down = g->height + gap + (d->captions ? 32 * u : 0);
    double used = side + d->cols * g->right - gap + margin, full = fmax(g->c.width, used);
    g->left = floor((full - used) / 2 + side);
    g->top = floor(d->title ? 80 * u : margin);
    return chart__canvas_open(&g->c, ceil(full), ceil(g->top + d->rows * g->down - gap + margin));
}

/* The values that become black and white. */
static void chart__image_range(const chart_desc *d, const chart_data *data, size_t first,
                               size_t step, size_t size, double range[2])
{
    int fixed = d->y_min < d->y_max, bytes = data->type == CHART_BYTE;
    range[0] = fixed ? d->y_min : bytes ? 0 : 1e300;
    range[1] = fixed ? d->y_max : bytes ? 255 : -1e300;
    if (fixed || bytes) return;
    for (size_t i = 0; i < size; i++) chart__widen(range, chart__value(data, first + i * step));
}

static int chart__shade(double v, const double range[2])
{
    if (!chart__usable(v) || !(range[0] < range[1])) return 128;
    return (int)(255 * fmin(1, fmax(0, (v - range[0]) / (range[1] - range[0]))) + 0.5);
}

static void chart__draw_image(chart__grid *g, const chart_data *data, size_t k, double left,
                              double top)
{
    const chart_desc *d = &g->d;
    size_t width = (size_t)d->image_width, plane = width * (size_t)d->image_height;
    size_t size = d->channels == 3 ? 3 * plane : plane, next = d->channels == 3 ? plane : 0;
    size_t first = d->in_columns ? k : k * size, step = d->in_columns ? d->images : 1;
    double range[2];
    chart__image_range(d, data, first, step, size, range);
    for (size_t i = 0; i < plane; i++) {
        double x = left + (double)(i % width) * g->scale, y = top + (double)(i / width) * g->scale;
        int color = 0;
        for (size_t channel = 0; channel < 3; channel++) {
            double v = chart__value(data, first + (i + channel * next) * step);
            color = color << 8 | chart__shade(v, range);
        }
        chart__rect(&g->c, x, y, x + g->scale, y + g->scale, color);
    }
}

static void chart__draw_grid_cell(chart__grid *g, int row, int col)
{
    const chart_desc *d = &g->d;
    chart__canvas *c = &g->c;
    size_t cell = (size_t)row * (size_t)d->cols + (size_t)col;
    size_t k = d->pick ? d->pick[cell] : d->row_values ? (size_t)col : cell;
    const chart_data *data = d->row_values ? &d->row_values[row] : &d->values;
    const char *caption = d->captions ? d->captions[cell] : NULL;
    double x = g->left + col * g->right, y = g->top + row * g->down, line = fmax(1, floor(c->unit));
    if (k >= d->images || !data->values) return;
    chart__rect(c, x - line, y - line, x + g->width + line, y + g->height + line, CHART__GREY);
    chart__draw_image(g, data, k, x, y);
    if (!caption) return;
    chart__text(c, x + g->width / 2, y + g->height + 9 * c->unit + c->size, caption,
                chart__fit(caption, c->size, g->right - 4 * c->unit), 0.5, 0);
}

CHART_DEF const char *chart_image_grid(const chart_desc *desc, const char *path)
{
    chart__grid g;
    const char *error = chart__check_grid(desc);
    if (error) return error;
    g.d = *desc;
    if (!g.d.images) g.d.images = (size_t)g.d.cols * (size_t)(g.d.row_values ? 1 : g.d.rows);
    chart__canvas_init(&g.c, desc);
    error = chart__grid_layout(&g);
    if (!error) {
        chart__title(&g.c, g.c.width / 2.0, g.d.title);
        for (int row = 0; row < g.d.rows; row++) {
            double y = g.top + row * g.down + (g.height + g.c.size) / 2;
            const char *name = g.d.row_names ? g.d.row_names[row] : NULL;
            if (name) chart__text(&g.c, g.left - 20 * g.c.unit, y, name, g.c.size, 1, 0);
            for (int col = 0; col < g.d.cols; col++) chart__draw_grid_cell(&g, row, col);
        }
        error = chart__save(&g.c, path);
    }
    chart__canvas_close(&g.c);
    return error;
}

#endif
