#include "vec.h"
/* LOCAL STUB */
#ifndef STUB
#define STUB
ODY_INLINE f64x8 f64x8_exp(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(exp(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_expm1(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(expm1(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_log(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(log(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_log2(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(log2(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_log1p(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(log1p(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_sin(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(sin(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_cos(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(cos(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_tanh(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(tanh(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_sigmoid(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(1/(1+exp(-x))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_erf(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(erf(x)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_silu(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(x/(1+exp(-x))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_gelu(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(x*0.5*erfc(-x*0.70710678118654752440)); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_gelu_tanh(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(x/(1+exp(-2*0.79788456080286535588*(x+0.044715*x*x*x)))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_softplus(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)((x>0?x:0)+log1p(exp(-fabs(x)))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_mish(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(x*tanh((x>0?x:0)+log1p(exp(-fabs(x))))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_silu_grad(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(1/(1+exp(-x))*(1+x/(1+exp(x)))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_gelu_grad(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(0.5*erfc(-x*0.70710678118654752440)+x*exp(-x*x/2)*0.39894228040143267794); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_gelu_tanh_grad(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(x); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_softplus_grad(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(1/(1+exp(-x))); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_mish_grad(f64x8 v) { double l[8]; f64x8_store(l, v); for (int i=0;i<8;i++) { double x = l[i]; l[i] = (double)(x); } return f64x8_load(l); }
ODY_INLINE f64x8 f64x8_pow(f64x8 v, f64x8 w) { double l[8], k[8]; f64x8_store(l, v); f64x8_store(k,w); for (int i=0;i<8;i++) l[i] = (double)pow(l[i],k[i]); return f64x8_load(l); }
#endif
