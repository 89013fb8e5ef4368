/* Hashes what every kernel of one table computes, a line a slot, so that tables can be compared without Python: under an
 * emulator, or under a sanitizer. slots.inc is written from kernels.h by the test (SLOT(type, name, bits) a line), so a new
 * slot is exercised without a word here as long as it has one of the known call shapes. */
#include <odyssey/runtime.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The table to hash: one that is linked in, such as ody_kernels_neon, or else one of libodyssey's, by its name. */
#ifdef TABLE
extern const ody_kernels TABLE;
static int chosen(const char *name) {
    (void)name;
    return 1;
}
#else
static const ody_kernels *table;
#define TABLE (*table)
static int chosen(const char *name) {
    for (const ody_kernels *const *one = ody_tables(); *one; one++)
        if (strcmp((*one)->name, name) == 0 && ody_table_usable(*one)) table = *one;
    return table != NULL;
}
#endif

/* ---- numbers that do not depend on a library -------------------------------------------------------------------- */

static uint64_t state;
static uint64_t next(void) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Mostly of everyday size, sometimes large, tiny, subnormal, zero, infinite or NaN when `wild`. */
static double number(int wild, int bits) {
    double u = (double)(next() >> 11) * 0x1p-53, everyday = 6 * u - 3;
    unsigned kind = (unsigned)(next() % 32);
    if (!wild || kind < 22) return everyday;
    int range = bits == 32 ? 120 : 900;
    switch (kind) {
    case 22: case 23: case 24: return ldexp(everyday, (int)(next() % (unsigned)range));
    case 25: case 26: case 27: return ldexp(everyday, -(int)(next() % (unsigned)range));
    case 28: return ldexp(everyday, bits == 32 ? -140 : -1060);
    case 29: return kind & 1 ? -0.0 : 0.0;
    case 30: return everyday < 0 ? -INFINITY : INFINITY;
    default: return NAN;
    }
}

static void fill(void *to, size_t n, int bits, int wild) {
    for (size_t i = 0; i < n; i++) {
        double v = number(wild, bits);
        if (bits == 32) ((float *)to)[i] = (float)v;
        else ((double *)to)[i] = v;
    }
}

/* Every NaN counts as the same: which one comes out is the processor's affair. */
static uint64_t hash;
static void absorb(const void *from, size_t n, int bits) {
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (bits == 32) {
            uint32_t w;
            memcpy(&w, (const float *)from + i, 4);
            v = (w & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : w;
        } else {
            memcpy(&v, (const double *)from + i, 8);
            if ((v & 0x7fffffffffffffffu) > 0x7ff0000000000000u) v = 0x7ff8000000000000u;
        }
        hash = (hash ^ v) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
}

enum { MOST = 1 << 16 };
static _Alignas(64) char in[5][MOST * 8 + 64], out[4][MOST * 8 + 64];
static const size_t sizes[] = {0, 1, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 130, 257, 1000};
enum { SIZES = 16 };

/* Numbers for every input. Most slots begin alike, so what was drawn is kept: drawing took nine tenths of the time. */
static void prepare(int bits, int wild) {
    enum { KEPT = 24 };
    static struct drawn {
        uint64_t before, after;
        int bits, wild;
        char (*numbers)[MOST * 8 + 64];
    } kept[KEPT];
    static size_t oldest;
    struct drawn *one = NULL;
    for (int i = 0; i < KEPT; i++)
        if (kept[i].numbers && kept[i].before == state && kept[i].bits == bits && kept[i].wild == wild) one = &kept[i];
    if (one) {
        memcpy(in, one->numbers, sizeof in);
        state = one->after;
    } else {
        one = &kept[oldest++ % KEPT];
        if (!one->numbers && !(one->numbers = malloc(sizeof in))) exit(1);
        one->before = state, one->bits = bits, one->wild = wild;
        for (int i = 0; i < 5; i++) fill(in[i], MOST, bits, wild);
        memcpy(one->numbers, in, sizeof in);
        one->after = state;
    }
    memset(out, 0, sizeof out);
}

/* ---- one exerciser a call shape ---------------------------------------------------------------------------------- */

static void exercise_ody_map_fn(ody_map_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 0; s < SIZES; s++)
            for (int step = 0; step < 3; step++)
                for (unsigned flags = 0; flags <= ODY_STREAM; flags += ODY_STREAM) {
                    /* Parameters that are sensible for every kernel: slopes, bounds, decays below one, a step above. */
                    ody_map m = {.n = sizes[s], .param = {0.25, 0.75, 0.5, 0.125, 0.0625, 0.5, 0.25, 0.5}, .flags = flags};
                    for (int i = 0; i < 5; i++) m.in[i] = in[i] + item, m.step[i] = !(i + 1 == step);
                    for (int k = 0; k < 4; k++) m.out[k] = out[k] + item;
                    f(&m);
                    for (int k = 0; k < 4; k++) absorb(out[k], sizes[s] + 40, bits);
                }
    }
}

/* Results that are places are int64; hashing every out in units of the element type covers them too. */
static void exercise_rows(ody_rows_fn f, int bits, int labels) {
    const size_t item = (size_t)bits / 8, rows = 5;
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 1; s < SIZES && sizes[s] <= 130; s++) {
            const size_t n = sizes[s], step = 300 * item;
            if (labels)
                for (size_t r = 0; r < rows; r++) ((int64_t *)in[1])[r] = (int64_t)(next() % n);
            ody_rows r = {.rows = rows, .n = n, .param = {0.5, 0.25, 1, 1}};
            for (int i = 0; i < 4; i++) r.in[i] = in[i], r.in_step[i] = (ptrdiff_t)step;
            if (labels) r.in_step[1] = sizeof(int64_t);
            for (int k = 0; k < 3; k++) r.out[k] = out[k], r.out_step[k] = (ptrdiff_t)step;
            f(&r);
            for (int k = 0; k < 3; k++) absorb(out[k], rows * 300, bits);
        }
    }
}
static void exercise_ody_rows_fn(ody_rows_fn f, int bits) { exercise_rows(f, bits, 0); }
static void exercise_ody_labelled_rows_fn(ody_labelled_rows_fn f, int bits) { exercise_rows(f, bits, 1); }

/* Forward the experts are out[1], backward in[2], as if in[1] had been routed so. */
static void exercise_ody_route_fn(ody_route_fn f, int bits) {
    const size_t item = (size_t)bits / 8, rows = 5;
    static int64_t experts[5 * 20];
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 1; s < SIZES && sizes[s] <= 130; s++)
            for (int kind = 0; kind < 4; kind++) {
                const size_t n = sizes[s], most = kind & 2 ? 18 : 2, k = n < most ? n : most;
                const ptrdiff_t step = (ptrdiff_t)(300 * item), places = (ptrdiff_t)(k * sizeof(int64_t));
                for (size_t r = 0; r < rows; r++)
                    for (size_t j = 0; j < k; j++) experts[r * k + j] = (int64_t)((j * 7 + r) % n);
                ody_rows r = {.rows = rows, .n = n, .param = {(double)k, kind & 1}, .in = {in[0], in[1], experts},
                              .in_step = {step, step, places}, .out = {out[0], out[1]}, .out_step = {step, places}};
                f(&r);
                for (int q = 0; q < 2; q++) absorb(out[q], rows * 300, bits);
            }
    }
}

static void exercise_ody_rotary_fn(ody_rotary_fn f, int bits) {
    const size_t step = 300 * (size_t)bits / 8;
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 1; s < SIZES && sizes[s] <= 257; s++)
            for (int part = 2; part < 4; part++) {
                ody_rows r = {.rows = 5, .n = sizes[s], .param = {(double)(sizes[s] / (size_t)part), part == 2 ? 1 : -1}};
                for (int i = 0; i < 3; i++) r.in[i] = in[i], r.in_step[i] = (ptrdiff_t)step;
                r.out[0] = out[0], r.out_step[0] = (ptrdiff_t)step;
                f(&r);
                absorb(out[0], 5 * 300, bits);
            }
    }
}

/* Attention of two heads over one of keys; masks of either kind, causal or not, tiles of one row and of many. */
static void attention_of(ody_attention_gradient *g, int bits, int s, int kind) {
    static const struct { size_t queries, keys, depth, value_depth; } shape[] = {
        {1, 1, 1, 1}, {1, 140, 40, 33}, {3, 17, 16, 8}, {9, 130, 7, 65}, {20, 33, 17, 16}, {37, 300, 9, 5}, {6, 4, 3, 2},
    };
    const size_t item = (size_t)bits / 8;
    *g = (ody_attention_gradient){.forward = {
        .heads = 2, .queries = shape[s].queries, .keys = shape[s].keys, .depth = shape[s].depth,
        .value_depth = shape[s].value_depth, .query = in[0], .key = in[1], .value = in[2], .out = out[0], .scale = 0.25,
        .causal = kind & 1, .rows = 2 * shape[s].queries}};
    ody_attention *a = &g->forward;
    a->query_row = (ptrdiff_t)a->depth + 1, a->query_head = a->query_row * (ptrdiff_t)a->queries;
    a->key_row = (ptrdiff_t)a->depth + 2, a->value_row = (ptrdiff_t)a->value_depth;
    a->out_row = (ptrdiff_t)a->value_depth, a->out_head = a->out_row * (ptrdiff_t)a->queries;
    if (kind & 2) {
        a->attn_mask = in[3];
        a->mask_kind = kind & 4 ? ODY_MASK_ADD : ODY_MASK_BYTES;
        a->mask_key = (ptrdiff_t)(kind & 4 ? item : 4);
        a->mask_row = kind & 8 ? 0 : a->mask_key * (ptrdiff_t)a->keys;
    }
    g->grad = (const char *)in[3] + 64, g->grad_row = a->out_row, g->grad_head = a->out_head;
    g->dquery = out[0], g->dkey = out[1], g->dvalue = out[2];
}

enum { SHAPES = 7, KINDS = 16 };
static void exercise_ody_attention_fn(ody_attention_fn f, ody_attention_workspace_fn workspace, int bits) {
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 0; s < SHAPES; s++)
            for (int kind = 0; kind < KINDS; kind++) {
                ody_attention_gradient g;
                attention_of(&g, bits, s, kind);
                g.forward.workspace = aligned_alloc(64, workspace(&g.forward) / 64 * 64 + 64);
                f(&g.forward);
                free(g.forward.workspace);
                absorb(out[0], g.forward.rows * g.forward.value_depth, bits);
            }
    }
}
static void exercise_ody_attention_backward_fn(ody_attention_backward_fn f, ody_attention_workspace_fn workspace, int bits) {
    prepare(bits, 0);
    for (int s = 0; s < SHAPES; s++)
        for (int kind = 0; kind < KINDS; kind++) {
            ody_attention_gradient g;
            attention_of(&g, bits, s, kind);
            const ody_attention *a = &g.forward;
            g.forward.workspace = aligned_alloc(64, workspace(a) / 64 * 64 + 64);
            f(&g);
            free(g.forward.workspace);
            absorb(out[0], a->rows * a->depth, bits);
            absorb(out[1], a->keys * a->depth, bits);
            absorb(out[2], a->keys * a->value_depth, bits);
        }
}

static void exercise_ody_columns_fn(ody_columns_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    static _Alignas(64) char scratch[ODY_COLUMN_SCRATCH * 64];
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 1; s < SIZES && sizes[s] <= 257; s++)
            for (size_t m = 1; m < 140; m = m * 3 + 1) {
                ody_columns c = {.in = {in[0], in[1]}, .out = out[0], .in_step = (ptrdiff_t)(300 * item), .m = m,
                                 .n = sizes[s], .param = {0.5, 0.25, 1, 1}, .scratch = scratch};
                f(&c);
                absorb(out[0], sizes[s] + 8, bits);
            }
    }
}

/* Groups that are the columns of a matrix. */
static void exercise_norm_columns(ody_norm_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    static const size_t groups[] = {1, 7, 16, 33, 100};
    void *scratch = aligned_alloc(64, ODY_NORM_SCRATCH);
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 0; s < 5; s++)
            for (int kind = 0; kind < 4; kind++) {
                const size_t n = groups[s], rows = kind & 1 ? 70 : 5; /* beyond a chain of the gradient's sums, and not */
                ody_norm v = {.x = in[0], .grad = in[1], .weight = kind & 1 ? NULL : in[2], .bias = kind & 1 ? NULL : in[3],
                              .out = out[0], .mean = out[1], .variance = out[1] + 100 * item, .grad_sums = out[2],
                              .product_sums = out[2] + 100 * item, .groups = n, .runs = rows, .run = 1, .first = 1,
                              .period = n, .eps = 0.25, .run_step = (ptrdiff_t)(n * item), .group_step = (ptrdiff_t)item,
                              .affine_group = (ptrdiff_t)item, .scratch = scratch};
                if (kind & 2) v.flags = ODY_GIVEN, v.mean = in[2], v.variance = in[3];
                f(&v);
                absorb(out[0], rows * n, bits);
                absorb(out[1], 200, bits);
                absorb(out[2], 200, bits);
            }
    }
    free(scratch);
}

/* Groups of adjacent runs with a weight each, as group norm's, and of distant runs with one, as batch norm's. */
static void exercise_ody_norm_fn(ody_norm_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    static const size_t runs[] = {1, 2, 5, 16, 33, 100};
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int s = 0; s < 6; s++)
            for (int kind = 0; kind < 8; kind++) {
                const size_t run = runs[s], many = 3, groups = 4;
                ody_norm v = {.x = in[0], .grad = in[1], .weight = kind & 1 ? NULL : in[2], .bias = kind & 1 ? NULL : in[3],
                              .out = out[0], .mean = out[1], .variance = out[1] + 100 * item, .grad_sums = out[2],
                              .product_sums = out[2] + 100 * item, .groups = groups, .runs = many, .run = run, .first = 1,
                              .period = kind & 4 ? groups + 1 : 2, .eps = 0.25};
                v.run_step = (ptrdiff_t)((kind & 2 ? run : run * groups) * item);
                v.group_step = (ptrdiff_t)((kind & 2 ? run * many : run) * item);
                v.affine_run = kind & 2 ? (ptrdiff_t)item : 0;
                v.affine_group = (ptrdiff_t)((kind & 2 ? many : 1) * item);
                if (kind & 4) v.flags = ODY_GIVEN, v.mean = in[2], v.variance = in[3];
                f(&v);
                absorb(out[0], groups * many * run, bits);
                absorb(out[1], 200, bits);
                absorb(out[2], 200, bits);
            }
    }
}

static void exercise_ody_scatter_fn(ody_scatter_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    static int64_t order[64], starts[9];
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (size_t i = 0; i < 64; i++) order[i] = (int64_t)(i * 37 % 64);
        for (size_t i = 0; i < 9; i++) starts[i] = (int64_t)(i * i);
        for (int s = 1; s < SIZES && sizes[s] <= 257; s++) {
            ody_scatter v = {.grad = in[0], .out = out[0], .order = order, .starts = starts,
                             .grad_step = (ptrdiff_t)(300 * item), .out_step = (ptrdiff_t)(sizes[s] * item), .rows = 8,
                             .n = sizes[s]};
            f(&v);
            absorb(out[0], 8 * sizes[s], bits);
        }
    }
}

/* A gradient of rows reads order and starts, the other two the rows; each reads what is its own. */
static void exercise_ody_combine_fn(ody_combine_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    static int64_t rows[24], order[24], starts[9];
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (int64_t i = 0; i < 24; i++) rows[i] = i * 5 % 8, order[i] = i * 7 % 24;
        for (int64_t i = 0; i < 9; i++) starts[i] = 3 * i;
        for (int s = 1; s < SIZES && sizes[s] <= 257; s++) {
            ody_combine v = {.x = in[0], .weights = in[1], .grad = in[2], .rows = rows, .order = order, .starts = starts,
                             .out = out[0], .x_step = (ptrdiff_t)(300 * item), .grad_step = (ptrdiff_t)(300 * item),
                             .out_step = (ptrdiff_t)(300 * item), .tokens = 8, .k = 3, .n = sizes[s]};
            f(&v);
            absorb(out[0], 8 * 300, bits);
        }
    }
}

static void exercise_ody_dropout_fn(ody_dropout_fn f, int bits) {
    prepare(bits, 1);
    for (int s = 1; s < SIZES; s++)
        for (int kind = 0; kind < 3; kind++) {
            ody_dropout d = {.in = in[0], .out = out[0], .n = sizes[s], .first = kind == 2 ? (uint64_t)1 << 34 : 64,
                             .seed = 0x123456789abcdef0u, .offset = (uint64_t)kind << 33, .scale = 1.25,
                             .threshold = kind == 0 ? 0x33333333u : kind == 1 ? 1u : 0xc0000000u};
            f(&d);
            absorb(out[0], sizes[s], bits);
        }
}

static void exercise_pool(ody_pool_fn f, ody_pool_workspace_fn workspace, int bits, int global) {
    for (int wild = 0; wild < 2; wild++) {
        prepare(bits, wild);
        for (size_t width = 4; width < 40; width += 5)
            for (int kind = 0; kind < 4; kind++) {
                ody_pool p = {.planes = 3, .height = 7, .width = width, .kernel_h = 2, .kernel_w = 2, .stride_y = 2,
                              .stride_x = 2, .in = {in[0], in[1]}, .out = out[0]};
                if (kind == 1) p.kernel_h = 3, p.kernel_w = 3, p.padding_y = p.padding_x = 1;
                if (kind == 2) p.stride_y = p.stride_x = 1, p.kernel_w = 3;
                if (kind == 3) p.stride_x = 3, p.kernel_w = 3;
                if (global) p.kernel_h = p.height, p.kernel_w = p.width, p.stride_y = p.stride_x = 1;
                p.out_height = (p.height + 2 * p.padding_y - p.kernel_h) / p.stride_y + 1;
                p.out_width = (p.width + 2 * p.padding_x - p.kernel_w) / p.stride_x + 1;
                p.workspace = aligned_alloc(64, (workspace(&p) + 127) / 64 * 64);
                f(&p);
                free(p.workspace);
                absorb(out[0], 3 * p.height * p.width, bits);
            }
    }
}

/* Kernels from `least` to `most` in size, those whose size is known with that size alone. */
static void exercise_filter(ody_filter_fn f, int bits, size_t least, size_t most) {
    const size_t size = (size_t)bits / 8, pitch = 96;
    prepare(bits, 0);
    for (size_t kernel = least; kernel <= most; kernel += 2)
        for (size_t n = 1; n < 80; n += 13)
            for (unsigned flags = 0; flags <= ODY_CONTINUE; flags += ODY_CONTINUE) {
                const void *rows[20];
                for (size_t r = 0; r < 20; r++) rows[r] = (const char *)in[0] + (r * 7 % 20) * pitch * size;
                ody_filter call = {.in = rows, .out = out[0], .out_step = (ptrdiff_t)(n * size), .rows = 1 + n % 11, .n = n,
                                   .kernel_h = kernel, .kernel_w = kernel, .weight = in[1], .start = 0.5, .flags = flags};
                fill(out[0], call.rows * n, bits, 0);
                f(&call);
                absorb(out[0], call.rows * n, bits);
            }
}

/* A convolution whole, in one piece for each group, or for all planes where it is depthwise, in each direction. */
static void exercise_conv(ody_conv_fn f, ody_conv_fn pack, ody_conv_sizes_fn sizes, int bits, int direction) {
    static const struct { size_t batch, channels, height, width, outputs, kernel, stride, padding, dilation, groups; } shape[] = {
        {1, 1, 9, 12, 6, 5, 1, 0, 1, 1},   {3, 4, 7, 7, 17, 3, 1, 1, 1, 1},  {2, 6, 11, 9, 4, 3, 2, 1, 1, 2},
        {1, 2, 12, 12, 3, 3, 2, 1, 4, 1},  {2, 40, 5, 6, 9, 1, 1, 0, 1, 1},  {19, 3, 3, 3, 5, 3, 1, 1, 1, 1},
        {33, 4, 6, 6, 15, 3, 1, 1, 1, 1},  {18, 4, 6, 7, 2, 3, 2, 1, 1, 2},  {70, 2, 5, 5, 3, 5, 1, 2, 1, 1},
        {1, 45, 10, 10, 8, 3, 1, 1, 1, 1}, {20, 3, 1, 1, 4, 1, 1, 0, 1, 1},
        {2, 5, 9, 21, 5, 3, 1, 1, 1, 5},   {3, 7, 6, 5, 7, 3, 2, 1, 1, 7},   {2, 48, 12, 11, 48, 3, 1, 1, 1, 1},
    };
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int kind = 0; kind < 2; kind++) {
            prepare(bits, 0);
            ody_conv v = {.batch = shape[s].batch, .channels = shape[s].channels, .height = shape[s].height,
                          .width = shape[s].width, .outputs = shape[s].outputs, .kernel_h = shape[s].kernel,
                          .kernel_w = shape[s].kernel, .stride_y = shape[s].stride, .stride_x = shape[s].stride,
                          .padding_y = shape[s].padding, .padding_x = shape[s].padding, .dilation_y = shape[s].dilation,
                          .dilation_x = shape[s].dilation, .groups = shape[s].groups, .bias = kind ? in[3] : NULL,
                          .activation = kind ? ODY_RELU : ODY_IDENTITY};
            const size_t reach = shape[s].dilation * (shape[s].kernel - 1) + 1;
            v.out_height = (v.height + 2 * v.padding_y - reach) / v.stride_y + 1;
            v.out_width = (v.width + 2 * v.padding_x - reach) / v.stride_x + 1;
            const size_t x = v.batch * v.channels * v.height * v.width, y = v.batch * v.outputs * v.out_height * v.out_width;
            const size_t w = v.outputs * (v.channels / v.groups) * v.kernel_h * v.kernel_w;
            size_t results = 0;
            v.x = in[0], v.weight = in[1], v.y = in[2];
            if (direction == 0) v.y = out[0], results = y;
            if (direction == 1) v.x = out[0], results = x;
            if (direction == 2) v.weight = out[0], results = w;
            ody_conv_sizes need;
            sizes(&v, &need);
            v.packed = aligned_alloc(64, need.packed / 64 * 64 + 64);
            v.workspace = aligned_alloc(64, need.workspace / 64 * 64 + 64);
            const size_t pieces = need.planes ? 1 : v.groups;
            v.images = need.planes ? v.batch * v.groups : v.batch;
            v.tile_end = need.tiles;
            v.channel_end = v.channels / v.groups;
            for (v.group = 0; v.group < pieces && pack; v.group++) pack(&v);
            if (direction < 2) {
                v.rows = direction ? v.height : v.out_height;
                for (v.group = 0; v.group < pieces; v.group++) f(&v);
            } else {
                for (v.row = 0; v.row < need.rows; v.row++)
                    for (v.group = 0; v.group < v.groups; v.group++) f(&v);
                if (need.rows > 1) absorb(v.packed, need.rows * w, bits);
            }
            free(v.packed);
            free(v.workspace);
            absorb(out[0], results, bits);
        }
}

static void exercise_ody_gemm_fn(ody_gemm_fn f, ody_gemm_workspace_fn workspace, int bits) {
    const size_t item = (size_t)bits / 8, most = 41;
    prepare(bits, 0);
    for (size_t m = 1; m <= most; m += m < 16 ? 3 : 8)
        for (int s = 1; s < SIZES - 2; s += 2)
            for (int kind = 0; kind < 8; kind++) {
                const size_t n = sizes[s], k = sizes[(s * 5 + kind) % (SIZES - 3)];
                ody_gemm g = {.m = m, .n = n, .k = k, .a = in[0], .b = in[1], .c = out[0], .c_row = (ptrdiff_t)n + 3,
                              .alpha = kind == 3 ? 0.5 : 1, .beta = kind == 4 ? 0.5 : kind == 5,
                              .bias = kind == 6 ? in[2] : NULL, .activation = kind == 7 ? ODY_RELU : ODY_IDENTITY};
                g.a_row = kind & 1 ? 1 : (ptrdiff_t)k, g.a_col = kind & 1 ? (ptrdiff_t)m : 1;
                g.b_row = kind & 2 ? 1 : (ptrdiff_t)n, g.b_col = kind & 2 ? (ptrdiff_t)k : 1;
                memcpy(out[0], in[3], m * (n + 3) * item);
                const size_t bytes = (workspace(&g) + 63) / 64 * 64;
                g.workspace = aligned_alloc(64, bytes + 64);
                f(&g);
                free(g.workspace);
                absorb(out[0], m * (n + 3), bits);
            }
}

/* Packed and narrow operands are read as the bytes they are: any bits but NaN's are numbers. */
static void exercise_packed(ody_gemm_fn f, ody_gemm_workspace_fn workspace, int bits) {
    prepare(bits, 0);
    for (int format = ODY_PANELS; format <= (bits == 32 ? ODY_F16_ROWS : ODY_PANELS); format++)
        for (size_t m = 1; m < 40; m += m < 9 ? 1 : 13)
            for (int s = 1; s < 11; s++) {
                const size_t n = sizes[s], k = sizes[s] / 2 + 3;
                ody_gemm g = {.m = m, .n = n, .k = k, .a = in[0], .b = in[1], .c = out[0], .a_row = (ptrdiff_t)k,
                              .a_col = 1, .b_row = 1, .b_col = (ptrdiff_t)k + (s & 2), .c_row = (ptrdiff_t)n + 3,
                              .alpha = 1, .bias = s & 1 ? in[2] : NULL,
                              .activation = s % 3 ? ODY_IDENTITY : ODY_RELU, .format = format,
                              .scale = format == ODY_INT8 ? in[3] : NULL};
                memset(out[0], 0, m * (n + 3) * (size_t)bits / 8);
                g.workspace = aligned_alloc(64, workspace(&g) / 64 * 64 + 128);
                f(&g);
                free(g.workspace);
                absorb(out[0], m * (n + 3), bits);
            }
}

static void exercise_ody_sample_fn(ody_sample_fn f, int bits) {
    prepare(bits, 0);
    for (int s = 1; s < SIZES; s++)
        for (int draw = 0; draw < 24; draw++) {
            int64_t found;
            ody_sample one = {.logits = in[draw & 3], .n = sizes[s], .k = sizes[s] / 3 + 1, .p = 0.1 + draw / 30.0,
                              .inverse = 0.75, .uniform = draw / 24.0, .out = &found};
            one.workspace = aligned_alloc(64, ODY_SAMPLE_BYTES(sizes[s]) / 64 * 64 + 64);
            f(&one);
            free(one.workspace);
            memcpy(out[0], &found, sizeof found);
            absorb(out[0], 1, bits);
        }
}

/* Streams of every kind, around the lanes and the blocks, with and without the results that may be left out. */
static void exercise_ody_hyper(ody_hyper_fn f, ody_hyper_workspace_fn workspace, int bits, int backward) {
    static const struct { size_t tokens, streams, hidden; } shape[] = {
        {1, 4, 64}, {19, 4, 31}, {5, 2, 300}, {3, 3, 17}, {2, 8, 33}, {7, 1, 5}, {6, 5, 16},
    };
    enum { PARAMETERS = 80 * 600 };
    const size_t item = (size_t)bits / 8;
    for (int wild = 0; wild < 2; wild++)
        for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
            for (int kind = ODY_HYPER_DEFAULT; kind <= ODY_HYPER_HEAD; kind++) {
                prepare(bits, wild);
                fill(in[1], PARAMETERS, bits, 0); /* fn */
                for (size_t i = 0; i < PARAMETERS; i++)
                    if (bits == 32) ((float *)in[1])[i] /= 16;
                    else ((double *)in[1])[i] /= 16;
                const size_t n = shape[s].streams, tokens = shape[s].tokens;
                ody_hyper h = {.tokens = tokens, .streams = n, .hidden = shape[s].hidden, .iterations = s % 2 ? 20 : 3,
                               .group = s == 1 ? 64 / item : 4, .kind = kind, .eps = 1e-6, .norm_eps = 1e-6, .x = in[0],
                               .fn = in[1], .base = in[2], .scale = in[2] + 100 * item, .collapsed = out[0], .post = out[1],
                               .comb = out[2], .mix = out[3]};
                if (backward) {
                    h.collapsed = h.post = h.comb = NULL;
                    h.mix = in[2] + 200 * item;
                    h.grad_collapsed = in[3];
                    h.grad_post = s == 2 ? NULL : in[4];
                    h.grad_comb = s == 3 ? NULL : in[4] + 400 * item;
                    h.dx = out[0];
                    h.dproduct = out[1];
                    h.terms = out[2];
                }
                h.workspace = aligned_alloc(64, (workspace(&h, backward) + 63) / 64 * 64);
                f(&h);
                free(h.workspace);
                for (int k = 0; k < 4; k++) absorb(out[k], MOST / 4, bits);
            }
}
static void exercise_ody_mixing_fn(ody_mixing_fn f, int bits) {
    for (int wild = 0; wild < 2; wild++)
        for (size_t n = 1; n <= ODY_MOST_STREAMS; n++)
            for (unsigned flags = 0; flags <= ODY_STREAM; flags += ODY_STREAM) {
                prepare(bits, wild);
                const ody_mixing m = {.tokens = 3, .streams = n, .hidden = n % 2 ? 64 : 45, .f = in[0], .x = in[1], .post = in[2],
                                      .comb = in[3], .grad = in[4], .out = out[0], .df = out[1], .dx = out[2], .dpost = out[3],
                                      .dcomb = out[3] + 4096, .flags = flags};
                f(&m);
                for (int k = 0; k < 4; k++) absorb(out[k], MOST / 8, bits);
            }
}

/* Matrices and vectors of positive numbers, each of an area of its own; what a step writes goes to `out`, begun as numbers. */
enum { AREA = MOST / 16 };
static char *area(char *from, size_t number, int bits) { return from + number * AREA * (size_t)bits / 8; }
static void prepare_positive(int bits) {
    const size_t item = (size_t)bits / 8, turn = 977 * item; /* outputs begin as inputs do, elsewhere */
    state = 1; /* the same ones each time: they are drawn once */
    prepare(bits, 0);
    for (int i = 0; i < 5; i++)
        for (size_t k = 0; k < MOST; k++)
            if (bits == 32) ((float *)in[i])[k] = fabsf(((float *)in[i])[k]) / 4 + 0.0625f;
            else ((double *)in[i])[k] = fabs(((double *)in[i])[k]) / 4 + 0.0625;
    for (int i = 0; i < 4; i++) {
        memcpy(out[i], in[i] + turn, MOST * item - turn);
        memcpy(out[i] + MOST * item - turn, in[i], turn);
    }
}

static void exercise_ody_sinkhorn_small_fn(ody_sinkhorn_small_fn f, int bits) {
    static const size_t iterations[] = {1, 3, 40};
    for (size_t n = 2; n <= ODY_SINKHORN_SMALL; n++)
        for (int kind = 0; kind < 12; kind++) {
            prepare_positive(bits);
            const size_t count = kind % 3 == 2 ? 37 : (size_t)kind % 3 * 8 + 1, k = iterations[kind / 4];
            ody_sinkhorn_small v = {.x = in[0], .grad = in[1], .out = out[0], .residuals = out[1], .count = count, .n = n,
                                    .iterations = k, .logits = kind & 1, .columns_first = kind >> 1 & 1,
                                    .inverse_tau = kind & 1 ? 2 : 1, .add = 0x1p-20, .eps = 0x1p-20};
            v.workspace = aligned_alloc(64, ODY_SINKHORN_WORKSPACE(n, k));
            f(&v);
            free(v.workspace);
            absorb(out[0], count * n * n, bits);
            absorb(out[1], 2 * count, bits);
        }
}

static void exercise_sinkhorn(ody_sinkhorn_fn f, int bits, size_t most) {
    static const struct { size_t m, n; } shape[] = {{1, 1}, {3, 40}, {8, 300}, {5, 144}, {7, 16}, {70, 33}, {64, 57}};
    static const unsigned flags[] = {0, ODY_GIVEN, ODY_FOLD};
    for (size_t s = 0; s < sizeof shape / sizeof *shape && shape[s].m <= most; s++)
        for (int kind = 0; kind < 12; kind++) {
            int far = 0;
            prepare_positive(bits);
            ody_sinkhorn v = {.a = in[0], .grad = in[1], .out = out[0], .m = shape[s].m, .n = shape[s].n, .rows = shape[s].m,
                              .u = area(in[2], 0, bits), .v = area(in[2], 1, bits), .u_next = area(out[1], 0, bits),
                              .v_next = area(out[1], 1, bits), .partial = area(out[1], 2, bits),
                              .residuals = area(out[1], 3, bits), .row_by = area(out[1], 4, bits),
                              .u_grad = area(out[2], 0, bits), .v_grad = area(out[2], 1, bits),
                              .terms = area(out[2], 2, bits), .row_sums = area(out[2], 3, bits),
                              .column_sums = area(out[2], 4, bits), .row_terms = area(in[3], 0, bits),
                              .column_terms = area(in[3], 8, bits), .count = 3, .logits = kind & 1, .joins = kind >> 1 & 1,
                              .far = &far, .inverse_tau = kind & 1 ? 2 : 1, .add = 0x1p-20, .eps = 0x1p-20, .drift = 1.25,
                              .column_drift = 0.75, .relaxation = 0.5, .flags = flags[kind / 4]};
            f(&v);
            memcpy(area(out[3], 0, bits), &far, sizeof far);
            for (int k = 0; k < 4; k++) absorb(out[k], MOST / 2, bits);
        }
}

static void exercise_transport(ody_transport_fn f, int bits, int writes) {
    static const struct { size_t m, n; } shape[] = {{1, 1}, {3, 40}, {70, 33}, {20, 300}};
    static const unsigned flags[] = {0, ODY_GIVEN, ODY_FOLD};
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int kind = 0; kind < 12; kind++) {
            int lost = 0;
            double error = 0;
            prepare_positive(bits);
            ody_transport v = {.cost = in[0], .a = in[1], .b = area(in[2], 0, bits), .plan = writes || kind & 1 ? out[0] : NULL,
                               .m = shape[s].m, .n = shape[s].n, .rows = shape[s].m, .f = area(out[1], 0, bits),
                               .g = area(out[1], 1, bits), .w = area(out[1], 2, bits), .weights = area(out[1], 3, bits),
                               .partial = area(out[1], 4, bits), .line = area(out[1], 6, bits),
                               .reg = s == 3 ? 0.001 : 0.25, .relaxation = kind & 2 ? 0.75 : 1, .scale = kind & 1 ? 2 : 1,
                               .error = &error, .lost = &lost, .flags = flags[kind / 4]};
            f(&v);
            memcpy(out[3], &lost, sizeof lost);
            memcpy(out[3] + 64, &error, sizeof error);
            for (int k = 0; k < 4; k++) absorb(out[k], MOST / 2, bits);
        }
}

/* Points near one another and far, some of them the same, inside the ball and outside. */
static void exercise_ody_pairs_fn(ody_pairs_fn f, int bits) {
    static const size_t lengths[] = {1, 5, 16, 33, 130, 300};
    const size_t item = (size_t)bits / 8, rows = 5, columns = 19;
    for (int wild = 0; wild < 2; wild++)
        for (int s = 0; s < 6; s++)
            for (int kind = 0; kind < 2; kind++) {
                prepare(bits, wild);
                const size_t n = lengths[s];
                for (size_t k = 0; k < MOST && !wild; k++)
                    if (bits == 32) ((float *)in[0])[k] /= kind ? 64 : 16, ((float *)in[1])[k] /= 16;
                    else ((double *)in[0])[k] /= kind ? 64 : 16, ((double *)in[1])[k] /= 16;
                memcpy(in[1], in[0], n * item);
                memcpy(out[0], in[4], rows * columns * item);
                const ody_pairs p = {.x = in[0], .y = in[1], .x_size = in[2], .x_gap = in[2] + 64 * item,
                                     .y_size = in[3], .y_gap = in[3] + 64 * item, .grad = in[4], .out = out[0],
                                     .x_step = (ptrdiff_t)(n * item), .y_step = (ptrdiff_t)((n + 3) * item),
                                     .out_step = (ptrdiff_t)((n > columns ? n : columns) * item),
                                     .grad_step = (ptrdiff_t)(columns * item), .grad_column = (ptrdiff_t)item, .rows = rows,
                                     .columns = columns, .n = n, .param = {0.5, kind}};
                f(&p);
                absorb(out[0], rows * (n > columns ? n : columns), bits);
            }
}

int main(int count, char **arguments) {
    if (!chosen(count > 1 ? arguments[1] : "")) {
        fprintf(stderr, "expected the name of a table that this machine can run\n");
        return 2;
    }
#define SLOT(type, name, bits)                                                                                         \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_##type(TABLE.name, bits);                                                                                 \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define GEMM_SLOT(name, workspace, bits)                                                                               \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_ody_gemm_fn(TABLE.name, TABLE.workspace, bits);                                                           \
    exercise_packed(TABLE.name, TABLE.workspace, bits);                                                                \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define ATTENTION_SLOT(type, name, workspace, bits)                                                                    \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_##type(TABLE.name, TABLE.workspace, bits);                                                                \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define HYPER_SLOT(name, workspace, bits, backward)                                                                    \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_ody_hyper(TABLE.name, TABLE.workspace, bits, backward);                                                   \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define FILTER_SLOT(name, bits, least, most)                                                                           \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_filter(TABLE.name, bits, least, most);                                                                    \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define SINKHORN_SLOT(name, bits, most)                                                                                \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_sinkhorn(TABLE.name, bits, most);                                                                         \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define TRANSPORT_SLOT(name, bits, writes)                                                                             \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_transport(TABLE.name, bits, writes);                                                                      \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define POOL_SLOT(name, bits)                                                                                          \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_pool(TABLE.name, TABLE.pool_workspace_f##bits, bits, strncmp(#name, "global", 6) == 0);                   \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define NORM_COLUMNS_SLOT(name, bits)                                                                                  \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_norm_columns(TABLE.name, bits);                                                                           \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define CONV_SLOT(name, pack, sizes, bits, direction)                                                                  \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_conv(TABLE.name, pack, TABLE.sizes, bits, direction);                                                     \
    printf("%s %016" PRIx64 "\n", #name, hash);
#include "slots.inc"
    return 0;
}
