/* A program in C that knows odyssey by its header and its library alone. Prints the bytes of softmax(gelu(x w^T)), for
 * comparison with Python's. argv[1]: the instruction set. */
#include <odyssey/odyssey.h>

#include <stdio.h>

int main(int argc, char **argv) {
    const ody_status chosen = argc > 1 ? ody_isa_use(argv[1]) : ODY_OK;
    if (chosen != ODY_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], ody_status_text(chosen));
        return (int)chosen;
    }
    float x[3 * 7], w[2 * 7], y[3 * 2];
    for (int i = 0; i < 3 * 7; i++) x[i] = (float)i / 8 - 1;
    if (ody_scale_f32(x, 2 * 7, 2.0, w) != ODY_OK) return 100;
    if (ody_linear_f32(x, w, NULL, 3, 7, 2, ODY_ACTIVATION_GELU, y) != ODY_OK) return 101;
    if (ody_softmax_f32(y, 3, 2, y) != ODY_OK) return 102;
    if (ody_exp_f32(NULL, 1, y) != ODY_NULL_POINTER) return 103;
    if (ody_threads_set(ody_threads_get()) != ODY_OK) return 104;
    const unsigned char *bytes = (const unsigned char *)y;
    for (size_t i = 0; i < sizeof y; i++) printf("%02x", bytes[i]);
    puts("");
    return 0;
}
