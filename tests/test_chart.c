/* examples/chart.h: figures are written, read back with a PNG reader of this file's own, and judged
   by their pixels. */
#ifdef __linux__
#define _POSIX_C_SOURCE 200112L /* symlink */
#include <unistd.h>
#endif

#include "../examples/chart.h"
#include "test.h"

#include <limits.h>

/* ----------------------------------------------------------------------------------- PNG reader */

enum { BLUE = 0x0072B2, VERMILION = 0xD55E00, GREEN = 0x009E73, WHITE = 0xFFFFFF, DARK = 0x262626 };

typedef struct picture {
    int width, height;
    unsigned char *rgb;
} picture;

typedef struct bit_reader {
    const unsigned char *bytes;
    size_t bit, bits;
} bit_reader;

static unsigned take_bits(bit_reader *r, int count)
{
    unsigned value = 0;
    for (int i = 0; i < count; i++, r->bit++) {
        if (r->bit >= r->bits) return value;
        value |= (unsigned)(r->bytes[r->bit / 8] >> (r->bit % 8) & 1) << i;
    }
    return value;
}

/* RFC 1951, 3.2.6: the fixed code, the only one that stb_image_write uses. */
static unsigned fixed_symbol(bit_reader *r)
{
    unsigned code = 0;
    for (int i = 0; i < 7; i++) code = code << 1 | take_bits(r, 1);
    if (code <= 23) return 256 + code;
    code = code << 1 | take_bits(r, 1);
    if (code >= 48 && code <= 191) return code - 48;
    if (code >= 192 && code <= 199) return 280 + code - 192;
    code = code << 1 | take_bits(r, 1);
    return 144 + code - 400;
}

static size_t match_length(bit_reader *r, unsigned symbol)
{
    unsigned k = symbol - 257, extra = k < 8 ? 0 : k / 4 - 1;
    if (symbol == 285) return 258;
    if (extra == 0) return 3 + k;
    return 3 + ((4 + k % 4) << extra) + take_bits(r, (int)extra);
}

static size_t match_distance(bit_reader *r)
{
    unsigned k = 0;
    for (int i = 0; i < 5; i++) k = k << 1 | take_bits(r, 1);
    if (k < 4) return 1 + k;
    return 1 + ((2 + k % 2) << (k / 2 - 1)) + take_bits(r, (int)(k / 2 - 1));
}

/* Unpacks a zlib stream of one fixed block; gives the number of bytes. */
static size_t inflate_fixed(const unsigned char *bytes, size_t size, unsigned char *out,
                            size_t room)
{
    bit_reader r;
    size_t n = 0;
    r.bytes = bytes;
    r.bit = 16;
    r.bits = size * 8;
    CHECK_INT(take_bits(&r, 3), 3); /* last block, fixed code */
    while (r.bit < r.bits) {
        unsigned symbol = fixed_symbol(&r);
        if (symbol == 256) break;
        if (symbol < 256) {
            if (n == room) return 0;
            out[n++] = (unsigned char)symbol;
            continue;
        }
        size_t length = match_length(&r, symbol), distance = match_distance(&r);
        if (distance > n || length > room - n) return 0;
        for (; length > 0; length--, n++) out[n] = out[n - distance];
    }
    return n;
}

static unsigned long big_endian(const unsigned char *p)
{
    return (unsigned long)p[0] << 24 | (unsigned long)p[1] << 16 | (unsigned long)p[2] << 8 | p[3];
}

static unsigned long crc32_of(const unsigned char *p, size_t n)
{
    unsigned long crc = 0xFFFFFFFFul;
    while (n-- > 0) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320ul : crc >> 1;
    }
    return (crc ^ 0xFFFFFFFFul) & 0xFFFFFFFFul;
}

static int paeth(int a, int b, int c)
{
    int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

static void unfilter(const unsigned char *raw, picture *p)
{
    int stride = p->width * 3;
    for (int y = 0; y < p->height; y++) {
        const unsigned char *in = raw + (size_t)y * (size_t)(stride + 1);
        unsigned char *out = p->rgb + (size_t)y * (size_t)stride, *above = out - stride;
        for (int i = 0; i < stride; i++) {
            int a = i >= 3 ? out[i - 3] : 0, b = y > 0 ? above[i] : 0;
            int c = i >= 3 && y > 0 ? above[i - 3] : 0, v = in[1 + i];
            if (in[0] == 1) v += a;
            if (in[0] == 2) v += b;
            if (in[0] == 3) v += (a + b) / 2;
            if (in[0] == 4) v += paeth(a, b, c);
            out[i] = (unsigned char)v;
        }
    }
}

static unsigned char *read_bytes(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    *size = 0;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long length = ftell(f);
    rewind(f);
    unsigned char *bytes = (unsigned char *)malloc((size_t)length + 1);
    if (bytes) *size = fread(bytes, 1, (size_t)length, f);
    fclose(f);
    return bytes;
}

/* Reads header, data and end, checking every chunk; a failure leaves an empty picture. */
static picture read_png(const char *path)
{
    static const unsigned char signature[8] = {137, 'P', 'N', 'G', 13, 10, 26, 10};
    picture p = {0, 0, NULL};
    size_t size, at = 8;
    unsigned char *bytes = read_bytes(path, &size);
    CHECK(bytes && size > 57 && memcmp(bytes, signature, 8) == 0);
    if (!bytes || size <= 57) return p;
    while (at + 12 <= size) {
        size_t length = big_endian(bytes + at);
        const unsigned char *type = bytes + at + 4, *data = bytes + at + 8;
        CHECK(length <= size - at - 12);
        if (length > size - at - 12) break;
        CHECK(crc32_of(type, length + 4) == big_endian(data + length));
        if (memcmp(type, "IHDR", 4) == 0) {
            static const unsigned char kind[5] = {8, 2, 0, 0, 0}; /* 8 bits, RGB, not interlaced */
            p.width = (int)big_endian(data);
            p.height = (int)big_endian(data + 4);
            CHECK(memcmp(data + 8, kind, 5) == 0);
        }
        if (memcmp(type, "IDAT", 4) == 0) {
            size_t room = (size_t)p.height * ((size_t)p.width * 3 + 1);
            unsigned char *raw = (unsigned char *)malloc(room);
            p.rgb = (unsigned char *)calloc(room, 1);
            CHECK_INT(inflate_fixed(data, length, raw, room), room);
            unfilter(raw, &p);
            free(raw);
        }
        at += length + 12;
        if (memcmp(type, "IEND", 4) == 0) break;
    }
    CHECK_INT(at, size);
    free(bytes);
    return p;
}

static int pixel(const picture *p, int x, int y)
{
    if (x < 0 || y < 0 || x >= p->width || y >= p->height) return -1;
    const unsigned char *q = p->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
    return q[0] << 16 | q[1] << 8 | q[2];
}

typedef struct rectangle {
    int left, top, right, bottom, count; /* of all pixels of a colour; right and bottom included */
} rectangle;

static rectangle extent(const picture *p, int color)
{
    rectangle r = {INT_MAX, INT_MAX, -1, -1, 0};
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++) {
            if (pixel(p, x, y) != color) continue;
            r.left = x < r.left ? x : r.left;
            r.top = y < r.top ? y : r.top;
            r.right = x > r.right ? x : r.right;
            r.bottom = y > r.bottom ? y : r.bottom;
            r.count++;
        }
    }
    return r;
}

static int color_in_column(const picture *p, int x, int color)
{
    int n = 0;
    for (int y = 0; y < p->height; y++) n += pixel(p, x, y) == color;
    return n;
}

static int color_in_row(const picture *p, int y, int color)
{
    int n = 0;
    for (int x = 0; x < p->width; x++) n += pixel(p, x, y) == color;
    return n;
}

/* The plot's area, found by the axis lines: the first column and the last row that are dark. */
static rectangle plot_area(const picture *p)
{
    rectangle r = {0, 0, 0, 0, 0};
    while (r.left < p->width && color_in_column(p, r.left, DARK) < p->height / 2) r.left++;
    while (r.left < p->width && color_in_column(p, r.left, DARK) >= p->height / 2) r.left++;
    for (r.bottom = p->height - 1; r.bottom > 0; r.bottom--) {
        if (color_in_row(p, r.bottom, DARK) > p->width / 2) break;
    }
    while (r.bottom > 0 && color_in_row(p, r.bottom, DARK) > p->width / 2) r.bottom--;
    while (r.top < p->height && pixel(p, r.left - 1, r.top) != DARK) r.top++;
    for (r.right = r.left; pixel(p, r.right + 1, r.bottom + 1) == DARK;) r.right++;
    return r;
}

/* ---------------------------------------------------------------------------------------- tests */

static const char path[] = TEST_TMP "/chart.png";

/* A desc of one or more series; borrowed. */
static chart_desc desc_of(const chart_series *series, int count)
{
    chart_desc d;
    memset(&d, 0, sizeof d);
    d.series = series;
    d.series_count = count;
    d.height = 480; /* packing the pixels takes most of the time */
    return d;
}

static chart_series doubles(const char *label, size_t n, const double *x, const double *y)
{
    return chart_curve(label, n, chart_doubles(x, 0), chart_doubles(y, 0));
}

typedef const char *figure(const chart_desc *desc, const char *path);

/* Draws and reads back. */
static picture draw(figure *f, const chart_desc *d)
{
    picture p = {0, 0, NULL};
    const char *error = f(d, path);
    if (error) CHECK_STR(error, "");
    if (!error) p = read_png(path);
    remove(path);
    return p;
}

enum { LINEAR, LOGARITHMIC, WHOLE };

static void check_ticks(double lo, double hi, int scale, int parts, const char *expected)
{
    static chart__axis axis;
    char all[400] = "";
    memset(&axis, 0, sizeof axis);
    axis.lo = lo;
    axis.hi = hi;
    axis.log = scale == LOGARITHMIC;
    axis.whole = scale == WHOLE;
    chart__ticks(&axis, parts);
    for (int i = 0; i < axis.count; i++) {
        if (!axis.text[i][0]) continue;
        if (all[0]) strcat(all, " ");
        strcat(all, axis.text[i]);
    }
    CHECK_STR(all, expected);
}

static void tick_numbers(void)
{
    check_ticks(0, 1, LINEAR, 8, "0 0.2 0.4 0.6 0.8 1.0");
    check_ticks(0, 1, LINEAR, 10, "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0");
    check_ticks(-0.05, 0.22, LINEAR, 8, "-0.05 0 0.05 0.10 0.15 0.20");
    check_ticks(-90, 3090, LINEAR, 10, "0 500 1000 1500 2000 2500 3000");
    check_ticks(0.89, 0.93, LINEAR, 8, "0.890 0.895 0.900 0.905 0.910 0.915 0.920 0.925 0.930");
    check_ticks(-1, 1, LINEAR, 5, "-1.0 -0.5 0 0.5 1.0");
    check_ticks(0, 2e6, LINEAR, 5, "0 0.5e6 1.0e6 1.5e6 2.0e6");
    check_ticks(0, 2e-5, LINEAR, 5, "0 0.5e-5 1.0e-5 1.5e-5 2.0e-5");
    check_ticks(0, 6e140, LINEAR, 4, "0 2e140 4e140 6e140");
    check_ticks(0.9, 3.1, LINEAR, 8, "1.0 1.5 2.0 2.5 3.0");
    check_ticks(0.9, 3.1, WHOLE, 8, "1 2 3");
    check_ticks(-3, 0, LOGARITHMIC, 8, "0.001 0.01 0.1 1");
    check_ticks(-8, -5, LOGARITHMIC, 8, "1e-8 1e-7 1e-6 1e-5");
    check_ticks(-2, 18, LOGARITHMIC, 5, "0.01 100 1e6 1e10 1e14 1e18");
    check_ticks(log10(2), log10(5.5), LOGARITHMIC, 8, "2 3 4 5");
}

static void means_and_deviations(void)
{
    const double y[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 4, 8};
    double broken[12];
    chart_series s = doubles("s", 12, NULL, y);
    chart__point q;
    chart__mean_point(&s, 0, 10, &q);
    CHECK(q.ok);
    CHECK_NEAR(q.x, 4.5, 1e-12);
    CHECK_NEAR(q.y, 5.5, 1e-12);
    CHECK_NEAR(q.hi - q.y, sqrt(8.25), 1e-12); /* (n^2 - 1) / 12 */
    CHECK_NEAR(q.y - q.lo, sqrt(8.25), 1e-12);
    chart__mean_point(&s, 10, 12, &q);
    CHECK_NEAR(q.x, 10.5, 1e-12);
    CHECK_NEAR(q.y, 6, 1e-12);
    CHECK_NEAR(q.hi, 8, 1e-12);
    memcpy(broken, y, sizeof broken);
    broken[0] = NAN;
    broken[1] = INFINITY;
    broken[2] = -1e200; /* beyond what is drawn */
    s.y = chart_doubles(broken, 0);
    chart__mean_point(&s, 0, 5, &q);
    CHECK_NEAR(q.x, 3.5, 1e-12);
    CHECK_NEAR(q.y, 4.5, 1e-12);
    chart__mean_point(&s, 0, 3, &q);
    CHECK(!q.ok);
}

static void values_of_every_type(void)
{
    struct {
        char tag;
        size_t step;
        double loss;
    } check[3] = {{0, 5, 0.5}, {0, 10, 0.25}, {0, 15, 0.125}};
    const float f[] = {1.5f, -2.5f};
    const double g[] = {1.25, -7};
    const int i[] = {-3, 4};
    const unsigned char b[] = {0, 255};
    chart_data steps = chart_sizes(&check->step, sizeof *check);
    chart_data losses = chart_doubles(&check->loss, sizeof *check);
    chart_data floats = chart_floats(f, 0), ints = chart_ints(i, 0), bytes = chart_bytes(b, 0);
    chart_data real4 = chart_reals(f, sizeof *f), real8 = chart_reals(g, sizeof *g);
    CHECK_NEAR(chart__value(&steps, 2), 15, 0);
    CHECK_NEAR(chart__value(&losses, 2), 0.125, 0);
    CHECK_NEAR(chart__value(&floats, 1), -2.5, 0);
    CHECK_NEAR(chart__value(&ints, 0), -3, 0);
    CHECK_NEAR(chart__value(&bytes, 1), 255, 0);
    CHECK_NEAR(chart__value(&real4, 1), -2.5, 0);
    CHECK_NEAR(chart__value(&real8, 1), -7, 0);
}

static void font_is_sane(void)
{
    for (int code = 32; code < 127; code++) {
        const char *glyph = chart__glyph((unsigned)code);
        char *at;
        long advance = strtol(glyph, &at, 10);
        CHECK(advance >= 20 && advance <= 120);
        CHECK((*at == 0) == (code == ' '));
        CHECK(*at == 0 || *at == 'M');
        while (*at) {
            char op = *at++;
            CHECK(strchr("MLCHV", op) != NULL);
            for (int i = 0; i < (op == 'C' ? 3 : 1); i++) {
                long x = strtol(at, &at, 10), y = strtol(at, &at, 10);
                CHECK(x >= -5 && x <= advance + 5 && y >= -30 && y <= 112);
            }
        }
        for (int other = 32; other < code; other++) {
            CHECK(strcmp(glyph, chart__glyph((unsigned)other)) != 0);
        }
    }
    CHECK_NEAR(chart__text_width("AB", 20), chart__text_width("A", 20) + chart__text_width("B", 20),
               1e-12);
    for (int digit = '1'; digit <= '9'; digit++) {
        CHECK_INT(strtol(chart__glyph((unsigned)digit), NULL, 10), 70); /* so columns line up */
    }
    const char *text = "\xCE\xBBx\xE2\x80\x93";
    CHECK_INT(chart__next_code(&text), 0x3BB);
    CHECK_INT(chart__next_code(&text), 'x');
    CHECK_INT(chart__next_code(&text), 0x2013);
    CHECK_INT(*text, 0);
    const char *cut = "\xE2\x80"; /* ends within a character */
    chart__next_code(&cut);
    CHECK_INT(*cut, 0);
}

static void size_background_and_axes(void)
{
    const double x[] = {0, 10}, y[] = {0, 1};
    chart_series s = doubles("s", 2, x, y);
    chart_desc d = desc_of(&s, 1);
    d.title = "Title";
    d.x_label = "x";
    d.y_label = "y";
    d.height = 0;
    picture p = draw(chart_line, &d);
    CHECK_INT(p.width, 1280);
    CHECK_INT(p.height, 800);
    rectangle area = plot_area(&p);
    CHECK(area.left > 40 && area.left < 200 && area.right > 1100 && area.bottom > 600);
    CHECK_INT(pixel(&p, 0, 0), WHITE);
    CHECK_INT(pixel(&p, 1279, 799), WHITE);
    CHECK_INT(pixel(&p, area.left - 1, (area.top + area.bottom) / 2), DARK);
    CHECK_INT(pixel(&p, (area.left + area.right) / 2, area.bottom + 1), DARK);
    free(p.rgb);
    d.width = 2560;
    d.height = 900;
    p = draw(chart_line, &d);
    CHECK_INT(p.width, 2560);
    CHECK_INT(p.height, 900);
    free(p.rgb);
}

/* Two level lines give the scale, a third and a slope are checked against it. */
static void lines_are_where_they_belong(void)
{
    const double x[] = {0, 10}, low[] = {0.25, 0.25}, high[] = {0.75, 0.75}, up[] = {0, 1};
    chart_series s[3] = {doubles(NULL, 2, x, low), doubles(NULL, 2, x, high),
                         doubles(NULL, 2, x, up)};
    chart_desc d = desc_of(s, 3);
    d.y_max = 1;
    d.x_max = 10;
    picture p = draw(chart_line, &d);
    rectangle area = plot_area(&p), blue = extent(&p, BLUE), red = extent(&p, VERMILION);
    double height = area.bottom - area.top + 1, width = area.right - area.left + 1;
    int x1 = area.left + (int)(width * 0.4), y1 = area.top + (int)(height * 0.6);
    CHECK_NEAR((blue.top + blue.bottom + 1) / 2.0, area.top + 0.75 * height, 1);
    CHECK_NEAR((red.top + red.bottom + 1) / 2.0, area.top + 0.25 * height, 1);
    CHECK_INT(blue.left, area.left);
    CHECK_NEAR(blue.right, area.right, 1);
    CHECK_INT(pixel(&p, x1, y1), GREEN);
    CHECK(pixel(&p, x1, y1 - 20) != GREEN && pixel(&p, x1, y1 + 20) != GREEN);
    free(p.rgb);
}

static void lines_are_smooth_edged(void)
{
    const double x[] = {0, 10}, y[] = {0.1, 0.37};
    chart_series s = doubles(NULL, 2, x, y);
    chart_desc d = desc_of(&s, 1);
    d.x_max = 10;
    d.y_max = 1;
    picture p = draw(chart_line, &d);
    rectangle area = plot_area(&p);
    int shades = 0, column = (area.left + area.right) / 2 + 3;
    for (int at = column; at < column + 30; at++) {
        for (int y1 = area.top; y1 < area.bottom; y1++) {
            int red = pixel(&p, at, y1) >> 16;
            shades += red > 20 && red < 210; /* between the line's 0 and the grid's 230 */
        }
    }
    CHECK(shades > 20 && shades < 150); /* one or two a column, not none and not a blur */
    free(p.rgb);
}

static void clipped_at_the_plot(void)
{
    const double x[] = {-5, 2, 4, 6, 8, 20}, y[] = {0.5, 1e12, -1e12, 3, -3, 0.5};
    chart_series s = doubles(NULL, 6, x, y);
    chart_desc d = desc_of(&s, 1);
    d.x_max = 10;
    d.y_max = 1;
    for (int dash = CHART_SOLID; dash <= CHART_DOTTED; dash++) {
        s.dash = (chart_dash)dash;
        picture p = draw(chart_line, &d);
        rectangle area = plot_area(&p), blue = extent(&p, BLUE);
        CHECK(blue.count > 500);
        CHECK(blue.left >= area.left && blue.right <= area.right);
        CHECK(blue.top >= area.top && blue.bottom <= area.bottom);
        free(p.rgb);
    }
}

static void nan_breaks_the_line(void)
{
    double y[31];
    for (int i = 0; i < 31; i++) y[i] = 0.5;
    y[15] = NAN;
    y[5] = INFINITY;
    y[8] = y[10] = NAN; /* 9 stands alone and is a dot */
    chart_series s = doubles(NULL, 31, NULL, y);
    chart_desc d = desc_of(&s, 1);
    d.x_max = 30;
    d.y_max = 1;
    picture p = draw(chart_line, &d);
    rectangle area = plot_area(&p);
    double width = area.right - area.left + 1;
    for (int i = 1; i < 30; i++) {
        int blue = color_in_column(&p, area.left + (int)(i * width / 30), BLUE);
        CHECK_INT(blue > 0, i != 5 && i != 15 && i != 8 && i != 10);
    }
    free(p.rgb);
}

static void odd_data(void)
{
    const double one[] = {3}, constant[] = {7, 7, 7, 7}, zero[] = {0, 0, 0};
    const double huge[] = {-1e140, 1e140, 0}, tiny[] = {1e-300, 3e-300, 2e-300};
    const double offset[] = {1e15, 1e15 + 1, 1e15};
    const double wild[] = {1, NAN, INFINITY, -INFINITY, 1e300, 2};
    chart_series s[7] = {
        doubles("one", 1, NULL, one), doubles("constant", 4, NULL, constant),
        doubles("zero", 3, NULL, zero), doubles("huge", 3, NULL, huge),
        doubles("tiny", 3, NULL, tiny), doubles("offset", 3, NULL, offset),
        doubles("wild", 6, NULL, wild)};
    for (int i = 0; i < 7; i++) {
        chart_desc d = desc_of(&s[i], 1);
        picture p = draw(chart_line, &d);
        CHECK(extent(&p, BLUE).count > 30);
        CHECK_INT(pixel(&p, 0, 0), WHITE);
        if (i < 3) { /* a single value is in the middle */
            rectangle area = plot_area(&p);
            int found = 0;
            for (int y = -2; y <= 2; y++) {
                int x = (area.left + area.right) / 2, middle = (area.top + area.bottom) / 2;
                found += pixel(&p, x, middle + y) == BLUE;
            }
            CHECK(found > 0);
        }
        free(p.rgb);
        p = draw(chart_bars, &d);
        CHECK(p.width == 1280);
        free(p.rgb);
    }
}

static void logarithmic_axes(void)
{
    const double x[] = {0.001, 0.01, 0.1, 1, 0, -1}, y[] = {1, 10, 100, 1000, 5, 5};
    chart_series s = doubles(NULL, 6, x, y);
    chart_desc d = desc_of(&s, 1);
    d.log_x = d.log_y = 1;
    d.x_min = 0.001;
    d.x_max = 1;
    d.y_min = 1;
    d.y_max = 1000;
    picture p = draw(chart_line, &d); /* a straight line across the plot */
    rectangle area = plot_area(&p);
    for (int i = 1; i < 10; i++) {
        int at = area.left + (area.right - area.left) * i / 10;
        int middle = area.bottom - (area.bottom - area.top) * i / 10;
        CHECK_INT(pixel(&p, at, middle), BLUE);
    }
    free(p.rgb);
    d.x_min = -1;
    CHECK(chart_line(&d, path) != NULL);
    d.x_min = 0;
    CHECK(chart_line(&d, path) != NULL);
}

static void dashes(void)
{
    const double y[] = {0.5, 0.5};
    for (int dash = CHART_SOLID; dash <= CHART_DOTTED; dash++) {
        chart_series s = doubles(NULL, 2, NULL, y);
        chart_desc d = desc_of(&s, 1);
        d.y_max = 1;
        d.x_min = -1;
        d.x_max = 2;
        s.dash = (chart_dash)dash;
        picture p = draw(chart_line, &d);
        rectangle area = plot_area(&p), blue = extent(&p, BLUE);
        int row = (blue.top + blue.bottom) / 2, changes = 0, third = (area.right - area.left) / 3;
        for (int x = area.left + third + 20; x < area.right - third - 20; x++) {
            changes += (pixel(&p, x, row) == BLUE) != (pixel(&p, x - 1, row) == BLUE);
        }
        if (dash == CHART_SOLID) CHECK_INT(changes, 0);
        else CHECK(changes > 20);
        free(p.rgb);
    }
}

static void bands(void)
{
    const double x[] = {0, 10}, y[] = {0.5, 0.5}, deviation[] = {0.25, 0.25};
    chart_series s = doubles(NULL, 2, x, y);
    s.deviation = chart_doubles(deviation, 0);
    chart_desc d = desc_of(&s, 1);
    d.x_max = 10;
    d.y_max = 1;
    picture p = draw(chart_line, &d);
    rectangle area = plot_area(&p);
    double height = area.bottom - area.top + 1;
    int top = area.top, bottom = area.bottom;
    int column = area.left + (area.right - area.left) * 33 / 100;
    int pale = pixel(&p, column, area.top + (int)(0.33 * height)); /* not on the grid */
    CHECK_NEAR(pale >> 16, 255 - 0.22 * 255, 1.5); /* white under 22 % of blue */
    CHECK_NEAR(pale >> 8 & 255, 255 - 0.22 * (255 - 0x72), 1.5);
    while (top < area.bottom && pixel(&p, column, top) != pale) top++;
    while (bottom > area.top && pixel(&p, column, bottom) != pale) bottom--;
    CHECK_NEAR(top, area.top + 0.25 * height, 2);
    CHECK_NEAR(bottom, area.top + 0.75 * height, 2);
    free(p.rgb);
}

/* With labels, every pixel of a curve is as it was without. */
static void legend_covers_nothing(void)
{
    enum { N = 60 };
    double fall[N], rise[N], both[N];
    for (int i = 0; i < N; i++) {
        fall[i] = exp(-i / 9.0);
        rise[i] = 1 - exp(-i / 9.0);
        both[i] = i % 2;
    }
    for (int k = 0; k < 2; k++) {
        chart_series s[2] = {doubles(NULL, N, NULL, k ? rise : fall),
                             doubles(NULL, N, NULL, k ? rise : fall)};
        s[1].color = CHART_GREEN;
        chart_desc d = desc_of(s, 2);
        picture bare = draw(chart_line, &d);
        s[0].label = "training loss";
        s[1].label = "validation loss";
        picture p = draw(chart_line, &d);
        rectangle area = plot_area(&p);
        int lost = 0, added = 0, elsewhere = 0, x_mid = (area.left + area.right) / 2;
        for (int y = 0; y < p.height; y++) {
            for (int x = 0; x < p.width; x++) {
                int before = pixel(&bare, x, y) == GREEN, after = pixel(&p, x, y) == GREEN;
                lost += before && !after;
                added += after && !before;
                elsewhere += after && !before && (y > area.top + 120 || (x < x_mid) != k);
            }
        }
        CHECK_INT(lost, 0);
        CHECK(added > 40); /* the legend's sample, in the upper corner that is empty */
        CHECK_INT(elsewhere, 0);
        free(bare.rgb);
        free(p.rgb);
    }
    chart_series full = doubles("everywhere", N, NULL, both);
    chart_desc d = desc_of(&full, 1);
    picture p = draw(chart_line, &d);
    CHECK(extent(&p, BLUE).bottom > plot_area(&p).bottom + 30); /* the legend is below */
    free(p.rgb);
}

static void bars_have_their_heights(void)
{
    const double a[] = {1, 2, NAN, 4}, b[] = {-2, 3, 1, 0}, deviation[] = {0.5, 0.5, 0.5, 0.5};
    const char *const names[] = {"one", "two", NULL, "a long name that must be turned to fit"};
    chart_series s[2] = {doubles("a", 4, NULL, a), doubles("b", 4, NULL, b)};
    chart_desc d = desc_of(s, 1);
    s[0].label = NULL;
    d.y_max = 5;
    d.col_names = names;
    picture p = draw(chart_bars, &d);
    rectangle area = plot_area(&p);
    double unit = (area.bottom - area.top + 1) / 5.0, slot = (area.right - area.left + 1) / 4.0;
    for (int i = 0; i < 4; i++) {
        int column = area.left + (int)((i + 0.5) * slot);
        CHECK_NEAR(color_in_column(&p, column, BLUE), i == 2 ? 0 : a[i] * unit, 1);
        CHECK_INT(color_in_column(&p, area.left + (int)(i * slot) + 3, BLUE), 0);
    }
    free(p.rgb);
    d.series_count = 2;
    d.y_max = 0;
    s[0].label = "a";
    s[1].deviation = chart_doubles(deviation, 0);
    p = draw(chart_bars, &d);
    rectangle blue = extent(&p, BLUE), red = extent(&p, VERMILION);
    CHECK(blue.count > 1000 && red.count > 1000);
    CHECK(red.top > blue.top); /* 3 < 4; below zero it reaches further down than any blue bar */
    free(p.rgb);
    double many[200];
    for (int i = 0; i < 200; i++) many[i] = i;
    s[0] = doubles(NULL, 200, NULL, many);
    d = desc_of(s, 1);
    p = draw(chart_bars, &d);
    CHECK(extent(&p, BLUE).count > 1000);
    free(p.rgb);
}

static void printed_digits(void)
{
    char text[200];
    const double fractions[] = {0.5, 0.25, NAN}, counts[] = {0, 12, 980}, percent[] = {97.5, 8};
    chart_data f = chart_doubles(fractions, 0), c = chart_doubles(counts, 0);
    chart_data q = chart_doubles(percent, 0);
    chart_desc d = desc_of(NULL, 0);
    CHECK_INT(chart__decimals(&d, &f, 3, 4, 0), 4); /* 0.5000 */
    CHECK_INT(chart__decimals(&d, &c, 3, 4, 0), 0); /* 980 */
    CHECK_INT(chart__decimals(&d, &q, 2, 4, 0), 2); /* 97.50 */
    CHECK_INT(chart__decimals(&d, &q, 2, 3, 2), 2);
    chart__number(text, -0.004, 2);
    CHECK_STR(text, "0.00");
    chart__number(text, -0.005001, 2);
    CHECK_STR(text, "-0.01");
    chart__number(text, 1e9, 0);
    CHECK_STR(text, "1000000000");
    d.decimals = 1;
    CHECK_INT(chart__decimals(&d, &f, 3, 4, 0), 1);
    d.decimals = -1;
    CHECK_INT(chart__decimals(&d, &f, 3, 4, 0), 0);
}

static void heat_map_colors(void)
{
    const double v[] = {0, 10, 20, NAN, 10, 0};
    const char *const rows[] = {"yes", "no"}, *const cols[] = {"a", "b", "c"};
    chart_desc d = desc_of(NULL, 0);
    d.rows = 2;
    d.cols = 3;
    d.values = chart_doubles(v, 0);
    d.row_names = rows;
    d.col_names = cols;
    d.title = "Title";
    d.x_label = "predicted";
    d.y_label = "true";
    picture p = draw(chart_heatmap, &d);
    CHECK_INT(p.width, 1280);
    rectangle least = extent(&p, 0xF7FBFF), most = extent(&p, 0x08306B);
    int cell = 0;
    while (pixel(&p, least.left + cell, least.top) == 0xF7FBFF) cell++;
    CHECK(cell > 200);
    for (int i = 0; i < 6; i++) { /* 6FAED4: halfway from 94C4DF to 4A98C9 */
        static const int expected[6] = {0xF7FBFF, 0x6FAED4, 0x08306B, WHITE, 0x6FAED4, 0xF7FBFF};
        int got = pixel(&p, least.left + cell * (i % 3) + 5, least.top + cell * (i / 3) + 5);
        CHECK_INT(got, expected[i]);
    }
    CHECK_INT(most.left, least.left + 2 * cell);
    free(p.rgb);
}

static void image_grid_pixels(void)
{
    const unsigned char grey[] = {0, 85, 170, 255, 10, 20, 30, 40};
    chart_desc d = desc_of(NULL, 0);
    d.rows = 1;
    d.cols = 2;
    d.image_width = d.image_height = 2;
    d.values = chart_bytes(grey, 0);
    picture p = draw(chart_image_grid, &d);
    rectangle a = extent(&p, 0x555555), b = extent(&p, 0xAAAAAA), first = extent(&p, 0x0A0A0A);
    int side = a.right - a.left + 1;
    CHECK(p.width >= 1200 && side > 100);
    CHECK_INT(a.count, side * side);
    CHECK_INT(b.count, side * side);
    CHECK_INT(b.left, a.left - side); /* the second row starts below the first */
    CHECK_INT(b.top, a.top + side);
    CHECK(first.left > a.right && first.top == a.top);
    free(p.rgb);
}

static void image_grid_colors_and_scaling(void)
{
    const unsigned char planes[] = {255, 0, 0, 0, 200, 0, 0, 0, 100}; /* 3 x 1: red, green, blue */
    const float weights[] = {-1, 5, 0, 5, 1, 5, 3, 5}; /* [4,2]; the second image is constant */
    chart_desc d = desc_of(NULL, 0);
    d.rows = d.cols = d.image_height = 1;
    d.image_width = 3;
    d.channels = 3;
    d.values = chart_bytes(planes, 0);
    picture p = draw(chart_image_grid, &d);
    int x = extent(&p, 0xFF0000).left;
    CHECK(extent(&p, 0x00C800).left > x && extent(&p, 0x000064).left > extent(&p, 0x00C800).left);
    free(p.rgb);
    d.channels = 0;
    d.cols = 2;
    d.image_width = d.image_height = 2;
    d.in_columns = 1;
    d.values = chart_floats(weights, 0);
    p = draw(chart_image_grid, &d);
    rectangle black = extent(&p, 0), quarter = extent(&p, 0x404040), flat = extent(&p, 0x808080);
    int side = black.right - black.left + 1;
    CHECK_INT(quarter.left, black.left + side); /* (0 + 1) / 4 of 255 */
    CHECK_INT(quarter.top, black.top);
    CHECK_INT(extent(&p, 0x808080).count, side * side * 5); /* (1 + 1) / 4, and a constant */
    CHECK_INT(flat.bottom, quarter.top + 2 * side - 1);
    free(p.rgb);
}

static void image_grid_picks_and_rows(void)
{
    const unsigned char values[] = {11, 22, 33}, more[] = {44, 55, 66};
    const size_t pick[] = {2, 0, 9, 1};
    const char *const captions[] = {"2", NULL, "none", "a caption that is too long for its cell"};
    chart_data rows[2] = {chart_bytes(values, 0), chart_bytes(more, 0)};
    chart_desc d = desc_of(NULL, 0);
    d.rows = d.cols = 2;
    d.image_width = d.image_height = 1;
    d.values = chart_bytes(values, 0);
    d.images = 3;
    d.pick = pick;
    d.captions = captions;
    picture p = draw(chart_image_grid, &d);
    rectangle a = extent(&p, 0x212121), b = extent(&p, 0x0B0B0B), c = extent(&p, 0x161616);
    CHECK(a.left < b.left && a.top == b.top && c.left == b.left && c.top > b.bottom);
    CHECK_INT(pixel(&p, a.left + 5, c.top + 5), WHITE); /* image 9 does not exist */
    free(p.rgb);
    d.values = chart_none();
    d.row_values = rows;
    d.images = 0;
    d.pick = NULL;
    d.captions = NULL;
    p = draw(chart_image_grid, &d);
    a = extent(&p, 0x0B0B0B);
    b = extent(&p, 0x373737);
    CHECK(a.count > 100 && b.count == a.count && b.left > a.right && b.top > a.bottom);
    free(p.rgb);
}

/* The call fails, says `part`, and leaves no file. */
static void check_error(const char *error, const char *part)
{
    size_t size;
    CHECK(error != NULL);
    if (error && !strstr(error, part)) CHECK_STR(error, part);
    unsigned char *bytes = read_bytes(path, &size);
    CHECK(bytes == NULL);
    free(bytes);
}

static void bad_arguments(void)
{
    const double y[] = {1, 2}, nothing[] = {NAN, NAN}, negative[] = {-1, -2};
    chart_series good = doubles("good", 2, NULL, y), s = good;
    chart_desc d = desc_of(&s, 1), grid = desc_of(NULL, 0);
    check_error(chart_line(NULL, path), "desc");
    check_error(chart_bars(NULL, path), "desc");
    check_error(chart_heatmap(NULL, path), "desc");
    check_error(chart_image_grid(NULL, path), "values");
    s.n = 0;
    check_error(chart_line(&d, path), "series 0 (good) has no points");
    check_error(chart_bars(&d, path), "series 0 (good) has no points");
    s = good;
    s.y = chart_none();
    check_error(chart_line(&d, path), "no points");
    s = doubles("nan", 2, NULL, nothing);
    check_error(chart_line(&d, path), "no point can be drawn");
    check_error(chart_bars(&d, path), "no point can be drawn");
    s = doubles("negative", 2, NULL, negative);
    d.log_y = 1;
    check_error(chart_line(&d, path), "no point can be drawn");
    d = desc_of(NULL, 0);
    check_error(chart_line(&d, path), "without series");
    s = good;
    d = desc_of(&s, 1);
    d.width = -5;
    check_error(chart_line(&d, path), "-5 x");
    d.width = 16385;
    check_error(chart_line(&d, path), "16385 x");
    d.width = 0;
    d.y_min = 1e15;
    d.y_max = 1e15 + 1;
    check_error(chart_line(&d, path), "cannot be drawn");
    check_error(chart_heatmap(&grid, path), "without values");
    check_error(chart_image_grid(&grid, path), "without values");
    grid.values = chart_doubles(nothing, 0);
    check_error(chart_heatmap(&grid, path), "0 x 0 cells");
    check_error(chart_image_grid(&grid, path), "0 x 0 cells");
    grid.rows = 1;
    grid.cols = 2;
    check_error(chart_heatmap(&grid, path), "finite");
    check_error(chart_image_grid(&grid, path), "0 x 0 images");
    grid.image_width = grid.image_height = 1;
    grid.channels = 2;
    check_error(chart_image_grid(&grid, path), "2 channels");
}

static void bad_paths(void)
{
    const double y[] = {1, 2};
    chart_series s = doubles("s", 2, NULL, y);
    chart_desc d = desc_of(&s, 1);
    check_error(chart_line(&d, NULL), ".png");
    check_error(chart_line(&d, "/dev/full"), ".png");
    check_error(chart_line(&d, ".png"), ".png");
    check_error(chart_line(&d, TEST_TMP "/missing/chart.png"), "missing/chart.png");
}

/* The temporary file is a device that is always full. The picture from before stays whole. */
static void full_disk(void)
{
#ifdef __linux__
    static const char part[] = TEST_TMP "/chart.png.part";
    const double y[] = {1, 2}, other[] = {5, 5};
    for (int small = 0; small < 2; small++) { /* small: only fclose can fail */
        chart_series s = doubles(NULL, 2, NULL, y);
        chart_desc d = desc_of(&s, 1);
        size_t before_size, size;
        if (small) {
            d.width = 200;
            d.height = 100;
        }
        CHECK(chart_line(&d, path) == NULL);
        unsigned char *before = read_bytes(path, &before_size);
        CHECK_INT(before_size < 4096, small);
        CHECK_INT(symlink("/dev/full", part), 0);
        s.y = chart_doubles(other, 0);
        const char *error = chart_line(&d, path);
        CHECK(error && strstr(error, "chart.png: cannot be written: "));
        unsigned char *after = read_bytes(path, &size);
        CHECK(before && after && size == before_size && memcmp(before, after, size) == 0);
        unsigned char *left_over = read_bytes(part, &size);
        CHECK(left_over == NULL);
        free(before);
        free(after);
        free(left_over);
        remove(part);
        remove(path);
    }
#endif
}

static void missing_stb(void)
{
    const double y[] = {1, 2};
    chart_series s = doubles("s", 2, NULL, y);
    chart_desc d = desc_of(&s, 1);
    for (int i = 0; i < 2; i++) {
        const char *error = chart_line(&d, path);
        CHECK_STR(error, "pictures skipped: stb_image_write.h not found");
        CHECK_INT(chart_ok(error), 1);
    }
}

static void ok_tells_failure_from_success(void)
{
    CHECK_INT(chart_ok(NULL), 1);
    CHECK_INT(chart_ok("test_chart: this line is expected"), 0);
}

#if CHART_STB
#define RUN_PICTURE(f) RUN(f)
#else
#define RUN_PICTURE(f) SKIP(f, "stb_image_write.h not found")
#endif

int main(void)
{
    RUN(tick_numbers);
    RUN(means_and_deviations);
    RUN(values_of_every_type);
    RUN(font_is_sane);
    RUN(printed_digits);
    RUN(bad_arguments);
    RUN(ok_tells_failure_from_success);
    RUN_PICTURE(size_background_and_axes);
    RUN_PICTURE(lines_are_where_they_belong);
    RUN_PICTURE(lines_are_smooth_edged);
    RUN_PICTURE(clipped_at_the_plot);
    RUN_PICTURE(nan_breaks_the_line);
    RUN_PICTURE(odd_data);
    RUN_PICTURE(logarithmic_axes);
    RUN_PICTURE(dashes);
    RUN_PICTURE(bands);
    RUN_PICTURE(legend_covers_nothing);
    RUN_PICTURE(bars_have_their_heights);
    RUN_PICTURE(heat_map_colors);
    RUN_PICTURE(image_grid_pixels);
    RUN_PICTURE(image_grid_colors_and_scaling);
    RUN_PICTURE(image_grid_picks_and_rows);
    RUN_PICTURE(bad_paths);
    RUN_PICTURE(full_disk);
    if (!CHART_STB) RUN(missing_stb);
    return test_done("test_chart");
}
