/* The thread pool: a handful of threads that wait for one job at a time.
 *
 * A job is an atomic counter of tasks. The caller publishes it, works on it itself, and then waits only for workers
 * that joined, so a worker that wakes late costs nothing. Workers spin for some microseconds after a job, since kernels
 * come in bursts, and then sleep. Whoever finds the pool busy does its own work: two Python threads in kernels at
 * once use one core each instead of fighting over both, and nothing can deadlock.
 */
#define _GNU_SOURCE
#include <odyssey/runtime.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#define pause_cpu() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pause_cpu() __asm__ volatile("yield")
#else
#define pause_cpu() ((void)0)
#endif

enum {
    MAX_THREADS = 1024,
    SPINS = 8000,     /* about 200 microseconds: longer than the gap between two kernels of one model */
};

/* One word tells the state of the current job, so that joining it is one compare-and-swap:
 * bits 63..32 the job's number, bit 31 closed, bits 30..0 workers inside. */
#define CLOSED 0x80000000u
#define INSIDE(state) ((state) & 0x7fffffffu)
#define NUMBER(state) ((uint32_t)((state) >> 32))

static struct {
    pthread_mutex_t owner;      /* held by the thread whose job is running */
    pthread_mutex_t sleep_lock; /* guards the condition only */
    pthread_cond_t wake;
    atomic_int sleepers;
    _Atomic uint64_t state;
    atomic_size_t next;
    ody_task_fn run;
    void *context;
    size_t tasks;
    int workers_wanted;
    int spawned;
    atomic_int spins;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .sleep_lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .state = CLOSED};

static atomic_int thread_limit;
static _Thread_local int inside_task;

static void work(void) {
    ody_task_fn run = pool.run;
    void *context = pool.context;
    size_t tasks = pool.tasks, task;
    inside_task = 1;
    while ((task = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed)) < tasks) run(context, task);
    inside_task = 0;
}

/* Waits until the job's number differs from `seen`; spins first, then sleeps. */
static uint64_t wait_for_job(uint32_t seen) {
    uint64_t state;
    int spins = atomic_load_explicit(&pool.spins, memory_order_relaxed);
    for (int i = 0; i < spins; i++) {
        state = atomic_load_explicit(&pool.state, memory_order_acquire);
        if (NUMBER(state) != seen) return state;
        pause_cpu();
    }
    pthread_mutex_lock(&pool.sleep_lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (NUMBER(state = atomic_load(&pool.state)) == seen) pthread_cond_wait(&pool.wake, &pool.sleep_lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.sleep_lock);
    return state;
}

static void *worker_main(void *argument) {
    int index = (int)(intptr_t)argument;
    uint32_t seen = 0;
    for (;;) {
        uint64_t state = wait_for_job(seen);
        seen = NUMBER(state);
        while (!(state & CLOSED) && NUMBER(state) == seen) {
            if (atomic_compare_exchange_weak(&pool.state, &state, state + 1)) {
                /* Inside: the job's fields stay put until this worker leaves. */
                if (index < pool.workers_wanted) work();
                atomic_fetch_sub(&pool.state, 1);
                break;
            }
        }
    }
    return NULL;
}

static void spawn_up_to(int workers) {
    if (pool.spawned >= workers) return;
    /* Signals belong to Python's main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (pool.spawned < workers) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker_main, (void *)(intptr_t)pool.spawned) != 0) break;
        pool.spawned++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void ody_parallel(ody_task_fn run, void *context, size_t tasks) {
    int threads = ody_threads();
    if ((size_t)threads > tasks) threads = (int)tasks;
    if (threads <= 1 || inside_task || pthread_mutex_trylock(&pool.owner) != 0) {
        for (size_t task = 0; task < tasks; task++) run(context, task);
        return;
    }
    spawn_up_to(threads - 1);
    pool.run = run;
    pool.context = context;
    pool.tasks = tasks;
    pool.workers_wanted = threads - 1;
    /* More threads than processors: a spinning worker would take the time slice of a working one. */
    atomic_store_explicit(&pool.spins, threads > ody_affinity() ? 0 : SPINS, memory_order_relaxed);
    atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
    uint32_t number = NUMBER(atomic_load_explicit(&pool.state, memory_order_relaxed)) + 1;
    atomic_store(&pool.state, (uint64_t)number << 32);
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.sleep_lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.sleep_lock);
    }
    work();
    uint64_t state = atomic_fetch_or(&pool.state, CLOSED);
    for (int i = 0; INSIDE(state) != 0; i++) {
        if (i < SPINS) pause_cpu();
        else sched_yield();
        state = atomic_load_explicit(&pool.state, memory_order_acquire);
    }
    pthread_mutex_unlock(&pool.owner);
}

/* ---- fork: the child has none of the threads ------------------------------------------------------------------- */

static void before_fork(void) { pthread_mutex_lock(&pool.owner); }
static void after_fork_parent(void) { pthread_mutex_unlock(&pool.owner); }
static void after_fork_child(void) {
    pthread_mutex_init(&pool.owner, NULL);
    pthread_mutex_init(&pool.sleep_lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.state, CLOSED);
    pool.spawned = 0;
}

/* Without a priority, so after memory.c's: see there. */
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* ---- how many --------------------------------------------------------------------------------------------------- */

static int affinity_now(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (int)online;
}

int ody_affinity(void) {
    /* Asked for in every parallel call: a system call each time would cost as much as a small kernel. */
    static atomic_int cached;
    int n = atomic_load_explicit(&cached, memory_order_relaxed);
    if (n == 0) atomic_store_explicit(&cached, n = affinity_now(), memory_order_relaxed);
    return n;
}

static int read_first_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int ok = fgets(line, size, file) != NULL;
    fclose(file);
    return ok;
}

double ody_cgroup_quota(void) {
    char line[256], path[512] = "/sys/fs/cgroup/cpu.max";
    double tightest = 0;
    /* Version 2: every ancestor of the process's own group may set a quota; the tightest counts. */
    char group[384] = "";
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = 0;
            snprintf(group, sizeof group, "%s", line + 3);
        }
    if (file) fclose(file);
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", strcmp(group, "/") == 0 ? "" : group);
        double quota, period;
        if (read_first_line(path, line, sizeof line) && sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0) {
            double cpus = quota / period;
            if (tightest == 0 || cpus < tightest) tightest = cpus;
        }
        char *slash = strrchr(group, '/');
        if (!slash || !*group) break;
        *slash = 0;
    }
    /* Version 1. */
    char period_line[64];
    if (tightest == 0 && read_first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", line, sizeof line) && atof(line) > 0 &&
        read_first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period_line, sizeof period_line) &&
        atof(period_line) > 0)
        tightest = atof(line) / atof(period_line);
    return tightest;
}

int ody_threads_default(void) {
    const char *wish = getenv("ODYSSEY_NUM_THREADS");
    if (wish && atoi(wish) >= 1) return atoi(wish) < MAX_THREADS ? atoi(wish) : MAX_THREADS;
    int threads = affinity_now();
    double quota = ody_cgroup_quota();
    /* A quota of 1.5 processors feeds two threads; of 0.5, one. */
    int granted = (int)(quota + 0.999);
    if (quota > 0 && granted < threads) threads = granted;
    return threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
}

int ody_threads(void) {
    int n = atomic_load_explicit(&thread_limit, memory_order_relaxed);
    if (n == 0) atomic_store_explicit(&thread_limit, n = ody_threads_default(), memory_order_relaxed);
    return n;
}

void ody_set_threads(int n) {
    atomic_store_explicit(&thread_limit, n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n, memory_order_relaxed);
}
