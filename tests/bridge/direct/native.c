/* What the tests of NativeLibrary call. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <pthread.h>

enum color { RED, GREEN = 7 };
int counter = 3;

/* Refuses more than 1000 elements (2), 13 elements (77) and a factor of 0 (3). */
int scale(size_t n, const float *x, float by, float *out) {
    if (n > 1000) return 2;
    if (n == 13) return 77;
    if (by == 0) return 3;
    for (size_t i = 0; i < n; i++) out[i] = by * x[i];
    return 0;
}
const char *error_text(int code) { return code == 2 ? "too many elements" : code == 3 ? "nothing would be left" : NULL; }

double sum(const double *x, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += x[i];
    return total;
}
double trace(size_t rows, size_t columns, const double *x) {
    double total = 0;
    for (size_t i = 0; i < rows && i < columns; i++) total += x[i * columns + i];
    return total;
}
int is_null(const float *x) { return x == NULL; }
uint64_t bytes_of(const void *x, size_t n) {
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) total += ((const unsigned char *)x)[i];
    return total;
}
void fill(void *x, int byte, size_t n) { memset(x, byte, n); }
uint16_t first_half(const uint16_t *x) { return x[0]; }
size_t length(const char *text) { return strlen(text); }
void shout(char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (text[i] >= 'a' && text[i] <= 'z') text[i] = (char)(text[i] - 'a' + 'A');
}
const char *greeting(int which) { return which == 0 ? "hello" : which == 1 ? "gr\xc3\xbc\xc3\x9f" : NULL; }
bool both(bool a, bool b) { return a && b; }
enum color mixed(enum color a, enum color b) { return a == b ? a : GREEN; }
int64_t last_of_many(int a, int b, int c, int d, int e, int f, int g, int8_t h, float x, uint16_t i, double y, int64_t j) {
    return a + b + c + d + e + f + g + h + i + (int64_t)x + (int64_t)y + j;
}
double last_of_reals(double a, double b, double c, double d, double e, double f, double g, double h, double i, float j) {
    return a + b + c + d + e + f + g + h + 10 * i + 100 * (double)j;
}

/* For cffi. */
struct point { double x, y; };
double norm1(struct point p) { return p.x + p.y; }
struct point swapped(struct point p) { return (struct point){p.y, p.x}; }
double distance(const struct point *p) { return p->x - p->y; }
int total(int count, ...) {
    va_list list;
    va_start(list, count);
    int result = 0;
    while (count--) result += va_arg(list, int);
    va_end(list);
    return result;
}
int apply(int (*f)(int), int x) { return f(x); }
int maybe(int (*f)(int), int x) { return f ? f(x) : -x; }
int apply_all(int (*f)(int), const int *x, size_t n) {
    int result = 0;
    for (size_t i = 0; i < n; i++) result += f(x[i]);
    return result;
}

double norm2(const float _Complex *z) {
    float parts[2];
    memcpy(parts, z, sizeof parts);
    return (double)(parts[0] * parts[0] + parts[1] * parts[1]);
}

/* A handle. */
typedef struct box { double value; } box;
static box only = {42};
box *box_open(int which) { return which ? NULL : &only; }
double box_value(const box *b) { return b->value; }

/* Two threads that can only get past together. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static int waiting;
int meet(void) {
    pthread_mutex_lock(&lock);
    const int second = ++waiting % 2 == 0, pair = (waiting + 1) / 2;
    if (second) pthread_cond_broadcast(&arrived);
    while (waiting < 2 * pair) pthread_cond_wait(&arrived, &lock);
    pthread_mutex_unlock(&lock);
    return second;
}
