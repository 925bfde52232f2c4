/* Barriers are a count of arrivals and a generation number that the last one in raises; sleepers wait on the generation by futex, and
 * the last one in makes the system call only if somebody sleeps. Between jobs the threads wait at the gate. */
#define _GNU_SOURCE
#include "rv_pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 256, SPINS_BETWEEN_YIELDS = 64, SPIN_NANOSECONDS = 40000, CANCEL_NANOSECONDS = 2000000 };

/* Both words change together only by the last to arrive; a cache line each. */
typedef struct barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint generation;
    atomic_uint sleepers;
} barrier;

static struct pool {
    pthread_mutex_t turn; /* held while a job runs */
    pthread_mutex_t starting;
    size_t wanted, threads; /* asked for; running, the caller's included, 0 before the first job */
    pthread_t thread[MOST_THREADS];
    void (*job)(void *, size_t);
    void *context;
    barrier gate, meeting;
} pool = {.turn = PTHREAD_MUTEX_INITIALIZER, .starting = PTHREAD_MUTEX_INITIALIZER};

/* Threads for short jobs; of the present one, how many it takes, how many have come, and are still at it. */
static struct helpers {
    pthread_mutex_t lock;
    pthread_cond_t wanted, left;
    size_t running, places, taken, inside;
    void (*job)(void *, size_t);
    void *context;
} helpers = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER, .left = PTHREAD_COND_INITIALIZER};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void sleep_while(barrier *b, unsigned generation) {
    atomic_fetch_add(&b->sleepers, 1);
    while (atomic_load(&b->generation) == generation)
        syscall(SYS_futex, &b->generation, FUTEX_WAIT_PRIVATE, generation, NULL, NULL, 0);
    atomic_fetch_sub(&b->sleepers, 1);
}

static void wait_at(barrier *b, size_t threads) {
    const unsigned generation = atomic_load(&b->generation);
    if (atomic_fetch_add(&b->arrived, 1) + 1 == threads) {
        atomic_store(&b->arrived, 0);
        atomic_fetch_add(&b->generation, 1);
        if (atomic_load(&b->sleepers)) syscall(SYS_futex, &b->generation, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        return;
    }
    const int64_t until = nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < SPINS_BETWEEN_YIELDS; i++) {
            if (atomic_load_explicit(&b->generation, memory_order_acquire) != generation) return;
            pause_briefly();
        }
        sched_yield();
    } while (nanoseconds() < until);
    sleep_while(b, generation);
}

static void *work(void *number) {
    const size_t thread = (size_t)(uintptr_t)number;
    pthread_mutex_lock(&pool.starting); /* until it is known how many threads there are */
    pthread_mutex_unlock(&pool.starting);
    for (;;) {
        wait_at(&pool.gate, pool.threads);
        if (!pool.job) return NULL;
        pool.job(pool.context, thread);
        wait_at(&pool.gate, pool.threads);
    }
}

static size_t cpus(void) {
    cpu_set_t set;
    const int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count < 1 ? 1 : count > MOST_THREADS ? MOST_THREADS : (size_t)count;
}

/* A child has the calling thread only: whoever held the pool, and its other threads, are the parent's. */
static void begin_in_child(void) {
    const size_t wanted = pool.wanted;
    memset(&pool, 0, sizeof pool);
    pthread_mutex_init(&pool.turn, NULL);
    pthread_mutex_init(&pool.starting, NULL);
    pool.wanted = wanted;
    memset(&helpers, 0, sizeof helpers);
    pthread_mutex_init(&helpers.lock, NULL);
    pthread_cond_init(&helpers.wanted, NULL);
    pthread_cond_init(&helpers.left, NULL);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, begin_in_child); }

/* A thread without signals, which stay with the program's own; 0 where it cannot be had. */
static int begin(pthread_t *thread, void *(*run)(void *), void *argument) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

static size_t wanted(void) { return pool.wanted ? pool.wanted : cpus(); }

/* Threads that cannot be had are done without. */
static void start(void) {
    const size_t most = wanted();
    pthread_mutex_lock(&pool.starting);
    for (pool.threads = 1; pool.threads < most; pool.threads++)
        if (!begin(&pool.thread[pool.threads], work, (void *)(uintptr_t)pool.threads)) break;
    pthread_mutex_unlock(&pool.starting);
}

static void stop(void) {
    if (pool.threads < 2) return;
    pool.job = NULL;
    wait_at(&pool.gate, pool.threads);
    for (size_t i = 1; i < pool.threads; i++) pthread_join(pool.thread[i], NULL);
}

static int wait_for_turn(const volatile int *cancel) {
    if (!cancel) return !pthread_mutex_lock(&pool.turn);
    while (pthread_mutex_trylock(&pool.turn)) {
        if (*cancel) return 0;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += CANCEL_NANOSECONDS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (!pthread_mutex_timedlock(&pool.turn, &until)) break;
    }
    return 1;
}

size_t rv_pool_take(const volatile int *cancel) {
    if (!wait_for_turn(cancel)) return 0;
    if (!pool.threads) start();
    return pool.threads;
}

void rv_pool_release(void) { pthread_mutex_unlock(&pool.turn); }

void rv_pool_run(void (*job)(void *, size_t), void *context) {
    pool.job = job;
    pool.context = context;
    if (pool.threads > 1) wait_at(&pool.gate, pool.threads);
    job(context, 0);
    if (pool.threads > 1) wait_at(&pool.gate, pool.threads);
}

void rv_pool_meet(void) {
    if (pool.threads > 1) wait_at(&pool.meeting, pool.threads);
}

static void *help(void *nothing) {
    pthread_mutex_lock(&helpers.lock);
    for (;;) {
        while (helpers.taken == helpers.places) pthread_cond_wait(&helpers.wanted, &helpers.lock);
        const size_t thread = ++helpers.taken;
        helpers.inside++;
        pthread_mutex_unlock(&helpers.lock);
        helpers.job(helpers.context, thread);
        pthread_mutex_lock(&helpers.lock);
        if (!--helpers.inside) pthread_cond_signal(&helpers.left);
    }
    return nothing;
}

static void call_helpers(void (*job)(void *, size_t), void *context, size_t places) {
    pthread_mutex_lock(&helpers.lock);
    for (pthread_t thread; helpers.running < places && begin(&thread, help, NULL); helpers.running++) pthread_detach(thread);
    helpers.job = job;
    helpers.context = context;
    helpers.places = places;
    for (size_t i = 0; i < places; i++) pthread_cond_signal(&helpers.wanted);
    pthread_mutex_unlock(&helpers.lock);
}

static void dismiss_helpers(void) {
    pthread_mutex_lock(&helpers.lock);
    helpers.places = helpers.taken = 0;
    while (helpers.inside) pthread_cond_wait(&helpers.left, &helpers.lock);
    pthread_mutex_unlock(&helpers.lock);
}

void rv_pool_help(void (*job)(void *, size_t), void *context, size_t most) {
    if (most < 2 || pthread_mutex_trylock(&pool.turn)) {
        job(context, 0);
        return;
    }
    const size_t threads = wanted();
    call_helpers(job, context, (most < threads ? most : threads) - 1);
    job(context, 0);
    dismiss_helpers();
    rv_pool_release();
}

void rv_pool_share(rv_pool_step *step, size_t count, void (*item)(void *context, size_t i), void *context) {
    for (size_t i; (i = atomic_fetch_add(&step->taken, 1)) < count; atomic_fetch_add(&step->done, 1)) item(context, i);
    for (size_t spins = 1; atomic_load(&step->done) < count; spins++) {
        pause_briefly();
        if (spins % SPINS_BETWEEN_YIELDS == 0) sched_yield();
    }
}

size_t rv_pool_threads(void) {
    wait_for_turn(NULL);
    const size_t threads = pool.threads ? pool.threads : wanted();
    rv_pool_release();
    return threads;
}

size_t rv_pool_set_threads(size_t threads) {
    wait_for_turn(NULL);
    stop();
    pool.threads = 0;
    pool.wanted = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    rv_pool_release();
    return threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
}
