/* The call of crossing.pyx by itself: integers and reals in their registers, what is left over on the stack. argv has nothing;
 * exits 0 where the callee got everything. crossing_call.h is cut from crossing.pyx by the test. */
#include <stdint.h>
#include <string.h>

#include "crossing_call.h"

static int right;

static double callee(int8_t a, double b, float c, int64_t d, uint8_t e, int f, int g, int h, int i, int16_t j, float k, int l,
                     double m, float n, float o, float p, double q, float r, double s) {
    right = a == -1 && b == 2 && c == 3 && d == -4 && e == 5 && f == 6 && g == -7 && h == 8 && i == 9 && j == -10 && k == 11 &&
            l == 12 && m == 13 && n == 14 && o == 15 && p == 16 && q == 17 && r == 18 && s == 19;
    return a + s;
}

static crossing_word words[CROSSING_WORDS];
static int integers, reals, stacked;

static void integer(int64_t value) {
    crossing_word word = {.integer = (uint64_t)value};
    words[integers < CROSSING_INTEGERS ? integers++ : CROSSING_FIRST_STACKED + stacked++] = word;
}

static void real(crossing_word word) {
    words[reals < 8 ? CROSSING_FIRST_REAL + reals++ : CROSSING_FIRST_STACKED + stacked++] = word;
}

static void wide(double value) { real((crossing_word){.real = value}); }

static void narrow(float value) {
    crossing_word word = {.integer = 0};
    word.narrow = value;
    real(word);
}

int main(void) {
    integer(-1), wide(2), narrow(3), integer(-4), integer(5), integer(6), integer(-7), integer(8), integer(9), integer(-10);
    narrow(11), integer(12), wide(13), narrow(14), narrow(15), narrow(16), wide(17), narrow(18), wide(19);
    const int how = CROSSING_RETURNS_REAL | CROSSING_REALS | CROSSING_STACKED;
    return crossing_call((void *)callee, how, words).real == 18 && right ? 0 : 1;
}
