/*
 * pool_stress.c: the thread pool and the block cache under many threads at once, for ThreadSanitizer (tests/native/tsan.sh).
 *
 *     pool_stress [rounds]
 *
 * Ten threads run jobs, jobs within jobs, take and give back memory and change the number of threads, while the first one
 * forks children that do the same. Every task must run exactly once, and every block belong to one owner at a time.
 */
#define _GNU_SOURCE
#include <odyssey/runtime.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 10, TASKS = 37, INNER = 5, CHILDREN = 8 };

static size_t rounds = 200;
static atomic_int failures;

typedef struct job {
    int done[TASKS]; /* plain: the pool must order a task's writes before its caller's reads */
    int inner[TASKS][INNER];
} job;

static void inner_task(void *context, size_t task) { ((int *)context)[task]++; }

static void outer_task(void *context, size_t task) {
    job *j = context;
    j->done[task]++;
    ody_parallel(inner_task, j->inner[task], INNER);
    size_t bytes = (size_t)300 << task % 12;
    unsigned char *memory = ody_alloc(bytes);
    if (!memory) abort();
    memset(memory, (int)task, bytes);
    if (memory[0] != (unsigned char)task || memory[bytes - 1] != (unsigned char)task) atomic_fetch_add(&failures, 1);
    ody_free(memory);
}

static void one_job(size_t round) {
    job j;
    memset(&j, 0, sizeof j);
    if (round % 16 == 0) ody_set_threads(1 + (int)(round / 16 % 5));
    ody_parallel(outer_task, &j, TASKS);
    if (round % 64 == 0) ody_trim();
    for (int task = 0; task < TASKS; task++) {
        if (j.done[task] != 1) atomic_fetch_add(&failures, 1);
        for (int i = 0; i < INNER; i++)
            if (j.inner[task][i] != 1) atomic_fetch_add(&failures, 1);
    }
}

static void *thread_main(void *unused) {
    (void)unused;
    for (size_t round = 0; round < rounds; round++) one_job(round);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 1) rounds = strtoull(argv[1], NULL, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, thread_main, NULL);
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60); /* a child that hangs ends by a signal */
            for (size_t round = 0; round < 20; round++) one_job(round);
            _exit(atomic_load(&failures) != 0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            printf("child %d: status %x\n", i, child < 0 ? -1 : status);
            atomic_fetch_add(&failures, 1);
        }
        one_job((size_t)i);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("%d threads, %zu rounds, %d children: %d failures\n", THREADS, rounds, CHILDREN, atomic_load(&failures));
    return atomic_load(&failures) != 0;
}
