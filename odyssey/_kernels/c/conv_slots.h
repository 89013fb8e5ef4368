/* The slots of convolution and of the gradient of its input: which way each goes, and its pieces. */

/* Everything that follows from the shapes of a whole convolution. With images in the lanes there is one plan for all taps;
 * with pixels in them the gradient of the input has one for each residue of the strides, made where it is needed. */
typedef struct K(conv_route) {
    int backward, strided, bundled, winograd, depthwise;
    conv_taps taps; /* all of them */
    K(conv_plan) plan;
    K(bundle_plan) bundle;
    K(winograd_plan) tiles;
    K(depthwise_plan) planes;
} K(conv_route);

/* The correlation of each residue of the strides, one after the other, where it has any output. */
#define EACH_RESIDUE(v, t)                                                                                             \
    for (size_t residue_y = 0; residue_y < (v)->stride_y; residue_y++)                                                 \
        for (size_t residue_x = 0; residue_x < (v)->stride_x; residue_x++)                                             \
            for (conv_taps t = conv_backward_taps(v, residue_y, residue_x), *once = &t; once && t.grid_h && t.grid_w;  \
                 once = NULL)

static double K(pixels_cost)(const K(conv_route) *route, const ody_conv *v) {
    if (!route->strided) return K(planes_cost)(&route->taps, &route->plan.planes);
    double cost = 0;
    EACH_RESIDUE(v, t) {
        K(conv_plan) p;
        K(plan_conv)(&t, v->batch, &p);
        cost += K(planes_cost)(&t, &p.planes);
    }
    return cost;
}

static void K(route_conv)(const ody_conv *v, int backward, K(conv_route) *route) {
    route->backward = backward;
    route->strided = backward && (v->stride_y > 1 || v->stride_x > 1);
    route->taps = backward ? conv_backward_all_taps(v) : conv_forward_taps(v);
    route->bundled = route->winograd = 0;
    route->tiles = (K(winograd_plan)){0};
    route->depthwise = conv_is_depthwise(&route->taps, route->strided);
    if (route->depthwise) {
        K(plan_depthwise)(&route->taps, v->channels, v->batch, &route->planes);
        return;
    }
    K(plan_conv)(&route->taps, v->batch, &route->plan);
    /* Who computes in double wants the shorter chains of errors. */
    if (sizeof(real) == sizeof(float) && conv_winograd_pays(&route->taps, route->strided)) {
        route->winograd = 1;
        K(plan_winograd)(&route->taps, &route->plan, v->batch, &route->tiles);
        return;
    }
    if (v->batch < LANES || route->plan.tiles == 0) return;
    K(plan_bundle)(&route->taps, &route->plan, backward, v->batch, &route->bundle);
    if (route->bundle.source_elements * sizeof(real) > BUNDLE_SOURCE)
        K(plan_bundle)(&route->taps, &route->plan, backward, LANES, &route->bundle);
    if (route->bundle.source_elements * sizeof(real) > BUNDLE_SOURCE) return;
    route->bundled = 20 * K(bundle_cost)(&route->taps, v, backward) < 19 * K(pixels_cost)(route, v);
}

static void K(route_sizes)(const ody_conv *v, int backward, ody_conv_sizes *sizes) {
    K(conv_route) route;
    K(route_conv)(v, backward, &route);
    sizes->planes = 0;
    if (route.depthwise) {
        sizes->tiles = sizes->images = 1;
        sizes->rows = route.taps.grid_h;
        sizes->planes = route.planes.narrow ? LANES : 1;
        sizes->packed = K(depthwise_packed)(&route.planes);
        sizes->workspace = K(depthwise_workspace)(&route.planes);
        return;
    }
    sizes->tiles = route.plan.tiles;
    sizes->rows = backward ? (v->height + v->stride_y - 1) / v->stride_y : v->out_height;
    sizes->images = 1;
    sizes->packed = sizes->workspace = 0;
    if (route.winograd) {
        const size_t tiles = route.tiles.grid_h * route.tiles.grid_w;
        sizes->tiles = route.tiles.tiles;
        sizes->packed = K(winograd_packed_elements)(&route.tiles) * v->groups * sizeof(real);
        sizes->workspace = K(winograd_workspace)(&route.tiles);
        sizes->rows = tiles < WINOGRAD_LEAST ? 1 : route.tiles.grid_h;
        sizes->images = tiles < WINOGRAD_LEAST ? WINOGRAD_LEAST / tiles : 1;
        return;
    }
    if (!route.strided) {
        sizes->packed = K(conv_packed_elements)(&route.taps) * v->groups * sizeof(real);
        sizes->workspace = K(conv_plan_workspace)(&route.plan);
        if (route.plan.planes.flat && !route.bundled) {
            sizes->rows = 1;
            sizes->images = route.plan.planes.images;
        }
    } else if (route.bundled) {
        sizes->packed = K(conv_packed_elements)(&route.taps) * v->groups * sizeof(real);
    } else {
        EACH_RESIDUE(v, t) {
            K(conv_plan) p;
            K(plan_conv)(&t, v->batch, &p);
            const size_t workspace = K(conv_plan_workspace)(&p);
            sizes->packed += K(conv_packed_elements)(&t) * v->groups * sizeof(real);
            if (workspace > sizes->workspace) sizes->workspace = workspace;
            if (p.planes.flat) sizes->rows = 1;
        }
    }
    if (route.bundled) {
        const size_t workspace = K(bundle_workspace)(&route.bundle);
        if (workspace > sizes->workspace) sizes->workspace = workspace;
        sizes->images = route.bundle.vecs * LANES;
    }
}

static void K(route_pack)(const ody_conv *v, int backward) {
    K(conv_route) route;
    K(route_conv)(v, backward, &route);
    if (route.depthwise) {
        K(pack_depthwise)(&route.planes, v->weight, v->bias, v->packed);
        return;
    }
    const real *weight =
        (const real *)v->weight + v->group * (v->outputs / v->groups) * (v->channels / v->groups) * v->kernel_h * v->kernel_w;
    real *packed = v->packed;
    if (route.winograd) {
        packed += v->group * K(winograd_packed_elements)(&route.tiles);
        K(winograd_pack)(&route.tiles, weight, v->tile, v->tile_end, packed);
        return;
    }
    if (!route.strided || route.bundled) {
        K(pack_weights)(&route.taps, &route.plan, weight, v->tile, v->tile_end,
                        packed + v->group * K(conv_packed_elements)(&route.taps));
        return;
    }
    EACH_RESIDUE(v, t) {
        K(conv_plan) p;
        K(plan_conv)(&t, v->batch, &p);
        const size_t elements = K(conv_packed_elements)(&t);
        K(pack_weights)(&t, &p, weight, v->tile, v->tile_end, packed + v->group * elements);
        packed += v->groups * elements;
    }
}

/* The images of a piece, bundle by bundle; returns how many at the end are too few for one. */
static size_t K(run_bundles)(const ody_conv *v, const K(conv_route) *route, const K(conv_piece) *piece, size_t row,
                             size_t rows) {
    const real *finite = K(packed_finite)(&route->taps, &route->plan, piece->packed);
    K(bundle_piece) w = {
        .source = piece->source,
        .packed = piece->packed,
        .bias = piece->bias,
        .out = piece->out,
        .row = row,
        .rows = rows,
        .tile = piece->tile,
        .tile_end = piece->tile_end,
        .activation = piece->activation,
    };
    for (size_t i = piece->tile; i < piece->tile_end; i++) w.with_padding |= !(finite[i] == 0);
    K(bundle_plan) narrow = route->bundle;
    if (narrow.vecs > 1) K(plan_bundle)(&route->taps, &route->plan, route->backward, LANES, &narrow);
    size_t left = piece->images;
    while (left >= (route->strided ? 1 : LANES / 2)) {
        const K(bundle_plan) *b = left > LANES ? &route->bundle : &narrow;
        w.image = piece->image + piece->images - left;
        w.images = left < b->vecs * LANES ? left : b->vecs * LANES;
        K(run_bundle)(v, &route->plan, b, &w, v->workspace);
        left -= w.images;
    }
    return left;
}

static void K(route_run)(const ody_conv *v, int backward) {
    K(conv_route) route;
    K(route_conv)(v, backward, &route);
    const conv_taps *all = &route.taps;
    const real *bias = v->bias, *source = backward ? v->y : v->x, *packed = v->packed;
    if (route.depthwise) {
        const K(depthwise_piece) piece = {
            .source = source,
            .weight = v->weight,
            .packed = packed,
            .bias = bias,
            .out = backward ? v->x : v->y,
            .first = v->image,
            .planes = v->images,
            .row = v->row,
            .rows = v->rows,
            .activation = backward ? ODY_IDENTITY : v->activation,
        };
        K(run_depthwise)(&route.planes, &piece, v->workspace);
        return;
    }
    K(conv_piece) w = {
        .source = source + (ptrdiff_t)(v->group * all->channels) * all->source_c,
        .source_end = source + (ptrdiff_t)v->batch * all->source_image,
        .bias = bias ? bias + v->group * all->outputs : NULL,
        .out = (real *)(backward ? v->x : v->y) + (ptrdiff_t)(v->group * all->outputs) * all->out_m,
        .image = v->image,
        .images = v->images,
        .row = v->row,
        .tile = v->tile,
        .tile_end = v->tile_end,
        .activation = backward ? ODY_IDENTITY : v->activation,
    };
    if (route.winograd) { /* the piece's rows are rows of tiles */
        const size_t left = route.tiles.grid_h - v->row;
        w.rows = v->rows < left ? v->rows : left;
        w.packed = packed + v->group * K(winograd_packed_elements)(&route.tiles);
        K(run_winograd)(&route.tiles, &w, v->workspace);
        return;
    }
    /* The piece's rows are rows of a residue's grid. */
    const size_t stride = backward ? v->stride_y : 1, row = v->row * stride;
    const size_t left = all->grid_h - row, rows = v->rows < left && v->rows * stride < left ? v->rows * stride : left;
    if (!route.strided || route.bundled) {
        w.packed = packed + v->group * K(conv_packed_elements)(all);
        w.rows = rows;
        if (route.bundled) {
            const size_t few = K(run_bundles)(v, &route, &w, row, rows);
            w.image += w.images - few;
            w.images = few;
        }
        if (w.images) K(run_conv)(&route.plan, &w, v->workspace);
        return;
    }
    EACH_RESIDUE(v, t) {
        K(conv_plan) p;
        K(plan_conv)(&t, v->batch, &p);
        const size_t elements = K(conv_packed_elements)(&t);
        /* The later grids may have a row less. */
        w.rows = v->row >= t.grid_h ? 0 : v->rows < t.grid_h - v->row ? v->rows : t.grid_h - v->row;
        w.packed = packed + v->group * elements;
        packed += v->groups * elements;
        if (w.rows) K(run_conv)(&p, &w, v->workspace);
    }
}
#undef EACH_RESIDUE

static void K(conv2d_sizes)(const ody_conv *v, ody_conv_sizes *sizes) { K(route_sizes)(v, 0, sizes); }
static void K(conv2d_pack)(const ody_conv *v) { K(route_pack)(v, 0); }
static void K(conv2d)(const ody_conv *v) { K(route_run)(v, 0); }

static void K(conv2d_backward_input_sizes)(const ody_conv *v, ody_conv_sizes *sizes) { K(route_sizes)(v, 1, sizes); }
static void K(conv2d_backward_input_pack)(const ody_conv *v) { K(route_pack)(v, 1); }
static void K(conv2d_backward_input)(const ody_conv *v) { K(route_run)(v, 1); }
