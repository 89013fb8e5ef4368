/* The operations of odyssey.h, which includes this text twice: with ODY_REAL float and ODY_OP(name) ody_<name>_f32, and with
 * double and ody_<name>_f64. Include odyssey.h, not this.
 *
 * What holds for all:
 *   - Arrays are contiguous, in C order, aligned to their elements; the shape stands behind a comment or is n. Inputs come
 *     first, then sizes, then options, then what is written. Options are double and are rounded to ODY_REAL.
 *   - Results have the bits of the function of the same name in Python, on every instruction set and for every number of threads.
 *     Rounding, NaN and infinities: the contracts in kernels.h.
 *   - Calls from several threads at once are safe. Large ones share the work with the pool's threads.
 *   - A pointer may be NULL where "or NULL" stands, and where its array has no elements; else ODY_NULL_POINTER.
 *   - ODY_INVALID_DIMENSION: sizes whose product no memory could hold, or that the operation cannot have;
 *     ODY_INVALID_VALUE: an option out of its range, or values that have no result; ODY_OUT_OF_MEMORY: of scratch space.
 *     Unless ODY_OK is returned, what is written to is undefined.
 *   - An output may be an input of the same size where "in place" stands; else outputs overlap nothing. Neither is looked for.
 */

/* ---- element by element. n elements; n = 0 does nothing. In place. ------------------------------------------------------ */

#define ODY_UNARY(name) ODY_API ody_status ODY_OP(name)(const ODY_REAL *x, size_t n, ODY_REAL *out)
#define ODY_BINARY(name) ODY_API ody_status ODY_OP(name)(const ODY_REAL *a, const ODY_REAL *b, size_t n, ODY_REAL *out)

ODY_BINARY(add);
ODY_BINARY(subtract);
ODY_BINARY(multiply);
ODY_BINARY(divide);
ODY_BINARY(minimum);
ODY_BINARY(maximum);
ODY_BINARY(power);
ODY_UNARY(exp);
ODY_UNARY(log);
ODY_UNARY(log2);
ODY_UNARY(sqrt);
ODY_UNARY(reciprocal);
ODY_UNARY(sin);
ODY_UNARY(cos);
ODY_UNARY(erf);
/* out = alpha x; out = alpha x + y and a b + c, rounded once. */
ODY_API ody_status ODY_OP(scale)(const ODY_REAL *x, size_t n, double alpha, ODY_REAL *out);
ODY_API ody_status ODY_OP(axpy)(const ODY_REAL *x, const ODY_REAL *y, size_t n, double alpha, ODY_REAL *out);
ODY_API ody_status ODY_OP(fma)(const ODY_REAL *a, const ODY_REAL *b, const ODY_REAL *c, size_t n, ODY_REAL *out);
/* min(max(x, low), high); a bound that is NaN makes all NaN. */
ODY_API ody_status ODY_OP(clip)(const ODY_REAL *x, size_t n, double low, double high, ODY_REAL *out);

ODY_UNARY(relu);
ODY_UNARY(relu6);
ODY_UNARY(hard_tanh);
ODY_UNARY(hard_sigmoid);
ODY_UNARY(hard_swish);
ODY_UNARY(selu);
ODY_UNARY(sigmoid);
ODY_UNARY(tanh);
ODY_UNARY(silu);
ODY_UNARY(gelu);
ODY_UNARY(gelu_tanh);
ODY_UNARY(mish);
ODY_API ody_status ODY_OP(leaky_relu)(const ODY_REAL *x, size_t n, double negative_slope, ODY_REAL *out);
ODY_API ody_status ODY_OP(elu)(const ODY_REAL *x, size_t n, double alpha, ODY_REAL *out);
ODY_API ody_status ODY_OP(softplus)(const ODY_REAL *x, size_t n, double beta, double threshold, ODY_REAL *out);

/* Gradients: a is the incoming one, b the forward's input; for sigmoid and tanh its result. */
ODY_BINARY(erf_backward);
ODY_BINARY(relu_backward);
ODY_BINARY(relu6_backward);
ODY_BINARY(hard_tanh_backward);
ODY_BINARY(hard_sigmoid_backward);
ODY_BINARY(hard_swish_backward);
ODY_BINARY(selu_backward);
ODY_BINARY(sigmoid_backward);
ODY_BINARY(tanh_backward);
ODY_BINARY(silu_backward);
ODY_BINARY(gelu_backward);
ODY_BINARY(gelu_tanh_backward);
ODY_BINARY(mish_backward);
ODY_API ody_status ODY_OP(clip_backward)(const ODY_REAL *grad, const ODY_REAL *x, size_t n, double low, double high, ODY_REAL *out);
ODY_API ody_status ODY_OP(leaky_relu_backward)(const ODY_REAL *grad, const ODY_REAL *x, size_t n, double negative_slope, ODY_REAL *out);
ODY_API ody_status ODY_OP(elu_backward)(const ODY_REAL *grad, const ODY_REAL *x, size_t n, double alpha, ODY_REAL *out);
ODY_API ody_status ODY_OP(softplus_backward)(const ODY_REAL *grad, const ODY_REAL *x, size_t n, double beta, double threshold, ODY_REAL *out);

#undef ODY_UNARY
#undef ODY_BINARY

/* Each element with probability p, in [0, 1], replaced by 0, else divided by 1 - p; a function of seed, offset and its place.
 * In place. */
ODY_API ody_status ODY_OP(dropout)(const ODY_REAL *x, size_t n, double p, uint64_t seed, uint64_t offset, ODY_REAL *out);

/* ---- row by row. x is (rows, n). ----------------------------------------------------------------------------------------- */

/* out is (rows, n). In place. */
ODY_API ody_status ODY_OP(softmax)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(log_softmax)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
/* y is the forward's result. In place on grad and y. */
ODY_API ody_status ODY_OP(softmax_backward)(const ODY_REAL *grad, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(log_softmax_backward)(const ODY_REAL *grad, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out);

/* out is (rows). Of rows without elements: 0, NaN, 0, -inf; of the largest, smallest and first largest ODY_INVALID_DIMENSION,
 * unless there are no rows either. */
ODY_API ody_status ODY_OP(sum)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(mean)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(norm)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(logsumexp)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(max)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(min)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(argmax)(const ODY_REAL *x, size_t rows, size_t n, int64_t *out);
/* Over n - ddof; NaN where n <= ddof. */
ODY_API ody_status ODY_OP(var)(const ODY_REAL *x, size_t rows, size_t n, double ddof, ODY_REAL *out);
/* a and b are (n), out one value. */
ODY_API ody_status ODY_OP(dot)(const ODY_REAL *a, const ODY_REAL *b, size_t n, ODY_REAL *out);

/* weight and bias (n), or NULL for ones and zeros. In place on x. */
ODY_API ody_status ODY_OP(rms_norm)(const ODY_REAL *x, const ODY_REAL *weight, size_t rows, size_t n, double eps, ODY_REAL *out);
ODY_API ody_status ODY_OP(layer_norm)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, size_t rows, size_t n,
                                      double eps, ODY_REAL *out);
/* dx (rows, n); dweight and dbias (n): without a weight those of ones and zeros. */
ODY_API ody_status ODY_OP(rms_norm_backward)(const ODY_REAL *grad, const ODY_REAL *x, const ODY_REAL *weight, size_t rows, size_t n,
                                             double eps, ODY_REAL *dx, ODY_REAL *dweight);
ODY_API ody_status ODY_OP(layer_norm_backward)(const ODY_REAL *grad, const ODY_REAL *x, const ODY_REAL *weight, size_t rows,
                                               size_t n, double eps, ODY_REAL *dx, ODY_REAL *dweight, ODY_REAL *dbias);
/* x and out (batch, channels, inner), weight and bias (channels) or NULL; groups divides channels. In place on x. */
ODY_API ody_status ODY_OP(group_norm)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, size_t batch, size_t channels,
                                      size_t inner, size_t groups, double eps, ODY_REAL *out);

/* logits (rows, classes); labels (rows), each in [0, classes) or ignore_index, else ODY_INVALID_INDEX and nothing is written;
 * weight (classes) or NULL; smoothing in [0, 1]. losses (rows); mean, or NULL: their mean over the labels that take part. */
ODY_API ody_status ODY_OP(cross_entropy)(const ODY_REAL *logits, const int64_t *labels, const ODY_REAL *weight, size_t rows,
                                         size_t classes, int64_t ignore_index, double smoothing, ODY_REAL *losses, ODY_REAL *mean);
/* The gradient of that mean, times grad: out (rows, classes). In place on logits. */
ODY_API ody_status ODY_OP(cross_entropy_backward)(double grad, const ODY_REAL *logits, const int64_t *labels, const ODY_REAL *weight,
                                                  size_t rows, size_t classes, int64_t ignore_index, double smoothing,
                                                  ODY_REAL *out);

/* out (count, n) = the rows of weight (rows, n) that indices (count) name; one that is no row is ODY_INVALID_INDEX, and nothing
 * is written. */
ODY_API ody_status ODY_OP(embedding)(const ODY_REAL *weight, const int64_t *indices, size_t rows, size_t n, size_t count,
                                     ODY_REAL *out);
/* out (rows, n) = the rows of grad (count, n), added up by index; the row `padding` receives nothing: -1 for none. */
ODY_API ody_status ODY_OP(embedding_backward)(const ODY_REAL *grad, const int64_t *indices, size_t rows, size_t n, size_t count,
                                              int64_t padding, ODY_REAL *out);

/* x and out (heads, length, depth), cosines and sines (length, pairs), 2 pairs <= depth. A pair is (i, i + pairs), or
 * (2 i, 2 i + 1) where interleaved; elements beyond the pairs are copied. Backward: by the negative angle. In place on x. */
ODY_API ody_status ODY_OP(rotary_embedding)(const ODY_REAL *x, const ODY_REAL *cosines, const ODY_REAL *sines, size_t heads,
                                            size_t length, size_t depth, size_t pairs, int interleaved, ODY_REAL *out);
ODY_API ody_status ODY_OP(rotary_embedding_backward)(const ODY_REAL *grad, const ODY_REAL *cosines, const ODY_REAL *sines,
                                                     size_t heads, size_t length, size_t depth, size_t pairs, int interleaved,
                                                     ODY_REAL *out);

/* One token a row, drawn by uniform (rows), numbers in [0, 1): logits (rows, n), n >= 1; tokens (rows). temperature is finite and 0
 * or more, k >= 1, p in (0, 1]. NaN, +inf or nothing but -inf in a row: ODY_INVALID_VALUE. */
ODY_API ody_status ODY_OP(sample)(const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, double temperature,
                                  int64_t *tokens);
ODY_API ody_status ODY_OP(topk_sample)(const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, size_t k,
                                       double temperature, int64_t *tokens);
ODY_API ody_status ODY_OP(topp_sample)(const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, double p,
                                       double temperature, int64_t *tokens);

/* ---- products ------------------------------------------------------------------------------------------------------------ */

/* c (batch, m, n) = alpha a b + beta c. a is (batch, m, k), or with transpose_a (batch, k, m); b is (batch, k, n), or with
 * transpose_b (batch, n, k). c is not read where beta is 0. */
ODY_API ody_status ODY_OP(matmul)(const ODY_REAL *a, const ODY_REAL *b, size_t batch, size_t m, size_t n, size_t k, int transpose_a,
                                  int transpose_b, double alpha, double beta, ODY_REAL *c);
/* out (rows, outputs) = activation(x weight^T + bias): x (rows, inputs), weight (outputs, inputs), bias (outputs) or NULL. */
ODY_API ody_status ODY_OP(linear)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, size_t rows, size_t inputs,
                                  size_t outputs, ody_product_activation activation, ODY_REAL *out);

/* x (batch, channels, height, width), weight (outputs, channels / groups, kernel_h, kernel_w), bias (outputs) or NULL; y and grad
 * (batch, outputs, out_height, out_width), as ody_conv2d_size says. Gradients are written whole. */
ODY_API ody_status ODY_OP(conv2d)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, const ody_conv2d *shape,
                                  ODY_REAL *y);
ODY_API ody_status ODY_OP(conv2d_backward_input)(const ODY_REAL *grad, const ODY_REAL *weight, const ody_conv2d *shape,
                                                 ODY_REAL *dx);
ODY_API ody_status ODY_OP(conv2d_backward_weight)(const ODY_REAL *grad, const ODY_REAL *x, const ody_conv2d *shape,
                                                  ODY_REAL *dweight);

/* x and dx (planes, height, width), y and grad (planes, out_height, out_width), as ody_pool2d_size says. */
ODY_API ody_status ODY_OP(max_pool2d)(const ODY_REAL *x, const ody_pool2d *shape, ODY_REAL *y);
ODY_API ody_status ODY_OP(avg_pool2d)(const ODY_REAL *x, const ody_pool2d *shape, ODY_REAL *y);
ODY_API ody_status ODY_OP(max_pool2d_backward)(const ODY_REAL *grad, const ODY_REAL *x, const ody_pool2d *shape, ODY_REAL *dx);
ODY_API ody_status ODY_OP(avg_pool2d_backward)(const ODY_REAL *grad, const ody_pool2d *shape, ODY_REAL *dx);
/* y (planes): each plane's mean; height and width at least 1. */
ODY_API ody_status ODY_OP(global_avg_pool2d)(const ODY_REAL *x, size_t planes, size_t height, size_t width, ODY_REAL *y);

/* query (batch, heads, queries, depth), key (batch, key_heads, keys, depth), value (batch, key_heads, keys, value_depth); mask
 * (queries, keys), added to the scores of every head, or NULL; out and grad (batch, heads, queries, value_depth). */
ODY_API ody_status ODY_OP(attention)(const ODY_REAL *query, const ODY_REAL *key, const ODY_REAL *value, const ODY_REAL *mask,
                                     const ody_attention_shape *shape, ODY_REAL *out);
ODY_API ody_status ODY_OP(attention_backward)(const ODY_REAL *grad, const ODY_REAL *query, const ODY_REAL *key,
                                              const ODY_REAL *value, const ODY_REAL *mask, const ody_attention_shape *shape,
                                              ODY_REAL *dquery, ODY_REAL *dkey, ODY_REAL *dvalue);

/* ---- transport and geometry ------------------------------------------------------------------------------------------------ */

/* x and out (count, m, n). iterations >= 1, eps finite and 0 or more, tau finite and above 0. In place. */
ODY_API ody_status ODY_OP(sinkhorn_knopp)(const ODY_REAL *x, size_t count, size_t m, size_t n, size_t iterations, double eps,
                                          double tau, int from_logits, ODY_REAL *out);

/* x and y (rows, n), out (rows). c, finite and above 0: the ball has the radius 1 / sqrt(c). A point outside of the ball, or a vector
 * of length 0, is ODY_INVALID_VALUE. */
ODY_API ody_status ODY_OP(euclidean_distance)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(poincare_distance)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c, ODY_REAL *out);
ODY_API ody_status ODY_OP(spherical_distance)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out);
/* Of all pairs: x (m, n), y (k, n), or NULL with k = m for x itself, which takes half the work; out (m, k). */
ODY_API ody_status ODY_OP(euclidean_pairwise)(const ODY_REAL *x, const ODY_REAL *y, size_t m, size_t k, size_t n, ODY_REAL *out);
ODY_API ody_status ODY_OP(poincare_pairwise)(const ODY_REAL *x, const ODY_REAL *y, size_t m, size_t k, size_t n, double c,
                                             ODY_REAL *out);
ODY_API ody_status ODY_OP(spherical_pairwise)(const ODY_REAL *x, const ODY_REAL *y, size_t m, size_t k, size_t n, ODY_REAL *out);
/* Maps of the ball, (rows, n); ODY_INVALID_VALUE where x is outside, or y where it is a point. eps in (0, 1). */
ODY_API ody_status ODY_OP(mobius_add)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c, ODY_REAL *out);
ODY_API ody_status ODY_OP(exp_map)(const ODY_REAL *x, const ODY_REAL *v, size_t rows, size_t n, double c, ODY_REAL *out);
ODY_API ody_status ODY_OP(log_map)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c, ODY_REAL *out);
ODY_API ody_status ODY_OP(project_to_ball)(const ODY_REAL *x, size_t rows, size_t n, double c, double eps, ODY_REAL *out);

/* ---- optimizer steps: n elements each; param and the state are updated in place; step counts from 1 ---------------------------- */

/* momentum_buffer, or NULL where momentum is 0; `first`: it holds nothing yet. */
ODY_API ody_status ODY_OP(sgd_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *momentum_buffer, size_t n, double lr,
                                    double momentum, double dampening, double weight_decay, int nesterov, int first);
/* beta1 and beta2 in [0, 1). */
ODY_API ody_status ODY_OP(adam_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *exp_avg, ODY_REAL *exp_avg_sq, size_t n,
                                     size_t step, double lr, double beta1, double beta2, double eps, double weight_decay);
ODY_API ody_status ODY_OP(adamw_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *exp_avg, ODY_REAL *exp_avg_sq, size_t n,
                                      size_t step, double lr, double beta1, double beta2, double eps, double weight_decay);
/* grad_avg, or NULL for not centered; momentum_buffer, or NULL where momentum is 0; alpha in [0, 1]. */
ODY_API ody_status ODY_OP(rmsprop_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *square_avg, ODY_REAL *grad_avg,
                                        ODY_REAL *momentum_buffer, size_t n, double lr, double alpha, double eps,
                                        double weight_decay, double momentum);
ODY_API ody_status ODY_OP(adagrad_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *state_sum, size_t n, size_t step, double lr,
                                        double lr_decay, double eps, double weight_decay);
/* `count` gradients of sizes[i] elements, scaled so that all together have a 2-norm of at most max_norm; norm, or NULL: that before.
 * Left as they are where it is not finite. max_norm and eps are 0 or more. */
ODY_API ody_status ODY_OP(clip_grad_norm)(ODY_REAL *const *grads, const size_t *sizes, size_t count, double max_norm, double eps,
                                          ODY_REAL *norm);
