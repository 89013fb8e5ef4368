/* Scratch memory and large results: 64-byte aligned blocks, kept for the next call when freed.
 *
 * The system's allocator hands large blocks back to the kernel at free() and takes them back a page fault at a time:
 * for a result of some megabytes the faults cost more than the arithmetic. Here a freed block waits in a list of its
 * size class. Blocks of 2 MiB and more lie on huge pages where the system has them. What waits is bounded.
 */
#define _GNU_SOURCE
#include <odyssey/runtime.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ALIGNMENT = 64,
    MIN_LOG2 = 8,                      /* 256 bytes: the smallest class */
    STEPS = 4,                         /* classes per doubling: at most 25 % is wasted */
    LOOK_AHEAD = 16,                   /* waiting blocks of a class to look through for one's own */
    CLASSES = (47 - MIN_LOG2) * STEPS, /* up to 128 TiB */
    FENCE_BYTES = 64,                  /* at least, behind a guarded block */
    UNWRITTEN = 0xFF,                  /* NaN in every floating-point type, -1 in every integer */
    FENCE = 0xA5,
};
#define UNGUARDED ((size_t)-1)
#define HUGE_PAGE ((size_t)2 << 20)

/* Stands in the cache line before the block. */
typedef struct header {
    struct header *next;
    size_t class;
    const void *user; /* the thread that last had it */
    size_t guarded;   /* the bytes before the fence, or UNGUARDED */
} header;

/* Its address names the thread. */
static _Thread_local char thread_name;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static header *waiting[CLASSES];
static size_t waiting_bytes, waiting_limit;
static atomic_int guarding;
static atomic_size_t broken_fences;

static size_t class_bytes(size_t class) {
    size_t base = (size_t)1 << (MIN_LOG2 + class / STEPS);
    return base + base / STEPS * (class % STEPS);
}

static size_t class_of(size_t bytes) {
    if (bytes <= (size_t)1 << MIN_LOG2) return 0;
    size_t doubling = 63 - (size_t)__builtin_clzll(bytes - 1); /* 2^doubling < bytes <= 2^(doubling+1) */
    size_t base = (size_t)1 << doubling;
    size_t step = (bytes - base + base / STEPS - 1) / (base / STEPS);
    return (doubling - MIN_LOG2) * STEPS + step;
}

static size_t limit(void) {
    if (waiting_limit == 0) {
        size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
        waiting_limit = memory / 16 < ((size_t)512 << 20) ? memory / 16 : (size_t)512 << 20;
    }
    return waiting_limit;
}

/* A block that this thread had before lies in its own core's cache, another's must first be fetched from there: a matter of
 * a fifth of a product of 512 x 512 matrices shared by two threads. */
static header *take(size_t class) {
    header **place = &waiting[class];
    int seen = 0;
    for (header **at = place; *at && seen < LOOK_AHEAD; at = &(*at)->next, seen++)
        if ((*at)->user == &thread_name) {
            place = at;
            break;
        }
    header *found = *place;
    if (!found) return NULL;
    *place = found->next;
    waiting_bytes -= class_bytes(class);
    return found;
}

void *ody_alloc(size_t bytes) {
    if (bytes > (size_t)1 << 46) return NULL;
    int guard = atomic_load_explicit(&guarding, memory_order_relaxed);
    size_t class = class_of(guard ? bytes + FENCE_BYTES : bytes);
    pthread_mutex_lock(&lock);
    header *found = take(class);
    pthread_mutex_unlock(&lock);
    if (!found) {
        size_t total = class_bytes(class) + ALIGNMENT;
        size_t alignment = total >= 2 * HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
        void *memory;
        if (posix_memalign(&memory, alignment, total) != 0) return NULL;
#ifdef MADV_HUGEPAGE
        if (alignment == HUGE_PAGE) madvise(memory, total / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
        found = memory;
        found->class = class;
    }
    char *memory = (char *)found + ALIGNMENT;
    found->guarded = guard ? bytes : UNGUARDED;
    if (guard) {
        memset(memory, UNWRITTEN, bytes);
        memset(memory + bytes, FENCE, class_bytes(class) - bytes);
    }
    return memory;
}

/* Looks at the fence, and makes what was there unreadable as a number. */
static void leave(const header *block, unsigned char *memory) {
    size_t bytes = class_bytes(block->class), at = block->guarded;
    while (at < bytes && memory[at] == FENCE) at++;
    if (at < bytes) atomic_fetch_add(&broken_fences, 1);
    memset(memory, UNWRITTEN, bytes);
}

void ody_guard_memory(int on) { atomic_store(&guarding, on); }
size_t ody_broken_fences(void) { return atomic_load(&broken_fences); }

void ody_free(void *memory) {
    if (!memory) return;
    header *block = (header *)((char *)memory - ALIGNMENT);
    size_t bytes = class_bytes(block->class);
    if (block->guarded != UNGUARDED) leave(block, memory);
    pthread_mutex_lock(&lock);
    block->user = &thread_name;
    int keep = waiting_bytes + bytes <= limit();
    if (keep) {
        block->next = waiting[block->class];
        waiting[block->class] = block;
        waiting_bytes += bytes;
    }
    pthread_mutex_unlock(&lock);
    if (!keep) free(block);
}

void ody_trim(void) {
    pthread_mutex_lock(&lock);
    for (size_t class = 0; class < CLASSES; class++)
        while (waiting[class]) {
            header *block = waiting[class];
            waiting[class] = block->next;
            free(block);
        }
    waiting_bytes = 0;
    pthread_mutex_unlock(&lock);
}

size_t ody_cached_bytes(void) {
    pthread_mutex_lock(&lock);
    size_t bytes = waiting_bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
/* A task of the pool may be waiting for this lock, and fork waits for the task: so the pool's lock is to be taken first.
 * Handlers before a fork run last registered first; constructors with a priority run before those without. */
__attribute__((constructor(200))) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }
