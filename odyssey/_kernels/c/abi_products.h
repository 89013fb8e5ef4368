/* Products, convolutions, pooling, attention; included by abi.c once for each type. A kernel and what tells its workspace
 * come from one table, read once: another thread may choose another in between. */

ody_status ODY_OP(matmul)(const ODY_REAL *a, const ODY_REAL *b, size_t batch, size_t m, size_t n, size_t k, int transpose_a,
                          int transpose_b, double alpha, double beta, ODY_REAL *c) {
    ELEMENTS(a_elements, batch, m, k);
    ELEMENTS(b_elements, batch, k, n);
    ELEMENTS(elements, batch, m, n);
    POINTERS(elements, c);
    POINTERS(elements && k, a, b);
    (void)a_elements, (void)b_elements;
    const ptrdiff_t item = sizeof(ODY_REAL), rows = (ptrdiff_t)m, columns = (ptrdiff_t)n, depth = (ptrdiff_t)k;
    ody_gemm_stack stack = {.first = {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .a_row = transpose_a ? 1 : depth,
                                      .a_col = transpose_a ? rows : 1, .b_row = transpose_b ? 1 : columns,
                                      .b_col = transpose_b ? depth : 1, .c_row = columns, .alpha = alpha, .beta = beta,
                                      .activation = ODY_IDENTITY, .format = ODY_STRIDED},
                            .itemsize = sizeof(ODY_REAL), .ndim = 1};
    stack.shape[0] = batch;
    stack.a[0] = rows * depth * item;
    stack.b[0] = depth * columns * item;
    stack.c[0] = rows * columns * item;
    const ody_kernels *const table = ody_active();
    DONE(elements && ody_run_gemm("matmul", OF(table, gemm), OF(table, gemm_workspace), &stack));
}

ody_status ODY_OP(linear)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, size_t rows, size_t inputs, size_t outputs,
                          ody_product_activation activation, ODY_REAL *out) {
    ELEMENTS(x_elements, rows, inputs);
    ELEMENTS(w_elements, outputs, inputs);
    ELEMENTS(elements, rows, outputs);
    POINTERS(elements, out);
    POINTERS(elements && inputs, x, weight);
    (void)x_elements, (void)w_elements;
    if ((unsigned)activation > ODY_SILU) return ODY_INVALID_VALUE;
    const ody_gemm_stack stack = {.first = {.m = rows, .n = outputs, .k = inputs, .a = x, .b = weight, .c = out,
                                            .a_row = (ptrdiff_t)inputs, .a_col = 1, .b_row = 1, .b_col = (ptrdiff_t)inputs,
                                            .c_row = (ptrdiff_t)outputs, .bias = bias, .alpha = 1, .activation = (int)activation,
                                            .format = ODY_STRIDED},
                                  .itemsize = sizeof(ODY_REAL)};
    const ody_kernels *const table = ody_active();
    DONE(elements && ody_run_gemm("linear", OF(table, gemm), OF(table, gemm_workspace), &stack));
}

/* The sizes of a convolution: declares what there is of x, weight and y. */
#define CONVOLUTION(s)                                                                                                 \
    size_t out_height, out_width;                                                                                      \
    POINTERS(1, s);                                                                                                    \
    if (ody_conv2d_size(s, &out_height, &out_width) != ODY_OK || s->groups < 1 || s->channels % s->groups || s->outputs % s->groups) \
        return ODY_INVALID_DIMENSION;                                                                                  \
    if ((unsigned)s->activation > ODY_SILU) return ODY_INVALID_VALUE;                                                  \
    ELEMENTS(x_elements, s->batch, s->channels, s->height, s->width);                                                  \
    ELEMENTS(w_elements, s->outputs, s->channels / s->groups, s->kernel_h, s->kernel_w);                               \
    ELEMENTS(y_elements, s->batch, s->outputs, out_height, out_width)

ody_status ODY_OP(conv2d)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, const ody_conv2d *shape, ODY_REAL *y) {
    CONVOLUTION(shape);
    POINTERS(y_elements, y);
    POINTERS(y_elements && x_elements, x);
    POINTERS(y_elements && w_elements, weight);
    ody_conv v = convolution(shape, out_height, out_width);
    v.x = (void *)(uintptr_t)x;
    v.weight = (void *)(uintptr_t)weight;
    v.y = y;
    v.bias = bias;
    v.activation = (int)shape->activation;
    const ody_kernels *const table = ody_active();
    DONE(ody_run_conv("conv2d", OF(table, conv2d_sizes), OF(table, conv2d_pack), OF(table, conv2d), &v, sizeof(ODY_REAL)));
}

ody_status ODY_OP(conv2d_backward_input)(const ODY_REAL *grad, const ODY_REAL *weight, const ody_conv2d *shape, ODY_REAL *dx) {
    CONVOLUTION(shape);
    POINTERS(x_elements, dx);
    POINTERS(x_elements && y_elements, grad);
    POINTERS(x_elements && w_elements, weight);
    ody_conv v = convolution(shape, out_height, out_width);
    v.x = dx;
    v.weight = (void *)(uintptr_t)weight;
    v.y = (void *)(uintptr_t)grad;
    const ody_kernels *const table = ody_active();
    DONE(ody_run_conv("conv2d_backward_input", OF(table, conv2d_backward_input_sizes), OF(table, conv2d_backward_input_pack),
                      OF(table, conv2d_backward_input), &v, sizeof(ODY_REAL)));
}

ody_status ODY_OP(conv2d_backward_weight)(const ODY_REAL *grad, const ODY_REAL *x, const ody_conv2d *shape, ODY_REAL *dweight) {
    CONVOLUTION(shape);
    POINTERS(w_elements, dweight);
    POINTERS(w_elements && y_elements, grad);
    POINTERS(w_elements && x_elements, x);
    ody_conv v = convolution(shape, out_height, out_width);
    v.x = (void *)(uintptr_t)x;
    v.weight = dweight;
    v.y = (void *)(uintptr_t)grad;
    const ody_kernels *const table = ody_active();
    DONE(ody_run_conv_weight("conv2d_backward_weight", OF(table, conv2d_backward_weight_sizes), OF(table, conv2d_backward_weight), &v,
                             sizeof(ODY_REAL)));
}
#undef CONVOLUTION

#define POOLING(s)                                                                                                     \
    size_t out_height, out_width;                                                                                      \
    POINTERS(1, s);                                                                                                    \
    if (ody_pool2d_size(s, &out_height, &out_width) != ODY_OK) return ODY_INVALID_DIMENSION;                           \
    ELEMENTS(x_elements, s->planes, s->height, s->width);                                                              \
    ELEMENTS(y_elements, s->planes, out_height, out_width);                                                            \
    (void)x_elements, (void)y_elements;                                                                                \
    ody_pool p = pooling(s, out_height, out_width)

#define POOL(name)                                                                                                     \
    ody_status ODY_OP(name)(const ODY_REAL *x, const ody_pool2d *shape, ODY_REAL *y) {                                 \
        POOLING(shape);                                                                                                \
        POINTERS(y_elements, x, y);                                                                                    \
        p.in[0] = x;                                                                                                   \
        p.out = y;                                                                                                     \
        const ody_kernels *const table = ody_active();                                                                 \
        DONE(ody_run_pool(#name, OF(table, pool_workspace), OF(table, name), &p, 0, sizeof(ODY_REAL)));                \
    }
POOL(max_pool2d)
POOL(avg_pool2d)
#undef POOL

ody_status ODY_OP(max_pool2d_backward)(const ODY_REAL *grad, const ODY_REAL *x, const ody_pool2d *shape, ODY_REAL *dx) {
    POOLING(shape);
    POINTERS(x_elements, grad, x, dx);
    p.in[0] = grad;
    p.in[1] = x;
    p.out = dx;
    const ody_kernels *const table = ody_active();
    DONE(ody_run_pool("max_pool2d_backward", OF(table, pool_workspace), OF(table, max_pool2d_backward), &p, 1, sizeof(ODY_REAL)));
}

ody_status ODY_OP(avg_pool2d_backward)(const ODY_REAL *grad, const ody_pool2d *shape, ODY_REAL *dx) {
    POOLING(shape);
    POINTERS(x_elements, grad, dx);
    p.in[0] = grad;
    p.out = dx;
    const ody_kernels *const table = ody_active();
    DONE(ody_run_pool("avg_pool2d_backward", OF(table, pool_workspace), OF(table, avg_pool2d_backward), &p, 1, sizeof(ODY_REAL)));
}
#undef POOLING

ody_status ODY_OP(global_avg_pool2d)(const ODY_REAL *x, size_t planes, size_t height, size_t width, ODY_REAL *y) {
    ELEMENTS(elements, planes, height, width);
    if (planes && !elements) return ODY_INVALID_DIMENSION;
    POINTERS(elements, x, y);
    const ody_pool p = {.planes = planes, .height = height, .width = width, .out_height = 1, .out_width = 1, .kernel_h = height,
                        .kernel_w = width, .stride_y = height, .stride_x = width, .in = {x}, .out = y};
    const ody_kernels *const table = ody_active();
    DONE(elements && ody_run_pool("global_avg_pool2d", NULL, OF(table, global_avg_pool2d), &p, 0, sizeof(ODY_REAL)));
}

/* The stack of heads of keys, in a batch; everything but what is written. */
#define ATTENTION(s)                                                                                                   \
    POINTERS(1, s);                                                                                                    \
    if (s->key_heads ? s->heads % s->key_heads : s->heads) return ODY_INVALID_DIMENSION;                               \
    ELEMENTS(q_elements, s->batch, s->heads, s->queries, s->depth);                                                    \
    ELEMENTS(k_elements, s->batch, s->key_heads, s->keys, s->depth);                                                   \
    ELEMENTS(v_elements, s->batch, s->key_heads, s->keys, s->value_depth);                                             \
    ELEMENTS(elements, s->batch, s->heads, s->queries, s->value_depth);                                                \
    ELEMENTS(m_elements, s->queries, s->keys);                                                                         \
    (void)m_elements;                                                                                                  \
    const ptrdiff_t item = sizeof(ODY_REAL), depth = (ptrdiff_t)s->depth, value_depth = (ptrdiff_t)s->value_depth;     \
    const ptrdiff_t queries = (ptrdiff_t)s->queries, keys = (ptrdiff_t)s->keys, key_heads = (ptrdiff_t)s->key_heads;   \
    const ptrdiff_t shared = s->key_heads ? (ptrdiff_t)(s->heads / s->key_heads) : 1;                                  \
    ody_attention_stack stack = {.itemsize = sizeof(ODY_REAL), .ndim = 2, .shape = {s->batch, s->key_heads}};          \
    ody_attention *a = &stack.first.forward;                                                                           \
    *a = (ody_attention){.heads = (size_t)shared, .queries = s->queries, .keys = s->keys, .depth = s->depth,           \
                         .value_depth = s->value_depth, .query = query, .key = key, .value = value,                    \
                         .query_head = queries * depth, .query_row = depth, .key_row = depth, .value_row = value_depth, \
                         .attn_mask = mask, .mask_row = mask ? keys * item : 0, .mask_key = mask ? item : 0,           \
                         .mask_kind = ODY_MASK_ADD, .causal = s->causal != 0,                                          \
                         .scale = s->scale != 0 ? s->scale : s->depth ? 1 / sqrt((double)s->depth) : 1.0};             \
    stack.stride[1] = (ody_attention_strides){.query = shared * queries * depth * item, .key = keys * depth * item,    \
                                              .value = keys * value_depth * item};                                     \
    stack.stride[0] = (ody_attention_strides){.query = key_heads * stack.stride[1].query,                              \
                                              .key = key_heads * stack.stride[1].key,                                  \
                                              .value = key_heads * stack.stride[1].value}

ody_status ODY_OP(attention)(const ODY_REAL *query, const ODY_REAL *key, const ODY_REAL *value, const ODY_REAL *mask,
                             const ody_attention_shape *shape, ODY_REAL *out) {
    ATTENTION(shape);
    POINTERS(elements, out);
    POINTERS(elements && q_elements, query);
    POINTERS(elements && k_elements, key);
    POINTERS(elements && v_elements, value);
    a->out = out;
    a->out_head = queries * value_depth;
    a->out_row = value_depth;
    stack.stride[1].out = shared * queries * value_depth * item;
    stack.stride[0].out = key_heads * stack.stride[1].out;
    const ody_kernels *const table = ody_active();
    DONE(elements && ody_run_attention("attention", OF(table, attention), NULL, OF(table, attention_workspace), &stack));
}

ody_status ODY_OP(attention_backward)(const ODY_REAL *grad, const ODY_REAL *query, const ODY_REAL *key, const ODY_REAL *value,
                                      const ODY_REAL *mask, const ody_attention_shape *shape, ODY_REAL *dquery, ODY_REAL *dkey,
                                      ODY_REAL *dvalue) {
    ATTENTION(shape);
    POINTERS(elements, grad);
    POINTERS(q_elements, query, dquery);
    POINTERS(k_elements, key, dkey);
    POINTERS(v_elements, value, dvalue);
    stack.first.grad = grad;
    stack.first.grad_head = queries * value_depth;
    stack.first.grad_row = value_depth;
    stack.first.dquery = dquery;
    stack.first.dkey = dkey;
    stack.first.dvalue = dvalue;
    for (int axis = 0; axis < 2; axis++) {
        ody_attention_strides *t = &stack.stride[axis];
        t->grad = shared * queries * value_depth * item * (axis ? 1 : key_heads);
        t->dquery = t->query;
        t->dkey = t->key;
        t->dvalue = t->value;
    }
    const ody_kernels *const table = ody_active();
    DONE(ody_run_attention("attention_backward", NULL, OF(table, attention_backward), OF(table, attention_backward_workspace), &stack));
}
#undef ATTENTION
